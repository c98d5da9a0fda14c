"""Whatever happens to stored bytes, the outcome is a result or a GpuzarrError, and the same with and without native."""

from __future__ import annotations

import copy
import json
import math
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from specimens import CHECKED, NAMES, SHAPE, Specimen, specimen
from test_hostile import SHARD, contents, no_hang, put, with_index

import gpuzarr
from gpuzarr.errors import CodecError, GpuzarrError, StoreError

NATIVE = gpuzarr.Executor(threads=1)
PYTHON = gpuzarr.Executor(threads=1, native=False)

Outcome = tuple[str, Any]

__all__ = ["no_hang"]


# ---- damage --------------------------------------------------------------------------------------------------

INTERESTING = sorted(
    {0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 65535, 65536}
    | {2**k + d for k in (31, 32, 53, 62, 63, 64) for d in (-2, -1, 0, 1)}
)

numbers = st.sampled_from(INTERESTING) | st.integers(0, 600)


@st.composite
def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """A value with some of its bytes changed, added, removed or moved."""
    out = bytearray(value)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(out)))
        kind = draw(st.sampled_from(["bit", "byte", "cut", "skip", "insert", "remove", "u32", "u64", "repeat"]))
        if kind == "bit" and where < len(out):
            out[where] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and where < len(out):
            out[where] = draw(st.integers(0, 255))
        elif kind == "cut":
            del out[where:]
        elif kind == "skip":
            del out[:where]
        elif kind == "insert":
            out[where:where] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "remove":
            del out[where : where + draw(st.integers(1, 20))]
        elif kind in ("u32", "u64"):
            _overwrite(out, where, draw(numbers), 4 if kind == "u32" else 8)
        elif kind == "repeat":
            out += out[where : where + draw(st.integers(1, 300))]
    return bytes(out)


def _overwrite(out: bytearray, where: int, number: int, width: int) -> None:
    """Where a number may well be: at a multiple of its width from the beginning."""
    where = min(where // width * width, max(0, len(out) - width))
    out[where : where + width] = struct.pack("<Q", number % 2 ** (8 * width))[:width]


VALUES: list[Any] = [
    *(None, True, False, 1.5, -0.0, 1e308, math.inf, math.nan, "", "a", "NaN", "0x7fc00000", "é" * 100, "\0", "../.."),
    *("<u2", ">u2", "<f4", "|O", "|S5", "<U3", "<M8[ns]", "|V4", "uint16", "uint8", "float32", "bool", "int4"),
    *("r16", "complex64", "bytes", "zstd", "gzip", "crc32c", "C", "F", ".", "/", "default", "v2", "start", "end"),
    *([], {}, [1], [8, 8], [1, 0], [[1, 2]], [["a", "<u2"], ["b", "<f4"]], {"must_understand": False}),
    *({"name": n} for n in ("bytes", "zstd", "crc32c", "numcodecs.lz4", "transpose", "sharding_indexed", "rot13")),
    *({"id": n} for n in ("zlib", "delta", "pickle", "vlen-utf8", "packbits", "categorize")),
    {"id": "astype", "encode_dtype": "u1", "decode_dtype": "S1000000"},
    {"id": "shuffle", "elementsize": 0},
    {"id": "fixedscaleoffset", "dtype": "<u2", "astype": "<f8", "scale": 0, "offset": "?"},
    {"name": "numcodecs.lzma", "configuration": {"format": 3, "filters": [{"id": 33}]}},
]

MEMBERS = [
    *("name", "configuration", "id", "level", "shape", "chunks", "codecs", "fill_value", "attributes", "chunk_shape"),
    *("order", "separator", "must_understand", "filters", "compressor", "dimension_names", "typesize", "cname"),
    *("shuffle", "blocksize", "endian", "index_location", "index_codecs", "dtype", "astype", "checksum", "encrypted"),
]

values = st.sampled_from(VALUES) | st.sampled_from([*INTERESTING, -1, -(2**63), 10**40]) | st.integers(0, 40)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with every index in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for index, inside in items:
        yield value, index
        yield from places(inside)


@st.composite
def changed(draw: st.DrawFn, document: bytes) -> bytes:
    """A document with members replaced, removed, added, or put in the place of others."""
    root = json.loads(document)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(root))
        if not found:
            break
        container, index = draw(st.sampled_from(found))
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add", "copy"]))
        if kind == "replace":
            container[index] = copy.deepcopy(draw(values))
        elif kind == "remove":
            del container[index]
        elif kind == "add" and isinstance(container, dict):
            container[draw(st.sampled_from(MEMBERS))] = copy.deepcopy(draw(values))
        elif kind == "add":
            container.insert(index, copy.deepcopy(draw(values)))
        else:
            other, at = draw(st.sampled_from(found))
            container[index] = copy.deepcopy(other[at])
    return json.dumps(root).encode()


