"""The emulator of kernels: its collectives are CUDA's, and each fault planted in tests/emulated/faults.cu is found.

A GPU is not needed and not used. Where the sources say what CUDA defines, NumPy says it here again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError
from kernels import Buffers, Way, needs_compiler, ways

pytestmark = needs_compiler

SOURCES = Path(__file__).parent / "emulated"
FULL = 0xFFFFFFFF
collectives = ways("collectives.cu", folder=SOURCES)
faults = ways("faults.cu", folder=SOURCES, modes=["check"])
clean = ways("faults.cu", folder=SOURCES)
collectives_in_fast_mode = ways("collectives.cu", folder=SOURCES, modes=["fast"], orders=["forward"])

u32, i32 = np.uint32, np.int32


def line_of(fault: str) -> str:
    """The place that a message must name."""
    lines = (SOURCES / "faults.cu").read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"// FAULT {fault}"))
    return f"faults.cu:{number}"


# ---- collectives are what CUDA says ---------------------------------------------------------------------------------


def source_lane(op: int, lane: int, by: int, width: int) -> int:
    """CUDA C++ Programming Guide, Warp Shuffle Functions."""
    first = lane - lane % width
    if op == 0:
        return first + by % width
    wanted = {1: lane - by, 2: lane + by, 3: lane ^ by}[op]
    outside = {1: wanted < first, 2: wanted >= first + width, 3: wanted >= first + width}[op]
    return lane if outside else wanted


@collectives
@pytest.mark.parametrize("dtype", ["u4", "u8"])
@given(
    op=st.integers(0, 3),
    width=st.sampled_from([1, 2, 4, 8, 16, 32]),
    mask=st.just(FULL) | st.integers(1, FULL),
    by=st.lists(st.integers(0, 40) | st.sampled_from([2**31, 2**32 - 1]), min_size=64, max_size=64),
    seed=st.integers(0, 99),
)
def test_a_shuffle_moves_values_between_lanes(
    way: Way, dtype: str, op: int, width: int, mask: int, by: list[int], seed: int
) -> None:
    values: NDArray[Any] = np.random.default_rng(seed).integers(0, 2**32, 64).astype(dtype) * 3
    taking = [lane for lane in range(64) if mask >> lane % 32 & 1]
    if op == 3:  # an xor of the lane's number with one beyond 31 names no lane at all
        by = [x % 32 for x in by]
    sources = {lane: lane // 32 * 32 + source_lane(op, lane % 32, by[lane], width) for lane in taking}
    with way.buffers() as b:
        out = b.put(np.zeros(64, dtype))
        args: list[Any] = [b.put(values).pointer, b.table(by, u32), out.pointer, u32(op), u32(width), u32(mask)]
        if not set(sources.values()) <= set(taking):
            with pytest.raises(DeviceError, match="not in its mask"):
                b.launch(f"shuffle{values.itemsize}", 1, 64, args, seed=seed)
            return
        b.launch(f"shuffle{values.itemsize}", 1, 64, args, seed=seed)
        expected = np.zeros(64, dtype)
        for lane, source in sources.items():
            expected[lane] = values[source]
        np.testing.assert_array_equal(out.array(dtype), expected)


@collectives
@given(mask=st.just(FULL) | st.integers(1, FULL), likely=st.sampled_from([0, 0.5, 1]), seed=st.integers(0, 99))
def test_a_vote_counts_the_lanes_of_its_mask(way: Way, mask: int, likely: float, seed: int) -> None:
    voted = (np.random.default_rng(seed).random(96) < likely) * np.random.default_rng(seed).integers(1, 9, 96)
    expected = np.zeros((96, 3), u32)
    for thread in range(96):
        lanes = [lane for lane in range(32) if mask >> lane & 1]
        yes = [bool(voted[thread // 32 * 32 + lane]) for lane in lanes]
        if mask >> thread % 32 & 1:
            ballot = sum(1 << lane for lane, is_yes in zip(lanes, yes, strict=True) if is_yes)
            expected[thread] = ballot, any(yes), all(yes)
    with way.buffers() as b:
        out = b.zeros(288, u32)
        b.launch("votes", 1, 96, [b.put(voted.astype(i32)).pointer, out.pointer, u32(mask)], seed=seed)
        np.testing.assert_array_equal(out.array(u32).reshape(96, 3), expected)


@collectives
@given(stay=st.integers(1, 100), likely=st.sampled_from([0, 0.5, 1]), seed=st.integers(0, 99))
def test_a_barrier_votes_among_the_threads_that_are_left(way: Way, stay: int, likely: float, seed: int) -> None:
    voted = np.random.default_rng(seed).random(100) < likely
    left = voted[:stay]
    with way.buffers() as b:
        out = b.zeros(300, i32)
        b.launch("barrier_votes", 1, 100, [b.put(voted.astype(i32)).pointer, out.pointer, u32(stay)], seed=seed)
        count, every, some = out.array(i32).reshape(100, 3)[:stay].T
    assert set(count) == {left.sum()}
    assert (every != 0).all() == left.all() == (every != 0).any()
    assert (some != 0).all() == left.any() == (some != 0).any()


def integer_values(x: int, y: int) -> list[int]:
    """CUDA Math API, Integer Intrinsics, in Python's own integers."""
    wide = y << 32 | x
    in_bytes = wide.to_bytes(8, "little")

    def picked(nibble: int) -> int:
        byte = in_bytes[nibble & 7]
        return (0xFF if byte & 0x80 else 0) if nibble & 8 else byte

    def first_set(value: int) -> int:
        return (value & -value).bit_length()

    permuted = sum(picked((x ^ y) >> 4 * i & 15) << 8 * i for i in range(4))
    return [
        *(permuted, x.bit_count(), 32 - x.bit_length(), first_set(x), int(f"{x:032b}"[::-1], 2), x * y >> 32),
        *((wide << y % 32) >> 32 & FULL, wide >> y % 32 & FULL, wide.bit_count(), 64 - wide.bit_length()),
        *(first_set(wide), int(f"{wide:064b}"[::-1], 2) >> 32, wide * wide >> 96, min(x, y), max(x, y)),
    ]


