"""LZ4, BloscLZ and Snappy in plain Python: what kernels must say of a stream, to the status, and what libraries say.

The models are written from the formats' descriptions, a byte at a time; the libraries (liblz4 and c-blosc in numcodecs,
Snappy in cramjam) vouch for them, and both for the kernels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import cramjam
import numcodecs.blosc
import numcodecs.lz4

OK, TRUNCATED, OVERFLOW, OFFSET, SIZE, FORMAT = range(6)  # kernels/common.cuh, gz_status
MOST = 2**31 - 1  # bytes of a stream or its output

Seen = set[tuple[object, ...]]  # which of a format's cases a stream held


class WrongError(Exception):
    """The stream is not what it should be; `status` says how."""

    def __init__(self, status: int) -> None:
        self.status = status


def need(condition: bool, status: int) -> None:
    if not condition:
        raise WrongError(status)


def log(n: int) -> int:
    return n.bit_length() if n > 4 else n


def repeat(out: bytearray, offset: int, length: int, seen: Seen) -> None:
    """What an LZ match does: bytes from `offset` before the end, over and over where it overlaps itself."""
    seen.add(("match", log(length), min(log(offset), 12), offset < length, len(out) == offset))
    period = bytes(out[len(out) - offset :])
    out += (period * (length // offset + 1))[:length]


# ---- the formats ---------------------------------------------------------------------------------------------


def chain(data: bytes, at: int, length: int, seen: Seen) -> tuple[int, int]:
    """Bytes up to and with the first that is not 255, added to `length`."""
    start = at
    while True:
        need(at < len(data), TRUNCATED)
        at += 1
        length += data[at - 1]
        if data[at - 1] != 255:
            seen.add(("chain", log(at - start), data[at - 1] == 0))
            return at, length


def lz4(data: bytes, room: int, seen: Seen) -> bytes:
    """LZ4_decompress_safe for an output of exactly `room` bytes. The header of lz4.cu tells the rules."""
    out = bytearray()
    at = 0
    while True:
        need(at < len(data), TRUNCATED)
        token = data[at]
        at += 1
        literals, length = token >> 4, (token & 15) + 4
        inner = literals < 15 and len(data) - at >= 17 and room - len(out) >= 32
        if literals == 15:
            at, literals = chain(data, at, literals, seen)
        left, space = len(data) - at, room - len(out)
        if not inner:
            need(literals <= left, TRUNCATED)
            need(literals <= space, OVERFLOW)
            if literals < left:
                need(space - literals >= 12, FORMAT)
                need(left - literals >= 8, TRUNCATED)
        out += data[at : at + literals]
        at += literals
        seen.add(("sequence", inner, log(literals), at == len(data), min(space - literals, 13)))
        if at == len(data):
            need(len(out) == room, SIZE)
            need(room > 0 or token == 0, FORMAT)
            return bytes(out)
        offset = data[at] | data[at + 1] << 8
        at += 2
        anywhere = inner and length < 19 and offset >= 8
        if length == 19:
            at, length = chain(data, at, length, seen)
        need(offset <= len(out), OFFSET)
        need(length <= room - len(out), OVERFLOW)
        need(anywhere or room - len(out) - length >= 5, FORMAT)
        seen.add(("end", anywhere, min(room - len(out) - length, 6)))
        if offset:
            repeat(out, offset, length, seen)
        else:
            seen.add(("zeros", log(length)))
            out += bytes(length)


def blosclz(data: bytes, room: int, seen: Seen) -> bytes:
    """blosclz_decompress, where Blosc expects `room` bytes. The header of blosclz.cu tells the rules."""
    out = bytearray()
    at = 0
    while at < len(data):
        control = data[at] if at else data[at] & 31
        seen.add(("control", control >> 5, at == 0 and data[0] >> 5))
        at += 1
        if control < 32:
            need(control + 1 <= room - len(out), OVERFLOW)
            need(control + 1 <= len(data) - at, TRUNCATED)
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length, distance = (control >> 5) + 2, (control & 31) * 256
        if length == 9:
            at, length = chain(data, at, length, seen)
        need(len(data) - at >= 2, TRUNCATED)
        distance += data[at] + 1
        at += 1
        if distance == 8192:
            need(len(data) - at >= 3, TRUNCATED)
            distance += data[at] * 256 + data[at + 1]
            at += 2
            seen.add(("far",))
        need(length <= room - len(out), OVERFLOW)
        need(distance <= len(out), OFFSET)
        repeat(out, distance, length, seen)
    need(len(out) == room, SIZE)
    return bytes(out)


def snappy_size(data: bytes) -> tuple[int, int]:
    """The decoded size that a Snappy stream begins with, and the position behind it."""
    size = 0
    for k in range(5):
        need(k < len(data), TRUNCATED)
        need(k < 4 or data[k] < 16, FORMAT)
        size |= (data[k] & 127) << 7 * k
        if data[k] < 128:
            break
    return size, k + 1


def snappy(data: bytes, room: int, seen: Seen) -> bytes:
    """Raw Snappy that says it decodes to `room` bytes, and does (google/snappy, format_description.txt)."""
    size, at = snappy_size(data)
    seen.add(("preamble", at))
    need(size <= room, OVERFLOW)
    need(size == room, SIZE)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, high = tag & 3, tag >> 2
        extra = (max(high - 59, 0), 1, 2, 4)[kind]
        need(len(data) - at >= extra, TRUNCATED)
        number = int.from_bytes(data[at : at + extra], "little")
        at += extra
        if kind == 0:
            literals = (number if extra else high) + 1
            seen.add(("literals", extra, log(literals)))
            need(literals <= len(data) - at, TRUNCATED)
            need(literals <= room - len(out), OVERFLOW)
            out += data[at : at + literals]
            at += literals
            continue
        length, offset = ((high & 7) + 4, (tag >> 5) * 256 + number) if kind == 1 else (high + 1, number)
        seen.add(("copy", kind))
        need(1 <= offset <= len(out), OFFSET)
        need(length <= room - len(out), OVERFLOW)
        repeat(out, offset, length, seen)
    need(len(out) == room, SIZE)
    return bytes(out)


# ---- the libraries -------------------------------------------------------------------------------------------


def liblz4(data: bytes, room: int) -> bytes | None:
    try:
        return bytes(numcodecs.lz4.decompress(struct.pack("<I", room) + data))
    except RuntimeError:
        return None


def boxed(data: bytes, room: int) -> bytes:
    """A Blosc container of one block of one stream of BloscLZ."""
    return struct.pack("<4B5i", 2, 1, 0x10, 1, room, room, 24 + len(data), 20, len(data)) + data


def cblosc(data: bytes, room: int) -> bytes | None:
    try:
        return bytes(numcodecs.blosc.decompress(boxed(data, room)))
    except RuntimeError:
        return None


def ends_short(data: bytes) -> bool:
    """Whether a literal with a length of its own begins less than four bytes before the end."""
    try:
        at = snappy_size(data)[1]
    except WrongError:
        return False
    while at < len(data):
        kind, high = data[at] & 3, data[at] >> 2
        extra = (max(high - 59, 0), 1, 2, 4)[kind]
        at += 1
        if kind == 0 and extra and len(data) - at < 4:
            return True
        number = int.from_bytes(data[at : at + extra], "little")
        at += extra + ((number if extra else high) + 1 if kind == 0 else 0)
    return False


def libsnappy(data: bytes, room: int) -> bytes | None:
    try:
        if snappy_size(data)[0] != room:  # what it says is what the library would take memory for
            return None
        return bytes(cramjam.snappy.decompress_raw(data))
    except (WrongError, cramjam.DecompressionError):
        return None


@dataclass(frozen=True)
class Format:
    name: str
    model: Callable[[bytes, int, Seen], bytes]
    library: Callable[[bytes, int], bytes | None]  # None: refused

    @property
    def kernel(self) -> str:
        return f"gz_{self.name}"

    def outcome(self, data: bytes, room: int, seen: Seen | None = None) -> tuple[int, bytes]:
        """The status that the kernel must give, and the bytes where it is OK."""
        try:
            return OK, self.model(data, room, set() if seen is None else seen)
        except WrongError as wrong:
            return wrong.status, b""

    def comparable(self, data: bytes, room: int) -> bool:
        """Whether the library can be asked.

        Not for no output; Blosc takes a stream as large as its output for raw; and the Rust library behind cramjam
        wants four bytes behind the tag of a literal whose length has any of its own (Google's does not).
        """
        if self.name == "snappy":
            return room > 0 and not ends_short(data)
        return room > 0 and (self.name != "blosclz" or len(data) != room)


LZ4 = Format("lz4", lz4, liblz4)
BLOSCLZ = Format("blosclz", blosclz, cblosc)
SNAPPY = Format("snappy", snappy, libsnappy)
FORMATS = (LZ4, BLOSCLZ, SNAPPY)
