"""What is legal, and yet refused or read otherwise by other readers.

The rule: what is registered, and who reads it, is in tables; zarr-python 3.4, TensorStore 0.1.86 and zarrs (as of
zarrista 0.1) were asked. gpuzarr reads all of it, or says by another rule that it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gpuzarr.metadata.forms import RepeatedMembers
from gpuzarr.validation.documents import Document, Fault

__all__ = ["unusual_array_v2", "unusual_array_v3", "unusual_group_v2", "unusual_v3"]

Z, T, R = "zarr-python", "TensorStore", "zarrs"

CODECS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd"), ()),
    **dict.fromkeys(("vlen-bytes", "vlen-utf8"), (T,)),
    **dict.fromkeys(("bitround", "packbits", "reshape"), (Z, T)),
    **dict.fromkeys(("cast_value", "scale_offset"), (T, R)),
    **dict.fromkeys(("conditional", "n5_default", "zfp"), (Z, T, R)),
}
"""Registered codecs, and who does not have them."""

_CORE = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
_SMALL = ("float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
_SMALLEST = ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e8m0fnu")
_PARTS = ("float32", "float64", "float16", "bfloat16", *_SMALL, *_SMALLEST)
_COMPLEX = tuple(f"complex_{name}" for name in _PARTS)
_TIMES = ("numpy.datetime64", "numpy.timedelta64")

TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_CORE.split(), ()),
    **dict.fromkeys((*_SMALL, *_SMALLEST, "bfloat16", "int2", "int4"), (Z,)),
    **dict.fromkeys(("float8_e4m3", "float6_e2m3fn", "float6_e3m2fn", "uint2", "uint4", *_COMPLEX), (Z, T)),
    **dict.fromkeys(("bytes", "fixed_length_utf32", "string", *_TIMES), (T,)),
    **dict.fromkeys(("struct", "structured"), ("TensorStore as a whole", R)),
}
"""Registered data types, and who does not have them."""

GRIDS: dict[str, tuple[str, ...]] = {"regular": (), "rectilinear": (T, "zarr-python as it is set up")}
KEYS = ("default", "v2")


def unusual_v3(document: Document) -> Iterator[Fault]:
    """What is unusual in the object of any `zarr.json`."""
    for name, value in document.items():
        if isinstance(value, dict) and value.get("must_understand") is False and name != "consolidated_metadata":
            yield Fault("unknown-member", name, f"{name!r:.100} need not be understood, and is left out")
    if _repeats(document.get("attributes")):
        yield Fault("repeated-member", "attributes", "a name is there twice; the last one counts")
    found = document.get("consolidated_metadata")
    if isinstance(found, dict) and found.get("must_understand") is not False:
        reason = "must_understand is not false: a reader that does not know it fails"
        yield Fault("consolidated-form", "consolidated_metadata", reason)


def unusual_array_v3(document: Document) -> Iterator[Fault]:
    """What is unusual in the object of an array's `zarr.json`."""
    yield from unusual_v3(document)
    yield from _type(document.get("data_type"), "data_type")
    yield from _named(document.get("chunk_grid"), "chunk_grid", GRIDS)
    encoding = document.get("chunk_key_encoding")
    if isinstance(encoding, str):
        yield Fault("short-name", "chunk_key_encoding", f"a name alone, which {Z} and {T} refuse")
    yield from _codecs(document.get("codecs"), "codecs")
    names = document.get("dimension_names")
    counts = Counter(n for n in names if isinstance(n, str)) if isinstance(names, list) else {}
    for name in [n for n, times in counts.items() if times > 1 and n]:
        yield Fault("repeated-names", "dimension_names", f"{name!r:.100} is there twice, which {T} refuses")


def _type(value: Any, field: str) -> Iterator[Fault]:
    name = value.get("name") if isinstance(value, dict) else value
    if not isinstance(name, str) or name == "structured":
        return
    if isinstance(value, dict) and not value.get("configuration"):
        yield Fault("few-readers", field, f"an object for the name alone, which {Z} and {T} refuse")
    if name[:1] == "r" and name[1:].isdigit():
        yield Fault("few-readers", field, f"raw bits are not read by {Z} and {T}")
        return
    yield from _named(value, field, TYPES)


