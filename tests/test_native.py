"""The compiled host module decodes what others wrote, and declines or reports what is not as it should be."""

from __future__ import annotations

import ctypes
import gzip
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_calls import (
    BLOSCS,
    NOISE,
    ONE_OF_EACH,
    PAYLOADS,
    SENTINEL,
    SMOOTH,
    Bytes,
    Tiles,
    encode,
    guarded,
    many,
    module,
    needs,
    needs_module,
    read,
    untouched_around,
    whole,
    write_one,
)

from gpuzarr import native

pytestmark = needs_module

ENCODERS: list[tuple[str, Any]] = [
    *(("blosc", codec) for codec in BLOSCS),
    *(("zstd", numcodecs.Zstd(level, checksum)) for level in (-3, 1, 19) for checksum in (False, True)),
    *(("lz4", numcodecs.LZ4(acceleration)) for acceleration in (1, 50)),
    *(("gzip", numcodecs.GZip(level)) for level in (0, 1, 9)),
    *(("zlib", numcodecs.Zlib(level)) for level in (0, 1, 9)),
]


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("typesize", [1, 4])
@pytest.mark.parametrize(("op", "codec"), ENCODERS, ids=[repr(codec) for _, codec in ENCODERS])
def test_chunks_that_numcodecs_wrote_decode(op: str, codec: Any, payload: Bytes, typesize: int) -> None:
    needs(op)
    typed = np.resize(payload, max(len(payload) // typesize, 1) * typesize).view(f"u{typesize}")
    chunk = typed.view(np.uint8).reshape(-1, 1)
    out, around = guarded(chunk.shape)
    assert read([bytes(codec.encode(typed))], out, whole(chunk), chunk, ops=[op]) == [native.OK]
    assert np.array_equal(out, chunk)
    assert untouched_around(out, around)


@pytest.mark.parametrize("order", [("crc32c", "zstd"), ("zstd", "crc32c"), ("crc32c", "zstd", "crc32c")])
def test_checksums_are_checked_and_taken_off_wherever_they_stand(order: tuple[str, ...]) -> None:
    needs("zstd")
    chunk = SMOOTH.reshape(-1, 4)
    value = encode(chunk, order)
    out, around = guarded(chunk.shape)
    assert read([value], out, whole(chunk), chunk, ops=order) == [native.OK]
    assert np.array_equal(out, chunk)
    spoilt = value[:-1] + bytes([value[-1] ^ 1])
    assert read([spoilt], out, whole(chunk), chunk, ops=order)[0] in (native.CHECKSUM, native.CORRUPT)
    assert untouched_around(out, around)


def test_codecs_follow_one_another() -> None:
    needs("zstd", "gzip", "lz4", "blosc")
    chunk = SMOOTH.reshape(-1, 4)
    order = ("crc32c", "gzip", "zstd", "crc32c", "lz4", "blosc")
    out, _ = guarded(chunk.shape)
    assert read([encode(chunk, order)], out, whole(chunk), chunk, ops=order) == [native.OK]
    assert np.array_equal(out, chunk)


SKIPPABLE = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"


def zstd_without_size(value: bytes) -> bytes:
    """A frame that does not say how large its content is: one raw block (RFC 8878, 3.1.1)."""
    block = len(value) << 3 | 1
    return bytes.fromhex("28b52ffd 00 58") + block.to_bytes(3, "little") + value


def legal_forms() -> Iterator[tuple[str, str, bytes, bytes]]:
    """Codec, what is unusual, stored bytes, content."""
    a, b = SMOOTH[:9000].tobytes(), SMOOTH[9000:24000].tobytes()
    zstd = numcodecs.Zstd(3)
    yield "zstd", "two frames", bytes(zstd.encode(a)) + bytes(zstd.encode(b)), a + b
    yield "zstd", "skippable first", SKIPPABLE + bytes(zstd.encode(a)), a
    yield "zstd", "skippable last", bytes(zstd.encode(a)) + SKIPPABLE, a
    yield "zstd", "no content size", zstd_without_size(a), a
    yield "gzip", "two members", gzip.compress(a) + gzip.compress(b), a + b
    yield "gzip", "zero padding", gzip.compress(a) + bytes(7), a
    yield "gzip", "a name in the header", b"\x1f\x8b\x08\x08" + bytes(6) + b"x\0" + gzip.compress(a)[10:], a
    yield "zlib", "stored", zlib.compress(a, 0), a


LEGAL = [pytest.param(op, value, content, id=f"{op} {form}") for op, form, value, content in legal_forms()]


@pytest.mark.parametrize(("op", "value", "content"), LEGAL)
def test_unusual_legal_forms_are_right_or_left_to_python(op: str, value: bytes, content: bytes) -> None:
    needs(op)
    chunk = np.frombuffer(content, np.uint8).reshape(-1, 1)
    out, around = guarded(chunk.shape)
    (status,) = read([value], out, whole(chunk), chunk, ops=[op])
    assert status == native.DECLINED or (status == native.OK and np.array_equal(out, chunk))
    assert untouched_around(out, around)


@pytest.mark.parametrize("direct", [True, False], ids=["into the result", "into scratch"])
@pytest.mark.parametrize("op", [*ONE_OF_EACH, ""])
@pytest.mark.parametrize("size", [23_999, 24_001, 1, 48_000])
def test_a_chunk_of_a_wrong_size_has_a_status(op: str, size: int, direct: bool) -> None:
    needs(*filter(None, [op]))
    chunk = SMOOTH.reshape(-1, 1)
    wrong = np.resize(SMOOTH, size).tobytes()
    value = bytes(ONE_OF_EACH[op].encode(wrong)) if op else wrong
    tiles = whole(chunk) if direct else Tiles([1], [[1]], [[1]], [[23_000]])
    out, around = guarded(chunk.shape)
    (status,) = read([value], out, tiles, chunk, ops=[op] if op else [])
    assert status in (native.SIZE, native.CORRUPT, native.DECLINED)
    assert untouched_around(out, around)


@pytest.mark.parametrize(
    ("op", "status"), [("crc32c", native.SHORT), ("blosc", native.CORRUPT), ("lz4", native.CORRUPT)]
)
@pytest.mark.parametrize("n", range(4))
def test_values_too_short_for_their_header_have_a_status(op: str, status: int, n: int) -> None:
    needs(op)
    chunk = SMOOTH.reshape(-1, 4)
    out, around = guarded(chunk.shape)
    assert read([bytes(n)], out, whole(chunk), chunk, ops=[op]) == [status]
    assert (around == SENTINEL).all()


def test_an_lz4_block_that_falls_short_of_its_header_is_corrupt() -> None:
    needs("lz4")
    chunk = SMOOTH.reshape(-1, 4)
    short = encode(chunk[:100], ["lz4"])
    out, around = guarded(chunk.shape)
    claim = chunk.nbytes.to_bytes(4, "little")
    assert read([claim + short[4:]], out, whole(chunk), chunk, ops=["lz4"]) == [native.CORRUPT]
    assert untouched_around(out, around)


def test_blosc_containers_made_to_mislead_are_not_decoded() -> None:
    needs("blosc")
    chunk = SMOOTH.reshape(-1, 4)
    good = bytearray(numcodecs.Blosc("lz4", 5, 1).encode(chunk.view("<i4")))
    out, around = guarded(chunk.shape)

    def status_with(at: int, value: int, width: int) -> int:
        bad = bytes(good[:at]) + value.to_bytes(width, "little") + bytes(good[at + width :])
        return read([bad], out, whole(chunk), chunk, ops=["blosc"])[0]

    assert status_with(0, 3, 1) == native.DECLINED  # version
    assert status_with(3, 0, 1) == native.DECLINED  # typesize
    assert status_with(4, 2**31, 4) == native.SIZE  # decoded size
    assert status_with(4, 2**32 - 1, 4) == native.SIZE
    assert status_with(8, 0, 4) == native.DECLINED  # block size
    assert status_with(8, 2**31 - 1, 4) == native.DECLINED
    assert status_with(12, len(good) + 1, 4) == native.DECLINED  # container size
    assert status_with(12, 15, 4) == native.DECLINED
    assert status_with(16, 2**31 - 5, 4) == native.CORRUPT  # where the first block begins
    assert untouched_around(out, around)


@many
@given(st.data())
def test_damaged_values_never_write_elsewhere_and_never_pass_a_checksum(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(sorted(module().ops)))
    order = ["crc32c", op] if data.draw(st.booleans()) else [op]
    chunk = SMOOTH[:4000].reshape(-1, 4)
    value = bytearray(encode(chunk, order))
    damage = data.draw(st.sampled_from(["cut", "flip", "overwrite", "append"]))
    at = data.draw(st.integers(0, len(value) - 1))
    if damage == "cut":
        del value[at:]
    elif damage == "flip":
        value[at] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "overwrite":
        value[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    else:
        value += data.draw(st.binary(min_size=1, max_size=8))
    out, around = guarded(chunk.shape)
    (status,) = read([bytes(value)], out, whole(chunk), chunk, ops=order)
    assert untouched_around(out, around)
    if "crc32c" in order and status == native.OK:
        assert np.array_equal(out, chunk)


def test_a_codec_without_functions_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = SMOOTH.reshape(-1, 4)
    out, _ = guarded(chunk.shape)
    nothing = (ctypes.c_void_p * 64)()
    monkeypatch.setattr(module(), "codecs", ctypes.addressof(nothing))
    for op in ("zstd", "blosc", "lz4", "gzip", "zlib"):
        assert read([encode(chunk, [op])], out, whole(chunk), chunk, ops=[op]) == [native.DECLINED]
        assert write_one(chunk, [(op, (1, 0, 1, 0, 1))]) == (None, native.DECLINED)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1023, 3071, 3072, 3073, 6144, 10_000])
def test_crc32c_is_castagnoli_at_every_length(n: int) -> None:
    chunk = np.resize(NOISE, n).reshape(-1, 1)
    value = encode(chunk, ["crc32c"])
    assert write_one(chunk, [("crc32c", ())]) == (value, native.OK)
    out, _ = guarded(chunk.shape)
    assert read([value], out, whole(chunk), chunk, ops=["crc32c"]) == [native.OK]


def test_threads_share_a_read() -> None:
    needs("zstd", "gzip", "blosc")
    chunk = SMOOTH.reshape(-1, 4)
    order = ("crc32c", "zstd", "blosc")
    values = [encode(np.roll(chunk, i, axis=0), order) for i in range(64)]
    out = np.zeros((64 * 6000, 4), np.uint8)
    tiles = Tiles([1] * 64, [[0]] * 64, [[6000 * i] for i in range(64)], [[6000]] * 64)
    threads = [
        threading.Thread(target=read, args=(values, out, tiles, chunk), kwargs={"ops": order, "span": (i, i + 8)})
        for i in range(0, 64, 8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(64):
        assert np.array_equal(out[6000 * i : 6000 * (i + 1)], np.roll(chunk, i, axis=0))


def test_each_codec_says_where_it_comes_from() -> None:
    assert set(module().sources) == module().ops
    assert set(module().missing()) == set(native.OPCODES) - module().ops
    assert module().sources["crc32c"] == "gpuzarr"
    if "zstd" in module().ops:
        assert module().sources["zstd"] == f"numcodecs {numcodecs.__version__}"


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_NATIVE", "0")
    loaded, reason = native._load.__wrapped__()
    assert loaded is None
    assert reason is not None
    assert "GPUZARR_NATIVE" in reason
