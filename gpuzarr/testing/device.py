"""The simulated device: real `cupy.ndarray` objects over memory that the host may not touch, on any Linux machine.

What is strict about it: a copy that nobody asked for raises or ends the process; every effect is counted; streams are
as lazy as CUDA allows (see `streams.py`), and memory belongs to the stream it was allocated on; bytes on their way to
the device must be pinned and must not change; new memory is full of 0xC5 and returned memory of 0xDD. Kernels are the
CUDA sources, run by `gpuzarr.testing.emulator`.
"""

from __future__ import annotations

import math
import mmap
import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda import device as devices
from gpuzarr.cuda.device import Block
from gpuzarr.cuda.nvcomp import DecodeCall
from gpuzarr.cuda.pool import Pool
from gpuzarr.errors import DeviceError, DeviceMemoryError
from gpuzarr.forks import importing, module, tell_child
from gpuzarr.memory.cuda import shadow
from gpuzarr.testing.arena import Arena
from gpuzarr.testing.blocks import Blocks, Memory, Owner
from gpuzarr.testing.nvcomp import SimulatedNvcomp
from gpuzarr.testing.streams import Event, Streams

__all__ = ["COUNTS", "SimulatedDevice"]

COUNTS = (
    *("launches", "nvcomp", "memsets", "copies", "waits", "stream_waits"),
    *("uploads", "uploaded_bytes", "downloads", "downloaded_bytes"),
    *("allocations", "allocated_bytes", "pinned_allocations"),
)
"""What is counted. `copies` are those on the device that CuPy makes of strided arrays that are written."""

FRESH, RETURNED, EXPECTED = 0xC5, 0xDD, 0xA5
"""Bytes of new memory, of memory that was given back, and of host memory that a download is to fill."""


