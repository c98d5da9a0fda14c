"""Fill values that users give, as scalars of the array's type.

The rule: what the type can't hold is refused; nothing is wrapped, cut or made infinite.
"""

from __future__ import annotations

import base64
import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.dtypes.fills import (
    bits,
    encode_fill,
    kind_of,
    part_of,
    read_bytes,
    read_float,
    read_int,
    read_string,
    read_text,
    refuse,
    rounded,
    zero,
)
from gpuzarr.errors import MetadataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuzarr.dtypes.names import DataType

__all__ = ["as_fill"]

NAT = np.int64(-(1 << 63))
"""Not a time."""


def as_fill(value: Any, data_type: DataType) -> Any:
    """What a user gives as `fill_value=`, as a scalar of `data_type.dtype`; None is the type's zero, and of times NaT.

    Takes Python, NumPy and one-element array values, and "NaN" and its kin for floats. Raises MetadataError
    for what the type can't hold: nothing is wrapped, cut or made infinite.

    >>> from gpuzarr.dtypes import from_v3
    >>> as_fill(None, from_v3("int16", "")), as_fill(3.0, from_v3("int16", ""))
    (np.int16(0), np.int16(3))
    >>> as_fill(256, from_v3("uint8", ""))
    Traceback (most recent call last):
    gpuzarr.errors.MetadataError: 256 is no fill value of uint8: not in [0, 255] [field fill_value]
    """
    dtype = data_type.dtype
    if value is None:
        return _nothing(data_type)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    elif not isinstance(value, np.generic) and hasattr(value, "item"):
        value = _item(value, data_type)
    if isinstance(value, np.generic) and value.dtype == dtype:
        return bits(value.tobytes(), dtype) if dtype.kind == "V" else value  # a void is a view of its array
    try:
        return _CONVERT[kind_of(data_type)](value, data_type)
    except MetadataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        refuse(value, data_type, str(error))


def _nothing(data_type: DataType) -> Any:
    kind = kind_of(data_type)
    if kind in "mM":
        return bits(np.array(NAT).tobytes(), data_type.dtype)
    return {"T": "", "B": b"", "O": None}[kind] if kind in "TBO" else zero(data_type.dtype)


def _item(value: Any, data_type: DataType) -> Any:
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError) as error:
        refuse(type(value).__name__, data_type, str(error))


def _from_bool(value: Any, data_type: DataType) -> np.generic:
    if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
        refuse(value, data_type)
    return np.bool_(value)


def _from_int(value: Any, data_type: DataType) -> np.generic:
    if isinstance(value, float | np.floating):
        if not float(value).is_integer():
            refuse(value, data_type)
        value = int(value)
    return read_int(operator.index(value), data_type, 3)


def _from_float(value: Any, data_type: DataType) -> np.generic:
    if isinstance(value, str):
        return read_float(value, data_type, 3)
    if isinstance(value, complex | np.complexfloating | bytes):
        refuse(value, data_type)
    number = float(value)
    scalar = rounded(number, value, data_type)
    if math.isfinite(number) and not math.isfinite(float(scalar)):
        refuse(value, data_type, "too large")
    return scalar


def _from_complex(value: Any, data_type: DataType) -> np.generic:
    part = part_of(data_type)
    if isinstance(value, str):
        value = [value, 0.0]
    elif not isinstance(value, list | tuple):
        number = complex(value)
        value = [number.real, number.imag]
    if len(value) != 2:
        refuse(value, data_type, "a complex number is [real, imaginary]")
    real, imag = (_from_float(v, part) for v in value)
    return bits(real.tobytes() + imag.tobytes(), data_type.dtype)


def _from_time(value: Any, data_type: DataType) -> np.generic:
    return _one(np.array(value, data_type.dtype), value, data_type)


def _one(array: NDArray[Any], value: Any, data_type: DataType) -> np.generic:
    if array.shape:
        refuse(value, data_type, "one element is needed")
    return bits(array.tobytes(), data_type.dtype)


def _from_text(value: Any, data_type: DataType) -> np.generic:
    is_bytes = data_type.dtype.kind == "S"
    if not isinstance(value, bytes | str):
        if isinstance(value, int) and value == 0:
            return zero(data_type.dtype)
        refuse(value, data_type)
    if is_bytes:
        raw = value if isinstance(value, bytes) else value.encode("ascii")
        return read_bytes(base64.b64encode(raw).decode("ascii"), data_type, 2)
    return read_string(value if isinstance(value, str) else value.decode("ascii"), data_type, 2)


def _from_void(value: Any, data_type: DataType) -> np.generic:
    dtype = data_type.dtype
    if isinstance(value, int) and value == 0:
        return zero(dtype)
    if isinstance(value, dict) and value.keys() == {name for name, _ in data_type.fields}:
        parts = ((as_fill(value[name], kind), kind.dtype.itemsize) for name, kind in data_type.fields)
        return bits(b"".join(part.tobytes().ljust(size, b"\0") for part, size in parts), dtype)
    if isinstance(value, np.void):
        value = value.tobytes() if dtype.names is None else value
    elif isinstance(value, list) and dtype.names is None:
        value = bytes(value)
    if isinstance(value, bytes | bytearray):
        if len(value) != dtype.itemsize:
            refuse(value, data_type, f"{len(value)} bytes where {dtype.itemsize} are needed")
        return bits(bytes(value), dtype)
    if dtype.names is None:
        refuse(value, data_type)
    return _one(np.array(tuple(value) if isinstance(value, list) else value, dtype), value, data_type)


def _from_str(value: Any, data_type: DataType) -> str:
    if isinstance(value, int) and value == 0:
        return ""
    return read_text(str(value) if isinstance(value, str) else value, data_type, 3)


def _from_byte_string(value: Any, data_type: DataType) -> bytes:
    if isinstance(value, int) and value == 0:
        return b""
    if not isinstance(value, bytes | bytearray | str):
        refuse(value, data_type, "bytes are needed")
    return value.encode("ascii") if isinstance(value, str) else bytes(value)


def _from_object(value: Any, data_type: DataType) -> Any:
    encode_fill(value, data_type, 2)
    return value


_CONVERT = {
    "b": _from_bool,
    "i": _from_int,
    "u": _from_int,
    "f": _from_float,
    "c": _from_complex,
    "m": _from_time,
    "M": _from_time,
    "S": _from_text,
    "U": _from_text,
    "V": _from_void,
    "R": _from_void,
    "T": _from_str,
    "B": _from_byte_string,
    "O": _from_object,
}
