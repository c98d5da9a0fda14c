"""The command: choose peers and workloads, measure or load a run, print and draw it."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from .harness import run
from .peers import PEERS
from .report import markdown, plot, put_between, summary
from .results import Results
from .sizes import SIZES
from .workloads import workloads


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    made.add_argument("--only", metavar="REGEX", default="", help="workloads whose name the expression finds")
    made.add_argument(
        "--peers", metavar="LIST", help=f"comma-separated; default all installed of {','.join(PEERS)}"
    )
    made.add_argument(
        "--size", choices=SIZES, default="full", help="small: 128^3 for a quick look (default: full)"
    )
    made.add_argument(
        "--repetitions", type=int, default=5, metavar="N", help="besides the warm-up (default: 5)"
    )
    made.add_argument(
        "--patience",
        type=float,
        default=20,
        metavar="S",
        help="a peer slower than this in the warm-up is not repeated, marked n=1 (default: 20 s)",
    )
    made.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir(), "gpuzarr-benchmarks"),
        help="where volume and stores are kept, 3 GB at full size (default: %(default)s)",
    )
    made.add_argument("--json", type=Path, metavar="OUT", help="write every sample, after every workload")
    made.add_argument("--resume", action="store_true", help="measure only what the file of --json has not yet")
    made.add_argument(
        "--markdown", type=Path, metavar="OUT", help="write the tables (without it they are printed)"
    )
    made.add_argument(
        "--readme",
        type=Path,
        metavar="FILE.md",
        help="rewrite what stands between its marks benchmarks:begin and benchmarks:end",
    )
    made.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the picture (needs matplotlib)")
    made.add_argument("--load", type=Path, metavar="JSON", help="report an earlier run instead of measuring")
    made.add_argument("--list", action="store_true", help="print the workloads and stop")
    return made


def choose_peers(wanted: str | None) -> list[str]:
    """The peers named (each must be there), else those installed; says which are not."""
    if wanted:
        names = wanted.split(",")
        missing = [name for name in names if name not in PEERS or not PEERS[name].installed()]
        if missing:
            raise SystemExit(f"not installed or unknown: {', '.join(missing)}; known: {', '.join(PEERS)}")
        return names
    absent = [name for name, peer in PEERS.items() if not peer.installed()]
    if absent:
        print(f"not installed, left out: {', '.join(absent)}", file=sys.stderr)
    return [name for name in PEERS if name not in absent]


def measured(options: argparse.Namespace) -> Results:
    """The run, after the rows of one that was interrupted."""
    size = SIZES[options.size]
    earlier = Results.load(options.json) if options.resume and options.json.exists() else None
    there = {row.name for row in earlier.rows} if earlier else set()
    known = workloads(size)
    chosen = [w for w in known if re.search(options.only, w.name) and w.name not in there]
    if options.list:
        raise SystemExit("\n".join(f"{workload.name:28} {workload.title}" for workload in chosen))
    if earlier and not chosen:
        return earlier
    if not chosen:
        raise SystemExit(f"no workload's name matches {options.only!r}; see --list")
    if options.repetitions < 1:
        raise SystemExit("--repetitions must be at least 1")
    order = [workload.name for workload in known]

    def keep(results: Results) -> None:
        if options.json:
            joined(results).save(options.json)

    def joined(results: Results) -> Results:
        rows = [*(earlier.rows if earlier else []), *results.rows]
        return Results(results.about, results.peers, sorted(rows, key=lambda row: order.index(row.name)))

    peers = choose_peers(options.peers)
    return joined(run(chosen, peers, size, options.folder, options.repetitions, options.patience, keep))


def main() -> int:
    options = parser().parse_args()
    if options.resume and not options.json:
        raise SystemExit("--resume needs the file that --json names")
    results = Results.load(options.load) if options.load else measured(options)
    if options.markdown:
        options.markdown.write_text(markdown(results), encoding="utf-8")
    else:
        print(markdown(results))
    if options.readme:
        put_between(options.readme, summary(results))
    if options.plot:
        plot(results, options.plot)
    return int(any(cell.wrong for row in results.rows for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
