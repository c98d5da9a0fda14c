"""Fill values: what documents say, as scalars of the array's type, and back.

The rule: a value is read where the specification or a known writer gives it one meaning, and refused
otherwise; what a writer may not say, but some did, is read with a MetadataWarning. Only what is allowed is
written.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from gpuzarr.dtypes.names import COMPLEX, JSON, ML_FLOATS, ML_INTS, DataType, from_v3
from gpuzarr.errors import MetadataError
from gpuzarr.repairs import repaired

__all__ = ["encode_fill", "parse_fill", "same_fill"]

_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_LONE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON may hold and UTF-8 may not."""
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)


def parse_fill(value: JSON, data_type: DataType, zarr_format: int, path: str | None) -> Any:
    """The scalar that a `fill_value` member names; None only for the null of format 2, which names none.

    Zarr 3.1 core, section "Fill value list", with its hexadecimal bit patterns (NaN payloads are kept), and the
    types of zarr-extensions; Zarr 2, section "Fill value encoding". Types of no fixed size have `str`, `bytes`, or
    what the document says. Raises MetadataError.

    >>> from gpuzarr.dtypes import from_v2, from_v3
    >>> parse_fill("-Infinity", from_v3("float32", ""), 3, "")
    np.float32(-inf)
    >>> parse_fill("YWI=", from_v2("|S3", ""), 2, "")
    np.bytes_(b'ab')
    """
    if value is None and zarr_format == 2:
        return None
    try:
        return _READ[kind_of(data_type)](value, data_type, zarr_format)
    except MetadataError as error:
        error.path = path
        raise


def kind_of(data_type: DataType) -> str:
    """One letter: NumPy's kind, "R" for structured, "B" for variable bytes; ml_dtypes' own kinds say nothing."""
    name = data_type.name
    if name in ML_INTS or name in ML_FLOATS or name in COMPLEX:
        return "i" if name in ML_INTS else "f" if name in ML_FLOATS else "c"
    if name == "bytes":
        return "B"
    return "R" if data_type.dtype.names is not None else data_type.dtype.kind


def refuse(value: Any, data_type: DataType, why: str = "") -> NoReturn:
    try:
        shown = f"{value!r:.100}"
    except RecursionError:
        shown = type(value).__name__
    reason = f"{shown} is no fill value of {data_type.name}{why and ': '}{why}"
    raise MetadataError(reason, field="fill_value")


def bits(raw: bytes, dtype: np.dtype[Any]) -> np.generic:
    """The scalar with exactly these bytes: no conversion that could change a NaN."""
    scalar: np.generic = np.frombuffer(raw, dtype)[0]
    return scalar


def zero(dtype: np.dtype[Any]) -> np.generic:
    return bits(bytes(dtype.itemsize), dtype)


def _read_bool(value: JSON, data_type: DataType, _: int) -> np.generic:
    if value is not True and value is not False:
        if type(value) is not int or value not in (0, 1):
            refuse(value, data_type)
        repaired("bool-number", "fill_value")
    return np.bool_(value)


@lru_cache(maxsize=64)
def _int_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.type.__module__ == "ml_dtypes":
        import ml_dtypes

        small: Any = ml_dtypes.iinfo
        return int(small(dtype).min), int(small(dtype).max)
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def read_int(value: JSON, data_type: DataType, _: int) -> np.generic:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(number) is not int:
        refuse(value, data_type)
    low, high = _int_range(data_type.dtype)
    if not low <= number <= high:
        refuse(value, data_type, f"not in [{low}, {high}]")
    if number is not value:
        repaired("int-fraction", "fill_value")
    scalar: np.generic = data_type.dtype.type(number)
    return scalar


