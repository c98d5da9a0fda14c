"""Tiles for the kernels that convert elements, launched, and compared with what NumPy's `astype` makes of the values.

NaNs are compared as NaNs, with their signs: what becomes of a payload depends on the machine that NumPy runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tile_cases import THREADS, strides_of

from gpuzarr.cuda.launch import CODES
from kernels import Buffer, Buffers

__all__ = ["PAIRS", "TYPES", "CastCase", "cast", "check_cast", "interesting", "same_numbers"]

TYPES = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in CODES}

PAIRS = [(a, b) for a in TYPES for b in TYPES if a != b and np.can_cast(TYPES[a], TYPES[b], "same_kind")]
"""All that are converted: types of chunks, and of results."""

_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def interesting(dtype: np.dtype[Any], n: int, seed: int = 0) -> NDArray[Any]:
    """`n` values: borders, what is half-way between two narrower numbers and just beside it, and any bits."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 256, 8 * n, np.uint8).view(_BITS[dtype.itemsize])
    if dtype.kind == "b":
        return (bits[:n] & 1).view(np.bool_)
    if dtype.kind in "iu":
        bits >>= rng.integers(0, 8 * dtype.itemsize, len(bits)).astype(bits.dtype)
        near = np.concatenate([(1 << rng.integers(0, 8 * dtype.itemsize, n)) + k for k in (-1, 0, 1)])
        found = np.concatenate((bits[:n].view(dtype), (~bits[:n]).view(dtype), near.astype(dtype)))
    else:
        found = np.concatenate((bits[:n].view(dtype), _between(dtype, rng, n)))
        found = np.concatenate((_edges(dtype), found[rng.permutation(len(found))]))
    return found[:n] if dtype.kind not in "iu" else found[rng.permutation(len(found))[:n]]


