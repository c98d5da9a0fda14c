"""The compiled host module puts elements where NumPy puts them, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from native_calls import (
    ITEMS,
    NOISE,
    SENTINEL,
    SMOOTH,
    Bytes,
    Columns,
    Files,
    Tiles,
    encode,
    guarded,
    in_memory,
    layouts,
    many,
    needs,
    needs_module,
    read,
    reversed_units,
    untouched_around,
    whole,
)

from gpuzarr import native

pytestmark = needs_module


@dataclass
class Part:
    """What of one chunk is selected, on one axis."""

    chunk: int
    inside: Columns  # indices in the chunk
    result: Columns  # and in the result


@dataclass
class Scene:
    """Chunks, what is selected of them on each axis, and what has to come out."""

    chunk: Bytes  # any chunk's layout
    values: list[bytes | None]  # rows, in the order of the grid
    axes: list[list[Part]]
    out: Bytes
    around: Bytes
    expected: Bytes
    swap: int
    fill: bytes

    def grid(self) -> list[tuple[int, ...]]:
        return list(np.ndindex(*map(len, self.axes)))

    def rows(self) -> list[tuple[Part, ...]]:
        return [tuple(parts[i] for parts, i in zip(self.axes, at, strict=True)) for at in self.grid()]


def parts_of(indices: Columns, length: int) -> list[Part]:
    """Sorted indices along an axis of chunks of that length, chunk by chunk."""
    chunk = indices // length
    return [Part(int(c), indices[chunk == c] - c * length, np.flatnonzero(chunk == c)) for c in np.unique(chunk)]


@st.composite
def slices(draw: st.DrawFn, n: int) -> Columns:
    start = draw(st.integers(0, n - 1))
    return np.arange(start, draw(st.integers(start + 1, n)), draw(st.sampled_from([1, 1, 1, 2, 3, 7])))


@st.composite
def choices(draw: st.DrawFn, n: int) -> Columns:
    return np.sort(np.array(draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=2 * n)), np.int64))


@st.composite
def scenes(draw: st.DrawFn, along: Any) -> Scene:
    ndim = draw(st.integers(0, 5))
    item, swap = draw(ITEMS)
    length = st.integers(1, 4 if item > 100 else 9 if ndim > 3 else 20 if ndim == 3 else 40)
    shape = tuple(draw(length) for _ in range(ndim))
    whole_shape = tuple(n * draw(st.integers(1, 2)) for n in shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array, fill = rng.integers(0, 256, (*whole_shape, item), np.uint8), rng.bytes(item)
    chosen = [draw(along(n)) for n in whole_shape]
    axes = [parts_of(indices, n) for indices, n in zip(chosen, shape, strict=True)]
    chunk, _ = draw(layouts(shape, item, gaps=False))
    out, around = draw(layouts(tuple(map(len, chosen)), item, gaps=True))
    scene = Scene(chunk, [], axes, out, around, out, swap, fill)
    for row in scene.rows():
        where = tuple(slice(part.chunk * n, part.chunk * n + n) for part, n in zip(row, shape, strict=True))
        if draw(st.integers(0, 5)) == 0:
            array[where] = reversed_units(np.frombuffer(fill, np.uint8), swap)
            scene.values.append(None)
        else:
            chunk[...] = array[where]
            scene.values.append(in_memory(chunk))
    scene.expected = reversed_units(array[np.ix_(*chosen)] if ndim else array, swap)
    return scene


CHAINS = st.sampled_from([(), (), ("crc32c",), ("zstd",), ("crc32c", "lz4")])


def check(scene: Scene, tiles: Tiles, ops: Sequence[str], streaming: bool) -> None:
    stored = [value if value is None else encode(value, ops) for value in scene.values]
    options: dict[str, Any] = {"ops": ops, "swap": scene.swap, "fill": scene.fill, "streaming": streaming}
    statuses = read(stored, scene.out, tiles, scene.chunk, **options)
    assert statuses == [native.ABSENT if value is None else native.OK for value in stored]
    assert np.array_equal(scene.out, scene.expected)
    assert untouched_around(scene.out, scene.around)


def step_of(indices: Columns) -> int:
    return int(indices[1] - indices[0]) if len(indices) > 1 else 1


@many
@given(scenes(slices), CHAINS, st.booleans())
def test_boxes_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    rows = scene.rows()
    source = [[part.inside[0] for part in row] for row in rows]
    target = [[part.result[0] for part in row] for row in rows]
    count = [[len(part.inside) for part in row] for row in rows]
    step = [[step_of(part.inside) for part in row] for row in rows]
    check(scene, Tiles([1] * len(rows), source, target, count, step), ops, streaming)


@many
@given(scenes(slices) | scenes(choices), CHAINS, st.booleans())
def test_tables_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    starts = [np.cumsum([0, *(len(part.inside) for part in parts)]) for parts in scene.axes]
    source = [[starts[d][i] for d, i in enumerate(at)] for at in scene.grid()]
    count = [[len(part.inside) for part in row] for row in scene.rows()]
    tables = (
        [np.concatenate([part.inside for part in parts]) for parts in scene.axes],
        [np.concatenate([part.result for part in parts]) for parts in scene.axes],
    )
    tiles = Tiles([1] * len(count), source, source, count, kind=native.TABLES, tables=tables)
    check(scene, tiles, ops, streaming)


def offsets(indices: list[Columns], strides: tuple[int, ...]) -> Columns:
    """Byte offsets of every element of the grid that indices along each axis span."""
    total = np.zeros(1, np.int64)
    for along, stride in zip(indices, strides, strict=False):
        total = (total[:, None] + along * stride).reshape(-1)
    return total


@many
@given(scenes(choices), CHAINS, st.booleans())
def test_points_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    assume(scene.axes)
    rows = scene.rows()
    froms = [offsets([part.inside for part in row], scene.chunk.strides) for row in rows]
    tos = [offsets([part.result for part in row], scene.out.strides) for row in rows]
    first, count = (np.zeros((len(rows), len(scene.axes)), np.int64) for _ in range(2))
    count[:, 0] = [len(offset) for offset in froms]
    first[:, 0] = np.cumsum(count[:, 0]) - count[:, 0]
    tables = ([np.concatenate(froms)], [np.concatenate(tos)])
    check(scene, Tiles([1] * len(rows), first, first, count, kind=native.POINTS, tables=tables), ops, streaming)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("start", [0, 1, 48])
def test_rows_of_every_length_are_copied_whole(start: int, streaming: bool) -> None:
    chunk = np.resize(NOISE, (3, 300, 1))
    for n in range(1, 300):
        out, around = guarded((3, 400, 1))
        part = out[:, start : start + n]
        tiles = Tiles([1], [(0, 0)], [(0, 0)], [(3, n)])
        assert read([chunk.tobytes()], part, tiles, chunk, streaming=streaming) == [native.OK]
        assert np.array_equal(part, chunk[:, :n])
        assert untouched_around(part, around)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("gap", [1, 2], ids=["dense", "with gaps"])
@pytest.mark.parametrize(("item", "swap"), [(1, 0), (2, 0), (2, 2), (4, 4), (8, 8), (8, 4), (16, 0), (12, 0)])
def test_transposed_chunks_are_turned(item: int, swap: int, gap: int, streaming: bool) -> None:
    array = np.resize(NOISE, (40, 5, 67, item))
    chunk = np.empty((67, 5, 40, item), np.uint8).transpose(2, 1, 0, 3)
    chunk[...] = array
    base, around = guarded((38, 5, 66 * gap, item))
    out = base[:, :, ::gap]
    tiles = Tiles([1], [(1, 0, 1)], [(0, 0, 0)], [(38, 5, 66)])
    assert read([in_memory(chunk)], out, tiles, chunk, swap=swap, streaming=streaming) == [native.OK]
    assert np.array_equal(out, reversed_units(array[1:39, :, 1:67], swap))
    assert untouched_around(out, around)


@pytest.mark.parametrize("ops", [(), ("zstd",), ("blosc",), ("crc32c",)], ids=str)
@pytest.mark.parametrize("files", [True, False], ids=["files", "memory"])
def test_the_beginning_of_a_chunk_is_not_taken_for_all_of_it(tmp_path: Path, files: bool, ops: tuple[str, ...]) -> None:
    needs(*ops)
    chunk = SMOOTH.reshape(-1, 4)
    (tmp_path / "0").write_bytes(encode(chunk, ops))
    stored: Any = [encode(chunk, ops)]
    if files:
        stored = Files(f"{tmp_path}/", [[0]], [(0, 0, -1)], [(0, 0, -1)])
    out, around = guarded((100, 4))
    assert read(stored, out, Tiles([1], [[0]], [[0]], [[100]]), chunk, ops=ops) == [native.OK]
    assert np.array_equal(out, chunk[:100])
    assert untouched_around(out, around)


def test_a_row_may_have_many_tiles_or_none() -> None:
    chunk = SMOOTH[:400].reshape(10, 10, 4)
    out = np.full((3, 4, 4, 4), SENTINEL, np.uint8)
    crops = [(0, 0), (6, 6), (3, 5)]
    flat = out.reshape(12, 4, 4)
    tiles = Tiles([0, 3, 0], crops, [(4 * i, 0) for i in range(3)], [(4, 4)] * 3)
    assert read([b"", chunk.tobytes(), None], flat, tiles, chunk)[1] == native.OK
    for crop, (i, j) in zip(out, crops, strict=True):
        assert np.array_equal(crop, chunk[i : i + 4, j : j + 4])


def test_only_the_rows_asked_for_are_read() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out = np.full((300, 4), SENTINEL, np.uint8)
    tiles = Tiles([1, 1, 1], [[0]] * 3, [[0], [100], [200]], [[100]] * 3)
    assert read([chunk.tobytes()] * 3, out, tiles, chunk, span=(1, 2)) == [-1, native.OK, -1]
    assert (out[:100] == SENTINEL).all()
    assert (out[200:] == SENTINEL).all()
    assert np.array_equal(out[100:200], chunk)


@pytest.mark.parametrize(
    ("source", "count", "step"),
    [((-1, 0), (2, 2), 1), ((0, 9), (1, 2), 1), ((9, 9), (2, 2), 1), ((0, 0), (10, 4), 4), ((2, 0), (2, 2), -3)],
)
def test_a_tile_that_leaves_its_chunk_is_declined(source: tuple[int, int], count: tuple[int, int], step: int) -> None:
    chunk = SMOOTH[: 4 * 91].reshape(-1, 4)
    layout = np.lib.stride_tricks.as_strided(chunk, (10, 10, 4), (36, 4, 1))[:, :9]
    out, around = guarded((20, 20, 4))
    tiles = Tiles([1], [source], [(0, 0)], [count], [(step, step)])
    exact = np.empty((10, 9, 4), np.uint8)
    assert exact.strides == layout.strides
    (status,) = read([exact.tobytes()], out, tiles, exact)
    outside = step != 1 or source != (0, 9)  # (0, 9) is outside its axis, but inside the chunk
    assert status == (native.DECLINED if outside else native.OK)
    assert untouched_around(out, around)


@pytest.mark.parametrize("position", [-1, 100])
def test_a_list_that_leaves_its_chunk_is_declined(position: int) -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded((2, 4))
    for kind, scale in ((native.TABLES, 1), (native.POINTS, 4)):
        tables = ([[5 * scale, position * scale]], [[0, scale]])
        tiles = Tiles([1], [[0]], [[0]], [[2]], kind=kind, tables=tables)
        assert read([chunk.tobytes()], out, tiles, chunk) == [native.DECLINED]
    assert (around == SENTINEL).all()


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("swap", [0, 2])
@pytest.mark.parametrize("files", [True, False], ids=["files", "memory"])
def test_large_uncompressed_chunks_are_read_in_parts(tmp_path: Path, files: bool, swap: int, layout: str) -> None:
    array = np.resize(NOISE, (120, 100, 110, 2))
    chunk = array if layout == "C" else np.empty((110, 100, 120, 2), np.uint8).transpose(2, 1, 0, 3)
    chunk[...] = array
    (tmp_path / "0").write_bytes(b"head" + in_memory(chunk))
    stored: Any = [in_memory(chunk)]
    if files:
        stored = Files(f"{tmp_path}/", [[0]], [(0, 0, chunk.nbytes + 4)], [(0, 4, chunk.nbytes)])
    for source, step, expected in (
        ((7, 20, 3), (2, 1, 3), array[7:107:2, 20:80, 3:93:3]),
        ((105, 20, 90), (-2, 1, -3), array[105:5:-2, 20:80, 90:0:-3]),
    ):
        out, around = guarded((50, 60, 30, 2))
        tiles = Tiles([1], [source], [(0, 0, 0)], [(50, 60, 30)], [step])
        assert read(stored, out, tiles, chunk, swap=swap) == [native.OK]
        assert np.array_equal(out, reversed_units(expected, swap))
        assert untouched_around(out, around)


def test_nothing_is_done_with_shapes_that_make_no_sense() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded(chunk.shape)
    for swap in (1, 3, 8, 16, -4):
        assert read([chunk.tobytes()], out, whole(chunk), chunk, swap=swap) == [native.DECLINED]
    assert (around == SENTINEL).all()
