"""A hierarchy by its keys: which nodes there are, what belongs to each, and what belongs to none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gpuzarr import node
from gpuzarr.errors import MetadataError
from gpuzarr.grid import ChunkKeys, grid_shape
from gpuzarr.metadata import ArrayMetadata
from gpuzarr.store import Store
from gpuzarr.validation.findings import Finding

__all__ = ["Node", "Nodes", "documents", "place"]

DOCUMENTS = frozenset(node.DOCUMENTS)
_PORTABLE = re.compile(r"[A-Za-z0-9_.-]+")
_ENCODINGS = tuple(ChunkKeys(name, separator) for name in ("default", "v2") for separator in ("/", "."))


@dataclass(frozen=True, slots=True)
class Node:
    """A node by its documents. `array` is what an array's say, None for groups and for what can't be read.

    `broken` tells that where chunks belong is not known, because the document does not say.
    """

    path: str
    zarr_format: int
    is_array: bool
    array: ArrayMetadata | None = None
    broken: bool = False

    @property
    def key(self) -> str:
        """The key of the document that makes it a node."""
        name = "zarr.json" if self.zarr_format == 3 else ".zarray" if self.is_array else ".zgroup"
        return node.join(self.path, name)


@dataclass(slots=True)
class Nodes:
    """The nodes at and below `base`, by path."""

    base: str
    by_path: dict[str, Node] = field(default_factory=dict)

    def above(self, path: str) -> Node | None:
        """The nearest node above a path, or None up to the base."""
        while path != self.base and path:
            path = path.rpartition("/")[0]
            if path in self.by_path:
                return self.by_path[path]
        return None

    def owner(self, folder: str) -> Node | None:
        """The node that keys in a folder are under: what is under an array is the array's, whatever else is there."""
        found = self.by_path.get(folder) or self.above(folder)
        above = None if found is None else self.above(found.path)
        while above is not None:
            found = above if above.is_array else found
            above = self.above(above.path)
        return found

    def reaches(self, group: str, path: str) -> bool:
        """Whether every path on the way from a group down to another node is a node."""
        while path != group and path in self.by_path and path:
            path = path.rpartition("/")[0]
        return path == group

    def check(self) -> Iterator[Finding]:
        """What is wrong with where nodes are."""
        if self.base not in self.by_path:
            yield Finding("no-root", self.base, self.base, f"no node here, {len(self.by_path)} below")
        missing: set[str] = set()
        for path, found in sorted(self.by_path.items()):
            yield from _names(found, self.base)
            above = self.above(path)
            if above is None:
                continue
            if above.is_array:
                yield Finding("node-in-array", path, found.key, f"a node under the array at {above.path or '/'!r}")
                continue
            if above.zarr_format != found.zarr_format:
                reason = f"a node of format {found.zarr_format} under a group of format {above.zarr_format}"
                yield Finding("mixed-formats", path, found.key, reason)
            yield from self._gaps(found, above, missing)

    def _gaps(self, found: Node, above: Node, missing: set[str]) -> Iterator[Finding]:
        """The paths between a node and the group above it that are no nodes, each once."""
        path = found.path.rpartition("/")[0]
        while path != above.path and path not in missing:
            missing.add(path)
            rule = "implicit-group" if found.zarr_format == 3 else "missing-group"
            yield Finding(rule, path, found.key, f"{path!r} is no group, and {found.path!r} is under it")
            path = path.rpartition("/")[0]


def _names(found: Node, base: str) -> Iterator[Finding]:
    if found.path == base:
        return
    name = found.path.rpartition("/")[2]
    try:
        node.normalize(name)
    except MetadataError as error:
        yield Finding("node-name", found.path, found.key, error.reason)
        return
    if not _PORTABLE.fullmatch(name):
        yield Finding("odd-name", found.path, found.key, f"{name!r:.200} has characters that not every store has")


def documents(store: Store, base: str) -> dict[str, set[str]]:
    """The names of the documents at every path at and below `base`."""
    found: dict[str, set[str]] = {}
    for key in store.list(f"{base}/" if base else ""):
        path, _, name = key.rpartition("/")
        if name in DOCUMENTS:
            found.setdefault(path, set()).add(name)
    return found


def place(key: str, nodes: Nodes, owners: dict[str, Node | None]) -> Finding | tuple[Node, tuple[int, ...]] | None:
    """The array and the chunk that a key names, or what is wrong with it.

    None for documents of nodes, and where an array's document does not tell. `owners` remembers nodes by folder.
    """
    folder, _, name = key.rpartition("/")
    if folder not in owners:
        owners[folder] = nodes.owner(folder)
    owner = owners[folder]
    if name in DOCUMENTS and folder in nodes.by_path:
        return _document(key, name, nodes.by_path[folder])
    if owner is None or not owner.is_array:
        path = nodes.base if owner is None else owner.path
        return Finding("stray", path, key, "belongs to no node")
    if owner.array is None or owner.broken:
        return None
    rest = key[len(owner.path) + 1 :] if owner.path else key
    return _chunk(key, rest, owner, owner.array)


def _document(key: str, name: str, found: Node) -> Finding | None:
    ours = ("zarr.json",) if found.zarr_format == 3 else (".zarray", ".zgroup", ".zattrs")
    if name in ours or (name == ".zmetadata" and not found.is_array and found.zarr_format == 2):
        return None
    if found.zarr_format == 3:
        return Finding("two-formats", found.path, key, "a document of format 2 beside a zarr.json, which counts")
    return Finding("stray", found.path, key, "consolidated metadata of an array")


def _chunk(key: str, rest: str, owner: Node, array: ArrayMetadata) -> Finding | tuple[Node, tuple[int, ...]]:
    grid = grid_shape(array.shape, array.chunks)
    coords = array.keys.coords(rest, len(grid))
    if coords is not None:
        if all(c < n for c, n in zip(coords, grid, strict=True)):
            return owner, coords
        return Finding("outside-grid", owner.path, key, f"outside the grid of {grid} chunks", chunk=coords)
    for other in _ENCODINGS:
        coords = other.coords(rest, len(grid))
        if coords is not None and all(c < n for c, n in zip(coords, grid, strict=True)):
            reason = f"names chunk {coords}, whose key is {array.keys.key(coords)!r}"
            return Finding("other-chunk-keys", owner.path, key, reason, chunk=coords)
    return Finding("stray", owner.path, key, f"no chunk key: those are like {array.keys.key((0,) * len(grid))!r}")
