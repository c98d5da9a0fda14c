"""Hierarchies: nodes moved and copied, between stores and formats too; groups walked, members found by pattern."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, random_values

import gpuzarr
from gpuzarr import copying
from gpuzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError, StoreError, UnsupportedError

formats = pytest.mark.parametrize("zarr_format", [2, 3])
both = pytest.mark.parametrize(("old", "new"), [(2, 2), (2, 3), (3, 2), (3, 3)])


def hierarchy(where: Any, zarr_format: int = 3) -> gpuzarr.Group:
    """A group with the members a (array), b (group), b/c (array), b/d (group), b/d/s0 (array)."""
    root = gpuzarr.open_group(where, mode="w", zarr_format=zarr_format, attributes={"top": 1})
    root.create_array("a", data=np.arange(6).reshape(2, 3), chunks=(1, 2))
    root.create_array("b/c", data=np.arange(4, dtype="f4"), attributes={"unit": "m"})
    root.create_group("b/d", attributes={"x": [1]})
    root.create_array("b/d/s0", shape=(5,), dtype="u1", fill_value=3)
    return root


def everything(group: gpuzarr.Group) -> dict[str, Any]:
    """All that is below a group: attributes, and the elements of arrays."""
    found: dict[str, Any] = {"": dict(group.attrs)}
    for path, member in group.members(None):
        values = (member.dtype.str, member[...].tolist()) if isinstance(member, gpuzarr.Array) else ()
        found[path] = (dict(member.attrs), *values)
    return found


# ---- moving ------------------------------------------------------------------------------------------------------


@formats
@pytest.mark.parametrize(
    ("source", "dest"), [("b", "z"), ("b/d", "d"), ("a", "b/a"), ("b/c", "new/deep/c"), ("b", "bb")]
)
def test_a_member_moves_with_all_that_is_below_it(where: Any, zarr_format: int, source: str, dest: str) -> None:
    root = hierarchy(where, zarr_format)
    before = everything(root)
    root.move(source, dest)
    after = everything(gpuzarr.open_group(where, mode="r"))
    moved = {dest + path[len(source) :]: v for path, v in before.items() if f"{path}/".startswith(f"{source}/")}
    kept = {path: v for path, v in before.items() if not f"{path}/".startswith(f"{source}/")}
    made = {path: ({},) for path in ("new", "new/deep") if dest.startswith(f"{path}/")}
    assert after == {**kept, **moved, **made}
    assert not any(key.startswith(f"{source}/") for key in root.store.list())


@formats
def test_moves_are_relative_to_the_group(where: Any, zarr_format: int) -> None:
    root = hierarchy(where, zarr_format)
    root["b"].move("c", "e")
    assert root["b/e"][...].tolist() == [0, 1, 2, 3]
    assert "b/c" not in root


@pytest.mark.parametrize(
    ("source", "dest", "error"),
    [
        ("zzz", "x", NodeNotFoundError),
        ("a", "b", NodeExistsError),
        ("a", "b/c", NodeExistsError),
        ("b", "a/x", NodeExistsError),  # arrays have no members
        ("b", "b/d/x", MetadataError),
        ("b", "b", MetadataError),
        ("", "x", MetadataError),
        ("a", "", MetadataError),
        ("a", "../x", MetadataError),
        ("a", "__x", MetadataError),
    ],
)
def test_a_move_that_can_not_be_changes_nothing(where: Any, source: str, dest: str, error: type[Exception]) -> None:
    root = hierarchy(where)
    before = everything(root)
    with pytest.raises(error):
        root.move(source, dest)
    assert everything(root) == before


def test_nothing_moves_in_a_store_that_is_read_only(where: Any) -> None:
    hierarchy(where)
    with pytest.raises(StoreError):
        gpuzarr.open_group(where, mode="r").move("a", "z")


def test_a_folder_is_renamed_not_copied(tmp_path: Path) -> None:
    root = hierarchy(tmp_path)
    inode = (tmp_path / "b/c/c/0").stat().st_ino
    root.move("b/c", "x/y")
    assert (tmp_path / "x/y/c/0").stat().st_ino == inode
    assert not (tmp_path / "b/c").exists()


def test_a_folder_that_is_no_node_is_not_replaced_by_a_move(tmp_path: Path) -> None:
    root = hierarchy(tmp_path)
    (tmp_path / "z").mkdir()
    (tmp_path / "z/notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="something is there"):
        root.move("b", "z")
    assert (tmp_path / "z/notes.txt").read_text() == "mine"
    assert root["b/c"].shape == (4,)


class Breaking(dict[str, bytes]):
    """A mapping that fails after so many values were set."""

    left = 1 << 30

    def __setitem__(self, key: str, value: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("the disk is full")
        super().__setitem__(key, value)


@formats
def test_an_interrupted_move_leaves_the_node_whole_where_it_was(zarr_format: int) -> None:
    for steps in range(40):
        kept = Breaking()
        root = hierarchy(kept, zarr_format)
        before = everything(root["b"])
        kept.left = steps
        try:
            root.move("b", "z")
        except StoreError:
            kept.left = 1 << 30
            assert everything(root["b"]) == before
            assert "z" not in root
        else:
            assert everything(root["z"]) == before
            return
    pytest.fail("the move never ended")


# ---- copying -----------------------------------------------------------------------------------------------------


@both
def test_a_group_is_copied_with_all_below_it_in_either_format(where: Any, old: int, new: int) -> None:
    root = hierarchy({}, old)
    copied = gpuzarr.copy(root, where, zarr_format=new)
    assert everything(copied) == everything(root) == everything(gpuzarr.open_group(where, mode="r"))
    assert {member.zarr_format for _, member in copied.members(None)} == {copied.zarr_format} == {new}
    assert copied["b/d/s0"].fill_value == 3


def test_a_copy_goes_into_a_group_under_its_own_name_or_another(where: Any) -> None:
    root = hierarchy(where)
    assert gpuzarr.copy(root["a"], root["b"]).path == "b/a"
    assert gpuzarr.copy(root["b/c"], root, "x/y").path == "x/y"
    assert root["x/y"][...].tolist() == [0, 1, 2, 3]
    other = gpuzarr.create_group({}, zarr_format=2)
    assert gpuzarr.copy(root["a"], other).zarr_format == 2


@pytest.mark.parametrize(
    ("source", "dest", "overwrite", "error"),
    [
        ("a", "b/c", False, NodeExistsError),
        ("a", "b/c/x", False, NodeExistsError),
        ("b", "b/x", True, MetadataError),
        ("a", "a", True, MetadataError),
        ("b/c", "b", True, MetadataError),
        ("", "b/x", False, MetadataError),
    ],
)
def test_a_copy_that_can_not_be_changes_nothing(
    where: Any, source: str, dest: str, overwrite: bool, error: type[Exception]
) -> None:
    root = hierarchy(where)
    before = everything(root)
    with pytest.raises(error):
        gpuzarr.copy(root[source] if source else root, where, dest, overwrite=overwrite)
    assert everything(root) == before


def test_overwriting_replaces_the_node_and_what_is_below_it(where: Any) -> None:
    root = hierarchy(where)
    gpuzarr.copy(root["a"], root, "b", overwrite=True)
    assert sorted(root) == ["a", "b"]
    assert root["b"].shape == (2, 3)


def test_values_are_taken_over_as_they_are_stored(where: Any) -> None:
    root = gpuzarr.create_group({})
    a = root.create_array("a", data=np.arange(64).reshape(8, 8), chunks=(2, 2), shards=(4, 4))
    gpuzarr.copy(a, where, "x")
    stored = {key.removeprefix("a/"): bytes(a.store.get(key)) for key in a.store.list("a/") if "/c/" in key}
    copied = gpuzarr.open_array(where, path="x", mode="r").store
    assert stored == {key.removeprefix("x/"): bytes(copied.get(key)) for key in copied.list("x/") if "/c/" in key}


@pytest.mark.parametrize(
    ("dtype", "compressor", "order"),
    [
        ("<i4", {"id": "zstd", "level": 3}, "C"),
        (">f8", {"id": "gzip", "level": 1}, "F"),
        ("|u1", {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2}, "C"),
        ("<u2", {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, "C"),
        ("<f4", {"id": "zlib", "level": 1}, "F"),
        ("<c8", {"id": "bz2", "level": 1}, "C"),
        ("<i8", None, "F"),
    ],
)
def test_another_format_means_other_documents_not_other_chunks(dtype: str, compressor: Any, order: str) -> None:
    values = random_values(np.random.default_rng(0), (5, 7), dtype)
    how: dict[str, Any] = {"chunks": (2, 3), "order": order, "compressors": compressor, "zarr_format": 2}
    old = gpuzarr.create_array({}, data=values, **how)
    new = gpuzarr.copy(old, {}, zarr_format=3)
    back = gpuzarr.copy(new, {}, zarr_format=2)
    stored = [old.store.get(f"{i}.{j}") for i in range(3) for j in range(3)]
    assert stored == [new.store.get(f"c/{i}/{j}") for i in range(3) for j in range(3)]
    assert stored == [back.store.get(f"{i}.{j}") for i in range(3) for j in range(3)]
    assert_same(new[...], old[...])
    assert back.metadata.documents().keys() == {".zarray"}
    assert (back.order, back.dtype, back.metadata.data_type.wire) == (order, old.dtype, old.metadata.data_type.wire)


def arrays(zarr_format: int) -> Iterator[gpuzarr.Array]:
    """Arrays that the other format has names for."""
    rng = np.random.default_rng(1)
    shape: dict[str, Any] = {"chunks": (3, 4), "zarr_format": zarr_format}
    for dtype in ("bool", "int16", ">u4", "float16", "complex128", "S3", "U2", "M8[ms]", "m8[s]", "V3"):
        yield gpuzarr.create_array({}, data=random_values(rng, (5, 7), dtype), **shape)
    fields = [("x", "<i2"), ("y", "<f4"), ("in", [("z", "u1")])]
    yield gpuzarr.create_array({}, data=random_values(rng, (5, 7), fields), **shape)
    text = np.array([["a", "", "zé"] * 3] * 5, np.dtypes.StringDType())
    yield gpuzarr.create_array({}, data=text, **shape)
    kind: dict[str, Any] = {"dtype": "bytes"} if zarr_format == 3 else {"dtype": object, "filters": "vlen-bytes"}
    blob = gpuzarr.create_array({}, shape=(5, 7), **kind, **shape)
    blob[0, :2] = np.array([b"xyz", b""], object)
    yield blob
    delta = {"delta": {"dtype": "<i4"}, "fixedscaleoffset": {"dtype": "<i4", "offset": 5, "scale": 2}}
    for name, config in delta.items():
        codec = {"id": name, **config} if zarr_format == 2 else {"name": f"numcodecs.{name}", "configuration": config}
        yield gpuzarr.create_array({}, data=np.arange(35, dtype="i4").reshape(5, 7), filters=codec, **shape)
    chain = [{"id": "shuffle", "elementsize": 2}] if zarr_format == 2 else []
    yield gpuzarr.create_array({}, data=np.ones((5, 7), "u2"), filters=chain or None, fill_value=1, **shape)
    if zarr_format == 3:
        yield gpuzarr.create_array({}, data=np.ones((8, 8), "u2"), chunks=(2, 2), shards=(4, 8))
        yield gpuzarr.create_array({}, data=np.ones((8, 8), "u2"), compressors=["zstd", "crc32c"], **shape)
    else:
        yield gpuzarr.create_array({}, data=np.ones((8, 8), "u2"), fill_value=None, order="F", **shape)


@both
def test_the_elements_of_a_copy_are_those_of_the_array(old: int, new: int) -> None:
    for array in arrays(old):
        copied = gpuzarr.copy(array, {}, zarr_format=new)
        assert copied.dtype == array.dtype, array
        assert_elements(copied[...], array[...])
        assert copied.chunks == array.chunks
        array.resize((20, 20))
        copied.resize((20, 20))
        assert_elements(copied[18:, 18:], array[18:, 18:])


def assert_elements(found: Any, wanted: Any) -> None:
    if found.dtype.hasobject:  # whose bytes are addresses
        assert found.tolist() == wanted.tolist()
    else:
        assert_same(found, wanted)


BITROUND = {"name": "bitround", "configuration": {"keepbits": 3}}
TURNED = {"name": "transpose", "configuration": {"order": [1, 0, 2]}}
BYTES_FIRST = [{"id": "shuffle", "elementsize": 2}, {"id": "delta", "dtype": "u1"}]


@pytest.mark.parametrize(
    ("array", "zarr_format", "feature"),
    [
        ({"shape": (4,), "dtype": "bfloat16"}, 2, None),
        ({"shape": (4,), "dtype": "int32", "filters": [BITROUND]}, 2, "bitround"),
        ({"shape": (4, 4, 4), "dtype": "u1", "filters": [TURNED]}, 2, "transpose"),
        ({"shape": (4,), "dtype": object, "filters": {"id": "json2"}, "zarr_format": 2}, 3, "json2"),
        ({"shape": (4,), "dtype": "u1", "filters": BYTES_FIRST, "zarr_format": 2}, 3, "shuffle"),
    ],
)
def test_what_the_other_format_has_no_name_for_is_refused_by_name(
    where: Any, array: dict[str, Any], zarr_format: int, feature: str | None
) -> None:
    root = gpuzarr.create_group({}, zarr_format=array.get("zarr_format", 3))
    root.create_array("fine", shape=(2,), dtype="u1")
    root.create_array("odd", **array)
    with pytest.raises((UnsupportedError, MetadataError)) as caught:
        gpuzarr.copy(root, where, zarr_format=zarr_format)
    assert feature is None or feature in str(caught.value)
    with pytest.raises(NodeNotFoundError):  # everything is checked before anything is written
        gpuzarr.open(where, mode="r")


def test_an_array_is_copied_into_other_chunks_and_codecs(where: Any) -> None:
    rng = np.random.default_rng(2)
    old = gpuzarr.create_array({}, data=rng.integers(0, 9, (30, 40)), chunks=(1, 40), dimension_names=("y", "x"))
    new = gpuzarr.copy(old, where, chunks=(5, 4), shards=(10, 20), compressors="blosc", filters=None)
    assert (new.chunks, new.shards, new.compressors[0].name) == ((5, 4), (10, 20), "blosc")
    assert (new.dimension_names, new.attrs) == (("y", "x"), old.attrs)
    assert_same(new[...], old[...])
    with pytest.raises(TypeError, match="shape"):
        gpuzarr.copy(old, {}, shape=(3, 3))
    with pytest.raises(MetadataError, match="chunks"):
        gpuzarr.copy(gpuzarr.create_group({}), {}, chunks=(3,))


@given(st.data())
def test_regions_of_a_copy_are_the_array(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=3))
    sizes = st.lists(st.integers(1, 50), min_size=len(shape), max_size=len(shape))
    values = np.arange(np.prod(shape)).reshape(shape)
    old = gpuzarr.create_array({}, data=values, chunks=tuple(data.draw(sizes)))
    room = copying.REGION
    try:
        copying.REGION = data.draw(st.integers(1, 4000))
        new = gpuzarr.copy(old, {}, chunks=tuple(data.draw(sizes)), compressors=None)
    finally:
        copying.REGION = room
    assert_same(new[...], values)


def test_large_values_are_copied_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "STEP", 100)
    old = gpuzarr.create_array(tmp_path / "old", data=np.arange(1000), chunks=(500,), compressors=None)
    assert_same(gpuzarr.copy(old, tmp_path / "new")[...], np.arange(1000))


def test_dimension_names_are_an_attribute_in_format_2() -> None:
    old = gpuzarr.create_array({}, shape=(2, 3), dtype="u1", dimension_names=("y", "x"), attributes={"unit": "m"})
    two = gpuzarr.copy(old, {}, zarr_format=2)
    assert dict(two.attrs) == {"unit": "m", "_ARRAY_DIMENSIONS": ["y", "x"]}
    three = gpuzarr.copy(two, {}, zarr_format=3)
    assert (three.dimension_names, dict(three.attrs)) == (("y", "x"), {"unit": "m"})


def test_an_array_whose_codecs_are_not_known_is_copied_all_the_same() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_array(kept, name="a", data=np.arange(9), chunks=(3,))
    kept["a/zarr.json"] = kept["a/zarr.json"].replace(b'"zstd"', b'"lab.new"')
    target: dict[str, bytes] = {}
    gpuzarr.copy(gpuzarr.open_group(kept, mode="r+"), target)
    assert {key: target[key] for key in target if "/c/" in key} == {key: kept[key] for key in kept if "/c/" in key}


@both
def test_an_interrupted_copy_is_not_there(old: int, new: int) -> None:
    root = hierarchy({}, old)
    for steps in range(60):
        target = Breaking()
        target.left = steps
        try:
            gpuzarr.copy(root, target, zarr_format=new)
        except StoreError:
            target.left = 1 << 30
            for path, member in root.members(None):
                if isinstance(member, gpuzarr.Array) and (found := _opened(target, path)) is not None:
                    assert_same(found[...], member[...])
            assert _opened(target, "") is None
        else:
            return
    pytest.fail("the copy never ended")


def _opened(target: dict[str, bytes], path: str) -> Any:
    try:
        return gpuzarr.open(target, path=path, mode="r")
    except NodeNotFoundError:
        return None


# ---- walking and patterns ----------------------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("consolidated", [False, True])
def test_walking_gives_every_group_with_the_names_in_it(where: Any, zarr_format: int, consolidated: bool) -> None:
    root = hierarchy(where, zarr_format)
    root = gpuzarr.consolidate_metadata(where) if consolidated else root
    assert list(root.walk()) == [("", ["b"], ["a"]), ("b", ["d"], ["c"]), ("b/d", [], ["s0"])]
    assert list(root["b"].walk()) == [("", ["d"], ["c"]), ("d", [], ["s0"])]


def test_a_group_that_is_removed_from_the_list_is_not_walked_into(where: Any) -> None:
    seen = []
    for path, groups, _ in hierarchy(where).walk():
        seen.append(path)
        groups.clear()
    assert seen == [""]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["a", "b"]),
        ("a", ["a"]),
        ("b/*", ["b/c", "b/d"]),
        ("*/c", ["b/c"]),
        ("/b//d/", ["b/d"]),
        ("**", ["a", "b", "b/c", "b/d", "b/d/s0"]),
        ("**/*", ["a", "b", "b/c", "b/d", "b/d/s0"]),
        ("**/**/s[0-9]", ["b/d/s0"]),
        ("b/**", ["b/c", "b/d", "b/d/s0"]),
        ("**/d/s?", ["b/d/s0"]),
        ("*/*/*", ["b/d/s0"]),
        ("A", []),
        ("a/*", []),
    ],
)
@pytest.mark.parametrize("consolidated", [False, True])
def test_members_are_found_by_pattern(where: Any, pattern: str, found: list[str], consolidated: bool) -> None:
    root = hierarchy(where)
    root = gpuzarr.consolidate_metadata(where) if consolidated else root
    members = dict(root.glob(pattern))
    assert list(members) == found
    assert all(member == root[path] for path, member in members.items())


def test_an_empty_pattern_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="pattern"):
        hierarchy({}).glob("/")


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "s0"]), min_size=1, max_size=4).map("/".join)


PATTERNS = st.lists(st.sampled_from(["*", "**", "a", "a*", "?", "[ab]"]), min_size=1, max_size=4)


@given(st.sets(NAMES, max_size=8), PATTERNS)
def test_patterns_find_what_a_search_through_all_members_finds(names: set[str], parts: list[str]) -> None:
    root = gpuzarr.create_group({})
    for name in names:
        root.require_group(name)
    expected = [path for path, _ in root.members(None) if matches(PurePosixPath(path).parts, parts)]
    assert sorted(path for path, _ in root.glob("/".join(parts))) == sorted(expected)


def matches(names: tuple[str, ...], parts: list[str]) -> bool:
    if not parts:
        return not names
    if parts == ["**"]:
        return bool(names)
    if parts[0] == "**":
        return any(matches(names[k:], parts[1:]) for k in range(len(names)))
    return bool(names) and fnmatchcase(names[0], parts[0]) and matches(names[1:], parts[1:])
