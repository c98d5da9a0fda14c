"""The two kernels for Zstandard frames of several blocks do what the one for any frame does: errors may be others."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import zstd_cases as cases
from fuzz_coverage import load as covering_corpus
from fuzz_coverage import stream_of
from fuzz_zstd import load_corpus
from kernel_faults import plant, switch_on
from lz_streams import corpora
from test_zstd_encoders import of_other_encoders
from zstd_frames import (
    Stream,
    again,
    by_chance,
    compressed,
    default,
    frame,
    huffman,
    own,
    plain,
    raw,
    run,
    sequences,
    single,
    weights_as_they_are,
)
from zstd_launch import ORDERS, Order, decode, decode_staged, emulator
from zstd_model import LARGEST, disagreement, libzstd, outcome

from gpuzarr.cuda.frames import zstd_frames
from gpuzarr.cuda.zstd_blocks import MANY, SCRATCH, Blocks, zstd_blocks
from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import Emulator, load
from kernels import Buffers, needs_compiler

pytestmark = needs_compiler

every_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(scope="module", params=["fast", "check"])
def emu(request: pytest.FixtureRequest) -> Emulator:
    return emulator(request.param, "staged")


@pytest.fixture(scope="module")
def fast() -> Emulator:
    return emulator("fast", "staged")


def differs(stream: Stream, got: tuple[int, bytes] | None) -> str | None:
    """As `disagreement`, which wants the status of the first thing that is wrong: here it may be any."""
    if got is None or (stream[1] and libzstd(*stream) == (None if got[0] else got[1])):
        return None  # without the model, which is slow
    status = outcome(*stream).status
    return disagreement(stream, (status if status and got[0] else got[0], got[1]))


def agree(emu: Emulator, streams: list[Stream], **how: Any) -> list[int]:
    """Decodes, compares, and returns the statuses of those that are for these kernels."""
    got = decode_staged(emu, streams, **how)
    assert [wrong for each in zip(streams, got, strict=True) if (wrong := differs(*each))] == []
    return [each[0] for each in got if each is not None]


def some(emu: Emulator, streams: list[Stream], share: int) -> list[Stream]:
    """In check mode, which is slow, the smaller ones, and of them one of `share`."""
    return streams if emu.mode == "fast" else [each for each in streams if each[1] < 20_000][::share]


# ---- frames as they should be --------------------------------------------------------------------------------


@every_order
def test_what_encoders_write_is_decoded(emu: Emulator, order: Order) -> None:
    k = ORDERS.index(order)
    streams = [*cases.of_all_levels()[k::6], *cases.of_all_sizes()[k::15]]
    statuses = agree(emu, some(emu, streams, 2), order=order, seed=3, shift=k)
    assert not any(statuses)
    assert len(statuses) >= len(some(emu, streams, 2)) - 1


@every_order
def test_what_is_written_by_hand_and_by_chance_is_decoded(emu: Emulator, order: Order) -> None:
    k = ORDERS.index(order)
    streams = some(emu, [*cases.by_hand()[k::6], *cases.of_chance()[k::3]], 2)
    statuses = agree(emu, streams, order=order, seed=4, shift=5 * k)
    assert not any(statuses)
    assert len(statuses) > 0.9 * len(streams)


@pytest.mark.parametrize("level", [-5, 1, 9, 19])
def test_chunks_of_a_megabyte_are_decoded(fast: Emulator, level: int) -> None:
    """Of eight blocks, which use tables and trees of those before."""
    names = ("mri", "image", "walk", "text", "labels")
    data = np.concatenate([corpora()[name].view("u1").reshape(-1) for name in names])
    whole = np.resize(data, 1 << 20)
    whole[200_000:] += np.arange(len(whole) - 200_000).astype("u1") >> 6
    streams = [cases.of_libzstd(whole, level, True), cases.of_libzstd(whole[:300_001], level)]
    assert agree(fast, streams) == [0, 0]


# ---- frames as they should not be ----------------------------------------------------------------------------


@every_order
def test_mistakes_are_found(emu: Emulator, order: Order) -> None:
    k = ORDERS.index(order)
    streams = [each for each in [*cases.wrong_by_hand(), *load_corpus()[k::3]] if each[1] < 70_000]
    assert {0, 2, 3, 4, 5, 6} <= set(agree(emu, streams, order=order, shift=7))


def test_every_wrong_bit_is_taken_as_libzstd_takes_it(fast: Emulator) -> None:
    for data, room in (cases.small()[1], by_chance(5, size=30, count=3)):
        changed = [bytearray(data) for _ in range(8 * len(data))]
        for bit, each in enumerate(changed):
            each[bit // 8] ^= 1 << bit % 8
        agree(fast, [(bytes(each), room) for each in changed[::2] + changed[1:400:2]], shift=3)


def of_coverage() -> list[Stream]:
    return [stream_of(data) for data in covering_corpus("zstd")]


@pytest.mark.parametrize(("saved", "left_out"), [(load_corpus, 416), (of_coverage, 291), (of_other_encoders, 3)])
def test_saved_frames_are_taken_as_the_kernel_for_any_frame_takes_them(
    saved: Callable[[], list[Stream]], left_out: int
) -> None:
    """What the fuzzers found worth keeping, and what encoders wrote that no wheel has: all that the host lets in."""
    streams = saved()
    staged = decode_staged(emulator("check", "staged"), streams, order="random", seed=2, shift=1)
    other = decode(emulator("fast"), streams)
    both = [(got, right) for got, right in zip(staged, other, strict=True) if got is not None]
    assert not [pair for pair in both if pair[0] != pair[1] and not (pair[0][0] and pair[1][0])]
    assert len(streams) - len(both) == left_out


def test_saved_frames_whose_bytes_change_after_the_host_has_looked_do_no_harm() -> None:
    rng = random.Random(6)
    saved = [*load_corpus()[::5], *of_coverage()[::5], *of_other_encoders()[::5]]
    streams = [(data, room) for data, room in saved if data and room < 20_000]
    instead = [damaged(data, rng) for data, _ in streams]
    got = decode_staged(emulator("check", "staged"), streams, instead=instead, shift=2)
    assert {0, 5} <= {each[0] for each in got if each is not None}


@every_order
def test_nothing_else_is_touched_though_the_bytes_are_others_than_the_host_saw(order: Order) -> None:
    """Tables are trusted, frames are not: not even to be those that the tables were made of."""
    check = emulator("check", "staged")
    streams, instead = others(ORDERS.index(order))
    got = decode_staged(check, streams, instead=instead, order=order, shift=5)
    told = {each[0] for each in got if each is not None}
    assert {0, 2, 5} <= told


@pytest.mark.parametrize(("size", "room"), [(2**31, 100), (100, 2**31), (2**32 + 20, 2**32 + 9)])
def test_sizes_of_2_gib_are_refused_unseen(size: int, room: int) -> None:
    check = emulator("check", "staged")
    columns = [np.array([n], np.uint64) for n in (16, size, 32, room, 0, 1)]  # no memory is there
    status, ones = np.zeros(2, np.int32), np.ones(4, np.uint64)
    for column in (*columns, status, ones):
        check.register(column.ctypes.data, column.nbytes, initialised=True, tag="column")
    src, sizes, dst, rooms, zero, one = (np.uint64(column.ctypes.data) for column in columns)
    found, other = np.uint64(status.ctypes.data), np.uint64(ones.ctypes.data)
    check.launch("gz_zstd_entropy", 1, 64, [src, sizes, rooms, one, other, *[one] * 4, found, np.uint32(1)])
    lists = [zero, one, one, one, found, np.uint64(int(found) + 4)]
    check.launch("gz_zstd_execute", 1, 32, [src, sizes, dst, rooms, *lists, np.uint32(1)])
    for column in (*columns, status, ones):
        check.unregister(column.ctypes.data)
    assert status.tolist() == [5, 5]


def others(seed: int) -> tuple[list[Stream], list[bytes]]:
    """Frames, and other bytes of the same sizes: changed by chance, and a third of one frame's bytes to some others."""
    rng = random.Random(seed)
    streams = [*cases.small(), *(by_chance(seed, size=40, count=4) for seed in range(9))]
    instead = [damaged(data, rng) for data, _ in streams]
    whole = several()
    last = len(whole[0]) - 13  # the header of the last block, which then is one that the tables don't have
    for at in (*range(seed, len(whole[0]), 3), last):
        for byte in (0xFC, 0x00, whole[0][at] ^ 16, whole[0][at] ^ 4):  # modes, types, numbers
            streams.append(whole)
            instead.append(whole[0][:at] + bytes([byte]) + whole[0][at + 1 :])
    return streams, instead


