"""What two other implementations take is written and read by all of them, each by each, and by gpuzarr in every way.

Of the whole matrix a part is tested in which every pair of choices is there. All of it takes a quarter of an hour:

    GPUZARR_MATRIX=all python -m pytest tests/test_matrix.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matrix_cases import EXCEPTIONS, Choice, Combination, choices, combinations, some
from numpy.typing import NDArray
from peers import PEERS, Peer, put_documents, quiet, same

import gpuzarr
import gpuzarr.testing
from gpuzarr.testing.emulator.build import find_compiler

WHOLE = os.environ.get("GPUZARR_MATRIX") == "all"
MATRIX = list(combinations()) if WHOLE else some(combinations())
LETTERS = "Ztr"


def installed(letters: str) -> list[Peer]:
    """The implementations that are here, of those named."""
    found = []
    for letter in letters:
        try:
            found.append(PEERS[letter]())
        except pytest.skip.Exception:
            continue
    return found


def gpuzarr_writes(native: bool) -> Peer:
    executor = gpuzarr.Executor(threads=1, native=native)

    def write(folder: Path, values: NDArray[Any]) -> None:
        gpuzarr.open_array(folder, mode="r+", executor=executor)[...] = values

    return Peer("gpuzarr", lambda folder: gpuzarr.open_array(folder, mode="r")[...], write)


def ways_of_reading(folder: Path, device: bool) -> Iterator[tuple[str, Any]]:
    """What gpuzarr reads from files, from memory without the compiled module, and on the simulated device."""
    yield "compiled", gpuzarr.open_array(folder, mode="r")[...]
    kept = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    python = gpuzarr.open_array(kept, mode="r", executor=gpuzarr.Executor(threads=1, native=False))
    yield "Python", python[...]
    if device and find_compiler() is not None and python.dtype.kind not in "OT":
        found = gpuzarr.open_array(kept, mode="r", meta_array="simulated")[...]
        yield "simulated device", gpuzarr.testing.to_host(found)


@pytest.mark.parametrize("combination", MATRIX, ids=str)
def test_each_reads_what_each_writes(combination: Combination, tmp_path: Path) -> None:
    others, wanted = installed(combination.peers), combination.values()
    if not others:
        pytest.skip(f"of {combination.peers} no other implementation is installed")
    number, wrong = MATRIX.index(combination), []
    writers = [gpuzarr_writes(native=number % 2 == 0), *others]
    for writer in writers:
        folder = tmp_path / writer.name
        put_documents(folder, combination.documents())
        with quiet():
            writer.write(folder, wanted)
            found = [(other.name, other.read(folder)) for other in others if other is not writer]
        found += ways_of_reading(folder, device=writer is writers[number % len(writers)])
        wrong += [f"{name} reads otherwise what {writer.name} wrote" for name, got in found if not same(got, wanted)]
    assert wrong == []


@pytest.mark.parametrize(("combination", "choice"), choices(), ids=str)
def test_who_takes_a_choice_is_who_is_said_to(combination: Combination, choice: Choice, tmp_path: Path) -> None:
    here = {letter: found[0] for letter in LETTERS if (found := installed(letter))}
    taking = {letter for letter, other in here.items() if takes(other, combination, tmp_path / letter)}
    assert taking == {*choice.peers} & here.keys()


def takes(other: Peer, combination: Combination, folder: Path) -> bool:
    """Whether it reads what it writes and what gpuzarr writes, and gpuzarr what it writes."""
    wanted = combination.values()
    for name in ("theirs", "ours"):
        put_documents(folder / name, combination.documents())
    try:
        with quiet():
            other.write(folder / "theirs", wanted)
            gpuzarr_writes(native=True).write(folder / "ours", wanted)
            found = [other.read(folder / "theirs"), other.read(folder / "ours")]
        return all(same(one, wanted) for one in (*found, gpuzarr.open_array(folder / "theirs")[...]))
    except Exception:  # noqa: BLE001
        return False


def test_the_matrix_is_as_large_as_it_was() -> None:
    """A peer that takes less than it did, or a choice that is gone, is a smaller matrix."""
    sizes = {number: sum(one.zarr_format == number for one in combinations()) for number in (2, 3)}
    assert sizes == {2: 2546, 3: 8165}
    assert all(len(names) > 1 for names, _ in EXCEPTIONS)
