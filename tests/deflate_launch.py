"""Launches the DEFLATE kernel on the emulator: streams in one framing in, statuses and bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import zstd_launch
from deflate_streams import Stream, disagreement
from lz_launch import ORDERS, Order

from gpuzarr.testing.emulator import Emulator, load, source_folder

__all__ = ["ORDERS", "THREADS", "Order", "decode", "disagreements", "emulator"]

THREADS = 64


def emulator(mode: Literal["fast", "check", "cover"]) -> Emulator:
    return load(mode, sources=[source_folder() / "deflate.cu"])


def decode(emu: Emulator, framing: int, streams: Sequence[Stream], **how: Any) -> list[tuple[int, bytes]]:
    """Each stream's status and its output, as `zstd_launch.decode` gives those of frames."""
    return zstd_launch.decode(emu, streams, kernel="gz_deflate", lead=[np.uint32(framing)], **how)


def disagreements(framing: int, streams: Sequence[Stream], got: Sequence[tuple[int, bytes]]) -> list[str]:
    found = (disagreement(stream, framing, each) for stream, each in zip(streams, got, strict=True))
    return [wrong for wrong in found if wrong]
