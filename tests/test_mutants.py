"""The tool that judges kernels' tests changes what it should, and counts what they notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import main, mutants

from kernels import needs_compiler

KERNEL = """#include "one.cuh"
extern "C" __global__ void add(const int* in, int* out, int n) {
    out[threadIdx.x] = in[threadIdx.x] + (n > by() ? by() : -n);
}
"""
HEADER = "__device__ inline int by() { return 3; }\n"
TESTS = """
import numpy as np
from gpuzarr.testing.emulator import load

def test_three_is_added():
    values, out = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    load().launch("add", 1, 32, [np.uint64(values.ctypes.data), np.uint64(out.ctypes.data), np.int32(8)])
    assert out.tolist() == list(range(3, 35))
"""


def changes(text: str) -> set[str]:
    return {mutant.of(text) for mutant in mutants(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a < b;", {"x = a <= b;"}),
        ("x = a << 3u;", {"x = a >> 3u;", "x = a << 4u;", "x = a << 2u;"}),
        ("x = 0xf & y;", {"x = 0x10 & y;", "x = 0xe & y;", "x = 0xf | y;"}),
        ("while (f(x)) break;", {"while ((f(x)) && false) break;", "while (f(x)) ;"}),
        ("gz_syncwarp(); f(x);", {"; f(x);"}),
        ("__syncthreads();", {";"}),
        ("// a < 1\n#define N 5\n/* 7 */ f(*p, &q, p->x, -y, i++);", set()),
        ("template <int N> void f();", set()),
    ],
)
def test_each_operator_number_condition_and_barrier_is_changed(text: str, expected: set[str]) -> None:
    assert changes(text) == expected


@needs_compiler
def test_changes_that_the_tests_do_not_see_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.cu").write_text(KERNEL)
    (tmp_path / "one.cuh").write_text(HEADER)
    (tmp_path / "test_one.py").write_text(TESTS)
    monkeypatch.setenv("GPUZARR_KERNELS", str(tmp_path))
    tests = ["--tests", str(tmp_path / "test_one.py")]
    assert main(["one.cu", *tests, "--least", "0.6"]) == 1
    printed = capsys.readouterr().out
    assert "missed  one.cu:3: out[threadIdx.x] = in[threadIdx.x] + (n [> => >=] by() ? by() : -n);" in printed
    assert "one.cu: 1 of 2 mutants noticed (50%)" in printed
    assert main(["one.cuh", *tests, "--sample", "1", "--least", "1"]) == 0
    assert (tmp_path / "one.cu").read_text() == KERNEL
