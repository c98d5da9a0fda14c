"""gz_scatter_* and gz_gather_* move elements as NumPy would: of any rank, stride, size, byte order and alignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tile_cases import BoxCase, ListCase, check, offsets, strides_of

from kernels import Buffers, Way, ways

SOURCES = ("scatter.cu", "gather.cu")

either_direction = pytest.mark.parametrize("gather", [False, True], ids=["scatter", "gather"])

# ---- cases by hand ---------------------------------------------------------------------------------------------------


def rows(size: int, *shapes: tuple[int, ...], wider: int = 0, **options: Any) -> BoxCase:
    """Boxes within C-ordered chunks whose last axis is `wider` elements longer; the result is of the first's shape."""
    count = tuple(shapes)
    step = tuple(strides_of((*shape[:-1], shape[-1] + wider), size) for shape in shapes)
    return BoxCase(size, count=count, step=step, strides=strides_of(shapes[0], size), **options)


def turned(size: int, shape: tuple[int, ...], *, gap: int = 1, pad: int = 0, **options: Any) -> BoxCase:
    """A box whose chunk has the reverse order of axes, into a result that is flipped along the last."""
    order = tuple(reversed(range(len(shape))))
    step, strides = strides_of(shape, size + pad, order, gap), strides_of(shape, size)
    return BoxCase(size, count=(shape,), step=(step,), strides=(*strides[:-1], -strides[-1]), **options)


def lists(size: int, *shapes: tuple[int, ...], straight: bool = False, pad: int = 0, **options: Any) -> ListCase:
    """Outer products of lists; without order, or those of a slice of each axis."""
    rng = np.random.default_rng(7)

    def side(shape: tuple[int, ...], room: int, pad: int) -> tuple[NDArray[np.int64], ...]:
        wide = [n + room for n in shape]
        strides = strides_of(wide, size + pad)
        pick = (lambda n: np.arange(n)) if straight else rng.permutation
        return tuple(pick(w)[:n] * s for w, n, s in zip(wide, shape, strides, strict=True))

    position = tuple(side(shape, 3, pad) for shape in shapes)
    target = tuple(side(shape, 0, 0) for shape in shapes)
    return ListCase(size, position=position, target=target, **options)


def points(size: int, *counts: int, **options: Any) -> ListCase:
    return lists(size, *((n,) for n in counts), points=True, **options)


def late_straight() -> ListCase:
    """Shares of one list of which only the later ones run in steps of one element."""
    run = np.concatenate([np.arange(64)[::-1], np.arange(64, 200)]) * 2
    return ListCase(2, elements=64, position=((run + 6,),), target=((run,),))


def late_misaligned() -> ListCase:
    """Rows of 16 bytes that begin on a multiple of 16, but for the last."""
    begin = np.arange(120) * 32 + np.where(np.arange(120) < 100, 0, 2)
    run = np.arange(8) * 2
    return ListCase(2, elements=2048, position=((begin, run),), target=((np.arange(120) * 16, run),))


