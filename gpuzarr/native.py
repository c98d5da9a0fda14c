"""The compiled host module: where it is, which codecs it can use, and how to call it.

It is an optimisation that may be missing: everything it does is done in Python where it is not built, is
switched off (`GPUZARR_NATIVE=0`), or declines a row. The contract is `kernels/host.h`; the structs below
repeat it member by member.

The module holds no codec. Their functions are taken from shared objects that installed packages carry:
NumCodecs' own extension modules export those of Zstandard, Blosc and LZ4, and the `deflate` package (or
imagecodecs) those of libdeflate. None of these packages is imported for that.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.errors import DeviceError
from gpuzarr.forks import importing

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from numpy.typing import NDArray

__all__ = [
    "ABSENT",
    "CHECKSUM",
    "CORRUPT",
    "DECLINED",
    "IO",
    "OK",
    "OPCODES",
    "SHORT",
    "SIZE",
    "Buffers",
    "Native",
    "Op",
    "ReadArgs",
    "WriteArgs",
    "address",
    "kernel_folder",
    "load",
    "ops",
    "pointers",
    "why_not",
]

ABI = 3
OK, ABSENT, IO, SHORT, CHECKSUM, CORRUPT, SIZE, DECLINED = range(8)
OPCODES = {"crc32c": 1, "zstd": 2, "blosc": 3, "lz4": 4, "gzip": 5, "zlib": 6}
BLOSC_CNAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
FILES, MEMORY = 0, 1
BOXES, TABLES, POINTS = 0, 1, 2

_INT, _POINTER, _TEXT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p


class Op(ctypes.Structure):
    """One bytes-to-bytes codec of a chain; `arg` holds what encoding needs."""

    _fields_ = (("op", ctypes.c_int32), ("arg", ctypes.c_int32 * 7))


class _Codecs(ctypes.Structure):
    """Addresses of codec functions, in the order of `gz_codecs`; 0 where there is none."""

    _fields_ = tuple(
        (name, _POINTER)
        for name in (
            *("zstd_create_dctx", "zstd_free_dctx", "zstd_decompress_dctx"),
            *("zstd_create_cctx", "zstd_free_cctx", "zstd_set_parameter", "zstd_compress2"),
            *("zstd_compress_bound", "blosc_decompress_ctx", "blosc_compress_ctx"),
            *("lz4_decompress_safe", "lz4_compress_fast", "lz4_compress_bound"),
            *("deflate_alloc_decompressor", "deflate_free_decompressor"),
            *("deflate_gzip_decompress", "deflate_zlib_decompress"),
            *("deflate_alloc_compressor", "deflate_free_compressor"),
            *("deflate_gzip_compress", "deflate_zlib_compress"),
            *("deflate_gzip_bound", "deflate_zlib_bound"),
        )
    )


class ReadArgs(ctypes.Structure):
    """The arguments of a read, `gz_read`: addresses (see `address`) and numbers, in this order.

    Nothing is kept alive but what is given as `bytes`: put the arrays into the attribute `keep`.
    """

    _fields_ = (
        ("codecs", _POINTER),
        ("ops", _POINTER),
        ("n_ops", _INT),
        ("ndim", _INT),
        ("itemsize", _INT),
        ("swap", _INT),
        ("chunk_nbytes", _INT),
        ("chunk_strides", _POINTER),
        ("out", _POINTER),
        ("out_strides", _POINTER),
        ("streaming", _INT),
        ("fill", _TEXT),
        ("kind", _INT),
        ("prefix", _TEXT),
        ("coords", _POINTER),
        ("key_ndim", _INT),
        ("separator", _INT),
        ("zero_key", _TEXT),
        ("data", _POINTER),
        ("data_size", _POINTER),
        ("ext_key", _POINTER),
        ("ext_offset", _POINTER),
        ("ext_length", _POINTER),
        ("row_ext", _POINTER),
        ("row_offset", _POINTER),
        ("row_length", _POINTER),
        ("tile_start", _POINTER),
        ("source", _POINTER),
        ("target", _POINTER),
        ("count", _POINTER),
        ("step", _POINTER),
        ("tiles_kind", _INT),
        ("table_source", _POINTER),
        ("table_target", _POINTER),
        ("status", _POINTER),
    )
    keep: Any


class BoxArgs(ctypes.Structure):
    """What the small reads of an array have in common, `gz_box`. What is kept alive: see `ReadArgs`."""

    _fields_ = (("read", ReadArgs), ("chunk", _POINTER), ("grid", _POINTER))
    keep: Any


BOX_DIMS = 8
"""Dimensions of a box at most."""


class WriteArgs(ctypes.Structure):
    """The arguments of a write, `gz_write`, in this order. What is kept alive: see `ReadArgs`."""

    _fields_ = (
        ("codecs", _POINTER),
        ("ops", _POINTER),
        ("n_ops", _INT),
        ("ndim", _INT),
        ("itemsize", _INT),
        ("swap", _INT),
        ("chunk_nbytes", _INT),
        ("chunk_strides", _POINTER),
        ("src", _POINTER),
        ("src_strides", _POINTER),
        ("fill", _TEXT),
        ("skip_fill", _INT),
        ("source", _POINTER),
        ("target", _POINTER),
        ("count", _POINTER),
        ("slab", _POINTER),
        ("capacity", _INT),
        ("packed", _INT),
        ("prefix", _TEXT),
        ("coords", _POINTER),
        ("key_ndim", _INT),
        ("separator", _INT),
        ("zero_key", _TEXT),
        ("temporary", _TEXT),
        ("size", _POINTER),
        ("status", _POINTER),
    )
    keep: Any


def address(array: NDArray[Any]) -> int:
    """Where the first element of `array` is, five times as fast as `array.ctypes.data` if it may be written.

    >>> a = np.arange(3)
    >>> address(a) == a.ctypes.data
    True
    """
    try:
        return ctypes.addressof(_at(array))
    except (TypeError, ValueError):  # read-only, strided, or empty
        return int(array.ctypes.data)


_at: Callable[[Any], Any] = ctypes.c_char.from_buffer


def pointers(arrays: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """An array of addresses, one for each array: an argument that is a table of tables."""
    return np.array([address(array) for array in arrays], np.int64)


class Buffers:
    """Byte strings in memory as the arguments `data` and `data_size`: `None` is an absent one.

    >>> buffers = Buffers([b"abc", None, memoryview(b"de")])
    >>> buffers.size.tolist()
    [3, 0, 2]
    >>> int(buffers.data[1])
    0
    """

    __slots__ = ("data", "keep", "size")

    def __init__(self, values: Sequence[bytes | bytearray | memoryview | None]) -> None:
        if values and all(type(value) is bytes or value is None for value in values):  # eight times as fast
            usual: Any = values
            table: Any = (_TEXT * len(usual))(*usual)
            self.keep: Any = table
            self.data = np.frombuffer(table, np.int64)
            self.size = np.array([0 if value is None else len(value) for value in values], np.int64)
            return
        views = [None if value is None else np.frombuffer(value, np.uint8) for value in values]
        self.keep = views
        # An empty value is present: its address must not look like that of an absent one.
        self.data = np.array([0 if view is None else address(view) or 1 for view in views], np.int64)
        self.size = np.array([0 if view is None else view.size for view in views], np.int64)


def ops(codecs: Sequence[tuple[str, Sequence[int]]]) -> ctypes.Array[Op]:
    """A chain for the arguments `ops`: pairs of a name in `OPCODES` and the numbers that encoding needs.

    zstd: level, checksum (0 or 1) · blosc: clevel, shuffle (0, 1, 2), typesize, blocksize, index in
    `BLOSC_CNAMES` · lz4: acceleration · gzip, zlib: level. Decoding needs none.

    >>> chain = ops([("crc32c", ()), ("zstd", (3, 0))])
    >>> [(op.op, op.arg[0]) for op in chain]
    [(1, 0), (2, 3)]
    """
    return (Op * len(codecs))(*(Op(OPCODES[name], tuple(numbers)) for name, numbers in codecs))


# ---- the library -------------------------------------------------------------------------------------------


class Native:
    """The loaded module.

    `ops`: the codecs it can use. `codecs`: the address of its table of codec functions, for the argument of
    that name.
    """

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.path = path
        self._table, self._files = _codec_table()
        self.codecs = ctypes.addressof(self._table)
        self.ops = frozenset({"crc32c"} | {name for name, needs in _NEEDS.items() if self._has(needs)})
        # Arguments are passed as addresses and plain numbers: the fastest way there is through ctypes.
        self._read = _function(library, "gz_read_run", _INT, _POINTER, _INT, _INT)
        self._box = _function(library, "gz_read_box", _INT, *[_POINTER] * 6)
        self._write = _function(library, "gz_write_run", _INT, _POINTER, _INT, _INT)
        self._bound = _function(library, "gz_encode_bound", _INT, _POINTER)

    def _has(self, names: Sequence[str]) -> bool:
        return all(getattr(self._table, name) for name in names)

    def read(self, args: ReadArgs, lo: int, hi: int) -> int:
        """Runs rows `lo` to `hi`, without the interpreter's lock; how many have a status above `ABSENT`."""
        failed: int = self._read(ctypes.addressof(args), lo, hi)
        return failed

    def read_box(self, args: int, start: int, count: int, coords: int | None, index: int | None, out: int) -> int:
        """Reads a small box whole, without the lock; 0 if all of it is there. All are addresses."""
        failed: int = self._box(args, start, count, coords, index, out)
        return failed

    def write(self, args: WriteArgs, lo: int, hi: int) -> int:
        """Encodes rows `lo` to `hi` and puts them, without the lock; how many have a status above `OK`."""
        failed: int = self._write(ctypes.addressof(args), lo, hi)
        return failed

    def encode_bound(self, args: WriteArgs) -> int:
        """The least `capacity` that is enough for every chunk; -1: no such codec, or too large a chunk."""
        bound: int = self._bound(ctypes.addressof(args))
        return bound

    @property
    def sources(self) -> dict[str, str]:
        """For each codec it can use: the package and version whose code runs."""
        library_of = {name: _LIBRARY[name] for name in sorted(self.ops & _LIBRARY.keys())}
        return {"crc32c": "gpuzarr"} | {n: _package_of(self._files[at]) for n, at in library_of.items()}

    def missing(self) -> dict[str, str]:
        """For each codec it can't use: why."""
        return {name: _MISSING[_LIBRARY[name]] for name in OPCODES if name not in self.ops}


