"""The LZ4, BloscLZ and Snappy kernels do what the libraries do, whatever the bytes, and touch nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from fuzz_kernels import load_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from lz_formats import BLOSCLZ, FORMAT, FORMATS, LZ4, OFFSET, OVERFLOW, SIZE, SNAPPY, TRUNCATED, Format
from lz_launch import ORDERS, Order, decode, disagreements, emulator
from lz_streams import (
    Step,
    Stream,
    blosc,
    by_hand,
    corpora,
    decoded,
    lz4_last,
    of_libraries,
    written,
    wrong_by_hand,
)
from numpy.typing import NDArray

from gpuzarr.testing.emulator import Emulator
from kernels import needs_compiler

pytestmark = needs_compiler

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
every_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(scope="module", params=["fast", "check"])
def emu(request: pytest.FixtureRequest) -> Emulator:
    return emulator(request.param)


@pytest.fixture(scope="module")
def fast() -> Emulator:
    return emulator("fast")


@pytest.fixture(scope="module")
def check() -> Emulator:
    return emulator("check")


@cache
def hand_written(form: Format) -> list[Stream]:
    return by_hand(form)


@cache
def of_data(form: Format) -> list[Stream]:
    return [stream for data in corpora().values() for stream in of_libraries(form, data)]


def agree(emu: Emulator, form: Format, streams: list[Stream], **how: Any) -> list[int]:
    """Decodes, compares with model and library, and returns the statuses."""
    got = decode(emu, form.kernel, streams, **how)
    assert not disagreements(form, streams, got)
    return [status for status, _ in got]


# ---- streams as they should be -------------------------------------------------------------------------------


@every_format
@every_order
def test_what_libraries_write_is_decoded(emu: Emulator, form: Format, order: Order) -> None:
    streams = of_data(form)[:: 1 if emu.mode == "fast" else 5]
    assert not any(agree(emu, form, streams, order=order, seed=3, shift=ORDERS.index(order)))


@every_format
@every_order
def test_what_is_written_by_hand_is_decoded(emu: Emulator, form: Format, order: Order) -> None:
    assert not any(agree(emu, form, hand_written(form), order=order, seed=4, shift=5 * ORDERS.index(order)))


@pytest.mark.parametrize("form", [LZ4, BLOSCLZ], ids=lambda form: form.name)
def test_the_streams_of_a_container_are_its_data(fast: Emulator, form: Format) -> None:
    data = corpora()["labels"]
    streams = blosc(form.name, data, 5, 0, 4096)
    assert b"".join(output for _, output in decode(fast, form.kernel, streams)) == data.tobytes()


@every_format
def test_alignment_does_not_matter(emu: Emulator, form: Format) -> None:
    """Long literals and matches, near and far, from and to every alignment."""
    noise = np.random.default_rng(9).integers(0, 256, 700, dtype="u1").tobytes()
    steps: list[Step] = [(noise, 300, 290), (b"", 512, 270), (noise[:65], 5, 300), (b"", 77, 77), (b"1", 640, 90)]
    one = written(form, steps, noise[:90]), len(decoded(steps, noise[:90]))
    shorter = written(form, steps, noise[:83]), len(decoded(steps, noise[:83]))
    for shift in range(0, 16, 3):
        assert not any(agree(emu, form, [one, shorter] * 64, shift=shift))


def test_an_empty_output_has_one_stream_a_format(check: Emulator) -> None:
    nothing = {LZ4: b"\0", BLOSCLZ: b"", SNAPPY: b"\0"}
    candidates = [
        b"",
        b"\0",
        b"\1",
        b"\x10",
        b"\0\0",
        b"\x80\0",
        b"\x80\x80\x80\x80\0",
        b"\x80\x80\x80\x80\x10",
        b"\1a",
    ]
    for form in FORMATS:
        statuses = agree(check, form, [(data, 0) for data in candidates])
        accepted = [data for data, status in zip(candidates, statuses, strict=True) if status == 0]
        assert accepted == [nothing[form]] + ([b"\x80\0", b"\x80\x80\x80\x80\0"] if form is SNAPPY else [])


@every_format
def test_rows_need_not_fill_a_block(check: Emulator, form: Format) -> None:
    for count in range(1, 10):
        assert len(agree(check, form, hand_written(form)[:count])) == count


# ---- streams as they should not be ---------------------------------------------------------------------------


def small(form: Format) -> Stream:
    steps: list[Step] = [(b"abcdefgh", 3, 9), (b"0123456789abcdef", 8, 19), (b"", 30, 4), (b"xy", 1, 40)]
    last = b"the end is literals"
    return written(form, steps, last), len(decoded(steps, last))


@every_format
@every_order
def test_mistakes_by_hand_are_found(emu: Emulator, form: Format, order: Order) -> None:
    """And where LZ4 blocks end, which is neither here nor there in the format's description, as liblz4 has it."""
    assert {0, TRUNCATED, OFFSET, SIZE} <= set(agree(emu, form, wrong_by_hand(form), order=order))


