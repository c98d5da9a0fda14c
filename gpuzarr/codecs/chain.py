"""Binding: a document's list of codecs becomes a chain that knows every size and makes no more choices.

In encoding order a chain is array-to-array codecs, exactly one array-to-bytes codec, then bytes-to-bytes codecs
(Zarr 3.1 core, section "Codecs"). Bound, that is an order of axes, a layout or a shard, and stages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Layout
from gpuzarr.codecs.base import Buffer, NativeOp, Stage, Wire, bad_size
from gpuzarr.codecs.foreign import OPTIONAL, ForeignCodec
from gpuzarr.codecs.objects import MAX_BYTES, ObjectCodec
from gpuzarr.codecs.registry import Codec, make
from gpuzarr.codecs.rounding import BitroundCodec
from gpuzarr.codecs.structure import BytesCodec, ShardingCodec, SwapStage, TransposeCodec
from gpuzarr.dtypes import BITS
from gpuzarr.errors import CodecError, GpuzarrError, MetadataError, UnsupportedError
from gpuzarr.metadata import CodecConfig
from gpuzarr.shard import ShardLevel, entries

__all__ = ["Chain", "Shard", "bind", "decode_index", "encode_index"]

SLACK = 1 << 16
"""Bytes that an encoded stage may be larger than twice what it encodes: headers, framing, incompressible blocks."""

FLOOR = 64 << 20
"""Stored bytes that are believed of the smallest chunk, as the compiled module believes them."""

MAX_CODECS = 64
"""Codecs of a chain."""

MAX_INDEX = 1 << 30
"""Bytes of a shard's index: it is read whole, whichever chunks are wanted."""

INDEX_DTYPE = np.dtype(np.uint64)

Filter = ForeignCodec | BitroundCodec
"""An array-to-array codec that is a stage."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The shards of one level: how they are cut, how their index is stored, and what their chunks are."""

    level: ShardLevel
    index: Chain
    inner: Chain


