"""What a read does, whichever way: fetching the rows of a plan, decoding one of them, in runs for the threads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain
from gpuzarr.errors import CodecError
from gpuzarr.execute.pool import Pool
from gpuzarr.execute.source import Source, Value, believed
from gpuzarr.lazy import lazy
from gpuzarr.memory.host import fill_tiles, scatter
from gpuzarr.plan import ReadPlan
from gpuzarr.ranges import WHOLE, ByteRange, Requests
from gpuzarr.store import Buffer

if TYPE_CHECKING:
    from gpuzarr.execute.windows import DeviceTarget

__all__ = ["ReadJob", "Work", "fetch", "located", "nanoseconds"]

GAP = 4 << 10
"""Unwanted bytes that cost less to read than a second request does. The compiled module has the same number."""

EXTENT = 256 << 10
"""Joined requests stay within this many bytes: more would leave the cache before it is decoded. There too."""

RUN = 200_000
"""Nanoseconds of work in a run of rows at least: less does not pay for waking a thread."""

COST = {"blosc": 0.5, "blosclz": 0.6, "crc32c": 0.1, "gzip": 2.0, "lz4": 0.3, "snappy": 0.4, "zlib": 2.0, "zstd": 1.5}
"""Nanoseconds that decoding takes a byte, by codec, on the machine of benchmarks/README.md; others take longer."""

COPY, OTHER = 0.2, 5.0
"""Nanoseconds a byte for fetching and scattering, and for a codec that only Python has."""

LONGEST = 4 << 20
"""Decoded bytes of a run at most (one chunk at least): all it fetches may be held, and Ctrl-C waits for it."""


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a read needs besides its plan.

    `out` is the result as the tiles address it; for a `device`, an array over its address there.
    """

    pool: Pool
    source: Source | Value
    fill: Any
    out: NDArray[Any]
    native: bool
    device: DeviceTarget | None = None


def nanoseconds(chain: Chain) -> float:
    """What fetching, decoding and scattering one chunk takes, about."""
    return max(1, chain.elements.nbytes) * (COPY + sum(COST.get(stage.name, OTHER) for stage in chain.stages))


