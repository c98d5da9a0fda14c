"""Every way of indexing gives what NumPy gives, reading and writing, however the array is stored and decoded."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EXECUTORS, Case, assert_same, cases, random_values, small_runs, values_for

import gpuzarr
from gpuzarr.errors import GpuzarrError, SelectionError, ShapeError, UnsupportedError

executors = st.sampled_from(EXECUTORS)
many = settings(max_examples=100)


def reopened(array: gpuzarr.Array, executor: gpuzarr.Executor) -> gpuzarr.Array:
    """The array as another process would see it."""
    return gpuzarr.open_array(array.store, path=array.path, executor=executor)


def broadcast(values: Any, shape: tuple[int, ...]) -> Any:
    """Values with the leading axes of length 1 gone that NumPy drops when assigning."""
    return values.reshape(values.shape[max(0, values.ndim - len(shape)) :])


# ---- reading -------------------------------------------------------------------------------------------------


@many
@given(cases(), executors, executors, st.data())
def test_basic_reading_is_numpys(case: Case, writer: Any, reader: Any, data: st.DataObject) -> None:
    with case.filled(writer) as (array, model), small_runs():
        again = reopened(array, reader)
        for _ in range(4):
            wanted = data.draw(some.basic(case.shape))
            assert_same(again[wanted], model[wanted])
        assert_same(again[...], model)
        assert_same(np.asarray(again), model)


@given(cases(), executors, st.data())
def test_orthogonal_reading_is_an_open_mesh(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        again = reopened(array, reader)
        for _ in range(3):
            wanted = data.draw(some.orthogonal(case.shape))
            mesh, shape = some.orthogonal_of(model, wanted)
            found = np.asarray(again.oindex[wanted], model.dtype)
            assert_same(found, np.asarray(model[mesh], model.dtype).reshape(shape))


@given(cases(ndim=st.integers(1, 4)), executors, st.data())
def test_reading_points_is_numpys_fancy_indexing(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        again = reopened(array, reader)
        for _ in range(3):
            wanted = data.draw(some.coordinates(case.shape))
            assert_same(np.asarray(again.vindex[wanted]), np.asarray(model[wanted]))
            assert_same(np.asarray(again[wanted]), np.asarray(model[wanted]))


@given(cases(), executors, st.data())
def test_blocks_are_the_array_in_steps_of_a_stored_chunk(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = reopened(array, reader)
        edges = array.shards or array.chunks
        wanted, index = [], []
        for n, edge in zip(case.shape, edges, strict=True):
            grid = -(-n // edge)
            if grid and data.draw(st.booleans()):
                k = data.draw(st.integers(-grid, grid - 1))
                wanted.append(k)
                index.append(slice(k % grid * edge, (k % grid + 1) * edge))
            else:
                start, stop = sorted(data.draw(st.tuples(st.integers(0, grid), st.integers(0, grid))))
                wanted.append(slice(start, stop))
                index.append(slice(start * edge, stop * edge))
        assert_same(again.blocks[tuple(wanted)], model[tuple(index)])


@given(cases(ndim=st.integers(1, 4)), executors, st.data())
def test_reading_many_is_reading_each(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        again = reopened(array, reader)
        size = [data.draw(st.integers(0, n)) for n in case.shape]
        step = [data.draw(st.sampled_from([1, 1, 2, -1])) for _ in size]
        wanted = []
        for _ in range(data.draw(st.integers(1, 4))):
            item: list[Any] = []
            for n, s, d in zip(case.shape, size, step, strict=True):
                start = data.draw(st.integers(0, n - s))
                item.append(slice(start, start + s, d) if d > 0 else slice(None, None, -1))
            wanted.append(tuple(item))
        stack = np.stack([model[w] for w in wanted])
        assert_same(again.read_many(wanted), stack)
        out = np.zeros_like(stack, order="F")
        assert again.read_many(wanted, out=out) is out
        assert_same(out, stack)


@many
@given(cases(), executors, st.data())
def test_reading_into_memory_of_any_strides_touches_nothing_else(
    case: Case, reader: Any, data: st.DataObject
) -> None:
    with case.filled() as (array, model), small_runs():
        again = reopened(array, reader)
        wanted = data.draw(some.basic(case.shape) | some.one_array(case.shape))
        expected = np.asarray(model[wanted], model.dtype)
        whole, out = odd_memory(data, expected.shape, expected.dtype)
        before = whole.copy()
        assert again.read(wanted, out=out) is out
        assert_same(out, expected)
        out.view(f"V{out.itemsize}")[...] = b"\xa5" * out.itemsize
        assert before.tobytes() == whole.tobytes()


def odd_memory(data: st.DataObject, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Memory full of 0xA5, and a view of it of some shape with gaps, backward and turned axes, perhaps misaligned."""
    ndim = len(shape)
    step = [data.draw(st.sampled_from([1, 2, -1, -3])) for _ in shape]
    order = data.draw(st.permutations(range(ndim)))
    turned = [shape[k] * abs(step[k]) for k in order]
    shift = data.draw(st.integers(0, 3))
    nbytes = int(np.prod(turned)) * dtype.itemsize
    raw = np.full(nbytes + shift, 0xA5, np.uint8)
    view = raw[shift:].view(dtype).reshape(turned).transpose(np.argsort(order))
    return raw, view[(*(slice(None, None, s) for s in step), ...)]


