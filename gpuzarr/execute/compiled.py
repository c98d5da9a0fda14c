"""Runs of rows handed to the compiled host module: a plan's columns are its arguments.

It is bound once a plan. A row that the module declines or fails is done again in Python, which gives the right result
or the precise error; so both ways give the same bytes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import native
from gpuzarr.batch import Boxes, Points, Tables
from gpuzarr.grid import KeyTable
from gpuzarr.store import Buffer

if TYPE_CHECKING:
    from gpuzarr.codecs.chain import Chain
    from gpuzarr.execute.read import Work
    from gpuzarr.execute.write import Leaf

__all__ = ["program", "reader", "writer"]

STREAMING = 8 << 20
"""Bytes of a result from which on it is written past the caches, which would not hold it anyway."""


def program(chain: Chain) -> tuple[native.Native, tuple[tuple[str, tuple[int, ...]], ...]] | None:
    """The compiled module and a chain's stages as its operations, in encoding order, if it has them all."""
    module, ops = native.load(), chain.native()
    if module is None or ops is None or any(op.name not in module.ops for op in ops):
        return None
    return module, tuple((op.name, op.args) for op in ops)


def reader(work: Work) -> Callable[[range], None] | None:
    """What reads a run of rows of `work`, or None where that is for Python."""
    found = program(work.chain)
    columns = None if found is None else _tiles(work)
    if found is None or columns is None:
        return None
    module, names = found
    source = _files(work)
    if source is None:
        return _from_memory(work, module, names, columns)
    args, status = _read_args(work, module, names, columns, source)

    def run(rows: range) -> None:
        if module.read(args, rows.start, rows.stop):
            _again(work, status, rows)

    return run


def _again(work: Work, status: NDArray[np.int32], rows: range) -> None:
    failed = np.flatnonzero((status[rows.start : rows.stop] & 0xFF) > native.ABSENT) + rows.start
    for row in failed.tolist():
        work.again(row)


Names = tuple[tuple[str, tuple[int, ...]], ...]
Columns = tuple[Any, ...]


def _from_memory(work: Work, module: native.Native, names: Names, columns: Columns) -> Callable[[range], None]:
    """Rows of values that are, or come, as bytes in memory: fetched here, decoded and scattered there."""
    n = len(work.extents)
    data, size = np.zeros(n, np.int64), np.zeros(n, np.int64)
    a = native.address
    source = (native.MEMORY, None, None, 0, 0, None, a(data), a(size), None, None, None)
    args, status = _read_args(work, module, names, columns, source, (data, size))

    def run(rows: range) -> None:
        first, last = int(work.which[rows.start]), int(work.which[rows.stop - 1])
        values = [work.fetch(extent) for extent in range(first, last + 1)]
        buffers = native.Buffers(values)
        data[first : last + 1], size[first : last + 1] = buffers.data, buffers.size
        if module.read(args, rows.start, rows.stop):
            _again(work, status, rows)

    return run


def _read_args(
    work: Work, module: native.Native, names: Names, columns: Columns, source: tuple[Any, ...], keep: Any = None
) -> tuple[native.ReadArgs, NDArray[np.int32]]:
    plan, layout, out, a = work.plan, work.chain.elements, work.out, native.address
    ndim, chunk_strides, out_strides, kind, table_source, table_target, source_, target, count, step, held = columns
    ops = native.ops(names[::-1])
    fill = np.asarray(work.job.fill, layout.dtype).tobytes()
    status = np.zeros(len(plan), np.int32)
    files = source[0] == native.FILES
    which = np.arange(len(plan)) if files else work.which
    at = np.zeros(len(plan), np.int64) if files else work.at
    length = np.full(len(plan), -1, np.int64) if files else plan.length
    args = native.ReadArgs(
        module.codecs,
        ctypes.addressof(ops),
        len(names),
        ndim,
        layout.wire.itemsize,
        layout.swap,
        layout.nbytes,
        a(chunk_strides),
        out.__array_interface__["data"][0],
        a(out_strides),
        int(out.nbytes >= STREAMING),
        fill,
        *source,
        a(which),
        a(at),
        a(length),
        a(plan.starts),
        a(source_),
        a(target),
        a(count),
        a(step),
        kind,
        table_source,
        table_target,
        a(status),
    )
    args.keep = (plan, chunk_strides, out_strides, ops, status, which, at, length, columns, source, keep, held)
    return args, status


def _files(work: Work) -> tuple[Any, ...] | None:
    """Where the module finds the values by itself, if they are plain files."""
    plan, files = work.plan, work.job.source.files
    keys = plan.keys
    if files is None or not isinstance(keys, KeyTable):
        return None
    ndim = keys.coords.shape[1]
    tail = keys.keys.prefix if ndim else ""
    # A path is the folder's path and the key: take it from one key, which the store checks.
    first = keys[0]
    folder = files.file_path(first)[: -len(first)] + keys.folder
    a = native.address
    coords = np.ascontiguousarray(keys.coords)
    columns = (a(coords) if coords.size else 0, a(plan.key), a(plan.offset), a(plan.length))
    prefix, separator = os.fsencode(folder + tail), ord(keys.keys.separator)
    scalar = keys.keys.scalar.encode()
    return native.FILES, prefix, columns[0], ndim, separator, scalar, None, None, *columns[1:]


