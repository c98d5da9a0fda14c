"""A wheel, an editable installation and a raw checkout each carry the sources of the kernels; a compiler is optional.

Wheels are built through hatchling's own functions and unpacked: nothing is installed, nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the package")

ROOT = Path(__file__).resolve().parents[1]
COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")

REPORT = """
import sys, site
others = list(sys.path)
site.addsitedir(sys.argv[1])
# What is asked about goes first: the environment of the tests may have an installation of its own.
sys.path[:] = [path for path in sys.path if path not in others] + others
from gpuzarr import native
print(native.kernel_folder())
print((native.kernel_folder() / "host.cpp").is_file())
print(native.load() is not None)
print(native.why_not())
"""


@dataclass(frozen=True)
class Found:
    """What an installation says of itself."""

    kernels: Path
    has_source: bool
    compiled: bool
    why_not: str


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is packaged, without what was built."""
    copy = tmp_path / "checkout"
    unwanted = shutil.ignore_patterns("__pycache__", "_host.so", ".build-*")
    for folder in ("gpuzarr", "kernels"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    return copy


def build(checkout: Path, what: str, **environment: str) -> tuple[Path, str]:
    """Calls hatchling's `build_{what}` in `checkout`: the file it made, and what it printed."""
    folder = checkout.parent / f"{what}-{len(list(checkout.parent.iterdir()))}"
    folder.mkdir()
    code = f"import hatchling.build as b, sys; b.build_{what}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(folder)]
    result = subprocess.run(
        command, cwd=checkout, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    (made,) = folder.iterdir()
    return made, result.stdout + result.stderr


def unpack(wheel: Path) -> Path:
    target = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def ask(site: Path) -> Found:
    """Imports gpuzarr as if `site` were site-packages."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GPUZARR_NATIVE")}
    command = [sys.executable, "-c", REPORT, str(site)]
    result = subprocess.run(
        command, cwd=site, env=environment | {"PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    folder, has_source, compiled, why_not = result.stdout.splitlines()
    return Found(Path(folder), has_source == "True", compiled == "True", why_not)


def tag(wheel: Path) -> list[str]:
    return wheel.stem.split("-")[2:]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tree(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in files}


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here: the module can't be built")
def test_a_wheel_has_the_module_and_is_of_this_platform(checkout: Path) -> None:
    wheel, _ = build(checkout, "wheel")
    python, abi, platform = tag(wheel)
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    assert {f"gpuzarr/kernels/{name}" for name in tree(checkout / "kernels")} <= names(wheel)
    found = ask(unpack(wheel))
    assert found == Found(wheel.parent / "site/gpuzarr/kernels", has_source=True, compiled=True, why_not="None")
    assert not [name for name in names(wheel) if "__pycache__" in name or ".build-" in name]


def no_compiler(checkout: Path) -> dict[str, str]:
    return {"CXX": str(checkout / "no-such-compiler")}


def failing_compiler(checkout: Path) -> dict[str, str]:
    script = checkout / "failing.py"
    script.write_text("import sys; sys.exit('host.cpp:1:1: error: a compiler that does not like it')")
    return {"CXX": f"{sys.executable} {script}"}


def switched_off(_: Path) -> dict[str, str]:
    return {"GPUZARR_BUILD_NATIVE": "0"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (no_compiler, "no C++ compiler"),
        (failing_compiler, "a compiler that does not like it"),
        (switched_off, "GPUZARR_BUILD_NATIVE=0"),
    ],
)
def test_a_wheel_without_the_module_is_pure_and_says_why(
    checkout: Path, setting: Callable[[Path], dict[str, str]], said: str
) -> None:
    wheel, printed = build(checkout, "wheel", **setting(checkout))
    assert said in printed
    assert tag(wheel) == ["py3", "none", "any"]
    assert "gpuzarr/_host.so" not in names(wheel)
    found = ask(unpack(wheel))
    assert found.has_source
    assert not found.compiled
    assert "not built" in found.why_not


def test_a_pure_wheel_does_not_take_along_a_module_built_earlier(checkout: Path) -> None:
    (checkout / "gpuzarr" / "_host.so").write_bytes(b"of another day")
    wheel, _ = build(checkout, "wheel", **switched_off(checkout))
    assert "gpuzarr/_host.so" not in names(wheel)


def test_an_editable_installation_builds_into_the_checkout_and_reads_it(checkout: Path) -> None:
    compiler = checkout / "compiler.py"
    compiler.write_text("import sys; open(sys.argv[sys.argv.index('-o') + 1], 'wb').write(b'compiled')")
    wheel, _ = build(checkout, "editable", CXX=f"{sys.executable} {compiler}")
    assert (checkout / "gpuzarr" / "_host.so").read_bytes() == b"compiled"
    found = ask(unpack(wheel))
    assert found.kernels == checkout / "kernels"
    assert found.has_source
    assert "does not load" in found.why_not


def test_a_raw_checkout_finds_its_kernels(checkout: Path) -> None:
    found = ask(checkout)
    assert found.kernels == checkout / "kernels"
    assert found.has_source


def test_a_failed_build_leaves_the_module_that_was_there(checkout: Path) -> None:
    module = checkout / "gpuzarr" / "_host.so"
    module.write_bytes(b"of another day")
    command = [sys.executable, "kernels/hatch_build.py"]
    environment = {**os.environ, **failing_compiler(checkout)}
    result = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "a compiler that does not like it" in result.stderr
    assert module.read_bytes() == b"of another day"
    assert tree(checkout / "gpuzarr") - tree(ROOT / "gpuzarr") <= {"_host.so"}


def test_a_source_distribution_has_the_kernels_and_nothing_built(checkout: Path) -> None:
    import tarfile

    (checkout / "gpuzarr" / "_host.so").write_bytes(b"built")
    archive, _ = build(checkout, "sdist")
    with tarfile.open(archive) as content:
        inside = {name.split("/", 1)[1] for name in content.getnames()}
    assert {f"kernels/{name}" for name in tree(checkout / "kernels")} <= inside
    assert "gpuzarr/_host.so" not in inside
