"""nvCOMP by its Python package (`nvidia.nvcomp`, 5.2 to 6): the second way, where its C functions can't be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.cuda.nvcomp import CANNOT_DECOMPRESS, FORMATS, DecodeCall
from gpuzarr.errors import DeviceError

__all__ = ["PythonCodec"]


@dataclass(frozen=True, slots=True)
class _Region:
    """Bytes of device memory, as other libraries take them."""

    address: int
    nbytes: int

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": (self.nbytes,), "typestr": "|u1", "data": (self.address, False), "strides": None, "version": 3}


class PythonCodec:
    """The package `nvidia.nvcomp`, with what CuPy has of CUDA's `runtime`.

    It takes sizes and addresses from the host, so a call brings the columns back and waits for the sizes found.
    """

    def __init__(self, package: Any, runtime: Any) -> None:
        self._package, self._runtime = package, runtime
        self._major = int(package.__version__.split(".")[0])

    @property
    def title(self) -> str:
        return f"nvCOMP {self._package.__version__}"

    @property
    def codecs(self) -> frozenset[str]:
        return frozenset(FORMATS)

    def describe(self) -> str:
        return f"{self.title}, by its Python package (each call waits for the device)"

    def why_not(self, codec: str) -> str | None:
        return None if codec in FORMATS else f"nvCOMP has no {codec}"

    def alignment(self, codec: str) -> tuple[int, int]:
        return 16, 16  # what its documentation recommends where one does not ask

    def temp_bytes(self, codec: str, n: int, most: int, total: int) -> int:
        return 0  # it allocates itself

    def decode(self, call: DecodeCall, stream: int) -> None:
        if not call.n:
            return
        src, size, dst, room = (self._get(at, call.n, stream) for at in (call.src, call.size, call.dst, call.room))
        self._runtime.streamSynchronize(stream)
        nv = self._package
        codec = nv.Codec(algorithm=FORMATS[call.codec], cuda_stream=stream, bitstream_kind=nv.BitstreamKind.RAW)
        known: dict[str, Any] = {}
        if hasattr(codec, "compression_config"):  # from 5.3 on: sizes that are known need no look at the streams
            known["decompression_config"] = codec.decompression_config(codec.compression_config(room.tolist()))
        found, status = np.zeros(call.n, np.uint64), np.zeros(call.n, np.int32)
        try:
            out = codec.decode(self._arrays(src, size, stream), out=self._arrays(dst, room, stream), **known)
            found[:] = out.buffer_sizes if self._major >= 6 else [one.buffer_size for one in out]
        except ValueError:  # too small a target: a stream is not what it says, and it does not tell which
            status[:] = CANNOT_DECOMPRESS
        except RuntimeError as error:
            raise DeviceError(f"decoding {call.n} streams of {call.codec}: {error}", kernel="nvCOMP") from error
        self._put(call.found, found, stream)
        self._put(call.status, status, stream)
        self._runtime.streamSynchronize(stream)

    def _arrays(self, address: NDArray[np.uint64], nbytes: NDArray[np.uint64], stream: int) -> Any:
        if self._major < 6:
            pairs = zip(address.tolist(), nbytes.tolist(), strict=True)
            return self._package.as_arrays([_Region(at, n) for at, n in pairs], cuda_stream=stream)
        low = int(address.min())
        whole = _Region(low, int((address + nbytes).max()) - low)
        offsets = (address - np.uint64(low)).tolist()
        return self._package.as_arrays(buffer=whole, offsets=offsets, sizes=nbytes.tolist(), cuda_stream=stream)

    def _get(self, address: int, n: int, stream: int) -> NDArray[np.uint64]:
        column = np.empty(n, np.uint64)
        self._runtime.memcpyAsync(column.ctypes.data, address, column.nbytes, 2, stream)  # device to host
        return column

    def _put(self, address: int, column: NDArray[Any], stream: int) -> None:
        self._runtime.memcpyAsync(address, column.ctypes.data, column.nbytes, 1, stream)  # host to device