def several() -> Stream:
    """Blocks of all kinds, with a tree and tables that are used again."""
    found = [(4, 5, 9)] * 33
    tables = [own([4, 4, 4, 4, 16], 5), own([8, 8, 8, 8], 5), own([0, 0, 32], 5)]
    repeated = [again(table.table) for table in tables]
    letters = cases.letters(TREE, 140)
    return cases.whole(
        [
            raw(b"0123456789"),
            compressed(huffman(letters, TREE, TOLD), sequences(found, tables)),
            run(7, 9),
            compressed(huffman(letters, TREE, None), sequences(found, repeated)),
            raw(b"0123456789"),
        ]
    )


def beyond_its_block() -> Stream:
    """A frame whose first block decodes to more than any of its blocks may."""
    large = compressed(plain(b"abcd"), sequences([(4, 1400, 7)], cases.defaults()))
    return frame([large, raw(b"x" * 500), compressed(plain(b"y" * 10))], window=0), 1914


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Other bytes in a few places, mostly in headers; as many."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        out[rng.choice((rng.randrange(len(out)), rng.randrange(min(30, len(out)))))] = rng.randrange(256)
    return bytes(out)


# ---- what the host finds -------------------------------------------------------------------------------------

TREE, WEIGHTS = cases.lopsided(5)
TOLD, LETTERS = weights_as_they_are(WEIGHTS), cases.letters(TREE, 40)


