"""URLs of nodes: roots, archives within them, formats; the same in every function that takes a store."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuzarr
from gpuzarr.cli import main
from gpuzarr.errors import GpuzarrError, NodeNotFoundError, StoreError, UnsupportedError
from gpuzarr.ranges import ByteRange
from gpuzarr.store import LocalStore, MappingStore, MemoryStore, NestedZipStore, Store, ZipStore, locate, open_store
from gpuzarr.store.url import parse

VALUES = np.arange(12, dtype="i4").reshape(3, 4)


# Syntax


@pytest.mark.parametrize(
    ("url", "schemes"),
    [
        ("s3://bucket/path/to/archive.zip|zip:path/within/zip.zarr/|zarr3:", "s3 zip zarr3"),
        ("S3+HTTPS://host/icechunk/|ICECHUNK://tag.v5/path/to/node/|Zarr3:", "s3+https icechunk zarr3"),
        ("file:/path/to/outer.zip|zip:path/to/inner.zip|zip:path/to/file.txt", "file zip zip"),
        ("https://example.com/path/to/archive.zip|zip|zarr3", "https zip zarr3"),
        ("vendor1-2.custom-1+proto.ext://[authority]/path?query/part?x", "vendor1-2.custom-1+proto.ext"),
        ("gs://a/outer.zip|zip:inner.zip|..:other|zarr3:b", "gs zip .. zarr3"),
        ("memory:another@path+with,lots&of(special;characters)*_!-$'", "memory"),
        ("file:/path/to/data|byte-range:1000-2000", "file byte-range"),
        ("file:///tmp/data.n5/|n5", "file n5"),
        ("a.zip|zip:b", " zip"),
        ("a|b.zarr", ""),
        ("name:with|colons:", ""),
        ("C:/a.zarr", ""),
        ("/a/b.zarr", ""),
    ],
)
def test_a_url_is_a_root_and_adapters(url: str, schemes: str) -> None:
    assert [part.scheme for part in parse(url)] == schemes.split(" ")


@given(st.text("ab:|/%.~zipfle+3 é"))
def test_any_text_is_a_root_and_adapters(text: str) -> None:
    root, *adapters = parse(text)
    assert not adapters or "|" in text
    assert root.scheme or text.startswith(root.rest)


# What a URL names


def put_zip(path: Path | str, values: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive at a path, and its bytes."""
    with zipfile.ZipFile(whole := io.BytesIO(), "w", method) as archive:
        for key, value in values.items():
            archive.writestr(key, value)
    Path(path).write_bytes(whole.getvalue())
    return whole.getvalue()


