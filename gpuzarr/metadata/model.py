"""One model of an array's or a group's metadata, whichever format it is stored in.

The rule: values only, never a store; what is written is what the specification allows, with its defaults
spelled out, because some readers refuse short forms and differ about defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from gpuzarr.dtypes import JSON, DataType, encode_fill, same_fill
from gpuzarr.edges import Grid, as_json, is_regular, lengths_within
from gpuzarr.metadata.consolidated import Consolidated
from gpuzarr.metadata.forms import bad, dump
from gpuzarr.repairs import repaired

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuzarr.grid import ChunkKeys

__all__ = ["ArrayMetadata", "CodecConfig", "GroupMetadata", "codec_list", "explicit", "is_big", "object_form", "packed"]

Documents: TypeAlias = dict[str, dict[str, JSON]]


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """A codec's name and configuration, as a document has them; not to be changed.

    Codecs of format 2 are named `numcodecs.<id>`, their other members being the configuration.
    """

    name: str
    configuration: dict[str, JSON] = field(default_factory=dict)

    def to_v3(self) -> dict[str, JSON]:
        """The object form; without a `configuration` where there is nothing in it, but for codecs of numcodecs."""
        return object_form(explicit(self))

    def to_v2(self) -> dict[str, JSON]:
        return {"id": self.name.removeprefix("numcodecs."), **self.configuration}


def explicit(codec: CodecConfig) -> CodecConfig:
    """The same codec with those defaults spelled out that readers differ about, inside shards too.

    >>> explicit(CodecConfig("zstd", {"level": 3})).configuration
    {'level': 3, 'checksum': False}
    """
    if codec.name == "zstd" and "checksum" not in codec.configuration:
        return CodecConfig("zstd", {**codec.configuration, "checksum": False})
    if codec.name != "sharding_indexed":
        return codec
    whole: dict[str, JSON] = {"index_location": "end", **codec.configuration}
    for name in ("codecs", "index_codecs"):
        if name in whole:
            # What codec_list gives is explicit: making it so again would double the work at every level of shards.
            whole[name] = [object_form(inner) for inner in codec_list(whole[name])]
    return CodecConfig(codec.name, whole)


def object_form(codec: CodecConfig) -> dict[str, JSON]:
    """A codec as a document has it, of the configuration that it has."""
    named: dict[str, JSON] = {"name": codec.name}
    # Zarr-Python wants the member for its own names, even if nothing is in it
    if codec.configuration or codec.name.startswith("numcodecs."):
        return {**named, "configuration": codec.configuration}
    return named


_CODEC_MEMBERS = frozenset({"name", "configuration", "must_understand"})


def codec_list(value: JSON) -> tuple[CodecConfig, ...]:
    """A `codecs` member: a list of names or of objects with a name (Zarr 3.1 core, section "Codecs").

    Whether a codec is known, and what its configuration says, is not looked at, nor is `must_understand`:
    bytes can't be decoded by leaving a codec out.
    """
    if type(value) is not list:
        bad("codecs is not a list", "codecs")
    return tuple([_codec(v) for v in value])


def _codec(value: JSON) -> CodecConfig:
    if type(value) is dict and value.keys() <= _CODEC_MEMBERS:
        name, configuration = value.get("name"), value.get("configuration", {})
    else:
        name, configuration = value, {}
    must = value.get("must_understand", True) if type(value) is dict else True
    if type(name) is not str or not name or type(configuration) is not dict or type(must) is not bool:
        bad(f"{value!r:.100} is neither a codec's name nor an object with name and configuration", "codecs")
    if name == "endian":
        repaired("endian-codec", "codecs")
        name = "bytes"
    return explicit(CodecConfig(name, configuration))


def packed(data_type: DataType, codecs: tuple[CodecConfig, ...]) -> DataType:
    """The type with the byte order that its fill value is packed in.

    That is the one of the `bytes` codec (zarr-extensions, data type `structured`); other types have no packed fill.
    """
    if not isinstance(data_type.json, dict) or data_type.json.get("name") != "structured":
        return data_type
    return replace(data_type, wire=data_type.wire.newbyteorder(">")) if is_big(codecs) else data_type


def is_big(codecs: tuple[CodecConfig, ...]) -> bool:
    """Whether `bytes`, of the innermost chunks, asks for big-endian elements."""
    while inner := next((c for c in codecs if c.name == "sharding_indexed"), None):
        codecs = codec_list(inner.configuration.get("codecs", []))
    return any(c.name == "bytes" and c.configuration.get("endian") == "big" for c in codecs)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayMetadata:
    """All that the documents of an array say.

    `chunks` is the shape of what a chunk key holds: of a shard, where the array is sharded. Along an axis of a
    rectilinear grid it is no number, but `Runs` of them. `codecs` are those of format 3, which for an array of format
    2 are built from its order, filters and compressor.
    `fill_value` is a scalar of `data_type.dtype` (of types of no fixed size a Python object), or None where
    format 2 has null. `extra` are members that need not be understood; they are written back.
    """

    zarr_format: int
    shape: tuple[int, ...]
    data_type: DataType
    chunks: Grid
    keys: ChunkKeys
    fill_value: Any
    codecs: tuple[CodecConfig, ...]
    attributes: dict[str, JSON] = field(default_factory=dict)
    dimension_names: tuple[str | None, ...] | None = None
    order: str = "C"
    filters: tuple[CodecConfig, ...] | None = None
    compressor: CodecConfig | None = None
    extra: dict[str, JSON] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArrayMetadata):
            return NotImplemented
        names = (f.name for f in fields(self) if f.name != "fill_value")
        same = all(getattr(self, n) == getattr(other, n) for n in names)
        return same and same_fill(self.fill_value, other.fill_value, self.data_type)

    @property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest chunk within the array; of a regular grid that of all."""
        return tuple(lengths_within(n, edge)[-1] for n, edge in zip(self.shape, self.chunks, strict=True))

    def documents(self) -> dict[str, bytes]:
        """The array's documents by relative key: `zarr.json`, or `.zarray` and, with attributes, `.zattrs`.

        Raises MetadataError where the attributes hold what JSON has not.

        >>> from gpuzarr.dtypes import as_fill, from_v3
        >>> from gpuzarr.grid import ChunkKeys
        >>> kind = from_v3("uint8", "")
        >>> codecs = (CodecConfig("bytes"),)
        >>> array = ArrayMetadata(3, (4,), kind, (2,), ChunkKeys("default", "/"), as_fill(None, kind), codecs)
        >>> sorted(array.documents())
        ['zarr.json']
        """
        return {name: dump(value, name) for name, value in _array_objects(self).items()}


