"""`zfp`, and `zfpy` of numcodecs: blocks of numbers with some bits each, by the zfp library in the package zfpy.

The library trusts what it reads: it looks neither at the end of a stream nor at what its header says of memory. So a
stream is read from memory with as many zeros behind it as a decoder may still take, and a header is compared with the
chunk before anything is decoded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, Elements, NativeOp, Wire, bad_size, config_int, put, unknown_members
from gpuzarr.codecs.numbers import Numbers, numbers
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError
from gpuzarr.forks import importing
from gpuzarr.metadata import CodecConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ZfpCodec", "ZfpStage", "decode_with_header"]

TYPES = {"int32": 1, "int64": 2, "float32": 3, "float64": 4}
"""The library's numbers of its types (zfp_type)."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "reversible": (),
    "expert": ("minbits", "maxbits", "maxprec", "minexp"),
    "fixed_accuracy": ("tolerance",),
    "fixed_rate": ("rate",),
    "fixed_precision": ("precision",),
}
"""The members of a configuration by its mode, which all are required."""

HEADER = 7
"""All parts of a header (ZFP_HEADER_FULL)."""

MAX_BITS = 16658
"""Bits of a block at most, unless more are asked for (ZFP_MAX_BITS)."""

WORD = 8
"""Bytes of a stream's words, as the library is built unless its makers ask for others."""

EMPTY = 128
"""Bits of zeros, at most, that are a block: a bit of each plane of 64-bit integers, and how many planes there are."""


@dataclass(frozen=True, slots=True)
class ZfpCodec:
    """Blocks of 4 numbers along each axis, at most four of them (zarr-extensions, codec `zfp`: without a header)."""

    mode: str
    members: Mapping[str, Any]

    name = "zfp"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ZfpCodec:
        mode = config.get("mode")
        if not isinstance(mode, str) or mode not in MEMBERS:
            raise MetadataError(f"zfp: there is no mode {mode!r:.100}", field="codecs")
        unknown_members(config, "zfp", {"mode", *MEMBERS[mode]})
        members = {name: _member(config, name) for name in MEMBERS[mode]}
        if mode == "expert" and not 0 <= members["minbits"] <= members["maxbits"]:
            raise MetadataError("zfp: minbits is more than maxbits", field="codecs")
        return cls(mode, members)

    def to_config(self) -> CodecConfig:
        return CodecConfig("zfp", {"mode": self.mode, **self.members})

    def bind(self, elements: Elements) -> ZfpStage:
        """Raises MetadataError for five axes and elements that are no numbers, UnsupportedError without zfpy."""
        shape, name = elements.shape or (1,), elements.data_type.name
        if len(shape) > 4:
            raise MetadataError(f"zfp: a chunk of {len(shape)} axes, more than 4", field="codecs")
        kind, own = None, elements.dtype
        if own.kind in "mM":
            own = np.dtype(np.int64)
        elif name not in TYPES:
            kind = numbers(elements.data_type, "zfp")
            own = np.dtype(np.float32 if not kind.is_int else np.int64 if kind.bits == 64 else np.int32)
        library()
        return ZfpStage(shape, own, self.mode, tuple(self.members.values()), kind)


def _member(config: Mapping[str, Any], name: str) -> Any:
    if name not in ("tolerance", "rate"):
        low, high = {"maxprec": (1, 64), "minexp": (-(1 << 20), 1 << 20), "precision": (0, 1 << 16)}.get(
            name, (0, 2 * MAX_BITS)
        )
        return config_int(config, "zfp", name, low, high)
    value = config.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 <= value < math.inf if name == "tolerance" else 0 < value <= EMPTY):  # type: ignore[operator]  # a number
        raise MetadataError(f"zfp: {name} {value!r:.100} is out of range", field="codecs")
    return value


