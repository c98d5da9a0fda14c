"""Arrays as users hold them: changing their shape and options, sending them elsewhere, saying what they are."""

from __future__ import annotations

import multiprocessing
import operator
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, assert_same, cases, small_runs

import gpuzarr
from gpuzarr.errors import (
    DeviceError,
    GpuzarrError,
    MetadataError,
    SelectionError,
    ShapeError,
    StoreError,
    UnsupportedError,
)

LAYOUTS: dict[str, dict[str, Any]] = {
    "v3": {"zarr_format": 3, "chunks": (3, 2)},
    "sharded": {"zarr_format": 3, "chunks": (3, 2), "shards": (6, 4)},
    "v2": {"zarr_format": 2, "chunks": (3, 2), "order": "F"},
}
layouts = pytest.mark.parametrize("how", LAYOUTS.values(), ids=LAYOUTS)


def reopened(array: gpuzarr.Array) -> gpuzarr.Array:
    return gpuzarr.open_array(array.store, path=array.path)


# ---- what it is ----------------------------------------------------------------------------------------------


@layouts
def test_an_array_knows_its_sizes(how: dict[str, Any]) -> None:
    array = gpuzarr.create_array({}, name="a/b", shape=(10, 5), dtype="int16", **how)
    assert (array.shape, array.ndim, array.size, array.nbytes) == ((10, 5), 2, 50, 100)
    assert (array.chunks, array.shards) == ((3, 2), how.get("shards"))
    assert (array.cdata_shape, array.nchunks) == ((4, 3), 12)
    assert (array.path, array.name, array.basename) == ("a/b", "/a/b", "b")
    assert array.zarr_format == how["zarr_format"]
    assert array.order == how.get("order", "C")
    assert len(array) == 10
    assert array.dtype == np.dtype("int16")
    assert isinstance(array.meta_array, np.ndarray)


def test_chunks_of_nested_and_transposed_shards_are_in_the_arrays_order() -> None:
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
    index = [*codecs, {"name": "crc32c"}]
    sharding = {"chunk_shape": [2, 4, 6], "codecs": codecs, "index_codecs": index}
    turn = {"name": "transpose", "configuration": {"order": [2, 0, 1]}}
    array = gpuzarr.create_array(
        {},
        shape=(8, 12, 4),
        dtype="u1",
        chunks=(8, 12, 4),
        filters=[turn],
        serializer={"name": "sharding_indexed", "configuration": sharding},
        compressors=None,
    )
    assert (array.shards, array.chunks, array.cdata_shape) == ((8, 12, 4), (4, 6, 2), (2, 2, 2))
    assert [c.name for c in array.filters] == []
    assert array.serializer is not None
    assert array.serializer.name == "bytes"


def test_codecs_are_sorted_by_what_they_do() -> None:
    turn = {"name": "transpose", "configuration": {"order": [1, 0]}}
    array = gpuzarr.create_array({}, shape=(4, 4), dtype="i4", shards=(4, 4), chunks=(2, 2), filters=[turn])
    assert [c.name for c in array.filters] == ["transpose"]
    assert array.serializer is not None
    assert array.serializer.name == "bytes"
    assert [c.name for c in array.compressors] == ["zstd"]
    old = gpuzarr.create_array({}, shape=(4,), dtype="i4", zarr_format=2, filters=[{"id": "delta", "dtype": "<i4"}])
    assert [c.name for c in old.filters] == ["numcodecs.delta"]
    assert old.serializer is None
    assert [c.name for c in old.compressors] == ["numcodecs.zstd"]


@layouts
def test_stored_chunks_are_counted(how: dict[str, Any], where: Any) -> None:
    array = gpuzarr.create_array(where, shape=(10, 5), dtype="u1", name="a", **how)
    gpuzarr.create_array(where, shape=(10, 5), dtype="u1", name="b", **how)[...] = 1
    assert array.nchunks_initialized == 0
    array[0, 0] = 1
    assert array.nchunks_initialized == (4 if array.shards else 1)
    array[...] = 1
    assert array.nchunks_initialized == (16 if array.shards else 12)
    assert array.nbytes_stored() == sum(len(array.store.get(k) or b"") for k in array.store.list("a/"))


