"""Bad input: each piece of it gives one GpuzarrError that says where, and nothing is written, lost or taken for it."""

from __future__ import annotations

import faulthandler
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bombs
import numpy as np
import peaks
import pytest
from specimens import GZIP, LITTLE, NAMES, document, document_v2, named, sharding, specimen

import gpuzarr
from gpuzarr.codecs.crc32c import Crc32cCodec
from gpuzarr.errors import (
    CodecError,
    GpuzarrError,
    MetadataError,
    SelectionError,
    ShapeError,
    StoreError,
    UnknownCodecError,
    UnsupportedError,
)
from gpuzarr.memory.host import NumpyMemory
from gpuzarr.store import LocalStore, MemoryStore

ALONE, THREADS = gpuzarr.Executor(threads=1), gpuzarr.Executor(threads=3)
PYTHON, PYTHON_THREADS = (gpuzarr.Executor(threads=n, native=False) for n in (1, 3))


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """What never ends shows where it stands, and ends."""
    faulthandler.dump_traceback_later(600, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=[PYTHON, PYTHON_THREADS, ALONE, THREADS], ids=repr)
def executor(request: pytest.FixtureRequest) -> Any:
    return request.param


def put(where: Any, stored: dict[str, bytes]) -> Any:
    """The store that holds exactly these values."""
    if isinstance(where, dict):
        where.clear()
        where.update(stored)
        return where
    for key in list(LocalStore(where).list()):
        (where / key).unlink()
    for key, value in stored.items():
        (where / key).parent.mkdir(parents=True, exist_ok=True)
        (where / key).write_bytes(value)
    return where


def contents(where: Any) -> dict[str, bytes]:
    if isinstance(where, dict):
        return dict(where)
    store = LocalStore(where)
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def opened(where: Any, stored: dict[str, bytes], executor: Any) -> gpuzarr.Array:
    return gpuzarr.open_array(put(where, stored), mode="r+", executor=executor)


def coords_of(key: str) -> tuple[int, ...]:
    return tuple(map(int, key.removeprefix("c/").replace(".", "/").split("/")))


# ---- chunks --------------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(5).bytes(4096)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda value: b"",
    "one byte": lambda value: value[:1],
    "the first half": lambda value: value[: len(value) // 2],
    "all but the last byte": lambda value: value[:-1],
    "noise": lambda value: NOISE[: len(value)],
    "noise, longer": lambda value: NOISE[: len(value) + 100],
    "zeros": lambda value: bytes(len(value)),
    "ones": lambda value: b"\xff" * len(value),
    "twice": lambda value: value + value,
    "another chunk size": lambda value: b"",  # made by `of_another_size`
}

LEGAL = {
    # What follows a zlib stream, a Blosc container or base64's padding is no part of it; raw bytes say nothing.
    "twice": ("zlib", "blosc", "base64"),
    "noise": ("raw", "scale"),
    "zeros": ("raw", "scale", "crc32c", "crc32", "fletcher32"),
    "ones": ("raw", "scale", "fletcher32"),
}

CHUNKS = [name for name in NAMES if name.startswith(("chunks", "transposed", "format 2"))]


def of_another_size(name: str) -> bytes:
    """A chunk of the same codecs that decodes to twice the bytes."""
    stored = dict(specimen(name).stored)
    at = specimen(name).document
    metadata = json.loads(stored[at])
    if at == ".zarray":
        metadata["chunks"] = [8, 16]
    else:
        metadata["chunk_grid"]["configuration"]["chunk_shape"] = [8, 16]
    other = {at: json.dumps(metadata).encode()}
    gpuzarr.open_array(other, mode="r+")[...] = 5
    return next(value for key, value in other.items() if coords_of_or_none(key) == (0, 0))


def coords_of_or_none(key: str) -> tuple[int, ...] | None:
    return None if "z" in key else coords_of(key)


