"""What validation says of other readers, asked of those that are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peers import quiet
from test_metadata import BYTES, SHARDING, V2, V3

from gpuzarr.dtypes import as_fill, encode_fill, from_v3
from gpuzarr.errors import UnsupportedError
from gpuzarr.validation.readers import CODECS, TYPES, R, T, Z, unusual_array_v2, unusual_array_v3

CONFIGURED: dict[str, dict[str, Any]] = {
    "fixed_length_utf32": {"length_bytes": 8},
    "numpy.datetime64": {"unit": "s", "scale_factor": 1},
    "numpy.timedelta64": {"unit": "s", "scale_factor": 1},
    "struct": {"fields": [{"name": "a", "data_type": "uint8"}]},
    "structured": {"fields": [["a", "uint8"]]},
}
OBJECTS = {"string": "vlen-utf8", "bytes": "vlen-bytes"}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


FLOAT: dict[str, Any] = {"data_type": "float32", "fill_value": 0.0}
CHAINS: dict[str, dict[str, Any]] = {
    "bitround": {**FLOAT, "codecs": [codec("bitround", keepbits=3), BYTES]},
    "cast_value": {"codecs": [codec("cast_value", data_type="uint8"), BYTES]},
    "conditional": {"codecs": [BYTES, codec("conditional", codecs=[{"name": "crc32c"}], header_bits=8)]},
    "n5_default": {"codecs": [codec("n5_default", codecs=[codec("bytes", endian="big")])]},
    "packbits": {"data_type": "bool", "fill_value": False, "codecs": [{"name": "packbits"}]},
    "reshape": {"codecs": [codec("reshape", shape=[12]), BYTES]},
    "scale_offset": {**FLOAT, "codecs": [codec("scale_offset", offset=0, scale=1), BYTES]},
    "zfp": {**FLOAT, "codecs": [codec("zfp", mode="reversible")]},
}
PLAIN = {**SHARDING, "configuration": {**SHARDING["configuration"], "codecs": [BYTES]}}
FORMS: list[dict[str, Any]] = [
    {},
    {"codecs": [BYTES, "crc32c"]},
    {"codecs": [PLAIN]},
    {"codecs": [PLAIN, {"name": "crc32c"}]},
    {"codecs": [{**BYTES, "must_understand": True}]},
    {"codecs": [BYTES, codec("zstd", level=1)]},
    {"codecs": [BYTES, codec("zstd", level=1, checksum=False)]},
    {"chunk_key_encoding": "default"},
    {"data_type": {"name": "uint16"}},
    {"data_type": "r16", "fill_value": [0, 0], "codecs": [{"name": "bytes"}]},
    {"dimension_names": ["a", "a"]},
    {"dimension_names": ["", ""]},
    {"more": {"must_understand": False}},
]
REFUSED = {"must-understand": {T}, "zstd-checksum": {R}, "repeated-names": {T}, "short-name": {Z, T}}
"""By rule; others name the readers in their reason."""

FORMS2: list[dict[str, Any]] = [
    {},
    {"filters": []},
    {"filters": [{"id": "shuffle", "elementsize": 2}]},
    {"mine": 1},
    *({"dtype": dtype} for dtype in ("<i1", "|S3", "<U2", "<M8[s]", "<m8[s]", [["a", "<i4"]], [["a", "<i4", [2]]])),
    *({"dtype": [["a", [["b", "<i4"]]]]},),
    *({"compressor": {"id": name}} for name in ("zlib", "bz2", "lzma", "lz4")),
    {"compressor": {"id": "zstd", "level": 1}},
    {"compressor": {"id": "zstd", "level": 1, "checksum": False}},
    *({"dtype": "|O", "filters": [{"id": name}]} for name in ("vlen-utf8", "json2", "pickle")),
]


@pytest.fixture(params=[Z, T, R])
def reader(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """Another reader: its name, and what opens an array in a folder."""
    name: str = request.param
    package = {Z: "zarr", T: "tensorstore", R: "zarrista"}[name]
    found = pytest.importorskip(package, reason=f"{package} is not installed")
    if name == Z and tuple(map(int, found.__version__.split(".")[:2])) < (3, 4):
        pytest.skip("the tables are about zarr-python 3.4")
    if name == Z:
        return name, lambda folder: found.open_array(folder, mode="r")
    if name == R:
        return name, lambda folder: found.Array.open(found.store.FilesystemStore(folder))

    def spec(folder: str) -> dict[str, Any]:
        driver = "zarr3" if Path(folder, "zarr.json").exists() else "zarr"
        return {"driver": driver, "kvstore": {"driver": "file", "path": folder}}

    return name, lambda folder: found.open(spec(folder), open=True).result()


def refuses(opens: Any, folder: Path, document: dict[str, Any]) -> bool:
    folder.mkdir()
    (folder / ("zarr.json" if document["zarr_format"] == 3 else ".zarray")).write_text(json.dumps(document))
    with quiet():
        try:
            opens(str(folder))
        except Exception:  # noqa: BLE001  # each raises what it likes
            return True
    return False


def test_data_types_are_read_by_whom_the_table_says(reader: tuple[str, Any], tmp_path: Path) -> None:
    name, opens = reader
    wrong = []
    for k, (data_type, missing) in enumerate(TYPES.items()):
        value: Any = codec(data_type, **CONFIGURED[data_type]) if data_type in CONFIGURED else data_type
        try:
            kind = from_v3(value, None)
        except UnsupportedError:  # an older ml_dtypes
            continue
        fill = encode_fill(as_fill(None, kind), kind, 3)
        codecs = [{"name": OBJECTS[data_type]}] if data_type in OBJECTS else [BYTES]
        document = {**V3, "data_type": value, "fill_value": fill, "codecs": codecs}
        if refuses(opens, tmp_path / str(k), document) != any(m.startswith(name) for m in missing):
            wrong.append(data_type)
    assert wrong == []


def test_codecs_are_read_by_whom_the_table_says(reader: tuple[str, Any], tmp_path: Path) -> None:
    name, opens = reader
    wrong = [
        codec
        for codec, changes in CHAINS.items()
        if refuses(opens, tmp_path / codec, {**V3, **changes}) != (name in CODECS[codec])
    ]
    assert wrong == []


def test_forms_are_read_by_whom_the_rules_say(reader: tuple[str, Any], tmp_path: Path) -> None:
    name, opens = reader
    wrong = []
    for k, changes in enumerate(FORMS):
        document = {**V3, **changes}
        said = [REFUSED.get(f.rule, {*_named(f.reason)}) for f in unusual_array_v3(document)]
        if refuses(opens, tmp_path / str(k), document) != (name in set().union(*said)):
            wrong.append(changes)
    assert wrong == []


def test_format_2_is_read_by_whom_the_rules_say(reader: tuple[str, Any], tmp_path: Path) -> None:
    name, opens = reader
    if name == R:
        pytest.skip("nothing is said of zarrs and format 2")
    wrong = []
    for k, changes in enumerate(FORMS2):
        document = {**V2, "filters": None, "compressor": None, "fill_value": None, **changes}
        said = [{*_named(f.reason)} for f in unusual_array_v2(document)]
        if refuses(opens, tmp_path / str(k), document) != (name in set().union(*said)):
            wrong.append(changes)
    assert wrong == []


def _named(reason: str) -> list[str]:
    return [name for name in (Z, T, R) if name in reason]
