"""One small adapter a library: how it opens, reads, writes and lists, each in the way its manual recommends.

Importing this module loads no library; making an adapter does. Every library runs at its defaults on all
cores. Where a default is something else than "use this machine", it is set here, with the reason.
"""

from __future__ import annotations

import os
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PEERS", "Listing", "Peer", "Reference", "UnsupportedError"]

Listing = list[tuple[str, tuple[int, ...], str]]


class UnsupportedError(Exception):
    """The library has no such operation: a blank in the table, not a fault."""


class Peer:
    """What a library is asked to do. `handle` is whatever its `open` returns."""

    name: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]

    @classmethod
    def installed(cls) -> bool:
        return find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        try:
            return metadata.version(cls.package)
        except metadata.PackageNotFoundError:
            return "source tree"

    def __init__(self) -> None:
        self.library: Any = import_module(self.module)

    def open(self, path: Path, *, write: bool = False) -> Any:
        raise NotImplementedError

    def read(self, handle: Any, selection: tuple[int | slice, ...]) -> Any:
        return handle[selection]

    def read_many(self, handle: Any, selections: Sequence[tuple[slice, ...]]) -> Sequence[Any]:
        """One batch of equal crops; a library without batches reads them in a loop."""
        return [self.read(handle, selection) for selection in selections]

    def oindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        raise UnsupportedError("no orthogonal indexing")

    def vindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        raise UnsupportedError("no pointwise indexing")

    def write(self, handle: Any, data: NDArray[Any]) -> None:
        handle[...] = data

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        """Name, shape and dtype of every array of a group, by name."""
        raise NotImplementedError


class ZarrPython(Peer):
    """zarr-python with its default pipeline."""

    name, package, module = "zarr", "zarr", "zarr"

    def open(self, path: Path, *, write: bool = False) -> Any:
        return self.library.open_array(str(path), mode="r+" if write else "r")

    def oindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle.oindex[indices]

    def vindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle.vindex[indices]

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        group = self.library.open_group(str(path), mode="r")
        return sorted((name, array.shape, array.dtype.str) for name, array in group.arrays())


class ZarrFused(ZarrPython):
    """zarr-python with its opt-in synchronous pipeline (zarr 3.4 and later): its strongest form."""

    name = "zarr-fused"

    @classmethod
    def installed(cls) -> bool:
        return super().installed() and hasattr(
            import_module("zarr.core.codec_pipeline"), "FusedCodecPipeline"
        )

    def __init__(self) -> None:
        super().__init__()
        self.library.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})


class ZarrZarrs(ZarrPython):
    """zarr-python with the pipeline of zarrs (Rust)."""

    name, package = "zarr-zarrs", "zarrs"

    @classmethod
    def installed(cls) -> bool:
        return super().installed() and find_spec("zarrs") is not None

    def __init__(self) -> None:
        super().__init__()
        self.library.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})


class Gpuzarr(ZarrPython):
    """gpuzarr: zarr-python's names, and `read_many` for batches."""

    name, package, module = "gpuzarr", "gpuzarr", "gpuzarr"

    def read_many(self, handle: Any, selections: Sequence[tuple[slice, ...]]) -> Sequence[Any]:
        return list(handle.read_many(selections))  # views into its one result


