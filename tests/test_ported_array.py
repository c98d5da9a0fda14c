"""Making, describing, resizing and appending as zarr-python's own tests have it (its tests/test_array.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ported import Call, Counting, calls, check_in, in_formats
from strategies import assert_same

import gpuzarr

SAME = """
    g = root(); g.create_array("x", shape=(10,), dtype="u1"); \
        lib.create_array(kept, name="x", shape=(2, 2), chunks=(2, 2), dtype="f4", zarr_format=form, overwrite=True)
    root().create_group("x/y"); lib.create_array(kept, name="x", shape=2, dtype="f4", zarr_format=form, \
        overwrite=True)
    lib.create_array(kept, name="a/b/c", shape=2, dtype="i4", zarr_format=form); \
        sorted(k for k in kept if not k.endswith(".zattrs"))
    lib.open_group(kept, path="a", zarr_format=form, attributes={"k": "v"}); \
        lib.create_array(kept, name="a/b/c/d", shape=2, dtype="i4", zarr_format=form); \
        [dict(lib.open_group(kept, path=p).attrs) for p in ("a", "a/b", "a/b/c")]
    a = made(100, ">i4", chunks=(10,)); a.path, a.name, a.basename
    a = root().create_group("bar").create_array("spam", shape=100, chunks=(10,), dtype="i4"); \
        a.path, a.name, a.basename
    [(a.path, a.name) for p in (None, "", "/", "/foo", "foo", "foo/bar", "foo//bar/") for a in [made(2, name=p)]]

    [made(5, d).fill_value for d in ("U4", "S4", "i4", "f4", "?", "c8", "u1")]
    [str(made(5, d).fill_value) for d in ("M8[s]", "m8[10us]")]
    [made(5, d, fill_value=None).fill_value for d in ("U4", "S4", "i4", "f4", "?", "c8")]
    [made(10, d, fill_value=f).fill_value for d, f in (("?", True), ("u1", 99), ("f4", -99.9), ("c8", 3 + 4j))]
    [made(3, d, fill_value=f)[...] for d, f in (("U3", "abc"), ("S3", b"ab"), ("f2", np.inf), ("i8", -5))]
    a = put(made(10, "f8", fill_value=np.nan), ..., np.nan); bool(np.isnan(a.fill_value)), a.nchunks_initialized
    made(5, "i1", fill_value="x")
    [made(5, d).dtype.str for d in ("i4", np.int32, int, float, bool, "uint8", "U3", "S3", complex, "M8[ns]", \
        "m8[s]")]
    [lib.open_array(k).dtype.str for d in ("i4", "f8", "U3", "S3", "M8[ns]", "?") for k in [{}] \
        if lib.create_array(k, shape=5, dtype=d, zarr_format=form)]
    made(5, object)

    [made(100, chunks=(-(-100 // n),)).nchunks for n in (2, 5, 10)]
    a = made(10, chunks=(3,)); [put(a, slice(k, k + 3), 1).nchunks_initialized for k in range(0, 10, 3)]
    a = made((8, 8), "f8", chunks=(2, 2)); a.shape, a.ndim, a.size, a.nbytes, a.chunks, a.shards, a.dtype.str, a.order
    a = made((8, 8), "f8", chunks=(2, 2)); a.cdata_shape, a.nchunks, a.nchunks_initialized, a.read_only
    a = made((30, 10), chunks=(2, 5)); a.cdata_shape, a.nchunks
    [made(s, d).nbytes for s in ((1,), (2, 3), (4, 5, 6)) for d in ("u1", "f4")]
    a = made(4, attributes={"a": 1}); a.metadata.shape, a.metadata.zarr_format, dict(a.metadata.attributes)
    made((2, 3, 4), "u1").info is None
    repr(made((2, 3, 4), "u1"))[:7], "shape=(2, 3, 4) dtype=uint8" in repr(made((2, 3, 4), "u1"))
    made(4).nonsense
    hash(made(4))
    a = made(5); a == lib.open_array(a.store)
    import pickle; a = lib.create_array(str(tmp), data=np.arange(99), chunks=(10,), zarr_format=form); \
        b = pickle.loads(pickle.dumps(a)); [a == b, b[...]]

    [made(10, chunks=c).chunks for c in ((10,), (5,), (3,), 4)]
    [made((10, 12, 15), chunks=c).chunks for c in ((3, 4, 5), (10, 12, 15), (7, 3, 2))]
    [made(100).chunks, made(np.int64(7)).shape, made(()).chunks]
    made((5, 5), chunks=(2,))
    made((-1, 100))
    made(None)
    made(None, None)
    made((10, 10), None)
    made(10, chunks=(1,), chunk_key_encoding={"name": "v2", "separator": "."})[...]
    made(10, chunks=(1,), chunk_key_encoding={"name": "v2", "separator": "/"})[...]
    made(10, chunks=(1,), chunk_key_encoding={"name": "default", "separator": "."})
    made(10, chunks=(1,), chunk_key_encoding={"name": "invalid", "separator": "."})
    made(10, dimension_names=["test"])
    made(10, dimension_names=["test", "x"])
    made(10, chunks=(5,), shards=(10,))
    made(10, nonsense=1)
    made(5, compressors={"name": "gzip", "configuration": {"level": 99}}, zarr_format=3)
    [len(made(12, "u1", compressors=c, zarr_format=3).compressors) for z in [{"name": "zstd", "configuration": {}}] \
        for c in ("auto", None, (), [], z, (z,), (z, {"name": "gzip", "configuration": {"level": 0}}))]
    [len(made(12, "u1", filters=f, zarr_format=3).filters) for t in [{"name": "transpose", \
        "configuration": {"order": [0]}}] \
        for f in ("auto", None, (), t, (t,), (t, t))]
    from numcodecs import Zstd, GZip; [(len(a.filters), len(a.compressors)) \
        for d in ("u1", "f4", "U10", "S10", ">M8[10s]") for c in ("auto", None, Zstd(level=3), (), (Zstd(level=3),)) \
        for f in ("auto", None, GZip(level=1), (GZip(level=1),)) for a in [made(9, d, compressors=c, filters=f, \
        zarr_format=2)]]

    lib.create_array(kept, name="foo", data=np.arange(10), zarr_format=form)[...]
    lib.create_array(kept, data=np.arange(10), shape=(10,), zarr_format=form)
    lib.create_array(kept, data=np.arange(10), shape=(10,), dtype="i8", zarr_format=form)
    lib.create_array(kept, data=np.arange(10), dtype="i8", zarr_format=form)
    lib.create_array(kept, data=np.arange(10), write_data=False, fill_value=3, zarr_format=form)[...]
    [(a.shape, a.ndim, a.nchunks, a.chunks) for v in (1, 1.4, np.array(1)) for a in [lib.array(v, zarr_format=form)]]
    [lib.array(v, zarr_format=form)[()] for v in (1, 1.4, np.array(1))]
    [lib.create_array({}, data=np.ones((2, 3)), order=o, zarr_format=2).metadata.order for o in ("C", "F", None)]
    lib.ones(3, store=str(tmp), zarr_format=form); lib.open_array(str(tmp), mode="r").read_only

    a = lib.create_array(kept, shape=5, dtype="f8", zarr_format=form); a.attrs["foo"] = "bar"; \
        a.attrs["foo"], dict(lib.open_array(kept).attrs)
    a = made(5, attributes={"a": 1}); a.update_attributes({"b": [1, None]}); dict(a.attrs)
    a = made(5, attributes={"a": 1, "b": 2}); del a.attrs["a"]; dict(a.attrs), "a" in a.attrs, len(a.attrs)
    a = made(5, attributes={"a": 1}); a.attrs.update({"b": 2}); a.attrs.put({"c": 3}); dict(a.attrs)
    made(5, attributes={"a": {"deep": [1.5, "ż"]}}).attrs.asdict()
    made(5).attrs["none"]

    a = put(made((10, 10), chunks=(5, 5)), ..., 1); a.resize((20, 5)); [a[...], a.nchunks_initialized]
    a = put(made(20, chunks=(5,)), ..., np.arange(20)); a.resize(30); b = a[...]; a.resize((10,)); \
        [b, a[...], a.chunks]
    a = put(made((4, 6), chunks=(3, 4)), ..., 1); a.shape = (2, 2); a[...]
    a = made((4, 4)); a.resize((-1, 4))
    a = lib.create_array({}, data=np.arange(105), chunks=(10,), zarr_format=form); \
        [a.append(np.arange(105, 205)), a.append([1, 2, 3]), a[:], a.chunks]
    a = lib.create_array({}, data=np.ones((12, 5)), chunks=(5, 2), zarr_format=form); \
        [a.append(np.zeros((3, 5))), a.append(np.zeros((15, 2)), axis=1), a[...]]
    made(100).append(np.arange(100).reshape(10, 10))
    made((12, 5)).append(np.ones((3, 4)))
    made((12, 5)).append(np.ones((3, 5)), axis=2)

    a = made(2, chunks=(1,), fill_value=5); [put(a, ..., v).nchunks_initialized for v in (6, 5)]
    [put(made(2, d, chunks=(1,), fill_value=f), ..., -f).nchunks_initialized for d in ("f4", "f2") for f in (0.0, \
        -0.0)]
    a = lib.array(np.arange(4), zarr_format=form); [np.asarray(a), np.add(a, 1), a[...] + 1]
"""
"""What both do alike, a call a line."""

TAKEN = '`data=[[1, 2]]`, `chunks=True`, `compressors="gzip"`, `serializer="bytes"`'
ARGUMENTS = "arguments that are no shape, data type, fill value, codec or JSON"
NATIVE = "`a.dtype` of elements stored in big-endian order"
IN_THE_WAY = "a node is in the way"
FORMATS = '`zarr_format=5`, `"3.0"`'
BACK = "`resize` to less, then to more"
BOTH = "a node of either format in one place"

OTHERWISE = [
    Call(
        'root().create_array("x", shape=2, dtype="u1"); lib.create_array(kept, name="x", shape=2, dtype="f4")',
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        'root().create_group("x"); lib.create_array(kept, name="x", shape=2, dtype="f4")',
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        "lib.create_array(kept, shape=2, dtype='i4', zarr_format=2); sorted(kept)", "an empty `.zattrs`", "['.zarray']"
    ),
    Call("made(5, 'i1', fill_value=1000)", ARGUMENTS, "error('ValueError')"),
    Call("made(5, 'f4', fill_value=[1])", ARGUMENTS, "error('ValueError')"),
    Call("made(5, 'nonsense')", ARGUMENTS, "error('ValueError')"),
    Call("made((400.5, 100))", ARGUMENTS, "error('ValueError')"),
    Call("made((400, 100), chunks=(16, 16.5))", ARGUMENTS, "error('ValueError')"),
    Call("made('abc')", ARGUMENTS, "error('ValueError')"),
    Call("made((4, 4)).resize((2.5, 4))", ARGUMENTS, "error('ValueError')"),
    Call("a = made(5); a.attrs['x'] = object()", ARGUMENTS, "error('ValueError')"),
    Call("made(5, compressors='nonsense')", ARGUMENTS, "error('LookupError')"),
    Call("made(5, zarr_format=5)", FORMATS, "error('ValueError')"),
    Call("made(5, zarr_format='3.0')", FORMATS, "error('ValueError')"),
    Call(
        "a = put(made(10, chunks=(4,)), ..., 1); a.resize(6); a.resize(9); a[...]",
        BACK,
        "np.array([1] * 6 + [0] * 3, 'i4')",
    ),
    Call(
        "a = put(made((5, 5), chunks=(4, 4)), ..., 1); a.resize((2, 2)); a.resize((3, 3)); a[...]",
        BACK,
        "np.pad(np.ones((2, 2), 'i4'), (0, 1))",
    ),
    Call("made((12, 5)).append(np.ones((3, 5)), axis=-2)", "`append(…, axis=-1)`", "(15, 5)"),
    Call("made(5, '>i4').dtype.str", NATIVE, "'<i4'"),
    Call("made(5, '>u2')[...].dtype.str", NATIVE, "'<u2'"),
    Call("made(10, chunks=True).chunks", TAKEN, "(10,)"),
    Call("lib.create_array(kept, data=[[1, 2], [3, 4]], zarr_format=form)[...]", TAKEN, "np.array([[1, 2], [3, 4]])"),
    Call("made(10, serializer='bytes', zarr_format=3)[...]", TAKEN, "np.zeros(10, 'i4')"),
    Call("len(made(10, compressors='gzip').compressors)", TAKEN, "1"),
    Call(
        "[lib.create_array({}, data=np.array(v), zarr_format=form)[...] for v in (1, 'a', b'a')]",
        "`a[0, 0, ...]`; `a[...]` without dimensions",
        "[np.array(1), np.array('a'), np.array(b'a')]",
    ),
    Call(
        "lib.create_array({}, data=np.ones((2, 3)), order='F', zarr_format=2)[...].flags.f_contiguous",
        '`order="F"` in format 2',
        "False",
    ),
    Call(
        "lib.open_array(str(tmp), mode='w', shape=5, dtype='i4', zarr_format=form); "
        "lib.open_array(str(tmp), mode='r')[0:2] = 5",
        "a store that is open for reading is written to",
        "error('OSError')",
    ),
    Call(
        "lib.create_array(kept, shape=3, dtype='u1', zarr_format=3); "
        "lib.create_array(kept, shape=4, dtype='u1', zarr_format=2)",
        BOTH,
        "error('FileExistsError')",
    ),
    Call("made(10, chunks=(0,))", since="3.4"),
    Call("[made(10, chunks=c).chunks for c in (-1, (-1,))]", since="3.4"),
    Call("[made((10, 12, 15), chunks=c).chunks for c in (-1, (-1, 4, -1))]", since="3.4"),
    Call("made((10, 12, 15), chunks=5).chunks", since="3.4"),
    Call("made((4, 4)).resize((3, 3, 3))", since="3.4"),
    Call("a = made(4); a.shape = (2, 2)", since="3.4"),
]
"""What gpuzarr does otherwise on purpose, and what older versions of zarr-python do."""


@in_formats(calls(SAME) + OTHERWISE)
def test_arrays(call: Call, zarr_format: int, tmp_path: Path) -> None:
    check_in(call, zarr_format, tmp_path)


@pytest.mark.parametrize("fill", [np.nan * 1j, np.nan, np.inf, np.inf * 1j, -np.inf])
def test_complex_fill_values_keep_every_bit(fill: complex, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = gpuzarr.create_array(tmp_path, shape=1, dtype="c8", fill_value=fill)
    for found in (array, gpuzarr.open_array(tmp_path), zarr.open_array(str(tmp_path), mode="r")):
        assert_same(found[...], np.full(1, fill, "c8"))


def test_whole_chunks_are_written_without_reading_them() -> None:
    kept = Counting()
    array = gpuzarr.create_array(kept, shape=(20, 21), chunks=(1, 2), dtype=int, fill_value=-1)
    for wanted in np.s_[0, 4:10], np.s_[0, :], np.s_[:]:
        for value in (1, 2):
            kept.forget()
            array[wanted] = value
            assert kept.read == []


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("source", ["NumPy", "gpuzarr"])
def test_making_an_array_of_values_reads_no_chunk(shards: int, source: str) -> None:
    data = np.arange(100 * shards) if source == "NumPy" else gpuzarr.ones(100 * shards)
    kept = Counting()
    gpuzarr.create_array(kept, data=data, chunks=(1,), shards=(100,), fill_value=-1)
    assert {*kept.read} <= {"zarr.json", ".zarray", ".zgroup"}
    assert sorted(kept.written) == [*(f"c/{k}" for k in range(shards)), "zarr.json"]
