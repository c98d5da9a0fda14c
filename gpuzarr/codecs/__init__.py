"""Codecs: the protocol and registry, one file a family, and the chain that binds them.

The classes here are what `compressors=`, `filters=` and `serializer=` of `create_array` take.
"""

from __future__ import annotations

from gpuzarr.codecs.blosc import BloscCodec
from gpuzarr.codecs.crc32c import Crc32cCodec
from gpuzarr.codecs.deflate import GzipCodec, ZlibCodec
from gpuzarr.codecs.lz4 import Lz4Codec
from gpuzarr.codecs.structure import BytesCodec, ShardingCodec, TransposeCodec
from gpuzarr.codecs.zstd import ZstdCodec

__all__ = [
    "BloscCodec",
    "BytesCodec",
    "Crc32cCodec",
    "GzipCodec",
    "Lz4Codec",
    "ShardingCodec",
    "TransposeCodec",
    "ZlibCodec",
    "ZstdCodec",
]
