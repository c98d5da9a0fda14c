"""gz_copy moves byte strings of any size between any addresses, reading and writing nothing else."""

from __future__ import annotations

from collections import Counter
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
"""A size, and how far from a multiple of 256 the source and the target lie."""

ALIGNMENTS = [(0, 0), (0, 1), (1, 0), (3, 3), (5, 12), (8, 0), (15, 4), (2, 13), (4, 8), (9, 9)]
ROWS: list[Row] = [(size, *at) for size in (*range(36), 100, 128, 131, 4096 + 7) for at in ALIGNMENTS]
LONG: list[Row] = [(PIECE * 2 + 5, 0, 0), (0, 0, 0), (PIECE, 3, 1), (PIECE * 3, 6, 6), (1, 0, 0), (PIECE * 2 - 1, 1, 4)]


def copies(b: Buffers, rows: Sequence[Row]) -> None:
    """A launch over rows of noise makes the targets what the sources are."""
    rng = np.random.default_rng(len(rows))
    sources = [b.put(rng.integers(0, 256, size, np.uint8), misalign=at, tag="source") for size, at, _ in rows]
    targets = [b.room(size, misalign=at) for size, _, at in rows]
    first = np.cumsum([0, *(-(-size // PIECE) for size, _, _ in rows)])
    columns = [[s.address for s in sources], [t.address for t in targets], [size for size, _, _ in rows]]
    tables = [*map(b.table, columns), b.table(first, np.int64), np.uint32(len(rows))]
    b.launch("gz_copy", int(first[-1]), THREADS, tables)
    for source, target, row in zip(sources, targets, rows, strict=True):
        assert target.bytes() == source.bytes(), f"size, misalignments: {row}"


@ways("copy.cu")
def test_rows_of_any_size_and_alignment_are_copied(way: Way) -> None:
    with way.buffers() as b:
        copies(b, ROWS)


@ways("copy.cu")
def test_long_rows_are_copied_in_pieces(way: Way) -> None:
    with way.buffers() as b:
        copies(b, LONG)


@ways("copy.cu", orders=["random"])
@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 1200), *[st.integers(0, 31)] * 2), min_size=1, max_size=6))
def test_any_rows_are_copied(way: Way, rows: list[Row]) -> None:
    with way.buffers() as b:
        copies(b, [*rows, (1, 0, 0)])


@pytest.mark.parametrize(("source", "target", "size"), [(0, 0, 16), (8, 8, 16), (0, 4, 4), (1, 0, 4), (3, 6, 4)])
@ways("copy.cu", modes=["check"], orders=["forward"])
def test_all_but_the_edges_moves_in_lines_or_words(way: Way, source: int, target: int, size: int) -> None:
    with way.buffers() as b:
        with b.emulator.traffic() as found:
            copies(b, [(4096, source, target)])
        written = Counter[int]()
        for entry in found:
            written[entry.size] += entry.nbytes if entry.access == "write" else 0
        far = [e for e in found if e.requests > 1 and e.units > 2 * e.least]
    assert written[size] >= 4096 - 30
    assert sum(written.values()) == 4096
    assert not far


@ways("copy.cu", modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        copies(b, ROWS)
        lines = b.emulator.lines()["copy.cu"]
    assert [line for line, count in lines.items() if not count] == []


# What is right, and what stands there instead.
MISTAKES: list[tuple[str, str]] = [
    ("threadIdx.x < size", "threadIdx.x <= size"),
    (
        "if (begin + k * step < lines) value[k] = gz_get(from + begin + k * step);",
        "value[k] = gz_get(from + begin + k * step);",
    ),
    (
        "if (begin + k * step < lines) gz_put(to + begin + k * step, value[k]);",
        "gz_put(to + begin + k * step, value[k]);",
    ),
    ("(gz_u32)src % 4 * 8", "(gz_u32)src % 4"),
    ("gz_get(from + begin + k * step + 1)", "gz_get(from + begin + k * step)"),
    ("src - src % 4", "src"),
    ("begin + k * step >= words", "begin + k * step > words"),
    ("rest < GZ_PIECE", "true"),
    ("(from - to) % 16", "(from - to) % 8"),
    ("(from - to) % 16", "from % 16"),
    ("(gz_u32)(0 - to) % unit + spare", "(gz_u32)(0 - to) % unit"),
    ("(gz_u32)(0 - to) % unit + spare", "(gz_u32)to % unit + spare"),
    ("bytes < head + spare", "bytes < head"),
    ("(bytes - head) % unit + spare", "(bytes - head) % unit"),
    ("gz_copy_edge(to, from, head);", ""),
    ("gz_copy_edge(to + head + body, from + head + body, tail);", ""),
    ("body / 16", "body / 16 - 1"),
    ("body / 4", "body / 4 + 1"),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistaken")
    plant("copy.cu", MISTAKES, folder)
    return folder


def found(way: Way, number: int) -> bool:
    """Whether the kernel with this mistake does wrong, or something that a GPU would not forgive."""
    try:
        with way.buffers() as b:
            switch_on(b, number)
            copies(b, ROWS)
            copies(b, LONG)
    except (AssertionError, DeviceError):
        return True
    return False


@pytest.mark.parametrize("number", range(len(MISTAKES) + 1))
@ways("copy.cu", modes=["check"], orders=["random"])
def test_a_mistake_is_found(way: Way, number: int, mistaken: Path) -> None:
    assert found(Way((mistaken / "copy.cu",), way.mode, way.order), number) == (number > 0)
