"""Copies of arrays and groups: to another path, another store, the other format.

The rule: values are taken over as they are stored wherever both documents decode them alike; else elements are read
and written, in regions of whole chunks. A node's document is written after all that belongs to it, so that
a copy that was interrupted is not there, rather than there with chunks missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from gpuzarr import create, node
from gpuzarr.array import Array
from gpuzarr.binding import bind_array
from gpuzarr.codecs.foreign import FILTERS
from gpuzarr.codecs.n5 import is_only_read
from gpuzarr.dtypes import same_fill
from gpuzarr.edges import Edge
from gpuzarr.errors import MetadataError, StoreError, UnsupportedError
from gpuzarr.metadata import ArrayMetadata, CodecConfig, GroupMetadata
from gpuzarr.options import Options
from gpuzarr.ranges import ByteRange
from gpuzarr.store import Buffer, PartsWriter, Sized, Store, same_store

__all__ = ["CopyJob", "copy_node"]

REGION = 64 << 20
"""Bytes of elements up to which chunks are read and written together."""

STEP = 64 << 20
"""Bytes of a stored value above which it is copied in parts, where the store takes parts."""

NAMES = "_ARRAY_DIMENSIONS"
"""The attribute that has dimension names in format 2: a convention of xarray's, which NetCDF's Zarr shares."""

SHARED = frozenset({"blosc", "crc32c", "gzip", "zstd"})
"""Codecs that format 3 has under a name of its own and format 2 under numcodecs'."""


@dataclass(frozen=True, slots=True)
class CopyJob:
    """Where copies come from and go to, and how they are to be stored; `how` are arguments of `create_array`."""

    source: Store
    target: Store
    options: Options
    zarr_format: int
    how: Mapping[str, Any]


def copy_node(job: CopyJob, before: str, metadata: node.Metadata, after: str, overwrite: bool) -> node.Metadata:
    """Copy the node at a path of the source to a path of the target, with all below it; returns what it became.

    Raises NodeExistsError, MetadataError where one would lie within the other, UnsupportedError for what the other
    format has no name for.
    """
    if same_store(job.source, job.target):
        _require_apart(before, after, overwrite)
    if job.how and not isinstance(metadata, ArrayMetadata):
        raise MetadataError(f"{min(job.how)}= is for the copy of an array", path=before or "/")
    planned = list(_planned(job, before, metadata, after))
    node.require_absent(job.target, after, overwrite)
    node.make_groups(job.target, after, job.zarr_format)
    for old, source, new, target in planned:
        if isinstance(source, ArrayMetadata) and isinstance(target, ArrayMetadata):
            _copy_chunks(job, old, source, new, target)
        node.save(job.target, new, target)
    return planned[-1][3]


def _require_apart(before: str, after: str, overwrite: bool) -> None:
    """Refuse a copy into what is copied, and one that would begin by removing it."""
    if before == after or node.is_below(after, before):
        raise MetadataError("a node can't be copied into itself", path=before or "/")
    if overwrite and node.is_below(before, after):
        raise MetadataError("the copy would replace a group that its source is in", path=after or "/")


def _planned(
    job: CopyJob, before: str, metadata: node.Metadata, after: str
) -> Iterator[tuple[str, node.Metadata, str, node.Metadata]]:
    """What is copied and what it becomes, members before the groups they are in; nothing is written yet."""
    if isinstance(metadata, ArrayMetadata):
        yield before, metadata, after, _described(job, before, metadata)
        return
    for name, member in node.children(job.source, before, metadata.zarr_format):
        yield from _planned(job, node.join(before, name), member, node.join(after, name))
    same = metadata.zarr_format == job.zarr_format
    extra = metadata.extra if same else {}
    yield before, metadata, after, GroupMetadata(job.zarr_format, metadata.attributes, None, extra)


# ---- documents -----------------------------------------------------------------------------------------------


def _described(job: CopyJob, path: str, metadata: ArrayMetadata) -> ArrayMetadata:
    """The document of an array's copy."""
    unnamed = {"serializer": create.AUTO, "compressors": create.AUTO} if is_only_read(metadata.codecs) else {}
    how = {**unnamed, **job.how}
    if metadata.zarr_format == job.zarr_format and not how:
        return metadata
    array = Array(job.source, path, metadata, job.options)
    if metadata.zarr_format == job.zarr_format:
        arguments = _kept(array)
    else:
        arguments = _as_v3(array) if job.zarr_format == 3 else _as_v2(array)
    attributes, names = arguments["attributes"], arguments.get("dimension_names")
    described = create.describe(path, job.options.allow_pickle, **{**arguments, **how})
    if metadata.zarr_format == job.zarr_format:
        return replace(described, extra=metadata.extra)
    return replace(described, attributes=attributes, dimension_names=names)


