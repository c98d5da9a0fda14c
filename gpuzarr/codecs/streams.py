"""Streams of members (gzip, zlib, bzip2, xz), decoded in steps: no member decides how much memory is taken.

Later members are fed in windows that begin small, because a decoder copies what it was given too much of: a stream
of many tiny members must not cost the square of its length.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from gpuzarr.codecs.base import Buffer, bad_size
from gpuzarr.errors import CodecError

__all__ = ["FIRST", "LARGEST", "Decompressor", "unpack"]

FIRST, LARGEST = 64, 64 << 10
"""Bytes of the first window of a later member, and of the largest."""


class Decompressor(Protocol):
    """What zlib, bz2 and lzma of the standard library have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


def unpack(
    make: Callable[[], Decompressor],
    data: Buffer,
    size: int | None,
    limit: int,
    into: memoryview | None,
    codec: str,
    next_at: Callable[[memoryview], int | None] = lambda rest: 0,
) -> Buffer:
    """Decode a stream to exactly `size` bytes where known, never more than `limit`; into `into` if given.

    `next_at` tells from what follows a member where in that another one begins, or None where it has none. Raises
    CodecError.
    """
    parts = _parts(make, memoryview(data).cast("B"), limit if size is None else size, codec, next_at)
    if size is None:
        return b"".join(parts)
    out = np.empty(size, np.uint8).data if into is None else into
    at = 0
    for part in parts:
        out[at : at + len(part)] = part
        at += len(part)
    if at != size:
        raise bad_size(codec, at, size)
    return out


def _parts(
    make: Callable[[], Decompressor],
    data: memoryview,
    most: int,
    codec: str,
    next_at: Callable[[memoryview], int | None],
) -> Iterator[bytes]:
    """What the members decode to, part by part, `most` bytes in all."""
    at, left = 0, most
    while True:
        member, width = make(), FIRST if at else LARGEST
        while not member.eof:
            window = data[at : at + width]
            if not len(window):
                raise CodecError("the stream is cut off", codec=codec, direction="decode")
            try:
                part = member.decompress(window, left + 1)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise CodecError(str(error), codec=codec, direction="decode") from error
            left -= len(part)
            if left < 0:
                raise bad_size(codec, f"more than {most}", most)
            yield part
            at += len(window)
            width = min(2 * width, LARGEST)
        at -= len(member.unused_data)
        skipped = next_at(data[at:]) if at < len(data) else None
        if skipped is None:
            return
        at += skipped
