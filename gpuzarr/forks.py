"""What lets a process fork at any moment: a child has none of the threads that held a lock, or were importing."""

from __future__ import annotations

import os
import threading
import weakref
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Protocol

__all__ = ["importing", "module", "tell_child"]

importing = threading.RLock()
"""Held while something is imported or loaded late. A fork waits for it: a module that another thread was importing
would stay half made in the child, and locked."""


@cache
def module(name: str) -> ModuleType:
    """A package's module that is imported when it is first needed. Raises ImportError.

    >>> module("math").sqrt(9)
    3.0
    """
    with importing:
        return import_module(name)


class Forked(Protocol):
    """What has a lock, or threads."""

    def forked(self) -> None:
        """Make new, in a forked child, what a thread that is not there may have held."""


_owners: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_child(owner: Forked) -> None:
    """Have `owner.forked()` called in every forked child, as long as somebody has `owner`."""
    _owners.add(owner)


def _tell_all() -> None:
    for owner in list(_owners):
        owner.forked()


if hasattr(os, "register_at_fork"):
    # The thread that forks holds `importing` then, and so does its copy in the child: both let go of it.
    os.register_at_fork(before=importing.acquire, after_in_parent=importing.release, after_in_child=importing.release)
    os.register_at_fork(after_in_child=_tell_all)
