"""`meta_array` names a memory; values come home from wherever they are."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_cases import filled
from hypothesis import given
from hypothesis import strategies as st

from gpuzarr.cuda.device import available, stream_handle
from gpuzarr.errors import DeviceError, ShapeError, UnsupportedError
from gpuzarr.memory import as_host, memory_of
from gpuzarr.memory.cuda import DeviceMemory, shadow

pytest.importorskip("cupy", reason="arrays in device memory are CuPy's")
if sys.platform != "linux":
    pytest.skip("the simulated device needs Linux", allow_module_level=True)

from gpuzarr.testing import simulated_device


class Foreign:
    """An array of some other library, by the CUDA array interface."""

    def __init__(self, array: Any, **changed: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "strides": None if array.flags.c_contiguous else array.strides,
            "typestr": array.dtype.str,
            "descr": array.dtype.descr,
            "data": (array.data.ptr, False),
            **changed,
        }


# ---- words and arrays ----------------------------------------------------------------------------------------


def test_host_memories_have_no_device() -> None:
    for meta_array in (None, "cpu", np.empty(())):
        memory = memory_of(meta_array)
        assert (memory.name, memory.device) == ("cpu", None)


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert (memory_of("auto").device is not None) == available()


@pytest.mark.parametrize("word", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(word: str) -> None:
    if available():
        assert memory_of(word).device is not None
        return
    with pytest.raises(DeviceError, match=r"meta_array='cuda.*no device: there is no driver") as error:
        memory_of(word)
    assert error.value.device == word


@pytest.mark.parametrize("wrong", [3, [1, 2], SimpleNamespace(device="tpu:0"), Foreign, object()])
def test_what_is_no_array_names_no_memory(wrong: Any) -> None:
    with pytest.raises(UnsupportedError, match="meta_array must be") as error:
        memory_of(wrong)
    assert error.value.feature == "meta_array"


def test_arrays_of_other_libraries_name_their_device() -> None:
    with simulated_device() as device:
        memory = memory_of(Foreign(device.empty((), np.dtype("f4"))))
        assert isinstance(memory, DeviceMemory)
        assert memory.device is device


def test_torch_tensors_on_other_devices_are_refused() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.empty(3, device="meta")
    with pytest.raises(UnsupportedError, match="Tensor on meta"):
        memory_of(tensor)
    with pytest.raises(UnsupportedError, match="values on meta"):
        as_host(tensor)


# ---- out= ----------------------------------------------------------------------------------------------------


def test_out_may_be_of_another_library() -> None:
    with simulated_device() as device:
        array = filled(device, np.arange(12, dtype="f4").reshape(3, 4))
        address = DeviceMemory(device).address(Foreign(array[:, ::2]), np.dtype("f4"))
        assert (address.shape, address.strides) == ((3, 2), (16, 8))
        with pytest.raises(ShapeError, match="read-only"):
            DeviceMemory(device).adopt(Foreign(array, data=(array.data.ptr, True)))


def test_out_on_another_device_is_refused() -> None:
    with simulated_device() as one, simulated_device() as other:
        array = other.empty((3,), np.dtype("f4"))
    with pytest.raises(UnsupportedError, match="out= is on simulated"):
        DeviceMemory(one).adopt(array)


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": (-1,)},
        {"shape": None},
        {"typestr": "?!"},
        {"data": None},
        {"data": ()},
        {"strides": (4, 4)},
        {"mask": object()},
        {"stream": -1},
    ],
)
def test_an_interface_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    with simulated_device() as device:
        array = Foreign(device.empty((3,), np.dtype("f4")), **changed)
        with pytest.raises(UnsupportedError):
            DeviceMemory(device).adopt(array)


# ---- addresses -----------------------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@given(shapes, st.sampled_from(["u1", ">i4", "c16", "M8[ns]", "S5", [("a", "<i2"), ("b", "u1")]]), st.data())
def test_a_shadow_is_cut_like_the_array(shape: tuple[int, ...], kind: Any, data: Any) -> None:
    values = np.zeros(shape, kind)
    far = shadow(1 << 45, values.shape, values.strides, values.dtype)
    steps = st.tuples(*(st.builds(slice, st.none(), st.none(), st.sampled_from([1, 2, -1])) for _ in shape))
    index = (*data.draw(steps), ...)  # without the dots, no axes would be left to a scalar, which is looked into
    ours, theirs = far[index], values[index]
    assert (ours.shape, ours.strides, ours.dtype) == (theirs.shape, theirs.strides, theirs.dtype)
    start = values.__array_interface__["data"][0]
    moved = theirs.__array_interface__["data"][0] - start
    assert ours.__array_interface__["data"][0] - (1 << 45) == moved


def test_a_shadow_keeps_its_array_alive() -> None:
    with simulated_device() as device:
        before = device.free_memory()
        view = DeviceMemory(device).address(device.empty((1 << 20,), np.dtype("u1")), np.dtype("u1"))[5:]
        device.synchronize()
        assert device.free_memory() < before
        del view
        device.synchronize()
        assert device.free_memory() == before


# ---- streams -------------------------------------------------------------------------------------------------


class Streams:
    """Streams as libraries have them."""

    cupys = SimpleNamespace(ptr=5)
    torchs = SimpleNamespace(cuda_stream=5)

    class Protocol:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, 5

    class First:
        __cuda_stream__ = (0, 5)


@pytest.mark.parametrize("stream", [5, np.int64(5), Streams.cupys, Streams.torchs, Streams.Protocol(), Streams.First()])
def test_a_stream_is_a_handle_or_has_one(stream: Any) -> None:
    assert stream_handle(stream) == 5


@pytest.mark.parametrize("wrong", [-1, True, "0", 1.0, object(), SimpleNamespace(ptr=None)])
def test_what_is_no_stream_is_refused(wrong: Any) -> None:
    with pytest.raises(UnsupportedError, match="stream=") as error:
        stream_handle(wrong)
    assert error.value.feature == "stream="


# ---- values --------------------------------------------------------------------------------------------------


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([1, 2, -1, -3])] * 3), st.booleans())
def test_values_come_home_from_any_strides(order: list[int], steps: tuple[int, ...], foreign: bool) -> None:
    values = np.arange(4 * 3 * 5, dtype="<i2").reshape(4, 3, 5)
    index = tuple(slice(None, None, step) for step in steps)
    with simulated_device() as device:
        array = filled(device, values)[index].transpose(order)
        device.reset()
        found = as_host(Foreign(array) if foreign else array)
        assert np.array_equal(found, values[index].transpose(order))
        assert found.dtype == values.dtype
        assert device.counts["downloads"] == 1
        assert device.counts["downloaded_bytes"] == array.nbytes


def test_values_come_home_on_the_stream_where_they_are_ready() -> None:
    with simulated_device() as device:
        side = device.new_stream()
        with device.stream(side):
            array = device.empty((4,), np.dtype("u1"))
        slab = device.staging(4)
        slab[...] = 7
        device.upload(array.data.ptr, slab, side)
        assert as_host(Foreign(array, stream=side)).tolist() == [7] * 4
