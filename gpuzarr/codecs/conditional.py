"""`conditional`: codecs of bytes that a chunk has applied or not, as a mask before its bytes says (zarr-extensions)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuzarr.codecs.base import (
    Buffer,
    BytesCodecLike,
    NativeOp,
    Stage,
    Wire,
    bad_size,
    config_int,
    put,
    unknown_members,
)
from gpuzarr.errors import CodecError, MetadataError
from gpuzarr.metadata import CodecConfig
from gpuzarr.metadata.model import codec_list

__all__ = ["ConditionalCodec"]

MAX_CODECS = 64
"""Codecs inside."""

MAX_HEADER = 1 << 16
"""Bits of a mask."""

SLACK = 1 << 16
"""Bytes that an encoded chunk may be larger than twice what it encodes, as in a chain."""


@dataclass(frozen=True, slots=True)
class ConditionalCodec:
    """Applies shuffles and checksums, whose size is fixed, to every chunk, and compressors where that makes it smaller.

    The bits of the header, little endian, are those of `codecs` in their order; `header_bits` are whole bytes.
    """

    codecs: tuple[BytesCodecLike, ...]
    header_bits: int

    name = "conditional"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], make: Callable[[CodecConfig], Any]) -> ConditionalCodec:
        """`make` makes a codec of a configuration. Raises MetadataError, UnknownCodecError, UnsupportedError."""
        unknown_members(config, "conditional", {"codecs", "header_bits"})
        configs = codec_list(config.get("codecs"))
        if len(configs) > MAX_CODECS:
            raise MetadataError(f"conditional: {len(configs)} codecs, more than {MAX_CODECS}", field="codecs")
        least = -(-len(configs) // 8) * 8
        bits = config_int(config, "conditional", "header_bits", least, MAX_HEADER, least)
        if bits % 8:
            raise MetadataError(f"conditional: header_bits {bits} are no whole bytes", field="codecs")
        return cls(tuple(make(inner) for inner in configs), bits)

    def to_config(self) -> CodecConfig:
        codecs: list[Any] = [codec.to_config().to_v3() for codec in self.codecs]
        return CodecConfig("conditional", {"codecs": codecs, "header_bits": self.header_bits})

    def bind(self, wire: Wire) -> ConditionalStage:
        return ConditionalStage(tuple(codec.bind(wire) for codec in self.codecs), self.header_bits // 8)


@dataclass(frozen=True, slots=True)
class ConditionalStage:
    """Bound: stages, and the bytes of the header."""

    stages: tuple[Stage, ...]
    header: int
    native: NativeOp | None = None

    name = "conditional"

    def encoded_size(self, size: int) -> int | None:
        return None

    def decode(self, data: Buffer, size: int | None, limit: int, into: memoryview | None = None) -> Buffer:
        stored = memoryview(data).cast("B")
        mask = int.from_bytes(stored[: self.header], "little")
        if len(stored) < self.header or mask >> len(self.stages):
            reason = f"the header {mask:#x} is cut off, or of more codecs than there are"
            raise CodecError(reason, codec=self.name, direction="decode")
        applied = [stage for k, stage in enumerate(self.stages) if mask >> k & 1]
        found: Buffer = stored[self.header :]
        for stage, (known, most) in zip(applied[::-1], _sizes(applied, size, limit)[::-1], strict=True):
            found = stage.decode(found, known, most)
        nbytes = memoryview(found).nbytes
        if nbytes > limit or (size is not None and nbytes != size):
            raise bad_size(self.name, nbytes, size)
        return put(found, into)

    def encode(self, data: Buffer) -> Buffer:
        mask = 0
        for k, stage in enumerate(self.stages):
            nbytes = memoryview(data).nbytes
            encoded = stage.encode(data)
            if stage.encoded_size(nbytes) is not None or memoryview(encoded).nbytes < nbytes:
                mask, data = mask | 1 << k, memoryview(encoded).cast("B")
        return b"".join([mask.to_bytes(self.header, "little"), data])


def _sizes(applied: Sequence[Stage], size: int | None, limit: int) -> list[tuple[int | None, int]]:
    """What each stage encodes: its size where that is known, and its limit (see `chain.Chain`)."""
    found, known = [], limit if size is None else size
    for stage in applied:
        found.append((size, limit))
        size = None if size is None else stage.encoded_size(size)
        known = known if size is None else size
        limit = 2 * known + SLACK if size is None else size
    return found
