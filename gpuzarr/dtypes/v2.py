"""Data types by the names that Zarr 2 gives them: NumPy's type strings."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import numpy as np

from gpuzarr.dtypes.names import JSON, MAX_ITEM, MAX_NESTING, STRING, DataType, refuse_type
from gpuzarr.errors import MetadataError, UnsupportedError

__all__ = ["OBJECT", "OBJECT_CODECS", "from_v2", "v2_json"]

OBJECT_CODECS = frozenset(
    ("categorize", "json", "json2", "msgpack", "msgpack2", "pickle", "vlen-array", "vlen-bytes", "vlen-utf8")
)
"""Ids of numcodecs' codecs that make bytes of Python objects."""

_TYPESTR = re.compile(
    r"([<>|])([biufcmMSUV])([0-9]{0,10})(\[(?:([0-9]{0,10})(?:Y|M|W|D|h|m|s|ms|us|μs|ns|ps|fs|as)|generic)\])?",
    re.ASCII,
)
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16), "m": (8,), "M": (8,)}

OBJECT = "|O"
"""The type string of Python objects, which a filter makes bytes of."""

_OF_CODEC = {"vlen-utf8": "string", "vlen-bytes": "bytes"}
"""Types of format 3 that objects are, by the codec that makes bytes of them."""


def from_v2(value: JSON, path: str | None, object_codec: str | None = None) -> DataType:
    """The type that a `dtype` member names (Zarr 2, section "Data type encoding").

    Type strings of NumPy's array interface, byte order first, and lists of `[name, type]` or `[name, type,
    shape]`. What objects (`|O`) are is up to `object_codec`, the id of the first filter. Raises MetadataError for
    what names no type, UnsupportedError for objects inside structured types and extended precision.

    >>> from_v2([["x", "<f4"], ["rgb", "|u1", [3]]], "").dtype
    dtype([('x', '<f4'), ('rgb', 'u1', (3,))])
    >>> from_v2("|O", "", "vlen-utf8").name
    'string'
    """
    if value == OBJECT:
        return _objects(object_codec, path)
    if isinstance(value, str):
        return _v2_simple(value, path)
    return _of_wire(_v2_wire(value, path, 0))


def _objects(codec: str | None, path: str | None) -> DataType:
    if codec not in OBJECT_CODECS:
        refuse_type(
            f"objects, and the first filter makes no bytes of them: {', '.join(sorted(OBJECT_CODECS))} do", path
        )
    name = _OF_CODEC.get(codec, "object")
    dtype: np.dtype[Any] = STRING if name == "string" else np.dtype(object)
    return DataType(dtype, dtype, OBJECT, name)


@lru_cache(maxsize=256)
def _v2_simple(typestr: str, path: str | None) -> DataType:
    return _of_wire(_typestr(typestr, path))


def _of_wire(wire: np.dtype[Any]) -> DataType:
    dtype: np.dtype[Any] = wire.newbyteorder("=")
    return DataType(dtype, wire, v2_json(wire), _short(dtype))


def _v2_wire(value: JSON, path: str | None, depth: int) -> np.dtype[Any]:
    if isinstance(value, str):
        return _typestr(value, path)
    if not isinstance(value, list) or not value:
        refuse_type("is neither a type string nor a list of fields", path)
    if depth == MAX_NESTING:
        refuse_type(f"nested deeper than {MAX_NESTING} structured types", path)
    fields = [_v2_field(item, path, depth) for item in value]
    if sum(dtype.itemsize * math.prod(shape) for _, dtype, shape in fields) > MAX_ITEM:
        refuse_type(f"an element is larger than {MAX_ITEM} bytes", path)
    try:
        return np.dtype(fields)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"not a structured type: {error}", path=path, field="data_type") from None


def _v2_field(item: JSON, path: str | None, depth: int) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not isinstance(item, list) or len(item) not in (2, 3) or not isinstance(item[0], str):
        refuse_type("a field is [name, type] or [name, type, shape]", path)
    shape = item[2] if len(item) == 3 else []
    lengths = shape if isinstance(shape, list) else [shape]
    if not all(type(n) is int and 0 < n <= MAX_ITEM for n in lengths):
        refuse_type(f"the shape of field {item[0]!r:.100} is not a list of positive integers", path)
    return item[0], _v2_wire(item[1], path, depth + 1), tuple(n for n in lengths if isinstance(n, int))


def _typestr(typestr: str, path: str | None) -> np.dtype[Any]:
    if typestr == OBJECT:
        raise UnsupportedError("objects inside a structured type", feature="objects in a structured type", path=path)
    match = _TYPESTR.fullmatch(typestr)
    if match is None:
        refuse_type(f"{typestr!r:.100} is not a type string such as '<f4'", path)
    order, kind, digits, unit, multiple = match.groups()
    size = int(digits or "0")
    if kind in "fc" and size in (10, 12, 16, 20, 24, 32) and size not in _SIZES[kind]:
        raise UnsupportedError(f"{typestr}: extended precision", feature="extended precision", path=path)
    if kind in _SIZES and size not in _SIZES[kind]:
        refuse_type(f"{typestr!r} has a size that no such type has", path)
    if not 0 < size * (4 if kind == "U" else 1) <= MAX_ITEM:
        refuse_type(f"{typestr!r}: an element has 1 to {MAX_ITEM} bytes", path)
    if order == "|" and size > 1 and kind not in "SV":
        refuse_type(f"{typestr!r} does not say its byte order", path)
    if unit and (kind not in "mM" or (multiple and not 0 < int(multiple) < 1 << 31)):
        refuse_type(f"{typestr!r} has a unit that it can't have", path)
    try:
        return np.dtype(typestr)
    except TypeError as error:
        raise MetadataError(f"{typestr!r} is no type: {error}", path=path, field="data_type") from None


def v2_json(wire: np.dtype[Any]) -> JSON:
    if wire.fields is None or wire.names is None:
        return wire.str
    out: list[JSON] = []
    for name in wire.names:
        sub = wire.fields[name][0]
        entry: list[JSON] = [name, v2_json(sub.base)]
        out.append([*entry, list(sub.shape)] if sub.shape else entry)
    return out


def _short(dtype: np.dtype[Any]) -> str:
    """A name for people: NumPy's, but sizes of strings in characters, and the fields of a structured type.

    >>> _short(np.dtype("U3")), _short(np.dtype([("x", "f4"), ("y", "i2", (3,))]))
    ('U3', 'struct(x: float32, y: int16[3])')
    """
    if dtype.fields is not None and dtype.names is not None:
        parts = (f"{name}: {_short(dtype.fields[name][0])}" for name in dtype.names)
        return f"struct({', '.join(parts)})"
    if dtype.subdtype is not None:
        return f"{_short(dtype.base)}[{', '.join(map(str, dtype.shape))}]"
    return dtype.str[1:] if dtype.kind in "SUV" else dtype.name
