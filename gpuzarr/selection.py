"""Whatever stands in `[]`, `oindex[]`, `vindex[]` or `blocks[]`, normalised to tiles over the whole array (pure).

NumPy's rules hold: negative indices count from the end, slices are clipped, integers drop their axis, an index out
of bounds is an error. Steps come out positive: an axis selected backwards is a flipped view of the result.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.edges import Grid, chunks_within
from gpuzarr.errors import SelectionError

__all__ = ["Selection", "blocks", "boxes", "coordinates", "orthogonal", "select", "split_fields"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of an array of `array_shape`.

    `shape` is the result's, as NumPy gives it. `tiles` is one tile (none for an empty selection) that lands in
    `view(result)`: all axes kept, none backwards; a flat view for points.
    """

    array_shape: Shape
    shape: Shape
    tiles: Tiles
    index: tuple[Any, ...] | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self, result: NDArray[Any]) -> NDArray[Any]:
        """The result (or the values to assign) as the tiles address it; never a copy, but of scattered points."""
        return result.reshape(-1) if self.index is None else result[(*self.index, ...)]


def select(selection: Any, shape: Shape) -> Selection:
    """What `a[selection]` means: NumPy's basic indexing, and the parts of its fancy indexing zarr-python has.

    All axes given by integers or arrays of integers, or one mask of the array's shape: points, as `vindex`.
    One array of integers or booleans among slices and integers, or all axes given and some by masks: orthogonal, as
    `oindex`.

    >>> select((slice(2, 8), -1), (10, 5)).shape
    (6,)
    """
    items = _items(selection, shape)
    arrays = [i for i in items if _is_array(i)]
    if not arrays:
        return _basic(items, shape)
    if len(items) == 1 and _is_mask(items[0], shape):
        return coordinates(items[0], shape)
    whole = len(items) == len(shape) and not any(isinstance(i, slice) or i is Ellipsis for i in items)
    if whole and not any(i.dtype == bool for i in arrays):
        return coordinates(items, shape)
    if len(arrays) == 1 or whole:
        return orthogonal(items, shape)
    raise SelectionError(
        "several arrays with slices between them are ambiguous: use oindex or vindex", selection=selection, shape=shape
    )


def _basic(items: tuple[Any, ...], shape: Shape) -> Selection:
    items = _complete(items, shape)
    source, count, step, wanted = [], [], [], []
    index: list[slice | None] = []
    for item, n in zip(items, shape, strict=True):
        if isinstance(item, slice):
            start, length, stride = _slice(item, n, items, shape)
            wanted.append(length)
            index.append(slice(None) if stride > 0 else slice(None, None, -1))
            if stride < 0:
                start, stride = start + stride * (length - 1), -stride
        else:
            start, length, stride = _integer(item, n, items, shape), 1, 1
            index.append(None)
        source.append(start)
        count.append(length)
        step.append(stride)
    tiles = Boxes(*np.array((source, [0] * len(source), count, step), np.int64).reshape(4, 1, len(source)))
    return Selection(shape, tuple(wanted), tiles if all(count) else tiles.take(slice(0, 0)), tuple(index))


def orthogonal(selection: Any, shape: Shape) -> Selection:
    """`oindex`: every axis by itself, by an integer, a slice, an array of integers, or a mask of its length.

    >>> orthogonal(([0, 2, 2], slice(None, None, -1)), (4, 3)).shape
    (3, 3)
    """
    items = _items(selection, shape)
    if len(items) == 1 and len(shape) > 1 and _is_mask(items[0], shape):
        return coordinates(items[0], shape)
    items = _complete(items, shape)
    if not any(_is_array(i) for i in items):
        return _basic(items, shape)
    positions, targets, wanted = [], [], []
    index: list[Any] = []
    for item, n in zip(items, shape, strict=True):
        where = _positions(item, n, items, shape)
        order = np.argsort(where, kind="stable")
        positions.append(where[order])
        targets.append(order.astype(np.int64))
        if _is_array(item) or isinstance(item, slice):
            wanted.append(len(where))
            index.append(slice(None))
        else:
            index.append(None)
    count = np.array([[len(p) for p in positions]], np.int64)
    tiles = Tables(np.zeros_like(count), count, tuple(positions), tuple(targets))
    return Selection(shape, tuple(wanted), tiles if count.all() else tiles.take(slice(0, 0)), tuple(index))