@given(cases(ndim=st.integers(1, 3)), executors, st.data())
def test_points_can_be_read_into_memory_of_any_strides(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        wanted = data.draw(some.coordinates(case.shape))
        expected = np.asarray(model[wanted], model.dtype)
        _, out = odd_memory(data, expected.shape, expected.dtype)
        assert reopened(array, reader).read(wanted, out=out) is out
        assert_same(out, expected)


# ---- writing -------------------------------------------------------------------------------------------------


@many
@given(cases(), executors, executors, st.data())
def test_basic_writing_is_numpys(case: Case, writer: Any, reader: Any, data: st.DataObject) -> None:
    with case.filled(writer) as (array, model), small_runs():
        for _ in range(3):
            wanted = data.draw(some.basic(case.shape))
            values = values_for(data.draw, np.asarray(model[wanted]).shape, model.dtype)
            array[wanted] = values
            model[wanted] = broadcast(values, np.asarray(model[wanted]).shape)
        assert_same(reopened(array, reader)[...], model)


@given(cases(), executors, executors, st.data())
def test_orthogonal_writing_is_an_open_mesh(case: Case, writer: Any, reader: Any, data: st.DataObject) -> None:
    with case.filled(writer) as (array, model), small_runs():
        for _ in range(2):
            wanted = data.draw(some.orthogonal(case.shape))
            mesh, shape = some.orthogonal_of(model, wanted)
            values = values_for(data.draw, shape, model.dtype)
            array.oindex[wanted] = values
            model[mesh] = np.broadcast_to(broadcast(values, shape), shape).reshape(model[mesh].shape)
        assert_same(reopened(array, reader)[...], model)


@given(cases(ndim=st.integers(1, 3)), executors, executors, st.data())
def test_writing_points_is_numpys_fancy_indexing(
    case: Case, writer: Any, reader: Any, data: st.DataObject
) -> None:
    with case.filled(writer) as (array, model), small_runs():
        for rule in (array.vindex, array):
            wanted = data.draw(some.coordinates(case.shape))
            shape = np.asarray(model[wanted]).shape
            values = values_for(data.draw, shape, model.dtype)
            rule[wanted] = values
            model[wanted] = broadcast(values, shape)
        assert_same(reopened(array, reader)[...], model)


@given(cases(ndim=st.integers(1, 3)), st.data())
def test_writing_blocks_is_writing_slices(case: Case, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        edges = array.shards or array.chunks
        grid = [-(-n // edge) for n, edge in zip(case.shape, edges, strict=True)]
        wanted = tuple(data.draw(st.integers(0, g - 1)) if g else slice(None) for g in grid)
        index = tuple(
            k if isinstance(k, slice) else slice(k * e, (k + 1) * e) for k, e in zip(wanted, edges, strict=True)
        )
        values = random_values(np.random.default_rng(7), model[index].shape, model.dtype)
        array.blocks[wanted] = values
        model[index] = values
        assert_same(array[...], model)


@given(cases(), st.data())
def test_both_ways_of_encoding_store_the_same_chunks(case: Case, data: st.DataObject) -> None:
    """An all-fill chunk is not stored by one and stored by the other."""
    wanted = data.draw(some.basic(case.shape))
    model = case.values()
    keys = []
    for executor in (some.PYTHON, some.NATIVE):
        with case.store() as where:
            array = case.make(where, executor)
            array[wanted] = model[wanted]
            keys.append(sorted(array.store.list()))
    assert keys[0] == keys[1]


@given(cases(dtypes=["int16", "float64", "uint32", "bool"]), st.sampled_from(["i1", ">f4", "f8", "?"]), st.data())
def test_values_of_another_type_are_converted_as_numpy_converts_them(
    case: Case, dtype: str, data: st.DataObject
) -> None:
    with case.filled() as (array, model):
        wanted = data.draw(some.basic(case.shape))
        values = random_values(np.random.default_rng(0), np.asarray(model[wanted]).shape, dtype)
        if values.dtype.kind == "f":
            values = np.nan_to_num(np.abs(values), posinf=3)
        array[wanted] = values
        model[wanted] = values
        assert_same(array[...], model)


@pytest.mark.parametrize("values", [7, 7.5, np.float32(2), [1, 2, 3, 4], [[1], [2], [3]], (4, 3, 2, 1), True])
def test_plain_python_values_are_taken(where: Any, values: Any) -> None:
    array = gpuzarr.zeros((3, 4), dtype="int16", chunks=(2, 2), store=where)
    model = np.zeros((3, 4), "int16")
    array[...] = values
    model[...] = values
    assert_same(array[...], model)


@pytest.mark.parametrize("values", ["x", [1, [2]], object(), 10**40, -1])
def test_values_that_numpy_refuses_are_refused_and_nothing_is_written(values: Any) -> None:
    array = gpuzarr.ones((3, 4), dtype="uint8")
    with pytest.raises((TypeError, ValueError, OverflowError)):
        array[...] = values
    assert (array[...] == 1).all()


@pytest.mark.parametrize("shape", [(2,), (3, 4, 1), (2, 3, 4), (0,)])
def test_values_that_do_not_broadcast_are_refused(shape: tuple[int, ...]) -> None:
    array = gpuzarr.zeros((3, 4))
    with pytest.raises(ShapeError, match="do not broadcast") as caught:
        array[...] = np.ones(shape)
    assert (caught.value.shape, caught.value.wanted) == (shape, (3, 4))


# ---- fields --------------------------------------------------------------------------------------------------

RECORD = np.dtype([("x", "<i2"), ("y", "<f8"), ("p", [("a", "u1"), ("b", "u1")])])


def records(executor: gpuzarr.Executor = some.NATIVE, dtype: Any = RECORD) -> tuple[gpuzarr.Array, Any]:
    model = random_values(np.random.default_rng(3), (7, 5), dtype)
    array = gpuzarr.create_array(
        {}, shape=model.shape, dtype=dtype, chunks=(3, 2), zarr_format=2, executor=executor
    )
    array[...] = model
    return array, model.astype(RECORD)


@pytest.mark.parametrize("executor", [some.NATIVE, some.PYTHON])
@pytest.mark.parametrize("names", ["x", "p", ["x"], ["y", "x"]])
@pytest.mark.parametrize("rest", [(), (2,), (slice(1, 6, 2), 3), (..., 0), (2, 3)])
def test_fields_are_read_as_from_numpys_records(executor: gpuzarr.Executor, names: Any, rest: Any) -> None:
    for dtype in (RECORD, RECORD.newbyteorder(">")):
        array, model = records(executor, dtype)
        wanted = model[names][rest]
        assert_same(array[(names, *rest)], wanted)
        assert_same(array[(*rest, names)], wanted)


def test_several_names_are_several_fields() -> None:
    array, model = records()
    assert_same(array["x", "y", 1:3], model[["x", "y"]][1:3])


@pytest.mark.parametrize("rest", [(), (2,), (slice(1, 6, 2), 3)])
def test_a_field_is_read_into_memory_one_owns(rest: Any) -> None:
    array, model = records()
    wanted = model["y"][rest]
    out = np.zeros(wanted.shape)
    assert array.read(("y", *rest), out=out) is out
    assert_same(out, wanted)
    with pytest.raises(ShapeError, match="fields"):
        array.read(("x", *rest), out=out)


def test_fields_are_read_by_every_way_of_indexing() -> None:
    array, model = records()
    assert_same(array.oindex["x", [3, 0], 1:3], model["x"][[3, 0], 1:3])
    assert_same(array.vindex["x", [3, 0], [1, 1]], model["x"][[3, 0], [1, 1]])
    assert_same(array.blocks["x", 1, 0], model["x"][3:6, 0:2])


@pytest.mark.parametrize("names", ["x", ["x", "p"]])
def test_writing_fields_leaves_the_others_alone(names: Any) -> None:
    array, model = records()
    values = random_values(np.random.default_rng(9), (7, 5), RECORD)
    array[(names, slice(1, 4))] = values[names][1:4]
    model_part = model[1:4]
    model_part[names] = values[names][1:4]
    assert_same(array[...], model)
    array["x", 0, 0] = 42
    model["x"][0, 0] = 42
    assert_same(array[...], model)


def test_fields_are_written_by_every_way_of_indexing() -> None:
    array, model = records()
    array.oindex["x", [3, 0], 1:3] = [[1, 2], [3, 4]]
    model["x"][[3, 0], 1:3] = [[1, 2], [3, 4]]
    array.vindex["y", [3, 0], [1, 1]] = [5, 6]
    model["y"][[3, 0], [1, 1]] = [5, 6]
    array.blocks["x", 1, 0] = 9
    model["x"][3:6, 0:2] = 9
    assert_same(array[...], model)


@pytest.mark.parametrize("names", ["z", ["x", "z"]])
def test_a_field_that_is_not_there_is_an_error(names: Any) -> None:
    for array in (records()[0], gpuzarr.zeros((3,))):
        with pytest.raises(SelectionError, match="no field"):
            array[names]
        with pytest.raises(SelectionError, match="no field"):
            array[names] = 1


def test_a_field_named_twice_is_an_error() -> None:
    with pytest.raises(SelectionError, match="twice"):
        records()[0][["x", "x"]]


def test_values_of_a_field_must_fit() -> None:
    array, model = records()
    with pytest.raises(ShapeError, match="broadcast"):
        array["x"] = np.ones((7, 4))
    assert_same(array[...], model)


# ---- results -------------------------------------------------------------------------------------------------


def test_an_element_is_a_scalar_and_an_ellipsis_asks_for_an_array() -> None:
    model = np.arange(6, dtype="int16").reshape(2, 3)
    array = gpuzarr.array(model)
    for wanted in [(0, 1), (0, 1, ...), (..., 0, 1), (slice(0, 1), 1), ([0], [1])]:
        assert_same(array[wanted], model[wanted])
    assert_same(array.oindex[0, 1], model[0, 1])
    assert_same(array.vindex[0, 1], model[0, 1])
    assert_same(array.blocks[0, 0], model)


def test_an_array_without_dimensions_reads_and_writes_its_element() -> None:
    array = gpuzarr.create_array({}, shape=(), dtype="int32", fill_value=3)
    assert_same(array[()], np.int32(3))
    assert_same(array[...], np.array(3, np.int32))
    array[...] = 4
    array[()] = array[()] + 1
    assert int(array[...]) == 5
    assert_same(array.oindex[()], np.int32(5))
    assert_same(array.vindex[()], np.int32(5))
    assert_same(array.blocks[()], np.int32(5))
    assert list(array.store.list()) == ["zarr.json", "c"]


@pytest.mark.parametrize("order", ["C", "F"])
def test_results_lie_in_memory_as_order_says(order: str) -> None:
    model = np.arange(24).reshape(2, 3, 4)
    array = gpuzarr.create_array({}, data=model, chunks=(1, 2, 3), order=order)
    for wanted in [..., (slice(None), 0), (slice(None, None, -1),)]:
        found = array[wanted]
        assert_same(found, model[wanted])
        assert found.flags[f"{order}_CONTIGUOUS"]
    assert array.oindex[[1, 0], [0, 2]].flags[f"{order}_CONTIGUOUS"]


def test_results_are_new_memory() -> None:
    array = gpuzarr.array(np.zeros(4))
    first = array[...]
    first += 1
    assert (array[...] == 0).all()


# ---- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [None, (0, None), (slice(None), np.newaxis)])
def test_newaxis_is_refused_with_a_way_out(wanted: Any) -> None:
    array = gpuzarr.zeros((3, 4))
    for rule in (array, array.oindex, array.vindex, array.blocks):
        with pytest.raises(SelectionError, match="newaxis is not supported: index the result"):
            rule[wanted]
        with pytest.raises(SelectionError, match="newaxis"):
            rule[wanted] = 0


@pytest.mark.parametrize("wanted", [3, -4, (0, 4), ([0, 3],), (0, 0, 0), "x", 1.5, {}])
def test_what_the_array_does_not_have_is_an_index_error_of_ours(wanted: Any) -> None:
    array = gpuzarr.zeros((3, 4))
    for action in (array.__getitem__, array.oindex.__getitem__, array.vindex.__getitem__, array.blocks.__getitem__):
        with pytest.raises(IndexError) as caught:
            action(wanted)
        assert isinstance(caught.value, GpuzarrError)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (np.zeros((3, 5)), "shape"),
        (np.zeros((4, 3)), "shape"),
        (np.zeros((3, 4), "f4"), "float32"),
        (np.zeros((3, 4), ">f8"), ">f8"),
        (np.broadcast_to(np.zeros(4), (3, 4)), "read-only"),
    ],
)
def test_memory_that_does_not_fit_is_refused(out: Any, reason: str) -> None:
    array = gpuzarr.ones((3, 4))
    with pytest.raises(ShapeError, match=reason):
        array.read(..., out=out)
    assert not out.any()


@pytest.mark.parametrize("out", [[0.0] * 3, bytearray(24), None.__class__])
def test_memory_that_is_no_array_is_refused(out: Any) -> None:
    with pytest.raises(NotImplementedError, match="out="):
        gpuzarr.ones((3,)).read(..., out=out)


def test_a_stream_is_for_devices() -> None:
    with pytest.raises(NotImplementedError, match="stream="):
        gpuzarr.ones((3,)).read(..., stream=1)


# ---- reading another type ------------------------------------------------------------------------------------


@many
@given(cases(dtypes=["?", "i1", ">u2", "<i4", "<u8", "<f2", ">f4", "<f8"]), executors, st.data())
def test_another_type_is_astype(case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        wanted = data.draw(some.basic(case.shape) | some.one_array(case.shape))
        asked = data.draw(st.sampled_from("bhilBHILefd").filter(lambda c: np.can_cast(model.dtype, c, "same_kind")))
        with np.errstate(all="ignore"):
            expected = np.asarray(model[wanted], model.dtype).astype(asked)
        found = np.asarray(reopened(array, reader).read(wanted, dtype=asked))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_another_type_may_have_its_own_memory() -> None:
    array = gpuzarr.array(np.arange(12).reshape(3, 4), store={}, chunks=(2, 3))
    out = np.zeros((4, 6), "f4")[::-1, ::2].T
    assert array.read(..., out=out, dtype="f4") is out
    assert out.tolist() == np.arange(12).reshape(3, 4).tolist()
    boxes = [(slice(k, k + 2), 1) for k in (0, 1)]
    assert array.read_many(boxes, dtype=float).tolist() == [[1.0, 5.0], [5.0, 9.0]]
    assert array.configure(order="F").read(dtype="f2").flags.f_contiguous
    assert type(array.read((1, 1), dtype="i2")) is np.int16
    with pytest.raises(ShapeError, match="of float64, the result of float32"):
        array.read(..., out=np.zeros((3, 4)), dtype="f4")


@pytest.mark.parametrize(
    ("stored", "asked", "reason"),
    [
        ("f4", "i4", "float32 can't be read as int32"),
        ("i4", "u1", "int32 can't be read as uint8"),
        ("u1", "?", "uint8 can't be read as bool"),
        ("f4", "c8", "float32 can't be read as complex64"),
        ("c8", "c16", "complex64 can't be read as complex128"),
        ("i4", "M8[s]", "int32 can't be read as datetime64"),
        ("i4", "nothing", "int32 can't be read as 'nothing'"),
        ("i4", [1], r"int32 can't be read as \[1\]"),
    ],
)
def test_what_no_element_can_become_is_refused(stored: str, asked: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        gpuzarr.zeros((3,), dtype=stored).read(dtype=asked)


def test_fields_are_not_converted() -> None:
    array = gpuzarr.zeros((3,), dtype=[("x", "i4")], zarr_format=2)
    with pytest.raises(UnsupportedError, match="fields"):
        array.read("x", dtype="f4")


def test_the_type_that_elements_have_is_no_other() -> None:
    array = gpuzarr.array(np.arange(3, dtype=">i4"), store={}, zarr_format=2)
    assert array.read(dtype="i4").dtype == array.read(dtype=">i4").dtype == np.dtype("i4")


def test_torch_names_types_too() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    array = gpuzarr.array(np.arange(5), store={}).configure(meta_array=torch.empty(0))
    found = array.read(dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert found.tolist() == [0, 1, 2, 3, 4]
    out = torch.zeros(5, dtype=torch.float16)
    assert array.read(out=out, dtype="float16") is out
    assert out.tolist() == [0, 1, 2, 3, 4]


# ---- every combination of the small ones ----------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("shards", [None, (4,)])
def test_every_slice_of_a_short_axis(shards: Any, native: bool) -> None:
    model = np.arange(1, 8)
    array = gpuzarr.create_array(
        {}, data=model, chunks=(2,), shards=shards, executor=gpuzarr.Executor(threads=1, native=native)
    )
    edges = [None, *range(-8, 9)]
    for start, stop, step in itertools.product(edges, edges, [None, 3, -1, -2]):
        wanted = slice(start, stop, step)
        assert array[wanted].tolist() == model[wanted].tolist()
