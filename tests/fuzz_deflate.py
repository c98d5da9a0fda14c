"""Fuzzes the DEFLATE kernel by hand, for as long as one likes: `python tests/fuzz_deflate.py --seconds 600 --seed 7`.

As fuzz_zstd.py does, with whose launches it works: thousands of mutated streams a launch, in each framing in turn,
every 64th batch smaller and in check mode; zlib and the kernel have to agree on all. Streams that show something new
(another status with other words of zlib, or kinds of blocks) join those that are mutated; `--save` adds them to
tests/corpus, which the tests replay.

A batch is written to a file before its launch: after a crash, `--replay FILE` runs it again, a stream at a time.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import deflate_cases as cases
import deflate_launch
import numpy as np
from deflate_streams import BARE, GZIP, ZLIB, Stream, by_chance, disagreement, framed, verdict
from fuzz_kernels import BATCH, CORPUS, ROOM, WIDTH, Pool, Slots
from fuzz_zstd import decode_between_pages

FILE = CORPUS / "deflate.npz"


def load_corpus() -> list[list[Stream]]:
    """The streams of each framing."""
    found: list[list[Stream]] = [[], [], []]
    with np.load(FILE, allow_pickle=False) as saved:
        data, at = saved["data"].tobytes(), 0
        for size, room, framing in np.stack([saved["size"], saved["room"], saved["framing"]], 1).tolist():
            found[framing].append((data[at : at + size], room))
            at += size
    return found


def save_corpus(kept: list[list[Stream]]) -> Path:
    CORPUS.mkdir(exist_ok=True)
    rows = [(data, room, framing) for framing, streams in enumerate(kept) for data, room in streams]
    data = np.frombuffer(b"".join(data for data, *_ in rows), np.uint8)
    sizes, rooms = np.array([len(data) for data, *_ in rows], np.uint16), np.array([row[1] for row in rows], np.uint16)
    framings = np.array([row[2] for row in rows], np.uint8)
    np.savez_compressed(FILE, data=data, size=sizes, room=rooms, framing=framings)
    return FILE


def first_streams(framing: int) -> list[Stream]:
    """Small ones of all kinds."""
    bare = [*cases.small(), *cases.by_hand(), *cases.of_all_sizes()[::7]]
    bare += [by_chance(seed, count=(8, 20, 40)[seed % 3]) for seed in range(400)]
    found = [framed(framing, each) for each in bare if len(each[0]) <= WIDTH - 18 and each[1] <= ROOM]
    if framing == BARE:
        found += [(data, room) for data, room, _ in cases.wrong_by_hand()]
    else:
        found += cases.of_zlibs_framing() if framing == ZLIB else cases.of_members()
        found += [(data, room) for data, room, _ in cases.wrong_framings(framing)]
    return [(data, room) for data, room in found if len(data) <= WIDTH and room <= ROOM]


def mended(framing: int, stream: Stream) -> Stream:
    """A stream with the room and the checksums of what it decodes to, if it does: few mutants have the right ones."""
    data, _ = stream
    decoder = zlib.decompressobj(-15)
    try:
        content = decoder.decompress(data[(0, 2, 10)[framing] :], ROOM + 1)
    except zlib.error:
        return stream
    if not decoder.eof or len(content) > ROOM:
        return stream
    tails = b"", struct.pack(">I", zlib.adler32(content)), struct.pack("<II", zlib.crc32(content), len(content))
    at = len(data) - len(decoder.unused_data)
    return data[:at] + tails[framing] + data[at + len(tails[framing]) :], len(content)


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.fast, self.check = deflate_launch.emulator("fast"), deflate_launch.emulator("check")
        self.slots = Slots(BATCH), Slots(BATCH)
        self.rng = np.random.default_rng(seed)
        self.known: set[object] = set()
        self.count, self.accepted, self.batches = 0, 0, 0
        self.last = Path(tempfile.gettempdir()) / f"fuzz-deflate-{seed}.npz"
        self.kept: list[list[Stream]] = [[], [], []]
        saved = load_corpus() if FILE.exists() else [[], [], []]
        for framing in (BARE, ZLIB, GZIP):
            streams = saved[framing] + first_streams(framing)
            got = deflate_launch.decode(self.fast, framing, streams)
            for stream, (status, _) in zip(streams, got, strict=True):
                self.consider(framing, stream, status)
        self.pools = [Pool(list(streams)) for streams in self.kept]

    def consider(self, framing: int, stream: Stream, status: int) -> None:
        """Keeps a stream that has a status with words of zlib, a first block or a size that it was not seen with."""
        data, room = stream
        words = verdict(data, room, framing)[1]
        first = data[(0, 2, 10)[framing] :][:1]
        case = (framing, status, words, first and first[0] & 7, len(data).bit_length() // 3)
        if case not in self.known:
            self.known.add(case)
            self.kept[framing].append(stream)

    def step(self) -> None:
        self.batches += 1
        checked = self.batches % 64 == 0
        framing = self.batches % 3
        pool = self.pools[framing]
        streams = pool.mutants(self.rng, 128 if checked else BATCH)
        streams[::2] = [mended(framing, each) for each in streams[::2]]
        order = deflate_launch.ORDERS[self.batches // 3 % 3]
        lines = np.array([data.hex() for data, _ in streams])
        np.savez(self.last, data=lines, room=[room for _, room in streams], framing=framing)
        if checked:
            got = deflate_launch.decode(self.check, framing, streams, order=order, shift=self.batches % 16)
        else:
            how = {"kernel": "gz_deflate", "lead": [np.uint32(framing)]}
            side = self.batches // 9 % 2
            got = decode_between_pages(self.fast, streams, self.slots, side, order, self.batches, **how)  # type: ignore[arg-type]
        before = len(self.kept[framing])
        for stream, found in zip(streams, got, strict=True):
            wrong = disagreement(stream, framing, found)
            if wrong:
                raise SystemExit(wrong)
            self.consider(framing, stream, found[0])
            self.accepted += found[0] == 0
        self.count += len(streams)
        pool.add(self.kept[framing][before:])


def replay(path: Path) -> None:
    check = deflate_launch.emulator("check")
    with np.load(path, allow_pickle=False) as saved:
        streams = [(bytes.fromhex(data), int(room)) for data, room in zip(saved["data"], saved["room"], strict=True)]
        framing = int(saved["framing"])
    for k, stream in enumerate(streams):
        sys.stdout.write(f"\r{k} {stream[0].hex()} room {stream[1]} framing {framing}\n")
        wrong = disagreement(stream, framing, deflate_launch.decode(check, framing, [stream])[0])
        if wrong:
            raise SystemExit(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write the corpus")
    parser.add_argument("--replay", type=Path, help="a batch to run again, a stream at a time")
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
            rate, kept = fuzzer.count / spent, sum(map(len, fuzzer.kept))
            print(f"{fuzzer.count} streams, {rate:.0f}/s, {fuzzer.accepted} accepted, {kept} kept", flush=True)
    print(f"deflate: {fuzzer.count} streams, {fuzzer.accepted} accepted, nothing wrong", flush=True)
    fuzzer.last.unlink(missing_ok=True)
    if options.save:
        path = save_corpus(fuzzer.kept)
        print(f"{sum(map(len, fuzzer.kept))} streams, {path.stat().st_size} bytes: {path}")


if __name__ == "__main__":
    main()
