"""Chains on a device: which stages run there, and what each adds to a window's program.

A stage reads its streams' headers on the host, from the bytes about to be uploaded, so only the first decoder of a
chain can have headers; what comes after it has to be of known size. Chains that are not like this, and single
streams that a decoder can't take, are decoded on the host: `DeviceChain.why` and `Builder.refused` say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Stage
from gpuzarr.codecs.blosc import BloscCodec
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.cuda import launch
from gpuzarr.cuda.blosc import CODECS, containers
from gpuzarr.cuda.decoders import Asked, Way, way_of
from gpuzarr.cuda.frames import GZIP_HEADER, READERS
from gpuzarr.cuda.nvcomp import Nvcomp
from gpuzarr.cuda.program import INPUT, Builder, Places
from gpuzarr.cuda.streams import Streams, heads, little

__all__ = ["DeviceChain", "DeviceStep", "Strings", "bind_device", "rooms_of"]

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strings:
    """Byte strings of some rows of a window: `size[i]` bytes at `place[i]` of the device belong to row `rows[i]`.

    While `host` is there, it has the same bytes, at the places' offsets.
    """

    rows: Column
    place: Places
    size: Column
    host: NDArray[np.uint8] | None

    def take(self, picked: Any) -> Strings:
        return replace(self, rows=self.rows[picked], place=self.place.take(picked), size=self.size[picked])

    @property
    def slab(self) -> NDArray[np.uint8]:
        """The bytes on the host, for a step that is the first to move them."""
        return np.zeros(0, np.uint8) if self.host is None else self.host


class DeviceStep(Protocol):
    """One stage on a device."""

    @property
    def name(self) -> str: ...

    @property
    def code(self) -> str:
        """Whose code runs."""

    @property
    def why(self) -> str | None:
        """Why that, if there is something to say."""

    @property
    def moves(self) -> bool:
        """Whether what it decodes to lies elsewhere than what it decodes."""

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        """Add the decoding of strings to `room` bytes, at `target` if it moves them; leaves out refused rows."""


@dataclass(frozen=True, slots=True)
class DeviceChain:
    """The stages of a chain in decoding order; or why it runs on the host."""

    steps: tuple[DeviceStep, ...]
    why: str | None = None
    codec: str | None = None

    @property
    def lead(self) -> int:
        """Bytes before those that are decoded: the headers before DEFLATE, which nvCOMP wants aligned."""
        return sum(LEADS.get(step.name, 0) for step in self.steps)

    @property
    def by_nvcomp(self) -> frozenset[str]:
        """The compressors whose streams are nvCOMP's, if nothing is odd about them."""
        ways = [way for step in self.steps if isinstance(step, StreamStep | BloscStep) for way in step.ways]
        return frozenset(way.codec for way in ways if way.nvcomp is not None)

    def add(self, b: Builder, data: Strings, target: Places, rooms: Column) -> Strings:
        """Add the decoding of a window's strings; `target` is where each is wanted, if it has to move at all.

        `rooms[i, k]` are the bytes that step k decodes row i of the window to.
        """
        movers = [k for k, step in enumerate(self.steps) if step.moves]
        for k, step in enumerate(self.steps):
            room = rooms[data.rows, k]
            place = target if movers and k == movers[-1] else b.scratch(room * step.moves)
            before = data.rows
            data = step.add(b, data, room, place)
            target = target.take(np.isin(before, data.rows)) if len(data.rows) != len(before) else target
        return data


MOST = 4096
"""Bytes of an element that `gz_rearrange` takes."""

LEADS = {"zlib": 2, "gzip": GZIP_HEADER}
"""Bytes of the shortest header before a codec's DEFLATE."""


def rooms_of(chain: Chain) -> list[int]:
    """The bytes that each step of a chain's `DeviceChain` decodes to; 0 where that varies, and nothing is moved."""
    rooms = [0 if size is None else size for size in reversed(chain.sizes)]
    return [*rooms, chain.elements.nbytes] if _rearranged(chain) else rooms


def _rearranged(chain: Chain) -> bool:
    """Whether the bytes of elements are to be put in order after all stages."""
    return bool(chain.mask) or chain.elements.swap < 0


