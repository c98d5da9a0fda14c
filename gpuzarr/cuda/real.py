"""A CUDA device (or one of AMD, by CuPy's build for ROCm) through CuPy, which allocates, copies and launches.

Device and stream are set in every call, so that it does not matter which thread makes it. Whatever CuPy raises
becomes a DeviceError here, and running out of memory a DeviceMemoryError.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda import device as devices
from gpuzarr.cuda import nvcomp
from gpuzarr.cuda.device import Block
from gpuzarr.cuda.kernels import Kernels
from gpuzarr.cuda.nvcomp import DecodeCall, Nvcomp
from gpuzarr.cuda.pool import Pool
from gpuzarr.errors import DeviceError, DeviceMemoryError, GpuzarrError

__all__ = ["CudaDevice"]


class CudaDevice:
    """CUDA's device number `index`. `gpuzarr.cuda.device.device_of` makes one a process."""

    def __init__(self, index: int) -> None:
        import cupy

        self.index, self.name = index, f"cuda:{index}"
        self._cupy, self._runtime = cupy, cupy.cuda.runtime
        with _Border(self, ()):
            count = self._runtime.getDeviceCount()
            if not 0 <= index < count:
                raise DeviceError(f"the driver finds {count} devices, the first is cuda:0", device=self.name)
            name = self._runtime.getDeviceProperties(index)["name"]
        self.kind: str = name.decode() if isinstance(name, bytes) else str(name)
        self.pool = Pool(self)
        self._kernels = Kernels(self.name)
        self._streams: list[Any] = []
        self._lock = threading.Lock()

    def _on(self, stream: int | None = None, kernel: str | None = None) -> _Border:
        """A context with this device, and a stream of it, current."""
        if devices.forked():
            raise DeviceError(devices.FORKED, device=self.name)
        device = self._cupy.cuda.Device(self.index)  # a new one: contexts of CuPy are not for several threads
        return _Border(self, (device,) if stream is None else (device, self._stream(stream)), kernel)

    def _stream(self, stream: int) -> Any:
        kind = self._cupy.cuda.Stream
        if hasattr(kind, "from_external"):
            return kind.from_external(_Handle(stream))
        return self._cupy.cuda.ExternalStream(stream)  # CuPy before 14

    # -- nvCOMP --------------------------------------------------------------------------------------------------------

    @property
    def offer(self) -> Nvcomp | None:
        return nvcomp.load() if nvcomp.codecs() else None

    @property
    def codecs(self) -> frozenset[str]:
        return nvcomp.codecs()

    def why_not(self, codec: str) -> str | None:
        return nvcomp.why_not(codec)

    def nvcomp(self, call: DecodeCall, stream: int) -> None:
        with self._on(stream, f"nvCOMP {call.codec}"):
            nvcomp.decode(call, stream)

    # -- memory --------------------------------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C", stream: int | None = None) -> Any:
        with self._on(stream):
            return self._cupy.empty(shape, dtype, order=order)

    def compact(self, array: Any, stream: int) -> Any:
        cupy = self._cupy
        with self._on(stream):
            if array.dtype.kind in "biufc" and array.dtype.isnative:
                return cupy.ascontiguousarray(array)
            # CuPy has no kernels for other types: as bytes.
            shape, strides = (*array.shape, array.dtype.itemsize), (*array.strides, 1)
            raw = cupy.ascontiguousarray(cupy.ndarray(shape, np.uint8, memptr=array.data, strides=strides))
            return cupy.ndarray(array.shape, array.dtype, memptr=raw.data)

    def staging(self, nbytes: int) -> NDArray[np.uint8]:
        with self._on():
            pinned = self._cupy.cuda.alloc_pinned_memory(max(nbytes, 1))
            return np.frombuffer(pinned, np.uint8, nbytes)

    def scratch(self, nbytes: int, stream: int) -> Block:
        with self._on(stream):
            memory = self._cupy.cuda.alloc(nbytes)
            return Block(memory.ptr, nbytes, stream, memory)

    def free_memory(self) -> int:
        with self._on():
            free, _ = self._runtime.memGetInfo()
            return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def upload(self, address: int, data: NDArray[np.uint8], stream: int) -> None:
        with self._on(stream):
            kind = self._runtime.memcpyHostToDevice
            self._runtime.memcpyAsync(address, _host(data), data.nbytes, kind, stream)

    def download(self, data: NDArray[np.uint8], address: int, stream: int) -> None:
        with self._on(stream):
            kind = self._runtime.memcpyDeviceToHost
            self._runtime.memcpyAsync(_host(data), address, data.nbytes, kind, stream)

    def memset(self, address: int, nbytes: int, value: int, stream: int) -> None:
        with self._on(stream):
            self._runtime.memsetAsync(address, value, nbytes, stream)

    # -- order ---------------------------------------------------------------------------------------------------------

    def current_stream(self) -> int:
        with self._on():
            return int(self._cupy.cuda.get_current_stream().ptr)

    def new_stream(self) -> int:
        with self._on():
            stream = self._cupy.cuda.Stream(non_blocking=True)
        with self._lock:
            self._streams.append(stream)
        return int(stream.ptr)

    def launch(self, kernel: str, grid: int, block: int, args: Sequence[np.generic], stream: int) -> None:
        with self._on(stream, kernel):
            self._kernels.function(kernel)((grid,), (block,), tuple(args))

    def record(self, stream: int) -> Any:
        with self._on(stream):
            event = self._cupy.cuda.Event(disable_timing=True)
            self._runtime.eventRecord(event.ptr, stream)
            return event

    def wait(self, event: Any) -> None:
        with self._on():
            event.synchronize()

    def done(self, event: Any) -> bool:
        with self._on():
            return bool(event.done)

    def stream_waits(self, stream: int, event: Any) -> None:
        with self._on():
            self._runtime.streamWaitEvent(stream, event.ptr)

    def __repr__(self) -> str:
        return f"<{self.name} {self.kind}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return devices.device_of, (self.index,)


