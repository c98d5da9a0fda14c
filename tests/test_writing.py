"""How arrays get into a folder: the same files whoever writes them, each whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_calls import needs_module, put_one
from numpy.typing import NDArray
from strategies import NATIVE, NATIVE_THREADS, PYTHON, THREADS, Case, basic, cases, small_runs

import gpuzarr
from gpuzarr import native
from gpuzarr.errors import StoreError
from gpuzarr.execute import compiled, write
from gpuzarr.store import LocalStore

EDGE = 64
SHARDED = {"chunks": (EDGE // 4, EDGE), "shards": (EDGE, EDGE)}
LAYOUTS: dict[str, dict[str, Any]] = {"chunks": {"chunks": (EDGE, EDGE)}, "shards": SHARDED}
layouts = pytest.mark.parametrize("layout", LAYOUTS)
executors = pytest.mark.parametrize("executor", [NATIVE, NATIVE_THREADS, PYTHON, THREADS], ids=repr)


@pytest.fixture(autouse=True)
def _small_shards_are_streamed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "STREAMED", 1)


def make(where: Any, layout: str = "chunks", rows: int = 2, **how: Any) -> gpuzarr.Array:
    """An array of `rows` values in storage, one above the other."""
    given = {"compressors": None, **LAYOUTS[layout], **how}
    return gpuzarr.create_array(where, shape=(rows * EDGE, EDGE), dtype="u2", **given)


def values(rows: int = 2) -> NDArray[Any]:
    return np.arange(1, rows * EDGE * EDGE + 1, dtype="u2").reshape(rows * EDGE, EDGE)


def stored(folder: str | Path) -> dict[str, bytes]:
    """Every file under a folder but the metadata, whatever its name."""
    found = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.name not in ("zarr.json", ".zarray")}


# ---- the same files ------------------------------------------------------------------------------------------


def is_deflated(case: Case) -> bool:
    """Whether its bytes are those of whichever library is there: all of them are right."""
    return "'gzip'" in str(case.how) or "'zlib'" in str(case.how)


@given(case=cases().filter(lambda case: not is_deflated(case)), data=st.data())
def test_both_ways_leave_the_same_files(case: Case, data: st.DataObject) -> None:
    """Whole arrays over nothing, then parts over those: with chunks of nothing but fill among them."""
    case.local = True
    wanted = data.draw(basic(case.shape))
    found = []
    for executor in (PYTHON, NATIVE, NATIVE_THREADS):
        with case.store() as where, small_runs():
            array = case.make(where, executor)
            array[...] = case.values()
            first = stored(where)
            array[wanted] = np.zeros((), array.dtype)
            found.append((first, stored(where)))
    assert found[0] == found[1] == found[2]


@executors
@layouts
def test_chunks_of_nothing_but_fill_are_removed_with_their_folders(
    tmp_path: Path, layout: str, executor: gpuzarr.Executor
) -> None:
    array = make(tmp_path / "a", layout, executor=executor)
    array[...] = values()
    assert sorted(stored(tmp_path)) == ["a/c/0/0", "a/c/1/0"]
    array[EDGE:] = 0
    assert sorted(stored(tmp_path)) == ["a/c/0/0"]
    assert not (tmp_path / "a" / "c" / "1").exists()
    array[...] = 0
    assert sorted(os.listdir(tmp_path / "a")) == ["zarr.json"]


@executors
@layouts
def test_files_and_folders_are_made_as_the_umask_says(tmp_path: Path, layout: str, executor: gpuzarr.Executor) -> None:
    array = make(tmp_path / "a", layout, executor=executor)
    before = os.umask(0o027)
    try:
        array[...] = values()
    finally:
        os.umask(before)
    assert (tmp_path / "a/c/1/0").stat().st_mode & 0o777 == 0o640
    assert {(tmp_path / "a" / name).stat().st_mode & 0o777 for name in ("c", "c/0", "c/1")} == {0o750}


@executors
@layouts
def test_links_to_folders_are_followed_and_links_to_values_replaced(
    tmp_path: Path, layout: str, executor: gpuzarr.Executor
) -> None:
    array = make(tmp_path / "a", layout, executor=executor)
    (tmp_path / "far").mkdir()
    (tmp_path / "a" / "c").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "0").mkdir()
    (tmp_path / "other").write_bytes(b"untouched")
    (tmp_path / "far" / "0" / "0").symlink_to(tmp_path / "other")
    array[...] = values()
    assert (array[...] == values()).all()
    assert sorted(stored(tmp_path / "far")) == ["0/0", "1/0"]
    assert not (tmp_path / "far" / "0" / "0").is_symlink()
    assert (tmp_path / "other").read_bytes() == b"untouched"


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders are not synced here")
@executors
def test_a_store_that_syncs_does_so_for_every_value(
    tmp_path: Path, executor: gpuzarr.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = make(LocalStore(tmp_path, fsync=True), executor=executor)
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(os.fstat(fd).st_ino))
    array[...] = values()
    for name in ("c/0/0", "c/1/0", "c/0", "c/1", "c", "."):
        assert (tmp_path / name).stat().st_ino in synced, name


# ---- whole or not at all -------------------------------------------------------------------------------------

CUT_SHORT = """
    import resource, signal, sys
    import gpuzarr, numpy as np
    from gpuzarr.errors import StoreError
    from gpuzarr.execute import write

    folder, native, deadly, limit = sys.argv[1], sys.argv[2] == "native", sys.argv[3] == "deadly", int(sys.argv[4])
    write.STREAMED = 1
    array = gpuzarr.open_array(folder, mode="r+", executor=gpuzarr.Executor(threads=1, native=native))
    # From here on no file may grow larger than this: writing more ends the process, or is an error.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        array[...] = np.full(array.shape, 7, "u2")
    except StoreError as error:
        sys.exit(f"{error.key}: {error}")
