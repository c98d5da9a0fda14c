"""The compressed blocks of zstd frames in columns, so that the blocks of all frames are decoded side by side.

What a block needs of earlier ones is where they describe its Huffman tree and its tables, and headers tell that
(RFC 8878 sections 3.1.1.2 and 3.1.1.3): nothing is decoded here. Whatever is wrong or odd is not looked into: such a
frame is left to the kernel that decodes a frame from its beginning to its end, and says what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.frames import FEW, ZSTD_BLOCK, zstd_heads
from gpuzarr.cuda.streams import Column, heads, little

__all__ = ["SCRATCH", "SEQUENCE", "Blocks", "zstd_blocks"]

SCRATCH = 4
"""Bytes of scratch memory for a decoded byte of a frame, at most: what most need is two."""

MANY = 256
"""Frames of several blocks that keep a device busy by themselves: more are decoded from beginning to end by one launch,
which is faster then on paper (docs/kernels.md), as two are with fewer."""

SEQUENCE = 16
"""Bytes of scratch memory for a sequence."""

RAW_HEADER = np.array([1, 2, 1, 3])
"""Bytes of the header of literals that are not coded, by its format; of those that are: 3, 3, 4, 5."""
CODED_BITS = np.array([10, 10, 14, 18])
"""Of both sizes in the header of coded literals, by its format."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """m compressed blocks, one row each, those of a frame together and in their order.

    Attributes
    ----------
    frame, at
        The frame, and where the block's header is in it. int64[m].
    origin
        Where in the frame the headers of the blocks are that describe its Huffman tree, and its tables of lengths of
        literals, offsets and lengths of matches; 0 for none. int64[m, 4].
    literals, sequences
        Literals that are Huffman-coded, and sequences: how many. int64[m].
    """

    frame: Column
    at: Column
    origin: NDArray[np.int64]
    literals: Column
    sequences: Column

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: NDArray[np.bool_]) -> Blocks:
        return Blocks(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def scratch(self) -> Column:
        """Bytes of scratch memory that each needs."""
        return self.literals + SEQUENCE * self.sequences


def zstd_blocks(
    slab: NDArray[np.uint8], source: Column, size: Column, room: Column, least: int = 2, many: int = MANY
) -> tuple[NDArray[np.bool_], Blocks]:
    """Which frames of a slab have `least` compressed blocks or more and nothing odd; and the blocks of these.

    None are where more than `many` have so many blocks. `Blocks.frame` counts only the frames that are. They have to be
    some that `zstd_frames` found.
    """
    frame, at, word = _walked(slab, source + zstd_heads(slab, source, size), source + size)
    compressed = word >> 1 & 3 == 2
    frame, at, length = frame[compressed], at[compressed], word[compressed] >> 3
    kind, literals, sequences, modes, odd = _sections(slab, at + 3, length)
    odd |= literals + 3 * sequences > ZSTD_BLOCK
    described = [kind == 2, *((sequences > 0) & (modes >> shift & 3 != 3) for shift in (6, 4, 2))]
    needed = [kind == 3, *((sequences > 0) & (modes >> shift & 3 == 3) for shift in (6, 4, 2))]
    origin = np.stack([_latest(frame, at - source[frame], which) for which in described], axis=1)
    odd |= ((origin == 0) & np.stack(needed, axis=1)).any(axis=1)
    blocks = Blocks(frame, at - source[frame], origin, np.where(kind > 1, literals, 0), sequences)
    n = len(source)
    good = np.bincount(frame, minlength=n) >= least
    good &= np.count_nonzero(good) <= many
    good &= np.bincount(frame[odd], minlength=n) == 0
    good &= np.bincount(frame, blocks.scratch, minlength=n) <= SCRATCH * room
    kept = blocks.take(good[frame])
    return good, Blocks((np.cumsum(good) - 1)[kept.frame], kept.at, kept.origin, kept.literals, kept.sequences)


def _walked(slab: NDArray[np.uint8], at: Column, stop: Column) -> tuple[Column, Column, Column]:
    """The frame, the place in the slab and the header of every block, in their order."""
    at, on, parts = at.copy(), np.arange(len(at)), []
    while len(on) > FEW:
        begin = at[on]
        word = little(heads(slab, begin, stop[on] - begin, 3), 0, 3)
        parts.append(np.stack([on, begin, word]))
        at[on] = begin + 3 + np.where(word >> 1 & 3 == 1, 1, word >> 3)
        on = on[(word & 1 == 0) & (at[on] + 3 <= stop[on])]
    found, data = [], slab.data
    for row in on.tolist():  # few frames, of many blocks perhaps: a step in columns costs more
        here, end, last = int(at[row]), int(stop[row]), 0
        while not last and here + 3 <= end:
            header = data[here] | data[here + 1] << 8 | data[here + 2] << 16
            found.append((row, here, header))
            last = header & 1
            here += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
    table = np.concatenate([*parts, np.array(found, np.int64).reshape(-1, 3).T], axis=1)
    table = table[:, np.lexsort((table[1], table[0]))]
    return table[0], table[1], table[2]


def _sections(
    slab: NDArray[np.uint8], at: Column, length: Column
) -> tuple[Column, Column, Column, Column, NDArray[np.bool_]]:
    """Of blocks of `length` bytes: type and number of literals, number of sequences, their modes, what is odd."""
    head = heads(slab, at, length, 5)
    kind, form = head[:, 0].astype(np.int64) & 3, head[:, 0].astype(np.int64) >> 2 & 3
    bits = CODED_BITS[form]
    word = little(head, 0, 5)
    coded = kind > 1
    skip = np.where(coded, np.where(form < 2, 3, form + 2), RAW_HEADER[form])
    plain = (word & (1 << 8 * np.minimum(skip, 3)) - 1) >> np.where(form & 1, 4, 3)
    literals = np.where(coded, word >> 4 & (1 << bits) - 1, plain)
    stored = np.where(coded, word >> 4 + bits & (1 << bits) - 1, np.where(kind == 1, 1, plain))
    begin = skip + stored
    odd = begin >= length
    head = heads(slab, at + np.where(odd, 0, begin), np.where(odd, 0, length - begin), 4)
    first = little(head, 0, 1)
    wide = np.where(first == 255, 3, np.where(first > 127, 2, 1))
    sequences = np.where(first > 127, ((first - 128) << 8) + little(head, 1, 1), first)
    sequences = np.where(first == 255, little(head, 1, 2) + 0x7F00, sequences)
    modes = np.take_along_axis(head, wide[:, None], axis=1)[:, 0].astype(np.int64)
    odd |= np.where(sequences == 0, begin + wide != length, begin + wide >= length)
    return kind, literals, sequences, modes, odd


def _latest(frame: Column, at: Column, which: NDArray[np.bool_]) -> Column:
    """Where, for each block, the latest one of its frame is that is among `which`, itself or before; 0 for none."""
    if not len(frame):
        return at
    found = np.maximum.accumulate(np.where(which, np.arange(len(frame)), -1))
    there = (found >= 0) & (frame[found] == frame)
    return np.where(there, at[found], 0)
