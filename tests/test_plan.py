"""Plans name the right bytes for every element, against oracles that go element by element."""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import strategies as some
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr import selection
from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.errors import CodecError
from gpuzarr.grid import ChunkKeys
from gpuzarr.plan import ReadPlan, WritePlan, plan_read, plan_write
from gpuzarr.ranges import WHOLE
from gpuzarr.shard import ABSENT, ShardLevel, entries, place

Coords = tuple[int, ...]
KEYS = ChunkKeys("v2", ".")
INDEX_SIZE = 5


# ---- an array in shards, simulated ---------------------------------------------------------------------------


@dataclass
class Stored:
    """An array of distinct numbers, cut into chunks and levels of shards; some chunks and shards are not there.

    A shard's bytes are made up: an inner chunk's size, and so its place, says which one it is.
    """

    shape: Coords
    chunks: Coords
    levels: tuple[ShardLevel, ...] = ()
    holes: int = 0
    model: NDArray[Any] = field(init=False)
    indexes: dict[tuple[str, int, int], NDArray[np.int64] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = np.arange(math.prod(self.shape)).reshape(self.shape)

    def hole(self, *name: Any) -> bool:
        """Whether something is not stored: decided by its name alone."""
        return self.holes > 0 and zlib.crc32(repr(name).encode()) % self.holes == 0

    def index(self, key: str, offset: int, depth: int) -> NDArray[np.int64] | None:
        """The index of the shard at a place, as a read would find it."""
        name = (key, offset, depth)
        if name not in self.indexes:
            slots = range(self.levels[depth].slots)
            size = 1000 ** (len(self.levels) - depth)
            sizes = [None if self.hole(key, offset, depth, s) else size + s for s in slots]
            where = np.random.default_rng(offset + depth).permutation(len(sizes))  # inner chunks lie in any order
            index = np.empty((len(sizes), 2), np.uint64)
            index[where] = place([sizes[k] for k in where], 0)
            missing = depth == 0 and self.hole(key)
            self.indexes[name] = None if missing else entries(index, 2**62)
        return self.indexes[name]

    def find(self, element: Coords) -> tuple[str, int, int, Coords] | None:
        """Key, offset and length of an element's chunk, and its place in it; None where that is not stored."""
        key = KEYS.key([e // c for e, c in zip(element, self.chunks, strict=True)])
        at: list[int] = [e % c for e, c in zip(element, self.chunks, strict=True)]
        offset, length = 0, WHOLE
        for depth, level in enumerate(self.levels):
            index = self.index(key, offset, depth)
            if index is None:
                return None
            at = [at[k] for k in level.order]
            slot = 0
            for a, c, n in zip(at, level.chunk, level.grid, strict=True):
                slot = slot * n + a // c
            if index[slot, 0] == ABSENT:
                return None
            offset, length = offset + int(index[slot, 0]), int(index[slot, 1])
            at = [a % c for a, c in zip(at, level.chunk, strict=True)]
        return key, offset, length, tuple(at)

    def resolved(self, plan: ReadPlan) -> ReadPlan:
        """The plan with its lookups answered, level after level."""
        depth = 0
        while plan.lookups is not None:
            rows = zip(plan.key.tolist(), plan.offset.tolist(), strict=True)
            plan = plan.resolve([self.index(plan.keys[key], offset, depth) for key, offset in rows])
            depth += 1
        return plan

    def read(self, plan: ReadPlan, view: NDArray[Any]) -> None:
        """Carry out a resolved plan: chunks one by one, elements one by one, each exactly once."""
        where = {found: tuple(e) for e in np.ndindex(*self.shape) if (found := self.find(e)) is not None}
        for tiles, order in plan.absent:
            out = self._turned(view, order, plan.batched)
            for row in range(len(tiles)):
                for _, target in elements(tiles, row):
                    assert out[target] == -1
                    out[target] = -2
        out = self._turned(view, plan.order, plan.batched)
        for row in range(len(plan)):
            name = plan.keys[int(plan.key[row])], int(plan.offset[row]), int(plan.length[row])
            for tile in range(int(plan.starts[row]), int(plan.starts[row + 1])):
                for source, target in elements(plan.tiles, tile):
                    assert out[target] == -1
                    out[target] = self.model[where[(*name, source[plan.batched :])]]

    def _turned(self, view: NDArray[Any], order: Coords, batched: bool) -> NDArray[Any]:
        if view.ndim != len(order) + batched:
            return view
        return view.transpose((0, *(k + 1 for k in order)) if batched else order)

    def wanted(self, index: Any) -> NDArray[Any]:
        """What a NumPy index takes of the array, -2 where nothing is stored."""
        found = np.full(self.shape, -2)
        for e in np.ndindex(*self.shape):
            if self.find(e) is not None:
                found[e] = self.model[e]
        return found[index]


def elements(tiles: Tiles, row: int) -> list[tuple[Coords, Any]]:
    """Where each element of a tile lies, and where it lands."""
    if isinstance(tiles, Boxes):
        source, target, count, step = (c[row].tolist() for c in (tiles.source, tiles.target, tiles.count, tiles.step))
        places = itertools.product(*map(range, count))
        return [
            (
                tuple(s + d * k for s, d, k in zip(source, step, i, strict=True)),
                tuple(t + k for t, k in zip(target, i, strict=True)),
            )
            for i in places
        ]
    first, count = tiles.first[row], tiles.count[row]
    if isinstance(tiles, Points):
        return [(tuple(tiles.positions[j].tolist()), int(tiles.targets[j])) for j in range(first, first + count)]
    runs = itertools.product(*(range(f, f + n) for f, n in zip(first.tolist(), count.tolist(), strict=True)))
    return [
        (
            tuple(int(p[j]) for p, j in zip(tiles.positions, i, strict=True)),
            tuple(int(t[j]) for t, j in zip(tiles.targets, i, strict=True)),
        )
        for i in runs
    ]


@st.composite
def stored(draw: st.DrawFn, ndim: int, most: int = 2) -> Stored:
    """Arrays in up to `most` levels of shards, each with its own order of axes."""
    shape = tuple(draw(st.integers(1, (12, 6, 5)[ndim - 1])) for _ in range(ndim))
    chunk = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    levels: list[ShardLevel] = []
    for _ in range(draw(st.integers(0, most))):
        order = tuple(draw(st.permutations(range(ndim))))
        outer = tuple(c * draw(st.integers(1, 3)) for c in chunk)
        levels.insert(0, ShardLevel(outer, order, chunk, INDEX_SIZE, draw(st.booleans()), False))
        chunk = tuple(outer[order.index(k)] for k in range(ndim))
    return Stored(shape, chunk, tuple(levels), draw(st.sampled_from([0, 2, 5])))


def read_plan(array: Stored, tiles: Tiles, batched: bool = False) -> ReadPlan:
    return plan_read(tiles, array.chunks, KEYS, "", array.shape, array.levels, batched)


# ---- reading -------------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.data())
def test_a_basic_read_takes_every_element_from_its_chunk(ndim: int, data: st.DataObject) -> None:
    array = data.draw(stored(ndim))
    index = data.draw(some.basic(array.shape))
    chosen = selection.select(index, array.shape)
    result = np.full(chosen.shape, -1)
    array.read(array.resolved(read_plan(array, chosen.tiles)), chosen.view(result))
    np.testing.assert_array_equal(result, array.wanted(index))


@given(st.integers(1, 3), st.data())
def test_an_orthogonal_read_takes_every_element_from_its_chunk(ndim: int, data: st.DataObject) -> None:
    array = data.draw(stored(ndim))
    index = data.draw(some.orthogonal(array.shape))
    chosen = selection.orthogonal(index, array.shape)
    result = np.full(chosen.shape, -1)
    array.read(array.resolved(read_plan(array, chosen.tiles)), chosen.view(result))
    mesh, shape = some.orthogonal_of(array.model, index)
    np.testing.assert_array_equal(result, array.wanted(mesh).reshape(shape))


@given(st.integers(1, 3), st.data())
def test_a_read_of_points_takes_every_element_from_its_chunk(ndim: int, data: st.DataObject) -> None:
    array = data.draw(stored(ndim))
    index = data.draw(some.coordinates(array.shape))
    chosen = selection.coordinates(index, array.shape)
    result = np.full(chosen.shape, -1)
    array.read(array.resolved(read_plan(array, chosen.tiles)), chosen.view(result))
    np.testing.assert_array_equal(result, array.wanted(index))


@given(st.integers(1, 3), st.data())
def test_a_batch_reads_every_chunk_once(ndim: int, data: st.DataObject) -> None:
    array = data.draw(stored(ndim))
    size = tuple(data.draw(st.integers(1, n)) for n in array.shape)
    starts = [tuple(data.draw(st.integers(0, n - s)) for n, s in zip(array.shape, size, strict=True)) for _ in range(3)]
    wanted = [tuple(slice(a, a + s) for a, s in zip(start, size, strict=True)) for start in starts]
    _, boxes = selection.boxes(wanted, array.shape)
    plan = array.resolved(read_plan(array, boxes, batched=True))
    result = np.full((3, *size), -1)
    array.read(plan, result)
    np.testing.assert_array_equal(result, np.stack([array.wanted(index) for index in wanted]))
    rows = list(zip(plan.key.tolist(), plan.offset.tolist(), strict=True))
    assert len(set(rows)) == len(rows)


@given(st.data())
def test_rows_are_in_the_order_of_their_bytes(data: st.DataObject) -> None:
    array = data.draw(stored(2))
    plan = array.resolved(read_plan(array, selection.select(..., array.shape).tiles))
    rows = list(zip(plan.key.tolist(), plan.offset.tolist(), strict=True))
    assert rows == sorted(rows)


@given(st.data())
def test_some_rows_of_a_plan_are_a_plan(data: st.DataObject) -> None:
    array = data.draw(stored(2))
    plan = array.resolved(read_plan(array, selection.select(..., array.shape).tiles))
    rows = np.array(data.draw(st.lists(st.integers(0, max(0, len(plan) - 1)), unique=True)), np.int64)[: len(plan)]
    part = plan.take(rows)
    assert part.absent == ()
    for k, row in enumerate(rows.tolist()):
        assert (part.key[k], part.offset[k], part.length[k]) == (plan.key[row], plan.offset[row], plan.length[row])
        assert part.chunk[k].tolist() == plan.chunk[row].tolist()
        mine = [elements(part.tiles, t) for t in range(part.starts[k], part.starts[k + 1])]
        assert mine == [elements(plan.tiles, t) for t in range(plan.starts[row], plan.starts[row + 1])]


# ---- shard indexes -------------------------------------------------------------------------------------------


def sharded(at_start: bool = False, whole: bool = False, levels: int = 1) -> Stored:
    level = ShardLevel((4,), (0,), (2,), INDEX_SIZE, at_start, whole)
    outer = ShardLevel((8,), (0,), (4,), INDEX_SIZE, at_start, whole)
    return Stored((16,), (4,), (level,)) if levels == 1 else Stored((16,), (8,), (outer, level))


@pytest.mark.parametrize(("at_start", "offset"), [(True, 0), (False, -INDEX_SIZE)])
def test_the_index_is_asked_for_at_the_end_where_it_is(at_start: bool, offset: int) -> None:
    lookups = read_plan(sharded(at_start), selection.select(slice(0, 8), (16,)).tiles).lookups
    assert lookups is not None
    assert (lookups.offset.tolist(), lookups.length.tolist()) == ([offset] * 2, [INDEX_SIZE] * 2)


@pytest.mark.parametrize(("at_start", "offset"), [(True, 100), (False, 140 - INDEX_SIZE)])
def test_the_index_of_an_inner_shard_lies_within_it(at_start: bool, offset: int) -> None:
    plan = read_plan(sharded(at_start, levels=2), selection.select(slice(0, 4), (16,)).tiles)
    lookups = plan.resolve([np.array([[100, 40], [140, 40]])]).lookups
    assert lookups is not None
    assert (lookups.offset.tolist(), lookups.length.tolist()) == ([offset], [INDEX_SIZE])


@pytest.mark.parametrize("at_start", [True, False])
def test_an_inner_shard_smaller_than_an_index_is_an_error_with_key_and_chunk(at_start: bool) -> None:
    plan = read_plan(sharded(at_start, levels=2), selection.select(slice(0, 8), (16,)).tiles)
    inner = plan.resolve([np.array([[0, 40], [40, INDEX_SIZE - 1]])])
    with pytest.raises(CodecError, match="too short for its index") as caught:
        _ = inner.lookups
    assert (caught.value.codec, caught.value.key, caught.value.chunk) == ("sharding_indexed", "0", (1,))


def test_a_shard_that_codecs_wrap_is_asked_for_whole() -> None:
    lookups = read_plan(sharded(whole=True), selection.select(..., (16,)).tiles).lookups
    assert lookups is not None
    assert lookups.length.tolist() == [WHOLE] * 4


def test_chunks_without_shards_need_no_lookup() -> None:
    array = Stored((16,), (4,))
    assert read_plan(array, selection.select(..., (16,)).tiles).lookups is None


@pytest.mark.parametrize(
    "entry", [[2**63, 4], [4, 2**63], [2**64 - 1, 4], [4, 2**64 - 1], [90, 11], [2**64 - 5, 10]]
)
def test_an_entry_outside_its_shard_is_an_error_with_key_and_chunk(entry: list[int]) -> None:
    index = entries(np.array([[0, 4], entry], np.uint64), 100)
    read_plan(sharded(), selection.select(slice(0, 2), (16,)).tiles).resolve([index])
    with pytest.raises(CodecError, match="outside the shard") as caught:
        read_plan(sharded(), selection.select(slice(4, 8), (16,)).tiles).resolve([index])
    assert (caught.value.codec, caught.value.key, caught.value.chunk) == ("sharding_indexed", "1", (3,))


# ---- writing -------------------------------------------------------------------------------------------------


def assert_writes(plan: WritePlan, array: Stored, chosen: selection.Selection, leaf: Coords) -> None:
    """Every selected element once, to its place; `whole` and `extent` are as counting gives them."""
    order = plan.order
    values = np.arange(chosen.size).reshape(chosen.shape)
    view = chosen.view(values)
    view = view.transpose(order) if view.ndim == len(order) else view
    found: dict[tuple[Any, ...], int] = {}
    for row in range(len(plan)):
        chunk = plan.chunk[row].tolist()
        inside = {
            i
            for i in np.ndindex(*leaf)
            if all(c * n + a < array.shape[k] for c, n, a, k in zip(chunk, leaf, i, order, strict=True))
        }
        assert math.prod(plan.extent[row].tolist()) == len(inside)
        mine = elements(plan.tiles, row)
        assert not plan.whole[row] or {source for source, _ in mine} == inside
        if isinstance(plan.tiles, Boxes):
            assert plan.whole[row] == (len(mine) == len(inside))
        for source, target in mine:
            element = [0] * len(order)
            for c, n, a, k in zip(chunk, leaf, source, order, strict=True):
                element[k] = c * n + a
            coords = [e // c for e, c in zip(element, array.chunks, strict=True)]
            assert plan.keys[int(plan.key[row])] == KEYS.key(coords)
            assert tuple(element) not in found or not isinstance(plan.tiles, Boxes)
            found[tuple(element)] = view[target]
    wanted = np.full(array.shape, -1)
    for element, value in found.items():
        wanted[element] = value
    expected = np.full(array.shape, -1)
    expected[indexed(chosen, array)] = chosen.view(values)
    np.testing.assert_array_equal(wanted, expected)


def indexed(chosen: selection.Selection, array: Stored) -> Any:
    """A selection's elements as NumPy finds them, axes kept."""
    tiles = chosen.tiles
    if isinstance(tiles, Boxes):
        box = zip(tiles.source[0].tolist(), tiles.count[0].tolist(), tiles.step[0].tolist(), strict=True)
        return tuple(slice(a, a + s * (n - 1) + 1, s) for a, n, s in box)
    assert isinstance(tiles, Tables)
    back = [np.argsort(t) for t in tiles.targets]
    return np.ix_(*(p[b] for p, b in zip(tiles.positions, back, strict=True)))


@given(st.integers(1, 3), st.booleans(), st.data())
def test_a_write_puts_every_element_into_its_chunk(ndim: int, mesh: bool, data: st.DataObject) -> None:
    array = data.draw(stored(ndim, most=0))
    rule, index = (selection.orthogonal, some.orthogonal) if mesh else (selection.select, some.basic)
    chosen = rule(data.draw(index(array.shape)), array.shape)
    plan = plan_write(chosen.tiles, array.chunks, KEYS, "", array.shape)
    if chosen.size:
        assert_writes(plan, array, chosen, array.chunks)
    else:
        assert len(plan) == 0


@given(st.integers(1, 3), st.booleans(), st.data())
def test_a_write_into_shards_descends_to_their_chunks(ndim: int, mesh: bool, data: st.DataObject) -> None:
    array = data.draw(stored(ndim))
    rule, index = (selection.orthogonal, some.orthogonal) if mesh else (selection.select, some.basic)
    chosen = rule(data.draw(index(array.shape)), array.shape)
    plan = plan_write(chosen.tiles, array.chunks, KEYS, "", array.shape)
    leaf = array.chunks
    for level in array.levels:
        above, plan = plan, plan.descend(level)
        leaf = level.chunk
        assert (np.diff(plan.parent) >= 0).all()
        assert len({*zip(plan.parent.tolist(), plan.slot.tolist(), strict=True)}) == len(plan)
        at = above.chunk[plan.parent][:, level.order] * np.array(level.grid) + np.stack(
            np.unravel_index(plan.slot, level.grid), 1
        )
        assert at.tolist() == plan.chunk.tolist()
    if chosen.size:
        assert_writes(plan, array, chosen, leaf)


# ---- a million chunks ----------------------------------------------------------------------------------------


class CountingKeys(ChunkKeys):
    """Chunk keys that count how many were made."""

    made: ClassVar[int] = 0

    def key(self, coords: Any) -> str:
        CountingKeys.made += 1
        return super().key(coords)


def test_a_plan_of_a_million_chunks_makes_no_keys_until_they_are_asked_for() -> None:
    CountingKeys.made = 0
    shape, keys = (1000, 1000, 10), CountingKeys("default", "/")
    chosen = selection.select((slice(None), slice(None), 3), shape)
    plan = plan_read(chosen.tiles, (1, 1, 10), keys, "a/", shape)
    assert len(plan) == len(plan.requests) == 1_000_000
    assert plan.take(np.arange(0, 1_000_000, 7)).requests.length.max() == WHOLE
    assert len(plan_write(chosen.tiles, (1, 1, 10), keys, "a/", shape)) == 1_000_000
    assert CountingKeys.made == 0
    assert plan.keys[123_456] == "a/c/123/456/0"
    assert CountingKeys.made == 1


def test_a_shard_of_a_million_chunks_is_resolved_without_a_key() -> None:
    CountingKeys.made = 0
    level = ShardLevel((1_000_000,), (0,), (1,), 16 * 1_000_000 + 4, False, False)
    index = entries(place([8] * 1_000_000, 0), 2**62)
    plan = plan_read(
        selection.select(slice(None, None, 3), (1_000_000,)).tiles,
        (1_000_000,),
        CountingKeys("default", "/"),
        "a/",
        (1_000_000,),
        (level,),
    ).resolve([index])
    assert len(plan) == 333_334
    assert plan.offset[1:4].tolist() == [24, 48, 72]
    joined, _, _ = plan.requests.coalesced(16, 1 << 20)
    assert len(joined) == 8
    assert CountingKeys.made == 0
