"""Plans: which bytes of which keys a read or write needs, and where every element goes (pure, in columns).

A plan is a table with one row a chunk. While `lookups` is set some rows are still shards: answer it with the shard
indexes and `resolve` descends one level of nesting. Nothing here knows a store, a codec, a thread or a device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Tiles, join, permute_columns
from gpuzarr.edges import Grid
from gpuzarr.errors import CodecError
from gpuzarr.grid import Cells, ChunkKeys, KeyTable, cells, cut, grid_shape
from gpuzarr.ranges import WHOLE, Requests
from gpuzarr.shard import ABSENT, OUTSIDE, ShardLevel

__all__ = ["ReadPlan", "WritePlan", "first_inner", "plan_read", "plan_write"]

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """n chunks to fetch and decode, and the tiles of each.

    Row i is `length[i]` bytes (`WHOLE`: the whole value) at `offset[i]` of `keys[key[i]]`; `chunk[i]` are its
    coordinates in its level's grid. Its tiles are `tiles[starts[i]:starts[i + 1]]`. `absent` are tiles of inner
    chunks that no shard holds: they get the fill value. `order` is the order of the result's axes as the tiles
    address them; `batched` tells that an axis of stacked selections stands before them. `cells` is there where the
    chunks differ in shape (a rectilinear grid, of which only the outermost level can be).
    """

    keys: Sequence[str]
    key: Column
    offset: Column
    length: Column
    chunk: Column
    tiles: Tiles
    starts: Column
    levels: tuple[ShardLevel, ...]
    order: tuple[int, ...]
    batched: bool
    absent: tuple[tuple[Tiles, tuple[int, ...]], ...] = ()
    cells: Cells | None = None

    def __len__(self) -> int:
        return len(self.key)

    @property
    def requests(self) -> Requests:
        """What to fetch, row by row."""
        return Requests(self.keys, self.key, self.offset, self.length)

    @property
    def lookups(self) -> Requests | None:
        """The shard indexes still to be read, one a row; None when every row is a chunk.

        Where codecs stand after sharding the request is for the whole shard. Raises CodecError for an inner shard
        that has no room for an index.
        """
        if not self.levels:
            return None
        level = self.levels[0]
        if level.whole:
            return self.requests
        size = np.full(len(self), level.index_size, np.int64)
        if len(self) and self.length[0] == WHOLE:  # shards that are values of their own: all are, or none is
            return Requests(self.keys, self.key, self.offset if level.at_start else -size, size)
        short = np.flatnonzero(self.length < level.index_size)
        if len(short):
            raise self._wrong(int(short[0]), "an inner shard is too short for its index")
        if level.at_start:
            return Requests(self.keys, self.key, self.offset, size)
        end = self.offset + self.length
        return Requests(self.keys, self.key, end - level.index_size, size)

    def take(self, rows: NDArray[np.int64]) -> ReadPlan:
        """The plan of some of the rows; what is absent stays with the whole."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        picked = np.repeat(self.starts[:-1][rows] - starts[:-1], counts) + np.arange(starts[-1])
        return replace(
            self,
            key=self.key[rows],
            offset=self.offset[rows],
            length=self.length[rows],
            chunk=self.chunk[rows],
            tiles=self.tiles.take(picked),
            starts=starts,
            absent=(),
            cells=None if self.cells is None else self.cells.take(rows),
        )

    def by_shape(self) -> list[tuple[tuple[int, ...] | None, ReadPlan]]:
        """The plan in parts whose chunks have one shape, and that shape (None: the array has but one)."""
        if self.cells is None or not len(self):
            return [(None, self)]
        groups = self.cells.groups()
        whole = self.take(np.concatenate([rows for _, rows in groups]))
        ends = accumulate(len(rows) for _, rows in groups)
        return [(shape, whole._run(end - len(rows), end)) for (shape, rows), end in zip(groups, ends, strict=True)]

    def _run(self, start: int, stop: int) -> ReadPlan:
        """The plan of a run of rows: as `take`, without a copy."""
        rows, first = slice(start, stop), int(self.starts[start])
        return replace(
            self,
            key=self.key[rows],
            offset=self.offset[rows],
            length=self.length[rows],
            chunk=self.chunk[rows],
            tiles=self.tiles.take(slice(first, int(self.starts[stop]))),
            starts=self.starts[start : stop + 1] - first,
            cells=None if self.cells is None else self.cells.take(rows),
        )

    def resolve(self, indexes: Sequence[Column | None]) -> ReadPlan:
        """Descend one level: every shard becomes the inner chunks that its index (see `shard.entries`) names.

        None stands for a shard that is not stored. Raises CodecError where an index points outside its shard.
        """
        level, extra = self.levels[0], int(self.batched)
        tiles = self.tiles.permuted(level.order) if level.turned else self.tiles
        parent, coords, pieces = cut(tiles, (1,) * extra + level.chunk)
        coords = coords[:, extra:] if extra else coords
        slot = coords @ level.weights if len(level.grid) else np.zeros(len(coords), np.int64)
        if len(self) == len(self.tiles):
            row, starts = parent, np.arange(len(pieces) + 1)
        else:  # several tiles of a shard may share an inner chunk
            row = np.repeat(np.arange(len(self)), np.diff(self.starts))[parent]
            first, starts, pieces = _group(row * level.slots + slot, pieces)
            row, slot, coords = row[first], slot[first], coords[first]
        entry = _entries(indexes, row, slot)
        inner = ReadPlan(
            self.keys,
            self.key[row],
            entry[:, 0] + self.offset[row],
            entry[:, 1],
            first_inner(level, self.chunk, self.cells)[row] + coords,
            pieces,
            starts,
            self.levels[1:],
            tuple(self.order[k] for k in level.order) if level.turned else self.order,
            self.batched,
            self.absent,
        )
        return inner._stored(entry[:, 0])

    def _stored(self, offset: Column) -> ReadPlan:
        """The rows that are stored, in the order of their bytes; the others' tiles become absent ones."""
        lowest = int(offset.min()) if len(offset) else 0
        if lowest == OUTSIDE:
            raise self._wrong(int(np.argmin(offset)), "the shard index places the chunk outside the shard")
        rows = np.arange(len(self)) if lowest >= 0 else np.flatnonzero(offset >= 0)
        absent = self.absent
        if lowest < 0:
            absent = (*absent, (self.take(np.flatnonzero(offset < 0)).tiles, self.order))
        if len(rows) > 1:
            rows = rows[np.lexsort((self.offset[rows], self.key[rows]))]
        elif len(rows) == len(self):
            return self
        return replace(self.take(rows), absent=absent)

    @classmethod
    def joined(cls, plans: Sequence[ReadPlan]) -> ReadPlan:
        """Plans of the inner chunks of shards of several shapes, cut from one plan, as one plan."""
        first = plans[0]
        if len(plans) == 1:
            return first
        tiles = join([plan.tiles for plan in plans])
        ends = np.cumsum([plan.starts[-1] for plan in plans])
        borders = [plan.starts[1:] + end - plan.starts[-1] for plan, end in zip(plans, ends, strict=True)]
        columns = ("key", "offset", "length", "chunk")
        key, offset, length, chunk = (np.concatenate([getattr(p, n) for p in plans]) for n in columns)
        absent = tuple(part for plan in plans for part in plan.absent)
        starts = np.concatenate(([0], *borders))
        return replace(
            first, key=key, offset=offset, length=length, chunk=chunk, tiles=tiles, starts=starts, absent=absent
        )

    def _wrong(self, row: int, reason: str) -> CodecError:
        return CodecError(
            f"{reason}: {int(self.length[row])} bytes",
            codec="sharding_indexed",
            key=self.keys[int(self.key[row])],
            chunk=tuple(self.chunk[row].tolist()),
            direction="decode",
        )


