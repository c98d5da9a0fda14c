"""What a codec is: parsed from a document's configuration, bound once to what it will decode, then run.

Binding decides everything: sizes are computed, configurations checked, implementations chosen. A stage at run time
turns bytes into bytes and makes no choices. Array-to-array codecs that only rename elements (transpose, byte order)
have no stage at all: they change the layout that scatter reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpuzarr.dtypes import DataType, plain
from gpuzarr.errors import CodecError, MetadataError
from gpuzarr.metadata import CodecConfig

__all__ = [
    "Buffer",
    "BytesCodecLike",
    "Elements",
    "NativeOp",
    "Stage",
    "Wire",
    "bad_size",
    "config_int",
    "put",
    "unknown_members",
]

Buffer = bytes | bytearray | memoryview
"""Bytes in host memory. A stage may return any of them."""


@dataclass(frozen=True, slots=True)
class NativeOp:
    """The same stage in the compiled host module: the operation's name and its integer arguments for encoding."""

    name: str
    args: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """What a codec of bytes is bound to: the stored data type, the chunk's size in bytes, the type's name, the shape.

    Name and shape are those of a chunk's elements, where the bytes are still these.
    """

    dtype: np.dtype[Any]
    nbytes: int
    name: str = ""
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Elements:
    """What a codec of arrays is bound to: the shape of a chunk there, the type of its elements, and their fill value.

    `fill` is a scalar of the type, or None where nobody asks for it. The elements are in C order and native byte order.
    """

    shape: tuple[int, ...]
    data_type: DataType
    fill: Any = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that moves the elements."""
        return plain(self.data_type.dtype)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def wire(self) -> Wire:
        """The same as bytes."""
        return Wire(self.dtype, self.count * self.dtype.itemsize, self.data_type.name, self.shape)


class Stage(Protocol):
    """One bytes-to-bytes step, bound."""

    @property
    def name(self) -> str: ...

    @property
    def native(self) -> NativeOp | None:
        """The operation of the compiled host module that does the same, if there is one."""

    def encoded_size(self, size: int) -> int | None:
        """The encoded size of `size` bytes where it is fixed."""

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        """Decode to exactly `size` bytes where known, never more than `limit`; into `into` (of `size`) if given."""

    def encode(self, data: Buffer) -> Buffer: ...


class BytesCodecLike(Protocol):
    """A bytes-to-bytes codec as its document names it."""

    def to_config(self) -> CodecConfig: ...

    def bind(self, wire: Wire) -> Stage: ...


def bad_size(codec: str, found: int | str, size: int | None) -> CodecError:
    """The error for data that decodes to another size than the plan says."""
    return CodecError(f"decodes to {found} bytes, not {size}", codec=codec, direction="decode")


def put(decoded: Buffer, into: memoryview | None) -> Buffer:
    """Decoded bytes, in `into` where that is given."""
    if into is None:
        return decoded
    into[:] = memoryview(decoded).cast("B")
    return into


def config_int(
    config: Mapping[str, Any], codec: str, name: str, low: int, high: int, default: int | None = None
) -> int:
    """An integer member of a codec's configuration, within bounds."""
    value = config.get(name, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise MetadataError(f"{codec}: {name} must be an integer from {low} to {high}, not {value!r}", field="codecs")
    return value


def unknown_members(config: Mapping[str, Any], codec: str, known: set[str]) -> None:
    """Refuse members of a configuration that the codec does not define: they would change what bytes mean."""
    extra = set(config) - known
    if extra:
        raise MetadataError(f"{codec}: unknown configuration member {min(extra)!r}", field="codecs")
