"""`zarrs.gdeflate`: pages that nvCOMP's CPU library makes and takes, and bytes that lie."""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuzarr
from gpuzarr.codecs.base import Wire
from gpuzarr.codecs.gdeflate import PAGE, GdeflateCodec
from gpuzarr.errors import CodecError, MetadataError

STAGE = GdeflateCodec(5).bind(Wire(np.dtype("u1"), 0))
SYMBOLS = {"encode": "11compressCPUEPKPKvPKmmmPKPvPmi", "decode": "13decompressCPUEPKPKvPKmmPKPvPmSA_"}
"""The functions of nvcomp/native/gdeflate_cpu.h, as a C++ compiler spells them."""


@cache
def library() -> Any:
    """nvCOMP's functions for the CPU, which need no driver."""
    found = importlib.util.find_spec("nvidia.libnvcomp")
    folder = next(iter(found.submodule_search_locations or ()), None) if found else None
    files = sorted(Path(folder).glob("lib*/libnvcomp_cpu.so.*")) if folder else []
    return ctypes.CDLL(str(files[0])) if files else None


def _call(name: str, data: bytes, room: int, *last: Any) -> bytes:
    if library() is None:
        pytest.skip("no libnvcomp_cpu is installed")
    function = getattr(library(), f"_ZN6nvcomp8gdeflate{SYMBOLS[name]}")
    function.restype = None
    source, target = ctypes.create_string_buffer(data, len(data) or 1), ctypes.create_string_buffer(room)
    sources, targets = (ctypes.c_void_p * 1)(ctypes.addressof(source)), (ctypes.c_void_p * 1)(ctypes.addressof(target))
    size, made = (ctypes.c_size_t * 1)(len(data)), (ctypes.c_size_t * 1)(0)
    if name == "encode":
        function(sources, size, ctypes.c_size_t(PAGE), ctypes.c_size_t(1), targets, made, ctypes.c_int(*last))
    else:
        rooms = (ctypes.c_size_t * 1)(room)
        function(sources, size, ctypes.c_size_t(1), targets, rooms, made)
    return target.raw[: made[0]]


def chunk(data: bytes, level: int) -> bytes:
    """A chunk of pages that nvCOMP made, in zarrs' frame."""
    pages = [_call("encode", data[start : start + PAGE], 3 * PAGE, level) for start in range(0, len(data), PAGE)]
    return struct.pack(f"<QQ{len(pages)}Q", len(data), len(pages), *map(len, pages)) + b"".join(pages)


def samples() -> dict[str, bytes]:
    rng = np.random.default_rng(7)
    noise = rng.bytes(40_000)
    words = [rng.bytes(int(n)) for n in rng.integers(2, 40, 60)]
    return {
        "zeros": bytes(PAGE),
        "noise": rng.bytes(3000),
        "far": noise + noise[:20_000],  # matches from more than 32 KiB away
        "numbers": (np.arange(50_000, dtype="<i4") // 3).tobytes(),
        "floats": np.sin(np.arange(20_000) / 50).astype("<f4").tobytes(),
        "words": b"".join(words[k] for k in rng.integers(0, 60, 4000)),
        "one": b"a",
        "text": b"the same again and again, " * 40,
        "uneven": rng.integers(0, 3, 2 * PAGE + 17).astype("u1").tobytes(),
    }


@pytest.mark.parametrize("level", [1, 6, 12])
@pytest.mark.parametrize("name", list(samples()))
def test_pages_of_nvcomp_decode(name: str, level: int) -> None:
    data = samples()[name]
    encoded = chunk(data, level)
    assert bytes(STAGE.decode(encoded, len(data), len(data))) == data
    into = memoryview(bytearray(len(data)))
    assert STAGE.decode(encoded, len(data), len(data), into) is into
    assert bytes(into) == data


@pytest.mark.parametrize("size", [1, 31, 32, 33, 4096, PAGE - 1, PAGE, PAGE + 1])
def test_nvcomp_decodes_what_is_written(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    encoded = bytes(STAGE.encode(data))
    total, pages = struct.unpack_from("<QQ", encoded)
    sizes = struct.unpack_from(f"<{pages}Q", encoded, 16)
    start, found = 16 + 8 * pages, b""
    for length in sizes:
        found += _call("decode", encoded[start : start + length], min(PAGE, size - len(found)))
        start += length
    assert (total, found, start) == (size, data, len(encoded))
    assert bytes(STAGE.decode(encoded, size, size)) == data


@pytest.mark.parametrize("native", [True, False], ids=["compiled", "Python"])
def test_arrays_are_read_and_written_in_parts(native: bool) -> None:
    gdeflate = {"name": "zarrs.gdeflate", "configuration": {"level": 5}}
    values = np.arange(60 * 50, dtype="i4").reshape(60, 50)
    for how in ({}, {"shards": (40, 40)}):
        store: dict[str, Any] = {}
        executor = gpuzarr.Executor(threads=1, native=native)
        settled = {"compressors": [gdeflate, "crc32c"], "executor": executor, **how}
        array = gpuzarr.create_array(store, shape=(60, 50), chunks=(20, 20), dtype="i4", **settled)
        array[...] = values
        array[5:50, 3:44] = values[5:50, 3:44] * 2
        changed = values.copy()
        changed[5:50, 3:44] *= 2
        assert gpuzarr.open_array(store)[::-3, 7:].tolist() == changed[::-3, 7:].tolist()


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damaged_pages_are_an_error_or_as_many_bytes(data: st.DataObject) -> None:
    plain = samples()[data.draw(st.sampled_from(["noise", "text", "one"]))]
    encoded = bytearray(chunk(plain, 6) if data.draw(st.booleans()) else STAGE.encode(plain))
    if data.draw(st.booleans()):
        encoded = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
        with pytest.raises(CodecError):
            STAGE.decode(bytes(encoded), len(plain), len(plain))
        return
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(encoded), 200) - 1) | st.integers(0, len(encoded) - 1))
        encoded[at] = data.draw(st.integers(0, 255))
    try:
        decoded = STAGE.decode(bytes(encoded), len(plain), len(plain))
    except CodecError:
        return
    assert memoryview(decoded).nbytes == len(plain)


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", bytes(15), struct.pack("<QQ", 9, 1), struct.pack("<QQ", 8, 0), struct.pack("<QQ", 8, 2**61)),
        *(struct.pack("<QQQ", 8, 1, 2**63), struct.pack("<QQQ", 2**50, 2**34, 0), struct.pack("<QQQ", 8, 1, 0)),
        struct.pack("<QQQ", 8, 1, 128) + b"\7" + bytes(127),
    ],
)
def test_frames_that_lie_are_an_error(frame: bytes) -> None:
    with pytest.raises(CodecError):
        STAGE.decode(frame, 8, 8)


@pytest.mark.parametrize("config", [{}, {"level": 13}, {"level": -1}, {"level": "5"}, {"level": 5, "pages": 1}])
def test_configurations_that_zarrs_has_not_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        gpuzarr.create_array({}, shape=4, dtype="u1", compressors={"name": "zarrs.gdeflate", "configuration": config})
