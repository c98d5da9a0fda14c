"""Which of two implementations decodes streams on a device: what is asked for, what is there, and what each takes."""

from __future__ import annotations

import gzip
import pickle
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numcodecs import blosc, zstd
from test_frames import frame, reframed, skippable, values

import gpuzarr
from gpuzarr import testing
from gpuzarr.codecs.device import DeviceChain, bind_device
from gpuzarr.cuda.decoders import DECODERS, Way, way_of
from gpuzarr.cuda.program import Share
from gpuzarr.errors import CodecError, UnsupportedError
from gpuzarr.testing.nvcomp import SimulatedNvcomp

cupy = pytest.importorskip("cupy", reason="the simulated device makes CuPy arrays")

OFFER = SimulatedNvcomp(lambda address, nbytes: np.zeros(nbytes, np.uint8))
TWO = [name for name, decoder in DECODERS.items() if decoder.own and decoder.nvcomp]
"""Compressors of two implementations."""


@pytest.fixture(scope="module")
def device() -> Iterator[testing.SimulatedDevice]:
    with testing.simulated_device() as made:
        yield made


@pytest.fixture
def bare() -> Iterator[testing.SimulatedDevice]:
    """A device without nvCOMP."""
    with testing.simulated_device(nvcomp=False) as made:
        yield made


# ---- which it is ---------------------------------------------------------------------------------------------


def test_nvcomp_goes_first_where_it_is_and_our_kernel_elsewhere() -> None:
    assert way_of("zstd", OFFER, "auto") == Way("zstd", "gz_zstd", OFFER, None)
    assert way_of("zstd", None, "auto") == Way("zstd", "gz_zstd", None, "nvCOMP is not there")


@pytest.mark.parametrize("codec", TWO)
def test_one_may_be_asked_for(codec: str) -> None:
    own = way_of(codec, OFFER, "own")
    assert isinstance(own, Way)
    assert (own.nvcomp, own.code, own.why) == (None, "own kernel", "asked for")
    other = way_of(codec, OFFER, "nvcomp")
    assert isinstance(other, Way)
    assert (other.own is not None, other.code, other.why) == (True, OFFER.title, "asked for")
    missing = way_of(codec, None, "nvcomp")
    assert isinstance(missing, Way)
    assert (missing.code, missing.why) == ("own kernel", "nvCOMP is not there")


@pytest.mark.parametrize("codec", [name for name, decoder in DECODERS.items() if not decoder.nvcomp])
def test_where_there_is_one_nothing_is_to_be_said(codec: str) -> None:
    for offer in (OFFER, None):
        for asked in ("auto", "own", "nvcomp"):
            assert way_of(codec, offer, asked) == Way(codec, DECODERS[codec].own, None, None)  # type: ignore[arg-type]


def test_what_nvcomp_says_it_lacks_is_ours() -> None:
    class Less(SimulatedNvcomp):
        def why_not(self, codec: str) -> str | None:
            return "too old" if codec == "zstd" else None

    assert way_of("zstd", Less(OFFER._memory), "auto") == Way("zstd", "gz_zstd", None, "too old")


# ---- the executor --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codecs", ["auto", "own", "nvcomp", {}, {"zstd": "own"}, {"zstd": "nvcomp", "lz4": "own"}])
def test_an_executor_takes_its_codecs_along(codecs: Any) -> None:
    executor = gpuzarr.Executor(threads=3, codecs=codecs)
    again = pickle.loads(pickle.dumps(executor))
    assert again.codecs == executor.codecs == codecs
    assert again.asked == executor.asked
    assert repr(again) == repr(executor)
    assert (repr(codecs) in repr(executor)) == (codecs != "auto")


def test_a_word_is_for_all_compressors_and_a_mapping_for_those_it_names() -> None:
    assert gpuzarr.Executor(codecs="own").asked == dict.fromkeys(DECODERS, "own")
    assert gpuzarr.Executor(codecs={"zstd": "own"}).asked == {"zstd": "own"}