class SimulatedDevice:
    """A device of `memory` bytes, of which only those that are used take any. See `gpuzarr.testing.simulated_device`.

    `counts` holds how often things happened since `reset`. With `check` the emulator looks at every access of every
    kernel, which is slow; without `nvcomp` there is none. Raises DeviceError where there is no CuPy or no Linux.
    """

    name = kind = "simulated"
    index = 0

    def __init__(self, *, check: bool = False, memory: int = 8 << 30, nvcomp: bool = True) -> None:
        self._cupy = _cupy()
        self._lock = threading.RLock()
        self._blocks, self._streams = Blocks(Arena(memory, self.name)), Streams()
        self._arena = self._blocks.arena
        self._pinned: weakref.WeakValueDictionary[int, NDArray[np.uint8]] = weakref.WeakValueDictionary()
        self._thread, self._last_stream = threading.local(), 0
        self._lost = False
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.check = check
        self._emulator: Any = None
        if check:
            self._emulator = self._load()
            weakref.finalize(self, _forget, self._emulator, self._blocks).atexit = False
        self.offer = SimulatedNvcomp(self._decoded, wrote=self._written) if nvcomp else None
        self.pool = Pool(self)
        devices.add_simulated(self._arena.base, self._arena.base + self._arena.size, self)
        tell_child(self)

    def reset(self) -> None:
        """Set all counts to zero."""
        with self._call():
            self.counts.update(dict.fromkeys(COUNTS, 0))

    def synchronize(self) -> None:
        """Let all happen that was asked for; what goes wrong in it is raised. Counted as nothing."""
        with self._call():
            self._streams.run_all()

    def forked(self) -> None:
        """Be of no use any more, in a forked child."""
        self._lost, self._lock = True, threading.RLock()

    def require_process(self) -> None:
        """Raises DeviceError in a process that was forked from that of the device."""
        if self._lost:
            raise DeviceError(devices.FORKED, device=self.name)

    @contextmanager
    def _call(self, stream: int | None = None, **counted: int) -> Iterator[None]:
        """One call from outside: one at a time, on a stream that there is, counted."""
        self.require_process()
        with self._lock:
            if stream is not None and not (stream in (0, 1, 2) or 0 < stream // STREAM <= self._last_stream):
                raise DeviceError(f"{stream} is no stream of this device", device=self.name)
            for memory in self._blocks.dropped():
                self._return(memory)
            yield
            for name, number in counted.items():
                self.counts[name] += number

    # -- memory --------------------------------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C", stream: int | None = None) -> Any:
        stream = self.current_stream() if stream is None else stream
        nbytes = math.prod(shape) * dtype.itemsize
        return self._cupy.ndarray(shape, dtype, memptr=self._pointer(nbytes, stream), order=order)

    def scratch(self, nbytes: int, stream: int) -> Block:
        memory = self._allocated(nbytes, stream)
        return Block(memory.address, nbytes, stream, Owner(self, memory, self._blocks))

    def allocator(self, nbytes: int) -> Any:
        """What CuPy allocates by inside `simulated_device()`."""
        return self._pointer(int(nbytes), self.current_stream())

    def _pointer(self, nbytes: int, stream: int) -> Any:
        memory = self._allocated(nbytes, stream)
        owner = Owner(self, memory, self._blocks)
        held = self._cupy.cuda.UnownedMemory(memory.address, max(nbytes, 1), owner, self.index)
        return self._cupy.cuda.MemoryPointer(held, 0)

    def _allocated(self, nbytes: int, stream: int) -> Memory:
        with self._call(stream, allocations=1, allocated_bytes=nbytes):
            memory = self._blocks.take(nbytes, stream)
            if memory is None:
                self._streams.run_all()  # what was given back and waits for its stream
                memory = self._blocks.take(nbytes, stream)
            if memory is None:
                what = f"{nbytes} bytes do not fit: {self._arena.free} of {self._arena.size} are free"
                raise DeviceMemoryError(what, device=self.name)
            self._streams.put(stream, partial(self._begin, memory))
            return memory

    def _begin(self, memory: Memory) -> None:
        """The stream has come to where the memory was allocated."""
        memory.begun = True
        self._arena.bytes(memory.address, memory.nbytes)[...] = FRESH
        if self.check:
            tag = f"{memory.nbytes} bytes allocated on stream {memory.stream}"
            self._emulator.register(memory.address, max(memory.nbytes, 1), initialised=False, tag=tag)

    def _return(self, memory: Memory) -> None:
        """The last array or block on it is gone; its stream gives it back when it comes to this."""
        memory.freed = True
        self._streams.put(memory.stream, partial(self._end, memory), eager=True)

    def _end(self, memory: Memory) -> None:
        if self.check and memory.begun:
            self._emulator.unregister(memory.address)
        self._arena.bytes(memory.address, memory.nbytes)[...] = RETURNED
        self._blocks.give(memory)

    def free_memory(self) -> int:
        with self._call():
            return self._arena.free

    # -- pinned memory and copies --------------------------------------------------------------------------------------

    def staging(self, nbytes: int) -> NDArray[np.uint8]:
        with self._call(pinned_allocations=1):
            pinned = np.frombuffer(mmap.mmap(-1, max(nbytes, 1)), np.uint8)
            pinned[...] = FRESH
            self._pinned[_host(pinned)] = pinned
            return pinned if nbytes else pinned[:0]

    def _require_pinned(self, data: NDArray[np.uint8], what: str) -> None:
        start = _host(data)
        if not data.flags.c_contiguous or data.dtype != np.uint8:
            raise DeviceError(f"{what}: only bytes in one piece are copied", device=self.name)
        for known, pinned in self._pinned.items():
            if known <= start and start + data.nbytes <= known + pinned.nbytes:
                return
        raise DeviceError(f"{what}: the host's memory is not pinned", device=self.name)

    def upload(self, address: int, data: NDArray[np.uint8], stream: int) -> None:
        with self._call(stream, uploads=1, uploaded_bytes=data.nbytes):
            memory = self._blocks.use(address, data.nbytes, "an upload")
            self._require_pinned(data, "an upload")
            before = zlib.crc32(data.data)

            def effect() -> None:
                self._blocks.require(memory, stream, "an upload")
                if zlib.crc32(data.data) != before:
                    what = "pinned memory was changed before its upload: no event was waited for"
                    raise DeviceError(what, device=self.name)
                self._put(address, data)

            self._streams.put(stream, effect)

    def download(self, data: NDArray[np.uint8], address: int, stream: int) -> None:
        with self._call(stream, downloads=1, downloaded_bytes=data.nbytes):
            memory = self._blocks.use(address, data.nbytes, "a download")
            self._require_pinned(data, "a download")
            data[...] = EXPECTED
            before = zlib.crc32(data.data)

            def effect() -> None:
                self._blocks.require(memory, stream, "a download")
                if zlib.crc32(data.data) != before:
                    what = "pinned memory was changed before its download: no event was waited for"
                    raise DeviceError(what, device=self.name)
                data[...] = self._arena.bytes(address, data.nbytes)

            self._streams.put(stream, effect)

    def memset(self, address: int, nbytes: int, value: int, stream: int) -> None:
        with self._call(stream, memsets=1):
            memory = self._blocks.use(address, nbytes, "a memset")

            def effect() -> None:
                self._blocks.require(memory, stream, "a memset")
                self._put(address, np.full(nbytes, value, np.uint8))

            self._streams.put(stream, effect)

    def _put(self, address: int, data: NDArray[np.uint8]) -> None:
        self._arena.bytes(address, data.nbytes)[...] = data
        self._written(address, data.nbytes)

    def _written(self, address: int, nbytes: int) -> None:
        if self.check:
            self._emulator.initialise(address, nbytes)

    def compact(self, array: Any, stream: int) -> Any:
        result = self.empty(array.shape, array.dtype, stream=stream)
        with self._call(stream, copies=1):
            memory = self._blocks.use(array.data.ptr, array.dtype.itemsize, "a copy") if array.size else None

            def effect() -> None:
                if memory is not None:
                    self._blocks.require(memory, stream, "a copy")
                self._put(result.data.ptr, np.frombuffer(self._copy(array).tobytes(), np.uint8))

            self._streams.put(stream, effect)
        return result

    def _copy(self, array: Any) -> NDArray[Any]:
        """The elements of a device array, now."""
        inside = self._arena.bytes(self._arena.base, 0).__array_interface__["data"][0] - self._arena.base
        return shadow(array.data.ptr + inside, array.shape, array.strides, array.dtype).copy()

    def peek(self, array: Any) -> NDArray[Any]:
        """A copy on the host of what an array holds when the current stream has done its work; counted as nothing.

        That is what a user sees who reads it on that stream: other streams do only what this one waits for.
        """
        with self._call():
            stream = self.current_stream()
            self._streams.run(stream)
            if array.size:
                self._blocks.require(self._blocks.use(array.data.ptr, array.dtype.itemsize, "a look"), stream, "a look")
            return self._copy(array)

    # -- kernels and codecs --------------------------------------------------------------------------------------------

    def _load(self) -> Any:
        return module("gpuzarr.testing.emulator").load("check" if self.check else "fast")

    def launch(self, kernel: str, grid: int, block: int, args: Sequence[np.generic], stream: int) -> None:
        with self._call(stream, launches=1):
            if self._emulator is None:
                self._emulator = self._load()
            if kernel not in self._emulator.kernels():
                raise DeviceError("there is no such kernel", device=self.name, kernel=kernel)
            for arg in args:
                if not isinstance(arg, np.generic):
                    what = f"an argument is of {type(arg).__name__}, not a NumPy scalar"
                    raise DeviceError(what, device=self.name, kernel=kernel)
            used = [self._blocks.use(int(arg), 0, f"{kernel}, an argument") for arg in args if self._is_address(arg)]

            def effect() -> None:
                for memory in used:
                    self._blocks.require(memory, stream, kernel)
                with self._arena.open():
                    self._emulator.launch(kernel, grid, block, args)

            self._streams.put(stream, effect)

    def _is_address(self, arg: np.generic) -> bool:
        return isinstance(arg, np.uint64) and 0 <= int(arg) - self._arena.base < self._arena.size

    @property
    def codecs(self) -> frozenset[str]:
        return self.offer.codecs if self.offer else frozenset()

    def why_not(self, codec: str) -> str | None:
        return self.offer.why_not(codec) if self.offer else "nvCOMP is not there"

    def nvcomp(self, call: DecodeCall, stream: int) -> None:
        what, offer = f"nvCOMP {call.codec}", self.offer
        if offer is None:
            raise DeviceError("nvCOMP is not there", device=self.name, kernel=what)
        with self._call(stream, nvcomp=1):
            columns = (call.src, call.size, call.dst, call.room, call.found)
            used = [self._blocks.use(address, 8 * call.n, what) for address in columns]
            used += [self._blocks.use(call.status, 4 * call.n, what)]
            used += [self._blocks.use(call.temp, call.temp_bytes, what)] if call.temp_bytes else []

            def effect() -> None:
                for memory in used:
                    self._blocks.require(memory, stream, what)
                offer.decode(call, stream)

            self._streams.put(stream, effect)

    def _decoded(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """Memory that nvCOMP's columns name."""
        memory = self._blocks.find(address, nbytes)
        if memory is None or not memory.begun:
            raise DeviceError(f"{nbytes} bytes at {address:#x} are not allocated", device=self.name, kernel="nvCOMP")
        return self._arena.bytes(address, nbytes)

    # -- order ---------------------------------------------------------------------------------------------------------

    def current_stream(self) -> int:
        return int(getattr(self._thread, "stream", 0))

    def new_stream(self) -> int:
        with self._call():
            self._last_stream += 1
            return self._last_stream * STREAM

    @contextmanager
    def stream(self, handle: int) -> Iterator[int]:
        """A context in which a stream is the calling thread's current one."""
        before = self.current_stream()
        self._thread.stream = handle
        try:
            yield handle
        finally:
            self._thread.stream = before

    def record(self, stream: int) -> Event:
        with self._call(stream):
            return self._streams.event(stream)

    def wait(self, event: Event) -> None:
        with self._call(waits=1):
            self._streams.reach(event)

    def done(self, event: Event) -> bool:
        with self._call():
            return self._streams.happened(event)

    def stream_waits(self, stream: int, event: Event) -> None:
        with self._call(stream, stream_waits=1):
            self._streams.put(stream, self._streams.waiting(event))

    def __repr__(self) -> str:
        return "<simulated device>"

    def __reduce__(self) -> tuple[Any, ...]:
        return devices.device_named, (self.name,)


STREAM = 0x1000
"""Handles of streams are multiples of this: nothing that is likely to be something else."""


def _forget(emulator: Any, blocks: Blocks) -> None:
    """The emulator outlives devices: what it knows of their memory must not."""
    for memory in blocks:
        if memory.begun:
            emulator.unregister(memory.address)


def _cupy() -> Any:
    try:
        with importing:
            import cupy
    except ImportError as error:
        what = f"CuPy does not load ({error}): pip install cupy-cuda13x (no GPU is needed)"
        raise DeviceError(what, device="simulated") from error
    return cupy


def _host(data: NDArray[np.uint8]) -> int:
    address: int = data.__array_interface__["data"][0]
    return address
