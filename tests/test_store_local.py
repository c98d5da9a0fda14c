"""What files promise beyond the contract of stores."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gpuzarr.errors import StoreError
from gpuzarr.ranges import ByteRange
from gpuzarr.store import LocalStore, Store


def contents(store: Store) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def fill(store: Store, values: dict[str, bytes]) -> Store:
    for key, value in values.items():
        store.put(key, value)
    return store


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "root")


def names_in(folder: str | Path) -> list[str]:
    return sorted(name for _, folders, files in os.walk(folder) for name in folders + files)


class Crash(BaseException):
    """What ends a process, as far as a store can tell."""


def test_a_value_is_a_plain_file(local: LocalStore, tmp_path: Path) -> None:
    local.put("a/b/c", b"123")
    assert (tmp_path / "root" / "a" / "b" / "c").read_bytes() == b"123"
    assert local.file_path("a/b/c") == str(tmp_path / "root" / "a" / "b" / "c")
    assert names_in(tmp_path) == ["a", "b", "c", "root"]


@pytest.mark.parametrize(
    ("error", "expected"), [(Crash(), Crash), (OSError(28, "No space left on device"), StoreError)]
)
def test_what_happens_before_the_rename_leaves_the_old_value(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch, error: BaseException, expected: type[BaseException]
) -> None:
    local.put("a/b", b"old")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(expected):
        local.put("a/b", b"new")
    assert contents(local) == {"a/b": b"old"}
    assert names_in(local.root) == ["a", "b"]


def test_a_file_that_a_killed_writer_left_is_no_key_and_does_no_harm(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.put("a/b", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(Crash()))
        patch.setattr(os, "unlink", lambda *_: None)  # the process ends before it cleans up
        with pytest.raises(Crash):
            local.put("a/b", b"new")
    assert len(names_in(local.root)) == 3
    assert contents(local) == {"a/b": b"old"}
    assert local.list_dir("a") == ["b"]
    local.put("a/b", b"newer")
    assert contents(local) == {"a/b": b"newer"}
    local.delete_prefix("a")
    assert names_in(local.root) == []


def test_a_full_disk_is_an_error_that_names_the_key(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpuzarr.store.local._write", full)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        local.put("a/b", b"1")
    assert caught.value.key == "a/b"
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.skipif(not hasattr(os, "pread"), reason="reads by another call here")
def test_reads_and_writes_that_the_system_cuts_short_go_on(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    value = os.urandom(10_000)
    pread = os.pread
    monkeypatch.setattr("gpuzarr.store.local._write", lambda fd, parts: os.write(fd, b"".join(parts)[:999]))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 777), at))
    local.put("a", value)
    local.put_parts("b", [value[:10], value[10:20], b"", value[20:998], value[998:999], value[999:]])
    assert contents(local) == {"a": value, "b": value}
    assert bytes(local.get("a", ByteRange(5000, 3000)) or b"") == value[5000:8000]


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 3000])
def test_parts_become_one_value(local: LocalStore, count: int) -> None:
    parts = [bytes([i % 256]) * (i % 4) for i in range(count)]
    local.put_parts("a/b", parts)
    assert contents(local) == {"a/b": b"".join(parts)}


def test_a_file_that_is_large_on_paper_costs_only_what_is_asked_for(local: LocalStore) -> None:
    local.put("a", b"")
    with open(local.file_path("a"), "r+b") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"here")
    assert bytes(local.get("a", ByteRange(1 << 39, 6)) or b"") == b"here\0\0"
    assert bytes(local.get("a", ByteRange(-3)) or b"") == bytes(3)


def test_a_value_that_does_not_fit_into_memory_is_an_error(local: LocalStore) -> None:
    local.put("a", b"")
    os.truncate(local.file_path("a"), 1 << 43)
    with pytest.raises(StoreError, match="Memory") as caught:
        local.get("a")
    assert caught.value.key == "a"


def test_a_key_is_a_value_or_a_folder_but_not_both(local: LocalStore) -> None:
    fill(local, {"a/b": b"1", "c": b"2"})
    for key in ["a", "c/d", "c/d/e"]:
        with pytest.raises(StoreError) as caught:
            local.put(key, b"3")
        assert caught.value.key == key
    assert contents(local) == {"a/b": b"1", "c": b"2"}


def test_a_folder_that_vanishes_while_it_is_written_to_is_made_again(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, made = os.mkdir, []

    def unlucky(path: str, *more: Any) -> None:
        mkdir(path, *more)
        made.append(path)
        if len(made) in (3, 4):  # somebody deletes the last key in it just now
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", unlucky)
    local.put("a/b/c", b"1")
    assert contents(local) == {"a/b/c": b"1"}
    assert len(made) > 3


def test_fsync_reaches_the_file_its_folder_and_folders_that_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, synced = os.fsync, []

    def counted(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", counted)
    LocalStore(tmp_path / "no").put("a/b", b"1")
    assert synced == []
    LocalStore(tmp_path / "yes", fsync=True).put("a/b", b"1")
    paths = [tmp_path / "yes" / "a" / "b", tmp_path / "yes" / "a", tmp_path / "yes", tmp_path]
    assert {path.stat().st_ino for path in paths} <= set(synced)


def test_many_threads_write_one_key_and_readers_see_whole_values(local: LocalStore) -> None:
    values = [bytes([i]) * 5000 for i in range(4)]
    local.put("a/b", values[0])
    faults: list[Any] = []

    def work(i: int) -> None:
        for _ in range(60):
            local.put("a/b", values[i])
            local.put(f"own/{i}/x", values[i])
            local.delete(f"own/{i}/x")
            if local.get("a/b") not in values:
                faults.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert list(local.list()) == ["a/b"]


def test_a_version_is_not_trusted_until_the_clock_has_moved_on(local: LocalStore) -> None:
    local.put("a", b"1")
    assert local.version("a") != local.version("a")  # the next value may have the same time, size and inode
    os.utime(local.file_path("a"), (1, 1))
    assert local.version("a") == local.version("a")


def test_deleting_a_prefix_leaves_no_empty_folders_above_it(local: LocalStore) -> None:
    local.put("a/b/c/d", b"1")
    local.delete_prefix("a/b/c")
    assert local.list_dir("") == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_but_never_deleted_through(local: LocalStore, tmp_path: Path) -> None:
    elsewhere = LocalStore(tmp_path / "elsewhere")
    fill(elsewhere, {"x": b"1", "y/z": b"2"})
    local.put("a/b", b"3")
    os.symlink(elsewhere.root, local.file_path("a/link"))
    assert contents(local) == {"a/b": b"3", "a/link/x": b"1", "a/link/y/z": b"2"}
    local.delete_prefix("a/link")
    assert contents(local) == {"a/b": b"3"}
    os.symlink(elsewhere.root, local.file_path("a/link"))
    local.delete_prefix("a")
    assert contents(local) == {}
    assert contents(elsewhere) == {"x": b"1", "y/z": b"2"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_circle_of_links_is_listed_once_around(local: LocalStore) -> None:
    fill(local, {"a/x": b"1", "b/y": b"2"})
    os.symlink(local.file_path("b"), local.file_path("a/to_b"))
    os.symlink(local.file_path("a"), local.file_path("b/to_a"))
    os.symlink("nowhere", local.file_path("a/broken"))
    assert sorted(local.list()) == ["a/to_b/y", "a/x", "b/to_a/x", "b/y"]
    assert local.get("a/broken") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_folder_is_an_error_and_not_a_wait(local: LocalStore) -> None:
    local.put("a", b"1")
    os.mkfifo(local.file_path("pipe"))
    with pytest.raises(StoreError):
        local.get("pipe")
    assert list(local.list()) == ["a"]


def test_a_name_that_no_file_can_have_is_an_error_that_names_the_key(local: LocalStore) -> None:
    for key in ["x" * 5000, "\ud800"]:
        for method, *more in [("get",), ("put", b""), ("delete",), ("version",)]:
            with pytest.raises(StoreError) as caught:
                getattr(local, str(method))(key, *more)
            assert caught.value.key == key


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("here")
    monkeypatch.chdir(Path(tmp_path.anchor))
    store.put("a", b"1")
    assert (tmp_path / "here" / "a").exists()
