"""The functions of the package: what is made, what is opened, and what every mode does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import assert_same

import gpuzarr
from gpuzarr.errors import (
    GpuzarrError,
    MetadataError,
    NodeExistsError,
    NodeNotFoundError,
    StoreError,
    UnknownCodecError,
    UnsupportedError,
)
from gpuzarr.store import LocalStore, MappingStore, MemoryStore

formats = pytest.mark.parametrize("zarr_format", [2, 3])
MADE: dict[str, Any] = {"shape": (4,), "dtype": "i4", "fill_value": 5}


def document(kept: Any, name: str = "zarr.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kept[name])
    return found


# ---- modes ---------------------------------------------------------------------------------------------------


def test_mode_r_reads_and_nothing_else(where: Any) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open_array(where, mode="r", **MADE)
    gpuzarr.create_array(where, **MADE)
    array = gpuzarr.open_array(where, mode="r")
    assert array[...].tolist() == [5] * 4
    with pytest.raises(StoreError, match="reading only"):
        array[...] = 1


def test_mode_r_plus_changes_what_is_there(where: Any) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open_array(where, mode="r+", **MADE)
    gpuzarr.create_array(where, **MADE)
    gpuzarr.open_array(where, mode="r+")[...] = 1
    assert gpuzarr.open_array(where, mode="r")[...].tolist() == [1] * 4


def test_mode_a_makes_what_is_not_there(where: Any) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open_array(where)
    array = gpuzarr.open_array(where, **MADE)
    array[...] = 1
    assert gpuzarr.open_array(where, mode="a", **{**MADE, "shape": (9,)})[...].tolist() == [1] * 4


def test_mode_w_makes_anew(where: Any) -> None:
    for _ in range(2):
        array = gpuzarr.open_array(where, mode="w", **MADE)
        assert array[...].tolist() == [5] * 4
        array[...] = 1
    gpuzarr.open_group(where, mode="w")
    assert gpuzarr.open(where).store.get("c/0") is None


def test_mode_w_minus_makes_only_what_is_not_there(where: Any) -> None:
    gpuzarr.open_array(where, mode="w-", **MADE)
    with pytest.raises(NodeExistsError):
        gpuzarr.open_array(where, mode="w-", **MADE)
    with pytest.raises(NodeExistsError):
        gpuzarr.open_group(where, mode="w-")


def test_modes_of_groups_are_the_same(where: Any) -> None:
    for mode in ("r", "r+"):
        with pytest.raises(NodeNotFoundError):
            gpuzarr.open_group(where, mode=mode)
    gpuzarr.open_group(where).create_group("x")
    assert list(gpuzarr.open_group(where)) == ["x"]
    assert list(gpuzarr.open_group(where, mode="r+")) == ["x"]
    with pytest.raises(NodeExistsError):
        gpuzarr.open_group(where, mode="w-")
    assert list(gpuzarr.open_group(where, mode="w")) == []
    gpuzarr.open_group(where, mode="r")


@pytest.mark.parametrize("mode", ["rw", "x", "", 1])
def test_a_mode_that_does_not_exist_is_refused(mode: Any) -> None:
    for opened in (gpuzarr.open, gpuzarr.open_array, gpuzarr.open_group):
        with pytest.raises(ValueError, match="mode must be one of r, r\\+, a, w, w-"):
            opened({}, mode=mode)


@pytest.mark.parametrize("kind", [MemoryStore, lambda: MappingStore({}), None])
def test_mode_r_of_a_store_that_is_open_already_is_for_reading_only_too(kind: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path) if kind is None else kind()
    root = gpuzarr.create_group(store)
    root.create_array("a", **MADE)
    for array in (gpuzarr.open_array(store, path="a", mode="r"), gpuzarr.open_group(store, mode="r")["a"]):
        assert array.read_only
        with pytest.raises(StoreError, match="reading only"):
            array[...] = 1
    assert not root.read_only
    root["a"][...] = 2
    assert array[...].tolist() == [2] * 4


def test_a_refused_array_leaves_what_was_there(where: Any) -> None:
    gpuzarr.create_array(where, data=np.arange(4))
    for how in ({"compressors": "zzz"}, {"chunks": (3, 3)}, {"dtype": "zzz"}, {"fill_value": "zzz"}, {"shards": (3,)}):
        with pytest.raises(GpuzarrError):
            gpuzarr.open_array(where, mode="w", **{**MADE, "chunks": (2,), **how})
    assert gpuzarr.open_array(where)[...].tolist() == [0, 1, 2, 3]


# ---- opening -------------------------------------------------------------------------------------------------


@formats
def test_open_opens_whichever_is_there(where: Any, zarr_format: int) -> None:
    root = gpuzarr.create_group(where, zarr_format=zarr_format)
    root.create_array("a", **MADE)
    assert isinstance(gpuzarr.open(where), gpuzarr.Group)
    assert isinstance(gpuzarr.open(where, path="a"), gpuzarr.Array)
    assert gpuzarr.open(where, path="a", zarr_format=zarr_format) == root["a"]
    with pytest.raises(NodeNotFoundError, match=f"no .*{5 - zarr_format}|no array or group"):
        gpuzarr.open(where, mode="r", path="a", zarr_format=5 - zarr_format)
    with pytest.raises(NodeNotFoundError) as caught:
        gpuzarr.open(where, mode="r", path="zzz")
    assert caught.value.path == "zzz"


def test_open_makes_an_array_where_a_shape_is_given_else_a_group() -> None:
    assert isinstance(gpuzarr.open({}, **MADE), gpuzarr.Array)
    assert isinstance(gpuzarr.open({}), gpuzarr.Group)
    assert isinstance(gpuzarr.open({}, mode="w"), gpuzarr.Group)
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, **MADE)
    assert isinstance(gpuzarr.open(kept, mode="r", order="F"), gpuzarr.Array)


def test_an_array_is_no_group_and_the_other_way_round() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_group(kept).create_array("a", **MADE)
    with pytest.raises(NodeNotFoundError, match="a group is there, not an array"):
        gpuzarr.open_array(kept)
    with pytest.raises(NodeExistsError, match="an array is there, not a group"):
        gpuzarr.open_group(kept, path="a")


def test_of_two_formats_at_one_place_the_newer_is_opened_unless_asked() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, shape=(2,), dtype="i4", zarr_format=2)
    for key, value in list(kept.items()):
        other: dict[str, bytes] = {}
        gpuzarr.create_array(other, shape=(3,), dtype="i4")
        kept |= {**other, key: value}
    assert gpuzarr.open_array(kept).shape == (3,)
    assert gpuzarr.open_array(kept, zarr_format=2).shape == (2,)


@pytest.mark.parametrize("function", [gpuzarr.open, gpuzarr.open_array, gpuzarr.open_group, gpuzarr.create_array])
def test_an_argument_nobody_knows_is_a_type_error(function: Any) -> None:
    with pytest.raises(TypeError, match="zzz"):
        function({}, zzz=1, **({} if function is gpuzarr.open_group else MADE))


def test_arguments_for_making_are_refused_where_nothing_is_made() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, **MADE)
    with pytest.raises(TypeError, match="zzz"):
        gpuzarr.open_array(kept, zzz=1)


# ---- making arrays -------------------------------------------------------------------------------------------


@formats
def test_data_brings_shape_and_type(where: Any, zarr_format: int) -> None:
    values = np.arange(6, dtype="u2").reshape(2, 3)
    assert_same(gpuzarr.create_array(where, data=values, zarr_format=zarr_format)[...], values)
    assert_same(gpuzarr.open_array(where)[...], values)
    for how in ({"shape": (2, 3)}, {"dtype": "u2"}):
        with pytest.raises(MetadataError, match="data= brings its own"):
            gpuzarr.create_array({}, data=values, zarr_format=zarr_format, **how)


def test_data_may_be_left_unwritten() -> None:
    array = gpuzarr.create_array({}, data=np.ones(3), write_data=False)
    assert (array.shape, array[...].tolist()) == ((3,), [0, 0, 0])


@pytest.mark.parametrize("how", [{}, {"shape": (2,)}, {"dtype": "i4"}])
def test_shape_and_type_are_needed(how: dict[str, Any]) -> None:
    with pytest.raises(MetadataError, match="shape and dtype are needed"):
        gpuzarr.create_array({}, **how)


@pytest.mark.parametrize("shape", [4, (4,), [4], np.int64(4), (np.int32(4),)])
def test_shapes_are_taken_as_numpy_takes_them(shape: Any) -> None:
    array = gpuzarr.create_array({}, shape=shape, dtype="i4", chunks=shape)
    assert array.shape == array.chunks == (4,)


@pytest.mark.parametrize("shape", [-1, (2, -1), 2.5, (2.5,), "4", ("4",), True, (True,), object()])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    for how in ({"shape": shape}, {"chunks": shape}, {"shards": shape}):
        if how == {"chunks": -1} or how == {"chunks": True}:
            continue
        with pytest.raises(MetadataError):
            gpuzarr.create_array({}, **{"shape": (4,), "dtype": "i4", "chunks": (2,), **how})


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        *(("auto", (10, 4)), (None, (10, 4)), (True, (10, 4)), (False, (10, 4))),
        *((3, (3, 3)), ((-1, 2), (10, 2)), ((20, 1), (20, 1))),
    ],
)
def test_chunks_may_be_left_to_the_package(chunks: Any, wanted: tuple[int, ...]) -> None:
    assert gpuzarr.create_array({}, shape=(10, 4), dtype="u1", chunks=chunks).chunks == wanted


def test_automatic_chunks_stay_small_and_cover_all() -> None:
    array = gpuzarr.create_array({}, shape=(1000, 1000, 100), dtype="f8")
    assert 2**18 < np.prod(array.chunks) * 8 <= 2**20
    assert gpuzarr.create_array({}, shape=(0, 5), dtype="f8").chunks == (1, 5)


def test_automatic_shards_are_no_larger_than_the_array() -> None:
    for shape, wanted in [((40, 3), (16, 4)), ((2, 0), (2, 2)), ((5, 1000), (6, 16))]:
        assert gpuzarr.create_array({}, shape=shape, dtype="u1", chunks=(2, 2), shards="auto").shards == wanted


@pytest.mark.parametrize(
    ("how", "shards"),
    [
        ({"shards": (4, 8)}, (4, 8)),
        ({"shards": {"shape": (4, 8), "index_location": "start"}}, (4, 8)),
        ({"shards": "auto"}, (16, 16)),
    ],
)
def test_shards_are_multiples_of_chunks(how: dict[str, Any], shards: tuple[int, ...]) -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, data=np.ones((20, 20)), chunks=(2, 2), **how)
    assert (array.shards, array.chunks) == (shards, (2, 2))
    sharding = document(kept)["codecs"][0]
    location = "start" if isinstance(how["shards"], dict) else "end"
    assert (sharding["name"], sharding["configuration"]["index_location"]) == ("sharding_indexed", location)
    assert (array[...] == 1).all()


@pytest.mark.parametrize(
    "shards", [(3, 4), (4,), (0, 2), {"index_location": "end"}, {"shape": (4, 4), "index_location": "x"}]
)
def test_shards_that_are_no_multiples_are_refused(shards: Any) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=(8, 8), dtype="i4", chunks=(2, 2), shards=shards)


@pytest.mark.parametrize("how", [{"shards": (4,)}, {"serializer": "bytes"}, {"dimension_names": ("x",)}])
def test_format_2_lacks_what_came_later(how: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=(4,), dtype="i4", chunks=(2,), zarr_format=2, **how)


@pytest.mark.parametrize("zarr_format", [1, 4, "3", 2.0, True])
def test_other_formats_do_not_exist(zarr_format: Any) -> None:
    with pytest.raises(MetadataError, match="zarr_format"):
        gpuzarr.create_array({}, **MADE, zarr_format=zarr_format)
    with pytest.raises(MetadataError, match="zarr_format"):
        gpuzarr.create_group({}, zarr_format=zarr_format)
    with pytest.raises(MetadataError, match="zarr_format"):
        gpuzarr.open({}, zarr_format=zarr_format)


@pytest.mark.parametrize(
    ("encoding", "zarr_format", "key"),
    [
        (None, 3, "c/0/0"),
        (".", 3, "c.0.0"),
        ({"name": "v2"}, 3, "0.0"),
        ({"name": "v2", "separator": "/"}, 3, "0/0"),
        ({"name": "default", "configuration": {"separator": "."}}, 3, "c.0.0"),
        (None, 2, "0.0"),
        ("/", 2, "0/0"),
        ({"name": "v2", "separator": "/"}, 2, "0/0"),
    ],
)
def test_chunk_keys_are_as_asked_for(encoding: Any, zarr_format: int, key: str) -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, data=np.ones((2, 2)), zarr_format=zarr_format, chunk_key_encoding=encoding)
    assert key in kept
    assert (gpuzarr.open_array(kept)[...] == 1).all()


@pytest.mark.parametrize(
    ("encoding", "zarr_format"),
    [("-", 3), ({"name": "zzz"}, 3), ({"name": "default"}, 2), ({"name": "v2", "separator": "x"}, 2), (7, 3), ({}, 4)],
)
def test_other_chunk_keys_are_refused(encoding: Any, zarr_format: int) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=(2,), dtype="i4", zarr_format=zarr_format, chunk_key_encoding=encoding)


def test_dimension_names_are_kept(where: Any) -> None:
    gpuzarr.create_array(where, shape=(2, 2), dtype="i4", dimension_names=["y", None])
    assert gpuzarr.open_array(where).dimension_names == ("y", None)


@pytest.mark.parametrize("names", ["xy", ["x"], ["x", 1], ["x", "y", "z"], 5])
def test_dimension_names_are_one_an_axis(names: Any) -> None:
    with pytest.raises(MetadataError, match="names for 2 axes"):
        gpuzarr.create_array({}, shape=(2, 2), dtype="i4", dimension_names=names)


@pytest.mark.parametrize(
    ("compressors", "wanted"),
    [
        ("auto", [("zstd", {"level": 0, "checksum": False})]),
        (None, []),
        ([], []),
        ({"name": "gzip"}, [("gzip", {"level": 1})]),
        ({"name": "zstd", "configuration": {"level": 3}}, [("zstd", {"level": 3, "checksum": False})]),
        ([{"name": "gzip", "configuration": {"level": 1}}, "crc32c"], [("gzip", {"level": 1}), ("crc32c", {})]),
        ({"id": "zstd", "level": 2}, [("zstd", {"level": 2, "checksum": False})]),
    ],
)
def test_compressors_are_taken_in_every_form(compressors: Any, wanted: Any) -> None:
    array = gpuzarr.create_array({}, data=np.arange(9), chunks=(4,), compressors=compressors)
    assert [(c.name, c.configuration) for c in array.compressors] == wanted
    assert array[...].tolist() == list(range(9))


def test_format_2_takes_the_names_of_numcodecs() -> None:
    shuffle = {"id": "shuffle", "elementsize": 8}
    array = gpuzarr.create_array({}, data=np.arange(9), zarr_format=2, compressors="zlib", filters=shuffle)
    assert [c.name for c in (*array.filters, *array.compressors)] == ["numcodecs.shuffle", "numcodecs.zlib"]
    assert array[...].tolist() == list(range(9))


def test_codecs_of_numcodecs_and_gpuzarr_are_taken_too() -> None:
    numcodecs = pytest.importorskip("numcodecs")
    array = gpuzarr.create_array({}, data=np.arange(9), compressors=numcodecs.Blosc("lz4", 3))
    made = {"cname": "lz4", "clevel": 3, "shuffle": "shuffle", "typesize": 8, "blocksize": 0}
    assert array.compressors[0].configuration == made
    old = gpuzarr.create_array({}, data=np.arange(9), zarr_format=2, compressors=numcodecs.LZ4(2))
    assert old.metadata.compressor is not None
    assert old.metadata.compressor.to_v2() == {"id": "lz4", "acceleration": 2}
    again = gpuzarr.create_array({}, data=np.arange(9), compressors=array.compressors)
    assert again.compressors == array.compressors


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"compressors": "zzz"}, UnknownCodecError),
        ({"compressors": 7}, MetadataError),
        ({"compressors": {"level": 3}}, MetadataError),
        ({"compressors": {"name": "gzip", "configuration": {"level": 99}}}, MetadataError),
        ({"compressors": "bytes"}, MetadataError),
        ({"filters": "gzip"}, MetadataError),
        ({"serializer": "gzip"}, MetadataError),
        ({"serializer": {"name": "bytes", "configuration": {"endian": "middle"}}}, MetadataError),
        ({"filters": [{"name": "transpose", "configuration": {"order": [0, 0]}}]}, MetadataError),
        ({"filters": [{"name": "transpose", "configuration": {"order": [0, 1]}}]}, MetadataError),
        ({"compressors": "vlen-utf8"}, MetadataError),
        ({"compressors": "zfp"}, MetadataError),
        ({"zarr_format": 2, "compressors": ["zlib", "zlib"]}, MetadataError),
        ({"zarr_format": 2, "compressors": "bytes"}, UnknownCodecError),
        ({"zarr_format": 2, "compressors": {"name": "bytes"}}, MetadataError),
        ({"zarr_format": 2, "order": "K"}, MetadataError),
    ],
)
def test_codecs_that_are_none_or_in_the_wrong_place_are_refused(how: dict[str, Any], error: type[Exception]) -> None:
    kept: dict[str, bytes] = {}
    with pytest.raises(error):
        gpuzarr.create_array(kept, **MADE, **how)
    assert kept == {}


@formats
@pytest.mark.parametrize("dtype", ["u1", "f8", "c16", "?", ">i4"])
def test_the_fill_value_is_the_types_zero_unless_given(zarr_format: int, dtype: str) -> None:
    array = gpuzarr.create_array({}, shape=(2,), dtype=dtype, zarr_format=zarr_format)
    assert_same(array[...], np.zeros(2, array.dtype))
    assert array.fill_value == 0
    assert_same(
        gpuzarr.create_array({}, shape=(2,), dtype=dtype, zarr_format=zarr_format, fill_value=1)[...],
        np.ones(2, array.dtype),
    )


@formats
@pytest.mark.parametrize(("dtype", "fill"), [("i1", 300), ("u1", -1), ("i4", "x"), ("i4", [1, 2]), ("f4", object())])
def test_a_fill_value_that_the_type_lacks_is_refused(zarr_format: int, dtype: str, fill: Any) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=(2,), dtype=dtype, zarr_format=zarr_format, fill_value=fill)


def test_the_groups_above_are_made_in_the_same_format() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, name="a/b", **MADE)
    assert {"zarr.json", "a/zarr.json", "a/b/zarr.json"} == set(kept)
    old: dict[str, bytes] = {}
    gpuzarr.create_array(old, name="a/b", zarr_format=2, **MADE)
    assert {".zgroup", "a/.zgroup", "a/b/.zarray"} == set(old)


def test_what_is_there_is_replaced_only_on_demand(where: Any) -> None:
    gpuzarr.create_array(where, data=np.ones(9), chunks=(2,))
    with pytest.raises(NodeExistsError) as caught:
        gpuzarr.create_array(where, **MADE)
    assert isinstance(caught.value, FileExistsError)
    array = gpuzarr.create_array(where, overwrite=True, **MADE)
    assert array[...].tolist() == [5] * 4
    assert array.nchunks_initialized == 0


def test_replacing_a_format_removes_the_other() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, **MADE)
    gpuzarr.create_array(kept, zarr_format=2, overwrite=True, **MADE)
    assert set(kept) == {".zarray"}


# ---- the short ways ------------------------------------------------------------------------------------------


def test_arrays_of_one_value() -> None:
    assert_same(gpuzarr.zeros((2, 2), dtype="i4")[...], np.zeros((2, 2), "i4"))
    assert_same(gpuzarr.ones(3)[...], np.ones(3))
    assert_same(gpuzarr.full((2,), 7)[...], np.full(2, 7))
    assert_same(gpuzarr.full((2,), 1.5)[...], np.full(2, 1.5))
    assert_same(gpuzarr.full((2,), np.datetime64(3, "s"), zarr_format=2)[...], np.full(2, np.datetime64(3, "s")))
    assert gpuzarr.empty((2, 3), dtype="u1").shape == (2, 3)
    assert gpuzarr.zeros((2,), store={}, path="a/b").path == "a/b"


def test_array_makes_an_array_of_anything() -> None:
    assert_same(gpuzarr.array([[1, 2], [3, 4]])[...], np.array([[1, 2], [3, 4]]))
    assert_same(gpuzarr.array([1, 2], dtype="f4")[...], np.array([1, 2], "f4"))
    assert_same(gpuzarr.array(np.int8(3))[...], np.array(3, "i1"))
    assert_same(gpuzarr.array(gpuzarr.ones(3))[...], np.ones(3))
    values = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert_same(gpuzarr.array(values[::-1].T, chunks=(2, 1))[...], values[::-1].T)


LIKE: dict[str, dict[str, Any]] = {
    "plain": {"dtype": "i4", "chunks": (2, 3)},
    "sharded": {"dtype": "f4", "chunks": (2, 3), "shards": (4, 3)},
    "old": {"dtype": ">i2", "chunks": (2, 3), "zarr_format": 2},
    "records": {"dtype": [("x", "i2"), ("y", "f4")], "chunks": (2, 3), "zarr_format": 2},
}


@pytest.mark.parametrize("how", LIKE.values(), ids=LIKE)
def test_arrays_like_another_have_its_shape_type_and_chunks(how: dict[str, Any]) -> None:
    model = gpuzarr.create_array({}, shape=(8, 9), **how)
    made = [gpuzarr.empty_like(model), gpuzarr.zeros_like(model)]
    if "x" not in (model.dtype.names or ()):
        made += [gpuzarr.ones_like(model), gpuzarr.full_like(model, 1)]
        assert (made[2][...] == 1).all()
        assert (made[3][...] == 1).all()
    for array in made:
        assert (array.shape, array.dtype, array.chunks, array.shards, array.zarr_format) == (
            *(model.shape, model.dtype, model.chunks, model.shards, model.zarr_format),
        )
    assert gpuzarr.zeros_like(model, chunks=(4, 9), shards=None).chunks == (4, 9)


def test_arrays_like_numpys_take_its_shape_and_type() -> None:
    assert_same(gpuzarr.ones_like(np.zeros((2, 3), "u2"))[...], np.ones((2, 3), "u2"))
    assert_same(gpuzarr.full_like(np.zeros(2), 3, dtype="i4")[...], np.full(2, 3, "i4"))


@formats
def test_one_array_is_saved_and_loaded(where: Any, zarr_format: int) -> None:
    values = np.arange(4)
    gpuzarr.save(where, values, zarr_format=zarr_format)
    assert_same(gpuzarr.load(where), values)
    gpuzarr.save(where, values * 2, zarr_format=zarr_format)
    assert_same(gpuzarr.load(where), values * 2)


@formats
def test_several_arrays_are_saved_in_a_group(where: Any, zarr_format: int) -> None:
    gpuzarr.save(where, np.ones(2), [1, 2, 3], path="g", x=np.zeros(1), zarr_format=zarr_format)
    found = gpuzarr.load(where, path="g")
    assert {name: values.tolist() for name, values in found.items()} == {"arr_0": [1, 1], "arr_1": [1, 2, 3], "x": [0]}
    with pytest.raises(ValueError, match="at least one array"):
        gpuzarr.save(where)


def test_loading_what_is_not_there_is_an_error(where: Any) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.load(where)


def test_options_hold_for_what_is_made_and_loaded() -> None:
    kept: dict[str, bytes] = {}
    array = gpuzarr.create_array(kept, data=np.zeros((4, 4)), chunks=(2, 2), order="F", write_empty_chunks=True)
    assert array.nchunks_initialized == 4
    assert array[...].flags.f_contiguous
    assert gpuzarr.load(kept, order="F").flags.f_contiguous
    torch = pytest.importorskip("torch")
    assert isinstance(gpuzarr.load(kept, meta_array=torch.empty(())), torch.Tensor)


# ---- executors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_an_executor_has_at_least_one_thread(threads: Any) -> None:
    with pytest.raises(ValueError, match="threads must be a positive integer"):
        gpuzarr.Executor(threads=threads)


def test_an_executor_pickles_as_its_settings() -> None:
    import pickle

    found = pickle.loads(pickle.dumps(gpuzarr.Executor(threads=3, native=False)))
    assert (found.threads, found.native) == (3, False)
    assert gpuzarr.Executor().threads >= 1


# ---- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("zarr.json", b"{", None),
        ("zarr.json", b"[]", None),
        ("zarr.json", b'{"zarr_format": 3, "node_type": "thing"}', "node_type"),
        (".zarray", b"{}", "zarr_format"),
        (".zgroup", b"nope", None),
    ],
)
def test_a_document_that_is_none_is_an_error_with_its_path_and_field(name: str, text: bytes, field: Any) -> None:
    with pytest.raises(MetadataError) as caught:
        gpuzarr.open({f"a/{name}": text}, path="a", mode="r")
    assert caught.value.path is not None
    assert caught.value.path.startswith("a")
    assert field is None or caught.value.field == field


def test_an_array_of_an_unknown_codec_can_not_be_opened_but_its_group_can() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_group(kept).create_array("a", **MADE)
    gpuzarr.open_group(kept).create_array("b", **MADE)
    kept["a/zarr.json"] = kept["a/zarr.json"].replace(b'"zstd"', b'"zzz"')
    root = gpuzarr.open_group(kept, mode="r")
    with pytest.raises(UnknownCodecError) as caught:
        root["a"]
    assert (caught.value.codec, caught.value.path) == ("zzz", "a")
    assert root["b"].shape == (4,)
    assert list(root.keys()) == ["a", "b"]


def test_an_array_of_more_dimensions_than_numpy_has_is_not_created() -> None:
    store: dict[str, bytes] = {}
    with pytest.raises(UnsupportedError, match="65 dimensions"):
        gpuzarr.create_array(store, shape=(1,) * 65, dtype="u1")
    assert not store


def test_a_missing_member_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="missing"):
        gpuzarr.create_group({})["missing"]
