"""Data types by the names that Zarr 2 and 3 give them, as NumPy types and back.

The rule: read what the specifications allow and what known writers wrote; name only what the specifications
allow.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import numpy as np

from gpuzarr.errors import MetadataError, UnsupportedError

__all__ = [
    "JSON",
    "ML_FLOATS",
    "ML_INTS",
    "DataType",
    "MetadataWarning",
    "from_numpy",
    "from_v2",
    "from_v3",
]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | None"
"""What a JSON text holds; bool is among int."""

MAX_ITEM = 1 << 26
"""Bytes that one element may have: fill values are made in memory before any chunk is asked for."""

MAX_NESTING = 32
"""Structured types inside structured types."""

ML_INTS = frozenset({"int2", "int4", "uint2", "uint4"})
_SMALL_FLOATS = (
    "e3m4",
    "e4m3",
    "e4m3b11fnuz",
    "e4m3fn",  # ml_dtypes' name, which TensorStore writes; not registered
    "e4m3fnuz",
    "e5m2",
    "e5m2fnuz",
    "e8m0fnu",
)
ML_FLOATS = frozenset({"bfloat16", "float4_e2m1fn", *(f"float8_{n}" for n in _SMALL_FLOATS)})
ML_NAMES = ML_INTS | ML_FLOATS

_LATER = frozenset(
    {
        "string",
        "bytes",
        "variable_length_bytes",
        "fixed_length_utf32",
        "null_terminated_bytes",
        "raw_bytes",
        "struct",
        "structured",
        "numpy.datetime64",
        "numpy.timedelta64",
        "float6_e2m3fn",
        "float6_e3m2fn",
        "complex_bfloat16",
        "complex_float16",
        "complex_float4_e2m1fn",
        "complex_float6_e2m3fn",
        "complex_float6_e3m2fn",
        *(f"complex_float8_{n}" for n in _SMALL_FLOATS),
    }
)

_INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_CORE = ("bool", *_INTS, "float16", "float32", "float64", "complex64", "complex128")

_TYPESTR = re.compile(
    r"([<>|])([biufcmMSUV])([0-9]{0,10})(\[(?:([0-9]{0,10})(?:Y|M|W|D|h|m|s|ms|us|μs|ns|ps|fs|as)|generic)\])?",
    re.ASCII,
)
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16), "m": (8,), "M": (8,)}


class MetadataWarning(UserWarning):
    """A document says something that no specification allows, but that known writers wrote; it was read."""


@dataclass(frozen=True, slots=True)
class DataType:
    """An element type: what arrays hold, what the store holds, and how a document names it.

    `dtype` is in native byte order throughout; `wire` is in the order of the stored bytes (format 2: the type
    string's own; format 3: little endian, which the `bytes` codec's `endian` overrides); `json` is the name
    in the node's own format; `name` is for people.

    >>> big = from_v2(">u2", "")
    >>> big.wire.str, big.json, big.name
    ('>u2', '>u2', 'uint16')
    """

    dtype: np.dtype[Any]
    wire: np.dtype[Any]
    json: JSON = field(hash=False)
    name: str


def from_v3(value: JSON, path: str | None) -> DataType:
    """The type that a `data_type` member names.

    Zarr 3.1 core, section "Data types", and the folder data-types of zarr-extensions. Raises MetadataError
    where nothing has that name, UnsupportedError for a known type that is not read (yet).

    >>> from_v3("float32", "").dtype
    dtype('float32')
    >>> from_v3("r24", "").dtype
    dtype('V3')
    """
    if isinstance(value, str):
        core = _V3_CORE.get(value)
        return core if core is not None else _v3_named(value, path)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        _refuse("is neither a name nor an object with a name", path)
    name = str(value["name"])
    if name in _LATER:
        _later(name, path)
    if value.get("must_understand", True) is not True:
        _refuse("must be understood, and says that it need not be", path)
    if value.keys() - {"name", "configuration", "must_understand"} or value.get("configuration", {}) != {}:
        _refuse(f"{name!r} takes no configuration", path)
    return from_v3(name, path)


def _v3_named(name: str, path: str | None) -> DataType:
    if name in ML_NAMES:
        dtype = _ml_dtype(name, path)
        return DataType(dtype, dtype, name, name)
    if name in _LATER:
        _later(name, path)
    raw = re.fullmatch(r"r([1-9][0-9]{0,10})", name, re.ASCII)
    if raw is None:
        _refuse(f"unknown data type {name!r:.100}", path)
    return _raw(int(raw[1]), path)


def _raw(bits: int, path: str | None) -> DataType:
    if bits % 8 or bits // 8 > MAX_ITEM:
        _refuse(f"r{bits}: the bits must be whole bytes, {MAX_ITEM} at most", path)
    dtype = np.dtype(f"V{bits // 8}")
    return DataType(dtype, dtype, f"r{bits}", f"r{bits}")


def _ml_dtype(name: str, path: str | None) -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedError(
            f"data type {name} needs ml_dtypes: pip install gpuzarr[dtypes]", feature=name, path=path
        ) from None
    if not hasattr(ml_dtypes, name):
        raise UnsupportedError(f"data type {name} needs a newer ml_dtypes", feature=name, path=path)
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return dtype


def _refuse(reason: str, path: str | None) -> NoReturn:
    raise MetadataError(reason, path=path, field="data_type")


def _later(name: str, path: str | None) -> NoReturn:
    raise UnsupportedError(f"data type {name} is not read yet", feature=f"data type {name}", path=path)


def from_v2(value: JSON, path: str | None) -> DataType:
    """The type that a `dtype` member names (Zarr 2, section "Data type encoding").

    Type strings of NumPy's array interface, byte order first, and lists of `[name, type]` or `[name, type,
    shape]`. Raises MetadataError for what names no type, UnsupportedError for objects (`|O`) and extended
    precision.

    >>> from_v2([["x", "<f4"], ["rgb", "|u1", [3]]], "").dtype
    dtype([('x', '<f4'), ('rgb', 'u1', (3,))])
    """
    if isinstance(value, str):
        return _v2_simple(value, path)
    return _of_wire(_v2_wire(value, path, 0))


@lru_cache(maxsize=256)
def _v2_simple(typestr: str, path: str | None) -> DataType:
    return _of_wire(_typestr(typestr, path))


def _of_wire(wire: np.dtype[Any]) -> DataType:
    dtype: np.dtype[Any] = wire.newbyteorder("=")
    return DataType(dtype, wire, _v2_json(wire), _short(dtype))


def _v2_wire(value: JSON, path: str | None, depth: int) -> np.dtype[Any]:
    if isinstance(value, str):
        return _typestr(value, path)
    if not isinstance(value, list) or not value:
        _refuse("is neither a type string nor a list of fields", path)
    if depth == MAX_NESTING:
        _refuse(f"nested deeper than {MAX_NESTING} structured types", path)
    fields = [_v2_field(item, path, depth) for item in value]
    if sum(dtype.itemsize * math.prod(shape) for _, dtype, shape in fields) > MAX_ITEM:
        _refuse(f"an element is larger than {MAX_ITEM} bytes", path)
    try:
        return np.dtype(fields)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"not a structured type: {error}", path=path, field="data_type") from None


def _v2_field(item: JSON, path: str | None, depth: int) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not isinstance(item, list) or len(item) not in (2, 3) or not isinstance(item[0], str):
        _refuse("a field is [name, type] or [name, type, shape]", path)
    shape = item[2] if len(item) == 3 else []
    lengths = shape if isinstance(shape, list) else [shape]
    if not all(type(n) is int and 0 < n <= MAX_ITEM for n in lengths):
        _refuse(f"the shape of field {item[0]!r:.100} is not a list of positive integers", path)
    return item[0], _v2_wire(item[1], path, depth + 1), tuple(n for n in lengths if isinstance(n, int))


def _typestr(typestr: str, path: str | None) -> np.dtype[Any]:
    if typestr == "|O":
        raise UnsupportedError("arrays of objects are not read yet", feature="data type |O", path=path)
    match = _TYPESTR.fullmatch(typestr)
    if match is None:
        _refuse(f"{typestr!r:.100} is not a type string such as '<f4'", path)
    order, kind, digits, unit, multiple = match.groups()
    size = int(digits or "0")
    if kind in "fc" and size in (10, 12, 16, 20, 24, 32) and size not in _SIZES[kind]:
        raise UnsupportedError(f"{typestr}: extended precision", feature="extended precision", path=path)
    if kind in _SIZES and size not in _SIZES[kind]:
        _refuse(f"{typestr!r} has a size that no such type has", path)
    if not 0 < size * (4 if kind == "U" else 1) <= MAX_ITEM:
        _refuse(f"{typestr!r}: an element has 1 to {MAX_ITEM} bytes", path)
    if order == "|" and size > 1 and kind not in "SV":
        _refuse(f"{typestr!r} does not say its byte order", path)
    if unit and (kind not in "mM" or (multiple and not 0 < int(multiple) < 1 << 31)):
        _refuse(f"{typestr!r} has a unit that it can't have", path)
    try:
        return np.dtype(typestr)
    except TypeError as error:
        raise MetadataError(f"{typestr!r} is no type: {error}", path=path, field="data_type") from None


def _v2_json(wire: np.dtype[Any]) -> JSON:
    if wire.fields is None or wire.names is None:
        return wire.str
    out: list[JSON] = []
    for name in wire.names:
        sub = wire.fields[name][0]
        entry: list[JSON] = [name, _v2_json(sub.base)]
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


def from_numpy(dtype: Any, zarr_format: int) -> DataType:
    """The type that `create_array(dtype=...)` asks for: anything `numpy.dtype` takes, or a Zarr 3 name.

    Format 2 keeps the byte order that is asked for; format 3 leaves it to the `bytes` codec. Raises
    MetadataError for what is no type, UnsupportedError for one that the format can't name (yet).

    >>> from_numpy("bfloat16", 3).name, from_numpy(">i4", 2).json, from_numpy(">i4", 3).json
    ('bfloat16', '>i4', 'int32')
    """
    if isinstance(dtype, DataType):
        dtype = dtype.wire
    if isinstance(dtype, str) and (dtype in ML_NAMES or re.fullmatch(r"r[0-9]+", dtype, re.ASCII)):
        return _v3_only(dtype, zarr_format)
    try:
        wanted = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        if zarr_format == 3 and isinstance(dtype, str):
            return from_v3(dtype, None)
        raise MetadataError(f"not a data type: {error}", field="data_type") from None
    if wanted.type.__module__ == "ml_dtypes":
        return _v3_only(wanted.name, zarr_format)
    if wanted.subdtype is not None:
        _refuse(f"{dtype!r:.100} is a shape of elements, not an element", None)
    return from_v2(_v2_json(wanted), None) if zarr_format == 2 else _v3_of(wanted)


def _v3_only(name: str, zarr_format: int) -> DataType:
    if zarr_format != 3:
        feature = f"data type {name} in format 2"
        raise UnsupportedError(f"only Zarr format 3 has data type {name}", feature=feature)
    return from_v3(name, None)


def _v3_of(dtype: np.dtype[Any]) -> DataType:
    if dtype.kind == "V" and dtype.names is None:
        return from_v3(f"r{dtype.itemsize * 8}", None)
    if dtype.name not in _V3_CORE:
        _later(dtype.name, None)
    return _V3_CORE[dtype.name]


_V3_CORE = {n: DataType(np.dtype(n), np.dtype(n).newbyteorder("<"), n, n) for n in _CORE}
# registered in zarr-extensions as other names of the core types
_V3_CORE["complex_float32"] = _V3_CORE["complex64"]
_V3_CORE["complex_float64"] = _V3_CORE["complex128"]