def _kept(array: Array) -> dict[str, Any]:
    """The arguments with which `create_array` would make the array again."""
    metadata = array.metadata
    same: dict[str, Any] = {
        "shape": array.shape,
        "chunks": array._chunking.chunks,
        "fill_value": array.fill_value,
        "attributes": metadata.attributes,
        "filters": list(array.filters),
        "compressors": list(array.compressors),
        "zarr_format": metadata.zarr_format,
        "chunk_key_encoding": {"name": metadata.keys.name, "separator": metadata.keys.separator},
    }
    if metadata.zarr_format == 2:
        return {**same, "dtype": _dtype_v2(array), "order": metadata.order}
    same |= {"dtype": metadata.data_type.json, "serializer": array.serializer}
    return {**same, "shards": _shards(array), "dimension_names": metadata.dimension_names}


def _shards(array: Array) -> dict[str, Any] | None:
    if array._chunking.inner is None:
        return None
    outer = next(codec for codec in array.metadata.codecs if codec.name == "sharding_indexed")
    return {"shape": array._chunking.outer, "index_location": outer.configuration["index_location"]}


def _dtype_v2(array: Array) -> Any:
    return object if array.metadata.data_type.is_object else array.metadata.data_type.wire


def _as_v3(array: Array) -> dict[str, Any]:
    """An array of format 2 as arguments for one of format 3."""
    metadata = array.metadata
    filters, packed = _filters_v3(array)
    attributes: dict[str, Any] = dict(metadata.attributes)
    names = tuple(attributes.pop(NAMES)) if _are_names(attributes.get(NAMES), array.ndim) else None
    turned = array.metadata.order == "F" and array.ndim > 1
    axes: Any = list(range(array.ndim))[::-1]
    order = [CodecConfig("transpose", {"order": axes})] if turned else []
    arguments: dict[str, Any] = {
        "shape": array.shape,
        "dtype": _dtype_v3(array),
        "chunks": array.chunks,
        "filters": [*order, *filters],
        "compressors": [*packed, *(codec.to_v2() for codec in array.compressors)],
        "attributes": attributes,
        "dimension_names": names,
        "zarr_format": 3,
    }
    if array.fill_value is not None:
        arguments["fill_value"] = array.fill_value
    wire = metadata.data_type.wire
    if not metadata.data_type.is_object and wire.newbyteorder(">") == wire != wire.newbyteorder("<"):
        arguments["serializer"] = CodecConfig("bytes", {"endian": "big"})
    return arguments


def _are_names(value: Any, ndim: int) -> bool:
    return isinstance(value, list) and len(value) == ndim and all(isinstance(name, str) for name in value)


def _dtype_v3(array: Array) -> Any:
    data_type = array.metadata.data_type
    if not data_type.is_object:
        return data_type.dtype
    if data_type.name not in ("bytes", "string"):
        codec = array.filters[0].name.removeprefix("numcodecs.")
        raise UnsupportedError(f"format 3 has no objects by {codec}", feature=f"copy of {codec}", path=array.name)
    return data_type.name


def _filters_v3(array: Array) -> tuple[list[CodecConfig], list[dict[str, Any]]]:
    """Filters of format 2 as array-to-array codecs of format 3, and those that it has for bytes."""
    listed = array.filters[1:] if array.metadata.data_type.is_object else array.filters
    arrays = [codec for codec in listed if codec.name.removeprefix("numcodecs.") in FILTERS]
    if list(listed[: len(arrays)]) != arrays:
        raise _no_word(listed[0], 3, array)
    return arrays, [codec.to_v2() for codec in listed[len(arrays) :]]


