"""The loops of the decoders: where each is in its source, which warp runs it, and which of its lines seldom run."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numcodecs.zstd
import numpy as np

from gpuzarr.testing.emulator import source_folder

__all__ = ["DECODERS", "ZSTD", "Decoder", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """A loop: where it is, who runs it, and what of it is not run.

    `mark` is text of the line that counts its iterations; `at`, if that has no code of its own, of a line inside. An
    iteration goes `through` lines with these texts, or through that one. `warp` is 0 or 1. Parts that `prepare` a block
    come before those that decode it; in each the warps work side by side. `seldom` are texts of lines that hardly run;
    `share` of the time those of `some` do.
    """

    name: str
    unit: str
    file: str
    mark: str
    warp: int
    lanes: int = 32
    prepare: bool = False
    at: str = ""
    through: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Decoder:
    """A kernel of two warps a stream: `lead` are its arguments before the columns; `encode` makes a stream for it."""

    name: str
    kernel: str
    lead: tuple[np.generic, ...]
    parts: tuple[Part, ...]
    block: tuple[
        str, str, int
    ]  # the file and text of a line that is run once a block of the stream, by so many threads
    batch: tuple[str, str, int]  # and once a batch
    encode: Callable[[bytes], bytes]

    @property
    def source(self) -> Path:
        return source_folder() / f"{self.name}.cu"


REFILL_ZSTD = ("const gz_u64 word = (gz_u64)ahead", "high |= (gz_u32)(word >> 32);", "gz_u32 load(const gz_u8* input)")
PERIOD_ZSTD, PERIOD_DEFLATE = ("step %= offset;",), ("step %= distance;",)
COPY = ("__funnelshift_r(pair[0], pair[1], 8 * skew)",)  # of more than 64 bytes, not aligned alike

ZSTD = Decoder(
    "zstd",
    "gz_zstd",
    (),
    (
        Part("cells of a table", "32 cells", "zstd_tables.cuh", "const gz_u32 cell = i * stride", 0, prepare=True),
        Part("states of a table", "4 cells", "zstd_tables.cuh", "const gz_u32 four = *(const", 0, prepare=True),
        Part("a Huffman table", "32 entries", "zstd_tables.cuh", "tree.table[i] = (gz_u16)", 1, prepare=True),
        Part(
            "Huffman-coded literals",
            "16 literals",
            "zstd_tables.cuh",
            "symbol() << 24",
            1,
            4,
            True,
            some=REFILL_ZSTD,
            share=0.4,
        ),
        Part(
            "reading sequences",
            "a sequence",
            "zstd_blocks.cuh",
            "sequence.w = 0;",
            0,
            1,
            at="batch[i] = sequence;",
            some=REFILL_ZSTD,
            share=0.33,
        ),
        Part(
            "short sequences",
            "a sequence",
            "zstd_blocks.cuh",
            "if (lane < both) f.dst[o.op + lane] = byte;",
            1,
            some=PERIOD_ZSTD,
            share=0.25,
        ),
        Part(
            "long sequences",
            "a sequence",
            "zstd_blocks.cuh",
            "gz_match(f.dst, o.op + literals",
            1,
            at="if (lane < both) f.dst[o.op + lane] = byte;",
            through=COPY,
        ),
    ),
    ("zstd.cu", "nobody uses what the block before left", 64),
    ("zstd_blocks.cuh", "if (!__syncthreads_or(status)) return GZ_OK;", 64),
    lambda data: bytes(numcodecs.zstd.compress(data, 3)),
)
REFILL_DEFLATE = (
    "const gz_u64 word = (gz_u64)ahead << have;",
    "high |= (gz_u32)(word >> 32);",
    "at < size && size - at >= 4",
)
ENDS = ("word |= (gz_u32)input[at + k]", "for (gz_u32 k = 0; at + k < size; ++k)")
RARE = ("const gz_u32 value = __brev(bits.low)", "if (value < end[n]) {", "n <= GZ_DEFLATE_LONGEST; ++n)", *ENDS)
DEFLATE = Decoder(
    "deflate",
    "gz_deflate",
    (np.uint32(1),),
    (
        Part("counting lengths", "a symbol", "deflate_tables.cuh", "count += length[i] == lane;", 0, prepare=True),
        Part(
            "sorting symbols",
            "a symbol",
            "deflate_tables.cuh",
            "if (length[i] == lane) sorted[next++]",
            0,
            prepare=True,
        ),
        Part(
            "a code's table",
            "32 entries",
            "deflate_tables.cuh",
            "table[__brev(i) >> (32 - BITS)] = (gz_u16)(sorted",
            0,
            prepare=True,
        ),
        Part(
            "reading lengths",
            "a length",
            "deflate.cu",
            "before = length;",
            0,
            1,
            True,
            seldom=RARE,
            at="if (length > 15 || times > n - i) return GZ_FORMAT;",
            some=REFILL_DEFLATE,
            share=0.15,
        ),
        Part(
            "reading literals",
            "a literal",
            "deflate.cu",
            "batch.literal[literals++] =",
            0,
            1,
            seldom=RARE,
            some=REFILL_DEFLATE,
            share=0.25,
        ),
        Part(
            "reading matches",
            "a match",
            "deflate.cu",
            "batch.sequence[count++] = (literals - from) << 24 | length",
            0,
            1,
            seldom=RARE,
            some=REFILL_DEFLATE,
            share=0.35,
        ),
        Part(
            "short sequences",
            "a sequence",
            "deflate.cu",
            "f.dst[op + lane] = (gz_i32)from < 0",
            1,
            some=PERIOD_DEFLATE,
            share=0.25,
        ),
        Part(
            "long sequences",
            "a sequence",
            "deflate.cu",
            "if (length) gz_match(",
            1,
            at="f.dst[op + lane] = (gz_i32)from < 0",
            through=COPY,
        ),
    ),
    ("deflate.cu", "wrong = gz_deflate_begin(f, s, batch);", 32),
    ("deflate.cu", "if (!__syncthreads_or(status)) return GZ_OK;", 64),
    lambda data: zlib.compress(data, 6),
)
DECODERS = (ZSTD, DEFLATE)
