"""`zfp`, and `zfpy` and `pcodec` of numcodecs: the packages' own answers, zarr-python's, and bytes that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peers import quiet

import gpuzarr
from gpuzarr.codecs.base import Elements, Wire
from gpuzarr.codecs.packages import PackageCodec
from gpuzarr.codecs.zfp import ZfpCodec
from gpuzarr.dtypes import from_v3
from gpuzarr.errors import CodecError, MetadataError

zfpy = pytest.importorskip("zfpy")
pytest.importorskip("pcodec")

EXECUTORS = (gpuzarr.Executor(threads=1), gpuzarr.Executor(threads=3, native=False))
MODES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "reversible": ({}, {}),
    "accurate": ({"mode": "fixed_accuracy", "tolerance": 0.01}, {"tolerance": 0.01}),
    "precise": ({"mode": "fixed_precision", "precision": 20}, {"precision": 20}),
    "rate": ({"mode": "fixed_rate", "rate": 12.5}, {"rate": 12.5}),
}
SHAPES = [(), (1,), (37,), (5, 9), (4, 8, 4), (3, 5, 2, 6)]


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def bound(config: dict[str, Any], shape: tuple[int, ...], dtype: str) -> Any:
    return ZfpCodec.from_config({"mode": "reversible", **config}).bind(Elements(shape, from_v3(dtype, None)))


def smooth(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    flat = np.sin(np.arange(int(np.prod(shape))) / 5) * 100
    return np.asarray(flat.reshape(shape).astype(dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("mode", "dtype"),
    [
        (mode, dtype)
        for mode in MODES
        for dtype in ("int32", "int64", "float32", "float64")
        if mode != "accurate" or dtype.startswith("f")  # of integers the package has none
    ],
)
def test_streams_are_the_librarys_without_a_header(mode: str, shape: tuple[int, ...], dtype: str) -> None:
    config, arguments = MODES[mode]
    values = smooth(shape, dtype)
    encoded = bytes(bound(config, shape, dtype).encode(values.tobytes()))
    theirs = values.reshape(shape or (1,))
    assert encoded == zfpy.compress_numpy(theirs, write_header=False, **arguments)
    decoded = np.frombuffer(bound(config, shape, dtype).decode(encoded, values.nbytes, values.nbytes), dtype)
    kind = zfpy.dtype_to_ztype(values.dtype)
    assert np.array_equal(decoded, zfpy._decompress(encoded, kind, theirs.shape, **arguments).ravel())
    if mode == "reversible":
        assert np.array_equal(decoded, values.ravel())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_reversible_streams_keep_every_type(data: st.DataObject) -> None:
    names = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
    names += ["int4", "uint4", "int2", "bfloat16"] if from_ml() else []
    name = data.draw(st.sampled_from(names))
    data_type = from_v3(name, None)
    shape = tuple(data.draw(st.lists(st.integers(1, 6), max_size=4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    if "int" in name:
        bits = int(name.strip("uint"))
        low, high = (0, 1 << min(bits, 62)) if name[0] == "u" else (-(1 << bits - 1), 1 << bits - 1)
        numbers = rng.integers(low, high, shape, np.int64)
        limit = {32: 1 << 29, 64: 1 << 61}.get(bits)  # zfp's transform takes a bit or two
        values = (numbers if limit is None else numbers % limit).astype(data_type.dtype)
    else:
        values = rng.normal(size=shape).astype(data_type.dtype)
    stage = bound({}, shape, name)
    encoded = stage.encode(values.tobytes())
    into = memoryview(bytearray(values.nbytes))
    assert stage.decode(encoded, values.nbytes, values.nbytes, into) is into
    assert bytes(into) == values.tobytes()


def from_ml() -> bool:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("executor", EXECUTORS, ids=["compiled", "Python"])
@pytest.mark.parametrize("how", ["chunks", "shards", "turned", "expert", "compressed"])
def test_arrays_are_read_and_written_in_parts(how: str, executor: gpuzarr.Executor) -> None:
    zfp = codec("zfp", mode="reversible")
    if how == "expert":
        zfp = codec("zfp", mode="expert", minbits=0, maxbits=16658, maxprec=64, minexp=-1074)
    settled: dict[str, Any] = {"serializer": zfp, "compressors": None, "executor": executor, "fill_value": 2.5}
    if how == "turned":
        settled["filters"] = [codec("transpose", order=[2, 0, 1]), codec("reshape", shape=[[0, 1], [2]])]
    if how == "shards":
        settled["shards"] = (4, 8, 6)
    if how == "compressed":
        settled["compressors"] = "zstd"
    store: dict[str, Any] = {}
    array = gpuzarr.create_array(store, shape=(7, 9, 5), chunks=(4, 4, 3), dtype="float64", **settled)
    values = smooth((7, 9, 5), "f8")
    array[1:6, 3:, :4] = values[1:6, 3:, :4]
    expected = np.full((7, 9, 5), 2.5)
    expected[1:6, 3:, :4] = values[1:6, 3:, :4]
    far = 1e-9 if how == "expert" else 0
    assert np.allclose(array[...], expected, rtol=0, atol=far)
    assert np.allclose(gpuzarr.open_array(store)[::-2, 4], expected[::-2, 4], rtol=0, atol=far)
    assert "zfp: Python (zfpy 1" in str(array.explain())


@pytest.mark.parametrize(
    "config",
    [
        *({}, {"mode": "fast"}, {"mode": ["reversible"]}, {"mode": "reversible", "rate": 3}, {"mode": "fixed_rate"}),
        *({"mode": "fixed_rate", "rate": rate} for rate in (0, -1, 1e9, "4", True, float("nan"))),
        *({"mode": "fixed_accuracy", "tolerance": size} for size in (-1, float("inf"), None)),
        *({"mode": "fixed_precision", "precision": n} for n in (-1, 1.5, 2**40)),
        {"mode": "expert", "minbits": 9, "maxbits": 8, "maxprec": 3, "minexp": 0},
        {"mode": "expert", "minbits": 1, "maxbits": 8, "maxprec": 0, "minexp": 0},
        {"mode": "expert", "minbits": 0, "maxbits": 2**31, "maxprec": 64, "minexp": 0},
        {"mode": "expert", "minbits": 0, "maxbits": 9, "maxprec": 64},
    ],
    ids=str,
)
def test_modes_that_mean_nothing_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(MetadataError, match="zfp"):
        gpuzarr.create_array({}, shape=4, dtype="float32", serializer=codec("zfp", **config))


@pytest.mark.parametrize("how", [{"shape": (1,) * 5}, {"dtype": "bool"}, {"dtype": "complex64"}, {"dtype": "S3"}])
def test_what_zfp_has_no_blocks_of_is_refused(how: dict[str, Any]) -> None:
    settled = {"shape": (4,), "dtype": "float32", "serializer": codec("zfp", mode="reversible"), **how}
    with pytest.raises(MetadataError, match="zfp"):
        gpuzarr.create_array({}, **settled)


def test_integers_that_zfp_can_not_hold_are_no_silent_loss() -> None:
    array = gpuzarr.create_array({}, shape=4, dtype="uint32", serializer=codec("zfp", mode="reversible"))
    with pytest.raises(CodecError, match="2147483647"):
        array[...] = 2**31
    array[...] = 2**29
    assert array[...].tolist() == [2**29] * 4


def test_the_rate_of_three_axes_that_zarrs_writes_is_read_too() -> None:
    values = smooth((16, 16), "f8")
    config = {"mode": "fixed_rate", "rate": 16}
    wider = bytes(bound({"mode": "fixed_rate", "rate": 64}, (16, 16), "float64").encode(values.tobytes()))
    ours = bytes(bound(config, (16, 16), "float64").encode(values.tobytes()))
    assert len(wider) == 4 * len(ours)  # 64 times 16 bits a block, for each of 16 numbers
    decoded = np.frombuffer(bound(config, (16, 16), "float64").decode(wider, values.nbytes, values.nbytes))
    assert np.allclose(decoded, values.ravel(), atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_streams_that_are_cut_or_damaged_are_an_error_or_numbers(data: st.DataObject) -> None:
    """No stream is read past its end, whatever it says: a crash would end the tests."""
    kind = data.draw(st.sampled_from(["zfp", "zfpy", "pcodec"]))
    dtype = data.draw(st.sampled_from(["int32", "float32", "float64"]))
    shape = data.draw(st.sampled_from([(40,), (7, 6), (3, 4, 5), (2, 3, 3, 3)]))
    values = smooth(shape, dtype)
    if kind == "zfp":
        config = MODES[data.draw(st.sampled_from([m for m in MODES if m != "accurate" or dtype[0] == "f"]))][0]
        stage = bound(config, shape, dtype)
    else:
        config = {"mode": 3, "precision": 20} if kind == "zfpy" else {}
        stage = PackageCodec.from_config(kind, config).bind(Wire(values.dtype, values.nbytes, shape=shape))
    encoded = bytearray(stage.encode(values.tobytes()))
    if data.draw(st.booleans()):
        encoded = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
        cut = True
    else:
        cut = False
        for _ in range(data.draw(st.integers(1, 4))):
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = stage.decode(bytes(encoded), values.nbytes, values.nbytes)
    except (CodecError, RuntimeError):  # pcodec's own is the latter, which a chain makes the former of
        return
    assert memoryview(decoded).nbytes == values.nbytes
    assert not cut or kind == "zfp"


def header(dtype: int, sizes: list[int], mode: int = 0xFFE) -> bytes:
    """The header of a zfp stream: magic, type and shape, parameters (zfp's manual, section on headers)."""
    ndim, bits = len(sizes), 48 // len(sizes)
    meta = 0
    for size in reversed(sizes):
        meta = meta << bits | (size - 1)
    meta = (meta << 2 | ndim - 1) << 2 | dtype - 1
    word = int.from_bytes(b"zfp\5", "little") | meta << 32 | mode << 84
    return word.to_bytes(16, "little")


def test_headers_are_compared_with_the_chunk_before_memory_is_taken() -> None:
    stage = PackageCodec.from_config("zfpy", {"mode": 4, "tolerance": 0.1}).bind(Wire(np.dtype("f4"), 64))
    right = bytes(stage.encode(np.arange(16, dtype="f4").tobytes()))
    assert right[:10] == header(3, [16])[:10]
    wrong_sizes = ([17], [4, 3], [1 << 20, 1 << 20])
    for wrong in (*(header(3, sizes) for sizes in wrong_sizes), header(4, [16]), b"zfp\6" + right[4:], b""):
        with pytest.raises(CodecError):
            stage.decode(wrong + right[16:], 64, 64)
    # Parameters that ask for many bits a block, of which there are none.
    with pytest.raises(CodecError, match="cut off"):
        stage.decode(header(3, [16], 0x7FF) + b"\0" * 8, 64, 64)
    turned = stage.decode(header(3, [4, 4]) + right[16:] + b"\0" * 96, 64, 64)
    assert memoryview(turned).nbytes == 64


# ---- numcodecs' own, in both formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ["pcodec", "zfpy"])
@pytest.mark.parametrize("shape", [(6, 10), (60,)], ids=str)
def test_zarr_python_writes_and_reads_the_same_bytes(name: str, zarr_format: int, shape: Any, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("zarr.codecs.numcodecs")
    config: dict[str, Any] = {"mode": 4, "tolerance": 0.001} if name == "zfpy" else {"level": 5}
    values = smooth(shape, "f4")
    chunks = tuple(-(-n // 2) for n in shape)
    if zarr_format == 3:
        how: dict[str, Any] = {"serializer": codec(f"numcodecs.{name}", **config), "compressors": None}
    else:
        how = {"compressors": {"id": name, **config}, "zarr_format": 2}
    ours = gpuzarr.create_array(tmp_path / "ours", shape=shape, chunks=chunks, dtype="f4", **how)
    ours[...] = values
    with quiet():
        found = zarr.open_array(str(tmp_path / "ours"), mode="r")[...]
        theirs = gpuzarr.create_array(tmp_path / "theirs", shape=shape, chunks=chunks, dtype="f4", **how)
        zarr.open_array(str(tmp_path / "theirs"), mode="r+")[...] = values
    assert np.array_equal(ours[...], found)
    assert np.allclose(found, values, atol=0.001 if name == "zfpy" else 0)
    for executor in EXECUTORS:
        assert np.array_equal(gpuzarr.open_array(tmp_path / "theirs", executor=executor)[...], theirs[...])
    for file in (tmp_path / "theirs").rglob("*"):
        if file.is_file() and "zarr" not in file.name and file.name != ".zattrs":
            assert (tmp_path / "ours" / file.relative_to(tmp_path / "theirs")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "M8[s]", "m8[us]", ">f8", "<u2"])
def test_pcodec_takes_parts_times_and_either_byte_order(dtype: str) -> None:
    values = (np.arange(24).reshape(4, 6) * 3).astype(dtype)
    for how in ({"serializer": codec("numcodecs.pcodec")}, {"compressors": {"id": "pcodec"}, "zarr_format": 2}):
        array = gpuzarr.create_array({}, shape=(4, 6), chunks=(3, 4), dtype=dtype, **how)
        array[...] = values
        assert array[::-1, 1:].tolist() == values[::-1, 1:].tolist()


@pytest.mark.parametrize(
    ("name", "dtype"), [("pcodec", "int8"), ("pcodec", "bool"), ("zfpy", "uint8"), ("zfpy", "float16"), ("zfpy", "S4")]
)
def test_types_that_a_package_does_not_take_are_refused(name: str, dtype: str) -> None:
    for how in ({"serializer": codec(f"numcodecs.{name}")}, {"compressors": {"id": name}, "zarr_format": 2}):
        with pytest.raises(MetadataError, match=name):
            gpuzarr.create_array({}, shape=4, dtype=dtype, **how)


def test_other_numbers_than_a_chunk_has_are_an_error() -> None:
    store: dict[str, Any] = {}
    how: dict[str, Any] = {"dtype": "i4", "serializer": codec("numcodecs.pcodec"), "compressors": None}
    array = gpuzarr.create_array(store, shape=8, chunks=8, **how)
    for count in (7, 9, 100_000):
        other = gpuzarr.create_array({}, shape=count, chunks=count, **how)
        other[...] = 5
        store["c/0"] = other.store.get("c/0")
        with pytest.raises(CodecError) as error:
            array[...]
        assert (error.value.codec, error.value.key) == ("pcodec", "c/0")
