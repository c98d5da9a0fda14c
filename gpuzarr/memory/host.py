"""Host memory: results that are NumPy arrays or torch CPU tensors, and the moves between a chunk and a result."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.dtypes.names import ML_FLOATS, from_v3
from gpuzarr.errors import ShapeError, UnsupportedError

__all__ = ["NumpyMemory", "TorchMemory", "fill_tiles", "gather", "is_filled", "scatter", "tensor_view", "torch_dtype"]


LARGE = 16 << 20
"""Bytes of a result from which on it is written past the caches, which would not hold it anyway."""

LINE = 64
"""Bytes of a cache line: large results begin with one, because rows that do are written twice as fast."""


class NumpyMemory:
    """Results are `numpy.ndarray`."""

    name = "cpu"
    device = None

    def current_stream(self) -> int:
        """There are no streams on the host."""
        return 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C") -> NDArray[Any]:
        nbytes = math.prod(shape) * dtype.itemsize
        try:
            if nbytes < LARGE or order == "F" or dtype.hasobject:
                return np.empty(shape, dtype, order)
            room = np.empty(nbytes + LINE, np.uint8)
            return room[-room.__array_interface__["data"][0] % LINE :][:nbytes].view(dtype).reshape(shape)
        except ValueError as error:  # more bytes than there are addresses
            raise ShapeError(f"a result of shape {shape} does not fit in memory", shape=shape) from error

    def view(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A result as a NumPy array that shares its memory."""
        if not isinstance(array, np.ndarray):
            raise UnsupportedError(f"out= must be a numpy.ndarray, not {type(array).__name__}", feature="out=")
        return array


class TorchMemory:
    """Results are torch CPU tensors; what is written into them is never copied."""

    name = "torch cpu"
    device = None

    def current_stream(self) -> int:
        """There are no streams on the host."""
        return 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C") -> Any:
        import torch

        return torch.empty(shape, dtype=torch_dtype(dtype))

    def view(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A tensor as a NumPy array of `dtype` that shares its memory."""
        if type(array).__module__.split(".")[0] != "torch" or array.device.type != "cpu":
            raise UnsupportedError("out= must be a torch CPU tensor", feature="out=")
        if array.dtype != torch_dtype(dtype):
            raise ShapeError(f"out is of {array.dtype}, the array of {dtype}", shape=tuple(array.shape))
        return tensor_view(array)


def tensor_view(tensor: Any) -> NDArray[Any]:
    """A torch CPU tensor as a NumPy array that shares its memory; types NumPy lacks are those of ml_dtypes."""
    import torch

    tensor, name = tensor.detach(), str(tensor.dtype).removeprefix("torch.")
    if name not in ML_FLOATS:
        view: NDArray[Any] = tensor.numpy()
        return view
    bits: NDArray[Any] = tensor.view(torch.uint16 if tensor.element_size() == 2 else torch.uint8).numpy()
    return bits.view(from_v3(name, None).dtype)


def torch_dtype(dtype: np.dtype[Any]) -> Any:
    """torch's data type for one of NumPy's or ml_dtypes'. Raises UnsupportedError."""
    import torch

    found = getattr(torch, dtype.name, None) if dtype.kind in "biufc" or dtype.name in ML_FLOATS else None
    if not isinstance(found, torch.dtype):
        raise UnsupportedError(f"torch has no data type for {dtype}", feature=f"{dtype} in a torch tensor")
    return found


def scatter(chunk: NDArray[Any], tiles: Tiles, rows: range, out: NDArray[Any]) -> None:
    """Copy some tiles of a decoded chunk to where they land in the result."""
    for source, target in _places(tiles, rows):
        out[target] = chunk[source]


def gather(values: NDArray[Any], tiles: Tiles, rows: range, chunk: NDArray[Any]) -> None:
    """The reverse: copy values into a chunk that is about to be encoded."""
    for source, target in _places(tiles, rows):
        chunk[source] = values[target]


def fill_tiles(out: NDArray[Any], tiles: Tiles, rows: range, fill: Any) -> None:
    """Give some tiles the fill value: their chunk is not stored."""
    for _, target in _places(tiles, rows):
        out[target] = fill


def is_filled(chunk: NDArray[Any], fill: NDArray[Any]) -> bool:
    """Whether every element, of no fixed size, is the fill value.

    >>> is_filled(np.array([0, False], object), np.array(0, object))
    False
    """
    if chunk.dtype.kind == "T":
        return bool((chunk == fill).all())
    value = fill[()]
    if not isinstance(value, str | bytes | int | float):  # who else says that two are equal may mean anything
        return False
    return all(type(one) is type(value) and repr(one) == repr(value) for one in chunk.flat)


def _places(tiles: Tiles, rows: range) -> list[tuple[Any, Any]]:
    """For each of some tiles, the NumPy index of its elements in the chunk, and in the result."""
    part = tiles.take(slice(rows.start, rows.stop))
    if isinstance(part, Boxes):
        return _boxes(part)
    if isinstance(part, Points):
        return _points(part)
    return _tables(part)


def _boxes(tiles: Boxes) -> list[tuple[Any, Any]]:
    if not tiles.ndim:  # an index of no axes names an element, which may be an array itself: this one names all
        return [((...,), (...,))] * len(tiles)
    columns = (c.tolist() for c in (tiles.source, tiles.target, tiles.count, tiles.step))
    places = []
    for source, target, count, step in zip(*columns, strict=True):
        axes = range(len(source))
        places.append(
            (
                tuple(slice(source[k], source[k] + step[k] * (count[k] - 1) + 1, step[k]) for k in axes),
                tuple(slice(target[k], target[k] + count[k]) for k in axes),
            )
        )
    return places


def _tables(tiles: Tables) -> list[tuple[Any, Any]]:
    places = []
    for first, count in zip(tiles.first.tolist(), tiles.count.tolist(), strict=True):
        runs = [slice(f, f + n) for f, n in zip(first, count, strict=True)]
        places.append(
            (
                np.ix_(*(p[run] for p, run in zip(tiles.positions, runs, strict=True))),
                np.ix_(*(t[run] for t, run in zip(tiles.targets, runs, strict=True))),
            )
        )
    return places


def _points(tiles: Points) -> list[tuple[Any, Any]]:
    places = []
    for first, count in zip(tiles.first.tolist(), tiles.count.tolist(), strict=True):
        run = slice(first, first + count)
        places.append((tuple(tiles.positions[run].T), tiles.targets[run]))
    return places
