"""A kernel's machine code as a GPU would run it: loops, and what an iteration costs one warp, on paper.

`Code.of` compiles a source as the gates do, with line numbers, and reads the disassembly. `cycles` runs a stretch of
it through the simplest machine that has the right shape: one warp, which issues an instruction a cycle, in order, and
waits where an operand is not there yet. Latencies are assumptions (`Latencies`); nothing here was measured.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from tests.gates import Built, compiled, tool

__all__ = ["Code", "Instruction", "Latencies", "Line", "Loop", "cycles"]

Line = tuple[str, int]  # a source file and a line

_PLACE = re.compile(r'//## File "([^"]*)", line (\d+)')
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?(U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?) ;")
_REGISTER = re.compile(r"\b(U?[RP])(\d+)((?:\.64)?)")
_TARGET = re.compile(r"`\((\.L_x_\d+)\)")
_NO_RESULT = re.compile(r"ST|BRA|BSYNC|BSSY|BAR|EXIT|RED|WARPSYNC|MEMBAR|NOP|BREAK|CALL|RET|NANOSLEEP")


@dataclass(frozen=True, slots=True)
class Latencies:
    """Cycles from an instruction's issue until what it gives can be used, on an H100: assumptions, to be refuted."""

    arithmetic: int = 5
    slow: int = 12  # counting and finding bits, conversions, division
    shuffle: int = 24  # and votes
    shared: int = 30
    l1: int = 38
    l2: int = 260
    branch: int = 8  # until the next instruction is there
    barrier: int = 40  # of a block


@dataclass(frozen=True, slots=True)
class Instruction:
    """`line` is where its own text stands, whatever it was inlined into."""

    name: str
    reads: frozenset[str]
    writes: frozenset[str]
    line: Line
    conditional: bool
    target: str | None  # of a branch

    def latency(self, known: Latencies, memory: int) -> int:
        kinds = (
            ("LDS", known.shared),
            ("LD[^C]", memory),
            ("SHFL|VOTE|REDUX|MATCH", known.shuffle),
            ("POPC|FLO|BREV|MUFU|I2F|F2I|R2UR|S2R|LDC", known.slow),
        )
        return next((latency for pattern, latency in kinds if re.match(pattern, self.name)), known.arithmetic)


@dataclass(frozen=True, slots=True)
class Loop:
    """From the target of a backward branch to that branch."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Code:
    """The instructions of a kernel, where its labels stand among them, and what the compiler says of it."""

    built: Built | None
    instructions: list[Instruction]
    labels: dict[str, int]

    @classmethod
    def of(cls, source: Path, kernel: str, architecture: int = 90) -> Code:
        """Of a kernel's source. Raises ValueError with the compiler's words for a mistake."""
        cubin, built = compiled(source, architecture, "--generate-line-info")
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(cubin)
            file.flush()
            command = [tool("nvdisasm"), "--print-line-info-inline", "--print-code", file.name]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        section = text.partition(f".text.{kernel}:")[2].partition(".section")[0]
        return cls.read(next(each for each in built if each.name == kernel), section)

    @classmethod
    def read(cls, built: Built | None, text: str) -> Code:
        """Of nvdisasm's text of one kernel, with its lines."""
        return cls(built, *_read(text.splitlines()))

    def loops(self) -> Iterator[Loop]:
        for end, each in enumerate(self.instructions):
            begin = self.labels.get(each.target or "", end + 1)
            if begin <= end:
                yield Loop(begin, end)

    def loop_of(self, line: Line) -> Loop:
        """The smallest loop that has an instruction of the line."""
        places = [at for at, each in enumerate(self.instructions) if each.line == line]
        found = [each for each in self.loops() if any(each.begin <= at <= each.end for at in places)]
        if not found:
            raise ValueError(f"no loop has line {line}")
        return min(found, key=lambda each: each.end - each.begin)

    def way(self, loop: Loop, through: AbstractSet[Line], seldom: AbstractSet[Line]) -> list[Instruction]:
        """One iteration. Loops inside are run through once.

        A conditional branch goes where a line of `through` can still be reached; if there is none, or that is no
        difference, it is taken where the code behind it begins with a line that is `seldom` run.
        """
        reaches = self._reaching(loop, through)
        at, found = loop.begin, list[Instruction]()
        while at <= loop.end:
            each, to = self.instructions[at], self._target(at)
            found.append(each)
            taken = at < to <= loop.end
            if self._leaves(at) and not taken:
                break
            if taken and each.conditional:
                taken = reaches[to] if reaches[to] != reaches[at + 1] else not seldom.isdisjoint(self._piece(at + 1))
            at = to if taken else at + 1
        return found

    def _target(self, at: int) -> int:
        each = self.instructions[at]
        return self.labels.get(each.target or "", -1) if each.name == "BRA" else -1

    def _reaching(self, loop: Loop, lines: AbstractSet[Line]) -> dict[int, bool]:
        """For each place of a loop, whether an instruction of these lines comes there or later in the iteration."""
        found = {loop.end + 1: False}
        for at in range(loop.end, loop.begin - 1, -1):
            each, to = self.instructions[at], self._target(at)
            follows = found[at + 1] and not self._leaves(at)
            found[at] = each.line in lines or follows or (at < to <= loop.end and found[to])
        return found

    def _leaves(self, at: int) -> bool:
        """Whether the next instruction never follows."""
        return self.instructions[at].name in ("BRA", "EXIT") and not self.instructions[at].conditional

    def _piece(self, begin: int) -> list[Line]:
        """The lines of the straight code that begins there."""
        borders, lines = set(self.labels.values()), list[Line]()
        for at in range(begin, len(self.instructions)):
            if at in borders and lines:
                break
            lines.append(self.instructions[at].line)
            if self.instructions[at].target:
                break
        return lines


