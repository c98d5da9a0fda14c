"""Data types and fill values of Zarr 2 and 3, to NumPy and back.

Types are named in `names` (format 3) and `v2`, asked for in `asked`; fill values are read and written in `fills`,
taken from users in `given`.
"""

from __future__ import annotations

from gpuzarr.dtypes.asked import from_numpy
from gpuzarr.dtypes.fills import encode_fill, parse_fill, same_fill
from gpuzarr.dtypes.given import as_fill
from gpuzarr.dtypes.names import BITS, JSON, DataType, from_v3, plain
from gpuzarr.dtypes.v2 import OBJECT_CODECS, from_v2
from gpuzarr.repairs import MetadataWarning

__all__ = [
    "BITS",
    "JSON",
    "OBJECT_CODECS",
    "DataType",
    "MetadataWarning",
    "as_fill",
    "encode_fill",
    "from_numpy",
    "from_v2",
    "from_v3",
    "parse_fill",
    "plain",
    "same_fill",
]
