"""What a store is: protocols, and the one place where keys are checked.

A key names a value by segments joined with "/". It never climbs: a key that passes `check_key` stays inside
its store, whatever the store is made of, so nothing else here or elsewhere has to look again.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable, Iterator
from itertools import count
from os import getpid
from typing import Protocol, Self, runtime_checkable

from gpuzarr.errors import StoreError
from gpuzarr.ranges import ByteRange, Requests

__all__ = [
    "BatchReader",
    "Buffer",
    "FileReader",
    "FileWriter",
    "Mover",
    "PartsWriter",
    "Sized",
    "Store",
    "Versioned",
    "check_key",
    "same_store",
]

Buffer = bytes | bytearray | memoryview
"""Bytes of a value. What `get` returns is not to be written to; `put` takes any C-contiguous buffer."""

Names = list[str]  # inside a class with a method `list` that name means the method

RESERVED = ".gpuzarr-"
"""How a segment begins that is not part of any key: a file that is being written."""


@runtime_checkable
class Store(Protocol):
    """Keys with values: where the bytes of arrays and groups live.

    Every method raises `StoreError` for a key that could leave the store, and for what the medium refuses.
    """

    @property
    def url(self) -> str:
        """How `gpuzarr.open` finds the store again; what `repr` and errors say."""

    @property
    def read_only(self) -> bool:
        """Whether `put`, `delete` and `delete_prefix` are refused."""

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value, or the part of it that `range` names; None where there is no value.

        A range past the end gives what there is, which may be nothing at all.
        """

    def put(self, key: str, value: Buffer) -> None:
        """Set a value. Readers see the old value or the new one, whole."""

    def delete(self, key: str) -> None:
        """Remove a value; one that is absent is removed already."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`, in no particular order."""

    def list_dir(self, prefix: str) -> Names:
        """The names directly under `prefix` ("" is the root), sorted and without slashes."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove every key under `prefix` ("" is the root)."""


@runtime_checkable
class FileReader(Protocol):
    """A store whose values are plain files, which native code may open by itself."""

    def file_path(self, key: str) -> str:
        """Where the value is, or would be."""


@runtime_checkable
class FileWriter(Protocol):
    """A store whose values are plain files, which native code may put by itself."""

    def new_file(self, key: str) -> tuple[str, str] | None:
        """Where the value will be, and the name under which it is to be written first, in the same folder.

        None: `put` has to do it, because it does more. The name serves one value after another, not two at a time.
        """


@runtime_checkable
class PartsWriter(Protocol):
    """A store that takes a value in parts, which then need not be joined, nor be there at the same time."""

    def put_parts(self, key: str, parts: Iterable[Buffer]) -> None:
        """As `put`, for a value that is the parts one after another. A part may change once the next is asked for.

        What the iteration raises ends it: the value stays what it was.
        """


@runtime_checkable
class Mover(Protocol):
    """A store that gives values other keys without reading them."""

    def move_prefix(self, prefix: str, target: str) -> None:
        """Every key under `prefix` is from now on under `target`, where nothing may be yet: all at once, or none."""


@runtime_checkable
class Versioned(Protocol):
    """A store that can tell cheaply whether a value may have changed."""

    def version(self, key: str) -> Hashable | None:
        """A token that differs from an earlier one if the value may have changed since; None where absent."""


@runtime_checkable
class Sized(Protocol):
    """A store that knows a value's size without reading it."""

    def size(self, key: str) -> int | None:
        """Bytes of the value; None where there is none."""


@runtime_checkable
class BatchReader(Protocol):
    """A store that overlaps requests by itself."""

    def get_many(self, requests: Requests) -> Iterator[tuple[int, Buffer | None]]:
        """Row numbers of `requests` with their bytes (None: absent), in the order in which they arrive."""


