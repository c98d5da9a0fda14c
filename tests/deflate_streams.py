"""DEFLATE written by hand, bit by bit (RFC 1951), its framings (RFC 1950, 1952), and what zlib says of any bytes."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BARE, ZLIB, GZIP = range(3)  # kernels/deflate.cu, `framing`
WINDOWS = (-15, 15, 31)  # zlib's `wbits` for them

Stream = tuple[bytes, int]  # its bytes, and how many it decodes to
Token = int | tuple[int, int]  # a symbol, or a match: its length and distance

ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
LENGTHS = (*range(3, 11), *(3 + (4 + k % 4 << k // 4) for k in range(4, 24)), 258)
LENGTHS_MORE = (0,) * 8 + tuple(k // 4 for k in range(4, 24)) + (0,)
DISTANCES = (1, 2, 3, 4, *(1 + (2 + k % 2 << k // 2) for k in range(2, 28)))
DISTANCES_MORE = (0,) * 4 + tuple(k // 2 for k in range(2, 28))
FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
END = 256


def number(value: int, n: int) -> str:
    """A number's bits, the lowest first."""
    return f"{value:0{n}b}"[::-1] if n else ""


def codes(lengths: Sequence[int]) -> list[str]:
    """The code of each symbol, whose bits are written in the order they have in the text; "" for none."""
    found, code = [""] * len(lengths), 0
    for length in range(1, 16):
        code <<= 1
        for symbol, each in enumerate(lengths):
            if each == length:
                found[symbol] = f"{code:0{length}b}"[-length:]
                code += 1
    return found


def whole_code(rng: random.Random, symbols: Iterable[int], n: int, longest: int = 15) -> list[int]:
    """Lengths of a code that has these symbols of n, by chance. One symbol has one bit, and the code a gap."""
    chosen = sorted(set(symbols))
    leaves = [0][: len(chosen)]
    while len(leaves) < len(chosen):
        at = rng.choice([k for k, depth in enumerate(leaves) if depth < longest])
        leaves[at] += 1
        leaves.append(leaves[at])
    rng.shuffle(leaves)
    lengths = [0] * n
    for symbol, depth in zip(chosen, leaves, strict=True):
        lengths[symbol] = max(depth, 1)
    return lengths


def split(token: Token) -> tuple[int, str, int, str]:
    """A match as symbols and what follows each."""
    length, distance = token if isinstance(token, tuple) else (0, 0)
    k = max(k for k, first in enumerate(LENGTHS) if first <= length)
    d = max(d for d, first in enumerate(DISTANCES) if first <= distance)
    more = number(length - LENGTHS[k], LENGTHS_MORE[k]), number(distance - DISTANCES[d], DISTANCES_MORE[d])
    return 257 + k, more[0], d, more[1]


