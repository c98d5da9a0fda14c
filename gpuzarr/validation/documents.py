"""What is wrong with a node's documents: all of it, by the word of those who read them.

The rule: nothing here knows what a document may say. The parser is asked; what it refuses is noted and put aside, by
something that can't be wrong, and the parser is asked again until it has no more to refuse. Codecs are asked one by
one, and bound, as opening does it. So what is opened and what is valid can't differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from gpuzarr.binding import bind_array
from gpuzarr.codecs.registry import make
from gpuzarr.dtypes import JSON, as_fill, encode_fill, from_v3
from gpuzarr.errors import GpuzarrError, UnknownCodecError, UnsupportedError
from gpuzarr.metadata import ArrayMetadata, CodecConfig, GroupMetadata, MetadataWarning
from gpuzarr.metadata.model import codec_list
from gpuzarr.metadata.v2 import array_of, group_of
from gpuzarr.metadata.v3 import node_of
from gpuzarr.validation.findings import rule_of

__all__ = ["Fault", "Judged", "judge_v2", "judge_v3", "quietly", "rule_for"]

P = ParamSpec("P")
T = TypeVar("T")

Document = dict[str, Any]
Metadata = ArrayMetadata | GroupMetadata
Parse = Callable[[Document], Metadata]
Mend = Callable[[Document], Document]

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}

STRUCTURE = frozenset(
    {"shape", "data_type", "dtype", "chunk_grid", "chunks", "codecs", "filters", "compressor", "storage_transformers"}
)
"""Members without which codecs can't be bound."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a document breaks, where, and how."""

    rule: str
    field: str | None
    reason: str


@dataclass(slots=True)
class Judged:
    """What a node's documents say, and everything that is wrong with them.

    `metadata` is what is left once all that is refused is put aside; None where nothing is. `opens` tells whether
    nothing is refused.
    """

    metadata: Metadata | None = None
    faults: list[Fault] = field(default_factory=list)
    opens: bool = True

    def refuse(self, where: str | None, error: GpuzarrError) -> None:
        self.opens = False
        self.faults.append(Fault(rule_for(error), where, error.reason))


def rule_for(error: GpuzarrError) -> str:
    """The rule that an error of opening is of."""
    if isinstance(error, UnsupportedError):
        return "unsupported"
    return "unknown-codec" if isinstance(error, UnknownCodecError) else "document"


def judge_v3(document: Document, allow_pickle: bool = False) -> Judged:
    """All that is wrong with the object that a `zarr.json` holds.

    >>> found = judge_v3({"zarr_format": 3, "node_type": "group", "attributes": 1, "more": 2})
    >>> sorted((fault.field, fault.reason) for fault in found.faults)
    [('attributes', 'attributes is not an object'), ('more', "unknown member 'more'")]
    """
    return _judge(document, node_of, _V3, allow_pickle)


def judge_v2(document: Document, attributes: Document, array: bool, allow_pickle: bool = False) -> Judged:
    """All that is wrong with the objects that an `.zarray` or a `.zgroup`, and an `.zattrs`, hold."""

    def parse(asked: Document) -> Metadata:
        return array_of(asked, attributes) if array else group_of(asked, attributes)

    return _judge(document, parse, _V2, allow_pickle)


def quietly(
    faults: list[Fault], parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> tuple[T | None, GpuzarrError | None]:
    """What `parse(...)` gives, or its error; the repairs it warns of become faults, each once."""
    found: T | None = None
    error: GpuzarrError | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MetadataWarning)
        try:
            found = parse(*args, **kwargs)
        except GpuzarrError as refused:
            error = refused
    for warning in (w.message for w in caught):
        if isinstance(warning, MetadataWarning):
            fault = Fault(warning.repair, warning.field, rule_of(warning.repair).text)
            if fault not in faults:
                faults.append(fault)
    return found, error


def _judge(document: Document, parse: Parse, mends: dict[str, Mend], allow_pickle: bool) -> Judged:
    judged, mended, asked = Judged(), set[str](), document
    while True:
        judged.metadata, error = quietly(judged.faults, parse, asked)
        if error is None:
            break
        name = _culprit(error, asked, parse, mends)
        if name == "codecs" and isinstance(asked.get("codecs"), list) and name not in mended:
            for where, refused in _unreadable(asked["codecs"], "codecs"):
                judged.refuse(where, refused)
        else:
            judged.refuse(name, error)
        if name is None or name in mended:
            return judged
        mended.add(name)
        asked = _mended(asked, name, mends)
    if isinstance(judged.metadata, ArrayMetadata):
        names = _places(document.get("codecs"), judged.metadata)
        _judge_codecs(judged, judged.metadata, names, mended, allow_pickle)
    return judged


def _culprit(error: GpuzarrError, document: Document, parse: Parse, mends: dict[str, Mend]) -> str | None:
    """The member that an error is about. Where it does not say: the one without which the outcome is another."""
    name: str | None = getattr(error, "field", None)
    if name == "data_type" and mends is _V2:
        return "dtype"
    if name is not None:
        return name
    for name in dict.fromkeys([*document, *mends]):
        _, other = quietly([], parse, _mended(document, name, mends))
        if other is None or (type(other), other.reason) != (type(error), error.reason):
            return name
    return None


