"""Codecs from arrays to arrays or bytes, against what NumPy makes of the same chunks: `packbits`, `reshape`, and
everything before sharding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import slices, small_runs

import gpuzarr
from gpuzarr.codecs.base import Elements
from gpuzarr.codecs.packbits import BLOCK, PackBitsCodec
from gpuzarr.dtypes import from_v3
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError

EXECUTORS = (gpuzarr.Executor(threads=1), gpuzarr.Executor(threads=1, native=False))
PARTS = [f"complex_float{n}" for n in ("4_e2m1fn", "6_e3m2fn", "8_e4m3", "16", "32", "64")]
BITS = {"bool": 1, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "float6_e2m3fn": 6}
BITS |= {"complex_float4_e2m1fn": 4, "complex_float6_e3m2fn": 6}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


LITTLE, BIG = codec("bytes", endian="little"), codec("bytes", endian="big")
TURN = codec("transpose", order=[1, 0])


def stored(store: dict[str, Any]) -> bytes:
    return bytes(store["c/0/0"])


# ---- packbits --------------------------------------------------------------------------------------------------------


def packed(raw: bytes, unit: int, first: int, last: int) -> bytes:
    """The specification's sequence of bits, as one large number."""
    kept = last - first + 1
    numbers = [int.from_bytes(raw[k : k + unit], "little") for k in range(0, len(raw), unit)]
    bits = "".join(f"{number >> first & (1 << kept) - 1:0{kept}b}" for number in reversed(numbers))
    return int(bits, 2).to_bytes(-(-len(numbers) * kept // 8), "little")


def unpacked(data: bytes, count: int, unit: int, width: int, first: int, last: int, signed: bool) -> bytes:
    kept, joined = last - first + 1, int.from_bytes(data, "little")
    found = b""
    for k in range(count):
        number = joined >> k * kept & (1 << kept) - 1
        if signed and number >> kept - 1:
            number |= (1 << width - first) - (1 << kept)
        found += (number << first).to_bytes(unit, "little")
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_packbits_is_what_the_specification_says(data: st.DataObject) -> None:
    pytest.importorskip("ml_dtypes")
    names = ["int8", "uint8", "int16", "uint32", "int64", "float16", "float64", "bfloat16", "float8_e5m2"]
    names += [*BITS, *PARTS]
    name = data.draw(st.sampled_from(names))
    data_type = from_v3(name, None)
    parts = 2 if name.startswith("complex") else 1
    unit = data_type.dtype.itemsize // parts
    width = BITS.get(name, 8 * unit)
    last = data.draw(st.integers(0, width - 1))
    first = data.draw(st.integers(0, last))
    count = data.draw(st.integers(1, 40))
    raw = data.draw(st.binary(min_size=count * parts * unit, max_size=count * parts * unit))
    if width < 8:
        raw = bytes(byte & (1 << width) - 1 for byte in raw)
    padding = data.draw(st.sampled_from(["none", "first_byte", "last_byte"]))
    stage = PackBitsCodec(padding, first, last).bind(Elements((count,), data_type))
    encoded = bytes(stage.encode(raw))
    body = packed(raw, unit, first, last)
    added = bytes([8 * len(body) - count * parts * (last - first + 1)])
    assert encoded == {"none": body, "first_byte": added + body, "last_byte": body + added}[padding]
    assert len(encoded) == stage.encoded_size(len(raw))
    wanted = unpacked(body, count * parts, unit, width, first, last, "int" in name and "uint" not in name)
    assert bytes(stage.decode(encoded, len(raw), len(raw))) == wanted


def test_packbits_of_many_blocks() -> None:
    values = np.random.default_rng(1).integers(0, 8, BLOCK + 13).astype(np.uint16)
    stage = PackBitsCodec("last_byte", 0, 2).bind(Elements(values.shape, from_v3("uint16", None)))
    encoded = bytes(stage.encode(values.tobytes()))
    assert encoded[:-1] == packed(values.tobytes(), 2, 0, 2)
    assert bytes(stage.decode(encoded, values.nbytes, values.nbytes)) == values.tobytes()


@pytest.mark.parametrize("executor", EXECUTORS, ids=["compiled", "Python"])
def test_packbits_reads_what_differs_from_its_text_in_name_or_by_a_byte(executor: gpuzarr.Executor) -> None:
    schema = codec("packbits", padding_encoding="start_byte", start_bit=1, end_bit=None)
    store: dict[str, Any] = {}
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) * 2
    gpuzarr.create_array(store, data=values, chunks=(3, 4), serializer=schema, compressors=None)
    assert gpuzarr.open_array(store, executor=executor)[...].tolist() == values.tolist()
    assert b'"first_byte"' in bytes(store["zarr.json"])
    whole = codec("packbits", padding_encoding="first_byte")
    gpuzarr.create_array(store, data=values, chunks=(3, 4), serializer=whole, compressors=None, overwrite=True)
    assert stored(store) == b"\0" + values.tobytes()
    store["c/0/0"] = values.tobytes()  # as zarrs has it
    assert gpuzarr.open_array(store, executor=executor)[...].tolist() == values.tolist()


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"padding_encoding": "middle"}, "bool"),
        ({"padding_encoding": ["none"]}, "bool"),
        ({"first_bit": 1}, "bool"),
        ({"last_bit": 8}, "uint8"),
        ({"last_bit": 64}, "uint64"),
        ({"first_bit": 3, "last_bit": 2}, "uint8"),
        ({"first_bit": -1}, "uint8"),
        ({"first_bit": "0"}, "uint8"),
        ({"bits": 3}, "uint8"),
        ({}, "r16"),
        ({}, "S3"),
        ({}, [("a", "i2")]),
        ({}, str),
    ],
)
def test_packbits_is_refused_where_it_says_nothing(config: dict[str, Any], dtype: Any) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=4, dtype=dtype, serializer=codec("packbits", **config))


