"""The walk through a hierarchy that finds everything: documents first, then every other key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpuzarr import node
from gpuzarr.binding import bind_array
from gpuzarr.errors import GpuzarrError, NodeNotFoundError, StoreError
from gpuzarr.execute import Executor
from gpuzarr.execute.check import Examination, Rows
from gpuzarr.execute.source import Source
from gpuzarr.grid import KeyTable, cells
from gpuzarr.metadata import ArrayMetadata, Consolidated, GroupMetadata
from gpuzarr.metadata.forms import load
from gpuzarr.metadata.v2 import consolidated_of
from gpuzarr.store import Store
from gpuzarr.validation.consolidated import Objects, spelled, stale
from gpuzarr.validation.documents import Fault, Judged, judge_v2, judge_v3, quietly, rule_for
from gpuzarr.validation.findings import SEVERITIES, Finding, Validation
from gpuzarr.validation.hierarchy import Node, Nodes, documents, place
from gpuzarr.validation.readers import unusual_array_v2, unusual_array_v3, unusual_group_v2, unusual_v3

__all__ = ["walk"]

BATCH = 256
"""Values of an array that are examined at once."""


def walk(
    store: Store, base: str, executor: Executor, deep: bool = False, allow_pickle: bool = False
) -> Validation:
    """Everything that is wrong or unusual at and below a path; with `deep`, in every chunk too.

    Raises NodeNotFoundError where no document of Zarr is.
    """
    known = _Walk(store, base, executor, deep, allow_pickle)
    known.documents()
    known.copies()
    known.keys()
    result = known.result
    result.findings.extend(known.nodes.check())
    result.findings.sort(key=_order)
    return result


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.path, SEVERITIES.index(finding.severity), finding.key, finding.field or "", finding.chunk or ()


class _Walk:
    """What is known of the hierarchy so far."""

    def __init__(self, store: Store, base: str, executor: Executor, deep: bool, allow_pickle: bool) -> None:
        self.store, self.base, self.executor = store, base, executor
        self.deep, self.allow_pickle = deep, allow_pickle
        self.result = Validation(store.url, base, chunks=0 if deep else None)
        self.nodes = Nodes(base)
        self.groups: dict[str, tuple[str, Mapping[str, Objects]]] = {}

    def tell(self, rule: str, path: str, key: str, reason: str, field: str | None = None) -> None:
        self.result.findings.append(Finding(rule, path, key, reason, field))

    def blame(self, faults: list[Fault], path: str, key: str, inside: str = "") -> None:
        """Findings of what is wrong with one document."""
        for fault in faults:
            field = f"{inside}{fault.field or ''}".removesuffix(".") or None
            self.tell(fault.rule, path, key, fault.reason, field)

    # -- documents -----------------------------------------------------------------------------------------------

    def documents(self) -> None:
        """Judge the documents of every node."""
        found = documents(self.store, self.base)
        for path, names in sorted(found.items()):
            if "zarr.json" in names:
                self._node_v3(path)
            elif names & {".zarray", ".zgroup"}:
                self._node_v2(path, names)
        if not self.nodes.by_path:
            raise NodeNotFoundError(f"no array or group in {self.store.url}", path=self.base or "/")
        arrays = sum(found.is_array for found in self.nodes.by_path.values())
        self.result.arrays, self.result.groups = arrays, len(self.nodes.by_path) - arrays

    def read(self, path: str, name: str) -> dict[str, Any] | None:
        """The object that a document holds; None, and told, where it holds none."""
        key, faults = node.join(path, name), list[Fault]()
        try:
            data = bytes(self.store.get(key, node.BELIEVED) or b"")
        except StoreError as fault:
            self.tell("store", path, key, fault.reason)
            return None
        found, error = quietly(faults, load, data, name, repeats=name == ".zattrs")
        self.blame(faults, path, key)
        if error is not None:
            self.tell("json", path, key, error.reason)
        elif name == ".zattrs" and quietly([], load, data, name)[1] is not None:
            self.tell("repeated-member", path, key, "a name is there twice; the last one counts", "attributes")
        return found

    def _node_v3(self, path: str) -> None:
        document = self.read(path, "zarr.json")
        if document is None:
            self._add(Node(path, 3, False, broken=True), None)
            return
        judged = judge_v3(document, self.allow_pickle)
        is_array = isinstance(judged.metadata, ArrayMetadata) or document.get("node_type") == "array"
        unusual = unusual_array_v3(document) if is_array else unusual_v3(document)
        found = self._add(Node(path, 3, is_array), judged, *unusual)
        if isinstance(judged.metadata, GroupMetadata) and isinstance(judged.metadata.consolidated, Consolidated):
            copies = {name: dict(judged.metadata.consolidated.raw[name]) for name in judged.metadata.consolidated}
            self.groups[path] = found.key, copies

    def _node_v2(self, path: str, names: set[str]) -> None:
        is_array = ".zarray" in names
        if {".zarray", ".zgroup"} <= names:
            self.tell("two-kinds", path, node.join(path, ".zgroup"), "beside an .zarray, which counts")
        document = self.read(path, ".zarray" if is_array else ".zgroup")
        attributes = self.read(path, ".zattrs") if ".zattrs" in names else {}
        if document is None:
            self._add(Node(path, 2, is_array, broken=True), None)
            return
        judged = judge_v2(document, attributes or {}, is_array, self.allow_pickle)
        judged.opens = judged.opens and attributes is not None
        unusual = unusual_array_v2(document) if is_array else unusual_group_v2(document)
        self._add(Node(path, 2, is_array), judged, *unusual)
        if ".zmetadata" in names and not is_array:
            self._zmetadata(path)

    def _add(self, found: Node, judged: Judged | None, *unusual: Fault) -> Node:
        if judged is not None:
            array = judged.metadata if isinstance(judged.metadata, ArrayMetadata) else None
            found = replace(found, array=array, broken=not judged.opens)
            self.blame([*judged.faults, *unusual], found.path, found.key)
        self.nodes.by_path[found.path] = found
        return found

    def _zmetadata(self, path: str) -> None:
        key, document = node.join(path, ".zmetadata"), self.read(path, ".zmetadata")
        if document is None:
            return
        copies, error = quietly([], consolidated_of, document)
        if error is not None:
            self.tell(rule_for(error), path, key, error.reason, getattr(error, "field", None))
        if copies is None:
            return
        listed = document["metadata"]
        own = {name: listed[name] for name in (".zgroup", ".zattrs") if name in listed}
        self.groups[path] = key, {**copies.raw, **({"": own} if own else {})}

    # -- consolidated metadata -----------------------------------------------------------------------------------

    def copies(self) -> None:
        """Compare consolidated metadata with what it copies, and judge what differs."""
        for path, (key, copies) in self.groups.items():
            zarr_format = self.nodes.by_path[path].zarr_format
            members = dict(self._members(path, zarr_format))
            self.result.findings.extend(stale(path, key, copies, members, zarr_format))
            for name, objects in copies.items():
                if name and (name not in members or spelled(members[name]) != spelled(objects)):
                    self._copy(path, key, name, objects, zarr_format)

    def _members(self, path: str, zarr_format: int) -> Iterator[tuple[str, Objects]]:
        """The documents of the nodes below a group, of its format; of format 2 also its own."""
        for below, found in self.nodes.by_path.items():
            listed = self.nodes.reaches(path, below) if below != path else zarr_format == 2
            if listed and found.zarr_format == zarr_format:
                yield below[len(path) :].strip("/"), self._objects(found)

    def _objects(self, found: Node) -> Objects:
        objects: dict[str, Any] = {}
        names = ("zarr.json",) if found.zarr_format == 3 else (".zarray" if found.is_array else ".zgroup", ".zattrs")
        for name in names:
            data = self.store.get(node.join(found.path, name), node.BELIEVED)
            if data is not None:
                objects[name] = quietly([], load, bytes(data), name, repeats=True)[0]
        return objects

    def _copy(self, path: str, key: str, name: str, objects: Objects, zarr_format: int) -> None:
        """Judge a copy that is not what it copies."""
        member, faults = node.join(path, name), list[Fault]()
        document = objects.get("zarr.json") or objects.get(".zarray") or objects.get(".zgroup")
        if not isinstance(document, dict):
            faults = [Fault("document", None, "not an object")]
        elif zarr_format == 3:
            faults = judge_v3(document, self.allow_pickle).faults
        else:
            attributes = objects.get(".zattrs", {})
            faults = judge_v2(document, attributes, ".zarray" in objects, self.allow_pickle).faults
        field = "consolidated_metadata.metadata" if zarr_format == 3 else "metadata"
        self.blame(faults, member, key, f"{field}[{name!r:.200}].")

    # -- every other key -----------------------------------------------------------------------------------------

    def keys(self) -> None:
        """Find out what every key is; with `deep`, decode the chunks."""
        owners: dict[str, Node | None] = {}
        waiting: dict[str, list[tuple[int, ...]]] = {}
        for key in self.store.list(f"{self.base}/" if self.base else ""):
            found = place(key, self.nodes, owners)
            if isinstance(found, Finding):
                self.result.findings.append(found)
            elif found is not None and self.deep:
                owner, coords = found
                batch = waiting.setdefault(owner.path, [])
                batch.append(coords)
                if len(batch) == BATCH:
                    self._examine(owner, waiting.pop(owner.path))
        for path, batch in waiting.items():
            self._examine(self.nodes.by_path[path], batch)

    def _examine(self, owner: Node, coords: list[tuple[int, ...]]) -> None:
        """Decode some of an array's chunks."""
        array = owner.array
        if array is None:
            return
        chain = bind_array(array, owner.path, self.allow_pickle).chain
        chunk = np.array(coords, np.int64).reshape(len(coords), len(array.shape))
        keys = KeyTable(f"{owner.path}/" if owner.path else "", array.keys, chunk)

        def tell(rule: str, error: GpuzarrError) -> None:
            at = error.where()
            key, chunk, codec = (at.get(name) for name in ("key", "chunk", "codec"))
            self.result.findings.append(Finding(rule, owner.path, key or "", error.reason, None, chunk, codec))

        rows = Rows.whole(keys, chunk, cells(chunk, array.chunks))
        count = Examination(Source(self.store), self.executor.pool, tell).run(rows, chain)
        self.result.chunks = (self.result.chunks or 0) + count
