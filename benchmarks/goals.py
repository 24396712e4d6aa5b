"""What fuse is to reach, as a table over the cells of a run; ``misses`` says where a run shows it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.peers import PEERS

__all__ = ["GOALS", "Figures", "Goal", "Verdict", "misses", "verdicts"]

Times = Mapping[str, float]  # seconds by peer


@dataclass(frozen=True)
class Figures:
    """The figures of a run: seconds by cell and peer, of calls, first answers (cold and warm) and further functions."""

    calls: Mapping[tuple[str, str], Times]
    bytes: Mapping[tuple[str, str], int]
    first: Mapping[tuple[str, str], Times]  # (program, "cold" or "warm")
    further: Mapping[str, Times]


@dataclass(frozen=True)
class Verdict:
    """A goal at one cell: what was found, what was asked for, and by which factor it was missed (above 1)."""

    goal: str
    cell: str
    found: float
    asked: float
    missed: float
    against: str = ""


@dataclass(frozen=True)
class Goal:
    """A demand on the cells that match ``cells``, ``fnmatch`` patterns of «workload size»."""

    title: str
    cells: tuple[str, ...]
    demand: Callable[[Figures, str, str], tuple[float, float, bool, str] | None]  # found, asked, more is better, whom


def _best(times: Times) -> str | None:
    return min((peer for peer in times if PEERS[peer].competes), key=lambda peer: times[peer], default=None)


def _hand(bound: float) -> Any:
    """Demand at most ``bound`` times the time of the kernel written by hand."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        times = figures.calls[workload, size]
        return (times["fuse"] / times["numba"], bound, False, "by hand") if "numba" in times else None

    return demand


def _ahead(bound: float, *peers: str) -> Any:
    """Demand to be ``bound`` times as fast as the best peer, or the best of ``peers``."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        times = figures.calls[workload, size]
        best = _best({peer: t for peer, t in times.items() if not peers or peer in peers})
        return (times[best] / times["fuse"], bound, True, PEERS[best].title) if best else None

    return demand


def _limit(bound: float) -> Any:
    """Demand at most ``bound`` times the better of the best peer and the kernel written by hand."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        times = {peer: t for peer, t in figures.calls[workload, size].items() if peer != "fuse"}
        best = min(times, key=lambda peer: times[peer], default=None)
        if best is None:
            return None
        return figures.calls[workload, size]["fuse"] / times[best], bound, False, PEERS[best].title

    return demand


def _seconds(bound: float) -> Any:
    """Demand at most so many seconds."""
    return lambda figures, workload, size: (figures.calls[workload, size]["fuse"], bound, False, "seconds")


def _bandwidth(bound: float) -> Any:
    """Demand this share of the bandwidth that STREAM has in the same run, at the nearest mix of reading and writing."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        kind = "stream/copy" if workload.endswith("a+1") else "stream/triad"
        stream = figures.calls.get((kind, "1e7"), {}).get("numba")
        if not stream:
            return None
        best = figures.bytes[kind, "1e7"] / stream
        share = figures.bytes[workload, size] / figures.calls[workload, size]["fuse"] / best
        return share, bound, True, kind

    return demand


def _against(peer: str, bound: float) -> Any:
    """Demand at most ``bound`` times the time of this peer."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        times = figures.calls[workload, size]
        return (times["fuse"] / times[peer], bound, False, PEERS[peer].title) if peer in times else None

    return demand


def _beside(other: str, bound: float) -> Any:
    """Demand at most ``bound`` times what fuse needs for another workload at the same size."""

    def demand(figures: Figures, workload: str, size: str) -> Any:
        base = figures.calls.get((other, size), {}).get("fuse")
        return (figures.calls[workload, size]["fuse"] / base, bound, False, other) if base else None

    return demand


_LARGE = ("10000x1000*", "10x1000000*")
_COMPILERS = ("jax", "torch", "torch-compile", "pytensor", "pytensor-c")
_PAPER = ("a+1", "2a+3b", "a²+b²+2ab", "2a+b¹⁰")
_NORMALISED = tuple(
    f"{along}/{name}*" for along in ("rows", "columns") for name in ("softmax", "log_softmax", "layer_norm")
)
_REDUCED = ("*/logsumexp *", "*/variance *", "*/sum x² *", "*/sum exp(x) *", "*/sum x[*]y *")
_RECURSIONS = tuple(
    f"loop/{name}*" for name in ("garch", "smoothing", "hidden markov", "kalman", "local trend", "gru", "lstm")
)
_OTHERS = ("ocean/*", "model/*", "long/*", "layout/*", "types/*", "middle/*", "elementwise/gauss *", "elementwise/t* *")

_LARGE_PAPER = tuple(f"elementwise/{formula} 1e7*" for formula in _PAPER)
_SMALL = tuple(n + kind for n in ("1", "10", "1e4") for kind in ("", " f4"))
_SMALL_PAPER = tuple(f"elementwise/{formula} {n}" for formula in _PAPER for n in _SMALL)
_LARGE_NORMALISED = tuple(f"{name} {n}" for name in _NORMALISED for n in _LARGE)
_SMALL_NORMALISED = tuple(f"{name} 1000x10*" for name in _NORMALISED)

