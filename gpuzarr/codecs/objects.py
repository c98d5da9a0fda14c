"""Codecs of elements that have no fixed size: a chunk's bytes become its elements, as NumPy holds them, and back.

They are array-to-bytes codecs: `vlen-utf8` and `vlen-bytes` (zarr-extensions), and those that numcodecs has for the
objects of format 2. There, `json2`, `msgpack2`, `categorize` and `pickle` take arrays of numbers too: then they are
stages like others, between the elements' bytes and their own.

The rule: how many elements there are is known, and compared with what the bytes say before memory is taken for it.
`pickle` runs code from the data, and is refused unless the caller allows it.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.base import Buffer, NativeOp, Wire, bad_size, config_int, put, unknown_members
from gpuzarr.errors import CodecError, MetadataError, UnsupportedError
from gpuzarr.forks import importing, module
from gpuzarr.metadata import CodecConfig

__all__ = ["MAX_BYTES", "ObjectCodec", "ValuesStage"]

MAX_BYTES = (1 << 30) - (1 << 16)
"""Bytes of all elements of a chunk, which nothing else bounds; compressed twice it still is within Blosc's limit."""

MAX_NDIM = 64
"""NumPy's limit."""

Config = Mapping[str, Any]

LEGACY = {"json": "json2", "msgpack": "msgpack2"}
"""Codecs that numcodecs replaced, and what with: they write down no shape."""

VLEN = ("vlen-array", "vlen-bytes", "vlen-utf8")


