"""Consolidated metadata beside the documents that it copies: what differs, is missing, or is too much."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gpuzarr.errors import GpuzarrError
from gpuzarr.metadata.v2 import array_of, group_of
from gpuzarr.metadata.v3 import node_of
from gpuzarr.validation.documents import quietly
from gpuzarr.validation.findings import Finding

__all__ = ["Objects", "spelled", "stale"]

Objects = Mapping[str, Any]
"""The objects of a node's documents, by the documents' names."""


def stale(
    path: str, key: str, copies: Mapping[str, Objects], members: Mapping[str, Objects], zarr_format: int
) -> Iterator[Finding]:
    """What is wrong with the copies that `key`, a document of the group at `path`, has of its members' documents.

    Both by paths relative to the group; "" is the group itself, where format 2 copies that too.
    """
    field = "consolidated_metadata" if zarr_format == 3 else "metadata"
    for name in sorted(copies.keys() | members.keys()):
        shown = f"{name!r:.200}" if name else "the group itself"
        if name not in members:
            reason = f"{shown} is listed, and is not there"
        elif name not in copies:
            reason = f"{shown} is there, and is not listed"
        elif not _same(copies[name], members[name], zarr_format):
            reason = f"{shown} is not as its own documents say: {_difference(copies[name], members[name])}"
        else:
            continue
        yield Finding("stale-consolidated", path, key, reason, field=field)


def _same(one: Objects, other: Objects, zarr_format: int) -> bool:
    if spelled(one) == spelled(other):
        return True
    models = [quietly([], _model, objects, zarr_format)[0] for objects in (one, other)]
    return models[0] is not None and bool(models[0] == models[1])


def _difference(one: Objects, other: Objects) -> str:
    """The members that two nodes' documents differ in."""
    names = set[str]()
    for document in one.keys() | other.keys():
        a, b = one.get(document) or {}, other.get(document) or {}
        if document == ".zattrs" or not isinstance(a, dict) or not isinstance(b, dict):
            names |= {document} if a != b else set()
        else:
            names |= {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}
    return ", ".join(sorted(names - {"consolidated_metadata"})) or "the order or spelling"


def spelled(objects: Objects) -> str:
    """The objects in one spelling, without what a group may hold of its own members."""
    plain = {
        name: {k: v for k, v in value.items() if k != "consolidated_metadata"} if isinstance(value, dict) else value
        for name, value in objects.items()
        if name != ".zattrs" or value
    }
    return json.dumps(plain, sort_keys=True)


def _model(objects: Objects, zarr_format: int) -> Any:
    found: dict[str, dict[str, Any]] = json.loads(spelled(objects))
    if not all(isinstance(value, dict) for value in found.values()):
        raise GpuzarrError("not objects")
    if zarr_format == 3:
        return node_of(found["zarr.json"])
    attributes = found.get(".zattrs", {})
    if ".zarray" in found:
        return array_of(found[".zarray"], attributes)
    return group_of(found.get(".zgroup", {}), attributes)
