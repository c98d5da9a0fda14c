"""Tiles as the columns of a scatter: chunk strides and result strides folded into byte offsets (pure).

The result is given as a NumPy array over its device address, of which only address, shape and strides are used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Points, Tables, Tiles
from gpuzarr.cuda import launch
from gpuzarr.cuda.launch import Item
from gpuzarr.cuda.program import ABSOLUTE, Builder, Places

__all__ = ["FILL", "address", "landings", "scatter"]

Column = NDArray[np.int64]

FILL = 0
"""The absolute address that stands for no chunk: its tile gets the fill value."""


def scatter(b: Builder, tiles: Tiles, chunk: Places, steps: Column, out: NDArray[Any], item: Item) -> None:
    """Copy tile i from the decoded chunk at `chunk[i]`, whose elements lie `steps` bytes apart, to the result.

    `steps` are int64[d], or int64[n, d] where chunks differ in shape.
    """
    if isinstance(tiles, Boxes):
        _boxes(b, tiles, chunk, steps, out, item)
    elif isinstance(tiles, Tables):
        _tables(b, tiles, chunk, steps, out, item)
    else:
        _points(b, tiles, chunk, steps, out, item)


def landings(tiles: Boxes, out: NDArray[Any]) -> Places:
    """Where the first element of each box lands."""
    return Places.at(ABSOLUTE, address(out) + tiles.target @ np.array(out.strides, np.int64).reshape(-1))


def address(out: NDArray[Any]) -> int:
    """The device address of a result's first element."""
    found: int = out.__array_interface__["data"][0]
    return found


def _boxes(b: Builder, tiles: Boxes, chunk: Places, steps: Column, out: NDArray[Any], item: Item) -> None:
    filled = (chunk.region == ABSOLUTE) & (chunk.offset == FILL)
    src = chunk + np.where(filled, 0, (tiles.source * steps).sum(axis=1))
    strides = np.array(out.strides, np.int64)
    count, step, strides = _merged(tiles.count, tiles.step * steps, strides)
    launch.scatter_boxes(b, src, landings(tiles, out), count, step, strides, item)


def _merged(count: Column, step: Column, strides: Column) -> tuple[Column, Column, Column]:
    """Fewer axes: those of one element are left out, neighbours that lie as one on both sides are joined."""
    wide = (count != 1).any(axis=0)
    count, step, strides = count[:, wide], step[:, wide], strides[wide]
    for k in range(count.shape[1] - 2, -1, -1):
        inner = count[:, k + 1]
        if (step[:, k] == inner * step[:, k + 1]).all() and (strides[k] == inner * strides[k + 1]).all():
            count = np.concatenate((count[:, :k], (count[:, k] * inner)[:, None], count[:, k + 2 :]), axis=1)
            step = np.delete(step, k, axis=1)
            strides = np.delete(strides, k)
    return count, step, strides


def _tables(b: Builder, tiles: Tables, chunk: Places, steps: Column, out: NDArray[Any], item: Item) -> None:
    if steps.ndim == 2:  # tables are of bytes, and a position has as many different ones as there are shapes
        tiles, steps = _apart(tiles, steps), np.ones(tiles.ndim, np.int64)
    low = tiles.first.min(axis=0)
    high = (tiles.first + tiles.count).max(axis=0)
    runs = [slice(int(a), int(z)) for a, z in zip(low, high, strict=True)]
    sides = ((tiles.positions, steps.tolist()), (tiles.targets, out.strides))
    columns = []
    for table, each in sides:
        places = [b.column(t[run] * step) for t, run, step in zip(table, runs, each, strict=True)]
        columns.append(Places(*(np.array([getattr(p, n) for p in places], np.int64) for n in ("region", "offset"))))
    launch.scatter_tables(b, chunk, address(out), tiles.first - low, tiles.count, columns[0], columns[1], item)


def _apart(tiles: Tables, steps: Column) -> Tables:
    """The same tiles with tables that no two of them share, of positions in bytes."""
    first, positions, targets = [], [], []
    for k in range(tiles.ndim):
        count = tiles.count[:, k]
        entry = _entries(tiles.first[:, k], count)
        first.append(np.cumsum(count) - count)
        positions.append(tiles.positions[k][entry] * np.repeat(steps[:, k], count))
        targets.append(tiles.targets[k][entry])
    return Tables(np.stack(first, 1), tiles.count, tuple(positions), tuple(targets))


def _entries(first: Column, count: Column) -> Column:
    """The entries of runs of a table, one run after another."""
    before = np.cumsum(count) - count
    return np.repeat(first - before, count) + np.arange(int(count.sum()))


def _points(b: Builder, tiles: Points, chunk: Places, steps: Column, out: NDArray[Any], item: Item) -> None:
    low, high = int(tiles.first.min()), int((tiles.first + tiles.count).max())
    here = replace(tiles, positions=tiles.positions[low:high], targets=tiles.targets[low:high])
    if steps.ndim == 2:
        each = np.zeros_like(here.positions)
        each[_entries(tiles.first - low, tiles.count)] = np.repeat(steps, tiles.count, axis=0)
        steps = each
    position, target = (here.positions * steps).sum(axis=1), here.targets * out.strides[0]
    launch.scatter_points(b, chunk, address(out), tiles.first - low, tiles.count, position, target, item)
