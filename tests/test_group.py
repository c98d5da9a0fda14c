"""Groups: members made, found, listed and removed by path; options inherited; metadata consolidated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import assert_same

import gpuzarr
from gpuzarr.errors import GpuzarrError, MetadataError, NodeExistsError, NodeNotFoundError, StoreError

formats = pytest.mark.parametrize("zarr_format", [2, 3])


def hierarchy(where: Any, zarr_format: int = 3, **options: Any) -> gpuzarr.Group:
    """A group with the members a (array), b (group), b/c (array), b/d (group)."""
    root = gpuzarr.open_group(where, mode="w", zarr_format=zarr_format, attributes={"top": 1}, **options)
    root.create_array("a", data=np.arange(6).reshape(2, 3), chunks=(1, 2))
    root.create_array("b/c", shape=(4,), dtype="f4", attributes={"unit": "m"})
    root.create_group("b/d", attributes={"x": [1]})
    return root


class Counting(dict[str, bytes]):
    """A mapping that tells which keys were read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.read: list[str] = []

    def __getitem__(self, key: str) -> bytes:
        self.read.append(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.append(key)
        return super().get(key, default)


# ---- members -------------------------------------------------------------------------------------------------


@formats
def test_members_are_found_by_path(where: Any, zarr_format: int) -> None:
    root = hierarchy(where, zarr_format)
    assert root["a"].shape == (2, 3)
    assert root["b/c"] == root["b"]["c"] == root["/b//c/"]
    assert isinstance(root["b"]["d"], gpuzarr.Group)
    assert (root["b/c"].path, root["b/c"].name, root["b/c"].basename) == ("b/c", "/b/c", "c")
    assert (root.path, root.name, root.basename, root["b"].name) == ("", "/", "", "/b")
    assert all(node.zarr_format == zarr_format for _, node in root.members(None))
    assert root.get("a") == root["a"]
    assert root.get("zzz") is None
    assert root.get("zzz", 7) == 7


@formats
def test_members_are_listed_by_name(where: Any, zarr_format: int) -> None:
    root = hierarchy(where, zarr_format)
    assert [name for name, _ in root.members()] == list(root) == list(root.keys()) == ["a", "b"]
    assert [name for name, _ in root.members(max_depth=1)] == ["a", "b", "b/c", "b/d"]
    assert [name for name, _ in root.members(max_depth=None)] == ["a", "b", "b/c", "b/d"]
    assert list(root.array_keys()) == [name for name, _ in root.arrays()] == ["a"]
    assert list(root.group_keys()) == [name for name, _ in root.groups()] == ["b"]
    assert (len(root), root.nmembers(), root.nmembers(None)) == (2, 2, 4)
    assert [node for _, node in root.members(None)] == [root["a"], root["b"], root["b/c"], root["b/d"]]


def test_membership_asks_for_nodes() -> None:
    root = hierarchy({})
    assert "a" in root
    assert "b/c" in root
    for path in ("c", "a/c", "a/c/0/0", "b/c/d", 3, None):
        assert path not in root


@pytest.mark.parametrize("path", ["zzz", "b/zzz", "a/zzz", "a/c/0"])
def test_what_is_not_there_is_a_lookup_error_with_its_path(path: str) -> None:
    with pytest.raises(LookupError) as caught:
        hierarchy({})[path]
    assert isinstance(caught.value, NodeNotFoundError)
    assert caught.value.path == path


@pytest.mark.parametrize("path", ["..", "b/../a", ".", "__x", "b/zarr.json", ".zattrs"])
def test_names_that_zarr_reserves_are_refused(path: str) -> None:
    root = hierarchy({})
    for action in (root.__getitem__, root.get, root.create_group, root.require_group):
        with pytest.raises(MetadataError):
            action(path)


def test_files_that_are_no_nodes_are_no_members(tmp_path: Path) -> None:
    root = hierarchy(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    (tmp_path / "__hidden").mkdir()
    (tmp_path / "__hidden" / "zarr.json").write_bytes((tmp_path / "a" / "zarr.json").read_bytes())
    assert list(root) == ["a", "b"]


def test_a_member_of_the_other_format_is_no_member(where: Any) -> None:
    root = hierarchy(where)
    gpuzarr.create_array(where, name="old", shape=(2,), dtype="i4", zarr_format=2)
    assert list(root) == ["a", "b"]
    assert "old" not in root
    assert gpuzarr.open_array(where, path="old").zarr_format == 2


# ---- making and removing -------------------------------------------------------------------------------------


@formats
def test_groups_above_a_member_are_made(where: Any, zarr_format: int) -> None:
    root = gpuzarr.create_group(where, zarr_format=zarr_format)
    root.create_array("x/y/z", shape=(2,), dtype="i4")
    assert [name for name, _ in root.members(None)] == ["x", "x/y", "x/y/z"]
    assert gpuzarr.open_group(where, path="x/y", mode="r")["z"].zarr_format == zarr_format


def test_what_is_there_is_replaced_only_on_demand() -> None:
    root = hierarchy({})
    for make in (root.create_group, lambda name, **how: root.create_array(name, shape=(2,), dtype="i4", **how)):
        for name in ("a", "b"):
            with pytest.raises(NodeExistsError, match=f"overwrite.*{name}"):
                make(name)
    assert "b/c" in root
    root.create_group("b", overwrite=True)
    assert list(root["b"]) == []
    root.create_array("b", data=np.ones(3), overwrite=True)
    assert root["b"][...].tolist() == [1, 1, 1]


def test_an_array_has_no_members() -> None:
    root = hierarchy({})
    for path in ("a/x", "a/x/y"):
        with pytest.raises(NodeExistsError, match="arrays have no members"):
            root.create_group(path)
        with pytest.raises(NodeExistsError, match="arrays have no members"):
            root.create_array(path, shape=(2,), dtype="i4", overwrite=True)
    assert_same(root["a"][...], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("name", ["", "/", "//"])
def test_a_member_has_a_name(name: str) -> None:
    root = hierarchy({})
    attempts: list[Any] = [
        lambda group: group.create_array(name, shape=(2,), dtype="i4", overwrite=True),
        lambda group: group.create_group(name, overwrite=True),
        lambda group: group.__setitem__(name, [1]),
        lambda group: group.__delitem__(name),
    ]
    for group in (root, root["b"]):
        for attempt in attempts:
            with pytest.raises(MetadataError, match="a member has a name"):
                attempt(group)
    assert [n for n, _ in root.members(None)] == ["a", "b", "b/c", "b/d"]


@formats
def test_members_are_removed_with_all_below_them(where: Any, zarr_format: int) -> None:
    root = hierarchy(where, zarr_format)
    root.create_array("bc", shape=(2,), dtype="i4")
    del root["b"]
    assert list(root) == ["a", "bc"]
    assert not any(key.startswith("b/") for key in root.store.list())
    with pytest.raises(NodeNotFoundError):
        del root["b"]


def test_assigning_stores_values_in_place_of_what_is_there() -> None:
    root = hierarchy({})
    root["a"] = [1.5, 2]
    root["n/m"] = np.ones((2, 2), "u1")
    assert_same(root["a"][...], np.array([1.5, 2]))
    assert_same(root["n/m"][...], np.ones((2, 2), "u1"))


def test_requiring_finds_or_makes() -> None:
    root = hierarchy({})
    assert root.require_group("b") == root["b"]
    assert root.require_group("e/f").path == "e/f"
    assert root.require_array("a", shape=(2, 3), dtype="i8") == root["a"]
    assert root.require_array("a", shape=[2, 3]) == root["a"]
    assert root.require_array("g", shape=4, dtype="bfloat16" if has_ml_dtypes() else "f4").shape == (4,)
    assert root.require_array("g", shape=4, dtype="bfloat16" if has_ml_dtypes() else "f4") == root["g"]


def has_ml_dtypes() -> bool:
    import importlib.util

    return importlib.util.find_spec("ml_dtypes") is not None


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a", {"shape": (2, 4), "dtype": "i8"}),
        ("a", {"shape": (2, 3), "dtype": "i4"}),
        ("b", {"shape": (2, 3), "dtype": "i8"}),
    ],
)
def test_requiring_something_else_than_is_there_is_an_error(name: str, how: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        hierarchy({}).require_array(name, **how)


def test_requiring_a_group_where_an_array_is_is_an_error() -> None:
    with pytest.raises(NodeExistsError):
        hierarchy({}).require_group("a")


def test_a_group_for_reading_only_is_not_changed(tmp_path: Path) -> None:
    hierarchy(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    root = gpuzarr.open_group(tmp_path, mode="r")
    attempts: list[Any] = [
        lambda: root.create_array("x", shape=(2,), dtype="i4"),
        lambda: root.create_array("a", shape=(2,), dtype="i4", overwrite=True),
        lambda: root.create_group("x"),
        lambda: root.require_group("x/y"),
        lambda: root.__setitem__("x", [1]),
        lambda: root.__delitem__("a"),
        lambda: root.attrs.__setitem__("x", 1),
        lambda: root["a"].__setitem__(..., 1),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match="reading only"):
            attempt()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert root.read_only
    assert root["b"].read_only


# ---- attributes ----------------------------------------------------------------------------------------------


@formats
def test_attributes_of_groups_are_written_at_once(where: Any, zarr_format: int) -> None:
    root = hierarchy(where, zarr_format)
    root.attrs["new"] = {"a": None}
    root["b/d"].attrs.update(x=2)
    again = gpuzarr.open_group(where, mode="r")
    assert dict(again.attrs) == {"top": 1, "new": {"a": None}}
    assert dict(again["b/d"].attrs) == {"x": 2}
    del root.attrs["new"], root.attrs["top"]
    assert dict(gpuzarr.open_group(where, mode="r").attrs) == {}
    assert root.update_attributes({"y": 1}) is root


# ---- options -------------------------------------------------------------------------------------------------


def test_options_of_a_group_hold_for_all_that_is_opened_from_it() -> None:
    store = hierarchy({}).store
    executor = gpuzarr.Executor(threads=1)
    opened = gpuzarr.open_group(store, order="F", write_empty_chunks=True, executor=executor)
    configured = gpuzarr.open_group(store).configure(order="F", write_empty_chunks=True, executor=executor)
    for root in (opened, configured):
        for array in (root["a"], dict(root.arrays())["a"], dict(root.members())["a"]):
            assert array.order == "F"
        array = root["b"].create_array("n", shape=(2,), dtype="u1", overwrite=True)
        array[...] = 0
        assert array.nchunks_initialized == 1
        assert root["b/c"].order == root["b"]["c"].order == "F"
    assert gpuzarr.open_group(store)["a"].order == "C"


def test_results_of_a_groups_arrays_are_where_its_meta_array_says() -> None:
    torch = pytest.importorskip("torch")
    root = hierarchy({}, meta_array=torch.empty(()))
    assert isinstance(root["a"][...], torch.Tensor)
    assert root["b"]["c"].meta_array is root["a"].meta_array


# ---- consolidated metadata -----------------------------------------------------------------------------------


@formats
def test_a_consolidated_group_knows_its_members_without_reading_them(zarr_format: int) -> None:
    kept = Counting()
    plain = hierarchy(kept, zarr_format)
    gpuzarr.consolidate_metadata(kept)
    root = gpuzarr.open_group(kept, mode="r")
    kept.read.clear()
    assert [name for name, _ in root.members(None)] == ["a", "b", "b/c", "b/d"]
    assert dict(root["b/c"].attrs) == {"unit": "m"}
    assert dict(root["b"]["d"].attrs) == {"x": [1]}
    assert list(root["b"]) == list(root["b"].keys()) == ["c", "d"]
    assert "b/zzz" not in root
    assert kept.read == []
    assert [node.metadata for _, node in root.arrays()] == [node.metadata for _, node in plain.arrays()]
    assert_same(root["a"][...], np.arange(6).reshape(2, 3))


@formats
def test_consolidated_metadata_may_be_ignored_or_insisted_on(zarr_format: int) -> None:
    kept: dict[str, bytes] = {}
    hierarchy(kept, zarr_format)
    with pytest.raises(MetadataError, match="no consolidated metadata"):
        gpuzarr.open_group(kept, use_consolidated=True)
    gpuzarr.consolidate_metadata(kept)
    gpuzarr.create_array(kept, name="late", shape=(2,), dtype="i4", zarr_format=zarr_format)
    assert list(gpuzarr.open_group(kept, use_consolidated=True)) == ["a", "b"]
    assert list(gpuzarr.open_group(kept, use_consolidated=False)) == ["a", "b", "late"]
    assert list(gpuzarr.open(kept, use_consolidated=False)) == ["a", "b", "late"]
    gpuzarr.consolidate_metadata(kept)
    assert list(gpuzarr.open_group(kept)) == ["a", "b", "late"]


@formats
def test_a_group_that_makes_a_member_sees_it(zarr_format: int) -> None:
    kept: dict[str, bytes] = {}
    hierarchy(kept, zarr_format)
    root = gpuzarr.consolidate_metadata(kept)
    root.create_array("new", shape=(2,), dtype="i4")
    assert "new" in root
    del root["b"]
    assert list(root) == ["a", "new"]


@formats
def test_attributes_of_a_consolidated_group_can_be_changed(zarr_format: int) -> None:
    kept: dict[str, bytes] = {}
    hierarchy(kept, zarr_format)
    root = gpuzarr.consolidate_metadata(kept)
    root.attrs["y"] = 1
    again = gpuzarr.open_group(kept, use_consolidated=True)
    assert dict(again.attrs) == {"top": 1, "y": 1}
    assert list(again) == ["a", "b"]


@formats
def test_a_member_of_a_consolidated_group_writes_its_own_documents_only(zarr_format: int) -> None:
    kept: dict[str, bytes] = {}
    hierarchy(kept, zarr_format)
    gpuzarr.consolidate_metadata(kept)
    before = set(kept)
    gpuzarr.open_group(kept)["b"].attrs["z"] = 1
    assert dict(gpuzarr.open_group(kept, path="b").attrs) == {"z": 1}
    assert set(kept) - before <= {"b/.zattrs"}
    assert b"consolidated" not in kept["b/zarr.json" if zarr_format == 3 else "b/.zgroup"]


def test_the_documents_are_where_the_formats_have_them() -> None:
    new: dict[str, bytes] = {}
    hierarchy(new)
    gpuzarr.consolidate_metadata(new)
    found = json.loads(new["zarr.json"])["consolidated_metadata"]
    assert (found["kind"], found["must_understand"], sorted(found["metadata"])) == (
        "inline",
        False,
        ["a", "b", "b/c", "b/d"],
    )
    assert found["metadata"]["b/c"] == json.loads(new["b/c/zarr.json"])
    old: dict[str, bytes] = {}
    hierarchy(old, 2)
    gpuzarr.consolidate_metadata(old)
    assert sorted(json.loads(old[".zmetadata"])["metadata"]) == [
        *(".zattrs", ".zgroup", "a/.zarray", "b/.zgroup", "b/c/.zarray", "b/c/.zattrs", "b/d/.zattrs", "b/d/.zgroup"),
    ]


def test_a_part_of_a_hierarchy_can_be_consolidated() -> None:
    kept: dict[str, bytes] = {}
    hierarchy(kept)
    assert sorted(gpuzarr.consolidate_metadata(kept, path="b")) == ["c", "d"]
    assert gpuzarr.open_group(kept).metadata.consolidated is None
    assert gpuzarr.open_group(kept, path="b").metadata.consolidated is not None


def test_consolidating_needs_a_group_that_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.consolidate_metadata(tmp_path)
    gpuzarr.zeros((2,), store=tmp_path / "a")
    with pytest.raises(GpuzarrError, match="array"):
        gpuzarr.consolidate_metadata(tmp_path / "a")


# ---- the rest ------------------------------------------------------------------------------------------------


def test_groups_are_equal_that_are_the_same_group(tmp_path: Path) -> None:
    root = hierarchy(tmp_path)
    assert root == gpuzarr.open_group(tmp_path) != root["b"]
    assert root != 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(root)


def test_the_repr_says_what_it_is() -> None:
    root = hierarchy("memory://group")
    assert (repr(root), repr(root["b"])) == (
        "<Group memory://group format=3>",
        "<Group memory://group/b format=3>",
    )


def test_nodes_are_equal_where_their_stores_are_one_place() -> None:
    one, other = {}, {}
    for kept in (one, other):
        gpuzarr.create_group(kept).create_array("a", shape=(2,), dtype="u1")
    first, again, elsewhere = (gpuzarr.open_group(kept, mode="r") for kept in (one, one, other))
    assert first == again
    assert first["a"] == again["a"]
    assert first != elsewhere
    assert first["a"] != elsewhere["a"]
    assert gpuzarr.create_group() != gpuzarr.create_group()
    assert gpuzarr.create_group("memory://equal") == gpuzarr.open_group("memory://equal")