@st.composite
def damaged_chunks(draw: st.DrawFn, names: list[str] = NAMES) -> tuple[Specimen, dict[str, bytes]]:
    whole = specimen(draw(st.sampled_from(names)))
    stored = dict(whole.stored)
    for key in draw(st.lists(st.sampled_from(whole.keys), min_size=1, max_size=2)):
        stored[key] = draw(damaged(stored[key]))
    return whole, stored


@st.composite
def damaged_indexes(draw: st.DrawFn) -> tuple[Specimen, dict[str, bytes]]:
    """Shards whose index says something else, with the right checksum."""
    name = draw(st.sampled_from([n for n in NAMES if n.startswith(("shards", "index first"))]))
    whole = specimen(name)
    size = len(whole.stored[SHARD])

    def change(entries: Any) -> None:
        for _ in range(draw(st.integers(1, 3))):
            row, column = draw(st.integers(0, 7)), draw(st.integers(0, 1))
            near = int(entries[row, column]) + draw(st.sampled_from([-1, 1, 4, 2**63]))
            number = draw(numbers | st.sampled_from([near, size, size - 1, size + 1]))
            entries[row, column] = number % 2**64

    return whole, {**whole.stored, SHARD: with_index(whole.stored[SHARD], change, name.startswith("index first"))}


# ---- what is done with it ------------------------------------------------------------------------------------


def outcome(use: Callable[[], Any]) -> Outcome:
    """What came of it, to be compared; anything but a GpuzarrError that says where passes through."""
    try:
        return "ok", use()
    except GpuzarrError as error:
        found = error
    assert says_where(found)
    assert pickle.loads(pickle.dumps(found)).where() == found.where()
    return type(found).__name__, (str(found), found.where())


def says_where(error: GpuzarrError) -> bool:
    if isinstance(error, CodecError):
        return error.key is not None and error.chunk is not None and error.direction in ("decode", "encode")
    return not isinstance(error, StoreError) or error.key is not None


def bits(array: Any) -> tuple[Any, ...]:
    found = np.asarray(array)
    # of objects, and of strings of any length, an array holds addresses
    return np.shape(array), str(array.dtype), repr(found.tolist()) if found.dtype.hasobject else found.tobytes()


def uses(array: gpuzarr.Array) -> list[Callable[[], Any]]:
    """Ways to read it, none of which takes much memory."""
    few = tuple(slice(0, min(n, 18), 5) for n in array.shape)
    found: list[Callable[[], Any]] = [lambda: repr(array)[:6], lambda: (array.chunks, array.shards, array.nchunks)]
    if small(array, [len(range(*s.indices(n))) for s, n in zip(few, array.shape, strict=True)]):
        found.append(lambda: bits(array[few]))
    if small(array, array.shape):
        found.append(lambda: bits(array[...]))
    if array.shape == SHAPE and small(array, SHAPE):
        found.append(lambda: bits(array.read_many([(slice(i, i + 3), slice(2, 11)) for i in (0, 3, 9)])))
        found.append(lambda: bits(array.vindex[[0, 12, 3], [1, 2, 12]]))
        found.append(lambda: bits(array.oindex[[0, 12, 3], [1, 2, 12]]))
    return found


def small(array: gpuzarr.Array, wanted: Any) -> bool:
    item = max(1, array.dtype.itemsize)
    return math.prod(wanted) * item < 1 << 18 and math.prod(array.metadata.chunks) * item < 1 << 18