def _mended(document: Document, name: str, mends: dict[str, Mend]) -> Document:
    """The document with something that can't be wrong for one of its members; what need not be there is left out."""
    if name in mends:
        return {**document, **mends[name](document)}
    return {member: value for member, value in document.items() if member != name}


def _ndim(document: Document) -> int:
    """How many axes there are, by what else tells it where `shape` does not."""
    grid = document.get("chunk_grid")
    inside = grid.get("configuration") if isinstance(grid, dict) else None
    chunks = inside.get("chunk_shape") if isinstance(inside, dict) else document.get("chunks")
    for listed in (document.get("shape"), chunks, document.get("dimension_names")):
        if isinstance(listed, list) and len(listed) <= 64:
            return len(listed)
    return 0


def _zero_v3(document: Document) -> Document:
    """The zero of the data type, which the parser has taken."""
    kind = from_v3(document["data_type"], None)
    return {"fill_value": encode_fill(as_fill(None, kind), kind, 3)}


def _readable_codecs(document: Document) -> Document:
    listed = document.get("codecs")
    if not isinstance(listed, list):
        return {"codecs": [BYTES]}
    return {"codecs": [item for item in listed if not any(_unreadable([item], ""))]}


def _without_filters(document: Document) -> Document:
    objects = {"dtype": "|u1", "fill_value": None} if document.get("dtype") == "|O" else {}
    return {"filters": None, **objects}


_V3: dict[str, Mend] = {
    "zarr_format": lambda _: {"zarr_format": 3},
    "node_type": lambda d: {"node_type": "array" if d.keys() & {"shape", "data_type", "codecs"} else "group"},
    "data_type": lambda _: {"data_type": "uint8", "fill_value": 0},
    "shape": lambda d: {"shape": [1] * _ndim(d)},
    "codecs": _readable_codecs,
    "chunk_grid": lambda d: {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1] * _ndim(d)}}
    },
    "chunk_key_encoding": lambda _: {"chunk_key_encoding": "default"},
    "fill_value": _zero_v3,
}
_V2: dict[str, Mend] = {
    "zarr_format": lambda _: {"zarr_format": 2},
    "filters": _without_filters,
    "compressor": lambda _: {"compressor": None},
    "dtype": lambda _: {"dtype": "|u1", "fill_value": None},
    "shape": lambda d: {"shape": [1] * _ndim(d)},
    "chunks": lambda d: {"chunks": [1] * _ndim(d)},
    "order": lambda _: {"order": "C"},
    "fill_value": lambda _: {"fill_value": None},
}


# ---- codecs ----------------------------------------------------------------------------------------------------------


def _unreadable(listed: Sequence[JSON], field: str) -> Iterator[tuple[str, GpuzarrError]]:
    """The codecs of a list, and of the shards in it, that are no codecs at all."""
    for k, item in enumerate(listed):
        where, inside = f"{field}[{k}]", False
        for name, inner in _inner(item):
            for found in _unreadable(inner, f"{where}.{name}"):
                inside = True
                yield found
        _, error = quietly([], codec_list, [item])
        if error is not None and not inside:
            yield where, error


def _inner(item: Any) -> list[tuple[str, list[Any]]]:
    """The lists of codecs inside a shard's codec."""
    if not isinstance(item, dict) or item.get("name") != "sharding_indexed":
        return []
    config = item.get("configuration")
    lists = [(name, config.get(name)) for name in ("codecs", "index_codecs")] if isinstance(config, dict) else []
    return [(name, found) for name, found in lists if isinstance(found, list)]


def _places(listed: Any, metadata: ArrayMetadata) -> list[tuple[str, CodecConfig]]:
    """The codecs that the parser took, and where in the document each is; `listed` are all that format 3 lists."""
    if metadata.zarr_format == 2:
        filters = [(f"filters[{k}]", codec) for k, codec in enumerate(metadata.filters or ())]
        return [*filters, *([] if metadata.compressor is None else [("compressor", metadata.compressor)])]
    items = listed if isinstance(listed, list) else [BYTES]
    taken = [k for k, item in enumerate(items) if not any(_unreadable([item], ""))]
    return [(f"codecs[{k}]", codec) for k, codec in zip(taken, metadata.codecs, strict=True)]


def _judge_codecs(
    judged: Judged,
    metadata: ArrayMetadata,
    configs: Sequence[tuple[str, CodecConfig]],
    mended: set[str],
    allow_pickle: bool,
) -> None:
    """Ask every codec for itself, then all of them together, if all that they are bound to is known."""
    refused = [*_unusable(configs, allow_pickle)]
    for where, error in refused:
        judged.refuse(where, error)
    if refused or mended & STRUCTURE:
        return
    _, together = quietly(judged.faults, bind_array, metadata, "", allow_pickle)
    if together is not None:
        judged.refuse("codecs" if metadata.zarr_format == 3 else "filters", together)


def _unusable(
    configs: Sequence[tuple[str, CodecConfig]], allow_pickle: bool
) -> Iterator[tuple[str, GpuzarrError]]:
    """The codecs that refuse their configuration, those inside shards too."""
    for where, config in configs:
        inside = False
        for name, listed in _inner({"name": config.name, "configuration": config.configuration}):
            inner = [(f"{where}.{name}[{k}]", c) for k, c in enumerate(codec_list(listed))]
            for found in _unusable(inner, allow_pickle):
                inside = True
                yield found
        _, error = quietly([], make, config, allow_pickle)
        if error is not None and not inside:
            yield where, error
