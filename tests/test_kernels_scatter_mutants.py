"""Mistakes planted in what scatter and gather share are found by the cases of their tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kernel_faults import plant, switch_on
from test_kernels_scatter import CASES, FAR, MANY_ROWS, far, rows, turned, writes
from tile_cases import check

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import source_folder
from kernels import Way, ways

PROBES = [*CASES.values(), rows(2, *[(i % 4,) for i in range(1, 68)], elements=16)]

# What is right, and what stands there instead.
MISTAKES: list[tuple[str, str]] = [
    # which tile
    ("(high - low + 31) / 32", "(high - low + 31) / 64 + 1"),
    ("low + (gz_lane() + 1) * stride", "low + gz_lane() * stride"),
    ("pivot < high", "true"),
    ("gz_get(first + pivot) <= block", "gz_get(first + pivot) < block"),
    ("if (high - low > stride) high = low + stride;", "high = low + stride;"),
    # division
    ("((index | n) >> 32) == 0", "(index >> 32) == 0"),
    ("((index | n) >> 32) == 0", "true"),
    ("(index >> bit & 1)", "(index >> bit)"),
    ("rest < n", "rest <= n"),
    ("rest -= n;", ""),
    ("(index - q * n >= n)", "(index - q * n > n)"),
    # bytes turned
    ("swap <= 1", "swap < 1"),
    ("swap == 2 ? 0x2301 : 0x0123", "0x0123"),
    ("swap >= 8", "swap > 8"),
    ("swap == 16", "swap >= 8"),
    ("make_uint4(b.x, b.y, a.x, a.y)", "make_uint4(b.y, b.x, a.y, a.x)"),
    ("swap ? swap : 1", "1"),
    ("way.from + begin + unit - 1 - i", "way.from + begin + i"),
    # cells
    ("if (mask >> k & 1) value[k] = gz_get((const V*)way[k].from);", "value[k] = gz_get((const V*)way[k].from);"),
    ("if (mask >> k & 1) gz_put((V*)way[k].to, gz_turned(value[k], swap));", "gz_put((V*)way[k].to, value[k]);"),
    ("(index - row * length.n) * size", "(index - row * length.n) * 4"),
    ("way[k].from += filled ? 0 : offset;", "way[k].from += offset;"),
    ("if (at < span.count) mask |= 1 << k;", "mask |= 1 << k;"),
    (
        "gz_element(rows, axis, length, span.skip + (at < span.count ? at : begin))",
        "gz_element(rows, axis, length, at < span.count ? at : begin)",
    ),
    ("(way[k].from | way[k].to) & (size - 1)", "way[k].from & (size - 1)"),
    ("(way[k].from | way[k].to) & (size - 1)", "way[k].to & (size - 1)"),
    ("left |= odd;", "left = odd;"),
    ("if (!odd && at < span.count) mask |= 1 << k;", "if (at < span.count) mask |= 1 << k;"),
    ("if (!odd && at < span.count) mask |= 1 << k;", "if (!odd) mask |= 1 << k;"),
    ("span.skip + index", "index"),
    ("!all && ((way.from | way.to) & odd) == 0", "((way.from | way.to) & odd) == 0"),
    ("!all && ((way.from | way.to) & odd) == 0", "!all && (way.from & odd) == 0"),
    # how rows are copied
    ("axis.to_pitch == itemsize", "!axis.to_list"),
    ("(share.filled || axis.from_pitch == itemsize)", "true"),
    ("(share.filled || axis.from_pitch == itemsize)", "axis.from_pitch == itemsize"),
    ("share.filled ? itemsize : swap", "swap"),
    ("bits |= span.length * itemsize | 16;", "bits |= itemsize | 16;"),
    ("bits |= span.length * itemsize | 16;", "bits |= span.length * itemsize | 32;"),
    ("gz_is_power(least) && size >= least", "gz_is_power(least)"),
    ("gz_is_power(least) && size >= least", "size >= least"),
    ("span.skip * itemsize >> shift", "span.skip"),
    ("itemsize > 16", "false"),
    ("!gz_is_power(itemsize)", "false"),
    # where rows begin
    ("tile.d - 2", "tile.d - 1"),
    ("row - next * count", "row"),
    ("from_step ? gz_get(from_step + d - 1) : 0", "from_step ? gz_get(from_step) : 0"),
    ("if (from_step) way.from += i * gz_get(from_step + k);", "if (from_step) way.from += gz_get(from_step + k);"),
    ("(const gz_i64*)gz_get(lists + k) + gz_get(first + k)", "(const gz_i64*)gz_get(lists + k)"),
    ("if (from_lists) way.from += gz_get(list(from_lists, k) + i);", ""),
    # the plan of a share
    ("length > elements", "false"),
    ("length - skip < share.left", "false"),
    ("share.lead = skip;", "share.lead = 0;"),
    ("height < GZ_TILE_THREADS ? height : GZ_TILE_THREADS", "height"),
    ("(end < room ? end : room)", "end"),
    ("(end < room ? end : room)", "room"),
    ("if (share.here.from_list) share.here.from_list += share.lead;", ""),
    ("if (share.here.to_list) share.here.to_list += share.lead;", ""),
    ("share.swap = filled ? 0 : swap;", "share.swap = swap;"),
    ("tile.d ? gz_get(tile.count + tile.d - 1) : 1", "gz_get(tile.count)"),
    ("begin - share.row * share.length", "0"),
    ("total - begin < elements", "total < elements"),
    # lists that are straight
    ("share.left < length ? share.left : (gz_u32)length", "share.left"),
    ("share.left < length ? share.left : (gz_u32)length", "1"),
    ("skip < length - i ? skip : skip - length", "skip"),
    ("gz_get(to + i) - gz_get(to + skip) == far", "true"),
    ("from && gz_get(from + i) - gz_get(from + skip) != far", "false"),
    ("straight = __syncthreads_and(mine);", "straight = mine;"),
    ("!straight || threadIdx.x != 0", "!straight"),
    ("gz_get(to + skip) - skip * itemsize", "gz_get(to + skip)"),
    ("gz_get(from + skip) - skip * itemsize", "gz_get(from)"),
    ("from ? itemsize : 0", "itemsize"),
    # blocks
    ("if (gz_any(bits & bit)) all |= bit;", "if (bits & bit) all |= bit;"),
    ("low[0] | low[1] | low[2] | low[3]", "low[0] | low[1] | low[2]"),
    ("low[0] | low[1] | low[2] | low[3]", "low[0]"),
    ("share.row + threadIdx.x", "share.row"),
    ("share.from + share.lead * share.here.from_pitch", "share.from"),
    ("share.to + share.lead * share.here.to_pitch", "share.lead * share.here.to_pitch"),
    ("share.filled ? way.to : way.from | way.to", "way.to"),
    ("share.filled ? way.to : way.from | way.to", "way.from"),
    ("share.row += share.height;", "share.row += GZ_TILE_THREADS + 1;"),
    ("share.skip = 0;", ""),
    # barriers
    (
        "if (gz_lane() == 0) low[threadIdx.x / 32] = all;\n    __syncthreads();",
        "if (gz_lane() == 0) low[threadIdx.x / 32] = all;",
    ),
    ("__syncthreads();\n    gz_straighten(share);", "gz_straighten(share);"),
    (
        "if (threadIdx.x == 0) gz_plan_rows(share, elements);\n    __syncthreads();",
        "if (threadIdx.x == 0) gz_plan_rows(share, elements);",
    ),
    ("gz_copy_rows(share, bits);\n        __syncthreads();", "gz_copy_rows(share, bits);"),
    (
        "if (threadIdx.x == 0) gz_go_on(share, elements);\n        __syncthreads();",
        "if (threadIdx.x == 0) gz_go_on(share, elements);",
    ),
]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistaken")
    plant("tiles.cuh", MISTAKES, folder)
    for name in ("scatter.cu",):
        shutil.copy(str(source_folder() / name), folder)
    return folder


def found(way: Way, number: int) -> bool:
    """Whether the kernels with this mistake do wrong, or something that a GPU would not forgive."""
    try:
        with way.buffers() as b:
            switch_on(b, number)
            for case in PROBES:
                check(b, case)
            far(b, *MANY_ROWS)
            far(b, (FAR, 3, 16), (48, 16, 1), 48 * (FAR // 2), 64)
            far(b, (2 * FAR,), (1,), 640, 64)
            wide = [writes(b, rows(2, (8, 64), filled=filled)) for filled in ((), (0,))]
            return wide != [{16: 1024}] * 2 or writes(b, turned(4, (5, 6, 7))) != {4: 840}
    except (AssertionError, DeviceError):
        return True


@pytest.mark.parametrize("number", range(len(MISTAKES) + 1))
@ways("scatter.cu", modes=["check"], orders=["random"])
def test_a_mistake_is_found(way: Way, number: int, mistaken: Path) -> None:
    planted = Way((mistaken / "scatter.cu",), way.mode, way.order)
    assert found(planted, number) == (number > 0)
