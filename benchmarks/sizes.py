"""What is measured, in numbers: the volume, how it is stored, and how much of it an operation asks for.

Every size keeps the chunk edges; a chunk never exceeds the volume, so only `full` has the sizes its names
promise.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CODECS", "LAYOUTS", "SIZES", "Size", "StoreSpec"]

LAYOUTS = ("4MiB", "64KiB", "shards")
"""Chunks of 128^3, chunks of 32^3, and shards of 256 x 256 x 512 made of chunks of 32^3 (uint16)."""

CODECS = ("none", "zstd", "blosc-lz4", "blosc-zstd", "gzip")
"""zstd level 5; Blosc lz4 level 5 byte-shuffled; Blosc zstd level 5 bit-shuffled; gzip level 5."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is stored and read: edges in elements, counts in calls, points or arrays."""

    name: str
    edge: int
    crops: int
    crop: int
    batch: int
    batch_crop: int
    points: int
    outer: int
    arrays: int
    opens: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.edge, self.edge, self.edge)

    def chunks(self, layout: str) -> tuple[int, ...]:
        return (min(128 if layout == "4MiB" else 32, self.edge),) * 3

    def shards(self, layout: str) -> tuple[int, ...] | None:
        """A quarter of the volume's cross-section, over its whole length: 64 MiB at full size."""
        half = max(self.edge // 2, 32)
        return (half, half, self.edge) if layout == "shards" else None


SIZES = {
    size.name: size
    for size in (
        Size("tiny", 64, crops=4, crop=32, batch=4, batch_crop=32, points=100, outer=5, arrays=10, opens=2),
        Size(
            "small",
            128,
            crops=100,
            crop=32,
            batch=16,
            batch_crop=64,
            points=1000,
            outer=22,
            arrays=100,
            opens=10,
        ),
        Size(
            "full",
            512,
            crops=1000,
            crop=32,
            batch=64,
            batch_crop=64,
            points=10000,
            outer=22,
            arrays=1000,
            opens=20,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """One way to store the volume."""

    layout: str
    codec: str

    @property
    def name(self) -> str:
        return f"{self.layout}-{self.codec}"