@pytest.mark.parametrize(
    ("padding", "data"),
    [
        ("none", b""),
        ("none", b"\1"),
        ("none", b"\1\2\3"),
        ("first_byte", b"\4\1"),
        ("first_byte", b"\3\1\2"),
        ("last_byte", b"\1\2\5"),
        ("last_byte", b"\1\2\4\4"),
    ],
)
def test_packed_bits_of_the_wrong_number_are_an_error(padding: str, data: bytes) -> None:
    store: dict[str, Any] = {}
    serializer = codec("packbits", padding_encoding=padding)
    how: dict[str, Any] = {"dtype": bool, "serializer": serializer, "compressors": None}
    array = gpuzarr.create_array(store, shape=(3, 4), chunks=(3, 4), **how)
    store["c/0/0"] = data
    with pytest.raises(CodecError) as error:
        array[...]
    assert (error.value.codec, error.value.key, error.value.chunk) == ("packbits", "c/0/0", (0, 0))


# ---- reshape, and the order of axes ----------------------------------------------------------------------------------


@st.composite
def reshapes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[list[Any], tuple[int, ...]]:
    """A configuration's shape, and the sizes it comes to."""
    count, sizes = math.prod(shape), []
    while count > 1 and len(sizes) < 4:
        sizes.append(draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0])))
        count //= sizes[-1]
    sizes.append(count)
    said: list[Any] = list(sizes)
    if draw(st.booleans()):
        said[draw(st.integers(0, len(said) - 1))] = -1
    start = 0
    while draw(st.booleans()) and start < len(shape):  # whole axes first, by their numbers
        stop = draw(st.integers(start + 1, len(shape)))
        done = start
        said[start:] = [list(range(start, stop)), -1]
        sizes[start:] = [math.prod(shape[start:stop]), math.prod(shape[stop:])]
        start = stop if done == 0 and stop == 1 else len(shape)
    return said, tuple(sizes)


