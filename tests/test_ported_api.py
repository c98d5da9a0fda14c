"""The functions of the package as zarr-python's own tests have them (its tests/test_api.py), and all its names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ported import PAGE, Call, calls, check_in, in_formats
from strategies import assert_same

import gpuzarr

SAME = """
    lib.open(kept, shape=100, dtype="f8", zarr_format=form)
    lib.open(kept, shape=100, zarr_format=form)
    lib.open(kept, shape=200, zarr_format=form); lib.open(kept).shape
    lib.open_group(kept, attributes={"key": "value"}, zarr_format=form); dict(lib.open(kept).attrs)
    [lib.open_group({}, path=p).path for p in ("foo", "/", "/foo", "///foo/bar")]
    [lib.create_array({}, name=p, shape=2, dtype="u1").path for p in ("foo", "/", "/foo", "///foo/bar")]

    lib.ones(store=str(tmp), shape=(3, 3), zarr_format=form); a = lib.open(str(tmp), mode="r"); \
        [a.fill_value, a[:], a.read_only]
    lib.ones(store=str(tmp), shape=(3, 3), zarr_format=form); put(lib.open(str(tmp), mode="r+"), ..., 3); \
        lib.open_array(str(tmp))[...]
    sorted(lib.open(str(tmp), mode="a", zarr_format=form))
    put(lib.open(str(tmp), mode="a", shape=(3, 3), zarr_format=form), ..., 1); lib.open(str(tmp), mode="a")[...]
    put(lib.open(str(tmp), mode="w", shape=(3, 3)), ..., 3); \
        lib.open(str(tmp), mode="w", shape=(3, 3), zarr_format=form)[...]
    lib.open(str(tmp), mode="w-", shape=(3, 3), zarr_format=form); lib.open(str(tmp), mode="w-")
    lib.open(str(tmp), mode="w-", shape=(3, 3), zarr_format=form); lib.open(str(tmp), mode="w-", shape=(3, 3))
    lib.open(str(tmp / "g"), mode="w", zarr_format=form)
    lib.open(str(tmp / "none"), mode="r")
    lib.open(str(tmp / "none"), mode="r+")
    lib.open_array(str(tmp / "none"), mode="r")
    lib.open_array(str(tmp / "none"), mode="r+")
    lib.open_array(kept, zarr_format=form)
    lib.open_array(kept, mode="r+", zarr_format=form)
    lib.open_group(str(tmp / "none"), mode="r")
    lib.open_group(kept, mode="r+")
    lib.open(kept, path="nope", mode="r+")
    lib.open_array(kept, mode="w", shape=4, dtype="i4", zarr_format=form)[:] = 1; \
        lib.open_array(kept, mode="w", shape=5, dtype="i4", zarr_format=form)[...]
    lib.open_array(kept, mode="w-", shape=4, dtype="i4", zarr_format=form); lib.open_array(kept, mode="w-", shape=4)
    lib.open_group(kept, zarr_format=form).create_group("foo"); g = lib.open_group(kept); \
        h = lib.open_group(kept, mode="w"); \
        ["foo" in g, "foo" in h]
    lib.open_group(kept, mode="w-", zarr_format=form); lib.open_group(kept, mode="w-")
    lib.open_group(str(tmp), mode="w", attributes={"a": 1}, zarr_format=form); \
        [dict(lib.open_group(str(tmp), mode=m).attrs) for m in ("r", "r+", "a")]
    lib.open_group(kept, attributes={"a": 1}, zarr_format=form); dict(lib.open_group(kept, attributes={"b": 2}).attrs)
    lib.open_group(kept, zarr_format="3.0")
    lib.open_array(kept, shape=1, zarr_format="3.0")

    lib.create_group(kept, path="node", attributes={"foo": 100}, zarr_format=form).attrs.asdict()
    a = lib.create_array(kept, name="foo", shape=(9, 9), attributes={"foo": 1}, chunks=(9, 9), dtype="u1", \
        zarr_format=form); \
        [dict(a.attrs), put(a, ..., 1)[...]]
    lib.create_array(str(tmp), name="../x", shape=2, dtype="u1")
    lib.create_array(str(tmp), name="a/../x", shape=2, dtype="u1")
    lib.create_array(kept, shape=2, dtype="i4", zarr_format=2, compressors=None).compressors
    from numcodecs import Blosc; lib.create_array(kept, shape=2, dtype="i4", zarr_format=2, compressors=Blosc())[...]

    lib.save(kept)
    lib.save(kept, np.arange(3), zarr_format=form); lib.open(kept)[...]
    lib.save(kept, np.arange(3), path="p", zarr_format=form); lib.open(kept, path="p")[...]
    lib.save(kept, *[np.arange(10)] * 10, path="p", **{f"arg_{k}": np.arange(10) for k in range(10)}, \
        zarr_format=form); \
        g = lib.open(kept, path="p"); [sorted(g.array_keys()), g.nmembers(), *(a[...] for _, a in g.arrays())]
    lib.save(kept, np.arange(3), np.arange(4), zarr_format=form); \
        [lib.load(kept, path="arr_0"), lib.load(kept, path="arr_1")]
    lib.save(kept, np.arange(3), x=np.arange(4), path="g", zarr_format=form); \
        sorted(lib.open(kept, path="g").array_keys())
    lib.save(kept, x=np.arange(4), zarr_format=form); [sorted(lib.open(kept)), lib.load(kept, path="x")]
    lib.save(kept, np.arange(3), mode="w")
    lib.save(kept, mode="w")
    lib.save(str(tmp / "a.zip"), np.arange(6).reshape(2, 3)); lib.load(str(tmp / "a.zip"))
    lib.save(str(tmp / "a.zip"), np.arange(6).reshape(2, 3), path="data"); lib.load(str(tmp / "a.zip"), path="data")
    lib.save(str(tmp / "a"), np.arange(6).reshape(2, 3), path="data"); lib.load(str(tmp / "a"), path="data")

    [(a.shape, a.dtype.str, a.fill_value) for f in (lib.zeros, lib.ones, lib.empty) for a in [f((2, 3), \
        zarr_format=form)]]
    [f((2, 3), zarr_format=form)[...] for f in (lib.zeros, lib.ones)]
    [lib.full((2,), fill_value=1.5, zarr_format=form)[...], lib.full(shape=(2,), fill_value=7, dtype="i2", \
        zarr_format=form)[...]]
    m = made((11, 12), "u1", chunks=(4, 5)); [(a.shape, a.chunks, a.dtype.str, a[...]) for a in (\
        lib.zeros_like(m, shape=(10, 10), zarr_format=form), lib.ones_like(m, chunks=(10, 10), zarr_format=form), \
        lib.full_like(m, fill_value=4, dtype="i1", zarr_format=form), \
        lib.zeros_like(m, shape=(10, 10), chunks=(10, 10), dtype="i1", zarr_format=form))]
    [(a.shape, a.dtype.str, a[...]) for a in (lib.zeros_like(np.ones((2, 2), "i2")), lib.ones_like(np.zeros(3, \
        "f4")), \
        lib.full_like(np.zeros(3, "f4"), fill_value=2))]
    lib.array([1, 2, 3], zarr_format=form)[...]
    lib.array([[1.5, 2], [3, 4]], dtype="f4", zarr_format=form)[...]
    lib.array(np.arange(6).reshape(2, 3), chunks=(1, 2), zarr_format=form).chunks
    lib.array(np.arange(6), store=kept, path="a/b", zarr_format=form).path
    type(lib.__version__).__name__
