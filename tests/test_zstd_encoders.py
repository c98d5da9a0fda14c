"""Frames of every encoder at hand decode on the emulated kernel to what libzstd makes of them, which is what went in.

tests/corpus/zstd_encoders.npz holds frames of encoders that no wheel has, made once from a digital elevation model,
depths of the sea, a program's text, a sparse mask and labels: of the Go port, klauspost/compress 1.15.12, at its four
levels, with a small window, and flushed; of libzstd 1.3.0, 1.3.8 and 1.4.5 (2017 to 2020); of zstd 1.5.4 with small
target blocks (`--target-compressed-block-size`), and with `--ultra -22 --long=31`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cramjam
import matplotlib.cbook
import numcodecs.zstd
import numpy as np
import pytest
import zstandard
from lz_formats import FORMAT
from lz_streams import corpora
from zstd_frames import Stream
from zstd_launch import decode, disagreements, emulator

from kernels import needs_compiler

pytestmark = needs_compiler

FRAMES = Path(__file__).parent / "corpus" / "zstd_encoders.npz"


def sample(name: str) -> Path:
    return Path(matplotlib.cbook.get_sample_data(name, asfileobj=False))


@cache
def real_data() -> dict[str, bytes]:
    """Arrays that wheels ship, as they lie in chunks."""
    topography = np.load(sample("topobathy.npz"))["topo"]
    elevation = np.load(sample("jacksboro_fault_dem.npz"))["elevation"]
    scan = np.frombuffer(gzip.decompress(sample("s1045.ima.gz").read_bytes()), ">u2").astype("<u2")
    return {
        "float32 depths of the sea": topography.tobytes(),
        "the same, byte-shuffled": topography.view("u1").reshape(-1, 4).T.tobytes(),
        "int16 elevation": elevation.tobytes(),
        "uint16 scan of a head": scan.tobytes(),
        "float32 of an EEG": sample("eeg.dat").read_bytes(),
        "text": sample("Stocks.csv").read_bytes(),
        "a JPEG": sample("grace_hopper.jpg").read_bytes(),
        "labels": corpora()["labels"].tobytes(),
        "a mask": corpora()["mask"].tobytes(),
    }


Encoder = Callable[[bytes, int], bytes]
ENCODERS: dict[str, Encoder] = {
    "numcodecs": lambda data, level: bytes(numcodecs.zstd.compress(data, level, level == 1)),
    "zstandard": lambda data, level: zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data),
    "cramjam": lambda data, level: bytes(cramjam.zstd.compress(data, level)),
}


def equal(streams: list[Stream]) -> None:
    """They decode to what libzstd says, and none is refused."""
    got = decode(emulator("fast"), streams)
    assert not disagreements(streams, got, model=False)
    assert not any(status for status, _ in got)


@pytest.mark.parametrize("level", [-20, 1, 3, 6, 13, 22])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_real_data_at_every_kind_of_level(encoder: str, level: int) -> None:
    """Which are libzstd's strategies: fast, dfast, greedy, lazy, btlazy2 and btultra2."""
    datas = [data[: 1 << 17] if level > 9 else data for data in real_data().values()]
    streams = [(ENCODERS[encoder](data, level), len(data)) for data in datas]
    got = decode(emulator("fast"), streams, shift=level % 16)
    assert [status for status, _ in got] == [0] * len(datas)
    assert [output for _, output in got] == datas


def of_other_encoders() -> list[Stream]:
    with np.load(FRAMES, allow_pickle=False) as saved:
        ends, data = np.cumsum(saved["size"], dtype=np.int64), saved["data"].tobytes()
        rows = zip(ends.tolist(), saved["size"].tolist(), saved["room"].tolist(), strict=True)
        return [(data[end - size : end], room) for end, size, room in rows]


def test_encoders_that_no_wheel_has() -> None:
    with np.load(FRAMES, allow_pickle=False) as saved:
        assert len({str(name) for name in saved["encoder"]}) == 13
    equal(of_other_encoders())


# ---- what encoders seldom do -------------------------------------------------------------------------------------


def of(data: bytes, **settings: int) -> Stream:
    made = zstandard.ZstdCompressionParameters(**settings)
    return zstandard.ZstdCompressor(compression_params=made).compress(data), len(data)


def flushed(data: bytes, step: int, how: int, level: int = 3) -> Stream:
    writer = zstandard.ZstdCompressor(level=level, write_content_size=False).compressobj()
    parts = [writer.compress(data[k : k + step]) + writer.flush(how) for k in range(0, len(data), step)]
    return b"".join(parts) + writer.flush(), len(data)


def test_windows_of_a_kilobyte_to_two_gigabytes() -> None:
    data = b"".join(real_data()[name] for name in ("text", "int16 elevation", "text"))
    equal([of(data, window_log=log, enable_ldm=log > 20) for log in (10, 11, 17, 24, 27, 31)])


def test_ultra_levels() -> None:
    data = real_data()["the same, byte-shuffled"]
    equal([(zstandard.ZstdCompressor(level=level).compress(data), len(data)) for level in (19, 20, 21, 22)])


def test_thousands_of_tiny_blocks() -> None:
    text = real_data()["text"]
    steps = (1, 2, 9, 50, 1000)
    equal([flushed(text[: 2000 * step], step, zstandard.COMPRESSOBJ_FLUSH_BLOCK, level=step % 19) for step in steps])


@pytest.mark.parametrize("count", [1, 2, 3, 100, 131_072, 131_073, 1 << 20])
def test_one_symbol_over_and_over(count: int) -> None:
    equal([of(bytes([7]) * count, compression_level=level) for level in (-1, 1, 19)])


def test_nothing() -> None:
    frames = [of(b"", write_content_size=told, write_checksum=checked) for told in (0, 1) for checked in (0, 1)]
    got = decode(emulator("check"), frames)
    assert got == [(0, b"")] * 4


def test_several_threads_and_no_size() -> None:
    data = real_data()["int16 elevation"] * 4
    equal([of(data, threads=2, job_size=1 << 19, overlap_log=log, write_content_size=0) for log in (1, 9)])


def test_frames_that_are_none() -> None:
    """Without their magic number, skippable, or two: a kernel's row is one frame, and the host tells them apart."""
    data = real_data()["text"][:5000]
    bare, _ = of(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    frame, _ = of(data)
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    pairs = [(skippable + frame, 5000), (frame + frame, 10_000), (frame + skippable, 5000)]
    statuses = [status for status, _ in decode(emulator("check"), [(bare, 5000), (skippable, 4), *pairs])]
    assert all(statuses)
    assert statuses[:3] == [FORMAT] * 3


def test_frames_for_a_dictionary_are_refused() -> None:
    samples = [bytes([k % 7, k % 5, k % 3]) * 40 for k in range(2000)]
    trained = zstandard.train_dictionary(2048, samples)
    frame = zstandard.ZstdCompressor(dict_data=trained).compress(samples[5])
    assert decode(emulator("check"), [(frame, len(samples[5]))])[0][0] == FORMAT