"""


def cut_short(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A process that overwrites an array, and gets no further than a number of bytes into the first value."""
    command = [sys.executable, "-c", textwrap.dedent(CUT_SHORT), str(folder), *map(str, arguments)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120)


ways = pytest.mark.parametrize("way", [pytest.param("native", marks=needs_module), "python"])
needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="files have no limits here")


@needs_limits
@ways
@layouts
def test_a_writer_killed_within_a_value_leaves_the_old_one(tmp_path: Path, layout: str, way: str) -> None:
    array = make(tmp_path / "a", layout)
    array[...] = values()
    before = stored(tmp_path / "a" / "c")
    killed = cut_short(tmp_path / "a", way, "deadly", 5000)
    assert killed.returncode < 0, killed.stderr
    after = stored(tmp_path / "a" / "c")
    left = after.keys() - before.keys()
    # It was in the middle of a value: what it left is a part of that, under a name that is no key.
    assert [len(after[name]) for name in left] == [5000]
    assert {name: after[name] for name in before} == before
    assert sorted(LocalStore(tmp_path / "a").list("c")) == ["c/0/0", "c/1/0"]
    assert (array[...] == values()).all()


@needs_limits
@ways
@layouts
def test_a_full_disk_is_an_error_that_names_the_value_and_leaves_the_old_one(
    tmp_path: Path, layout: str, way: str
) -> None:
    array = make(tmp_path / "a", layout)
    array[...] = values()
    before = stored(tmp_path)
    failed = cut_short(tmp_path / "a", way, "harmless", 5000)
    assert failed.returncode == 1
    assert failed.stderr.startswith("c/0/0: can't write: File too large"), failed.stderr
    assert stored(tmp_path) == before


@executors
@layouts
def test_what_is_in_the_way_of_a_value_is_an_error_that_names_it(
    tmp_path: Path, layout: str, executor: gpuzarr.Executor
) -> None:
    array = make(tmp_path / "a", layout, 4, executor=executor)
    (tmp_path / "a" / "c").mkdir()
    (tmp_path / "a" / "c" / "2").write_bytes(b"a file where a folder should be")
    with pytest.raises(StoreError) as caught:
        array[...] = values(4)
    assert caught.value.key == "c/2/0"
    (tmp_path / "a" / "c" / "2").unlink()
    (tmp_path / "a" / "c" / "1" / "0").unlink(missing_ok=True)
    (tmp_path / "a" / "c" / "1" / "0").mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        array[...] = values(4)
    assert caught.value.key == "c/1/0"
    assert [name for name in stored(tmp_path) if ".gpuzarr-" in name] == []
    (tmp_path / "a" / "c" / "1" / "0").rmdir()
    array[...] = values(4)
    assert (array[...] == values(4)).all()


