"""Documents of Zarr 2 and 3 to one model and back: pure functions of bytes.

`zarr.json`, `.zarray`, `.zgroup`, `.zattrs` and consolidated metadata; liberal in reading, strict in writing.
"""

from __future__ import annotations

from gpuzarr.dtypes import JSON
from gpuzarr.metadata.consolidated import Consolidated
from gpuzarr.metadata.model import ArrayMetadata, CodecConfig, GroupMetadata, is_big
from gpuzarr.metadata.v2 import codecs_v2, parse_array_v2, parse_consolidated_v2, parse_group_v2
from gpuzarr.metadata.v3 import parse_v3
from gpuzarr.repairs import MetadataWarning

__all__ = [
    "JSON",
    "ArrayMetadata",
    "CodecConfig",
    "Consolidated",
    "GroupMetadata",
    "MetadataWarning",
    "codecs_v2",
    "is_big",
    "parse_array_v2",
    "parse_consolidated_v2",
    "parse_group_v2",
    "parse_v3",
]
