"""Runs the workloads: every peer once per repetition, one at a time, in an order that turns each time.

The first repetition of a workload is discarded. Every answer is compared with NumPy on the reference volume;
what was written is read back by zarr-python, unless an identical store has been read back before.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from os import cpu_count, getloadavg
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import TARGET, Stores, fingerprint
from .peers import PEERS, Reference, UnsupportedError
from .results import Cell, Results, Row
from .worker import Answer, PeerError, Sample, Worker, digest, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .sizes import Size
    from .workloads import Workload

__all__ = ["Harness", "environment", "run"]


@dataclass(slots=True)
class Harness:
    """The reference, one worker a peer, and how often to repeat."""

    stores: Stores
    peers: Sequence[str]
    repetitions: int
    patience: float
    volume: NDArray[Any]
    workers: dict[str, Worker]

    def row(self, workload: Workload) -> Row:
        """Measure one workload on all peers."""
        self.prepare(workload)
        reference = Reference(self.volume, self.stores.listed())
        _, expected = measure(workload.calls(lambda: reference, self.stores.folder))
        row = Row(
            workload.name, workload.title, workload.family, workload.unit, expected.nbytes, expected.calls
        )
        row.cells = {peer: Cell() for peer in self.peers}
        trial = partial(self.trial, workload, expected, set())
        for peer, cell in row.cells.items():  # the warm-up
            trial(peer, cell)
        slow = {peer for peer, cell in row.cells.items() if any(s.wall > self.patience for s in cell.samples)}
        for peer in set(self.peers) - slow:
            row.cells[peer].samples.clear()
        for repetition in range(self.repetitions):
            turn = repetition % len(self.peers)
            for peer in (*self.peers[turn:], *self.peers[:turn]):
                if peer not in slow:
                    trial(peer, row.cells[peer])
        return row

    def trial(self, workload: Workload, expected: Answer, verified: set[int], peer: str, cell: Cell) -> None:
        """One repetition of one peer; one that failed before is passed over."""
        if cell.problem:
            return
        try:
            cell.samples.append(self.sample(workload, peer, expected, verified))
        except (UnsupportedError, PeerError) as error:
            cell.samples, cell.problem, cell.wrong = [], str(error), isinstance(error, PeerError)
            if cell.wrong:
                log(f"  ! {peer} failed {workload.name}: {error}")

    def sample(self, workload: Workload, peer: str, expected: Answer, verified: set[int]) -> Sample:
        """Run and verify once."""
        worker = self.workers[peer]
        if workload.fresh:
            worker = Worker(*worker.arguments)
        if workload.store and workload.written:
            self.stores.make_target(workload.store, workload.written)
        try:
            sample, answer = worker.run(workload.name)
            if answer != expected:
                raise PeerError(f"its result differs from NumPy's: {answer} instead of {expected}")
            if workload.written:
                self.verify_written(self.stores.folder / TARGET, expected, verified)
        finally:
            if workload.fresh:
                worker.close()
            self.stores.clear_target()
        return sample

    def verify_written(self, path: Path, expected: Answer, verified: set[int]) -> None:
        """Read back with zarr-python what a peer wrote."""
        mark = fingerprint(path)
        if mark in verified:
            return
        nbytes, checksum = digest(np.asarray(import_module("zarr").open_array(str(path), mode="r")[...]))
        if (nbytes, checksum) != (expected.nbytes, expected.checksum):
            raise PeerError("zarr-python reads back something else than what was to be written")
        verified.add(mark)

    def prepare(self, workload: Workload) -> None:
        """Make the stores the workload reads."""
        if workload.store and not workload.written:
            self.stores.store(workload.store, self.volume)
        if workload.listing is not None:
            self.stores.listing(workload.listing)


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def environment(size: Size, repetitions: int) -> dict[str, Any]:
    """Where and how this was measured."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    except OSError:
        pass  # not Linux: the platform's own word for it stands
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "processor": model,
        "cores": cpu_count(),
        "load": round(getloadavg()[0], 2),
        "size": size.name,
        "shape": list(size.shape),
        "repetitions": repetitions,
    }


def run(
    chosen: list[Workload],
    peers: Sequence[str],
    size: Size,
    root: Path,
    repetitions: int,
    patience: float,
    keep: Callable[[Results], None],
) -> Results:
    """Measure the chosen workloads on the named peers; `keep` gets what is there after every workload."""

    stores = Stores(root, size)
    volume = stores.volume()
    workers = {peer: Worker(peer, size.name, stores.folder) for peer in peers}
    harness = Harness(stores, peers, repetitions, patience, volume, workers)
    results = Results(environment(size, repetitions), {peer: PEERS[peer].version() for peer in peers}, [])
    try:
        for workload in chosen:
            row = harness.row(workload)
            figures = ", ".join(f"{peer} {row.shown(seconds):.3g}" for peer, seconds in row.times().items())
            log(f"{workload.name} [{workload.unit}]: {figures}")
            results.rows.append(row)
            keep(results)
    finally:
        for worker in workers.values():
            worker.close()
        stores.bury()
    return results
