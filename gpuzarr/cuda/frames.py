"""The streams that compressed chunks consist of, found on the host before their bytes are uploaded.

Rules: nothing in the bytes is believed until it is checked against the bytes there are and the size the plan wants;
the work is bounded by that size; whatever is odd (not only what is wrong) is named and left to the host, which has
the last word. nvCOMP gets only what looks as an ordinary encoder writes it, because it calls corrupt input "undefined
behavior": what is odd about other streams is told (`Streams.odd`), and they are for kernels of our own. All is done a
column at a time: a window may have ten thousand streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.streams import Check, Column, Frames, Problem, Streams, check_rows, heads, little, mark

__all__ = [
    "FEW",
    "LARGEST",
    "READERS",
    "ZSTD_BLOCK",
    "deflate_streams",
    "gzip_members",
    "lz4_blocks",
    "snappy_blocks",
    "zlib_streams",
    "zstd_frames",
    "zstd_heads",
]

LARGEST: Mapping[str, int] = MappingProxyType(
    {"zstd": 2**31 - 1, "snappy": 2**31 - 1, "gzip": 2**32 - 1, "deflate": 2**32 - 1, "lz4": 2**32 - 1}
)
"""Bytes of a stream that nvCOMP takes at most, compressed and decoded (its headers, versions 5 and 6)."""


def _good(problem: NDArray[np.int8]) -> Column:
    return np.flatnonzero(problem == Problem.NONE)


def _whole(offset: Column, size: Column, room: Column, problem: NDArray[np.int8], skip: int = 0) -> Streams:
    """A stream for each chunk without a problem: its bytes from `skip`."""
    rows = _good(problem)
    return Streams.of(rows, offset[rows] + skip, size[rows] - skip, room[rows])


def _limited(size: Column, room: Column, codec: str) -> NDArray[np.int8]:
    """A new column of problems: streams that are too large for nvCOMP. Those for no bytes at all are not for it."""
    problem = np.zeros(len(size), np.int8)
    mark(problem, (size > LARGEST[codec]) | (room > LARGEST[codec]), Problem.TOO_LARGE)
    mark(problem, room == 0, Problem.EMPTY)
    return problem


# ---- formats with next to no header -----------------------------------------------------------------------------


def lz4_blocks(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """numcodecs' LZ4: the decoded size as u32le, then one LZ4 block.

    >>> slab = np.frombuffer(bytes([3, 0, 0, 0, 0x30, 1, 2, 3]), np.uint8)
    >>> found = lz4_blocks(slab, np.array([0]), np.array([8]), np.array([3]))
    >>> found.streams.source.tolist(), found.streams.size.tolist(), found.why_not(0)
    ([4], [4], None)
    """
    check_rows(slab, offset, size, room)
    problem = _limited(size, room, "lz4")
    mark(problem, size < 5, Problem.TRUNCATED)
    mark(problem, little(heads(slab, offset, size, 4), 0, 4) != room, Problem.SIZE)
    return Frames(_whole(offset, size, room, problem, 4), problem)


def snappy_blocks(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """Raw Snappy: the decoded size as a varint of at most 5 bytes, then elements. The varint is part of the stream."""
    check_rows(slab, offset, size, room)
    problem = _limited(size, room, "snappy")
    head = heads(slab, offset, size, 5)
    more = np.logical_and.accumulate(head >= 128, axis=1)
    length = more.sum(axis=1) + 1
    mark(problem, length >= np.maximum(size, 1), Problem.TRUNCATED)
    mark(problem, length > 5, Problem.FORMAT)
    stated = np.zeros(len(size), np.int64)
    for k in range(5):
        stated |= np.where(k < length, head[:, k].astype(np.int64) & 127, 0) << 7 * k
    mark(problem, stated != room, Problem.SIZE)
    return Frames(_whole(offset, size, room, problem), problem)


def deflate_streams(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """Raw DEFLATE (RFC 1951): it says nothing about itself."""
    check_rows(slab, offset, size, room)
    problem = _limited(size, room, "deflate")
    mark(problem, size < 2, Problem.TRUNCATED)
    return Frames(_whole(offset, size, room, problem), problem)


def zlib_streams(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """zlib streams (RFC 1950): two bytes of header, raw DEFLATE (the stream given), Adler-32 as u32be.

    The DEFLATE stream is taken to end where the chunk does: bytes after it make its checksum a wrong one.
    """
    check_rows(slab, offset, size, room)
    problem = _limited(size, room, "deflate")
    mark(problem, size < 8, Problem.TRUNCATED)
    head = heads(slab, offset, size, 2).astype(np.int64)
    method, flags = head[:, 0], head[:, 1]
    wrong = (method & 15 != 8) | (method >> 4 > 7) | ((method * 256 + flags) % 31 != 0)
    mark(problem, wrong, Problem.FORMAT)
    mark(problem, flags & 0x20 != 0, Problem.DICTIONARY)
    rows = _good(problem)
    tail = heads(slab, offset[rows] + size[rows] - 4, np.full(len(rows), 4), 4)
    streams = Streams.of(rows, offset[rows] + 2, size[rows] - 6, room[rows])
    streams.before[:], streams.behind[:] = 2, 4
    streams.check[:] = Check.ADLER32
    streams.expected[:] = little(tail[:, ::-1], 0, 4)
    return Frames(streams, problem)


# ---- gzip -------------------------------------------------------------------------------------------------------

GZIP_HEADER, GZIP_TRAILER = 10, 8


def gzip_members(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """gzip members (RFC 1952): header, raw DEFLATE (the stream given), CRC-32 and decoded size as u32le.

    Where a member ends can't be known without decoding it. A chunk of several, or with bytes after the last, is
    recognised by its last eight bytes: they are not the size of the whole (then all of the chunk is the stream, and
    none for nvCOMP), or not its checksum (seen after decoding, and left to the host).
    """
    check_rows(slab, offset, size, room)
    problem = _limited(size, room, "gzip")
    mark(problem, size < GZIP_HEADER + GZIP_TRAILER + 2, Problem.TRUNCATED)
    head = heads(slab, offset, size, 4).astype(np.int64)
    flags = head[:, 3]
    wrong = (head[:, 0] != 0x1F) | (head[:, 1] != 0x8B) | (head[:, 2] != 8) | (flags & 0xE0 != 0)
    mark(problem, wrong, Problem.FORMAT)
    rows = _good(problem)
    tail = heads(slab, offset[rows] + size[rows] - 8, np.full(len(rows), 8), 8)
    header = np.full(len(size), GZIP_HEADER, np.int64)
    for row in rows[flags[rows] != 0]:
        view = slab[offset[row] : offset[row] + size[row] - GZIP_TRAILER - 2].data
        header[row] = _gzip_header(view, int(flags[row]))
    mark(problem, header < 0, Problem.TRUNCATED)
    keep = problem[rows] == Problem.NONE
    rows, tail = rows[keep], tail[keep]
    alone = little(tail, 4, 4) == room[rows]
    before, behind = header[rows] * alone, GZIP_TRAILER * alone
    streams = Streams.of(rows, offset[rows] + before, size[rows] - before - behind, room[rows])
    streams.before[:], streams.behind[:] = before, behind
    streams.check[alone] = Check.CRC32
    streams.expected[alone] = little(tail[alone], 0, 4)
    mark(streams.odd, ~alone, Problem.MEMBERS)
    mark(streams.odd, flags[rows] & 2 != 0, Problem.CHECKSUM)
    return Frames(streams, problem)


def _gzip_header(member: memoryview, flags: int) -> int:
    """Bytes of a header with optional fields; -1 where it does not end."""
    at = GZIP_HEADER
    if flags & 4:  # FEXTRA
        at += 2 + int.from_bytes(member[at : at + 2], "little")
    for flag in (8, 16):  # FNAME, FCOMMENT: until a zero
        if flags & flag:
            part = bytes(member[at:])
            end = part.find(0)
            if end < 0:
                return -1
            at += end + 1
    at += flags & 2  # FHCRC: two bytes
    return at if at <= len(member) else -1


# ---- zstd -------------------------------------------------------------------------------------------------------

ZSTD_MAGIC, ZSTD_SKIPPABLE = 0xFD2FB528, 0x184D2A50
ZSTD_HEADER = 18
"""Bytes of the longest frame header: magic, descriptor, window, dictionary, content size."""
ZSTD_BLOCK, ZSTD_WINDOW = 128 << 10, 128 << 20
PIECE = 16 << 10
"""Decoded bytes of a block, about: encoders write one for 128 KiB, or some more if flushed; nobody writes millions."""
FEW = 24
"""So many frames or fewer are walked one by one: a step in columns costs as much."""


def zstd_frames(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> Frames:
    """Zstandard frames (RFC 8878 section 3.1): a stream for each frame, skippable ones left out.

    Block headers are walked, so that a frame's true end is known. One frame of a chunk need not say its decoded size:
    it has what the others leave. Frames without a size, with a checksum or with a huge window are odd.
    """
    check_rows(slab, offset, size, room)
    done, most = np.zeros_like(room), np.full_like(room, -1)
    walk = _Walk(slab, offset.copy(), offset + size, room, done, most, _limited(size, room, "zstd"))
    problem = walk.problem
    left = room // PIECE + 16
    rows, parts = _good(problem), []
    while len(rows):
        parts.append(walk.step(rows, left))
        rows = rows[(problem[rows] == Problem.NONE) & (walk.at[rows] < walk.stop[rows])]
    rest = walk.rest()
    found = Streams.joined([p for p in parts if len(p)])
    found = found.take(problem[found.row] == Problem.NONE)
    sizes = np.where(found.room < 0, rest[found.row], found.room)
    before = np.cumsum(sizes) - sizes
    target = before - before[np.searchsorted(found.row, found.row)]
    return Frames(replace(found, room=sizes, target=target), problem)


def zstd_heads(slab: NDArray[np.uint8], offset: Column, size: Column) -> Column:
    """Bytes of the headers of frames."""
    return _ZstdHeaders.read(heads(slab, offset, size, ZSTD_HEADER)).length


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far each of n chunks has been read (`at`, up to `stop`), and the bytes of its `room` that are `done`.

    `most` is what the frame decodes to at most that does not say its size; -1 where there is none.
    """

    slab: NDArray[np.uint8]
    at: Column
    stop: Column
    room: Column
    done: Column
    most: Column
    problem: NDArray[np.int8]

    def rest(self) -> Column:
        """At the end of all chunks: the bytes for their frames without a size."""
        rest, told = self.room - self.done, self.most < 0
        mark(self.problem, told & (rest > 0), Problem.SIZE)
        mark(self.problem, ~told & (rest > self.most), Problem.FORMAT)
        mark(self.problem, ~told & (rest == 0), Problem.EMPTY)
        return rest

    def step(self, rows: Column, left: Column) -> Streams:
        """Read one frame of each of the rows, or one skippable frame: the streams found."""
        head = heads(self.slab, self.at[rows], self.stop[rows] - self.at[rows], ZSTD_HEADER)
        magic = little(head, 0, 4)
        self._note(rows, left[rows] <= 0, Problem.PIECES)
        left[rows] -= 1
        self._skip(rows, (magic & ~0xF) == ZSTD_SKIPPABLE, little(head, 4, 4))
        self._note(rows, ((magic & ~0xF) != ZSTD_SKIPPABLE) & (magic != ZSTD_MAGIC), Problem.FORMAT)
        frames = (magic == ZSTD_MAGIC) & (self.problem[rows] == Problem.NONE)
        return self._frames(rows[frames], _ZstdHeaders.read(head[frames]), left)

    def _note(self, rows: Column, where: NDArray[np.bool_], what: Problem) -> None:
        bad = rows[where]
        self.problem[bad] = np.where(self.problem[bad] == Problem.NONE, what, self.problem[bad])

    def _skip(self, rows: Column, skippable: NDArray[np.bool_], length: Column) -> None:
        to = self.at[rows] + 8 + length
        self._note(rows, skippable & (to > self.stop[rows]), Problem.TRUNCATED)
        self.at[rows] = np.where(skippable, to, self.at[rows])

    def _frames(self, rows: Column, header: _ZstdHeaders, left: Column) -> Streams:
        """Read frames: their streams, for the time being at `target`s that only tell their order."""
        start, content = self.at[rows], header.content
        self._judge(rows, header)
        self.at[rows] += header.length
        most = self._blocks(rows, np.minimum(header.window, ZSTD_BLOCK), left)
        check_at = self.at[rows]
        self.at[rows] += 4 * header.checked
        self._note(rows, self.at[rows] > self.stop[rows], Problem.TRUNCATED)
        self._note(rows, (content < 0) & (self.most[rows] >= 0), Problem.NO_SIZE)
        self._note(rows, content > most, Problem.FORMAT)
        # A frame of nothing is left out, if there can be no doubt that it is one.
        self._note(rows, (content == 0) & ((most > 0) | (header.checked == 1)), Problem.EMPTY)
        self.most[rows] = np.where(content < 0, most, self.most[rows])
        self.done[rows] += np.maximum(content, 0)
        kept = (content != 0) & (self.problem[rows] == Problem.NONE)
        streams = Streams.of(rows, start, self.at[rows] - start, content, start)
        self._odd(streams, header)
        return self._checked(streams.take(kept), check_at[kept], header.checked[kept] == 1)

    def _odd(self, streams: Streams, header: _ZstdHeaders) -> None:
        mark(streams.odd, header.content < 0, Problem.NO_SIZE)
        mark(streams.odd, header.checked == 1, Problem.CHECKSUM)
        mark(streams.odd, header.window > np.maximum(ZSTD_WINDOW, self.room[streams.row]), Problem.WINDOW)

    def _checked(self, streams: Streams, at: Column, checked: NDArray[np.bool_]) -> Streams:
        streams.check[checked] = Check.XXH64
        tail = heads(self.slab, at[checked], np.full(int(checked.sum()), 4), 4)
        streams.expected[checked] = little(tail, 0, 4)
        return streams

    def _judge(self, rows: Column, header: _ZstdHeaders) -> None:
        self._note(rows, self.at[rows] + header.length > self.stop[rows], Problem.TRUNCATED)
        self._note(rows, header.reserved, Problem.FORMAT)
        self._note(rows, header.dictionary, Problem.DICTIONARY)
        self._note(rows, header.content > self.room[rows] - self.done[rows], Problem.SIZE)

    def _blocks(self, rows: Column, largest: Column, left: Column) -> Column:
        """Walk the blocks of a frame of each row; what they decode to at most."""
        most = np.zeros(len(rows), np.int64)
        on = np.flatnonzero(self.problem[rows] == Problem.NONE)
        while len(on) > FEW:
            which = rows[on]
            here = self.at[which]
            length, decoded, last, why = _block(self._words(here, self.stop[which]), largest[on])
            why = np.where(here + 3 > self.stop[which], Problem.TRUNCATED, why)
            why = np.where((why == Problem.NONE) & (left[which] <= 0), Problem.PIECES, why)
            self.problem[which] = why
            self.at[which] += length
            left[which] -= 1
            most[on] += decoded
            on = on[(why == Problem.NONE) & ~last]
        for k in on:
            most[k] += self._blocks_of(int(rows[k]), int(largest[k]), left)
        return most

    def _words(self, at: Column, stop: Column) -> Column:
        return little(heads(self.slab, at, stop - at, 3), 0, 3)

    def _blocks_of(self, row: int, largest: int, left: Column) -> int:
        """Walk the blocks of the frame of one row, as `_blocks` does those of many."""
        data, at, stop, pieces, most = self.slab.data, int(self.at[row]), int(self.stop[row]), int(left[row]), 0
        why, last = Problem.NONE, 0
        while not (last or why):
            if at + 3 > stop or pieces <= 0:
                why = Problem.TRUNCATED if at + 3 > stop else Problem.PIECES
                break
            word = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            last, kind, length = word & 1, word >> 1 & 3, word >> 3
            if kind == 3 or length > largest or (kind == 2 and length < 2):
                why = Problem.FORMAT
            at += 3 + (1 if kind == 1 else length)
            most += largest if kind == 2 else length
            pieces -= 1
        self.at[row], self.problem[row], left[row] = at, why, pieces
        return most


