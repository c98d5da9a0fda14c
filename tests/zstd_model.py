"""Zstandard in plain Python: what the kernel must say of a frame, to the status, and what libzstd says.

Written from RFC 8878, a symbol at a time. libzstd vouches for it, and both for the kernel. Where libzstd takes what the
format does not allow, a frame is refused for one of the reasons in `LAX`, and nothing else (kernels/zstd.cu says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numcodecs.zstd
from lz_formats import FORMAT, MOST, OFFSET, OK, OVERFLOW, SIZE, TRUNCATED, Seen, WrongError, log

CHECKSUM = 6  # kernels/common.cuh, gz_status
BATCH = 32  # sequences that are read before they are executed
LARGEST = 128 << 10  # bytes of a block
MAGIC = 0xFD2FB528

_ENDS = {"a Huffman stream's end", "a description's end", "something behind the frame"}
LAX = frozenset({*_ENDS, "a block's size", "the first states"})


class RefusedError(WrongError):
    """A frame is wrong, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status)
        self.why = why


def need(condition: bool, status: int, why: str) -> None:
    if not condition:
        raise RefusedError(status, why)


def little(data: bytes) -> int:
    return int.from_bytes(data, "little")


# ---- bit streams ---------------------------------------------------------------------------------------------


class Bits:
    """A stream that is read from its end; zeros come before its beginning."""

    def __init__(self, data: bytes, why: str) -> None:
        need(bool(data) and data[-1] != 0, FORMAT, why)
        self.data = data
        self.left = 8 * len(data) - 9 + data[-1].bit_length()

    def peek(self, n: int) -> int:
        low = self.left - n
        value = little(self.data[max(low, 0) >> 3 :][:8])
        return (value >> (low & 7) if low >= 0 else value << -low) & ((1 << n) - 1)

    def take(self, n: int) -> int:
        value = self.peek(n)
        self.left -= n
        return value


@dataclass(frozen=True, slots=True)
class Cell:
    symbol: int
    bits: int
    next: int


Table = list[Cell]


def described(data: bytes, most: int, symbols: int, seen: Seen) -> tuple[list[int], int, int]:
    """Probabilities, the table's log and the bytes of a description (RFC 8878 section 4.1.1)."""

    def peek(at: int, n: int) -> int:
        return little(data[at >> 3 :][:4]) >> (at & 7) & ((1 << n) - 1)

    table_log = peek(0, 4) + 5
    need(table_log <= most, FORMAT, "the table is too large")
    at, remaining, counts = 4, (1 << table_log) + 1, list[int]()
    while remaining > 1:
        need(len(counts) < symbols or at <= 8 * len(data), FORMAT, "a description's end")
        need(len(counts) < symbols, FORMAT, "too many symbols")
        bits = remaining.bit_length()
        few = (1 << bits) - 1 - remaining
        value = peek(at, bits - 1)
        if value < few:
            at += bits - 1
        else:
            value = peek(at, bits)
            at += bits
            value -= few if value >= 1 << bits - 1 else 0
        counts.append(value - 1)
        remaining -= abs(value - 1)
        while value == 1:
            more = peek(at, 2)
            at += 2
            counts += [0] * more
            seen.add(("zeros", more))
            if more < 3 or len(counts) >= symbols:
                break
    size = (at + 7) // 8
    seen.add(("description", table_log, -1 in counts, size == len(data)))
    need(size <= len(data), FORMAT, "a description's end")
    return counts, table_log, size


def built(counts: Sequence[int], table_log: int) -> Table:
    """The cells of a table (RFC 8878 section 4.1.1)."""
    size = 1 << table_log
    rare = [symbol for symbol, count in enumerate(counts) if count < 0]
    symbols = [0] * (size - len(rare)) + rare[::-1]
    at = 0
    for symbol, count in enumerate(counts):
        for _ in range(count):
            symbols[at] = symbol
            while True:
                at = (at + (size >> 1) + (size >> 3) + 3) % size
                if at < size - len(rare):
                    break
    states = [max(count, 1) for count in counts]
    cells = []
    for symbol in symbols:
        state = states[symbol]
        states[symbol] += 1
        bits = table_log + 1 - state.bit_length()
        cells.append(Cell(symbol, bits, (state << bits) - size))
    return cells


# ---- literals ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tree:
    """For each value of `longest` bits: the symbol, and how many of the bits are its code."""

    longest: int
    codes: list[tuple[int, int]]