def node_values(zarr_format: int = 3) -> dict[str, bytes]:
    """The keys of a group with an array `b c/x` in it."""
    kept: dict[str, bytes] = {}
    group = gpuzarr.create_group(kept, zarr_format=zarr_format)
    group.create_array("b c/x", data=VALUES, chunks=(2, 2))
    return kept


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a group as a folder, in an archive, and in an archive that is in an archive."""
    monkeypatch.chdir(tmp_path)
    values = node_values()
    for key, value in values.items():
        path = tmp_path / "lab.zarr" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    inner = put_zip("lab.zip", {f"in/{key}": value for key, value in values.items()})
    put_zip("outer.zip", {"deep/lab.zip": inner, "other": b"1"})
    put_zip("packed.zip", {"deep/lab.zip": inner}, zipfile.ZIP_DEFLATED)
    put_zip("no ending", values)
    return tmp_path


FOUND = [
    "{here}/lab.zarr/b c/x",
    "lab.zarr|zarr3:b%20c/x",
    "file:lab.zarr/b%20c/x",
    "file:{here}/lab.zarr/b%20c/x",
    "file://{here}/lab.zarr/b%20c/x/",
    "FILE://LOCALHOST{here}/lab.zarr|ZARR3:/b%20c/x/",
    "{here}/lab.zip/in/b c/x",
    "lab.zip|zip:in/b%20c/x",
    "lab.zip|zip:in|zarr3:b%20c/x",
    "zip://{here}/lab.zip/in/b%20c/x",
    "zip:lab.zip|zip:/in/b%20c/x",
    "file:///{here}/lab.zip|zip:in/|zarr:b%20c/x",
    "file:no%20ending|zip|zarr3:b%20c/x",
    "outer.zip|zip:deep/lab.zip|zip:in/b%20c/x",
    "file://{here}/outer.zip|zip:deep/lab.zip|zip:in/|zarr3:b%20c/x",
    "outer.zip/deep/lab.zip|zip:in/b%20c/x",
    "packed.zip|zip:deep/lab.zip|zip:in/b%20c/x",
]


@pytest.mark.parametrize("url", FOUND)
def test_every_function_takes_every_url(here: Path, url: str) -> None:
    where = url.format(here=here.as_posix())
    array = gpuzarr.open_array(where, mode="r")
    assert np.array_equal(array[...], VALUES)
    assert np.array_equal(gpuzarr.load(where), VALUES)
    assert gpuzarr.open(where, mode="r") == array
    above = where.rstrip("/").removesuffix("x").rstrip("/")
    assert np.array_equal(gpuzarr.open_group(above, mode="r")["x"][...], VALUES)
    assert np.array_equal(gpuzarr.open(above, mode="r", path="/x")[...], VALUES)
    assert main(["info", where]) == main(["tree", above]) == 0


@pytest.mark.parametrize("url", FOUND)
def test_the_url_of_a_store_and_of_a_node_in_it_finds_them_again(here: Path, url: str) -> None:
    array = gpuzarr.open_array(url.format(here=here.as_posix()), mode="r")
    assert np.array_equal(gpuzarr.open(array.store.url, mode="r", path=array.path)[...], VALUES)
    again = pickle.loads(pickle.dumps(array))
    assert np.array_equal(again[...], VALUES)
    assert again == array


def test_memory_urls_name_a_store_and_a_path_in_it() -> None:
    gpuzarr.create_array("memory:urls lab/a%20b", data=VALUES)
    for url in ("memory://urls lab/a b", "memory:/urls%20lab|zarr3:a%20b"):
        assert np.array_equal(gpuzarr.load(url), VALUES)
    assert np.array_equal(gpuzarr.load("memory:urls%20lab", path="a b"), VALUES)
    store = MemoryStore("a/b|c")
    store.put("k", b"1")
    assert open_store(store.url).get("k") == b"1"
    assert locate("memory:").path == locate("memory:///").path == ""


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_format_in_a_url_is_what_is_made_and_found(tmp_path: Path, zarr_format: int) -> None:
    url = f"{tmp_path.as_uri()}/a.zarr/|zarr{zarr_format}:"
    assert gpuzarr.create_array(f"{url}x", data=VALUES).zarr_format == zarr_format
    assert gpuzarr.create_group(f"{url}g").zarr_format == zarr_format
    assert gpuzarr.open(f"{url}w", mode="w").zarr_format == zarr_format
    gpuzarr.save(f"{url}s", VALUES)
    gpuzarr.save(f"{url}t", VALUES, more=VALUES)
    for node in (gpuzarr.open(url + "s"), gpuzarr.open(url + "t"), gpuzarr.open_array(url + "y", shape=2, dtype="i1")):
        assert node.zarr_format == zarr_format
    assert np.array_equal(gpuzarr.load(url.replace(str(zarr_format) + ":", ":x")), VALUES)
    other = f"zarr{5 - zarr_format}:"
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open_array(url.replace(f"zarr{zarr_format}:", f"{other}x"), mode="r")
    with pytest.raises(ValueError, match="asks for Zarr format"):
        gpuzarr.open(url, zarr_format=5 - zarr_format)


def test_an_archive_at_a_url_is_made_and_written(tmp_path: Path) -> None:
    with gpuzarr.create_array(f"{tmp_path.as_uri()}/new|zip:in|zarr2:x", data=VALUES).store as store:  # type: ignore[attr-defined]
        assert type(store) is ZipStore
    assert np.array_equal(gpuzarr.load(tmp_path / "new", path="in/x"), VALUES)


def test_tensorstore_opens_the_url_of_an_archive(here: Path) -> None:
    ts = pytest.importorskip("tensorstore")
    array = gpuzarr.open_array("lab.zip|zip:in/b%20c/x", mode="r")
    theirs = ts.open(f"{array.store.url}in/b%20c/x/|zarr3:").result()
    assert np.array_equal(theirs.read().result(), VALUES)


# What is refused


@pytest.mark.parametrize(
    ("url", "feature"),
    [
        ("s3://b/a.zip|zip:inner/|zarr3:path", "s3://"),
        ("s3:b", "s3://"),
        ("https://host/a.zarr", "https://"),
        ("gs://b/a|zarr2:", "gs://"),
        ("file:lab.zarr|ocdbt:", "ocdbt:"),
        ("file:lab.zarr|..:x", "..:"),
        ("lab.zip|zip:in|icechunk", "icechunk:"),
        ("lab.zip|zip:in|zarr3:|zip:x", "zip: after zarr3:"),
        ("lab.zip|gzip:", "gzip:"),
        ("file:a|b.zarr", "b.zarr:"),
        ("file:lab.zarr|", ":"),
    ],
)
def test_what_there_is_no_store_for_is_refused_by_name(here: Path, url: str, feature: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        gpuzarr.open(url)
    assert feature in str(caught.value.feature)


@pytest.mark.parametrize(
    "url",
    [
        "file:", "file://", "file:///x.zip|zip:", "lab.zarr|zip:", "outer.zip|zip:other|zip:",
        "outer.zip|zip:deep|zip:", "outer.zip|zip:absent|zip:", "memory:no-such-store/a.zip|zip:", "memory:|zip:",
        "outer.zip|zip:../x|zip:",
        "lab.zarr|zarr3:../x", "lab.zarr|zarr3:a%2F..%2Fx", "lab.zip|zip:in/zarr.json", "no ending/b c/../b c/x",
        "file:%00", "lab.zarr/zarr.json/x", "outer.zip/other/x",
    ],
)  # fmt: skip
def test_what_is_not_there_or_no_archive_is_an_error_of_ours(here: Path, url: str) -> None:
    with pytest.raises(GpuzarrError):
        gpuzarr.open(url, mode="r")


def test_an_archive_within_a_store_is_not_written(here: Path) -> None:
    for mode in ("w", "w-", "a"):
        with pytest.raises(StoreError, match="reading only"):
            gpuzarr.open_array("outer.zip|zip:deep/lab.zip|zip:in/new", mode=mode, shape=1, dtype="i1")[0] = 1
    array = gpuzarr.open_array("outer.zip|zip:deep/lab.zip|zip:in/b%20c/x", mode="r+")
    with pytest.raises(StoreError, match="reading only"):
        array[0] = 1
    for change in (lambda: array.store.put("a", b""), lambda: array.store.delete("a")):
        with pytest.raises(StoreError, match="reading only"):
            change()


def test_a_store_that_begins_at_a_path_is_refused(here: Path) -> None:
    with pytest.raises(UnsupportedError, match="path 'in'"):
        open_store("lab.zip|zip:in")


# An archive that is a value


class Counting(MemoryStore):
    """Notes what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int | None] = []

    def get(self, key: str, range: ByteRange | None = None) -> Any:
        self.asked.append(None if range is None else range.length)
        return super().get(key, range)


