"""The command line: what it prints, its exit codes, and that it needs nothing but the core install."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpuzarr
from gpuzarr import native
from gpuzarr.cli import main, text
from gpuzarr.cuda import device as devices
from gpuzarr.cuda import nvcomp
from gpuzarr.testing.emulator.build import Compiler
from gpuzarr.testing.nvcomp import SimulatedNvcomp

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A group of a compressed array, a sharded one, and an empty group."""
    root = gpuzarr.create_group(tmp_path / "lab.zarr", attributes={"lab": 7})
    image = root.create_array(
        "raw/image", shape=(40, 30), chunks=(10, 10), dtype="uint16", fill_value=3, dimension_names=("y", "x")
    )
    image[:20] = 5
    image.attrs["unit"] = "µm"
    sharded = root.create_array("mask", shape=(8, 8), chunks=(2, 2), shards=(4, 4), dtype="bool", compressors=["gzip"])
    sharded[0, 0] = True
    root.create_group("empty")
    return tmp_path / "lab.zarr"


def answer(capsys: Printed, *argv: str) -> Any:
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- info --------------------------------------------------------------------------------------------------


def test_info_tells_what_an_array_is(group: Path, capsys: Printed) -> None:
    found = answer(capsys, "info", str(group / "raw" / "image"))
    expected = {
        "type": "array", "zarr_format": 3, "shape": [40, 30], "chunks": [10, 10], "shards": None,
        "data_type": "uint16", "fill_value": 3, "dimension_names": ["y", "x"], "attributes": {"unit": "µm"},
        "nbytes": 2400, "nchunks": 12, "nchunks_initialized": 6,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    stored = sum(file.stat().st_size for file in (group / "raw" / "image").rglob("*") if file.is_file())
    assert found["nbytes_stored"] == stored


def test_info_tells_where_codecs_run_and_why(group: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "load", lambda: None)
    monkeypatch.setattr(native, "why_not", lambda: "the cat ate it")
    found = answer(capsys, "info", str(group / "mask"))["decodes"]
    assert found["memory"] == "cpu"
    assert "the cat ate it" in found["why_not_compiled"]
    assert {stage["codec"]: stage["where"] for stage in found["stages"]} == {
        "sharding_indexed": "plan", "bytes": "layout", "gzip": "python",
    }  # fmt: skip


def test_info_prints_shape_codecs_places_and_attributes(group: Path, capsys: Printed) -> None:
    assert main(["info", str(group / "raw" / "image")]) == 0
    printed = capsys.readouterr().out
    for part in ("(40, 30)", "uint16", "zstd(", "decodes into cpu memory", "in the layout, no pass", "µm", "6 of 12"):
        assert part in printed


def test_info_tells_what_a_group_is(group: Path, capsys: Printed) -> None:
    found = answer(capsys, "info", str(group))
    assert (found["type"], found["arrays"], found["groups"]) == ("group", 1, 2)
    assert found["attributes"] == {"lab": 7}


def test_info_prints_no_control_characters_from_documents(tmp_path: Path, capsys: Printed) -> None:
    gpuzarr.create_array(tmp_path / "a", data=np.arange(3), attributes={"a\x1b[2J": "\x1b]0;owned\x07"})
    assert main(["info", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "owned" in printed
    assert not set(printed) & {"\x1b", "\x07"}


def test_info_of_values_json_has_no_word_for_is_still_json(tmp_path: Path, capsys: Printed) -> None:
    for name, value in {"a": np.nan, "b": -np.inf}.items():
        gpuzarr.create_array(tmp_path / name, shape=(2,), dtype="f4", fill_value=value)
    found = [answer(capsys, "info", str(tmp_path / name))["fill_value"] for name in "ab"]
    assert found == ["NaN", "-Infinity"]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_info_of_arrays_without_chunks_to_read(
    tmp_path: Path, capsys: Printed, zarr_format: int, shape: tuple[int, ...]
) -> None:
    gpuzarr.create_array(tmp_path / "a", shape=shape, dtype="f4", zarr_format=zarr_format)
    assert answer(capsys, "info", str(tmp_path / "a"))["shape"] == list(shape)


# --- tree --------------------------------------------------------------------------------------------------


def test_tree_draws_the_hierarchy(group: Path, capsys: Printed) -> None:
    assert main(["tree", str(group)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "/",
        "├── empty",
        "├── mask (8, 8) bool",
        "└── raw",
        "    └── image (40, 30) uint16",
    ]


def test_tree_in_json_nests_members(group: Path, capsys: Printed) -> None:
    found = answer(capsys, "tree", str(group))
    assert sorted(found["members"]) == ["empty", "mask", "raw"]
    image = found["members"]["raw"]["members"]["image"]
    assert (image["type"], image["shape"]) == ("array", [40, 30])


def test_tree_shows_members_that_can_not_be_opened(group: Path, capsys: Printed) -> None:
    (group / "mask" / "zarr.json").write_text("{}")
    assert main(["tree", str(group)]) == 0
    assert "mask (unreadable: " in capsys.readouterr().out
    assert answer(capsys, "tree", str(group))["members"]["mask"]["type"] == "unreadable"


def test_an_array_is_a_tree_of_one(group: Path, capsys: Printed) -> None:
    assert main(["tree", str(group / "mask")]) == 0
    assert capsys.readouterr().out == "/ (8, 8) bool\n"


# --- paths and errors --------------------------------------------------------------------------------------


def test_a_path_may_go_on_behind_a_zip_file(tmp_path: Path, capsys: Printed) -> None:
    root = gpuzarr.open_group(str(tmp_path / "lab.zip"), mode="w")
    root.create_array("raw/image", data=np.arange(4))
    root.store.close()  # type: ignore[attr-defined]
    for path in (f"{tmp_path}/lab.zip/raw/image", f"zip://{tmp_path}/lab.zip/raw/image"):
        assert answer(capsys, "info", path)["shape"] == [4]


@pytest.mark.parametrize("command", ["info", "tree"])
@pytest.mark.parametrize("where", ["nothing", "text.txt", "s3://bucket/a", "text.txt/inside"])
def test_what_can_not_be_opened_is_one_line_on_standard_error(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch, command: str, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("text")
    assert main([command, where]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("gpuzarr: ")
    assert printed.err.count("\n") == 1


def test_damaged_documents_are_one_line_without_control_characters(tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "\\u001b[2J\\n"}')
    assert main(["info", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    "argv", [[], ["fly"], ["info"], ["info", "a", "b"], ["demo", "--crops", "0"], ["demo", "--crops", "x"]]
)
def test_a_command_that_is_not_usable_is_exit_code_2(argv: list[str], capsys: Printed) -> None:
    assert main(argv) == 2
    assert "usage: gpuzarr" in capsys.readouterr().err


def test_help_and_version_are_exit_code_0(capsys: Printed) -> None:
    for argv in (["--help"], ["demo", "--help"], ["--version"]):
        assert main(argv) == 0
        assert "gpuzarr" in capsys.readouterr().out


def test_an_interrupt_is_exit_code_130(group: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpuzarr, "open", interrupt)
    assert main(["info", str(group)]) == 130
    assert capsys.readouterr().err == "gpuzarr: interrupted\n"


def test_too_little_memory_is_one_line(group: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 1 PiB")

    monkeypatch.setattr(gpuzarr, "open", too_much)
    assert main(["info", str(group)]) == 1
    assert capsys.readouterr().err == "gpuzarr: not enough memory: Unable to allocate 1 PiB\n"


def run(code: str, **how: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(gpuzarr.__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, **how)


def test_a_reader_that_goes_away_is_no_traceback(group: Path) -> None:
    code = f"""
import os, sys
read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
from gpuzarr.cli import main
sys.exit(main(["tree", {str(group)!r}]))
"""
    done = run(code)
    assert done.stderr == ""
    assert done.returncode == 1


def test_the_package_runs_as_a_module() -> None:
    done = run("import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('gpuzarr', run_name='__main__')")
    assert done.returncode == 0
    assert done.stdout.startswith("gpuzarr ")


def test_every_command_runs_on_a_bare_core_install(group: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(600.0).reshape(20, 30))
    commands = [
        ["info", str(group / "raw/image")],
        ["tree", str(group)],
        ["doctor"],
        ["demo", str(tmp_path / "v.npy"), "--out", str(tmp_path / "out")],
    ]
    code = f"""
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"rich", "click", "cupy", "torch", "zarr", "tifffile", "nibabel", "ml_dtypes"}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from gpuzarr.cli import main
print([main(command) for command in {commands!r}])
"""
    done = run(code)
    assert done.stdout.splitlines()[-1:] == ["[0, 0, 0, 0]"], done.stderr


# --- doctor ------------------------------------------------------------------------------------------------


def test_doctor_reports_versions_and_codecs(capsys: Printed) -> None:
    found = answer(capsys, "doctor")
    assert found["needed"]["numpy"] == np.__version__
    codecs = {codec["codec"]: codec for codec in found["codecs"]}
    assert {"blosc", "zstd", "gzip", "zlib", "lz4", "crc32c", "sharding_indexed", "bytes"} <= set(codecs)
    assert all(codec["code"] for codec in codecs.values())
    assert found["memory"]["cpu"] is None


def test_doctor_says_what_is_compiled_or_why_it_is_not(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    library = native.load()
    found = answer(capsys, "doctor")
    compiled = {codec["codec"] for codec in found["codecs"] if codec["runs_on"] == "cpu, compiled"}
    assert compiled == (set() if library is None else set(library.ops))
    monkeypatch.setattr(native, "load", lambda: None)
    monkeypatch.setattr(native, "why_not", lambda: "the cat ate it")
    found = answer(capsys, "doctor")
    assert found["compiled"] == {"path": None, "why_not": "the cat ate it", "sources": {}}
    zstd = next(codec for codec in found["codecs"] if codec["codec"] == "zstd")
    assert (zstd["runs_on"], zstd["why_not"]) == ("cpu, Python", "the cat ate it")
    assert main(["doctor"]) == 0
    assert "the cat ate it" in capsys.readouterr().out


def test_doctor_says_why_a_device_library_is_no_use(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    found = answer(capsys, "doctor")
    assert found["devices"]["cupy"]["found"] is None
    assert "libcuda.so.1: cannot open shared object file" in found["devices"]["cupy"]["why_not"]
    assert "libcuda.so.1: cannot open shared object file" in found["memory"]["cuda"]


def test_doctor_lists_devices(tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cupy.py").write_text(
        """
__version__ = "99"
class cuda:
    class runtime:
        getDeviceCount = staticmethod(lambda: 1)
        getDeviceProperties = staticmethod(lambda device: {"name": b"Toy", "totalGlobalMem": 1 << 30})
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr("gpuzarr.cli.doctor._opens", lambda word: None)  # this CuPy has nothing but what is listed
    monkeypatch.setitem(devices._state, "asked", False)  # nor has it started a driver
    assert answer(capsys, "doctor")["devices"]["cupy"]["found"] == "cupy 99; cuda:0 Toy, 1.00 GiB"
    sys.modules.pop("cupy")


def test_doctor_says_what_decodes_for_results_on_a_device(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    def codecs() -> dict[str, str]:
        return {codec["codec"]: codec["device"] for codec in answer(capsys, "doctor")["codecs"]}

    monkeypatch.setattr(nvcomp, "_find", lambda: "the cat ate it")
    found = codecs()
    assert answer(capsys, "doctor")["devices"]["nvcomp"] == {"found": None, "why_not": "the cat ate it"}
    assert found["lz4"] == found["crc32c"] == "own kernel"
    assert found["sharding_indexed"] == "part of the plan"
    assert found["zstd"] == found["gzip"] == found["zlib"] == "own kernel: nvCOMP is not there"
    monkeypatch.setattr(nvcomp, "_find", lambda: SimulatedNvcomp(lambda address, nbytes: np.zeros(nbytes, np.uint8)))
    found = codecs()
    assert found["gzip"] == found["zlib"] == found["zstd"] == "nvCOMP (simulated)"
    assert found["blosc"] == "own kernels; zstd inside: nvCOMP (simulated); zlib inside: nvCOMP (simulated)"


def test_doctor_says_what_the_emulator_is_built_with(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuzarr.testing.emulator.build.find_compiler", lambda: None)
    found = answer(capsys, "doctor")
    assert "no C++ compiler" in found["devices"]["emulator"]["why_not"]
    assert found["memory"]["simulated"] is not None
    compiler = Compiler(("c++",), "g++", "g++ 99\nand more")
    monkeypatch.setattr("gpuzarr.testing.emulator.build.find_compiler", lambda: compiler)
    assert answer(capsys, "doctor")["devices"]["emulator"]["found"] == "g++ 99"


def test_doctor_names_packages_that_are_missing(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "MISSING, and needed" in printed
    assert "no: pip install gpuzarr[dtypes]" in printed


# --- how things are shown ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_without_a_terminal_is_aligned_text() -> None:
    out = io.StringIO()
    text.table(("name", "size"), [("a", "1 B"), ("long", "100 B")], out)
    assert out.getvalue().splitlines() == ["name   size", "----  -----", "a       1 B", "long  100 B"]


def test_rich_tables_hold_the_same_cells() -> None:
    pytest.importorskip("rich")
    out = Terminal()
    text.table(("name", "size"), [("[bold]a", "1 B"), ("long", "100 B")], out)
    for cell in ("name", "size", "[bold]a", "1 B", "long", "100 B"):
        assert cell in out.getvalue()


@pytest.mark.parametrize("has_rich", [False, True])
def test_a_step_shorter_than_a_second_shows_no_bar(has_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    out = Terminal()
    with text.progress("copying", 10, out) as advance:
        advance(10)
    assert out.getvalue() == ""


@pytest.mark.parametrize("has_rich", [False, True])
def test_a_longer_step_shows_a_bar_and_clears_it(has_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ticks = iter([0.0, 0.5, 1.5, 2.0])
    out = Terminal()
    with monkeypatch.context() as clock:
        clock.setattr(text, "perf_counter", lambda: next(ticks))
        with text.progress("copying", 100, out) as advance:
            advance(10)
            early = out.getvalue()
            advance(40)
            advance(30)
    assert early == ""
    assert "copying" in out.getvalue()
    assert "80" in out.getvalue()


def test_a_bar_is_cleared_when_a_step_fails() -> None:
    out = Terminal()

    def copy() -> None:
        with text.progress("copying", 10, out, after=0.0) as advance:
            advance(5)
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        copy()
    assert out.getvalue().endswith("\x1b[K") or "\x1b[2K" in out.getvalue()


def test_without_a_terminal_a_bar_is_a_few_lines() -> None:
    out = io.StringIO()
    with text.progress("copying", 1000, out, after=0.0) as advance:
        for _ in range(1000):
            advance(1)
    assert out.getvalue().splitlines() == [f"copying: {percent} %" for percent in range(0, 101, 10)]


def test_times_and_rates_have_units() -> None:
    assert text.duration(0.00123) == "1.23 ms"
    assert text.duration(75) == "75 s"
    assert text.rate(1 << 20, 2) == "512 KiB/s"
    assert text.rate(1, 0) == "-"
