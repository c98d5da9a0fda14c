"""nvCOMP: batched decoding of standard streams, by its C functions, or by its Python package where those can't be had.

The C functions take the columns that are on the device already, and scratch memory of ours; they wait for nothing.
nvCOMP calls corrupt input "undefined behavior", and its statuses may say success then: whoever calls compares the
sizes found, and the checksums of formats that have one.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError
from gpuzarr.forks import importing

__all__ = [
    "ALIGNMENTS",
    "FORMATS",
    "STATUSES",
    "CLibrary",
    "DecodeCall",
    "Nvcomp",
    "codecs",
    "decode",
    "load",
    "splits",
    "status_words",
    "why_not",
]

FORMATS: Mapping[str, str] = MappingProxyType(
    {"zstd": "Zstd", "gzip": "Gzip", "deflate": "Deflate", "snappy": "Snappy", "lz4": "LZ4"}
)
"""nvCOMP's names of the codecs: parts of its symbols, and algorithms of its Python package."""

ALIGNMENTS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"zstd": (1, 1, 8), "gzip": (1, 1, 1), "deflate": (4, 1, 1), "snappy": (1, 1, 1), "lz4": (1, 1, 1)}
)
"""Bytes to which sources, targets and temporary memory have to be aligned, as versions 5.0 to 6.0 answer."""

VERSIONS = (5, 6)

STATUSES: Mapping[int, str] = MappingProxyType(
    {
        0: "success",
        10: "an invalid value",
        11: "not supported",
        12: "the bytes can't be decompressed",
        13: "a checksum does not match",
        14: "checksums can't be verified",
        15: "more bytes than there is room for",
        16: "a header of the wrong length",
        17: "an address that is not aligned",
        18: "a chunk that is too large",
        19: "the bytes can't be compressed",
        20: "input of the wrong length",
        21: "too many chunks",
        22: "too many parts of a chunk",
        23: "too few parts of a chunk",
        24: "a target that is not aligned",
        1000: "CUDA failed",
        10000: "an internal error",
    }
)
"""nvCOMP's status codes (nvcompStatus_t)."""

CANNOT_DECOMPRESS = 12


def status_words(status: int) -> str:
    """A status in words.

    >>> status_words(12)
    "the bytes can't be decompressed"
    """
    return STATUSES.get(status, f"status {status}")


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """One call: n streams, given by columns in device memory.

    `src` and `dst` are addresses of columns of addresses; `size` (compressed bytes), `room` (bytes there are) and
    `found` (bytes decoded, written) of numbers, all uint64[n]; `status` is that of int32[n] (written). `most` is the
    largest of `room`, `total` their sum. `temp_bytes` at `temp` belong to the call until it is done.
    """

    codec: str
    n: int
    most: int
    total: int
    src: int
    size: int
    dst: int
    room: int
    found: int
    status: int
    temp: int
    temp_bytes: int


class Nvcomp(Protocol):
    """A way to nvCOMP."""

    @property
    def title(self) -> str:
        """Its name and version."""

    @property
    def codecs(self) -> frozenset[str]:
        """What it decodes."""

    def why_not(self, codec: str) -> str | None:
        """Why it does not decode a codec; None where it does."""

    def alignment(self, codec: str) -> tuple[int, int]:
        """Bytes to which its sources and its targets have to be aligned. Temporary memory: 256 always does."""

    def temp_bytes(self, codec: str, n: int, most: int, total: int) -> int:
        """Bytes of temporary memory for n streams that decode to at most `most` bytes each, `total` in all."""

    def decode(self, call: DecodeCall, stream: int) -> None:
        """Start a call on a stream of the current device."""

    def describe(self) -> str:
        """What it is and where, in a line."""


def splits(room: NDArray[np.int64], bound: int, need: Callable[[int, int, int], int]) -> list[tuple[int, int, int]]:
    """Cut a batch so that no call needs more than `bound` bytes of temporary memory, unless for a single stream.

    `need` is the memory for n streams of at most so many bytes each, and so many in all. Returns the first row, the
    row after the last, and the need of each call.

    >>> splits(np.array([100] * 5), 500, lambda n, most, total: 2 * total)
    [(0, 2, 400), (2, 3, 200), (3, 5, 400)]
    """
    parts: list[tuple[int, int, int]] = []
    todo = [(0, len(room))] if len(room) else []
    while todo:
        low, high = todo.pop()
        each = room[low:high]
        size = need(high - low, int(each.max()), int(each.sum()))
        if size > bound and high - low > 1:
            middle = (low + high) // 2
            todo += [(middle, high), (low, middle)]
        else:
            parts.append((low, high, size))
    return parts


# ---- the C library ----------------------------------------------------------------------------------------------


class Options(ctypes.Structure):
    """nvcompBatched*DecompressOpts_t: 64 bytes whatever the format; all zero are the defaults."""

    _fields_ = (("words", ctypes.c_int32 * 16),)


class Alignments(ctypes.Structure):
    """nvcompAlignmentRequirements_t."""

    _fields_ = (("input", ctypes.c_size_t), ("output", ctypes.c_size_t), ("temp", ctypes.c_size_t))


class Properties(ctypes.Structure):
    """nvcompProperties_t; a version is 1000 * major + 100 * minor + patch."""

    _fields_ = (("version", ctypes.c_uint32), ("cudart", ctypes.c_uint32))


@dataclass(frozen=True, slots=True)
class _Functions:
    """The functions of one format."""

    temp_size: Any
    decompress: Any
    alignment: tuple[int, int, int]


