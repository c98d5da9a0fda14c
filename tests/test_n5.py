"""N5 containers as Zarr, and the codec of their blocks: against TensorStore, and the specification's examples."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numcodecs
import numcodecs.lz4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuzarr
from gpuzarr.errors import CodecError, GpuzarrError, MetadataError, StoreError, UnknownCodecError, UnsupportedError
from gpuzarr.store import LocalStore, MemoryStore, N5Store
from gpuzarr.testing import to_host


def n5_default(ndim: int, *more: Any) -> dict[str, Any]:
    """The codec for arrays of `ndim` axes, with a compressor or without."""
    turned = {"name": "transpose", "configuration": {"order": list(range(ndim))[::-1]}}
    bytes_codec = {"name": "bytes", "configuration": {"endian": "big"}}
    return {"name": "n5_default", "configuration": {"codecs": [turned, bytes_codec, *more]}}


TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


def lz4_java(data: bytes, size: int = 64) -> bytes:
    """What LZ4BlockOutputStream writes, but for the checksums: blocks of at most `size` bytes, every other one raw."""
    blocks = []
    for number, at in enumerate(range(0, len(data), size)):
        part = data[at : at + size]
        method, packed = (0x10, part) if number % 2 else (0x20, bytes(numcodecs.lz4.compress(part))[4:])
        blocks.append(struct.pack("<8sBiiI", b"LZ4Block", method, len(packed), len(part), 0) + packed)
    return b"".join((*blocks, struct.pack("<8sBiiI", b"LZ4Block", 0x10, 0, 0, 0)))


COMPRESSIONS: dict[str, tuple[dict[str, Any], Callable[[bytes], bytes]]] = {
    "raw": ({"type": "raw"}, bytes),
    "gzip": ({"type": "gzip", "level": -1}, gzip.compress),
    "gzip, two members": ({"type": "gzip"}, lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    "zlib": ({"type": "gzip", "level": 5, "useZlib": True}, zlib.compress),
    "bzip2": ({"type": "bzip2", "blockSize": 5}, bz2.compress),
    "xz": ({"type": "xz", "preset": 6}, lzma.compress),
    "blosc": (
        {"type": "blosc", "cname": "zstd", "clevel": 6, "shuffle": 2, "blocksize": 0, "nthreads": 1},
        numcodecs.Blosc("zstd", 6, 2).encode,
    ),
    "zstd": ({"type": "zstd", "level": 3, "nbWorkers": 0}, numcodecs.Zstd(3).encode),
    "lz4 of lz4-java": ({"type": "lz4", "blockSize": 65536}, lz4_java),
    "lz4 of zarr-python 2": ({"type": "lz4", "acceleration": 1, "id": "lz4"}, numcodecs.LZ4().encode),
    "lz4 of z5": ({"type": "lz4", "blockSize": 6}, lambda data: bytes(numcodecs.lz4.compress(data))[4:]),
}
"""What a document says, and what its writer makes of bytes."""


def attributes(values: Any, block: tuple[int, ...], compression: dict[str, Any], **more: Any) -> bytes:
    found = {"dimensions": values.shape, "blockSize": block, "dataType": values.dtype.name, "compression": compression}
    return json.dumps({**found, **more}).encode()


def encoded(values: Any, compress: Callable[[bytes], bytes], mode: int = 0) -> bytes:
    """One block: N5, "File-system specification", 9."""
    header = struct.pack(f">HH{values.ndim}I", mode, values.ndim, *values.shape)
    varying = struct.pack(">I", values.size) if mode == 1 else b""
    return header + varying + compress(values.astype(values.dtype.newbyteorder(">")).tobytes("F"))


def put_array(
    store: Any,
    path: str,
    values: Any,
    block: tuple[int, ...],
    compression: str = "raw",
    whole: Callable[[tuple[int, ...]], bool] = lambda at: False,
    **more: Any,
) -> None:
    """An array in N5; blocks at the border are cut, or `whole`."""
    config, compress = COMPRESSIONS[compression]
    store.put(f"{path}/attributes.json", attributes(values, block, config, **more))
    padded = np.zeros([-(-n // b) * b for n, b in zip(values.shape, block, strict=True)], values.dtype)
    padded[tuple(map(slice, values.shape))] = values
    for at in itertools.product(*(range(-(-n // b)) for n, b in zip(values.shape, block, strict=True))):
        box = tuple(slice(k * b, (k + 1) * b) for k, b in zip(at, block, strict=True))
        part = padded[box] if whole(at) else values[box]
        store.put(f"{path}/{'/'.join(map(str, at))}", encoded(part, compress))


VALUES = np.arange(7 * 5 * 6, dtype="i2").reshape(7, 5, 6)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def opened(store: Any, path: str = "a", **how: Any) -> gpuzarr.Array:
    return gpuzarr.open_array(N5Store(store), path=path, mode="r", **how)


# Arrays


@pytest.mark.parametrize("meta_array", ["cpu", "simulated"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_read_on_any_memory(store: MemoryStore, compression: str, meta_array: str) -> None:
    put_array(store, "a", VALUES, (3, 2, 6), compression)
    array = opened(store, meta_array=meta_array)
    assert (array.shape, array.dtype, array.chunks) == (VALUES.shape, VALUES.dtype, (3, 2, 6))
    assert np.array_equal(to_host(array[...]), VALUES)
    assert np.array_equal(to_host(array[5:1:-2, 1:4, 2]), VALUES[5:1:-2, 1:4, 2])
    said = str(array.explain(...))
    assert "n5_default: Python" in said
    if meta_array == "simulated":
        assert "there is no n5_default for devices" in said


@pytest.mark.parametrize("dtype", TYPES)
def test_every_data_type_is_read(store: MemoryStore, dtype: str) -> None:
    values = np.arange(-10, 25).reshape(5, 7).astype(dtype)
    put_array(store, "a", values, (2, 3), "gzip")
    assert opened(store).dtype == values.dtype
    assert np.array_equal(opened(store)[...], values)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=4),
    st.sampled_from(TYPES),
    st.sampled_from(["raw", "gzip", "bzip2", "xz", "blosc", "zstd", "lz4 of lz4-java", "lz4 of z5"]),
    st.data(),
)
def test_arrays_are_read_whichever_blocks_are_cut_or_absent(
    axes: list[tuple[int, int]], dtype: str, compression: str, data: st.DataObject
) -> None:
    shape, block = (tuple(n) for n in zip(*axes, strict=True))
    values = np.arange(1, math.prod(shape) + 1).reshape(shape).astype(dtype)
    kept = MemoryStore()
    put_array(kept, "a", values, block, compression, whole=lambda at: data.draw(st.booleans()))
    for key in [key for key in kept.list("a/") if not key.endswith("json") and data.draw(st.booleans())]:
        kept.delete(key)
        at = tuple(map(int, key.split("/")[1:]))
        values[tuple(slice(k * b, (k + 1) * b) for k, b in zip(at, block, strict=True))] = 0
    assert np.array_equal(opened(kept)[...], values)
    part = tuple(slice(data.draw(st.integers(0, n)), data.draw(st.integers(0, n))) for n in shape)
    assert np.array_equal(opened(kept)[part], values[part])


ts = pytest.importorskip("tensorstore")

THEIRS: list[dict[str, Any]] = [
    {"type": "raw"},
    {"type": "gzip", "level": 6},
    {"type": "gzip", "level": 1, "useZlib": True},
    {"type": "bzip2", "blockSize": 9},
    {"type": "xz", "preset": 1},
    {"type": "zstd", "level": 5},
    *({"type": "blosc", "cname": name, "clevel": 5, "shuffle": 1} for name in ("lz4", "blosclz", "zstd", "zlib")),
]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(2, 8)), min_size=1, max_size=4),
    st.sampled_from(TYPES),
    st.sampled_from(THEIRS),
    st.data(),
)
def test_what_tensorstore_writes_is_read(
    tmp_path: Path, axes: list[tuple[int, int]], dtype: str, compression: dict[str, Any], data: st.DataObject
) -> None:
    shape, block = (list(n) for n in zip(*axes, strict=True))
    metadata = {"dimensions": shape, "blockSize": block, "dataType": dtype, "compression": compression}
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{tmp_path}/t.n5/a"}, "metadata": metadata}
    theirs = ts.open(spec, create=True, delete_existing=True).result()
    part = tuple(slice(*sorted((data.draw(st.integers(0, n)), n))) for n in shape)
    some = theirs[part]
    some[...] = np.arange(1, some.size + 1).reshape(some.shape).astype(dtype)
    ours = gpuzarr.open_array(f"{tmp_path}/t.n5", path="a", mode="r")
    assert np.array_equal(ours[...], theirs.read().result())
    assert np.array_equal(ours[part], theirs[part].read().result())


def test_what_is_written_with_the_codec_is_n5(tmp_path: Path) -> None:
    """The codec writes; the container is completed by hand, as the codec's specification describes."""
    codec = n5_default(3, {"name": "gzip", "configuration": {"level": 1}})
    array = gpuzarr.create_array(
        tmp_path / "both", data=VALUES, chunks=(3, 2, 4), serializer=codec, compressors=None,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    array[1:3, 0, 2] = 99  # read, changed, and written again
    expected = VALUES.copy()
    expected[1:3, 0, 2] = 99
    (tmp_path / "both/attributes.json").write_bytes(attributes(VALUES, (3, 2, 4), {"type": "gzip"}))
    assert np.array_equal(ts.open(f"{array.store.url}/|n5:").result().read().result(), expected)
    assert np.array_equal(gpuzarr.load(f"{array.store.url}|n5:"), expected)
    assert np.array_equal(gpuzarr.load(tmp_path / "both"), expected)
    assert array.serializer is not None
    assert (array.serializer.name, array.compressors) == ("n5_default", ())


def test_the_codec_is_read_within_shards_and_after_a_transpose() -> None:
    codec, turned = n5_default(3), {"name": "transpose", "configuration": {"order": [1, 2, 0]}}
    for how in ({"shards": (6, 4, 6)}, {"filters": [turned]}):
        array = gpuzarr.create_array({}, data=VALUES, chunks=(3, 2, 6), serializer=codec, compressors=None, **how)
        assert np.array_equal(array[...], VALUES)
        assert np.array_equal(gpuzarr.open_array(array.store)[1:, ::2], VALUES[1:, ::2])


SPECIFIED = {
    "raw": "0001 0002 0003 0004 0005 0006",
    "bzip2": """425a 6839 3141 5926 5359 023e 0dd2 0000 0040 007f 0020 0031 0c01 0d31 a873 9433 7c5d c914 e142 4008
        f837 48""",
    "gzip": "1f8b 0800 0000 0000 0000 6360 6460 6260 6660 6160 6560 0300 aaea 6dbf 0c00 0000",
    "xz": """fd37 7a58 5a00 0004 e6d6 b446 0200 2101 1600 0000 742f e5a3 0100 0b00 0100 0200 0300 0400 0500 0600
        0d03 09ca 34ec 15a7 0001 240c a618 d8d8 1fb6 f37d 0100 0000 0004 595a""",
}
"""N5, "File-system specification": a block of 1 x 2 x 3 elements."""


@pytest.mark.parametrize("compression", SPECIFIED)
def test_the_blocks_of_the_specification_are_read(store: MemoryStore, compression: str) -> None:
    values = np.arange(1, 7, dtype="u2").reshape((1, 2, 3), order="F")
    store.put("a/attributes.json", attributes(values, (1, 2, 3), {"type": compression}))
    store.put("a/0/0/0", bytes.fromhex("0000 0003 00000001 00000002 00000003" + SPECIFIED[compression]))
    assert np.array_equal(opened(store)[...], values)


# Containers


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """A folder as Java writes one: some groups have attributes."""
    kept = LocalStore(tmp_path / "data.n5")
    kept.put("attributes.json", b'{"n5": "4.0.0", "made by": {"deep": [1, null, "x"]}}')
    more = {"resolution": [4, 4, 40.5], "axes": ["x", "y", "z"], "downsamplingFactors": [1, 1, 1]}
    put_array(kept, "setup/s0", VALUES, (3, 2, 6), "gzip", **more)
    put_array(kept, "setup/s1", VALUES[::2], (3, 2, 6), "raw")
    kept.put("setup/attributes.json", b'{"downsamplingFactors": [[1, 1, 1], [2, 1, 1]], "dataType": "int16"}')
    put_array(kept, "deep/er/b", VALUES[0], (5, 6), "zstd")
    return tmp_path / "data.n5"


def test_a_container_is_a_group_of_groups_and_arrays(container: Path) -> None:
    root = gpuzarr.open(container, mode="r")
    assert isinstance(root, gpuzarr.Group)
    assert dict(root.attrs) == {"n5": "4.0.0", "made by": {"deep": [1, None, "x"]}}
    assert list(root.keys()) == ["deep", "setup"]
    assert [name for name, _ in root.members(None)] == ["deep", "deep/er", "deep/er/b", "setup", "setup/s0", "setup/s1"]
    assert root["setup"].attrs["dataType"] == "int16"
    array = root["setup/s0"]
    assert isinstance(array, gpuzarr.Array)
    assert dict(array.attrs) == {"resolution": [4, 4, 40.5], "axes": ["x", "y", "z"], "downsamplingFactors": [1, 1, 1]}
    assert array.dimension_names == ("x", "y", "z")
    assert np.array_equal(array[...], VALUES)
    assert (array.nchunks_initialized, array.fill_value) == (array.nchunks, 0)
    assert "s1 (4, 5, 6) int16" in str(root.tree())
    with pytest.raises(LookupError):
        root["nothing"]


@pytest.mark.parametrize(
    "where",
    ["{}/setup/s0", "{}|n5:setup/s0", "file://{}/|n5:setup/s0", "file://{}/setup|n5:s0", "file://{}/setup/s0|N5"],
)
def test_a_node_is_found_wherever_the_url_begins(container: Path, where: str) -> None:
    array = gpuzarr.open_array(where.format(container.as_posix()), mode="r")
    assert np.array_equal(array[...], VALUES)
    assert np.array_equal(gpuzarr.open(array.store.url, path=array.path)[...], VALUES)
    assert np.array_equal(pickle.loads(pickle.dumps(array))[...], VALUES)


def test_a_container_in_an_archive_and_in_memory_is_read(container: Path, store: MemoryStore) -> None:
    with zipfile.ZipFile(container.parent / "a.zip", "w") as archive:
        for file in container.rglob("*"):
            if file.is_file():
                archive.write(file, f"in/{file.relative_to(container)}")
    where = f"{container.parent}/a.zip|zip:in/"
    assert np.array_equal(gpuzarr.load(f"{where}|n5:setup/s0"), VALUES)
    assert np.array_equal(gpuzarr.load(where, path="setup/s0"), VALUES)
    assert sorted(gpuzarr.open(f"{where}|n5:")) == ["deep", "setup"]
    put_array(store, "a", VALUES, (3, 2, 6))
    assert np.array_equal(gpuzarr.load(store, path="a"), VALUES)


def test_the_ending_n5_tells_what_a_folder_without_attributes_is(tmp_path: Path) -> None:
    assert gpuzarr.create_group(tmp_path / "zarr.n5").store.url == gpuzarr.open(tmp_path / "zarr.n5").store.url
    assert gpuzarr.open(tmp_path / "new.n5").read_only is False
    put_array(LocalStore(tmp_path / "a.n5"), "a", VALUES, (3, 2, 6))
    root = gpuzarr.open(tmp_path / "a.n5")
    assert isinstance(root, gpuzarr.Group)
    assert (list(root.keys()), dict(root.attrs), root.read_only) == (["a"], {}, True)
    put_array(LocalStore(tmp_path), "b.n5/deep/er", VALUES, (3, 2, 6))
    for group in (gpuzarr.open(tmp_path / "b.n5/deep"), gpuzarr.open(tmp_path, path="b.n5/deep")):
        assert list(group) == ["er"]


def test_a_copy_is_zarr_with_the_blocks_as_they_are_but_for_what_no_document_names(store: MemoryStore) -> None:
    for name in COMPRESSIONS:
        put_array(store, name, VALUES, (3, 2, 6), name, axes=["x", "y", "z"])
    copy = gpuzarr.copy(gpuzarr.open(N5Store(store), mode="r"), {})
    assert isinstance(copy, gpuzarr.Group)
    for name, array in copy.arrays():
        assert np.array_equal(array[...], VALUES)
        assert array.dimension_names == ("x", "y", "z")
        assert array.serializer is not None
        assert array.serializer.name == ("bytes" if name.startswith("lz4") else "n5_default")
    one = gpuzarr.copy(gpuzarr.open(store, mode="r", path="gzip"), {}, serializer="bytes", compressors="zstd")
    assert isinstance(one, gpuzarr.Array)
    assert np.array_equal(one[...], VALUES)
    assert [codec.name for codec in one.metadata.codecs] == ["bytes", "zstd"]


def test_what_is_listed_is_there(container: Path) -> None:
    kept = LocalStore(container)
    put_array(kept, "both", VALUES, (3, 2, 6))
    kept.put("both/zarr.json", b"{}")
    shown = N5Store(kept)
    keys = list(shown.list())
    documents = {key.replace("attributes.json", "zarr.json") for key in kept.list()}
    assert sorted(keys) == sorted(documents | {"deep/zarr.json", "deep/er/zarr.json"})
    assert all(shown.size(key) == len(shown.get(key) or b"") for key in keys)
    for prefix in ("setup/s0/", "setup/s", "setup/s0/z", "setup/s0/1", "zarr"):
        assert sorted(shown.list(prefix)) == sorted(key for key in keys if key.startswith(prefix))
    assert shown.list_dir("both") == ["0", "1", "2", "zarr.json"]
    found = gpuzarr.validate(shown, deep=True)
    assert (found.arrays, found.valid, {finding.rule for finding in found.findings}) == (4, True, {"few-readers"})


def test_a_container_is_not_written(container: Path) -> None:
    before = {file: file.read_bytes() for file in container.rglob("*") if file.is_file()}
    root = gpuzarr.open(container)
    assert root.read_only
    changes: list[Callable[[], Any]] = [
        lambda: root["setup/s0"].__setitem__(0, 1),
        lambda: root["setup/s0"].resize((1, 1, 1)),
        lambda: root.attrs.update(a=1),
        lambda: root.create_group("new"),
        lambda: root.__delitem__("setup"),
        lambda: gpuzarr.create_array(f"{container}|n5:new", shape=1, dtype="i1"),
        lambda: gpuzarr.create_group(f"{container}|n5:setup", overwrite=True),
        lambda: gpuzarr.open(f"{container}|n5:", mode="w"),
        lambda: root.store.put("a", b""),
        lambda: root.store.delete("attributes.json"),
    ]
    for change in changes:
        with pytest.raises(StoreError, match="reading only"):
            change()
    assert {file: file.read_bytes() for file in container.rglob("*") if file.is_file()} == before


def test_zarr_comes_first_and_what_only_looks_like_n5_is_none(tmp_path: Path) -> None:
    gpuzarr.create_group(tmp_path / "both")
    (tmp_path / "both/attributes.json").write_text('{"n5": "2.0.0"}')
    assert gpuzarr.open(tmp_path / "both", mode="r").store.url.endswith("both")
    (tmp_path / "other").mkdir()
    for text in ('{"a": 1}', "[1]", "{", '{"dimensions": [1]}'):
        (tmp_path / "other/attributes.json").write_text(text)
        with pytest.raises(LookupError):
            gpuzarr.open(tmp_path / "other", mode="r")
    (tmp_path / "other/attributes.json").write_text('{"n5": "2.0.0"}')
    for zarr_format in (2, 3):
        with pytest.raises(LookupError):
            gpuzarr.open(tmp_path / "other", mode="r", zarr_format=zarr_format)
    with pytest.raises(LookupError):
        gpuzarr.open(f"{tmp_path}/nothing|n5:", mode="r")


# What is refused


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"dataType": "string"}, UnsupportedError, "string"),
        ({"dataType": "object"}, UnsupportedError, "object"),
        ({"dataType": "float16"}, MetadataError, "float16"),
        ({"dataType": ["uint8"]}, MetadataError, "uint8"),
        ({"compression": {"type": "jpeg"}}, UnsupportedError, "jpeg"),
        ({"compression": {}}, MetadataError, "type"),
        ({"compression": "gzip"}, MetadataError, "compression"),
        ({"compression": {"type": []}}, UnsupportedError, "compression"),
        ({"codecs": [{"name": "sharding_indexed"}]}, UnsupportedError, "shards"),
        ({"n5": "5.0.0"}, UnsupportedError, "5.0.0"),
        ({"blockSize": [3, 2]}, MetadataError, "blocks"),
        ({"blockSize": [3, 2, 0]}, MetadataError, "blocks"),
        ({"blockSize": [3, 2, 1 << 60]}, MetadataError, "chunk"),
        ({"blockSize": 3}, MetadataError, "blockSize"),
        ({"dimensions": [], "blockSize": []}, MetadataError, "blocks"),
        ({"dimensions": [1, -1, 1]}, MetadataError, "size"),
        ({"dimensions": [1, 2, 3.5]}, MetadataError, "size"),
        ({"dimensions": [1] * 65, "blockSize": [1] * 65}, UnsupportedError, "65 dimensions"),
    ],
)
def test_attributes_that_are_no_array_of_numbers_are_refused(
    store: MemoryStore, changed: dict[str, Any], kind: type[GpuzarrError], says: str
) -> None:
    found = json.loads(attributes(VALUES, (3, 2, 6), {"type": "raw"}))
    store.put("a/attributes.json", json.dumps(found | changed).encode())
    with pytest.raises(kind, match=says) as caught:
        opened(store)
    assert caught.value.path == "a"


