"""Which bytes of which keys: byte ranges, requests in columns, and joining neighbours (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["WHOLE", "ByteRange", "Requests"]

WHOLE = -1
"""The length of a request for everything from its offset on."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `offset`; a negative offset counts from the end, no length means up to the end.

    >>> ByteRange(-20).of(100)
    (80, 100)
    >>> ByteRange(90, 20).of(100)
    (90, 100)
    """

    offset: int = 0
    length: int | None = None

    def of(self, size: int) -> tuple[int, int]:
        """First and one-past-last byte within a value of `size` bytes; what is past the end is cut off."""
        start = max(0, size + self.offset) if self.offset < 0 else min(self.offset, size)
        stop = size if self.length is None else min(size, start + self.length)
        return start, max(start, stop)


@dataclass(frozen=True, slots=True)
class Requests:
    """n byte ranges to fetch: row i wants `length[i]` bytes at `offset[i]` of `keys[key[i]]`.

    `keys` may make its strings when asked (they cost more than the rest of a plan). A length of `WHOLE` means
    up to the end; a negative offset counts from the end.
    """

    keys: Sequence[str]
    key: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key)

    def range(self, row: int) -> ByteRange:
        """The byte range of one row."""
        length = int(self.length[row])
        return ByteRange(int(self.offset[row]), None if length == WHOLE else length)

    def coalesced(self, gap: int, limit: int) -> tuple[Requests, NDArray[np.int64], NDArray[np.int64]]:
        """Join rows that are neighbours in the table and in their value.

        Two rows join where the second begins at most `gap` bytes after the first ends, and the joined request
        stays within `limit` bytes. Returns the joined requests; for each row which of them holds it; and the
        row's offset inside it.

        >>> column = lambda *v: np.array(v, np.int64)
        >>> some = Requests(("a", "b"), column(0, 0, 0, 1), column(0, 10, 90, 0), column(10, 10, 10, 5))
        >>> joined, which, at = some.coalesced(gap=8, limit=1000)
        >>> joined.offset.tolist(), joined.length.tolist(), which.tolist(), at.tolist()
        ([0, 90, 0], [20, 10, 5], [0, 0, 1, 2], [0, 10, 0, 0])
        """
        n = len(self)
        if n == 0:
            none = np.zeros(0, np.int64)
            return self, none, none
        end = self.offset + self.length
        step = self.offset[1:] - end[:-1]
        joins = (self.key[1:] == self.key[:-1]) & (step >= 0) & (step <= gap)
        joins &= (self.length[1:] >= 0) & (self.length[:-1] >= 0) & (self.offset[:-1] >= 0)
        starts = np.concatenate(([True], ~joins))
        first = np.flatnonzero(starts)
        last = np.append(first[1:], n) - 1
        for run in np.flatnonzero((last > first) & (end[last] - self.offset[first] > limit)).tolist():
            row, stop = int(first[run]), int(last[run]) + 1
            while row < stop:  # as many rows as the limit takes, and one at least
                starts[row] = True
                row = max(row + 1, row + int(np.searchsorted(end[row:stop], self.offset[row] + limit, "right")))
        first = np.flatnonzero(starts)
        which = np.cumsum(starts) - 1
        last = np.append(first[1:], n) - 1
        length = np.where(self.length[first] < 0, self.length[first], end[last] - self.offset[first])
        joined = Requests(self.keys, self.key[first], self.offset[first], length)
        return joined, which, self.offset - self.offset[first][which]
