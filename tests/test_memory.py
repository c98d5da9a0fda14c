"""Memory is bounded by chunks, shards and windows, never by how much is read or written."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import peaks
import pytest
from numpy.typing import NDArray
from peaks import MIB
from specimens import CRC, GZIP, LITTLE, ZSTD, blosc, named, sharding

import gpuzarr
from gpuzarr import selection
from gpuzarr.binding import bind_array
from gpuzarr.execute import work, write
from gpuzarr.plan import plan_read, plan_write
from gpuzarr.store import ZipStore

Grown = Callable[[Callable[[], Any]], int]

CHUNK, SHARD = (1, 128, 1024), (8, 512, 1024)
"""Of uint16: 256 KiB, and 8 MiB."""

SHAPE = (32, 512, 1024)
"""32 MiB: many times what a read may take beside its result."""

SLACK = 6 * MIB
"""What an interpreter may take by the way: stacks, lists, a decoder's tables, pages of libraries that come back."""

COMPRESSORS: dict[str, list[Any]] = {
    "raw": [],
    "zstd": [ZSTD],
    "gzip": [GZIP],
    "blosc": [blosc("lz4")],
    "bz2": [named("numcodecs.bz2", level=1)],
}

SLOW = {"gzip": 4, "bz2": 16}
"""What is too slow to write whole: the parts of it that are written."""

WAYS = [(threads, native) for threads in (1, 2) for native in (False, True)]


def values() -> NDArray[Any]:
    """Numbers that compress to about three quarters, repeated without taking memory for it."""
    steps = np.random.default_rng(0).integers(-40, 41, SHAPE[1] * SHAPE[2])
    return np.broadcast_to(np.cumsum(steps).astype("u2").reshape(SHAPE[1:]), SHAPE)


def layouts(name: str) -> dict[str, dict[str, Any]]:
    chain = COMPRESSORS[name]
    found: dict[str, dict[str, Any]] = {"chunks": {"chunks": CHUNK, "compressors": chain}}
    if name not in SLOW:
        found["shards"] = {"chunks": CHUNK, "shards": SHARD, "compressors": chain}
    if name == "zstd":
        inner = sharding(list(CHUNK), [LITTLE, *chain])
        found["wrapped"] = {"chunks": SHARD, "serializer": inner, "compressors": [CRC]}
    return found


# ---- in a fresh interpreter ----------------------------------------------------------------------------------


def reads(grown: Grown, folder: str) -> None:
    """How memory grew by reading a whole array into memory that was there, by what was read and how."""
    out = np.ones(SHAPE, "u2")
    found = {}
    for name in COMPRESSORS:
        part = values()[:: SLOW.get(name, 1)]
        for layout, how in layouts(name).items():
            for kind, where in (("folder", f"{folder}/{name}-{layout}"), ("zip", f"{folder}/{name}-{layout}.zip")):
                store = ZipStore(where, "w") if kind == "zip" else where
                gpuzarr.create_array(store, shape=part.shape, dtype="u2", **how)[...] = part
                if isinstance(store, ZipStore):
                    store.close()
                for threads, native in WAYS:
                    array = gpuzarr.open_array(where, executor=gpuzarr.Executor(threads=threads, native=native))
                    into = out[: len(part)]
                    label = f"{name} {layout} {kind} {threads} {'native' if native else 'python'}"
                    found[label] = grown(lambda a=array, o=into: a.read(out=o))
                    assert (into == part).all()
                    into[...] = 1
    array = gpuzarr.open_array(f"{folder}/zstd-chunks", executor=gpuzarr.Executor(threads=2))
    found["result"] = grown(lambda: array[...])
    json.dump(found, sys.stdout)


def writes(grown: Grown, folder: str) -> None:
    """How memory grew by writing a whole array, then all but its border, then one value everywhere."""
    write.WINDOW, write.SLAB = WINDOW, SLAB
    found = {}
    data = values()
    inside = (slice(1, -1), slice(None), slice(1, None))
    for name in ("raw", "zstd"):
        for layout, how in layouts(name).items():
            for threads, native in WAYS:
                executor = gpuzarr.Executor(threads=threads, native=native)
                array = gpuzarr.create_array(folder, shape=SHAPE, dtype="u2", executor=executor, overwrite=True, **how)
                found[f"{name} {layout} {threads} {'native' if native else 'python'}"] = [
                    grown(lambda a=array: a.write(..., data)),
                    grown(lambda a=array: a.write(inside, data[inside])),
                    grown(lambda a=array: a.write(..., 7)),
                ]
    json.dump(found, sys.stdout)