def _block(word: Column, largest: Column) -> tuple[Column, Column, NDArray[np.bool_], Column]:
    """What a block's header says: bytes it takes, bytes it decodes to at most, whether it is the last, a problem."""
    kind, length = word >> 1 & 3, word >> 3
    wrong = (kind == 3) | (length > largest) | ((kind == 2) & (length < 2))
    taken = 3 + np.where(kind == 1, 1, length)
    return taken, np.where(kind == 2, largest, length), word & 1 == 1, np.where(wrong, Problem.FORMAT, Problem.NONE)


@dataclass(frozen=True, slots=True)
class _ZstdHeaders:
    """Frame headers in columns; `content` is -1 where it is not told."""

    length: Column
    content: Column
    window: Column
    checked: Column
    reserved: NDArray[np.bool_]
    dictionary: NDArray[np.bool_]

    @classmethod
    def read(cls, head: NDArray[np.uint8]) -> _ZstdHeaders:
        flags = head[:, 4].astype(np.int64)
        single, code = flags >> 5 & 1, flags >> 6
        exponent, eighths = head[:, 5].astype(np.int64) >> 3, head[:, 5].astype(np.int64) & 7
        ids = np.array([0, 1, 2, 4])[flags & 3]
        wide = np.where(code > 0, 1 << code, single)
        at = 6 - single
        content = np.where(wide == 0, -1, _field(head, at + ids, wide) + np.where(wide == 2, 256, 0))
        window = np.where(single == 1, content, (np.int64(1) << (10 + exponent)) // 8 * (8 + eighths))
        key = _field(head, at, ids)
        return cls(at + ids + wide, content, window, flags >> 2 & 1, flags & 8 != 0, key != 0)


def _field(head: NDArray[np.uint8], at: Column, width: Column) -> Column:
    """Little-endian numbers whose width and place differ from row to row; from 2**62 on they are cut to that."""
    number = np.zeros(len(head), np.int64)
    for k in range(8):
        byte = np.take_along_axis(head, np.minimum(at + k, head.shape[1] - 1)[:, None], axis=1)[:, 0]
        there = np.where(k < width, byte, 0).astype(np.int64)
        number = number | there << 8 * k if k < 7 else np.where(there > 63, 1 << 62, number | (there & 63) << 56)
    return number


Reader = Callable[[NDArray[np.uint8], Column, Column, Column], Frames]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "zstd": zstd_frames,
        "gzip": gzip_members,
        "zlib": zlib_streams,
        "deflate": deflate_streams,
        "snappy": snappy_blocks,
        "lz4": lz4_blocks,
    }
)
"""By the name of the Zarr codec: what finds the streams of chunks (slab, offset, size and room of each)."""
