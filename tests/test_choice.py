"""Where chunks are decoded: many streams on the device, few huge ones on the host, and wherever one says."""

from __future__ import annotations

from typing import Any

import pytest

import gpuzarr
from gpuzarr.codecs.chain import Chain
from gpuzarr.cuda.decoders import DECODERS
from gpuzarr.execute.choice import NVCOMP, OWN, choose

ZSTD = {"name": "zstd", "configuration": {"level": 3}}


def chain(shape: tuple[int, ...], compressors: Any) -> Chain:
    made = gpuzarr.create_array({}, shape=shape, chunks=shape, dtype="u2", compressors=compressors)
    return made._binding.chain


def blosc(cname: str) -> dict[str, Any]:
    return {"name": "blosc", "configuration": {"cname": cname, "clevel": 5, "shuffle": "shuffle", "typesize": 2}}


@pytest.mark.parametrize("compressors", [ZSTD, blosc("lz4"), blosc("zstd")], ids=["zstd", "blosc lz4", "blosc zstd"])
def test_a_thousand_small_chunks_are_the_devices(compressors: Any) -> None:
    assert choose(chain((32, 32, 32), compressors), 4000, "auto", threads=16).on_device


def test_a_few_huge_frames_are_the_hosts() -> None:
    choice = choose(chain((256, 256, 128), ZSTD), 8, "auto", threads=16)
    assert not choice.on_device
    assert "ms on the device" in choice.why
    assert "by 16 threads" in choice.why


def test_the_same_bytes_in_blocks_are_the_devices() -> None:
    assert choose(chain((256, 256, 128), blosc("zstd")), 64, "auto", threads=16).on_device


def test_more_threads_are_more_for_the_host() -> None:
    huge = chain((256, 256, 128), ZSTD)
    asked = [choose(huge, 100, "auto", threads=n).on_device for n in (1, 2, 4, 64, 256)]
    assert asked == sorted(asked, reverse=True)
    assert asked[0]
    assert not asked[-1]


def test_the_estimate_is_that_of_whose_code_decodes() -> None:
    """Of Blosc, for the compressor inside."""
    for compressors in (ZSTD, blosc("zstd")):
        many = chain((32, 32, 32), compressors)
        ours, theirs = (choose(many, 4000, "auto", 16, by_nvcomp=by) for by in ((), ("zstd",)))
        assert ours.why != theirs.why
        assert choose(many, 4000, "auto", 16, by_nvcomp=("zlib",)) == ours


def test_a_huge_frame_is_less_slow_where_its_blocks_are_decoded_side_by_side() -> None:
    zstd = OWN["zstd"]
    assert zstd.of(1 << 10) == 1024 * zstd.stream
    assert zstd.of(1 << 24) < NVCOMP["zstd"].of(1 << 24) == (1 << 24) * NVCOMP["zstd"].stream


def test_every_compressor_that_a_device_decodes_has_an_estimate() -> None:
    assert {name for name, decoder in DECODERS.items() if decoder.own} == OWN.keys()
    assert {name for name, decoder in DECODERS.items() if decoder.nvcomp} == NVCOMP.keys()


@pytest.mark.parametrize("where", ["device", "host"])
def test_the_executor_has_the_last_word(where: Any) -> None:
    for chunks in (1, 10_000):
        choice = choose(chain((32, 32, 32), ZSTD), chunks, where, threads=4)
        assert choice.on_device == (where == "device")
        assert choice.why == f'Executor(decode="{where}")'


def test_what_is_not_compressed_is_the_devices() -> None:
    assert choose(chain((256, 256, 128), []), 2, "auto", threads=16).on_device


def test_an_executor_knows_three_places() -> None:
    with pytest.raises(ValueError, match="decode must be"):
        gpuzarr.Executor(decode="gpu")  # type: ignore[arg-type]
    assert "decode='host'" in repr(gpuzarr.Executor(decode="host"))
