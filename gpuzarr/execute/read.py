"""Carrying out a read plan on the host: look up, fetch, decode, scatter, in threads given runs of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain, Shard, decode_index
from gpuzarr.errors import CodecError
from gpuzarr.execute import compiled
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import Source, Value, believed
from gpuzarr.memory.host import fill_tiles, scatter
from gpuzarr.plan import ReadPlan
from gpuzarr.ranges import WHOLE, ByteRange, Requests
from gpuzarr.store import Buffer

__all__ = ["ReadJob", "read"]

NOWHERE = 2**62
"""Bytes that no object has."""

GAP = 4 << 10
"""Unwanted bytes that cost less to read than a second request does. The compiled module has the same number."""

EXTENT = 256 << 10
"""Joined requests stay within this many bytes: more would leave the cache before it is decoded. There too."""

RUN = 200_000
"""Nanoseconds of work in a run of rows at least: less does not pay for waking a thread."""

COST = {"blosc": 0.5, "crc32c": 0.1, "gzip": 2.0, "lz4": 0.3, "zlib": 2.0, "zstd": 1.5}
"""Nanoseconds that decoding takes a byte, by codec, on the machine of benchmarks/README.md; others take longer."""

COPY, OTHER = 0.2, 5.0
"""Nanoseconds a byte for fetching and scattering, and for a codec that only Python has."""

LONGEST = 4 << 20
"""Decoded bytes of a run at most (one chunk at least): all it fetches may be held, and Ctrl-C waits for it."""


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a read needs besides its plan. `out` is the result as the tiles address it."""

    pool: Pool
    source: Source | Value
    fill: Any
    out: NDArray[Any]
    native: bool


def read(plan: ReadPlan, chain: Chain, job: ReadJob) -> None:
    """Fill `job.out` as the plan says. Raises CodecError and StoreError with the key and the chunk."""
    while chain.shard is not None:
        if chain.shard.level.whole:
            _read_wrapped(plan, chain, chain.shard, job)
            return
        plan = plan.resolve(_indexes(plan, chain.shard, job))
        chain = chain.shard.inner
    _fill_absent(plan, job)
    if len(plan):
        _read_chunks(plan, chain, job)


def _indexes(plan: ReadPlan, shard: Shard, job: ReadJob) -> list[NDArray[np.int64] | None]:
    """The indexes of all shards of a plan."""
    answers: list[NDArray[np.int64] | None] = [None] * len(plan)
    lookups = plan.lookups

    def look_up(row: int) -> None:
        if lookups is None:
            return
        key, length = plan.keys[int(plan.key[row])], int(plan.length[row])
        limit = NOWHERE if length == WHOLE else length
        try:
            answers[row] = job.source.index(key, lookups.range(row), lambda data: decode_index(shard, data, limit))
        except CodecError as error:
            raise _located(error, key, plan, row) from error.__cause__

    job.pool.run(look_up, range(len(plan)), len(plan))
    return answers


def _read_wrapped(plan: ReadPlan, chain: Chain, shard: Shard, job: ReadJob) -> None:
    """Shards that other codecs wrap: each is decoded whole, one a thread, and read as a store of its own."""
    alone = replace(job, pool=Pool(1))

    def one(row: int) -> None:
        key = plan.keys[int(plan.key[row])]
        data = _fetch(job.source, key, plan.requests, row, chain.largest)
        index = None
        try:
            if data is not None:
                data = chain.decode(believed(data, chain.largest))
                size = shard.level.index_size
                stored = Value(data).get(key, _index_range(shard, size)) or b""
                index = decode_index(shard, stored, memoryview(data).nbytes)
        except CodecError as error:
            raise _located(error, key, plan, row) from error.__cause__
        value = Value(data or b"")
        nothing, length = np.zeros(1, np.int64), np.array([len(value.data)])
        shard_plan = replace(plan.take(np.array([row])), keys=(key,), key=nothing, offset=nothing, length=length)
        read(shard_plan.resolve([index]), shard.inner, replace(alone, source=value))

    job.pool.run(one, range(len(plan)), len(plan))
    _fill_absent(plan, job)


def _index_range(shard: Shard, size: int) -> ByteRange:
    return ByteRange(0, size) if shard.level.at_start else ByteRange(-size)


def _fill_absent(plan: ReadPlan, job: ReadJob) -> None:
    for tiles, order in plan.absent:
        fill_tiles(_ordered(job.out, order, plan.batched), tiles, range(len(tiles)), job.fill)


def _ordered(out: NDArray[Any], order: tuple[int, ...], batched: bool) -> NDArray[Any]:
    """The result with its axes in the order tiles address them."""
    if order == tuple(range(len(order))):
        return out
    if out.ndim == 1 and len(order) != 1:  # points land in a flat result, whatever the order of axes
        return out
    return out.transpose((0, *(k + 1 for k in order)) if batched else order)


