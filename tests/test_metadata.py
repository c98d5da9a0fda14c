"""Documents: what the specification allows is read, what it forbids is refused, what is written is strict."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuzarr import errors
from gpuzarr.dtypes import from_v3
from gpuzarr.grid import ChunkKeys
from gpuzarr.metadata import (
    ArrayMetadata,
    CodecConfig,
    GroupMetadata,
    MetadataWarning,
    codecs_v2,
    parse_array_v2,
    parse_consolidated_v2,
    parse_group_v2,
    parse_v3,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
V3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [10, 6],
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 3]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 7,
    "codecs": [BYTES, {"name": "zstd", "configuration": {"level": 3, "checksum": True}}],
    "attributes": {"units": "m"},
}
V2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [10, 6],
    "chunks": [4, 3],
    "dtype": ">u2",
    "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    "fill_value": 7,
    "order": "F",
    "filters": [{"id": "delta", "dtype": ">u2"}],
    "dimension_separator": "/",
}
SHARDING: dict[str, Any] = {
    "name": "sharding_indexed",
    "configuration": {
        "chunk_shape": [2, 3],
        "codecs": [BYTES, {"name": "zstd", "configuration": {"level": 0}}],
        "index_codecs": [BYTES, {"name": "crc32c"}],
    },
}
GROUP: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def text(document: Any) -> bytes:
    return json.dumps(document).encode()


def array3(document: dict[str, Any] = V3, **changes: Any) -> ArrayMetadata:
    found = parse_v3(text({**document, **changes}), "a")
    assert isinstance(found, ArrayMetadata)
    return found


def group3(**changes: Any) -> GroupMetadata:
    found = parse_v3(text({**GROUP, **changes}), "a")
    assert isinstance(found, GroupMetadata)
    return found


def array2(attributes: Any = None, **changes: Any) -> ArrayMetadata:
    return parse_array_v2(text({**V2, **changes}), None if attributes is None else text(attributes), "a")


def without(document: dict[str, Any], name: str) -> bytes:
    return text({k: v for k, v in document.items() if k != name})


def again(node: ArrayMetadata | GroupMetadata) -> ArrayMetadata | GroupMetadata:
    """What the documents of `node` say, read without any leniency."""
    documents = node.documents()
    with warnings.catch_warnings():
        warnings.simplefilter("error", MetadataWarning)
        if "zarr.json" in documents:
            return parse_v3(documents["zarr.json"])
        if ".zarray" in documents:
            return parse_array_v2(documents[".zarray"], documents.get(".zattrs"))
        group = parse_group_v2(documents[".zgroup"], documents.get(".zattrs"))
        if ".zmetadata" not in documents:
            return group
        members = parse_consolidated_v2(documents[".zmetadata"])
        return GroupMetadata(2, group.attributes, members, group.extra)


# ---- reading format 3 --------------------------------------------------------------------------------------


def test_an_array_of_format_3() -> None:
    found = array3(dimension_names=["y", None], storage_transformers=[])
    assert (found.zarr_format, found.shape, found.chunks) == (3, (10, 6), (4, 3))
    assert found.data_type == from_v3("uint16", "")
    assert found.keys == ChunkKeys("default", "/")
    assert found.fill_value == np.uint16(7)
    assert [c.name for c in found.codecs] == ["bytes", "zstd"]
    assert found.codecs[1].configuration == {"level": 3, "checksum": True}
    assert found.attributes == {"units": "m"}
    assert found.dimension_names == ("y", None)
    assert (found.order, found.filters, found.compressor, found.extra) == ("C", None, None, {})


def test_a_group_of_format_3() -> None:
    assert group3() == GroupMetadata(3, {"a": 1})
    assert parse_v3(b'{"zarr_format": 3, "node_type": "group"}') == GroupMetadata(3, {})


def test_short_names_are_read_as_objects() -> None:
    found = array3(data_type={"name": "uint8"}, chunk_key_encoding="v2", codecs=["bytes", {"name": "crc32c"}])
    assert found.keys == ChunkKeys("v2", ".")
    assert found.codecs == (CodecConfig("bytes"), CodecConfig("crc32c"))


@pytest.mark.parametrize(
    ("encoding", "keys"),
    [
        ("default", ChunkKeys("default", "/")),
        ({"name": "default"}, ChunkKeys("default", "/")),
        ({"name": "default", "configuration": {"separator": "."}}, ChunkKeys("default", ".")),
        ({"name": "v2"}, ChunkKeys("v2", ".")),
        ({"name": "v2", "configuration": {"separator": "/"}}, ChunkKeys("v2", "/")),
        ({"name": "v2", "configuration": {}, "must_understand": True}, ChunkKeys("v2", ".")),
    ],
)
def test_each_chunk_key_encoding_has_its_own_default_separator(encoding: Any, keys: ChunkKeys) -> None:
    assert array3(chunk_key_encoding=encoding).keys == keys


def test_an_array_without_dimensions() -> None:
    found = array3(
        shape=[], chunk_grid={"name": "regular", "configuration": {"chunk_shape": []}}, dimension_names=[]
    )
    assert (found.shape, found.chunks, found.dimension_names) == ((), (), ())
    assert again(found) == found


def test_the_codecs_inside_a_shard_are_read_like_those_outside() -> None:
    nested = copy.deepcopy(SHARDING)
    nested["configuration"]["codecs"] = [copy.deepcopy(SHARDING)]
    inner: Any = array3(codecs=[nested]).codecs[0].configuration
    assert inner["index_location"] == "end"
    assert inner["index_codecs"] == [BYTES, {"name": "crc32c"}]
    innermost = inner["codecs"][0]["configuration"]
    zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    assert innermost["codecs"] == [BYTES, zstd]


def test_members_that_need_not_be_understood_are_kept() -> None:
    extra = {"must_understand": False, "a": [1]}
    assert array3(mine=extra).extra == {"mine": extra}
    assert again(array3(mine=extra)) == array3(mine=extra)
    assert again(group3(mine=extra)) == group3(mine=extra)


CHANGES_REFUSED = [
    ("zarr_format", 2),
    ("zarr_format", "3"),
    ("zarr_format", True),
    ("zarr_format", 3.0),
    ("node_type", "folder"),
    ("node_type", None),
    ("node_type", []),
    ("shape", None),
    ("shape", 10),
    ("shape", [10, -1]),
    ("shape", [10, 6.0]),
    ("shape", [10, True]),
    ("shape", [10, "6"]),
    ("shape", [10, 1 << 63]),
    ("shape", [1 << 32, 1 << 32]),
    ("shape", [10]),
    ("data_type", "uint17"),
    ("chunk_grid", "regular"),
    ("chunk_grid", None),
    ("chunk_grid", {"name": 3}),
    ("chunk_grid", {"name": "hexagonal"}),
    ("chunk_grid", {"name": "regular"}),
    ("chunk_grid", {"name": "regular", "configuration": None}),
    ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [4, 3], "more": 1}}),
    ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [4, 3]}, "must_understand": False}),
    ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [4, 3]}, "more": 1}),
    *[
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": shape}})
        for shape in (
            [4],
            [4, 0],
            [4, -3],
            [4, 3.0],
            [4, False],
            [4, "3"],
            4,
            None,
            [1 << 20, 1 << 20],
            [1 << 62, 8],
        )
    ],
    ("chunk_key_encoding", "v3"),
    ("chunk_key_encoding", 3),
    ("chunk_key_encoding", {"configuration": {}}),
    ("chunk_key_encoding", {"name": "default", "configuration": {"separator": "-"}}),
    ("chunk_key_encoding", {"name": "default", "configuration": {"separator": ["/"]}}),
    ("chunk_key_encoding", {"name": "default", "configuration": {"separator": "/", "more": 1}}),
    ("chunk_key_encoding", {"name": "default", "must_understand": False}),
    ("fill_value", None),
    ("fill_value", 65536),
    ("codecs", None),
    ("codecs", "bytes"),
    ("codecs", [None]),
    ("codecs", [""]),
    ("codecs", [{}]),
    ("codecs", [{"name": 3}]),
    ("codecs", [{"name": "bytes", "configuration": None}]),
    ("codecs", [{"name": "bytes", "configuration": []}]),
    ("codecs", [{"name": "bytes", "level": 3}]),
    ("codecs", [{**BYTES, "must_understand": "no"}]),
    ("codecs", [{"name": "sharding_indexed", "configuration": {"codecs": 3}}]),
    ("codecs", [{"name": "sharding_indexed", "configuration": {"index_codecs": [3]}}]),
    ("attributes", None),
    ("attributes", []),
    ("dimension_names", "yx"),
    ("dimension_names", ["y"]),
    ("dimension_names", ["y", 1]),
    ("storage_transformers", None),
    ("storage_transformers", {}),
    ("more", 1),
    ("more", None),
    ("more", {"must_understand": True}),
    ("more", {"a": 1}),
    ("consolidated_metadata", None),
]


@pytest.mark.parametrize(("name", "value"), CHANGES_REFUSED)
def test_a_malformed_member_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        array3(**{name: value})
    assert caught.value.path == "a"
    # the grid must fit the shape: either may be at fault
    assert caught.value.field == name or (name == "shape" and caught.value.field == "chunk_grid")


@pytest.mark.parametrize("name", [n for n in V3 if n != "attributes"])
def test_a_missing_member_is_refused_by_name(name: str) -> None:
    with pytest.raises(errors.MetadataError, match="missing") as caught:
        parse_v3(without(V3, name), "a")
    assert caught.value.field == name


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{'zarr_format': 3}",
        b"\xff\xfe{\x00}\x00",
        b'{"zarr_format": 3, "zarr_format": 3, "node_type": "group"}',
        b'{"zarr_format": ' + b"9" * 5000 + b"}",
        text(V3)[:-1],
        text(V3) + b"}",
        text(V3).replace(b'"level": 3', b'"level": 3, "level": 4'),
    ],
)
def test_what_is_not_one_json_object_is_refused(document: bytes) -> None:
    parsers: list[Callable[[], Any]] = [
        lambda: parse_v3(document, "a"),
        lambda: parse_array_v2(document, None, "a"),
        lambda: parse_group_v2(document, None, "a"),
        lambda: parse_consolidated_v2(document, "a"),
    ]
    for parse in parsers:
        with pytest.raises(errors.MetadataError) as caught:
            parse()
        assert caught.value.path == "a"


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_endless_nesting_is_refused(depth: int) -> None:
    document = (
        b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    )
    with pytest.raises(errors.MetadataError, match="nested"):
        parse_v3(document)


def test_brackets_in_strings_are_not_nesting() -> None:
    assert group3(attributes={"a": "[" * 1000}).attributes == {"a": "[" * 1000}


def test_a_huge_document_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuzarr.metadata.forms.MAX_DOCUMENT", 1000)
    with pytest.raises(errors.MetadataError, match="bytes"):
        parse_v3(text({**GROUP, "attributes": {"a": "x" * 1000}}))


def test_attributes_may_name_something_twice() -> None:
    found = parse_v3(b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": 1, "a": 2}}')
    assert found.attributes == {"a": 2}
    assert parse_group_v2(b'{"zarr_format": 2}', b'{"a": 1, "a": 2}').attributes == {"a": 2}


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"storage_transformers": [{"name": "any"}]}, "storage transformers"),
        ({"shape": [1] * 65}, "more than 64 dimensions"),
    ],
)
def test_what_is_legal_but_not_read_is_unsupported(change: dict[str, Any], feature: str) -> None:
    with pytest.raises(errors.UnsupportedError) as caught:
        array3(**change)
    assert (caught.value.feature, caught.value.path) == (feature, "a")


@pytest.mark.parametrize("size", [0, False, True])
def test_the_chunk_size_of_an_empty_dimension_is_repaired(size: Any) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [4, size]}}
    with pytest.warns(MetadataWarning):
        found = array3(shape=[10, 0], chunk_grid=grid)
    assert found.chunks == (4, 1)
    with pytest.warns(MetadataWarning):
        assert array2(shape=[10, 0], chunks=[4, size]).chunks == (4, 1)


@pytest.mark.parametrize(
    ("change", "member", "expected"),
    [
        ({"dimension_names": None}, "dimension_names", None),
        ({"data_type": "bool", "fill_value": 0}, "fill_value", np.False_),
        (
            {"codecs": [{"name": "endian", "configuration": {"endian": "big"}}]},
            "codecs",
            (CodecConfig("bytes", {"endian": "big"}),),
        ),
    ],
)
def test_what_some_writers_wrote_is_read_with_a_warning(
    change: dict[str, Any], member: str, expected: Any
) -> None:
    with pytest.warns(MetadataWarning):
        found = array3(**change)
    assert getattr(found, member) == expected
    assert again(found) == found


def test_a_bare_nan_is_read_in_fill_values_and_attributes() -> None:
    with pytest.warns(MetadataWarning):
        found = array3(data_type="float32", fill_value=float("nan"))
    assert str(found.fill_value) == "nan"
    assert again(found) == found
    with pytest.warns(MetadataWarning):
        group = group3(attributes={"a": float("nan")})
    assert np.isnan(group.attributes["a"])  # type: ignore[arg-type]


def test_a_seen_document_is_not_parsed_again_wherever_it_lies() -> None:
    document = text({**V3, "attributes": {"only": "here"}})
    assert parse_v3(document, "a") is parse_v3(bytes(bytearray(document)), "b")


def test_large_documents_are_not_remembered() -> None:
    document = text({**GROUP, "attributes": {"a": "x" * (256 << 10)}})
    assert parse_v3(document) is not parse_v3(document)
    assert parse_v3(document) == parse_v3(document)


# ---- reading format 2 --------------------------------------------------------------------------------------


def test_an_array_of_format_2() -> None:
    found = array2({"units": "m"})
    assert (found.zarr_format, found.shape, found.chunks) == (2, (10, 6), (4, 3))
    assert (found.data_type.dtype, found.data_type.wire) == (np.dtype("u2"), np.dtype(">u2"))
    assert found.keys == ChunkKeys("v2", "/")
    assert (found.fill_value, found.order, found.attributes) == (np.uint16(7), "F", {"units": "m"})
    assert found.filters == (CodecConfig("numcodecs.delta", {"dtype": ">u2"}),)
    assert found.compressor is not None
    assert found.compressor.name == "numcodecs.blosc"
    assert found.codecs == (
        CodecConfig("transpose", {"order": [1, 0]}),
        CodecConfig("bytes"),
        *found.filters,
        found.compressor,
    )


def test_the_pipeline_of_format_2_as_a_chain() -> None:
    bytes_, lz4 = CodecConfig("bytes"), CodecConfig("numcodecs.lz4")
    assert codecs_v2(3, "C", None, None) == (bytes_,)
    assert codecs_v2(1, "F", (), lz4) == (bytes_, lz4)
    assert codecs_v2(2, "C", (lz4,), None, objects=True) == (lz4,)
    assert codecs_v2(3, "F", None, lz4) == (CodecConfig("transpose", {"order": [2, 1, 0]}), bytes_, lz4)


def test_the_separator_of_format_2_is_a_dot_where_it_is_not_said() -> None:
    assert parse_array_v2(without(V2, "dimension_separator"), None).keys == ChunkKeys("v2", ".")


def test_unknown_members_of_format_2_are_kept() -> None:
    found = array2(_NCZARR_ARRAY={"dimrefs": ["/x"]})
    assert found.extra == {"_NCZARR_ARRAY": {"dimrefs": ["/x"]}}
    assert again(found) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zarr_format", 3),
        ("zarr_format", None),
        ("shape", [10, -6]),
        ("chunks", [4]),
        ("chunks", [4, 0]),
        ("chunks", [4, None]),
        ("chunks", True),
        ("dtype", "uint16"),
        ("compressor", "blosc"),
        ("compressor", {}),
        ("compressor", {"id": 3}),
        ("compressor", {"id": ""}),
        ("filters", {}),
        ("filters", [None]),
        ("filters", [{"cname": "lz4"}]),
        ("fill_value", -1),
        ("order", "A"),
        ("order", None),
        ("order", ["C"]),
        ("dimension_separator", "-"),
        ("dimension_separator", None),
        ("dimension_separator", []),
    ],
)
def test_a_malformed_member_of_format_2_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        array2(**{name: value})
    assert caught.value.path == "a"
    assert caught.value.field == {"dtype": "data_type"}.get(name, name)


@pytest.mark.parametrize("name", [n for n in V2 if n != "dimension_separator"])
def test_a_missing_member_of_format_2_is_refused_by_name(name: str) -> None:
    with pytest.raises(errors.MetadataError, match="missing") as caught:
        parse_array_v2(without(V2, name), None, "a")
    assert caught.value.field == name


def test_attributes_of_format_2_are_an_object() -> None:
    for attributes in (b"[]", b"null", b""):
        with pytest.raises(errors.MetadataError):
            parse_array_v2(text(V2), attributes)
        with pytest.raises(errors.MetadataError):
            parse_group_v2(b'{"zarr_format": 2}', attributes)


# ---- consolidated metadata ---------------------------------------------------------------------------------


def consolidated3(**members: Any) -> GroupMetadata:
    return group3(consolidated_metadata={"kind": "inline", "must_understand": False, "metadata": members})


def test_consolidated_metadata_holds_members_by_relative_path() -> None:
    found = consolidated3(a=V3, g=GROUP, **{"g/b": V3})
    assert found.consolidated is not None
    assert list(found.consolidated) == ["a", "g", "g/b"]
    assert found.consolidated["g/b"] == array3()
    assert found.consolidated == {"a": array3(), "g": group3(), "g/b": array3()}
    assert again(found) == found
    with pytest.raises(KeyError):
        found.consolidated["c"]


def test_a_member_that_cannot_be_read_fails_alone_and_is_written_back() -> None:
    string = {**V3, "storage_transformers": [{"name": "any"}]}
    found = consolidated3(a=V3, s=string, bad={"zarr_format": 3})
    assert found.consolidated is not None
    assert found.consolidated["a"] == array3()
    with pytest.raises(errors.UnsupportedError) as unsupported:
        found.consolidated["s"]
    assert unsupported.value.path == "s"
    with pytest.raises(errors.MetadataError) as malformed:
        found.consolidated["bad"]
    assert malformed.value.path == "bad"
    written = json.loads(found.documents()["zarr.json"])["consolidated_metadata"]["metadata"]
    assert written["s"] == string
    assert again(found) == found


def test_null_in_place_of_consolidated_metadata_is_none() -> None:
    with pytest.warns(MetadataWarning):
        assert group3(consolidated_metadata=None).consolidated is None


@pytest.mark.parametrize(
    "value",
    [
        3,
        [],
        {},
        {"kind": "inline"},
        {"kind": "elsewhere", "metadata": {}},
        {"kind": "inline", "metadata": []},
        {"kind": "inline", "metadata": {"a": 3}},
        {"kind": "inline", "metadata": {"/a": V3}},
        {"kind": "inline", "metadata": {"": V3}},
        {"kind": "inline", "metadata": {"a/../b": V3}},
        {"kind": "inline", "metadata": {"a//b": V3}},
        {"kind": "inline", "must_understand": 3, "metadata": {}},
    ],
)
def test_malformed_consolidated_metadata_is_refused(value: Any) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        group3(consolidated_metadata=value)
    assert caught.value.path == "a"


def test_members_that_only_a_nested_group_lists_are_members_too() -> None:
    def listing(**members: Any) -> dict[str, Any]:
        return {"kind": "inline", "must_understand": False, "metadata": members}

    inner = {**GROUP, "consolidated_metadata": listing(x=V3, y={**V3, "shape": [4, 4]})}
    outer = {**GROUP, "consolidated_metadata": listing(h=inner)}
    found = group3(consolidated_metadata={**listing(g=outer), "metadata": {"g": outer, "g/h/y": V3}})
    assert found.consolidated is not None
    assert set(found.consolidated) == {"g", "g/h", "g/h/x", "g/h/y"}
    assert found.consolidated["g/h/y"] == array3()  # the outermost listing counts
    assert again(found) == found


def test_consolidated_metadata_of_format_2() -> None:
    listed = {
        ".zgroup": {"zarr_format": 2},
        ".zattrs": {"root": 1},
        "a/.zarray": V2,
        "a/.zattrs": {"units": "m"},
        "g/.zgroup": {"zarr_format": 2, "consolidated_metadata": {}},
        "lost/.zattrs": {"a": 1},
        "a/.nczarray": {"dimrefs": []},
    }
    found = parse_consolidated_v2(text({"zarr_consolidated_format": 1, "metadata": listed}), "root")
    assert found == {"a": array2({"units": "m"}), "g": GroupMetadata(2, {})}
    group = GroupMetadata(2, {"root": 1}, found)
    assert sorted(group.documents()) == [".zattrs", ".zgroup", ".zmetadata"]
    assert again(group) == group


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {}},
        {"zarr_consolidated_format": 2, "metadata": {}},
        {"zarr_consolidated_format": 1},
        {"zarr_consolidated_format": 1, "metadata": []},
        {"zarr_consolidated_format": 1, "metadata": {"../a/.zgroup": {}}},
        {"zarr_consolidated_format": 1, "metadata": {"//.zgroup": {}}},
    ],
)
def test_malformed_consolidated_metadata_of_format_2_is_refused(document: Any) -> None:
    with pytest.raises(errors.MetadataError):
        parse_consolidated_v2(text(document))


@pytest.mark.parametrize(
    "documents",
    [
        {".zarray": V2, ".zgroup": {"zarr_format": 2}},
        {".zarray": 3},
        {".zgroup": []},
        {".zgroup": {}, ".zattrs": 3},
    ],
)
def test_a_malformed_member_of_format_2_fails_when_it_is_looked_up(documents: dict[str, Any]) -> None:
    listed = {f"a/{name}": value for name, value in documents.items()}
    found = parse_consolidated_v2(text({"zarr_consolidated_format": 1, "metadata": listed}))
    with pytest.raises(errors.MetadataError) as caught:
        found["a"]
    assert caught.value.path == "a"


# ---- writing -----------------------------------------------------------------------------------------------


def test_what_is_written_is_objects_with_defaults_spelled_out() -> None:
    found = array3(chunk_key_encoding="default", codecs=[SHARDING, "crc32c"])
    written = json.loads(found.documents()["zarr.json"])
    assert written["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
    assert written["codecs"] == [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [2, 3],
                "codecs": [
                    BYTES,
                    {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
                ],
                "index_codecs": [BYTES, {"name": "crc32c"}],
                "index_location": "end",
            },
        },
        {"name": "crc32c"},
    ]
    assert "dimension_names" not in written
    assert written["attributes"] == {"units": "m"}


def test_a_model_made_by_hand_is_written_like_one_that_was_read() -> None:
    kind = from_v3("float64", "")
    codecs = (CodecConfig("bytes", {"endian": "little"}), CodecConfig("zstd", {"level": 0}))
    made = ArrayMetadata(3, (4,), kind, (2,), ChunkKeys("default", "."), np.float64("nan"), codecs)
    written = json.loads(made.documents()["zarr.json"])
    assert written["codecs"][1]["configuration"] == {"level": 0, "checksum": False}
    assert written["fill_value"] == "NaN"


def test_format_2_is_written_as_it_was_read() -> None:
    assert json.loads(array2().documents()[".zarray"]) == V2
    assert sorted(array2().documents()) == [".zarray"]
    assert json.loads(array2({"a": 1}).documents()[".zattrs"]) == {"a": 1}
    assert json.loads(array2(filters=None, compressor=None).documents()[".zarray"])["compressor"] is None


@pytest.mark.parametrize(
    "attributes",
    [{"a": float("nan")}, {"a": [float("inf")]}, {"a": np.float32(1)}, {"a": {1, 2}}, {("a",): 1}],
)
def test_attributes_that_json_has_no_room_for_cannot_be_written(attributes: Any) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        GroupMetadata(3, attributes).documents()
    assert caught.value.field == "attributes"
    with pytest.raises(errors.MetadataError):
        GroupMetadata(2, attributes).documents()


def test_attributes_that_hold_themselves_cannot_be_written() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(errors.MetadataError):
        GroupMetadata(3, loop).documents()


def test_attributes_nested_too_deep_to_be_read_cannot_be_written() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(errors.MetadataError, match="nested"):
        GroupMetadata(3, {"a": deep}).documents()


def test_models_are_compared_by_value_and_can_be_pickled() -> None:
    found = array3(data_type="float32", fill_value="NaN")
    assert found == array3(data_type="float32", fill_value="NaN")
    assert found != array3(data_type="float32", fill_value="0x7fc00001")
    assert found != array3()
    assert found != 3
    assert pickle.loads(pickle.dumps(found)) == found
    group = consolidated3(a=V3)
    assert pickle.loads(pickle.dumps(group)) == group
    assert group != consolidated3(b=V3)


# ---- any JSON value anywhere -------------------------------------------------------------------------------


def places(document: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    if isinstance(document, dict | list):
        for step, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(value, (*here, step))


def put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.copy(document)
    changed[place[0]] = put(document[place[0]], place[1:], value)
    return changed


CONSOLIDATED = {
    **GROUP,
    "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": {"a": V3, "g": GROUP}},
}
ZMETADATA = {
    "zarr_consolidated_format": 1,
    "metadata": {"a/.zarray": V2, "a/.zattrs": {}, "g/.zgroup": {"zarr_format": 2}},
}
DOCUMENTS: list[tuple[str, Any]] = [
    ("v3", {**V3, "codecs": [SHARDING], "dimension_names": ["y", "x"]}),
    ("v3", CONSOLIDATED),
    ("v2", {**V2, "dtype": [["a", "<i4"], ["b", "|S2"]], "fill_value": None}),
    ("v2", V2),
    ("zmetadata", ZMETADATA),
]


@settings(deadline=None)
@given(st.data(), st.sampled_from(DOCUMENTS), json_values)
def test_any_json_value_anywhere_gives_a_model_or_an_error(
    data: st.DataObject, which: Any, value: Any
) -> None:
    kind, document = which
    place = data.draw(st.sampled_from(list(places(document))))
    changed = text(put(document, place, value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        try:
            node = read_any(kind, changed)
            documents = node.documents()
        except errors.GpuzarrError:
            return
        assert documents
    assert again(node) == node


def read_any(kind: str, document: bytes) -> ArrayMetadata | GroupMetadata:
    if kind == "v2":
        return parse_array_v2(document, None)
    if kind == "zmetadata":
        return GroupMetadata(2, {}, parse_consolidated_v2(document))
    return parse_v3(document)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_give_a_model_or_an_error(document: bytes) -> None:
    for parse in (parse_v3, parse_consolidated_v2):
        with pytest.raises(errors.MetadataError):
            parse(document)


# ---- other implementations ---------------------------------------------------------------------------------


@pytest.fixture
def zarr() -> Iterator[Any]:
    """zarr-python, quiet."""
    found = pytest.importorskip("zarr", reason="zarr-python is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found


def stored(store: dict[str, Any], key: str) -> bytes:
    raw: bytes = store[key].to_bytes()
    return raw


V3_CASES: list[dict[str, Any]] = [
    {"shape": (10, 6), "chunks": (4, 3), "dtype": "uint16", "fill_value": 7},
    {"shape": (), "chunks": (), "dtype": "float64"},
    {"shape": (0, 5), "chunks": (1, 5), "dtype": "int8"},
    {"shape": (8, 8), "chunks": (2, 2), "shards": (4, 4), "dtype": "float32", "fill_value": float("nan")},
    {"shape": (9,), "chunks": (4,), "dtype": "complex64", "fill_value": complex(1, float("inf"))},
    {"shape": (9,), "chunks": (4,), "dtype": "bool", "fill_value": True, "dimension_names": ("x",)},
    {"shape": (9,), "chunks": (4,), "dtype": "int64", "attributes": {"a": {"b": [1, None, "é"]}}},
    {
        "shape": (9,),
        "chunks": (4,),
        "dtype": "float16",
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
]


@pytest.mark.parametrize("case", V3_CASES)
def test_zarr_python_and_gpuzarr_read_each_other_in_format_3(zarr: Any, case: dict[str, Any]) -> None:
    store: dict[str, Any] = {}
    theirs = zarr.create_array(store, zarr_format=3, **case)
    ours = parse_v3(stored(store, "zarr.json"))
    assert isinstance(ours, ArrayMetadata)
    assert (ours.shape, ours.data_type.dtype, ours.attributes) == (
        theirs.shape,
        theirs.dtype,
        dict(theirs.attrs),
    )
    assert ours.chunks == (theirs.shards or theirs.chunks)
    assert np.array_equal(ours.fill_value, theirs.fill_value, equal_nan=True)  # type: ignore[arg-type]
    buffer = zarr.core.buffer.cpu.Buffer.from_bytes(ours.documents()["zarr.json"])
    reread = zarr.open_array({"zarr.json": buffer}, mode="r").metadata
    assert zarr_document(zarr, reread, "zarr.json") == json.loads(stored(store, "zarr.json"))


V2_CASES: list[dict[str, Any]] = [
    {"shape": (10, 6), "chunks": (4, 3), "dtype": ">u2", "fill_value": 7, "order": "F"},
    {"shape": (), "chunks": (), "dtype": "<f8", "fill_value": float("-inf")},
    {"shape": (9,), "chunks": (4,), "dtype": "M8[ns]", "fill_value": np.datetime64("NaT", "ns")},
    {"shape": (9,), "chunks": (4,), "dtype": "S5", "fill_value": b"ab", "compressors": None},
    {"shape": (9,), "chunks": (4,), "dtype": "<U3", "fill_value": "é", "attributes": {"a": 1}},
    {"shape": (9,), "chunks": (4,), "dtype": "<c16", "fill_value": complex(float("nan"), 1)},
    {"shape": (9,), "chunks": (4,), "dtype": [("a", "<i4"), ("b", "S3")], "fill_value": (1, b"x")},
    {"shape": (9,), "chunks": (4,), "dtype": "i4", "chunk_key_encoding": {"name": "v2", "separator": "/"}},
]


@pytest.mark.parametrize("case", V2_CASES)
def test_zarr_python_and_gpuzarr_read_each_other_in_format_2(zarr: Any, case: dict[str, Any]) -> None:
    store: dict[str, Any] = {}
    theirs = zarr.create_array(store, zarr_format=2, **case)
    ours = parse_array_v2(stored(store, ".zarray"), stored(store, ".zattrs"))
    assert (ours.shape, ours.chunks, ours.attributes) == (theirs.shape, theirs.chunks, dict(theirs.attrs))
    assert ours.data_type.wire == theirs.dtype
    written = ours.documents()
    buffers = {name: zarr.core.buffer.cpu.Buffer.from_bytes(raw) for name, raw in written.items()}
    reread = zarr.open_array(buffers, mode="r", zarr_format=2)
    assert zarr_document(zarr, reread.metadata, ".zarray") == json.loads(stored(store, ".zarray"))


def zarr_document(zarr: Any, metadata: Any, key: str) -> Any:
    """What zarr-python writes for its own model."""
    return json.loads(metadata.to_buffer_dict(zarr.core.buffer.default_buffer_prototype())[key].to_bytes())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_python_and_gpuzarr_read_each_others_consolidated_metadata(zarr: Any, zarr_format: int) -> None:
    store: dict[str, Any] = {}
    root = zarr.create_group(store, zarr_format=zarr_format, attributes={"root": 1})
    root.create_array("a", shape=(4,), chunks=(2,), dtype="f4", fill_value=float("nan"))
    root.create_group("g").create_array("b", shape=(4,), chunks=(2,), dtype="i4", attributes={"units": "m"})
    theirs = zarr.consolidate_metadata(store, zarr_format=zarr_format)
    ours = read_group(store, zarr_format)
    assert ours.consolidated is not None
    assert set(ours.consolidated) == {"a", "g", "g/b"}
    assert ours.consolidated["g/b"].attributes == {"units": "m"}
    written = {n: zarr.core.buffer.cpu.Buffer.from_bytes(raw) for n, raw in ours.documents().items()}
    reread = zarr.open_consolidated(written, zarr_format=zarr_format)
    assert {n: type(m) for n, m in reread.members()} == {n: type(m) for n, m in theirs.members()}
    assert reread["g/b"].metadata == theirs["g/b"].metadata
    assert dict(reread.attrs) == {"root": 1}


def read_group(store: dict[str, Any], zarr_format: int) -> GroupMetadata:
    if zarr_format == 3:
        found = parse_v3(stored(store, "zarr.json"))
        assert isinstance(found, GroupMetadata)
        return found
    group = parse_group_v2(stored(store, ".zgroup"), stored(store, ".zattrs"))
    return GroupMetadata(2, group.attributes, parse_consolidated_v2(stored(store, ".zmetadata")))


@pytest.mark.parametrize("case", V3_CASES)
def test_zarr_metadata_finds_no_fault_in_what_is_written(zarr: Any, case: dict[str, Any]) -> None:
    checker = pytest.importorskip("zarr_metadata", reason="zarr-metadata is not installed")
    store: dict[str, Any] = {}
    zarr.create_array(store, zarr_format=3, **case)
    written = json.loads(parse_v3(stored(store, "zarr.json")).documents()["zarr.json"])
    checker.ZarrV3ArrayMetadata.from_json(written)


# ---- fixtures of zarr-metadata -----------------------------------------------------------------------------


def fixtures(pattern: str) -> list[Any]:
    """Files of zarr-metadata's fixtures, as parameters; one that is skipped where they are not at hand."""
    root = os.environ.get("GPUZARR_CONFORMANCE")
    if root is None:
        skip = pytest.mark.skip(reason="GPUZARR_CONFORMANCE names no folder of conformance data")
        return [pytest.param(Path(), marks=skip, id="none")]
    found = sorted((Path(root) / "zarr-metadata-fixtures").glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {pattern} in {root}/zarr-metadata-fixtures")
    return [pytest.param(p, id="-".join(p.parts[-3:])) for p in found]


def cases(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("path", fixtures("v3/array/*.json"))
def test_arrays_of_the_fixtures_are_read(path: Path) -> None:
    document = cases(path)
    found = parse_v3(text(document))
    assert again(found) == found


@pytest.mark.parametrize("path", fixtures("v3/group/*.json"))
def test_groups_of_the_fixtures_are_read(path: Path) -> None:
    found = parse_v3(path.read_bytes())
    assert isinstance(found, GroupMetadata)
    assert again(found) == found


@pytest.mark.parametrize("path", fixtures("v3/consolidated/*.json"))
def test_consolidated_metadata_of_the_fixtures_is_read(path: Path) -> None:
    found = group3(consolidated_metadata=cases(path))
    assert found.consolidated is not None
    assert dict(found.consolidated).keys() == cases(path)["metadata"].keys()


@pytest.mark.parametrize("path", fixtures("v3/data_type/*/fill_values.json"))
def test_fill_values_of_the_fixtures_are_read(path: Path) -> None:
    name: Any = {"raw": "r32"}.get(path.parent.name, path.parent.name)
    if (path.parent / "data_type.json").exists():
        name = json.loads((path.parent / "data_type.json").read_text())
    for value in cases(path).values():
        found = array3(data_type=name, fill_value=value)
        assert again(found) == found


@pytest.mark.parametrize("path", fixtures("v3/codec/*/cases.json"))
def test_codecs_of_the_fixtures_are_read(path: Path) -> None:
    for value in cases(path).values():
        ordered = path.parent.name == "bytes" and "endian" not in str(value)
        found = array3(codecs=[value], **({"data_type": "uint8"} if ordered else {}))
        assert found.codecs[0].name == path.parent.name
        assert again(found) == found


@pytest.mark.parametrize("path", fixtures("v3/chunk_key_encoding/*/cases.json"))
def test_chunk_key_encodings_of_the_fixtures_are_read(path: Path) -> None:
    for value in cases(path).values():
        assert array3(chunk_key_encoding=value).keys.name == path.parent.name


@pytest.mark.parametrize("path", fixtures("v3/chunk_grid/regular/cases.json"))
def test_regular_grids_of_the_fixtures_are_read(path: Path) -> None:
    for value in cases(path).values():
        chunks = value["configuration"]["chunk_shape"]
        assert array3(shape=[10] * len(chunks), chunk_grid=value).chunks == tuple(chunks)


@pytest.mark.filterwarnings("ignore::gpuzarr.metadata.MetadataWarning")
@pytest.mark.parametrize("path", fixtures("v2/array/*.json"))
def test_arrays_of_format_2_of_the_fixtures_are_read(path: Path) -> None:
    found = parse_array_v2(path.read_bytes(), None)
    assert again(found) == found


@pytest.mark.parametrize("path", fixtures("v2/consolidated/*.json"))
def test_consolidated_metadata_of_format_2_of_the_fixtures_is_read(path: Path) -> None:
    assert all(node.zarr_format == 2 for node in parse_consolidated_v2(path.read_bytes()).values())


def test_reading_metadata_loads_no_optional_package() -> None:
    packages = ("ml_dtypes", "numcodecs", "zarr", "cupy")
    script = f"import sys, gpuzarr.metadata; print([m for m in {packages} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
