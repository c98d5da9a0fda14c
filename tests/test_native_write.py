"""The compiled host module gathers and encodes what NumPy and NumCodecs would."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_calls import (
    BLOSCS,
    ITEMS,
    NOISE,
    PAYLOADS,
    SMOOTH,
    Bytes,
    encode,
    guarded,
    in_memory,
    layouts,
    many,
    needs,
    needs_module,
    read,
    reversed_units,
    whole,
    write,
    write_one,
)

from gpuzarr import native

pytestmark = needs_module


def blosc_numbers(codec: Any) -> tuple[int, ...]:
    return codec.clevel, codec.shuffle, 4, 0, native.BLOSC_CNAMES.index(codec.cname)


ENCODINGS: list[tuple[Any, tuple[str, tuple[int, ...]]]] = [
    *((codec, ("blosc", blosc_numbers(codec))) for codec in BLOSCS),
    *((numcodecs.Zstd(level, sums), ("zstd", (level, int(sums)))) for level in (-3, 0, 5) for sums in (False, True)),
    *((numcodecs.LZ4(acceleration), ("lz4", (acceleration,))) for acceleration in (1, 50)),
]


@pytest.mark.parametrize("payload", [SMOOTH, NOISE[:6000]], ids=["smooth", "noise"])
@pytest.mark.parametrize(("codec", "op"), ENCODINGS, ids=[repr(codec) for codec, _ in ENCODINGS])
def test_encoded_bytes_are_those_of_numcodecs(codec: Any, op: tuple[str, tuple[int, ...]], payload: Bytes) -> None:
    needs(op[0])
    value, status = write_one(payload.reshape(-1, 4), [op])
    assert status == native.OK
    assert value == bytes(codec.encode(payload.view("<i4")))


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("op", ["gzip", "zlib"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_deflated_bytes_decode_with_the_standard_library(op: str, level: int, payload: Bytes) -> None:
    needs(op)
    value, status = write_one(payload.reshape(-1, 1), [(op, (level,))])
    assert status == native.OK
    assert value is not None
    assert (gzip if op == "gzip" else zlib).decompress(value) == payload.tobytes()


@pytest.mark.parametrize("op", ["zstd", "gzip", "zlib"])
def test_a_thread_writes_at_one_level_after_another(op: str) -> None:
    needs(op)
    chunk = SMOOTH.reshape(-1, 4)
    low, high, again = (write_one(chunk, [(op, (level, 0))])[0] for level in (1, 9, 1))
    assert low == again
    assert low != high


@pytest.mark.parametrize(
    "order",
    [(), ("crc32c",), ("zstd", "crc32c"), ("crc32c", "zstd"), ("crc32c", "lz4", "crc32c", "zstd", "gzip", "crc32c")],
    ids=str,
)
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_chain_writes_what_it_reads(order: tuple[str, ...], payload: Bytes) -> None:
    needs(*order)
    chunk = payload.reshape(-1, 1)
    value, status = write_one(chunk, [(name, (1, 0)) for name in order])
    assert status == native.OK
    out, _ = guarded(chunk.shape)
    assert read([value], out, whole(chunk), chunk, ops=order[::-1]) == [native.OK]
    assert np.array_equal(out, chunk)


@st.composite
def values_around(draw: st.DrawFn, shape: tuple[int, ...], item: int) -> Bytes:
    """Values in an array at least as large as `shape`, in any layout; perhaps one value along the first axis."""
    values, _ = draw(layouts(tuple(n + draw(st.integers(0, 3)) for n in shape), item, gaps=True))
    values[...] = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 256, values.shape, np.uint8)
    return np.broadcast_to(values[:1], values.shape) if draw(st.booleans()) and shape else values


@many
@given(st.data())
def test_gathered_chunks_equal_numpy(data: st.DataObject) -> None:
    ndim, (item, swap) = data.draw(st.integers(0, 5)), data.draw(ITEMS)
    shape = tuple(data.draw(st.integers(1, 4 if ndim > 3 else 12)) for _ in range(ndim))
    chunk, _ = data.draw(layouts(shape, item, gaps=False))
    values = data.draw(values_around(shape, item))
    fill = data.draw(st.binary(min_size=item, max_size=item))
    ops: tuple[str, ...] = data.draw(st.sampled_from([(), ("crc32c",), ("crc32c", "lz4")]))
    count = tuple(data.draw(st.integers(1, n)) for n in shape)
    target = tuple(data.draw(st.integers(0, n - c)) for n, c in zip(shape, count, strict=True))
    source = tuple(data.draw(st.integers(0, n - c)) for n, c in zip(values.shape[:-1], count, strict=True))
    chunk[...] = np.frombuffer(fill, np.uint8)
    chunk[box(target, count)] = values[box(source, count)]
    expected = reversed_units(np.frombuffer(in_memory(chunk), np.uint8).reshape(-1, item), swap)
    chain = [(name, (1,)) for name in reversed(ops)]
    encoded = write(values, chunk, (source, target, count), ops=chain, swap=swap, fill=fill)
    assert encoded == ([encode(expected, ops)], [native.OK])


def box(first: tuple[int, ...], count: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, start + n) for start, n in zip(first, count, strict=True))


@pytest.mark.parametrize("swap", [0, 2, 4])
def test_a_whole_chunk_is_swapped_on_its_way_to_a_codec(swap: int) -> None:
    needs("lz4")
    chunk = SMOOTH.reshape(-1, 4)
    nothing = np.zeros((1, 1))
    values, statuses = write(chunk, chunk, (nothing, nothing, [chunk.shape[:-1]]), ops=[("lz4", (1,))], swap=swap)
    assert statuses == [native.OK]
    assert values == [encode(reversed_units(chunk, swap), ["lz4"])]


def test_chunks_of_nothing_but_fill_are_skipped_when_asked() -> None:
    fill = np.array([np.nan], "<f4").tobytes()
    other = np.array([0x7FC00001], "<u4").tobytes()  # also not a number, but other bits
    values = np.frombuffer(fill * 299 + other * 101, np.uint8).reshape(400, 4)
    chunk = np.empty((100, 4), np.uint8)
    boxes = ([[0], [100], [200], [300]], [[0], [50], [0], [0]], [[100], [50], [100], [100]])
    for swap in (0, 4):
        kept, statuses = write(values, chunk, boxes, fill=fill, skip_fill=True, swap=swap, ops=[("crc32c", ())])
        assert statuses == [native.OK] * 4
        assert [value is None for value in kept] == [True, True, False, False]
        kept, _ = write(values, chunk, boxes, fill=fill, swap=swap)
        assert [len(value or b"") for value in kept] == [400] * 4


def test_a_box_that_leaves_its_chunk_or_a_slab_too_small_is_declined() -> None:
    values = SMOOTH[:400].reshape(-1, 4)
    chunk = values[:50]
    for target, count in ((-1, 10), (41, 10), (0, 0)):
        assert write(values, chunk, ([0], [target], [count]))[1] == [native.DECLINED]
