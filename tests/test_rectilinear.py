"""Rectilinear chunk grids: read, written, resized and shown, in whatever memory, and by other implementations."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gpuzarr
from gpuzarr import edges, errors, selection
from gpuzarr.edges import Runs
from gpuzarr.execute import windows
from gpuzarr.grid import ChunkKeys
from gpuzarr.metadata import parse_v3
from gpuzarr.plan import plan_read, plan_write
from gpuzarr.testing import simulated_device, to_host

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def document(shape: list[int], grid: dict[str, Any], *codecs: Any) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "int16",
        "chunk_grid": grid,
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 7,
        "codecs": [*codecs] or [LITTLE],
    }


def rectilinear(*axes: Any) -> dict[str, Any]:
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": list(axes)}}


def parsed(shape: list[int], grid: dict[str, Any], *codecs: Any) -> Any:
    return parse_v3(json.dumps(document(shape, grid, *codecs)).encode())


# ---- the lengths of an axis ------------------------------------------------------------------------------------------

RUNS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=6)


@given(RUNS)
def test_runs_are_the_chunks_they_stand_for(pairs: list[tuple[int, int]]) -> None:
    lengths = np.array([length for length, count in pairs for _ in range(count)])
    begin = np.concatenate(([0], np.cumsum(lengths)))
    edge = Runs.of(pairs)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    assert (len(edge), edge.size) == (len(lengths), lengths.sum())
    assert all(a != b for (a, _), (b, _) in zip(edge.runs, edge.runs[1:], strict=False))
    position = np.arange(edge.size)
    assert (position // edge).tolist() == [i // edge for i in position.tolist()] == owner.tolist()
    assert (position % edge).tolist() == [i % edge for i in position.tolist()] == (position - begin[owner]).tolist()
    assert (np.arange(len(edge) + 1) * edge).tolist() == [k * edge for k in range(len(edge) + 1)] == begin.tolist()
    for n in range(edge.size + 1):
        touched = int(np.searchsorted(begin[:-1], n))
        assert edges.chunks_within(n, edge) == touched
        assert edges.listed(n, edge) == tuple(np.diff(np.minimum(begin[: touched + 1], n)).tolist())
        if n:
            assert edges.lengths_within(n, edge) == sorted(set(lengths[:touched].tolist()))


def test_runs_are_never_expanded() -> None:
    huge = Runs.of([(3, 10**15), (5, 10**17), (1, 1)])
    assert (huge.size - 1) // huge == len(huge) - 1 == 10**15 + 10**17
    assert (10**15 + 2) * huge == 3 * 10**15 + 10
    keys, shape = ChunkKeys(), (huge.size,)
    chosen = selection.select(slice(huge.size - 8, None), shape)
    plan = plan_read(chosen.tiles, (huge,), keys, "", shape)
    assert plan.chunk[:, 0].tolist() == [len(huge) - 3, len(huge) - 2, len(huge) - 1]
    assert plan.tiles.count[:, 0].tolist() == [2, 5, 1]  # type: ignore[union-attr]
    far = selection.select(slice(None, None, 10**16), shape)
    assert len(plan_read(far.tiles, (huge,), keys, "", shape)) == len(range(0, huge.size, 10**16))
    with pytest.raises(errors.SelectionError, match="chunks"):
        plan_read(selection.select(..., shape).tiles, (huge,), keys, "", shape)


# ---- documents -------------------------------------------------------------------------------------------------------


def test_the_grid_of_the_specification_is_read() -> None:
    found = parsed([6] * 5, rectilinear([[2, 3]], [[1, 6]], [1, [2, 1], 3], [[1, 3], 3], [6]))
    assert [edges.listed(6, edge) for edge in found.chunks] == [(2,) * 3, (1,) * 6, (1, 2, 3), (1, 1, 1, 3), (6,)]


@pytest.mark.parametrize(
    ("axes", "chunks"),
    [
        (([5, 10, 5], 4), (Runs(((5, 1), (10, 1), (5, 1))), 4)),
        (([[5, 2], 5, [10, 9]], [7]), (Runs(((5, 3), (10, 9))), Runs(((7, 1),)))),
        ((4, 3), (4, 3)),
    ],
)
def test_a_grid_is_written_as_the_specification_has_it(axes: Any, chunks: Any) -> None:
    found = parsed([20, 7], rectilinear(*axes))
    assert found.chunks == chunks
    again = parse_v3(found.documents()["zarr.json"])
    assert again == found
    assert json.loads(found.documents()["zarr.json"])["chunk_grid"]["name"] == (
        "regular" if chunks == (4, 3) else "rectilinear"
    )


def test_the_spelling_of_zarr_python_3_2_is_read_and_written_as_the_registered_one() -> None:
    legacy = {"name": "regular", "configuration": {"chunk_shape": [2, [5, 10, 5]]}}
    with pytest.warns(gpuzarr.metadata.MetadataWarning, match="rectilinear"):
        found = parsed([4, 20], legacy)
    written = json.loads(found.documents()["zarr.json"])["chunk_grid"]
    assert written == rectilinear(2, [5, 10, 5])


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        (rectilinear([5, 5], 4), "10 elements in all, the axis 20"),
        (rectilinear([5, 15]), "2 lengths"),
        (rectilinear([5, 0, 15], 4), "0 is no length"),
        (rectilinear([5, -5, 20], 4), "-5 is no length"),
        (rectilinear([], 4), "0 elements"),
        (rectilinear([20.5], 4), "20.5 is no length"),
        (rectilinear([[5, 4, 1]], 4), "no pair"),
        (rectilinear([[5, 0]], 4), "0 is no length or count"),
        (rectilinear([[5, [4]]], 4), "no length or count"),
        (rectilinear([20], 0), "0 is no length"),
        (rectilinear("all", 4), "no length"),
        (rectilinear([2**63], 4), "no length"),
        (rectilinear([[2**40, 2**40]], 4), "64 bits"),
        (rectilinear([2**62, 2**62, 2**62], 4), "64 bits"),
        (rectilinear([2**41], 4), "bytes"),
        ({"name": "rectilinear", "configuration": {"chunk_shapes": [[20], 4]}}, "kind"),
        ({"name": "rectilinear", "configuration": {"kind": "remote", "chunk_shapes": [[20], 4]}}, "kind"),
        ({"name": "rectilinear", "configuration": {"kind": "inline"}}, "lengths"),
        ({"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[20], 4], "more": 1}}, "more"),
    ],
)
def test_a_malformed_grid_is_refused(grid: dict[str, Any], reason: str) -> None:
    with pytest.raises(errors.MetadataError, match=reason) as caught:
        parsed([20, 7], grid)
    assert caught.value.field == "chunk_grid"


def test_what_lies_past_the_array_may_be_of_any_size() -> None:
    assert parsed([20, 7], rectilinear([20, 2**50, [2**30, 2**20]], 4)).largest == (20, 4)


def test_more_runs_than_any_array_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "MAX_RUNS", 3)
    assert len(Runs.of([(1, 1), (2, 1), (2, 10**9), (1, 1)]).runs) == 3
    with pytest.raises(errors.MetadataError, match="runs"):
        Runs.of([(1, 1), (2, 1), (1, 1), (2, 1)])


def test_an_empty_axis_needs_no_chunks() -> None:
    found = parsed([0, 7], rectilinear([], [3, 4]))
    array = gpuzarr.create_array({}, shape=(0, 7), chunks=[[4, 4], [3, 4]], dtype="int16")
    assert found.shape == (0, 7)
    assert (array[...].shape, array.nchunks, array.read_chunk_sizes) == ((0, 7), 0, ((), (3, 4)))


# ---- arrays ----------------------------------------------------------------------------------------------------------

CODECS = (
    [],
    [{"name": "zstd", "configuration": {"level": 1}}],
    [{"name": "blosc", "configuration": {"cname": "lz4"}}],
    [{"name": "gzip", "configuration": {"level": 1}}, "crc32c"],
)


@st.composite
def lengths(draw: st.DrawFn, unit: int) -> tuple[int, Any]:
    """An axis: its elements, and its chunks, of multiples of `unit` elements."""
    if not draw(st.integers(0, 3)):
        return draw(st.integers(0, 12)), unit * draw(st.integers(1, 3))
    found = [unit * n for n in draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))]
    n = sum(found)
    return n, found


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    """How an array of a rectilinear grid is made: chunks, or shards, of several lengths."""
    ndim = draw(st.integers(1, 3))
    sharded = draw(st.booleans())
    inner = tuple(draw(st.integers(1, 3)) if sharded else 1 for _ in range(ndim))
    axes = [draw(lengths(unit)) for unit in inner]
    how: dict[str, Any] = {"shape": tuple(n for n, _ in axes), "dtype": draw(st.sampled_from(["int16", "float64"]))}
    grid = [edge for _, edge in axes]
    order = draw(st.permutations(range(ndim)))
    turned = {"name": "transpose", "configuration": {"order": list(order)}}
    how |= {"chunks": inner, "shards": grid} if sharded else {"chunks": grid}
    return how | {"filters": [turned], "compressors": draw(st.sampled_from(CODECS)), "fill_value": 3}


def values(how: dict[str, Any], seed: int = 0) -> NDArray[Any]:
    """Values, many of which are the fill value."""
    return np.random.default_rng(seed).integers(2, 5, how["shape"]).astype(how["dtype"])


@contextmanager
def made(how: dict[str, Any], local: bool, executor: gpuzarr.Executor) -> Iterator[tuple[gpuzarr.Array, NDArray[Any]]]:
    """The array with values in it, which were written whole and then in part; and the values."""
    with strategies.Case((), "u1", local=local).store() as where:
        array, model = gpuzarr.create_array(where, executor=executor, **how), values(how)
        array[...] = model
        part = tuple(slice(n // 4, n - n // 3) for n in model.shape)
        array[part] = model[part] = 9
        yield array, model


@settings(max_examples=35)
@given(arrays(), st.booleans(), st.sampled_from(strategies.EXECUTORS), st.data())
def test_every_selection_is_numpys(
    how: dict[str, Any], local: bool, executor: gpuzarr.Executor, data: st.DataObject
) -> None:
    with strategies.small_runs(), made(how, local, executor) as (array, model):
        assert_reads(array, model, data.draw)


@settings(max_examples=20)
@given(arrays(), st.data())
def test_every_selection_is_numpys_on_a_device(how: dict[str, Any], data: st.DataObject) -> None:
    executor = gpuzarr.Executor(threads=2, window=data.draw(st.sampled_from([1, 50, 1 << 20])))
    with made(how, False, executor) as (array, model):
        assert_reads(array.configure(meta_array="simulated"), model, data.draw)


def assert_reads(array: gpuzarr.Array, model: NDArray[Any], draw: Any) -> None:
    wanted = draw(strategies.basic(model.shape))
    assert np.array_equal(to_host(array[wanted]), model[wanted])
    wanted = draw(strategies.orthogonal(model.shape))
    mesh, shape = strategies.orthogonal_of(model, wanted)
    assert np.array_equal(to_host(array.oindex[wanted]), model[mesh].reshape(shape))
    wanted = draw(strategies.coordinates(model.shape))
    assert np.array_equal(to_host(array.vindex[wanted]), model[wanted])
    grid = tuple(map(len, array.write_chunk_sizes))
    if all(grid):
        block = tuple(draw(st.integers(0, n - 1)) for n in grid)
        ends = [np.cumsum((0, *sizes)) for sizes in array.write_chunk_sizes]
        part = tuple(slice(end[b], end[b + 1]) for end, b in zip(ends, block, strict=True))
        assert np.array_equal(to_host(array.blocks[block]), model[part])
        crops = [tuple(slice(min(k, n - 1), min(k, n - 1) + 1) for n in model.shape) for k in (0, 2, 5, 5)]
        assert np.array_equal(to_host(array.read_many(crops)), np.stack([model[crop] for crop in crops]))


@settings(max_examples=35)
@given(arrays(), st.booleans(), st.sampled_from(strategies.EXECUTORS), st.data())
def test_every_assignment_is_numpys(
    how: dict[str, Any], local: bool, executor: gpuzarr.Executor, data: st.DataObject
) -> None:
    with strategies.small_runs(), made(how, local, executor) as (array, model):
        wanted = data.draw(strategies.basic(model.shape))
        array[wanted] = model[wanted] = 1
        wanted = data.draw(strategies.orthogonal(model.shape))
        mesh, _ = strategies.orthogonal_of(model, wanted)
        array.oindex[wanted] = 2
        model[mesh] = 2
        wanted = data.draw(strategies.coordinates(model.shape))
        array.vindex[wanted] = 3
        model[wanted] = 3
        assert np.array_equal(array[...], model)


SHAPES = st.lists(st.integers(0, 30), min_size=3, max_size=3)


@settings(max_examples=35)
@given(arrays(), SHAPES, SHAPES)
def test_resizing_keeps_what_stays_inside(how: dict[str, Any], one: list[int], two: list[int]) -> None:
    with made(how, False, strategies.PYTHON) as (array, model):
        for new in (one[: model.ndim], two[: model.ndim]):
            wanted = np.full(new, 3, model.dtype)
            kept = tuple(slice(0, min(a, b)) for a, b in zip(model.shape, new, strict=True))
            wanted[kept] = model[kept]
            model = wanted
            array.resize(new)
            assert np.array_equal(array[...], model)
            again = gpuzarr.open_array(array.store)
            assert again.metadata == array.metadata
            assert np.array_equal(again[...], model)


BIG = {"name": "bytes", "configuration": {"endian": "big"}}
TURNED = {"name": "transpose", "configuration": {"order": [1, 0]}}
DELTA = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}


def shards(chunk: list[int], *codecs: Any) -> dict[str, Any]:
    configuration = {"chunk_shape": chunk, "codecs": [*codecs], "index_codecs": [LITTLE], "index_location": "start"}
    return {"name": "sharding_indexed", "configuration": configuration}


CHAINS: dict[str, dict[str, Any]] = {
    "big endian": {"serializer": BIG, "compressors": None},
    "big endian in shards": {"serializer": shards([2, 3], BIG), "compressors": None},
    "shards that are wrapped": {"serializer": shards([2, 3], BIG), "compressors": ["crc32c"]},
    "shards in shards": {"serializer": shards([2, 3], shards([1, 3], LITTLE)), "compressors": None},
    "shards that are turned": {"filters": [TURNED], "serializer": shards([3, 2], LITTLE), "compressors": None},
    "shards that are turned and wrapped": {"filters": [TURNED], "serializer": shards([3, 2], LITTLE)},
    "delta": {"filters": [DELTA]},
    "delta before shards": {"filters": [DELTA], "serializer": shards([2, 3], LITTLE), "compressors": None},
    "packbits": {"dtype": "bool", "serializer": {"name": "packbits"}},
    "reshape": {"filters": [{"name": "reshape", "configuration": {"shape": [[0, 1]]}}]},
    "structures": {"dtype": [("x", "<i2"), ("y", ">f4")]},
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("memory", ["cpu", "simulated"])
def test_any_chain_of_codecs_stands_on_it(chain: dict[str, Any], memory: str) -> None:
    how: dict[str, Any] = {"shape": (24, 18), "dtype": "int32", "chunks": [[4, 10, 10], [3, 6, 9]], **chain}
    model = strategies.random_values(np.random.default_rng(0), (24, 18), strategies.native_order(how["dtype"]))
    store: dict[str, bytes] = {}
    gpuzarr.create_array(store, **how)[...] = model
    array = gpuzarr.open_array(store, meta_array=memory, executor=gpuzarr.Executor(threads=2, window=900))
    for wanted in (..., (slice(3, 20, 2), slice(None, None, -1)), (5, slice(2, 9))):
        assert to_host(array[wanted]).tobytes() == model[wanted].tobytes()
    assert to_host(array.oindex[[1, 20, 7], [0, 17]]).tobytes() == model[np.ix_([1, 20, 7], [0, 17])].tobytes()
    assert to_host(array.vindex[[1, 20, 7], [0, 17, 3]]).tobytes() == model[[1, 20, 7], [0, 17, 3]].tobytes()
    assert array.explain((slice(1, 22), slice(2, 9))).to_dict()["chunks"] > 0


def test_elements_of_no_fixed_size_stand_on_it() -> None:
    model = np.array([["é" * (k % 3) for k in range(18)]] * 24, object)
    array = gpuzarr.create_array({}, shape=(24, 18), dtype=str, chunks=[[4, 10, 10], [3, 6, 9]])
    array[...] = model
    assert array[3:20, ::2].tolist() == model[3:20, ::2].tolist()


def test_growth_along_an_axis_of_several_lengths_is_a_chunk_of_its_own() -> None:
    array = gpuzarr.array(np.arange(15), chunks=[[5, 10]], store={})
    array.append(np.arange(15, 22))
    assert (array.write_chunk_sizes, array.nchunks) == (((5, 10, 7),), 3)
    assert array[...].tolist() == list(range(22))
    array.resize(12)  # the chunks stay, past the end of the array too
    assert array.metadata.chunks == (Runs.of([(5, 1), (10, 1), (7, 1)]),)
    assert (array.write_chunk_sizes, array.nchunks_initialized) == (((5, 7),), 2)
    array.append([0] * 6)
    assert array.write_chunk_sizes == ((5, 10, 3),)


def test_growth_of_shards_is_a_multiple_of_their_chunks() -> None:
    array = gpuzarr.array(np.arange(12), chunks=(4,), shards=[[4, 8]], store={})
    array.append(np.arange(12, 17))
    assert array.metadata.chunks == (Runs.of([(4, 1), (8, 2)]),)
    assert (array[...].tolist(), array.nchunks, array.nchunks_initialized) == (list(range(17)), 5, 5)


def test_a_chunk_too_large_is_refused_before_anything_is_changed() -> None:
    array = gpuzarr.array(np.arange(15), chunks=[[5, 10]], store={})
    with pytest.raises(errors.MetadataError, match="bytes"):
        array.resize(2**45)
    assert (array.shape, gpuzarr.open_array(array.store)[...].tolist()) == ((15,), list(range(15)))


def test_missing_chunks_are_the_fill_value_and_stay_missing() -> None:
    array = gpuzarr.create_array({}, shape=(20, 6), chunks=[[5, 10, 5], [2, 4]], dtype="int32", fill_value=9)
    array[5:15, 2:] = 1
    assert sorted(k for k in array.store.list("") if k != "zarr.json") == ["c/1/1"]
    assert (array.nchunks, array.nchunks_initialized) == (6, 1)
    assert (array[4:6, 1:3].tolist(), int(array[...].sum())) == ([[9, 9], [9, 1]], 9 * 80 + 40)


def test_a_chunk_is_stored_at_its_own_size_whole() -> None:
    store: dict[str, bytes] = {}
    array = gpuzarr.create_array(store, shape=(8,), chunks=[[5, 3]], dtype="int16", compressors=None)
    array[...] = np.arange(8)
    array.resize(7)
    assert {key: len(value) for key, value in store.items() if key != "zarr.json"} == {"c/0": 10, "c/1": 6}


def test_what_an_array_says_of_itself() -> None:
    array = gpuzarr.create_array({}, shape=(20, 7), chunks=[[5, 10, 5], 4], dtype="int32", dimension_names=["y", "x"])
    with pytest.raises(errors.UnsupportedError, match="read_chunk_sizes"):
        _ = array.chunks
    assert array.shards is None
    assert array.read_chunk_sizes == array.write_chunk_sizes == ((5, 10, 5), (4, 3))
    assert (array.cdata_shape, array.nchunks) == ((3, 2), 6)
    assert "chunks=((5, 10, 5), 4)" in repr(array)
    assert "((5, 10, 5), 4)" in str(array.info)
    assert array.info.to_dict()["chunks"] == [[5, 10, 5], 4]
    assert "((5, 10, 5), 4)" in array._repr_html_()
    assert array.dimension_names == ("y", "x")
    assert pickle.loads(pickle.dumps(array)).metadata == array.metadata
    array[...] = np.arange(140).reshape(20, 7)
    assert [row.tolist() for row in array] == array[...].tolist()


def test_shards_of_several_shapes_have_chunks_of_one() -> None:
    array = gpuzarr.create_array({}, shape=(24, 6), chunks=(4, 3), shards=[[4, 12, 8], 6], dtype="uint8")
    with pytest.raises(errors.UnsupportedError, match="write_chunk_sizes"):
        _ = array.shards
    assert (array.chunks, array.write_chunk_sizes) == ((4, 3), ((4, 12, 8), (6,)))
    assert array.read_chunk_sizes == ((4,) * 6, (3, 3))
    array[0:6] = 1
    assert (array.nchunks, array.nchunks_initialized) == (12, 2 + 6)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"chunks": [[5, 5], 4]}, "10 elements in all along an axis of 20"),
        ({"chunks": [[5, 20], 4]}, "25 elements"),
        ({"chunks": [[5, 15]]}, "1 axes of 2"),
        ({"chunks": [[5, 0, 15], 4]}, "no length"),
        ({"chunks": [[5, 15], 0]}, "at least one"),
        ({"chunks": [[], 4]}, "0 elements"),
        ({"chunks": [[5.5, 14.5], 4]}, "no length"),
        ({"chunks": [[5, 15], 4], "shards": (20, 8)}, "shards="),
        ({"chunks": (4, 4), "shards": [[4, 16], 6]}, "divide"),
        ({"chunks": (4, 4), "shards": [[5, 15], 8]}, "divide"),
        ({"chunks": [[5, 15], 4], "zarr_format": 2}, "Zarr 2"),
    ],
)
def test_an_array_that_can_not_be_is_not_made(how: dict[str, Any], reason: str) -> None:
    store: dict[str, bytes] = {}
    with pytest.raises(errors.MetadataError, match=reason):
        gpuzarr.create_array(store, shape=(20, 7), dtype="int32", **how)
    assert not store


@pytest.mark.parametrize(
    "chunks", [[[5, 10, 5], 4], [[5, [5, 3]], -1], (np.array([5, 10, 5]), np.int64(4)), ((20,), (4, 3))]
)
def test_lengths_come_as_lists_runs_and_arrays(chunks: Any) -> None:
    array = gpuzarr.create_array({}, shape=(20, 7), chunks=chunks, dtype="int32")
    assert [sum(sizes) for sizes in array.read_chunk_sizes] == [20, 7]


def test_another_array_is_made_like_one() -> None:
    first = gpuzarr.create_array({}, shape=(20, 7), chunks=[[5, 10, 5], 4], dtype="int32")
    first.resize((18, 7))
    second = gpuzarr.create_array({}, shape=(24,), chunks=(4,), shards=[[4, 20]], dtype="int32")
    for array in (first, second):
        like = gpuzarr.zeros_like(array, store={})
        assert like.metadata.chunks == array.metadata.chunks
        assert like.write_chunk_sizes == array.write_chunk_sizes


def test_copies_keep_the_grid_or_change_it() -> None:
    model = np.arange(140, dtype=np.int32).reshape(20, 7)
    array = gpuzarr.array(model, chunks=[[5, 10, 5], 4], store={})
    same = gpuzarr.copy(array, {})
    assert same.metadata == array.metadata
    other = gpuzarr.copy(array, {}, chunks=[[10, 5, 5], 4])  # its largest chunk is the same
    plain = gpuzarr.copy(array, {}, chunks=(8, 8))
    back = gpuzarr.copy(plain, {}, chunks=[[1, 2, 17], [7]])
    older = gpuzarr.copy(array, {}, zarr_format=2, chunks=(5, 4))
    for one in (same, other, plain, back, older):
        assert np.array_equal(one[...], model)
    with pytest.raises(errors.MetadataError, match="Zarr 2"):
        gpuzarr.copy(array, {}, zarr_format=2)


@pytest.mark.parametrize("how", [{"chunks": [[5, 10, 5]]}, {"chunks": (5,), "shards": [[5, 15]]}], ids=str)
def test_its_chunks_are_validated(how: dict[str, Any]) -> None:
    store: dict[str, bytes] = {}
    gpuzarr.create_array(store, data=np.arange(20, dtype="int32"), compressors=None, **how)
    found = gpuzarr.validate(store, deep=True)
    assert [fault.rule for fault in found.findings] == ["few-readers"]
    assert found.chunks == (4 if "shards" in how else 3)
    store["c/1"] = store["c/1"][:-1]
    assert ("c/1", (1,)) in {(fault.key, fault.chunk) for fault in gpuzarr.validate(store, deep=True).findings}


def test_a_group_lists_it_in_consolidated_metadata() -> None:
    group = gpuzarr.create_group({})
    array = group.create_array("a", shape=(20,), chunks=[[5, 15]], dtype="int32")
    gpuzarr.consolidate_metadata(group.store)
    assert gpuzarr.open_group(group.store)["a"].metadata == array.metadata


def test_explain_tells_of_chunks_of_several_sizes() -> None:
    array = gpuzarr.create_array({}, shape=(20,), chunks=[[5, 10, 5]], dtype="int32", compressors=None)
    array[...] = 1
    found = array.explain(slice(2, 20))
    assert (found.chunks, found.chunk_bytes, found.decoded_bytes) == (3, 40, 80)
    assert "3 of at most 40 B" in str(found)
    written = array.explain(slice(2, 20), writing=True)
    assert (written.chunks, written.partial, written.encoded_bytes) == (3, 1, 80)


def test_a_device_needs_no_more_launches_for_chunks_of_several_shapes() -> None:
    counts = []
    for chunks in ([[8, 8, 8, 8], [8, 8, 8, 8]], [[2, 14, 6, 10], [16, 4, 8, 4]]):
        array = gpuzarr.create_array(
            {}, shape=(32, 32), chunks=chunks, dtype="int32", compressors=[{"id": "lz4"}]
        )
        array[...] = np.arange(1024).reshape(32, 32)
        with simulated_device() as device:
            there = array.configure(meta_array="simulated")
            device.reset()
            assert np.array_equal(to_host(there[1:31, 1:31]), array[1:31, 1:31])
            counts.append({k: device.counts[k] for k in ("launches", "waits", "uploads")})
    assert counts[0] == counts[1]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 40))
def test_windows_of_uneven_rows_keep_to_the_budget(sizes: list[int], budget: int) -> None:
    ends, start, found = np.cumsum(sizes), 0, []
    while start < len(sizes):
        stop = windows._fitting(ends, start, budget)
        found.append(sum(sizes[start:stop]))
        assert stop == start + 1 or found[-1] <= budget
        assert stop == len(sizes) or found[-1] + sizes[stop] > budget
        start = stop
    assert sum(found) == sum(sizes)


# ---- other implementations -------------------------------------------------------------------------------------------

GRIDS: list[dict[str, Any]] = [
    {"chunks": [[5, 10, 5], [3, 4]]},
    {"chunks": [[5, 5, 5, 5], 4]},
    {"chunks": [[1, 1, 1, 17], [7]]},
    {"chunks": (5, 2), "shards": [[5, 10, 5], [4, 4]]},
]


def model() -> NDArray[np.int32]:
    return np.arange(160, dtype=np.int32).reshape(20, 8)


def shape_of(how: dict[str, Any]) -> tuple[int, int]:
    return (20, 8) if "shards" in how else (20, 7)


@pytest.fixture
def zarr() -> Iterator[Any]:
    """zarr-python, where it has rectilinear grids."""
    zarr = pytest.importorskip("zarr")
    if tuple(int(n) for n in zarr.__version__.split(".")[:2]) < (3, 4):
        pytest.skip(f"zarr-python {zarr.__version__} has no rectilinear grids as registered; 3.4 has")
    with zarr.config.set({"array.rectilinear_chunks": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield zarr


@pytest.mark.parametrize("how", GRIDS, ids=str)
def test_zarr_python_reads_and_resizes_what_is_written(zarr: Any, how: dict[str, Any], tmp_path: Path) -> None:
    wanted = model()[:, : shape_of(how)[1]]
    array = gpuzarr.create_array(tmp_path, shape=wanted.shape, dtype="int32", fill_value=1, **how)
    array[...] = wanted
    theirs = zarr.open_array(tmp_path)
    assert np.array_equal(theirs[...], wanted)
    assert theirs.read_chunk_sizes == array.read_chunk_sizes
    assert theirs.write_chunk_sizes == array.write_chunk_sizes
    array.resize((13, wanted.shape[1]))
    assert np.array_equal(zarr.open_array(tmp_path)[...], wanted[:13])
    array.append(wanted[:12])
    assert np.array_equal(zarr.open_array(tmp_path)[...], np.concatenate((wanted[:13], wanted[:12])))


@pytest.mark.parametrize("how", GRIDS, ids=str)
def test_what_zarr_python_writes_is_read_and_grows_alike(zarr: Any, how: dict[str, Any], tmp_path: Path) -> None:
    wanted = model()[:, : shape_of(how)[1]]
    theirs = zarr.create_array(tmp_path, shape=wanted.shape, dtype="int32", **how)
    theirs[...] = wanted
    array = gpuzarr.open_array(tmp_path)
    assert np.array_equal(array[...], wanted)
    assert array.write_chunk_sizes == theirs.write_chunk_sizes
    theirs.append(wanted[:5])
    theirs.resize((22, wanted.shape[1]))
    array = gpuzarr.open_array(tmp_path)
    assert np.array_equal(array[...], np.concatenate((wanted, wanted[:5]))[:22])
    copy = gpuzarr.array(wanted, store={}, **how)
    copy.append(wanted[:5])
    copy.resize((22, wanted.shape[1]))
    assert copy.write_chunk_sizes == theirs.write_chunk_sizes


@pytest.mark.parametrize("how", GRIDS, ids=str)
def test_zarrs_reads_what_is_written(how: dict[str, Any], tmp_path: Path) -> None:
    zarrista = pytest.importorskip("zarrista")
    wanted = model()[:, : shape_of(how)[1]]
    array = gpuzarr.create_array(tmp_path, shape=wanted.shape, dtype="int32", **how)
    array[...] = wanted
    store = zarrista.store.FilesystemStore(str(tmp_path))
    assert np.array_equal(np.asarray(zarrista.Array.open(store, "/")[...]), wanted)


def test_what_zarrs_writes_is_read(tmp_path: Path) -> None:
    zarrista = pytest.importorskip("zarrista")
    grid = zarrista.ChunkGrid.rectilinear([20, 7], chunk_shapes=[[5, 10, 5], [3, 4]])
    kind, fill = zarrista.DataType.from_string("int32"), zarrista.FillValue(b"\0\0\0\0")
    theirs = zarrista.ArrayBuilder(grid, kind, fill).create(zarrista.store.FilesystemStore(str(tmp_path)), "/")
    theirs[...] = np.ascontiguousarray(model()[:, :7])
    array = gpuzarr.open_array(tmp_path)
    assert (array.write_chunk_sizes, array[...].tolist()) == (((5, 10, 5), (3, 4)), model()[:, :7].tolist())


def test_a_plan_of_a_write_knows_what_each_chunk_has_within_the_array() -> None:
    grid, shape = (Runs.of([(5, 1), (10, 2)]), 4), (18, 6)
    plan = plan_write(selection.select(..., shape).tiles, grid, ChunkKeys(), "", shape)
    assert plan.extent.tolist() == [[5, 4], [5, 2], [10, 4], [10, 2], [3, 4], [3, 2]]
    assert plan.whole.all()
    assert sum(math.prod(extent) for extent in plan.extent.tolist()) == math.prod(shape)
