"""What can go wrong: one base class, and a leaf for each kind of fault with the fields that locate it.

Each leaf also inherits the built-in exception a caller would catch without knowing gpuzarr.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CodecError",
    "DeviceError",
    "DeviceMemoryError",
    "GpuzarrError",
    "MetadataError",
    "NodeExistsError",
    "NodeNotFoundError",
    "SelectionError",
    "ShapeError",
    "StoreError",
    "UnknownCodecError",
    "UnsupportedError",
]


class GpuzarrError(Exception):
    """Base of every error gpuzarr raises on purpose.

    The fields a leaf lists in `fields` are keyword arguments, attributes, and the prefix of the message.

    >>> error = CodecError("checksum does not match", codec="crc32c", key="a/c/0/1", chunk=(0, 1))
    >>> print(error)
    checksum does not match [codec crc32c, key 'a/c/0/1', chunk (0, 1)]
    >>> error.key
    'a/c/0/1'
    """

    fields: tuple[str, ...] = ()

    def __init__(self, reason: str, **where: Any) -> None:
        unknown = set(where) - set(self.fields)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {min(unknown)!r}")
        super().__init__(reason)
        self.reason = reason
        for name in self.fields:
            setattr(self, name, where.get(name))

    def where(self) -> dict[str, Any]:
        """The fields that are known."""
        return {n: getattr(self, n) for n in self.fields if getattr(self, n) is not None}

    def __str__(self) -> str:
        known = self.where()
        if not known:
            return self.reason
        quoted = {"key", "path"}
        parts = (f"{n} {v!r}" if n in quoted else f"{n} {v}" for n, v in known.items())
        return f"{self.reason} [{', '.join(parts)}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.reason, self.where())


def _rebuild(kind: type[GpuzarrError], reason: str, where: dict[str, Any]) -> GpuzarrError:
    return kind(reason, **where)


class MetadataError(GpuzarrError, ValueError):
    """A document is not what the specification allows."""

    fields = ("path", "field")
    path: str | None
    field: str | None


class NodeNotFoundError(GpuzarrError, KeyError, FileNotFoundError):
    """No array or group there: what `group["missing"]` and `open` raise in zarr-python, in one."""

    fields = ("path",)
    path: str | None


class NodeExistsError(GpuzarrError, FileExistsError):
    """An array or group is there already, and overwriting was not asked for."""

    fields = ("path",)
    path: str | None


class SelectionError(GpuzarrError, IndexError):
    """A selection that the array does not have."""

    fields = ("selection", "shape")
    selection: Any
    shape: tuple[int, ...] | None


class UnknownCodecError(GpuzarrError, LookupError):
    """A codec that gpuzarr does not know, by name."""

    fields = ("codec", "path")
    codec: str | None
    path: str | None


class StoreError(GpuzarrError, OSError):
    """The store could not do what was asked."""

    fields = ("key",)
    key: str | None


class CodecError(GpuzarrError, ValueError):
    """Bytes that a codec can't decode, or values it can't encode."""

    fields = ("codec", "key", "chunk", "direction")
    codec: str | None
    key: str | None
    chunk: tuple[int, ...] | None
    direction: str | None


class DeviceError(GpuzarrError, RuntimeError):
    """A device, or its libraries, failed or is not there."""

    fields = ("device", "kernel")
    device: str | None
    kernel: str | None


class DeviceMemoryError(DeviceError, MemoryError):
    """A device, or pinned memory, has no room for what was asked."""


class UnsupportedError(GpuzarrError, NotImplementedError):
    """Legal, but not something gpuzarr does (yet, or on this machine)."""

    fields = ("feature", "path")
    feature: str | None
    path: str | None


class ShapeError(GpuzarrError, ValueError):
    """Values, or an `out` array, that do not fit what was selected."""

    fields = ("shape", "wanted")
    shape: tuple[int, ...] | None
    wanted: tuple[int, ...] | None
