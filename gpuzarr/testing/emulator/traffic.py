"""How the accesses of a warp come together: sectors of global memory, and turns of shared memory's banks.

A model of the hardware since compute capability 5 (CUDA C++ Best Practices Guide, Coalesced Access; Programming Guide,
Shared Memory): the k-th execution of an access by the lanes of a warp is one request. Of global memory it takes the
sectors of 32 bytes that it touches; of shared memory as many turns as the busiest of 32 banks of 4 bytes has words,
where 8 bytes a lane go by half warps and 16 by quarters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.testing.emulator.image import Image

__all__ = ["ACCESS", "Traffic", "summarise"]

ACCESS = np.dtype(
    [("address", "u8"), ("place", "u8"), ("block", "u4"), ("thread", "u2"), ("size", "u1"), ("kind", "u1")]
)
"""As `LoggedAccess` in checker.h."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one access in the source asked of memory.

    `requests` are those of warps, `nbytes` what their lanes asked for. `units` are sectors of 32 bytes for global
    memory, and turns for shared; `least` is how many they could have been.
    """

    file: str
    line: int
    space: str
    access: str
    size: int
    requests: int
    nbytes: int
    units: int
    least: int


def summarise(log: NDArray[Any], image: Image) -> list[Traffic]:
    """A row for each access in the source, in the order of lines. `log` is of dtype ACCESS, in the order of time."""
    rows = []
    for key in np.unique(log[["place", "size", "kind"]]):
        place, size, kind = (int(value) for value in key)
        requests = _requests(log[(log["place"] == place) & (log["size"] == size) & (log["kind"] == kind)])
        file, line = image.line(place - 1) or ("", 0)  # it is where a call returns to
        count = _turns if kind & 2 else _sectors
        units, least = np.sum([count(addresses, size) for addresses in requests], axis=0)
        rows.append(
            Traffic(
                *(file, line, "shared" if kind & 2 else "global", "write" if kind & 1 else "read", size),
                *(len(requests), sum(map(len, requests)) * size, int(units), int(least)),
            )
        )
    return sorted(rows, key=lambda row: (row.file, row.line, row.space, row.access, row.size))


def _requests(accesses: NDArray[Any]) -> list[NDArray[np.uint64]]:
    """The addresses of each request, by lane: the k-th accesses of the threads of a warp are one."""
    by_thread = accesses[np.lexsort((accesses["thread"], accesses["block"]))]
    begins = _begins(by_thread["block"], by_thread["thread"])
    index = np.arange(len(by_thread)) - np.repeat(begins, np.diff([*begins, len(by_thread)]))
    keys = (by_thread["thread"], index, by_thread["thread"] // 32, by_thread["block"])
    order = np.lexsort(keys)
    borders = _begins(*(key[order] for key in keys[1:]))
    return np.split(by_thread["address"][order], borders[1:])


def _begins(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Where runs of equal rows begin."""
    differs = np.zeros(len(columns[0]), bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)


def _sectors(addresses: NDArray[np.uint64], size: int) -> tuple[int, int]:
    wanted = len(np.unique(addresses)) * size
    return len(_touched(addresses, size, 32)), -(-wanted // 32)


def _turns(addresses: NDArray[np.uint64], size: int) -> tuple[int, int]:
    lanes = max(1, min(32, 128 // size))
    parts = [addresses[at : at + lanes] for at in range(0, len(addresses), lanes)]
    turns = [int(np.bincount((_touched(part, size, 4) % 32).astype(np.int64)).max()) for part in parts]
    return sum(turns), len(parts)


def _touched(addresses: NDArray[np.uint64], size: int, unit: int) -> NDArray[Any]:
    """The numbers of the units of memory that an access of each address touches, each once."""
    each = addresses[:, None] + np.arange(size, dtype=np.uint64)
    return np.unique(each // np.uint64(unit))
