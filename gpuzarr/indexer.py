"""Other ways of indexing: the same array under another rule of what stands in `[]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpuzarr import selection
from gpuzarr.selection import Selection

if TYPE_CHECKING:
    from gpuzarr.array import Array

__all__ = ["Indexer"]


class Indexer:
    """`a.oindex`, `a.vindex` or `a.blocks`: the same array under another rule of indexing."""

    def __init__(self, array: Array, rule: Callable[[Any, tuple[int, ...]], Selection]) -> None:
        self._array, self._rule = array, rule

    def __getitem__(self, wanted: Any) -> Any:
        fields, rest = selection.split_fields(wanted)
        chosen = self._rule(rest, self._array.shape)
        if fields is not None:
            return self._array._read_fields(fields, chosen)
        result = self._array._read(chosen)
        return self._array._scalar(result, wanted) if chosen.shape == () else result

    def __setitem__(self, wanted: Any, values: Any) -> None:
        fields, rest = selection.split_fields(wanted)
        self._array._assign(fields, self._rule(rest, self._array.shape), values)
