"""Calls of the compiled host module from plain arguments, for tests.

Elements are modelled as bytes: every array here is uint8 with one more axis, as long as an element.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr import native

Bytes = NDArray[np.uint8]
Columns = NDArray[np.int64]
SENTINEL = 0xA5

needs_module = pytest.mark.skipif(native.load() is None, reason=f"no compiled module: {native.why_not()}")
many = settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def module() -> native.Native:
    loaded = native.load()
    assert loaded is not None
    return loaded


def needs(*ops: str) -> None:
    """Skips a test of codecs whose functions no installed package has."""
    if set(ops) - module().ops:
        pytest.skip(f"not available to the module here: {module().missing()}")


# ---- reading -------------------------------------------------------------------------------------------------------


@dataclass
class Tiles:
    """The tiles of a read: how many each row has, and their columns, [tiles, ndim] each."""

    per_row: Sequence[int]
    source: Any
    target: Any
    count: Any
    step: Any = None
    kind: int = native.BOXES
    tables: tuple[Sequence[Any], Sequence[Any]] | None = None


@dataclass
class Files:
    """Where rows are in files: extents are (key, offset, length), rows (extent, offset, length)."""

    prefix: str
    coords: Any
    extents: Sequence[tuple[int, int, int]]
    rows: Sequence[tuple[int, int, int]]
    separator: str = "/"
    zero_key: str = ""


class Columns64:
    """Keeps arrays alive whose addresses are arguments."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def at(self, values: Any) -> int:
        self.kept.append(np.ascontiguousarray(values, np.int64).reshape(-1))
        return native.address(self.kept[-1])

    def tables(self, sides: tuple[Sequence[Any], Sequence[Any]] | None) -> tuple[int | None, int | None]:
        if sides is None:
            return None, None
        source, target = ([np.ascontiguousarray(table, np.int64) for table in side] for side in sides)
        self.kept += [source, target]
        return self.at(native.pointers(source)), self.at(native.pointers(target))

    def stored(self, stored: Sequence[bytes | bytearray | memoryview | None] | Files) -> tuple[Any, ...]:
        """The arguments from `kind` to `row_length`."""
        if isinstance(stored, Files):
            extents, rows = np.array(stored.extents, np.int64), np.array(stored.rows, np.int64)
            coords = np.array(stored.coords, np.int64, ndmin=2)
            names = (os.fsencode(stored.prefix), self.at(coords), coords.shape[1], ord(stored.separator))
            where = (native.FILES, *names, os.fsencode(stored.zero_key), None, None, *map(self.at, extents.T))
        else:
            buffers = native.Buffers(stored)
            self.kept.append(buffers)
            rows = np.array([(row, 0, -1) for row in range(len(stored))])
            addresses = native.address(buffers.data), native.address(buffers.size)
            where = (native.MEMORY, None, None, 0, 0, None, *addresses, None, None, None)
        return *where, *map(self.at, rows.T)


def read(
    stored: Sequence[bytes | bytearray | memoryview | None] | Files,
    out: Bytes,
    tiles: Tiles,
    chunk: Bytes,
    *,
    ops: Sequence[str] = (),
    swap: int = 0,
    fill: bytes | None = None,
    streaming: bool = False,
    span: tuple[int, int] | None = None,
) -> list[int]:
    """Runs a read into `out`; `chunk` is any array with the layout of a decoded chunk. Returns the statuses."""
    rows, ndim, item = len(tiles.per_row), out.ndim - 1, out.shape[-1]
    chain, status, columns = native.ops([(name, ()) for name in ops]), np.full(rows, -1, np.int32), Columns64()
    step = np.ones(np.shape(tiles.count)) if tiles.step is None else tiles.step
    shapes = (tiles.source, tiles.target, tiles.count, step)
    args = native.ReadArgs(
        *(module().codecs, ctypes.addressof(chain), len(ops), ndim, item, swap, chunk.nbytes),
        *(columns.at(chunk.strides[:-1]), native.address(out), columns.at(out.strides[:-1])),
        *(streaming, bytes(item) if fill is None else fill),
        *columns.stored(stored),
        columns.at(np.cumsum([0, *tiles.per_row])),
        *map(columns.at, shapes),
        *(tiles.kind, *columns.tables(tiles.tables), native.address(status)),
    )
    lo, hi = span or (0, rows)
    failed = module().read(args, lo, hi)
    assert failed == sum(int(value & 255) > native.ABSENT for value in status[lo:hi])
    return [int(value) for value in status]


def whole(chunk: Bytes) -> Tiles:
    """One row, one tile: all of it."""
    nothing = np.zeros((1, chunk.ndim - 1))
    return Tiles([1], nothing, nothing, [chunk.shape[:-1]])


# ---- writing -------------------------------------------------------------------------------------------------------


def write(
    values: Bytes,
    chunk: Bytes,
    boxes: tuple[Any, Any, Any],
    *,
    ops: Sequence[tuple[str, Sequence[int]]] = (),
    swap: int = 0,
    fill: bytes | None = None,
    skip_fill: bool = False,
) -> tuple[list[bytes | None], list[int]]:
    """Encodes rows: (source, target, count) in `boxes`. Returns their bytes (None: nothing but fill), statuses."""
    parts = [np.array(part, np.int64, ndmin=2) for part in boxes]
    rows, ndim, item = len(parts[0]), values.ndim - 1, values.shape[-1]
    chain, columns = native.ops(ops), Columns64()
    size, status = np.full(rows, -9, np.int64), np.full(rows, -1, np.int32)
    args = native.WriteArgs(
        *(module().codecs, ctypes.addressof(chain), len(ops), ndim, item, swap, chunk.nbytes),
        *(columns.at(chunk.strides[:-1]), native.address(values), columns.at(values.strides[:-1])),
        *(bytes(item) if fill is None else fill, skip_fill, *map(columns.at, parts)),
        *(None, 0, 0, None, None, 0, 0, None, None, native.address(size), native.address(status)),
    )
    capacity = max(0, module().encode_bound(args))
    slab, around = guarded((rows, capacity))
    args.slab, args.capacity = native.address(around) + MARGIN, capacity
    failed = module().write(args, 0, rows)
    assert failed == np.count_nonzero(status)
    assert untouched_around(slab, around)
    encoded = [
        bytes(slab[row, : size[row]]) if size[row] >= 0 and status[row] == native.OK else None for row in range(rows)
    ]
    return encoded, [int(value) for value in status]


