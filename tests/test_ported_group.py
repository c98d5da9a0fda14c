"""Groups as zarr-python's own tests have them (its tests/test_group.py)."""

from __future__ import annotations

from pathlib import Path

from ported import Call, Counting, calls, check_in, in_formats

import gpuzarr

SAME = """
    lib.open_group(kept, path="a", zarr_format=form, attributes={"key": "value"}); \
        lib.open_group(kept, path="a/b/c/d", zarr_format=form); \
        [sorted(k for k in kept if not k.endswith(".zattrs")), *(dict(lib.open_group(kept, \
        path=p).attrs) for p in ("a", "a/b"))]
    [(g.path, g.name, g.basename, b.path, b.name, b.basename) for x in ("", "/", "a", "/a") \
        for y in ("foo", "/foo", "foo/bar", "/foo/bar") for g in [lib.create_group({}, path=x, zarr_format=form)] \
        for b in [g.create_group(y)]]
    g = root(); foo = g.create_group("foo"); bar = foo.create_group("bar", attributes={"baz": "qux"}); \
        a = bar.create_array("baz", shape=(4, 4), dtype="u2", chunks=(2, 2)); \
        put(a, ..., np.arange(16).reshape(4, 4)); \
        [a == bar["baz"], bar["baz"][...], a.chunks, dict(foo["bar"].attrs), g["foo/bar/baz"] == a, foo == g["foo"]]
    import pickle; g = lib.create_group(str(tmp), attributes={"foo": 999}, zarr_format=form); \
        [pickle.loads(pickle.dumps(g)) == g, dict(pickle.loads(pickle.dumps(g)).attrs)]

    g = root(); g.create_group("sub/subsub/deep"); g.create_array("arr", shape=100, dtype="u1"); \
        [sorted(n for n, _ in g.members(max_depth=d)) for d in (0, 1, 2, None)]
    list(root().members(max_depth=-1))
    root().nmembers(max_depth=-1)
    g = root(); g.create_group("a/b/c"); [len(g), g.nmembers(), *(g.nmembers(max_depth=d) for d in (0, 1, 2, None))]
    g = root(); [g.create_group(n) for n in ("g0", "g1", "g0/sub")]; \
        [g.create_array(n, shape=1, dtype="u1") for n in ("a0", "a1", "g0/deep")]; \
        [sorted(g), sorted(g.keys()), sorted(g.array_keys()), sorted(g.group_keys()), sorted(n for n, \
        _ in g.arrays()), \
        sorted(n for n, _ in g.groups()), sorted(v.path for _, v in g.members(None))]
    g = root(); a = g.create_group("a"); a.create_array("x", shape=1, dtype="u1"); \
        a.create_array("b/x", shape=1, dtype="u1"); \
        [g["a"]["b"].name, sorted(x.name for _, x in g.members(max_depth=None))]
    list(root()), len(root(overwrite=True))
    g = root(); ["foo" in g, g.create_group("foo").name, "foo" in g, "foo/bar" in g]

    root()["nope"]
    g = root(); g.create_array("arr", shape=10, dtype="u1"); g["arr/sub"]
    root()[3]
    g = root(); [g.get("x"), g.get("x", 8), g.require_group("x").attrs.update({"foo": "bar"}), dict(g.get("x", \
        8).attrs)]
    g = root(); g.create_group("x/y"); g.create_array("z", shape=1, dtype="u1"); del g["x"], g["z"]; \
        [list(g), "x" in g, "x/y" in g, [k for k in kept if k.startswith(("x", "z"))]]
    g = root(); g.create_group("x/y"); del g["x"]; g["x"]
    g = root(); g.create_group("0/0"); g.create_array("0/0/0", shape=1, dtype="u1")[:] = 1; del g["0"]; g["0/0"]

    g = root(); g["key"] = np.ones((2, 4)); g["key"] = np.zeros((3, 5)); \
        [list(g.array_keys()), g["key"].shape, g["key"][:]]
    [root(overwrite=True).create_array(n, shape=10, dtype="u1").path for n in ("a", "/a", "a/b", "/a/b/")]
    g = root(); g.create_array("a", shape=2, dtype="u1"); \
        [g.create_array("a", shape=3, chunks=(3,), dtype="u2", overwrite=True), g["a"].dtype.str]
    g = root(); g.create_array("a", shape=2, dtype="u1"); dict(g.create_group("a", attributes={"n": 1}, \
        overwrite=True).attrs)
    g = root(); g.create_group("a/b"); [list(g.create_group("a", overwrite=True)), "a/b" in g]
    root(attributes={"foo": 100}); dict(root(overwrite=True).attrs)

    g = root(attributes={"foo": 100}); dict(g.update_attributes({"bar": 100}).attrs)
    g = root(); g.attrs["foo"] = "bar"; [g.attrs["foo"], dict(lib.open_group(kept).attrs)]
    foo = root().create_group("foo"); bar = foo.create_group("bar", attributes={"baz": "qux"}); \
        bar.attrs.update({"name": "bar"}); [dict(bar.attrs), dict(foo["bar"].attrs)]
    root(attributes={"path": "foo"}); g = lib.open_group(kept); [dict(g.attrs), g.metadata.zarr_format]

    g = root(); g.create_group("foo", attributes={"foo": 100}); \
        [dict(g.require_group("foo").attrs), g.require_group("a/b").path]
    g = root(); g.create_group("foo", attributes={"foo": 100}); dict(g.require_group("foo", overwrite=True).attrs)
    g = root(); [dict(g.require_array("foo", shape=10, dtype="i8", attributes={"foo": 101}).attrs), \
        dict(g.require_array("foo", shape=(10,), dtype="i8").attrs), g.require_array("foo", shape=10, \
        dtype="i8").shape]
    g = root(); g.require_array("foo", shape=10, dtype="i8"); g.require_array("foo", shape=10, dtype="f8").dtype.str
    g = root(); [g.create_array("a", shape=10, dtype="i4"), *(g.require_array("a", shape=10, dtype=d, \
        exact=True).dtype.str \
        for d in (np.dtype("i4"), "int32", np.int32))]

    g = root(); a = g.create_group("a"); a.create_array("x", shape=1, dtype="u1"); a.create_group("b"); \
        c = lib.consolidate_metadata(kept, zarr_format=form); \
        [c["a"]["b"].name, sorted(x.name for _, x in c.members(max_depth=None)), c.nmembers(None)]
    root().create_group("a/b/c"); c = lib.consolidate_metadata(kept); \
        [list(c), list(c["a"]), list(c["a/b"]), list(c["a/b/c"])]
    g = root(); g.create_group("x"); g.create_group("y"); c = lib.consolidate_metadata(kept); del c["x"]; \
        ["x" in c, list(c)]
    root(); lib.open_group(kept, use_consolidated=True)
    g = root(); g.create_group("g"); lib.consolidate_metadata(kept); \
        lib.create_group(kept, path="late", zarr_format=form); \
        [sorted(lib.open_group(kept, use_consolidated=u)) for u in (None, True, False)]
    root().create_array("a/x", shape=1, dtype="u1"); lib.consolidate_metadata(kept); lib.open_group(kept)["nope"]
    root().create_array("a/x", shape=1, dtype="u1"); lib.consolidate_metadata(kept); lib.open_group(kept)["a/x/y"]

    g = root().create_group("A"); [repr(g)[:7], g.info is None, g.read_only]
    [a for g in [root()] for a in (g.create_array("a", shape=(2, 3), dtype="u1"), g.create_group("b"))]; \
        str(lib.open_group(kept).tree()).strip()
    root().create_group("..")
"""
"""What both do alike, a call a line."""