@collectives_in_fast_mode
@given(pairs=st.lists(st.tuples(*[st.integers(0, FULL) | st.sampled_from([0, 1, FULL])] * 2), min_size=1, max_size=64))
def test_integer_intrinsics(way: Way, pairs: list[tuple[int, int]]) -> None:
    columns = np.array(pairs, u32).T
    with way.buffers() as b:
        out = b.room(15 * 4 * len(pairs))
        args: list[Any] = [b.put(columns[0]).pointer, b.put(columns[1]).pointer, out.pointer, u32(len(pairs))]
        b.launch("integers", 1, len(pairs), args)
        found = out.array(u32).reshape(15, -1).T.tolist()
    assert found == [integer_values(x, y) for x, y in pairs]


@collectives
def test_atomics_lose_no_update(way: Way) -> None:
    values = np.random.default_rng(3).integers(-(2**20), 2**20, 256).astype(i32)
    with way.buffers() as b:
        out, olds = b.put(np.array([0, 0, 0, 0, -1, 0, 0, 0, -1], i32)), b.room(1024)
        b.launch("atomics", 4, 64, [b.put(values).pointer, out.pointer, olds.pointer], seed=1)
        found = out.array(i32).tolist()
        *known, exchanged, swapped = found
        assert known == [
            *(values.sum(), -values.sum(), min(0, values.min()), max(0, values.max())),
            *(np.bitwise_and.reduce(values), np.bitwise_or.reduce(values), np.bitwise_xor.reduce(values)),
        ]
        assert {exchanged, swapped} <= set(values.tolist())
        # each addition saw the sum of those before it
        seen = np.sort(olds.array(i32))
        assert 0 in seen
        assert len(np.unique(seen)) > 250