@pytest.mark.parametrize(
    ("codecs", "says"),
    [
        ("ours", 'codecs: \'ours\' is none of "auto", "own", "nvcomp"'),
        ({"zstd": "ours"}, 'codecs: \'ours\' is none of "auto", "own", "nvcomp"'),
        ({"blosc": "own"}, "codecs: 'blosc' is none of blosclz, lz4, snappy, zstd"),
        ({"lz4": "nvcomp"}, "codecs: lz4 is decoded by a kernel of our own only"),
        (None, 'codecs must be "auto", "own", "nvcomp", or such a word by compressor, not None'),
        (["own"], "codecs must be"),
        ({"zstd": ["own"]}, "is none of"),
    ],
)
def test_other_codecs_are_refused(codecs: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        gpuzarr.Executor(codecs=codecs)


def test_it_is_inherited_and_changes_with_the_executor(device: Any) -> None:
    group = gpuzarr.create_group({}, meta_array="simulated", executor=gpuzarr.Executor(codecs="own"))
    array = group.create_array("a", data=np.arange(100), chunks=(50,), compressors="zstd")
    assert bound(group["a"]).by_nvcomp == bound(array).by_nvcomp == set()
    assert bound(array.configure(executor=gpuzarr.Executor())).by_nvcomp == {"zstd"}
    assert bound(pickle.loads(pickle.dumps(array))).by_nvcomp == set()


def bound(array: Any) -> DeviceChain:
    found: DeviceChain = array._reader.device
    return found


# ---- what each takes -----------------------------------------------------------------------------------------


def checked_member(data: bytes) -> bytes:
    """A gzip member whose header has a checksum."""
    plain = gzip.compress(data, mtime=0)
    header = plain[:3] + b"\2" + plain[4:10]
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + plain[10:]


UNVERIFIED, UNSAID = "nvCOMP does not verify its checksum", "a frame does not say its decoded size"
MEMBERS = "it has several members, or bytes behind the last"
HALVES = gzip.compress(values(5000)[:2500]), gzip.compress(values(5000)[2500:])
ODD = {
    "a checksum": ("zstd", frame(values(5000), checksum=True), UNVERIFIED),
    "no size": ("zstd", reframed(frame(values(5000)), content=None, window=17), UNSAID),
    "a large window": ("zstd", reframed(frame(values(5000)), window=28), "a frame's window is larger than 128 MiB"),
    "a checked header": ("gzip", checked_member(values(5000)), UNVERIFIED),
    "several members": ("gzip", b"".join(HALVES), MEMBERS),
    "zeros between and behind members": ("gzip", bytes(70).join(HALVES) + bytes(9), MEMBERS),
}
"""Streams that nvCOMP does not take, and our kernel does."""

PLAIN = {"zstd": frame(values(5000)), "gzip": gzip.compress(values(5000))}


def array_of(parts: list[bytes], nbytes: int = 5000, codec: str = "zstd") -> gpuzarr.Array:
    """An array of `nbytes` bytes a chunk, whose chunks are stored as these bytes."""
    shape = (nbytes * len(parts),)
    array = gpuzarr.create_array({}, shape=shape, chunks=(nbytes,), dtype="u1", compressors=codec)
    for k, part in enumerate(parts):
        array.store.put(f"c/{k}", part)
    return array


def on(array: gpuzarr.Array, **how: Any) -> gpuzarr.Array:
    executor = gpuzarr.Executor(threads=2, **how)
    return gpuzarr.open_array(array.store, path=array.path, executor=executor, meta_array="simulated", strict=True)


@pytest.mark.parametrize("name", ODD)
def test_streams_that_nvcomp_does_not_take_are_decoded_by_our_kernel(name: str, device: Any) -> None:
    codec, part, why = ODD[name]
    plain = PLAIN[codec]
    array = array_of([plain, part, plain, plain, part], codec=codec)
    assert (array[...].reshape(5, 5000) == np.frombuffer(values(5000), "u1")).all()
    again = on(array)
    said = again.explain().device
    device.reset()
    found = testing.to_host(again[...])
    assert (found.reshape(5, 5000) == np.frombuffer(values(5000), "u1")).all()
    assert said.streams == (Share(codec, OFFER.title, None, 3), Share(codec, "own kernel", why, 2))
    assert f"2 streams of {codec} by own kernel: {why}" in str(again.explain())
    assert said.on_host == 0
    launches = 1 if codec == "zstd" else 2  # one of them for the checksums of what nvCOMP decodes
    assert (said.calls, said.launches) == (1, launches) == (device.counts["nvcomp"], device.counts["launches"])


@pytest.mark.parametrize("name", ODD)
def test_without_nvcomp_all_streams_are_our_kernels(name: str, bare: Any) -> None:
    codec, part, _ = ODD[name]
    again = on(array_of([PLAIN[codec], part], codec=codec))
    assert again.explain().device.streams == (Share(codec, "own kernel", "nvCOMP is not there", 2),)
    assert (testing.to_host(again[...]).reshape(2, 5000) == np.frombuffer(values(5000), "u1")).all()
    assert (bare.counts["nvcomp"], bare.counts["launches"]) == (0, 1)
    assert str(again.explain().stages[-1]) == f"{codec}: device (own kernel); nvCOMP is not there"


MISTAKES = {
    "a member and a copy of it": ("gzip", 2 * PLAIN["gzip"]),
    "a member and something else": ("gzip", PLAIN["gzip"] + b"something else"),
    "a member of nothing and half": ("gzip", gzip.compress(b"") + HALVES[0]),
    "a wrong checksum": ("gzip", PLAIN["gzip"][:-8] + b"1234" + PLAIN["gzip"][-4:]),
    "a wrong checksum of a header": ("gzip", checked_member(values(5000))[:10] + b"12" + checked_member(b"")[12:]),
    "a wrong Adler-32": ("numcodecs.zlib", zlib.compress(values(5000))[:-1] + b"1"),
    "a dictionary": ("numcodecs.zlib", b"\x78\xbb" + zlib.compress(values(5000))[2:]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_our_kernel_finds_the_mistakes_that_the_host_finds(name: str, bare: Any) -> None:
    """Among them one that nvCOMP can't show: of a member and a copy of it, size and checksum stand at the end."""
    codec, part = MISTAKES[name]
    config: Any = codec if codec == "gzip" else {"name": codec, "configuration": {"level": 1}}
    array = array_of([part], codec=config)
    with pytest.raises(CodecError) as host:
        array[...]
    with pytest.raises(CodecError) as ours:
        gpuzarr.open_array(array.store, meta_array="simulated")[...]
    assert str(ours.value) == str(host.value)


def test_what_follows_a_zlib_stream_is_no_part_of_it(bare: Any) -> None:
    config: Any = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
    again = on(array_of([zlib.compress(values(5000)) + b"and more"], codec=config))
    assert testing.to_host(again[...]).tobytes() == values(5000)


def test_a_chunk_may_have_streams_for_both(device: Any) -> None:
    data = values(5000)
    mixed = frame(data[:1000]) + skippable(b"x") + frame(data[1000:3000], checksum=True) + frame(data[3000:])
    again = on(array_of([mixed, frame(data)]))
    assert (testing.to_host(again[...]).reshape(2, 5000) == np.frombuffer(data, "u1")).all()
    assert [(share.code, share.streams) for share in again.explain().device.streams] == [
        (OFFER.title, 3),
        ("own kernel", 1),
    ]


def test_blocks_of_blosc_are_told_apart_as_chunks_are(device: Any) -> None:
    """c-blosc writes no checksums, but reads them."""
    data = np.cumsum(np.random.default_rng(0).integers(-2, 3, 40_000)).astype("<u2")
    container = bytearray(blosc.compress(data, b"zstd", 5, blosc.NOSHUFFLE, 1 << 17))
    assert int.from_bytes(container[16:20], "little") == 20
    checked = zstd.compress(data.tobytes(), 3, True)
    body = len(checked).to_bytes(4, "little") + checked
    container[12:16] = (20 + len(body)).to_bytes(4, "little")
    compressors = {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "noshuffle"}}
    array = gpuzarr.create_array({}, shape=data.shape, chunks=data.shape, dtype="u2", compressors=compressors)
    array.store.put("c/0", bytes(container[:20]) + body)
    assert (array[...] == data).all()
    again = on(array)
    assert again.explain().device.streams == (Share("zstd", "own kernel", UNVERIFIED, 1),)
    assert (testing.to_host(again[...]) == data).all()
    array.store.put("c/0", bytes(container[:20]) + body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(CodecError):
        on(array)[...]


def test_streams_for_which_nvcomp_wants_too_much_memory_are_our_kernels(device: Any) -> None:
    data = values(100_000)
    again = on(array_of([frame(data), frame(data[::-1])], len(data)), window=1 << 14)
    assert {share.why for share in again.explain().device.streams} == {
        "nvCOMP needs more temporary memory for it than there is"
    }
    device.reset()
    assert testing.to_host(again[...]).tobytes() == data + data[::-1]
    assert device.counts["nvcomp"] == 0


@pytest.mark.parametrize("checksum", [False, True])
def test_blocks_of_all_frames_are_decoded_side_by_side_by_two_launches(checksum: bool, bare: Any) -> None:
    """Whatever the number of frames; those of a block, or of nothing compressed, by a third."""
    data, noise = values(300_000), np.random.default_rng(1).bytes(300_000)
    parts = [frame(data, checksum), frame(data[::-1], checksum), frame(noise), frame(data[7:] + bytes(7), checksum)]
    for some, launches in (([0], 2), ([0, 1, 3] * 2, 2), ([2], 1), ([2, 0, 3, 2], 3)):
        again = on(array_of([parts[k] for k in some], len(data)))
        bare.reset()
        found = testing.to_host(again[...]).tobytes()
        assert bare.counts["launches"] == launches == again.explain().device.launches
        assert found == b"".join((data, data[::-1], noise, data[7:] + bytes(7))[k] for k in some)


def test_a_frame_of_several_blocks_that_is_damaged_gives_the_hosts_error(bare: Any) -> None:
    good, rng = frame(values(300_000)), np.random.default_rng(2)
    array = array_of([good, good], 300_000)
    for _ in range(6):
        bad = bytearray(good)
        bad[rng.integers(len(bad) // 3, len(bad))] ^= 1 << rng.integers(8)
        array.store.put("c/1", bytes(bad))
        try:
            wanted: Any = array[...].tobytes()
        except CodecError as error:
            wanted = (error.reason, error.key, error.chunk)
        try:
            found: Any = testing.to_host(on(array)[...]).tobytes()
        except CodecError as error:
            found = (error.reason, error.key, error.chunk)
        assert found == wanted


@pytest.mark.parametrize("codecs", ["own", "nvcomp", "auto"])
def test_frames_that_neither_takes_are_the_hosts_whichever_is_asked_for(codecs: Any, device: Any) -> None:
    data = values(5000)
    array = array_of([frame(b"", checksum=True) + frame(data), frame(data)])
    again = gpuzarr.open_array(array.store, executor=gpuzarr.Executor(codecs=codecs), meta_array="simulated")
    assert again.explain().device.on_host == 1
    assert testing.to_host(again[...]).tobytes() == 2 * data
    with pytest.raises(UnsupportedError, match="strict"):
        on(array, codecs=codecs)[...]
    hidden = reframed(frame(data[:2500]), content=None, window=17)
    array.store.put("c/1", hidden + hidden)
    with pytest.raises(CodecError, match="without a content size"):
        again[...]


def test_asked_for_our_kernels_nvcomp_is_never_called(device: Any) -> None:
    array = array_of([frame(values(5000))] * 3)
    assert bind_device(array._binding.chain.leaf, OFFER, {"zstd": "own"}).by_nvcomp == set()
    again = on(array, codecs={"zstd": "own"})
    device.reset()
    again[...]
    assert device.counts["nvcomp"] == 0
    assert str(again.explain().stages[-1]) == "zstd: device (own kernel); asked for"
