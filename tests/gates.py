"""Kernels compiled for GPUs without one: NVRTC makes cubins, and what they need and do is read from them.

All comes from pip wheels (the extra `gates`), needs no driver, and is pinned: registers differ between compilers.
Compiling shows no result to be right; it shows what an emulator can't: spills, local memory, generic accesses.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).parents[1] / "kernels"
ARCHITECTURES = (75, 80, 90, 100, 120)
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm", "cuda-bindings")

_LOG = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)
_FUNCTION = re.compile(r"Function : (\S+)")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")


@dataclass(frozen=True, slots=True)
class Promise:
    """What the header of a kernel says of it. `local`: bytes of local memory that it may have, and why (`because`)."""

    registers: int = 64
    reads_16: bool = False
    writes_16: bool = False
    local: int = 0
    because: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """One kernel for one architecture: bytes of stack, spills and shared memory, registers, instructions by name."""

    name: str
    architecture: int
    registers: int
    stack: int
    spilled: int
    shared: int
    instructions: Counter[str]

    def count(self, pattern: str) -> int:
        """Instructions whose name the pattern matches, from its beginning."""
        return sum(n for name, n in self.instructions.items() if re.match(pattern, name))


def why_not() -> str | None:
    """Why nothing can be compiled here; `None` where it can."""
    missing = [name for name in ("cuda.bindings.nvrtc", "nvidia.cu13") if not _there(name)]
    missing += [name for name in ("cuobjdump", "nvdisasm") if not missing and not (_folder() / "bin" / name).exists()]
    if not missing and not any((_folder() / "lib").glob("libnvrtc.so*")):
        missing = ["libnvrtc"]
    return f"no {', '.join(missing)}: pip install {' '.join(WHEELS)}, or gpuzarr[gates]" if missing else None


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _folder() -> Path:
    import nvidia.cu13

    return Path(next(iter(nvidia.cu13.__path__)))


def tool(name: str) -> str:
    """The path of a program of these wheels: cuobjdump, nvdisasm."""
    return str(_folder() / "bin" / name)


def build(source: Path, architecture: int) -> list[Built]:
    """The kernels of a source, compiled. Raises ValueError with the compiler's words for an error or a warning."""
    return compiled(source, architecture)[1]


def compiled(source: Path, architecture: int, *options: str) -> tuple[bytes, list[Built]]:
    """The same, with the cubin; `options` are NVRTC's."""
    cubin, log = _compile(source, architecture, options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool("cuobjdump"), "-sass", file.name]
        code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = {m[1]: [int(number or 0) for number in m.groups()[1:]] for m in _LOG.finditer(log)}
    instructions = _instructions(code)
    if not numbers or numbers.keys() != instructions.keys():
        raise ValueError(f"{source.name}: the log has kernels {[*numbers]}, the code {[*instructions]}")
    return cubin, [
        Built(name, architecture, registers, stack, stored + loaded, shared, instructions[name])
        for name, (stack, stored, loaded, registers, shared) in numbers.items()
    ]


def _compile(source: Path, architecture: int, more: Sequence[str]) -> tuple[bytes, str]:
    from cuda.bindings import nvrtc

    def done(result: tuple[Any, ...]) -> Any:
        if result[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise ValueError(f"{source.name}: {result[0]}")
        return result[1] if len(result) > 1 else None

    options = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--ptxas-options=-v"]
    options += [*more, *(f"--include-path={folder}" for folder in {source.parent, KERNELS})]
    program = done(nvrtc.nvrtcCreateProgram(source.read_bytes(), source.name.encode(), 0, [], []))
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    log = b" " * done(nvrtc.nvrtcGetProgramLogSize(program))
    done(nvrtc.nvrtcGetProgramLog(program, log))
    said = log.decode(errors="replace").rstrip("\0 \n")
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS or "warning" in said:
        raise ValueError(f"{source.name}, sm_{architecture}: {said}")
    cubin = b" " * done(nvrtc.nvrtcGetCUBINSize(program))
    done(nvrtc.nvrtcGetCUBIN(program, cubin))
    nvrtc.nvrtcDestroyProgram(program)
    return cubin, said


def _instructions(code: str) -> dict[str, Counter[str]]:
    functions: dict[str, Counter[str]] = {}
    for line in code.splitlines():
        if found := _FUNCTION.search(line):
            functions[found[1]] = Counter()
        elif found := _INSTRUCTION.search(line):
            functions[next(reversed(functions))][found[1]] += 1
    return functions


def faults(built: Built, promise: Promise) -> list[str]:
    """What of it is not as promised, in words; nothing where all is."""
    if promise.local and not promise.because:
        return ["local memory is granted without a reason"]
    local, generic = built.count("LDL|STL"), built.count(r"(LD|ST)(\.|$)")
    reads, writes = built.count(r"LDG\..*\b128\b"), built.count(r"STG\..*\b128\b")
    checks = [
        (built.spilled > promise.local, f"spills {built.spilled} bytes of registers"),
        (built.stack > promise.local, f"has {built.stack} bytes of stack"),
        (local and not promise.local, f"goes to local memory in {local} places"),
        (built.registers > promise.registers, f"needs {built.registers} registers, not {promise.registers}"),
        (generic, f"goes to memory of an unknown kind in {generic} places: GZ_ASSUME_GLOBAL is missing"),
        (promise.reads_16 and not reads, "never reads 16 bytes at once"),
        (promise.writes_16 and not writes, "never writes 16 bytes at once"),
    ]
    return [text for bad, text in checks if bad]
