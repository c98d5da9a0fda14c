"""The kernels in HIP's spelling, as far as a machine without ROCm can tell.

HIP's names are given to the emulator's operations, so the branches for HIP in the sources are compiled and run. That
hipcc takes them, and what an AMD GPU does, is not shown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_kernels_checksum import KINDS, MISALIGN, ROWS, statuses
from test_kernels_unshuffle import KERNELS, SHAPES, comes_back

from gpuzarr.testing.emulator import load, source_folder
from kernels import Way, needs_compiler, ways

HIP = (
    "__HIPCC__",
    "__lane_id()=(threadIdx.x & 63)",
    "__shfl(value,lane,width)=__shfl_sync(0xffffffffu, (value), (lane), (width))",
    "__shfl_up(value,by,width)=__shfl_up_sync(0xffffffffu, (value), (by), (width))",
    "__shfl_down(value,by,width)=__shfl_down_sync(0xffffffffu, (value), (by), (width))",
    "__shfl_xor(value,by,width)=__shfl_xor_sync(0xffffffffu, (value), (by), (width))",
    # Of the 64 bits of a wavefront that holds two warps the emulator knows the half of the warp that asks.
    "__ballot(bit)=((unsigned long long)__ballot_sync(0xffffffffu, (bit)) << (warpSize == 64 ? threadIdx.x & 32 : 0))",
    "__builtin_amdgcn_fence(order,scope)=((void)0)",
    "__builtin_amdgcn_wave_barrier()=__syncwarp(0xffffffffu)",
)


@needs_compiler
@pytest.mark.parametrize("source", sorted(path.name for path in source_folder().glob("*.cu")))
def test_every_source_compiles_in_hips_spelling(source: str) -> None:
    path = source_folder() / source
    assert load(sources=[path], defines=HIP).kernels() == load(sources=[path]).kernels() != []


@ways("checksum.cu", orders=["random"], defines=HIP)
@pytest.mark.parametrize("kind", KINDS)
def test_checksums_are_right_in_hips_spelling(way: Way, kind: str) -> None:
    right = [KINDS[kind][1](row) for row in ROWS]
    with way.buffers() as b:
        assert statuses(b, kind, ROWS, right, MISALIGN) == [0] * len(ROWS)


@ways("unshuffle.cu", modes=["fast"], orders=["random"], defines=HIP)
@pytest.mark.parametrize("kernel", KERNELS)
def test_elements_come_back_in_hips_spelling(way: Way, kernel: str) -> None:
    with way.buffers() as b:
        comes_back(b, kernel, SHAPES)


VOTES = """
#ifdef WAVEFRONT
#undef warpSize
#define warpSize WAVEFRONT
#endif
#include "common.cuh"
extern "C" __global__ void votes(gz_u32* out) {
    const gz_u32 i = threadIdx.x, lane = gz_lane();
    gz_u32* row = out + 5 * i;
    row[0] = gz_ballot(i % 3 == 0);
    row[1] = gz_shfl(i, 7);
    row[2] = gz_shfl_up(i, 1);
    row[3] = gz_shfl_down(i, 2) + gz_shfl_xor(i, 5);
    gz_syncwarp();
    row[4] = lane + gz_any(i == 40);
}
"""


@needs_compiler
@pytest.mark.parametrize("wavefront", [32, 64])
def test_warp_operations_keep_to_32_lanes_of_a_wavefront(wavefront: int, tmp_path: Path) -> None:
    (tmp_path / "common.cuh").write_text((source_folder() / "common.cuh").read_text("utf-8"), "utf-8")
    (tmp_path / "votes.cu").write_text(VOTES, "utf-8")
    in_cuda, in_hip = (np.zeros((64, 5), np.uint32) for _ in range(2))
    for out, defines in ((in_cuda, ()), (in_hip, (*HIP, f"WAVEFRONT={wavefront}"))):
        load(sources=[tmp_path / "votes.cu"], defines=defines).launch("votes", 1, 64, [np.uint64(out.ctypes.data)])
    assert np.array_equal(in_cuda, in_hip)
    assert in_hip[40, 0] == sum(1 << lane for lane in range(32) if (32 + lane) % 3 == 0)
