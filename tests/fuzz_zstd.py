"""Fuzzes the Zstandard kernel by hand, for as long as one likes: `python tests/fuzz_zstd.py --seconds 600 --seed 7`.

As fuzz_kernels.py does, with whose pool of streams and forbidden pages it works: thousands of mutated frames a launch,
every 64th batch smaller and in check mode. What libzstd says and what the kernel says are compared for all frames; the
model is asked where they differ, for what is accepted, and for some of the others, to the status. Frames that show it
something new join those that are mutated; `--save` adds them to tests/corpus, which the tests replay.

What the host lets the two kernels for frames of several blocks have, they decode, too, to the same; every 8th batch, in
check mode, good frames of which bytes change after the host has looked.

A batch is written to a file before its launch: after a crash, `--replay FILE` runs it again, a frame at a time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zstd_cases as cases
import zstd_launch
from fuzz_kernels import BATCH, CORPUS, PAGE, ROOM, WIDTH, Pool, Slots
from lz_formats import Seen
from lz_launch import GUARD
from zstd_frames import Stream, by_chance
from zstd_model import disagreement, outcome

FILE = CORPUS / "zstd.npz"
ASKED = 16  # of so many refused frames the model sees one


def load_corpus() -> list[Stream]:
    with np.load(FILE, allow_pickle=False) as saved:
        ends = np.cumsum(saved["size"], dtype=np.int64)
        data = saved["data"].tobytes()
        return [
            (data[end - size : end], int(room))
            for end, size, room in zip(ends.tolist(), saved["size"].tolist(), saved["room"].tolist(), strict=True)
        ]


def save_corpus(streams: list[Stream]) -> Path:
    CORPUS.mkdir(exist_ok=True)
    data = np.frombuffer(b"".join(data for data, _ in streams), np.uint8)
    sizes = np.array([len(data) for data, _ in streams], np.uint16)
    np.savez_compressed(FILE, data=data, size=sizes, room=np.array([room for _, room in streams], np.uint16))
    return FILE


def first_streams() -> list[Stream]:
    """Small ones of all kinds."""
    found = [*cases.small(), *cases.by_hand(), *cases.of_all_sizes()[::7], *cases.wrong_by_hand()]
    found += [by_chance(seed, size=(8, 20, 40)[seed % 3]) for seed in range(600)]
    return [(data, room) for data, room in found if len(data) <= WIDTH and 0 < room <= ROOM]


def decode_between_pages(emu: zstd_launch.Emulator, streams: list[Stream], slots: tuple[Slots, Slots], side: int,
                         order: zstd_launch.Order, seed: int, kernel: str = "gz_zstd",
                         lead: Sequence[np.generic] = ()) -> list[tuple[int, bytes]]:  # fmt: skip
    """Statuses and outputs. `side` 1: buffers end where a forbidden page begins; 0: they begin where one ends."""
    froms = [side * (PAGE - len(data)) for data, _ in streams]
    tos = [side * (PAGE - room) for _, room in streams]
    for k, (start, (data, _)) in enumerate(zip(froms, streams, strict=True)):
        slots[0].row(k)[start : start + len(data)] = np.frombuffer(data, np.uint8)
    slots[1].pages[1::2] = GUARD
    status = np.zeros(len(streams), np.int32)
    columns = [
        slots[0].addresses[: len(streams)] + np.array(froms, np.uint64),
        np.array([len(data) for data, _ in streams], np.uint64),
        slots[1].addresses[: len(streams)] + np.array(tos, np.uint64),
        np.array([room for _, room in streams], np.uint64),
        status,
    ]
    args = [*lead, *(np.uint64(column.ctypes.data) for column in columns), np.uint32(len(streams))]
    emu.launch(kernel, len(streams), zstd_launch.THREADS, args, order=order, seed=seed)
    found = []
    for k, (start, (_, room), code) in enumerate(zip(tos, streams, status.tolist(), strict=True)):
        row = slots[1].row(k)
        found.append((code, row[start : start + room].tobytes()))
        row[start : start + room] = GUARD
    if not np.all(slots[1].pages[1::2] == GUARD):
        raise SystemExit("bytes beside an output have changed")
    return found


def decode_staged_between_pages(emu: zstd_launch.Emulator, streams: list[Stream], slots: tuple[Slots, Slots], side: int,
                                order: zstd_launch.Order, seed: int) -> list[tuple[int, bytes] | None]:  # fmt: skip
    """As `decode_between_pages`, behind it, by the two kernels; None for frames that are not for them."""
    sizes, rooms = np.array([[len(data), room] for data, room in streams], np.int64).T
    slab = np.frombuffer(b"".join(data for data, _ in streams), np.uint8)
    rows, blocks = zstd_launch.of_blocks(slab, np.cumsum(sizes) - sizes, sizes, rooms)
    sizes, rooms, tos = sizes[rows], rooms[rows], side * (PAGE - rooms[rows])
    src, dst = (each.addresses[rows].astype(np.int64) for each in slots)
    told = zstd_launch.launch_staged(emu, rows, blocks, src + side * (PAGE - sizes), sizes, dst + tos, rooms,
                                     order=order, seed=seed)  # fmt: skip
    found: list[tuple[int, bytes] | None] = [None] * len(streams)
    for k, start, room, status in zip(rows.tolist(), tos.tolist(), rooms.tolist(), told, strict=True):
        found[k] = status, slots[1].row(k)[start : start + room].tobytes()
        slots[1].row(k)[start : start + room] = GUARD
    if not np.all(slots[1].pages[1::2] == GUARD):
        raise SystemExit("bytes beside an output have changed")
    return found


def compare_staged(streams: list[Stream], got: list[tuple[int, bytes]], staged: list[tuple[int, bytes] | None]) -> int:
    """How many frames the two kernels had; they decode to the same, or are refused by both, whatever for."""
    for (data, room), one, two in zip(streams, got, staged, strict=True):
        if two is not None and one != two and not (one[0] and two[0]):
            raise SystemExit(f"{data.hex()} room {room}: status {one[0]}, in two launches {two[0]}")
    return sum(each is not None for each in staged)


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.fast, self.check = zstd_launch.emulator("fast"), zstd_launch.emulator("check")
        self.fast_staged = zstd_launch.emulator("fast", "staged")
        self.check_staged = zstd_launch.emulator("check", "staged")
        self.slots = Slots(BATCH), Slots(BATCH)
        self.rng, self.dice = np.random.default_rng(seed), random.Random(seed)
        self.known: set[object] = set()
        self.count, self.accepted, self.staged, self.changed, self.batches = 0, 0, 0, 0, 0
        self.last = Path(tempfile.gettempdir()) / f"fuzz-zstd-{seed}.npz"
        self.kept: list[Stream] = []
        for stream in (load_corpus() if FILE.exists() else []) + first_streams():
            self.consider(stream)
        self.pool = Pool(list(self.kept))
        self.good = [stream for stream in self.kept if outcome(*stream).status == 0]

    def consider(self, stream: Stream) -> None:
        """Keeps a frame that reaches a case with a status that it was not seen with."""
        seen: Seen = set()
        status = outcome(*stream, seen).status
        cases_ = {(status, case) for case in seen}
        if not cases_ <= self.known:
            self.known |= cases_
            self.kept.append(stream)

    def step(self) -> None:
        self.batches += 1
        checked = self.batches % 64 == 0
        streams = [(data, max(room, 1)) for data, room in self.pool.mutants(self.rng, 128 if checked else BATCH)]
        order = zstd_launch.ORDERS[self.batches % 3]
        np.savez(self.last, data=np.array([data.hex() for data, _ in streams]), room=[room for _, room in streams])
        if checked:
            got = zstd_launch.decode(self.check, streams, order=order, shift=self.batches % 16)
            staged = zstd_launch.decode_staged(self.check_staged, streams, order=order, shift=self.batches % 16)
        else:
            side = self.batches // 3 % 2
            got = decode_between_pages(self.fast, streams, self.slots, side, order, self.batches)
            staged = decode_staged_between_pages(self.fast_staged, streams, self.slots, side, order, self.batches)
        self.staged += compare_staged(streams, got, staged)
        if self.batches % 8 == 0:
            self.change_afterwards(order)
        before = len(self.kept)
        for stream, found in zip(streams, got, strict=True):
            asked = found[0] == 0 or self.dice.randrange(ASKED) == 0
            wrong = disagreement(stream, found, model=asked)
            if wrong:
                raise SystemExit(wrong)
            if asked:
                self.consider(stream)
            self.accepted += found[0] == 0
        self.count += len(streams)
        self.pool.add(self.kept[before:])

    def change_afterwards(self, order: zstd_launch.Order) -> None:
        """Good frames, of which the kernels find a byte or two changed: nothing is to be compared with."""
        streams = self.dice.sample(self.good, min(len(self.good), 256))
        instead = [bytearray(data) for data, _ in streams]
        for data in instead:
            for _ in range(2):
                data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
        self.changed += len(streams)
        zstd_launch.decode_staged(self.check_staged, streams, instead=[bytes(data) for data in instead], order=order)


def replay(path: Path) -> None:
    check, staged = zstd_launch.emulator("check"), zstd_launch.emulator("check", "staged")
    with np.load(path, allow_pickle=False) as saved:
        streams = [(bytes.fromhex(data), int(room)) for data, room in zip(saved["data"], saved["room"], strict=True)]
    for k, stream in enumerate(streams):
        sys.stdout.write(f"\r{k} {stream[0].hex()} room {stream[1]}\n")
        got = zstd_launch.decode(check, [stream])
        wrong = disagreement(stream, got[0])
        if wrong:
            raise SystemExit(wrong)
        compare_staged([stream], got, zstd_launch.decode_staged(staged, [stream]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write the corpus")
    parser.add_argument("--replay", type=Path, help="a batch to run again, a frame at a time")
    options = parser.parse_args()
    if options.replay:
        replay(options.replay)
        return
    fuzzer = Fuzzer(options.seed)
    begin, told = time.monotonic(), 0.0
    while (spent := time.monotonic() - begin) < options.seconds:
        fuzzer.step()
        if spent - told > 10:
            told = spent
            rate, kept = fuzzer.count / spent, len(fuzzer.kept)
            of_them = f"{fuzzer.accepted} accepted, {fuzzer.staged} in two launches, {kept} kept"
            print(f"{fuzzer.count} frames, {rate:.0f}/s, {of_them}", flush=True)
    two = f"{fuzzer.staged} in two launches, too, and {fuzzer.changed} changed between"
    print(f"zstd: {fuzzer.count} frames, {fuzzer.accepted} accepted, {two}, nothing wrong", flush=True)
    fuzzer.last.unlink(missing_ok=True)
    if options.save:
        path = save_corpus(fuzzer.kept)
        print(f"{len(fuzzer.kept)} frames, {path.stat().st_size} bytes: {path}")


if __name__ == "__main__":
    main()
