"""`gzip` and `zlib`: DEFLATE streams (RFC 1950, 1951, 1952; Zarr 3 codec `gzip`, numcodecs `gzip` and `zlib`)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, unknown_members
from gpuzarr.errors import CodecError
from gpuzarr.metadata import CodecConfig

__all__ = ["GzipCodec", "ZlibCodec"]


@dataclass(frozen=True, slots=True)
class GzipCodec:
    """gzip members, level 0 to 9. Several members are one stream, as RFC 1952 has it.

    >>> bytes(GzipCodec().decode(GzipCodec().encode(b"zarr" * 100), 400, 400)) == b"zarr" * 100
    True
    """

    level: int = 5

    name: ClassVar[str] = "gzip"
    window: ClassVar[int] = 31
    """zlib's `wbits`: a 32 KiB window, with the header and trailer of the format."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GzipCodec:
        unknown_members(config, cls.name, {"level"})
        return cls(config_int(config, cls.name, "level", -1, 9, default=1))

    def to_config(self) -> CodecConfig:
        return CodecConfig(self.name, {"level": self.level})

    def bind(self, wire: Wire) -> GzipCodec:
        return self

    @property
    def native(self) -> NativeOp | None:
        return NativeOp(self.name, (6 if self.level < 0 else self.level,))

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        most = limit if size is None else size
        decoded = _inflate(memoryview(data).cast("B"), self.window, self.name, most)
        if size is not None and len(decoded) != size:
            raise bad_size(self.name, len(decoded), size)
        if into is None:
            return decoded
        into[:] = decoded
        return into

    def encode(self, data: Buffer) -> Buffer:
        packer = zlib.compressobj(self.level, zlib.DEFLATED, self.window)
        return packer.compress(data) + packer.flush()


@dataclass(frozen=True, slots=True)
class ZlibCodec(GzipCodec):
    """One zlib stream, level 0 to 9."""

    level: int = 1

    name: ClassVar[str] = "zlib"
    window: ClassVar[int] = 15

    def to_config(self) -> CodecConfig:
        return CodecConfig("numcodecs.zlib", {"level": self.level})


def _inflate(data: memoryview, window: int, codec: str, most: int) -> bytes:
    """Decode a stream of members, to at most `most` bytes."""
    parts, total = [], 0
    while True:
        member = zlib.decompressobj(window)
        try:
            part = member.decompress(data, most - total + 1)
        except zlib.error as error:
            raise CodecError(str(error), codec=codec, direction="decode") from error
        parts.append(part)
        total += len(part)
        if total > most:
            raise bad_size(codec, f"more than {most}", most)
        if not member.eof:
            raise CodecError("the stream is cut off", codec=codec, direction="decode")
        data = memoryview(member.unused_data)
        # RFC 1952: further members follow at once; zeros after the last are padding, as gzip itself reads it.
        if window != GzipCodec.window or not np.frombuffer(data, np.uint8).any():
            return parts[0] if len(parts) == 1 else b"".join(parts)
