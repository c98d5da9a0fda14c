"""A zip file that is open: its members, read by range, and the new file that will replace it.

`zipfile` reads and writes the directory. The bytes of members are read here, because they have to be read by
range and from many threads at once. Nothing that the archive says is believed before it is checked.
"""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from contextlib import nullcontext, suppress
from itertools import pairwise

from gpuzarr.errors import StoreError, UnsupportedError
from gpuzarr.forks import tell_child
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, is_key, temporary_name
from gpuzarr.store.local import read_at, write_all

__all__ = ["Archive"]

# APPNOTE.TXT 4.3.7: the local file header, up to the name.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"
# 4.4.4: encrypted, compressed patched data, strong encryption.
_UNREADABLE_FLAGS = 0x1 | 0x20 | 0x40
_UTF8_FLAG = 0x800
_BINARY = getattr(os, "O_BINARY", 0)
# Packed bytes that are unpacked at a time: they become 16 MiB at most.
_WINDOW = 16 << 10


class Archive:
    """The open file, its members, and whether it is the new one that is being written."""

    def __init__(self, path: str, mode: str, comment: bytes | None) -> None:
        self.path = path
        self.writes = mode != "r"
        self.changed = mode == "w" or comment is not None
        self.closed = False
        self.lock = threading.RLock()
        tell_child(self)
        self.process = os.getpid()
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.foreign: list[zipfile.ZipInfo] = []  # members whose names are not keys
        self.comment = b""
        self.sorted: list[str] | None = None
        self.starts: dict[str, int] = {}  # where the bytes of members that were read begin
        self.fd = -1
        self.new_path = ""  # of the new file, if that is what is open
        self.headers: set[int] = set()  # where members begin, dead ones too
        self.end = 0  # where the last one ends
        self.dead = 0  # bytes of members that were removed or replaced
        if mode == "r" or (mode == "a" and os.path.exists(path)):
            self.open()
        if comment is not None:
            self.comment = comment

    def forked(self) -> None:
        """In a child the lock may be held by a thread that is not there."""
        self.lock = threading.RLock()

    def open(self) -> None:
        """Read the directory of the archive that is there."""
        try:
            self.fd = os.open(self.path, os.O_RDONLY | _BINARY)
            with os.fdopen(self.fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
                entries, self.comment, self.end = archive.infolist(), archive.comment, archive.start_dir
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, struct.error) as error:
            self.release()
            reason = getattr(error, "strerror", None) or str(error)
            raise StoreError(f"can't open the zip archive {self.path}: {reason}") from error
        for info in entries:
            # As it stands in the archive: zipfile cuts names at a NUL, and turns separators on some systems.
            info.filename = info.orig_filename
            self.headers.add(info.header_offset)
            if is_key(info.filename):
                self.members[info.filename] = info
            else:
                self.foreign.append(info)

    def names(self) -> list[str]:
        """All keys, sorted."""
        with self.lock:
            self.check_open()
            if self.sorted is None:
                self.sorted = sorted(self.members)
            return self.sorted

    def find(self, key: str) -> zipfile.ZipInfo | None:
        """The member that is the value of `key`."""
        self.check_open(key)
        return self.members.get(key)

    def read(self, key: str, range: ByteRange | None) -> Buffer | None:
        """The bytes of a member, or a part of them."""
        # Only a writer exchanges the open file under a reader.
        with self.lock if self.writes else nullcontext():
            info = self.find(key)
            return None if info is None else self.read_member(key, info, range)

    def read_member(self, key: str, info: zipfile.ZipInfo, range: ByteRange | None) -> Buffer:
        """The bytes of a member that is in the file."""
        _check_readable(key, info)
        try:
            start = self.starts.get(key)
            if start is None:
                start = self.starts[key] = _find_data(self.fd, key, info)
            if info.compress_type == zipfile.ZIP_STORED:
                return _read_stored(self.fd, key, info, start, range)
            return _read_deflated(self.fd, key, info, start, range)
        except StoreError:
            raise
        except (OSError, OverflowError, zlib.error) as error:
            raise StoreError(f"can't read the zip member: {error}", key=key) from error

    def write(self, key: str, value: memoryview) -> None:
        """Append a member; an older one of the same name is dead from then on."""
        info = zipfile.ZipInfo(key)
        info.external_attr = 0o100644 << 16  # a plain file, for those who unpack the archive
        info.file_size = info.compress_size = len(value)
        info.CRC = zlib.crc32(value)
        with self.lock:
            self.check_writer(key)
            try:
                if not self.new_path:
                    self.renew()
                header = info.FileHeader()
                # What an earlier, failed write left behind the end is overwritten.
                os.lseek(self.fd, self.end, os.SEEK_SET)
                write_all(self.fd, memoryview(header))
                write_all(self.fd, value)
            except (OSError, ValueError, zipfile.LargeZipFile) as error:
                raise StoreError(f"can't write the zip member: {error}", key=key) from error
            self.forget(key)
            info.header_offset = self.end
            self.headers.add(self.end)
            self.end += len(header) + len(value)
            self.members[key] = info
            self.sorted = None

    def drop(self, key: str) -> None:
        """Leave a member out."""
        with self.lock:
            self.check_writer(key)
            self.forget(key)

    def forget(self, key: str) -> None:
        """Make a member dead."""
        old = self.members.pop(key, None)
        if old is not None:
            self.dead += old.compress_size
            self.starts.pop(key, None)
            self.sorted = None
            self.changed = True

    def renew(self) -> None:
        """Go on in a new file, which gets of the present one what is alive: headers and all, as it is."""
        path = os.path.join(os.path.dirname(self.path), temporary_name())
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        alive = [*self.members.values(), *self.foreign]
        bounds = [*sorted(self.headers), self.end]
        stop = dict(pairwise(bounds))  # what lies between two headers belongs to the first
        moved, end = {}, 0
        try:
            for start in sorted({info.header_offset for info in alive}):
                moved[start] = end
                end += _copy(self.fd, start, stop[start], fd)
        except BaseException:
            os.close(fd)
            os.unlink(path)
            raise
        for info in alive:
            info.header_offset = moved[info.header_offset]
        self.release()
        self.fd, self.new_path, self.changed = fd, path, True
        self.headers, self.end, self.dead = set(moved.values()), end, 0
        self.starts.clear()

    def close(self) -> None:
        """Put the new archive, if anything changed, in the place of the old."""
        with self.lock:
            if self.closed:
                return
            try:
                # A forked child has the parent's unfinished file open; only the parent may finish it.
                if self.changed and self.process == os.getpid():
                    self.finish()
            except (OSError, ValueError, zipfile.LargeZipFile) as error:
                raise StoreError(f"can't finish the zip archive {self.path}: {error}") from error
            finally:
                self.closed = True
                self.release()

    def finish(self) -> None:
        """Write the directory and move the new file over the old one."""
        if not self.new_path or self.dead > self.end // 2:
            self.renew()
        with os.fdopen(self.fd, "r+b", closefd=False) as file:
            file.seek(self.end)
            with zipfile.ZipFile(file, "w") as archive:
                archive.filelist = [self.members[key] for key in sorted(self.members, key=_place)] + self.foreign
                archive.comment = self.comment
            file.truncate()
            file.flush()
            os.fsync(self.fd)
        os.close(self.fd)
        self.fd = -1
        os.replace(self.new_path, self.path)
        self.new_path = ""

    def release(self) -> None:
        """Let go of the open file, and of a new one for good."""
        if self.fd >= 0:
            os.close(self.fd)
        if self.new_path and self.process == os.getpid():
            with suppress(OSError):
                os.unlink(self.new_path)
        self.fd, self.new_path = -1, ""

    def check_open(self, key: str | None = None) -> None:
        """Raise `StoreError` after `close`."""
        if self.closed:
            raise StoreError(f"the zip store {self.path} is closed", key=key)

    def check_writer(self, key: str) -> None:
        """Raise `StoreError` after `close`, and in a forked child."""
        self.check_open(key)
        if self.process != os.getpid():
            raise StoreError("a zip archive is written by the process that opened it", key=key)


