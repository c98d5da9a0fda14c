"""`bitround`: numbers rounded to some bits, so that they compress better (zarr-extensions, codec `bitround`).

Only encoding does anything: decoding takes the rounded numbers as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, Elements, NativeOp, Wire, config_int, put, unknown_members
from gpuzarr.errors import MetadataError
from gpuzarr.metadata import CodecConfig

__all__ = ["BitroundCodec", "bit_lengths"]

MANTISSA = {
    "bfloat16": 7,
    "complex128": 52,
    "complex64": 23,
    "complex_bfloat16": 7,
    "complex_float16": 10,
    "float16": 10,
    "float32": 23,
    "float64": 52,
}
"""Bits of the mantissas of numbers, and of both parts of complex ones."""


@dataclass(frozen=True, slots=True)
class BitroundCodec:
    """Keeps `keepbits` bits of a mantissa, or of an integer from its highest set bit on; halves go to even.

    >>> stage = BitroundCodec(2).bind(Wire(np.dtype(np.uint8), 3))
    >>> list(stage.encode(bytes([13, 90, 2])))
    [12, 96, 2]
    """

    keepbits: int
    mantissa: int | None = None
    unit: int = 1
    native: NativeOp | None = None

    name = "bitround"
    is_filter = True
    is_ordered = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BitroundCodec:
        unknown_members(config, "bitround", {"keepbits"})
        return cls(config_int(config, "bitround", "keepbits", 1, 64))

    def to_config(self) -> CodecConfig:
        return CodecConfig("bitround", {"keepbits": self.keepbits})

    def stored(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The type of what it makes of elements of `dtype`: the same."""
        return dtype

    def made(self, elements: Elements) -> Elements:
        """What it makes of elements."""
        if elements.fill is None:
            return elements
        rounded = self.bind(elements.wire).encode(np.asarray(elements.fill, elements.data_type.dtype).tobytes())
        return replace(elements, fill=np.frombuffer(rounded, elements.data_type.dtype)[0])

    def bind(self, wire: Wire) -> BitroundCodec:
        """Raises MetadataError for elements that are no numbers."""
        name = wire.name or wire.dtype.name
        mantissa = MANTISSA.get(name)
        if mantissa is None and (wire.dtype.kind not in "iumM" or (wire.name and wire.dtype.name != wire.name)):
            raise MetadataError(f"bitround: elements of {name} are not rounded", field="codecs")
        unit = wire.dtype.itemsize // (2 if name.startswith("complex") else 1)
        return BitroundCodec(self.keepbits, mantissa, unit)

    def encoded_size(self, size: int) -> int | None:
        return size

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        return put(data, into)

    def encode(self, data: Buffer) -> Buffer:
        numbers = np.frombuffer(data, f"u{self.unit}")
        return _rounded(numbers, self.keepbits, self.mantissa).view(np.uint8).data


def _rounded(numbers: NDArray[Any], keep: int, mantissa: int | None) -> NDArray[Any]:
    """Unsigned numbers with `keep` bits below bit `mantissa`, or of all that they have."""
    kind = numbers.dtype.type
    bits = bit_lengths(numbers) if mantissa is None else np.full(1, mantissa, numbers.dtype)
    one = kind(1)
    drop = np.where(bits > keep, bits - np.minimum(bits, kind(keep)), kind(0))
    half = (one << np.maximum(drop, one) - one) - one
    most = kind(np.iinfo(numbers.dtype).max)
    step = np.where(drop > 0, (numbers >> drop & one) + half, kind(0))
    raised = np.where(numbers > most - step, most, numbers + step)
    found: NDArray[Any] = raised & (most >> drop << drop)
    return found


def bit_lengths(numbers: NDArray[Any]) -> NDArray[Any]:
    """How many bits each number has, from the highest that is set."""
    kind, left, found = numbers.dtype.type, numbers, np.zeros_like(numbers)
    width = numbers.itemsize * 4
    while width:
        more = left >= kind(1) << kind(width)
        found += np.where(more, kind(width), kind(0))
        left = np.where(more, left >> kind(width), left)
        width //= 2
    return found + (left > 0)
