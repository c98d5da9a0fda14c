"""Every codec id of numcodecs that gpuzarr has no stage of its own for: one adapter.

Those that take objects (strings, ragged arrays) are in `objects`.

Format 3 has some of them as array-to-array codecs. They take elements in C order and know no axes, so they
are stages here too, between the elements in native byte order and the byte order that `bytes` asks for.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, Elements, NativeOp, Wire, bad_size, put
from gpuzarr.codecs.streams import Decompressor, unpack
from gpuzarr.dtypes import from_numpy
from gpuzarr.errors import MetadataError, UnknownCodecError, UnsupportedError
from gpuzarr.forks import importing, module
from gpuzarr.metadata import CodecConfig

__all__ = ["ForeignCodec"]

OPTIONAL = frozenset({"pcodec", "zfpy"})
"""Ids that numcodecs has only with another package; in format 3 they are array-to-bytes codecs."""

FILTERS = frozenset({"astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize"})
"""Array-to-array codecs of format 3."""

ORDERED = frozenset({"delta", "packbits"})

CHECKSUMS = frozenset({"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"})
"""Ids of what appends four bytes."""


@dataclass(frozen=True, slots=True)
class ForeignCodec:
    """A numcodecs codec by its id and configuration, bound to the data type it is first given."""

    name: str
    codec: Any
    config: Mapping[str, Any]
    dtype: np.dtype[Any] | None = None
    native: NativeOp | None = None

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any]) -> ForeignCodec:
        """`name` is the numcodecs id. Raises UnknownCodecError, UnsupportedError, or MetadataError."""
        numcodecs = module("numcodecs")
        try:
            with importing:  # numcodecs imports some of its codecs late
                codec = numcodecs.get_codec({"id": name, **config})
        except ImportError as error:
            raise UnsupportedError(f"codec {name!r}: {error}", feature=f"codec {name}") from error
        except Exception as error:  # numcodecs hands the configuration to constructors that check nothing
            if type(error).__name__ == "UnknownCodecError" or isinstance(error, KeyError):
                raise _unknown(name) from error
            raise MetadataError(f"{name}: {error}", field="codecs") from error
        return cls(name, codec, dict(config))

    def to_config(self) -> CodecConfig:
        return CodecConfig(f"numcodecs.{self.name}", dict(self.config))

    def bind(self, wire: Wire) -> ForeignCodec:
        if self.name == "shuffle" and "elementsize" not in self.config and wire.dtype.itemsize != 4:
            raise MetadataError("shuffle: elementsize is missing; readers differ about it", field="codecs")
        return ForeignCodec(self.name, self.codec, self.config, wire.dtype)

    @property
    def is_filter(self) -> bool:
        """Whether format 3 has it as an array-to-array codec."""
        return self.name in FILTERS

    @property
    def is_ordered(self) -> bool:
        """Whether its result depends on the order of elements: no transpose may be moved before it."""
        return self.name in ORDERED

    def stored(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The type of what it makes of elements of `dtype`."""
        if self.name not in FILTERS or self.name == "packbits":
            return np.dtype(np.uint8)
        named = "encode_dtype" if self.name == "astype" else "astype"
        return np.dtype(getattr(self.codec, named, dtype))

    def made(self, elements: Elements) -> Elements:
        """What it makes of elements, as an array-to-array codec.

        The fill value stays, as zarr-python has it; but fixedscaleoffset encodes it, as zarrs has it, because
        zarr-python writes no shards after that.
        """
        if self.name == "packbits":
            return Elements((1 + -(-elements.count // 8),), from_numpy(np.uint8, 3))
        made = self.stored(elements.data_type.dtype).newbyteorder("=")
        if made == elements.data_type.dtype and self.name != "fixedscaleoffset":
            return elements
        try:
            with np.errstate(all="ignore"):
                fill = None if elements.fill is None else self._fill(np.asarray(elements.fill).reshape(1), made)
        except (TypeError, ValueError) as error:
            raise MetadataError(f"{self.name}: {error}", field="codecs") from error
        return Elements(elements.shape, from_numpy(made, 3), fill)

    def _fill(self, fill: NDArray[Any], made: np.dtype[Any]) -> Any:
        return (self.codec.encode(fill) if self.name == "fixedscaleoffset" else fill).astype(made)[0]

    def encoded_size(self, size: int) -> int | None:
        if self.name in CHECKSUMS:
            return size + 4
        decoded, encoded = self._items()
        return size // decoded * encoded if decoded and size % decoded == 0 else None

    def _items(self) -> tuple[int, int]:
        """Bytes of an element decoded, and encoded; 0 where that is not all there is to the sizes."""
        if self.name in ("bitround", "shuffle"):
            return 1, 1
        if self.name not in FILTERS or self.name == "packbits":
            return 0, 0
        names = ("decode_dtype", "encode_dtype") if self.name == "astype" else ("dtype", "astype")
        decoded, encoded = (np.dtype(getattr(self.codec, name)).itemsize for name in names)
        return (decoded, encoded) if decoded and encoded else (0, 0)

    def _check_size(self, found: int, size: int | None, limit: int) -> None:
        if found > limit or (size is not None and found != size):
            raise bad_size(self.name, found, size)

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        if self.name in STREAMS:
            return unpack(lambda: STREAMS[self.name](self.codec, limit), data, size, limit, into, self.name)
        item, encoded = self._items()
        if item:  # sizes are checked before memory is taken: a configuration may make a lot of a byte
            self._check_size(memoryview(data).nbytes // encoded * item, size, limit)
        # bitround has nothing to do, and numcodecs takes it from floats only.
        decoded = memoryview(data).cast("B") if self.name == "bitround" else _bytes(self.codec.decode(data))
        self._check_size(len(decoded), size, limit)
        return put(decoded, into)

    def encode(self, data: Buffer) -> Buffer:
        view = memoryview(data)
        typed = view.format == "B" and self.dtype is not None and view.nbytes % self.dtype.itemsize == 0
        return _typed(self.codec.encode(np.frombuffer(view, self.dtype) if typed else np.asarray(view)))


def _unknown(name: str) -> UnknownCodecError | UnsupportedError:
    if name in OPTIONAL:
        reason = f"codec {name!r} needs a package beside numcodecs: pip install numcodecs[{name}]"
        return UnsupportedError(reason, feature=f"codec {name}")
    return UnknownCodecError(f"numcodecs has no codec {name!r}", codec=name)


def _bytes(decoded: Any) -> memoryview:
    if isinstance(decoded, (bytes, bytearray)):
        return memoryview(decoded)
    return np.ascontiguousarray(decoded).reshape(-1).view(np.uint8).data


def _typed(encoded: Any) -> memoryview:
    """What a codec returned, as a one-dimensional view that keeps its element type for the next codec."""
    if isinstance(encoded, (bytes, bytearray)):
        return memoryview(encoded)
    flat = np.ascontiguousarray(encoded).reshape(-1)
    return flat.data if flat.dtype.kind in "biufc" else flat.view(np.uint8).data


def _bz2(codec: Any, limit: int) -> Decompressor:
    return bz2.BZ2Decompressor()


def _lzma(codec: Any, limit: int) -> Decompressor:
    # The format's own header names the filters, but for raw streams; and how large a dictionary the decoder makes.
    if codec.format == lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(codec.format, None, codec.filters)
    return lzma.LZMADecompressor(codec.format, DICTIONARY + 2 * limit)


STREAMS: dict[str, Callable[[Any, int], Decompressor]] = {"bz2": _bz2, "lzma": _lzma}
"""Decoders that stop at a size: the codecs themselves would take all the memory a stream asks for."""

DICTIONARY = 256 << 20
"""Bytes that a decoder of lzma may take beside what it decodes; the highest preset takes a quarter of it."""
