"""Arrays through codecs that few implementations have: documents, values, and who takes them (see `interop_cases`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from interop_cases import BIG, CRC, LITTLE, PLAIN, ZSTD, Case, codec, sharding, v3, values

from gpuzarr.dtypes import from_v3

__all__ = ["codec_cases"]

TURN = codec("transpose", order=[1, 0])


def codec_cases() -> Iterator[Case]:
    yield from _packed()
    yield from _reshaped()
    yield from _before_shards()


def _packed() -> Iterator[Case]:
    """`packbits`, of every type that it has bits of."""
    own = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128"
    small = "int2 uint2 int4 uint4 float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e5m2 float8_e8m0fnu bfloat16"
    parts = "bfloat16 float16 float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e4m3"
    for name in f"{own} {small}".split():
        data = values(from_v3(name, "").dtype, (7, 10), 1)
        yield Case(f"packbits-{name}", v3(name, [codec("packbits")], fill=_one(name)), data, "r")
    for name in parts.split():
        data = values(from_v3(name, "").dtype, (7, 20), 1).view(from_v3(f"complex_{name}", "").dtype)
        yield Case(f"packbits-complex-{name}", v3(f"complex_{name}", [codec("packbits")], fill=[1, 1]), data, "r")
    chosen: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "first": ("uint16", range(70), {"padding_encoding": "first_byte", "last_bit": 6}),
        "last": ("int8", range(-35, 35), {"padding_encoding": "last_byte", "last_bit": 6}),
        "middle": ("uint32", range(0, 70 * 256, 256), {"first_bit": 8, "last_bit": 15}),
        "floats": ("float32", np.arange(70) * 256, {"padding_encoding": "none", "first_bit": 15, "last_bit": None}),
        "bools": ("bool", np.arange(70) % 3 == 0, {"padding_encoding": "first_byte"}),
    }
    for how, (name, numbers, config) in chosen.items():
        data = np.array(numbers, name).reshape(7, 10)
        # Chosen bits of more than a byte zarrs reads right in whole chunks only, and signs within a byte only.
        documents = v3(name, [codec("packbits", **config), CRC], (7, 10), (7, 5), fill=_one(name, 0))
        yield Case(f"packbits-{how}", documents, data, "r")
    data = np.arange(70).reshape(7, 10) % 3 == 0
    chains = {
        "turned": [TURN, codec("packbits"), ZSTD],
        "shards": [sharding((3, 2), [codec("packbits"), CRC])],
        "shards-turned": [TURN, sharding((2, 3), [TURN, codec("packbits")])],
    }
    for how, chain in chains.items():
        yield Case(f"packbits-{how}", v3("bool", chain, (7, 10), (6, 4), False), data, "r")


def _one(name: str, one: int = 1) -> Any:
    return bool(one) if name == "bool" else [one, one] if name.startswith("complex") else one


def _reshaped() -> Iterator[Case]:
    """`reshape`, with transposes and shards around it."""
    data = np.arange(7 * 10 * 4, dtype=np.uint16).reshape(7, 10, 4)
    turned = codec("transpose", order=[2, 0, 1])
    chains: dict[str, list[Any]] = {
        "flat": [codec("reshape", shape=[[0, 1, 2]]), LITTLE],
        "one": [codec("reshape", shape=[-1]), BIG, ZSTD],
        "merged": [codec("reshape", shape=[[0, 1], [2]]), TURN, LITTLE],
        "cut": [codec("reshape", shape=[4, -1, 2]), LITTLE, CRC],
        "cut-turned": [codec("reshape", shape=[8, 3, 2]), turned, BIG],
        "turned-cut": [turned, codec("reshape", shape=[8, -1]), TURN, LITTLE],
        "twice": [codec("reshape", shape=[-1]), codec("reshape", shape=[3, 4, 4]), turned, LITTLE],
        "in-shards": [sharding((3, 2, 4), [codec("reshape", shape=[[0], -1]), TURN, LITTLE, ZSTD])],
        "shards": [codec("reshape", shape=[[0, 1], [2]]), sharding((6, 2), [LITTLE, CRC])],
        "shards-turned": [codec("reshape", shape=[4, -1]), TURN, sharding((6, 2), [TURN, BIG, ZSTD], at="start")],
        "shards-after": [codec("reshape", shape=[-1]), sharding((24,), [LITTLE]), ZSTD],
    }
    for how, chain in chains.items():
        yield Case(f"reshape-{how}", v3("uint16", chain, (7, 10, 4), (3, 4, 4), 7), data, "r")
    squeezed = [codec("zarrs.squeeze"), TURN, BIG]
    yield Case("squeezed", v3("uint16", squeezed, (7, 10, 4), (3, 1, 4), 7), data, "r")
    few = np.arange(5, dtype=np.uint8)
    yield Case("reshape-to-nothing", v3("uint8", [codec("reshape", shape=[]), PLAIN], (5,), (1,)), few, "r")
    texts = values(from_v3("string", "").dtype, (7, 10), "a")
    merged = [codec("reshape", shape=[[0, 1]]), codec("vlen-utf8"), ZSTD]
    yield Case("reshape-strings", v3("string", merged, (7, 10), (7, 5), "a"), texts, "r")


def _before_shards() -> Iterator[Case]:
    """Codecs before sharding, which others too have there: values are such that nothing is lost."""
    data = values("float32", (7, 10), 3)
    data[~np.isfinite(data)] = 1
    whole = np.round(data * 4) / 4 + np.float32(0)  # no -0.0, which integers have not
    scale = codec("numcodecs.fixedscaleoffset", offset=1, scale=4, dtype="<f4", astype="<i2")
    found: dict[str, tuple[Any, list[Any], Any, str]] = {
        "bitround": (whole, [codec("bitround", keepbits=20)], 3, "r"),
        "numcodecs-bitround": (whole, [codec("numcodecs.bitround", keepbits=20), TURN], 3, "Z"),
        "fixedscaleoffset": (whole, [scale], 3, "r"),
        "fixedscaleoffset-turned": (whole, [TURN, scale], 3, "r"),
        "scale_offset": (whole, [codec("scale_offset", offset=1, scale=4)], 3, "Z"),
        "cast_value": (whole * 4, [codec("cast_value", data_type="int16"), TURN], 12, "Z"),
        "both": (whole, [codec("scale_offset", scale=4), codec("cast_value", data_type="int32")], 3, "Z"),
    }
    for name, (numbers, before, fill, peers) in found.items():
        chunk = (2, 2) if TURN in before else (3, 2)  # zarr-python wants both orders of axes divided
        for how, after in (("", []), ("-wrapped", [ZSTD])):
            chain = [*before, sharding(chunk, [LITTLE, ZSTD]), *after]
            documents = v3(numbers.dtype.name, chain, (7, 10), (6, 4), fill)
            yield Case(f"{name}-before-shards{how}", documents, numbers, peers)
