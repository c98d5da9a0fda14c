"""Which store a name opens, how a store travels to another process, and mappings as stores."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gpuzarr.errors import StoreError, UnsupportedError
from gpuzarr.store import LocalStore, MappingStore, MemoryStore, Store, ZipStore, open_store

VALUES = {"zarr.json": b"{}", "a/zarr.json": b"{}", "a/c/0/0": b"123", "a/c/0/1": b"", "é": b"not ASCII"}


def contents(store: Store) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def fill(store: Store, values: dict[str, bytes]) -> Store:
    for key, value in values.items():
        store.put(key, value)
    return store


# Pickling


def test_local_mapping_and_zip_stores_pickle(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "p.zip", "w") as archive:
        fill(archive, VALUES)
    for store in [
        fill(LocalStore(tmp_path / "p", fsync=True), VALUES),
        MappingStore(dict(VALUES), read_only=True),
        ZipStore(tmp_path / "p.zip"),
    ]:
        again = pickle.loads(pickle.dumps(store))
        assert contents(again) == VALUES
        assert (again.url, again.read_only) == (store.url, store.read_only)
    assert pickle.loads(pickle.dumps(LocalStore(tmp_path, fsync=True))).fsync is True


def test_a_named_memory_store_pickles_within_its_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(fill(MemoryStore("pickled"), VALUES))
    assert contents(pickle.loads(pickled)) == VALUES
    monkeypatch.setattr("gpuzarr.store.memory._process", "another")
    with pytest.raises(StoreError, match="another process"):
        pickle.loads(pickled)


def test_what_can_not_be_pickled_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="name it"):
        pickle.dumps(MemoryStore())
    with (
        pytest.raises(UnsupportedError, match="open it for reading"),
        ZipStore(tmp_path / "w.zip", "w") as store,
    ):
        pickle.dumps(store)


# Mappings


def test_names_in_a_mapping_that_are_no_keys_are_not_in_the_store() -> None:
    store = MappingStore({"a": b"1", "../b": b"2", 3: b"3", "c/": b"4"})  # type: ignore[dict-item]
    assert contents(store) == {"a": b"1"}


def test_a_value_in_a_mapping_that_is_no_bytes_is_an_error() -> None:
    with pytest.raises(StoreError, match="str") as caught:
        MappingStore({"a": "text"}).get("a")
    assert caught.value.key == "a"


def test_what_a_mapping_fails_with_becomes_a_store_error() -> None:
    class Broken(dict[str, bytes]):
        def __getitem__(self, key: str) -> bytes:
            raise TimeoutError("too slow")

    with pytest.raises(StoreError, match="too slow") as caught:
        MappingStore(Broken(a=b"1")).get("a")
    assert isinstance(caught.value.__cause__, TimeoutError)


# Finding the store


def zipped(path: Path, values: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for key, value in values.items():
            archive.writestr(key, value)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.zip").mkdir()
    zipped(tmp_path / "is.zip", VALUES)
    zipped(tmp_path / "no_ending", VALUES)
    return tmp_path


@pytest.mark.parametrize(
    ("where", "mode", "kind", "url"),
    [
        ("x.zarr", "r", LocalStore, "file://{}/x.zarr"),
        ("x y%20.zarr", "w", LocalStore, "file://{}/x%20y%2520.zarr"),
        (Path("x.zarr"), "r+", LocalStore, "file://{}/x.zarr"),
        ("file://x.zarr", "a", LocalStore, "file://{}/x.zarr"),
        ("folder.zip", "w", LocalStore, "file://{}/folder.zip"),
        ("absent.zip", "r", LocalStore, "file://{}/absent.zip"),
        ("absent.zip", "w", ZipStore, "file://{}/absent.zip|zip:"),
        ("absent.OZX", "a", ZipStore, "file://{}/absent.OZX|zip:"),
        ("zip://absent", "w-", ZipStore, "file://{}/absent|zip:"),
        ("is.zip", "r", ZipStore, "file://{}/is.zip|zip:"),
        ("no_ending", "r", ZipStore, "file://{}/no_ending|zip:"),
        (Path("no_ending"), "a", ZipStore, "file://{}/no_ending|zip:"),
        ("memory://name", "a", MemoryStore, "memory://name"),
        ("memory://", "a", MemoryStore, "memory://"),
        ({}, "a", MappingStore, "mapping://dict"),
    ],
)
def test_a_path_a_url_and_a_mapping_name_a_store(here: Path, where: Any, mode: str, kind: type, url: str) -> None:
    store = open_store(where, mode=mode)
    assert type(store) is kind
    assert store.url == url.format(here.as_uri().removeprefix("file://"))
    assert store.read_only == (mode == "r")


def test_the_url_of_a_store_finds_it_again(here: Path) -> None:
    for name in ["a b.zarr", "100%25?#.zarr", "ä.zip"]:
        store = open_store(name, mode="w")
        store.put("a", name.encode())
        if isinstance(store, ZipStore):
            store.close()
        assert contents(open_store(store.url)) == {"a": name.encode()}
    assert open_store(f"file://localhost{here.as_posix()}/x").url == LocalStore("x").url


def test_a_store_is_returned_as_it_is_but_for_reading_only_if_the_mode_says_so(tmp_path: Path) -> None:
    for store in (MemoryStore(), LocalStore(tmp_path / "a"), MappingStore({}), ZipStore(tmp_path / "a.zip", "w")):
        assert open_store(store, mode="a") is store
        view = open_store(store, mode="r")
        store.put("a", b"1")
        assert (view.get("a"), view.read_only, type(view)) == (b"1", True, type(store))
        with pytest.raises(StoreError, match="reading only"):
            view.put("a", b"2")
        assert open_store(view, mode="a") is open_store(view, mode="r") is view


def test_memory_stores_of_one_name_are_one_store_and_nameless_ones_are_not() -> None:
    open_store("memory://shared", mode="w").put("a", b"1")
    assert open_store("memory://shared").get("a") == b"1"
    open_store("memory://", mode="w").put("a", b"1")
    assert open_store("memory://").get("a") is None


@pytest.mark.parametrize("where", ["s3://bucket/x", "https://host/x.zarr", "simplecache::s3://b", "GS://b"])
def test_another_scheme_is_unsupported_and_named(where: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        open_store(where)
    assert where.partition("://")[0].lower() in str(caught.value.feature)


@pytest.mark.parametrize("where", [None, 3, b"bytes", ["list"]])
def test_what_names_no_store_is_unsupported(where: Any) -> None:
    with pytest.raises(UnsupportedError, match=type(where).__name__):
        open_store(where)


def test_a_file_that_is_no_archive_is_an_error_in_every_mode(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"not a zip file")
    (tmp_path / "x.txt").write_bytes(b"not a zip file")
    for name in ["x.zip", "x.txt"]:
        for mode in ["r", "r+", "a", "w", "w-"]:
            with pytest.raises(StoreError, match="zip"):
                open_store(tmp_path / name, mode=mode)
    assert (tmp_path / "x.zip").read_bytes() == b"not a zip file"


def test_a_mode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode"):
        open_store("x", mode="rw")
    with pytest.raises(ValueError, match="mode"):
        ZipStore(tmp_path / "x.zip", "x")  # type: ignore[arg-type]
