"""Values as files under a folder.

One value, one file, opened and closed within a call: the store holds no handles, so it pickles, forks and is
shared between threads freely. A file appears whole, by rename, or not at all.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from gpuzarr.errors import GpuzarrError, StoreError
from gpuzarr.lazy import lazy
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import (
    RESERVED,
    Buffer,
    Names,
    StoreBase,
    check_key,
    flat_bytes,
    folder_of,
    split_prefix,
    temporary_name,
)

__all__ = ["LocalStore", "read_at", "write_all"]

_BINARY = getattr(os, "O_BINARY", 0)
# Non-blocking, so that a pipe which somebody left in the folder is an error and not a wait without end.
_READ = os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# Sizes above this are believed only of a regular file: seeking to the end of a folder may say anything.
_LARGE = 1 << 24
# The system takes at most 2 GiB at once; what is larger than this is read in steps.
_AT_ONCE = 1 << 30
# Parts that one call may write: what POSIX systems allow.
_PARTS = 1024
_STEP = 1 << 26
# How often to begin anew when another process makes or removes the same folders.
_TRIES = 16
# A file younger than this may change again without a change of its time stamp.
_SETTLED_NS = 100_000_000


class LocalStore(StoreBase):
    """A folder.

    Args:
        root: the folder; it and its parents are made by the first `put`.
        fsync: whether `put` returns only when the value and its name are on the disk. Without it a value is
            safe from a crash of the process, not from a loss of power.
        read_only: refuse to change anything.

    Links are followed when reading, listing and writing, also out of the folder: people lay out data that
    way. `delete_prefix` removes links and leaves alone what they point to. A key can't be both a value and a
    folder of other keys (`StoreError`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = LocalStore(folder)
    ...     store.put("a/c/0", b"0123456789")
    ...     store.get("a/c/0", ByteRange(-3)), list(store.list()), store.list_dir("a")
    (b'789', ['a/c/0'], ['c'])
    """

    def __init__(self, root: str | os.PathLike[str], *, fsync: bool = False, read_only: bool = False) -> None:
        self.root = os.path.abspath(os.fspath(root))
        self.fsync = fsync
        self.read_only = read_only
        self._base = os.path.join(self.root, "")

    @lazy
    def url(self) -> str:  # most stores are never asked for it, and it takes longer than all else about opening one
        """How `gpuzarr.open` finds the store again."""
        return Path(self.root).as_uri()

    def file_path(self, key: str) -> str:
        """Where the value is, or would be."""
        return self._base + check_key(key)

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value or a part of it; None where there is no file."""
        path = self._base + check_key(key)
        try:
            fd = os.open(path, _READ)
            try:
                size = os.lseek(fd, 0, os.SEEK_END)
                if size > _LARGE and not S_ISREG(os.fstat(fd).st_mode):
                    return None
                if range is None:
                    return read_at(fd, 0, size)
                start, stop = range.of(size)
                return read_at(fd, start, stop - start)
            finally:
                os.close(fd)
        except _ABSENT:
            return None
        except PermissionError as error:
            if os.path.isdir(path):  # where folders can't be opened at all
                return None
            raise _failed("read", key, error) from error
        except (OSError, ValueError, MemoryError) as error:
            raise _failed("read", key, error) from error

    def put(self, key: str, value: Buffer) -> None:
        """Write the value to a new file in the same folder, then move it over the old one."""
        self.put_parts(key, (value,))

    def put_parts(self, key: str, parts: Iterable[Buffer]) -> None:
        """The same for a value in parts: a sequence in few calls, of another iterable each part as it comes."""
        self._check_writable(key)
        path = self._base + check_key(key)
        folder = path[: path.rindex("/")] if "/" in key else self.root
        temporary = f"{folder}/{temporary_name()}"
        try:
            fd = self._create(temporary, folder)
            try:
                for group in [parts] if isinstance(parts, Sequence) else ([part] for part in parts):
                    write_all(fd, *(flat_bytes(part, key) for part in group))
                if self.fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
            if self.fsync:
                _fsync_folder(folder)
        except BaseException as error:
            with suppress(OSError, ValueError):
                os.unlink(temporary)
            if isinstance(error, OSError | ValueError) and not isinstance(error, GpuzarrError):
                raise _failed("write", key, error) from error
            raise

    def new_file(self, key: str) -> tuple[str, str] | None:
        """Where the value will be, and a name for writing it first; None where it has to be synced to the disk."""
        self._check_writable(key)
        return None if self.fsync else (self.file_path(key), temporary_name())

    def delete(self, key: str) -> None:
        """Remove the file, and the folders that it leaves empty."""
        self._check_writable(key)
        path = self._base + check_key(key)
        try:
            os.unlink(path)
        except _ABSENT:
            return
        except (OSError, ValueError) as error:
            if os.path.isdir(path):  # macOS and Windows say that unlinking a folder is not permitted
                return
            raise _failed("delete", key, error) from error
        _prune(path, key.count("/"))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`, folder by folder."""
        folder, start = split_prefix(prefix)
        try:
            yield from _walk(self._base + folder, f"{folder}/" if folder else "", start)
        except (OSError, ValueError) as error:
            raise _failed("list", folder, error) from error

    def list_dir(self, prefix: str) -> Names:
        """The names of files and folders under `prefix`, sorted.

        An empty folder that somebody else made is listed too: looking into each would cost more than listing.
        """
        try:
            return sorted(name for name in os.listdir(self._base + folder_of(prefix)) if _listed(name))
        except _ABSENT:
            return []
        except (OSError, ValueError) as error:
            raise _failed("list", prefix, error) from error

    def delete_prefix(self, prefix: str) -> None:
        """Remove the folder `prefix` with all that is in it; of the root, all that is in it."""
        self._check_writable(prefix or None)
        path = self._base + folder_of(prefix)[:-1]
        try:
            for victim in [path] if prefix else [entry.path for entry in os.scandir(path)]:
                _remove(victim, files=not prefix)
            _prune(path, prefix.count("/"))
        except _ABSENT:
            return
        except (OSError, ValueError) as error:
            raise _failed("delete", prefix, error) from error

    def move_prefix(self, prefix: str, target: str) -> None:
        """Rename the folder `prefix`; the folders above `target` are made, and those left empty removed."""
        self._check_writable(prefix)
        old, new = (self._base + folder_of(check_key(name))[:-1] for name in (prefix, target))
        try:
            if os.path.lexists(new) and os.listdir(new):
                raise StoreError("something is there already", key=target)
            self._make_folder(os.path.dirname(new))
            os.rename(old, new)
        except (OSError, ValueError) as error:
            if isinstance(error, GpuzarrError):
                raise
            raise _failed("move", prefix, error) from error
        _prune(old, prefix.count("/"))

    def size(self, key: str) -> int | None:
        """Bytes of the file; None where there is none."""
        status = self._status(key)
        return None if status is None else status.st_size

    def _status(self, key: str) -> os.stat_result | None:
        try:
            status = os.stat(self._base + check_key(key))
        except _ABSENT:
            return None
        except (OSError, ValueError) as error:
            raise _failed("look at", key, error) from error
        return status if S_ISREG(status.st_mode) else None

    def version(self, key: str) -> Hashable | None:
        """Device, inode, time of change and size; with a nonce while it is so new that they may lie."""
        status = self._status(key)
        if status is None:
            return None
        token = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        # Time stamps tick every few milliseconds and inodes are used again at once.
        settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
        return token if settled else (*token, temporary_name())

    def _create(self, temporary: str, folder: str) -> int:
        # A folder may vanish between making and using it, when another process deletes the last key in it.
        for _ in range(_TRIES):
            try:
                return os.open(temporary, _CREATE, 0o666)
            except FileNotFoundError:
                self._make_folder(folder)
        return os.open(temporary, _CREATE, 0o666)

    def _make_folder(self, folder: str) -> None:
        parent = os.path.dirname(folder)
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        except FileNotFoundError:
            if parent == folder:
                raise
            self._make_folder(parent)
            with suppress(FileExistsError, FileNotFoundError):
                os.mkdir(folder)
        if self.fsync:
            _fsync_folder(parent)


if sys.platform == "win32":
    _seeking = threading.Lock()

    def read_at(fd: int, start: int, length: int) -> Buffer:
        """Up to `length` bytes from `start` of an open file: fewer only where the file ends."""
        with _seeking, os.fdopen(fd, "rb", closefd=False) as file:
            file.seek(start)
            return file.read(length)

else:

    def read_at(fd: int, start: int, length: int) -> Buffer:
        """Up to `length` bytes from `start` of an open file: fewer only where the file ends."""
        if length > _AT_ONCE:
            return _read_in_steps(fd, start, length)
        value = os.pread(fd, length, start)
        return value if len(value) == length else _read_in_steps(fd, start, length)

    def _read_in_steps(fd: int, start: int, length: int) -> Buffer:
        buffer = bytearray(length)
        done = 0
        while done < length:
            step = os.pread(fd, min(length - done, _STEP), start + done)
            if not step:
                break
            buffer[done : done + len(step)] = step
            done += len(step)
        return memoryview(buffer)[:done]


def write_all(fd: int, *parts: memoryview) -> None:
    """Write all bytes where an open file stands: the system may take them in several turns."""
    rest = [part for part in parts if len(part)]
    first = 0
    while first < len(rest):
        done = _write(fd, rest[first : first + _PARTS])
        while first < len(rest) and done >= len(rest[first]):
            done -= len(rest[first])
            first += 1
        if done:
            rest[first] = rest[first][done:]


def _write(fd: int, parts: list[memoryview]) -> int:
    return os.writev(fd, parts) if hasattr(os, "writev") else os.write(fd, parts[0])


def _fsync_folder(folder: str) -> None:
    if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder can't be opened, and names are safe without it
        fd = os.open(folder or "/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _listed(name: str) -> bool:
    return not name.startswith(RESERVED) and "\\" not in name


def _walk(root: str, prefix: str, start: str) -> Iterator[str]:
    """The files under `root`, each behind `prefix`; directly under it only names that begin with `start`."""
    folders: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(root, prefix, ())]
    while folders:
        path, prefix, above = folders.pop()
        try:
            status = os.stat(path)
            here = (status.st_dev, status.st_ino)
            entries = [] if here in above else list(os.scandir(path))  # a link to a folder that it is in
        except _ABSENT:
            continue
        for entry in entries:
            if not _listed(entry.name) or not entry.name.startswith(start):
                continue
            if entry.is_dir():
                folders.append((entry.path, f"{prefix}{entry.name}/", (*above, here)))
            elif entry.is_file():
                yield prefix + entry.name
        start = ""


def _prune(path: str, levels: int) -> None:
    """Remove the folders above `path` that are empty, `levels` at most."""
    with suppress(OSError):
        for _ in range(levels):
            path = os.path.dirname(path)
            os.rmdir(path)


def _remove(path: str, *, files: bool) -> None:
    for _ in range(_TRIES):
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif files or os.path.isdir(path):
                os.unlink(path)
            return
        except FileNotFoundError:  # somebody else deletes here too: go on with the rest
            continue


def _failed(what: str, key: str, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"can't {what}: {reason}", key=key)