@every_format
def test_every_beginning_of_a_stream_is_refused(check: Emulator, form: Format) -> None:
    data, room = small(form)
    statuses = agree(check, form, [(data[:size], room) for size in range(len(data) + 1)])
    assert statuses[-1] == 0
    assert all(statuses[:-1])


@every_format
def test_every_wrong_byte_is_taken_as_the_library_takes_it(fast: Emulator, form: Format) -> None:
    data, room = small(form)
    changed = [(data[:k] + bytes([value]) + data[k + 1 :], room) for k in range(len(data)) for value in range(256)]
    statuses = agree(fast, form, changed)
    assert set(statuses) >= {0, 1, 2, 3, 4}


@every_format
def test_a_stream_decodes_to_its_room_or_not_at_all(check: Emulator, form: Format) -> None:
    data, room = small(form)
    statuses = agree(check, form, [(data, lie) for lie in range(room + 40)])
    assert [lie for lie, status in enumerate(statuses) if status == 0] == [room]


@every_format
@pytest.mark.parametrize("size", [10, 2**31, 2**32 + 10, 2**64 - 1])
@pytest.mark.parametrize("room", [2**31, 2**32 + 10, 2**64 - 1])
def test_sizes_of_2_gib_are_refused_unseen(check: Emulator, form: Format, size: int, room: int) -> None:
    columns = [np.array([number], np.uint64) for number in (16, size, 32, room)]  # no memory is there
    status = np.zeros(1, np.int32)
    told: list[NDArray[Any]] = [*columns, status]
    for column in told:
        check.register(column.ctypes.data, column.nbytes, initialised=True, tag="column")
    args = [*(np.uint64(column.ctypes.data) for column in told), np.uint32(1)]
    check.launch(form.kernel, 1, 128, args)
    for column in told:
        check.unregister(column.ctypes.data)
    assert status[0] == FORMAT


@pytest.mark.parametrize("form", [LZ4, BLOSCLZ], ids=lambda form: form.name)
def test_a_length_of_more_than_32_bits_does_not_wrap(fast: Emulator, form: Format) -> None:
    """It would wrap to 8 or 9, and the stream would be right."""
    chain = b"\xff" * (2**32 // 255 + 1)
    start = b"\x1fa\1\0" if form is LZ4 else b"\0a\xe0"
    base = 19 if form is LZ4 else 9
    over = (base + 255 * len(chain)) % 2**32
    last = bytes([(8 - over) % 256 if over <= 8 else 0])
    end = lz4_last(bytes(12)) if form is LZ4 else b"\0\x0b" + bytes(12)
    room = 1 + (over + last[0]) % 2**32 + 12
    [(status, _)] = decode(fast, form.kernel, [(start + chain + last + end, room)])
    assert status == OVERFLOW


@every_format
@every_order
def test_the_corpus_of_malformed_streams(emu: Emulator, form: Format, order: Order) -> None:
    """What fuzz_kernels.py found worth keeping."""
    streams = load_corpus(form)
    assert len(streams) > 300
    assert set(agree(emu, form, streams, order=order, shift=ORDERS.index(order))) >= {0, 1, 2, 3, 4}


@cache
def specimens(form: Format) -> list[Stream]:
    return [small(form), *(stream for stream in hand_written(form)[::97] if len(stream[0]) < 400)]


@st.composite
def damaged(draw: st.DrawFn, form: Format) -> Stream:
    data, room = draw(st.sampled_from(specimens(form)))
    other, _ = draw(st.sampled_from(specimens(form)))
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        some = draw(st.binary(max_size=5))
        damages = {
            "lost": data[:at] + data[end:],
            "put in": data[:at] + some + data[at:],
            "written over": data[:at] + some + data[at + len(some) :],
            "spliced": data[:at] + other[min(end, len(other)) :],
            "chained": data[:at] + b"\xff" * end + data[at:],
        }
        data = damages[draw(st.sampled_from(sorted(damages)))]
    return data, max(0, room + draw(st.sampled_from([0, 0, 0, 1, -1, 13, -13])))


@every_format
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_taken_as_the_library_takes_it(check: Emulator, form: Format, data: st.DataObject) -> None:
    streams = data.draw(st.lists(damaged(form), min_size=1, max_size=8))
    agree(check, form, streams, order=data.draw(st.sampled_from(ORDERS)), shift=data.draw(st.integers(0, 15)))


def test_every_line_of_the_kernels_has_run() -> None:
    """In what these tests decode, of which this is a part."""
    covering = emulator("cover")
    for form in FORMATS:
        decode(covering, form.kernel, [*hand_written(form)[::5], *wrong_by_hand(form), *load_corpus(form)])
    lines = covering.lines()
    names = ["lz.cuh", *(f"{form.name}.cu" for form in FORMATS)]
    unrun = [f"{name}:{line}" for name in names for line, count in lines[name].items() if not count]
    assert not unrun
