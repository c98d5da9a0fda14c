"""Memory: where arrays live. `meta_array` names a memory; `memory_of` finds it without importing anything itself."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError, UnsupportedError
from gpuzarr.memory.host import NumpyMemory, TorchMemory, tensor_view

__all__ = ["Memory", "as_host", "memory_of"]


class Memory(Protocol):
    """A place results are made in."""

    @property
    def name(self) -> str: ...

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """A new array there, not initialised."""

    def view(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array there as the host addresses it."""


WORDS = ("cpu", "auto")


def memory_of(meta_array: Any) -> Memory:
    """The memory that `meta_array` names: an array-like of the wanted kind, or "cpu" or "auto".

    Raises UnsupportedError for memory that gpuzarr can't fill, DeviceError for words that name nothing.

    >>> memory_of(np.empty(())).name
    'cpu'
    """
    if meta_array is None or isinstance(meta_array, np.ndarray):
        return NumpyMemory()
    if isinstance(meta_array, str):
        return _by_word(meta_array)
    family = type(meta_array).__module__.partition(".")[0]
    if family == "torch" and hasattr(meta_array, "device"):
        if meta_array.device.type == "cpu":
            return TorchMemory()
        raise UnsupportedError(
            f"meta_array on {meta_array.device} is not supported yet", feature=f"meta_array on {meta_array.device}"
        )
    if family == "cupy" or hasattr(meta_array, "__cuda_array_interface__"):
        raise UnsupportedError("meta_array on a GPU is not supported yet", feature="meta_array on a GPU")
    raise UnsupportedError(
        f"meta_array must be a NumPy array, a torch tensor or a word ({', '.join(WORDS)}), "
        f"not {type(meta_array).__name__}",
        feature="meta_array",
    )


def _by_word(word: str) -> Memory:
    if word in WORDS:
        return NumpyMemory()
    if word.partition(":")[0] in ("cuda", "simulated"):
        raise UnsupportedError(f"meta_array={word!r} is not supported yet", feature=f"meta_array={word!r}")
    raise DeviceError(f"meta_array={word!r} names no memory: {', '.join(WORDS)}", device=word)


def as_host(values: Any) -> NDArray[Any]:
    """Values to be written as a NumPy array; NumPy arrays and torch CPU tensors are not copied."""
    if isinstance(values, np.ndarray):
        return values
    family = type(values).__module__.partition(".")[0]
    if family == "torch" and hasattr(values, "device"):
        if values.device.type != "cpu":
            raise UnsupportedError(f"values on {values.device} are not supported yet", feature="values on a GPU")
        return tensor_view(values)
    if family == "cupy" or hasattr(values, "__cuda_array_interface__"):
        raise UnsupportedError("values on a GPU are not supported yet", feature="values on a GPU")
    return np.asarray(values)
