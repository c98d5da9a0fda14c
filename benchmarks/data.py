"""The volume and the stores the benchmarks read, all written by zarr-python, kept in one folder and reused.

No large real volume ships in a small package, so one is grown from a real scan: nibabel's `example4d.nii.gz`
(a 128 x 96 x 24 MRI, first time point) is enlarged by linear interpolation and given seeded camera noise:
shot noise that grows with the signal and constant read noise. Compression ratios come out as they do for real
microscope volumes.
"""

from __future__ import annotations

import os
import shutil
import warnings
import zlib
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from .sizes import Size, StoreSpec

__all__ = ["LISTED", "TARGET", "VOLUME", "Stores", "fingerprint"]

VERSION = 1  # part of every folder's name: raise it when what is written changes
VOLUME, TARGET, GRAVES = "volume.npy", "written", "written-before"
LISTED = {False: "listing", True: "listing-consolidated"}
PEAK, READ_NOISE, SHOT = 3000.0, 5.0, 0.2  # counts; counts; variance per count


def stretch(data: NDArray[Any], axis: int, length: int) -> NDArray[Any]:
    """`data` linearly interpolated to `length` samples along `axis`."""
    position = np.linspace(0, data.shape[axis] - 1, length, dtype=np.float32)
    below = np.minimum(position.astype(np.intp), data.shape[axis] - 2)
    weight = (position - below).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
    low, high = np.take(data, below, axis), np.take(data, below + 1, axis)
    return np.asarray(low + (high - low) * weight)


def scan() -> NDArray[np.float32]:
    """The real scan that ships with nibabel, scaled to 0 ... PEAK counts."""
    with as_file(files("nibabel") / "tests" / "data" / "example4d.nii.gz") as path:
        image = np.asarray(import_module("nibabel").load(path).dataobj)[..., 0].astype(np.float32)
    image -= image.min()
    return np.asarray(image * (PEAK / image.max()), np.float32)


def grow(edge: int) -> NDArray[np.uint16]:
    """The noisy volume, slab by slab: the floats of the whole would take many times its memory."""
    random = np.random.default_rng(20)
    plane = stretch(stretch(scan().transpose(2, 1, 0), 1, edge), 2, edge)
    volume = np.empty((edge, edge, edge), np.uint16)
    for start in range(0, edge, 64):
        rows = np.linspace(0, plane.shape[0] - 1, edge, dtype=np.float32)[start : start + 64]
        below = np.minimum(rows.astype(np.intp), plane.shape[0] - 2)
        weight = (rows - below)[:, None, None]
        signal = plane[below] * (1 - weight) + plane[below + 1] * weight
        noise = random.standard_normal(signal.shape, np.float32) * np.sqrt(SHOT * signal + READ_NOISE**2)
        volume[start : start + 64] = np.clip(signal + noise + 100, 0, 65535)
    return volume


def once(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made under another name first, so that a run cut short leaves no half of it behind."""
    if not path.exists():
        unfinished = path.with_name("unfinished-" + path.name)
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(path)
        os.sync()  # or its write-back would disturb the first measurements
    return path


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one size: members of the Zarr group at `folder`, each made when it is first asked for."""

    root: Path
    size: Size

    @property
    def folder(self) -> Path:
        return self.root / f"{self.size.name}-{VERSION}"

    def volume(self) -> NDArray[np.uint16]:
        """The reference volume; makes the folder a group (z5py opens arrays through theirs)."""

        def make(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, grow(self.size.edge))

        import_module("zarr").open_group(str(self.folder), mode="a", zarr_format=3)
        volume: NDArray[np.uint16] = np.load(once(self.folder / VOLUME, make))
        return volume

    def store(self, spec: StoreSpec, volume: NDArray[Any]) -> Path:
        """The whole volume, stored as `spec` says."""

        def make(path: Path) -> None:
            self.create(path, spec, self.size.shape)[...] = volume

        return once(self.folder / spec.name, make)

    def listed(self) -> list[tuple[str, tuple[int, ...], str]]:
        """The names, shapes and dtypes of the members of the listing groups."""
        return [(f"array{i:04}", (i % 7 + 1, 10), "<f4" if i % 2 else "<u2") for i in range(self.size.arrays)]

    def listing(self, consolidated: bool) -> Path:
        """A group of small empty arrays."""

        def make(path: Path) -> None:
            zarr = import_module("zarr")
            group = zarr.create_group(str(path))
            for name, shape, dtype in self.listed():
                group.create_array(name, shape=shape, dtype=dtype, chunks=shape)
            if consolidated:
                with (
                    warnings.catch_warnings()
                ):  # that format 3 does not specify it yet is beside the point here
                    warnings.simplefilter("ignore")
                    zarr.consolidate_metadata(str(path))

        return once(self.folder / LISTED[consolidated], make)

    def make_target(self, spec: StoreSpec, planes: int) -> Path:
        """A fresh empty array that a peer shall fill."""
        self.clear_target()
        self.create(self.folder / TARGET, spec, (planes, *self.size.shape[1:]))
        return self.folder / TARGET

    def clear_target(self) -> None:
        """Take the target out of the way: its files are emptied now and deleted by `bury`.

        ext4 looks past every inode deleted in the last minutes when it makes a file: deleting thousands between
        repetitions would be most of what the next one is timed for.
        """
        target, graves = self.folder / TARGET, self.folder / GRAVES
        if not target.exists():
            return
        for path in target.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)
        graves.mkdir(exist_ok=True)
        target.rename(graves / f"{os.getpid()}-{len(os.listdir(graves))}")

    def bury(self) -> None:
        """Delete the targets of a run."""
        shutil.rmtree(self.folder / GRAVES, ignore_errors=True)

    def create(self, path: Path, spec: StoreSpec, shape: tuple[int, ...]) -> Any:
        """An empty array at `path`, created by zarr-python."""
        zarr, codecs = import_module("zarr"), import_module("zarr.codecs")
        compressors = {
            "none": None,
            "zstd": codecs.ZstdCodec(level=5),
            "blosc-lz4": codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
            "blosc-zstd": codecs.BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
            "gzip": codecs.GzipCodec(level=5),
        }[spec.codec]
        shards = self.size.shards(spec.layout)
        return zarr.create_array(
            str(path),
            shape=shape,
            dtype="uint16",
            chunks=tuple(map(min, self.size.chunks(spec.layout), shape)),
            shards=shards and tuple(map(min, shards, shape)),
            compressors=compressors,
        )


def fingerprint(path: Path) -> int:
    """A checksum of every file under `path` and its name: equal fingerprints are equal stores."""
    crc = 0
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        crc = zlib.crc32(file.read_bytes(), zlib.crc32(str(file.relative_to(path)).encode(), crc))
    return crc
