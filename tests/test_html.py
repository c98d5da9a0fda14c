"""Notebooks show arrays and groups: well-formed, self-contained, nothing unescaped, and never slow to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuzarr
from gpuzarr.errors import StoreError
from gpuzarr.html import GAP, LONGEST, MEMBERS, SHARD, grid_svg
from gpuzarr.store.mapping import MappingStore
from tests.strategies import Case, cases

VOID = {"br", "path", "polygon"}
PICTURE = {"svg", "path", "polygon", "text"}


class Page(HTMLParser):
    """Reads HTML and refuses tags that do not close; keeps the tags, the attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag]


def lines(path: str) -> list[list[tuple[float, float]]]:
    """The lines of an SVG path."""
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.split("L"))]
        for line in path.split("M")[1:]
    ]


def drawn(*how: Any) -> tuple[list[Any], list[Any]]:
    """The thin lines and the thick ones of a picture."""
    thin, thick = Page(grid_svg(*how)).attributes("path", "d")
    return lines(thin), lines(thick)


@given(cases())
def test_every_array_is_shown_with_what_it_is(case: Case) -> None:
    array = case.make({})
    page = Page(array._repr_html_())
    shown = " ".join(page.texts)
    assert all(str(part) in shown for part in (array.shape, array.chunks, array.shards or array.chunks))
    assert all(codec.name in shown for codec in array.metadata.codecs)
    assert ("svg" in dict(page.tags)) == bool(array.shape and array.size)
    assert {tag for tag, _ in page.tags} <= {"div", "table", "tr", "th", "td", "b", "span", "br", *PICTURE}
    assert not any(name in attrs for _, attrs in page.tags for name in ("src", "href", "class", "id", "onload"))


HOSTILE = "<script>alert('1')</script>&\"\x1b[2J"


def test_nothing_that_is_stored_becomes_markup() -> None:
    name = HOSTILE.replace("/", "")
    group = gpuzarr.create_group({})
    array = group.create_array(name, shape=(2, 2), dtype="int8", dimension_names=(HOSTILE, "y"))
    old = gpuzarr.create_array({}, shape=(2,), dtype="S40", fill_value=HOSTILE.encode(), zarr_format=2)
    for shown in (array._repr_html_(), group._repr_html_(), old._repr_html_()):
        page = Page(shown)
        assert "script" not in dict(page.tags)
        assert "\x1b" not in shown
        assert "<script>" in "".join(page.texts)


def test_members_of_a_group_are_shown_up_to_a_limit_and_with_their_faults() -> None:
    values: dict[str, bytes] = {"bad/zarr.json": b"{}"}
    group = gpuzarr.create_group(values)
    group.create_group("inner")
    group.create_array("x", shape=(3, 4), dtype="int16")
    texts = Page(group._repr_html_()).texts
    assert texts[texts.index("x") + 1] == "(3, 4) int16"
    assert texts[texts.index("inner") + 1] == "group"
    assert texts[texts.index("bad") + 1].startswith("unreadable: ")
    for k in range(MEMBERS):
        group.create_group(f"many{k}")
    texts = Page(group._repr_html_()).texts
    assert (len(texts), texts[-1]) == (2 * (3 + MEMBERS + 1), "more")


def test_a_store_that_can_not_list_is_shown_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no listing here")

    group = gpuzarr.create_group({})
    monkeypatch.setattr(MappingStore, "list_dir", refuse)
    assert Page(group._repr_html_()).texts[-1] == "no listing here"


# ---- the picture ---------------------------------------------------------------------------------------------


def test_a_sheet_has_a_line_between_each_two_chunks() -> None:
    thin, thick = drawn((30, 40), (10, 10))
    across = [[(0, 40 * k), (160, 40 * k)] for k in (1, 2)]
    assert thin == across + [[(40 * k, 0), (40 * k, 120)] for k in (1, 2, 3)]
    assert thick == [[(0.0, 0.0), (160.0, 0.0), (160.0, 120.0), (0.0, 120.0), (0.0, 0.0)]]


def test_shards_are_drawn_over_chunks() -> None:
    thin, thick = drawn((40,), (10,), (20,))
    assert [line[0][0] for line in thin] == [40.0, 80.0, 120.0]
    assert [line[0][0] for line in thick] == [80.0, 0.0]
    assert SHARD in grid_svg((40,), (10,), (20,))
    assert SHARD not in grid_svg((40,), (10,))


def test_a_volume_is_a_box_of_three_faces() -> None:
    thin, thick = drawn((4, 6, 8), (2, 2, 2))
    assert len(thin) == (2 + 3) + (1 + 3) + (1 + 2)
    assert len(thick) == 3
    assert len(Page(grid_svg((4, 6, 8), (2, 2, 2))).attributes("polygon", "points")) == 3


def test_of_more_axes_the_last_three_are_drawn() -> None:
    more, three = grid_svg((5, 9, 4, 6, 8), (1, 1, 2, 2, 2)), grid_svg((4, 6, 8), (2, 2, 2))
    assert more.partition("</svg>")[0] == three.partition("</svg>")[0]
    assert "(5, 9)" in more


@pytest.mark.parametrize("shape", [(), (0,), (4, 0)])
def test_nothing_is_drawn_of_nothing(shape: tuple[int, ...]) -> None:
    assert grid_svg(shape, (1,) * len(shape)) == ""


def _lengths() -> st.SearchStrategy[int]:
    return st.integers(1, 20) | st.integers(1, 1 << 60)


@st.composite
def grids(draw: st.DrawFn) -> tuple[list[int], list[int], list[int] | None]:
    shape = draw(st.lists(_lengths(), min_size=1, max_size=4))
    chunks = [draw(st.integers(1, n) | st.just(1)) for n in shape]
    sharded = draw(st.booleans())
    return shape, chunks, [c * draw(_lengths()) for c in chunks] if sharded else None


@given(grids())
def test_no_grid_is_too_fine_to_draw(grid: tuple[list[int], list[int], list[int] | None]) -> None:
    html = grid_svg(*grid)
    most = LONGEST / GAP + 1
    assert all(len(found) <= 6 * most + 3 for found in drawn(*grid))
    frame = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', html)
    assert frame is not None
    left, top, width, height = map(float, frame.groups())
    for x, y in points(*grid):
        assert left <= x <= left + width
        assert top <= y <= top + height


def points(*grid: Any) -> Iterator[tuple[float, float]]:
    for found in drawn(*grid):
        for line in found:
            assert all(math.isfinite(x) for point in line for x in point)
            yield from line


@given(grids())
def test_lines_keep_their_distance_and_say_so_where_some_are_missing(
    grid: tuple[list[int], list[int], list[int] | None],
) -> None:
    shape, chunks, shards = ([part[-1]] if part else None for part in grid)
    assert shape is not None
    assert chunks is not None
    at = [line[0][0] for line in drawn(shape, chunks, shards)[0]]
    assert all(b - a >= GAP - 0.11 for a, b in pairwise(at))
    inside = -(-shape[0] // chunks[0]) - 1
    if "not every line" not in grid_svg(shape, chunks, shards):
        assert len(at) == (0 if shards == chunks else inside)
    pixels = LONGEST * chunks[0] / shape[0]
    assert all(abs(x - pixels * round(x / pixels)) < 0.06 for x in at)
