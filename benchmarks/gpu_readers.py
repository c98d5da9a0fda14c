"""Devices that are read into, and readers: each in the way its manual recommends.

Importing this module loads no library; opening by a reader does. Every library runs at its defaults on all cores; where
a default is something else than "use this machine", it is set here, with the reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.cuda import device as devices
from gpuzarr.cuda import nvcomp

__all__ = ["WAYS", "Cuda", "Machine", "Read", "Simulated", "Way"]

Read = Callable[[], Any]


class Machine(Protocol):
    """What is read into."""

    word: str

    def about(self) -> dict[str, Any]:
        """What it is."""

    def finish(self) -> None:
        """Wait until all is done."""

    def home(self, result: Any) -> NDArray[Any]:
        """A result in host memory."""


class Cuda:
    """CuPy's current device."""

    word = "cuda"

    def __init__(self) -> None:
        self.cupy = import_module("cupy")

    def about(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        device = devices.device_named("cuda")
        upload, copy = self.bandwidths(256 << 20)
        return {
            "device": device.kind,
            "device_memory": int(runtime.memGetInfo()[1]),
            "driver": runtime.driverGetVersion(),
            "cuda": runtime.runtimeGetVersion(),
            "nvcomp": nvcomp.load().describe() if nvcomp.codecs() else "none",
            "upload": upload,
            "copy": copy,
        }

    def bandwidths(self, nbytes: int, repetitions: int = 5) -> tuple[float, float]:
        """Bytes a second of copies from pinned memory to the device, and of copies on the device; medians."""
        cupy, runtime = self.cupy, self.cupy.cuda.runtime
        pinned = cupy.cuda.alloc_pinned_memory(nbytes)
        np.frombuffer(pinned, np.uint8, nbytes)[:] = 1
        here, there = cupy.empty(nbytes, np.uint8), cupy.empty(nbytes, np.uint8)
        stream = cupy.cuda.get_current_stream().ptr
        copies = (
            (here.data.ptr, pinned.ptr, runtime.memcpyHostToDevice),
            (there.data.ptr, here.data.ptr, runtime.memcpyDeviceToDevice),
        )
        found = []
        for target, source, kind in copies:
            times = []
            for _ in range(repetitions + 1):
                began = time.perf_counter()
                runtime.memcpyAsync(target, source, nbytes, kind, stream)
                self.finish()
                times.append(time.perf_counter() - began)
            found.append(nbytes / median(times[1:]))
        return found[0], found[1]

    def finish(self) -> None:
        self.cupy.cuda.Device().synchronize()

    def home(self, result: Any) -> NDArray[Any]:
        if not isinstance(result, self.cupy.ndarray):
            raise TypeError(f"the result is a {type(result).__name__}, not in device memory")
        values: NDArray[Any] = self.cupy.asnumpy(result)
        return values


class Simulated:
    """gpuzarr's simulated device."""

    word = "simulated"

    def __init__(self, device: Any) -> None:
        self.device = device

    def about(self) -> dict[str, Any]:
        offer = self.device.offer
        return {"device": self.device.kind, "nvcomp": offer.describe() if offer else "none"}

    def finish(self) -> None:
        self.device.synchronize()

    def home(self, result: Any) -> NDArray[Any]:
        values: NDArray[Any] = import_module("gpuzarr.testing").to_host(result)
        return values


# ---- readers ---------------------------------------------------------------------------------------------------------


def gpuzarr_decoding(where: Any) -> Callable[[Path, str], Read]:
    def opened(path: Path, word: str) -> Read:
        executor = gpuzarr.Executor(decode=where)
        array = gpuzarr.open_array(path, mode="r", meta_array=word, executor=executor)
        return lambda: array[...]

    return opened


def host_and_copy(path: Path, word: str) -> Read:
    array, cupy = gpuzarr.open_array(path, mode="r"), import_module("cupy")
    return lambda: cupy.asarray(array[...])


def zarr_python(path: Path, word: str, store: Callable[[Path], Any] = str) -> Read:
    zarr = import_module("zarr")
    with zarr.config.enable_gpu():
        array = zarr.open_array(store(path), mode="r")

    def read() -> Any:
        with zarr.config.enable_gpu():
            return array[...]

    return read


def kvikio(path: Path, word: str) -> Read:
    os.environ.setdefault("KVIKIO_NTHREADS", str(os.cpu_count()))  # its default is one thread
    return zarr_python(path, word, import_module("kvikio.zarr").GDSStore)


@dataclass(frozen=True, slots=True)
class Way:
    """A reader; `package` has to be installed, `simulated` says whether it knows the simulated device."""

    package: str
    title: str
    open: Callable[[Path, str], Read]
    simulated: bool = False

    def version(self) -> str:
        names = metadata.packages_distributions().get(self.package, [])  # kvikio is one of several, by CUDA's version
        return metadata.version(names[0]) if names else "source tree"

    def why_not(self, simulated: bool) -> str | None:
        """Why it can't be measured here, or None."""
        if find_spec(self.package) is None:
            return "not installed"
        return "needs a GPU" if simulated and not self.simulated else None


WAYS = {
    "gpuzarr": Way("gpuzarr", "decoded on the device", gpuzarr_decoding("device"), simulated=True),
    "gpuzarr-host": Way("gpuzarr", "decoded by threads, one upload a window", gpuzarr_decoding("host"), simulated=True),
    "host+copy": Way("gpuzarr", "decoded into host memory, then cupy.asarray", host_and_copy),
    "zarr": Way("zarr", "zarr.config.enable_gpu()", zarr_python),
    "kvikio": Way("kvikio", "the same over kvikio.zarr.GDSStore", kvikio),
}
