"""Bytes that numcodecs wrote through the years decode to what they were made of; what gpuzarr encodes it decodes.

The folder `numcodecs-fixture` of what GPUZARR_CONFORMANCE names has, for each codec, arrays, configurations, and the
arrays encoded. Each goes through a codec's own stage, and as a chunk of an array of format 2 through a whole read.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.codecs.base import Buffer, Stage, Wire
from gpuzarr.codecs.registry import make
from gpuzarr.errors import UnsupportedError
from gpuzarr.metadata import CodecConfig

NAMED = os.environ.get("GPUZARR_CONFORMANCE")

OBJECTS = {"categorize", "json", "json2", "msgpack2", "pickle", "vlen-array", "vlen-bytes", "vlen-utf8"}
"""Codecs of elements that may have no fixed size: what they make of them is compared, not what it is made of."""

MEMCPYED = 2
"""The flag of Blosc containers that hold their data as it is."""


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    return config.pop("id"), config


def refusal(folder: Path) -> str | None:
    """The feature under whose name a configuration is refused, in general or by this installation."""
    name, config = read_config(folder)
    import numcodecs

    if name in ("pcodec", "zfpy") and name not in numcodecs.registry.codec_registry:
        return f"codec {name}"
    if config.get("cname") == "snappy" and "snappy" not in numcodecs.blosc.list_compressors():
        return "blosc with snappy"
    return None


def configurations(*, refused: bool, objects: bool = False) -> list[Any]:
    """Folders of configurations, as parameters; one that is skipped where they are not at hand."""
    if NAMED is None:
        skip = pytest.mark.skip(reason="GPUZARR_CONFORMANCE names no folder of conformance data")
        return [pytest.param(Path(), marks=skip, id="none")]
    root = Path(NAMED) / "numcodecs-fixture"
    found = sorted(f.parent for f in root.rglob("config.json"))
    if not found:
        raise FileNotFoundError(f"no configurations below {root}")
    found = [f for f in found if (read_config(f)[0] in OBJECTS) == objects]
    return [pytest.param(f, id=f.relative_to(root).as_posix()) for f in found if refused or not refusal(f)]


@dataclass(frozen=True)
class Golden:
    """An array, and its elements encoded in the order in which they lie in memory."""

    array: NDArray[Any]
    encoded: bytes

    @property
    def flat(self) -> NDArray[Any]:
        return self.array.ravel("A")


def golden(folder: Path) -> list[Golden]:
    files = sorted(folder.glob("encoded.*.dat"))
    assert files
    objects = read_config(folder)[0] in OBJECTS
    arrays = [np.load(folder.parent / f"array.{f.name.split('.')[1]}.npy", allow_pickle=objects) for f in files]
    return [Golden(array, file.read_bytes()) for array, file in zip(arrays, files, strict=True)]


def bound(folder: Path, array: NDArray[Any]) -> Stage:
    name, config = read_config(folder)
    stage: Stage = make(CodecConfig(f"numcodecs.{name}", config)).bind(Wire(array.dtype, array.nbytes))
    return stage


def close(found: Buffer, one: Golden, folder: Path) -> bool:
    """Whether decoded bytes are the elements: all bits of them, but for codecs that lose some."""
    name, config = read_config(folder)
    if name == "quantize":
        far, rounded = 10.0 ** -config["digits"], config["astype"]
    elif name == "fixedscaleoffset":
        far, rounded = 1 / config["scale"], config["dtype"]
    elif name == "astype" and np.dtype(config["encode_dtype"]).kind == "f":
        far, rounded = 0.0, config["encode_dtype"]
    else:
        return bytes(found) == one.flat.tobytes()
    elements = np.frombuffer(found, one.array.dtype)
    return np.allclose(elements, one.flat, rtol=float(np.finfo(rounded).eps), atol=far)


@pytest.mark.parametrize("folder", configurations(refused=True))
def test_golden_bytes_decode_or_their_codec_is_refused_by_name(folder: Path) -> None:
    name, config = read_config(folder)
    feature = refusal(folder)
    if feature == f"codec {name}":
        with pytest.raises(UnsupportedError) as refused:
            make(CodecConfig(f"numcodecs.{name}", config))
        assert refused.value.feature == feature
        return
    for one in golden(folder):
        stage, size = bound(folder, one.array), one.array.nbytes
        if feature and not one.encoded[2] & MEMCPYED:
            with pytest.raises(UnsupportedError) as refused:
                stage.decode(one.encoded, size, size)
            assert refused.value.feature == feature
            continue
        decoded = bytes(memoryview(stage.decode(one.encoded, size, size)).cast("B"))
        assert close(decoded, one, folder)
        into = memoryview(bytearray(size))
        stage.decode(one.encoded, size, size, into)
        assert bytes(into) == decoded


@pytest.mark.parametrize("folder", configurations(refused=False))
def test_numcodecs_decodes_what_is_encoded(folder: Path) -> None:
    import numcodecs

    name, config = read_config(folder)
    if config.get("delta_spec") in ("none", "no_op") and version("numcodecs").startswith("0.16."):
        pytest.skip("numcodecs 0.16 does not encode by this delta_spec with today's pcodec; decoding needs none")
    for one in golden(folder):
        encoded = bound(folder, one.array).encode(memoryview(one.flat.view(np.uint8)))
        decoded = numcodecs.get_codec({"id": name, **config}).decode(bytes(encoded))
        assert close(np.ascontiguousarray(decoded).reshape(-1).view(np.uint8).data, one, folder)


@pytest.mark.parametrize("folder", configurations(refused=False))
@pytest.mark.parametrize("native", [True, False], ids=["compiled", "Python"])
def test_golden_bytes_are_chunks(folder: Path, native: bool) -> None:
    name, config = read_config(folder)
    for one in golden(folder):
        document = {
            "zarr_format": 2,
            "shape": [one.array.size],
            "chunks": [one.array.size],
            "dtype": one.array.dtype.str,
            "compressor": {"id": name, **config},
            "fill_value": None,
            "order": "C",
            "filters": None,
        }
        store = {".zarray": json.dumps(document).encode(), "0": one.encoded}
        array = gpuzarr.open_array(store, mode="r", executor=gpuzarr.Executor(threads=1, native=native))
        assert close(array[...].tobytes(), one, folder)


def shown(array: NDArray[Any]) -> str:
    """All elements with their types; the members of an object in JSON have no order."""
    return json.dumps(array.tolist(), sort_keys=True, default=repr)


@pytest.mark.parametrize("folder", configurations(refused=True, objects=True))
def test_golden_bytes_are_chunks_of_elements_of_any_size(folder: Path) -> None:
    name, config = read_config(folder)
    if name == "msgpack2":
        pytest.importorskip("msgpack")
    for one in golden(folder):
        array, document = one.array, {"zarr_format": 2, "shape": one.array.shape, "chunks": one.array.shape}
        if name == "vlen-array" and array.flat[0].dtype != config["dtype"]:  # made of one array by many codecs
            array = np.array([None, *(v.astype(config["dtype"]) for v in array.flat)], object)[1:].reshape(array.shape)
        document |= {"dtype": array.dtype.str, "compressor": None, "filters": [{"id": name, **config}]}
        document |= {"fill_value": None, "order": "C" if array.flags.c_contiguous else "F"}
        key = ".".join("0" * array.ndim)
        store = {".zarray": json.dumps(document).encode(), key: one.encoded}
        found = gpuzarr.open_array(store, mode="r", allow_pickle=name == "pickle")[...]
        assert shown(np.asarray(found, array.dtype)) == shown(array)
