"""The simulated device does what a GPU does, refuses what the host may not do, and notices what would go wrong."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from device_cases import CASES, filled, home, numbers, pinned
from hypothesis import given
from hypothesis import strategies as st

from gpuzarr.cuda.device import device_named
from gpuzarr.errors import DeviceError, DeviceMemoryError
from gpuzarr.memory import as_host, memory_of
from kernels import needs_compiler

cupy = pytest.importorskip("cupy", reason="the simulated device makes cupy.ndarray objects")
if sys.platform != "linux":
    pytest.skip("the simulated device needs Linux", allow_module_level=True)

from gpuzarr.testing import SimulatedDevice, default, simulated_device, to_host  # noqa: E402
from gpuzarr.testing.arena import Arena  # noqa: E402


@pytest.fixture
def device() -> Iterator[SimulatedDevice]:
    with simulated_device(memory=1 << 30) as found:
        yield found


LAUNCHING = {"a_kernel_is_launched_with_columns_of_addresses", "what_is_not_there_is_an_error_that_names_the_device"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_compiler if name in LAUNCHING else ()) for name in CASES]
)
def test_a_simulated_device(name: str, device: SimulatedDevice) -> None:
    CASES[name](device)


# ---- the host may not touch it -------------------------------------------------------------------------------

IMPLICIT: dict[str, Callable[[Any], Any]] = {
    "numpy.asarray": np.asarray,
    "numpy.array": np.array,
    "memoryview": memoryview,
    "bytes": bytes,
    "get": lambda a: a.get(),
    "cupy.asnumpy": cupy.asnumpy,
    "+": lambda a: a + 1,
    "ufunc": lambda a: np.add(a, np.ones(4)),
    "astype": lambda a: a.astype("f8"),
    "copy": lambda a: a.copy(),
    "fill": lambda a: a.fill(0),
    "cupy.asarray": lambda a: cupy.asarray(np.ones(3)),
    "cupy.zeros": lambda a: cupy.zeros(4),
    "setitem": lambda a: a.__setitem__(..., np.zeros(4, "f4")),
    "float": lambda a: float(a[0]),
    "tolist": lambda a: a.tolist(),
    "dlpack": np.from_dlpack,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("name", IMPLICIT)
def test_a_copy_that_nobody_asked_for_raises(name: str, device: SimulatedDevice) -> None:
    array = filled(device, np.arange(4, dtype="f4"))
    device.reset()
    with pytest.raises((TypeError, ValueError, RuntimeError, BufferError)):
        IMPLICIT[name](array)
    moved = ("uploads", "downloads", "memsets", "copies", "launches")
    assert [device.counts[what] for what in moved] == [0] * len(moved)


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("stray", ["read", "written"])
def test_memory_that_the_host_touches_ends_the_process(stray: str) -> None:
    act = "ctypes.string_at(a.data.ptr, 1)" if stray == "read" else "ctypes.memset(a.data.ptr, 0, 1)"
    result = ended(
        "import ctypes, numpy, gpuzarr.testing\n"
        "with gpuzarr.testing.simulated_device() as device:\n"
        "    a = device.empty((4,), numpy.dtype('f4'))\n"
        f"    print('so far', flush=True)\n    {act}\n    print('further')"
    )
    assert (result.returncode, result.stdout) == (-11, "so far\n"), result.stderr


def test_an_address_as_a_numpy_array_ends_the_process_when_it_is_looked_into() -> None:
    result = ended(
        "import numpy, gpuzarr.testing\nfrom gpuzarr.memory import memory_of\n"
        "memory = memory_of('simulated')\nx = memory.empty((4,), numpy.dtype('f4'))\n"
        "y = memory.view(x, x.dtype)[1:]\nprint(y.shape, flush=True)\nprint(y.sum())"
    )
    assert (result.returncode, result.stdout) == (-11, "(3,)\n"), result.stderr


# ---- counts --------------------------------------------------------------------------------------------------


def test_effects_are_counted_and_looking_is_not(device: SimulatedDevice) -> None:
    array = filled(device, np.arange(6, dtype="f4"))
    view = array[::2]
    assert to_host(view).tolist() == [0, 2, 4]
    as_host(array)
    expected = {"uploads": 1, "uploaded_bytes": 24, "downloads": 1, "downloaded_bytes": 24, "waits": 1}
    expected |= {"allocations": 1, "allocated_bytes": 24, "pinned_allocations": 2}
    assert {name: n for name, n in device.counts.items() if n} == expected
    device.reset()
    assert set(device.counts.values()) == {0}


def test_what_is_refused_is_not_counted(device: SimulatedDevice) -> None:
    device.reset()
    with pytest.raises(DeviceError):
        device.upload(1234, device.staging(4), 0)
    assert device.counts["uploads"] == 0


def test_warm_pools_allocate_nothing(device: SimulatedDevice) -> None:
    def work() -> None:
        slab, block = device.pool.staging(10_000), device.pool.scratch(20_000, 0)
        device.upload(block.address, slab, 0)
        event = device.record(0)
        device.wait(event)
        device.pool.give(slab, block, after=event)

    work()
    device.reset()
    for _ in range(5):
        work()
    assert (device.counts["allocations"], device.counts["pinned_allocations"]) == (0, 0)


# ---- order ---------------------------------------------------------------------------------------------------


def test_a_download_is_there_after_the_wait_and_not_before(device: SimulatedDevice) -> None:
    array, slab = filled(device, numbers(100)), device.staging(100)
    device.download(slab, array.data.ptr, 0)
    event = device.record(0)
    assert not device.done(event)
    assert (slab == 0xA5).all()
    device.wait(event)
    assert (slab == numbers(100)).all()


def test_pinned_memory_that_is_used_again_too_early_is_noticed(device: SimulatedDevice) -> None:
    block, slab = device.scratch(100, 0), pinned(device, numbers(100))
    device.upload(block.address, slab, 0)
    slab[50] ^= 1
    with pytest.raises(DeviceError, match="changed before its upload"):
        device.wait(device.record(0))
    device.download(slab, block.address, 0)
    slab[...] = 1
    with pytest.raises(DeviceError, match="changed before its download"):
        device.wait(device.record(0))


def test_the_pool_lends_no_memory_whose_copy_is_still_to_come(device: SimulatedDevice) -> None:
    block, slab = device.scratch(4096, 0), device.pool.staging(4096)
    slab[...] = 1
    device.upload(block.address, slab, 0)
    device.pool.give(slab, after=device.record(0))
    device.pool.staging(4096)[...] = 2
    assert (home(device, block.address, 4096) == 1).all()


def test_only_pinned_bytes_in_one_piece_are_copied(device: SimulatedDevice) -> None:
    block, slab = device.scratch(100, 0), device.staging(100)
    for wrong in (np.zeros(100, np.uint8), slab[::2], slab.view("u2")):
        with pytest.raises(DeviceError, match=r"pinned|in one piece"):
            device.upload(block.address, wrong, 0)
        with pytest.raises(DeviceError, match=r"pinned|in one piece"):
            device.download(wrong, block.address, 0)


def test_memory_of_another_stream_is_used_after_an_event_of_it(device: SimulatedDevice) -> None:
    side = device.new_stream()
    array, slab = device.empty((100,), np.dtype("u1"), stream=0), pinned(device, numbers(100))
    device.upload(array.data.ptr, slab, side)
    with pytest.raises(DeviceError, match=r"before it was allocated.*no event"):
        device.wait(device.record(side))
    device.stream_waits(side, device.record(0))
    device.upload(array.data.ptr, slab, side)
    assert (home(device, array.data.ptr, 100, side) == slab).all()


def test_a_result_that_its_stream_does_not_wait_for_is_not_there(device: SimulatedDevice) -> None:
    side = device.new_stream()
    array, slab = device.empty((4,), np.dtype("u1"), stream=0), pinned(device, np.arange(4, dtype="u1"))
    device.stream_waits(side, device.record(0))
    device.upload(array.data.ptr, slab, side)
    assert to_host(array).tolist() == [0xC5] * 4
    device.stream_waits(0, device.record(side))
    assert to_host(array).tolist() == [0, 1, 2, 3]


def test_the_current_stream_is_a_threads_own(device: SimulatedDevice) -> None:
    handle, seen = device.new_stream(), []
    with device.stream(handle):
        array = device.empty((4,), np.dtype("u1"))
        thread = threading.Thread(target=lambda: seen.append(device.current_stream()))
        thread.start()
        thread.join()
        device.upload(array.data.ptr, pinned(device, np.arange(4, dtype="u1")), handle)
        assert to_host(array).tolist() == [0, 1, 2, 3]
        seen.append(device.current_stream())
    assert [*seen, device.current_stream()] == [0, handle, 0]


def test_streams_have_to_be_there(device: SimulatedDevice) -> None:
    with pytest.raises(DeviceError, match="no stream"):
        device.record(device.new_stream() + 0x1000)


def test_threads_share_a_device(device: SimulatedDevice) -> None:
    failed: list[Any] = []

    def work(seed: int) -> None:
        stream, values = device.new_stream(), numbers(3000, seed)
        for _ in range(10):
            block, slab = device.pool.scratch(3000, stream), device.pool.staging(3000)
            slab[...] = values
            device.upload(block.address, slab, stream)
            if (home(device, block.address, 3000, stream) != values).any():
                failed.append(seed)
            device.pool.give(slab, block)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert device.counts["uploads"] == 40


# ---- memory --------------------------------------------------------------------------------------------------


def test_new_memory_is_not_zero(device: SimulatedDevice) -> None:
    assert (to_host(device.empty((1000,), np.dtype("u1"))) == 0xC5).all()
    assert (to_host(cupy.empty((10, 10), "u1")) == 0xC5).all()


def test_memory_comes_back_when_the_last_view_dies(device: SimulatedDevice) -> None:
    before = device.free_memory()
    array = device.empty((1 << 20,), np.dtype("u1"))
    view = array[10:20]
    del array
    device.synchronize()
    assert device.free_memory() < before
    del view
    device.synchronize()
    assert device.free_memory() == before


def test_a_loop_of_results_needs_the_memory_of_one() -> None:
    with simulated_device(memory=8 << 20) as device:
        for _ in range(50):
            assert device.empty((5 << 20,), np.dtype("u1")).shape == (5 << 20,)
        kept = device.empty((5 << 20,), np.dtype("u1"))
        with pytest.raises(DeviceMemoryError, match="do not fit"):
            device.empty((5 << 20,), np.dtype("u1"))
        assert kept.nbytes == 5 << 20


def test_memory_that_was_given_back_can_not_be_used(device: SimulatedDevice) -> None:
    block, slab = device.scratch(100, 0), device.staging(100)
    address = block.address
    del block
    for use in (
        lambda: device.upload(address, slab, 0),
        lambda: device.download(slab, address, 0),
        lambda: device.memset(address, 1, 0, 0),
    ):
        with pytest.raises(DeviceError, match="not allocated"):
            use()


def test_memory_is_used_only_to_its_end(device: SimulatedDevice) -> None:
    block = device.scratch(100, 0)
    with pytest.raises(DeviceError, match="not allocated"):
        device.memset(block.address + 1, 100, 0, 0)


def test_memory_that_another_stream_still_uses_is_not_given_back_unnoticed(device: SimulatedDevice) -> None:
    side, slab = device.new_stream(), device.staging(100)

    def upload() -> None:
        block = device.scratch(100, 0)
        device.stream_waits(side, device.record(0))
        device.upload(block.address, slab, side)

    upload()
    device.wait(device.record(0))
    with pytest.raises(DeviceError, match=r"after it was given back.*no event"):
        device.wait(device.record(side))

    block = device.scratch(100, 0)
    device.stream_waits(side, device.record(0))
    device.upload(block.address, slab, side)
    device.stream_waits(0, device.record(side))
    del block
    device.wait(device.record(0))


@given(st.lists(st.one_of(st.integers(0, 5000), st.none()), max_size=40), st.randoms())
def test_blocks_never_overlap_and_all_comes_back(steps: list[int | None], random: Any) -> None:
    arena = Arena(1 << 16, "simulated")
    held: dict[int, int] = {}
    for step in steps:
        if step is None:
            if held:
                address = random.choice(sorted(held))
                arena.give(address)
                del held[address]
            continue
        found = arena.take(step)
        if found is None:
            assert step > arena.free // (len(held) + 1) - 1024
            continue
        assert all(found + step <= at or at + n <= found for at, n in held.items())
        assert arena.base <= found <= found + step < arena.base + arena.size
        held[found] = step
    for address in held:
        arena.give(address)
    assert (arena.free, len(arena._free)) == (arena.size, 1)


def test_arrays_outlive_their_context() -> None:
    with simulated_device() as device:
        array = filled(device, np.arange(5))
    del device
    gc.collect()
    assert to_host(array).tolist() == [0, 1, 2, 3, 4]
    assert memory_of(array).name == "simulated"


# ---- which device --------------------------------------------------------------------------------------------


def test_simulated_names_the_innermost_device_else_one_of_its_own() -> None:
    assert device_named("simulated") is default()
    with simulated_device() as outer:
        with simulated_device() as inner:
            assert memory_of("simulated").device is default() is inner
            assert memory_of(cupy.empty(())).device is inner
        assert memory_of("simulated").device is outer
    assert default() not in (outer, inner)
    assert pickle.loads(pickle.dumps(memory_of("simulated"))).device is default()


def test_what_goes_wrong_late_is_raised_at_the_end() -> None:
    def leave() -> None:
        with simulated_device() as device:
            block, slab = device.scratch(10, 0), device.staging(10)
            device.upload(block.address, slab, 0)
            slab[0] += 1

    with pytest.raises(DeviceError, match="changed before its upload"):
        leave()


def in_child(answers: Any, device: SimulatedDevice, array: Any) -> None:
    for use in (lambda: device.staging(1), lambda: to_host(array), default):
        try:
            use()
            answers.put("it works")
        except DeviceError as error:
            answers.put(str(error))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_told_that_it_has_no_device(device: SimulatedDevice) -> None:
    context = multiprocessing.get_context("fork")
    answers, array = context.SimpleQueue(), filled(device, np.arange(3))
    child = context.Process(target=in_child, args=(answers, device, array))
    child.start()
    found = [answers.get() for _ in range(3)]
    child.join()
    assert child.exitcode == 0
    assert [answer for answer in found if "does not survive a fork" not in answer] == []
    assert to_host(array).tolist() == [0, 1, 2]


def test_without_cupy_it_says_what_to_install() -> None:
    result = ended(
        "import sys\nsys.modules['cupy'] = None\nimport gpuzarr\nfrom gpuzarr.memory import memory_of\n"
        "for word in ('simulated', 'cuda', 'auto'):\n"
        "    try: print(memory_of(word).name)\n"
        "    except gpuzarr.errors.DeviceError as error: print('pip install' in str(error), error.device)"
    )
    assert result.stdout.split("\n")[:3] == ["True simulated", "True cuda", "cpu"], result.stderr


# ---- kernels -------------------------------------------------------------------------------------------------


def launch_copy(device: SimulatedDevice, source: int, target: int, nbytes: int, stream: int = 0) -> None:
    table = np.array([source, target, nbytes, 0, -(-nbytes // (16 << 10))], np.int64)
    columns = device.scratch(table.nbytes, stream)
    device.upload(columns.address, pinned(device, table), stream)
    at = [np.uint64(columns.address + 8 * k) for k in range(4)]
    device.launch("gz_copy", int(table[-1]), 128, (*at, np.uint32(1)), stream)


@needs_compiler
def test_a_launch_waits_for_its_turn(device: SimulatedDevice) -> None:
    source, target = filled(device, numbers(100)), device.empty((100,), np.dtype("u1"))
    launch_copy(device, source.data.ptr, target.data.ptr, 100)
    assert device.counts["launches"] == 1
    assert (to_host(target) == numbers(100)).all()


@needs_compiler
def test_a_kernel_gets_numpy_scalars_and_nothing_else(device: SimulatedDevice) -> None:
    for wrong in (np.zeros(4), 7, device.empty((3,), np.dtype("u1"))):
        with pytest.raises(DeviceError, match="not a NumPy scalar") as error:
            device.launch("gz_copy", 1, 128, (wrong,), 0)
        assert error.value.kernel == "gz_copy"


@needs_compiler
def test_a_kernel_gets_no_memory_that_was_given_back(device: SimulatedDevice) -> None:
    address = np.uint64(device.scratch(100, 0).address)
    with pytest.raises(DeviceError, match="not allocated"):
        device.launch("gz_copy", 1, 128, (address, address, address, address, np.uint32(1)), 0)


@needs_compiler
def test_every_access_of_a_kernel_is_checked_if_it_is_asked_for() -> None:
    with simulated_device(check=True, memory=64 << 20) as device:
        source, target = filled(device, numbers(100)), device.empty((100,), np.dtype("u1"))
        launch_copy(device, source.data.ptr, target.data.ptr, 100)
        assert (to_host(target) == numbers(100)).all()

        launch_copy(device, source.data.ptr, target.data.ptr + 1, 100)
        with pytest.raises(DeviceError) as beyond:
            device.synchronize()
        assert beyond.value.kernel == "gz_copy"

        fresh = device.empty((100,), np.dtype("u1"))
        launch_copy(device, fresh.data.ptr, target.data.ptr, 100)
        with pytest.raises(DeviceError):
            device.synchronize()
