"""One launcher a kernel: which columns it gets, and how the rows are shared out over blocks.

The constants are those of the kernels' sources, where the contracts stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.nvcomp import Nvcomp, splits
from gpuzarr.cuda.program import SCRATCH, Builder, Decode, Place, Places
from gpuzarr.cuda.zstd_blocks import SEQUENCE, Blocks

__all__ = [
    "CHECKSUMS",
    "CODES",
    "Item",
    "checksum",
    "code_of",
    "copy",
    "nvcomp",
    "rearrange",
    "scatter_boxes",
    "scatter_points",
    "scatter_tables",
    "streams",
    "unshuffle",
    "zstd",
]

Column = NDArray[np.int64]

THREADS, WIDE = 128, 256
"""Threads of a block; of those that unshuffle or check."""

WARP, PAIR = 32, 64
"""Threads of a block that decodes one stream, by a warp or two."""

STREAMS = THREADS // WARP
"""Streams of a block, where a warp decodes one."""

PAIRED = frozenset({"gz_deflate", "gz_zstd"})
"""Decoders of which a block of two warps takes one stream."""

PIECE = 16 << 10
"""Bytes that a block copies."""

ELEMENTS = 2048
EACH = np.int32(ELEMENTS)
"""Elements that a block scatters."""

CHECKSUMS = {"crc32c": 0, "crc32": 1, "adler32": 2, "fletcher32": 3}
"""The kernel's numbers for checksums."""

_KINDS = {"u": 0, "i": 1, "b": 2, "f": 3}
_NUMBERS = ("bool", *(f"{sign}int{8 * n}" for sign in ("", "u") for n in (1, 2, 4, 8)), "float16", "float32", "float64")
CODES = {name: 16 * _KINDS[np.dtype(name).kind] + np.dtype(name).itemsize for name in _NUMBERS} | {"bfloat16": 66}
"""The kernel's numbers for data types that it converts, by name: 16 times a kind, and bytes of an element."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is scattered: an element of `itemsize` bytes in a chunk, of which units of `swap` bytes are reversed.

    `fill` is where the fill value is, as the result has it; `cast` is, where elements are converted, from what type of
    `CODES` to what.
    """

    itemsize: int
    swap: int
    fill: Place
    cast: tuple[int, int] | None = None

    def kernel(self, scatter: str, cast: str) -> str:
        """The one of two kernels that does it."""
        return scatter if self.cast is None else cast

    @property
    def args(self) -> tuple[np.generic | Place, ...]:
        """The arguments of that kernel that say what an element is."""
        sizes = (self.itemsize,) if self.cast is None else self.cast
        return (*map(np.int32, sizes), np.int32(self.swap), self.fill)


def code_of(dtype: np.dtype[Any]) -> int | None:
    """The number of a data type in `CODES`; None for one that is not converted.

    >>> code_of(np.dtype("uint16")), code_of(np.dtype("complex64"))
    (2, None)
    """
    return CODES.get(dtype.name)


