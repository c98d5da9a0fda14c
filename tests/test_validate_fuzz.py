"""Whatever is stored, validation ends with a report, and agrees with what opening and reading make of it."""

from __future__ import annotations

import json
import warnings
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from specimens import NAMES, Specimen, specimen
from test_fuzz import changed, damaged, damaged_chunks, damaged_indexes, no_hang
from test_metadata import CONSOLIDATED, GROUP, V2, V3, ZMETADATA, text
from test_validate_documents import assert_agrees

import gpuzarr
from gpuzarr.errors import GpuzarrError, NodeNotFoundError
from gpuzarr.metadata import MetadataWarning
from gpuzarr.store import MemoryStore
from gpuzarr.validation import Validation

__all__ = ["no_hang"]

EXECUTOR = gpuzarr.Executor(threads=1)

names = st.sampled_from(
    ["a", "b c", "c", "0", "1", "0.1", "c.0.1", "__x", "...", "é", ".nczarray", "zarr.json", ".zarray", ".zgroup",
     ".zattrs", ".zmetadata"]
)  # fmt: skip
plain = st.sampled_from([text(d) for d in (V3, V2, GROUP, CONSOLIDATED, ZMETADATA, {"zarr_format": 2}, {}, [])])
contents = plain | plain.flatmap(changed) | plain.flatmap(damaged) | st.binary(max_size=20)
hierarchies = st.dictionaries(st.lists(names, min_size=1, max_size=4).map("/".join), contents, max_size=8)


def validated(stored: dict[str, bytes], deep: bool) -> Validation:
    """A report that can be written down."""
    store = MemoryStore()
    for key, value in stored.items():
        store.put(key, value)
    found = gpuzarr.validate(store, deep=deep, executor=EXECUTOR)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.findings == sorted(found.findings, key=lambda f: f.path)
    return found


@settings(deadline=None)
@given(hierarchies, st.booleans())
def test_any_hierarchy_is_validated(stored: dict[str, bytes], deep: bool) -> None:
    try:
        found = validated(stored, deep)
    except NodeNotFoundError:
        assert not any(key.rpartition("/")[2] in ("zarr.json", ".zarray", ".zgroup") for key in stored)
        return
    assert found.arrays + found.groups > 0


@settings(deadline=None)
@given(damaged_chunks() | damaged_indexes())
def test_what_reading_refuses_a_deep_validation_calls_invalid(case: tuple[Specimen, dict[str, bytes]]) -> None:
    whole, stored = case
    found = validated(stored, deep=True)
    try:
        gpuzarr.open_array(stored, mode="r", executor=EXECUTOR)[...]
    except GpuzarrError:
        assert not found.valid
        return
    if whole.name.startswith("chunks"):  # of shards, chunks outside the array are never read
        assert found.valid, found.findings


@settings(deadline=None)
@given(st.sampled_from(NAMES).map(specimen).flatmap(lambda s: st.tuples(st.just(s), changed(s.stored[s.document]))))
def test_what_opening_refuses_is_invalid(case: tuple[Specimen, bytes]) -> None:
    whole, document = case
    assert_agrees({whole.document: document})


def test_every_specimen_is_valid() -> None:
    for name in NAMES:
        whole = specimen(name)
        with warnings.catch_warnings():
            warnings.simplefilter("error", MetadataWarning)
            found: Any = gpuzarr.validate(whole.stored, deep=True, executor=EXECUTOR)
        assert found.valid, (name, found.findings)
        assert found.chunks > 0
