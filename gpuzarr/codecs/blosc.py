"""`blosc`: the Blosc-1 container (Zarr 3 codec `blosc`, numcodecs `blosc`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, unknown_members
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig

__all__ = ["BloscCodec"]

NAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
"""Blosc's compressors, in the order of Blosc's own codes."""

SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
FORMATS = {0: "blosclz", 1: "lz4", 2: "snappy", 3: "zlib", 4: "zstd"}
"""Compressors by the code of a container's header; lz4hc makes what lz4 reads."""

HEADER, MEMCPYED = 16, 2
MOST = 2**31 - 1 - HEADER
"""A container holds at most this many bytes."""


@dataclass(frozen=True, slots=True)
class BloscCodec:
    """Blosc: shuffle, then one of its compressors, in blocks.

    Parameters
    ----------
    cname
        "lz4", "lz4hc", "blosclz", "zstd", "snappy" or "zlib".
    clevel
        0 (store) to 9 (smallest).
    shuffle
        "shuffle" (bytes), "bitshuffle", "noshuffle", or None: bits for one-byte types, bytes for others.
    typesize
        Bytes of an element for the shuffle; None: the array's.
    blocksize
        Bytes of a block; 0 lets Blosc choose.

    >>> codec = BloscCodec(cname="lz4", typesize=2)
    >>> bytes(codec.decode(codec.encode(b"zarr" * 100), 400, 400)) == b"zarr" * 100
    True
    """

    cname: str = "zstd"
    clevel: int = 5
    shuffle: str | None = None
    typesize: int | None = None
    blocksize: int = 0

    name = "blosc"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BloscCodec:
        """From a Zarr 3 configuration, or a numcodecs one (shuffle by number, no typesize)."""
        unknown_members(config, "blosc", {"cname", "clevel", "shuffle", "typesize", "blocksize"})
        cname = config.get("cname", "lz4")
        if cname not in NAMES:
            raise MetadataError(f"blosc: cname must be one of {', '.join(NAMES)}, not {cname!r}", field="codecs")
        clevel = config_int(config, "blosc", "clevel", 0, 9, default=5)
        blocksize = config_int(config, "blosc", "blocksize", 0, MOST, default=0)
        typesize = None if config.get("typesize") is None else config_int(config, "blosc", "typesize", 1, 2**31)
        return cls(cname, clevel, _shuffle(config.get("shuffle", 1)), typesize, blocksize)

    def to_config(self) -> CodecConfig:
        config: dict[str, Any] = {
            "cname": self.cname,
            "clevel": self.clevel,
            "shuffle": self.shuffle or "shuffle",
            "typesize": self.typesize or 1,
            "blocksize": self.blocksize,
        }
        return CodecConfig("blosc", config)

    def bind(self, wire: Wire) -> BloscCodec:
        """With the shuffle and typesize that None stands for."""
        if wire.nbytes > MOST:
            raise MetadataError(f"blosc: a chunk of {wire.nbytes} bytes is over its limit of {MOST}", field="codecs")
        size = self.typesize if self.typesize is not None else wire.dtype.itemsize
        automatic = "bitshuffle" if size == 1 else "shuffle"
        return replace(self, shuffle=self.shuffle or automatic, typesize=size)

    @property
    def native(self) -> NativeOp | None:
        shuffle = SHUFFLES.index(self.shuffle or "shuffle")
        return NativeOp("blosc", (self.clevel, shuffle, self._typesize, self.blocksize, NAMES.index(self.cname)))

    @property
    def _typesize(self) -> int:
        # Blosc itself takes sizes over 255 for 1: such elements are not shuffled.
        return self.typesize if self.typesize is not None and self.typesize <= 255 else 1

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        blosc = _blosc()
        view = memoryview(data).cast("B")
        found = _check_header(view)
        if found > limit or (size is not None and found != size):
            raise bad_size("blosc", found, size)
        if not found:
            return into if into is not None else b""
        if not view[2] & MEMCPYED:
            _require(FORMATS.get(view[2] >> 5), blosc)
        out = into if into is not None else np.empty(found, np.uint8).data
        blosc.decompress(view, out)
        return out

    def encode(self, data: Buffer) -> Buffer:
        blosc = _blosc()
        _require(self.cname, blosc)
        shuffle = SHUFFLES.index(self.shuffle or "shuffle")
        whole = np.frombuffer(data, np.uint8)
        encoded: bytes = blosc.compress(
            whole, self.cname.encode(), self.clevel, shuffle, self.blocksize, typesize=self._typesize
        )
        return encoded


def _blosc() -> Any:
    with suppress(ImportError):  # numcodecs imports it when it first compresses, and can do without
        module("multiprocessing.synchronize")
    return module("numcodecs.blosc")


def _require(cname: str | None, blosc: Any) -> None:
    """Refuse a compressor that the installed numcodecs was built without, as snappy often is."""
    if cname is not None and cname not in blosc.list_compressors():
        raise UnsupportedError(f"the installed numcodecs has no {cname} in its Blosc", feature=f"blosc with {cname}")


def _shuffle(value: Any) -> str | None:
    if isinstance(value, str) and value in SHUFFLES:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= 2:
        return None if value < 0 else SHUFFLES[value]
    raise MetadataError(f"blosc: shuffle must be one of {', '.join(SHUFFLES)}, not {value!r}", field="codecs")


def _check_header(data: memoryview) -> int:
    """The decoded size a container's header gives, once the header is checked against the bytes there are."""
    if len(data) < HEADER:
        raise CodecError(f"{len(data)} bytes are too few for a header", codec="blosc", direction="decode")
    version, flags, typesize = data[0], data[2], data[3]
    nbytes, blocksize, cbytes = (int.from_bytes(data[k : k + 4], "little", signed=True) for k in (4, 8, 12))
    memcpyed = flags & MEMCPYED
    wrong = (
        (version != 2 and f"version {version} is not 2")
        or (cbytes > len(data) and f"{len(data)} bytes of {cbytes}")
        or ((cbytes < HEADER or nbytes < 0) and "a negative size")
        or (typesize == 0 and "typesize 0")
        or (memcpyed and cbytes != nbytes + HEADER and "a stored container of the wrong size")
        or (not memcpyed and nbytes and not 0 < blocksize <= nbytes and f"blocksize {blocksize}")
        or (not memcpyed and nbytes and cbytes < HEADER + 4 * -(-nbytes // blocksize) and "too short for its blocks")
    )
    if wrong:
        raise CodecError(wrong, codec="blosc", direction="decode")
    return nbytes