def _named(value: Any, field: str, table: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    """What registered names and their readers say of an extension."""
    name = value.get("name") if isinstance(value, dict) else value
    if not isinstance(name, str):
        return
    missing = table.get(name)
    if missing is None:
        yield Fault("unregistered", field, f"{name!r:.100} is not registered with zarr-extensions")
    elif missing:
        yield Fault("few-readers", field, f"{name} is not read by {' and '.join(missing)}")


def _codecs(listed: Any, field: str) -> Iterator[Fault]:
    after = False
    for k, item in enumerate(listed if isinstance(listed, list) else ()):
        where = f"{field}[{k}]"
        if isinstance(item, str):
            yield Fault("short-name", where, f"a name alone, which {Z} and {T} refuse")
        yield from _codec({"name": item} if isinstance(item, str) else item, where)
        if after:
            yield Fault("few-readers", where, f"a codec after sharding is not read by {T}")
        after = after or (isinstance(item, dict) and item.get("name") == "sharding_indexed")


def _codec(item: Any, where: str) -> Iterator[Fault]:
    if not isinstance(item, dict):
        return
    yield from _named(item, where, CODECS)
    found = item.get("configuration")
    config = found if isinstance(found, dict) else {}
    if "must_understand" in item:
        yield Fault("must-understand", where, "readers of Zarr 3.0 know no must_understand of codecs")
    if item.get("name") == "zstd" and "checksum" not in config:
        yield Fault("zstd-checksum", where, f"checksum is not said, without which {R} refuses it")
    if item.get("name") == "sharding_indexed":
        for name in ("codecs", "index_codecs"):
            yield from _codecs(config.get(name), f"{where}.{name}")


def _repeats(value: Any) -> bool:
    """Whether an object in a value has a name twice."""
    if isinstance(value, RepeatedMembers):
        return True
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_repeats(v) for v in inside)


# ---- format 2 --------------------------------------------------------------------------------------------------------

_KNOWN = frozenset(
    ["zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters", "dimension_separator"]
)


_COMPRESSORS = ("blosc", "bz2", "gzip", "zlib", "zstd")


def unusual_array_v2(document: Document) -> Iterator[Fault]:
    """What is unusual in the object of an `.zarray`."""
    for name in sorted(document.keys() - _KNOWN):
        yield Fault("unknown-member", name, f"{name!r:.100} is left out by readers")
    yield from _type_v2(document.get("dtype"))
    filters = document.get("filters")
    if filters:
        yield Fault("few-readers", "filters", f"filters are not read by {T}")
    compressor = document.get("compressor")
    last = compressor if isinstance(compressor, dict) else {"id": "zstd"}
    if last.get("id") not in _COMPRESSORS or (last["id"] == "zstd" and "checksum" in last):
        yield Fault("few-readers", "compressor", f"{last.get('id')!r:.100} as it is set up is not read by {T}")
    for k, item in enumerate(filters if isinstance(filters, list) else ()):
        codec = item.get("id") if isinstance(item, dict) else None
        if codec == "pickle":
            yield Fault("pickle", f"filters[{k}]", "objects that run code when they are read")
        if codec in ("categorize", "json2", "msgpack2", "pickle", "vlen-array"):
            yield Fault("few-readers", f"filters[{k}]", f"objects by {codec} are not read by {Z} 3 and {T}")


def _type_v2(value: Any) -> Iterator[Fault]:
    if isinstance(value, list):
        yield from _struct_v2(value)
    elif isinstance(value, str):
        order, kind = value[:1], value[1:2]
        if order in "<>" and (value[1:] in ("b1", "i1", "u1") or kind in ("S", "V")):
            yield Fault("one-byte-order", "dtype", f"{value!r:.100} has a byte order where there is none")
        if kind in ("U", "O", "m", "M"):
            yield Fault("few-readers", "dtype", f"{value!r:.100} is not read by {T}")


def _struct_v2(fields: list[Any]) -> Iterator[Fault]:
    if any(isinstance(item, list) and len(item) > 1 and isinstance(item[1], list) for item in fields):
        yield Fault("few-readers", "dtype", f"nested structured types are not read by {T}")
    if any(isinstance(item, list) and len(item) == 3 for item in fields):
        yield Fault("few-readers", "dtype", f"fields that are arrays are not read by {Z} 3")


def unusual_group_v2(document: Document) -> Iterator[Fault]:
    """What is unusual in the object of a `.zgroup`."""
    for name in sorted(document.keys() - {"zarr_format"}):
        yield Fault("unknown-member", name, f"{name!r:.100} is left out by readers")
