"""`scale_offset` and `cast_value`: arithmetic on elements, and their cast to another type (zarr-extensions).

Both say what becomes of the fill value, and neither may change a number silently: what a type can't hold is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, Elements, NativeOp, put, unknown_members
from gpuzarr.codecs.numbers import ROUNDINGS, Cast, Numbers, numbers
from gpuzarr.dtypes import DataType, from_v3, parse_fill
from gpuzarr.errors import CodecError, MetadataError
from gpuzarr.metadata import CodecConfig

__all__ = ["CastValueCodec", "ScaleOffsetCodec"]

MAX_MAP = 1 << 16
"""Scalars of a map."""


# ---- scale_offset ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScaleOffsetCodec:
    """Stores `(element - offset) * scale`, in the arithmetic of the elements' type; both as fill values are written.

    >>> stage = ScaleOffsetCodec(offset=10, scale=2).bind(Elements((2,), from_v3("uint8", None)))
    >>> list(stage.encode(bytes([10, 15])))
    [0, 10]
    """

    offset: Any = None
    scale: Any = None

    name = "scale_offset"
    is_ordered = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ScaleOffsetCodec:
        unknown_members(config, "scale_offset", {"offset", "scale"})
        return cls(config.get("offset"), config.get("scale"))

    def to_config(self) -> CodecConfig:
        given = {"offset": self.offset, "scale": self.scale}
        return CodecConfig("scale_offset", {name: value for name, value in given.items() if value is not None})

    def bind(self, elements: Elements) -> ScaleOffsetStage:
        """Raises MetadataError for elements that are no real numbers, and for numbers that their type can't hold."""
        kind = numbers(elements.data_type, "scale_offset")
        offset = _scalar(0 if self.offset is None else self.offset, elements.data_type, "scale_offset: offset")
        scale = _scalar(1 if self.scale is None else self.scale, elements.data_type, "scale_offset: scale")
        if scale == 0:
            raise MetadataError("scale_offset: scale is 0, by which nothing is divided", field="codecs")
        if kind.is_int:
            return ScaleOffsetStage(kind, int(offset), int(scale))
        return ScaleOffsetStage(kind, offset, scale)

    def made(self, elements: Elements) -> Elements:
        """What it makes of elements. Raises MetadataError for a fill value that it makes nothing of."""
        if elements.fill is None:
            return elements
        dtype = elements.data_type.dtype
        fill = _of_fill(self.name, self.bind(elements).encode, elements)
        return replace(elements, fill=np.frombuffer(fill, dtype)[0])


