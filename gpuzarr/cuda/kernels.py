"""The CUDA sources: found, made into one text each, compiled for a device when first needed, and kept.

CuPy compiles by NVRTC (by hipRTC in its build for ROCm) and keeps the results on disk. Its key for them is the text,
not the files the text includes, so `common.cuh` is put into each text here.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

from gpuzarr.errors import DeviceError
from gpuzarr.native import kernel_folder

__all__ = ["OPTIONS", "Kernels", "kernel_files", "kernel_text"]

OPTIONS = ("-std=c++17",)
"""Of every compilation; CuPy adds the device's architecture."""

_KERNEL = re.compile(r'(?:extern\s+"C"\s+__global__[^;{]*?\b|^GZ_[A-Z_]+\()(gz_\w+)\s*[(,]', re.MULTILINE)
"""A kernel's name where it is defined: plainly, or by a macro at the start of a line."""

_INCLUDE = re.compile(r'^#include "([\w.]+)".*$', re.MULTILINE)


@cache
def kernel_files() -> dict[str, str]:
    """For each kernel, the file that holds it.

    >>> all(name.startswith("gz_") and file.endswith(".cu") for name, file in kernel_files().items())
    True
    """
    files = sorted(entry.name for entry in kernel_folder().iterdir() if entry.name.endswith(".cu"))
    return {name: file for file in files for name in _KERNEL.findall(_read(file))}


@cache
def kernel_text(file: str) -> str:
    """A source with what it includes put in its place; messages still name the file and line of the original."""
    return _with_includes(file, set())


def _with_includes(file: str, seen: set[str]) -> str:
    text = _read(file)
    seen.add(file)

    def included(match: re.Match[str]) -> str:
        after = text.count("\n", 0, match.start()) + 2
        inside = "" if match[1] in seen else _with_includes(match[1], seen)
        return f'{inside}\n#line {after} "{file}"'

    return f'#line 1 "{file}"\n' + _INCLUDE.sub(included, text)


def _read(file: str) -> str:
    return (kernel_folder() / file).read_text("utf-8").replace("#pragma once\n", "\n")


class Kernels:
    """The kernels of one device, which has to be current when one is asked for."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._modules: dict[str, Any] = {}
        self._functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """A kernel as a `cupy.RawKernel`. Raises DeviceError for one there is none of."""
        found = self._functions.get(name)
        return self._made(name) if found is None else found

    def _made(self, name: str) -> Any:
        file = kernel_files().get(name)
        if file is None:
            raise DeviceError("there is no such kernel", device=self._device, kernel=name)
        with self._lock:
            if file not in self._modules:
                import cupy

                self._modules[file] = cupy.RawModule(code=kernel_text(file), options=OPTIONS)
            self._functions[name] = self._modules[file].get_function(name)
            return self._functions[name]
