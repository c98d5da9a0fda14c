"""The functions of the package: open, create, save and load, with zarr-python's names and keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuzarr import create, node
from gpuzarr.array import Array
from gpuzarr.copying import CopyJob, copy_node
from gpuzarr.create import AUTO, UNSET
from gpuzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError
from gpuzarr.execute import Executor
from gpuzarr.group import Group, make_group, open_node
from gpuzarr.memory import as_host
from gpuzarr.metadata import ArrayMetadata, GroupMetadata
from gpuzarr.options import Options
from gpuzarr.store import MemoryStore, N5Store, Place, Store, is_n5, locate

__all__ = [
    "array",
    "consolidate_metadata",
    "copy",
    "create_array",
    "create_group",
    "empty",
    "empty_like",
    "full",
    "full_like",
    "load",
    "ones",
    "ones_like",
    "open",
    "open_array",
    "open_group",
    "place",
    "save",
    "zeros",
    "zeros_like",
]

StoreLike = Store | str | os.PathLike[str] | Mapping[str, bytes] | None
MODES = ("r", "r+", "a", "w", "w-")


def place(store: Any, mode: str, path: str | None, zarr_format: int | None) -> tuple[Store, str, int | None]:
    """The store, the node's path in it, and its format where one is asked for: arguments and what a URL says."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    place = Place(MemoryStore()) if store is None else locate(store, mode=mode)
    if None not in (zarr_format, place.zarr_format) and zarr_format != place.zarr_format:
        raise ValueError(f"the URL asks for Zarr format {place.zarr_format}, zarr_format for {zarr_format}")
    above, name = node.normalize(place.path), node.normalize(path)
    return place.store, node.join(above, name) if name else above, zarr_format or place.zarr_format


def _found(where: Store, path: str, zarr_format: int | None) -> tuple[Store, node.Metadata | None]:
    """The node at a path, if there is one, and its store; where it is in N5, as what shows it in Zarr 3."""
    metadata = node.find(where, path, zarr_format)
    if metadata is not None or zarr_format is not None or not is_n5(where, path):
        return where, metadata
    shown = N5Store(where)
    metadata = node.find(shown, path, 3)
    return (where if metadata is None else shown), metadata


def _options(
    meta_array: Any = None,
    executor: Executor | None = None,
    strict: bool | None = None,
    write_empty_chunks: bool | None = None,
    order: str | None = None,
    allow_pickle: bool | None = None,
) -> Options:
    return Options().changed(
        meta_array=meta_array,
        executor=executor,
        strict=strict,
        write_empty_chunks=write_empty_chunks,
        order=order,
        allow_pickle=allow_pickle,
    )


def open(  # the name every array library has
    store: StoreLike = None,
    *,
    mode: str | None = None,
    path: str | None = None,
    zarr_format: int | None = None,
    **how: Any,
) -> Array | Group:
    """Open the array or group there.

    Parameters
    ----------
    store
        A path to a folder or a zip file, or on through a zip file; a URL (`file:`, `memory:`), where adapters may
        follow (`file:///lab/a.zip|zip:inner/|zarr3:image`); a mapping from keys to bytes, or a store.
    mode
        "r" to read only; "r+" to read and write what is there; "a" (the default) and "w-" and "w" as
        `open_array` has them when `shape` is given, else as `open_group`.
    path
        The node's path within the store, or from where a URL points on.
    zarr_format
        2 or 3; by default what a URL says, else whichever is there.
    how
        `meta_array`, `executor`, `strict` and the other options of `open_array`.

    Raises NodeNotFoundError, MetadataError, UnsupportedError, UnknownCodecError, StoreError.

    >>> import gpuzarr
    >>> kept = {}
    >>> a = gpuzarr.create_array(kept, shape=(2, 3), dtype="uint8")
    >>> gpuzarr.open(kept, mode="r").shape
    (2, 3)
    """
    mode = "a" if mode is None else mode
    if "shape" in how or "data" in how:
        return open_array(store, mode=mode, path=path, zarr_format=zarr_format, **how)
    where, name, zarr_format = place(store, mode, path, zarr_format)
    if mode in ("w", "w-"):
        return open_group(where, mode=mode, path=name, zarr_format=zarr_format, **how)
    where, metadata = _found(where, name, zarr_format)
    if metadata is None and mode == "a":
        return open_group(where, mode=mode, path=name, zarr_format=zarr_format, **how)
    if metadata is None:
        raise NodeNotFoundError(f"no array or group in {where.url}", path=name or "/")
    use = how.pop("use_consolidated", None)
    return open_node(where, name, _consolidated(metadata, use, name), _options(**how))