def test_parameters_that_only_encoders_need_are_not_looked_at(store: MemoryStore) -> None:
    for kind in ("gzip", "bzip2", "xz", "zstd", "blosc"):
        put_array(store, "a", VALUES, (3, 2, 6), kind)
        strange = {"level": "high", "blockSize": -3, "preset": 1e9, "shuffle": 7, "cname": 5, "clevel": None, "more": 1}
        store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), {**strange, "type": kind}))
        assert np.array_equal(opened(store)[...], VALUES)
    put_array(store, "a", VALUES, (3, 2, 6), "xz")
    old = json.loads(attributes(VALUES, (3, 2, 6), {"type": "raw"}))
    del old["compression"]
    store.put("a/attributes.json", json.dumps({**old, "compressionType": "xz"}).encode())  # version 0
    assert np.array_equal(opened(store)[...], VALUES)


BLOCK = VALUES[:3, :2]


@pytest.mark.parametrize("compression", ["raw", "gzip", "lz4 of lz4-java", "blosc"])
@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"", "cut off"),
        (b"\0\0\0", "cut off"),
        (struct.pack(">HH2I", 0, 3, 3, 2), "cut off"),
        (struct.pack(">HH3I", 1, 3, 3, 2, 6), "cut off"),
        (struct.pack(">HI", 2, 36) + bytes(36), "mode 2"),
        (struct.pack(">HH2I", 0, 2, 3, 2) + bytes(36), "2 dimensions"),
        (struct.pack(">HH", 0, 65535), "65535 dimensions"),
        (struct.pack(">HH3I", 0, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(36), "in chunks"),
        (struct.pack(">HH3I", 0, 3, 1 << 20, 1, 1) + bytes(36), "in chunks"),
        (struct.pack(">HH4I", 1, 3, 3, 2, 6, 35) + bytes(36), "number of elements"),
        (struct.pack(">HH3I", 0, 3, 3, 2, 6), "."),
        (struct.pack(">HH3I", 0, 3, 3, 2, 5) + bytes(36), "."),
        (struct.pack(">HH3I", 0, 3, 3, 2, 7) + bytes(36), "."),
    ],
)
def test_a_hostile_block_is_an_error_before_memory_is_taken(
    store: MemoryStore, block: bytes, says: str, compression: str
) -> None:
    store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), COMPRESSIONS[compression][0]))
    store.put("a/0/0/0", block)
    with pytest.raises(CodecError, match=says) as caught:
        opened(store)[0, 0, 0]
    assert (caught.value.key, caught.value.chunk) == ("a/0/0/0", (0, 0, 0))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 7), (1, 1, 1)])