WINDOW, SLAB = 8 * MIB, 2 * MIB


# ---- the tests -----------------------------------------------------------------------------------------------

READS = [
    f"{name} {layout} {kind} {threads} {'native' if native else 'python'}"
    for name in COMPRESSORS
    for layout in layouts(name)
    for kind in ("folder", "zip")
    for threads, native in WAYS
]

WRITES = [
    f"{name} {layout} {threads} {'native' if native else 'python'}"
    for name in ("raw", "zstd")
    for layout in layouts(name)
    for threads, native in WAYS
]


@pytest.fixture(scope="module")
def read_peaks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("reads")
    return peaks.run("import test_memory; test_memory.reads(grown, sys.argv[1])", folder)


@pytest.fixture(scope="module")
def write_peaks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("writes") / "a"
    return peaks.run("import test_memory; test_memory.writes(grown, sys.argv[1])", folder)


def of_a_thread(label: str) -> int:
    """What one thread may hold: stored and decoded bytes of a run, or of a shard that is decoded whole."""
    return 2 * 8 * MIB + MIB if "wrapped" in label else work.LONGEST + 4 * MIB // 4


@peaks.needs_linux
@pytest.mark.parametrize("label", READS)
def test_a_read_takes_a_run_of_chunks_a_thread_beside_its_result(label: str, read_peaks: Any) -> None:
    threads = int(label.split()[3])
    assert read_peaks[label] < threads * of_a_thread(label) + SLACK


@peaks.needs_linux
def test_a_result_is_made_once(read_peaks: Any) -> None:
    nbytes = int(np.prod(SHAPE)) * 2
    assert nbytes * 0.9 < read_peaks["result"] < nbytes + 2 * of_a_thread("chunks") + SLACK


@peaks.needs_linux
@pytest.mark.parametrize("label", WRITES)
def test_a_write_takes_a_few_windows(label: str, write_peaks: Any) -> None:
    whole, part, one_value = write_peaks[label]
    threads = int(label.split()[2])
    if "chunks" in label:
        assert max(whole, part, one_value) < threads * (2 * SLAB + MIB) + SLACK
    else:
        # Encoded chunks; where codecs wrap the shard, those joined and encoded; and what was there, if a part changes.
        # A thread that is just leaving a window may hold it a moment longer, while the next one is begun.
        windows = (3 if "wrapped" in label else 1) + (threads > 1)
        assert max(whole, one_value) < windows * WINDOW + SLACK
        assert part < (1 + windows) * WINDOW + SLACK


@pytest.mark.parametrize("shape", [(1_000_000,), (1000, 1000), (100, 100, 100)])
def test_a_plan_takes_some_columns_of_numbers_a_chunk(shape: tuple[int, ...]) -> None:
    array = gpuzarr.create_array({}, shape=shape, chunks=(1,) * len(shape), dtype="u1")
    keys = array.metadata.keys
    tiles = selection.select(..., shape).tiles
    for plan in (plan_read, plan_write):
        most = traced(lambda plan=plan: plan(tiles, array.chunks, keys, "", shape))
        assert most < 1_000_000 * (64 + 48 * len(shape))


def test_a_million_points_take_some_columns_of_numbers_a_point() -> None:
    array = gpuzarr.create_array({}, shape=(1_000_000,), chunks=(10_000,), dtype="u1")
    where = np.arange(1_000_000)[::-1]
    assert traced(lambda: array.vindex[where]) < 300_000_000


def test_a_shard_of_a_million_chunks_takes_some_columns_of_numbers_a_chunk() -> None:
    shape = (1_000_000,)
    array = gpuzarr.create_array({}, shape=shape, chunks=(1,), shards=shape, dtype="u1")
    levels = bind_array(array.metadata, "", False).chain.levels
    plan = plan_read(selection.select(..., shape).tiles, shape, array.metadata.keys, "", shape, levels)
    index = np.stack([np.arange(1_000_000)[::-1], np.ones(1_000_000, np.int64)], 1)
    assert traced(lambda: plan.resolve([index])) < 300_000_000


def traced(task: Callable[[], Any]) -> int:
    """Peak of the memory that Python and NumPy took."""
    tracemalloc.start()
    try:
        kept = task()
        del kept
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