@st.composite
def chains(draw: st.DrawFn, chunk: NDArray[Any]) -> tuple[list[Any], NDArray[Any]]:
    """Transposes, reshapes and filters, and what NumPy makes of a chunk by the same steps."""
    codecs, model = [], chunk
    for _ in range(draw(st.integers(0, 5))):
        step = draw(st.sampled_from(["turn", "turn", "reshape", "reshape", "delta", "scale"]))
        if step == "turn":
            order = draw(st.permutations(range(model.ndim)))
            codecs.append(codec("transpose", order=list(order)))
            model = model.transpose(order)
        elif step == "reshape":
            said, sizes = draw(reshapes(model.shape))
            codecs.append(codec("reshape", shape=said))
            model = np.ascontiguousarray(model).reshape(sizes)
        elif step == "delta":
            codecs.append(codec("numcodecs.delta", dtype="<i4"))
            flat = np.ascontiguousarray(model).ravel()
            model = np.diff(flat, prepend=0).astype("i4").reshape(model.shape)
        else:
            codecs.append(codec("numcodecs.fixedscaleoffset", offset=3, scale=2, dtype="<i4", astype="<i4"))
            model = ((model - 3) * 2).astype("i4")
    return codecs, model


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_array_codecs_store_what_numpy_makes_of_a_chunk(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    values = np.random.default_rng(len(shape)).integers(-50, 50, shape).astype(np.int32)
    codecs, model = data.draw(chains(values))
    store: dict[str, Any] = {}
    executor = data.draw(st.sampled_from(EXECUTORS))
    how: dict[str, Any] = {"chunks": shape, "filters": codecs, "compressors": None, "executor": executor}
    array = gpuzarr.create_array(store, data=values, serializer=data.draw(st.sampled_from([LITTLE, BIG])), **how)
    raw = bytes(store["c" + "/0" * len(shape)])
    big = b'"big"' in bytes(store["zarr.json"])
    assert raw == np.ascontiguousarray(model).astype(">i4" if big else "<i4").tobytes()
    assert array[...].tolist() == values.tolist()
    box = tuple(slice(n // 3, n) for n in shape)
    assert array[box].tolist() == values[box].tolist()
    assert str(array.explain())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_shards_after_array_codecs(data: st.DataObject) -> None:
    """Shards that hold what other codecs make of an array, in every layout: parts are read and written right."""
    shape = (6, 4)
    values = np.random.default_rng(5).integers(-50, 50, (9, 10)).astype(np.int32)
    values[:6, 4:8] = 7
    codecs, model = data.draw(chains(values[:6, :4]))
    inner = tuple(data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])) for n in model.shape)
    rest = data.draw(st.sampled_from([[LITTLE], [BIG, codec("crc32c")], [codec("numcodecs.delta", dtype="<i4"), BIG]]))
    at = data.draw(st.sampled_from(["start", "end"]))
    index = [LITTLE, codec("crc32c")]
    sharding = codec("sharding_indexed", chunk_shape=list(inner), codecs=rest, index_codecs=index, index_location=at)
    after = data.draw(st.sampled_from([None, "zstd"]))
    how = {"filters": codecs, "serializer": sharding, "compressors": after, "dtype": "int32", "fill_value": 7}
    store: dict[str, Any] = {}
    executor = data.draw(st.sampled_from(EXECUTORS))
    array = gpuzarr.create_array(store, shape=(9, 10), chunks=shape, executor=executor, **how)
    expected = np.full((9, 10), 7, np.int32)
    with small_runs():
        for box in data.draw(st.lists(st.tuples(slices(9), slices(10)), max_size=3)):
            array[box] = expected[box] = values[box]
        assert array[...].tolist() == expected.tolist()
        assert array[::-2, 1:9:3].tolist() == expected[::-2, 1:9:3].tolist()
        array[...] = values
    again = gpuzarr.open_array(store, executor=executor)
    assert again[...].tolist() == values.tolist()
    assert again.vindex[[0, 8, 5], [9, 0, 4]].tolist() == values[[0, 8, 5], [9, 0, 4]].tolist()
    assert "sharding_indexed" in str(again.explain((slice(0, 2),)))


