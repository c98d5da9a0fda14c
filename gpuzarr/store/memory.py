"""Values in this process's memory: for tests, for scratch, and for what is not worth a file."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

from gpuzarr.errors import StoreError, UnsupportedError
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, FlatStore, check_key, flat_bytes, part_of, split_prefix

__all__ = ["MemoryStore"]

_Values = dict[str, tuple[int, bytes]]

_named: dict[str, _Values] = {}
_process = secrets.token_hex(8)
_versions = count()


class MemoryStore(FlatStore):
    """A dictionary.

    Args:
        name: stores of the same name in one process share their values, and `memory://name` opens them. A
            named store can be pickled within its process and into its forked children (which have the values
            as they were), and nowhere else. A nameless one can't be pickled.
        read_only: refuse to change anything.

    >>> MemoryStore("scratch").put("a", b"1")
    >>> MemoryStore("scratch").get("a")
    b'1'
    """

    def __init__(self, name: str | None = None, *, read_only: bool = False) -> None:
        self.name = name
        self.read_only = read_only
        self.url = f"memory://{quote(name or '', safe='')}"
        self._values: _Values = {} if name is None else _named.setdefault(name, {})

    @property
    def place(self) -> Hashable:
        """The values, which have a name or not."""
        return "memory", id(self._values)

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value or a part of it, not copied; None where there is none."""
        found = self._values.get(check_key(key))
        return None if found is None else part_of(found[1], range)

    def put(self, key: str, value: Buffer) -> None:
        """Keep the value: itself if it is `bytes`, else a copy."""
        self._check_writable(key)
        kept = value if type(value) is bytes else bytes(flat_bytes(value, key))
        self._values[check_key(key)] = next(_versions), kept

    def delete(self, key: str) -> None:
        """Forget the value."""
        self._check_writable(key)
        self._values.pop(check_key(key), None)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`, as of now."""
        split_prefix(prefix)
        return iter([key for key in tuple(self._values) if key.startswith(prefix)])

    def size(self, key: str) -> int | None:
        """Bytes of the value; None where there is none."""
        found = self._values.get(check_key(key))
        return None if found is None else len(found[1])

    def version(self, key: str) -> Hashable | None:
        """The number of the `put`."""
        found = self._values.get(check_key(key))
        return None if found is None else found[0]

    def __reduce__(self) -> tuple[Any, ...]:
        if self.name is None:
            reason = "a nameless memory store can't be pickled: name it, or use a store that others can reach"
            raise UnsupportedError(reason, feature="pickle")
        return _named_store, (self.name, self.read_only, _process)


def _named_store(name: str, read_only: bool, process: str) -> MemoryStore:
    # An empty store under the same name would read as fill values everywhere.
    if process != _process:
        raise StoreError(f"memory://{name} is in another process: use a store that both can reach")
    return MemoryStore(name, read_only=read_only)
