"""Zstandard frames, written a part at a time: each kind of block, literals, table and offset that there can be.

An encoder of nothing but what it is told (RFC 8878), with the model's tables. Bytes are given to the parts as they
are, so that wrong ones can be written as well.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from zstd_model import (
    CODES,
    DEFAULTS,
    LITERALS,
    MAGIC,
    MATCHES,
    OFFSETS,
    SYMBOLS,
    Cell,
    Table,
    Tree,
    built,
    next_offset,
    outcome,
    tree_of,
    xxh64,
)

Stream = tuple[bytes, int]  # a frame, and how many bytes it should decode to
Sequences = list[tuple[int, int, int]]  # length of literals, length of match, number of the offset
RAW, RLE, COMPRESSED = range(3)


def little(n: int, width: int) -> bytes:
    return n.to_bytes(width, "little")


# ---- bit streams ---------------------------------------------------------------------------------------------


def backward(fields: Sequence[tuple[int, int]]) -> bytes:
    """A stream of numbers and their widths, in the order in which they are read: from its end."""
    value = 1
    for number, width in fields:
        value = value << width | number
    return little(value, (value.bit_length() + 7) // 8)


def description(counts: Sequence[int], table_log: int) -> bytes:
    """Probabilities as section 4.1.1 writes them."""
    value, at = table_log - 5, 4
    remaining, k = (1 << table_log) + 1, 0

    def put(number: int, width: int) -> None:
        nonlocal value, at
        value |= number << at
        at += width

    while remaining > 1:
        bits = remaining.bit_length()
        few = (1 << bits) - 1 - remaining
        number = counts[k] + 1
        if number < few:
            put(number, bits - 1)
        else:
            put(number + (few if number >= 1 << bits - 1 else 0), bits)
        remaining -= abs(counts[k])
        k += 1
        if number == 1:
            zeros = next((n for n, count in enumerate(counts[k:]) if count), len(counts) - k)
            k += zeros
            for _ in range(zeros // 3):
                put(3, 2)
            put(zeros % 3, 2)
    return little(value, (at + 7) // 8)


def states_of(table: Table, symbols: Sequence[int], rng: random.Random | None = None) -> list[int]:
    """The state in which each symbol is read: found from the last on, since a state is told by the one before."""
    found: list[int] = []
    for symbol in reversed(symbols):
        cells = [k for k, cell in enumerate(table) if cell.symbol == symbol]
        if found:
            cells = [k for k in cells if 0 <= found[-1] - table[k].next < 1 << table[k].bits]
        found.append(rng.choice(cells) if rng else cells[0])
    return found[::-1]


# ---- literals ------------------------------------------------------------------------------------------------


def literals_header(kind: int, form: int, count: int, stored: int) -> bytes:
    if kind < 2:
        width = (1, 2, 1, 3)[form]
        return little(kind | count << 3 if width == 1 else kind | form << 2 | count << 4, width)
    width = (10, 10, 14, 18)[form]
    return little(kind | form << 2 | count << 4 | stored << 4 + width, (3, 3, 4, 5)[form])


def plain(data: bytes, form: int | None = None) -> bytes:
    """Literals as they are."""
    if form is None:
        form = 0 if len(data) < 32 else 1 if len(data) < 4096 else 3
    return literals_header(0, form, len(data), 0) + data


def same(byte: int, count: int, form: int | None = None) -> bytes:
    """`count` literals that are one byte."""
    if form is None:
        form = 0 if count < 32 else 1 if count < 4096 else 3
    return literals_header(1, form, count, 0) + bytes([byte])


def weights_as_they_are(weights: Sequence[int]) -> bytes:
    """All weights but the last."""
    padded = [*weights, 0]
    return bytes([127 + len(weights), *(padded[k] << 4 | padded[k + 1] for k in range(0, len(weights), 2))])


def weights_compressed(weights: Sequence[int], counts: Sequence[int], table_log: int) -> bytes:
    """Weights of a table with these probabilities: two states in turn, until bits lack for one of them."""
    table = built(counts, table_log)
    chains = [states_of(table, weights[k::2]) for k in range(2)]
    # The last state but one of all needs a bit that is not there.
    last = chains[len(weights) % 2][-1]
    if table[last].bits == 0:
        raise ValueError("the stream would not end there")
    fields = [(chains[k][0], table_log) for k in range(2)]
    for k in range(len(weights) - 2):
        cell = table[chains[k % 2][k // 2]]
        fields.append((chains[k % 2][k // 2 + 1] - cell.next, cell.bits))
    told = description(counts, table_log) + backward(fields)
    return bytes([len(told)]) + told


def coded(tree: Tree, data: bytes) -> bytes:
    """A stream of codes."""
    begins: dict[int, tuple[int, int]] = {}
    for index, (symbol, width) in enumerate(tree.codes):
        begins.setdefault(symbol, (index >> tree.longest - width, width))
    return backward([begins[byte] for byte in data])


def huffman(data: bytes, tree: Tree, told: bytes | None, *, four: bool | None = None, form: int | None = None) -> bytes:
    """Literals coded by a tree, which is told (`told`), or that of the block before (None)."""
    four = len(data) >= 256 if four is None else four
    if four:
        each = (len(data) + 3) // 4
        parts = [coded(tree, data[k * each : (k + 1) * each] if k < 3 else data[3 * each :]) for k in range(4)]
        body = b"".join(little(len(part), 2) for part in parts[:3]) + b"".join(parts)
    else:
        body = coded(tree, data)
    body = (told or b"") + body
    if form is None:
        most = max(len(data), len(body))
        form = int(four) if most < 1024 else 2 if most < 1 << 14 else 3
    return literals_header(2 if told is not None else 3, form, len(data), len(body)) + body


# ---- sequences -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Described:
    """How a table is told: mode, bytes, and the table that it gives."""

    mode: int
    told: bytes
    table: Table


def default(kind: int) -> Described:
    return Described(0, b"", built(*DEFAULTS[kind]))


def single(kind: int, symbol: int) -> Described:
    return Described(1, bytes([symbol]), [Cell(symbol, 0, 0)])


def own(counts: Sequence[int], table_log: int) -> Described:
    return Described(2, description(counts, table_log), built(counts, table_log))


def again(table: Table) -> Described:
    return Described(3, b"", table)


def code_of(kind: int, number: int) -> tuple[int, int, int]:
    """The code of a number, its additional bits and how many they are."""
    code = max(k for k, (first, _) in enumerate(CODES[kind]) if first <= number)
    first, width = CODES[kind][code]
    return code, number - first, width


def sequences(found: Sequences, tables: Sequence[Described], rng: random.Random | None = None) -> bytes:
    """The section of sequences, of which there are some."""
    columns = ([s[0] for s in found], [s[2] for s in found], [s[1] for s in found])
    codes = [[code_of(kind, number) for number in columns[kind]] for kind in range(3)]
    states = [states_of(tables[kind].table, [code for code, _, _ in codes[kind]], rng) for kind in range(3)]
    logs = [len(tables[kind].table).bit_length() - 1 for kind in range(3)]
    fields = [(states[kind][0], logs[kind]) for kind in range(3)]
    for k in range(len(found)):
        fields += [codes[kind][k][1:] for kind in (OFFSETS, MATCHES, LITERALS)]
        for kind in (LITERALS, MATCHES, OFFSETS) if k + 1 < len(found) else ():
            cell = tables[kind].table[states[kind][k]]
            fields.append((states[kind][k + 1] - cell.next, cell.bits))
    modes = tables[0].mode << 6 | tables[1].mode << 4 | tables[2].mode << 2
    return number_of(len(found)) + bytes([modes]) + b"".join(t.told for t in tables) + backward(fields)


def number_of(n: int, form: int | None = None) -> bytes:
    form = (0 if n < 128 else 1 if n < 0x7F00 else 2) if form is None else form
    return [bytes([n & 255]), bytes([(n >> 8) + 128 & 255, n & 255]), b"\xff" + little(n - 0x7F00 & 0xFFFF, 2)][form]


# ---- blocks and frames ---------------------------------------------------------------------------------------

Block = tuple[int, int, bytes]  # type, size, bytes


def raw(data: bytes) -> Block:
    return RAW, len(data), data


def run(byte: int, count: int) -> Block:
    return RLE, count, bytes([byte])


def compressed(literals: bytes, section: bytes = b"\0") -> Block:
    return COMPRESSED, len(literals) + len(section), literals + section


def frame(
    blocks: Sequence[Block],
    *,
    content: int | None = None,
    width: int | None = None,
    single: bool = False,
    window: int = 0x38,
    key: bytes = b"",
    checked: bytes | None = None,
    flags: int = 0,
) -> bytes:
    """A frame.

    `content` is its size in `width` bytes, `key` the number of a dictionary, `checked` what it has a checksum of.
    """
    if content is not None and width is None:
        width = 1 if content < 256 and single else 2 if 256 <= content < 65792 else 4
    code = {None: 0, 1: 0, 2: 1, 4: 2, 8: 3}[width if content is not None else None]
    flags |= code << 6 | single << 5 | (checked is not None) << 2 | {0: 0, 1: 1, 2: 2, 4: 3}[len(key)]
    head = little(MAGIC, 4) + bytes([flags]) + (b"" if single else bytes([window])) + key
    if content is not None and width:
        head += little(content - (256 if width == 2 else 0), width)
    body = b"".join(
        little(size << 3 | kind << 1 | (k + 1 == len(blocks)), 3) + data for k, (kind, size, data) in enumerate(blocks)
    )
    return head + body + (b"" if checked is None else little(xxh64(checked) & 0xFFFFFFFF, 4))


# ---- frames by chance ----------------------------------------------------------------------------------------


def counts_by_chance(rng: random.Random, used: Sequence[int], symbols: int, most: int) -> Described:
    """A table of its own that has these symbols, and perhaps more."""
    kinds = sorted({*used, *rng.sample(range(symbols), rng.randrange(3))})
    table_log = rng.randint(max(5, (len(kinds) - 1).bit_length()), most)
    counts = [0] * (max(kinds) + 1)
    left = 1 << table_log
    for kind in kinds:
        counts[kind] = rng.choice((-1, 1))
        left -= 1
    while left:
        some = rng.randint(1, left)
        kind = rng.choice(kinds)
        counts[kind] = max(counts[kind], 0) + some + (counts[kind] < 0)
        left -= some
    return own(counts, table_log)


def tree_by_chance(rng: random.Random, longest: int) -> tuple[list[int], list[int], Tree]:
    """Weights of all symbols but the last, the symbols that have one, and the tree."""
    weights = [1, 1, *range(2, longest + 1)]  # as lopsided as can be; then some codes are split in two
    for _ in range(rng.randrange(40)):
        k = rng.randrange(len(weights))
        if weights[k] > 1:
            weights[k] -= 1
            weights.append(weights[k])
    rng.shuffle(weights)
    for _ in range(rng.randrange(6)):
        weights.insert(rng.randrange(len(weights)), 0)
    weights = weights[:256]
    while weights[-1] == 0:
        weights.pop()
    return weights[:-1], [k for k, weight in enumerate(weights) if weight], tree_of(weights[:-1], set())


class Writer:
    """Writes blocks by chance, each with what the ones before allow."""

    def __init__(self, seed: int, size: int) -> None:
        self.rng = random.Random(seed)
        self.size = size  # of a block, about
        self.done = 0
        self.last = [1, 4, 8]
        self.tree: tuple[list[int], Tree] | None = None
        self.tables: list[Table] = []

    def frame(self, count: int) -> Stream:
        blocks = [self.block() for _ in range(count)]
        how = self.rng.randrange(4)
        single = self.rng.random() < 0.5 and all(size <= self.done for _, size, _ in blocks)
        content = self.done if single or self.rng.random() < 0.5 else None
        width = None if how or content is None or content < 256 else 8
        key = b"" if self.rng.random() < 0.9 else bytes(self.rng.choice((1, 2, 4)))
        written = frame(blocks, content=content, width=width, single=single, key=key)
        if self.rng.random() < 0.3:
            checked = outcome(written, self.done).output
            written = frame(blocks, content=content, width=width, single=single, key=key, checked=checked)
        return written, self.done

    def block(self) -> Block:
        kind = self.rng.choice((RAW, RLE, *[COMPRESSED] * 6))
        count = self.rng.randrange(self.size) if kind != COMPRESSED else 0
        if kind == RAW:
            self.done += count
            return raw(self.rng.randbytes(count))
        if kind == RLE:
            self.done += count
            return run(self.rng.randrange(256), count)
        found = self.sequences()
        used = sum(s[0] for s in found)
        extra = self.rng.choice((0, 1, self.rng.randrange(self.size)))
        literals = self.literals(used + extra)
        self.done += extra
        return compressed(literals, self.section(found) if found else b"\0")

    def sequences(self) -> Sequences:
        found = []
        for _ in range(
            self.rng.choice((0, 1, 2, 3, 5, 9, 31, 32, 33, 70)) if self.size > 60 else self.rng.randrange(6)
        ):
            length = self.rng.choice((0, 0, 1, 2, 3, 5, 17, self.rng.randrange(self.size)))
            match = self.rng.choice((3, 3, 4, 5, 9, 33, 60, 3 + self.rng.randrange(self.size)))
            position = self.done + length
            if not position:
                continue
            near = self.rng.randint(1, min(position, 20))
            number = self.rng.choice((1, 2, 3, 3 + near, 3 + self.rng.randint(1, position)))
            trial = list(self.last)
            if not 0 < next_offset(trial, number, length) <= position:
                number = 3 + near
            next_offset(self.last, number, length)
            found.append((length, match, number))
            self.done += length + match
        return found

    def literals(self, count: int) -> bytes:
        kind = self.rng.choice(("plain", "same", "huffman", "huffman", "huffman"))
        if kind == "plain":
            return plain(self.rng.randbytes(count))
        if kind == "same":
            return same(self.rng.randrange(256), count)
        told = None
        if self.tree is None or self.rng.random() < 0.6:
            weights, symbols, tree = tree_by_chance(self.rng, self.rng.choice((1, 2, 3, 6, 8, 11, 12)))
            told = self.weights(weights)
            self.tree = symbols, tree
        symbols, tree = self.tree
        data = bytes(self.rng.choice(symbols) for _ in range(count))
        return huffman(data, tree, told, four=count >= 6 and (count > 500 or self.rng.random() < 0.6))

    def weights(self, weights: list[int]) -> bytes:
        if len(weights) > 128 or (len(weights) > 1 and self.rng.random() < 0.6):
            for _ in range(9):
                table = counts_by_chance(self.rng, weights, 12, 6)
                counts = [sum(cell.symbol == k for cell in table.table) for k in range(13)]
                while not counts[-1]:
                    counts.pop()
                log = len(table.table).bit_length() - 1
                if log == 6 and len(counts) > 12:  # libzstd has no room for them
                    continue
                try:
                    told = weights_compressed(weights, counts, log)
                except ValueError:
                    continue
                if told[0] < 128:
                    return told
        return weights_as_they_are(weights)

    def section(self, found: Sequences) -> bytes:
        tables = []
        for kind, column in ((LITERALS, 0), (OFFSETS, 2), (MATCHES, 1)):
            used = [code_of(kind, s[column])[0] for s in found]
            ways = [counts_by_chance(self.rng, used, SYMBOLS[kind], 8 if kind == OFFSETS else 9)]
            if kind != OFFSETS or max(used) < 29:
                ways.append(default(kind))
            if len(set(used)) == 1:
                ways += [single(kind, used[0])] * 2
            if self.tables and {cell.symbol for cell in self.tables[kind]} >= set(used):
                ways += [again(self.tables[kind])] * 3
            tables.append(self.rng.choice(ways))
        self.tables = [table.table for table in tables]
        return sequences(found, tables, self.rng)


def by_chance(seed: int, *, size: int = 200, count: int | None = None) -> Stream:
    """A frame of a few blocks of about `size` bytes or more."""
    writer = Writer(seed, size)
    return writer.frame(1 + seed % 5 if count is None else count)