def damages(name: str) -> dict[str, bytes]:
    chain = name.partition(": ")[2]
    value = specimen(name).stored[specimen(name).keys[0]]
    found = {what: damage(value) for what, damage in DAMAGES.items()}
    found["another chunk size"] = of_another_size(name)
    return {what: v for what, v in found.items() if not any(part in chain for part in LEGAL.get(what, ()))}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_damaged_chunk_is_an_error_that_names_it(name: str, where: Any, executor: Any) -> None:
    whole = specimen(name)
    key = whole.keys[0]
    for damage, value in damages(name).items():
        stored = {**whole.stored, key: value}
        array = opened(where, stored, executor)
        for wanted in (..., (slice(None, None, 3), slice(None))):
            with pytest.raises(CodecError) as caught:
                array[wanted]
            found = (caught.value.key, caught.value.chunk, caught.value.direction)
            assert found == (key, coords_of(key), "decode"), damage
        assert contents(where) == stored


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunk_that_can_not_be_read_is_not_written_in_part_and_can_be_replaced(
    name: str, where: Any, executor: Any
) -> None:
    whole = specimen(name)
    key = whole.keys[0]
    stored = {**whole.stored, key: whole.stored[key][:-1]}
    array = opened(where, stored, executor)
    i, j = (8 * c for c in coords_of(key))
    with pytest.raises(CodecError) as caught:
        array[i, j] = 3
    assert (caught.value.key, caught.value.chunk, caught.value.direction) == (key, coords_of(key), "decode")
    assert contents(where) == stored
    array[i : i + 8, j : j + 8] = whole.values[i : i + 8, j : j + 8]
    assert (array[...] == whole.values).all()


@pytest.mark.parametrize("name", CHUNKS)
def test_a_damaged_chunk_does_not_keep_others_from_being_read(name: str, executor: Any) -> None:
    whole = specimen(name)
    key = whole.keys[0]
    array = opened({}, {**whole.stored, key: b"?"}, executor)
    for other in whole.keys[1:]:
        i, j = (8 * c for c in coords_of(other))
        assert (array[i : i + 8, j : j + 8] == whole.values[i : i + 8, j : j + 8]).all()


def test_of_several_damaged_chunks_one_is_reported(executor: Any) -> None:
    whole = specimen("chunks: zstd")
    array = opened({}, {key: b"?" if key in whole.keys else value for key, value in whole.stored.items()}, executor)
    with pytest.raises(CodecError) as caught:
        array[...]
    assert caught.value.key in whole.keys


# ---- shards --------------------------------------------------------------------------------------------------

INDEX = 8 * 16 + 4
"""Bytes of the index of a specimen's shard: 4 times 2 inner chunks, and the checksum."""

OUTER = 4 * 16 + 4
"""The same of the outer shards of those with shards in shards."""

MISSING = 2**64 - 1

SHARD = "c/0/0"


def with_index(value: bytes, change: Callable[[Any], None], first: bool = False, size: int = INDEX) -> bytes:
    """A shard with another index, whose checksum is right."""
    body, index = (value[size:], value[:size]) if first else (value[:-size], value[-size:])
    entries = np.frombuffer(index[:-4], "<u8").reshape(-1, 2).copy()
    change(entries)
    fresh = bytes(Crc32cCodec().encode(entries.tobytes()))
    return fresh + body if first else body + fresh


