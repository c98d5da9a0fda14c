"""Values as members of one zip file.

Reading takes any archive of stored or deflated members. Writing never touches the archive that is there: a
new one grows beside it and takes its place, whole, on `close`.
"""

from __future__ import annotations

import os
import weakref
from bisect import bisect_left
from collections.abc import Hashable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from gpuzarr.errors import UnsupportedError
from gpuzarr.ranges import ByteRange
from gpuzarr.store.archive import Archive
from gpuzarr.store.base import Buffer, FlatStore, Names, check_key, flat_bytes, folder_of, split_prefix
from gpuzarr.store.members import Members

__all__ = ["MembersStore", "ZipStore"]


class MembersStore(FlatStore):
    """What stores of the members of an archive share."""

    _archive: Members

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`, sorted."""
        split_prefix(prefix)
        names = self._archive.names()
        for i in range(bisect_left(names, prefix), len(names)):
            if not names[i].startswith(prefix):
                return
            yield names[i]

    def list_dir(self, prefix: str) -> Names:
        """The names directly under `prefix` ("" is the root), sorted."""
        folder = folder_of(prefix)
        names = self._archive.names()
        found = []
        at = bisect_left(names, folder)
        while at < len(names) and names[at].startswith(folder):
            name, slash, _ = names[at][len(folder) :].partition("/")
            found.append(name)
            # "0" follows "/": a search passes over everything in a folder, which may be a million chunks.
            at = bisect_left(names, f"{folder}{name}0", at) if slash else at + 1
        return sorted(set(found))

    def size(self, key: str) -> int | None:
        """Bytes of the value, decompressed; None where there is none."""
        info = self._archive.find(check_key(key))
        return None if info is None else info.file_size


class ZipStore(MembersStore):
    """A zip archive.

    Args:
        path: the archive. While it is written, a file whose name begins with ".gpuzarr-" grows beside it.
        mode: "r" reads an archive; "w" makes a new one, in place of any that is there; "a" changes one or
            makes a new one.
        comment: the archive's comment (OME-Zarr keeps its version there); None keeps what is there.

    Members are written uncompressed, since chunks are compressed already, and with a fixed date: the same
    values give the same archive. The directory lists `zarr.json` members first, shallow ones before deep ones
    (OME-NGFF RFC-9). Members whose names are not keys are kept as they are.

    What was put is in the archive after `close`. The end of a `with` block closes, after an exception too,
    and so does the end of the store or of the process. Only the process that opened a store writes it. A
    store pickles if it is open for reading.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ZipStore(f"{folder}/a.zip", "w") as store:
    ...         store.put("a/0", b"0123456789")
    ...     with ZipStore(f"{folder}/a.zip") as store:
    ...         store.get("a/0", ByteRange(2, 3))
    b'234'
    """

    _archive: Archive

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["r", "w", "a"] = "r",
        *,
        comment: bytes | None = None,
    ) -> None:
        if mode not in ("r", "w", "a"):
            raise ValueError(f"mode must be 'r', 'w' or 'a', not {mode!r}")
        self.path = os.path.abspath(os.fspath(path))
        self.mode = mode
        self.read_only = mode == "r"
        self.url = f"{Path(self.path).as_uri()}|zip:"
        self._archive = Archive(self.path, mode, comment)
        # Bound to the archive and not to the store, so that it runs when nobody holds the store any more.
        self._finish = weakref.finalize(self, Archive.close, self._archive)

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value or a part of it; None where there is no such member.

        A whole value is checked against the archive's checksum, a part of one can't be.
        """
        return self._archive.read(check_key(key), range)

    def put(self, key: str, value: Buffer) -> None:
        """Append the value to the archive that is being written."""
        self._check_writable(key)
        self._archive.write(check_key(key), flat_bytes(value, key))

    def delete(self, key: str) -> None:
        """Leave the member out of the archive that is being written."""
        self._check_writable(key)
        self._archive.drop(check_key(key))

    def version(self, key: str) -> Hashable | None:
        """Where the member is, its size and its checksum."""
        info = self._archive.find(check_key(key))
        return None if info is None else (info.header_offset, info.file_size, info.CRC)

    def close(self) -> None:
        """Finish the archive if it was written, and let go of the file. Closing again does nothing."""
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.mode != "r":
            reason = "a zip store that writes can't be pickled: close it and open it for reading"
            raise UnsupportedError(reason, feature="pickle")
        return ZipStore, (self.path,)