@collectives
@pytest.mark.parametrize("n", [1, 100, 5000])
def test_a_kernel_of_every_kind_of_step(way: Way, n: int) -> None:
    values = np.random.default_rng(n).integers(-999, 999, n).astype(i32)
    with way.buffers() as b:
        out = b.zeros(1, i32)
        b.launch("sum_of_block", -(-n // 256), 256, [b.put(values).pointer, out.pointer, i32(n)])
        assert out.array(i32)[0] == values.sum()


@collectives
@pytest.mark.parametrize(("grid", "block"), [(5, 70), ((3, 2), (4, 5)), ((2, 3, 2), (3, 4, 5)), (1, 1024)])
def test_every_thread_of_every_block_runs_once(way: Way, grid: Any, block: Any) -> None:
    count = int(np.prod(grid)) * int(np.prod(block))
    with way.buffers() as b:
        out = b.zeros(count, u32)
        b.launch("indices", grid, block, [out.pointer])
        assert (out.array(u32) == 1).all()


@ways("collectives.cu", folder=SOURCES, modes=["fast"])
def test_threads_and_blocks_take_turns_in_the_order_asked_for(way: Way) -> None:
    def run(seed: int) -> list[int]:
        with way.buffers() as b:
            order = b.zeros(320, u32)
            b.launch("turns", 5, 64, [b.zeros(1, u32).pointer, order.pointer], seed=seed)
            return [int(thread) for thread in order.array(u32)]

    ascending = list(range(320))
    found = run(1)
    if way.order == "random":
        assert sorted(found) == ascending
        assert found == run(1) != run(2)
    else:
        assert found == (ascending if way.order == "forward" else ascending[::-1])


@collectives_in_fast_mode
def test_arguments_arrive_in_their_own_types(way: Way) -> None:
    args: list[Any] = [np.int8(-1), np.uint8(255), np.int16(-2), np.uint16(65535), i32(-3), u32(FULL)]
    args += [np.int64(-4), np.uint64(2**63), np.float32(0.5), np.float64(-0.25)]
    with way.buffers() as b:
        out = b.room(80)
        b.launch("every_type", 1, 1, [*args, out.pointer])
        assert out.array("f8").tolist() == [float(x) for x in args]


# ---- each fault is found, where it is, in every order ---------------------------------------------------------------

Arguments = Callable[[Buffers], Sequence[np.generic]]


def made(*sizes: int, then: Sequence[np.generic] = (), misalign: int = 0, known: bool = True) -> Arguments:
    """Buffers of these sizes, and further arguments."""

    def arguments(b: Buffers) -> Sequence[np.generic]:
        buffers = [b.put(bytes(n), misalign=misalign) if known else b.room(n, misalign=misalign) for n in sizes]
        return [*(buffer.pointer for buffer in buffers), *then]

    return arguments


UNORDERED = "read-after-write race on shared 'tile'|read of uninitialised shared memory"

PLANTED: list[tuple[str, int, int, Arguments, str]] = [
    ("write_past_the_end", 1, 32, made(7, then=[u32(7)]), "write of 1 .* 0 bytes past the end of global"),
    ("read_past_the_end", 1, 32, made(7, 7, then=[u32(7)]), "read of 1 .* 0 bytes past the end of global"),
    ("write_before_the_start", 1, 32, made(40), "write of 1 bytes out of bounds, 1 bytes before global"),
    ("copy_of_16", 1, 1, made(16, 15), "write of 16 bytes out of bounds, at offset 0 of global 'source#1' of 15 bytes"),
    ("copy_of_16", 1, 2, made(32, 32, misalign=8), r"misaligned (read|write) of 16 bytes at offset \d+ of global"),
    ("copied_by_memcpy", 1, 32, made(8, 7, then=[u32(8)]), "write of 8 bytes out of bounds"),
    ("plain_copy", 1, 32, made(32, 32, known=False), r"read of uninitialised global memory, offset \d+ of 'target#0'"),
    ("add_to_nothing", 1, 32, made(4, known=False), "read of uninitialised global memory"),
    ("half_written_shared", 1, 64, made(256, then=[i32(0)]), r"uninitialised shared memory, offset \d+ of 'tile'"),
    ("shared_past_the_end", 1, 64, made(256, then=[i32(1)]), "write of 4 .* 0 bytes past the end of shared"),
    ("dynamic_shared", 1, 64, made(256, then=[i32(64)]), "write of 4 .* 0 bytes past the end of shared"),
    ("last_blocks_shared", 2, 32, made(256), "read of uninitialised shared memory"),
    ("missing_barrier", 1, 64, made(256, then=[i32(0)]), UNORDERED),
    ("missing_second_barrier", 1, 64, made(256, then=[i32(0)]), "race on shared 'tile'"),
    ("missing_syncwarp", 1, 32, made(128, then=[i32(0)]), UNORDERED),
    ("shuffle_is_no_barrier", 1, 32, made(128, then=[i32(0)]), "read-after-write race on shared 'tile'"),
    ("syncwarp_of_another_warp", 1, 64, made(256, then=[i32(0)]), UNORDERED),
    ("syncwarp_of_half", 1, 32, made(128, then=[i32(16)]), UNORDERED),
    ("blocks_write_alike", 2, 32, made(256, then=[i32(0)]), "write-after-write race on global .* of another block"),
    ("block_reads_anothers", 2, 32, made(256, then=[i32(32)]), "race on global .* of another block"),
    ("add_without_atomic", 1, 32, made(4, then=[i32(0)]), "race on global"),
    ("lanes_write_alike", 1, 32, made(4, then=[i32(0)]), "write-after-write race on global .* of this block"),
    ("divergent_barrier", 1, 64, made(256, then=[i32(32)]), "divergent __syncthreads"),
    ("divergent_barrier", 1, 64, made(256, then=[i32(5)]), "divergent __syncthreads"),
    ("barrier_and_collective", 1, 64, made(256), "never completes"),
    ("exited_lane", 1, 32, made(128, then=[i32(5)]), "names lane 5, which has exited"),
    ("exited_lane", 1, 16, made(128, then=[i32(99)]), "names lane 16, which does not exist"),
    ("lane_not_in_mask", 1, 32, made(128, then=[u32(0xFF)]), "by a lane not in its mask"),
    ("lanes_come_apart", 1, 32, made(128, then=[i32(7)]), "never completes"),
    ("shuffle_of_a_width", 1, 32, made(128, then=[i32(12)]), "a shuffle of width 12"),
    ("trapped", 1, 32, made(128, then=[i32(1)]), "__trap"),
]
UNPLACED = {"lanes_come_apart", "divergent_barrier", "missing_second_barrier", "block_reads_anothers"}
"""Faults of two places; which is named depends on the order."""


@faults
@pytest.mark.parametrize(("kernel", "grid", "block", "arguments", "message"), PLANTED)
def test_a_fault_is_found(way: Way, kernel: str, grid: int, block: int, arguments: Arguments, message: str) -> None:
    with way.buffers() as b:
        args = arguments(b)
        with pytest.raises(DeviceError, match=message) as caught:
            b.launch(kernel, grid, block, args, shared=252 if kernel == "dynamic_shared" else 0)
    assert caught.value.kernel == kernel
    assert caught.value.device == "emulator"
    assert re.search(r"block \(\d+, 0, 0\), thread \(\d+, 0, 0\)", str(caught.value))
    if kernel not in UNPLACED:
        assert f"{line_of(kernel)}," in caught.value.reason


@faults
def test_a_shared_array_in_a_template_is_the_blocks_own_or_reported(way: Way) -> None:
    """Not every compiler keeps it in the section that holds shared arrays."""
    with way.buffers() as b:
        out = b.room(256)
        try:
            b.launch("shared_in_a_template", 1, 64, [out.pointer])
        except DeviceError as error:
            assert "write of 4 bytes in a static variable" in error.reason  # noqa: PT017
        else:
            assert out.array(i32).tolist() == [1] * 64


@faults
def test_a_pointer_to_the_hosts_memory_is_found(way: Way) -> None:
    with way.buffers() as b, pytest.raises(DeviceError, match=r"read of 1 bytes .*in no buffer|out of bounds"):
        b.launch("read_of_nowhere", 1, 32, [np.uint64(np.zeros(32).ctypes.data), b.room(32).pointer])


CLEAN: list[tuple[str, int, int, Arguments]] = [
    ("copy_of_16", 1, 2, made(32, 32)),
    ("copied_by_memcpy", 1, 32, made(7, 7, then=[u32(7)], misalign=1)),
    ("plain_copy", 1, 32, made(32, 32, misalign=5)),
    ("half_written_shared", 1, 64, made(256, then=[i32(1)])),
    ("shared_past_the_end", 1, 64, made(256, then=[i32(0)])),
    ("dynamic_shared", 1, 64, made(256, then=[i32(64)])),
    ("missing_barrier", 1, 64, made(256, then=[i32(1)])),
    ("missing_second_barrier", 1, 64, made(256, then=[i32(1)])),
    ("missing_syncwarp", 1, 32, made(128, then=[i32(1)])),
    ("shuffle_is_no_barrier", 1, 32, made(128, then=[i32(1)])),
    ("syncwarp_of_another_warp", 1, 64, made(256, then=[i32(1)])),
    ("syncwarp_of_half", 1, 32, made(128, then=[i32(1)])),
    ("syncwarps_chained", 1, 32, made(4)),
    ("blocks_write_alike", 2, 32, made(256, then=[i32(32)])),
    ("block_reads_anothers", 2, 32, made(256, then=[i32(0)])),
    ("add_without_atomic", 2, 32, made(4, then=[i32(1)])),
    ("lanes_write_alike", 1, 32, made(128, then=[i32(1)])),
    ("divergent_barrier", 1, 64, made(256, then=[i32(64)])),
    ("exited_lane", 1, 32, made(128, then=[i32(99)])),
    ("lanes_come_apart", 1, 32, made(128, then=[i32(0)])),
    ("shuffle_of_a_width", 1, 32, made(128, then=[i32(16)])),
    ("trapped", 1, 32, made(128, then=[i32(0)])),
    ("endless", 1, 32, made(128, then=[i32(0)])),
    ("with_much_shared", 1, 32, made(128)),
    ("of_64_threads", 1, 64, made(256)),
]


@clean
@pytest.mark.parametrize(("kernel", "grid", "block", "arguments"), CLEAN)
def test_the_same_kernel_without_its_fault_passes(
    way: Way, kernel: str, grid: int, block: int, arguments: Arguments
) -> None:
    with way.buffers() as b:
        args = arguments(b)
        for _ in range(2):  # a launch leaves nothing behind that the next would trip over
            b.launch(kernel, grid, block, args, shared=256 if kernel == "dynamic_shared" else 0)
