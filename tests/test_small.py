"""Small boxes of arrays in files are read in one call of the compiled module: the same values, the same errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NATIVE, NATIVE_THREADS, PYTHON, assert_same, random_values

import gpuzarr
from gpuzarr import native
from gpuzarr.errors import CodecError
from gpuzarr.execute import small
from gpuzarr.execute.small import SmallReads

pytestmark = pytest.mark.skipif(native.load() is None, reason=f"no compiled module: {native.why_not()}")

SHAPE, CHUNKS, SHARDS = (20, 30, 25), (4, 8, 5), (8, 16, 15)
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
LAYOUTS: dict[str, dict[str, Any]] = {
    "files": {},
    "files, v2 keys": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "format 2, F order": {"zarr_format": 2, "order": "F"},
    "shards": {"shards": SHARDS},
    "shards, index first": {"shards": {"shape": SHARDS, "index_location": "start"}},
}


def make(where: Path, dtype: str = ">i4", **how: Any) -> tuple[gpuzarr.Array, np.ndarray[Any, Any]]:
    given = {"chunks": CHUNKS, "fill_value": 3, "compressors": ZSTD, **how}
    if given.get("zarr_format") == 2:
        given["compressors"] = {"id": "zstd", "level": 1}
    array = gpuzarr.create_array(where, shape=SHAPE, dtype=dtype, overwrite=True, executor=NATIVE, **given)
    model = random_values(np.random.default_rng(1), SHAPE, array.dtype)
    model[8:16, 16:, :10] = 3  # chunks that are not stored
    array[...] = model
    return array, model


def items(n: int) -> st.SearchStrategy[Any]:
    edge = st.none() | st.integers(-n - 2, n + 2)
    return st.builds(slice, edge, edge, st.sampled_from([None, 1])) | st.integers(-n, n - 1)


@pytest.fixture(scope="module", params=LAYOUTS.values(), ids=LAYOUTS.keys())
def stored(request: Any, tmp_path_factory: Any) -> tuple[gpuzarr.Array, Any]:
    return make(tmp_path_factory.mktemp("small"), **request.param)


@settings(max_examples=60)
@given(st.tuples(*map(items, SHAPE)), st.sampled_from([NATIVE, NATIVE_THREADS]))
def test_a_small_box_is_numpys(stored: Any, wanted: Any, executor: Any) -> None:
    array, model = stored
    again = array.configure(executor=executor)
    for _ in range(2):  # the second time shard indexes are known
        assert_same(again[wanted], model[wanted])


@settings(max_examples=60)
@given(st.tuples(*map(items, SHAPE)))
def test_a_box_shared_by_threads_is_numpys(stored: Any, wanted: Any) -> None:
    array, model = stored
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "RUN", 1)
        patch.setattr(small, "FEW", 1 << 40)
        again = array.configure(executor=NATIVE_THREADS)
        for _ in range(2):
            assert_same(again[wanted], model[wanted])


def test_no_plan_is_made_for_it(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    array, model = stored
    wanted = (slice(0, 6), slice(3, 9), slice(4, 8))
    array[wanted]
    monkeypatch.setattr(gpuzarr.Array, "read", None)
    assert_same(array[wanted], model[wanted])
    assert_same(array[1, -28, 3], model[1, -28, 3])


@pytest.mark.parametrize("layout", ["files", "shards"])
def test_damage_gives_the_precise_error(layout: str, tmp_path: Path) -> None:
    array, _ = make(tmp_path, **LAYOUTS[layout])
    wanted = (slice(0, 3), slice(0, 3), slice(0, 3))
    array[wanted]
    path = tmp_path / "c" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[4:12] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(CodecError) as found:
        array[wanted]
    assert (found.value.codec, found.value.key, found.value.chunk) == ("zstd", "c/0/0/0", (0, 0, 0))


@pytest.mark.parametrize("layout", ["files", "shards"])
def test_what_others_write_is_seen(layout: str, tmp_path: Path) -> None:
    array, model = make(tmp_path, **LAYOUTS[layout])
    wanted = (slice(1, 3), slice(2, 5), 7)
    assert_same(array[wanted], model[wanted])
    gpuzarr.open_array(tmp_path, mode="r+", executor=PYTHON)[:9, :9] = 7
    assert (array[wanted] == 7).all()


def test_a_resized_array_is_read_by_its_new_shape(tmp_path: Path) -> None:
    array, _ = make(tmp_path)
    array[0, 0, 0:2]
    array.resize((40, 30, 25))
    assert (array[30:33, 2:4, 1] == 3).all()
    assert array[-40, 0, 0] == array[0, 0, 0]


def test_what_is_not_simple_is_planned(stored: Any) -> None:
    array, _ = stored
    array[0, 0, 0]
    reads = array._small
    assert isinstance(reads, SmallReads)
    first = slice(0, 2)
    assert reads.read((first, first, first)) is not None
    for wanted in (
        (first, first),
        (first, first, slice(0, 4, 2)),
        (first, first, slice(4, 0, -1)),
        (first, first, slice(3, 3)),
        (first, first, 99),
        (first, first, True),
        (first, first, np.int64(1)),
        (first, first, [0, 1]),
        (first, first, ...),
        (slice(None),) * 3,
    ):
        assert reads.read(wanted) is None
