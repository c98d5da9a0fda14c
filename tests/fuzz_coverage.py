"""Fuzzes a decoder by what its code reaches: `python tests/fuzz_coverage.py zstd --seconds 600`.

clang's libFuzzer mutates streams and keeps those that run new edges of the kernel, compiled for this machine through
the emulator's shim (fuzz_coverage.cpp says what one execution is). Buffers lie between forbidden pages, array indices
and shifts are checked by the compiler. The format's library is asked each time; the model judges where it and the
kernel differ. The corpus is minimised; `--save` makes tests/corpus/NAME_coverage.npz of it, which the tests replay
without any of this, in check mode too: that looks at every access, shared memory and races included.

Needs clang 14 or later with libFuzzer (Debian: clang, libclang-rt-14-dev), and the format's library (libzstd.so.1,
libz.so.1), Linux on x86-64 or aarch64. Nothing else of this project needs them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import deflate_launch
import fuzz_deflate
import numpy as np
import step_bounds
from deflate_streams import disagreement as deflate_disagreement
from fuzz_zstd import first_streams as zstd_streams
from fuzz_zstd import load_corpus as zstd_corpus
from step_bounds import Bound, zstd_end
from zstd_frames import Stream
from zstd_launch import decode, emulator
from zstd_model import disagreement

from gpuzarr.testing.emulator import source_folder
from gpuzarr.testing.emulator.build import HERE

CORPUS = Path(__file__).parent / "corpus"
HARNESS = Path(__file__).with_suffix(".cpp")
HOOK = "__sanitizer_cov_trace_pc=emu_step"  # counts steps; libFuzzer has one of the same name, which ends the process
MOST = 160 << 10  # bytes of an output
HEAD = 4  # bytes before a stream: how, and the room

COMMON = ["-std=c++17", "-g1", "-fno-strict-aliasing", "-fno-exceptions", "-fno-rtti", "-w", "-DGZ_EMULATED=1"]
COVERAGE = ["-O1", "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp,trace-pc,no-prune"]
UNDEFINED = "-fsanitize=bounds,shift,alignment,integer-divide-by-zero,unreachable"


# ---- inputs --------------------------------------------------------------------------------------------------


def written(stream: Stream, turn: int, framing: int = 0) -> bytes:
    """An input. Order and alignment take turns; `framing` is for kernels that have one."""
    how = turn % 6 + 6 * (5 + framing if framing else turn // 6 % 6) + 48 * (turn // 36 % 5)
    return bytes([how]) + stream[1].to_bytes(3, "little") + stream[0]


def stream_of(data: bytes) -> Stream:
    return data[HEAD:], int.from_bytes(data[1:HEAD], "little")


def framing_of(data: bytes) -> int:
    """What fuzz_coverage.cpp makes of the first byte: most are bare, since few mutations keep a checksum right."""
    return max(data[0] // 6 % 8 - 5, 0)


def put(folder: Path, inputs: Iterable[bytes], longest: int) -> None:
    for k, data in enumerate(inputs):
        if len(data) <= longest:
            (folder / f"first-{k}").write_bytes(data)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A kernel, and what vouches for it."""

    name: str
    threads: int
    library: str
    bound: Bound
    first: Callable[[], list[bytes]]
    judge: Callable[[list[bytes]], list[str | None]]
    framings: int = 1


def judge_zstd(inputs: list[bytes]) -> list[str | None]:
    """What is wrong with what the kernel makes of each; None where the model and libzstd say the same, or why not."""
    streams = [stream_of(data) for data in inputs]
    got = decode(emulator("fast"), streams)
    pairs = zip(streams, got, strict=True)
    return [None if several_frames(stream[0]) and found[0] else disagreement(stream, found) for stream, found in pairs]


def several_frames(data: bytes) -> bool:
    """Whether something follows a frame: libzstd goes on with it, a kernel's row is one frame."""
    return 0 < zstd_end(data) < len(data)


def deflate_inputs() -> list[bytes]:
    saved = fuzz_deflate.load_corpus()
    streams = [[*saved[framing], *fuzz_deflate.first_streams(framing)] for framing in range(3)]
    return [written(stream, k, framing) for framing, some in enumerate(streams) for k, stream in enumerate(some)]


def judge_deflate(inputs: list[bytes]) -> list[str | None]:
    """The same, of zlib alone: the kernel refuses and accepts what it does."""
    found: list[str | None] = []
    for data in inputs:
        stream, framing = stream_of(data), framing_of(data)
        (got,) = deflate_launch.decode(deflate_launch.emulator("fast"), framing, [stream])
        found.append(deflate_disagreement(stream, framing, got))
    return found


DECODERS = {
    "zstd": Decoder(
        "zstd",
        64,
        "libzstd.so.1",
        step_bounds.ZSTD,
        lambda: [written(stream, k) for k, stream in enumerate([*zstd_corpus(), *zstd_streams()])],
        judge_zstd,
    ),
    "deflate": Decoder(
        "deflate",
        deflate_launch.THREADS,
        "libz.so.1",
        step_bounds.DEFLATE,
        deflate_inputs,
        judge_deflate,
        framings=3,
    ),
}


# ---- the corpus ----------------------------------------------------------------------------------------------


