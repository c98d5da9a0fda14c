"""Streams of every encoder at hand decode on the emulated kernel to what went in, which is real data.

tests/corpus/deflate_encoders.npz holds streams of encoders that no wheel has, made once from depths of the sea, a
digital elevation model, a program's text and labels: of Go 1.19's compress/flate and of klauspost/compress 1.15.12 at
four levels each, flushed, without state, and as two gzip members with a name, a comment and an extra field.
"""

from __future__ import annotations

from pathlib import Path

import cramjam
import deflate
import numpy as np
import pytest
import zopfli.gzip
import zopfli.zlib
from deflate_launch import decode, emulator
from deflate_streams import BARE, GZIP, WINDOWS, ZLIB, inflated
from isal import isal_zlib
from test_zstd_encoders import real_data
from zlib_ng import zlib_ng

from kernels import needs_compiler

pytestmark = needs_compiler

SAVED = Path(__file__).parent / "corpus" / "deflate_encoders.npz"
MOST = 40_000  # bytes of an array


def by_zlib_ng(data: bytes, framing: int, level: int) -> bytes:
    writer = zlib_ng.compressobj(level, zlib_ng.DEFLATED, WINDOWS[framing])
    return bytes(writer.compress(data) + writer.flush())


def by_isal(data: bytes, framing: int, level: int) -> bytes:
    writer = isal_zlib.compressobj(level, isal_zlib.DEFLATED, WINDOWS[framing])
    return bytes(writer.compress(data) + writer.flush())


def by_libdeflate(data: bytes, framing: int, level: int) -> bytes:
    return bytes((deflate.deflate_compress, deflate.zlib_compress, deflate.gzip_compress)[framing](data, level))


def by_flate2(data: bytes, framing: int, level: int) -> bytes:
    return bytes((cramjam.deflate, cramjam.zlib, cramjam.gzip)[framing].compress(data, level))


def by_zopfli(data: bytes, framing: int, level: int) -> bytes:
    if framing == GZIP:
        return bytes(zopfli.gzip.compress(data, numiterations=level))
    packed = bytes(zopfli.zlib.compress(data, numiterations=level))
    return packed if framing == ZLIB else packed[2:-4]


ENCODERS = {
    "zlib-ng": (by_zlib_ng, (1, 2, 3, 5, 6, 9), MOST),
    "ISA-L": (by_isal, (0, 1, 2, 3), MOST),
    "libdeflate": (by_libdeflate, (0, 1, 4, 6, 10, 12), MOST),
    "flate2": (by_flate2, (0, 1, 6, 9), MOST),
    "zopfli": (by_zopfli, (1,), 4000),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_real_data_at_every_kind_of_level(encoder: str) -> None:
    made, levels, most = ENCODERS[encoder]
    datas = [data[:most] for data in real_data().values()]
    for k, level in enumerate(levels):
        framing = (k + len(encoder)) % 3
        streams = [(made(data, framing, level), len(data)) for data in datas]
        got = decode(emulator("fast"), framing, streams, shift=k)
        assert [status for status, _ in got] == [0] * len(datas)
        assert [output for _, output in got] == datas


def test_encoders_that_no_wheel_has() -> None:
    with np.load(SAVED, allow_pickle=False) as saved:
        names, framings, ends = saved["encoder"], saved["framing"], np.cumsum(saved["size"], dtype=np.int64)
        data, sizes, rooms = saved["data"].tobytes(), saved["size"].tolist(), saved["room"].tolist()
    assert len({str(name) for name in names}) == 11
    for framing in (BARE, GZIP):
        rows = [k for k in range(len(names)) if framings[k] == framing]
        streams = [(data[ends[k] - sizes[k] : ends[k]], rooms[k]) for k in rows]
        got = decode(emulator("fast"), framing, streams)
        assert got == [(0, inflated(*stream, framing)) for stream in streams]
