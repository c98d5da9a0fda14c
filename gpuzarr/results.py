"""Results: a plan's memory is made or checked, and the plan carried out into it, on the host or on a device.

A result on a device is computed with as a NumPy array over its address: views of it are made, its elements are
never touched here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.binding import Binding
from gpuzarr.codecs.device import DeviceChain, bind_device
from gpuzarr.cuda.device import stream_handle
from gpuzarr.errors import ShapeError, UnsupportedError
from gpuzarr.execute.read import read
from gpuzarr.execute.source import Source
from gpuzarr.execute.windows import DeviceTarget, Rehearsed, move
from gpuzarr.execute.work import ReadJob
from gpuzarr.memory.cuda import shadow
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
        chain = None if device is None else bind_device(binding.chain.leaf, device.offer)
        if options.strict and chain is not None and chain.why is not None:
            what = f"strict: {chain.codec} would be decoded on the host: {chain.why}"
            raise UnsupportedError(what, feature=f"{chain.codec} on a device", path=path or "/")
        return cls(source, dtype, binding, options, chain)

    def run(self, plan: ReadPlan, chosen: Selection, shape: tuple[int, ...], out: Any, stream: Any) -> Any:
        """Carry out a plan into `out`, or into a new result of `shape`."""
        result = self._empty(shape) if out is None else out
        target = self.target(stream)  # after the result: its memory is the current stream's before it is this one's
        self._into(plan, chosen, self._checked(result, shape), target)
        return result

    def _into(self, plan: ReadPlan, chosen: Selection, whole: NDArray[Any], target: DeviceTarget | None) -> None:
        flat = chosen.index is None
        if flat and not whole.flags.c_contiguous and whole.size:  # points land in a result that is flat
            self._points(plan, whole, target)
        elif len(plan):
            view = whole.reshape(-1) if flat else whole[(*(slice(None),) * plan.batched, *(chosen.index or ()), ...)]
            self._execute(plan, view, target)

    def field(self, whole: Any, name: str, out: Any) -> Any:
        """One field of a result on the device, as an array of its own, or in `out`."""
        memory, target = self.options.memory, self.target()
        source = memory.view(whole, self.dtype)[name]
        result = memory.empty(source.shape, source.dtype) if out is None else out
        view = memory.view(result, source.dtype)
        if view.shape != source.shape:
            raise ShapeError(f"out does not fit field {name!r}", shape=view.shape, wanted=source.shape)
        if target is not None:
            move(source, view, target)
        return result

    def rehearse(self, plan: ReadPlan, chosen: Selection) -> list[Rehearsed]:
        """The windows that carrying out a plan into a new result on the device would launch: all but that is done."""
        if self.device is None:
            return []
        found: list[Rehearsed] = []
        target = self.target(rehearsal=found)
        whole = _nowhere(chosen.shape, self.binding.raw, self.options.order)
        self._into(plan, chosen, whole, target)
        return found

    def target(self, stream: Any = None, rehearsal: list[Rehearsed] | None = None) -> DeviceTarget | None:
        """Where and how results are made on the device; None where they are on the host."""
        memory, runner = self.options.memory, self.options.runner
        if memory.device is None or self.device is None:
            if stream is not None:
                raise UnsupportedError("stream= is for device memory", feature="stream= on the host")
            return None
        current = memory.current_stream()
        handle = current if stream is None else stream_handle(stream)
        if handle != current:  # the result's memory may still be used by what the current stream has to do
            memory.device.stream_waits(handle, memory.device.record(current))
        strict = self.options.strict
        return DeviceTarget(memory.device, handle, self.device, runner.window, runner.decode, strict, rehearsal)

    def _empty(self, shape: tuple[int, ...]) -> Any:
        if self.options.order == "F":
            return self.options.memory.empty(shape, self.dtype, "F")
        return self.options.memory.empty(shape, self.dtype)

    def _checked(self, result: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """The result as NumPy addresses it, in the type that moves its elements. Raises ShapeError."""
        view = self.options.memory.view(result, self.dtype)
        if view.shape != shape:
            raise ShapeError(f"out has shape {view.shape}, the selection {shape}", shape=view.shape, wanted=shape)
        if view.dtype != self.dtype:
            raise ShapeError(f"out is of {view.dtype}, the array of {self.dtype}", shape=view.shape)
        if not view.flags.writeable:
            raise ShapeError("out is read-only", shape=view.shape)
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


def _nowhere(shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> NDArray[Any]:
    """A result of a shape that has an address, and no memory."""
    stored = shape[::-1] if order == "F" else shape
    steps = tuple(dtype.itemsize * math.prod(stored[k + 1 :]) for k in range(len(stored)))
    whole = shadow(SOMEWHERE, stored, steps, dtype)
    return whole.T if order == "F" else whole
