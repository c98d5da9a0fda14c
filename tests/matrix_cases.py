"""Every combination of data type, codecs and grid that two other implementations take, besides gpuzarr.

A combination has one choice for each factor. Who takes a choice stands beside it, as letters of `peers.PEERS`; who
takes a combination is who takes all its choices, but for EXCEPTIONS. Both were found by asking, and the tests ask
again. `some` of all combinations have every pair of choices that there is in any.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from interop_cases import BIG, CORE, CRC, LITTLE, PLAIN, codec, sharding, v2, v3, values
from numpy.typing import NDArray

from gpuzarr.dtypes import from_v3

__all__ = ["BASES", "Choice", "Combination", "choices", "combinations", "some"]

SHAPE, CHUNKS = (8, 6), (6, 4)
"""Chunks that the array cuts off, and that shards of (2, 2) divide."""


@dataclass(frozen=True, eq=False)
class Choice:
    """One choice for a factor: what it puts into the document, and who takes it."""

    name: str
    peers: str
    part: Any = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Kind:
    """A data type: its JSON, fill value, the same as an element, and the codec that makes bytes of it."""

    json: Any
    dtype: np.dtype[Any]
    fill: Any
    element: Any
    serializers: tuple[Any, Any] = (LITTLE, BIG)


@dataclass(frozen=True, eq=False)
class Combination:
    """One choice for each factor, in the order of FACTORS."""

    zarr_format: int
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        return f"v{self.zarr_format}-" + "-".join(choice.name for choice in self.choices)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(choice.name for choice in self.choices)

    @property
    def peers(self) -> str:
        """Who takes it, by a letter each."""
        found = functools.reduce(lambda a, b: a & b, (set(choice.peers) for choice in self.choices))
        for names, refusing in EXCEPTIONS:
            if self.names >= names:
                found -= set(refusing)
        return "".join(sorted(found))

    def documents(self) -> dict[str, Any]:
        return _documents_v3(self) if self.zarr_format == 3 else _documents_v2(self)

    def values(self) -> NDArray[Any]:
        """Elements of every kind; a chunk, and a corner of another, are the fill value."""
        kind: Kind = self.choices[0].part
        found = values(kind.dtype, SHAPE, kind.element)
        if self.choices[3].part is not None and self.zarr_format == 3:  # a filter that keeps these, and not all
            found = np.tile(np.array([1, 2, 3, 5, 6, 7], kind.dtype), (8, 1))
        found[6:, 4:] = kind.element
        return found


# ---- format 3 ------------------------------------------------------------------------------------------------


def _kinds() -> Iterator[Choice]:
    for name, fill in CORE.items():
        element = complex(*fill) if isinstance(fill, list) else fill
        yield Choice(name, "Ztr", Kind(name, np.dtype(name), fill, np.dtype(name).type(element)))
    floats = "float8_e3m4 float8_e4m3b11fnuz float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn"
    for name in f"bfloat16 {floats} int2 int4".split():
        dtype = from_v3(name, "").dtype
        serializers = (LITTLE, BIG) if dtype.itemsize > 1 else (PLAIN, PLAIN)
        # what tensorstore makes of the number 1 has other bits
        fill = "0x7f" if name == "float8_e8m0fnu" else 1
        yield Choice(name, "tr", Kind(name, dtype, fill, np.array(1, dtype), serializers))
    text = codec("fixed_length_utf32", length_bytes=36)
    moment = codec("numpy.datetime64", unit="us", scale_factor=10)
    span = codec("numpy.timedelta64", unit="h", scale_factor=10)
    yield Choice("text", "Zr", Kind(text, np.dtype("U9"), "żółw", "żółw"))
    yield Choice("moment", "Zr", Kind(moment, np.dtype("M8[10us]"), -7, np.datetime64(-7, "10us")))
    yield Choice("span", "Zr", Kind(span, np.dtype("m8[10h]"), "NaT", np.timedelta64("NaT", "10h")))
    for name, fill, element in (("string", "żółw", "żółw"), ("bytes", "/wA=", b"\xff\0")):
        one = codec("vlen-utf8" if name == "string" else "vlen-bytes")
        yield Choice(name, "Zr", Kind(name, from_v3(name, "").dtype, fill, element, (one, one)))


CNAMES = ("lz4", "lz4hc", "blosclz", "zstd", "zlib")

COMPRESSORS_3 = (
    Choice("plain", "Ztr", []),
    Choice("gzip", "Ztr", [codec("gzip", level=1)]),
    Choice("zstd", "Ztr", [codec("zstd", level=1, checksum=False)]),
    Choice("zstd-checksum", "Ztr", [codec("zstd", level=3, checksum=True)]),
    *(Choice(f"blosc-{cname}", "Ztr", cname) for cname in CNAMES),
    Choice("shuffled", "Zr", "numcodecs.shuffle"),
)
SHUFFLES_3 = tuple(Choice(name, "Ztr", name) for name in ("noshuffle", "shuffle", "bitshuffle"))
TURN = codec("transpose", order=[1, 0])
LAYOUTS_3 = (
    Choice("chunks", "Ztr"),
    Choice("big", "Ztr"),
    Choice("turned", "Ztr"),
    Choice("crc32c", "Ztr"),
    Choice("shards", "Ztr"),
    Choice("shards-start", "Ztr"),
    Choice("shards-turned", "Ztr"),
    Choice("shards-nested", "Ztr"),
    Choice("shards-zstd", "Zr"),
    Choice("rounded", "Zr", ("float16", "float32", "float64")),
    Choice("scaled", "Zr", ("int16", "uint16", "int32", "uint32", "int64", "uint64")),
)
"""The last two have a codec for the data types that are named."""

GRIDS_3 = (
    Choice("regular", "Ztr", codec("regular", chunk_shape=list(CHUNKS))),
    Choice("rectilinear", "Zr", codec("rectilinear", kind="inline", chunk_shapes=[[2, 4, 2], 4])),
)


def _chain(layout: str, kind: Kind, packed: list[Any]) -> list[Any]:
    """The codecs of a chunk."""
    little, big = kind.serializers
    inner = [little, *packed]
    scale = codec("numcodecs.fixedscaleoffset", offset=0, scale=1, dtype=kind.dtype.str, astype=kind.dtype.str)
    chains = {
        "chunks": inner,
        "big": [big, *packed],
        "turned": [TURN, *inner],
        "crc32c": [*inner, CRC],
        "shards": [sharding((2, 2), inner)],
        "shards-start": [sharding((2, 2), inner, at="start")],
        "shards-turned": [sharding((2, 2), [TURN, big, *packed])],
        "shards-nested": [sharding((2, 4), [sharding((2, 2), inner)], at="start")],
        "shards-zstd": [sharding((2, 2), inner), codec("zstd", level=1, checksum=False)],
        "rounded": [codec("numcodecs.bitround", keepbits=3), *inner],
        "scaled": [scale, *inner],
    }
    return chains[layout]


def _documents_v3(combination: Combination) -> dict[str, Any]:
    kind, compressor, shuffle, layout, grid = combination.choices
    packed, size = compressor.part, 1 if kind.part.dtype.hasobject else kind.part.dtype.itemsize
    if packed in CNAMES:
        packed = [codec("blosc", cname=packed, clevel=5, shuffle=shuffle.part, typesize=size, blocksize=0)]
    if packed == "numcodecs.shuffle":
        packed = [codec(packed, elementsize=size), codec("gzip", level=1)]
    chain = _chain(layout.name, kind.part, packed)
    documents = v3(kind.part.json, chain, SHAPE, CHUNKS, kind.part.fill)
    documents["zarr.json"]["chunk_grid"] = grid.part
    return documents


# ---- format 2 ------------------------------------------------------------------------------------------------


def _kinds_v2() -> Iterator[Choice]:
    for typestr in ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]:
        dtype = np.dtype(typestr)
        fill = {"b": False, "c": [1.0, -2.0]}.get(dtype.kind, 1)
        element = 1 - 2j if dtype.kind == "c" else fill
        yield Choice(typestr, "Ztr", Kind(typestr, dtype, fill, dtype.type(element)))
    yield Choice("vlen-utf8", "Zr", Kind("|O", from_v3("string", "").dtype, "żółw", "żółw", (None, None)))


COMPRESSORS_2 = (
    Choice("plain", "Ztr", None),
    Choice("zlib", "Zt", {"id": "zlib", "level": 1}),
    Choice("gzip", "Ztr", {"id": "gzip", "level": 1}),
    Choice("zstd", "Ztr", {"id": "zstd", "level": 1}),
    Choice("bz2", "Zt", {"id": "bz2", "level": 1}),
    *(Choice(f"blosc-{cname}", "Ztr", cname) for cname in CNAMES),
)
SHUFFLES_2 = (
    Choice("autoshuffle", "Ztr", -1),
    Choice("noshuffle", "Ztr", 0),
    Choice("shuffle", "Ztr", 1),
    Choice("bitshuffle", "Ztr", 2),
)
LAYOUTS_2 = tuple(Choice(f"{order}{separator}", "Ztr", (order, separator)) for order in "CF" for separator in "./")

BYTE_ORDERS = (Choice("little", "Ztr", "<"), Choice("big", "Ztr", ">"))


def _documents_v2(combination: Combination) -> dict[str, Any]:
    kind, compressor, shuffle, layout, byte_order = combination.choices
    packed = compressor.part
    if isinstance(packed, str):
        packed = {"id": "blosc", "cname": packed, "clevel": 5, "shuffle": shuffle.part, "blocksize": 0}
    objects, (order, separator) = kind.part.dtype.hasobject, layout.part
    typestr = "|O" if objects else kind.part.dtype.newbyteorder(byte_order.part).str
    filters = [{"id": kind.name}] if objects else None
    return v2(typestr, packed, filters, SHAPE, CHUNKS, kind.part.fill, order, separator)


# ---- combinations --------------------------------------------------------------------------------------------

FACTORS: dict[int, tuple[Sequence[Choice], ...]] = {
    3: (tuple(_kinds()), COMPRESSORS_3, SHUFFLES_3, LAYOUTS_3, GRIDS_3),
    2: (tuple(_kinds_v2()), COMPRESSORS_2, SHUFFLES_2, LAYOUTS_2, BYTE_ORDERS),
}

EXCEPTIONS = tuple(
    (frozenset(names.split()), letters)
    for names, letters in (
        # zarrs turns no elements of no fixed size back
        ("string turned", "r"),
        ("bytes turned", "r"),
        ("string shards-turned", "r"),
        ("bytes shards-turned", "r"),
        ("vlen-utf8 F.", "r"),
        ("vlen-utf8 F/", "r"),
    )
)
"""Choices that someone takes by themselves, but not together."""

BASES = {3: ("int32", "plain", "noshuffle", "chunks", "regular"), 2: ("i4", "plain", "noshuffle", "C.", "little")}
"""The choices for the other factors when a choice is tried by itself."""


def choices() -> Iterator[tuple[Combination, Choice]]:
    """Each choice with the simplest ones for the other factors."""
    for number, factors in FACTORS.items():
        base = [next(c for c in factor if c.name == name) for factor, name in zip(factors, BASES[number], strict=True)]
        for at, factor in enumerate(factors):
            for choice in factor:
                whole = [*base[:at], choice, *base[at + 1 :]]
                if at == 3 and isinstance(choice.part, tuple) and number == 3:
                    whole[0] = next(c for c in factors[0] if c.name == choice.part[-1])
                if at == 2:
                    whole[1] = next(c for c in factors[1] if c.name == "blosc-lz4")
                yield Combination(number, tuple(whole)), choice


@functools.cache
def combinations() -> tuple[Combination, ...]:
    """All that two others take."""
    made = (Combination(number, chosen) for number in FACTORS for chosen in itertools.product(*FACTORS[number]))
    return tuple(one for one in made if _is_one(one) and len(one.peers) > 1)


def _is_one(one: Combination) -> bool:
    """Only Blosc shuffles, what has no byte order is not stored in another, and some codecs are for some types."""
    kind, compressor, shuffle, *rest = one.choices
    one_byte = kind.part.dtype.itemsize == 1 or kind.part.serializers[0] == kind.part.serializers[1]
    if one_byte and any(choice.name == "big" for choice in rest):
        return False
    if one.zarr_format == 3 and rest[0].part is not None and kind.name not in rest[0].part:
        return False
    if compressor.name == "shuffled" and kind.part.dtype.hasobject:
        return False
    return compressor.part in CNAMES or shuffle.name == "noshuffle"


def some(all_of_them: Iterable[Combination]) -> list[Combination]:
    """A part in which there is every pair of choices for two factors that there is in all of them."""
    rest = list(all_of_them)
    random.Random(7).shuffle(rest)
    pairs = {one: set(itertools.combinations(one.choices, 2)) for one in rest}
    wanted = {(one.zarr_format, *pair) for one in rest for pair in pairs[one]}
    chosen = []
    for least in (10, 6, 4, 3, 2, 1):
        for one in rest:
            new = {(one.zarr_format, *pair) for pair in pairs[one]} & wanted
            if len(new) >= least:
                chosen.append(one)
                wanted -= new
    return chosen
