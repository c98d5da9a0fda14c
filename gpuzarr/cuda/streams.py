"""Compressed streams in columns: where they lie, what they decode to, and why a chunk is none for a device.

One row a stream; a chunk consists of one or many (the blocks of a Blosc container, several zstd frames).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import ShapeError

__all__ = [
    "WORDS",
    "Check",
    "Column",
    "Frames",
    "Problem",
    "Streams",
    "check_rows",
    "heads",
    "little",
    "mark",
]

Column = NDArray[np.int64]


class Check(IntEnum):
    """What a stream's own checksum is; 0 to 3 are the kinds of the kernel `gz_checksum`."""

    NONE = -1
    CRC32C = 0
    CRC32 = 1
    ADLER32 = 2
    FLETCHER32 = 3
    XXH64 = 4
    """The low 32 bits of XXH64 with seed 0, as zstd frames have it: verified by the kernel that decodes them."""


class Problem(IntEnum):
    """Why the host has to decode a chunk, or nvCOMP is not to have a stream; `WORDS` has these codes for people."""

    NONE = 0
    TRUNCATED = 1
    FORMAT = 2
    SIZE = 3
    TOO_LARGE = 4
    DICTIONARY = 5
    NO_SIZE = 6
    WINDOW = 7
    PIECES = 8
    CHECKSUM = 9
    EMPTY = 10
    CODEC = 11
    MEMORY = 12
    MEMBERS = 13


WORDS: Mapping[Problem, str] = MappingProxyType(
    {
        Problem.TRUNCATED: "the bytes end in the middle of a stream",
        Problem.FORMAT: "the bytes are not of this format",
        Problem.SIZE: "it does not decode to the size of the chunk",
        Problem.TOO_LARGE: "a stream is larger than nvCOMP takes",
        Problem.DICTIONARY: "a stream needs a dictionary",
        Problem.NO_SIZE: "a frame does not say its decoded size",
        Problem.WINDOW: "a frame's window is larger than 128 MiB",
        Problem.PIECES: "it is cut into very many small pieces",
        Problem.CHECKSUM: "nvCOMP does not verify its checksum",
        Problem.EMPTY: "it, or a part of it, holds nothing",
        Problem.CODEC: "its compressor is not known",
        Problem.MEMORY: "nvCOMP needs more temporary memory for it than there is",
        Problem.MEMBERS: "it has several members, or bytes behind the last",
    }
)
"""What each problem is in words, as `explain()` says it."""


@dataclass(frozen=True, slots=True)
class Streams:
    """m compressed streams, one row each.

    `row` is the chunk a stream belongs to; its `size` bytes lie at `source` in the slab and decode to exactly `room`
    bytes, which belong at `target` within the decoded chunk. `expected` (uint64[m]) is the checksum of the decoded
    bytes where `check` (int8[m], a `Check`) names one. `odd` (int8[m], a `Problem`) is why nvCOMP is not to have a
    stream that is well-formed. `before` and `behind` are bytes around the stream that frame it (zlib's and gzip's),
    which our kernels look at. Other columns are int64[m].
    """

    row: Column
    source: Column
    size: Column
    target: Column
    room: Column
    check: NDArray[np.int8]
    expected: NDArray[np.uint64]
    odd: NDArray[np.int8]
    before: Column
    behind: Column

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, row: Column, source: Column, size: Column, room: Column, target: Column | None = None) -> Streams:
        """Streams without checksums; at the beginning of their chunks where no `target` is given."""
        m = len(row)
        at = np.zeros(m, np.int64) if target is None else target
        check, expected, odd = np.full(m, Check.NONE, np.int8), np.zeros(m, np.uint64), np.zeros(m, np.int8)
        return cls(row, source, size, at, room, check, expected, odd, np.zeros(m, np.int64), np.zeros(m, np.int64))

    @classmethod
    def joined(cls, parts: list[Streams]) -> Streams:
        """The rows of all the parts, in the order of chunks and of bytes within a chunk."""
        if not parts:
            none = np.zeros(0, np.int64)
            return cls.of(none, none, none, none)
        if len(parts) == 1:
            return parts[0]
        whole = cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return whole.take(np.lexsort((whole.target, whole.row)))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Streams:
        return Streams(*(getattr(self, f.name)[rows] for f in fields(self)))

    def within(self, outer: Streams) -> Streams:
        """These streams as streams of chunks, where their `row` counts the rows of `outer`."""
        chunk, at = outer.row[self.row], outer.target[self.row] + self.target
        return replace(self, row=chunk, target=at)


@dataclass(frozen=True, slots=True)
class Frames:
    """What n chunks consist of: the streams of those that a device can take, and a `Problem` for each (int8[n])."""

    streams: Streams
    problem: NDArray[np.int8]

    def why_not(self, row: int) -> str | None:
        """Why chunk `row` is decoded on the host; None where the device can take it."""
        return WORDS.get(Problem(int(self.problem[row])))


# ---- reading bytes in columns -----------------------------------------------------------------------------------


def check_rows(slab: NDArray[np.uint8], offset: Column, size: Column, room: Column) -> None:
    """Refuse rows that are not inside the slab. Raises ShapeError."""
    wrong = slab.ndim != 1 or slab.dtype != np.uint8 or not offset.shape == size.shape == room.shape == (len(offset),)
    if not wrong and len(offset):
        inside = (offset >= 0) & (size >= 0) & (room >= 0) & (size <= slab.size) & (offset <= slab.size - size)
        wrong = not bool(inside.all())
    if wrong:
        raise ShapeError("streams that are not within the slab", shape=slab.shape)


def heads(slab: NDArray[np.uint8], offset: Column, size: Column, width: int) -> NDArray[np.uint8]:
    """The first `width` bytes of each stream, uint8[n, width]; zeros where a stream is shorter."""
    if not slab.size:
        return np.zeros((len(offset), width), np.uint8)
    at = np.arange(width)
    there = at < size[:, None]
    found: NDArray[np.uint8] = slab[np.where(there, offset[:, None] + at, 0)]
    return found * there


def little(table: NDArray[np.uint8], first: int, width: int) -> Column:
    """The little-endian number in columns `first` to `first + width` (at most 7) of a table of bytes."""
    number = np.zeros(len(table), np.int64)
    for k in range(width):
        number |= table[:, first + k].astype(np.int64) << 8 * k
    return number


def mark(problem: NDArray[np.int8], where: NDArray[np.bool_], what: Problem) -> None:
    """Note a problem in the rows of a mask that have none yet: the first one found is told."""
    problem[where & (problem == Problem.NONE)] = what
