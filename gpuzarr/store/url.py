"""URLs of stores and of nodes within them: URL pipelines (Zarr Enhancement Proposal 8, draft; URL pipeline v0).

`file:///lab/a.zip|zip:inner/|zarr3:image` is a root, and adapters, each of which takes what the parts before it
name: here a file, the archive in it from `inner/` on, and the Zarr 3 node `image` there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from gpuzarr.errors import StoreError

__all__ = ["FORMATS", "Part", "file_path", "inside", "parse"]

ROOTS = frozenset({"file", "memory", "zip"})
"""Roots there are stores for."""

OTHER_ROOTS = frozenset({"gs", "http", "https", "s3", "s3+http", "s3+https"})
"""Roots that are named without "//" too."""

FORMATS: dict[str, int | None] = {"n5": 3, "zarr": None, "zarr2": 2, "zarr3": 3}
"""Adapters that name a node, and the format it must have, or that it is shown in."""

ADAPTERS = {"zip", *FORMATS}

OTHER_ADAPTERS = frozenset(
    {
        *("avif", "bmp", "byte-range", "gzip", "hdf5", "icechunk", "jpeg", "json", "neuroglancer-precomputed"),
        *("ocdbt", "png", "tiff", "webp", "zstd"),
    }
)
"""Adapters that others have: what follows a path is known for one by these names."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


@dataclass(frozen=True, slots=True)
class Part:
    """The root or an adapter: the scheme in lower case, "" for a plain path, and what follows it, as it stands."""

    scheme: str
    rest: str

    @property
    def path(self) -> str:
        """The path within what the parts before name: decoded, without slashes around it."""
        return unquote(self.rest.strip("/"))


def parse(text: str) -> tuple[Part, ...]:
    """The root and the adapters of a URL, or a plain path and adapters behind it.

    What looks like no scheme that anybody has is part of a path: names of files may have any character.

    >>> parse("file:///a.zip|zip:b%20c/|zarr3")
    (Part(scheme='file', rest='///a.zip'), Part(scheme='zip', rest='b%20c/'), Part(scheme='zarr3', rest=''))
    >>> parse("C:/a|b.zarr")
    (Part(scheme='', rest='C:/a|b.zarr'),)
    """
    first, *others = text.split("|")
    scheme = _scheme(first)
    adapters = [_adapter(other) for other in others]
    if not scheme:
        known = all(adapter.scheme in ADAPTERS | OTHER_ADAPTERS for adapter in adapters)
        return (Part("", first), *adapters) if known else (Part("", text),)
    return (Part(scheme, first[len(scheme) + 1 :]), *adapters)


def _scheme(text: str) -> str:
    """The scheme of a URL, or "" for a path; anything odd before "://" is taken for a scheme."""
    before, colon, _ = text.partition("://")
    if colon:
        return before.lower()
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    return scheme if scheme in ROOTS | OTHER_ROOTS else ""


def _adapter(text: str) -> Part:
    scheme, _, rest = text.partition(":")
    return Part(scheme.lower(), rest)


def file_path(rest: str) -> str:
    """The path of a file URL, of which `rest` follows "file:" (RFC 8089). A relative one is taken as it is.

    >>> file_path("///lab/a%20b"), file_path("/lab"), file_path("//localhost/lab"), file_path("a.zarr")
    ('/lab/a b', '/lab', '/lab', 'a.zarr')
    """
    path = unquote(re.sub("^//(localhost(?=/))?", "", rest, flags=re.IGNORECASE))
    if not path:
        raise StoreError("the URL has no path")
    return path[1:] if re.match(r"/[A-Za-z]:", path) and os.name == "nt" else path


def inside(url: str, key: str) -> str:
    """The URL of a key of the store at a URL.

    >>> inside("file:///lab", "a b"), inside("file:///lab/a.zip|zip:", "b")
    ('file:///lab/a%20b', 'file:///lab/a.zip|zip:b')
    """
    return f"{url}{quote(key)}" if url.endswith(":") else f"{url}/{quote(key)}"
