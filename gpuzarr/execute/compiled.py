"""Runs of rows handed to the compiled host module: a plan's columns are its arguments.

It is bound once a plan. A row that the module declines or fails is done again in Python, which gives the right result
or the precise error; so both ways give the same bytes.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import native
from gpuzarr.batch import Boxes, Points
from gpuzarr.grid import KeyTable
from gpuzarr.memory.host import LARGE
from gpuzarr.ranges import WHOLE
from gpuzarr.store import Buffer, FileWriter

if TYPE_CHECKING:
    from gpuzarr.codecs.chain import Chain
    from gpuzarr.execute.work import Work
    from gpuzarr.execute.write import Leaf

__all__ = ["Program", "Writer", "program", "reader", "writer"]

Column = NDArray[np.int64]

KEEP = 256
"""Programs kept."""

KEPT_SLAB = 32 << 20
"""Bytes a thread keeps for encoding into."""

_thread = threading.local()


class Program:
    """A chain as the module's operations: bound once a chain, and kept."""

    def __init__(self, module: native.Native, chain: Chain) -> None:
        ops = [(op.name, op.args) for op in chain.native() or ()]
        layout = chain.elements
        self.module, self.chain, self.layout = module, chain, layout
        self.n_ops = len(ops)
        self.encoding, self.decoding = native.ops(ops), native.ops(ops[::-1])
        self.strides = np.array(layout.strides, np.int64)
        self.batch_strides = np.array((0, *layout.strides), np.int64)
        self.item = np.array([layout.dtype.itemsize], np.int64)

    def head(self, ops: Any, ndim: int, strides: Column) -> tuple[Any, ...]:
        """The arguments that reads and writes begin with, from `codecs` to `chunk_strides`."""
        item, swap = self.layout.wire.itemsize, self.layout.swap
        where = ctypes.addressof(ops), self.n_ops
        return (self.module.codecs, *where, ndim, item, swap, self.layout.nbytes, native.address(strides))


_programs: OrderedDict[int, Program] = OrderedDict()


def program(chain: Chain) -> Program | None:
    """The program of a chain of chunks, if the compiled module is there and has all its operations."""
    found = _programs.get(id(chain))
    if found is not None and found.chain is chain:
        return found
    module, ops = native.load(), chain.native()
    if module is None or ops is None or any(op.name not in module.ops for op in ops):
        return None
    found = _programs[id(chain)] = Program(module, chain)
    while len(_programs) > KEEP:
        _programs.popitem(last=False)
    return found


def reader(work: Work) -> Callable[[range], None] | None:
    """What reads a run of rows of `work`, or None where that is for Python."""
    bound = program(work.chain)
    if bound is None:
        return None
    source, plan = _files(work), work.plan
    if source is None:
        return _from_memory(work, bound)
    args, status = _read_args(work, bound, source[:-1], (plan.key, plan.offset, plan.length), source[-1])

    def run(rows: range) -> None:
        if bound.module.read(args, rows.start, rows.stop):
            _again(work, status, rows)

    return run


def _again(work: Work, status: NDArray[np.int32], rows: range) -> None:
    failed = np.flatnonzero((status[rows.start : rows.stop] & 0xFF) > native.ABSENT) + rows.start
    for row in failed.tolist():
        work.again(row)


def _from_memory(work: Work, bound: Program) -> Callable[[range], None]:
    """Rows of values that are, or come, as bytes in memory: fetched here, decoded and scattered there."""
    n = len(work.extents)
    data, size = np.zeros(n, np.int64), np.zeros(n, np.int64)
    a = native.address
    source = (native.MEMORY, None, None, 0, 0, None, a(data), a(size), None, None, None)
    args, status = _read_args(work, bound, source, (work.which, work.at, work.plan.length), (data, size))

    def run(rows: range) -> None:
        first, last = int(work.which[rows.start]), int(work.which[rows.stop - 1])
        buffers = native.Buffers([work.fetch(extent) for extent in range(first, last + 1)])
        data[first : last + 1], size[first : last + 1] = buffers.data, buffers.size
        if bound.module.read(args, rows.start, rows.stop):
            _again(work, status, rows)

    return run


def _read_args(
    work: Work, bound: Program, source: Sequence[Any], rows: tuple[Column, Column, Column], keep: Any = None
) -> tuple[native.ReadArgs, NDArray[np.int32]]:
    """The arguments of a read; `source` says where stored bytes are, `rows` where in it each chunk is."""
    plan, layout, out, a = work.plan, bound.layout, work.out, native.address
    ndim, chunk_strides, out_strides, first, target, count, step, kind, tables, held = _tiles(work, bound)
    status = np.zeros(len(plan), np.int32)
    args = native.ReadArgs(
        *bound.head(bound.decoding, ndim, chunk_strides),
        out.__array_interface__["data"][0],
        a(out_strides),
        out.nbytes >= LARGE,
        np.asarray(work.job.fill, layout.dtype).tobytes(),
        *source,
        *map(a, rows),
        a(plan.starts),
        a(first),
        a(target),
        a(count),
        a(step),
        kind,
        *tables,
        a(status),
    )
    args.keep = (plan, bound, chunk_strides, out_strides, first, target, count, step, rows, source, held, keep)
    return args, status