def write_one(chunk: Bytes, ops: Sequence[tuple[str, Sequence[int]]]) -> tuple[bytes | None, int]:
    """Encodes one chunk, all of it."""
    nothing = np.zeros((1, chunk.ndim - 1))
    values, statuses = write(chunk, chunk, (nothing, nothing, [chunk.shape[:-1]]), ops=ops)
    return values[0], statuses[0]


def put_one(chunk: Bytes, prefix: str, temporary: str) -> int:
    """Puts one chunk as it is into the file `prefix` + "0"; the low byte of the status."""
    nothing, columns, chain = np.zeros((1, chunk.ndim - 1)), Columns64(), native.ops([])
    size, status, strides = np.zeros(1, np.int64), np.full(1, -1, np.int32), chunk.strides[:-1]
    args = native.WriteArgs(
        *(module().codecs, ctypes.addressof(chain), 0, chunk.ndim - 1, chunk.shape[-1], 0, chunk.nbytes),
        *(columns.at(strides), native.address(chunk), columns.at(strides), bytes(chunk.shape[-1]), 0),
        *map(columns.at, (nothing, nothing, [chunk.shape[:-1]])),
        *(None, 0, 0, os.fsencode(prefix), columns.at([0]), 1, ord("/"), None, os.fsencode(temporary)),
        *(native.address(size), native.address(status)),
    )
    assert module().write(args, 0, 1) == (status[0] != native.OK)
    return int(status[0]) & 255


# ---- values --------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
SMOOTH = np.cumsum(RNG.integers(-3, 4, 6000)).astype("<i4").view(np.uint8)
NOISE = RNG.integers(0, 256, 6001, np.uint8)
PAYLOADS = {"smooth": SMOOTH, "noise": NOISE, "constant": np.full(70_000, 7, np.uint8), "one": NOISE[:1]}


class Crc32c:
    def encode(self, value: bytes) -> bytes:
        return value + int(google_crc32c.value(value)).to_bytes(4, "little")


ONE_OF_EACH = {
    "crc32c": Crc32c(),
    "zstd": numcodecs.Zstd(3),
    "blosc": numcodecs.Blosc("lz4", 5, 1),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(5),
    "zlib": numcodecs.Zlib(5),
}
BLOSCS = [
    numcodecs.Blosc(cname, clevel, shuffle)
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle in (0, 1, 2)
    for clevel in (0, 1, 5, 9)
]


def encode(value: Bytes | bytes, decode_order: Sequence[str]) -> bytes:
    """What codecs others wrote make of `value`."""
    encoded = bytes(value)
    for op in reversed(decode_order):
        encoded = bytes(ONE_OF_EACH[op].encode(encoded))
    return encoded


# ---- layouts -------------------------------------------------------------------------------------------------------

MARGIN = 256
ITEMS = st.sampled_from(
    [
        *((size, 0) for size in (1, 2, 3, 4, 5, 8, 12, 16, 100, 5000)),
        *((2, 2), (4, 4), (8, 8), (6, 2), (8, 4), (12, 4), (16, 8), (40, 8)),
    ]
)
"""Bytes of an element, and of the unit that is reversed in it (0: none)."""


def guarded(shape: tuple[int, ...]) -> tuple[Bytes, Bytes]:
    """An array of that shape, and the larger one that it lies in, all of it SENTINEL."""
    n = int(np.prod(shape))
    around = np.full(n + 2 * MARGIN, SENTINEL, np.uint8)
    return around[MARGIN : MARGIN + n].reshape(shape), around


def untouched_around(out: Bytes, around: Bytes) -> bool:
    """Whether nothing but `out` was written of what is around it."""
    copy = out.copy()
    out[...] = SENTINEL
    clean = bool((around == SENTINEL).all())
    out[...] = copy
    return clean


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], item: int, *, gaps: bool) -> tuple[Bytes, Bytes]:
    """An array of `shape`, its axes in any order in memory, and the guarded one around it.

    With gaps: axes may be flipped, and there may be room between elements.
    """
    ndim = len(shape)
    order = draw(st.permutations(range(ndim)))
    wide = [draw(st.integers(1, 2)) if gaps else 1 for _ in range(ndim)]
    flip = [gaps and draw(st.booleans()) for _ in range(ndim)]
    base, around = guarded((*(shape[d] * wide[d] for d in order), item))
    steps = tuple(slice(None, None, -wide[d] if flip[d] else wide[d]) for d in order)
    return base[steps].transpose(*np.argsort(order), ndim), around


def in_memory(chunk: Bytes) -> bytes:
    """The bytes of a chunk in the order they have in memory."""
    order = sorted(range(chunk.ndim), key=lambda d: (-chunk.strides[d], chunk.shape[d] != 1))
    return chunk.transpose(order).tobytes()


def reversed_units(values: Bytes, swap: int) -> Bytes:
    """Every unit of `swap` bytes turned round."""
    if swap == 0:
        return values
    units = values.reshape(*values.shape[:-1], -1, swap)
    return np.ascontiguousarray(units[..., ::-1]).reshape(values.shape)