@dataclass(frozen=True, slots=True)
class ObjectCodec:
    """One of them by its name and configuration; bound, by the type of elements and their number too."""

    name: str
    config: Config = field(default_factory=dict)

    @classmethod
    def from_config(cls, name: str, config: Config, allow_pickle: bool = False) -> ObjectCodec:
        """Raises MetadataError for a configuration it has not, UnsupportedError for `pickle` and packages not there."""
        if name == "pickle" and not allow_pickle:
            raise UnsupportedError(
                "codec 'pickle' runs code from the data: open with allow_pickle=True only what you trust",
                feature="codec pickle",
            )
        if name in ("vlen-bytes", "vlen-utf8"):
            unknown_members(config, name, set())
        if name in ("msgpack", "msgpack2"):
            _msgpack(name)
        if name == "categorize":
            _labels(config)
        if name == "vlen-array":
            _item(config)
        if name in ("json", "json2"):
            _encoding(config)
        return cls(name, dict(config))

    def to_config(self) -> CodecConfig:
        registered = self.name in ("vlen-bytes", "vlen-utf8")
        return CodecConfig(self.name if registered else f"numcodecs.{self.name}", dict(self.config))

    @property
    def made(self) -> np.dtype[Any]:
        """The type of what it makes of elements."""
        return _labels(self.config)[1] if self.name == "categorize" else np.dtype(np.uint8)

    def element(self, fill: Any) -> Any:
        """The element that a document's fill value means; None is null, and 0 what zarr-python 2 wrote for any type."""
        if self.name == "vlen-array":
            return _filled(fill, _item(self.config))
        texts = {"categorize": "", "vlen-bytes": b"", "vlen-utf8": ""}
        return texts.get(self.name) if fill is None or (self.name == "categorize" and fill == 0) else fill

    def encoded_size(self, count: int) -> int | None:
        """Bytes it makes of some elements, where that is fixed."""
        return count * self.made.itemsize if self.name == "categorize" else None

    def check(self, dtype: np.dtype[Any]) -> None:
        """Raises MetadataError where it makes no bytes of elements of a type."""
        kinds = {"vlen-utf8": "T", "vlen-bytes": "O", "vlen-array": "O", "categorize": "OU"}
        if dtype.kind not in kinds.get(self.name, "OUSVbiufcmM"):
            raise MetadataError(f"codec {self.name!r} makes no bytes of elements of {dtype}", field="codecs")
        if self.name == "categorize" and np.dtype(self.config["dtype"]) != dtype:
            raise MetadataError(f"categorize: dtype is not {dtype}, the array's", field="codecs")

    def bind(self, wire: Wire) -> ValuesStage:
        """As a stage after the bytes of elements of a fixed size."""
        self.check(wire.dtype)
        if wire.dtype.hasobject:
            raise MetadataError(f"{self.name}: objects have no bytes", field="codecs")
        return ValuesStage(self, wire.dtype)

    def decode(self, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """`count` elements, one after another. Raises CodecError, and whatever decoders raise."""
        found = DECODERS[self.name](self.name, self.config, data, dtype, count)
        if found.shape != (count,):
            raise self._wrong(found.size, count)
        return found

    def encode(self, values: NDArray[Any]) -> Buffer:
        """The bytes of elements, in their order."""
        if self.name in LEGACY:
            raise UnsupportedError(
                f"{self.name} is read only: write {LEGACY[self.name]}", feature=f"writing {self.name}"
            )
        if self.name == "pickle":
            return pickle.dumps(values, config_int(self.config, "pickle", "protocol", 0, 5, 5))
        if self.name == "categorize":
            return _encode_labels(self.config, values)
        if self.name in VLEN:
            values = values.astype(object)
            _check_lengths(self.name, values, _item(self.config).itemsize if self.name == "vlen-array" else 4)
        encoded: Buffer = _numcodecs(self).encode(values)
        if len(encoded) > MAX_BYTES:
            raise CodecError(f"{len(encoded)} bytes of elements, more than {MAX_BYTES}", codec=self.name)
        return encoded

    def _wrong(self, found: int, count: int) -> CodecError:
        return CodecError(f"holds {found} elements, not {count}", codec=self.name, direction="decode")


@dataclass(frozen=True, slots=True)
class ValuesStage:
    """A codec of objects used on elements of a fixed size: their bytes to its own."""

    codec: ObjectCodec
    dtype: np.dtype[Any]
    native: NativeOp | None = None

    @property
    def name(self) -> str:
        return self.codec.name

    def encoded_size(self, size: int) -> int | None:
        return self.codec.encoded_size(size // self.dtype.itemsize)

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        if size is None:
            raise CodecError("decodes to a number of elements that is not known", codec=self.name)
        count = size // self.dtype.itemsize
        found = self.codec.decode(data, self.dtype, count)
        decoded = np.ascontiguousarray(found).view(np.uint8).data
        return put(decoded, into)

    def encode(self, data: Buffer) -> Buffer:
        return self.codec.encode(np.frombuffer(data, self.dtype))


# ---- lengths and bytes -----------------------------------------------------------------------------------------------


def _numcodecs(codec: ObjectCodec) -> Any:
    numcodecs = module("numcodecs")
    with importing:  # numcodecs imports some of its codecs late
        return numcodecs.get_codec({"id": codec.name, **codec.config})


def _decode_vlen(name: str, config: Config, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    # numcodecs checks each length against the bytes there are, but makes room for as many elements as the head says.
    head = int.from_bytes(memoryview(data).cast("B")[:4], "little")
    if head != count:
        raise CodecError(f"holds {head} elements, not {count}", codec=name, direction="decode")
    found: NDArray[Any] = _numcodecs(ObjectCodec(name, config)).decode(data)
    return found


def _check_lengths(name: str, values: NDArray[Any], size: int) -> None:
    # numcodecs keeps a length in 32 bits and does not look whether it fits.
    longest = max((len(v) for v in values.flat if hasattr(v, "__len__")), default=0)
    if longest > MAX_BYTES // size:
        raise CodecError(f"an element of length {longest}, more than {MAX_BYTES // size}", codec=name)


def _item(config: Config) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(config["dtype"])
    except (KeyError, TypeError, ValueError) as error:
        raise MetadataError(f"vlen-array: no dtype: {error}", field="codecs") from error
    if dtype.hasobject or not dtype.itemsize:
        raise MetadataError(f"vlen-array: arrays of {dtype} have no bytes", field="codecs")
    return dtype


def _filled(fill: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        found = np.array([] if fill in (None, 0, "") else fill, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise MetadataError(f"vlen-array: {fill!r:.100}: {error}", field="fill_value") from error
    if found.ndim != 1:
        raise MetadataError(f"vlen-array: {fill!r:.100} is no array of one axis", field="fill_value")
    return found


# ---- documents -------------------------------------------------------------------------------------------------------


def _encoding(config: Config) -> str:
    encoding = config.get("encoding", "utf-8")
    if not isinstance(encoding, str) or encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        raise MetadataError(f"json2: encoding {encoding!r:.100}", field="codecs")
    return encoding


def _decode_json(name: str, config: Config, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    text = str(memoryview(data), _encoding(config))
    return _from_items(name, json.JSONDecoder(strict=bool(config.get("strict", True))).decode(text), dtype, count)


def _msgpack(name: str) -> Any:
    try:
        return module("msgpack")
    except ImportError as error:
        reason = f"codec {name!r} needs the package msgpack (the extra codecs)"
        raise UnsupportedError(reason, feature=f"codec {name}") from error


def _decode_msgpack(name: str, config: Config, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    items = _msgpack(name).unpackb(data, raw=bool(config.get("raw", False)), strict_map_key=False)
    return _from_items(name, items, dtype, count)


def _from_items(name: str, items: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Elements from a list of them, nested as the array was, with the array's type and shape at its end."""
    if not isinstance(items, list) or len(items) < 2:
        raise CodecError("is not a list of elements with their type and shape", codec=name, direction="decode")
    shape = None if name in LEGACY else items.pop()
    if shape is not None and not _counts(shape, count):
        raise CodecError(f"holds elements of shape {shape!r:.100}, not {count}", codec=name, direction="decode")
    kind = items.pop()
    kind = kind.decode("ascii") if isinstance(kind, bytes) else kind
    if not isinstance(kind, str) or (kind[1:] if kind[:1] in "<>|" else kind) != dtype.str[1:]:
        raise CodecError(f"holds elements of {kind!r:.100}, not of {dtype}", codec=name, direction="decode")
    depth = 0 if shape is None else max(0, len(shape) - 1)
    while depth or (shape is None and len(items) < count):
        if (not items and count) or not all(isinstance(inner, list) for inner in items):
            raise CodecError("is not nested as its shape says", codec=name, direction="decode")
        items, depth = list(chain.from_iterable(items)), max(0, depth - 1)
    if len(items) != count:
        raise CodecError(f"holds {len(items)} elements, not {count}", codec=name, direction="decode")
    return np.fromiter(items, object, count) if dtype.kind == "O" else np.array(items, dtype).reshape(count)


def _counts(shape: Any, count: int) -> bool:
    """Whether something is a shape of so many elements."""
    if not isinstance(shape, list | tuple) or len(shape) > MAX_NDIM:
        return False
    return all(type(n) is int and 0 <= n < 1 << 63 for n in shape) and math.prod(shape) == count


# ---- labels ----------------------------------------------------------------------------------------------------------


def _labels(config: Config) -> tuple[list[str], np.dtype[Any]]:
    """The labels of `categorize`, the first of which is 1, and the type of their numbers."""
    labels, kind = config.get("labels"), config.get("dtype")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise MetadataError("categorize: labels must be a list of strings", field="codecs")
    try:
        dtype: np.dtype[Any] = np.dtype(kind)
        numbers: np.dtype[Any] = np.dtype(config.get("astype", "|u1"))
    except (TypeError, ValueError) as error:
        raise MetadataError(f"categorize: {error}", field="codecs") from error
    if kind is None or dtype.kind not in "OU" or not dtype.itemsize:
        raise MetadataError("categorize: dtype must be of objects or strings", field="codecs")
    if numbers.kind not in "iu" or len(labels) > np.iinfo(numbers).max:
        raise MetadataError(f"categorize: {len(labels)} labels are not counted by {numbers}", field="codecs")
    return labels, numbers


def _decode_labels(name: str, config: Config, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    labels, kind = _labels(config)
    if memoryview(data).nbytes != count * kind.itemsize:
        raise bad_size("categorize", memoryview(data).nbytes // kind.itemsize, count)
    numbers = np.frombuffer(data, kind)
    known = (numbers > 0) & (numbers <= len(labels))
    return np.array(["", *labels], dtype)[np.where(known, numbers, 0)]


def _encode_labels(config: Config, values: NDArray[Any]) -> Buffer:
    labels, kind = _labels(config)
    numbers = {label: number + 1 for number, label in enumerate(labels)}
    return np.fromiter((numbers.get(v, 0) for v in values.flat), kind, values.size).data.cast("B")


# ---- pickles ---------------------------------------------------------------------------------------------------------


def _decode_pickle(name: str, config: Config, data: Buffer, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    found = pickle.loads(data)  # noqa: S301  # the caller allowed it
    if not isinstance(found, np.ndarray) or found.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise CodecError(f"holds no array of {dtype}", codec="pickle", direction="decode")
    return found.reshape(-1, order="A").astype(dtype, copy=False)  # in the order it was in, which is the stored one


DECODERS: dict[str, Callable[[str, Config, Buffer, np.dtype[Any], int], NDArray[Any]]] = {
    "categorize": _decode_labels,
    "json": _decode_json,
    "json2": _decode_json,
    "msgpack": _decode_msgpack,
    "msgpack2": _decode_msgpack,
    "pickle": _decode_pickle,
    "vlen-array": _decode_vlen,
    "vlen-bytes": _decode_vlen,
    "vlen-utf8": _decode_vlen,
}
