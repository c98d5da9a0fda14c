"""The compiled host module finds rows in files, and says which are absent, cut or unreadable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from native_calls import (
    NOISE,
    RNG,
    SMOOTH,
    Files,
    Tiles,
    encode,
    guarded,
    needs,
    needs_module,
    read,
    untouched_around,
    whole,
)

from gpuzarr import native

pytestmark = needs_module


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
def test_a_file_of_a_wrong_size_has_a_status(tmp_path: Path, chunk_size: int, stored_size: int, direct: bool) -> None:
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


def test_rows_at_the_same_place_of_two_files_are_not_mistaken(tmp_path: Path) -> None:
    chunks = [SMOOTH[:400].reshape(-1, 4), NOISE[:400].reshape(-1, 4)]
    for key, chunk in enumerate(chunks):
        (tmp_path / str(key)).write_bytes(bytes(8) + chunk.tobytes())
    for length in (408, -1):
        out, around = guarded((2 * 98, 4))
        extents = [(0, 0, length), (1, 0, length)]
        files = Files(f"{tmp_path}/", [[0], [1]], extents, [(0, 8, 400), (1, 8, 400)])
        tiles = Tiles([1, 1], [[1], [1]], [[0], [98]], [[98], [98]])
        assert read(files, out, tiles, chunks[0]) == [native.OK] * 2
        assert np.array_equal(out, np.concatenate([chunk[1:-1] for chunk in chunks]))
        assert untouched_around(out, around)


def test_a_file_may_be_larger_than_the_chunk_it_decodes_to(tmp_path: Path) -> None:
    needs("zstd")
    chunk = SMOOTH[:400].reshape(-1, 4)
    skipped = b"".join(n.to_bytes(4, "little") for n in (0x184D2A50, 30_000)) + bytes(30_000)
    (tmp_path / "0").write_bytes(skipped + encode(chunk, ["zstd"]))
    out, _ = guarded(chunk.shape)
    files = Files(f"{tmp_path}/", [[0]], [(0, 0, -1)], [(0, 0, -1)])
    with ThreadPoolExecutor(1) as fresh:  # a thread that has no large buffer yet
        done = fresh.submit(read, files, out, whole(chunk), chunk, ops=["zstd"])
    assert done.result() == [native.OK]
    assert np.array_equal(out, chunk)


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
        assert status((0, -1), (5000, -1)) in (native.SHORT, native.DECLINED)
        assert status((2**63 - 1, 400), (0, 400)) == native.DECLINED  # what a shard index may claim
        assert status((2**60, 2**60), (2**60, 400)) == native.SHORT
        assert status((1, 2**63 - 1), (0, -1)) == native.DECLINED
        assert status((0, -1), (2**63 - 1, 2**63 - 1)) in (native.DECLINED, native.SHORT)


@pytest.mark.parametrize("direct", [True, False], ids=["into the result", "in pieces"])
def test_a_large_uncompressed_chunk_that_its_file_cuts_short_has_a_status(tmp_path: Path, direct: bool) -> None:
    chunk = np.resize(NOISE, 700_000).reshape(-1, 1)
    (tmp_path / "0").write_bytes(bytes(700_000))
    out, around = guarded(chunk.shape)
    tiles = whole(chunk) if direct else Tiles([1], [[1]], [[1]], [[699_999]])
    files = Files(f"{tmp_path}/", [[0]], [(0, 1, 700_000)], [(0, 0, 700_000)])
    assert read(files, out, tiles, chunk) == [native.SHORT]
    assert untouched_around(out, around)


def test_rows_in_memory_outside_their_value_have_a_status() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    out, around = guarded(chunk.shape)
    assert read([bytes(399)], out, whole(chunk), chunk) == [native.SIZE]
    assert read([b""], out, whole(chunk), chunk) == [native.SIZE]
    assert read([None], out, whole(chunk), chunk, fill=b"abcd") == [native.ABSENT]
    assert bytes(out[99]) == b"abcd"
    assert untouched_around(out, around)


def test_values_in_memory_may_be_of_any_kind() -> None:
    chunk = SMOOTH[:400].reshape(-1, 4)
    value = chunk.tobytes()
    for values in ([value, value, None], [value, bytearray(value), None], [memoryview(value)] * 2 + [None]):
        out, around = guarded((300, 4))
        tiles = Tiles([1] * 3, [[0]] * 3, [[0], [100], [200]], [[100]] * 3)
        assert read(values, out, tiles, chunk, fill=b"fill") == [native.OK, native.OK, native.ABSENT]
        assert bytes(out) == value * 2 + b"fill" * 100
        assert untouched_around(out, around)
    out, _ = guarded(chunk.shape)
    assert read([bytearray()], out, whole(chunk), chunk) == [native.SIZE]
