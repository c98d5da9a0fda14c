"""What `explain` says a read takes is what the read then does; summaries and trees say what is there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd

import gpuzarr
from gpuzarr import native
from gpuzarr.errors import CodecError
from gpuzarr.execute.work import Work
from gpuzarr.ranges import ByteRange
from gpuzarr.report import GroupInfo, Info
from gpuzarr.report.words import printable, size
from gpuzarr.store import MemoryStore
from gpuzarr.store.mapping import MappingStore
from tests.strategies import (
    EXECUTORS,
    NATIVE,
    PYTHON,
    THREADS,
    Case,
    basic,
    cases,
    orthogonal,
    orthogonal_of,
    small_runs,
)

compiled_only = pytest.mark.skipif(native.load() is None, reason=f"no compiled module: {native.why_not()}")

Gets = list[tuple[str, int]]


class Counting(MappingStore):
    """A store that notes what is asked of it: keys, and how many bytes they had."""

    def __init__(self) -> None:
        super().__init__({})
        self.gets: Gets = []

    def get(self, key: str, range: ByteRange | None = None) -> Any:
        found = super().get(key, range)
        self.gets.append((key, 0 if found is None else len(found)))
        return found

    def taken(self) -> tuple[int, int]:
        """Requests and bytes since the last time."""
        gets, self.gets = self.gets, []
        return len(gets), sum(nbytes for _, nbytes in gets)


class CountingVersions(MemoryStore):
    """The same of a store that tells versions, so that shard indexes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str, range: ByteRange | None = None) -> Any:
        self.gets += 1
        return super().get(key, range)


@contextmanager
def counted() -> Iterator[dict[str, list[int]]]:
    """Calls of what reads: runs and stored chunks in Python, runs in the compiled module."""
    calls: dict[str, list[int]] = {"runs": [], "chunks": [], "compiled": []}
    run, one, read = Work.run, Work.one, native.Native.read

    def count_run(self: Work, rows: range) -> None:
        calls["runs"].append(len(rows))
        run(self, rows)

    def count_one(self: Work, row: int, value: Any, start: int) -> None:
        calls["chunks"].append(row)
        one(self, row, value, start)

    def count_read(self: native.Native, *args: Any) -> int:
        calls["compiled"].append(args[2] - args[1])
        return read(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "run", count_run)
        patch.setattr(Work, "one", count_one)
        patch.setattr(native.Native, "read", count_read)
        yield calls


def chunks_touched(array: gpuzarr.Array, wanted: Any, rule: str) -> int:
    """The chunks that a selection touches, found with NumPy."""
    places = np.arange(array.size).reshape(array.shape)
    chosen = places[orthogonal_of(places, wanted)[0] if rule == "oindex" else wanted]
    return chunks_of(array, chosen) if array.ndim else 1


