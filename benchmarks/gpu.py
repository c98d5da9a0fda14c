"""Reads into device memory: gpuzarr beside zarr-python's GPU mode, kvikio's GDSStore, and decoding on the host.

    python -m benchmarks.gpu --markdown gpu.md --json gpu.json

The whole volume is read, from shards, for each codec and chunk size, by one reader after another in an order that
turns. Every result is brought home and compared with the volume, outside of what is timed. Beside the figures stands
the roofline: what the read would take if nothing were done but to bring the stored bytes to the device and to write
the decoded ones there, at the speeds of plain copies that are measured in the same run.

Exits with 2 where there is no GPU, with 1 if a reader raised or read something wrong. `--simulated` reads a tiny volume
on the simulated device, and times nothing.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.cuda import device as devices

from .data import Stores, once
from .gpu_readers import WAYS, Cuda, Machine, Simulated, Way
from .harness import environment, log
from .report import BLANK, figure, table
from .results import Cell, Results, Row
from .sizes import SIZES, Size
from .worker import Sample

__all__ = ["CHUNKS", "CODECS", "Bench", "main", "markdown", "measure"]

CODECS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "lz4": [{"name": "numcodecs.lz4", "configuration": {"acceleration": 1}}],
    "blosc-lz4": [{"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"}}],
    "blosc-zstd-bitshuffle": [
        {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle"}}
    ],
    "zstd": [{"name": "zstd", "configuration": {"level": 5, "checksum": False}}],
    "gzip": [{"name": "gzip", "configuration": {"level": 5}}],
}

CHUNKS = {"64KiB": (32, 32, 32), "256KiB": (32, 64, 64), "1MiB": (64, 64, 128), "4MiB": (128, 128, 128)}
"""Chunks of uint16 by their size."""


def choose_ways(simulated: bool) -> dict[str, Way]:
    """The readers that can be measured here; says which can't."""
    missing = {name: why for name, way in WAYS.items() if (why := way.why_not(simulated))}
    if missing:
        log(f"left out: {', '.join(f'{name} ({why})' for name, why in missing.items())}")
    return {name: way for name, way in WAYS.items() if name not in missing}


