"""Stores that other implementations wrote, read through gpuzarr.

The folder that GPUZARR_CONFORMANCE names has the stores, what they hold by sha256, and `check.py`, which reads them
all. Everything passes; gpuzarr reads even what is on the short list below.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JSON2 = ("data.zarr", "data.zipped_from_parent.zarr.zip!/data.zarr", "data.zipped_from_within.zarr.zip!")
ALONE = {
    "gdal/lzma_with_filters.zarr",
    "gdal/v3/fixed_length_utf32.zarr/ar",
    *(f"zarrita.js/v2/{store}/1d.contiguous.json2.O" for store in JSON2),
}
"""Stores that gpuzarr reads though the implementations that made the expectations do not."""

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
