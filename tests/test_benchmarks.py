"""The benchmark harness measures, verifies and reports. Nothing here asserts a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("zarr", reason="zarr-python writes the stores the harness reads")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the benchmarks are not part of the wheel

from benchmarks.data import Stores  # noqa: E402
from benchmarks.harness import Harness  # noqa: E402
from benchmarks.peers import Reference  # noqa: E402
from benchmarks.report import markdown, plot, put_between, summary  # noqa: E402
from benchmarks.results import Cell, Results, Row  # noqa: E402
from benchmarks.sizes import SIZES  # noqa: E402
from benchmarks.worker import Answer, Sample, Worker, measure  # noqa: E402
from benchmarks.workloads import workloads  # noqa: E402

TINY = SIZES["tiny"]
CHOSEN = (
    "^(read|write)/(4MiB-blosc-lz4|shards-zstd)|(crops|batch)/64KiB-zstd|plane|vindex/64|first|list|cold/64"
)


def test_the_command_measures_gpuzarr_and_zarr_without_a_wrong_answer(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="the volume is grown from a scan it ships")
    out, tables = tmp_path / "run.json", tmp_path / "run.md"
    options = ["--size", "tiny", "--peers", "gpuzarr,zarr", "--repetitions", "1", "--only", CHOSEN]
    files = ["--folder", str(tmp_path / "data"), "--json", str(out), "--markdown", str(tables)]
    subprocess.run([sys.executable, "-m", "benchmarks", *options, *files], cwd=ROOT, check=True)
    results = Results.load(out)
    assert len(results.rows) == 14
    assert {cell.problem for row in results.rows for cell in row.cells.values()} == {None}
    assert {len(cell.samples) for row in results.rows for cell in row.cells.values()} == {1}
    assert all(row.ratio() is not None for row in results.rows)
    assert results.about["shape"] == [64, 64, 64]
    assert tables.read_text(encoding="utf-8") == markdown(results)


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="the volume is grown from a scan it ships")
    out = tmp_path / "run.json"
    options = ["--size", "tiny", "--peers", "gpuzarr", "--repetitions", "1", "--folder", str(tmp_path / "data")]
    command = [sys.executable, "-m", "benchmarks", *options, "--json", str(out), "--resume"]
    subprocess.run([*command, "--only", "open/shards"], cwd=ROOT, check=True)
    first = Results.load(out).rows
    subprocess.run([*command, "--only", "open"], cwd=ROOT, check=True)
    both = Results.load(out).rows
    assert [row.name for row in both] == ["open/64KiB-zstd", "open/shards-zstd"]
    assert both[1] == first[0]


class Scripted:
    """A worker whose answers a test chooses."""

    arguments = ("scripted", "tiny", Path())

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def run(self, name: str) -> tuple[Sample, Answer]:
        return Sample(1.0, 1.0, None), self.answer


def scripted(tmp_path: Path, name: str, change: int) -> Cell:
    """The cell of a peer whose checksum is off by `change`, and who writes nothing."""
    stores = Stores(tmp_path, TINY)
    volume = np.random.default_rng(1).integers(0, 99, TINY.shape, np.uint16)
    stores.folder.mkdir(parents=True)
    np.save(stores.folder / "volume.npy", volume)
    workload = next(w for w in workloads(TINY) if w.name == name)
    _, right = measure(workload.calls(lambda: Reference(volume, stores.listed()), stores.folder))
    answer = Answer(right.nbytes, right.calls, right.checksum + change)
    workers = cast("dict[str, Worker]", {"peer": Scripted(answer)})
    harness = Harness(stores, ["peer"], repetitions=2, patience=9.0, volume=volume, workers=workers)
    return harness.row(workload).cells["peer"]


def test_a_right_answer_is_a_figure_and_the_warm_up_is_none(tmp_path: Path) -> None:
    cell = scripted(tmp_path, "read/64KiB-none", change=0)
    assert (len(cell.samples), cell.problem) == (2, None)


def test_a_wrong_answer_is_no_figure(tmp_path: Path) -> None:
    cell = scripted(tmp_path, "read/64KiB-none", change=1)
    assert (cell.samples, cell.wrong) == ([], True)
    assert "differs from NumPy's" in (cell.problem or "")


def test_what_was_not_written_is_no_figure(tmp_path: Path) -> None:
    cell = scripted(tmp_path, "write/64KiB-none", change=0)
    assert (cell.samples, cell.wrong) == ([], True)
    assert "reads back" in (cell.problem or "")


def results_of(**seconds: float) -> Results:
    cells = {peer: Cell([Sample(wall, wall, None)]) for peer, wall in seconds.items()}
    row = Row("read/x", "read whole", "whole reads", "GB/s", nbytes=10**9, calls=1, cells=cells)
    about: dict[str, Any] = dict.fromkeys(
        ("date", "processor", "cores", "system", "python", "numpy", "repetitions", "load"), 0
    )
    return Results({**about, "shape": [1]}, dict.fromkeys(seconds, "1.0"), [row])


def test_a_win_and_a_loss_are_told_apart() -> None:
    won, lost = results_of(gpuzarr=0.5, zarr=4.0, z5py=1.0), results_of(gpuzarr=2.0, zarr=4.0, z5py=1.0)
    assert "| read whole | 2 GB/s | 1 GB/s | z5py | **2.00** |" in markdown(won)
    assert "| read whole | 0.5 GB/s | 1 GB/s | z5py | 0.50 (slower) |" in markdown(lost)
    assert "| whole reads | 1 | 1 | 0.50 (slower) |" in markdown(lost)


def test_a_section_of_a_document_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("# A\n<!-- benchmarks:begin -->\nold\n<!-- benchmarks:end -->\n# B\n", encoding="utf-8")
    for _ in range(2):
        put_between(document, summary(results_of(gpuzarr=2.0, zarr=1.0)))
        text = document.read_text(encoding="utf-8")
        assert text.startswith("# A\n<!-- benchmarks:begin -->\n")
        assert text.endswith("\n<!-- benchmarks:end -->\n# B\n")
        assert "old" not in text
        assert text.count("0.50 (slower)") == 2


def test_a_document_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("<!-- benchmarks:end -->\n<!-- benchmarks:begin -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="once each, in this order"):
        put_between(document, "text")


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only the picture needs it")
    plot(results_of(gpuzarr=0.5, zarr=4.0), tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
