"""How often a read crosses the bus: gpuzarr on its simulated device, beside zarr-python's GPU mode, for every codec.

    python -m benchmarks.crossings --into docs/gpu.md

Counts, no times, so it needs no GPU. gpuzarr's are those of `gpuzarr.testing`, zarr-python's those of a stand-in for
CuPy (`standin.py`). Both read the same store, written by zarr-python, for the second time, and what they read is
compared with what was written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpuzarr
from gpuzarr import testing

from .report import put_between, table
from .standin import Counts, zarr_gpu_mode

__all__ = ["CODECS", "Row", "measure"]


def _blosc(cname: str, shuffle: str = "shuffle") -> dict[str, Any]:
    how = {"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": 2, "blocksize": 0}
    return {"name": "blosc", "configuration": how}


def _numcodecs(name: str, **how: Any) -> dict[str, Any]:
    return {"name": f"numcodecs.{name}", "configuration": how}


ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
CRC32C = {"name": "crc32c"}

CODECS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "zstd": [ZSTD],
    "gzip": [{"name": "gzip", "configuration": {"level": 5}}],
    "blosc lz4, shuffle": [_blosc("lz4")],
    "blosc lz4, bitshuffle": [_blosc("lz4", "bitshuffle")],
    "blosc lz4hc, shuffle": [_blosc("lz4hc")],
    "blosc blosclz, shuffle": [_blosc("blosclz")],
    "blosc zstd, bitshuffle": [_blosc("zstd", "bitshuffle")],
    "blosc zlib, shuffle": [_blosc("zlib")],
    "crc32c": [CRC32C],
    "zstd, crc32c": [ZSTD, CRC32C],
    "numcodecs.lz4": [_numcodecs("lz4", acceleration=1)],
    "numcodecs.zlib": [_numcodecs("zlib", level=3)],
    "numcodecs.shuffle, zstd": [_numcodecs("shuffle", elementsize=2), ZSTD],
    "numcodecs.fletcher32": [_numcodecs("fletcher32")],
    "numcodecs.bz2": [_numcodecs("bz2", level=1)],
    "numcodecs.lzma": [_numcodecs("lzma", preset=1)],
}
"""Chains of codecs behind `bytes`. Of the last two no part runs on a device: gpuzarr's host decodes them first."""

CHUNK, SHARD = (32, 32, 32), (32, 64, 64)
"""64 KiB of uint16; four chunks a shard."""


@dataclass(frozen=True, slots=True)
class Row:
    """One codec in one layout: bytes that are stored, and what each library did."""

    codec: str
    sharded: bool
    stored: int
    ours: Counts
    theirs: Counts


def values(edge: int) -> NDArray[np.uint16]:
    """A smooth volume with noise, which compresses two or three to one."""
    steps = np.random.default_rng(1).integers(-3, 4, (edge,) * 3)
    return (np.cumsum(steps, axis=2) + 500).astype("u2")


def store(path: Path, codec: str, sharded: bool, data: NDArray[Any]) -> int:
    """Write the volume by zarr-python; the bytes of its chunks and shards."""
    shards = SHARD if sharded else None
    compressors = CODECS[codec] or None
    options: dict[str, Any] = {"chunks": CHUNK, "shards": shards, "compressors": compressors, "filters": None}
    array = import_module("zarr").create_array(str(path), shape=data.shape, dtype="uint16", **options)
    array[...] = data
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def count_ours(path: Path, data: NDArray[Any]) -> Counts:
    """What gpuzarr does; calls of nvCOMP are counted as launches."""
    with testing.simulated_device() as device:
        array = gpuzarr.open_array(path, mode="r", meta_array="simulated")
        array[...]
        device.reset()
        found = array[...]
        said = dict(device.counts)
        require(testing.to_host(found), data, "gpuzarr")
    said["launches"] += said["nvcomp"] + said["memsets"] + said["copies"]
    return Counts(**{name: said[name] for name in asdict(Counts())})


def count_theirs(path: Path, data: NDArray[Any]) -> Counts:
    """What zarr-python does in GPU mode."""
    with zarr_gpu_mode() as cupy:
        array = import_module("zarr").open_array(str(path), mode="r")
        array[...]
        cupy.counts = Counts()
        found: Any = array[...]
        counts = cupy.counts
        require(found.host, data, "zarr-python")
    return counts


def require(found: NDArray[Any], data: NDArray[Any], who: str) -> None:
    if found.dtype != data.dtype or not np.array_equal(found, data):
        raise SystemExit(f"{who} reads something else than what was written")


def measure(edge: int, pattern: str) -> list[Row]:
    """All codecs that a regular expression finds, first as single chunks, then in shards."""
    data, rows = values(edge), []
    for sharded in (False, True):
        for codec in [name for name in CODECS if re.search(pattern, name)]:
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                # zarr-python warns of numcodecs in format 3, and of arrays of the host in buffers of a device.
                warnings.simplefilter("ignore")
                path = Path(folder, "array")
                stored = store(path, codec, sharded, data)
                rows.append(Row(codec, sharded, stored, count_ours(path, data), count_theirs(path, data)))
    return rows


def cells(row: Row) -> list[str]:
    both = (row.ours, row.theirs)
    figures = [(c.uploads, c.downloads, c.launches, c.waits, c.allocations) for c in both]
    moved = [f"{(c.uploaded_bytes + c.downloaded_bytes) / row.stored:.2f}" for c in both]
    pairs = [f"{ours} / {theirs}" for ours, theirs in zip(*figures, strict=True)]
    return [row.codec, *pairs, " / ".join(moved)]


HEADS = ["codec", "uploads", "downloads", "launches", "waits", "allocations", "bytes across / bytes stored"]


def markdown(rows: list[Row], edge: int) -> str:
    """Two tables: chunks that are files, and chunks in shards."""
    zarr = import_module("zarr").__version__
    chunks = int(np.prod([-(-edge // n) for n in CHUNK]))
    said = (
        f"One read of {chunks} chunks of 64 KiB (uint16, {edge}³), the second of the process. "
        f"Each figure: **gpuzarr / zarr-python {zarr}** after `zarr.config.enable_gpu()`.\n"
    )
    shards = int(np.prod([-(-edge // n) for n in SHARD]))
    titles = {False: "Every chunk a file:\n", True: f"The same chunks in {shards} shards:\n"}
    parts = [said]
    for sharded, title in titles.items():
        parts += [title, table(HEADS, [cells(row) for row in rows if row.sharded == sharded])]
    return "\n".join(parts)


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.crossings", description="Count what crosses the bus.")
    made.add_argument("--only", metavar="REGEX", default="", help="codecs whose name the expression finds")
    made.add_argument("--edge", metavar="N", type=int, default=128, help="of the volume (default: %(default)s)")
    made.add_argument("--json", type=Path, metavar="OUT", help="write the counts")
    made.add_argument("--markdown", type=Path, metavar="OUT", help="write the tables (without it they are printed)")
    made.add_argument("--into", type=Path, metavar="FILE.md", help="rewrite what stands between its marks")
    options = made.parse_args()
    rows = measure(options.edge, options.only)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    text = markdown(rows, options.edge)
    if options.into:
        put_between(options.into, text)
    elif options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
