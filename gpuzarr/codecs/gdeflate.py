"""`zarrs.gdeflate`: DEFLATE in pages of 64 KiB, each with its bits dealt out to 32 streams (zarrs' documentation).

A chunk is its size, the number of pages, the size of each page encoded (all 64-bit, little endian), and the pages. In a
page the symbols of DEFLATE (RFC 1951, section 3.2) go round the streams, one each; whenever a stream has fewer than 32
bits left after its turn, the page's next 32-bit word is its own. The distance of a match comes a round after its
length. Lengths are as in DEFLATE but for symbol 285, which has 16 extra bits; distances go on to symbol 31.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, put, unknown_members
from gpuzarr.errors import CodecError
from gpuzarr.metadata import CodecConfig

__all__ = ["GdeflateCodec"]

PAGE = 1 << 16
"""Bytes of a page, but the last one."""

LANES = 32
END = 256
"""The symbol that ends a block."""

LARGEST_STORED = (1 << 16) - 1
"""Bytes of a block that is stored as it is."""

ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
"""In which order the lengths of the codes of code lengths come (RFC 1951, section 3.2.7)."""

EXTRA_LENGTH = [0] * 8 + [k // 4 for k in range(4, 24)] + [16]
BASE_LENGTH = [3, *(3 + int(n) for n in np.cumsum([1 << bits for bits in EXTRA_LENGTH[:27]])), 3]
EXTRA_DISTANCE = [0, 0, *(k // 2 for k in range(30))]
BASE_DISTANCE = [1, *(1 + int(n) for n in np.cumsum([1 << bits for bits in EXTRA_DISTANCE[:31]]))]
STATIC = ([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 32)
"""Lengths of the codes of a block of the second kind."""


@dataclass(frozen=True, slots=True)
class GdeflateCodec:
    """DEFLATE for GPUs as zarrs has it; written with every block stored as it is, whatever the level.

    >>> stage = GdeflateCodec(5).bind(Wire(np.dtype("u1"), 5))
    >>> bytes(stage.decode(stage.encode(b"pages"), 5, 5))
    b'pages'
    """

    level: int
    native: NativeOp | None = None

    name = "gdeflate"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GdeflateCodec:
        unknown_members(config, "zarrs.gdeflate", {"level"})
        return cls(config_int(config, "zarrs.gdeflate", "level", 0, 12))

    def to_config(self) -> CodecConfig:
        return CodecConfig("zarrs.gdeflate", {"level": self.level})

    def bind(self, wire: Wire) -> GdeflateCodec:
        return self

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        stored = memoryview(data).cast("B")
        if len(stored) < 16:
            raise CodecError("the stream is cut off", codec=self.name, direction="decode")
        total, pages = struct.unpack_from("<QQ", stored)
        if total > limit or (size is not None and total != size):
            raise bad_size(self.name, total, size)
        start = 16 + 8 * pages
        if pages != -(-total // PAGE) or start > len(stored):
            raise CodecError(f"has {pages} pages of {total} bytes", codec=self.name, direction="decode")
        found = bytearray()
        for length in struct.unpack_from(f"<{pages}Q", stored, 16):
            if start + length > len(stored):
                raise CodecError("a page is cut off", codec=self.name, direction="decode")
            found += _page(stored[start : start + length], min(PAGE, total - len(found)))
            start += length
        return put(memoryview(found), into)

    def encode(self, data: Buffer) -> Buffer:
        plain = np.frombuffer(data, np.uint8)
        pages = [_stored_page(plain[start : start + PAGE]) for start in range(0, len(plain), PAGE)]
        head = struct.pack(f"<QQ{len(pages)}Q", len(plain), len(pages), *map(len, pages))
        return b"".join([head, *pages])


# ---- decoding --------------------------------------------------------------------------------------------------------


def _page(data: memoryview, room: int) -> bytearray:
    """A page of exactly `room` bytes. Raises CodecError."""
    lanes, out = _Lanes(data), _Out(room)
    final = 0
    try:
        while not final:
            lanes.at = 0
            final, kind = lanes.pop(1), lanes.pop(2)
            lanes.fill()
            if kind == 0:
                _stored(lanes, out)
            elif kind < 3:
                _symbols(lanes, out, *(_codes(lanes) if kind == 2 else map(_table, STATIC)))
            else:
                raise CodecError("a block of no kind", codec="gdeflate", direction="decode")
    except IndexError as error:
        raise CodecError("a page is cut off, or too long", codec="gdeflate", direction="decode") from error
    if out.at != room:
        raise bad_size("gdeflate", out.at, room)
    return out.data


class _Out:
    """What a page decodes to, as far as it is."""

    def __init__(self, room: int) -> None:
        self.data, self.at, self.room = bytearray(room), 0, room

    def take(self, length: int) -> int:
        """Where the next bytes go."""
        at, self.at = self.at, self.at + length
        if self.at > self.room:
            raise IndexError
        return at

    def copy(self, at: int, length: int, distance: int) -> None:
        """A match: bytes that may be among those it makes."""
        if distance > at:
            raise CodecError("a match begins before the page", codec="gdeflate", direction="decode")
        data = self.data
        while length > 0:
            part = data[at - distance : at - distance + min(length, distance)]
            data[at : at + len(part)] = part
            at, length, distance = at + len(part), length - len(part), distance + len(part)


class _Lanes:
    """The streams of a page, of which each has its turn."""

    def __init__(self, data: memoryview) -> None:
        self.words = iter(np.frombuffer(data[: len(data) // 4 * 4], "<u4").tolist())
        self.bits = [next(self.words, None) for _ in range(LANES)]
        if None in self.bits:
            raise CodecError("a page is cut off", codec="gdeflate", direction="decode")
        self.left, self.at = [32] * LANES, 0

    def pop(self, count: int) -> int:
        bits: Any = self.bits
        found: int = bits[self.at] & ((1 << count) - 1)
        bits[self.at] >>= count
        self.left[self.at] -= count
        return found

    def code(self, table: tuple[list[int], int]) -> int:
        """The next symbol of a code."""
        symbols, width = table
        bits: Any = self.bits
        entry = symbols[bits[self.at] & ((1 << width) - 1)]
        if entry < 0:
            raise CodecError("bits that are no code", codec="gdeflate", direction="decode")
        bits[self.at] >>= entry & 15
        self.left[self.at] -= entry & 15
        return int(entry >> 4)

    def fill(self) -> None:
        if self.left[self.at] < 32:
            word = next(self.words, None)
            if word is None:
                raise IndexError
            bits: Any = self.bits
            bits[self.at] |= word << self.left[self.at]
            self.left[self.at] += 32

    def turn(self) -> None:
        self.fill()
        self.at = (self.at + 1) % LANES


def _stored(lanes: _Lanes, out: _Out) -> None:
    for _ in range(lanes.pop(16)):
        at = out.take(1)
        out.data[at] = lanes.pop(8)
        lanes.turn()


def _symbols(lanes: _Lanes, out: _Out, lengths: tuple[list[int], int], distances: tuple[list[int], int]) -> None:
    """The symbols of a block, with matches put off until their stream has its turn again."""
    matches: list[tuple[int, int] | None] = [None] * LANES
    lanes.at = 0
    while True:
        match = matches[lanes.at]
        if match is not None:
            _match(lanes, out, distances, match)
            matches[lanes.at] = None
        else:
            symbol = lanes.code(lengths)
            if symbol < END:
                at = out.take(1)
                out.data[at] = symbol
            elif symbol == END:
                break
            else:
                length = BASE_LENGTH[symbol - 257] + lanes.pop(EXTRA_LENGTH[symbol - 257])
                matches[lanes.at] = (out.take(length), length)
        lanes.turn()
    for _ in range(LANES):
        match = matches[lanes.at]
        if match is not None:
            _match(lanes, out, distances, match)
        lanes.turn()


def _match(lanes: _Lanes, out: _Out, distances: tuple[list[int], int], match: tuple[int, int]) -> None:
    symbol = lanes.code(distances)
    out.copy(*match, BASE_DISTANCE[symbol] + lanes.pop(EXTRA_DISTANCE[symbol]))


def _codes(lanes: _Lanes) -> Iterator[tuple[list[int], int]]:
    """The codes that a block of the third kind begins with (RFC 1951, section 3.2.7)."""
    lengths, distances, count = lanes.pop(5) + 257, lanes.pop(5) + 1, lanes.pop(4) + 4
    lanes.fill()
    own = [0] * len(ORDER)
    for k in range(count):
        own[ORDER[k]] = lanes.pop(3)
        lanes.turn()
    table, found = _table(own), list[int]()
    lanes.at = 0
    while len(found) < lengths + distances:
        symbol = lanes.code(table)
        if symbol < 16:
            found.append(symbol)
        elif symbol == 16:
            found += found[-1:] * (3 + lanes.pop(2)) if found else [16]  # of nothing: no length of a code
        else:
            found += [0] * (3 + lanes.pop(3) if symbol == 17 else 11 + lanes.pop(7))
        lanes.turn()
    if max(found) > 15:
        raise CodecError("a code of no length is repeated", codec="gdeflate", direction="decode")
    yield _table(found[:lengths])
    yield _table(found[lengths : lengths + distances])


def _table(lengths: list[int]) -> tuple[list[int], int]:
    """A code by the next bits, as many as its longest word has: symbol and length (RFC 1951, section 3.2.2)."""
    width = max(1, *lengths)
    table = [-1] * (1 << width)
    word = 0
    for length in range(1, width + 1):
        for symbol, own in enumerate(lengths):
            if own == length:
                if word >> length:
                    raise CodecError("more words than a code has", codec="gdeflate", direction="decode")
                first = int(f"{word:0{length}b}"[::-1], 2)
                count = len(range(first, 1 << width, 1 << length))
                table[first :: 1 << length] = [symbol << 4 | length] * count
                word += 1
        word <<= 1
    return table, width


# ---- encoding --------------------------------------------------------------------------------------------------------


def _stored_page(plain: NDArray[np.uint8]) -> bytes:
    """A page of blocks that are stored as they are."""
    writer = _Writer()
    blocks = [plain[start : start + LARGEST_STORED] for start in range(0, len(plain), LARGEST_STORED)]
    for k, block in enumerate(blocks):
        writer.at = 0
        writer.push(k == len(blocks) - 1, 1)
        writer.push(0, 2)
        writer.fill()
        writer.push(len(block), 16)
        for byte in block.tolist():
            writer.push(byte, 8)
            writer.turn()
    return writer.joined()


class _Writer:
    """The streams of a page, and in which order a decoder takes their words."""

    def __init__(self) -> None:
        self.bits, self.count = [0] * LANES, [0] * LANES
        self.left, self.at = [32] * LANES, 0
        self.taken = list(range(LANES))

    def push(self, value: int, count: int) -> None:
        self.bits[self.at] |= int(value) << self.count[self.at]
        self.count[self.at] += count
        self.left[self.at] -= count

    def fill(self) -> None:
        if self.left[self.at] < 32:
            self.taken.append(self.at)
            self.left[self.at] += 32

    def turn(self) -> None:
        self.fill()
        self.at = (self.at + 1) % LANES

    def joined(self) -> bytes:
        size = [4 * self.taken.count(lane) for lane in range(LANES)]
        streams = [iter(bits.to_bytes(n, "little")) for bits, n in zip(self.bits, size, strict=True)]
        return b"".join(bytes(next(streams[lane]) for _ in range(4)) for lane in self.taken)
