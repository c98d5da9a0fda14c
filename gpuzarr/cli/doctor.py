"""`gpuzarr doctor`: what is installed, what runs where, and why not elsewhere.

It looks, it never mends, and it always succeeds: whatever is broken is a line of the report.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gpuzarr
from gpuzarr import native
from gpuzarr.cli.text import as_json, table
from gpuzarr.cuda import device as devices
from gpuzarr.errors import DeviceError, GpuzarrError
from gpuzarr.report.words import aligned, printable, size

if TYPE_CHECKING:
    from gpuzarr.codecs.device import DeviceChain
    from gpuzarr.cuda.nvcomp import Nvcomp

__all__ = ["doctor", "report", "version"]

NEEDED = ("numpy", "numcodecs", "google-crc32c")

OPTIONAL = {
    "deflate": ("gpuzarr[fast]", "gzip and zlib in the compiled host module (libdeflate)"),
    "imagecodecs": ("imagecodecs", "the same, where deflate is not there"),
    "pcodec": ("gpuzarr[codecs]", "the codec pcodec of numcodecs"),
    "zfpy": ("gpuzarr[codecs]", "the codecs zfp, and zfpy of numcodecs"),
    "ml_dtypes": ("gpuzarr[dtypes]", "data types bfloat16, float8, int4 and their kin"),
    "torch": ("gpuzarr[torch]", "torch tensors as results"),
    "rich": ("gpuzarr[cli]", "tables and progress bars in a terminal"),
    "nibabel": ("gpuzarr[imaging]", "the sample volume of `gpuzarr demo`"),
    "tifffile": ("gpuzarr[imaging]", "TIFF volumes for `gpuzarr demo`"),
}
"""Packages gpuzarr uses where they are installed: what pip takes to install them, and what they give."""

PYTHON_CODE = {
    **dict.fromkeys(("bitround", "cast_value", "n5_default", "packbits", "scale_offset"), "numpy"),
    **dict.fromkeys(("gzip", "zlib"), "Python's zlib"),
    "crc32c": "google-crc32c",
    "zarrs.gdeflate": "Python, by gpuzarr",
    "zfp": "zfpy",
}
"""Whose code runs where the compiled module does not; numcodecs' for the rest."""
NO_CODE = {
    "bytes": "part of the copy into the result",
    "reshape": "part of the copy into the result",
    "zarrs.squeeze": "part of the copy into the result",
    "transpose": "part of the copy into the result",
    "sharding_indexed": "part of the plan",
}
"""Codecs that are no pass over the data of their own."""
CODEC_COLUMNS = ("codec", "runs_on", "code", "why_not", "device")
ON_DEVICE = {
    "bytes": "part of the copy into the result",
    "reshape": "part of the copy into the result",
    "zarrs.squeeze": "part of the copy into the result",
    "n5_default": "on the host first: there is no n5_default for devices",
    "transpose": "part of the copy into the result",
    "sharding_indexed": "part of the plan",
    "numcodecs.*": "shuffle and fletcher32: own kernels; the others on the host first",
}
"""Where codecs run for results on a device, if it is the same everywhere."""
EXAMPLES: dict[str, dict[str, Any]] = {
    "bitround": {"keepbits": 8},
    "blosc": {"cname": "lz4"},
    "cast_value": {"data_type": "int16"},
    "conditional": {"codecs": [{"name": "gzip", "configuration": {"level": 1}}]},
    "zarrs.gdeflate": {"level": 5},
    "zfp": {"mode": "reversible"},
}
"""Configurations of codecs that are bound to see where they run."""
PLACES = {
    **dict.fromkeys(("bitround", "cast_value", "scale_offset"), "filters"),
    **dict.fromkeys(("packbits", "zfp"), "serializer"),
}
"""Where they stand, if not among the compressors."""


def doctor(json: bool) -> int:
    """Print the report."""
    found = report()
    if json:
        print(as_json(found))
    else:
        _print(found)
    return 0


def version() -> str:
    """gpuzarr's own version."""
    return _version("gpuzarr") or "from a checkout that is not installed"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def report() -> dict[str, Any]:
    """All that is found, as `--json` prints it."""
    library = native.load()
    return {
        "gpuzarr": version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "needed": {package: _version(package) for package in NEEDED},
        "optional": {
            name: {"version": _version(name), "gives": gives, "install": install}
            for name, (install, gives) in OPTIONAL.items()
        },
        "compiled": {
            "path": None if library is None else str(library.path),
            "why_not": native.why_not(),
            "sources": {} if library is None else library.sources,
        },
        "devices": {"cupy": _tried("cupy", _cupy), "nvcomp": _found(_nvcomp), "emulator": _found(_emulator)},
        "memory": {word: _opens(word) for word in ("cpu", "cuda", "simulated")},
        "codecs": _codecs(library),
    }


Found = dict[str, str | None]


def _tried(module: str, describe: Callable[[Any], str]) -> Found:
    """What a device library says of itself, or why it says nothing."""
    try:
        if importlib.util.find_spec(module) is None:
            return {"found": None, "why_not": "not installed"}
    except ModuleNotFoundError as error:
        return {"found": None, "why_not": str(error)}
    return _found(lambda: describe(importlib.import_module(module)))


