"""A reader of NIfTI-1 volumes in one file (.nii, .nii.gz): raw stored values, as the file has them.

Nothing in the header is believed: sizes are held against the file's own before memory is taken.
Format: nifti1.h, "The NIfTI-1 Data Format" (R. W. Cox et al., 2004), fields at the byte offsets given there.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cli.text import progress
from gpuzarr.errors import MetadataError, StoreError, UnsupportedError

__all__ = ["INFLATION", "Header", "parse_header", "read_nifti", "take"]

HEADER_BYTES = 348
DATA_BEGINS = 352
"""In a single file the values follow the header and four bytes that announce extensions."""
INFLATION = 1040
"""No deflate stream grows by more: a stored byte can't decode to more bytes than this."""
PIECE = 4 << 20

TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 256: "i1",
    512: "u2", 768: "u4", 1024: "i8", 1280: "u8", 1792: "c16",
}  # fmt: skip
"""`datatype` codes that NumPy has on every machine; the rest are RGB and 128-bit floats."""


class Readable(Protocol):
    """What `take` needs: files and gzip files both have it."""

    def readinto(self, into: memoryview, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Header:
    """What the values are and where: axes run x first and fastest, `spacing` in the header's own units."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    spacing: tuple[float, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(raw: bytes, path: str = "") -> Header:
    """The header of a NIfTI-1 file, from its first 348 bytes.

    Raises MetadataError where it is not one, UnsupportedError where it is another member of the family.
    """
    if len(raw) < HEADER_BYTES:
        raise MetadataError("too short for a NIfTI-1 header", path=path, field="sizeof_hdr")
    order = _order(raw, path)
    if raw[344:348] != b"n+1\0":
        if raw[344:348] == b"ni1\0":
            raise UnsupportedError("values in a separate .img file", feature="NIfTI-1 pair", path=path)
        raise MetadataError("not a NIfTI-1 file", path=path, field="magic")
    code, bits = struct.unpack_from(order + "hh", raw, 70)
    if code not in TYPES:
        feature = f"NIfTI-1 datatype {code}"
        raise UnsupportedError("values that are not plain numbers", feature=feature, path=path)
    dtype = np.dtype(order + TYPES[code])
    if bits != 8 * dtype.itemsize:
        raise MetadataError(f"{bits} bits do not fit datatype {code}", path=path, field="bitpix")
    dims = struct.unpack_from(order + "8h", raw, 40)
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise MetadataError(f"not the dimensions of a volume: {list(dims)}", path=path, field="dim")
    (offset,) = struct.unpack_from(order + "f", raw, 108)
    if not DATA_BEGINS <= offset < 2**31 or offset != int(offset):
        raise MetadataError(f"values can't begin at byte {offset}", path=path, field="vox_offset")
    spacing = struct.unpack_from(order + "8f", raw, 76)[1 : dims[0] + 1]
    return Header(dims[1 : dims[0] + 1], dtype, int(offset), spacing)


def _order(raw: bytes, path: str) -> str:
    # The header's own size, always its first field, tells the byte order and the version.
    for order in "<>":
        (header_size,) = struct.unpack_from(order + "i", raw)
        if header_size == HEADER_BYTES:
            return order
        if header_size == 540:
            raise UnsupportedError("only NIfTI-1 is read", feature="NIfTI-2", path=path)
    raise MetadataError("not a NIfTI-1 file", path=path, field="sizeof_hdr")


def read_nifti(path: str) -> tuple[Header, NDArray[Any]]:
    """The header and the raw values of a .nii or .nii.gz file: `scl_slope` and `scl_inter` are not applied.

    The values have the header's shape, in native byte order and Fortran order, as the file stores them.
    Raises MetadataError, UnsupportedError or StoreError.
    """
    try:
        with open(path, "rb") as file:
            stored = os.fstat(file.fileno()).st_size
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            return _read(stream, stored * (INFLATION if packed else 1), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StoreError(f"damaged gzip file: {error}", key=path) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(error.strerror or str(error), key=path) from error


def _read(stream: Any, most: int, path: str) -> tuple[Header, NDArray[Any]]:
    header = parse_header(stream.read(HEADER_BYTES), path)
    if header.offset + header.nbytes > most:
        raise MetadataError(f"{header.nbytes} bytes of values can't be in this file", path=path, field="dim")
    skipped = header.offset - HEADER_BYTES
    while skipped > 0:
        piece = stream.read(min(skipped, PIECE))
        if not piece:
            raise MetadataError("the file ends before its values", path=path, field="vox_offset")
        skipped -= len(piece)
    flat = take(stream, header.nbytes, path).view(header.dtype)
    native = flat.astype(header.dtype.newbyteorder("="), copy=False)
    return header, native.reshape(header.shape, order="F")


def take(stream: Readable, nbytes: int, path: str) -> NDArray[np.uint8]:
    """Exactly `nbytes` bytes of a stream; StoreError where it ends early."""
    into = np.empty(nbytes, np.uint8)
    view, done = into.data, 0
    with progress("reading", nbytes) as advance:
        while done < nbytes:
            got = stream.readinto(view[done : done + PIECE])
            if not got:
                raise StoreError(f"ends {nbytes - done} bytes too early", key=path)
            done += got
            advance(got)
    return into
