"""The only room with effects: plans are carried out here, on the threads of an executor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from gpuzarr.cuda.decoders import Asked, asked_of
from gpuzarr.execute.pool import Pool

__all__ = ["Executor", "default_executor"]


WINDOW, DEVICE_MEMORY = 128 << 20, 2 << 30
"""Bytes by default: some thousand chunks of 64 KiB, which keep a large GPU busy; and no more than any GPU has."""

TIMES = 8
"""Device memory of a window in its decoded bytes: stored ones and tables 2, decoded and unshuffled 2, temporary 4."""


class Executor:
    """How plans are carried out.

    Parameters
    ----------
    threads
        Threads that fetch, decode and encode, the calling one counted in. By default one a core this process may
        use.
    native
        Whether to use the compiled host module where it is there; the results are the same.
    window
        Decoded bytes of a window at most (one chunk at least) where results are made on a device. Two windows are
        in flight: while the device decodes one, the next is fetched.
    device_memory
        Bytes of device memory, besides results, that the windows of a read may take: stored bytes, tables and what
        is decoded before it is scattered. Windows are made smaller to keep to it.
    decode
        Where chunks are decoded whose results are made on a device: "device", "host" (by threads, before the one
        upload), or "auto": wherever it takes less time by the estimate that `explain()` shows.
    codecs
        Which of two implementations decodes compressed streams on a device: "own" (kernels of gpuzarr, and never
        nvCOMP), "nvcomp" (nvCOMP where it is there and takes the stream, else our kernel), or "auto" (the one that
        docs/gpu.md gives). A mapping says so by compressor, those inside of Blosc too: `{"zstd": "own"}`.

    Executors may be shared by any number of arrays and threads. They start threads when first needed, drop them in
    a forked child, and pickle as their settings.

    Raises ValueError for settings that there are not.

    >>> Executor(threads=2)
    Executor(threads=2, native=True)
    >>> Executor(threads=2, codecs={"zstd": "own"})
    Executor(threads=2, native=True, codecs={'zstd': 'own'})
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        native: bool = True,
        window: int = WINDOW,
        device_memory: int = DEVICE_MEMORY,
        decode: Literal["auto", "device", "host"] = "auto",
        codecs: Asked | Mapping[str, Asked] = "auto",
    ) -> None:
        if decode not in ("auto", "device", "host"):
            raise ValueError(f'decode must be "auto", "device" or "host", not {decode!r}')
        given = {"threads": 1 if threads is None else threads, "window": window, "device_memory": device_memory}
        for name, n in given.items():
            if type(n) is not int or n < 1:
                raise ValueError(f"{name} must be a positive integer, not {n!r}")
        self.threads = _cores() if threads is None else threads
        self.native = native
        self._window, self._device_memory = window, device_memory
        self.decode: Literal["auto", "device", "host"] = decode
        self.asked = asked_of(codecs)
        self.codecs: Asked | dict[str, Asked] = dict(codecs) if isinstance(codecs, Mapping) else codecs
        self.pool = Pool(self.threads)

    @property
    def window(self) -> int:
        """Decoded bytes of a window: those asked for, or fewer to keep to the device memory."""
        return min(self._window, self._device_memory // (2 * TIMES))

    def __repr__(self) -> str:
        more = "" if self.decode == "auto" else f", decode={self.decode!r}"
        more += "" if self._window == WINDOW else f", window={self._window}"
        more += "" if self._device_memory == DEVICE_MEMORY else f", device_memory={self._device_memory}"
        more += "" if self.codecs == "auto" else f", codecs={self.codecs!r}"
        return f"Executor(threads={self.threads}, native={self.native}{more})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _executor, (self.threads, self.native, self._window, self._device_memory, self.decode, self.codecs)


def _executor(threads: int, native: bool, window: int, device_memory: int, decode: Any, codecs: Any) -> Executor:
    how = {"window": window, "device_memory": device_memory, "decode": decode, "codecs": codecs}
    return Executor(threads, native=native, **how)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_default: list[Executor] = []


def default_executor() -> Executor:
    """The executor of arrays that were not given one."""
    if not _default:
        _default.append(Executor())
    return _default[0]
