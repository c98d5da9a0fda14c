"""Where each codec of an array runs when it is read, and why there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from gpuzarr import native
from gpuzarr.codecs.base import Stage as BoundStage
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.device import DeviceChain
from gpuzarr.codecs.foreign import ForeignCodec
from gpuzarr.codecs.n5 import N5BlockStage
from gpuzarr.codecs.shards import WholeShardStage
from gpuzarr.codecs.structure import ShardingCodec
from gpuzarr.execute import compiled
from gpuzarr.metadata import CodecConfig

__all__ = ["Stage", "not_compiled", "stages"]

STANDARD = frozenset({"bz2", "gzip", "json2", "lzma", "pickle", "zlib"})
"""Codecs that Python itself decodes where the compiled module does not."""

OF_NUMPY = {
    *("bitround", "bytes", "cast_value", "categorize", "n5_default", "packbits", "scale_offset", "sharding_indexed"),
    "transpose",
}
PACKAGE = dict.fromkeys(OF_NUMPY, "numpy") | {
    "crc32c": "google-crc32c",
    "gdeflate": "gpuzarr",
    "msgpack2": "msgpack",
    "pcodec": "pcodec",
    "zfp": "zfpy",
    "zfpy": "zfpy",
}
"""Whose code decodes gpuzarr's own codecs there; numcodecs' decodes the rest."""

SHAPES = ("reshape", "zarrs.squeeze")
"""Codecs that are never a stage."""

PLACE = {
    "plan": "planned, no pass",
    "layout": "in the layout, no pass",
    "compiled": "compiled host module",
    "device": "device",
    "python": "Python",
}
SWAPPED = "byte order is reversed in the copy into the result"
WHOLE = "what comes before sharding needs all elements of a shard"
WRAPPED = "it stands after sharding, so each shard is decoded whole"


@dataclass(frozen=True, slots=True)
class Stage:
    """One codec of a chain.

    `where` is "plan" (selection arithmetic does it), "layout" (the copy into the result does it), "compiled"
    (the compiled host module), "device" or "python". `code` is the package whose code runs.

    >>> print(Stage("bytes", "layout"))
    bytes: in the layout, no pass
    """

    codec: str
    where: Literal["plan", "layout", "compiled", "python", "device"]
    code: str | None = None
    why: str | None = None

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"{self.codec}: {PLACE[self.where]}{code}{f'; {self.why}' if self.why else ''}"


def not_compiled(chain: Chain, allowed: bool) -> str | None:
    """Why the chunks of a chain are not decoded in the compiled host module; None where they are.

    `allowed` is what the executor says.
    """
    if not allowed:
        return "Executor(native=False)"
    if compiled.program(chain) is not None:
        return None
    module = native.load()
    if module is None:
        return f"no compiled module ({native.why_not()})"
    for stage in chain.stages:
        if stage.native is None:
            return f"the compiled module has no {stage.name}"
        if stage.native.name not in module.ops:
            return f"the compiled module can't use {stage.name} ({module.missing()[stage.native.name]})"
    if chain.values is not None:
        return "the compiled module makes no Python objects"
    if chain.mask:
        return "the compiled module does not clear the unused bits of types of less than a byte"
    return "the compiled module does not reverse the byte order of structured types"


def stages(
    codecs: Sequence[CodecConfig], chain: Chain, reason: str | None, device: DeviceChain | None = None
) -> Iterator[Stage]:
    """Each codec in encoding order, those inside a shard after it, and with them what was moved there.

    `chain` is `codecs`, bound; `reason` is `not_compiled`'s answer for the innermost chunks; `device` is what decodes
    these, if they are decoded there.
    """
    bound, moved = list(chain.stages), list[CodecConfig]()
    objects, shard = chain.values, chain.shard
    for codec in codecs:
        if codec.name in SHAPES or (codec.name == "transpose" and not _is_next(codec.name, bound)):
            yield Stage(codec.name, "layout" if chain.shard is None else "plan")
        elif codec.name in ("bytes", "endian") and not _is_next("bytes", bound):
            if device is not None and any(step.name == "bytes" for step in device.steps):
                yield Stage("bytes", "device", "own kernel")
            else:
                yield Stage("bytes", "layout", None, SWAPPED if chain.elements.swap else None)
        elif objects is not None and codec.name in (objects.codec.name, f"numcodecs.{objects.codec.name}"):
            name = objects.codec.name
            code = "standard library" if name in STANDARD else _with_version(PACKAGE.get(name, "numcodecs"))
            yield Stage(name, "python", code, reason)
            objects = None
        elif codec.name == "sharding_indexed" and shard is not None:
            yield Stage("sharding_indexed", "plan")
            inner = ShardingCodec.from_config(codec.configuration).codecs
            yield from stages((*moved, *inner), shard.inner, reason, device)
            shard = None
        elif shard is not None:
            moved.append(codec)
        else:
            stage = bound.pop(0)
            if isinstance(stage, WholeShardStage):
                yield Stage(stage.name, "python", _code(stage), WHOLE)
                yield from stages(ShardingCodec.from_config(codec.configuration).codecs, stage.shard.inner, WHOLE)
            elif chain.shard is None and device is not None:
                step = next(step for step in device.steps if step.name == stage.name)
                yield Stage(stage.name, "device", step.code, step.why)
            else:
                yield _pass(stage, reason if chain.shard is None else WRAPPED)
                if isinstance(stage, N5BlockStage) and stage.inner is not None:
                    yield _pass(stage.inner, reason)


def _is_next(name: str, bound: list[BoundStage]) -> bool:
    """Whether the next stage is that codec's: some have none."""
    return bool(bound) and bound[0].name == name


def _pass(stage: BoundStage, reason: str | None) -> Stage:
    module = native.load()
    if reason is None and module is not None and stage.native is not None:
        return Stage(stage.name, "compiled", module.sources[stage.native.name])
    return Stage(stage.name, "python", _code(stage), reason)


def _code(stage: BoundStage) -> str:
    """The package whose code a stage runs in Python."""
    if stage.name in STANDARD:
        return "standard library"
    if isinstance(stage, ForeignCodec):
        return _with_version(type(stage.codec).__module__.partition(".")[0])
    return _with_version(PACKAGE.get(stage.name, "numcodecs"))


@cache
def _with_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
