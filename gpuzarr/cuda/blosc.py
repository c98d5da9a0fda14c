"""Blosc-1 containers of a slab as tables: the streams inside, and the blocks to unshuffle.

The format (c-blosc, README_CHUNK_FORMAT.rst): a header of 16 bytes, the offsets of the blocks, and per block one
stream, or one for each byte of the elements. A container is believed when all of it lies where it has to: what a
header claims is checked against the container's own bytes and the plan's size before a row is made of it, so there
are never more rows than those allow. Odd containers are the host's, which says precisely what is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.frames import zlib_streams, zstd_frames
from gpuzarr.cuda.streams import WORDS, Column, Problem, Streams, check_rows, heads, little, mark

__all__ = ["CODECS", "SHUFFLES", "STORED", "Blocks", "Containers", "containers"]

STORED = "stored"
"""The name of streams that are their own decoded bytes."""

CODECS = ("blosclz", "lz4", "snappy", "zlib", "zstd")
"""Compressors by the code of a container's header; lz4hc makes what lz4 reads."""

SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")

HEADER = 16
SHUFFLED, MEMCPYED, BITSHUFFLED, FUTURE, UNSPLIT = 1, 2, 4, 8, 16
MOST_SPLITS, LEAST_SPLIT = 16, 128
"""A block is split for elements of at most so many bytes, into streams of at least so many."""
LEAST_BLOCK = 64
"""c-blosc makes no blocks smaller than 128 bytes, less what is over a multiple of the element's size."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Decoded blocks that are still shuffled: the chunk, and offset and size (bytes) within it. All int64[b]."""

    row: Column
    target: Column
    size: Column

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Blocks:
        return Blocks(self.row[rows], self.target[rows], self.size[rows])


@dataclass(frozen=True, slots=True)
class Containers:
    """What n Blosc containers consist of.

    Attributes
    ----------
    streams
        By compressor ("blosclz", "lz4", "snappy", "zlib", "zstd", or "stored" for those that are only copied): the
        streams. Those of zlib are raw DEFLATE, with their Adler-32. Compressors without a stream are not there.
    blocks
        The blocks to unshuffle, from the joined streams, in order; none of chunks that are not shuffled.
    typesize, shuffle
        Of each chunk, int64[n] and uint8[n]: an index of SHUFFLES, 0 where nothing is to be undone.
    problem
        A `Problem` for each chunk, int8[n]; chunks that have one have no streams and no blocks.
    """

    streams: Mapping[str, Streams]
    blocks: Blocks
    typesize: Column
    shuffle: NDArray[np.uint8]
    problem: NDArray[np.int8]

    def why_not(self, row: int) -> str | None:
        """Why chunk `row` is decoded on the host; None where the device can take it."""
        return WORDS.get(Problem(int(self.problem[row])))


def containers(
    slab: NDArray[np.uint8],
    offset: Column,
    size: Column,
    room: Column,
    *,
    codecs: Collection[str] = CODECS,
) -> Containers:
    """The containers at `offset`, of `size` bytes, that decode to `room` bytes (all int64[n]).

    Chunks compressed with something that is not among `codecs` are the host's. Raises ShapeError for rows outside
    the slab.

    >>> from numcodecs import blosc
    >>> data = np.frombuffer(blosc.compress(bytes(2**18), b"lz4", 5, 1, typesize=4), np.uint8)
    >>> found = containers(data, np.array([0]), np.array([data.size]), np.array([2**18]))
    >>> {name: len(s) for name, s in found.streams.items()}, len(found.blocks), found.why_not(0)
    ({'lz4': 4}, 1, None)
    """
    check_rows(slab, offset, size, room)
    head = _Headers.read(heads(slab, offset, size, HEADER))
    problem = _judge(head, size, room)
    unknown = np.array([code >= len(CODECS) or CODECS[code] not in codecs for code in range(8)])
    mark(problem, ~head.memcpyed & unknown[head.codec], Problem.CODEC)
    whole = _blocks(head, problem)
    streams, code = _streams(slab, offset, head, whole, problem)
    found = _by_codec(slab, streams, code, problem)
    memcpyed = np.flatnonzero(head.memcpyed & (problem == Problem.NONE))
    stored = Streams.of(memcpyed, offset[memcpyed] + HEADER, room[memcpyed], room[memcpyed])
    found[STORED] = Streams.joined([p for p in (found.get(STORED), stored) if p is not None and len(p)])
    good = problem == Problem.NONE
    kept = {name: part.take(good[part.row]) for name, part in found.items()}
    shuffle = np.where(good, head.shuffle, 0).astype(np.uint8)
    blocks = whole.take(shuffle[whole.row] != 0)
    return Containers({n: p for n, p in kept.items() if len(p)}, blocks, head.typesize, shuffle, problem)


