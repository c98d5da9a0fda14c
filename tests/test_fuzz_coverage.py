"""What coverage-guided fuzzing kept is replayed, without clang: results, accesses to memory, and steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import deflate_launch
import pytest
import zstd_launch
from fuzz_coverage import DECODERS, HARNESS, HEAD, framing_of, load, several_frames, stream_of, written
from lz_launch import ORDERS
from step_bounds import DEFLATE, ZSTD, deflate_blocks, zstd_blocks
from zstd_frames import Stream, frame, raw

from gpuzarr.testing.emulator import Emulator
from kernels import needs_compiler

pytestmark = needs_compiler

EMULATORS = {"zstd": zstd_launch.emulator, "deflate": deflate_launch.emulator}
MOST: dict[str, Callable[[Stream], int]] = {
    "zstd": lambda stream: ZSTD.steps(len(stream[0]), stream[1], zstd_blocks(stream[0])),
    "deflate": lambda stream: DEFLATE.steps(len(stream[0]), stream[1], deflate_blocks(stream[0])),
}

every_decoder = pytest.mark.parametrize("name", sorted(DECODERS))


def launches(name: str, emulator: Emulator, inputs: list[bytes]) -> list[tuple[Stream, int]]:
    """Each stream with the steps of its busiest thread, where they are counted; a launch for each order and framing."""
    found = []
    for order, framing in sorted({(data[0] % 3, framing_of(data)) for data in inputs}):
        streams = [stream_of(data) for data in inputs if (data[0] % 3, framing_of(data)) == (order, framing)]
        if name == "zstd":
            zstd_launch.decode(emulator, streams, order=ORDERS[order], shift=order)
        else:
            deflate_launch.decode(emulator, framing, streams, order=ORDERS[order], shift=order)
        steps = emulator.steps().tolist() if emulator.mode == "cover" else [0] * len(streams)
        found += list(zip(streams, steps, strict=True))
    return found


@every_decoder
def test_kernel_and_library_agree_on_the_corpus(name: str) -> None:
    inputs = load(name)
    assert len(inputs) > 200
    assert not [wrong for wrong in DECODERS[name].judge(inputs) if wrong]


@every_decoder
def test_no_stream_of_the_corpus_leaves_its_buffers(name: str) -> None:
    launches(name, EMULATORS[name]("check"), [data for data in load(name) if stream_of(data)[1] < 20_000])


@every_decoder
def test_no_stream_of_the_corpus_takes_more_steps_than_promised(name: str) -> None:
    found = launches(name, EMULATORS[name]("cover"), load(name))
    assert len(found) == len(load(name))
    assert not [steps for stream, steps in found if steps > MOST[name](stream)]


# ---- the fuzzer itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", range(3))
def test_inputs_say_what_they_were_made_of(framing: int) -> None:
    for turn in range(300):
        data = written((b"abc", 70_000), turn, framing)
        assert (stream_of(data), framing_of(data)) == ((b"abc", 70_000), framing)


def test_both_languages_read_inputs_alike() -> None:
    text = HARNESS.read_text("utf-8")
    (head,) = re.findall(r"HEAD = (\d+)", text)
    assert int(head) == HEAD
    assert "byte / 6 & 7" in text
    assert "kind - 5" in text


def test_several_frames_are_told_from_one() -> None:
    one = frame([raw(b"abc")], checked=b"abc")
    assert not any(several_frames(data) for data in (one, one[:-1], b""))
    assert all(several_frames(data) for data in (one + one, one + b"\0"))


def test_the_corpora_are_small() -> None:
    paths = list(Path(HARNESS.parent, "corpus").glob("*_coverage.npz"))
    assert len(paths) == len(DECODERS)
    assert all(path.stat().st_size < 300_000 for path in paths)
