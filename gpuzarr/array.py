"""Arrays: indexing, reading into any memory, writing, resizing."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from gpuzarr import node, selection
from gpuzarr.attributes import Attributes
from gpuzarr.binding import Binding, bind_array
from gpuzarr.chunking import Chunking
from gpuzarr.edges import chunks_within, is_regular
from gpuzarr.errors import SelectionError, ShapeError, UnsupportedError
from gpuzarr.execute.small import SmallReads
from gpuzarr.execute.source import Source
from gpuzarr.execute.write import WriteJob, write
from gpuzarr.grid import grid_shape
from gpuzarr.indexer import Indexer
from gpuzarr.memory.values import broadcast, convert
from gpuzarr.metadata import ArrayMetadata, CodecConfig
from gpuzarr.options import Options
from gpuzarr.plan import WritePlan, plan_read, plan_write
from gpuzarr.results import Reader
from gpuzarr.selection import Selection
from gpuzarr.store import Sized, Store, same_store

if TYPE_CHECKING:
    from gpuzarr.report import Explanation, Info, WriteExplanation

__all__ = ["Array"]


SERIALIZERS = ("bytes", "endian", "n5_default", "sharding_indexed", "vlen-bytes", "vlen-utf8")
"""Array-to-bytes codecs of format 3."""


class Array:
    """An array in a store.

    Arrays are made by `gpuzarr.open_array`, `gpuzarr.create_array` and by indexing groups. Indexing returns arrays
    in the memory that `meta_array` named, in native byte order, whatever order the store holds.

    >>> import gpuzarr
    >>> a = gpuzarr.create_array({}, shape=(10, 10), chunks=(4, 4), dtype="int32", fill_value=7)
    >>> a[2:4, 0] = 1
    >>> a[1:4, 0].tolist()
    [7, 1, 1]
    """

    def __init__(self, store: Store, path: str, metadata: ArrayMetadata, options: Options) -> None:
        self._store, self._path, self._options = store, path, options
        self._source = Source(store)
        self._set(metadata)

    def _set(self, metadata: ArrayMetadata) -> None:
        self._metadata = metadata
        self._binding: Binding = bind_array(metadata, self._path, self._options.allow_pickle)
        self._folder = f"{self._path}/" if self._path else ""
        self._levels = self._binding.chain.levels
        self._chunking = Chunking(metadata.shape, metadata.chunks, self._binding.chunks if self._levels else None)
        self._small = self._small_reads()
        self._reader = Reader.bind(self._source, self.dtype, self._binding, self._options, self._path)

    def _small_reads(self) -> SmallReads | None:
        """What reads small boxes without a plan, where results are NumPy's own arrays."""
        options, binding = self._options, self._binding
        if options.memory.name != "cpu" or options.order != "C" or not options.runner.native:
            return None
        if not is_regular(self._metadata.chunks):
            return None
        keys, pool = self._metadata.keys, options.runner.pool
        return SmallReads(
            self._source, binding.chain, self.shape, self.dtype, binding.fill, self._folder, keys, pool
        )

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self._metadata.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        self.resize(shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of elements in memory, in native byte order."""
        return self._metadata.data_type.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements in all."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, decoded."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a chunk: the smallest part that is decoded at once.

        Raises UnsupportedError where chunks have several shapes: see `read_chunk_sizes`.
        """
        return self._chunking.uniform(self._chunking.chunks, "read_chunk_sizes")

    @property
    def shards(self) -> tuple[int, ...] | None:
        """The shape of a shard, if chunks are stored in shards.

        Raises UnsupportedError where shards have several shapes: see `write_chunk_sizes`.
        """
        return self._chunking.uniform(self._chunking.outer, "write_chunk_sizes") if self._levels else None

    @property
    def read_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The lengths of chunks along each axis, the last one cut at the end of the array (as `dask.array` has them).

        >>> import gpuzarr
        >>> gpuzarr.zeros((20, 7), chunks=[[5, 15], 4], store={}).read_chunk_sizes
        ((5, 15), (4, 3))
        """
        return self._chunking.sizes()

    @property
    def write_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The same of what is stored under one key: of shards, where there are."""
        return self._chunking.stored_sizes()

    @property
    def fill_value(self) -> Any:
        """The value of elements that no chunk stores; None where Zarr 2 leaves it undefined (they read as zero)."""
        return self._metadata.fill_value

    @property
    def order(self) -> str:
        """The order of elements in a chunk of format 2, else of results."""
        return self._metadata.order if self._metadata.zarr_format == 2 else self._options.order

    @property
    def attrs(self) -> Attributes:
        """User attributes; changes are written at once."""
        return Attributes(self._metadata.attributes, self._save_attributes)

    @property
    def path(self) -> str:
        """Where the array is in its store; "" is the root."""
        return self._path

    @property
    def name(self) -> str:
        """The path with a leading slash."""
        return "/" + self._path

    @property
    def basename(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def store(self) -> Store:
        return self._store

    @property
    def read_only(self) -> bool:
        return self._store.read_only

    @property
    def metadata(self) -> ArrayMetadata:
        """What the array's documents say."""
        return self._metadata

    @property
    def zarr_format(self) -> int:
        return self._metadata.zarr_format

    @property
    def meta_array(self) -> Any:
        """What was given as `meta_array`, or an empty NumPy array."""
        return np.empty(()) if self._options.meta_array is None else self._options.meta_array

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        return self._metadata.dimension_names

    @property
    def filters(self) -> tuple[CodecConfig, ...]:
        """Array-to-array codecs (format 2: the filters)."""
        return self._by_kind()[0]

    @property
    def serializer(self) -> CodecConfig | None:
        """The array-to-bytes codec of the innermost chunks; None in format 2."""
        return self._by_kind()[1]

    @property
    def compressors(self) -> tuple[CodecConfig, ...]:
        """Bytes-to-bytes codecs of the innermost chunks (format 2: the compressor)."""
        return self._by_kind()[2]

    def _by_kind(self) -> tuple[tuple[CodecConfig, ...], CodecConfig | None, tuple[CodecConfig, ...]]:
        if self.zarr_format == 2:
            compressor = self._metadata.compressor
            return self._metadata.filters or (), None, (compressor,) if compressor else ()
        from gpuzarr.codecs.structure import ShardingCodec

        codecs = self._metadata.codecs
        while True:
            at = next(k for k, c in enumerate(codecs) if c.name in SERIALIZERS)
            if codecs[at].name != "sharding_indexed":
                return codecs[:at], codecs[at], codecs[at + 1 :]
            codecs = ShardingCodec.from_config(codecs[at].configuration).codecs

    @property
    def cdata_shape(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return grid_shape(self.shape, self._chunking.chunks)

    @property
    def nchunks(self) -> int:
        """Chunks in all, stored or not."""
        return math.prod(self.cdata_shape)

    @property
    def nchunks_initialized(self) -> int:
        """Chunks that are stored; for a sharded array, the chunks of its stored shards."""
        return sum(self._chunking.in_shard(coords) for _, coords in self._chunk_keys())

    def nbytes_stored(self) -> int:
        """Bytes of all values under the array's path, documents included."""
        keys = self._store.list(self._folder)
        if isinstance(self._store, Sized):
            return sum(self._store.size(key) or 0 for key in keys)
        return sum(memoryview(self._store.get(key) or b"").nbytes for key in keys)

    def _chunk_keys(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The keys of stored chunks (shards) within the grid, with their coordinates."""
        grid = grid_shape(self.shape, self._metadata.chunks)
        for key in self._store.list(self._folder):
            coords = self._metadata.keys.coords(key[len(self._folder) :], self.ndim)
            if coords is not None and all(c < n for c, n in zip(coords, grid, strict=True)):
                yield key, coords

    # -- reading -----------------------------------------------------------------------------------------------

    def __getitem__(self, wanted: Any) -> Any:
        found = self._small.read(wanted) if self._small is not None and type(wanted) is tuple else None
        return self.read(wanted) if found is None else found

    def read(self, wanted: Any = ..., *, out: Any = None, stream: Any = None, dtype: Any = None) -> Any:
        """Read a selection, into a new array or into `out`.

        Parameters
        ----------
        wanted
            Whatever stands in `[]`: integers, slices with any step, Ellipsis; a mask, or arrays of integers, as
            `selection.select` says; names of fields.
        out
            An array of the result's shape and data type in the memory of `meta_array`, which gets the elements; any
            strides.
        stream
            For device memory; must be None on the host.
        dtype
            The data type of the result, where it is another than the array's. Elements become what `astype` makes of
            them (of bfloat16 that of ml_dtypes): bools, integers and floats, where `numpy.can_cast` allows it as
            "same_kind", so that a float never becomes an integer; to "bfloat16", too, where ml_dtypes is installed,
            and types of torch. Results are in native byte order. What overflows becomes infinite, without a warning.
            A device converts elements when it moves them to their places; on the host they are read as they are,
            into memory of the result's shape, and then converted.

        Raises SelectionError, ShapeError, CodecError, StoreError, and UnsupportedError for a `dtype` that elements
        can't be converted to.

        >>> import gpuzarr, numpy as np
        >>> a = gpuzarr.array(np.arange(12).reshape(3, 4), store={})
        >>> a.read((slice(None, None, -1), 1)).tolist()
        [9, 5, 1]
        >>> row = np.empty(4, a.dtype)
        >>> a.read(2, out=row) is row
        True
        >>> a.read(1, dtype="float16")
        array([4., 5., 6., 7.], dtype=float16)
        """
        fields, rest = selection.split_fields(wanted)
        chosen = selection.select(rest, self.shape)
        if fields is not None:
            if dtype is not None:
                raise UnsupportedError(f"fields can't be read as {dtype!r:.100}", feature="dtype=")
            return self._read_fields(fields, chosen, out, stream)
        result = self._read(chosen, out, stream, dtype)
        return self._scalar(result, wanted) if out is None and chosen.shape == () else result

    def _scalar(self, result: Any, wanted: Any) -> Any:
        """NumPy's rule: an element is a scalar, unless Ellipsis asked for an array."""
        items = wanted if isinstance(wanted, tuple) else (wanted,)
        return result[()] if isinstance(result, np.ndarray) and not any(i is Ellipsis for i in items) else result

    def _read(self, chosen: Selection, out: Any = None, stream: Any = None, dtype: Any = None) -> Any:
        plan = plan_read(
            chosen.tiles, self._metadata.chunks, self._metadata.keys, self._folder, self.shape, self._levels
        )
        return self._reader.run(plan, chosen, chosen.shape, out, stream, dtype)

    def _read_fields(self, fields: list[str] | str, chosen: Selection, out: Any = None, stream: Any = None) -> Any:
        self._check_fields(fields)
        whole = self._read(chosen, None, stream)
        if self._options.memory.device is not None:
            return self._reader.fields(whole, fields, out, stream)
        found = whole[fields]
        if out is None:
            return found[()] if chosen.shape == () else found.copy() if isinstance(fields, str) else found
        if getattr(out, "shape", None) != found.shape or out.dtype != found.dtype:
            raise ShapeError("out does not fit the fields", shape=getattr(out, "shape", None), wanted=found.shape)
        out[...] = found
        return out

    def _check_fields(self, fields: list[str] | str) -> None:
        known, names = self.dtype.names or (), [fields] if isinstance(fields, str) else fields
        for name in names:
            if name not in known or names.count(name) > 1:
                what = "is named twice" if name in known else "is not there"
                raise SelectionError(f"no field {name!r} in {self.dtype}: it {what}", selection=name, shape=self.shape)

    def read_many(self, wanted: Sequence[Any], *, out: Any = None, stream: Any = None, dtype: Any = None) -> Any:
        """Read several selections of one result shape as one plan: a chunk they share is decoded once.

        Returns an array of shape `(len(wanted), *shape_of_one)`, or fills `out`; `dtype` is that of `read`.

        >>> import gpuzarr, numpy as np
        >>> a = gpuzarr.array(np.arange(100).reshape(10, 10), store={})
        >>> a.read_many([(slice(i, i + 2), 3) for i in (0, 5)]).tolist()
        [[3, 13], [53, 63]]
        """
        first, boxes = selection.boxes(wanted, self.shape)
        plan = plan_read(
            boxes, self._metadata.chunks, self._metadata.keys, self._folder, self.shape, self._levels, batched=True
        )
        return self._reader.run(plan, first, (len(wanted), *first.shape), out, stream, dtype)

    # -- writing -----------------------------------------------------------------------------------------------

    def __setitem__(self, wanted: Any, values: Any) -> None:
        self.write(wanted, values)

    def write(self, wanted: Any, values: Any) -> None:
        """Assign values, which broadcast as NumPy's do. Chunks that are covered in part are read first.

        A chunk (a shard, where there are shards) is the unit of writing: writers of different chunks may work at
        the same time. Chunks of nothing but the fill value are removed unless `write_empty_chunks` is set.

        >>> import gpuzarr
        >>> a = gpuzarr.zeros((4, 4), dtype="uint8", store={})
        >>> a.write((slice(1, 3), slice(None)), [1, 2, 3, 4])
        >>> a[:, 0].tolist()
        [0, 1, 1, 0]
        """
        fields, rest = selection.split_fields(wanted)
        self._assign(fields, selection.select(rest, self.shape), values)

    def _assign(self, fields: list[str] | str | None, chosen: Selection, values: Any) -> None:
        """Write all of each element, or some fields: those are read, changed and written back."""
        if fields is None:
            self._write(chosen, values)
            return
        self._check_fields(fields)
        whole = self.configure(meta_array="cpu")._read(chosen)
        part = whole[fields]
        part[...] = broadcast(convert(values, part.dtype), part.shape)
        self._write(chosen, whole)

    def _write(self, chosen: Selection, values: Any) -> None:
        node.require_writable(self._store, self._path)
        source = broadcast(convert(values, self.dtype, one=not chosen.shape), chosen.shape)
        if source.dtype != self._binding.raw:
            source = source.view(self._binding.raw)
        plan: WritePlan = plan_write(
            chosen.tiles, self._metadata.chunks, self._metadata.keys, self._folder, self.shape
        )
        if not len(plan):
            return
        runner = self._options.runner
        skip = not self._options.write_empty_chunks and self._metadata.fill_value is not None
        view = chosen.view(source)
        job = WriteJob(runner.pool, self._store, self._binding.fill, view, skip, runner.native)
        write(plan, self._binding.chain, job)

    # -- other ways of indexing --------------------------------------------------------------------------------

    @property
    def oindex(self) -> Indexer:
        """Orthogonal indexing: `a.oindex[[0, 5], :, mask]` takes every axis by itself."""
        return Indexer(self, selection.orthogonal)

    @property
    def vindex(self) -> Indexer:
        """Points: `a.vindex[[0, 5], [1, 2]]` takes the elements (0, 1) and (5, 2); or a mask of the array's shape."""
        return Indexer(self, selection.coordinates)

    @property
    def blocks(self) -> Indexer:
        """Whole chunks (shards, where there are shards) by their coordinates: `a.blocks[0, 1:3]`."""
        chunks = self._metadata.chunks
        return Indexer(self, lambda wanted, shape: selection.blocks(wanted, shape, chunks))

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        edge = self._metadata.chunks[0]
        for k in range(chunks_within(len(self), edge)):
            yield from self[k * edge : (k + 1) * edge]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array in a store can't be had without a copy")
        whole = self.configure(meta_array="cpu")[...]
        return np.asarray(whole, dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        same = same_store(self._store, other._store)
        return same and self._path == other._path and self._metadata == other._metadata

    __hash__ = None  # type: ignore[assignment]  # its metadata changes

    # -- changing it -------------------------------------------------------------------------------------------

    def resize(self, shape: int | Sequence[int]) -> None:
        """Change the shape. What falls outside is removed; what is new reads as the fill value.

        Along an axis of chunks of several lengths these stay as they are; if they do not reach to the new end, one more
        chunk takes the rest (in shards: of a multiple of the chunks in them), as in Zarr-Python.

        >>> import gpuzarr
        >>> a = gpuzarr.zeros((4, 4), chunks=(3, 3), store={})
        >>> a[...] = 1
        >>> a.resize((2, 6))
        >>> a.shape, float(a[:, :].sum())
        ((2, 6), 8.0)
        """
        new = _sizes(shape)
        if new is None or len(new) != self.ndim or any(n < 0 for n in new):
            what = f"an array of {self.ndim} axes can't be resized to {shape!r}"
            raise ShapeError(what, shape=self.shape, wanted=new)
        node.require_writable(self._store, self._path)
        metadata = self._chunking.resized(self._metadata, new)
        node.array_documents(metadata)  # what can't be written, or bound, is refused before anything is removed
        bind_array(metadata, self._path, self._options.allow_pickle)
        self._clear_outside(new)
        node.save_array(self._store, self._path, metadata)
        self._set(metadata)

    def _clear_outside(self, new: tuple[int, ...]) -> None:
        """Remove chunks past the new shape, and give their parts in border chunks the fill value."""
        kept = tuple(min(a, b) for a, b in zip(self.shape, new, strict=True))
        if kept == self.shape:
            return
        grid = grid_shape(kept, self._metadata.chunks)
        for key, coords in list(self._chunk_keys()):
            if any(c >= n for c, n in zip(coords, grid, strict=True)):
                self._store.delete(key)
        fill = np.asarray(self._binding.fill, self._binding.raw)
        fill = fill if fill.dtype == self.dtype else fill.view(self.dtype)
        for border in self._chunking.borders(kept):
            self._write(selection.select(border, self.shape), fill)

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Grow along an axis by `data` and return the new shape; for the chunks it gets see `resize`.

        >>> import gpuzarr, numpy as np
        >>> a = gpuzarr.array(np.arange(3), store={})
        >>> a.append([7, 8]), a[...].tolist()
        ((5,), [0, 1, 2, 7, 8])
        """
        values = convert(data, self.dtype)
        if values.ndim != self.ndim or not -self.ndim <= axis < self.ndim:
            raise ShapeError(f"can't append {values.shape} along axis {axis}", shape=values.shape, wanted=self.shape)
        axis %= self.ndim
        wanted = tuple(n if k == axis else self.shape[k] for k, n in enumerate(values.shape))
        if wanted != values.shape:
            raise ShapeError("appended data must match all other axes", shape=values.shape, wanted=wanted)
        old = self.shape[axis]
        self.resize(tuple(n + values.shape[k] * (k == axis) for k, n in enumerate(self.shape)))
        where = tuple(slice(old, None) if k == axis else slice(None) for k in range(self.ndim))
        self._write(selection.select(where, self.shape), values)
        return self.shape

    def _save_attributes(self, values: dict[str, Any]) -> None:
        metadata = replace(self._metadata, attributes=values)
        node.save(self._store, self._path, metadata)
        self._metadata = metadata

    def update_attributes(self, new_attributes: dict[str, Any]) -> Array:
        """Set several attributes and return the array."""
        self.attrs.update(new_attributes)
        return self

    def configure(
        self,
        *,
        meta_array: Any = None,
        executor: Any = None,
        strict: bool | None = None,
        write_empty_chunks: bool | None = None,
        order: str | None = None,
    ) -> Array:
        """The same array with other options; what is None stays as it is.

        >>> import gpuzarr
        >>> a = gpuzarr.zeros((4,), store={})
        >>> a.configure(executor=gpuzarr.Executor(threads=1)).shape
        (4,)
        """
        options = self._options.changed(
            meta_array=meta_array,
            executor=executor,
            strict=strict,
            write_empty_chunks=write_empty_chunks,
            order=order,
        )
        return Array(self._store, self._path, self._metadata, options)

    # -- saying what it is -------------------------------------------------------------------------------------

    @overload
    def explain(self, wanted: Any = ..., *, writing: Literal[False] = False) -> Explanation: ...
    @overload
    def explain(self, wanted: Any = ..., *, writing: Literal[True]) -> WriteExplanation: ...
    def explain(self, wanted: Any = ..., *, writing: bool = False) -> Explanation | WriteExplanation:
        """What reading a selection would fetch and decode, and where; or what `writing` to it would encode.

        For a read shard indexes are read, and for a result on a device the chunks' headers too.

        >>> import gpuzarr
        >>> a = gpuzarr.zeros((100, 100), chunks=(10, 10), dtype="uint8", store={})
        >>> a.explain((slice(0, 25), 0)).to_dict()["chunks"]
        3
        >>> a.explain((slice(0, 25), 0), writing=True).partial
        3
        """
        from gpuzarr.report import explain, explain_write

        fields, rest = selection.split_fields(wanted)
        if fields is not None:
            self._check_fields(fields)
        chosen = selection.select(rest, self.shape)
        return explain_write(self, chosen) if writing else explain(self, chosen)

    @property
    def info(self) -> Info:
        """A summary that prints as a table."""
        from gpuzarr.report import Info

        return Info(self)

    def info_complete(self) -> Info:
        """The same, with what is stored: all values of the array are listed and sized for it."""
        from gpuzarr.report import Info

        return Info(self, complete=True)

    def __repr__(self) -> str:
        shards = f" shards={self._chunking.outer}" if self._levels else ""
        where = f"{self._store.url}{self.name if self._path else ''}"
        return f"<Array {where} shape={self.shape} dtype={self.dtype} chunks={self._chunking.chunks}{shards}>"

    def _repr_html_(self) -> str:
        from gpuzarr.html import array_html

        return array_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self._store, self._path, self._metadata, self._options)


def _sizes(shape: Any) -> tuple[int, ...] | None:
    """A shape as Python integers; None for what is no shape."""
    try:
        return tuple(operator.index(n) for n in ((shape,) if isinstance(shape, (int, np.integer)) else shape))
    except TypeError:
        return None