def coordinates(selection: Any, shape: Shape) -> Selection:
    """`vindex`: points, by one array of integers an axis (they broadcast), or by a mask of the array's shape.

    >>> coordinates(([0, 1], [2, 2]), (4, 3)).shape
    (2,)
    """
    items = _items(selection, shape)
    if len(items) == 1 and _is_mask(items[0], shape):
        items = np.nonzero(items[0])
    if len(items) != len(shape):
        raise SelectionError(
            f"vindex takes one array of integers for each of {len(shape)} axes, or a mask of the array's shape",
            selection=selection,
            shape=shape,
        )
    arrays = [_indices(i, n, selection, shape) for i, n in zip(items, shape, strict=True)]
    try:
        arrays = list(np.broadcast_arrays(*arrays)) if arrays else []
    except ValueError as error:
        raise SelectionError("index arrays do not broadcast together", selection=selection, shape=shape) from error
    wanted = arrays[0].shape if arrays else ()
    positions = np.stack([a.reshape(-1) for a in arrays], 1) if arrays else np.zeros((1, 0), np.int64)
    n = len(positions)
    tiles = Points(np.zeros(min(n, 1), np.int64), np.full(min(n, 1), n), positions, np.arange(n))
    return Selection(shape, wanted, tiles, None)


def blocks(selection: Any, shape: Shape, chunks: Grid) -> Selection:
    """`blocks`: integers and slices (of step 1) that count chunks; every axis is kept.

    >>> blocks((1, slice(0, 2)), (10, 10), (4, 3)).shape
    (4, 6)
    """
    grid = tuple(map(chunks_within, shape, chunks))
    items = _complete(_items(selection, shape), grid)
    elements = []
    for item, n, edge in zip(items, grid, chunks, strict=True):
        if isinstance(item, slice):
            start, length, _ = _slice(item, n, items, grid)
            if item.step not in (None, 1):
                raise SelectionError("blocks takes slices of step 1", selection=selection, shape=grid)
        else:
            start, length = _integer(item, n, items, grid), 1
        elements.append(slice(start * edge, (start + length) * edge))
    return _basic(tuple(elements), shape)


def boxes(selections: Sequence[Any], shape: Shape) -> tuple[Selection, Boxes]:
    """Several basic selections of one result shape, as one batch.

    Returns the first, and the boxes of all with an extra leading axis: box i lands at index i of the stack.
    """
    if not len(selections):
        raise SelectionError("read_many takes at least one selection", selection=selections, shape=shape)
    chosen = [_basic(_items(s, shape), shape) for s in selections]
    first = chosen[0]
    for one, wanted in zip(chosen, selections, strict=True):
        if one.shape != first.shape or one.index != first.index:
            same = f"have one result shape: {first.shape} and {one.shape}"
            if one.shape == first.shape:
                same = "select the same axes in the same direction"
            raise SelectionError(f"selections of one batch {same}", selection=wanted, shape=shape)
    if not len(first.tiles):
        return first, Boxes(*(np.zeros((0, len(shape) + 1), np.int64) for _ in range(4)))
    tiles = [s.tiles for s in chosen if isinstance(s.tiles, Boxes)]
    n = len(tiles)
    lead = (np.zeros(n, np.int64), np.arange(n), np.ones(n, np.int64), np.ones(n, np.int64))
    columns = []
    for name, batch in zip(("source", "target", "count", "step"), lead, strict=True):
        rest = np.concatenate([getattr(t, name) for t in tiles])
        columns.append(np.concatenate((batch[:, None], rest), axis=1))
    return first, Boxes(*columns)


def split_fields(selection: Any) -> tuple[list[str] | str | None, Any]:
    """Field names taken out of a selection, as in `a["x"]`, `a["x", 0:3]` or `a[["x", "y"]]`."""
    items = selection if isinstance(selection, tuple) else (selection,)
    named = [i for i in items if isinstance(i, str) or _are_names(i)]
    if not named:
        return None, selection
    rest = tuple(i for i in items if not isinstance(i, str) and not _are_names(i))
    if len(named) == 1:
        return named[0], rest
    return [name for i in named for name in ([i] if isinstance(i, str) else i)], rest


def _are_names(item: Any) -> bool:
    return isinstance(item, list) and len(item) > 0 and all(isinstance(i, str) for i in item)


