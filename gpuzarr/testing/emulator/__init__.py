"""The kernels, run on the CPU: the sources that a GPU's compiler takes, with CUDA's blocks, warps and barriers.

Three modes. `fast` runs them. `check` looks at every access to memory and raises at the first that a GPU would not
forgive: out of bounds, misaligned, of bytes never written, in a race, after a divergent barrier. `cover` counts how
often each source line ran, and the steps of threads. In all of them a launch ends: by itself, or by an error.

What this does not show: a weak memory model, real concurrency, time. Memory is the host's own, so addresses are too.

>>> import numpy as np
>>> from pathlib import Path
>>> source = Path(getfixture("tmp_path")) / "twice.cu"
>>> _ = source.write_text('''extern "C" __global__ void twice(unsigned* x) { x[threadIdx.x] *= 2; }''')
>>> x = np.arange(4, dtype=np.uint32)
>>> load(sources=[source]).launch("twice", 1, 4, [np.uint64(x.ctypes.data)])
>>> x
array([0, 2, 4, 6], dtype=uint32)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from gpuzarr.errors import DeviceError
from gpuzarr.native import kernel_folder
from gpuzarr.testing.emulator.build import MODES, build_library
from gpuzarr.testing.emulator.emulator import Emulator
from gpuzarr.testing.emulator.traffic import Traffic

__all__ = ["Emulator", "Traffic", "load", "source_folder"]

_LOADING = threading.Lock()  # one emulator for a library: its lock is what lets threads share it


def _after_fork() -> None:
    global _LOADING
    _LOADING = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def source_folder() -> Path:
    """Where the kernels' sources are: those of the installation, or in the folder that `GPUZARR_KERNELS` names."""
    named = os.environ.get("GPUZARR_KERNELS")
    return Path(named or str(kernel_folder()))


def load(
    mode: Literal["fast", "check", "cover"] = "fast",
    *,
    sources: Sequence[Path] | None = None,
    defines: Sequence[str] = (),
) -> Emulator:
    """The kernels of these sources (all of gpuzarr's own by default), compiled for this machine.

    Builds are kept between processes (see `build.py`), and one emulator is kept for each build. `defines` are
    macros, as `NAME` or `NAME=value`. Raises DeviceError where there is no compiler, or the sources have a mistake.
    """
    if mode not in MODES:
        raise DeviceError(f"no mode {mode!r}: there are {', '.join(MODES)}", device="emulator")
    if sources is None:
        sources = sorted(source_folder().glob("*.cu"))
    with _LOADING:
        return _load(mode, tuple(Path(source).resolve() for source in sources), tuple(defines))


@cache
def _load(mode: str, sources: tuple[Path, ...], defines: tuple[str, ...]) -> Emulator:
    return _emulator(build_library(mode, sources, defines), mode)


@cache
def _emulator(library: Path, mode: str) -> Emulator:
    return Emulator(library, mode)
