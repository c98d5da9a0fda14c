"""What users see: the names, an import that loads nothing optional, and documents whose code runs as written."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import gpuzarr
from gpuzarr.cli import doctor
from gpuzarr.codecs.registry import CODECS
from gpuzarr.execute import choice
from gpuzarr.testing.emulator.build import find_compiler

ROOT = Path(__file__).resolve().parents[1]

NAMES = """
    Array Executor GpuzarrError Group __version__ array codecs consolidate_metadata copy create_array create_group
    empty empty_like errors full full_like load ones ones_like open open_array open_group save validate zeros
    zeros_like
"""
ARRAY = """
    append attrs basename blocks cdata_shape chunks compressors configure dimension_names dtype explain fill_value
    filters info info_complete meta_array metadata name nbytes nbytes_stored nchunks nchunks_initialized ndim oindex
    order path read read_chunk_sizes read_many read_only resize serializer shape shards size store update_attributes
    vindex write write_chunk_sizes zarr_format
"""
GROUP = """
    array_keys arrays attrs basename configure create_array create_group get glob group_keys groups info info_complete
    keys members metadata move name nmembers path read_only require_array require_group store tree update_attributes
    walk zarr_format
"""
CODEC_CLASSES = """
    BloscCodec BytesCodec Crc32cCodec GzipCodec Lz4Codec ShardingCodec TransposeCodec ZlibCodec ZstdCodec
"""
ERRORS = """
    CodecError DeviceError DeviceMemoryError GpuzarrError MetadataError NodeExistsError NodeNotFoundError SelectionError
    ShapeError StoreError UnknownCodecError UnsupportedError
"""

OPTIONAL = ("cupy", "google_crc32c", "ml_dtypes", "numcodecs", "nvidia", "rich", "torch", "zarr")


@pytest.mark.parametrize(
    ("module", "names"),
    [(gpuzarr, NAMES), (gpuzarr.codecs, CODEC_CLASSES), (gpuzarr.errors, ERRORS)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_public_names_are_these(module: Any, names: str) -> None:
    assert sorted(module.__all__) == names.split()
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize(("kind", "names"), [(gpuzarr.Array, ARRAY), (gpuzarr.Group, GROUP)], ids=["Array", "Group"])
def test_the_public_members_are_these(kind: type, names: str) -> None:
    assert [name for name in dir(kind) if not name.startswith("_")] == names.split()


def test_every_public_name_says_what_it_is() -> None:
    objects = [getattr(gpuzarr, name) for name in gpuzarr.__all__ if name != "__version__"]
    assert [thing for thing in objects if not thing.__doc__] == []


def test_importing_gpuzarr_loads_no_optional_package() -> None:
    there = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert {"numcodecs", "google_crc32c"} <= set(there), "nothing to be loaded by mistake: this proves nothing"
    ask = f"import sys, gpuzarr; print(*sys.modules.keys() & set({there!r}))"
    result = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


# ---- documents ---------------------------------------------------------------------------------------------------


class Section(NamedTuple):
    """Code under one heading of a document."""

    file: str
    title: str
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.title}"


NOT_RUN = re.compile(r"<!-- not run: .+ -->\n\Z")


def sections(file: str) -> Iterator[Section]:
    """The sections of a document with Python in them; blocks under `<!-- not run: why -->` are left out."""
    parts = re.split(r"^#+ (.+)\n", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks = [block[1] for block in found if not NOT_RUN.search(text[: block.start()])]
        if blocks:
            yield Section(file, title, tuple(blocks))


RUN = ("README.md", "docs/tuning.md", "docs/zarr-python.md", "docs/gpu.md", "docs/validate.md")
README, *OTHERS = ([*sections(file)] for file in RUN)
QUICKSTART = README[0]


def run(section: Section, names: dict[str, Any]) -> set[str]:
    """Run the blocks in order; leave out those that show a package that is not installed, and name it."""
    absent = set()
    for block in section.blocks:
        shown = re.findall(r"^import (cupy|tensorstore|torch|zarr)\b", block, re.MULTILINE)
        missing = {package for package in shown if importlib.util.find_spec(package) is None}
        absent |= missing
        if not missing:
            exec(compile(block, str(section), "exec"), names)
    return absent


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("section", [*README, *(s for file in OTHERS for s in file)], ids=str)
def test_the_code_in_documents_runs_as_written(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "simulated_device" in "".join(section.blocks) and find_compiler() is None:
        pytest.skip("no C++ compiler: kernels are not run here")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "document"}
    if section.file == QUICKSTART.file and section != QUICKSTART:
        exec(compile(QUICKSTART.blocks[0], str(QUICKSTART), "exec"), names)  # the reader has run it
    absent = run(section, names)
    if absent:
        pytest.skip(f"{section} ran but for blocks that need {', '.join(sorted(absent))}")


def test_the_readme_begins_with_the_quickstart() -> None:
    assert QUICKSTART.title == "Quickstart"


def test_the_readme_names_every_codec_and_where_it_runs() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.*]+)` \| (compiled|no pass|Python)\b", text, re.MULTILINE)
    known = {name.removeprefix("numcodecs.") for name in CODECS} - {"endian"}
    assert {name for name, _ in rows} == {*known, "numcodecs.*"}
    codecs = doctor.report()["codecs"]
    if any(codec["why_not"] for codec in codecs if dict(rows)[codec["codec"]] == "compiled"):
        pytest.skip("not every codec is compiled here")
    words = {"cpu, compiled": "compiled", "cpu": "no pass", "cpu, Python": "Python"}
    assert dict(rows) == {codec["codec"]: words[codec["runs_on"]] for codec in codecs}


def test_the_readme_says_what_decodes_on_a_device() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.*]+)` \| (?:compiled|no pass|Python)\b.* \| (.+) \|$", text, re.MULTILINE)
    found = {codec["codec"]: str(codec["device"]) for codec in doctor.report()["codecs"]}
    if any("which is not there" in said for said in found.values()):
        pytest.skip("nvCOMP is not installed here")
    kinds = {"own kernel": "own kernel", "nvCOMP": "nvCOMP", "no pass": "no pass", "part of the ": "no pass"}
    kinds |= {"shuffle and fletcher32: own kernels": "own kernel", "on the host first": "on the host first"}
    kinds |= {"nothing to": "nothing to undo"}

    def kind(said: str) -> str:
        return next(kind for words, kind in kinds.items() if said.startswith(words))

    assert {name: kind(said) for name, said in rows} == {name: kind(said) for name, said in found.items()}


def test_the_page_on_devices_has_the_figures_of_the_cost_model() -> None:
    text = (ROOT / "docs/gpu.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| (own kernel|nvCOMP) \| ([\d.]+) \| ([\d.]+) \| .+ \|$", text, re.MULTILINE)
    assert {(name, by): (float(stream), float(most)) for name, by, stream, most in rows} == {
        (name, by): (speed.stream, speed.most)
        for by, speeds in (("own kernel", choice.OWN), ("nvCOMP", choice.NVCOMP))
        for name, speed in speeds.items()
    }
    assert f"{choice.BUS:.0f} GB/s for what crosses the bus" in text
    assert f"{choice.LAUNCHES / 1e6:.1g} ms for a window" in text


PAGES = ["README.md", "CHANGELOG.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("file", PAGES)
def test_documents_link_to_what_is_there(file: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / file).read_text("utf-8"))
    assert [link for link in links if not ((ROOT / file).parent / link).exists()] == []
