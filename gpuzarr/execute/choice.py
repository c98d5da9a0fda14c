"""Where the chunks of a read are decoded: on the device, or by the host's threads with one upload of what they decode.

A stream is decoded by one warp from its first byte to its last, so a device is fast by many streams, and slow with a
few huge ones. One table says how fast; it is made of published figures and waits for a device to be measured on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gpuzarr.codecs.base import Stage
from gpuzarr.codecs.chain import Chain
from gpuzarr.cuda.frames import ZSTD_BLOCK
from gpuzarr.execute.work import COST, OTHER

__all__ = ["Choice", "Where", "choose"]

Where = Literal["auto", "device", "host"]


@dataclass(frozen=True, slots=True)
class Speed:
    """Of decoding on a device: nanoseconds a byte in one stream, and bytes a nanosecond (GB/s) of all at most.

    `later`: nanoseconds a byte behind a stream's first 128 KiB, if others; most is done for all blocks at once then.
    """

    stream: float
    most: float
    later: float | None = None

    def of(self, nbytes: int) -> float:
        """Nanoseconds for a stream of so many decoded bytes."""
        first = min(nbytes, ZSTD_BLOCK)
        return first * self.stream + (nbytes - first) * (self.stream if self.later is None else self.later)


OWN = {
    "lz4": Speed(2.0, 100.0),  # 134 GB/s for 1024 x 64 KiB by a kernel like ours on an A40 (czarr, .planning/03)
    "blosclz": Speed(2.0, 100.0),  # as LZ4, whose loop it has
    "snappy": Speed(2.0, 100.0),
    # On paper: 500 cycles for a sequence of 12 bytes, and 400 instructions; 240 cycles of these to do what it says.
    "zstd": Speed(25.0, 25.0, 12.0),
    "gzip": Speed(40.0, 20.0),  # on paper: 100 cycles for a symbol of a byte and a half, and 60 instructions
    "zlib": Speed(40.0, 20.0),
}
"""Of our kernels, by compressor. What is not here (copies, checksums, shuffles) is as fast as memory."""

NVCOMP = {
    "zstd": Speed(20.0, 30.0),  # 0.43 GB/s for 8 frames of 16 MiB on an H200, 25-29 end to end (czarr, bench/results)
    "gzip": Speed(25.0, 15.0),  # nvCOMP's page on choosing an algorithm: DEFLATE decodes slowest of all
    "zlib": Speed(25.0, 15.0),
}
"""Of nvCOMP, by compressor."""

BUS = 25.0
"""Bytes a nanosecond (GB/s) that cross to a device from pinned memory (czarr's measurement on an H100)."""

RATIO = 2.0
"""Decoded bytes of a stored one, which alone crosses where it is decoded on the device; it is not known beforehand."""

LAUNCHES = 100_000.0
"""Nanoseconds that a window costs, however small."""

BLOCK = 256 << 10
"""Bytes of a Blosc block: what most encoders choose for chunks of that size and more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where, and why."""

    on_device: bool
    why: str


def choose(
    chain: Chain, chunks: int, where: Where, threads: int, simulated: bool = False, by_nvcomp: Collection[str] = ()
) -> Choice:
    """Where to decode so many chunks of a bound chain that a device could decode, some compressors `by_nvcomp`.

    A simulated device has no speed: what is wanted of it is that it is used.
    """
    if where != "auto":
        return Choice(where == "device", f'Executor(decode="{where}")')
    if simulated:
        return Choice(True, "a simulated device is there to be used")
    device, host = _device_time(chain, chunks, by_nvcomp), _host_time(chain, chunks, threads)
    figures = f"{device / 1e6:.3g} ms on the device, {host / 1e6:.3g} ms by {threads} threads (estimated)"
    return Choice(device <= host, figures)


def _device_time(chain: Chain, chunks: int, by_nvcomp: Collection[str]) -> float:
    nbytes = chain.elements.nbytes
    time = LAUNCHES + chunks * nbytes / RATIO / BUS
    for stage in chain.stages:
        codec = _compressor(stage)
        speed = (NVCOMP if codec in by_nvcomp else OWN).get(codec)
        if speed is not None:
            stream = min(nbytes, BLOCK) if stage.name == "blosc" else nbytes
            time += max(speed.of(stream), chunks * nbytes / speed.most)
    return time


def _host_time(chain: Chain, chunks: int, threads: int) -> float:
    cost = sum(COST.get(_compressor(stage), OTHER) for stage in chain.stages)
    total = chunks * chain.elements.nbytes
    return LAUNCHES + total / BUS + total * cost / min(threads, max(1, chunks))


def _compressor(stage: Stage) -> str:
    """What compresses: of Blosc, the codec inside."""
    name = str(getattr(stage, "cname", stage.name))
    return "lz4" if name == "lz4hc" else name
