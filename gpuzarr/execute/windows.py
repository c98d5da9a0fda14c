"""Carrying out a read plan on a device: windows of chunks, each uploaded once, decoded in batches and scattered.

A window's stored bytes are fetched by threads into one pinned slab at aligned slots; its tables follow them there;
one upload takes all of it, and no launch after it waits for another. Statuses are read once a window. Two windows
are in flight, so that one is fetched while the other is decoded. Chunks that the device can't take, or took for
malformed, are decoded on the host in the end: for their values, or for the precise error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Boxes, Layout
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.device import DeviceChain, Strings, rooms_of
from gpuzarr.cuda import tiles as device_tiles
from gpuzarr.cuda.launch import CODES, Item
from gpuzarr.cuda.program import ABSOLUTE, ALIGN, INPUT, Builder, Decode, Places, Program, resolve
from gpuzarr.errors import UnsupportedError
from gpuzarr.execute.choice import Choice, Where, choose
from gpuzarr.execute.work import ReadJob, Work
from gpuzarr.plan import ReadPlan
from gpuzarr.ranges import WHOLE

if TYPE_CHECKING:
    from gpuzarr.cuda.device import Block, Device

__all__ = ["Cast", "DeviceTarget", "fill_absent", "move", "read_windows"]

Column = NDArray[np.int64]

Staging = Callable[[int], NDArray[np.uint8]]
"""Pinned memory of some size."""

FLIGHTS = 2
"""Windows in flight."""

TEMP = 4
"""Temporary memory that decoders may take, in decoded bytes of a window: nvCOMP's zstd wants three, and is given it."""

ABSENT, WRONG = -1, -2
"""Sizes of rows that are not stored, and of those that the host is to say what is wrong with."""


@dataclass(frozen=True, slots=True)
class Cast:
    """A conversion of elements: from the array's data type to that of the result, both of `CODES`."""

    stored: np.dtype[Any]
    wanted: np.dtype[Any]

    @property
    def codes(self) -> tuple[int, int]:
        return CODES[self.stored.name], CODES[self.wanted.name]

    def one(self, value: NDArray[Any]) -> NDArray[Any]:
        """One element, converted; `value` may be in the type that moves elements."""
        with np.errstate(over="ignore", invalid="ignore"):
            return value.view(self.stored).astype(self.wanted)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A window that would be launched: its rows, their stored bytes, and whether they were decoded on the host."""

    program: Program
    rows: int
    fetched: int
    on_host: bool


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """Where results of a read are made: a device, the stream its work is ordered on, and how it is done.

    `chain` decodes the innermost chunks on the device, unless it says why not. `window` is the most decoded bytes
    of a window (one chunk at least). `decode` says where, if it could be either; with `strict` nothing is decoded
    on the host. With a `rehearsal` all is done but what needs the device, and each window that there is is noted in it.
    With a `cast` elements are converted when they are scattered.
    """

    device: Device
    stream: int
    chain: DeviceChain
    window: int
    decode: Where
    strict: bool
    rehearsal: list[Rehearsed] | None = None
    cast: Cast | None = None

    def staging(self, nbytes: int) -> NDArray[np.uint8]:
        """Pinned memory; for a rehearsal any."""
        return np.empty(nbytes, np.uint8) if self.rehearsal is not None else self.device.pool.staging(nbytes)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of a plan in pinned memory: `size[i]` bytes at `offset[i]` of the slab are of row `rows[i]`.

    A size may be ABSENT, or WRONG: then there are other bytes than the plan says, or than any encoder makes of a chunk.
    """

    rows: Column
    slab: NDArray[np.uint8]
    offset: Column
    size: Column
    end: int


@dataclass(frozen=True, slots=True)
class Flight:
    """A window that the device is working on, and the memory it works in."""

    program: Program
    rows: Column
    slab: NDArray[np.uint8]
    words: NDArray[np.uint8]
    blocks: tuple[Block, ...]
    event: Any


def read_windows(work: Work, target: DeviceTarget) -> None:
    """Fill the result with all rows of the plan. Raises CodecError and StoreError with the key and the chunk."""
    if not on_device(work.chain, len(work.plan), work.job.pool.threads, target).on_device:
        _fly(work, target, list(windows(work, target.window)), on_host=True)
        return
    late = _fly(work, target, list(windows(work, target.window)), on_host=False)
    if len(late):
        _fly(work, target, parts(work, late, target.window), on_host=True)
        # They are well-formed, or there would have been an error: the device does not take such streams.
        names = ", ".join(step.name for step in target.chain.steps)
        _refuse_if(target.strict, f"the device does not take {len(late)} of the chunks' streams", names)


