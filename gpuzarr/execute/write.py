"""Carrying out a write plan on the host: read what is partly covered, gather, encode, assemble shards, put."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Layout
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.shards import Shard, decode_index, encode_index
from gpuzarr.errors import CodecError
from gpuzarr.execute import compiled
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import believed
from gpuzarr.memory.host import gather, is_filled
from gpuzarr.plan import WritePlan
from gpuzarr.ranges import ByteRange
from gpuzarr.shard import OUTSIDE, place
from gpuzarr.store import Buffer, PartsWriter, Store

__all__ = ["WriteJob", "write"]

Parts = list[Buffer]
"""Bytes one after another."""

WINDOW = 64 << 20
"""Decoded bytes of shards that are assembled at a time (one shard at least)."""

RUN = 1 << 20
"""Decoded bytes of a run of rows at least, and of a part of a shard that is written while it is encoded."""

STREAMED = 4 << 20
"""Decoded bytes of a shard that is written so, at least: each has a plan of its own."""

SLAB = 16 << 20
"""Bytes into which a run of chunks is encoded at a time (one chunk at least)."""


@dataclass(frozen=True, slots=True)
class WriteJob:
    """What a write needs besides its plan. `values` are what is assigned, as the tiles address them."""

    pool: Pool
    store: Store
    fill: Any
    values: NDArray[Any]
    skip_fill: bool
    native: bool


def write(plan: WritePlan, chain: Chain, job: WriteJob) -> None:
    """Write `job.values` as the plan says. Raises CodecError and StoreError with the key and the chunk."""
    parts = [(part, chain.of(shape)) for shape, part in plan.by_shape()]
    if chain.shard is None:
        leaves = [Leaf(part, bound, job) for part, bound in parts]
        runs = [(leaf, rows) for leaf in leaves for rows in leaf.runs()]
        job.pool.run(_put_run, runs, len(runs))
        return
    for part, bound in parts:
        _write_whole(part, bound, job)


def _put_run(run: tuple[Leaf, range]) -> None:
    leaf, rows = run
    leaf.put(rows)


def _write_whole(plan: WritePlan, chain: Chain, job: WriteJob) -> None:
    """Write shards of one shape."""
    shard, store = chain.shard, job.store
    if shard is not None and isinstance(store, PartsWriter) and _streams(plan, chain, shard, job.pool.threads):
        shards, new = Shards(plan, shard, job, store), np.flatnonzero(plan.whole)
        job.pool.run(shards.put, new.tolist(), len(new))
        plan = plan.take(np.flatnonzero(~plan.whole))
    for rows in _windows(plan, chain):
        _write_shards(plan.take(rows), chain, job)


def _streams(plan: WritePlan, chain: Chain, shard: Shard, threads: int) -> bool:
    """Whether shards that are covered whole are each written by one thread, while it encodes them.

    They have to be large enough to be worth it, and as many as keep all threads busy.
    """
    if chain.stages or shard.level.at_start or shard.inner.shard is not None or _nbytes(chain) < STREAMED:
        return False
    many = int(np.count_nonzero(plan.whole))
    return many > 0 and (many % threads == 0 or many > 4 * threads)


def _write_shards(plan: WritePlan, chain: Chain, job: WriteJob) -> None:
    """One window: what it holds is let go before the next is begun."""
    new = _encode(plan, chain, _old_values(plan, job, chain.largest), job)

    def put(row: int) -> None:
        _put(job.store, _key(plan, row), new[row])

    job.pool.run(put, range(len(plan)), len(plan))


def _windows(plan: WritePlan, chain: Chain) -> Iterator[NDArray[np.int64]]:
    """Rows of shards, so many at a time that a window of them fits in memory."""
    step = max(1, WINDOW // max(1, _nbytes(chain)))
    for first in range(0, len(plan), step):
        yield np.arange(first, min(first + step, len(plan)))


def _nbytes(chain: Chain) -> int:
    """Decoded bytes of a shard's elements."""
    return chain.elements.wire.itemsize * math.prod(chain.shape)


def _old_values(plan: WritePlan, job: WriteJob, most: int) -> list[Buffer | None]:
    """The stored bytes of the rows that are not covered whole."""
    old: list[Buffer | None] = [None] * len(plan)
    rows = np.flatnonzero(~plan.whole).tolist()

    def fetch(row: int) -> None:
        old[row] = job.store.get(_key(plan, row), ByteRange(0, most + 1))

    job.pool.run(fetch, rows, len(rows))
    return old


def _put(store: Store, key: str, parts: Parts | None) -> None:
    if parts is None:
        store.delete(key)
    elif len(parts) > 1 and isinstance(store, PartsWriter):
        store.put_parts(key, parts)
    else:
        store.put(key, _joined(parts))