@dataclass(frozen=True, slots=True)
class GroupMetadata:
    """All that the documents of a group say; `consolidated` has members at every depth, by relative path."""

    zarr_format: int
    attributes: dict[str, JSON] = field(default_factory=dict)
    consolidated: Mapping[str, ArrayMetadata | GroupMetadata] | None = None
    extra: dict[str, JSON] = field(default_factory=dict)

    def documents(self) -> dict[str, bytes]:
        """The group's documents by relative key: `zarr.json`, or `.zgroup`, `.zattrs` and `.zmetadata`.

        >>> sorted(GroupMetadata(2, {"a": 1}).documents())
        ['.zattrs', '.zgroup']
        """
        return {name: dump(value, name) for name, value in _group_objects(self).items()}


def _array_objects(array: ArrayMetadata) -> Documents:
    return {"zarr.json": _array_v3(array)} if array.zarr_format == 3 else _array_v2(array)


def _array_v3(array: ArrayMetadata) -> dict[str, JSON]:
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": array.data_type.json,
        "chunk_grid": _grid_v3(array.chunks),
        "chunk_key_encoding": {"name": array.keys.name, "configuration": {"separator": array.keys.separator}},
        "fill_value": encode_fill(array.fill_value, packed(array.data_type, array.codecs), 3),
        "codecs": [codec.to_v3() for codec in array.codecs],
        "attributes": array.attributes,
    }
    if array.dimension_names is not None:
        document["dimension_names"] = list(array.dimension_names)
    return {**document, **array.extra}


def _grid_v3(chunks: Grid) -> dict[str, Any]:
    """A chunk grid (Zarr 3.1 core, section "Regular grids"; zarr-extensions, chunk grid `rectilinear`)."""
    if is_regular(chunks):
        return {"name": "regular", "configuration": {"chunk_shape": as_json(chunks)}}
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": as_json(chunks)}}


def _array_v2(array: ArrayMetadata) -> Documents:
    document: dict[str, Any] = {
        "zarr_format": 2,
        "shape": list(array.shape),
        "chunks": list(array.chunks),
        "dtype": array.data_type.json,
        "compressor": None if array.compressor is None else array.compressor.to_v2(),
        "fill_value": encode_fill(array.fill_value, array.data_type, 2),
        "order": array.order,
        "filters": None if array.filters is None else [codec.to_v2() for codec in array.filters],
        "dimension_separator": array.keys.separator,
        **array.extra,
    }
    return {".zarray": document, **({".zattrs": array.attributes} if array.attributes else {})}


def _group_objects(group: GroupMetadata) -> Documents:
    if group.zarr_format == 3:
        return {"zarr.json": _group_v3(group)}
    out: Documents = {".zgroup": {"zarr_format": 2, **group.extra}}
    if group.attributes:
        out[".zattrs"] = group.attributes
    if group.consolidated is None:
        return out
    listed: dict[str, Any] = dict(out)
    for path, objects in _members(group.consolidated).items():
        listed |= {f"{path}/{name}": value for name, value in objects.items()}
    out[".zmetadata"] = {"zarr_consolidated_format": 1, "metadata": listed}
    return out


def _group_v3(group: GroupMetadata) -> dict[str, JSON]:
    document: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": group.attributes}
    document |= group.extra
    if group.consolidated is not None:
        members = _members(group.consolidated)
        inline = {p: m["zarr.json"] for p, m in members.items()}
        document["consolidated_metadata"] = {"must_understand": False, "kind": "inline", "metadata": inline}
    return document


def _members(found: Mapping[str, ArrayMetadata | GroupMetadata]) -> dict[str, dict[str, Any]]:
    """What each member's documents hold: as the model says, or as they stood where they can't be read."""
    out: dict[str, dict[str, Any]] = {}
    for path in found:
        member = found.readable(path) if isinstance(found, Consolidated) else found[path]
        if member is None:
            out[path] = found.raw[path]  # type: ignore[attr-defined]  # a plain mapping has no such member
        elif isinstance(member, ArrayMetadata):
            out[path] = _array_objects(member)
        else:
            out[path] = _group_objects(member)
    return out
