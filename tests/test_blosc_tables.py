"""Blosc containers as tables of streams and blocks: decoded piece by piece they are what numcodecs decodes.

Each stream is decoded by a container of its own around it, and blocks are unshuffled by NumPy.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc, lz4
from numpy.typing import NDArray

from gpuzarr.codecs.blosc import BloscCodec
from gpuzarr.cuda.blosc import CODECS, SHUFFLES, STORED, Containers, containers
from gpuzarr.cuda.streams import Check, Problem
from gpuzarr.errors import GpuzarrError, ShapeError

CNAMES = [name for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd", "snappy") if name in blosc.list_compressors()]


# ---- containers, and what the tables make of them ---------------------------------------------------------------


def values(nbytes: int, kind: str = "steps", seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    if kind == "zeros":
        return bytes(nbytes)
    if kind == "noise":
        return rng.bytes(nbytes)
    return np.cumsum(rng.integers(-3, 4, nbytes // 4 + 1)).astype("<i4").tobytes()[:nbytes]


def packed(
    data: bytes, cname: str = "lz4", level: int = 5, shuffle: int = 1, typesize: int = 4, block: int = 0
) -> bytes:
    made: bytes = blosc.compress(data, cname.encode(), level, shuffle, block, typesize=typesize)
    return made


def slab_of(parts: Iterable[bytes], gap: int = 3) -> tuple[NDArray[np.uint8], Any, Any]:
    """The parts in one allocation, at odd places between other bytes."""
    parts = list(parts)
    size = np.array([len(p) for p in parts], np.int64)
    offset = np.cumsum(size + gap) - size
    slab = np.full(int(size.sum()) + gap * (len(parts) + 1), 0xA5, np.uint8)
    for at, part in zip(offset, parts, strict=True):
        slab[at : at + len(part)] = np.frombuffer(part, np.uint8)
    return slab, offset, size


def parsed(*parts: bytes, rooms: list[int] | None = None) -> tuple[NDArray[np.uint8], Containers]:
    slab, offset, size = slab_of(parts)
    stated = [int.from_bytes(part[4:8], "little") for part in parts]
    return slab, containers(slab, offset, size, np.array(stated if rooms is None else rooms, np.int64))


def stream_decoded(name: str, stream: bytes, room: int) -> bytes:
    """One stream, by a container of one unsplit block around it."""
    if name == STORED:
        return stream
    if name == "zlib":
        inflate = zlib.decompressobj(-15)
        out = inflate.decompress(stream, room + 1)
        assert inflate.eof
        assert not inflate.unused_data
        return out
    header = struct.pack("<BBBBiiii", 2, 1, CODECS.index(name) << 5 | 16, 1, room, room, 24 + len(stream), 20)
    decoded: bytes = blosc.decompress(header + struct.pack("<i", len(stream)) + stream)
    return decoded


def unshuffled(data: bytes, shuffle: int, typesize: int) -> bytes:
    """One block (c-blosc, shuffle.c): whole elements only, and bits only where their number is a multiple of 8."""
    count = len(data) // typesize
    body, rest = np.frombuffer(data[: count * typesize], np.uint8), data[count * typesize :]
    if shuffle == 1:
        return body.reshape(typesize, count).T.tobytes() + rest
    if count % 8:
        return data
    bits = np.unpackbits(body.reshape(typesize * 8, count // 8), axis=1, bitorder="little")
    return np.packbits(bits.T.reshape(count, typesize, 8), axis=2, bitorder="little").tobytes() + rest


def decoded(slab: NDArray[np.uint8], found: Containers, row: int, room: int) -> bytes:
    """A chunk from its rows of the tables."""
    out = np.full(room, 0xEE, np.uint8)
    for name, streams in found.streams.items():
        for k in np.flatnonzero(streams.row == row):
            source = slab[streams.source[k] :][: streams.size[k]].tobytes()
            part = stream_decoded(name, source, int(streams.room[k]))
            assert len(part) == streams.room[k]
            if streams.check[k] == Check.ADLER32:
                assert zlib.adler32(part) == streams.expected[k]
            out[streams.target[k] :][: len(part)] = np.frombuffer(part, np.uint8)
    for k in np.flatnonzero(found.blocks.row == row):
        where = slice(int(found.blocks.target[k]), int(found.blocks.target[k] + found.blocks.size[k]))
        block = unshuffled(out[where].tobytes(), int(found.shuffle[row]), int(found.typesize[row]))
        out[where] = np.frombuffer(block, np.uint8)
    return out.tobytes()


def check_bounds(slab: NDArray[np.uint8], found: Containers, offset: Any, size: Any, room: Any) -> None:
    """Every row stays within its container and its chunk; together the streams of a chunk are all of it, once."""
    n = len(offset)
    covered, taken = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for streams in found.streams.values():
        row = streams.row
        assert (found.problem[row] == Problem.NONE).all()
        assert (streams.source >= offset[row]).all()
        assert (streams.source + streams.size <= offset[row] + size[row]).all()
        assert (streams.size > 0).all()
        assert (streams.target >= 0).all()
        assert (streams.target + streams.room <= room[row]).all()
        np.add.at(covered, row, streams.room)
        np.add.at(taken, row, streams.size)
    good = found.problem == Problem.NONE
    assert (covered == np.where(good, room, 0)).all()
    assert (taken <= size).all()
    assert (found.shuffle[~good] == 0).all()
    assert (np.bincount(found.blocks.row, found.blocks.size, n) == np.where(found.shuffle > 0, room, 0)).all()


# ---- what encoders write ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", range(3), ids=SHUFFLES)
@pytest.mark.parametrize("cname", CNAMES)
def test_containers_of_every_compressor_and_shuffle_decode_piece_by_piece(cname: str, shuffle: int) -> None:
    sizes = [1, 7, 128, 1000, 40_000, 300_001]
    data = [values(n, kind, n) for n in sizes for kind in ("steps", "noise", "zeros")]
    cases = [(level, typesize) for level in (0, 1, 5, 9) for typesize in (1, 2, 3, 4, 8, 16, 17, 255)]
    parts = [
        packed(data[(7 * k + j) % len(data)], cname, level, shuffle, typesize, (0, 4096, 1000)[(k + j) % 3])
        for k, (level, typesize) in enumerate(cases)
        for j in range(3)
    ]
    slab, found = parsed(*parts)
    assert not found.problem.any(), {found.why_not(row) for row in range(len(parts))}
    offset, size = slab_of(parts)[1:]
    whole = [blosc.decompress(part) for part in parts]
    check_bounds(slab, found, offset, size, np.array([len(w) for w in whole]))
    for row, expected in enumerate(whole):
        assert decoded(slab, found, row, len(expected)) == expected


@given(data=st.data())
def test_any_container_that_numcodecs_writes_is_understood(data: st.DataObject) -> None:
    nbytes = data.draw(st.integers(1, 20_000))
    typesize = data.draw(st.integers(1, 255) | st.sampled_from([2, 4, 8, 16]))
    kind = data.draw(st.sampled_from(["steps", "noise", "zeros"]))
    block = data.draw(st.sampled_from([0, 1, 128, 129, 1000, 4096, 2**20]))
    cname, shuffle = data.draw(st.sampled_from(CNAMES)), data.draw(st.integers(0, 2))
    expected = values(nbytes, kind)
    slab, found = parsed(packed(expected, cname, data.draw(st.integers(0, 9)), shuffle, typesize, block))
    assert found.why_not(0) is None
    assert decoded(slab, found, 0, nbytes) == expected


def test_incompressible_chunks_are_one_stored_stream() -> None:
    part = packed(values(5000, "noise"))
    found = parsed(part)[1]
    assert part[2] & 2, "not memcpyed"
    (streams,) = found.streams.values()
    assert list(found.streams) == [STORED]
    assert (streams.source.tolist(), streams.size.tolist()) == ([3 + 16], [5000])
    assert len(found.blocks) == 0


def test_byte_planes_that_do_not_compress_are_stored_streams() -> None:
    rng = np.random.default_rng(1)
    data = (rng.normal(size=32768).cumsum() * 1e-3).astype("<f8").tobytes()
    slab, found = parsed(packed(data, "lz4", typesize=8))
    assert {name: len(s) for name, s in found.streams.items()}.keys() == {"lz4", STORED}
    assert decoded(slab, found, 0, len(data)) == data


def test_streams_come_in_the_order_of_chunks_and_bytes() -> None:
    parts = [packed(values(300_000, seed=k), typesize=4, block=2**16) for k in range(3)]
    streams = parsed(*parts)[1].streams["lz4"]
    order = np.lexsort((streams.target, streams.row))
    assert (order == np.arange(len(streams))).all()


def test_one_byte_elements_are_not_byte_shuffled() -> None:
    _, found = parsed(packed(values(4000), typesize=1, shuffle=1), packed(values(4000), typesize=1, shuffle=2))
    assert found.shuffle.tolist() == [0, 2]
    assert set(found.blocks.row) == {1}


def test_no_containers_are_no_rows() -> None:
    none = np.zeros(0, np.int64)
    found = containers(np.zeros(0, np.uint8), none, none, none)
    assert not found.streams
    assert len(found.blocks) == len(found.problem) == 0


# ---- what the host decodes --------------------------------------------------------------------------------------


def changed(part: bytes, at: int, value: bytes) -> bytes:
    return part[:at] + value + part[at + len(value) :]


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


GOOD = packed(values(40_000), "zstd", block=4096)
"""Ten blocks of one stream, the last one short."""

ODD = {
    "no bytes": (b"", Problem.TRUNCATED),
    "half a header": (GOOD[:10], Problem.TRUNCATED),
    "cut": (GOOD[:-1], Problem.TRUNCATED),
    "version": (changed(GOOD, 0, b"\3"), Problem.FORMAT),
    "version of the compressor": (changed(GOOD, 1, b"\2"), Problem.FORMAT),
    "flag of the future": (changed(GOOD, 2, bytes([GOOD[2] | 8])), Problem.FORMAT),
    "typesize 0": (changed(GOOD, 3, b"\0"), Problem.FORMAT),
    "size": (changed(GOOD, 4, i32(39_999)), Problem.SIZE),
    "negative size": (changed(GOOD, 4, i32(-1)), Problem.SIZE),
    "blocks of nothing": (changed(GOOD, 8, i32(0)), Problem.FORMAT),
    "negative blocks": (changed(GOOD, 8, i32(-4096)), Problem.FORMAT),
    "blocks larger than the chunk": (changed(GOOD, 8, i32(40_001)), Problem.FORMAT),
    "tiny blocks": (changed(GOOD, 8, i32(1)), Problem.PIECES),
    "more blocks than there is room for": (changed(GOOD, 8, i32(64))[:500], Problem.TRUNCATED),
    "negative container": (changed(GOOD, 12, i32(-1)), Problem.TRUNCATED),
    "unknown compressor": (changed(GOOD, 2, bytes([GOOD[2] & 31 | 7 << 5])), Problem.CODEC),
    "block before the first": (changed(GOOD, 16, i32(16)), Problem.TRUNCATED),
    "block in the table of blocks": (changed(GOOD, 16, i32(16 + 40 - 1)), Problem.TRUNCATED),
    "block at a negative place": (changed(GOOD, 16, i32(-5)), Problem.TRUNCATED),
    "block after the end": (changed(GOOD, 16, i32(len(GOOD))), Problem.TRUNCATED),
    "blocks of another size": (changed(GOOD, 16, GOOD[52:56]), Problem.SIZE),
    "memcpyed, of another size": (changed(GOOD, 2, b"\2"), Problem.FORMAT),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_containers_are_left_to_the_host_and_say_why(name: str) -> None:
    part, problem = ODD[name]
    found = parsed(GOOD, part, GOOD, rooms=[40_000] * 3)[1]
    assert found.problem.tolist() == [0, problem, 0]
    assert (found.why_not(1) is None) == (problem == Problem.NONE)
    assert set(np.unique(found.blocks.row)) == ({0, 2} if problem else {0, 1, 2})


def test_streams_that_overlap_are_refused_where_they_are_more_than_the_container() -> None:
    stream = packed(values(4096), shuffle=0, typesize=1, block=4096)[20:]
    n = 100
    start = 16 + 4 * n
    body = struct.pack("<BBBBiii", 2, 1, 1 << 5 | 16, 1, 4096 * n, 4096, start + len(stream))
    part = body + i32(start) * n + stream
    assert parsed(part)[1].problem.tolist() == [Problem.TRUNCATED if 16 + 9 * n > len(part) else Problem.FORMAT]


def test_a_block_may_be_smaller_than_any_encoder_makes_it_if_it_is_the_only_one() -> None:
    stream = lz4.compress(bytes(40))[4:]
    part = struct.pack("<BBBBiii", 2, 1, 1 << 5, 4, 40, 40, 24 + len(stream)) + i32(20) + i32(len(stream)) + stream
    slab, found = parsed(part)
    assert found.why_not(0) is None
    assert decoded(slab, found, 0, 40) == blosc.decompress(part) == bytes(40)


def test_an_empty_container_is_left_to_the_host() -> None:
    assert parsed(packed(b""))[1].problem.tolist() == [Problem.EMPTY]


def test_compressors_that_the_device_does_not_have_are_left_to_the_host() -> None:
    slab, offset, size = slab_of([packed(values(4000), "zstd"), packed(values(4000), "lz4")])
    found = containers(slab, offset, size, np.array([4000, 4000]), codecs={"lz4"})
    assert found.problem.tolist() == [Problem.CODEC, Problem.NONE]


def test_rows_outside_the_slab_are_refused() -> None:
    for offset, size in ((0, 11), (-1, 5), (11, 0), (2**62, 2**62), (0, -1)):
        with pytest.raises(ShapeError):
            containers(np.zeros(10, np.uint8), np.array([offset]), np.array([size]), np.array([1]))


# ---- malformed containers ---------------------------------------------------------------------------------------

INTERESTING = [0, 1, 2, 16, 63, 64, 127, 128, 255, 4096, 2**31 - 1, 2**31, 2**32 - 1]
numbers = st.sampled_from(INTERESTING) | st.integers(0, 9999)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, int]:
    """A container of which some numbers were changed, and its chunk's size."""
    nbytes = draw(st.sampled_from([200, 1000, 5000]))
    kind = draw(st.sampled_from(["steps", "noise", "zeros"]))
    block, typesize = draw(st.sampled_from([0, 256, 1000])), draw(st.sampled_from([1, 2, 4, 7]))
    cname, shuffle = draw(st.sampled_from(CNAMES)), draw(st.integers(0, 2))
    out = bytearray(packed(values(nbytes, kind), cname, draw(st.integers(0, 9)), shuffle, typesize, block))
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.sampled_from([1, 4, 4]))
        last = min(len(out), 120) - width
        at = draw(st.integers(0, last)) // width * width
        out[at : at + width] = struct.pack("<Q", draw(numbers) % 256**width)[:width]
    if draw(st.booleans()):
        del out[draw(st.integers(0, len(out))) :]
    return bytes(out), nbytes


@settings(max_examples=200)
@given(st.lists(damaged(), min_size=1, max_size=4))
def test_whatever_a_container_claims_no_row_leaves_it(parts: list[tuple[bytes, int]]) -> None:
    slab, offset, size = slab_of(part for part, _ in parts)
    room = np.array([n for _, n in parts])
    check_bounds(slab, containers(slab, offset, size, room), offset, size, room)


@settings(max_examples=200)
@given(damaged())
def test_damage_that_the_tables_let_pass_decodes_as_the_host_decodes_it(part: tuple[bytes, int]) -> None:
    data, nbytes = part
    slab, found = parsed(data, rooms=[nbytes])
    if found.why_not(0) is not None:
        return
    try:
        here: bytes | None = decoded(slab, found, 0, nbytes)
    except (RuntimeError, AssertionError, zlib.error):
        here = None
    try:
        host: bytes | None = bytes(BloscCodec().decode(data, nbytes, nbytes))
    except (GpuzarrError, RuntimeError):
        host = None
    assert here == host
