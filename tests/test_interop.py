from __future__ import annotations
from pathlib import Path
from typing import Any
import numpy as np
import pytest
from interop_cases import Case, cases_v3
from peers import Peer, gpuzarr_reads, peer, put_documents, same
import gpuzarr

pytestmark = pytest.mark.filterwarnings("ignore::gpuzarr.metadata.MetadataWarning")


def pairs(cases):
    return [pytest.param(c, p, id=f"{c}-{p}") for c in cases for p in c.peers]


@pytest.mark.parametrize(("case", "letter"), pairs(cases_v3()))
def test_others_read_what_gpuzarr_writes(case: Case, letter: str, tmp_path: Path) -> None:
    other = peer(letter)
    put_documents(tmp_path, case.documents)
    array = gpuzarr.open_array(tmp_path, mode="r+")
    array[...] = case.values
    array.attrs["written"] = True  # gpuzarr's own document instead of the case's
    assert same(other.read(tmp_path), case.values)
    crop = tuple(slice(n // 3, n) for n in case.values.shape)
    changed = case.values.copy()
    changed[crop] = case.values[crop][tuple(slice(None, None, -1) for _ in crop)]
    in_python = gpuzarr.open_array(tmp_path, mode="r+", executor=gpuzarr.Executor(1, native=False))
    in_python[crop] = changed[crop]
    assert same(other.read(tmp_path), changed)
    assert gpuzarr_reads(tmp_path, changed) == []


@pytest.mark.parametrize(("case", "letter"), pairs(cases_v3()))
def test_gpuzarr_reads_what_others_write(case: Case, letter: str, tmp_path: Path) -> None:
    put_documents(tmp_path, case.documents)
    peer(letter).write(tmp_path, case.values)
    assert gpuzarr_reads(tmp_path, case.values) == []
