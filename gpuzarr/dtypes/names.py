"""What a data type is, and data types by the names that Zarr 3 gives them.

The rule: read what the specifications allow and what known writers wrote; name only what the specifications
allow, and what zarr-python writes where they have no name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np

from gpuzarr.errors import MetadataError, UnsupportedError

__all__ = [
    "BITS",
    "COMPLEX",
    "JSON",
    "MAX_ITEM",
    "MAX_NESTING",
    "ML_FLOATS",
    "ML_INTS",
    "ML_NAMES",
    "STRING",
    "DataType",
    "from_v3",
    "plain",
    "refuse_type",
]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | None"
"""What a JSON text holds; bool is among int."""

MAX_ITEM = 1 << 26
"""Bytes that one element may have: fill values are made in memory before any chunk is asked for."""

MAX_NESTING = 32
"""Structured types inside structured types."""

ML_INTS = frozenset({"int2", "int4", "uint2", "uint4"})
_SMALL_FLOATS = (
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",  # ml_dtypes' name, which TensorStore writes; not registered
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
ML_FLOATS = frozenset({"bfloat16", *_SMALL_FLOATS})
ML_NAMES = ML_INTS | ML_FLOATS
ML_COMPLEX = {"complex_bfloat16": "bcomplex32", "complex_float16": "complex32"}
"""Complex types that ml_dtypes has, and its names for them."""

COMPLEX = frozenset({*ML_COMPLEX, *(f"complex_{name}" for name in _SMALL_FLOATS)})
"""Complex types that NumPy lacks; those that ml_dtypes lacks too are structured types of two parts."""

_SIXES = ("float6_e2m3fn", "float6_e3m2fn", "complex_float6_e2m3fn", "complex_float6_e3m2fn")
_FOURS = ("int4", "uint4", "float4_e2m1fn", "complex_float4_e2m1fn")
BITS = dict.fromkeys(("int2", "uint2"), 2) | dict.fromkeys(_FOURS, 4) | dict.fromkeys(_SIXES, 6)
"""Bits that are used of each byte of types of less than a byte, which are stored one a byte."""

STRING: np.dtype[Any] = np.dtypes.StringDType()
"""NumPy's strings of any length, which zarr-python gives too."""

UNITS = frozenset(("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic"))

_INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_CORE = ("bool", *_INTS, "float16", "float32", "float64", "complex64", "complex128")


@dataclass(frozen=True, slots=True)
class DataType:
    """An element type: what arrays hold, what the store holds, and how a document names it.

    `dtype` is in native byte order throughout; `wire` is in the order of the stored bytes (format 2: the type
    string's own; format 3: little endian, which the `bytes` codec's `endian` overrides); `json` is the name
    in the node's own format; `name` is for people; `fields` are those of a structured type of format 3.

    Types of no fixed size are "string" (in memory NumPy's `StringDType`), "bytes" and "object" (Python objects).

    >>> from_v3("bytes", "").dtype, from_v3("string", "").dtype
    (dtype('O'), StringDType())
    """

    dtype: np.dtype[Any]
    wire: np.dtype[Any]
    json: JSON = field(hash=False)
    name: str
    fields: tuple[tuple[str, DataType], ...] = field(default=(), hash=False)

    @property
    def is_object(self) -> bool:
        """Whether elements are Python objects or strings, of no fixed size."""
        return self.dtype.hasobject


def from_v3(value: JSON, path: str | None) -> DataType:
    """The type that a `data_type` member names.

    Zarr 3.1 core, section "Data types", the folder data-types of zarr-extensions, and the names of zarr-python
    (`null_terminated_bytes`, `raw_bytes`, `variable_length_bytes`). Raises MetadataError where nothing has that
    name, UnsupportedError for a known type that needs a package which is not there.

    >>> from_v3("float32", "").dtype
    dtype('float32')
    >>> from_v3("r24", "").dtype
    dtype('V3')
    >>> from_v3({"name": "numpy.datetime64", "configuration": {"unit": "ms", "scale_factor": 10}}, "").dtype
    dtype('<M8[10ms]')
    """
    return _v3(value, path, 0)