def weights_of(data: bytes, seen: Seen) -> tuple[list[int], int]:
    """The weights that are told, and how many bytes tell them (RFC 8878 section 4.2.1)."""
    need(len(data) > 0, FORMAT, "no tree")
    head = data[0]
    if head >= 128:
        n = head - 127
        need(1 + (n + 1) // 2 <= len(data), FORMAT, "the tree is cut off")
        seen.add(("weights as they are", log(n)))
        nibbles = [nibble for byte in data[1 : 1 + (n + 1) // 2] for nibble in (byte >> 4, byte & 15)]
        return nibbles[:n], 1 + (n + 1) // 2
    need(1 + head <= len(data), FORMAT, "the tree is cut off")
    counts, table_log, size = described(data[1 : 1 + head], 6, 256, seen)
    need(len(counts) <= (12 if table_log == 6 else 92), FORMAT, "larger weights than libzstd has room for")
    bits = Bits(data[1 + size : 1 + head], "weights without an end")
    table = built(counts, table_log)
    states = [bits.take(table_log), bits.take(table_log)]
    need(bits.left >= 0, FORMAT, "the first states")
    weights = list[int]()
    while True:
        need(len(weights) < 254, FORMAT, "too many weights")
        cell = table[states[len(weights) & 1]]
        states[len(weights) & 1] = cell.next + bits.take(cell.bits)
        weights.append(cell.symbol)
        if bits.left < 0:
            weights.append(table[states[len(weights) & 1]].symbol)
            seen.add(("weights", log(len(weights)), table_log))
            return weights, 1 + head


def tree_of(weights: list[int], seen: Seen) -> Tree:
    need(max(weights) <= 12, FORMAT, "a weight")
    total = sum(1 << weight >> 1 for weight in weights)
    longest = total.bit_length()
    rest = (1 << longest) - total
    need(total > 0 and longest <= 12 and rest & (rest - 1) == 0, FORMAT, "weights do not add up")
    weights = [*weights, rest.bit_length()]
    need(weights.count(1) >= 2 and weights.count(1) % 2 == 0, FORMAT, "weights of 1")
    seen.add(("tree", longest))
    codes = [
        (symbol, longest + 1 - weight)
        for weight in range(1, longest + 1)
        for symbol in range(len(weights))
        if weights[symbol] == weight
        for _ in range(1 << weight - 1)
    ]
    return Tree(longest, codes)


def huffman_stream(tree: Tree, data: bytes, count: int) -> bytes:
    bits = Bits(data, "a Huffman stream's end")
    out = bytearray()
    for _ in range(count):
        symbol, width = tree.codes[bits.peek(tree.longest)]
        bits.left -= width
        out.append(symbol)
    need(bits.left == 0, FORMAT, "a Huffman stream's end")
    return bytes(out)


def huffman_streams(tree: Tree, data: bytes, count: int, four: bool) -> bytes:
    if not four:
        return huffman_stream(tree, data, count)
    need(len(data) >= 10, FORMAT, "four streams in too few bytes")
    sizes = [little(data[2 * k : 2 * k + 2]) for k in range(3)]
    need(sum(sizes) + 6 <= len(data), FORMAT, "streams that are cut off")
    each, at, out = (count + 3) // 4, 6, bytearray()
    for size, part in zip([*sizes, len(data) - 6 - sum(sizes)], [each] * 3 + [count - 3 * each], strict=True):
        out += huffman_stream(tree, data[at : at + size], part)
        at += size
    return bytes(out)


# ---- sequences -----------------------------------------------------------------------------------------------

LITERALS, OFFSETS, MATCHES = range(3)
SYMBOLS, MOST_LOG = (36, 32, 53), (9, 8, 9)
DEFAULTS = (
    ([4, 3, *[2] * 11, 1, 1, 1, *[2] * 9, 3, 2, *[1] * 5, *[-1] * 4], 6),
    ([*[1] * 6, 2, 2, 2, *[1] * 15, *[-1] * 5], 5),
    ([1, 4, 3, *[2] * 6, *[1] * 37, *[-1] * 7], 6),
)

CODES = (
    [*((n, 0) for n in range(16)), (16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4)]
    + [(1 << k, k) for k in range(6, 17)],
    [(1 << k, k) for k in range(32)],
    [*((n + 3, 0) for n in range(32)), (35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3)]
    + [(67, 4), (83, 4), (99, 5)]
    + [((1 << k) + 3, k) for k in range(7, 17)],
)
"""For lengths of literals, offsets and lengths of matches: the first number of a code, and its additional bits."""


def next_offset(last: list[int], number: int, literals: int) -> int:
    """What offset a number stands for, and what the last three are then (RFC 8878 section 3.1.1.5)."""
    if number > 3:
        last[:] = [number - 3, last[0], last[1]]
        return number - 3
    which = number - (literals > 0)
    if which == 3:
        last[:] = [last[0] - 1, last[0], last[1]]
    elif which:
        last.insert(0, last.pop(which))
    return last[0]


@dataclass(slots=True)
class Frame:
    """What a decoder remembers from block to block."""

    room: int
    seen: Seen
    largest: int = 0
    out: bytearray = field(default_factory=bytearray)
    tree: Tree | None = None
    tables: list[Table] = field(default_factory=list)
    last: list[int] = field(default_factory=lambda: [1, 4, 8])

    # ---- a compressed block ----

    def block(self, data: bytes) -> None:
        need(len(data) >= 2, FORMAT, "a block of less than 2 bytes")
        kind, form = data[0] & 3, data[0] >> 2 & 3
        header, count, stored = self.literals_header(data, kind, form)
        need(count <= self.largest, FORMAT, "a block's literals")
        need(stored <= len(data) - header, FORMAT, "literals that are cut off")
        need(count <= self.room - len(self.out), OVERFLOW, "literals")
        at = header + stored
        number, modes, at = self.sequences_header(data, at)
        literals = self.literals(data[header : header + stored], kind, form, count)
        if number:
            self.sequences(data[at:], number, modes, literals)
        else:
            self.finish(literals)

    def literals_header(self, data: bytes, kind: int, form: int) -> tuple[int, int, int]:
        if kind < 2:
            header = (1, 2, 1, 3)[form]
            need(len(data) >= header + kind, FORMAT, "literals that are cut off")
            count = little(data[:header]) >> (3 if header == 1 else 4)
            return header, count, 1 if kind else count
        need(len(data) >= 5, FORMAT, "a block of few bytes")
        header, width = (3, 3, 4, 5)[form], (10, 10, 14, 18)[form]
        value = little(data[:5])
        count, stored = value >> 4 & (1 << width) - 1, value >> 4 + width & (1 << width) - 1
        need(form == 0 or count >= 6, FORMAT, "four streams of nothing")
        need(kind == 2 or self.tree is not None, FORMAT, "no tree before")
        return header, count, stored

    def sequences_header(self, data: bytes, at: int) -> tuple[int, int, int]:
        need(at < len(data), FORMAT, "no sequences")
        number = data[at]
        at += 1
        if number > 127:
            more = 2 if number == 255 else 1
            need(at + more <= len(data), FORMAT, "sequences that are cut off")
            number = little(data[at : at + 2]) + 0x7F00 if more == 2 else (number - 128 << 8) + data[at]
            at += more
        if not number:
            need(at == len(data), FORMAT, "something behind no sequences")
            return 0, 0, at
        need(at < len(data), FORMAT, "no modes")
        modes = data[at]
        need(modes & 3 == 0, FORMAT, "reserved bits of modes")
        need(bool(self.tables) or all(modes >> k & 3 != 3 for k in (2, 4, 6)), FORMAT, "no tables before")
        return number, modes, at + 1

    def literals(self, data: bytes, kind: int, form: int, count: int) -> bytes:
        self.seen.add(("literals", kind, form, log(count)))
        if kind < 2:
            return data * count if kind else data
        if kind == 2:
            weights, size = weights_of(data, self.seen)
            self.tree = tree_of(weights, self.seen)
            data = data[size:]
        if self.tree is None:
            raise RefusedError(FORMAT, "no tree before")
        return huffman_streams(self.tree, data, count, form > 0)

    def table(self, kind: int, mode: int, data: bytes, at: int) -> tuple[Table, int]:
        self.seen.add(("table", kind, mode))
        if mode == 0:
            return built(*DEFAULTS[kind]), at
        if mode == 1:
            need(at < len(data) and data[at] < SYMBOLS[kind], FORMAT, "a table's symbol")
            return [Cell(data[at], 0, 0)], at + 1
        if mode == 3:
            return self.tables[kind], at
        counts, table_log, size = described(data[at:], MOST_LOG[kind], SYMBOLS[kind], self.seen)
        return built(counts, table_log), at + size

    def sequences(self, data: bytes, number: int, modes: int, literals: bytes) -> None:
        at, tables = 0, list[Table]()
        for kind in range(3):
            table, at = self.table(kind, modes >> 6 - 2 * kind & 3, data, at)
            tables.append(table)
        self.tables = tables
        bits = Bits(data[at:], "sequences without an end")
        states = [bits.take(len(table).bit_length() - 1) for table in tables]
        start, used = len(self.out), 0
        for done in range(0, number, BATCH):
            batch = []
            for k in range(done, min(done + BATCH, number)):
                cells = [table[state] for table, state in zip(tables, states, strict=True)]
                numbers = [0, 0, 0]
                for kind in (OFFSETS, MATCHES, LITERALS):
                    first, width = CODES[kind][cells[kind].symbol]
                    numbers[kind] = first + bits.take(width)
                batch.append(numbers)
                for kind in (LITERALS, MATCHES, OFFSETS) if k + 1 < number else ():
                    states[kind] = cells[kind].next + bits.take(cells[kind].bits)
            enough = bits.left == 0 if done + BATCH >= number else bits.left >= 0
            need(enough, FORMAT, "the end of sequences")
            for length, code, match in batch:
                used = self.execute(literals, used, start, (length, code, match))
        self.finish(literals[used:])

    def execute(self, literals: bytes, used: int, start: int, numbers: tuple[int, int, int]) -> int:
        length, code, match = numbers
        offset = next_offset(self.last, code, length)
        need(length <= len(literals) - used, FORMAT, "more literals than there are")
        end = len(self.out) + len(literals) - used + match
        need(end <= self.room, OVERFLOW, "a match")
        need(end - start <= self.largest, FORMAT, "a block's size")
        self.out += literals[used : used + length]
        need(0 < offset <= len(self.out), OFFSET, "an offset")
        self.seen.add(("match", log(length), log(match), min(offset.bit_length(), 12), offset < match, min(code, 4)))
        period = bytes(self.out[len(self.out) - offset :][:match])
        self.out += (period * (match // offset + 1))[:match]
        return used + length

    def finish(self, literals: bytes) -> None:
        self.out += literals

    # ---- a frame ----

    def header(self, data: bytes) -> tuple[int, bool]:
        need(len(data) >= 5, TRUNCATED, "a header")
        need(little(data[:4]) == MAGIC, FORMAT, "no frame")
        flags = data[4]
        single, key, wide = flags >> 5 & 1, (0, 1, 2, 4)[flags & 3], (flags >> 5 & 1, 2, 4, 8)[flags >> 6]
        need(not flags & 8, FORMAT, "a reserved bit")
        at = 6 - single
        need(len(data) >= at + key + wide + 3, TRUNCATED, "a header")
        exponent, eighths = 10 + (data[5] >> 3), data[5] & 7
        need(bool(single) or exponent <= 31, FORMAT, "a window")
        need(not any(data[at : at + key]), FORMAT, "a dictionary")
        content = little(data[at + key : at + key + wide]) + (256 if wide == 2 else 0)
        need(not wide or content <= self.room, OVERFLOW, "the content's size")
        need(not wide or content >= self.room, SIZE, "the content's size")
        window = content if single else (1 << exponent) // 8 * (8 + eighths)
        self.largest = min(window, LARGEST)
        self.seen.add(("header", flags))
        return at + key + wide, bool(flags & 4)

    def decode(self, data: bytes) -> None:
        at, checked = self.header(data)
        last = 0
        while not last:
            need(len(data) - at >= 3, TRUNCATED, "a block's header")
            word = little(data[at : at + 3])
            last, kind, size = word & 1, word >> 1 & 3, word >> 3
            stored = 1 if kind == 1 else size
            at += 3
            need(kind < 3, FORMAT, "a block's type")
            need(size <= self.largest, FORMAT, "a block's size")
            need(len(data) - at >= stored, TRUNCATED, "a block")
            self.seen.add(("block", kind, log(size)))
            part = data[at : at + stored]
            if kind == 2:
                self.block(part)
            else:
                need(size <= self.room - len(self.out), OVERFLOW, "a block")
                self.out += part * size if kind else part
            at += stored
        need(len(self.out) == self.room, SIZE, "blocks")
        if checked:
            need(len(data) - at >= 4, TRUNCATED, "a checksum")
            at += 4
        need(len(data) == at, FORMAT, "something behind the frame")
        if checked:
            need(little(data[-4:]) == xxh64(bytes(self.out)) & 0xFFFFFFFF, CHECKSUM, "the checksum")
            self.seen.add(("checksum", min(len(self.out), 40)))


# ---- checksums -----------------------------------------------------------------------------------------------

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_ALL = 2**64 - 1


def _turned(a: int, by: int) -> int:
    a &= _ALL
    return (a << by | a >> 64 - by) & _ALL


def _round(total: int, word: int) -> int:
    return _turned(total + word * _P2, 31) * _P1 & _ALL


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0."""
    at, total = 0, _P5
    if len(data) >= 32:
        sums = [_P1 + _P2, _P2, 0, -_P1]
        for at in range(0, len(data) - 31, 32):
            sums = [_round(total, little(data[at + 8 * k : at + 8 * k + 8])) for k, total in enumerate(sums)]
        at += 32
        total = sum(_turned(each, by) for each, by in zip(sums, (1, 7, 12, 18), strict=True))
        for each in sums:
            total = (total ^ _round(0, each)) * _P1 + _P4 & _ALL
    total = total + len(data) & _ALL
    while len(data) - at >= 8:
        total = _turned(total ^ _round(0, little(data[at : at + 8])), 27) * _P1 + _P4 & _ALL
        at += 8
    if len(data) - at >= 4:
        total = _turned(total ^ little(data[at : at + 4]) * _P1, 23) * _P2 + _P3 & _ALL
        at += 4
    for byte in data[at:]:
        total = _turned(total ^ byte * _P5, 11) * _P1 & _ALL
    total = (total ^ total >> 33) * _P2 & _ALL
    total = (total ^ total >> 29) * _P3 & _ALL
    return total ^ total >> 32


# ---- what is said of a frame ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status, the bytes where it is 0, and else why."""

    status: int
    output: bytes
    why: str = ""


def outcome(data: bytes, room: int, seen: Seen | None = None) -> Outcome:
    """What the kernel must say."""
    if max(len(data), room) > MOST:
        return Outcome(FORMAT, b"", "2 GiB")
    frame = Frame(room, set() if seen is None else seen)
    try:
        frame.decode(data)
    except RefusedError as wrong:
        frame.seen.add(("wrong", wrong.status, wrong.why))
        return Outcome(wrong.status, b"", wrong.why)
    return Outcome(OK, bytes(frame.out))


def content_told(data: bytes) -> int | None:
    """The size that a frame's header tells, if it does."""
    flags = data[4] if len(data) > 4 else 0
    at, wide = 6 - (flags >> 5 & 1) + (0, 1, 2, 4)[flags & 3], (flags >> 5 & 1, 2, 4, 8)[flags >> 6]
    return little(data[at : at + wide]) + (256 if wide == 2 else 0) if wide else None


def libzstd(data: bytes, room: int) -> bytes | None:
    """What ZSTD_decompress makes of these bytes; `None` where it refuses them, or makes not exactly `room` bytes."""
    target = bytearray(room)
    if content_told(data) not in (None, room):
        return None  # numcodecs would leave the rest of the target as it is
    try:
        numcodecs.zstd.decompress(data, target)
    except (RuntimeError, ValueError):
        return None
    return bytes(target)


def disagreement(stream: tuple[bytes, int], got: tuple[int, bytes], *, model: bool = True) -> str | None:
    """How the kernel and the model, or one of them and libzstd, differ; `None` where they do not.

    Without `model`, which is slow, it is only asked where libzstd does not say what the kernel does.
    """
    told = f"{stream[0][:400].hex()} ({len(stream[0])}) room {stream[1]}"
    library = libzstd(*stream) if stream[1] else None  # numcodecs refuses an empty content that is told
    if stream[1] and not model and library == (got[1] if got[0] == OK else None):
        return None
    wanted = outcome(*stream)
    if got[0] != wanted.status or (wanted.status == OK and got[1] != wanted.output):
        return f"{told}: the kernel says {got[0]}, the model {wanted.status} ({wanted.why}), or bytes differ"
    same = library == (wanted.output if wanted.status == OK else None)
    if stream[1] and not same and (library is None or wanted.why not in LAX):
        verdict = "refuses" if library is None else "accepts"
        return f"{told}: libzstd {verdict} it, the model: {wanted.status} {wanted.why}"
    return None
