"""Fuzzes an LZ kernel by hand, for as long as one likes: `python tests/fuzz_kernels.py lz4 --seconds 600 --seed 7`.

Thousands of malformed streams a launch. Fast launches read each stream from between pages that nothing may touch,
ending or beginning at one, and write to another such place; every 64th batch is smaller and runs in check mode.
Statuses and bytes are compared with the model of the format, and both with what the library does. Streams that show the
model something new join those that are mutated; `--save` adds them to tests/corpus, which the tests replay.

A batch is written to a file before its launch: after a crash, `--replay FILE` runs it again, a stream at a time.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import lz_launch
import numpy as np
from lz_formats import FORMATS, Format, Seen
from lz_streams import Stream, of_libraries, program, written
from numpy.typing import NDArray

from gpuzarr.testing.emulator import Emulator

Bytes = NDArray[np.uint8]
Sizes = NDArray[np.int64]
CORPUS = Path(__file__).parent / "corpus"
BATCH, WIDTH = 4096, 320  # streams a launch, and their most bytes
PAGE = mmap.PAGESIZE
ROOM = PAGE  # most bytes of output
EDGES = np.array([0, 1, 2, 3, 15, 16, 31, 32, 127, 128, 223, 224, 239, 240, 251, 252, 254, 255], np.uint8)


# ---- streams to begin with -----------------------------------------------------------------------------------


def load_corpus(form: Format) -> list[Stream]:
    with np.load(CORPUS / f"{form.name}.npz", allow_pickle=False) as saved:
        ends = np.cumsum(saved["size"])
        data = saved["data"].tobytes()
        return [
            (data[end - size : end], int(room))
            for end, size, room in zip(ends.tolist(), saved["size"].tolist(), saved["room"].tolist(), strict=True)
        ]


def save_corpus(form: Format, streams: list[Stream]) -> Path:
    CORPUS.mkdir(exist_ok=True)
    path = CORPUS / f"{form.name}.npz"
    data = np.frombuffer(b"".join(data for data, _ in streams), np.uint8)
    sizes = np.array([len(data) for data, _ in streams], np.uint16)
    np.savez_compressed(path, data=data, size=sizes, room=np.array([room for _, room in streams], np.uint16))
    return path


def first_streams(form: Format) -> list[Stream]:
    """Small valid ones: of the library, and by hand."""
    rng = np.random.default_rng(0)
    kinds = product((20, 60, 200, 900), (1, 3, 40))
    datas = [np.repeat(rng.integers(0, 4, n // step + 1, dtype="u1"), step)[:n] for n, step in kinds]
    streams = [stream for data in datas for stream in of_libraries(form, data)]
    for seed in range(400):
        steps, last = program(seed, 3 + seed % 4)
        streams.append((written(form, steps, last), len(last) + sum(len(s[0]) + s[2] for s in steps)))
    return [(data, room) for data, room in streams if len(data) <= WIDTH and room <= ROOM] + [(b"", 0), (b"\0", 0)]


# ---- what is done to them ------------------------------------------------------------------------------------


class Pool:
    """Streams as rows of a matrix, so that a batch is mutated at once."""

    def __init__(self, streams: list[Stream]) -> None:
        self.streams: list[Stream] = []
        self.data = np.zeros((0, WIDTH), np.uint8)
        self.size, self.room = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.add(streams)

    def add(self, streams: list[Stream]) -> None:
        rows = np.zeros((len(streams), WIDTH), np.uint8)
        for row, (data, _) in zip(rows, streams, strict=True):
            row[: len(data)] = np.frombuffer(data, np.uint8)
        self.streams += streams
        self.data = np.concatenate([self.data, rows])
        self.size = np.concatenate([self.size, [len(data) for data, _ in streams]]).astype(np.int64)
        self.room = np.concatenate([self.room, [room for _, room in streams]]).astype(np.int64)

    def mutants(self, rng: np.random.Generator, n: int) -> list[Stream]:
        chosen = rng.integers(0, len(self.size), n)
        data, size, room = self.data[chosen], self.size[chosen], self.room[chosen]
        data, size = spliced(rng, data, size, self.data, self.size, chosen)
        for _ in range(3):
            changed(rng, data, size)
        cut = rng.random(n) < 0.08
        size = np.where(cut, (rng.random(n) * (size + 1)).astype(np.int64), size)
        lie = rng.choice([0, 0, 0, 0, 0, 0, -1, 1, 5, -5, 12, -12, 64], n)
        room = np.clip(room + lie * (rng.random(n) < 0.3), 0, ROOM)
        rows = zip(data, size.tolist(), room.tolist(), strict=True)
        return [(row[:length].tobytes(), limit) for row, length, limit in rows]


def spliced(
    rng: np.random.Generator, data: Bytes, size: Sizes, others: Bytes, sizes: Sizes, own: Sizes
) -> tuple[Bytes, Sizes]:
    """The beginning of each, then the end of another, or of itself with bytes lost or doubled; most stay."""
    n = len(data)
    partner = np.where(rng.random(n) < 0.6, own, rng.integers(0, len(sizes), n))
    head = (rng.random(n) * (size + 1)).astype(np.int64)
    anywhere = (rng.random(n) * (sizes[partner] + 1)).astype(np.int64)
    from_ = np.where(partner == own, head + rng.integers(-4, 5, n), anywhere)
    from_ = np.clip(from_, 0, sizes[partner])
    keep = rng.random(n) < 0.65
    head, from_, partner = np.where(keep, size, head), np.where(keep, size, from_), np.where(keep, own, partner)
    total = np.minimum(head + sizes[partner] - from_, WIDTH)
    column = np.arange(WIDTH)[None, :]
    tail = np.take_along_axis(others[partner], np.clip(column - head[:, None] + from_[:, None], 0, WIDTH - 1), 1)
    return np.where(column < head[:, None], data, tail), total


def changed(rng: np.random.Generator, data: Bytes, size: Sizes) -> None:
    """One byte of some rows: a value at the edge of a case, any value, a bit, or one more or less."""
    rows = np.flatnonzero((rng.random(len(data)) < 0.45) & (size > 0))
    at = (rng.random(len(rows)) * size[rows]).astype(np.int64)
    old = data[rows, at]
    values = np.stack([
        rng.choice(EDGES, len(rows)),
        rng.integers(0, 256, len(rows), dtype=np.uint8),
        old ^ (1 << rng.integers(0, 8, len(rows), dtype=np.uint8)),
        old + rng.choice(np.array([1, 255], np.uint8), len(rows)),
    ])  # fmt: skip
    data[rows, at] = values[rng.integers(0, 4, len(rows)), np.arange(len(rows))]


# ---- launches between forbidden pages ------------------------------------------------------------------------


class Slots:
    """Pages for one buffer each, with forbidden pages between them."""

    def __init__(self, n: int) -> None:
        self._memory = mmap.mmap(-1, (2 * n + 1) * PAGE)
        self.pages = np.frombuffer(self._memory, np.uint8).reshape(2 * n + 1, PAGE)
        self.addresses = self.pages.ctypes.data + PAGE * np.arange(1, 2 * n, 2, dtype=np.uint64)
        libc = ctypes.CDLL(None, use_errno=True)
        for page in range(0, 2 * n + 1, 2):
            where = ctypes.c_void_p(self.pages.ctypes.data + page * PAGE)
            if libc.mprotect(where, ctypes.c_size_t(PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def row(self, k: int) -> Bytes:
        page: Bytes = self.pages[2 * k + 1]
        return page


def decode_between_pages(
    emu: Emulator,
    kernel: str,
    streams: list[Stream],
    slots: tuple[Slots, Slots],
    side: int,
    order: lz_launch.Order,
    seed: int,
) -> list[tuple[int, bytes]]:
    """Statuses and outputs. `side` 1: buffers end where a forbidden page begins; 0: they begin where one ends."""
    froms = [side * (PAGE - len(data)) for data, _ in streams]
    tos = [side * (PAGE - room) for _, room in streams]
    for k, (start, (data, _)) in enumerate(zip(froms, streams, strict=True)):
        slots[0].row(k)[start : start + len(data)] = np.frombuffer(data, np.uint8)
    slots[1].pages[1::2] = lz_launch.GUARD
    status = np.zeros(len(streams), np.int32)
    columns: list[NDArray[Any]] = [
        slots[0].addresses[: len(streams)] + np.array(froms, np.uint64),
        np.array([len(data) for data, _ in streams], np.uint64),
        slots[1].addresses[: len(streams)] + np.array(tos, np.uint64),
        np.array([room for _, room in streams], np.uint64),
        status,
    ]
    args = [*(np.uint64(column.ctypes.data) for column in columns), np.uint32(len(streams))]
    emu.launch(kernel, -(-len(streams) // 4), 128, args, order=order, seed=seed)
    found = []
    for k, (start, (_, room), code) in enumerate(zip(tos, streams, status.tolist(), strict=True)):
        row = slots[1].row(k)
        found.append((code, row[start : start + room].tobytes()))
        row[start : start + room] = lz_launch.GUARD
    if not np.all(slots[1].pages[1::2] == lz_launch.GUARD):
        raise SystemExit("bytes beside an output have changed")
    return found


# ---- the loop ------------------------------------------------------------------------------------------------


class Fuzzer:
    def __init__(self, form: Format, seed: int) -> None:
        self.form = form
        self.fast, self.check = lz_launch.emulator("fast"), lz_launch.emulator("check")
        self.slots = Slots(BATCH), Slots(BATCH)
        self.rng = np.random.default_rng(seed)
        self.known: set[object] = set()
        self.count, self.accepted, self.batches = 0, 0, 0
        self.last = Path(tempfile.gettempdir()) / f"fuzz-{form.name}-{seed}.npz"
        self.pool = Pool([])
        self.kept: list[Stream] = []
        saved = load_corpus(form) if (CORPUS / f"{form.name}.npz").exists() else []
        for stream in saved + first_streams(form):
            seen: Seen = set()
            status, _ = form.outcome(*stream, seen)
            self.consider(stream, status, seen)
        self.pool.add(self.kept)

    def consider(self, stream: Stream, status: int, seen: Seen) -> None:
        """Keeps a stream that reaches a case with a status that it was not seen with."""
        cases = {(status, case) for case in seen}
        if not cases <= self.known:
            self.known |= cases
            self.kept.append(stream)

    def step(self) -> None:
        self.batches += 1
        checked = self.batches % 64 == 0
        streams = self.pool.mutants(self.rng, 256 if checked else BATCH)
        order = lz_launch.ORDERS[self.batches % 3]
        np.savez(self.last, data=np.array([data.hex() for data, _ in streams]), room=[room for _, room in streams])
        if checked:
            got = lz_launch.decode(self.check, self.form.kernel, streams, order=order, shift=self.batches % 16)
        else:
            side = self.batches // 3 % 2
            got = decode_between_pages(self.fast, self.form.kernel, streams, self.slots, side, order, self.batches)
        before = len(self.kept)
        for stream, outcome in zip(streams, got, strict=True):
            seen: Seen = set()
            wrong = lz_launch.disagreement(self.form, stream, outcome, seen)
            if wrong:
                raise SystemExit(wrong)
            self.consider(stream, outcome[0], seen)
            self.accepted += outcome[0] == 0
        self.count += len(streams)
        self.pool.add(self.kept[before:])


def replay(form: Format, path: Path) -> None:
    check = lz_launch.emulator("check")
    with np.load(path, allow_pickle=False) as saved:
        streams = [(bytes.fromhex(data), int(room)) for data, room in zip(saved["data"], saved["room"], strict=True)]
    for k, stream in enumerate(streams):
        sys.stdout.write(f"\r{k} {stream[0].hex()} room {stream[1]}\n")
        wrong = lz_launch.disagreement(form, stream, lz_launch.decode(check, form.kernel, [stream])[0])
        if wrong:
            raise SystemExit(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=[form.name for form in FORMATS])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write the corpus")
    parser.add_argument("--replay", type=Path, help="a batch to run again, a stream at a time")
    options = parser.parse_args()
    form = next(form for form in FORMATS if form.name == options.format)
    if options.replay:
        replay(form, options.replay)
        return
    fuzzer = Fuzzer(form, options.seed)
    begin, told = time.monotonic(), 0.0
    while (spent := time.monotonic() - begin) < options.seconds:
        fuzzer.step()
        if spent - told > 10:
            told = spent
            rate, kept = fuzzer.count / spent, len(fuzzer.kept)
            print(f"{fuzzer.count} streams, {rate:.0f}/s, {fuzzer.accepted} accepted, {kept} kept", flush=True)
    print(f"{form.name}: {fuzzer.count} streams, {fuzzer.accepted} accepted, nothing wrong", flush=True)
    fuzzer.last.unlink(missing_ok=True)
    if options.save:
        path = save_corpus(form, fuzzer.kept)
        print(f"{len(fuzzer.kept)} streams, {path.stat().st_size} bytes: {path}")


if __name__ == "__main__":
    main()
