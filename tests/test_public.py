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
from gpuzarr.cli.doctor import gather
from gpuzarr.codecs.registry import CODECS, LATER

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

NAMES = """
    Array Executor GpuzarrError Group __version__ array codecs consolidate_metadata create_array create_group empty
    empty_like errors full full_like load ones ones_like open open_array open_group save zeros zeros_like
"""
ARRAY = """
    append attrs basename blocks cdata_shape chunks compressors configure dimension_names dtype explain fill_value
    filters info meta_array metadata name nbytes nbytes_stored nchunks nchunks_initialized ndim oindex order path read
    read_many read_only resize serializer shape shards size store update_attributes vindex write zarr_format
"""
GROUP = """
    array_keys arrays attrs basename configure create_array create_group get group_keys groups info keys members
    metadata name nmembers path read_only require_array require_group store tree update_attributes zarr_format
"""
CODEC_CLASSES = """
    BloscCodec BytesCodec Crc32cCodec GzipCodec Lz4Codec ShardingCodec TransposeCodec ZlibCodec ZstdCodec
"""
ERRORS = """
    CodecError DeviceError GpuzarrError MetadataError NodeExistsError NodeNotFoundError SelectionError ShapeError
    StoreError UnknownCodecError UnsupportedError
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
    """Code blocks under one heading of a document: they run in order and share their names."""

    file: str
    title: str
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.title}"


NOT_RUN = re.compile(r"<!-- not run: .+ -->\n\Z")


def sections(file: str) -> Iterator[Section]:
    """The sections of a document with Python in them; blocks under `<!-- not run: why -->` are left out."""
    parts = re.split(r"^#+ (.+)\n", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE | re.NOFLAG)
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks = [block[1] for block in found if not NOT_RUN.search(text[: block.start()])]
        if blocks:
            yield Section(file, title, tuple(blocks))


DOCUMENTS = [section for file in ("README.md", "docs/tuning.md", "docs/limits.md") for section in sections(file)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("section", DOCUMENTS, ids=str)
def test_the_code_in_documents_runs_as_written(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("tensorstore", "torch", "zarr"):
        if any(re.search(rf"\bimport {package}\b", block) for block in section.blocks):
            pytest.importorskip(package, reason=f"{section} shows {package}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "document"}
    for block in section.blocks:
        exec(compile(block, str(section), "exec"), names)


def test_the_quickstart_is_among_the_code_that_runs() -> None:
    assert "Quickstart" in {section.title for section in DOCUMENTS if section.file == "README.md"}


def test_the_readme_names_every_codec_and_where_it_runs() -> None:
    table = dict(re.findall(r"^\| `([\w.*]+)` \| ([^|]+?) \|", README.read_text("utf-8"), re.MULTILINE))
    known = {name.removeprefix("numcodecs.") for name in CODECS} - {"endian"}
    assert known | {"numcodecs.*"} == set(table)
    if all(codec["why_not"] is None for codec in gather()["codecs"] if codec["codec"] in known):
        runs_on = {codec["codec"]: codec["runs_on"].removeprefix("cpu, ") for codec in gather()["codecs"]}
        assert {name: text for name, text in table.items() if not text.startswith(runs_on[name])} == {}


def test_the_limits_name_every_codec_that_is_refused() -> None:
    text = (ROOT / "docs/limits.md").read_text("utf-8")
    assert {name for name in LATER if f"`{name}`" not in text} == set()
