"""Random arrays, the ways they are stored, and selections of them: what the tests of indexing draw from.

Shapes are small and borders many: what can go wrong goes wrong at a chunk's edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.execute import work, write

Model = NDArray[Any]
Shape = tuple[int, ...]

PYTHON = gpuzarr.Executor(threads=1, native=False)
THREADS = gpuzarr.Executor(threads=3, native=False)
NATIVE = gpuzarr.Executor(threads=1)
NATIVE_THREADS = gpuzarr.Executor(threads=3)
EXECUTORS = (PYTHON, THREADS, NATIVE, NATIVE_THREADS)

V3_DTYPES = ("bool", "int8", "uint16", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64", "V3")
V2_DTYPES = (
    *("?", "<i2", ">i2", "<u4", ">u8", "<f4", ">f8", ">c8", "<c16", "S3", "<U2", ">U2"),
    *("<M8[s]", ">M8[ns]", "<m8[D]", "V5"),
    [("x", "<i2"), ("y", ">f4"), ("name", "S2")],
    [("a", "|u1"), ("in", [("b", "<f8"), ("c", "<i2", (2,))])],
)


# ---- values --------------------------------------------------------------------------------------------------


def random_values(rng: np.random.Generator, shape: Shape, dtype: Any) -> Model:
    """Values of any data type, many of them zero."""
    dtype = np.dtype(dtype)
    out: Model = np.zeros(shape, dtype)
    if dtype.names is not None:
        for name in dtype.names:
            sub = dtype[name]
            out[name] = random_values(rng, (*shape, *sub.shape), sub.base)
    elif dtype.kind in "SU":
        out[...] = rng.choice(np.array(["", "a", "zé" if dtype.kind == "U" else "zz", "xyz"]), shape).astype(dtype)
    elif dtype.kind == "V":
        raw = rng.integers(0, 3, (*shape, dtype.itemsize), np.uint8)
        out = np.ascontiguousarray(raw).view(dtype).reshape(shape)
    elif dtype.kind in "fc":
        out[...] = rng.choice(np.array([0, -0.0, 1.5, -3, np.nan, np.inf]), shape)
    else:
        out[...] = rng.integers(0, 5, shape).astype(dtype)
    return out


def native_order(dtype: Any) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("=")


def assert_same(found: Any, wanted: Any) -> None:
    """Shape, data type and every bit; a scalar where NumPy gives a scalar."""
    assert isinstance(found, np.ndarray) == isinstance(wanted, np.ndarray)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    for name in found.dtype.names or ():  # one by one: between them there may be bytes of no meaning
        assert_same(np.asarray(found[name]), np.asarray(wanted[name]))
    if found.dtype.names is None:
        assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes()


# ---- arrays --------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """How an array is made and stored."""

    shape: Shape
    dtype: Any
    how: dict[str, Any] = field(default_factory=dict)
    local: bool = False
    seed: int = 0

    def values(self) -> Model:
        return random_values(np.random.default_rng(self.seed), self.shape, native_order(self.dtype))

    @contextmanager
    def store(self) -> Iterator[Any]:
        """Where the array is to be made."""
        with TemporaryDirectory() if self.local else nullcontext({}) as where:
            yield where

    def make(self, where: Any, executor: gpuzarr.Executor = NATIVE, **how: Any) -> gpuzarr.Array:
        given = {"shape": self.shape, "dtype": self.dtype, **self.how, **how}
        return gpuzarr.create_array(where, executor=executor, **given)

    @contextmanager
    def filled(self, executor: gpuzarr.Executor = NATIVE) -> Iterator[tuple[gpuzarr.Array, Model]]:
        """The array with values in it, and the values."""
        with self.store() as where:
            array, model = self.make(where, executor), self.values()
            array[...] = model
            yield array, model


@st.composite
def cases(draw: st.DrawFn, ndim: Any = None, dtypes: Any = None) -> Case:
    """Arrays of 0 to 4 dimensions, some of no elements, of both formats, in chunks and in shards of all kinds."""
    ndim = draw(st.integers(0, 4)) if ndim is None else draw(ndim)
    most = (None, 24, 12, 8, 5)[ndim] if ndim else 1
    shape = tuple(draw(st.lists(st.integers(0, most) | st.integers(2, most), min_size=ndim, max_size=ndim)))
    chunks = tuple(draw(st.integers(1, max(2, n))) for n in shape)
    format2 = draw(st.booleans())
    dtype = draw(st.sampled_from(dtypes or (V2_DTYPES if format2 else V3_DTYPES)))
    how = draw(_format2(chunks) if format2 else _format3(chunks))
    return Case(shape, dtype, how, draw(st.booleans()), draw(st.integers(0, 99)))


def _format2(chunks: Shape) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.sampled_from([None, {"id": "zlib", "level": 1}, {"id": "lz4"}, {"id": "blosc"}, "auto"])
    return st.fixed_dictionaries(
        {
            "zarr_format": st.just(2),
            "chunks": st.just(chunks),
            "order": st.sampled_from("CF"),
            "compressors": lists,
            "chunk_key_encoding": st.sampled_from("./"),
        }
    )


COMPRESSORS = (
    [],
    ["crc32c"],
    [{"name": "gzip", "configuration": {"level": 1}}],
    [{"name": "blosc", "configuration": {"cname": "lz4"}}],
    [{"name": "zstd", "configuration": {"level": 1}}, "crc32c"],
)


@st.composite
def _format3(draw: st.DrawFn, chunks: Shape) -> dict[str, Any]:
    *filters, serializer, compressors = draw(codec_chains(chunks, draw(st.integers(0, 2))))
    keys = draw(st.sampled_from([None, {"name": "v2", "separator": "."}, "."]))
    # Chunks are multiples of what the innermost level of shards is cut into: they are made from inside out.
    return {
        "chunks": serializer["shape"],
        "filters": filters,
        "serializer": serializer["codec"],
        "compressors": compressors,
        "chunk_key_encoding": keys,
    }


@st.composite
def codec_chains(draw: st.DrawFn, chunk: Shape, nesting: int) -> list[Any]:
    """Filters, a serializer (the codec, and the shape in the array's order of what it takes), compressors."""
    order = draw(st.none() | st.permutations(range(len(chunk))))
    filters = [] if order is None else [{"name": "transpose", "configuration": {"order": list(order)}}]
    shape = chunk
    if nesting:
        inner = chunk if order is None else tuple(chunk[k] for k in order)
        *before, last, after = draw(codec_chains(inner, nesting - 1))
        inner = last["shape"]
        grid = draw(st.lists(st.integers(1, 3), min_size=len(chunk), max_size=len(chunk)))
        stored = tuple(n * g for n, g in zip(inner, grid, strict=True))
        shape = stored if order is None else tuple(stored[order.index(k)] for k in range(len(order)))
        index = draw(st.sampled_from([["bytes", "crc32c"], [_bytes("big")]]))
        index = [_bytes("little") if c == "bytes" else c for c in index]
        configuration = {
            "chunk_shape": list(inner),
            "codecs": [*before, last["codec"], *map(_named, after)],
            "index_codecs": [_named(c) for c in index],
            "index_location": draw(st.sampled_from(["start", "end"])),
        }
        codec: dict[str, Any] = {"name": "sharding_indexed", "configuration": configuration}
        compressors = draw(st.sampled_from([[], [], ["crc32c"]]))
    else:
        codec = _bytes(draw(st.sampled_from(["little", "big"])))
        compressors = draw(st.sampled_from(COMPRESSORS))
    return [*filters, {"codec": codec, "shape": shape}, compressors]


def _bytes(endian: str) -> dict[str, Any]:
    return {"name": "bytes", "configuration": {"endian": endian}}


def _named(codec: Any) -> dict[str, Any]:
    return {"name": codec, "configuration": {}} if isinstance(codec, str) else codec


@contextmanager
def small_runs() -> Iterator[None]:
    """Work is handed to threads a few rows at a time, and shards are assembled one by one or as they are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "RUN", 1)
        patch.setattr(write, "RUN", 1)
        patch.setattr(write, "SLAB", 1)
        patch.setattr(write, "WINDOW", 1)
        patch.setattr(write, "STREAMED", 1)
        yield


# ---- selections ----------------------------------------------------------------------------------------------


def slices(n: int) -> st.SearchStrategy[slice]:
    """Any slice of an axis of n elements, borders outside it and steps of both signs included."""
    edge = st.none() | st.integers(-n - 2, n + 2)
    step = st.none() | st.integers(1, n + 2) | st.integers(-n - 2, -1) | st.just(1)
    return st.builds(slice, edge, edge, step)


def integers(n: int) -> st.SearchStrategy[Any]:
    """A position on an axis of n elements, from either end, as a Python or a NumPy integer."""
    return st.integers(-n, n - 1).flatmap(lambda i: st.sampled_from([i, np.int64(i), np.array(i)]))


def items(n: int) -> st.SearchStrategy[Any]:
    return slices(n) | integers(n) if n else slices(n)


@st.composite
def basic(draw: st.DrawFn, shape: Shape) -> Any:
    """Basic indexing: integers, slices, perhaps an Ellipsis, perhaps fewer of them than axes."""
    return _shortened(draw, [draw(items(n)) for n in shape])


def _shortened(draw: st.DrawFn, chosen: list[Any]) -> Any:
    kind = draw(st.sampled_from(["whole", "whole", "first", "dots"]))
    if kind == "first":
        chosen = chosen[: draw(st.integers(0, len(chosen)))]
    elif kind == "dots":
        start = draw(st.integers(0, len(chosen)))
        chosen[start : draw(st.integers(start, len(chosen)))] = [...]
    return chosen[0] if len(chosen) == 1 and draw(st.booleans()) else tuple(chosen)


def positions(n: int) -> st.SearchStrategy[Any]:
    """An array or a list of positions, in any order, some of them twice; or a mask of the axis."""
    some = st.lists(st.integers(-n, n - 1), max_size=6) if n else st.just([])
    arrays = some.map(lambda v: np.array(v, np.int64)) | some.filter(len).map(lambda v: np.array(v, np.int8))
    masks = st.lists(st.booleans(), min_size=n, max_size=n).map(lambda v: np.array(v, bool))
    return some | arrays | masks


@st.composite
def orthogonal(draw: st.DrawFn, shape: Shape) -> Any:
    """Orthogonal indexing: every axis by itself."""
    return _shortened(draw, [draw(positions(n) | items(n)) for n in shape])


def orthogonal_of(model: Model, wanted: Any) -> tuple[tuple[NDArray[Any], ...], Shape]:
    """What an orthogonal selection means, in NumPy: the index of an open mesh, and the result's shape."""
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    missing = model.ndim - sum(item is not ... for item in wanted)
    whole = [slice(None)] * missing
    at = next((k for k, item in enumerate(wanted) if item is ...), len(wanted))
    full = [*wanted[:at], *whole, *wanted[at + 1 :]]
    along, shape = [], []
    for item, n in zip(full, model.shape, strict=True):
        single = np.ndim(item) == 0 and not isinstance(item, slice)
        found = np.arange(n)[np.asarray(item, np.int64) if isinstance(item, list) else item].reshape(-1)
        along.append(found)
        shape += [] if single else [len(found)]
    return np.ix_(*along), tuple(shape)


@st.composite
def one_array(draw: st.DrawFn, shape: Shape) -> Any:
    """Slices, with an array of integers or a mask among them."""
    chosen: list[Any] = [draw(slices(n)) for n in shape]
    if chosen:
        at = draw(st.integers(0, len(shape) - 1))
        chosen[at] = draw(positions(shape[at]))
    return tuple(chosen)


@st.composite
def coordinates(draw: st.DrawFn, shape: Shape) -> Any:
    """Points: arrays of integers that broadcast, one an axis; or a mask. For arrays of at least one dimension."""
    if draw(st.booleans()):
        mask = draw(st.integers(0, 99))
        return np.random.default_rng(mask).random(shape) < 0.3
    full = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    if 0 in shape:
        full = (0, *full[1:])
    found = []
    for n in shape:
        own = full
        if 0 not in full:
            rest = full[draw(st.integers(0, len(full))) :]
            own = tuple(draw(st.sampled_from([size, size, 1])) for size in rest)
        size = math.prod(own)
        values = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size)) if n else []
        found.append(np.array(values, np.int64).reshape(own))
    if len(shape) == 1:
        return found[0]
    return tuple(item.tolist() if draw(st.booleans()) and item.size and item.ndim else item for item in found)


def values_for(draw: Callable[[Any], Any], shape: Shape, dtype: np.dtype[Any]) -> Any:
    """Values that broadcast to a shape: of it, with axes of length 1, with fewer axes, or a single one."""
    cut = draw(st.integers(0, len(shape))) if draw(st.booleans()) else 0
    own = tuple(1 if draw(st.sampled_from([False, False, True])) else n for n in shape[cut:])
    if not draw(st.integers(0, 4)):
        own = (1, *((1,) * cut), *own)
    return random_values(np.random.default_rng(draw(st.integers(0, 99))), own, dtype)