def blocks_of(*parts: Any, room: int = 1 << 20, least: int = 0) -> tuple[list[int], Blocks | None]:
    """Where the blocks of a frame begin, and what is found of it."""
    data = frame(list(parts), window=0x50)
    slab = np.frombuffer(b"\xa5" * 5 + data + b"\xa5" * 5, np.uint8)
    good, blocks = zstd_blocks(slab, np.array([5]), np.array([len(data)]), np.array([room]), least)
    starts = 6 + np.cumsum([0, *(3 + len(part[2]) for part in parts)])
    return starts[:-1].tolist(), blocks if good[0] else None


def test_the_blocks_that_describe_what_a_block_uses_are_found() -> None:
    found = [(4, 5, 9)] * 3
    tables = [own([4, 4, 4, 4, 16], 5), own([8, 8, 8, 8], 5), own([0, 0, 32], 5)]
    repeated = [again(table.table) for table in tables]
    starts, blocks = blocks_of(
        raw(b"0123456789"),
        compressed(huffman(LETTERS, TREE, TOLD), sequences(found, tables)),
        compressed(plain(b"abcd" * 3)),
        compressed(huffman(LETTERS, TREE, None), sequences(found, [repeated[0], default(1), repeated[2]])),
        run(7, 100),
        compressed(plain(b"abcd" * 3), sequences(found, [repeated[0], again(default(1).table), single(2, 2)])),
    )
    assert blocks is not None
    _, one, two, three, _, five = starts
    assert blocks.at.tolist() == [one, two, three, five]
    assert blocks.origin.tolist() == [[one] * 4, [one] * 4, [one, one, three, one], [one, one, three, five]]
    assert blocks.literals.tolist() == [40, 0, 40, 0]
    assert blocks.sequences.tolist() == [3, 0, 3, 3]