def plan_read(
    tiles: Tiles,
    chunks: Grid,
    keys: ChunkKeys,
    folder: str,
    shape: tuple[int, ...],
    levels: tuple[ShardLevel, ...] = (),
    batched: bool = False,
) -> ReadPlan:
    """The plan that reads `tiles` of an array of `shape` stored in `chunks` under `folder`.

    With `batched`, tiles have an extra leading axis (see `selection.boxes`), and a chunk that several of them
    touch is one row.
    """
    extra = int(batched)
    _, coords, pieces = cut(tiles, (1,) * extra + chunks)
    if batched:
        coords = coords[:, extra:]
        first, starts, pieces = _group(_ravel(coords, grid_shape(shape, chunks)), pieces)
        coords = coords[first]
    else:
        starts = np.arange(len(coords) + 1)
    n = len(coords)
    return ReadPlan(
        KeyTable(folder, keys, coords),
        np.arange(n),
        np.zeros(n, np.int64),
        np.full(n, WHOLE, np.int64),
        coords,
        pieces,
        starts,
        levels,
        _identity(chunks),
        batched,
        cells=cells(coords, chunks),
    )


@dataclass(frozen=True, slots=True)
class WritePlan:
    """n chunks to write, one tile each: element positions in the chunk, and in the values.

    Row i is, or lies in the shard, `keys[key[i]]`; `chunk[i]` are its coordinates in its level's grid. `extent[i]`
    is how much of chunk i lies within the array along each axis; `whole[i]` tells that the tile
    covers all of that, so that nothing of the old chunk is needed. For inner chunks `parent[i]` is the shard's
    row one level up and `slot[i]` the place in it. `cells`: see `ReadPlan`.
    """

    keys: Sequence[str]
    key: Column
    chunk: Column
    extent: Column
    tiles: Tiles
    whole: NDArray[np.bool_]
    parent: Column
    slot: Column
    order: tuple[int, ...]
    cells: Cells | None = None

    def __len__(self) -> int:
        return len(self.chunk)

    def take(self, rows: Column) -> WritePlan:
        return replace(
            self,
            key=self.key[rows],
            chunk=self.chunk[rows],
            extent=self.extent[rows],
            tiles=self.tiles.take(rows),
            whole=self.whole[rows],
            parent=self.parent[rows],
            slot=self.slot[rows],
            cells=None if self.cells is None else self.cells.take(rows),
        )

    def by_shape(self) -> list[tuple[tuple[int, ...] | None, WritePlan]]:
        """As `ReadPlan.by_shape`."""
        if self.cells is None or not len(self):
            return [(None, self)]
        return [(shape, self.take(rows)) for shape, rows in self.cells.groups()]

    def descend(self, level: ShardLevel) -> WritePlan:
        """The inner chunks that the tiles of these shards touch, each with its shard's row and its slot there."""
        tiles = self.tiles.permuted(level.order) if level.turned else self.tiles
        parent, coords, pieces = cut(tiles, level.chunk)
        edge = np.array(level.chunk, np.int64)
        extent = permute_columns(self.extent, level.order)[parent] - coords * edge
        extent = np.clip(extent, 0, edge)
        chunk = first_inner(level, self.chunk, self.cells)[parent] + coords
        order = tuple(self.order[k] for k in level.order)
        whole = _covers(pieces, extent)
        slot = _ravel(coords, level.grid)
        return WritePlan(self.keys, self.key[parent], chunk, extent, pieces, whole, parent, slot, order)