def _joined(parts: Parts) -> Buffer:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _encode(plan: WritePlan, chain: Chain, old: list[Buffer | None], job: WriteJob) -> list[Parts | None]:
    """The new stored bytes of every row, in parts (None: nothing to store); `old` are those there now."""
    shard = chain.shard
    if shard is None:
        return Leaf(plan, chain, job, old).encode_all()
    opened = [_open(plan, row, chain, shard, value) for row, value in enumerate(old)]
    inner = plan.descend(shard.level)
    parent, slot = inner.parent.tolist(), inner.slot.tolist()
    need = (~inner.whole).tolist()
    inner_old = [opened[p].get(s) if n else None for p, s, n in zip(parent, slot, need, strict=True)]
    new = _encode(inner, shard.inner, inner_old, job)
    for p, s, parts in zip(parent, slot, new, strict=True):
        if parts is None:
            opened[p].pop(s, None)
        else:
            opened[p][s] = _joined(parts)
    return [_assemble(shard, chain, chunks) for chunks in opened]


def _open(plan: WritePlan, row: int, chain: Chain, shard: Shard, value: Buffer | None) -> dict[int, Buffer]:
    """The encoded inner chunks of a stored shard, by slot."""
    if value is None:
        return {}
    try:
        data = memoryview(chain.decode(believed(value, chain.largest))).cast("B")
        size = shard.level.index_size
        stored = data[:size] if shard.level.at_start else data[max(0, len(data) - size) :]
        index = decode_index(shard, stored, len(data))
        if (index[:, 0] == OUTSIDE).any():
            raise CodecError("the shard index places a chunk outside the shard", codec="sharding_indexed")
        # Chunks may share bytes, which the new shard has once for each: so there is a limit to that.
        total = int(index[index[:, 0] >= 0, 1].sum())
        if total > len(data) + 2 * _nbytes(chain):
            reason = f"the shard index lists chunks of {total} bytes in a shard of {len(data)}"
            raise CodecError(reason, codec="sharding_indexed")
    except CodecError as error:
        raise _located(error, plan, row, "decode") from error.__cause__
    slots = np.flatnonzero(index[:, 0] >= 0)
    start, nbytes = index[slots].T
    return {s: data[a : a + n] for s, a, n in zip(slots.tolist(), start.tolist(), nbytes.tolist(), strict=True)}


def _assemble(shard: Shard, chain: Chain, chunks: dict[int, Buffer]) -> Parts | None:
    """A shard of encoded inner chunks, in the order of their slots, as parts; None where there is none."""
    if not chunks:
        return None
    level = shard.level
    sizes: list[int | None] = [None] * level.slots
    slots = sorted(chunks)
    for slot in slots:
        sizes[slot] = memoryview(chunks[slot]).nbytes
    index = encode_index(shard, place(sizes, level.index_size if level.at_start else 0))
    stored = [chunks[slot] for slot in slots]
    parts = [index, *stored] if level.at_start else [*stored, index]
    return [chain.encode(b"".join(parts))] if chain.stages else parts