def chunks_of(array: gpuzarr.Array, places: Any) -> int:
    """The chunks that hold elements, which are given by their numbers in C order."""
    coords = np.unravel_index(np.ravel(places), array.shape)
    return len(set(zip(*(c // edge for c, edge in zip(coords, array.chunks, strict=True)), strict=True)))


def explained(array: gpuzarr.Array, wanted: Any, rule: str) -> Any:
    if rule == "basic":
        return array.explain(wanted)
    from gpuzarr.report import explain
    from gpuzarr.selection import orthogonal as select

    return explain(array, select(wanted, array.shape))


@given(st.data())
def test_explain_tells_the_chunks_requests_and_bytes_that_the_read_then_takes(data: st.DataObject) -> None:
    case: Case = data.draw(cases())
    store, executor = Counting(), data.draw(st.sampled_from(EXECUTORS))
    array = case.make(store, executor)
    part = data.draw(basic(array.shape))
    array[part] = case.values()[part]
    rule = data.draw(st.sampled_from(["basic", "basic", "oindex"])) if array.ndim else "basic"
    wanted = data.draw(orthogonal(array.shape) if rule == "oindex" else basic(array.shape))
    store.taken()
    with small_runs(), counted() as calls:
        found = explained(array, wanted, rule)
        assert store.taken() == (found.indexes, found.index_bytes)
        assert not any(calls.values())
        result = array.oindex[wanted] if rule == "oindex" else array[wanted]
    requests, nbytes = store.taken()
    assert (found.shape, found.result_bytes) == (np.shape(result), np.size(result) * array.dtype.itemsize)
    assert found.chunks == chunks_touched(array, wanted, rule)
    filled = found.chunks - found.straight - found.scattered
    unknown = found.chunks_absent is None
    assert filled == found.chunks_absent or (unknown and (filled == 0 or array.shards is not None))
    assert (requests, found.indexes_kept) == (found.requests + found.indexes, 0)
    if found.fetched_bytes is not None:
        assert nbytes == found.fetched_bytes + found.index_bytes
    if array.shards is None or not unknown:
        check_decoding(found, calls, executor.native)


def check_decoding(found: Any, calls: dict[str, list[int]], allowed: bool) -> None:
    rows = found.chunks - (found.chunks_absent or 0)
    assert found.decoded_bytes == rows * found.chunk_bytes
    assert found.amplification == (found.decoded_bytes / found.result_bytes if found.result_bytes else None)
    assert bool(calls["compiled"]) == (found.compiled and rows > 0)
    assert found.compiled or found.why_not_compiled
    assert found.compiled <= allowed
    runs = calls["compiled"] if found.compiled else calls["runs"]
    assert (len(runs), sum(runs)) == (found.runs, rows)
    if not found.compiled:
        assert len(calls["chunks"]) == rows


@given(cases(ndim=st.integers(1, 3)))
def test_an_explanation_is_json_and_a_few_lines_of_text(case: Case) -> None:
    found = case.make({}).explain()
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["chunks"] == found.chunks
    assert [s["codec"] for s in said["stages"]] == [s.codec for s in found.stages]
    assert len(str(found).splitlines()) <= 10 + len(found.stages)
    with pytest.raises(FrozenInstanceError):
        found.chunks = 0  # type: ignore[misc]


def test_indexes_that_were_kept_are_not_fetched_again() -> None:
    store = CountingVersions()
    a = gpuzarr.create_array(store, shape=(40,), chunks=(2,), shards=(10,), dtype="int32", executor=PYTHON)
    a[:25] = 1
    a = gpuzarr.open_array(store, executor=PYTHON)
    found = a.explain()
    assert (found.indexes, found.indexes_kept, found.shards, found.chunks_absent) == (4, 3, 4, 7)
    store.gets = 0
    assert a[:].sum() == 25
    assert store.gets == found.requests + 1


def test_chunks_that_lie_side_by_side_are_one_request() -> None:
    store = Counting()
    a = gpuzarr.create_array(store, shape=(8, 8), chunks=(2, 2), shards=(8, 8), dtype="uint8", executor=THREADS)
    a[...] = 1
    found = a.explain()
    assert (found.chunks, found.keys, found.requests, found.runs, found.threads) == (16, 1, 1, 1, 1)
    assert found.fetched_bytes == len(store.mapping["c/0/0"]) - found.index_bytes


def sharding(chunk: list[int], *codecs: Any) -> dict[str, Any]:
    index = [{"name": "bytes", "configuration": {"endian": "little"}}]
    configuration = {"chunk_shape": chunk, "codecs": codecs, "index_codecs": index}
    return {"name": "sharding_indexed", "configuration": configuration}


RAW = {"name": "bytes"}
TURN = {"name": "transpose", "configuration": {"order": [1, 0]}}


def test_shards_in_shards_are_looked_up_level_by_level() -> None:
    store = Counting()
    nested = sharding([4, 2], TURN, sharding([1, 2], RAW))
    a = gpuzarr.create_array(store, shape=(8, 16), chunks=(8, 8), dtype="uint8", serializer=nested, compressors=None)
    a[:3, :4] = 1
    store.taken()
    found = a.explain()
    # One outer shard of two is stored, in it two inner shards of eight, and all four chunks of these.
    assert (a.chunks, found.chunks, found.shards) == ((2, 1), 64, 2)
    assert (found.indexes, found.chunks_absent) == (2 + 2, 64 - 2 * 4)
    assert found.index_bytes == 8 * 16 + 2 * 4 * 16
    assert store.taken() == (found.indexes, found.index_bytes)
    assert a[...].sum() == 12
    # The chunks of both inner shards are one request, with the index that lies between them.
    assert (found.requests, found.fetched_bytes) == (1, 8 + 64 + 8)
    assert store.taken() == (1 + found.indexes, 80 + found.index_bytes)
    missing = a.explain((0, slice(4, 6)))
    assert (missing.chunks, missing.chunks_absent, missing.requests) == (2, 2, 0)


def test_of_wrapped_shards_it_says_only_what_can_be_known() -> None:
    how: dict[str, Any] = {"serializer": sharding([2], RAW), "compressors": ["gzip"]}
    a = gpuzarr.create_array({}, shape=(12,), chunks=(6,), dtype="uint8", **how)
    a[...] = 1
    found = a.explain(slice(1, 5))
    assert (found.chunks, found.shards, found.requests, found.indexes) == (3, 1, 1, 0)
    assert (found.chunks_absent, found.fetched_bytes) == (None, None)
    assert [str(s).split(" ", 1)[0] for s in found.stages] == ["sharding_indexed:", "bytes:", "gzip:"]
    assert "each shard is decoded whole" in str(found.stages[2])


def test_an_empty_selection_takes_nothing() -> None:
    for shards in (None, (4,)):
        found = gpuzarr.zeros((8,), chunks=(2,), shards=shards, store={}).explain(slice(3, 3))
        assert (found.chunks, found.requests, found.runs, found.threads, found.chunks_absent) == (0, 0, 0, 0, 0)
        assert (found.fetched_bytes, found.amplification) == (0, None)


def test_a_read_too_large_for_memory_can_be_explained() -> None:
    a = gpuzarr.create_array({}, shape=(1 << 40,), chunks=(1 << 30,), dtype="float64")
    assert a.explain().result_bytes == 1 << 43
    assert a.explain().chunks == 1 << 10


# ---- where codecs run ----------------------------------------------------------------------------------------


def stages_of(*codecs: Any, executor: Any = NATIVE, **how: Any) -> list[str]:
    given = {"shape": (4, 4), "dtype": "int32", "chunks": (2, 2), **how}
    array = gpuzarr.create_array({}, compressors=list(codecs), executor=executor, **given)
    return [str(stage) for stage in array.explain().stages]


@compiled_only
def test_each_codec_says_where_it_runs() -> None:
    assert stages_of("zstd", "crc32c", filters=[TURN], shards=(4, 4)) == [
        "sharding_indexed: planned, no pass",
        "transpose: in the layout, no pass",
        "bytes: in the layout, no pass",
        f"zstd: compiled host module ({native.load().sources['zstd']})",  # type: ignore[union-attr]
        "crc32c: compiled host module (gpuzarr)",
    ]


@compiled_only
def test_one_codec_that_is_not_compiled_keeps_the_others_in_python() -> None:
    zstd_, bz2 = stages_of("zstd", "numcodecs.bz2")[1:]
    assert zstd_.startswith("zstd: Python (numcodecs ")
    assert zstd_.endswith("; the compiled module has no bz2")
    assert bz2 == "bz2: Python (standard library); the compiled module has no bz2"


def test_the_byte_order_is_part_of_the_layout() -> None:
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    assert stages_of(serializer=big) == [
        "bytes: in the layout, no pass; byte order is reversed in the copy into the result"
    ]


def test_a_byte_order_behind_a_filter_is_a_pass() -> None:
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    delta = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    passes = stages_of("zstd", filters=[delta], serializer=big, executor=PYTHON)
    assert [text.split(" ")[:2] for text in passes] == [[f"{name}:", "Python"] for name in ("delta", "bytes", "zstd")]


def test_python_has_its_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stages_of("zstd", executor=PYTHON)[1].endswith("; Executor(native=False)")
    monkeypatch.setattr(native, "_load", lambda: (None, "not built"))
    native.load.cache_clear()
    try:
        assert stages_of("gzip")[1] == "gzip: Python (standard library); no compiled module (not built)"
    finally:
        native.load.cache_clear()


@compiled_only
def test_reasons_of_the_type_are_told() -> None:
    a = gpuzarr.zeros((4,), dtype="int4", store={})
    assert "types of less than a byte" in str(a.explain().why_not_compiled)
    b = gpuzarr.create_array({}, shape=(4,), dtype=[("x", ">i2")], zarr_format=2)
    assert "byte order of structured types" in str(b.explain().why_not_compiled)


# ---- straight into the result --------------------------------------------------------------------------------


def changed_by_a_failed_read(array: gpuzarr.Array, wanted: Any, order: Any) -> int:
    """The chunks that were decoded in the result's memory, told from the marks they leave there.

    Every chunk is a frame of half a chunk: the module fails each, but after it has decoded. What it decodes by
    itself and copies afterwards is not copied.
    """
    nbytes = math.prod(array.chunks) * array.dtype.itemsize
    for key in [k for k in array.store.list() if not k.endswith("zarr.json")]:
        array.store.put(key, zstd.compress(b"\x55" * (nbytes // 2), 1))
    places = np.arange(array.size).reshape(array.shape)[wanted]
    out = np.zeros(places.shape, array.dtype, order=order)
    with pytest.raises(CodecError):
        array.read(wanted, out=out)
    return chunks_of(array, places[out != 0])


@compiled_only
@given(st.data())
def test_chunks_said_to_be_decoded_in_the_result_are_decoded_there(data: st.DataObject) -> None:
    ndim = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.lists(st.integers(2, 7), min_size=ndim, max_size=ndim)))
    chunks = tuple(data.draw(st.sampled_from([1, 2, n, n])) for n in shape)
    turn = {"name": "transpose", "configuration": {"order": list(data.draw(st.permutations(range(ndim))))}}
    endian = {"name": "bytes", "configuration": {"endian": data.draw(st.sampled_from(["little", "little", "big"]))}}
    a = gpuzarr.create_array(
        {}, shape=shape, chunks=chunks, dtype="uint16", filters=[turn], serializer=endian, compressors=["zstd"]
    )
    a[...] = 1
    order = data.draw(st.sampled_from("CF"))
    a = a.configure(executor=NATIVE, order=order)
    wanted = tuple(data.draw(st.sampled_from([slice(None), slice(None), slice(1, None), slice(0, -1)])) for _ in shape)
    found = a.explain(wanted)
    assert changed_by_a_failed_read(a, wanted, order) == found.straight


@compiled_only
@pytest.mark.parametrize(
    ("how", "order", "straight"),
    [
        ({"chunks": (2, 4)}, "C", 2),
        ({"chunks": (2, 4)}, "F", 0),
        ({"chunks": (2, 2)}, "C", 0),
        ({"chunks": (3, 4)}, "C", 1),  # the last chunk is cut off by the array's edge
        ({"chunks": (1, 2)}, "C", 8),
        ({"chunks": (4, 2), "filters": [TURN]}, "F", 2),
        ({"chunks": (4, 4), "filters": [TURN], "serializer": sharding([2, 4], RAW, "zstd")}, "C", 0),
        ({"chunks": (4, 4), "filters": [TURN], "serializer": sharding([2, 4], TURN, RAW, "zstd")}, "C", 0),
        ({"chunks": (4, 4), "serializer": sharding([2, 4], RAW, "zstd")}, "C", 2),
        ({"chunks": (4, 4), "serializer": sharding([2, 4], RAW)}, "C", 0),  # plain bytes in memory are copied anyway
        ({"chunks": (2, 4), "compressors": ["crc32c"]}, "C", 0),
        ({"chunks": (2, 4), "compressors": ["crc32c", "zstd"]}, "C", 0),
        ({"chunks": (2, 4), "compressors": ["zstd", "crc32c"]}, "C", 2),
    ],
)
def test_chunks_are_decoded_in_the_result_where_they_lie_in_one_piece(
    how: dict[str, Any], order: Any, straight: int
) -> None:
    how = {"compressors": None if "serializer" in how else ["zstd"], **how}
    a = gpuzarr.create_array({}, shape=(4, 4), dtype="uint8", executor=NATIVE, order=order, **how)
    a[...] = 1
    assert a.explain().straight == straight


def test_python_copies_every_chunk() -> None:
    a = gpuzarr.ones((8, 8), chunks=(4, 8), store={}, executor=PYTHON)
    assert (a.explain().straight, a.explain().scattered) == (0, 2)


# ---- summaries -----------------------------------------------------------------------------------------------


@given(cases())
def test_info_is_a_table_and_json(case: Case) -> None:
    with case.filled() as (array, model):
        for info in (array.info, Info(array, complete=True)):
            said = json.loads(json.dumps(info.to_dict(), allow_nan=False))
            assert (said["shape"], said["nbytes"]) == (list(model.shape), model.nbytes)
            assert said["chunks"] == list(array.chunks)
            rows = dict(line.split(":", 1) for line in str(info).splitlines() if ":" in line[:20])
            assert all(value.isprintable() for value in rows.values())
        assert said["nbytes_stored"] == array.nbytes_stored()


def test_info_does_not_list_the_store_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    array = gpuzarr.zeros((4,), store={})
    monkeypatch.setattr(MappingStore, "list", lambda *_: pytest.fail("listed"))
    assert "stored" not in str(array.info)
    assert "nbytes_stored" not in array.info.to_dict()


def test_group_info_counts_what_can_be_opened_and_what_can_not() -> None:
    store: dict[str, bytes] = {}
    g = gpuzarr.create_group(store)
    g.create_array("a", shape=(2,), dtype="int8")
    g.create_group("b")
    store["broken/zarr.json"] = b"{}"
    assert "Members" not in str(g.info)
    whole = GroupInfo(g, complete=True)
    assert {k: whole.to_dict()[k] for k in ("arrays", "groups", "unreadable")} == {
        "arrays": 1,
        "groups": 1,
        "unreadable": 1,
    }
    assert "1 array, 1 group, 1 unreadable" in str(whole)


def test_a_tree_shows_every_member_and_why_one_can_not_be_opened() -> None:
    store: dict[str, bytes] = {}
    g = gpuzarr.create_group(store)
    g.create_array("b/deep/x", shape=(2, 3), dtype="float32")
    g.create_array("a", shape=(), dtype="bool")
    store["odd\x1b[31m/zarr.json"] = b"{}"
    store["no_node/some/key"] = b""
    lines = g.tree().splitlines()
    assert lines[:5] == ["/", "├── a () bool", "├── b", "│   └── deep", "│       └── x (2, 3) float32"]
    assert lines[5].startswith("└── odd\\x1b[31m (unreadable: ")
    assert len(lines) == 6


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_consolidated_tree_is_the_same_and_lists_nothing(zarr_format: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store: dict[str, bytes] = {}
    g = gpuzarr.create_group(store, zarr_format=zarr_format)
    g.create_array("b/deep/x", shape=(2, 3), dtype="float32")
    g.create_group("c")
    listed = g.tree()
    known = gpuzarr.consolidate_metadata(store)
    monkeypatch.setattr(MappingStore, "list_dir", lambda *_: pytest.fail("listed"))
    assert known.tree() == listed
    assert "0 arrays, 2 groups" in str(known.info)


def test_a_tree_can_be_cut_off() -> None:
    from gpuzarr.report import tree

    g = gpuzarr.create_group({})
    g.create_group("a/b/c")
    assert tree(g, 2).splitlines() == ["/", "└── a", "    └── b"]
    assert tree(g, 0) == "/"


@given(st.text(max_size=30), st.integers(2, 20))
def test_nothing_unprintable_is_printed(text: str, most: int) -> None:
    assert printable(text, most).isprintable()
    if len(text) <= most and text.isprintable():
        assert printable(text, most) == text


def test_sizes_are_in_binary_units() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1 << 20, 150 << 20, 1 << 60)] == [
        *("0 B", "1023 B", "1.00 KiB", "1.00 MiB", "150 MiB", "1024 PiB")
    ]


# ---- writing -------------------------------------------------------------------------------------------------


def test_explaining_a_write_counts_what_it_encodes_and_reads_first() -> None:
    array = gpuzarr.create_array({}, shape=(40, 40), chunks=(5, 5), shards=(20, 20), dtype="u2")
    said = array.explain((slice(0, 30), slice(0, 20)), writing=True)
    assert (said.keys, said.partial, said.chunks) == (2, 1, 24)
    assert said.encoded_bytes == 24 * 50
    assert said.value_bytes == 1200
    assert said.downloads == 0
    assert json.loads(json.dumps(said.to_dict()))["shape"] == [30, 20]
    assert "2 keys; 1 covered in part" in str(said)


def test_explaining_a_write_of_points_says_that_they_are_gathered_in_python() -> None:
    said = gpuzarr.zeros((40, 40), chunks=(5, 5), store={}).explain(([1, 2], [3, 4]), writing=True)
    assert not said.compiled
    assert said.why_not_compiled
