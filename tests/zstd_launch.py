"""Launches kernels of which a block decodes a stream on the emulator: streams in, statuses and bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from lz_launch import GUARD, ORDERS, Order, aligned, places
from zstd_frames import Stream
from zstd_model import disagreement

from gpuzarr.cuda.frames import zstd_frames
from gpuzarr.cuda.zstd_blocks import Blocks, zstd_blocks
from gpuzarr.testing.emulator import Emulator, load, source_folder

__all__ = ["ORDERS", "THREADS", "Kernel", "Order", "decode", "decode_staged", "disagreements", "emulator"]

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


def decode_staged(
    emu: Emulator,
    streams: Sequence[Stream],
    *,
    instead: Sequence[bytes] | None = None,
    order: Order = "forward",
    seed: int = 0,
    shift: int = 0,
) -> list[tuple[int, bytes] | None]:
    """As `decode`, by the two kernels for frames of several blocks, here of any number; None for those not for them.

    `instead`: the bytes that the kernels then find, of the same sizes, where the host has looked at those of `streams`.
    """
    sizes, rooms = np.array([[len(data), room] for data, room in streams], np.int64).reshape(-1, 2).T
    froms = np.array(places(sizes.tolist(), shift), np.int64)
    slab = aligned(int(sizes.sum()) + len(sizes) * 80 + 200)
    for start, (data, _) in zip(froms, streams, strict=True):
        slab[start : start + len(data)] = np.frombuffer(data, np.uint8)
    found = zstd_frames(slab, froms, sizes, rooms)
    rows = np.flatnonzero((found.problem == 0) & (np.bincount(found.streams.row, minlength=len(streams)) == 1))
    whole = np.isin(found.streams.row, rows) & (found.streams.size == sizes[found.streams.row])
    rows = found.streams.row[whole]
    good, blocks = zstd_blocks(slab, froms[rows], sizes[rows], rooms[rows], least=0, many=len(rows))
    rows = rows[good]
    if instead is not None:
        for row in rows:
            slab[froms[row] : froms[row] + sizes[row]] = np.frombuffer(instead[row], np.uint8)
    got = _staged(emu, slab, froms[rows], sizes[rows], rooms[rows], blocks, order=order, seed=seed, shift=shift)
    both: list[tuple[int, bytes] | None] = [None] * len(streams)
    for row, each in zip(rows.tolist(), got, strict=True):
        both[row] = each
    return both


def _staged(
    emu: Emulator, slab: Any, froms: Any, sizes: Any, rooms: Any, blocks: Blocks, *, order: Order, seed: int, shift: int
) -> list[tuple[int, bytes]]:
    n, m = len(sizes), len(blocks)
    tos = np.array(places(rooms.tolist(), 5 * shift + 3), np.int64)
    beside = np.cumsum(slots := -(-blocks.literals // 16) * 16 + 16) - slots
    listed = np.cumsum(slots := 16 * blocks.sequences + 16) - slots
    target, literals = aligned(int(rooms.sum()) + n * 80 + 200), aligned(int(blocks.literals.sum()) + 32 * m + 16)
    sequences = aligned(16 * int(blocks.sequences.sum()) + 16 * m + 16)
    status, found = np.zeros(n, np.int32), np.zeros(m, np.int32)
    of, base = blocks.frame, slab.ctypes.data
    first = np.searchsorted(of, np.arange(n + 1))
    src, dst = base + froms, target.ctypes.data + tos
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
    for address, size, initialised, tag in buffers:
        emu.register(address, size, initialised=initialised, tag=tag)
    try:
        if m:
            args = [*(np.uint64(c.ctypes.data) for c in (*columns, found)), np.uint32(m)]
            emu.launch("gz_zstd_entropy", m, THREADS, args, order=order, seed=seed)
        if n:
            args = [*(np.uint64(c.ctypes.data) for c in (*others, found, status)), np.uint32(n)]
            emu.launch("gz_zstd_execute", n, 32, args, order=order, seed=seed)
    finally:
        for address, *_ in buffers:
            emu.unregister(address)
    outputs = [target[start : start + room].tobytes() for start, room in zip(tos, rooms, strict=True)]
    for start, room in zip(tos, rooms, strict=True):
        target[start : start + room] = GUARD
    assert np.all(target == GUARD), "bytes around an output have changed"
    return list(zip(status.tolist(), outputs, strict=True))


def disagreements(streams: Sequence[Stream], got: Sequence[tuple[int, bytes]], *, model: bool = True) -> list[str]:
    found = (disagreement(*each, model=model) for each in zip(streams, got, strict=True))
    return [wrong for wrong in found if wrong]
