"""Whatever the bytes, a decoder makes no more steps than its bound says. Some streams need more than half of that."""

from __future__ import annotations

from collections.abc import Callable

import deflate_cases
import deflate_launch
import fuzz_deflate
import numpy as np
import pytest
import zstd_cases as cases
import zstd_launch
from deflate_streams import BARE, END, GZIP, ZLIB, Writer, member
from fuzz_zstd import load_corpus
from step_bounds import DEFLATE, ZSTD, ZSTD_ENTROPY, ZSTD_EXECUTE, Bound, deflate_blocks, zstd_blocks
from test_kernels_zstd_staged import of_coverage, others
from test_zstd_encoders import of_other_encoders
from zstd_cases import NOISE, whole
from zstd_frames import Described, Stream, again, compressed, frame, own, plain, raw, run, sequences, single

from gpuzarr.errors import DeviceError
from kernels import needs_compiler

pytestmark = needs_compiler


def zstd_steps(streams: list[Stream]) -> list[int]:
    covering = zstd_launch.emulator("cover")
    zstd_launch.decode(covering, streams)
    return [int(steps) for steps in covering.steps()]


def tables_of_a_few_bytes(count: int) -> Stream:
    """Blocks of 20 bytes, each with the three largest tables there can be, for 4 bytes of output."""
    tables = [own([0, 512], 9), own([0, 0, 256], 8), own([512], 9)]
    block = compressed(plain(b"a"), sequences([(1, 3, 5)], tables))
    return whole([raw(b"abcd"), *[block] * count])


def matches_of_no_bytes(count: int) -> Stream:
    """Sequences that take no bit of the input, for 3 bytes of output each."""
    section = sequences([(0, 3, 1)] * count, [single(0, 0), single(1, 0), single(2, 0)])
    return whole([raw(NOISE[:9]), compressed(plain(b""), section)])


ZSTD_STREAMS: dict[str, Callable[[], list[Stream]]] = {
    "libzstd, all levels": lambda: cases.of_all_levels()[::2],
    "by hand": lambda: cases.by_hand()[::3],
    "by chance": cases.of_chance,
    "wrong by hand": cases.wrong_by_hand,
    "the fuzzer's": load_corpus,
    "other encoders'": of_other_encoders,
    "tables of a few bytes": lambda: [tables_of_a_few_bytes(count) for count in (1, 200)],
    "matches of no bytes": lambda: [matches_of_no_bytes(count) for count in (1, 100, 20_000)],
    "a megabyte": lambda: [cases.of_libzstd(np.resize(np.frombuffer(NOISE, "u1"), 1 << 20), 1)],
}


@pytest.mark.parametrize("name", ZSTD_STREAMS)
def test_zstd_makes_no_more_steps_than_promised(name: str) -> None:
    streams = ZSTD_STREAMS[name]()
    allowed = [ZSTD.steps(len(data), room, zstd_blocks(data)) for data, room in streams]
    over = [k for k, (made, most) in enumerate(zip(zstd_steps(streams), allowed, strict=True)) if made > most]
    assert not over


def test_the_bound_of_zstd_is_reached_by_half() -> None:
    many, few = zstd_steps([tables_of_a_few_bytes(200), tables_of_a_few_bytes(100)])
    assert (many - few) / 100 > ZSTD.block / 2
    many, few = zstd_steps([matches_of_no_bytes(20_000), matches_of_no_bytes(10_000)])
    assert (many - few) / 30_000 > ZSTD.byte / 2


# ---- Zstandard, in two launches ------------------------------------------------------------------------------

Steps = dict[str, list[tuple[int, int]]]


