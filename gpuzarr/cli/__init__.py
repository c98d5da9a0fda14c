"""The command line: `gpuzarr info`, `tree`, `validate`, `demo` and `doctor`.

Needs nothing but the core install. Exit codes: 0 done, 1 gpuzarr could not do it (one line on standard error
says why) or `validate` found something invalid, 2 the command was not usable as given, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gpuzarr.errors import GpuzarrError

__all__ = ["main"]

WHERE = "a folder, a .zip file, either with the path of a member behind it, or a URL: file:///a.zip|zip:inner/|zarr3:b"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names (`sys.argv[1:]` where None) and return the exit code.

    >>> main(["tree", "no/such/folder"])
    1
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed its help or the fault
        return stop.code if isinstance(stop.code, int) else 2
    return _guarded(arguments)


def _guarded(arguments: argparse.Namespace) -> int:
    from gpuzarr.cli.text import UsageError

    try:
        status = _run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        # The reader has gone (`gpuzarr tree x | head`); nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        return _fail(f"not enough memory: {error}", 1)
    except (GpuzarrError, OSError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return status


def _run(arguments: argparse.Namespace) -> int:
    # Each command is imported when it is asked for: what the others need is not waited for.
    if arguments.command == "demo":
        from gpuzarr.cli.demo import demo

        return demo(
            arguments.path, arguments.meta_array, arguments.codecs, arguments.out, arguments.crops, arguments.json
        )
    if arguments.command == "doctor":
        from gpuzarr.cli.doctor import doctor

        return doctor(arguments.json)
    if arguments.command == "validate":
        from gpuzarr.cli.validate import validate

        return validate(
            arguments.path, arguments.deep, arguments.strict, arguments.allow_pickle, arguments.json
        )
    from gpuzarr.cli.info import info, tree

    if arguments.command == "tree":
        return tree(arguments.path, arguments.json)
    return info(arguments.path, arguments.meta_array, arguments.json)


def _fail(message: str, status: int) -> int:
    from gpuzarr.report.words import printable

    # Names from documents and files are in messages: what would steer a terminal is escaped.
    print(f"gpuzarr: {printable(' '.join(message.split()), 1000)}", file=sys.stderr)
    return status


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _parser() -> argparse.ArgumentParser:
    promise = "Zarr arrays, straight into the memory you name."
    parser = argparse.ArgumentParser(prog="gpuzarr", description=promise)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    memory = "memory to decode into: cpu, cuda, cuda:1, auto, simulated (default: %(default)s)"
    info = add("info", "what an array or a group is, and where its codecs run")
    info.add_argument("path", metavar="PATH", help=WHERE)
    info.add_argument("--meta-array", metavar="WORD", default="cpu", help=memory)
    tree = add("tree", "the arrays and groups below a group")
    tree.add_argument("path", metavar="PATH", help=WHERE)
    check = add("validate", "find all that is wrong with a hierarchy, and what other readers take otherwise")
    check.add_argument("path", metavar="PATH", help=WHERE)
    check.add_argument("--deep", action="store_true", help="decode every chunk, shard indexes and checksums too")
    check.add_argument("--strict", action="store_true", help="exit with 1 for whatever is found, not only for invalid")
    pickle = "take pickled objects for readable; with --deep this runs code from the data"
    check.add_argument("--allow-pickle", action="store_true", help=pickle)
    demo = add("demo", "write a real volume, read it back whole and in crops, and check every byte")
    volume = "a .nii, .nii.gz, .npy, .npz or .tif file, or a Zarr array; default: an MRI that nibabel carries"
    demo.add_argument("path", metavar="PATH", nargs="?", help=volume)
    demo.add_argument("--meta-array", metavar="WORD", default="cpu", help=memory)
    decoders = "what decodes on a device: own (kernels), nvcomp, auto (default: %(default)s)"
    demo.add_argument("--codecs", metavar="WORD", choices=("auto", "own", "nvcomp"), default="auto", help=decoders)
    folder = "where to write (default: %(default)s)"
    demo.add_argument("--out", metavar="FOLDER", default="gpuzarr-demo", help=folder)
    crops = "how many crops to read (default: %(default)s)"
    demo.add_argument("--crops", metavar="N", type=_positive, default=64, help=crops)
    add("doctor", "what is installed, what runs where, and why not elsewhere")
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from gpuzarr.cli.doctor import version

        print(f"gpuzarr {version()}")
        parser.exit()
