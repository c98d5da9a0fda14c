"""Values as members of a zip archive that is itself a value of another store."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from gpuzarr.errors import StoreError
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, Sized, Store, Versioned, check_key, temporary_name
from gpuzarr.store.members import FAULTS, Members, SourceFile
from gpuzarr.store.url import inside
from gpuzarr.store.zip import MembersStore

__all__ = ["NestedZipStore"]

_DIRECTORY = 64 << 10
"""Bytes from the end of an archive that are asked for at a time while its directory is read."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of a store as what members are read from."""

    store: Store
    key: str

    def read(self, start: int, length: int) -> Buffer:
        found = self.store.get(self.key, ByteRange(start, length))
        if found is None:
            raise StoreError("the zip archive was removed while it was open", key=self.key)
        return memoryview(found).cast("B")

    def size(self) -> int:
        if isinstance(self.store, Sized):
            size = self.store.size(self.key)
        else:
            found = self.store.get(self.key)
            size = None if found is None else memoryview(found).nbytes
        if size is None:
            raise StoreError(f"no such value in {self.store.url}", key=self.key)
        return size


class NestedZipStore(MembersStore):
    """A zip archive that is a value of another store, read by ranges of it.

    Args:
        store: where the archive is.
        key: which value it is.

    It is for reading only, and its directory is read once, at first. An archive that is deflated in another one
    is unpacked from its beginning for each range: put archives into archives uncompressed. It pickles if the
    store does.

    >>> from gpuzarr.store import MemoryStore
    >>> with zipfile.ZipFile(inner := io.BytesIO(), "w") as archive:
    ...     archive.writestr("a", b"0123456789")
    >>> outer = MemoryStore("shelf")
    >>> outer.put("lab.zip", inner.getvalue())
    >>> nested = NestedZipStore(outer, "lab.zip")
    >>> nested.url, bytes(nested.get("a", ByteRange(2, 3)))
    ('memory://shelf/lab.zip|zip:', b'234')
    """

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.key = store, check_key(key)
        self.read_only = True
        self.url = f"{inside(store.url, key)}|zip:"
        self._source = _Value(store, key)
        self._archive = Members()
        try:
            file = io.BufferedReader(SourceFile(self._source), _DIRECTORY)
            with zipfile.ZipFile(file) as archive:
                self._archive.add(archive.infolist())
        except FAULTS as error:
            reason = error.reason if isinstance(error, StoreError) else str(error)
            raise StoreError(f"can't open the zip archive {self.url}: {reason}", key=key) from error

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value or a part of it; None where there is no such member.

        A whole value is checked against the archive's checksum, a part of one can't be.
        """
        info = self._archive.find(check_key(key))
        return None if info is None else self._archive.read_member(self._source, key, info, range)

    def put(self, key: str, value: Buffer) -> None:
        """Raise `StoreError`."""
        self._check_writable(check_key(key))

    def delete(self, key: str) -> None:
        """Raise `StoreError`."""
        self._check_writable(check_key(key))

    def version(self, key: str) -> Hashable | None:
        """Where the member is, its size, its checksum, and the version of the archive, of which not all stores know."""
        info = self._archive.find(check_key(key))
        if info is None:
            return None
        outer = self.store.version(self.key) if isinstance(self.store, Versioned) else temporary_name()
        return (outer, info.header_offset, info.file_size, info.CRC)

    def __reduce__(self) -> tuple[Any, ...]:
        return NestedZipStore, (self.store, self.key)
