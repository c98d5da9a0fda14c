"""Small valid arrays of every codec and layout, as dictionaries of stored bytes: what the tests of bad input damage."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpuzarr

SHAPE = (20, 17)
FILL = 7

Stored = dict[str, bytes]


@dataclass(frozen=True)
class Specimen:
    """A store with one array of SHAPE at its root, and the array's values; not to be changed."""

    name: str
    stored: Stored = field(repr=False)
    values: NDArray[Any] = field(repr=False)

    @property
    def document(self) -> str:
        return "zarr.json" if "zarr.json" in self.stored else ".zarray"

    @property
    def keys(self) -> list[str]:
        """The keys of chunks, the fullest first."""
        found = [k for k in self.stored if not k.startswith(".z") and k != "zarr.json"]
        return sorted(found, key=lambda k: (-len(self.stored[k]), k))


def named(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


LITTLE = named("bytes", endian="little")
ZSTD, GZIP, CRC = named("zstd", level=1, checksum=False), named("gzip", level=1), named("crc32c")
LZ4, ZLIB = named("numcodecs.lz4", acceleration=1), named("numcodecs.zlib", level=1)


def blosc(cname: str, shuffle: str = "shuffle") -> dict[str, Any]:
    return named("blosc", cname=cname, clevel=5, shuffle=shuffle, typesize=2, blocksize=0)


COMPRESSORS: dict[str, list[dict[str, Any]]] = {
    "raw": [],
    "zstd": [ZSTD],
    "zstd with checksum": [named("zstd", level=1, checksum=True)],
    "gzip": [GZIP],
    "crc32c": [CRC],
    "zstd, crc32c": [ZSTD, CRC],
    "crc32c, gzip": [CRC, GZIP],
    "lz4": [LZ4],
    "zlib": [ZLIB],
    "bz2": [named("numcodecs.bz2", level=1)],
    "lzma": [named("numcodecs.lzma", format=1, check=-1, preset=1, filters=None)],
    "shuffle, zstd": [named("numcodecs.shuffle", elementsize=2), ZSTD],
    "fletcher32": [named("numcodecs.fletcher32")],
    "blosc blosclz": [blosc("blosclz")],
    "blosc lz4": [blosc("lz4")],
    "blosc lz4 bits": [blosc("lz4", "bitshuffle")],
    "blosc lz4hc": [blosc("lz4hc", "noshuffle")],
    "blosc zlib": [blosc("zlib")],
    "blosc zstd": [blosc("zstd")],
}
"""Bytes-to-bytes chains of format 3."""

CHECKED = ("zstd with checksum", "gzip", "crc32c", "zstd, crc32c", "crc32c, gzip", "zlib", "bz2", "lzma", "fletcher32")
"""Those that notice, all but surely, any change of the bytes."""

LAYOUTS = ("chunks", "transposed", "shards", "index first", "nested", "wrapped")

FORMAT2: dict[str, tuple[Any, Any]] = {
    "raw": (None, None),
    "blosc": ({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}, None),
    "delta, zlib": ({"id": "zlib", "level": 1}, [{"id": "delta", "dtype": "<u2"}]),
    "astype, lz4": ({"id": "lz4"}, [{"id": "astype", "encode_dtype": "<u4", "decode_dtype": "<u2"}]),
    "scale": (None, [{"id": "fixedscaleoffset", "dtype": "<u2", "astype": "<u4", "scale": 1, "offset": 0}]),
    "base64, bz2": ({"id": "bz2", "level": 1}, [{"id": "base64"}]),
    "crc32": (None, [{"id": "crc32"}]),
}
"""Compressor and filters of format 2."""


def sharding(chunk: list[int], codecs: list[Any], location: str = "end") -> dict[str, Any]:
    index = [LITTLE, CRC]
    return named("sharding_indexed", chunk_shape=chunk, codecs=codecs, index_codecs=index, index_location=location)


def document(codecs: list[Any], chunk: list[int], **changes: Any) -> bytes:
    """A `zarr.json` for arrays of uint16."""
    found = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(SHAPE),
        "data_type": "uint16",
        "chunk_grid": named("regular", chunk_shape=chunk),
        "chunk_key_encoding": named("default", separator="/"),
        "fill_value": FILL,
        "codecs": codecs,
        "attributes": {"unit": "nm"},
    }
    return json.dumps(found | changes).encode()


def layout(name: str, compressors: list[Any]) -> bytes:
    inner = [LITTLE, *compressors]
    if name == "chunks":
        return document(inner, [8, 8])
    if name == "transposed":
        big = named("bytes", endian="big")
        return document([named("transpose", order=[1, 0]), big, *compressors], [8, 8])
    if name == "nested":
        return document([sharding([8, 8], [sharding([4, 4], inner, "start")])], [16, 16])
    if name == "wrapped":
        return document([sharding([4, 8], inner), GZIP], [16, 16])
    return document([sharding([4, 8], inner, "start" if name == "index first" else "end")], [16, 16])


def document_v2(compressor: Any, filters: Any) -> bytes:
    found = {
        "zarr_format": 2,
        "shape": list(SHAPE),
        "chunks": [8, 8],
        "dtype": "<u2",
        "compressor": compressor,
        "fill_value": FILL,
        "order": "F",
        "filters": filters,
    }
    return json.dumps(found).encode()


def values() -> NDArray[Any]:
    """Compressible, with a corner of nothing but the fill value: a chunk that is not stored."""
    found = (np.arange(SHAPE[0] * SHAPE[1]) // 3 % 251).astype(np.uint16).reshape(SHAPE)
    found[:8, :8] = FILL
    return found


def made(name: str, documents: Stored) -> Specimen:
    stored = dict(documents)
    array = gpuzarr.open_array(stored, mode="r+")
    array[...] = values()
    return Specimen(name, stored, values())


@cache
def specimen(name: str) -> Specimen:
    """By a name of `NAMES`."""
    how, _, chain = name.partition(": ")
    if how == "format 2":
        return made(name, {".zarray": document_v2(*FORMAT2[chain]), ".zattrs": b'{"unit": "nm"}'})
    return made(name, {"zarr.json": layout(how, COMPRESSORS[chain])})


IN_EVERY_LAYOUT = ("raw", "zstd", "gzip", "zstd, crc32c", "lz4", "blosc lz4")

NAMES = [
    *(f"chunks: {chain}" for chain in COMPRESSORS),
    *(f"{how}: {chain}" for how in LAYOUTS[1:] for chain in IN_EVERY_LAYOUT),
    *(f"format 2: {chain}" for chain in FORMAT2),
]
