"""Testing GPU code on machines without a GPU: a simulated device, and the CUDA sources run on the CPU.

    with gpuzarr.testing.simulated_device() as device:
        array = gpuzarr.open_array("vol.zarr", meta_array="simulated")
        crop = array[:64, :64]                       # a cupy.ndarray; the host can't read it
        assert device.counts["downloads"] == 1       # nothing but the statuses came back
        values = gpuzarr.testing.to_host(crop)

It needs CuPy (any build; no GPU, no driver) and Linux.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from gpuzarr.cuda.device import device_at
from gpuzarr.forks import importing
from gpuzarr.memory import as_host
from gpuzarr.testing.device import COUNTS, SimulatedDevice

__all__ = ["COUNTS", "SimulatedDevice", "default", "simulated_device", "to_host"]

_current: list[SimulatedDevice] = []
_default: list[SimulatedDevice] = []


def default() -> SimulatedDevice:
    """The device that `meta_array="simulated"` names: that of the innermost `simulated_device()`, else one of its own.

    Like CUDA it does not survive a fork: a forked child of a process that used it gets a DeviceError.
    """
    with importing:
        if not _current and not _default:
            _default.append(SimulatedDevice())
        device = (_current or _default)[-1]
    device.require_process()
    return device


@contextmanager
def simulated_device(
    *, check: bool = False, memory: int = 8 << 30, nvcomp: bool = True
) -> Iterator[SimulatedDevice]:
    """A fresh simulated device of `memory` bytes, which "simulated" names meanwhile, and on which CuPy allocates.

    `check` looks at every access of every kernel: bounds, alignment, races, uninitialised memory. Without `nvcomp` the
    device has none. What was still to happen on its streams happens at the end, and what goes wrong in it is raised.
    """
    device = SimulatedDevice(check=check, memory=memory, nvcomp=nvcomp)
    import cupy

    with importing:
        _current.append(device)
    try:
        with cupy.cuda.using_allocator(device.allocator):
            yield device
        device.synchronize()
    finally:
        with importing:
            _current.remove(device)


def to_host(array: Any) -> NDArray[Any]:
    """What any result holds, as a NumPy array. From a simulated device it is counted as nothing.

    There only what the current stream has to do happens first: a result that is not ready on it is seen as it is.
    """
    if type(array).__module__.partition(".")[0] == "cupy":
        device = device_at(array.data.ptr, array.device.id)
        if isinstance(device, SimulatedDevice):
            return device.peek(array)
    return as_host(array)