def bind_device(chain: Chain, nvcomp: Nvcomp | None, asked: Mapping[str, Asked] = MappingProxyType({})) -> DeviceChain:
    """Bind a chain of chunks to a device; `nvcomp` is what it offers there, or None; `asked` as for an Executor."""
    if chain.values is not None:
        name = chain.values.codec.name
        return DeviceChain((), f"{name} makes elements of no fixed size, which devices have not", name)
    steps: list[DeviceStep] = []
    decoded = False
    for stage, size in zip(reversed(chain.stages), reversed(chain.sizes), strict=True):
        step = _step(stage, decoded, nvcomp, asked)
        if isinstance(step, str) or (size is None and step.moves):
            why = step if isinstance(step, str) else f"the size that {stage.name} decodes to is not known beforehand"
            return DeviceChain((), why, stage.name)
        decoded = decoded or step.moves
        steps.append(step)
    if _rearranged(chain):
        size = chain.elements.wire.itemsize
        if size > MOST:
            return DeviceChain((), f"the bytes of elements of {size} bytes are put in order on the host", "bytes")
        steps.append(RearrangeStep(_order(chain)))
    return DeviceChain(tuple(steps))


def _order(chain: Chain) -> Column:
    """What `gz_rearrange` is to make each byte of an element of, as its table has it."""
    layout = chain.elements
    order = np.array(_bytes_of(layout.wire, layout.dtype), np.int64)
    mask = np.frombuffer(chain.mask, np.uint8) if chain.mask else np.full(len(order), 255)
    return order | mask[order].astype(np.int64) << 32


def _bytes_of(wire: np.dtype[Any], dtype: np.dtype[Any]) -> list[int]:
    """For each byte of an element in memory, the byte of the stored one that it is."""
    if wire.names is not None and wire.fields is not None and dtype.fields is not None:
        order = list(range(wire.itemsize))
        for name in wire.names:
            (stored, at, *_), (made, *_) = wire.fields[name], dtype.fields[name]
            order[at : at + stored.itemsize] = [at + k for k in _bytes_of(stored, made)]
        return order
    if wire.subdtype is not None:
        size = wire.base.itemsize
        return [at + k for at in range(0, wire.itemsize, size) for k in _bytes_of(wire.base, dtype.base)]
    unit = 1 if wire == dtype else wire.itemsize // 2 if wire.kind == "c" else 4 if wire.kind == "U" else wire.itemsize
    return [at + k for at in range(0, wire.itemsize, unit) for k in reversed(range(unit))]


def _step(stage: Stage, decoded: bool, nvcomp: Nvcomp | None, asked: Mapping[str, Asked]) -> DeviceStep | str:
    """A stage as a step, or why it can't be one."""
    if isinstance(stage, ForeignCodec) and stage.name == "shuffle":
        return ShuffleStep(int(stage.config.get("elementsize", 4)))
    if stage.name == "bitround":
        return IdentityStep(stage.name)
    if decoded:
        return f"the headers of {stage.name} are inside another codec's bytes"
    if stage.name == "crc32c" or (stage.name == "fletcher32" and isinstance(stage, ForeignCodec)):
        return ChecksumStep(stage.name)
    if isinstance(stage, BloscCodec):
        return _blosc(stage, nvcomp, asked)
    if stage.name in ("zstd", "gzip", "zlib", "lz4"):
        return StreamStep(way_of(stage.name, nvcomp, asked.get(stage.name, "auto")))
    return f"there is no {stage.name} for devices"


def _blosc(stage: BloscCodec, nvcomp: Nvcomp | None, asked: Mapping[str, Asked]) -> DeviceStep:
    """Its containers say themselves how they are compressed; the document says how most of them will be."""
    ways = tuple(way_of(codec, nvcomp, asked.get(codec, "auto")) for codec in CODECS)
    return BloscStep(ways[CODECS.index("lz4" if stage.cname == "lz4hc" else stage.cname)], ways)


def _decode(
    b: Builder, way: Way | None, slab: NDArray[np.uint8], streams: Streams, rows: Column, target: Places
) -> None:
    """Add the decoding of a slab's streams of one compressor (None: stored as they are).

    `rows` are the window's rows by `streams.row`; `target` is where their chunks begin.
    """
    dst, of = target.take(streams.row) + streams.target, rows[streams.row]
    if way is None:
        launch.copy(b, Places.at(INPUT, streams.source), dst, streams.size)
    else:
        way.add(b, slab, streams, dst, of)


