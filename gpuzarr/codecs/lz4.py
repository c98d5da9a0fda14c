"""`lz4` as numcodecs frames it: the decoded size as i32le, then one LZ4 block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, unknown_members
from gpuzarr.errors import CodecError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig

__all__ = ["Lz4Codec"]


@dataclass(frozen=True, slots=True)
class Lz4Codec:
    """LZ4; a larger `acceleration` is faster and larger.

    >>> bytes(Lz4Codec().decode(Lz4Codec().encode(b"zarr" * 100), 400, 400)) == b"zarr" * 100
    True
    """

    acceleration: int = 1

    name = "lz4"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Lz4Codec:
        unknown_members(config, "lz4", {"acceleration"})
        return cls(config_int(config, "lz4", "acceleration", -(2**31), 2**31 - 1, default=1))

    def to_config(self) -> CodecConfig:
        return CodecConfig("numcodecs.lz4", {"acceleration": self.acceleration})

    def bind(self, wire: Wire) -> Lz4Codec:
        return self

    @property
    def native(self) -> NativeOp | None:
        return NativeOp("lz4", (self.acceleration,))

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        view = memoryview(data).cast("B")
        if len(view) < 5:
            raise CodecError("too short for an LZ4 header and block", codec="lz4", direction="decode")
        found = int.from_bytes(view[:4], "little", signed=True)
        if found <= 0 or found > limit or (size is not None and found != size):
            raise bad_size("lz4", found, size)
        out = into if into is not None else np.empty(found, np.uint8).data
        module("numcodecs.lz4").decompress(view, out)
        return out

    def encode(self, data: Buffer) -> Buffer:
        encoded: bytes = module("numcodecs.lz4").compress(data, self.acceleration)
        return encoded
