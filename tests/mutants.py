"""How good are the tests of a kernel? Changes its source in one place at a time, and counts the changes they notice.

    python -m tests.mutants lz4.cu --tests tests/test_kernels_lz.py --sample 40

Changes are made systematically from the text: each comparison, arithmetic, logical and shift operator, each number,
each condition, each barrier. Those that do not compile, or compile to the same instructions, are not counted. Each of
the others is run by pytest in a process of its own, with a limit of time; GPUZARR_KERNELS tells it where they are.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuzarr.errors import DeviceError
from gpuzarr.testing.emulator import source_folder
from gpuzarr.testing.emulator.build import HERE, find_compiler

SWAPS = dict(
    pair.split()
    for pair in (
        *("< <=", "<= <", "> >=", ">= >", "== !=", "!= ==", "&& ||", "|| &&"),
        *("+ -", "- +", "% /", "/ %", "<< >>", ">> <<", "& |", "| &", "^ |"),
        *("+= -=", "-= +=", "<<= >>=", ">>= <<=", "&= |=", "|= &="),
    )
)
SYNCS = re.compile(r"\b(?:__syncthreads|__syncwarp|gz_syncwarp)\([^;]*\);")
LEAVES = re.compile(r"\b(?:break|continue|return)\b[^;{}]*;")
CONDITION = re.compile(r"\b(?:if|while)\s*\(")
TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|/\*.*?\*/|"[^"\n]*"|^[ \t]*\#(?:[^\n\\]|\\.)*|template\s*<[^;{}]*?>(?=\s))
    |(?P<number>\b(?:0x[0-9a-fA-F]+|\d+)(?P<suffix>[uUlL]*)\b)
    |(?P<operator><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+&|]=|(?<=[\s])[-+<>&|^%/](?=\s))""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """Bytes `begin` to `end` of the text become `new`."""

    begin: int
    end: int
    new: str

    def of(self, text: str) -> str:
        return text[: self.begin] + self.new + text[self.end :]

    def told(self, text: str) -> str:
        line = text.count("\n", 0, self.begin) + 1
        start = text.rfind("\n", 0, self.begin) + 1
        end = text.find("\n", self.end)
        before, after = text[start : self.begin].lstrip(), text[self.end : end]
        return f"{line}: {before}[{text[self.begin : self.end]} => {self.new or 'nothing'}]{after}"


def mutants(text: str) -> list[Mutant]:
    """Every change there is to make, in the order of the text.

    >>> [m.of("if (a < 1) b += 2;") for m in mutants("if (a < 1) b += 2;")][:3]
    ['if ((a < 1) && false) b += 2;', 'if ((a < 1) || true) b += 2;', 'if (a <= 1) b += 2;']
    """
    hidden = TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]) if m["skip"] else m[0], text)
    found = [*_of_tokens(text), *_of_conditions(hidden)]
    for pattern in (SYNCS, LEAVES):
        found += [Mutant(m.start(), m.end(), ";") for m in pattern.finditer(hidden)]
    return sorted(set(found), key=lambda m: (m.begin, m.new))


def _of_tokens(text: str) -> Iterator[Mutant]:
    for token in TOKEN.finditer(text):
        operator, number = token["operator"], token["number"]
        if operator in SWAPS:
            yield Mutant(token.start(), token.end(), SWAPS[operator])
        if number:
            digits, suffix = number.removesuffix(token["suffix"]), token["suffix"]
            value = int(digits, 16 if digits.startswith("0x") else 10)
            for other in (value + 1, value - 1):
                if other >= 0:
                    written = f"{other:#x}" if "0x" in digits else str(other)
                    yield Mutant(token.start(), token.end(), written + suffix)


def _of_conditions(text: str) -> Iterator[Mutant]:
    for match in CONDITION.finditer(text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        inside = text[match.end() : at - 1]
        yield Mutant(match.end(), at - 1, f"({inside}) && false")
        if match[0].startswith("if"):
            yield Mutant(match.end(), at - 1, f"({inside}) || true")


# ---- judging ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a copy of the kernels, and what is run on it."""

    folder: Path
    name: str
    text: str
    tests: Sequence[str]
    seconds: float

    def write(self, text: str) -> None:
        (self.folder / self.name).write_text(text, "utf-8")

    def sources(self) -> list[str]:
        """The sources that the changed file is part of: itself, or those that include it, through others too."""
        texts = {path.name: path.read_text("utf-8") for path in self.folder.glob("*.cu*")}
        found, before = {self.name}, set[str]()
        while found != before:
            before = set(found)
            found |= {name for name, text in texts.items() if any(f'#include "{used}"' in text for used in before)}
        return sorted(name for name in found if name.endswith(".cu"))

    def code(self) -> str | None:
        """What the sources compile to; `None` if one does not."""
        compiler = find_compiler()
        if compiler is None:
            raise DeviceError("no C++ compiler", device="emulator")
        found = ""
        for source in self.sources():
            flags = ["-std=c++17", "-O2", "-g0", "-w", "-fno-strict-aliasing", "-DGZ_EMULATED=1", "-x", "c++", "-S"]
            headers = ["-include", os.fspath(HERE / "shim.h"), f"-I{self.folder}"]
            command = [*compiler.command, *flags, *headers, os.fspath(self.folder / source), "-o", "-"]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if done.returncode != 0:
                return None
            found += done.stdout
        return found

    def forget_builds(self) -> None:
        """Of the changed source. The others' are kept: they are the same for each mutant."""
        for source in self.sources():
            for path in self.folder.glob(f"cache/emulator/{Path(source).stem}-*"):
                path.unlink()
        for path in self.folder.glob("cache/emulator/*.so"):
            path.unlink()

    def run(self) -> tuple[bool, float]:
        """Whether the tests pass, and how long that took."""
        settings = {
            "GPUZARR_KERNELS": os.fspath(self.folder),
            "GPUZARR_CACHE": os.fspath(self.folder / "cache"),
            "GPUZARR_LAUNCH_SECONDS": "5",
            "CI": "1",  # the same examples every time, and none remembered
        }
        # That a test fails is enough: the difference of two megabytes takes minutes to print.
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, *self.tests]
        begun = time.monotonic()
        try:
            done = subprocess.run(
                command, env=os.environ | settings, capture_output=True, text=True, timeout=self.seconds
            )
        except subprocess.TimeoutExpired:
            return False, self.seconds
        if done.returncode > 1:
            raise RuntimeError(f"{shlex.join(command)}: pytest says {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.returncode == 0, time.monotonic() - begun


def survivors(bench: Bench, wanted: Sequence[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant that counts, and whether the tests pass with it."""
    original = bench.code()
    for mutant in wanted:
        bench.write(mutant.of(bench.text))
        if bench.code() not in (None, original):
            yield mutant, bench.run()[0]
        bench.forget_builds()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if fewer are noticed than `--least` asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("source", help="a file of kernels/, a source or a header")
    parser.add_argument("--tests", nargs="+", required=True, help="the files that pytest runs")
    parser.add_argument("--only", metavar="EXPRESSION", help="of these files: pytest's -k")
    parser.add_argument("--sample", type=int, help="so many of the mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--lines", help="only mutants of these lines: FIRST-LAST")
    parser.add_argument("--seconds", type=float, default=120, help="for the tests of one mutant")
    parser.add_argument("--least", type=float, default=0, help="the score that is good enough, 0 to 1")
    options = parser.parse_args(arguments)
    tests = [*options.tests, *(["-k", options.only] if options.only else [])]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(shutil.copytree(source_folder(), Path(work) / "kernels"))
        text = (folder / options.source).read_text("utf-8")
        bench = Bench(folder, options.source, text, tests, options.seconds)
        passes, took = bench.run()
        if not passes:
            print(f"the tests do not pass without a change, or take more than {options.seconds} s")
            return 2
        print(f"the tests take {took:.0f} s", flush=True)
        noticed, missed = judged(bench, chosen(text, options))
    score = noticed / max(1, noticed + missed)
    print(f"{options.source}: {noticed} of {noticed + missed} mutants noticed ({score:.0%})")
    return int(score < options.least)


def chosen(text: str, options: argparse.Namespace) -> list[Mutant]:
    found = mutants(text)
    if options.lines:
        first, last = map(int, options.lines.split("-"))
        found = [m for m in found if first <= text.count("\n", 0, m.begin) + 1 <= last]
    if options.sample is not None and options.sample < len(found):
        drawn = random.Random(options.seed).sample(range(len(found)), options.sample)
        found = [found[i] for i in sorted(drawn)]
    return found


def judged(bench: Bench, wanted: Sequence[Mutant]) -> tuple[int, int]:
    """How many are noticed and how many missed, each missed one printed."""
    noticed = missed = 0
    for mutant, passes in survivors(bench, wanted):
        noticed += not passes
        missed += passes
        if passes:
            print(f"missed  {bench.name}:{mutant.told(bench.text)}", flush=True)
    return noticed, missed


if __name__ == "__main__":
    sys.exit(main())
