"""The DEFLATE kernel does what zlib does, whatever the bytes, and touches nothing else."""

from __future__ import annotations

import random
from typing import Any

import deflate_cases as cases
import numpy as np
import pytest
from deflate_cases import FRAMINGS
from deflate_launch import ORDERS, THREADS, Order, decode, disagreements, emulator
from deflate_streams import BARE, GZIP, ZLIB, Stream, by_chance, disagreement, framed, verdict
from fuzz_deflate import load_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from lz_formats import FORMAT
from lz_streams import corpora

from gpuzarr.testing.emulator import Emulator
from kernels import needs_compiler

pytestmark = needs_compiler

every_order = pytest.mark.parametrize("order", ORDERS)
every_framing = pytest.mark.parametrize("framing", FRAMINGS, ids=["bare", "zlib", "gzip"])


@pytest.fixture(scope="module", params=["fast", "check"])
def emu(request: pytest.FixtureRequest) -> Emulator:
    return emulator(request.param)


@pytest.fixture(scope="module")
def fast() -> Emulator:
    return emulator("fast")


@pytest.fixture(scope="module")
def check() -> Emulator:
    return emulator("check")


def agree(emu: Emulator, framing: int, streams: list[Stream], **how: Any) -> list[int]:
    """Decodes, compares with zlib, and returns the statuses."""
    got = decode(emu, framing, streams, **how)
    assert not disagreements(framing, streams, got)
    return [status for status, _ in got]


def some(emu: Emulator, streams: list[Stream], share: int) -> list[Stream]:
    """All in fast mode; in check mode, which is slow, the smaller ones, and of them one of `share`."""
    return streams if emu.mode == "fast" else [each for each in streams if each[1] < 20_000][::share]


# ---- streams as they should be -------------------------------------------------------------------------------


@every_framing
@every_order
def test_what_zlib_writes_is_decoded(emu: Emulator, order: Order, framing: int) -> None:
    """At all its levels, with all its strategies and windows."""
    streams = some(emu, cases.of_all_levels(framing)[ORDERS.index(order) :: 3], 5)
    assert not any(agree(emu, framing, streams, order=order, seed=3, shift=ORDERS.index(order)))


def test_what_zlib_writes_when_flushed_is_decoded(emu: Emulator) -> None:
    assert not any(agree(emu, BARE, some(emu, cases.of_odd_settings(), 3)))


@every_order
def test_streams_of_few_bytes_are_decoded(emu: Emulator, order: Order) -> None:
    streams = some(emu, cases.of_all_sizes(), 9)[ORDERS.index(order) :: 3]
    assert not any(agree(emu, BARE, streams, order=order, seed=5))


@every_order
def test_what_is_written_by_hand_is_decoded(emu: Emulator, order: Order) -> None:
    streams = some(emu, cases.by_hand(), 1)[ORDERS.index(order) :: 3]
    assert not any(agree(emu, BARE, streams, order=order, seed=4, shift=5 * ORDERS.index(order)))


@every_order
def test_what_is_written_by_chance_is_decoded(emu: Emulator, order: Order) -> None:
    streams = some(emu, cases.of_chance(), 2)[ORDERS.index(order) :: 3]
    assert not any(agree(emu, BARE, streams, order=order, seed=6, shift=ORDERS.index(order)))


def test_headers_with_all_there_is_are_understood(emu: Emulator) -> None:
    assert not any(agree(emu, ZLIB, cases.of_zlibs_framing()))
    assert not any(agree(emu, GZIP, cases.of_members(), order="reverse", shift=3))


@pytest.mark.parametrize("level", [1, 6, 9])
def test_chunks_of_a_megabyte_are_decoded(fast: Emulator, level: int) -> None:
    names = ("mri", "image", "walk", "text", "noise", "labels")
    data = np.concatenate([corpora()[name].view("u1").reshape(-1) for name in names])
    whole = np.resize(data, 1 << 20)
    whole[200_000:] += np.arange(len(whole) - 200_000).astype("u1") >> 6
    assert not any(agree(fast, GZIP, [cases.of_zlib(whole.tobytes(), GZIP, level)]))


@every_framing
def test_alignment_does_not_matter(emu: Emulator, framing: int) -> None:
    streams = [framed(framing, each) for each in cases.small()]
    for shift in range(0, 16, 1 if emu.mode == "fast" else 5):
        assert not any(agree(emu, framing, streams * 16 if emu.mode == "fast" else streams, shift=shift))


# ---- streams as they should not be ---------------------------------------------------------------------------


@every_order
def test_mistakes_by_hand_are_found(emu: Emulator, order: Order) -> None:
    wrong = [(BARE, cases.wrong_by_hand()), *((each, cases.wrong_framings(each)) for each in (ZLIB, GZIP))]
    for framing, streams in wrong:
        statuses = agree(emu, framing, [(data, room) for data, room, _ in streams], order=order)
        assert statuses == [status for *_, status in streams]


@every_framing
def test_every_beginning_of_a_stream_is_refused(emu: Emulator, framing: int) -> None:
    for data, room in (framed(framing, each) for each in cases.small()):
        lengths = range(len(data)) if emu.mode == "fast" else range(0, len(data), 7)
        assert all(agree(emu, framing, [(data[:size], room) for size in lengths]))