CASES: dict[str, BoxCase | ListCase] = {
    "one element": BoxCase(4, count=((),), step=((),)),
    "one filled element": BoxCase(4, count=((),), step=((),), filled=(0,)),
    "one row": rows(2, (700,), elements=2048),
    "rows longer than a share": rows(1, (3, 1000), elements=256),
    "short rows in many shares": rows(4, (30, 24), wider=3, elements=64),
    "more rows than threads": rows(2, (300, 8), wider=8, elements=2400),
    "one row more than threads": rows(2, (129, 8), elements=2048, wider=8),
    "a share that ends in a row": rows(2, (9, 40), wider=8, elements=48),
    "rows of no round size": rows(2, (7, 13), wider=2, elements=1024),
    "misaligned rows": rows(2, (9, 32), misaligned=(6, 4)),
    "rows off by one byte": rows(4, (9, 32), misaligned=(1, 0)),
    "swapped rows": rows(2, (9, 32), swap=2),
    "swapped rows off by one byte": rows(4, (9, 32), swap=4, misaligned=(3, 3)),
    "swapped rows off by half a unit": rows(8, (4, 32), swap=8, misaligned=(4, 4)),
    "halves of swapped elements": rows(16, (5, 6), swap=8),
    "swapped words of odd elements": rows(12, (5, 6), swap=4),
    "swapped elements of an odd size": rows(6, (5, 7), swap=6),
    "elements of an odd size": rows(7, (5, 9), wider=2),
    "filled rows among others": rows(4, (9, 32), (5, 32), (9, 20), filled=(1,), swap=4),
    "filled rows": rows(2, (9, 8), filled=(0,), misaligned=(0, 8)),
    "filled rows off by one byte": rows(2, (9, 32), filled=(0,), misaligned=(0, 1)),
    "filled rows of odd elements": rows(3, (9, 32), filled=(0,)),
    "filled rows of wide elements": rows(32, (3, 4), filled=(0,)),
    "tiles of nothing": rows(4, (2, 3), (0, 3), (2, 0), (1, 3)),
    "seven axes": turned(2, (2, 3, 1, 2, 3, 2, 3), elements=128),
    "filled, turned": turned(8, (5, 6, 7), filled=(0,)),
    "odd, turned": turned(5, (5, 6, 7)),
    "turned and padded": turned(4, (5, 6, 7), pad=1),
    "turned and padded, at once": turned(4, (9, 8, 7), pad=1, elements=2048),
    "every second element": BoxCase(4, count=((9, 20),), step=((320, 8),), strides=(80, 4)),
    "units of one byte": rows(4, (5, 6), swap=1),
    "lists": lists(4, (5, 9), (7, 3), (4, 4), elements=16),
    "lists of three axes": lists(2, (4, 5, 6), (2, 3, 50), elements=32),
    "one axis of lists": lists(8, (40,), elements=16),
    "no axis of lists": lists(8, ()),
    "lists of bytes": lists(3, (5, 9)),
    "padded lists": lists(4, (9, 30), pad=1),
    "filled lists among others": lists(4, (5, 9), (7, 40), filled=(1,), swap=4),
    "straight lists": lists(4, (5, 64), (9, 20), straight=True, swap=2),
    "straight lists in shares": lists(1, (5, 100), straight=True, elements=48),
    "straight lists longer than a share": lists(1, (2, 700), straight=True, elements=272),
    "lists longer than a share": lists(2, (2, 90), elements=32),
    "straight filled lists": lists(2, (5, 64), straight=True, filled=(0,)),
    "lists that become straight": late_straight(),
    "rows that are misaligned late": late_misaligned(),
    "points": points(8, 100, 3, 1, elements=32),
    "points in many shares": points(4, 300, elements=48),
    "filled points": points(4, 30, 7, filled=(0,)),
    "straight points": points(2, 300, straight=True, elements=128),
    "filled straight points": points(2, 300, straight=True, elements=128, filled=(0,)),
    "points of bytes": points(5, 30),
} | {
    f"{what} of {size}": case
    for size in (1, 2, 4, 8, 16)
    for what, case in {
        "elements": turned(size, (5, 6, 7)),
        "swapped elements": turned(size, (5, 6, 7), swap=size if size > 1 else 0, gap=2),
        "aligned rows": rows(size, (6, 32), wider=32),
        "filled elements": rows(size, (6, 32), filled=(0,)),
    }.items()
}  # fmt: skip


def directions(case: BoxCase | ListCase) -> list[bool]:
    return [False] if case.filled else [False, True]


@pytest.mark.parametrize("name", CASES)
@ways(*SOURCES)
def test_tiles_land_where_numpy_puts_them(way: Way, name: str) -> None:
    for gather in directions(CASES[name]):
        with way.buffers() as b:
            check(b, CASES[name], gather=gather)


@pytest.mark.parametrize("offset", range(16))
@ways(*SOURCES, modes=["check"], orders=["reverse"])
def test_rows_move_at_any_alignment(way: Way, offset: int) -> None:
    for size, swap in ((1, 0), (2, 2), (4, 0), (8, 8)):
        case = rows(size, (3, 32), swap=swap, wider=32, misaligned=(offset, offset * 5 % 16))
        with way.buffers() as b:
            check(b, case)


@ways(*SOURCES, modes=["fast"])
def test_a_huge_tile_beside_many_tiny_ones(way: Way) -> None:
    shapes = [(1 + i % 3, 1 + i % 5) for i in range(1500)]
    case = rows(2, (700, 500), *shapes, elements=2048, filled=tuple(range(7, 1500, 13)))
    with way.buffers() as b:
        check(b, case)


