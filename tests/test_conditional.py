"""`conditional`: every mask is read, what is written is never larger than it has to be, and headers may lie."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import Any

import google_crc32c
import numpy as np
import pytest

import gpuzarr
from gpuzarr.errors import CodecError, MetadataError, UnknownCodecError

GZIP = {"name": "gzip", "configuration": {"level": 1}}
ZLIB = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
CRC = {"name": "crc32c"}
SHUFFLE = {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}}
EXECUTORS = (gpuzarr.Executor(threads=1), gpuzarr.Executor(threads=1, native=False))
NOISE = np.frombuffer(np.random.default_rng(1).bytes(4000), "<i4").reshape(10, 100)
FLAT = np.arange(1000, dtype="<i4").reshape(10, 100)


def conditional(*codecs: Any, **more: Any) -> dict[str, Any]:
    return {"name": "conditional", "configuration": {"codecs": list(codecs), **more}}


def created(codec: Any, **how: Any) -> tuple[dict[str, Any], gpuzarr.Array]:
    store: dict[str, Any] = {}
    settled: dict[str, Any] = {"shape": (10, 100), "chunks": (10, 100), "dtype": "<i4", "compressors": codec, **how}
    return store, gpuzarr.create_array(store, **settled)


def crc(data: bytes) -> bytes:
    return data + google_crc32c.value(data).to_bytes(4, "little")


def shuffle(data: bytes) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, 4).T.tobytes()


ENCODERS = (shuffle, gzip.compress, zlib.compress, crc)


@pytest.mark.parametrize("header", [None, 8, 24])
@pytest.mark.parametrize("executor", EXECUTORS, ids=["compiled", "Python"])
def test_every_mask_is_read(executor: gpuzarr.Executor, header: int | None) -> None:
    more = {} if header is None else {"header_bits": header}
    store, array = created(conditional(SHUFFLE, GZIP, ZLIB, CRC, **more), executor=executor)
    for mask in itertools.product((False, True), repeat=4):
        data = FLAT.tobytes()
        for encode, applied in zip(ENCODERS, mask, strict=True):
            data = encode(data) if applied else data
        bits = sum(applied << k for k, applied in enumerate(mask))
        store["c/0/0"] = bits.to_bytes((header or 8) // 8, "little") + data
        assert array[...].tolist() == FLAT.tolist()
        assert array[3, ::-7].tolist() == FLAT[3, ::-7].tolist()


def test_compressors_are_applied_where_they_make_a_chunk_smaller() -> None:
    store, array = created(conditional(SHUFFLE, GZIP, CRC))
    array[...] = NOISE
    assert bytes(store["c/0/0"]) == b"\5" + crc(shuffle(NOISE.tobytes()))
    array[...] = FLAT
    stored = bytes(store["c/0/0"])
    assert stored[:1] == b"\7"
    assert gzip.decompress(stored[1:-4]) == shuffle(FLAT.tobytes())
    array[2:5, 7:] = NOISE[2:5, 7:]
    changed = FLAT.copy()
    changed[2:5, 7:] = NOISE[2:5, 7:]
    assert gpuzarr.open_array(store)[...].tolist() == changed.tolist()


def test_it_stands_in_chains_shards_and_itself() -> None:
    inner = conditional(conditional(GZIP, header_bits=16), CRC)
    for how in ({}, {"chunks": (5, 20), "shards": (10, 40)}, {"dtype": ">f8", "zarr_format": 3}):
        store, array = created([SHUFFLE, inner, CRC], **how)
        values = FLAT.astype(array.dtype)
        array[...] = values
        assert gpuzarr.open_array(store)[1:9, 5:].tolist() == values[1:9, 5:].tolist()
    assert b'"header_bits": 8' in bytes(store["zarr.json"])


LIES = [b"", b"\4", b"\2" + b"x" * 99, b"\0" + bytes(3999), b"\0" + bytes(4001), b"\1\0", b"\3"]


@pytest.mark.parametrize("data", LIES)
def test_headers_that_lie_are_an_error(data: bytes) -> None:
    store, array = created(conditional(GZIP, CRC))
    store["c/0/0"] = data
    with pytest.raises(CodecError) as error:
        array[...]
    assert error.value.key == "c/0/0"


def test_what_a_mask_unpacks_is_bounded() -> None:
    store, array = created(conditional(GZIP, ZLIB))
    bomb = zlib.compress(gzip.compress(bytes(1 << 26)))
    store["c/0/0"] = b"\3" + bomb
    with pytest.raises(CodecError):
        array[...]
    store["c/0/0"] = b"\2" + zlib.compress(bytes(1 << 26))
    with pytest.raises(CodecError):
        array[...]


@pytest.mark.parametrize(
    "config",
    [
        *({}, {"codecs": "gzip"}, {"codecs": [GZIP], "header_bits": 7}, {"codecs": [GZIP], "header_bits": 0}),
        *({"codecs": [GZIP] * 9, "header_bits": 8}, {"codecs": [GZIP], "header_bits": 2**20}, {"codecs": [GZIP] * 65}),
        *({"codecs": [GZIP], "mask": 1}, {"codecs": [{"name": "bytes"}]}, {"codecs": [{"name": "packbits"}]}),
        *({"codecs": [{"name": "reshape", "configuration": {"shape": [-1]}}]}, {"codecs": ["vlen-utf8"]}),
        {"codecs": [{"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}]},
    ],
    ids=lambda config: str(config)[:60],
)
def test_what_is_no_condition_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        created({"name": "conditional", "configuration": config})


def test_an_unknown_codec_inside_is_refused_by_name() -> None:
    with pytest.raises(UnknownCodecError, match="shuffle"):
        created(conditional({"name": "shuffle", "configuration": {"element_size": 4}}))