@every_framing
def test_every_wrong_bit_is_taken_as_zlib_takes_it(fast: Emulator, framing: int) -> None:
    for data, room in [framed(framing, each) for each in cases.small()][0 if framing == BARE else 2 :]:
        changed = [bytearray(data) for _ in range(8 * len(data))]
        for bit, each in enumerate(changed):
            each[bit // 8] ^= 1 << bit % 8
        agree(fast, framing, [(bytes(each), room) for each in changed], shift=3)


def test_every_wrong_byte_is_taken_as_zlib_takes_it(check: Emulator) -> None:
    rng = random.Random(8)
    data, room = cases.small()[0]
    changed = []
    for at in range(len(data)):
        each = bytearray(data)
        each[at] = rng.randrange(256)
        changed.append((bytes(each), room))
    assert {0, 5} <= set(agree(check, BARE, changed, shift=11))


def test_bytes_by_chance_are_taken_as_zlib_takes_them(fast: Emulator) -> None:
    rng = random.Random(9)
    agree(fast, BARE, [(rng.randbytes(rng.randrange(60)), rng.randrange(200)) for _ in range(3000)])


@every_framing
def test_a_stream_decodes_to_its_room_or_not_at_all(fast: Emulator, framing: int) -> None:
    data, right = framed(framing, cases.small()[0])
    statuses = agree(fast, framing, [(data, lie) for lie in range(right + 40)])
    assert [lie for lie, status in enumerate(statuses) if status == 0] == [right]


@pytest.mark.parametrize(
    ("size", "room"), [(2**31, 10), (10, 2**31), (2**32 + 20, 10), (10, 2**32 + 10), (2**64 - 1, 2**64 - 1)]
)
def test_sizes_of_2_gib_are_refused_unseen(check: Emulator, size: int, room: int) -> None:
    columns = [np.array([number], np.uint64) for number in (16, size, 32, room)]  # no memory is there
    status = np.zeros(1, np.int32)
    for column in (*columns, status):
        check.register(column.ctypes.data, column.nbytes, initialised=True, tag="column")
    addresses = [np.uint64(column.ctypes.data) for column in (*columns, status)]
    check.launch("gz_deflate", 1, THREADS, [np.uint32(BARE), *addresses, np.uint32(1)])
    for column in (*columns, status):
        check.unregister(column.ctypes.data)
    assert status[0] == FORMAT


@every_order
def test_the_corpus_of_malformed_streams(emu: Emulator, order: Order) -> None:
    """What fuzz_deflate.py found worth keeping."""
    for framing in FRAMINGS:
        streams = load_corpus()[framing]
        assert len(streams) > 40
        kept = streams if emu.mode == "fast" else streams[ORDERS.index(order) :: 3]
        assert set(agree(emu, framing, kept, order=order, shift=ORDERS.index(order))) >= {0, 1, 2, 5}


@st.composite
def damaged(draw: st.DrawFn, framing: int) -> Stream:
    known = [framed(framing, each) for each in (*cases.small(), *(by_chance(seed) for seed in range(4)))]
    data, room = draw(st.sampled_from(known))
    other, _ = draw(st.sampled_from(known))
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        put = draw(st.binary(max_size=5))
        damages = {
            "lost": data[:at] + data[end:],
            "put in": data[:at] + put + data[at:],
            "written over": data[:at] + put + data[at + len(put) :],
            "spliced": data[:at] + other[min(end, len(other)) :],
        }
        data = damages[draw(st.sampled_from(sorted(damages)))]
    return data, max(0, room + draw(st.sampled_from([0, 0, 0, 1, -1, 13, -13])))


@every_framing
@settings(max_examples=15, deadline=None)
@given(data=st.data(), order=st.sampled_from(ORDERS), shift=st.integers(0, 15))
def test_any_damage_is_taken_as_zlib_takes_it(
    check: Emulator, framing: int, data: st.DataObject, order: Order, shift: int
) -> None:
    streams = data.draw(st.lists(damaged(framing), min_size=1, max_size=8))
    agree(check, framing, streams, order=order, shift=shift)


# ---- the tests themselves ------------------------------------------------------------------------------------


def test_zlib_refuses_what_is_wrong_by_hand() -> None:
    for data, room, _ in cases.wrong_by_hand():
        assert verdict(data, room, BARE)[0] is None


def test_a_difference_would_be_told() -> None:
    data, room = cases.small()[0]
    right = verdict(data, room, BARE)[0] or b""
    assert disagreement((data, room), BARE, (0, right)) is None
    assert disagreement((data, room), BARE, (0, right[:-1] + b"!")) is not None
    assert disagreement((data, room), BARE, (5, b"")) is not None
    assert disagreement((data[:-1], room), BARE, (0, right)) is not None


def test_every_line_of_the_kernel_has_run() -> None:
    """In what these tests decode, of which this is a part."""
    covering = emulator("cover")
    decode(covering, BARE, [*cases.by_hand()[::3], *((data, room) for data, room, _ in cases.wrong_by_hand())])
    for framing, right in ((ZLIB, cases.of_zlibs_framing()), (GZIP, cases.of_members())):
        decode(covering, framing, [*right, *((data, room) for data, room, _ in cases.wrong_framings(framing))])
    lines = covering.lines()
    unrun = [
        f"{name}:{line}" for name in ("deflate.cu", "deflate_tables.cuh") for line, n in lines[name].items() if not n
    ]
    assert not unrun
