"""Chunk grids: tiles cut along one are the same elements, chunk by chunk; keys are what the specifications say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.grid import ChunkKeys, KeyTable, cut, grid_shape

Element = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def column(values: Any, ndim: int) -> Any:
    return np.array(values, np.int64).reshape(-1, ndim)


def entries(tiles: Tiles, row: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The elements of one tile, one at a time: where each lies, and where it lands."""
    if isinstance(tiles, Boxes):
        index = [np.array(i) for i in np.ndindex(*tiles.count[row])]
        return [
            (tuple((tiles.source[row] + tiles.step[row] * i).tolist()), tuple((tiles.target[row] + i).tolist()))
            for i in index
        ]
    if isinstance(tiles, Points):
        run = range(int(tiles.first[row]), int(tiles.first[row] + tiles.count[row]))
        return [(tuple(tiles.positions[j].tolist()), (int(tiles.targets[j]),)) for j in run]
    return [
        (
            tuple(int(p[j]) for p, j in zip(tiles.positions, tiles.first[row] + i, strict=True)),
            tuple(int(t[j]) for t, j in zip(tiles.targets, tiles.first[row] + i, strict=True)),
        )
        for i in np.ndindex(*tiles.count[row])
    ]


def cut_one_by_one(tiles: Tiles, edges: tuple[int, ...]) -> list[Element]:
    """Every element's tile, chunk, place in the chunk and place in the result."""
    return [
        (row, tuple(s // e for s, e in zip(source, edges, strict=True)),
         tuple(s % e for s, e in zip(source, edges, strict=True)), target)
        for row in range(len(tiles))
        for source, target in entries(tiles, row)
    ]  # fmt: skip


def assert_cut(tiles: Tiles, edges: tuple[int, ...]) -> None:
    parent, coords, pieces = cut(tiles, edges)
    found = [
        (int(parent[row]), tuple(coords[row].tolist()), source, target)
        for row in range(len(pieces))
        for source, target in entries(pieces, row)
    ]
    assert sorted(found) == sorted(cut_one_by_one(tiles, edges))
    assert len(parent) == len(coords) == len(pieces)
    order = [(p, *c) for p, c in zip(parent.tolist(), coords.tolist(), strict=True)]
    assert order == sorted(set(order)), "one piece a chunk of a tile, in C order"
    assert (pieces.sizes() > 0).all()


@st.composite
def boxes(draw: st.DrawFn, ndim: int) -> Boxes:
    n = draw(st.integers(0, 4))
    numbers = st.lists(st.integers(0, 9), min_size=ndim * n, max_size=ndim * n)
    source, target, count, step = (np.array(draw(numbers), np.int64).reshape(n, ndim) for _ in range(4))
    return Boxes(source, target, count % 5 + 1, step % 6 + 1)


@st.composite
def tables(draw: st.DrawFn, ndim: int) -> Tables:
    """Sorted tables on every axis; each tile takes whole runs of them, as a cut leaves them."""
    positions, targets, runs = [], [], []
    for _ in range(ndim):
        size = draw(st.integers(1, 8))
        positions.append(np.array(sorted(draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))), np.int64))
        targets.append(np.array(draw(st.permutations(range(size))), np.int64))
        borders = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=2))})
        runs.append([(a, b - a) for a, b in pairwise(borders)])
    chosen = [[draw(st.sampled_from(r)) for r in runs] for _ in range(draw(st.integers(1, 3)))]
    first = np.array([[r[0] for r in tile] for tile in chosen], np.int64).reshape(len(chosen), ndim)
    count = np.array([[r[1] for r in tile] for tile in chosen], np.int64).reshape(len(chosen), ndim)
    return Tables(first, count, tuple(positions), tuple(targets))


@st.composite
def points(draw: st.DrawFn, ndim: int) -> Points:
    counts = draw(st.lists(st.integers(1, 6), max_size=3))
    total = sum(counts)
    positions = draw(st.lists(st.integers(0, 9), min_size=total * ndim, max_size=total * ndim))
    first = np.cumsum([0, *counts])[:-1].astype(np.int64)
    targets = np.array(draw(st.permutations(range(total))), np.int64)
    return Points(first, np.array(counts, np.int64), np.array(positions, np.int64).reshape(total, ndim), targets)


kinds = st.sampled_from([boxes, tables, points])


