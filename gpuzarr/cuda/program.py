"""What a device is to do with one window, as values: tables, launches, and where everything lies.

Nothing here touches a device. A place is a region and an offset, and becomes an address when the program is run; so
the same program can be counted (`explain`) and carried out.

Regions: `INPUT` is uploaded in one piece (the stored bytes of the window, then the tables that are the kernels'
arguments, then zeros for the statuses); `SCRATCH` is written by kernels only; `ABSOLUTE` places are addresses
already, those of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.nvcomp import DecodeCall

__all__ = [
    "ABSOLUTE",
    "ALIGN",
    "INPUT",
    "SCRATCH",
    "Builder",
    "Decode",
    "Launch",
    "Place",
    "Places",
    "Program",
    "Share",
    "aligned",
    "resolve",
]

Column = NDArray[np.int64]

ABSOLUTE, INPUT, SCRATCH, STATUS = range(4)

ALIGN = 16
"""Bytes to which slots are aligned: the widest load, and more than any decoder asks for."""


def aligned(n: int, to: int = ALIGN) -> int:
    """`n` rounded up.

    >>> aligned(17), aligned(0)
    (32, 0)
    """
    return -(-n // to) * to


@dataclass(frozen=True, slots=True)
class Place:
    """One place in device memory."""

    region: int
    offset: int

    def later(self, nbytes: int) -> Place:
        return Place(self.region, self.offset + nbytes)


@dataclass(frozen=True, slots=True)
class Places:
    """n places in device memory: byte `offset[i]` of region `region[i]`."""

    region: Column
    offset: Column

    @classmethod
    def at(cls, region: int, offset: Any) -> Places:
        """Places of one region."""
        column = np.asarray(offset, np.int64)
        return cls(np.full(len(column), region, np.int64), column)

    def __len__(self) -> int:
        return len(self.offset)

    def __add__(self, nbytes: Any) -> Places:
        return Places(self.region, self.offset + nbytes)

    def take(self, rows: Any) -> Places:
        return Places(self.region[rows], self.offset[rows])

    def put(self, rows: Any, other: Places) -> None:
        """Change some of them in place."""
        self.region[rows], self.offset[rows] = other.region, other.offset

    def addresses(self, bases: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return bases[self.region] + self.offset.astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch; an argument is a NumPy scalar of the kernel's type, or a place whose address it gets."""

    kernel: str
    grid: int
    block: int
    args: tuple[np.generic | Place, ...]


@dataclass(frozen=True, slots=True)
class Decode:
    """One batched call of nvCOMP: n streams by columns of their addresses and sizes.

    `most` is the largest decoded size, `total` the sum of them; `found` gets the sizes that came out.
    """

    codec: str
    n: int
    most: int
    total: int
    src: Place
    size: Place
    dst: Place
    room: Place
    found: Place
    status: Place
    temp: Place
    temp_bytes: int

    def call(self, bases: NDArray[np.uint64]) -> DecodeCall:
        """The call with its addresses."""
        names = ("src", "size", "dst", "room", "found", "status", "temp")
        places = {name: int(bases[(place := getattr(self, name)).region]) + place.offset for name in names}
        return DecodeCall(self.codec, self.n, self.most, self.total, **places, temp_bytes=self.temp_bytes)


@dataclass(frozen=True, slots=True)
class Share:
    """So many `streams` of a compressor, whose code decodes them, and why that, if there is something to say.

    >>> print(Share("zstd", "own kernel", "nvCOMP is not there", 64))
    64 streams of zstd by own kernel: nvCOMP is not there
    """

    codec: str
    code: str
    why: str | None
    streams: int

    def __str__(self) -> str:
        plural = "" if self.streams == 1 else "s"
        return f"{self.streams:,} stream{plural} of {self.codec} by {self.code}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Words that a launch leaves: word i is about row `rows[i]` and has to be `expected[i]` (None: zero)."""

    offset: int
    dtype: type[np.generic]
    rows: Column
    expected: Column | None


