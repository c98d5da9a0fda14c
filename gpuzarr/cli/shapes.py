"""Which chunks and shards suit a volume: pure arithmetic on shapes.

Boxes stay near cubes, because crops are: the longest side is always the one that is halved. Sides are halved
rather than cut to a power of two, so that chunks divide the volume with little left over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

__all__ = ["blocks", "choose", "grown", "halved"]

CHUNK_BYTES = 256 << 10
"""Largest chunk chosen: many chunks of this size fill a GPU, and a crop wastes little of one."""
SHARD_BYTES = 32 << 20
"""Largest shard chosen: one object in a store, and what one write has to hold."""
SMALL_CHUNK = 16 << 10
"""Smallest chunk worth choosing: below it a codec's header and a chunk's index entry begin to count."""

Box = tuple[int, ...]


def halved(shape: Sequence[int], itemsize: int, limit: int) -> Box:
    """The box that is left when the longest side of `shape` is halved until it has at most `limit` bytes.

    >>> halved((128, 96, 24, 2), 2, 80_000)
    (32, 24, 24, 2)
    """
    box = [max(1, n) for n in shape]
    while math.prod(box) * itemsize > limit and max(box, default=1) > 1:
        axis = box.index(max(box))
        box[axis] = -(-box[axis] // 2)
    return tuple(box)


def grown(box: Sequence[int], shape: Sequence[int], itemsize: int, limit: int) -> Box:
    """`box` doubled along the axis that takes the most boxes, while it stays within `limit` bytes.

    The result's sides are multiples of those of `box`.

    >>> grown((32, 24, 24, 2), (128, 96, 24, 2), 2, 300_000)
    (64, 48, 24, 2)
    """
    sides = list(box)
    while True:
        counts = [-(-n // side) for n, side in zip(shape, sides, strict=True)]
        most = max(counts, default=1)
        if most <= 1 or 2 * math.prod(sides) * itemsize > limit:
            return tuple(sides)
        sides[counts.index(most)] *= 2


def choose(shape: Sequence[int], itemsize: int) -> tuple[Box, Box]:
    """Chunks and shards for an array of `shape`, whose elements have `itemsize` bytes.

    A volume too small for full-sized boxes is still cut into about 16 chunks in about 4 shards, as long as
    the chunks are worth having.

    >>> choose((128, 96, 24, 2), 2)
    ((32, 24, 24, 2), (64, 48, 24, 2))
    >>> choose((2048, 2048, 2048), 2)
    ((32, 64, 64), (256, 256, 256))
    """
    nbytes = math.prod(shape) * itemsize
    chunks = halved(shape, itemsize, max(SMALL_CHUNK, min(CHUNK_BYTES, nbytes // 16)))
    return chunks, grown(chunks, shape, itemsize, min(SHARD_BYTES, nbytes // 4))


def blocks(shape: Sequence[int], box: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The selections that cut an array of `shape` into boxes, the last ones clipped.

    >>> [tuple((s.start, s.stop) for s in b) for b in blocks((5, 2), (3, 2))]
    [((0, 3), (0, 2)), ((3, 5), (0, 2))]
    """
    for corner in product(*(range(0, n, side) for n, side in zip(shape, box, strict=True))):
        yield tuple(slice(at, min(at + side, n)) for at, side, n in zip(corner, box, shape, strict=True))
