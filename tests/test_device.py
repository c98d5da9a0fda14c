"""Results on a device: what the host gives, in the device's memory; how often the bus is crossed, and what fails how.

The device is simulated: real CuPy arrays in memory that the host can't read, kernels run on the CPU.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, assert_same, cases, random_values, small_runs

import gpuzarr
from gpuzarr import testing
from gpuzarr.cuda.decoders import DECODERS
from gpuzarr.errors import CodecError, GpuzarrError, UnsupportedError

cupy = pytest.importorskip("cupy", reason="the simulated device makes CuPy arrays")

few = settings(max_examples=30)
many = settings(max_examples=80)

SMALL = gpuzarr.Executor(threads=2, window=1 << 9)
"""Windows of a few chunks, so that there are several."""

executors = st.sampled_from(
    [SMALL, *(gpuzarr.Executor(threads=1, codecs=c) for c in ("auto", "own")), gpuzarr.Executor(2, decode="host")]
)


@pytest.fixture(scope="module")
def device() -> Iterator[testing.SimulatedDevice]:
    with testing.simulated_device() as made:
        yield made


def on_device(array: gpuzarr.Array, executor: gpuzarr.Executor | None = None, **options: Any) -> gpuzarr.Array:
    """The array as another process would see it, with results on the simulated device."""
    where = {"path": array.path, "executor": executor, "meta_array": "simulated"}
    return gpuzarr.open_array(array.store, **where, **options)


def home(found: Any) -> Any:
    """A result as NumPy has it. It has to be on the device."""
    assert isinstance(found, cupy.ndarray)
    return testing.to_host(found)


def holds(case: Case) -> bool:
    """Whether CuPy has arrays of the case's data type."""
    return some.native_order(case.dtype).kind in "biufcV"


plain = cases().filter(holds)
with_axes = cases(ndim=st.integers(1, 4)).filter(holds)


# ---- the same as on the host ---------------------------------------------------------------------------------