def read_float(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    dtype = data_type.dtype
    if isinstance(value, str):
        if value in _WORDS:
            return rounded(_WORDS[value], value, data_type)
        if zarr_format == 3 and _HEX.fullmatch(value):
            if len(value) != 2 + 2 * dtype.itemsize:
                refuse(value, data_type, f"{dtype.itemsize} bytes are needed")
            return bits(int(value, 16).to_bytes(dtype.itemsize, sys.byteorder), dtype)
        if len(value) > 400 or not _NUMBER.fullmatch(value):
            refuse(value, data_type)
        repaired("float-string", "fill_value")
    elif isinstance(value, bool):
        repaired("float-bool", "fill_value")
    elif not isinstance(value, int | float):
        refuse(value, data_type)
    elif isinstance(value, float) and not math.isfinite(value):
        repaired("bare-nan", "fill_value")
    try:
        number = float(value)
    except OverflowError:
        number = _WORDS["Infinity"] if int(value) > 0 else _WORDS["-Infinity"]
    return rounded(number, value, data_type)


def rounded(number: float, value: Any, data_type: DataType) -> np.generic:
    """`number` rounded to the type; refused where the type has no such NaN, infinity, sign or magnitude."""
    dtype = data_type.dtype
    with np.errstate(all="ignore"):
        scalar = bits(np.array(number).astype(dtype).tobytes(), dtype)
        back = float(scalar)
    if math.isnan(number) != math.isnan(back):
        refuse(value, data_type, "the type has no such value")
    if data_type.name in ML_FLOATS and number != back and not math.isnan(back) and _saturated(number, dtype):
        refuse(value, data_type, "the type has no such value")
    return scalar


def _saturated(number: float, dtype: np.dtype[Any]) -> bool:
    """Whether a type without infinity was asked for more than its greatest value, which it answers with."""
    import ml_dtypes

    info: Any = ml_dtypes.finfo
    has_inf = math.isinf(float(np.array(math.inf).astype(dtype)[()]))
    return abs(number) > float(info(dtype).max) and not has_inf


def part_of(data_type: DataType) -> DataType:
    """The type of a complex number's two parts."""
    if data_type.name in COMPLEX:
        return from_v3(data_type.name.removeprefix("complex_"), None)
    part = np.dtype(f"f{data_type.dtype.itemsize // 2}")
    return DataType(part, part, part.name, part.name)


def _read_complex(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    part = part_of(data_type)
    if isinstance(value, list):
        if len(value) != 2:
            refuse(value, data_type, "a complex number is [real, imaginary]")
        parts = [read_float(v, part, zarr_format) for v in value]
        return bits(parts[0].tobytes() + parts[1].tobytes(), data_type.dtype)
    real = read_float(value, part, zarr_format)
    repaired("complex-number", "fill_value")
    return bits(real.tobytes() + bytes(part.dtype.itemsize), data_type.dtype)


def _read_time(value: JSON, data_type: DataType, _: int) -> np.generic:
    if value == "NaT":
        value = -(1 << 63)
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        refuse(value, data_type, "a 64-bit integer or 'NaT' is needed")
    return bits(value.to_bytes(8, sys.byteorder, signed=True), data_type.dtype)


def _is_zero(value: JSON) -> bool:
    """Zarr-Python 2 wrote the number 0 as the fill value of any type, and meant the type's zero."""
    if type(value) is not int or value != 0:
        return False
    repaired("zero-fill", "fill_value")
    return True


def read_string(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    if zarr_format == 2 and _is_zero(value):
        return np.str_("")
    if not isinstance(value, str) or len(value) > data_type.dtype.itemsize // 4:
        refuse(value, data_type, f"a string of at most {data_type.dtype.itemsize // 4} characters is needed")
    return np.str_(value.rstrip("\0"))


def _base64(value: JSON, data_type: DataType) -> bytes:
    if not isinstance(value, str):
        refuse(value, data_type, "a base64 string is needed")
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        if data_type.dtype.kind != "S" or not value.isascii():
            refuse(value, data_type, "not base64")
    # Zarr-Python 2 read, and before it encoded them also wrote, byte strings as they are
    repaired("plain-bytes", "fill_value")
    return value.encode("ascii")


def read_bytes(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    if zarr_format == 2 and _is_zero(value):
        return np.bytes_(b"")
    raw = _base64(value, data_type)
    if len(raw) > data_type.dtype.itemsize:
        refuse(value, data_type, f"longer than {data_type.dtype.itemsize} bytes")
    return np.bytes_(raw.rstrip(b"\0"))


def read_text(value: JSON, data_type: DataType, zarr_format: int) -> str:
    if zarr_format == 2 and _is_zero(value):
        return ""
    if not isinstance(value, str) or _LONE.search(value):
        refuse(value, data_type, "a string is needed")
    return value


def _read_byte_string(value: JSON, data_type: DataType, zarr_format: int) -> bytes:
    """Of any length: base64, or a list of integers (zarr-extensions, data type `bytes`)."""
    if zarr_format == 2 and _is_zero(value):
        return b""
    return _listed_bytes(value, data_type) if isinstance(value, list) else _base64(value, data_type)


def _read_object(value: JSON, _: DataType, __: int) -> JSON:
    return value


def _listed_bytes(value: list[JSON], data_type: DataType) -> bytes:
    if not all(type(v) is int and 0 <= v < 256 for v in value):
        refuse(value, data_type, "a byte is an integer in [0, 255]")
    return bytes(v for v in value if isinstance(v, int))


def _read_void(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    """Raw bits by a list of integers in format 3; in base64 in format 2 and for zarr-python's `raw_bytes`."""
    size = data_type.dtype.itemsize
    if isinstance(value, list) and zarr_format == 3:
        if len(value) != size:
            refuse(value, data_type, f"a list of {size} integers is needed")
        return bits(_listed_bytes(value, data_type), data_type.dtype)
    if zarr_format == 3 and isinstance(data_type.json, str):
        refuse(value, data_type, f"a list of {size} integers is needed")
    return _read_packed(value, data_type, zarr_format)


def _read_struct(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    """An object with every field (zarr-extensions, data type `struct`), or the packed bytes in base64."""
    if not isinstance(value, dict) or not data_type.fields:
        packed = _read_packed(value, data_type, zarr_format)
        if isinstance(data_type.json, dict) and data_type.json["name"] == "struct":
            repaired("packed-struct", "fill_value")
        return packed
    if value.keys() != {name for name, _ in data_type.fields}:
        refuse(value, data_type, "a value for every field is needed, and for nothing else")
    parts = [(_READ[kind_of(kind)](value[name], kind, 3), kind) for name, kind in data_type.fields]
    raw = b"".join(fill.tobytes().ljust(kind.dtype.itemsize, b"\0") for fill, kind in parts)
    return bits(raw, data_type.dtype)


def _read_packed(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    size = data_type.dtype.itemsize
    if zarr_format == 2 and _is_zero(value):
        return zero(data_type.dtype)
    raw = _base64(value, data_type)
    if len(raw) != size:
        refuse(value, data_type, f"{len(raw)} bytes where {size} are needed")
    return bits(np.frombuffer(raw, data_type.wire).astype(data_type.dtype).tobytes(), data_type.dtype)


_READ: dict[str, Callable[[JSON, DataType, int], Any]] = {
    "b": _read_bool,
    "i": read_int,
    "u": read_int,
    "f": read_float,
    "c": _read_complex,
    "m": _read_time,
    "M": _read_time,
    "S": read_bytes,
    "U": read_string,
    "V": _read_void,
    "R": _read_struct,
    "T": read_text,
    "B": _read_byte_string,
    "O": _read_object,
}


def encode_fill(fill: Any, data_type: DataType, zarr_format: int) -> JSON:
    """What a `fill_value` member says for `fill`, a scalar of `data_type.dtype`; only what the format allows.

    A NaN other than the usual one is written as its bits in format 3; format 2 has one NaN only. Raises
    MetadataError for None in format 3.

    >>> from gpuzarr.dtypes import from_v3
    >>> encode_fill(np.float32("nan"), from_v3("float32", ""), 3)
    'NaN'
    """
    if fill is None:
        if zarr_format == 2:
            return None
        raise MetadataError("Zarr format 3 needs a fill value", field="fill_value")
    kind = kind_of(data_type)
    if kind in "fc":
        return _write_number(fill, data_type, zarr_format)
    if kind in "mM":
        return int(np.array(fill, data_type.dtype).view(np.int64))
    if kind == "V" and zarr_format == 3 and isinstance(data_type.json, str):
        return list(fill.tobytes())
    if kind == "R" and isinstance(data_type.json, dict) and data_type.json["name"] == "struct":
        return {name: encode_fill(fill[name], part, 3) for name, part in data_type.fields}
    if kind in "SVRB":
        raw = fill if kind == "B" else np.array(fill, data_type.dtype).astype(data_type.wire).tobytes()
        return base64.standard_b64encode(raw.rstrip(b"\0") if kind == "S" else raw).decode("ascii")
    if kind == "b":
        return bool(fill)
    return int(fill) if kind in "iu" else str(fill) if kind in "UT" else _plain_json(fill, data_type)


def _plain_json(fill: Any, data_type: DataType) -> JSON:
    try:
        found: JSON = json.loads(json.dumps(fill, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        refuse(fill, data_type, f"not JSON: {error}")
    return found


def _write_number(fill: np.generic, data_type: DataType, zarr_format: int) -> JSON:
    if kind_of(data_type) != "c":
        return _write_float(fill, data_type, zarr_format)
    part = part_of(data_type)
    raw, half = fill.tobytes(), part.dtype.itemsize
    return [_write_float(bits(b, part.dtype), part, zarr_format) for b in (raw[:half], raw[half:])]


def _write_float(fill: np.generic, data_type: DataType, zarr_format: int) -> JSON:
    number = float(fill)
    if math.isnan(number):
        if zarr_format == 2 or fill.tobytes() == rounded(_WORDS["NaN"], "NaN", data_type).tobytes():
            return "NaN"
        pattern = int.from_bytes(fill.tobytes(), sys.byteorder)
        return f"0x{pattern:0{2 * data_type.dtype.itemsize}x}"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def same_fill(one: Any, other: Any, data_type: DataType) -> bool:
    """Whether two fill values have the same bits, as NaN has with itself, and 0.0 has not with -0.0."""
    if one is None or other is None:
        return one is other
    if data_type.is_object:
        return type(one) is type(other) and repr(one) == repr(other)
    size = data_type.dtype.itemsize  # NumPy's strings are scalars without their padding
    return bool(one.tobytes().ljust(size, b"\0") == other.tobytes().ljust(size, b"\0"))