def _read_chunks(plan: ReadPlan, chain: Chain, job: ReadJob) -> None:
    """Fetch, decode and scatter: in the compiled host module where it can, else here; failures are redone here."""
    work = Work(plan, chain, _ordered(job.out, plan.order, plan.batched), job)
    task = compiled.reader(work) if job.native else None
    runs = work.runs()
    job.pool.run(task or work.run, runs, len(runs))


class Work:
    """Rows of chunks to read into `out`.

    Neighbours in a value are fetched by one request: row i lies at byte `at[i]` of extent `which[i]`. Both are only
    made when they are asked for: the compiled module joins the rows of a file by itself, and by the same rule.
    """

    def __init__(self, plan: ReadPlan, chain: Chain, out: NDArray[Any], job: ReadJob) -> None:
        self.plan, self.chain, self.out, self.job = plan, chain, out, job

    @cached_property
    def _joined(self) -> tuple[Requests, NDArray[np.int64], NDArray[np.int64]]:
        return self.plan.requests.coalesced(GAP, EXTENT)

    @property
    def extents(self) -> Requests:
        """The joined requests."""
        return self._joined[0]

    @property
    def which(self) -> NDArray[np.int64]:
        return self._joined[1]

    @property
    def at(self) -> NDArray[np.int64]:
        return self._joined[2]

    def runs(self) -> list[range]:
        """Rows in runs for the threads; rows of one request stay together."""
        n, threads = len(self.plan), self.job.pool.threads
        nbytes = max(1, self.chain.elements.nbytes)
        each = nbytes * (COPY + sum(COST.get(stage.name, OTHER) for stage in self.chain.stages))
        alone = threads < 2 or n * each < 2 * RUN
        per = n if alone else max(1, math.ceil(RUN / each), n // (threads * 8))
        per = min(per, max(1, LONGEST // nbytes))
        if per >= n:
            return [range(n)]
        border = np.append(np.searchsorted(self.which, self.which[::per]), n)
        border = border[np.concatenate(([True], np.diff(border) > 0))].tolist()
        return [range(a, b) for a, b in pairwise(border)]

    def run(self, rows: range) -> None:
        """A run of rows, in Python: one extent after another."""
        extent, value = -1, None
        for row in rows:
            if self.which[row] != extent:
                extent = int(self.which[row])
                value = self.fetch(extent)
            self.one(row, value, int(self.at[row]))

    def fetch(self, extent: int) -> Buffer | None:
        """The bytes of one joined request."""
        extents, most = self.extents, self.chain.largest
        return _fetch(self.job.source, extents.keys[int(extents.key[extent])], extents, extent, most)

    def one(self, row: int, value: Buffer | None, start: int) -> None:
        """Decode one chunk out of a value's bytes (None: absent) from `start`, and scatter its tiles."""
        plan = self.plan
        tiles = range(int(plan.starts[row]), int(plan.starts[row + 1]))
        if value is None:
            fill_tiles(self.out, plan.tiles, tiles, self.job.fill)
            return
        length = int(plan.length[row])
        data = memoryview(value).cast("B")
        data = data[start:] if length == WHOLE else data[start : start + length]
        try:
            if length not in (WHOLE, len(data)):
                raise CodecError(f"{len(data)} bytes are stored of {length}", direction="decode")
            decoded = self.chain.decode(believed(data, self.chain.largest))
        except CodecError as error:
            raise _located(error, plan.keys[int(plan.key[row])], plan, row) from error.__cause__
        chunk = self.chain.elements.view(decoded)
        scatter(chunk[None] if plan.batched else chunk, plan.tiles, tiles, self.out)

    def again(self, row: int) -> None:
        """One row by itself, in Python: for the precise error, or for what the compiled module declined."""
        key = self.plan.keys[int(self.plan.key[row])]
        self.one(row, _fetch(self.job.source, key, self.plan.requests, row, self.chain.largest), 0)


def _fetch(source: Source | Value, key: str, requests: Requests, row: int, most: int) -> Buffer | None:
    """The bytes of a request, or as many as show that they are too many: a value may be, or unpack to, anything."""
    length = int(requests.length[row])
    return source.get(key, ByteRange(int(requests.offset[row]), length if 0 <= length <= most else most + 1))


def _located(error: CodecError, key: str, plan: ReadPlan, row: int) -> CodecError:
    """The error with the key and chunk it happened at."""
    chunk = error.chunk or tuple(plan.chunk[row].tolist())
    return CodecError(
        error.reason, codec=error.codec, key=error.key or key, chunk=chunk, direction=error.direction or "decode"
    )