def test_transposes_and_reshapes_of_whole_axes_are_no_pass() -> None:
    how: dict[str, Any] = {"shape": (4, 6, 8), "chunks": (4, 6, 8), "dtype": "u2", "compressors": None}
    merged = [codec("reshape", shape=[[0, 1], [2]]), TURN]
    assert str(gpuzarr.create_array({}, filters=merged, **how).explain()).count("no pass") == 3
    cut = [codec("reshape", shape=[8, 24]), TURN]
    assert "transpose: Python (numpy" in str(gpuzarr.create_array({}, filters=cut, **how).explain())


@pytest.mark.parametrize(
    "shape",
    [
        *("12", [5, -1], [-1, -1], [0, -1], [True, -1], [7], [], [[0]], [[1], [0]], [[1, 0]], [[0], [0, 1]], [[2], -1]),
        *([[0, 1], 2], [2, [1], 3], [-1, [0]], [[-1], 4], [[0.0], -1], None, [10**4000, -1]),
    ],
    ids=str,
)
def test_reshapes_that_no_chunk_has_are_refused(shape: Any) -> None:
    with pytest.raises(MetadataError, match="reshape"):
        gpuzarr.create_array({}, shape=(3, 4), chunks=(3, 4), dtype="u1", filters=[codec("reshape", shape=shape)])


def test_strings_are_not_turned_within_axes() -> None:
    filters = [codec("reshape", shape=[2, 6]), TURN]
    with pytest.raises(UnsupportedError) as refused:
        gpuzarr.create_array({}, shape=(3, 4), chunks=(3, 4), dtype=str, filters=filters)
    assert refused.value.feature == "transpose after reshape"
    filters[0] = codec("reshape", shape=[[0], 1, [1]])
    filters[1] = codec("transpose", order=[2, 0, 1])
    values = np.array([["a", "bc", ""], ["d", "ef", "g"]])
    array = gpuzarr.create_array({}, shape=(2, 3), chunks=(2, 3), dtype=str, filters=filters)
    array[...] = values
    assert array[...].tolist() == values.tolist()


# ---- shards that are decoded whole -----------------------------------------------------------------------------------


def sharded(filters: list[Any], **how: Any) -> tuple[dict[str, Any], gpuzarr.Array]:
    store: dict[str, Any] = {}
    sharding = codec("sharding_indexed", chunk_shape=[2, 2], codecs=[LITTLE], index_codecs=[LITTLE])
    settled: dict[str, Any] = {"shape": (4, 4), "chunks": (4, 4), "dtype": "i4", "compressors": None, **how}
    return store, gpuzarr.create_array(store, filters=filters, serializer=sharding, **settled)


def test_codecs_of_single_elements_leave_shards_readable_in_parts() -> None:
    scale = codec("numcodecs.fixedscaleoffset", offset=0, scale=2, dtype="<i4", astype="<i2")
    store, array = sharded([scale, TURN])
    array[...] = np.arange(16).reshape(4, 4)
    report = array.explain((slice(0, 1), slice(0, 1)))
    assert report.fetched_bytes == 2 * 2 * 2
    assert "planned, no pass" in str(report)
    assert len(stored(store)) == 16 * 2 + 4 * 16
    # 300 is not what the filter gives back: a chunk that is not there has the nearest that it makes of it.
    shift = codec("numcodecs.astype", encode_dtype="<i1", decode_dtype="<i4")
    store, array = sharded([shift], fill_value=300)
    array[:2] = np.arange(8).reshape(2, 4)
    assert "needs all elements" in str(array.explain())
    raw = bytearray(stored(store))
    raw[-16:] = b"\xff" * 16
    store["c/0/0"] = bytes(raw)
    assert array[2:, 2:].tolist() == [[44, 44]] * 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: raw[:-16] + (2**40).to_bytes(8, "little") + raw[-8:],
        lambda raw: raw[:-8] + (15).to_bytes(8, "little"),
        lambda raw: raw[:-8] + (17).to_bytes(8, "little"),
    ],
)
def test_damaged_shards_that_are_decoded_whole_are_errors(damage: Any) -> None:
    store, array = sharded([codec("numcodecs.delta", dtype="<i4")])
    array[...] = np.arange(16).reshape(4, 4)
    assert array[1:3, 3].tolist() == [7, 11]
    store["c/0/0"] = damage(stored(store))
    with pytest.raises(CodecError) as error:
        array[0, 0]
    assert error.value.key == "c/0/0"