@executors
def test_a_folder_that_may_not_be_written_to_is_an_error(tmp_path: Path, executor: gpuzarr.Executor) -> None:
    array = make(tmp_path / "a", executor=executor)
    array[...] = values()
    folder = tmp_path / "a" / "c" / "1"
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("nothing is forbidden to this user")
        with pytest.raises(StoreError, match="Permission denied") as caught:
            array[...] = values() + 1
        assert caught.value.key == "c/1/0"
    finally:
        folder.chmod(0o700)
    assert (array[EDGE:] == values()[EDGE:]).all()


# ---- shards that are written while they are encoded ----------------------------------------------------------


class Crash(BaseException):
    """What ends a process, as far as a writer can tell."""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_shard_whose_encoding_fails_stays_what_it_was(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = make(tmp_path / "a", "shards", 4, executor=gpuzarr.Executor(threads=threads))
    array[...] = values(4)
    before = stored(tmp_path)
    pack, packed = write.Leaf.pack, []

    def failing(leaf: write.Leaf, rows: range) -> Iterator[tuple[Any, list[int]]]:
        packed.append(rows)
        if len(packed) > 3:
            raise Crash
        return pack(leaf, rows)

    monkeypatch.setattr(write, "RUN", 1)
    monkeypatch.setattr(write.Leaf, "pack", failing)
    with pytest.raises(Crash):
        array[...] = values(4) + 1
    assert stored(tmp_path) == before
    assert len(packed) <= 3 + threads


def test_the_other_shards_are_given_up_when_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = make(tmp_path / "a", "shards", 2, executor=gpuzarr.Executor(threads=1))
    plan_of, seen = write.Shards.parts, []

    def failing(shards: write.Shards, row: int) -> Iterator[Any]:
        seen.append(row)
        shards.error = Crash()
        return plan_of(shards, row)

    monkeypatch.setattr(write.Shards, "parts", failing)
    with pytest.raises(Crash):
        array[...] = values()
    assert (seen, stored(tmp_path)) == ([0], {})


def test_shards_of_threads_that_would_idle_are_assembled_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed: list[int] = []
    put = write.Shards.put

    def spied(shards: write.Shards, row: int) -> None:
        streamed.append(row)
        put(shards, row)

    monkeypatch.setattr(write.Shards, "put", spied)
    for count, expected in ((1, 0), (2, 0), (3, 3), (4, 0), (6, 6), (13, 13)):
        streamed.clear()
        array = make(tmp_path / str(count), "shards", count, executor=gpuzarr.Executor(threads=3))
        array[...] = values(count)
        assert len(streamed) == expected
        assert (array[...] == values(count)).all()


@needs_module
def test_a_chunk_that_the_module_leaves_to_python_keeps_its_place_in_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a", "shards", executor=PYTHON)[...] = values()
    monkeypatch.setattr(compiled.Writer, "pack", lambda *_: None)
    make(tmp_path / "b", "shards", executor=NATIVE)[...] = values()
    assert stored(tmp_path / "a") == stored(tmp_path / "b")


# ---- the compiled module -------------------------------------------------------------------------------------


@needs_module
def test_the_module_puts_new_values_without_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = make(LocalStore(tmp_path), executor=NATIVE_THREADS)
    monkeypatch.setattr(LocalStore, "put", None)
    monkeypatch.setattr(LocalStore, "put_parts", None)
    array[...] = values()
    assert (array[...] == values()).all()


@needs_module
@pytest.mark.parametrize("fault", ["taken", "no folder", "no name"])
def test_the_module_has_a_status_for_a_value_it_can_not_put(tmp_path: Path, fault: str) -> None:
    (tmp_path / "new").write_bytes(b"of somebody else")
    prefix = {"taken": f"{tmp_path}/", "no folder": "x", "no name": f"{tmp_path}/"}[fault]
    name = {"taken": "new", "no folder": "new", "no name": ""}[fault]
    chunk = np.arange(8, dtype=np.uint8).reshape(8, 1)
    assert put_one(chunk, prefix, name) == (native.IO if fault == "taken" else native.DECLINED)
    assert stored(tmp_path) == {"new": b"of somebody else"}
    assert put_one(chunk, f"{tmp_path}/made/", "fresh") == native.OK
    assert stored(tmp_path) == {"new": b"of somebody else", "made/0": bytes(chunk)}
