"""Streams for the LZ kernels: of libraries over data as arrays hold it, and written by hand to reach every case."""

from __future__ import annotations

import argparse
import struct
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import cramjam
import nibabel
import nibabel.testing
import numcodecs.blosc
import numcodecs.lz4
import numpy as np
from lz_formats import BLOSCLZ, LZ4, SNAPPY, Format
from numpy.typing import NDArray

Stream = tuple[bytes, int]  # its bytes, and how many it decodes to
Step = tuple[bytes, int, int]  # literals, then a match: its offset and length
Bytes = NDArray[np.uint8]


# ---- data ----------------------------------------------------------------------------------------------------


def labels(side: int) -> NDArray[np.uint32]:
    """A segmentation: large patches of one number each."""
    seeds = np.random.default_rng(1).integers(0, 1 << 20, (side // 8 + 1, side // 8 + 1), dtype="u4")
    return np.kron(seeds, np.ones((8, 8), "u4"))[:side, :side]


@cache
def corpora() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    side = np.arange(96)
    brain = nibabel.load(Path(str(nibabel.testing.data_path)) / "example4d.nii.gz")
    return {
        "mri": np.ascontiguousarray(np.asarray(brain.dataobj)[:, :, 12, 0]),
        "image": (side[:, None] * 20 + side + rng.poisson(8, (96, 96))).astype("u2"),
        "labels": labels(96),
        "walk": np.cumsum(rng.normal(size=4000)).astype("f4"),
        "smooth": np.sin(np.arange(3000) / 90),
        "text": np.frombuffer(Path(argparse.__file__).read_bytes()[:20_000], "u1"),
        "noise": rng.integers(0, 256, 9001, dtype="u1"),
        "constant": np.full(30011, 7, "u1"),
        "mask": (rng.random(40000) < 0.002).astype("u1"),
        "period": np.tile(rng.integers(0, 256, 37, dtype="u1"), 400),
    }


# ---- of libraries --------------------------------------------------------------------------------------------


def blosc_streams(container: bytes) -> list[Stream]:
    """The compressed streams of a Blosc container: none that are stored raw."""
    flags, typesize, nbytes, blocksize = struct.unpack_from("<2xBBii", container)
    streams: list[Stream] = []
    if flags & 2:
        return streams
    for block in range(-(-nbytes // blocksize)):
        (at,) = struct.unpack_from("<i", container, 16 + 4 * block)
        decoded = min(blocksize, nbytes - block * blocksize)
        whole = flags & 0x10 or typesize > 16 or blocksize // typesize < 128 or decoded < blocksize
        count = 1 if whole else typesize
        for _ in range(count):
            (size,) = struct.unpack_from("<i", container, at)
            if size != decoded // count:
                streams.append((container[at + 4 : at + 4 + size], decoded // count))
            at += 4 + size
    return streams


def blosc(name: str, data: NDArray[np.generic], level: int, shuffle: int, blocksize: int = 0) -> list[Stream]:
    packed = numcodecs.blosc.compress(np.ascontiguousarray(data), name.encode(), level, shuffle, blocksize)
    return blosc_streams(bytes(packed))


def of_libraries(form: Format, data: NDArray[np.generic]) -> list[Stream]:
    """What libraries make of it: every level and shuffle of Blosc, and the codec by itself."""
    raw = data.tobytes()
    if form is SNAPPY:
        planes = data.view("u1").reshape(-1, data.itemsize).T.tobytes()  # as Blosc's shuffle leaves it
        return [(bytes(cramjam.snappy.compress_raw(some)), len(some)) for some in (raw, planes, raw[:999], raw[:1])]
    if form is BLOSCLZ:
        sets = [(level, shuffle, size) for level in range(1, 10) for shuffle in (0, 1, 2) for size in (0, 4096)]
        return [stream for chosen in sets for stream in blosc("blosclz", data, *chosen)]
    streams = [(bytes(numcodecs.lz4.compress(raw, acceleration))[4:], len(raw)) for acceleration in (1, 9)]
    for level in (1, 5, 9):
        for shuffle in (0, 1, 2):
            streams += blosc("lz4", data, level, shuffle, 8192) + blosc("lz4hc", data, level, shuffle)
    return streams


# ---- by hand -------------------------------------------------------------------------------------------------


def chained(n: int) -> bytes:
    return b"\xff" * (n // 255) + bytes([n % 255])


def lz4_sequence(literals: bytes, offset: int, length: int) -> bytes:
    high, low = min(len(literals), 15), min(length - 4, 15)
    return b"".join(
        [
            bytes([high << 4 | low]),
            chained(len(literals) - 15) if high == 15 else b"",
            literals,
            struct.pack("<H", offset),
            chained(length - 19) if low == 15 else b"",
        ]
    )


def lz4_last(literals: bytes) -> bytes:
    high = min(len(literals), 15)
    return bytes([high << 4]) + (chained(len(literals) - 15) if high == 15 else b"") + literals


def blosclz_literals(literals: bytes) -> bytes:
    runs = (literals[i : i + 32] for i in range(0, len(literals), 32))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def blosclz_match(offset: int, length: int) -> bytes:
    near = min(offset, 8192) - 1
    more = length - 2
    code = bytes([min(more, 7) << 5 | near >> 8]) + (chained(more - 7) if more >= 7 else b"") + bytes([near & 255])
    return code + (struct.pack(">H", offset - 8192) if offset >= 8192 else b"")


def varint(n: int) -> bytes:
    return (bytes([n & 127 | 128]) + varint(n >> 7)) if n > 127 else bytes([n])


def snappy_literals(literals: bytes) -> bytes:
    last = len(literals) - 1
    if last < 0:
        return b""
    extra = 0 if last < 60 else (last.bit_length() + 7) // 8
    return bytes([(59 + extra if extra else last) << 2]) + (last.to_bytes(extra, "little") if extra else b"") + literals


def snappy_copy(offset: int, length: int) -> bytes:
    if 4 <= length <= 11 and offset < 2048:
        return bytes([offset >> 8 << 5 | (length - 4) << 2 | 1, offset & 255])
    wide = offset >= 65536
    pieces = [64] * (length // 64) + ([length % 64] if length % 64 else [])
    return b"".join(
        bytes([piece - 1 << 2 | 2 + wide]) + struct.pack("<I" if wide else "<H", offset) for piece in pieces
    )


def decoded(steps: Sequence[Step], last: bytes) -> bytes:
    out = bytearray()
    for literals, offset, length in steps:
        out += literals
        for _ in range(length):
            out.append(out[-offset])
    return bytes(out) + last


def written(form: Format, steps: Sequence[Step], last: bytes) -> bytes:
    """The steps, then literals to the end, in the format; offsets and lengths must be ones that it has."""
    if form is LZ4:
        return b"".join(lz4_sequence(*step) for step in steps) + lz4_last(last)
    literals, match = (blosclz_literals, blosclz_match) if form is BLOSCLZ else (snappy_literals, snappy_copy)
    start = varint(len(last) + sum(len(step[0]) + step[2] for step in steps)) if form is SNAPPY else b""
    return start + b"".join(literals(step[0]) + match(*step[1:]) for step in steps) + literals(last)


LITERALS = (0, 1, 2, 13, 14, 15, 16, 17, 31, 32, 33, 47, 48, 49, 60, 61, 64, 65, 100, 255, 256, 269, 270, 271, 525, 600)
LENGTHS = (
    4,
    5,
    8,
    9,
    10,
    11,
    12,
    17,
    18,
    19,
    20,
    31,
    32,
    33,
    34,
    63,
    64,
    65,
    66,
    128,
    200,
    263,
    264,
    273,
    274,
    275,
    529,
    900,
)
OFFSETS = (*range(1, 36), 63, 64, 65, 66, 96, 127, 128, 129, 255, 256, 257, 511, 512, 513, 2047, 2048, 2049, 4096, 8191,
           8192, 8193, 9000, 16384, 65534, 65535)  # fmt: skip


def program(seed: int, count: int = 24) -> tuple[list[Step], bytes]:
    """Steps at random, over all three lists: the first has literals."""
    rng = np.random.default_rng(seed)
    steps: list[Step] = []
    size = 0
    for k in range(count):
        literals = rng.integers(0, 256, int(rng.choice(LITERALS)) + (k == 0), dtype="u1").tobytes()
        size += len(literals)
        offset = int(rng.choice([o for o in OFFSETS if o <= size]))
        length = int(rng.choice(LENGTHS))
        size += length
        steps.append((literals, offset, length))
    return steps, rng.integers(0, 256, 12 + int(rng.integers(40)), dtype="u1").tobytes()


def by_hand(form: Format) -> list[Stream]:
    """Every offset to 70 with every length; long literals and matches; far offsets; random mixtures."""
    start = np.random.default_rng(3).integers(0, 256, 71, dtype="u1").tobytes()
    each = product(range(1, 71), (*range(4, 40), 99))
    programs: list[tuple[list[Step], bytes]] = [([(start[:at], at, length)], start[:13]) for at, length in each]
    programs += [([(start, 60, length), (b"", 7, length)], start[:13]) for length in LENGTHS]
    for n in (0, 1, 254, 255, 256, 510, 9000):  # around the chains' steps of 255
        large = np.random.default_rng(n).integers(0, 256, 15 + n, dtype="u1").tobytes()
        programs.append(([(large, 9, 19 + n), (b"", 2, 9 + n), (b"", len(large), 30)], large))
        programs += [([], large), ([(b"ab", 1, 19 + n), (b"c", 3, 9 + n)], start[:13])]
    noise = np.random.default_rng(5).integers(0, 256, 80_001, dtype="u1").tobytes()
    programs += [([(noise, offset, 40)], start) for offset in (8191, 8192, 8193, 65_534, 65_535)]
    programs.append(([(b"long", 3, 200_000)], start))  # its chain is longer than what is held of the input
    programs += [program(seed) for seed in range(60)]
    beyond = {"blosclz": (65_536, 73_726, 73_727), "snappy": (65_536, 80_000)}
    programs += [([(noise, offset, 50)], start) for offset in beyond.get(form.name, ())]
    return [(written(form, *program), len(decoded(*program))) for program in programs]


def wrong_by_hand(form: Format) -> list[Stream]:
    """One too far, too long, too few: what random damage seldom makes; and right ones beside them."""
    last = bytes(range(20))
    one_off = product((1, 14, 40, 200), (0, 1))
    programs: list[list[Step]] = [[(bytes(range(n)), n + more, 6), (b"abc", 3, 5)] for n, more in one_off]
    streams = [(written(form, steps, last), sum(len(s[0]) + s[2] for s in steps) + 20) for steps in programs]
    noise = np.random.default_rng(6).integers(0, 256, 8300, dtype="u1").tobytes()
    far: list[Step] = [(noise, 8200, 300)]
    ends = written(form, far, b""), 8600
    streams += [(ends[0][: len(ends[0]) - cut], ends[1] + lie) for cut in range(6) for lie in (-1, 0, 1)]
    streams += [(data, room + lie) for data, room in streams for lie in (-1, 1)]
    if form is SNAPPY:
        sizes = [bytes([128 + 5, 128, 128, 128, top]) for top in (0, 1, 15, 16, 31, 32, 128, 144)]
        sizes += [b"\x85\0", b"\x85\x80", b"\x85"]
        streams += [(size + snappy_literals(bytes(n)), 5) for size in sizes for n in (4, 5, 6)]
        streams += [(b"\5" + bytes([252]) + struct.pack("<I", n - 1) + b"abcde", 5) for n in (4, 5, 6, 2**31, 2**32)]
    return streams + (lz4_ends() if form is LZ4 else [])


def lz4_ends() -> list[Stream]:
    """Blocks whose last sequences come near the ends of input and output in every way that liblz4 tells apart."""
    start = lz4_sequence(bytes(range(40)), 20, 30)  # 70 bytes of output
    streams = []
    sizes = product((0, 1, 6, 9, 11, 13, 14, 15, 16), (4, 16, 17, 18, 19, 20), (*range(8), 11, 12, 13))
    for literals, length, last in sizes:
        for offset in (0, 7, 8, 20) if last in (0, 4, 5) or literals == 14 else (8,):
            data = lz4_sequence(bytes(literals), offset, length) + lz4_last(bytes(last))
            streams += [(start + data, 70 + literals + length + last + lie) for lie in (-1, 0, 1)]
            streams.append((data, literals + length + last))
    twice = [lz4_sequence(bytes(14), 9, 18) + lz4_sequence(b"12", 3, length) for length in (4, 5, 8)]
    streams += [(start + data + lz4_last(bytes(n)), 106 + data[-3] % 16 + n + 2) for data in twice for n in range(14)]
    return streams
