"""What reading a selection takes: the plan is made and resolved as the read itself would, then counted.

Shard indexes are read from the store for it, chunks are not; so for arrays without shards it is not known
which chunks are stored, nor how large they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.batch import Boxes, Tiles
from gpuzarr.codecs.chain import Chain
from gpuzarr.execute import read as reading
from gpuzarr.execute.compiled import in_files
from gpuzarr.execute.work import ReadJob, Work
from gpuzarr.grid import cut
from gpuzarr.memory.host import NumpyMemory
from gpuzarr.plan import ReadPlan, plan_read
from gpuzarr.ranges import WHOLE, Requests
from gpuzarr.report.device import DeviceWork, device_work
from gpuzarr.report.stages import Stage, not_compiled, stages
from gpuzarr.report.words import aligned, count, size
from gpuzarr.shard import ShardLevel

if TYPE_CHECKING:
    from gpuzarr.array import Array
    from gpuzarr.selection import Selection

__all__ = ["Explanation", "explain"]

ON_DEVICE = "it is for results in host memory"


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What reading a selection takes; it prints as text.

    shape, dtype, result_bytes, memory
        The result, and the memory it is made in.
    chunks, chunks_absent, chunk_bytes
        Chunks that the selection touches; those known not to be stored, which are filled (None: not known
        before they are fetched); the decoded size of one, of the largest where they differ.
    keys, shards
        Values in the store that hold them; how many of these are shards.
    indexes, index_bytes, indexes_kept
        Shard indexes that were looked up; the bytes of those that exist; how many the array has kept, so that
        the next read need not fetch them.
    requests, fetched_bytes
        Requests for chunks once neighbours are joined, and their bytes (None: not known before they are
        fetched). Of large chunks stored plain in files fewer may be read: those the selection needs.
    decoded_bytes, amplification
        Decoded bytes of all chunks but the absent ones, and how many times the result that is.
    straight, scattered
        Of the same chunks, those decoded in the result's own memory, and those copied there afterwards.
    runs, threads
        Runs of chunks that are worked on side by side, and the threads that do it.
    compiled, why_not_compiled
        Whether the compiled host module fetches, decodes and copies.
    stages
        Where each codec runs.
    strict
        Whether codecs are refused that do not run where the memory is.
    device
        What is done there, for a result on a device; None on the host. To know it, chunks are fetched and their
        headers read; nothing is uploaded.
    """

    shape: tuple[int, ...]
    dtype: str
    result_bytes: int
    memory: str
    chunks: int
    chunks_absent: int | None
    chunk_bytes: int
    keys: int
    shards: int
    indexes: int
    index_bytes: int
    indexes_kept: int
    requests: int
    fetched_bytes: int | None
    decoded_bytes: int
    amplification: float | None
    straight: int
    scattered: int
    runs: int
    threads: int
    compiled: bool
    why_not_compiled: str | None
    stages: tuple[Stage, ...]
    strict: bool
    device: DeviceWork | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        found = asdict(self)
        return {**found, "shape": list(self.shape), "stages": list(found["stages"])}

    def __str__(self) -> str:
        head = f"read of {self.shape} {self.dtype}: {size(self.result_bytes)} of {self.memory} memory"
        return f"{head}\n{aligned(list(self._lines()))}"

    __repr__ = __str__

    def _lines(self) -> Iterator[tuple[str, str]]:
        differ = self.decoded_bytes != (self.chunks - (self.chunks_absent or 0)) * self.chunk_bytes
        chunks = f"{self.chunks:,} of {'at most ' if differ else ''}{size(self.chunk_bytes)}"
        held = count(self.shards, "shard") if self.shards else count(self.keys, "key")
        absent = "; which are stored is unknown until fetched"
        if self.chunks_absent is not None:
            absent = f"; {self.chunks_absent:,} not stored, filled" if self.chunks_absent else ""
        yield "chunks", f"{chunks} in {held}{absent}"
        if self.indexes:
            kept = f"; {self.indexes_kept:,} kept for the next read"
            yield "look up", f"{count(self.indexes, 'shard index')}, {size(self.index_bytes)}{kept}"
        fetched = "bytes unknown until fetched" if self.fetched_bytes is None else size(self.fetched_bytes)
        yield "fetch", f"{count(self.requests, 'request')}, {fetched}"
        times = "" if self.amplification is None else f", {self.amplification:.3g} times the result"
        yield "decode", f"{size(self.decoded_bytes)}{times}"
        places = f"{count(self.straight, 'chunk')} decoded in the result"
        yield "place", f"{places}, {self.scattered:,} copied there"
        if self.device is not None:
            yield from self.device.lines()
        else:
            yield "run", f"{count(self.runs, 'run')} on {count(self.threads, 'thread')}"
            yield "compiled", "yes" if self.compiled else f"no: {self.why_not_compiled}"
        yield "strict", "yes" if self.strict else "no"
        yield "codecs", "\n".join(map(str, self.stages))


