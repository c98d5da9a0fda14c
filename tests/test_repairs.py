"""What writers got wrong and is read: every repair warns by its name, and what is written back needs none."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from test_metadata import BYTES, GROUP, SHARDING, V2, V3, again, text

from gpuzarr.metadata import GroupMetadata, MetadataWarning, parse_array_v2, parse_group_v2, parse_v3
from gpuzarr.repairs import REPAIRS

PAIR = {
    "name": "struct",
    "configuration": {"fields": [{"name": "x", "data_type": "float32"}, {"name": "y", "data_type": "uint8"}]},
}
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0, "typesize": 2}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"codecs": [BYTES, {"name": name, "configuration": configuration}]}


def grid(*sizes: Any) -> dict[str, Any]:
    return {"shape": [0, 6], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(sizes)}}}


def edges(*axes: Any) -> dict[str, Any]:
    configuration = {"kind": "inline", "chunk_shapes": list(axes)}
    return {"shape": [6, 6], "chunk_grid": {"name": "rectilinear", "configuration": configuration}}


FAULTS: dict[str, list[tuple[int, dict[str, Any]]]] = {
    "bare-nan": [
        (3, {"data_type": "float32", "fill_value": float("nan")}),
        (3, {"attributes": {}, "more": {"must_understand": False, "a": [float("-inf")]}}),
        (2, {"dtype": "<f8", "fill_value": float("inf")}),
    ],
    "bool-number": [(3, {"data_type": "bool", "fill_value": 0}), (2, {"dtype": "|b1", "fill_value": 1})],
    "bytes-no-endian": [
        (3, {"codecs": ["bytes"]}),
        (3, {"codecs": [{**SHARDING, "configuration": {**SHARDING["configuration"], "codecs": ["bytes"]}}]}),
        (3, {"codecs": [{**SHARDING, "configuration": {**SHARDING["configuration"], "index_codecs": ["bytes"]}}]}),
        (3, {"codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, "bytes"]}),
    ],
    "chunk-size-0": [(3, grid(0, 3)), (3, grid(False, 3)), (2, {"shape": [0, 6], "chunks": [0, 3]})],
    "codec-default": [
        (3, codec("gzip")),
        (3, codec("zstd", checksum=True)),
        (3, codec("blosc", cname="zstd")),
        (3, codec("blosc", **{k: v for k, v in BLOSC.items() if k != "typesize"})),
    ],
    "codec-fraction": [(3, codec("gzip", level=3.0)), (3, codec("blosc", **{**BLOSC, "typesize": 2.0}))],
    "complex-number": [(3, {"data_type": "complex64", "fill_value": 1.5})],
    "edge-number": [(3, edges([6], [2.0, True, 3])), (3, edges([6], [[True, 6]]))],
    "endian-codec": [(3, {"codecs": [{"name": "endian", "configuration": {"endian": "big"}}]})],
    "float-bool": [(3, {"data_type": "float32", "fill_value": True})],
    "float-string": [(3, {"data_type": "float32", "fill_value": "1.5"})],
    "grid-name": [(3, {**grid(2, [3, 3]), "shape": [4, 6]}), (3, {**grid([4], [[3, 2]]), "shape": [4, 6]})],
    "int-fraction": [(3, {"fill_value": 7.0}), (2, {"fill_value": 7.0})],
    "null-dimension-names": [(3, {"dimension_names": None})],
    "packed-struct": [(3, {"data_type": PAIR, "fill_value": "AACAPwc="})],
    "plain-bytes": [(2, {"dtype": "|S3", "fill_value": "a-b"})],
    "shuffle-number": [(3, codec("blosc", **{**BLOSC, "shuffle": 2}))],
    "transpose-letter": [(3, {"codecs": [{"name": "transpose", "configuration": {"order": "F"}}, BYTES]})],
    "zero-fill": [
        (2, {"dtype": dtype, "fill_value": 0}) for dtype in ("|S1", "<U4", "|V4", [["a", "<i4"], ["b", "|S2"]])
    ],
}
FAULTY_GROUPS: dict[str, list[bytes]] = {
    "bare-nan": [text({**GROUP, "more": {"must_understand": False, "b": float("nan")}})],
    "byte-order-mark": [b"\xef\xbb\xbf" + text(GROUP)],
    "null-consolidated": [text({**GROUP, "attributes": {"test": "repairs"}, "consolidated_metadata": None})],
}


def parse_array(zarr_format: int, changes: dict[str, Any]) -> Any:
    if zarr_format == 3:
        return parse_v3(text({**V3, "attributes": {"test": "repairs"}, **changes}))
    return parse_array_v2(text({**V2, "filters": None, "compressor": None, "mine": "repairs", **changes}), None)


@pytest.mark.parametrize(
    ("name", "zarr_format", "changes"),
    [pytest.param(name, *case, id=f"{name}-{k}") for name, cases in FAULTS.items() for k, case in enumerate(cases)],
)
def test_a_repaired_array_is_warned_of_by_name_and_written_as_it_should_be(
    name: str, zarr_format: int, changes: dict[str, Any]
) -> None:
    with pytest.warns(MetadataWarning) as caught:
        found = parse_array(zarr_format, changes)
    assert {(w.message.repair, w.category) for w in caught} == {(name, MetadataWarning)}  # type: ignore[union-attr]
    assert str(caught[0].message).endswith("which no specification allows")
    if "more" not in changes:  # what need not be understood is written back as it is, and JSON has no NaN
        assert again(found) == found


@pytest.mark.parametrize(
    ("name", "document"), [pytest.param(name, d, id=name) for name, ds in FAULTY_GROUPS.items() for d in ds]
)
def test_a_repaired_group_is_warned_of_by_name(name: str, document: bytes) -> None:
    with pytest.warns(MetadataWarning) as caught:
        found = parse_v3(document)
    assert [w.message.repair for w in caught] == [name]  # type: ignore[union-attr]
    assert isinstance(found, GroupMetadata)


def test_attributes_of_format_2_are_repaired_too() -> None:
    with pytest.warns(MetadataWarning) as caught:
        found = parse_group_v2(b'{"zarr_format": 2}', b'\xef\xbb\xbf{"a": [Infinity]}')
    assert {(w.message.repair, w.message.field) for w in caught} == {  # type: ignore[union-attr]
        ("bare-nan", "attributes"),
        ("byte-order-mark", "attributes"),
    }
    assert found.attributes == {"a": [float("inf")]}


def test_every_repair_is_shown_by_a_fault() -> None:
    assert {*FAULTS, *FAULTY_GROUPS} == REPAIRS.keys()


def test_the_page_on_validation_lists_every_repair() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs/validate.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert {name: tuple(cells) for name, *cells in rows if name in REPAIRS} == {n: tuple(r) for n, r in REPAIRS.items()}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_in_strings_are_no_numbers(word: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parse_v3(json.dumps({**GROUP, "attributes": {word: [word]}}).encode())
    assert found.attributes == {word: [word]}
