"""The operations measured, each a sequence of timed calls on a peer.

A workload's `calls` is a generator: what it does between its yields (opening, loading) is not timed, what it
yields is. The same generator, run on the NumPy reference, gives the answer every peer must give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data import LISTED, TARGET, VOLUME
from .peers import Peer
from .sizes import CODECS, Size, StoreSpec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Call", "Load", "Workload", "workloads"]

Call = Callable[[], Any]
Load = Callable[[], Peer]
Selection = tuple[int | slice, ...]
Index = tuple[NDArray[np.intp], ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table.

    `calls(load, folder)` yields the timed calls: `load()` gives the peer (and, in a fresh process, imports
    it), `folder` holds the stores. `unit` says how the row is printed: "GB/s" of the result, or "ms" a call.
    A `fresh` workload gets a new process each time. What it needs: a `store` of the volume (a write: an empty
    array like it), or a `listing` group.
    """

    name: str
    title: str
    family: str
    unit: str
    calls: Callable[[Load, Path], Iterator[Call]]
    store: StoreSpec | None = None
    written: int = 0  # planes of the volume that are written
    fresh: bool = False
    listing: bool | None = None  # plain (False) or consolidated (True)


def reads(load: Load, folder: Path, name: str, selections: list[Selection]) -> Iterator[Call]:
    """One call a selection, on an array opened just before."""
    peer = load()
    handle = peer.open(folder / name)
    for selection in selections:
        yield partial(peer.read, handle, selection)


def batch(load: Load, folder: Path, name: str, selections: list[tuple[slice, ...]]) -> Iterator[Call]:
    """One call for all selections."""
    peer = load()
    yield partial(peer.read_many, peer.open(folder / name), selections)


def points(load: Load, folder: Path, name: str, how: str, indices: Index) -> Iterator[Call]:
    """One call of `oindex` or `vindex`."""
    peer = load()
    yield partial(getattr(peer, how), peer.open(folder / name), indices)


def write(load: Load, folder: Path, name: str, planes: int) -> Iterator[Call]:
    """The first planes of the volume into an array created before; returns what was written."""
    peer = load()
    data = np.array(np.load(folder / VOLUME, mmap_mode="r")[:planes])
    handle = peer.open(folder / name, write=True)

    def call() -> NDArray[Any]:
        peer.write(handle, data)
        return data

    yield call


def opens(load: Load, folder: Path, name: str, count: int) -> Iterator[Call]:
    """Open, as far as knowing the shape."""
    peer = load()
    for _ in range(count):
        yield lambda: tuple(peer.open(folder / name).shape)


def firsts(load: Load, folder: Path, name: str, elements: list[Selection]) -> Iterator[Call]:
    """Open and read one element; in a fresh process, import first."""
    for element in elements:

        def call(element: Selection = element) -> Any:
            peer = load()
            return peer.read(peer.open(folder / name), element)

        yield call


def lists(load: Load, folder: Path, name: str, consolidated: bool) -> Iterator[Call]:
    """Name, shape and dtype of every array of a group."""
    peer = load()
    yield lambda: peer.listing(folder / name, consolidated=consolidated)


SHOWN = {"4MiB": "4 MiB chunks", "64KiB": "64 KiB chunks", "shards": "64 KiB chunks in shards"}
WHOLE: Selection = (slice(None),) * 3