def test_keys_that_are_no_chunks_of_the_array_are_not_counted() -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, shape=(4,), dtype="u1", chunks=(2,), chunk_key_encoding="/")
    array[...] = 1
    kept |= {"c/2": b"", "c/00": b"", "c/x": b"", "c": b"", "0": b"", "c/0/0": b""}
    assert array.nchunks_initialized == 2


def test_the_repr_says_what_it_is() -> None:
    array = gpuzarr.create_array("memory://shown", name="a", shape=(4, 4), dtype="i4", chunks=(2, 2), shards=(4, 4))
    assert repr(array) == "<Array memory://shown/a shape=(4, 4) dtype=int32 chunks=(2, 2) shards=(4, 4)>"


def test_arrays_are_equal_that_are_the_same_array_in_the_same_state(tmp_path: Path) -> None:
    array = gpuzarr.zeros((4,), store=tmp_path / "a")
    assert array == gpuzarr.open_array(tmp_path / "a") != gpuzarr.zeros((4,), store=tmp_path / "b")
    assert array != 0
    other = gpuzarr.open_array(tmp_path / "a")
    other.resize(5)
    assert array != other
    with pytest.raises(TypeError, match="unhashable"):
        hash(array)


# ---- iteration and NumPy -------------------------------------------------------------------------------------


@layouts
def test_iterating_goes_along_the_first_axis(how: dict[str, Any]) -> None:
    model = np.arange(50).reshape(10, 5)
    array = gpuzarr.create_array({}, data=model, **how)
    rows = list(array)
    assert len(rows) == 10
    for row, wanted in zip(rows, model, strict=True):
        assert_same(row, wanted)


def test_iterating_one_axis_gives_scalars_and_none_is_an_error() -> None:
    assert_same(next(iter(gpuzarr.array(np.arange(3)))), np.int64(0))
    scalar = gpuzarr.create_array({}, shape=(), dtype="i4")
    with pytest.raises(TypeError, match="0-d"):
        list(scalar)
    with pytest.raises(TypeError, match="unsized"):
        len(scalar)
    assert list(gpuzarr.zeros((0, 3))) == []


def test_iterating_reads_every_chunk_once() -> None:
    class Counting(dict[str, bytes]):
        def __getitem__(self, key: str) -> bytes:
            read.append(key)
            return super().__getitem__(key)

        def get(self, key: str, default: Any = None) -> Any:
            read.append(key)
            return super().get(key, default)

    read: list[str] = []
    array = gpuzarr.create_array(Counting(), data=np.ones((6, 4), "u1"), chunks=(2, 4))
    read.clear()
    assert len(list(array)) == 6
    assert sorted(read) == ["c/0/0", "c/1/0", "c/2/0"]


def test_numpy_takes_arrays() -> None:
    model = np.arange(6, dtype="i2").reshape(2, 3)
    array = gpuzarr.array(model)
    assert_same(np.asarray(array), model)
    assert_same(np.asarray(array, "f4"), model.astype("f4"))
    assert_same(np.add(array, 1), model + 1)
    assert np.concatenate([array, array]).shape == (4, 3)
    with pytest.raises(ValueError, match="copy"):
        np.array(array, copy=False)


# ---- changing shape ------------------------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("new", [(12, 9), (4, 3), (6, 4), (1, 9), (11, 1), (0, 5), (10, 0), (0, 0), (10, 5)])
def test_what_a_smaller_shape_cuts_off_is_gone(how: dict[str, Any], new: tuple[int, int], where: Any) -> None:
    model = np.arange(1, 51).reshape(10, 5)
    array = gpuzarr.create_array(where, shape=(10, 5), dtype="i8", fill_value=-1, **how)
    array[...] = model
    array.resize(new)
    assert array.shape == reopened(array).shape == new
    wanted = np.full((15, 15), -1)
    wanted[: min(10, new[0]), : min(5, new[1])] = model[: new[0], : new[1]]
    assert_same(array[...], wanted[: new[0], : new[1]])
    array.resize((15, 15))
    assert_same(reopened(array)[...], wanted)


