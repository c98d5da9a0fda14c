"""Mistakes planted in the Zstandard kernel are found by what its tests decode: each where one could be made."""

from __future__ import annotations

from functools import cache

import pytest
import zstd_cases as cases
from fuzz_zstd import load_corpus
from kernel_faults import plant, switch_on
from zstd_frames import Stream
from zstd_launch import decode, disagreements

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import Emulator, load
from kernels import Buffers, needs_compiler

pytestmark = needs_compiler

HEADERS = ("zstd_blocks.cuh", "zstd_tables.cuh", "zstd_xxh64.cuh")
LAST = "if (lane == 0) making.weight[n] = (gz_u8)last;"
FAULTS = [  # what is right, and what stands there instead
    # bit streams
    ("last << (31 - have) << 1", "last << (31 - have)"),
    ("begin - at < 4", "true"),
    ("if (have > 32) return;", "if (have > 20) return;"),
    ("high >> 1 >> (31 - n)", "high >> (32 - n)"),
    # descriptions of tables
    ("(peek(0) & 15) + 5", "(peek(0) & 15) + 4"),
    ("if (log > most) return 0;", ""),
    ("if (symbol >= symbols) return 0;", ""),
    ("2 * threshold - 1 - remaining", "2 * threshold - remaining"),
    ("remaining -= count ? count - 1 : 1;", "remaining -= count - 1;"),
    # tables
    ("size - 1 - __popc(rare_a) - __popc(rare_b & below)", "size - 1 - __popc(rare_b & below)"),
    ("(size >> 1) + (size >> 3) + 3", "(size >> 1) + (size >> 3) + 1"),
    ("cell < high", "cell <= high"),
    ("sum_b += gz_shfl(sum_a, 31);", ""),
    ("b < 0 ? 1 : b", "b"),
    ("entry < 32 ? means_a : means_b", "means_a"),
    # trees
    ("if (bits.rest() < 0) return 0;", ""),
    ("n < 254", "n < 255"),
    ("return n + 2;", "return n + 1;"),
    ("log == 6 ? 11 : 91", "255"),
    ("if (lane < 4) making.weight[n + lane] = 0;", ""),
    ("lane == 31 && weight > GZ_HUFFMAN_LONGEST", "false"),
    ("total == 0 || longest > GZ_HUFFMAN_LONGEST", "total == 0"),
    ("rest & (rest - 1)", "0"),
    ("lane == 1 && count < 2", "false"),
    (f"gz_syncwarp();  // all have read the zero there\n    {LAST}", LAST),
    ("place -= span;", ""),
    ("longest + 1 - weight", "longest - weight"),
    ("width == GZ_HUFFMAN_LONGEST ? tree.sorted[index] : found >> 8", "found >> 8"),
    ("return bits.rest() == 0;", "return true;"),
    # checksums
    ("n & ~31u", "n & ~63u"),
    ("which == 2 ? 0 : 0 - GZ_XXH64_1", "which == 2 ? 0 : GZ_XXH64_1"),
    ("end - p >= 4", "end - p > 4"),
    ("hash += n;", ""),
    # literals
    ("length < header", "false"),
    ("length < 5", "length < 4"),
    ("l.four && l.count < 6", "false"),
    ("l.type == 3 && !(f.flags & GZ_ZSTD_TREE)", "false"),
    ("l.count > f.block", "false"),
    ("l.stored > length - header", "false"),
    ("l.count > f.room - f.op ? GZ_OVERFLOW : GZ_OK", "GZ_OK"),
    ("three > size", "false"),
    ("each * (lane & 3)", "each * lane % 8"),
    # sequences
    ("at == end || f.src[at] >= symbols", "at == end || f.src[at] > symbols"),
    ("kind == GZ_ZSTD_OFFSETS ? 8 : 9", "9"),
    ("symbol >= powers", "symbol > powers"),
    ("(means >> 6) + ((means >> 5 & 1) << (means & 31))", "(means >> 6)"),
    ("return r.bits.rest() == 0;", "return r.bits.rest() > -1;"),
    ("return r.bits.rest() >= 0;", "return true;"),
    ("number - (literals ? 1 : 0)", "number - 1"),
    ("o.offset[0] - 1", "o.offset[0]"),
    ("literals > o.left", "literals > o.left + 1"),
    ("o.left + length > o.end - o.op", "length > o.end - o.op"),
    ("o.left + length > f.room - o.op ? GZ_OVERFLOW : GZ_FORMAT", "GZ_OVERFLOW"),
    ("offset - 1 >= o.op + literals", "offset - 1 > o.op + literals"),
    ("if (offset < length) step %= offset;", ""),
    ("if (lane < both) f.dst[o.op + lane] = byte;", "if (lane <= both) f.dst[o.op + lane] = byte;"),
    ("if (o.type != 1) o.at += literals;", "o.at += literals;"),
    ("last < o.op ? last : o.op - 1", "last"),
    ("sequence.z > 3 && from < o.op", "sequence.z > 3"),
    ("at >= s.reader.bits.begin", "true"),
    ("lane - 16 < tail", "lane - 16 <= tail"),
    ("gap < n ? (gz_u32)gap : n", "n"),
    # blocks
    ("q.end - q.at < more", "false"),
    ("q.at == q.end ? GZ_OK : GZ_FORMAT", "GZ_OK"),
    ("(q.modes & 3)", "0"),
    ("q.modes & q.modes >> 1 & 0x54", "0"),
    ("__syncthreads();", ""),
    ("s.wrong[1] ? s.wrong[1] : s.wrong[0]", "s.wrong[0] ? s.wrong[0] : s.wrong[1]"),
    ("f.room - f.op < f.block ? f.room : f.op + f.block", "f.room"),
    ("q.count ? GZ_ZSTD_TABLES : 0", "GZ_ZSTD_TABLES"),
    # frames
    ("if (flags & 8) return GZ_FORMAT;", ""),
    ("exponent > 31", "exponent > 41"),
    ("if (f.src[at++]) return GZ_FORMAT;", "at++;"),
    ("content > f.room ? GZ_OVERFLOW : GZ_SIZE", "GZ_SIZE"),
    ("if (wide == 2) content += 256;", ""),
    ("type == 3 || length > f.block", "type == 3"),
    ("if (f.size() - f.at < stored) return GZ_TRUNCATED;", ""),
    ("if (f.size() - f.at < 3) return GZ_TRUNCATED;", ""),
    ("if (f.op < f.room) return GZ_SIZE;", ""),
    ("if (f.size() - f.at < 4) return GZ_TRUNCATED;", ""),
    ("if (f.at != f.size()) return GZ_FORMAT;", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """All of them in one build, each behind a switch."""
    folder = tmp_path_factory.mktemp("faulty")
    plant("zstd.cu", FAULTS, folder, HEADERS)
    return load("check", sources=[folder / "zstd.cu"])


@cache
def launches() -> list[list[Stream]]:
    """The likeliest to find something first."""
    hand = [each for each in cases.by_hand() if each[1] < 20_000]
    wrong = [each for each in cases.wrong_by_hand() if each[1] < 20_000]
    chance = [each for each in cases.of_chance() if each[1] < 20_000]
    return [hand[::9], wrong, cases.small() + hand[4::9], load_corpus()[::2], chance, hand]


def found(emu: Emulator) -> str | None:
    for shift, streams in enumerate(launches()):
        try:
            wrong = disagreements(
                streams, decode(emu, streams, shift=shift, order=("forward", "random", "reverse")[shift % 3])
            )
        except (DeviceError, AssertionError) as error:
            return str(error)
        if wrong:
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
