"""Where an array's bytes come from: its store, and the shard indexes already read from it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import CodecError
from gpuzarr.forks import tell_child
from gpuzarr.ranges import ByteRange
from gpuzarr.store import Buffer, FileReader, Store, Versioned

__all__ = ["Source", "Value", "believed"]

INDEX_BYTES = 64 << 20
"""Parsed shard indexes kept for one array, in bytes."""


class Source:
    """A store as reads see it.

    Shard indexes are kept while the store can tell cheaply that a value has not changed; stores that can't tell
    are asked again each time.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        files, versions = _powers(type(store))
        self.files: Any = store if files else None
        self._versions: Any = store if versions else None
        self._indexes: OrderedDict[tuple[str, int], tuple[Hashable, NDArray[np.int64]]] = OrderedDict()
        self._nbytes = 0
        self.paths: dict[str, str] = {}
        self._lock = threading.Lock()
        tell_child(self)

    def forked(self) -> None:
        """In a child the lock may be held by a thread that is not there, and is not done with keeping an index."""
        self._lock = threading.Lock()
        self._nbytes = sum(index.nbytes for _, index in self._indexes.values())

    def get(self, key: str, wanted: ByteRange | None = None) -> Buffer | None:
        return self.store.get(key, wanted)

    def path_of(self, folder: str) -> str | None:
        """Where the values under a folder ("" or ending in "/") are as plain files, if they are."""
        if self.files is None:
            return None
        path = self.paths.get(folder)
        if path is None:
            # A value's path is its folder's and its key: take it from one key, which the store checks.
            path = self.paths[folder] = self.files.file_path(f"{folder}0")[:-1]
        return path

    def index(
        self, key: str, wanted: ByteRange, parse: Callable[[Buffer], NDArray[np.int64]]
    ) -> NDArray[np.int64] | None:
        """The shard index at a range of a value, or None where there is no value."""
        # The version is taken before the bytes: if the value changes in between, the next look-up sees it.
        version = None if self._versions is None else self._versions.version(key)
        kept = self._indexes.get((key, wanted.offset))
        if kept is not None and version is not None and kept[0] == version:
            return kept[1]
        data = self.get(key, wanted)
        if data is None:
            return None
        index = parse(data)
        if version is not None:
            self._keep((key, wanted.offset), version, index)
        return index

    @property
    def keeps(self) -> bool:
        """Whether any shard index was read before."""
        return bool(self._indexes)

    def kept(self, key: str, offset: int) -> NDArray[np.int64] | None:
        """A shard index that was read before, if the value is still what it was."""
        found = self._indexes.get((key, offset))
        return None if found is None or found[0] != self._versions.version(key) else found[1]

    def _keep(self, name: tuple[str, int], version: Hashable, index: NDArray[np.int64]) -> None:
        # Never waited for: nothing is lost.
        if not self._lock.acquire(blocking=False):
            return
        try:
            old = self._indexes.pop(name, None)
            self._nbytes += index.nbytes - (0 if old is None else old[1].nbytes)
            self._indexes[name] = (version, index)
            while self._nbytes > INDEX_BYTES:
                _, (_, dropped) = self._indexes.popitem(last=False)
                self._nbytes -= dropped.nbytes
        finally:
            self._lock.release()


@cache
def _powers(kind: type[Store]) -> tuple[bool, bool]:
    """Whether a kind of store has plain files, and tells versions: asked once, because asking is slow."""
    return issubclass(kind, FileReader), issubclass(kind, Versioned)


class Value:
    """One decoded shard as a source: for shards that codecs after sharding make readable only as a whole."""

    def __init__(self, data: Buffer) -> None:
        self.data = memoryview(data).cast("B")

    def path_of(self, folder: str) -> str | None:
        return None

    def get(self, key: str, wanted: ByteRange | None = None) -> Buffer | None:
        start, stop = (wanted or ByteRange()).of(len(self.data))
        return self.data[start:stop]

    def index(
        self, key: str, wanted: ByteRange, parse: Callable[[Buffer], NDArray[np.int64]]
    ) -> NDArray[np.int64] | None:
        data = self.get(key, wanted)
        return None if data is None else parse(data)


def believed(data: Buffer, most: int) -> Buffer:
    """Stored bytes, unless they are more than any encoder makes of a chunk. Raises CodecError."""
    if memoryview(data).nbytes > most:
        raise CodecError(f"more than {most} bytes are stored", direction="decode")
    return data
