"""Arrays and groups in notebooks: a table and a picture of the chunk grid.

Everything is in the text itself, styled in place: nothing is loaded, nothing leaks into the page. Colours are
the page's own and two that show on light and on dark. Every string from a store is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from gpuzarr.edges import Edge, Grid, chunks_within, is_regular, lengths_within
from gpuzarr.errors import GpuzarrError
from gpuzarr.grid import grid_shape
from gpuzarr.report.summary import array_text, is_array, members
from gpuzarr.report.words import codec_text, flat, printable, size

if TYPE_CHECKING:
    from gpuzarr.array import Array
    from gpuzarr.group import Group

__all__ = ["array_html", "grid_svg", "group_html"]

LONGEST, SHORTEST, SLANT = 160.0, 20.0, 0.4
"""Pixels of the longest side and of the shortest, and how much of its length the axis that goes back gets."""

MARGIN, LETTER = 12, 7.5
"""Pixels around the picture, and of a letter of a label."""

GAP = 4.0
"""Pixels between lines at least: of a finer grid only every few lines are drawn."""

MOST_LINES = 1000
"""Ends of chunks of several lengths that are looked at."""

MEMBERS = 50
"""Members of a group that are shown."""

FILL, SHARD, CHUNK = "#3b82c4", "#e07b00", "currentColor"
CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"


def array_html(array: Array) -> str:
    """An array as HTML: what it is, how it is cut, and its codecs."""
    cut = array._chunking
    picture = grid_svg(array.shape, cut.chunks, None if cut.inner is None else cut.outer, array.dimension_names)
    table = "".join(_rows(array))
    gap = "display:flex;flex-wrap:wrap;gap:28px;align-items:center"
    return f'<div style="{gap}"><table style="border-collapse:collapse">{table}</table>{picture}</div>'


def group_html(group: Group) -> str:
    """A group as HTML: what it is, and the members directly under it."""
    head = [("Group", group.name), ("Store", group.store.url), ("Zarr format", str(group.zarr_format))]
    rows = [_row(name, escape(printable(value, 200))) for name, value in head]
    try:
        shown = [_member(name, member) for name, member in islice(members(group), MEMBERS + 1)]
    except GpuzarrError as error:  # the store can't list: that is what there is to show
        shown = [_row("Members", escape(printable(error, 200)))]
    if len(shown) > MEMBERS:
        shown = [*shown[:MEMBERS], _row("…", "more")]
    return f'<table style="border-collapse:collapse">{"".join([*rows, *shown])}</table>'


def _member(name: str, member: Array | Group | GpuzarrError) -> str:
    if isinstance(member, GpuzarrError):
        text = f"unreadable: {printable(member.reason)}"
    else:
        text = array_text(member) if is_array(member) else "group"
    return _row(printable(name), escape(text))


def _rows(array: Array) -> Iterator[str]:
    itemsize, cut = array.dtype.itemsize, array._chunking
    parts: dict[str, Grid | None] = {"Array": array.shape, "Shard": cut.inner and cut.outer, "Chunk": cut.chunks}
    have = {name: shape for name, shape in parts.items() if shape is not None}
    yield _row("", *(f"<b>{name}</b>" for name in have))
    yield _row("Shape", *(_text(shape, 200) for shape in have.values()))
    yield _row("Bytes", *(_bytes(array.shape, shape, itemsize) for shape in have.values()))
    grids = (math.prod(grid_shape(array.shape, shape)) for shape in islice(have.values(), 1, None))
    yield _row("Count", "", *(f"{n:,}" for n in grids))
    wide = len(have)
    yield _row("Data type", _text(array.metadata.data_type.name), span=wide)
    yield _row("Fill value", _text(array.fill_value), span=wide)
    codecs = " → ".join(_codecs(array))
    yield _row("Codecs", codecs, span=wide)
    where = array.store.url + (array.name if array.path else "")
    yield _row("Store", _text(where, 200), span=wide)
    yield _row("", f"Zarr format {array.zarr_format}{', read-only' if array.read_only else ''}", span=wide)


def _bytes(shape: tuple[int, ...], grid: Grid, itemsize: int) -> str:
    """The size of a chunk, of the largest where they differ."""
    largest = size(math.prod(lengths_within(n, edge)[-1] for n, edge in zip(shape, grid, strict=True)) * itemsize)
    return largest if is_regular(grid) else f"at most {largest}"


def _codecs(array: Array) -> Iterator[str]:
    for _, codec in flat(array.metadata.codecs):
        yield f'<span title="{escape(codec_text(codec))}">{_text(codec.name)}</span>'


def _text(value: object, most: int = 80) -> str:
    return escape(printable(value, most))


def _row(name: str, *cells: str, span: int = 1) -> str:
    """A row of a table; `cells` are HTML, the name is not."""
    wide = f' colspan="{span}"' if span > 1 else ""
    data = "".join(f'<td{wide} style="{CELL}">{cell}</td>' for cell in cells)
    return f'<tr><th style="{CELL}">{escape(name)}</th>{data}</tr>'


# ---- the picture -------------------------------------------------------------------------------------------

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Side:
    """A drawn axis: its pixels, where along it (0 to 1) chunks and shards end, whether lines are left out."""

    pixels: float
    chunks: tuple[float, ...]
    shards: tuple[float, ...]
    thinned: bool
    label: str

    def turned(self) -> _Side:
        """The axis seen from its end."""
        chunks, shards = (tuple(1 - c for c in cuts) for cuts in (self.chunks, self.shards))
        return replace(self, chunks=chunks, shards=shards)


@dataclass(frozen=True, slots=True)
class _Body:
    """What is drawn: a bar, a sheet, or a box whose first axis goes back, slanting up to the right."""

    depth: _Side | None
    rows: _Side | None
    columns: _Side

    @property
    def sides(self) -> list[_Side]:
        return [side for side in (self.depth, self.rows, self.columns) if side is not None]

    @property
    def wide(self) -> float:
        return self.columns.pixels

    @property
    def high(self) -> float:
        return self.rows.pixels if self.rows else SHORTEST

    @property
    def back(self) -> float:
        return self.depth.pixels * SLANT if self.depth else 0.0

    @property
    def faces(self) -> list[_Face]:
        wide, high, back = self.wide, self.high, self.back
        front = _Face((0, back), (0, high), (wide, 0), self.rows, self.columns, 0.25)
        if self.depth is None:
            return [front]
        top = _Face((back, 0), (-back, back), (wide, 0), self.depth.turned(), self.columns, 0.15)
        return [front, top, _Face((wide, back), (0, high), (back, -back), self.rows, self.depth, 0.35)]


@dataclass(frozen=True, slots=True)
class _Face:
    """A parallelogram: a corner, its two edges, the axes cut along them, and how solid it is."""

    corner: Point
    down: Point
    across: Point
    rows: _Side | None
    columns: _Side
    opacity: float

    def at(self, down: float, across: float) -> Point:
        """A point by the parts (0 to 1) of the two edges."""
        return (
            self.corner[0] + down * self.down[0] + across * self.across[0],
            self.corner[1] + down * self.down[1] + across * self.across[1],
        )

    @property
    def outline(self) -> tuple[Point, ...]:
        return (self.at(0, 0), self.at(0, 1), self.at(1, 1), self.at(1, 0), self.at(0, 0))

    def lines(self, sharded: bool) -> Iterator[tuple[Point, ...]]:
        """The ends of shards, or of chunks, from edge to edge."""
        rows, columns = (() if s is None else s.shards if sharded else s.chunks for s in (self.rows, self.columns))
        yield from ((self.at(c, 0), self.at(c, 1)) for c in rows)
        yield from ((self.at(0, c), self.at(1, c)) for c in columns)


def grid_svg(
    shape: Sequence[int],
    chunks: Grid,
    shards: Grid | None = None,
    names: Sequence[str | None] | None = None,
) -> str:
    """The chunk grid of an array as inline SVG with a caption, shards drawn over it.

    Of more than three axes the last three are drawn. "" where there is nothing to draw: no axes, or an empty
    one.

    >>> grid_svg((100, 100), (10, 10)).count("<path")
    2
    """
    if not shape or 0 in shape:
        return ""
    hidden = max(0, len(shape) - 3)
    longest = max(shape[hidden:])
    drawn = []
    for k in range(hidden, len(shape)):
        pixels = max(SHORTEST, LONGEST * shape[k] / longest)
        seen = pixels * (SLANT if k == len(shape) - 3 else 1)
        cuts = _cuts(shape[k], chunks[k], None if shards is None else shards[k], seen)
        name = names[k] if names is not None else None
        label = f"{printable(name, 16)} {shape[k]:,}" if name else f"{shape[k]:,}"
        drawn.append(_Side(pixels, *cuts, label))
    padded: list[_Side | None] = [None, None, *drawn]
    body = _Body(padded[-3], padded[-2], drawn[-1])
    return _figure(body, shards is not None, _caption(drawn, shape[:hidden], shards is not None))


def _cuts(
    n: int, chunk: Edge, shard: Edge | None, pixels: float
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Where along an axis of `n` elements chunks and shards end, and whether some of that is left out."""
    if not isinstance(chunk, int) or not isinstance(shard, int | None):
        ends, outer = _uneven(n, chunk, pixels), () if shard is None else _uneven(n, shard, pixels)
        few = len(ends) + 1 < chunks_within(n, chunk)
        return () if few and outer else ends, outer, few
    least = math.ceil(GAP * n / (chunk * pixels))
    if shard is None:
        step = max(1, least)
        return _ends(n, step * chunk), (), step > 1
    per = shard // chunk
    # Only steps that meet the borders of shards: others would look like chunks of another size.
    step = next((k for k in range(max(1, least), min(per, least + 64)) if per % k == 0), per)
    coarse = max(1, math.ceil(GAP * n / (shard * pixels)))
    fine = () if step == per else _ends(n, step * chunk)
    return fine, _ends(n, coarse * shard), step > 1 or coarse > 1