@dataclass(slots=True)
class Builder:
    """Collects the workloads of one size; every random selection comes from one seeded generator."""

    size: Size
    made: list[Workload] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def add(
        self,
        group: str,
        what: str,
        family: str,
        stores: list[tuple[str, str]],
        calls: Callable[..., Iterator[Call]],
        unit: str = "GB/s",
        written: int = 0,
        fresh: bool = False,
        **bound: Any,
    ) -> None:
        """One workload for each store."""
        for layout, codec in stores:
            spec = StoreSpec(layout, codec)
            ready = partial(calls, name=TARGET if written else spec.name, **bound)
            title = f"{what}, {SHOWN[layout]}, {codec}"
            name = f"{group}/{spec.name}"
            self.made.append(Workload(name, title, family, unit, ready, spec, written, fresh))

    def add_listing(self, consolidated: bool) -> None:
        kind = "consolidated" if consolidated else "plain"
        calls = partial(lists, name=LISTED[consolidated], consolidated=consolidated)
        title = f"list {self.size.arrays} arrays, {kind}"
        self.made.append(Workload(f"list/{kind}", title, "listing", "ms", calls, listing=consolidated))

    def crops(self, count: int, edge: int, grain: int = 1) -> list[Selection]:
        """Cubes of `edge` at random corners that are multiples of `grain`."""
        corners = self.random.integers(0, (self.size.edge - edge) // grain + 1, (count, 3)) * grain
        return [tuple(slice(int(c), int(c) + edge) for c in corner) for corner in corners]

    def elements(self, count: int) -> list[Selection]:
        return [tuple(int(i) for i in row) for row in self.random.integers(0, self.size.edge, (count, 3))]

    def indices(self, count: int, unique: bool) -> Index:
        edge = self.size.edge
        if unique:
            return tuple(np.sort(self.random.choice(edge, count, replace=False)) for _ in range(3))
        return tuple(self.random.integers(0, edge, count) for _ in range(3))


def workloads(size: Size) -> list[Workload]:
    """Every workload at `size`, in the order of the report."""
    builder = Builder(size)
    add_whole(builder)
    add_crops(builder)
    add_strides(builder)
    add_points(builder)
    add_latencies(builder)
    return builder.made


def add_whole(b: Builder) -> None:
    """The whole volume read, and half of it written."""
    for layout in ("4MiB", "64KiB", "shards"):
        codecs = CODECS if layout != "shards" else ("none", "zstd", "blosc-lz4")
        stores = [(layout, codec) for codec in codecs]
        b.add("read", "read whole", f"whole reads, {SHOWN[layout]}", stores, reads, selections=[WHOLE])
        half = b.size.edge // 2
        b.add("write", "write", f"writes, {SHOWN[layout]}", stores, write, written=half, planes=half)


def add_crops(b: Builder) -> None:
    """Random crops, one call each and as one batch."""
    s = b.size
    stores = [(layout, codec) for layout in ("64KiB", "shards") for codec in ("zstd", "blosc-lz4")]
    what = f"{s.crops} crops of {s.crop}³"
    b.add("crops", f"{what}, unaligned", "single crops", stores, reads, selections=b.crops(s.crops, s.crop))
    b.add(
        "aligned",
        f"{what}, aligned",
        "single crops",
        stores,
        reads,
        selections=b.crops(s.crops, s.crop, s.crop),
    )
    what = f"{s.batch} crops of {s.batch_crop}³ in one batch"
    b.add("batch", what, "batches of crops", stores, batch, selections=b.crops(s.batch, s.batch_crop))


def add_strides(b: Builder) -> None:
    """Slices with steps, a plane across every chunk row, a slab."""
    both = [("4MiB", "blosc-lz4"), ("64KiB", "blosc-lz4")]
    every2, every4, every64 = slice(None, None, 2), slice(None, None, 4), slice(None, None, 64)
    all2, all64 = (every2, *WHOLE[1:]), (every64, *WHOLE[1:])
    b.add("stride2", "a[::2]", "strides and planes", both, reads, selections=[all2])
    b.add("stride4", "a[::4, ::4, ::4]", "strides and planes", both, reads, selections=[(every4,) * 3])
    b.add("stride64", "a[::64]", "strides and planes", both, reads, selections=[all64])
    x, z = b.size.edge // 3, b.size.edge // 2 + 5
    b.add("plane", f"a[:, :, {x}]", "strides and planes", both, reads, selections=[(*WHOLE[:2], x)])
    slab = (slice(z, z + 16), *WHOLE[1:])
    b.add("slab", f"a[{z}:{z + 16}]", "strides and planes", both, reads, selections=[slab])


def add_points(b: Builder) -> None:
    """Orthogonal and pointwise integer indexing."""
    stores = [(layout, "blosc-lz4") for layout in ("4MiB", "64KiB", "shards")]
    s = b.size
    rows, places = b.indices(s.outer, unique=True), b.indices(s.points, unique=False)
    what = f"oindex {s.outer} x {s.outer} x {s.outer}"
    b.add("oindex", what, "points", stores, points, "ms", how="oindex", indices=rows)
    b.add("vindex", f"vindex {s.points} points", "points", stores, points, "ms", how="vindex", indices=places)


def add_latencies(b: Builder) -> None:
    """What a call costs when there is next to nothing to do; milliseconds a call."""
    stores = [("64KiB", "zstd"), ("shards", "zstd")]
    count, crop = b.size.opens, b.size.crop
    one_chunk = b.crops(count, crop, crop)
    b.add("open", "open", "latency", stores, opens, "ms", count=count)
    b.add("first", "open and read an element", "latency", stores, firsts, "ms", elements=b.elements(count))
    b.add("chunk", "read one chunk", "latency", stores, reads, "ms", selections=one_chunk)
    b.add_listing(consolidated=False)
    b.add_listing(consolidated=True)
    what = "new process: import, open, read an element"
    b.add("cold", what, "cold start", stores, firsts, "ms", fresh=True, elements=b.elements(1))
