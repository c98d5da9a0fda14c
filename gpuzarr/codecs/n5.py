"""`n5_default`: blocks as N5 stores them (zarr-extensions, codec `n5_default`; N5 4.0.0, "File-system specification").

A block is a header with its own shape, then its elements, big endian, first axis fastest, by at most one compressor.
Axis order and byte order are part of the layout; the header and the compressor are one stage.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, BytesCodecLike, NativeOp, Stage, Wire, bad_size, unknown_members
from gpuzarr.codecs.objects import ObjectCodec
from gpuzarr.codecs.packbits import PackBitsCodec
from gpuzarr.codecs.structure import BytesCodec, ReshapeCodec, ShardingCodec, TransposeCodec
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig
from gpuzarr.metadata.model import codec_list, object_form

__all__ = ["N5BlockStage", "N5Codec", "N5Lz4Codec", "is_only_read"]

LZ4 = "gpuzarr.n5_lz4"
"""What stands for N5's `lz4` within `n5_default`, which has no name for it."""

TYPES = frozenset({*(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64"})
"""Data types of N5, which are numbers. Its strings and objects are no arrays of fixed size."""

_OF_ARRAYS = TransposeCodec | ReshapeCodec | BytesCodec | PackBitsCodec | ShardingCodec | ObjectCodec

_DEFAULT, _VARLENGTH = 0, 1
"""Modes of a block; one of mode 1 says how many elements it has."""

_SLACK = 1 << 16
"""Bytes of elements that a block may have beyond twice those of a chunk."""


@dataclass(frozen=True, slots=True)
class N5Codec:
    """N5 blocks in default mode; `inner` is the compressor.

    >>> N5Codec(TransposeCodec((1, 0)), CodecConfig("gzip", {"level": 1})).to_config().configuration["codecs"][2]
    {'name': 'gzip', 'configuration': {'level': 1}}
    """

    transpose: TransposeCodec
    inner: CodecConfig | None = None

    name = "n5_default"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> N5Codec:
        unknown_members(config, "n5_default", {"codecs"})
        codecs = codec_list(config.get("codecs"))
        names = [codec.name for codec in codecs]
        if names[:2] != ["transpose", "bytes"] or len(names) > 3:
            reason = f"n5_default: codecs are transpose, bytes and at most one more, not {names!r:.100}"
            raise MetadataError(reason, field="codecs")
        if BytesCodec.from_config(codecs[1].configuration).endian == "little":
            raise MetadataError("n5_default: elements are big endian", field="codecs")
        transpose = TransposeCodec.from_config(codecs[0].configuration)
        if transpose.order != tuple(range(len(transpose.order)))[::-1]:
            raise MetadataError("n5_default: transpose does not reverse the order of axes", field="codecs")
        return cls(transpose, codecs[2] if len(codecs) == 3 else None)

    def to_config(self) -> CodecConfig:
        inner = () if self.inner is None else (self.inner,)
        codecs = (self.transpose.to_config(), BytesCodec("big").to_config(), *inner)
        return CodecConfig("n5_default", {"codecs": [object_form(codec) for codec in codecs]})

    def parts(self, make: Callable[[CodecConfig], Any]) -> tuple[TransposeCodec, BytesCodec, N5Blocks]:
        """The same as a chain; `make` makes the compressor."""
        inner = None if self.inner is None else N5Lz4Codec() if self.inner.name == LZ4 else make(self.inner)
        if isinstance(inner, _OF_ARRAYS | N5Codec):
            raise MetadataError(f"n5_default: {inner.name} is no bytes-to-bytes codec", field="codecs")
        return self.transpose, BytesCodec("big"), N5Blocks(self, inner)


def is_only_read(codecs: Sequence[CodecConfig]) -> bool:
    """Whether a chain is one of N5 that no document of Zarr has a name for."""
    inner = (c for codec in codecs if codec.name == "n5_default" for c in codec_list(codec.configuration.get("codecs")))
    return any(codec.name == LZ4 for codec in inner)


@dataclass(frozen=True, slots=True)
class N5Blocks:
    """The part of `n5_default` that is from bytes to bytes."""

    codec: N5Codec
    inner: BytesCodecLike | None

    name = "n5_default"

    def to_config(self) -> CodecConfig:
        return self.codec.to_config()

    def bind(self, wire: Wire) -> N5BlockStage:
        if wire.shape is None or wire.name not in TYPES:
            raise MetadataError(f"n5_default: N5 has no data type {wire.name}", field="codecs")
        inner = None if self.inner is None else self.inner.bind(wire)
        return N5BlockStage(wire.shape[::-1], wire.dtype.itemsize, inner)


@dataclass(frozen=True, slots=True)
class N5BlockStage:
    """Blocks of elements of `itemsize` bytes, bound; `shape` is that of a whole one, in N5's order of axes.

    A block at the border may end with the array, or be whole; one that is smaller is filled up with zeros, of one
    that is larger the beginning is taken (zarr-extensions, codec `n5_default`, "Decoding").
    """

    shape: tuple[int, ...]
    itemsize: int
    inner: Stage | None
    native: NativeOp | None = None

    name = "n5_default"

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        block = memoryview(data).cast("B")
        shape, start = self._header(block)
        nbytes, whole = math.prod(shape) * self.itemsize, shape == self.shape
        if self.inner is not None:
            elements = self.inner.decode(block[start:], nbytes, nbytes, into if whole else None)
        else:
            elements = block[start:]
        if memoryview(elements).nbytes != nbytes:
            raise bad_size(self.name, memoryview(elements).nbytes, nbytes)
        if not whole:
            return self._fitted(elements, shape, into)
        if into is None or self.inner is not None:
            return elements
        into[:] = memoryview(elements).cast("B")
        return into

    def _header(self, block: memoryview) -> tuple[tuple[int, ...], int]:
        """The shape of a block, and where what is encoded of it begins. Raises CodecError before memory is taken."""
        if len(block) < 4:
            raise self._error("the block's header is cut off")
        mode, ndim = struct.unpack_from(">HH", block)
        if mode not in (_DEFAULT, _VARLENGTH):
            raise self._error(f"a block of mode {mode}, which has no array in it")
        if ndim != len(self.shape):
            raise self._error(f"a block of {ndim} dimensions, not {len(self.shape)}")
        start = 4 + 4 * ndim + (4 if mode == _VARLENGTH else 0)
        if len(block) < start:
            raise self._error("the block's header is cut off")
        shape = struct.unpack_from(f">{ndim}I", block, 4)
        count = math.prod(shape)
        if mode == _VARLENGTH and int.from_bytes(block[start - 4 : start], "big") != count:
            raise self._error(f"a block of shape {shape} with another number of elements")
        if count * self.itemsize > 2 * math.prod(self.shape) * self.itemsize + _SLACK:
            raise self._error(f"a block of shape {shape}, in chunks of {self.shape}")
        return shape, start

    def _fitted(self, elements: Buffer, shape: tuple[int, ...], into: memoryview | None) -> Buffer:
        """A block of another shape than a whole one, as a whole one."""
        out = np.frombuffer(bytearray(math.prod(self.shape) * self.itemsize) if into is None else into, np.uint8)
        out[:] = 0
        chunk = out.reshape(*self.shape[::-1], self.itemsize)
        block = np.frombuffer(elements, np.uint8).reshape(*shape[::-1], self.itemsize)
        both = tuple(slice(min(n, m)) for n, m in zip(self.shape[::-1], shape[::-1], strict=True))
        chunk[both] = block[both]
        return out.data

    def encode(self, data: Buffer) -> Buffer:
        elements = memoryview(data).cast("B")
        body = elements if self.inner is None else self.inner.encode(elements)
        header = struct.pack(f">HH{len(self.shape)}I", _DEFAULT, len(self.shape), *self.shape)
        return b"".join((header, memoryview(body).cast("B")))

    def _error(self, reason: str) -> CodecError:
        return CodecError(reason, codec=self.name, direction="decode")


# LZ4BlockOutputStream of lz4-java: a magic word, a token (method and the largest size of a block), the encoded and
# the decoded size, and a checksum (XXH32) of what is decoded.
_LZ4_HEADER = struct.Struct("<8sBiiI")
_LZ4_MAGIC = b"LZ4Block"
_LZ4_RAW, _LZ4_PACKED = 0x10, 0x20


@dataclass(frozen=True, slots=True)
class N5Lz4Codec:
    """What N5's writers make of `lz4`: the blocks of lz4-java; one block alone (z5); or numcodecs' (zarr-python 2).

    It is for reading only. The checksums of lz4-java's blocks are not looked at.
    """

    native: NativeOp | None = None

    name = "lz4"

    def to_config(self) -> CodecConfig:
        return CodecConfig(LZ4)

    def bind(self, wire: Wire) -> N5Lz4Codec:
        return self

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        view = memoryview(data).cast("B")
        out = np.empty(limit if size is None else size, np.uint8).data if into is None else into
        if bytes(view[:8]) == _LZ4_MAGIC:
            _lz4_java(view, out)
        elif int.from_bytes(view[:4], "little") == len(out):
            _lz4_block(view[4:], out)
        else:
            _lz4_block(view, out)
        return out

    def encode(self, data: Buffer) -> Buffer:
        raise UnsupportedError("lz4 as N5 has it is only read", feature="writing lz4 for N5")


def _lz4_java(data: memoryview, out: memoryview) -> None:
    """Decode blocks of lz4-java to exactly as many bytes as `out` has; a block of no bytes ends them."""
    at = done = 0
    while len(data) - at >= _LZ4_HEADER.size:
        magic, token, packed, size, _ = _LZ4_HEADER.unpack_from(data, at)
        at += _LZ4_HEADER.size
        method = token & 0xF0
        fits = 0 <= packed <= len(data) - at and 0 <= size <= len(out) - done
        if magic != _LZ4_MAGIC or method not in (_LZ4_RAW, _LZ4_PACKED) or not fits:
            raise CodecError("not a block of lz4-java, or one too many", codec="lz4", direction="decode")
        if size == 0:
            break
        if method == _LZ4_PACKED:
            _lz4_block(data[at : at + packed], out[done : done + size])
        elif packed == size:
            out[done : done + size] = data[at : at + packed]
        else:
            raise bad_size("lz4", packed, size)
        at, done = at + packed, done + size
    if done != len(out):
        raise bad_size("lz4", done, len(out))


def _lz4_block(block: memoryview, out: memoryview) -> None:
    """Decode one LZ4 block to exactly as many bytes as `out` has."""
    if not len(out):
        return
    # numcodecs wants the size before the block.
    module("numcodecs.lz4").decompress(len(out).to_bytes(4, "little") + block, out)