def _v3(value: JSON, path: str | None, depth: int) -> DataType:
    if isinstance(value, str):
        core = _V3_CORE.get(value)
        return core if core is not None else _v3_named(value, path)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        refuse_type("is neither a name nor an object with a name", path)
    name, configuration = str(value["name"]), value.get("configuration", {})
    if value.get("must_understand", True) is not True:
        refuse_type("must be understood, and says that it need not be", path)
    if value.keys() - {"name", "configuration", "must_understand"} or not isinstance(configuration, dict):
        refuse_type(f"{name!r:.100} has a member that types have not", path)
    if name in ("struct", "structured"):
        return _struct(name, configuration, path, depth)
    if name in _CONFIGURED:
        return _CONFIGURED[name](name, configuration, path)
    if configuration:
        refuse_type(f"{name!r:.100} takes no configuration", path)
    return _v3(name, path, depth)


def _v3_named(name: str, path: str | None) -> DataType:
    if name in ML_NAMES:
        dtype = _ml_dtype(name, name, path)
        return DataType(dtype, dtype, name, name)
    if name in COMPLEX:
        return _complex(name, path)
    if name in _CONFIGURED or name in ("struct", "structured"):
        refuse_type(f"{name!r} needs a configuration", path)
    raw = re.fullmatch(r"r([1-9][0-9]{0,10})", name, re.ASCII)
    if raw is None:
        refuse_type(f"unknown data type {name!r:.100}", path)
    return _raw_bits(int(raw[1]), path)


def _raw_bits(bits: int, path: str | None) -> DataType:
    if bits % 8 or bits // 8 > MAX_ITEM:
        refuse_type(f"r{bits}: the bits must be whole bytes, {MAX_ITEM} at most", path)
    dtype = np.dtype(f"V{bits // 8}")
    return DataType(dtype, dtype, f"r{bits}", f"r{bits}")


def _ml_dtype(name: str, attribute: str, path: str | None) -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedError(
            f"data type {name} needs ml_dtypes: pip install gpuzarr[dtypes]", feature=name, path=path
        ) from None
    if not hasattr(ml_dtypes, attribute):
        raise UnsupportedError(f"data type {name} needs a newer ml_dtypes", feature=name, path=path)
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, attribute))
    return dtype


def _complex(name: str, path: str | None) -> DataType:
    part = name.removeprefix("complex_")
    if name in ML_COMPLEX:
        dtype = _ml_dtype(name, ML_COMPLEX[name], path)
    else:
        half = _ml_dtype(part, part, path)
        dtype = np.dtype([("real", half), ("imag", half)])
    return DataType(dtype, dtype, name, name)


def refuse_type(reason: str, path: str | None) -> NoReturn:
    raise MetadataError(reason, path=path, field="data_type")


# ---- types with a configuration --------------------------------------------------------------------------------------


def _length(name: str, configuration: dict[str, JSON], path: str | None) -> int:
    length = configuration.get("length_bytes")
    if configuration.keys() != {"length_bytes"} or type(length) is not int or not 0 < length <= MAX_ITEM:
        refuse_type(f"{name}: the configuration is length_bytes, an integer from 1 to {MAX_ITEM}", path)
    return length


def _text(name: str, configuration: dict[str, JSON], path: str | None) -> DataType:
    length = _length(name, configuration, path)
    if length % 4:
        refuse_type(f"{name}: length_bytes {length} is no multiple of 4", path)
    dtype: np.dtype[Any] = np.dtype(f"U{length // 4}")
    return DataType(dtype, dtype.newbyteorder("<"), _json(name, configuration), f"U{length // 4}")


def _byte_strings(name: str, configuration: dict[str, JSON], path: str | None) -> DataType:
    letter = "S" if name == "null_terminated_bytes" else "V"
    dtype: np.dtype[Any] = np.dtype(f"{letter}{_length(name, configuration, path)}")
    return DataType(dtype, dtype, _json(name, configuration), dtype.str[1:])


def _time(name: str, configuration: dict[str, JSON], path: str | None) -> DataType:
    unit, scale = configuration.get("unit"), configuration.get("scale_factor")
    if configuration.keys() != {"unit", "scale_factor"} or unit not in UNITS:
        refuse_type(f"{name}: the configuration is unit, one of NumPy's, and scale_factor", path)
    if type(scale) is not int or not 0 < scale < 1 << 31:
        refuse_type(f"{name}: scale_factor {scale!r:.100} is no integer from 1 to 2147483647", path)
    kind = "M8" if name == "numpy.datetime64" else "m8"
    # Of no unit there are no multiples, in NumPy and in zarr-python.
    dtype: np.dtype[Any] = np.dtype(kind if unit == "generic" else f"{kind}[{scale}{unit}]")
    return DataType(dtype, dtype.newbyteorder("<"), _json(name, configuration), dtype.name)