def test_frames_of_few_blocks_or_with_something_odd_are_not_for_these_kernels() -> None:
    good = compressed(plain(b"abcd"), sequences([(1, 3, 4)], cases.defaults()))
    assert blocks_of(good, good, least=2)[1] is not None
    assert blocks_of(good, raw(b"x" * 500), least=2)[1] is None
    treeless = compressed(huffman(LETTERS, TREE, None))
    table = default(0).table
    odd = [
        treeless,
        compressed(plain(b"abcd"), sequences([(1, 3, 4)], [again(table), default(1), default(2)])),
        (2, 3, b"\x00\x00\x00"),
        (2, 2, b"\x10\x00"),
        (2, 2, b"\x00\x01"),
        compressed(plain(b""), b"\xff\xff\xff\x54\0\0\0\1"),
    ]
    for each in odd[:2]:
        assert blocks_of(each, good)[1] is None
    assert blocks_of(*[good] * 3, room=3 * 16 // SCRATCH)[1] is not None
    assert blocks_of(*[good] * 3, room=3 * 16 // SCRATCH - 1)[1] is None
    assert [blocks_of(each, good)[1] for each in odd[2:]] == [None] * 4


def test_more_frames_than_keep_a_device_busy_are_decoded_by_one_launch() -> None:
    part, _ = cases.of_libzstd(np.arange(100_000, dtype="<u4"), 1)
    slab, column = np.frombuffer(part, np.uint8), np.ones(MANY + 1, np.int64)
    for count, expected in ((MANY, MANY), (MANY + 1, 0)):
        at, size, room = (n * column[:count] for n in (0, len(part), 400_000))
        good, blocks = zstd_blocks(slab, at, size, room)
        assert good.sum() == len(set(blocks.frame.tolist())) == expected


def test_scratch_memory_is_bounded_by_what_frames_decode_to() -> None:
    streams = [*cases.of_all_levels(), *cases.by_hand(), *load_corpus()]
    size, room = np.array([[len(data), room] for data, room in streams]).T
    slab = np.frombuffer(b"".join(data for data, _ in streams), np.uint8)
    found = zstd_frames(slab, np.cumsum(size) - size, size, room).streams
    good, blocks = zstd_blocks(slab, found.source, found.size, found.room, many=len(streams))
    room = found.room
    assert good.sum() > 100
    assert (np.bincount(blocks.frame, blocks.scratch) <= SCRATCH * room[good]).all()
    assert (blocks.literals + 3 * blocks.sequences <= LARGEST).all()


# ---- the tests themselves ------------------------------------------------------------------------------------

FAULTS = [  # what is right, and what stands there instead
    ("if (l.type == 3) used = 0;", ""),
    ("if ((told.modes >> (6 - 2 * kind) & 3) == 3) return GZ_FORMAT;", ""),
    ("kind < 3 ? 1u << kind : 7", "7"),
    ("if (kind == 3) q.at = told.at;", ""),
    ("to + read", "to"),
    ("l.count > most_literals[row]", "false"),
    ("q.count > most_sequences[row]", "false"),
    ("origin + 4 * row + 1", "origin + 4 * row"),
    ("wrong = gz_zstd_agree(s, wrong);", ""),
    ("if (threadIdx.x == 0) found[row] = wrong;", "if (threadIdx.x == 0 && wrong) found[row] = wrong;"),
    ("s.output.at = l.type < 2 ? l.at : 0;", "s.output.at = l.at;"),
    ("f.room - f.op < f.block ? f.room : f.op + f.block", "f.room"),
    ("lane + GZ_ZSTD_BATCH < left", "true"),
    ("sequences[read + GZ_ZSTD_BATCH + lane]", "sequences[read + lane]"),
    ("row == first[blockIdx.x + 1]", "false"),
    ("begin != at[row]", "false"),
    ("if (const gz_i32 wrong = found[row]) return wrong;", ""),
    (
        "decoded = {(const gz_u8*)literals[row], l.count};",
        "decoded = {(const gz_u8*)literals[row], l.count + 8};",
    ),
    ("sequences[row++]", "sequences[row]"),
    ("s.output.offset[1] = 4;", "s.output.offset[1] = 3;"),
]  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """All of them in one build, each behind a switch."""
    folder = tmp_path_factory.mktemp("faulty")
    plant("zstd_staged.cu", FAULTS, folder)
    return load("check", sources=[folder / "zstd_staged.cu"])


@cache
def launches() -> list[tuple[list[Stream], list[bytes] | None]]:
    """Frames, and the bytes that the kernels find instead of those the host saw."""
    hand = [each for each in [*cases.by_hand()[::4], *cases.of_chance()[::2]] if each[1] < 20_000]
    wrong = [each for each in cases.wrong_by_hand() if each[1] < 20_000]
    most = [*wrong, *load_corpus()[::6], *hand]
    return [([several(), beyond_its_block(), *hand[::4]], None), *(others(seed) for seed in range(3)), (most, None)]


def found(emu: Emulator) -> str | None:
    for shift, (streams, instead) in enumerate(launches()):
        try:
            got = decode_staged(emu, streams, instead=instead, shift=shift, order=ORDERS[shift % 3])
        except (DeviceError, AssertionError) as error:
            return str(error)
        if instead is None and (wrong := [w for each in zip(streams, got, strict=True) if (w := differs(*each))]):
            return wrong[0]
    return None


@pytest.mark.parametrize("number", range(len(FAULTS) + 1))
def test_planted_mistakes_are_found(faulty: Emulator, number: int) -> None:
    buffers = Buffers(faulty, "forward")
    switch_on(buffers, number)
    try:
        told = found(faulty)
    finally:
        where = buffers.room(8, tag="where")
        buffers.launch("gz_where_planted", 1, 1, [where.pointer])
        faulty.unregister(int(where.array("u8")[0]))
        buffers.forget()
    assert (told is not None) == (number > 0), told or FAULTS[number - 1]


def test_every_line_of_the_kernels_has_run() -> None:
    covering = emulator("cover", "staged")
    for streams, instead in (launches()[0], launches()[-1]):
        decode_staged(covering, streams, instead=instead)
    unrun = [line for line, count in covering.lines()["zstd_staged.cu"].items() if not count]
    assert not unrun
