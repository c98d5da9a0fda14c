"""The demo: volumes are read as they are stored, cut sensibly, and come back from Zarr byte for byte."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import json
import math
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gpuzarr
from gpuzarr import testing
from gpuzarr.cli import demo, main, png, shapes, volumes
from gpuzarr.cli.nifti import HEADER_BYTES, parse_header, read_nifti
from gpuzarr.cli.text import UsageError
from gpuzarr.cuda import device as devices
from gpuzarr.errors import DeviceError, GpuzarrError, MetadataError, StoreError, UnsupportedError
from gpuzarr.memory import as_host
from gpuzarr.testing import emulator

Order = Literal["<", ">"]
CODES = {"u1": 2, "i2": 4, "f4": 16, "c8": 32, "f8": 64, "u2": 512, "i8": 1024}


def nifti(values: NDArray[Any], order: Order = "<", offset: int = 352, **fields: tuple[int, str, Any]) -> bytes:
    """A NIfTI-1 file made by the book; `fields` patch the header: (byte offset, struct format, value)."""
    header = bytearray(HEADER_BYTES)
    dims = (values.ndim, *values.shape) + (1,) * (7 - values.ndim)
    struct.pack_into(order + "i", header, 0, HEADER_BYTES)
    struct.pack_into(order + "8h", header, 40, *dims)
    code = CODES[values.dtype.kind + str(values.dtype.itemsize)]
    struct.pack_into(order + "2h", header, 70, code, 8 * values.dtype.itemsize)
    struct.pack_into(order + "8f", header, 76, 1, *(0.5 for _ in range(7)))
    struct.pack_into(order + "3f", header, 108, offset, 2.0, 7.0)  # slope and intercept must not matter
    struct.pack_into("4s", header, 344, b"n+1\0")
    for at, form, value in fields.values():
        struct.pack_into(order + form, header, at, value)
    stored = values.astype(values.dtype.newbyteorder(order)).tobytes(order="F")
    return bytes(header) + bytes(offset - HEADER_BYTES) + stored


def some(shape: tuple[int, ...], dtype: str = "i2") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


# --- NIfTI ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", sorted(CODES))
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_values_are_those_stored(tmp_path: Path, dtype: str, order: Order, packed: bool) -> None:
    values = some((5, 4, 3), dtype)
    raw = nifti(values, order, offset=400)
    path = tmp_path / ("v.nii.gz" if packed else "v.nii")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    header, read = read_nifti(str(path))
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert header.spacing == (0.5, 0.5, 0.5)
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("field", "patch"),
    [
        ("dim", (42, "h", -1)),
        ("dim", (42, "h", 0)),
        ("dim", (42, "h", 32767)),
        ("dim", (40, "h", 0)),
        ("dim", (40, "h", 8)),
        ("bitpix", (72, "h", 8)),
        ("vox_offset", (108, "f", 351.0)),
        ("vox_offset", (108, "f", 352.5)),
        ("vox_offset", (108, "f", math.nan)),
        ("vox_offset", (108, "f", math.inf)),
        ("magic", (344, "4s", b"n+9\0")),
        ("sizeof_hdr", (0, "i", 349)),
    ],
)
def test_a_nifti_header_that_lies_is_an_error_that_names_the_field(
    tmp_path: Path, field: str, patch: tuple[int, str, Any]
) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(some((5, 4, 3)), patched=patch))
    with pytest.raises(MetadataError) as caught:
        read_nifti(str(path))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "patch", [(70, "h", 128), (344, "4s", b"ni1\0"), (0, "i", 540)], ids=["RGB", "pair", "NIfTI-2"]
)
def test_relatives_of_nifti_1_are_named_as_unsupported(tmp_path: Path, patch: tuple[int, str, Any]) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(some((5, 4, 3)), patched=patch))
    with pytest.raises(UnsupportedError):
        read_nifti(str(path))


def test_a_small_gzip_file_can_not_claim_a_huge_volume(tmp_path: Path) -> None:
    raw = bytearray(nifti(some((1,))))
    struct.pack_into("<8h", raw, 40, 5, 30000, 30000, 30000, 30000, 30000, 1, 1)
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(raw))
    with pytest.raises(MetadataError, match="can't be in this file"):
        read_nifti(str(path))


@pytest.mark.parametrize("keep", [10, 200, 340, 360])
def test_a_nifti_file_cut_short_is_an_error(tmp_path: Path, keep: int) -> None:
    raw = nifti(some((5, 4, 3)))
    plain, packed = tmp_path / "v.nii", tmp_path / "v.nii.gz"
    plain.write_bytes(raw[:keep])
    packed.write_bytes(gzip.compress(raw)[: keep // 3])
    for path in (plain, packed):
        with pytest.raises((MetadataError, StoreError)):
            read_nifti(str(path))


@settings(deadline=None)
@given(at=st.integers(0, HEADER_BYTES - 1), value=st.integers(0, 255))
def test_any_byte_of_a_nifti_header_may_be_wrong(at: int, value: int) -> None:
    raw = bytearray(nifti(some((5, 4, 3))))
    raw[at] = value
    try:
        header = parse_header(bytes(raw[:HEADER_BYTES]))
    except GpuzarrError:
        return
    assert min(header.shape) >= 1
    assert header.offset >= 352


# --- other files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["C", "F", ">"])
def test_npy_values_are_those_stored(tmp_path: Path, layout: str) -> None:
    values = some((5, 4, 3))
    stored = values.astype(">i2") if layout == ">" else np.asfortranarray(values) if layout == "F" else values
    np.save(tmp_path / "v.npy", stored)
    read = volumes.load(str(tmp_path / "v.npy")).values
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)


def test_npz_gives_its_first_array_and_names_it(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "v.npz", first=some((4, 3)), second=np.zeros(2))
    volume = volumes.load(str(tmp_path / "v.npz"))
    np.testing.assert_array_equal(volume.values, some((4, 3)))
    assert volume.title == "v.npz, 'first'"


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "v.npz", a=np.array([{"a": 1}], dtype=object))
    for name in ("v.npy", "v.npz"):
        with pytest.raises(UnsupportedError, match="pickled"):
            volumes.load(str(tmp_path / name))


def test_an_npy_header_can_not_claim_more_than_the_file_has(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
    np.lib.format.write_array_header_1_0(header, claim)
    (tmp_path / "v.npy").write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "v.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue())
    for name in ("v.npy", "v.npz"):
        with pytest.raises(MetadataError, match="can't be in this file"):
            volumes.load(str(tmp_path / name))


def test_files_that_are_not_what_their_name_says_are_one_error(tmp_path: Path) -> None:
    for name in ("v.npy", "v.npz", "v.nii", "v.nii.gz"):
        for content in (b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00\xff\xff", bytes(500)):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(GpuzarrError):
                volumes.load(str(tmp_path / name))


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.nii.gz"])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="No such file"):
        volumes.load(str(tmp_path / name))


def test_volumes_without_elements_are_refused(tmp_path: Path) -> None:
    for shape in ((), (3, 0)):
        np.save(tmp_path / "v.npy", np.zeros(shape))
        with pytest.raises(UnsupportedError, match="at least one element"):
            volumes.load(str(tmp_path / "v.npy"))


def test_tiff_without_tifffile_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match="pip install gpuzarr"):
        volumes.load(str(tmp_path / "v.tif"))


def test_tiff_values_are_those_stored(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "v.tif", some((3, 20, 30), "u2"), photometric="minisblack")
    np.testing.assert_array_equal(volumes.load(str(tmp_path / "v.tif")).values, some((3, 20, 30), "u2"))
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + bytes(20))
    with pytest.raises(GpuzarrError):
        volumes.load(str(tmp_path / "bad.tif"))


# --- the sample -------------------------------------------------------------------------------------------


def test_the_sample_is_found_without_importing_nibabel() -> None:
    pytest.importorskip("nibabel")
    code = "import sys; from gpuzarr.cli import volumes; volumes.sample(); print('nibabel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_the_sample_is_read_as_nibabel_reads_it() -> None:
    nibabel = pytest.importorskip("nibabel")
    path, title = volumes.sample()
    volume = volumes.load(path, title)
    np.testing.assert_array_equal(volume.values, nibabel.load(path).dataobj.get_unscaled())
    assert volume.values.shape == (128, 96, 24, 2)
    assert volume.names == ("x", "y", "z", "t")


def test_without_the_sample_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(UsageError):
        volumes.sample()
    assert main(["demo"]) == 2
    printed = capsys.readouterr()
    assert "pip install gpuzarr[imaging]" in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


# --- chunks and shards ------------------------------------------------------------------------------------

volume_shapes = st.lists(st.integers(0, 3000), min_size=0, max_size=5).map(tuple)


@given(shape=volume_shapes, itemsize=st.sampled_from([1, 2, 4, 8, 16, 3]))
def test_chosen_chunks_and_shards_suit_any_shape(shape: tuple[int, ...], itemsize: int) -> None:
    chunks, shards = shapes.choose(shape, itemsize)
    assert len(chunks) == len(shards) == len(shape)
    assert all(1 <= c <= max(1, n) for c, n in zip(chunks, shape, strict=True))
    assert all(s % c == 0 for s, c in zip(shards, chunks, strict=True))
    assert math.prod(chunks) * itemsize <= max(shapes.CHUNK_BYTES, itemsize)
    assert math.prod(shards) * itemsize <= max(shapes.SHARD_BYTES, math.prod(chunks) * itemsize)
    # No shard reaches a whole shard past the volume: nothing is empty but what rounding leaves.
    assert all(s < 2 * max(1, n) for s, n in zip(shards, shape, strict=True))


def test_a_small_volume_still_has_several_shards_of_several_chunks() -> None:
    shape = (128, 96, 24, 2)
    chunks, shards = shapes.choose(shape, 2)
    assert len(list(shapes.blocks(shape, chunks))) == 16
    assert len(list(shapes.blocks(shape, shards))) == 4


@given(shape=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple), data=st.data())
def test_blocks_cover_every_element_once(shape: tuple[int, ...], data: st.DataObject) -> None:
    box = tuple(data.draw(st.integers(1, 15)) for _ in shape)
    seen = np.zeros(shape, int)
    for block in shapes.blocks(shape, box):
        seen[block] += 1
    assert (seen == 1).all()


# --- pictures ---------------------------------------------------------------------------------------------


def decoded(data: bytes) -> NDArray[np.uint8]:
    """A reader of exactly the PNG files that are written here, checksums included."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        parts.append((kind, body))
        at += 12 + length
    assert [kind for kind, _ in parts] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", parts[0][1])
    assert rest == [8, 0, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(parts[1][1]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_png_holds_the_pixels_it_was_given(height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png.png(pixels)), pixels)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u8", "f2", "f4", "f8", "c16"])
def test_contrast_runs_from_black_to_white_for_every_kind_of_number(dtype: str) -> None:
    shades = png.grey(np.linspace(0, 100, 400).astype(dtype).reshape(20, 20))
    assert shades.min() == 0
    assert shades.max() == 255
    assert (np.diff(shades.reshape(-1).astype(int)) >= 0).all()


def test_one_hot_pixel_does_not_hide_the_rest() -> None:
    values = np.arange(10_000.0).reshape(100, 100)
    values[0, 0] = 1e9
    assert png.grey(values)[50, 50] in range(120, 136)


def test_what_is_not_finite_is_black_and_constants_are_drawn() -> None:
    assert png.grey(np.full((2, 2), np.nan)).max() == 0
    assert png.grey(np.array([[np.nan, 1.0, 2.0, np.inf]]), 0, 100).tolist() == [[0, 0, 255, 0]]
    assert png.grey(np.full((2, 2), 7)).tolist() == [[0, 0], [0, 0]]
    assert png.grey(np.array([[-1.7e308, 0, 1.7e308]]), 0, 100).tolist() == [[0, 128, 255]]


def test_a_sparse_picture_is_not_lost_to_the_percentiles() -> None:
    values = np.zeros((100, 100))
    values[5, 5] = 3
    assert png.grey(values)[5, 5] == 255


def test_an_upright_picture_has_y_pointing_up() -> None:
    values = np.zeros((3, 2))
    values[2, 0] = 1  # x at its right end, y at its lower end
    pixels = decoded(png.picture(values, upright=True))
    assert pixels.shape[0] < pixels.shape[1]
    assert pixels[-1, -1] == 255
    assert pixels[0, 0] == 0


def test_pictures_are_enlarged_by_whole_factors_and_thinned_when_huge() -> None:
    assert decoded(png.picture(some((100, 50)))).shape == (500, 250)
    assert decoded(png.picture(some((5000, 1)))).shape == (1000, 1)


def test_the_slice_drawn_is_that_of_x_and_y_else_of_the_longest_axes() -> None:
    whole = slice(None)
    assert png.middle((2, 3, 30, 9), ("y", "x", "z", None)) == (whole, whole, 15, 4)
    assert png.middle((30, 4, 60)) == (whole, 2, whole)


# --- the whole of it ---------------------------------------------------------------------------------------


@pytest.fixture
def volume(tmp_path: Path) -> str:
    """A smooth float32 volume with odd sides, and a NaN whose payload has to survive."""
    axes = np.meshgrid(*(np.linspace(0, 3, n, dtype=np.float32) for n in (37, 50, 41)), indexing="ij")
    values = np.sin(axes[0]) * np.cos(axes[1]) + axes[2]
    values.reshape(-1).view(np.uint32)[7] = 0x7FC01234
    np.save(tmp_path / "v.npy", values)
    return str(tmp_path / "v.npy")


def test_the_demo_writes_arrays_that_hold_the_volume(volume: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["demo", volume, "--out", str(out), "--crops", "5"]) == 0
    for name in demo.CODECS:
        array = gpuzarr.open_array(out / f"{name}.zarr", mode="r")
        assert array.shards is not None
        assert array[...].tobytes() == np.load(volume).tobytes()
    assert max(decoded((out / "slice.png").read_bytes()).shape) == 500


def test_the_demo_says_in_json_what_it_measured(
    volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", volume, "--out", str(tmp_path / "out"), "--crops", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] is True
    assert found["nbytes"] == 37 * 50 * 41 * 4
    steps = [(result["codec"], result["step"]) for result in found["results"]]
    assert steps == [(codec, step) for codec in demo.CODECS for step in ("write", "whole", "5 crops")]
    for result in found["results"]:
        assert result["stored"] < found["nbytes"]
        assert result["seconds"] > 0
    places = {stage["codec"]: stage["where"] for stage in found["results"][1]["stages"]}
    assert places["sharding_indexed"] == "plan"
    assert places["blosc"] in ("compiled", "python")


@pytest.fixture(scope="module")
def simulated() -> None:
    """Where kernels can't be run, say why."""
    pytest.importorskip("cupy", reason="the simulated device makes CuPy arrays")
    try:
        emulator.load()
    except DeviceError as error:
        pytest.skip(error.reason)


@pytest.mark.usefixtures("simulated")
def test_the_demo_reads_into_device_memory(volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", volume, "--out", str(tmp_path / "out"), "--crops", "5", "--meta-array", "simulated"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verified"], found["memory"]) == (True, "simulated")
    reads = [result for result in found["results"] if result["step"] != "write"]
    assert len(reads) == 6
    for result in reads:
        places = {stage["codec"]: stage["where"] for stage in result["stages"]}
        assert places[result["codec"].partition("-")[0]] == "device"
        assert result["device"]["decoded"] == "device"
        assert result["device"]["waits"] <= 2
    assert main(command) == 0
    printed = capsys.readouterr().out
    for part in (
        "simulated",
        "blosc: device (own kernels)",
        "blosc: device (own kernels, zstd by nvCOMP (simulated))",
        "zstd: device (nvCOMP (simulated))",
        "say nothing of a GPU",
    ):
        assert part in printed


@pytest.mark.usefixtures("simulated")
def test_the_demo_is_decoded_by_our_kernels_alone_if_asked_for(
    volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By as many launches a window as there are kinds of work, whatever the number of chunks."""
    command = ["demo", volume, "--out", str(tmp_path / "out"), "--crops", "3", "--meta-array", "simulated", "--json"]
    with testing.simulated_device() as device:
        assert main([*command, "--codecs", "own"]) == 0
        assert device.counts["nvcomp"] == 0
    found = json.loads(capsys.readouterr().out)
    for result in (result for result in found["results"] if result["step"] != "write"):
        work = result["device"]
        assert (work["decoded"], work["on_host"], work["calls"]) == ("device", 0, 0)
        assert {share["code"] for share in work["streams"]} == {"own kernel"}
        assert work["launches"] <= 4 * work["windows"]
        assert work["streams"][0]["streams"] >= 8


@pytest.mark.usefixtures("simulated")
def test_a_wrong_byte_in_device_memory_is_noticed(
    volume: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(result: Any) -> NDArray[Any]:
        values = as_host(result).copy()
        values.reshape(-1).view(np.uint8)[-1] ^= 1
        return values

    monkeypatch.setattr(demo, "as_host", wrong)
    assert main(["demo", volume, "--out", str(tmp_path / "out"), "--meta-array", "simulated"]) == 1
    assert "differs from what was written [codec blosc" in capsys.readouterr().err


def test_auto_is_the_host_where_there_is_no_gpu(
    volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if devices.available():
        pytest.skip("there is a GPU")
    command = ["demo", volume, "--out", str(tmp_path / "out"), "--crops", "5", "--meta-array"]
    assert main([*command, "auto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == "cpu"
    assert main([*command, "cuda"]) == 1
    assert capsys.readouterr().err.startswith("gpuzarr: meta_array='cuda': ")


def test_the_demo_prints_a_line_for_every_step(volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", volume, "--out", str(tmp_path / "out"), "--crops", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[:2] for line in lines if line.startswith(tuple(f"{name} " for name in demo.CODECS))]
    assert rows == [[codec, step] for codec in demo.CODECS for step in ("write", "whole", "5")]


def test_the_demo_runs_on_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nibabel")
    assert main(["demo", "--out", str(tmp_path / "out")]) == 0
    assert "(128, 96, 24, 2) int16" in capsys.readouterr().out
    array = gpuzarr.open_array(tmp_path / "out" / "zstd.zarr", mode="r")
    assert array.dimension_names == ("x", "y", "z", "t")
    assert array.attrs["spacing"][:2] == [2.0, 2.0]


def test_the_demo_takes_a_zarr_array_even_from_a_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = some((30, 20), "u2")
    store = gpuzarr.open_group(str(tmp_path / "v.zip"), mode="w")
    store.create_array("raw/image", data=values)
    store.store.close()  # type: ignore[attr-defined]
    path = str(tmp_path / "v.zip" / "raw" / "image")
    assert main(["demo", path, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [30, 20]


def test_a_volume_of_one_dimension_has_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "v.npy", some((1000,)))
    assert main(["demo", str(tmp_path / "v.npy"), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["picture"] is None


def test_the_demo_replaces_what_a_demo_made_and_nothing_else(
    volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["demo", volume, "--out", str(out), "--crops", "1"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    mine = gpuzarr.create_array(out / "zstd.zarr", data=np.arange(3), overwrite=True)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "no demo made it" in capsys.readouterr().err
    assert mine[...].tolist() == [0, 1, 2]


def test_the_demo_does_not_replace_the_volume_it_reads(
    volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["demo", volume, "--out", out]) == 0
    assert main(["demo", f"{out}/zstd.zarr", "--out", out]) == 2
    assert "give another --out" in capsys.readouterr().err
    assert gpuzarr.open_array(f"{out}/zstd.zarr", mode="r").shape == (37, 50, 41)


@pytest.mark.parametrize("step", ["__getitem__", "read_many"])
def test_a_wrong_byte_is_noticed(
    volume: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    right = getattr(gpuzarr.Array, step)

    def wrong(self: gpuzarr.Array, wanted: Any) -> Any:
        result = right(self, wanted).copy()
        result.reshape(-1).view(np.uint8)[-1] ^= 1
        return result

    monkeypatch.setattr(gpuzarr.Array, step, wrong)
    assert main(["demo", volume, "--out", str(tmp_path / "out")]) == 1
    assert "differs from what was written [codec blosc" in capsys.readouterr().err


def test_memory_that_is_not_there_is_an_error(volume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", volume, "--out", str(tmp_path / "out"), "--meta-array", "moon"]) == 1
    assert "'moon'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@given(shape=st.lists(st.integers(1, 300), min_size=1, max_size=4).map(tuple), count=st.integers(1, 9))
def test_crops_lie_inside_and_have_one_shape(shape: tuple[int, ...], count: int) -> None:
    crops = demo.crop_selections(shape, 4, count)
    assert len(crops) == count
    assert len({tuple(s.stop - s.start for s in crop) for crop in crops}) == 1
    assert all(0 <= s.start < s.stop <= n for crop in crops for s, n in zip(crop, shape, strict=True))
