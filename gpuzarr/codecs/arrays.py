"""Array-to-array codecs bound one after another: an order of axes, and stages for what a layout can't have.

A transpose, and a reshape of whole axes, only rename elements: they change the order that the layout has. So they do
after codecs that look at each element by itself, because these do the same in any order. After a codec that depends on
the order, and after a reshape that cuts axes, a transpose is a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuzarr.codecs.base import Elements, Stage
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.codecs.registry import Codec
from gpuzarr.codecs.rounding import BitroundCodec
from gpuzarr.codecs.structure import ReshapeCodec, SqueezeCodec, TransposeCodec, TurnStage
from gpuzarr.codecs.values import CastValueCodec, ScaleOffsetCodec
from gpuzarr.errors import MetadataError, UnsupportedError

__all__ = ["Arithmetic", "Before", "Filter", "before", "is_filter"]

Arithmetic = CastValueCodec | ScaleOffsetCodec
Filter = ForeignCodec | BitroundCodec | Arithmetic
"""An array-to-array codec that is a stage."""

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Before:
    """What codecs before the array-to-bytes one amount to.

    `order` is the order of the axes of a chunk of `shape` in which its elements are stored, or go to the first of
    `stages`; `groups` are the axes along each axis of the `elements` that come out (None: axes are cut). `fill` is the
    chunk's own fill value. `apart` tells that all stages look at each element by itself; then `filters` are their
    codecs.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    groups: Groups | None
    elements: Elements
    fill: Any = None
    stages: tuple[Stage, ...] = ()
    filters: tuple[Filter, ...] = ()
    apart: bool = True

    @property
    def whole_axes(self) -> bool:
        """Whether the elements have the chunk's axes, at most in another order."""
        return self.groups is not None and all(len(group) == 1 for group in self.groups)


def is_filter(codec: Any) -> bool:
    """Whether a codec is an array-to-array one and a stage."""
    known: bool = isinstance(codec, Filter) and getattr(codec, "is_filter", True)
    return known


def before(codecs: Sequence[Codec], elements: Elements) -> Before:
    """Bind array-to-array codecs to a chunk's elements. Raises MetadataError and UnsupportedError."""
    axes = tuple(range(len(elements.shape)))
    found = Before(elements.shape, axes, tuple((k,) for k in axes), elements, elements.fill)
    for codec in codecs:
        if isinstance(codec, TransposeCodec):
            found = _turn(found, codec)
        elif isinstance(codec, ReshapeCodec | SqueezeCodec):
            found = _reshape(found, codec)
        elif is_filter(codec):
            found = _filter(found, codec)  # type: ignore[arg-type]  # is_filter says what it is
        else:
            name = str(getattr(codec, "name", type(codec).__name__))
            raise MetadataError(f"{name}: a bytes-to-bytes codec before the array-to-bytes one", field="codecs")
    return found


def _turn(found: Before, codec: TransposeCodec) -> Before:
    shape = found.elements.shape
    order = codec.axes(len(shape))
    if order == tuple(range(len(shape))):
        return found
    elements = replace(found.elements, shape=tuple(shape[k] for k in order))
    if found.groups is not None and found.apart:
        groups = tuple(found.groups[k] for k in order)
        return replace(found, order=sum(groups, ()), groups=groups, elements=elements)
    if elements.data_type.is_object:
        why = "transpose after a reshape that cuts axes, of elements of no fixed size"
        raise UnsupportedError(why, feature="transpose after reshape")
    stage = TurnStage(shape, order, elements.dtype.itemsize)
    return replace(found, groups=None, elements=elements, stages=(*found.stages, stage), apart=False)


def _reshape(found: Before, codec: ReshapeCodec | SqueezeCodec) -> Before:
    sizes = codec.sizes(found.elements.shape)
    if sizes == found.elements.shape:
        return found
    groups = _groups(found.order, found.shape, sizes) if found.apart else None
    return replace(found, groups=groups, elements=replace(found.elements, shape=sizes))


def _groups(order: tuple[int, ...], shape: tuple[int, ...], sizes: tuple[int, ...]) -> Groups | None:
    """The axes, in an order, whose product each of some sizes is; None where that cuts axes.

    >>> _groups((2, 0, 1), (4, 1, 3), (3, 4)), _groups((0, 1), (4, 6), (8, 3))
    (((2,), (0, 1)), None)
    """
    groups, at = [], 0
    for size in sizes:
        start, product = at, 1
        while product < size and at < len(order):
            product *= shape[order[at]]
            at += 1
        if product != size:
            return None
        groups.append(order[start:at])
    # What is left has one element: it goes with the last axis, if there is one.
    return (*groups[:-1], groups[-1] + order[at:]) if groups else None


def _filter(found: Before, codec: Filter) -> Before:
    elements = found.elements
    if elements.data_type.is_object:
        raise MetadataError(f"{codec.name}: elements of {elements.dtype} are no numbers", field="codecs")
    made = codec.made(elements)
    return replace(
        found,
        elements=made,
        stages=(*found.stages, codec.bind(elements) if isinstance(codec, Arithmetic) else codec.bind(elements.wire)),
        filters=(*found.filters, codec),
        apart=found.apart and not codec.is_ordered,
    )
