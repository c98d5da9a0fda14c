"""What every document has in common: JSON text in and out, and checks of the values in it.

The rule: bytes are bounded before they are parsed, numbers before they are used; what fails names the member.
"""

from __future__ import annotations

import json
import math
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from gpuzarr.dtypes import JSON
from gpuzarr.errors import GpuzarrError, MetadataError, UnsupportedError
from gpuzarr.repairs import repaired

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "bad",
    "dump",
    "extras",
    "load",
    "located",
    "member",
    "object_of",
    "sizes",
]

MAX_DOCUMENT = 64 << 20
"""Bytes of a document; consolidated metadata of 100,000 arrays fits."""

MAX_NESTING = 200
"""Levels of objects and lists: copying and comparing them takes a few Python frames a level."""

MAX_NDIM = 64
"""NumPy's limit."""

MAX_INT = (1 << 63) - 1

P = ParamSpec("P")
T = TypeVar("T")


class RepeatedMembers(dict[str, Any]):
    """An object whose text has a name twice (the last one is kept): fit for attributes, refused elsewhere."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedMembers(found)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_BARE = {name: float(name) for name in ("NaN", "Infinity", "-Infinity")}


def bad(reason: str, field: str | None = None) -> NoReturn:
    raise MetadataError(reason, field=field)


def located(path: str, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`parse(...)`, its errors naming the node; parsing knows no path, so that results can be shared."""
    try:
        return parse(*args, **kwargs)
    except GpuzarrError as error:
        if isinstance(error, MetadataError | UnsupportedError):
            error.path = path
        raise


def load(document: bytes, name: str, *, repeats: bool = False) -> dict[str, JSON]:
    """The object that a document holds (RFC 8259, UTF-8; bare NaN and Infinity, and a byte order mark, are repaired).

    Only attributes may have a name twice (`repeats`): there the last one counts, as for every JSON parser.
    """
    if len(document) > MAX_DOCUMENT:
        bad(f"{name} has {len(document)} bytes, more than {MAX_DOCUMENT}")
    try:
        value = _parse(document.decode("utf-8"), "attributes" if name == ".zattrs" else None)
    except RecursionError:
        bad(f"{name} is nested deeper than {MAX_NESTING} levels")
    except ValueError as error:
        bad(f"{name} is not JSON: {error}")
    if document.count(b"[") + document.count(b"{") > MAX_NESTING and _is_deep(value):
        bad(f"{name} is nested deeper than {MAX_NESTING} levels")
    if repeats and isinstance(value, RepeatedMembers):
        return dict(value)
    return object_of(value, None, name)


def _parse(text: str, field: str | None) -> Any:
    """The value of a JSON text; `field` is what all of it belongs to, where that is one member of a node."""
    if text.startswith("\ufeff"):
        repaired("byte-order-mark", field)
        text = text[1:]
    if "NaN" not in text and "Infinity" not in text:
        return _DECODER.decode(text)
    bare: list[str] = []

    def constant(name: str) -> float:
        bare.append(name)
        return _BARE[name]

    value = json.JSONDecoder(object_pairs_hook=_object, parse_constant=constant).decode(text)
    if bare:
        members = value if isinstance(value, dict) and field is None else {field: value}
        for name in [n for n, v in members.items() if n != "fill_value" and _has_bare(v)]:
            repaired("bare-nan", name)
    return value


def _has_bare(value: Any) -> bool:
    """Whether a number that JSON has no word for is anywhere in a value (the fill value is looked at elsewhere)."""
    level = [value]
    while level:
        if any(isinstance(v, float) and not math.isfinite(v) for v in level):
            return True
        inside = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = list(chain.from_iterable(inside))
    return False


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = list(chain.from_iterable(map(_children, level)))
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [v for v in inside if isinstance(v, dict | list | tuple)]


def dump(document: Mapping[str, Any], name: str) -> bytes:
    """A document as bytes. Raises MetadataError for what JSON or a reader's limits have no room for."""
    try:
        text = json.dumps(document, indent=2, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(f"{name} can't be written as JSON: {error}", field=_culprit(document)) from None
    if len(text) > MAX_DOCUMENT:
        bad(f"{name} would have {len(text)} bytes, more than {MAX_DOCUMENT}")
    if text.count(b"[") + text.count(b"{") > MAX_NESTING and _is_deep(document):
        bad(f"{name} would be nested deeper than {MAX_NESTING} levels")
    return text


def _culprit(document: Mapping[str, Any]) -> str | None:
    for name, value in document.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return str(name)
    return None


def object_of(value: JSON, field: str | None, name: str) -> dict[str, JSON]:
    if type(value) is dict:
        return value
    if isinstance(value, RepeatedMembers):
        bad(f"{name} has a member twice", field)
    bad(f"{name} is not an object", field)


def member(document: Mapping[str, JSON], name: str) -> JSON:
    if name not in document:
        bad(f"{name} is missing", name)
    return document[name]


def extras(document: Mapping[str, JSON], known: frozenset[str], field: str | None = None) -> dict[str, JSON]:
    """The members that are not known and need not be understood; any other unknown one fails.

    Zarr 3.1 core, section "Metadata": a reader fails on a member that it does not recognise, unless that is
    an object with `"must_understand": false`.
    """
    found = {name: document[name] for name in document.keys() - known}
    for name, value in found.items():
        if not isinstance(value, dict) or value.get("must_understand") is not False:
            bad(f"unknown member {name!r:.100}", field or name)
    return found


def sizes(value: JSON, field: str) -> tuple[int, ...]:
    """A list of integers that are not negative; each, and their product, fits 64 bits."""
    if type(value) is not list:
        bad(f"{field} is not a list", field)
    for size in value:
        if type(size) is not int or not 0 <= size <= MAX_INT:
            bad(f"{size!r:.100} is no size: an integer in [0, 2**63) is", field)
    if len(value) > MAX_NDIM:
        raise UnsupportedError(f"{len(value)} dimensions", feature=f"more than {MAX_NDIM} dimensions")
    if math.prod(value) > MAX_INT:  # type: ignore[arg-type]  # checked above
        bad("more elements than 64 bits count", field)
    return tuple(value)  # type: ignore[arg-type]  # checked above