# ---- types of less than a byte in structured types -------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS, ids=["compiled", "Python"])
def test_upper_bits_of_small_fields_say_nothing(executor: gpuzarr.Executor) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    inner = codec("struct", fields=[{"name": "c", "data_type": "uint2"}, {"name": "d", "data_type": "uint8"}])
    types = {"a": "int4", "b": "uint16", "in": inner}
    fields = [{"name": name, "data_type": data_type} for name, data_type in types.items()]
    store: dict[str, Any] = {}
    fill = {"a": -3, "b": 300, "in": {"c": 2, "d": 9}}
    how = {"dtype": codec("struct", fields=fields), "fill_value": fill, "compressors": None, "executor": executor}
    array = gpuzarr.create_array(store, shape=(2, 2), chunks=(2, 1), **how)
    store["c/0/0"] = bytes([0xF5, 1, 2, 0xFF, 0xFF, 0x0E, 3, 4, 0x41, 0x80])
    found = array[...]
    assert found["a"].tolist() == [[5, -3], [-2, -3]]
    assert found["b"].tolist() == [[513, 300], [1027, 300]]
    assert found["in"]["c"].tolist() == [[3, 2], [1, 2]]
    assert found["in"]["d"].tolist() == [[255, 9], [128, 9]]
    assert found["a"].dtype == ml_dtypes.int4


# ---- on a device -----------------------------------------------------------------------------------------------------

CHAINS: dict[str, dict[str, Any]] = {
    "packbits": {"serializer": codec("packbits", last_bit=9)},
    "reshaped": {"filters": [codec("reshape", shape=[[0, 1], [2]]), TURN]},
    "cut": {"filters": [codec("reshape", shape=[8, -1]), TURN]},
    "cast": {"filters": [codec("scale_offset", scale=2), codec("cast_value", data_type="uint32")]},
    "conditional": {"compressors": codec("conditional", codecs=[codec("gzip", level=1), {"name": "crc32c"}])},
    "gdeflate": {"compressors": codec("zarrs.gdeflate", level=1)},
}


@pytest.mark.parametrize("how", CHAINS.values(), ids=list(CHAINS))
@pytest.mark.parametrize("shards", [None, (8, 8, 8)], ids=["chunks", "shards"])
def test_a_device_gets_what_the_host_has(how: dict[str, Any], shards: Any) -> None:
    testing = pytest.importorskip("gpuzarr.testing")
    pytest.importorskip("cupy")
    values = np.random.default_rng(2).integers(0, 1000, (10, 9, 8)).astype(np.uint16)
    array = gpuzarr.create_array({}, data=values, chunks=(4, 4, 8), shards=shards, fill_value=3, **how)
    with testing.simulated_device() as device:
        there = array.configure(meta_array="simulated")
        for wanted in ((slice(1, 9), slice(None, None, 2), slice(3, 8)), (slice(None, None, -3), 4)):
            device.reset()
            assert testing.to_host(there[wanted]).tolist() == values[wanted].tolist()
            assert device.counts["uploads"] == 1
        assert str(there.explain())
