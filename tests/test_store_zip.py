"""What zip archives promise beyond the contract of stores, and what they make of archives that lie."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuzarr.errors import GpuzarrError, StoreError, UnsupportedError
from gpuzarr.ranges import ByteRange
from gpuzarr.store import Store, ZipStore

VALUE = bytes(range(100))
VALUES = {"zarr.json": b"{}", "a/zarr.json": b"{}", "a/c/0/0": VALUE, "a/c/0/1": b"", "é": b"not ASCII"}


def contents(store: Store) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def fill(store: Store, values: dict[str, bytes]) -> Store:
    for key, value in values.items():
        store.put(key, value)
    return store


def names_in(folder: str | Path) -> list[str]:
    return sorted(name for _, folders, files in os.walk(folder) for name in folders + files)


def zipped(path: Path, values: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for key, value in values.items():
            archive.writestr(key, value)
    return path


def test_zipfile_reads_what_a_zip_store_wrote(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "a.zip", "w", comment=b"hello") as store:
        fill(store, VALUES)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == VALUES
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.comment == b"hello"


def test_zarr_python_reads_what_a_zip_store_wrote_and_the_other_way(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    data = np.arange(60, dtype="i4").reshape(6, 10)
    theirs = zarr.storage.ZipStore(tmp_path / "theirs.zip", mode="w")
    zarr.create_array(theirs, name="x", data=data, chunks=(3, 5))
    theirs.close()
    with ZipStore(tmp_path / "theirs.zip") as store, ZipStore(tmp_path / "ours.zip", "w") as ours:
        assert store.list_dir("x") == ["c", "zarr.json"]
        fill(ours, contents(store))
    back = zarr.open_array(zarr.storage.ZipStore(tmp_path / "ours.zip", mode="r"), path="x", mode="r")
    assert np.array_equal(back[...], data)


def test_the_directory_lists_documents_first_and_shallow_ones_before_deep_ones(tmp_path: Path) -> None:
    keys = ["b/c/0", "b/s/zarr.json", "b/zarr.json", "a/x/y/zarr.json", "a/zarr.json", "A", "zarr.json"]
    with ZipStore(tmp_path / "a.ozx", "w") as store:
        fill(store, dict.fromkeys(keys, b"1"))
    with zipfile.ZipFile(tmp_path / "a.ozx") as archive:
        assert archive.namelist() == [
            "zarr.json", "a/zarr.json", "b/zarr.json", "b/s/zarr.json", "a/x/y/zarr.json", "A", "b/c/0",
        ]  # fmt: skip


def test_the_same_values_give_the_same_archive(tmp_path: Path) -> None:
    for name in ["1", "2"]:
        with ZipStore(tmp_path / name, "w") as store:
            fill(store, VALUES)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_zip64_archives_and_archives_behind_other_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh\n")
    with zipfile.ZipFile(path, "a") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"large in spirit")
    assert contents(ZipStore(path)) == {"a": b"large in spirit"}
    with ZipStore(path, "a") as store:
        store.put("b", b"2")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert contents(ZipStore(path)) == {"a": b"large in spirit", "b": b"2"}


def test_members_that_are_no_keys_are_no_values_and_survive(tmp_path: Path) -> None:
    evil = {"../up": b"1", "/abs": b"2", "folder/": b"", "a//b": b"3", "back\\slash": b"4"}
    path = zipped(tmp_path / "a.zip", {**evil, "good": b"5"})
    with ZipStore(path, "a") as store:
        assert contents(store) == {"good": b"5"}
        store.put("new", b"6")
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            **evil,
            "good": b"5",
            "new": b"6",
        }
    path.write_bytes(path.read_bytes().replace(b"good", b"g\0od"))
    assert contents(ZipStore(path)) == {"new": b"6"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"first")
        archive.writestr("a", b"second")
    assert contents(ZipStore(tmp_path / "a.zip")) == {"a": b"second"}


def directory_entry(data: bytes | bytearray) -> int:
    return data.index(b"PK\x01\x02")


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_001, 0xFFFFFFF0])
def test_a_member_that_unpacks_to_another_size_than_promised_is_refused(tmp_path: Path, size: int) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(100_000)}, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, directory_entry(data) + 24, size)
    path.write_bytes(data)
    for part in [None, ByteRange(-1)]:
        with pytest.raises(StoreError) as caught:
            ZipStore(path).get("a", part)
        assert caught.value.key == "a"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wrong_checksum_is_found(tmp_path: Path, compression: int) -> None:
    path = zipped(tmp_path / "a.zip", {"a": VALUE}, compression=compression)
    data = bytearray(path.read_bytes())
    data[directory_entry(data) + 16] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="checksum"):
        ZipStore(path).get("a")


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (42, 1, "header"),
        (42, 81, "header"),  # of the other member
        (42, 0x7FFFFFFF, "past the end"),
        (20, 0x7FFFFFFF, "past the end"),
        (20, 49, "sizes differ"),
        (20, 0, "sizes differ"),
    ],
)
def test_a_directory_that_points_elsewhere_is_not_believed(tmp_path: Path, at: int, value: int, reason: str) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"1" * 50, "b": b"2" * 50})
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, directory_entry(data) + at, value)
    path.write_bytes(data)
    with ZipStore(path) as store, pytest.raises(StoreError, match=reason) as caught:
        store.get("a")
    assert caught.value.key == "a"


def test_bytes_that_are_no_member_are_not_taken_for_one(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"1"})
    path.write_bytes(b"XX" + path.read_bytes()[2:])
    with pytest.raises(StoreError, match="header"):
        ZipStore(path).get("a")


def test_names_in_the_old_encoding_are_read_and_survive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"Q": b"1"})
    path.write_bytes(path.read_bytes().replace(b"Q", b"\x82"))
    with ZipStore(path, "a") as store:
        assert contents(store) == {"é": b"1"}
        store.put("b", b"2")
    assert contents(ZipStore(path)) == {"b": b"2", "é": b"1"}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_what_is_legal_but_not_read_here_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": VALUE}, compression=zipfile.ZIP_BZIP2)
    with pytest.raises(UnsupportedError) as caught:
        ZipStore(path).get("a")
    assert caught.value.feature == "zip compression method 12"
    data = bytearray(zipped(path, {"a": VALUE}).read_bytes())
    data[directory_entry(data) + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UnsupportedError, match="encrypted"):
        ZipStore(path).get("a")


def sample_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/zarr.json", b'{"x": 1}' * 20, compress_type=zipfile.ZIP_DEFLATED)
        archive.writestr("é/c/0", b"\1" * 30)
        with archive.open("big", "w", force_zip64=True) as member:
            member.write(b"123")
        archive.comment = b"comment"
    return file.getvalue()


SAMPLE = sample_archive()


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 3), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_damaged_archive_gives_values_or_our_errors(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(SAMPLE)
    for at, cut, insert in edits:
        data[at : at + cut] = insert
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    try:
        with ZipStore(path) as store:
            for key in store.list():
                assert len(store.get(key) or b"") <= 1000
    except GpuzarrError:
        pass
    try:
        with ZipStore(path, "a") as store:
            store.put("new", b"1")
    except GpuzarrError:
        return
    with ZipStore(path) as store:
        assert store.get("new") == b"1"


@pytest.mark.parametrize("size", [0, 1, 21, len(SAMPLE) // 2, len(SAMPLE) - 8])
def test_an_archive_that_is_cut_off_does_not_open(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(SAMPLE[:size])
    for mode in ("r", "a"):
        with pytest.raises(StoreError, match=r"a\.zip"):
            ZipStore(path, mode)
    assert path.read_bytes() == SAMPLE[:size]