@cache
def load() -> Native | None:
    """The module, or `None`: see `why_not`."""
    return _load()[0]


def why_not() -> str | None:
    """Why there is no compiled module, in words; `None` where there is one."""
    return _load()[1]


@cache
def _load() -> tuple[Native | None, str | None]:
    if os.environ.get("GPUZARR_NATIVE", "1") == "0":
        return None, "switched off by GPUZARR_NATIVE=0"
    path = Path(__file__).with_name("_host.so")
    if not path.exists():
        return None, "not built: install again with a C++ compiler (in a checkout: kernels/hatch_build.py)"
    try:
        with importing:
            library = ctypes.CDLL(os.fspath(path))
        abi = _function(library, "gz_abi", _INT)()
    except (OSError, AttributeError) as error:
        return None, f"does not load: {error}"
    if abi != ABI:
        return None, f"built for another version of gpuzarr (interface {abi}, not {ABI}): build it again"
    return Native(library, path), None


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


# ---- codecs ------------------------------------------------------------------------------------------------

_SYMBOLS = {
    "zstd": {
        "zstd_create_dctx": "ZSTD_createDCtx",
        "zstd_free_dctx": "ZSTD_freeDCtx",
        "zstd_decompress_dctx": "ZSTD_decompressDCtx",
        "zstd_create_cctx": "ZSTD_createCCtx",
        "zstd_free_cctx": "ZSTD_freeCCtx",
        "zstd_set_parameter": "ZSTD_CCtx_setParameter",
        "zstd_compress2": "ZSTD_compress2",
        "zstd_compress_bound": "ZSTD_compressBound",
    },
    "blosc": {
        "blosc_decompress_ctx": "blosc_decompress_ctx",
        "blosc_compress_ctx": "blosc_compress_ctx",
    },
    "lz4": {
        "lz4_decompress_safe": "LZ4_decompress_safe",
        "lz4_compress_fast": "LZ4_compress_fast",
        "lz4_compress_bound": "LZ4_compressBound",
    },
    "deflate": {
        "deflate_alloc_decompressor": "libdeflate_alloc_decompressor",
        "deflate_free_decompressor": "libdeflate_free_decompressor",
        "deflate_gzip_decompress": "libdeflate_gzip_decompress_ex",
        "deflate_zlib_decompress": "libdeflate_zlib_decompress_ex",
        "deflate_alloc_compressor": "libdeflate_alloc_compressor",
        "deflate_free_compressor": "libdeflate_free_compressor",
        "deflate_gzip_compress": "libdeflate_gzip_compress",
        "deflate_zlib_compress": "libdeflate_zlib_compress",
        "deflate_gzip_bound": "libdeflate_gzip_compress_bound",
        "deflate_zlib_bound": "libdeflate_zlib_compress_bound",
    },
}
_LIBRARY = {"zstd": "zstd", "blosc": "blosc", "lz4": "lz4", "gzip": "deflate", "zlib": "deflate"}
_NEEDS = {name: tuple(_SYMBOLS[library]) for name, library in _LIBRARY.items()}
_MISSING = {
    **dict.fromkeys(("zstd", "blosc", "lz4"), "numcodecs is not installed, or hides the library's functions"),
    "deflate": "no libdeflate: pip install gpuzarr[fast]",
}


