"""What is set on an open array or group, and inherited by what is opened from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gpuzarr.execute import Executor, default_executor
from gpuzarr.memory import Memory, memory_of
from gpuzarr.memory.host import NumpyMemory

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """How an array is read and written; nothing of it is stored.

    `meta_array` names the memory of results; `order` is their layout, "C" or "F"; `strict` refuses what would not
    be decoded where the memory is; `write_empty_chunks` stores chunks of nothing but the fill value too.
    """

    meta_array: Any = None
    memory: Memory = field(default_factory=NumpyMemory)
    executor: Executor | None = None
    strict: bool = False
    write_empty_chunks: bool = False
    order: str = "C"
    allow_pickle: bool = False

    def changed(self, **changes: Any) -> Options:
        """The options with some of them changed; a None leaves the option as it is."""
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            return self
        if "meta_array" in changes:
            changes["memory"] = memory_of(changes["meta_array"])
        if changes.get("order", "C") not in ("C", "F"):
            raise ValueError(f"order must be 'C' or 'F', not {changes['order']!r}")
        if not isinstance(changes.get("executor"), Executor | None):
            raise TypeError(f"executor must be a gpuzarr.Executor, not {changes['executor']!r}")
        return replace(self, **changes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Device memory is sent to another process by the device's name, never by what is in it."""
        given = self.meta_array
        if self.memory.device is not None and self.memory.name == self.memory.device.name:  # not torch's
            given = self.memory.name
        rest = (self.executor, self.strict, self.write_empty_chunks, self.order, self.allow_pickle)
        return _restored, (given, *rest)

    @property
    def runner(self) -> Executor:
        """The executor that is used."""
        return self.executor or default_executor()


def _restored(meta_array: Any, executor: Any, strict: bool, empty: bool, order: str, allow_pickle: bool) -> Options:
    return Options(meta_array, memory_of(meta_array), executor, strict, empty, order, allow_pickle)