def staged_steps(streams: list[Stream], instead: list[bytes] | None = None) -> Steps:
    """By kernel: the steps made and those allowed, of each block or frame of those that are for the two."""
    covering, found = zstd_launch.emulator("cover", "staged"), Steps()
    data = [data for data, _ in streams] if instead is None else instead

    def watch(kernel: str, rows: zstd_launch.Rows, blocks: zstd_launch.Blocks) -> None:
        most = [ZSTD_ENTROPY.steps(0, scratch, 0) for scratch in blocks.scratch.tolist()]
        if kernel == "gz_zstd_execute":
            frames = [(data[row], streams[row][1]) for row in rows]
            most = [ZSTD_EXECUTE.steps(len(bytes_), room, zstd_blocks(bytes_)) for bytes_, room in frames]
        found[kernel] = list(zip(covering.steps().tolist(), most, strict=True))

    zstd_launch.decode_staged(covering, streams, instead=instead, watch=watch)
    return found


def tables_of_three_blocks() -> Stream:
    """Blocks that use the largest tables there can be, of three blocks that describe long ones besides."""
    large, long = [own([0, 512], 9), own([0, 0, 256], 8), own([512], 9)], [even(36, 9), even(29, 8), even(53, 9)]
    repeated = [again(table.table) for table in large]
    used = [[*repeated[:kind], large[kind], *long[kind + 1 :]] for kind in range(3)]
    blocks = [compressed(plain(b"a"), sequences([(1, 3, 5)], tables)) for tables in (*used, repeated)]
    return whole([raw(NOISE[:20]), *blocks])


def even(symbols: int, log: int) -> Described:
    """A table in which they are about as likely."""
    each = (1 << log) // symbols
    return own([(1 << log) - each * (symbols - 1), *[each] * (symbols - 1)], log)


def sequences_of_many_bits(count: int) -> Stream:
    """Sequences of 63 bits: that the numbers cannot be right, only their execution finds."""
    section = bytes([128 + (count >> 8), count & 255, 0x54, 35, 31, 52]) + b"U" * (8 * count)
    return frame([run(1, 4 * count), compressed(plain(b""), section)], window=0x50), 4 * count + 4


def small_blocks(count: int) -> Stream:
    return whole([raw(NOISE[:9]), *[compressed(plain(b""), sequences([(0, 4, 4)], cases.defaults()))] * count])


def short_matches(count: int) -> Stream:
    """A literal and the last offset but two, for 4 bytes of output."""
    return whole([raw(NOISE[:9]), compressed(plain(b"a" * count), sequences([(1, 3, 3)] * count, cases.defaults()))])


STAGED_STREAMS: dict[str, Callable[[], tuple[list[Stream], list[bytes] | None]]] = {
    **{name: lambda made=made: (made(), None) for name, made in ZSTD_STREAMS.items()},  # type: ignore[misc]
    "tables of three blocks": lambda: ([tables_of_three_blocks()], None),
    "sequences of many bits": lambda: ([sequences_of_many_bits(count) for count in (128, 3000)], None),
    "small blocks": lambda: ([small_blocks(count) for count in (1, 12)], None),
    "short matches": lambda: ([short_matches(count) for count in (1, 100, 3000)], None),
    "the coverage fuzzer's": lambda: (of_coverage(), None),
    "changed after the host has looked": lambda: others(0),
}


@pytest.mark.parametrize("name", STAGED_STREAMS)
def test_zstd_in_two_launches_makes_no_more_steps_than_promised(name: str) -> None:
    found = staged_steps(*STAGED_STREAMS[name]())
    assert [(kernel, over) for kernel, each in found.items() if (over := [s for s in each if s[0] > s[1]])] == []
    assert found["gz_zstd_execute"]


def test_the_bounds_of_the_two_launches_are_reached_by_half() -> None:
    def last(kernel: str, stream: Stream) -> int:
        return staged_steps([stream])[kernel][-1][0]

    assert last("gz_zstd_entropy", tables_of_three_blocks()) > ZSTD_ENTROPY.block / 2
    many, few = (last("gz_zstd_entropy", sequences_of_many_bits(count)) for count in (3000, 1000))
    assert (many - few) / 2000 / 16 > ZSTD_ENTROPY.byte / 2
    many, few = (last("gz_zstd_execute", small_blocks(count)) for count in (12, 4))
    assert (many - few) / 8 > ZSTD_EXECUTE.block / 2
    many, few = (last("gz_zstd_execute", short_matches(count)) for count in (3000, 1000))
    assert (many - few) / 2000 / 4 > ZSTD_EXECUTE.byte / 2


