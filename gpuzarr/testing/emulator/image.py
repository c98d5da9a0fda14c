"""What a compiled library says of itself: its symbols, its sections, and the source line of each instruction.

Only what the emulator's own builds contain: ELF of 64 bits, little-endian, and DWARF line tables of version 4 or
earlier (DWARF Debugging Information Format, Version 4, section 6.2), not compressed.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpuzarr.lazy import lazy

__all__ = ["Image", "Row", "Section", "Symbol"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PROGBITS, _SYMTAB, _NOBITS = 1, 2, 8
_EXECUTABLE = 4
_X86_64 = 62


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the file: `data` has the bytes, `link` the number of the section that it refers to."""

    name: str
    kind: int
    flags: int
    address: int
    size: int
    link: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name, where it is (as an offset into the loaded library), its bytes, and the section that holds it."""

    name: str
    address: int
    size: int
    section: str


@dataclass(frozen=True, slots=True)
class Row:
    """From `address` on the code is of this line; `end`: it is of none."""

    address: int
    file: str
    line: int
    end: bool


class Image:
    """A shared library, read from its file."""

    def __init__(self, path: Path) -> None:
        self._data = memoryview(path.read_bytes())
        self.sections = _sections(self._data)
        self._machine = _HEADER.unpack_from(self._data)[2]

    @lazy
    def symbols(self) -> list[Symbol]:
        """Those of the library itself, local ones included."""
        names = dict(enumerate(s.name for s in self.sections))
        return [
            Symbol(name, value, size, names.get(section, ""))
            for name, value, size, section in self._entries()
            if section != 0
        ]

    def calls(self, name: str) -> list[tuple[int, int]]:
        """Where a function is called, and where that returns to, ascending."""
        (target,) = (symbol.address for symbol in self.symbols if symbol.name == name)
        found: list[tuple[int, int]] = []
        for section in self.sections:
            if section.kind == _PROGBITS and section.flags & _EXECUTABLE:
                calls = _calls_x86 if self._machine == _X86_64 else _calls_aarch64
                found += ((section.address + at, section.address + after) for at, after in calls(section, target))
        return sorted(found)

    @lazy
    def functions(self) -> list[int]:
        """Where functions begin."""
        return [symbol.address for symbol in self.symbols if symbol.section == ".text"]

    @lazy
    def rows(self) -> list[Row]:
        """The line table, by address; a row holds until the next."""
        found = [row for s in self.sections if s.name == ".debug_line" for row in _line_rows(s.data)]
        # Where one sequence ends and another begins, the beginning counts.
        return sorted(found, key=lambda row: (row.address, not row.end))

    def line(self, address: int) -> tuple[str, int] | None:
        """File and line of the code at an offset."""
        at = bisect_right(self._addresses, address) - 1
        while at >= 0 and not self.rows[at].end:
            if self.rows[at].line:  # line 0 is code that the compiler made up: of the line before, as far as we care
                return self.rows[at].file, self.rows[at].line
            at -= 1
        return None

    @lazy
    def _addresses(self) -> list[int]:
        return [row.address for row in self.rows]

    def _entries(self) -> list[tuple[str, int, int, int]]:
        found = []
        for section in self.sections:
            if section.kind == _SYMTAB:
                names = bytes(self.sections[section.link].data)
                for name, _, _, index, value, size in _SYMBOL.iter_unpack(section.data):
                    found.append((_text(names, name), value, size, index))
        return found


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def _sections(data: memoryview) -> list[Section]:
    header = _HEADER.unpack_from(data)
    if header[0][:6] != b"\x7fELF\x02\x01":
        raise ValueError("not an ELF library of 64 bits, little-endian")
    at, count, names_at = header[6], header[12], header[13]
    headers = [_SECTION.unpack_from(data, at + i * _SECTION.size) for i in range(count)]
    names = bytes(data[headers[names_at][4] :][: headers[names_at][5]])
    return [
        Section(_text(names, name), kind, flags, address, size, link, data[offset:][: 0 if kind == _NOBITS else size])
        for name, kind, flags, address, offset, size, link, *_ in headers
    ]


def _calls_x86(section: Section, target: int) -> Iterator[tuple[int, int]]:
    """`call rel32`: a byte E8, and the distance from what follows."""
    code = np.frombuffer(section.data, np.uint8)
    places = np.flatnonzero(code[:-4] == 0xE8)
    distances = code[places[:, None] + np.arange(1, 5)].view("<i4")[:, 0]
    for place in places[places + 5 + distances == target - section.address].tolist():
        yield place, place + 5


def _calls_aarch64(section: Section, target: int) -> Iterator[tuple[int, int]]:
    """`bl`: six bits 100101, and the distance from there, in instructions."""
    code = np.frombuffer(section.data[: len(section.data) // 4 * 4], "<u4")
    places = np.flatnonzero(code >> 26 == 0b100101)
    distances = (code[places] << 6).view("<i4") >> 6
    for place in (4 * places[places + distances == (target - section.address) // 4]).tolist():
        yield place, place + 4


# ---- line tables ------------------------------------------------------------------------------------------------


class _Reader:
    """Numbers of a line table, one after another."""

    def __init__(self, data: memoryview) -> None:
        self.data = bytes(data)
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        return self.take(end + 1 - self.at)[:-1].decode()

    def leb(self, signed: bool = False) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if signed and byte & 0x40 else value


def _line_rows(section: memoryview) -> Iterator[Row]:
    at = 0
    while at < len(section):
        size = int.from_bytes(section[at : at + 4], "little")
        yield from _unit_rows(_Reader(section[at + 4 : at + 4 + size]))
        at += 4 + size


def _unit_rows(reader: _Reader) -> Iterator[Row]:
    version = reader.number(2)
    if not 2 <= version <= 4:
        raise ValueError(f"a line table of version {version}")
    program = reader.number(4) + reader.at
    step = reader.number(1)
    reader.take(2 if version == 4 else 1)  # operations of an instruction, default_is_stmt
    base, span, first = reader.number(1, signed=True), reader.number(1), reader.number(1)
    lengths = [0, *reader.take(first - 1)]
    while reader.text():  # directories
        pass
    files = [""]
    while name := reader.text():
        files.append(name.rsplit("/", 1)[-1])
        for _ in range(3):
            reader.leb()
    reader.at = program
    yield from _run(reader, _Program(step, base, span, first, lengths), files)


@dataclass(frozen=True, slots=True)
class _Program:
    step: int
    base: int
    span: int
    first: int
    lengths: list[int]


def _run(reader: _Reader, program: _Program, files: list[str]) -> Iterator[Row]:
    """The standard's state machine, of which address, file and line are kept."""
    address, file, line = 0, 1, 1
    while reader.at < len(reader.data):
        code = reader.number(1)
        if code >= program.first:  # both advance, and a row
            address += (code - program.first) // program.span * program.step
            line += program.base + (code - program.first) % program.span
            yield Row(address, files[file], line, end=False)
        elif code == 0:
            size = reader.leb()
            operation, operand = reader.number(1), reader.take(size - 1)
            if operation == 1:
                yield Row(address, files[file], line, end=True)
                address, file, line = 0, 1, 1
            elif operation == 2:
                address = int.from_bytes(operand, "little")
        elif code == 1:
            yield Row(address, files[file], line, end=False)
        elif code == 2:
            address += reader.leb() * program.step
        elif code == 3:
            line += reader.leb(signed=True)
        elif code == 4:
            file = reader.leb()
        elif code == 8:
            address += (255 - program.first) // program.span * program.step
        elif code == 9:
            address += reader.number(2)
        else:
            for _ in range(program.lengths[code]):
                reader.leb()
