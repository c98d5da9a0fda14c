"""gz_checksum finds what google_crc32c, zlib and numcodecs say of the same bytes, and reports what differs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import google_crc32c
import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_faults import plant, switch_on

from gpuzarr.errors import DeviceError
from kernels import Buffers, Way, ways

CHECKSUM = 6  # GZ_CHECKSUM
STORED = 256  # GZ_CHECKSUM_STORED


def fletcher32(data: bytes) -> int:
    """The filter's, which refuses to look at no bytes; its sums are 0 then."""
    return struct.unpack("<I", bytes(numcodecs.Fletcher32().encode(data))[-4:])[0] if data else 0


KINDS: dict[str, tuple[int, Callable[[bytes], int]]] = {
    "crc32c": (0, google_crc32c.value),
    "crc32": (1, zlib.crc32),
    "adler32": (2, zlib.adler32),
    "fletcher32": (3, fletcher32),
}

every_kind = pytest.mark.parametrize("kind", KINDS)


def statuses(
    b: Buffers,
    kind: str,
    rows: Sequence[bytes],
    expected: Sequence[int],
    misalign: Sequence[int],
    *,
    stored: bool = False,
) -> list[int]:
    """What a launch says of the rows; with `stored`, the checksums lie in memory as they do in a chunk."""
    sources = [b.put(row, misalign=by) for row, by in zip(rows, misalign, strict=True)]
    if stored:
        words = [b.put(struct.pack("<I", value), misalign=n % 5, tag="stored") for n, value in enumerate(expected)]
        expected = [word.address for word in words]
    status = b.zeros(len(rows), np.int32)
    tables = [b.table([s.address for s in sources]), b.table([len(row) for row in rows]), b.table(expected)]
    number = np.uint32(KINDS[kind][0] + (STORED if stored else 0))
    b.launch("gz_checksum", len(rows) + 1, 256, [number, *tables, status.pointer, np.uint32(len(rows))])
    return [int(word) for word in status.array(np.int32)]


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


# Around where the first bytes, the tail and the tiles of 4 KiB begin; bytes that carry most, and none.
ROWS = [noise(size) for size in (*range(36), 4095, 4096, 4097, 4115, 8192, 9001, 12288)]
ROWS += [b"\xff" * 9001, b"\0" * 5000, b"\xff\xff" * 3, b"\0" * 4097 + b"\1", b"\1" + b"\0" * 40, b"\0\0\xff\xff" * 5]
MISALIGN = [7 * n % 16 for n in range(len(ROWS))]
ROWS += [b"\xff" * 4096, noise(8192)]
MISALIGN += [0, 0]


@every_kind
@ways("checksum.cu")
def test_right_checksums_pass_and_wrong_ones_are_reported(way: Way, kind: str) -> None:
    right = [KINDS[kind][1](row) for row in ROWS]
    wrong = [value ^ 1 << n % 32 for n, value in enumerate(right)]
    with way.buffers() as b:
        assert statuses(b, kind, ROWS, right, MISALIGN) == [0] * len(ROWS)
        assert statuses(b, kind, ROWS, wrong, MISALIGN) == [CHECKSUM] * len(ROWS)


@every_kind
@ways("checksum.cu", orders=["random"])
@settings(max_examples=20)
@given(
    st.one_of(st.binary(max_size=80), st.builds(noise, st.integers(0, 20000)), st.builds(bytes, st.integers(0, 9000))),
    st.integers(0, 15),
)
def test_any_bytes_have_their_checksum(way: Way, kind: str, row: bytes, misalign: int) -> None:
    with way.buffers() as b:
        assert statuses(b, kind, [row], [KINDS[kind][1](row)], [misalign]) == [0]


@every_kind
@ways("checksum.cu", orders=["random"])
def test_checksums_that_stand_in_memory_are_read_there(way: Way, kind: str) -> None:
    right = [KINDS[kind][1](row) for row in ROWS[:20]]
    with way.buffers() as b:
        assert statuses(b, kind, ROWS[:20], right, MISALIGN[:20], stored=True) == [0] * 20
        wrong = [value ^ 1 << 31 for value in right]
        assert statuses(b, kind, ROWS[:20], wrong, MISALIGN[:20], stored=True) == [CHECKSUM] * 20


