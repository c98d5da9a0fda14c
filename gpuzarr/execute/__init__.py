"""The only room with effects: plans are carried out here, on the threads of an executor."""

from __future__ import annotations

import os
from typing import Any

from gpuzarr.execute.pool import Pool

__all__ = ["Executor", "default_executor"]


class Executor:
    """How plans are carried out.

    Parameters
    ----------
    threads
        Threads that fetch, decode and encode, the calling one counted in. By default one a core this process may
        use.
    native
        Whether to use the compiled host module where it is there; the results are the same.

    Executors may be shared by any number of arrays and threads. They start threads when first needed, drop them in
    a forked child, and pickle as their settings.

    >>> Executor(threads=2)
    Executor(threads=2, native=True)
    """

    def __init__(self, threads: int | None = None, *, native: bool = True) -> None:
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ValueError(f"threads must be a positive integer, not {threads!r}")
        self.threads = _cores() if threads is None else threads
        self.native = native
        self.pool = Pool(self.threads)

    def __repr__(self) -> str:
        return f"Executor(threads={self.threads}, native={self.native})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _executor, (self.threads, self.native)


def _executor(threads: int, native: bool) -> Executor:
    return Executor(threads, native=native)


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