def on_device(chain: Chain, chunks: int, threads: int, target: DeviceTarget) -> Choice:
    """Whether so many chunks are decoded on the device, and why."""
    if target.chain.why is not None:
        return Choice(False, target.chain.why)
    if target.strict:
        return Choice(True, "strict")
    simulated = target.device.kind == "simulated"
    return choose(chain, chunks, target.decode, threads, simulated, target.chain.by_nvcomp)


def _refuse_if(strict: bool, why: str, codec: str | None) -> None:
    if strict:
        raise UnsupportedError(f"strict: {codec} would be decoded on the host: {why}", feature=f"{codec} on a device")


def windows(work: Work, budget: int) -> Iterator[Column]:
    """The rows of a plan in windows of at most `budget` decoded bytes; rows of one request stay together."""
    n, ends = len(work.plan), np.cumsum(nbytes_of(work, np.arange(len(work.plan))))
    if not n or ends[-1] <= budget:
        yield np.arange(n)
        return
    start, which = 0, work.which
    while start < n:
        stop = _fitting(ends, start, budget)
        if stop < n:
            border = int(np.searchsorted(which, which[stop]))
            stop = border if border > start else stop
        yield np.arange(start, stop)
        start = stop


def parts(work: Work, rows: Column, budget: int) -> list[Column]:
    """Some rows in windows of at most `budget` decoded bytes."""
    ends, found, start = np.cumsum(nbytes_of(work, rows)), [], 0
    while start < len(rows):
        stop = _fitting(ends, start, budget)
        found.append(rows[start:stop])
        start = stop
    return found


def _fitting(ends: Column, start: int, budget: int) -> int:
    """Where a window ends that begins at `start`, if rows end at byte `ends`: one row is in it at least."""
    before = int(ends[start - 1]) if start else 0
    return max(start + 1, int(np.searchsorted(ends, before + budget, "right")))


def nbytes_of(work: Work, rows: Column) -> Column:
    """Decoded bytes of some rows' chunks."""
    chains, kind = work.shapes
    return np.array([chain.elements.nbytes for chain in chains], np.int64)[kind[rows]]


def fill_absent(plan: ReadPlan, layout: Layout, outs: list[NDArray[Any]], job: ReadJob, target: DeviceTarget) -> None:
    """Give the tiles of inner chunks that no shard holds the fill value: one launch for each level of shards."""
    b = Builder(0, 0, 0)
    fill = fill_value(layout, job)
    item = Item(fill.itemsize, 0, b.column(repeated(fill)))
    for (tiles, _), out in zip(plan.absent, outs, strict=True):
        if len(tiles):
            nothing = Places.at(ABSOLUTE, np.zeros(len(tiles), np.int64))
            device_tiles.scatter(b, tiles, nothing, np.zeros(tiles.ndim, np.int64), out, item)
    if b.launches:
        program = b.program()
        flight = _launch(program, target.staging(program.nbytes), target, np.zeros(0, np.int64))
        _land(flight, target)


def move(source: NDArray[Any], out: NDArray[Any], target: DeviceTarget) -> None:
    """Copy an array on a device to another of its shape, whatever the strides of both."""
    b = Builder(0, 0, 0)
    item = Item(out.itemsize, 0, b.column(b"\0"))
    zero = np.zeros((1, out.ndim), np.int64)
    whole = Boxes(zero, zero, np.array([out.shape], np.int64), zero + 1)
    place = Places.at(ABSOLUTE, [device_tiles.address(source)])
    device_tiles.scatter(b, whole, place, np.array(source.strides, np.int64), out, item)
    program = b.program()
    _land(_launch(program, target.staging(program.nbytes), target, np.zeros(0, np.int64)), target)


def fill_value(layout: Layout, job: ReadJob) -> NDArray[Any]:
    """The fill value as the result has it."""
    fill = np.asarray(job.fill, layout.dtype)
    return fill if job.device is None or job.device.cast is None else job.device.cast.one(fill)


