"""`crc32c`: four bytes at the end that tell whether the rest is what was written (Zarr 3 codec `crc32c`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, unknown_members
from gpuzarr.errors import CodecError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig

__all__ = ["Crc32cCodec"]


@dataclass(frozen=True, slots=True)
class Crc32cCodec:
    """Appends the CRC32C of the bytes, little endian, and verifies it on reading.

    >>> Crc32cCodec().encode(b"zarr")[4:].hex()
    'd1d87c1f'
    """

    name = "crc32c"
    native = NativeOp("crc32c")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Crc32cCodec:
        unknown_members(config, "crc32c", set())
        return cls()

    def to_config(self) -> CodecConfig:
        return CodecConfig("crc32c", {})

    def bind(self, wire: Wire) -> Crc32cCodec:
        return self

    def encoded_size(self, size: int) -> int | None:
        return size + 4

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        view = memoryview(data).cast("B")
        if len(view) < 4 or (size is not None and len(view) != size + 4):
            raise bad_size("crc32c", len(view) - 4, size)
        body, stored = view[:-4], int.from_bytes(view[-4:], "little")
        found = _crc32c(body)
        if found != stored:
            raise CodecError(f"checksum is {found:08x}, not {stored:08x}", codec="crc32c", direction="decode")
        if into is None:
            return body
        into[:] = body
        return into

    def encode(self, data: Buffer) -> Buffer:
        return b"".join((data, _crc32c(data).to_bytes(4, "little")))


def _crc32c(data: Buffer) -> int:
    view = np.frombuffer(data, np.uint8)
    view.flags.writeable = False  # it takes read-only buffers only
    value: int = module("google_crc32c").value(view)
    return value
