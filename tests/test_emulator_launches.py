"""Launches of the emulator end and are CUDA's, builds are kept, and what a launch did can be counted."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_emulator import SOURCES, clean, faults, line_of

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import Emulator, build, load
from kernels import Way, needs_compiler, ways

pytestmark = needs_compiler

u32, i32 = np.uint32, np.int32

# ---- launches end ---------------------------------------------------------------------------------------------------

ENDLESS = ["endless", "endless_without_memory", "endless_in_global_memory", "endless_at_barriers"]


@ways("faults.cu", folder=SOURCES, modes=["fast", "check", "cover"], orders=["forward", "random"])
@pytest.mark.parametrize("kernel", ENDLESS)
def test_an_endless_kernel_is_ended_by_name(way: Way, kernel: str) -> None:
    with way.buffers() as b:
        out = b.put(bytes(128))
        forever = u32(1) if kernel == "endless_without_memory" else i32(1)
        with pytest.raises(DeviceError, match=r"does not end within 0\.05 seconds") as caught:
            b.emulator.launch(kernel, 1, 32, [out.pointer, forever], order=way.order, seconds=0.05)
        assert caught.value.kernel == kernel
        if (kernel, way.mode) == ("endless", "fast"):  # elsewhere it may end between two lines
            assert line_of("endless") in caught.value.reason
        b.launch("trapped", 1, 32, [out.pointer, i32(0)])  # and the next one runs
        assert out.array(i32).tolist() == [1] * 32


@ways("faults.cu", folder=SOURCES, modes=["fast"], orders=["forward"])
def test_a_kernel_that_needs_preemption_is_ended(way: Way) -> None:
    with way.buffers() as b, pytest.raises(DeviceError, match="does not end"):
        b.emulator.launch("waits_for_another", 1, 32, [b.zeros(1, i32).pointer, i32(1)], seconds=0.05)


@ways("faults.cu", folder=SOURCES, modes=["fast"])
def test_memory_that_is_not_there_does_not_end_the_process(way: Way) -> None:
    with way.buffers() as b:
        out = b.put(bytes(32))
        with pytest.raises(DeviceError, match=r"an access to 0x10.* where there is no memory") as caught:
            b.launch("plain_copy", 1, 32, [np.uint64(0x1000), out.pointer])
        assert line_of("plain_copy") in caught.value.reason
        b.launch("plain_copy", 1, 32, [out.pointer, b.room(32).pointer])


def test_a_crash_of_the_host_stays_one() -> None:
    """The fault handler of the emulator is for kernels only."""
    code = f"""
import ctypes, numpy as np, pathlib, sys
from gpuzarr.testing.emulator import load
out = np.zeros(32, np.int32)
kernels = load(sources=[pathlib.Path({str(SOURCES / "faults.cu")!r})])
kernels.launch("trapped", 1, 32, [np.uint64(out.ctypes.data), np.int32(0)])
print(out.sum(), flush=True)
ctypes.string_at(8)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SOURCES.parents[1])
    assert (done.stdout, done.returncode) == ("32\n", -11), done.stderr


# ---- launches are CUDA's --------------------------------------------------------------------------------------------


@clean
@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [
        (0, 32, 0, "the grid is empty"),
        ((1, 65536), 32, 0, "the grid is empty or too large"),
        (1, 0, 0, "the block is empty"),
        (1, (33, 32), 0, "the block is empty or too large"),
        (1, (1, 1, 65), 0, "the block is empty or too large"),
        (1, 32, 49153, "more than 48 KiB of shared memory"),
        ((1, 1, 1, 1), 32, 0, "no size of a grid or block"),
        (-1, 32, 0, "no size of a grid or block"),
    ],
)
def test_a_launch_that_cuda_refuses_is_refused(way: Way, grid: Any, block: Any, shared: int, message: str) -> None:
    with way.buffers() as b, pytest.raises(DeviceError, match=message):
        b.launch("trapped", grid, block, [b.room(128).pointer, i32(0)], shared=shared)


@clean
def test_launch_bounds_and_static_shared_memory_count(way: Way) -> None:
    with way.buffers() as b:
        out = b.room(512).pointer
        with pytest.raises(DeviceError, match="more threads than __launch_bounds__ says"):
            b.launch("of_64_threads", 1, 65, [out])
        with pytest.raises(DeviceError, match="more than 48 KiB of shared memory"):
            b.launch("with_much_shared", 1, 32, [out], shared=16385)


@clean
def test_arguments_of_other_types_are_refused(way: Way) -> None:
    with way.buffers() as b:
        out = b.room(128).pointer
        wrong: list[list[Any]] = [[out], [out, i32(0), i32(0)], [out, u32(0)], [out, np.int64(0)], [out, 0]]
        for args in [*wrong, [np.int64(1), i32(0)]]:
            with pytest.raises(DeviceError, match=r"its arguments are .*, its parameters \(uint64, int32\)"):
                b.launch("trapped", 1, 32, args)
        with pytest.raises(DeviceError, match=r"no such kernel; there are .*plain_copy"):
            b.launch("traped", 1, 32, [out, i32(0)])


