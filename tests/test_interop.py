"""What gpuzarr writes others read, what they write gpuzarr reads, and all agree on every bit.

The others are zarr-python, tensorstore and zarrista, three code bases with nothing in common. Documents are given,
so that a case is the same for everyone; that gpuzarr writes them itself as others expect is tested too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_cases import codec_cases
from interop_cases import LITTLE, Case, Fill, cases, fills, v3
from peers import documents, gpuzarr_reads, peer, put_documents, quiet, same

import gpuzarr
from gpuzarr.errors import UnsupportedError

PYTHON = gpuzarr.Executor(threads=1, native=False)


def with_peers(found: Iterable[Case | Fill]) -> list[Any]:
    return [pytest.param(one, letter, id=f"{one}-{letter}") for one in found for letter in one.peers]


def part(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box that begins inside a chunk and ends at the array's end."""
    return tuple(slice(n // 3, n) for n in shape)


@pytest.mark.parametrize(("case", "letter"), with_peers([*cases(), *codec_cases()]))
def test_others_read_what_gpuzarr_writes(case: Case, letter: str, tmp_path: Path) -> None:
    other = peer(letter)
    put_documents(tmp_path, case.documents)
    array = gpuzarr.open_array(tmp_path, mode="r+")
    array.attrs["written"] = True  # from here on the document is gpuzarr's own
    array[...] = case.values
    assert same(other.read(tmp_path), case.values)
    changed, box = case.values.copy(), part(case.values.shape)
    changed[box] = case.values[(*box, ...)][tuple(slice(None, None, -1) for _ in box)]
    gpuzarr.open_array(tmp_path, mode="r+", executor=PYTHON)[box] = changed[box]
    assert same(other.read(tmp_path), changed)


@pytest.mark.parametrize(("case", "letter"), with_peers([*cases(), *codec_cases()]))
def test_gpuzarr_reads_what_others_write(case: Case, letter: str, tmp_path: Path) -> None:
    put_documents(tmp_path, case.documents)
    peer(letter).write(tmp_path, case.values)
    assert gpuzarr_reads(tmp_path, case.values) == []


@pytest.mark.parametrize(("case", "letter"), with_peers([*cases(), *codec_cases()]))
def test_gpuzarr_changes_a_part_of_what_others_wrote(case: Case, letter: str, tmp_path: Path) -> None:
    other = peer(letter)
    put_documents(tmp_path, case.documents)
    other.write(tmp_path, case.values)
    changed, box = case.values.copy(), part(case.values.shape)
    changed[box] = case.values[(*box, ...)][tuple(slice(None, None, -1) for _ in box)]
    gpuzarr.open_array(tmp_path, mode="r+")[box] = changed[box]
    assert same(other.read(tmp_path), changed)


@pytest.mark.parametrize(("fill", "letter"), with_peers(fills()))
def test_what_no_chunk_stores_is_the_fill_value(fill: Fill, letter: str, tmp_path: Path) -> None:
    other = peer(letter)
    put_documents(tmp_path, fill.documents)
    wanted = np.broadcast_to(fill.element, (7, 10))
    assert same(other.read(tmp_path), wanted)
    assert gpuzarr_reads(tmp_path, wanted) == []
    array = gpuzarr.open_array(tmp_path, mode="r+")
    array.attrs["written"] = True
    assert same(other.read(tmp_path), wanted)
    changed = wanted.copy()
    changed[4, 5] = array[4, 5] = b"" if array.dtype == object else np.zeros((), array.dtype)
    assert same(other.read(tmp_path), changed)


# Documents that gpuzarr writes by itself

BASE: dict[str, Any] = {"shape": (7, 10), "chunks": (3, 4), "dtype": "uint16"}
TRANSPOSE = {"name": "transpose", "configuration": {"order": [1, 0]}}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "scalar": {"shape": (), "chunks": ()},
    "integers": {"shape": 9, "chunks": 4},
    "empty": {"shape": (0, 4), "chunks": (2, 2)},
    "bool": {"dtype": "bool", "fill_value": True},
    "signed": {"dtype": "int64", "fill_value": -5},
    "nan": {"dtype": "float32", "fill_value": np.nan},
    "complex": {"dtype": "complex64", "fill_value": 1 + 2j},
    "shards": {"shards": (6, 8)},
    "shards at start": {"shards": {"shape": (6, 8), "index_location": "start"}},
    "uncompressed": {"compressors": None},
    "gzip": {"compressors": [{"name": "gzip", "configuration": {"level": 3}}]},
    "two": {"compressors": [{"name": "zstd", "configuration": {"level": 3, "checksum": True}}, {"name": "crc32c"}]},
    "transpose": {"filters": [TRANSPOSE], "serializer": {"name": "bytes", "configuration": {"endian": "big"}}},
    "v2 keys": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "names": {"dimension_names": ["y", None]},
    "attributes": {"attributes": {"a": [1, None, "ż"]}},
    "text": {"dtype": "U4", "fill_value": "ab"},
    "byte strings": {"dtype": "S4", "fill_value": b"ab"},
    "times": {"dtype": "M8[10us]"},
    "spans": {"dtype": "m8[s]", "shards": (6, 8)},
    "2": {"zarr_format": 2},
    "2 strings of any length": {"zarr_format": 2, "dtype": str, "fill_value": "ab"},
    "2 times": {"zarr_format": 2, "dtype": "M8[s]"},
    "2 F": {"zarr_format": 2, "order": "F"},
    "2 uncompressed": {"zarr_format": 2, "compressors": None},
    "2 slashes": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "2 attributes": {"zarr_format": 2, "attributes": {"a": 1}},
    "2 big": {"zarr_format": 2, "dtype": ">f8", "fill_value": np.inf},
    "2 bytes": {"zarr_format": 2, "dtype": "S4", "fill_value": b"ab"},
    "2 strings": {"zarr_format": 2, "dtype": "U4", "fill_value": "ab"},
    "2 structured": {"zarr_format": 2, "dtype": [("a", "<i2"), ("b", ">f4")]},
    "2 void": {"zarr_format": 2, "dtype": "V3"},
    "2 complex": {"zarr_format": 2, "dtype": "c8", "fill_value": 1j},
    "2 undefined": {"zarr_format": 2, "fill_value": None},
}


@pytest.mark.parametrize("how", ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_create_array_writes_the_documents_that_zarr_python_writes(how: dict[str, Any], tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    gpuzarr.create_array(tmp_path / "ours", **BASE | how)
    with quiet():
        zarr.create_array(tmp_path / "theirs", **BASE | how)
    assert documents(tmp_path / "ours") == documents(tmp_path / "theirs")


def codecs_of_zarr_python() -> list[dict[str, Any]]:
    from numcodecs import LZ4, Blosc, Delta, Shuffle, Zlib, Zstd
    from numcodecs.checksum32 import CRC32C
    from zarr import codecs

    two = {"zarr_format": 2}
    return [
        {"compressors": codecs.BloscCodec()},
        {"compressors": codecs.BloscCodec(cname="lz4", shuffle="bitshuffle"), "dtype": "uint8"},
        {"compressors": [codecs.GzipCodec(level=3), codecs.Crc32cCodec()]},
        {"filters": [codecs.TransposeCodec(order=(1, 0))], "serializer": codecs.BytesCodec(endian="big")},
        {"serializer": codecs.ShardingCodec(chunk_shape=(3, 2)), "compressors": None},
        {"compressors": Blosc(cname="zstd", clevel=3, shuffle=2), **two},
        {"compressors": Zlib(level=2), "filters": [Delta(dtype="<u2"), Shuffle(2)], **two},
        {"compressors": LZ4(), "filters": [CRC32C()], **two},
        {"compressors": Zstd(level=3), **two},
    ]


@pytest.mark.parametrize("number", range(9))
def test_create_array_takes_codecs_of_zarr_python_and_numcodecs(number: int, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    how = BASE | codecs_of_zarr_python()[number]
    ours = gpuzarr.create_array(tmp_path / "ours", **how)
    with quiet():
        zarr.create_array(tmp_path / "theirs", **how)
    assert documents(tmp_path / "ours") == documents(tmp_path / "theirs")
    values = np.arange(70, dtype=ours.dtype).reshape(7, 10)
    ours[...] = values
    assert same(peer("z").read(tmp_path / "ours"), values)


SHARDED: dict[str, Any] = {"chunk_shape": [3, 4], "codecs": [{"name": "gzip"}]}


@pytest.mark.parametrize(
    "metadata",
    [
        {"data_type": "uint16"},
        {"data_type": "float32", "fill_value": "NaN", "dimension_names": ["y", None], "attributes": {"a": 1}},
        {
            "data_type": "bfloat16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [6, 8]}},
            "codecs": [{"name": "sharding_indexed", "configuration": SHARDED}],
        },
        {"dtype": "<f4", "chunks": [3, 4]},
        {"dtype": ">i2", "chunks": [3, 4], "compressor": {"id": "blosc"}, "order": "F", "dimension_separator": "/"},
    ],
    ids=str,
)
def test_gpuzarr_reads_arrays_as_tensorstore_makes_them(metadata: dict[str, Any], tmp_path: Path) -> None:
    ts = pytest.importorskip("tensorstore")
    driver = "zarr" if "dtype" in metadata else "zarr3"
    spec = {
        "driver": driver,
        "kvstore": {"driver": "file", "path": str(tmp_path)},
        "metadata": {"shape": [7, 10], **metadata},
    }
    made = ts.open(spec, create=True).result()
    values = np.arange(70).reshape(7, 10).astype(made.dtype.numpy_dtype)
    made[2:].write(values[2:]).result()
    values[:2] = gpuzarr.open_array(tmp_path).fill_value or 0
    assert gpuzarr_reads(tmp_path, values) == []
    assert dict(gpuzarr.open_array(tmp_path).attrs) == metadata.get("attributes", {})


def test_gpuzarr_reads_arrays_as_zarrista_makes_them(tmp_path: Path) -> None:
    zarrista = pytest.importorskip("zarrista")
    grid = zarrista.ChunkGrid.regular([7, 10], chunk_shape=[6, 8])
    builder = zarrista.ArrayBuilder(grid, zarrista.DataType.from_string("int16"), zarrista.FillValue(b"\5\0"))
    builder = builder.subchunk_shape([3, 4]).compressors([zarrista.codec.zstd(3, checksum=True)])
    builder = builder.dimension_names(["y", "x"]).attrs({"a": 1})
    made = builder.create(zarrista.store.FilesystemStore(str(tmp_path)), "/")
    values = np.arange(70, dtype=np.int16).reshape(7, 10)
    made[...] = values
    assert gpuzarr_reads(tmp_path, values) == []
    array = gpuzarr.open_array(tmp_path)
    assert (array.shards, array.chunks, array.fill_value) == ((6, 8), (3, 4), 5)
    assert array.dimension_names == ("y", "x")
    assert array.attrs["a"] == 1


@pytest.mark.parametrize("native", [True, False], ids=["compiled", "Python"])
def test_blosc_with_snappy_is_read_or_refused_by_name(native: bool, tmp_path: Path) -> None:
    from numcodecs import blosc

    configuration = {"cname": "snappy", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}
    values = np.zeros((30, 40), np.int32)
    values[:, 3] = np.arange(30)
    put_documents(
        tmp_path,
        v3("int32", [LITTLE, {"name": "blosc", "configuration": configuration}], (30, 40), (30, 40), fill=7),
    )
    peer("t").write(tmp_path, values)
    array = gpuzarr.open_array(tmp_path, mode="r+", executor=gpuzarr.Executor(threads=1, native=native))
    if "snappy" in blosc.list_compressors():
        assert same(array[...], values)
        return
    for use in (lambda: array[...], lambda: array.__setitem__(..., values)):
        with pytest.raises(UnsupportedError) as refused:
            use()
        assert refused.value.feature == "blosc with snappy"


# Groups

TREE = ["a", "a/b", "a/b/y", "a/x", "empty"]


def build(library: Any, folder: Path, zarr_format: int) -> None:
    """The same hierarchy through either library: their names and keyword arguments are the same."""
    root = library.open_group(str(folder), mode="w", zarr_format=zarr_format)
    root.attrs["of"] = {"the": ["root", None, 1.5]}
    first = root.create_group("a", attributes={"n": 1})
    second = first.create_group("b")
    root.create_group("empty")
    for group, name in ((first, "x"), (second, "y")):
        array = group.create_array(name, shape=(4, 5), chunks=(2, 3), dtype="int16", attributes={"name": name})
        array[...] = np.arange(20, dtype="int16").reshape(4, 5)


def described(root: Any) -> dict[str, Any]:
    """What a hierarchy holds, as either library tells it."""
    out: dict[str, Any] = {"": dict(root.attrs)}
    for path, member in root.members(max_depth=None):
        shape = getattr(member, "shape", None)
        sums = None if shape is None else int(np.sum(np.asarray(member[...])))
        out[path] = (dict(member.attrs), shape, sums)
    return dict(sorted(out.items()))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("writer", ["gpuzarr", "zarr"])
def test_groups_are_the_same_to_gpuzarr_and_zarr_python(
    writer: str, consolidated: bool, zarr_format: int, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    library = gpuzarr if writer == "gpuzarr" else zarr
    with quiet():
        build(library, tmp_path, zarr_format)
        if consolidated:
            library.consolidate_metadata(str(tmp_path))
            forget_members(tmp_path)
        use = consolidated or None
        found = [
            described(opened)
            for opened in (
                gpuzarr.open_group(tmp_path, mode="r", use_consolidated=use),
                zarr.open_group(str(tmp_path), mode="r", use_consolidated=use, zarr_format=zarr_format),
            )
        ]
    assert found[0] == found[1]
    assert list(found[0]) == ["", *TREE]
    assert found[0]["a/x"] == ({"name": "x"}, (4, 5), 190)


def forget_members(folder: Path) -> None:
    """Leave only what the root's documents say of its members."""
    for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
        for file in folder.rglob(name):
            if file.parent != folder:
                file.unlink()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarrista_finds_what_gpuzarr_groups_hold(zarr_format: int, tmp_path: Path) -> None:
    zarrista = pytest.importorskip("zarrista")
    build(gpuzarr, tmp_path, zarr_format)
    root = zarrista.Group.open(zarrista.store.FilesystemStore(str(tmp_path)))
    assert root.attrs == {"of": {"the": ["root", None, 1.5]}}
    assert sorted(node.path for node in root.traverse()) == sorted(f"/{path}" for path in TREE)
    gpuzarr.consolidate_metadata(tmp_path)
    if zarr_format == 3:
        again = zarrista.Group.open(zarrista.store.FilesystemStore(str(tmp_path)))
        assert sorted(again.consolidated_metadata["metadata"]) == TREE


def test_upper_bits_of_small_integers_say_nothing(tmp_path: Path) -> None:
    how = {"shape": 4, "chunks": 4, "compressors": None}
    for name, stored, wanted in (
        ("int4", b"\xfe\x0e\x71\x81", [-2, -2, 1, 1]),
        ("uint2", b"\xfe\x02\x71\x01", [2, 2, 1, 1]),
    ):
        array = gpuzarr.create_array(tmp_path / name, dtype=name, **how)
        (tmp_path / name / "c").mkdir()
        (tmp_path / name / "c/0").write_bytes(stored)
        assert array[...].astype(int).tolist() == wanted
        assert peer("r").read(tmp_path / name).astype(int).tolist() == wanted
        assert array[...].tobytes() == np.array(wanted).astype(array.dtype).tobytes()
