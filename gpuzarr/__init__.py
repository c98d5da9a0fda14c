"""Zarr arrays (format 2 and 3) whose chunks and shards land straight in the memory that `meta_array` names."""

from gpuzarr import codecs, errors
from gpuzarr.api import (
    array,
    consolidate_metadata,
    copy,
    create_array,
    create_group,
    empty,
    empty_like,
    full,
    full_like,
    load,
    ones,
    ones_like,
    open,  # the name every array library has
    open_array,
    open_group,
    save,
    zeros,
    zeros_like,
)
from gpuzarr.array import Array
from gpuzarr.errors import GpuzarrError
from gpuzarr.execute import Executor
from gpuzarr.group import Group
from gpuzarr.validation import validate

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Executor",
    "GpuzarrError",
    "Group",
    "__version__",
    "array",
    "codecs",
    "consolidate_metadata",
    "copy",
    "create_array",
    "create_group",
    "empty",
    "empty_like",
    "errors",
    "full",
    "full_like",
    "load",
    "ones",
    "ones_like",
    "open",
    "open_array",
    "open_group",
    "save",
    "validate",
    "zeros",
    "zeros_like",
]
