"""A shard's index: bytes to rows, and rows to bytes (Zarr 3 `sharding_indexed`, "Binary shard format"; pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuzarr.lazy import lazy

__all__ = ["ABSENT", "OUTSIDE", "ShardLevel", "entries", "place"]

MISSING = np.uint64(2**64 - 1)
"""Offset and size, as stored, of an inner chunk that is not."""

ABSENT, OUTSIDE = -1, -2
"""Offset, in `entries`, of an inner chunk that is not stored, and of one that can't lie where the index says."""


@dataclass(frozen=True)
class ShardLevel:
    """How one level of shards is cut into inner chunks.

    `shape` is the shard's, in stored order of axes: axis k of it is axis `order[k]` of what the shard holds.
    `index_size` is the encoded index's size in bytes; `at_start` tells at which end it lies. `whole` means that
    codecs after sharding make the value readable only as a whole.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    chunk: tuple[int, ...]
    index_size: int
    at_start: bool
    whole: bool

    @lazy
    def grid(self) -> tuple[int, ...]:
        """Inner chunks along each axis."""
        return tuple(n // c for n, c in zip(self.shape, self.chunk, strict=True))

    @lazy
    def slots(self) -> int:
        """Inner chunks in a shard, stored or not."""
        return math.prod(self.grid)

    @lazy
    def weights(self) -> NDArray[np.int64]:
        """What turns an inner chunk's coordinates into its slot: the dot product."""
        return np.array([math.prod(self.grid[k + 1 :]) for k in range(len(self.grid))], np.int64)

    @lazy
    def grid_column(self) -> NDArray[np.int64]:
        """`grid` as a row of a column."""
        return np.array(self.grid, np.int64)

    @lazy
    def turned(self) -> bool:
        """Whether the stored order of axes is another than the array's."""
        return self.order != tuple(range(len(self.order)))


def place(sizes: Sequence[int | None], start: int) -> NDArray[np.uint64]:
    """The index of inner chunks stored one after another from byte `start`: uint64[slots, 2], offset and size.

    >>> place([4, None, 6], 0).tolist() == [[0, 4], [2**64 - 1, 2**64 - 1], [4, 6]]
    True
    """
    nbytes = np.array([-1 if n is None else n for n in sizes], np.int64)
    stored = nbytes >= 0
    end = np.cumsum(np.where(stored, nbytes, 0)) + start
    index = np.full((len(nbytes), 2), MISSING, np.uint64)
    index[stored, 0] = (end - nbytes)[stored]
    index[stored, 1] = nbytes[stored]
    return index


def entries(index: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """A decoded index (uint64[slots, 2]) as int64[slots, 2]: offset (or ABSENT, or OUTSIDE) and size.

    `limit` is the shard's size in bytes, or what no object exceeds where that is not known. An entry that lies
    outside is marked, not refused: the other chunks can still be read.

    >>> entries(np.array([[0, 4], [2**64 - 1, 2**64 - 1], [90, 20]], np.uint64), 100).tolist()
    [[0, 4], [-1, 0], [-2, 20]]
    """
    offset, size = index[:, 0], index[:, 1]
    absent = (offset == MISSING) & (size == MISSING)
    bound = np.uint64(limit)
    outside = (offset > bound) | (size > bound) | (offset + size > bound)
    found = index.astype(np.int64)
    found[outside, 0] = OUTSIDE
    found[absent] = ABSENT, 0
    return found
