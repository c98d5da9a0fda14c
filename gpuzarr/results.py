"""Results: a plan's memory is made or checked, and the plan carried out into it, on the host or on a device.

A result on a device is computed with as a NumPy array over its address: views of it are made, its elements are
never touched here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.binding import Binding
from gpuzarr.codecs.device import DeviceChain, bind_device
from gpuzarr.cuda.device import stream_handle
from gpuzarr.cuda.launch import code_of
from gpuzarr.dtypes import from_numpy
from gpuzarr.errors import MetadataError, ShapeError, UnsupportedError
from gpuzarr.execute.read import read
from gpuzarr.execute.source import Source
from gpuzarr.execute.windows import Cast, DeviceTarget, Rehearsed, move
from gpuzarr.execute.work import ReadJob
from gpuzarr.memory.cuda import ready_on, shadow
from gpuzarr.memory.host import NumpyMemory
from gpuzarr.options import Options
from gpuzarr.plan import ReadPlan
from gpuzarr.selection import Selection

__all__ = ["Reader"]

SOMEWHERE = 1 << 40
"""An address for a result that nobody makes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What an array's reads have in common. `device` is None where results are in host memory."""

    source: Source
    dtype: np.dtype[Any]
    binding: Binding
    options: Options
    device: DeviceChain | None

    @classmethod
    def bind(cls, source: Source, dtype: np.dtype[Any], binding: Binding, options: Options, path: str) -> Reader:
        """Choose, once, where the array's codecs run. Raises UnsupportedError for what `strict` refuses."""
        device = options.memory.device
        chain = None if device is None else bind_device(binding.chain.leaf, device.offer, options.runner.asked)
        if options.strict and chain is not None and chain.why is not None:
            what = f"strict: {chain.codec} would be decoded on the host: {chain.why}"
            raise UnsupportedError(what, feature=f"{chain.codec} on a device", path=path or "/")
        return cls(source, dtype, binding, options, chain)

    def run(
        self, plan: ReadPlan, chosen: Selection, shape: tuple[int, ...], out: Any, stream: Any, dtype: Any = None
    ) -> Any:
        """Carry out a plan into `out`, or into a new result of `shape`, of another data type if one is asked for."""
        cast = None if dtype is None else cast_of(self.dtype, dtype)
        wanted = self.dtype if cast is None else cast.wanted
        result = self._empty(shape, wanted) if out is None else out
        view = self._checked(result, shape, wanted)
        # After the result is made: its memory is the current stream's before it is this one's.
        target = self.target(stream, out)
        if cast is None:
            self._into(plan, chosen, view, target)
        elif target is None:
            self._converted(plan, chosen, view)
        else:
            self._into(plan, chosen, view, replace(target, cast=cast))
        return result

    def _converted(self, plan: ReadPlan, chosen: Selection, view: NDArray[Any]) -> None:
        """On the host: read in the array's own type, and convert all of it at once."""
        whole = NumpyMemory().empty(view.shape, self.dtype, "F" if self.options.order == "F" else "C")
        self._into(plan, chosen, self._moved(whole), None)
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(view, whole, casting="unsafe")

    def _into(self, plan: ReadPlan, chosen: Selection, whole: NDArray[Any], target: DeviceTarget | None) -> None:
        flat = chosen.index is None
        if flat and not whole.flags.c_contiguous and whole.size:  # points land in a result that is flat
            self._points(plan, whole, target)
        elif len(plan):
            view = whole.reshape(-1) if flat else whole[(*(slice(None),) * plan.batched, *(chosen.index or ()), ...)]
            self._execute(plan, view, target)

    def fields(self, whole: Any, names: list[str] | str, out: Any, stream: Any) -> Any:
        """Some fields of a result on the device, as an array of their own, or in `out`."""
        memory = self.options.memory
        source = memory.view(whole, self.dtype)[names]
        result = memory.empty(source.shape, source.dtype) if out is None else out
        view = memory.view(result, source.dtype)
        if view.shape != source.shape:
            raise ShapeError(f"out does not fit {names!r}", shape=view.shape, wanted=source.shape)
        target = self.target(stream, out)
        if target is not None:
            move(source, view, target)
        return result

    def rehearse(self, plan: ReadPlan, chosen: Selection) -> list[Rehearsed]:
        """The windows that carrying out a plan into a new result on the device would launch: all but that is done."""
        if self.device is None or self.dtype.hasobject:
            return []
        found: list[Rehearsed] = []
        target = self.target(rehearsal=found)
        whole = _nowhere(chosen.shape, self.binding.raw, self.options.order)
        self._into(plan, chosen, whole, target)
        return found

    def target(
        self, stream: Any = None, out: Any = None, rehearsal: list[Rehearsed] | None = None
    ) -> DeviceTarget | None:
        """Where and how results are made on the device; None where they are on the host."""
        memory, runner = self.options.memory, self.options.runner
        if memory.device is None or self.device is None:
            if stream is not None:
                raise UnsupportedError("stream= is for device memory", feature="stream= on the host")
            return None
        current = memory.current_stream()
        handle = current if stream is None else stream_handle(stream)
        # The result's memory may still be used by what the current stream has to do, or that of whoever made `out`.
        for used in {current, current if out is None else ready_on(out) or current}:
            if used != handle:
                memory.device.stream_waits(handle, memory.device.record(used))
        strict = self.options.strict
        return DeviceTarget(memory.device, handle, self.device, runner.window, runner.decode, strict, rehearsal)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        if self.options.order == "F":
            return self.options.memory.empty(shape, dtype, "F")
        return self.options.memory.empty(shape, dtype)

    def _checked(self, result: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The result as NumPy addresses it, in the type that moves its elements. Raises ShapeError."""
        view = self.options.memory.view(result, dtype)
        if view.shape != shape:
            raise ShapeError(f"out has shape {view.shape}, the selection {shape}", shape=view.shape, wanted=shape)
        if view.dtype != dtype:
            whose = "the array" if dtype == self.dtype else "the result"
            raise ShapeError(f"out is of {view.dtype}, {whose} of {dtype}", shape=view.shape)
        if not view.flags.writeable:
            raise ShapeError("out is read-only", shape=view.shape)
        return self._moved(view) if dtype == self.dtype else view

    def _moved(self, view: NDArray[Any]) -> NDArray[Any]:
        """Elements of the array in the type that moves them."""
        return view.view(self.binding.raw) if view.dtype != self.binding.raw else view

    def _points(self, plan: ReadPlan, whole: NDArray[Any], target: DeviceTarget | None) -> None:
        """Read points into a flat array, and copy it to where they are wanted."""
        if target is None:
            flat = np.empty(whole.size, whole.dtype)
            self._execute(plan, flat, None)
            whole[...] = flat.reshape(whole.shape)
            return
        if target.rehearsal is None:
            made = target.device.scratch(whole.nbytes, target.stream)
            flat = shadow(made.address, (whole.size,), (whole.itemsize,), whole.dtype, made)
        else:
            flat = _nowhere((whole.size,), whole.dtype, "C")
        self._execute(plan, flat, target)
        move(flat.reshape(whole.shape), whole, target)

    def _execute(self, plan: ReadPlan, view: NDArray[Any], target: DeviceTarget | None) -> None:
        runner = self.options.runner
        job = ReadJob(runner.pool, self.source, self.binding.fill, view, runner.native, target)
        read(plan, self.binding.chain, job)


def cast_of(stored: np.dtype[Any], asked: Any) -> Cast | None:
    """How elements become those of the data type that is asked for; None where they are so already.

    Raises UnsupportedError, which names both, for what is no narrower or wider number of the same kind: see
    `numpy.can_cast(..., "same_kind")`.

    >>> cast_of(np.dtype("uint16"), float).wanted
    dtype('float64')
    >>> cast_of(np.dtype("float32"), "int16")
    Traceback (most recent call last):
    gpuzarr.errors.UnsupportedError: float32 can't be read as int16 [feature dtype=]
    """
    name = str(asked).removeprefix("torch.") if type(asked).__module__ == "torch" else asked
    try:
        wanted = from_numpy(name, 3).dtype
    except (MetadataError, UnsupportedError) as error:
        what = f"{stored} can't be read as {asked!r:.100}: {error.reason}"
        raise UnsupportedError(what, feature="dtype=") from error
    if wanted == stored:
        return None
    known = code_of(stored) is not None and code_of(wanted) is not None
    if not known or not np.can_cast(stored, wanted, "same_kind"):
        raise UnsupportedError(f"{stored} can't be read as {wanted}", feature="dtype=")
    return Cast(stored, wanted)


def _nowhere(shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> NDArray[Any]:
    """A result of a shape that has an address, and no memory."""
    stored = shape[::-1] if order == "F" else shape
    steps = tuple(dtype.itemsize * math.prod(stored[k + 1 :]) for k in range(len(stored)))
    whole = shadow(SOMEWHERE, stored, steps, dtype)
    return whole.T if order == "F" else whole
