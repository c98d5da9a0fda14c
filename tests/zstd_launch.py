"""Launches kernels of which a block decodes a stream on the emulator: streams in, statuses and bytes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from lz_launch import GUARD, ORDERS, Order, aligned, places
from numpy.typing import NDArray
from zstd_frames import Stream
from zstd_model import disagreement

from gpuzarr.cuda.frames import zstd_frames
from gpuzarr.cuda.zstd_blocks import Blocks, zstd_blocks
from gpuzarr.testing.emulator import Emulator, load, source_folder

__all__ = [
    "ORDERS",
    "THREADS",
    "Kernel",
    "Order",
    "Watch",
    "decode",
    "decode_staged",
    "disagreements",
    "emulator",
    "launch_staged",
    "of_blocks",
]

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int64]
THREADS = 64

Kernel = Literal["gz_zstd", "staged"]
"""The kernel that decodes a frame, or the two that decode the blocks of all frames and then put them together."""


def emulator(mode: Literal["fast", "check", "cover"], kernel: Kernel = "gz_zstd") -> Emulator:
    return load(mode, sources=[source_folder() / ("zstd.cu" if kernel == "gz_zstd" else "zstd_staged.cu")])


def decode(
    emu: Emulator,
    streams: Sequence[Stream],
    *,
    kernel: str = "gz_zstd",
    lead: Sequence[np.generic] = (),
    order: Order = "forward",
    seed: int = 0,
    shift: int = 0,
) -> list[tuple[int, bytes]]:
    """Each frame's status and its output. `shift` moves frames and outputs, and so how they are aligned; `lead` are the
    kernel's arguments before the columns.

    Raises DeviceError for what check mode finds, AssertionError where a byte around an output has changed.
    """
    sizes, rooms = [len(data) for data, _ in streams], [room for _, room in streams]
    froms, tos = places(sizes, shift), places(rooms, 5 * shift + 3)
    source, target = aligned(sum(sizes) + len(sizes) * 80 + 200), aligned(sum(rooms) + len(rooms) * 80 + 200)
    for start, (data, _) in zip(froms, streams, strict=True):
        source[start : start + len(data)] = np.frombuffer(data, np.uint8)
    status = np.zeros(len(streams) + 3, np.int32)
    src, dst = source.ctypes.data + np.array(froms, np.uint64), target.ctypes.data + np.array(tos, np.uint64)
    columns = [src, np.array(sizes, np.uint64), dst, np.array(rooms, np.uint64), status]
    buffers = [(column.ctypes.data, column.nbytes, True, f"column {k}") for k, column in enumerate(columns)]
    buffers += [(int(at), size, True, f"frame {row}") for row, (at, size) in enumerate(zip(src, sizes, strict=True))]
    buffers += [(int(at), room, False, f"output {row}") for row, (at, room) in enumerate(zip(dst, rooms, strict=True))]
    for address, size, initialised, tag in buffers:
        emu.register(address, size, initialised=initialised, tag=tag)
    args = [*lead, *(np.uint64(column.ctypes.data) for column in columns), np.uint32(len(streams))]
    try:
        emu.launch(kernel, len(streams), THREADS, args, order=order, seed=seed)
    finally:
        for address, *_ in buffers:
            emu.unregister(address)
    outputs = [target[start : start + room].tobytes() for start, room in zip(tos, rooms, strict=True)]
    for start, room in zip(tos, rooms, strict=True):
        target[start : start + room] = GUARD
    assert np.all(target == GUARD), "bytes around an output have changed"
    assert not np.any(status[len(streams) :]), "a status of no frame was written"
    return list(zip(status[: len(streams)].tolist(), outputs, strict=True))


def of_blocks(slab: Bytes, froms: Rows, sizes: Rows, rooms: Rows) -> tuple[Rows, Blocks]:
    """Which frames are for the two kernels, here those of any number of blocks; and their compressed blocks."""
    found = zstd_frames(slab, froms, sizes, rooms)
    rows = np.flatnonzero((found.problem == 0) & (np.bincount(found.streams.row, minlength=len(sizes)) == 1))
    whole = np.isin(found.streams.row, rows) & (found.streams.size == sizes[found.streams.row])
    rows = found.streams.row[whole]
    good, blocks = zstd_blocks(slab, froms[rows], sizes[rows], rooms[rows], least=0, many=len(rows))
    return rows[good], blocks


Watch = Callable[[str, Rows, Blocks], None]
"""Is called behind each of the two launches, with the kernel, which streams the frames are, and their blocks."""


def decode_staged(
    emu: Emulator,
    streams: Sequence[Stream],
    *,
    instead: Sequence[bytes] | None = None,
    order: Order = "forward",
    seed: int = 0,
    shift: int = 0,
    watch: Watch | None = None,
) -> list[tuple[int, bytes] | None]:
    """As `decode`, by the two kernels for frames of several blocks, here of any number; None for those not for them.

    `instead`: the bytes that the kernels then find, of the same sizes, where the host has looked at those of `streams`.
    """
    sizes, rooms = np.array([[len(data), room] for data, room in streams], np.int64).reshape(-1, 2).T
    froms = np.array(places(sizes.tolist(), shift), np.int64)
    slab = aligned(int(sizes.sum()) + len(sizes) * 80 + 200)
    for start, (data, _) in zip(froms, streams, strict=True):
        slab[start : start + len(data)] = np.frombuffer(data, np.uint8)
    rows, blocks = of_blocks(slab, froms, sizes, rooms)
    for row in () if instead is None else rows:
        slab[froms[row] : froms[row] + sizes[row]] = np.frombuffer(instead[row], np.uint8)
    tos = np.array(places(rooms[rows].tolist(), 5 * shift + 3), np.int64)
    target = aligned(int(rooms[rows].sum()) + len(rows) * 80 + 200)
    told = launch_staged(emu, rows, blocks, slab.ctypes.data + froms[rows], sizes[rows], target.ctypes.data + tos,
                         rooms[rows], order=order, seed=seed, watch=watch)  # fmt: skip
    both: list[tuple[int, bytes] | None] = [None] * len(streams)
    for row, start, room, status in zip(rows.tolist(), tos, rooms[rows], told, strict=True):
        both[row] = status, target[start : start + room].tobytes()
        target[start : start + room] = GUARD
    assert np.all(target == GUARD), "bytes around an output have changed"
    return both


def launch_staged(emu: Emulator, rows: Rows, blocks: Blocks, src: Rows, sizes: Rows, dst: Rows, rooms: Rows, *,
                  order: Order, seed: int, watch: Watch | None = None) -> list[int]:  # fmt: skip
    """The statuses of frames whose blocks were found, decoded from and to these addresses."""
    n, m, of = len(sizes), len(blocks), blocks.frame
    literals, beside = slots(blocks.literals)
    sequences, listed = slots(16 * blocks.sequences)
    status, found = np.zeros(n, np.int32), np.zeros(m, np.int32)
    first = np.searchsorted(of, np.arange(n + 1))
    to_literals, to_sequences = literals.ctypes.data + beside, sequences.ctypes.data + listed
    entropy = [src[of], sizes[of], rooms[of], blocks.at, blocks.origin, to_literals, blocks.literals, to_sequences]
    columns = [np.array(column, np.int64) for column in (*entropy, blocks.sequences)]
    others = [np.array(c, np.int64) for c in (src, sizes, dst, rooms, first, blocks.at, to_literals, to_sequences)]
    buffers = [(c.ctypes.data, c.nbytes, True, f"column {k}") for k, c in enumerate((*columns, *others, status))]
    buffers += [(found.ctypes.data, found.nbytes, False, "statuses of blocks")]
    buffers += [(int(at), int(size), True, f"frame {k}") for k, (at, size) in enumerate(zip(src, sizes, strict=True))]
    for name, at, size in (("output", dst, rooms), ("literals", to_literals, blocks.literals),
                           ("sequences", to_sequences, 16 * blocks.sequences)):  # fmt: skip
        buffers += [(int(a), int(s), False, f"{name} {k}") for k, (a, s) in enumerate(zip(at, size, strict=True)) if s]
    last = [*others, found, status]
    launches = [("gz_zstd_entropy", m, THREADS, [*columns, found]), ("gz_zstd_execute", n, 32, last)]
    for address, size, initialised, tag in buffers:
        emu.register(address, size, initialised=initialised, tag=tag)
    try:
        for kernel, count, threads, told in launches:
            args = [*(np.uint64(c.ctypes.data) for c in told), np.uint32(count)]
            if count:
                emu.launch(kernel, count, threads, args, order=order, seed=seed)
            if count and watch:
                watch(kernel, rows, blocks)
    finally:
        for address, *_ in buffers:
            emu.unregister(address)
    for memory, at, size in ((literals, beside, blocks.literals), (sequences, listed, 16 * blocks.sequences)):
        for a, s in zip(at.tolist(), size.tolist(), strict=True):
            memory[a : a + s] = GUARD
        assert np.all(memory == GUARD), "bytes around scratch memory have changed"
    return list(status.tolist())


def slots(sizes: Rows) -> tuple[Bytes, Rows]:
    """Memory for buffers of these sizes, and where each is in it: aligned to 16 bytes, and as many apart."""
    each = -(-sizes // 16) * 16 + 16
    return aligned(int(each.sum()) + 16), np.cumsum(each) - each + 16


def disagreements(streams: Sequence[Stream], got: Sequence[tuple[int, bytes]], *, model: bool = True) -> list[str]:
    found = (disagreement(*each, model=model) for each in zip(streams, got, strict=True))
    return [wrong for wrong in found if wrong]
