"""A run as Markdown tables and as a plot. What gpuzarr loses is marked as plainly as what it wins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .results import OURS, Cell, Results, Row, geometric_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["markdown", "plot", "put_between", "summary"]

MARKS = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->\n"

BLANK = "–"  # noqa: RUF001  no such operation


def table(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table; every column but the first is a number."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body]) + "\n"


def figure(row: Row, seconds: float) -> str:
    """
    >>> figure(Row("list/plain", "list", "listing", "ms", nbytes=9, calls=1), 1.2345)
    '1,234 ms'
    """
    shown = row.shown(seconds)
    return f"{shown:,.0f} {row.unit}" if shown >= 1000 else f"{shown:.3g} {row.unit}"


def verdict(ratio: float) -> str:
    return f"**{ratio:.2f}**" if ratio >= 1 else f"{ratio:.2f} (slower)"


def against_best(results: Results) -> str:
    """One line a workload: gpuzarr, the best peer, and how many times faster gpuzarr is."""
    body = []
    for row in results.rows:
        best, ratio, times = row.best_peer(), row.ratio(), row.times()
        if best is None or ratio is None:
            continue
        body.append([row.title, figure(row, times[OURS]), figure(row, times[best]), best, verdict(ratio)])
    return table(["workload", "gpuzarr", "best peer", "which", "times faster"], body)


def families(results: Results) -> str:
    """The geometric mean of the ratios of each family of workloads, and how many it lost."""
    ratios: dict[str, list[float]] = {}
    for row in results.rows:
        ratio = row.ratio()
        if ratio is not None:
            ratios.setdefault(row.family, []).append(ratio)
    body = [
        [family, str(len(values)), str(sum(value < 1 for value in values)), verdict(geometric_mean(values))]
        for family, values in ratios.items()
    ]
    return table(["family", "workloads", "lost", "times faster (geometric mean)"], body)


def all_peers(results: Results, text: Callable[[Row, Cell], str | None]) -> str:
    """Every workload and peer; `text` says what of a cell is printed. Empty rows are left out."""
    body = []
    for row in results.rows:
        cells = [text(row, row.cells[peer]) for peer in results.peers]
        if any(cells):
            body.append([row.name, *(cell or BLANK for cell in cells)])
    return table(["workload", *results.peers], body)


def speed(row: Row, cell: Cell) -> str | None:
    """The median, marked where one slow run had to do."""
    seconds = cell.middle()
    if seconds is None:
        return "failed" if cell.wrong else None
    return figure(row, seconds) + (" (n=1)" if len(cell.samples) == 1 else "")


def best(row: Row, cell: Cell) -> str | None:
    """The fastest repetition."""
    return figure(row, min(sample.wall for sample in cell.samples)) if cell.samples else None


def cpu(row: Row, cell: Cell) -> str | None:
    """CPU seconds of all threads: of one GB of result, or milliseconds a call."""
    seconds = cell.middle(lambda sample: sample.cpu)
    if seconds is None:
        return None
    return (
        f"{seconds / row.nbytes * 1e9:.3g} s/GB"
        if row.unit == "GB/s"
        else f"{seconds / row.calls * 1e3:.3g} ms"
    )


def memory(row: Row, cell: Cell) -> str | None:
    """Growth of the peak memory, in sizes of the result (of a write: of what is written).

    Left out for results that may lie in memory the allocator kept from before (glibc: up to 32 MiB).
    """
    peak = cell.middle(lambda sample: sample.peak)
    if peak is None or row.calls > 1 or row.nbytes <= 2**25:
        return None
    return f"{peak / row.nbytes:.2f}"


def sections(results: Results) -> Iterator[tuple[str, str]]:
    if OURS in results.peers and len(results.peers) > 1:
        yield "By family", families(results)
        yield "Against the best peer", against_best(results)
    yield "Every peer, median", all_peers(results, speed)
    yield "Every peer, best repetition", all_peers(results, best)
    yield "CPU time", all_peers(results, cpu)
    yield "Peak memory, in sizes of the result", all_peers(results, memory)


def heading(results: Results) -> str:
    """When, where and with what it was measured."""
    about = results.about
    versions = ", ".join(f"{peer} {version}" for peer, version in results.peers.items())
    shape = " x ".join(map(str, about["shape"]))
    return (
        f"{about['date']}, {about['processor']}, {about['cores']} cores, {about['system']}. "
        f"Python {about['python']}, NumPy {about['numpy']}, {versions}. "
        f"Volume of {shape} uint16, {about['repetitions']} repetitions, load average {about['load']}.\n"
    )


def markdown(results: Results) -> str:
    """The whole report."""
    return "\n".join([heading(results), *(f"### {title}\n\n{text}" for title, text in sections(results))])


def summary(results: Results) -> str:
    """The part of the report that a reader in a hurry wants: gpuzarr against the best peer each time."""
    return "\n".join([heading(results), families(results), against_best(results)])


def put_between(path: Path, text: str) -> None:
    """Replace what stands between the marks in a document. Raises ValueError where it has not each of them once."""
    document = path.read_text(encoding="utf-8")
    begin, end = MARKS
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(end) < document.index(begin):
        raise ValueError(f"{path} has not {begin.strip()} and {end.strip()} once each, in this order")
    before, _, rest = document.partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def plot(results: Results, path: Path) -> None:
    """One line a workload, one mark a library, placed by its speed relative to the fastest peer."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_module("matplotlib.pyplot")
    rows = [row for row in results.rows if row.best_peer()]
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.22 * len(rows)), layout="constrained")
    for number, peer in enumerate(results.peers):
        speeds = {
            place: row.times()[row.best_peer() or peer] / row.times()[peer]
            for place, row in enumerate(rows)
            if peer in row.times()
        }
        ours = peer == OURS
        shape = "D" if ours else "osv^P*X"[number % 7]
        style = {"s": 55, "color": "black"} if ours else {"s": 30, "alpha": 0.75}
        axes.scatter(
            list(speeds.values()), list(speeds), label=peer, marker=shape, zorder=3 if ours else 2, **style
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("speed relative to the fastest other library (right is faster)")
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="both", alpha=0.25)
    figure.legend(loc="outside upper center", ncols=len(results.peers), fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