def _uneven(n: int, edge: Edge, pixels: float) -> tuple[float, ...]:
    """Where chunks of several lengths end, but for those too near to the one before."""
    many = chunks_within(n, edge)
    found: list[float] = []
    for k in range(1, many, -(-many // MOST_LINES)):
        end = k * edge / n
        if (end - (found[-1] if found else 0)) * pixels >= GAP:
            found.append(end)
    return tuple(found)


def _ends(n: int, edge: int) -> tuple[float, ...]:
    return tuple(k / n for k in range(edge, n, edge))


def _figure(body: _Body, sharded: bool, caption: str) -> str:
    faces = body.faces
    fine = [line for face in faces for line in face.lines(sharded=False)]
    coarse = [line for face in faces for line in face.lines(sharded=True)] + [face.outline for face in faces]
    parts = [*map(_fill, faces), _path(fine, CHUNK, 0.6, 0.55)]
    parts += [_path(coarse, SHARD if sharded else CHUNK, 1.8, 1), *_labels(body)]
    left, right = _margins(body)
    width, height = f"{left + body.wide + right:.0f}", f"{MARGIN + body.back + body.high + 24:.0f}"
    frame = f'width="{width}" height="{height}" viewBox="{-left:.0f} {-MARGIN} {width} {height}"'
    picture = f'<svg role="img" aria-label="chunk grid" {frame}>{"".join(parts)}</svg>'
    return f'<div>{picture}<div style="font-size:85%">{caption}</div></div>'


def _path(lines: Sequence[tuple[Point, ...]], color: str, width: float, opacity: float) -> str:
    data = "".join("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in line) for line in lines)
    return f'<path d="{data}" fill="none" stroke="{color}" stroke-width="{width}" opacity="{opacity}"/>'


def _fill(face: _Face) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in face.outline)
    return f'<polygon points="{points}" fill="{FILL}" opacity="{face.opacity}"/>'


def _labels(body: _Body) -> Iterator[str]:
    yield _label(body.wide / 2, body.back + body.high + 16, "middle", body.columns.label)
    if body.rows is not None:
        yield _label(body.wide + body.back + 8, body.high / 2 + 4, "start", body.rows.label)
    if body.depth is not None:
        yield _label(body.back / 2 - 8, body.back / 2 + 2, "end", body.depth.label)


def _label(x: float, y: float, anchor: str, text: str) -> str:
    style = f'text-anchor="{anchor}" font-size="12" fill="currentColor"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _margins(body: _Body) -> tuple[float, float]:
    """Room for the labels to the left and to the right of the front."""
    below, beside, before = (
        0.0 if side is None else len(side.label) * LETTER + 8 for side in (body.columns, body.rows, body.depth)
    )
    over = max(0.0, (below - body.wide) / 2)
    return MARGIN + max(over, before - body.back / 2), MARGIN + max(over, body.back + beside)


def _caption(sides: list[_Side], hidden: Sequence[int], sharded: bool) -> str:
    words = [f'<span style="color:{SHARD}">━</span> shards, ─ chunks'] if sharded else []
    words += ["not every line is drawn"] if any(side.thinned for side in sides) else []
    words += [f"the axes before these, {tuple(hidden)}, are not drawn"] if len(hidden) else []
    return "<br>".join(words)
