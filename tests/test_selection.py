"""A selection, as values alone, means what NumPy means by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies as some
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr import selection
from gpuzarr.batch import Boxes, Points
from gpuzarr.errors import SelectionError
from gpuzarr.selection import Selection, split_fields

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def model(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


def read(chosen: Selection, of: NDArray[Any]) -> NDArray[Any]:
    """The elements that the tiles name, one at a time, where they land."""
    result = np.full(chosen.shape, -1, of.dtype)
    view = chosen.view(result)
    tiles = chosen.tiles
    assert len(tiles) == (1 if chosen.size else 0)
    for row in range(len(tiles)):
        if isinstance(tiles, Boxes):
            assert (tiles.step > 0).all()
            assert (tiles.source >= 0).all()
            for i in np.ndindex(*tiles.count[row]):
                view[tuple(tiles.target[row] + i)] = of[tuple(tiles.source[row] + tiles.step[row] * i)]
        elif isinstance(tiles, Points):
            assert (tiles.positions >= 0).all()
            for j in range(tiles.first[row], tiles.first[row] + tiles.count[row]):
                view[tiles.targets[j]] = of[tuple(tiles.positions[j])]
        else:
            assert all((p >= 0).all() and (p[1:] >= p[:-1]).all() for p in tiles.positions)
            for i in np.ndindex(*tiles.count[row]):
                entry = tiles.first[row] + i
                source = tuple(p[k] for p, k in zip(tiles.positions, entry, strict=True))
                view[tuple(t[k] for t, k in zip(tiles.targets, entry, strict=True))] = of[source]
    return result


# ---- what is meant -------------------------------------------------------------------------------------------


@given(shapes, st.data())
def test_basic_indexing_is_numpys(shape: tuple[int, ...], data: st.DataObject) -> None:
    of = model(shape)
    wanted = data.draw(some.basic(shape))
    chosen = selection.select(wanted, shape)
    assert chosen.shape == of[wanted].shape
    np.testing.assert_array_equal(read(chosen, of), of[wanted])


@given(shapes, st.data())
def test_orthogonal_indexing_is_an_open_mesh(shape: tuple[int, ...], data: st.DataObject) -> None:
    of = model(shape)
    wanted = data.draw(some.orthogonal(shape))
    mesh, result = some.orthogonal_of(of, wanted)
    chosen = selection.orthogonal(wanted, shape)
    assert chosen.shape == result
    np.testing.assert_array_equal(read(chosen, of), of[mesh].reshape(result))


@given(shapes.filter(len), st.data())
def test_coordinates_are_numpys_fancy_indexing(shape: tuple[int, ...], data: st.DataObject) -> None:
    of = model(shape)
    wanted = data.draw(some.coordinates(shape))
    for rule in (selection.coordinates, selection.select):
        chosen = rule(wanted, shape)
        np.testing.assert_array_equal(read(chosen, of), of[wanted])


def test_positions_of_a_table_are_sorted_so_that_every_chunk_is_one_run() -> None:
    tables = selection.orthogonal(([3, 0, 3, 1], slice(None)), (4, 2)).tiles
    assert tables.positions[0].tolist() == [0, 1, 3, 3]
    assert tables.targets[0].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ([0, 2], (2, 3)),
        (([0, 2], slice(1, 3)), (2, 2)),
        ((slice(None), [1]), (4, 1)),
        (([0, 2], [1, 2]), (2,)),
        (([[0], [2]], [1, 2]), (2, 2)),
        ((0, [1, 2]), (2,)),
        (([True, False, True, False], 1), (2,)),
        ([True, False, True, False], (2, 3)),
        (np.ones((4, 3), bool), (12,)),
        ((..., [0, 0]), (4, 2)),
        ([], (0, 3)),
    ],
)
def test_the_fancy_indexing_that_zarr_python_has_is_numpys_too(wanted: Any, shape: tuple[int, ...]) -> None:
    of = model((4, 3))
    chosen = selection.select(wanted, of.shape)
    assert chosen.shape == shape
    np.testing.assert_array_equal(read(chosen, of), of[wanted])


def test_an_array_among_slices_and_integers_keeps_its_axis_in_place() -> None:
    # NumPy moves it to the front, if an integer and it stand on both sides of a slice.
    assert selection.select((0, slice(None), [1, 2]), (4, 3, 5)).shape == (3, 2)


@given(st.integers(0, 20), st.integers(1, 7), st.data())
def test_blocks_are_slices_of_whole_chunks(n: int, edge: int, data: st.DataObject) -> None:
    of, grid = model((n, 3)), -(-n // edge)
    part = slice(data.draw(st.integers(-grid - 1, grid + 1)), data.draw(st.none() | st.integers(-grid - 1, grid + 1)))
    start, stop, _ = part.indices(grid)
    chosen = selection.blocks((part, 0), of.shape, (edge, 3))
    np.testing.assert_array_equal(read(chosen, of), of[start * edge : max(start, stop) * edge])


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(-2, 2).filter(bool))
def test_boxes_of_a_batch_land_one_after_another(starts: list[int], step: int) -> None:
    of = model((12, 5))
    wanted = [(slice(s, s + 4, step) if step > 0 else slice(s + 4, s, step), 2) for s in starts]
    first, boxes = selection.boxes(wanted, of.shape)
    stack = np.stack([of[w] for w in wanted])
    result = np.full_like(stack, -1)
    view = result[(slice(None), *(first.index or ()))]
    for row in range(len(boxes)):
        for i in np.ndindex(*boxes.count[row]):
            source = boxes.source[row] + boxes.step[row] * i
            assert source[0] == 0
            view[tuple(boxes.target[row] + i)] = of[tuple(source[1:])]
    np.testing.assert_array_equal(result, stack)


def test_a_step_longer_than_any_axis_takes_one_element() -> None:
    chosen = selection.select((slice(None, None, 10**30), slice(None, None, -(10**30))), (4, 3))
    assert read(chosen, model((4, 3))).tolist() == [[2]]


def test_the_view_of_basic_and_orthogonal_results_is_no_copy() -> None:
    for chosen in (selection.select((1, slice(None, None, -1)), (4, 3)), selection.orthogonal(([1], 0), (4, 3))):
        result = np.zeros(chosen.shape)
        assert np.shares_memory(chosen.view(result), result)


# ---- field names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "names", "rest"),
    [
        ("x", "x", ()),
        (["x", "y"], ["x", "y"], ()),
        (("x", slice(3)), "x", (slice(3),)),
        ((slice(3), "x"), "x", (slice(3),)),
        (("x", "y", 0), ["x", "y"], (0,)),
        ((["x", "y"], 0), ["x", "y"], (0,)),
        ((["x"], 0), ["x"], (0,)),
        ((0, slice(3)), None, (0, slice(3))),
        (..., None, ...),
        ([0, 1], None, [0, 1]),
        ([], None, []),
    ],
)
def test_names_of_fields_are_taken_out(wanted: Any, names: Any, rest: Any) -> None:
    assert split_fields(wanted) == (names, rest)


# ---- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (None, "newaxis is not supported"),
        ((slice(None), None), "newaxis is not supported"),
        (([0, 1], None), "newaxis is not supported"),
        ((0, 0, 0), "too many indices for 2 dimensions"),
        ((..., ...), "more than one Ellipsis"),
        (4, "index 4 is out of bounds for an axis of 4"),
        (-5, "index -5 is out of bounds for an axis of 4"),
        (10**30, "out of bounds"),
        (1.5, "not an integer"),
        (True, "not an integer"),
        (np.True_, "not an integer"),
        (np.array(True), "not an integer"),
        (range(2), "not an integer"),
        (slice(None, None, 0), "zero"),
        (slice("a"), "not a slice of integers"),
        (slice(0.5), "not a slice of integers"),
        ([0, 4], "out of bounds for an axis of 4"),
        ([-5], "out of bounds for an axis of 4"),
        (np.array([2**64 - 1], np.uint64), "out of bounds"),
        ([0.5], "not integers"),
        (["a", "b"], "not integers"),
        ([[0, 1], [2]], "not an array of integers"),
        (np.ones(3, bool), "a mask of 3 for an axis of 4"),
        (np.ones((3, 4), bool), r"a mask of \(3, 4\)"),
        ([[0, 1], [2, 3]], "arrays of 1 dimension"),
    ],
)
def test_what_numpy_or_zarr_refuses_is_refused(wanted: Any, reason: str) -> None:
    with pytest.raises(SelectionError, match=reason) as caught:
        selection.select(wanted, (4, 3))
    assert caught.value.shape == (4, 3)
    assert caught.value.selection is not None


@pytest.mark.parametrize("wanted", [(np.arange(4) > 1, [2, 0]), (np.ones(4, bool), np.arange(3) > 0)])
def test_masks_for_all_axes_select_as_oindex_does(wanted: Any) -> None:
    found = selection.select(wanted, (4, 3))
    assert found.shape == selection.orthogonal(wanted, (4, 3)).shape == (int(wanted[0].sum()), 2)


def test_several_arrays_among_slices_are_ambiguous() -> None:
    with pytest.raises(SelectionError, match="ambiguous: use oindex or vindex"):
        selection.select(([0, 1], slice(None), [0, 1]), (4, 3, 5))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([0, 1], "one array of integers for each of 2 axes"),
        ((slice(None), [0]), "not integers"),
        (([0, 1], [0, 1, 2]), "do not broadcast"),
        (([0], [3]), "out of bounds for an axis of 3"),
        (np.ones((4, 4), bool), "a mask of the array's shape"),
    ],
)
def test_coordinates_take_one_array_an_axis_or_a_mask(wanted: Any, reason: str) -> None:
    with pytest.raises(SelectionError, match=reason):
        selection.coordinates(wanted, (4, 3))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (2, "index 2 is out of bounds for an axis of 2"),
        (slice(None, None, 2), "step 1"),
        (slice(None, None, -1), "step 1"),
        ([0], "not an integer"),
        ((0, 0, 0), "too many indices"),
    ],
)
def test_blocks_take_integers_and_plain_slices(wanted: Any, reason: str) -> None:
    with pytest.raises(SelectionError, match=reason):
        selection.blocks(wanted, (10, 6), (5, 3))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "at least one selection"),
        ([slice(0, 2), slice(0, 3)], "one result shape"),
        ([(0, slice(0, 1)), (slice(0, 1), 0)], "the same axes"),
        ([slice(0, 2), slice(2, 0, -1)], "the same axes in the same direction"),
        ([[0, 1]], "not an integer"),
    ],
)
def test_a_batch_is_of_basic_selections_with_one_result_shape(wanted: Any, reason: str) -> None:
    with pytest.raises(SelectionError, match=reason):
        selection.boxes(wanted, (4, 3))