def in_files(work: Work) -> bool:
    """Whether the values are plain files, which the module opens, and of which it joins the requests, by itself."""
    keys = work.plan.keys
    return isinstance(keys, KeyTable) and work.job.source.path_of(keys.folder) is not None


def _files(work: Work) -> tuple[Any, ...] | None:
    """Where the module finds the values by itself, if they are plain files."""
    keys, plan, a = work.plan.keys, work.plan, native.address
    path = work.job.source.path_of(keys.folder) if isinstance(keys, KeyTable) else None
    if path is None or not isinstance(keys, KeyTable):
        return None
    names = _file_names(keys, path, keys.coords)
    # An extent is a whole value; where rows are parts of it the module must not read it whole, so it is told a size.
    whole, n = bool(plan.length[0] == WHOLE), len(keys)
    if n <= SMALL:
        return (native.FILES, *names, None, None, *(_SMALL_WHOLE if whole else _SMALL_PARTS), None)
    columns = (np.arange(n), np.zeros(n, np.int64), np.full(n, WHOLE if whole else FARTHEST, np.int64))
    return (native.FILES, *names, None, None, *map(a, columns), columns)


def _file_names(keys: KeyTable, path: str, coords: Column) -> tuple[Any, ...]:
    """The arguments from `prefix` to `zero_key`; `path` is where the folder of the keys is."""
    ndim, separator, scalar = coords.shape[1], ord(keys.keys.separator), keys.keys.scalar.encode()
    if not ndim:
        return os.fsencode(path), None, 0, separator, scalar
    return os.fsencode(path + keys.keys.prefix), native.address(coords), ndim, separator, scalar


FARTHEST = 2**60
"""Bytes past the end of any value."""

SMALL = 256
_SMALL = (np.arange(SMALL), np.zeros(SMALL, np.int64), np.full(SMALL, WHOLE), np.full(SMALL, FARTHEST))
_SMALL_WHOLE = tuple(map(native.address, _SMALL[:3]))
_SMALL_PARTS = (*_SMALL_WHOLE[:2], native.address(_SMALL[3]))
"""Where the columns of few extents are, which are always the same: whole values, or parts of them."""


def _tiles(work: Work, bound: Program) -> tuple[Any, ...]:
    """The plan's tiles as the module's arguments, and what they point to."""
    tiles, out = work.plan.tiles, work.out
    strides = bound.batch_strides if work.plan.batched else bound.strides
    if isinstance(tiles, Points):
        source, target = tiles.positions @ strides, tiles.targets * out.strides[0]
        pointers = native.pointers((source,)), native.pointers((target,))
        first, count = _dense(tiles.first[:, None]), _dense(tiles.count[:, None])
        tables = (native.address(pointers[0]), native.address(pointers[1]))
        held = (source, target, pointers)
        return (1, bound.item, bound.item, first, first, count, first, native.POINTS, tables, held)
    out_strides = np.array(out.strides, np.int64)
    if isinstance(tiles, Boxes):
        columns = (_dense(tiles.source), _dense(tiles.target), _dense(tiles.count), _dense(tiles.step))
        return (tiles.ndim, strides, out_strides, *columns, native.BOXES, (None, None), None)
    pointers = native.pointers(tiles.positions), native.pointers(tiles.targets)
    first, count = _dense(tiles.first), _dense(tiles.count)
    tables = (native.address(pointers[0]), native.address(pointers[1]))
    return (tiles.ndim, strides, out_strides, first, first, count, first, native.TABLES, tables, pointers)


def _dense(column: Column) -> Column:
    return np.ascontiguousarray(column)


Encoded = Iterator[tuple[int, Buffer | None]]


def writer(leaf: Leaf) -> Writer | None:
    """What encodes rows of `leaf`, or None where that is for Python."""
    bound = program(leaf.chain)
    if bound is None or not isinstance(leaf.plan.tiles, Boxes):
        return None
    made = Writer(leaf, leaf.plan.tiles, bound)
    return None if made.capacity < 0 else made


