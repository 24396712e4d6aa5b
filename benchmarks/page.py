"""The page of the docs: ``python -m benchmarks.page results.json [more.json]`` writes docs/benchmarks.md from runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.goals import Figures, misses, verdicts
from benchmarks.peers import PEERS
from benchmarks.plots import ratios
from benchmarks.report import first_table, further_table, goal_table, markdown, memory_table, steady_table, stream_table
from benchmarks.results import Results, figures, read

__all__ = ["main", "page", "pictures"]

DOCS = Path(__file__).resolve().parent.parent / "docs"

GROUPS = (  # first part of the workloads' names, heading
    ("stream", "Bandwidth of this machine"),
    ("call", "The cost of a call"),
    ("elementwise", "Elementwise formulas"),
    ("function", "Functions"),
    ("black-scholes", "Black–Scholes"),
    ("rows", "Rows"),
    ("columns", "Columns"),
    ("all", "Sums of everything"),
    ("middle", "The middle axis"),
    ("learn", "Learning"),
    ("model", "Models"),
    ("ocean", "Ocean models"),
    ("long", "Long formulas"),
    ("loop", "Loops"),
    ("layout", "Layouts"),
    ("types", "Other types"),
)

_HEAD = """# Benchmarks

<!-- Written by `python -m benchmarks.page`; change that, not this. -->

What follows is from `python -m benchmarks`, {runs}:
every peer in a process of its own, on the same inputs, its results
compared with NumPy's before anything is timed (to 10⁻⁹ in float64, 2·10⁻⁴ in float32), rounds interleaved so that a
noisy moment hits all alike. A round is the quickest of many short runs, a figure the {statistic} of its rounds.
Peers run as their users would run them: jitted where they jit, parameters donated or updated in place, 64 bits on,
all cores. «By hand» is a kernel in Numba written for the workload (`benchmarks/by_hand`), with reused outputs.

**Machine**: {machine}.

**Versions**: {versions}.

Of {asked} goals that these figures can judge, {reached} are reached; the others stand [below](#goals-that-are-missed).

To repeat it: `pip install "fuse[bench]"`, then `python -m benchmarks` (an hour or two), or, about three minutes,
`python -m benchmarks --quick`. PyTensor wants an older Numba than fuse, so an environment of its own; see `--python`.

In the plots a mark right of 1 is a peer that needs so many times the time of fuse; a bar is the kernel by hand.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and its plots from the runs in the files given, later ones over earlier ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--least", action="store_true", help="the least of the rounds, not their median")
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args(argv)
    results = read(options.results)
    folder: Path = options.docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(figures(results, options.least)).items():
        (folder / name).write_text(picture, encoding="utf-8")
    (options.docs / "benchmarks.md").write_text(page(results, options.least), encoding="utf-8")


def pictures(known: Figures) -> dict[str, str]:
    """Return the plot of every group of workloads, and of the first answers, by file name."""
    found = {}
    for name, heading in GROUPS:
        rows = {f"{w} {s}".partition("/")[2]: t for (w, s), t in known.calls.items() if w.startswith(f"{name}/")}
        if any("fuse" in times and len(times) > 1 for times in rows.values()):
            found[f"{name}.svg"] = ratios(f"{heading}: time over that of fuse", rows)
    firsts = {f"{program}, {cache}": times for (program, cache), times in known.first.items()}
    if firsts:
        found["first.svg"] = ratios("Time to the first answer over that of fuse", firsts)
    if known.further:
        found["further.svg"] = ratios("A further function: time over that of fuse", known.further)
    return found


def page(results: Results, least: bool = False) -> str:
    """Return the page as Markdown."""
    known = figures(results, least)
    peers = [peer for peer, what in results["peers"].items() if "error" not in what]
    builders = [peer for peer in peers if PEERS[peer].compiles]
    machine = results["machine"]
    asked, missed = list(verdicts(known)), misses(known)
    count = results.get("runs", 1)
    parts = [
        _HEAD.format(
            statistic="least" if least else "median",
            machine="{processor}, {cores} cores, {memory_gib} GiB, {system}, load {load} at the start, {time}".format(
                **machine
            ),
            versions=", ".join(f"{PEERS[p].title} {results['peers'][p]['version']}" for p in peers),
            runs="one run" if count == 1 else f"{count} runs, each row from one, judged against the peers of that one",
            asked=len(asked),
            reached=len(asked) - len(missed),
        )
    ]
    if known.first:
        parts += ["## Time to the first answer", _picture("first"), markdown(first_table(known, builders))]
    if known.further:
        parts += ["## A further function", _picture("further"), markdown(further_table(known, builders))]
    drawn = pictures(known)
    for name, heading in GROUPS:
        table = stream_table(known) if name == "stream" else steady_table(known, peers, f"{name}/")
        if table[1]:
            parts += [f"## {heading}", *([_picture(name)] if f"{name}.svg" in drawn else []), markdown(table)]
    if results["memory"]:
        parts += ["## Peak memory", markdown(memory_table(results["memory"], peers))]
    parts += ["## Goals that are missed", markdown(goal_table(missed)) if missed else "None."]
    return "\n\n".join(parts) + "\n"


def _picture(name: str) -> str:
    return f"![{name}](benchmarks/{name}.svg)"


if __name__ == "__main__":
    main()