def test_a_block_that_holds_another_number_of_elements_is_an_error(
    store: MemoryStore, compression: str, shape: tuple[int, ...]
) -> None:
    config, compress = COMPRESSIONS[compression]
    store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), config))
    store.put("a/0/0/0", struct.pack(">HH3I", 0, 3, *shape) + compress(BLOCK.astype(">i2").tobytes("F")))
    with pytest.raises(CodecError):
        opened(store)[0, 0, 0]


def test_blocks_of_varying_length_are_read_where_they_are_arrays(store: MemoryStore) -> None:
    store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), {"type": "raw"}))
    store.put("a/0/0/0", encoded(BLOCK, bytes, mode=1))
    store.put("a/1/0/0", encoded(VALUES[3:7, :3], bytes))  # larger than a block: the beginning counts
    assert np.array_equal(opened(store)[:3, :2], BLOCK)
    assert np.array_equal(opened(store)[3:6, :2], VALUES[3:6, :2])


@given(st.sampled_from(sorted(COMPRESSIONS)), st.data())
def test_a_damaged_block_gives_values_or_our_error(compression: str, data: st.DataObject) -> None:
    kept = MemoryStore()
    config, compress = COMPRESSIONS[compression]
    kept.put("a/attributes.json", attributes(VALUES, (3, 2, 6), config))
    block = bytearray(encoded(BLOCK, compress))
    for _ in range(data.draw(st.integers(1, 3))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    kept.put("a/0/0/0", bytes(block[: data.draw(st.integers(0, len(block)))] if data.draw(st.booleans()) else block))
    with suppress(CodecError):
        assert opened(kept)[...].shape == VALUES.shape


GOOD = lz4_java(BLOCK.astype(">i2").tobytes("F"), 32)
SIZES = [(1 << 30, 32), (32, 1 << 30), (-1, 32), (32, -1), (4, 32)]


@pytest.mark.parametrize(
    "body",
    [
        GOOD[:8],
        GOOD[:40],
        GOOD[:8] + b"\x30" + GOOD[9:],
        *(GOOD[:9] + struct.pack("<ii", *sizes) + GOOD[17:] for sizes in SIZES),
    ],
)
def test_lz4_blocks_that_lie_are_errors(store: MemoryStore, body: bytes) -> None:
    store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), {"type": "lz4"}))
    store.put("a/0/0/0", encoded(BLOCK, lambda data: body))
    with pytest.raises(CodecError) as caught:
        opened(store)[0, 0, 0]
    assert caught.value.codec in ("lz4", "n5_default")