class TensorStore(Peer):
    """tensorstore (C++): futures, and `ts.Batch` for batches."""

    name, package, module = "tensorstore", "tensorstore", "tensorstore"

    def __init__(self) -> None:
        super().__init__()
        # It alone syncs every file to the disk by default.
        self.context = self.library.Context({"file_io_sync": False})

    def start(self, path: Path, **mode: bool) -> Any:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
        return self.library.open(spec, open=True, context=self.context, **mode)

    def open(self, path: Path, *, write: bool = False) -> Any:
        return self.start(path, read=True, write=write).result()

    def read(self, handle: Any, selection: tuple[int | slice, ...]) -> Any:
        return handle[selection].read().result()

    def read_many(self, handle: Any, selections: Sequence[tuple[slice, ...]]) -> Sequence[Any]:
        with self.library.Batch() as batch:
            futures = [handle[selection].read(batch=batch) for selection in selections]
        return [future.result() for future in futures]

    def oindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle.oindex[indices].read().result()

    def vindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle.vindex[indices].read().result()

    def write(self, handle: Any, data: NDArray[Any]) -> None:
        handle.write(data).result()

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        if consolidated:
            raise UnsupportedError("does not read consolidated metadata")
        keys = self.library.KvStore.open({"driver": "file", "path": f"{path}/"}).result().list().result()
        names = sorted(key.decode()[: -len("/zarr.json")] for key in keys if key.endswith(b"/zarr.json"))
        opening = [(name, self.start(path / name, read=True)) for name in names]
        arrays = [(name, future.result()) for name, future in opening]
        return [(name, tuple(array.shape), array.dtype.numpy_dtype.str) for name, array in arrays]


def boxes_only(selection: tuple[int | slice, ...]) -> None:
    """Raise UnsupportedError for a selection with steps."""
    if any(isinstance(item, slice) and item.step not in (None, 1) for item in selection):
        raise UnsupportedError("no slices with steps")


class Zarrista(Peer):
    """zarrista (Rust)."""

    name, package, module = "zarrista", "zarrista", "zarrista"

    def open(self, path: Path, *, write: bool = False) -> Any:
        return self.library.Array.open(import_module("zarrista.store").FilesystemStore(str(path)))

    def read(self, handle: Any, selection: tuple[int | slice, ...]) -> Any:
        boxes_only(selection)
        result = handle.retrieve_array_subset(selection).to_numpy()
        dropped = tuple(axis for axis, item in enumerate(selection) if isinstance(item, int))
        return result.squeeze(dropped) if dropped else result

    def write(self, handle: Any, data: NDArray[Any]) -> None:
        handle.store_array_subset(..., data)

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        group = self.library.Group.open(import_module("zarrista.store").FilesystemStore(str(path)))
        if not consolidated:
            arrays = group.child_arrays()
            return sorted(
                (a.path.strip("/"), tuple(a.metadata["shape"]), dtype_of(a.metadata)) for a in arrays
            )
        documents = group.consolidated_metadata["metadata"]
        return sorted(
            (name, tuple(document["shape"]), dtype_of(document)) for name, document in documents.items()
        )


def dtype_of(document: dict[str, Any]) -> str:
    """The NumPy type string of a format 3 array document with a core data type."""
    return str(np.dtype(document["data_type"]).str)


class Z5py(Peer):
    """z5py (C++)."""

    name, package, module = "z5py", "z5py", "z5py"

    def open(self, path: Path, *, write: bool = False) -> Any:
        array = self.library.File(str(path.parent), mode="r+" if write else "r")[path.name]
        array.n_threads = os.cpu_count()  # its default is one thread
        return array

    def read(self, handle: Any, selection: tuple[int | slice, ...]) -> Any:
        boxes_only(selection)
        return handle[selection]

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        group = self.library.File(str(path), mode="r")
        members = ((name, group[name]) for name in group)
        return sorted((name, array.shape, array.dtype.str) for name, array in members)


class Reference(Peer):
    """NumPy on the volume itself: what every library's answer is compared with."""

    name = "reference"

    def __init__(self, volume: NDArray[Any], listed: Listing) -> None:
        self.volume, self.listed = volume, listed

    def open(self, path: Path, *, write: bool = False) -> Any:
        return self.volume

    def oindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle[np.ix_(*indices)]

    def vindex(self, handle: Any, indices: tuple[NDArray[Any], ...]) -> Any:
        return handle[indices]

    def write(self, handle: Any, data: NDArray[Any]) -> None:
        """Nothing to do: what was written is compared with `data`."""

    def listing(self, path: Path, *, consolidated: bool) -> Listing:
        return self.listed


PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Gpuzarr, ZarrPython, ZarrFused, ZarrZarrs, TensorStore, Zarrista, Z5py)
}
