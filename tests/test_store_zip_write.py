"""How a zip archive is changed: beside the old one, which stays until the new one is complete."""

from __future__ import annotations

import gc
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gpuzarr.errors import StoreError
from gpuzarr.store import Store, ZipStore
from gpuzarr.store import archive as archive_module
from gpuzarr.store.local import read_at

VALUES = {"zarr.json": b"{}", "a/c/0/0": b"123", "a/c/0/1": b"", "é": b"not ASCII"}


def contents(store: Store) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def fill(store: Store, values: dict[str, bytes]) -> Store:
    for key, value in values.items():
        store.put(key, value)
    return store


def names_in(folder: str | Path) -> list[str]:
    return sorted(name for _, folders, files in os.walk(folder) for name in folders + files)


def zipped(path: Path, values: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for key, value in values.items():
            archive.writestr(key, value)
    return path


def test_the_old_archive_stays_until_close(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"old"})
    store = ZipStore(path, "a")
    store.put("a", b"new")
    store.put("b", b"more")
    assert contents(store) == {"a": b"new", "b": b"more"}
    assert contents(ZipStore(path)) == {"a": b"old"}
    store.close()
    store.close()
    assert contents(ZipStore(path)) == {"a": b"new", "b": b"more"}
    assert names_in(tmp_path) == ["a.zip"]


def test_a_failure_to_finish_leaves_the_old_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"old"})
    store = ZipStore(path, "w")
    store.put("a", b"new")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match="finish"):
        store.close()
    assert contents(ZipStore(path)) == {"a": b"old"}
    assert names_in(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("more", [{}, {"b": b"3"}])
def test_a_write_that_fails_leaves_an_archive_that_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, bytes]
) -> None:
    path = tmp_path / "a.zip"
    store = ZipStore(path, "w")
    store.put("a", b"1" * 1000)
    left = [4000]

    def disk_fills_up(fd: int, parts: list[memoryview]) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        done = os.write(fd, b"".join(parts)[: left[0]])
        left[0] -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr("gpuzarr.store.local._write", disk_fills_up)
        with pytest.raises(StoreError, match="No space"):
            store.put("a", b"2" * 5000)
    assert contents(store) == {"a": b"1" * 1000}
    fill(store, more)
    store.close()
    assert contents(ZipStore(path)) == {"a": b"1" * 1000, **more}
    assert path.stat().st_size < 2000


def test_a_member_that_was_read_is_found_again_where_it_moved_to(tmp_path: Path) -> None:
    with ZipStore(zipped(tmp_path / "a.zip", {"a": b"1" * 100, "b": b"2"}), "a") as store:
        assert store.get("b") == b"2"
        store.delete("a")
        store.put("c", b"3")
        assert contents(store) == {"b": b"2", "c": b"3"}


def test_the_first_write_waits_for_those_who_read_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZipStore(zipped(tmp_path / "a.zip", {"a": b"1" * 100}), "a")
    writer = threading.Thread(target=store.put, args=("b", b"2"))

    def interrupted(fd: int, start: int, length: int) -> Any:
        if writer.ident is None:
            writer.start()
            writer.join(0.1)  # must still be waiting after this
        return read_at(fd, start, length)

    monkeypatch.setattr(archive_module, "read_at", interrupted)
    assert store.get("a") == b"1" * 100
    writer.join()
    assert contents(store) == {"a": b"1" * 100, "b": b"2"}
    store.close()


def test_values_that_were_replaced_or_deleted_do_not_fill_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with ZipStore(path, "w") as store:
        for i in range(50):
            store.put("a", bytes([i]) * 1000)
            store.put(f"x{i}", b"gone" * 100)
        for i in range(50):
            store.delete(f"x{i}")
        store.put("zarr.json", b"{}")
    assert path.stat().st_size < 1500
    assert contents(ZipStore(path)) == {"a": bytes([49]) * 1000, "zarr.json": b"{}"}
    with ZipStore(path, "a") as store:
        store.delete_prefix("")
    assert path.stat().st_size == 22
    assert contents(ZipStore(path)) == {}


def test_changing_an_archive_keeps_members_as_they_are(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"d": bytes(5000), "é": b"1"}, compression=zipfile.ZIP_DEFLATED)
    with ZipStore(path, "a", comment=b"new") as store:
        store.delete("é")
    with zipfile.ZipFile(path) as archive:
        (info,) = archive.infolist()
        assert (info.filename, info.compress_type, archive.read(info)) == (
            "d",
            zipfile.ZIP_DEFLATED,
            bytes(5000),
        )
        assert archive.comment == b"new"
    with ZipStore(path, "a") as store:
        store.put("e", b"2")
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == b"new"


def test_opening_to_change_and_changing_nothing_touches_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", VALUES)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    with ZipStore(path, "a") as store:
        store.delete("absent")
        assert contents(store) == VALUES
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    with ZipStore(tmp_path / "never.zip", "a"):
        pass
    assert names_in(tmp_path) == ["a.zip"]


def test_a_new_archive_without_values_is_an_empty_archive(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "a.zip", "w"):
        pass
    assert contents(ZipStore(tmp_path / "a.zip")) == {}


def test_a_closed_archive_refuses(tmp_path: Path) -> None:
    store = ZipStore(tmp_path / "a.zip", "w")
    store.close()
    calls = [("get", "a"), ("put", "a", b""), ("delete", "a"), ("list",), ("list_dir", ""), ("version", "a")]
    for method, *arguments in calls:
        with pytest.raises(StoreError, match="closed"):
            list(getattr(store, str(method))(*arguments))


def test_an_archive_that_nobody_closes_is_finished_when_it_is_dropped(tmp_path: Path) -> None:
    store = ZipStore(tmp_path / "a.zip", "w")
    store.put("a", b"1")
    del store
    gc.collect()
    assert contents(ZipStore(tmp_path / "a.zip")) == {"a": b"1"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_neither_writes_nor_finishes_the_archive_of_its_parent(tmp_path: Path) -> None:
    store = ZipStore(tmp_path / "a.zip", "w")
    store.put("a", b"1")
    child = os.fork()
    if child == 0:
        refused = 1
        try:
            store.put("b", b"2")
        except StoreError:
            refused = 0
        store.close()
        os._exit(refused or int(os.path.exists(tmp_path / "a.zip")))
    assert os.waitpid(child, 0)[1] == 0
    store.put("c", b"3")
    store.close()
    assert contents(ZipStore(tmp_path / "a.zip")) == {"a": b"1", "c": b"3"}


def test_many_threads_read_and_write_one_archive(tmp_path: Path) -> None:
    store = ZipStore(tmp_path / "a.zip", "w")
    faults: list[str] = []

    def work(i: int) -> None:
        for j in range(40):
            key = f"{i}/{j}"
            store.put(key, key.encode() * 50)
            if store.get(key) != key.encode() * 50:
                faults.append(key)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert faults == []
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 160
