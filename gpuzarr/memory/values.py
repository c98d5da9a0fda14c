"""Values that are assigned: in the array's data type and the selection's shape, by the rules of NumPy's assignment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import ShapeError
from gpuzarr.memory import as_host

__all__ = ["broadcast", "convert"]


def convert(values: Any, dtype: np.dtype[Any], one: bool = False) -> NDArray[Any]:
    """Values as a NumPy array of a data type, not copied if they are one.

    What is given for `one` element that is an object is that object, even if it is an array or a list.

    >>> convert([1.5, 2], np.dtype("i4")).tolist()
    [1, 2]
    """
    if one and dtype.kind == "O" and not (isinstance(values, np.ndarray) and values.shape == ()):
        found = np.empty((), object)
        found.fill(values)
        return found
    if not any(hasattr(values, name) for name in ("dtype", "__array_interface__", "__cuda_array_interface__")):
        return np.asarray(values, dtype)
    host = as_host(values)
    return host if host.dtype == dtype else host.astype(dtype)


def broadcast(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Values as a view of a shape; leading axes of length 1 that it has not are dropped. Raises ShapeError.

    >>> broadcast(np.ones((1, 1, 2, 1)), (2, 3)).shape
    (2, 3)
    """
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values.reshape(values.shape[1:])
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        what = f"values of shape {values.shape} do not broadcast to {shape}"
        raise ShapeError(what, shape=values.shape, wanted=shape) from error
