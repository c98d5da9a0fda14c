"""A shard's index: bytes to rows, and rows to bytes (Zarr 3 `sharding_indexed`, section "Binary shard format"; pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "ShardLevel", "pack_index", "place"]

MISSING = np.uint64(2**64 - 1)
"""Offset and size of an inner chunk that is not stored."""


@dataclass(frozen=True, slots=True)
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

    @property
    def grid(self) -> tuple[int, ...]:
        """Inner chunks along each axis."""
        return tuple(n // c for n, c in zip(self.shape, self.chunk, strict=True))

    @property
    def slots(self) -> int:
        """Inner chunks in a shard, stored or not."""
        return math.prod(self.grid)


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


def pack_index(raw: bytes | memoryview, slots: int, big_endian: bool) -> NDArray[np.uint64]:
    """An index's decoded bytes as uint64[slots, 2] in native byte order."""
    return np.frombuffer(raw, ">u8" if big_endian else "<u8", 2 * slots).astype(np.uint64).reshape(slots, 2)