@dataclass(frozen=True, slots=True)
class IdentityStep:
    """A codec that has nothing to undo."""

    name: str
    code, why = "nothing to do", None
    moves = False

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        return data


@dataclass(frozen=True, slots=True)
class ChecksumStep:
    """Four bytes after the others, little endian."""

    name: str
    code, why = "own kernel", None
    moves = False

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        short = data.size < 4
        b.refused[data.rows[short]] = True
        data = data.take(~short)
        size = data.size - 4
        stated = little(heads(data.slab, data.place.offset + size, np.full(len(size), 4), 4), 0, 4)
        launch.checksum(b, self.name, data.place, size, stated, data.rows)
        return replace(data, size=size)


@dataclass(frozen=True, slots=True)
class StreamStep:
    """A codec whose chunk is a few streams with nothing between them: zstd, gzip, zlib, and LZ4 as numcodecs has it."""

    way: Way
    moves = True

    @property
    def name(self) -> str:
        return self.way.codec

    @property
    def ways(self) -> tuple[Way, ...]:
        return (self.way,)

    @property
    def code(self) -> str:
        return self.way.code

    @property
    def why(self) -> str | None:
        return self.way.why

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        found = READERS[self.name](data.slab, data.place.offset, data.size, room)
        b.refused[data.rows[found.problem != 0]] = True
        _decode(b, self.way, data.slab, found.streams, data.rows, target)
        made = Strings(data.rows, target, room, None)
        return made.take(found.problem == 0)


@dataclass(frozen=True, slots=True)
class BloscStep:
    """Blosc containers: streams of any compressor, copied or decoded, then blocks to unshuffle.

    `mostly` is for the compressor that the document names, `ways` for all that containers may say.
    """

    mostly: Way
    ways: tuple[Way, ...]
    name = "blosc"
    moves = True

    @property
    def code(self) -> str:
        way = self.mostly
        return "own kernels" if way.nvcomp is None else f"own kernels, {way.codec} by {way.code}"

    @property
    def why(self) -> str | None:
        return self.mostly.why

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        ways = {way.codec: way for way in self.ways}
        found = containers(data.slab, data.place.offset, data.size, room, codecs=ways)
        b.refused[data.rows[found.problem != 0]] = True
        shuffled = found.shuffle != 0
        joined = Places(target.region.copy(), target.offset.copy())
        joined.put(shuffled, b.scratch(room[shuffled]))
        for codec, streams in found.streams.items():
            _decode(b, ways.get(codec), data.slab, streams, data.rows, joined)
        for kind, kernel in ((1, "gz_unshuffle"), (2, "gz_bitunshuffle")):
            blocks = found.blocks.take(found.shuffle[found.blocks.row] == kind)
            src, dst = (places.take(blocks.row) + blocks.target for places in (joined, target))
            launch.unshuffle(b, kernel, src, dst, blocks.size, found.typesize[blocks.row])
        return Strings(data.rows, target, room, None).take(found.problem == 0)


@dataclass(frozen=True, slots=True)
class ShuffleStep:
    """numcodecs' shuffle of a whole chunk's bytes."""

    typesize: int
    name = "shuffle"
    code, why = "own kernel", None
    moves = True

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        fits = data.size == room
        b.refused[data.rows[~fits]] = True
        data, target, room = data.take(fits), target.take(fits), room[fits]
        typesize = np.full(len(data.rows), self.typesize)
        launch.unshuffle(b, "gz_unshuffle", data.place, target, room, typesize)
        return Strings(data.rows, target, room, None)


@dataclass(frozen=True, slots=True, eq=False)
class RearrangeStep:
    """Elements whose bytes are not as they are in memory: in another order in each field, or with meaningless bits."""

    order: Column
    name = "bytes"
    code = "own kernel"
    why = None
    moves = True

    def add(self, b: Builder, data: Strings, room: Column, target: Places) -> Strings:
        fits = data.size == room
        b.refused[data.rows[~fits]] = True
        data, target = data.take(fits), target.take(fits)
        launch.rearrange(b, data.place, target, data.size, self.order)
        return Strings(data.rows, target, data.size, None)