@dataclass(frozen=True, slots=True)
class ZfpStage:
    """Bound to chunks of `shape`, of `own`, a type that the library has; `kind` is what they are, if it is another."""

    shape: tuple[int, ...]
    own: np.dtype[Any]
    mode: str
    values: tuple[Any, ...]
    kind: Numbers | None
    native: NativeOp | None = None

    name = "zfp"

    def encoded_size(self, size: int) -> int | None:
        return None

    def encode(self, data: Buffer) -> Buffer:
        found = np.frombuffer(data, self.own) if self.kind is None else _promoted(data, self.kind, self.own)
        found = np.ascontiguousarray(found)
        with _stream() as zfp, _field(found, self.shape) as field:
            self._set(zfp, len(self.shape))
            room = np.zeros(library().zfp_stream_maximum_size(zfp, field), np.uint8)
            with _bits(zfp, room):
                size = library().zfp_compress(zfp, field)
        if not size:
            raise CodecError("the library encodes nothing", codec=self.name, direction="encode")
        return room[:size].data

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        found = np.empty(math.prod(self.shape), self.own)
        stored = memoryview(data).cast("B")
        with _stream() as zfp, _field(found, self.shape) as field:
            self._set(zfp, len(self.shape))
            blocks = math.prod(-(-n // 4) for n in self.shape)
            if self.mode == "fixed_rate" and _bytes_of(zfp, blocks) != len(stored):
                self._set(zfp, 3)  # zarrs has the rate of three axes, whatever there are
            _decompress(zfp, field, stored, blocks)
        demoted = found if self.kind is None else _demoted(found, self.kind)
        return put(demoted.view(np.uint8).data, into)

    def _set(self, zfp: Any, ndim: int) -> None:
        """Say to a stream how many bits blocks have."""
        found, values = library(), self.values
        if self.mode == "reversible":
            found.zfp_stream_set_reversible(zfp)
        elif self.mode == "fixed_rate":
            found.zfp_stream_set_rate(zfp, values[0], TYPES[self.own.name], ndim, 0)
        elif self.mode == "fixed_precision":
            found.zfp_stream_set_precision(zfp, values[0])
        elif self.mode == "fixed_accuracy":
            found.zfp_stream_set_accuracy(zfp, values[0])
        else:
            found.zfp_stream_set_params(zfp, *values)


def decode_with_header(data: Buffer, wire: Wire) -> NDArray[Any]:
    """A chunk's numbers, from a stream that begins with its type, shape and parameters. Raises CodecError."""
    stored, found = memoryview(data).cast("B"), library()
    numbers = np.empty(wire.nbytes // wire.dtype.itemsize, wire.dtype.newbyteorder("="))
    padded = np.zeros(len(stored) + 64, np.uint8)
    padded[: len(stored)] = stored
    with _stream() as zfp, _field(numbers, (numbers.size,)) as field:
        with _bits(zfp, padded):
            known = found.zfp_read_header(zfp, field, HEADER)
        sizes = (ctypes.c_size_t * 4)()
        count = found.zfp_field_size(field, sizes) if known else 0
        if not 0 < known <= 8 * len(stored) or found.zfp_field_type(field) != TYPES.get(numbers.dtype.name):
            raise CodecError(f"has no header of {numbers.dtype}", codec="zfpy", direction="decode")
        if count != numbers.size:
            raise bad_size("zfpy", count, numbers.size)
        ndim = found.zfp_field_dimensionality(field)
        blocks = math.prod(-(-n // 4) for n in list(sizes)[:ndim])
        _decompress(zfp, field, stored, blocks, HEADER)
    return numbers


def _decompress(zfp: Any, field: Any, stored: memoryview, blocks: int, header: int = 0) -> None:
    """Decode a stream of so many blocks into a field. Raises CodecError where it ends before they do."""
    least, most = _params(zfp)
    if len(stored) % WORD or blocks * least > 8 * len(stored):
        raise CodecError("the stream is cut off", codec="zfp", direction="decode")
    padded = np.zeros(len(stored) + (blocks * max(least, EMPTY) + min(most, MAX_BITS)) // 8 + 64, np.uint8)
    padded[: len(stored)] = stored
    with _bits(zfp, padded):
        if header:
            library().zfp_read_header(zfp, field, header)
        taken = library().zfp_decompress(zfp, field)
    if not taken or taken > len(stored):
        raise CodecError("the stream is cut off", codec="zfp", direction="decode")


def _params(zfp: Any) -> tuple[int, int]:
    """The least and most bits of a block."""
    bits = [ctypes.c_uint() for _ in range(3)]
    library().zfp_stream_params(zfp, *map(ctypes.byref, bits), ctypes.byref(ctypes.c_int()))
    return bits[0].value, bits[1].value


def _bytes_of(zfp: Any, blocks: int) -> int:
    """The bytes of blocks of a fixed rate: whole words."""
    return -(-blocks * _params(zfp)[0] // (8 * WORD)) * WORD


# ---- narrower types, which the library has as 32-bit integers with the high bits in use ------------------------------


def _promoted(data: Buffer, kind: Numbers, own: np.dtype[Any]) -> NDArray[Any]:
    values = kind.read(data)
    if not kind.is_int:
        return values.astype(own)
    if kind.bits >= 32:
        most = np.iinfo(own).max
        if kind.low == 0 and values.size and values.max() > most:
            reason = f"{values.max()} is more than {most}, the largest number of zfp"
            raise CodecError(reason, codec="zfp", direction="encode")
        return values.astype(own)
    middle = 0 if kind.low < 0 else 1 << kind.bits - 1
    return ((values - middle) << (31 - kind.bits)).astype(own)


def _demoted(found: NDArray[Any], kind: Numbers) -> NDArray[Any]:
    if not kind.is_int:
        with np.errstate(all="ignore"):
            return kind.write(found)
    if kind.bits >= 32:
        return kind.write(np.maximum(found, 0))
    middle = 0 if kind.low < 0 else 1 << kind.bits - 1
    return kind.write(np.clip((found.astype(np.int64) >> (31 - kind.bits)) + middle, kind.low, kind.high))


# ---- the library -----------------------------------------------------------------------------------------------------

_P, _U, _Z, _D = ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_double
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "stream_close": (None, (_P,)),
    "stream_open": (_P, (_P, _Z)),
    "zfp_compress": (_Z, (_P, _P)),
    "zfp_decompress": (_Z, (_P, _P)),
    **{f"zfp_field_{n}d": (_P, (_P, ctypes.c_int, *(_Z,) * n)) for n in (1, 2, 3, 4)},
    "zfp_field_dimensionality": (_U, (_P,)),
    "zfp_field_free": (None, (_P,)),
    "zfp_field_size": (_Z, (_P, _P)),
    "zfp_field_type": (ctypes.c_int, (_P,)),
    "zfp_read_header": (_Z, (_P, _P, _U)),
    "zfp_stream_close": (None, (_P,)),
    "zfp_stream_maximum_size": (_Z, (_P, _P)),
    "zfp_stream_open": (_P, (_P,)),
    "zfp_stream_params": (None, (_P, _P, _P, _P, _P)),
    "zfp_stream_rewind": (None, (_P,)),
    "zfp_stream_set_accuracy": (_D, (_P, _D)),
    "zfp_stream_set_bit_stream": (None, (_P, _P)),
    "zfp_stream_set_params": (ctypes.c_int, (_P, _U, _U, _U, ctypes.c_int)),
    "zfp_stream_set_precision": (_U, (_P, _U)),
    "zfp_stream_set_rate": (_D, (_P, _D, ctypes.c_int, _U, ctypes.c_int)),
    "zfp_stream_set_reversible": (None, (_P,)),
}
"""What is called of it (zfp 1.0, zfp.h), by result and arguments."""


@cache
def library() -> Any:
    """The zfp library that comes with zfpy. Raises UnsupportedError where it is not there."""
    with importing:
        found = importlib.util.find_spec("zfpy")
        try:
            if found is None or found.origin is None:
                raise ImportError("it is not installed")
            # Its module is linked with the library, whose functions are found through it.
            loaded = ctypes.CDLL(found.origin)
            for name, (result, arguments) in FUNCTIONS.items():
                function = getattr(loaded, name)
                function.restype, function.argtypes = result, arguments
        except (ImportError, OSError, AttributeError) as error:
            reason = f"codec 'zfp' needs the package zfpy: pip install gpuzarr[codecs] ({error})"
            raise UnsupportedError(reason, feature="codec zfp") from error
    return loaded


@contextmanager
def _stream() -> Iterator[Any]:
    zfp = library().zfp_stream_open(None)
    try:
        yield zfp
    finally:
        library().zfp_stream_close(zfp)


@contextmanager
def _field(values: NDArray[Any], shape: tuple[int, ...]) -> Iterator[Any]:
    """An array as the library has them: the fastest axis first."""
    make = getattr(library(), f"zfp_field_{len(shape)}d")
    field = make(values.ctypes.data, TYPES.get(values.dtype.name, 0), *reversed(shape))
    try:
        yield field
    finally:
        library().zfp_field_free(field)


@contextmanager
def _bits(zfp: Any, memory: NDArray[np.uint8]) -> Iterator[None]:
    """Memory as what a stream is read from, or written to."""
    bits = library().stream_open(memory.ctypes.data, memory.nbytes)
    library().zfp_stream_set_bit_stream(zfp, bits)
    library().zfp_stream_rewind(zfp)
    try:
        yield
    finally:
        library().stream_close(bits)