def repeated(fill: NDArray[Any]) -> bytes:
    """The bytes of an element, repeated where 16 bytes at once can be made of it."""
    return fill.tobytes() * max(1, 16 // max(1, fill.itemsize))


def _fly(work: Work, target: DeviceTarget, groups: list[Column], on_host: bool) -> Column:
    """Carry out windows, and return the rows that the device did not decode."""
    flights: deque[Flight] = deque()
    late: list[Column] = [np.zeros(0, np.int64)]
    chain = DeviceChain(()) if on_host else target.chain
    try:
        for rows in groups:
            if len(flights) == FLIGHTS:
                late.append(_land(flights.popleft(), target))
            window = decoded(work, rows, target.staging) if on_host else stored(work, rows, target)
            program, refused = prepare(work, window, chain, target)
            late.append(rows[refused])
            fetched = 0 if on_host else int(window.size.clip(0).sum())
            flights.append(_launch(program, window.slab, target, rows, fetched, on_host))
        while flights:
            late.append(_land(flights.popleft(), target))
    finally:  # after an error too: what is being uploaded must stay as it is
        for flight in flights:
            _land(flight, target)
    return np.unique(np.concatenate(late))


def room_for(nbytes: int, rows: int) -> int:
    """Bytes for a window's stored bytes and, most probably, its tables."""
    return nbytes + nbytes // 8 + 512 * rows + 4096


def stored(work: Work, rows: Column, target: DeviceTarget) -> Window:
    """A window of stored bytes: fetched by threads, then copied into slots of the slab."""
    which, pool = work.which[rows], work.job.pool
    first = int(which[0])
    values: list[Any] = [None] * (int(which[-1]) - first + 1)

    def fetch(k: int) -> None:
        values[k] = work.fetch(first + k)

    pool.run(fetch, range(len(values)), len(values))
    at = work.at[rows].tolist()
    found = [
        None if values[k] is None else work.stored(row, values[k], start)
        for row, k, start in zip(rows.tolist(), (which - first).tolist(), at, strict=True)
    ]
    size = np.array([ABSENT if data is None else len(data) for data in found], np.int64)
    planned = work.plan.length[rows]
    chains, kind = work.shapes
    largest = np.array([chain.largest for chain in chains], np.int64)[kind[rows]]
    size[(size > largest) | ((size >= 0) & (planned != WHOLE) & (size != planned))] = WRONG
    lead = -target.chain.lead % ALIGN  # what is decoded begins on an aligned byte, not what comes before it
    slots = -(-(lead + np.maximum(size, 0)) // ALIGN) * ALIGN
    offset = np.cumsum(slots) - slots + lead
    end = int(slots.sum())
    slab = target.staging(room_for(end, len(rows)))

    def copy(k: int) -> None:
        data = found[k]
        if data is not None and size[k] >= 0:
            slab[offset[k] : offset[k] + len(data)] = np.frombuffer(data, np.uint8)

    pool.run(copy, range(len(found)), len(found))
    return Window(rows, slab, offset, size, end)


def decoded(work: Work, rows: Column, staging: Staging) -> Window:
    """A window of decoded bytes, in native byte order where only the host can reverse it. Raises CodecError."""
    pool, size = work.job.pool, nbytes_of(work, rows)
    slots = -(-size // ALIGN) * ALIGN
    offset = np.cumsum(slots) - slots
    slab = staging(room_for(int(slots.sum()), len(rows)))
    which = work.which[rows]
    borders = np.flatnonzero(np.concatenate(([True], which[1:] != which[:-1], [True]))).tolist()

    def one(run: int) -> None:
        value = work.fetch(int(which[borders[run]]))
        for k in range(borders[run], borders[run + 1]):
            layout = work.chain_of(int(rows[k])).elements
            room = slab[offset[k] : offset[k] + layout.nbytes]
            found = work.decoded(int(rows[k]), value, int(work.at[rows[k]]), room.data)
            if found is None:
                size[k] = ABSENT
            elif layout.swap < 0:
                native = layout.view(room).astype(layout.dtype)
                np.ndarray(layout.shape, layout.dtype, room, strides=layout.strides)[...] = native

    pool.run(one, range(len(borders) - 1), len(borders) - 1)
    return Window(rows, slab, offset, size, int(slots.sum()))


def prepare(work: Work, window: Window, chain: DeviceChain, target: DeviceTarget) -> tuple[Program, Column]:
    """A window's program, and which of its rows it leaves out because the device can't take them."""
    layout, cast = work.chain.elements, target.cast
    b = Builder(len(window.rows), window.end, TEMP * target.window)
    fill = b.column(repeated(fill_value(layout, work.job)))
    item = Item(layout.dtype.itemsize, max(layout.swap, 0), fill, None if cast is None else cast.codes)
    b.refused[window.size == WRONG] = True
    present = np.flatnonzero(window.size >= 0)
    data = Strings(present, Places.at(INPUT, window.offset[present]), window.size[present], window.slab)
    moved = cast is None and any(step.moves for step in chain.steps)
    straight = _straight(work, window.rows[present], layout, moved)
    nbytes = nbytes_of(work, window.rows)
    targets = _targets(b, work, window.rows[present], straight, nbytes[present])
    made = chain.add(b, data, targets, _rooms(work, window.rows))
    right = made.size == nbytes[made.rows]
    b.refused[made.rows[~right]] = True
    made = made.take(right)
    left = ~np.isin(made.rows, present[straight])
    places = Places.at(ABSOLUTE, np.full(len(window.rows), device_tiles.FILL))
    places.put(made.rows, made.place)
    scattered = np.union1d(made.rows[left], np.flatnonzero(window.size == ABSENT))
    _scatter(b, work, window.rows, scattered, places, item)
    return b.program(), np.flatnonzero(b.refused)


def _straight(work: Work, rows: Column, layout: Layout, moved: bool) -> NDArray[np.bool_]:
    """Which rows are whole chunks that lie in the result as they are decoded, so that they are decoded there."""
    plan, out = work.plan, work.out
    extra = int(plan.batched)
    if not moved or layout.swap > 0 or not isinstance(plan.tiles, Boxes) or out.ndim - extra != len(layout.shape):
        return np.zeros(len(rows), bool)
    tile, chains, kind = plan.starts[rows], *work.shapes
    layouts = [chain.elements for chain in chains]
    fits = [_lies_as(layout, out.strides[extra:]) for layout in layouts]
    shape = np.array([(1,) * extra + x.shape for x in layouts], np.int64)[kind[rows]]
    whole = (plan.tiles.count[tile] == shape).all(axis=1) & np.array(fits, np.bool_)[kind[rows]]
    found: NDArray[np.bool_] = whole & (plan.starts[rows + 1] - tile == 1)
    return found


def _lies_as(layout: Layout, strides: tuple[int, ...]) -> bool:
    """Whether elements of a chunk are as far apart as those of the result."""
    return all(n == 1 or a == b for n, a, b in zip(layout.shape, strides, layout.strides, strict=True))


def _rooms(work: Work, rows: Column) -> Column:
    """The bytes that each step decodes each row to."""
    chains, kind = work.shapes
    return np.array([rooms_of(chain) for chain in chains], np.int64)[kind[rows]]


def _targets(b: Builder, work: Work, rows: Column, straight: NDArray[np.bool_], nbytes: Column) -> Places:
    """Where each row is wanted: in the result, or in scratch memory."""
    target = b.scratch(np.where(straight, 0, nbytes))
    tiles = work.plan.tiles
    if straight.any() and isinstance(tiles, Boxes):
        target.put(straight, device_tiles.landings(tiles.take(work.plan.starts[rows[straight]]), work.out))
    return target


def _scatter(
    b: Builder, work: Work, rows: Column, picked: Column, places: Places, item: Item
) -> None:
    """Copy the tiles of some rows of a window to the result; those of absent rows get the fill value."""
    plan = work.plan
    first = plan.starts[rows[picked]]
    counts = plan.starts[rows[picked] + 1] - first
    if not counts.sum():
        return
    before = np.cumsum(counts) - counts
    tile = np.repeat(first - before, counts) + np.arange(int(counts.sum()))
    chunk = places.take(np.repeat(picked, counts))
    chains, kind = work.shapes
    strides = np.array([(0,) * plan.batched + chain.elements.strides for chain in chains], np.int64)
    steps = strides[0] if len(chains) == 1 else strides[np.repeat(kind[rows[picked]], counts)]
    device_tiles.scatter(b, plan.tiles.take(tile), chunk, steps, work.out, item)


def _launch(
    program: Program,
    slab: NDArray[np.uint8],
    target: DeviceTarget,
    rows: Column,
    fetched: int = 0,
    on_host: bool = False,
) -> Flight:
    """Upload a window and launch all its work; nothing is waited for."""
    if target.rehearsal is not None:
        target.rehearsal.append(Rehearsed(program, len(rows), fetched, on_host))
        return Flight(program, rows, slab, slab[:0], (), None)
    device, stream, pool = target.device, target.stream, target.device.pool
    if len(slab) < program.nbytes:  # more tables than most windows have
        slab, small = pool.staging(program.nbytes), slab
        slab[: program.stored] = small[: program.stored]
        pool.give(small)
    blocks = (pool.scratch(program.nbytes, stream), pool.scratch(program.scratch, stream))
    words = pool.staging(program.statuses)
    bases = program.bases(blocks[0].address, blocks[1].address)
    program.write(slab, bases)
    device.upload(blocks[0].address, slab[: program.nbytes], stream)
    for step in program.launches:
        if isinstance(step, Decode):
            device.nvcomp(step.call(bases), stream)
        else:
            device.launch(step.kernel, step.grid, step.block, [resolve(arg, bases) for arg in step.args], stream)
    if program.statuses:
        device.download(words, blocks[0].address + program.words, stream)
    return Flight(program, rows, slab, words, blocks, device.record(stream))


def _land(flight: Flight, target: DeviceTarget) -> Column:
    """Wait for a window, give its memory back, and return the rows that failed."""
    if target.rehearsal is not None:
        return flight.rows[:0]
    target.device.wait(flight.event)
    failed = flight.program.failed(flight.words)
    target.device.pool.give(flight.slab, flight.words, *flight.blocks)
    return flight.rows[failed]
