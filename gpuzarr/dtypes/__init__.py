"""Data types and fill values of Zarr 2 and 3, to NumPy and back.

Types are named in `names`, fill values read and written in `fills`, taken from users in `given`.
"""

from __future__ import annotations

from gpuzarr.dtypes.fills import encode_fill, parse_fill, same_fill
from gpuzarr.dtypes.given import as_fill
from gpuzarr.dtypes.names import JSON, DataType, MetadataWarning, from_numpy, from_v2, from_v3

__all__ = [
    "JSON",
    "DataType",
    "MetadataWarning",
    "as_fill",
    "encode_fill",
    "from_numpy",
    "from_v2",
    "from_v3",
    "parse_fill",
    "same_fill",
]