class Work:
    """Rows of chunks to read into `out`. Of chunks of several shapes `chain` is that of the largest.

    Neighbours in a value are fetched by one request: row i lies at byte `at[i]` of extent `which[i]`. Both are only
    made when they are asked for: the compiled module joins the rows of a file by itself, and by the same rule.
    """

    def __init__(self, plan: ReadPlan, chain: Chain, out: NDArray[Any], job: ReadJob) -> None:
        self.plan, self.chain, self.out, self.job = plan, chain, out, job

    @lazy
    def _joined(self) -> tuple[Requests, NDArray[np.int64], NDArray[np.int64]]:
        return self.plan.requests.coalesced(GAP, EXTENT)

    @property
    def extents(self) -> Requests:
        """The joined requests."""
        return self._joined[0]

    @property
    def which(self) -> NDArray[np.int64]:
        return self._joined[1]

    @property
    def at(self) -> NDArray[np.int64]:
        return self._joined[2]

    @lazy
    def shapes(self) -> tuple[list[Chain], NDArray[np.int64]]:
        """The chains of the chunks' different shapes, and which of them is each row's."""
        if self.plan.cells is None:
            return [self.chain], np.zeros(len(self.plan), np.int64)
        shapes, kind = self.plan.cells.by_shape()
        return [self.chain.of(shape) for shape in shapes], kind

    def chain_of(self, row: int) -> Chain:
        """The chain of a row's chunk."""
        return self.chain if self.plan.cells is None else self.shapes[0][self.shapes[1][row]]

    def parts(self) -> list[Work]:
        """The same work in parts whose chunks have one shape."""
        if self.plan.cells is None:
            return [self]
        parts = self.plan.by_shape()
        return [Work(replace(part, cells=None), self.chain.of(shape), self.out, self.job) for shape, part in parts]

    def runs(self, apart: bool = False) -> list[range]:
        """Rows in runs for the threads; rows of one request stay together, unless they may be `apart`."""
        n, threads = len(self.plan), self.job.pool.threads
        nbytes = max(1, self.chain.elements.nbytes)
        each = nanoseconds(self.chain)
        alone = threads < 2 or n * each < 2 * RUN
        per = n if alone else max(1, math.ceil(RUN / each), n // (threads * 8))
        per = min(per, max(1, LONGEST // nbytes))
        if per >= n:
            return [range(n)]
        if apart or self.plan.length[0] == WHOLE:  # which requests are joined takes longer to find than a small read
            return [range(k, min(k + per, n)) for k in range(0, n, per)]
        border = np.append(np.searchsorted(self.which, self.which[::per]), n)
        border = border[np.concatenate(([True], np.diff(border) > 0))].tolist()
        return [range(a, b) for a, b in pairwise(border)]

    def run(self, rows: range) -> None:
        """A run of rows, in Python: one extent after another."""
        extent, value = -1, None
        for row in rows:
            if self.which[row] != extent:
                extent = int(self.which[row])
                value = self.fetch(extent)
            self.one(row, value, int(self.at[row]))

    def fetch(self, extent: int) -> Buffer | None:
        """The bytes of one joined request."""
        extents, most = self.extents, self.chain.largest
        return fetch(self.job.source, extents.keys[int(extents.key[extent])], extents, extent, most)

    def one(self, row: int, value: Buffer | None, start: int) -> None:
        """Decode one chunk out of a value's bytes (None: absent) from `start`, and scatter its tiles."""
        plan = self.plan
        tiles = range(int(plan.starts[row]), int(plan.starts[row + 1]))
        decoded = self.decoded(row, value, start)
        if decoded is None:
            fill_tiles(self.out, plan.tiles, tiles, self.job.fill)
            return
        chunk = self.chain_of(row).elements.view(decoded) if self.chain.values is None else self._objects(row, decoded)
        scatter(chunk[None] if plan.batched else chunk, plan.tiles, tiles, self.out)

    def stored(self, row: int, value: Buffer, start: int) -> memoryview:
        """The bytes of one chunk, out of a value's bytes from `start`; fewer than planned where they end before."""
        length, data = int(self.plan.length[row]), memoryview(value).cast("B")
        return data[start:] if length == WHOLE else data[start : start + length]

    def decoded(self, row: int, value: Buffer | None, start: int, into: memoryview | None = None) -> Buffer | None:
        """The decoded bytes of one chunk (None: absent), in `into` if given. Raises CodecError with key and chunk."""
        if value is None:
            return None
        plan, chain, data = self.plan, self.chain_of(row), self.stored(row, value, start)
        try:
            if int(plan.length[row]) not in (WHOLE, len(data)):
                raise CodecError(f"{len(data)} bytes are stored of {int(plan.length[row])}", direction="decode")
            return chain.decode(believed(data, chain.largest), into)
        except CodecError as error:
            raise located(error, plan.keys[int(plan.key[row])], plan, row) from error.__cause__

    def _objects(self, row: int, decoded: Buffer) -> NDArray[Any]:
        """A chunk of elements of no fixed size."""
        try:
            return self.chain_of(row).chunk(decoded)
        except CodecError as error:
            raise located(error, self.plan.keys[int(self.plan.key[row])], self.plan, row) from error.__cause__

    def again(self, row: int) -> None:
        """One row by itself, in Python: for the precise error, or for what the compiled module declined."""
        key = self.plan.keys[int(self.plan.key[row])]
        self.one(row, fetch(self.job.source, key, self.plan.requests, row, self.chain.largest), 0)


def fetch(source: Source | Value, key: str, requests: Requests, row: int, most: int) -> Buffer | None:
    """The bytes of a request, or as many as show that they are too many: a value may be, or unpack to, anything."""
    length = int(requests.length[row])
    return source.get(key, ByteRange(int(requests.offset[row]), length if 0 <= length <= most else most + 1))


def located(error: CodecError, key: str, plan: ReadPlan, row: int) -> CodecError:
    """The error with the key and chunk it happened at."""
    chunk = error.chunk or tuple(plan.chunk[row].tolist())
    return CodecError(
        error.reason, codec=error.codec, key=error.key or key, chunk=chunk, direction=error.direction or "decode"
    )