def open_array(
    store: StoreLike = None,
    *,
    mode: str | None = None,
    path: str | None = None,
    zarr_format: int | None = None,
    meta_array: Any = None,
    executor: Executor | None = None,
    strict: bool | None = None,
    write_empty_chunks: bool | None = None,
    order: str | None = None,
    allow_pickle: bool | None = None,
    **how: Any,
) -> Array:
    """Open an array, or make it where the mode and `shape` allow.

    Parameters
    ----------
    store, path, zarr_format
        As `open`.
    mode
        "r": read only. "r+": read and write, it must be there. "a" (the default): made if it is not there. "w":
        made anew, what is there is removed. "w-": made, it must not be there.
    meta_array
        Names the memory of results: an array of the wanted kind (`numpy.empty(())`, a torch tensor), or "cpu",
        or "auto".
    executor
        Carries out reads and writes; `gpuzarr.Executor(threads=...)`.
    strict
        Refuse codecs that would not run where the memory is.
    write_empty_chunks
        Store chunks of nothing but the fill value too.
    order
        "C" or "F": how results lie in memory; for a new array of format 2 also how chunks are stored.
    allow_pickle
        Let the codec `pickle` run code from the data.
    how
        What `create_array` takes, used where the array is made; `dtype` is "float64" by default.

    >>> import gpuzarr
    >>> a = gpuzarr.open_array({}, mode="w", shape=(4,), dtype="float32", fill_value=1)
    >>> a[:].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    mode = "a" if mode is None else mode
    unknown = how.keys() - create.ARGUMENTS
    if unknown:
        raise TypeError(f"open_array got an unexpected keyword argument {min(unknown)!r}")
    where, name, zarr_format = place(store, mode, path, zarr_format)
    options = _options(meta_array, executor, strict, write_empty_chunks, order, allow_pickle)
    if mode not in ("w", "w-"):
        where, metadata = _found(where, name, zarr_format)
        if isinstance(metadata, ArrayMetadata):
            return Array(where, name, metadata, options)
        if metadata is not None:
            raise NodeNotFoundError(f"a group is there, not an array, in {where.url}", path=name or "/")
        if mode != "a" or not ("shape" in how or "data" in how):
            raise NodeNotFoundError(f"no array in {where.url}", path=name or "/")
    if order is not None and zarr_format == 2:
        how["order"] = order
    if "data" not in how:
        how.setdefault("dtype", "float64")
    return create.create_array(where, name, options, overwrite=mode == "w", zarr_format=zarr_format or 3, **how)


def open_group(
    store: StoreLike = None,
    *,
    mode: str | None = None,
    path: str | None = None,
    zarr_format: int | None = None,
    use_consolidated: bool | None = None,
    attributes: dict[str, Any] | None = None,
    **options: Any,
) -> Group:
    """Open a group, or make it where the mode allows ("a", the default, "w" and "w-"; see `open_array`).

    `use_consolidated` None uses consolidated metadata where there is some, True insists on it, False ignores it.
    Other keyword arguments are the options of `open_array`, inherited by what is opened from the group.

    >>> import gpuzarr
    >>> sorted(gpuzarr.open_group({}, mode="w").keys())
    []
    """
    mode = "a" if mode is None else mode
    where, name, zarr_format = place(store, mode, path, zarr_format)
    if mode not in ("w", "w-"):
        where, metadata = _found(where, name, zarr_format)
        if isinstance(metadata, GroupMetadata):
            found = _only_groups(_consolidated(metadata, use_consolidated, name))
            return Group(where, name, found, _options(**options))
        if metadata is not None:
            raise NodeExistsError(f"an array is there, not a group, in {where.url}", path=name or "/")
        if mode != "a":
            raise NodeNotFoundError(f"no group in {where.url}", path=name or "/")
    return make_group(where, name, _options(**options), zarr_format or 3, mode == "w", attributes)


def _consolidated(metadata: node.Metadata, use: bool | None, path: str) -> node.Metadata:
    if not isinstance(metadata, GroupMetadata):
        return metadata
    if use is True and metadata.consolidated is None:
        raise MetadataError("the group has no consolidated metadata", path=path or "/", field="consolidated_metadata")
    return replace(metadata, consolidated=None) if use is False else metadata


def _only_groups(metadata: node.Metadata) -> GroupMetadata:
    if not isinstance(metadata, GroupMetadata):
        raise MetadataError("not a group")
    return metadata


def create_array(
    store: StoreLike = None,
    *,
    name: str | None = None,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
    data: Any = None,
    chunks: Any = AUTO,
    shards: Any = None,
    filters: Any = AUTO,
    compressors: Any = AUTO,
    serializer: Any = AUTO,
    fill_value: Any = UNSET,
    order: str | None = None,
    zarr_format: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    chunk_key_encoding: Any = None,
    dimension_names: Sequence[str | None] | None = None,
    overwrite: bool = False,
    write_data: bool = True,
    meta_array: Any = None,
    executor: Executor | None = None,
    strict: bool | None = None,
    write_empty_chunks: bool | None = None,
    allow_pickle: bool | None = None,
) -> Array:
    """Make an array.

    Parameters
    ----------
    store
        As `open`; None is a new store in memory.
    name
        The array's path within the store; None is the root.
    shape, dtype
        Elements along each axis, and their data type: anything NumPy takes, or a Zarr name ("bfloat16", "r16"), or
        its object. `str` and `bytes` are of any length. In format 2, `object` is what the first filter takes.
    data
        Values to store; they bring shape and dtype.
    chunks
        The shape of a chunk (-1: the whole axis); "auto" gives at most 1 MiB. For an axis of chunks of several lengths
        a list of these, or of pairs of a length and how often it comes: `[[5, 10, 5], 4]`, `[[5, [10, 99]], 4]`.
    shards
        The shape of a shard, a multiple of the chunk's, or lists as for `chunks`; None: chunks are values of their own.
    filters, serializer, compressors
        Codecs: a name, a dict as in the document, or a codec of gpuzarr, zarr or numcodecs; lists of them.
        "auto": none (for strings of any length in format 2, what makes bytes of them), the plain bytes, and zstd.
    fill_value
        The value of what is not stored. By default the type's zero; None leaves it undefined in format 2.
    order
        Format 2: "C" or "F", how elements lie in a chunk. Format 3: how results lie in memory.
    chunk_key_encoding
        {"name": "default" or "v2", "separator": "/" or "."}, or the separator.
    dimension_names
        A name, or None, for each axis (format 3).
    overwrite
        Remove what is there. Else NodeExistsError is raised.

    The rest are the options of `open_array`. Raises MetadataError for what does not fit together.

    >>> import gpuzarr
    >>> a = gpuzarr.create_array({}, shape=(512, 512), dtype="uint16", chunks=(64, 64), shards=(256, 256))
    >>> a.nchunks
    64
    """
    where, path, zarr_format = place(store, "a", name, zarr_format)
    zarr_format = zarr_format or 3
    order_of_results = order if zarr_format == 3 else None
    options = _options(meta_array, executor, strict, write_empty_chunks, order_of_results, allow_pickle)
    return create.create_array(
        where,
        path,
        options,
        shape=shape,
        dtype=dtype,
        data=data,
        chunks=chunks,
        shards=shards,
        filters=filters,
        compressors=compressors,
        serializer=serializer,
        fill_value=fill_value,
        order=order,
        zarr_format=zarr_format,
        attributes=attributes,
        chunk_key_encoding=chunk_key_encoding,
        dimension_names=dimension_names,
        overwrite=overwrite,
        write_data=write_data,
    )


def create_group(
    store: StoreLike = None,
    *,
    path: str | None = None,
    zarr_format: int | None = None,
    overwrite: bool = False,
    attributes: dict[str, Any] | None = None,
    **options: Any,
) -> Group:
    """Make a group, and the groups above it.

    >>> import gpuzarr
    >>> gpuzarr.create_group({}, attributes={"lab": 7}).attrs["lab"]
    7
    """
    where, name, zarr_format = place(store, "a", path, zarr_format)
    return make_group(where, name, _options(**options), zarr_format or 3, overwrite, attributes)


def array(data: Any, *, store: StoreLike = None, path: str | None = None, **how: Any) -> Array:
    """Make an array of values.

    >>> import gpuzarr
    >>> gpuzarr.array([1, 2, 3], dtype="int8")[:].tolist()
    [1, 2, 3]
    """
    dtype = how.pop("dtype", None)
    values = as_host(data)
    values = values if dtype is None else np.asarray(values, dtype)
    return create_array(store, name=path, data=values, **how)


def full(
    shape: int | Sequence[int], fill_value: Any, *, store: StoreLike = None, path: str | None = None, **how: Any
) -> Array:
    """Make an array in which every element is the fill value.

    >>> import gpuzarr
    >>> gpuzarr.full((2,), 3, dtype="int8")[:].tolist()
    [3, 3]
    """
    dtype = how.pop("dtype", None)
    dtype = np.asarray(fill_value).dtype if dtype is None else dtype
    return create_array(store, name=path, shape=shape, dtype=dtype, fill_value=fill_value, **how)


def zeros(shape: int | Sequence[int], *, dtype: Any = "float64", **how: Any) -> Array:
    """Make an array of zeros.

    >>> import gpuzarr
    >>> gpuzarr.zeros((2,))[:].tolist()
    [0.0, 0.0]
    """
    return full(shape, UNSET, dtype=dtype, **how)


def ones(shape: int | Sequence[int], *, dtype: Any = "float64", **how: Any) -> Array:
    """Make an array of ones.

    >>> import gpuzarr
    >>> gpuzarr.ones((2,))[:].tolist()
    [1.0, 1.0]
    """
    return full(shape, 1, dtype=dtype, **how)


def empty(shape: int | Sequence[int], *, dtype: Any = "float64", **how: Any) -> Array:
    """Make an array whose elements nobody should count on; here they are zero.

    >>> import gpuzarr
    >>> gpuzarr.empty((2, 3)).shape
    (2, 3)
    """
    return full(shape, UNSET, dtype=dtype, **how)


def _like(a: Any, how: dict[str, Any]) -> dict[str, Any]:
    """Shape and type as defaults; of an array in a store also chunks, fill value and, for the same type, codecs."""
    wanted: dict[str, Any] = {"shape": a.shape, "dtype": a.dtype}
    if isinstance(a, Array):
        old, data_type, cut = a.zarr_format == 2, a.metadata.data_type, a._chunking
        wanted |= {"dtype": data_type.wire if old else data_type.json, "zarr_format": a.zarr_format}
        wanted |= {"chunks": cut.chunks, "fill_value": a.fill_value}
        if "chunks" not in how:
            wanted["shards"] = None if cut.inner is None else cut.outer
        if "dtype" not in how and how.get("zarr_format", a.zarr_format) == a.zarr_format:
            wanted |= {"filters": a.filters, "compressors": a.compressors}
            wanted |= {"order": a.order} if old else {"serializer": a.serializer}
    return {"fill_value": UNSET, **wanted, **how}


def zeros_like(a: Any, **how: Any) -> Array:
    """Make an array of zeros with the shape, type, chunks and codecs of another.

    >>> import gpuzarr
    >>> gpuzarr.zeros_like(gpuzarr.ones((2,)))[:].tolist()
    [0.0, 0.0]
    """
    return full(**_like(a, {**how, "fill_value": UNSET}))


def ones_like(a: Any, **how: Any) -> Array:
    """Make an array of ones with the shape, type, chunks and codecs of another."""
    return full(**_like(a, {**how, "fill_value": 1}))


def empty_like(a: Any, **how: Any) -> Array:
    """Make an empty array with the shape, type, chunks, codecs and fill value of another."""
    return full(**_like(a, how))


def full_like(a: Any, fill_value: Any = UNSET, **how: Any) -> Array:
    """Make an array of one value, by default the fill value of another, with its shape, type, chunks and codecs.

    >>> import gpuzarr
    >>> gpuzarr.full_like(gpuzarr.ones((2,)), 5)[:].tolist()
    [5.0, 5.0]
    """
    return full(**_like(a, how if fill_value is UNSET else {**how, "fill_value": fill_value}))


def save(store: StoreLike, *arrays: Any, path: str | None = None, zarr_format: int | None = None, **named: Any) -> None:
    """Save one array, or several in a group: positional ones as `arr_0`, `arr_1`, the others by their names.

    >>> import gpuzarr
    >>> kept = {}
    >>> gpuzarr.save(kept, [1, 2], weights=[0.5, 0.5])
    >>> sorted(gpuzarr.load(kept))
    ['arr_0', 'weights']
    """
    if len(arrays) + len(named) == 0:
        raise ValueError("save takes at least one array")
    text = [name for name, values in named.items() if isinstance(values, str)]
    if text:
        raise TypeError(f"{text[0]}= is text and no array: save takes the options path and zarr_format")
    if len(arrays) == 1 and not named:
        create_array(store, name=path, data=as_host(arrays[0]), overwrite=True, zarr_format=zarr_format)
        return
    group = open_group(store, mode="a", path=path, zarr_format=zarr_format)
    for name, values in {**{f"arr_{k}": v for k, v in enumerate(arrays)}, **named}.items():
        group[name] = as_host(values)


def load(store: StoreLike, *, path: str | None = None, zarr_format: int | None = None, **options: Any) -> Any:
    """Read an array whole, or all arrays directly under a group as a dict.

    >>> import gpuzarr
    >>> kept = {}
    >>> gpuzarr.save(kept, [1, 2])
    >>> gpuzarr.load(kept).tolist()
    [1, 2]
    """
    found = open(store, mode="r", path=path, zarr_format=zarr_format, **options)
    return found[...] if isinstance(found, Array) else {name: member[...] for name, member in found.arrays()}


def copy(
    source: Array | Group,
    dest: Group | StoreLike,
    name: str | None = None,
    *,
    zarr_format: int | None = None,
    overwrite: bool = False,
    **how: Any,
) -> Array | Group:
    """Copy an array, or a group with all below it, within a store or to another one.

    Parameters
    ----------
    source
        What is copied.
    dest
        The group the copy goes into, or a store as `open` takes it.
    name
        The copy's path in `dest`. By default its own name in a group, and the root of a store.
    zarr_format
        2 or 3; by default that of the group it goes into, or of the source. Values are taken over as they are stored
        where both formats decode them alike. Dimension names are the attribute `_ARRAY_DIMENSIONS` in format 2,
        which has no shards: the chunks in them stand by themselves.
    overwrite
        Remove what is there. Else NodeExistsError is raised.
    how
        For the copy of an array, what `create_array` takes, where it is to be stored otherwise: `chunks`, `shards`,
        `filters`, `serializer`, `compressors`, `chunk_key_encoding`.

    Consolidated metadata is not copied. Raises UnsupportedError for what the other format has no name for.

    >>> import gpuzarr
    >>> old = gpuzarr.array([[1, 2], [3, 4]], dtype=">i4", zarr_format=2, attributes={"unit": "m"})
    >>> new = gpuzarr.copy(old, {}, zarr_format=3, chunks=(1, 2), shards=(2, 2))
    >>> new[...].tolist(), new.attrs["unit"], new.shards
    ([[1, 2], [3, 4]], 'm', (2, 2))
    """
    unknown = how.keys() - LAYOUT
    if unknown:
        raise TypeError(f"copy got an unexpected keyword argument {min(unknown)!r}")
    if isinstance(dest, Group):
        store, options, zarr_format = dest.store, dest._options, zarr_format or dest.zarr_format
        path = node.join(dest.path, node.normalize(name or source.basename))
    else:
        store, path, zarr_format = place(dest, "a", name, zarr_format)
        options = source._options
    wanted = create.check_format(zarr_format or source.zarr_format)
    job = CopyJob(source.store, store, source._options.changed(meta_array="cpu"), wanted, how)
    metadata = copy_node(job, source.path, source.metadata, path, overwrite)
    return open_node(store, path, metadata, options)


LAYOUT = frozenset({"chunk_key_encoding", "chunks", "compressors", "filters", "order", "serializer", "shards"})
"""What `copy` may be asked to store otherwise."""


def consolidate_metadata(
    store: StoreLike, *, path: str | None = None, zarr_format: int | None = None, **options: Any
) -> Group:
    """Write the metadata of everything below a group into the group, so that opening takes one read.

    It is a copy: consolidate again after changing members.

    >>> import gpuzarr
    >>> kept = {}
    >>> a = gpuzarr.create_group(kept).create_array("a", shape=(2,), dtype="int8")
    >>> sorted(gpuzarr.consolidate_metadata(kept).metadata.consolidated)
    ['a']
    """
    group = open_group(store, mode="r+", path=path, zarr_format=zarr_format, use_consolidated=False, **options)
    members = {name: replace_consolidated(member.metadata) for name, member in group.members(max_depth=None)}
    metadata = replace(group.metadata, consolidated=members)
    node.save(group.store, group.path, metadata)
    return Group(group.store, group.path, metadata, _options(**options))


def replace_consolidated(metadata: node.Metadata) -> node.Metadata:
    """Metadata as a member of consolidated metadata: by itself."""
    return replace(metadata, consolidated=None) if isinstance(metadata, GroupMetadata) else metadata