def _as_v2(array: Array) -> dict[str, Any]:
    """An array of format 3 as arguments for one of format 2; shards become the chunks in them."""
    metadata = array.metadata
    filters, order = list(array.filters), "C"
    if filters and filters[0].configuration.get("order") == list(range(array.ndim))[::-1]:
        filters, order = filters[1:], "F"
    serializer = array.serializer
    big = serializer is not None and serializer.configuration.get("endian") == "big"
    if serializer is not None and serializer.name not in ("bytes", "vlen-bytes", "vlen-utf8"):
        raise _no_word(serializer, 2, array)
    objects = metadata.data_type.is_object
    first = [{"id": serializer.name}] if serializer is not None and objects else []
    after = [*filters, *array.compressors]
    for codec in after:
        if codec.name not in SHARED and not codec.name.startswith("numcodecs."):
            raise _no_word(codec, 2, array)
    after, last = (after[:-1], after[-1:]) if array.compressors else (after, [])
    attributes = dict(metadata.attributes)
    if metadata.dimension_names and all(isinstance(name, str) for name in metadata.dimension_names):
        attributes[NAMES] = list(metadata.dimension_names)
    return {
        "shape": array.shape,
        "dtype": object if objects else metadata.data_type.dtype.newbyteorder(">" if big else "<"),
        "chunks": array._chunking.chunks,
        "filters": [*first, *after],
        "compressors": last,
        "order": order,
        "fill_value": array.fill_value,
        "attributes": attributes,
        "zarr_format": 2,
    }


def _no_word(codec: CodecConfig, zarr_format: int, array: Array) -> UnsupportedError:
    what = f"format {zarr_format} has no codec {codec.name} in that place: name filters= and compressors= for the copy"
    return UnsupportedError(what, feature=f"copy of {codec.name}", path=array.name)


# ---- chunks --------------------------------------------------------------------------------------------------


def _copy_chunks(job: CopyJob, before: str, source: ArrayMetadata, after: str, target: ArrayMetadata) -> None:
    if source is target or _stored_alike(job, before, source, target):
        folder = node.join(before, "")
        for key in job.source.list(folder):
            coords = source.keys.coords(key[len(folder) :], len(source.shape))
            if coords is not None:
                _copy_value(job, key, node.join(after, target.keys.key(coords)))
        return
    old = Array(job.source, before, source, job.options)
    new = Array(job.target, after, target, job.options)
    for region in _regions(old, new):
        new.write(region, old.read(region))


def _stored_alike(job: CopyJob, path: str, source: ArrayMetadata, target: ArrayMetadata) -> bool:
    """Whether the same stored values are the same elements under both documents."""
    one = bind_array(source, path, job.options.allow_pickle)
    two = bind_array(target, path, job.options.allow_pickle)
    same = one.raw == two.raw and source.data_type.dtype == target.data_type.dtype and source.chunks == target.chunks
    return same and one.chain == two.chain and same_fill(one.fill, two.fill, target.data_type)


def _copy_value(job: CopyJob, key: str, target: str) -> None:
    size = job.source.size(key) if isinstance(job.source, Sized) else None
    if size is not None and size > STEP and isinstance(job.target, PartsWriter):
        parts = (_part(job.source, key, ByteRange(at, min(STEP, size - at))) for at in range(0, size, STEP))
        job.target.put_parts(target, parts)
        return
    job.target.put(target, _part(job.source, key, None))


def _part(store: Store, key: str, part: ByteRange | None) -> Buffer:
    value = store.get(key, part)
    if value is None:
        raise StoreError("the value was removed while it was copied", key=key)
    return value


def _regions(old: Array, new: Array) -> Iterator[tuple[slice, ...]]:
    """Regions that are the array: whole units of writing of the new one, as wide as the old ones if there is room."""
    least = new.metadata.largest
    edges = [n * max(1, -(-m // n)) for n, m in zip(least, old.metadata.largest, strict=True)]
    if math.prod(edges) * max(1, new.dtype.itemsize) > REGION:
        edges = list(least)
    for axis in reversed(range(new.ndim)):  # as many along the last axes as there is room for
        room = REGION // max(1, math.prod(edges) * new.dtype.itemsize)
        edges[axis] *= max(1, min(room, -(-new.shape[axis] // edges[axis])))
    yield from product(*map(_runs, new.shape, new.metadata.chunks, edges))


def _runs(n: int, edge: Edge, width: int) -> Iterator[slice]:
    """An axis of `n` elements in runs of whole chunks, of at most `width` elements (one chunk at least)."""
    at = 0
    while at < n:
        stop = max((at // edge + 1) * edge, (at + width) // edge * edge)
        yield slice(at, min(stop, n))
        at = stop
