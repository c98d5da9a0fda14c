"""Compiles kernels with the shim into a library for this machine, once for each content.

Objects and libraries are kept in a folder by the hash of all that went into them, and put there by a rename: any
number of processes may build at the same time. `GPUZARR_CACHE` names the folder; without it it is `gpuzarr` in the
user's cache folder (`XDG_CACHE_HOME`). Compilers are tried in this order: the environment's `CXX`, g++, clang++, and
the one that the package `ziglang` carries, where it is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gpuzarr.errors import DeviceError

__all__ = ["MODES", "Compiler", "build_library", "cache_folder", "find_compiler"]

HERE = Path(__file__).parent
MODES = ("fast", "check", "cover")

_COMMON = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-fno-exceptions", "-fno-rtti", "-w")
# Line tables in the form that image.py reads, and frames that stay what the source says.
_DEBUG = ("-g1", "-gdwarf-4", "-gz=none")
# Hooks tell where they were called from, so calls stay calls.
_HOOKED = ("-O1", "-fsanitize=thread", "-fno-optimize-sibling-calls")
# Scalar replacement would cut an access of 16 bytes in four, and with it what alignment it needs.
_CHECK = {
    "g++": (*_HOOKED, "-fno-tree-sra", "--param", "tsan-instrument-func-entry-exit=0"),
    "clang": (*_HOOKED, "-mllvm", "-tsan-instrument-func-entry-exit=0"),
}
_COVER = {
    "g++": ("-O0", "-fsanitize-coverage=trace-pc"),
    "clang": ("-O0", "-fsanitize-coverage=bb,no-prune,trace-pc"),
}
_RUNTIME = {"fast": ("-O2",), "check": ("-O2", "-DEMU_CHECK"), "cover": ("-O2", "-DEMU_COVER")}
_PARTS = {
    "fast": ("runtime.cpp", "watch.cpp"),
    "check": ("runtime.cpp", "watch.cpp", "checker.cpp"),
    "cover": ("runtime.cpp", "watch.cpp", "cover.cpp"),
}
_KERNEL = re.compile(r"EMU_GLOBAL\s+void\s+(?:EMU_BOUNDS\s*\(([^;{]*?)\)\s*)?(\w+)\s*\(")


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C++ compiler: its command, its kind (`g++` or `clang`), and what tells it from another."""

    command: tuple[str, ...]
    kind: str
    version: str


@cache
def find_compiler() -> Compiler | None:
    """The first compiler there is, or `None`. A `CXX` that does not run counts as none: it was asked for.

    >>> compiler = find_compiler()
    >>> compiler is None or compiler.kind in ("g++", "clang")
    True
    """
    named = shlex.split(os.environ.get("CXX", ""))
    commands = [named] if named else [["g++"], ["clang++"]]
    if not named and find_spec("ziglang"):
        commands.append([sys.executable, "-m", "ziglang", "c++"])
    for command in commands:
        if shutil.which(command[0]):
            result = subprocess.run([*command, "--version"], capture_output=True, text=True, errors="replace")
            if result.returncode == 0:
                kind = "clang" if "clang" in result.stdout else "g++"
                return Compiler(tuple(command), kind, result.stdout)
    return None


def cache_folder() -> Path:
    """Where builds are kept."""
    named = os.environ.get("GPUZARR_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpuzarr"


def build_library(mode: str, sources: Sequence[Path], defines: Sequence[str] = ()) -> Path:
    """The library of these sources, built unless it is there.

    Includes are looked for beside each source. Raises DeviceError where there is no compiler, or it finds a mistake.
    """
    compiler = _compiler()
    folder = cache_folder() / "emulator"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"no folder to build in ({error}); GPUZARR_CACHE names another", device="emulator") from error
    objects = [_part(compiler, folder, mode, name) for name in _PARTS[mode]]
    objects += [_source(compiler, folder, mode, source, tuple(defines)) for source in sources]
    target = folder / f"{mode}-{_digest(compiler.version, *(path.name for path in objects))}.so"
    if not target.exists():
        _compile(compiler, target, ["-shared", *map(os.fspath, objects)])
    return target


