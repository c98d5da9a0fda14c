"""Chunks of a few kilobytes that would like to become hundreds of megabytes; read in a fresh interpreter."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
from specimens import CRC, GZIP, LITTLE, LZ4, ZLIB, ZSTD, blosc, document, document_v2, named, sharding

import gpuzarr

CHUNK = 64 << 10
"""Bytes of a chunk."""

MEGA, MANY = bytes(1 << 20), 256
"""A part of a bomb, and how many of it there are."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def blocks(count: int) -> bytes:
    """Zstandard blocks of one byte each that stand for 128 KiB (RFC 8878, section 3.1.1.2)."""
    header = [struct.pack("<I", (128 << 10) << 3 | 1 << 1 | last)[:3] for last in (0, 1)]
    return (header[0] + b"\0") * (count - 1) + header[1] + b"\0"


def zstd_bomb(count: int = 8 * MANY) -> bytes:
    return ZSTD_MAGIC + b"\x00\x58" + blocks(count)


def deflate_bomb(window: int) -> bytes:
    """One stream: after a full flush, what the same bytes are packed to does not depend on what was before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    head = packer.compress(MEGA) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(MEGA) + packer.flush(zlib.Z_FULL_FLUSH)) * MANY


def gzip_of(value: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(value) + packer.flush()


LZ4_SIZE = 1 + 4 + 15 + 255 * MANY * 4096 + 5
"""What `lz4_bomb` decodes to: a literal, a match, the last five literals."""


def lz4_bomb(claimed: int) -> bytes:
    """A block of zeros: matches at a distance of one, whose lengths go on for as long as there are bytes of 255."""
    block = b"\x1f\x00\x01\x00" + b"\xff" * (MANY * 4096) + b"\x00" + b"\x50" + bytes(5)
    return struct.pack("<I", claimed) + block


def blosc_bomb(nbytes: int, blocksize: int, flags: int = 1) -> bytes:
    value = bytearray(numcodecs.blosc.compress(np.zeros(CHUNK, np.uint8), b"lz4", 5, 1))
    value[2] = value[2] & ~2 | flags
    value[4:12] = struct.pack("<II", nbytes, blocksize)
    return bytes(value)


def alone(size: int) -> bytes:
    """The old format of lzma, whose header asks for a dictionary of `size` bytes."""
    packed = lzma.compress(bytes(CHUNK + 1), lzma.FORMAT_ALONE)
    return packed[:1] + struct.pack("<I", size) + packed[5:]


LZMA = named("numcodecs.lzma", format=1, check=-1, preset=1, filters=None)
LZMA_ALONE = named("numcodecs.lzma", format=2, check=-1, preset=1, filters=None)

Bomb = tuple[list[Any], Callable[[], bytes]]

BOMBS: dict[str, Bomb] = {
    "zstd, blocks without end": ([ZSTD], zstd_bomb),
    "zstd, a second frame": ([ZSTD], lambda: numcodecs.zstd.compress(bytes(CHUNK)) + zstd_bomb()),
    "zstd, a size of a tebibyte": ([ZSTD], lambda: ZSTD_MAGIC + b"\xc0\x58" + struct.pack("<Q", 1 << 40) + blocks(9)),
    "zstd, a window of an exbibyte": ([ZSTD], lambda: ZSTD_MAGIC + b"\x00\xff" + blocks(9)),
    "zstd, a skippable frame of 4 GiB": ([ZSTD], lambda: b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + zstd_bomb(1)),
    "zstd, a frame of 1 GiB in a chain": ([CRC, ZSTD, ZSTD], lambda: ZSTD_MAGIC + b"\xa0" + struct.pack("<I", 1 << 30)),
    "gzip, many members": ([GZIP], lambda: gzip_of(MEGA) * MANY),
    "gzip, one member": ([GZIP], lambda: deflate_bomb(31)),
    "gzip in gzip": ([GZIP, GZIP], lambda: gzip_of(gzip_of(MEGA) * MANY)),
    "gzip in gzip, the outer": ([GZIP, GZIP], lambda: deflate_bomb(31)),
    "gzip twenty times": ([GZIP] * 20, lambda: deflate_bomb(31)),
    "gzip in crc32c": ([CRC, GZIP], lambda: deflate_bomb(31)),
    "zlib": ([ZLIB], lambda: deflate_bomb(15)),
    "bz2": ([named("numcodecs.bz2", level=9)], lambda: bz2.compress(MEGA * 16) * (MANY // 16)),
    "lzma": ([LZMA], lambda: lzma.compress(MEGA * 16) * (MANY // 16)),
    "lzma, a dictionary of 1 GiB": ([LZMA_ALONE], lambda: alone(1 << 30)),
    "lz4, a size of 2 GiB": ([LZ4], lambda: lz4_bomb(2**31 - 1)),
    "lz4, a size of 4 GiB": ([LZ4], lambda: lz4_bomb(2**32 - 1)),
    "lz4, a wrong size": ([LZ4], lambda: lz4_bomb(CHUNK)),
    "lz4 in lz4": ([LZ4, LZ4], lambda: lz4_bomb(LZ4_SIZE)),
    "blosc, a size of 2 GiB": ([blosc("lz4")], lambda: blosc_bomb(2**31 - 1, 2**31 - 1)),
    "blosc, blocks of 2 GiB": ([blosc("lz4")], lambda: blosc_bomb(CHUNK, 2**31 - 1)),
    "blosc, blocks of one byte": ([blosc("lz4")], lambda: blosc_bomb(2**31 - 1, 1)),
    "blosc, a copy of 2 GiB": ([blosc("lz4")], lambda: blosc_bomb(2**31 - 17, CHUNK, 2)),
    "blosc in zstd": ([blosc("lz4"), ZSTD], zstd_bomb),
}
"""Bytes-to-bytes codecs, and the chunk."""


def astype_bomb() -> dict[str, bytes]:
    filters = [{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|S10000000"}]
    return {".zarray": document_v2(None, filters), "0.0": bytes(128)}


OTHERS = ("an index of 512 MiB", "astype")
"""Bombs that are not in the codecs of a chunk."""


def stores() -> dict[str, dict[str, bytes]]:
    how: dict[str, Any] = {"shape": [CHUNK], "data_type": "uint8", "fill_value": 0}
    found = {
        name: {"zarr.json": document([LITTLE, *chain], [CHUNK], **how), "c/0": make()}
        for name, (chain, make) in BOMBS.items()
    }
    shard = [sharding([1], [LITTLE])]
    found[OTHERS[0]] = {"zarr.json": document(shard, [1 << 25], **how), "c/0": bytes(100)}
    found[OTHERS[1]] = astype_bomb()
    return found


def measured(grown: Callable[[Callable[[], None]], int]) -> dict[str, list[tuple[str, int]]]:
    """For every bomb: what reading it and writing into it raises, and how memory grew; native and not."""
    out: dict[str, list[tuple[str, int]]] = {}
    for name, stored in stores().items():
        found = out[name] = []
        for native in (False, True):
            array = gpuzarr.open_array(stored, mode="r+", executor=gpuzarr.Executor(threads=1, native=native))
            found += [attempt(grown, lambda a=array: a[...]), attempt(grown, lambda a=array: a.write(0, 1))]
    return out


def attempt(grown: Callable[[Callable[[], None]], int], use: Callable[[], Any]) -> tuple[str, int]:
    raised = ["nothing"]

    def task() -> None:
        try:
            use()
        except Exception as error:  # noqa: BLE001  # its name is what is asked for
            raised[0] = type(error).__name__

    most = grown(task)
    return raised[0], most


def zip_bomb(path: str, stored: dict[str, bytes], key: str) -> None:
    """A zip file in which the value of `key` is 256 MiB of spaces."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in stored.items():
            archive.writestr(name, value)
        with archive.open(key, "w", force_zip64=True) as member:
            for _ in range(MANY):
                member.write(b" " * (1 << 20))