@many
@given(plain, executors, st.data())
def test_basic_reading_is_numpys(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        again = on_device(array, reader)
        for _ in range(3):
            wanted = data.draw(some.basic(case.shape))
            assert_same(home(again[wanted]), np.asarray(model[wanted], model.dtype))
        assert_same(home(again[...]), model)


@few
@given(plain, executors, st.data())
def test_orthogonal_reading_is_an_open_mesh(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = on_device(array, reader)
        wanted = data.draw(some.orthogonal(case.shape))
        mesh, shape = some.orthogonal_of(model, wanted)
        assert_same(home(again.oindex[wanted]), np.asarray(model[mesh], model.dtype).reshape(shape))


@few
@given(with_axes, executors, st.data())
def test_reading_points_is_numpys_fancy_indexing(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = on_device(array, reader)
        wanted = data.draw(some.coordinates(case.shape))
        assert_same(home(again.vindex[wanted]), np.asarray(model[wanted], model.dtype))


@few
@given(with_axes, executors, st.data())
def test_reading_many_is_reading_each(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = on_device(array, reader)
        size = [data.draw(st.integers(0, n)) for n in case.shape]
        wanted = []
        for _ in range(data.draw(st.integers(1, 4))):
            starts = [data.draw(st.integers(0, n - s)) for n, s in zip(case.shape, size, strict=True)]
            wanted.append(tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True)))
        assert_same(home(again.read_many(wanted)), np.stack([model[w] for w in wanted]))


@many
@given(plain, executors, st.data())
def test_reading_into_memory_of_any_strides(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = on_device(array, reader)
        wanted = data.draw(some.basic(case.shape) | some.one_array(case.shape))
        expected = np.asarray(model[wanted], model.dtype)
        out = odd_memory(data, device, expected.shape, expected.dtype)
        assert again.read(wanted, out=out) is out
        assert_same(home(out), expected)


@few
@given(with_axes, st.data())
def test_points_into_memory_of_any_strides(device: Any, case: Case, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        wanted = data.draw(some.coordinates(case.shape))
        expected = np.asarray(model[wanted], model.dtype)
        out = odd_memory(data, device, expected.shape, expected.dtype)
        assert on_device(array).read(wanted, out=out) is out
        assert_same(home(out), expected)


def odd_memory(data: st.DataObject, device: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A view of device memory of some shape with gaps, backward and turned axes."""
    step = [data.draw(st.sampled_from([1, 2, -1, -3])) for _ in shape]
    order = data.draw(st.permutations(range(len(shape))))
    turned = device.empty(tuple(shape[k] * abs(step[k]) for k in order), dtype)
    return turned.transpose(tuple(np.argsort(order)))[(*(slice(None, None, s) for s in step), ...)]


@few
@given(plain)
def test_results_may_be_in_the_order_of_fortran(device: Any, case: Case) -> None:
    with case.filled() as (array, model):
        found = on_device(array, order="F")[...]
        assert found.flags.f_contiguous
        assert_same(home(found), model)


# ---- converted -----------------------------------------------------------------------------------------------


numbers = cases(dtypes=["?", "i1", "u1", "<i2", ">u2", "<i4", ">u4", ">i8", "<u8", "<f2", ">f4", "<f8", ">f8"])


@many
@given(numbers, executors, st.data())
def test_converted_elements_are_those_of_astype(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model), small_runs():
        again = on_device(array, reader)
        wanted = data.draw(some.basic(case.shape) | some.one_array(case.shape))
        asked = data.draw(st.sampled_from(targets(model.dtype)))
        with np.errstate(all="ignore"):
            expected = np.asarray(model[wanted], model.dtype).astype(asked)
        assert_same_numbers(home(again.read(wanted, dtype=asked)), expected)
        out = odd_memory(data, device, expected.shape, expected.dtype)
        assert again.read(wanted, out=out, dtype=asked) is out
        assert_same_numbers(home(out), expected)
        assert_same_numbers(np.asarray(array.read(wanted, dtype=asked)), expected)


@few
@given(numbers.filter(lambda case: case.shape != ()), executors, st.data())
def test_converted_points_and_batches(device: Any, case: Case, reader: Any, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        again = on_device(array, reader)
        asked = data.draw(st.sampled_from(targets(model.dtype)))
        wanted = data.draw(some.coordinates(case.shape))
        with np.errstate(all="ignore"):
            whole = model.astype(asked)
        out = odd_memory(data, device, whole[wanted].shape, whole.dtype)
        assert_same_numbers(home(again.read(wanted, out=out, dtype=asked)), whole[wanted])
        each = [tuple(slice(k % n, k % n + 1) for n in case.shape) for k in range(3) if 0 not in case.shape]
        if each:
            assert_same_numbers(home(again.read_many(each, dtype=asked)), np.stack([whole[one] for one in each]))


def targets(dtype: np.dtype[Any]) -> list[str]:
    """Other types that elements may be read as."""
    known = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
    return [name for name in known if np.can_cast(dtype, name, "same_kind")]


def assert_same_numbers(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> None:
    """Of NaNs only that they are."""
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found, wanted)
    assert (np.signbit(found) == np.signbit(wanted)).all() or found.dtype.kind in "biu"


def test_elements_become_bfloat16_there(device: Any) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    found = home(on_device(stored([ZSTD])).read(dtype="bfloat16"))
    assert (found == values().astype(ml_dtypes.bfloat16)).all()


@pytest.mark.parametrize("shards", [None, (16, 32, 64)], ids=["chunks", "shards"])
def test_a_conversion_is_no_launch_of_its_own(shards: Any, device: Any) -> None:
    again = on_device(stored([], shards), strict=True)
    counts = []
    for asked in ("u2", "f4"):
        device.reset()
        found = again.read((slice(0, 16), slice(0, 32)), dtype=asked)
        counts.append([device.counts[name] for name in ("uploads", "downloads", "waits", "nvcomp")])
        assert (home(found) == values()[:16, :32]).all()
    assert counts[0] == counts[1]
    assert device.counts["launches"] <= 1 + (shards is not None)


# ---- every codec ---------------------------------------------------------------------------------------------

SHAPE, CHUNKS = (40, 50, 60), (8, 16, 32)


def blosc(**how: Any) -> dict[str, Any]:
    return {"name": "blosc", "configuration": {"clevel": 5, "typesize": 2, "blocksize": 0, **how}}


def numcodecs(name: str, **how: Any) -> dict[str, Any]:
    return {"name": f"numcodecs.{name}", "configuration": how}


GZIP, ZSTD = {"name": "gzip", "configuration": {"level": 5}}, {"name": "zstd", "configuration": {"level": 3}}

ON_DEVICE: dict[str, list[Any]] = {
    "none": [],
    "crc32c": ["crc32c"],
    "gzip": [GZIP],
    "zstd": [ZSTD],
    "zstd with checksums": [{"name": "zstd", "configuration": {"level": 3, "checksum": True}}],
    "zlib": [numcodecs("zlib", level=3)],
    "lz4": [numcodecs("lz4")],
    "zstd, crc32c": [ZSTD, "crc32c"],
    "shuffle, zstd": [numcodecs("shuffle", elementsize=2), ZSTD],
    "fletcher32": [numcodecs("fletcher32")],
    **{
        f"blosc {cname} {shuffle}": [blosc(cname=cname, shuffle=shuffle)]
        for cname in ("lz4", "lz4hc", "blosclz", "zstd", "zlib")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    },
}
"""Chains that are decoded on a device."""

TWO = tuple(name for name, decoder in DECODERS.items() if decoder.own and decoder.nvcomp)
"""Compressors of which there are two implementations: each chain of them is read by both."""

WAYS = [
    pytest.param(codecs, asked, id=name if asked == "auto" else f"{name}, {asked}")
    for name, codecs in ON_DEVICE.items()
    for asked in (("auto", "own") if set(TWO) & set(re.findall(r"\w+", name)) else ("auto",))
]
every_way = pytest.mark.parametrize(("codecs", "asked"), WAYS)

ON_HOST: dict[str, tuple[list[Any], str]] = {
    "bz2": ([numcodecs("bz2", level=1)], "bz2"),
    "lzma": ([numcodecs("lzma")], "lzma"),
    "zstd in gzip": ([ZSTD, GZIP], "gzip"),
    "delta": ([numcodecs("delta", dtype="<u2"), ZSTD], "delta"),
}
"""Chains that are not, and the codec that is why."""


def values() -> np.ndarray[Any, Any]:
    steps = np.random.default_rng(1).integers(-3, 4, SHAPE)
    found = (np.cumsum(steps, axis=2) + 500).astype("u2")
    found[16:32, 16:48, 32:] = 7  # chunks, in part of a shard, of nothing but the fill value
    return found


def stored(codecs: list[Any], shards: tuple[int, ...] | None = None, **how: Any) -> gpuzarr.Array:
    filters = [c for c in codecs if isinstance(c, dict) and "delta" in c["name"]]
    rest = [c for c in codecs if c not in filters]
    given = {"chunks": CHUNKS, "compressors": rest, "filters": filters, "fill_value": 7, "shards": shards, **how}
    array = gpuzarr.create_array({}, shape=SHAPE, dtype="u2", **given)
    array[...] = values()
    return array


@pytest.mark.parametrize("shards", [None, (16, 32, 64)], ids=["chunks", "shards"])
@every_way
def test_stored_bytes_cross_once_and_are_decoded_there(codecs: list[Any], asked: Any, shards: Any, device: Any) -> None:
    array = stored(codecs, shards)
    again = on_device(array, gpuzarr.Executor(codecs=asked), strict=True)
    device.reset()
    found = again[...]
    counts = dict(device.counts)
    assert (home(found) == values()).all()
    chunks = [k for k in array.store.list("") if "c/" in k]
    nbytes = sum(len(array.store.get(k)) for k in chunks)
    assert counts["uploads"] == counts["waits"] == 1 + (shards is not None)  # one window; one fills what is absent
    assert counts["uploaded_bytes"] < nbytes + 50_000  # tables
    assert counts["launches"] + counts["nvcomp"] <= 10
    assert counts["downloads"] <= 1
    assert counts["downloaded_bytes"] < 8_000  # statuses


@every_way
def test_launches_and_waits_do_not_depend_on_the_number_of_chunks(codecs: list[Any], asked: Any, device: Any) -> None:
    again = on_device(stored(codecs), gpuzarr.Executor(codecs=asked))
    counts = []
    for wanted in (slice(0, 8), slice(0, 16)):
        device.reset()
        again[wanted]
        counts.append([device.counts[name] for name in ("uploads", "launches", "nvcomp", "downloads", "waits")])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("shards", [None, (16, 32, 64)], ids=["chunks", "shards"])
@every_way
def test_after_the_first_read_nothing_is_allocated(codecs: list[Any], asked: Any, shards: Any, device: Any) -> None:
    again = on_device(stored(codecs, shards), gpuzarr.Executor(threads=2, window=1 << 16, codecs=asked))
    out = cupy.empty(SHAPE, "u2")
    again.read(..., out=out)
    again.read(..., out=out)
    device.reset()
    for _ in range(3):
        again.read(..., out=out)
    assert device.counts["allocations"] == device.counts["pinned_allocations"] == 0
    assert (home(out) == values()).all()


@pytest.mark.parametrize("codecs", [codecs for codecs, _ in ON_HOST.values()], ids=ON_HOST.keys())
def test_what_no_device_decodes_is_decoded_before_the_one_upload(codecs: list[Any], device: Any) -> None:
    again = on_device(stored(codecs))
    device.reset()
    found = again[...]
    assert device.counts["uploads"] == 1
    assert device.counts["launches"] == 1
    assert (home(found) == values()).all()


@pytest.mark.parametrize(("codecs", "name"), ON_HOST.values(), ids=ON_HOST.keys())
def test_strict_refuses_at_open_what_no_device_decodes(codecs: list[Any], name: str, device: Any) -> None:
    with pytest.raises(UnsupportedError, match=name):
        on_device(stored(codecs), strict=True)


@pytest.mark.parametrize("codecs", [["crc32c"], [GZIP]], ids=["crc32c", "gzip"])
def test_shards_that_codecs_wrap_are_unwrapped_on_the_host(codecs: list[Any], device: Any) -> None:
    sharding = {"chunk_shape": list(CHUNKS), "codecs": [{"name": "bytes"}, ZSTD], "index_codecs": ["bytes", "crc32c"]}
    serializer = {"name": "sharding_indexed", "configuration": sharding}
    how = {"chunks": (16, 32, 64), "serializer": serializer, "compressors": codecs}
    array = gpuzarr.create_array({}, shape=SHAPE, dtype="u2", fill_value=7, **how)
    array[...] = values()
    assert (home(on_device(array)[3:, ::2]) == values()[3:, ::2]).all()


@every_way
def test_windows_keep_to_the_device_memory_they_are_given(codecs: list[Any], asked: Any, device: Any) -> None:
    most = 1 << 19
    again = on_device(stored(codecs), gpuzarr.Executor(threads=2, device_memory=most, codecs=asked))
    said = again.explain().device
    assert said.windows > 2
    assert said.device_bytes <= most
    assert (home(again[...]) == values()).all()


# ---- what explain says ---------------------------------------------------------------------------------------


@many
@given(plain, executors, st.data())
def test_explain_says_beforehand_what_the_device_counts(device: Any, case: Case, reader: Any, data: Any) -> None:
    with case.filled() as (array, _):
        again = on_device(array, reader)
        wanted = data.draw(some.basic(case.shape) | some.one_array(case.shape))
        said = again.explain(wanted).device
        device.reset()
        again[wanted]
        names = ("uploads", "uploaded_bytes", "downloads", "downloaded_bytes", "launches", "waits")
        assert [getattr(said, name) for name in names] == [device.counts[name] for name in names]
        assert said.calls == device.counts["nvcomp"]


@every_way
def test_explain_names_whose_code_decodes(codecs: list[Any], asked: Any, device: Any) -> None:
    said = on_device(stored(codecs), gpuzarr.Executor(codecs=asked)).explain()
    assert said.device.decoded == "device"
    passes = [stage for stage in said.stages if stage.codec != "bytes"]
    assert all(stage.where == "device" and stage.code for stage in passes)
    assert said.straight == 0  # the array's edges cut no chunk of this shape into whole rows


def test_explain_says_why_chunks_are_decoded_on_the_host(device: Any) -> None:
    said = on_device(stored(ON_HOST["bz2"][0])).explain()
    assert (said.device.decoded, said.device.launches) == ("host", 1)
    assert "bz2" in said.device.why
    chosen = on_device(stored([ZSTD]), gpuzarr.Executor(decode="host")).explain()
    assert chosen.device.why == 'Executor(decode="host")'


def test_explain_says_what_writing_brings_home(device: Any) -> None:
    again = on_device(stored([ZSTD]))
    wanted = (slice(1, 9), slice(None), 5)
    whole = again[wanted]
    said = again.explain(wanted, writing=True)
    device.reset()
    again[wanted] = whole
    assert (said.downloads, said.downloaded_bytes) == (device.counts["downloads"], device.counts["downloaded_bytes"])
    assert (said.keys, said.partial, said.chunks) == (8, 8, 8)
    assert "1 download" in str(said)


# ---- Blosc ---------------------------------------------------------------------------------------------------


@many
@given(
    st.sampled_from(["lz4", "lz4hc", "blosclz", "zstd", "zlib"]),
    st.integers(0, 9),
    st.sampled_from(["noshuffle", "shuffle", "bitshuffle"]),
    st.integers(1, 255) | st.sampled_from([1, 2, 4, 8, 16, 17]),
    st.integers(0, 300) | st.sampled_from([0, 1 << 12, 1 << 15]),
    st.integers(1, 40_000),
    st.integers(0, 99),
    st.sampled_from(["auto", "own"]),
)
def test_blosc_whole(
    device: Any, cname: str, clevel: int, shuffle: str, typesize: int, blocksize: int, size: int, seed: int, asked: Any
) -> None:
    """Split and unsplit, raw and memcpyed, short last blocks, every typesize, blocks tiny and larger than the chunk."""
    how = {"cname": cname, "clevel": clevel, "shuffle": shuffle, "typesize": typesize, "blocksize": blocksize}
    codec = {"name": "blosc", "configuration": how}
    rng = np.random.default_rng(seed)
    model = rng.integers(0, rng.integers(1, 257), 2 * size, np.uint8)
    model[: rng.integers(0, size)] = 3
    array = gpuzarr.create_array({}, shape=model.shape, chunks=(size,), dtype="u1", compressors=codec)
    array[...] = model
    assert (home(on_device(array, gpuzarr.Executor(codecs=asked))[...]) == model).all()


# ---- what is wrong -------------------------------------------------------------------------------------------


@every_way
def test_damaged_chunks_give_the_hosts_error_or_the_hosts_values(codecs: list[Any], asked: Any, device: Any) -> None:
    array = stored(codecs)
    key = "c/1/1/0"
    whole = bytes(array.store.get(key))
    rng = np.random.default_rng(5)
    for _ in range(12):
        bad = bytearray(whole)
        kind = rng.integers(3)
        if kind == 0:
            bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        elif kind == 1:
            del bad[rng.integers(len(bad)) :]
        else:
            at = rng.integers(len(bad))
            bad[at : at + 9] = rng.integers(0, 256, 9, np.uint8).tobytes()
        array.store.put(key, bytes(bad))
        agree(array, asked)


def agree(array: gpuzarr.Array, asked: Any = "auto") -> None:
    """The device gives what the host gives: the same values, or the same error."""
    wanted, error = attempt(lambda: array[...])
    found, its = attempt(lambda: home(on_device(array, gpuzarr.Executor(codecs=asked))[...]))
    assert its == error
    assert error or (found == wanted).all()


def attempt(read: Callable[[], Any]) -> tuple[Any, Any]:
    """What a read gives, or its error: the kind, the key and the chunk."""
    try:
        return read(), None
    except GpuzarrError as error:
        return None, (type(error), *(getattr(error, name, None) for name in ("key", "chunk")))


@pytest.mark.parametrize("name", ["blosc lz4 shuffle", "zstd", "lz4", "none"])
def test_a_shard_that_ends_before_its_index_says_is_wrong_even_if_all_streams_are_whole(name: str, device: Any) -> None:
    sharding = {
        "chunk_shape": list(CHUNKS),
        "codecs": [{"name": "bytes"}, *ON_DEVICE[name]],
        "index_codecs": [{"name": "bytes"}],
        "index_location": "start",
    }
    how = {"chunks": (16, 32, 64), "serializer": {"name": "sharding_indexed", "configuration": sharding}}
    array = gpuzarr.create_array({}, shape=SHAPE, dtype="u2", fill_value=7, compressors=None, **how)
    array[...] = values()
    data = bytearray(array.store.get("c/0/0/0"))
    index = np.frombuffer(data, "<u8", 16).reshape(8, 2).copy()
    index[index[:, 0].argmax(), 1] += 4  # the last chunk in the file
    data[:128] = index.tobytes()
    array.store.put("c/0/0/0", bytes(data))
    with pytest.raises(CodecError, match="are stored of"):
        array[...]
    agree(array)


def test_the_error_names_codec_key_and_chunk(device: Any) -> None:
    array = stored([ZSTD])
    array.store.put("c/2/0/1", b"\x28\xb5\x2f\xfd rubbish")
    with pytest.raises(CodecError) as found:
        on_device(array)[...]
    assert (found.value.codec, found.value.key, found.value.chunk) == ("zstd", "c/2/0/1", (2, 0, 1))


def test_an_error_leaves_the_device_usable(device: Any) -> None:
    array = stored([blosc(cname="lz4")])
    again = on_device(array, gpuzarr.Executor(threads=2, window=1 << 14))
    good = bytes(array.store.get("c/2/2/0"))
    array.store.put("c/2/2/0", good[:50])
    for _ in range(3):
        with pytest.raises(CodecError):
            again[...]
    array.store.put("c/2/2/0", good)
    assert (home(again[...]) == values()).all()


# ---- writing -------------------------------------------------------------------------------------------------


@few
@given(plain, st.data())
def test_arrays_on_the_device_are_written_by_one_download(device: Any, case: Case, data: st.DataObject) -> None:
    with case.filled() as (array, model):
        whole = on_device(array)[...]
        changed = random_values(np.random.default_rng(7), case.shape, model.dtype)
        array[...] = changed
        device.reset()
        array[...] = whole
        assert device.counts["downloads"] <= 1
        assert_same(array[...], model)


def test_a_device_array_makes_an_array(device: Any) -> None:
    whole = on_device(stored([ZSTD]))[...]
    made = gpuzarr.array(whole, store={}, chunks=CHUNKS)
    assert made.dtype == np.uint16
    assert (made[...] == values()).all()


def test_numpy_gets_no_copy_that_nobody_asked_for(device: Any) -> None:
    found = on_device(stored([ZSTD]))[...]
    with pytest.raises(TypeError):
        np.asarray(found)


# ---- structured types ----------------------------------------------------------------------------------------


@few
@given(cases(dtypes=[[("x", "<i2"), ("y", ">f4"), ("name", "S2")]]), st.data())
def test_fields_are_read_there(device: Any, case: Case, data: st.DataObject) -> None:
    case.how = {k: v for k, v in case.how.items() if k in ("chunks", "order")} | {"zarr_format": 2}
    with case.filled() as (array, model):
        again = on_device(array)
        wanted = data.draw(some.basic(case.shape))
        items = wanted if isinstance(wanted, tuple) else (wanted,)
        assert_same(home(again[("y", *items)]), np.asarray(model["y"][wanted], "f4"))
        both = home(again[(["x", "name"], *items)])
        assert (both["x"] == model["x"][wanted]).all()


ODD = [
    [("x", ">i2"), ("y", "<f4"), ("name", "S2")],
    [("a", "|u1"), ("in", [("b", ">c16"), ("c", ">i2", (2,))]), ("u", ">U3")],
]
"""Structured types, some of whose bytes are not in the order that they have in memory."""


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressor", [None, {"id": "zstd"}, {"id": "blosc"}], ids=["none", "zstd", "blosc"])
@pytest.mark.parametrize("dtype", ODD, ids=["flat", "nested"])
def test_bytes_of_fields_are_put_in_order_there(device: Any, dtype: Any, compressor: Any, order: str) -> None:
    how: dict[str, Any] = {"dtype": dtype, "compressors": compressor, "order": order, "zarr_format": 2}
    array = gpuzarr.create_array({}, shape=(9, 7), chunks=(4, 3), **how)
    model = random_values(np.random.default_rng(2), (9, 7), array.dtype)
    array[...] = model
    again = on_device(array, strict=True)  # nothing by way of the host
    device.reset()
    assert_same(home(again[...]), model)
    assert (device.counts["uploads"], device.counts["waits"]) == (1, 1)
    assert_same(home(again[1::3, ::-2]), model[1::3, ::-2])
    assert_same(home(on_device(array, gpuzarr.Executor(decode="host"))[...]), model)
    assert "bytes: device (own kernel)" in str(again.explain())


@pytest.mark.parametrize("dtype", ["int4", "uint2", "float4_e2m1fn", "float6_e3m2fn"])
@pytest.mark.parametrize("compressors", [None, "zstd"])
def test_bits_of_no_meaning_are_cleared_there(device: Any, dtype: str, compressors: Any) -> None:
    array = gpuzarr.create_array({}, shape=(40, 5), chunks=(16, 5), dtype=dtype, compressors=compressors)
    raw = gpuzarr.create_array({}, shape=(40, 5), chunks=(16, 5), dtype="uint8", compressors=compressors)
    raw[...] = np.arange(200, dtype="u1").reshape(40, 5)
    for key in raw.store.list("c/"):  # as a writer leaves them that does not look at the upper bits
        array.store.put(key, raw.store.get(key))
    host = array[...]
    bits = int(re.findall(r"\d", dtype)[0])
    assert (host.view("u1") == raw[...] % (1 << bits)).all()
    again = on_device(array, strict=True)
    assert (home(again[...].view("u1")) == host.view("u1")).all()
    assert (home(again[3:37:5, 1].view("u1")) == np.ascontiguousarray(host[3:37:5, 1]).view("u1")).all()


def test_elements_too_large_to_be_put_in_order_there_are_on_the_host(device: Any) -> None:
    how = {"dtype": [("x", ">i2"), ("y", "V5000")], "zarr_format": 2}
    array = gpuzarr.create_array({}, shape=(3,), **how)
    array[...] = random_values(np.random.default_rng(2), (3,), array.dtype)
    again = on_device(array)
    assert "elements of 5002 bytes are put in order on the host" in str(again.explain())
    assert_same(home(again[...]), array[...])


# ---- streams and processes -----------------------------------------------------------------------------------


def test_a_read_on_another_stream_is_ordered_after_what_the_current_one_does(device: Any) -> None:
    again = on_device(stored([ZSTD]))
    stream = device.new_stream()
    found = again.read((slice(3, 20), 4), stream=stream)
    assert (device.peek(found) == values()[3:20, 4]).all()


def test_a_read_waits_for_whoever_uses_the_memory_it_is_given(device: Any) -> None:
    again = on_device(stored([ZSTD]))
    whole, other = cupy.empty(SHAPE, "u2"), device.new_stream()
    interface = {"version": 3, "shape": SHAPE, "typestr": "<u2", "data": (whole.data.ptr, False), "stream": other}
    out = type("Foreign", (), {"__cuda_array_interface__": interface})()
    device.reset()
    assert again.read(..., out=out) is out
    assert device.counts["stream_waits"] == 1
    assert (home(whole) == values()).all()


def test_fields_are_read_on_the_stream_that_is_named(device: Any) -> None:
    dtype = np.dtype([("x", "<i2"), ("y", "<f4")])
    array = gpuzarr.create_array({}, shape=(9,), chunks=(4,), dtype=dtype, zarr_format=2)
    model = random_values(np.random.default_rng(1), (9,), dtype)
    array[...] = model
    again, stream = on_device(array), device.new_stream()
    found = again.read("y", stream=stream)
    assert device.counts["stream_waits"] > 0
    device.stream_waits(device.current_stream(), device.record(stream))
    assert_same(home(found), np.ascontiguousarray(model["y"]))
    both = cupy.empty((9,), model[["x", "y"]].dtype)
    assert again.read(["x", "y"], out=both) is both
    assert (home(both)["x"] == model["x"]).all()


def test_an_array_is_sent_to_another_process_by_the_devices_name(device: Any) -> None:
    array = on_device(stored([ZSTD])).configure(meta_array=cupy.empty(()))
    again = pickle.loads(pickle.dumps(array))
    assert again.meta_array == "simulated"
    assert (home(again[:5]) == values()[:5]).all()
