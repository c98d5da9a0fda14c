"""Fill values: what documents say, as scalars of the array's type, and back.

The rule: a value is read where the specification or a known writer gives it one meaning, and refused
otherwise; what a writer may not say, but some did, is read with a MetadataWarning. Only what is allowed is
written.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import sys
import warnings
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from gpuzarr.dtypes.names import JSON, ML_FLOATS, ML_INTS, DataType, MetadataWarning
from gpuzarr.errors import MetadataError

__all__ = ["encode_fill", "parse_fill", "same_fill"]

_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)


def parse_fill(value: JSON, data_type: DataType, zarr_format: int, path: str | None) -> np.generic | None:
    """The scalar that a `fill_value` member names; None only for the null of format 2, which names none.

    Zarr 3.1 core, section "Fill value list", with its hexadecimal bit patterns (NaN payloads are kept); Zarr
    2, section "Fill value encoding". Raises MetadataError.

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
    """One letter: NumPy's kind, "T" for structured; ml_dtypes' own kinds say nothing."""
    if data_type.name in ML_INTS:
        return "i"
    if data_type.name in ML_FLOATS:
        return "f"
    return "T" if data_type.dtype.names is not None else data_type.dtype.kind


def refuse(value: Any, data_type: DataType, why: str = "") -> NoReturn:
    try:
        shown = f"{value!r:.100}"
    except RecursionError:
        shown = type(value).__name__
    reason = f"{shown} is no fill value of {data_type.name}{why and ': '}{why}"
    raise MetadataError(reason, field="fill_value")


def _lenient(what: str) -> None:
    warnings.warn(f"fill_value: {what}, which no specification allows", MetadataWarning, stacklevel=2)


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
        _lenient("0 or 1 for a bool")
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
        _lenient("a fraction for an integer")
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
        _lenient("a number in quotes")
    elif isinstance(value, bool):
        _lenient("true or false for a number")
    elif not isinstance(value, int | float):
        refuse(value, data_type)
    elif isinstance(value, float) and not math.isfinite(value):
        _lenient("a bare NaN or Infinity")
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
    _lenient("one number for a complex one")
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
    _lenient("0 for a type that has no numbers")
    return True


def read_string(value: JSON, data_type: DataType, _: int) -> np.generic:
    if _is_zero(value):
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
    _lenient("a byte string not in base64")
    return value.encode("ascii")


def read_bytes(value: JSON, data_type: DataType, _: int) -> np.generic:
    if _is_zero(value):
        return np.bytes_(b"")
    raw = _base64(value, data_type)
    if len(raw) > data_type.dtype.itemsize:
        refuse(value, data_type, f"longer than {data_type.dtype.itemsize} bytes")
    return np.bytes_(raw.rstrip(b"\0"))


def _read_void(value: JSON, data_type: DataType, zarr_format: int) -> np.generic:
    size = data_type.dtype.itemsize
    if zarr_format == 3:
        if not isinstance(value, list) or len(value) != size:
            refuse(value, data_type, f"a list of {size} integers is needed")
        if not all(type(v) is int and 0 <= v < 256 for v in value):
            refuse(value, data_type, "a byte is an integer in [0, 255]")
        return bits(bytes(v for v in value if isinstance(v, int)), data_type.dtype)
    if _is_zero(value):
        return zero(data_type.dtype)
    raw = _base64(value, data_type)
    if len(raw) != size:
        refuse(value, data_type, f"{len(raw)} bytes where {size} are needed")
    return bits(np.frombuffer(raw, data_type.wire).astype(data_type.dtype).tobytes(), data_type.dtype)


_READ = {
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
    "T": _read_void,
}


def encode_fill(fill: np.generic | None, data_type: DataType, zarr_format: int) -> JSON:
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
    if kind == "V" and zarr_format == 3:
        return list(fill.tobytes())
    if kind in "SVT":
        raw = np.array(fill, data_type.dtype).astype(data_type.wire).tobytes()
        return base64.standard_b64encode(raw.rstrip(b"\0") if kind == "S" else raw).decode("ascii")
    if kind == "b":
        return bool(fill)
    return int(fill) if kind in "iu" else str(fill)


def _write_number(fill: np.generic, data_type: DataType, zarr_format: int) -> JSON:
    if data_type.dtype.kind != "c":
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


def same_fill(one: np.generic | None, other: np.generic | None, data_type: DataType) -> bool:
    """Whether two fill values have the same bits, as NaN has with itself, and 0.0 has not with -0.0."""
    if one is None or other is None:
        return one is other
    size = data_type.dtype.itemsize  # NumPy's strings are scalars without their padding
    return one.tobytes().ljust(size, b"\0") == other.tobytes().ljust(size, b"\0")