def test_an_archive_that_is_a_value_is_read_by_ranges(tmp_path: Path) -> None:
    outer = Counting()
    whole = put_zip(tmp_path / "a.zip", {"a": bytes(1 << 20), "b": b"0123456789"})
    outer.put("a.zip", whole)
    store = NestedZipStore(outer, "a.zip")
    assert bytes(store.get("a", ByteRange(5, 100)) or b"") == bytes(100)
    assert bytes(store.get("b") or b"") == b"0123456789"
    assert None not in outer.asked
    assert sum(n or 0 for n in outer.asked) < 300_000


@pytest.mark.parametrize("kind", ["local", "memory", "mapping", "zip"])
def test_an_archive_is_a_value_of_any_store(tmp_path: Path, kind: str) -> None:
    values = {"a/0": b"0123456789", "a/1": b"", "b": bytes(range(256))}
    whole = put_zip(tmp_path / "in.zip", values)
    put_zip(tmp_path / "out.zip", {"in.zip": whole})
    outer: dict[str, Store] = {
        "local": LocalStore(tmp_path),
        "memory": MemoryStore(f"archives {tmp_path}"),
        "mapping": MappingStore({"in.zip": whole}),
        "zip": ZipStore(tmp_path / "out.zip"),
    }
    if kind == "memory":
        outer[kind].put("in.zip", whole)
    store = NestedZipStore(outer[kind], "in.zip")
    assert {key: bytes(store.get(key) or b"") for key in store.list()} == values
    assert (store.list_dir(""), store.list_dir("a")) == (["a", "b"], ["0", "1"])
    assert (store.size("b"), store.get("c"), store.version("c")) == (256, None, None)
    if kind != "local":  # whose versions of what is this new differ each time
        assert (store.version("b") == store.version("b")) == (kind != "mapping")
    if kind != "mapping":
        again = open_store(store.url)
        assert bytes(again.get("a/0") or b"") == b"0123456789"
    assert pickle.loads(pickle.dumps(store)).url == store.url


def test_an_archive_that_goes_away_or_changes_is_an_error(tmp_path: Path) -> None:
    outer = MemoryStore()
    outer.put("a.zip", put_zip(tmp_path / "a.zip", {"a": b"0123456789"}))
    store = NestedZipStore(outer, "a.zip")
    before = store.version("a")
    outer.put("a.zip", put_zip(tmp_path / "a.zip", {"b": b"0123456789"}))
    assert store.version("a") != before
    with pytest.raises(StoreError, match="not what the directory says"):
        store.get("a")
    outer.delete("a.zip")
    with pytest.raises(StoreError, match="removed"):
        store.get("a")
