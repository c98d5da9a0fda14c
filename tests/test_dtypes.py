"""Data types and fill values: every name has one NumPy type, every fill value its exact bits, both ways."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpuzarr import errors
from gpuzarr.dtypes import (
    JSON,
    DataType,
    MetadataWarning,
    as_fill,
    encode_fill,
    from_numpy,
    from_v2,
    from_v3,
    parse_fill,
    same_fill,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
ML = [
    *("bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz"),
    *("float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn", "int2", "int4", "uint2", "uint4"),
    *("float6_e2m3fn", "float6_e3m2fn"),
]
COMPLEX = ["complex_bfloat16", "complex_float16", "complex_float4_e2m1fn", "complex_float8_e5m2"]


def named(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


TEXT, MOMENT = named("fixed_length_utf32", length_bytes=8), named("numpy.datetime64", unit="us", scale_factor=10)
PAIR = named("struct", fields=[{"name": "x", "data_type": "float32"}, {"name": "y", "data_type": "uint8"}])
NESTED = named("struct", fields=[{"name": "p", "data_type": PAIR}, {"name": "t", "data_type": MOMENT}])
LEGACY = named("structured", fields=[["x", "float32"], ["y", "uint8"]])
NULLS, RAW = named("null_terminated_bytes", length_bytes=3), named("raw_bytes", length_bytes=3)
EXTENSIONS = [TEXT, MOMENT, PAIR, NESTED, LEGACY, NULLS, RAW, "string", "bytes"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def v3(name: Any) -> DataType:
    if name in ML or name in COMPLEX:
        pytest.importorskip("ml_dtypes", reason="types of ml_dtypes are read where it is installed")
    return from_v3(name, "a")


def v2(typestr: JSON) -> DataType:
    return from_v2(typestr, "a")


def fill3(value: JSON, name: str) -> np.generic:
    fill = parse_fill(value, v3(name), 3, "a")
    assert fill is not None
    return fill


def fill2(value: JSON, typestr: JSON) -> np.generic | None:
    return parse_fill(value, v2(typestr), 2, "a")


def bits(fill: np.generic | None) -> str:
    """Of a scalar, most significant byte first."""
    assert fill is not None
    return fill.tobytes()[::-1].hex()


# ---- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CORE)
def test_a_core_type_is_numpys_type_of_that_name(name: str) -> None:
    found = v3(name)
    assert (found.dtype, found.json, found.name) == (np.dtype(name), name, name)
    assert found.wire == np.dtype(name).newbyteorder("<")


@pytest.mark.parametrize("name", ML)
def test_small_types_are_those_of_ml_dtypes(name: str) -> None:
    assert v3(name).dtype.name == name
    assert v3(name).dtype.itemsize == (2 if name == "bfloat16" else 1)


def test_raw_bits_are_void_bytes() -> None:
    assert v3("r24").dtype == np.dtype("V3")


@pytest.mark.parametrize("name", ["complex_float32", "complex_float64"])
def test_other_names_of_core_types_are_written_as_the_core_name(name: str) -> None:
    assert v3(name).json == name.replace("_float32", "64").replace("_float64", "128")


def test_a_type_may_be_named_by_an_object() -> None:
    assert v3({"name": "int8"}) == v3({"name": "int8", "configuration": {}}) == v3("int8")


@pytest.mark.parametrize(
    ("value", "dtype", "wire"),
    [
        (TEXT, "U2", "<U2"),
        (MOMENT, "M8[10us]", "<M8[10us]"),
        (named("numpy.timedelta64", unit="μs", scale_factor=1), "m8[us]", "<m8[us]"),
        (named("numpy.datetime64", unit="generic", scale_factor=1), "M8", "<M8"),
        (NULLS, "S3", "S3"),
        (RAW, "V3", "V3"),
        (PAIR, [("x", "f4"), ("y", "u1")], [("x", "<f4"), ("y", "u1")]),
        (LEGACY, [("x", "f4"), ("y", "u1")], [("x", "<f4"), ("y", "u1")]),
        (
            NESTED,
            [("p", [("x", "f4"), ("y", "u1")]), ("t", "M8[10us]")],
            [("p", [("x", "<f4"), ("y", "u1")]), ("t", "<M8[10us]")],
        ),
        ("string", np.dtypes.StringDType(), np.dtypes.StringDType()),
        ({"name": "string"}, np.dtypes.StringDType(), np.dtypes.StringDType()),
        ("bytes", object, object),
        ("variable_length_bytes", object, object),
    ],
    ids=str,
)
def test_types_of_extensions_are_numpys(value: JSON, dtype: Any, wire: Any) -> None:
    found = v3(value)
    assert (found.dtype, found.wire) == (np.dtype(dtype), np.dtype(wire))
    assert found.is_object == (np.dtype(dtype).hasobject)


def test_complex_types_are_those_of_ml_dtypes_or_pairs() -> None:
    assert v3("complex_bfloat16").dtype.name == "bcomplex32"
    assert v3("complex_float16").dtype.name == "complex32"
    part = v3("float8_e5m2").dtype
    assert v3("complex_float8_e5m2").dtype == np.dtype([("real", part), ("imag", part)])


@pytest.mark.parametrize(
    "value",
    [
        "fixed_length_utf32",
        "struct",
        named("fixed_length_utf32"),
        named("fixed_length_utf32", length_bytes=6),
        named("fixed_length_utf32", length_bytes=0),
        named("fixed_length_utf32", length_bytes=True),
        named("null_terminated_bytes", length_bytes=1 << 40),
        named("raw_bytes", length_bytes=3, more=1),
        named("numpy.datetime64", unit="us"),
        named("numpy.datetime64", unit="parsec", scale_factor=1),
        named("numpy.datetime64", unit="us", scale_factor=0),
        named("numpy.timedelta64", unit="us", scale_factor=1 << 31),
        named("string", length=3),
        named("struct", fields=[]),
        named("struct", fields={}),
        named("struct", fields=[["x"]]),
        named("struct", fields=[{"name": "", "data_type": "int8"}]),
        named("struct", fields=[{"name": "x"}]),
        named("struct", fields=[["x", "int8"], ["x", "int8"]]),
        named("struct", fields=[["x", "string"]]),
        named("struct", fields=[["x", named("raw_bytes", length_bytes=1 << 26)], ["y", "int8"]]),
    ],
    ids=str,
)
def test_a_configuration_that_names_no_type_is_refused(value: JSON) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        v3(value)
    assert (caught.value.path, caught.value.field) == ("a", "data_type")


def test_endless_nesting_of_structs_is_refused() -> None:
    value: JSON = "int8"
    for _ in range(100):
        value = named("struct", fields=[["x", value]])
    with pytest.raises(errors.MetadataError, match="nested"):
        v3(value)


@pytest.mark.parametrize(
    "value",
    [
        "float31",
        "",
        "r7",
        "r0",
        "r",
        "r٨",
        "r99999999999",
        "int32 ",
        None,
        3,
        [],
        {},
        {"name": 3},
        {"name": "int8", "configuration": {"a": 1}},
        {"name": "int8", "configuration": None},
        {"name": "int8", "must_understand": False},
        {"name": "int8", "endian": "little"},
    ],
)
def test_what_names_no_type_is_refused(value: JSON) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        v3(value)
    assert (caught.value.path, caught.value.field) == ("a", "data_type")


def test_without_ml_dtypes_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with pytest.raises(errors.UnsupportedError, match=r"gpuzarr\[dtypes\]"):
        from_v3("bfloat16", "a")


@pytest.mark.parametrize(
    ("typestr", "dtype", "canonical", "name"),
    [
        ("<u2", "u2", "<u2", "uint16"),
        (">f8", "f8", ">f8", "float64"),
        ("|b1", "?", "|b1", "bool"),
        ("<i1", "i1", "|i1", "int8"),
        (">b1", "?", "|b1", "bool"),
        ("<V4", "V4", "|V4", "V4"),
        (">c16", "c16", ">c16", "complex128"),
        ("|S7", "S7", "|S7", "S7"),
        (">U3", "U3", ">U3", "U3"),
        (">M8[ns]", "M8[ns]", ">M8[ns]", "datetime64[ns]"),
        ("<m8[25us]", "m8[25us]", "<m8[25us]", "timedelta64[25us]"),
        ("<M8", "M8", "<M8", "datetime64"),
    ],
)
def test_a_type_string_keeps_its_byte_order_on_the_wire_only(
    typestr: str, dtype: str, canonical: str, name: str
) -> None:
    found = v2(typestr)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert (found.wire.str, found.json, found.name) == (canonical, canonical, name)


def test_a_structured_type_may_nest_and_have_array_fields() -> None:
    fields: list[JSON] = [
        ["a", ">u2"],
        ["b", [["x", "<f4"], ["y", "|S3"]]],
        ["c", ">i4", [2, 3]],
        ["d", "|u1", 2],
    ]
    found = v2(fields)
    assert found.wire == np.dtype(
        [("a", ">u2"), ("b", [("x", "<f4"), ("y", "S3")]), ("c", ">i4", (2, 3)), ("d", "u1", (2,))]
    )
    assert found.dtype == found.wire.newbyteorder("=")
    assert found.json == [*fields[:3], json.loads('["d", "|u1", [2]]')]
    assert found.name == "struct(a: uint16, b: struct(x: float32, y: S3), c: int32[2, 3], d: uint8[2])"


@pytest.mark.parametrize("value", [[["a", "|O"]], "<f16", ">c32"])
def test_objects_in_structured_types_and_extended_precision_are_unsupported(value: JSON) -> None:
    with pytest.raises(errors.UnsupportedError):
        v2(value)


@pytest.mark.parametrize(
    ("codec", "name", "dtype"),
    [
        ("vlen-utf8", "string", np.dtypes.StringDType()),
        ("vlen-bytes", "bytes", object),
        ("json2", "object", object),
        ("categorize", "object", object),
    ],
)
def test_what_objects_are_is_up_to_their_codec(codec: str, name: str, dtype: Any) -> None:
    found = from_v2("|O", "a", codec)
    assert (found.name, found.dtype, found.json) == (name, np.dtype(dtype), "|O")
    for none in (None, "delta", "zlib"):
        with pytest.raises(errors.MetadataError):
            from_v2("|O", "a", none)


@pytest.mark.parametrize(
    "value",
    [
        "int32",
        "i4",
        "=i4",
        "|i4",
        "|U4",
        "|M8[s]",
        "<i3",
        "<f1",
        "<b2",
        "<S0",
        "|S",
        "|V99999999999",
        "|S99999999",
        "<U99999999",
        "<M8[0s]",
        "<M8[99999999999s]",
        "<M8[2generic]",
        "<M8[parsec]",
        "<i4[s]",
        "<i4,<i4",
        "<t4",
        "",
        None,
        4,
        {},
        [],
        [["a"]],
        [["a", "<i4", 1, 1]],
        [[1, "<i4"]],
        [["a", "<i4", [0]]],
        [["a", "<i4", [-1]]],
        [["a", "<i4", [True]]],
        [["a", "<i4", "3"]],
        [["a", "<i4", [1 << 40, 1 << 40]]],
        [["a", "<i4"], ["a", "<i4"]],
        [["a", "<i4", [1] * 99]],
        ["<i4", "<i4"],
    ],
)
def test_what_is_no_type_string_is_refused(value: JSON) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        v2(value)
    assert (caught.value.path, caught.value.field) == ("a", "data_type")


def test_endless_nesting_is_refused() -> None:
    value: JSON = "<i4"
    for _ in range(500):
        value = [["a", value]]
    with pytest.raises(errors.MetadataError, match="nested"):
        v2(value)


@settings(deadline=None)
@given(json_values)
def test_any_json_value_is_a_type_or_an_error(value: JSON) -> None:
    for parse in (from_v2, from_v3):
        try:
            found = parse(value, "a")
        except errors.GpuzarrError:
            continue
        assert found.dtype.itemsize > 0


# ---- what a user asks for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "zarr_format", "expected"),
    [
        (float, 3, "float64"),
        ("f4", 3, "float32"),
        (np.uint16, 3, "uint16"),
        (">i4", 3, "int32"),
        (">i4", 2, ">i4"),
        ("r16", 3, "r16"),
        ("V3", 3, "r24"),
        ("V3", 2, "|V3"),
        ("M8[ns]", 2, "<M8[ns]"),
        ([("a", "i2"), ("b", "U3")], 2, [["a", "<i2"], ["b", "<U3"]]),
        (
            np.dtype({"names": ["a", "b"], "formats": ["u1", "<i4"], "offsets": [0, 4]}),
            2,
            [["a", "|u1"], ["b", "<i4"]],
        ),
        (from_v2(">u2", ""), 3, "uint16"),
        (from_v3("uint16", ""), 2, "<u2"),
        ("M8[10us]", 3, MOMENT),
        ("U2", 3, TEXT),
        ("S3", 3, NULLS),
        ([("x", "f4"), ("y", "u1")], 3, PAIR),
        ([("p", [("x", ">f4"), ("y", "u1")]), ("t", "M8[10us]")], 3, NESTED),
        (str, 3, "string"),
        ("string", 3, "string"),
        (np.dtypes.StringDType(), 3, "string"),
        (bytes, 3, "bytes"),
        (RAW, 3, RAW),
        (from_v3(RAW, ""), 3, RAW),
        (from_v3(LEGACY, ""), 3, PAIR),
    ],
    ids=str,
)
def test_a_numpy_type_is_named_as_the_format_names_it(wanted: Any, zarr_format: int, expected: JSON) -> None:
    found = from_numpy(wanted, zarr_format)
    assert found.json == expected
    assert found == (from_v2 if zarr_format == 2 else from_v3)(found.json, "")


@pytest.mark.parametrize("name", ML)
def test_small_types_are_asked_for_by_name_or_type(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="types of ml_dtypes are read where it is installed")
    for wanted in (name, getattr(ml_dtypes, name), np.dtype(getattr(ml_dtypes, name))):
        assert from_numpy(wanted, 3) == v3(name)
        with pytest.raises(errors.UnsupportedError):
            from_numpy(wanted, 2)


@pytest.mark.parametrize(
    ("wanted", "zarr_format"),
    [
        (np.longdouble, 3),
        ("bfloat16", 2),
        (RAW, 2),
        ([("a", "i2", (3,))], 3),
        ([("a", "O")], 2),
    ],
)
def test_a_type_that_the_format_cannot_name_is_unsupported(wanted: Any, zarr_format: int) -> None:
    with pytest.raises(errors.UnsupportedError):
        from_numpy(wanted, zarr_format)


@pytest.mark.parametrize(
    ("wanted", "zarr_format"),
    [
        *(("nonsense", 3), ("nonsense", 2), ("S", 2), ("S", 3), ("U", 3), ("r7", 3), (("i4", (2,)), 3)),
        *((3.5, 3), ([], 2), (object, 2), (object, 3), ([("a", "O")], 3), ({"name": "struct"}, 3)),
    ],
)
def test_what_is_no_type_cannot_be_asked_for(wanted: Any, zarr_format: int) -> None:
    with pytest.raises(errors.MetadataError):
        from_numpy(wanted, zarr_format)


# ---- fill values of documents ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("NaN", "float16", "7e00"),
        ("NaN", "float32", "7fc00000"),
        ("NaN", "float64", "7ff8000000000000"),
        ("NaN", "bfloat16", "7fc0"),
        ("NaN", "float8_e3m4", "78"),
        ("NaN", "float8_e4m3", "7c"),
        ("NaN", "float8_e5m2", "7e"),
        ("NaN", "float8_e4m3b11fnuz", "80"),
        ("NaN", "float8_e4m3fnuz", "80"),
        ("NaN", "float8_e5m2fnuz", "80"),
        ("NaN", "float8_e8m0fnu", "ff"),
        ("0x7fa00001", "float32", "7fa00001"),
        ("0xfff4000000000002", "float64", "fff4000000000002"),
        ("0x7d00", "float16", "7d00"),
        ("0xffc1", "bfloat16", "ffc1"),
        ("-Infinity", "float32", "ff800000"),
        ("Infinity", "float8_e5m2", "7c"),
        (-0.0, "float32", "80000000"),
        (1, "float64", "3ff0000000000000"),
        (16777217, "float32", "4b800000"),
        (1e39, "float32", "7f800000"),
        (10**400, "float64", "7ff0000000000000"),
        (0.5, "float4_e2m1fn", "01"),
        (-8, "int4", "08"),
        (3, "uint2", "03"),
        (1 << 63, "uint64", "8000000000000000"),
        (-(1 << 63), "int64", "8000000000000000"),
        (True, "bool", "01"),
        ([1, 255, 3], "r24", "03ff01"),
        (["0x7fa00001", -0.0], "complex64", "800000007fa00001"),
        (["NaN", "-Infinity"], "complex64", "ff8000007fc00000"),
    ],
)
def test_a_fill_value_has_exactly_the_bits_it_names(value: JSON, name: str, expected: str) -> None:
    fill = fill3(value, name)
    assert fill.dtype == v3(name).dtype
    assert bits(fill).zfill(len(expected))[-len(expected) :] == expected
    written = encode_fill(fill, v3(name), 3)
    assert same_fill(
        parse_fill(json.loads(json.dumps(written, allow_nan=False)), v3(name), 3, ""), fill, v3(name)
    )


def test_the_usual_nan_is_written_as_a_word_and_any_other_as_its_bits() -> None:
    kind = v3("float32")
    assert encode_fill(fill3("0x7fc00000", "float32"), kind, 3) == "NaN"
    assert encode_fill(fill3("0xffc00000", "float32"), kind, 3) == "0xffc00000"
    assert encode_fill(fill3("0x7FA00001", "float32"), kind, 3) == "0x7fa00001"
    assert encode_fill(fill3(["0x7fa00001", "-Infinity"], "complex64"), v3("complex64"), 3) == [
        "0x7fa00001",
        "-Infinity",
    ]


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (1.0, "uint8", 1),
        (0, "bool", False),
        (1, "bool", True),
        (True, "float32", 1.0),
        ("1.5", "float64", 1.5),
        (float("inf"), "float64", np.inf),
        (3, "complex64", 3 + 0j),
    ],
)
def test_what_some_writers_wrote_is_read_with_a_warning(value: JSON, name: str, expected: Any) -> None:
    with pytest.warns(MetadataWarning):
        assert fill3(value, name) == expected


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "uint8"),
        (256, "uint8"),
        (-1, "uint8"),
        (0.5, "int32"),
        (1e300, "int64"),
        (True, "int8"),
        ("1", "int8"),
        (float("nan"), "int8"),
        (8, "int4"),
        (4, "uint2"),
        (2, "bool"),
        ("true", "bool"),
        (0.0, "bool"),
        ("nan", "float32"),
        ("inf", "float32"),
        ("1_0", "float32"),
        (" 1", "float32"),
        ("0x7fc0", "float32"),
        ("0x7fc000000", "float32"),
        ("9" * 10_000, "float32"),
        ([1], "float32"),
        ("Infinity", "float8_e4m3fnuz"),
        ("NaN", "float4_e2m1fn"),
        ("Infinity", "float4_e2m1fn"),
        (7.5, "float4_e2m1fn"),
        (1e9, "float8_e4m3fn"),
        (0, "float8_e8m0fnu"),
        ([1], "complex64"),
        ([1, 2, 3], "complex64"),
        ([1, [2]], "complex64"),
        ({}, "complex64"),
        ([1, 2], "r24"),
        ([1, 2, 256], "r24"),
        ([1, 2, True], "r24"),
        ("AAAA", "r24"),
        (0, "r24"),
    ],
)
def test_a_fill_value_that_the_type_has_not_is_refused(value: JSON, name: str) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        fill3(value, name)
    assert (caught.value.path, caught.value.field) == ("a", "fill_value")


@pytest.mark.parametrize(
    ("value", "typestr", "expected", "written"),
    [
        (7, ">u2", np.uint16(7), 7),
        ("NaN", "<f4", np.float32("nan"), "NaN"),
        ([1.0, "NaN"], "<c8", np.complex64(complex(1, np.nan)), [1.0, "NaN"]),
        ("MA==", "|S3", np.bytes_(b"0"), "MA=="),
        ("YQAA", "|S3", np.bytes_(b"a"), "YQ=="),
        ("", "|S3", np.bytes_(b""), ""),
        ("é", "<U2", np.str_("é"), "é"),
        (5, "<M8[ns]", np.datetime64(5, "ns"), 5),
        (-(1 << 63), ">m8[s]", np.timedelta64("NaT", "s"), -(1 << 63)),
        ("NaT", "<M8[s]", np.datetime64("NaT", "s"), -(1 << 63)),
        ("AQI=", "|V2", np.void(b"\1\2"), "AQI="),
        ("AAFhYgA=", [["a", ">u2"], ["b", "|S3"]], np.array((1, b"ab"), "u2,S3")[()], "AAFhYgA="),
    ],
)
def test_fill_values_of_format_2(value: JSON, typestr: JSON, expected: np.generic, written: JSON) -> None:
    kind, fill = v2(typestr), fill2(value, typestr)
    assert same_fill(fill, expected.astype(kind.dtype) if kind.dtype.names else expected, kind)
    assert encode_fill(fill, kind, 2) == written


def test_null_names_no_fill_value_in_format_2_only() -> None:
    assert fill2(None, "<i4") is None
    assert encode_fill(None, v2("<i4"), 2) is None
    with pytest.raises(errors.MetadataError):
        encode_fill(None, v3("int32"), 3)


@pytest.mark.parametrize(
    ("value", "name", "expected", "written"),
    [
        ("żó", TEXT, np.str_("żó"), "żó"),
        ("NaT", MOMENT, np.datetime64("NaT", "10us"), -(1 << 63)),
        (-(1 << 63), MOMENT, np.datetime64("NaT", "10us"), -(1 << 63)),
        ("YQ==", NULLS, np.bytes_(b"a"), "YQ=="),
        ("AAEC", RAW, np.void(b"\0\1\2"), "AAEC"),
        ([0, 1, 2], RAW, np.void(b"\0\1\2"), "AAEC"),
        ({"x": -0.0, "y": 7}, PAIR, np.array((-0.0, 7), "<f4,u1")[()], {"x": -0.0, "y": 7}),
        ("AACAPwc=", LEGACY, np.array((1, 7), "<f4,u1")[()], "AACAPwc="),
        ({"x": 1, "y": 7}, LEGACY, np.array((1, 7), "<f4,u1")[()], "AACAPwc="),
        ("żółw", "string", "żółw", "żółw"),
        ("/wA=", "bytes", b"\xff\0", "/wA="),
        ([255, 0], "bytes", b"\xff\0", "/wA="),
        ([], "bytes", b"", ""),
    ],
    ids=str,
)
def test_fill_values_of_extensions(value: JSON, name: Any, expected: Any, written: JSON) -> None:
    kind = v3(name)
    fill = parse_fill(value, kind, 3, "")
    assert same_fill(fill, expected, kind)
    assert encode_fill(fill, kind, 3) == written


def test_a_nan_in_a_struct_keeps_its_bits() -> None:
    kind = v3(NESTED)
    fill = parse_fill({"p": {"x": "0x7fa00001", "y": 3}, "t": "NaT"}, kind, 3, "")
    assert fill.tobytes() == b"\1\0\xa0\x7f\3" + b"\0" * 7 + b"\x80"
    assert encode_fill(fill, kind, 3) == {"p": {"x": "0x7fa00001", "y": 3}, "t": -(1 << 63)}


def test_complex_fill_values_are_pairs() -> None:
    for name, bits_ in (("complex_bfloat16", "c0003fc0"), ("complex_float8_e5m2", "c03e")):
        fill = fill3([1.5, -2], name)
        assert bits(fill) == bits_
        assert encode_fill(fill, v3(name), 3) == [1.5, -2.0]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("abc", TEXT),
        (0, TEXT),
        (0, NULLS),
        ("AAAAAAA=", NULLS),
        ("AAE=", RAW),
        ([0, 1], RAW),
        ("soon", MOMENT),
        (1 << 63, MOMENT),
        ({"x": 1}, PAIR),
        ({"x": 1, "y": 2, "z": 3}, PAIR),
        ({"x": 1, "y": 256}, PAIR),
        ([1, 2], PAIR),
        (0, PAIR),
        ("AAAA", PAIR),
        (0, "string"),
        (None, "string"),
        ("\ud800", "string"),
        ("?", "bytes"),
        ([256], "bytes"),
        ([True], "bytes"),
        (0, "bytes"),
        ([1], "complex_float8_e5m2"),
    ],
    ids=str,
)
def test_a_fill_value_that_an_extension_has_not_is_refused(value: JSON, name: Any) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        parse_fill(value, v3(name), 3, "a")
    assert (caught.value.path, caught.value.field) == ("a", "fill_value")


def test_a_nan_with_a_payload_is_just_a_nan_in_format_2() -> None:
    assert encode_fill(fill3("0x7fa00001", "float32"), v2("<f4"), 2) == "NaN"


@pytest.mark.parametrize("typestr", ["|S3", "<U4", "|V2", [["a", "<i4"]]])
def test_zero_is_the_zero_of_any_type_in_format_2(typestr: JSON) -> None:
    with pytest.warns(MetadataWarning):
        fill = fill2(0, typestr)
    assert same_fill(fill, as_fill(None, v2(typestr)), v2(typestr))


def test_a_byte_string_not_in_base64_is_taken_as_it_is() -> None:
    with pytest.warns(MetadataWarning):
        assert fill2("N/A", "|S3") == b"N/A"


@pytest.mark.parametrize(
    ("value", "typestr"),
    [
        ("toolong", "<U3"),
        (1, "<U3"),
        ("AAAAAAAA", "|S3"),
        ("é", "|S3"),
        (1, "|S3"),
        ("AAA=", "|V3"),
        ("é", "|V3"),
        ([1, 2, 3], "|V3"),
        ("AAAA", [["a", "<i4"]]),
        (1 << 63, "<M8[s]"),
        (1.0, "<M8[s]"),
        ("2000-01-01", "<M8[s]"),
        (True, "<M8[s]"),
        ("0x7fc00000", "<f4"),
    ],
)
def test_a_fill_value_that_a_type_of_format_2_has_not_is_refused(value: JSON, typestr: JSON) -> None:
    with pytest.raises(errors.MetadataError):
        fill2(value, typestr)


@settings(deadline=None)
@given(
    json_values | st.dictionaries(st.sampled_from("xypt"), json_values), st.sampled_from([*CORE, "r8", *EXTENSIONS])
)
def test_any_json_value_is_a_fill_value_or_an_error(value: JSON, name: Any) -> None:
    check_any_fill(value, from_v3(name, ""), 3)


@settings(deadline=None)
@given(json_values, st.sampled_from(["|b1", "<i8", "<f2", ">c16", "|S4", "<U4", "|V3", ">M8[ns]", "struct"]))
def test_any_json_value_is_a_fill_value_of_format_2_or_an_error(value: JSON, typestr: str) -> None:
    check_any_fill(value, from_v2([["a", ">i2"], ["b", "<U1"]] if typestr == "struct" else typestr, ""), 2)


def check_any_fill(value: JSON, kind: DataType, zarr_format: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        try:
            fill = parse_fill(value, kind, zarr_format, "a")
        except errors.GpuzarrError:
            return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = parse_fill(
            json.loads(json.dumps(encode_fill(fill, kind, zarr_format), allow_nan=False)),
            kind,
            zarr_format,
            "",
        )
    assert same_fill(fill, again, kind)


@settings(deadline=None)
@given(st.data(), st.sampled_from([*CORE, "r8", "r24", RAW, MOMENT, PAIR, NESTED, LEGACY]))
def test_what_is_written_reads_back_to_the_same_bits(data: st.DataObject, name: Any) -> None:
    kind = from_v3(name, "")
    raw = data.draw(st.binary(min_size=kind.dtype.itemsize, max_size=kind.dtype.itemsize))
    if name == "bool":
        raw = bytes([raw[0] & 1])
    fill = np.frombuffer(raw, kind.dtype)[0]
    text = json.dumps(encode_fill(fill, kind, 3), allow_nan=False)
    again = parse_fill(json.loads(text), kind, 3, "")
    assert again is not None
    assert again.tobytes() == raw


@settings(deadline=None)
@given(
    hnp.array_dtypes(
        hnp.scalar_dtypes() | hnp.byte_string_dtypes(min_len=1) | hnp.unicode_string_dtypes(min_len=1)
    ).flatmap(lambda dtype: hnp.arrays(dtype, ()))
)
def test_any_structured_value_survives_format_2(value: np.ndarray[Any, Any]) -> None:
    try:
        kind = from_numpy(value.dtype, 2)
    except errors.UnsupportedError:
        return  # extended precision
    fill = as_fill(value, kind)
    assert same_fill(parse_fill(encode_fill(fill, kind, 2), kind, 2, ""), fill, kind)


# ---- fill values of users ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (None, "float32", "00000000"),
        (None, "r16", "0000"),
        (None, "float8_e8m0fnu", "00"),
        (3.0, "uint8", "03"),
        (np.int64(3), "uint8", "03"),
        (np.array([3]), "uint8", "03"),
        (np.array(3.0), "uint8", "03"),
        (True, "bool", "01"),
        (np.True_, "bool", "01"),
        ("NaN", "float32", "7fc00000"),
        (float("nan"), "float32", "7fc00000"),
        (np.frombuffer(b"\1\0\xa0\x7f", "f4")[0], "float32", "7fa00001"),
        (float("-inf"), "float16", "fc00"),
        (1.5, "bfloat16", "3fc0"),
        (-3, "int4", "0d"),
        (1 + 2j, "complex64", "400000003f800000"),
        (1, "complex64", "000000003f800000"),
        ((1, "NaN"), "complex64", "7fc000003f800000"),
        (b"\1\2", "r16", "0201"),
        (np.void(b"\1\2"), "r16", "0201"),
        ([1, 2], "r16", "0201"),
        (0, "r16", "0000"),
    ],
)
def test_a_given_value_becomes_a_scalar_of_the_type(value: Any, name: str, expected: str) -> None:
    fill = as_fill(value, v3(name))
    assert fill.dtype == v3(name).dtype
    assert bits(fill) == expected


@pytest.mark.parametrize(
    ("value", "typestr", "expected"),
    [
        (b"ab", "|S3", np.bytes_(b"ab")),
        ("ab", "|S3", np.bytes_(b"ab")),
        ("é", "<U2", np.str_("é")),
        (0, "<U2", np.str_("")),
        (None, "|S3", np.bytes_(b"")),
        (None, "<M8[s]", np.datetime64("NaT", "s")),
        (0, "<M8[s]", np.datetime64(0, "s")),
        ("NaT", "<M8[s]", np.datetime64("NaT", "s")),
        (np.datetime64("2000", "Y"), "<M8[s]", np.datetime64("2000-01-01T00:00:00", "s")),
        (7, "<m8[ms]", np.timedelta64(7, "ms")),
        ((1, b"x"), [["a", "<u2"], ["b", "|S3"]], np.array((1, b"x"), "u2,S3")[()]),
        (0, [["a", "<u2"], ["b", "|S3"]], np.array((0, b""), "u2,S3")[()]),
    ],
)
def test_a_given_value_becomes_a_scalar_of_a_type_of_format_2(
    value: Any, typestr: JSON, expected: np.generic
) -> None:
    kind = v2(typestr)
    assert same_fill(as_fill(value, kind), expected.astype(kind.dtype), kind)


def test_given_fill_values_of_extensions() -> None:
    pair = v3(PAIR)
    assert same_fill(as_fill({"x": 1.5, "y": 2}, pair), np.array((1.5, 2), "<f4,u1")[()], pair)
    assert same_fill(as_fill((1.5, 2), pair), np.array((1.5, 2), "<f4,u1")[()], pair)
    for value, name, expected in (
        *((None, "string", ""), ("a", "string", "a"), (np.str_("a"), "string", "a"), (0, "string", "")),
        *((None, "bytes", b""), (b"a", "bytes", b"a"), (np.bytes_(b"a"), "bytes", b"a"), ("a", "bytes", b"a")),
    ):
        found = as_fill(value, v3(name))
        assert (found, type(found)) == (expected, type(expected))
    for value, name in ((1, "string"), (b"a", "string"), (1.5, "bytes"), ("é", "bytes"), ({"x": 1}, PAIR)):
        with pytest.raises(errors.MetadataError):
            as_fill(value, v3(name))


def test_a_given_structured_value_is_copied() -> None:
    values = np.array([(1, 2)], "<i2,<i2")
    fill = as_fill(values[0], from_numpy(values.dtype, 2))
    values["f0"] = 9
    assert fill.tolist() == (1, 2)


@pytest.mark.parametrize(
    ("value", "typestr"),
    [
        (256, "|u1"),
        (-1, "|u1"),
        (1.5, "<i4"),
        (float("nan"), "<i4"),
        ("3", "<i4"),
        (1e39, "<f4"),
        (10**400, "<f8"),
        (1j, "<f4"),
        (np.complex64(1j), "<f4"),
        (b"1", "<f4"),
        ([1], "<f4"),
        (2, "|b1"),
        ("x", "|b1"),
        ((1, 2, 3), "<c8"),
        ("abcd", "|S3"),
        ("é", "|S3"),
        (3.5, "|S3"),
        ("abcd", "<U3"),
        (b"\xff", "<U3"),
        (1.5, "<M8[s]"),
        ([1, 2], "<M8[s]"),
        ("soon", "<M8[s]"),
        (b"abc", "|V2"),
        (3, "|V2"),
        ((1,), [["a", "<u2"], ["b", "<u2"]]),
        ((1, 1 << 16), [["a", "<u2"], ["b", "<u2"]]),
        (np.arange(3), "<i4"),
        (object(), "<i4"),
    ],
)
def test_a_given_value_that_the_type_cannot_hold_is_refused(value: Any, typestr: JSON) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        as_fill(value, v2(typestr))
    assert caught.value.field == "fill_value"


def test_fill_values_are_the_same_by_bits() -> None:
    same: Callable[..., bool] = same_fill
    kind = v3("float32")
    assert same(np.float32("nan"), np.float32("nan"), kind)
    assert not same(np.float32(0.0), np.float32(-0.0), kind)
    assert same(None, None, kind)
    assert not same(None, np.float32(0), kind)
