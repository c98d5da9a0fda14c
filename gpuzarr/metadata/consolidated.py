"""Consolidated metadata: the documents of a group's members, each parsed when it is asked for.

The rule: a member that can't be read fails alone, when it is looked up, and is written back as it stood.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from gpuzarr.errors import GpuzarrError
from gpuzarr.metadata.forms import bad, located

if TYPE_CHECKING:
    from gpuzarr.dtypes import JSON

__all__ = ["Consolidated"]

MAX_DEPTH = 200
"""Names in the path of a member: walking down a hierarchy takes a few Python frames a level."""

M = TypeVar("M")


class Consolidated(Mapping[str, M], Generic[M]):
    """Paths relative to the group, to the metadata of what is there.

    `raw` has the documents as they were read: for format 3 a path's `zarr.json`; for format 2 the objects of
    its `.zarray` or `.zgroup`, and `.zattrs`, by those names. Looking a path up raises what parsing its
    documents raises.
    """

    __slots__ = ("_names", "_parse", "_parsed", "raw")

    def __init__(self, raw: dict[str, dict[str, JSON]], parse: Callable[[dict[str, JSON]], M]) -> None:
        for path in raw:
            _check(path)
        self.raw = raw
        self._parse = parse
        self._parsed: dict[str, M] = {}
        self._names: list[str] = []

    def __getitem__(self, path: str) -> M:
        found = self._parsed.get(path)
        if found is None:
            found = self._parsed[path] = located(path, self._parse, self.raw[path])
        return found

    def __contains__(self, path: object) -> bool:
        return path in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def below(self, path: str) -> Consolidated[M]:
        """What is under one of the members, by path relative to that. Nothing is parsed for it."""
        if len(self._names) != len(self.raw):
            self._names = sorted(self.raw)
        first = bisect_left(self._names, f"{path}/")
        last = bisect_left(self._names, f"{path}0", first)  # "0" follows "/"
        return Consolidated({n[len(path) + 1 :]: self.raw[n] for n in self._names[first:last]}, self._parse)

    def readable(self, path: str) -> M | None:
        """The member, or None where its documents can't be read."""
        try:
            return self[path]
        except GpuzarrError:
            return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Consolidated):
            return super().__eq__(other)
        return self.raw.keys() == other.raw.keys() and all(
            self.raw[p] == other.raw[p] or self.readable(p) == other.readable(p) is not None for p in self.raw
        )

    __hash__ = None  # type: ignore[assignment]  # as every mapping that can be equal to a dict

    def __repr__(self) -> str:
        return f"<Consolidated {len(self)} members>"


def _check(path: str) -> None:
    names = path.split("/")
    if len(names) > MAX_DEPTH or any(not name.strip(".") for name in names):
        bad(f"{path!r:.100} is not the path of a member", "consolidated_metadata")
