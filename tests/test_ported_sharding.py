"""Shards as zarr-python's own tests have them (its tests/test_codecs/test_sharding.py)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ported import Call, Counting, calls, check_in, in_formats
from strategies import assert_same

import gpuzarr

SAME = """
    made((16, 16), shards=(16, 16), chunks=(8,), zarr_format=3)
    made((16, 16), shards=(16, 16), chunks=(8, 7), zarr_format=3)
    made((16, 16), shards=(16, 16), chunks=(9, 9), zarr_format=3)
    made((16, 16), shards=(16,), chunks=(8, 8), zarr_format=3)
    made((16, 16), shards={"shape": (16, 16), "index_location": "middle"}, chunks=(8, 8), zarr_format=3)
    a = lib.create_array(kept, shape=(16, 16), chunks=(8, 8), shards=(16, 16), dtype="i4"); \
        b = lib.open_array(kept); \
        [b.chunks, b.shards, b.metadata == a.metadata]
    a = made((30, 10), chunks=(2, 5), shards=(4, 10), zarr_format=3); [a.cdata_shape, a.nchunks, a.chunks, a.shards]
    a = made(40, chunks=(5,), shards=(20,), zarr_format=3); \
        [a.nchunks, *(put(a, slice(k, k + 20), 1).nchunks_initialized for k in (0, 20))]
    a = made((256, 256), "u1", chunks=(32, 32), shards="auto", zarr_format=3); \
        [s % c for s, c in zip(a.shards, a.chunks)]
    a = made((4, 4), chunks="auto", shards=(4, 4), zarr_format=3); [s % c for s, c in zip(a.shards, a.chunks)]

    a = made((8, 8, 8), "u2", chunks=(1, 8, 8), shards=(8, 8, 8), compressors=None, zarr_format=3); \
        put(a, ..., np.arange(512).reshape(8, 8, 8)); [a[x, :, :] for x in range(8)]
    made((40, 40), "u2", chunks=(8, 8), shards=(16, 16), fill_value=1, zarr_format=3)[0:10, 0:10]
    a = made((16, 64), "f4", chunks=(2, 4), shards=(8, 32), zarr_format=3); \
        put(a, ..., np.arange(1024).reshape(16, 64)); \
        [a[0, 22:42], a[:, 0], a[3:5, 31:33]]
    a = put(made(15, "f4", chunks=(2,), shards=(8,), zarr_format=3), ..., np.arange(15)); \
        [a[[8, 8, 12, 12]], a[[14, 0, 14]]]
    a = made(14, chunks=(2,), shards=(8,), fill_value=-9, zarr_format=3); \
        put(a, ..., [0, 1, 2, 3, 4, 5, 6, 7, 2, 0, -9, -9, 4, 5])[...]
    a = lib.create_array(kept, shape=14, dtype="i4", chunks=(2,), shards=(8,), fill_value=-9); \
        put(a, ..., [*range(8), *[-9] * 6]); [a[...], sorted(k for k in kept if k.startswith("c"))]
    a = made((20, 20), "u2", chunks=(8, 8), shards=(16, 16), fill_value=1, zarr_format=3); \
        [put(a, np.s_[:10, :10], v)[...] for v in (5, 15)]
    a = made((40, 40), "u2", chunks=(10, 10), shards=(20, 20), fill_value=1, zarr_format=3); \
        put(a, np.s_[0:16, 0:16], np.arange(256).reshape(16, 16))[0:18, 0:18]
    a = lib.create_array(kept, shape=(16, 16), chunks=(8, 8), shards=(8, 16), dtype="u2", compressors=None, \
        fill_value=1); \
        put(put(put(a, ..., 0), np.s_[8:], 1), np.s_[:, 8:], 1); [a[...], "c/1/0" in kept, len(kept["c/0/0"])]
    [(a[...], a.nchunks_initialized) for s in ((10, 2), (4, 5), (10, 5)) \
        for a in [put(made(s, chunks=(2, 1), shards=s, fill_value=42, zarr_format=3), ..., 1)]]
    a = made((20, 10, 10), "u1", chunks=(20, 10, 1), shards=(20, 10, 10), zarr_format=3); \
        put(a, ..., np.arange(2000).reshape(20, 10, 10) % 251); [a[0:5, 1, 0:3], a[0, 0, [0, 1, 2]]]
    a = made((2, 3, 4), "f4", chunks=(1, 2, 2), shards=(2, 4, 4), zarr_format=3); \
        put(a, ..., np.arange(24).reshape(2, 3, 4)); \
        [a[1, [0, 1]], a[1, :, [0, 1]]]
    a = lib.create_array({}, data=np.arange(100), chunks=(1,), shards=(20,)); [a.append(np.arange(7)), a[...]]
    a = lib.create_array({}, data=np.arange(100), chunks=(4,), shards=(20,)); a.resize(50); \
        [a[...], a.nchunks_initialized]
    a = lib.create_array({}, data=np.arange(64).reshape(8, 8), chunks=(2, 2), shards=(4, 4)); \
        [a.blocks[0, 1], a.oindex[[0, 7], [3, 1]], a.vindex[[0, 7], [3, 1]], a[a[...] > 50], a[::3, ::5]]