@dataclass(frozen=True, slots=True)
class Program:
    """A window's tables and launches. Its INPUT region is `stored` bytes, tables up to `words`, then statuses."""

    stored: int
    columns: tuple[tuple[int, Column | Places], ...]
    words: int
    nbytes: int
    scratch: int
    launches: tuple[Launch | Decode, ...]
    verdicts: tuple[Verdict, ...]
    shares: tuple[Share, ...]

    @property
    def statuses(self) -> int:
        """Bytes of statuses that are read back."""
        return self.nbytes - self.words

    def bases(self, inputs: int, scratch: int) -> NDArray[np.uint64]:
        """The address at which each region begins."""
        return np.array([0, inputs, scratch, inputs + self.words], np.uint64)

    def write(self, slab: NDArray[np.uint8], bases: NDArray[np.uint64]) -> None:
        """Put tables and zeroed statuses behind the stored bytes of the slab that is to be uploaded."""
        for offset, values in self.columns:
            column = values.addresses(bases) if isinstance(values, Places) else values
            slab[offset : offset + column.nbytes] = column.view(np.uint8)
        slab[self.words : self.nbytes] = 0

    def failed(self, statuses: NDArray[np.uint8]) -> Column:
        """Rows of which a status is wrong, once each."""
        wrong = [np.zeros(0, np.int64)]
        for verdict in self.verdicts:
            words = np.frombuffer(statuses, verdict.dtype, len(verdict.rows), verdict.offset)
            wrong.append(verdict.rows[words != (0 if verdict.expected is None else verdict.expected)])
        return np.unique(np.concatenate(wrong))


def resolve(arg: np.generic | Place, bases: NDArray[np.uint64]) -> np.generic:
    """An argument as the kernel gets it."""
    return bases[arg.region] + np.uint64(arg.offset) if isinstance(arg, Place) else arg


@dataclass(slots=True)
class Builder:
    """Collects the program of a window of `rows` rows whose stored bytes end at `stored` in the slab.

    `refused` rows are those the device can't take, found on the host: they are decoded there, one by one. One call of
    nvCOMP gets at most `temp` bytes of temporary memory, unless a single stream needs more.
    """

    rows: int
    stored: int
    temp: int
    launches: list[Launch | Decode] = field(default_factory=list)
    refused: NDArray[np.bool_] = field(init=False)
    _columns: list[tuple[int, Column | Places]] = field(default_factory=list)
    _verdicts: list[Verdict] = field(default_factory=list)
    _shares: list[Share] = field(default_factory=list)
    _end: int = field(init=False)
    _words: int = 0
    _scratch: int = 0

    def __post_init__(self) -> None:
        self.refused = np.zeros(self.rows, bool)
        self._end = self.stored = aligned(self.stored)

    def column(self, values: Any) -> Place:
        """A table column: places, whose addresses are uploaded, or 64-bit numbers, or bytes."""
        if isinstance(values, bytes):
            values = np.frombuffer(values.ljust(aligned(len(values), 8), b"\0"), np.int64)
        elif not isinstance(values, Places):
            values = np.ascontiguousarray(values, np.int64).reshape(-1)
        place = Place(INPUT, self._end)
        self._columns.append((self._end, values))
        self._end += aligned(8 * len(values))
        return place

    def status(self, rows: Column) -> Place:
        """Status words of streams, by the rows that they belong to; zero is right."""
        return self._verdict(np.int32, rows, None)

    def found(self, rows: Column, expected: Column) -> Place:
        """Words for sizes that came out, which must be those expected."""
        return self._verdict(np.uint64, rows, expected)

    def _verdict(self, dtype: type[np.generic], rows: Column, expected: Column | None) -> Place:
        place = Place(STATUS, self._words)
        self._verdicts.append(Verdict(self._words, dtype, rows, expected))
        self._words += aligned(len(rows) * np.dtype(dtype).itemsize, 8)
        return place

    def scratch(self, sizes: Any) -> Places:
        """Aligned places in scratch memory for byte strings of some sizes."""
        sizes = np.asarray(sizes, np.int64)
        slots = -(-sizes // ALIGN) * ALIGN
        ends = self._scratch + np.cumsum(slots)
        self._scratch = int(ends[-1]) if len(ends) else self._scratch
        return Places.at(SCRATCH, ends - slots)

    def launch(self, kernel: str, blocks: int, threads: int, args: Sequence[np.generic | Place]) -> None:
        """Add a launch, unless it has no blocks."""
        if blocks:
            self.launches.append(Launch(kernel, blocks, threads, tuple(args)))

    def tell(self, share: Share) -> None:
        """Note who decodes some of the window's streams."""
        self._shares.append(share)

    def program(self) -> Program:
        words = self._end
        return Program(
            self.stored,
            tuple(self._columns),
            words,
            words + self._words,
            self._scratch,
            tuple(self.launches),
            tuple(self._verdicts),
            tuple(self._shares),
        )