def plan_write(
    tiles: Tiles, chunks: Grid, keys: ChunkKeys, folder: str, shape: tuple[int, ...]
) -> WritePlan:
    """The plan that writes `tiles` of an array of `shape` stored in `chunks` under `folder`."""
    _, coords, pieces = cut(tiles, chunks)
    ragged = cells(coords, chunks)
    edge = np.array(chunks, np.int64) if ragged is None else ragged.edge
    extent = np.minimum(edge, np.array(shape, np.int64) - (coords * edge if ragged is None else ragged.begin))
    rows = np.arange(len(coords))
    table = KeyTable(folder, keys, coords)
    covers = _covers(pieces, extent)
    return WritePlan(table, rows, coords, extent, pieces, covers, rows, rows, _identity(chunks), ragged)


def first_inner(level: ShardLevel, chunk: Column, ragged: Cells | None) -> Column:
    """The coordinates of the first inner chunk of each shard, in stored order of axes."""
    if ragged is None:
        return (permute_columns(chunk, level.order) if level.turned else chunk) * level.grid_column
    return permute_columns(ragged.begin, level.order) // np.array(level.chunk, np.int64)


def _covers(tiles: Tiles, extent: Column) -> NDArray[np.bool_]:
    """Whether each tile is the whole of its chunk's part within the array."""
    if not isinstance(tiles, Boxes):
        return np.zeros(len(tiles), bool)
    covers: NDArray[np.bool_] = ((tiles.source == 0) & (tiles.count == extent)).all(axis=1)
    return covers


def _entries(indexes: Sequence[Column | None], row: Column, slot: Column) -> Column:
    """The index entries of some slots of some rows' shards; rows do not decrease."""
    if len(indexes) == 1 and indexes[0] is not None:
        return indexes[0][slot]
    entry = np.zeros((len(row), 2), np.int64)
    borders = np.searchsorted(row, np.arange(len(indexes) + 1))
    for i, index in enumerate(indexes):
        mine = slice(borders[i], borders[i + 1])
        entry[mine] = (ABSENT, 0) if index is None else index[slot[mine]]
    return entry


def _group(ids: Column, tiles: Tiles) -> tuple[Column, Column, Tiles]:
    """Tiles sorted by id: the first tile of each distinct id, where its tiles start (one more at the end)."""
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1]))) if len(ids) else np.zeros(0, np.int64)
    return order[starts], np.append(starts, len(ids)), tiles.take(order)


def _ravel(coords: Column, grid: tuple[int, ...]) -> Column:
    """Coordinates in a grid as one number, in C order."""
    weight = np.array([math.prod(grid[k + 1 :]) for k in range(len(grid))], np.int64)
    return coords @ weight if len(grid) else np.zeros(len(coords), np.int64)


def _identity(axes: Grid) -> tuple[int, ...]:
    return tuple(range(len(axes)))
