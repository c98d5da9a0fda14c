"""gz_rearrange reorders and clears the bytes of every element, reading and writing nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_faults import plant, switch_on

from gpuzarr.errors import DeviceError
from kernels import Buffers, Way, ways

PIECE, THREADS = 16 << 10, 128

Row = tuple[int, int, int]
"""A number of elements, and how far from a multiple of 256 the source and the target lie."""

ROWS: list[Row] = [(count, *at) for count in (0, 1, 2, 43, 200) for at in ((0, 0), (3, 1), (8, 15))]


def rearranges(b: Buffers, itemsize: int, rows: Sequence[Row]) -> None:
    """A launch over rows of noise gives what NumPy gives."""
    rng = np.random.default_rng(itemsize)
    order = rng.integers(0, itemsize, itemsize) if itemsize > 1 else np.zeros(1, np.int64)
    mask = rng.integers(0, 256, itemsize)
    sizes = [count * itemsize for count, _, _ in rows]
    values = [rng.integers(0, 256, size, np.uint8) for size in sizes]
    sources = [b.put(value, misalign=row[1], tag="source") for value, row in zip(values, rows, strict=True)]
    targets = [b.room(size, misalign=row[2]) for size, row in zip(sizes, rows, strict=True)]
    first = np.cumsum([0, *(-(-size // PIECE) for size in sizes)])
    columns = [[s.address for s in sources], [t.address for t in targets], sizes, order | mask << 32]
    tables = [*map(b.table, columns), np.uint32(itemsize), b.table(first, np.int64), np.uint32(len(rows))]
    b.launch("gz_rearrange", int(first[-1]), THREADS, tables)
    for value, target, row in zip(values, targets, rows, strict=True):
        wanted = value.reshape(-1, itemsize)[:, order] & mask.astype(np.uint8)
        assert target.bytes() == wanted.tobytes(), f"{itemsize} bytes; elements, misalignments: {row}"


@pytest.mark.parametrize("itemsize", [1, 2, 3, 8, 13, 16, 100])
@ways("rearrange.cu")
def test_elements_of_any_size_are_rearranged(way: Way, itemsize: int) -> None:
    with way.buffers() as b:
        rearranges(b, itemsize, ROWS)


@pytest.mark.parametrize("itemsize", [1, 7, 4096])
@ways("rearrange.cu", orders=["random"])
def test_long_rows_are_rearranged_in_pieces(way: Way, itemsize: int) -> None:
    with way.buffers() as b:
        rearranges(b, itemsize, [(2 * PIECE // itemsize + 5, 0, 0), (0, 0, 0), (PIECE // itemsize, 3, 1)])


@ways("rearrange.cu", orders=["random"])
@settings(max_examples=20)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 90), *[st.integers(0, 31)] * 2), min_size=1, max_size=5))
def test_any_rows_are_rearranged(way: Way, itemsize: int, rows: list[Row]) -> None:
    with way.buffers() as b:
        rearranges(b, itemsize, [*rows, (1, 0, 0)])


@ways("rearrange.cu", modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        rearranges(b, 3, ROWS)
        lines = b.emulator.lines()["rearrange.cu"]
    assert [line for line, count in lines.items() if not count] == []


# What is right, and what stands there instead.
MISTAKES: list[tuple[str, str]] = [
    ("rest < GZ_PIECE", "true"),
    ("rest < GZ_PIECE", "false"),
    ("begin % itemsize", "begin % 4"),
    ("src[row] + begin - within", "src[row] + begin"),
    ("dst[row] + begin", "dst[row]"),
    ("at < bytes", "at <= bytes"),
    ("(at + within) % itemsize", "at % itemsize"),
    ("at + within - k", "at - k"),
    ("(gz_u32)(source >> 32)", "255u"),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistaken")
    plant("rearrange.cu", MISTAKES, folder)
    return folder


def found(way: Way, number: int) -> bool:
    """Whether the kernel with this mistake does wrong, or something that a GPU would not forgive."""
    try:
        with way.buffers() as b:
            switch_on(b, number)
            rearranges(b, 7, [*ROWS, (PIECE // 7 + 9, 1, 2)])
    except (AssertionError, DeviceError):
        return True
    return False


@pytest.mark.parametrize("number", range(len(MISTAKES) + 1))
@ways("rearrange.cu", modes=["check"], orders=["random"])
def test_a_mistake_is_found(way: Way, number: int, mistaken: Path) -> None:
    assert found(Way((mistaken / "rearrange.cu",), way.mode, way.order), number) == (number > 0)