@dataclass(frozen=True, slots=True)
class ScaleOffsetStage:
    """Bound to a type; `offset` and `scale` are Python's integers, or scalars of the type."""

    kind: Numbers
    offset: Any
    scale: Any
    native: NativeOp | None = None

    name = "scale_offset"

    def encoded_size(self, size: int) -> int | None:
        return size

    def encode(self, data: Buffer) -> Buffer:
        with np.errstate(all="ignore"):
            if not self.kind.is_int:
                return _bytes((self.kind.elements(data) - self.offset) * self.scale)
            low, high = self.kind.low, self.kind.high
            # What is left after the offset, and this times the scale, both have to be in range.
            ends = (low, high) if self.scale > 0 else (high, low)
            first, last = -(-ends[0] // self.scale), ends[1] // self.scale
            values = self.kind.read(data)
            self._check(values, max(low, first) + self.offset, min(high, last) + self.offset, "encode")
            words = (values.astype(np.uint64) - _word(self.offset)) * _word(self.scale)
            return _bytes(self.kind.write(words))

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        with np.errstate(all="ignore"):
            if not self.kind.is_int:
                return put(_bytes(self.kind.elements(data) / self.scale + self.offset), into)
            low, high = self.kind.low, self.kind.high
            ends = [self.scale * end for end in (max(low, low - self.offset), min(high, high - self.offset))]
            values = self.kind.read(data)
            self._check(values, min(ends), max(ends), "decode")
            scale = values.dtype.type(self.scale)
            if (values % scale).any():
                raise CodecError(f"{values[values % scale != 0][0]} is no multiple of {scale}", codec=self.name)
            words = (values // scale).astype(np.uint64) + _word(self.offset)
            return put(_bytes(self.kind.write(words)), into)

    def _check(self, values: NDArray[Any], low: int, high: int, direction: str) -> None:
        if values.size and (int(values.min()) < low or int(values.max()) > high):
            culprit = values.min() if int(values.min()) < low else values.max()
            reason = f"{culprit} becomes what {self.kind.name} can't hold"
            raise CodecError(reason, codec=self.name, direction=direction)


# ---- cast_value ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CastValueCodec:
    """Stores elements as numbers of another type; what that can't hold is rounded, clamped, wrapped, mapped or refused.

    >>> codec = CastValueCodec("uint8", "towards-zero", "clamp")
    >>> list(codec.bind(Elements((2,), from_v3("float32", None))).encode(np.array([1.9, 300], "f4").tobytes()))
    [1, 255]
    """

    data_type: Any
    rounding: str = "nearest-even"
    out_of_range: str | None = None
    scalar_map: Mapping[str, Any] | None = None

    name = "cast_value"
    is_ordered = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CastValueCodec:
        unknown_members(config, "cast_value", {"data_type", "rounding", "out_of_range", "scalar_map"})
        rounding, out_of_range = config.get("rounding", "nearest-even"), config.get("out_of_range")
        if not isinstance(rounding, str) or rounding not in ROUNDINGS:
            raise MetadataError(f"cast_value: there is no rounding {rounding!r:.100}", field="codecs")
        if out_of_range not in (None, "clamp", "wrap"):
            raise MetadataError(f"cast_value: there is no out_of_range {out_of_range!r:.100}", field="codecs")
        scalar_map = config.get("scalar_map")
        if scalar_map is not None and not isinstance(scalar_map, Mapping):
            raise MetadataError("cast_value: scalar_map is not an object", field="codecs")
        unknown_members(scalar_map or {}, "cast_value: scalar_map", {"encode", "decode"})
        kind = numbers(from_v3(config.get("data_type"), None), "cast_value")
        if out_of_range == "wrap" and not kind.is_int:
            raise MetadataError(f"cast_value: only integers wrap, not {kind.name}", field="codecs")
        return cls(config["data_type"], rounding, out_of_range, scalar_map)

    def to_config(self) -> CodecConfig:
        given: dict[str, Any] = {"out_of_range": self.out_of_range, "scalar_map": self.scalar_map}
        said = {name: value for name, value in given.items() if value is not None}
        return CodecConfig("cast_value", {"data_type": self.data_type, "rounding": self.rounding, **said})

    def bind(self, elements: Elements) -> CastValueStage:
        """Raises MetadataError for types that are no real numbers, and for scalars that they don't have."""
        types = elements.data_type, from_v3(self.data_type, None)
        return CastValueStage(self._cast(*types, "encode"), self._cast(*types[::-1], "decode"))

    def _cast(self, source: DataType, target: DataType, direction: str) -> Cast:
        pairs = (self.scalar_map or {}).get(direction)
        cast = Cast(numbers(source, self.name), numbers(target, self.name), self.rounding, self.out_of_range)
        return cast if pairs is None else _with_map(cast, pairs, source, target)

    def made(self, elements: Elements) -> Elements:
        """What it makes of elements. Raises MetadataError where the fill value does not come back from it."""
        target = from_v3(self.data_type, None)
        if elements.fill is None:
            return replace(elements, data_type=target)
        stage, dtype = self.bind(elements), elements.data_type.dtype
        stored = _of_fill(self.name, stage.encode, elements)
        back = np.frombuffer(_of_fill(self.name, lambda _: stage.decode(stored, None, 8), elements), dtype)[0]
        if back != elements.fill and not (back != back and elements.fill != elements.fill):
            reason = f"cast_value: the fill value {elements.fill} comes back as {back}"
            raise MetadataError(reason, field="fill_value")
        return replace(elements, data_type=target, fill=np.frombuffer(stored, target.dtype)[0])


@dataclass(frozen=True, slots=True)
class CastValueStage:
    """Bound to both types."""

    there: Cast
    back: Cast
    native: NativeOp | None = None

    name = "cast_value"

    def encoded_size(self, size: int) -> int | None:
        return size // self.there.source.dtype.itemsize * self.there.target.dtype.itemsize

    def encode(self, data: Buffer) -> Buffer:
        return _bytes(self.there(data))

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        return put(_bytes(self.back(data)), into)


def _with_map(cast: Cast, pairs: Any, source: DataType, target: DataType) -> Cast:
    """A cast with a scalar map. Raises MetadataError where that is none."""
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or len(pairs) > MAX_MAP:
        raise MetadataError("cast_value: a scalar_map has no list of pairs, or one too long", field="codecs")
    known: dict[Any, Any] = {}
    nan = None
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise MetadataError(f"cast_value: scalar_map has {pair!r:.100}, which is no pair", field="codecs")
        key = _scalar(pair[0], source, "cast_value: scalar_map")
        value = _scalar(pair[1], target, "cast_value: scalar_map")
        number = cast.source.read(np.asarray(key).tobytes())[0]
        element = cast.target.write(cast.target.read(np.asarray(value).tobytes()))[0]
        if number != number:
            nan = element if nan is None else nan
        else:
            known.setdefault(number + number.dtype.type(0), element)  # 0 and -0 are one number
    if not known:
        return replace(cast, nan=nan)
    keys = np.array(sorted(known), cast.source.working)
    return replace(cast, keys=keys, values=np.array([known[key] for key in keys]), nan=nan)


def _scalar(value: Any, data_type: DataType, what: str) -> Any:
    """A number as documents write fill values. Raises MetadataError."""
    try:
        return parse_fill("Infinity" if value == "+Infinity" else value, data_type, 3, None)
    except MetadataError as error:
        raise MetadataError(f"{what}: {error.reason}", field="codecs") from error


def _of_fill(name: str, change: Any, elements: Elements) -> Buffer:
    """What a stage makes of the fill value. Raises MetadataError where it can't."""
    try:
        made: Buffer = change(np.asarray(elements.fill, elements.data_type.dtype).tobytes())
    except CodecError as error:
        raise MetadataError(f"{name}: of the fill value: {error.reason}", field="fill_value") from error
    return made


def _bytes(values: NDArray[Any]) -> Buffer:
    return np.ascontiguousarray(values).view(np.uint8).data


def _word(number: int) -> np.uint64:
    return np.uint64(number & ((1 << 64) - 1))
