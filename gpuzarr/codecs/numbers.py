"""Casts of numbers from one data type to another, by the rules that the codec `cast_value` names.

The rule: every step is exact until the one that rounds. Integers are worked on as 64-bit integers, floats as float64,
which holds each of the narrower types; a range is checked by comparing, never by what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.rounding import bit_lengths
from gpuzarr.dtypes import BITS, DataType
from gpuzarr.dtypes.names import ML_FLOATS, ML_INTS, ML_NAMES
from gpuzarr.errors import CodecError, MetadataError

__all__ = ["Cast", "Numbers", "numbers"]

Array = NDArray[Any]

BLOCK = 1 << 16
"""Numbers that are cast at a time: each takes some words on the way."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a data type of real numbers can hold.

    `low` and `high` are its least and greatest finite number. Of integers, `bits` is their number of bits; of floats,
    `digits` is that of a significand, the hidden one with it, and `step` the exponent of the least difference.
    """

    name: str
    dtype: np.dtype[Any]
    low: Any
    high: Any
    bits: int = 0
    digits: int = 0
    step: int = 0
    has_nan: bool = False
    has_inf: bool = False

    @property
    def is_int(self) -> bool:
        return self.bits > 0

    @property
    def working(self) -> np.dtype[Any]:
        """What its numbers are worked on as."""
        return np.dtype(np.float64 if not self.is_int else np.uint64 if self.high > 1 << 63 else np.int64)

    def read(self, data: Any) -> Array:
        """Numbers from their bytes, of which small types use the lower bits only."""
        if self.name in ML_INTS:
            low = np.frombuffer(data, np.uint8).astype(np.int64) & ((1 << self.bits) - 1)
            return np.where(low > self.high, low - (1 << self.bits), low)
        return self.elements(data).astype(self.working)

    def elements(self, data: Any) -> Array:
        """The same as elements of the type itself."""
        if self.name in BITS:
            data = np.frombuffer(data, np.uint8) & np.uint8((1 << BITS[self.name]) - 1)
        return np.frombuffer(data, self.dtype)

    def write(self, values: Array) -> Array:
        """Numbers that it can hold, as arrays of bytes have them."""
        if self.name in ML_INTS:
            return values.astype(np.uint8) & np.uint8((1 << self.bits) - 1)
        return values.astype(self.dtype)


def numbers(data_type: DataType, codec: str) -> Numbers:
    """What a data type can hold. Raises MetadataError for one that has no real numbers."""
    name, dtype = data_type.name, data_type.dtype
    if name in ML_INTS:
        bits, least = BITS[name], 0 if name.startswith("u") else -(1 << BITS[name] - 1)
        return Numbers(name, dtype, least, least + (1 << bits) - 1, bits)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return Numbers(name, dtype, int(info.min), int(info.max), info.bits)
    if name not in ML_FLOATS and dtype.kind != "f":
        raise MetadataError(f"{codec}: elements of {name} are no real numbers", field="codecs")
    limits = _limits(name, dtype)
    with np.errstate(all="ignore"):
        odd = np.array([np.nan, np.inf]).astype(dtype).astype(np.float64)
    least = math.frexp(float(limits.smallest_subnormal))[1] - 1
    digits = int(limits.nmant) + 1
    return Numbers(
        name, dtype, float(limits.min), float(limits.max), 0, digits, least, bool(np.isnan(odd[0])), odd[1] == np.inf
    )


def _limits(name: str, dtype: np.dtype[Any]) -> Any:
    if name not in ML_FLOATS:
        return np.finfo(dtype)
    import ml_dtypes

    small: Any = ml_dtypes.finfo
    return small(dtype)


# ---- rounding --------------------------------------------------------------------------------------------------------


def _away(values: Array) -> Array:
    whole: Array = np.trunc(values)
    away: Array = whole + np.copysign(np.abs(values - whole) >= 0.5, values)
    return away


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "nearest-even": np.rint,
    "towards-zero": np.trunc,
    "towards-positive": np.ceil,
    "towards-negative": np.floor,
    "nearest-away": _away,
}
"""How floats are made whole. All of this is exact."""


def _to_digits(values: Array, target: Numbers, rounding: str) -> Array:
    """Floats rounded to a significand's digits, however large they are."""
    _, exponent = np.frexp(values)
    unit = np.maximum(exponent - target.digits, target.step)
    scaled: Array = np.ldexp(ROUNDINGS[rounding](np.ldexp(values, -unit)), unit)
    return np.where(np.isfinite(values), scaled, values)


def _int_to_digits(values: Array, digits: int, rounding: str) -> Array:
    """64-bit integers rounded to a significand's digits, as float64."""
    negative = values < 0
    size = np.where(negative, ~values.astype(np.uint64) + np.uint64(1), values.astype(np.uint64))
    over = np.maximum(bit_lengths(size), np.uint64(digits)) - np.uint64(digits)
    kept = size >> over
    rest = size - (kept << over)
    half = (np.uint64(1) << over) >> np.uint64(1)
    ups = {
        "nearest-even": (rest > half) | ((rest == half) & (rest > 0) & (kept & np.uint64(1) > 0)),
        "nearest-away": (rest >= half) & (rest > 0),
        "towards-zero": np.zeros(size.shape, bool),
        "towards-positive": (rest > 0) & ~negative,
        "towards-negative": (rest > 0) & negative,
    }
    whole: Array = np.ldexp((kept + ups[rounding]).astype(np.float64), over.astype(np.int32))
    return np.where(negative, -whole, whole)