@given(st.integers(0, 3), kinds, st.data())
def test_cutting_keeps_every_element_and_where_it_lands(ndim: int, kind: Any, data: st.DataObject) -> None:
    edges = tuple(data.draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim)))
    assert_cut(data.draw(kind(ndim)), edges)


@given(st.integers(1, 3), kinds, st.data())
def test_pieces_can_be_cut_again(ndim: int, kind: Any, data: st.DataObject) -> None:
    inner = tuple(data.draw(st.lists(st.integers(1, 3), min_size=ndim, max_size=ndim)))
    outer = tuple(n * data.draw(st.integers(1, 3)) for n in inner)
    _, _, pieces = cut(data.draw(kind(ndim)), outer)
    assert_cut(pieces, inner)


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_single_box_of_many_pieces_is_cut_like_any_other(ndim: int) -> None:
    one = Boxes(*(column([v] * ndim, ndim) for v in (3, 5, 60, 2)))
    assert_cut(one, (2,) * ndim)
    two = Boxes(*(np.concatenate([c, c]) for c in (one.source, one.target, one.count, one.step)))
    parent, coords, pieces = cut(two, (2,) * ndim)
    alone = cut(one, (2,) * ndim)
    assert np.array_equal(coords[parent == 1], alone[1])
    assert np.array_equal(pieces.take(parent == 1).source, alone[2].source)  # type: ignore[union-attr]


@given(st.integers(1, 3), kinds, st.data())
def test_permuted_tiles_are_the_same_elements_of_a_transposed_array(
    ndim: int, kind: Any, data: st.DataObject
) -> None:
    tiles = data.draw(kind(ndim))
    order = tuple(data.draw(st.permutations(range(ndim))))
    turned = tiles.permuted(order)
    for row in range(len(tiles)):
        wanted = [tuple(source[k] for k in order) for source, _ in entries(tiles, row)]
        assert sorted(source for source, _ in entries(turned, row)) == sorted(wanted)


# ---- keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "coords", "key"),
    [
        (ChunkKeys("default", "/"), (1, 23, 45), "c/1/23/45"),
        (ChunkKeys("default", "."), (1, 23, 45), "c.1.23.45"),
        (ChunkKeys("v2", "."), (1, 23, 45), "1.23.45"),
        (ChunkKeys("v2", "/"), (0,), "0"),
        (ChunkKeys("default", "."), (), "c"),
        (ChunkKeys("v2", "/"), (), "0"),
    ],
)
def test_keys_are_those_of_the_specifications_examples(keys: ChunkKeys, coords: Any, key: str) -> None:
    assert keys.key(coords) == key
    assert keys.coords(key, len(coords)) == coords


@given(
    st.sampled_from([ChunkKeys(n, s) for n in ("default", "v2") for s in "/."]),
    st.lists(st.integers(0, 10**12), max_size=4).map(tuple),
)
def test_a_key_names_the_coordinates_it_was_made_of(keys: ChunkKeys, coords: tuple[int, ...]) -> None:
    assert keys.coords(keys.key(coords), len(coords)) == coords


@pytest.mark.parametrize(
    "key", ["", "c", "c/", "c/1/2/3", "c/1", "1/2", "c/01/2", "c/-1/2", "c/1.0/2", "c/²/1", "c/1/2/", "c/1/zarr.json"]
)
def test_other_keys_are_not_chunk_keys(key: str) -> None:
    assert ChunkKeys("default", "/").coords(key, 2) is None


def test_a_key_of_absurd_length_is_not_a_chunk_key() -> None:
    assert ChunkKeys("default", "/").coords("c/" + "9" * 10_000, 1) is None


def test_a_table_of_keys_makes_them_one_by_one_or_by_slices() -> None:
    table = KeyTable("a/b/", ChunkKeys("v2", "."), column([[0, 1], [2, 3], [4, 5]], 2))
    assert (len(table), table[1], table[1:]) == (3, "a/b/2.3", ["a/b/2.3", "a/b/4.5"])
    assert list(table) == ["a/b/0.1", "a/b/2.3", "a/b/4.5"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=4))
def test_the_grid_has_as_many_chunks_as_it_takes(axes: list[tuple[int, int]]) -> None:
    shape, chunks = tuple(n for n, _ in axes), tuple(c for _, c in axes)
    assert grid_shape(shape, chunks) == tuple(len(range(0, n, c)) for n, c in axes)
