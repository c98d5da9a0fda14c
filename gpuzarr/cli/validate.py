"""`gpuzarr validate`: all that is wrong with what is there, and what other readers take otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import gpuzarr
from gpuzarr.cli.text import as_json, table
from gpuzarr.report.words import count, printable
from gpuzarr.validation import Finding, Validation

__all__ = ["validate"]

SHOWN = 10
"""Findings of one rule that are printed for one node; `--json` has all."""


def validate(where: str, deep: bool, strict: bool, allow_pickle: bool, json: bool) -> int:
    """Print what is found. 1 where anything is invalid, or with `strict` where anything is found at all; else 0."""
    found = gpuzarr.validate(where, deep=deep, allow_pickle=allow_pickle)
    if json:
        print(as_json(found.to_dict()))
    else:
        _print(where, found)
    return int(not found.valid or (strict and bool(found.findings)))


def _print(where: str, found: Validation) -> None:
    read = "" if found.chunks is None else f", {count(found.chunks, 'chunk')} decoded"
    print(f"{printable(where, 200)}: {count(found.arrays, 'array')}, {count(found.groups, 'group')}{read}")
    rows = list(_rows(found.findings))
    if rows:
        print()
        table(("", "rule", "key", "where", "what"), rows)
        print()
    counts = [f"{n:,} {severity}" for severity, n in found.counts.items() if n]
    print(", ".join(counts) or "nothing found")


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[str, ...]]:
    """A row for each finding, but for many of one rule at one node."""
    many = Counter((f.path, f.rule) for f in findings)
    shown: Counter[tuple[str, str]] = Counter()
    for f in findings:
        kind = f.path, f.rule
        shown[kind] += 1
        if shown[kind] <= SHOWN:
            at = f.field if f.chunk is None else f"chunk {f.chunk}"
            what = f"{f.codec}: {f.reason}" if f.codec else f.reason
            yield f.severity, f.rule, printable(f.key or "/", 60), printable(at or "", 60), printable(what, 120)
        elif shown[kind] == many[kind]:
            yield f.severity, f.rule, printable(f.path or "/", 60), "", f"… and {many[kind] - SHOWN:,} more"
