"""A grey picture of a slice, as PNG, with nothing but zlib.

Format: W3C Portable Network Graphics (Second Edition), sections 5 (chunks), 9 (filter type 0) and 11.2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["grey", "middle", "picture", "png"]

LONG_SIDE = 512
"""Pixels: smaller slices are enlarged by a whole factor up to this, larger ones thinned to twice it."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode 8-bit grey `pixels`, (height, width), as a PNG file.

    >>> png(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(f"a picture needs (height, width) uint8, not {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), np.uint8)  # the first byte of a line is its filter type: 0, none
    lines[:, 1:] = pixels
    # After the size: 8 bits, grey, deflate, the standard filters, not interlaced.
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(kind, body) for kind, body in parts)


def _part(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def grey(values: NDArray[Any], low: float = 1.0, high: float = 99.0) -> NDArray[np.uint8]:
    """Stretch `values` to 0..255 between two of their percentiles; what is not finite becomes black.

    >>> grey(np.array([[0, 50, 100]]), low=0, high=100).tolist()
    [[0, 128, 255]]
    """
    real = np.abs(values) if np.iscomplexobj(values) else values
    bright = np.asarray(real, np.float64)
    finite = np.isfinite(bright)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    dark, light = np.percentile(bright[finite], (low, high))
    if light <= dark:  # a flat background with little on it: the percentiles meet, the extremes may not
        dark, light = bright[finite].min(), bright[finite].max()
    # The halves keep the span of the widest float64 values finite.
    span = max(light / 2 - dark / 2, np.finfo(np.float64).tiny)
    share = (np.where(finite, bright, dark) / 2 - dark / 2) / span
    shades: NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return shades


def middle(shape: Sequence[int], names: Sequence[str | None] | None = None) -> tuple[slice | int, ...]:
    """The selection of the slice to draw: two whole axes, the middle of all others.

    The axes are those named x and y where there are such, else the two longest.

    >>> middle((10, 200, 100))
    (5, slice(None, None, None), slice(None, None, None))
    """
    if len(shape) < 2:
        raise ValueError("a picture needs two dimensions")
    longest = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
    known = [axis for axis, name in enumerate(names or ()) if name in ("x", "y")]
    shown = known if len(known) == 2 else longest
    return tuple(slice(None) if axis in shown else n // 2 for axis, n in enumerate(shape))


def picture(values: NDArray[Any], upright: bool = False) -> bytes:
    """The PNG of a two-dimensional slice; `upright`: (x, y) with y pointing up, as NIfTI stores it."""
    pixels = grey(values)
    if upright:
        pixels = pixels.T[::-1]
    thin = -(-max(pixels.shape) // (2 * LONG_SIDE))
    pixels = pixels[::thin, ::thin]
    times = max(1, LONG_SIDE // max(pixels.shape))
    return png(np.repeat(np.repeat(pixels, times, axis=0), times, axis=1))
