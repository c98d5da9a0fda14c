"""`gzip` and `zlib`: DEFLATE streams (RFC 1950, 1951, 1952; Zarr 3 codec `gzip`, numcodecs `gzip` and `zlib`)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, config_int, unknown_members
from gpuzarr.codecs.streams import FIRST, LARGEST, Decompressor, unpack
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
        def make() -> Decompressor:
            return zlib.decompressobj(self.window)

        return unpack(make, data, size, limit, into, self.name, self._next_at)

    @staticmethod
    def _next_at(rest: memoryview) -> int | None:
        """Zeros between members and behind the last are padding, as Python's gzip reads them, and numcodecs by it."""
        at, width = 0, FIRST
        while at < len(rest):
            window = bytes(rest[at : at + width])
            if kept := window.lstrip(b"\0"):
                return at + len(window) - len(kept)
            at += width
            width = min(2 * width, LARGEST)
        return None

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

    @staticmethod
    def _next_at(rest: memoryview) -> int | None:
        return None  # what follows the stream is no part of it