def _compiler() -> Compiler:
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"):
        machine = f"{sys.platform} on {platform.machine()}"
        raise DeviceError(f"kernels are emulated on Linux, x86-64 or aarch64, not {machine}", device="emulator")
    compiler = find_compiler()
    if compiler is None:
        reason = "no C++ compiler to build the kernels with (tried CXX, g++, clang++, the package ziglang)"
        raise DeviceError(reason, device="emulator")
    return compiler


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _headers(folder: Path, *endings: str) -> list[str]:
    return [path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in endings]


def _part(compiler: Compiler, folder: Path, mode: str, name: str) -> Path:
    """A file of the runtime, as an object."""
    flags = [*_COMMON, *_RUNTIME[mode], *_zig(compiler)]
    key = _digest(compiler.version, *compiler.command, *flags, _text(HERE / name), *_headers(HERE, ".h"))
    target = folder / f"{Path(name).stem}-{key}.o"
    if not target.exists():
        _compile(compiler, target, [*flags, "-c", os.fspath(HERE / name)])
    return target


def _source(compiler: Compiler, folder: Path, mode: str, source: Path, defines: tuple[str, ...]) -> Path:
    """A source of kernels, as an object. Its path does not matter: messages name the file alone."""
    flags = [*_COMMON, *_DEBUG, *_flags(compiler, mode), *_zig(compiler), *_macros(defines)]
    if not source.is_file():
        raise DeviceError(f"there is no source {source}", device="emulator")
    text = source.read_text("utf-8")
    headers = _headers(source.parent, ".cuh")
    key = _digest(compiler.version, *compiler.command, *flags, source.name, text, _text(HERE / "shim.h"), *headers)
    target = folder / f"{source.stem}-{mode}-{key}.o"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as work:
        unit = Path(work) / f"{source.stem}.cpp"
        # Two sources may each have a function of one name, as two programs may.
        wrapped = f'#include "shim.h"\nnamespace {{\n#line 1 "{source.name}"\n{text}\n}}\n'
        wrapped += _registrations(compiler, source, defines)
        unit.write_text(wrapped, "utf-8")
        includes = [f"-I{HERE}", f"-I{source.parent}"]
        _compile(compiler, target, [*flags, *includes, "-c", os.fspath(unit)])
    return target


def _flags(compiler: Compiler, mode: str) -> tuple[str, ...]:
    return {"fast": ("-O2",), "check": (*_CHECK[compiler.kind], "-DEMU_CHECK"), "cover": _COVER[compiler.kind]}[mode]


def _macros(defines: Sequence[str]) -> list[str]:
    return ["-DGZ_EMULATED=1", *(f"-D{define}" for define in defines)]


def _zig(compiler: Compiler) -> list[str]:
    """Zig's compiler stops at undefined behaviour by itself, by an instruction that would look like the kernel's."""
    return ["-fno-sanitize=undefined"] if compiler.kind == "clang" else []


def _registrations(compiler: Compiler, source: Path, defines: tuple[str, ...]) -> str:
    """The end of the unit: each kernel says its name. They are found where macros have been expanded."""
    marks = ["-D__global__=EMU_GLOBAL", "-D__launch_bounds__(...)=EMU_BOUNDS(__VA_ARGS__)", *_macros(defines)]
    only = ["-x", "c++", "-E", "-P", "-std=c++17", "-w", f"-I{source.parent}"]
    expanded = _run([*compiler.command, *only, *marks, os.fspath(source)])
    found = [(name, bounds.split(",")[0].strip() or "1024") for bounds, name in _KERNEL.findall(expanded)]
    return '#line 1 "kernels"\n' + "".join(f"EMU_KERNEL({name}, {bounds})\n" for name, bounds in found)


def _compile(compiler: Compiler, target: Path, arguments: Sequence[str]) -> None:
    """Runs the compiler; what it makes appears whole, or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as work:
        fresh = Path(work) / target.name
        _run([*compiler.command, *arguments, "-o", os.fspath(fresh)])
        os.replace(fresh, target)


def _run(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        raise DeviceError(f"the compiler failed: {shlex.join(command)}\n{result.stderr.strip()}", device="emulator")
    return result.stdout
