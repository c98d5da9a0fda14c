"""Carrying out a read plan: look up shard indexes, then fetch, decode and scatter chunks, here or on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.shards import Shard, decode_index
from gpuzarr.errors import CodecError
from gpuzarr.execute import compiled
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import Value, believed
from gpuzarr.execute.windows import fill_absent, read_windows
from gpuzarr.execute.work import ReadJob, Work, fetch, located
from gpuzarr.memory.host import fill_tiles
from gpuzarr.plan import ReadPlan
from gpuzarr.ranges import WHOLE, ByteRange

__all__ = ["look_up", "read", "shards_of"]

NOWHERE = 2**62
"""Bytes that no object has."""


def read(plan: ReadPlan, chain: Chain, job: ReadJob) -> None:
    """Fill `job.out` as the plan says. Raises CodecError and StoreError with the key and the chunk."""
    while chain.shard is not None:
        parts = shards_of(plan, chain)
        if chain.shard.level.whole:
            for part, bound, shard in parts:
                _read_wrapped(part, bound, shard, job)
            return
        answers = look_up(parts, job)
        plan = ReadPlan.joined([part.resolve(found) for (part, _, _), found in zip(parts, answers, strict=True)])
        chain = chain.shard.inner
    _fill_absent(plan, chain, job)
    if len(plan):
        _read_chunks(plan, chain, job)


Shards = tuple[ReadPlan, Chain, Shard]
"""Rows of shards of one shape, and what they are bound to."""


def shards_of(plan: ReadPlan, chain: Chain) -> list[Shards]:
    """A plan whose rows are shards, in parts of one shape each."""
    found: list[Shards] = []
    for shape, part in plan.by_shape():
        bound = chain.of(shape)
        if bound.shard is not None:  # as it is for all, or for none
            found.append((part if bound is chain else replace(part, levels=bound.levels), bound, bound.shard))
    return found


def look_up(parts: list[Shards], job: ReadJob) -> list[list[NDArray[np.int64] | None]]:
    """The indexes of all shards of each part."""
    answers: list[list[NDArray[np.int64] | None]] = [[None] * len(plan) for plan, _, _ in parts]
    lookups = [plan.lookups for plan, _, _ in parts]

    def one(at: tuple[int, int]) -> None:
        k, row = at
        (plan, _, shard), asked = parts[k], lookups[k]
        if asked is None:
            return
        key, length = plan.keys[int(plan.key[row])], int(plan.length[row])
        limit = NOWHERE if length == WHOLE else length
        try:
            answers[k][row] = job.source.index(key, asked.range(row), lambda data: decode_index(shard, data, limit))
        except CodecError as error:
            raise located(error, key, plan, row) from error.__cause__

    rows = [(k, row) for k, (plan, _, _) in enumerate(parts) for row in range(len(plan))]
    job.pool.run(one, rows, len(rows))
    return answers


def _read_wrapped(plan: ReadPlan, chain: Chain, shard: Shard, job: ReadJob) -> None:
    """Shards that other codecs wrap: each is decoded whole, one a thread, and read as a store of its own."""
    alone = replace(job, pool=Pool(1))

    def one(row: int) -> None:
        key = plan.keys[int(plan.key[row])]
        data = fetch(job.source, key, plan.requests, row, chain.largest)
        index = None
        try:
            if data is not None:
                data = chain.decode(believed(data, chain.largest))
                size = shard.level.index_size
                stored = Value(data).get(key, _index_range(shard, size)) or b""
                index = decode_index(shard, stored, memoryview(data).nbytes)
        except CodecError as error:
            raise located(error, key, plan, row) from error.__cause__
        value = Value(data or b"")
        nothing, length = np.zeros(1, np.int64), np.array([len(value.data)])
        shard_plan = replace(plan.take(np.array([row])), keys=(key,), key=nothing, offset=nothing, length=length)
        read(shard_plan.resolve([index]), shard.inner, replace(alone, source=value))

    job.pool.run(one, range(len(plan)), len(plan))
    _fill_absent(plan, chain, job)


def _index_range(shard: Shard, size: int) -> ByteRange:
    return ByteRange(0, size) if shard.level.at_start else ByteRange(-size)


def _fill_absent(plan: ReadPlan, chain: Chain, job: ReadJob) -> None:
    if job.device is not None:
        outs = [_ordered(job.out, order, plan.batched) for _, order in plan.absent]
        fill_absent(plan, chain.elements, outs, job, job.device)
        return
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
    if job.device is not None:
        read_windows(work, job.device)
        return
    tasks: list[tuple[Callable[[range], None], range]] = []
    for part in work.parts():
        task = compiled.reader(part) if job.native else None
        runs = part.runs(apart=task is not None and compiled.in_files(part))
        tasks += [(task or part.run, rows) for rows in runs]
    job.pool.run(_do, tasks, len(tasks))


def _do(task: tuple[Callable[[range], None], range]) -> None:
    task[0](task[1])
