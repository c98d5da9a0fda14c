"""nvCOMP: what its real libraries answer without a GPU, and the stand-in that the simulated device decodes with.

The libraries asked are the installed one and those that NVCOMP_LIBRARIES names (paths, separated as in PATH): other
versions than the installed one can only be had as files.
"""

from __future__ import annotations

import ctypes
import gzip
import os
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numcodecs import lz4, zstd
from numpy.typing import NDArray

from gpuzarr.cuda import nvcomp
from gpuzarr.cuda.frames import LARGEST
from gpuzarr.cuda.nvcomp import ALIGNMENTS, FORMATS, CLibrary, DecodeCall, splits, status_words
from gpuzarr.cuda.nvcomp_package import PythonCodec
from gpuzarr.errors import DeviceError
from gpuzarr.testing.nvcomp import DECODERS, SimulatedNvcomp

# ---- the C library ----------------------------------------------------------------------------------------------


def libraries() -> list[Any]:
    others = [Path(path) for path in os.environ.get("NVCOMP_LIBRARIES", "").split(os.pathsep) if path]
    return ["installed", *(pytest.param(path, id=f"{path.parts[-4:]}") for path in others)]


@pytest.fixture(scope="module", params=libraries())
def library(request: pytest.FixtureRequest) -> CLibrary:
    if isinstance(request.param, Path):
        return CLibrary(ctypes.CDLL(str(request.param)))
    pytest.importorskip("nvidia.libnvcomp", reason="nvidia-nvcomp-cu12 or -cu13 is not installed")
    found = nvcomp.load()
    assert isinstance(found, CLibrary)
    return found


def test_the_library_is_of_a_version_that_is_known(library: CLibrary) -> None:
    assert library.version[0] in nvcomp.VERSIONS
    assert library.title == f"nvCOMP {'.'.join(map(str, library.version))}"
    assert library.title in library.describe()
    assert library.codecs == FORMATS.keys()
    assert library.why_not("zstd") is None
    assert library.why_not("blosc") == "nvCOMP has no blosc"


@pytest.mark.parametrize("codec", FORMATS)
def test_the_library_asks_for_the_alignments_that_the_stand_in_enforces(library: CLibrary, codec: str) -> None:
    assert (*library.alignment(codec), library.temp_alignment(codec)) == ALIGNMENTS[codec]


@pytest.mark.parametrize("codec", FORMATS)
@pytest.mark.parametrize(
    ("n", "most", "total"),
    [
        (1, 1, 1),
        (1, 2**16, 2**16),
        (100, 2**16, 100 * 2**16),
        (10, 2**20, 100),
        (10_000, 100, 10**6),
        (1, 2**30, 2**30),
    ],
)
def test_the_library_needs_no_more_temporary_memory_than_the_stand_in(
    library: CLibrary, codec: str, n: int, most: int, total: int
) -> None:
    need = library.temp_bytes(codec, n, most, total)
    assert need <= SimulatedNvcomp(nowhere).temp_bytes(codec, n, most, total)
    assert (need > 0) == (codec == "zstd")


def test_temporary_memory_is_bounded_by_all_the_bytes_there_are(library: CLibrary) -> None:
    assert library.temp_bytes("zstd", 100, 2**20, 2**21) < library.temp_bytes("zstd", 100, 2**20, 100 * 2**20) / 20


@pytest.mark.parametrize("codec", ["zstd", "snappy"])
def test_the_library_refuses_streams_that_are_too_large(library: CLibrary, codec: str) -> None:
    library.temp_bytes(codec, 1, LARGEST[codec], LARGEST[codec])
    if library.version < (5, 3, 0):
        pytest.skip("before 5.3 the limit stands in the headers only")
    with pytest.raises(DeviceError, match="a chunk that is too large"):
        library.temp_bytes(codec, 1, LARGEST[codec] + 1, LARGEST[codec] + 1)


