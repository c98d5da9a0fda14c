"""What writers got wrong and is read all the same: each fault by name, and what it is read as.

The rule: a fault is repaired where it leaves one meaning only; whoever reads it warns with `repaired`, and what is
written back is what the specification asks for. docs/validate.md has the same table.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

__all__ = ["REPAIRS", "MetadataWarning", "Repair", "repaired"]


class Repair(NamedTuple):
    """What a document says, what that is read as, and who is known to have written it."""

    fault: str
    reading: str
    writers: str = "-"


REPAIRS = {
    "bare-nan": Repair("a bare NaN, Infinity or -Infinity", "the number", "zarr-python 2 and 3.0"),
    "bool-number": Repair("0 or 1 for a bool", "false or true", "zarrita"),
    "byte-order-mark": Repair("a byte order mark before the document", "nothing"),
    "bytes-no-endian": Repair("bytes without the byte order that the elements have", "little endian", "GDAL"),
    "chunk-size-0": Repair("a chunk size of 0, false or true", "1", "zarr-python 3.0 to 3.2, along empty axes"),
    "codec-default": Repair("a codec without a member that it must have", "the usual value"),
    "codec-fraction": Repair("a fraction for an integer of a codec", "the integer"),
    "complex-number": Repair("one number for a complex one", "its real part"),
    "edge-number": Repair("true or a fraction for a length of chunks", "the integer"),
    "endian-codec": Repair("the codec name 'endian'", "bytes", "drafts of Zarr 3"),
    "float-bool": Repair("true or false for a number", "1 or 0"),
    "float-string": Repair("a number in quotes", "the number"),
    "grid-name": Repair("lengths of chunks in a regular grid", "a rectilinear grid", "zarr-python 3.2.0 and 3.2.1"),
    "int-fraction": Repair("a fraction for an integer", "the integer"),
    "null-consolidated": Repair("consolidated_metadata: null", "no such member", "zarr-python 3.0"),
    "null-dimension-names": Repair("dimension_names: null", "no such member", "zarr-python 3.0"),
    "packed-struct": Repair("packed bytes for a struct", "the fields in them"),
    "plain-bytes": Repair("a byte string not in base64", "its characters", "zarr-python 2"),
    "shuffle-number": Repair("blosc's shuffle as a number", "its name"),
    "transpose-letter": Repair("transpose by 'C' or 'F'", "the axes in that order", "drafts of Zarr 3"),
    "zero-fill": Repair("0 for a type that has no numbers", "the type's zero", "zarr-python 2"),
}
"""Repairs by the name that `MetadataWarning.repair` and `gpuzarr.validate` give them."""


class MetadataWarning(UserWarning):
    """A document says something that no specification allows, but that known writers wrote; it was read.

    `repair` is a name in `REPAIRS`, `field` the member of the document.
    """

    def __init__(self, message: str, repair: str = "", field: str | None = None) -> None:
        super().__init__(message, repair, field)
        self.repair, self.field = repair, field

    def __str__(self) -> str:
        return str(self.args[0])


def repaired(name: str, field: str | None) -> None:
    """Warn of something read that may not be written; without the path, so that Python shows it once."""
    found = REPAIRS[name]
    where = f"{field}: " if field else ""
    message = f"{where}{found.fault} (read as {found.reading}), which no specification allows"
    warnings.warn(MetadataWarning(message, name, field), stacklevel=2)
