"""Elements of no fixed size: strings, byte strings, and the objects of format 2, in every layout and selection."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError

TURN = {"name": "transpose", "configuration": {"order": [1, 0]}}
WAYS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "plain": {"compressors": None},
    "transposed": {"filters": [TURN]},
    "shards": {"shards": (4, 6)},
    "index first": {"shards": {"shape": (4, 6), "index_location": "start"}},
    "format 2": {"zarr_format": 2},
    "format 2, F": {"zarr_format": 2, "order": "F"},
}
THREADS = gpuzarr.Executor(threads=3)

STRING = np.dtypes.StringDType()


def texts(shape: tuple[int, ...] = (5, 7)) -> NDArray[Any]:
    """Strings of all kinds, with a chunk of nothing but the empty one."""
    some = ["", "a", "żółw", "\0", "\U0001f40d" * 50, "x" * 1000]
    found = np.array([some[i * 7 % 6] for i in range(int(np.prod(shape)))], object).reshape(shape)
    found[:2, :3] = ""
    return found


def values(kind: type) -> NDArray[Any]:
    found = texts()
    return found if kind is str else np.array([v.encode() for v in found.flat], object).reshape(found.shape)


def same(found: Any, wanted: Any) -> bool:
    """Whether arrays of objects hold the same, by type and value."""
    found, wanted = np.asarray(found, object), np.asarray(wanted, object)
    return found.shape == wanted.shape and repr(found.tolist()) == repr(wanted.tolist())


@pytest.mark.parametrize("how", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("kind", [str, bytes])
def test_every_selection_reads_and_writes(kind: type, how: dict[str, Any]) -> None:
    model, store = values(kind), {}
    array = gpuzarr.create_array(store, shape=(5, 7), chunks=(2, 3), dtype=kind, executor=THREADS, **how)
    assert same(array[...], np.full((5, 7), kind(), object))
    array[...] = model
    array[1:4, 2:6] = model[1:4, 2:6] = model[::-1][1:4, 2:6].copy()
    array[::2, 3] = model[::2, 3] = model[0, 6]
    array.oindex[[4, 0], 1:3] = model[[4, 0], 1:3] = model[[1, 2], 4:6].copy()
    array.vindex[[0, 3], [0, 6]] = model[[0, 3], [0, 6]] = model[[3, 0], [6, 1]].copy()
    array[2, 2] = model[2, 2] = kind() if kind is bytes else "last"
    array = gpuzarr.open_array(store, executor=THREADS)
    assert same(array[...], model)
    assert same(array[::-2, 1:6:2], model[::-2, 1:6:2])
    assert same(array[3], model[3])
    assert same(array.oindex[[4, 0, 4], [6, 1]], model[[4, 0, 4]][:, [6, 1]])
    assert same(array.vindex[[4, 0, 4], [6, 1, 0]], model[[4, 0, 4], [6, 1, 0]])
    assert same(array[model == model[4, 6]], model[model == model[4, 6]])
    assert same(array.blocks[0, 0], model[: array.metadata.chunks[0], : array.metadata.chunks[1]])
    boxes = [(slice(i, i + 2), slice(i, i + 3)) for i in range(3)]
    assert same(array.read_many(boxes), np.stack([model[box] for box in boxes]))
    out = np.empty((7, 5), array.dtype).T
    assert array.read(..., out=out) is out
    assert same(out, model)
    assert type(array[4, 6]) is kind
    assert array[4, 6] == model[4, 6]


def test_strings_are_numpys_and_byte_strings_objects_as_in_zarr_python() -> None:
    for zarr_format in (2, 3):
        for wanted in (str, "string", STRING):
            array = gpuzarr.create_array({}, shape=3, dtype=wanted, zarr_format=zarr_format)
            assert array.dtype == array[...].dtype == STRING
        for wanted in (bytes, "bytes", "variable_length_bytes"):
            array = gpuzarr.create_array({}, shape=3, dtype=wanted, zarr_format=zarr_format)
            assert array.dtype == array[...].dtype == object


@pytest.mark.parametrize("how", WAYS.values(), ids=list(WAYS))
def test_resizing_keeps_what_is_left_and_fills_the_rest(how: dict[str, Any]) -> None:
    array = gpuzarr.create_array({}, shape=(5, 7), chunks=(2, 3), dtype=str, fill_value="?", **how)
    model = values(str)
    array[...] = model
    array.resize((3, 8))
    array.resize((6, 7))
    model = np.concatenate([model[:3], np.full((3, 7), "?", object)])
    assert same(array[...], model)
    array.append(model[:1])
    assert same(array[-1], model[0])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (2, 0, 2)])
def test_arrays_without_axes_or_elements(shape: tuple[int, ...], zarr_format: int) -> None:
    array = gpuzarr.create_array({}, shape=shape, dtype=str, zarr_format=zarr_format, fill_value="f")
    assert same(array[...], np.full(shape, "f", object))
    array[...] = "x"
    assert same(array[...], np.full(shape, "x", object))


def test_one_object_is_an_element_even_if_it_is_an_array() -> None:
    array = gpuzarr.open_array(v2("|O", [{"id": "vlen-array", "dtype": "<i4"}], [7], shape=()), mode="r+")
    assert array[()].tolist() == [7]
    assert array[...].shape == ()
    array[()] = np.array([1, 2, 3])
    assert array[()].tolist() == [1, 2, 3]
    array = gpuzarr.open_array(v2("|O", [{"id": "json2"}]), mode="r+")
    array[1] = [1, [2]]
    assert array[...].tolist() == [None, [1, [2]], None, None]


def test_a_chunk_of_nothing_but_the_fill_value_is_not_stored() -> None:
    for kind, fill, other in ((str, "f", "g"), (bytes, b"f", b"g")):
        store: dict[str, bytes] = {}
        array = gpuzarr.create_array(store, shape=4, chunks=2, dtype=kind, fill_value=fill)
        array[...] = [fill, fill, other, fill]
        assert sorted(store) == ["c/1", "zarr.json"]
        array.configure(write_empty_chunks=True)[:2] = fill
        assert sorted(store) == ["c/0", "c/1", "zarr.json"]
        array[2:] = fill
        assert sorted(store) == ["c/0", "zarr.json"]


texts_or_bytes = st.lists(st.text(max_size=9), min_size=1, max_size=30) | st.lists(
    st.binary(max_size=9), min_size=1, max_size=30
)


@settings(max_examples=60)
@given(texts_or_bytes, st.integers(1, 8), st.sampled_from([1, 2, 3]), st.sampled_from([2, 3]))
def test_any_strings_come_back(given_: list[Any], chunk: int, shard: int, zarr_format: int) -> None:
    kind = type(given_[0])
    how = {"shards": chunk * shard} if zarr_format == 3 and shard > 1 else {}
    array = gpuzarr.create_array(
        {}, shape=len(given_), chunks=chunk, dtype=kind, zarr_format=zarr_format, compressors=None, **how
    )
    array[...] = given_
    assert array[...].tolist() == given_


def test_what_is_assigned_is_converted_as_numpy_does() -> None:
    array = gpuzarr.create_array({}, shape=3, dtype=str)
    array[...] = np.array(["a", "bc", "d"])
    assert array[...].tolist() == ["a", "bc", "d"]
    array[...] = [1, 2.5, "x"]
    assert array[...].tolist() == np.asarray([1, 2.5, "x"], STRING).tolist()
    array = gpuzarr.create_array({}, shape=3, dtype=bytes)
    array[...] = np.array([b"a", b"bc", b"d"])
    assert array[...].tolist() == [b"a", b"bc", b"d"]
    array[1] = None  # a missing one is empty, as in zarr-python
    assert array[1] == b""
    with pytest.raises(CodecError) as caught:
        array[0] = "text"
    assert (caught.value.key, caught.value.direction) == ("c/0", "encode")


# ---- objects of format 2 ---------------------------------------------------------------------------------------------

LABELS = ["red", "żółty", "blue"]
OBJECTS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "json2": ({"id": "json2"}, [None, 1, 2.5, "x", [1, 2], [3, 4], {"a": [None]}, True]),
    "msgpack2": ({"id": "msgpack2"}, [None, 1, 2.5, "x", [1, 2], {"a": [None]}, True, b"raw"]),
    "pickle": ({"id": "pickle"}, [None, 1, (2, "x"), {3}, b"", [4]]),
    "categorize": ({"id": "categorize", "labels": LABELS, "dtype": "|O"}, LABELS),
    "vlen-array": (
        {"id": "vlen-array", "dtype": "<i2"},
        [np.arange(n, dtype="i2") for n in (3, 0, 1, 300)],
    ),
}


def objects(some: list[Any], shape: tuple[int, ...] = (5, 4)) -> NDArray[Any]:
    found = np.empty(shape, object)
    for k in range(found.size):
        found.flat[k] = some[k * 3 % len(some)]
    return found


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", list(OBJECTS))
def test_objects_of_format_2_come_back(name: str, order: str) -> None:
    codec, some = OBJECTS[name]
    if name == "msgpack2":
        pytest.importorskip("msgpack")
    model, store = objects(some), {}
    how = {"shape": (5, 4), "chunks": (2, 3), "dtype": object, "filters": [codec], "order": order}
    array = gpuzarr.create_array(store, zarr_format=2, allow_pickle=True, fill_value=None, **how)
    array[...] = model
    array[1, 1:3] = model[1, 1:3] = model[3, 1:3].copy()
    array[4, 3] = some[-1]
    model[4:, 3:].fill(some[-1])
    again = gpuzarr.open_array(store, allow_pickle=True)
    assert again.dtype == object
    assert same(again[...], model)
    assert same(again.vindex[[4, 0], [3, 2]], model[[4, 0], [3, 2]])
    assert json.loads(store[".zarray"])["dtype"] == "|O"


@pytest.mark.parametrize("name", ["json2", "msgpack2", "pickle", "vlen-array", "vlen-bytes", "vlen-utf8"])
def test_numcodecs_reads_what_is_written(name: str) -> None:
    if name not in numcodecs.registry.codec_registry and name == "msgpack2":
        pytest.skip("numcodecs has msgpack2 with the package msgpack only")
    codec, some = OBJECTS.get(name, ({"id": name}, ["a", "żółw"] if name == "vlen-utf8" else [b"a", b""]))
    model, store = objects(some), {}
    how = {"shape": (5, 4), "chunks": (5, 4), "dtype": object, "filters": [codec], "compressors": None}
    gpuzarr.create_array(store, zarr_format=2, allow_pickle=True, fill_value=None, **how)[...] = model
    found = pickle.loads(store["0.0"]) if name == "pickle" else numcodecs.get_codec(codec).decode(store["0.0"])
    assert same(found.reshape(5, 4), model)


def v2(dtype: Any, filters: Any, fill: Any = None, compressor: Any = None, shape: Any = (4,)) -> dict[str, bytes]:
    document = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": dtype, "compressor": compressor}
    return {".zarray": json.dumps({**document, "filters": filters, "fill_value": fill, "order": "C"}).encode()}


def encoded(codec: dict[str, Any], array: NDArray[Any]) -> bytes:
    return bytes(numcodecs.get_codec(codec).encode(array))


def test_documents_with_the_shape_of_the_chunk_in_them_are_read() -> None:
    model = objects([None, [1, 2], {"a": 1}, "x"], (2, 3))
    store = {**v2("|O", [{"id": "json2"}], shape=(2, 3)), "0.0": encoded({"id": "json2"}, model)}
    assert same(gpuzarr.open_array(store)[...], model)
    store = {**v2("|O", [{"id": "json2"}], shape=(2,)), "0": b'[[1,2],[3,4],"|O",[2]]'}
    lists = objects([[1, 2], [3, 4]], (2,))  # which numcodecs itself takes for an array of two axes
    assert same(gpuzarr.open_array(store)[...], lists)


def test_documents_without_a_shape_are_read_but_not_written() -> None:
    for shape, value in (((4,), b'["a",[1,2],null,3.5,"|O"]'), ((2, 2), b'[["a",[1,2]],[null,3.5],"|O"]')):
        key = ".".join("0" * len(shape))
        array = gpuzarr.open_array({**v2("|O", [{"id": "json"}], shape=shape), key: value}, mode="r+")
        assert array[...].ravel().tolist() == ["a", [1, 2], None, 3.5]
        with pytest.raises(UnsupportedError) as refused:
            array[...] = None
        assert refused.value.feature == "writing json"


@pytest.mark.parametrize(
    ("dtype", "codec"),
    [
        ("<i4", {"id": "json2"}),
        (">f8", {"id": "json2"}),
        ("|b1", {"id": "json2"}),
        ("<U3", {"id": "json2"}),
        ("<U3", {"id": "categorize", "labels": ["a", "żół"], "dtype": "<U3"}),
        ("<i4", {"id": "pickle"}),
    ],
    ids=str,
)
def test_codecs_of_objects_take_elements_of_a_fixed_size(dtype: str, codec: dict[str, Any]) -> None:
    model = np.array([["a", ""], ["żół", "a"]] if "U" in dtype else [[0, 1], [2, 3]]).astype(dtype)
    store = v2(dtype, [codec], compressor={"id": "zlib"}, shape=(2, 2))
    array = gpuzarr.open_array(store, mode="r+", allow_pickle=True)
    array[...] = model
    assert np.array_equal(array[...], model)
    if codec["id"] != "pickle":
        found = numcodecs.get_codec(codec).decode(zlib.decompress(store["0.0"]))
        assert np.array_equal(found.reshape(2, 2), model)


def test_pickle_needs_permission_to_read_and_to_create() -> None:
    store = v2("|O", [{"id": "pickle"}])
    how = {"shape": 4, "dtype": object, "filters": [{"id": "pickle"}], "zarr_format": 2}
    for use in (lambda: gpuzarr.open_array(store), lambda: gpuzarr.create_array({}, **how)):
        with pytest.raises(UnsupportedError) as refused:
            use()
        assert refused.value.feature == "codec pickle"


@pytest.mark.parametrize(
    ("codec", "fill", "element"),
    [
        ({"id": "vlen-utf8"}, None, ""),
        ({"id": "vlen-utf8"}, "a", "a"),
        ({"id": "vlen-utf8"}, 0, ""),
        ({"id": "vlen-bytes"}, None, b""),
        ({"id": "vlen-bytes"}, "YQ==", b"a"),
        ({"id": "vlen-bytes"}, 0, b""),
        ({"id": "vlen-array", "dtype": "<i4"}, None, np.empty(0, "i4")),
        ({"id": "vlen-array", "dtype": "<i4"}, 0, np.empty(0, "i4")),
        ({"id": "vlen-array", "dtype": "<i4"}, [1, 2], np.array([1, 2], "i4")),
        ({"id": "categorize", "labels": ["a"], "dtype": "|O"}, 0, ""),
        ({"id": "json2"}, None, None),
        ({"id": "json2"}, 0, 0),
        ({"id": "json2"}, {"a": [1]}, {"a": [1]}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::gpuzarr.dtypes.MetadataWarning")
def test_fill_values_of_objects(codec: dict[str, Any], fill: Any, element: Any) -> None:
    array = gpuzarr.open_array(v2("|O", [codec], fill), mode="r+")
    wanted = np.empty(4, object)
    for k in range(4):
        wanted[k] = element
    assert same(array[...], wanted)
    array[1] = element
    assert same(array[...], wanted)


def test_an_object_that_only_equals_the_fill_value_is_stored() -> None:
    array = gpuzarr.open_array(v2("|O", [{"id": "json2"}], 0), mode="r+")
    array[...] = np.array([0, False, 0.0, -0.0], object)
    assert repr(array[...].tolist()) == "[0, False, 0.0, -0.0]"


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "filters"),
    [
        ("|O", None),
        ("|O", []),
        ("|O", [{"id": "delta", "dtype": "<i4"}]),
        ("|O", [{"id": "zlib"}, {"id": "vlen-utf8"}]),
        ("|O", [{"id": "vlen-utf8"}, {"id": "vlen-utf8"}]),
        ("|O", [{"id": "vlen-utf8", "level": 1}]),
        ("|O", [{"id": "vlen-array"}]),
        ("|O", [{"id": "vlen-array", "dtype": "O"}]),
        ("|O", [{"id": "vlen-array", "dtype": "nonsense"}]),
        ("|O", [{"id": "json2", "encoding": "rot13"}]),
        ("|O", [{"id": "categorize", "labels": ["a"], "dtype": "<U3"}]),
        ("|O", [{"id": "categorize", "labels": [1], "dtype": "|O"}]),
        ("|O", [{"id": "categorize", "labels": ["a"], "dtype": "|O", "astype": "<f4"}]),
        ("|O", [{"id": "categorize", "labels": ["a"] * 300, "dtype": "|O"}]),
        ("<i4", [{"id": "vlen-utf8"}]),
        ("<U3", [{"id": "vlen-utf8"}]),
        ("<U3", [{"id": "categorize", "labels": ["a"], "dtype": "<U4"}]),
    ],
    ids=str,
)
def test_what_does_not_fit_together_in_format_2_is_refused(dtype: str, filters: Any) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.open_array(v2(dtype, filters))


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": str, "serializer": "bytes"},
        {"dtype": str, "serializer": "vlen-bytes"},
        {"dtype": bytes, "serializer": "vlen-utf8"},
        {"dtype": str, "filters": [{"name": "bitround", "configuration": {"keepbits": 3}}]},
        {"dtype": "int32", "serializer": "vlen-utf8"},
        {"dtype": "U3", "serializer": "vlen-utf8"},
        {"dtype": "int32", "compressors": "vlen-bytes"},
        {"dtype": object},
        {"dtype": object, "zarr_format": 2},
        {"dtype": [("a", object)]},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_not_created(how: dict[str, Any]) -> None:
    store: dict[str, bytes] = {}
    with pytest.raises(MetadataError):
        gpuzarr.create_array(store, shape=4, **how)
    assert store == {}


def test_codecs_of_format_2_are_not_written_in_format_3() -> None:
    with pytest.raises(UnsupportedError) as refused:
        gpuzarr.create_array({}, shape=4, dtype="int32", compressors=[{"id": "json2"}])
    assert refused.value.feature == "codec json2 in format 3"


def test_on_a_device_the_error_names_the_type() -> None:
    pytest.importorskip("cupy")
    array = gpuzarr.create_array({}, shape=4, dtype=str, meta_array="simulated")
    with pytest.raises(UnsupportedError, match="StringDType") as refused:
        array[...]
    assert refused.value.feature == "StringDType() on a device"
    assert "vlen-utf8" in str(array.explain())
    with pytest.raises(UnsupportedError, match="vlen-utf8"):
        gpuzarr.create_array({}, shape=4, dtype=str, meta_array="simulated", strict=True)
    assert array.configure(meta_array="cpu")[...].tolist() == [""] * 4


# ---- bad input -------------------------------------------------------------------------------------------------------


def u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


UTF8, JSON_ = {"id": "vlen-utf8"}, {"id": "json2"}
BAD: dict[str, tuple[dict[str, Any], bytes]] = {
    "nothing": (UTF8, b""),
    "half a head": (UTF8, b"\4\0\0"),
    "too few": (UTF8, u32(3, 0, 0, 0)),
    "too many": (UTF8, u32(5, 0, 0, 0, 0, 0)),
    "far too many": (UTF8, u32(2**32 - 1)),
    "a length past the end": (UTF8, u32(4, 0, 0, 0, 1)),
    "a length of 4 GiB": (UTF8, u32(4, 2**32 - 1) + b"abc"),
    "missing lengths": (UTF8, u32(4, 0, 0)),
    "no UTF-8": (UTF8, u32(4, 1) + b"\xff" + u32(0, 0, 0)),
    "an odd array": ({"id": "vlen-array", "dtype": "<i4"}, u32(4, 3) + b"abc" + u32(0, 0, 0)),
    "no JSON": (JSON_, b"{"),
    "no list": (JSON_, b'{"a": 1}'),
    "no shape": (JSON_, b'[1, 2, 3, 4, "|O"]'),
    "another shape": (JSON_, b'[1, 2, 3, 4, "|O", [5]]'),
    "a negative shape": (JSON_, b'[1, 2, 3, 4, "|O", [-2, -2]]'),
    "a huge shape": (JSON_, b'[1, 2, 3, 4, "|O", [1000000000000000000000]]'),
    "many axes": (JSON_, b'[1, 2, 3, 4, "|O", [4' + b", 1" * 999 + b"]]"),
    "another type": (JSON_, b'[1, 2, 3, 4, "<i4", [4]]'),
    "fewer than its shape says": (JSON_, b'[1, 2, 3, "|O", [4]]'),
    "not nested": (JSON_, b'["ab", "cd", "|O", [2, 2]]'),
    "brackets": (JSON_, b"[" * 100_000),
    "labels": ({"id": "categorize", "labels": ["a"], "dtype": "|O"}, b"\1\1\1"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_bytes_are_an_error_that_names_key_and_chunk(name: str) -> None:
    codec, value = BAD[name]
    array = gpuzarr.open_array({**v2("|O", [codec]), "0": value}, mode="r+")
    for use in (lambda: array[...], lambda: array.__setitem__(0, None)):
        with pytest.raises(CodecError) as caught:
            use()
        assert (caught.value.key, caught.value.chunk, caught.value.direction) == ("0", (0,), "decode")
        assert caught.value.codec == codec["id"]


def test_labels_that_are_none_read_as_empty_strings() -> None:
    codec = {"id": "categorize", "labels": ["a", "b"], "dtype": "|O", "astype": "|i1"}
    array = gpuzarr.open_array({**v2("|O", [codec]), "0": b"\0\2\3\xff"})
    assert array[...].tolist() == ["", "b", "", ""]


def test_elements_take_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuzarr.codecs.chain.MAX_BYTES", 1000)
    monkeypatch.setattr("gpuzarr.codecs.objects.MAX_BYTES", 1000)
    array = gpuzarr.open_array(v2("|O", [UTF8], compressor={"id": "zlib", "level": 7}), mode="r+")
    array[...] = "x" * 240
    with pytest.raises(CodecError, match="1020 bytes of elements"):
        array[...] = "x" * 250
    with pytest.raises(CodecError, match="length 251"):
        array[0] = "x" * 251
    bomb = zlib.compress(u32(4) + u32(0) * 100_000)
    with pytest.raises(CodecError, match="zlib"):
        gpuzarr.open_array({**v2("|O", [UTF8], compressor={"id": "zlib", "level": 8}), "0": bomb})[...]


@settings(max_examples=150)
@given(st.data())
def test_damaged_chunks_give_values_or_an_error_that_says_where(data: st.DataObject) -> None:
    strings = [(UTF8, ["a", "żółw"]), ({"id": "vlen-bytes"}, [b"a", b""])]
    codec, some = data.draw(st.sampled_from([*strings, OBJECTS["json2"], OBJECTS["categorize"]]))
    store = v2("|O", [codec])
    gpuzarr.open_array(store, mode="r+")[...] = objects(some, (4,))
    value = bytearray(store["0"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value)))
        value[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    store["0"] = bytes(value)
    try:
        assert gpuzarr.open_array(store)[...].shape == (4,)
    except CodecError as error:
        found = error.where()
    else:
        return
    assert (found["key"], found["chunk"]) == ("0", (0,))