@either_direction
@ways(*SOURCES, modes=["check"])
def test_a_table_of_many_tiles_is_searched(way: Way, gather: bool) -> None:
    for n in (1, 2, 31, 32, 33, 65, 1100):
        shapes = [(i % 4,) for i in range(1, n + 1)]
        with way.buffers() as b:
            check(b, rows(2, *shapes, elements=16), gather=gather)


@ways("gather.cu", orders=["random"])
def test_one_value_goes_to_many_places(way: Way) -> None:
    case = BoxCase(4, count=((5, 6),), step=((24, 4),), strides=(0, 0))
    repeated = lists(4, (6, 7))
    repeated = ListCase(4, position=repeated.position, target=((np.zeros(6, np.int64), np.arange(7) // 2 * 4),))
    with way.buffers() as b:
        check(b, case, gather=True)
        check(b, repeated, gather=True)


# ---- tiles of more elements than 32 bits count -----------------------------------------------------------------------

FAR = (1 << 33) + 64
MANY_ROWS = (FAR, 64, 1), (64, 1, 1), 64 * (FAR - 1), 64


def far(b: Buffers, shape: tuple[int, ...], step: tuple[int, ...], begin: int, count: int) -> None:
    """The only block does `count` elements from `begin` on, of a box that is said to begin far before its memory."""
    source, target = b.put(np.arange(count, dtype=np.uint8)), b.room(count)
    away, rest = 0, begin
    for n, s in zip(reversed(shape), reversed(step), strict=True):
        rest, i = divmod(rest, n)
        away += i * s
    tables = [b.table([(side.address - away) % 2**64]) for side in (source, target)]
    tables += [b.table(column, np.int64) for column in (shape, step, step)]
    first = b.table([-(begin // 64), 1], np.int64)  # that block does the tile's last share
    item = [np.int32(len(shape)), np.int32(1), np.int32(0), np.uint64(0), np.int32(64), first, np.uint32(1)]
    b.launch("gz_scatter_boxes", 1, 128, [*tables, *item])
    assert target.bytes() == source.bytes()


@ways("scatter.cu", orders=["forward"])
def test_a_row_goes_on_beyond_4_gib(way: Way) -> None:
    with way.buffers() as b:
        far(b, (FAR + 40,), (1,), FAR, 40)
        far(b, (3, 2 * FAR), (2 * FAR, 1), FAR, 64)
        far(b, (2 * FAR,), (1,), 640, 64)


@ways("scatter.cu", orders=["forward"])
def test_a_tile_of_more_rows_than_32_bits_count(way: Way) -> None:
    with way.buffers() as b:
        far(b, *MANY_ROWS)
        far(b, (FAR, 3, 16), (48, 16, 1), 48 * (FAR // 2), 64)


# ---- anything --------------------------------------------------------------------------------------------------------

SIZES = st.one_of(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 17))


@st.composite
def options(draw: st.DrawFn, tiles: int, gather: bool) -> dict[str, Any]:
    size = draw(SIZES)
    units = [unit for unit in range(2, size + 1) if size % unit == 0]
    unit = size if draw(st.booleans()) else 1
    return {
        "size": size,
        "swap": draw(st.sampled_from([0, 0, *units])),
        "elements": draw(st.sampled_from([16, 32, 48, 256, 2048])),
        "misaligned": tuple(draw(st.integers(0, 16)) * unit % 16 for _ in range(2)),
        "filled": () if gather else tuple(draw(st.sets(st.integers(0, tiles - 1)))),
    }


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[int, ...]]:
    rank = draw(st.integers(0, 6))
    most = (40, 40, 20, 8, 4, 3, 3)[rank]
    shape = st.tuples(*[st.integers(0 if rank else 1, most)] * rank)
    found = draw(st.lists(shape, min_size=1, max_size=4))
    return found if any(0 not in shape for shape in found) else [(1,) * rank]


@st.composite
def boxes(draw: st.DrawFn, gather: bool) -> BoxCase:
    count = draw(shapes())
    rank = len(count[0])
    given = draw(options(len(count), gather))
    size = given.pop("size")
    most = [max(1, *column) for column in zip(*count, strict=True)]

    def strides(room: Sequence[int]) -> tuple[int, ...]:
        order = draw(st.one_of(st.just(range(rank)), st.permutations(range(rank))))
        pad = draw(st.sampled_from([0, 0, 0, 1, size]))
        return strides_of(room, size + pad, order, draw(st.sampled_from([1, 1, 2])))

    flips = draw(st.tuples(*[st.sampled_from([1, 1, -1])] * rank))
    out = tuple(s * f for s, f in zip(strides(most), flips, strict=True))
    step = tuple(strides([n + draw(st.integers(0, 3)) for n in most]) for _ in count)
    return BoxCase(size, count=tuple(count), step=step, strides=out, **given)


@st.composite
def outer(draw: st.DrawFn, gather: bool) -> ListCase:
    count = [shape for shape in draw(shapes()) if 0 not in shape]
    count = count[:1] if count[0] == () else count
    given = draw(options(len(count), gather))
    size = given.pop("size")
    pad = draw(st.sampled_from([0, 0, 1]))
    many = len(count[0]) == 1 and draw(st.booleans())
    return lists(size, *count, straight=draw(st.booleans()), pad=pad, points=many, **given)


@either_direction
@ways(*SOURCES)
@settings(max_examples=25)
@given(st.data())
def test_any_boxes_land(way: Way, gather: bool, data: st.DataObject) -> None:
    with way.buffers() as b:
        check(b, data.draw(boxes(gather)), gather=gather)


@either_direction
@ways(*SOURCES)
@settings(max_examples=20)
@given(st.data())
def test_any_lists_land(way: Way, gather: bool, data: st.DataObject) -> None:
    with way.buffers() as b:
        check(b, data.draw(outer(gather)), gather=gather)


# ---- how they go about it --------------------------------------------------------------------------------------------


def writes(b: Buffers, case: BoxCase | ListCase, *, gather: bool = False) -> dict[int, int]:
    """How many bytes are written to global memory, by the size of the writes."""
    with b.emulator.traffic() as found:
        check(b, case, gather=gather)
    wanted = [entry for entry in found if (entry.space, entry.access) == ("global", "write")]
    return {size: sum(e.nbytes for e in wanted if e.size == size) for size in {entry.size for entry in wanted}}


@either_direction
@ways(*SOURCES, modes=["check"], orders=["forward"])
def test_contiguous_rows_move_in_the_widest_cells(way: Way, gather: bool) -> None:
    run = offsets((8,), (2 * 64,)), offsets((64,), (2,))
    with way.buffers() as b:
        assert writes(b, rows(2, (8, 64), wider=64), gather=gather) == {16: 1024}
        assert writes(b, rows(12, (8, 20), wider=4, swap=4), gather=gather) == {16: 1920}
        assert writes(b, rows(2, (8, 64), misaligned=(4, 0)), gather=gather) == {4: 1024}
        assert writes(b, ListCase(2, position=(run,), target=(run,)), gather=gather) == {16: 1024}


@ways(*SOURCES, modes=["check"], orders=["forward"])
def test_the_fill_value_is_written_in_the_widest_cells(way: Way) -> None:
    with way.buffers() as b:
        assert writes(b, rows(2, (8, 64), filled=(0,))) == {16: 1024}


@either_direction
@ways(*SOURCES, modes=["check"], orders=["forward"])
def test_other_elements_are_written_one_by_one_and_once(way: Way, gather: bool) -> None:
    with way.buffers() as b:
        assert writes(b, turned(4, (5, 6, 7)), gather=gather) == {4: 840}


@either_direction
@ways(*SOURCES, modes=["check"], orders=["forward"])
def test_warps_touch_no_more_sectors_than_they_need(way: Way, gather: bool) -> None:
    with way.buffers() as b:
        for case in (rows(2, (32, 64), wider=64, elements=2048), rows(2, (8, 250), elements=2048)):
            with b.emulator.traffic() as found:
                check(b, case, gather=gather)
            far = [e for e in found if e.space == "global" and e.access == "write" and e.units > 2 * e.least]
            assert not far


@ways(*SOURCES, modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        for case in CASES.values():
            for gather in directions(case):
                check(b, case, gather=gather)
        far(b, *MANY_ROWS)
        lines = b.emulator.lines()
    for name in (*SOURCES, "tiles.cuh"):
        assert [line for line, count in lines[name].items() if not count] == [], name