class _Handle:
    """A stream that is not CuPy's, by the protocol of `__cuda_stream__`."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


class _Border:
    """Enters contexts of CuPy, and makes its errors ours on the way out."""

    __slots__ = ("_contexts", "_device", "_entered", "_kernel")

    def __init__(self, device: CudaDevice, contexts: tuple[Any, ...], kernel: str | None = None) -> None:
        self._device, self._contexts, self._kernel = device, contexts, kernel
        self._entered: list[Any] = []

    def __enter__(self) -> None:
        try:
            for context in self._contexts:
                context.__enter__()
                self._entered.append(context)
        except RuntimeError as error:
            self._leave()
            raise self._translated(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if error is not None and not isinstance(error, GpuzarrError) and _is_cupys(error):
            raise self._translated(error) from error

    def _leave(self) -> None:
        while self._entered:
            self._entered.pop().__exit__(None, None, None)

    def _translated(self, error: BaseException) -> DeviceError:
        reason = str(error) or type(error).__name__
        if isinstance(error, MemoryError) or "MemoryAllocation" in reason or "OUT_OF_MEMORY" in reason:
            return DeviceMemoryError(f"out of memory: {reason}", device=self._device.name, kernel=self._kernel)
        return DeviceError(reason, device=self._device.name, kernel=self._kernel)


def _is_cupys(error: BaseException) -> bool:
    """Errors of the runtime, the driver and the compiler: all that is not a mistake of the caller's."""
    return isinstance(error, RuntimeError | MemoryError) or type(error).__name__ == "CompileException"


def _host(data: NDArray[np.uint8]) -> int:
    if not data.flags.c_contiguous:
        raise ValueError("only bytes in one piece are copied")
    address: int = data.__array_interface__["data"][0]
    return address
