"""What arrays and groups are, as tables and trees of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from gpuzarr import node
from gpuzarr.dtypes import encode_fill
from gpuzarr.edges import as_json
from gpuzarr.errors import GpuzarrError, MetadataError, NodeNotFoundError
from gpuzarr.metadata import ArrayMetadata, GroupMetadata
from gpuzarr.report.words import aligned, chain_text, count, printable, size

if TYPE_CHECKING:
    from gpuzarr.array import Array
    from gpuzarr.group import Group

__all__ = ["GroupInfo", "Info", "array_text", "is_array", "is_group", "members", "tree"]


@dataclass(frozen=True, slots=True, repr=False)
class Info:
    """A summary of an array that prints as a table.

    With `complete` it tells what is stored as well, for which the whole array's values are listed and sized.

    >>> import gpuzarr
    >>> print(Info(gpuzarr.zeros((4, 6), chunks=(2, 3), dtype="int16", store={})))
    Type        : Array
    Zarr format : 3
    Data type   : int16
    Shape       : (4, 6)
    Chunk shape : (2, 3)
    Chunks      : 4
    Fill value  : 0
    Order       : C
    Codecs      : bytes(endian=little)
                  zstd(level=0, checksum=False)
    Read-only   : False
    Store       : mapping://dict
    No. bytes   : 48 (48 B)
    """

    array: Array
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        a, metadata = self.array, self.array.metadata
        found: dict[str, Any] = {
            "type": "array",
            "zarr_format": a.zarr_format,
            "data_type": metadata.data_type.name,
            "shape": list(a.shape),
            "chunks": as_json(a._chunking.chunks),
            "shards": None if a._chunking.inner is None else as_json(a._chunking.outer),
            "nchunks": a.nchunks,
            "fill_value": encode_fill(metadata.fill_value, metadata.data_type, a.zarr_format),
            "order": a.order,
            "codecs": [codec.to_v3() for codec in metadata.codecs],
            "dimension_names": None if a.dimension_names is None else list(a.dimension_names),
            "read_only": a.read_only,
            "store": a.store.url,
            "path": a.path,
            "nbytes": a.nbytes,
        }
        if self.complete:
            stored = a.nbytes_stored()
            found |= {"nbytes_stored": stored, "storage_ratio": a.nbytes / stored if stored else None}
            found |= {"nchunks_initialized": a.nchunks_initialized}
        return found

    def __str__(self) -> str:
        return aligned(list(self._lines()), " : ")

    __repr__ = __str__

    def _lines(self) -> Iterator[tuple[str, str]]:
        a, found = self.array, self.to_dict()
        yield "Type", "Array"
        if a.path:
            yield "Name", printable(a.name)
        yield "Zarr format", str(a.zarr_format)
        yield "Data type", printable(found["data_type"])
        yield "Shape", str(a.shape)
        yield "Chunk shape", str(a._chunking.chunks)
        if a._chunking.inner is not None:
            yield "Shard shape", str(a._chunking.outer)
        yield "Chunks", f"{a.nchunks:,}"
        yield "Fill value", printable(a.fill_value)
        yield "Order", a.order
        if a.dimension_names is not None:
            yield "Dimensions", printable(", ".join("-" if n is None else n for n in a.dimension_names))
        yield "Codecs", chain_text(a.metadata.codecs)
        yield "Read-only", str(a.read_only)
        yield "Store", printable(a.store.url, 200)
        yield "No. bytes", f"{a.nbytes} ({size(a.nbytes)})"
        if self.complete:
            ratio = found["storage_ratio"]
            yield "No. bytes stored", f"{found['nbytes_stored']} ({size(found['nbytes_stored'])})"
            yield "Storage ratio", "-" if ratio is None else f"{ratio:.1f}"
            yield "Chunks initialized", f"{found['nchunks_initialized']:,} of {a.nchunks:,}"


@dataclass(frozen=True, slots=True, repr=False)
class GroupInfo:
    """A summary of a group that prints as a table.

    Members directly under it are counted where metadata is consolidated, or with `complete`, which lists the
    store.

    >>> import gpuzarr
    >>> print(GroupInfo(gpuzarr.create_group({})))
    Type        : Group
    Zarr format : 3
    Read-only   : False
    Store       : mapping://dict
    """

    group: Group
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        g = self.group
        found: dict[str, Any] = {"type": "group", "zarr_format": g.zarr_format, "read_only": g.read_only}
        found |= {"store": g.store.url, "path": g.path}
        if self.complete or g.metadata.consolidated is not None:
            below = [member for _, member in members(g)]
            errors = sum(isinstance(member, GpuzarrError) for member in below)
            groups = sum(is_group(member) for member in below)
            found |= {"arrays": len(below) - groups - errors, "groups": groups, "unreadable": errors}
        return found

    def __str__(self) -> str:
        found = self.to_dict()
        rows = [("Type", "Group")]
        rows += [("Name", printable(self.group.name))] if self.group.path else []
        rows += [("Zarr format", str(found["zarr_format"])), ("Read-only", str(found["read_only"]))]
        rows += [("Store", printable(found["store"], 200))]
        if "arrays" in found:
            counts = [count(found["arrays"], "array"), count(found["groups"], "group")]
            counts += [f"{found['unreadable']} unreadable"] if found["unreadable"] else []
            rows += [("Members", ", ".join(counts))]
        return aligned(rows, " : ")

    __repr__ = __str__


def members(group: Group) -> Iterator[tuple[str, Array | Group | GpuzarrError]]:
    """The members directly under a group with their names, sorted; the error for one that can't be opened."""
    known = group.metadata.consolidated
    names = group.store.list_dir(group.path) if known is None else sorted(n for n in known if "/" not in n)
    for name in names:
        if not _is_name(name):
            continue
        try:
            yield name, group[name]
        except NodeNotFoundError:
            continue  # a folder that is no node
        except GpuzarrError as error:
            yield name, error


