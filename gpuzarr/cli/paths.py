"""What PATH means on the command line: a store, and a path within it."""

from __future__ import annotations

from pathlib import Path, PurePath

__all__ = ["located"]


def located(where: str) -> tuple[str, str]:
    """A store and the path within it. Only a path that goes on behind a zip file has two parts.

    A folder needs no cut: a member of a group is a folder as good as the group.

    >>> located("memory://lab"), located("no/such/folder")
    (('memory://lab', ''), ('no/such/folder', ''))
    """
    scheme, colon, rest = where.rpartition("://")
    if scheme not in ("", "file", "zip"):
        return where, ""
    for above in PurePath(rest).parents:
        if Path(above).is_file():
            return f"{scheme}{colon}{above}", PurePath(rest).relative_to(above).as_posix()
    return where, ""
