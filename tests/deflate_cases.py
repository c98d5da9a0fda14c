"""DEFLATE streams for the tests: of zlib at all its settings, written by hand to force each case, and wrong ones.

Those by hand are bare; `deflate_streams.framed` puts them in a framing.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import cache

from deflate_streams import (
    BARE,
    DISTANCES,
    END,
    FIXED,
    GZIP,
    LENGTHS,
    ZLIB,
    Stream,
    Token,
    Writer,
    by_chance,
    inflated,
    member,
    number,
    size_of,
    told_by_chance,
    zlib_framed,
)
from lz_formats import FORMAT, OFFSET, OVERFLOW, SIZE, TRUNCATED
from lz_streams import corpora

CHECKSUM = 6  # kernels/common.cuh, gz_status
NOISE = random.Random(5).randbytes(70_000)
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)
FRAMINGS = (BARE, ZLIB, GZIP)


# ---- of zlib -------------------------------------------------------------------------------------------------


def of_zlib(data: bytes, framing: int, level: int = 6, strategy: int = 0, window: int = 15, memory: int = 8) -> Stream:
    wbits = (-window, window, 16 + window)[framing]
    writer = zlib.compressobj(level, zlib.DEFLATED, wbits, memory, strategy)
    return writer.compress(data) + writer.flush(), len(data)


def of_zlib_in_steps(data: bytes, step: int, flush: int, level: int = 6) -> Stream:
    writer, parts = zlib.compressobj(level, zlib.DEFLATED, -15), []
    for at in range(0, len(data), step):
        parts += [writer.compress(data[at : at + step]), writer.flush(flush)]
    return b"".join(parts) + writer.flush(), len(data)


@cache
def of_all_levels(framing: int) -> list[Stream]:
    """Of zlib: levels and strategies, windows of all sizes."""
    found = []
    for k, array in enumerate(corpora().values()):
        data = array.tobytes()
        found += [of_zlib(data, framing, level) for level in range(10)]
        found += [of_zlib(data, framing, 6, strategy, memory=1 + k % 9) for strategy in STRATEGIES]
        found += [of_zlib(data, framing, 9, window=9 + k % 7)]
    return found


@cache
def of_all_sizes() -> list[Stream]:
    text = corpora()["text"].tobytes()
    return [of_zlib(text[n : 2 * n], BARE, level) for n in range(100) for level in (0, 1, 9)]


@cache
def of_odd_settings() -> list[Stream]:
    """What zlib writes when flushed: empty stored and fixed blocks, and many of all."""
    text = corpora()["text"].tobytes()[:3000] + corpora()["mri"].tobytes()[:3000]
    flushes = (zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK)
    found = [of_zlib_in_steps(text[: 200 * step], step, flush) for flush in flushes for step in (1, 7, 300)]
    far = NOISE[:32768]
    found += [of_zlib(far + far[:400] + far[:500], BARE, 9), of_zlib(b"", BARE), of_zlib(b"", BARE, 0)]
    return [*found, of_zlib(NOISE[:70_000], BARE, 0), of_zlib(b"a", BARE, 9), of_zlib(bytes(60_000), BARE, 9)]


# ---- by hand -------------------------------------------------------------------------------------------------


def one_symbol(symbol: int, n: int, bits: int = 1) -> list[int]:
    return [bits if k == symbol else 0 for k in range(n)]


def lopsided(n: int, symbols: list[int]) -> list[int]:
    """Of 16 symbols: codes of 1 to 15 bits."""
    lengths = [0] * n
    for k, symbol in enumerate(symbols):
        lengths[symbol] = min(k + 1, 15)
    return lengths


@cache
def by_hand() -> list[Stream]:
    return [(each, size_of(each)) for each in _by_hand()]


def _by_hand() -> Iterator[bytes]:
    # blocks that hold nothing, and next to nothing
    yield Writer().stored(b"", last=True).bytes()
    yield Writer().fixed([], last=True).bytes()
    yield Writer().told([], one_symbol(END, 257), [0], last=True).bytes()
    writer = Writer().stored(b"").fixed([]).told([], one_symbol(END, 286), [0] * 30)
    yield writer.fixed([7]).stored(b"", junk=255).fixed([8], last=True).bytes()
    writer = Writer()
    for _ in range(700):
        writer.fixed([]).stored(b"")
    yield writer.fixed([], last=True).bytes()
    for n in (1, 2, 31, 33, 65, 300, 5000, 65535):
        yield Writer().stored(NOISE[:n]).fixed([(3, min(n, 32768))]).stored(NOISE[:9], last=True, junk=n).bytes()
        yield Writer().fixed(NOISE[:n][:700], last=True).bytes()
    # every length, and every distance's two ends
    start = Writer().stored(NOISE[:40_000])
    every: list[Token] = [(length, 1 + k % 300) for k, length in enumerate(range(3, 259))]
    far = [each for k, first in enumerate(DISTANCES) for each in (first, (*DISTANCES, 32769)[k + 1] - 1)]
    every += [(LENGTHS[k % 29], distance) for k, distance in enumerate(far)]
    yield Writer([*start.parts], start.count).fixed(every, last=True).bytes()
    told_by_chance(start, random.Random(1), every, last=True)
    yield start.bytes()
    for distance in (1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 50):
        lengths = (3, 4, 20, 29, 33, 64, 200, 258)
        yield Writer().stored(NOISE[:50]).fixed([(n, distance) for n in lengths] + [7], last=True).bytes()
    for literals in (0, 1, 29, 30, 31, 200, 254, 255, 256, 600):  # batches are full of literals, or of matches
        yield Writer().fixed([*NOISE[:literals], (3, 1), *NOISE[:2], (30, 2)] if literals else [5], last=True).bytes()
    for matches in (30, 31, 32, 62, 63):
        yield Writer().fixed([65, *[(3, 1)] * matches], last=True).bytes()
    yield from _codes_by_hand()
    yield _two_ways_to_258()


def _two_ways_to_258() -> bytes:
    """A length of 258 as the symbol for up to 257, with all its bits set: zlib takes it."""
    writer = Writer().bits("1", "10").symbols([65, 284], FIXED, [5] * 32)
    return writer.bits("11111", "00000").symbols([END], FIXED, [5] * 32).bytes()


def _codes_by_hand() -> Iterator[bytes]:
    rng = random.Random(2)
    # codes of all lengths, among them those that no table of 10 or 8 bits has
    symbols = [*rng.sample(range(256), 10), END, 257, 260, 270, 285, 284]
    data: list[Token] = [symbol for symbol in symbols if symbol < END] * 3
    literals = lopsided(286, symbols)
    matches: list[Token] = [(length, distance) for length in (3, 6, 258) for distance in (1, 2, 4, 9, 40, 200, 255)]
    for back in (list(range(16)), list(range(15, -1, -1))):
        writer = Writer().stored(NOISE[:300])
        yield writer.told([*data, *matches], literals, lopsided(30, back), last=True).bytes()
    # as many codes, all alike
    yield Writer().told(list(range(255)), [8] * 255 + [9, 9], [0], last=True).bytes()
    # one distance of one bit, and none
    yield Writer().told([65, (3, 1), (9, 1)], lopsided(286, [65, END, *range(257, 271)]), [1], last=True).bytes()
    yield Writer().stored(b"ab").told([(3, 2)], lopsided(286, [65, END, *range(257, 271)]), [0, 1], last=True).bytes()
    yield Writer().told([65] * 40, [1 if k in (65, END) else 0 for k in range(257)], [0], last=True).bytes()
    # distances with as many bits as there can be: 15, and up to 13 that follow
    for first, symbol in ((6145, 25), (16385, 28)):
        far: list[Token] = [(3 + k, 4 * first // 3 - 13 * k) for k in range(30)]
        some = lopsided(286, [65, END, *range(257, 271)])
        writer = Writer().stored(NOISE[: 2 * first])
        yield writer.told([65, *far], some, lopsided(30, list(range(symbol - 14, symbol + 2))), last=True).bytes()
    # lengths told together, over the border of the two codes
    zeros = [0] * 254
    for n, lengths, packed in (
        (257, [*zeros, 0, 0, 1, 1, 1], [(18, 127), (18, 107), (1, 0), (1, 0), (1, 0)]),
        (258, [*zeros, *[2] * 8], [(18, 127), (18, 105), (2, 0), (16, 3), (2, 0)]),
        (258, [*zeros, *[2] * 8], [(18, 127), (18, 94), (18, 0), (2, 0), (16, 0), (16, 1)]),
        (257, [2, 2, 2, *zeros[1:], 2, 0], [*[(2, 0)] * 3, (18, 127), (18, 98), (16, 3), (2, 0), (0, 0)]),
        (257, [1, *zeros, 0, 1, *[0] * 12], [(1, 0), (18, 127), (18, 106), (1, 0), (17, 7), (0, 0), (0, 0)]),
    ):
        yield Writer().told([], lengths[:n], lengths[n:], packed=packed, last=True).bytes()


@cache
def of_chance() -> list[Stream]:
    return [by_chance(seed, count=(10, 40, 200)[seed % 3], blocks=1 + seed % 6) for seed in range(240)]


def small() -> list[Stream]:
    """Streams with something of everything, in few bytes."""
    rng = random.Random(3)
    text = corpora()["text"].tobytes()[:300]
    tokens: list[Token] = [*b"some text", (5, 4), (40, 1), *b"more", (3, 15)]
    writer = Writer().stored(b"start", junk=3).fixed(tokens)
    told_by_chance(writer, rng, tokens)
    writer.stored(b"").told([(4, 2)] * 3, lopsided(286, [END, *range(257, 272)]), [0, 1], last=True)
    data = writer.bytes()
    return [(data, size_of(data)), of_zlib(text, BARE, 9), of_zlib(b"abc" * 30 + text[:40], BARE, 1)]


# ---- framings ------------------------------------------------------------------------------------------------


@cache
def of_zlibs_framing() -> list[Stream]:
    data, room = small()[1]
    content = inflated(data, room, BARE) or b""
    found = [
        zlib_framed(data, content, method=method, flags=flags)
        for method in range(8, 0x88, 16)
        for flags in (0, 0x40, 0xC0)
    ]
    right = found[0]
    return [(each, room) for each in (*found, right + b"\0", right + b"behind it", right + right)]


@cache
def of_members() -> list[Stream]:
    """Headers with all there is, several members, and zeros between and behind them."""
    data, room = small()[1]
    content = inflated(data, room, BARE) or b""
    for_all = {"extra": b"ab\x02\x00xy", "name": b"name", "comment": b"of it", "text": True, "checked": True}
    plain, full = member(data, content), member(data, content, **for_all)  # type: ignore[arg-type]
    nothing = member(b"\x03\x00", b"")
    found = [(plain, 1), (full, 1), (plain + plain, 2), (full + plain + nothing + full, 3), (20 * nothing + plain, 1)]
    found += [(member(data, content, **{name: value}), 1) for name, value in for_all.items()]  # type: ignore[arg-type]
    found += [(member(data, content, extra=b""), 1), (member(data, content, name=b"", comment=b"", checked=True), 1)]
    found += [(member(data, content, extra=NOISE[:65535], checked=True), 1)]
    found += [(member(data, content, name=b"n" * n, comment=b"c" * (n + 2), checked=True), 1) for n in (30, 31, 32, 99)]
    found += [(plain + bytes(n), 1) for n in (1, 31, 32, 33, 100)]
    found += [(plain + bytes(n) + full + bytes(2), 2) for n in (1, 32, 77)]
    return [(each, count * room) for each, count in found]


Wrong = tuple[bytes, int, int]  # a stream that is not right, its room, and the status


@cache
def wrong_framings(framing: int) -> list[Wrong]:
    data, room = small()[1]
    content = inflated(data, room, BARE) or b""
    if framing == ZLIB:
        right = zlib_framed(data, content)
        return [
            (right[:-1], room, TRUNCATED),
            (right[:1], room, TRUNCATED),
            (b"", room, TRUNCATED),
            (zlib_framed(data, content, adler=zlib.adler32(content) ^ 1), room, CHECKSUM),
            (zlib_framed(data, content, adler=zlib.adler32(content) ^ 1 << 31), room, CHECKSUM),
            *((zlib_framed(data, content, method=method), room, FORMAT) for method in (0x88, 0xF8, 0x77, 0x79, 0x70)),
            (zlib_framed(data, content, flags=0x20), room, FORMAT),
            (bytes([right[0], right[1] ^ 1]) + right[2:], room, FORMAT),
        ]
    right = member(data, content)
    full = member(data, content, extra=b"ab\x02\x00xy", name=b"name", comment=b"of it", checked=True)
    header = len(full) - len(data) - 8
    return [
        *((full[:n], room, TRUNCATED) for n in (0, 9, 10, 11, 13, 17, 18, 24, header - 2, header - 1)),
        *((right[:-n], room, TRUNCATED) for n in (1, 4, 8)),
        (right + right[:-1], 2 * room, TRUNCATED),
        (right + b"\x1f", room, TRUNCATED),
        (right + right, room, OVERFLOW),
        (right, 2 * room, SIZE),
        (right + b"x" * 20, room, FORMAT),
        (right + bytes(3) + b"x" * 20, room, FORMAT),
        *((bytes([*right[:k], right[k] ^ 1, *right[k + 1 :]]), room, FORMAT) for k in range(3)),
        *((bytes([*right[:3], flag, *right[4:]]), room, FORMAT) for flag in (0x20, 0x40, 0x80)),
        (member(data, content, off=(0, 1, 0)), room, CHECKSUM),
        (member(data, content, off=(0, 1 << 31, 0)), room, CHECKSUM),
        (member(data, content, off=(0, 0, 1)), room, CHECKSUM),
        (member(data, content, off=(0, 0, 1 << 31)), room, CHECKSUM),
        (member(data, content, checked=True, off=(1, 0, 0)), room, CHECKSUM),
        (member(data, content, checked=True, name=b"n", off=(1 << 15, 0, 0)), room, CHECKSUM),
        (right + member(Writer().fixed([(3, 1)], last=True).bytes(), b"\0\0\0"), room + 3, OFFSET),
    ]


@cache
def wrong_by_hand() -> list[Wrong]:
    return [*_wrong_blocks(), *((writer.bytes(), room, FORMAT) for writer, room in _wrong_codes())]


def _wrong_blocks() -> Iterator[Wrong]:
    def ab() -> Writer:
        return Writer().stored(b"ab")

    yield Writer().bits("1", "11", "0" * 7).bytes(), 0, FORMAT
    yield b"", 0, TRUNCATED
    yield ab().bytes(), 2, TRUNCATED
    for k in (1, 2, 4, 5):
        yield Writer().stored(b"abcd", last=True).bytes()[:-k], 4, TRUNCATED
    yield Writer().fixed([5] * 3, last=True).bytes()[:-1], 3, TRUNCATED
    yield Writer().fixed([5]).stored(b"abcd", last=True).bytes(), 4, OVERFLOW
    for wrong in (1, 1 << 15):
        yield Writer().stored(b"ab", wrong=wrong, last=True).bytes(), 2, FORMAT
    for room, status in ((1, OVERFLOW), (3, SIZE)):
        yield Writer().stored(b"ab", last=True).bytes(), room, status
    for room, status in ((39, OVERFLOW), (41, SIZE), (7, OVERFLOW)):
        yield Writer().fixed([5] * 40, last=True).bytes(), room, status
    yield ab().bits("1", "11").bytes(), 1, OVERFLOW  # both warps find something, and the second is told
    yield Writer().fixed([5, (258, 1)], last=True).bytes(), 258, OVERFLOW
    yield Writer().fixed([(3, 1)], last=True).bytes(), 3, OFFSET
    yield ab().fixed([(3, 3)], last=True).bytes(), 5, OFFSET
    yield ab().fixed([7, (3, 4)], last=True).bytes(), 6, OFFSET
    yield ab().fixed([(40, 32768)], last=True).bytes(), 42, OFFSET
    for symbol in (286, 287):
        yield ab().bits("1", "10").symbols([symbol], FIXED, []).bits("0" * 60).bytes(), 2, FORMAT
    for distance in ("11110", "11111"):
        yield ab().bits("1", "10").symbols([257], FIXED, []).bits(distance, "0" * 60).bytes(), 5, FORMAT


def _wrong_codes() -> Iterator[tuple[Writer, int]]:
    end = one_symbol(END, 257)
    for literals, distances in (
        ([*end, *[0] * 30], [0]),  # too many of either
        ([*end, *[0] * 31], [0]),
        (end, [0] * 31),
        (end, [0] * 32),
        ([1, 1, *[0] * 255], [0]),  # nothing ends a block
        (one_symbol(END, 257, 2), [0]),  # lengths that do not fill a code
        ([2, 2, *one_symbol(END, 257, 2)[2:]], [0]),
        (end, [2]),
        (end, [2, 2]),
        (end, [15, 15]),
        ([1, 1, *end[2:]], [0]),  # those of too many codes
        ([15] * 257, [0]),
        ([1] * 257, [0]),
        (end, [1, 1, 1]),
        (end, [1, 2, 2, 2]),
    ):
        yield Writer().told([], literals, distances, last=True), 0
    for code in ([1], [0, 1], [2, 2], [1, 1, 1], [7] * 19, [1, 2], [3] * 9, []):  # lengths' own
        yield Writer().told([], end, [0], last=True, packed=[], code=[*code, *[0] * (19 - len(code))]), 0
    # one symbol of one bit, and runs of zeros where the other bit is
    alone = "".join(number(each, 3) for each in [*[0] * 17, 1])
    zeros = number(127, 7) + number(107, 7)
    yield Writer().bits("1", "01", number(0, 5), number(0, 5), number(14, 4), alone, zeros, "0", "0", "0"), 0
    code = [3, 3, *[0] * 14, 2, 2, 2]
    for packed in (
        [(16, 0), (18, 127), (18, 104), (1, 0), (1, 0), (1, 0)],  # repeats what is not there
        [(18, 127), (18, 107), (1, 0), (17, 0)],  # and too many
        [(18, 127), (18, 107), (1, 0), (1, 0), (16, 0)],
        [(18, 127), (18, 127)],
    ):
        yield Writer().told([], end, [0, 0], last=True, packed=packed, code=code), 0
    # bits that are of no symbol: of a literals' code, and of distances' codes of one symbol and of none
    yield Writer().told([], end, [0], last=True, end=False).bits("1" + "0" * 40), 0
    for distances in ([0], [1], [0, 0, 1]):
        some = lopsided(286, [65, END, *range(257, 271)])
        yield Writer().told([65, 65, 257], some, distances, last=True, end=False).bits("1" * 40), 5