def _read(lines: Sequence[str]) -> tuple[list[Instruction], dict[str, int]]:
    instructions, labels = list[Instruction](), dict[str, int]()
    place, fresh = ("", 0), True
    for text in lines:
        if found := _PLACE.search(text):
            if fresh:  # the first of several is the innermost
                place = (Path(found[1]).name, int(found[2]))
            fresh = False
            continue
        fresh = True
        if found := _LABEL.match(text):
            labels[found[1]] = len(instructions)
        elif found := _INSTRUCTION.search(text):
            instructions.append(_instruction(*found.groups(), place))
    return instructions, labels


def _instruction(guard: str | None, name: str, operands: str, line: Line) -> Instruction:
    target = _TARGET.search(operands)
    parts = [] if target else [part.strip() for part in operands.split(",")]
    count = 0 if _NO_RESULT.match(name) or not parts else _results(name, parts)
    wide = 4 if ".128" in name else 2 if re.search(r"\.64|WIDE", name) else 1
    writes = {register for part in parts[:count] for register in _registers(part, wide)}
    reads = {register for part in parts[count:] for register in _registers(part, wide if name.startswith("ST") else 1)}
    reads |= {guard} if guard else set()
    conditional = guard is not None or "P" in operands.partition("`")[0]
    return Instruction(name, frozenset(reads), frozenset(writes), line, conditional, target[1] if target else None)


def _results(name: str, parts: Sequence[str]) -> int:
    """How many operands are results: a second one if either is a predicate and it stands where those go."""
    second = len(parts) > 1 and re.match(r"U?P", parts[1]) and re.match(r"IADD3|LEA$|VOTE|U?ISETP|U?PLOP3|U?LOP3", name)
    return 2 if second or name.startswith("SHFL") else 1


def _registers(operand: str, wide: int) -> Iterator[str]:
    for kind, number, pair in _REGISTER.findall(operand):
        count = 2 if pair else wide if kind == "R" and "[" not in operand else 1
        yield from (f"{kind}{int(number) + k}" for k in range(count))


def cycles(way: Sequence[Instruction], known: Latencies, memory: int, repeats: int = 8) -> float:
    """What an iteration costs one warp when many follow each other. `memory`: the latency of global memory."""
    ready: dict[str, int] = {}
    now, half = 0, 0
    for turn in range(2 * repeats):
        if turn == repeats:
            half = now
        for each in way:
            now = max([now + 1, *(ready.get(register, 0) for register in each.reads)])
            ready |= {register: now + each.latency(known, memory) for register in each.writes}
            if re.match("BRA$|BSYNC|WARPSYNC", each.name):
                now += known.branch if each.name == "BRA" else 2
    return (now - half) / repeats
