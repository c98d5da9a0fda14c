"""gz_cast_* convert elements as NumPy does when they scatter them: all types, any strides, byte order and alignment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")

from cast_cases import PAIRS, TYPES, CastCase, check_cast, interesting
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_faults import plant, switch_on

from gpuzarr.cuda.launch import CODES
from gpuzarr.errors import DeviceError
from kernels import Buffers, Way, ways

MIXED = CastCase("uint8", "float32", ((600,),), kind="tables", pad=(0, 1), elements=2048)

CASES = {
    "one element": CastCase("uint16", "float32", ((),)),
    "one filled element": CastCase("uint16", "float32", ((),), filled=(0,)),
    "rows longer than a share": CastCase("uint8", "float32", ((3, 300),), elements=256),
    "rows in many shares": CastCase("int16", "float32", ((30, 24), (7, 13)), swap=True),
    "more rows than threads": CastCase("float32", "bfloat16", ((300, 8),), elements=2048),
    "more elements than threads take at once": CastCase("float64", "float32", ((700,),), elements=2048),
    "turned": CastCase("uint16", "float32", ((5, 6, 7),), turned=True),
    "turned and swapped": CastCase("float64", "float16", ((5, 6, 7),), turned=True, swap=True),
    "chunks off by one byte": CastCase("float32", "float64", ((5, 9),), misaligned=(1, 0), swap=True),
    "results off by two bytes": CastCase("int32", "float32", ((5, 9),), misaligned=(0, 2)),
    "padded in the chunk": CastCase("int64", "int16", ((5, 9),), pad=(1, 0)),
    "padded in the result": CastCase("bool", "float64", ((5, 40),), pad=(0, 3), elements=2048),
    "filled among others": CastCase("uint8", "float16", ((5, 9), (3, 20), (9, 2)), filled=(1,)),
    "filled and padded": CastCase("uint32", "bfloat16", ((5, 9),), filled=(0,), pad=(0, 1), swap=True),
    "tables": CastCase("int16", "float32", ((5, 9), (7, 3)), kind="tables", elements=16, filled=(1,)),
    "tables of three axes": CastCase("int64", "float32", ((4, 5, 6), (2, 3, 70)), kind="tables", elements=32),
    "padded tables": CastCase("float16", "float64", ((9, 30),), kind="tables", pad=(1, 1), swap=True),
    "tables in which some are misaligned": MIXED,
    "points": CastCase("uint16", "bfloat16", ((100,), (3,), (1,)), kind="points", elements=32),
    "filled points": CastCase("uint16", "float64", ((30,), (7,)), kind="points", filled=(0,)),
    "tiles of nothing": CastCase("int8", "int64", ((2, 3), (0, 3), (2, 0), (1, 3))),
}


@pytest.mark.parametrize("name", CASES)
@ways("cast.cu")
def test_converted_elements_land_where_they_should(way: Way, name: str) -> None:
    with way.buffers() as b:
        check_cast(b, CASES[name])


@pytest.mark.parametrize(("a", "b"), PAIRS)
@ways("cast.cu", modes=["fast"], orders=["forward"])
def test_values_are_those_of_astype(way: Way, a: str, b: str) -> None:
    n = 20_000
    for swap in (False, True):
        with way.buffers() as memory:
            check_cast(memory, CastCase(a, b, ((n,),), elements=2048, swap=swap), interesting(TYPES[a], n, swap))


@pytest.mark.parametrize(("a", "b"), [("float16", b) for _, b in PAIRS if _ == "float16"] + [("bfloat16", "float64")])
@ways("cast.cu", modes=["fast"], orders=["forward"])
def test_every_number_of_16_bits_is_converted(way: Way, a: str, b: str) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(TYPES[a])
    with way.buffers() as memory:
        check_cast(memory, CastCase(a, b, (every.shape,), elements=2048), every)


@pytest.mark.parametrize(("a", "b"), PAIRS)
@ways("cast.cu", modes=["check"], orders=["random"])
def test_no_type_is_read_or_written_beyond_its_elements(way: Way, a: str, b: str) -> None:
    with way.buffers() as memory:
        check_cast(memory, CastCase(a, b, ((3, 20),), misaligned=(1, 0), swap=True))
        check_cast(memory, CastCase(a, b, ((3, 20),)))


NANS = {
    ("float16", "float32"): {0x7E00: 0x7FC00000, 0x7C01: 0x7F802000, 0xFD55: 0xFFAAA000},
    ("float16", "float64"): {0x7E00: 0x7FF8000000000000, 0xFC01: 0xFFF0040000000000},
    ("float16", "bfloat16"): {0x7C01: 0x7FC0, 0xFE01: 0xFFC0},
    ("float32", "float16"): {0x7F800001: 0x7C01, 0xFFD55555: 0xFEAA, 0xFF955555: 0xFCAA, 0x7FC00000: 0x7E00},
    ("float32", "float64"): {0x7F800001: 0x7FF8000020000000, 0xFFD55555: 0xFFFAAAAAA0000000},
    ("float32", "bfloat16"): {0x7F800001: 0x7FC0, 0xFFD55555: 0xFFC0},
    ("float64", "float16"): {0x7FF0000000000001: 0x7C01, 0x7FF5555555555555: 0x7D55, 0xFFFD555555555555: 0xFF55},
    ("float64", "float32"): {0x7FF0000000000001: 0x7FC00000, 0xFFFD555555555555: 0xFFEAAAAA},
    ("float64", "bfloat16"): {0x7FF0000000000001: 0x7FC0, 0xFFFD555555555555: 0xFFC0},
    ("bfloat16", "float32"): {0x7F81: 0x7F810000, 0xFFD5: 0xFFD50000},
    ("bfloat16", "float64"): {0x7F81: 0x7FF8200000000000, 0xFFD5: 0xFFFAA00000000000},
}
"""What becomes of NaNs, in bits: what NumPy 2.4 and ml_dtypes 0.6 make of them on x86-64."""


@pytest.mark.parametrize(("a", "b"), NANS)
@ways("cast.cu", modes=["fast"], orders=["forward"])
def test_payloads_of_nans_are_kept_as_the_source_says(way: Way, a: str, b: str) -> None:
    bits = [np.dtype(f"u{TYPES[name].itemsize}") for name in (a, b)]
    given = np.array([*NANS[a, b]], bits[0])
    with way.buffers() as memory:
        found = check_cast(memory, CastCase(a, b, (given.shape,)), given.view(TYPES[a]))
    assert found.view(bits[1]).tolist() == [*NANS[a, b].values()]


ODD_BOOLS = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)


@ways("cast.cu", modes=["fast"], orders=["forward"])
def test_any_byte_but_zero_is_true(way: Way) -> None:
    for wanted in ("int8", "uint64", "float16", "float64"):
        with way.buffers() as b:
            assert check_cast(b, CastCase("bool", wanted, ((4,),)), ODD_BOOLS).tolist() == [0, 1, 1, 1]


def test_numbers_of_types_say_their_size() -> None:
    assert len(set(CODES.values())) == len(CODES) == 13
    assert all(code % 16 == TYPES[name].itemsize for name, code in CODES.items())


@st.composite
def any_case(draw: st.DrawFn) -> CastCase:
    a, b = draw(st.sampled_from(PAIRS))
    kind = draw(st.sampled_from(["boxes", "tables", "points"]))
    rank = 1 if kind == "points" else draw(st.integers(1, 4))
    shape = st.tuples(*[st.integers(1, (60, 20, 9, 5)[rank - 1])] * rank)
    count = tuple(draw(st.lists(shape, min_size=1, max_size=4)))
    return CastCase(
        a,
        b,
        count,
        kind,
        turned=draw(st.booleans()),
        pad=(draw(st.sampled_from([0, 0, 1, 8])), draw(st.sampled_from([0, 0, 1, 8]))),
        swap=draw(st.booleans()),
        elements=draw(st.sampled_from([16, 48, 256, 2048])),
        misaligned=(draw(st.integers(0, 8)), draw(st.integers(0, 8))),
        filled=tuple(draw(st.sets(st.integers(0, len(count) - 1)))),
    )


@ways("cast.cu")
@settings(max_examples=25)
@given(any_case())
def test_any_tiles_are_converted(way: Way, case: CastCase) -> None:
    with way.buffers() as b:
        check_cast(b, case)


def written(b: Buffers, case: CastCase) -> dict[int, int]:
    """How many bytes are written to global memory, by the size of the writes."""
    with b.emulator.traffic() as found:
        check_cast(b, case)
    wanted = [entry for entry in found if (entry.space, entry.access) == ("global", "write")]
    return {size: sum(e.nbytes for e in wanted if e.size == size) for size in {entry.size for entry in wanted}}


@ways("cast.cu", modes=["check"], orders=["forward"])
def test_elements_are_written_once_and_whole_where_they_are_aligned(way: Way) -> None:
    with way.buffers() as b:
        assert written(b, CastCase("uint16", "float32", ((9, 32),), elements=2048)) == {4: 4 * 9 * 32}
        assert written(b, MIXED) == {4: 600, 1: 1800}


@ways("cast.cu", modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        probe(b)
        lines = b.emulator.lines()
    assert [line for line, count in lines["cast.cu"].items() if not count] == []


# ---- planted mistakes ------------------------------------------------------------------------------------------------


def probe(b: Buffers) -> None:
    for case in CASES.values():
        check_cast(b, case)
    for one, other in PAIRS:
        check_cast(b, CastCase(one, other, ((600,),), elements=2048))
    for (one, other), nans in NANS.items():
        bits = [np.dtype(f"u{TYPES[name].itemsize}") for name in (one, other)]
        given = np.array([*nans], bits[0]).view(TYPES[one])
        assert check_cast(b, CastCase(one, other, (given.shape,)), given).view(bits[1]).tolist() == [*nans.values()]
    assert check_cast(b, CastCase("bool", "int8", ((4,),)), ODD_BOOLS).tolist() == [0, 1, 1, 1]


MISTAKES = [
    ("0x7fc00000 | ((gz_u32)(bits >> 29) & 0x3fffff)", "0x7fc00000"),
    ("(bits & 0x1fffffff) != 0", "0"),
    ("rest > 0x7ff0000000000000ull", "false"),
    ("rest >= 0x40f0000000000000ull", "false"),
    ("rest < 0x3e50000000000000ull", "false"),
    ("(quiet ? 0x7ff8000000000000ull : 0x7ff0000000000000ull)", "0x7ff8000000000000ull"),
    ("(quiet ? 0x7ff8000000000000ull : 0x7ff0000000000000ull)", "0x7ff0000000000000ull"),
    ("rest < 0x400", "rest < 0x3ff"),
    ("(rest < 0x7c00 ? 112u : 224u)", "112u"),
    ("(payload ? payload : 1)", "payload"),
    ("rest >= 0x477ff000", "rest >= 0x49000000"),
    ("rest >= 0x38800000", "rest >= 0x38000000"),
    ("0xfff + (rest >> 13 & 1)", "0x1000"),
    ("rest <= 0x33000000", "rest <= 0x33800000"),
    ("lost > 0x80000000u", "lost >= 0x80000000u"),
    ("(lost == 0x80000000u && (kept & 1))", "false"),
    ("(bits >> 16 & 0x8000) | 0x7fc0", "0x7fc0"),
    ("0x7fff + (bits >> 16 & 1)", "0x8000"),
    ("if (kind == GZ_BOOL) return bits != 0;", ""),
    ("kind == GZ_SIGNED ? (gz_u64)((gz_i64)(bits << unused) >> unused) : bits", "bits"),
    ("from == to", "false"),
    ("(sign ? (double)(gz_i64)bits : (double)bits)", "(double)bits"),
    ("(sign ? (float)(gz_i64)bits : (float)bits)", "(float)(gz_i64)bits"),
    ("to == GZ_HALF ? gz_odd_of_double(bits) : gz_single_of_double(bits)", "gz_single_of_double(bits)"),
    ("from != GZ_HALF", "true"),
    ("to == GZ_BFLOAT ? gz_bfloat_of_single(single) : single", "single"),
    ("if (mask >> k & 1) gz_put((V*)way[k].to, (V)value[k]);", "gz_put((V*)way[k].to, (V)value[k]);"),
    ("(way.from & ((types.from & 15) - 1)) != 0", "false"),
    ("(way.to & ((types.to & 15) - 1)) != 0", "false"),
    ("left |= odd;", "left = odd;"),
    ("if (!odd && at < span.count) mask |= 1 << k;", "if (at < span.count) mask |= 1 << k;"),
    ("if (!odd && at < span.count) mask |= 1 << k;", "if (!odd) mask |= 1 << k;"),
    ("if (!gz_is_odd(way, types)) continue;", ""),
    ("span.skip + index", "index"),
    ("swap > 1 ? i : size - 1 - i", "i"),
    ("swap > 1 ? i : size - 1 - i", "size - 1 - i"),
    ("share.filled ? to : from", "from"),
    ("way.from += share.lead * share.here.from_pitch;", ""),
    ("way.to += share.lead * share.here.to_pitch;", ""),
    ("share.row + threadIdx.x", "share.row"),
    ("if (threadIdx.x == 0) gz_go_on(share, elements);\n        __syncthreads();", "gz_go_on(share, elements);"),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistaken")
    plant("cast.cu", MISTAKES, folder)
    return folder


@pytest.mark.parametrize("number", range(len(MISTAKES) + 1))
@ways("cast.cu", modes=["check"], orders=["random"])
def test_a_mistake_is_found(way: Way, number: int, mistaken: Path) -> None:
    planted = Way((mistaken / "cast.cu",), way.mode, way.order)
    try:
        with planted.buffers() as b:
            switch_on(b, number)
            probe(b)
            found = written(b, CastCase("uint16", "float32", ((9, 32),), elements=2048)) != {4: 4 * 9 * 32}
            found |= written(b, MIXED) != {4: 600, 1: 1800}
    except (AssertionError, DeviceError):
        found = True
    assert found == (number > 0)
