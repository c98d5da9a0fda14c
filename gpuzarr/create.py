"""Making arrays: what `create_array` takes, checked and completed into metadata, then written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from gpuzarr import node
from gpuzarr.array import Array
from gpuzarr.codecs.blosc import BloscCodec
from gpuzarr.codecs.objects import ObjectCodec
from gpuzarr.codecs.registry import make
from gpuzarr.codecs.structure import BytesCodec, ShardingCodec
from gpuzarr.dtypes import OBJECT_CODECS, DataType, as_fill, from_numpy, plain
from gpuzarr.edges import Edge, Grid, Runs, is_regular
from gpuzarr.errors import MetadataError, UnsupportedError
from gpuzarr.grid import ChunkKeys
from gpuzarr.memory import as_host
from gpuzarr.metadata import ArrayMetadata, CodecConfig, codecs_v2
from gpuzarr.metadata.chains import completed
from gpuzarr.metadata.forms import sizes as readable
from gpuzarr.metadata.grids import run_lengths
from gpuzarr.options import Options
from gpuzarr.store import Store

__all__ = ["AUTO", "auto_chunks", "check_format", "create_array", "describe", "sizes"]

AUTO = "auto"

CHUNK_BYTES = 1 << 20
"""What an automatic chunk decodes to at most: many small streams, which threads and GPUs decode side by side."""

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "<the type's zero>"})()


def create_array(
    store: Store,
    path: str,
    options: Options,
    *,
    data: Any = None,
    overwrite: bool = False,
    write_data: bool = True,
    **how: Any,
) -> Array:
    """Write a new array, the groups above it, and `data` into it. Keyword arguments: see `gpuzarr.create_array`."""
    if data is not None:
        host = as_host(data)
        if how.get("shape") is not None or how.get("dtype") is not None:
            raise MetadataError("data= brings its own shape and dtype", path=path, field="shape")
        how |= {"shape": host.shape, "dtype": host.dtype}
        data = host
    metadata = describe(path, options.allow_pickle, **how)
    # Everything is checked, by binding, before anything that is there is touched.
    array = Array(store, path, metadata, options)
    node.require_absent(store, path, overwrite)
    node.make_groups(store, path, metadata.zarr_format)
    node.save(store, path, metadata)
    if data is not None and write_data:
        array[...] = data
    return array


def describe(
    path: str,
    allow_pickle: bool = False,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
    chunks: Any = AUTO,
    shards: Any = None,
    filters: Any = AUTO,
    compressors: Any = AUTO,
    serializer: Any = AUTO,
    fill_value: Any = UNSET,
    order: str | None = None,
    zarr_format: int | None = 3,
    attributes: Mapping[str, Any] | None = None,
    chunk_key_encoding: Any = None,
    dimension_names: Sequence[str | None] | None = None,
) -> ArrayMetadata:
    """The metadata of a new array. Raises MetadataError, UnknownCodecError or UnsupportedError."""
    zarr_format = check_format(3 if zarr_format is None else zarr_format)
    if shape is None or dtype is None:
        raise MetadataError("shape and dtype are needed, or data", path=path, field="shape")
    whole = sizes(shape, "shape", 0)
    if zarr_format == 2:
        if shards is not None or serializer != AUTO or dimension_names is not None:
            raise MetadataError("Zarr 2 has no shards, serializers or dimension names", path=path, field="shards")
        before = [] if filters == AUTO else [_config_v2(c, allow_pickle) for c in _listed(filters)]
        packed = [CodecConfig("numcodecs.zstd", {"level": 0})] if compressors == AUTO else None
        packed = [_config_v2(c, allow_pickle) for c in _listed(compressors)] if packed is None else packed
        data_type, before = _type_v2(dtype, before)
        outer, _, _ = _chunks(whole, data_type, chunks, None)
        if not is_regular(outer):
            raise MetadataError("Zarr 2 has no chunks of several lengths", path=path, field="chunks")
        defined = None if fill_value is None else as_fill(None if fill_value is UNSET else fill_value, data_type)
        keys = _keys(chunk_key_encoding, 2)
        return _describe_v2(whole, data_type, outer, defined, before, packed, order, attributes, keys)
    data_type = from_numpy(dtype, 3)
    outer, inner, location = _chunks(whole, data_type, chunks, shards)
    fill = as_fill(None if fill_value is UNSET else fill_value, data_type)
    arrays = [] if filters == AUTO or filters is None else [_config(c, data_type) for c in _listed(filters)]
    serial = _serializer(data_type, arrays) if serializer == AUTO else _config(serializer, data_type)
    packed = [CodecConfig("zstd", {"level": 0, "checksum": False})] if compressors == AUTO else None
    packed = [_config(c, data_type) for c in _listed(compressors)] if packed is None else packed
    codecs = (*arrays, serial, *packed)
    if inner is not None:
        index = (BytesCodec("little").to_config(), CodecConfig("crc32c", {}))
        codecs = (ShardingCodec(inner, codecs, index, location).to_config(),)
    codecs = completed(codecs, data_type, len(whole), _quiet)
    names = None if dimension_names is None else _names(dimension_names, len(whole), path)
    keys = _keys(chunk_key_encoding, 3)
    return ArrayMetadata(3, whole, data_type, outer, keys, fill, codecs, dict(attributes or {}), names)


def _quiet(*_: str) -> None:
    """What callers may leave out is no fault of a document."""


ARGUMENTS = frozenset(describe.__kwdefaults__ or ()) | frozenset(create_array.__kwdefaults__ or ())
"""What `create_array` takes by name."""


def _describe_v2(
    shape: tuple[int, ...],
    data_type: DataType,
    chunks: Grid,
    fill: Any,
    before: list[CodecConfig],
    packed: list[CodecConfig],
    order: str | None,
    attributes: Mapping[str, Any] | None,
    keys: ChunkKeys,
) -> ArrayMetadata:
    if order not in (None, "C", "F"):
        raise MetadataError(f"order must be C or F, not {order!r}", field="order")
    if len(packed) > 1:
        raise MetadataError("Zarr 2 has one compressor; others are filters", field="compressor")
    last = packed[0] if packed else None
    return ArrayMetadata(
        2,
        shape,
        data_type,
        chunks,
        keys,
        fill,
        codecs_v2(len(shape), order or "C", tuple(before), last, data_type.is_object),
        dict(attributes or {}),
        None,
        order or "C",
        tuple(before) or None,
        last,
    )


def _type_v2(dtype: Any, before: list[CodecConfig]) -> tuple[DataType, list[CodecConfig]]:
    """The data type, and the filters with the one first that makes bytes of objects where it is not there."""
    first = before[0].to_v2()["id"] if before else None
    data_type = from_numpy(dtype, 2, None if first is None else str(first))
    if data_type.is_object and first not in OBJECT_CODECS:
        before = [CodecConfig(f"numcodecs.{_OBJECTS[data_type.name]}"), *before]
    return data_type, before


_OBJECTS = {"string": "vlen-utf8", "bytes": "vlen-bytes"}
"""What makes bytes of elements of no fixed size."""


def _serializer(data_type: DataType, before: Sequence[CodecConfig]) -> CodecConfig:
    """The array-to-bytes codec of format 3: `bytes` says the byte order where elements have one, or may have it."""
    if data_type.is_object:
        return CodecConfig(_OBJECTS[data_type.name])
    if any(codec.name not in ("reshape", "transpose", "zarrs.squeeze") for codec in before):
        return BytesCodec("little").to_config()
    little = plain(data_type.wire).newbyteorder("<")
    return BytesCodec(None if little == little.newbyteorder(">") else "little").to_config()


def check_format(zarr_format: Any) -> int:
    if type(zarr_format) is not int or zarr_format not in (2, 3):
        raise MetadataError(f"zarr_format must be 2 or 3, not {zarr_format!r}", field="zarr_format")
    return zarr_format


def sizes(value: Any, field: str, least: int) -> tuple[int, ...]:
    """A shape from one integer or several, as documents may have it. Raises MetadataError for anything else."""
    try:
        listed = tuple(value)
    except TypeError:
        listed = (value,)
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least for n in listed):
        raise MetadataError(f"{value!r} is not a list of sizes of at least {least}", field=field)
    found: list[Any] = [int(n) for n in listed]
    return readable(found, field) if least >= 0 else tuple(found)


Shape = tuple[int, ...]


def _chunks(shape: Shape, data_type: DataType, chunks: Any, shards: Any) -> tuple[Grid, Shape | None, str]:
    """The grid of the keys' chunks, the shape of inner chunks if there are shards, and where the shards' index is."""
    location = "end"
    if isinstance(shards, Mapping):
        location, shards = shards.get("index_location", "end"), shards.get("shape", ())
    if chunks is None or chunks is True or (isinstance(chunks, str) and chunks == AUTO):
        inner = auto_chunks(shape, data_type.dtype.itemsize)
    elif chunks is False:
        inner = tuple(max(1, n) for n in shape)
    elif _is_rectilinear(chunks):
        if shards is not None:
            what = "chunks in shards have one shape; shards may have several: shards=[[8, 16], ...]"
            raise MetadataError(what, field="chunks")
        return _rectilinear(chunks, shape, "chunks"), None, location
    else:
        inner = sizes(chunks, "chunks", -1)
        inner = inner * len(shape) if isinstance(chunks, (int, np.integer)) else inner
        if len(inner) != len(shape):
            raise MetadataError(f"chunks {inner} for {len(shape)} axes", field="chunks")
        inner = tuple(max(1, n) if c == -1 else c for c, n in zip(inner, shape, strict=True))
        if 0 in inner:
            raise MetadataError("a chunk has at least one element along each axis", field="chunks")
    if shards is None:
        return inner, None, location
    if isinstance(shards, str) and shards == AUTO:
        shards = tuple(c * max(1, min(8, -(-n // c))) for c, n in zip(inner, shape, strict=True))
    if _is_rectilinear(shards):
        return _rectilinear(shards, shape, "shards"), inner, location
    outer = sizes(shards, "shards", 1)
    if len(outer) != len(inner) or any(o % i for o, i in zip(outer, inner, strict=True)):
        raise MetadataError(f"chunks {inner} do not divide shards {outer}", field="shards")
    return outer, inner, location


def _is_rectilinear(chunks: Any) -> bool:
    """Whether chunks of several lengths are asked for: a list of them for an axis at least."""
    return not isinstance(chunks, str) and hasattr(chunks, "__iter__") and any(
        isinstance(axis, Runs | list | tuple) or getattr(axis, "ndim", 0) > 0 for axis in chunks
    )


def _rectilinear(given: Any, shape: Shape, field: str) -> Grid:
    """The grid for a list of each axis' chunks: a length, or a list of lengths and of pairs `[length, count]`."""
    axes = list(given)
    if len(axes) != len(shape):
        raise MetadataError(f"{field} for {len(axes)} axes of {len(shape)}", field=field)
    return tuple(_edge(axis, n, field) for axis, n in zip(axes, shape, strict=True))


