"""`gpuzarr demo`: a real volume through Zarr and back, with every byte checked.

The volume goes into three sharded Zarr 3 arrays, with Blosc (LZ4 and zstd inside) and with zstd, comes back whole
and as random crops in the memory that was named, and one slice of what came back is drawn. What came back to a device
is brought home to be compared. Only reads and writes are timed: what is compared or drawn is not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.cli import shapes
from gpuzarr.cli.png import middle, picture
from gpuzarr.cli.text import UsageError, as_json, duration, progress, rate, table
from gpuzarr.cli.volumes import Volume, load, sample
from gpuzarr.cuda.decoders import Asked
from gpuzarr.errors import CodecError, GpuzarrError
from gpuzarr.memory import Memory, as_host, memory_of
from gpuzarr.report import Stage
from gpuzarr.report.device import DeviceWork
from gpuzarr.report.words import aligned, count, printable, size

__all__ = ["demo"]

CODECS: dict[str, dict[str, Any]] = {
    "blosc": {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"}},
    "blosc-zstd": {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle"}},
    "zstd": {"name": "zstd", "configuration": {"level": 5}},
}
MARK = {"made_by": "gpuzarr demo"}
"""The attribute that tells an array of an earlier demo, which may be replaced, from anything else."""
BLOCK_BYTES = 64 << 20
"""How much of a volume is handled by one call: bounds memory, and lets a bar move."""
CROP_BYTES, CROP_SIDE = 4 << 20, 64
REPEATS, LONG_ENOUGH = 5, 0.5
"""Steps are repeated up to this often, until they have taken this many seconds; the best time is shown."""


@dataclass(frozen=True, slots=True)
class Result:
    """One step with one codec: bytes in the store, bytes given or got, where codecs decoded, what a device did."""

    codec: str
    step: str
    stored: int
    decoded: int
    seconds: float
    stages: tuple[Stage, ...] = ()
    device: DeviceWork | None = None


def demo(path: str | None, meta_array: str, codecs: Asked, out: str, crops: int, json: bool) -> int:
    """Run the demo on the volume at `path` (None: the sample) and print what it found.

    `codecs` is for the executor that reads. Raises UsageError where there is no volume, or where `out` holds something
    that no demo made.
    """
    memory = memory_of(meta_array)  # a word that names nothing is an error before anything is written
    where = sample() if path is None else (path, None)
    targets = {name: os.path.join(out, f"{name}.zarr") for name in CODECS}
    _check_targets(where[0], targets)
    volume = load(*where)
    executor = gpuzarr.Executor(codecs=codecs)
    results: list[Result] = []
    drawn = None
    for name, target in targets.items():
        results.append(_write(volume, name, target))
        array = gpuzarr.open_array(target, mode="r", meta_array=meta_array, executor=executor)
        results += [_read_whole(volume, name, array), _read_crops(volume, name, array, crops)]
        drawn = drawn or _draw(volume, array, os.path.join(out, "slice.png"))
    _report(volume, memory, array, results, targets, drawn, json)
    return 0


def _check_targets(source: str, targets: dict[str, str]) -> None:
    for target in targets.values():
        if "://" not in source and Path(source).resolve().is_relative_to(Path(target).resolve()):
            raise UsageError(f"the volume lies in {target}, which the demo would replace: give another --out")
        if not os.path.lexists(target):
            continue
        try:
            made_by = gpuzarr.open_array(target, mode="r").attrs.get("made_by")
        except GpuzarrError:
            made_by = None
        if made_by != MARK["made_by"]:
            raise UsageError(f"{target} is there already and no demo made it: give another --out")


def _best(step: Callable[[], float], warm_up: bool = False) -> float:
    """The best of several runs of a step that returns its own seconds."""
    if warm_up:
        step()
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < LONG_ENOUGH:
        times.append(step())
    return min(times)


def _write(volume: Volume, name: str, target: str) -> Result:
    values = volume.values
    chunks, shards = shapes.choose(values.shape, values.dtype.itemsize)
    array = gpuzarr.create_array(
        store=target, shape=values.shape, dtype=values.dtype, chunks=chunks, shards=shards,
        compressors=[CODECS[name]], dimension_names=volume.names, attributes={**volume.attributes, **MARK},
        overwrite=True,
    )  # fmt: skip
    box = shapes.grown(shards, values.shape, values.dtype.itemsize, BLOCK_BYTES)

    def step() -> float:
        seconds = 0.0
        with progress(f"{name}: write", values.nbytes) as advance:
            for block in shapes.blocks(values.shape, box):
                began = time.perf_counter()
                array[block] = values[block]
                seconds += time.perf_counter() - began
                advance(values[block].nbytes)
        return seconds

    seconds = _best(step)
    return Result(name, "write", array.nbytes_stored(), values.nbytes, seconds)


def _read_whole(volume: Volume, name: str, array: gpuzarr.Array) -> Result:
    values = volume.values
    box = shapes.grown(array.shards or array.chunks, values.shape, values.dtype.itemsize, BLOCK_BYTES)
    boxes = list(shapes.blocks(values.shape, box))

    def step() -> float:
        seconds = 0.0
        with progress(f"{name}: read whole", values.nbytes) as advance:
            for block in boxes:
                began = time.perf_counter()
                result = array[block]
                seconds += time.perf_counter() - began
                _verify(result, values[block], name)
                advance(values[block].nbytes)
        return seconds

    return _read(name, "whole", array, values.nbytes, step, boxes[0])


def _read(
    name: str, title: str, array: gpuzarr.Array, nbytes: int, step: Callable[[], float], first: tuple[slice, ...]
) -> Result:
    """Run a step that reads, and say how its first read is done."""
    explained = array.explain(first)
    on_device = explained.device is not None  # where kernels are compiled the first time
    seconds = _best(step, warm_up=on_device)
    return Result(name, title, array.nbytes_stored(), nbytes, seconds, explained.stages, explained.device)


def crop_selections(shape: tuple[int, ...], itemsize: int, count: int) -> list[tuple[slice, ...]]:
    """`count` random boxes of one shape inside an array of `shape`, the same on every run."""
    sides = shapes.halved([min(CROP_SIDE, -(-n // 2)) for n in shape], itemsize, CROP_BYTES)
    corners = np.random.default_rng(0).integers(0, np.subtract(shape, sides) + 1, (count, len(shape)))
    return [tuple(slice(int(at), int(at) + n) for at, n in zip(c, sides, strict=True)) for c in corners]


def _read_crops(volume: Volume, name: str, array: gpuzarr.Array, count: int) -> Result:
    values = volume.values
    crops = crop_selections(values.shape, values.dtype.itemsize, count)
    each = math.prod(s.stop - s.start for s in crops[0]) * values.dtype.itemsize
    at_once = max(1, BLOCK_BYTES // each)

    def step() -> float:
        seconds = 0.0
        with progress(f"{name}: {count} crops", count * each) as advance:
            for first in range(0, count, at_once):
                some = crops[first : first + at_once]
                began = time.perf_counter()
                result = array.read_many(some)
                seconds += time.perf_counter() - began
                _verify(result, np.stack([values[crop] for crop in some]), name)
                advance(len(some) * each)
        return seconds

    return _read(name, f"{count} crops", array, count * each, step, crops[0])


def _verify(result: Any, source: NDArray[Any], name: str) -> None:
    """Compare bytes, not values: a NaN or a negative zero has to come back as it went in."""
    found = as_host(result)
    same = found.shape == source.shape and found.dtype == source.dtype
    if not same or not np.array_equal(_bytes(found), _bytes(source)):
        raise CodecError("what was read differs from what was written", codec=name, direction="decode")


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _draw(volume: Volume, array: gpuzarr.Array, path: str) -> str | None:
    """Draw a slice that was read back; a volume of one dimension has none."""
    if array.ndim < 2 or volume.values.dtype.kind not in "biufc":
        return None
    values = as_host(array[middle(array.shape, volume.names)])
    with open(path, "wb") as file:
        file.write(picture(values, upright=volume.names is not None and volume.names[:2] == ("x", "y")))
    return path


def _report(
    volume: Volume, memory: Memory, array: gpuzarr.Array, results: list[Result], targets: dict[str, str],
    drawn: str | None, json: bool,
) -> None:  # fmt: skip
    values = volume.values
    about = {
        "volume": volume.title, "shape": values.shape, "dtype": str(values.dtype), "nbytes": values.nbytes,
        "chunks": array.chunks, "shards": array.shards, "memory": memory.name, "arrays": targets, "picture": drawn,
    }  # fmt: skip
    if json:
        print(as_json({**about, "verified": True, "results": [asdict(result) for result in results]}))
        return
    rows = [
        ("volume", volume.title),
        ("shape", f"{values.shape} {values.dtype}, {size(values.nbytes)}"),
        ("chunks", f"{array.chunks} in shards of {array.shards}"),
        ("memory", _memory(memory)),
    ]
    print(aligned([(name, printable(value)) for name, value in rows]), end="\n\n")
    heads = ("codec", "step", "stored", "decoded", "ratio", "time", "throughput", "decoded by")
    table(heads, [_row(result, values.nbytes) for result in results])
    print("\nEvery byte that was read equals the source. Times are the best of several, with files cached.\n")
    if memory.name == "simulated":
        print("The device is simulated: its kernels ran on the CPU, and times say nothing of a GPU.\n")
    whole = [result for result in results if result.step == "whole"]
    passes = dict.fromkeys(str(stage) for result in whole for stage in _passes(result))
    rows = [("decoding", stage) for stage in passes]
    rows += [("device", f"{result.codec}: {_device_work(work)}") for result in whole if (work := result.device)]
    rows += [("array", target) for target in targets.values()]
    rows += [("picture", drawn)] if drawn else []
    print(aligned([(name, printable(value, 200)) for name, value in rows]))


def _memory(memory: Memory) -> str:
    kind = memory.name if memory.device is None else memory.device.kind
    return memory.name if kind == memory.name else f"{memory.name}, {kind}"


def _device_work(work: DeviceWork) -> str:
    crossed = f"{count(work.uploads, 'upload')} of {size(work.uploaded_bytes)}, {count(work.downloads, 'download')}"
    calls = f", {count(work.calls, 'call')} of nvCOMP" if work.calls else ""
    launched = f"{count(work.launches, 'kernel')}{calls}, {count(work.waits, 'wait')}"
    return f"decoded on the {work.decoded} ({work.why}); {crossed}, {launched}"


def _passes(result: Result) -> list[Stage]:
    """The stages that go over the data, not those that the plan or the copy into the result take care of."""
    return [stage for stage in result.stages if stage.code is not None]


def _row(result: Result, nbytes: int) -> tuple[str, ...]:
    return (
        result.codec, result.step, size(result.stored), size(result.decoded), f"{nbytes / result.stored:.2f}",
        duration(result.seconds), rate(result.decoded, result.seconds),
        ", ".join(stage.where for stage in _passes(result)),
    )  # fmt: skip
