"""The compiled host module does what NumPy does, declines what it may not decide, and writes nowhere else.

Elements are modelled as bytes: every array here is uint8 with one more axis, as long as an element.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuzarr import native

Bytes = NDArray[np.uint8]
Columns = NDArray[np.int64]
SENTINEL = 0xA5

pytestmark = pytest.mark.skipif(native.load() is None, reason=f"no compiled module: {native.why_not()}")


def module() -> native.Native:
    loaded = native.load()
    assert loaded is not None
    return loaded


# ---- a read, from plain arguments ----------------------------------------------------------------------------


@dataclass
class Tiles:
    """The tiles of a read: how many each row has, and their columns, [tiles, ndim] each."""

    per_row: Sequence[int]
    source: Any
    target: Any
    count: Any
    step: Any = None
    kind: int = native.BOXES
    tables: tuple[Sequence[Any], Sequence[Any]] | None = None


@dataclass
class Files:
    """Where rows are in files: extents are (key, offset, length), rows (extent, offset, length)."""

    prefix: str
    coords: Any
    extents: Sequence[tuple[int, int, int]]
    rows: Sequence[tuple[int, int, int]]
    separator: str = "/"
    zero_key: str = ""


def column(values: Any, *shape: int) -> Columns:
    return np.ascontiguousarray(np.asarray(values, np.int64).reshape(shape))


def read(
    stored: Sequence[bytes | None] | Files,
    out: Bytes,
    tiles: Tiles,
    chunk: Bytes,
    *,
    ops: Sequence[str] = (),
    swap: int = 0,
    fill: bytes | None = None,
    streaming: bool = False,
    span: tuple[int, int] | None = None,
) -> list[int]:
    """Runs a read into `out`; `chunk` is any array with the layout of a decoded chunk. Returns the statuses."""
    rows, ndim, item = len(tiles.per_row), out.ndim - 1, out.shape[-1]
    chain = native.ops([(name, ()) for name in ops])
    status = np.full(rows, -1, np.int32)
    keep: list[Any] = [chain, status]

    def at(values: Any, *shape: int) -> int:
        keep.append(column(values, *shape))
        return native.address(keep[-1])

    lists: tuple[int | None, int | None] = (None, None)
    if tiles.tables is not None:
        sides = [[column(table, -1) for table in side] for side in tiles.tables]
        keep.append(sides)
        lists = (at(native.pointers(sides[0]), -1), at(native.pointers(sides[1]), -1))
    step = np.ones(np.shape(tiles.count)) if tiles.step is None else tiles.step
    end = (
        *(at(np.cumsum([0, *tiles.per_row]), -1), at(tiles.source, -1), at(tiles.target, -1)),
        *(at(tiles.count, -1), at(step, -1), tiles.kind, *lists, native.address(status)),
    )
    begin = (
        *(module().codecs, ctypes.addressof(chain), len(ops), ndim, item, swap, chunk.nbytes),
        *(at(chunk.strides[:-1], -1), native.address(out), at(out.strides[:-1], -1), streaming),
        fill or bytes(item),
    )
    if isinstance(stored, Files):
        extents, places = column(stored.extents, -1, 3), column(stored.rows, -1, 3)
        coords = np.atleast_2d(np.asarray(stored.coords, np.int64))
        where = (
            *(native.FILES, os.fsencode(stored.prefix), at(coords, -1), coords.shape[1]),
            *(ord(stored.separator), os.fsencode(stored.zero_key), None, None),
            *(at(extents[:, i], -1) for i in range(3)),
        )
    else:
        buffers = native.Buffers(stored)
        keep.append(buffers)
        places = column([(row, 0, -1) for row in range(rows)], -1, 3)
        where = (
            *(native.MEMORY, None, None, 0, 0, None, native.address(buffers.data), native.address(buffers.size)),
            *(None, None, None),
        )
    args = native.ReadArgs(*begin, *where, *(at(places[:, i], -1) for i in range(3)), *end)
    lo, hi = span or (0, rows)
    failed = module().read(args, lo, hi)
    assert failed == sum(int(value & 255) > native.ABSENT for value in status[lo:hi])
    del keep
    return [int(value) for value in status]


def whole(chunk: Bytes) -> Tiles:
    """One row, one tile: all of it."""
    ndim = chunk.ndim - 1
    return Tiles([1], np.zeros((1, ndim)), np.zeros((1, ndim)), np.array([chunk.shape[:-1]]))


def guarded(shape: tuple[int, ...]) -> tuple[Bytes, Bytes]:
    """An array of that shape, and the larger one that it lies in, all of it SENTINEL."""
    n = int(np.prod(shape))
    around = np.full(n + 512, SENTINEL, np.uint8)
    return around[256 : 256 + n].reshape(shape), around


def untouched_around(out: Bytes, around: Bytes) -> bool:
    copy = out.copy()
    out[...] = SENTINEL
    clean = bool((around == SENTINEL).all())
    out[...] = copy
    return clean


# ---- codecs that others wrote --------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
SMOOTH = np.cumsum(RNG.integers(-3, 4, 6000)).astype("<i4").view(np.uint8)
NOISE = RNG.integers(0, 256, 6001, np.uint8)
PAYLOADS = {"smooth": SMOOTH, "noise": NOISE, "constant": np.full(70_000, 7, np.uint8), "one": NOISE[:1]}

BLOSC = [
    numcodecs.Blosc(cname, clevel, shuffle)
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle in (0, 1, 2)
    for clevel in (0, 1, 5, 9)
]
ENCODERS: list[tuple[str, Any]] = [
    *(("blosc", codec) for codec in BLOSC),
    *(("zstd", numcodecs.Zstd(level, checksum)) for level in (-3, 1, 19) for checksum in (False, True)),
    *(("lz4", numcodecs.LZ4(acceleration)) for acceleration in (1, 50)),
    *(("gzip", numcodecs.GZip(level)) for level in (0, 1, 9)),
    *(("zlib", numcodecs.Zlib(level)) for level in (0, 1, 9)),
]


def needs(*ops: str) -> None:
    lacking = set(ops) - module().ops
    if lacking:
        pytest.skip(f"not available to the module here: {module().missing()}")


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("typesize", [1, 4])
@pytest.mark.parametrize(("op", "codec"), ENCODERS, ids=[repr(codec) for _, codec in ENCODERS])
def test_chunks_that_numcodecs_wrote_decode(op: str, codec: Any, payload: Bytes, typesize: int) -> None:
    needs(op)
    n = len(payload) // typesize * typesize
    typed = payload[:n].view(f"u{typesize}")
    chunk = payload[:n].reshape(-1, 1)
    if n == 0:
        return
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


def encode(chunk: Bytes, decode_order: Sequence[str]) -> bytes:
    value = chunk.tobytes()
    for op in reversed(decode_order):
        value = bytes(ONE_OF_EACH[op].encode(value))
    return value


class Crc32c:
    def encode(self, value: bytes) -> bytes:
        import google_crc32c

        return value + google_crc32c.value(value).to_bytes(4, "little")


ONE_OF_EACH = {
    "crc32c": Crc32c(),
    "zstd": numcodecs.Zstd(3),
    "blosc": numcodecs.Blosc("lz4", 5, 1),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(5),
    "zlib": numcodecs.Zlib(5),
}


# ---- odd but legal, and malformed, stored bytes --------------------------------------------------------------

SKIPPABLE = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"


def zstd_without_size(value: bytes) -> bytes:
    """A frame that does not say how large its content is: one raw block (RFC 8878, 3.1.1)."""
    block = len(value) << 3 | 1
    return bytes.fromhex("28b52ffd 00 58") + block.to_bytes(3, "little") + value


def legal_forms() -> Iterator[tuple[str, str, bytes, bytes]]:
    import gzip
    import zlib

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


@pytest.mark.parametrize(("op", "form", "value", "content"), legal_forms(), ids=lambda v: v if isinstance(v, str) else "")
def test_unusual_legal_forms_are_right_or_left_to_python(op: str, form: str, value: bytes, content: bytes) -> None:
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


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
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
        assert write_one(chunk, [(op, (1, 0, 1, 0, 1))], expect_bound=False)[0] is None


# ---- files ---------------------------------------------------------------------------------------------------


def test_keys_are_prefix_and_numbers(tmp_path: Path) -> None:
    chunk = SMOOTH[:400].reshape(-1, 1)
    (tmp_path / "c" / "0").mkdir(parents=True)
    (tmp_path / "c" / "0" / "12345678901").write_bytes(chunk.tobytes())
    (tmp_path / "v2.0.7").write_bytes(chunk.tobytes())
    (tmp_path / "only").write_bytes(chunk.tobytes())
    for files in (
        Files(f"{tmp_path}/c/", [[3, 3], [0, 12345678901]], [(1, 0, -1)], [(0, 0, -1)]),
        Files(f"{tmp_path}/v2.", [[0, 7]], [(0, 0, -1)], [(0, 0, -1)], separator="."),
        Files(f"{tmp_path}/", np.zeros((1, 0)), [(0, 0, -1)], [(0, 0, -1)], zero_key="only"),
    ):
        out, _ = guarded(chunk.shape)
        assert read(files, out, whole(chunk), chunk) == [native.OK]
        assert np.array_equal(out, chunk)


@pytest.mark.parametrize("direct", [True, False], ids=["into the result", "into scratch"])
@pytest.mark.parametrize("chunk_size", [4000, 700_000], ids=["at once", "in pieces"])
@pytest.mark.parametrize("stored_size", [0, -1, 1, 100_000])
def test_a_file_of_a_wrong_size_has_a_status(
    tmp_path: Path, chunk_size: int, stored_size: int, direct: bool
) -> None:
    chunk = np.resize(NOISE, chunk_size).reshape(-1, 1)
    size = 0 if stored_size == 0 else chunk_size + stored_size
    (tmp_path / "0").write_bytes(np.resize(NOISE, size).tobytes())
    out, around = guarded(chunk.shape)
    tiles = whole(chunk) if direct else Tiles([1], [[1]], [[1]], [[chunk_size - 2]], [[1]])
    files = Files(f"{tmp_path}/", [[0]], [(0, 0, -1)], [(0, 0, -1)])
    assert read(files, out, tiles, chunk) == [native.SIZE]
    assert untouched_around(out, around)


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "7").mkdir()
    (tmp_path / "8").symlink_to("8")

    def status(prefix: str, key: int) -> int:
        out, around = guarded(chunk.shape)
        files = Files(prefix, [[key]], [(0, 0, -1)], [(0, 0, -1)])
        (found,) = read(files, out, whole(chunk), chunk, fill=b"fill")
        assert untouched_around(out, around)
        assert (bytes(out[0]) == b"fill") == (found == native.ABSENT)
        return found

    assert status(f"{tmp_path}/", 0) == native.ABSENT
    assert status(f"{tmp_path}/file/", 0) == native.ABSENT
    assert status(f"{tmp_path}/", 7) & 255 in (native.IO, native.SIZE)  # a directory
    assert status(f"{tmp_path}/", 8) & 255 == native.IO  # a loop of links
    assert status(f"{tmp_path}/" + "x" * 5000, 1) & 255 == native.IO  # too long a name


def test_an_implausibly_large_file_is_declined(tmp_path: Path) -> None:
    needs("zstd")
    chunk = SMOOTH[:400].reshape(-1, 4)
    with open(tmp_path / "0", "wb") as file:
        file.truncate(65 << 20)  # no blocks on the disk
    out, _ = guarded(chunk.shape)
    files = Files(f"{tmp_path}/", [[0]], [(0, 0, -1)], [(0, 0, -1)])
    assert read(files, out, whole(chunk), chunk, ops=["zstd"]) == [native.DECLINED]


@pytest.mark.parametrize("direct", [True, False], ids=["into the result", "into scratch"])
@pytest.mark.parametrize("order", [(), ("crc32c",), ("zstd",)], ids=str)
def test_rows_lie_in_extents_of_one_file(tmp_path: Path, order: tuple[str, ...], direct: bool) -> None:
    needs(*order)
    chunks = [np.roll(SMOOTH, 40 * i).reshape(-1, 4) for i in range(40)]
    values = [encode(chunk, order) for chunk in chunks]
    offsets = np.cumsum([100, *(len(value) + 10 * (i % 3) for i, value in enumerate(values))])
    shard = bytearray(offsets[-1] + 50)
    for at, value in zip(offsets, values, strict=False):
        shard[at : at + len(value)] = value
    (tmp_path / "0").write_bytes(shard)
    shuffled = RNG.permutation(len(values))
    one_extent = [(0, int(offsets[i]) - 64, len(values[i])) for i in shuffled]
    own_extents = [(i, 0, -1) for i in range(len(values))]
    tiles = Tiles(
        [1] * len(values),
        [[0 if direct else 1]] * len(values),
        [[int(i) * 6000] for i in shuffled],
        [[6000 if direct else 5998]] * len(values),
    )
    for files in (
        Files(f"{tmp_path}/", [[0]], [(0, 64, len(shard) - 64)], one_extent),
        Files(f"{tmp_path}/", [[0]], [(0, int(offsets[i]), len(values[i])) for i in shuffled], own_extents),
    ):
        out, around = guarded((6000 * len(values), 4))
        assert read(files, out, tiles, chunks[0], ops=order) == [native.OK] * len(values)
        for i, chunk in enumerate(chunks):
            got = out[6000 * i :][: tiles.count[0][0]]
            assert np.array_equal(got, chunk if direct else chunk[1:-1])
        assert untouched_around(out, around)


def test_rows_outside_their_extent_or_file_have_a_status(tmp_path: Path) -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    (tmp_path / "0").write_bytes(bytes(1000))
    for tiles in (whole(chunk), Tiles([1], [[1]], [[1]], [[90]])):

        def status(extent: tuple[int, int], row: tuple[int, int], tiles: Tiles = tiles) -> int:
            out, around = guarded(chunk.shape)
            files = Files(f"{tmp_path}/", [[0]], [(0, *extent)], [(0, *row)])
            (found,) = read(files, out, tiles, chunk)
            assert untouched_around(out, around)
            return found

        assert status((600, 400), (0, 400)) == native.OK
        assert status((601, 400), (0, 400)) == native.SHORT  # the file ends
        assert status((5000, 400), (0, 400)) == native.SHORT
        assert status((0, 600), (201, 400)) == native.SHORT  # the extent ends
        assert status((0, 600), (601, 400)) == native.DECLINED
        assert status((0, 600), (-1, 400)) == native.DECLINED
        assert status((-8, 600), (8, 400)) == native.DECLINED
        assert status((0, 600), (0, 399)) == native.SIZE
        assert status((0, -1), (600, 400)) == native.OK  # the whole file
        assert status((0, -1), (601, 400)) in (native.SHORT, native.SIZE)


def test_rows_in_memory_outside_their_value_have_a_status() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded(chunk.shape)
    assert read([bytes(399)], out, whole(chunk), chunk) == [native.SIZE]
    assert read([b""], out, whole(chunk), chunk) == [native.SIZE]
    assert read([None], out, whole(chunk), chunk, fill=b"abcd") == [native.ABSENT]
    assert bytes(out[99]) == b"abcd"
    assert untouched_around(out, around)


# ---- selections ----------------------------------------------------------------------------------------------

ITEMS = st.sampled_from([(1, 0), (2, 0), (2, 2), (4, 0), (4, 4), (8, 0), (8, 8), (8, 4), (16, 0), (16, 8)]) | (
    st.sampled_from([(3, 0), (5, 0), (6, 2), (12, 0), (12, 4), (100, 0), (40, 8), (5000, 0)])
)


def reversed_units(values: Bytes, swap: int) -> Bytes:
    if swap == 0:
        return values
    units = values.reshape(*values.shape[:-1], -1, swap)
    return np.ascontiguousarray(units[..., ::-1]).reshape(values.shape)


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], item: int, *, gaps: bool) -> tuple[Bytes, Bytes]:
    """An array of `shape` and elements of `item` bytes, with its axes in any order (with gaps: and flipped, and
    with room between elements), and the guarded array around it.
    """
    ndim = len(shape)
    order = draw(st.permutations(range(ndim)))
    wide = [draw(st.integers(1, 2)) if gaps else 1 for _ in range(ndim)]
    flip = [gaps and draw(st.booleans()) for _ in range(ndim)]
    base, around = guarded((*(shape[d] * wide[d] for d in order), item))
    steps = tuple(slice(None, None, -wide[d] if flip[d] else wide[d]) for d in order)
    view = base[steps]
    return view.transpose(*np.argsort(order), ndim) if ndim else view, around


@dataclass
class Scene:
    """Chunks, what is selected of them on each axis, and what has to come out."""

    item: int
    swap: int
    chunk: Bytes  # any chunk's layout
    values: list[bytes | None]  # rows, in the order of the grid
    picks: list[list[tuple[int, Columns, Columns]]]  # [axis][chunk]: coordinate, indices in the chunk, in the result
    out: Bytes
    around: Bytes
    expected: Bytes
    fill: bytes

    def rows(self) -> Iterator[tuple[tuple[int, Columns, Columns], ...]]:
        grid = [range(len(picks)) for picks in self.picks]
        for index in np.ndindex(*(len(axis) for axis in grid)):
            yield tuple(picks[i] for picks, i in zip(self.picks, index, strict=True))


@st.composite
def scenes(draw: st.DrawFn, *, lists: bool) -> Scene:
    ndim = draw(st.integers(0, 5))
    item, swap = draw(ITEMS)
    extent = st.integers(1, 4 if item > 100 else 9 if ndim > 3 else 40 if ndim < 3 else 20)
    chunk_shape = tuple(draw(extent) for _ in range(ndim))
    grid = tuple(draw(st.integers(1, 2)) for _ in range(ndim))
    shape = tuple(c * g for c, g in zip(chunk_shape, grid, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = rng.integers(0, 256, (*shape, item), np.uint8)
    fill = rng.bytes(item)
    chosen = [np.sort(rng.integers(0, n, draw(st.integers(1, n)))) if lists else _slice(draw, n) for n in shape]
    picks = []
    for d, indices in enumerate(chosen):
        coordinates = np.unique(indices // chunk_shape[d])
        picks.append(
            [
                (int(c), indices[indices // chunk_shape[d] == c] % chunk_shape[d],
                 np.flatnonzero(indices // chunk_shape[d] == c))
                for c in coordinates
            ]
        )
    chunk, _ = draw(layouts(chunk_shape, item, gaps=False))
    values: list[bytes | None] = []
    for coordinate in np.ndindex(*(len(axis) for axis in picks)):
        where = tuple(
            slice(picks[d][i][0] * chunk_shape[d], (picks[d][i][0] + 1) * chunk_shape[d])
            for d, i in enumerate(coordinate)
        )
        if draw(st.integers(0, 5)) == 0:
            array[where] = np.frombuffer(reversed_units(np.frombuffer(fill, np.uint8), swap), np.uint8)
            values.append(None)
        else:
            chunk[...] = array[where]
            values.append(_memory(chunk))
    out, around = draw(layouts(tuple(len(indices) for indices in chosen), item, gaps=True))
    expected = reversed_units(array[np.ix_(*chosen)] if ndim else array, swap)
    return Scene(item, swap, chunk, values, picks, out, around, expected, fill)


def _slice(draw: st.DrawFn, n: int) -> Columns:
    start = draw(st.integers(0, n - 1))
    return np.arange(start, draw(st.integers(start + 1, n)), draw(st.sampled_from([1, 1, 1, 2, 3, 7])))


def _memory(chunk: Bytes) -> bytes:
    """The bytes of a chunk in the order they have in memory."""
    order = sorted(range(chunk.ndim), key=lambda d: (-chunk.strides[d], chunk.shape[d] != 1))
    return chunk.transpose(order).tobytes()


SCENES = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def check(scene: Scene, tiles: Tiles, ops: Sequence[str], streaming: bool) -> None:
    stored = [value if value is None else encode(np.frombuffer(value, np.uint8), ops) for value in scene.values]
    statuses = read(
        *(stored, scene.out, tiles, scene.chunk),
        ops=ops, swap=scene.swap, fill=scene.fill, streaming=streaming,
    )
    assert statuses == [native.ABSENT if value is None else native.OK for value in stored]
    assert np.array_equal(scene.out, scene.expected)
    assert untouched_around(scene.out, scene.around)


CHAINS = st.sampled_from([(), (), ("crc32c",), ("zstd",), ("crc32c", "lz4")])


@SCENES
@given(scenes(lists=False), CHAINS, st.booleans())
def test_boxes_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    rows = list(scene.rows())
    first = [[(p[1][0], p[2][0], len(p[1]), p[1][1] - p[1][0] if len(p[1]) > 1 else 1) for p in row] for row in rows]
    columns = np.array(first, np.int64).reshape(len(rows), -1, 4)
    check(scene, Tiles([1] * len(rows), *(columns[..., i] for i in range(4))), ops, streaming)


@SCENES
@given(scenes(lists=True), CHAINS, st.booleans())
def test_tables_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    rows = list(scene.rows())
    starts = [np.cumsum([0, *(len(p[1]) for p in picks)]) for picks in scene.picks]
    index = list(np.ndindex(*(len(picks) for picks in scene.picks)))
    source = [[starts[d][i] for d, i in enumerate(at)] for at in index]
    count = [[len(p[1]) for p in row] for row in rows]
    tables = (
        [np.concatenate([p[1] for p in picks]) for picks in scene.picks],
        [np.concatenate([p[2] for p in picks]) for picks in scene.picks],
    )
    zeros = np.zeros_like(np.array(count, np.int64))
    tiles = Tiles([1] * len(rows), source, zeros, count, kind=native.TABLES, tables=tables)
    check(scene, tiles, ops, streaming)


@SCENES
@given(scenes(lists=True), CHAINS, st.booleans())
def test_points_equal_numpy(scene: Scene, ops: tuple[str, ...], streaming: bool) -> None:
    ndim = scene.chunk.ndim - 1
    if ndim == 0:
        return
    froms, tos, count = [], [], []
    for row in scene.rows():
        chunk_index = np.meshgrid(*(p[1] for p in row), indexing="ij")
        out_index = np.meshgrid(*(p[2] for p in row), indexing="ij")
        froms.append(sum(i.ravel() * s for i, s in zip(chunk_index, scene.chunk.strides, strict=False)))
        tos.append(sum(i.ravel() * s for i, s in zip(out_index, scene.out.strides, strict=False)))
        count.append(len(froms[-1]))
    columns = np.zeros((2, len(count), ndim), np.int64)
    columns[0, :, 0] = np.cumsum([0, *count[:-1]])
    columns[1, :, 0] = count
    tables = ([np.concatenate(froms)], [np.concatenate(tos)])
    tiles = Tiles(
        *([1] * len(count), columns[0], np.zeros_like(columns[0]), columns[1]),
        kind=native.POINTS, tables=tables,
    )
    check(scene, tiles, ops, streaming)


def test_a_row_may_have_many_tiles_or_none() -> None:
    chunk = SMOOTH[:400].reshape(10, 10, 4)
    out = np.full((3, 4, 4, 4), SENTINEL, np.uint8)
    crops = [(0, 0), (6, 6), (3, 5)]
    flat = out.reshape(12, 4, 4)
    tiles = Tiles([0, 3, 0], crops, [(4 * i, 0) for i in range(3)], [(4, 4)] * 3)
    assert read([b"", chunk.tobytes(), None], flat, tiles, chunk)[1] == native.OK
    for crop, (i, j) in zip(out, crops, strict=True):
        assert np.array_equal(crop, chunk[i : i + 4, j : j + 4])


def test_only_the_rows_asked_for_are_read() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out = np.full((300, 4), SENTINEL, np.uint8)
    tiles = Tiles([1, 1, 1], [[0]] * 3, [[0], [100], [200]], [[100]] * 3)
    assert read([chunk.tobytes()] * 3, out, tiles, chunk, span=(1, 2)) == [-1, native.OK, -1]
    assert (out[:100] == SENTINEL).all()
    assert (out[200:] == SENTINEL).all()
    assert np.array_equal(out[100:200], chunk)


@pytest.mark.parametrize(
    ("source", "count", "step"),
    [((-1, 0), (2, 2), 1), ((0, 9), (1, 2), 1), ((9, 9), (2, 2), 1), ((0, 0), (10, 4), 4), ((2, 0), (2, 2), -3)],
)
def test_a_tile_that_leaves_its_chunk_is_declined(
    source: tuple[int, int], count: tuple[int, int], step: int
) -> None:
    chunk = SMOOTH[: 4 * 91].reshape(-1, 4)
    layout = np.lib.stride_tricks.as_strided(chunk, (10, 10, 4), (36, 4, 1))[:, :9]
    out, around = guarded((20, 20, 4))
    tiles = Tiles([1], [source], [(0, 0)], [count], [(step, step)])
    exact = np.empty((10, 9, 4), np.uint8)
    assert exact.strides == layout.strides
    (status,) = read([exact.tobytes()], out, tiles, exact)
    outside = step != 1 or source != (0, 9)  # (0, 9) is outside its axis, but inside the chunk
    assert status == (native.DECLINED if outside else native.OK)
    assert untouched_around(out, around)


@pytest.mark.parametrize("position", [-1, 100])
def test_a_list_that_leaves_its_chunk_is_declined(position: int) -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded((2, 4))
    for kind, scale in ((native.TABLES, 1), (native.POINTS, 4)):
        tables = ([[5 * scale, position * scale]], [[0, scale]])
        tiles = Tiles([1], [[0]], [[0]], [[2]], kind=kind, tables=tables)
        assert read([chunk.tobytes()], out, tiles, chunk) == [native.DECLINED]
    assert (around == SENTINEL).all()


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("swap", [0, 2])
@pytest.mark.parametrize("files", [True, False], ids=["files", "memory"])
def test_large_uncompressed_chunks_are_read_in_parts(tmp_path: Path, files: bool, swap: int, layout: str) -> None:
    array = np.resize(NOISE, (120, 100, 110, 2))
    chunk = array if layout == "C" else np.empty((110, 100, 120, 2), np.uint8).transpose(2, 1, 0, 3)
    chunk[...] = array
    (tmp_path / "0").write_bytes(b"head" + _memory(chunk))
    out, around = guarded((50, 60, 30, 2))
    stored: Any = [_memory(chunk)]
    if files:
        stored = Files(f"{tmp_path}/", [[0]], [(0, 0, chunk.nbytes + 4)], [(0, 4, chunk.nbytes)])
    tiles = Tiles([1], [(7, 20, 3)], [(0, 0, 0)], [(50, 60, 30)], [(2, 1, 3)])
    assert read(stored, out, tiles, chunk, swap=swap) == [native.OK]
    assert np.array_equal(out, reversed_units(array, swap)[7:107:2, 20:80, 3:93:3])
    assert untouched_around(out, around)


def test_nothing_is_done_with_shapes_that_make_no_sense() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded(chunk.shape)
    for swap in (1, 3, 8, 16, -4):
        assert read([chunk.tobytes()], out, whole(chunk), chunk, swap=swap) == [native.DECLINED]
    assert (around == SENTINEL).all()


# ---- writing -------------------------------------------------------------------------------------------------


def write(
    values: Bytes,
    chunk: Bytes,
    boxes: tuple[Any, Any, Any],
    *,
    ops: Sequence[tuple[str, Sequence[int]]] = (),
    swap: int = 0,
    fill: bytes | None = None,
    skip_fill: bool = False,
    expect_bound: bool = True,
) -> tuple[list[bytes | None], list[int]]:
    """Encodes rows: (source, target, count) in `boxes`. Returns their bytes (None: nothing but fill), statuses."""
    source, target, count = (np.atleast_2d(np.ascontiguousarray(part, np.int64)) for part in boxes)
    rows, ndim, item = len(source), values.ndim - 1, values.shape[-1]
    chain = native.ops(ops)
    size, status = np.full(rows, -9, np.int64), np.full(rows, -1, np.int32)
    chunk_strides, strides = column(chunk.strides[:-1], -1), column(values.strides[:-1], -1)
    args = native.WriteArgs(
        *(module().codecs, ctypes.addressof(chain), len(ops), ndim, item, swap, chunk.nbytes),
        *(native.address(chunk_strides), native.address(values), native.address(strides)),
        *(fill or bytes(item), skip_fill, *map(native.address, (source, target, count))),
        *(None, 0, native.address(size), native.address(status)),
    )
    bound = module().encode_bound(args)
    assert (bound >= chunk.nbytes) == expect_bound
    capacity = max(bound, 1)
    slab = np.full(rows * capacity + 512, SENTINEL, np.uint8)
    args.slab, args.capacity = native.address(slab) + 256, capacity
    failed = module().write(args, 0, rows)
    assert failed == np.count_nonzero(status)
    assert (slab[:256] == SENTINEL).all()
    assert (slab[256 + rows * capacity :] == SENTINEL).all()
    starts = [256 + row * capacity for row in range(rows)]
    values_of = [
        slab[at : at + n].tobytes() if n >= 0 and state == native.OK else None
        for at, n, state in zip(starts, size, status, strict=True)
    ]
    return values_of, [int(value) for value in status]


def write_one(chunk: Bytes, ops: Sequence[tuple[str, Sequence[int]]], **options: Any) -> tuple[bytes | None, int]:
    ndim = chunk.ndim - 1
    values, statuses = write(chunk, chunk, ([0] * ndim, [0] * ndim, chunk.shape[:-1]), ops=ops, **options)
    return values[0], statuses[0]


BLOSC_NUMBERS = [
    (codec, ("blosc", (codec.clevel, codec.shuffle, 4, 0, native.BLOSC_CNAMES.index(codec.cname))))
    for codec in BLOSC
]
ENCODINGS: list[tuple[Any, tuple[str, tuple[int, ...]]]] = [
    *BLOSC_NUMBERS,
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
    import gzip
    import zlib

    needs(op)
    value, status = write_one(payload.reshape(-1, 1), [(op, (level,))])
    assert status == native.OK
    assert value is not None
    assert (gzip if op == "gzip" else zlib).decompress(value) == payload.tobytes()


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


@SCENES
@given(st.data())
def test_gathered_chunks_equal_numpy(data: st.DataObject) -> None:
    draw = data.draw
    ndim = draw(st.integers(0, 5))
    item, swap = draw(ITEMS)
    chunk_shape = tuple(draw(st.integers(1, 4 if ndim > 3 else 12)) for _ in range(ndim))
    chunk, _ = draw(layouts(chunk_shape, item, gaps=False))
    values, _ = draw(layouts(tuple(n + draw(st.integers(0, 3)) for n in chunk_shape), item, gaps=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values[...] = rng.integers(0, 256, values.shape, np.uint8)
    if ndim and draw(st.booleans()):
        values = np.broadcast_to(values[:1], values.shape)
    fill = rng.bytes(item)
    count = tuple(draw(st.integers(1, n)) for n in chunk_shape)
    target = tuple(draw(st.integers(0, n - c)) for n, c in zip(chunk_shape, count, strict=True))
    source = tuple(draw(st.integers(0, n - c)) for n, c in zip(values.shape[:-1], count, strict=True))
    chunk[...] = np.frombuffer(fill, np.uint8)
    into = tuple(slice(t, t + c) for t, c in zip(target, count, strict=True))
    chunk[into] = values[tuple(slice(s, s + c) for s, c in zip(source, count, strict=True))]
    layout = chunk.strides
    expected = reversed_units(np.frombuffer(_memory(chunk), np.uint8).reshape(-1, item), swap).tobytes()
    assert chunk.strides == layout
    ops = draw(st.sampled_from([(), ("crc32c",), ("zstd",)]))
    (value,), (status,) = write(
        values, chunk, (source, target, count), ops=[(name, (1, 0)) for name in ops], swap=swap, fill=fill
    )
    assert status == native.OK
    assert value == encode(np.frombuffer(expected, np.uint8), ops) if ops != ("zstd",) else (
        value is not None and bytes(numcodecs.Zstd().decode(value)) == expected
    )


def test_chunks_of_nothing_but_fill_are_skipped_when_asked() -> None:
    fill = np.array([np.nan], "<f4").tobytes()
    other = np.array([0x7FC00001], "<u4").tobytes()  # also not a number, but other bits
    values = np.frombuffer(fill * 200 + fill * 99 + other, np.uint8).reshape(300, 4)
    chunk = np.empty((100, 4), np.uint8)
    boxes = ([[0], [100], [200]], [[0], [50], [0]], [[100], [50], [100]])
    for swap in (0, 4):
        kept, statuses = write(values, chunk, boxes, fill=fill, skip_fill=True, swap=swap, ops=[("crc32c", ())])
        assert statuses == [native.OK] * 3
        assert [value is None for value in kept] == [True, True, False]
        kept, _ = write(values, chunk, boxes, fill=fill, swap=swap)
        assert [len(value or b"") for value in kept] == [400] * 3


def test_a_box_that_leaves_its_chunk_or_a_slab_too_small_is_declined() -> None:
    values = SMOOTH[:400].reshape(-1, 4)
    chunk = values[:50]
    for target, count in ((-1, 10), (41, 10), (0, 0)):
        assert write(values, chunk, ([0], [target], [count]))[1] == [native.DECLINED]


# ---- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1023, 3071, 3072, 3073, 6144, 10_000])
def test_crc32c_is_castagnoli(n: int) -> None:
    import google_crc32c

    value = np.resize(NOISE, n).tobytes()
    assert module().crc32c(value) == google_crc32c.value(value)
    assert module().crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue


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