@given(cases(ndim=st.integers(1, 3)), st.data())
def test_resizing_keeps_what_lies_in_both_shapes(case: Case, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        fill = array.fill_value
        for _ in range(2):
            new = tuple(data.draw(st.integers(0, n + 3)) for n in case.shape)
            array.resize(new)
            both = tuple(slice(0, min(a, b)) for a, b in zip(model.shape, new, strict=True))
            grown = np.full(new, np.zeros((), model.dtype) if fill is None else fill, model.dtype)
            grown[both] = model[both]
            model = grown
            assert_same(reopened(array)[...], model)


def test_shape_can_be_assigned_and_sizes_may_be_numpys() -> None:
    array = gpuzarr.zeros((4,))
    array.shape = (6,)
    assert array.shape == (6,)
    array.resize(np.int64(7))
    array.resize((np.int32(8),))
    assert array.shape == (8,)
    assert all(type(n) is int for n in array.shape)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (-1, 4), (2.5, 4), "44", None])
def test_a_shape_of_other_dimensions_or_sizes_is_refused(shape: Any) -> None:
    array = gpuzarr.ones((3, 4))
    with pytest.raises(ShapeError):
        array.resize(shape)
    assert array.shape == (3, 4)


@layouts
def test_growing_keeps_chunks_untouched(how: dict[str, Any]) -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, shape=(10, 5), dtype="i4", **how)
    array[...] = 1
    before = {k: v for k, v in kept.items() if "zarr" not in k}
    array.resize((20, 6))
    assert {k: v for k, v in kept.items() if "zarr" not in k} == before


@layouts
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_appending_grows_along_one_axis(how: dict[str, Any], axis: int, where: Any) -> None:
    model = np.arange(20).reshape(4, 5)
    array = gpuzarr.create_array(where, shape=(4, 5), dtype="i8", **how)
    array[...] = model
    for _ in range(2):
        model_new = np.concatenate([model, model * 10], axis)
        assert array.append(model * 10, axis=axis) == model_new.shape
        model = model_new
    assert_same(reopened(array)[...], model)


@pytest.mark.parametrize(
    ("values", "axis"), [(np.ones((2, 4)), 0), (np.ones(3), 0), (np.ones((2, 3)), 1), (np.ones((2, 3)), 2), (1, 0)]
)
def test_what_does_not_fit_is_not_appended(values: Any, axis: int) -> None:
    array = gpuzarr.zeros((5, 3))
    with pytest.raises(ShapeError):
        array.append(values, axis)
    assert array.shape == (5, 3)


def test_appending_to_no_dimensions_is_refused() -> None:
    with pytest.raises(ShapeError):
        gpuzarr.create_array({}, shape=(), dtype="i4").append(1)


# ---- attributes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_are_written_at_once(where: Any, zarr_format: int) -> None:
    array = gpuzarr.create_array(where, shape=(2,), dtype="i4", zarr_format=zarr_format, attributes={"a": 1})
    array.attrs["b"] = {"c": [1, None, "é"]}
    assert dict(reopened(array).attrs) == {"a": 1, "b": {"c": [1, None, "é"]}}
    del array.attrs["a"]
    array.attrs.update({"d": 1.5}, e=True)
    assert reopened(array).attrs.asdict() == {"b": {"c": [1, None, "é"]}, "d": 1.5, "e": True}
    array.attrs.put({"only": 1})
    assert dict(reopened(array).attrs) == {"only": 1}
    array.attrs.clear()
    assert len(reopened(array).attrs) == 0
    assert array.update_attributes({"x": 1}) is array
    assert array.attrs.setdefault("x", 2) == array.attrs.pop("x") == 1


def test_an_emptied_zattrs_is_removed() -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, shape=(2,), dtype="i4", zarr_format=2, attributes={"a": 1})
    assert sorted(kept) == [".zarray", ".zattrs", ".zgroup"][:2]
    del array.attrs["a"]
    assert sorted(kept) == [".zarray"]


def test_attributes_handed_out_are_copies() -> None:
    array = gpuzarr.create_array({}, shape=(2,), dtype="i4", attributes={"a": [1]})
    array.attrs["a"].append(2)
    array.attrs.asdict()["a"].append(2)
    mine = [5]
    array.attrs["b"] = mine
    mine.append(6)
    assert dict(array.attrs) == dict(reopened(array).attrs) == {"a": [1], "b": [5]}


