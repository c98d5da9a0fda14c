"""Who decodes compressed streams on a device: kernels of our own and nvCOMP, as two implementations of one stage.

nvCOMP calls corrupt input "undefined behavior", verifies no checksum of a zstd frame, and has limits; our kernels look
at every byte. A stream that the one does not take goes to the other, so that the host gets only what neither takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda import launch
from gpuzarr.cuda.nvcomp import Nvcomp
from gpuzarr.cuda.program import INPUT, Builder, Places, Share
from gpuzarr.cuda.streams import WORDS, Check, Column, Problem, Streams, mark
from gpuzarr.cuda.zstd_blocks import zstd_blocks

__all__ = ["DECODERS", "Asked", "Decoder", "Way", "asked_of", "way_of"]

Bytes = NDArray[np.uint8]

Asked = Literal["auto", "own", "nvcomp"]
"""Which decodes a compressor's streams: the table's choice; our kernel alone; nvCOMP, where it is and takes them."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Our kernel for the streams of a compressor, nvCOMP's name of them, and which goes first where both are there.

    `framing` is what the kernel is told of the bytes around a stream, if it looks at them.
    """

    own: str
    nvcomp: str | None
    first: Literal["own", "nvcomp"]
    framing: int | None = None


DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "blosclz": Decoder("gz_blosclz", None, "own"),
        "lz4": Decoder("gz_lz4", None, "own"),
        "snappy": Decoder("gz_snappy", None, "own"),
        "zstd": Decoder("gz_zstd", "zstd", "nvcomp"),
        "gzip": Decoder("gz_deflate", "deflate", "nvcomp", framing=2),
        "zlib": Decoder("gz_deflate", "deflate", "nvcomp", framing=1),
    }
)
"""By compressor, those inside of Blosc too. The one place that says which implementation is the default."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the streams of a compressor are decoded, chosen once: by `nvcomp` those it takes, by `own` the others.

    `nvcomp` is None where our kernel decodes all; `why` says why it is this one, if there is something to say.
    """

    codec: str
    own: str
    nvcomp: Nvcomp | None
    why: str | None

    @property
    def code(self) -> str:
        """Whose code decodes, if nothing is odd about a stream."""
        return "own kernel" if self.nvcomp is None else self.nvcomp.title

    def add(self, b: Builder, slab: Bytes, streams: Streams, dst: Places, rows: Column) -> None:
        """Add the decoding of a slab's streams to `dst`, for these rows of a window: a launch of each kernel at most,
        and one for the checksums of what nvCOMP decodes, which our kernels verify themselves."""
        odd = self._odd(b, streams)
        ours, theirs = np.flatnonzero(odd != Problem.NONE), np.flatnonzero(odd == Problem.NONE)
        if self.nvcomp is None:
            ours, theirs = theirs, ours
        self._nvcomp(b, streams.take(theirs), dst.take(theirs), rows[theirs])
        self._own(b, slab, streams.take(ours), dst.take(ours), rows[ours])
        self._tell(b, odd)

    def _odd(self, b: Builder, streams: Streams) -> NDArray[np.int8]:
        """Why nvCOMP is not to have a stream; nothing where it is, and where there is no choice."""
        if self.nvcomp is None or not len(streams):
            return np.zeros(len(streams), np.int8)
        odd, name = streams.odd.copy(), str(DECODERS[self.codec].nvcomp)
        for room in np.unique(streams.room)[::-1].tolist():
            if self.nvcomp.temp_bytes(name, 1, room, room) <= b.temp:
                break
            mark(odd, streams.room == room, Problem.MEMORY)
        return odd

    def _own(self, b: Builder, slab: Bytes, streams: Streams, dst: Places, rows: Column) -> None:
        if self.codec == "zstd" and len(streams):
            several, blocks = zstd_blocks(slab, streams.source, streams.size, streams.room)
            part = streams.take(several)
            src = Places.at(INPUT, part.source)
            launch.zstd(b, blocks, src, part.size, dst.take(several), part.room, rows[several])
            streams, dst, rows = streams.take(~several), dst.take(~several), rows[~several]
        framing = DECODERS[self.codec].framing
        told = () if framing is None else (np.uint32(framing),)
        src, size = Places.at(INPUT, streams.source - streams.before), streams.before + streams.size + streams.behind
        launch.streams(b, self.own, src, size, dst, streams.room, rows, *told)

    def _nvcomp(self, b: Builder, streams: Streams, dst: Places, rows: Column) -> None:
        if self.nvcomp is None:
            return
        name, src = str(DECODERS[self.codec].nvcomp), Places.at(INPUT, streams.source)
        launch.nvcomp(b, self.nvcomp, name, src, streams.size, dst, streams.room, rows)
        for check in (Check.CRC32, Check.ADLER32):
            has = np.flatnonzero(streams.check == check)
            expected = streams.expected[has].astype(np.int64)
            launch.checksum(b, check.name.lower(), dst.take(has), streams.room[has], expected, rows[has])

    def _tell(self, b: Builder, odd: NDArray[np.int8]) -> None:
        for reason, n in zip(*np.unique(odd, return_counts=True), strict=True):
            if reason == Problem.NONE:
                b.tell(Share(self.codec, self.code, self.why, int(n)))
            else:
                b.tell(Share(self.codec, "own kernel", WORDS[Problem(int(reason))], int(n)))


def way_of(codec: str, nvcomp: Nvcomp | None, asked: Asked) -> Way:
    """How a compressor is decoded with the nvCOMP that there is, if any."""
    decoder = DECODERS[codec]
    if decoder.nvcomp is None:
        return Way(codec, decoder.own, None, None)
    if asked == "own":
        return Way(codec, decoder.own, None, "asked for")
    if asked == "auto" and decoder.first == "own":
        return Way(codec, decoder.own, None, None)
    why_not = "nvCOMP is not there" if nvcomp is None else nvcomp.why_not(decoder.nvcomp)
    if why_not is None:
        return Way(codec, decoder.own, nvcomp, None if asked == "auto" else "asked for")
    return Way(codec, decoder.own, None, why_not)


def asked_of(codecs: Any) -> dict[str, Asked]:
    """What `Executor(codecs=)` asks for, by compressor. Raises ValueError for what is not there.

    >>> asked_of({"zstd": "own"})
    {'zstd': 'own'}
    """
    if isinstance(codecs, str):
        return dict.fromkeys(DECODERS, _word(codecs))
    if not isinstance(codecs, Mapping):
        raise ValueError(f'codecs must be "auto", "own", "nvcomp", or such a word by compressor, not {codecs!r}')
    found = {}
    for name, word in codecs.items():
        if name not in DECODERS:
            raise ValueError(f"codecs: {name!r} is none of {', '.join(DECODERS)}")
        if _word(word) == "nvcomp" and DECODERS[name].nvcomp is None:
            raise ValueError(f"codecs: {name} is decoded by a kernel of our own only")
        found[name] = _word(word)
    return found


def _word(word: Any) -> Asked:
    if word not in get_args(Asked):
        raise ValueError(f'codecs: {word!r} is none of "auto", "own", "nvcomp"')
    found: Asked = word
    return found