def test_a_call_without_a_device_is_refused_by_the_library(library: CLibrary) -> None:
    columns = np.zeros((5, 1), np.uint64)
    at: Any = [int(column.ctypes.data) for column in columns]
    call = DecodeCall("zstd", 1, 100, 100, *at, int(np.zeros(1, np.int32).ctypes.data), 0, 0)
    library.decode(replace(call, n=0), 0)
    if not _has_driver():
        with pytest.raises(DeviceError, match="zstd"):
            library.decode(call, 0)


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def test_another_library_is_refused() -> None:
    with pytest.raises(DeviceError, match="nvcompGetProperties"):
        CLibrary(ctypes.CDLL(None))


def test_the_options_of_a_call_are_64_bytes_and_a_status_has_words() -> None:
    assert ctypes.sizeof(nvcomp.Options) == 64
    assert ctypes.sizeof(nvcomp.Alignments) == 3 * ctypes.sizeof(ctypes.c_size_t)
    assert ctypes.sizeof(nvcomp.Properties) == 8
    assert status_words(17) == "an address that is not aligned"
    assert status_words(99) == "status 99"


def test_the_library_has_a_text_for_every_status_and_for_no_other(library: CLibrary) -> None:
    if library.version < (5, 3, 0):
        pytest.skip("nvcompGetStatusString came with 5.3")
    text = library._library["nvcompGetStatusString"]
    text.restype = ctypes.c_char_p
    unknown = text(9999)
    known = {code for code in (*range(100), 1000, 10_000) if text(code) != unknown}
    assert known == nvcomp.STATUSES.keys()


# ---- splitting a batch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [0, 1, 99, 100, 1000, 10**9])
def test_a_batch_is_split_until_each_call_fits(bound: int) -> None:
    room = np.random.default_rng(bound).integers(1, 100, 57)
    parts = splits(room, bound, lambda n, most, total: 3 * n + total)
    assert [low for low, _, _ in parts] == [0, *(high for _, high, _ in parts[:-1])]
    assert parts[-1][1] == 57
    for low, high, need in parts:
        assert need == 3 * (high - low) + room[low:high].sum()
        assert need <= bound or high - low == 1
    if bound == 10**9:
        assert len(parts) == 1


def test_no_streams_are_no_calls() -> None:
    assert splits(np.zeros(0, np.int64), 1, lambda n, most, total: 1) == []


# ---- a device for the stand-in ----------------------------------------------------------------------------------

BASE = 0x7000_0000_0000


def nowhere(address: int, nbytes: int) -> NDArray[np.uint8]:
    raise DeviceError(f"no memory at {address:#x}")


