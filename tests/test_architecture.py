"""Imports run one way, nothing optional is imported early, and no file or function grows past its bounds.

The sources are read, not run. Imports inside functions count as arrows too; those for type checkers do not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gpuzarr"

LEVELS = [
    {"errors", "lazy", "repairs"},
    {"ranges", "batch", "edges"},
    {"grid", "dtypes"},
    {"metadata", "selection", "shard"},
    {"plan"},
    {"forks"},
    {"native"},
    {"cuda"},
    {"memory", "store", "codecs"},
    {"testing"},
    {"execute"},
    {"binding", "chunking", "options", "node", "attributes"},
    {"results"},
    {"report"},
    {"html", "indexer"},
    {"array"},
    {"create"},
    {"copying"},
    {"group"},
    {"api"},
    {"validation"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
"""Rooms, the lowest first. A room imports from lower levels only: neighbours on one level don't know each other."""

LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}

EARLY = {"gpuzarr", "numpy"} | sys.stdlib_module_names
"""What may be imported before it is used."""

IMPURE = {"asyncio", "concurrent", "cupy", "http", "multiprocessing", "numcodecs", "socket", "subprocess", "threading"}
"""What `plan` and all below it never import, not even late: they compute."""

MAX_FILE, MAX_FUNCTION = 600, 60
"""Lines; those of a function without its docstring."""


@dataclass(frozen=True)
class Import:
    """A module imports `target`, a dotted name: at once, or `late`, inside a function."""

    module: str
    target: str
    line: int
    late: bool


def module_name(path: Path) -> str:
    parts = ("gpuzarr", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


@cache
def sources() -> dict[str, ast.Module]:
    return {module_name(path): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def statements(node: ast.AST, late: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports below a node, and whether they wait for a call; those under TYPE_CHECKING left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (found for other in child.orelse for found in statements(other, late))
        else:
            yield from statements(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def targets(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that an import names; `from package import module` names the module."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert statement.level == 0, f"a relative import: {ast.unparse(statement)}"
    base = statement.module or ""
    names = [f"{base}.{alias.name}" for alias in statement.names]
    return [name if name in sources() else base for name in names]


def imports() -> list[Import]:
    return [
        Import(module, target, statement.lineno, late)
        for module, tree in sources().items()
        for statement, late in statements(tree)
        for target in dict.fromkeys(targets(statement))
    ]


def room(module: str) -> str:
    """`gpuzarr.store.zip` is in the room `store`; the package itself is `__init__`."""
    return (*module.split("."), "__init__")[1]


def is_ours(target: str) -> bool:
    return target.partition(".")[0] == "gpuzarr"


def test_every_room_has_a_level() -> None:
    rooms = {room(module) for module in sources()}
    assert rooms == LEVEL.keys(), f"no level: {rooms - LEVEL.keys()}; no longer there: {LEVEL.keys() - rooms}"


def test_rooms_import_only_from_lower_levels() -> None:
    wrong = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if is_ours(i.target) and room(i.module) != room(i.target) and LEVEL[room(i.module)] <= LEVEL[room(i.target)]
    ]
    assert not wrong, wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {module: set() for module in sources()}
    for i in imports():
        if is_ours(i.target) and not i.late and i.target in sources():
            arrows[i.module].add(i.target)
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_but_numpy_and_the_standard_library_is_imported_before_it_is_used() -> None:
    early = [f"{i.module}:{i.line} imports {i.target}" for i in imports() if not i.late]
    assert not [text for text in early if text.rpartition(" ")[2].partition(".")[0] not in EARLY]


def test_planning_and_all_below_it_have_no_effects() -> None:
    pure = {name for name, level in LEVEL.items() if level <= LEVEL["plan"]}
    wrong = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in imports()
        if room(i.module) in pure and i.target.partition(".")[0] in IMPURE
    ]
    assert not wrong, wrong


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def functions() -> dict[str, int]:
    return {
        f"{module}.{node.name}:{node.lineno}": length(node)
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def files() -> dict[str, int]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines()) for path in paths}


def largest(sizes: dict[str, int]) -> str:
    first = sorted(sizes, key=sizes.__getitem__, reverse=True)[:5]
    return ", ".join(f"{name} {sizes[name]}" for name in first)


def test_files_and_functions_stay_small(capsys: pytest.CaptureFixture[str]) -> None:
    in_files, in_functions = files(), functions()
    with capsys.disabled():
        print(f"\ngpuzarr: {sum(in_files.values())} lines in {len(in_files)} files, {len(in_functions)} functions")
        print(f"  longest files: {largest(in_files)}\n  longest functions: {largest(in_functions)}")
    too_long = {name: n for name, n in in_files.items() if n > MAX_FILE}
    assert not too_long, f"files of more than {MAX_FILE} lines: {too_long}"
    too_long = {name: n for name, n in in_functions.items() if n > MAX_FUNCTION}
    assert not too_long, f"functions of more than {MAX_FUNCTION} lines: {too_long}"
