"""Filters of numcodecs as array-to-array codecs of format 3: what is stored, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gpuzarr
from gpuzarr.errors import MetadataError

BIG = {"name": "bytes", "configuration": {"endian": "big"}}
TURN = {"name": "transpose", "configuration": {"order": [1, 0]}}
EXECUTORS = {"compiled": gpuzarr.Executor(threads=1), "Python": gpuzarr.Executor(threads=1, native=False)}


def filter_(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": f"numcodecs.{name}", "configuration": configuration}


DELTA = filter_("delta", dtype="<i4", astype="<i2")
SCALE = filter_("fixedscaleoffset", offset=0, scale=4, dtype="<f8", astype="<u2")
VALUES: NDArray[Any] = np.arange(12, dtype=np.int32).reshape(3, 4) ** 2
DIFFERENCES = np.concatenate(([0], np.diff(VALUES.ravel())))


def stored(store: dict[str, bytes]) -> bytes:
    return bytes(store["c/0/0"])


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=list(EXECUTORS))
@pytest.mark.parametrize(
    ("values", "how", "raw"),
    [
        (VALUES, {"filters": [DELTA]}, DIFFERENCES.astype("<i2")),
        (VALUES, {"filters": [DELTA], "serializer": BIG}, DIFFERENCES.astype(">i2")),
        (VALUES, {"filters": [TURN, DELTA]}, np.diff(VALUES.T.ravel(), prepend=0).astype("<i2")),
        (VALUES / 4, {"filters": [SCALE], "serializer": BIG}, VALUES.astype(">u2")),
        (VALUES / 4, {"filters": [SCALE, TURN]}, VALUES.T.astype("<u2")),
        (VALUES, {"filters": [DELTA, TURN]}, DIFFERENCES.reshape(3, 4).T.astype("<i2")),
        (VALUES / 4, {"filters": [SCALE, filter_("delta", dtype="<u2")]}, DIFFERENCES.astype("<u2")),
        (VALUES % 2 == 0, {"filters": [filter_("packbits")]}, np.array([4, 0b10101010, 0b10100000], np.uint8)),
    ],
    ids=["delta", "big", "transposed first", "scale big", "scale transposed", "delta transposed", "two", "packbits"],
)
def test_filters_see_elements_in_c_order_and_bytes_gives_their_results_an_order(
    values: NDArray[Any], how: dict[str, Any], raw: NDArray[Any], executor: gpuzarr.Executor
) -> None:
    store: dict[str, bytes] = {}
    array = gpuzarr.create_array(store, data=values, chunks=(3, 4), compressors=None, executor=executor, **how)
    assert stored(store) == raw.tobytes()
    assert np.array_equal(array[...], values)
    array[1:, 2:] = values[:2, :2]
    changed = values.copy()
    changed[1:, 2:] = values[:2, :2]
    assert np.array_equal(gpuzarr.open_array(store, executor=executor)[::-1, 1], changed[::-1, 1])


def test_bytes_to_bytes_codecs_are_no_filters() -> None:
    with pytest.raises(MetadataError, match="zlib"):
        gpuzarr.create_array({}, shape=4, dtype="int32", filters=[filter_("zlib", level=1)])


def test_a_shuffle_that_does_not_say_its_element_size_is_refused_where_readers_differ() -> None:
    how = {"shape": 4, "chunks": 4, "compressors": [filter_("shuffle")]}
    with pytest.raises(MetadataError, match="elementsize"):
        gpuzarr.create_array({}, dtype="float64", **how)
    array = gpuzarr.create_array({}, dtype="float32", **how)
    array[...] = 1.5
    assert array[2] == 1.5


ROUND = {"name": "bitround", "configuration": {"keepbits": 2}}


@pytest.mark.parametrize(
    ("dtype", "values", "rounded"),
    [
        ("uint8", [13, 90, 2, 255, 0, 10], [12, 96, 2, 192, 0, 8]),
        ("uint64", [13, 90, 2**63 + 2**60, 2**64 - 1, 0, 10], [12, 96, 2**63, 3 << 62, 0, 8]),
        ("int16", [13, 90, 2, 0, 10, 14], [12, 96, 2, 0, 8, 16]),
        ("float32", [1.1, 1.125, 1.375, -3.7, 0.0, np.inf], [1.0, 1.0, 1.5, -3.5, 0.0, np.inf]),
        ("float64", [1.1, 1.125, 1.375, -3.7, -0.0, 1.3e300], [1.0, 1.0, 1.5, -3.5, -0.0, 2.0**997]),
        ("complex64", [1.1 + 1.375j, -3.7j], [1.0 + 1.5j, -3.5j]),
        ("bfloat16", [1.1, 1.125, 1.375, -3.7], [1.0, 1.0, 1.5, -3.5]),
    ],
)
def test_bitround_keeps_some_bits_and_rounds_halves_to_even(dtype: str, values: Any, rounded: Any) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    how: dict[str, Any] = {"shape": (1, len(values)), "chunks": (1, 3), "dtype": dtype}
    for filters in ([ROUND], [TURN, ROUND], [ROUND, TURN]):
        for executor in EXECUTORS.values():
            array = gpuzarr.create_array({}, filters=filters, executor=executor, **how)
            array[0] = np.array(values, array.dtype)
            assert array[0].tolist() == np.array(rounded, array.dtype).tolist()


def test_bitround_agrees_with_numcodecs_about_floats() -> None:
    numcodecs = pytest.importorskip("numcodecs")
    rng = np.random.default_rng(3)
    for dtype, most in (("float16", 10), ("float32", 23), ("float64", 52)):
        values = rng.normal(size=1000).astype(dtype)
        for keepbits in (1, 5, most - 1, most):
            how = {"name": "bitround", "configuration": {"keepbits": keepbits}}
            array = gpuzarr.create_array({}, shape=1000, dtype=dtype, filters=[how])
            array[...] = values
            theirs = numcodecs.BitRound(keepbits)
            assert np.array_equal(array[...], theirs.decode(theirs.encode(values)))


@pytest.mark.parametrize("how", [{"dtype": "bool"}, {"dtype": "S3"}, {"dtype": "r16"}, {"dtype": "float8_e5m2"}])
def test_bitround_is_for_numbers(how: dict[str, Any]) -> None:
    pytest.importorskip("ml_dtypes")
    with pytest.raises(MetadataError, match="bitround"):
        gpuzarr.create_array({}, shape=4, filters=[ROUND], **how)


def test_a_level_of_zstd_that_numcodecs_wrote_is_taken_for_the_nearest() -> None:
    array = gpuzarr.create_array({}, shape=4, dtype="int32", compressors=[filter_("zstd", level=100)], zarr_format=2)
    array[...] = 3
    assert array[...].tolist() == [3, 3, 3, 3]
