"""Attributes of a node as a mapping that writes through to the store."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

__all__ = ["Attributes"]


class Attributes(MutableMapping[str, Any]):
    """User attributes: any JSON. Every change rewrites the node's document at once; `update` rewrites it once.

    Values are handed out as copies, so that changing one in place changes nothing: assign it back.
    """

    def __init__(self, values: Mapping[str, Any], save: Callable[[dict[str, Any]], None]) -> None:
        self._values, self._save = dict(values), save

    def __getitem__(self, name: str) -> Any:
        return copy.deepcopy(self._values[name])

    def __setitem__(self, name: str, value: Any) -> None:
        self.put({**self._values, name: value})

    def __delitem__(self, name: str) -> None:
        rest = dict(self._values)
        del rest[name]
        self.put(rest)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Attributes({self._values!r})"

    def asdict(self) -> dict[str, Any]:
        """All attributes, as a copy."""
        return copy.deepcopy(self._values)

    def update(self, *args: Any, **named: Any) -> None:
        """Set several attributes, with one write."""
        self.put({**self._values, **dict(*args, **named)})

    def put(self, values: Mapping[str, Any]) -> None:
        """Replace all attributes."""
        kept = copy.deepcopy(dict(values))
        self._save(kept)
        self._values = kept
