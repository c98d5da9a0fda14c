"""The lengths of chunks along an axis: one that all of them have, or runs of equal ones (pure).

A run is never expanded: an axis may have more chunks than memory has room for. What is asked of either kind of axis is
asked here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import MetadataError, UnsupportedError
from gpuzarr.lazy import lazy

__all__ = [
    "Edge",
    "Grid",
    "Runs",
    "as_json",
    "chunks_within",
    "is_regular",
    "lengths_within",
    "listed",
    "resized",
]

Column = NDArray[np.int64]

MAX_RUNS = 1 << 20
"""Runs of an axis: ten times as many as the longest axis of chunks that all differ in any archive we know of."""

MAX_LISTED = 1 << 24
"""Chunks of an axis whose lengths are listed one by one."""

MAX_INT = (1 << 63) - 1


@dataclass(frozen=True)
class Runs:
    """Chunks of several lengths along one axis: `count` of `length` elements each, then those of the next run.

    Neighbouring runs differ in length. The chunks may reach past the end of the array (`rectilinear` chunk grid of
    zarr-extensions; Zarr-Python leaves them there when an array shrinks).

    It divides and multiplies as a number does that is the length of all chunks: of a position or a column of them,
    `position // edge` is the chunk, `position % edge` the place in it, and `chunk * edge` where a chunk begins.

    >>> edges = Runs.of([(5, 1), (10, 2), (10, 1)])
    >>> edges.runs, edges.size, len(edges)
    (((5, 1), (10, 3)), 35, 4)
    >>> (np.array([0, 4, 5, 34]) // edges).tolist(), 34 % edges, 3 * edges
    ([0, 0, 1, 3], 9, 25)
    """

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Runs:
        """From pairs of a length and a count, which may be equal neighbours. Raises MetadataError."""
        runs: list[tuple[int, int]] = []
        for length, count in pairs:
            if length < 1 or count < 1:
                raise MetadataError(f"{count} chunks of {length} elements: both are at least 1", field="chunk_grid")
            if runs and runs[-1][0] == length:
                runs[-1] = (length, runs[-1][1] + count)
            elif len(runs) == MAX_RUNS:
                raise MetadataError(f"an axis of more than {MAX_RUNS} runs of chunks", field="chunk_grid")
            else:
                runs.append((length, count))
        if sum(length * count for length, count in runs) > MAX_INT:
            raise MetadataError("chunks of an axis have more elements than 64 bits count", field="chunk_grid")
        return cls(tuple(runs))

    def __len__(self) -> int:
        """Chunks in all."""
        return sum(count for _, count in self.runs)

    @lazy
    def size(self) -> int:
        """Elements of all chunks."""
        return sum(length * count for length, count in self.runs)

    @lazy
    def _length(self) -> Column:
        return np.array([length for length, _ in self.runs], np.int64)

    @lazy
    def _chunk(self) -> Column:
        """The first chunk of each run."""
        return np.array(list(accumulate((n for _, n in self.runs), initial=0))[:-1], np.int64)

    @lazy
    def _begin(self) -> Column:
        """The first element of each run."""
        return np.array(list(accumulate((m * n for m, n in self.runs), initial=0))[:-1], np.int64)

    __array_ufunc__ = None  # columns leave what follows to this class

    @overload
    def __rfloordiv__(self, position: int) -> int: ...
    @overload
    def __rfloordiv__(self, position: Column) -> Column: ...
    def __rfloordiv__(self, position: int | Column) -> int | Column:
        """The chunk that an element lies in."""
        run = self._run(self._begin, position)
        return _as_given(self._chunk[run] + (position - self._begin[run]) // self._length[run])

    @overload
    def __rmod__(self, position: int) -> int: ...
    @overload
    def __rmod__(self, position: Column) -> Column: ...
    def __rmod__(self, position: int | Column) -> int | Column:
        """Where in its chunk an element lies."""
        run = self._run(self._begin, position)
        return _as_given((position - self._begin[run]) % self._length[run])

    @overload
    def __rmul__(self, chunk: int) -> int: ...
    @overload
    def __rmul__(self, chunk: Column) -> Column: ...
    def __rmul__(self, chunk: int | Column) -> int | Column:
        """The first element of a chunk; of the one after the last, the end of that."""
        run = self._run(self._chunk, chunk)
        return _as_given(self._begin[run] + (chunk - self._chunk[run]) * self._length[run])

    @staticmethod
    def _run(first: Column, wanted: int | Column) -> Any:
        """The run in which something lies, by where the runs begin."""
        if isinstance(wanted, int):
            return bisect_right(first, wanted) - 1
        return np.searchsorted(first, wanted, "right") - 1

    def within(self, n: int) -> Iterator[tuple[int, int]]:
        """The runs of chunks that the first `n` elements of the axis touch."""
        for length, count in self.runs:
            if n <= 0:
                return
            touched = min(count, -(-n // length))
            yield length, touched
            n -= touched * length

    def to_json(self) -> list[int | list[int]]:
        """The lengths as documents have them: each a number, or a pair of it and how often it comes."""
        return [length if count == 1 else [length, count] for length, count in self.runs]

    def __repr__(self) -> str:
        shown = [str(m) if n == 1 else f"{m}*{n}" for m, n in self.runs[:5]]
        return f"({', '.join(shown)}{', ...' if len(self.runs) > 5 else ''})"


def _as_given(found: Any) -> int | Column:
    """A column as it is, a number as Python has it."""
    return np.asarray(found, np.int64) if isinstance(found, np.ndarray) else int(found)


Edge: TypeAlias = int | Runs
"""The chunks of an axis: of one length, as many as it takes, or of several."""

Grid: TypeAlias = tuple[Edge, ...]
"""The chunks of all axes."""


def as_json(grid: Grid) -> list[int | list[int | list[int]]]:
    """A grid as documents have it: `chunk_shapes` of a rectilinear one."""
    return [edge if isinstance(edge, int) else edge.to_json() for edge in grid]


def is_regular(grid: Grid) -> bool:
    """Whether all chunks have one shape."""
    return Runs not in map(type, grid)


def chunks_within(n: int, edge: Edge) -> int:
    """Chunks that the first `n` elements touch.

    >>> chunks_within(10, 4), chunks_within(10, Runs.of([(4, 1), (7, 5)]))
    (3, 2)
    """
    return -(-n // edge) if isinstance(edge, int) else sum(count for _, count in edge.within(n))


def lengths_within(n: int, edge: Edge) -> list[int]:
    """The different lengths of chunks that the first `n` elements touch, the largest last; of no elements, one.

    >>> lengths_within(10, 4), lengths_within(10, Runs.of([(4, 1), (1, 2), (7, 1), (9, 9)]))
    ([4], [1, 4, 7])
    """
    if isinstance(edge, int):
        return [edge]
    return sorted({length for length, _ in edge.within(n)}) or [length for length, _ in edge.runs[:1]] or [1]


def listed(n: int, edge: Edge) -> tuple[int, ...]:
    """The length of each chunk that the first `n` elements touch, the last one cut where they end.

    >>> listed(10, 4), listed(10, Runs.of([(4, 1), (7, 5)]))
    ((4, 4, 2), (4, 6))
    """
    many = chunks_within(n, edge)
    if many > MAX_LISTED:
        what = f"{many} chunks along an axis are not listed one by one: at most {MAX_LISTED} are"
        raise UnsupportedError(what, feature="a list of that many chunks")
    runs = [(edge, many)] if isinstance(edge, int) else edge.within(n)
    found = [length for length, count in runs for _ in range(count)]
    return (*found[:-1], found[-1] - (sum(found) - n)) if found else ()


def resized(edge: Edge, n: int, unit: int = 1) -> Edge:
    """The chunks of an axis of `n` elements from now on.

    Chunks of one length are as many as it takes. Of several, those that are there stay, past the end of the array
    too; if they do not reach to it, one more takes the rest, and that is rounded up to a multiple of `unit`. It is
    what Zarr-Python does.

    >>> resized(4, 100), resized(Runs.of([(5, 1), (10, 1)]), 4), resized(Runs.of([(5, 1), (10, 1)]), 22)
    (4, (5, 10), (5, 10, 7))
    """
    if isinstance(edge, int) or n <= edge.size:
        return edge
    return Runs.of((*edge.runs, (-(-(n - edge.size) // unit) * unit, 1)))
