"""`pcodec` and `zfpy` of numcodecs, which need a package each: numbers to bytes, in both formats.

In format 2 they are compressors of the bytes of numbers, in format 3 array-to-bytes codecs; what they make is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, put
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.codecs.zfp import decode_with_header, library
from gpuzarr.errors import MetadataError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig

__all__ = ["PackageCodec"]

TYPES = {
    "pcodec": ("int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "float32", "float64"),
    "zfpy": ("int32", "int64", "float32", "float64"),
}
"""The numbers that they take."""


@dataclass(frozen=True, slots=True)
class PackageCodec:
    """One of them by its numcodecs id and configuration."""

    name: str
    foreign: ForeignCodec

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any]) -> PackageCodec:
        """Raises UnsupportedError where the package is not there, MetadataError for what it does not take."""
        found = cls(name, ForeignCodec.from_config(name, config))
        if name == "zfpy":
            library()
        return found

    def to_config(self) -> CodecConfig:
        return self.foreign.to_config()

    def bind(self, wire: Wire) -> PackageStage:
        """Raises MetadataError for elements that it does not take."""
        native = wire.dtype.newbyteorder("=")
        # As zarrs has them: the parts of complex numbers, and times as the integers that they are.
        kinds = {"c": f"f{native.itemsize // 2}", "m": "i8", "M": "i8"} if self.name == "pcodec" else {}
        own = np.dtype("f2" if wire.name == "complex_float16" else kinds.get(native.kind, native))
        if own.name not in TYPES[self.name]:
            raise MetadataError(f"{self.name}: takes no elements of {wire.name or native.name}", field="codecs")
        return PackageStage(self.name, self.foreign.codec, wire, own)


@dataclass(frozen=True, slots=True)
class PackageStage:
    """Bound to elements, which are `own` to the package."""

    name: str
    codec: Any
    wire: Wire
    own: np.dtype[Any]
    native: NativeOp | None = None

    def encoded_size(self, size: int) -> int | None:
        return None

    def encode(self, data: Buffer) -> Buffer:
        elements = np.frombuffer(data, self.wire.dtype).astype(self.wire.dtype.newbyteorder("="), copy=False)
        numbers = elements.view(self.own)
        # zfp's blocks have the chunk's axes where these are known, and at most four of them.
        shape = self.wire.shape
        if self.name == "zfpy" and shape is not None and 0 < len(shape) <= 4 and np.prod(shape) == numbers.size:
            numbers = numbers.reshape(shape)
        encoded: bytes = self.codec.encode(numbers)
        return encoded

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        if self.name == "zfpy":
            numbers = decode_with_header(data, self.wire if size is None else Wire(self.own, size))
        else:
            numbers = _decoded(data, self.own, self.wire.nbytes if size is None else size)
        swapped = numbers.view(self.wire.dtype.newbyteorder("=")).astype(self.wire.dtype, copy=False)
        return put(swapped.view(np.uint8).data, into)


def _decoded(data: Buffer, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """Exactly as many numbers as a chunk has, from pcodec's own format. Raises CodecError."""
    numbers = np.empty(size // dtype.itemsize, dtype)
    done = module("pcodec").standalone.simple_decompress_into(bytes(data), numbers)
    if not done.finished or done.n_processed != numbers.size:
        raise bad_size("pcodec", f"{done.n_processed} numbers or more", numbers.size)
    return numbers
