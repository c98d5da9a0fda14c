"""Zarr 3: `zarr.json` to the model.

The rule: every member that the specification names is checked, and any other fails unless it says that it
need not be understood. Short-hand names are read; they are never written.
"""

from __future__ import annotations

from functools import lru_cache

from gpuzarr.dtypes import JSON, from_v3, parse_fill
from gpuzarr.edges import Grid
from gpuzarr.errors import UnsupportedError
from gpuzarr.grid import ChunkKeys
from gpuzarr.metadata.chains import completed
from gpuzarr.metadata.consolidated import Consolidated
from gpuzarr.metadata.forms import bad, extras, load, located, member, object_of, sizes
from gpuzarr.metadata.grids import chunk_shape, chunk_shapes
from gpuzarr.metadata.model import ArrayMetadata, GroupMetadata, codec_list, packed
from gpuzarr.repairs import repaired

__all__ = ["node_of", "parse_v3"]

CACHED = 256 << 10
"""Bytes up to which documents are remembered."""

_COMMON = {"zarr_format", "node_type", "attributes"}
_GROUP = frozenset({*_COMMON, "consolidated_metadata"})
_ARRAY = frozenset(
    {
        *_COMMON,
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "storage_transformers",
        "dimension_names",
    }
)
_EXTENSION = frozenset({"name", "configuration", "must_understand"})
_SEPARATOR = {"default": "/", "v2": "."}
_CHUNK_SHAPE = frozenset({"chunk_shape"})
_CHUNK_SHAPES = frozenset({"kind", "chunk_shapes"})


def parse_v3(document: bytes, path: str = "") -> ArrayMetadata | GroupMetadata:
    """The array or group that a `zarr.json` describes.

    Zarr 3.1 core, sections "Array metadata" and "Group metadata". Raises MetadataError where the document is
    malformed, UnsupportedError where it is not but can't be read.

    >>> parse_v3(b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}').attributes
    {'a': 1}
    """
    return located(path, _node_cached if len(document) < CACHED else _node, document)


def _node(document: bytes) -> ArrayMetadata | GroupMetadata:
    return node_of(load(document, "zarr.json"))


_node_cached = lru_cache(maxsize=512)(_node)


def node_of(document: dict[str, JSON]) -> ArrayMetadata | GroupMetadata:
    """The same of the object that a `zarr.json` holds; nothing is remembered, and errors name no node."""
    found = member(document, "zarr_format")
    if type(found) is not int or found != 3:
        bad(f"zarr_format is {found!r:.100}, not 3", "zarr_format")
    kind = member(document, "node_type")
    attributes = document.get("attributes", {})
    if not isinstance(attributes, dict):
        bad("attributes is not an object", "attributes")
    if kind != "array" and kind != "group":
        bad(f"{kind!r:.100} is neither 'array' nor 'group'", "node_type")
    return _array(document, attributes) if kind == "array" else _group(document, attributes)


def _array(document: dict[str, JSON], attributes: dict[str, JSON]) -> ArrayMetadata:
    extra = extras(document, _ARRAY) if not document.keys() <= _ARRAY else {}
    data_type = from_v3(member(document, "data_type"), "")
    shape = sizes(member(document, "shape"), "shape")
    if document.get("storage_transformers", []) != []:
        _refuse_transformers(document["storage_transformers"])
    codecs = completed(codec_list(member(document, "codecs")), data_type, len(shape), repaired)
    return ArrayMetadata(
        zarr_format=3,
        shape=shape,
        data_type=data_type,
        chunks=_grid(member(document, "chunk_grid"), shape, data_type.dtype.itemsize),
        keys=_chunk_keys(member(document, "chunk_key_encoding")),
        fill_value=parse_fill(member(document, "fill_value"), packed(data_type, codecs), 3, ""),
        codecs=codecs,
        attributes=attributes,
        dimension_names=_dimension_names(document, len(shape)),
        extra=extra,
    )


def _refuse_transformers(value: JSON) -> None:
    if not isinstance(value, list):
        bad("storage_transformers is not a list", "storage_transformers")
    raise UnsupportedError("no storage transformer is known", feature="storage transformers")


def _extension(value: JSON, field: str) -> tuple[str, dict[str, JSON]]:
    """Name and configuration at an extension point (Zarr 3.1 core, section "Extension definition")."""
    if type(value) is str:
        return value, {}
    found = object_of(value, field, field)
    name = found.get("name")
    if type(name) is not str:
        bad("not an object with a name", field)
    if not found.keys() <= _EXTENSION:
        extras(found, _EXTENSION, field)
    if found.get("must_understand", True) is not True:
        bad("must be understood, and says that it need not be", field)
    return name, object_of(found.get("configuration", {}), field, "configuration")