@faults
def test_buffers_are_forgotten_and_may_not_overlap(way: Way) -> None:
    with way.buffers() as b:
        memory = np.zeros(64, np.uint8)
        address = memory.ctypes.data
        b.emulator.register(address, 32, initialised=True, tag="first")
        for begin in (address, address + 31, address - 1):
            with pytest.raises(DeviceError, match=r"buffer 'again' of 2 bytes: it overlaps"):
                b.emulator.register(begin, 2, initialised=True, tag="again")
        b.emulator.register(address + 32, 32, initialised=False, tag="beside")
        args = [np.uint64(address), np.uint64(address + 32)]
        b.launch("plain_copy", 1, 16, args)
        assert b.emulator.first_unwritten(address + 32, 32) == 16
        b.emulator.initialise(address + 48, 16)
        assert b.emulator.first_unwritten(address + 32, 32) is None
        for ask in (b.emulator.initialise, b.emulator.first_unwritten):
            with pytest.raises(DeviceError, match="not within a buffer"):
                ask(address + 63, 2)
        b.emulator.unregister(address)
        with pytest.raises(DeviceError, match=r"bytes before global 'beside' of 32 bytes"):
            b.launch("plain_copy", 1, 16, args)
        b.emulator.unregister(address + 32)


@clean
def test_threads_of_the_host_may_share_an_emulator(way: Way) -> None:
    values = [np.full(64, n, np.uint8) for n in range(8)]
    with way.buffers() as b:
        targets = [b.room(64) for _ in values]
        sources = [b.put(v) for v in values]

        def work(n: int) -> None:
            for _ in range(20):
                b.launch("plain_copy", 2, 32, [sources[n].pointer, targets[n].pointer])
                b.launch("plain_copy", 1, 64, [sources[n].pointer, targets[n].pointer])

        for target in targets:
            b.emulator.initialise(target.address, 64)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        if way.checked:  # two blocks that copy the same bytes race, and should
            with pytest.raises(DeviceError, match="race"):
                work(0)
            return
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [t.bytes() for t in targets] == [v.tobytes() for v in values]


