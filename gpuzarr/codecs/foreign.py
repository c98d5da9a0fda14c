"""Every codec id of numcodecs that gpuzarr has no stage of its own for: one adapter.

Ids whose codecs make objects (strings, ragged arrays) are refused: they need variable-length types. `pickle` runs
code from the data and is refused unless the caller allows it.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size
from gpuzarr.errors import CodecError, MetadataError, UnknownCodecError, UnsupportedError
from gpuzarr.metadata import CodecConfig

__all__ = ["ForeignCodec"]

OBJECTS = frozenset({"categorize", "json2", "msgpack2", "vlen-array", "vlen-bytes", "vlen-utf8"})


@dataclass(frozen=True, slots=True)
class ForeignCodec:
    """A numcodecs codec by its id and configuration, bound to the data type it is first given."""

    name: str
    codec: Any
    config: Mapping[str, Any]
    dtype: np.dtype[Any] | None = None
    native: NativeOp | None = None

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], allow_pickle: bool = False) -> ForeignCodec:
        """`name` is the numcodecs id. Raises UnknownCodecError, UnsupportedError, or MetadataError."""
        if name in OBJECTS:
            raise UnsupportedError(f"codec {name!r} needs variable-length data types", feature=f"codec {name}")
        if name == "pickle" and not allow_pickle:
            raise UnsupportedError(
                "codec 'pickle' runs code from the data: open with allow_pickle=True only what you trust",
                feature="codec pickle",
            )
        import numcodecs

        try:
            codec = numcodecs.get_codec({"id": name, **config})
        except ImportError as error:
            raise UnsupportedError(f"codec {name!r}: {error}", feature=f"codec {name}") from error
        except Exception as error:  # numcodecs hands the configuration to constructors that check nothing
            if type(error).__name__ == "UnknownCodecError" or isinstance(error, KeyError):
                raise UnknownCodecError(f"numcodecs has no codec {name!r}", codec=name) from error
            raise MetadataError(f"{name}: {error}", field="codecs") from error
        return cls(name, codec, dict(config))

    def to_config(self) -> CodecConfig:
        return CodecConfig(f"numcodecs.{self.name}", dict(self.config))

    def bind(self, wire: Wire) -> ForeignCodec:
        return ForeignCodec(self.name, self.codec, self.config, wire.dtype)

    def encoded_size(self, size: int) -> int | None:
        return size + 4 if self.name in ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3") else None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        bounded = BOUNDED.get(self.name)
        most = limit if size is None else size
        decoded = _bytes(self.codec.decode(data)) if bounded is None else bounded(self.codec, data, most)
        if len(decoded) > most or (size is not None and len(decoded) != size):
            raise bad_size(self.name, len(decoded), size)
        if into is None:
            return decoded
        into[:] = decoded
        return into

    def encode(self, data: Buffer) -> Buffer:
        view = memoryview(data)
        typed = view.format == "B" and self.dtype is not None and view.nbytes % self.dtype.itemsize == 0
        return _typed(self.codec.encode(np.frombuffer(view, self.dtype) if typed else np.asarray(view)))


def _bytes(decoded: Any) -> memoryview:
    return _typed(decoded).cast("B") if not isinstance(decoded, bytes) else memoryview(decoded)


def _typed(encoded: Any) -> memoryview:
    """What a codec returned, as a one-dimensional view that keeps its element type for the next codec."""
    if isinstance(encoded, (bytes, bytearray)):
        return memoryview(encoded)
    flat = np.ascontiguousarray(encoded).reshape(-1)
    return memoryview(flat if flat.dtype.kind in "biufc" else flat.view(np.uint8))


def _bz2(codec: Any, data: Buffer, most: int) -> bytes:
    return _streams(bz2.BZ2Decompressor, data, most, "bz2")


def _lzma(codec: Any, data: Buffer, most: int) -> bytes:
    # The format's own header names the filters, but for raw streams.
    filters = codec.filters if codec.format == lzma.FORMAT_RAW else None
    return _streams(lambda: lzma.LZMADecompressor(codec.format, None, filters), data, most, "lzma")


def _streams(make: Callable[[], Any], data: Buffer, most: int, name: str) -> bytes:
    """Decode one stream after another, never to more than `most` bytes in all."""
    parts, total = [], 0
    rest: Buffer = bytes(data)
    while rest:
        one = make()
        part = one.decompress(rest, max_length=most - total + 1)
        parts.append(part)
        total += len(part)
        if total > most:
            raise bad_size(name, f"more than {most}", most)
        if not one.eof:
            raise CodecError("the stream is cut off", codec=name, direction="decode")
        rest = one.unused_data
    return b"".join(parts)


BOUNDED: dict[str, Callable[[Any, Buffer, int], bytes]] = {"bz2": _bz2, "lzma": _lzma}
"""Decoders that stop at a size: the codecs themselves would take all the memory a stream asks for."""