ENTRIES = {
    "past the end": (10**6, 10),
    "over the end": (0, 10**6),
    "one byte over the end": (1, None),
    "a size without an offset": (MISSING, 5),
    "an offset without a size": (5, MISSING),
    "a negative offset": (2**64 - 8, 8),
    "a negative size": (8, 2**64 - 8),
    "a sum that wraps around": (2**64 - 2, 3),
    "a sum of 2**63": (2**62, 2**62),
    "the largest offset of a file": (2**63 - 1, 1),
    "a sum that wraps around to zero": (2**63, 2**63),
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize("name", ["shards: raw", "shards: zstd", "index first: gzip", "wrapped: lz4"])
def test_an_index_that_points_outside_its_shard_is_an_error(
    name: str, entry: tuple[int, int | None], where: Any, executor: Any
) -> None:
    whole = specimen(name)
    value = whole.stored[SHARD]
    packed = name.startswith("wrapped")
    value = zlib.decompress(value, 31) if packed else value
    offset, size = entry

    def change(entries: Any) -> None:
        entries[5] = offset, len(value) if size is None else size

    value = with_index(value, change, name.startswith("index first"))
    stored = {**whole.stored, SHARD: gzipped(value) if packed else value}
    array = opened(where, stored, executor)
    with pytest.raises(CodecError) as caught:
        array[...]
    assert (caught.value.key, caught.value.chunk) == (SHARD, (2, 1))
    assert caught.value.direction == "decode"
    assert (array[:8, :8] == FILLED[:8, :8]).all()
    with pytest.raises(CodecError) as caught:
        array[0, 0] = 1
    assert caught.value.key == SHARD
    assert contents(where) == stored


FILLED = specimen("chunks: raw").values


def gzipped(value: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(value) + packer.flush()


@pytest.mark.parametrize("name", ["shards: zstd", "index first: zstd", "nested: raw", "wrapped: zstd"])
def test_a_shard_without_room_for_its_index_is_an_error(name: str, where: Any, executor: Any) -> None:
    whole = specimen(name)
    value = whole.stored[SHARD]
    for cut in (0, 1, 10, (OUTER if name.startswith("nested") else INDEX) - 1):
        for short in (value[:cut], value[len(value) - cut :]):
            stored = {**whole.stored, SHARD: gzipped(short) if name.startswith("wrapped") else short}
            array = opened(where, stored, executor)
            for use in (lambda a: a[...], lambda a: a[0, 0], lambda a: a.write((0, 0), 1)):
                with pytest.raises(CodecError) as caught:
                    use(array)
                assert (caught.value.key, caught.value.direction) == (SHARD, "decode")
                assert caught.value.chunk is not None
            assert contents(where) == stored


@pytest.mark.parametrize("name", ["shards: zstd", "index first: zstd"])
def test_an_index_whose_checksum_differs_is_an_error(name: str, where: Any, executor: Any) -> None:
    whole = specimen(name)
    value = bytearray(whole.stored[SHARD])
    value[3 if name.startswith("index first") else -9] ^= 1
    stored = {**whole.stored, SHARD: bytes(value)}
    array = opened(where, stored, executor)
    for use in (lambda a: a[...], lambda a: a.write((0, 0), 1)):
        with pytest.raises(CodecError, match="checksum") as caught:
            use(array)
        assert (caught.value.codec, caught.value.key, caught.value.chunk) == ("crc32c", SHARD, (0, 0))
    assert contents(where) == stored


def test_a_damaged_inner_chunk_is_named_by_its_place_in_the_array(executor: Any) -> None:
    whole = specimen("shards: zstd, crc32c")
    shard = whole.stored["c/0/1"]
    index = np.frombuffer(shard[-INDEX:-4], "<u8").reshape(8, 2)
    damaged = bytearray(shard)
    damaged[int(index[4, 0]) + 3] ^= 1
    array = opened({}, {**whole.stored, "c/0/1": bytes(damaged)}, executor)
    with pytest.raises(CodecError) as caught:
        array[...]
    assert (caught.value.key, caught.value.chunk) == ("c/0/1", (2, 2))
    assert (array[:8] == whole.values[:8]).all()


def test_a_cut_off_shard_is_an_error_where_its_bytes_are_missing(executor: Any) -> None:
    whole = specimen("index first: raw")
    array = opened({}, {**whole.stored, SHARD: whole.stored[SHARD][:-1]}, executor)
    with pytest.raises(CodecError) as caught:
        array[...]
    assert caught.value.key == SHARD
    assert (array[:4, :16] == whole.values[:4, :16]).all()


@pytest.mark.parametrize("name", ["nested: raw", "nested: zstd"])
def test_an_inner_shard_that_is_too_short_does_not_read_its_neighbour(name: str, executor: Any) -> None:
    whole = specimen(name)

    def shorten(entries: Any) -> None:
        entries[:, 1] = 7

    array = opened({}, {**whole.stored, SHARD: with_index(whole.stored[SHARD], shorten, size=OUTER)}, executor)
    for use in (lambda a: a[...], lambda a: a.write((0, 0), 1)):
        with pytest.raises(CodecError) as caught:
            use(array)
        assert caught.value.key == SHARD


def test_an_index_that_lists_the_whole_shard_everywhere_is_not_written_out(where: Any, executor: Any) -> None:
    whole = specimen("shards: zstd")
    value = whole.stored[SHARD] + bytes(4096)  # room that no chunk has

    def pile(entries: Any) -> None:
        entries[1:] = 0, len(value) - INDEX

    stored = {**whole.stored, SHARD: with_index(value[:-INDEX] + whole.stored[SHARD][-INDEX:], pile)}
    array = opened(where, stored, executor)
    with pytest.raises(CodecError) as caught:
        array[0, :8] = 1
    assert (caught.value.key, caught.value.chunk, caught.value.direction) == (SHARD, (0, 0), "decode")
    assert contents(where) == stored


def test_inner_chunks_may_share_bytes(where: Any, executor: Any) -> None:
    whole = specimen("shards: raw")

    def share(entries: Any) -> None:
        entries[1:] = entries[1]

    array = opened(where, {**whole.stored, SHARD: with_index(whole.stored[SHARD], share)}, executor)
    assert (array[4:8, 8:16] == array[:4, 8:16]).all()
    array[4, 8] = 99
    assert array[0, 8] == whole.values[0, 8]
    assert array[4, 8] == 99


# ---- documents -----------------------------------------------------------------------------------------------


def nested_shards(levels: int) -> list[Any]:
    codecs: list[Any] = [LITTLE]
    for _ in range(levels):
        codecs = [named("sharding_indexed", chunk_shape=[4, 4], codecs=codecs, index_codecs=[LITTLE])]
    return codecs


DOCUMENTS: dict[str, bytes] = {
    "not JSON": b"{",
    "nothing": b"",
    "not UTF-8": b'{"zarr_format": 3, "\xff": 1}',
    "a list": b"[]",
    "a deep nest": b"[" * 100_000,
    "a deep nest of objects": b'{"a":' * 100_000,
    "a shape of 2**63": document([LITTLE], [8, 8], shape=[2**63, 1]),
    "a negative shape": document([LITTLE], [8, 8], shape=[-1, 1]),
    "more elements than 64 bits count": document([LITTLE], [8, 8], shape=[2**40, 2**40]),
    "65 dimensions": document([LITTLE], [1] * 65, shape=[1] * 65),
    "a chunk of a tebibyte": document([LITTLE], [2**20, 2**20], shape=[2**20, 2**20]),
    "a chunk size of zero": document([LITTLE], [0, 8]),
    "a negative chunk size": document([LITTLE], [-8, 8]),
    "an element of 128 MiB": document([LITTLE], [1, 1], data_type=f"r{2**30}", fill_value=[0]),
    "no codecs": document([], [8, 8]),
    "two serializers": document([LITTLE, LITTLE], [8, 8]),
    "a codec nobody knows": document([LITTLE, named("rot13")], [8, 8]),
    "a codec that runs code": document([LITTLE, named("numcodecs.pickle")], [8, 8]),
    "ten thousand codecs": document([LITTLE, *[GZIP] * 10_000], [8, 8]),
    "inner chunks that do not divide the shard": document([sharding([3, 3], [LITTLE])], [8, 8]),
    "an inner chunk size of zero": document([sharding([0, 8], [LITTLE])], [8, 8]),
    "a compressed index": document(
        [named("sharding_indexed", chunk_shape=[8, 8], codecs=[LITTLE], index_codecs=[LITTLE, GZIP])], [8, 8]
    ),
    "an index of a tebibyte": document([sharding([1, 1], [LITTLE])], [2**18, 2**18]),
    "shards in indexes": document(
        [named("sharding_indexed", chunk_shape=[8, 8], codecs=[LITTLE], index_codecs=nested_shards(3))], [8, 8]
    ),
    "seventy levels of shards": document(nested_shards(70), [8, 8]),
    "a storage transformer": document([LITTLE], [8, 8], storage_transformers=[named("encrypt")]),
    "an unknown member": document([LITTLE], [8, 8], encrypted=True),
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_malformed_document_is_an_error_that_names_the_node(text: bytes) -> None:
    stored = {"zarr.json": b'{"zarr_format": 3, "node_type": "group"}', "a/zarr.json": text}
    before = dict(stored)
    group = gpuzarr.open_group(stored, mode="r+")
    for use in (lambda: group["a"], lambda: gpuzarr.open(stored, path="a", mode="r"), lambda: dict(group.members())):
        with pytest.raises((MetadataError, UnsupportedError, UnknownCodecError)) as caught:
            use()
        assert caught.value.path == "a"
    assert stored == before


V2_DOCUMENTS: dict[str, bytes] = {
    "objects": document_v2(None, None).replace(b"<u2", b"|O"),
    "no shape": document_v2(None, None).replace(b"shape", b"shave"),
    "a filter that makes objects": document_v2(None, [{"id": "vlen-utf8"}]),
    "a filter that runs code": document_v2(None, [{"id": "pickle"}]),
    "a codec without an id": document_v2({"level": 1}, None),
    "a configuration that the codec does not take": document_v2({"id": "bz2", "speed": 1}, None),
    "a filter of Python objects": document_v2(None, [{"id": "delta", "dtype": "O"}]),
    "a filter of a type that is none": document_v2(None, [{"id": "delta", "dtype": "<q9"}]),
}


@pytest.mark.parametrize("text", V2_DOCUMENTS.values(), ids=V2_DOCUMENTS)
def test_a_malformed_document_of_format_2_is_an_error(text: bytes) -> None:
    with pytest.raises((MetadataError, UnsupportedError, UnknownCodecError)):
        gpuzarr.open_array({".zarray": text})


def test_sixty_levels_of_shards_are_read_and_written(executor: Any) -> None:
    array = opened({}, {"zarr.json": document(nested_shards(60), [4, 4])}, executor)
    array[3:5] = 9
    assert array[2:6, 0].tolist() == [FILL_OF_DOCUMENT, 9, 9, FILL_OF_DOCUMENT]


FILL_OF_DOCUMENT = 7


def test_one_malformed_member_of_consolidated_metadata_fails_alone() -> None:
    stored: dict[str, bytes] = {}
    group = gpuzarr.create_group(stored)
    group.create_array("good/a", shape=(4,), dtype="u1")
    group.create_array("bad", shape=(4,), dtype="u1")
    gpuzarr.consolidate_metadata(stored)
    root = json.loads(stored["zarr.json"])
    root["consolidated_metadata"]["metadata"]["bad"]["shape"] = "?"
    stored["zarr.json"] = json.dumps(root).encode()
    group = gpuzarr.open_group(stored)
    assert group["good/a"].shape == (4,)
    assert group["good"]["a"].shape == (4,)
    with pytest.raises(MetadataError) as caught:
        group["bad"]
    assert caught.value.path == "bad"


# ---- what would take all the memory --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bombs_read() -> Any:
    """For every bomb, what reading it and writing into it raised and how memory grew: in Python, then native."""
    return peaks.run("import bombs; bombs.main(grown)")


@peaks.needs_linux
@pytest.mark.parametrize("bomb", [*bombs.BOMBS, *bombs.OTHERS])
def test_a_bomb_is_an_error_and_takes_no_memory(bomb: str, bombs_read: Any) -> None:
    for raised, most in bombs_read[bomb]:
        assert raised == "CodecError"
        assert most < 8 * peaks.MIB  # chunks are of 64 KiB; a decoder of bzip2 takes 4 MiB for itself


@peaks.needs_linux
def test_a_value_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    found = peaks.run("import bombs; bombs.values(grown, sys.argv[1])", tmp_path)
    assert [raised for raised, _ in found] == ["MetadataError"] * 2 + ["CodecError"] * 6
    assert max(most for _, most in found) < 220 * peaks.MIB  # 64 MiB are believed, and held up to three times


def test_a_selection_of_more_chunks_than_memory_has_room_for_is_an_error() -> None:
    array = gpuzarr.create_array({}, shape=(2**61, 3), chunks=(2**10, 1), dtype="u1")
    before = dict(array.store.mapping)
    for use in (
        lambda: array[...],
        lambda: array[::5, 1],
        lambda: array.read_many([(slice(None), 1), (slice(None), 0)]),
        lambda: array.write((slice(None), 1), 1),
        lambda: array.blocks[:, 0],
    ):
        with pytest.raises(SelectionError, match="chunks"):
            use()
    assert array.store.mapping == before
    assert array[2**60, 1] == 0
    array[-1] = 5
    assert array[-2:, 2].tolist() == [0, 5]


def test_a_result_larger_than_the_space_of_addresses_is_an_error() -> None:
    with pytest.raises(ShapeError):
        NumpyMemory().empty((2**62,), np.dtype("u8"))


# ---- names and keys ------------------------------------------------------------------------------------------

CLIMBING = [
    "..",
    "../secret",
    "a/../../secret",
    "a/..",
    ".",
    "./a",
    "\\..\\secret",
    "..\\secret",
    "a\0b",
    "...",
    "zarr.json",
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder to be opened, with an array beside it that nothing in it may reach."""
    gpuzarr.create_array(tmp_path / "secret", shape=(4,), dtype="u1")[...] = 1
    gpuzarr.create_group(tmp_path / "store").create_array("a/b", shape=(4,), dtype="u1")
    return tmp_path / "store"


@pytest.mark.parametrize("name", CLIMBING)
def test_no_path_climbs_out_of_a_store(name: str, secret: Path) -> None:
    before = contents(secret.parent)
    group = gpuzarr.open_group(secret, mode="r+")
    uses: list[Callable[[], Any]] = [
        lambda: group[name],
        lambda: group["a"][name],
        lambda: group.create_array(name, shape=(1,), dtype="u1"),
        lambda: group.create_group(name),
        lambda: gpuzarr.open(secret, path=name),
        lambda: gpuzarr.create_array(secret, name=name, shape=(1,), dtype="u1", overwrite=True),
    ]
    for use in uses:
        with pytest.raises(GpuzarrError):
            use()
    assert contents(secret.parent) == before


@pytest.mark.parametrize("name", CLIMBING)
def test_no_member_of_consolidated_metadata_climbs_out_of_a_store(name: str, secret: Path) -> None:
    listed = {name: json.loads((secret / "a/b/zarr.json").read_bytes())}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": listed},
    }
    (secret / "zarr.json").write_text(json.dumps(root))
    before = contents(secret.parent)

    def use() -> None:
        group = gpuzarr.open_group(secret, mode="r+")
        for _, member in group.members(None):
            member[...]
            member[...] = 5

    with pytest.raises(GpuzarrError):
        use()
    assert contents(secret.parent) == before


@pytest.mark.parametrize(
    "key", ["../secret/zarr.json", "/etc/passwd", "a//b", "a/./b", "a\\b", "a\0", "", "/", ".gpuzarr-x"]
)
def test_no_key_climbs_out_of_a_store(key: str, secret: Path) -> None:
    before = contents(secret.parent)
    for store in (LocalStore(secret), MemoryStore()):
        uses = (lambda s: s.get(key), lambda s: s.put(key, b"1"), lambda s: s.delete(key), lambda s: s.version(key))
        for use in uses:
            with pytest.raises(StoreError) as caught:
                use(store)
            assert caught.value.key == key
    assert contents(secret.parent) == before


# ---- what is no plain file in the place of a chunk -----------------------------------------------------------


def local(path: Path, executor: Any, compressors: Any) -> tuple[gpuzarr.Array, Path]:
    """An array in a folder, and the path of a chunk that is not there."""
    how: dict[str, Any] = {"shape": (8,), "chunks": (4,), "dtype": "u2", "compressors": compressors}
    array = gpuzarr.create_array(path, executor=executor, **how)
    array[:4] = [1, 2, 3, 4]
    return array, path / "c" / "1"


@pytest.mark.parametrize("compressors", ["auto", None])
def test_a_pipe_in_the_place_of_a_chunk_is_an_error_and_no_wait(
    tmp_path: Path, executor: Any, compressors: Any
) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    array, chunk = local(tmp_path, executor, compressors)
    os.mkfifo(chunk)
    for use in (lambda: array[...], lambda: array.write(5, 1)):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.key == "c/1"


@pytest.mark.parametrize("compressors", ["auto", None])
def test_a_link_to_itself_in_the_place_of_a_chunk_is_an_error(tmp_path: Path, executor: Any, compressors: Any) -> None:
    array, chunk = local(tmp_path, executor, compressors)
    chunk.symlink_to(chunk)
    with pytest.raises(StoreError) as caught:
        array[...]
    assert caught.value.key == "c/1"


@pytest.mark.parametrize("compressors", ["auto", None])
def test_a_folder_in_the_place_of_a_chunk_is_no_chunk(tmp_path: Path, executor: Any, compressors: Any) -> None:
    array, chunk = local(tmp_path, executor, compressors)
    chunk.mkdir()
    assert array[...].tolist() == [1, 2, 3, 4, 0, 0, 0, 0]
    with pytest.raises(StoreError) as caught:
        array[5] = 1
    assert caught.value.key == "c/1"
    assert chunk.is_dir()
