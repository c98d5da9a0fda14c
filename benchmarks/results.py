"""What was measured: rows of cells of samples, kept as JSON so that a report can be made again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Any

from .worker import Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Cell", "Results", "Row", "geometric_mean"]

OURS = "gpuzarr"


@dataclass(slots=True)
class Cell:
    """The samples of one peer on one workload, or why there are none."""

    samples: list[Sample] = field(default_factory=list)
    problem: str | None = None
    wrong: bool = False  # the problem is a fault, not a missing feature

    def middle(self, of: Callable[[Sample], float | None] = lambda sample: sample.wall) -> float | None:
        """The median over the samples, or None."""
        values = [value for value in map(of, self.samples) if value is not None]
        return median(values) if values else None


@dataclass(slots=True)
class Row:
    """One workload: what it moved, and each peer's cell."""

    name: str
    title: str
    family: str
    unit: str
    nbytes: int
    calls: int
    cells: dict[str, Cell] = field(default_factory=dict)

    def shown(self, seconds: float) -> float:
        """`seconds` in the row's unit: GB/s of the result, or milliseconds a call."""
        return self.nbytes / seconds / 1e9 if self.unit == "GB/s" else seconds / self.calls * 1e3

    def times(self) -> dict[str, float]:
        """The median seconds of every peer that has a figure."""
        middles = ((peer, cell.middle()) for peer, cell in self.cells.items())
        return {peer: seconds for peer, seconds in middles if seconds}

    def best_peer(self) -> str | None:
        """The fastest library other than gpuzarr."""
        times = {peer: seconds for peer, seconds in self.times().items() if peer != OURS}
        return min(times, key=times.__getitem__, default=None)

    def ratio(self) -> float | None:
        """How many times faster gpuzarr is than the best peer; below one, it is slower."""
        best, times = self.best_peer(), self.times()
        return times[best] / times[OURS] if best and OURS in times else None


@dataclass(slots=True)
class Results:
    """One run: where and how, the peers' versions, and the rows."""

    about: dict[str, Any]
    peers: dict[str, str]
    rows: list[Row]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = []
        for row in document["rows"]:
            cells = {peer: cell_from(cell) for peer, cell in row.pop("cells").items()}
            rows.append(Row(**row, cells=cells))
        return cls(document["about"], document["peers"], rows)


def cell_from(document: dict[str, Any]) -> Cell:
    samples = [Sample(**sample) for sample in document.pop("samples")]
    return Cell(samples, **document)


def geometric_mean(values: list[float]) -> float:
    """
    >>> geometric_mean([0.5, 2.0])
    1.0
    """
    return exp(sum(map(log, values)) / len(values))
