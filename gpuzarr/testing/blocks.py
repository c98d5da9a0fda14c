"""Allocations of the simulated device: of which stream they are, how far that has come, and who may use them."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from typing import Any

from gpuzarr.errors import DeviceError
from gpuzarr.testing.arena import Arena

__all__ = ["Blocks", "Memory", "Owner"]


class Memory:
    """One allocation. It is `begun` when its stream has come to where it was allocated, `freed` when nobody has it
    any more, and `gone` when its stream has come to that, so that others may get it.
    """

    __slots__ = ("address", "begun", "freed", "gone", "nbytes", "stream")

    def __init__(self, address: int, nbytes: int, stream: int) -> None:
        self.address, self.nbytes, self.stream = address, nbytes, stream
        self.begun = self.freed = self.gone = False

    def __str__(self) -> str:
        return f"memory of {self.nbytes} bytes at {self.address:#x} of stream {self.stream}"


class Owner:
    """Lives as long as some array or block on the memory does, and has the device live as long.

    Any thread may drop the last one at any time, by collecting garbage too: so this only takes a note.
    """

    __slots__ = ("_blocks", "_device", "_memory")

    def __init__(self, device: Any, memory: Memory, blocks: Blocks) -> None:
        self._device, self._memory, self._blocks = device, memory, blocks

    def __del__(self) -> None:
        self._blocks.drop(self._memory)


class Blocks:
    """The allocations in an arena. One thread at a time may use it, but `drop` anyone at any time."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._starts: list[int] = []
        self._memory: dict[int, Memory] = {}
        self._dropped: deque[Memory] = deque()

    def __iter__(self) -> Iterator[Memory]:
        return iter(tuple(self._memory.values()))

    def take(self, nbytes: int, stream: int) -> Memory | None:
        """A new allocation; None if there is no room."""
        address = self.arena.take(nbytes)
        if address is None:
            return None
        memory = self._memory[address] = Memory(address, nbytes, stream)
        bisect.insort(self._starts, address)
        return memory

    def drop(self, memory: Memory) -> None:
        """Nobody has the memory any more."""
        self._dropped.append(memory)

    def dropped(self) -> Iterator[Memory]:
        """What was dropped since this was asked last."""
        while self._dropped:
            yield self._dropped.popleft()

    def give(self, memory: Memory) -> None:
        """Give memory back to the arena."""
        memory.gone = True
        del self._memory[memory.address]
        del self._starts[bisect.bisect_left(self._starts, memory.address)]
        self.arena.give(memory.address)

    def find(self, address: int, nbytes: int) -> Memory | None:
        """The memory that some bytes lie in."""
        at = bisect.bisect_right(self._starts, address) - 1
        memory = self._memory[self._starts[at]] if at >= 0 else None
        inside = memory is not None and address + nbytes <= memory.address + max(memory.nbytes, 1)
        return memory if inside else None

    def use(self, address: int, nbytes: int, what: str) -> Memory:
        """The memory that a call names, which somebody must have now. Raises DeviceError."""
        memory = self.find(address, nbytes)
        if memory is None or memory.freed:
            there = "" if memory is None else f" any more: {memory}"
            reason = f"{what} of {nbytes} bytes at {address:#x}: not allocated{there}"
            raise DeviceError(reason, device=self.arena.name)
        return memory

    def require(self, memory: Memory, stream: int, what: str) -> None:
        """The memory has to be there when the call's turn comes, too. Raises DeviceError."""
        if memory.gone or not memory.begun:
            when = "after it was given back" if memory.gone else "before it was allocated"
            reason = f"{what} on stream {stream} uses {memory} {when}: no event is between the streams"
            raise DeviceError(reason, device=self.arena.name)