@dataclass
class Writer:
    """A stream of blocks; each method ends one, but `bits`."""

    parts: list[str] = field(default_factory=list)
    count: int = 0

    def bits(self, *parts: str) -> Writer:
        self.parts += parts
        self.count += sum(map(len, parts))
        return self

    def bytes(self) -> bytes:
        text = "".join(self.parts)
        return int("0" + text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")

    def stored(self, data: bytes, *, last: bool = False, junk: int = 0, wrong: int = 0) -> Writer:
        """`junk` fills the byte before; `wrong` bits of the size's complement are."""
        self.bits(str(int(last)), "00")
        self.bits(number(junk, 8)[: -self.count % 8])
        self.bits(number(len(data), 16), number(len(data) ^ 0xFFFF ^ wrong, 16))
        return self.bits(*(number(byte, 8) for byte in data))

    def symbols(self, tokens: Iterable[Token], literals: Sequence[int], distances: Sequence[int]) -> Writer:
        of_literals, of_distances = codes(literals), codes(distances)
        for token in tokens:
            if isinstance(token, int):
                self.bits(of_literals[token])
            else:
                symbol, more, distance, further = split(token)
                self.bits(of_literals[symbol], more, of_distances[distance], further)
        return self

    def fixed(self, tokens: Iterable[Token], *, last: bool = False) -> Writer:
        self.bits(str(int(last)), "10")
        return self.symbols([*tokens, END], FIXED, [5] * 32)

    def told(
        self,
        tokens: Iterable[Token],
        literals: Sequence[int],
        distances: Sequence[int],
        *,
        last: bool = False,
        packed: Sequence[tuple[int, int]] | None = None,
        code: Sequence[int] | None = None,
        end: bool = True,
    ) -> Writer:
        """A block that tells its codes: as `packed` symbols of the code of lengths, which is `code`."""
        packed = [(each, 0) for each in (*literals, *distances)] if packed is None else packed
        if code is None:
            code = whole_code(random.Random(0), {symbol for symbol, _ in packed} | {0, 1}, 19, 7)
        used = [code[symbol] for symbol in ORDER]
        most = max(4, *(k + 1 for k, each in enumerate(used) if each or k == 3))
        self.bits(str(int(last)), "01", number(len(literals) - 257, 5), number(len(distances) - 1, 5))
        self.bits(number(most - 4, 4), *(number(each, 3) for each in used[:most]))
        told = codes(code)
        for symbol, more in packed:
            self.bits(told[symbol], number(more, {16: 2, 17: 3, 18: 7}.get(symbol, 0)))
        return self.symbols([*tokens, *[END][: int(end)]], literals, distances)


def packed_by_chance(rng: random.Random, lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Lengths as symbols of the code of lengths: repeated ones at times told together."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(lengths):
        run = next((k for k in range(at, len(lengths)) if lengths[k] != lengths[at]), len(lengths)) - at
        how = rng.randrange(3)
        if lengths[at] == 0 and run >= 3 and how:
            symbol, least, most = (17, 3, 10) if how == 1 or run < 11 else (18, 11, 138)
            times = rng.randint(least, min(run, most))
            found.append((symbol, times - least))
        elif at and lengths[at - 1] == lengths[at] and run >= 3 and how:
            times = rng.randint(3, min(run, 6))
            found.append((16, times - 3))
        else:
            times = 1
            found.append((lengths[at], 0))
        at += times
    return found


def tokens_by_chance(rng: random.Random, count: int, before: int, most: int = 600) -> tuple[list[Token], int]:
    """Literals and matches after `before` bytes, and the bytes there are then."""
    found: list[Token] = []
    alphabet = rng.sample(range(256), rng.choice([1, 3, 20, 250]))
    far = rng.choice([1, 4, 40, 40_000])
    for _ in range(count):
        if before and rng.random() < 0.5:
            length = rng.choice([3, 4, rng.randint(3, 40), rng.randint(3, 258), 258])
            length = min(length, max(3, most - before))
            found.append((length, rng.randint(1, min(before, far, 32768))))
            before += length
        else:
            found.append(rng.choice(alphabet))
            before += 1
    return found, before


def told_by_chance(writer: Writer, rng: random.Random, tokens: Sequence[Token], *, last: bool = False) -> None:
    """A block with codes of these tokens, and of some symbols that are not used."""
    matches = [split(token) for token in tokens if isinstance(token, tuple)]
    literals = {token for token in tokens if isinstance(token, int)} | {symbol for symbol, *_ in matches} | {END}
    literals |= set(rng.sample(range(286), rng.choice([0, 0, 3, 200])))
    distances = {distance for *_, distance, _ in matches} | set(rng.sample(range(30), rng.choice([0, 0, 1, 20])))
    n, d = rng.randint(max(literals) + 1, 286), rng.randint(max(distances, default=0) + 1, 30)
    lengths = whole_code(rng, literals, n), whole_code(rng, distances, d)
    packed = packed_by_chance(rng, [*lengths[0], *lengths[1]])
    code = whole_code(rng, {symbol for symbol, _ in packed} | {rng.randrange(19), 0, 1}, 19, 7)
    writer.told(tokens, *lengths, last=last, packed=packed, code=code)


def by_chance(seed: int, *, count: int = 30, blocks: int = 3, most: int = 3000) -> Stream:
    rng, writer, size = random.Random(seed), Writer(), 0
    for left in reversed(range(rng.randint(1, blocks))):
        kind = rng.randrange(5)
        if kind == 0:
            data = rng.randbytes(rng.choice([0, 1, rng.randrange(count + 1)]))
            writer.stored(data, last=left == 0, junk=rng.randrange(256))
            size += len(data)
            continue
        tokens, size = tokens_by_chance(rng, rng.randint(0, count), size, most)
        if kind == 1:
            writer.fixed(tokens, last=left == 0)
        else:
            told_by_chance(writer, rng, tokens, last=left == 0)
    return writer.bytes(), size


# ---- framings ------------------------------------------------------------------------------------------------


def zlib_framed(
    bare: bytes, content: bytes, *, method: int = 0x78, flags: int = 0x80, adler: int | None = None
) -> bytes:
    """`flags` without the check bits."""
    flags += -(method << 8 | flags) % 31
    return bytes([method, flags]) + bare + struct.pack(">I", zlib.adler32(content) if adler is None else adler)


def member(
    bare: bytes,
    content: bytes,
    *,
    extra: bytes | None = None,
    name: bytes | None = None,
    comment: bytes | None = None,
    text: bool = False,
    checked: bool = False,
    off: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """A gzip member; `off` is what its header's CRC, its CRC-32 and its size are wrong by (bits)."""
    flags = text | 2 * checked | 4 * (extra is not None) | 8 * (name is not None) | 16 * (comment is not None)
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\x12\x34\x56\x78\x00\xff"
    header += b"" if extra is None else struct.pack("<H", len(extra)) + extra
    header += b"".join(part + b"\0" for part in (name, comment) if part is not None)
    header += struct.pack("<H", (zlib.crc32(header) & 0xFFFF) ^ off[0]) if checked else b""
    return header + bare + struct.pack("<II", zlib.crc32(content) ^ off[1], len(content) ^ off[2])


def framed(framing: int, stream: Stream) -> Stream:
    """A bare stream in a framing."""
    data, room = stream
    content = inflated(data, room, BARE) if framing else b""
    if framing and content is None:
        raise ValueError("it is not right")
    return (data if not framing else (zlib_framed if framing == ZLIB else member)(data, content or b"")), room


# ---- zlib ----------------------------------------------------------------------------------------------------


def verdict(data: bytes, room: int, framing: int) -> tuple[bytes | None, str]:
    """What zlib makes of these bytes, and its words; None where it refuses them, or makes not exactly `room` bytes."""
    out, at = b"", 0
    while True:
        decoder = zlib.decompressobj(WINDOWS[framing])
        try:
            out += decoder.decompress(data[at:], room - len(out) + 1)
        except zlib.error as error:
            return None, str(error).rpartition(": ")[2]
        if len(out) > room or not decoder.eof:
            return None, "too much" if len(out) > room else "cut off"
        rest = decoder.unused_data
        if framing != GZIP or not rest.strip(b"\0"):
            return (out if len(out) == room else None), ("" if len(out) == room else "too little")
        at = len(data) - len(rest.lstrip(b"\0"))  # as Python's gzip does


def inflated(data: bytes, room: int, framing: int) -> bytes | None:
    return verdict(data, room, framing)[0]


def size_of(data: bytes, framing: int = BARE) -> int:
    """How many bytes zlib makes of a stream."""
    return len(zlib.decompressobj(WINDOWS[framing]).decompress(data))


def disagreement(stream: Stream, framing: int, got: tuple[int, bytes]) -> str | None:
    """How the kernel and zlib differ; `None` where they do not."""
    wanted, words = verdict(*stream, framing)
    if wanted == (got[1] if got[0] == 0 else None):
        return None
    told = f"{stream[0][:400].hex()} ({len(stream[0])}) room {stream[1]} framing {framing}"
    return f"{told}: the kernel says {got[0]}, zlib {words or 'yes'}, or bytes differ"
