"""The Zstandard kernel does what libzstd does, whatever the bytes, and touches nothing else."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import zstd_cases as cases
from fuzz_zstd import load_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from lz_formats import FORMAT
from lz_streams import corpora
from zstd_frames import Stream, by_chance
from zstd_launch import ORDERS, THREADS, Order, decode, disagreements, emulator
from zstd_model import disagreement, libzstd, outcome, xxh64

from gpuzarr.testing.emulator import Emulator
from kernels import needs_compiler

pytestmark = needs_compiler

every_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(scope="module", params=["fast", "check"])
def emu(request: pytest.FixtureRequest) -> Emulator:
    return emulator(request.param)


@pytest.fixture(scope="module")
def fast() -> Emulator:
    return emulator("fast")


@pytest.fixture(scope="module")
def check() -> Emulator:
    return emulator("check")


def agree(emu: Emulator, streams: list[Stream], *, model: bool = True, **how: Any) -> list[int]:
    """Decodes, compares with model and library, and returns the statuses."""
    got = decode(emu, streams, **how)
    assert not disagreements(streams, got, model=model)
    return [status for status, _ in got]


def some(emu: Emulator, streams: list[Stream], share: int) -> list[Stream]:
    """All in fast mode; in check mode, which is slow, the smaller ones, and of them one of `share`."""
    return streams if emu.mode == "fast" else [each for each in streams if each[1] < 20_000][::share]


# ---- frames as they should be --------------------------------------------------------------------------------


@every_order
def test_what_libzstd_writes_is_decoded(emu: Emulator, order: Order) -> None:
    streams = some(emu, cases.of_all_levels()[ORDERS.index(order) :: 3], 2)
    assert not any(agree(emu, streams, model=False, order=order, seed=3, shift=ORDERS.index(order)))


@every_order
def test_frames_of_few_bytes_are_decoded(emu: Emulator, order: Order) -> None:
    assert not any(agree(emu, some(emu, cases.of_all_sizes(), 5), model=False, order=order, seed=5))


@every_order
def test_what_is_written_by_hand_is_decoded(emu: Emulator, order: Order) -> None:
    streams = some(emu, cases.by_hand()[ORDERS.index(order) :: 3], 2)
    assert not any(agree(emu, streams, order=order, seed=4, shift=5 * ORDERS.index(order)))


@every_order
def test_what_is_written_by_chance_is_decoded(emu: Emulator, order: Order) -> None:
    assert not any(agree(emu, some(emu, cases.of_chance(), 2), order=order, seed=6, shift=ORDERS.index(order)))


@pytest.mark.parametrize("level", [-5, 1, 3, 9, 19])
def test_chunks_of_a_megabyte_are_decoded(fast: Emulator, level: int) -> None:
    """Of eight blocks, which use tables and trees of those before."""
    names = ("mri", "image", "walk", "text", "noise", "labels")
    data = np.concatenate([corpora()[name].view("u1").reshape(-1) for name in names])
    whole = np.resize(data, 1 << 20)
    whole[200_000:] += np.arange(len(whole) - 200_000).astype("u1") >> 6
    assert not any(
        agree(fast, [cases.of_libzstd(whole, level, True), cases.of_libzstd(whole[:300_001], level)], model=False)
    )


def test_alignment_does_not_matter(emu: Emulator) -> None:
    for shift in range(0, 16, 1 if emu.mode == "fast" else 5):
        assert not any(agree(emu, cases.small() * 16 if emu.mode == "fast" else cases.small(), shift=shift))


def test_encoders_with_other_settings_are_understood(fast: Emulator) -> None:
    """Small windows, long distances, many flushed blocks, no content size, several threads."""
    zstandard = pytest.importorskip("zstandard")
    text = corpora()["text"].tobytes() + corpora()["mri"].tobytes() + corpora()["text"].tobytes()
    streams = []
    for settings_ in (
        {"window_log": 10},
        {"window_log": 14, "enable_ldm": True},
        {"window_log": 27, "enable_ldm": True, "ldm_min_match": 16},
        *({"strategy": strategy, "min_match": 3 + strategy % 5} for strategy in range(1, 10)),
        {"min_match": 7, "hash_log": 6, "chain_log": 6, "search_log": 1},
        {"target_length": 4096, "strategy": 9},
    ):
        made = zstandard.ZstdCompressionParameters(write_checksum=1, **settings_)
        streams.append((zstandard.ZstdCompressor(compression_params=made).compress(text), len(text)))
    for step in (1, 7, 100, 3000):
        writer = zstandard.ZstdCompressor(level=step % 19, write_content_size=False).compressobj()
        part = text[: 200 * step]
        data = b""
        for k in range(0, len(part), step):
            data += writer.compress(part[k : k + step]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        streams.append((data + writer.flush(), len(part)))
    assert not any(agree(fast, streams, model=False))


# ---- frames as they should not be ----------------------------------------------------------------------------


@every_order
def test_mistakes_by_hand_are_found(emu: Emulator, order: Order) -> None:
    streams = (
        cases.wrong_by_hand() if emu.mode == "fast" else [each for each in cases.wrong_by_hand() if each[1] < 70_000]
    )
    assert {0, 1, 2, 3, 4, 5, 6} <= set(agree(emu, streams, order=order))


def test_every_beginning_of_a_frame_is_refused(emu: Emulator) -> None:
    for data, room in cases.small():
        lengths = range(len(data)) if emu.mode == "fast" else range(0, len(data), 7)
        assert all(agree(emu, [(data[:size], room) for size in lengths]))


def test_every_wrong_bit_is_taken_as_libzstd_takes_it(fast: Emulator) -> None:
    for data, room in cases.small():
        changed = [bytearray(data) for _ in range(8 * len(data))]
        for bit, each in enumerate(changed):
            each[bit // 8] ^= 1 << bit % 8
        agree(fast, [(bytes(each), room) for each in changed], shift=3)


def test_many_wrong_bytes_are_taken_as_libzstd_takes_them(check: Emulator) -> None:
    rng = random.Random(8)
    data, room = cases.small()[1]
    changed = []
    for at in range(len(data)):
        each = bytearray(data)
        each[at] = rng.randrange(256)
        changed.append((bytes(each), room))
    assert {0, 5} <= set(agree(check, changed, shift=11))


def test_a_frame_decodes_to_its_room_or_not_at_all(fast: Emulator) -> None:
    data, room = cases.of_libzstd(b"abc" * 30 + bytes(50), 3)
    told = cases.whole([cases.raw(b"some"), cases.run(5, 60)])
    for frame, right in ((data, room), told):
        statuses = agree(fast, [(frame, lie) for lie in range(1, right + 40)])
        assert [lie for lie, status in enumerate(statuses, 1) if status == 0] == [right]


@pytest.mark.parametrize(
    ("size", "room"), [(2**31, 10), (10, 2**31), (2**32 + 20, 10), (10, 2**32 + 10), (2**64 - 1, 2**64 - 1)]
)
def test_sizes_of_2_gib_are_refused_unseen(check: Emulator, size: int, room: int) -> None:
    columns = [np.array([number], np.uint64) for number in (16, size, 32, room)]  # no memory is there
    status = np.zeros(1, np.int32)
    for column in (*columns, status):
        check.register(column.ctypes.data, column.nbytes, initialised=True, tag="column")
    args = [*(np.uint64(column.ctypes.data) for column in (*columns, status)), np.uint32(1)]
    check.launch("gz_zstd", 1, THREADS, args)
    for column in (*columns, status):
        check.unregister(column.ctypes.data)
    assert status[0] == FORMAT


@every_order
def test_the_corpus_of_malformed_frames(emu: Emulator, order: Order) -> None:
    """What fuzz_zstd.py found worth keeping."""
    streams = load_corpus()
    assert len(streams) > 300
    kept = streams if emu.mode == "fast" else streams[ORDERS.index(order) :: 3]
    assert set(agree(emu, kept, order=order, shift=ORDERS.index(order))) >= {0, 1, 2, 3, 4, 5}


@st.composite
def damaged(draw: st.DrawFn) -> Stream:
    data, room = draw(st.sampled_from([*cases.small(), *(by_chance(seed, size=30, count=2) for seed in range(4))]))
    other, _ = draw(st.sampled_from(cases.small()))
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
    return data, max(1, room + draw(st.sampled_from([0, 0, 0, 1, -1, 13, -13])))


@settings(max_examples=60, deadline=None)
@given(streams=st.lists(damaged(), min_size=1, max_size=8), order=st.sampled_from(ORDERS), shift=st.integers(0, 15))
def test_any_damage_is_taken_as_libzstd_takes_it(
    check: Emulator, streams: list[Stream], order: Order, shift: int
) -> None:
    agree(check, streams, order=order, shift=shift)


# ---- the tests themselves ------------------------------------------------------------------------------------


def test_the_model_and_libzstd_agree_on_what_is_written_by_hand() -> None:
    streams = [*cases.by_hand(), *cases.of_chance(), *cases.of_all_sizes()]
    for data, room in streams:
        assert room == 0 or libzstd(data, room) == outcome(data, room).output


def test_the_model_knows_checksums() -> None:
    """Those of the xxHash specification's own test vectors, and of libzstd."""
    assert (xxh64(b""), xxh64(b"abc")) == (0xEF46DB3751D8E999, 0x44BC2CF5AD770999)
    data, _ = cases.of_libzstd(corpora()["mri"], 3, True)
    assert int.from_bytes(data[-4:], "little") == xxh64(corpora()["mri"].tobytes()) & 0xFFFFFFFF


def test_a_difference_would_be_told() -> None:
    data, room = cases.small()[0]
    right = outcome(data, room)
    assert disagreement((data, room), (0, right.output)) is None
    assert disagreement((data, room), (0, right.output[:-1] + b"!")) is not None
    assert disagreement((data, room), (5, b"")) is not None
    assert disagreement((data[:-1], room), (0, right.output)) is not None


def test_every_line_of_the_kernel_has_run() -> None:
    """In what these tests decode, of which this is a part."""
    covering = emulator("cover")
    right = [*cases.by_hand()[::5], *cases.in_the_way()[::4], *cases.of_chance()]
    decode(covering, [*right, *cases.wrong_by_hand(), *load_corpus()])
    lines = covering.lines()
    names = ["zstd.cu", "zstd_blocks.cuh", "zstd_tables.cuh", "zstd_xxh64.cuh"]
    unrun = [f"{name}:{line}" for name in names for line, count in lines[name].items() if not count]
    assert not unrun