def save(decoder: Decoder, folder: Path) -> Path:
    """The corpus as one file, the largest last."""
    inputs = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda data: (len(data), data))
    path = CORPUS / f"{decoder.name}_coverage.npz"
    sizes = np.array([len(data) for data in inputs], np.uint16)
    np.savez_compressed(path, data=np.frombuffer(b"".join(inputs), np.uint8), size=sizes)
    return path


def load(name: str) -> list[bytes]:
    """Inputs as they are: how, room and stream."""
    with np.load(CORPUS / f"{name}_coverage.npz", allow_pickle=False) as saved:
        ends, data = np.cumsum(saved["size"], dtype=np.int64), saved["data"].tobytes()
        return [data[end - size : end] for end, size in zip(ends.tolist(), saved["size"].tolist(), strict=True)]


# ---- the program that runs them ------------------------------------------------------------------------------


def build(decoder: Decoder, folder: Path, aside: Path) -> Path:
    if not shutil.which("clang++"):
        raise SystemExit("there is no clang++: Debian has it in clang, libFuzzer in libclang-rt-14-dev")
    kernel = folder / "kernel.cpp"
    source = source_folder() / f"{decoder.name}.cu"
    kernel.write_text(
        f'#include "shim.h"\nnamespace {{\n#include "{source}"\n}}\nEMU_KERNEL(gz_{decoder.name}, {decoder.threads})\n'
    )
    flags = [*COMMON, f"-I{HERE}", f"-I{source.parent}"]
    watched = [UNDEFINED, f"-fsanitize-trap={UNDEFINED.partition('=')[2]}"]
    defines = {
        f"OF_{decoder.name.upper()}": 1,
        "THREADS": decoder.threads,
        "FRAMINGS": decoder.framings,
        "LIBRARY": f'"{decoder.library}"',
        "ASIDE": f'"{aside}"',
        "STEPS_A_BYTE": decoder.bound.byte,
        "STEPS_A_BLOCK": decoder.bound.block,
    }
    units = {kernel: [*COVERAGE, *watched], HARNESS: ["-O2", *(f"-D{name}={value}" for name, value in defines.items())]}
    units |= {HERE / name: ["-O2"] for name in ("runtime.cpp", "watch.cpp")}
    objects = []
    for unit, own in units.items():
        objects.append(folder / f"{unit.stem}.o")
        subprocess.run(["clang++", *flags, *own, "-c", unit, "-o", objects[-1]], check=True)
    program = folder / "fuzz"
    subprocess.run(["objcopy", f"--redefine-sym={HOOK}", objects[0]], check=True)
    subprocess.run(["clang++", "-fsanitize=fuzzer", *objects, "-ldl", "-o", program], check=True)
    return program


def run(program: Path, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program, *map(str, arguments)], cwd=program.parent)


class Judge:
    """Goes through what was put aside: nothing of it may stay unexplained."""

    def __init__(self, decoder: Decoder, folder: Path) -> None:
        self.decoder, self.folder = decoder, folder
        self.count = 0

    def step(self) -> None:
        paths = sorted(self.folder.iterdir())[:512]
        if not paths:
            return
        inputs = [path.read_bytes() for path in paths]
        for path, wrong in zip(paths, self.decoder.judge(inputs), strict=True):
            if wrong:
                shutil.copy(path, ".")
                raise SystemExit(f"{path.name}, which lies here now: {wrong}")
            path.unlink()
        self.count += len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(DECODERS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=int, default=1024, help="bytes of an input at most")
    parser.add_argument("--folder", type=Path, help="keep the corpus there, and go on with what is in it")
    parser.add_argument("--save", action="store_true", help="write the minimised corpus to tests/corpus")
    options = parser.parse_args()
    decoder = DECODERS[options.name]
    with tempfile.TemporaryDirectory() as work:
        corpus = options.folder or Path(work, "corpus")
        fresh, aside, least = Path(work, "first"), Path(work, "aside"), Path(work, "least")
        for each in (corpus, fresh, aside, least):
            each.mkdir(parents=True, exist_ok=True)
        put(fresh, decoder.first(), options.longest)
        program = build(decoder, Path(work), aside)
        judge = Judge(decoder, aside)
        how = [f"-max_len={options.longest}", f"-seed={options.seed}", "-timeout=60", "-use_value_profile=0"]
        how += ["-print_final_stats=1", f"-artifact_prefix={Path.cwd()}/"]
        fuzzing = run(program, corpus, fresh, f"-max_total_time={options.seconds}", "-reload=0", *how)
        try:
            while fuzzing.poll() is None:
                time.sleep(1)
                judge.step()
        finally:
            fuzzing.kill()
        while any(aside.iterdir()):
            judge.step()
        if fuzzing.returncode:
            raise SystemExit(f"the fuzzer ended with {fuzzing.returncode}; its input is in the current folder")
        print(f"{judge.count} of them are refused, or accepted, on purpose: the model says so of each")
        if options.save:
            if run(program, "-merge=1", least, corpus, fresh, *how[:1]).wait():
                raise SystemExit("the corpus could not be minimised")
            path = save(decoder, least)
            print(f"{len(list(least.iterdir()))} inputs, {path.stat().st_size} bytes: {path}")


if __name__ == "__main__":
    sys.exit(main())
