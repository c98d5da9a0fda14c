"""The one narrow door to a device: every copy, launch, event and allocation goes through it, explicitly.

`Device` is what gpuzarr needs of a device. `gpuzarr.cuda.real.CudaDevice` is one by CuPy, and
`gpuzarr.testing.SimulatedDevice` another, over memory that the host may not touch. A stream is an integer, the
handle of a `cudaStream_t`, and nothing happens on a stream that was not named. Memory belongs to the stream that it
was allocated on: other streams wait for an event of that one before they touch it, and it for theirs before the
memory is given back.

This module imports neither CuPy nor nvCOMP; what it finds of them, it finds when it is asked.
"""

from __future__ import annotations

import importlib
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError, UnsupportedError
from gpuzarr.forks import importing

if TYPE_CHECKING:
    from gpuzarr.cuda.nvcomp import DecodeCall, Nvcomp
    from gpuzarr.cuda.pool import Pool

__all__ = [
    "Block",
    "Device",
    "available",
    "device_at",
    "device_named",
    "device_of",
    "stream_handle",
    "why_not",
]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Device memory of `nbytes` from `address` on, allocated on `stream`; it lives as long as this object does."""

    address: int
    nbytes: int
    stream: int
    owner: Any


class Device(Protocol):
    """A device. Everything but `wait` returns at once; errors are DeviceErrors that name the device."""

    @property
    def name(self) -> str:
        """How `meta_array` names it: "cuda:0", "simulated"."""

    @property
    def kind(self) -> str:
        """What it is: "NVIDIA H200", "simulated"."""

    @property
    def index(self) -> int:
        """CUDA's number of it."""

    @property
    def pool(self) -> Pool:
        """Pinned and device memory that is used again."""

    @property
    def offer(self) -> Nvcomp | None:
        """nvCOMP as it is for this device: what it decodes, and what it needs for that; None where there is none."""

    @property
    def codecs(self) -> frozenset[str]:
        """What nvCOMP decodes here: some of zstd, deflate, gzip, snappy, lz4."""

    def why_not(self, codec: str) -> str | None:
        """Why nvCOMP does not decode a codec here; None if it does."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C", stream: int | None = None) -> Any:
        """A `cupy.ndarray` by CuPy's current allocator, on the current stream if none is named."""

    def compact(self, array: Any, stream: int) -> Any:
        """A `cupy.ndarray` in C order with the elements of one that may be strided anyhow."""

    def current_stream(self) -> int:
        """The stream on which the calling thread works if it names none."""

    def new_stream(self) -> int:
        """A stream of its own, which waits for no other and lives as long as the device does."""

    def staging(self, nbytes: int) -> NDArray[np.uint8]:
        """New pinned host memory, from and to which copies are asynchronous. `pool` has some to be used again."""

    def scratch(self, nbytes: int, stream: int) -> Block:
        """New device memory by CuPy's current allocator. `pool` has some to be used again."""

    def upload(self, address: int, data: NDArray[np.uint8], stream: int) -> None:
        """Copy pinned bytes to the device. They must not change before an event that is recorded after this."""

    def download(self, data: NDArray[np.uint8], address: int, stream: int) -> None:
        """Copy bytes from the device to pinned ones: they are there once an event recorded later was waited for."""

    def memset(self, address: int, nbytes: int, value: int, stream: int) -> None:
        """Set bytes of device memory."""

    def launch(self, kernel: str, grid: int, block: int, args: Sequence[np.generic], stream: int) -> None:
        """Start a kernel; arguments are NumPy scalars of its parameters' exact types, addresses `numpy.uint64`."""

    def nvcomp(self, call: DecodeCall, stream: int) -> None:
        """Start a batched decoding call of nvCOMP."""

    def record(self, stream: int) -> Any:
        """An event that happens when the stream has done all it was given so far."""

    def wait(self, event: Any) -> None:
        """Wait on the host until an event has happened."""

    def done(self, event: Any) -> bool:
        """Whether an event has happened."""

    def stream_waits(self, stream: int, event: Any) -> None:
        """Let a stream wait for an event of another; the host does not wait."""

    def free_memory(self) -> int:
        """Bytes of device memory that could still be allocated."""


