"""The page of accuracy: ``python -m benchmarks.accuracy`` measures vectorised functions and writes docs/accuracy.md.

Errors are against mpmath, in units in the last place of the true value, over arguments of all exponents, the op's usual
domain, and the neighbourhoods of numbers where something changes. Functions come from ``mathlib.vectorised``, their
meanings and domains from the op whose kernel is a call of one: a new function needs nothing here.
"""
from __future__ import annotations

import argparse
import inspect
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import sympy

import fuse.tensor  # noqa: F401  all ops
from benchmarks.machine import machine
from fuse.codegen.load import ArgType, compile_kernel
from fuse.codegen.mathlib import resolve, vectorised
from fuse.op import OPS, Op

__all__ = ["Accuracy", "cases", "kernel", "main", "measure"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
DTYPES = ("float64", "float32")
CENTRES = (
    *(0.5, 2**-0.5, 1.0, 2**0.5, 1.4616321449683623, 2.0, 3.0, 8.0, 22.0, 88.0, 709.0),
    *(k * np.log(2) / 2 for k in (1, 3, 5, 21)), *(k * np.pi / 4 for k in (1, 2, 3, 4, 6, 8, 20, 101, 20000)),
)


def _erfcinv(p: mp.mpf) -> mp.mpf:
    if not 0 < p < 2:
        raise ValueError("outside the domain")
    if p > 1e-10:
        return mp.erfinv(1 - p)
    goal = mp.log(p)
    return mp.findroot(lambda y: mp.log(mp.erfc(y)) - goal, mp.sqrt(-goal - mp.log(-goal * mp.pi) / 2))


# what SymPy writes for mpmath and mpmath lacks, or has complex
_MPMATH = {
    "erfcinv": _erfcinv, "loggamma": lambda x: mp.re(mp.loggamma(x)), "digamma": mp.digamma,
    "real_root": lambda x, n: mp.sign(x) * mp.root(abs(x), n),
}
# Where these are differences with a zero of their own, errors are units of the larger term.
_TERMS: dict[str, Callable[..., mp.mpf]] = {
    "lgamma": lambda x: mp.re(mp.loggamma(1 - x)) + 1 if x < 0 else 0,
    "digamma": lambda x: mp.digamma(1 - x) + 1 if x < 0 else 0,
    "logaddexp": lambda x, y: max(abs(x), abs(y)),
}


@dataclass(frozen=True)
class Accuracy:
    """Largest error found, in units in the last place, and where; nanoseconds an element, ours and NumPy's."""
    name: str
    dtype: str
    count: int
    ulps: float
    worst: tuple[float, ...]
    ours: float = 0.0
    reference: float = 0.0


@cache
def cases() -> dict[str, Op]:
    """The op whose kernel is a call of ``mathlib.NAME``, for every vectorised function that has one.

    >>> cases()["power"].name
    'pow'
    """
    found = {}
    for op in OPS.values():
        source = inspect.getsource(op.kernel).strip() if op.kernel else ""
        match = re.search(r"return mathlib\.(\w+)\(\w+(, \w+)*\)$", source)
        if match and match[1] in vectorised.TABLE and op.sympy:
            found[match[1]] = op
    return found


def arity(name: str) -> int:
    return len(inspect.signature(vectorised.TABLE[name]).parameters)


def meaning(name: str) -> Callable[..., Any]:
    """The function in mpmath, by way of the op's meaning in SymPy."""
    symbols = sympy.symbols("x y")
    return sympy.lambdify(symbols[: arity(name)], sympy.sympify(cases()[name].sympy), modules=[_MPMATH, "mpmath"])


def true_value(function: Callable[..., Any], at: Sequence[float]) -> mp.mpf | None:
    """What ``function`` is, to 25 digits whatever cancels; None where mpmath has no real value."""
    before = None
    for digits in (40, 80, 160, 400, 1200):
        with mp.workdps(digits):
            try:
                value = function(*[mp.mpf(a) for a in at])
            except (ValueError, ZeroDivisionError, OverflowError):
                return None
            if mp.im(value) != 0 or not mp.isfinite(mp.re(value)):
                return None
            value = mp.re(value)
            # a zero may be all that cancellation left
            known = before is not None and abs(value - before) <= abs(value) * mp.mpf(10) ** -25
            if known and (value != 0 or digits > 1000):
                return value
            before = value
    return None


def samples(name: str, dtype: str, count: int, seed: int = 0) -> list[np.ndarray]:
    """About ``count`` arguments: a third each of all exponents, the op's domain, and neighbourhoods."""
    rng, kind, third = np.random.default_rng(seed), np.finfo(dtype), count // 3
    low, high = cases()[name].domain

    def anywhere(n: int) -> np.ndarray:
        power = rng.integers(kind.minexp - kind.nmant, kind.maxexp, n) * rng.choice([1.0, 0.2, 0.01], n)
        return rng.choice([-1.0, 1.0], n) * rng.uniform(1, 2, n) * 2.0 ** np.trunc(power)

    def nearby(n: int) -> np.ndarray:
        centres = np.append(CENTRES, np.ldexp(1.0, rng.integers(-20, 20, 8)))
        return rng.choice([-1.0, 1.0], n) * rng.choice(centres, n) * (
            1 + rng.choice([kind.eps, 1e-5, 1e-2], n) * rng.integers(-9, 10, n))

    first = np.concatenate([anywhere(third), rng.uniform(low, high, third), nearby(third)])
    if arity(name) == 1:
        return [first.astype(dtype)]
    n = len(first)
    ratio = first * 2.0 ** rng.uniform(-1.5 * kind.nmant, 1.5 * kind.nmant, n)
    if name == "power":
        # exponents that lead to every exponent of the result
        with np.errstate(all="ignore"):
            ratio = rng.uniform(kind.minexp, kind.maxexp, n) / np.log2(np.abs(first))
        first = np.where(rng.random(n) < 0.9, np.abs(first), first)
    other = np.where(rng.random(n) < 0.5, ratio, np.concatenate([rng.uniform(low, high, n - third), nearby(third)]))
    return [first.astype(dtype), other.astype(dtype)]


def kernel(names: Sequence[str], dtype: str) -> Callable[..., int]:
    """Loops over one input (two, for functions of two) and an output, one for each name."""
    helpers: dict[str, Any] = {f"f{k}": resolve(name, dtype) for k, name in enumerate(names)}
    inputs = [[f"a{k}_{n}" for n in range(arity(name))] for k, name in enumerate(names)]
    arguments = [argument for k, group in enumerate(inputs) for argument in (*group, f"o{k}")]
    lines = [f"def kernel({', '.join(arguments)}):"]
    for k, group in enumerate(inputs):
        loads = ", ".join(f"load({a}, i)" for a in group)
        body = ["independent()", f"store(o{k}, i, f{k}({loads}))"]
        lines += [f"    for i in range(size(o{k}, 0)):", *(f"        {line}" for line in body)]
    types = [ArgType(dtype, 1, argument.startswith("o")) for argument in arguments]
    return compile_kernel("\n".join([*lines, "    return 0", ""]), "kernel", tuple(types), helpers)


def error(name: str, have: float, at: Sequence[float], true: mp.mpf, dtype: str) -> float:
    """The error of ``have`` in units in the last place of ``true``; infinite where one of them only is a number."""
    kind = np.finfo(dtype)
    size = abs(true)
    if name in _TERMS:
        size = max(size, abs(_TERMS[name](*[mp.mpf(a) for a in at])))
    exponent = max(mp.frexp(size)[1] - 1 if size else kind.minexp, kind.minexp)
    unit = mp.ldexp(1, int(exponent) - kind.nmant)
    if abs(have) == np.inf and (have > 0) == (true > 0):
        return 0.0 if abs(true) > float(kind.max) else float("inf")
    if not np.isfinite(have):
        return float("inf")
    return float(abs(mp.mpf(have) - true) / unit)


def measure(name: str, dtype: str, arrays: Sequence[np.ndarray], have: np.ndarray) -> Accuracy:
    """The largest error of ``have``, the function of ``arrays``."""
    function, found = meaning(name), []
    for k, value in enumerate(have.tolist()):
        at = tuple(float(a[k]) for a in arrays)
        true = true_value(function, at) if np.isfinite(at).all() else None
        if true is not None:
            found.append((error(name, value, at, true, dtype), at))
    return Accuracy(name, dtype, len(found), *max(found, key=lambda pair: pair[0]))


def run(name: str, dtype: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The function of ``arrays``, computed in the loop of a kernel."""
    out = np.empty(len(arrays[0]), dtype)
    assert kernel([name], dtype)(*arrays, out) == 0
    return out


def _nanoseconds(call: Callable[[], Any], size: int) -> float:
    best = np.inf
    for _ in range(60):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e9 * best / size


def timed(result: Accuracy, size: int = 10_000) -> Accuracy:
    """With nanoseconds an element in a loop over ``size`` numbers of the op's domain, in cache."""
    rng, op = np.random.default_rng(1), cases()[result.name]
    arrays = [rng.uniform(*op.domain, size).astype(result.dtype) for _ in range(arity(result.name))]
    out, loop = np.empty(size, result.dtype), kernel([result.name], result.dtype)
    ours = _nanoseconds(lambda: loop(*arrays, out), size)
    return Accuracy(result.name, result.dtype, result.count, result.ulps, result.worst, ours,
                    _nanoseconds(lambda: op.numpy(*arrays), size))


_HEAD = """# Accuracy and speed of the functions

<!-- Written by `python -m benchmarks.accuracy`; change that, not this. -->

What kernels compute for the functions of real numbers: the largest error found against mpmath, in units in the last
place of the true value (an exactly rounded function has 0.5), and the time of one element in a loop over 10,000 that
stay in cache, on one core, beside the function of NumPy or SciPy that the op stands for, which makes a new array.
Arguments are of all exponents, of the op's usual domain, and near numbers where something changes. lgamma and digamma
below 0, and logaddexp, have zeros where their terms cancel: there the unit is that of the larger term.

"""


def page(results: Sequence[Accuracy]) -> str:
    """The table as Markdown, a line for each function."""
    about = machine()
    lines = [_HEAD + f"{about['processor']}, {about['system']}, Python {about['python']}, {about['time'][:10]}; "
             f"{sum(r.count for r in results):,} values checked.\n",
             "| function | float64: units | worst at | ns | NumPy | float32: units | worst at | ns | NumPy |",
             "|---|--:|---|--:|--:|--:|---|--:|--:|"]
    for name in dict.fromkeys(r.name for r in results):
        cells = [name]
        for r in [r for r in results if r.name == name]:
            cells += [f"{r.ulps:.2f}", ", ".join(f"{x:.9g}" for x in r.worst), f"{r.ours:.2f}", f"{r.reference:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", help="print only these; without any, write the page")
    parser.add_argument("--samples", type=int, default=6000, help="arguments for each function and dtype")
    options = parser.parse_args(argv)
    results = []
    for name in options.names or cases():
        for dtype in DTYPES:
            arrays = samples(name, dtype, options.samples)
            results.append(timed(measure(name, dtype, arrays, run(name, dtype, arrays))))
            print(results[-1], flush=True)
    if not options.names:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