def test_attributes_survive_resizing_and_the_other_way_round() -> None:
    array = gpuzarr.create_array({}, shape=(2,), dtype="i4", attributes={"a": 1})
    array.resize(3)
    array.attrs["b"] = 2
    array.resize(4)
    assert (reopened(array).shape, dict(reopened(array).attrs)) == ((4,), {"a": 1, "b": 2})


@pytest.mark.parametrize("value", [{1, 2}, np.ones(2), object(), b"bytes", {1: {2: object()}}])
def test_an_attribute_that_is_no_json_is_refused_and_nothing_changes(value: Any) -> None:
    array = gpuzarr.create_array({}, shape=(2,), dtype="i4", attributes={"a": 1})
    with pytest.raises(MetadataError):
        array.attrs["b"] = value
    assert dict(array.attrs) == dict(reopened(array).attrs) == {"a": 1}


def test_a_missing_attribute_is_a_key_error() -> None:
    array = gpuzarr.zeros((2,))
    with pytest.raises(KeyError):
        array.attrs["a"]
    with pytest.raises(KeyError):
        del array.attrs["a"]


# ---- options -------------------------------------------------------------------------------------------------


def test_configuring_gives_another_view_and_leaves_the_first_alone() -> None:
    array = gpuzarr.create_array({}, data=np.ones((3, 4)), chunks=(2, 2))
    turned = array.configure(order="F", write_empty_chunks=True, executor=gpuzarr.Executor(threads=1))
    assert turned[...].flags.f_contiguous
    assert array[...].flags.c_contiguous
    turned[...] = 0
    assert turned.nchunks_initialized == 4
    array[...] = 0
    assert turned.nchunks_initialized == 0
    assert array.configure() == array


@pytest.mark.parametrize(
    ("option", "error"),
    [({"order": "A"}, ValueError), ({"executor": 4}, TypeError), ({"meta_array": "gpu"}, GpuzarrError)],
)
def test_options_that_mean_nothing_are_refused(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        gpuzarr.zeros((2,)).configure(**option)


@pytest.mark.parametrize("meta_array", ["cuda:99", "cuda:", "cuda:x", "simulated:1"])
def test_memory_that_is_not_there_is_refused_by_name(meta_array: str) -> None:
    with pytest.raises(DeviceError, match=f"meta_array='{meta_array}'") as error:
        gpuzarr.zeros((2,)).configure(meta_array=meta_array)
    assert error.value.device == meta_array


@layouts
def test_chunks_of_nothing_but_fill_are_removed_unless_asked_for(how: dict[str, Any]) -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, shape=(12, 8), dtype="f4", fill_value=2.5, **how)
    documents = set(kept)
    array[...] = 1
    array[3:, :] = 2.5
    array[:3, :4] = 2.5
    stored = set(kept) - documents
    assert stored == ({"c/0/1"} if how.get("shards") else {"c/0/2", "c/0/3", "0.2", "0.3"} & set(kept))
    array[...] = 2.5
    assert set(kept) == documents
    array.configure(write_empty_chunks=True)[...] = 2.5
    assert len(set(kept) - documents) == (4 if how.get("shards") else 16)
    assert (array[...] == 2.5).all()


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("write", [(slice(None),), (slice(0, 1),)])
def test_only_the_very_bits_of_the_fill_value_are_fill(write: Any, native: bool) -> None:
    """-0.0 == 0.0 and NaN != NaN, but what is read back must be what was written."""
    executor = gpuzarr.Executor(native=native)
    array = gpuzarr.create_array({}, shape=(2,), chunks=(2,), dtype="f8", executor=executor)
    array[write] = -0.0
    assert np.signbit(array[0])
    nan = gpuzarr.create_array({}, shape=(2,), chunks=(2,), dtype="f8", fill_value=np.nan, executor=executor)
    nan[...] = np.nan
    assert nan.nchunks_initialized == 0


