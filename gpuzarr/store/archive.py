"""A zip file that is open: its members, read by range, and the new file that will replace it.

`zipfile` reads and writes the directory, `members` reads the members.
"""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import pairwise

from gpuzarr.errors import StoreError
from gpuzarr.forks import tell_child
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, temporary_name
from gpuzarr.store.local import read_at, write_all
from gpuzarr.store.members import FAULTS, Members

__all__ = ["Archive"]

_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An open file as what members are read from."""

    fd: int

    def read(self, start: int, length: int) -> Buffer:
        return read_at(self.fd, start, length)

    def size(self) -> int:
        return os.fstat(self.fd).st_size


class Archive(Members):
    """The open file, its members, and whether it is the new one that is being written."""

    def __init__(self, path: str, mode: str, comment: bytes | None) -> None:
        super().__init__()
        self.path = path
        self.writes = mode != "r"
        self.changed = mode == "w" or comment is not None
        self.closed = False
        self.lock = threading.RLock()
        tell_child(self)
        self.process = os.getpid()
        self.comment = b""
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
        except FAULTS as error:
            self.release()
            reason = getattr(error, "strerror", None) or str(error)
            raise StoreError(f"can't open the zip archive {self.path}: {reason}") from error
        self.add(entries)
        self.headers.update(info.header_offset for info in entries)

    def names(self) -> list[str]:
        """All keys, sorted."""
        with self.lock:
            self.check_open()
            return super().names()

    def find(self, key: str) -> zipfile.ZipInfo | None:
        """The member that is the value of `key`."""
        self.check_open(key)
        return super().find(key)

    def read(self, key: str, range: ByteRange | None) -> Buffer | None:
        """The bytes of a member, or a part of them."""
        # Only a writer exchanges the open file under a reader.
        with self.lock if self.writes else nullcontext():
            info = self.find(key)
            return None if info is None else self.read_member(_Opened(self.fd), key, info, range)

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