def _items(selection: Any, shape: Shape) -> tuple[Any, ...]:
    """A selection as a tuple, in which everything array-like is a NumPy array."""
    items = selection if isinstance(selection, tuple) else (selection,)
    if all(type(i) is slice or type(i) is int for i in items):  # most are, and small reads are many
        return items
    if any(i is None for i in items):
        raise SelectionError("newaxis is not supported: index the result instead", selection=items, shape=shape)
    return tuple(_array(i, selection, shape) if _is_array(i) else i for i in items)


def _array(item: Any, selection: Any, shape: Shape) -> NDArray[Any]:
    try:
        values = np.asarray(item)
    except ValueError as error:
        raise SelectionError(f"not an array of integers: {item!r:.100}", selection=selection, shape=shape) from error
    return values if values.size or values.dtype == bool else values.astype(np.int64)


def _complete(items: tuple[Any, ...], shape: Shape) -> tuple[Any, ...]:
    """The selection with one item for every axis: Ellipsis expanded, missing axes whole."""
    dots = sum(i is Ellipsis for i in items)
    if not dots and len(items) == len(shape):
        return items
    missing = len(shape) - (len(items) - dots)
    if dots > 1 or missing < 0:
        what = "more than one Ellipsis" if dots > 1 else f"too many indices for {len(shape)} dimensions"
        raise SelectionError(what, selection=items, shape=shape)
    if not dots:
        return (*items, *[slice(None)] * missing)
    at = next(k for k, i in enumerate(items) if i is Ellipsis)
    return (*items[:at], *[slice(None)] * missing, *items[at + 1 :])


def _slice(item: slice, n: int, selection: Any, shape: Shape) -> tuple[int, int, int]:
    """Start, length and step of a slice of an axis of n elements."""
    try:
        start, stop, step = item.indices(n)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"not a slice of integers: {item} ({error})", selection=selection, shape=shape) from error
    length = len(range(start, stop, step))
    if length < 2:  # the step may be larger than any integer of a plan, and has nothing to say
        return (start if length else 0), length, 1
    return start, length, step


def _integer(item: Any, n: int, selection: Any, shape: Shape) -> int:
    try:
        if isinstance(item, (bool, np.bool_)):
            raise TypeError("a boolean")
        index = operator.index(item)
    except TypeError as error:
        raise SelectionError(
            f"not an integer, a slice, Ellipsis or an array: {item!r}", selection=selection, shape=shape
        ) from error
    if not -n <= index < n:
        raise SelectionError(f"index {index} is out of bounds for an axis of {n}", selection=selection, shape=shape)
    return index + n if index < 0 else index


def _positions(item: Any, n: int, selection: Any, shape: Shape) -> NDArray[np.int64]:
    """The positions along one axis that an item of an orthogonal selection names."""
    if isinstance(item, slice):
        start, length, step = _slice(item, n, selection, shape)
        return start + step * np.arange(length, dtype=np.int64)
    if not _is_array(item):
        return np.array([_integer(item, n, selection, shape)], np.int64)
    reason = None
    if item.dtype == bool and item.shape != (n,):
        size = len(item) if item.ndim == 1 else item.shape
        reason = f"a mask of {size} for an axis of {n}"
    elif item.ndim != 1:
        reason = f"only arrays of 1 dimension select along an axis, not of {item.ndim} (vindex takes them)"
    if reason is not None:
        raise SelectionError(reason, selection=selection, shape=shape)
    return np.flatnonzero(item) if item.dtype == bool else _indices(item, n, selection, shape)


def _indices(item: Any, n: int, selection: Any, shape: Shape) -> NDArray[np.int64]:
    """An array of integers, wrapped and checked against an axis of n elements."""
    values = np.asarray(item)
    if values.dtype.kind not in "iu":
        raise SelectionError(f"not integers: {values.dtype} indices", selection=selection, shape=shape)
    if values.size and (int(values.min()) < -n or int(values.max()) >= n):
        raise SelectionError(f"an index is out of bounds for an axis of {n}", selection=selection, shape=shape)
    values = values.astype(np.int64)
    return np.where(values < 0, values + n, values)


def _is_array(item: Any) -> bool:
    if isinstance(item, (slice, int)):
        return False
    return isinstance(item, list) or (hasattr(item, "__array__") and getattr(item, "ndim", 0) > 0)


def _is_mask(item: Any, shape: Shape) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == bool and item.ndim > 0 and item.shape == shape