def streams(
    b: Builder, kernel: str, src: Places, size: Column, dst: Places, room: Column, rows: Column, *first: np.generic
) -> None:
    """Decode streams of `size[i]` bytes to exactly `room[i]` bytes; `rows` are those of the window they belong to.

    `first` are the kernel's arguments in front of the columns.
    """
    if len(rows):
        columns = (b.column(src), b.column(size), b.column(dst), b.column(room), b.status(rows))
        each, threads = (1, PAIR) if kernel in PAIRED else (STREAMS, THREADS)
        b.launch(kernel, -(-len(rows) // each), threads, (*first, *columns, np.uint32(len(rows))))


def zstd(
    b: Builder, blocks: Blocks, src: Places, size: Column, dst: Places, room: Column, rows: Column
) -> None:
    """Decode zstd frames of several blocks, as `streams` does: all blocks side by side, then what they say."""
    if not len(rows):
        return
    of, m = blocks.frame, len(blocks)
    literals, sequences = b.column(b.scratch(blocks.literals)), b.column(b.scratch(SEQUENCE * blocks.sequences))
    found = Place(SCRATCH, int(b.scratch([4 * m]).offset[0]))
    frames = (b.column(src.take(of)), b.column(size[of]), b.column(room[of]))
    counts = b.column(blocks.literals), b.column(blocks.sequences)
    at, origin = b.column(blocks.at), b.column(blocks.origin)
    places = (at, origin, literals, counts[0], sequences, counts[1], found)
    b.launch("gz_zstd_entropy", m, PAIR, (*frames, *places, np.uint32(m)))
    first = b.column(np.searchsorted(of, np.arange(len(rows) + 1)))
    columns = (b.column(src), b.column(size), b.column(dst), b.column(room), first)
    made = (at, literals, sequences, found, b.status(rows))
    b.launch("gz_zstd_execute", len(rows), WARP, (*columns, *made, np.uint32(len(rows))))


def nvcomp(
    b: Builder, offer: Nvcomp, codec: str, src: Places, size: Column, dst: Places, room: Column, rows: Column
) -> None:
    """Decode streams by nvCOMP, as `streams` does; misaligned ones by way of scratch memory."""
    if not len(rows):
        return
    low, high = offer.alignment(codec)
    odd = np.flatnonzero(src.offset % low)
    if len(odd):
        straight = b.scratch(size[odd])
        copy(b, src.take(odd), straight, size[odd])
        src.put(odd, straight)
    odd, wanted = np.flatnonzero(dst.offset % high), dst
    if len(odd):
        dst = Places(dst.region.copy(), dst.offset.copy())
        dst.put(odd, b.scratch(room[odd]))
    _calls(b, offer, codec, (b.column(src), b.column(size), b.column(dst), b.column(room)), room, rows)
    copy(b, dst.take(odd), wanted.take(odd), room[odd])


def _calls(
    b: Builder, offer: Nvcomp, codec: str, columns: tuple[Place, ...], room: Column, rows: Column
) -> None:
    """One call, or several where one would need more temporary memory than there is; they share it, one by one."""
    found, status = b.found(rows, room), b.status(rows)
    parts = splits(room, b.temp, lambda n, most, total: offer.temp_bytes(codec, n, most, total))
    temp = Place(SCRATCH, int(b.scratch([max(need for _, _, need in parts)]).offset[0]))
    for low, high, need in parts:
        each, most, total = room[low:high], int(room[low:high].max()), int(room[low:high].sum())
        src, size, dst, space, out = (column.later(8 * low) for column in (*columns, found))
        places = (src, size, dst, space, out, status.later(4 * low), temp)
        b.launches.append(Decode(codec, len(each), most, total, *places, need))


def copy(b: Builder, src: Places, dst: Places, size: Column) -> None:
    """Copy byte strings as they are."""
    if len(size):
        first = shares(size, PIECE)
        columns = (b.column(src), b.column(dst), b.column(size), b.column(first))
        b.launch("gz_copy", int(first[-1]), THREADS, (*columns, np.uint32(len(size))))


def rearrange(b: Builder, src: Places, dst: Places, size: Column, order: Column) -> None:
    """Give the bytes of every element another order, and clear bits: `order` is of one element."""
    if len(size):
        first = shares(size, PIECE)
        columns = (b.column(src), b.column(dst), b.column(size), b.column(order))
        sizes = (np.uint32(len(order)), b.column(first), np.uint32(len(size)))
        b.launch("gz_rearrange", int(first[-1]), THREADS, (*columns, *sizes))


def unshuffle(b: Builder, kernel: str, src: Places, dst: Places, size: Column, typesize: Column) -> None:
    """Undo a shuffle of bytes ("gz_unshuffle") or bits ("gz_bitunshuffle") of blocks."""
    if len(size):
        first = shares(size, 64 * np.maximum(1, 256 // typesize) * typesize)
        columns = (b.column(src), b.column(dst), b.column(size), b.column(typesize), b.column(first))
        b.launch(kernel, int(first[-1]), WIDE, (*columns, np.uint32(len(size))))


def checksum(b: Builder, kind: str, src: Places, size: Column, expected: Column, rows: Column) -> None:
    """Verify a checksum (see `CHECKSUMS`) of byte strings."""
    if len(rows):
        columns = (b.column(src), b.column(size), b.column(expected), b.status(rows))
        number = np.uint32(CHECKSUMS[kind])
        b.launch("gz_checksum", len(rows), WIDE, (number, *columns, np.uint32(len(rows))))


def scatter_boxes(
    b: Builder, src: Places, dst: Places, count: Column, step: Column, strides: Column, item: Item
) -> None:
    """Strided boxes; `count` and `step` are int64[n, d], `step` and `strides` in bytes. An absolute 0: fill."""
    if len(src):
        first = shares(count.prod(axis=1), ELEMENTS)
        columns = (b.column(src), b.column(dst), b.column(count), b.column(step), b.column(strides))
        args = (*columns, np.int32(count.shape[1]), *item.args, EACH, b.column(first), np.uint32(len(src)))
        b.launch(item.kernel("gz_scatter_boxes", "gz_cast_boxes"), int(first[-1]), THREADS, args)


def scatter_tables(
    b: Builder,
    src: Places,
    out: int,
    entry: Column,
    count: Column,
    positions: Places,
    targets: Places,
    item: Item,
) -> None:
    """Outer products of runs of tables; `positions` and `targets` are the places of d columns of byte offsets."""
    if len(src):
        first = shares(count.prod(axis=1), ELEMENTS)
        columns = (b.column(src), np.uint64(out), b.column(entry), b.column(count))
        tables = (b.column(positions), b.column(targets))
        args = (*columns, *tables, np.int32(count.shape[1]), *item.args, EACH, b.column(first), np.uint32(len(src)))
        b.launch(item.kernel("gz_scatter_tables", "gz_cast_tables"), int(first[-1]), THREADS, args)


def scatter_points(
    b: Builder, src: Places, out: int, point: Column, count: Column, position: Column, target: Column, item: Item
) -> None:
    """Single elements; `position` and `target` are byte offsets of all points."""
    if len(src):
        first = shares(count, ELEMENTS)
        tables = (b.column(point), b.column(count), b.column(position), b.column(target))
        args = (b.column(src), np.uint64(out), *tables, *item.args, EACH, b.column(first), np.uint32(len(src)))
        b.launch(item.kernel("gz_scatter_points", "gz_cast_points"), int(first[-1]), THREADS, args)


def shares(size: Column, each: int | Column) -> Column:
    """How many blocks come before each row's, and in all, where a block does `each` of a row's `size`.

    >>> shares(np.array([1, 0, 5]), 4).tolist()
    [0, 1, 1, 3]
    """
    return np.concatenate(([0], np.cumsum(-(-size // each))))