@dataclass(frozen=True, slots=True)
class _Headers:
    """Headers in columns; `inner` is the version of the compressor's format, 1 for all there are; `nbytes`,
    `blocksize` and `cbytes` are signed numbers, as c-blosc reads them."""

    version: Column
    inner: Column
    flags: Column
    typesize: Column
    nbytes: Column
    blocksize: Column
    cbytes: Column

    @classmethod
    def read(cls, table: NDArray[np.uint8]) -> _Headers:
        sizes = (_signed(table, 4), _signed(table, 8), _signed(table, 12))
        return cls(little(table, 0, 1), little(table, 1, 1), little(table, 2, 1), little(table, 3, 1), *sizes)

    @property
    def memcpyed(self) -> NDArray[np.bool_]:
        return np.asarray(self.flags & MEMCPYED != 0)

    @property
    def codec(self) -> Column:
        return self.flags >> 5

    @property
    def shuffle(self) -> Column:
        """What is to be undone: bytes before bits where both are set; never where there is nothing to move."""
        by_byte = (self.flags & SHUFFLED != 0) & (self.typesize > 1)
        by_bit = (self.flags & BITSHUFFLED != 0) & (self.nbytes > 0)
        return np.where(self.memcpyed, 0, np.where(by_byte, 1, np.where(by_bit, 2, 0)))

    @property
    def nblocks(self) -> Column:
        return -(-self.nbytes // np.maximum(self.blocksize, 1))


def _signed(table: NDArray[np.uint8], first: int) -> Column:
    return little(table, first, 4).astype(np.int32, copy=False).astype(np.int64)


def _judge(head: _Headers, size: Column, room: Column) -> NDArray[np.int8]:
    """A new column of problems: those that headers tell."""
    problem = np.zeros(len(size), np.int8)
    mark(problem, size < HEADER, Problem.TRUNCATED)
    mark(problem, (head.version != 2) | (head.flags & FUTURE != 0) | (head.typesize == 0), Problem.FORMAT)
    mark(problem, head.cbytes > size, Problem.TRUNCATED)
    mark(problem, head.nbytes != room, Problem.SIZE)
    mark(problem, room == 0, Problem.EMPTY)
    mark(problem, head.memcpyed & (head.cbytes != head.nbytes + HEADER), Problem.FORMAT)
    blocked, block = ~head.memcpyed, head.blocksize
    mark(problem, blocked & (head.inner != 1), Problem.FORMAT)
    mark(problem, (block <= 0) | (block > head.nbytes), Problem.FORMAT)
    mark(problem, blocked & (block < LEAST_BLOCK) & (block < head.nbytes), Problem.PIECES)
    mark(problem, blocked & (head.cbytes < HEADER + 4 * head.nblocks), Problem.TRUNCATED)
    return problem


def _blocks(head: _Headers, problem: NDArray[np.int8]) -> Blocks:
    """All blocks of the chunks that are no problem and not memcpyed."""
    count = np.where((problem == Problem.NONE) & ~head.memcpyed, head.nblocks, 0)
    row = np.repeat(np.arange(len(count)), count)
    target = (np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)) * head.blocksize[row]
    return Blocks(row, target, np.minimum(head.blocksize[row], head.nbytes[row] - target))


