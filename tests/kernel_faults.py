"""Faults planted in a copy of a kernel's source, all in one build: a test switches on one at a time."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from pathlib import Path

from gpuzarr.testing.emulator import source_folder
from kernels import Buffers

_SWITCH = """
static volatile int gz_planted;
extern "C" __global__ void gz_where_planted(unsigned long long* where) { *where = (unsigned long long)&gz_planted; }
"""


def plant(name: str, faults: Sequence[tuple[str, str]], folder: Path, own: Sequence[str] = ()) -> None:
    """Writes the source with its faults, and the headers it includes, to a folder.

    A fault is a piece of the source and what stands there instead: expressions, or statements with their `;`. It may
    be in the headers that are the kernel's `own`, in the order they are included in.
    """
    text = (source_folder() / name).read_text("utf-8")
    for header in own:
        text = text.replace(f'#include "{header}"\n', (source_folder() / header).read_text("utf-8"))
    text = re.sub(r"^#pragma once$", "", text, flags=re.MULTILINE)
    for number, (right, wrong) in enumerate(faults, 1):
        assert text.count(right) == 1, f"{text.count(right)} times in {name}: {right}"
        either = "if ({0}) {{ {1} }} else {{ {2} }}" if right.endswith(";") else "({0} ? ({1}) : ({2}))"
        text = text.replace(right, either.format(f"gz_planted == {number}", wrong, right))
    for header in source_folder().glob("*.cuh"):
        (folder / header.name).write_text(header.read_text("utf-8"), "utf-8")
    (folder / name).write_text(_SWITCH + text, "utf-8")


def switch_on(buffers: Buffers, number: int) -> None:
    """From here on the kernel has the fault of this number, counted from 1; 0 for none."""
    where = buffers.room(8, tag="where")
    buffers.launch("gz_where_planted", 1, 1, [where.pointer])
    address = int(where.array("u8")[0])
    ctypes.c_int.from_address(address).value = number
    buffers.emulator.unregister(address)
    buffers.emulator.register(address, 4, initialised=True, tag="the planted fault's number")
