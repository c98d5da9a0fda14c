"""Stores that other implementations wrote, read through gpuzarr.

The folder that GPUZARR_CONFORMANCE names has the stores, what they hold by sha256, and `check.py`, which reads them
all. Everything passes; gpuzarr reads even what is on the short list below.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import gpuzarr
from gpuzarr import testing
from gpuzarr.cuda.decoders import DECODERS

JSON2 = ("data.zarr", "data.zipped_from_parent.zarr.zip!/data.zarr", "data.zipped_from_within.zarr.zip!")
ALONE = {
    "gdal/lzma_with_filters.zarr",
    "gdal/v3/fixed_length_utf32.zarr/ar",
    *(f"zarrita.js/v2/{store}/1d.contiguous.json2.O" for store in JSON2),
}
"""Stores that gpuzarr reads though the implementations that made the expectations do not."""

OURS = [name for name, decoder in DECODERS.items() if decoder.own]
"""Compressors that we have kernels for."""

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("GPUZARR_CONFORMANCE")
    if named is None:
        pytest.skip("GPUZARR_CONFORMANCE names no folder of conformance data")
    return Path(named)


def verdicts(folder: Path, native: str, out: Path) -> dict[str, str]:
    """What `check.py` says of each case."""
    environment = {**os.environ, "GPUZARR_NATIVE": native, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(folder / "check.py"), "--json", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert out.exists(), done.stderr
    found: dict[str, str] = json.loads(out.read_text())
    return found


@pytest.mark.parametrize("native", ["1", "0"], ids=["compiled", "Python"])
def test_every_store_is_read_right_or_refused_where_nobody_reads_it(
    native: str, folder: Path, tmp_path: Path
) -> None:
    found = verdicts(folder, native, tmp_path / "verdicts.json")
    assert len(found) > 400
    assert {case: verdict for case, verdict in found.items() if verdict != "pass" and case not in ALONE} == {}


@pytest.mark.parametrize("nvcomp", [True, False], ids=["nvCOMP", "own kernels"])
def test_a_device_reads_every_store_as_the_host_does(
    nvcomp: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for elements that no device has; all chunks are decoded there but those of codecs that it has nothing for."""
    pytest.importorskip("cupy", reason="the simulated device makes CuPy arrays")
    check = runpy.run_path(str(folder / "check.py"), run_name="check")
    ways: Counter[str] = Counter()

    def read(package: Any, root: str, case: str, meta_array: str) -> gpuzarr.Array:
        array: gpuzarr.Array = read_(package, root, case, meta_array)
        work = None if array.dtype.hasobject or array.dtype.kind == "T" else array.explain().device
        codecs = str(array.metadata.codecs)
        if work is not None and any(name in codecs for name in OURS) and "numcodecs.delta" not in codecs:
            assert (work.decoded, work.on_host) == ("device", 0), case
            ways.update({f"{share.codec} by {share.code}": share.streams for share in work.streams})
        return array

    read_ = check["read"]
    monkeypatch.setitem(check["main"].__globals__, "read", read)
    monkeypatch.setattr(sys, "argv", ["check.py", "--meta-array", "simulated", "--json", str(tmp_path / "found.json")])
    with testing.simulated_device(nvcomp=nvcomp):
        check["main"]()
    found: dict[str, str] = json.loads((tmp_path / "found.json").read_text())
    for codec, least in (("gzip", 400), ("zlib", 7), ("zstd", 50)):
        assert ways[f"{codec} by {'nvCOMP (simulated)' if nvcomp else 'own kernel'}"] >= least
    assert nvcomp or not any("nvCOMP" in way for way in ways)
    refused = {case for case, verdict in found.items() if "there are no arrays of" in verdict}
    wrong = {case: verdict for case, verdict in found.items() if verdict != "pass" and case not in ALONE | refused}
    assert wrong == {}
    assert len(found) - len(refused) > 400


@pytest.mark.parametrize("memory", ["cpu", "simulated"])
def test_every_n5_container_is_read_right(memory: str, folder: Path) -> None:
    check = runpy.run_path(str(folder / "check.py"), run_name="check")
    cases = json.loads((folder / "expected.json").read_text())["cases"]
    containers = {case: wanted["expect"] for case, wanted in cases.items() if wanted["kind"] == "n5"}
    assert containers
    for case, wanted in containers.items():
        array = gpuzarr.open_array(str(folder / case), mode="r", meta_array=memory)
        found = testing.to_host(array[...])
        assert check["canonical"](found) == wanted["sha256"], case
