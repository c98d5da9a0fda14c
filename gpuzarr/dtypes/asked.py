"""Data types that users ask for: anything that `numpy.dtype` takes, and the names of Zarr 3."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gpuzarr.dtypes.names import COMPLEX, JSON, ML_COMPLEX, ML_NAMES, DataType, from_v3, refuse_type
from gpuzarr.dtypes.v2 import OBJECT, OBJECT_CODECS, from_v2, v2_json
from gpuzarr.errors import MetadataError, UnsupportedError

__all__ = ["from_numpy"]

_VARIABLE: dict[Any, str] = {
    **dict.fromkeys((str, "str", "string", "variable_length_utf8"), "string"),
    **dict.fromkeys((bytes, "bytes", "variable_length_bytes"), "bytes"),
}
"""What asks for strings and byte strings of any length."""

_CODEC = {"string": "vlen-utf8", "bytes": "vlen-bytes"}
"""What format 2 makes bytes of them with."""


def from_numpy(dtype: Any, zarr_format: int, object_codec: str | None = None) -> DataType:
    """The type that `create_array(dtype=...)` asks for: what `numpy.dtype` takes, or a name of Zarr 3, or its object.

    `str` and `bytes` are strings of any length. Format 2 keeps the byte order that is asked for, and knows Python
    objects by `object_codec`, the id of the first filter; format 3 leaves the byte order to the `bytes` codec. Raises
    MetadataError for what is no type, UnsupportedError for one that the format can't name.

    >>> from_numpy("bfloat16", 3).name, from_numpy(">i4", 2).json, from_numpy(">i4", 3).json
    ('bfloat16', '>i4', 'int32')
    >>> from_numpy(str, 3).json, from_numpy(str, 2).json, from_numpy("S3", 3).json["name"]
    ('string', '|O', 'null_terminated_bytes')
    """
    name = _name(dtype)
    if name is not None:
        return _named(name, zarr_format, object_codec)
    if isinstance(dtype, DataType) and isinstance(dtype.json, dict) and zarr_format == 3:
        dtype = dtype.json if dtype.json.get("name") != "structured" else dtype
    if isinstance(dtype, dict) or (isinstance(dtype, str) and re.fullmatch(r"r[0-9]+", dtype, re.ASCII)):
        return _v3_only(dtype, zarr_format)
    try:
        wanted: np.dtype[Any] = dtype.wire if isinstance(dtype, DataType) else np.dtype(dtype)
    except (TypeError, ValueError) as error:
        if zarr_format == 3 and isinstance(dtype, str):
            return from_v3(dtype, None)
        raise MetadataError(f"not a data type: {error}", field="data_type") from None
    if wanted.subdtype is not None:
        refuse_type(f"{dtype!r:.100} is a shape of elements, not an element", None)
    if wanted.kind == "O":
        return _objects(zarr_format, object_codec)
    name = _name(wanted)
    if name is not None:
        return _named(name, zarr_format, object_codec)
    return from_v2(v2_json(wanted), None) if zarr_format == 2 else from_v3(_v3_json(wanted), None)


def _name(dtype: Any) -> str | None:
    """The name of Zarr 3 of a type that NumPy has none of its own for."""
    if isinstance(dtype, DataType):
        return dtype.name if dtype.name in ("string", "bytes") or dtype.name in ML_NAMES | COMPLEX else None
    if isinstance(dtype, np.dtype):
        if dtype.type.__module__.partition(".")[0] == "ml_dtypes":
            return next((ours for ours, theirs in ML_COMPLEX.items() if theirs == dtype.name), dtype.name)
        return "string" if dtype.kind == "T" else None
    if not isinstance(dtype, str | type):
        return None
    return dtype if dtype in ML_NAMES | COMPLEX else _VARIABLE.get(dtype)


def _named(name: str, zarr_format: int, codec: str | None) -> DataType:
    if zarr_format == 2 and name in _CODEC:
        return from_v2(OBJECT, None, codec if codec in OBJECT_CODECS else _CODEC[name])
    return _v3_only(name, zarr_format)


def _v3_only(value: JSON, zarr_format: int) -> DataType:
    if zarr_format != 3:
        feature = f"data type {value} in format 2"
        raise UnsupportedError(f"only Zarr format 3 has data type {value}", feature=feature)
    return from_v3(value, None)


def _objects(zarr_format: int, codec: str | None) -> DataType:
    if zarr_format == 3 or codec is None:
        which = "" if zarr_format == 3 else ", or give a codec for objects as the first filter"
        refuse_type(f"dtype=object may mean anything: say str, bytes or a type of fixed size{which}", None)
    return from_v2(OBJECT, None, codec)


def _v3_json(dtype: np.dtype[Any]) -> JSON:
    """A NumPy type as format 3 names it."""
    if dtype.fields is not None and dtype.names is not None:
        inside = dtype.fields
        fields: list[JSON] = [{"name": name, "data_type": _v3_json(inside[name][0])} for name in dtype.names]
        return {"name": "struct", "configuration": {"fields": fields}}
    if dtype.subdtype is not None:
        what = f"format 3 has no fields that are arrays: {dtype}"
        raise UnsupportedError(what, feature="array fields in format 3")
    name = _name(dtype)
    if name is not None or dtype.kind in "biufc":
        return name or _number(dtype)
    if dtype.kind in "SU":
        name = "null_terminated_bytes" if dtype.kind == "S" else "fixed_length_utf32"
        return {"name": name, "configuration": {"length_bytes": dtype.itemsize}}
    if dtype.kind in "mM":
        unit, scale = np.datetime_data(dtype)
        name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
        return {"name": name, "configuration": {"unit": unit, "scale_factor": scale}}
    return f"r{dtype.itemsize * 8}" if dtype.kind == "V" else refuse_type(f"{dtype} is no type of format 3", None)


def _number(dtype: np.dtype[Any]) -> str:
    if dtype.char in "gG":
        raise UnsupportedError(f"{dtype}: extended precision", feature="extended precision")
    return dtype.name