def _copy(source: int, start: int, stop: int, target: int) -> int:
    """Append bytes of one open file to another; returns how many."""
    done = start
    while done < stop:
        step = read_at(source, done, min(stop - done, 1 << 20))
        if not step:
            break
        write_all(target, memoryview(step))
        done += len(step)
    return done - start


def _place(key: str) -> tuple[bool, int, str]:
    document = key.rpartition("/")[2] == "zarr.json"
    return not document, key.count("/") if document else 0, key


def _check_readable(key: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _UNREADABLE_FLAGS:
        raise UnsupportedError(f"the zip member {key!r} is encrypted or patched", feature="zip encryption")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        feature = f"zip compression method {info.compress_type}"
        raise UnsupportedError(f"the zip member {key!r} is neither stored nor deflated", feature=feature)


def _find_data(fd: int, key: str, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin; `StoreError` unless header, name and bytes are in the file."""
    header = read_at(fd, info.header_offset, _LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size:
        raise StoreError("the zip member lies past the end of the archive", key=key)
    magic, _, flags, *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    name = bytes(read_at(fd, info.header_offset + len(header), name_size))
    # Directory and header may be in different encodings: zipfile turns one into UTF-8 and leaves the other.
    if magic != _LOCAL_MAGIC or name.decode("utf-8" if flags & _UTF8_FLAG else "cp437", "replace") != key:
        raise StoreError("the zip member's own header is not what the directory says", key=key)
    start = int(info.header_offset + len(header) + name_size + extra_size)
    if start + info.compress_size > os.fstat(fd).st_size:
        raise StoreError("the zip member lies past the end of the archive", key=key)
    return start


def _read_stored(fd: int, key: str, info: zipfile.ZipInfo, start: int, range: ByteRange | None) -> Buffer:
    if info.compress_size != info.file_size:
        raise StoreError("the zip member is stored, but its two sizes differ", key=key)
    first, last = (0, info.file_size) if range is None else range.of(info.file_size)
    value = read_at(fd, start + first, last - first)
    if len(value) != last - first:
        raise StoreError("the zip archive was cut off while it was open", key=key)
    if len(value) == info.file_size:
        _check_crc(value, key, info)
    return value


def _read_deflated(fd: int, key: str, info: zipfile.ZipInfo, start: int, range: ByteRange | None) -> Buffer:
    size = info.file_size
    first, last = (0, size) if range is None else range.of(size)
    # At most one byte more than promised is asked for: a member that goes on is refused, not unpacked.
    limit = max(1, size + 1 if last == size else last)
    unpacker, parts = zlib.decompressobj(-zlib.MAX_WBITS), []
    done, taken, crc = 0, 0, 0
    while done < limit and taken < info.compress_size and not unpacker.eof:
        # In windows: what comes before the wanted part, or after it, is not held.
        packed = read_at(fd, start + taken, min(_WINDOW, info.compress_size - taken))
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
