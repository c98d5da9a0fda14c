"""The benchmark harness measures, verifies and reports. Nothing here asserts a time."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from gpuzarr.cuda import device as devices
from gpuzarr.errors import DeviceError
from gpuzarr.testing import SimulatedDevice

pytest.importorskip("zarr", reason="zarr-python writes the stores the harness reads")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the benchmarks are not part of the wheel

from benchmarks import crossings, gpu, gpu_readers  # noqa: E402
from benchmarks.data import Stores  # noqa: E402
from benchmarks.harness import Harness  # noqa: E402
from benchmarks.peers import Reference  # noqa: E402
from benchmarks.report import markdown, plot, put_between, summary  # noqa: E402
from benchmarks.results import Cell, Results, Row  # noqa: E402
from benchmarks.sizes import SIZES  # noqa: E402
from benchmarks.standin import zarr_gpu_mode  # noqa: E402
from benchmarks.worker import Answer, Sample, Worker, measure  # noqa: E402
from benchmarks.workloads import workloads  # noqa: E402

TINY = SIZES["tiny"]
CHOSEN = "^(read|write)/(4MiB-blosc-lz4|shards-zstd)|(crops|batch)/64KiB-zstd|plane|vindex/64|first|list|cold/64"


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


# ---- into device memory ----------------------------------------------------------------------------------------------


def no_simulated_device() -> str | None:
    """Why there is none here, or None."""
    if importlib.util.find_spec("cupy") is None:
        return "the simulated device makes CuPy arrays"
    from gpuzarr.testing import emulator

    try:
        emulator.load()
    except DeviceError as error:
        return error.reason
    return None


needs_simulated = pytest.mark.skipif(no_simulated_device() is not None, reason=str(no_simulated_device()))
GPU = [sys.executable, "-m", "benchmarks.gpu"]


@needs_simulated
def test_the_gpu_benchmark_reads_right_on_the_simulated_device(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="the volume is grown from a scan it ships")
    out, tables = tmp_path / "gpu.json", tmp_path / "gpu.md"
    files = ["--folder", str(tmp_path / "data"), "--json", str(out), "--markdown", str(tables)]
    subprocess.run([*GPU, "--simulated", *files], cwd=ROOT, check=True)
    results = Results.load(out)
    assert [row.name for row in results.rows] == [f"{a}/{b}" for a in ("64KiB", "256KiB") for b in gpu.CODECS]
    assert {cell.problem for row in results.rows for cell in row.cells.values()} == {None}
    assert not any(cell.samples for row in results.rows for cell in row.cells.values())
    assert {said["decoded"] for said in results.about["explained"].values()} == {"device"}
    assert {said["waits"] for said in results.about["explained"].values()} == {1}
    assert "GB/s" not in tables.read_text(encoding="utf-8")


@pytest.mark.skipif(devices.available(), reason="there is a GPU, which would be measured")
def test_without_a_gpu_the_benchmark_says_so() -> None:
    done = subprocess.run(GPU, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no GPU to measure: " in done.stderr


class Host:
    """A machine whose device memory is the host's."""

    word = "cpu"

    def about(self) -> dict[str, Any]:
        return {"device": "this host", "driver": 1, "cuda": 2, "nvcomp": "none", "upload": 1e9, "copy": 4e9}

    def finish(self) -> None:
        pass

    def home(self, result: Any) -> Any:
        return result


def test_a_simulated_device_without_nvcomp_says_so() -> None:
    about = [gpu_readers.Simulated(SimulatedDevice(memory=1 << 20, nvcomp=there)).about() for there in (True, False)]
    assert [each["nvcomp"] == "none" for each in about] == [False, True]


def host_bench(tmp_path: Path, **more: gpu_readers.Way) -> gpu.Bench:
    stores = Stores(tmp_path, TINY)
    volume = np.random.default_rng(1).integers(0, 99, TINY.shape, np.uint16)
    stores.folder.mkdir(parents=True)
    ways = {name: gpu_readers.WAYS[name] for name in ("gpuzarr", "gpuzarr-host")}
    return gpu.Bench(stores, volume, Host(), {**ways, **more}, repetitions=3)


