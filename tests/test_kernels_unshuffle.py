"""gz_unshuffle and gz_bitunshuffle undo what c-blosc and numcodecs do, for any element, size and alignment."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_faults import plant, switch_on
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError
from kernels import Buffers, Way, ways

Bytes = NDArray[np.uint8]
KERNELS = ("gz_unshuffle", "gz_bitunshuffle")
SHUFFLES = dict(zip(KERNELS, (numcodecs.Blosc.SHUFFLE, numcodecs.Blosc.BITSHUFFLE), strict=True))

every_kernel = pytest.mark.parametrize("kernel", KERNELS)


@dataclass(frozen=True, slots=True)
class Row:
    """Bytes as they were shuffled, the size of their elements, and how far from 16 bytes they and the result lie."""

    data: Bytes
    typesize: int
    source: int = 0
    target: int = 0


def undo(b: Buffers, kernel: str, rows: Sequence[Row]) -> list[bytes]:
    """What a launch makes of the rows."""
    sources = [b.put(row.data, misalign=row.source, tag="shuffled") for row in rows]
    targets = [b.room(row.data.size, misalign=row.target) for row in rows]
    pieces = [64 * max(1, 256 // row.typesize) * row.typesize for row in rows]
    first = np.cumsum([0, *(-(-row.data.size // piece) for row, piece in zip(rows, pieces, strict=True))])
    columns = [
        [buffer.address for buffer in sources],
        [buffer.address for buffer in targets],
        [row.data.size for row in rows],
        [row.typesize for row in rows],
    ]
    tables: list[np.generic] = [b.table(column) for column in columns]
    tables += [b.table(first, np.int64), np.uint32(len(rows))]
    b.launch(kernel, int(first[-1]), 256, tables)
    assert all(b.unwritten(target) is None for target in targets)
    return [target.bytes() for target in targets]


def shuffled(kernel: str, data: Bytes, typesize: int) -> Bytes:
    """As c-blosc 1.x does it; tested against it below."""
    count = data.size // typesize
    whole, rest = data[: count * typesize].reshape(count, typesize), data[count * typesize :]
    if kernel == "gz_unshuffle":
        return np.concatenate([whole.T.ravel(), rest])
    if count % 8:
        return data
    rows = np.unpackbits(whole, axis=1, bitorder="little").T
    return np.concatenate([np.packbits(rows, axis=1, bitorder="little").ravel(), rest])


def noise(size: int, seed: int = 0) -> Bytes:
    return np.random.default_rng([size, seed]).integers(0, 256, size, np.uint8)


def comes_back(b: Buffers, kernel: str, shapes: Sequence[tuple[int, int, int, int]]) -> None:
    """Rows of (size, typesize, misalignments) are what they were before they were shuffled."""
    data = [noise(size, seed) for seed, (size, *_) in enumerate(shapes)]
    rows = [Row(shuffled(kernel, d, t), t, *lie) for d, (_, t, *lie) in zip(data, shapes, strict=True)]
    for expected, found, shape in zip(data, undo(b, kernel, rows), shapes, strict=True):
        same = found == expected.tobytes()  # not within the assertion: pytest would take minutes to show the difference
        assert same, f"size, typesize, misalignments: {shape}"


def _shapes() -> Iterator[tuple[int, int, int, int]]:
    for t in (1, 2, 4, 8, 16):
        for size in (0, 1, t - 1, 7 * t, 8 * t + t // 2, 128 * t, 136 * t, 148 * t + 1):
            yield size, t, 0, 0
        yield 16384 + 128 * t, t, 0, 0
        yield 16384 - 8 * t, t, 4, 8
        yield 256 * t + 3, t, 1, 0
        yield 256 * t, t, 0, 1
    for t in (3, 12, 255, 256, 300):
        yield from ((t - 1, t, 0, 0), (64 * t, t, 8, 3), (136 * t + 2, t, 1, 2), (16384 // t * t + 8 * t, t, 0, 0))
    yield 65536 + 72, 9, 0, 0


SHAPES = list(_shapes())


@every_kernel
@ways("unshuffle.cu")
def test_elements_of_any_size_come_back(way: Way, kernel: str) -> None:
    with way.buffers() as b:
        comes_back(b, kernel, SHAPES)


@every_kernel
@ways("unshuffle.cu", orders=["random"])
@settings(max_examples=25)
@given(st.data())
def test_any_rows_come_back(way: Way, kernel: str, data: st.DataObject) -> None:
    typesize = st.one_of(st.integers(1, 17), st.integers(1, 400))
    shape = st.tuples(st.integers(0, 4000), typesize, st.integers(0, 15), st.integers(0, 15))
    shapes = data.draw(st.lists(shape, min_size=1, max_size=5).filter(lambda found: any(size for size, *_ in found)))
    with way.buffers() as b:
        comes_back(b, kernel, shapes)


# ---- what other programs shuffled ----------------------------------------------------------------------------------


def blocks(container: bytes) -> Iterator[Bytes]:
    """The blocks of a Blosc container of LZ4 streams, decompressed but still shuffled; none where all was copied."""
    flags, typesize = container[2:4]
    nbytes, blocksize, _ = struct.unpack("<iii", container[4:16])
    if flags & 2:
        return
    begins = range(0, nbytes, blocksize)
    for begin, position in zip(begins, struct.unpack_from(f"<{len(begins)}i", container, 16), strict=True):
        size = min(blocksize, nbytes - begin)
        split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= 128 and size == blocksize
        streams = []
        for _ in range(typesize if split else 1):
            (csize,) = struct.unpack_from("<i", container, position)
            stream = container[position + 4 : position + 4 + csize]
            room = size // (typesize if split else 1)
            streams.append(stream if csize == room else bytes(numcodecs.LZ4().decode(struct.pack("<i", room) + stream)))
            position += 4 + csize
        yield np.frombuffer(b"".join(streams), np.uint8)


def blosc(data: Bytes, typesize: int, kernel: str, blocksize: int = 0) -> list[Row]:
    found = numcodecs.blosc.compress(data, b"lz4", 9, SHUFFLES[kernel], blocksize, typesize=typesize)
    return [Row(block, typesize) for block in blocks(found)]


@every_kernel
@ways("unshuffle.cu", orders=["random"])
def test_what_blosc_shuffled_comes_back(way: Way, kernel: str) -> None:
    rng = np.random.default_rng(5)
    expected, rows = b"", []
    for typesize in range(1, 256, 9 if way.checked else 1):
        for size in (int(rng.integers(900, 4000)), 8 * typesize * int(rng.integers(2, 9))):
            data = rng.integers(0, 2, size, np.uint8)
            if found := blosc(data, typesize, kernel, int(rng.choice([0, 128, 1000]))):
                rows += found
                expected += data.tobytes()
    assert {row.typesize for row in rows} == set(range(1, 256, 9 if way.checked else 1))
    with way.buffers() as b:
        assert b"".join(undo(b, kernel, rows)) == expected


@pytest.mark.parametrize("typesize", [1, 4, 9])
def test_blosc_shuffles_bits_of_a_multiple_of_eight_elements_or_of_none(typesize: int) -> None:
    for elements in (1000, 1003):
        data = np.random.default_rng(0).integers(0, 3, elements * typesize, np.uint8)
        (row,) = blosc(data, typesize, "gz_bitunshuffle", data.size)
        assert np.array_equal(row.data, data) == (elements % 8 != 0)
        assert np.array_equal(row.data, shuffled("gz_bitunshuffle", data, typesize))


@ways("unshuffle.cu", orders=["random"])
def test_chunks_of_the_shuffle_filter_come_back(way: Way) -> None:
    sizes = (2, 3, 4, 8, 16, 300)
    data = [noise(size * 77) for size in sizes]
    filtered = [bytes(numcodecs.Shuffle(size).encode(d)) for size, d in zip(sizes, data, strict=True)]
    with way.buffers() as b:
        rows = [Row(np.frombuffer(chunk, np.uint8), size) for chunk, size in zip(filtered, sizes, strict=True)]
        assert undo(b, "gz_unshuffle", rows) == [d.tobytes() for d in data]


@every_kernel
@ways("unshuffle.cu", modes=["fast"], orders=["forward"])
def test_the_end_of_a_row_beyond_4_gib_comes_back(way: Way, kernel: str) -> None:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    size, typesize = 5 * 2**30 // 24 * 24 + 24 * 5, 3
    source, target = (mmap.mmap(-1, size, flags) for _ in range(2))
    shuffled_row, row = (np.frombuffer(memory, np.uint8) for memory in (source, target))  # pages cost when touched
    count, elements = size // typesize, 64 * (256 // typesize)
    piece = (count - 1) // elements
    data = noise((count - piece * elements) * typesize)
    planes, each = (typesize, 1) if kernel == "gz_unshuffle" else (8 * typesize, 8)
    parts = shuffled(kernel, data, typesize).reshape(planes, -1)
    for n, part in enumerate(parts):
        begin = (n * count + piece * elements) // each
        shuffled_row[begin : begin + part.size] = part
    with way.buffers() as b:
        columns = [[shuffled_row.ctypes.data], [row.ctypes.data], [size], [typesize]]
        first = b.table([-piece, 1], np.int64)  # the only block does the last piece
        b.launch(kernel, 1, 256, [*map(b.table, columns), first, np.uint32(1)])
    assert np.array_equal(row[piece * elements * typesize :], data)


# ---- how it goes about it ------------------------------------------------------------------------------------------


def moves(b: Buffers, kernel: str, shape: tuple[int, int, int, int]) -> dict[str, set[int]]:
    """Sizes of the accesses to global memory, of those to the rows: tables have their own lines."""
    with b.emulator.traffic() as found:
        comes_back(b, kernel, [shape])
    last = max(entry.line for entry in found)  # the kernel's body, where tables are read
    of_rows = [e for e in found if e.space == "global" and e.file == "unshuffle.cu" and e.line != last]
    return {access: {e.size for e in of_rows if e.access == access} for access in ("read", "write")}


@pytest.mark.parametrize("typesize", [1, 2, 4, 8, 16])
@ways("unshuffle.cu", modes=["check"], orders=["forward"])
def test_aligned_rows_move_in_words(way: Way, typesize: int) -> None:
    with way.buffers() as b:
        assert moves(b, "gz_unshuffle", (256 * typesize, typesize, 0, 0)) == {"read": {16}, "write": {16}}
        assert moves(b, "gz_bitunshuffle", (512 * typesize, typesize, 0, 0)) == {"read": {8}, "write": {16}}


@every_kernel
@ways("unshuffle.cu", modes=["check"], orders=["forward"])
def test_a_warp_touches_few_more_sectors_than_it_needs(way: Way, kernel: str) -> None:
    for typesize in (2, 12, 16):
        with way.buffers() as b:
            with b.emulator.traffic() as found:
                comes_back(b, kernel, [(8192 * typesize, typesize, 0, 0)])
            far = [entry for entry in found if entry.space == "global" and entry.units > 2 * entry.least]
        assert not far


@ways("unshuffle.cu", modes=["cover"], orders=["forward"])
def test_the_tests_run_every_line(way: Way) -> None:
    with way.buffers() as b:
        for kernel in KERNELS:
            comes_back(b, kernel, SHAPES)
        counts = b.emulator.lines()["unshuffle.cu"]
    assert [line for line, count in counts.items() if not count] == []


FAULTS: list[tuple[str, str]] = [
    ("(lie & 15) == 0", "((gz_u64)source & 15) == 0"),
    ("(lie & 3) == 0", "(count & 3) == 0"),
    ("(((gz_u64)from | pitch) & 7) == 0", "((gz_u64)from & 7) == 0"),
    ("((gz_u64)to & 15) == 0 ? typesize : 0", "typesize"),
    ("(((gz_u64)to | (gz_u64)from) & 15) == 0", "((gz_u64)to & 15) == 0"),
    ("if (plane) __syncthreads();", ""),
    (
        "__syncthreads();\n            gz_shuffle_store(to + begin + plane, typesize, tile, stride, planes, m);",
        "gz_shuffle_store(to + begin + plane, typesize, tile, stride, planes, m);",
    ),
    ("count % 8 != 0", "false"),
    ("count - first < elements", "false"),
    ("last ? size - begin : (gz_u64)elements * typesize", "size - begin"),
    ("at.row < planes ? at.row * stride + i : GZ_SHUFFLE_TILE", "at.row * stride + i"),
    ("left < 8 ? left : 8", "8"),
    ("low ^= moved << by;", "low ^= moved;"),
    ("__byte_perm(ab_low, cd_low, 0x7632)", "__byte_perm(ab_low, cd_low, 0x7623)"),
    ("done + threadIdx.x", "done + threadIdx.x + 1"),
    ("column >= width", "column > width"),
    ("middle % b << 16", "0"),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    plant("unshuffle.cu", FAULTS, folder)
    return folder


def found_in(way: Way, number: int, shapes: Sequence[Any]) -> bool:
    """Whether the kernels with this fault do wrong, or something that a GPU would not forgive."""
    try:
        with way.buffers() as b:
            switch_on(b, number)
            for kernel in KERNELS:
                comes_back(b, kernel, shapes)
    except (AssertionError, DeviceError):
        return True
    return False


@pytest.mark.parametrize("number", range(len(FAULTS) + 1))
@ways("unshuffle.cu", modes=["check"], orders=["random"])
def test_planted_faults_are_found(way: Way, number: int, faulty: Path) -> None:
    planted = Way((faulty / "unshuffle.cu",), way.mode, way.order)
    assert set(planted.emulator().kernels()) > set(KERNELS)
    assert found_in(planted, number, SHAPES) == (number > 0)