class Device:
    """Memory that streams and columns are put into, and calls of what is in it."""

    def __init__(self) -> None:
        self.bytes = np.full(1 << 20, 0xC5, np.uint8)
        self.used = 0
        self.wrote = 0

    def memory(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        at = address - BASE
        if not 0 <= at <= at + nbytes <= self.bytes.size:
            raise DeviceError(f"no memory at {address:#x}")
        return self.bytes[at : at + nbytes]

    def count(self, address: int, nbytes: int) -> None:
        self.wrote += nbytes

    def take(self, nbytes: int, alignment: int = 16, odd: int = 0) -> int:
        at = -(-self.used // alignment) * alignment + odd
        self.used = at + nbytes
        return BASE + at

    def put(self, data: bytes | NDArray[Any], **where: int) -> int:
        raw = np.frombuffer(data if isinstance(data, bytes) else data.tobytes(), np.uint8)
        address = self.take(raw.size, **where)
        self.memory(address, raw.size)[...] = raw
        return address

    def call(self, codec: str, streams: list[bytes], rooms: list[int], need: int | None = None) -> DecodeCall:
        n = len(streams)
        room = np.array(rooms, np.uint64)
        src = np.array([self.put(s) for s in streams], np.uint64)
        dst = np.array([self.take(r, 1) for r in rooms], np.uint64)
        size = np.array([len(s) for s in streams], np.uint64)
        most, total = max(rooms), sum(rooms)
        need = SimulatedNvcomp(nowhere).temp_bytes(codec, n, most, total) if need is None else need
        columns: Any = [self.put(column) for column in (src, size, dst, room)]
        found, status, temp = self.take(8 * n), self.take(4 * n), self.take(need)
        return DecodeCall(codec, n, most, total, *columns, found, status, temp, need)

    def results(self, call: DecodeCall) -> tuple[list[bytes], list[int], list[int]]:
        dst, room = (self.memory(at, 8 * call.n).view(np.uint64).tolist() for at in (call.dst, call.room))
        found = self.memory(call.found, 8 * call.n).view(np.uint64).tolist()
        status = self.memory(call.status, 4 * call.n).view(np.int32).tolist()
        return [self.memory(at, n).tobytes() for at, n in zip(dst, room, strict=True)], found, status


def values(nbytes: int) -> bytes:
    return bytes(k // 7 % 256 for k in range(nbytes))


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def snappy(data: bytes) -> bytes:
    """Raw Snappy by the rules of its format: what repeats is copied, by each of the three kinds of copies."""
    out, at = bytearray(), 0
    n = len(data)
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    while at < len(data):
        back = next((b for b in (1, 7, 300) if b <= at and data[at : at + 8] == data[at - b : at - b + 8]), 0)
        if not back or len(data) - at < 8:
            piece = data[at : at + 70]
            piece = piece[: 1 if at == 0 else 70]
            out += bytes([(len(piece) - 1) << 2] if len(piece) <= 60 else [60 << 2, len(piece) - 1]) + piece
            at += len(piece)
        elif at % 3 == 0:
            out += bytes([(8 - 4) << 2 | 1 | back >> 8 << 5, back & 255])
            at += 8
        elif at % 3 == 1:
            out += bytes([(8 - 1) << 2 | 2]) + back.to_bytes(2, "little")
            at += 8
        else:
            out += bytes([(8 - 1) << 2 | 3]) + back.to_bytes(4, "little")
            at += 8
    return bytes(out)


ENCODERS: dict[str, Any] = {
    "zstd": zstd.compress,
    "gzip": gzip.compress,
    "deflate": deflated,
    "snappy": snappy,
    "lz4": lambda data: lz4.compress(data)[4:],
}
SIZES = [1, 100, 9, 3000]
RULES = [
    ("source", "deflate", 4),
    *(("column", "lz4", 8), ("temp", "zstd", 8), ("found", "lz4", 8), ("status", "lz4", 4)),
]


# ---- the stand-in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", FORMATS)
def test_the_stand_in_decodes_each_codec(codec: str) -> None:
    device = Device()
    data = [values(n) for n in SIZES]
    call = device.call(codec, [ENCODERS[codec](d) for d in data], SIZES)
    SimulatedNvcomp(device.memory, wrote=device.count).decode(call, 0)
    assert device.results(call) == (data, SIZES, [0] * 4)
    assert device.wrote == sum(SIZES) + 12 * 4


def test_a_python_snappy_agrees_with_ours() -> None:
    cramjam = pytest.importorskip("cramjam")
    for nbytes in (1, 60, 61, 5000, 70_000):
        data = values(nbytes)
        assert bytes(cramjam.snappy.decompress_raw(snappy(data))) == data
        packed = bytes(cramjam.snappy.compress_raw(data))
        assert DECODERS["snappy"](np.frombuffer(packed, np.uint8), nbytes) == data


@pytest.mark.parametrize("codec", ["deflate"])
def test_less_and_more_than_there_is_room_for_are_told(codec: str) -> None:
    device = Device()
    call = device.call(codec, [ENCODERS[codec](values(100))] * 3, [99, 100, 101])
    SimulatedNvcomp(device.memory).decode(call, 0)
    parts, found, status = device.results(call)
    assert parts == [values(99), values(100), values(100) + b"\xc5"]
    assert found[1:] == [100, 100]
    assert status == [nvcomp.CANNOT_DECOMPRESS, 0, 0]


def damaged(codec: str) -> bytes:
    """A stream that is wrong deep inside, where headers don't show it."""
    good = ENCODERS[codec](np.random.default_rng(0).integers(0, 9, 3000, np.uint8).tobytes())
    out = bytearray(good)
    middle = len(out) // 2
    out[middle - 100 : middle + 100] = b"\xff" * 200
    if codec == "deflate":
        out[0] |= 6
    return bytes(out)


@pytest.mark.parametrize("codec", ["zstd", "deflate", "gzip", "lz4"])
def test_damaged_streams_are_garbage_and_not_always_told_by_the_status(codec: str) -> None:
    device = Device()
    guard = device.put(b"guard" * 100)
    call = device.call(codec, [damaged(codec)] * 40, [3000] * 40)
    SimulatedNvcomp(device.memory, seed=1).decode(call, 0)
    parts, found, status = device.results(call)
    assert {nvcomp.CANNOT_DECOMPRESS, 0} == set(status)
    assert all(s or f != 3000 for s, f in zip(status, found, strict=True))
    assert len(set(parts)) > 30
    assert device.memory(guard, 500).tobytes() == b"guard" * 100


def test_a_dishonest_decoder_says_that_garbage_is_well() -> None:
    device = Device()
    call = device.call("gzip", [damaged("gzip")] * 40, [3000] * 40)
    SimulatedNvcomp(device.memory, honest=False).decode(call, 0)
    _, found, status = device.results(call)
    assert (3000, 0) in set(zip(found, status, strict=True))


def test_checksums_of_the_format_are_not_looked_at() -> None:
    device = Device()
    data = values(1000)
    wrong = bytearray(gzip.compress(data))
    wrong[-8] ^= 1
    call = device.call("gzip", [bytes(wrong)], [1000])
    SimulatedNvcomp(device.memory).decode(call, 0)
    assert device.results(call) == ([data], [1000], [0])


@pytest.mark.parametrize(
    ("codec", "stream"),
    [
        ("zstd", zstd.compress(values(50)) + zstd.compress(values(50))),
        ("zstd", zstd.compress(values(100))[:-1]),
        ("zstd", zstd.compress(values(99))),
        ("zstd", zstd.compress(values(100), 1, True)),
        ("gzip", gzip.compress(values(99))),
        ("gzip", b"x" * 100),
        ("snappy", snappy(values(99))),
    ],
    ids=["several frames", "cut", "another size", "a checksum", "another size of gzip", "no gzip", "of snappy"],
)
def test_streams_that_their_headers_refuse_must_not_get_here(codec: str, stream: bytes) -> None:
    device = Device()
    call = device.call(codec, [stream], [100])
    with pytest.raises(DeviceError, match="none for nvCOMP"):
        SimulatedNvcomp(device.memory).decode(call, 0)


def refused(device: Device, call: DecodeCall) -> str:
    before = device.bytes.copy()
    with pytest.raises(DeviceError) as caught:
        SimulatedNvcomp(device.memory).decode(call, 0)
    assert (device.bytes == before).all()
    assert caught.value.kernel == f"nvCOMP {call.codec}"
    return caught.value.reason


@pytest.mark.parametrize(("what", "codec", "alignment"), RULES)
def test_misaligned_addresses_are_refused(what: str, codec: str, alignment: int) -> None:
    device = Device()
    call = device.call(codec, [ENCODERS[codec](values(100))], [100])
    spare = device.take(call.temp_bytes + 64) + alignment // 2
    if what == "source":
        device.memory(call.src, 8).view(np.uint64)[0] += np.uint64(alignment // 2)
        call = replace(call, src=call.src)
    elif what == "column":
        call = replace(call, room=device.put(np.array([100], np.uint64), odd=4))
    else:
        moved: Any = {what: spare}
        call = replace(call, **moved)
    assert f"not aligned to {alignment} bytes" in refused(device, call)


def test_alignments_may_be_stricter() -> None:
    device = Device()
    call = device.call("lz4", [ENCODERS["lz4"](values(100))], [100])
    strict = SimulatedNvcomp(device.memory, alignments={"lz4": (16, 512, 1)})
    assert strict.alignment("lz4") == (16, 512)
    with pytest.raises(DeviceError, match="a target"):
        strict.decode(call, 0)


def test_too_little_is_refused() -> None:
    device = Device()
    call = device.call("zstd", [zstd.compress(values(100))] * 2, [100, 100])
    assert "temporary memory" in refused(device, replace(call, temp_bytes=call.temp_bytes - 1))
    assert "are said" in refused(device, replace(call, most=99))
    assert "are said" in refused(device, replace(call, total=199))


def test_what_is_written_must_not_overlap() -> None:
    device = Device()
    call = device.call("zstd", [zstd.compress(values(100))] * 2, [100, 100])
    (first, second), (source, _) = (device.memory(at, 16).view(np.uint64).tolist() for at in (call.dst, call.src))
    for target in (first + 99, first, source - 99, source, call.src - 99, call.status, call.temp, call.temp + 9000):
        device.memory(call.dst, 16).view(np.uint64)[1] = target
        assert "overlaps" in refused(device, call)
    device.memory(call.dst, 16).view(np.uint64)[1] = second
    SimulatedNvcomp(device.memory).decode(call, 0)
    assert device.results(call)[1] == [100, 100]


def test_memory_and_codecs_that_are_not_there_are_refused() -> None:
    device = Device()
    call = device.call("lz4", [ENCODERS["lz4"](values(100))], [100])
    for wrong in (replace(call, src=BASE + device.bytes.size), replace(call, codec="blosc")):
        with pytest.raises(DeviceError):
            SimulatedNvcomp(device.memory).decode(wrong, 0)
    assert SimulatedNvcomp(nowhere).why_not("blosc") == "nvCOMP has no blosc"
    assert SimulatedNvcomp(nowhere).codecs == FORMATS.keys()


# ---- the Python package -----------------------------------------------------------------------------------------


def region(array: Any) -> NDArray[np.uint8]:
    """The bytes that an object says to hold on a device: here, memory of the host."""
    interface = array.__cuda_array_interface__
    (nbytes,), (address, _) = interface["shape"], interface["data"]
    assert interface["typestr"] == "|u1"
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


class Package:
    """`nvidia.nvcomp` as far as it is used, over memory of the host. Keywords are those of the real one."""

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.BitstreamKind = SimpleNamespace(RAW="raw")
        package = self

        class Codec:
            def __init__(self, *, algorithm: str, cuda_stream: int, bitstream_kind: str) -> None:
                assert bitstream_kind == "raw"
                self.codec = next(codec for codec, name in FORMATS.items() if name == algorithm)
                if version >= "5.3":
                    self.compression_config = lambda uncompressed_sizes: ("compress", uncompressed_sizes)
                    self.decompression_config = lambda config: ("decompress", config)

            def decode(self, srcs: Any, data_type: str = "", out: Any = None, decompression_config: Any = None) -> Any:
                rooms = [len(part) for part in package.parts(out)]
                assert decompression_config == (("decompress", ("compress", rooms)) if version >= "5.3" else None)
                sizes = []
                for source, target in zip(package.parts(srcs), package.parts(out), strict=True):
                    data = DECODERS[self.codec](source, len(target))
                    if data is None or len(data) > len(target):
                        raise ValueError("too small")
                    target[: len(data)] = np.frombuffer(data, np.uint8)
                    sizes.append(len(data))
                if version < "6":
                    return [SimpleNamespace(buffer_size=n) for n in sizes]
                return SimpleNamespace(buffer_sizes=sizes)

        self.Codec = Codec

    def parts(self, batch: Any) -> list[NDArray[np.uint8]]:
        assert isinstance(batch, list) == (self.__version__ < "6")
        return batch if isinstance(batch, list) else batch.parts

    def as_arrays(self, sources: Any = None, cuda_stream: int = 0, **slab: Any) -> Any:
        if self.__version__ < "6":
            return [region(source) for source in sources]
        whole = region(slab["buffer"])
        pairs = zip(slab["offsets"], slab["sizes"], strict=True)
        return SimpleNamespace(parts=[whole[at : at + n] for at, n in pairs])


class Runtime:
    """CUDA's runtime, on a device that is the host."""

    waits = 0

    def memcpyAsync(self, dst: int, src: int, nbytes: int, kind: int, stream: int) -> None:  # noqa: N802
        assert kind in (1, 2)
        ctypes.memmove(dst, src, nbytes)

    def streamSynchronize(self, stream: int) -> None:  # noqa: N802
        self.waits += 1


def host_call(codec: str, streams: list[bytes], rooms: list[int]) -> tuple[DecodeCall, Any, list[NDArray[np.uint8]]]:
    sources = np.frombuffer(b"".join(streams), np.uint8).copy()
    size = np.array([len(s) for s in streams], np.uint64)
    first = np.cumsum(size) - size + np.uint64(sources.ctypes.data)
    targets = [np.zeros(n, np.uint8) for n in rooms]
    dst = np.array([t.ctypes.data for t in targets], np.uint64)
    room, found = np.array(rooms, np.uint64), np.full(len(rooms), 77, np.uint64)
    status = np.full(len(rooms), 77, np.int32)
    at: Any = [int(column.ctypes.data) for column in (first, size, dst, room, found, status)]
    call = DecodeCall(codec, len(rooms), max(rooms), sum(rooms), *at, 0, 0)
    return call, (found, status, first, size, dst, room, sources), targets


@pytest.mark.parametrize("version", ["5.2.0", "5.3.0", "6.0.0"])
@pytest.mark.parametrize("codec", FORMATS)
def test_the_python_package_decodes_by_the_same_columns(version: str, codec: str) -> None:
    data = [values(n) for n in SIZES]
    call, (found, status, *_kept), targets = host_call(codec, [ENCODERS[codec](d) for d in data], SIZES)
    way = PythonCodec(Package(version), Runtime())
    way.decode(call, 5)
    assert [t.tobytes() for t in targets] == data
    assert found.tolist() == SIZES
    assert status.tolist() == [0] * 4
    assert way.codecs == FORMATS.keys()
    assert way.title == f"nvCOMP {version}"
    assert way.temp_bytes(codec, 4, 3000, 3110) == 0


def test_a_damaged_stream_fails_the_batch_of_the_python_package() -> None:
    call, (_, status, *_kept), _ = host_call("lz4", [ENCODERS["lz4"](values(100)), b"\xff" * 50], [100, 100])
    PythonCodec(Package("6.0.0"), Runtime()).decode(call, 0)
    assert status.tolist() == [nvcomp.CANNOT_DECOMPRESS] * 2


def test_the_real_package_has_the_names_that_are_used() -> None:
    real = pytest.importorskip("nvidia.nvcomp", reason="nvidia-nvcomp-cu12 or -cu13 is not installed")
    if real.__version__ >= "6":
        signature = "as_arrays(buffer: object, offsets: list[int], sizes: list[int], cuda_stream: int"
        assert signature in real.as_arrays.__doc__
        assert isinstance(real.BatchArray.buffer_sizes, property)
    if real.__version__ >= "5.3":
        assert "uncompressed_sizes: list[int]" in real.Codec.compression_config.__doc__
        assert "compression_config: " in real.Codec.decompression_config.__doc__
        assert "decompression_config: " in real.Codec.decode.__doc__
    assert "out: " in real.Codec.decode.__doc__
    real.set_device_allocator(None)
    for name in FORMATS.values():
        _made(real, algorithm=name, cuda_stream=0, bitstream_kind=real.BitstreamKind.RAW)
    with pytest.raises(ValueError, match="algorithm"):
        _made(real, algorithm="zlib")
    with pytest.raises(ValueError, match="Unsupported argument"):
        _made(real, algorithm="Zstd", stream=0)


def _made(package: Any, **options: Any) -> None:
    """Make a codec. Its arguments are looked at before a driver is asked for; without one, making it fails then."""
    try:
        package.Codec(**options)
    except RuntimeError as error:
        if "driver" not in str(error):
            raise


# ---- where there is none ----------------------------------------------------------------------------------------


def test_without_nvcomp_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia.libnvcomp", "nvidia.nvcomp"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    nvcomp._find.cache_clear()
    try:
        assert nvcomp.codecs() == frozenset()
        assert "libnvcomp is not installed" in str(nvcomp.why_not("zstd"))
        with pytest.raises(DeviceError, match="libnvcomp is not installed"):
            nvcomp.load()
    finally:
        nvcomp._find.cache_clear()


class no_library:  # noqa: N801 - stands for ctypes.CDLL, which is a type
    def __init__(self, name: str) -> None:
        raise OSError(f"no {name}")