def _codec_table() -> tuple[_Codecs, dict[str, Path]]:
    table, found = _Codecs(), {}
    for library, symbols in _SYMBOLS.items():
        for path in _candidates(library):
            addresses = _addresses(path, symbols)
            if addresses is not None:
                found[library] = path
                for name, value in addresses.items():
                    setattr(table, name, value)
                break
    return table, found


def _candidates(library: str) -> list[Path]:
    """Shared objects that may export the functions of `library`, the best first."""
    if library != "deflate":
        return _extension("numcodecs", library)
    bundled = _package_folder("imagecodecs")
    beside = [] if bundled is None else sorted(bundled.with_name("imagecodecs.libs").glob("libdeflate*"))
    return _extension("deflate", "_deflate") + beside


def _extension(package: str, module: str) -> list[Path]:
    folder = _package_folder(package)
    if folder is None:
        return []
    return [path for suffix in EXTENSION_SUFFIXES if (path := folder / (module + suffix)).exists()]


def _package_folder(package: str) -> Path | None:
    try:
        spec = find_spec(package)  # of a top-level package: imports nothing
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _addresses(path: Path, symbols: dict[str, str]) -> dict[str, int | None] | None:
    """The functions' addresses, if the file loads and has all of them. It stays loaded."""
    try:
        with importing:
            library = ctypes.CDLL(os.fspath(path))
        return {n: ctypes.cast(getattr(library, symbol), _POINTER).value for n, symbol in symbols.items()}
    except (OSError, AttributeError):
        return None


def _package_of(path: Path) -> str:
    from importlib.metadata import PackageNotFoundError, version

    name = path.parent.name.removesuffix(".libs")
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


# ---- sources of kernels ------------------------------------------------------------------------------------


@cache
def kernel_folder() -> Traversable:
    """The folder of the C++ and CUDA sources: in the package if it was installed, else in the repository."""
    installed = files("gpuzarr") / "kernels"
    checkout = Path(__file__).parents[1] / "kernels"
    for place in (installed, checkout):
        if place.is_dir():
            return place
    raise DeviceError(f"the sources of the kernels are not installed (looked in {installed} and {checkout})")