def _found(describe: Callable[[], str]) -> Found:
    """What something says of itself, or why it is not there."""
    try:
        return {"found": describe(), "why_not": None}
    except GpuzarrError as error:
        return {"found": None, "why_not": error.reason}
    except Exception as error:  # noqa: BLE001  # a driver that is missing or too old shows as any kind of error
        return {"found": None, "why_not": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _cupy(cupy: Any) -> str:
    why_not = devices.why_not()
    if why_not is not None:
        return f"cupy {cupy.__version__}; {why_not}"
    runtime = cupy.cuda.runtime
    names = []
    for device in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(device)
        names.append(f"cuda:{device} {properties['name'].decode()}, {size(properties['totalGlobalMem'])}")
    return f"cupy {cupy.__version__}; {'; '.join(names)}"


def _nvcomp() -> str:
    from gpuzarr.cuda import nvcomp

    return nvcomp.load().describe()


def _emulator() -> str:
    """The compiler that builds the kernels for the simulated device."""
    from gpuzarr.testing.emulator.build import find_compiler

    compiler = find_compiler()
    if compiler is None:
        raise DeviceError("no C++ compiler (tried CXX, g++, clang++, the package ziglang)", device="emulator")
    return compiler.version.partition("\n")[0]


def _opens(word: str) -> str | None:
    """Why `meta_array=word` does not work here, or None."""
    from gpuzarr.memory import memory_of

    try:
        memory_of(word)
    except GpuzarrError as error:
        return error.reason
    return _found(_emulator)["why_not"] if word == "simulated" else None


def _codecs(library: native.Native | None) -> list[dict[str, str | None]]:
    from gpuzarr.codecs.registry import CODECS

    # "endian" is what `bytes` was called once; the numcodecs names of the rest are the same codecs.
    names = sorted({name.removeprefix("numcodecs.") for name in CODECS} - {"endian"})
    found = []
    for name in [*names, "numcodecs.*"]:
        there = _found(partial(_on_device, name))
        found.append(_codec(name, library) | {"device": there["found"] or f"unknown: {there['why_not']}"})
    return found


def _codec(name: str, library: native.Native | None) -> dict[str, str | None]:
    if name in NO_CODE:
        return {"codec": name, "runs_on": "cpu", "code": NO_CODE[name], "why_not": None}
    if library is not None and name in library.ops:
        return {"codec": name, "runs_on": "cpu, compiled", "code": library.sources[name], "why_not": None}
    missing = {} if library is None else library.missing()
    why_not = native.why_not() if library is None else missing.get(name, "not among its operations")
    package = PYTHON_CODE.get(name, "numcodecs")
    found = package if package.startswith("Python") else _version(package)
    if found is None:
        return {"codec": name, "runs_on": "nowhere", "code": None, "why_not": f"{package} is not installed"}
    code = package if found == package else f"{package} {found}"
    return {"codec": name, "runs_on": "cpu, Python", "code": code, "why_not": why_not}


def _on_device(name: str) -> str:
    """Whose code would decode on a GPU with the nvCOMP that is installed, which is there or not."""
    from gpuzarr.cuda import nvcomp

    if name in ON_DEVICE:
        return ON_DEVICE[name]
    offer = nvcomp.load() if nvcomp.codecs() else None
    if name != "blosc":
        return _decoded_by(name, offer)
    inside = (f"{codec} inside: {_decoded_by(codec, offer)}" for codec in ("zstd", "zlib"))
    return "; ".join(["own kernels", *inside])


def _decoded_by(name: str, offer: Nvcomp | None) -> str:
    chain = _bound(name, offer)
    if chain.why is not None:
        return f"on the host first: {chain.why}"
    step = chain.steps[0]
    return f"{step.code}: {step.why}" if step.why else step.code


def _bound(name: str, offer: Nvcomp | None) -> DeviceChain:
    """A chain of one codec, as an array that has it is bound to a device."""
    from gpuzarr.codecs.device import bind_device
    from gpuzarr.codecs.registry import CODECS

    codec = {"name": name if name in CODECS else f"numcodecs.{name}", "configuration": EXAMPLES.get(name, {})}
    place = PLACES.get(name, "compressors")
    how: dict[str, Any] = {"compressors": [], place: codec if place == "serializer" else [codec]}
    array = gpuzarr.create_array({}, shape=(4,), chunks=(4,), dtype="float32", **how)
    return bind_device(array._binding.chain.leaf, offer)


def _print(found: dict[str, Any]) -> None:
    compiled, devices = found["compiled"], found["devices"]
    rows = [
        ("gpuzarr", found["gpuzarr"]),
        ("python", f"{found['python']} at {sys.executable}"),
        ("system", found["system"]),
        *((package, number or "MISSING, and needed") for package, number in found["needed"].items()),
        ("compiled", compiled["path"] or f"no: {compiled['why_not']}"),
        *((name, about["found"] or f"no: {about['why_not']}") for name, about in devices.items()),
        *((f"on {word}", "yes" if why is None else f"no: {why}") for word, why in found["memory"].items()),
    ]  # fmt: skip
    print(aligned([(name, printable(value, 200)) for name, value in rows]), end="\n\n")
    packages = [
        (name, about["version"] or f"no: pip install {about['install']}", about["gives"])
        for name, about in found["optional"].items()
    ]
    table(("optional package", "installed", "gives"), packages)
    print()
    heads, columns = ("codec", "runs on", "code of", "why not compiled", "for results on a device"), CODEC_COLUMNS
    table(heads, [tuple(codec[column] or "" for column in columns) for codec in found["codecs"]])
    if found["memory"]["cuda"] is not None:
        print(f"\nNothing runs on a GPU here: {found['memory']['cuda']}.")
