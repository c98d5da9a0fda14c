"""How fast the decoders should be on an H100, on paper: `python -m benchmarks.paper --into docs/kernels.md`.

No GPU is needed, and none has confirmed it. Two things are known here: what the machine code of a loop is (NVRTC's,
read back by `sass.py`), and how often the loop runs for real data (the emulator counts it). What lies between, cycles,
is a model: `Latencies` and the numbers of `Device` are its assumptions, and docs/kernels.md prints them with what
follows.

Needs `gpuzarr[test,gates]` and a C++ compiler.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import nibabel.testing
import numpy as np
from numpy.typing import NDArray

from gpuzarr.testing.emulator import Emulator, load, source_folder
from gpuzarr.testing.emulator.traffic import Traffic

from .loops import DECODERS, ZSTD, Decoder, Part
from .report import put_between, table
from .sass import Code, Latencies, Line, cycles

KIB = 1 << 10
SIZES = (64 * KIB, 256 * KIB, 1024 * KIB)
STREAMS = (1_000, 10_000)


@dataclass(frozen=True, slots=True)
class Device:
    """An H100 SXM5, by NVIDIA's data sheet and tuning guide, and how much of its peaks is believed."""

    multiprocessors: int = 132
    clock: float = 1.7e9  # under load
    bandwidth: float = 3.35e12
    schedulers: int = 4  # of a multiprocessor: an instruction a cycle each
    registers: int = 65_536
    shared: int = 228 * KIB
    threads: int = 2048
    issue: tuple[float, float] = (0.8, 0.5)  # of the schedulers' cycles, at most: believed at best and at worst
    memory: float = 0.7  # of the bandwidth, at most


# ---- data ----------------------------------------------------------------------------------------------------


@cache
def data() -> dict[str, bytes]:
    """A megabyte of a scan, as it lies in chunks, and of labels."""
    scan = np.asarray(nibabel.load(Path(str(nibabel.testing.data_path)) / "example4d.nii.gz").dataobj)
    seeds = np.random.default_rng(1).integers(0, 1 << 20, (64, 64), dtype="u4")
    labels = np.kron(seeds, np.ones((8, 8), "u4"))
    return {"MRI, int16": scan.T.tobytes()[: SIZES[-1]], "labels, uint32": labels.tobytes()[: SIZES[-1]]}


# ---- what the emulator counts --------------------------------------------------------------------------------


def launch(emulator: Emulator, decoder: Decoder, stream: bytes, expected: bytes) -> None:
    """Decodes one stream, and looks that it does."""
    source, target = np.frombuffer(stream, np.uint8).copy(), np.zeros(len(expected), np.uint8)
    numbers = (source.ctypes.data, len(stream), target.ctypes.data, len(expected))
    columns: list[NDArray[np.generic]] = [np.array([number], np.uint64) for number in numbers]
    columns.append(np.zeros(1, np.int32))
    buffers = [(column, True, "column") for column in columns] + [(source, True, "input"), (target, False, "output")]
    for buffer, known, tag in buffers:
        emulator.register(buffer.ctypes.data, buffer.nbytes, initialised=known, tag=tag)
    args = [*decoder.lead, *(np.uint64(column.ctypes.data) for column in columns), np.uint32(1)]
    try:
        emulator.launch(decoder.kernel, 1, 64, args)
    finally:
        for buffer, *_ in buffers:
            emulator.unregister(buffer.ctypes.data)
    if target.tobytes() != expected:
        raise SystemExit(f"{decoder.name}: it decodes to something else")


def lines_of(file: str, *texts: str) -> set[Line]:
    found = {
        (file, number)
        for number, line in enumerate((source_folder() / file).read_text("utf-8").splitlines(), 1)
        if any(text in line for text in texts)
    }
    if texts and not found:
        raise SystemExit(f"{file} has no line with {texts}")
    return found


def anywhere(texts: Sequence[str]) -> set[Line]:
    files = sorted(path.name for path in source_folder().glob("*.cu*"))
    return {line for file in files for line in lines_of_some(file, texts)}


def lines_of_some(file: str, texts: Sequence[str]) -> set[Line]:
    text = (source_folder() / file).read_text("utf-8")
    return lines_of(file, *texts) if any(each in text for each in texts) else set()


@dataclass(frozen=True, slots=True)
class Counts:
    """What a launch for one stream ran: each part's iterations by a warp, blocks, batches."""

    size: int
    stored: int
    parts: tuple[float, ...]
    blocks: float
    batches: float


def counted(decoder: Decoder, content: bytes) -> Counts:
    # A build of its own: counts are kept as long as the library is loaded, and others may have used the usual one.
    emulator = load("cover", sources=[decoder.source], defines=["GZ_PAPER"])

    def lines() -> dict[Line, int]:
        return {(file, line): n for file, found in emulator.lines().items() for line, n in found.items()}

    stream = decoder.encode(content)
    before = lines()
    launch(emulator, decoder, stream, content)
    after = lines()

    def ran(file: str, text: str, threads: int) -> float:
        return max(after.get(line, 0) - before.get(line, 0) for line in lines_of(file, text)) / threads

    parts = tuple(ran(part.file, part.mark, part.lanes) for part in decoder.parts)
    return Counts(len(content), len(stream), parts, ran(*decoder.block), ran(*decoder.batch))


