"""Documents are judged by those who read them: what opening refuses is invalid, what it warns of is repaired."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metadata import (
    BYTES,
    CHANGES_REFUSED,
    DOCUMENTS,
    GROUP,
    SHARDING,
    V2,
    V3,
    cases,
    fixtures,
    json_values,
    places,
    put,
    text,
)
from test_repairs import FAULTS

import gpuzarr
from gpuzarr.errors import GpuzarrError
from gpuzarr.metadata import MetadataWarning, v2, v3
from gpuzarr.validation import Validation, rule_of
from gpuzarr.validation.documents import Judged, judge_v2, judge_v3
from gpuzarr.validation.readers import unusual_array_v2, unusual_array_v3, unusual_v3

COPIES = ("consolidated_metadata.", "metadata[")
REFUSALS = {"document", "json", "unknown-codec", "unsupported"}
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2.0, 1.5, "", "x", "NaN", "bytes", "zstd", [], [0], [1, 2], ["a", "a"], {},
    {"name": "bytes"}, {"name": "x"}, {"must_understand": False}, {"name": "gzip", "configuration": {}}, [[1]],
    {"name": "default"}, "uint8",
]  # fmt: skip
BLOSC = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0, "typesize": 2},
}
ARRAYS: list[dict[str, Any]] = [
    {**V3, "codecs": [SHARDING], "dimension_names": ["y", "x"], "storage_transformers": []},
    {
        **V3,
        "codecs": [
            {"name": "transpose", "configuration": {"order": [1, 0]}},
            BYTES,
            {"name": "gzip", "configuration": {"level": 3}},
            BLOSC,
            {"name": "crc32c"},
        ],
    },
    {**V3, "data_type": "float32", "fill_value": "NaN"},
    {**V3, "data_type": "complex64", "fill_value": [0.0, "Infinity"]},
    {**V3, "data_type": "bool", "fill_value": True, "codecs": ["bytes"]},
    {**V3, "data_type": "r16", "fill_value": [1, 2], "codecs": [{"name": "bytes"}]},
]


def opened(stored: dict[str, bytes]) -> tuple[GpuzarrError | None, set[tuple[str, str | None]]]:
    """How opening ends: its error, and the repairs it warns of."""
    for cached in (v2._array_cached, v2._group_cached, v2._consolidated_cached, v3._node_cached):
        cached.cache_clear()  # a remembered document is not warned of again
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MetadataWarning)
        try:
            gpuzarr.open(stored, mode="r")
        except GpuzarrError as found:
            return found, set()
    return None, {(w.message.repair, w.message.field) for w in caught if isinstance(w.message, MetadataWarning)}


def findings(found: Validation, keys: set[str]) -> list[tuple[str, str | None]]:
    """Rules and fields of what is said of some documents themselves, not of copies in them, nor of other keys."""
    mine = [f for f in found.findings if f.key in keys and not (f.field or "").startswith(COPIES)]
    return [(f.rule, f.field) for f in mine if f.rule in REFUSALS or f.severity == "repaired"]


def assert_agrees(stored: dict[str, bytes]) -> None:
    error, repairs = opened(stored)
    said = findings(gpuzarr.validate(stored), set(stored))
    refusals = [rule for rule, _ in said if rule in REFUSALS]
    assert bool(refusals) == (error is not None), (error, said)
    if error is None:
        assert {(rule, field) for rule, field in said if rule not in REFUSALS} == repairs


# ---- no drift ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data(), st.sampled_from(DOCUMENTS), json_values | st.sampled_from(VALUES))
def test_what_open_refuses_is_invalid_and_what_it_warns_of_is_repaired(
    data: st.DataObject, which: Any, value: Any
) -> None:
    kind, document = which
    changed = document
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([p for p in places(changed) if p]))
        changed = put(changed, place, value)
    if kind == "zmetadata":
        assert_agrees({".zgroup": b'{"zarr_format": 2}', ".zmetadata": text(changed)})
    else:
        assert_agrees({"zarr.json" if kind == "v3" else ".zarray": text(changed)})


@pytest.mark.parametrize(("name", "value"), CHANGES_REFUSED)
def test_a_malformed_member_is_told_by_name(name: str, value: Any) -> None:
    found = judge_v3({**V3, name: value})
    assert not found.opens
    (fault,) = found.faults
    assert str(fault.field).partition("[")[0] == name or (name == "shape" and fault.field == "chunk_grid")
    assert_agrees({"zarr.json": text({**V3, name: value})})


@pytest.mark.parametrize(
    ("zarr_format", "changes"), [case for found in FAULTS.values() for case in found], ids=str
)
def test_what_is_repaired_is_told(zarr_format: int, changes: dict[str, Any]) -> None:
    if zarr_format == 3:
        assert_agrees({"zarr.json": text({**V3, **changes})})
    else:
        assert_agrees({".zarray": text({**V2, "filters": None, "compressor": None, **changes})})


@pytest.mark.parametrize(
    "stored",
    [
        {"zarr.json": b"{"},
        {"zarr.json": b"[]"},
        {"zarr.json": b"\xff"},
        {"zarr.json": b'{"zarr_format": 3, "zarr_format": 3, "node_type": "group"}'},
        {"zarr.json": b"\xef\xbb\xbf" + text(GROUP)},
        {"zarr.json": text(GROUP)[:-1] + b', "a": ' + b"[" * 999 + b"]" * 999 + b"}"},
        {".zgroup": b'{"zarr_format": 2}', ".zattrs": b"[]"},
        {".zgroup": b'{"zarr_format": 2}', ".zattrs": b'{"a": NaN}'},
        {".zarray": text(V2), ".zattrs": b"3"},
        {".zgroup": b'{"zarr_format": 2}', ".zmetadata": b"{"},
    ],
)
def test_documents_that_are_no_documents_agree_too(stored: dict[str, bytes]) -> None:
    assert_agrees(stored)


# ---- all of it ---------------------------------------------------------------------------------------------------


def faulty(found: Judged) -> set[tuple[str, str | None]]:
    return {(fault.rule, fault.field) for fault in found.faults}


def test_every_fault_of_an_array_is_told_at_once() -> None:
    inner = {**SHARDING["configuration"], "codecs": [BYTES, {"name": "zstd", "configuration": {"level": "x"}}, 3]}
    found = judge_v3(
        {
            "zarr_format": "3",
            "node_type": "array",
            "shape": [10, -6],
            "data_type": "bool",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 0]}},
            "chunk_key_encoding": "morton",
            "fill_value": 2,
            "codecs": [
                None,
                {"name": "sharding_indexed", "configuration": inner},
                {"name": "endian", "configuration": {"endian": "little"}},
                {"name": "gzip", "configuration": {"level": 77}},
                "who-knows",
            ],
            "attributes": [],
            "dimension_names": ["y"],
            "storage_transformers": [{"name": "x"}],
            "more": 1,
            "most": 2,
        }
    )
    assert faulty(found) == {
        ("document", "zarr_format"),
        ("document", "shape"),
        ("document", "chunk_grid"),
        ("document", "chunk_key_encoding"),
        ("document", "fill_value"),
        ("document", "codecs[0]"),
        ("document", "codecs[1].codecs[2]"),
        ("endian-codec", "codecs"),
        ("document", "codecs[3]"),
        ("unknown-codec", "codecs[4]"),
        ("document", "attributes"),
        ("document", "dimension_names"),
        ("unsupported", "storage_transformers"),
        ("document", "more"),
        ("document", "most"),
    }


def test_every_fault_of_an_array_of_format_2_is_told_at_once() -> None:
    found = judge_v2(
        {
            "zarr_format": 3,
            "shape": [10, 6],
            "chunks": [4],
            "dtype": "|O",
            "compressor": {"id": "blosc", "clevel": 11},
            "fill_value": "x",
            "order": "G",
            "filters": [{"id": "who-knows"}],
            "dimension_separator": "-",
        },
        {},
        array=True,
    )
    assert faulty(found) == {
        ("document", "zarr_format"),
        ("document", "dtype"),
        ("document", "chunks"),
        ("document", "order"),
        ("document", "dimension_separator"),
        ("unknown-codec", "filters[0]"),
        ("document", "compressor"),
    }


@pytest.mark.parametrize("name", [n for n in V3 if n != "attributes"])
@pytest.mark.parametrize("other", ["fill_value", "codecs", "shape"])
def test_one_missing_member_hides_no_other(name: str, other: str) -> None:
    document = {k: v for k, v in V3.items() if k not in (name, other)}
    missing = {fault.field for fault in judge_v3(document).faults if fault.reason.endswith("is missing")}
    # without a data type nothing is known of a fill value
    assert missing == {name, other} - ({"fill_value"} if name == "data_type" else set())


def test_codecs_that_do_not_fit_are_told_together() -> None:
    two = [BYTES, BYTES]
    assert faulty(judge_v3({**V3, "codecs": two})) == {("document", "codecs")}
    assert faulty(judge_v3({**V3, "codecs": two, "shape": "x"})) == {("document", "shape")}  # to what are they bound?


def test_pickles_are_unusual_where_they_are_allowed() -> None:
    document = {**V2, "dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": None}
    stored = {".zarray": text(document)}
    refused, allowed = gpuzarr.validate(stored), gpuzarr.validate(stored, allow_pickle=True)
    assert [(f.rule, f.field) for f in refused.findings if f.severity == "invalid"] == [("unsupported", "filters[0]")]
    assert allowed.valid
    assert ("pickle", "filters[0]") in {(f.rule, f.field) for f in allowed.findings}


# ---- what is unusual ---------------------------------------------------------------------------------------------

INNER = {**SHARDING["configuration"], "codecs": [BYTES]}
SHARDS = {"name": "sharding_indexed", "configuration": INNER}
RAW = {"data_type": "r16", "fill_value": [0, 0], "codecs": ["bytes"]}
INT4 = {"data_type": "int4", "codecs": [{"name": "bytes"}]}
UNUSUAL: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({}, set()),
    ({"codecs": [BYTES, "crc32c"]}, {("short-name", "codecs[1]")}),
    ({"codecs": [SHARDS]}, set()),
    ({"codecs": [SHARDS, {"name": "crc32c"}]}, {("few-readers", "codecs[1]")}),
    ({"codecs": [{**BYTES, "must_understand": True}]}, {("must-understand", "codecs[0]")}),
    ({"codecs": [BYTES, {"name": "zstd", "configuration": {"level": 3}}]}, {("zstd-checksum", "codecs[1]")}),
    ({"codecs": [BYTES, {"name": "numcodecs.lz4"}]}, {("unregistered", "codecs[1]")}),
    ({"chunk_key_encoding": "default"}, {("short-name", "chunk_key_encoding")}),
    ({"dimension_names": ["a", "a"]}, {("repeated-names", "dimension_names")}),
    ({"dimension_names": ["", None]}, set()),
    ({"dimension_names": [None, None]}, set()),
    ({"more": {"must_understand": False}}, {("unknown-member", "more")}),
    ({"data_type": {"name": "uint16"}}, {("few-readers", "data_type")}),
    (RAW, {("few-readers", "data_type"), ("short-name", "codecs[0]")}),
    (INT4, {("few-readers", "data_type")}),
    (
        {"data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 2}}, "fill_value": "AAA="},
        {("unregistered", "data_type")},
    ),
]


@pytest.mark.parametrize(("changes", "expected"), UNUSUAL, ids=[str(changes) for changes, _ in UNUSUAL])
def test_what_is_unusual_in_format_3(changes: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    document = {**V3, **changes}
    assert {(f.rule, f.field) for f in unusual_array_v3(document)} == expected
    assert judge_v3(document).opens


def test_unusual_codecs_inside_shards_are_found() -> None:
    inner = {**INNER, "index_codecs": [BYTES, "crc32c"]}
    document = {**V3, "codecs": [{"name": "sharding_indexed", "configuration": inner}]}
    assert {(f.rule, f.field) for f in unusual_array_v3(document)} == {("short-name", "codecs[0].index_codecs[1]")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {("few-readers", "filters")}),
        ({"filters": None}, set()),
        ({"filters": [], "mine": 1}, {("unknown-member", "mine")}),
        ({"filters": None, "compressor": {"id": "lz4"}}, {("few-readers", "compressor")}),
        ({"filters": None, "compressor": {"id": "zstd", "level": 1}}, set()),
        ({"filters": None, "compressor": {"id": "zstd", "checksum": False}}, {("few-readers", "compressor")}),
        ({"filters": None, "dtype": "<i1"}, {("one-byte-order", "dtype")}),
        ({"filters": None, "dtype": "<U2"}, {("few-readers", "dtype")}),
        ({"filters": None, "dtype": [["a", "<i4", [2]]]}, {("few-readers", "dtype")}),
        ({"filters": None, "dtype": [["a", [["b", "<i4"]]]]}, {("few-readers", "dtype")}),
    ],
    ids=str,
)
def test_what_is_unusual_in_format_2(changes: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert {(f.rule, f.field) for f in unusual_array_v2({**V2, **changes})} == expected


def test_what_is_unusual_in_any_node() -> None:
    repeated = json.loads('{"a": 1}')
    assert list(unusual_v3({**GROUP, "attributes": repeated})) == []
    found = gpuzarr.validate({"zarr.json": text(GROUP)[:-1] + b', "attributes": {"a": {"b": 1, "b": 2}}}'})
    assert [f.rule for f in found.findings] == ["json"]  # the document itself has a name twice
    twice = b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": {"b": 1, "b": 2}}}'
    assert [f.rule for f in gpuzarr.validate({"zarr.json": twice}).findings] == ["repeated-member"]
    consolidated = {"kind": "inline", "metadata": {}}
    found = gpuzarr.validate({"zarr.json": text({**GROUP, "consolidated_metadata": consolidated})})
    assert [(f.rule, f.field) for f in found.findings] == [("consolidated-form", "consolidated_metadata")]


# ---- others ------------------------------------------------------------------------------------------------------


def test_what_zarr_metadata_finds_a_fault_with_is_not_passed_over() -> None:
    oracle = pytest.importorskip("zarr_metadata", reason="zarr-metadata is not installed").model
    missed = []
    for document in ARRAYS:
        for place in places(document):
            for value in VALUES[::3] if place else ():
                changed = put(document, place, value)
                if oracle.read_array_metadata_v3(changed).problems and not judge_v3(changed).faults:
                    missed.append((place, value))
    assert missed == []


def test_what_zarr_metadata_finds_a_fault_with_in_format_2_is_not_passed_over() -> None:
    oracle = pytest.importorskip("zarr_metadata", reason="zarr-metadata is not installed").model
    document = {**V2, "filters": None, "compressor": None}  # whose configurations are up to numcodecs
    missed = []
    for place in places(document):
        for value in VALUES if place else ():
            changed = put(document, place, value)
            if oracle.read_array_metadata_v2(changed).problems and not judge_v2(changed, {}, array=True).faults:
                missed.append((place, value))
    assert missed == []


@pytest.mark.parametrize("path", fixtures("v*/array/*.json"))
def test_fixtures_of_arrays_are_valid(path: Any) -> None:
    document = cases(path)
    found = judge_v3(document) if document["zarr_format"] == 3 else judge_v2(document, {}, array=True)
    invalid = [f for f in found.faults if rule_of(f.rule).severity == "invalid"]
    assert all(f.rule == "unsupported" for f in invalid)
