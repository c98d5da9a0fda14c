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
"""Numbers that are worked on at a time, a word each; of them whole bytes are made."""

Words = NDArray[np.uint64]


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
        found = np.empty(self.count, f"<u{self.unit}")
        step = BLOCK * self.kept // 8
        for start in range(0, self.count, BLOCK):
            block = found[start : start + BLOCK]
            at = start // BLOCK * step
            block[:] = self._whole(_unpacked(packed[at : at + step], len(block), self.kept))
        return put(found.view(np.uint8).data, into)

    def encode(self, data: Buffer) -> Buffer:
        numbers = np.frombuffer(data, f"<u{self.unit}")
        packed = np.empty(self.packed, np.uint8)
        step = BLOCK * self.kept // 8
        for start in range(0, self.count, BLOCK):
            block = numbers[start : start + BLOCK].astype(np.uint64) >> np.uint64(self.first)
            part = packed[start // BLOCK * step :][:step]
            part[:] = _packed(block, self.kept)[: len(part)]
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

    def _whole(self, numbers: Words) -> Words:
        """Numbers of their kept bits: the sign is repeated above them, within the bits that the type has."""
        if self.signed:
            sign = np.uint64(1 << self.kept - 1)
            numbers = ((numbers ^ sign) - sign) & np.uint64((1 << self.width - self.first) - 1)
        return numbers << np.uint64(self.first)


def _unpacked(packed: NDArray[np.uint8], count: int, kept: int) -> Words:
    """Numbers of so many bits each, one after another: eight of them are as many bytes."""
    groups = -(-count // 8)
    data = np.zeros(groups * kept + 16, np.uint8)
    data[: len(packed)] = packed
    found = np.empty((groups, 8), np.uint64)
    for k in range(8):
        at, shift = divmod(k * kept, 8)
        words = np.ndarray((groups,), "<u8", data, at, (kept,)) >> np.uint64(shift)
        if shift + kept > 64:
            words |= data[at + 8 :: kept][:groups].astype(np.uint64) << np.uint64(64 - shift)
        found[:, k] = words & np.uint64((1 << kept) - 1)
    return found.reshape(-1)[:count]


def _packed(numbers: Words, kept: int) -> NDArray[np.uint8]:
    """The reverse; upper bits are left out."""
    groups = -(-len(numbers) // 8)
    whole = np.zeros((groups, 8), np.uint64)
    whole.reshape(-1)[: len(numbers)] = numbers & np.uint64((1 << kept) - 1)
    found = np.zeros((groups, kept + 16), np.uint8)
    for k in range(8):
        at, shift = divmod(k * kept, 8)
        words = (whole[:, k] << np.uint64(shift)).astype("<u8")
        found[:, at : at + 8] |= words.view(np.uint8).reshape(groups, 8)
        if shift + kept > 64:
            found[:, at + 8] |= (whole[:, k] >> np.uint64(64 - shift)).astype(np.uint8)
    return found[:, :kept].reshape(-1)
