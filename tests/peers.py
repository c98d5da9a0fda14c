"""Other implementations of Zarr, each as something that reads and writes an array in a folder.

The rule: a peer is used through its ordinary way of opening a folder, and told nothing but the path.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gpuzarr

__all__ = ["PEERS", "Peer", "documents", "gpuzarr_reads", "peer", "put_documents", "quiet", "same"]


@dataclass(frozen=True)
class Peer:
    """An implementation: `read` and `write` take a folder, `write` an array that is there already."""

    name: str
    read: Callable[[Path], NDArray[Any]]
    write: Callable[[Path, NDArray[Any]], None]


@contextmanager
def quiet() -> Iterator[None]:
    """What other packages warn of is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _zarr() -> Peer:
    zarr = pytest.importorskip("zarr")
    rectilinear = {"array.rectilinear_chunks": True}

    def read(folder: Path) -> NDArray[Any]:
        with quiet(), zarr.config.set(rectilinear):
            return np.asarray(zarr.open_array(str(folder), mode="r")[...])

    def write(folder: Path, values: NDArray[Any]) -> None:
        with quiet(), zarr.config.set(rectilinear):
            zarr.open_array(str(folder), mode="r+")[...] = values

    return Peer("zarr", read, write)


def _tensorstore() -> Peer:
    ts = pytest.importorskip("tensorstore")

    def opened(folder: Path) -> Any:
        driver = "zarr3" if (folder / "zarr.json").exists() else "zarr"
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}
        return ts.open(spec, open=True).result()

    def read(folder: Path) -> NDArray[Any]:
        return np.asarray(opened(folder).read().result())

    def write(folder: Path, values: NDArray[Any]) -> None:
        opened(folder).write(values).result()

    return Peer("tensorstore", read, write)


def _zarrista() -> Peer:
    zarrista = pytest.importorskip("zarrista")

    def opened(folder: Path) -> Any:
        return zarrista.Array.open(zarrista.store.FilesystemStore(str(folder)))

    def read(folder: Path) -> NDArray[Any]:
        array, data_type = opened(folder), gpuzarr.open_array(folder, mode="r").dtype
        found = array[...]
        if data_type.hasobject or data_type.kind in "biufmM":
            return np.array(found.to_numpy())
        # other types have no way to NumPy but their bytes
        return np.frombuffer(found.buffer(), data_type).reshape(array.shape)

    def write(folder: Path, values: NDArray[Any]) -> None:
        if values.dtype.hasobject:
            parts = [v.encode() if isinstance(v, str) else v for v in values.ravel().tolist()]
            offsets = np.cumsum([0, *map(len, parts)])
            opened(folder)[...] = zarrista.ArrayBytes(b"".join(parts), offsets=offsets.tolist())
            return
        # as plain bytes: its other ways in know fewer data types
        opened(folder)[...] = values.astype(values.dtype.newbyteorder("="), copy=False).tobytes()

    return Peer("zarrista", read, write)


def _new_zarr() -> Peer:
    zarr = pytest.importorskip("zarr")
    if tuple(int(n) for n in zarr.__version__.split(".")[:2]) < (3, 4):
        pytest.skip(f"zarr-python {zarr.__version__} gets this wrong by itself; 3.4 does not")
    return _zarr()


PEERS = {"z": _zarr, "Z": _new_zarr, "t": _tensorstore, "r": _zarrista}
"""Each by a letter, so that a case can say in a word who takes it."""


def peer(letter: str) -> Peer:
    """The implementation; the test is skipped where it is not installed."""
    return PEERS[letter]()


def put_documents(folder: Path, documents: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))


def documents(folder: Path) -> dict[str, Any]:
    """All documents below a folder, without what says nothing."""
    found: dict[str, Any] = {}
    for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"):
        for file in folder.rglob(name):
            document = json.loads(file.read_text())
            if document.get("storage_transformers") == []:
                del document["storage_transformers"]
            if document:
                found[file.relative_to(folder).as_posix()] = document
    return found


def same(found: Any, wanted: NDArray[Any]) -> bool:
    """Whether two arrays are equal bit for bit, whatever their byte order."""
    found = np.asarray(found, wanted.dtype if wanted.dtype.hasobject else None)
    if wanted.dtype.hasobject:
        return found.shape == wanted.shape and bool(found.tolist() == wanted.tolist())
    if found.shape != wanted.shape or found.dtype.itemsize != wanted.dtype.itemsize:
        return False
    if "int" in found.dtype.name and found.dtype.type.__module__ == "ml_dtypes":  # the upper bits say nothing
        return found.dtype == wanted.dtype and bool((found == wanted).all())
    native = [np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="), copy=False)) for a in (found, wanted)]
    return native[0].tobytes() == native[1].tobytes()


def _ways_of_reading(folder: Path) -> Iterator[tuple[str, gpuzarr.Array]]:
    """The array there from files and from memory, with the compiled module (where there is one) and without."""
    values = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    for native in (True, False):
        executor = gpuzarr.Executor(threads=1, native=native)
        how = "compiled" if native else "Python"
        yield f"files, {how}", gpuzarr.open_array(folder, mode="r", executor=executor)
        yield f"memory, {how}", gpuzarr.open_array(values, mode="r", executor=executor)


def gpuzarr_reads(folder: Path, wanted: NDArray[Any]) -> list[str]:
    """The ways of reading that do not give what is wanted."""
    wrong = []
    for how, array in _ways_of_reading(folder):
        for name, found, expected in _selections(array, wanted):
            if not same(found, expected):
                wrong.append(f"{how}: {name}")
    return wrong


def _selections(array: gpuzarr.Array, wanted: NDArray[Any]) -> Iterator[tuple[str, Any, Any]]:
    yield "whole", array[...], wanted
    crop = tuple(slice(n // 4, n - n // 5) for n in wanted.shape)
    yield "crop", array[crop], wanted[(*crop, ...)]
    turned = tuple(slice(None, None, -2) for _ in wanted.shape)
    yield "steps backwards", array[turned], wanted[(*turned, ...)]
    out = np.zeros(wanted.shape, array.dtype, order="F")
    yield "into memory in another order", array.read(..., out=out), wanted
    if wanted.size and wanted.ndim:
        points = tuple(np.array([0, n - 1, n // 2, 0]) for n in wanted.shape)
        yield "points", array.vindex[points], wanted[points]
        rows = (np.array([wanted.shape[0] - 1, 0]), *(slice(None),) * (wanted.ndim - 1))
        yield "outer indexing", array.oindex[rows], wanted[rows]
        yield "several at once", array.read_many([crop, crop]), np.stack([wanted[crop]] * 2)
