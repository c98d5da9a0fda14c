"""Threads for runs of rows. The caller is one of them, so that a busy or absent pool can never stop a read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from gpuzarr.forks import tell_child

__all__ = ["Pool"]

Item = TypeVar("Item")


class Pool:
    """`threads` workers in all, the caller counted in. Started when first needed, dropped in a forked child."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._workers: ThreadPoolExecutor | None = None
        tell_child(self)

    def run(self, task: Callable[[Item], None], items: Iterable[Item], many: int) -> None:
        """Do `task` for every item, in any order. The first error stops the rest and is raised.

        `many` is how many items there are at most. No item is being done any more when this returns or raises.
        """
        if self.threads < 2 or many < 2:
            for item in items:
                task(item)
            return
        work = _Work(task, items)
        helpers: list[Future[None]] = []
        try:
            with suppress(RuntimeError):  # the system gives no more threads, or the interpreter is about to end
                helpers.extend(self._started().submit(work.help) for _ in range(min(self.threads, many) - 1))
            work.do()
            work.wait()
        except BaseException as error:  # Ctrl-C while waiting
            work.errors.append(error)
            work.wait()
            raise
        finally:
            for helper in helpers:
                helper.cancel()  # one that never started is not waited for
        if work.errors:
            raise work.errors[0]

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self.threads - 1, "gpuzarr")
            return self._workers

    def forked(self) -> None:
        """In a child the threads are gone, and the lock may be held by one of them."""
        self._lock = threading.Lock()
        self._workers = None


class _Work(Generic[Item]):
    """The items of one call, which threads take one by one."""

    def __init__(self, task: Callable[[Item], None], items: Iterable[Item]) -> None:
        self.errors: list[BaseException] = []
        self._task, self._queue = task, iter(items)
        self._changed = threading.Condition(threading.Lock())
        self._helping = 0

    def do(self) -> None:
        """Do items until none is left or one has failed."""
        try:
            while not self.errors:
                with self._changed:
                    item: Any = next(self._queue, _END)
                if item is _END:
                    return
                self._task(item)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the caller of `run` gets it
            self.errors.append(error)

    def help(self) -> None:
        """The same, in a thread that is waited for from its first item on."""
        with self._changed:
            self._helping += 1
        try:
            self.do()
        finally:
            with self._changed:
                self._helping -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        """Wait for those who help: one that has not begun yet will find nothing to do."""
        with self._changed:
            while self._helping:
                self._changed.wait()


_END = object()
