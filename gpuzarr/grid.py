"""Chunk grids and chunk keys: which chunks a set of tiles touches, and under which key each is stored (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import product
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.edges import Edge, Grid, chunks_within, is_regular
from gpuzarr.errors import SelectionError

__all__ = ["Cells", "ChunkKeys", "KeyTable", "cells", "cut", "grid_shape"]

Column = NDArray[np.int64]

ONE = np.zeros(1, np.int64)
"""The tiles that a single piece was cut from."""

MOST = 1 << 27
"""Pieces that tiles are cut into at most."""

SMALL = 16
"""Pieces up to which Python integers are quicker than NumPy columns."""


def grid_shape(shape: tuple[int, ...], chunks: Grid) -> tuple[int, ...]:
    """Chunks along each axis.

    >>> grid_shape((10, 4), (3, 4))
    (4, 1)
    """
    return tuple(chunks_within(n, c) for n, c in zip(shape, chunks, strict=True))


@dataclass(frozen=True, slots=True)
class Cells:
    """Where n chunks of a rectilinear grid lie: the first element of each, and its shape, both int64[n, d]."""

    begin: Column
    edge: Column

    def take(self, rows: Any) -> Cells:
        return Cells(self.begin[rows], self.edge[rows])

    def by_shape(self) -> tuple[list[tuple[int, ...]], Column]:
        """The different shapes, and which of them each chunk has."""
        shapes, kind = np.unique(self.edge, axis=0, return_inverse=True)
        return list(map(tuple, shapes.tolist())), kind.reshape(-1).astype(np.int64)

    def groups(self) -> list[tuple[tuple[int, ...], Column]]:
        """The different shapes, each with the chunks that have it."""
        shapes, kind = self.by_shape()
        order = np.argsort(kind, kind="stable")
        rows = np.split(order, np.searchsorted(kind[order], np.arange(1, len(shapes))))
        return list(zip(shapes, rows, strict=True))


def cells(coords: Column, chunks: Grid) -> Cells | None:
    """Where the chunks at some coordinates (int64[n, d]) lie; None where all have one shape."""
    return None if is_regular(chunks) else Cells(_begins(coords, chunks), _lengths(coords, chunks))


def _chunks(positions: Column, edges: Grid) -> Column:
    """The coordinates of the chunks in which elements (int64[n, d]) lie."""
    if is_regular(edges):
        return positions // np.array(edges, np.int64)
    return np.stack([p // e for p, e in zip(positions.T, edges, strict=True)], 1)


def _begins(coords: Column, edges: Grid) -> Column:
    """The first elements of chunks."""
    if is_regular(edges):
        return coords * np.array(edges, np.int64)
    return np.stack([c * e for c, e in zip(coords.T, edges, strict=True)], 1)


def _lengths(coords: Column, edges: Grid) -> Column:
    """The shapes of chunks: a row for each, or one row for all."""
    if is_regular(edges):
        return np.array(edges, np.int64)
    return _begins(coords + 1, edges) - _begins(coords, edges)


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """A chunk key encoding (Zarr 3.1 core, section "Chunk key encoding"; Zarr 2: `dimension_separator`).

    >>> ChunkKeys("default", "/").key((1, 23)), ChunkKeys("v2", ".").key((1, 23))
    ('c/1/23', '1.23')
    >>> ChunkKeys("default", "/").key(()), ChunkKeys("v2", ".").key(())
    ('c', '0')
    """

    name: str = "default"
    separator: str = "/"

    @property
    def prefix(self) -> str:
        """What stands before the first coordinate."""
        return "c" + self.separator if self.name == "default" else ""

    @property
    def scalar(self) -> str:
        """The key of the one chunk of an array without dimensions."""
        return "c" if self.name == "default" else "0"

    def key(self, coords: Sequence[int]) -> str:
        if not len(coords):
            return self.scalar
        return self.prefix + self.separator.join(map(str, coords))

    def coords(self, key: str, ndim: int) -> tuple[int, ...] | None:
        """The chunk coordinates that `key` names, or None where it is not a chunk key."""
        if ndim == 0:
            return () if key == self.scalar else None
        if not key.startswith(self.prefix):
            return None
        parts = key[len(self.prefix) :].split(self.separator)
        if len(parts) != ndim or not all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts):
            return None
        coords = tuple(map(int, parts))
        return coords if self.key(coords) == key else None


class KeyTable(Sequence[str]):
    """The store keys of n chunks, each made when it is asked for: strings cost more than the rest of a plan."""

    __slots__ = ("coords", "folder", "keys")

    def __init__(self, folder: str, keys: ChunkKeys, coords: Column) -> None:
        self.folder, self.keys, self.coords = folder, keys, coords

    def __len__(self) -> int:
        return len(self.coords)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self.folder + self.keys.key(c) for c in self.coords[row].tolist()]
        return self.folder + self.keys.key(self.coords[row].tolist())


@singledispatch
def cut(tiles: Tiles, edges: Grid) -> tuple[Column, Column, Tiles]:
    """Cut tiles along a grid, regular or not, whose chunks have `edges` elements along each axis.

    Returns, for the m pieces: the tile each was cut from (int64[m], not decreasing), its chunk's coordinates
    (int64[m, d]), and the pieces themselves with positions counted from the chunk's first element. Pieces of
    one tile come in C order of their chunks.
    """
    raise TypeError(type(tiles))


@cut.register
def _(tiles: Boxes, edges: Grid) -> tuple[Column, Column, Tiles]:
    if len(tiles) == 1:
        return _cut_one_box(tiles, edges)
    low = _chunks(tiles.source, edges)
    high = _chunks(tiles.source + tiles.step * (tiles.count - 1), edges)
    parent, index = _product(high - low + 1)
    coords = low[parent] + index
    begin, edge = _begins(coords, edges), _lengths(coords, edges)
    source, step = tiles.source[parent], tiles.step[parent]
    # Of the elements at source + step * i: the first at or after the chunk's begin, and the first past its end.
    first = np.maximum(0, -((source - begin) // step))
    stop = np.minimum(tiles.count[parent], -((source - begin - edge) // step))
    pieces = Boxes(source + step * first - begin, tiles.target[parent] + first, stop - first, step)
    if (step > edge).any():  # a stride longer than a chunk steps over whole chunks
        keep = (pieces.count > 0).all(axis=1)
        return parent[keep], coords[keep], pieces.take(keep)
    return parent, coords, pieces


def _cut_one_box(tiles: Boxes, edges: Grid) -> tuple[Column, Column, Boxes]:
    """The same for a single box: every axis is cut by itself, and the pieces are their outer product."""
    columns = (tiles.source, tiles.count, tiles.step, tiles.target)
    box = list(zip(*(c[0].tolist() for c in columns), edges, strict=True))
    if all(s // e == (s + step * (n - 1)) // e for s, n, step, _, e in box):  # within one chunk: most small reads
        lists = ([s // e for s, _, _, _, e in box], [s % e for s, _, _, _, e in box])
        coords, source = np.array(lists, np.int64).reshape(2, 1, len(edges))
        return ONE, coords, Boxes(source, tiles.target, tiles.count, tiles.step)
    pieces = math.prod(min(n, (s + step * (n - 1)) // e - s // e + 1) for s, n, step, _, e in box)
    _check_count(pieces)
    if pieces > SMALL:
        return _outer([_cut_long_axis(*axis) for axis in box])
    rows = list(product(*(_cut_axis(*axis) for axis in box)))
    table = np.array(rows, np.int64).reshape(len(rows), len(edges), 5)
    coords, source, target, count, step = np.ascontiguousarray(table.transpose(2, 0, 1))
    return np.zeros(len(coords), np.int64), coords, Boxes(source, target, count, step)


def _cut_axis(source: int, count: int, step: int, target: int, edge: Edge) -> list[tuple[int, ...]]:
    """The chunks an axis of a box touches: chunk, first element in it, where that lands, how many, and the step."""
    pieces: list[tuple[int, ...]] = []
    done = 0
    while done < count:
        at = source + step * done
        chunk = at // edge
        stop = min(count, -((source - (chunk + 1) * edge) // step))
        pieces.append((chunk, at - chunk * edge, target + done, stop - done, step))
        done = stop
    return pieces


def _cut_long_axis(source: int, count: int, step: int, target: int, edge: Edge) -> Column:
    """The same as int64[5, n], one column a chunk."""
    low, high = source // edge, (source + step * (count - 1)) // edge
    dense = high - low < count  # else it steps over whole chunks
    chunk = np.arange(low, high + 1) if dense else np.unique((source + step * np.arange(count)) // edge)
    begin, end = chunk * edge, (chunk + 1) * edge
    first = np.maximum(0, -((source - begin) // step))
    stop = np.minimum(count, -((source - end) // step))
    pieces = np.empty((5, len(chunk)), np.int64)
    pieces[0], pieces[1], pieces[2] = chunk, source + step * first - begin, target + first
    pieces[3], pieces[4] = stop - first, step
    return pieces if step == 1 else pieces[:, stop > first]


def _outer(axes: list[Column]) -> tuple[Column, Column, Boxes]:
    """The pieces of a box of whose axes each is cut, in C order."""
    grid = tuple(axis.shape[1] for axis in axes)
    whole = np.empty((5, *grid, len(axes)), np.int64)
    for k, axis in enumerate(axes):
        whole[..., k] = axis.reshape(5, *(n if j == k else 1 for j, n in enumerate(grid)))
    coords, source, target, count, step = whole.reshape(5, -1, len(axes))
    return np.zeros(len(coords), np.int64), coords, Boxes(source, target, count, step)


@cut.register
def _(tiles: Tables, edges: Grid) -> tuple[Column, Column, Tiles]:
    bounds, chunk, low, high = [], [], [], []
    for k, edge in enumerate(edges):
        where = tiles.positions[k] // edge
        borders = np.zeros(len(where) + 1, bool)
        borders[1:-1] = where[1:] != where[:-1]
        borders[tiles.first[:, k]] = True
        borders[tiles.first[:, k] + tiles.count[:, k]] = True
        border = np.flatnonzero(borders)
        bounds.append(border)
        chunk.append(where)
        low.append(np.searchsorted(border, tiles.first[:, k]))
        high.append(np.searchsorted(border, tiles.first[:, k] + tiles.count[:, k]))
    if not edges:
        parent = np.arange(len(tiles))
        return parent, np.zeros((len(tiles), 0), np.int64), tiles
    lows = np.stack(low, 1)
    parent, index = _product(np.stack(high, 1) - lows)
    index += lows[parent]
    first = np.stack([bounds[k][index[:, k]] for k in range(len(edges))], 1)
    stop = np.stack([bounds[k][index[:, k] + 1] for k in range(len(edges))], 1)
    coords = np.stack([chunk[k][first[:, k]] for k in range(len(edges))], 1)
    positions = tuple(p % e for p, e in zip(tiles.positions, edges, strict=True))
    return parent, coords, Tables(first, stop - first, positions, tiles.targets)


@cut.register
def _(tiles: Points, edges: Grid) -> tuple[Column, Column, Tiles]:
    tile = np.repeat(np.arange(len(tiles)), tiles.count)
    mine = np.arange(len(tile)) + np.repeat(tiles.first - (np.cumsum(tiles.count) - tiles.count), tiles.count)
    positions, targets = tiles.positions[mine], tiles.targets[mine]
    where = _chunks(positions, edges)
    inside = positions - _begins(where, edges)
    order = np.lexsort((*where.T[::-1], tile))
    where, tile = where[order], tile[order]
    starts = np.ones(len(where), bool)
    starts[1:] = (where[1:] != where[:-1]).any(axis=1) | (tile[1:] != tile[:-1])
    first = np.flatnonzero(starts)
    count = np.diff(first, append=len(where))
    return tile[first], where[first], Points(first, count, inside[order], targets[order])


def _check_count(pieces: float) -> None:
    """Refuse what would take all the memory there is: a plan has some hundred bytes a chunk."""
    if pieces > MOST:
        raise SelectionError(f"the selection touches {pieces:.3g} chunks, more than one plan takes ({MOST})")


def _product(counts: Column) -> tuple[Column, Column]:
    """All index tuples below each row of `counts` (int64[n, d]), in C order: the row, and the tuple."""
    n, d = counts.shape
    _check_count(counts.prod(axis=1, dtype=float).sum())
    total = counts.prod(axis=1)
    parent = np.repeat(np.arange(n), total)
    within = np.arange(len(parent)) - np.repeat(np.cumsum(total) - total, total)
    index = np.empty((len(parent), d), np.int64)
    for k in range(d - 1, 0, -1):
        within, index[:, k] = np.divmod(within, counts[parent, k])
    if d:
        index[:, 0] = within
    return parent, index
