"""Launches kernels of which a block decodes a stream on the emulator: streams in, statuses and bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from lz_launch import GUARD, ORDERS, Order, aligned, places
from zstd_frames import Stream
from zstd_model import disagreement

from gpuzarr.testing.emulator import Emulator, load, source_folder

__all__ = ["ORDERS", "THREADS", "Order", "decode", "disagreements", "emulator"]

THREADS = 64


def emulator(mode: Literal["fast", "check", "cover"]) -> Emulator:
    return load(mode, sources=[source_folder() / "zstd.cu"])


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


def disagreements(streams: Sequence[Stream], got: Sequence[tuple[int, bytes]], *, model: bool = True) -> list[str]:
    found = (disagreement(*each, model=model) for each in zip(streams, got, strict=True))
    return [wrong for wrong in found if wrong]
