"""What every device does, as functions of one: they run on the simulated device, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gpuzarr.cuda.device import Device, device_named
from gpuzarr.errors import DeviceError, DeviceMemoryError, ShapeError, UnsupportedError
from gpuzarr.memory import as_host, memory_of
from gpuzarr.memory.cuda import DeviceMemory

Case = Callable[[Device], None]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def numbers(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, n, dtype=np.uint8)


def pinned(device: Device, values: NDArray[Any]) -> NDArray[np.uint8]:
    slab = device.staging(values.nbytes)
    slab[...] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return slab


def home(device: Device, address: int, nbytes: int, stream: int = 0) -> NDArray[np.uint8]:
    slab = device.staging(nbytes)
    device.download(slab, address, stream)
    device.wait(device.record(stream))
    return slab.copy()


def filled(device: Device, values: NDArray[Any], order: str = "C") -> Any:
    """A device array with these values, ready on stream 0."""
    array = device.empty(values.shape, values.dtype, order, stream=0)
    device.upload(array.data.ptr, pinned(device, values.T if order == "F" else values), 0)
    return array


@case
def bytes_come_back_as_they_were_sent(device: Device) -> None:
    block, values = device.scratch(1000, 0), numbers(1000)
    slab = pinned(device, values)
    device.upload(block.address, slab, 0)
    assert (home(device, block.address, 1000) == values).all()
    assert (home(device, block.address + 7, 500) == values[7:507]).all()


@case
def bytes_are_set(device: Device) -> None:
    block = device.scratch(100, 0)
    device.memset(block.address, 100, 7, 0)
    device.memset(block.address + 3, 10, 9, 0)
    assert home(device, block.address, 100).tolist() == [7] * 3 + [9] * 10 + [7] * 87


@case
def a_stream_waits_for_another_without_the_host(device: Device) -> None:
    first, second = device.new_stream(), device.new_stream()
    assert first != second
    block, values = device.scratch(1 << 20, first), numbers(1 << 20)
    slab = pinned(device, values)
    device.upload(block.address, slab, first)
    device.stream_waits(second, device.record(first))
    assert (home(device, block.address, 1 << 20, second) == values).all()


@case
def an_event_has_happened_once_it_was_waited_for(device: Device) -> None:
    event = device.record(0)
    device.wait(event)
    assert device.done(event)


@case
def arrays_are_of_any_shape_order_and_plain_data_type(device: Device) -> None:
    cupy = pytest.importorskip("cupy")
    memory = memory_of(device.name)
    kinds = ["?", "i1", "u2", "f2", "f8", "c16", ">i4", "S5", "U3", "V7", "M8[s]", [("a", "<i4"), ("b", "<f8")]]
    for kind in kinds:
        dtype = np.dtype(kind)
        for shape in ((), (0, 3), (3, 4, 5)):
            array = DeviceMemory(device).empty(shape, dtype)
            assert isinstance(array, cupy.ndarray)
            assert (array.shape, array.dtype) == (shape, dtype)
    assert memory.name == device.name
    assert device.empty((3, 4), np.dtype("i4"), "F").strides == (4, 12)


@case
def arrays_of_objects_are_refused(device: Device) -> None:
    for kind in ("O", [("a", "O")], np.dtypes.StringDType(), "g"):
        with pytest.raises(UnsupportedError, match="on a device"):
            DeviceMemory(device).empty((2,), np.dtype(kind))


@case
def an_array_tells_which_memory_it_is_in(device: Device) -> None:
    array = device.empty((2, 3), np.dtype("f4"))
    memory = memory_of(array)
    assert memory.device is device
    assert memory_of(memory_of(device.name).empty((), np.dtype("i1"))).device is device_named(device.name)


@case
def views_of_an_address_are_those_of_the_array(device: Device) -> None:
    array = device.empty((6, 5, 4), np.dtype([("a", "<i2"), ("b", "u1")]))
    address = DeviceMemory(device).address(array, array.dtype)
    for index in (np.s_[2:5, ::-2], np.s_[..., 3], np.s_[1:1], np.s_[:, None, 1]):
        ours, theirs = address[index], array[index]
        assert (ours.shape, ours.strides) == (theirs.shape, theirs.strides)
        assert ours.size == 0 or ours.__array_interface__["data"][0] == theirs.data.ptr
    assert address.T.strides == array.T.strides
    assert address.flags.writeable


@case
def out_has_to_be_on_the_device_and_of_the_data_type(device: Device) -> None:
    memory = DeviceMemory(device)
    with pytest.raises(UnsupportedError, match="out="):
        memory.address(np.empty(3), np.dtype("f8"))
    with pytest.raises(ShapeError, match="float32"):
        memory.address(device.empty((3,), np.dtype("f4")), np.dtype("f8"))


@case
def arrays_are_brought_home_however_they_are_strided(device: Device) -> None:
    plain = np.arange(4 * 5 * 6, dtype="<f4").reshape(4, 5, 6)
    for order, kind in (("C", "<f4"), ("F", "<f4"), ("C", [("a", ">i2"), ("b", "u1")]), ("C", "S3")):
        values = plain if kind == "<f4" else numbers(plain.size * 3).view(kind).reshape(plain.shape)
        array = filled(device, values, order)
        for index in (np.s_[...], np.s_[::-1], np.s_[1:3, :, ::-2], np.s_[..., 2], np.s_[2:2], np.s_[1, 2, 3]):
            found = as_host(array[index])
            assert found.dtype == values.dtype
            assert np.array_equal(found, values[index])
        assert np.array_equal(as_host(array.transpose(2, 0, 1)), values.transpose(2, 0, 1))


@case
def memory_is_used_again_from_the_pool(device: Device) -> None:
    stream = device.new_stream()
    slab, block = device.pool.staging(5000), device.pool.scratch(70_000, stream)
    assert (slab.nbytes, block.nbytes >= 70_000) == (5000, True)
    before = slab.__array_interface__["data"][0]
    event = device.record(stream)
    device.pool.give(slab, block, after=event)
    device.wait(event)
    assert device.pool.staging(4900).__array_interface__["data"][0] == before
    assert device.pool.scratch(66_000, device.new_stream()) is not block
    assert device.pool.scratch(66_000, stream) is block
    device.pool.clear()
    assert device.pool.kept == (0, 0)


@case
def a_kernel_is_launched_with_columns_of_addresses(device: Device) -> None:
    sizes = np.array([5, 0, 40_000], np.int64)
    source, target = device.scratch(50_000, 0), device.scratch(50_000, 0)
    values = numbers(50_000)
    blocks = -(-sizes // (16 << 10))
    first = np.concatenate(([0], np.cumsum(blocks)))
    places = (source.address + np.array([1, 10, 100]), target.address + np.array([3, 7, 11]))
    table = np.concatenate((*places, sizes, first))
    columns = device.scratch(table.nbytes, 0)
    for address, data in ((source.address, values), (columns.address, table)):
        device.upload(address, pinned(device, data), 0)
    device.memset(target.address, 50_000, 0, 0)
    at = [np.uint64(columns.address + 8 * k) for k in (0, 3, 6, 9)]
    device.launch("gz_copy", int(first[-1]), 128, (*at, np.uint32(3)), 0)
    expected = np.zeros(50_000, np.uint8)
    expected[3:8], expected[11:40_011] = values[1:6], values[100:40_100]
    assert (home(device, target.address, 50_000) == expected).all()


@case
def what_is_not_there_is_an_error_that_names_the_device(device: Device) -> None:
    with pytest.raises(DeviceError, match=r"no such kernel.*gz_nothing") as error:
        device.launch("gz_nothing", 1, 32, (), 0)
    assert (error.value.device, error.value.kernel) == (device.name, "gz_nothing")
    with pytest.raises(DeviceMemoryError) as full:
        device.scratch(1 << 50, 0)
    assert isinstance(full.value, MemoryError)
    assert full.value.device == device.name


@case
def free_memory_is_bytes(device: Device) -> None:
    before = device.free_memory()
    block = device.scratch(32 << 20, 0)
    assert block.nbytes == 32 << 20
    assert 0 < device.free_memory() <= before


@case
def a_device_says_what_it_is(device: Device) -> None:
    assert device_named(device.name) is device
    assert device.kind
    assert device.current_stream() >= 0
    assert device.codecs <= {"zstd", "deflate", "gzip", "snappy", "lz4"}
    assert all((device.why_not(codec) is None) == (codec in device.codecs) for codec in ("zstd", "lz4", "snappy"))
