"""`gpuzarr info` and `gpuzarr tree`: what is there."""

from __future__ import annotations

from typing import Any

import gpuzarr
from gpuzarr import edges
from gpuzarr.cli.text import as_json
from gpuzarr.errors import GpuzarrError
from gpuzarr.report import Explanation, GroupInfo, Info
from gpuzarr.report.summary import array_text, members
from gpuzarr.report.words import aligned, printable

__all__ = ["info", "tree"]


def info(where: str, meta_array: str, json: bool) -> int:
    """Print what an array or a group is, what it takes in its store, its attributes, where its codecs run."""
    found = gpuzarr.open(where, mode="r", meta_array=meta_array)
    summary, first = _described(found)
    attributes = dict(found.attrs)
    if json:
        ran = {} if first is None else {"decodes": _decodes(first)}
        print(as_json({**summary.to_dict(), "attributes": attributes, **ran}))
        return 0
    print(summary)
    if first is not None:
        stages = "\n".join(map(str, first.stages))
        print(f"\ndecodes into {first.memory} memory:\n{aligned([('', stages)])}")
    if attributes:
        rows = [(f"  {printable(k)}", printable(" ".join(as_json(v).split()))) for k, v in attributes.items()]
        print(f"\nattributes:\n{aligned(rows)}")
    return 0


def _described(found: gpuzarr.Array | gpuzarr.Group) -> tuple[Info | GroupInfo, Explanation | None]:
    if isinstance(found, gpuzarr.Group):
        return GroupInfo(found, complete=True), None
    return Info(found, complete=True), _first_chunk(found)


def _first_chunk(array: gpuzarr.Array) -> Explanation:
    """What reading one chunk takes: enough to tell where codecs run, without a look at every shard."""
    return array.explain(tuple(slice(0, n) for n in array._chunking.first()))


def _decodes(found: Explanation) -> dict[str, Any]:
    said = found.to_dict()
    return {name: said[name] for name in ("memory", "compiled", "why_not_compiled", "stages")}


def tree(where: str, json: bool) -> int:
    """Print the hierarchy below a group; an array is a tree of one."""
    found = gpuzarr.open(where, mode="r")
    if json:
        print(as_json(_branch(found)))
    elif isinstance(found, gpuzarr.Array):
        print(f"{printable(found.name)} {array_text(found)}")
    else:
        print(found.tree())
    return 0


def _branch(found: gpuzarr.Array | gpuzarr.Group | GpuzarrError) -> dict[str, Any]:
    if isinstance(found, GpuzarrError):
        return {"type": "unreadable", "reason": str(found)}
    if isinstance(found, gpuzarr.Array):
        data_type, chunks = found.metadata.data_type.name, edges.as_json(found._chunking.chunks)
        return {"type": "array", "shape": found.shape, "data_type": data_type, "chunks": chunks}
    return {"type": "group", "members": {name: _branch(member) for name, member in members(found)}}
