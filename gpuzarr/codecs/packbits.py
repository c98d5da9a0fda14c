"""`packbits`: elements of a fixed number of bits, one after another (zarr-extensions, codec `packbits`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, Elements, NativeOp, bad_size, config_int, put, unknown_members
from gpuzarr.dtypes.names import BITS, COMPLEX, ML_NAMES
from gpuzarr.errors import CodecError, MetadataError
from gpuzarr.metadata import CodecConfig

__all__ = ["PackBitsCodec"]

PADDING = {"none": 0, "first_byte": 1, "last_byte": 1}
"""Bytes that tell how many bits were added, by their place."""

SCHEMA = {"start_bit": "first_bit", "end_bit": "last_bit", "start_byte": "first_byte", "end_byte": "last_byte"}
"""The names that the registry's schema has for what its text calls otherwise."""

BLOCK = 1 << 16
"""Numbers that are taken apart into bits at a time, each bit a byte; of them whole bytes are made."""


@dataclass(frozen=True, slots=True)
class PackBitsCodec:
    """Keeps bits `first_bit` to `last_bit` of each number, all of them by default.

    >>> from gpuzarr.dtypes import from_v3
    >>> stage = PackBitsCodec(padding="first_byte").bind(Elements((3,), from_v3("bool", None)))
    >>> list(stage.encode(bytes([1, 0, 1])))
    [5, 5]
    """

    padding: str = "none"
    first_bit: int | None = None
    last_bit: int | None = None

    name = "packbits"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PackBitsCodec:
        found = {SCHEMA.get(name, name): value for name, value in config.items()}
        unknown_members(found, "packbits", {"padding_encoding", "first_bit", "last_bit"})
        padding = found.get("padding_encoding", "none")
        padding = SCHEMA.get(padding, padding) if isinstance(padding, str) else padding
        if not isinstance(padding, str) or padding not in PADDING:
            raise MetadataError(f"packbits: there is no padding_encoding {padding!r:.100}", field="codecs")
        bits = [
            None if found.get(name) is None else config_int(found, "packbits", name, 0, 63)
            for name in ("first_bit", "last_bit")
        ]
        return cls(padding, *bits)

    def to_config(self) -> CodecConfig:
        bits = {"first_bit": self.first_bit, "last_bit": self.last_bit}
        given = {name: bit for name, bit in bits.items() if bit is not None}
        return CodecConfig("packbits", {"padding_encoding": self.padding, **given})

    def bind(self, elements: Elements) -> PackBitsStage:
        """Raises MetadataError for elements that are no numbers, and for bits that they have not."""
        name, dtype = elements.data_type.name, elements.data_type.dtype
        if dtype.kind not in "biufcmM" and name not in ML_NAMES | COMPLEX:
            raise MetadataError(f"packbits: elements of {name} are no numbers", field="codecs")
        parts = 2 if dtype.kind == "c" or name in COMPLEX else 1
        unit = dtype.itemsize // parts
        width = 1 if dtype.kind == "b" else BITS.get(name, 8 * unit)
        first, last = self.first_bit or 0, width - 1 if self.last_bit is None else self.last_bit
        if not first <= last < width:
            raise MetadataError(f"packbits: no bits {first} to {last} in {name}, which has {width}", field="codecs")
        signed = dtype.kind in "imM" or name in ("int2", "int4")
        return PackBitsStage(self.padding, elements.count * parts, unit, width, first, last, signed)


@dataclass(frozen=True, slots=True)
class PackBitsStage:
    """Bound to `count` numbers of `unit` bytes, of which `width` bits mean something."""

    padding: str
    count: int
    unit: int
    width: int
    first: int
    last: int
    signed: bool
    native: NativeOp | None = None

    name = "packbits"

    @property
    def kept(self) -> int:
        """Bits of a number that are stored."""
        return self.last - self.first + 1

    @property
    def packed(self) -> int:
        """Bytes that hold them."""
        return -(-self.count * self.kept // 8)

    def encoded_size(self, size: int) -> int | None:
        return self.packed + PADDING[self.padding]

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        packed = self._packed(np.frombuffer(data, np.uint8))
        found = np.empty((self.count, self.unit), np.uint8)
        step = BLOCK * self.kept // 8
        for block in range(0, self.count, BLOCK):
            numbers = found[block : block + BLOCK]
            start = block // BLOCK * step
            bits = np.unpackbits(packed[start : start + step], count=len(numbers) * self.kept, bitorder="little")
            numbers[:] = self._whole(bits.reshape(-1, self.kept))
        return put(found.reshape(-1).data, into)

    def encode(self, data: Buffer) -> Buffer:
        numbers = np.frombuffer(data, np.uint8).reshape(-1, self.unit)
        packed = np.empty(self.packed, np.uint8)
        step = BLOCK * self.kept // 8
        for block in range(0, self.count, BLOCK):
            bits = np.unpackbits(numbers[block : block + BLOCK], axis=1, bitorder="little")
            start = block // BLOCK * step
            packed[start : start + step] = np.packbits(bits[:, self.first : self.last + 1], bitorder="little")
        added = np.array([self._added], np.uint8)
        parts = {"none": [packed], "first_byte": [added, packed], "last_byte": [packed, added]}
        return np.concatenate(parts[self.padding]).data

    @property
    def _added(self) -> int:
        return 8 * self.packed - self.count * self.kept

    def _packed(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bytes of the bits. Raises CodecError where there is another number of them."""
        if len(data) == self.packed and self.kept == 8 * self.unit:
            return data  # zarrs writes whole bytes without the byte that tells that none were added
        if len(data) != self.packed + PADDING[self.padding]:
            raise bad_size("packbits", f"{len(data)} bytes of {self.packed + PADDING[self.padding]}", None)
        if self.padding == "none":
            return data
        told, packed = (data[0], data[1:]) if self.padding == "first_byte" else (data[-1], data[:-1])
        if told != self._added:
            reason = f"tells that {told} bits were added, not {self._added}"
            raise CodecError(reason, codec="packbits", direction="decode")
        return packed

    def _whole(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Numbers of their kept bits, as bytes: the sign is repeated above them, within the bits that the type has."""
        whole = np.zeros((len(bits), 8 * self.unit), np.uint8)
        whole[:, self.first : self.last + 1] = bits
        if self.signed:
            whole[:, self.last + 1 : self.width] = bits[:, -1:]
        return np.packbits(whole, axis=1, bitorder="little")
