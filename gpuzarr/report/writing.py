"""What assigning to a selection takes: the plan is made as the write itself would, then counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.batch import Boxes
from gpuzarr.memory.cuda import PIECE
from gpuzarr.plan import plan_write
from gpuzarr.report.stages import Stage, not_compiled, stages
from gpuzarr.report.words import aligned, count, size

if TYPE_CHECKING:
    from gpuzarr.array import Array
    from gpuzarr.selection import Selection

__all__ = ["WriteExplanation", "explain_write"]

POINTS = "it gathers boxes, not points or orthogonal selections"


@dataclass(frozen=True, slots=True, repr=False)
class WriteExplanation:
    """What assigning values of the array's memory and data type takes; it prints as text.

    shape, dtype, value_bytes, memory
        The values, and the memory they are in.
    downloads, downloaded_bytes
        Values on a device are brought home first, whole; chunks are encoded on the host.
    keys, partial
        Values in the store that are written or, if they hold nothing but the fill value, removed; how many of these
        (chunks, or shards) the selection covers in part, so that they are read first.
    chunks, encoded_bytes
        Chunks that are encoded, and their decoded bytes.
    threads
        Threads that do it, at most.
    compiled, why_not_compiled
        Whether the compiled host module gathers and encodes.
    stages
        Where each codec runs.
    """

    shape: tuple[int, ...]
    dtype: str
    value_bytes: int
    memory: str
    downloads: int
    downloaded_bytes: int
    keys: int
    partial: int
    chunks: int
    encoded_bytes: int
    threads: int
    compiled: bool
    why_not_compiled: str | None
    stages: tuple[Stage, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON has them."""
        found = asdict(self)
        return {**found, "shape": list(self.shape), "stages": list(found["stages"])}

    def __str__(self) -> str:
        head = f"write of {self.shape} {self.dtype}: {size(self.value_bytes)} of {self.memory} memory"
        return f"{head}\n{aligned(list(self._lines()))}"

    __repr__ = __str__

    def _lines(self) -> Iterator[tuple[str, str]]:
        if self.downloads:
            yield "download", f"{count(self.downloads, 'download')}, {size(self.downloaded_bytes)}"
        yield "encode", f"{count(self.chunks, 'chunk')}, {size(self.encoded_bytes)}, on the host"
        yield "store", f"{count(self.keys, 'key')}; {self.partial:,} covered in part, read first"
        yield "run", f"on {count(self.threads, 'thread')} at most"
        yield "compiled", "yes" if self.compiled else f"no: {self.why_not_compiled}"
        yield "codecs", "\n".join(map(str, self.stages))


def explain_write(array: Array, chosen: Selection) -> WriteExplanation:
    """What assigning to `chosen` of an array takes."""
    metadata, options, chain = array.metadata, array._options, array._binding.chain
    plan = plan_write(chosen.tiles, metadata.chunks, metadata.keys, array._folder, metadata.shape)
    keys, partial = len(plan), int(np.count_nonzero(~plan.whole))
    chunks = encoded = 0
    for shape, part in plan.by_shape():
        bound = chain.of(shape)
        for level in bound.levels:
            part = part.descend(level)
        chunks, encoded = chunks + len(part), encoded + len(part) * bound.leaf.elements.nbytes
    reason = not_compiled(chain.leaf, options.runner.native)
    reason = reason if isinstance(chosen.tiles, Boxes) or reason else POINTS
    nbytes = chosen.size * array.dtype.itemsize
    away = options.memory.device is not None
    return WriteExplanation(
        shape=chosen.shape,
        dtype=str(array.dtype),
        value_bytes=nbytes,
        memory=options.memory.name,
        downloads=-(-nbytes // PIECE) if away else 0,
        downloaded_bytes=nbytes if away else 0,
        keys=keys,
        partial=partial,
        chunks=chunks,
        encoded_bytes=encoded,
        threads=options.runner.threads,
        compiled=reason is None,
        why_not_compiled=reason,
        stages=tuple(stages(metadata.codecs, chain, reason)),
    )