def explain(array: Array, chosen: Selection) -> Explanation:
    """What reading `chosen` of an array takes. Raises what looking up its shard indexes raises."""
    metadata, options, chain = array.metadata, array._options, array._binding.chain
    keys, folder = metadata.keys, array._folder
    plan = plan_read(chosen.tiles, metadata.chunks, keys, folder, metadata.shape, chain.levels)
    runner, nothing = options.runner, np.empty(0, array._binding.raw)
    job = ReadJob(runner.pool, array._source, array._binding.fill, nothing, runner.native)
    found = _look_up(plan, chain, job)
    leaf = chain.leaf
    rehearsed = array._reader.rehearse(plan, chosen)
    work = device_work(array, rehearsed, len(found.plan) if found.chain.shard is None else 1)
    reason = not_compiled(leaf, job.native) if work is None else ON_DEVICE
    requests, runs = _fetches(found, job, reason is None)
    parts, order = _by_chain(found)
    decoded, wanted = sum(len(t) * c.elements.nbytes for t, c in parts), chosen.size * array.dtype.itemsize
    many, largest = sum(len(t) for t, _ in parts), max(c.elements.nbytes for _, c in parts)
    there = array._reader.device if work is not None and work.decoded == "device" else None
    moves = there is not None and any(step.moves for step in there.steps)
    places = moves or (reason is None and _places(found.chain, array))
    strides = _strides(array, chosen)
    straight = sum(_straight(t, c, order, strides) for t, c in parts) if places else 0
    known = not len(found.plan) or (found.chain.shard is None and bool(chain.levels))
    return Explanation(
        shape=chosen.shape,
        dtype=str(array.dtype),
        result_bytes=wanted,
        memory=options.memory.name,
        chunks=many + found.absent,
        chunks_absent=found.absent if known else None,
        chunk_bytes=largest,
        keys=len(plan),
        shards=len(plan) if chain.levels else 0,
        indexes=found.indexes,
        index_bytes=found.index_bytes,
        indexes_kept=found.kept,
        requests=len(requests),
        fetched_bytes=None if (requests.length == WHOLE).any() else int(requests.length.sum()),
        decoded_bytes=decoded,
        amplification=decoded / wanted if wanted else None,
        straight=straight,
        scattered=many - straight,
        runs=runs,
        threads=min(runs, runner.threads),
        compiled=reason is None,
        why_not_compiled=reason,
        stages=tuple(stages(metadata.codecs, chain, reason, there)),
        strict=options.strict,
        device=work,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """A plan whose rows are chunks, or shards that can only be read whole; and what it took to get there."""

    plan: ReadPlan
    chain: Chain
    absent: int = 0
    indexes: int = 0
    index_bytes: int = 0
    kept: int = 0


def _look_up(plan: ReadPlan, chain: Chain, job: ReadJob) -> _Found:
    """The loop of `execute.read.read`, counting."""
    found = _Found(plan, chain)
    while chain.shard is not None and not chain.shard.level.whole:
        parts = reading.shards_of(plan, chain)
        answers, before, indexes = reading.look_up(parts, job), len(plan.absent), len(plan)
        stored = [sum(a is not None for a in found) for found in answers]
        index_bytes = sum(n * shard.level.index_size for n, (_, _, shard) in zip(stored, parts, strict=True))
        kept = sum(_kept(part, job) for part, _, _ in parts)
        plan = ReadPlan.joined([part.resolve(a) for (part, _, _), a in zip(parts, answers, strict=True)])
        chain = chain.shard.inner
        absent = sum(len(_innermost(t, order, chain.levels)[0]) for t, order in plan.absent[before:])
        found = _Found(
            plan,
            chain,
            found.absent + absent,
            found.indexes + indexes,
            found.index_bytes + index_bytes,
            found.kept + kept,
        )
    return found


def _by_chain(found: _Found) -> tuple[list[tuple[Tiles, Chain]], tuple[int, ...]]:
    """The tiles of the innermost chunks with the chains of these, one for each shape, and their order of axes."""
    plan, chain = found.plan, found.chain
    if chain.shard is None and plan.cells is not None:
        return [(part.tiles, chain.of(shape)) for shape, part in plan.by_shape()], plan.order
    tiles, order = _innermost(plan.tiles, plan.order, chain.levels)
    return [(tiles, chain.leaf)], order


def _kept(plan: ReadPlan, job: ReadJob) -> int:
    """How many of the indexes just looked up the source has kept."""
    kept, lookups = getattr(job.source, "_indexes", {}), plan.lookups
    if not kept or lookups is None:
        return 0
    rows = zip(plan.key.tolist(), lookups.offset.tolist(), strict=True)
    return sum((plan.keys[key], offset) in kept for key, offset in rows)


def _innermost(
    tiles: Tiles, order: tuple[int, ...], levels: tuple[ShardLevel, ...]
) -> tuple[Tiles, tuple[int, ...]]:
    """Tiles of shards of some levels as tiles of the innermost chunks, and their order of axes."""
    for level in levels:
        tiles = cut(tiles.permuted(level.order), level.chunk)[2]
        order = tuple(order[k] for k in level.order)
    return tiles, order


def _in_files(array: Array) -> bool:
    """Whether the compiled module opens the values by itself."""
    return array._source.path_of(array._folder) is not None


def _fetches(found: _Found, job: ReadJob, in_module: bool) -> tuple[Requests, int]:
    """What is requested for chunks, and in how many runs."""
    plan, chain = found.plan, found.chain
    if chain.shard is not None or not len(plan):  # a whole shard is a request and a run
        return plan.requests, len(plan)
    work = Work(plan, chain, job.out, job)
    return work.extents, sum(len(part.runs(apart=in_module and in_files(part))) for part in work.parts())


def _places(chain: Chain, array: Array) -> bool:
    """Whether the compiled module can decode a chunk in the result's memory (class `Reader` of host.cpp)."""
    last = chain.leaf.stages[:1]
    if not last:
        return chain.shard is None and _in_files(array)
    return last[0].native is not None and last[0].native.name != "crc32c"  # which checks bytes where they are


def _strides(array: Array, chosen: Selection) -> tuple[int, ...]:
    """Bytes between elements of the result along each axis of the tiles; () for points."""
    if chosen.index is None:
        return ()
    fortran = array._options.order == "F" and isinstance(array._options.memory, NumpyMemory)
    axes = range(len(chosen.shape))
    strides, step = [0] * len(axes), array.dtype.itemsize
    for k in axes if fortran else reversed(axes):
        strides[k], step = step, step * chosen.shape[k]
    of_axis = iter(strides)
    kept = [None if item is None else item.step or 1 for item in chosen.index]
    return tuple(0 if way is None else way * next(of_axis) for way in kept)


def _straight(tiles: Tiles, leaf: Chain, order: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many tiles are a whole chunk with its elements in the order of the result."""
    layout = leaf.elements
    if not isinstance(tiles, Boxes) or layout.swap:
        return 0
    target = [strides[k] for k in order]
    same = all(n == 1 or a == b for n, a, b in zip(layout.shape, target, layout.strides, strict=True))
    return int((tiles.count == np.array(layout.shape, np.int64)).all(axis=1).sum()) if same else 0
