"""Metadata bound to a chain, once: what every read and write of an array needs and nothing decides again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuzarr.codecs.chain import Chain, bind
from gpuzarr.errors import GpuzarrError, MetadataError, UnknownCodecError, UnsupportedError
from gpuzarr.metadata import ArrayMetadata

__all__ = ["Binding", "bind_array"]

SUBBYTE = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}
"""Types of less than a byte, stored one a byte: their bits."""

KEEP = 256
"""Bindings kept: opening a seen document must cost microseconds, and a binding depends on nothing else."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An array's bound chain, the data type that moves its elements, and the fill value in that type.

    `raw` is the data type itself, or one of the same size that NumPy copies faster or swaps correctly: plain bytes
    for structured types stored as they are in memory, unsigned integers for types NumPy only knows by extension.
    """

    chain: Chain
    raw: np.dtype[Any]
    fill: Any

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of the innermost chunks, in the array's order of axes."""
        shape = self.chain.leaf.shape
        for level in reversed(self.chain.levels):
            back = [0] * len(shape)
            for k, axis in enumerate(level.order):
                back[axis] = shape[k]
            shape = tuple(back)
        return shape


_kept: OrderedDict[tuple[int, bool], tuple[ArrayMetadata, Binding]] = OrderedDict()


def bind_array(metadata: ArrayMetadata, path: str, allow_pickle: bool) -> Binding:
    """Bind an array's codecs. Raises MetadataError, UnknownCodecError or UnsupportedError with the path."""
    name = (id(metadata), allow_pickle)
    found = _kept.get(name)
    if found is not None and found[0] is metadata:
        return found[1]
    try:
        binding = _bind(metadata, allow_pickle)
    except (MetadataError, UnknownCodecError, UnsupportedError) as error:
        raise _at(error, path) from error.__cause__
    _kept[name] = (metadata, binding)
    while len(_kept) > KEEP:
        _kept.popitem(last=False)
    return binding


def _bind(metadata: ArrayMetadata, allow_pickle: bool) -> Binding:
    dtype, wire = metadata.data_type.dtype, metadata.data_type.wire
    raw, raw_wire = dtype, wire
    if dtype.isbuiltin == 2 or dtype.type.__module__.startswith("ml_dtypes"):
        raw = raw_wire = np.dtype(f"u{dtype.itemsize}")
    elif dtype.names is not None and dtype == wire:
        raw = raw_wire = np.dtype(f"V{dtype.itemsize}")
    bits = SUBBYTE.get(metadata.data_type.name, 0)
    chain = bind(metadata.codecs, metadata.chunks, raw, raw_wire, bits, allow_pickle)
    fill = np.zeros((), dtype) if metadata.fill_value is None else np.asarray(metadata.fill_value, dtype)
    return Binding(chain, raw, fill.view(raw)[()])


def _at(error: GpuzarrError, path: str) -> GpuzarrError:
    return type(error)(error.reason, **{**error.where(), "path": path or "/"})
