"""How the command line shows things: times, JSON, tables, and progress.

Rich draws where it is installed and the stream is a terminal; everywhere else the same content is plain text.
Progress goes to standard error only, so that what a command prints on standard output can be piped.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TextIO

from gpuzarr.report.words import size

__all__ = ["UsageError", "as_json", "duration", "progress", "rate", "table"]

SHOW_AFTER = 1.0
"""Seconds that a step must have lasted before it shows a bar."""

Advance = Callable[[int], None]


class UsageError(Exception):
    """The command can't run as it was asked to; the message says what to do (exit code 2)."""


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(0.0000123), duration(0.0123), duration(12.3)
    ('12.3 µs', '12.3 ms', '12.3 s')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def rate(nbytes: int, seconds: float) -> str:
    """A throughput; a time too short to measure has none.

    >>> rate(1 << 30, 0.5), rate(10, 0.0)
    ('2.00 GiB/s', '-')
    """
    return f"{size(int(nbytes / seconds))}/s" if seconds > 0 else "-"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    return value


def as_json(value: Any) -> str:
    """`value` as JSON; floats that JSON has no word for become the strings that Zarr uses.

    >>> print(as_json({"fill": float("nan"), "shape": (2, 3)}))
    {"fill": "NaN", "shape": [2, 3]}
    """
    options: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False, "default": str}
    tidy = _plain(value)
    short = json.dumps(tidy, **options)
    return short if len(short) < 80 else json.dumps(tidy, indent=2, **options)


def _rich(stream: TextIO) -> bool:
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> None:
    """Print a table; columns whose every cell begins with a digit are set to the right."""
    out = sys.stdout if stream is None else stream
    right = [all(row[i][:1].isdigit() or row[i] == "-" for row in rows) for i in range(len(heads))]
    if _rich(out):
        _rich_table(heads, rows, right, out)
        return
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    for line in [heads, ["-" * width for width in widths], *rows]:
        cells = (f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in zip(line, widths, right, strict=True))
        print("  ".join(cells).rstrip(), file=out)


def _rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False)
    for head, side in zip(heads, right, strict=True):
        grid.add_column(Text(head), justify="right" if side else "left")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    Console(file=out).print(grid)


@contextmanager
def progress(label: str, total: int, stream: TextIO | None = None, after: float = SHOW_AFTER) -> Iterator[Advance]:
    """A bar for a step of `total` units, shown once the step has lasted `after` seconds.

    Yields the function that counts units done. Without a terminal a line is printed at each tenth of the way.

    >>> with progress("copying", 10, stream=sys.stdout, after=0.0) as advance:
    ...     advance(4)
    ...     advance(6)
    copying: 40 %
    copying: 100 %
    """
    out = sys.stderr if stream is None else stream
    bar: _RichBar | _PlainBar = _RichBar(label, total, out) if _rich(out) else _PlainBar(label, total, out)
    began, done = perf_counter(), 0

    def advance(units: int) -> None:
        nonlocal done
        done += units
        if perf_counter() - began >= after:
            bar.show(min(done, total))

    try:
        yield advance
    finally:
        bar.close()


class _PlainBar:
    def __init__(self, label: str, total: int, out: TextIO) -> None:
        self.label, self.total, self.out = label, max(1, total), out
        self.last = -1
        self.tty = out.isatty()

    def show(self, done: int) -> None:
        percent = 100 * done // self.total
        if percent == self.last or (not self.tty and percent // 10 == self.last // 10):
            return
        self.last = percent
        if self.tty:
            self.out.write(f"\r{self.label}: [{'#' * (percent * 30 // 100):<30}] {percent} %")
        else:
            self.out.write(f"{self.label}: {percent} %\n")
        self.out.flush()

    def close(self) -> None:
        if self.tty and self.last >= 0:
            self.out.write("\r\x1b[K")
            self.out.flush()


class _RichBar:
    def __init__(self, label: str, total: int, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import Progress
        from rich.text import Text

        self.bar = Progress(console=Console(file=out), transient=True)
        self.task = self.bar.add_task(Text(label).markup, total=max(1, total))
        self.shown = False

    def show(self, done: int) -> None:
        self.bar.update(self.task, completed=done)
        if not self.shown:
            self.bar.start()
            self.shown = True

    def close(self) -> None:
        if self.shown:
            self.bar.stop()
