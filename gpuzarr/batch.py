"""Many chunks at once, in columns: where their wanted elements lie, and where those land.

A tile is the part of one chunk that a selection wants. Tiles come in three kinds, all struct-of-arrays, one row a
tile, so that a plan is a handful of NumPy arrays and a kernel's arguments are its columns:

* `Boxes`: a strided box (integers, slices, blocks, crops);
* `Tables`: on every axis a run of a table of positions (orthogonal indexing);
* `Points`: single elements (coordinates, masks).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "ChunkSpec", "Layout", "Points", "Tables", "Tiles", "join", "permute_columns"]

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Boxes:
    """n strided boxes of d axes; each column is int64[n, d], in elements.

    Element i of an axis (i < `count`) lies at `source + step * i` in the chunk and lands at `target + i`.
    Steps are positive: a selection with a negative step lands in a flipped view of the result.
    """

    source: Column
    target: Column
    count: Column
    step: Column

    def __len__(self) -> int:
        return len(self.source)

    @property
    def ndim(self) -> int:
        return int(self.source.shape[1])

    def take(self, rows: Any) -> Boxes:
        return Boxes(self.source[rows], self.target[rows], self.count[rows], self.step[rows])

    def sizes(self) -> Column:
        """Elements of each tile."""
        return np.asarray(self.count.prod(axis=1), np.int64)

    def permuted(self, order: tuple[int, ...]) -> Boxes:
        return Boxes(*(permute_columns(c, order) for c in (self.source, self.target, self.count, self.step)))


@dataclass(frozen=True, slots=True)
class Tables:
    """n tiles that are outer products of runs of tables.

    On axis k a tile takes the entries `first[:, k]` to `first[:, k] + count[:, k]` of the table: the element at
    `positions[k][j]` in the chunk lands at `targets[k][j]`.
    """

    first: Column
    count: Column
    positions: tuple[Column, ...]
    targets: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def ndim(self) -> int:
        return int(self.first.shape[1])

    def take(self, rows: Any) -> Tables:
        return replace(self, first=self.first[rows], count=self.count[rows])

    def sizes(self) -> Column:
        """Elements of each tile."""
        return np.asarray(self.count.prod(axis=1), np.int64)

    def permuted(self, order: tuple[int, ...]) -> Tables:
        return Tables(
            permute_columns(self.first, order),
            permute_columns(self.count, order),
            tuple(self.positions[k] for k in order),
            tuple(self.targets[k] for k in order),
        )


@dataclass(frozen=True, slots=True)
class Points:
    """n tiles of single elements: tile i takes the points `first[i]` to `first[i] + count[i]`.

    Point j lies at `positions[j, :]` in its chunk and lands at the flat element `targets[j]` of the result.
    """

    first: Column
    count: Column
    positions: Column
    targets: Column

    def __len__(self) -> int:
        return len(self.first)

    @property
    def ndim(self) -> int:
        return int(self.positions.shape[1])

    def take(self, rows: Any) -> Points:
        return replace(self, first=self.first[rows], count=self.count[rows])

    def sizes(self) -> Column:
        """Elements of each tile."""
        return self.count

    def permuted(self, order: tuple[int, ...]) -> Points:
        return replace(self, positions=permute_columns(self.positions, order))


Tiles = Boxes | Tables | Points


def join(parts: list[Tiles]) -> Tiles:
    """Tiles of one kind, one part after another; tables are those of all of them."""
    first = parts[0]
    if isinstance(first, Tables):
        runs = {n: np.concatenate([getattr(p, n) for p in parts]) for n in ("first", "count")}
        return replace(first, first=runs["first"], count=runs["count"])
    if isinstance(first, Boxes):
        return Boxes(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("source", "target", "count", "step")))
    table = {n: np.concatenate([getattr(p, n) for p in parts]) for n in ("count", "positions", "targets")}
    before = np.cumsum([0, *(len(p.targets) for p in parts if isinstance(p, Points))])
    starts = [p.first + n for p, n in zip(parts, before, strict=False) if isinstance(p, Points)]
    return Points(np.concatenate(starts), **table)


def permute_columns(column: Column, order: tuple[int, ...]) -> Column:
    """The columns of an int64[n, d] table in another order; leading columns that `order` does not name stay."""
    extra = column.shape[1] - len(order)
    return column[:, [*range(extra), *(extra + k for k in order)]]


@dataclass(frozen=True, slots=True)
class ChunkSpec:
    """What every chunk of an array decodes to: its shape, its data type in memory, and the fill value."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any


@dataclass(frozen=True, slots=True)
class Layout:
    """How a decoded chunk's bytes are its elements: transposes and byte order are folded in here, never a pass.

    `shape` and `strides` (bytes) are in the array's own order of axes; `wire` is the data type as stored.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    wire: np.dtype[Any]
    dtype: np.dtype[Any]

    @classmethod
    def of(
        cls, shape: tuple[int, ...], order: tuple[int, ...], wire: np.dtype[Any], dtype: np.dtype[Any]
    ) -> Layout:
        """The layout of a chunk stored in C order of `shape[order]`."""
        strides = [0] * len(shape)
        step = wire.itemsize
        for axis in reversed(order):
            strides[axis] = step
            step *= shape[axis]
        return cls(shape, tuple(strides), wire, dtype)

    @property
    def nbytes(self) -> int:
        size = self.wire.itemsize
        for n in self.shape:
            size *= n
        return size

    @property
    def swap(self) -> int:
        """Bytes of the unit to reverse between wire and memory: 0 for none, -1 where one unit does not do."""
        if self.wire == self.dtype:
            return 0
        if self.wire.names is not None or self.wire.subdtype is not None:
            return -1
        if self.wire.kind == "c":
            return self.wire.itemsize // 2
        return 4 if self.wire.kind == "U" else self.wire.itemsize

    def view(self, data: Any) -> NDArray[Any]:
        """The chunk as an array over its decoded bytes, without a copy."""
        return np.ndarray(self.shape, self.wire, buffer=data, strides=self.strides)