# ---- streams ---------------------------------------------------------------------------------------------------------


def stream_handle(stream: Any) -> int:
    """The handle of a stream: an integer, a `cupy.cuda.Stream`, a `torch.cuda.Stream`, or what has `__cuda_stream__`.

    Raises UnsupportedError for anything else.

    >>> stream_handle(7)
    7
    """
    found: Any = None
    if isinstance(stream, int | np.integer) and not isinstance(stream, bool):
        found = stream
    elif hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__  # a method; a plain pair in the protocol's first edition
        found = (protocol() if callable(protocol) else protocol)[1]
    else:
        found = getattr(stream, "cuda_stream", getattr(stream, "ptr", None))
    if not isinstance(found, int | np.integer) or found < 0:
        what = f"stream= must be a CUDA stream of CuPy or torch, or its handle, not {stream!r}"
        raise UnsupportedError(what, feature="stream=")
    return int(found)


# ---- which devices there are -----------------------------------------------------------------------------------------

_devices: dict[int, Device] = {}
_state = {"asked": False, "forked": False}
_simulated: list[tuple[int, int, weakref.ref[Any]]] = []
"""Simulated devices: the addresses from and to which their memory lies."""

_PLACES = {"simulated": ("gpuzarr.testing", "default")}
"""Devices that are plugged in by name, so that no arrow runs from here to them: a module and its function."""

FORKED = "CUDA does not survive a fork: start worker processes by 'spawn' or 'forkserver' (multiprocessing_context=)"


def _after_fork() -> None:
    # The devices stay: to destroy what they hold would be to use CUDA.
    _state["forked"] = _state["forked"] or _state["asked"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Whether CUDA was used in the process that this one was forked from, so that it can't be used here."""
    return _state["forked"]


def why_not() -> str | None:
    """Why there is no CUDA device here, in words; None where there is one.

    >>> why_not() is None or len(why_not()) > 0
    True
    """
    if _state["forked"]:
        return FORKED
    try:
        with importing:
            cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"CuPy does not load ({error}): pip install gpuzarr[cuda13] or gpuzarr[cuda12]"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:
        driver = cupy.cuda.runtime.driverGetVersion()
        return f"no device: {error if driver else 'there is no driver'}"
    _state["asked"] = True  # even asking has started the driver, which a forked child then can't use
    return None if count else "no device: the driver finds none"


def available() -> bool:
    """Whether there is a CUDA device."""
    return why_not() is None


def device_of(index: int) -> Device:
    """The CUDA device of a number; one object a process. Raises DeviceError, which says why there is none."""
    with importing:
        if index not in _devices or _state["forked"]:
            reason = why_not()
            if reason is not None:
                raise DeviceError(reason, device=f"cuda:{index}")
            from gpuzarr.cuda.real import CudaDevice

            _devices[index] = CudaDevice(index)
        return _devices[index]


def device_named(word: str) -> Device:
    """The device of a word: "cuda" (the current one), "cuda:1", "simulated". Raises DeviceError."""
    if word in _PLACES:
        module, function = _PLACES[word]
        with importing:
            place = importlib.import_module(module)
        found: Device = getattr(place, function)()
        return found
    family, _, number = word.partition(":")
    if family != "cuda" or (number and not number.isdecimal()) or word.endswith(":"):
        raise DeviceError(f"{word!r} names no device", device=word)
    return device_of(int(number) if number else _current())


def _current() -> int:
    reason = why_not()
    if reason is not None:
        raise DeviceError(reason, device="cuda")
    import cupy

    return int(cupy.cuda.runtime.getDevice())


def device_at(address: int, index: int) -> Device:
    """The device on which an address lies: a simulated one, or CUDA's number `index`."""
    for low, high, known in tuple(_simulated):
        device: Device | None = known()
        if device is not None and low <= address < high:
            return device
    return device_of(index)


def add_simulated(low: int, high: int, device: Device) -> None:
    """Let the arrays whose memory lies in a range of addresses be known as those of a simulated device."""
    _simulated[:] = [known for known in _simulated if known[2]() is not None]
    _simulated.append((low, high, weakref.ref(device)))