@pytest.mark.parametrize("native", [True, False])
def test_an_undefined_fill_value_reads_as_zero_and_every_chunk_is_stored(native: bool) -> None:
    executor = gpuzarr.Executor(native=native)
    array = gpuzarr.create_array(
        {}, shape=(4,), chunks=(2,), dtype="i4", fill_value=None, zarr_format=2, executor=executor
    )
    assert array.fill_value is None
    assert reopened(array).fill_value is None
    assert array[...].tolist() == [0] * 4
    array[...] = 0
    assert array.nchunks_initialized == 2
    array[0] = 0
    assert array.nchunks_initialized == 2


# ---- other processes and threads -----------------------------------------------------------------------------


def test_an_array_pickles_to_a_spawned_process(tmp_path: Path) -> None:
    model = np.arange(100).reshape(10, 10)
    array = gpuzarr.create_array(
        tmp_path / "a", name="deep/a", data=model, chunks=(3, 3), order="F", executor=gpuzarr.Executor(threads=2)
    )
    array[...]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(operator.getitem, (array, (slice(None, None, -1), [0, 9]))).get(timeout=120)
        assert_same(found, model[::-1][:, [0, 9]])
        pool.apply_async(operator.setitem, (array, (0, 0), 42)).get(timeout=120)
        group = gpuzarr.open_group(tmp_path / "a", order="F")
        sent = pool.apply_async(operator.getitem, (group, "deep/a")).get(timeout=120)
    assert sent == array
    assert array[0, 0] == 42
    assert sent[...].flags.f_contiguous


def test_an_array_in_unnamed_memory_does_not_pickle() -> None:
    import pickle

    with pytest.raises(UnsupportedError, match="pickle"):
        pickle.dumps(gpuzarr.zeros((2,)))
    named = gpuzarr.ones((2,), store="memory://array-that-pickles")
    assert pickle.loads(pickle.dumps(named))[...].tolist() == [1, 1]


