"""How an array is cut into chunks and shards, and how that changes when the array does (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat

from gpuzarr.edges import Grid, is_regular, listed, resized
from gpuzarr.errors import UnsupportedError
from gpuzarr.grid import grid_shape
from gpuzarr.metadata import ArrayMetadata
from gpuzarr.metadata.grids import check_chunk

__all__ = ["Chunking"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chunking:
    """The grid of an array of `shape`: `outer` is that of the keys, `inner` the shape of chunks in shards if any.

    >>> from gpuzarr.edges import Runs
    >>> cut = Chunking((20, 7), (Runs.of([(5, 1), (15, 1)]), 4), None)
    >>> cut.sizes(), cut.text()
    (((5, 15), (4, 3)), '((5, 15), 4)')
    """

    shape: Shape
    outer: Grid
    inner: Shape | None

    @property
    def chunks(self) -> Grid:
        """The grid of the innermost chunks: shards of several shapes have chunks of one."""
        return self.outer if self.inner is None else self.inner

    def uniform(self, grid: Grid, instead: str) -> Shape:
        """The one shape that the chunks of a grid have. Raises UnsupportedError where they have several."""
        found = tuple(edge for edge in grid if isinstance(edge, int))
        if len(found) != len(grid):
            what = f"the grid is rectilinear: its chunks have no one shape; {instead} has their sizes along each axis"
            raise UnsupportedError(what, feature="one shape of the chunks of a rectilinear grid")
        return found

    def sizes(self) -> tuple[Shape, ...]:
        """The lengths of the innermost chunks along each axis, within the array."""
        return tuple(map(listed, self.shape, self.chunks))

    def stored_sizes(self) -> tuple[Shape, ...]:
        """The same of what is stored under a key: shards, where there are."""
        return tuple(map(listed, self.shape, self.outer))

    def first(self) -> Shape:
        """The shape of the first chunk."""
        return tuple(1 * edge for edge in self.chunks)

    def in_shard(self, coords: Shape) -> int:
        """Chunks of the shard at some coordinates; 1 where there are no shards."""
        inner = self.inner or ()
        return math.prod(((c + 1) * e - c * e) // i for c, e, i in zip(coords, self.outer, inner, strict=False))

    def text(self) -> str:
        """The chunks in words: their shape, or the lengths of several along an axis."""
        return str(self.chunks)

    def resized(self, metadata: ArrayMetadata, shape: Shape) -> ArrayMetadata:
        """The metadata of the array with another shape. Raises MetadataError where a chunk would be too large."""
        units = self.inner or repeat(1)
        grid = tuple(map(resized, self.outer, shape, units))
        found = replace(metadata, shape=shape, chunks=grid)
        if not is_regular(grid):
            check_chunk(found.largest, metadata.data_type.dtype.itemsize, "chunk_grid")
        return found

    def borders(self, kept: Shape) -> Iterator[tuple[slice, ...]]:
        """What lies past `kept` elements along each axis in chunks that hold some of these."""
        ends = [n * edge for n, edge in zip(grid_shape(kept, self.outer), self.outer, strict=True)]
        ends = [min(n, end) for n, end in zip(self.shape, ends, strict=True)]
        for k, n in enumerate(kept):
            if n < ends[k] and all(kept):
                yield (*map(slice, kept[:k]), slice(n, ends[k]), *(slice(0, end) for end in ends[k + 1 :]))
