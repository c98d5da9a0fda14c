"""Mistakes planted in the DEFLATE kernel are found by what its tests decode: each where one could be made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import deflate_cases as cases
import pytest
from deflate_cases import Wrong
from deflate_launch import decode, disagreements
from deflate_streams import BARE, GZIP, ZLIB, Stream
from fuzz_deflate import load_corpus
from kernel_faults import plant, switch_on

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import Emulator, load
from kernels import Buffers, needs_compiler

pytestmark = needs_compiler

SPAN = "lane <= GZ_DEFLATE_LONGEST ? count << (GZ_DEFLATE_LONGEST - lane) : 0"
OWN = "s.distances.make(s.length + literals, distances"
BEGIN = "if (!open) wrong = gz_deflate_begin(f, s, batch);"
FAULTS = [  # what is right, and what stands there instead
    # bit streams
    ("at < size && size - at >= 4", "at < size"),
    ("at + k < size", "at + k <= size"),
    ("if (at < size) low |= (gz_u32)input[at] << have;", "low |= (gz_u32)input[at] << have;"),
    ("if (have > 32) return;", "if (have > 20) return;"),
    ("(gz_u64)ahead << have", "(gz_u64)ahead << (have & 31)"),
    ("high >>= n;", ""),
    ("at - 4 - have / 8", "at - 4 - (have + 7) / 8"),
    # codes
    (f"lane && {SPAN}", SPAN),
    ("all != 1u << GZ_DEFLATE_LONGEST", "all > 1u << GZ_DEFLATE_LONGEST"),
    ("partly && part", "partly"),
    ("partly && part", "part"),
    ("all == 0", "false"),
    ("ones == 1", "true"),
    ("from - (begin >> (GZ_DEFLATE_LONGEST - lane))", "from"),
    ("if (length[i] == lane) sorted[next++] = (gz_u16)i;", "if (length[i] == lane) sorted[next] = (gz_u16)i;"),
    ("bits <= BITS", "bits < BITS"),
    ("table[__brev(i) >> (32 - BITS)] = 0;", ""),
    ("__brev(bits.low) >> (32 - GZ_DEFLATE_LONGEST)", "bits.low & 0x7fff"),
    ("value < end[n]", "value <= end[n]"),
    ("n <= GZ_DEFLATE_LONGEST", "n < GZ_DEFLATE_LONGEST"),
    # headers of blocks
    ("bits.take(1) ? GZ_DEFLATE_LAST : 0", "GZ_DEFLATE_LAST"),
    ("type < 3 ? GZ_OK : GZ_FORMAT", "GZ_OK"),
    ("if (f.size() - at < 4) return GZ_TRUNCATED;", ""),
    ("(stored ^ word >> 16) != 0xffff", "(stored & word >> 16) != 0"),
    ("if (f.size() - at - 4 < stored) return GZ_TRUNCATED;", ""),
    ("s.bits.open(f.src, f.size(), at + 4 + stored);", "s.bits.open(f.src, f.size(), at + 4);"),
    ("literals > 286", "literals > 287"),
    ("distances > 30", "distances > 32"),
    ("k < told ? (gz_u8)bits.take(3) : 0", "(gz_u8)bits.take(3)"),
    ("length = before;", "length = before & 15;"),
    ("11 + bits.take(7)", "3 + bits.take(7)"),
    ("length > 15 || times > n - i", "length > 15 || times > n - i + 1"),
    ("before = length;", "if (times == 1) before = length;"),
    ("s.length[256] == 0", "false"),
    ("!s.distances.make(s.length, 19, false)", "!s.distances.make(s.length, 19, true)"),
    ("!s.literals.make(s.length, literals, true)", "!s.literals.make(s.length, literals, false)"),
    (f"{OWN}, true)", f"{OWN}, false)"),
    ("i < 144", "i < 143"),
    ("!(s.flags & GZ_DEFLATE_FIXED)", "!(s.flags & GZ_DEFLATE_LAST)"),
    ("(type == 1 ? GZ_DEFLATE_FIXED : 0)", "GZ_DEFLATE_FIXED"),
    # symbols
    ("if (k == 28) return 258;", ""),
    ("(4 + (k & 3)) << more", "(4 + (k & 3)) << (more & 3)"),
    ("(2 + (symbol & 1)) << more", "2 << more"),
    ("count < GZ_DEFLATE_BATCH", "count <= GZ_DEFLATE_BATCH"),
    ("literals < GZ_DEFLATE_LITERALS", "literals <= GZ_DEFLATE_LITERALS"),
    ("symbol > 285", "symbol > 287"),
    ("distance > 29", "distance > 31"),
    ("from = literals;", ""),
    ("literals > from", "literals > from + 1"),
    ("bits.where() <= f.size()", "true"),
    ("gz_lane() < 16 && at < f.size()", "gz_lane() < 16"),
    (f"gz_syncwarp();  // all have seen the flags before one lane changes them\n    {BEGIN}", BEGIN),
    ("(s.flags & (GZ_DEFLATE_OPEN | GZ_DEFLATE_LAST)) == GZ_DEFLATE_LAST", "(s.flags & GZ_DEFLATE_LAST) != 0"),
    # output
    ("length && from < op", "length"),
    ("last < op ? last : op - 1", "last"),
    ("batch.stored > f.room - op", "batch.stored > f.room"),
    ("both > f.room - op", "both > f.room"),
    ("length && distance > op + literals - f.begin", "length && distance > op + literals"),
    ("length && distance > op + literals - f.begin", "length && distance > op - f.begin"),
    ("op += both;\n        gz_syncwarp();", "op += both;"),
    ("if (length) gz_match(f.dst, op + literals, distance, length);", ""),
    ("if (distance < length) step %= distance;", ""),
    ("both > 32", "both > 33"),
    # streams
    ("s.wrong[1] ? s.wrong[1] : s.wrong[0]", "s.wrong[0] ? s.wrong[0] : s.wrong[1]"),
    ("s.flags = 0;", ""),
    ("f.at = s.bits.where();", "f.at = s.bits.at;"),
    # framings
    ("if (f.size() < 2) return GZ_TRUNCATED;", ""),
    ("(method & 15) != 8", "false"),
    ("method > 0x7f", "false"),
    ("(method << 8 | flags) % 31", "false"),
    ("flags & 0x20", "false"),
    ("if (f.size() - f.at < 10) return GZ_TRUNCATED;", ""),
    ("flags & 0xe0", "flags & 0xc0"),
    ("gz_little(f.src + f.at, 2) + 2", "gz_little(f.src + f.at, 2)"),
    ("flag <= 16", "flag < 16"),
    ("at + lane < f.size()", "true"),
    ("checked = f.at - begin;", "checked = f.at - begin - 1;"),
    ("if (width == 2) sum &= 0xffff;", ""),
    ("__byte_perm(right, 0, 0x0123)", "right"),
    ("threadIdx.x == 0 && sum != right", "sum != right"),
    ("if (f.size() - f.at < width) return GZ_TRUNCATED;", ""),
    ("gz_little(f.src + f.at + 4, 4) != f.op - f.begin", "false"),
    ("k ? f.op - f.begin : checked", "k ? f.op : checked"),
    ("right = right && same;", "right = same;"),
    ("f.at += width;", ""),
    ("f.begin = f.op;", ""),
    ("if (framing == GZ_DEFLATE_GZIP) f.at = gz_deflate_seek(f, f.at, true);", ""),
    ("framing == GZ_DEFLATE_GZIP && f.at < f.size()", "false"),
    ("f.op == f.room ? GZ_OK : GZ_SIZE", "GZ_OK"),
]  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """All of them in one build, each behind a switch."""
    folder = tmp_path_factory.mktemp("faulty")
    plant("deflate.cu", FAULTS, folder, ("deflate_tables.cuh",))
    return load("check", sources=[folder / "deflate.cu"])


@cache
def launches() -> list[tuple[int, list[Stream], list[int]]]:
    """Framings, streams, and what is told of the last of them; the likeliest to find something first."""

    def few(streams: list[Stream]) -> list[Stream]:
        return [each for each in streams if each[1] < 20_000]

    def launch(framing: int, right: list[Stream], wrong: Sequence[Wrong] = ()) -> tuple[int, list[Stream], list[int]]:
        return framing, [*right, *((data, room) for data, room, _ in wrong)], [status for *_, status in wrong]

    return [
        launch(BARE, cases.small() + few(cases.by_hand())[::9], cases.wrong_by_hand()),
        launch(ZLIB, cases.of_zlibs_framing(), cases.wrong_framings(ZLIB)),
        launch(GZIP, cases.of_members(), cases.wrong_framings(GZIP)),
        launch(BARE, few(cases.by_hand())),
        launch(BARE, load_corpus()[BARE][::2]),
    ]


def found(emu: Emulator) -> str | None:
    for shift, (framing, streams, told) in enumerate(launches()):
        try:
            got = decode(emu, framing, streams, shift=shift, order=("forward", "random", "reverse")[shift % 3])
        except (DeviceError, AssertionError) as error:
            return str(error)
        wrong = disagreements(framing, streams, got)
        if wrong:
            return wrong[0]
        if told != [status for status, _ in got[len(got) - len(told) :]]:
            return "another status"
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