class Writer:
    """Rows of chunks to encode from the values: to memory, or right into files."""

    def __init__(self, leaf: Leaf, tiles: Boxes, bound: Program) -> None:
        layout, values, a, n = leaf.layout, leaf.values, native.address, len(leaf.plan)
        self.module, self.whole = bound.module, leaf.plan.whole
        self.size, self.status = np.zeros(n, np.int64), np.zeros(n, np.int32)
        strides = np.array(values.strides, np.int64)
        # A tile's place in the chunk is its target here, and its place in the values its source.
        columns = (_dense(tiles.target), _dense(tiles.source), _dense(tiles.count))
        store, keys = leaf.job.store, leaf.plan.keys
        self.files: tuple[FileWriter, KeyTable, Column] | None = None
        if isinstance(store, FileWriter) and isinstance(keys, KeyTable):
            self.files = (store, keys, _dense(keys.coords[leaf.plan.key]))
        self.keep = (bound, strides, columns, values)
        self.fixed = (
            *bound.head(bound.encoding, tiles.ndim, bound.strides),
            values.__array_interface__["data"][0],
            a(strides),
            np.asarray(leaf.job.fill, layout.dtype).tobytes(),
            int(leaf.job.skip_fill),
            *map(a, columns),
        )
        self.capacity = 0
        self.capacity = self.module.encode_bound(self._args(None))

    def encode(self, rows: range, keep: bool) -> tuple[Encoded, list[int]]:
        """The stored bytes of the rows that the module can do, and the rows left for Python.

        `keep` tells to keep the bytes; else a thread's next run takes their place.
        """
        slab = _slab(len(rows), self.capacity, keep)
        # The module addresses a row's bytes from the slab's start: begin where row 0 would lie.
        args = self._args(native.address(slab) - rows.start * self.capacity)
        done = self._run(args, rows)
        return _encoded(slab, self.size, done, rows.start), (np.flatnonzero(~done) + rows.start).tolist()

    def put(self, rows: range) -> tuple[Encoded, list[int]] | None:
        """Put the stored bytes of rows as files: the rows that have none are left, and those for Python.

        None: the store does not leave that to others.
        """
        if self.files is None:
            return None
        store, keys, coords = self.files
        place = store.new_file(f"{keys.folder}0")
        if place is None:
            return None
        names = (*_file_names(keys, place[0][:-1], coords), os.fsencode(place[1]))
        done = self._run(self._args(None, files=names), rows)
        empty = np.flatnonzero(done & (self.size[rows.start : rows.stop] < 0)) + rows.start
        return ((row, None) for row in empty.tolist()), (np.flatnonzero(~done) + rows.start).tolist()

    def pack(self, rows: range) -> tuple[Buffer, list[int]] | None:
        """The stored bytes of rows covered whole, one behind the other, and the size of each (-1: none).

        They are good until the thread's next run. None: a row is for Python.
        """
        slab = _slab(len(rows), self.capacity, keep=False)
        if self.module.write(self._args(native.address(slab), packed=True), rows.start, rows.stop):
            return None
        size = self.size[rows.start : rows.stop]
        return slab.reshape(-1)[: int(size[size > 0].sum())].data, size.tolist()

    def _args(
        self, slab: int | None, *, packed: bool = False, files: tuple[Any, ...] = (None, None, 0, 0, None, None)
    ) -> native.WriteArgs:
        out = (native.address(self.size), native.address(self.status))
        return native.WriteArgs(*self.fixed, slab, self.capacity, packed, *files, *out)

    def _run(self, args: native.WriteArgs, rows: range) -> NDArray[np.bool_]:
        """Which of the rows are done: of those that are covered whole."""
        for part in _whole_runs(self.whole, rows):
            self.module.write(args, part.start, part.stop)
        mine = slice(rows.start, rows.stop)
        done: NDArray[np.bool_] = self.whole[mine] & (self.status[mine] == native.OK)
        return done


def _slab(rows: int, capacity: int, keep: bool) -> NDArray[np.uint8]:
    """Room for a run's encoded bytes: new, or this thread's, which spares the system making pages of it again."""
    nbytes = rows * capacity
    if keep or nbytes > KEPT_SLAB:
        return np.empty((rows, capacity), np.uint8)
    kept: NDArray[np.uint8] | None = getattr(_thread, "slab", None)
    if kept is None or kept.size < nbytes:
        kept = _thread.slab = np.empty(nbytes, np.uint8)
    return kept[:nbytes].reshape(rows, capacity)


def _encoded(slab: NDArray[np.uint8], size: NDArray[np.int64], done: NDArray[np.bool_], first: int) -> Encoded:
    for k in np.flatnonzero(done).tolist():
        nbytes = int(size[first + k])
        yield first + k, None if nbytes < 0 else slab[k, :nbytes].data


def _whole_runs(whole: NDArray[np.bool_], rows: range) -> Iterator[range]:
    """The stretches of rows that are covered whole."""
    mine = np.concatenate(([False], whole[rows.start : rows.stop], [False]))
    border = np.flatnonzero(mine[1:] != mine[:-1]) + rows.start
    for start, stop in border.reshape(-1, 2).tolist():
        yield range(start, stop)
