"""Groups: members by path, made and listed; consolidated metadata."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuzarr import create, node
from gpuzarr.array import Array
from gpuzarr.attributes import Attributes
from gpuzarr.dtypes import from_numpy
from gpuzarr.errors import MetadataError, NodeNotFoundError
from gpuzarr.metadata import ArrayMetadata, Consolidated, GroupMetadata
from gpuzarr.options import Options
from gpuzarr.store import Store, same_store

__all__ = ["Group"]


class Group:
    """A group in a store. `group["a/b"]` is a member; options set on the group hold for its members.

    >>> import gpuzarr
    >>> g = gpuzarr.create_group({})
    >>> a = g.create_array("raw/image", shape=(4, 4), dtype="uint8")
    >>> g["raw/image"].shape, sorted(name for name, _ in g.members())
    ((4, 4), ['raw'])
    """

    def __init__(self, store: Store, path: str, metadata: GroupMetadata, options: Options) -> None:
        self._store, self._path, self._metadata, self._options = store, path, metadata, options

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where the group is in its store; "" is the root."""
        return self._path

    @property
    def name(self) -> str:
        """The path with a leading slash."""
        return "/" + self._path

    @property
    def basename(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def store(self) -> Store:
        return self._store

    @property
    def read_only(self) -> bool:
        return self._store.read_only

    @property
    def metadata(self) -> GroupMetadata:
        """What the group's documents say."""
        return self._metadata

    @property
    def zarr_format(self) -> int:
        return self._metadata.zarr_format

    @property
    def attrs(self) -> Attributes:
        """User attributes; changes are written at once."""
        return Attributes(self._metadata.attributes, self._save_attributes)

    def _save_attributes(self, values: dict[str, Any]) -> None:
        # What the store says of members stays as it is: what is known here may come from a group above.
        stored = node.find(self._store, self._path, self.zarr_format)
        members = stored.consolidated if isinstance(stored, GroupMetadata) else None
        node.save(self._store, self._path, replace(self._metadata, attributes=values, consolidated=members))
        self._metadata = replace(self._metadata, attributes=values)

    def update_attributes(self, new_attributes: dict[str, Any]) -> Group:
        """Set several attributes and return the group."""
        self.attrs.update(new_attributes)
        return self

    # -- members -----------------------------------------------------------------------------------------------

    def __getitem__(self, path: str) -> Array | Group:
        """The member at a path relative to the group. Raises NodeNotFoundError, a LookupError."""
        found = self._find(node.normalize(path))
        if found is None:
            raise NodeNotFoundError(f"no array or group in {self._store.url}", path=node.join(self._path, path))
        return found

    def get(self, path: str, default: Any = None) -> Any:
        """The member at a path, or `default`."""
        found = self._find(node.normalize(path))
        return default if found is None else found

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._find(node.normalize(path)) is not None

    def _find(self, path: str) -> Array | Group | None:
        whole = node.join(self._path, path) if path else self._path
        if self._metadata.consolidated is not None and path:
            metadata: node.Metadata | None = self._metadata.consolidated.get(path)
            if isinstance(metadata, GroupMetadata):
                metadata = self._with_members(path, metadata)
        else:
            metadata = node.find(self._store, whole, self.zarr_format)
        return None if metadata is None else open_node(self._store, whole, metadata, self._options)

    def _with_members(self, path: str, metadata: GroupMetadata) -> GroupMetadata:
        """A consolidated group, with what its parent knows about its members."""
        known = self._metadata.consolidated or {}
        if isinstance(known, Consolidated):
            return replace(metadata, consolidated=known.below(path))
        below = {name[len(path) + 1 :]: member for name, member in known.items() if name.startswith(f"{path}/")}
        return replace(metadata, consolidated=below)

    def members(self, max_depth: int | None = 0) -> Iterator[tuple[str, Array | Group]]:
        """Members with their names, sorted; deeper ones down to `max_depth` levels (None: all), by relative path.

        Members come from the consolidated metadata where the group was opened with it.
        """
        if max_depth is not None and max_depth < 0:
            raise ValueError(f"max_depth must be None or at least 0, not {max_depth}")
        return self._members(max_depth)

    def _members(self, max_depth: int | None) -> Iterator[tuple[str, Array | Group]]:
        for name, metadata in self._children():
            path = node.join(self._path, name)
            member = open_node(self._store, path, metadata, self._options)
            yield name, member
            if isinstance(member, Group) and (max_depth is None or max_depth > 0):
                deeper = None if max_depth is None else max_depth - 1
                for below, found in member._members(deeper):
                    yield f"{name}/{below}", found

    def _children(self) -> Iterator[tuple[str, node.Metadata]]:
        if self._metadata.consolidated is None:
            yield from node.children(self._store, self._path, self.zarr_format)
            return
        for name in sorted(self._metadata.consolidated):
            if "/" not in name:
                metadata = self._metadata.consolidated[name]
                yield name, metadata if isinstance(metadata, ArrayMetadata) else self._with_members(name, metadata)

    def walk(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """This group and every group below it, as `os.walk` has folders: path, names of groups, names of arrays.

        Paths are relative to this group, whose own is "". A group comes before those in it; names that are removed
        from its list of groups are not walked into.

        >>> import gpuzarr
        >>> g = gpuzarr.create_group({})
        >>> a = g.create_array("raw/image", shape=(4,), dtype="uint8")
        >>> list(g.walk())
        [('', ['raw'], []), ('raw', [], ['image'])]
        """
        found = dict(self._children())
        groups = [name for name, metadata in found.items() if isinstance(metadata, GroupMetadata)]
        yield "", groups, [name for name, metadata in found.items() if isinstance(metadata, ArrayMetadata)]
        for name in groups:
            member = open_node(self._store, node.join(self._path, name), found[name], self._options)
            if isinstance(member, Group):
                for path, below, arrays in member.walk():
                    yield node.join(name, path) if path else name, below, arrays

    def glob(self, pattern: str) -> Iterator[tuple[str, Array | Group]]:
        """Members at any depth whose path matches a pattern, with their paths, a group before those in it.

        `*`, `?` and `[...]` stand for parts of one name, as in `fnmatch`; a name `**` for any number of groups, none
        too, and at the end for all that is below. Upper and lower case differ.

        >>> import gpuzarr
        >>> g = gpuzarr.create_group({})
        >>> for name in ("a/s0", "a/s1", "b/c/s0"):
        ...     _ = g.create_array(name, shape=(4,), dtype="uint8")
        >>> [path for path, _ in g.glob("**/s0")], [path for path, _ in g.glob("a/s*")]
        (['a/s0', 'b/c/s0'], ['a/s0', 'a/s1'])
        """
        parts = [part for part in pattern.split("/") if part]
        if not parts:
            raise ValueError(f"a pattern names something: {pattern!r}")
        return self._glob("", parts, set())

    def _glob(self, above: str, parts: list[str], seen: set[str]) -> Iterator[tuple[str, Array | Group]]:
        """Members that match; `above` is the path at which this group was met, `seen` what has been given out."""
        deep, last = parts[0] == "**", len(parts) == 1
        matches = re.compile(fnmatch.translate("*" if deep else parts[0])).match
        if deep and not last:
            yield from self._glob(above, parts[1:], seen)
        for name, metadata in self._children():
            path = node.join(above, name)
            if not matches(name) or (not last and isinstance(metadata, ArrayMetadata)):
                continue
            member = open_node(self._store, node.join(self._path, name), metadata, self._options)
            if last and path not in seen:
                seen.add(path)
                yield path, member
            if isinstance(member, Group) and (deep or not last):
                yield from member._glob(path, parts if deep else parts[1:], seen)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays directly under the group, with their names."""
        for name, metadata in self._children():
            if isinstance(metadata, ArrayMetadata):
                yield name, Array(self._store, node.join(self._path, name), metadata, self._options)

    def groups(self) -> Iterator[tuple[str, Group]]:
        """The groups directly under the group, with their names."""
        for name, metadata in self._children():
            if isinstance(metadata, GroupMetadata):
                yield name, Group(self._store, node.join(self._path, name), metadata, self._options)

    def array_keys(self) -> Iterator[str]:
        """Names of the arrays directly under the group."""
        return (name for name, metadata in self._children() if isinstance(metadata, ArrayMetadata))

    def group_keys(self) -> Iterator[str]:
        """Names of the groups directly under the group."""
        return (name for name, metadata in self._children() if isinstance(metadata, GroupMetadata))

    def keys(self) -> Iterator[str]:
        """Names of the members directly under the group."""
        return (name for name, _ in self._children())

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self._children())

    def nmembers(self, max_depth: int | None = 0) -> int:
        """How many members there are, down to `max_depth` levels below the first."""
        return sum(1 for _ in self.members(max_depth))

    # -- making and removing them ------------------------------------------------------------------------------

    def create_array(self, name: str, **how: Any) -> Array:
        """Make an array under the group; keyword arguments as `gpuzarr.create_array`."""
        how.setdefault("zarr_format", self.zarr_format)
        path = self._path_of(name)
        self._forget()
        return create.create_array(self._store, path, self._options, **how)

    def create_group(
        self, name: str, *, overwrite: bool = False, attributes: dict[str, Any] | None = None
    ) -> Group:
        """Make a group under the group."""
        path = self._path_of(name)
        self._forget()
        return make_group(self._store, path, self._options, self.zarr_format, overwrite, attributes)

    def require_group(self, name: str, *, overwrite: bool = False) -> Group:
        """The group of that name, made if it is not there, or anew to `overwrite` what is."""
        found = None if overwrite else self.get(name)
        if isinstance(found, Group):
            return found
        return self.create_group(name, overwrite=overwrite)

    def require_array(
        self, name: str, *, shape: int | Sequence[int], dtype: Any = None, exact: bool = False, **how: Any
    ) -> Array:
        """The array of that name, made if it is not there.

        Raises MetadataError where it has another shape, or a type that can't be cast to `dtype` without loss; if
        `exact`, any other type.
        """
        found, wanted = self.get(name), create.sizes(shape, "shape", 0)
        if found is None:
            return self.create_array(name, shape=wanted, dtype=dtype, **how)
        if not isinstance(found, Array) or found.shape != wanted:
            raise MetadataError(f"there is no array of shape {wanted} but {found!r}", path=name, field="shape")
        codec = found.filters[0].name.removeprefix("numcodecs.") if found.filters else None
        asked = found.dtype if dtype is None else from_numpy(dtype, self.zarr_format, codec).dtype
        if found.dtype != asked and (exact or not np.can_cast(found.dtype, asked)):
            raise MetadataError(f"the array is of {found.dtype}, not {dtype}", path=name, field="data_type")
        return found

    def __setitem__(self, name: str, values: Any) -> None:
        """Store values as a new array, replacing what has the name."""
        self.create_array(name, data=values, overwrite=True)

    def __delitem__(self, name: str) -> None:
        path = self._path_of(name)
        if name not in self:
            raise NodeNotFoundError("no array or group", path=path)
        node.require_writable(self._store, path)
        self._forget()
        self._store.delete_prefix(path)

    def move(self, source: str, dest: str) -> None:
        """Give a member, with all below it, another path under this group; groups above that are made.

        A folder is renamed; other stores copy and then delete. Consolidated metadata in the store does not follow.
        Raises NodeNotFoundError, NodeExistsError, and MetadataError for a move into itself.

        >>> import gpuzarr
        >>> g = gpuzarr.create_group({})
        >>> a = g.create_array("raw", shape=(4,), dtype="uint8")
        >>> g.move("raw", "images/first")
        >>> [name for name, _ in g.members(max_depth=None)]
        ['images', 'images/first']
        """
        before, after = self._path_of(source), self._path_of(dest)
        moved = node.load(self._store, before, self.zarr_format)
        if before == after or node.is_below(after, before):
            raise MetadataError("a node can't be moved into itself", path=before)
        node.require_absent(self._store, after, overwrite=False)
        node.make_groups(self._store, after, moved.zarr_format)
        self._forget()
        node.move(self._store, before, after)

    def _path_of(self, name: str) -> str:
        """Where a member is, or is to be."""
        below = node.normalize(name)
        if not below:
            raise MetadataError("a member has a name", path=self._path or "/")
        return node.join(self._path, below)

    def _forget(self) -> None:
        """Members change: what was consolidated no longer holds for this object."""
        self._metadata = replace(self._metadata, consolidated=None)

    # -- the rest ----------------------------------------------------------------------------------------------

    def configure(
        self,
        *,
        meta_array: Any = None,
        executor: Any = None,
        strict: bool | None = None,
        write_empty_chunks: bool | None = None,
        order: str | None = None,
    ) -> Group:
        """The same group with other options, which its members inherit."""
        options = self._options.changed(
            meta_array=meta_array,
            executor=executor,
            strict=strict,
            write_empty_chunks=write_empty_chunks,
            order=order,
        )
        return Group(self._store, self._path, self._metadata, options)

    def tree(self) -> str:
        """The hierarchy below the group, as text."""
        from gpuzarr.report import tree

        return tree(self)

    @property
    def info(self) -> Any:
        """A summary that prints as a table."""
        from gpuzarr.report import GroupInfo

        return GroupInfo(self)

    def info_complete(self) -> Any:
        """The same, with the members directly under it counted: the store is listed for it."""
        from gpuzarr.report import GroupInfo

        return GroupInfo(self, complete=True)

    def __repr__(self) -> str:
        return f"<Group {self._store.url}{self.name if self._path else ''} format={self.zarr_format}>"

    def _repr_html_(self) -> str:
        from gpuzarr.html import group_html

        return group_html(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Group):
            return NotImplemented
        same = same_store(self._store, other._store)
        return same and self._path == other._path and self._metadata == other._metadata

    __hash__ = None  # type: ignore[assignment]  # its metadata changes

    def __reduce__(self) -> tuple[Any, ...]:
        return Group, (self._store, self._path, self._metadata, self._options)


def open_node(store: Store, path: str, metadata: node.Metadata, options: Options) -> Array | Group:
    """The array or group that metadata describes."""
    if isinstance(metadata, ArrayMetadata):
        return Array(store, path, metadata, options)
    return Group(store, path, metadata, options)


def make_group(
    store: Store,
    path: str,
    options: Options,
    zarr_format: int,
    overwrite: bool,
    attributes: dict[str, Any] | None,
) -> Group:
    """Write a new group and the groups above it."""
    create.check_format(zarr_format)
    metadata = GroupMetadata(zarr_format, dict(attributes or {}))
    node.require_absent(store, path, overwrite)
    node.make_groups(store, path, zarr_format)
    node.save(store, path, metadata)
    return Group(store, path, metadata, options)