def _grid(value: JSON, shape: tuple[int, ...], itemsize: int) -> Grid:
    name, configuration = _extension(value, "chunk_grid")
    if name == "rectilinear":
        if configuration.keys() != _CHUNK_SHAPES:
            extras(configuration, _CHUNK_SHAPES, "chunk_grid")
        if configuration.get("kind") != "inline":
            bad(f"the kind of a rectilinear grid is {configuration.get('kind')!r:.100}, not 'inline'", "chunk_grid")
        return chunk_shapes(configuration.get("chunk_shapes"), shape, itemsize, "chunk_grid")
    if name != "regular":
        bad(f"unknown chunk grid {name!r:.100}", "chunk_grid")
    if configuration.keys() != _CHUNK_SHAPE:
        extras(configuration, _CHUNK_SHAPE, "chunk_grid")
    chunks = configuration.get("chunk_shape")
    # Zarr-Python 3.2.0 and 3.2.1 wrote rectilinear grids under this name
    if isinstance(chunks, list) and any(isinstance(c, list) for c in chunks):
        repaired("grid-name", "chunk_grid")
        return chunk_shapes(chunks, shape, itemsize, "chunk_grid")
    return chunk_shape(chunks, shape, itemsize, "chunk_grid")


@lru_cache(maxsize=4)
def _keys(name: str, separator: str) -> ChunkKeys:
    return ChunkKeys(name, separator)


def _chunk_keys(value: JSON) -> ChunkKeys:
    name, configuration = _extension(value, "chunk_key_encoding")
    if name not in _SEPARATOR:
        bad(f"unknown chunk key encoding {name!r:.100}", "chunk_key_encoding")
    if configuration.keys() - {"separator"}:
        extras(configuration, frozenset({"separator"}), "chunk_key_encoding")
    separator = configuration.get("separator", _SEPARATOR[name])
    if separator != "/" and separator != ".":
        bad(f"separator {separator!r:.100} is neither '/' nor '.'", "chunk_key_encoding")
    return _keys(name, separator)


def _dimension_names(document: dict[str, JSON], ndim: int) -> tuple[str | None, ...] | None:
    if "dimension_names" not in document:
        return None
    value = document["dimension_names"]
    if value is None:
        repaired("null-dimension-names", "dimension_names")
        return None
    if not isinstance(value, list) or len(value) != ndim:
        bad(f"not a list of {ndim} names", "dimension_names")
    names = tuple([v for v in value if v is None or isinstance(v, str)])
    if len(names) != ndim:
        bad("a name is a string or null", "dimension_names")
    return names


def _group(document: dict[str, JSON], attributes: dict[str, JSON]) -> GroupMetadata:
    extra = extras(document, _GROUP) if not document.keys() <= _GROUP else {}
    value = document.get("consolidated_metadata")
    if value is None:
        if "consolidated_metadata" in document:
            repaired("null-consolidated", "consolidated_metadata")
        return GroupMetadata(3, attributes, None, extra)
    return GroupMetadata(3, attributes, _consolidated(value), extra)


def _consolidated(value: JSON) -> Consolidated[ArrayMetadata | GroupMetadata]:
    """Zarr 3.1 core, section "Consolidated metadata"; paths are relative to the group that has it."""
    field = "consolidated_metadata"
    found = object_of(value, field, field)
    if found.get("kind") != "inline" or not isinstance(found.get("must_understand", False), bool):
        bad("only inline consolidated metadata is known", field)
    raw: dict[str, dict[str, JSON]] = {}
    waiting: list[tuple[str, JSON]] = [("", member(found, "metadata"))]
    while waiting:
        above, metadata = waiting.pop()
        for path, document in object_of(metadata, field, "metadata").items():
            document = object_of(document, field, f"the document of {path!r:.100}")
            raw.setdefault(above + path, {"zarr.json": document})
            inner = document.get("consolidated_metadata")
            # a group may have been consolidated before: what is listed here of its members counts
            if isinstance(inner, dict) and inner.get("metadata"):
                waiting.append((f"{above}{path}/", inner["metadata"]))
    return Consolidated(raw, _member)


def _member(objects: dict[str, JSON]) -> ArrayMetadata | GroupMetadata:
    return node_of(object_of(objects["zarr.json"], None, "zarr.json"))