class CLibrary:
    """libnvcomp, versions 5 and 6. Raises DeviceError if the library is another, or lacks what every version has."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        properties = Properties()
        _succeed("GetProperties", self._symbol("nvcompGetProperties")(ctypes.byref(properties)))
        major, rest = divmod(int(properties.version), 1000)
        self.version = (major, rest // 100, rest % 100)
        if major not in VERSIONS:
            raise DeviceError(f"nvCOMP {self._version} is neither 5 nor 6")
        self._formats = {codec: self._functions(name) for codec, name in FORMATS.items()}

    @property
    def _version(self) -> str:
        return ".".join(str(part) for part in self.version)

    @property
    def title(self) -> str:
        return f"nvCOMP {self._version}"

    @property
    def codecs(self) -> frozenset[str]:
        return frozenset(self._formats)

    def describe(self) -> str:
        return f"{self.title}, by its C functions ({Path(self._library._name).name})"

    def why_not(self, codec: str) -> str | None:
        return None if codec in self._formats else f"nvCOMP has no {codec}"

    def alignment(self, codec: str) -> tuple[int, int]:
        return self._formats[codec].alignment[:2]

    def temp_alignment(self, codec: str) -> int:
        """Bytes to which temporary memory has to be aligned."""
        return self._formats[codec].alignment[2]

    def temp_bytes(self, codec: str, n: int, most: int, total: int) -> int:
        size = ctypes.c_size_t()
        # Version 6 asks for a stream too, and does nothing on it.
        stream = (ctypes.c_void_p(None),) if self.version[0] >= 6 else ()
        status = self._formats[codec].temp_size(n, most, Options(), ctypes.byref(size), total, *stream)
        _succeed(f"{codec} for {n} streams of at most {most} bytes", status)
        return size.value

    def decode(self, call: DecodeCall, stream: int) -> None:
        if not call.n:
            return
        status = self._formats[call.codec].decompress(
            call.src,
            call.size,
            call.room,
            call.found,
            call.n,
            call.temp or None,
            call.temp_bytes,
            call.dst,
            Options(),
            call.status,
            stream or None,
        )
        _succeed(f"decoding {call.n} streams of {call.codec}", status)

    def _symbol(self, name: str) -> Any:
        try:
            function = self._library[name]
        except AttributeError as error:
            raise DeviceError(f"{self._library._name} has no {name}") from error
        function.restype = ctypes.c_int
        return function

    def _functions(self, name: str) -> _Functions:
        number, pointer = ctypes.c_size_t, ctypes.c_void_p
        older = self.version[0] < 6
        temp_size = self._symbol(f"nvcompBatched{name}DecompressGetTempSize" + "Async" * older)
        temp_size.argtypes = [number, number, Options, ctypes.POINTER(number), number, *[pointer] * (not older)]
        decompress = self._symbol(f"nvcompBatched{name}DecompressAsync")
        decompress.argtypes = [*[pointer] * 4, number, pointer, number, pointer, Options, pointer, pointer]
        ask = self._symbol(f"nvcompBatched{name}DecompressGetRequiredAlignments")
        ask.argtypes = [Options, ctypes.POINTER(Alignments)]
        found = Alignments()
        _succeed(f"the alignments of {name}", ask(Options(), ctypes.byref(found)))
        return _Functions(temp_size, decompress, (int(found.input), int(found.output), int(found.temp)))


def _succeed(what: str, status: int) -> None:
    if status:
        raise DeviceError(f"{what}: {status_words(status)}", kernel="nvCOMP")


# ---- which of them ----------------------------------------------------------------------------------------------


def load() -> Nvcomp:
    """nvCOMP as it is installed: its C library, else its Python package. Raises DeviceError with the reasons."""
    found = _find()
    if isinstance(found, str):
        raise DeviceError(found)
    return found


@cache
def _find() -> Nvcomp | str:
    """What there is, or why there is nothing; asked once a process."""
    with importing:
        return _loaded()


def _loaded() -> Nvcomp | str:
    try:
        return CLibrary(_open())
    except DeviceError as error:
        reason = error.reason
    try:
        package, cupy = importlib.import_module("nvidia.nvcomp"), importlib.import_module("cupy")
    except ImportError as error:
        return f"{reason}; {error}"
    from gpuzarr.cuda.nvcomp_package import PythonCodec

    package.set_device_allocator(lambda nbytes, stream: cupy.cuda.alloc(nbytes))
    return PythonCodec(package, cupy.cuda.runtime)


def _open() -> ctypes.CDLL:
    """libnvcomp of the wheel that belongs to the Python package, else one that the system finds."""
    try:
        library = importlib.import_module("nvidia.libnvcomp").load_library()
    except (ImportError, OSError):
        library = None
    if isinstance(library, ctypes.CDLL):
        return library
    names = [f"libnvcomp.so.{major}" for major in reversed(VERSIONS)]
    for path in [*_beside_the_package(), *names]:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise DeviceError("libnvcomp is not installed (pip install nvidia-nvcomp-cu13, or -cu12)")


def _beside_the_package() -> list[str]:
    """Before 5.1 the library came within the Python package."""
    try:
        spec = importlib.util.find_spec("nvidia.nvcomp")
    except ImportError:
        return []
    folders = spec.submodule_search_locations if spec is not None else None
    return [str(path) for folder in folders or () for path in sorted(Path(folder).glob("libnvcomp.so.*"))]


def codecs() -> frozenset[str]:
    """What nvCOMP decodes on this machine; nothing where there is none."""
    found = _find()
    return frozenset() if isinstance(found, str) else found.codecs


def why_not(codec: str) -> str | None:
    """Why nvCOMP does not decode a codec here; None where it does."""
    found = _find()
    return found if isinstance(found, str) else found.why_not(codec)


def decode(call: DecodeCall, stream: int) -> None:
    """Start a call on a stream of the current device. Raises DeviceError."""
    load().decode(call, stream)
