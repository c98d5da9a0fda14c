"""N5 as Zarr, for reading (N5 4.0.0, "File-system specification").

Where a node is asked for its `zarr.json`, that is made of its `attributes.json`; blocks are at keys that Zarr has too
("v2", separated by "/"), and decoded by the codec `n5_default`. So the axes of an array are N5's, in N5's order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gpuzarr.errors import MetadataError, UnsupportedError
from gpuzarr.metadata import JSON
from gpuzarr.metadata.forms import MAX_DOCUMENT, bad, load, located, member, object_of, sizes
from gpuzarr.ranges import ByteRange
from gpuzarr.store.base import Buffer, Names, Sized, Store, StoreBase, part_of

__all__ = ["N5Store", "is_n5"]

_ZARR, _N5 = "zarr.json", "attributes.json"
_BELIEVED = ByteRange(0, MAX_DOCUMENT + 1)
_NEWEST = 4
"""The newest major version of N5 that is read."""

_ARRAY = frozenset({"blockSize", "dataType", "dimensions"})
_COMPRESSION = frozenset({"codecs", "compression", "compressionType"})
"""What tells how blocks are compressed: the first for shards, the last in version 0."""

_ITEMSIZES = {f"{u}int{8 * n}": n for u in ("", "u") for n in (1, 2, 4, 8)} | {"float32": 4, "float64": 8}
_CNAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
_SHUFFLES = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}


class N5Store(StoreBase):
    """An N5 container as a store of Zarr 3.

    Args:
        store: where the container is, which may begin anywhere in it.

    Every folder is a group, one whose attributes describe an array is that. Other attributes are attributes, `axes`
    are dimension names too. Blocks that are not there are zeros.

    >>> from gpuzarr.store import MemoryStore
    >>> kept = MemoryStore("n5")
    >>> kept.put("raw/attributes.json", b'{"resolution": [4, 4]}')
    >>> N5Store(kept).get("raw/zarr.json")
    b'{"zarr_format": 3, "node_type": "group", "attributes": {"resolution": [4, 4]}}'
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.read_only = True
        self.url = f"{store.url}{'' if store.url.endswith(':') else '/'}|n5:"

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        """The value, or the document that is made of another one.

        Raises MetadataError for attributes that N5 does not allow, UnsupportedError for arrays that Zarr can't be.
        """
        folder, _, name = key.rpartition("/")
        if name != _ZARR:
            return self.store.get(key, range)
        document = self._document(folder)
        return None if document is None else part_of(document, range)

    def _document(self, path: str) -> bytes | None:
        found = self.store.get(f"{path}/{_N5}" if path else _N5, _BELIEVED)
        if found is not None:
            return located(path, _described, bytes(found))
        return _group({}) if self.store.list_dir(path) else None

    def put(self, key: str, value: Buffer) -> None:
        """Raise `StoreError`: N5 is read, not written."""
        self._check_writable(key)

    def delete(self, key: str) -> None:
        """Raise `StoreError`: N5 is read, not written."""
        self._check_writable(key)

    def delete_prefix(self, prefix: str) -> None:
        """Raise `StoreError`: N5 is read, not written."""
        self._check_writable(prefix)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with `prefix`; of groups without attributes, documents of those with nodes in them."""
        above, slash, _ = prefix.rpartition("/")
        nodes: set[str] = set()
        groups: set[str] = set()
        for key in self.store.list(above + slash):
            folder, _, name = key.rpartition("/")
            if name == _N5:
                nodes.add(folder)
                parts = folder.split("/") if folder else []
                groups.update("/".join(parts[:k]) for k in range(len(parts)))
            elif name != _ZARR and key.startswith(prefix):
                yield key
        documents = (f"{path}/{_ZARR}" if path else _ZARR for path in nodes | groups)
        yield from (key for key in documents if key.startswith(prefix))

    def list_dir(self, prefix: str) -> Names:
        """The names directly under `prefix`, sorted."""
        return sorted({_ZARR if name == _N5 else name for name in self.store.list_dir(prefix)})

    def size(self, key: str) -> int | None:
        """Bytes of the value; None where there is none."""
        if isinstance(self.store, Sized) and key.rpartition("/")[2] != _ZARR:
            return self.store.size(key)
        found = self.get(key)
        return None if found is None else memoryview(found).nbytes


def is_n5(store: Store, path: str) -> bool:
    """Whether a container that begins with a store, or a node at a path in it, says that it is N5, or its name does."""
    if ".n5/" in f"{store.url}/{path}/":
        return True
    for key in dict.fromkeys((_N5, f"{path}/{_N5}" if path else _N5)):
        found = store.get(key, _BELIEVED)
        try:
            attributes = {} if found is None else load(bytes(found), _N5, repeats=True)
        except MetadataError:  # whatever else has a file of that name
            continue
        if "n5" in attributes or attributes.keys() >= _ARRAY:
            return True
    return False


def _described(document: bytes) -> bytes:
    """`attributes.json` as `zarr.json`."""
    attributes = load(document, _N5, repeats=True)
    _check_version(attributes.get("n5"))
    if not attributes.keys() >= _ARRAY or not attributes.keys() & _COMPRESSION:
        return _group(attributes)
    shape, block = sizes(attributes["dimensions"], "dimensions"), sizes(attributes["blockSize"], "blockSize")
    if not shape or len(block) != len(shape) or 0 in block:
        bad(f"blocks of {block} for dimensions {shape}", "blockSize")
    data_type = attributes["dataType"]
    if not isinstance(data_type, str) or data_type not in _ITEMSIZES:
        if data_type in ("object", "string"):
            raise UnsupportedError(f"N5 blocks of {data_type}s are not read", feature=f"N5 data type {data_type}")
        bad(f"N5 has no data type {data_type!r:.100}", "dataType")
    axes = attributes.get("axes")
    named = isinstance(axes, list) and len(axes) == len(shape) and all(isinstance(name, str) for name in axes)
    compressor = _compressor(attributes, _ITEMSIZES[data_type])
    codecs = [
        {"name": "transpose", "configuration": {"order": list(range(len(shape)))[::-1]}},
        {"name": "bytes", "configuration": {"endian": "big"}},
        *([] if compressor is None else [compressor]),
    ]
    array: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": block}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "n5_default", "configuration": {"codecs": codecs}}],
        "attributes": {name: v for name, v in attributes.items() if name not in _ARRAY | _COMPRESSION},
        **({"dimension_names": axes} if named else {}),
    }
    return json.dumps(array).encode()


def _group(attributes: Mapping[str, JSON]) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()


def _check_version(version: JSON) -> None:
    major = version.partition(".")[0] if isinstance(version, str) else ""
    if major.isdecimal() and int(major) > _NEWEST:
        raise UnsupportedError(f"N5 of version {version:.20}", feature=f"N5 after version {_NEWEST}")


def _compressor(attributes: Mapping[str, JSON], itemsize: int) -> dict[str, Any] | None:
    """The codec of blocks. What encoders only are told is not checked."""
    if "codecs" in attributes:
        raise UnsupportedError("N5 with shards or several codecs is not read", feature="N5 codecs")
    if "compressionType" in attributes:
        config: dict[str, JSON] = {"type": attributes["compressionType"]}
    else:
        config = object_of(attributes["compression"], "compression", "compression")
    kind = member(config, "type")
    if kind == "raw":
        return None
    if kind == "gzip":
        name = "numcodecs.zlib" if config.get("useZlib") is True else "gzip"
        return _codec(name, level=_within(config.get("level"), -1, 9, 6))
    if kind == "bzip2":
        return _codec("numcodecs.bz2", level=_within(config.get("blockSize"), 1, 9, 9))
    if kind == "xz":
        return _codec("numcodecs.lzma", preset=_within(config.get("preset"), 0, 9, 6))
    if kind == "lz4":
        return _codec("gpuzarr.n5_lz4")
    if kind == "zstd":
        return _codec("zstd", level=_within(config.get("level"), -131072, 22, 3), checksum=False)
    if kind == "blosc":
        shuffle = _SHUFFLES[_within(config.get("shuffle"), 0, 2, 1)]
        level = _within(config.get("clevel"), 0, 9, 5)
        cname = config["cname"] if config.get("cname") in _CNAMES else "lz4"
        return _codec("blosc", cname=cname, clevel=level, shuffle=shuffle, typesize=itemsize, blocksize=0)
    raise UnsupportedError(f"N5 compression {kind!r:.100} is not read", feature=f"N5 compression {kind!r:.100}")


def _codec(name: str, **configuration: JSON) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def _within(value: JSON, low: int, high: int, default: int) -> int:
    return value if type(value) is int and low <= value <= high else default
