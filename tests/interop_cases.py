"""Arrays that implementations should agree on: documents, values, and who takes them.

A case is one combination of data type, codecs, layout and format. Its `peers` are letters of `peers.PEERS`; who is
left out does not know the case (`-` in the tables of its documentation, or refuses what the specification allows).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.dtypes import from_v3

__all__ = ["LITTLE", "Case", "Fill", "cases", "fills", "v3"]

ALL = "ztr"
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
PLAIN = {"name": "bytes"}
CRC = {"name": "crc32c"}
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
GZIP = {"name": "gzip", "configuration": {"level": 1}}


@dataclass(frozen=True)
class Case:
    """An array without chunks, the values to write into it, and who reads and writes it besides gpuzarr."""

    name: str
    documents: dict[str, Any]
    values: NDArray[Any]
    peers: str = ALL

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Fill:
    """A `fill_value` as documents spell it, and the element it means."""

    name: str
    documents: dict[str, Any]
    element: NDArray[Any]
    peers: str = ALL

    def __str__(self) -> str:
        return self.name


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def values(dtype: Any, shape: Sequence[int], fill: Any = 0) -> NDArray[Any]:
    """Elements of every kind that the type has; about a chunk of them is the fill value."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(list(dtype.name.encode()))
    count = int(np.prod(shape))
    if dtype.hasobject:
        texts: list[Any] = ["", "a", "żółw", "\U0001f40d", "b" * 300, "\0"]
        some = np.array(texts if dtype.kind == "T" else [t.encode("utf-16") for t in texts], object)
        flat = some[rng.integers(0, 6, count)].astype(dtype)
    elif dtype.type.__module__ == "ml_dtypes":
        flat = np.array([1, 0.5, 2, 1.5, 1, 4])[rng.integers(0, 6, count)].astype(dtype)
        if "int" in dtype.name:
            flat = rng.integers(0 if "uint" in dtype.name else -2, 2, count).astype(dtype)
    elif dtype.kind == "b":
        flat = rng.integers(0, 2, count).astype(dtype)
    elif dtype.kind in "iumM":
        flat = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
    elif dtype.kind in "fc":
        flat = rng.normal(size=count).astype(dtype)
        flat[: min(4, count)] = np.array([np.nan, np.inf, -np.inf, -0.0])[: min(4, count)]
    elif dtype.kind == "U":
        flat = np.array(["", "a", "żółw", "\U0001f40d", "b" * 9])[rng.integers(0, 5, count)].astype(dtype)
    elif dtype.kind == "S":
        flat = np.array([b"", b"a", b"\xff\x01", b"xyz" * 3])[rng.integers(0, 4, count)].astype(dtype)
    elif dtype.kind == "V" and dtype.names is None:
        flat = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
    else:
        flat = np.zeros(count, dtype)
        for name in dtype.names:
            field = dtype.fields[name][0]
            flat[name] = values(field.base, (count, *field.shape), 0)
    found = flat.reshape(shape)
    if count:
        found[tuple(slice(0, max(1, n // 3)) for n in shape)] = fill
    return found


# Format 3


def v3(
    data_type: Any,
    codecs: Sequence[Any] = (LITTLE, ZSTD),
    shape: Sequence[int] = (7, 10),
    chunks: Sequence[int] = (3, 4),
    fill: Any = 0,
    keys: Any = None,
    **members: Any,
) -> dict[str, Any]:
    return {
        "zarr.json": {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": data_type,
            "chunk_grid": codec("regular", chunk_shape=list(chunks)),
            "chunk_key_encoding": keys or codec("default", separator="/"),
            "fill_value": fill,
            "codecs": list(codecs),
            "attributes": {"title": "żółw", "of": [1, None, {"x": 2.5}]},
            **members,
        }
    }


CORE = {
    "bool": False,
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), 7),
    **dict.fromkeys(("float16", "float32", "float64"), 1.5),
    "complex64": [1.5, -2.0],
    "complex128": [1.5, -2.0],
}


def element(name: str, fill: Any) -> Any:
    return complex(*fill) if isinstance(fill, list) else np.dtype(name).type(fill)


def cases() -> Iterator[Case]:
    yield from _cases_v3()
    yield from _cases_v2()


def _cases_v3() -> Iterator[Case]:
    yield from _types_v3()
    yield from _small_types()
    yield from _extensions()
    yield from _objects_v3()
    yield from _bytes_codecs()
    yield from _layouts()
    yield from _transposes()
    yield from _shards()
    yield from _filters_v3()


def _types_v3() -> Iterator[Case]:
    for name, fill in CORE.items():
        data = values(name, (7, 10), element(name, fill))
        yield Case(f"{name}-little-zstd", v3(name, fill=fill), data)
        yield Case(f"{name}-big", v3(name, [BIG], fill=fill), data)
        blosc = codec("blosc", cname="lz4", clevel=5, shuffle="shuffle", typesize=data.itemsize, blocksize=0)
        yield Case(f"{name}-big-blosc", v3(name, [BIG, blosc], fill=fill), data)
    yield Case("uint8-without-endian", v3("uint8", [PLAIN, GZIP]), values("uint8", (7, 10)))


def _small_types() -> Iterator[Case]:
    """Types that NumPy lacks, and raw bits: zarr-python has none of them."""
    for bits in (8, 16, 24, 128):
        data = values(f"V{bits // 8}", (7, 10), bytes(bits // 8))
        yield Case(f"r{bits}", v3(f"r{bits}", [PLAIN, ZSTD], fill=[0] * (bits // 8)), data, "r")
    both = "bfloat16 float8_e3m4 float8_e4m3b11fnuz float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu"
    for name in f"{both} float4_e2m1fn int2 int4".split():
        yield _small(name, "tr")
    for name in ("float8_e4m3", "uint2", "uint4"):
        yield _small(name, "r")
    yield _small("float8_e4m3fn", "t")


def _small(name: str, peers: str) -> Case:
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, name))
    documents = v3(name, [LITTLE if dtype.itemsize > 1 else PLAIN, ZSTD], fill=1)
    return Case(name, documents, values(dtype, (7, 10), 1), peers)


def _extensions() -> Iterator[Case]:
    """Types of zarr-extensions, and zarr-python's own, that have a fixed size."""
    text = codec("fixed_length_utf32", length_bytes=36)
    moment = codec("numpy.datetime64", unit="us", scale_factor=10)
    span = codec("numpy.timedelta64", unit="h", scale_factor=10)
    pair = codec("struct", fields=[{"name": "x", "data_type": "int16"}, {"name": "y", "data_type": "float64"}])
    inner = codec("struct", fields=[{"name": "t", "data_type": moment}, {"name": "u", "data_type": text}])
    nested = codec("struct", fields=[{"name": "p", "data_type": pair}, {"name": "q", "data_type": inner}])
    legacy = codec("structured", fields=[["x", "int16"], ["y", "float64"]])
    one = {"x": 1, "y": -2.5}
    struct = np.dtype([("x", "i2"), ("y", "f8")])
    filled = np.array((1, -2.5), struct)
    deep = np.dtype([("p", struct), ("q", [("t", "M8[10us]"), ("u", "U9")])])
    found: dict[str, tuple[Any, Any, Any, Any, str]] = {
        "text": (text, "U9", "żółw", "żółw", "zr"),
        "moment": (moment, "M8[10us]", -7, np.datetime64(-7, "10us"), "zr"),
        "span": (span, "m8[10h]", "NaT", np.timedelta64("NaT", "10h"), "zr"),
        "struct": (pair, struct, one, filled, "Z"),
        "nested": (nested, deep, {"p": one, "q": {"t": 3, "u": "a"}}, np.array(((1, -2.5), (3, "a")), deep), "Z"),
        "structured": (legacy, struct, "AQAAAAAAAAAEwA==", filled, "z"),
        "S": (codec("null_terminated_bytes", length_bytes=9), "S9", "YWI=", b"ab", "z"),
        "V": (codec("raw_bytes", length_bytes=3), "V3", "AAEC", b"\0\1\2", "z"),
    }
    for name, (data_type, dtype, fill, element_, peers) in found.items():
        data = values(dtype, (7, 10), element_)
        yield Case(f"{name}-little", v3(data_type, fill=fill), data, peers)
        if name in ("text", "moment", "span", "struct", "nested"):
            yield Case(f"{name}-big", v3(data_type, [BIG, GZIP], fill=fill), data, peers)
        shards = [sharding((3, 2), [LITTLE, ZSTD])]
        peers = "Z" if name in ("structured", "V") else peers
        shards_big = [sharding((3, 2), [BIG])]
        if name != "structured":  # in whose fill value zarr-python does not see the byte order
            yield Case(f"{name}-shards-big", v3(data_type, shards_big, (7, 10), (6, 4), fill=fill), data, peers)
        yield Case(f"{name}-shards", v3(data_type, shards, (7, 10), (6, 4), fill=fill), data, peers)
    yield from _complex_types()


def _complex_types() -> Iterator[Case]:
    floats = "float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fnuz"
    for name in f"float16 bfloat16 {floats} float8_e5m2 float8_e5m2fnuz float8_e8m0fnu".split():
        dtype = from_v3(f"complex_{name}", "").dtype
        part = from_v3(name, "").dtype
        data = values(part, (7, 20), 1).view(dtype)
        codecs = [LITTLE if part.itemsize > 1 else PLAIN, ZSTD]
        yield Case(f"complex-{name}", v3(f"complex_{name}", codecs, fill=[1, 1]), data, "r")
    for name in ("float6_e2m3fn", "float6_e3m2fn"):
        yield _small(name, "r")


def _objects_v3() -> Iterator[Case]:
    """Elements of no fixed size, and codecs and layouts around them."""
    turn = codec("transpose", order=[1, 0])
    blosc = codec("blosc", cname="lz4", clevel=5, shuffle="noshuffle", typesize=1, blocksize=0)
    for name, fill, element_ in (("string", "żółw", "żółw"), ("bytes", "/wA=", b"\xff\0")):
        one = codec("vlen-utf8" if name == "string" else "vlen-bytes")
        dtype = from_v3(name, "").dtype
        chains: dict[str, tuple[list[Any], tuple[int, int], str]] = {
            "plain": ([one], (3, 4), "zr"),
            "zstd": ([one, ZSTD], (3, 4), "zr"),
            "two": ([one, GZIP, CRC], (3, 4), "zr"),
            "blosc": ([one, blosc], (3, 4), "zr"),
            "transposed": ([turn, one, ZSTD], (3, 4), "Z"),  # zarrs turns no elements of no fixed size back
            "one-chunk": ([one], (9, 12), "zr"),
            "shards": ([sharding((3, 2), [one])], (6, 4), "zr"),
            "shards-zstd": ([sharding((3, 2), [one, ZSTD], at="start")], (6, 4), "zr"),
            "shards-nested": ([sharding((3, 4), [sharding((3, 2), [one, CRC])])], (6, 4), "zr"),
            "shards-transposed": ([sharding((3, 2), [turn, one])], (6, 4), "Z"),
            "shards-after": ([sharding((3, 2), [one]), ZSTD], (6, 4), "zr"),
        }
        for how, (chain, chunks, peers) in chains.items():
            yield Case(f"{name}-{how}", v3(name, chain, (7, 10), chunks, fill), values(dtype, (7, 10), element_), peers)
        for shape in ((), (5,), (0, 3)):
            documents = v3(name, [one], shape, [max(1, n) for n in shape], fill)
            # zarr-python writes no objects where there is but one
            peers = "r" if name == "bytes" and shape == () else "zr"
            yield Case(f"{name}-{shape}", documents, values(dtype, shape, element_), peers)


def _bytes_codecs() -> Iterator[Case]:
    chains: dict[str, tuple[list[Any], str]] = {
        "none": ([], ALL),
        "gzip0": ([codec("gzip", level=0)], ALL),
        "gzip9": ([codec("gzip", level=9)], ALL),
        "zstd": ([codec("zstd", level=19, checksum=False)], ALL),
        "zstd-negative": ([codec("zstd", level=-5, checksum=False)], ALL),
        "zstd-checksum": ([codec("zstd", level=0, checksum=True)], ALL),
        "crc32c": ([CRC], ALL),
        "gzip-crc32c": ([GZIP, CRC], ALL),
        "crc32c-zstd": ([CRC, ZSTD], ALL),
        "zstd-gzip-crc32c": ([ZSTD, GZIP, CRC], ALL),
        "crc32c-crc32c": ([CRC, CRC], ALL),
    }
    names = ("lz4", "lz4hc", "blosclz", "zstd", "zlib")
    for cname, shuffle in itertools.product(names, ("noshuffle", "shuffle", "bitshuffle")):
        one = codec("blosc", cname=cname, clevel=5, shuffle=shuffle, typesize=4, blocksize=0)
        chains[f"blosc-{cname}-{shuffle}"] = [one], ALL
    stored = codec("blosc", cname="lz4", clevel=0, shuffle="shuffle", typesize=4, blocksize=0)
    blocks = codec("blosc", cname="zstd", clevel=9, shuffle="shuffle", typesize=4, blocksize=128)
    twice = codec("blosc", cname="lz4", clevel=5, shuffle="noshuffle", typesize=1, blocksize=0)
    chains |= {"blosc-stored": ([stored], ALL), "blosc-blocks": ([blocks], ALL), "blosc-crc32c": ([twice, CRC], ALL)}
    smooth = np.cumsum(np.ones((30, 40), np.int32), axis=1, dtype=np.int32)
    smooth[:10, :16] = 0
    for name, (chain, peers) in chains.items():
        yield Case(name, v3("int32", [LITTLE, *chain], (30, 40), (10, 16)), smooth, peers)


def _layouts() -> Iterator[Case]:
    for shape, chunks in (
        ((), ()),
        ((1,), (1,)),
        ((11,), (4,)),
        ((5, 6), (8, 9)),
        ((4, 5), (1, 1)),
        ((3, 4, 5), (2, 4, 3)),
        ((2, 3, 2, 3, 2), (1, 2, 2, 3, 1)),
    ):
        yield Case(f"shape{shape}", v3("int16", shape=shape, chunks=chunks, fill=-1), values("int16", shape, -1))
    for shape, chunks in (((0,), (2,)), ((3, 0), (2, 2)), ((0, 3, 0), (1, 3, 2))):
        yield Case(f"shape{shape}", v3("int16", shape=shape, chunks=chunks), values("int16", shape))
    for name, separator in itertools.product(("default", "v2"), "/."):
        for shape, chunks in (((7, 10), (3, 4)), ((), ())):
            keys = codec(name, separator=separator)
            data = values("uint8", shape)
            yield Case(f"keys-{name}{separator}-{len(shape)}d", v3("uint8", [PLAIN], shape, chunks, keys=keys), data)
    names = v3("uint8", [PLAIN], dimension_names=["y", None])
    yield Case("dimension-names", names, values("uint8", (7, 10)))


def _transposes() -> Iterator[Case]:
    for order in itertools.permutations(range(3)):
        chain = [codec("transpose", order=list(order)), BIG, ZSTD]
        yield Case(f"transpose{order}", v3("uint16", chain, (5, 6, 7), (2, 3, 4)), values("uint16", (5, 6, 7)))
    twice = [codec("transpose", order=[1, 2, 0]), codec("transpose", order=[2, 1, 0]), LITTLE]
    yield Case("transpose-twice", v3("uint16", twice, (5, 6, 7), (2, 3, 4)), values("uint16", (5, 6, 7)))


def sharding(chunk: Sequence[int], codecs: Sequence[Any], index: Sequence[Any] = (LITTLE, CRC), at: str = "end") -> Any:
    return codec(
        "sharding_indexed", chunk_shape=list(chunk), codecs=list(codecs), index_codecs=list(index), index_location=at
    )


def _shards() -> Iterator[Case]:
    turn = codec("transpose", order=[1, 0])
    blosc = codec("blosc", cname="zstd", clevel=5, shuffle="bitshuffle", typesize=2, blocksize=0)
    inner = (3, 2)
    chains: dict[str, tuple[list[Any], str]] = {
        "plain": ([sharding(inner, [LITTLE])], ALL),
        "big": ([sharding(inner, [BIG])], ALL),
        "start": ([sharding(inner, [LITTLE, ZSTD], at="start")], ALL),
        "end": ([sharding(inner, [LITTLE, ZSTD])], ALL),
        "gzip": ([sharding(inner, [LITTLE, GZIP])], ALL),
        "blosc": ([sharding(inner, [LITTLE, blosc], at="start")], ALL),
        "crc-inside": ([sharding(inner, [LITTLE, CRC])], ALL),
        "index-without-crc": ([sharding(inner, [LITTLE, ZSTD], [LITTLE])], ALL),
        "index-big": ([sharding(inner, [LITTLE, ZSTD], [BIG, CRC])], ALL),
        "index-big-start-without-crc": ([sharding(inner, [BIG], [BIG], "start")], ALL),
        "index-two-crcs": ([sharding(inner, [LITTLE], [LITTLE, CRC, CRC])], ALL),
        "transposed-inside": ([sharding(inner, [turn, LITTLE, ZSTD])], ALL),
        "nested": ([sharding((6, 4), [sharding(inner, [LITTLE, ZSTD])])], ALL),
        "nested-start-end": ([sharding((6, 4), [sharding(inner, [BIG, GZIP])], at="start")], ALL),
        "nested-end-start": ([sharding((6, 4), [sharding(inner, [LITTLE], at="start"), CRC])], "zr"),
        "nested-three": ([sharding((6, 8), [sharding((6, 4), [sharding(inner, [LITTLE])], at="start")])], ALL),
        "nested-transposed": ([sharding((6, 4), [turn, sharding((2, 3), [LITTLE, ZSTD])])], ALL),
        "codecs-after": ([sharding(inner, [LITTLE]), ZSTD], "zr"),
        "codecs-after-start": ([sharding(inner, [LITTLE, ZSTD], at="start"), GZIP, CRC], "zr"),
        "transposed-and-after": ([turn, sharding((2, 2), [LITTLE]), GZIP], "zr"),
        "transposed-outside": ([turn, sharding((2, 2), [LITTLE, ZSTD])], ALL),
        "transposed-everywhere": ([turn, sharding((2, 2), [turn, BIG, CRC])], ALL),
    }
    for name, (chain, peers) in chains.items():
        data = values("uint16", (7, 13), 5)
        yield Case(f"shards-{name}", v3("uint16", chain, (7, 13), (6, 8), fill=5), data, peers)
    long = v3("uint16", [turn, sharding((4, 3), [LITTLE])], (7, 13), (6, 8), fill=5)
    # inner chunks divide the shard as it is stored, which zarr-python compares with the shard as it is
    yield Case("shards-transposed-oblong", long, values("uint16", (7, 13), 5), "tr")
    for name in ("bool", "int8", "float64", "complex64"):
        one = v3(name, [sharding((2,), [LITTLE, ZSTD])], (21,), (6,), fill=CORE[name])
        yield Case(f"shards-{name}", one, values(name, (21,), element(name, CORE[name])))
    whole = v3("int32", [sharding((2, 2, 2), [LITTLE])], (4, 4, 4), (4, 4, 4))
    yield Case("shards-one", whole, values("int32", (4, 4, 4)))
    yield Case("shards-scalar", v3("int32", [sharding((), [LITTLE])], (), ()), values("int32", ()), "Ztr")


def _filters_v3() -> Iterator[Case]:
    """Codecs of numcodecs in format 3: zarr-python's names for them, which other implementations share in part."""
    data = np.arange(70, dtype=np.int32).reshape(7, 10) * 3
    floats = np.arange(70).reshape(7, 10) / 8
    delta = codec("numcodecs.delta", dtype="<i4", astype="<i2")
    scale = codec("numcodecs.fixedscaleoffset", offset=0, scale=8, dtype="<f8", astype="<u2")
    round_ = codec("numcodecs.bitround", keepbits=9)
    turn = codec("transpose", order=[1, 0])
    chains: dict[str, tuple[NDArray[Any], list[Any], str]] = {
        "delta": (data, [delta, LITTLE, ZSTD], "z"),
        "delta-big": (data, [delta, BIG], "Z"),
        "delta-transposed": (data, [turn, delta, LITTLE], "Z"),
        "delta-in-shards": (data, [sharding((2, 5), [delta, BIG, CRC])], "Z"),
        "scale": (floats, [scale, BIG, GZIP], "Zr"),
        "scale-transposed": (floats, [scale, turn, LITTLE], "r"),  # zarr-python flattens first
        "scale-delta": (floats, [scale, codec("numcodecs.delta", dtype="<u2"), LITTLE], "z"),
        "astype": (data, [codec("numcodecs.astype", encode_dtype="<i2", decode_dtype="<i4"), BIG], "Z"),
        "bitround": (floats.astype("f4"), [round_, LITTLE, ZSTD], "zr"),
        "quantize": (floats, [codec("numcodecs.quantize", digits=3, dtype="<f8"), LITTLE], "z"),
        "packbits": (data % 5 == 0, [codec("numcodecs.packbits"), PLAIN], "z"),
        "shuffle": (data, [LITTLE, codec("numcodecs.shuffle", elementsize=4), ZSTD], "zr"),
        "zlib": (data, [LITTLE, codec("numcodecs.zlib", level=3)], "z"),
        "bz2": (data, [LITTLE, codec("numcodecs.bz2", level=1)], "z"),
        "lz4": (data, [LITTLE, codec("numcodecs.lz4", acceleration=1)], "z"),
        "lzma": (data, [LITTLE, codec("numcodecs.lzma", format=1, check=-1, preset=1, filters=None)], "z"),
        "blosc": (data, [LITTLE, codec("numcodecs.blosc", cname="zstd", clevel=5, shuffle=2, blocksize=0)], "z"),
        "zstd": (data, [LITTLE, codec("numcodecs.zstd", level=3)], "z"),
        "gzip": (data, [LITTLE, codec("numcodecs.gzip", level=3)], "z"),
    }
    rounded = codec("bitround", keepbits=3)
    for dtype in ("uint8", "int16", "uint64", "float16", "float32", "float64", "complex64"):
        few = np.tile(np.array([1, 2, 3, 5, 6, 7, 0, 12, 10, 80]), (7, 1)).astype(dtype)
        chains[f"rounded-{dtype}"] = few, [rounded, LITTLE, ZSTD], "r"
        chains[f"rounded-{dtype}-turned"] = few, [rounded, turn, BIG], "r"
    for check in ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"):
        chains[check] = data, [LITTLE, codec(f"numcodecs.{check}")], "z"
    for name, (stored, chain, peers) in chains.items():
        fill = {"b": False, "c": [0, 0]}.get(stored.dtype.kind, 0)
        documents = v3(stored.dtype.name, chain, (7, 10), (4, 5), fill=fill)
        yield Case(f"numcodecs-{name}", documents, stored, peers)


# Format 2


def v2(
    dtype: Any,
    compressor: Any = None,
    filters: Any = None,
    shape: Sequence[int] = (7, 10),
    chunks: Sequence[int] = (3, 4),
    fill: Any = 0,
    order: str = "C",
    separator: str = ".",
) -> dict[str, Any]:
    return {
        ".zarray": {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": dtype,
            "compressor": compressor,
            "fill_value": fill,
            "order": order,
            "filters": filters,
            "dimension_separator": separator,
        },
        ".zattrs": {"title": "żółw", "of": [1, None, {"x": 2.5}]},
    }


PACKED = {"id": "gzip", "level": 1}
NESTED = [["x", "<f8"], ["at", [["u", "|u1"], ["v", ">i2"]]], ["name", "|S3"]]


def _cases_v2() -> Iterator[Case]:
    yield from _types_v2()
    yield from _objects_v2()
    yield from _layouts_v2()
    yield from _compressors()
    yield from _filters_v2()


def _types_v2() -> Iterator[Case]:
    plain = "|b1 |i1 |u1 <i2 >i2 <u2 >u2 <i4 >i4 <u4 >u4 <i8 >i8 <u8 >u8 <f2 >f2 <f4 >f4 <f8 >f8 <c8 >c8 <c16 >c16"
    for typestr in plain.split():
        data = values(typestr, (7, 10))
        fill = [0.0, 0.0] if data.dtype.kind == "c" else False if data.dtype.kind == "b" else 0
        # tensorstore writes complex numbers, and reads their fill value, in another way
        yield Case(typestr, v2(typestr, PACKED, fill=fill, order="F"), data, "zr" if data.dtype.kind == "c" else ALL)
    for typestr in ("<M8[s]", ">M8[ns]", "<M8[D]", "<M8[10us]", "<m8[ms]", ">m8[h]"):
        data = values(typestr, (7, 10), np.array(0, "i8").view(typestr.replace(">", "<")))
        yield Case(typestr, v2(typestr, PACKED), data, "z")
    for typestr in ("|S1", "|S5", "<U1", "<U5", ">U5", "|V1", "|V7"):
        data = values(typestr, (7, 10), b"\0" * 7 if "V" in typestr else "")
        fill = {"S": "", "U": "", "V": "A" * (4 * -(-data.itemsize // 3))}[data.dtype.kind]
        if data.dtype.kind == "V":
            fill = {1: "AA==", 7: "AAAAAAAAAA=="}[data.itemsize]
        yield Case(typestr, v2(typestr, PACKED, fill=fill), data, "z")
    # elements that Blosc shuffles, and elements that are too large for it
    for typestr, shuffle in itertools.product(("<U5", "|S255", "|S300"), (-1, 1, 2)):
        blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": shuffle, "blocksize": 0}
        yield Case(f"{typestr}-blosc-{shuffle}", v2(typestr, blosc, fill=""), values(typestr, (7, 10), ""), "z")
    for name, spec in (("pair", [["a", "<i4"], ["b", ">f4"]]), ("nested", NESTED)):
        data = values(as_dtype(spec), (7, 10), np.zeros((), as_dtype(spec)))
        for order in "CF":
            peers = "Z" if name == "nested" else "z"
            yield Case(f"structured-{name}-{order}", v2(spec, PACKED, fill=None, order=order), data, peers)


def _objects_v2() -> Iterator[Case]:
    for name, fill, element_ in (("vlen-utf8", "żółw", "żółw"), ("vlen-bytes", "/wA=", b"\xff\0")):
        dtype = from_v3("string" if name == "vlen-utf8" else "bytes", "").dtype
        data = values(dtype, (7, 10), element_)
        for order, compressor in itertools.product("CF", (None, PACKED)):
            how = f"{name}-{order}{'' if compressor is None else '-packed'}"
            peers = "zr" if name == "vlen-utf8" and order == "C" else "z"
            yield Case(f"v2-{how}", v2("|O", compressor, [{"id": name}], fill=fill, order=order), data, peers)
        undefined = v2("|O", None, [{"id": name}], fill=None)
        yield Case(f"v2-{name}-undefined", undefined, values(dtype, (7, 10), data[6, 9]), "z")


def as_dtype(spec: Any) -> np.dtype[Any]:
    if isinstance(spec, str):
        return np.dtype(spec)
    return np.dtype([(name, as_dtype(kind)) for name, kind in spec])


def _layouts_v2() -> Iterator[Case]:
    shapes = (((), ()), ((11,), (4,)), ((5, 6), (8, 9)), ((3, 4, 5), (2, 4, 3)), ((2, 3, 2, 3), (1, 2, 2, 3)))
    for (shape, chunks), order, separator in itertools.product(shapes, "CF", "./"):
        documents = v2("<i2", PACKED, None, shape, chunks, -1, order, separator)
        yield Case(f"v2-{shape}-{order}{separator}", documents, values("int16", shape, -1))
    for shape, chunks in (((0,), (2,)), ((3, 0), (2, 2))):
        yield Case(f"v2-{shape}", v2("<i2", PACKED, None, shape, chunks), values("int16", shape))
    bare = v2("<i2", PACKED)
    del bare[".zarray"]["dimension_separator"], bare[".zattrs"]
    yield Case("v2-without-separator-and-attributes", bare, values("int16", (7, 10)))


def _compressors() -> Iterator[Case]:
    smooth = np.cumsum(np.ones((30, 40), np.int32), axis=1, dtype=np.int32)
    smooth[:10, :16] = 0
    some = {
        "none": (None, ALL),
        "zlib": ({"id": "zlib", "level": 9}, "zt"),
        "gzip": ({"id": "gzip", "level": 5}, ALL),
        "zstd": ({"id": "zstd", "level": 0}, ALL),
        "zstd-negative": ({"id": "zstd", "level": -3}, ALL),
        "zstd-checksum": ({"id": "zstd", "level": 1, "checksum": True}, "z"),
        "bz2": ({"id": "bz2", "level": 1}, "zt"),
        "lz4": ({"id": "lz4", "acceleration": 1}, "z"),
        "lzma": ({"id": "lzma", "format": 1, "check": -1, "preset": 1, "filters": None}, "z"),
        "lzma-alone": ({"id": "lzma", "format": 2, "check": -1, "preset": None, "filters": None}, "z"),
        "lzma-raw": ({"id": "lzma", "format": 3, "check": -1, "preset": None, "filters": [{"id": 33}]}, "z"),
        "blosc-stored": ({"id": "blosc", "cname": "lz4", "clevel": 0, "shuffle": 1, "blocksize": 0}, ALL),
        "blosc-blocks": ({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 2, "blocksize": 256}, ALL),
        "base64": ({"id": "base64"}, "z"),
    }
    for cname, shuffle in itertools.product(("lz4", "lz4hc", "blosclz", "zstd", "zlib"), (-1, 0, 1, 2)):
        one = {"id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0}
        some[f"blosc-{cname}-{shuffle}"] = one, "zt" if shuffle < 0 else ALL
    for check in ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"):
        some[check] = {"id": check}, "z"
    for name, (compressor, peers) in some.items():
        yield Case(f"v2-{name}", v2("<i4", compressor, None, (30, 40), (10, 16)), smooth, peers)


def _filters_v2() -> Iterator[Case]:
    data = np.arange(70, dtype=np.int32).reshape(7, 10) * 3
    floats = np.arange(70).reshape(7, 10) / 8
    chains: dict[str, tuple[NDArray[Any], list[Any]]] = {
        "delta": (data, [{"id": "delta", "dtype": "<i4", "astype": "<i2"}]),
        "delta-big": (data.astype(">i4"), [{"id": "delta", "dtype": ">i4", "astype": ">i4"}]),
        "delta-float": (floats, [{"id": "delta", "dtype": "<f8"}]),
        "scale": (floats, [{"id": "fixedscaleoffset", "offset": 1, "scale": 8, "dtype": "<f8", "astype": "<i2"}]),
        "scale-big": (
            floats.astype(">f8"),
            [{"id": "fixedscaleoffset", "offset": 1, "scale": 8, "dtype": ">f8", "astype": ">i2"}],
        ),
        "scale-delta": (
            floats,
            [
                {"id": "fixedscaleoffset", "offset": 0, "scale": 8, "dtype": "<f8", "astype": "<u2"},
                {"id": "delta", "dtype": "<u2", "astype": "<u4"},
            ],
        ),
        "shuffle": (data, [{"id": "shuffle", "elementsize": 4}]),
        "delta-shuffle": (data, [{"id": "delta", "dtype": "<i4"}, {"id": "shuffle", "elementsize": 4}]),
        "astype": (data, [{"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<i4"}]),
        "packbits": (data % 5 == 0, [{"id": "packbits"}]),
        "quantize": (floats, [{"id": "quantize", "digits": 3, "dtype": "<f8", "astype": "<f4"}]),
        "bitround": (floats.astype("f4"), [{"id": "bitround", "keepbits": 9}]),
        "base64": (data, [{"id": "base64"}]),
        "crc32": (data, [{"id": "crc32"}]),
        "crc32c": (data, [{"id": "crc32c"}]),
        "fletcher32": (data, [{"id": "fletcher32"}]),
        "compressors": (data, [{"id": "zlib", "level": 1}, PACKED, {"id": "lz4", "acceleration": 1}]),
    }
    for (name, (stored, filters)), order in itertools.product(chains.items(), "CF"):
        fill = False if stored.dtype == bool else 0
        documents = v2(stored.dtype.str, PACKED, filters, (7, 10), (4, 5), fill, order)
        if (name, order) != ("bitround", "F"):  # zarr-python does not read back what it writes
            yield Case(f"v2-filter-{name}-{order}", documents, stored, "z")


# Fill values: every form that the specifications have


def fills() -> Iterator[Fill]:
    yield from _fills_v3()
    yield from _fills_v2()


def _fills_v3() -> Iterator[Fill]:
    forms: dict[str, list[tuple[Any, Any]]] = {"bool": [(True, True), (False, False)]}
    for name in (n for n in CORE if "int" in n):
        info = np.iinfo(name)
        forms[name] = [(int(info.min), info.min), (int(info.max), info.max)]
    words = [("NaN", np.nan), ("Infinity", np.inf), ("-Infinity", -np.inf)]
    for name, nan in (("float16", "0x7e01"), ("float32", "0xffc00001"), ("float64", "0x7ff8000000000001")):
        bits = np.frombuffer(bytes.fromhex(nan[2:]), np.dtype(name).newbyteorder(">"))[0]
        forms[name] = [(3, 3), (-0.0, -0.0), (0.1, 0.1), *words, (nan, bits)]
    forms["complex64"] = [([1, -2.5], 1 - 2.5j), (["NaN", "-Infinity"], complex(np.nan, -np.inf))]
    payload = np.frombuffer(bytes.fromhex("7ff80000000000013ff0000000000000"), ">c16")[0]
    forms["complex128"] = [(["0x7ff8000000000001", 1], payload)]
    for name, pairs in forms.items():
        for form, meant in pairs:
            # zarr-python's float16 has one NaN only
            peers = "tr" if form == "0x7e01" else ALL
            yield Fill(f"{name}: {form}", v3(name, fill=form), np.asarray(meant).reshape(()).astype(name), peers)
    numbers = v3("bytes", [codec("vlen-bytes")], fill=[0, 255])
    yield Fill("bytes: numbers", numbers, np.array(b"\0\xff", object), "r")
    bits = np.frombuffer(bytes.fromhex("0000c07f07"), [("x", "<f4"), ("y", "u1")])[0]
    fields = [{"name": "x", "data_type": "float32"}, {"name": "y", "data_type": "uint8"}]
    struct = v3(codec("struct", fields=fields), fill={"x": "NaN", "y": 7})
    yield Fill("struct", struct, np.array(bits), "Z")
    yield Fill("r24", v3("r24", [PLAIN], fill=[1, 2, 255]), np.array(b"\1\2\xff", "V3"), "r")
    yield from _fills_of_small_types()


def _fills_of_small_types() -> Iterator[Fill]:
    forms: dict[str, list[tuple[Any, int]]] = {
        "bfloat16": [(1.5, 0x3FC0), ("NaN", 0x7FC0), ("0x7fc1", 0x7FC1)],
        "float8_e5m2": [("-Infinity", 0xFC), ("NaN", 0x7E)],
        "int4": [(-8, 0x8), (7, 0x7)],
    }
    import ml_dtypes

    for name, pairs in forms.items():
        dtype = np.dtype(getattr(ml_dtypes, name))
        for form, bits in pairs:
            document = v3(name, [LITTLE if dtype.itemsize > 1 else PLAIN], fill=form)
            yield Fill(f"{name}: {form}", document, np.array(bits, f"u{dtype.itemsize}").view(dtype), "tr")


def _fills_v2() -> Iterator[Fill]:
    pair = np.array((7, -1.5), [("a", "<i4"), ("b", ">f4")])
    forms: list[tuple[Any, Any, Any, str]] = [
        ("|b1", True, True, ALL),
        ("<i2", None, 0, "z"),
        (">i4", -5, -5, ALL),
        ("<u8", 2**64 - 1, 2**64 - 1, ALL),
        ("<f4", "NaN", np.nan, ALL),
        (">f8", "-Infinity", -np.inf, ALL),
        ("<f8", 0.1, 0.1, ALL),
        ("<c16", [1.5, "NaN"], complex(1.5, np.nan), "z"),
        ("|S3", "YWI=", b"ab", "z"),
        ("<U3", "żó", "żó", "z"),
        ("|V3", "AQL/", np.array(b"\1\2\xff", "V3"), "z"),
        ("<M8[s]", 12, np.datetime64(12, "s"), "z"),
        (">m8[ms]", -(2**63), np.timedelta64("NaT", "ms"), "z"),
        ([["a", "<i4"], ["b", ">f4"]], "BwAAAL/AAAA=", pair, "z"),
    ]
    for dtype, form, meant, peers in forms:
        name = dtype if isinstance(dtype, str) else "structured"
        yield Fill(f"{name}: {form}", v2(dtype, PACKED, fill=form), np.asarray(meant, as_dtype(dtype)), peers)
