"""Validation: everything that is wrong with a hierarchy, and everything that is only unusual.

Documents are judged by those who read them (`documents`), nodes and keys by where they are (`hierarchy`), copies by
what they copy (`consolidated`), chunks by decoding them (`execute.check`).
"""

from __future__ import annotations

from typing import Any

from gpuzarr.api import place
from gpuzarr.errors import NodeNotFoundError, UnsupportedError
from gpuzarr.execute import Executor, default_executor
from gpuzarr.store import N5Store, is_n5
from gpuzarr.validation.findings import RULES, Finding, Validation, rule_of

__all__ = ["RULES", "Finding", "Validation", "rule_of", "validate"]


def validate(
    store: Any,
    *,
    path: str | None = None,
    deep: bool = False,
    allow_pickle: bool = False,
    executor: Executor | None = None,
) -> Validation:
    """Find everything that is wrong with what is there, and everything that other readers take otherwise.

    Every document at and below `path` is judged, all of it, and every other key: to which node it belongs, and
    whether it names a chunk. Findings are "invalid" (no specification allows it, or gpuzarr refuses it), "repaired"
    (a known fault that is read with a MetadataWarning) or "unusual" (legal, but other readers refuse it or differ).
    Nothing is written.

    Parameters
    ----------
    store, path
        As `open`.
    deep
        Decode every stored chunk too, shard indexes and checksums with them.
    allow_pickle
        Take pickled objects for readable; with `deep` this runs code from the data.
    executor
        Whose threads decode.

    Raises NodeNotFoundError where there is nothing, UnsupportedError for N5, StoreError.

    >>> import gpuzarr
    >>> kept = {}
    >>> a = gpuzarr.create_array(kept, shape=(4,), dtype="uint8")
    >>> kept["c/7"] = b"left over"
    >>> found = gpuzarr.validate(kept)
    >>> found.valid, [(f.severity, f.rule, f.key) for f in found.findings]
    (True, [('unusual', 'outside-grid', 'c/7')])
    """
    from gpuzarr.validation.walk import walk

    where, base, _ = place(store, "r", path, None)
    try:
        return walk(where, base, executor or default_executor(), deep, allow_pickle)
    except NodeNotFoundError:
        if isinstance(where, N5Store) or is_n5(where, base):
            feature = "validation of N5"
            raise UnsupportedError("N5 has no documents of Zarr to validate", feature=feature) from None
        raise
