"""`scale_offset` and `cast_value`: every rounding and range of every type, against exact arithmetic and zarr-python."""

from __future__ import annotations

import json
from bisect import bisect_left
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peers import PEERS, quiet, same

import gpuzarr
from gpuzarr.codecs.base import Elements
from gpuzarr.codecs.values import CastValueCodec, ScaleOffsetCodec
from gpuzarr.dtypes import from_v3
from gpuzarr.errors import CodecError, MetadataError

EXECUTORS = (gpuzarr.Executor(threads=1), gpuzarr.Executor(threads=1, native=False))
INTS = [f"{sign}int{n}" for sign in ("", "u") for n in (2, 4, 8, 16, 32, 64)]
SMALL = ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn")
BYTES = ("float8_e3m4", "float8_e4m3", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu")
FLOATS = [*SMALL, *BYTES, "bfloat16", "float16", "float32", "float64"]
ROUNDINGS = ("nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away")
LITTLE, BIG = ({"name": "bytes", "configuration": {"endian": endian}} for endian in ("little", "big"))


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def bits(name: str) -> int:
    return int("".join(filter(str.isdigit, name)))


def limits(name: str) -> tuple[int, int]:
    n = bits(name)
    return (0, (1 << n) - 1) if name.startswith("u") else (-(1 << n - 1), (1 << n - 1) - 1)


# ---- an exact model --------------------------------------------------------------------------------------------------


@cache
def floats(name: str) -> tuple[list[float], list[int], bool, bool]:
    """All finite numbers of a type of up to 16 bits, their patterns, and whether it has infinity and not-a-number."""
    dtype = from_v3(name, None).dtype
    used = {"float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6}.get(name, dtype.itemsize * 8)
    patterns = np.arange(1 << used, dtype=f"u{dtype.itemsize}")
    with np.errstate(all="ignore"):
        numbers = patterns.view(dtype).astype(float)
    pairs = zip(numbers.tolist(), patterns.tolist(), strict=True)
    found = {number: pattern for number, pattern in pairs if np.isfinite(number)}
    ordered = sorted(found)
    return ordered, [found[n] for n in ordered], bool(np.isinf(numbers).any()), bool(np.isnan(numbers).any())


def nearest(low: Any, high: Any, number: Any, rounding: str, even: bool) -> Any:
    """One of two neighbours; `even` tells whether the lower one is even."""
    below, above = Fraction(number) - Fraction(low), Fraction(high) - Fraction(number)
    if rounding == "towards-zero":
        return low if number > 0 else high
    if rounding in ("towards-positive", "towards-negative"):
        return high if rounding == "towards-positive" else low
    if below != above:
        return low if below < above else high
    if rounding == "nearest-even":
        return low if even else high
    return high if number > 0 else low


def to_int(number: Any, name: str, rounding: str, out_of_range: str | None) -> int | None:
    """What an integer type has for a number; None: nothing."""
    if isinstance(number, float) and not np.isfinite(number):
        return None
    floor = Fraction(number).__floor__()
    whole = floor if floor == number else nearest(floor, floor + 1, number, rounding, floor % 2 == 0)
    low, high = limits(name)
    if low <= whole <= high:
        return int(whole)
    if out_of_range == "clamp":
        return low if whole < low else high
    return None if out_of_range is None else (int(whole) - low) % (1 << bits(name)) + low


def to_small_float(number: Any, name: str, rounding: str, out_of_range: str | None) -> float | None:
    ordered, patterns, has_inf, has_nan = floats(name)
    if number != number:
        return number if has_nan else None
    if abs(number) == np.inf and has_inf:
        return float(number)
    step = ordered[-1] - ordered[-2]
    at = bisect_left(ordered, number)
    if at < len(ordered) and ordered[at] == number:
        return ordered[at]
    ends = [*ordered]
    if abs(number) != np.inf and ordered[-1] < number < ordered[-1] + step:
        ends.append(ordered[-1] + step if name != "float8_e8m0fnu" else 2 * ordered[-1])
    if abs(number) != np.inf and ordered[0] - step < number < ordered[0]:
        ends.insert(0, ordered[0] - step if name != "float8_e8m0fnu" else 0.0)
    at = bisect_left(ends, number)
    if 0 < at < len(ends):
        low, high = ends[at - 1], ends[at]
        index = bisect_left(ordered, low)
        even = index < len(patterns) and ordered[index] == low and patterns[index] % 2 == 0
        if low == ordered[0] - step:
            even = patterns[0] % 2 == 1
        # Of a significand of one digit none is even: ml_dtypes rounds up.
        found = nearest(low, high, number, rounding, even and name != "float8_e8m0fnu")
        if ordered[0] <= found <= ordered[-1]:
            return float(found)
    if out_of_range != "clamp":
        return None
    return (np.inf if has_inf else ordered[-1]) if number > 0 else (-np.inf if has_inf else ordered[0])


def model(number: Any, name: str, rounding: str, out_of_range: str | None) -> Any:
    if name in INTS:
        return to_int(number, name, rounding, out_of_range)
    return to_small_float(number, name, rounding, out_of_range)


def stage(source: str, target: str, rounding: str, out_of_range: str | None, scalar_map: Any = None) -> Any:
    return CastValueCodec(target, rounding, out_of_range, scalar_map).bind(Elements((1,), from_v3(source, None)))


def cast(raw: NDArray[Any], source: str, target: str, rounding: str, out_of_range: str | None) -> NDArray[Any]:
    encoded = stage(source, target, rounding, out_of_range).encode(raw.tobytes())
    return np.frombuffer(encoded, from_v3(target, None).dtype)


def edges(name: str) -> list[Any]:
    """Numbers at the borders of a type, and between its numbers."""
    if name in INTS:
        low, high = limits(name)
        return [low - 1, low, low + 1, high - 1, high, high + 1, 0]
    if name in ("float32", "float64"):
        info = np.finfo(name)
        return [float(info.max), float(info.tiny), float(info.smallest_subnormal), 0.0, -0.0]
    ordered = floats(name)[0]
    some = ordered[:: max(1, len(ordered) // 64)]
    between = [(a + b) / 2 for a, b in pairwise(ordered)][:: max(1, len(ordered) // 64)]
    return [*some, *between, ordered[0] * 1.01, ordered[-1] * 1.01, ordered[-1] * 1.5, ordered[0] * 1.5]


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_casts_are_exact_until_they_round(data: st.DataObject) -> None:
    pytest.importorskip("ml_dtypes")
    source = data.draw(st.sampled_from([n for n in INTS + FLOATS if n not in ("float4_e2m1fn", "float6_e2m3fn")]))
    target = data.draw(st.sampled_from([n for n in INTS + FLOATS if n not in ("float32", "float64")]))
    rounding = data.draw(st.sampled_from(ROUNDINGS))
    out_of_range = data.draw(st.sampled_from([None, "clamp", "wrap"] if target in INTS else [None, "clamp"]))
    dtype = from_v3(source, None).dtype
    if source in INTS:
        low, high = limits(source)
        numbers = [n for n in map(int, edges(target)[:20]) if low <= n <= high]
        numbers += data.draw(st.lists(st.integers(low, high), min_size=1, max_size=8))
    else:
        width = {"float32": 32, "float64": 64}.get(source, 64)
        quarters = st.integers(-20, 20).map(lambda n: n / 4)
        drawn = st.one_of(st.floats(width=width), quarters, st.sampled_from(edges(target)))
        numbers = [*edges(target)[:20], *data.draw(st.lists(drawn, min_size=1, max_size=8))]
    with np.errstate(all="ignore"):
        working = float if source not in INTS else np.uint64 if source == "uint64" else np.int64
        wide = np.array(numbers, working)
        raw = wide.astype(dtype)
    for k, element in enumerate(raw):
        number = int(element) if source in INTS else float(element)
        wanted = model(number, target, rounding, out_of_range)
        if wanted is None:
            with pytest.raises(CodecError, match="is no number of"):
                cast(raw[k : k + 1], source, target, rounding, out_of_range)
            continue
        found = cast(raw[k : k + 1], source, target, rounding, out_of_range)[0]
        found = int(found) if target in INTS else float(found)
        assert found == wanted or (found != found and wanted != wanted), (number, found, wanted)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_casts_are_those_of_zarr_python(data: st.DataObject) -> None:
    theirs = pytest.importorskip("cast_value_rs")
    names = [n for n in INTS if bits(n) > 4] + ["float16", "float32", "float64"]
    source, target = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    rounding = data.draw(st.sampled_from(ROUNDINGS))
    out_of_range = data.draw(st.sampled_from([None, "clamp", "wrap"] if target in INTS else [None, "clamp"]))
    if source in INTS:
        drawn: Any = st.integers(*limits(source))
    else:
        drawn = st.one_of(st.floats(width=bits(source)), st.integers(-600, 600).map(lambda n: n / 2))
    values = np.array(data.draw(st.lists(drawn, min_size=1, max_size=10)), source)
    how = {"rounding_mode": rounding, "out_of_range_mode": out_of_range, "target_dtype": np.dtype(target)}
    try:
        wanted = theirs.cast_array(values, **how)
    except ValueError:
        wanted = None
    if wanted is None:
        with pytest.raises(CodecError):
            cast(values, source, target, rounding, out_of_range)
    else:
        found = cast(values, source, target, rounding, out_of_range)
        assert np.array_equal(found, wanted, equal_nan=target not in INTS)


def test_many_numbers_are_cast_in_blocks() -> None:
    values = np.random.default_rng(1).normal(size=200_001).astype("f4") * 1000
    found = cast(values, "float32", "int16", "nearest-even", None)
    assert np.array_equal(found, np.rint(values).astype("i2"))


# ---- scalar maps -----------------------------------------------------------------------------------------------------


def test_a_scalar_map_comes_before_all_rules() -> None:
    pairs = [["NaN", 0], ["+Infinity", 1], ["-Infinity", 2], [0.0, 9], [300, 7], [300, 8], ["0x7fc00001", 3]]
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 300, 5.5], "f4")
    encoded = stage("float32", "uint8", "towards-zero", None, {"encode": pairs}).encode(values.tobytes())
    assert list(encoded) == [0, 1, 2, 9, 9, 7, 5]
    both = {"encode": [["NaN", 255]], "decode": [[255, "NaN"], [254, -1.5]]}
    bound = stage("float64", "uint8", "nearest-even", None, both)
    assert list(bound.encode(np.array([np.nan, 3]).tobytes())) == [255, 3]
    decoded = np.frombuffer(bound.decode(bytes([255, 254, 3]), 24, 24))
    assert np.array_equal(decoded, [np.nan, -1.5, 3], equal_nan=True)
    wide = stage("uint64", "int2", "nearest-even", None, {"encode": [[2**64 - 1, -2], [0, 1]]})
    assert list(wide.encode(np.array([2**64 - 1, 0, 1], "u8").tobytes())) == [0b10, 1, 1]


MAPS: list[Any] = [
    *([], "NaN", {"encode": 3}, {"encode": "ab"}, {"encode": [[1]]}, {"encode": [[1, 2, 3]]}, {"encode": ["ab"]}),
    *({"encode": [[1.5, 2.5]]}, {"encode": [[1, 256]]}, {"encode": [[1, "NaN"]]}, {"encode": [[None, 1]]}),
    *({"decode": [["NaN", 1]]}, {"decode": [[1, "x"]]}, {"decode": [[300, 1]]}, {"other": []}),
    {"encode": [[[1], 2]]},
]


@pytest.mark.parametrize("scalar_map", MAPS, ids=repr)
def test_maps_of_what_types_have_not_are_refused(scalar_map: Any) -> None:
    if scalar_map == {"encode": [[1.5, 2.5]]}:
        pytest.importorskip("ml_dtypes")
    filters = [codec("cast_value", data_type="uint8", scalar_map=scalar_map)]
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=4, dtype="float32", filters=filters)


@pytest.mark.parametrize(
    ("dtype", "config"),
    [
        ("float32", {}),
        ("float32", {"data_type": "bool"}),
        ("float32", {"data_type": "complex64"}),
        ("float32", {"data_type": "string"}),
        ("float32", {"data_type": "nothing"}),
        ("float32", {"data_type": "int8", "rounding": "up"}),
        ("float32", {"data_type": "int8", "rounding": ["up"]}),
        ("float32", {"data_type": "int8", "out_of_range": "error"}),
        ("float32", {"data_type": "float16", "out_of_range": "wrap"}),
        ("float32", {"data_type": "int8", "mode": 1}),
        ("bool", {"data_type": "int8"}),
        ("M8[s]", {"data_type": "int64"}),
        ("r8", {"data_type": "int8"}),
        (str, {"data_type": "int8"}),
    ],
)
def test_casts_that_mean_nothing_are_refused(dtype: Any, config: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=4, dtype=dtype, filters=[codec("cast_value", **config)])


# ---- scale_offset ----------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_scaled_integers_are_exact_or_an_error(data: st.DataObject) -> None:
    pytest.importorskip("ml_dtypes")
    name = data.draw(st.sampled_from(INTS))
    low, high = limits(name)
    small = st.integers(max(low, -3), min(high, 3))
    offset = data.draw(small | st.integers(low, high))
    scale = data.draw((small | st.integers(low, high)).filter(bool))
    value = data.draw(st.integers(low, high) | st.sampled_from([low, high, min(high, offset + 1)]))
    dtype = from_v3(name, None).dtype
    bound = ScaleOffsetCodec(offset, scale).bind(Elements((1,), from_v3(name, None)))
    raw = np.array([value]).astype(dtype).tobytes()

    def fits(*numbers: int) -> bool:
        return all(low <= n <= high for n in numbers)

    if fits(value - offset, (value - offset) * scale):
        encoded = bound.encode(raw)
        assert int(np.frombuffer(encoded, dtype)[0]) == (value - offset) * scale
        assert int(np.frombuffer(bound.decode(encoded, None, 8), dtype)[0]) == value
    else:
        with pytest.raises(CodecError, match="can't hold"):
            bound.encode(raw)
    if value % scale == 0 and fits(value // scale, value // scale + offset):
        assert int(np.frombuffer(bound.decode(raw, None, 8), dtype)[0]) == value // scale + offset
    else:
        with pytest.raises(CodecError):
            bound.decode(raw, None, 8)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16", "float8_e4m3"])
def test_scaled_floats_have_the_arithmetic_of_their_type(name: str) -> None:
    pytest.importorskip("ml_dtypes")
    dtype = from_v3(name, None).dtype
    values = np.array([0, 1.5, -7, 0.1, np.nan, 200]).astype(dtype)
    bound = ScaleOffsetCodec(5, 0.1).bind(Elements((6,), from_v3(name, None)))
    with np.errstate(all="ignore"):
        wanted = (values - dtype.type(5)) * dtype.type(0.1)
        back = wanted / dtype.type(0.1) + dtype.type(5)
    encoded = bytes(bound.encode(values.tobytes()))
    assert encoded == wanted.tobytes()
    assert bytes(bound.decode(encoded, None, 99)) == back.tobytes()


@pytest.mark.parametrize(
    ("dtype", "config"),
    [
        ("uint8", {"offset": -1}),
        ("uint8", {"scale": 1.5}),
        ("uint8", {"scale": 0}),
        ("float32", {"scale": 0.0}),
        ("float32", {"scale": "a"}),
        ("float32", {"offset": [1]}),
        ("float32", {"factor": 1}),
        ("bool", {"scale": 1}),
        ("complex64", {}),
        (str, {}),
    ],
)
def test_scales_that_a_type_has_not_are_refused(dtype: Any, config: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=4, dtype=dtype, filters=[codec("scale_offset", **config)])


# ---- fill values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "fill", "filters"),
    [
        ("float32", 1.5, [codec("cast_value", data_type="uint8")]),
        ("float32", "NaN", [codec("cast_value", data_type="uint8", scalar_map={"encode": [["NaN", 0]]})]),
        ("float32", 300, [codec("cast_value", data_type="uint8")]),
        ("float32", 300, [codec("cast_value", data_type="uint8", out_of_range="clamp")]),
        ("uint8", 3, [codec("scale_offset", offset=5)]),
        ("int16", 3, [codec("scale_offset", offset=5), codec("cast_value", data_type="uint8")]),
    ],
)
def test_a_fill_value_that_does_not_come_back_is_refused(dtype: str, fill: Any, filters: list[Any]) -> None:
    with pytest.raises(MetadataError) as refused:
        gpuzarr.create_array({}, shape=4, dtype=dtype, fill_value=fill, filters=filters)
    assert refused.value.field == "fill_value"


NO_NUMBER = {"encode": [["NaN", -1]], "decode": [[-1, "NaN"]]}
FILLS: list[tuple[str, Any, list[Any]]] = [
    ("float64", "NaN", [codec("cast_value", data_type="float32")]),
    ("float64", "NaN", [codec("cast_value", data_type="int8", scalar_map=NO_NUMBER)]),
    ("float32", "-Infinity", [codec("scale_offset", offset=3), codec("cast_value", data_type="float16")]),
    ("int32", 255, [codec("cast_value", data_type="int8", out_of_range="wrap", scalar_map={"decode": [[-1, 255]]})]),
    ("int8", -1, [codec("cast_value", data_type="uint8", out_of_range="wrap")]),
    ("uint64", 2**64 - 1, [codec("cast_value", data_type="int64", out_of_range="wrap")]),
    ("float64", 20.5, [codec("scale_offset", offset=20, scale=2), codec("cast_value", data_type="int8")]),
]


@pytest.mark.parametrize("how", ["chunks", "shards", "filters first", "filters first, wrapped"])
@pytest.mark.parametrize(("dtype", "fill", "filters"), FILLS, ids=[f"{d}-{f}" for d, f, _ in FILLS])
def test_fill_values_go_along_a_chain(dtype: str, fill: Any, filters: list[Any], how: str) -> None:
    sharding = codec("sharding_indexed", chunk_shape=[2, 2], codecs=[LITTLE], index_codecs=[LITTLE])
    settled: dict[str, Any] = {"filters": filters, "compressors": None}
    if how == "shards":
        settled |= {"shards": (4, 4)}
    elif how != "chunks":
        settled |= {"serializer": sharding, "compressors": "zstd" if "wrapped" in how else None}
    chunks = (2, 2) if how in ("chunks", "shards") else (4, 4)
    store: dict[str, Any] = {}
    array = gpuzarr.create_array(store, shape=(6, 6), chunks=chunks, dtype=dtype, fill_value=fill, **settled)
    filled = np.full((6, 6), array.fill_value, dtype)
    for executor in EXECUTORS:
        array = gpuzarr.open_array(store, mode="r+", executor=executor)
        assert same(array[...], filled)
        array[1, 1] = 1
        changed = filled.copy()
        changed[1, 1] = 1
        assert np.array_equal(array[...], changed, equal_nan=dtype.startswith("f"))
        assert same(array[2:4, 2:4], filled[2:4, 2:4])
        array[1, 1] = array.fill_value


# ---- with others -----------------------------------------------------------------------------------------------------

CHAINS: dict[str, tuple[str, Any, list[Any], list[str]]] = {
    "scale": ("float32", 5.0, [codec("scale_offset", offset=5, scale=0.1), LITTLE], ["Z"]),
    "scale-integers": ("int16", 7, [codec("scale_offset", offset=-3, scale=4), BIG], ["Z"]),
    "scale-nothing": ("uint64", 0, [{"name": "scale_offset"}, LITTLE], ["Z"]),
    "cast": ("float64", 0.0, [codec("cast_value", data_type="int16"), LITTLE], ["Z"]),
    "cast-round": ("float64", 0.0, [codec("cast_value", data_type="int8", rounding="towards-negative"), LITTLE], ["Z"]),
    "cast-clamp": ("float32", 0.0, [codec("cast_value", data_type="uint8", out_of_range="clamp"), LITTLE], ["Z"]),
    "cast-wrap": ("int32", 0, [codec("cast_value", data_type="uint8", out_of_range="wrap"), LITTLE], ["Z"]),
    "both": (
        "float64",
        20.0,
        [
            codec("scale_offset", offset=20, scale=4),
            codec("cast_value", data_type="int16", rounding="nearest-away"),
            BIG,
        ],
        ["Z"],
    ),
    "turned": (
        "float32",
        0.0,
        [
            codec("transpose", order=[1, 0]),
            codec("cast_value", data_type="float16", scalar_map={"encode": [[3, 9], ["NaN", 0]], "decode": [[9, 3]]}),
            codec("transpose", order=[1, 0]),
            LITTLE,
        ],
        ["Z"],
    ),
    "shards": (
        "float32",
        1.0,
        [
            codec(
                "sharding_indexed",
                chunk_shape=[2, 2],
                codecs=[codec("scale_offset", scale=2), codec("cast_value", data_type="int16"), BIG],
                index_codecs=[LITTLE],
            )
        ],
        ["Z"],
    ),
}


@pytest.mark.parametrize("name", list(CHAINS))
def test_zarr_python_stores_the_same_values(name: str, tmp_path: Path) -> None:
    pytest.importorskip("cast_value_rs")
    dtype, fill, codecs, _ = CHAINS[name]
    other = PEERS["Z"]()
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [5, 7],
        "data_type": dtype,
        "chunk_grid": codec("regular", chunk_shape=[2, 4]),
        "chunk_key_encoding": codec("default", separator="/"),
        "fill_value": fill,
        "codecs": codecs,
        "attributes": {},
    }
    values = np.arange(35).reshape(5, 7).astype(dtype) * 3 - (0 if dtype.startswith("u") else 20)
    values = values + np.array(0.25).astype(dtype)
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "zarr.json").write_text(json.dumps(document))
    gpuzarr.open_array(tmp_path / "ours", mode="r+")[:, 1:] = values[:, 1:]
    zarr = pytest.importorskip("zarr")
    with quiet():
        zarr.open_array(str(tmp_path / "theirs"), mode="r+")[:, 1:] = values[:, 1:]
    read = other.read(tmp_path / "theirs")
    assert same(other.read(tmp_path / "ours"), read)
    for executor in EXECUTORS:
        for folder in ("ours", "theirs"):
            assert same(gpuzarr.open_array(tmp_path / folder, executor=executor)[...], read)
    for file in (tmp_path / "theirs" / "c").rglob("*"):
        if file.is_file():
            assert (tmp_path / "ours" / file.relative_to(tmp_path / "theirs")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 9, b"\1\0\0\0\0\0\0\0"])
def test_chunks_that_decode_to_nothing_are_errors(data: bytes) -> None:
    store: dict[str, Any] = {}
    filters = [codec("scale_offset", scale=2), codec("cast_value", data_type="int16")]
    array = gpuzarr.create_array(store, shape=4, chunks=4, dtype="int32", filters=filters, compressors=None)
    store["c/0"] = data
    with pytest.raises(CodecError) as error:
        array[...]
    assert error.value.key == "c/0"
