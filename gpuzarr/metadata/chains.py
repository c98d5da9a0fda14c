"""Chains of codecs as the specifications want them: what a writer left out or wrote loosely, said in full.

The rule: what is missing or loose is completed where it leaves one meaning only, once, when a document is read or an
array described; whatever a codec itself refuses is left for it to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.dtypes import JSON, DataType, plain
from gpuzarr.metadata.model import CodecConfig, explicit, object_form

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["completed"]

Tell = Callable[[str, str], None]

_REQUIRED: dict[str, dict[str, JSON]] = {
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0},
    "gzip": {"level": 1},
    "zstd": {"level": 0},
}
"""Members that a configuration must have though decoding needs none of them, and their usual values."""

_INTEGERS = ("blocksize", "clevel", "level", "typesize")
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
_INDEX = np.dtype(np.uint64)


def completed(
    codecs: Sequence[CodecConfig], data_type: DataType, ndim: int, tell: Tell
) -> tuple[CodecConfig, ...]:
    """The codecs of an array of `ndim` axes with what the specification wants of them, inside shards too.

    `tell` is called with the name of each repair (see `gpuzarr.repairs`) and the member it was made in.

    >>> from gpuzarr.dtypes import from_v3
    >>> chain = completed([CodecConfig("bytes"), CodecConfig("gzip")], from_v3("int16", ""), 1, print)
    bytes-no-endian codecs
    codec-default codecs
    >>> [codec.configuration for codec in chain]
    [{'endian': 'little'}, {'level': 1}]
    """
    element = None if data_type.is_object else plain(data_type.wire)
    named = data_type.json["name"] if isinstance(data_type.json, dict) else data_type.json
    # zarr-extensions, data type `structured`: without `endian` it is little endian.
    return _chain([explicit(codec) for codec in codecs], element, ndim, tell, named != "structured")


def _chain(
    codecs: Sequence[CodecConfig], element: np.dtype[Any] | None, ndim: int, tell: Tell, required: bool
) -> tuple[CodecConfig, ...]:
    out = []
    for codec in codecs:
        if codec.name == "bytes":
            codec = _bytes(codec, element, tell, required)
        elif codec.name == "transpose":
            codec = _transpose(codec, ndim, tell)
        elif codec.name == "sharding_indexed":
            codec = _sharding(codec, element, ndim, tell, required)
        elif codec.name in _REQUIRED:
            codec = _compressor(codec, element, tell)
        if codec.name not in ("bytes", "transpose"):
            element = None  # of what other codecs make of elements nothing is known here
        out.append(codec)
    return tuple(out)


def _bytes(codec: CodecConfig, element: np.dtype[Any] | None, tell: Tell, required: bool) -> CodecConfig:
    """Zarr 3 codec `bytes`: `endian` is required where elements have a byte order."""
    config = {name: value for name, value in codec.configuration.items() if name != "endian" or value is not None}
    ordered = element is not None and element != element.newbyteorder("S")
    if "endian" in config or (not ordered and config == codec.configuration):
        return codec
    if required or "endian" in codec.configuration:
        tell("bytes-no-endian", "codecs")
    return CodecConfig("bytes", {**config, "endian": "little"} if ordered else config)


def _transpose(codec: CodecConfig, ndim: int, tell: Tell) -> CodecConfig:
    order = codec.configuration.get("order")
    if order != "C" and order != "F":
        return codec
    tell("transpose-letter", "codecs")
    axes = list(range(ndim))
    return CodecConfig("transpose", {**codec.configuration, "order": axes if order == "C" else axes[::-1]})  # type: ignore[dict-item]  # lists are invariant


def _sharding(
    codec: CodecConfig, element: np.dtype[Any] | None, ndim: int, tell: Tell, required: bool
) -> CodecConfig:
    whole = dict(codec.configuration)
    for name, of, axes, must in (("codecs", element, ndim, required), ("index_codecs", _INDEX, ndim + 1, True)):
        listed: Any = whole.get(name)
        if listed is None:
            continue
        inner = [CodecConfig(c["name"], c.get("configuration", {})) for c in listed]
        whole[name] = [object_form(c) for c in _chain(inner, of, axes, tell, must)]
    return CodecConfig(codec.name, whole)


def _compressor(codec: CodecConfig, element: np.dtype[Any] | None, tell: Tell) -> CodecConfig:
    config, required = dict(codec.configuration), _REQUIRED[codec.name]
    for name in _INTEGERS:
        value = config.get(name)
        if isinstance(value, float) and value.is_integer():
            tell("codec-fraction", "codecs")
            config[name] = int(value)
    shuffle = config.get("shuffle")
    if codec.name == "blosc" and type(shuffle) is int and -1 <= shuffle <= 2:
        tell("shuffle-number", "codecs")
        bits = element is not None and element.itemsize == 1
        config["shuffle"] = _SHUFFLES[shuffle if shuffle >= 0 else 2 if bits else 1]
    if codec.name == "gzip" and config.get("level") == -1:
        tell("codec-default", "codecs")
        config["level"] = 6  # what zlib takes -1 for
    if not config.keys() >= required.keys():
        tell("codec-default", "codecs")
        config = {**required, **config}
    shuffled = codec.name == "blosc" and config["shuffle"] != "noshuffle"
    if config.get("typesize", None if shuffled else 1) is None:
        tell("codec-default", "codecs")
        config["typesize"] = 1 if element is None else element.itemsize
    return CodecConfig(codec.name, config)
