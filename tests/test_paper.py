"""The model of speed on paper: what it makes of machine code, and that it finds its loops in the kernels' code."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import gates
import pytest

from benchmarks.loops import DECODERS, Decoder
from benchmarks.paper import Cost, Counts, Device, Stream, alone, code, cost, counted, data, resident, speed
from benchmarks.sass import Code, Latencies, Loop, cycles
from kernels import needs_compiler

compiled = pytest.mark.skipif(gates.why_not() is not None, reason=f"compile gates: {gates.why_not()}")
KNOWN = Latencies(arithmetic=4, shared=30, l1=40, l2=250, branch=8)

LOOP = """
.L_x_0:
    //## File "/tmp/a.cu", line 1
        /*0000*/                   LDS R1, [R1] ;
    //## File "/tmp/a.cu", line 2
        /*0010*/                   ISETP.NE.AND P0, PT, R1, RZ, PT ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
    //## File "/tmp/b.cuh", line 9 inlined at "/tmp/a.cu", line 3
    //## File "/tmp/a.cu", line 3
        /*0030*/                   IMAD.WIDE R4, R1, 0x8, R2 ;
        /*0040*/                   LDG.E.64 R6, desc[UR6][R4.64] ;
.L_x_1:
    //## File "/tmp/a.cu", line 4
        /*0050*/                   IADD3 R3, P1, R6, R7, RZ ;
        /*0060*/               @P1 BRA `(.L_x_0) ;
        /*0070*/                   EXIT ;
"""


def made(text: str = LOOP) -> Code:
    return Code.read(None, text)


def test_machine_code_is_read() -> None:
    found = made()
    assert [each.name for each in found.instructions][:3] == ["LDS", "ISETP.NE.AND", "BRA"]
    assert found.instructions[3].line == ("b.cuh", 9)
    assert found.instructions[3].writes == {"R4", "R5"}
    assert found.instructions[4].reads == {"R4", "R5", "UR6"}
    assert found.instructions[4].writes == {"R6", "R7"}
    assert found.instructions[5].writes == {"R3", "P1"}
    assert found.instructions[2].reads == {"P0"}
    assert list(found.loops()) == [Loop(0, 6)]
    assert found.loop_of(("b.cuh", 9)) == Loop(0, 6)
    with pytest.raises(ValueError, match="no loop"):
        found.loop_of(("b.cuh", 10))


def test_a_way_goes_through_what_it_has_to_and_passes_what_is_seldom() -> None:
    found = made()
    loop = Loop(0, 6)
    assert len(found.way(loop, {("b.cuh", 9)}, set())) == 7
    assert len(found.way(loop, set(), {("b.cuh", 9)})) == 5
    assert len(found.way(loop, {("b.cuh", 9)}, {("b.cuh", 9)})) == 7


def test_what_depends_on_another_waits_for_it() -> None:
    """R1 is loaded by way of itself, 30 cycles; then come a comparison, 4, and branches. Loads wait for their use."""
    found = made()
    short = cycles(found.way(Loop(0, 6), set(), {("b.cuh", 9)}), KNOWN, KNOWN.l1)
    near = cycles(found.way(Loop(0, 6), {("b.cuh", 9)}, set()), KNOWN, KNOWN.l1)
    far = cycles(found.way(Loop(0, 6), {("b.cuh", 9)}, set()), KNOWN, KNOWN.l2)
    assert 30 + 4 + 2 * 8 <= short <= 30 + 4 + 2 * 8 + 10
    assert far - near == KNOWN.l2 - KNOWN.l1
    assert near > short + KNOWN.l1


@compiled
@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_every_loop_is_found_in_the_code(decoder: Decoder) -> None:
    for part in decoder.parts:
        found = cost(decoder, part, Latencies())
        assert 5 < found.instructions < 600, part.name
        assert found.instructions < found.near <= found.far, part.name
    assert resident(code(decoder), Device()) >= 16


@needs_compiler
@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_loops_are_counted_in_real_data(decoder: Decoder) -> None:
    content = data()["MRI, int16"][: 64 << 10]
    found = counted(decoder, content)
    assert found.size == len(content) > found.stored
    assert all(count > 0 for count in found.parts)
    assert 1 <= found.blocks <= found.batches


def test_more_streams_are_not_slower_until_the_device_is_full() -> None:
    stream, counts = Stream((1e6, 2e6), 2e5), Counts(1 << 16, 1 << 14, (), 1, 1)
    speeds = [speed(stream, counts, count, 16, Device(), worst=False) for count in (1, 100, 1000, 3000, 100_000)]
    assert all(few <= many for few, many in pairwise(speeds))
    assert speeds[-1] == speeds[-2] == pytest.approx(132 * 16 * counts.size / 1e6 * Device().clock)
    assert speed(stream, counts, 1000, 16, Device(), worst=True) == pytest.approx(speeds[2] / 2)
    crowded = replace(stream, instructions=1e6)
    assert speed(crowded, counts, 3000, 16, Device(), worst=False) < speeds[-1]


def test_the_page_of_the_kernels_has_the_tables() -> None:
    text = (Path(__file__).parents[1] / "docs" / "kernels.md").read_text("utf-8")
    assert all(f"### `{decoder.kernel}`" in text for decoder in DECODERS)
    assert "No GPU has run" in text


@compiled
@needs_compiler
def test_a_stage_lasts_as_long_as_its_slower_warp(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = DECODERS[0]
    monkeypatch.setattr("benchmarks.paper.cost", lambda *_: Cost(1, 10, 20))
    counts = Counts(1000, 100, tuple(float(k + 1) for k in range(len(decoder.parts))), 0, 0)
    by_stage = {(prepare, warp): 0.0 for prepare in (True, False) for warp in (0, 1)}
    for part, count in zip(decoder.parts, counts.parts, strict=True):
        by_stage[part.prepare, part.warp] += 10 * count
    near = sum(max(by_stage[prepare, 0], by_stage[prepare, 1]) for prepare in (True, False))
    found = alone(decoder, counts, Latencies())
    assert found.cycles == (near, 2 * near)
    assert found.instructions == sum(counts.parts)
