"""A process for one peer: it measures one operation at a time, when told to, and stays alive between them.

The first half runs in the process, the second drives it from outside. Nothing of the harness runs while a
call is timed.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .peers import PEERS, Peer, UnsupportedError
from .sizes import SIZES
from .workloads import Call, workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection

__all__ = ["Answer", "PeerError", "Sample", "Worker", "digest", "measure"]

LIMIT = 900.0  # seconds one operation may take before its process is given up
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition: seconds on the wall, CPU seconds of all threads, growth of the peak memory in bytes."""

    wall: float
    cpu: float
    peak: int | None  # None where the system does not tell


@dataclass(frozen=True, slots=True)
class Answer:
    """What the calls returned: bytes, number of calls, checksum over values, shapes and dtypes."""

    nbytes: int
    calls: int
    checksum: int


class PeerError(Exception):
    """A peer gave no figure; the message says why."""


def digest(result: Any, checksum: int = 0) -> tuple[int, int]:
    """The bytes of a call's result and the checksum so far; a listing or a shape counts as its text.

    >>> digest(np.zeros(4, "u2")) == digest(np.zeros(4, "i2"))
    False
    """
    if isinstance(result, np.ndarray | np.generic):
        checksum = zlib.crc32(f"{result.shape} {result.dtype.str}".encode(), checksum)
        return result.nbytes, zlib.crc32(np.ascontiguousarray(result).data, checksum)
    if isinstance(result, list) and result and isinstance(result[0], np.ndarray):
        sizes = 0
        for item in result:
            size, checksum = digest(item, checksum)
            sizes += size
        return sizes, checksum
    text = repr(result).encode()
    return len(text), zlib.crc32(text, checksum)


def peak_memory() -> int | None:
    """The most memory resident at once since `forget_peak`, in bytes."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def forget_peak() -> int | None:
    """Start the peak anew; returns the memory resident now (Linux: proc(5), clear_refs)."""
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return None
    return peak_memory()


def measure(calls: Iterable[Call]) -> tuple[Sample, Answer]:
    """Time the calls alone: opening before them and checking after them is left out.

    The peak memory is taken once over all calls: asking between short calls would cool the caches they run
    on.
    """
    gc.collect()
    wall = cpu = 0.0
    before: int | None = None
    nbytes = count = checksum = 0
    for call in calls:
        if not count:
            before = forget_peak()
        cpu_start, start = time.process_time(), time.perf_counter()
        result = call()
        wall += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
        size, checksum = digest(result, checksum)
        nbytes, count = nbytes + size, count + 1
        del result
    after = peak_memory()
    growth = None if before is None or after is None else after - before
    return Sample(wall, cpu, growth), Answer(nbytes, count, checksum)


def serve(pipe: Connection, peer: str, size: str, folder: Path) -> None:
    """Answer requests (names of workloads) until the other side hangs up; the first loads the library."""
    load: Callable[[], Peer] = cache(PEERS[peer])
    known = {workload.name: workload for workload in workloads(SIZES[size])}
    while True:
        try:
            name = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(measure(known[name].calls(load, folder)))
        except (UnsupportedError, NotImplementedError) as error:
            pipe.send(UnsupportedError(str(error)))
        except Exception as error:  # noqa: BLE001  any fault of a peer is reported, and ends no run
            pipe.send(PeerError(f"{type(error).__name__}: {error}"))


class Worker:
    """One such process, seen from outside; started when it is first needed, and again after a crash."""

    def __init__(self, peer: str, size: str, folder: Path) -> None:
        self.arguments = (peer, size, folder)
        self.process: Any = None
        self.pipe: Connection | None = None

    def run(self, name: str) -> tuple[Sample, Answer]:
        """One repetition of a workload.

        Raises `UnsupportedError` where the library has no such operation, `PeerError` where it raised,
        crashed or hung.
        """
        pipe = self.pipe or self.start()
        try:
            pipe.send(name)
            if not pipe.poll(LIMIT):
                raise EOFError
            reply = pipe.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise PeerError(f"its process ended or took longer than {LIMIT:.0f} s") from error
        if isinstance(reply, Exception):
            raise reply
        sample, answer = reply
        return sample, answer

    def start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, *self.arguments), daemon=True)
        self.process.start()
        other.close()
        return self.pipe

    def close(self) -> None:
        """Hang up, and end the process if it does not end by itself."""
        if self.pipe is None:
            return
        self.pipe.close()
        self.pipe = None
        self.process.join(5)
        if self.process.is_alive():
            os.kill(self.process.pid, 9)
            self.process.join()