def test_a_process_forked_amid_a_launch_may_launch(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, sys, threading, time, numpy as np
from gpuzarr.testing.emulator import load
kernels = load(sources=[pathlib.Path({str(SOURCES / "faults.cu")!r})])
mine, out = np.zeros(32, np.int32), np.zeros(32, np.int32)
args = [np.uint64(mine.ctypes.data), np.int32(1)]
launch = lambda: kernels.launch("endless_at_barriers", 1, 32, args, seconds=1)
thread = threading.Thread(target=lambda: print("DeviceError" if failed(launch) else "none", flush=True))
def failed(what):
    try: what()
    except Exception as error: return type(error).__name__ == "DeviceError"
thread.start()
time.sleep(0.2)
child = os.fork()
if not child:
    kernels.launch("trapped", 1, 32, [np.uint64(out.ctypes.data), np.int32(0)])
    print(out.sum(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
thread.join()
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=SOURCES.parents[1])
    assert sorted(done.stdout.split()) == ["32", "DeviceError"], done.stderr


# ---- traffic and lines ----------------------------------------------------------------------------------------------


@ways("faults.cu", folder=SOURCES, modes=["check"], orders=["forward"])
@pytest.mark.parametrize(("misalign", "sectors"), [(0, (1, 1)), (16, (2, 1))], ids=["whole sectors", "across a border"])
def test_traffic_counts_the_sectors_of_each_line(way: Way, misalign: int, sectors: tuple[int, int]) -> None:
    with way.buffers() as b:
        args = [b.put(bytes(32), misalign=misalign).pointer, b.room(32, misalign=misalign).pointer]
        with b.emulator.traffic() as found:
            b.launch("plain_copy", 1, 32, args)
    assert [(f"{t.file}:{t.line}", t.space, t.access, t.size, t.requests, t.nbytes) for t in found] == [
        (line_of("plain_copy"), "global", access, 1, 1, 32) for access in ("read", "write")
    ]
    assert [(t.units, t.least) for t in found] == [sectors, sectors]


@ways("faults.cu", folder=SOURCES, modes=["check"], orders=["forward"])
@pytest.mark.parametrize(("by", "turns"), [(1, 1), (2, 2), (4, 4), (32, 32)])
def test_traffic_counts_bank_conflicts(way: Way, by: int, turns: int, tmp_path: Path) -> None:
    source = tmp_path / "banks.cu"
    source.write_text("""extern "C" __global__ void strided(int by) {
    __shared__ volatile int tile[1024];
    tile[threadIdx.x * by] = 1;
}""")
    emulator = load("check", sources=[source])
    with emulator.traffic() as found:
        emulator.launch("strided", 1, 32, [i32(by)])
    assert [(t.line, t.space, t.requests, t.units, t.least) for t in found] == [(3, "shared", 1, turns, 1)]


def test_more_traffic_than_allowed_for_is_an_error() -> None:
    emulator = load("check", sources=[SOURCES / "collectives.cu"])
    out = np.zeros(64, u32)
    emulator.register(out.ctypes.data, out.nbytes, initialised=True, tag="out")
    with pytest.raises(DeviceError, match=r"\d+ accesses are more than the 60"), emulator.traffic(most=60):
        emulator.launch("indices", 1, 64, [np.uint64(out.ctypes.data)])
    emulator.unregister(out.ctypes.data)
    with pytest.raises(DeviceError, match="in check mode"), load(sources=[SOURCES / "collectives.cu"]).traffic():
        pass


def test_lines_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "branches.cu"
    source.write_text("""__device__ int chosen(int x) {
    if (x < 3)
        return 10;
    return 20;
}
extern "C" __global__ void branches(int* out) {
    int x = chosen((int)threadIdx.x);
    if (x == 30) {
        x = 40;
        out[0] = x;
    }
    for (int i = 0; i < 5; ++i)
        x += i;
    out[threadIdx.x] = x;
}
extern "C" __global__ void never(int* out) {
    out[0] = 1;
}
""")
    emulator = load("cover", sources=[source])
    out = np.zeros(8, i32)
    emulator.launch("branches", 1, 8, [np.uint64(out.ctypes.data)])
    assert out.tolist() == [20, 20, 20, *[30] * 5]
    lines = emulator.lines()["branches.cu"]
    times = {3: 3, 4: 5, 7: 8, 8: 8, 9: 0, 10: 0, 13: 40, 14: 8, 17: 0}
    assert {line: lines[line] for line in times} == times
    with pytest.raises(DeviceError, match="in cover mode"):
        load(sources=[source]).lines()


# ---- builds ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPUZARR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emulator"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


ONE = 'extern "C" __global__ void one(int* out) { out[0] = VALUE; }\n'


def value_of(source: Path, *defines: str) -> int:
    out = np.zeros(1, i32)
    emulator = Emulator(build.build_library("fast", [source], defines), "fast")
    emulator.launch("one", 1, 1, [np.uint64(out.ctypes.data)])
    return int(out[0])


def test_a_build_is_kept_until_what_went_into_it_changes(empty_cache: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "one.cu", ONE.replace("VALUE", "1"))
    assert value_of(source) == 1
    kept = sorted(empty_cache.iterdir())
    assert value_of(source) == 1
    assert sorted(empty_cache.iterdir()) == kept
    write(source, '#include "two.cuh"\n' + ONE.replace("VALUE", "TWO"))
    header = write(tmp_path / "two.cuh", "#define TWO 2\n")
    assert value_of(source) == 2
    write(header, "#define TWO 3\n")
    assert value_of(source) == 3
    write(source, ONE)
    assert [value_of(source, f"VALUE={n}") for n in (4, 5)] == [4, 5]
    assert not [path for path in empty_cache.iterdir() if path.suffix not in (".o", ".so")]


def test_processes_may_build_at_once(empty_cache: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "one.cu", ONE.replace("VALUE", "7"))
    code = f"""
import numpy as np, pathlib
from gpuzarr.testing.emulator import load
out = np.zeros(1, np.int32)
load(sources=[pathlib.Path({str(source)!r})]).launch("one", 1, 1, [np.uint64(out.ctypes.data)])
print(out[0])
"""
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SOURCES.parents[1]) for _ in range(3)]
    assert [process.communicate()[0] for process in started] == ["7\n"] * 3


def test_mistakes_in_a_source_are_told_with_their_line(empty_cache: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "wrong.cu", '\nextern "C" __global__ void one(int* out) { out[0] = nothing; }\n')
    with pytest.raises(DeviceError, match=r"(?s)the compiler failed: .*wrong\.cu:2:.*nothing"):
        load(sources=[source])


def test_without_a_compiler_the_error_says_so(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    with pytest.raises(DeviceError, match=r"no C\+\+ compiler .*tried CXX, g\+\+"):
        load(sources=[write(tmp_path / "one.cu", ONE)])


def test_a_compiler_is_looked_for_in_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = build.find_compiler()
    assert found is not None
    try:
        build.find_compiler.cache_clear()
        monkeypatch.setenv("CXX", "no-such-compiler")
        assert build.find_compiler() is None
        build.find_compiler.cache_clear()
        monkeypatch.setenv("CXX", " ".join(found.command))
        assert build.find_compiler() == found
    finally:
        build.find_compiler.cache_clear()


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DeviceError, match="no mode 'slow': there are fast, check, cover"):
        load("slow")  # type: ignore[arg-type]


def test_other_sources_may_be_run_in_place_of_the_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "one.cu", ONE.replace("VALUE", "1"))
    monkeypatch.setenv("GPUZARR_KERNELS", str(tmp_path))
    assert load().kernels() == ["one"]


def test_guard_bytes_show_a_write_that_fast_mode_does_not_see() -> None:
    way = Way((SOURCES / "faults.cu",), "fast", "forward")
    with pytest.raises(AssertionError, match="bytes after target#0 were written"), way.buffers() as b:
        b.launch("write_past_the_end", 1, 32, [b.room(7).pointer, u32(7)])
