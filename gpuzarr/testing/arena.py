"""Memory with two addresses: one that is a device's, and that the host can't touch, and one by which it is simulated.

One sparse file in memory is mapped twice. The device's addresses have no access at all, so that a stray read or
write by the host ends the process; they are opened while a kernel runs, and only then. Pages take no memory before
they are touched, and large blocks give theirs back.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError, DeviceMemoryError

__all__ = ["Arena"]

ALIGN = 512
"""Blocks begin at multiples of this many bytes, as CUDA's do; as many between them belong to nobody."""

LARGE = 1 << 20
"""Bytes of a block whose pages are given back to the system."""

_NO_ACCESS, _READ_WRITE = 0, mmap.PROT_READ | mmap.PROT_WRITE


class Arena:
    """`size` bytes of device memory. Addresses are the device's throughout. One thread at a time may use it."""

    def __init__(self, size: int, name: str) -> None:
        self.size, self.name = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, name
        self._libc = _libc()
        self.base, self._mapping = self._map()
        self._bytes = np.frombuffer(self._mapping, np.uint8)
        self._free = [(0, self.size)]  # offset and size, in order, no two touching
        self._used: dict[int, int] = {}
        self._top = 0
        weakref.finalize(self, self._libc.munmap, self.base, self.size).atexit = False

    def _map(self) -> tuple[int, mmap.mmap]:
        if not hasattr(os, "memfd_create"):
            raise DeviceError("it needs Linux", device=self.name)
        try:
            file = os.memfd_create("gpuzarr")
            try:
                os.ftruncate(file, self.size)
                mapping = mmap.mmap(file, self.size, mmap.MAP_SHARED, _READ_WRITE)
                base = self._libc.mmap(None, self.size, _NO_ACCESS, mmap.MAP_SHARED, file, 0)
            finally:
                os.close(file)
        except OSError as error:
            raise DeviceMemoryError(f"no {self.size} bytes of addresses: {error}", device=self.name) from error
        if base in (None, ctypes.c_void_p(-1).value):
            raise DeviceMemoryError(f"no {self.size} bytes of addresses", device=self.name)
        return int(base), mapping

    # -- blocks --------------------------------------------------------------------------------------------------------

    def take(self, nbytes: int) -> int | None:
        """The address of a new block; None if there is no room."""
        need = (max(nbytes, 1) // ALIGN + 2) * ALIGN
        for at, (offset, size) in enumerate(self._free):
            if size >= need:
                rest = (offset + need, size - need)
                self._free[at : at + 1] = [rest] if rest[1] else []
                self._used[self.base + offset] = need
                self._top = max(self._top, offset + need)
                return self.base + offset
        return None

    def give(self, address: int) -> None:
        """Take a block back."""
        size = self._used.pop(address)
        offset = address - self.base
        at = bisect.bisect(self._free, (offset, 0))
        self._free.insert(at, (offset, size))
        for left in (at, at - 1):  # join it with its neighbours
            if 0 <= left < len(self._free) - 1 and sum(self._free[left]) == self._free[left + 1][0]:
                self._free[left : left + 2] = [(self._free[left][0], self._free[left][1] + self._free[left + 1][1])]
        if size >= LARGE:
            self._give_pages(offset, size)

    def _give_pages(self, offset: int, size: int) -> None:
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (offset + size - start) // mmap.PAGESIZE * mmap.PAGESIZE
        if length > 0:
            self._mapping.madvise(mmap.MADV_REMOVE, start, length)

    @property
    def free(self) -> int:
        """Bytes in no block."""
        return sum(size for _, size in self._free)

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def bytes(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """Device memory as the simulator sees it."""
        offset = address - self.base
        if not 0 <= offset <= offset + nbytes <= self.size:
            raise DeviceError(f"{address:#x} is no address of device memory", device=self.name)
        return self._bytes[offset : offset + nbytes]

    @contextmanager
    def open(self) -> Iterator[None]:
        """A context in which the device's own addresses can be used: that is how kernels run."""
        self._protect(_READ_WRITE)
        try:
            yield
        finally:
            self._protect(_NO_ACCESS)

    def _protect(self, access: int) -> None:
        length = -(-self._top // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._libc.mprotect(self.base, max(length, mmap.PAGESIZE), access):
            raise DeviceError(f"its memory can't be opened: {os.strerror(ctypes.get_errno())}", device=self.name)


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.restype, libc.mmap.argtypes = address, (address, size, number, number, number, ctypes.c_long)
    libc.mprotect.argtypes, libc.munmap.argtypes = (address, size, number), (address, size)
    return libc
