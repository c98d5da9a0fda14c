"""Words for numbers, codecs and names.

Names come from documents that anybody may have written: what does not print is escaped, what is long is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpuzarr.codecs.structure import ShardingCodec
from gpuzarr.metadata import CodecConfig
from gpuzarr.metadata.model import codec_list

__all__ = ["aligned", "chain_text", "codec_text", "count", "flat", "printable", "size"]


def size(nbytes: int) -> str:
    """A byte count in binary units.

    >>> size(999), size(1179648), size(3 << 40)
    ('999 B', '1.12 MiB', '3.00 TiB')
    """
    value, unit = float(nbytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value /= 1024 if unit != "PiB" else 1
    if unit == "B":
        return f"{nbytes} B"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.2f} {unit}"


def count(n: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "chunk"), count(1200, "chunk"), count(2, "index")
    ('1 chunk', '1,200 chunks', '2 indexes')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('x') else 's'}"


def printable(text: object, most: int = 80) -> str:
    r"""Text that is safe on a terminal: one line of `most` characters or fewer, none of which controls it.

    >>> printable("a\x1b[2Jb"), printable("x" * 9, 5)
    ('a\\x1b[2Jb', 'xxxx…')
    """
    line = str(text)
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def aligned(rows: Sequence[tuple[str, str]], between: str = "  ") -> str:
    """Names and values, one pair a line; the further lines of a value stay in its column.

    >>> print(aligned([("a", "1"), ("long", "2")], " : "))
    a    : 1
    long : 2
    """
    width = max((len(name) for name, _ in rows), default=0)
    margin = "\n" + " " * (width + len(between))
    return "\n".join(f"{name:<{width}}{between}{value.replace(chr(10), margin)}" for name, value in rows)


def codec_text(codec: CodecConfig) -> str:
    """One codec and its configuration, without the codecs inside a shard.

    >>> codec_text(CodecConfig("zstd", {"level": 3}))
    'zstd(level=3)'
    """
    inside = ("codecs", "index_codecs")
    members = (f"{k}={printable(v, 40)}" for k, v in codec.configuration.items() if k not in inside)
    return printable(f"{codec.name}({', '.join(members)})" if codec.configuration else codec.name, 160)


def flat(codecs: Sequence[CodecConfig]) -> Iterator[tuple[int, CodecConfig]]:
    """All codecs in encoding order, those inside a shard after it, with how many shards each is inside."""
    for codec in codecs:
        yield 0, codec
        if codec.name == "sharding_indexed":
            for depth, inner in flat(ShardingCodec.from_config(codec.configuration).codecs):
                yield depth + 1, inner
        elif codec.name == "n5_default":
            yield from ((1, inner) for inner in codec_list(codec.configuration.get("codecs")))


def chain_text(codecs: Sequence[CodecConfig]) -> str:
    """A chain in encoding order, one codec a line; those inside a shard are indented."""
    return "\n".join("  " * depth + codec_text(codec) for depth, codec in flat(codecs))
