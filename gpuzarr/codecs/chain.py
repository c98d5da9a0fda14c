"""Binding: a document's list of codecs becomes a chain that knows every size and makes no more choices.

In encoding order a chain is array-to-array codecs, exactly one array-to-bytes codec, then bytes-to-bytes codecs
(Zarr 3.1 core, section "Codecs"). Bound, that is an order of axes, a layout or a shard, and stages.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Layout
from gpuzarr.codecs.arrays import Arithmetic, Before, before
from gpuzarr.codecs.base import Buffer, Elements, NativeOp, Stage, Wire, bad_size
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.codecs.n5 import N5Codec
from gpuzarr.codecs.objects import MAX_BYTES, ObjectCodec
from gpuzarr.codecs.packages import PackageCodec
from gpuzarr.codecs.packbits import PackBitsCodec
from gpuzarr.codecs.registry import Codec, make
from gpuzarr.codecs.rounding import BitroundCodec
from gpuzarr.codecs.shards import Shard, WholeShardStage
from gpuzarr.codecs.structure import BytesCodec, ReshapeCodec, ShardingCodec, SqueezeCodec, SwapStage, TransposeCodec
from gpuzarr.codecs.zfp import ZfpCodec
from gpuzarr.dtypes import BITS, DataType, from_v3
from gpuzarr.errors import CodecError, GpuzarrError, MetadataError, UnsupportedError
from gpuzarr.metadata import CodecConfig
from gpuzarr.shard import ShardLevel

__all__ = ["Chain", "Kin", "bind"]

SLACK = 1 << 16
"""Bytes that an encoded stage may be larger than twice what it encodes: headers, framing, incompressible blocks."""

FLOOR = 64 << 20
"""Stored bytes that are believed of the smallest chunk, as the compiled module believes them."""

KEEP = 4096
"""Chains kept of an array whose chunks differ in shape."""

MAX_CODECS = 64
"""Codecs of a chain."""

MAX_INDEX = 1 << 30
"""Bytes of a shard's index: it is read whole, whichever chunks are wanted."""

ArrayBytes = PackBitsCodec | ZfpCodec
"""An array-to-bytes codec that is a stage."""

ARRAYS = TransposeCodec | ReshapeCodec | SqueezeCodec | Arithmetic | BytesCodec | ArrayBytes | ShardingCodec
"""Codecs that arrays go into, whatever they make of them."""

BYTES = Wire(np.dtype(np.uint8), 0)
"""What a codec from arrays to bytes makes, of whatever size."""

INDEX_TYPE = from_v3("uint64", None)


@dataclass(frozen=True, slots=True)
class Values:
    """A codec that makes elements of no fixed size of a chunk's bytes, and the order of axes that they lie in."""

    codec: ObjectCodec
    order: tuple[int, ...]


class Kin:
    """One list of codecs bound to chunks of any shape: once a shape, when the first chunk of it is met.

    What was decided for `model`, the chain of the largest, has to hold for all of them.
    """

    def __init__(self, model: Chain, bound: Callable[[tuple[int, ...]], Chain]) -> None:
        self._model, self._bound = model, bound
        self._chains: OrderedDict[tuple[int, ...], Chain] = OrderedDict()

    def chain(self, shape: tuple[int, ...]) -> Chain:
        """The chain of chunks of a shape. Raises MetadataError, and UnsupportedError where it is of another make."""
        found = self._chains.get(shape)
        if found is None:
            found = self._chains[shape] = self._alike(self._bound(shape))
            while len(self._chains) > KEEP:
                self._chains.popitem(last=False)
        return found

    def _alike(self, chain: Chain) -> Chain:
        makes = [
            ([stage.name for stage in one.stages], [(level.order, level.chunk) for level in one.levels])
            for one in (self._model, chain)
        ]
        if makes[0] != makes[1]:
            what = f"codecs do otherwise with chunks of {chain.shape} than with those of {self._model.shape}"
            raise UnsupportedError(what, feature="codecs that a rectilinear chunk grid changes")
        return chain


