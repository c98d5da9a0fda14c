"""`zstd`: Zstandard frames (RFC 8878; Zarr 3 codec `zstd`, numcodecs `zstd`).

numcodecs decodes one frame of known size into the buffer it is given. Whatever else the format allows (no content
size, several frames, skippable frames) is walked block by block first, so that no header is trusted with memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, unknown_members
from gpuzarr.errors import CodecError, MetadataError
from gpuzarr.forks import module
from gpuzarr.metadata import CodecConfig

__all__ = ["ZstdCodec"]

MAGIC = 0xFD2FB528
SKIPPABLE = 0x184D2A50
MAX_BLOCK = 128 << 10


@dataclass(frozen=True, slots=True)
class ZstdCodec:
    """Zstandard.

    Parameters
    ----------
    level
        -131072 to 22; higher is smaller and slower, 0 is libzstd's default (3).
    checksum
        Whether frames carry a checksum of their content (verified on reading when there).

    >>> codec = ZstdCodec(level=3)
    >>> bytes(codec.decode(codec.encode(b"zarr" * 100), 400, 400)) == b"zarr" * 100
    True
    """

    level: int = 0
    checksum: bool = False

    name = "zstd"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ZstdCodec:
        unknown_members(config, "zstd", {"level", "checksum"})
        checksum = config.get("checksum", False)
        if not isinstance(checksum, bool):
            raise MetadataError(f"zstd: checksum must be true or false, not {checksum!r}", field="codecs")
        level = config_int(config, "zstd", "level", -(2**31), 2**31 - 1, default=0)
        # numcodecs wrote any level into documents, and libzstd takes the nearest that it has
        return cls(max(-131072, min(level, 22)), checksum)

    def to_config(self) -> CodecConfig:
        return CodecConfig("zstd", {"level": self.level, "checksum": self.checksum})

    def bind(self, wire: Wire) -> ZstdCodec:
        return self

    @property
    def native(self) -> NativeOp | None:
        return NativeOp("zstd", (self.level, int(self.checksum)))

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        view = memoryview(data).cast("B")
        frames = list(_frames(view))
        if size is None:
            size = _total(frames, limit)
        out = into if into is not None else np.empty(size, np.uint8).data
        at = 0
        for frame in frames:
            length = frame.content if frame.content is not None else _rest(frames, frame, size - at)
            if length > size - at:
                raise bad_size("zstd", f"more than {size}", size)
            part = out[at : at + length]
            if length or frame.content is None:
                module("numcodecs.zstd").decompress(view[frame.start : frame.stop], part)
            at += length
        if at != size:
            raise bad_size("zstd", at, size)
        return out

    def encode(self, data: Buffer) -> Buffer:
        encoded: bytes = module("numcodecs.zstd").compress(data, self.level, self.checksum)
        return encoded


@dataclass(frozen=True, slots=True)
class _Frame:
    start: int
    stop: int
    content: int | None
    most: int


def _rest(frames: list[_Frame], frame: _Frame, room: int) -> int:
    """The decoded size of a frame that does not tell: what the others leave."""
    later = frames[frames.index(frame) + 1 :]
    if any(f.content is None for f in later):
        raise CodecError("several frames without a content size", codec="zstd", direction="decode")
    length = room - sum(f.content or 0 for f in later)
    if not 0 <= length <= frame.most:
        raise bad_size("zstd", f"at most {frame.most}", length)
    return length


def _total(frames: list[_Frame], limit: int) -> int:
    """The decoded size of frames that all tell it."""
    if any(f.content is None for f in frames):
        reason = "a frame without a content size, where the size is not known"
        raise CodecError(reason, codec="zstd", direction="decode")
    total = sum(f.content or 0 for f in frames)
    if total > limit:
        raise bad_size("zstd", total, limit)
    return total


def _frames(data: memoryview) -> Iterator[_Frame]:
    """The frames of a stream (RFC 8878 section 3.1), found without decoding; skippable ones are left out."""
    at = 0
    try:
        while at < len(data):
            magic = int.from_bytes(data[at : at + 4], "little")
            if magic & 0xFFFFFFF0 == SKIPPABLE and at + 8 <= len(data):
                at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            elif magic == MAGIC:
                frame = _frame(data, at)
                yield frame
                at = frame.stop
            else:
                raise CodecError(f"no frame at byte {at}", codec="zstd", direction="decode")
    except IndexError:
        at = len(data) + 1
    if at != len(data) or at == 0:
        raise CodecError("the stream is cut off", codec="zstd", direction="decode")


def _frame(data: memoryview, start: int) -> _Frame:
    flags = data[start + 4]
    single = flags >> 5 & 1
    at = start + 5 + (1 - single)
    width = (0, 1, 2, 4)[flags & 3]
    if width and int.from_bytes(data[at : at + width], "little"):
        raise CodecError("a frame that needs a dictionary", codec="zstd", direction="decode")
    at += width
    width = (single, 2, 4, 8)[flags >> 6]
    content = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0) if width else None
    at += width
    most, last = 0, 0
    while not last:
        header = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        most += size if kind < 2 else MAX_BLOCK
        at += 3 + (1 if kind == 1 else size)
    return _Frame(start, at + 4 * (flags >> 2 & 1), content, most)