"""
"""What both do alike, a call a line."""

NO_STORE = "what is no store"
FULL = "`full((2,), 7)`"
OPENS = "`open_array(store, shape=…)` without a mode"
LOAD = "`load` of a group, of nothing"

OTHERWISE = [
    Call(
        "lib.open_array(kept, shape=4, dtype='i4', fill_value=3, zarr_format=form)[...]", OPENS, "np.full(4, 3, 'i4')"
    ),
    Call("lib.open_array(kept, shape=4, zarr_format=form).dtype.str", OPENS, "'<f8'"),
    Call("root(); lib.create_array(kept, shape=10, dtype='u1')", "a node is in the way", "error('FileExistsError')"),
    Call(
        "lib.save(kept, np.arange(3)); lib.save(kept, np.arange(4)); lib.load(kept)",
        "`save` where something is",
        "np.arange(4)",
    ),
    Call("lib.load(kept)", LOAD, "error('KeyError')"),
    Call(
        "lib.save(kept, np.arange(3), np.arange(2)); lib.load(kept)",
        LOAD,
        "{'arr_0': np.arange(3), 'arr_1': np.arange(2)}",
    ),
    Call("lib.full((2, 3), 7, zarr_format=form)[...]", FULL, "np.full((2, 3), 7)"),
    Call("lib.full((2,), 'text', zarr_format=form)[...]", FULL, "np.full(2, 'text')"),
    Call(
        "m = made(8, chunks=(2,), shards=(4,), zarr_format=3); a = lib.zeros_like(m); a.chunks, a.shards",
        "`zeros_like(a)` where `a` has shards",
        "((2,), (4,))",
    ),
    Call("lib.open(5)", NO_STORE, "error('NotImplementedError')"),
    Call("lib.open_group(5)", NO_STORE, "error('NotImplementedError')"),
    Call(
        "lib.ones(3, store=str(tmp)); lib.open(str(tmp), mode='r')[:] = 3",
        "a store that is open for reading is written to",
        "error('OSError')",
    ),
    Call(
        "lib.load(kept if lib.save(kept, np.array(42), zarr_format=form) is None else 0)",
        "`a[0, 0, ...]`; `a[...]` without dimensions",
        "np.array(42)",
    ),
    Call(
        "[(a.shape, a.fill_value) for m in [made((11, 12), 'u1', "
        "fill_value=9)] for a in (lib.zeros_like(m), lib.ones_like(m))]",
        since="3.4",
    ),
    Call(
        "a = lib.empty_like(made((11, 12), 'u1', chunks=(4, 5), fill_value=9)); a.shape, a.chunks, a.fill_value",
        since="3.4",
    ),
    Call(
        "a = lib.full_like(made((11, 12), 'u1', chunks=(4, 5), fill_value=9)); a.shape, a.chunks, a.fill_value",
        since="3.4",
    ),
    Call(
        "a = lib.zeros_like(made(8, compressors=None, attributes={'a': 1})); len(a.compressors), dict(a.attrs)",
        since="3.4",
    ),
    Call("lib.open(kept, mode='x')", since="3.4"),
    Call("lib.open_array(kept, mode='x', shape=4, dtype='i4')", since="3.4"),
    Call("lib.open_group(kept, mode='x')", since="3.4"),
    Call("lib.create_group(kept, zarr_format=4)", since="3.4"),
]
"""What gpuzarr does otherwise on purpose, and what older versions of zarr-python do."""


@in_formats(calls(SAME) + OTHERWISE)
def test_functions(call: Call, zarr_format: int, tmp_path: Path) -> None:
    check_in(call, zarr_format, tmp_path)


# ---- names ---------------------------------------------------------------------------------------------------


def public(thing: Any) -> set[str]:
    return {name for name in getattr(thing, "__all__", dir(thing)) if not name.startswith("_")}


def absent(zarr: Any) -> Iterator[str]:
    """Public names of zarr-python, and arguments of its functions and methods, that gpuzarr has not."""
    for theirs, ours in ((zarr, gpuzarr), (zarr.Array, gpuzarr.Array), (zarr.Group, gpuzarr.Group)):
        yield from sorted(public(theirs) - public(ours))
        for name in sorted(public(theirs) & public(ours)):
            function = getattr(theirs, name)
            if inspect.isfunction(function):
                known = inspect.signature(getattr(ours, name)).parameters
                taken = {*known, *(gpuzarr.create.ARGUMENTS if "how" in known or "options" in known else ())}
                yield from (f"{a}=" for a in inspect.signature(function).parameters if a not in taken)


NOT_NAMES = {"args=", "kwargs=", "cache_attrs=", "chunk_store=", "synchronizer=", "new_shape=", "meta_array="}
"""Stars, what zarr-python itself ignores, and what is given by its place."""


def test_every_public_name_of_zarr_python_that_is_not_there_is_documented() -> None:
    zarr = pytest.importorskip("zarr")
    words = {*re.findall(r"[\w.]+=?", PAGE), *(w.rpartition(".")[2] for w in re.findall(r"[\w.]+", PAGE))}
    found = {*absent(zarr)} - NOT_NAMES
    assert sorted(name for name in found if name not in words) == []
    assert len(found) > 40


def test_text_is_no_array_to_save() -> None:
    kept: dict[str, bytes] = {}
    with pytest.raises(TypeError, match="mode= is text"):
        gpuzarr.save(kept, np.arange(3), mode="w")
    assert kept == {}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_like_another_is_encoded_as_it_is(zarr_format: int) -> None:
    codecs = ["gzip"] if zarr_format == 3 else "zlib"
    model = gpuzarr.create_array(
        {}, shape=(6, 4), dtype="f4", chunks=(2, 3), compressors=codecs, fill_value=7, zarr_format=zarr_format
    )
    for make in (gpuzarr.empty_like, gpuzarr.zeros_like, gpuzarr.ones_like, gpuzarr.full_like):
        assert make(model).compressors == model.compressors
        assert make(model, zarr_format=5 - zarr_format).zarr_format == 5 - zarr_format
        assert make(model, dtype="i2").dtype == np.int16
    assert_same(gpuzarr.full_like(model)[...], np.full((6, 4), 7, "f4"))
    assert_same(gpuzarr.full_like(model, 8)[...], np.full((6, 4), 8, "f4"))
    sharded = gpuzarr.create_array({}, shape=8, dtype="i4", chunks=(2,), shards=(4,))
    assert gpuzarr.ones_like(sharded, chunks=(8,)).shards is None


def test_opening_what_must_be_there_makes_nothing(tmp_path: Path) -> None:
    for mode in ("r", "r+"):
        for function in (gpuzarr.open, gpuzarr.open_array, gpuzarr.open_group):
            with pytest.raises(FileNotFoundError):
                function(tmp_path / "none", mode=mode)
    assert [*tmp_path.iterdir()] == []


def test_a_node_that_is_not_there_is_what_either_library_raises(tmp_path: Path) -> None:
    for error in (KeyError, FileNotFoundError, gpuzarr.errors.NodeNotFoundError):
        with pytest.raises(error):
            gpuzarr.open(tmp_path / "none", mode="r")
        with pytest.raises(error):
            gpuzarr.create_group({})["none"]
