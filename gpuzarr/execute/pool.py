"""Threads for runs of rows. The caller is one of them, so that a busy or absent pool can never stop a read."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Pool"]

Item = TypeVar("Item")


class Pool:
    """`threads` workers in all, the caller counted in. Started when first needed, dropped in a forked child."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._workers: ThreadPoolExecutor | None = None
        _pools.add(self)

    def run(self, task: Callable[[Item], None], items: Iterable[Item], many: int) -> None:
        """Do `task` for every item, in any order. The first error stops the rest and is raised.

        `many` is how many items there are at most.
        """
        if self.threads < 2 or many < 2:
            for item in items:
                task(item)
            return
        queue = iter(items)
        lock = threading.Lock()
        errors: list[BaseException] = []

        def work() -> None:
            while not errors:
                with lock:
                    item = next(queue, _END)
                if item is _END:
                    return
                try:
                    task(item)  # type: ignore[arg-type]
                except BaseException as error:  # noqa: BLE001  # raised again by the caller
                    errors.append(error)

        helpers = [self._started().submit(work) for _ in range(min(self.threads, many) - 1)]
        work()
        for helper in helpers:
            if not helper.cancel():  # one that never started is not waited for
                helper.result()
        if errors:
            raise errors[0]

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self.threads - 1, "gpuzarr")
            return self._workers

    def _drop(self) -> None:
        """In a forked child the threads are gone, and the lock may be held by one of them."""
        self._lock = threading.Lock()
        self._workers = None


_END = object()
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _drop_all() -> None:
    for pool in list(_pools):
        pool._drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)