def _is_name(name: str) -> bool:
    try:
        return node.normalize(name) == name
    except MetadataError:
        return False


def is_group(member: Array | Group | GpuzarrError) -> TypeGuard[Group]:
    """Whether it is a group; the class is not imported, because groups import this."""
    return isinstance(getattr(member, "metadata", None), GroupMetadata)


def is_array(member: Array | Group | GpuzarrError) -> TypeGuard[Array]:
    """Whether it is an array."""
    return isinstance(getattr(member, "metadata", None), ArrayMetadata)


def array_text(array: Array) -> str:
    """An array in a word or two.

    >>> import gpuzarr
    >>> array_text(gpuzarr.zeros((4, 6), dtype="int16"))
    '(4, 6) int16'
    """
    return printable(f"{array.shape} {array.metadata.data_type.name}")


def tree(group: Group, depth: int | None = None) -> str:
    """The hierarchy below a group, down to `depth` levels (None: all).

    Members that can't be opened are there with the reason. Without consolidated metadata the store is listed.

    >>> import gpuzarr
    >>> g = gpuzarr.create_group({})
    >>> a = g.create_array("raw/image", shape=(4, 4), dtype="uint8")
    >>> print(tree(g))
    /
    └── raw
        └── image (4, 4) uint8
    """
    return "\n".join([printable(group.name), *_branches(group, "", depth)])


def _branches(group: Group, margin: str, depth: int | None) -> Iterator[str]:
    if depth == 0:
        return
    below = list(members(group))
    for k, (name, member) in enumerate(below):
        last = k == len(below) - 1
        yield f"{margin}{'└' if last else '├'}── {printable(name)}{_what(member)}"
        if is_group(member):
            deeper = None if depth is None else depth - 1
            yield from _branches(member, margin + ("    " if last else "│   "), deeper)


def _what(member: Array | Group | GpuzarrError) -> str:
    if isinstance(member, GpuzarrError):
        return f" (unreadable: {printable(member.reason)})"
    return f" {array_text(member)}" if is_array(member) else ""
