"""Any mutable mapping from keys to bytes as a store."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping
from typing import Any

from gpuzarr.errors import StoreError
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, FlatStore, check_key, flat_bytes, is_key, part_of, split_prefix

__all__ = ["MappingStore"]


class MappingStore(FlatStore):
    """A mapping that somebody else owns and may change. It pickles if the mapping does.

    What is in the mapping under anything but a key (`check_key`) is not part of the store.

    >>> values = {}
    >>> MappingStore(values).put("a/0", b"1")
    >>> values
    {'a/0': b'1'}
    """

    def __init__(self, mapping: MutableMapping[str, Any], *, read_only: bool = False) -> None:
        self.mapping = mapping
        self.read_only = read_only
        self.url = f"mapping://{type(mapping).__name__}"

    @property
    def place(self) -> Hashable:
        """The mapping itself."""
        return "mapping", id(self.mapping)

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value or a part of it; None where there is none. `StoreError` if it is not bytes."""
        try:
            value = self.mapping[check_key(key)]
        except KeyError:
            return None
        except OSError as error:
            raise _failed("read", key, error) from error
        try:
            return part_of(value if type(value) is bytes else flat_bytes(value, key), range)
        except TypeError as error:
            raise StoreError(f"the value is not bytes but {type(value).__name__}", key=key) from error

    def put(self, key: str, value: Buffer) -> None:
        """Set the value as `bytes`."""
        self._check_writable(key)
        kept = value if type(value) is bytes else bytes(flat_bytes(value, key))
        try:
            self.mapping[check_key(key)] = kept
        except OSError as error:
            raise _failed("write", key, error) from error

    def delete(self, key: str) -> None:
        """Remove the value."""
        self._check_writable(key)
        try:
            self.mapping.pop(check_key(key), None)
        except OSError as error:
            raise _failed("delete", key, error) from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`, as of now."""
        split_prefix(prefix)
        try:
            names = tuple(self.mapping)
        except OSError as error:
            raise _failed("list", prefix, error) from error
        return iter([name for name in names if is_key(name) and name.startswith(prefix)])


def _failed(what: str, key: str, error: OSError) -> StoreError:
    if isinstance(error, StoreError):
        return error
    return StoreError(f"can't {what}: {error.strerror or error}", key=key)