@every_kind
@ways("checksum.cu", modes=["fast"], orders=["forward"])
def test_megabytes_of_the_largest_bytes_overflow_nothing(way: Way, kind: str) -> None:
    row = b"\xff" * 20_000_003
    with way.buffers() as b:
        assert statuses(b, kind, [row], [KINDS[kind][1](row)], [5]) == [0]


@ways("checksum.cu", orders=["forward"])
def test_a_status_that_says_more_stays(way: Way) -> None:
    with way.buffers() as b:
        status = b.put(np.array([1], np.int32), tag="status")
        tables = [b.table([b.put(b"abc").address]), b.table([3]), b.table([0])]
        b.launch("gz_checksum", 1, 256, [np.uint32(0), *tables, status.pointer, np.uint32(1)])
        assert status.array(np.int32).tolist() == [1]


@every_kind
@ways("checksum.cu", modes=["check"], orders=["forward"])
def test_threads_read_16_bytes_next_to_each_other(way: Way, kind: str) -> None:
    row = noise(3 * 4096)
    with way.buffers() as b, b.emulator.traffic() as found:
        statuses(b, kind, [row], [KINDS[kind][1](row)], [0])
    wide = [entry for entry in found if entry.space == "global" and entry.size == 16]
    assert sum(entry.nbytes for entry in wide) == len(row) - 16  # the first 4 bytes are seen by themselves
    # The thread that sees them is a tile ahead of its warp from there on: a sector by itself.
    assert all(entry.units <= entry.least + entry.requests for entry in wide)


@ways("checksum.cu", modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        for kind, (_, checksum) in KINDS.items():
            statuses(b, kind, ROWS, [checksum(row) for row in ROWS], MISALIGN)
            statuses(b, kind, ROWS, [0] * len(ROWS), MISALIGN, stored=True)
        lines = b.emulator.lines()
    for name in ("checksum.cu", "checksum.cuh"):
        assert [line for line, count in lines[name].items() if not count] == []


TABLE = "table[k] = gz_crc_shift<P, GZ_CHECKSUM_TILE>((k & 255) << (k / 256 * 8));"
FAULTS: list[tuple[str, str]] = [
    ("(gz_u64)begin + 4", "(gz_u64)begin - 4"),
    ("at < 4 ? mask : 0", "at < 3 ? mask : 0"),
    ("at >= 0", "at > 0"),
    ("odd < size ? odd : (gz_u32)size", "odd"),
    ("before + row.tail < 4", "before + row.tail < 3"),
    ("before + i < 4", "false"),
    (f"{TABLE}\n    __syncthreads();", TABLE),
    ("part[threadIdx.x / 32] = all;\n    __syncthreads();", "part[threadIdx.x / 32] = all;"),
    ("gz_shfl_down(all, 8)", "gz_shfl_down(all, 4)"),
    ("(behind + shifted + 1) / 2", "(behind + 1) / 2"),
    ("!WORDS || shifted", "!WORDS"),
    ("a == 0 && (sum.even | sum.odd)", "false"),
    ("(b + M - 1) % M + 1", "b % M"),
    ("16 * (GZ_CHECKSUM_THREADS - 1 - threadIdx.x) + row.tail", "16 * (GZ_CHECKSUM_THREADS - threadIdx.x)"),
    ("sum != right", "(gz_u8)sum != (gz_u8)right"),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    plant("checksum.cu", FAULTS, folder, ("checksum.cuh",))
    return folder


def found_in(way: Way, number: int) -> bool:
    """Whether the kernel with this fault says something wrong, or does what a GPU would not forgive."""
    try:
        with way.buffers() as b:
            switch_on(b, number)
            for kind, (_, checksum) in KINDS.items():
                right = [checksum(row) for row in ROWS]
                assert statuses(b, kind, ROWS, right, MISALIGN) == [0] * len(ROWS)
                wrong = [value ^ 1 << 31 for value in right]
                assert statuses(b, kind, ROWS, wrong, MISALIGN) == [CHECKSUM] * len(ROWS)
    except (AssertionError, DeviceError):
        return True
    return False


@pytest.mark.parametrize("number", range(len(FAULTS) + 1))
@ways("checksum.cu", modes=["check"], orders=["random"])
def test_planted_faults_are_found(way: Way, number: int, faulty: Path) -> None:
    planted = Way((faulty / "checksum.cu",), way.mode, way.order)
    assert "gz_checksum" in planted.emulator().kernels()
    assert found_in(planted, number) == (number > 0)
