"""Codecs by the names documents give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpuzarr.codecs.base import BytesCodecLike
from gpuzarr.codecs.blosc import BloscCodec
from gpuzarr.codecs.conditional import ConditionalCodec
from gpuzarr.codecs.crc32c import Crc32cCodec
from gpuzarr.codecs.deflate import GzipCodec, ZlibCodec
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.codecs.gdeflate import GdeflateCodec
from gpuzarr.codecs.lz4 import Lz4Codec
from gpuzarr.codecs.n5 import N5Codec
from gpuzarr.codecs.objects import ObjectCodec
from gpuzarr.codecs.packages import TYPES, PackageCodec
from gpuzarr.codecs.packbits import PackBitsCodec
from gpuzarr.codecs.rounding import BitroundCodec
from gpuzarr.codecs.structure import BytesCodec, ReshapeCodec, ShardingCodec, SqueezeCodec, TransposeCodec
from gpuzarr.codecs.values import CastValueCodec, ScaleOffsetCodec
from gpuzarr.codecs.zfp import ZfpCodec
from gpuzarr.codecs.zstd import ZstdCodec
from gpuzarr.dtypes import OBJECT_CODECS
from gpuzarr.errors import MetadataError, UnknownCodecError
from gpuzarr.metadata import CodecConfig

__all__ = ["Codec", "make"]

ArrayCodec = TransposeCodec | ReshapeCodec | SqueezeCodec | ScaleOffsetCodec | CastValueCodec
ArrayBytesCodec = BytesCodec | N5Codec | PackBitsCodec | ZfpCodec | ShardingCodec | ObjectCodec
Codec = BytesCodecLike | ArrayCodec | ArrayBytesCodec


def _conditional(config: Mapping[str, Any]) -> ConditionalCodec:
    return ConditionalCodec.from_config(config, _of_bytes)


def _of_bytes(config: CodecConfig) -> Codec:
    """A codec of bytes. Raises MetadataError for one of arrays."""
    codec = make(config)
    if isinstance(codec, ArrayCodec | ArrayBytesCodec) or getattr(codec, "is_filter", False):
        raise MetadataError(f"conditional: {config.name!r} is no codec of bytes", field="codecs")
    return codec


CODECS: dict[str, Callable[[Mapping[str, Any]], Codec]] = {
    "bitround": BitroundCodec.from_config,
    "blosc": BloscCodec.from_config,
    "bytes": BytesCodec.from_config,
    "cast_value": CastValueCodec.from_config,
    "conditional": _conditional,
    "crc32c": Crc32cCodec.from_config,
    "endian": BytesCodec.from_config,  # the name `bytes` had before 3.0 was final
    "gzip": GzipCodec.from_config,
    "n5_default": N5Codec.from_config,
    "packbits": PackBitsCodec.from_config,
    "reshape": ReshapeCodec.from_config,
    "scale_offset": ScaleOffsetCodec.from_config,
    "sharding_indexed": ShardingCodec.from_config,
    "transpose": TransposeCodec.from_config,
    "zfp": ZfpCodec.from_config,
    "zstd": ZstdCodec.from_config,
    "zarrs.gdeflate": GdeflateCodec.from_config,
    "zarrs.squeeze": SqueezeCodec.from_config,
    "numcodecs.blosc": BloscCodec.from_config,
    "numcodecs.gzip": GzipCodec.from_config,
    "numcodecs.lz4": Lz4Codec.from_config,
    "numcodecs.zlib": ZlibCodec.from_config,
    "numcodecs.zstd": ZstdCodec.from_config,
}


def make(config: CodecConfig, allow_pickle: bool = False) -> Codec:
    """The codec that a configuration names.

    Raises UnknownCodecError for a name nobody registered, UnsupportedError for one that needs a package or permission,
    MetadataError for a configuration the codec does not define.
    """
    from_config = CODECS.get(config.name)
    if from_config is not None:
        return from_config(config.configuration)
    family, _, name = config.name.partition(".")
    if config.name in ("vlen-bytes", "vlen-utf8"):
        family, name = "numcodecs", config.name
    if family == "numcodecs" and name in OBJECT_CODECS:
        return ObjectCodec.from_config(name, config.configuration, allow_pickle)
    if family == "numcodecs" and name in TYPES:
        return PackageCodec.from_config(name, config.configuration)
    if family == "numcodecs" and name:
        return ForeignCodec.from_config(name, config.configuration)
    raise UnknownCodecError(f"no codec is called {config.name!r}", codec=config.name)