def _json(name: str, configuration: dict[str, JSON]) -> JSON:
    return {"name": name, "configuration": configuration}


_CONFIGURED: dict[str, Callable[[str, dict[str, JSON], str | None], DataType]] = {
    "fixed_length_utf32": _text,
    "null_terminated_bytes": _byte_strings,
    "raw_bytes": _byte_strings,
    "numpy.datetime64": _time,
    "numpy.timedelta64": _time,
}


def _struct(name: str, configuration: dict[str, JSON], path: str | None, depth: int) -> DataType:
    """`struct`, or `structured`, its name before it was registered; either form of a field is read under either."""
    listed = configuration.get("fields")
    if configuration.keys() != {"fields"} or not isinstance(listed, list) or not listed:
        refuse_type(f"{name}: the configuration is fields, a list", path)
    if depth == MAX_NESTING:
        refuse_type(f"nested deeper than {MAX_NESTING} structured types", path)
    fields = tuple(_struct_field(item, path, depth) for item in listed)
    if len({label for label, _ in fields}) < len(fields):
        refuse_type(f"{name}: two fields have one name", path)
    if sum(kind.wire.itemsize for _, kind in fields) > MAX_ITEM:
        refuse_type(f"an element is larger than {MAX_ITEM} bytes", path)
    dtype = np.dtype([(label, kind.dtype) for label, kind in fields])
    wire = np.dtype([(label, kind.wire) for label, kind in fields])
    shown = ", ".join(f"{label}: {kind.name}" for label, kind in fields)
    return DataType(dtype, wire, _json(name, configuration), f"struct({shown})", fields)


def _struct_field(item: JSON, path: str | None, depth: int) -> tuple[str, DataType]:
    if isinstance(item, list) and len(item) == 2:
        item = {"name": item[0], "data_type": item[1]}
    if not isinstance(item, dict) or item.keys() != {"name", "data_type"}:
        refuse_type("a field is an object of name and data_type", path)
    label = item["name"]
    if not isinstance(label, str) or not label:
        refuse_type(f"{label!r:.100} is no name of a field", path)
    kind = _v3(item["data_type"], path, depth + 1)
    if kind.is_object:
        refuse_type(f"field {label!r:.100}: {kind.name} has no fixed size", path)
    return label, kind


# ---- how elements are moved ------------------------------------------------------------------------------------------


def plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same type with unsigned integers for those that NumPy only knows by extension: it moves and swaps these.

    >>> plain(np.dtype([("x", "<f4")]))
    dtype([('x', '<f4')])
    """
    if dtype.fields is not None and dtype.names is not None:
        names = dtype.names
        return np.dtype([(name, plain(dtype.fields[name][0])) for name in names])
    if dtype.subdtype is not None:
        return np.dtype((plain(dtype.base), dtype.shape))
    if dtype.type.__module__.partition(".")[0] != "ml_dtypes":
        return dtype
    if dtype.name in ML_COMPLEX.values():
        return np.dtype([(name, f"u{dtype.itemsize // 2}") for name in ("real", "imag")])
    return np.dtype(f"u{dtype.itemsize}")


_V3_CORE = {n: DataType(np.dtype(n), np.dtype(n).newbyteorder("<"), n, n) for n in _CORE}
# registered in zarr-extensions as other names of the core types
_V3_CORE["complex_float32"] = _V3_CORE["complex64"]
_V3_CORE["complex_float64"] = _V3_CORE["complex128"]
_OBJECT = np.dtype(object)
_V3_CORE["string"] = DataType(STRING, STRING, "string", "string")
_V3_CORE["bytes"] = DataType(_OBJECT, _OBJECT, "bytes", "bytes")
_V3_CORE["variable_length_utf8"] = _V3_CORE["string"]
# zarr-python's own name, which stays where it is read: its first releases know no other
_V3_CORE["variable_length_bytes"] = DataType(_OBJECT, _OBJECT, "variable_length_bytes", "bytes")
