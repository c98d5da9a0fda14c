"""One contract for all stores, then what each of them promises beyond it."""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gpuzarr.errors import StoreError
from gpuzarr.ranges import ByteRange
from gpuzarr.store import (
    FileReader,
    LocalStore,
    MappingStore,
    MemoryStore,
    Sized,
    Store,
    Versioned,
    ZipStore,
)

VALUE = bytes(range(100))
VALUES = {
    "zarr.json": b"{}",
    "a/zarr.json": b'{"a": 1}',
    "a/c/0/0": VALUE,
    "a/c/0/1": b"",
    "a/c/10": b"ten",
    "a-b": b"a neighbour of the folder a",
    "ab/.zarray": b"2",
    "é/ü": b"not ASCII",
}
KINDS = ("local", "memory", "mapping", "zip")
BAD_KEYS = (
    "", "/", "/etc/passwd", "a/", "a//b", "..", "../a", "a/../../b", "a/..", ".", "./a", "a/.", "a/./b",
    "a\\..\\b", "\\", "a\0b", "a/.gpuzarr-1",
)  # fmt: skip


def make(kind: str, folder: Path) -> Store:
    if kind == "local":
        return LocalStore(folder / "root")
    if kind == "memory":
        return MemoryStore()
    if kind == "mapping":
        return MappingStore({})
    return ZipStore(folder / "store.zip", "w")


def fill(store: Store, values: dict[str, bytes]) -> Store:
    for key, value in values.items():
        store.put(key, value)
    return store


def view_of(array: Any) -> memoryview:
    return memoryview(array)


def contents(store: Store) -> dict[str, bytes]:
    found = {}
    for key in store.list():
        value = store.get(key)
        assert value is not None
        assert key not in found
        found[key] = bytes(value)
    return found


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store that can be written."""
    return make(request.param, tmp_path)


@pytest.fixture(params=[*KINDS, "zip, reopened", "zip, deflated by zipfile"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that holds VALUES."""
    if request.param == "zip, deflated by zipfile":
        with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in VALUES.items():
                archive.writestr(key, value)
        return ZipStore(tmp_path / "d.zip")
    store = fill(make(request.param.partition(",")[0], tmp_path), VALUES)
    if request.param == "zip, reopened":
        assert isinstance(store, ZipStore)
        store.close()
        return ZipStore(tmp_path / "store.zip")
    return store


# What every store does


def test_what_was_put_is_there(filled: Store) -> None:
    assert contents(filled) == VALUES


@pytest.mark.parametrize("key", ["b", "a", "a/c", "a/c/0", "a/c/0/0/0", "a/c/0/00", "zarr.jso", "é"])
def test_an_absent_value_and_a_folder_are_none(filled: Store, key: str) -> None:
    assert filled.get(key) is None
    assert filled.get(key, ByteRange(2, 3)) is None
    if isinstance(filled, Versioned):
        assert filled.version(key) is None


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ByteRange(), VALUE),
        (ByteRange(10), VALUE[10:]),
        (ByteRange(10, 20), VALUE[10:30]),
        (ByteRange(0, 0), b""),
        (ByteRange(40, 0), b""),
        (ByteRange(99, 1), VALUE[99:]),
        (ByteRange(90, 1000), VALUE[90:]),
        (ByteRange(90, 1 << 62), VALUE[90:]),
        (ByteRange(100), b""),
        (ByteRange(100, 1), b""),
        (ByteRange(1 << 62, 1 << 62), b""),
        (ByteRange(-1), VALUE[-1:]),
        (ByteRange(-20), VALUE[-20:]),
        (ByteRange(-20, 5), VALUE[80:85]),
        (ByteRange(-20, 50), VALUE[80:]),
        (ByteRange(-100), VALUE),
        (ByteRange(-1000), VALUE),
        (ByteRange(-1000, 3), VALUE[:3]),
    ],
    ids=lambda value: f"{value.offset},{value.length}" if isinstance(value, ByteRange) else "",
)
def test_a_range_gives_what_there_is_of_it(filled: Store, part: ByteRange, expected: bytes) -> None:
    got = filled.get("a/c/0/0", part)
    assert got is not None
    assert bytes(got) == expected
    assert bytes(filled.get("a/c/0/1", part) or b"") == b""


def test_list_gives_the_keys_that_begin_with_a_prefix(filled: Store) -> None:
    for prefix in [
        "",
        "a",
        "a/",
        "a/c",
        "a/c/",
        "a/c/1",
        "a/c/0/0",
        "ab/.",
        "z",
        "é/",
        "b",
        "a/c/0/0/",
        "a/..",
    ]:
        assert sorted(filled.list(prefix)) == sorted(k for k in VALUES if k.startswith(prefix)), prefix