def _edge(axis: Any, n: int, field: str) -> Edge:
    if isinstance(axis, Runs):
        edge = axis
    elif hasattr(axis, "__iter__"):
        edge = Runs.of(run_lengths([_plain_size(item) for item in axis], field))
        if n and edge.size != n:
            raise MetadataError(f"{field} of {edge.size} elements in all along an axis of {n}", field=field)
    else:
        (whole,) = sizes(axis, field, -1)
        whole = max(1, n) if whole == -1 else whole
        if whole < 1:
            raise MetadataError("a chunk has at least one element along each axis", field=field)
        return whole
    if edge.size < n or not edge.runs:
        raise MetadataError(f"{field} of {edge.size} elements in all along an axis of {n}", field=field)
    return edge


def _plain_size(item: Any) -> Any:
    """A length, or a pair of a length and a count, as JSON has it."""
    if isinstance(item, np.integer):
        return int(item)
    return [_plain_size(number) for number in item] if hasattr(item, "__iter__") else item


def auto_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of at most a mebibyte, halved along the longest axis until they are.

    >>> auto_chunks((512, 512, 512), 2)
    (64, 64, 128)
    """
    chunks = [max(1, n) for n in shape]
    while math.prod(chunks) * max(1, itemsize) > CHUNK_BYTES and max(chunks) > 1:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return tuple(chunks)


def _keys(encoding: Any, zarr_format: int) -> ChunkKeys:
    """A chunk key encoding from a dict, a separator, or nothing."""
    name, default = ("default", "/") if zarr_format == 3 else ("v2", ".")
    if encoding is None:
        return ChunkKeys(name, default)
    if isinstance(encoding, str):
        encoding = {"name": name, "separator": encoding}
    if not isinstance(encoding, Mapping):
        encoding = encoding.to_dict() if hasattr(encoding, "to_dict") else {"name": encoding}
    found = {"name": name, **encoding.get("configuration", {}), **encoding}
    separator = found.get("separator", "/" if found["name"] == "default" else ".")
    known = ("v2",) if zarr_format == 2 else ("default", "v2")
    if found["name"] not in known or separator not in ("/", "."):
        raise MetadataError(f"not a chunk key encoding: {encoding!r}", field="chunk_key_encoding")
    return ChunkKeys(found["name"], separator)


def _names(names: Any, ndim: int, path: str) -> tuple[str | None, ...]:
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not listed or len(names) != ndim or any(not isinstance(n, str | None) for n in names):
        raise MetadataError(f"{names!r} are not names for {ndim} axes", path=path, field="dimension_names")
    return tuple(names)


def _listed(codecs: Any) -> list[Any]:
    if codecs is None:
        return []
    return list(codecs) if isinstance(codecs, (list, tuple)) else [codecs]


def _config(codec: Any, data_type: DataType) -> CodecConfig:
    """A codec's configuration from whatever names it: a name, a dict, a codec of gpuzarr, zarr or numcodecs.

    What a document must spell out (Blosc's shuffle and typesize) is completed from the data type.
    """
    config = _as_config(codec)
    made = make(config)
    if isinstance(made, BloscCodec):
        if made.typesize is None or "shuffle" not in config.configuration or made.shuffle is None:
            from gpuzarr.codecs.base import Wire

            shuffle = made.shuffle if "shuffle" in config.configuration else None
            made = BloscCodec(made.cname, made.clevel, shuffle, made.typesize, made.blocksize)
            made = made.bind(Wire(np.dtype(np.uint8) if data_type.is_object else data_type.dtype, 0))
        return made.to_config()
    if isinstance(made, ObjectCodec) and made.name not in _OBJECTS.values():
        raise UnsupportedError(f"only Zarr 2 has a codec {made.name!r}", feature=f"codec {made.name} in format 3")
    return made.to_config()


def _as_config(codec: Any) -> CodecConfig:
    if isinstance(codec, CodecConfig):
        return codec
    if isinstance(codec, str):
        return CodecConfig(codec, {})
    if hasattr(codec, "to_config"):
        config: CodecConfig = codec.to_config()
        return config
    if not isinstance(codec, Mapping):
        asks = getattr(codec, "to_dict", None) or getattr(codec, "get_config", None)
        if asks is None:
            raise MetadataError(f"not a codec: {codec!r}", field="codecs")
        # zarr-python's codecs have a placeholder where they were given nothing
        unset = getattr(codec, "_tunable_attrs", ())
        codec = asks()
        if unset:
            codec = {**codec, "configuration": {k: v for k, v in codec["configuration"].items() if k not in unset}}
    codec = _plain(codec)
    if "id" in codec:
        return _from_v2(codec)
    if not isinstance(codec.get("name"), str):
        raise MetadataError(f"not a codec: {codec!r}", field="codecs")
    return CodecConfig(codec["name"], dict(codec.get("configuration") or {}))


def _plain(value: Any) -> Any:
    """What another package calls a configuration, as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _from_v2(config: dict[str, Any]) -> CodecConfig:
    """A numcodecs configuration under the name documents of format 3 have for it, where there is one."""
    name = config.pop("id")
    known = name in ("zstd", "gzip", "blosc") or (name == "crc32c" and not config)
    return CodecConfig(name if known else f"numcodecs.{name}", config)


def _config_v2(codec: Any, allow_pickle: bool) -> CodecConfig:
    """The same for format 2: numcodecs' id and configuration."""
    config = _as_config({"id": codec} if isinstance(codec, str) else codec)
    made = make(config, allow_pickle)
    if isinstance(made, BloscCodec):
        shuffles = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
        shuffle = shuffles.get(made.shuffle or "", 1 if "shuffle" not in config.configuration else -1)
        values: dict[str, Any] = {"cname": made.cname, "clevel": made.clevel, "shuffle": shuffle}
        return CodecConfig("numcodecs.blosc", {**values, "blocksize": made.blocksize})
    done = made.to_config()
    members = dict(done.configuration)
    if done.name == "zstd" and not members.get("checksum"):
        members.pop("checksum", None)  # tensorstore refuses the member in format 2
    if done.name in ("bytes", "transpose", "sharding_indexed"):
        raise MetadataError(f"Zarr 2 has no codec {done.name!r}", field="compressor")
    return CodecConfig(f"numcodecs.{done.name.removeprefix('numcodecs.')}", members)