def check_key(key: str) -> str:
    """Return the key if it is one, else raise `StoreError`.

    A key is not empty, has no empty segment (so it neither begins nor ends with "/"), no segment "." or "..",
    no backslash and no NUL, and no segment that begins with ".gpuzarr-" (files that are being written).

    >>> check_key("volume/c/0/1")
    'volume/c/0/1'
    >>> check_key("../secret")
    Traceback (most recent call last):
        ...
    gpuzarr.errors.StoreError: a key has no segment '..' [key '../secret']
    """
    padded = f"/{key}/"
    # Few keys have any of these, so most keys are done after four searches.
    if "/." in padded or "//" in padded or "\\" in padded or "\0" in padded:
        fault = _fault(key)
        if fault:
            raise StoreError(f"a key has no {fault}", key=key)
    return key


def _fault(key: str) -> str | None:
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            return f"segment {segment!r}"
        if segment.startswith(RESERVED):
            return f"segment that begins with {RESERVED!r}"
    if "\\" in key:
        return "backslash"
    return "NUL" if "\0" in key else None


def is_key(name: object) -> bool:
    """Whether a name that was found in a medium is a key; what is not is no part of the store."""
    return isinstance(name, str) and _fault(name) is None


def folder_of(prefix: str) -> str:
    """What the keys under `prefix` begin with: "" for the root, else the checked prefix and a slash."""
    return f"{check_key(prefix)}/" if prefix else ""


def split_prefix(prefix: str) -> tuple[str, str]:
    """The folder (checked, "" for the root) that holds what begins with `prefix`, and the rest of it."""
    folder, _, start = prefix.rpartition("/")
    if folder or prefix.startswith("/"):
        check_key(folder)
    return folder, start


_process = secrets.token_hex(4)
_count = count()


def temporary_name() -> str:
    """A file name that no other writer takes and that is never listed."""
    # The token tells machines on one network file system apart, the id tells forked children apart.
    return f"{RESERVED}{_process}-{getpid()}-{next(_count)}"


def flat_bytes(value: Buffer, key: str) -> memoryview:
    """The value as one row of bytes, without a copy; `StoreError` if it is not C-contiguous."""
    view = memoryview(value)
    if not view.c_contiguous:
        raise StoreError("a value must be C-contiguous", key=key)
    return view.cast("B") if view.nbytes else memoryview(b"")


def part_of(value: Buffer, range: ByteRange | None) -> Buffer:
    """The part of a value in memory that `range` names, without a copy."""
    if range is None:
        return value
    start, stop = range.of(len(value))
    return value if stop - start == len(value) else memoryview(value)[start:stop]


class StoreBase:
    """What all stores of this package share: a name, and refusing to write."""

    url: str
    read_only: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def place(self) -> Hashable:
        """What stores over the same values have in common, and no others in this process."""
        return self.url

    def reading(self) -> Self:
        """The same store for reading only; what is written through this one is seen there."""
        if self.read_only:
            return self
        view = object.__new__(type(self))
        # It holds this store, so that what ends with it does not end too early.
        view.__dict__.update(self.__dict__, read_only=True, _writable=self)
        return view

    def _check_writable(self, key: str | None = None) -> None:
        if self.read_only:
            raise StoreError(f"{self.url} is open for reading only", key=key)


def same_store(one: Store, other: Store) -> bool:
    """Whether two stores hold the same values because they are the same place, whichever object stands for it.

    >>> from gpuzarr.store import open_store
    >>> values = {}
    >>> same_store(open_store(values), open_store(values)), same_store(open_store(values), open_store({}))
    (True, False)
    """
    if isinstance(one, StoreBase) and isinstance(other, StoreBase):
        return one.place == other.place
    return one is other or (type(one) is type(other) and one.url == other.url)


class FlatStore(StoreBase):
    """Folders for a store that knows only keys."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        """Remove a value."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> Names:
        """The names directly under `prefix` ("" is the root), sorted."""
        folder = folder_of(prefix)
        return sorted({key[len(folder) :].partition("/")[0] for key in self.list(folder)})

    def delete_prefix(self, prefix: str) -> None:
        """Remove every key under `prefix` ("" is the root)."""
        self._check_writable()
        for key in tuple(self.list(folder_of(prefix))):
            self.delete(key)