def read_and_write(array: gpuzarr.Array) -> None:
    with small_runs():
        assert (array[...] == 7).all()
        array[...] = 8
        assert (array[...] == 8).all()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_child_reads_and_writes_after_the_parent_did(tmp_path: Path) -> None:
    array = gpuzarr.create_array(
        tmp_path / "a", shape=(64, 64), dtype="i4", chunks=(4, 4), executor=gpuzarr.Executor(threads=4)
    )
    with small_runs():
        array[...] = 7
        array[...]
    assert threading.active_count() > 1, "the threads that a fork loses are there"
    child = multiprocessing.get_context("fork").Process(target=read_and_write, args=(array,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: forking with threads is what is tested
        child.start()
    child.join(timeout=60)
    if child.is_alive():
        child.kill()
        pytest.fail("the forked child hangs")
    assert child.exitcode == 0
    with small_runs():
        assert (array[...] == 8).all()


def test_threads_share_an_array() -> None:
    model = np.arange(64 * 64).reshape(64, 64)
    array = gpuzarr.create_array({}, data=model, chunks=(8, 8), shards=(16, 16), executor=gpuzarr.Executor(threads=2))
    wrong: list[Any] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            a, b = rng.integers(0, 40, 2)
            if not np.array_equal(array[a : a + 20, b : b + 20], model[a : a + 20, b : b + 20]):
                wrong.append((a, b))

    with small_runs():
        threads = [threading.Thread(target=read, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_writers_of_different_chunks_do_not_disturb_each_other(tmp_path: Path) -> None:
    array = gpuzarr.create_array(tmp_path / "a", shape=(32, 8), dtype="i4", chunks=(2, 4), shards=(4, 8))

    def write(k: int) -> None:
        for value in range(5):
            array[4 * k : 4 * k + 4] = 10 * k + value

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert array[:, 0].tolist() == [10 * (k // 4) + 4 for k in range(32)]


def test_a_change_by_another_writer_is_seen(where: Any) -> None:
    first = gpuzarr.create_array(where, shape=(8,), dtype="i4", chunks=(2,), shards=(4,))
    first[...] = 1
    second = reopened(first)
    for value in (2, 3, 0, 4):
        assert first[...].tolist() == second[...].tolist()
        second[:3] = value
        assert first[...].tolist() == [value] * 3 + [1] * 5
    first.store.delete_prefix("c")
    assert first[...].tolist() == [0] * 8


# ---- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("how", "key"), [({}, "a/c/1/0"), ({"shards": (6, 4)}, "a/c/0/0")], ids=["chunks", "shards"])
def test_an_error_tells_the_key_the_chunk_and_the_codec(how: dict[str, Any], key: str, native: bool) -> None:
    kept: dict[str, bytes] = {}
    executor = gpuzarr.Executor(native=native)
    array = gpuzarr.create_array(
        kept, name="a", data=np.ones((6, 4)), chunks=(3, 2), compressors=["crc32c"], executor=executor, **how
    )
    value = bytearray(kept[key])
    value[-1 if not how else len(value) // 2] ^= 1
    kept[key] = bytes(value)
    for read in (lambda: array[...], lambda: array.oindex[[4, 5], 0], lambda: array.read_many([(slice(2, 6), 1)])):
        with pytest.raises(ValueError, match="crc32c") as caught:
            read()
        error: Any = caught.value
        assert isinstance(error, GpuzarrError)
        assert (error.key, error.chunk, error.codec, error.direction) == (key, (1, 0), "crc32c", "decode")


def test_an_array_for_reading_only_is_not_changed(tmp_path: Path) -> None:
    gpuzarr.create_array(tmp_path / "a", data=np.ones((4, 4)), chunks=(2, 2), attributes={"a": 1})
    array = gpuzarr.open_array(tmp_path / "a", mode="r")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert array.read_only
    attempts: list[Any] = [
        lambda: array.__setitem__(0, 1),
        lambda: array.__setitem__(slice(0, 0), 1),
        lambda: array.oindex.__setitem__([0], 1),
        lambda: array.write(0, 1),
        lambda: array.resize((2, 2)),
        lambda: array.append(np.ones((1, 4))),
        lambda: array.attrs.__setitem__("a", 2),
        lambda: array.update_attributes({}),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match="reading only"):
            attempt()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert dict(array.attrs) == {"a": 1}


def test_a_failed_write_in_a_thread_is_raised() -> None:
    class Failing(dict[str, bytes]):
        def __setitem__(self, key: str, value: bytes) -> None:
            if key == "c/3":
                raise OSError("disk full")
            super().__setitem__(key, value)

    array = gpuzarr.create_array(Failing(), shape=(16,), dtype="i4", chunks=(2,), executor=gpuzarr.Executor(threads=3))
    with small_runs(), pytest.raises(OSError, match="disk full"):
        array[...] = 1


def test_selections_that_do_not_exist_are_index_errors() -> None:
    array = gpuzarr.zeros((3,))
    for wanted in (3, [5], (0, 0), None):
        with pytest.raises(SelectionError):
            array[wanted]


# ---- torch ---------------------------------------------------------------------------------------------------


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


TORCH_DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")


@pytest.mark.parametrize("dtype", [*TORCH_DTYPES, "bfloat16"])
@pytest.mark.parametrize("native", [True, False])
def test_results_are_torch_tensors_where_meta_array_is_one(torch: Any, dtype: str, native: bool) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    array = gpuzarr.create_array(
        {},
        shape=(6, 5),
        dtype=dtype,
        chunks=(4, 2),
        meta_array=torch.empty(()),
        executor=gpuzarr.Executor(native=native),
    )
    wanted = torch.arange(30).reshape(6, 5).to(getattr(torch, dtype))
    array[...] = wanted
    for index in [..., (slice(1, 5), 2), (slice(None), slice(0, 4, 3))]:
        found = array[index]
        assert isinstance(found, torch.Tensor)
        assert found.dtype == getattr(torch, dtype)
        assert torch.equal(found, wanted[index])
    assert torch.equal(array.oindex[[3, 0], [1, 4]], wanted[[3, 0]][:, [1, 4]])
    assert torch.equal(array.vindex[[3, 0], [1, 4]], wanted[[3, 0], [1, 4]])
    assert torch.equal(array.read_many([0, 5]), wanted[[0, 5]])
    assert array[1, 1].shape == ()


def test_tensors_are_read_into_without_a_copy(torch: Any) -> None:
    pytest.importorskip("ml_dtypes")
    array = gpuzarr.create_array({}, shape=(6, 5), dtype="bfloat16", chunks=(4, 2), meta_array=torch.empty(()))
    array[...] = torch.arange(30).reshape(6, 5).to(torch.bfloat16)
    whole = torch.zeros((6, 10), dtype=torch.bfloat16)
    out = whole.T[::2].T
    place = out.data_ptr()
    assert array.read(..., out=out) is out
    assert out.data_ptr() == place
    assert torch.equal(whole[:, ::2], torch.arange(30).reshape(6, 5).to(torch.bfloat16))
    assert not whole[:, 1::2].any()
    gradient = torch.zeros((6, 5), dtype=torch.bfloat16, requires_grad=True)
    assert array.read(..., out=gradient) is gradient


def test_values_of_torch_are_converted_like_any_others(torch: Any) -> None:
    pytest.importorskip("ml_dtypes")
    array = gpuzarr.zeros((3,), dtype="float32")
    array[...] = torch.tensor([1.5, 2, 3], dtype=torch.bfloat16)
    assert array[...].tolist() == [1.5, 2, 3]
    half = gpuzarr.zeros((3,), dtype="bfloat16")
    half[...] = np.array([1, 2, 3], "u2")
    assert half[...].astype("f4").tolist() == [1, 2, 3]
    half[...] = torch.tensor([4, 5, 6], dtype=torch.int32)
    assert half[...].astype("f4").tolist() == [4, 5, 6]
    array[...] = torch.ones(3, requires_grad=True)
    assert array[...].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (lambda torch: torch.zeros(4, dtype=torch.float32), ShapeError),
        (lambda torch: torch.zeros(2, dtype=torch.int32), ShapeError),
        (lambda torch: torch.zeros(2, dtype=torch.int64), ShapeError),
        (lambda torch: torch.zeros(4, dtype=torch.int32, device="meta"), UnsupportedError),
        (lambda torch: np.zeros(4, "i4"), UnsupportedError),
    ],
)
def test_a_tensor_of_another_type_shape_or_place_is_refused(torch: Any, out: Any, error: type[Exception]) -> None:
    array = gpuzarr.array(np.ones(4, "i4"), meta_array=torch.empty(()))
    with pytest.raises(error):
        array.read(..., out=out(torch))


def test_a_type_that_torch_lacks_is_refused_by_name(torch: Any) -> None:
    array = gpuzarr.create_array({}, shape=(4,), dtype="M8[s]", zarr_format=2, meta_array=torch.empty(()))
    with pytest.raises(UnsupportedError, match="torch has no data type"):
        array[...]
    assert np.asarray(array).shape == (4,)


@pytest.mark.filterwarnings("ignore:.*a bare NaN")
def test_resizing_an_array_of_format_2_leaves_its_attributes_as_they_stand() -> None:
    kept: dict[str, bytes] = {}
    a = gpuzarr.create_array(kept, shape=(4,), dtype="i4", zarr_format=2)
    kept[".zattrs"] = b'{"written by others": NaN}'
    gpuzarr.open_array(kept).resize((6,))
    assert kept[".zattrs"] == b'{"written by others": NaN}'
    assert gpuzarr.open_array(kept).shape == (6,)
    assert a.shape == (4,)


def test_large_results_begin_with_a_cache_line() -> None:
    a = gpuzarr.zeros((5, 1024, 1024), dtype="<u4", chunks=(1, 1024, 1024), store={})
    a[3, 7, 9] = 5
    whole = a[...]
    assert whole.__array_interface__["data"][0] % 64 == 0
    assert (whole.shape, whole.dtype, int(whole.sum()), whole.flags.c_contiguous) == (a.shape, a.dtype, 5, True)


def test_an_array_whose_document_cannot_be_written_keeps_its_chunks_when_it_is_resized() -> None:
    kept: dict[str, bytes] = {}
    a = gpuzarr.create_array(kept, shape=(6,), chunks=(2,), dtype="uint8", attributes={"a": 1})
    a[...] = 7
    kept["zarr.json"] = kept["zarr.json"].replace(b'"a": 1', b'"a": NaN')
    with pytest.warns(UserWarning, match="bare NaN"):
        a = gpuzarr.open_array(kept, mode="r+")
    with pytest.raises(MetadataError, match="JSON"):
        a.resize((2,))
    assert sorted(kept) == ["c/0", "c/1", "c/2", "zarr.json"]