def _edges(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers at which the rules for float16 change: zero, what is subnormal, what becomes infinite; of both signs."""
    bits = np.array([0, 1, 2, 0x3FE, 0x3FF, 0x400, 0x401, 0x7BFF, 0x7C00, 0x7E00], np.uint16)
    halves = np.concatenate((bits, bits | 0x8000)).view(np.float16).astype("f8")
    more = np.array([65519.99, 65520, 65536, 1e6, 2.0**-25, 2.0**-25 * 1.0001, 2.0**-26, 2.0**-149, 1e300])
    with np.errstate(all="ignore"):
        return np.concatenate((halves, more, -more)).astype(dtype)


def _between(dtype: np.dtype[Any], rng: np.random.Generator, n: int) -> NDArray[Any]:
    parts = []
    for narrow in ("float16", "bfloat16", "float32"):
        bits = rng.integers(0, np.iinfo(_BITS[TYPES[narrow].itemsize]).max, n).astype(_BITS[TYPES[narrow].itemsize])
        bits[: n // 8] = bits[: n // 8] % (1 << 11)  # subnormal
        with np.errstate(all="ignore"):
            low, high = (b.view(TYPES[narrow]).astype("f8") for b in (bits, bits + bits.dtype.type(1)))
            middle = ((low + high) / 2).astype(dtype)
        each = middle.view(_BITS[dtype.itemsize])
        parts += [middle, (each + each.dtype.type(1)).view(dtype), (each - each.dtype.type(1)).view(dtype)]
    return np.concatenate(parts)


def cast(values: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """What NumPy makes of values."""
    with np.errstate(all="ignore"):
        return values.astype(wanted)


def same_numbers(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of them have the same bits, or are NaNs of the same sign."""
    bits = _BITS[wanted.dtype.itemsize]
    same: NDArray[np.bool_] = found.view(bits) == wanted.view(bits)
    if wanted.dtype.kind in "biu":
        return same
    with np.errstate(invalid="ignore"):
        return same | (np.isnan(found) & np.isnan(wanted) & (np.signbit(found) == np.signbit(wanted)))


@dataclass(frozen=True, slots=True)
class CastCase:
    """Tiles of some shapes, converted from type `a` to `b`.

    `turned` chunks have their axes in reverse order; `pad` bytes lie between elements, on both sides. `kind` is that
    of the kernel: the lists of "tables" and "points" are in no order.
    """

    a: str
    b: str
    count: tuple[tuple[int, ...], ...]
    kind: str = "boxes"
    turned: bool = False
    pad: tuple[int, int] = (0, 0)
    swap: bool = False
    elements: int = 64
    misaligned: tuple[int, int] = (0, 0)
    filled: tuple[int, ...] = ()

    def strides(self, shape: tuple[int, ...], result: bool) -> tuple[int, ...]:
        size = TYPES[self.b if result else self.a].itemsize + self.pad[result]
        order = tuple(reversed(range(len(shape)))) if self.turned and not result else None
        return strides_of(shape, size, order)


@dataclass(frozen=True, slots=True)
class _Tile:
    count: tuple[int, ...]
    position: list[NDArray[np.int64]]
    target: list[NDArray[np.int64]]
    values: NDArray[Any] | None
    chunk: Buffer | None


def check_cast(b: Buffers, case: CastCase, values: NDArray[Any] | None = None) -> NDArray[Any]:
    """Runs a case and compares all that is written, and what is between; returns the elements of the first tile."""
    wanted = TYPES[case.b]
    rng = np.random.default_rng(len(case.count))
    most = tuple(max(column) for column in zip(*case.count, strict=True))
    out_strides = case.strides(most, True)
    tiles = [_tile(b, case, i, count, out_strides, rng, values) for i, count in enumerate(case.count)]
    span = sum((n - 1) * s for n, s in zip(most, out_strides, strict=True)) + wanted.itemsize + 16
    span += -span % 16
    out = b.room(span * len(tiles), misalign=case.misaligned[1], tag="result")
    before = out.values.copy()
    fill = interesting(wanted, 999, 5)[-1:]
    _launch(b, case, tiles, out, span, out_strides, b.put(fill, tag="fill"))
    first = None
    for i, tile in enumerate(tiles):
        at = span * i + _product(tile.target)[:, None] + np.arange(wanted.itemsize)
        found = out.values[at].reshape(-1).view(wanted)
        expected = np.resize(fill, len(at)) if tile.values is None else cast(tile.values, wanted)
        wrong = np.flatnonzero(~same_numbers(found, expected))
        assert not len(wrong), (
            f"{tile.values[wrong[0]] if tile.values is not None else 'fill'!r} is {found[wrong[0]]!r}"
        )
        before[at] = out.values[at]
        first = found if first is None else first
    assert np.array_equal(out.values, before), "what lies between elements was written"
    return found if first is None else first


def _tile(
    b: Buffers,
    case: CastCase,
    i: int,
    count: tuple[int, ...],
    out_strides: tuple[int, ...],
    rng: np.random.Generator,
    given: NDArray[Any] | None,
) -> _Tile:
    stored, n = TYPES[case.a], int(np.prod(count))
    mixed = (lambda k: rng.permutation(k)) if case.kind != "boxes" else np.arange
    position = [mixed(k) * s for k, s in zip(count, case.strides(count, False), strict=True)]
    target = [mixed(k) * s for k, s in zip(count, out_strides, strict=True)]
    if i in case.filled:
        return _Tile(count, position, target, None, None)
    values = interesting(stored, n, i) if given is None else given
    at = _product(position)[:, None] + np.arange(stored.itemsize)
    memory = rng.integers(0, 256, int(at.max(initial=-1)) + 1, np.uint8)
    each = values.view(np.uint8).reshape(-1, stored.itemsize)
    memory[at] = each[:, ::-1] if case.swap else each
    return _Tile(count, position, target, values, b.put(memory, misalign=case.misaligned[0], tag="chunk"))


def _product(runs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    found = np.zeros((), np.int64)
    for run in runs:
        found = found[..., None] + run
    return found.ravel()


def _launch(
    b: Buffers,
    case: CastCase,
    tiles: list[_Tile],
    out: Buffer,
    span: int,
    out_strides: tuple[int, ...],
    fill: Buffer,
) -> None:
    rank = len(out_strides)
    src = b.table([0 if tile.chunk is None else tile.chunk.address for tile in tiles])
    count = b.table([tile.count for tile in tiles], np.int64)
    if case.kind == "boxes":
        step = b.table([case.strides(tile.count, False) for tile in tiles], np.int64)
        dst = b.table([out.address + span * i for i in range(len(tiles))])
        columns = [src, dst, count, step, b.table(out_strides, np.int64), np.int32(rank)]
    else:
        entry = [[sum(len(t.position[k]) for t in tiles[:i]) for k in range(rank)] for i in range(len(tiles))]
        position = [_column(b, [t.position[k] for t in tiles]) for k in range(rank)]
        target = [_column(b, [t.target[k] + span * i * (k == 0) for i, t in enumerate(tiles)]) for k in range(rank)]
        columns = [src, out.pointer, b.table(entry, np.int64), count]
        if case.kind == "points":
            columns += [position[0], target[0]]
        else:
            columns += [b.table(position), b.table(target), np.int32(rank)]
    first = np.cumsum([0, *(-(-int(np.prod(tile.count)) // case.elements) for tile in tiles)])
    size = TYPES[case.a].itemsize
    item = [np.int32(CODES[case.a]), np.int32(CODES[case.b]), np.int32(size if case.swap else 0), fill.pointer]
    tail = [np.int32(case.elements), b.table(first, np.int64), np.uint32(len(tiles))]
    b.launch(f"gz_cast_{case.kind}", int(first[-1]), THREADS, [*columns, *item, *tail])


def _column(b: Buffers, runs: list[NDArray[np.int64]]) -> np.uint64:
    return b.table(np.concatenate(runs), np.int64)
