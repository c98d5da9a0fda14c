"""Launches the LZ kernels on the emulator: streams in, statuses and bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from lz_formats import FORMATS, OK, Format, Seen
from lz_streams import Stream
from numpy.typing import NDArray

from gpuzarr.testing.emulator import Emulator, load, source_folder

Order = Literal["forward", "reverse", "random"]
ORDERS: tuple[Order, ...] = ("forward", "reverse", "random")
AROUND = 48  # bytes around every stream and output, which nothing may touch
GUARD = 0xA5


def emulator(mode: Literal["fast", "check", "cover"]) -> Emulator:
    return load(mode, sources=[source_folder() / f"{form.name}.cu" for form in FORMATS])


def places(sizes: Sequence[int], shift: int) -> list[int]:
    """Where each buffer begins in one allocation: at every alignment in turn, AROUND bytes apart or more."""
    found, at = [], 0
    for row, size in enumerate(sizes):
        start = (at + AROUND + 15) // 16 * 16 + (row * 7 + row // 16 + shift) % 16
        found.append(start)
        at = start + size
    return found


def aligned(size: int) -> NDArray[np.uint8]:
    whole = np.full(size + 16, GUARD, np.uint8)
    return whole[-whole.ctypes.data % 16 :][:size]


def decode(
    emu: Emulator, kernel: str, streams: Sequence[Stream], *, order: Order = "forward", seed: int = 0, shift: int = 0
) -> list[tuple[int, bytes]]:
    """Each stream's status and its output. `shift` moves the streams, and so how they and the outputs are aligned.

    Raises DeviceError for what check mode finds, AssertionError where a byte around an output has changed.
    """
    sizes, rooms = [len(data) for data, _ in streams], [room for _, room in streams]
    froms, tos = places(sizes, shift), places(rooms, 5 * shift + 3)
    source, target = aligned(sum(sizes) + len(sizes) * 80 + 200), aligned(sum(rooms) + len(rooms) * 80 + 200)
    for start, (data, _) in zip(froms, streams, strict=True):
        source[start : start + len(data)] = np.frombuffer(data, np.uint8)
    status = np.zeros(len(streams) + 3, np.int32)
    src, dst = source.ctypes.data + np.array(froms, np.uint64), target.ctypes.data + np.array(tos, np.uint64)
    columns: list[NDArray[Any]] = [src, np.array(sizes, np.uint64), dst, np.array(rooms, np.uint64), status]
    buffers = [(column.ctypes.data, column.nbytes, True, f"column {k}") for k, column in enumerate(columns)]
    buffers += [(int(at), size, True, f"stream {row}") for row, (at, size) in enumerate(zip(src, sizes, strict=True))]
    buffers += [(int(at), room, False, f"output {row}") for row, (at, room) in enumerate(zip(dst, rooms, strict=True))]
    for address, size, initialised, tag in buffers:
        emu.register(address, size, initialised=initialised, tag=tag)
    args = [*(np.uint64(column.ctypes.data) for column in columns), np.uint32(len(streams))]
    try:
        emu.launch(kernel, -(-len(streams) // 4), 128, args, order=order, seed=seed)
    finally:
        for address, *_ in buffers:
            emu.unregister(address)
    outputs = [target[start : start + room].tobytes() for start, room in zip(tos, rooms, strict=True)]
    for start, room in zip(tos, rooms, strict=True):
        target[start : start + room] = GUARD
    assert np.all(target == GUARD), "bytes around an output have changed"
    assert not np.any(status[len(streams) :]), "a status of no stream was written"
    return list(zip(status[: len(streams)].tolist(), outputs, strict=True))


def disagreement(form: Format, stream: Stream, got: tuple[int, bytes], seen: Seen | None = None) -> str | None:
    """How the kernel and the model, or the model and the library, differ; `None` where they do not."""
    wanted, output = form.outcome(*stream, seen)
    told = f"{form.name} {stream[0].hex()} room {stream[1]}"
    if got[0] != wanted or (wanted == OK and got[1] != output):
        return f"{told}: the kernel says {got[0]}, the model {wanted}, or bytes differ"
    if form.comparable(*stream):
        library = form.library(*stream)
        if library != (output if wanted == OK else None):
            return f"{told}: the library {'refuses it' if library is None else 'accepts it'}, the model says {wanted}"
    return None


def disagreements(form: Format, streams: Sequence[Stream], got: Sequence[tuple[int, bytes]]) -> list[str]:
    found = (disagreement(form, *each) for each in zip(streams, got, strict=True))
    return [wrong for wrong in found if wrong]
