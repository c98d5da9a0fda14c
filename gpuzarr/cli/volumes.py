"""Volumes for the demo: the sample that a package carries, or a file of the user's.

Every reader returns values in native byte order and refuses pickled objects; what a file claims of its sizes
is checked against the file before memory is taken.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cli.nifti import INFLATION, read_nifti, take
from gpuzarr.cli.text import UsageError
from gpuzarr.errors import GpuzarrError, MetadataError, StoreError, UnsupportedError
from gpuzarr.report.words import size

__all__ = ["Volume", "load", "sample"]

SAMPLE = "nibabel/tests/data/example4d.nii.gz"
LARGE = 1 << 30
"""Bytes that a TIFF may claim whatever its own size: sparse and zstd files really do decode to that much."""
NO_SAMPLE = (
    "the sample volume is not installed: run `pip install gpuzarr[imaging]` (it comes with nibabel), "
    "or name a volume of your own: gpuzarr demo PATH"
)


@dataclass(frozen=True, slots=True)
class Volume:
    """An array with what is known of it: `names` of its axes, `spacing` between its samples."""

    values: NDArray[Any]
    title: str
    names: tuple[str | None, ...] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


def sample() -> tuple[str, str]:
    """Path and title of the sample: a real MRI that the nibabel package carries among its test data.

    nibabel is found, not imported. Raises UsageError where it is not installed.
    """
    try:
        files = importlib.metadata.files("nibabel") or []
        version = importlib.metadata.version("nibabel")
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(NO_SAMPLE) from error
    for file in files:
        if file.as_posix() == SAMPLE and os.path.isfile(str(file.locate())):
            return str(file.locate()), f"a 4-D MRI, example4d.nii.gz of nibabel {version}"
    raise UsageError(NO_SAMPLE)


def load(path: str, title: str | None = None) -> Volume:
    """Read a volume: .nii, .nii.gz, .npy, .npz (its first array), .tif, .tiff, or a Zarr array.

    Raises a GpuzarrError that names the file.
    """
    readers: dict[str, Callable[[str, str], Volume]] = {
        ".nii": _nifti, ".nii.gz": _nifti, ".npy": _npy, ".npz": _npz, ".tif": _tiff, ".tiff": _tiff,
    }  # fmt: skip
    # A folder is a Zarr hierarchy, whatever it is called.
    suffix = "" if os.path.isdir(path) else next((s for s in readers if path.lower().endswith(s)), "")
    try:
        volume = readers.get(suffix, _zarr)(path, title or os.path.basename(path) or path)
    except GpuzarrError:
        raise
    except OSError as error:
        raise StoreError(error.strerror or str(error), key=path) from error
    if volume.values.ndim == 0 or volume.values.size == 0:
        raise UnsupportedError("a demo needs at least one element in one dimension", path=path)
    if volume.values.dtype.hasobject:
        raise UnsupportedError("values that are Python objects", feature="dtype object", path=path)
    return volume


def _nifti(path: str, title: str) -> Volume:
    header, values = read_nifti(path)
    names = tuple("xyzt"[:4])[: values.ndim] + (None,) * max(0, values.ndim - 4)
    spacing = [float(step) for step in header.spacing if math.isfinite(step)]
    return Volume(values, title, names, {"spacing": spacing} if len(spacing) == values.ndim else {})


def _npy(path: str, title: str) -> Volume:
    with open(path, "rb") as file:
        return Volume(_npy_values(file, os.fstat(file.fileno()).st_size, path), title)


def _npy_values(file: Any, most: int, path: str) -> NDArray[Any]:
    # numpy.load takes the memory that the header asks for before it looks at how much there is.
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            feature = f"npy format {version}"
            raise UnsupportedError("only versions 1.0 and 2.0 are read", feature=feature, path=path)
        form = np.lib.format
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except GpuzarrError:
        raise
    except ValueError as error:
        raise MetadataError(f"not an .npy file: {error}", path=path, field="header") from error
    if dtype.hasobject:
        raise UnsupportedError("pickled objects are not read", feature="dtype object", path=path)
    nbytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or nbytes > most:
        raise MetadataError(f"{nbytes} bytes of values can't be in this file", path=path, field="shape")
    flat = take(file, nbytes, path).view(dtype)
    return flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape, order="F" if fortran else "C")


def _npz(path: str, title: str) -> Volume:
    try:
        with zipfile.ZipFile(path) as archive:
            member = next((m for m in archive.infolist() if m.filename.endswith(".npy")), None)
            if member is None:
                raise MetadataError("no array in this archive", path=path, field="members")
            most = min(member.file_size, INFLATION * member.compress_size)
            with archive.open(member) as file:
                values = _npy_values(file, most, path)
                return Volume(values, f"{title}, {member.filename.removesuffix('.npy')!r}")
    except GpuzarrError:
        raise
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        # RuntimeError: encrypted, or compressed by a method that zipfile does not know.
        raise StoreError(f"damaged archive: {error}", key=path) from error


def _tiff(path: str, title: str) -> Volume:
    if importlib.util.find_spec("tifffile") is None:
        hint = "TIFF files are read with tifffile: pip install gpuzarr[imaging]"
        raise UnsupportedError(hint, feature="TIFF", path=path)
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.nbytes > max(LARGE, INFLATION * os.path.getsize(path)):
                claim = f"unlikely to hold {size(series.nbytes)} of values"
                raise MetadataError(claim, path=path, field="shape")
            values = np.asarray(series.asarray())
    except GpuzarrError:
        raise
    except Exception as error:  # tifffile and its codecs raise whatever a damaged file leads them into
        raise StoreError(f"not readable as TIFF: {error}", key=path) from error
    return Volume(values.astype(values.dtype.newbyteorder("="), copy=False), title)


def _zarr(path: str, title: str) -> Volume:
    import gpuzarr

    array = gpuzarr.open_array(path, mode="r")
    names = array.dimension_names
    return Volume(np.asarray(array[...]), title, None if names is None else tuple(names))