def test_list_dir_gives_the_names_of_children(filled: Store) -> None:
    assert filled.list_dir("") == ["a", "a-b", "ab", "zarr.json", "é"]
    assert filled.list_dir("a") == ["c", "zarr.json"]
    assert filled.list_dir("a/c") == ["0", "10"]
    assert filled.list_dir("a/c/0") == ["0", "1"]
    assert filled.list_dir("a/c/0/0") == filled.list_dir("a/c/7") == filled.list_dir("zzz") == []


def test_a_store_that_was_never_written_is_empty(store: Store) -> None:
    assert list(store.list()) == list(store.list("a/b")) == store.list_dir("") == store.list_dir("a") == []
    assert store.get("zarr.json") is None
    store.delete("zarr.json")
    store.delete_prefix("")
    store.delete_prefix("a/b")


def test_the_last_value_wins(store: Store) -> None:
    for value in [b"one", b"", b"three" * 1000, b"4"]:
        store.put("a/b", value)
        assert contents(store) == {"a/b": value}


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"abcd"),
        memoryview(b"abcd"),
        memoryview(bytearray(b"xabcdx"))[1:5],
        view_of(np.frombuffer(b"abcd", "<u2")),
        view_of(np.frombuffer(b"abcd", "u1").reshape(2, 2)),
        view_of(np.zeros((0, 3))),
    ],
    ids=["bytearray", "memoryview", "slice", "uint16", "two axes", "nothing"],
)
def test_put_takes_any_contiguous_buffer(store: Store, value: Any) -> None:
    store.put("a", value)
    assert contents(store) == {"a": memoryview(value).tobytes()}


def test_put_refuses_a_buffer_with_gaps_and_keeps_the_old_value(store: Store) -> None:
    store.put("a", b"old")
    with pytest.raises(StoreError, match="contiguous"):
        store.put("a", memoryview(b"abcd")[::2])
    assert contents(store) == {"a": b"old"}


def test_a_value_does_not_change_with_the_buffer_it_came_from(store: Store) -> None:
    buffer = bytearray(b"abc")
    store.put("a", buffer)
    buffer[:] = b"xyz"
    assert contents(store) == {"a": b"abc"}


def test_delete_removes_one_value(store: Store) -> None:
    fill(store, VALUES)
    store.delete("a/c/0/0")
    store.delete("a/c/0/0")
    store.delete("a/c")
    store.delete("a/c/10/x")
    assert contents(store) == {k: v for k, v in VALUES.items() if k != "a/c/0/0"}


@pytest.mark.parametrize("prefix", ["a", "a/c", "a/c/0", "ab", "a/c/10", "none", "none/at/all", ""])
def test_delete_prefix_removes_what_is_under_it_and_no_neighbour(store: Store, prefix: str) -> None:
    fill(store, VALUES)
    store.delete_prefix(prefix)
    under = f"{prefix}/" if prefix else ""
    assert contents(store) == {k: v for k, v in VALUES.items() if not k.startswith(under)}
    fill(store, VALUES)
    assert contents(store) == VALUES


def test_nothing_is_left_of_a_folder_whose_last_value_is_deleted(store: Store) -> None:
    fill(store, VALUES)
    for key in ["a/c/0/0", "a/c/0/1", "a/c/10", "a/zarr.json"]:
        store.delete(key)
    store.delete_prefix("é")
    assert store.list_dir("") == ["a-b", "ab", "zarr.json"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_no_key_climbs_out_of_a_store(store: Store, key: str, tmp_path: Path) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.delete(key),
    ]
    if key:
        calls += [
            lambda: store.list_dir(key),
            lambda: store.delete_prefix(key),
            lambda: store.list(key + "/x"),
        ]
    if isinstance(store, Versioned):
        calls.append(lambda: store.version(key))
    if isinstance(store, FileReader):
        calls.append(lambda: store.file_path(key))
    for call in calls:
        with pytest.raises(StoreError) as caught:
            list(call() or ())
        assert caught.value.key is not None
    assert contents(store) == {}


