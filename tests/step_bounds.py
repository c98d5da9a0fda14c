"""How many steps a decoder may make, whatever the bytes: what kernels' headers promise in words, in numbers.

A step is a piece of straight code that one thread runs (`Emulator.steps`). The numbers hold for the busiest thread of a
stream, and leave room for other compilers; tests find streams that need half of them and more.
"""

from __future__ import annotations

from dataclasses import dataclass

from zstd_model import little


@dataclass(frozen=True, slots=True)
class Bound:
    """Steps for each byte of input and output, and for each block of the stream, which counts as one more itself."""

    byte: int
    block: int

    def steps(self, size: int, room: int, blocks: int) -> int:
        return self.byte * (size + room) + self.block * (blocks + 1)


ZSTD = Bound(byte=24, block=24_000)
ZSTD_ENTROPY = Bound(byte=5, block=32_000)
"""For each byte of a block's scratch memory (one a literal, 16 a sequence), and for the block."""
ZSTD_EXECUTE = Bound(byte=16, block=350)
DEFLATE = Bound(byte=48, block=6_000)


def deflate_blocks(data: bytes) -> int:
    """How many blocks that make codes, and gzip members, are in these bytes at most.

    Only blocks that tell their codes make them, or come behind one that does: two take 100 bits or more, a member 160.
    """
    return len(data) // 6


def zstd_blocks(data: bytes) -> int:
    """How many blocks of a frame begin within it."""
    return _walked(data)[0]


def zstd_end(data: bytes) -> int:
    """Where a frame ends that is in these bytes; 0 where they end before."""
    return _walked(data)[1]


def _walked(data: bytes) -> tuple[int, int]:
    if len(data) < 5:
        return 0, 0
    flags, blocks, last = data[4], 0, 0
    at = 6 - (flags >> 5 & 1) + (0, 1, 2, 4)[flags & 3] + (flags >> 5 & 1, 2, 4, 8)[flags >> 6]
    while not last and at + 3 <= len(data):
        word = little(data[at : at + 3])
        last, blocks = word & 1, blocks + 1
        at += 3 + (1 if word >> 1 & 3 == 1 else word >> 3)
    at += flags & 4  # a checksum
    return blocks, at if last and at <= len(data) else 0
