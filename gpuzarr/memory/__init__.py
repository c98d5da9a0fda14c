"""Memory: where arrays live. `meta_array` names a memory; `memory_of` finds it without importing anything itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import DeviceError, UnsupportedError
from gpuzarr.memory.host import NumpyMemory, TorchMemory, tensor_view

if TYPE_CHECKING:
    from gpuzarr.cuda.device import Device

__all__ = ["Memory", "as_host", "memory_of"]


class Memory(Protocol):
    """A place results are made in."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> Device | None:
        """The device it is on; None is the host."""

    def current_stream(self) -> int:
        """The stream on which the calling thread uses results."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C") -> Any:
        """A new array there, not initialised, in an order of its axes if it can have one."""

    def view(self, array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array there as NumPy addresses it. If it is on a device, its elements must not be touched."""


WORDS = ("cpu", "auto", "cuda", "cuda:1", "simulated")


def memory_of(meta_array: Any) -> Memory:
    """The memory that `meta_array` names: an array-like of the wanted kind and place, or a word.

    The words are "cpu", "cuda" (CuPy's current device), "cuda:1", "auto" (a GPU where there is one) and "simulated"
    (see `gpuzarr.testing`). Raises UnsupportedError for memory that gpuzarr can't fill, and DeviceError for words
    that name nothing and for devices that are not there, with the reason.

    >>> memory_of(np.empty(())).name
    'cpu'
    """
    if meta_array is None or isinstance(meta_array, np.ndarray):
        return NumpyMemory()
    if isinstance(meta_array, str):
        return _by_word(meta_array)
    if _is_host_tensor(meta_array):
        return TorchMemory()
    from gpuzarr.memory import cuda

    if cuda.is_on_device(meta_array):
        return cuda.memory_of_array(meta_array)
    where = getattr(meta_array, "device", None)
    raise UnsupportedError(
        f"meta_array must be a NumPy or CuPy array, a torch tensor or a word ({', '.join(WORDS)}), "
        f"not {type(meta_array).__name__}{'' if where is None else f' on {where}'}",
        feature="meta_array",
    )


def _by_word(word: str) -> Memory:
    from gpuzarr.cuda import device

    if word == "cpu" or (word == "auto" and not device.available()):
        return NumpyMemory()
    if word != "auto" and word.partition(":")[0] not in ("cuda", "simulated"):
        raise DeviceError(f"meta_array={word!r} names no memory: {', '.join(WORDS)}", device=word)
    from gpuzarr.memory.cuda import DeviceMemory

    try:
        return DeviceMemory(device.device_named("cuda" if word == "auto" else word))
    except DeviceError as error:
        raise type(error)(f"meta_array={word!r}: {error.reason}", **error.where()) from error.__cause__


def as_host(values: Any) -> NDArray[Any]:
    """Values to be written as a NumPy array; NumPy arrays and torch CPU tensors are not copied.

    Arrays on a device are brought home by one download, after what their stream has to do.
    """
    if isinstance(values, np.ndarray):
        return values
    if _is_host_tensor(values):
        return tensor_view(values)
    family = type(values).__module__.partition(".")[0]
    if family in ("cupy", "torch") or hasattr(values, "__cuda_array_interface__"):
        from gpuzarr.memory import cuda

        if cuda.is_on_device(values):
            return cuda.fetch(values)
        if family == "torch" and hasattr(values, "device"):
            raise UnsupportedError(f"values on {values.device} can't be read", feature=f"values on {values.device}")
    return np.asarray(values)


def _is_host_tensor(array: Any) -> bool:
    family = type(array).__module__.partition(".")[0]
    return family == "torch" and hasattr(array, "device") and bool(array.device.type == "cpu")
