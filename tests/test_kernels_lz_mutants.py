"""Mistakes planted in the LZ kernels are found by what their tests decode: each at a place where one could be made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import pytest
from fuzz_kernels import load_corpus
from lz_formats import BLOSCLZ, FORMATS, LZ4, SNAPPY, Format
from lz_launch import decode, disagreements
from lz_streams import Stream, by_hand, corpora, of_libraries, wrong_by_hand

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import Emulator, load, source_folder
from kernels import needs_compiler

pytestmark = needs_compiler

# The format whose kernel gets it, what is right, what stands there instead.
MUTANTS: list[tuple[Format, str, str]] = [
    # what is held of the input
    (LZ4, "gz_syncwarp();  // no lane still reads what is replaced", ""),
    (LZ4, "    s.end = end < s.size ? end : s.size;\n    gz_syncwarp();", "    s.end = end < s.size ? end : s.size;"),
    (LZ4, "piece < s.size && s.size - piece >= 16", "piece < s.size"),
    (SNAPPY, "if (p < s.size) to[k]", "to[k]"),
    (LZ4, "((gz_u32)(gz_u64)(s.src + at) & 15)", "((gz_u32)(gz_u64)(s.src + at) & 7)"),
    (BLOSCLZ, "s.end - at >= GZ_AHEAD", "s.end - at >= 32"),
    (LZ4, "at <= s.end && (s.end", "(s.end"),
    (LZ4, "s.end = end < s.size ? end : s.size;", "s.end = s.size;"),
    # lengths
    (LZ4, "s.size - at < 32 ? s.size - at : 32", "32"),
    (LZ4, "length += 255 * full + gz_byte(s, at + full);", "length += 256 * full + gz_byte(s, at + full);"),
    (LZ4, "        gz_hold(s, at);\n        const gz_u32 count", "        const gz_u32 count"),
    # copies
    (LZ4, "(gz_u64)from) & 15) == 0", "(gz_u64)from) & 7) == 0"),
    (LZ4, "if ((gz_u64)(from + head - begin) < skew) head += 4;", ""),
    (LZ4, "if (body > reach) body = (gz_u32)reach & ~3u;", ""),
    (SNAPPY, "pair[0], pair[1], 8 * skew", "pair[0], pair[1], 8 * skew & 16"),
    (LZ4, "lane - 16 < tail", "lane - 16 < tail - 1"),
    (LZ4, "gz_syncwarp();  // what other lanes wrote can be read\n    if (length", "if (length"),
    (LZ4, "offset < n ? lane % offset : lane", "lane"),
    (LZ4, "32 - 32 % offset;", "32;"),
    (
        LZ4,
        "        offset = 32 - 32 % offset;  // whole periods\n        gz_syncwarp();",
        "        offset = 32 - 32 % offset;",
    ),
    (LZ4, "offset *= 2;\n        gz_syncwarp();", "offset *= 2;"),
    # LZ4
    (LZ4, "if (offset < length) step %= offset;", ""),
    (LZ4, "gz_syncwarp();  // what other lanes wrote can be read\n    if (lane", "if (lane"),
    (LZ4, "s.size - ip >= 17", "s.size - ip >= 16"),
    (LZ4, "s.room - op >= 32", "s.room - op >= 31"),
    (LZ4, "offset - 1 < op + literals", "offset - 1 <= op + literals"),
    (LZ4, "offset >= 8 ||", "offset >= 7 ||"),
    (LZ4, "length >= 5)", "length >= 4)"),
    (LZ4, "space - literals < 12", "space - literals < 11"),
    (LZ4, "if (offset > op) return", "if (offset > op + 1) return"),
    (LZ4, "s.room - op - length < 5", "s.room - op - length < 4"),
    (LZ4, "if (op < s.room) return GZ_SIZE;", ""),
    (LZ4, "token != 0", "false"),
    # BloscLZ
    (BLOSCLZ, "gz_byte(s, 0) & 31", "gz_byte(s, 0)"),
    (BLOSCLZ, "n > s.room - op", "n > s.room - op + 1"),
    (BLOSCLZ, "s.size - ip < 2", "s.size - ip < 1"),
    (BLOSCLZ, "s.size - ip < 3", "s.size - ip < 2"),
    (BLOSCLZ, "offset == 8192", "offset == 8191"),
    (BLOSCLZ, "length > s.room - op", "length > s.room - op + 1"),
    (BLOSCLZ, "offset > op", "offset > op + 1"),
    # Snappy
    (SNAPPY, "byte > 15", "byte > 31"),
    (SNAPPY, "s.size - ip < extra", "s.size - ip + 1 < extra"),
    (SNAPPY, "last >= s.size - ip", "last > s.size - ip"),
    (SNAPPY, "last >= s.room - op", "last > s.room - op"),
    (SNAPPY, "offset - 1 >= op", "offset - 1 > op"),
    (SNAPPY, "length > s.room - op", "length > s.room - op + 1"),
]


def defined(source: str) -> set[str]:
    found = re.findall(r"^GZ_DEVICE \w+ (gz_\w+)\(|^struct (gz_\w+)|^(gz_\w+)\(const", source, re.MULTILINE)
    return {name for group in found for name in group if name}


def renamed(source: str, ending: str) -> str:
    """The source with an ending at every name that it defines: many copies of it make one."""
    return re.sub(rf"\b({'|'.join(sorted(defined(source)))})\b", rf"\g<1>{ending}", source)


def text(name: str) -> str:
    source = (source_folder() / name).read_text("utf-8")
    return re.sub(r'^#(include "lz.cuh"|pragma once).*$', "", source, flags=re.MULTILINE)


def planted(form: Format, right: str, wrong: str, ending: str) -> str:
    """A copy of the kernel with the mistake; of what the kernels share too, where the mistake is there."""
    shared, own = text("lz.cuh"), text(f"{form.name}.cu")
    if right in shared:
        return renamed(shared.replace(right, wrong, 1) + own, ending)
    assert right in own, f"no {right!r} in {form.name}.cu"
    return renamed(own.replace(right, wrong, 1), ending)


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """All of them in one source, and not inlined: it is built faster so. There the kernels stand as they are, too."""
    folder = tmp_path_factory.mktemp("mutants")
    (folder / "common.cuh").write_bytes((source_folder() / "common.cuh").read_bytes())
    copies = ['#include "common.cuh"\n#undef GZ_DEVICE\n#define GZ_DEVICE static __noinline__']
    copies += [text(name) for name in ("lz.cuh", *(f"{form.name}.cu" for form in FORMATS))]
    copies += [planted(*mutant, f"_{number}") for number, mutant in enumerate(MUTANTS, 1)]
    (folder / "mutants.cu").write_text("\n".join(copies), "utf-8")
    return load("check", sources=[folder / "mutants.cu"])


@cache
def probes(form: Format) -> list[list[Stream]]:
    """Launches, the likeliest to find something first."""
    return [
        by_hand(form)[::11],
        wrong_by_hand(form),
        load_corpus(form),
        of_libraries(form, corpora()["text"])[:4],
        by_hand(form),
    ]


def found(emu: Emulator, form: Format, kernel: str, launches: Sequence[list[Stream]]) -> str | None:
    for shift, streams in enumerate(launches):
        try:
            wrong = disagreements(form, streams, decode(emu, kernel, streams, shift=shift))
        except (DeviceError, AssertionError) as error:
            return str(error)
        if wrong:
            return wrong[0]
    return None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_without_a_mistake_nothing_is_found(mutants: Emulator, form: Format) -> None:
    assert found(mutants, form, form.kernel, probes(form)) is None


@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1))
def test_a_mistake_is_found(mutants: Emulator, number: int) -> None:
    form, right, wrong = MUTANTS[number - 1]
    assert found(mutants, form, f"{form.kernel}_{number}", probes(form)), f"{right!r} may be {wrong!r}"