@dataclass(frozen=True, slots=True)
class Chain:
    """A bound chain for chunks of `shape` (in the array's order of axes).

    `stages` are in encoding order; stage i encodes `sizes[i]` bytes (None: it varies, at most `limits[i]`). A chain
    of chunks has a `layout`, a chain of shards has a `shard`. `mask` is the bits of an element that a reader looks at,
    where these are not all: types of less than a byte are stored one a byte. `known` is the last size on the way that
    is known, or for shards the sum of their chunks'; `largest` are the most stored bytes that are believed. `values` is
    set where elements have no fixed size: `layout` then says what they are in memory, and stages work on what is made
    of them. `kin` is set where an array has chunks of other shapes too.
    """

    shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    sizes: tuple[int | None, ...]
    limits: tuple[int, ...]
    layout: Layout | None
    shard: Shard | None
    mask: bytes
    known: int
    largest: int
    values: Values | None = None
    kin: Kin | None = field(default=None, compare=False, repr=False)

    def of(self, shape: tuple[int, ...] | None) -> Chain:
        """The chain of the array's chunks of another shape (None: of this one)."""
        return self if shape is None or shape == self.shape or self.kin is None else self.kin.chain(shape)

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
        if self.layout is None or self.values or self.layout.swap < 0 or self.mask or None in ops:
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
        return _masked(data, self.mask) if self.mask else data

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
    data_type: DataType,
    fill: Any = None,
    allow_pickle: bool = False,
) -> Chain:
    """Bind codecs to chunks of `shape`; `dtype` is what moves elements in memory, `wire` the same as stored.

    `data_type` is what the document calls them, `fill` a scalar of its type.
    Raises MetadataError where they do not make a chain, UnknownCodecError and UnsupportedError by name.
    """
    if len(configs) > MAX_CODECS:
        raise MetadataError(f"a chain of {len(configs)} codecs, more than {MAX_CODECS}", field="codecs")
    codecs = [part for config in configs for part in _parts(make(config, allow_pickle))]
    middle = _middle(codecs, dtype.hasobject)
    found = before(codecs[:middle], Elements(shape, data_type, fill))
    serializer, rest = codecs[middle], codecs[middle + 1 :]
    if isinstance(serializer, ObjectCodec):
        return _bind_objects(serializer, rest, found, dtype)
    if isinstance(serializer, ShardingCodec):
        if _in_chunks(found):
            return _bind_shards(serializer, rest, found, (dtype, wire, data_type, fill, allow_pickle))
        stored, last, made = wire.newbyteorder("="), [_whole_shards(serializer, found, allow_pickle)], BYTES
    elif isinstance(serializer, ArrayBytes):
        stored, last, made = wire.newbyteorder("="), [serializer.bind(found.elements)], BYTES
    elif isinstance(serializer, PackageCodec):
        stored, last, made = wire.newbyteorder("="), [serializer.bind(found.elements.wire)], BYTES
    else:
        stored, last = _byte_order(serializer, wire, found)
        made = replace(found.elements.wire, dtype=found.elements.dtype if found.stages else stored)
    layout = Layout.of(shape, found.order, stored, dtype)
    stages, sizes, limits, known = _stages((*found.stages, *last), rest, made, layout.nbytes, layout.nbytes)
    return Chain(shape, stages, sizes, limits, layout, None, _mask(data_type), known, _largest(known))


def _parts(codec: Codec) -> Sequence[Codec]:
    """The codecs that a codec stands for."""
    return codec.parts(make) if isinstance(codec, N5Codec) else (codec,)