def sparse_bomb(folder: str, stored: dict[str, bytes], key: str) -> None:
    """A folder in which the value of `key` is a hole of 16 GiB."""
    for name in (*stored, key):
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        with open(f"{folder}/{name}", "wb") as file:
            file.write(stored.get(name, b""))
            file.truncate(1 << 34 if name == key else None)


def values(grown: Callable[[Callable[[], None]], int], folder: str) -> None:
    """What opening, reading and writing raise, and how memory grew, where a store holds a value that is too large."""
    how: dict[str, Any] = {"shape": [CHUNK], "data_type": "uint8", "fill_value": 0}
    chunks = {"zarr.json": document([LITTLE, GZIP], [CHUNK], **how)}
    shards = {"zarr.json": document([sharding([CHUNK // 4], [LITTLE])], [CHUNK], **how)}
    found = []
    for k, (stored, key) in enumerate([({}, "zarr.json"), (chunks, "c/0"), (shards, "c/0")]):
        sparse_bomb(f"{folder}/{k}", stored, key)
        zip_bomb(f"{folder}/{k}.zip", stored, key)
        both = (f"{folder}/{k}", f"{folder}/{k}.zip")
        found += [attempt(grown, lambda w=where: gpuzarr.open(w, mode="r")[...]) for where in both]
        if stored:
            found.append(attempt(grown, lambda w=f"{folder}/{k}": gpuzarr.open(w, mode="r+").write(0, 1)))
    json.dump(found, sys.stdout)


def main(grown: Callable[[Callable[[], None]], int]) -> None:
    json.dump(measured(grown), sys.stdout)