def traffic(decoder: Decoder, content: bytes) -> list[Traffic]:
    emulator = load("check", sources=[decoder.source])
    with emulator.traffic(1 << 24) as found:
        launch(emulator, decoder, decoder.encode(content), content)
    return found


# ---- the model -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """An iteration of a part: instructions, and cycles where loads are answered by the first or the second cache."""

    instructions: float
    near: float
    far: float


@cache
def code(decoder: Decoder) -> Code:
    return Code.of(decoder.source, decoder.kernel)


def cost(decoder: Decoder, part: Part, known: Latencies) -> Cost:
    found = code(decoder)
    (line,) = lines_of(part.file, part.at or part.mark)
    loop = found.loop_of(line)
    through = anywhere(part.through) or {line}
    seldom, some = anywhere(part.seldom), anywhere(part.some)
    full, bare = found.way(loop, through, seldom), found.way(loop, through, seldom | some)
    mixed = [
        part.share * of(full) + (1 - part.share) * of(bare)
        for of in (
            len,
            lambda way: cycles(way, known, known.l1),
            lambda way: cycles(way, known, known.l2),
        )
    ]
    return Cost(*mixed)


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream alone on a multiprocessor: cycles at best and at worst, and instructions that its warps issue."""

    cycles: tuple[float, float]
    instructions: float


def alone(decoder: Decoder, counts: Counts, known: Latencies, *, without: Sequence[int] = ()) -> Stream:
    """Warps work side by side within a stage, and meet at a barrier each batch. `without`: parts done by others."""
    costs = [cost(decoder, part, known) for part in decoder.parts]
    found = []
    for far in (False, True):
        stages = {(prepare, warp): 0.0 for prepare in (True, False) for warp in (0, 1)}
        for k, (part, count, each) in enumerate(zip(decoder.parts, counts.parts, costs, strict=True)):
            if k not in without:
                stages[part.prepare, part.warp] += count * (each.far if far else each.near)
        meet = (counts.batches + 4 * counts.blocks) * known.barrier
        found.append(sum(max(stages[prepare, 0], stages[prepare, 1]) for prepare in (True, False)) + meet)
    pairs = enumerate(zip(counts.parts, costs, strict=True))
    issued = sum(n * each.instructions for k, (n, each) in pairs if k not in without)
    return Stream((found[0], found[1]), issued)


def resident(found: Code, device: Device) -> int:
    """Blocks of 64 threads that a multiprocessor holds."""
    assert found.built
    registers = -(-found.built.registers // 8) * 8 * 64
    return min(device.registers // registers, device.shared // (found.built.shared + KIB), device.threads // 64, 32)


def speed(stream: Stream, counts: Counts, count: int, blocks: int, device: Device, *, worst: bool) -> float:
    """Bytes decoded a second, of `count` streams alike."""
    together = min(count / device.multiprocessors, blocks)  # on a multiprocessor, at a time
    taken = stream.cycles[worst]
    issue = together * stream.instructions / (device.schedulers * device.issue[worst])
    rate = device.multiprocessors * together * counts.size / max(taken, issue) * device.clock
    return min(rate, device.bandwidth * device.memory * counts.size / (counts.size + counts.stored))


# ---- tables --------------------------------------------------------------------------------------------------


def gigabytes(low: float, high: float) -> str:
    return f"{low / 1e9:.3g} to {high / 1e9:.3g}"


def loops_table(decoder: Decoder, known: Latencies, device: Device) -> str:
    costs = [cost(decoder, part, known) for part in decoder.parts]
    per = {name: counted(decoder, content[: SIZES[1]]) for name, content in data().items()}
    body = []
    for k, (part, each) in enumerate(zip(decoder.parts, costs, strict=True)):
        counts = [f"{1000 * found.parts[k] / found.size:.3g}" for found in per.values()]
        body.append([part.name, part.unit, f"{each.instructions:.0f}", f"{each.near:.0f}", f"{each.far:.0f}", *counts])
    head = ["loop", "an iteration", "instructions", "cycles, L1", "cycles, L2", *(f"a kB, {name}" for name in per)]
    return table(head, body)


def speeds_table(decoder: Decoder, known: Latencies, device: Device) -> str:
    body, blocks = [], resident(code(decoder), device)
    for name, content in data().items():
        for size in SIZES:
            counts = counted(decoder, content[:size])
            stream = alone(decoder, counts, known)
            row = [name, f"{size // KIB} KiB", f"{counts.size / counts.stored:.2f}"]
            row += [f"{taken / device.clock * 1e6:,.0f}" for taken in stream.cycles]
            for count in STREAMS:
                low, high = (speed(stream, counts, count, blocks, device, worst=worst) for worst in (True, False))
                row.append(gigabytes(low, high))
            body.append(row)
    head = ["data", "a stream", "ratio", "µs, L1", "µs, L2", *(f"{count:,} streams, GB/s" for count in STREAMS)]
    return table(head, body)


def memory_table(decoder: Decoder) -> str:
    """Requests and sectors of global memory for each decoded KiB."""
    content = data()["MRI, int16"][: 16 * KIB]
    rows: dict[tuple[str, str], list[int]] = {}
    for row in traffic(decoder, content):
        each = rows.setdefault((row.space, row.access), [0, 0, 0, 0])
        for k, number in enumerate((row.requests, row.units, row.least, row.nbytes)):
            each[k] += number
    body = [
        [f"{space}, {access}", *(f"{n * KIB / len(content):,.1f}" for n in (requests, units, nbytes)),
         f"{units / requests:.2f}", f"{least / units:.0%}"]
        for (space, access), (requests, units, least, nbytes) in sorted(rows.items())
    ]  # fmt: skip
    head = ["memory", "requests a KiB", "sectors or turns a KiB", "bytes a KiB", "a request", "of which needed"]
    return table(head, body)


def staged_table(known: Latencies, device: Device) -> str:
    """Zstandard in two launches: all blocks' literals and sequences at a time, then every frame's sequences in turn."""
    body = []
    execute = [k for k, part in enumerate(ZSTD.parts) if part.warp == 1 and not part.prepare]
    entropy = [k for k in range(len(ZSTD.parts)) if k not in execute]
    blocks = resident(code(ZSTD), device)
    for name, content in data().items():
        counts = counted(ZSTD, content)
        fused = alone(ZSTD, counts, known)
        first, second = alone(ZSTD, counts, known, without=execute), alone(ZSTD, counts, known, without=entropy)
        for count in (100, *STREAMS):
            of = [
                count * counts.size / speed(stream, counts, count, blocks, device, worst=False)
                for stream in (fused, second)
            ]
            # The blocks of all frames are independent rows of the first launch, each of a block's share.
            many = Counts(*(int(n / counts.blocks) for n in (counts.size, counts.stored)), (), 1, 0)
            share = Stream(
                (first.cycles[0] / counts.blocks, first.cycles[1] / counts.blocks), first.instructions / counts.blocks
            )
            rows = int(count * counts.blocks)
            stage = rows * many.size / speed(share, many, rows, blocks, device, worst=False)
            body.append(
                [name, f"{count:,}", *(f"{1e3 * seconds:.2f}" for seconds in (of[0], stage, of[1], stage + of[1])),
                 f"{of[0] / (stage + of[1]):.2f}"]
            )  # fmt: skip
    head = ["data", "frames of 1 MiB", "fused, ms", "entropy, ms", "execution, ms", "staged, ms", "gain"]
    return table(head, body)


def assumptions_table(known: Latencies, device: Device) -> str:
    cycles_ = {
        "arithmetic": known.arithmetic,
        "counting and finding bits, conversions, special registers": known.slow,
        "shuffles and votes": known.shuffle,
        "loads from shared memory": known.shared,
        "loads from global memory, in the first cache": known.l1,
        "the same, in the second cache": known.l2,
        "a branch, until the next instruction issues": known.branch,
        "a barrier of the block": known.barrier,
    }
    body = [[f"latency of {name}", f"{number} cycles"] for name, number in cycles_.items()]
    issue = " to ".join(f"{part:.0%}" for part in sorted(device.issue))
    body += [
        ["clock", f"{device.clock / 1e9:.1f} GHz"],
        ["multiprocessors, each with 4 schedulers of an instruction a cycle", f"{device.multiprocessors}"],
        ["of these cycles used, when there is enough to do", issue],
        ["memory", f"{device.memory:.0%} of {device.bandwidth / 1e12:.2f} TB/s"],
        ["registers, bytes of shared memory, threads a multiprocessor",
         f"{device.registers:,}, {device.shared:,}, {device.threads:,}"],
    ]  # fmt: skip
    return table(["assumed", "of an H100"], body)


def markdown(known: Latencies, device: Device) -> str:
    parts = [assumptions_table(known, device)]
    for decoder in DECODERS:
        found = code(decoder)
        blocks = resident(found, device)
        parts += [
            f"### `{decoder.kernel}`\n",
            f"{found.built.registers} registers, {found.built.shared:,} bytes of shared memory:",
            f"{blocks} streams a multiprocessor, {blocks * device.multiprocessors:,} at a time on an H100.\n",
            "Its loops, and how often they run for each 1,000 decoded bytes (chunks of 256 KiB):\n",
            loops_table(decoder, known, device),
            "What follows for one stream alone, and for many:\n",
            speeds_table(decoder, known, device),
            "Memory, of the MRI in check mode: sectors of 32 bytes of global memory, turns of shared memory's banks.\n",
            memory_table(decoder),
        ]
    parts += ["### Zstandard in two launches instead\n", staged_table(known, device)]
    return "\n".join(parts)


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.paper", description="Predict the decoders' speed.")
    made.add_argument("--into", type=Path, metavar="FILE.md", help="rewrite what stands between its marks")
    options = made.parse_args()
    text = markdown(Latencies(), Device())
    if options.into:
        put_between(options.into, text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