def test_what_is_timed_stands_beside_the_roofline(tmp_path: Path) -> None:
    bench = host_bench(tmp_path)
    kept: list[int] = []
    results = gpu.measure(bench, ["64KiB"], "/(none|zstd)$", lambda found: kept.append(len(found.rows)))
    assert kept == [1, 2]
    assert {len(cell.samples) for row in results.rows for cell in row.cells.values()} == {3}
    row = results.rows[1]
    stored = results.about["stored"][row.name]
    assert gpu.roofline(results, row) == pytest.approx(stored / 1e9 + bench.volume.nbytes / 4e9)
    assert "1.0 GB/s from pinned memory to the device, 4 GB/s on the device" in gpu.markdown(results)
    assert "| 64KiB, zstd | " in gpu.markdown(results)


def test_a_reader_that_is_wrong_or_raises_has_no_figure(tmp_path: Path) -> None:
    def wrong(path: Path, word: str) -> gpu_readers.Read:
        return lambda: np.zeros(TINY.shape, np.uint16)

    def raising(path: Path, word: str) -> gpu_readers.Read:
        raise OSError("no file")

    right = gpu_readers.WAYS["gpuzarr"]
    bench = host_bench(tmp_path, wrong=replace(right, open=wrong), raising=replace(right, open=raising))
    cells = gpu.measure(bench, ["64KiB"], "none", lambda _: None).rows[0].cells
    assert {name for name, cell in cells.items() if cell.wrong} == {"wrong", "raising"}
    assert (cells["wrong"].samples, cells["raising"].problem) == ([], "OSError: no file")


def test_readers_that_can_not_be_measured_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(gpu.choose_ways(simulated=True)) == {"gpuzarr", "gpuzarr-host"}
    assert "host+copy (needs a GPU)" in capsys.readouterr().err


# ---- crossings of the bus --------------------------------------------------------------------------------------------


@needs_simulated
def test_zarr_crosses_for_every_chunk_and_gpuzarr_once() -> None:
    passes = {"none": 0, "zstd": 1, "zstd, crc32c": 2}
    rows = crossings.measure(64, "^(none|zstd|zstd, crc32c)$")
    assert [(row.codec, row.sharded) for row in rows] == [(c, s) for s in (False, True) for c in passes]
    for row in rows:
        assert (row.ours.uploads, row.ours.waits) == (1, 1)
        assert row.ours.downloads == (row.codec != "none")  # statuses
        assert row.ours.uploaded_bytes < row.stored + 2000
        # Each codec brings a chunk home and back; so does each codec of a shard's index.
        there = 8 if not row.sharded else 4 * 2
        assert row.theirs.uploads + row.theirs.downloads == there + 2 * 8 * passes[row.codec]
        assert row.theirs.launches >= 8


def test_the_stand_in_for_cupy_is_taken_away_again() -> None:
    zarr = pytest.importorskip("zarr.core.buffer.gpu")
    before = zarr.cp
    with zarr_gpu_mode() as cupy:
        assert zarr.cp is cupy
        array = cupy.frombuffer(b"1234", dtype="B")
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(array)
    assert zarr.cp is before
    assert cupy.counts.uploaded_bytes == 4


@needs_simulated
def test_the_documents_table_of_crossings_is_what_is_counted() -> None:
    """`python -m benchmarks.crossings --into docs/gpu.md` writes it."""
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    for row in crossings.measure(128, "^(gzip|blosc lz4, shuffle)$"):
        ours = [row.ours.uploads, row.ours.downloads, row.ours.launches, row.ours.waits, row.ours.allocations]
        said = re.findall(rf"^\| {row.codec} ((?:\| \d+ / \d+ ){{5}})", page, re.MULTILINE)
        assert [int(n) for n in re.findall(r"(\d+) /", said[row.sharded])] == ours
