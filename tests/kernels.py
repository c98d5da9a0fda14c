"""Runs kernels in tests: in every mode and order, on buffers that lie where the test says, between guard bytes.

    @ways("copy.cu")
    def test_a_copy(way: Way) -> None:
        with way.buffers() as b:
            source, target = b.put(b"abc", misalign=3), b.room(3, misalign=1)
            b.launch("gz_copy", 1, 128, [b.table([source.address]), ..., np.uint32(1)])
            assert target.bytes() == b"abc"

`way` is a parameter, not a fixture, so hypothesis may draw the rest. `GPUZARR_KERNELS` names a folder of other sources
to run: that is how mutants of them are judged by the same tests. A machine without a compiler skips, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gpuzarr.testing.emulator import Emulator, load, source_folder
from gpuzarr.testing.emulator.build import find_compiler

GUARD = 64
"""Bytes on both sides of a buffer that nobody may change."""
ALIGN = 256
"""What a buffer's address is a multiple of, before it is misaligned: as device allocations are."""
UNTOUCHED = 0xEE

MODES = ("fast", "check")
ORDERS = ("forward", "reverse", "random")

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: kernels are not run here")


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes in the emulated device's memory; `values` is what they hold now."""

    values: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    guards: NDArray[np.uint8]

    @property
    def address(self) -> int:
        return int(self.values.ctypes.data)

    @property
    def pointer(self) -> np.uint64:
        """The address as an argument of a kernel."""
        return np.uint64(self.address)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def bytes(self) -> bytes:
        return self.values.tobytes()

    def array(self, dtype: DTypeLike) -> NDArray[Any]:
        """A copy of the contents as elements."""
        return np.frombuffer(self.bytes(), dtype)


class Buffers:
    """The buffers of one test: made, registered with the emulator, and forgotten at the end."""

    def __init__(self, emulator: Emulator, order: Literal["forward", "reverse", "random"]) -> None:
        self.emulator = emulator
        self.order = order
        self._made: dict[str, Buffer] = {}

    def put(self, data: ArrayLike | bytes, *, misalign: int = 0, tag: str = "source") -> Buffer:
        """A buffer with these contents: bytes, or an array's elements in C order."""
        content = data if isinstance(data, bytes) else np.asarray(data).tobytes()
        buffer = self._make(len(content), misalign, tag, initialised=True)
        buffer.values[:] = np.frombuffer(content, np.uint8)
        return buffer

    def room(self, nbytes: int, *, misalign: int = 0, tag: str = "target") -> Buffer:
        """A buffer of bytes without values (in fact 0xEE): reading one is an error in check mode."""
        return self._make(nbytes, misalign, tag, initialised=False)

    def zeros(self, count: int, dtype: DTypeLike, *, tag: str = "zeros") -> Buffer:
        """A buffer of zeros, such as status words before a launch."""
        return self.put(np.zeros(count, dtype), tag=tag)

    def table(self, values: ArrayLike, dtype: DTypeLike = np.uint64, *, tag: str = "table") -> np.uint64:
        """A column of a table in device memory: its address, as an argument of a kernel."""
        return self.put(np.asarray(values, dtype), tag=tag).pointer

    def launch(
        self,
        kernel: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[np.generic],
        *,
        seed: int = 0,
        shared: int = 0,
    ) -> None:
        """Runs a kernel in the test's order. Raises DeviceError for what it did wrong."""
        self.emulator.launch(kernel, grid, block, args, order=self.order, seed=seed, shared=shared)

    def unwritten(self, buffer: Buffer) -> int | None:
        """The offset of the first byte that no kernel wrote; `None` if there is none, or in fast mode."""
        return self.emulator.first_unwritten(buffer.address, buffer.nbytes)

    def assert_guards(self) -> None:
        """The bytes around every buffer are as they were."""
        for tag, buffer in self._made.items():
            begin = buffer.address - buffer.whole.ctypes.data
            before, after = buffer.whole[:begin], buffer.whole[begin + buffer.nbytes :]
            assert (before == buffer.guards[: len(before)]).all(), f"bytes before {tag} were written"
            assert (after == buffer.guards[len(before) :]).all(), f"bytes after {tag} were written"

    def forget(self) -> None:
        for buffer in self._made.values():
            self.emulator.unregister(buffer.address)
        self._made.clear()

    def _make(self, nbytes: int, misalign: int, tag: str, *, initialised: bool) -> Buffer:
        whole = np.empty(nbytes + 2 * GUARD + ALIGN + misalign, np.uint8)
        begin = -(-(whole.ctypes.data + GUARD) // ALIGN) * ALIGN + misalign - whole.ctypes.data
        guards = np.resize(np.arange(1, 252, dtype=np.uint8), whole.size - nbytes)
        whole[:begin], whole[begin + nbytes :] = guards[:begin], guards[begin:]
        values = whole[begin : begin + nbytes]
        values[:] = UNTOUCHED
        name = f"{tag}#{len(self._made)}"
        self._made[name] = buffer = Buffer(values, whole, guards)
        self.emulator.register(buffer.address, nbytes, initialised=initialised, tag=name)
        return buffer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run some sources."""

    files: tuple[Path, ...]
    mode: Literal["fast", "check", "cover"]
    order: Literal["forward", "reverse", "random"]
    defines: tuple[str, ...] = ()

    @property
    def checked(self) -> bool:
        return self.mode == "check"

    def emulator(self) -> Emulator:
        return load(self.mode, sources=self.files, defines=self.defines)

    @contextmanager
    def buffers(self) -> Iterator[Buffers]:
        """Buffers to run kernels on; at the end nobody has written around them."""
        buffers = Buffers(self.emulator(), self.order)
        try:
            yield buffers
            buffers.assert_guards()
        finally:
            buffers.forget()


def ways(
    *names: str,
    modes: Sequence[str] = MODES,
    orders: Sequence[str] = ORDERS,
    folder: Path | None = None,
    defines: Sequence[str] = (),
) -> pytest.MarkDecorator:
    """Runs a test with each mode and order; `names` are files of kernels/, or of another folder."""
    files = tuple((folder or source_folder()) / name for name in names)
    found = [Way(files, mode, order, tuple(defines)) for mode in modes for order in orders]  # type: ignore[arg-type]
    values = [pytest.param(way, id=f"{way.mode}-{way.order}", marks=needs_compiler) for way in found]
    return pytest.mark.parametrize("way", values)