def outcomes(where: Any, executor: gpuzarr.Executor) -> list[Outcome]:
    """What came of opening, reading and writing; what is stored changes by a write that was fine, and in one place."""
    before = contents(where)
    kind, found = outcome(lambda: gpuzarr.open_array(where, mode="r+", executor=executor))
    if kind != "ok":
        return [(kind, found)]
    out = [outcome(use) for use in uses(found)]
    assert contents(where) == before
    if found.size and small(found, found.shape) and found.dtype.kind in "uif":
        out.append(outcome(lambda: found.write((0,) * found.ndim, 3)))
        after = contents(where)
        differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert len(differ) <= (1 if out[-1][0] == "ok" else 0)
        if out[-1][0] == "ok" and lossless(before):
            assert found[(0,) * found.ndim] == 3
    return out


LOSSY = (b"astype", b"bitround", b"delta", b"fixedscaleoffset", b"packbits", b"quantize")


def lossless(stored: dict[str, bytes]) -> bool:
    """Whether no filter that the document names may change values, as all that change the type do."""
    text = stored.get("zarr.json") or stored[".zarray"]
    return not any(name in text for name in LOSSY)


def check(whole: Specimen, stored: dict[str, bytes], local: bool) -> None:
    """The property: the same outcomes with and without the compiled module, whichever store the bytes are in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = outcomes(dict(stored), PYTHON)
        compare(plain, outcomes(dict(stored), NATIVE), whole)
        if local:
            with TemporaryDirectory() as folder:
                compare(plain, outcomes(put(Path(folder), stored), NATIVE), whole)


def compare(plain: list[Outcome], native: list[Outcome], whole: Specimen) -> None:
    if native == plain:
        return
    # libdeflate takes two length codes that zlib does not; the checksum shows that nothing is lost.
    assert any(name in whole.name for name in ("gzip", "zlib"))
    right = outcomes(dict(whole.stored), NATIVE)
    assert all(n in (p, r) for n, p, r in zip(native, plain, right, strict=True))


# ---- the tests -----------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(damaged_chunks(), st.booleans())
def test_damaged_chunks(case: tuple[Specimen, dict[str, bytes]], local: bool) -> None:
    check(*case, local)


@settings(max_examples=250)
@given(damaged_indexes(), st.booleans())
def test_damaged_shard_indexes(case: tuple[Specimen, dict[str, bytes]], local: bool) -> None:
    check(*case, local)


@settings(max_examples=800)
@given(st.data())
def test_changed_documents(data: st.DataObject) -> None:
    whole = specimen(data.draw(st.sampled_from(NAMES)))
    document = whole.stored[whole.document]
    fresh = data.draw(changed(document) | changed(document) | changed(document) | damaged(document))
    check(whole, {**whole.stored, whole.document: fresh}, local=False)


@settings(max_examples=150)
@given(damaged_chunks([f"chunks: {chain}" for chain in CHECKED]))
def test_what_has_a_checksum_gives_the_right_values_or_an_error(case: tuple[Specimen, dict[str, bytes]]) -> None:
    whole, stored = case
    for executor in (PYTHON, NATIVE):
        try:
            found = gpuzarr.open_array(dict(stored), executor=executor)[...]
        except CodecError:
            continue
        assert (found == whole.values).all()


GROUPS = {3: "zarr.json", 2: ".zmetadata"}


def group(zarr_format: int) -> dict[str, bytes]:
    stored: dict[str, bytes] = {}
    root = gpuzarr.create_group(stored, zarr_format=zarr_format)
    root.create_array("a/b", shape=(4,), dtype="f4")[...] = 1
    root.create_array("c", shape=(4,), dtype="i1")[...] = 2
    gpuzarr.consolidate_metadata(stored, zarr_format=zarr_format)
    return stored


@settings(max_examples=200)
@given(st.data(), st.sampled_from([3, 2]))
def test_changed_consolidated_metadata(data: st.DataObject, zarr_format: int) -> None:
    stored = group(zarr_format)
    name = GROUPS[zarr_format]
    stored[name] = data.draw(changed(stored[name]) | damaged(stored[name]))
    before = dict(stored)

    def walk() -> Any:
        root = gpuzarr.open_group(stored, mode="r+", zarr_format=zarr_format)
        for path in ("a", "c", "a/b"):
            outcome(lambda path=path: repr(root[path]))
        return [(path, repr(member)) for path, member in root.members(None)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome(walk)
    assert stored == before
