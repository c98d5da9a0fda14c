"""Small boxes of arrays whose values are plain files: planned, fetched and decoded in one call of the compiled module.

A crop of a few chunks takes less time than its plan does in Python. Whatever is not the simplest case, or goes wrong,
is left to the plan: it has the right result, or the precise error.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import native
from gpuzarr.codecs.chain import Chain
from gpuzarr.execute import compiled
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import Source
from gpuzarr.execute.work import RUN, nanoseconds
from gpuzarr.grid import ChunkKeys
from gpuzarr.shard import ShardLevel

__all__ = ["SmallReads"]

ROWS = 64
"""Chunks of a box at most: GZ_BOX_ROWS of the module."""

FEW = 8
"""Times the work that is one thread's: a box of more is planned, in runs that keep all threads busy to the end."""


class SmallReads:
    """The small reads of one array. What they have in common is bound when the first of them is asked for."""

    def __init__(
        self,
        source: Source,
        chain: Chain,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fill: Any,
        folder: str,
        keys: ChunkKeys,
        pool: Pool,
    ) -> None:
        self.source, self.chain, self.shape, self.dtype, self.fill = source, chain, shape, dtype, fill
        self.folder, self.keys, self.pool = folder, keys, pool
        self.chunk = chain.leaf.shape
        self.level: ShardLevel | None = chain.levels[0] if chain.levels else None
        self.most: int | None = None
        self.alone = 0

    def _bind(self) -> int:
        """How many chunks a box may have: none where the module can't read them."""
        path, levels = self.source.path_of(self.folder), self.chain.levels
        simple = 1 <= len(self.shape) <= native.BOX_DIMS and (not levels or not (levels[0].whole or levels[0].turned))
        bound = compiled.program(self.chain.leaf) if path is not None and simple and len(levels) < 2 else None
        if bound is None or path is None:
            return 0
        ndim, grid = len(self.shape), None if self.level is None else self.level.grid_column
        edges, prefix = np.array(self.chunk, np.int64), os.fsencode(path + self.keys.prefix)
        fill = np.asarray(self.fill, bound.layout.dtype).tobytes()
        names = (prefix, None, ndim, ord(self.keys.separator), self.keys.scalar.encode())
        head = bound.head(bound.decoding, ndim, bound.strides)
        read = native.ReadArgs(*head, None, None, 0, fill, native.FILES, *names, *[None] * 13, native.BOXES)
        self.module = bound.module
        self.args = native.BoxArgs(read, native.address(edges), None if grid is None else native.address(grid))
        self.args.keep = (bound, read, edges, grid)
        self.at = ctypes.addressof(self.args)
        self.alone = max(1, int(2 * RUN / nanoseconds(self.chain.leaf)))
        return ROWS if self.pool.threads < 2 else min(ROWS, FEW * self.alone)

    def read(self, wanted: tuple[Any, ...]) -> Any:
        """What `a[wanted]` is; None where it has to be planned."""
        start: list[int] = []
        count: list[int] = []
        kept: list[int] = []
        rows = 1
        if len(wanted) != len(self.shape) or (self.level is not None and not self.source.keeps):
            return None
        if self.most is None:
            self.most = self._bind()
        if not self.most:
            return None
        for item, n, edge in zip(wanted, self.shape, self.chunk, strict=True):
            if type(item) is slice and item.step in (None, 1):
                if not isinstance(item.start, int | None) or not isinstance(item.stop, int | None):
                    return None
                first, stop, _ = item.indices(n)
                length = stop - first
                if length < 1:
                    return None
                kept.append(length)
            elif type(item) is int and -n <= item < n:
                first, length = item % n, 1
            else:
                return None
            start.append(first)
            count.append(length)
            rows *= (first + length - 1) // edge - first // edge + 1
        return self._read(start, count, kept, rows) if rows <= self.most else None

    def _read(self, start: list[int], count: list[int], shape: list[int], rows: int) -> Any:
        index: NDArray[np.int64] | None = None
        coords: list[int] = []
        if self.level is not None:
            for k, edge in enumerate(self.level.shape):
                at = start[k] // edge
                if (start[k] + count[k] - 1) // edge != at:
                    return None
                coords.append(at)
                start[k] -= at * edge
            offset = 0 if self.level.at_start else -self.level.index_size
            index = self.source.kept(self.folder + self.keys.key(coords), offset)
            if index is None:
                return None
        out = np.empty(shape, self.dtype)
        parts = self._parts(start[0], count[0], rows)
        if len(parts) > 1:
            missing: list[range] = []

            def one(part: range) -> None:
                if not self._part(part, start, count, coords, index, out):
                    missing.append(part)

            self.pool.run(one, parts, len(parts))
            whole = not missing
        else:
            whole = self._part(parts[0], start, count, coords, index, out)
        return None if not whole else out if shape else out[()]

    def _parts(self, start: int, count: int, rows: int) -> list[range]:
        """A box cut along its first axis, at borders of chunks, for the threads; not at all if it is not worth it."""
        edge, stop = self.chunk[0], start + count
        first, last = start // edge, (stop - 1) // edge
        if rows <= self.alone or first == last:
            return [range(start, stop)]
        each = -(-(last - first + 1) // self.pool.threads) * edge
        borders = [start, *range((first * edge) + each, stop, each), stop]
        return [range(a, b) for a, b in pairwise(borders)]

    def _part(
        self,
        part: range,
        start: list[int],
        count: list[int],
        coords: list[int],
        index: NDArray[np.int64] | None,
        out: NDArray[Any],
    ) -> bool:
        """Read a part of a box into its part of the result, which is contiguous; whether all of it is there."""
        numbers = array("q", [part.start, *start[1:], len(part), *count[1:], *coords])
        at, step = numbers.buffer_info()[0], 8 * len(start)
        key, entries = (None, None) if index is None else (at + 2 * step, native.address(index))
        to = native.address(out) + (part.start - start[0]) * (out.nbytes // count[0])
        return not self.module.read_box(self.at, at, at + step, key, entries, to)
