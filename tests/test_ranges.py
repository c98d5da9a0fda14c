"""Byte ranges, and joining requests that are neighbours, against a slow way of doing the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr.ranges import WHOLE, ByteRange, Requests

Row = tuple[int, int, int]
KEYS = ("a", "b", "c")


def requests(rows: list[Row]) -> Requests:
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Requests(KEYS, table[:, 0], table[:, 1], table[:, 2])


def rows_of(some: Requests) -> list[Row]:
    columns: tuple[NDArray[Any], ...] = (some.key, some.offset, some.length)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def slowly_coalesced(rows: list[Row], gap: int, limit: int) -> tuple[list[Row], list[int], list[int]]:
    """Each row joins the request before it if it may."""
    joined: list[Row] = []
    which, at = [], []
    for key, offset, length in rows:
        if joined:
            last_key, start, size = joined[-1]
            step = offset - (start + size)
            open_ended = min(start, size, offset, length) < 0
            if key == last_key and not open_ended and 0 <= step <= gap and offset + length - start <= limit:
                joined[-1] = key, start, offset + length - start
                which.append(len(joined) - 1)
                at.append(offset - start)
                continue
        joined.append((key, offset, length))
        which.append(len(joined) - 1)
        at.append(0)
    return joined, which, at


@st.composite
def neighbours(draw: st.DrawFn) -> list[Row]:
    """Rows that mostly follow one another closely, as those of a shard do, with all that may come between."""
    rows: list[Row] = []
    key, end = 0, 0
    for _ in range(draw(st.integers(0, 30))):
        kind = draw(st.sampled_from(["next"] * 6 + ["key", "anywhere", "whole", "suffix"]))
        length = draw(st.integers(0, 12))
        if kind == "key":
            key, end = draw(st.integers(0, 2)), 0
        offset = end + draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 100]))
        if kind == "anywhere":
            offset = draw(st.integers(0, 60))
        elif kind == "whole":
            length = WHOLE
        elif kind == "suffix":
            offset = -draw(st.integers(1, 20))
        rows.append((key, offset, length))
        end = max(0, offset + length)
    return rows


@given(st.integers(-30, 30), st.none() | st.integers(0, 30), st.binary(max_size=20))
def test_a_range_is_what_slicing_byte_by_byte_gives(offset: int, length: int | None, value: bytes) -> None:
    first = len(value) + offset if offset < 0 else offset
    first = max(first, 0)
    wanted = range(first, len(value) if length is None else first + length)
    start, stop = ByteRange(offset, length).of(len(value))
    assert 0 <= start <= stop <= len(value)
    assert value[start:stop] == bytes(value[i] for i in wanted if i < len(value))


def test_the_range_of_a_row_says_whole_and_suffix() -> None:
    some = requests([(0, 5, 10), (1, 0, WHOLE), (2, -20, 20), (2, -20, WHOLE)])
    assert [some.range(i) for i in range(len(some))] == [
        ByteRange(5, 10),
        ByteRange(0),
        ByteRange(-20, 20),
        ByteRange(-20),
    ]


@given(neighbours(), st.integers(0, 6), st.integers(1, 40))
def test_coalescing_is_what_going_row_by_row_gives(rows: list[Row], gap: int, limit: int) -> None:
    joined, which, at = requests(rows).coalesced(gap, limit)
    assert (rows_of(joined), which.tolist(), at.tolist()) == slowly_coalesced(rows, gap, limit)


@given(neighbours(), st.integers(0, 6), st.integers(1, 40))
def test_every_row_lies_in_its_joined_request_and_none_grows_past_the_limit(
    rows: list[Row], gap: int, limit: int
) -> None:
    joined, which, at = requests(rows).coalesced(gap, limit)
    big = rows_of(joined)
    for (key, offset, length), w, a in zip(rows, which.tolist(), at.tolist(), strict=True):
        assert big[w][0] == key
        assert big[w][1] + a == offset
        assert length == big[w][2] == WHOLE or 0 <= a <= a + length <= big[w][2]
    alone = np.bincount(which, minlength=len(big)) == 1
    assert all(big[w][2] <= limit or alone[w] for w in range(len(big)))
    assert sorted(set(which.tolist())) == list(range(len(big)))


def test_a_row_that_is_larger_than_the_limit_stays_whole_and_alone() -> None:
    joined, which, _ = requests([(0, 0, 5), (0, 5, 100), (0, 105, 5)]).coalesced(0, 20)
    assert rows_of(joined) == [(0, 0, 5), (0, 5, 100), (0, 105, 5)]
    assert which.tolist() == [0, 1, 2]


@pytest.mark.parametrize("column", ["key", "offset", "length"])
def test_no_rows_coalesce_to_no_rows(column: str) -> None:
    joined, which, at = requests([]).coalesced(8, 100)
    assert len(getattr(joined, column)) == len(which) == len(at) == 0


def test_keys_are_not_made_to_join_rows() -> None:
    class Late(tuple[str, ...]):
        __slots__ = ()

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("a key was made")

    some = Requests(Late(("a",)), np.zeros(2, np.int64), np.array([0, 4]), np.array([4, 4]))
    assert some.coalesced(0, 100)[0].length.tolist() == [8]
