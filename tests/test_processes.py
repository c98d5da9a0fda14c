"""Forks, spawned processes, threads and Ctrl-C: nothing hangs, nothing is lost, pools stay usable."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from specimens import COMPRESSORS

import gpuzarr
from gpuzarr.errors import CodecError, StoreError, UnsupportedError
from gpuzarr.execute.pool import Pool
from gpuzarr.ranges import Requests
from gpuzarr.store import LocalStore, MappingStore, MemoryStore, ZipStore

TIMEOUT = 120
"""Seconds after which something hangs: far more than any of it takes."""

CODECS = ("raw", "zstd", "gzip", "lz4", "blosc lz4", "blosc zstd", "bz2")

SHAPE = (48, 256, 256)
"""Of uint16: 6 MiB, so that threads share the work."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def values() -> NDArray[Any]:
    return (np.arange(np.prod(SHAPE)) // 7).astype("u2").reshape(SHAPE)


def make(where: Any, codec: str = "zstd", **how: Any) -> gpuzarr.Array:
    given: dict[str, Any] = {"chunks": (1, 256, 256), "compressors": COMPRESSORS[codec], **how}
    array = gpuzarr.create_array(where, shape=SHAPE, dtype="u2", **given)
    array[...] = values()
    return array


def script(code: str, *arguments: Any) -> subprocess.Popen[str]:
    """A fresh interpreter that runs `code` with these tests imported."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-c", f"import sys; from test_processes import *\n{code}", *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    """What it prints; an error if it fails or never ends."""
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # shows where every thread stands
        _, err = process.communicate()
        pytest.fail(f"it hangs:\n{err}")
    assert process.returncode == 0, err
    return out


# ---- fork ----------------------------------------------------------------------------------------------------


def in_child(task: Callable[[], None]) -> int:
    """The exit status of a forked child that does `task`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        task()
        status = 0
    finally:
        os._exit(status)


def use(array: gpuzarr.Array) -> None:
    """Read and write, in threads."""
    assert (array[...] == values()).all()
    array[5:9, 1:] = values()[5:9, 1:]


def fork_after_use(folder: str, codec: str, native: bool) -> None:
    """The pool's threads, the locks and the contexts of codecs are those of the parent."""
    array = make(folder, codec, executor=gpuzarr.Executor(threads=3, native=native), overwrite=True)
    use(array)
    assert in_child(lambda: use(array)) == 0
    assert in_child(lambda: assert_zero(in_child(lambda: use(array)))) == 0
    use(array)


def assert_zero(status: int) -> None:
    assert status == 0


@needs_fork
@pytest.mark.parametrize("native", [False, True])
def test_a_forked_child_reads_and_writes_what_its_parent_used(tmp_path: Path, native: bool) -> None:
    code = f"for codec in CODECS: fork_after_use(sys.argv[1], codec, {native})"
    finished(script(code, tmp_path / "a"))


def fork_while_used(folder: str) -> None:
    """Forks at any moment: a thread that is not in the child may have held any lock."""
    how: dict[str, Any] = {"chunks": (1, 64, 256), "shards": (4, 256, 256)}
    array = make(folder, executor=gpuzarr.Executor(threads=3), **how)
    plain = array.configure(executor=gpuzarr.Executor(threads=2, native=False))
    stop = threading.Event()

    def work(a: gpuzarr.Array) -> None:
        while not stop.is_set():
            for k in range(0, SHAPE[0], 4):
                a[k : k + 4, :64]
                a.store.put(f"other/{k}", b"1")  # a new version: indexes are read and kept again and again
            array[:4] = values()[:4]

    threads = [threading.Thread(target=work, args=(a,)) for a in (array, plain, array)]
    for thread in threads:
        thread.start()
    try:
        for k in range(15):
            time.sleep(0.01)
            assert in_child(lambda a=(array, plain)[k % 2]: use_reading(a)) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def use_reading(array: gpuzarr.Array) -> None:
    signal.alarm(TIMEOUT // 2)  # a child that hangs does not outlive this
    assert (array[...] == values()).all()


@needs_fork
def test_a_child_forked_while_threads_read_and_write_does_not_hang(tmp_path: Path) -> None:
    finished(script("fork_while_used(sys.argv[1])", tmp_path / "a"))


def fork_with_locks_held(folder: str) -> None:
    """As if threads held them at that moment."""
    executor = gpuzarr.Executor(threads=3)
    array = make(folder, executor=executor, chunks=(1, 64, 256), shards=(4, 256, 256))

    def read() -> None:
        use_reading(array)
        assert array._source._indexes, "shard indexes are kept in the child too"

    with array._source._lock, executor.pool._lock:
        assert in_child(read) == 0


@needs_fork
def test_locks_that_are_held_at_a_fork_are_no_matter_for_the_child(tmp_path: Path) -> None:
    finished(script("fork_with_locks_held(sys.argv[1])", tmp_path / "a"))


def fork_with_archive_held(path: str) -> None:
    """A thread is in a zip archive that is being written: the child may read what is in it, and end."""
    held, done = threading.Event(), threading.Event()
    with ZipStore(path, "w") as store:
        array = make(store)

        def hold() -> None:
            with store._archive.lock:
                held.set()
                done.wait(TIMEOUT)

        def read_and_close() -> None:
            use_reading(array)
            store.close()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(TIMEOUT)
        try:
            assert in_child(read_and_close) == 0
        finally:
            done.set()
            thread.join()
    assert (gpuzarr.open_array(path)[...] == values()).all()


@needs_fork
def test_a_child_reads_an_archive_that_a_thread_was_writing(tmp_path: Path) -> None:
    finished(script("fork_with_archive_held(sys.argv[1])", tmp_path / "a.zip"))


def fork_while_joining(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is joining the requests of its read: what it works out for itself is no matter for others."""
    array = gpuzarr.open_array(folder, executor=gpuzarr.Executor(threads=2, native=False))
    joining, done, join = threading.Event(), threading.Event(), Requests.coalesced

    def held(*arguments: Any) -> Any:
        joining.set()
        done.wait(TIMEOUT)
        return join(*arguments)

    thread = threading.Thread(target=array.__getitem__, args=(...,))
    with monkeypatch.context() as patch:
        patch.setattr(Requests, "coalesced", held)
        thread.start()
        joining.wait(TIMEOUT)
    try:
        assert in_child(lambda: use_reading(array)) == 0
    finally:
        done.set()
        thread.join()


@needs_fork
def test_a_child_is_forked_while_a_thread_prepares_a_read(tmp_path: Path) -> None:
    make(tmp_path, chunks=(1, 64, 256), shards=(4, 256, 256))
    finished(script("fork_while_joining(sys.argv[1], pytest.MonkeyPatch())", tmp_path))


def fork_while_importing(folder: str, module: str) -> None:
    """A thread is importing what decodes: in the child that import would never end."""
    array = gpuzarr.open_array(folder, executor=gpuzarr.Executor(threads=1, native=False))
    importing, forking = threading.Event(), threading.Event()
    assert module not in sys.modules

    class Finder:
        """Makes the import last until the fork has begun."""

        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == module:
                importing.set()
                forking.wait(TIMEOUT)
                time.sleep(0.2)

    sys.meta_path.insert(0, Finder)
    os.register_at_fork(before=forking.set)  # called before those that were registered earlier
    thread = threading.Thread(target=array.__getitem__, args=(...,))
    thread.start()
    importing.wait(TIMEOUT)
    assert in_child(lambda: use_reading(array)) == 0
    thread.join()


@needs_fork
@pytest.mark.parametrize(
    ("codec", "module"), [("zstd", "numcodecs.zstd"), ("lz4", "numcodecs.lz4"), ("crc32c", "google_crc32c")]
)
def test_a_fork_waits_for_codecs_that_a_thread_is_importing(tmp_path: Path, codec: str, module: str) -> None:
    make(tmp_path, codec)
    finished(script(f"fork_while_importing(sys.argv[1], {module!r})", tmp_path))


# ---- spawn ---------------------------------------------------------------------------------------------------


def total(array: gpuzarr.Array) -> int:
    return int(array[...].sum())


def total_of_member(group: gpuzarr.Group) -> int:
    return total(group["a"])


def read_with(executor: gpuzarr.Executor, where: Any) -> tuple[str, int]:
    return repr(executor), total(gpuzarr.open_array(where, executor=executor))


@pytest.fixture(scope="module")
def spawned() -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_arrays_groups_executors_and_stores_are_sent_to_spawned_processes(tmp_path: Path, spawned: Any) -> None:
    group = gpuzarr.create_group(tmp_path / "g")
    executor = gpuzarr.Executor(threads=2, native=False)
    array = make(tmp_path / "g/a", executor=executor)
    wanted = int(values().sum())
    with ZipStore(tmp_path / "a.zip", "w") as store:
        make(store)
    kept: dict[str, bytes] = {}
    make(kept)

    def there(function: Any, *arguments: Any) -> Any:
        return spawned.submit(function, *arguments).result(TIMEOUT)

    assert there(total, array) == wanted
    assert there(total, array.configure(executor=gpuzarr.Executor())) == wanted
    assert there(total_of_member, group) == wanted
    assert there(read_with, executor, LocalStore(tmp_path / "g/a")) == (repr(executor), wanted)
    assert there(read_with, executor, ZipStore(tmp_path / "a.zip")) == (repr(executor), wanted)
    assert there(read_with, executor, MappingStore(kept)) == (repr(executor), wanted)


def test_what_lives_in_this_process_alone_is_not_sent_to_others(spawned: Any) -> None:
    with pytest.raises(UnsupportedError, match="pickle"):
        pickle.dumps(make(MemoryStore()))
    with pytest.raises(StoreError, match="another process"):
        spawned.submit(pickle.loads, pickle.dumps(make(MemoryStore("sent")))).result(TIMEOUT)


def test_an_error_comes_back_from_a_spawned_process_with_its_fields(tmp_path: Path, spawned: Any) -> None:
    array = make(tmp_path)
    (tmp_path / "c/3/0/0").write_bytes(b"?")
    with pytest.raises(CodecError) as caught:
        spawned.submit(total, array).result(TIMEOUT)
    assert (caught.value.key, caught.value.chunk) == ("c/3/0/0", (3, 0, 0))


def write_chunk(array: gpuzarr.Array, k: int) -> None:
    for _ in range(3):
        array[k] = values()[k]


@needs_fork
def test_processes_write_different_chunks_at_the_same_time(tmp_path: Path) -> None:
    array = gpuzarr.create_array(tmp_path, shape=SHAPE, dtype="u2", chunks=(1, 256, 256))
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(write_chunk, array, k) for k in range(16)]:
            done.result(TIMEOUT)
    assert (array[:16] == values()[:16]).all()
    assert not array[16:].any()


# ---- threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_many_callers_share_an_executor(tmp_path: Path, native: bool) -> None:
    executor = gpuzarr.Executor(threads=3, native=native)
    whole = make(tmp_path / "whole", executor=executor)
    sharded = make({}, "blosc lz4", chunks=(1, 128, 256), shards=(4, 256, 256), executor=executor)
    mine = [make(tmp_path / f"{k}", executor=executor) for k in range(2)]

    def call(k: int) -> None:
        a = (whole, sharded, *mine)[k % 4]
        if k % 4 > 1:
            a[k : k + 3, 1:] = 2 * values()[k : k + 3, 1:]
        part = slice(k, None, 1 + k % 3)
        found = a[part]
        assert found.shape == values()[part].shape
        if k % 4 < 2:
            assert (found == values()[part]).all()

    with ThreadPoolExecutor(8) as callers:
        for done in [callers.submit(call, k) for k in range(24)]:
            done.result(TIMEOUT)
    for n, array in enumerate(mine):
        wanted = values()
        for k in range(24):
            if k % 4 == n + 2:
                wanted[k : k + 3, 1:] = 2 * values()[k : k + 3, 1:]
        assert (array[...] == wanted).all()


class Slow(MappingStore):
    """A store that takes its time, counts who is in it, and fails for one key."""

    def __init__(self, mapping: dict[str, bytes], bad: str | None = None) -> None:
        super().__init__(mapping)
        self.bad, self.inside, self.calls = bad, 0, 0
        self.lock = threading.Lock()

    def get(self, key: str, range: Any = None) -> Any:
        with self.lock:
            self.inside, self.calls = self.inside + 1, self.calls + 1
        try:
            if key.startswith("c/"):
                time.sleep(0.01)
                if key == self.bad:
                    raise StoreError("no", key=key)
            return super().get(key, range)
        finally:
            with self.lock:
                self.inside -= 1


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("bad", ["c/0/0/0", "c/20/0/0", "c/47/0/0"])
def test_an_error_in_one_thread_ends_the_read_and_leaves_the_pool_usable(bad: str, native: bool) -> None:
    kept: dict[str, bytes] = {}
    make(kept)
    store = Slow(kept, bad)
    array = gpuzarr.open_array(store, executor=gpuzarr.Executor(threads=4, native=native))
    with pytest.raises(StoreError) as caught:
        array[...]
    assert caught.value.key == bad
    assert store.inside == 0
    store.bad = None
    assert (array[...] == values()).all()


def test_an_error_of_a_helping_thread_is_raised_as_it_is() -> None:
    caller = threading.get_ident()
    held = threading.Event()

    def task(item: int) -> None:
        if threading.get_ident() == caller:
            held.wait(TIMEOUT)
        else:
            held.set()
            raise KeyError(item)

    with pytest.raises(KeyError):
        Pool(2).run(task, range(100), 100)


def test_after_an_error_nothing_goes_on() -> None:
    pool, running, most = Pool(4), [], []

    def task(item: int) -> None:
        running.append(item)
        time.sleep(0.005)
        running.remove(item)
        most.append(item)
        if item == 5:
            raise ValueError(item)

    for _ in range(5):
        most.clear()
        with pytest.raises(ValueError, match="5"):
            pool.run(task, range(1000), 1000)
        assert not running
        assert len(most) < 50


def test_without_more_threads_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    array = make({}, executor=gpuzarr.Executor(threads=4))
    array = array.configure(executor=gpuzarr.Executor(threads=4))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert (array[...] == values()).all()
    assert (array[...] == values()).all()


def test_threads_end_with_their_executor() -> None:
    before = set(threading.enumerate())
    array = make({}, executor=gpuzarr.Executor(threads=4))
    assert (array[...] == values()).all()
    started = set(threading.enumerate()) - before
    assert 0 < len(started) <= 3
    del array
    gc.collect()
    for thread in started:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_arrays_are_read_and_written_while_the_interpreter_ends(tmp_path: Path) -> None:
    code = """
import atexit
array = make(sys.argv[1], executor=gpuzarr.Executor(threads=3))
def late():
    use(array)
    print("late")
atexit.register(late)
def later():
    threading.main_thread().join()
    use(array)
    print("later")
threading.Thread(target=later).start()
"""
    assert sorted(finished(script(code, tmp_path / "a")).split()) == ["late", "later"]


# ---- Ctrl-C --------------------------------------------------------------------------------------------------


def interrupted(folder: str, native: bool, threads: int, slow: bool) -> None:
    """Reads until Ctrl-C; then nothing of it goes on, and the same array can be read."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started deaf to it
    kept: dict[str, bytes] = {}
    store: Any = Slow(kept) if slow else folder
    array = make(store, executor=gpuzarr.Executor(threads=threads, native=native))
    print("ready", flush=True)
    try:
        while True:
            array[...]
    except KeyboardInterrupt:
        pass
    if slow:
        assert store.inside == 0
        calls = store.calls
        time.sleep(0.1)
        assert store.calls == calls
    assert (array[...] == values()).all()
    print("fine", flush=True)


def interrupted_while_waiting() -> None:
    """The caller has nothing left to do and waits for its helper, which Ctrl-C does not reach."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    caller, begun, running = threading.get_ident(), threading.Event(), []

    def task(item: int) -> None:
        if threading.get_ident() == caller:
            begun.wait(TIMEOUT)
            return
        running.append(item)
        begun.set()
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        running.remove(item)

    with pytest.raises(KeyboardInterrupt):
        Pool(2).run(task, range(2), 2)
    assert not running


needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX are sent")


@needs_posix
def test_ctrl_c_while_the_caller_waits_is_raised_when_its_helpers_are_done() -> None:
    finished(script("interrupted_while_waiting()"))


@needs_posix
@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(("native", "threads"), [(False, 1), (False, 3), (True, 1), (True, 3)])
def test_ctrl_c_ends_a_read_and_all_that_it_started(tmp_path: Path, native: bool, threads: int, slow: bool) -> None:
    process = script(f"interrupted(sys.argv[1], {native}, {threads}, {slow})", tmp_path / "a")
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        assert finished(process) == "fine\n"
    finally:
        process.kill()
        process.wait()
