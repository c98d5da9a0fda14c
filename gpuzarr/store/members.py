"""Members of a zip archive, read by range out of a file or out of a value of another store.

`zipfile` reads the directory. The bytes of members are read here, because they have to be read by range and from
many threads at once. Nothing that the archive says is believed before it is checked.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Protocol

from gpuzarr.errors import StoreError, UnsupportedError
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, is_key

__all__ = ["FAULTS", "Members", "SourceFile", "ZipSource"]

FAULTS = (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, struct.error)
"""What `zipfile` raises for an archive that it can't read."""

# APPNOTE.TXT 4.3.7: the local file header, up to the name.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"
# 4.4.4: encrypted, compressed patched data, strong encryption.
_UNREADABLE_FLAGS = 0x1 | 0x20 | 0x40
_UTF8_FLAG = 0x800
# Packed bytes that are unpacked at a time: they become 16 MiB at most.
_WINDOW = 16 << 10


class ZipSource(Protocol):
    """Where the bytes of an archive are."""

    def read(self, start: int, length: int) -> Buffer:
        """Up to `length` bytes from `start`: fewer only where the archive ends."""

    def size(self) -> int:
        """Bytes of the archive."""


class SourceFile(io.RawIOBase):
    """A source as a file, for `zipfile` to read the directory from."""

    def __init__(self, source: ZipSource) -> None:
        self._source, self._at, self._size = source, 0, source.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise ValueError("a place before the beginning")
        self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self._source.read(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


class Members:
    """The members of an archive by their keys."""

    def __init__(self) -> None:
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.foreign: list[zipfile.ZipInfo] = []  # members whose names are not keys
        self.sorted: list[str] | None = None
        self.starts: dict[str, int] = {}  # where the bytes of members that were read begin

    def add(self, entries: list[zipfile.ZipInfo]) -> None:
        """Take what the directory lists."""
        for info in entries:
            # As it stands in the archive: zipfile cuts names at a NUL, and turns separators on some systems.
            info.filename = info.orig_filename
            if is_key(info.filename):
                self.members[info.filename] = info
            else:
                self.foreign.append(info)

    def names(self) -> list[str]:
        """All keys, sorted."""
        if self.sorted is None:
            self.sorted = sorted(self.members)
        return self.sorted

    def find(self, key: str) -> zipfile.ZipInfo | None:
        """The member that is the value of `key`."""
        return self.members.get(key)

    def read_member(self, source: ZipSource, key: str, info: zipfile.ZipInfo, range: ByteRange | None) -> Buffer:
        """The bytes of a member, or a part of them. A whole one is checked against its checksum."""
        _check_readable(key, info)
        try:
            start = self.starts.get(key)
            if start is None:
                start = self.starts[key] = _find_data(source, key, info)
            if info.compress_type == zipfile.ZIP_STORED:
                return _read_stored(source, key, info, start, range)
            return _read_deflated(source, key, info, start, range)
        except StoreError:
            raise
        except (OSError, OverflowError, zlib.error) as error:
            raise StoreError(f"can't read the zip member: {error}", key=key) from error


def _check_readable(key: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _UNREADABLE_FLAGS:
        raise UnsupportedError(f"the zip member {key!r} is encrypted or patched", feature="zip encryption")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        feature = f"zip compression method {info.compress_type}"
        raise UnsupportedError(f"the zip member {key!r} is neither stored nor deflated", feature=feature)


def _find_data(source: ZipSource, key: str, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin; `StoreError` unless header, name and bytes are in the file."""
    header = source.read(info.header_offset, _LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size:
        raise StoreError("the zip member lies past the end of the archive", key=key)
    magic, _, flags, *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    name = bytes(source.read(info.header_offset + len(header), name_size))
    # Directory and header may be in different encodings: zipfile turns one into UTF-8 and leaves the other.
    if magic != _LOCAL_MAGIC or name.decode("utf-8" if flags & _UTF8_FLAG else "cp437", "replace") != key:
        raise StoreError("the zip member's own header is not what the directory says", key=key)
    start = int(info.header_offset + len(header) + name_size + extra_size)
    if start + info.compress_size > source.size():
        raise StoreError("the zip member lies past the end of the archive", key=key)
    return start


def _read_stored(source: ZipSource, key: str, info: zipfile.ZipInfo, start: int, range: ByteRange | None) -> Buffer:
    if info.compress_size != info.file_size:
        raise StoreError("the zip member is stored, but its two sizes differ", key=key)
    first, last = (0, info.file_size) if range is None else range.of(info.file_size)
    value = source.read(start + first, last - first)
    if len(value) != last - first:
        raise StoreError("the zip archive was cut off while it was open", key=key)
    if len(value) == info.file_size:
        _check_crc(value, key, info)
    return value


def _read_deflated(source: ZipSource, key: str, info: zipfile.ZipInfo, start: int, range: ByteRange | None) -> Buffer:
    size = info.file_size
    first, last = (0, size) if range is None else range.of(size)
    # At most one byte more than promised is asked for: a member that goes on is refused, not unpacked.
    limit = max(1, size + 1 if last == size else last)
    unpacker, parts = zlib.decompressobj(-zlib.MAX_WBITS), []
    done, taken, crc = 0, 0, 0
    while done < limit and taken < info.compress_size and not unpacker.eof:
        # In windows: what comes before the wanted part, or after it, is not held.
        packed = source.read(start + taken, min(_WINDOW, info.compress_size - taken))
        part = unpacker.decompress(packed, limit - done)
        if done + len(part) > first:
            parts.append(part[max(0, first - done) :])
        done, taken, crc = done + len(part), taken + _WINDOW, zlib.crc32(part, crc)
    if done < last or (last == size and done > size):
        raise StoreError(f"the zip member does not unpack to the {size} bytes that it should", key=key)
    if last == size and crc != info.CRC:
        raise StoreError("the zip member's checksum does not match", key=key)
    value = parts[0] if len(parts) == 1 else b"".join(parts)
    return value if len(value) == last - first else memoryview(value)[: last - first]


def _check_crc(value: Buffer, key: str, info: zipfile.ZipInfo) -> None:
    if zlib.crc32(value) != info.CRC:
        raise StoreError("the zip member's checksum does not match", key=key)
