"""Indexing as zarr-python's own tests have it (its tests/test_indexing.py), by behaviour: the same calls to both.

Every selection is read, of arrays in chunks, in shards and of format 2, and assigned arrays and lists. What
gpuzarr gives on a simulated device is compared with what it gives on the host.
`tests/ported_ledger.py` says which test here stands for which there.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from peers import quiet
from ported import Call, Counting, check, outcome

import gpuzarr
import gpuzarr.testing
from gpuzarr.testing.emulator.build import find_compiler

SOURCES: dict[str, tuple[tuple[int, ...], dict[str, dict[str, Any]]]] = {
    "line": ((30,), {"chunks": {"chunks": (7,)}, "shards": {"chunks": (7,), "shards": (14,)}}),
    "plane": ((12, 5), {"chunks": {"chunks": (5, 2)}, "shards": {"chunks": (5, 1), "shards": (5, 2)}}),
    "cube": ((7, 6, 10), {"chunks": {"chunks": (4, 3, 4)}, "shards": {"chunks": (4, 3, 2), "shards": (4, 3, 4)}}),
    "point": ((), {"chunks": {"chunks": ()}}),
}
"""Arrays of consecutive integers: their shapes, and how they are stored."""

SAME = {
    "point": """
        a[...].ndim, int(a[...]), int(a[()])
        a[0]
        a[:]
        a[[0]]
        a.oindex[0]
        a.blocks[0]
    """,
    "line": """
        a[5].ndim, int(a[-1]), int(a[np.int64(5)]), int(a[np.uint8(29)])
        a[3:18]
        a[0:100]
        a[-18:-3]
        a[0:0]
        a[-1:0]
        a[:]
        a[...]
        a[()]
        a[..., :]
        a[:, ...]
        a[::3]
        a[3:27:5]
        a[20:3]
        a[100:200]
        a[np.int8(3):np.uint16(18)]
        a[30]
        a[-31]
        a[2.3]
        a["foo"]
        a[b"xxx"]
        a[None]
        a[0, 0]
        a[:, :]
        a[..., ...]
        a[True]
        a[[0, 8, 15, 29]]
        a[[3, 29, 1, 16]]
        a[[2, 2, 8, 8]]
        a[[-1, -30]]
        a[np.array([29, 15, 8, 1], "u4")]
        a[np.arange(10, dtype="i1")]
        a[np.arange(10, dtype="u1")]
        a[np.array([[2, 4], [6, 8]])]
        a[np.zeros(0, int)]
        a[[30]]
        a[[-31]]
        a[[0.5]]
        a[np.arange(30) % 2 == 0]
        a[np.zeros(30, bool)]
        a[np.ones(30, bool)]
        a[(np.arange(30) % 7 == 0).tolist()]
        a[np.zeros(5, bool)]
        a[np.zeros(50, bool)]
        a[[[True, False], [False, True]]]
        a.oindex[np.zeros(30, bool)]
        a.oindex[np.ones(30, bool)]
        a.oindex[np.arange(30) % 2 == 0]
        a.oindex[np.arange(30) == 7]
        a.oindex[np.isin(np.arange(30), [0, 1, 8, 15, 29])]
        a.oindex[(np.arange(30) == 7).tolist()]
        a.oindex[np.zeros(5, bool)]
        a.oindex[np.zeros(50, bool)]
        a.oindex[[[True, False], [False, True]]]
        a.oindex[[0, 8, 15, 29]]
        a.oindex[[3, 29, 1, 16]]
        a.oindex[[2, 2, 8, 8]]
        a.oindex[[0, 3, 10, -23, -12, -1]]
        a.oindex[[15]]
        a.oindex[3:18:4]
        a.oindex[...]
        a.oindex[[31]]
        a.oindex[[-31]]
        a.oindex[[[2, 4], [6, 8]]]
        a.oindex[2.3]
        a.oindex["foo"]
        a.oindex[None]
        a.vindex[[0, 3, 10, -23, -12, -1]]
        a.vindex[[3, 25, 8, 17]]
        a.vindex[[29, 15, 8, 1]]
        a.vindex[np.array([29, 15, 8, 1], "u4")]
        a.vindex[np.array([2, 9], "i1")]
        a.vindex[[2, 2, 8, 8]]
        a.vindex[np.array([[2, 4], [6, 8]])]
        a.vindex[[[2, 4], [6, 8]]]
        a.vindex[[0, 6, 7, 13, 14, 28, 29]]
        a.vindex[[0, 1, 2, 8, 9, 10, 21, 22, 23]]
        a.vindex[list(range(30))]
        a.vindex[[0, 0, 7, 7, 7, 29]]
        a.vindex[5:15]
        a.vindex[:]
        a.vindex[...]
        a.vindex[2.3]
        a.vindex["foo"]
        a.vindex[b"xxx"]
        a.vindex[None]
        a.vindex[0, 0]
        a.vindex[:, :]
        a.vindex[[31]]
        a.vindex[[-31]]
        a.vindex[[0.5]]
        a.vindex[np.arange(30) % 2 == 0]
        a.vindex[np.zeros(30, bool)]
        a.vindex[np.ones(30, bool)]
        a.vindex[(np.arange(30) % 7 == 0).tolist()]
        a.vindex[np.zeros(5, bool)]
        a.vindex[np.zeros(50, bool)]
        a.vindex[[[True, False], [False, True]]]
        a.blocks[0]
        a.blocks[1]
        a.blocks[-1]
        a.blocks[-2]
        a.blocks[:3]
        a.blocks[1:2]
        a.blocks[-2:-1]
        a.blocks[:]
        a.blocks[...]
        a.blocks[2:100]
        a.blocks[2:1]
        a.blocks[0:3:2]
        a.blocks[::-1]
        a.blocks[2.3]
        a.blocks[b"xxx"]
        a.blocks[None]
        a.blocks[0, 0]
        a.blocks[:, :]
        a.blocks[[0, 2]]
        a.blocks[5]
        a.blocks[-6]
    """,
    "plane": """
        a[5]
        a[-1]
        a[5, :]
        a[:, 3]
        a[:, -1]
        a[:]
        a[2:9]
        a[2:9, 1:4]
        a[0:12:3, 0:5:2]
        a[...]
        a[()]
        a[1, ...]
        a[..., 1]
        a[..., 1:3]
        a[:, ..., 1]
        a[np.int64(3), np.uint8(2)]
        a[1:3, 3]
        a[0:0, 3]
        a[2.3]
        a["foo"]
        a[None]
        a[2.3, :]
        a[:, :, :]
        a[12]
        a[0, 5]
        a[0, -6]
        a[[0, 1]]
        a[[1, 3]]
        a[np.arange(12)]
        a[[0, 1], :]
        a[[0, 1], 1:]
        a[0:2, [0, 2]]
        a[[1, 0, 1], 1:]
        a[::4, [4, 0]]
        a[np.zeros(0, int), :]
        a[[0, 1], [0, 1]]
        a[[1, 2, 3, 4], [0, 1, 2, 3]]
        a[[10, 11, 5], [4, 0, 2]]
        a[[1, 2, 3], 4]
        a[1, [1, 2, 3]]
        a[[1, 2], [0]]
        a[np.array([[0, 1], [2, 3]]), np.array([[4, 3], [2, 1]])]
        a[np.array([[0], [1]]), np.array([1, 2])]
        a[[12], [0]]
        a[np.tile([True, False, True, False, True], (12, 1))]
        a[np.zeros((12, 5), bool)]
        a[np.ones((12, 5), bool)]
        a[np.zeros((12, 3), bool)]
        a[np.zeros((20, 5), bool)]
        a[np.arange(12) > 7, :]
        a[np.arange(12) > 7, 1:3]
        a[1:3, np.arange(5) > 2]
        a[np.tile([True, False], 6), np.array([True, False, True, False, True])]
        a[np.zeros(12, bool), np.array([True, False, True, False, True])]
        a[np.ones(12, bool), np.ones(5, bool)]
        a[np.ones(12, bool), [True, False, True, False, True]]
        a[np.arange(12) == 3, [0, 1, 2]]
        a[np.ones(11, bool), np.ones(5, bool)]
        a.oindex[[0, 5, 11], [0, 2, 4]]
        a.oindex[np.isin(np.arange(12), [0, 5, 11]), [True, False, True, False, True]]
        a.oindex[np.isin(np.arange(12), [0, 5, 11]), 1:4]
        a.oindex[np.isin(np.arange(12), [0, 5, 11]), 0:5:2]
        a.oindex[2:9, [True, False, True, False, True]]
        a.oindex[0:12:4, [True, False, True, False, True]]
        a.oindex[np.isin(np.arange(12), [0, 5, 11]), 3]
        a.oindex[7, [True, False, True, False, True]]
        a.oindex[[0, 5, 11], [True, False, True, False, True]]
        a.oindex[np.isin(np.arange(12), [0, 5, 11]), [0, 2, 4]]
        a.oindex[[11, 0, 5], [4, 4, 0]]
        a.oindex[np.zeros(0, int), :]
        a.oindex[7]
        a.oindex[:, 3]
        a.oindex[:, :]
        a.oindex[2:9]
        a.oindex[..., [1, 2]]
        a.oindex[[1, 2]]
        a.oindex[2.3]
        a.oindex["foo"]
        a.oindex[None]
        a.oindex[0, 0, 0]
        a.oindex[[12], :]
        a.vindex[[0, 5, 11, 2, 8], [1, 3, 4, 0, 2]]
        a.vindex[[0, 5, 11], 4]
        a.vindex[7, [0, 2, 4]]
        a.vindex[[3, 3, 4, 2, 5], [1, 3, 4, 0, 2]]
        a.vindex[[1, 1, 2, 2, 5], [1, 3, 2, 1, 0]]
        a.vindex[np.array([[1, 1, 2], [2, 2, 5]]), np.array([[1, 3, 2], [1, 0, 0]])]
        a.vindex[np.array([[1], [2]]), np.array([0, 4])]
        a.vindex[np.zeros(0, int), np.zeros(0, int)]
        a.vindex[5:15, [1, 2, 3]]
        a.vindex[[1, 2, 3], 5:15]
        a.vindex[..., [1, 2, 3]]
        a.vindex[...]
        a.vindex[[1, 2, 3]]
        a.vindex[[12], [0]]
        a.vindex[[0], [5]]
        a.vindex[np.zeros((12, 5), bool)]
        a.vindex[np.ones((12, 5), bool)]
        a.vindex[np.add.outer(np.arange(12), np.arange(5)) % 2 == 1]
        a.vindex[np.zeros((12, 3), bool)]
        a.vindex[np.zeros((20, 5), bool)]
        a.vindex[[True, False]]
        a.blocks[0, 0]
        a.blocks[1, 1]
        a.blocks[-1, -1]
        a.blocks[0:2, 0]
        a.blocks[2, 1:3]
        a.blocks[0:2, 0:2]
        a.blocks[:, :]
        a.blocks[1]
        a.blocks[..., 1]
        a.blocks[5:15, [1, 2, 3]]
        a.blocks[..., [1, 2, 3]]
        a.blocks[0, 3]
    """,
    "cube": """
        a[0:2, 1, 1]
        a[0:2, 1, 0:2]
        a[1, ..., 2]
        a[..., ::3]
        a[[0, 1]]
        a[0:2, [1, 2], 0:2]
        a[0:2, 1, [0, 3]]
        a[0, :, [1, 2]]
        a[0, 0, [0, 1, 2]]
        a[1, [0, 1]]
        a[[1, 2, 3], [1, 2, 3]]
        a[[0, 1], [1, 2], [2, 3]]
        a[[0, 1], [1, 2], 3]
        a[[0, 1], :, [1, 2]]
        a[np.ones((7, 6), bool)]
        a.oindex[np.isin(np.arange(7), [0, 3, 6]), np.isin(np.arange(6), [0, 2, 5]), np.arange(10) == 4]
        a.oindex[[0, 3, 6], [0, 2, 5], [0, 4, 9]]
        a.oindex[[0, 3, 6], 1:5, 2:9]
        a.oindex[1:6, [0, 2, 5], 2:9]
        a.oindex[1:6, 1:5, [0, 4, 9]]
        a.oindex[[0, 3, 6], 0:6:2, 0:10:3]
        a.oindex[0:7:2, [0, 2, 5], 0:10:3]
        a.oindex[0:7:2, 0:6:2, [0, 4, 9]]
        a.oindex[[0, 3, 6], 3, 8]
        a.oindex[5, [0, 2, 5], 8]
        a.oindex[5, 3, [0, 4, 9]]
        a.oindex[[0, 3, 6], 1:5, 8]
        a.oindex[5, [0, 2, 5], 2:9]
        a.oindex[1:6, 3, [0, 4, 9]]
        a.oindex[[0, 3, 6], [0, 2, 5], 2:9]
        a.oindex[1:6, [0, 2, 5], [0, 4, 9]]
        a.oindex[[0, 3, 6], 1:5, [0, 4, 9]]
        a.oindex[[0, 3, 6], [0, 2, 5], 8]
        a.oindex[5, [0, 2, 5], [0, 4, 9]]
        a.oindex[[0, 3, 6], 3, [0, 4, 9]]
        a.vindex[[0, 3, 6], [0, 2, 5], [0, 4, 9]]
        a.vindex[[0, 3, 6], 3, 8]
        a.vindex[[0, 3, 6], [0, 2, 5]]
        a.vindex[np.arange(420).reshape(7, 6, 10) % 5 == 0]
        a.blocks[1, 2, 0]
        a.blocks[-1, :, 1:3]
    """,
}
"""What both read alike, a selection a line."""

SCALAR = "`a[0, 0]`, `a.oindex[0, 0]`"
BACKWARDS = "`a[::-1]`, `a[8:2:-2]`"
EMPTY = "`a[[]]`, `a.oindex[[], :]`, `a[np.array(3)]`, `a[[[0], [1]], [1, 2]]`"
DOTS = "`a[..., [1, 2]]`, `a[[1, 2], ...]`"
ONE = "`a.vindex[0, 0]`, `a[np.array(3), 1]`"
ROWS = "`a[mask]`, the mask of the first axis"
NO_SELECTION = "`a[2.0:5]`, `a[::0]`, `a[[0, 1], [0, 1, 2]]`"
PAST = "`a.blocks[15:20]`, past the last"

OTHERWISE = {
    "point": [Call("a[...]", "`a[0, 0, ...]`; `a[...]` without dimensions", "n[...]")],
    "line": [
        Call("a[5]", SCALAR, "n[5]"),
        Call("a.oindex[15]", SCALAR, "n[15]"),
        Call("a[::-1]", BACKWARDS, "n[::-1]"),
        Call("a[18:3:-4]", BACKWARDS, "n[18:3:-4]"),
        Call("a.oindex[::-1]", BACKWARDS, "n[::-1]"),
        Call("a[2.0:5]", NO_SELECTION, "error('IndexError')"),
        Call("a[::0]", NO_SELECTION, "error('IndexError')"),
        Call("a[[]]", EMPTY, "n[0:0]"),
        Call("a[np.array(3)]", ONE, "n[3]"),
        Call("a.vindex[-1]", ONE, "n[-1]"),
    ],
    "plane": [
        Call("a[11, -5]", SCALAR, "n[11, 0]"),
        Call("a.oindex[0, 0]", SCALAR, "n[0, 0]"),
        Call("a[1, 3, ...]", "`a[0, 0, ...]`; `a[...]` without dimensions", "n[1, 3, ...]"),
        Call("a[:, ::-1]", BACKWARDS, "n[:, ::-1]"),
        Call("a.oindex[::-1, [0, 3]]", BACKWARDS, "n[::-1, [0, 3]]"),
        Call("a[[0, 1], [0, 1, 2]]", NO_SELECTION, "error('IndexError')"),
        Call("a.vindex[[1, 2], [1, 2, 3]]", NO_SELECTION, "error('IndexError')"),
        Call("a[..., [1, 2]]", DOTS, "n[..., [1, 2]]"),
        Call("a[[1, 2], ...]", DOTS, "n[[1, 2]]"),
        Call("a.oindex[[1, 2], ...]", DOTS, "n[[1, 2]]"),
        Call("a[np.arange(12) > 7]", ROWS, "n[8:]"),
        Call("a[lib.array(np.arange(12) > 7, chunks=2)]", ROWS, "n[8:]"),
        Call("a[[]]", EMPTY, "n[0:0]"),
        Call("a[[], []]", EMPTY, "n[0:0, 0]"),
        Call("a.oindex[[], :]", EMPTY, "n[0:0]"),
        Call("a.vindex[[], []]", EMPTY, "n[0:0, 0]"),
        Call("a[np.array(3)]", EMPTY, "n[3]"),
        Call("a[[[0], [1]], [1, 2]]", EMPTY, "n[:2, 1:3]"),
        Call("a[np.array(3), 1]", ONE, "n[3, 1]"),
        Call("a.vindex[5, 4]", ONE, "n[5, 4]"),
        Call("a.oindex[np.ones((12, 5), bool)]", "`a.oindex[mask]`, the mask of the array's shape", "n.ravel()"),
        Call("a.blocks[15:20, :]", PAST, "n[0:0]"),
    ],
    "cube": [
        Call("a[5, 3, 8]", SCALAR, "n[5, 3, 8]"),
        Call("a.oindex[-1, -1, -1]", SCALAR, "n[-1, -1, -1]"),
        Call("a[..., [1, 2, 3]]", DOTS, "n[..., 1:4]"),
        Call("a[np.arange(7) > 3]", ROWS, "n[4:]"),
    ],
}
"""What gpuzarr reads otherwise on purpose."""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


CALLS = [(name, call) for name in SOURCES for call in (*map(Call, lines(SAME[name])), *OTHERWISE[name])]
each = pytest.mark.parametrize(("source", "call"), CALLS, ids=[f"{name}-{call}" for name, call in CALLS])


def numbers(source: str) -> Any:
    shape = SOURCES[source][0]
    return np.arange(int(np.prod(shape))).reshape(shape)


@functools.cache
def arrays(source: str, layout: str) -> tuple[dict[str, Any], ...]:
    """An array of zeros for gpuzarr, and one for zarr-python, with the mappings that keep them."""
    zarr = pytest.importorskip("zarr")
    old = {"chunks": SOURCES[source][1]["chunks"]["chunks"], "zarr_format": 2}
    how = SOURCES[source][1].get(layout, old)
    made: list[dict[str, Any]] = []
    for library in (gpuzarr, zarr):
        kept: dict[str, Any] = {}
        with quiet():
            array = library.create_array(kept, shape=SOURCES[source][0], dtype="i8", **how)
        made.append({"a": array, "kept": kept})
    return tuple(made)


@functools.cache
def filled(source: str, layout: str) -> tuple[dict[str, Any], ...]:
    """The same with the numbers in them: not to be changed."""
    made = arrays.__wrapped__(source, layout)
    for names in made:
        names["a"][...] = numbers(source)
    return made


def empty(names: dict[str, Any]) -> None:
    """Forget what was written."""
    for key in [key for key in names["kept"] if not key.endswith(("zarr.json", ".zarray", ".zattrs"))]:
        del names["kept"][key]


def layouts(source: str) -> list[str]:
    return [*SOURCES[source][1], "format 2"]


@each
def test_reading(source: str, call: Call) -> None:
    for layout in layouts(source):
        check(call, *filled(source, layout), n=numbers(source))


ASSIGNED = [
    (name, call) for name, call in CALLS if "int(" not in call.text and call.differs in ("", SCALAR, ONE, NO_SELECTION)
]
LESS = "`a[0:2] = ones((3, 12))`, `a[0:0] = []`"


@pytest.mark.parametrize("layout", ["chunks", "shards"])
@pytest.mark.parametrize(("source", "call"), ASSIGNED, ids=[f"{name}-{call}" for name, call in ASSIGNED])
def test_assigning(source: str, call: Call, layout: str) -> None:
    """What can be read is assigned an array, or lists; the rest is refused as by reading it."""
    ours, theirs = arrays(source, layout)
    found: list[Any] = []
    outcome(f"found.append({call.text})", {**filled(source, layout)[0], "found": found})
    value = np.asarray(found[0] if found else 42) + 1
    empty(ours)
    empty(theirs)
    how = Call(
        f"{call.text} = value\na[...]",
        call.differs if call.differs == NO_SELECTION else "",
        "error('IndexError')",
        since="3.4" if layout == "shards" else "3.1",
    )
    check(how, ours, theirs, value=value.tolist() if layout == "chunks" and value.size else value)


ON_DEVICE = [(name, call) for name, call in CALLS if "int(" not in call.text]


@pytest.mark.parametrize(("source", "call"), ON_DEVICE, ids=[f"{name}-{call}" for name, call in ON_DEVICE])
def test_reading_on_a_device(source: str, call: Call) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler: kernels are not run here")
    array = filled(source, "chunks")[0]["a"]
    on_device = {"a": array.configure(meta_array="simulated"), "lib": gpuzarr, "to_host": gpuzarr.testing.to_host}
    found = outcome(f"to_host({call.text})", on_device)
    assert found == outcome(f"np.asarray({call.text})", {"a": array, "lib": gpuzarr})


# ---- values --------------------------------------------------------------------------------------------------

BROADCAST = "`a[0:2] = ones((2, 1))`, `a[1, 3] = [5]`"
VALUES = [
    Call("a[[1, 2], [1, 2]] = [[-1, -2], [-3, -4]]\na[...]"),
    Call("a[0:12:2] = 1.75\na[...]"),
    Call("a[...] = 'x'\na[...]"),
    Call("a[...] = 300\na[...]"),
    Call("a[1, 3] = [5, 6]\na[...]"),
    Call("a[n > 50] = 9\na[...]"),
    Call("a[n > 50] = np.arange(9)\na[...]"),
    Call("a[3:7, 1:3] = 42\na[...]"),
    Call("a.oindex[[0, 7], [1, 4]] = 42\na[...]"),
    Call("a.vindex[[0, 7], [1, 4]] = 42\na[...]"),
    Call("a.blocks[1] = 42\na[...]"),
    Call("a[1:3] = a[0:2]\na[...]"),
    Call("a[1] = lib.array(np.arange(5))\na[...]", since="3.4"),
    Call("a[:] = a\na[...]", since="3.4"),
    Call("a[2:7] = lib.array(n)[0:5]\na[...]"),
    Call("a[[0, 1, 1, 1, 1], 1:3] = 1\na[...]"),
    Call("a[lib.array([1, 3], chunks=2)]"),
    Call("a.oindex[lib.array([1, 3]), :]"),
    Call("a.vindex[lib.array([1, 3]), lib.array([0, 1])]", since="3.4"),
    Call("a[lib.array(n > 20, chunks=(2, 2))]"),
    Call("a.vindex[lib.array(n > 20)]"),
    Call("bool(a)"),
    Call("list(a)"),
    Call("float(a)"),
    Call("np.sum(a)"),
    Call("np.asarray(a)"),
    Call("np.asarray(a, 'f4')"),
    Call("a.vindex[[1, 1], [0, 0]] = [3, 4]\na[1]"),
    Call("a.oindex[[1, 1], 0] = [3, 4]\na[1]"),
    Call("a[0:2] = np.ones((2, 1))\na[0:2]", BROADCAST, "np.ones((2, 5), int)"),
    Call("a[0:2] = np.ones((1, 2, 5))\na[0:2]", BROADCAST, "np.ones((2, 5), int)"),
    Call("a[:, [1, 2]] = [[7, 8]]\na[3]", BROADCAST, "np.array([15, 7, 8, 18, 19])"),
    Call("a[1, 3] = [5]\na[1]", BROADCAST, "np.array([5, 6, 7, 5, 9])"),
    Call("a[0:2] = np.ones((3, 5))\na[...]", LESS, "error('ValueError')"),
    Call("a[0:2] = np.ones(3)\na[...]", LESS, "error('ValueError')"),
    Call("a.blocks[0, 0] = np.ones((5, 3))\na[...]", LESS, "error('ValueError')"),
    Call("a.blocks[0, 0] = [1, 2, 3]\na[...]", LESS, "error('ValueError')"),
    Call("a[n > 50] = [1, 2]\na[...]", LESS, "error('ValueError')"),
    Call("a[0:0] = []\na[...]", LESS, "error('ValueError')"),
    Call("len(a)", "`len(a)`", "12"),
]


@pytest.mark.parametrize("call", VALUES, ids=str)
def test_values(call: Call) -> None:
    for names in (both := arrays("plane", "chunks")):
        names["a"][...] = numbers("plane")
    check(call, *both, n=numbers("plane"))


def test_fields_are_those_that_zarr_pythons_tests_would_have() -> None:
    """There these tests are expected to fail, as fields are not supported: NumPy says what is wanted."""
    model = np.array([(b"aaa", 1, 4.2), (b"bbb", 2, 8.4), (b"ccc", 3, 12.6)], [("x", "S3"), ("y", "i4"), ("z", "f8")])
    for zarr_format in (2, 3):
        array = gpuzarr.create_array({}, data=model, chunks=(2,), zarr_format=zarr_format)
        assert array["x"].tolist() == model["x"].tolist()
        assert array["x", "y"].tolist() == model[["x", "y"]].tolist() == array[..., "x", "y"].tolist()
        assert array[["z", "y", "x"]].tolist() == model[["z", "y", "x"]].tolist()
        assert array[0:2, "x"].tolist() == array["x", 0:2].tolist() == model["x"][0:2].tolist()
        assert (array[1, "x"], array["z", 1]) == (b"bbb", 8.4)
        for rule in (array.oindex, array.vindex):
            for which in ([0, 2], [True, False, True]):
                assert rule[which, "x", "z"].tolist() == model[["x", "z"]][which].tolist()
        for wrong in ("none", ["x", "none"]):
            with pytest.raises(IndexError):
                array[wrong]


# ---- what is touched -----------------------------------------------------------------------------------------

TOUCHED: list[tuple[tuple[int, ...], tuple[int, ...], Any]] = [
    ((1070,), (50,), np.s_[200:400]),
    ((1070,), (50,), np.s_[200:400:100]),
    ((1070,), (50,), np.s_[1069:]),
    ((40, 50), (5, 8), np.s_[6:37:13, 4:10]),
    ((40, 50), (5, 8), np.s_[:, :]),
    ((40, 50), (5, 8), np.s_[7:8, 49:50]),
]


@pytest.mark.parametrize(("shape", "chunks", "wanted"), TOUCHED, ids=str)
def test_only_the_chunks_that_a_selection_meets_are_touched_and_each_once(
    shape: tuple[int, ...], chunks: tuple[int, ...], wanted: Any
) -> None:
    kept = Counting()
    array = gpuzarr.create_array(kept, data=np.ones(shape), chunks=chunks, chunk_key_encoding={"name": "v2"})
    index = wanted if isinstance(wanted, tuple) else (wanted,)
    axes = [np.unique(np.arange(n)[i] // c) for n, c, i in zip(shape, chunks, index, strict=True)]
    keys = sorted(".".join(map(str, at)) for at in np.stack(np.meshgrid(*axes), -1).reshape(-1, len(axes)))
    for use in (lambda: array[wanted], lambda: array.__setitem__(wanted, 7)):
        kept.forget()
        use()
        assert len(kept.read) == len({*kept.read})
        assert {*kept.read} <= {*keys}
        if kept.written:
            assert sorted(kept.written) == keys
        else:
            assert sorted(kept.read) == keys


@pytest.mark.parametrize("shape", [(0, 2, 3), (0,), (3, 0)])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_without_elements(where: Any, shape: tuple[int, ...], zarr_format: int) -> None:
    chunks = tuple(max(1, n) for n in shape)
    array = gpuzarr.create_array(where, shape=shape, chunks=chunks, dtype="f8", zarr_format=zarr_format)
    array[...] = 42
    assert gpuzarr.open_array(where)[...].shape == shape
    assert array.nchunks_initialized == 0