class Shards:
    """Shards covered whole, with their index at the end: written while they are encoded."""

    def __init__(self, plan: WritePlan, shard: Shard, job: WriteJob, store: PartsWriter) -> None:
        self.plan, self.shard, self.job, self.store = plan, shard, job, store
        self.error: BaseException | None = None

    def put(self, row: int) -> None:
        """Write one."""
        key, parts = _key(self.plan, row), self.parts(row)
        try:
            first = next(parts, None)
            if first is None:
                self.job.store.delete(key)
            else:
                self.store.put_parts(key, chained((first,), parts))
        except BaseException as error:
            self.error = error
            raise

    def parts(self, row: int) -> Iterator[Buffer]:
        """The stored bytes of one, each part good until the next; none where there is no chunk to store."""
        inner = self.plan.take(np.array([row])).descend(self.shard.level)
        leaf = Leaf(inner, self.shard.inner, self.job)
        step, n = max(1, RUN // max(1, leaf.layout.nbytes)), len(inner)
        found: list[int] = []
        for start in range(0, n, step):
            if self.error is not None:  # nobody waits for this shard any more, and it may be large
                raise self.error
            for part, sizes in leaf.pack(range(start, min(start + step, n))):
                found += sizes
                if max(sizes) > 0:
                    yield part
        if max(found) < 0:
            return
        stored: list[int | None] = [None] * self.shard.level.slots
        for slot, size in zip(inner.slot.tolist(), found, strict=True):
            stored[slot] = size if size >= 0 else None
        yield encode_index(self.shard, place(stored, 0))


class Leaf:
    """Chunks to encode: every row a chunk of elements. `old` are stored bytes of rows not covered whole, if known."""

    def __init__(self, plan: WritePlan, chain: Chain, job: WriteJob, old: list[Buffer | None] | None = None) -> None:
        self.plan, self.chain, self.job, self.old = plan, chain, job, old
        self.values = _ordered(job.values, plan.order)
        self.layout: Layout = chain.elements
        self.encoder = compiled.writer(self) if job.native else None

    def runs(self) -> list[range]:
        """Rows in runs for the threads, each within a slab."""
        n, nbytes = len(self.plan), max(1, self.layout.nbytes)
        most = max(1, SLAB // nbytes)
        per = min(most, max(1, -(-RUN // nbytes), n // (self.job.pool.threads * 8)))
        return [range(a, min(a + per, n)) for a in range(0, n, per)]

    def encode_all(self) -> list[Parts | None]:
        """The stored bytes of every row."""
        new: list[Parts | None] = [None] * len(self.plan)

        def encode(rows: range) -> None:
            for row, value in self.encode(rows, keep=True):
                new[row] = None if value is None else [value]

        runs = self.runs()
        self.job.pool.run(encode, runs, len(runs))
        return new

    def put(self, rows: range) -> None:
        """Encode a run of rows and store each at once."""
        put = None if self.encoder is None else self.encoder.put(rows)
        values = self.encode(rows, keep=False) if put is None else self._rest(*put, keep=False)
        for row, value in values:
            _put(self.job.store, _key(self.plan, row), None if value is None else [value])

    def encode(self, rows: range, keep: bool) -> compiled.Encoded:
        """Each row's stored bytes; unless `keep`, good until the next. Whole rows in the compiled module if it can."""
        done = (iter(()), rows) if self.encoder is None else self.encoder.encode(rows, keep)
        return self._rest(*done, keep=keep)

    def _rest(self, done: compiled.Encoded, rest: Iterable[int], *, keep: bool) -> compiled.Encoded:
        """What is done, and then the rest in Python."""
        yield from done
        scratch = np.empty(self.layout.nbytes, np.uint8)
        for row in rest:
            yield row, self.one(row, scratch)
            scratch = np.empty(self.layout.nbytes, np.uint8) if keep else scratch

    def pack(self, rows: range) -> Iterator[tuple[Buffer, list[int]]]:
        """Rows' stored bytes in their order, some at a time, with the size of each (-1: none); good until the next."""
        packed = None if self.encoder is None else self.encoder.pack(rows)
        if packed is not None:
            yield packed
            return
        scratch = np.empty(self.layout.nbytes, np.uint8)
        for row in rows:
            value = self.one(row, scratch)
            yield value or b"", [-1 if value is None else memoryview(value).nbytes]

    def one(self, row: int, scratch: NDArray[np.uint8]) -> Buffer | None:
        """One row's stored bytes, in Python."""
        objects = self.chain.values is not None
        chunk = np.empty(self.layout.shape, self.layout.dtype) if objects else self.layout.view(scratch)
        try:
            old = None if self.plan.whole[row] else self._old(row)
            if old is None:
                chunk[...] = self.job.fill
            elif objects:
                chunk[...] = self.chain.chunk(self.chain.decode(believed(old, self.chain.largest)))
            else:
                self.chain.decode(believed(old, self.chain.largest), scratch.data)
        except CodecError as error:
            raise _located(error, self.plan, row, "decode") from error.__cause__
        gather(self.values, self.plan.tiles, range(row, row + 1), chunk)
        if self.job.skip_fill and (is_filled(chunk, self.job.fill) if objects else self._all_fill(scratch)):
            return None
        try:
            return self.chain.encode(self.chain.flat(chunk) if objects else scratch.data)
        except CodecError as error:
            raise _located(error, self.plan, row, "encode") from error.__cause__

    def _old(self, row: int) -> Buffer | None:
        if self.old is not None:
            return self.old[row]
        return self.job.store.get(_key(self.plan, row), ByteRange(0, self.chain.largest + 1))

    def _all_fill(self, scratch: NDArray[np.uint8]) -> bool:
        """Whether every element is the fill value, bit for bit."""
        size = self.layout.wire.itemsize
        if not len(scratch) or not size:
            return True
        fill = np.array(self.job.fill, self.layout.dtype).astype(self.layout.wire).tobytes()
        return scratch[:size].tobytes() == fill and np.array_equal(scratch[:-size], scratch[size:])


def _ordered(values: NDArray[Any], order: tuple[int, ...]) -> NDArray[Any]:
    if order == tuple(range(len(order))) or (values.ndim == 1 and len(order) != 1):
        return values
    return values.transpose(order)


def _located(error: CodecError, plan: WritePlan, row: int, direction: str) -> CodecError:
    return CodecError(
        error.reason,
        codec=error.codec,
        key=_key(plan, row),
        chunk=tuple(plan.chunk[row].tolist()),
        direction=error.direction or direction,
    )


def _key(plan: WritePlan, row: int) -> str:
    return plan.keys[int(plan.key[row])]
