"""Decoding stored chunks for the sake of their faults: every one is told, none is raised, and nothing is kept."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.shards import Shard, decode_index
from gpuzarr.errors import CodecError, GpuzarrError, StoreError
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import Source, Value, believed
from gpuzarr.grid import Cells
from gpuzarr.plan import first_inner
from gpuzarr.ranges import WHOLE, ByteRange
from gpuzarr.shard import OUTSIDE
from gpuzarr.store import Buffer, Sized

__all__ = ["Examination", "Rows"]

Column = NDArray[np.int64]
Tell = Callable[[str, GpuzarrError], None]

NOWHERE = 2**62
"""Bytes that no object has."""

SHOWN = 100
"""Gaps and overlaps of a shard that are told one by one."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n chunks or shards: row i is `length[i]` bytes (`WHOLE`: all) at `offset[i]` of `keys[key[i]]`.

    `chunk[i]` are its coordinates in its level's grid, `cells` where chunks of several shapes lie.
    """

    keys: Sequence[str]
    key: Column
    offset: Column
    length: Column
    chunk: Column
    cells: Cells | None = None

    def __len__(self) -> int:
        return len(self.key)

    def at(self, row: int) -> tuple[str, tuple[int, ...]]:
        """The key and the chunk of a row."""
        return self.keys[int(self.key[row])], tuple(self.chunk[row].tolist())

    @classmethod
    def whole(cls, keys: Sequence[str], chunk: Column, cells: Cells | None = None) -> Rows:
        """Chunks, or shards, that are values of their own."""
        n = len(chunk)
        return cls(keys, np.arange(n), np.zeros(n, np.int64), np.full(n, WHOLE, np.int64), chunk, cells)

    def by_shape(self) -> list[tuple[tuple[int, ...] | None, Rows]]:
        """As `ReadPlan.by_shape`."""
        return [(None, self)] if self.cells is None else [(shape, self._take(n)) for shape, n in self.cells.groups()]

    def _take(self, rows: Any) -> Rows:
        cells = None if self.cells is None else self.cells.take(rows)
        return Rows(self.keys, self.key[rows], self.offset[rows], self.length[rows], self.chunk[rows], cells)


@dataclass(frozen=True, slots=True)
class Examination:
    """How chunks are examined: where they come from, on which threads, and who is told.

    `tell` is called from any thread, with the rule that is broken ("chunk", "shard-index", "shard-gap",
    "shard-overlap", "store") and an error that says where and how.
    """

    source: Source | Value
    pool: Pool
    tell: Tell

    def run(self, rows: Rows, chain: Chain) -> int:
        """Decode all chunks in some rows; how many chunks there were."""
        return sum(self._run(part, chain.of(shape)) for shape, part in rows.by_shape())

    def _run(self, rows: Rows, chain: Chain) -> int:
        """The same for rows of one shape."""
        while chain.shard is not None:
            if chain.shard.level.whole:
                return self._wrapped(rows, chain, chain.shard)
            rows = self._descend(rows, chain.shard)
            chain = chain.shard.inner
        self._each(rows, lambda row: self._decode(rows, row, chain))
        return len(rows)

    def _each(self, rows: Rows, task: Callable[[int], None]) -> None:
        self.pool.run(lambda row: self._guarded(rows, row, lambda: task(row)), range(len(rows)), len(rows))

    def _guarded(self, rows: Rows, row: int, task: Callable[[], None]) -> None:
        key, chunk = rows.at(row)
        try:
            task()
        except CodecError as error:
            found = CodecError(error.reason, codec=error.codec, key=key, chunk=error.chunk or chunk, direction="decode")
            self.tell("chunk", found)
        except StoreError as error:
            self.tell("store", StoreError(error.reason, key=key))
        except MemoryError:
            self.tell("chunk", CodecError("there is not enough memory for it", key=key, chunk=chunk))
        except GpuzarrError as error:
            self.tell("unsupported", CodecError(error.reason, key=key, chunk=chunk))

    def _fetch(self, rows: Rows, row: int, most: int) -> Buffer:
        key, length = rows.keys[int(rows.key[row])], int(rows.length[row])
        wanted = ByteRange(int(rows.offset[row]), length if 0 <= length <= most else most + 1)
        data = self.source.get(key, wanted)
        if data is None:
            raise StoreError("the value is not there any more", key=key)
        if length not in (WHOLE, memoryview(data).nbytes):
            raise CodecError(f"{memoryview(data).nbytes} bytes are stored of {length}", direction="decode")
        return believed(data, most)

    def _decode(self, rows: Rows, row: int, chain: Chain) -> None:
        data = self._fetch(rows, row, chain.largest)
        decoded = chain.decode(data)
        if chain.values is not None:
            chain.chunk(decoded)
        rest = _trailing(chain, data)
        if rest:
            key, chunk = rows.at(row)
            self.tell("trailing-bytes", CodecError(f"{rest} bytes after the chunk's end", key=key, chunk=chunk))

    # -- shards ------------------------------------------------------------------------------------------------

    def _wrapped(self, rows: Rows, chain: Chain, shard: Shard) -> int:
        """Shards that other codecs wrap: each is decoded whole, and examined as a store of its own."""
        counts = np.zeros(len(rows), np.int64)

        def one(row: int) -> None:
            value = Value(chain.decode(self._fetch(rows, row, chain.largest)))
            inner = replace(self, source=value, pool=Pool(1))
            nothing, length = np.zeros(1, np.int64), np.array([len(value.data)])
            mine = rows._take([row])
            alone = replace(mine, keys=(rows.keys[int(rows.key[row])],), key=nothing, offset=nothing, length=length)
            counts[row] = inner.run(inner._descend(alone, shard), shard.inner)

        self._each(rows, one)
        return int(counts.sum())

    def _descend(self, rows: Rows, shard: Shard) -> Rows:
        """The chunks in some shards, by their indexes; what is wrong with an index is told."""
        parts: list[Rows | None] = [None] * len(rows)

        def one(row: int) -> None:
            try:
                parts[row] = self._indexed(rows, row, shard)
            except CodecError as error:
                key, chunk = rows.at(row)
                found = CodecError(f"the index: {error.reason}", codec=error.codec, key=key, chunk=chunk)
                self.tell("shard-index", found)

        self._each(rows, one)
        nothing = np.zeros(0, np.int64)
        none = Rows(rows.keys, nothing, nothing, nothing, np.zeros((0, len(shard.level.grid)), np.int64))
        found = [none, *(part for part in parts if part is not None)]
        key, offset, length, chunk = zip(*((p.key, p.offset, p.length, p.chunk) for p in found), strict=True)
        joined = np.concatenate
        return Rows(rows.keys, joined(key), joined(offset), joined(length), joined(chunk))

    def _indexed(self, rows: Rows, row: int, shard: Shard) -> Rows:
        """The chunks of one shard."""
        level, key = shard.level, rows.keys[int(rows.key[row])]
        start, length = int(rows.offset[row]), int(rows.length[row])
        size = self._size(key) if length == WHOLE else length
        if size is not None and size < level.index_size:
            raise CodecError(f"the shard is too short for it: {size} bytes", codec="sharding_indexed")
        first = start if level.at_start else -level.index_size if size is None else start + size - level.index_size
        data = self.source.get(key, ByteRange(first, level.index_size))
        if data is None:
            raise StoreError("the value is not there any more", key=key)
        index = decode_index(shard, data, NOWHERE if size is None else size)
        mine = rows._take([row])
        parent = first_inner(level, mine.chunk, mine.cells)[0]
        outside, stored = np.flatnonzero(index[:, 0] == OUTSIDE), np.flatnonzero(index[:, 0] >= 0)
        for coords in _coords(outside, level.grid):
            reason = "the index places the chunk outside the shard"
            chunk = tuple((parent + coords).tolist())
            self.tell("shard-index", CodecError(reason, codec="sharding_indexed", key=key, chunk=chunk))
        if size is not None:
            own = (0 if level.at_start else size - level.index_size, level.index_size)
            for rule, reason in _room(index[stored], own, size):
                self.tell(rule, CodecError(reason, key=key, chunk=rows.at(row)[1]))
        same = np.full(len(stored), rows.key[row])
        return Rows(rows.keys, same, index[stored, 0] + start, index[stored, 1], parent + _coords(stored, level.grid))

    def _size(self, key: str) -> int | None:
        """Bytes of a value, where its store tells."""
        if isinstance(self.source, Value):
            return len(self.source.data)
        store: object = self.source.store
        return store.size(key) if isinstance(store, Sized) else None


def _room(index: Column, own: tuple[int, int], size: int) -> Iterator[tuple[str, str]]:
    """Bytes of a shard that no chunk has, and that several have; `own` are the first byte and the size of its index."""
    parts = np.concatenate((index, np.array([own], np.int64)))
    parts = parts[np.lexsort((parts[:, 1], parts[:, 0]))]
    end = np.maximum.accumulate(parts.sum(axis=1))
    begin = np.append(parts[:, 0], size)
    before = np.concatenate(([0], end))
    for k in np.flatnonzero(begin != before)[:SHOWN].tolist():
        first, room = int(before[k]), int(begin[k] - before[k])
        if room > 0:
            yield "shard-gap", f"{room} bytes at {first} belong to no chunk"
        else:
            yield "shard-overlap", f"{-room} bytes at {int(begin[k])} belong to several chunks, or to the index too"


def _coords(slots: Column, grid: tuple[int, ...]) -> Column:
    """The coordinates of some chunks of a shard: int64[n, d]."""
    return np.stack(np.unravel_index(slots, grid), 1) if grid else np.zeros((len(slots), 0), np.int64)


def _trailing(chain: Chain, data: Buffer) -> int:
    """Bytes after the end of a chunk that decoders leave alone."""
    view, last = memoryview(data).cast("B"), chain.stages[-1].name if chain.stages else ""
    if last == "blosc":
        return len(view) - int.from_bytes(view[12:16], "little")
    if last in ("gzip", "zlib"):
        stream = zlib.decompressobj(31 if last == "gzip" else 15)
        stream.decompress(view)
        return 0 if last == "gzip" and stream.unused_data.strip(b"\0") else len(stream.unused_data)
    return 0