IN_THE_WAY = "a node is in the way"
ELSE = "`require_array` and `require_group` find something else"
GROUP = "a group where an array is asked for"

OTHERWISE = [
    Call("root(); root()", IN_THE_WAY, "error('FileExistsError')"),
    Call(
        "g = root(); g.create_array('a', shape=2, dtype='u1'); g.create_array('a', shape=2, dtype='u1')",
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        "g = root(); g.create_array('a', shape=2, dtype='u1'); g.create_group('a')",
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call("g = root(); g.create_group('a'); g.create_group('a')", IN_THE_WAY, "error('FileExistsError')"),
    Call(
        "g = root(); g.create_array('a', shape=2, dtype='u1'); g.create_array('a/b/c', shape=2, dtype='u1')",
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        "g = root(); g.create_array('a', shape=2, dtype='u1'); g.create_group('a/b/c/d')",
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        "lib.create_array(kept, shape=3, dtype='u1', zarr_format=form); lib.open_group(kept)",
        IN_THE_WAY,
        "error('FileExistsError')",
    ),
    Call(
        "lib.create_group(kept, zarr_format=2); lib.create_group(kept, zarr_format=3)",
        "a node of either format in one place",
        "error('FileExistsError')",
    ),
    Call("lib.create_group(kept, zarr_format=3); lib.open_array(kept)", GROUP, "error('FileNotFoundError')"),
    Call(
        "g = root(); g.create_array('a', shape=2, dtype='u1'); g.require_group('a')", ELSE, "error('FileExistsError')"
    ),
    Call("g = root(); g.create_group('a'); g.require_array('a', shape=10, dtype='i1')", ELSE, "error('ValueError')"),
    Call(
        "g = root(); g.require_array('a', shape=10, dtype='i8'); g.require_array('a', shape=(9, 9), dtype='i8')",
        ELSE,
        "error('ValueError')",
    ),
    Call(
        "g = root(); g.require_array('a', shape=10, dtype='i8'); g.require_array('a', shape=10, dtype='f4')",
        ELSE,
        "error('ValueError')",
    ),
    Call(
        "g = root(); g.require_array('a', shape=10, dtype='i8'); "
        "g.require_array('a', shape=10, dtype='f8', exact=True)",
        ELSE,
        "error('ValueError')",
    ),
    Call(
        "lib.create_group(str(tmp), zarr_format=form); lib.open_group(str(tmp), mode='r').create_group('x')",
        "a store that is open for reading is written to",
        "error('OSError')",
    ),
    Call("g = root(); del g['nope']", '`del g["nope"]`', "error('KeyError')"),
    Call("g = root(); g['n'] = np.array(42); g['t'] = np.array('text', 'S4'); [g['n'][()], g['t'][()]]", since="3.4"),
    Call("type(root().members()).__name__", "`members()`, `tree()`", "'generator'"),
]
"""What gpuzarr does otherwise on purpose."""


@in_formats(calls(SAME) + OTHERWISE)
def test_groups(call: Call, zarr_format: int, tmp_path: Path) -> None:
    check_in(call, zarr_format, tmp_path)


def test_of_two_formats_in_one_place_the_newer_is_opened() -> None:
    kept: dict[str, bytes] = {}
    gpuzarr.create_group(kept, zarr_format=2, attributes={"of": 2})
    other: dict[str, bytes] = {}
    gpuzarr.create_group(other, attributes={"of": 3})
    kept |= other
    assert [gpuzarr.open_group(kept, zarr_format=f).attrs["of"] for f in (None, 2, 3)] == [3, 2, 3]


def test_members_that_others_add_to_a_groups_document_are_left_alone() -> None:
    kept = {".zgroup": b'{"zarr_format": 2, "_nczarr_superblock": {"version": "2.0.0"}}'}
    gpuzarr.open_group(kept).attrs["a"] = 1
    assert b"_nczarr_superblock" in kept[".zgroup"]


def test_listing_a_group_reads_a_document_for_each_member_and_no_chunks() -> None:
    kept = Counting()
    root = gpuzarr.create_group(kept)
    for k in range(10):
        root.create_array(f"a{k}", data=[1, 2], chunks=(1,))
    kept.forget()
    assert len(list(root.members())) == 10
    assert sorted(kept.read) == sorted(f"a{k}/zarr.json" for k in range(10))