# ---- DEFLATE -------------------------------------------------------------------------------------------------


def deflate_steps(framing: int, streams: list[Stream]) -> list[int]:
    covering = deflate_launch.emulator("cover")
    deflate_launch.decode(covering, framing, streams)
    return [int(steps) for steps in covering.steps()]


def codes_of_a_few_bytes(count: int) -> Stream:
    """Blocks of 90 and 10 bits, each with new codes, for no output."""
    writer, end = Writer(), deflate_cases.one_symbol(END, 257)
    packed = [(18, 127), (18, 107), (1, 0), (1, 0)]
    for _ in range(count):
        writer.told([], end, [1], packed=packed, code=[0, 1, *[0] * 16, 1]).fixed([])
    return writer.fixed([], last=True).bytes(), 0


def long_codes(count: int) -> Stream:
    """Literals of 15 bits, which no table has."""
    literals = deflate_cases.lopsided(286, [*range(14), END, 14])
    return Writer().told([14] * count, literals, [0], last=True).bytes(), count


DEFLATE_STREAMS: dict[str, Callable[[], list[tuple[int, list[Stream]]]]] = {
    "zlib, all levels": lambda: [(framing, deflate_cases.of_all_levels(framing)[framing::12]) for framing in range(3)],
    "by hand": lambda: [(BARE, deflate_cases.by_hand()), (ZLIB, deflate_cases.of_zlibs_framing())],
    "by chance": lambda: [(BARE, deflate_cases.of_chance()[::3])],
    "wrong by hand": lambda: [(BARE, [(data, room) for data, room, _ in deflate_cases.wrong_by_hand()])],
    "the fuzzer's": lambda: [(framing, kept[::3]) for framing, kept in enumerate(fuzz_deflate.load_corpus())],
    "codes of a few bytes": lambda: [(BARE, [codes_of_a_few_bytes(count) for count in (0, 1, 200)])],
    "long codes": lambda: [(BARE, [long_codes(count) for count in (1, 100, 5000)])],
    "members of nothing": lambda: [(GZIP, [(member(b"\3\0", b"") * count, 0) for count in (1, 2, 100)])],
    "headers": lambda: [(GZIP, deflate_cases.of_members()), (GZIP, [(member(b"\3\0", b"", name=b"n" * 60_000), 0)])],
}


@pytest.mark.parametrize("name", DEFLATE_STREAMS)
def test_deflate_makes_no_more_steps_than_promised(name: str) -> None:
    for framing, streams in DEFLATE_STREAMS[name]():
        allowed = [DEFLATE.steps(len(data), room, deflate_blocks(data)) for data, room in streams]
        made = deflate_steps(framing, streams)
        assert not [k for k, (steps, most) in enumerate(zip(made, allowed, strict=True)) if steps > most]


def test_the_bound_of_deflate_is_reached_by_half() -> None:
    many, few = deflate_steps(BARE, [codes_of_a_few_bytes(200), codes_of_a_few_bytes(100)])
    assert (many - few) / 1250 > DEFLATE.block / 6 / 2
    many, few = deflate_steps(BARE, [long_codes(4000), long_codes(2000)])
    assert (many - few) / (2000 + 2000 * 15 / 8) > DEFLATE.byte / 2


# ---- the tests themselves ------------------------------------------------------------------------------------


def test_a_bound_counts_bytes_and_blocks() -> None:
    assert Bound(byte=2, block=100).steps(10, 20, 3) == 2 * 30 + 100 * 4
    assert [zstd_blocks(whole([raw(b"abc")] * count)[0]) for count in (1, 2, 7)] == [1, 2, 7]
    assert zstd_blocks(b"") == 0


def test_steps_are_counted_in_cover_mode_only() -> None:
    with pytest.raises(DeviceError, match="cover mode"):
        zstd_launch.emulator("fast").steps()
