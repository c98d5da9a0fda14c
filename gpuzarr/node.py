"""Documents of nodes in a store: load, save and find them, in either format. The rules of paths are here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gpuzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError, StoreError
from gpuzarr.metadata import (
    ArrayMetadata,
    GroupMetadata,
    parse_array_v2,
    parse_consolidated_v2,
    parse_group_v2,
    parse_v3,
)
from gpuzarr.metadata.forms import MAX_DOCUMENT
from gpuzarr.ranges import ByteRange
from gpuzarr.store import Mover, Store

__all__ = [
    "Metadata",
    "children",
    "find",
    "is_below",
    "join",
    "load",
    "make_groups",
    "move",
    "normalize",
    "require_absent",
    "require_writable",
    "save",
    "save_array",
]

Metadata = ArrayMetadata | GroupMetadata

BELIEVED = ByteRange(0, MAX_DOCUMENT + 1)

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


def normalize(path: str | None) -> str:
    """A node's path within its store: no leading, trailing or double slashes ("" is the root).

    Raises MetadataError for a path that would leave the store, or that Zarr reserves.

    >>> normalize("/a//b/")
    'a/b'
    """
    if not path:
        return ""
    if not isinstance(path, str):
        raise TypeError(f"a path is text, not {path!r:.100}")
    parts = [p for p in path.replace("\\", "/").split("/") if p]
    for part in parts:
        if not part.strip(".") or part.startswith("__") or part in DOCUMENTS:
            raise MetadataError(f"{part!r} is not a node's name", path=path)
    return "/".join(parts)


def join(path: str, name: str) -> str:
    """The path, or key, of `name` under `path`."""
    return f"{path}/{name}" if path else name


def is_below(path: str, above: str) -> bool:
    """Whether a node's path is under another's.

    >>> is_below("a/b", "a"), is_below("ab", "a"), is_below("a", "")
    (True, False, True)
    """
    return path != above and (not above or path.startswith(f"{above}/"))


def load(store: Store, path: str, zarr_format: int | None = None) -> Metadata:
    """The node at a path, of the given format or of whichever is there (3 is looked for first).

    Raises NodeNotFoundError, MetadataError, UnsupportedError.
    """
    found = find(store, path, zarr_format)
    if found is None:
        what = f"no Zarr {zarr_format} node" if zarr_format else "no array or group"
        raise NodeNotFoundError(f"{what} in {store.url}", path=path or "/")
    return found


def find(store: Store, path: str, zarr_format: int | None = None) -> Metadata | None:
    """The node at a path, or None."""
    if zarr_format in (3, None):
        document = _document(store, join(path, "zarr.json"))
        if document is not None:
            return parse_v3(document, path)
    if zarr_format in (2, None):
        return _find_v2(store, path)
    return None


def _find_v2(store: Store, path: str) -> Metadata | None:
    document = _document(store, join(path, ".zarray"))
    if document is not None:
        return parse_array_v2(document, _document(store, join(path, ".zattrs")), path)
    document = _document(store, join(path, ".zgroup"))
    if document is None:
        return None
    group = parse_group_v2(document, _document(store, join(path, ".zattrs")), path)
    consolidated = _document(store, join(path, ".zmetadata"))
    if consolidated is None:
        return group
    members = parse_consolidated_v2(consolidated, path)
    return GroupMetadata(2, group.attributes, members, group.extra)


def _document(store: Store, key: str) -> bytes | None:
    """A document, or as much of it as shows that it is too large: a store may hold, or unpack to, anything."""
    document = store.get(key, BELIEVED)
    return document if document is None or isinstance(document, bytes) else bytes(document)


def save(store: Store, path: str, metadata: Metadata) -> None:
    """Write a node's documents; an `.zattrs` that has become empty is removed."""
    require_writable(store, join(path, "zarr.json"))
    documents = metadata.documents()
    for name, document in reversed(documents.items()):  # what makes it a node comes last: it is there whole, or not
        store.put(join(path, name), document)
    if metadata.zarr_format == 2 and ".zattrs" not in documents:
        store.delete(join(path, ".zattrs"))


def array_documents(metadata: ArrayMetadata) -> dict[str, bytes]:
    """What `save_array` writes. Raises MetadataError where that can't be."""
    if metadata.zarr_format == 3:
        return metadata.documents()
    return {".zarray": replace(metadata, attributes={}).documents()[".zarray"]}


def save_array(store: Store, path: str, metadata: ArrayMetadata) -> None:
    """Write the document of an array whose attributes are as they were: in format 2 they have their own."""
    if metadata.zarr_format == 3:
        save(store, path, metadata)
    else:
        store.put(join(path, ".zarray"), array_documents(metadata)[".zarray"])


def require_writable(store: Store, key: str) -> None:
    """Raise StoreError where the store is open for reading only; `key` is what was to be written, or its path."""
    if store.read_only:
        raise StoreError(f"{store.url} is open for reading only", key=key or "/")


def require_absent(store: Store, path: str, overwrite: bool) -> None:
    """Make way for a new node: remove what is there if `overwrite`, else raise NodeExistsError.

    An array above the path is in the way as well: arrays have no members.
    """
    require_writable(store, join(path, "zarr.json"))
    parts = path.split("/") if path else []
    for k in range(len(parts)):
        above = "/".join(parts[:k])
        if isinstance(find(store, above), ArrayMetadata):
            raise NodeExistsError("an array is in the way: arrays have no members", path=above or "/")
    if overwrite:
        store.delete_prefix(path)
    elif find(store, path) is not None:
        raise NodeExistsError("a node is there already (overwrite=True replaces it)", path=path or "/")


def make_groups(store: Store, path: str, zarr_format: int) -> None:
    """Write the groups above a path that are not there yet (Zarr 2, section "Hierarchies": every ancestor exists)."""
    parts = path.split("/") if path else []
    for k in range(len(parts)):
        above = "/".join(parts[:k])
        if find(store, above) is None:
            save(store, above, GroupMetadata(zarr_format))


def children(store: Store, path: str, zarr_format: int) -> Iterator[tuple[str, Metadata]]:
    """The nodes directly under a group, of its format, sorted by name."""
    for name in store.list_dir(path):
        if name.startswith("__") or name in DOCUMENTS or not name.strip("."):
            continue
        metadata = find(store, join(path, name), zarr_format)
        if metadata is not None:
            yield name, metadata


def move(store: Store, path: str, target: str) -> None:
    """Give a node and all below it another path, where nothing is yet.

    A store that can't rename copies: documents last and the node's own at the very end, then the old keys are
    removed. So an interruption leaves the node at one of the paths, whole.
    """
    if isinstance(store, Mover):
        store.move_prefix(path, target)
        return
    folder = join(path, "")
    keys = sorted(store.list(folder), key=_late)
    for key in keys:
        value = store.get(key)
        if value is None:
            raise StoreError("the value was removed while it was moved", key=key)
        store.put(join(target, key[len(folder) :]), value)
    store.delete_prefix(path)


def _late(key: str) -> tuple[bool, int]:
    """Documents after chunks, and those of members before those of the groups they are in."""
    return key.rpartition("/")[2] in DOCUMENTS, -key.count("/")
