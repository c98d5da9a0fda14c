"""A stand-in for CuPy under zarr-python's GPU buffers, which counts what crosses the bus: no GPU, no driver.

zarr-python touches device memory through few functions of CuPy, all in `zarr.core.buffer.gpu`. Here they work on host
memory of a type that NumPy refuses to convert, as it refuses CuPy's, so that whatever zarr-python does goes through
them and is counted. Counts favour CuPy: an upload waits for nothing (CuPy copies it into pinned memory first), views
and reshapes of contiguous memory cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "CupyStandIn", "DeviceArray", "zarr_gpu_mode"]


@dataclass(slots=True)
class Counts:
    """Crossings of the bus and their bytes, kernels launched, how often the host waits, device memory asked for."""

    uploads: int = 0
    uploaded_bytes: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    launches: int = 0
    waits: int = 0
    allocations: int = 0


class DeviceArray:
    """An array on the device that is not there: what zarr-python asks of `cupy.ndarray`, and nothing else."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: NDArray[Any], device: CupyStandIn) -> None:
        self.host, self.device = values, device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self.host.__array_interface__)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.host.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def ndim(self) -> int:
        return self.host.ndim

    @property
    def size(self) -> int:
        return self.host.size

    def __len__(self) -> int:
        return len(self.host)

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getitem__(self, key: Any) -> DeviceArray:
        return self._made(self.host[_basic(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise NotImplementedError("CuPy may take an array of the host here or refuse it: nothing to count")
        self.device.counts.launches += 1
        self.host[_basic(key)] = value.host if isinstance(value, DeviceArray) else value

    def __eq__(self, other: object) -> Any:
        return self._computed(self.host == (other.host if isinstance(other, DeviceArray) else other))

    def reshape(self, *shape: Any, **how: Any) -> DeviceArray:
        return self._moved(self.host.reshape(*shape, **how))

    def ravel(self, *order: Any, **how: Any) -> DeviceArray:
        return self._moved(self.host.ravel(*order, **how))

    def view(self, dtype: Any) -> DeviceArray:
        return self._made(self.host.view(dtype))

    def transpose(self, axes: Any = None) -> DeviceArray:
        return self._made(self.host.transpose(axes))

    def astype(self, dtype: Any, *order: Any, copy: bool = True) -> DeviceArray:
        return self if not copy and dtype == self.dtype else self._computed(self.host.astype(dtype, *order))

    def copy(self) -> DeviceArray:
        return self._computed(self.host.copy())

    def fill(self, value: Any) -> None:
        self.device.counts.launches += 1
        self.host.fill(value)

    def all(self) -> DeviceArray:
        return self._computed(np.asarray(self.host.all()))

    def _made(self, values: Any) -> DeviceArray:
        return DeviceArray(np.asarray(values), self.device)

    def _computed(self, values: Any) -> DeviceArray:
        """What a kernel writes to new memory."""
        self.device.counts.launches += 1
        self.device.counts.allocations += 1
        return self._made(values)

    def _moved(self, values: NDArray[Any]) -> DeviceArray:
        shared = np.shares_memory(values, self.host) or not values.size
        return self._made(values) if shared else self._computed(values)


def _basic(key: Any) -> Any:
    """An index; arrays on the host as index would be uploaded, which no read here has."""
    if any(isinstance(part, np.ndarray) for part in (key if isinstance(key, tuple) else (key,))):
        raise NotImplementedError("indices that are arrays")
    return key


@dataclass(slots=True)
class CupyStandIn:
    """The functions of the module `cupy` that `zarr.core.buffer.gpu` calls."""

    counts: Counts = field(default_factory=Counts)

    def _new(self, values: NDArray[Any]) -> DeviceArray:
        self.counts.allocations += 1
        return DeviceArray(values, self)

    def _uploaded(self, values: NDArray[Any]) -> DeviceArray:
        self.counts.uploads += bool(values.nbytes)
        self.counts.uploaded_bytes += values.nbytes
        return self._new(values)

    def asarray(self, values: Any) -> DeviceArray:
        return values if isinstance(values, DeviceArray) else self._uploaded(np.array(values))

    asanyarray = asarray

    def array(self, values: Any, dtype: Any) -> DeviceArray:
        return self._uploaded(np.array(values, dtype))

    def frombuffer(self, data: Any, dtype: Any) -> DeviceArray:
        return self._uploaded(np.frombuffer(data, dtype).copy())

    def empty(self, shape: Any, dtype: Any, order: Any = "C") -> DeviceArray:
        return self._new(np.empty(shape, dtype, order))

    def concatenate(self, arrays: list[DeviceArray]) -> DeviceArray:
        self.counts.launches += 1
        return self._new(np.concatenate([array.host for array in arrays]))

    def asnumpy(self, array: Any) -> NDArray[Any]:
        if isinstance(array, DeviceArray):
            self.counts.downloads += 1
            self.counts.waits += 1
            self.counts.downloaded_bytes += array.host.nbytes
            return array.host.copy()
        return np.asarray(array)


@contextmanager
def zarr_gpu_mode() -> Iterator[CupyStandIn]:
    """zarr-python as after `zarr.config.enable_gpu()`, over the stand-in."""
    zarr: Any = import_module("zarr")
    gpu: Any = import_module("zarr.core.buffer.gpu")
    cupy, before = CupyStandIn(), gpu.cp
    gpu.cp = cupy
    try:
        with zarr.config.enable_gpu():
            yield cupy
    finally:
        gpu.cp = before
