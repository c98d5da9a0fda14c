"""nvCOMP for the simulated device: CPU libraries decode, under nvCOMP's rules, which are enforced.

What a caller must not do (misaligned or overlapping memory, too little of it, streams whose headers already tell
that nvCOMP can't take them) raises. What a caller can't know (bytes damaged deep inside a stream) has nvCOMP's
"undefined behavior": garbage within the room, and a status that may well be success.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.frames import LARGEST, gzip_members, snappy_blocks, zstd_frames
from gpuzarr.cuda.nvcomp import ALIGNMENTS, CANNOT_DECOMPRESS, FORMATS, DecodeCall
from gpuzarr.cuda.streams import WORDS, Frames, Problem
from gpuzarr.errors import DeviceError
from gpuzarr.forks import module

__all__ = ["SimulatedNvcomp"]

Bytes = NDArray[np.uint8]

SCRIBBLE, SCRIBBLED = 0x5A, 1 << 20
"""What the beginning of temporary memory is full of after a call."""


class SimulatedNvcomp:
    """nvCOMP by CPU libraries.

    Parameters
    ----------
    memory
        Gives a view of so many bytes at an address of the device, or raises where there are none.
    wrote
        Is told the address and number of bytes written, for those who keep account.
    seed
        Of what damaged streams decode to.
    honest
        Whether damaged streams are always told by a status or by the size found, as they are by decoders that look.
        False: they may also decode to as many bytes as there is room, which only a checksum finds out.
    alignments
        Bytes to which sources, targets and temporary memory have to be aligned, by codec.
    """

    title = "nvCOMP (simulated)"

    def __init__(
        self,
        memory: Callable[[int, int], Bytes],
        *,
        wrote: Callable[[int, int], None] | None = None,
        seed: int = 0,
        honest: bool = True,
        alignments: Mapping[str, tuple[int, int, int]] = ALIGNMENTS,
    ) -> None:
        self._memory, self._wrote = memory, wrote
        self._random, self._honest = np.random.default_rng(seed), honest
        self._alignments = alignments

    @property
    def codecs(self) -> frozenset[str]:
        return frozenset(FORMATS)

    def describe(self) -> str:
        return f"{self.title}: CPU libraries under its rules"

    def why_not(self, codec: str) -> str | None:
        return None if codec in FORMATS else f"nvCOMP has no {codec}"

    def alignment(self, codec: str) -> tuple[int, int]:
        return self._alignments[codec][:2]

    def temp_bytes(self, codec: str, n: int, most: int, total: int) -> int:
        """No less than the library itself asks for."""
        return 8192 * n + 4 * min(total, n * most) if codec == "zstd" else 0

    def decode(self, call: DecodeCall, stream: int) -> None:
        """Decode at once. Raises DeviceError for calls that break the rules."""
        if self.why_not(call.codec):
            raise DeviceError(f"nvCOMP has no {call.codec}", kernel="nvCOMP")
        columns = [self._column(call, getattr(call, name)) for name in ("src", "size", "dst", "room")]
        self._check_limits(call, *columns)
        self._check_places(call, *columns)
        temp = self._memory(call.temp, call.temp_bytes) if call.temp_bytes else np.zeros(0, np.uint8)
        temp[:SCRIBBLED] = SCRIBBLE
        found, status = np.zeros(call.n, np.uint64), np.zeros(call.n, np.int32)
        for row, (src, size, dst, room) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            part, found[row], status[row] = self._stream(call.codec, self._memory(src, size), room)
            self._write(dst, part)
        self._write(call.found, found.view(np.uint8))
        self._write(call.status, status.view(np.uint8))

    # -- the rules -------------------------------------------------------------------------------------------------

    def _column(self, call: DecodeCall, address: int) -> NDArray[np.uint64]:
        self._aligned(call, "a column", address, 8)
        return self._memory(address, 8 * call.n).copy().view(np.uint64)

    def _aligned(self, call: DecodeCall, what: str, address: int, alignment: int) -> None:
        if address % alignment:
            raise _broken(call, f"{what} at {address:#x} is not aligned to {alignment} bytes")

    def _check_limits(
        self,
        call: DecodeCall,
        src: NDArray[np.uint64],
        size: NDArray[np.uint64],
        dst: NDArray[np.uint64],
        room: NDArray[np.uint64],
    ) -> None:
        most, total = int(room.max(initial=0)), sum(room.tolist())
        if call.most < most or call.total < total:
            said = f"{call.most} bytes of a stream and {call.total} in all are said"
            raise _broken(call, f"{said}, {most} and {total} are there")
        if max(most, int(size.max(initial=0))) > LARGEST[call.codec]:
            raise _broken(call, f"a stream of more than {LARGEST[call.codec]} bytes")
        need = self.temp_bytes(call.codec, call.n, call.most, call.total)
        if call.temp_bytes < need:
            raise _broken(call, f"{call.temp_bytes} bytes of temporary memory, {need} are needed")
        low, high, temp = self._alignments[call.codec]
        for what, addresses, alignment in (("a source", src, low), ("a target", dst, high)):
            self._aligned(call, what, int(np.bitwise_or.reduce(addresses, initial=np.uint64(0))), alignment)
        self._aligned(call, "temporary memory", call.temp if call.temp_bytes else 0, temp)
        self._aligned(call, "the sizes found", call.found, 8)
        self._aligned(call, "the statuses", call.status, 4)

    def _check_places(
        self,
        call: DecodeCall,
        src: NDArray[np.uint64],
        size: NDArray[np.uint64],
        dst: NDArray[np.uint64],
        room: NDArray[np.uint64],
    ) -> None:
        """What is written overlaps nothing else of the call."""
        n, columns = call.n, (call.src, call.size, call.dst, call.room)
        written = [(call.temp, call.temp_bytes), (call.found, 8 * n), (call.status, 4 * n)]
        read = [(at, 8 * n) for at in columns]
        places = [
            *((at, nbytes, True) for at, nbytes in (*written, *zip(dst.tolist(), room.tolist(), strict=True))),
            *((at, nbytes, False) for at, nbytes in (*read, *zip(src.tolist(), size.tolist(), strict=True))),
        ]
        end = last_written = 0
        for at, nbytes, is_written in sorted(place for place in places if place[1]):
            if at < (end if is_written else last_written):
                raise _broken(call, f"memory at {at:#x} that overlaps other memory of the call")
            end = max(end, at + nbytes)
            last_written = max(last_written, at + nbytes * is_written)

    def _write(self, address: int, data: NDArray[np.uint8]) -> None:
        if data.size:
            self._memory(address, data.size)[...] = data
            if self._wrote is not None:
                self._wrote(address, data.size)

    # -- the streams -----------------------------------------------------------------------------------------------

    def _stream(self, codec: str, data: Bytes, room: int) -> tuple[Bytes, int, int]:
        """What is written for a stream, the size found, and its status."""
        out = DECODERS[codec](data, room)
        if out is None:
            return self._garbage(room)
        if len(out) > room:
            return np.frombuffer(out[:room], np.uint8), room, CANNOT_DECOMPRESS
        return np.frombuffer(out, np.uint8), len(out), 0

    def _garbage(self, room: int) -> tuple[Bytes, int, int]:
        part = self._random.integers(0, 256, int(self._random.integers(0, room + 1)), np.uint8)
        outcome = self._random.integers(0, 3 if self._honest else 5)
        if outcome == 0:
            return part, len(part), CANNOT_DECOMPRESS
        if outcome < 3:
            return part, int(self._random.choice([0, max(room - 1, 0), room + 1])), 0
        return self._random.integers(0, 256, room, np.uint8), room, 0


def _broken(call: DecodeCall, what: str) -> DeviceError:
    return DeviceError(what, kernel=f"nvCOMP {call.codec}")


def _looked_at(codec: str, found: Frames) -> None:
    """Streams that are refused by their headers are none for nvCOMP: whoever calls has to have looked."""
    why = found.why_not(0)
    if why is None and len(found.streams) != 1:
        why = "it has several frames"
    if why is None and found.streams.odd[0]:
        why = WORDS[Problem(int(found.streams.odd[0]))]
    if why is not None:
        raise DeviceError(f"a stream that is none for nvCOMP: {why}", kernel=f"nvCOMP {codec}")


def _only_row(data: Bytes, room: int) -> tuple[Bytes, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return data, np.zeros(1, np.int64), np.array([data.size], np.int64), np.array([room], np.int64)


def _zstd(data: Bytes, room: int) -> bytes | None:
    found = zstd_frames(*_only_row(data, room))
    _looked_at("zstd", found)
    frame = data[int(found.streams.source[0]) :][: int(found.streams.size[0])]
    try:
        return bytes(module("numcodecs.zstd").decompress(frame.tobytes()))
    except RuntimeError:
        return None


def _gzip(data: Bytes, room: int) -> bytes | None:
    found = gzip_members(*_only_row(data, room))
    _looked_at("gzip", found)
    return _deflate(data[int(found.streams.source[0]) :], room)


def _deflate(data: Bytes, room: int) -> bytes | None:
    inflate = zlib.decompressobj(-15)
    try:
        out = inflate.decompress(data.tobytes(), room + 1)
    except zlib.error:
        return None
    return out if inflate.eof or len(out) > room else None


def _lz4(data: Bytes, room: int) -> bytes | None:
    try:
        return bytes(module("numcodecs.lz4").decompress(struct.pack("<i", room) + data.tobytes()))
    except RuntimeError:
        return None


def _snappy(data: Bytes, room: int) -> bytes | None:
    """Raw Snappy (google/snappy, format_description.txt)."""
    _looked_at("snappy", snappy_blocks(*_only_row(data, room)))
    raw, out = data.tobytes(), bytearray()
    at = next(k for k, byte in enumerate(raw) if byte < 128) + 1
    while at < len(raw) and len(out) <= room:
        tag, extra = raw[at], 0
        length = (tag >> 2) + 1
        if tag & 3 == 0:
            extra = max(length - 60, 0)
            length = int.from_bytes(raw[at + 1 : at + 1 + extra], "little") + 1 if extra else length
            at += 1 + extra
            out += raw[at : at + length]
            at += length
            if at > len(raw):
                return None
            continue
        if tag & 3 == 1:
            length, extra = (tag >> 2 & 7) + 4, 1
        else:
            extra = 2 if tag & 3 == 2 else 4
        back = int.from_bytes(raw[at + 1 : at + 1 + extra], "little") | (tag >> 5 << 8 if tag & 3 == 1 else 0)
        at += 1 + extra
        if at > len(raw) or not 0 < back <= len(out):
            return None
        out += (out[-back:] * (length // back + 1))[:length] if back < length else out[-back : len(out) - back + length]
    return bytes(out) if len(out) >= room else None


Decoder = Callable[[Bytes, int], bytes | None]

DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {"zstd": _zstd, "gzip": _gzip, "deflate": _deflate, "snappy": _snappy, "lz4": _lz4}
)
"""What a stream decodes to, a byte too many where it is more than `room`; None for a damaged one."""
