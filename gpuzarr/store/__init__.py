"""Where bytes live: stores, and how to find the right one for whatever the user names."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePath
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gpuzarr.errors import UnsupportedError
from gpuzarr.forks import importing
from gpuzarr.store.base import (
    BatchReader,
    Buffer,
    FileReader,
    FileWriter,
    Mover,
    PartsWriter,
    Sized,
    Store,
    StoreBase,
    Versioned,
    same_store,
)
from gpuzarr.store.local import LocalStore
from gpuzarr.store.mapping import MappingStore
from gpuzarr.store.memory import MemoryStore
from gpuzarr.store.n5 import N5Store, is_n5
from gpuzarr.store.url import FORMATS, Part, file_path, parse

if TYPE_CHECKING:
    from gpuzarr.store.nested import NestedZipStore
    from gpuzarr.store.zip import ZipStore

__all__ = [
    "BatchReader",
    "Buffer",
    "FileReader",
    "FileWriter",
    "LocalStore",
    "MappingStore",
    "MemoryStore",
    "Mover",
    "N5Store",
    "NestedZipStore",
    "PartsWriter",
    "Place",
    "Sized",
    "Store",
    "Versioned",
    "ZipStore",
    "is_n5",
    "locate",
    "open_store",
    "same_store",
]

_ZIP_ENDINGS = (".zip", ".ozx")
_MODES = ("r", "r+", "a", "w", "w-")


def __getattr__(name: str) -> Any:
    if name == "ZipStore":  # late, because zipfile costs more to import than all the rest
        with importing:
            from gpuzarr.store.zip import ZipStore

        return ZipStore
    if name == "NestedZipStore":
        with importing:
            from gpuzarr.store.nested import NestedZipStore

        return NestedZipStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: a store, the path within it, and the Zarr format that its URL asks for, if any."""

    store: Store
    path: str = ""
    zarr_format: int | None = None


def open_store(where: Any, *, mode: str = "r") -> Store:
    """The store that `where` names, as `locate` finds it.

    Raises what `locate` raises, and UnsupportedError for the URL of what is in a store and not a store itself.

    >>> open_store("memory://tmp", mode="a")
    MemoryStore('memory://tmp')
    """
    place = locate(where, mode=mode)
    if place.path:
        reason = f"{where} is the path {place.path!r} in the store {place.store.url}"
        raise UnsupportedError(reason, feature="store that begins at a path", path=place.path)
    return place.store


def locate(where: Any, *, mode: str = "r") -> Place:
    """The store that `where` names, and the node in it.

    Args:
        where: a store (returned as it is, but for mode "r" as one for reading only if it is of this package); a
            path, to a folder or to a zip file, or through a zip file; a mutable mapping from keys to bytes; or a
            URL pipeline (Zarr Enhancement Proposal 8): a root (`file:`, `memory:`, `zip:`), then adapters behind
            "|": `zip:` for what is in an archive, `zarr2:`, `zarr3:`, `zarr:` and `n5:` for a node and its format.
        mode: "r" opens for reading only, "r+", "a", "w" and "w-" for writing too. No mode removes anything.

    Nothing has to be there: a store without keys is as good as none. For writing, a path that ends in ".zip"
    or ".ozx", or that `zip:` follows, names a zip file, which is complete once the store is closed; an archive
    within a store is for reading only. In `memory:a/b`, "a" is the name of the store.

    Raises:
        UnsupportedError: a URL with another scheme, or something that can't name a store.
        StoreError: a file that is not a zip archive.

    >>> locate("memory:tmp/group|zarr3:image")
    Place(store=MemoryStore('memory://tmp'), path='group/image', zarr_format=3)
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if not isinstance(where, str):
        return _given(where, read_only=mode == "r")
    read_only = mode == "r"
    root, *adapters = parse(where)
    for before, after in pairwise(adapters):
        if before.scheme in FORMATS:
            feature = f"{after.scheme}: after {before.scheme}: in URLs"
            raise UnsupportedError(f"{feature} is not supported: {where}", feature=feature)
    zipped = bool(adapters) and adapters[0].scheme == "zip"
    place = _open_root(root, zipped, read_only)
    if zipped and root.scheme != "memory" and not place.path:  # the archive is a file, and open
        place = replace(place, path=adapters.pop(0).path)
    for adapter in adapters:
        place = _adapted(place, adapter)
    return place


def _given(where: Any, read_only: bool) -> Place:
    """The store that an object is, or stands for."""
    if isinstance(where, os.PathLike):
        return _open_path(os.fsdecode(where), read_only)
    if isinstance(where, Store):
        return Place(where.reading() if read_only and isinstance(where, StoreBase) else where)
    if isinstance(where, MutableMapping):
        return Place(MappingStore(where, read_only=read_only))
    kind = type(where).__name__
    raise UnsupportedError(f"a store can't be opened from a {kind}", feature=f"store from {kind}")


def _open_root(root: Part, zipped: bool, read_only: bool) -> Place:
    if root.scheme == "memory":
        name, _, path = root.rest.lstrip("/").partition("/")
        return Place(MemoryStore(unquote(name) or None, read_only=read_only), Part("", path).path)
    if root.scheme not in ("", "file", "zip"):
        raise UnsupportedError(f"stores at {root.scheme}:// are not supported", feature=f"{root.scheme}:// stores")
    path = file_path(root.rest) if root.scheme else root.rest
    return _open_path(path, read_only, zipped or root.scheme == "zip")


def _adapted(place: Place, adapter: Part) -> Place:
    """What an adapter makes of a place."""
    if adapter.scheme in FORMATS:
        path = "/".join(part for part in (place.path, adapter.path) if part)
        store = N5Store(place.store) if adapter.scheme == "n5" else place.store
        return Place(store, path, FORMATS[adapter.scheme])
    if adapter.scheme != "zip":
        feature = f"{adapter.scheme}: in URLs"
        raise UnsupportedError(f"{feature} is not supported", feature=feature)
    with importing:
        from gpuzarr.store.nested import NestedZipStore

    return Place(NestedZipStore(place.store, place.path), adapter.path)


def _open_path(path: str, read_only: bool, zipped: bool = False) -> Place:
    """The store at a path, or the archive that the path goes on behind; `zipped`: it must be an archive."""
    try:
        status = os.stat(path).st_mode
    except (OSError, ValueError):
        for above in PurePath(path).parents:
            if os.path.isfile(above):
                return Place(_open_zip(str(above), read_only), PurePath(path).relative_to(above).as_posix())
        status = 0
    ends_like_zip = path.lower().endswith(_ZIP_ENDINGS)
    if zipped or S_ISREG(status) or (ends_like_zip and not read_only and not S_ISDIR(status)):
        return Place(_open_zip(path, read_only))
    return Place(LocalStore(path, read_only=read_only))


def _open_zip(path: str, read_only: bool) -> Store:
    with importing:
        from gpuzarr.store.zip import ZipStore

    return ZipStore(path, "r" if read_only else "a")