def test_a_store_that_is_open_for_reading_refuses_to_change(tmp_path: Path) -> None:
    fill(MemoryStore("read only"), VALUES)
    fill(LocalStore(tmp_path / "r"), VALUES)
    with ZipStore(tmp_path / "r.zip", "w") as archive:
        fill(archive, VALUES)
    stores: list[Store] = [
        MemoryStore("read only", read_only=True),
        MappingStore(dict(VALUES), read_only=True),
        LocalStore(tmp_path / "r", read_only=True),
        ZipStore(tmp_path / "r.zip"),
    ]
    for store in stores:
        assert store.read_only
        for method, *arguments in [
            ("put", "a", b""),
            ("delete", "a/c/10"),
            ("delete_prefix", "a"),
            ("delete_prefix", ""),
        ]:
            with pytest.raises(StoreError, match="reading only"):
                getattr(store, str(method))(*arguments)
        assert contents(store) == VALUES


def test_a_version_changes_with_the_value_and_only_then(tmp_path: Path) -> None:
    store: MemoryStore | LocalStore | ZipStore
    for store in (MemoryStore(), LocalStore(tmp_path / "v"), ZipStore(tmp_path / "v.zip", "w")):
        assert isinstance(store, Versioned)
        seen = set()
        for i in range(20):
            store.put("a", bytes([i]))
            seen.add(store.version("a"))
        assert len(seen) == 20
        store.delete("a")
        assert store.version("a") is None


def test_every_store_is_a_store_and_says_what_it_is(store: Store) -> None:
    assert isinstance(store, Store)
    assert store.url in repr(store)
    assert isinstance(store, FileReader) == isinstance(store, LocalStore)
    assert not isinstance({}, Store)


class StoreMachine(RuleBasedStateMachine):
    """A store does what a dictionary does, whatever the order of calls."""

    kind = "memory"
    # Values have names of their own, so that none of them is also a folder.
    keys = st.sampled_from(["z", "a/z", "a/b/z", "a/b/zz", "ab/z", "b/a/b/z", "b/.z"])
    folders = st.sampled_from(["", "a", "a/b", "ab", "b", "b/a"])
    values = st.binary(max_size=20)

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = make(self.kind, Path(self.folder.name))
        self.model: dict[str, bytes] = {}

    @rule(key=keys, value=values)
    def put(self, key: str, value: bytes) -> None:
        self.store.put(key, value)
        self.model[key] = value

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(prefix=folders)
    def delete_prefix(self, prefix: str) -> None:
        self.store.delete_prefix(prefix)
        under = f"{prefix}/" if prefix else ""
        self.model = {k: v for k, v in self.model.items() if not k.startswith(under)}

    @rule(key=keys, offset=st.integers(-25, 25), length=st.none() | st.integers(0, 25))
    def get(self, key: str, offset: int, length: int | None) -> None:
        got = self.store.get(key, ByteRange(offset, length))
        if key not in self.model:
            assert got is None
            return
        start, stop = ByteRange(offset, length).of(len(self.model[key]))
        assert got is not None
        assert bytes(got) == self.model[key][start:stop]

    @rule(prefix=folders, start=st.sampled_from(["", "a", "z", "zz", "."]))
    def list(self, prefix: str, start: str) -> None:
        prefix = f"{prefix}/{start}" if prefix else start
        assert sorted(self.store.list(prefix)) == sorted(k for k in self.model if k.startswith(prefix))

    @rule(prefix=folders)
    def list_dir(self, prefix: str) -> None:
        under = f"{prefix}/" if prefix else ""
        names = {k[len(under) :].split("/")[0] for k in self.model if k.startswith(under)}
        assert self.store.list_dir(prefix) == sorted(names)

    @rule()
    def open_again(self) -> None:
        if isinstance(self.store, ZipStore):
            self.store.close()
            self.store = ZipStore(self.store.path, "a")
        elif isinstance(self.store, LocalStore):
            self.store = pickle.loads(pickle.dumps(self.store))

    @invariant()
    def same(self) -> None:
        if hasattr(self, "store"):
            assert contents(self.store) == self.model

    def teardown(self) -> None:
        if isinstance(self.store, ZipStore):
            self.store.close()
            with ZipStore(self.store.path) as again:
                assert contents(again) == self.model
        assert [n for n in os.listdir(self.folder.name) if n.startswith(".gpuzarr-")] == []
        self.folder.cleanup()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_behaves_like_a_dictionary(kind: str) -> None:
    machine: Any = type(f"{kind}Machine", (StoreMachine,), {"kind": kind})
    case = machine.TestCase
    case.settings = settings(
        max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()


def test_a_store_that_is_sized_tells_the_size_of_values_without_reading_them(store: Store) -> None:
    if not isinstance(store, Sized):
        assert isinstance(store, MappingStore)
        return
    store.put("a/b", b"12345")
    assert (store.size("a/b"), store.size("a/c"), store.size("a")) == (5, None, None)
