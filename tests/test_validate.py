"""Validation of hierarchies: every rule is shown by a store that breaks it, every damaged chunk is told."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import quiet
from test_metadata import BYTES, GROUP, SHARDING, V2, V3, text

import gpuzarr
from gpuzarr.cli import main
from gpuzarr.errors import NodeNotFoundError, StoreError, UnsupportedError
from gpuzarr.store import LocalStore, MemoryStore, open_store
from gpuzarr.validation import RULES, Finding, Validation, rule_of

Kept = dict[str, bytes]
Printed = pytest.CaptureFixture[str]

ROOT = Path(__file__).resolve().parents[1]
GROUP2 = b'{"zarr_format": 2}'
PLAIN2 = text({**V2, "filters": None, "compressor": None})


def said(found: Validation) -> set[tuple[str, str, str]]:
    return {(f.rule, f.path, f.key) for f in found.findings}


def filled(kept: Any, **how: Any) -> gpuzarr.Array:
    """A small array, every chunk of which is stored."""
    settings: dict[str, Any] = {"shape": (8, 6), "chunks": (4, 3), "dtype": "uint16", "zarr_format": 3, **how}
    array = gpuzarr.create_array(kept, **settings)
    array[...] = np.arange(1, array.size + 1).reshape(array.shape)
    return array


@pytest.fixture(params=[2, 3])
def clean(request: pytest.FixtureRequest) -> Kept:
    """A hierarchy with which nothing is wrong, consolidated."""
    kept: Kept = {}
    root = gpuzarr.create_group(kept, zarr_format=request.param, attributes={"a": [1, None, {"b": "é"}]})
    array = root.create_array("g/h/x", shape=(8, 6), chunks=(4, 3), dtype="uint16", fill_value=3)
    array[:5] = 7
    root.create_array("y", shape=(), chunks=(), dtype="float32", fill_value=float("nan"))[...] = 1
    root["g"].attrs["unit"] = "m"  # type: ignore[union-attr]  # a group
    gpuzarr.consolidate_metadata(kept)
    return kept


# ---- hierarchies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_found_where_nothing_is_wrong(clean: Kept, deep: bool) -> None:
    found = gpuzarr.validate(clean, deep=deep)
    assert (found.valid, found.findings, found.arrays, found.groups) == (True, [], 2, 3)
    assert found.chunks == (5 if deep else None)


def test_where_there_is_no_node_that_is_an_error() -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.validate({"a": b"1"})
    with pytest.raises(NodeNotFoundError):
        gpuzarr.validate({"zarr.json": text(GROUP)}, path="a")


def test_n5_is_not_validated() -> None:
    stored = {"attributes.json": b'{"n5": "4.0.0"}'}
    assert isinstance(gpuzarr.open(stored, mode="r"), gpuzarr.Group)
    with pytest.raises(UnsupportedError, match="N5"):
        gpuzarr.validate(stored)


def test_a_part_of_a_hierarchy_is_validated_by_itself(clean: Kept) -> None:
    found = gpuzarr.validate({**clean, "stray": b"", "g/h/x/stray": b""}, path="g/h")
    assert (found.path, found.arrays, found.groups) == ("g/h", 1, 1)
    assert said(found) == {("stray", "g/h/x", "g/h/x/stray")}


def stale(kept: Kept, change: Callable[[Any], Any], zarr_format: int) -> Kept:
    """With a change to what is consolidated."""
    key = "zarr.json" if zarr_format == 3 else ".zmetadata"
    document = json.loads(kept[key])
    change(document["consolidated_metadata"]["metadata"] if zarr_format == 3 else document["metadata"])
    return {**kept, key: text(document)}


@pytest.fixture
def zarr_format(clean: Kept) -> int:
    return 3 if "zarr.json" in clean else 2


def test_a_copy_that_differs_is_told_with_what_differs(clean: Kept, zarr_format: int) -> None:
    def change(metadata: Any) -> None:
        (metadata["y"] if zarr_format == 3 else metadata["y/.zarray"])["shape"] = [3]
        (metadata["y"] if zarr_format == 3 else metadata["y/.zarray"])["fill_value"] = "x"

    found = gpuzarr.validate(stale(clean, change, zarr_format))
    differs, *inside = found.findings
    assert differs.rule == "stale-consolidated"
    assert "'y'" in differs.reason
    assert "fill_value, shape" in differs.reason
    # and the copy is judged as any document
    assert {f.rule for f in inside} == {"document"}
    assert all(f.path == "y" and "'y'" in str(f.field) for f in inside)


def test_a_copy_of_what_is_not_there_is_told(clean: Kept, zarr_format: int) -> None:
    gone = {key: value for key, value in clean.items() if not key.startswith("y/")}
    found = gpuzarr.validate(gone)
    assert [f.rule for f in found.findings] == ["stale-consolidated"]
    assert "'y' is listed" in found.findings[0].reason


def test_what_is_not_copied_is_told(clean: Kept, zarr_format: int) -> None:
    def change(metadata: Any) -> None:
        for key in [k for k in metadata if k.startswith("g/h/x")]:
            del metadata[key]

    found = gpuzarr.validate(stale(clean, change, zarr_format))
    assert [f.rule for f in found.findings] == ["stale-consolidated"]
    assert "'g/h/x' is there" in found.findings[0].reason


def test_spelling_and_empty_copies_in_copies_are_no_difference(clean: Kept, zarr_format: int) -> None:
    def change(metadata: Any) -> None:
        empty = {"kind": "inline", "must_understand": False, "metadata": {}}
        group = metadata["g"] if zarr_format == 3 else metadata["g/.zgroup"]
        group["consolidated_metadata"] = empty  # as zarr-python writes it
        if zarr_format == 3:
            metadata["y"]["chunk_key_encoding"] = {"name": "default"}
            metadata["y"]["storage_transformers"] = []

    assert gpuzarr.validate(stale(clean, change, zarr_format)).findings == []


def test_nested_groups_may_be_consolidated_by_themselves(clean: Kept, zarr_format: int) -> None:
    gpuzarr.consolidate_metadata(clean, path="g")
    gpuzarr.consolidate_metadata(clean)
    assert gpuzarr.validate(clean).findings == []
    assert gpuzarr.validate(clean, path="g").findings == []
    clean["g/h/x/" + ("zarr.json" if zarr_format == 3 else ".zarray")] = text(V3) if zarr_format == 3 else PLAIN2
    assert {f.path for f in gpuzarr.validate(clean).findings if f.rule == "stale-consolidated"} == {"", "g"}


@pytest.mark.parametrize("version", [2, 3])
def test_what_zarr_python_consolidates_is_not_stale(version: int, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr-python is not installed")
    where = str(tmp_path / "a.zarr")
    with quiet():
        root = zarr.open_group(where, mode="w", zarr_format=version)
        root.create_group("g").create_group("h").create_array("x", shape=(4,), dtype="f4", fill_value=float("nan"))
        zarr.consolidate_metadata(where)
    assert gpuzarr.validate(where, deep=True).findings == []


STORES: dict[str, list[tuple[Kept, tuple[str, str, str]]]] = {
    "json": [
        ({"zarr.json": b"{"}, ("json", "", "zarr.json")),
        ({".zgroup": GROUP2, ".zattrs": b"[]"}, ("json", "", ".zattrs")),
        ({".zgroup": GROUP2, ".zmetadata": b""}, ("json", "", ".zmetadata")),
    ],
    "document": [({"zarr.json": text({**V3, "shape": 3})}, ("document", "", "zarr.json"))],
    "missing-group": [({".zgroup": GROUP2, "a/b/.zgroup": GROUP2}, ("missing-group", "a", "a/b/.zgroup"))],
    "implicit-group": [
        ({"zarr.json": text(GROUP), "a/b/zarr.json": text(GROUP)}, ("implicit-group", "a", "a/b/zarr.json"))
    ],
    "node-in-array": [
        ({"zarr.json": text(V3), "a/zarr.json": text(GROUP)}, ("node-in-array", "a", "a/zarr.json")),
        ({".zarray": PLAIN2, "0/.zarray": PLAIN2}, ("node-in-array", "0", "0/.zarray")),
    ],
    "node-name": [
        ({"zarr.json": text(GROUP), "__a/zarr.json": text(GROUP)}, ("node-name", "__a", "__a/zarr.json")),
        ({"zarr.json": text(GROUP), ".../zarr.json": text(GROUP)}, ("node-name", "...", ".../zarr.json")),
    ],
    "odd-name": [({"zarr.json": text(GROUP), "a b/zarr.json": text(GROUP)}, ("odd-name", "a b", "a b/zarr.json"))],
    "other-chunk-keys": [
        ({"zarr.json": text(V3), "c.0.1": b""}, ("other-chunk-keys", "", "c.0.1")),
        ({"zarr.json": text(V3), "0/1": b""}, ("other-chunk-keys", "", "0/1")),
        ({".zarray": PLAIN2, "0.1": b""}, ("other-chunk-keys", "", "0.1")),
    ],
    "outside-grid": [
        ({"zarr.json": text(V3), "c/3/0": b""}, ("outside-grid", "", "c/3/0")),
        ({".zarray": PLAIN2, "0/2": b""}, ("outside-grid", "", "0/2")),
    ],
    "stray": [
        ({"zarr.json": text(V3), "c/0/00": b""}, ("stray", "", "c/0/00")),
        ({"zarr.json": text(V3), "c/0": b""}, ("stray", "", "c/0")),
        ({"zarr.json": text(GROUP), "README": b""}, ("stray", "", "README")),
        ({"zarr.json": text(GROUP), "a/.zattrs": b"{}"}, ("stray", "", "a/.zattrs")),
        ({".zarray": PLAIN2, ".zmetadata": b"{}"}, ("stray", "", ".zmetadata")),
    ],
    "two-kinds": [({".zgroup": GROUP2, ".zarray": PLAIN2}, ("two-kinds", "", ".zgroup"))],
    "two-formats": [({"zarr.json": text(GROUP), ".zgroup": GROUP2}, ("two-formats", "", ".zgroup"))],
    "mixed-formats": [({"zarr.json": text(GROUP), "a/.zgroup": GROUP2}, ("mixed-formats", "a", "a/.zgroup"))],
    "no-root": [({"a/zarr.json": text(GROUP)}, ("no-root", "", ""))],
    "unknown-codec": [({"zarr.json": text({**V3, "codecs": [BYTES, "no"]})}, ("unknown-codec", "", "zarr.json"))],
    "unsupported": [({"zarr.json": text({**V3, "storage_transformers": [3]})}, ("unsupported", "", "zarr.json"))],
    "unknown-member": [({".zgroup": b'{"zarr_format": 2, "a": 1}'}, ("unknown-member", "", ".zgroup"))],
    "repeated-member": [
        ({".zgroup": GROUP2, ".zattrs": b'{"a": 1, "a": 2}'}, ("repeated-member", "", ".zattrs"))
    ],
}
ELSEWHERE = {
    "test_validate_documents.py": {
        "consolidated-form", "few-readers", "must-understand", "one-byte-order", "pickle", "repeated-names",
        "short-name", "unregistered", "zstd-checksum",
    },
    "test_validate.py": {
        "chunk", "shard-gap", "shard-index", "shard-overlap", "stale-consolidated", "store", "trailing-bytes",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "expected"),
    [pytest.param(*case, id=f"{rule}-{k}") for rule, cases in STORES.items() for k, case in enumerate(cases)],
)
def test_what_breaks_a_rule_is_found(stored: Kept, expected: tuple[str, str, str]) -> None:
    found = gpuzarr.validate(stored)
    assert expected in said(found)
    # and nothing else is invalid
    assert {f.rule for f in found.findings if f.severity == "invalid"} <= {expected[0]}


def test_every_rule_is_shown_by_a_test() -> None:
    assert {*STORES, *set.union(*ELSEWHERE.values())} == RULES.keys()
    for file, rules in ELSEWHERE.items():
        source = (ROOT / "tests" / file).read_text("utf-8")
        assert [rule for rule in rules if source.count(f'"{rule}"') < (1 if "documents" in file else 2)] == []


def test_the_page_lists_every_rule() -> None:
    page = (ROOT / "docs/validate.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (invalid|unusual) \| (.+) \|$", page, re.MULTILINE)
    assert {name: tuple(cells) for name, *cells in rows} == {name: tuple(rule) for name, rule in RULES.items()}


def test_what_is_under_an_array_hides_none_of_its_chunks() -> None:
    kept: Kept = {}
    filled(kept)
    kept["c/zarr.json"] = text(GROUP)
    assert said(gpuzarr.validate(kept)) == {("node-in-array", "c", "c/zarr.json")}


class Refusing(MemoryStore):
    """A store that does not give some values."""

    def get(self, key: str, range: Any = None) -> Any:
        if key in ("g/zarr.json", "a/c/1/1"):
            raise StoreError("the disk is on fire", key=key)
        return super().get(key, range)


def test_what_the_store_does_not_give_is_told_and_the_rest_is_validated() -> None:
    store = Refusing()
    filled(store, name="a")
    MemoryStore.put(store, "g/zarr.json", text(GROUP))
    found = gpuzarr.validate(store, deep=True)
    assert said(found) >= {("store", "g", "g/zarr.json"), ("store", "a", "a/c/1/1")}
    assert found.chunks == 4


# ---- chunks ------------------------------------------------------------------------------------------------------

SHARDED: dict[str, Any] = {"shape": (16, 12), "chunks": (4, 3), "shards": (8, 6)}
NESTED = {
    **SHARDING,
    "configuration": {
        "chunk_shape": [4, 3],
        "codecs": [{**SHARDING, "configuration": {**SHARDING["configuration"], "codecs": [BYTES, "crc32c"]}}],
        "index_codecs": [BYTES, {"name": "crc32c"}],
        "index_location": "start",
    },
}
ONE: list[Any] = [{"name": "crc32c"}]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("native", [True, False])
def test_every_damaged_chunk_is_told(zarr_format: int, native: bool) -> None:
    kept: Kept = {}
    filled(kept, zarr_format=zarr_format, compressors=["gzip"])
    chunks = [key for key in kept if re.fullmatch(r"(c/)?\d[./]\d", key)]
    for key in chunks[:3]:
        kept[key] = kept[key][:-6] + bytes(6)
    found = gpuzarr.validate(kept, deep=True, executor=gpuzarr.Executor(threads=2, native=native))
    assert (found.chunks, {f.key for f in found.findings}) == (4, set(chunks[:3]))
    for finding in found.findings:
        assert (finding.rule, finding.codec) == ("chunk", "gzip")
        assert finding.chunk == tuple(map(int, re.findall(r"\d", finding.key)))


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_chunk_of_the_wrong_size_is_told(cut: int) -> None:
    kept: Kept = {}
    filled(kept, compressors=None)
    kept["c/0/1"] = kept["c/0/1"] + b"x" if cut == 0 else kept["c/0/1"][:-cut]
    assert said(gpuzarr.validate(kept, deep=True)) == {("chunk", "", "c/0/1")}


@pytest.mark.parametrize("start", [False, True])
def test_every_damaged_chunk_of_a_shard_is_told(start: bool) -> None:
    kept: Kept = {}
    location = {"shape": (8, 6), "index_location": "start" if start else "end"}
    filled(kept, **{**SHARDED, "shards": location}, compressors=ONE)
    first = 4 * 16 + 4 if start else 0
    shard = bytearray(kept["c/1/1"])
    for k in (0, 2):  # each of 24 bytes and a checksum
        shard[first + 28 * k + 3] ^= 1
    kept["c/1/1"] = bytes(shard)
    found = gpuzarr.validate(kept, deep=True)
    assert [(f.rule, f.key, f.codec) for f in found.findings] == [("chunk", "c/1/1", "crc32c")] * 2
    assert len({f.chunk for f in found.findings}) == 2
    assert found.chunks == 16


def with_index(shard: bytes, change: Callable[[Any], None]) -> bytes:
    """A shard of four chunks with a changed index, and its checksum."""
    import google_crc32c

    index = np.frombuffer(shard[-68:-4], "<u8").reshape(4, 2).copy()
    change(index)
    raw = index.tobytes()
    return shard[:-68] + raw + google_crc32c.value(raw).to_bytes(4, "little")


def outside(index: Any) -> None:
    index[1] = 5000, 28
    index[3] = 2**63, 2**63


def overlapping(index: Any) -> None:
    index[1] = index[0]


def test_what_is_wrong_with_a_shards_index_is_told() -> None:
    store = MemoryStore()
    filled(store, **SHARDED, compressors=ONE)
    good = bytes(store.get("c/0/0") or b"")
    store.put("c/0/0", with_index(good, outside))
    store.put("c/0/1", good[:-1] + bytes([good[-1] ^ 1]))
    store.put("c/1/0", good[:20])
    found = gpuzarr.validate(store, deep=True)
    told = [(f.rule, f.key, f.chunk) for f in found.findings if f.severity == "invalid"]
    assert told == [
        ("shard-index", "c/0/0", (0, 1)),
        ("shard-index", "c/0/0", (1, 1)),
        ("shard-index", "c/0/1", (0, 1)),
        ("shard-index", "c/1/0", (1, 0)),
    ]
    assert found.chunks == 2 + 4  # of the first shard, and of the last


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        (lambda shard: b"abc" + shard, "shard-gap", "3 bytes at 112"),
        (lambda shard: shard[:-68] + b"abc" + shard[-68:], "shard-gap", "3 bytes at 112"),
        (lambda shard: with_index(shard, overlapping), "shard-overlap", "28 bytes at 0"),
    ],
)
def test_bytes_of_a_shard_that_nothing_or_several_chunks_have_are_told(change: Any, rule: str, reason: str) -> None:
    store = MemoryStore()
    filled(store, **SHARDED, compressors=ONE)
    store.put("c/0/0", change(bytes(store.get("c/0/0") or b"")))
    found = [f for f in gpuzarr.validate(store, deep=True).findings if f.severity == "unusual"]
    assert (rule, "c/0/0") in {(f.rule, f.key) for f in found}
    assert any(f.reason.startswith(reason) for f in found)


def test_shards_inside_shards_are_looked_into() -> None:
    kept: Kept = {}
    filled(kept, shape=(8, 6), chunks=(8, 6), serializer=NESTED, compressors=None)
    assert gpuzarr.validate(kept, deep=True).chunks == 8
    raw = bytearray(kept["c/0/0"])
    raw[68 + 3] ^= 1  # in the first chunk of the first shard
    kept["c/0/0"] = bytes(raw)
    (finding,) = gpuzarr.validate(kept, deep=True).findings
    assert (finding.rule, finding.codec, finding.chunk) == ("chunk", "crc32c", (0, 0))


def test_shards_that_codecs_wrap_are_decoded_and_looked_into() -> None:
    kept: Kept = {}
    inner = {**SHARDING["configuration"], "chunk_shape": [4, 3], "codecs": [BYTES, "crc32c"]}
    filled(kept, shape=(8, 6), chunks=(8, 6), serializer={**SHARDING, "configuration": inner}, compressors=["gzip"])
    found = gpuzarr.validate(kept, deep=True)
    assert (found.valid, found.chunks) == (True, 4)
    raw = bytearray(gzip.decompress(kept["c/0/0"]))
    raw[0] ^= 1
    raw[30] ^= 1
    kept["c/0/0"] = gzip.compress(bytes(raw))
    found = gpuzarr.validate(kept, deep=True)
    assert [(f.rule, f.codec) for f in found.findings if f.severity == "invalid"] == [("chunk", "crc32c")] * 2
    kept["c/0/0"] = b"nothing"
    assert said(gpuzarr.validate(kept, deep=True)) >= {("chunk", "", "c/0/0")}


@pytest.mark.parametrize("codec", ["blosc", "gzip", "zlib"])
def test_bytes_after_the_end_of_a_chunk_are_told(codec: str) -> None:
    kept: Kept = {}
    filled(kept, zarr_format=2, compressors=[codec])
    kept["0.1"] += bytes(3)
    (finding,) = gpuzarr.validate(kept, deep=True).findings
    assert (finding.rule, finding.key, finding.chunk) == ("trailing-bytes", "0.1", (0, 1))
    assert finding.reason.startswith("3 bytes")


@pytest.mark.parametrize("threads", [1, 3])
def test_objects_are_decoded_too(threads: int) -> None:
    kept: Kept = {}
    array = gpuzarr.create_array(kept, shape=(6,), chunks=(2,), dtype=str, compressors=None)
    array[...] = np.array(["a", "bc", "d", "", "e", "f"])
    kept["c/1"] = kept["c/1"][:-1]
    kept["c/2"] = b"\5\0\0\0"
    executor = gpuzarr.Executor(threads=threads)
    found = gpuzarr.validate(kept, deep=True, executor=executor)
    assert {f.key for f in found.findings if f.severity == "invalid"} == {"c/1", "c/2"}


@pytest.mark.parametrize("kind", ["folder", "zip", "mapping", "memory"])
def test_every_store_is_validated(kind: str, tmp_path: Path) -> None:
    where: Any = {"folder": tmp_path / "a", "zip": tmp_path / "a.zip", "mapping": {}, "memory": MemoryStore()}[kind]
    store = open_store(where, mode="a")
    root = gpuzarr.create_group(store)
    filled(store, name="x", **SHARDED)
    store.put("x/c/9/9", b"old")
    if hasattr(store, "close"):
        store.close()
        store = open_store(where)
    assert root is not None
    found = gpuzarr.validate(store, deep=True)
    assert said(found) == {("outside-grid", "x", "x/c/9/9")}
    assert found.chunks == 16


def test_many_chunks_are_examined_batch_by_batch() -> None:
    kept: Kept = {}
    array = gpuzarr.create_array(kept, shape=(1000,), chunks=(1,), dtype="uint8", compressors=ONE)
    array[...] = 1
    for k in (3, 700):
        kept[f"c/{k}"] = bytes(5)
    found = gpuzarr.validate(kept, deep=True, executor=gpuzarr.Executor(threads=1))
    assert found.chunks == 1000
    assert [f.chunk for f in found.findings] == [(3,), (700,)]


# ---- what is given back ------------------------------------------------------------------------------------------


def test_findings_are_sorted_and_have_every_member() -> None:
    stored = {"zarr.json": text(GROUP), "b/zarr.json": text({**V3, "fill_value": 7.0}), "b/c/9/9": b"", "a": b""}
    found = gpuzarr.validate(stored).to_dict()
    assert list(found) == ["version", "store", "path", "valid", "arrays", "groups", "chunks", "counts", "findings"]
    members = ["severity", "rule", "path", "key", "field", "chunk", "codec", "reason"]
    assert [list(f) for f in found["findings"]] == [members] * 3
    assert [(f["path"], f["rule"]) for f in found["findings"]] == [
        ("", "stray"),
        ("b", "int-fraction"),
        ("b", "outside-grid"),
    ]
    assert found["counts"] == {"invalid": 0, "repaired": 1, "unusual": 2}
    page = (ROOT / "docs/validate.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    assert {*found, *members} <= named


def test_a_rule_has_one_severity() -> None:
    assert Finding("stray", "", "a", "x").severity == "unusual"
    assert rule_of("zero-fill").severity == "repaired"
    assert rule_of("chunk").severity == "invalid"


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    filled(LocalStore(tmp_path / "x"), compressors=ONE)
    return tmp_path / "x"


@pytest.mark.parametrize(
    ("damage", "options", "status"),
    [
        ("none", (), 0),
        ("none", ("--strict", "--deep"), 0),
        ("unusual", (), 0),
        ("unusual", ("--strict",), 1),
        ("repaired", (), 0),
        ("repaired", ("--strict",), 1),
        ("chunk", (), 0),
        ("chunk", ("--deep",), 1),
        ("invalid", (), 1),
    ],
)
def test_exit_codes(folder: Path, damage: str, options: tuple[str, ...], status: int, capsys: Printed) -> None:
    document = json.loads((folder / "zarr.json").read_text())
    if damage == "unusual":
        (folder / "c" / "7").mkdir()
        (folder / "c" / "7" / "7").write_bytes(b"")
    if damage == "chunk":
        (folder / "c" / "0" / "0").write_bytes(b"x")
    changes = {"repaired": {"fill_value": 0.0}, "invalid": {"fill_value": -1}}.get(damage, {})
    (folder / "zarr.json").write_text(json.dumps({**document, **changes}))
    assert main(["validate", str(folder), *options]) == status
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("nothing found") == (damage == "none" or (damage == "chunk" and not options))
    assert main(["validate", str(folder), "--json", *options]) == status
    assert json.loads(capsys.readouterr().out)["valid"] == (damage != "invalid" and (damage, status) != ("chunk", 1))


def test_what_is_printed_names_key_place_and_reason(folder: Path, capsys: Printed) -> None:
    (folder / "c" / "0" / "1").write_bytes(bytes(28))
    for k in range(30):
        (folder / f"\x1b[2J{k}").write_bytes(b"")
    assert main(["validate", str(folder), "--deep"]) == 1
    printed = capsys.readouterr().out
    for part in ("1 array, 0 groups, 4 chunks decoded", "c/0/1", "chunk (0, 1)", "crc32c: ", "… and 20 more"):
        assert part in printed
    assert "1 invalid, 30 unusual" in printed
    assert "\x1b" not in printed


def test_what_is_not_there_and_what_is_no_usage(tmp_path: Path, capsys: Printed) -> None:
    assert main(["validate", str(tmp_path)]) == 1
    assert "no array or group" in capsys.readouterr().err
    assert main(["validate"]) == 2


# ---- stores of others --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::gpuzarr.metadata.MetadataWarning")
def test_stores_that_others_wrote_are_valid_but_for_those_that_nobody_reads() -> None:
    named = os.environ.get("GPUZARR_CONFORMANCE")
    if named is None:
        pytest.skip("GPUZARR_CONFORMANCE names no folder of conformance data")
    found_in = {p.parent for p in Path(named).rglob("*") if p.name in ("zarr.json", ".zarray", ".zgroup")}
    stores = sorted(folder for folder in found_in if not found_in & {*folder.parents})
    assert len(stores) > 90
    apart = ("missing-group", "stale-consolidated")  # arrays are read where groups are missing and copies are stale
    for store in stores:
        found = gpuzarr.validate(store, deep=True)
        try:
            opened = gpuzarr.open(store, mode="r", use_consolidated=False)
            below = [("", opened)] if isinstance(opened, gpuzarr.Array) else opened.members(None)
            for _, member in below:
                assert not isinstance(member, gpuzarr.Array) or member[...] is not None
        except gpuzarr.GpuzarrError:
            assert not found.valid, store
        else:
            wrong = [f for f in found.findings if f.severity == "invalid" and f.rule not in apart]
            assert wrong == [], store
