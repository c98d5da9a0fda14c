"""Where bytes live: stores, and how to find the right one for whatever the user names."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gpuzarr.errors import StoreError, UnsupportedError
from gpuzarr.forks import importing
from gpuzarr.store.base import (
    BatchReader,
    Buffer,
    FileReader,
    FileWriter,
    PartsWriter,
    Sized,
    Store,
    StoreBase,
    Versioned,
)
from gpuzarr.store.local import LocalStore
from gpuzarr.store.mapping import MappingStore
from gpuzarr.store.memory import MemoryStore

if TYPE_CHECKING:
    from gpuzarr.store.zip import ZipStore

__all__ = [
    "BatchReader",
    "Buffer",
    "FileReader",
    "FileWriter",
    "LocalStore",
    "MappingStore",
    "MemoryStore",
    "PartsWriter",
    "Sized",
    "Store",
    "Versioned",
    "ZipStore",
    "open_store",
]

_ZIP_ENDINGS = (".zip", ".ozx")
_MODES = ("r", "r+", "a", "w", "w-")


def __getattr__(name: str) -> Any:
    if name == "ZipStore":  # late, because zipfile costs more to import than all the rest
        with importing:
            from gpuzarr.store.zip import ZipStore

        return ZipStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_store(where: Any, *, mode: str = "r") -> Store:
    """The store that `where` names.

    Args:
        where: a store (returned as it is, but for mode "r" as one for reading only if it is of this package); a
            path, to a folder or to a zip file; a URL with the scheme file, zip or memory; a mutable mapping from
            keys to bytes.
        mode: "r" opens for reading only, "r+", "a", "w" and "w-" for writing too. No mode removes anything.

    Nothing has to be there: a store without keys is as good as none. For writing, a path that ends in ".zip"
    or ".ozx" names a zip file, which is complete once the store is closed.

    Raises:
        UnsupportedError: a URL with another scheme, or something that can't name a store.
        StoreError: a file that is not a zip archive.

    >>> open_store("memory://tmp", mode="a")
    MemoryStore('memory://tmp')
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if isinstance(where, Store):
        return where.reading() if mode == "r" and isinstance(where, StoreBase) else where
    read_only = mode == "r"
    if isinstance(where, MutableMapping):
        return MappingStore(where, read_only=read_only)
    if not isinstance(where, str | os.PathLike):
        kind = type(where).__name__
        raise UnsupportedError(f"a store can't be opened from a {kind}", feature=f"store from {kind}")
    path = os.fsdecode(where)
    scheme = _scheme(path) if isinstance(where, str) else ""
    rest = path.partition("://")[2]
    if scheme == "memory":
        return MemoryStore(rest or None, read_only=read_only)
    if scheme == "zip":
        return _open_zip(_url_path(rest), read_only)
    if scheme not in ("", "file"):
        raise UnsupportedError(f"stores at {scheme}:// are not supported", feature=f"{scheme}:// stores")
    return _open_path(_url_path(rest) if scheme else path, read_only)


def _scheme(url: str) -> str:
    """The scheme of a URL, or "" for a path; anything odd before "://" is taken for a scheme."""
    before, colon, _ = url.partition("://")
    return before.lower() if colon else ""


def _url_path(rest: str) -> str:
    """The path in a file URL without its scheme (RFC 8089); a relative one is taken as it is."""
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if not path:
        raise StoreError("the URL has no path")
    return path[1:] if re.match(r"/[A-Za-z]:", path) and os.name == "nt" else path


def _open_path(path: str, read_only: bool) -> Store:
    ends_like_zip = path.lower().endswith(_ZIP_ENDINGS)
    if os.path.isfile(path) or (ends_like_zip and not read_only and not os.path.isdir(path)):
        return _open_zip(path, read_only)
    return LocalStore(path, read_only=read_only)


def _open_zip(path: str, read_only: bool) -> Store:
    with importing:
        from gpuzarr.store.zip import ZipStore

    return ZipStore(path, "r" if read_only else "a")