@dataclass(frozen=True, slots=True)
class Values:
    """A codec that makes elements of no fixed size of a chunk's bytes, and the order of axes that they lie in."""

    codec: ObjectCodec
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A bound chain for chunks of `shape` (in the array's order of axes).

    `stages` are in encoding order; stage i encodes `sizes[i]` bytes (None: it varies, at most `limits[i]`). A chain
    of chunks has a `layout`, a chain of shards has a `shard`. `bits` is set for types of less than a byte, stored
    one a byte: a reader ignores the upper bits. `known` is the last size on the way that is known, or for shards the
    sum of their chunks'; `largest` are the most stored bytes that are believed. `values` is set where elements have no
    fixed size: `layout` then says what they are in memory, and stages work on what is made of them.
    """

    shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    sizes: tuple[int | None, ...]
    limits: tuple[int, ...]
    layout: Layout | None
    shard: Shard | None
    bits: int
    known: int
    largest: int
    values: Values | None = None

    @property
    def leaf(self) -> Chain:
        """The chain of the innermost chunks."""
        chain = self
        while chain.shard is not None:
            chain = chain.shard.inner
        return chain

    @property
    def levels(self) -> tuple[ShardLevel, ...]:
        """The levels of shards, outermost first."""
        levels, chain = [], self
        while chain.shard is not None:
            levels.append(chain.shard.level)
            chain = chain.shard.inner
        return tuple(levels)

    @property
    def elements(self) -> Layout:
        """The layout of a chunk's elements."""
        layout = self.leaf.layout
        if layout is None:
            raise MetadataError("a chain without an array-to-bytes codec", field="codecs")
        return layout

    @property
    def encoded_size(self) -> int | None:
        """Bytes of an encoded chunk where that is fixed."""
        size = self.decoded_size
        for stage in self.stages:
            size = None if size is None else stage.encoded_size(size)
        return size

    @property
    def decoded_size(self) -> int | None:
        """Bytes that a chunk's stages decode to where that is fixed."""
        return None if self.layout is None or self.values is not None else self.layout.nbytes

    def native(self) -> tuple[NativeOp, ...] | None:
        """The stages as operations of the compiled host module, in encoding order, if all of it is there."""
        ops = tuple(stage.native for stage in self.stages)
        if self.layout is None or self.values or self.layout.swap < 0 or self.bits or None in ops:
            return None
        return tuple(op for op in ops if op is not None)

    def decode(self, data: Buffer, into: memoryview | None = None) -> Buffer:
        """A chunk's stored bytes, or a shard's, as its decoded bytes.

        `into`, if given, has exactly the decoded size and takes them. Raises CodecError.
        """
        last = 0
        for k in range(len(self.stages) - 1, -1, -1):
            with _mapped(self.stages[k].name, "decode"):
                data = self.stages[k].decode(data, self.sizes[k], self.limits[k], into if k == last else None)
        size = self.decoded_size
        if size is not None and memoryview(data).nbytes != size:
            raise bad_size("bytes", memoryview(data).nbytes, size)
        if into is not None and not self.stages:
            into[:] = memoryview(data).cast("B")
            data = into
        return _clear_upper_bits(data, self.bits) if self.bits else data

    def chunk(self, data: Buffer) -> NDArray[Any]:
        """A chunk's decoded bytes as its elements: a view of them, or what they describe. Raises CodecError."""
        layout, values = self.elements, self.values
        if values is None:
            return layout.view(data)
        with _mapped(values.codec.name, "decode"):
            flat = values.codec.decode(data, layout.dtype, math.prod(layout.shape))
            return flat.reshape([layout.shape[k] for k in values.order]).transpose(np.argsort(values.order))

    def flat(self, chunk: NDArray[Any]) -> Buffer:
        """The reverse of `chunk`, for elements of no fixed size. Raises CodecError."""
        if self.values is None:
            return chunk.data.cast("B")
        order, codec = self.values.order, self.values.codec
        # Codecs of documents write down the shape, by which other readers know the order too: of one axis is none.
        turned = chunk if order == tuple(range(chunk.ndim)) and chunk.ndim else chunk.transpose(order).reshape(-1)
        with _mapped(codec.name, "encode"):
            return codec.encode(turned)

    def encode(self, data: Buffer) -> Buffer:
        """A chunk's decoded bytes, or an assembled shard's, as its stored bytes. Raises CodecError."""
        for stage in self.stages:
            with _mapped(stage.name, "encode"):
                data = stage.encode(data)
        return data


def bind(
    configs: Sequence[CodecConfig],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    wire: np.dtype[Any],
    name: str = "",
    allow_pickle: bool = False,
) -> Chain:
    """Bind codecs to chunks of `shape`; `dtype` is what moves elements in memory, `wire` the same as stored.

    `name` is the data type's, which `dtype` does not always say.
    Raises MetadataError where they do not make a chain, UnknownCodecError and UnsupportedError by name.
    """
    if len(configs) > MAX_CODECS:
        raise MetadataError(f"a chain of {len(configs)} codecs, more than {MAX_CODECS}", field="codecs")
    codecs = [make(config, allow_pickle) for config in configs]
    kinds = (ObjectCodec, ShardingCodec) if dtype.hasobject else (BytesCodec, ShardingCodec)
    middle = [k for k, codec in enumerate(codecs) if isinstance(codec, kinds)]
    if len(middle) != 1:
        _refuse(codecs, len(middle), dtype.hasobject)
    order, filters = _before(codecs[: middle[0]], len(shape))
    serializer, rest = codecs[middle[0]], codecs[middle[0] + 1 :]
    if isinstance(serializer, ShardingCodec):
        if filters:
            raise UnsupportedError(f"{filters[0].name} before sharding", feature="filters before sharding")
        shard = _bind_shard(serializer, shape, order, dtype, wire, name, bool(rest), allow_pickle)
        known, index = shard.level.slots * shard.inner.known, shard.level.index_size
        stages, sizes, limits, _ = _stages(rest, wire, None, 2 * known + SLACK + index)
        return Chain(shape, stages, sizes, limits, None, shard, 0, known, _largest(known) + index)
    if isinstance(serializer, ObjectCodec):
        return _bind_objects(serializer, filters, rest, shape, order, dtype)
    stored, first = _byte_order(serializer, wire, filters)
    layout = Layout.of(shape, order, stored, dtype)
    stages, sizes, limits, known = _stages([*first, *rest], stored, layout.nbytes, layout.nbytes, name)
    return Chain(shape, stages, sizes, limits, layout, None, BITS.get(name, 0), known, _largest(known))


def _bind_objects(
    codec: ObjectCodec,
    filters: Sequence[Filter],
    rest: Sequence[Codec],
    shape: tuple[int, ...],
    order: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Chain:
    """A chain of elements of no fixed size."""
    if filters:
        raise MetadataError(f"{filters[0].name}: elements of {dtype} are no numbers", field="codecs")
    codec.check(dtype)
    size = codec.encoded_size(math.prod(shape))
    stages, sizes, limits, known = _stages(rest, codec.made, size, MAX_BYTES if size is None else size)
    layout = Layout.of(shape, tuple(range(len(shape))), dtype, dtype)
    return Chain(shape, stages, sizes, limits, layout, None, 0, known, _largest(known), Values(codec, order))


def _largest(known: int) -> int:
    """The most stored bytes that are believed: what an encoder makes of `known` bytes is far less."""
    return max(FLOOR, 8 * known)


def _refuse(codecs: Sequence[Any], found: int, hasobject: bool) -> NoReturn:
    """The error for a chain without the one array-to-bytes codec that it needs."""
    for codec in codecs:
        if isinstance(codec, ForeignCodec) and codec.name in OPTIONAL:
            reason = f"{codec.name!r} as an array-to-bytes codec is not supported yet"
            raise UnsupportedError(reason, feature=f"codec numcodecs.{codec.name}")
    of = " for elements of no fixed size" if hasobject else ""
    raise MetadataError(f"{found} array-to-bytes codecs{of} in a chain instead of one", field="codecs")


def _before(codecs: Sequence[Codec], ndim: int) -> tuple[tuple[int, ...], list[Filter]]:
    """The order of axes and the filters that array-to-array codecs amount to."""
    order = tuple(range(ndim))
    filters: list[Filter] = []
    for codec in codecs:
        if isinstance(codec, Filter) and codec.is_filter:
            filters.append(codec)
        elif not isinstance(codec, TransposeCodec):
            reason = f"{_name(codec)}: a bytes-to-bytes codec before the array-to-bytes one"
            raise MetadataError(reason, field="codecs")
        elif any(f.is_ordered for f in filters):
            raise UnsupportedError("transpose after delta or packbits", feature="transpose after a filter")
        else:
            order = tuple(order[k] for k in codec.axes(ndim))
    return order, filters


def _byte_order(
    codec: Codec, wire: np.dtype[Any], filters: list[Filter]
) -> tuple[np.dtype[Any], list[Filter | SwapStage]]:
    """The type of elements in a decoded chunk, and stages for filters and the byte order of what they make."""
    endian = codec.endian if isinstance(codec, BytesCodec) else None
    wanted: Literal["<", ">"] | None = None if endian is None else "<" if endian == "little" else ">"
    if not filters:
        return wire if wanted is None else wire.newbyteorder(wanted), []
    element = native = wire.newbyteorder("=")
    for found in filters:
        element = found.stored(element)
    swapped = wanted is not None and element != element.newbyteorder(wanted)
    return native, [*filters, SwapStage(element)] if swapped else [*filters]


def _stages(
    codecs: Sequence[Any], element: np.dtype[Any], size: int | None, most: int, name: str = ""
) -> tuple[tuple[Stage, ...], tuple[int | None, ...], tuple[int, ...], int]:
    """Stages, sizes, limits and `known` (see `Chain`) for `size` bytes of elements; None: it varies up to `most`.

    `name` is that of the elements' data type.
    """
    stages: list[Stage] = []
    sizes: list[int | None] = []
    limits: list[int] = []
    known = most
    for codec in codecs:
        if isinstance(codec, (TransposeCodec, BytesCodec, ShardingCodec)):
            raise MetadataError(f"{codec.name}: an array codec after the array-to-bytes one", field="codecs")
        stages.append(codec if isinstance(codec, SwapStage) else codec.bind(Wire(element, most, name)))
        sizes.append(size)
        limits.append(most)
        size = None if size is None else stages[-1].encoded_size(size)
        # However many codecs of unknown size follow one another: a limit that doubled with each would be none.
        known = known if size is None else size
        most = 2 * known + SLACK if size is None else size
        element, name = _made(codec, element), ""
    return tuple(stages), tuple(sizes), tuple(limits), known


def _made(codec: Any, element: np.dtype[Any]) -> np.dtype[Any]:
    """The type of what a codec makes of elements."""
    if isinstance(codec, Filter):
        return codec.stored(element)
    return codec.made if isinstance(codec, ObjectCodec) else np.dtype(np.uint8)


def _bind_shard(
    codec: ShardingCodec,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    dtype: np.dtype[Any],
    wire: np.dtype[Any],
    name: str,
    whole: bool,
    allow_pickle: bool,
) -> Shard:
    stored = tuple(shape[k] for k in order)
    inner = codec.chunk_shape
    if len(inner) != len(stored) or any(n % c for n, c in zip(stored, inner, strict=True)):
        raise MetadataError(f"inner chunks {inner} do not divide the shard {stored}", field="codecs")
    grid = tuple(n // c for n, c in zip(stored, inner, strict=True))
    index = bind(codec.index_codecs, (*grid, 2), INDEX_DTYPE, INDEX_DTYPE.newbyteorder("<"))
    size = index.encoded_size
    if size is None or index.shard is not None:
        raise MetadataError("sharding_indexed: index_codecs must give a fixed size", field="codecs")
    if size > MAX_INDEX:
        raise MetadataError(f"sharding_indexed: an index of {size} bytes, more than {MAX_INDEX}", field="codecs")
    level = ShardLevel(stored, order, inner, size, codec.index_location == "start", whole)
    return Shard(level, index, bind(codec.codecs, inner, dtype, wire, name, allow_pickle))


def decode_index(shard: Shard, data: Buffer, limit: int) -> NDArray[np.int64]:
    """A shard's stored index as `shard.entries` has it, for a shard of at most `limit` bytes. Raises CodecError."""
    found = memoryview(data).nbytes
    if found != shard.level.index_size:
        raise CodecError(
            f"the shard is too short for its index: {found} bytes of {shard.level.index_size}",
            codec="sharding_indexed",
            direction="decode",
        )
    layout = shard.index.elements
    index = layout.view(shard.index.decode(data)).astype(np.uint64)
    return entries(index.reshape(shard.level.slots, 2), limit)


def encode_index(shard: Shard, index: NDArray[np.uint64]) -> Buffer:
    """The reverse of `decode_index`."""
    layout = shard.index.elements
    raw = np.empty(layout.nbytes, np.uint8)
    layout.view(raw)[...] = index.reshape(layout.shape)
    return shard.index.encode(raw.data)


@contextmanager
def _mapped(codec: str, direction: str) -> Iterator[None]:
    """The border to codec libraries: whatever they raise becomes a CodecError."""
    try:
        yield
    except GpuzarrError:
        raise
    except Exception as error:  # libraries raise anything from RuntimeError to struct.error on bad bytes
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise CodecError(reason, codec=codec, direction=direction) from error


def _clear_upper_bits(data: Buffer, bits: int) -> Buffer:
    # zeros for signed types too: so ml_dtypes has them in memory
    values = np.frombuffer(data, np.uint8) & np.uint8((1 << bits) - 1)
    view = memoryview(data).cast("B")
    if view.readonly:
        return values.data
    np.frombuffer(view, np.uint8)[:] = values
    return view


def _name(codec: Any) -> str:
    return str(getattr(codec, "name", type(codec).__name__))
