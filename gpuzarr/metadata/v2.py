"""Zarr 2: `.zarray`, `.zgroup`, `.zattrs` and `.zmetadata` to the model.

The rule: unknown members are kept and not looked at, as the specification of Zarr 2 has it; the pipeline
becomes a codec chain of format 3, so that nothing past this room knows of formats.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpuzarr.dtypes import JSON, from_v2, parse_fill
from gpuzarr.grid import ChunkKeys
from gpuzarr.metadata.consolidated import Consolidated
from gpuzarr.metadata.forms import bad, load, located, member, object_of, sizes
from gpuzarr.metadata.grids import chunk_shape
from gpuzarr.metadata.model import ArrayMetadata, CodecConfig, GroupMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "array_of",
    "codecs_v2",
    "consolidated_of",
    "group_of",
    "parse_array_v2",
    "parse_consolidated_v2",
    "parse_group_v2",
]

CACHED = 256 << 10
"""Bytes up to which documents are remembered."""

_KNOWN = frozenset(
    {
        "zarr_format",
        "shape",
        "chunks",
        "dtype",
        "compressor",
        "fill_value",
        "order",
        "filters",
        "dimension_separator",
    }
)
_KEYS = {".": ChunkKeys("v2", "."), "/": ChunkKeys("v2", "/")}


def parse_array_v2(zarray: bytes, zattrs: bytes | None, path: str = "") -> ArrayMetadata:
    """The array that `.zarray` and, where there is one, `.zattrs` describe.

    Zarr 2, section "Metadata"; `dimension_separator` is of its revision 2.1. Raises MetadataError where a
    document is malformed, UnsupportedError where it is not but can't be read.

    >>> text = b'{"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i2", "order": "C", '
    >>> text += b'"fill_value": 7, "filters": null, "compressor": {"id": "zlib"}}'
    >>> array = parse_array_v2(text, None)
    >>> array.fill_value, [codec.name for codec in array.codecs]
    (np.int16(7), ['bytes', 'numcodecs.zlib'])
    """
    small = len(zarray) + len(zattrs or b"") < CACHED
    return located(path, _array_cached if small else _array, zarray, zattrs)


def _array(zarray: bytes, zattrs: bytes | None) -> ArrayMetadata:
    attributes = {} if zattrs is None else _attributes(zattrs)
    return array_of(load(zarray, ".zarray"), attributes)


_array_cached = lru_cache(maxsize=512)(_array)


def _attributes(zattrs: bytes) -> dict[str, JSON]:
    return load(zattrs, ".zattrs", repeats=True)


def array_of(document: dict[str, JSON], attributes: dict[str, JSON]) -> ArrayMetadata:
    """The same of the objects that the documents hold; nothing is remembered, and errors name no node."""
    _format(document)
    filters, compressor = _filters(member(document, "filters")), member(document, "compressor")
    last = None if compressor is None else _codec(compressor, "compressor")
    first = (filters or ((last,) if last else ()))[:1]
    data_type = from_v2(member(document, "dtype"), "", str(first[0].to_v2()["id"]) if first else None)
    shape = sizes(member(document, "shape"), "shape")
    chunks = chunk_shape(member(document, "chunks"), shape, data_type.dtype.itemsize, "chunks")
    order, separator = member(document, "order"), document.get("dimension_separator", ".")
    if order not in ("C", "F"):
        bad(f"{order!r:.100} is neither 'C' nor 'F'", "order")
    if not isinstance(separator, str) or separator not in _KEYS:
        bad(f"{separator!r:.100} is neither '.' nor '/'", "dimension_separator")
    return ArrayMetadata(
        zarr_format=2,
        shape=shape,
        data_type=data_type,
        chunks=chunks,
        keys=_KEYS[separator],
        fill_value=parse_fill(member(document, "fill_value"), data_type, 2, ""),
        codecs=codecs_v2(len(shape), str(order), filters, last, data_type.is_object),
        attributes=attributes,
        order=str(order),
        filters=filters,
        compressor=last,
        extra={name: document[name] for name in document.keys() - _KNOWN},
    )


def _format(document: Mapping[str, JSON]) -> None:
    found = member(document, "zarr_format")
    if type(found) is not int or found != 2:
        bad(f"zarr_format is {found!r:.100}, not 2", "zarr_format")


def _filters(value: JSON) -> tuple[CodecConfig, ...] | None:
    if value is None:
        return None
    if type(value) is not list:
        bad("filters is neither null nor a list", "filters")
    return tuple([_codec(item, "filters") for item in value])


def _codec(value: JSON, field: str) -> CodecConfig:
    found = object_of(value, field, "a codec")
    name = found.get("id")
    if type(name) is not str or not name:
        bad("a codec has no id", field)
    return CodecConfig(f"numcodecs.{name}", {k: v for k, v in found.items() if k != "id"})


def codecs_v2(
    ndim: int,
    order: str,
    filters: tuple[CodecConfig, ...] | None,
    compressor: CodecConfig | None,
    objects: bool = False,
) -> tuple[CodecConfig, ...]:
    """The pipeline of format 2 as a codec chain: the order as a transpose, bytes, filters, compressor.

    `bytes` has no `endian` here: the byte order is that of the data type's `wire`. It is not there for `objects`,
    which the first filter makes bytes of.

    >>> [codec.name for codec in codecs_v2(2, "F", None, CodecConfig("numcodecs.lz4"))]
    ['transpose', 'bytes', 'numcodecs.lz4']
    """
    axes: list[JSON] = list(range(ndim))[::-1]  # type: ignore[assignment]  # lists are invariant
    turned = (CodecConfig("transpose", {"order": axes}),) if order == "F" and ndim > 1 else ()
    serializer = () if objects else (CodecConfig("bytes"),)
    return (*turned, *serializer, *(filters or ()), *(() if compressor is None else (compressor,)))


def parse_group_v2(zgroup: bytes, zattrs: bytes | None, path: str = "") -> GroupMetadata:
    """The group that `.zgroup` and, where there is one, `.zattrs` describe.

    >>> parse_group_v2(b'{"zarr_format": 2}', b'{"a": 1}').attributes
    {'a': 1}
    """
    small = len(zgroup) + len(zattrs or b"") < CACHED
    return located(path, _group_cached if small else _group, zgroup, zattrs)


def _group(zgroup: bytes, zattrs: bytes | None) -> GroupMetadata:
    attributes = {} if zattrs is None else _attributes(zattrs)
    return group_of(load(zgroup, ".zgroup"), attributes)


_group_cached = lru_cache(maxsize=512)(_group)


def group_of(document: dict[str, JSON], attributes: dict[str, JSON]) -> GroupMetadata:
    """The same of the objects that the documents hold; nothing is remembered, and errors name no node."""
    _format(document)
    # Zarr-Python 3 puts its own consolidated_metadata into the .zgroup entries of .zmetadata
    extra = {name: document[name] for name in document.keys() - {"zarr_format", "consolidated_metadata"}}
    return GroupMetadata(2, attributes, extra=extra)


def parse_consolidated_v2(zmetadata: bytes, path: str = "") -> Mapping[str, ArrayMetadata | GroupMetadata]:
    """The members that `.zmetadata` lists, by path relative to the group; the group itself is left out.

    A convention of Zarr-Python 2 (`consolidate_metadata`). Members are parsed when they are looked up.

    >>> text = b'{"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 2}, '
    >>> text += b'"a/.zgroup": {"zarr_format": 2}, "a/.zattrs": {"b": 1}}}'
    >>> parse_consolidated_v2(text)["a"].attributes
    {'b': 1}
    """
    return located(path, _consolidated_cached if len(zmetadata) < CACHED else _consolidated, zmetadata)


def _consolidated(zmetadata: bytes) -> Mapping[str, ArrayMetadata | GroupMetadata]:
    return consolidated_of(load(zmetadata, ".zmetadata"))


def consolidated_of(document: dict[str, JSON]) -> Consolidated[ArrayMetadata | GroupMetadata]:
    """The same of the object that `.zmetadata` holds."""
    found = member(document, "zarr_consolidated_format")
    if type(found) is not int or found != 1:
        bad(f"zarr_consolidated_format is {found!r:.100}, not 1", "zarr_consolidated_format")
    raw: dict[str, dict[str, JSON]] = {}
    for key, value in object_of(member(document, "metadata"), "metadata", "metadata").items():
        path, _, name = key.rpartition("/")
        # NetCDF-C lists documents of its own too
        if key != name and name in (".zarray", ".zgroup", ".zattrs"):
            raw.setdefault(path, {})[name] = value
    # attributes of what is neither array nor group describe nothing
    return Consolidated({p: d for p, d in raw.items() if d.keys() != {".zattrs"}}, _member)


_consolidated_cached = lru_cache(maxsize=64)(_consolidated)


def _member(objects: dict[str, JSON]) -> ArrayMetadata | GroupMetadata:
    attributes = objects.get(".zattrs", {})
    if not isinstance(attributes, dict):
        bad(".zattrs is not an object", "attributes")
    if ".zarray" in objects and ".zgroup" in objects:
        bad("both an array and a group")
    if ".zarray" in objects:
        return array_of(object_of(objects[".zarray"], None, ".zarray"), attributes)
    return group_of(object_of(objects[".zgroup"], None, ".zgroup"), attributes)