def _splits(head: _Headers, blocks: Blocks) -> Column:
    """Streams of each block."""
    whole, typesize = head.blocksize[blocks.row], head.typesize[blocks.row]
    split = (head.flags[blocks.row] & UNSPLIT == 0) & (typesize <= MOST_SPLITS) & (blocks.size == whole)
    return np.where(split & (whole // typesize >= LEAST_SPLIT), typesize, 1)


def _streams(
    slab: NDArray[np.uint8], offset: Column, head: _Headers, blocks: Blocks, problem: NDArray[np.int8]
) -> tuple[Streams, Column]:
    """The streams of the blocks, and the compressor of each (len(CODECS) for stored ones); problems are noted."""
    row, splits = blocks.row, _splits(head, blocks)
    problem[row[blocks.size % splits != 0]] = Problem.FORMAT
    _fit(head, row, splits, problem)
    on = problem[row] == Problem.NONE
    blocks, row, splits = blocks.take(on), row[on], splits[on]
    first = np.cumsum(splits) - splits
    source, size = np.zeros((2, int(splits.sum())), np.int64)
    start, end = offset[row], offset[row] + head.cbytes[row]
    table = start + HEADER + 4 * (blocks.target // head.blocksize[row])
    at = start + _signed(heads(slab, table, np.full(len(row), 4), 4), 0)
    low = start + HEADER + 4 * head.nblocks[row]
    on = np.arange(len(row))
    for j in range(int(splits.max(initial=0))):
        on = on[(splits[on] > j) & (problem[row[on]] == Problem.NONE)]
        here = at[on]
        inside = (here >= low[on]) & (here + 4 < end[on])
        length = _signed(heads(slab, np.where(inside, here, 0), np.full(len(on), 4) * inside, 4), 0)
        inside &= (length > 0) & (here + 4 + length <= end[on])
        problem[row[on[~inside]]] = Problem.TRUNCATED
        source[first[on] + j], size[first[on] + j] = here + 4, length
        at[on] = here + 4 + length
    block = np.repeat(np.arange(len(row)), splits)
    room = (blocks.size // splits)[block]
    target = blocks.target[block] + (np.arange(len(block)) - first[block]) * room
    streams = Streams.of(row[block], source, size, room, target)
    _no_overlap(head, streams, problem)
    code = np.where(size == room, len(CODECS), head.codec[streams.row])
    good = problem[streams.row] == Problem.NONE
    return streams.take(good), code[good]


def _fit(head: _Headers, row: Column, splits: Column, problem: NDArray[np.int8]) -> None:
    """Refuse containers that can't hold as many streams as they should, before rows are made of them."""
    count = np.bincount(row, splits, len(problem)).astype(np.int64)
    mark(problem, (count > 0) & (HEADER + 4 * head.nblocks + 5 * count > head.cbytes), Problem.TRUNCATED)


def _no_overlap(head: _Headers, streams: Streams, problem: NDArray[np.int8]) -> None:
    """Refuse containers whose streams are longer than they are together: decoding would take more than they can."""
    taken = np.bincount(streams.row, streams.size + 4, len(problem))
    mark(problem, (taken > 0) & (HEADER + 4 * head.nblocks + taken > head.cbytes), Problem.FORMAT)


def _by_codec(
    slab: NDArray[np.uint8], streams: Streams, code: Column, problem: NDArray[np.int8]
) -> dict[str, Streams]:
    """The streams of each compressor; frames of zstd and zlib are looked into, and problems in them noted."""
    found = {name: streams.take(code == k) for k, name in enumerate((*CODECS, STORED))}
    for name in ("zlib", "zstd"):
        outer = found[name]
        if not len(outer):
            continue
        inner = (zlib_streams if name == "zlib" else zstd_frames)(slab, outer.source, outer.size, outer.room)
        bad = np.flatnonzero(inner.problem)
        problem[outer.row[bad]] = inner.problem[bad]
        found[name] = inner.streams.within(outer)
    return found