GOALS: tuple[Goal, ...] = (
    Goal("paper: bandwidth", _LARGE_PAPER, _bandwidth(0.9)),
    Goal("paper: 1.8× the best peer", _LARGE_PAPER, _ahead(1.8)),
    Goal("paper, small: by hand", _SMALL_PAPER, _hand(1.3)),
    Goal("paper, small: ahead", _SMALL_PAPER, _ahead(1.0)),
    Goal("functions: ahead at 1e4", ("function/* 1e4*",), _ahead(1.0)),
    Goal("functions: 2× at 1e7", ("function/* 1e7*",), _ahead(2.0)),
    Goal("price: by hand", ("black-scholes/price *",), _hand(1.3)),
    Goal("price: 2.5× the best peer", ("black-scholes/price 1e6*",), _ahead(2.5)),
    Goal("greeks: by hand", ("black-scholes/greeks *",), _hand(1.5)),
    Goal("greeks: 6× the best peer", ("black-scholes/greeks 1e6*",), _ahead(6.0)),
    Goal("greeks cost 2× the price", ("black-scholes/greeks 1e*",), _beside("black-scholes/price", 2.0)),
    Goal("normalisations: by hand", _NORMALISED, _hand(1.3)),
    Goal("normalisations: 2.5× the best peer", _LARGE_NORMALISED, _ahead(2.5)),
    Goal("normalisations: ahead when small", _SMALL_NORMALISED, _ahead(1.0)),
    Goal("reductions: at the limit", _REDUCED, _limit(1.1)),
    Goal("learning: ahead", ("learn/network *", "learn/dense*", "learn/deep*"), _ahead(1.0, *_COMPILERS)),
    Goal("logistic: 1.5×", ("learn/logistic*",), _ahead(1.5, *_COMPILERS)),
    Goal("dots: 5 % of NumPy", ("learn/network dots*",), _against("numpy", 1.05)),
    Goal("correlations: ahead of windows and BLAS", ("learn/correlate*",), _ahead(1.0, "numpy")),
    Goal("call x + y, floats", ("call/x+y float",), _seconds(0.3e-6)),
    Goal("call x + y, size 3", ("call/x+y n3",), _seconds(0.4e-6)),
    Goal("call 4 in 3 out", ("call/4in3out n3", "call/4in3out float"), _seconds(0.8e-6)),
    Goal("calls: ahead", ("call/*",), _ahead(1.0, *_COMPILERS, "numexpr")),
    Goal("calls: ahead of NumPy from two operations", ("call/(x+y)[*]x n3", "call/4in3out n3"), _ahead(1.0, "numpy")),
    Goal("loops: by hand", ("loop/*",), _hand(1.3)),
    Goal("loops: ahead of every peer", ("loop/lorenz*", "loop/ma1*", *_RECURSIONS), _ahead(1.0)),
    Goal("loops: 2× the best peer", ("loop/rnn gradient*", "loop/mandelbrot*"), _ahead(2.0)),
    Goal("loops: 5× the best peer", ("loop/ar1 gradient*",), _ahead(5.0)),
    Goal("others: ahead of every peer", _OTHERS, _ahead(1.0)),
)

COLD = {"x + y": 0.7, "logistic gradient": 1.0, "network step": 1.2, "200 operations": 1.2, "2000 with gradient": 6.0}
WARM = 0.2
FURTHER = ("x + y", "logistic gradient", "network step", "200 operations", "greeks")


def _verdict(title: str, cell: str, found: float, asked: float, more: bool, against: str) -> Verdict:
    return Verdict(title, cell, found, asked, asked / found if more else found / asked, against)


def verdicts(figures: Figures) -> Iterator[Verdict]:
    """Yield what every goal says of every cell that a run has."""
    for goal in GOALS:
        for (workload, size), times in figures.calls.items():
            cell = f"{workload} {size}"
            if "fuse" in times and any(fnmatchcase(cell, pattern) for pattern in goal.cells):
                found = goal.demand(figures, workload, size)
                if found:
                    yield _verdict(goal.title, cell, *found)
    for (program, cache), times in figures.first.items():
        if "fuse" not in times or program not in COLD:
            continue
        if cache == "cold":
            yield _verdict("first answer, cold", program, times["fuse"], COLD[program], False, "seconds")
        elif program in FURTHER:
            yield _verdict("first answer, warm", program, times["fuse"], WARM, False, "seconds")
            for peer in ("jax", "pytensor", "pytensor-c"):
                if peer in times:
                    title = PEERS[peer].title
                    yield _verdict("first answer, warm, ahead", program, times[peer] / times["fuse"], 1.0, True, title)
    for program in FURTHER:
        times = figures.further.get(program, {})
        if "fuse" in times and "jax" in times:
            yield _verdict("a further function", program, times["fuse"] / times["jax"], 2.0, False, "JAX")
    long, short = (figures.further.get(f"{n} with gradient", {}).get("fuse") for n in (2000, 200))
    if long and short:
        yield _verdict("10× the operations", "2000 with gradient", long / short, 12.0, False, "200 operations")


def misses(figures: Figures) -> Sequence[Verdict]:
    """Return the goals that were not reached, those missed by the largest factor first."""
    missed = [verdict for verdict in verdicts(figures) if verdict.missed > 1]
    return sorted(missed, key=lambda verdict: -verdict.missed)