# ---- casts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cast:
    """Numbers of one type as another's: rounded, then what is out of range clamped, wrapped or refused.

    `keys` are numbers (in order, as the source is worked on) that become the elements `values` whatever they are
    otherwise; `nan` is what not-a-number becomes.
    """

    source: Numbers
    target: Numbers
    rounding: str = "nearest-even"
    out_of_range: str | None = None
    keys: Array | None = None
    values: Array | None = None
    nan: Any = None

    def __call__(self, data: Any) -> Array:
        """The cast of numbers by their bytes, as elements. Raises CodecError."""
        item = self.source.dtype.itemsize
        flat = np.frombuffer(data, np.uint8)
        found = np.empty(len(flat) // item, self.target.write(np.zeros(0)).dtype)
        with np.errstate(all="ignore"):
            if self.keys is None and self.nan is None and self._is_exact():
                found[:] = np.frombuffer(data, self.source.dtype)
                return found
            for start in range(0, len(found), BLOCK):
                block = flat[start * item : (start + BLOCK) * item]
                found[start : start + BLOCK] = self._block(self.source.read(block))
        return found

    def _is_exact(self) -> bool:
        """Whether NumPy casts every number to itself."""
        known = self.source.name not in ML_NAMES and self.target.name not in ML_NAMES
        # NumPy calls it safe that 64-bit integers become float64.
        return known and self.source.bits < 64 and bool(np.can_cast(self.source.dtype, self.target.dtype, "safe"))

    def _block(self, numbers: Array) -> Array:
        if self.keys is None and self.nan is None:
            return self._cast(numbers)
        mapped, values = self._mapped(numbers)
        cast = self._cast(np.where(mapped, numbers.dtype.type(1), numbers))  # a number that every type has
        cast[mapped] = values[mapped]
        return cast

    def _mapped(self, numbers: Array) -> tuple[Array, Array]:
        """Which numbers are keys, and the elements that they become."""
        mapped = np.zeros(numbers.shape, bool)
        values = np.zeros(numbers.shape, self.target.write(np.zeros(0)).dtype)
        if self.keys is not None and self.values is not None:
            at = np.minimum(np.searchsorted(self.keys, numbers), len(self.keys) - 1)
            mapped |= self.keys[at] == numbers
            values[mapped] = self.values[at[mapped]]
        if self.nan is not None:
            unknown = np.isnan(numbers)
            mapped |= unknown
            values[unknown] = self.nan
        return mapped, values

    def _cast(self, numbers: Array) -> Array:
        if self.target.is_int:
            ranged = self._to_int(numbers) if self.source.is_int else self._float_to_int(numbers)
        else:
            ranged = self._to_float(numbers)
        return self.target.write(ranged)

    def _refuse(self, wrong: Array, numbers: Array) -> None:
        if wrong.any():
            culprit = numbers[wrong][0]
            raise CodecError(f"{culprit} is no number of {self.target.name}", codec="cast_value")

    def _to_int(self, numbers: Array) -> Array:
        low, high = _below(numbers, self.target.low), _above(numbers, self.target.high)
        words = numbers.astype(np.uint64)  # of which the lower bits are written
        if self.out_of_range == "clamp":
            return np.where(high, _word(self.target.high), np.where(low, _word(self.target.low), words))
        if self.out_of_range is None:
            self._refuse(high | low, numbers)
        return words

    def _float_to_int(self, numbers: Array) -> Array:
        self._refuse(~np.isfinite(numbers), numbers)
        whole = ROUNDINGS[self.rounding](numbers)
        # 2**63 and 2**64 are floats, the numbers below them are not.
        wrong = (whole < float(self.target.low)) | (whole >= float(self.target.high + 1))
        if self.out_of_range is None:
            self._refuse(wrong, numbers)
        rest = np.fmod(whole, 2.0**64)
        size = np.abs(rest).astype(np.uint64)
        words = np.where(rest < 0, ~size + np.uint64(1), size)
        if self.out_of_range == "clamp":
            ends = np.where(whole < 0, _word(self.target.low), _word(self.target.high))
            return np.where(wrong, ends, words)
        return words

    def _to_float(self, numbers: Array) -> Array:
        target = self.target
        if self.source.is_int:
            rounded = _int_to_digits(numbers, target.digits, self.rounding)
        else:
            rounded = _to_digits(numbers, target, self.rounding)
        if not target.has_nan:
            self._refuse(np.isnan(rounded), numbers)
        counts = np.isfinite(numbers) | (not target.has_inf)
        high, low = counts & (rounded > target.high), counts & (rounded < target.low)
        if self.out_of_range != "clamp":
            self._refuse(high | low, numbers)
            return rounded
        most, least = (np.inf, -np.inf) if target.has_inf else (target.high, target.low)
        return np.where(high, most, np.where(low, least, rounded))


def _word(number: int) -> np.uint64:
    """An integer as the low 64 bits that hold it."""
    return np.uint64(number & ((1 << 64) - 1))


def _below(numbers: Array, low: int) -> Array:
    """Which 64-bit integers are less than a number that may be none of them."""
    info = np.iinfo(numbers.dtype)
    return np.zeros(numbers.shape, bool) if low < int(info.min) else numbers < numbers.dtype.type(low)


def _above(numbers: Array, high: int) -> Array:
    info = np.iinfo(numbers.dtype)
    return np.zeros(numbers.shape, bool) if high > int(info.max) else numbers > numbers.dtype.type(high)
