"""Chunk grids of documents, checked: chunks of one shape, or of several lengths along an axis.

The rule: every number is checked before it is used, and no run of chunks is expanded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from gpuzarr.dtypes import JSON
from gpuzarr.edges import Edge, Grid, Runs, lengths_within
from gpuzarr.metadata.forms import MAX_INT, bad, sizes
from gpuzarr.repairs import repaired

__all__ = ["MAX_CHUNK", "check_chunk", "chunk_shape", "chunk_shapes", "run_lengths"]

MAX_CHUNK = 1 << 40
"""Bytes of one decoded chunk or shard."""


def chunk_shape(value: JSON, shape: tuple[int, ...], itemsize: int, field: str) -> tuple[int, ...]:
    """A regular grid's chunk shape: as many positive integers as the array has dimensions.

    Zarr-Python to 3.2 wrote 0, false or true along empty dimensions; those are read as 1.
    """
    if type(value) is not list or len(value) != len(shape):
        bad(f"not a list of {len(shape)} sizes", field)
    if 0 in shape:
        value = [_repaired(c, field) if n == 0 else c for n, c in zip(shape, value, strict=True)]
    chunks = sizes(value, field)
    if 0 in chunks:
        bad("a chunk has no elements", field)
    check_chunk(chunks, itemsize, field)
    return chunks


def _repaired(size: JSON, field: str) -> JSON:
    if not isinstance(size, bool) and (type(size) is not int or size != 0):
        return size
    repaired("chunk-size-0", field)
    return 1


def check_chunk(chunk: tuple[int, ...], itemsize: int, field: str) -> None:
    """Refuse a chunk that is too large to be one."""
    if math.prod(chunk) * itemsize >= MAX_CHUNK:
        bad(f"a chunk would have {math.prod(chunk) * itemsize} bytes, {MAX_CHUNK} or more", field)


def chunk_shapes(value: JSON, shape: tuple[int, ...], itemsize: int, field: str) -> Grid:
    """A rectilinear grid's lengths of chunks: along each axis a number, or a list of numbers and `[length, count]`.

    zarr-extensions, chunk grid `rectilinear`: a number is repeated until it reaches the end of the axis; what a list
    adds up to reaches it, and may go on.
    """
    if type(value) is not list or len(value) != len(shape):
        bad(f"not a list of {len(shape)} lengths of chunks", field)
    grid = tuple([_edge(axis, n, k, field) for k, (axis, n) in enumerate(zip(value, shape, strict=True))])
    largest = tuple(lengths_within(n, edge)[-1] for n, edge in zip(shape, grid, strict=True))
    check_chunk(largest, itemsize, field)
    return grid


def _edge(value: JSON, n: int, axis: int, field: str) -> Edge:
    if type(value) is not list:
        return _length(value, field)
    edge = Runs.of(run_lengths(value, field)) if value or n else Runs.of([(1, 1)])
    if edge.size < n:
        bad(f"chunks along axis {axis} have {edge.size} elements in all, the axis {n}", field)
    return edge


def run_lengths(value: list[Any], field: str) -> Iterator[tuple[int, int]]:
    """The runs that a list of lengths and of pairs `[length, count]` stands for."""
    for item in value:
        if type(item) is not list:
            yield _length(item, field), 1
        elif len(item) != 2:
            bad(f"{item!r:.100} is no pair of a length and a count", field)
        else:
            yield _length(item[0], field), _count(item[1], field)


def _length(value: JSON, field: str) -> int:
    """The length of a chunk; Zarr-Python reads true and numbers with a fraction of zero as well."""
    if value is True or (type(value) is float and value.is_integer()):
        repaired("edge-number", field)
        value = int(value)
    return _count(value, field)


def _count(value: JSON, field: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_INT:
        bad(f"{value!r:.100} is no length or count of chunks: an integer in [1, 2**63) is", field)
    return value