# ---- measuring -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bench:
    """The volume in its stores, and how it is read."""

    stores: Stores
    volume: NDArray[Any]
    machine: Machine
    ways: dict[str, Way]
    repetitions: int

    def shards(self) -> tuple[int, ...]:
        """64 MiB at full size; chunks of every size divide them."""
        edge = self.stores.size.edge
        half = max(edge // 2, min(edge, 128))
        return (half, half, edge)

    def store(self, chunk: str, codec: str) -> Path:
        """The volume, written by zarr-python."""

        def make(path: Path) -> None:
            options: dict[str, Any] = {"chunks": CHUNKS[chunk], "shards": self.shards()}
            options |= {"compressors": CODECS[codec] or None, "filters": None}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zarr-python warns that numcodecs has no specification
                create = import_module("zarr").create_array
                create(str(path), shape=self.volume.shape, dtype="uint16", **options)[...] = self.volume

        return once(self.stores.folder / f"gpu-{chunk}-{codec}", make)

    def row(self, chunk: str, codec: str, path: Path, timed: bool) -> Row:
        """One warm-up of each reader, then the repetitions in an order that turns."""
        names = list(self.ways)
        row = Row(f"{chunk}/{codec}", f"{chunk}, {codec}", "reads", "GB/s", self.volume.nbytes, 1)
        row.cells = {name: Cell() for name in names}
        for repetition in range(-1, self.repetitions if timed else 0):
            turn = max(repetition, 0) % len(names)
            for name in (*names[turn:], *names[:turn]):
                self.trial(name, row.cells[name], path, keep=repetition >= 0)
        return row

    def trial(self, name: str, cell: Cell, path: Path, keep: bool) -> None:
        if cell.problem:
            return
        try:
            sample = self.sample(self.ways[name], path)
        except Exception as error:  # noqa: BLE001  any fault of a reader is reported, and ends no run
            cell.samples, cell.problem, cell.wrong = [], f"{type(error).__name__}: {error}", True
            log(f"  ! {name}: {cell.problem}")
        else:
            cell.samples += [sample] if keep else []

    def sample(self, way: Way, path: Path) -> Sample:
        """Open, read (timed, with all that the device has to do), and verify."""
        read = way.open(path, self.machine.word)
        gc.collect()
        self.machine.finish()
        cpu, wall = time.process_time(), time.perf_counter()
        result = read()
        self.machine.finish()
        sample = Sample(time.perf_counter() - wall, time.process_time() - cpu, None)
        found = self.machine.home(result)
        if found.shape != self.volume.shape or found.dtype != self.volume.dtype:
            raise ValueError(f"the result is {found.shape} {found.dtype}")
        if not np.array_equal(found, self.volume):
            raise ValueError("the result differs from the volume")
        return sample


def stored_bytes(path: Path) -> int:
    """Bytes of the shards."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def measure(bench: Bench, chunks: Sequence[str], pattern: str, keep: Callable[[Results], None]) -> Results:
    """Every chunk size and codec whose name the pattern finds; `keep` gets what is there after each."""
    timed = bench.machine.word != "simulated"
    about = {**environment(bench.stores.size, bench.repetitions), **bench.machine.about()}
    about |= {"timed": timed, "shards": list(bench.shards()), "stored": {}, "explained": {}}
    results = Results(about, {name: way.version() for name, way in bench.ways.items()}, [])
    for chunk, codec in [(a, b) for a in chunks for b in CODECS if re.search(pattern, f"{a}/{b}")]:
        path = bench.store(chunk, codec)
        row = bench.row(chunk, codec, path, timed)
        said = gpuzarr.open_array(path, mode="r", meta_array=bench.machine.word).explain().device
        about["stored"][row.name] = stored_bytes(path)
        about["explained"][row.name] = {} if said is None else {
            name: getattr(said, name) for name in ("decoded", "why", "uploads", "launches", "calls", "waits")
        }  # fmt: skip
        shown = (f"{way} {row.shown(wall):.3g} GB/s" for way, wall in row.times().items())
        log(f"{row.name}: {', '.join(shown) or 'read'}")
        results.rows.append(row)
        keep(results)
    return results


# ---- the report ------------------------------------------------------------------------------------------------------


def heading(results: Results) -> str:
    about = results.about
    versions = ", ".join(f"{way} {version}" for way, version in results.peers.items())
    shape, shards = (" x ".join(map(str, about[name])) for name in ("shape", "shards"))
    where = f"{about['device']}, {about['processor']}, {about['cores']} cores, {about['system']}"
    more = ""
    if about["timed"]:
        more = (
            f"Driver {about['driver']}, CUDA {about['cuda']}. Copies measured in this run: "
            f"{about['upload'] / 1e9:.1f} GB/s from pinned memory to the device, "
            f"{about['copy'] / 1e9:.0f} GB/s on the device. "
            f"Medians of {about['repetitions']}.\n"
        )
    return (
        f"{about['date']}, {where}. Python {about['python']}, NumPy {about['numpy']}, {about['nvcomp']}; {versions}. "
        f"Volume of {shape} uint16 in shards of {shards}.\n{more}"
    )


def roofline(results: Results, row: Row) -> float:
    """Seconds that the read takes if nothing is done but copying."""
    about = results.about
    return float(about["stored"][row.name] / about["upload"] + row.nbytes / about["copy"])


def timings(results: Results) -> str:
    """GB/s of decoded bytes, the roofline, and how near to it the device comes."""
    body = []
    for row in results.rows:
        ratio, best, times = row.nbytes / results.about["stored"][row.name], roofline(results, row), row.times()
        shown = [figure(row, times[way]) if way in times else "failed" for way in results.peers]
        near = f"{best / times['gpuzarr']:.0%}" if "gpuzarr" in times else BLANK
        chosen = results.about["explained"][row.name].get("decoded", BLANK)
        body.append([row.title, f"{ratio:.2f}", *shown, figure(row, best), near, chosen])
    heads = ["chunk, codec", "ratio", *results.peers, "roofline", "gpuzarr of roofline", "auto chooses"]
    return table(heads, body)


def counts(results: Results) -> str:
    """What was done, where nothing was timed."""
    body = []
    for row in results.rows:
        said = results.about["explained"][row.name]
        read = ["failed" if row.cells[way].problem else "right" for way in results.peers]
        body.append([row.title, *read, *(str(said[name]) for name in ("uploads", "launches", "calls", "waits"))])
    return table(["chunk, codec", *results.peers, "uploads", "launches", "calls of nvCOMP", "waits"], body)


def markdown(results: Results) -> str:
    """The whole report."""
    if not results.about["timed"]:
        said = "A simulated device has no speed: what was read is verified, nothing is timed."
        return f"{heading(results)}\n{said}\n\n{counts(results)}"
    ways = "".join(f"- `{name}`: {WAYS[name].title}\n" for name in results.peers)
    return f"{heading(results)}\n{ways}\nGB/s are decoded bytes by seconds on the wall.\n\n{timings(results)}"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Measure reads into device memory.")
    made.add_argument("--only", metavar="REGEX", default="", help=f"of {'|'.join(CHUNKS)} / {'|'.join(CODECS)}")
    made.add_argument("--size", choices=SIZES, default="full", help="edge of the volume: 64, 128, 512 (default: full)")
    made.add_argument("--repetitions", type=int, default=5, metavar="N", help="besides the warm-up (default: 5)")
    folder = Path(tempfile.gettempdir(), "gpuzarr-benchmarks")
    made.add_argument(
        "--folder", type=Path, default=folder, help="of the stores, 4 GB at full size (default: %(default)s)"
    )
    made.add_argument("--json", type=Path, metavar="OUT", help="write every sample, after every row")
    made.add_argument("--markdown", type=Path, metavar="OUT", help="write the table (without it it is printed)")
    made.add_argument("--load", type=Path, metavar="JSON", help="report an earlier run instead of measuring")
    made.add_argument("--simulated", action="store_true", help="a tiny volume on the simulated device, nothing timed")
    return made


def run(options: argparse.Namespace, stack: ExitStack) -> Results:
    machine: Machine
    if options.simulated:
        machine = Simulated(stack.enter_context(import_module("gpuzarr.testing").simulated_device()))
    else:
        machine = Cuda()
    size: Size = SIZES["tiny" if options.simulated else options.size]
    stores = Stores(options.folder, size)
    bench = Bench(stores, stores.volume(), machine, choose_ways(options.simulated), options.repetitions)
    chunks = [name for name, shape in CHUNKS.items() if max(shape) <= size.edge]
    return measure(bench, chunks, options.only, lambda found: found.save(options.json) if options.json else None)


def main() -> int:
    options = parser().parse_args()
    why_not = devices.why_not()
    if not options.load and not options.simulated and why_not:
        print(f"no GPU to measure: {why_not} (--simulated runs without one)", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        results = Results.load(options.load) if options.load else run(options, stack)
    if options.markdown:
        options.markdown.write_text(markdown(results), encoding="utf-8")
    else:
        print(markdown(results))
    return int(any(cell.wrong for row in results.rows for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
