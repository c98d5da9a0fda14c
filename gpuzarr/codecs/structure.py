"""Codecs that say how a chunk's bytes are its elements: `transpose`, `bytes`, `sharding_indexed` (Zarr 3.1 core
codecs), and `reshape` (zarr-extensions).

None has a pass of its own: the chain folds sharding into the plan and the others into a layout, where it can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, put, unknown_members
from gpuzarr.errors import MetadataError
from gpuzarr.metadata import CodecConfig

__all__ = ["BytesCodec", "ReshapeCodec", "ShardingCodec", "SqueezeCodec", "SwapStage", "TransposeCodec", "TurnStage"]


@dataclass(frozen=True, slots=True)
class TransposeCodec:
    """Stores axis `order[i]` of the array as axis i.

    >>> TransposeCodec((2, 0, 1)).to_config().configuration
    {'order': [2, 0, 1]}
    """

    order: tuple[int, ...]

    name = "transpose"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TransposeCodec:
        unknown_members(config, "transpose", {"order"})
        order = config.get("order")
        if not isinstance(order, list) or not all(type(k) is int for k in order):
            raise MetadataError(f"transpose: order must be a list of integers, not {order!r}", field="codecs")
        if sorted(order) != list(range(len(order))):
            raise MetadataError(f"transpose: order {order} is not a permutation", field="codecs")
        return cls(tuple(order))

    def to_config(self) -> CodecConfig:
        return CodecConfig("transpose", {"order": list(self.order)})

    def axes(self, ndim: int) -> tuple[int, ...]:
        """The permutation for an array of `ndim` axes."""
        if len(self.order) != ndim:
            raise MetadataError(f"transpose: order {list(self.order)} for {ndim} axes", field="codecs")
        return self.order


@dataclass(frozen=True, slots=True)
class TurnStage:
    """A transpose that no layout can have, because what comes before it depends on the order of elements."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    itemsize: int
    native: NativeOp | None = None

    name = "transpose"

    def encoded_size(self, size: int) -> int | None:
        return size

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        turned = [self.shape[k] for k in self.order]
        return put(self._turned(data, turned, np.argsort(self.order).tolist()), into)

    def encode(self, data: Buffer) -> Buffer:
        return self._turned(data, list(self.shape), list(self.order))

    def _turned(self, data: Buffer, shape: list[int], order: list[int]) -> Buffer:
        elements = np.frombuffer(data, np.uint8).reshape(*shape, self.itemsize)
        return np.ascontiguousarray(elements.transpose(*order, len(order))).reshape(-1).data


