"""Tiles for the scatter and gather kernels, what a launch makes of them, and what NumPy says they make.

The reference knows bytes and offsets only: each element's bytes, turned where they are, go from one offset to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import UNTOUCHED, Buffer, Buffers

__all__ = ["BoxCase", "ListCase", "Tile", "Values", "check", "offsets", "strides_of"]

Values = NDArray[np.uint8]
Offsets = NDArray[np.int64]

THREADS = 128


@dataclass(frozen=True, slots=True)
class Tile:
    """Where the elements of one tile lie, in C order: byte offsets in its chunk and in its part of the result."""

    chunk: Offsets
    result: Offsets
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Tiles of elements of `size` bytes, of which units of `swap` bytes are reversed; `elements` a block."""

    size: int
    swap: int = 0
    elements: int = 64
    misaligned: tuple[int, int] = (0, 0)
    filled: tuple[int, ...] = ()

    def turn(self) -> NDArray[np.int64]:
        """Which byte of an element becomes which."""
        return np.arange(self.size).reshape(-1, self.swap or 1)[:, ::-1].ravel()

    def fill(self) -> Values:
        return np.resize(np.arange(0xA0, 0xA0 + self.size, dtype=np.uint8), max(16, self.size))

    def first(self, sizes: Sequence[int]) -> list[int]:
        return [0, *np.cumsum([-(-size // self.elements) for size in sizes]).tolist()]


def strides_of(count: Sequence[int], step: int, order: Sequence[int] | None = None, gap: int = 1) -> tuple[int, ...]:
    """Strides of an array whose axes lie in this order, outermost first; of each every `gap`-th element is taken."""
    strides = [0] * len(count)
    for axis in reversed(range(len(count)) if order is None else order):
        strides[axis] = step * gap
        step *= gap * count[axis]
    return tuple(strides)


def offsets(count: Sequence[int], strides: Sequence[int]) -> Offsets:
    """Offsets of the elements of a box in C order; the lowest is 0."""
    found = np.zeros((), np.int64)
    for n, stride in zip(count, strides, strict=True):
        found = found[..., None] + np.arange(n) * stride
    return found.ravel() - (found.min() if found.size else 0)


@dataclass(frozen=True, slots=True)
class BoxCase(Case):
    """Strided boxes: `count` and `step` of each, and the strides of the result."""

    count: tuple[tuple[int, ...], ...] = ()
    step: tuple[tuple[int, ...], ...] = ()
    strides: tuple[int, ...] = ()

    def tiles(self) -> list[Tile]:
        return [
            Tile(offsets(count, step), offsets(count, self.strides), i in self.filled)
            for i, (count, step) in enumerate(zip(self.count, self.step, strict=True))
        ]

    def launch(self, b: Buffers, gather: bool, chunks: list[int], results: list[int]) -> None:
        rank = len(self.strides)
        src = [c and c + _begin(n, s) for c, n, s in zip(chunks, self.count, self.step, strict=True)]
        dst = [r + _begin(n, self.strides) for r, n in zip(results, self.count, strict=True)]
        first = self.first([int(np.prod(n)) for n in self.count])
        columns = [b.table(src), b.table(dst), *(b.table(c, np.int64) for c in (self.count, self.step, self.strides))]
        _launch(b, self, "boxes", gather, [*columns, np.int32(rank)], first)


def _begin(count: Sequence[int], strides: Sequence[int]) -> int:
    """Where the first element is, from the lowest address on."""
    return -sum((n - 1) * s for n, s in zip(count, strides, strict=True) if s < 0 and n)


@dataclass(frozen=True, slots=True)
class ListCase(Case):
    """Outer products of lists of byte offsets: for each tile and axis those in its chunk, and those in the result.

    `points` gives tiles of one axis to the kernel for points. Before each run of a list is an entry that nobody reads.
    """

    position: tuple[tuple[Offsets, ...], ...] = ()
    target: tuple[tuple[Offsets, ...], ...] = ()
    points: bool = False

    def tiles(self) -> list[Tile]:
        pairs = zip(self.position, self.target, strict=True)
        return [Tile(_product(p), _product(t), i in self.filled) for i, (p, t) in enumerate(pairs)]

    def launch(self, b: Buffers, gather: bool, chunks: list[int], results: list[int]) -> None:
        rank = len(self.position[0])
        count = [[len(run) for run in runs] for runs in self.position]
        entry = [[self._entry(i, k) for k in range(rank)] for i in range(len(count))]
        # Tiles share one address of the result: where a tile's part begins is in the lists of its first axis.
        bases = [r - results[0] for r in results]
        position = [self._column(b, [runs[k] for runs in self.position]) for k in range(rank)]
        target = [
            self._column(b, [runs[k] + (base if k == 0 else 0) for runs, base in zip(self.target, bases, strict=True)])
            for k in range(rank)
        ]
        head = [b.table(chunks), np.uint64(results[0]), b.table(entry, np.int64), b.table(count, np.int64)]
        first = self.first([int(np.prod(n)) for n in count])
        if self.points:
            _launch(b, self, "points", gather, [*head, position[0], target[0]], first)
        else:
            columns = [*head, b.table(position), b.table(target), np.int32(rank)]
            _launch(b, self, "tables", gather, columns, first)

    def _entry(self, tile: int, axis: int) -> int:
        return 1 + sum(len(runs[axis]) + 1 for runs in self.position[:tile])

    def _column(self, b: Buffers, runs: list[Offsets]) -> np.uint64:
        nobody = np.array([-(1 << 60)])
        return b.table(np.concatenate([part for run in runs for part in (nobody, run)]), np.int64)


def _product(runs: Sequence[Offsets]) -> Offsets:
    found = np.zeros((), np.int64)
    for run in runs:
        found = found[..., None] + run
    return found.ravel()


def _launch(b: Buffers, case: Case, kind: str, gather: bool, columns: list[Any], first: list[int]) -> None:
    item: list[Any] = [np.int32(case.size), np.int32(case.swap)]
    if not gather:
        item.append(b.put(case.fill(), tag="fill").pointer if case.filled else np.uint64(0))
    tail = [np.int32(case.elements), b.table(first, np.int64), np.uint32(len(first) - 1)]
    b.launch(f"gz_{'gather' if gather else 'scatter'}_{kind}", first[-1], THREADS, [*columns, *item, *tail])


def check(b: Buffers, case: BoxCase | ListCase, *, gather: bool = False) -> None:
    """Runs a case and compares all of the memory that it writes, between the elements too."""
    tiles = case.tiles()
    sizes = [[_span(side, case.size) for side in (t.chunk, t.result)] for t in tiles]
    shift = np.cumsum([0, *(-(-size // 16) * 16 + 16 for _, size in sizes)]).tolist()  # parts of one result
    read, written = ("result", "chunk") if gather else ("chunk", "result")
    rng = np.random.default_rng(len(tiles) + case.size)
    chunks = [
        None if tile.filled else _memory(b, read == "chunk", size, case.misaligned[0], rng, "chunk")
        for tile, (size, _) in zip(tiles, sizes, strict=True)
    ]
    result = _memory(b, read == "result", shift[-1], case.misaligned[1], rng, "result")
    before = {"result": result.values.copy(), "chunk": [None if c is None else c.values.copy() for c in chunks]}
    addresses = [0 if c is None else c.address for c in chunks]
    case.launch(b, gather, addresses, [result.address + s for s in shift[:-1]])
    each = np.arange(case.size)
    for i, tile in enumerate(tiles):
        inside = before["result"][shift[i] : shift[i + 1]]
        chunk = before["chunk"][i]
        if tile.filled:
            inside[tile.result[:, None] + each] = case.fill()[: case.size]
        elif gather:
            chunk[tile.chunk[:, None] + each] = inside[tile.result[:, None] + case.turn()]
        else:
            inside[tile.result[:, None] + each] = chunk[tile.chunk[:, None] + case.turn()]
    found = [c.values for c in chunks if c is not None] if written == "chunk" else [result.values]
    wanted = [c for c in before["chunk"] if c is not None] if written == "chunk" else [before["result"]]
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other), f"byte {np.flatnonzero(one != other)[0]} of a {written} is wrong"


def _span(offsets: Offsets, size: int) -> int:
    return int(offsets.max()) + size if offsets.size else 0


def _memory(b: Buffers, known: bool, size: int, misalign: int, rng: np.random.Generator, tag: str) -> Buffer:
    if not known:
        return b.room(size, misalign=misalign, tag=tag)
    values = rng.integers(0, 256, size, np.uint8)
    values[values == UNTOUCHED] = 0
    return b.put(values, misalign=misalign, tag=tag)