def _middle(codecs: Sequence[Codec], objects: bool) -> int:
    """Which codec is the one from arrays to bytes. Raises MetadataError where there is no such one."""
    kinds = ObjectCodec | ShardingCodec if objects else BytesCodec | ArrayBytes | ShardingCodec
    found = [k for k, codec in enumerate(codecs) if isinstance(codec, kinds)]
    # Those of numcodecs take bytes too, as compressors of format 2.
    found = found or [k for k, codec in enumerate(codecs) if isinstance(codec, PackageCodec) and not objects]
    if len(found) == 1:
        return found[0]
    of = " for elements of no fixed size" if objects else ""
    raise MetadataError(f"{len(found)} array-to-bytes codecs{of} in a chain instead of one", field="codecs")


def _bind_objects(codec: ObjectCodec, rest: Sequence[Codec], found: Before, dtype: np.dtype[Any]) -> Chain:
    """A chain of elements of no fixed size."""
    codec.check(dtype)
    size = codec.encoded_size(found.elements.count)
    most = MAX_BYTES if size is None else size
    stages, sizes, limits, known = _stages((), rest, Wire(codec.made, most), size, most)
    layout = Layout.of(found.shape, tuple(range(len(found.shape))), dtype, dtype)
    values = Values(codec, found.order)
    return Chain(found.shape, stages, sizes, limits, layout, None, b"", known, _largest(known), values)


def _largest(known: int) -> int:
    """The most stored bytes that are believed: what an encoder makes of `known` bytes is far less."""
    return max(FLOOR, 8 * known)


def _byte_order(codec: Codec, wire: np.dtype[Any], found: Before) -> tuple[np.dtype[Any], list[Stage]]:
    """The type of elements in a decoded chunk, and a stage for the byte order of what filters make of them."""
    endian = codec.endian if isinstance(codec, BytesCodec) else None
    wanted: Literal["<", ">"] | None = None if endian is None else "<" if endian == "little" else ">"
    if not found.stages:
        return wire if wanted is None else wire.newbyteorder(wanted), []
    element = found.elements.dtype
    swapped = wanted is not None and element != element.newbyteorder(wanted)
    return wire.newbyteorder("="), [SwapStage(element)] if swapped else []


def _stages(
    bound: Sequence[Stage], codecs: Sequence[Any], wire: Wire, size: int | None, most: int
) -> tuple[tuple[Stage, ...], tuple[int | None, ...], tuple[int, ...], int]:
    """Stages, sizes, limits and `known` (see `Chain`) for `size` bytes of elements; None: it varies up to `most`.

    `bound` are those of array codecs, `wire` is what they make, for the first of the others.
    """
    stages: list[Stage] = []
    sizes: list[int | None] = []
    limits: list[int] = []
    known = most
    for codec in (*bound, *codecs):
        if len(stages) < len(bound):
            stage = codec
        elif isinstance(codec, ARRAYS):
            raise MetadataError(f"{codec.name}: an array codec after the array-to-bytes one", field="codecs")
        else:
            stage = codec.bind(replace(wire, nbytes=most))
            wire = Wire(_made(codec, wire.dtype), most)
        stages.append(stage)
        sizes.append(size)
        limits.append(most)
        size = None if size is None else stage.encoded_size(size)
        # However many codecs of unknown size follow one another: a limit that doubled with each would be none.
        known = known if size is None else size
        most = 2 * known + SLACK if size is None else size
    return tuple(stages), tuple(sizes), tuple(limits), known


def _made(codec: Any, element: np.dtype[Any]) -> np.dtype[Any]:
    """The type of what a codec of bytes makes of elements."""
    if isinstance(codec, ForeignCodec | BitroundCodec):
        return codec.stored(element)
    return codec.made if isinstance(codec, ObjectCodec) else np.dtype(np.uint8)


# ---- shards ----------------------------------------------------------------------------------------------------------

Kind = tuple[np.dtype[Any], np.dtype[Any], DataType, Any, bool]
"""The arguments of `bind` after the shape."""