@dataclass(frozen=True, slots=True)
class ReshapeCodec:
    """Gives elements another shape and keeps their order (zarr-extensions, codec `reshape`).

    A size of `shape` is a number, a list of the axes whose product it is, or once -1, for what is left.

    >>> ReshapeCodec(((0, 1), -1, 3)).sizes((100, 50, 64, 3))
    (5000, 64, 3)
    """

    shape: tuple[int | tuple[int, ...], ...]

    name = "reshape"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ReshapeCodec:
        unknown_members(config, "reshape", {"shape"})
        shape = config.get("shape")
        if not isinstance(shape, list) or not all(_is_size(n) for n in shape):
            raise MetadataError(f"reshape: shape {shape!r:.100} is no list of sizes and lists of axes", field="codecs")
        axes = [axis for n in shape if isinstance(n, list) for axis in n]
        if shape.count(-1) > 1 or axes != sorted(set(axes)):
            raise MetadataError(f"reshape: shape {shape!r:.100} has -1 twice, or axes out of order", field="codecs")
        return cls(tuple(tuple(n) if isinstance(n, list) else n for n in shape))

    def to_config(self) -> CodecConfig:
        return CodecConfig("reshape", {"shape": [list(n) if isinstance(n, tuple) else n for n in self.shape]})

    def sizes(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that it gives to a chunk of another. Raises MetadataError where it can't."""
        if any(axis >= len(before) for n in self.shape if isinstance(n, tuple) for axis in n):
            raise self._refusal(before)
        sizes = [math.prod(before[axis] for axis in n) if isinstance(n, tuple) else n for n in self.shape]
        count = math.prod(before)
        if -1 in sizes:
            at = sizes.index(-1)
            rest = math.prod(sizes[:at] + sizes[at + 1 :])
            sizes[at] = count // rest
        if math.prod(sizes) != count:
            raise self._refusal(before)
        for k, n in enumerate(self.shape):
            # Elements along the named axes must be those along this one.
            if isinstance(n, tuple) and n and not self._covers(before, sizes, k, n):
                raise self._refusal(before)
        return tuple(sizes)

    def _covers(self, before: tuple[int, ...], sizes: list[int], k: int, axes: tuple[int, ...]) -> bool:
        first, last = math.prod(before[: axes[0]]), math.prod(before[axes[-1] + 1 :])
        return math.prod(sizes[:k]) == first and math.prod(sizes[k + 1 :]) == last

    def _refusal(self, before: tuple[int, ...]) -> MetadataError:
        return MetadataError(f"reshape: no chunk of {before} has the shape {self.shape!r:.100}", field="codecs")


@dataclass(frozen=True, slots=True)
class SqueezeCodec:
    """Leaves out axes of size 1 (zarrs' own, `zarrs.squeeze`).

    >>> SqueezeCodec().sizes((4, 1, 3, 1))
    (4, 3)
    """

    name = "zarrs.squeeze"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SqueezeCodec:
        unknown_members(config, "zarrs.squeeze", set())
        return cls()

    def to_config(self) -> CodecConfig:
        return CodecConfig("zarrs.squeeze")

    def sizes(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that it gives to a chunk of another."""
        return tuple(n for n in before if n != 1)


def _is_size(n: Any) -> bool:
    if isinstance(n, list):
        return all(type(axis) is int and axis >= 0 for axis in n)
    return type(n) is int and (n > 0 or n == -1)


@dataclass(frozen=True, slots=True)
class BytesCodec:
    """Elements one after another in C order; `endian` is "little", "big", or None where one byte has no order."""

    endian: str | None = "little"

    name = "bytes"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BytesCodec:
        unknown_members(config, "bytes", {"endian"})
        endian = config.get("endian")
        if endian not in ("little", "big", None):
            raise MetadataError(f"bytes: endian must be little or big, not {endian!r}", field="codecs")
        return cls(endian)

    def to_config(self) -> CodecConfig:
        return CodecConfig("bytes", {} if self.endian is None else {"endian": self.endian})


@dataclass(frozen=True, slots=True)
class SwapStage:
    """The byte order that `bytes` asks for, where filters before it keep the layout from having it."""

    dtype: np.dtype[Any]
    native: NativeOp | None = None

    name = "bytes"

    def encoded_size(self, size: int) -> int | None:
        return size

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        return put(np.frombuffer(data, self.dtype).byteswap().view(np.uint8).data, into)

    def encode(self, data: Buffer) -> Buffer:
        return self.decode(data, None, 0)


@dataclass(frozen=True, slots=True)
class ShardingCodec:
    """A chunk that is a file of inner chunks of `chunk_shape` with an index at its start or end.

    `codecs` and `index_codecs` are configurations; the index's must have a fixed size.
    """

    chunk_shape: tuple[int, ...]
    codecs: tuple[CodecConfig, ...]
    index_codecs: tuple[CodecConfig, ...]
    index_location: str = "end"

    name = "sharding_indexed"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ShardingCodec:
        unknown_members(config, "sharding_indexed", {"chunk_shape", "codecs", "index_codecs", "index_location"})
        shape = config.get("chunk_shape")
        if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
            raise MetadataError(f"sharding_indexed: chunk_shape {shape!r} is not a list of sizes", field="codecs")
        location = config.get("index_location", "end")
        if location not in ("start", "end"):
            raise MetadataError(f"sharding_indexed: index_location {location!r} is not start or end", field="codecs")
        chains = [_configs(config.get(name), name) for name in ("codecs", "index_codecs")]
        return cls(tuple(shape), chains[0], chains[1], location)

    def to_config(self) -> CodecConfig:
        config: dict[str, Any] = {
            "chunk_shape": list(self.chunk_shape),
            "codecs": [{"name": c.name, "configuration": c.configuration} for c in self.codecs],
            "index_codecs": [{"name": c.name, "configuration": c.configuration} for c in self.index_codecs],
            "index_location": self.index_location,
        }
        return CodecConfig("sharding_indexed", config)


def _configs(value: Any, member: str) -> tuple[CodecConfig, ...]:
    """A list of codecs, each an object with a name, or the name alone."""
    if not isinstance(value, list) or not value:
        raise MetadataError(f"sharding_indexed: {member} must be a list of codecs, not {value!r}", field="codecs")
    configs = []
    for entry in value:
        named = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(named, dict) or not isinstance(named.get("name"), str):
            raise MetadataError(f"sharding_indexed: {member} holds {entry!r}, which names no codec", field="codecs")
        config = named.get("configuration", {})
        if not isinstance(config, dict) or set(named) - {"name", "configuration", "must_understand"}:
            raise MetadataError(f"sharding_indexed: {member}: not a codec: {entry!r}", field="codecs")
        configs.append(CodecConfig(named["name"], config))
    return tuple(configs)
