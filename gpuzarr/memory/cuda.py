"""Device memory: results that are CuPy arrays or torch CUDA tensors, and what the host may know of arrays there.

The host computes with a device array's address, shape and strides, never with its elements: `shadow` makes a NumPy
array of the three that can be sliced, transposed and asked for its address, and that nobody may look into.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.device import Device, device_at, device_of, stream_handle
from gpuzarr.dtypes.names import ML_FLOATS, from_v3
from gpuzarr.errors import DeviceError, DeviceMemoryError, ShapeError, UnsupportedError
from gpuzarr.memory.host import torch_dtype

__all__ = ["DeviceMemory", "TorchDeviceMemory", "fetch", "is_on_device", "memory_of_array", "ready_on", "shadow"]

PIECE = 256 << 20
"""Bytes that are brought home at once: so much pinned memory is taken."""


# ---- memories --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Results are `cupy.ndarray` on a device, allocated by CuPy's current allocator."""

    device: Device

    @property
    def name(self) -> str:
        return self.device.name

    def current_stream(self) -> int:
        """The stream on which the calling thread uses results."""
        return self.device.current_stream()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C") -> Any:
        """A new array. Raises UnsupportedError for data types that are no fixed number of plain bytes."""
        if dtype.hasobject or dtype.kind in "OT" or dtype.type in (np.longdouble, np.clongdouble):
            what = f'there are no arrays of {dtype} on a device: read them with meta_array="cpu"'
            raise UnsupportedError(what, feature=f"{dtype} on a device")
        try:
            return self.device.empty(shape, dtype, order)
        except (TypeError, ValueError, OverflowError) as error:
            what = f"CuPy makes no array of {dtype} and shape {shape}: {error}"
            raise UnsupportedError(what, feature=f"{dtype} in a CuPy array") from error

    def adopt(self, out: Any) -> Any:
        """`out=` as it is, if it is an array on this device by CuPy or by the CUDA array interface."""
        if not is_on_device(out):
            what = f"out= must be an array on {self.name}, not {type(out).__name__}"
            raise UnsupportedError(what, feature="out=")
        found = _parts(out)
        device = found.device()
        if device is not self.device:
            raise UnsupportedError(f"out= is on {device.name}, the array is read on {self.name}", feature="out=")
        if found.read_only:
            raise ShapeError("out is read-only", shape=found.shape)
        return out

    def address(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array's address, shape and strides as a NumPy array that nobody may look into. Raises ShapeError."""
        return _addressed(self.adopt(array), dtype)

    view = address


@dataclass(frozen=True, slots=True)
class TorchDeviceMemory:
    """Results are torch CUDA tensors, allocated by torch on its current stream."""

    device: Device

    @property
    def name(self) -> str:
        return f"torch {self.device.name}"

    def current_stream(self) -> int:
        """torch's current stream of the device."""
        import torch

        return int(torch.cuda.current_stream(self.device.index).cuda_stream)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C") -> Any:
        """A new tensor. Raises UnsupportedError for data types that torch does not have."""
        import torch

        kind, where = torch_dtype(dtype), f"cuda:{self.device.index}"
        try:
            if order == "F":
                return torch.empty(shape[::-1], dtype=kind, device=where).permute(*range(len(shape))[::-1])
            return torch.empty(shape, dtype=kind, device=where)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceMemoryError(str(error), device=self.device.name) from error
        except RuntimeError as error:
            raise DeviceError(str(error), device=self.device.name) from error

    def adopt(self, out: Any) -> Any:
        """`out=` as it is, if it is a tensor on this device."""
        if not _is_torch(out) or out.device.type != "cuda" or out.device.index != self.device.index:
            what = f"out= must be a torch tensor on {self.device.name}, not {_called(out)}"
            raise UnsupportedError(what, feature="out=")
        return out

    def address(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A tensor's address, shape and strides as a NumPy array that nobody may look into. Raises ShapeError."""
        return _addressed(self.adopt(array), dtype)

    view = address


def memory_of_array(array: Any) -> DeviceMemory | TorchDeviceMemory:
    """The memory of a CuPy array, a torch CUDA tensor, or an object with the CUDA array interface."""
    if _is_torch(array):
        return TorchDeviceMemory(device_of(array.device.index))
    return DeviceMemory(_parts(array).device())


def is_on_device(array: Any) -> bool:
    """Whether something is an array in device memory."""
    if _is_torch(array):
        return bool(array.device.type == "cuda")
    return _is_cupy(array) or _interface(array) is not None


def ready_on(array: Any) -> int | None:
    """The stream on which an array's owner says it is used (CUDA array interface, version 3; torch's current one)."""
    return _parts(array).stream


# ---- addresses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an array in device memory consists of; strides in bytes, the stream on which its elements are ready."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    index: int
    stream: int | None
    read_only: bool = False

    def device(self) -> Device:
        return device_at(self.address, self.index)


def _parts(array: Any) -> _Parts:
    if _is_torch(array):
        return _torch_parts(array)
    if _is_cupy(array):
        return _Parts(array.data.ptr, array.shape, array.strides, array.dtype, array.device.id, None)
    return _interface_parts(array)


def _torch_parts(tensor: Any) -> _Parts:
    name = str(tensor.dtype).removeprefix("torch.")
    known = name in ML_FLOATS or name in np.sctypeDict
    if not known:
        raise UnsupportedError(f"NumPy has no data type for {tensor.dtype}", feature=f"{tensor.dtype}")
    dtype = from_v3(name, None).dtype if name in ML_FLOATS else np.dtype(name)
    strides = tuple(n * dtype.itemsize for n in tensor.stride())
    stream = None
    if tensor.device.type == "cuda":
        stream = int(importlib.import_module("torch").cuda.current_stream(tensor.device.index).cuda_stream)
    return _Parts(tensor.data_ptr(), tuple(tensor.shape), strides, dtype, tensor.device.index or 0, stream)


def _interface_parts(array: Any) -> _Parts:
    """By the CUDA array interface, version 3: https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html"""
    found = _interface(array)
    if found is None:
        raise UnsupportedError(f"{type(array).__name__} is no array on a device", feature="the CUDA array interface")
    try:
        shape, dtype = tuple(int(n) for n in found["shape"]), _interface_dtype(found)
        address, read_only = int(found["data"][0]), bool(found["data"][1])
        strides = tuple(int(n) for n in found.get("strides") or _packed(shape, dtype))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        what = f"{type(array).__name__} has a CUDA array interface that is none: {error!r}"
        raise UnsupportedError(what, feature="the CUDA array interface") from error
    if found.get("mask") is not None or len(strides) != len(shape) or min(shape, default=0) < 0:
        raise UnsupportedError(f"masked or odd array {type(array).__name__}", feature="the CUDA array interface")
    stream = found.get("stream")
    ready = None if stream is None else stream_handle(stream)
    return _Parts(address, shape, strides, dtype, _device_index(address), ready, read_only)


def _interface_dtype(found: Mapping[str, Any]) -> np.dtype[Any]:
    plain: np.dtype[Any] = np.dtype(found["typestr"])
    fields = found.get("descr")
    if plain.kind == "V" and fields and fields != [("", found["typestr"])]:
        return np.dtype([tuple(field) for field in fields])
    return plain


def _interface(array: Any) -> Mapping[str, Any] | None:
    found = None if isinstance(array, type) else getattr(array, "__cuda_array_interface__", None)
    return found if isinstance(found, Mapping) else None


def _device_index(address: int) -> int:
    """The device on which an address lies."""
    device_of_it = device_at(address, 0)  # where there is no CUDA, this says so
    if device_of_it.name != "cuda:0" or not address:
        return device_of_it.index
    runtime = importlib.import_module("cupy").cuda.runtime
    try:
        return int(runtime.pointerGetAttributes(address).device)
    except RuntimeError as error:
        raise DeviceError(f"{address:#x} is no address on a device: {error}") from error


def _addressed(array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    found = _parts(array)
    if found.dtype != dtype:
        raise ShapeError(f"out is of {found.dtype}, the array of {dtype}", shape=found.shape)
    return shadow(found.address, found.shape, found.strides, dtype, array)


class Shadow(np.ndarray[Any, Any]):
    """An array that nobody may look into: tracebacks and debuggers would, so that it says where it is instead."""

    def __repr__(self) -> str:
        address = self.__array_interface__["data"][0]
        return f"<{self.dtype} of shape {self.shape} and strides {self.strides} at {address:#x} on a device>"

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        return repr(self)


class _Shadowed:
    """What NumPy makes a shadow from; keeps the array alive."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, interface: dict[str, Any], array: Any) -> None:
        self.__array_interface__, self.array = interface, array


def shadow(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any], array: Any = None
) -> NDArray[Any]:
    """A NumPy array at an address that is not the host's: its elements must not be touched, its views may be made.

    An index of integers on all axes needs an ellipsis too: without one it asks for an element.

    >>> x = shadow(1 << 40, (3, 4), (16, 4), np.dtype("i4"))
    >>> x[1:, ::-1].__array_interface__["data"][0] - (1 << 40)
    28
    >>> x[0]
    <int32 of shape (4,) and strides (4,) at 0x10000000000 on a device>
    """
    interface = {
        "version": 3,
        "shape": shape,
        "strides": strides,
        "typestr": f"|V{dtype.itemsize}",
        "data": (address, False),
    }
    return np.asarray(_Shadowed(interface, array)).view(dtype).view(Shadow)


def _packed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Strides in C order."""
    return tuple(dtype.itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape)))


def _is_cupy(array: Any) -> bool:
    kind = type(array)
    return kind.__module__.partition(".")[0] == "cupy" and hasattr(kind, "strides") and hasattr(array, "data")


def _is_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch" and hasattr(array, "device")


def _called(array: Any) -> str:
    return f"one on {array.device}" if _is_torch(array) else type(array).__name__


# ---- to the host -----------------------------------------------------------------------------------------------------


def fetch(array: Any) -> NDArray[Any]:
    """A copy on the host of an array in device memory: one download, on the stream where its elements are ready."""
    found = _parts(array)
    device = found.device()
    stream = device.current_stream() if found.stream is None else found.stream
    if math.prod(found.shape) and not _is_dense(found):
        array = _compacted(array, found, device, stream)
        found = _parts(array)
    low = sum(min(0, (n - 1) * s) for n, s in zip(found.shape, found.strides, strict=True))
    host = np.empty(math.prod(found.shape) * found.dtype.itemsize, np.uint8)
    for start in range(0, host.nbytes, PIECE):
        part = host[start : start + PIECE]
        slab = device.pool.staging(part.nbytes)
        device.download(slab, found.address + low + start, stream)
        event = device.record(stream)
        device.wait(event)
        part[...] = slab
        device.pool.give(slab)
    if not host.nbytes:
        return np.empty(found.shape, found.dtype)
    return np.ndarray(found.shape, found.dtype, buffer=host, offset=-low, strides=found.strides)


def _is_dense(found: _Parts) -> bool:
    """Whether the elements are a gapless run of bytes, in whatever order of axes."""
    step = found.dtype.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(found.strides, found.shape, strict=True) if n > 1):
        if stride != step:
            return False
        step *= n
    return True


def _compacted(array: Any, found: _Parts, device: Device, stream: int) -> Any:
    if _is_torch(array):
        return array.contiguous()
    if not _is_cupy(array):  # make it one, over the same memory
        cupy = importlib.import_module("cupy")
        held = cupy.cuda.UnownedMemory(found.address, found.dtype.itemsize, array, device.index)
        pointer = cupy.cuda.MemoryPointer(held, 0)
        array = cupy.ndarray(found.shape, found.dtype, memptr=pointer, strides=found.strides)
    return device.compact(array, stream)