"""
"""What both do alike, a call a line."""

NEWER = [
    Call(
        "a = made((20, 4, 4), 'u1', chunks=(20, 4, 1), shards=(20, 4, 4), zarr_format=3); "
        "put(a, ..., 7)[0:10, 0, [0, 1]]",
        since="3.4",
    ),
    Call(
        "a = put(made((), 'f4', chunks=(), shards=(), zarr_format=3), ..., 7); [float(a[...]), a.chunks, a.shards]",
        since="3.4",
    ),
    Call(
        "t = [('a', 'i4'), ('b', 'f4')]; "
        "a = made(8, t, chunks=(2,), shards=(4,), fill_value=(1, 2.0), zarr_format=3); "
        "put(a, np.s_[:3], np.ones(3, t))[...].tolist()",
        since="3.4",
    ),
]
"""What older versions of zarr-python do otherwise."""


@in_formats(calls(SAME) + NEWER, (3,))
def test_shards(call: Call, zarr_format: int, tmp_path: Path) -> None:
    check_in(call, zarr_format, tmp_path)


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def sharding(chunk: int, ndim: int, location: str, codecs: list[Any]) -> dict[str, Any]:
    index = [codec("bytes", endian="little"), {"name": "crc32c"}]
    return codec(
        "sharding_indexed", chunk_shape=[chunk] * ndim, codecs=codecs, index_codecs=index, index_location=location
    )


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("offset", [0, 10])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_transposed_and_compressed_chunks_in_shards(tmp_path: Path, ndim: int, offset: int, location: str) -> None:
    zarr = pytest.importorskip("zarr")
    data = (np.arange(32**ndim) % 251).astype("u2").reshape((32,) * ndim)
    how = {
        "shape": tuple(n + offset for n in data.shape),
        "chunks": (8,) * ndim,
        "shards": {"shape": (16,) * ndim, "index_location": location},
        "dtype": "u2",
        "fill_value": 6,
        "filters": [codec("transpose", order=list(range(ndim))[::-1])],
        "compressors": codec("blosc", cname="lz4", clevel=5, shuffle="shuffle", typesize=2, blocksize=0),
    }
    where = (slice(offset, None),) * ndim
    wanted = np.full(how["shape"], 6, "u2")
    wanted[where] = data
    for library in (gpuzarr, zarr):
        folder = str(tmp_path / library.__name__)
        library.create_array(folder, **how)[where] = data
        assert_same(gpuzarr.open_array(folder)[...], wanted)
        assert_same(zarr.open_array(folder, mode="r")[...], wanted)


@pytest.mark.parametrize("outer", ["start", "end"])
@pytest.mark.parametrize("inner", ["start", "end"])
def test_shards_in_shards(tmp_path: Path, outer: str, inner: str) -> None:
    zarr = pytest.importorskip("zarr")
    data = np.arange(15 * 16 * 17, dtype="u2").reshape(15, 16, 17)
    deepest = [codec("bytes", endian="little"), codec("zstd", level=0, checksum=False)]
    serializer = sharding(8, 3, outer, [sharding(4, 3, inner, deepest)])
    how = {"shape": data.shape, "dtype": "u2", "chunks": (8,) * 3, "compressors": None, "serializer": serializer}
    for library in (gpuzarr, zarr):
        folder = str(tmp_path / library.__name__)
        library.create_array(folder, **how)[...] = data
        found = gpuzarr.open_array(folder)
        assert (found.shards, found.chunks) == ((8,) * 3, (4,) * 3)
        assert_same(found[...], data)
        assert_same(found[3:9, 14:, ::7], data[3:9, 14:, ::7])
        assert_same(zarr.open_array(folder, mode="r")[...], data)


def test_strings_of_any_length_in_shards() -> None:
    data = np.array(["a", "", "żółw", "b" * 300, "c"], object)
    array = gpuzarr.create_array({}, shape=5, dtype=str, chunks=(2,), shards=(4,))
    array[...] = data
    assert array[...].tolist() == data.tolist()
    assert array[1:4].tolist() == data[1:4].tolist()


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_part_of_a_shard_is_read_without_the_rest(location: str) -> None:
    kept = Counting()
    shards = {"shape": (8, 32), "index_location": location}
    array = gpuzarr.create_array(kept, data=np.arange(1024, dtype="f4").reshape(16, 64), chunks=(2, 4), shards=shards)
    assert array.explain((0, slice(22, 42))).to_dict()["chunks"] == 6
    kept.forget()
    assert array[0, 22:42].tolist() == list(range(22, 42))
    assert {*kept.read} == {"c/0/0", "c/0/1"}


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_shard_that_is_gone_reads_as_the_fill_value(location: str) -> None:
    kept: dict[str, bytes] = {}
    shards = {"shape": (16,), "index_location": location}
    array = gpuzarr.create_array(kept, data=np.arange(16, dtype="f4"), chunks=(8,), shards=shards, fill_value=-999)
    assert array[0] == 0
    del kept["c/0"]
    assert array[0] == -999


@pytest.mark.parametrize(("wanted", "partial"), [(slice(None), False), (slice(1, 9), True)])
def test_a_shard_is_read_where_a_part_is_written_and_never_for_all_of_it(wanted: slice, partial: bool) -> None:
    kept = Counting()
    array = gpuzarr.create_array(kept, shape=10, chunks=(1,), shards=(10,), dtype="i8", fill_value=-1)
    array[...] = 0
    kept.forget()
    array[wanted] = 1
    assert {*kept.read} == ({"c/0"} if partial else set())
    assert kept.written == ["c/0"]


def test_the_codec_pickles_and_goes_through_its_document() -> None:
    for location in ("start", "end"):
        made = gpuzarr.codecs.ShardingCodec.from_config(sharding(8, 2, location, [codec("bytes")])["configuration"])
        assert pickle.loads(pickle.dumps(made)) == made
        assert gpuzarr.codecs.ShardingCodec.from_config(made.to_config().configuration) == made
    with pytest.raises(ValueError, match="index_location"):
        gpuzarr.codecs.ShardingCodec.from_config(sharding(8, 2, "middle", [codec("bytes")])["configuration"])
