"""Source lines that ran, from the pieces of straight code that ran.

Each piece begins with a call of the counter, and pieces lie one behind another. So an instruction belongs to the last
piece that began before it; what a function does before its first call belongs to that call's piece.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from gpuzarr.testing.emulator.image import Row

__all__ = ["count_lines"]


def count_lines(
    rows: Sequence[Row], calls: Sequence[tuple[int, int]], counts: Sequence[int], functions: Iterable[int]
) -> dict[str, dict[int, int]]:
    """For each file and each line with code, how often it ran: that of the piece of it that ran most often.

    Args:
        rows: The line table.
        calls: Where pieces begin: where the counter is called, and where that returns to; ascending.
        counts: How often each was called.
        functions: Where functions begin.

    >>> rows = [Row(0, "a.cu", 7, False), Row(10, "a.cu", 8, False), Row(20, "a.cu", 9, False), Row(30, "", 0, True)]
    >>> count_lines(rows, [(4, 9), (20, 25)], [3, 0], [0])
    {'a.cu': {7: 3, 8: 3, 9: 0}}
    """
    begun = [begin for begin, _ in calls]
    pieces = {begin: (returned, count) for (begin, returned), count in zip(calls, counts, strict=True)}
    for function in functions:
        first = bisect_left(begun, function)
        if first < len(calls):
            pieces.setdefault(function, (function, counts[first]))
    starts = sorted(pieces)
    found: dict[str, dict[int, int]] = {}
    for row, after in pairwise(rows):
        # A row of line 0 is of no line; one without bytes is what the compiler thought of and dropped.
        if row.end or row.line == 0 or row.address == after.address:
            continue
        inside = starts[max(bisect_right(starts, row.address) - 1, 0) : bisect_left(starts, after.address)]
        # A piece of which only the call lies in the row is of the next line: the call has no line of its own.
        ran = [count for returned, count in (pieces[start] for start in inside) if returned < after.address]
        lines = found.setdefault(row.file, {})
        lines[row.line] = max([lines.get(row.line, 0), *ran])
    return {file: dict(sorted(lines.items())) for file, lines in sorted(found.items())}