def test_a_stream_of_lz4_blocks_ends_at_an_empty_one(store: MemoryStore) -> None:
    store.put("a/attributes.json", attributes(VALUES, (3, 2, 6), {"type": "lz4"}))
    store.put("a/0/0/0", encoded(BLOCK, lambda data: GOOD * 2))
    assert np.array_equal(opened(store)[:3, :2], BLOCK)


TURNED = {"name": "transpose", "configuration": {"order": [1, 0]}}


@pytest.mark.parametrize(
    "codecs",
    [
        None,
        [],
        ["bytes"],
        [TURNED],
        ["bytes", TURNED],
        [{"name": "transpose", "configuration": {"order": [0, 1]}}, "bytes"],
        [{"name": "transpose", "configuration": {"order": [2, 1, 0]}}, "bytes"],
        [TURNED, {"name": "bytes", "configuration": {"endian": "little"}}],
        [TURNED, "bytes", "bytes"],
        [TURNED, "bytes", "gzip", "gzip"],
        [TURNED, "bytes", "no such codec"],
    ],
)
def test_a_configuration_that_n5_can_not_have_is_refused(codecs: Any) -> None:
    codec = {"name": "n5_default", "configuration": {"codecs": codecs}}
    with pytest.raises((MetadataError, UnknownCodecError)):
        gpuzarr.create_array({}, shape=(4, 4), dtype="i4", serializer=codec, compressors=None)


@pytest.mark.parametrize("dtype", ["bool", "float16", "complex64", "M8[s]", "V4", "U2"])
def test_a_data_type_that_n5_has_not_is_refused(dtype: str) -> None:
    with pytest.raises(MetadataError, match="N5 has no data type"):
        gpuzarr.create_array({}, shape=(4,), dtype=dtype, serializer=n5_default(1), compressors=None)


def test_lz4_is_only_read() -> None:
    with pytest.raises(UnsupportedError, match="only read"):
        gpuzarr.create_array({}, data=np.arange(4), serializer=n5_default(1, "gpuzarr.n5_lz4"), compressors=None)
