"""Shards of one level: their index, and shards that are decoded whole.

A shard after codecs that need all its elements in their order is no file of chunks to the plan, but a stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, NativeOp, put
from gpuzarr.errors import CodecError
from gpuzarr.shard import OUTSIDE, ShardLevel, entries, place

if TYPE_CHECKING:
    from gpuzarr.codecs.chain import Chain

__all__ = ["Shard", "WholeShardStage", "decode_index", "encode_index"]


@dataclass(frozen=True, slots=True)
class Shard:
    """The shards of one level: how they are cut, how their index is stored, and what their chunks are."""

    level: ShardLevel
    index: Chain
    inner: Chain


def decode_index(shard: Shard, data: Buffer, limit: int) -> NDArray[np.int64]:
    """A shard's stored index as `shard.entries` has it, for a shard of at most `limit` bytes. Raises CodecError."""
    found = memoryview(data).nbytes
    if found != shard.level.index_size:
        raise CodecError(
            f"the shard is too short for its index: {found} bytes of {shard.level.index_size}",
            codec="sharding_indexed",
            direction="decode",
        )
    layout = shard.index.elements
    index = layout.view(shard.index.decode(data)).astype(np.uint64)
    return entries(index.reshape(shard.level.slots, 2), limit)


def encode_index(shard: Shard, index: NDArray[np.uint64]) -> Buffer:
    """The reverse of `decode_index`."""
    layout = shard.index.elements
    raw = np.empty(layout.nbytes, np.uint8)
    layout.view(raw)[...] = index.reshape(layout.shape)
    return shard.index.encode(raw.data)


@dataclass(frozen=True, slots=True)
class WholeShardStage:
    """All elements of a shard to its bytes. A chunk that is not there has the fill value; all chunks are written."""

    shard: Shard
    dtype: np.dtype[Any]
    fill: Any
    native: NativeOp | None = None

    name = "sharding_indexed"

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        elements = _decoded(self.shard, data, self.dtype, self.fill)
        return put(np.ascontiguousarray(elements).reshape(-1).view(np.uint8).data, into)

    def encode(self, data: Buffer) -> Buffer:
        level = self.shard.level
        shape = [level.shape[k] for k in np.argsort(level.order)]
        return _encoded(self.shard, np.frombuffer(data, self.dtype).reshape(shape))


def _decoded(shard: Shard, data: Buffer, dtype: np.dtype[Any], fill: Any) -> NDArray[Any]:
    """The elements of a shard, in the order of axes that it is given them in."""
    level, stored = shard.level, memoryview(data).cast("B")
    size = level.index_size
    index = decode_index(shard, stored[:size] if level.at_start else stored[max(0, len(stored) - size) :], len(stored))
    elements = np.empty(level.shape, dtype)
    for box, (start, nbytes) in zip(_boxes(level), index.tolist(), strict=True):
        if start == OUTSIDE:
            reason = "the shard index places a chunk outside the shard"
            raise CodecError(reason, codec="sharding_indexed", direction="decode")
        if start < 0:
            elements[box] = fill
            continue
        chunk = shard.inner.decode(stored[start : start + nbytes])
        inner = shard.inner.shard
        elements[box] = shard.inner.chunk(chunk) if inner is None else _decoded(inner, chunk, dtype, fill)
    return elements.transpose(np.argsort(level.order))


def _encoded(shard: Shard, elements: NDArray[Any]) -> Buffer:
    """The reverse."""
    level, inner = shard.level, shard.inner
    turned = elements.transpose(level.order)
    chunks: list[Buffer] = []
    for box in _boxes(level):
        if inner.shard is not None:
            chunks.append(inner.encode(_encoded(inner.shard, turned[box])))
            continue
        raw = np.empty(inner.elements.nbytes, np.uint8)
        inner.elements.view(raw)[...] = turned[box]
        chunks.append(inner.encode(raw.data))
    sizes = [memoryview(chunk).nbytes for chunk in chunks]
    index = encode_index(shard, place(sizes, level.index_size if level.at_start else 0))
    return b"".join([index, *chunks] if level.at_start else [*chunks, index])


def _boxes(level: ShardLevel) -> Iterator[tuple[slice, ...]]:
    """The inner chunks of a shard, in the order of their slots."""
    for at in np.ndindex(level.grid):
        yield tuple(slice(k * n, (k + 1) * n) for k, n in zip(at, level.chunk, strict=True))
