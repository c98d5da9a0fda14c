"""Metadata bound to a chain, once: what every read and write of an array needs and nothing decides again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain, Kin, bind
from gpuzarr.dtypes import plain
from gpuzarr.edges import is_regular, lengths_within
from gpuzarr.errors import GpuzarrError, MetadataError, UnknownCodecError, UnsupportedError
from gpuzarr.metadata import ArrayMetadata, is_big

__all__ = ["Binding", "bind_array"]

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
    data_type = metadata.data_type
    raw, raw_wire = plain(data_type.dtype), plain(data_type.wire)
    if raw.names is not None and raw == raw_wire and not is_big(metadata.codecs):
        raw = raw_wire = np.dtype(f"V{raw.itemsize}")
    fill = None if data_type.is_object else _element(metadata)

    def bound(shape: tuple[int, ...]) -> Chain:
        return bind(metadata.codecs, shape, raw, raw_wire, data_type, fill, allow_pickle)

    chain = bound(metadata.largest)
    if not is_regular(metadata.chunks):
        chain = replace(chain, kin=Kin(chain, bound))
        _check_shards(chain, metadata)
    return Binding(chain, raw, _fill(metadata, chain, raw))


def _check_shards(chain: Chain, metadata: ArrayMetadata) -> None:
    """Inner chunks divide shards of every shape, of which one is bound so far."""
    if chain.shard is None:
        return
    level = chain.shard.level
    for k, axis in enumerate(level.order):
        for length in lengths_within(metadata.shape[axis], metadata.chunks[axis]):
            if length % level.chunk[k]:
                what = f"inner chunks {level.chunk} do not divide shards of {length} elements along axis {axis}"
                raise MetadataError(what, field="codecs")


def _fill(metadata: ArrayMetadata, chain: Chain, raw: np.dtype[Any]) -> Any:
    """The fill value in the type that moves elements; an object is the only element of an array."""
    fill = metadata.fill_value
    values = chain.leaf.values
    if values is not None:
        whole = np.empty((), raw)
        whole.fill(values.codec.element(fill))  # an array, too, is one element
        return whole
    return _element(metadata).view(raw)[()]


def _element(metadata: ArrayMetadata) -> NDArray[Any]:
    """The fill value as an element of the array's data type."""
    dtype, fill = metadata.data_type.dtype, metadata.fill_value
    return np.zeros((), dtype) if fill is None else np.asarray(fill, dtype)


def _at(error: GpuzarrError, path: str) -> GpuzarrError:
    return type(error)(error.reason, **{**error.where(), "path": path or "/"})
