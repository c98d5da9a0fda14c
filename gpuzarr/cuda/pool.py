"""Pinned and device memory that is used again, so that reads after the first allocate nothing."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.forks import tell_child

if TYPE_CHECKING:
    from gpuzarr.cuda.device import Block, Device

__all__ = ["Pool", "rounded"]

KEEP = 1 << 30
"""Bytes of pinned memory, and of device memory, that are kept while nobody uses them."""

LEAST = 4 << 10
"""Bytes of the smallest block."""


def rounded(nbytes: int) -> int:
    """The size of the block that `nbytes` get: four sizes a doubling, so that an eighth is wasted on average.

    >>> rounded(5000), rounded(8 << 20), rounded((8 << 20) + 1)
    (5120, 8388608, 10485760)
    """
    if nbytes <= LEAST:
        return LEAST
    step = 1 << ((nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step


@dataclass(slots=True)
class _Free:
    """A block that nobody uses once `after` has happened."""

    block: Any
    nbytes: int
    stream: int | None
    after: Any


class Pool:
    """The blocks of one device. Any thread may use it.

    >>> # slab = device.pool.staging(nbytes); device.upload(address, slab, stream)
    >>> # device.pool.give(slab, after=device.record(stream))
    """

    def __init__(self, device: Device, keep: int = KEEP) -> None:
        self._device, self._keep = device, keep
        self._lock = threading.Lock()
        self._staging: list[_Free] = []
        self._scratch: list[_Free] = []
        # By address. A block that is lost, not given back, is freed with the last view of it.
        self._lent: weakref.WeakValueDictionary[int, NDArray[np.uint8]] = weakref.WeakValueDictionary()
        tell_child(self)

    def forked(self) -> None:
        """The device is lost in a forked child, and says so: nobody must wait for a lock before that."""
        self._lock = threading.Lock()

    def staging(self, nbytes: int) -> NDArray[np.uint8]:
        """Pinned memory, at least one byte. What it holds is left over from its last use."""
        size = rounded(nbytes)
        with self._lock:
            found = self._take(self._staging, size, None)
        whole: NDArray[np.uint8] = self._device.staging(size) if found is None else found.block
        with self._lock:
            self._lent[_address(whole)] = whole
        return whole[:nbytes]

    def scratch(self, nbytes: int, stream: int) -> Block:
        """Device memory of at least `nbytes`, on a stream."""
        size = rounded(nbytes)
        with self._lock:
            found = self._take(self._scratch, size, stream)
        block: Block = self._device.scratch(size, stream) if found is None else found.block
        return block

    def give(self, *blocks: NDArray[np.uint8] | Block, after: Any = None) -> None:
        """Give back what `staging` and `scratch` lent. It is used again after an event; None: at once.

        Scratch memory that only its own stream used needs no event: what comes next on the stream comes later.
        """
        with self._lock:
            for block in blocks:
                if isinstance(block, np.ndarray):
                    whole = self._lent.pop(_address(block))
                    self._staging.append(_Free(whole, whole.nbytes, None, after))
                else:
                    self._scratch.append(_Free(block, block.nbytes, block.stream, after))
            self._drop(self._staging)
            self._drop(self._scratch)

    def clear(self) -> None:
        """Let go of all that nobody uses."""
        with self._lock:
            for free in (self._staging, self._scratch):
                self._drop(free, keep=0)

    @property
    def kept(self) -> tuple[int, int]:
        """Bytes of pinned memory and of device memory that are held for later."""
        with self._lock:
            staging, scratch = (sum(f.nbytes for f in free) for free in (self._staging, self._scratch))
            return staging, scratch

    def _take(self, free: list[_Free], size: int, stream: int | None) -> _Free | None:
        """The smallest block that fits without waste and that nobody uses any more."""
        best = -1
        for at, entry in enumerate(free):
            fits = size <= entry.nbytes <= 2 * size and entry.stream == stream
            if fits and (best < 0 or entry.nbytes < free[best].nbytes) and self._happened(entry.after):
                best = at
        return free.pop(best) if best >= 0 else None

    def _drop(self, free: list[_Free], keep: int | None = None) -> None:
        """Let go of the blocks given back first, until no more than `keep` bytes are held.

        Those whose event has not happened stay: a copy may still be writing to them.
        """
        held, keep = sum(entry.nbytes for entry in free), self._keep if keep is None else keep
        for entry in list(free):
            if held > keep and self._happened(entry.after):
                free.remove(entry)
                held -= entry.nbytes

    def _happened(self, event: Any) -> bool:
        return event is None or self._device.done(event)


def _address(block: NDArray[np.uint8]) -> int:
    address: int = block.__array_interface__["data"][0]
    return address
