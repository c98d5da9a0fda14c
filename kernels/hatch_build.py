"""Builds gpuzarr's host module (host.cpp) into the package: hatchling's build hook, or by hand in a checkout.

    python kernels/hatch_build.py

A machine without a C++ compiler gets a package without the module, which works and says so in
`gpuzarr doctor`: building never fails because of it. `GPUZARR_BUILD_NATIVE=0` skips it, and `CXX` names the
compiler.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
except ModuleNotFoundError:  # by hand, where hatchling is not needed
    Hook = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parents[1]
FLAGS = [
    *("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread"),
    *("-fno-exceptions", "-fno-rtti", "-fvisibility=hidden"),
]


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler, or `None`."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["g++"], ["clang++"], ["c++"]]:
        if shutil.which(command[0]):
            return command
    return None


def build(target: Path) -> str | None:
    """Compiles the module to `target`; why it could not, or `None`."""
    if os.environ.get("GPUZARR_BUILD_NATIVE", "1") == "0":
        return "switched off by GPUZARR_BUILD_NATIVE=0"
    if os.name != "posix":
        return "it needs a POSIX system"
    compiler = find_compiler()
    if compiler is None:
        return "no C++ compiler (CXX, g++, clang++, c++)"
    # Beside the target and renamed: a process that has the old one loaded keeps it.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        fresh = Path(folder) / target.name
        command = [*compiler, *FLAGS, os.fspath(ROOT / "kernels" / "host.cpp"), "-o", os.fspath(fresh)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if result.returncode != 0:
            return f"{shlex.join(command)} failed:\n{result.stderr.strip()}"
        os.replace(fresh, target)
    return None


def platform_tag() -> str:
    """The wheel tag of this machine for a library that no interpreter's version matters to."""
    # A Python for both kinds of Mac still compiles for one.
    name = sysconfig.get_platform().replace("universal2", platform.machine())
    return name.replace("-", "_").replace(".", "_")


class NativeBuildHook(Hook):  # type: ignore[type-arg]
    """Puts `gpuzarr/_host.so` into a wheel, and into the checkout of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        target = ROOT / "gpuzarr" / "_host.so"
        reason = build(target)
        if reason is not None:
            self.app.display_warning(f"gpuzarr: the host module is not built: {reason}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"
        build_data["artifacts"].append("gpuzarr/_host.so")


if __name__ == "__main__":
    problem = build(ROOT / "gpuzarr" / "_host.so")
    sys.exit(f"not built: {problem}" if problem else None)
