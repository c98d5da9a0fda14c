"""One compiled library of kernels: launched, and asked what it found.

The library's state is one launch's, so launches of one emulator wait for each other; different emulators do not.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator.image import Image, Symbol
from gpuzarr.testing.emulator.lines import count_lines
from gpuzarr.testing.emulator.traffic import ACCESS, Traffic, summarise

__all__ = ["Emulator", "Order"]

Order = Literal["forward", "reverse", "random"]
_ORDERS = {"forward": 0, "reverse": 1, "random": 2}
_PLACE = re.compile(r"\{(0x[0-9a-f]+)\}")
_DIMENSIONS = ctypes.c_uint * 3


_EMULATORS: WeakSet[Emulator] = WeakSet()


@dataclass(frozen=True, slots=True)
class _Kernel:
    number: int
    dtypes: tuple[np.dtype[Any], ...]
    slots: struct.Struct  # each argument in 8 bytes


class Emulator:
    """Kernels compiled for this machine, in one of the modes of `gpuzarr.testing.emulator`."""

    def __init__(self, library: Path, mode: str) -> None:
        _EMULATORS.add(self)
        self.mode = mode
        self._lock = threading.Lock()
        self._path = library
        self._library = _declared(ctypes.CDLL(os.fspath(library)))
        self._made_image: Image | None = None
        self._kernels = self._found_kernels()
        self._base = self._found_base()
        self._tell_shared()

    # ---- launches ----

    def kernels(self) -> list[str]:
        """The names of the kernels, sorted."""
        return sorted(self._kernels)

    def launch(
        self,
        name: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[np.generic],
        *,
        shared: int = 0,
        order: Order = "forward",
        seed: int = 0,
        seconds: float | None = None,
    ) -> None:
        """Runs a kernel to its end.

        Args:
            name: The kernel.
            grid: Blocks, along up to three axes.
            block: Threads of a block, along up to three axes.
            args: NumPy scalars of the parameters' exact types; pointers are `np.uint64`.
            shared: Bytes of dynamic shared memory.
            order: In which order threads and blocks take turns where nothing else decides.
            seed: Of the random order.
            seconds: Processor time after which it counts as endless: 60, or `GPUZARR_LAUNCH_SECONDS`.

        Raises DeviceError for a launch that CUDA refuses, and for what the kernel did wrong, naming block, thread,
        buffer and source line.
        """
        kernel = self._kernel(name)
        packed = _packed(name, kernel, args)
        if seconds is None:
            seconds = float(os.environ.get("GPUZARR_LAUNCH_SECONDS", "60"))
        sizes = _dimensions(name, grid), _dimensions(name, block)
        if order not in _ORDERS or shared < 0:
            raise DeviceError(f"no order {order!r}, or {shared} bytes shared", device="emulator", kernel=name)
        with self._lock:
            wrong = self._library.emu_launch(
                kernel.number, *sizes, shared, packed, _ORDERS[order], seed % 2**63, max(seconds, 1e-3)
            )
            reason = self._reason(wrong) if wrong else None
        if reason is not None:
            raise DeviceError(reason, device="emulator", kernel=name)

    # ---- check mode: what there is to touch ----

    def register(self, address: int, nbytes: int, *, initialised: bool, tag: str) -> None:
        """Makes a buffer known; kernels may touch no other. Costs 25 bytes for each byte that a kernel touches.

        Raises DeviceError where it overlaps another. Does nothing in the other modes.
        """
        if self.mode == "check" and nbytes > 0:
            with self._lock:
                wrong = self._library.emu_register(address, nbytes, initialised, tag.encode())
            if wrong:
                raise DeviceError(f"buffer {tag!r} of {nbytes} bytes: {wrong.decode()}", device="emulator")

    def unregister(self, address: int) -> None:
        """Forgets the buffer that begins there, if there is one."""
        if self.mode == "check":
            with self._lock:
                self._library.emu_unregister(address)

    def initialise(self, address: int, nbytes: int) -> None:
        """Bytes of one buffer now have values: the host wrote them. Raises DeviceError where there is no buffer."""
        if self.mode == "check" and nbytes > 0:
            with self._lock:
                known = self._library.emu_initialise(address, nbytes)
            if not known:
                raise DeviceError(f"{nbytes} bytes at {address:#x} are not within a buffer", device="emulator")

    def first_unwritten(self, address: int, nbytes: int) -> int | None:
        """The offset of the first byte, of a range within one buffer, without a value; `None` outside check mode."""
        if self.mode != "check" or nbytes <= 0:
            return None
        with self._lock:
            found = self._library.emu_first_unknown(address, nbytes)
        if found == -2:
            raise DeviceError(f"{nbytes} bytes at {address:#x} are not within a buffer", device="emulator")
        return None if found < 0 else int(found)

    @contextmanager
    def traffic(self, most: int = 1 << 20) -> Iterator[list[Traffic]]:
        """Counts the memory requests of the launches inside, a row for each access in the source; in check mode.

        The list is filled at the end. Raises DeviceError for more than `most` accesses (of single threads).
        """
        if self.mode != "check":
            raise DeviceError("memory traffic is counted in check mode", device="emulator")
        log = np.empty(most, ACCESS)
        found: list[Traffic] = []
        with self._lock:
            self._library.emu_traffic(log.ctypes.data, most)
        try:
            yield found
        finally:
            with self._lock:
                count = self._library.emu_traffic(None, 0)
        if count > most:
            raise DeviceError(f"{count} accesses are more than the {most} allowed for", device="emulator")
        found += summarise(log[:count], self._image())

    # ---- cover mode ----

    def lines(self) -> dict[str, dict[int, int]]:
        """For each source file, how often each line that has code ran since the library was loaded; in cover mode."""
        if self.mode != "cover":
            raise DeviceError("lines are counted in cover mode", device="emulator")
        image = self._image()
        calls = image.calls("__sanitizer_cov_trace_pc")
        with self._lock:
            counts = [int(self._library.emu_count(self._base + returned)) for _, returned in calls]
        counted = count_lines(image.rows, calls, counts, image.functions)
        return {file: lines for file, lines in counted.items() if file.endswith((".cu", ".cuh"))}

    def steps(self) -> NDArray[np.uint64]:
        """For each block of the last launch, how many steps its busiest thread made; in cover mode.

        A step is a piece of straight code, from one jump to the next, as the compiler makes them without optimising.
        Loops are made of them, so what bounds the steps bounds the time; waiting for other threads is none.

        >>> from pathlib import Path
        >>> source = Path(getfixture("tmp_path")) / "loop.cu"
        >>> loop = "for (unsigned i = 0; i < 10 * blockIdx.x; ++i) *x += i;"
        >>> _ = source.write_text(f'extern "C" __global__ void loop(unsigned* x) {{ {loop} }}')
        >>> from gpuzarr.testing.emulator import load
        >>> emulator, x = load("cover", sources=[source]), np.zeros(1, np.uint32)
        >>> emulator.launch("loop", 3, 1, [np.uint64(x.ctypes.data)])
        >>> none, ten, twenty = emulator.steps().tolist()
        >>> twenty - ten == ten - none >= 10
        True
        """
        if self.mode != "cover":
            raise DeviceError("steps are counted in cover mode", device="emulator")
        with self._lock:
            found = np.zeros(self._library.emu_steps(None, 0), np.uint64)
            self._library.emu_steps(found.ctypes.data, len(found))
        return found

    # ---- inside ----

    def _kernel(self, name: str) -> _Kernel:
        if name not in self._kernels:
            reason = f"there is no such kernel; there are {', '.join(self.kernels()) or 'none'}"
            raise DeviceError(reason, device="emulator", kernel=name)
        return self._kernels[name]

    def _image(self) -> Image:
        if self._made_image is None:
            self._made_image = Image(self._path)
        return self._made_image

    def _found_kernels(self) -> dict[str, _Kernel]:
        found: dict[str, _Kernel] = {}
        while name := self._library.emu_kernel_name(len(found)):
            letters = self._library.emu_kernel_signature(len(found)).decode()
            slots = struct.Struct("<" + "".join(f"{c}{8 - struct.calcsize(c)}x" for c in letters))
            found[name.decode()] = _Kernel(len(found), tuple(np.dtype(c) for c in letters), slots)
        return found

    def _found_base(self) -> int:
        loaded = ctypes.cast(self._library.emu_launch, ctypes.c_void_p).value or 0
        return loaded - next(s.address for s in self._image().symbols if s.name == "emu_launch")

    def _tell_shared(self) -> None:
        for symbol in self._image().symbols:
            if symbol.section == "emu_shared" and symbol.size:
                owner, variable = _owner(symbol)
                number = self._kernels[owner].number if owner in self._kernels else -1
                array = (self._base + symbol.address, symbol.size, number)
                told = self._library.emu_shared_array(*array)
                wrong = self.mode == "check" and self._library.emu_watch_shared(*array, variable.encode())
                if wrong or not told:
                    raise DeviceError(f"shared array {variable!r}: {wrong or 'too many'}", device="emulator")
        if self.mode == "check":
            self._library.emu_watch_dynamic()

    def _reason(self, text: bytes) -> str:
        def line(match: re.Match[str]) -> str:
            offset = int(match.group(1), 16) - self._base
            found = self._image().line(offset - 1)  # it is where a call returns to
            return f"{found[0]}:{found[1]}" if found else f"+{offset:#x}"

        return _PLACE.sub(line, text.decode(errors="replace"))


def _packed(name: str, kernel: _Kernel, args: Sequence[np.generic]) -> bytes:
    given = tuple(getattr(arg, "dtype", None) for arg in args)
    if given != kernel.dtypes:
        kinds = ", ".join(str(d or type(a).__name__) for d, a in zip(given, args, strict=True))
        wanted = ", ".join(map(str, kernel.dtypes))
        raise DeviceError(f"its arguments are ({kinds}), its parameters ({wanted})", device="emulator", kernel=name)
    return kernel.slots.pack(*args)


def _dimensions(name: str, size: int | tuple[int, ...]) -> ctypes.Array[ctypes.c_uint]:
    axes = size if isinstance(size, tuple) else (size,)
    if not 1 <= len(axes) <= 3 or not all(0 <= axis < 2**32 for axis in axes):
        raise DeviceError(f"{size} is no size of a grid or block", device="emulator", kernel=name)
    return _DIMENSIONS(*axes, *(1,) * (3 - len(axes)))


def _owner(symbol: Symbol) -> tuple[str, str]:
    """The function whose static variable it is, and the variable, from its mangled name (Itanium C++ ABI 5.1.6)."""
    match = re.match(r"_ZZ(\d+)", symbol.name)
    if match is None:
        function, _, variable = symbol.name.partition(".")
        return function, variable or symbol.name
    end = match.end() + int(match.group(1))
    rest = re.match(r"E\d+(\w*?)(?:_\d*)?$", symbol.name[end:])
    return symbol.name[match.end() : end], rest.group(1) if rest else symbol.name


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Its functions with their types; those that the mode does not have are left out."""
    number, address, size, text = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    sizes = ctypes.POINTER(ctypes.c_uint)
    # A function that the launch cannot do without comes first: its absence is an error here and now.
    library.emu_launch.argtypes = [number, sizes, sizes, ctypes.c_uint, text, number, ctypes.c_uint64, ctypes.c_double]
    library.emu_launch.restype = text
    types: dict[str, tuple[Any, list[Any]]] = {
        "emu_kernel_name": (text, [number]),
        "emu_kernel_signature": (text, [number]),
        "emu_shared_array": (number, [address, ctypes.c_uint, number]),
        "emu_watch_shared": (text, [address, ctypes.c_uint, number, text]),
        "emu_watch_dynamic": (text, []),
        "emu_register": (text, [address, size, number, text]),
        "emu_unregister": (number, [address]),
        "emu_initialise": (number, [address, size]),
        "emu_first_unknown": (ctypes.c_longlong, [address, size]),
        "emu_traffic": (size, [address, size]),
        "emu_count": (ctypes.c_uint64, [address]),
        "emu_steps": (ctypes.c_uint64, [address, ctypes.c_uint64]),
    }
    for name, (result, parameters) in types.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
    return library


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, amid a launch that this process does not go on with."""
    for emulator in list(_EMULATORS):
        emulator._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