def _in_chunks(found: Before) -> bool:
    """Whether the chunks of a shard can be read one by one, the codecs before it being theirs as well.

    A chunk that is not stored has the fill value of what these codecs make: that has to come back as the array's.
    """
    if not found.whole_axes or not found.apart:
        return False
    fill = found.elements.fill
    if not found.stages or fill is None:
        return not found.stages
    data: Buffer = np.asarray(fill, found.elements.data_type.dtype).tobytes()
    try:
        for stage in reversed(found.stages):
            with _mapped(stage.name, "decode"):
                data = stage.decode(data, None, MAX_BYTES)
    except CodecError:
        return False
    return bytes(data) == np.asarray(found.fill).tobytes()


def _bind_shards(codec: ShardingCodec, rest: Sequence[Codec], found: Before, kind: Kind) -> Chain:
    """A chain of shards, of which the plan knows the chunks."""
    filters = tuple(codec.to_config() for codec in found.filters)
    shard = _bind_shard(codec, found.elements.shape, found.order, (*filters, *codec.codecs), kind, bool(rest))
    known, index = shard.level.slots * shard.inner.known, shard.level.index_size
    stages, sizes, limits, _ = _stages((), rest, BYTES, None, 2 * known + SLACK + index)
    return Chain(found.shape, stages, sizes, limits, None, shard, b"", known, _largest(known) + index)


def _whole_shards(codec: ShardingCodec, found: Before, allow_pickle: bool) -> Stage:
    """Shards that are decoded whole, because codecs before need all their elements."""
    made = found.elements
    kind = (made.dtype, made.dtype.newbyteorder("<"), made.data_type, made.fill, allow_pickle)
    shard = _bind_shard(codec, made.shape, tuple(range(len(made.shape))), codec.codecs, kind, True)
    fill = np.asarray(0 if made.fill is None else made.fill, made.data_type.dtype).view(made.dtype)
    return WholeShardStage(shard, made.dtype, fill[()])


def _bind_shard(
    codec: ShardingCodec,
    stored: tuple[int, ...],
    order: tuple[int, ...],
    codecs: tuple[CodecConfig, ...],
    kind: Kind,
    whole: bool,
) -> Shard:
    inner = codec.chunk_shape
    if len(inner) != len(stored) or any(n % c for n, c in zip(stored, inner, strict=True)):
        raise MetadataError(f"inner chunks {inner} do not divide the shard {stored}", field="codecs")
    grid = tuple(n // c for n, c in zip(stored, inner, strict=True))
    index = bind(codec.index_codecs, (*grid, 2), INDEX_TYPE.dtype, INDEX_TYPE.wire, INDEX_TYPE)
    size = index.encoded_size
    if size is None or index.shard is not None:
        raise MetadataError("sharding_indexed: index_codecs must give a fixed size", field="codecs")
    if size > MAX_INDEX:
        raise MetadataError(f"sharding_indexed: an index of {size} bytes, more than {MAX_INDEX}", field="codecs")
    level = ShardLevel(stored, order, inner, size, codec.index_location == "start", whole)
    return Shard(level, index, bind(codecs, inner, *kind))


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


def _masked(data: Buffer, mask: bytes) -> Buffer:
    # zeros for signed types too: so ml_dtypes has them in memory
    values = np.frombuffer(data, np.uint8).reshape(-1, len(mask)) & np.frombuffer(mask, np.uint8)
    view = memoryview(data).cast("B")
    if view.readonly:
        return values.reshape(-1).data
    np.frombuffer(view, np.uint8)[:] = values.reshape(-1)
    return view


def _mask(data_type: DataType) -> bytes:
    """The bits of an element that mean something; nothing, where all do."""
    parts = data_type.fields or ((data_type.name, data_type),)
    masks = [(_mask(kind) if data_type.fields else _own_mask(kind), kind.wire.itemsize) for _, kind in parts]
    return b"".join(mask or b"\xff" * size for mask, size in masks) if any(mask for mask, _ in masks) else b""


def _own_mask(data_type: DataType) -> bytes:
    bits = BITS.get(data_type.name)
    return b"" if bits is None else bytes([(1 << bits) - 1]) * data_type.wire.itemsize
