"""What the streams of chunks are, found from their bytes: right for what encoders write, and careful with the rest."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import lz4, zstd
from numpy.typing import NDArray

from gpuzarr.codecs.deflate import GzipCodec, ZlibCodec
from gpuzarr.codecs.lz4 import Lz4Codec
from gpuzarr.codecs.zstd import ZstdCodec
from gpuzarr.cuda.frames import (
    READERS,
    gzip_members,
    lz4_blocks,
    snappy_blocks,
    zlib_streams,
    zstd_frames,
)
from gpuzarr.cuda.streams import WORDS, Check, Frames, Problem, Streams
from gpuzarr.errors import GpuzarrError, ShapeError

Column = NDArray[np.int64]


# ---- slabs ------------------------------------------------------------------------------------------------------


def values(nbytes: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(-3, 4, nbytes // 2 + 1)).astype("<i2").tobytes()[:nbytes]


def rows(parts: list[bytes], rooms: list[int]) -> tuple[NDArray[np.uint8], Column, Column, Column]:
    """The parts in one allocation, at odd places between other bytes, and the sizes they should decode to."""
    size = np.array([len(p) for p in parts], np.int64)
    offset = np.cumsum(size + 3) - size
    slab = np.full(int(size.sum()) + 3 * len(parts) + 3, 0xA5, np.uint8)
    for at, part in zip(offset, parts, strict=True):
        slab[at : at + len(part)] = np.frombuffer(part, np.uint8)
    return slab, offset, size, np.array(rooms, np.int64)


def payloads(slab: NDArray[np.uint8], streams: Streams) -> list[bytes]:
    return [slab[s : s + n].tobytes() for s, n in zip(streams.source, streams.size, strict=True)]


def problem(read: Callable[..., Frames], part: bytes, room: int, **options: Any) -> Problem:
    """What is wrong with one chunk between two others; the same as when it is one of many, and when it is alone."""
    alone = read(*rows([part], [room]), **options)
    many = read(*rows([part] * 40, [room] * 40), **options)
    assert (many.problem == alone.problem[0]).all()
    assert len(many.streams) == 40 * len(alone.streams)
    found = Problem(int(alone.problem[0]))
    assert alone.why_not(0) == WORDS.get(found)
    assert (found == Problem.NONE) == (len(alone.streams) > 0)
    return found


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(-15)
    out = unpacker.decompress(data)
    assert unpacker.eof
    assert not unpacker.unused_data
    return out


# ---- zlib, gzip, deflate ----------------------------------------------------------------------------------------

SIZES = [1, 100, 70_000]


def test_zlib_streams_are_raw_deflate_and_an_adler32() -> None:
    data = [values(n) for n in SIZES]
    slab, offset, size, room = rows([zlib.compress(d) for d in data], SIZES)
    found = zlib_streams(slab, offset, size, room)
    assert [inflated(p) for p in payloads(slab, found.streams)] == data
    assert found.streams.expected.tolist() == [zlib.adler32(d) for d in data]
    assert set(found.streams.check) == {Check.ADLER32}
    assert framed(slab, found.streams) == [zlib.compress(d) for d in data]


def framed(slab: NDArray[np.uint8], streams: Streams) -> list[bytes]:
    """The streams with the bytes around them."""
    start, end = streams.source - streams.before, streams.source + streams.size + streams.behind
    return [slab[low:high].tobytes() for low, high in zip(start.tolist(), end.tolist(), strict=True)]


def test_gzip_members_are_raw_deflate_and_a_crc32() -> None:
    data = [values(n) for n in SIZES]
    parts = [gzip.compress(d) for d in data]
    slab, offset, size, room = rows(parts, SIZES)
    found = gzip_members(slab, offset, size, room)
    assert [inflated(p) for p in payloads(slab, found.streams)] == data
    assert framed(slab, found.streams) == parts
    assert not found.streams.odd.any()
    assert found.streams.expected.tolist() == [zlib.crc32(d) for d in data]
    assert set(found.streams.check) == {Check.CRC32}


def member(data: bytes, flags: int, optional: bytes) -> bytes:
    trailer = struct.pack("<II", zlib.crc32(data), len(data))
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + optional + deflated(data) + trailer


OPTIONAL = {
    "none": (0, b""),
    "text": (1, b""),
    "checksum": (2, b"\x12\x34"),
    "extra": (4, b"\x05\x00extra"),
    "name": (8, b"name\0"),
    "comment": (16, b"\0"),
    "all": (31, b"\x00\x00name\0comment\0\x12\x34"),
}


@pytest.mark.parametrize("name", OPTIONAL)
def test_the_deflate_in_a_gzip_member_begins_after_the_optional_fields(name: str) -> None:
    data = values(1000)
    slab, offset, size, room = rows([member(data, *OPTIONAL[name])], [1000])
    found = gzip_members(slab, offset, size, room)
    assert [inflated(p) for p in payloads(slab, found.streams)] == [data]
    assert found.streams.odd.tolist() == [Problem.CHECKSUM if OPTIONAL[name][0] & 2 else Problem.NONE]


GZIP = gzip.compress(values(1000))

ODD_GZIP = {
    "no bytes": (b"", Problem.TRUNCATED),
    "header only": (GZIP[:10], Problem.TRUNCATED),
    "not gzip": (b"\x1f\x8c" + GZIP[2:], Problem.FORMAT),
    "another method": (GZIP[:2] + b"\7" + GZIP[3:], Problem.FORMAT),
    "reserved flags": (GZIP[:3] + b"\x20" + GZIP[4:], Problem.FORMAT),
    "a name without end": (GZIP[:3] + b"\x08" + b"\1" * 100 + GZIP[-8:], Problem.TRUNCATED),
    "extra without end": (GZIP[:3] + b"\x04" + b"\xff" * 40 + GZIP[-8:], Problem.TRUNCATED),
}


@pytest.mark.parametrize("name", ODD_GZIP)
def test_odd_gzip_is_left_to_the_host(name: str) -> None:
    part, expected = ODD_GZIP[name]
    assert problem(gzip_members, part, 1000) == expected


@pytest.mark.parametrize(
    "part",
    [GZIP[:-1], gzip.compress(values(500)) + gzip.compress(values(500)), GZIP + bytes(8)],
    ids=["cut", "two members", "padded with zeros"],
)
def test_a_chunk_that_does_not_end_with_its_size_is_a_stream_as_a_whole_and_not_for_nvcomp(part: bytes) -> None:
    slab, offset, size, room = rows([GZIP, part, GZIP], [1000, 1000, 1000])
    found = gzip_members(slab, offset, size, room)
    assert not found.problem.any()
    assert framed(slab, found.streams) == [GZIP, part, GZIP]
    assert payloads(slab, found.streams)[1] == part
    assert found.streams.odd.tolist() == [Problem.NONE, Problem.MEMBERS, Problem.NONE]
    assert found.streams.check.tolist() == [Check.CRC32, Check.NONE, Check.CRC32]


ZLIB = zlib.compress(values(1000))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (b"", Problem.TRUNCATED),
        (ZLIB[:7], Problem.TRUNCATED),
        (b"\x79" + ZLIB[1:], Problem.FORMAT),
        (b"\x88\x1c" + ZLIB[2:], Problem.FORMAT),
        (b"\x78\xbb" + ZLIB[2:], Problem.DICTIONARY),
    ],
    ids=["no bytes", "short", "wrong check", "window too large", "dictionary"],
)
def test_odd_zlib_is_left_to_the_host(part: bytes, expected: Problem) -> None:
    assert problem(zlib_streams, part, 1000) == expected


# ---- lz4, snappy ------------------------------------------------------------------------------------------------


def test_lz4_blocks_follow_their_decoded_size() -> None:
    data = values(5000)
    part = lz4.compress(data)
    slab, offset, size, room = rows([part], [5000])
    assert payloads(slab, lz4_blocks(slab, offset, size, room).streams) == [part[4:]]
    for odd, why in ((part[:4], Problem.TRUNCATED), (b"\0" + part[1:], Problem.SIZE), (b"", Problem.TRUNCATED)):
        assert problem(lz4_blocks, odd, 5000) == why


def test_snappy_blocks_begin_with_their_decoded_size() -> None:
    for part, room, why in (
        (b"\x05\x10hello", 5, Problem.NONE),
        (b"\xac\x02" + b"x" * 9, 300, Problem.NONE),
        (b"\xff\xff\xff\xff\x07x", 2**31 - 1, Problem.NONE),
        (b"\x05\x10hello", 6, Problem.SIZE),
        (b"\xac", 300, Problem.TRUNCATED),
        (b"\xac\x02", 300, Problem.TRUNCATED),
        (b"\xff" * 7, 300, Problem.FORMAT),
        (b"", 300, Problem.TRUNCATED),
    ):
        assert problem(snappy_blocks, part, room) == why


# ---- zstd -------------------------------------------------------------------------------------------------------


def frame(data: bytes, checksum: bool = False) -> bytes:
    made: bytes = zstd.compress(data, 3, checksum)
    return made


def parsed(part: bytes) -> tuple[int, int, bytes]:
    """Descriptor, decoded size and the rest of a frame as numcodecs writes it: single segment, no dictionary."""
    flags = part[4]
    assert flags & 0x23 == 0x20
    width = (1, 2, 4, 8)[flags >> 6]
    size = int.from_bytes(part[5 : 5 + width], "little") + (256 if width == 2 else 0)
    return flags, size, part[5 + width :]


def reframed(part: bytes, *, content: int | None = 8, window: int | None = 10, key: bytes = b"") -> bytes:
    """A frame with another header: a content size of so many bytes or none, a window of 2**window bytes."""
    flags, size, blocks = parsed(part)
    code = 0 if content is None else {1: 0, 2: 1, 4: 2, 8: 3}[content]
    keyed = {0: 0, 1: 1, 2: 2, 4: 3}[len(key)]
    head = bytes([code << 6 | (0x20 if window is None else 0) | flags & 4 | keyed])
    head += b"" if window is None else bytes([(window - 10) << 3])
    head += key
    if content is not None:
        head += (size - (256 if content == 2 else 0)).to_bytes(content, "little")
    return part[:4] + head + blocks


def skippable(data: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50 + len(data) % 16, len(data)) + data


@pytest.mark.parametrize("nbytes", [1, 255, 256, 65_791, 65_792, 400_000])
def test_a_zstd_frame_of_any_size_is_one_stream(nbytes: int) -> None:
    part = frame(values(nbytes))
    slab, offset, size, room = rows([part], [nbytes])
    found = zstd_frames(slab, offset, size, room)
    assert payloads(slab, found.streams) == [part]
    assert found.streams.check.tolist() == [Check.NONE]
    assert problem(zstd_frames, part, nbytes + 1) == Problem.SIZE
    assert problem(zstd_frames, part, max(nbytes - 1, 1)) == (Problem.SIZE if nbytes > 1 else Problem.NONE)


@pytest.mark.parametrize("content", [2, 4, 8])
@pytest.mark.parametrize("window", [None, 19])
@pytest.mark.parametrize("key", [b"", b"\0", b"\0\0", b"\0\0\0\0"])
def test_headers_of_every_form_are_read(content: int, window: int | None, key: bytes) -> None:
    data = values(65_000)
    part = reframed(frame(data), content=content, window=window, key=key)
    assert bytes(ZstdCodec().decode(part, 65_000, 65_000)) == data
    assert problem(zstd_frames, part, 65_000) == Problem.NONE


def test_several_frames_are_streams_of_one_chunk_and_skippable_ones_are_none() -> None:
    data = [values(n, n) for n in (1000, 70_000, 1, 300)]
    parts = [frame(d) for d in data]
    whole = skippable(b"before") + parts[0] + parts[1] + skippable(b"") + parts[2] + parts[3] + skippable(b"after" * 9)
    slab, offset, size, room = rows([parts[0], whole, parts[3]], [1000, 71_301, 300])
    found = zstd_frames(slab, offset, size, room)
    assert not found.problem.any()
    assert payloads(slab, found.streams) == [parts[0], *parts, parts[3]]
    assert found.streams.row.tolist() == [0, 1, 1, 1, 1, 2]
    assert found.streams.target.tolist() == [0, 0, 1000, 71_000, 71_001, 0]
    assert found.streams.room.tolist() == [1000, 1000, 70_000, 1, 300, 300]
    assert problem(zstd_frames, whole, 71_302) == Problem.SIZE
    assert problem(zstd_frames, whole, 71_300) == Problem.SIZE


def test_checksums_of_frames_are_told_and_are_not_for_nvcomp() -> None:
    data = [values(1000), values(200)]
    checked, plain = frame(data[0], checksum=True), frame(data[1])
    assert problem(zstd_frames, checked, 1000) == Problem.NONE
    found = zstd_frames(*rows([plain + checked], [1200]))
    assert found.streams.check.tolist() == [Check.NONE, Check.XXH64]
    assert found.streams.expected.tolist() == [0, int.from_bytes(checked[-4:], "little")]
    assert found.streams.odd.tolist() == [Problem.NONE, Problem.CHECKSUM]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_frame_without_content_size_has_what_the_others_leave_and_is_not_for_nvcomp(at: int) -> None:
    data = values(65_000)
    hidden, plain = reframed(frame(data), content=None, window=17), frame(values(300))
    frames = [plain, plain]
    frames.insert(at, hidden)
    part, room = b"".join(frames), 65_600
    assert bytes(ZstdCodec().decode(part, room, room)) == values(300) * at + data + values(300) * (2 - at)
    found = zstd_frames(*rows([part, plain, part], [room, 300, room]))
    rooms = [300, 300]
    rooms.insert(at, 65_000)
    assert found.streams.room.tolist() == [*rooms, 300, *rooms]
    assert found.streams.target.tolist() == [0, rooms[0], sum(rooms[:2]), 0, 0, rooms[0], sum(rooms[:2])]
    assert (found.streams.odd == np.where(found.streams.room == 65_000, Problem.NO_SIZE, Problem.NONE)).all()
    assert problem(zstd_frames, part, 2**30) == Problem.FORMAT
    assert problem(zstd_frames, part, 600) == Problem.EMPTY
    assert problem(zstd_frames, part, 599) == Problem.SIZE
    assert problem(zstd_frames, hidden + part, 130_600) == Problem.NO_SIZE


def test_a_window_larger_than_nvcomp_has_is_not_for_it() -> None:
    part = reframed(frame(values(1000)), window=28)
    assert bytes(ZstdCodec().decode(part, 1000, 1000)) == values(1000)
    assert zstd_frames(*rows([part], [1000])).streams.odd.tolist() == [Problem.WINDOW]


ZSTD = frame(values(200_000))
FLAGS, _, BLOCKS = parsed(ZSTD)
HEAD = ZSTD[: len(ZSTD) - len(BLOCKS)]


def block(kind: int, size: int, body: bytes = b"", last: int = 1) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + body


ODD_ZSTD = {
    "no bytes": (b"", Problem.FORMAT),
    "magic only": (ZSTD[:4], Problem.TRUNCATED),
    "another magic": (b"\0" + ZSTD[1:], Problem.FORMAT),
    "half a header": (ZSTD[:6], Problem.TRUNCATED),
    "cut": (ZSTD[:-1], Problem.TRUNCATED),
    "one byte more": (ZSTD + b"\0", Problem.FORMAT),
    "reserved bit": (ZSTD[:4] + bytes([FLAGS | 8]) + ZSTD[5:], Problem.FORMAT),
    "dictionary": (reframed(ZSTD, window=18, key=b"\1"), Problem.DICTIONARY),
    "the largest window": (reframed(ZSTD, window=27), Problem.NONE),
    "window smaller than its blocks": (reframed(ZSTD, window=10), Problem.FORMAT),
    "reserved block": (HEAD + block(3, 10, bytes(10)), Problem.FORMAT),
    "large block": (HEAD + block(2, 128 * 1024 + 1, bytes(128 * 1024 + 1)), Problem.FORMAT),
    "compressed block of a byte": (HEAD + block(2, 1, b"\0"), Problem.FORMAT),
    "blocks of less than it says": (HEAD + block(1, 100, b"x"), Problem.FORMAT),
    "no last block": (HEAD + block(0, 5, b"12345", last=0), Problem.TRUNCATED),
    "very many blocks": (HEAD + block(0, 0, last=0) * 100_000 + BLOCKS, Problem.PIECES),
    "very many frames": (skippable(b"") * 100_000 + ZSTD, Problem.PIECES),
    "skippable frame, cut": (ZSTD + skippable(bytes(20))[:-1], Problem.TRUNCATED),
    "skippable frame, huge": (struct.pack("<II", 0x184D2A5F, 2**32 - 1), Problem.TRUNCATED),
    "only skippable": (skippable(bytes(20)), Problem.SIZE),
    "an empty frame": (frame(b"") + ZSTD, Problem.NONE),
    "an empty frame with a checksum": (frame(b"", checksum=True) + ZSTD, Problem.EMPTY),
    "a huge content size": (reframed(ZSTD)[:6] + b"\xff" * 8 + BLOCKS, Problem.SIZE),
}


@pytest.mark.parametrize("name", ODD_ZSTD)
def test_odd_zstd_is_left_to_the_host(name: str) -> None:
    part, expected = ODD_ZSTD[name]
    assert problem(zstd_frames, part, 200_000) == expected


# ---- every format -----------------------------------------------------------------------------------------------

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": frame,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "deflate": deflated,
    "lz4": lz4.compress,
    "snappy": lambda data: bytes([len(data) & 127 | 128, len(data) >> 7]) + b"\xf0\x00" + data,
}


@pytest.mark.parametrize("name", READERS)
def test_a_window_may_have_many_streams_or_none(name: str) -> None:
    data = [values(1000 + k, k) for k in range(100)]
    parts = [ENCODERS[name](d) for d in data]
    found = READERS[name](*rows(parts, [len(d) for d in data]))
    assert not found.problem.any()
    assert found.streams.row.tolist() == list(range(100))
    assert found.streams.room.tolist() == [len(d) for d in data]
    empty = READERS[name](np.zeros(0, np.uint8), *[np.zeros(0, np.int64)] * 3)
    assert len(empty.streams) == len(empty.problem) == 0


@pytest.mark.parametrize("name", READERS)
def test_empty_and_huge_chunks_are_left_to_the_host(name: str) -> None:
    part = ENCODERS[name](values(1000))
    assert problem(READERS[name], part, 0) == Problem.EMPTY
    assert problem(READERS[name], part, 2**40) == Problem.TOO_LARGE


@pytest.mark.parametrize("name", READERS)
def test_rows_outside_the_slab_are_refused(name: str) -> None:
    for offset, size, room in ((0, 11, 1), (-1, 5, 1), (11, 0, 1), (2**62, 2**62, 1), (0, -1, 1), (0, 5, -1)):
        with pytest.raises(ShapeError):
            READERS[name](np.zeros(10, np.uint8), *(np.array([v]) for v in (offset, size, room)))


def test_streams_within_streams_are_streams_of_the_chunk() -> None:
    outer = Streams.of(np.array([7, 9]), np.array([0, 50]), np.array([50, 50]), np.array([30, 20]), np.array([0, 100]))
    inner = Streams.of(np.array([1, 1]), np.array([50, 60]), np.array([10, 40]), np.array([5, 15]), np.array([0, 5]))
    found = inner.within(outer)
    assert found.row.tolist() == [9, 9]
    assert found.target.tolist() == [100, 105]
    assert found.source.tolist() == [50, 60]


def decoded(name: str, slab: NDArray[np.uint8], found: Frames, room: int) -> bytes | None:
    """A chunk by its streams and their checksums; None where a stream or a checksum is wrong."""
    out = np.zeros(room, np.uint8)
    for k, payload in enumerate(payloads(slab, found.streams)):
        wanted, target = int(found.streams.room[k]), int(found.streams.target[k])
        try:
            whole = found.streams.odd[k] == Problem.MEMBERS
            part = gzip.decompress(payload) if whole else _decoded(name, payload, wanted)
        except (RuntimeError, zlib.error, EOFError, gzip.BadGzipFile, AssertionError):
            return None
        check = {Check.ADLER32: zlib.adler32, Check.CRC32: zlib.crc32}.get(Check(int(found.streams.check[k])))
        if len(part) != wanted or (check is not None and check(part) != found.streams.expected[k]):
            return None
        out[target : target + wanted] = np.frombuffer(part, np.uint8)
    return out.tobytes()


def _decoded(name: str, payload: bytes, room: int) -> bytes:
    if name == "zstd":
        return bytes(zstd.decompress(payload))
    if name == "lz4":
        return bytes(lz4.decompress(struct.pack("<i", room) + payload))
    return inflated(payload)


HOSTS: dict[str, Any] = {"zstd": ZstdCodec(), "gzip": GzipCodec(), "zlib": ZlibCodec(), "lz4": Lz4Codec()}


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """One or two streams of 3000 bytes, of which some bytes were changed, mostly in headers and trailers."""
    data = values(3000, draw(st.integers(0, 3)))
    plain = frame(data, draw(st.booleans())) if name == "zstd" else ENCODERS[name](data)
    out = bytearray(plain)
    if name in ("zstd", "gzip") and draw(st.booleans()):
        cut = draw(st.integers(0, 3000))
        out = bytearray(ENCODERS[name](data[:cut]) + ENCODERS[name](data[cut:]))
    for _ in range(draw(st.integers(0, 2))):
        near = draw(st.integers(0, min(30, len(out) - 1)))
        at = draw(st.sampled_from([near, len(out) - 1 - near, draw(st.integers(0, len(out) - 1))]))
        out[at] = draw(st.integers(0, 255))
    if draw(st.integers(0, 3)) == 0:
        del out[draw(st.integers(0, len(out))) :]
    return bytes(out)


@pytest.mark.parametrize("name", HOSTS)
@settings(max_examples=150)
@given(data=st.data())
def test_what_is_let_pass_and_decodes_is_what_the_host_decodes(name: str, data: st.DataObject) -> None:
    part = data.draw(damaged(name))
    slab, offset, size, room = rows([part], [3000])
    found = READERS[name](slab, offset, size, room)
    assert (found.streams.source >= offset[0]).all()
    assert (found.streams.source + found.streams.size <= offset[0] + size[0]).all()
    if found.why_not(0) is not None:
        assert len(found.streams) == 0
        return
    assert found.streams.room.sum() == 3000
    try:
        host: bytes | None = bytes(HOSTS[name].decode(part, 3000, 3000))
    except (GpuzarrError, RuntimeError):
        host = None
    assert decoded(name, slab, found, 3000) in (None, host)
