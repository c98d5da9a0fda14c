"""The kernels' sources as a GPU's compiler gets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuzarr.cuda.kernels import Kernels, kernel_files, kernel_text
from gpuzarr.errors import DeviceError
from gpuzarr.native import kernel_folder

PACKAGE = Path(__file__).resolve().parents[1] / "gpuzarr"
FILES = sorted(set(kernel_files().values()))


def test_every_kernel_that_is_launched_has_a_source() -> None:
    launchers = (PACKAGE / "cuda").glob("*.py")
    launched = {name for path in launchers for name in re.findall(r'"(gz_\w+)"', path.read_text("utf-8"))}
    assert {"gz_copy", "gz_scatter_boxes"} <= launched <= kernel_files().keys()


@pytest.mark.parametrize("file", FILES)
def test_a_text_stands_for_itself(file: str) -> None:
    text = kernel_text(file)
    assert '#include "' not in text
    assert text.count("typedef unsigned char      gz_u8;") == 1  # what is included twice is there once


@pytest.mark.parametrize("file", FILES)
def test_lines_of_a_text_are_those_of_the_sources(file: str) -> None:
    sources = {path.name: path.read_text("utf-8").split("\n") for path in Path(str(kernel_folder())).glob("*.cu*")}
    name, number, seen = "", 0, set()
    for line in kernel_text(file).split("\n"):
        named = re.fullmatch(r'#line (\d+) "(.+)"', line)
        if named:
            name, number = named[2], int(named[1])
            continue
        if line:
            assert sources[name][number - 1] == line
            seen.add((name, number))
        number += 1
    assert {number for at, number in seen if at == file} == {
        number for number, line in enumerate(sources[file], 1) if line and not line.startswith("#include")
    }


def test_a_kernel_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeviceError, match="no such kernel") as error:
        Kernels("cuda:3").function("gz_nothing")
    assert (error.value.device, error.value.kernel) == ("cuda:3", "gz_nothing")