def _tiles(work: Work) -> Columns | None:
    """The plan's tiles as the module's arguments, or None for a result it can't address."""
    tiles, layout, out = work.plan.tiles, work.chain.elements, work.out
    lead = (0,) if work.plan.batched else ()
    chunk_strides = np.array((*lead, *layout.strides), np.int64)
    if isinstance(tiles, Boxes):
        step = np.ascontiguousarray(tiles.step)
        columns = (_dense(tiles.source), _dense(tiles.target), _dense(tiles.count), step)
        strides = np.array(out.strides, np.int64)
        return (tiles.ndim, chunk_strides, strides, native.BOXES, None, None, *columns, None)
    if isinstance(tiles, Tables):
        sources, targets = native.pointers(tiles.positions), native.pointers(tiles.targets)
        tables = (native.address(sources), native.address(targets))
        first, count = _dense(tiles.first), _dense(tiles.count)
        strides = np.array(out.strides, np.int64)
        return (tiles.ndim, chunk_strides, strides, native.TABLES, *tables, first, first, count, first, (sources, targets))
    return _points(tiles, chunk_strides, out)


def _points(tiles: Points, chunk_strides: NDArray[np.int64], out: NDArray[Any]) -> Columns:
    source, target = tiles.positions @ chunk_strides, tiles.targets * out.strides[0]
    pointers = native.pointers((source,)), native.pointers((target,))
    tables = (native.address(pointers[0]), native.address(pointers[1]))
    first, count = _dense(tiles.first[:, None]), _dense(tiles.count[:, None])
    one = np.array([out.itemsize], np.int64)
    return (1, one, one, native.POINTS, *tables, first, first, count, first, (source, target, pointers))


def _dense(column: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(column)


Encoded = Iterator[tuple[int, Buffer | None]]


def writer(leaf: Leaf) -> Callable[[range], tuple[Encoded, list[int]]] | None:
    """What encodes a run of rows of `leaf`: the stored bytes of those it can do, and the rows left for Python."""
    found = program(leaf.chain)
    tiles = leaf.plan.tiles
    if found is None or not isinstance(tiles, Boxes):
        return None
    module, names = found
    layout, a, n = leaf.layout, native.address, len(leaf.plan)
    ops = native.ops(names)
    values = leaf.values
    strides = np.array(values.strides, np.int64)
    chunk_strides = np.array(layout.strides, np.int64)
    # A tile's place in the chunk is its target here, and its place in the values its source.
    columns = (_dense(tiles.target), _dense(tiles.source), _dense(tiles.count))
    size, status = np.zeros(n, np.int64), np.zeros(n, np.int32)
    fill = np.asarray(leaf.job.fill, layout.dtype).tobytes()
    whole = leaf.plan.whole
    fixed = (
        module.codecs,
        ctypes.addressof(ops),
        len(names),
        tiles.ndim,
        layout.wire.itemsize,
        layout.swap,
        layout.nbytes,
        a(chunk_strides),
        values.__array_interface__["data"][0],
        a(strides),
        fill,
        int(leaf.job.skip_fill),
        *map(a, columns),
    )
    keep = (ops, strides, chunk_strides, columns, values)
    capacity = module.encode_bound(native.WriteArgs(*fixed, None, 0, a(size), a(status)))
    if capacity < 0:
        return None

    def run(rows: range) -> tuple[Encoded, list[int]]:
        slab = np.empty((len(rows), capacity), np.uint8)
        # The module addresses a row's bytes from the slab's start: begin where row 0 would lie.
        args = native.WriteArgs(*fixed, a(slab) - rows.start * capacity, capacity, a(size), a(status))
        args.keep = keep
        for part in _whole_runs(whole, rows):
            module.write(args, part.start, part.stop)
        done = whole[rows.start : rows.stop] & ((status[rows.start : rows.stop] & 0xFF) == native.OK)
        return _encoded(slab, size, done, rows.start), (np.flatnonzero(~done) + rows.start).tolist()

    return run


def _encoded(slab: NDArray[np.uint8], size: NDArray[np.int64], done: NDArray[np.bool_], first: int) -> Encoded:
    for k in np.flatnonzero(done).tolist():
        nbytes = int(size[first + k])
        yield first + k, None if nbytes < 0 else memoryview(slab[k, :nbytes])


def _whole_runs(whole: NDArray[np.bool_], rows: range) -> Iterator[range]:
    """The stretches of rows that are covered whole."""
    mine = np.concatenate(([False], whole[rows.start : rows.stop], [False]))
    border = np.flatnonzero(mine[1:] != mine[:-1]) + rows.start
    for start, stop in border.reshape(-1, 2).tolist():
        yield range(start, stop)
