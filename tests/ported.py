"""Calls made through zarr-python and through gpuzarr: one outcome, or a difference that the documentation lists.

A call is text, run with `lib` bound to either package: what zarr-python's users have in their programs. Its outcome
is a value or a kind of error. Where the two differ on purpose, the call quotes the line of docs/zarr-python.md that
says so, and what gpuzarr gives instead. A difference that is gone is a failure, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import quiet

import gpuzarr

__all__ = ["Call", "Counting", "Failure", "calls", "check", "check_in", "in_formats", "outcome", "plain"]

PAGE = (Path(__file__).resolve().parents[1] / "docs/zarr-python.md").read_text("utf-8")


@dataclass(frozen=True)
class Call:
    """Statements, the last one an expression if its value counts.

    `differs` is quoted from docs/zarr-python.md where that says that gpuzarr gives something else: `wanted`. `since`
    is the version of zarr-python that has the behaviour, where it is not as old as any that is tested with.
    """

    text: str
    differs: str = ""
    wanted: str = ""
    since: str = "3.1"

    def __str__(self) -> str:
        return re.sub(r"\s+", " ", self.text)[:100]


@dataclass(frozen=True, eq=False)
class Failure:
    """An error by what a program would catch: the built-in classes above it, the vague ones left out."""

    kinds: frozenset[str]
    text: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure) and bool(self.kinds & other.kinds)

    def __repr__(self) -> str:
        return f"{'/'.join(sorted(self.kinds))} ({self.text:.200})"


VAGUE = {"object", "BaseException", "Exception", "LookupError", "OSError"}


def failure(error: Exception) -> Failure:
    builtin = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    return Failure(frozenset(builtin) - VAGUE or frozenset(builtin[:1]), f"{type(error).__name__}: {error}")


def run(text: str, names: dict[str, Any]) -> Any:
    """The value of the last statement, None where it is not an expression."""
    body = ast.parse(text.strip()).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), text, "exec"), names)
    return eval(compile(ast.Expression(last.value), text, "eval"), names) if isinstance(last, ast.Expr) else None


def plain(value: Any) -> Any:
    """A value in terms that both libraries share, in which equal values are equal objects."""
    if isinstance(value, Failure):
        return value
    if isinstance(value, np.ndarray):
        return ("array", value.shape, value.dtype.str, repr(value.tolist()))
    if isinstance(value, np.generic):
        return ("scalar", value.dtype.str, repr(value.tolist()))
    if isinstance(value, Mapping):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if type(value).__name__ == "Array":
        form = value.metadata.zarr_format
        return ("Array", form, value.path, value.shape, value.dtype.str, value.chunks, value.shards)
    if type(value).__name__ == "Group":
        return ("Group", value.path, sorted(name for name, _ in value.members(max_depth=None)))
    return value if value is None or isinstance(value, (bool, int, float, str, bytes)) else type(value).__name__


def outcome(text: str, names: dict[str, Any]) -> Any:
    """What comes of the statements; other packages' warnings are not what is compared."""
    try:
        with quiet():
            return plain(run(text, {"np": np, **names}))
    except Exception as error:
        if type(error) in (SyntaxError, NameError):
            raise
        return failure(error)


def error(*kinds: str) -> Failure:
    return Failure(frozenset(kinds))


def check(call: Call, ours: dict[str, Any], theirs: dict[str, Any], **names: Any) -> None:
    """Make a call with either library's names, and compare."""
    zarr = pytest.importorskip("zarr")
    found = outcome(call.text, {"lib": gpuzarr, **names, **ours})
    version = tuple(int(n) for n in re.findall(r"\d+", zarr.__version__)[:2])
    newest = version >= (3, 4)
    if call.differs:
        assert call.differs in PAGE, "docs/zarr-python.md does not say so"
        wanted = outcome(call.wanted, {"lib": gpuzarr, "error": error, **names, **ours})
        assert found == wanted, f"gives {found!r:.500}, not {wanted!r:.500}"
    if version < tuple(int(n) for n in call.since.split(".")):
        pytest.skip(f"zarr-python {zarr.__version__} does otherwise; {call.since} does not")
    theirs_too = outcome(call.text, {"lib": zarr, **names, **theirs})
    if not call.differs:
        assert found == theirs_too, f"gives {found!r:.500}, with zarr-python {theirs_too!r:.500}"
    elif newest:
        assert found != theirs_too, f"is the same now; docs/zarr-python.md says it differs: {call.differs}"


class Counting(dict[str, bytes]):
    """A mapping that tells which keys were read and written."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.written: list[str] = []

    def __getitem__(self, key: str) -> bytes:
        self.read.append(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.append(key)
        return super().get(key, default)

    def __setitem__(self, key: str, value: bytes) -> None:
        self.written.append(key)
        super().__setitem__(key, value)

    def forget(self) -> None:
        self.read.clear()
        self.written.clear()


def calls(text: str) -> list[Call]:
    """A call a line."""
    return [Call(line.strip()) for line in text.splitlines() if line.strip()]


def names_of(library: Any, zarr_format: int, tmp: Path) -> dict[str, Any]:
    """What calls use besides the library: `form` is the format.

    `kept` and `tmp` are an empty mapping and folder; `made` makes an array in a mapping of its own and `root` a group
    in `kept`, in the format; `put` assigns and gives the array.
    """
    kept: dict[str, Any] = {}

    def made(shape: Any, dtype: Any = "i4", **how: Any) -> Any:
        return library.create_array({}, **{"shape": shape, "dtype": dtype, "zarr_format": zarr_format, **how})

    def root(**how: Any) -> Any:
        return library.create_group(kept, zarr_format=zarr_format, **how)

    def put(array: Any, wanted: Any, values: Any) -> Any:
        array[wanted] = values
        return array

    tmp.mkdir()
    names = {"lib": library, "form": zarr_format, "kept": kept, "tmp": tmp}
    return {**names, "made": made, "root": root, "put": put}


def check_in(call: Call, zarr_format: int, tmp: Path) -> None:
    """Make a call with each library, from the same start."""
    zarr = pytest.importorskip("zarr")
    with quiet():
        check(call, *(names_of(lib, zarr_format, tmp / lib.__name__) for lib in (gpuzarr, zarr)))


def in_formats(found: list[Call], formats: tuple[int, ...] = (2, 3)) -> Any:
    """Parameters `call` and `zarr_format`: once for what does not name the format."""
    cases = [
        pytest.param(call, number, id=f"{call}-{number}")
        for call in found
        for number in (formats if re.search(r"\b(form|made|root)\b", call.text) else formats[-1:])
    ]
    return pytest.mark.parametrize(("call", "zarr_format"), cases)
