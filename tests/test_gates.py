"""Every kernel, compiled for each architecture, keeps what its header promises: registers, memory, wide accesses."""

from __future__ import annotations

from pathlib import Path

import gates
import pytest
from gates import ARCHITECTURES, KERNELS, Promise, build, faults

SOURCES = sorted(path.name for path in KERNELS.glob("*.cu"))

pytestmark = pytest.mark.skipif(gates.why_not() is not None, reason=f"compile gates: {gates.why_not()}")

WIDE = Promise(reads_16=True, writes_16=True)
PROMISES = {
    "gz_bitunshuffle": WIDE,
    "gz_blosclz": WIDE,
    "gz_checksum": Promise(reads_16=True),
    "gz_cast_boxes": Promise(),
    "gz_cast_points": Promise(),
    "gz_cast_tables": Promise(),
    "gz_copy": WIDE,
    "gz_deflate": WIDE,
    "gz_gather_boxes": WIDE,
    "gz_gather_points": WIDE,
    "gz_gather_tables": WIDE,
    "gz_lz4": WIDE,
    "gz_rearrange": Promise(),
    "gz_scatter_boxes": WIDE,
    "gz_scatter_points": WIDE,
    "gz_scatter_tables": WIDE,
    "gz_snappy": WIDE,
    "gz_unshuffle": WIDE,
    "gz_zstd": WIDE,
    "gz_zstd_entropy": Promise(reads_16=False, writes_16=True),
    "gz_zstd_execute": WIDE,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES)
def test_every_kernel_keeps_what_it_promises(source: str, architecture: int) -> None:
    built = build(KERNELS / source, architecture)
    assert {kernel.name for kernel in built} <= PROMISES.keys(), "each kernel has its line in PROMISES"
    found = {kernel.name: faults(kernel, PROMISES[kernel.name]) for kernel in built}
    assert not any(found.values()), "\n".join(f"{name} {'; '.join(words)}" for name, words in found.items() if words)


# ---- the gates themselves ------------------------------------------------------------------------------------------

BEGIN = """
uint4 *from = (uint4*)src[blockIdx.x], *to = (uint4*)dst[blockIdx.x];
GZ_ASSUME_GLOBAL(from);
GZ_ASSUME_GLOBAL(to);
"""
COPY = "to[threadIdx.x] = from[threadIdx.x];"
# Values that all stay alive across a barrier.
MANY = """
gz_u32 value[{0}];
#pragma unroll
for (int i = 0; i < {0}; ++i) value[i] = from[i * n].x;
__syncthreads();
#pragma unroll
for (int i = 0; i < {0}; ++i) to[i * n].x = value[i] * value[{0} - 1 - i];
"""
ARRAY = """
gz_u32 value[16];
for (int i = 0; i < 16; ++i) value[i] = from[i].x;
for (gz_u32 i = 0; i < n; ++i) value[i % 16] += value[i * i % 16];
to[n].x = value[n % 16];
"""
PLANTED = {
    "as it should be": (256, COPY, []),
    "spills": (1024, MANY.format(150) + COPY, ["spills", "of stack", "local memory"]),
    "many registers": (64, MANY.format(80) + COPY, ["registers, not 64"]),
    "an array in local memory": (256, ARRAY + COPY, ["of stack", "local memory"]),
    "no address space": (
        256,
        f"__shared__ uint4 line[256]; if (n) from = to = line; {COPY}",
        ["memory of an unknown kind", "never reads 16", "never writes 16"],
    ),
    "bytes": (
        256,
        "((gz_u8*)to)[threadIdx.x] = ((gz_u8*)from)[threadIdx.x];",
        ["never reads 16", "never writes 16"],
    ),
}


def planted(folder: Path, threads: int, body: str) -> Path:
    source = folder / "planted.cu"
    source.write_text(
        '#include "common.cuh"\n'
        f'extern "C" __global__ void __launch_bounds__({threads})\n'
        f"planted(const gz_u64* src, const gz_u64* dst, gz_u32 n) {{ {BEGIN} {body} }}\n"
    )
    return source


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    threads, body, words = PLANTED[fault]
    (built,) = build(planted(tmp_path, threads, body), 90)
    found = faults(built, WIDE)
    assert len(found) == len(words), found
    assert all(word in text for word, text in zip(words, found, strict=True)), found


def test_what_the_compiler_warns_of_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never referenced"):
        build(planted(tmp_path, 32, "int unused;"), 90)


def test_local_memory_is_granted_for_a_reason_only(tmp_path: Path) -> None:
    (built,) = build(planted(tmp_path, *PLANTED["an array in local memory"][:2]), 90)
    assert faults(built, Promise(local=64, because="the test wants it")) == []
    assert faults(built, Promise(local=64)) == ["local memory is granted without a reason"]
