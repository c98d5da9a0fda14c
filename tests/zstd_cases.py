"""Zstandard frames for the tests: of libzstd at all its levels, written by hand to force each case, and wrong ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import product

import numcodecs.zstd
import numpy as np
from lz_formats import SIZE
from lz_streams import corpora
from numpy.typing import NDArray
from zstd_frames import (
    Block,
    Described,
    Sequences,
    Stream,
    again,
    backward,
    by_chance,
    code_of,
    coded,
    compressed,
    counts_by_chance,
    default,
    description,
    frame,
    huffman,
    literals_header,
    number_of,
    own,
    plain,
    raw,
    run,
    same,
    sequences,
    single,
    weights_as_they_are,
    weights_compressed,
)
from zstd_model import LITERALS, MATCHES, OFFSETS, Frame, RefusedError, Table, Tree, next_offset, outcome, tree_of

LEVELS = (-50, -7, -1, 1, 2, 3, 5, 7, 9, 12, 15, 17, 19, 22)
NOISE = random.Random(5).randbytes(300_000)


def defaults() -> list[Described]:
    return [default(kind) for kind in range(3)]


def of_libzstd(data: NDArray[np.generic] | bytes, level: int, checksum: bool = False) -> Stream:
    data = data if isinstance(data, bytes) else data.tobytes()
    return bytes(numcodecs.zstd.compress(data, level, checksum)), len(data)


@cache
def of_all_levels() -> list[Stream]:
    return [of_libzstd(data, level, level % 2 == 0) for data in corpora().values() for level in LEVELS]


@cache
def of_all_sizes() -> list[Stream]:
    text = corpora()["text"].tobytes()
    return [of_libzstd(text[size : 2 * size], level, level == 1) for size in range(130) for level in (-5, 1, 19)]


# ---- by hand -------------------------------------------------------------------------------------------------


def whole(blocks: Sequence[Block]) -> Stream:
    """A frame of blocks that does not tell its size: the model does."""
    data = frame(blocks)
    found = Frame(1 << 30, set())
    try:
        found.decode(data)
    except RefusedError as wrong:
        if wrong.status == SIZE:
            return data, len(found.out)
        raise
    raise ValueError("there is not so much")


def lopsided(longest: int) -> tuple[Tree, list[int]]:
    weights = [1, 1, *range(2, longest + 1)]
    return tree_of(weights[:-1], set()), weights[:-1]


def letters(tree: Tree, count: int, seed: int = 0) -> bytes:
    symbols = sorted({symbol for symbol, _ in tree.codes})
    return bytes(random.Random(seed).choices(symbols, k=count))


def trees() -> list[Stream]:
    found: list[Sequence[Block]] = []
    for longest in range(1, 13):
        tree, weights = lopsided(longest)
        told = weights_as_they_are(weights)
        found.append([compressed(huffman(letters(tree, 50), tree, told, four=False))])
        found.append([compressed(huffman(letters(tree, 50), tree, told, four=True))])
        found.append(
            [
                compressed(huffman(b"", tree, told, four=False)),
                compressed(huffman(letters(tree, 9), tree, None, four=True)),
            ]
        )
    for n in (2, 4, 128):  # as many codes, all alike
        told = weights_as_they_are([1] * (n - 1))
        tree = tree_of([1] * (n - 1), set())
        found.append(
            [compressed(huffman(letters(tree, 700), tree, told)), compressed(huffman(letters(tree, 9), tree, None))]
        )
    for weights in ([1] * 255, [1, 1, 2] * 64):
        tree = tree_of(weights, set())
        for counts, table_log in (
            ([8, 30, 20, 4, 2], 6),
            ([1, 26, 3, 1, -1], 5),
            ([-1, 60, 1, -1, -1], 6),
            ([16, 16], 5),
        ):
            if len(counts) > max(weights):
                told = weights_compressed(weights, counts, table_log) if fits(weights, counts, table_log) else b""
                if told:
                    found.append([compressed(huffman(letters(tree, 600), tree, told))])
    tree, weights = lopsided(5)
    told = weights_as_they_are(weights)
    found += [[compressed(huffman(letters(tree, count), tree, told, four=True))] for count in range(6, 20)]
    for form, count in ((1, 1000), (2, 1000), (2, 16000), (3, 1000), (3, 16000), (3, 100_000)):
        told = weights_as_they_are(weights)
        found.append([compressed(huffman(letters(tree, count), tree, told, four=True, form=form))])
        found.append(
            [
                compressed(huffman(letters(tree, 7), tree, told, four=False)),
                compressed(huffman(letters(tree, count), tree, None, four=True, form=form)),
            ]
        )
    return [whole(blocks) for blocks in found]


def fits(weights: Sequence[int], counts: Sequence[int], table_log: int) -> bool:
    try:
        return weights_compressed(weights, counts, table_log)[0] < 128
    except (ValueError, IndexError):
        return False


def plain_ones() -> list[Stream]:
    """Blocks and literals without anything coded."""
    found: list[Sequence[Block]] = [
        [raw(b"")],
        [run(1, 0)],
        [compressed(plain(b""))],
        [compressed(same(7, 0))],
        [raw(b""), run(0, 0)],
    ]
    found += [[raw(NOISE[:n])] for n in (1, 31, 33, 70, 129, 5000)]
    found += [[run(n & 255, n)] for n in (1, 2, 31, 32, 33, 63, 64, 65, 500, 5000)]
    found += [[raw(NOISE[:n]), run(n, n), raw(NOISE[n : 3 * n])] for n in (1, 5, 100)]
    for form, most in ((0, 31), (1, 4095), (3, 100_000)):
        for n in sorted({0, 1, 30, 31, min(most, 700), most}):
            found += [[compressed(plain(NOISE[:n], form))], [compressed(same(n & 255, n, form))]]
    return [whole(blocks) for blocks in found]


def matched() -> list[Stream]:
    """Sequences of all lengths and offsets, with the tables that are not told."""
    found: list[Sequence[Block]] = []
    lengths = [
        0,
        1,
        15,
        16,
        17,
        18,
        31,
        32,
        33,
        47,
        63,
        64,
        65,
        127,
        128,
        300,
        511,
        512,
        1500,
        2047,
        5000,
        9000,
        20000,
        40000,
        66000,
    ]
    for n in lengths:
        found.append([raw(NOISE[:50]), compressed(plain(NOISE[:n]), sequences([(n, 3, 3 + 7)], defaults()))])
        found.append([raw(NOISE[:50]), compressed(plain(b""), sequences([(0, 3 + n, 3 + 7)], defaults()))])
        found.append([raw(NOISE[:50]), compressed(same(9, n), sequences([(n, 5, 3 + 7)], defaults()))])
    for offset, length in product((1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 49, 50), (3, 4, 20, 29, 33, 64, 200, 513)):
        found.append(
            [raw(NOISE[:50]), compressed(plain(b"abc"), sequences([(0, length, 3 + offset), (2, 3, 1)], defaults()))]
        )
    for numbers in product((1, 2, 3, 3 + 13), repeat=3):  # the last three offsets, with and without literals between
        for literals in product((0, 1), repeat=3):
            steps = [(some, 4, number) for some, number in zip(literals, numbers, strict=True)]
            last = [17, 27, 1]
            if not all(next_offset(last, number, some) for some, _, number in steps):
                continue  # the last offset less 1, which is 0
            found.append(
                [
                    raw(NOISE[:40]),
                    compressed(plain(NOISE[: sum(literals)]), sequences([(0, 3, 30), (0, 3, 20), *steps], defaults())),
                ]
            )
    far = [raw(NOISE[k : k + 100_000]) for k in range(0, 300_000, 100_000)]
    found.append([*far, compressed(plain(b""), sequences([(0, 90_000, 3 + 300_000)], defaults()))])
    for n in (1, 31, 32, 33, 64, 65, 127, 128, 500):
        section = sequences([(1, 3 + k % 5, 1 + k % 9) for k in range(n)], defaults())
        found += [[raw(NOISE[:9]), compressed(plain(NOISE[:n]), section)]]
    for form in (1, 2):
        n = 3 if form == 1 else 0x7F00 + 5
        found.append([raw(b"abcd"), compressed(plain(NOISE[:n]), number_of(n, form) + bytes([0x54, 1, 0, 0, 1]))])
    return [whole(blocks) for blocks in found]


def table_modes() -> list[Stream]:
    """Every way to tell each table, after every way that could be told again."""
    rng = random.Random(3)
    steps: Sequences = [(1, 4, 3 + 5), (1, 4, 3 + 6), (1, 4, 3 + 5)]
    codes = [
        [code_of(kind, s[column])[0] for s in steps] for kind, column in ((LITERALS, 0), (OFFSETS, 2), (MATCHES, 1))
    ]

    def ways(kind: int, before: Table | None) -> list[Described]:
        some = [default(kind), single(kind, codes[kind][0]), counts_by_chance(rng, codes[kind], 20, 8)]
        return some + ([again(before)] if before else [])

    found: list[Sequence[Block]] = []
    literals = plain(NOISE[:4])
    for first in product(range(3), repeat=3):
        told = [ways(kind, None)[first[kind]] for kind in range(3)]
        for _ in range(4):
            then = [rng.choice(ways(kind, told[kind].table)) for kind in range(3)]
            last = [again(each.table) for each in then]
            blocks = [compressed(literals, sequences(steps, each, rng)) for each in (told, then, last)]
            found.append([raw(NOISE[:9]), blocks[0], raw(b""), blocks[1], compressed(plain(b"x")), blocks[2]])
    for kind, table_log in product(range(3), (5, 6, 7, 8, 9)):  # tables of all sizes, and of one symbol and of many
        if kind == OFFSETS and table_log == 9:
            continue
        size = 1 << table_log
        symbol = codes[kind][0]
        alone = own([0] * symbol + [size], table_log)
        many = own([-1] * 25 + [size - 25], table_log) if size > 25 else alone
        more = own([-1] * 34 + [size - 34], table_log) if size > 34 and kind != OFFSETS else many
        for told in (alone, many, more):
            each = [default(k) if k != kind else told for k in range(3)]
            found.append([raw(NOISE[:9]), compressed(literals, sequences(steps, each, rng))])
    return [whole(blocks) for blocks in found]


def in_the_way() -> list[Stream]:
    """Huffman-coded literals at the end of the output, which is reached while they are used."""
    found: list[Sequence[Block]] = []
    tree, weights = lopsided(6)
    told = weights_as_they_are(weights)
    for gap, count in product((0, 1, 5, 31, 32, 40, 255, 256, 300, 1000), (40, 300, 3000)):
        literals = huffman(letters(tree, count, gap), tree, told, four=True)
        found.append([compressed(literals), raw(NOISE[:gap])])
        half = sequences([(count // 2, 3, 4), (0, 40, 3 + 20), (3, 5, 3 + 9), (13, 4, 3 + 2)], defaults())
        found.append([compressed(literals, half), raw(NOISE[:gap])])
        small = sequences([(1, 3, 4)] * 20, defaults())
        found.append([compressed(literals, small), raw(NOISE[:gap])])
    return [whole(blocks) for blocks in found]


def headers() -> list[Stream]:
    found: list[Stream] = []
    for n in (0, 1, 255, 256, 300, 65791, 70000):
        blocks = [raw(NOISE[:n])] if n < 1000 else [run(3, n - 5), raw(b"abcde")]
        data = b"".join(part for _, _, part in blocks) if n < 1000 else bytes([3]) * (n - 5) + b"abcde"
        for width in (1, 2, 4, 8):
            least, most = (256, 65791) if width == 2 else (0, min(255, 2 ** (8 * width) - 1) if width == 1 else 1 << 40)
            if least <= n <= most:
                found.append((frame(blocks, content=n, width=width, single=True), n))
                if width > 1:
                    found.append((frame(blocks, content=n, width=width, window=0x58), n))
        found += [(frame(blocks, key=bytes(width), checked=data), n) for width in (1, 2, 4)]
        found.append((frame(blocks, window=0xAF), n))
    return found


def checksums() -> list[Stream]:
    lengths = [*range(42), 63, 64, 65, 255, 256, 257, 258, 263, 287, 288, 511, 1000, 4097]
    return [(frame([raw(NOISE[:n])], checked=NOISE[:n]), n) for n in lengths]


@cache
def by_hand() -> list[Stream]:
    return [*plain_ones(), *headers(), *checksums(), *trees(), *matched(), *table_modes(), *in_the_way()]


@cache
def of_chance() -> list[Stream]:
    return [by_chance(seed, size=(20, 200, 900)[seed % 3]) for seed in range(90)]


# ---- wrong ones ----------------------------------------------------------------------------------------------


@cache
def wrong_by_hand() -> list[Stream]:
    """Each a mistake; how it is to be taken the model says, and libzstd."""
    tree, weights = lopsided(4)
    told = weights_as_they_are(weights)
    data = letters(tree, 40)
    good = huffman(data, tree, told, four=True)
    one = huffman(data, tree, told, four=False)
    section = sequences([(2, 5, 3 + 3), (1, 3, 1)], defaults())

    def alone(literals: bytes, rest: bytes = b"\0", room: int = 40) -> Stream:
        return frame([compressed(literals, rest)]), room

    def after(literals: bytes, rest: bytes, room: int) -> Stream:
        return frame([raw(NOISE[:9]), compressed(literals, rest)]), room

    def coded_as(body: bytes, count: int, kind: int = 2, form: int = 0) -> bytes:
        return literals_header(kind, form, count, len(body)) + body

    found: list[Stream] = [(b"", 0), (b"\x28\xb5\x2f\xfd", 0), (NOISE[:40], 10)]
    right = frame([raw(b"abc")])
    found += [
        (right, 2),
        (right, 4),
        (right + b"\0", 3),
        (right, 0),
        (right[:-1], 3),
        (frame([raw(b"abc")], flags=8), 3),
    ]
    found += [(frame([raw(b"abc")], window=w), 3) for w in (0xA8, 0xB0, 0xFF, 0)]
    found += [(frame([raw(b"abc")], key=key), 3) for key in (b"\1", b"\0\1", b"\0\0\0\x80")]
    found += [(frame([raw(b"abc")], content=n, width=8), 3) for n in (2, 4, 1 << 31, 1 << 63)]
    found += [(frame([raw(b"abc")], checked=b"abd"), 3), (frame([raw(b"abc")], checked=b"abc")[:-1], 3)]
    found += [
        (frame([(3, 3, b"abc")]), 3),
        (frame([run(5, 1 << 20)]), 1 << 20),
        (frame([run(5, 2000)], window=0), 2000),
    ]
    found += [(frame([raw(NOISE[:131073])]), 131073), (frame([run(5, 3)]), 2), (frame([compressed(b"", b"")]), 0)]
    found += [(frame([compressed(b"", b"\0")]), 0), (frame([run(5, 10)])[:-1], 10)]
    # literals
    found += [alone(plain(b"abc")[:3], b"", 3), alone(same(1, 5)[:1], b"", 5), alone(same(1, 50, 1)[:2], b"", 50)]
    found += [
        alone(b"\x0d\xff", b"", 0),
        alone(b"\x05\0", b"", 0),
        alone(b"\x0c\0", b"", 0),
        alone(plain(NOISE[:60]), room=59),
    ]
    found += [
        alone(literals_header(1, 3, 131073, 0) + b"a", room=131073),
        alone(literals_header(1, 3, 131072, 0) + b"a", room=131072),
    ]
    found += [alone(good), alone(good, room=39), alone(good[:-1]), alone(one[:-1]), alone(huffman(data, tree, None))]
    found += [alone(coded_as(told, 40)), alone(coded_as(b"", 40)), alone(coded_as(told + b"\0", 40))]
    found += [
        alone(coded_as(told + coded(tree, data[:39]), 40)),
        alone(coded_as(told + coded(tree, data + data[:1]), 40)),
    ]
    found += [
        alone(coded_as(told + bytes(6) + b"\1\1\1\1", 5, form=1), room=5),
        alone(coded_as(told + bytes(10), 6, form=1), room=6),
    ]
    found += [
        alone(coded_as(told + b"\xff\xff" * 3 + bytes(20), 40, form=1)),
        alone(coded_as(told + b"\1\0" * 3 + b"\1\1\1", 6, form=1), room=6),
    ]
    found += [alone(coded_as(told + b"\1\0" * 3 + b"\1\1\1\1", 6, form=1), room=6)]
    for bad in (
        [1],
        [1, 1, 1],
        [2, 2],
        [1, 2],
        [0, 0],
        [13, 1],
        [1, 1, 12],
        [12, 1, 1],
        [11, 11],
        [1] * 3 + [3],
        [0] * 5 + [1],
        [1, 1, 13],
        [12, *range(11, 0, -1), 1],
    ):
        found.append(alone(coded_as(weights_as_they_are(bad) + b"\1", 0)))
    found += [
        alone(coded_as(bytes([128 + 30]) + b"\1", 0)),
        alone(coded_as(bytes([30]) + b"\1", 0)),
        alone(coded_as(b"\0\1\1", 0)),
    ]
    for counts, table_log in (
        ([16, 16], 5),
        ([20, 8, 4], 5),
        ([32, 16, 16], 6),
        ([-1] * 32, 5),
        ([1] * 64, 6),
        ([0] * 80 + [-1, 31], 5),
        ([0] * 11 + [64], 6),
    ):
        for rest in (
            b"",
            b"\1",
            b"\2",
            b"\x40",
            b"\xff\1",
            b"\0",
            b"\x55\x37\xc4",
            NOISE[:20] + b"\1",
            NOISE[20:120] + b"\1",
        ):
            body = description(counts, table_log) + rest
            found += [
                alone(coded_as(bytes([len(body) & 127]) + body + b"\1", 0)),
                alone(coded_as(bytes([len(body) & 127]) + body, 0)),
            ]
    found += [alone(coded_as(bytes([3, 0x12, 0xFF, 0x01]) + b"\1", 0)), alone(coded_as(bytes([1, 0x0F]) + b"\1", 0))]
    idle = weights_compressed([1, 1, 2, 3], [2, 58, 2, 1, *[0] * 8, -1], 6)  # a weight of 12 that is not used
    most = next(told for told in (weights_compressed([1] * n, [1, 31], 5) for n in (256, 258, 260)) if told[0] < 128)
    large = weights_compressed([1, 40, 1], [0, 29, *[0] * 38, 3], 5)
    found += [alone(coded_as(large + b"\1", 0), room=0)]
    found += [alone(coded_as(idle + b"\1", 0), room=0), alone(coded_as(most + b"\1", 0), room=0)]
    # sequences
    found += [
        after(plain(b"abc"), section, 21),
        after(plain(b"abc"), section, 20),
        after(plain(b"abc"), section, 22),
        after(plain(b"ab"), section, 20),
    ]
    found += [after(plain(b"abc"), section[:k], 20) for k in range(len(section))]
    found += [
        after(plain(b"abc"), section + b"\0", 20),
        after(plain(b"abc"), section + b"\1", 20),
        after(plain(b"abc"), b"\0\0", 12),
    ]
    found += [
        after(plain(b"abc"), b"\1" + bytes([modes]) + section[2:], 20) for modes in (1, 2, 3, 0xC0, 0x30, 0x0C, 0xFC)
    ]
    found += [after(plain(b"abc"), bytes([section[0], modes]) + section[2:], 20) for modes in (1, 2, 3)]
    found += [after(plain(b"abc"), bytes([1, 0x54, 0, 0, 53]) + backward([(0, 17)]), 20)]
    found += [
        after(plain(b""), bytes([1, 0x58, 0, 0]) + description([0] * 53 + [32], 5) + backward([(0, 5), (0, 17)]), 20)
    ]
    found += [(frame([raw(NOISE[:9]), compressed(plain(b""), sequences([(0, 2000, 4)], defaults()))], window=0), 2009)]
    found += [after(plain(b"abc"), bytes([number]) + section[1:], 20) for number in (1, 3, 127, 128, 255)]
    found += [
        after(plain(b""), sequences([(0, 3, number)], defaults()), 12) for number in (3 + 9, 3 + 10, 3 + 2**28, 1, 2, 3)
    ]
    found += [
        (frame([compressed(plain(b"abc"), sequences([(3, 3, number)], defaults()))]), 6) for number in (1, 2, 3, 6, 7)
    ]
    found += [
        (frame([compressed(plain(b"abc"), sequences([(1, 3, 4), (0, 3, 3), (0, 3, 3)], defaults()))]), 12)
    ]  # offset 0
    for kind, symbol in ((0, 35), (0, 36), (1, 31), (1, 32), (2, 52), (2, 53), (2, 255)):
        modes = 1 << 6 - 2 * kind
        found.append(after(plain(b"abc"), bytes([1, modes, symbol, 0xFF, 0xFF, 0xFF, 0xFF, 1]), 400))
    for kind, counts, table_log in (
        (0, [256, 256, 256, 256], 10),
        (1, [256, 256], 9),
        (2, [512, 512], 10),
        (0, [0] * 36 + [32], 5),
        (1, [0] * 32 + [32], 5),
    ):
        modes = 2 << 6 - 2 * kind
        found.append(after(plain(b"abc"), bytes([1, modes]) + description(counts, table_log) + b"\xff\1", 20))
    for tail in (b"\x00", b"\xf0", b"\x00\xff\xff", b"\x03\x00\x00\x00", b"\x10\x01", b"\x01\xff\x03"):
        found.append(after(plain(b"abc"), bytes([1, 0x80]) + tail, 20))
    forty = sequences([(0, 3, 3 + 20)] + [(0, 3, 4)] * 39, defaults())
    at = 3  # of the first byte of the bits, which are read last
    found.append(after(plain(b""), forty[:at] + forty[at + 1 :], 129))  # the first batch is wrong, and the second
    long = sequences([(0, 60_000, 4)] * 3, defaults())
    found += [after(plain(b""), long, 180_009), after(plain(b""), long, 500_009), after(plain(NOISE[:5]), long, 100)]
    many = number_of(0xFFFF + 0x7F00) + bytes([0x54, 0, 0, 0, 1])
    found += [after(plain(b""), many, 9 + 3 * (0xFFFF + 0x7F00)), after(plain(b""), many, 5000)]
    return found


def small() -> list[Stream]:
    """Frames with something of everything, in few bytes."""
    tree, weights = lopsided(4)
    literals = huffman(letters(tree, 30), tree, weights_as_they_are(weights), four=True)
    steps: Sequences = [(2, 5, 3 + 3), (0, 3, 2), (7, 40, 3 + 1), (1, 3, 3), (0, 9, 3)]
    rng = random.Random(1)
    tables = [counts_by_chance(rng, [code_of(k, s[c])[0] for s in steps], 20, 6) for k, c in ((0, 0), (1, 2), (2, 1))]
    blocks = [
        raw(b"start"),
        compressed(literals, sequences(steps, tables, rng)),
        compressed(huffman(letters(tree, 8), tree, None), sequences(steps[1:4], [again(t.table) for t in tables], rng)),
        run(3, 20),
        compressed(same(5, 40), sequences([(3, 4, 5)] * 3, [single(0, 3), single(1, 2), single(2, 1)])),
    ]
    data, room = whole(blocks)
    content = outcome(data, room).output
    text = corpora()["text"].tobytes()[:300]
    return [
        (frame(blocks, content=room, checked=content), room),
        (frame(blocks, single=True, content=room), room),
        of_libzstd(text, 3, True),
        of_libzstd(text, 19),
        of_libzstd(b"abc" * 30 + text[:40], 1, True),
    ]
