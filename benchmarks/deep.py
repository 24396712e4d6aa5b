"""Deep and wide graphs: seconds per stage at growing sizes, to see that time grows linearly.

``python -m benchmarks.deep [nodes ...]`` (default 12,500 to 100,000) builds a chain and a sum of so many nodes,
differentiates, simplifies, prints, pickles, compiles and evaluates them under Python's default recursion limit.
"""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable

import numpy as np

import fuse
import fuse.tensor as T
from fuse import reference
from fuse.expr import Expr


def chain(x: Expr, y: Expr, nodes: int) -> Expr:
    """A formula of ``nodes`` operations, each of the one before."""
    e = x
    for i in range(nodes // 2):
        e = e * 0.5 if i % 3 == 0 else T.tanh(e) + y
    return e


def wide(x: Expr, y: Expr, nodes: int) -> Expr:
    """A sum of products with ``nodes`` operations."""
    total = x
    for i in range(nodes // 3):
        total = total + T.sin(x * (i + 2)) * y
    return total


def stages(build: Callable[[Expr, Expr, int], Expr], nodes: int) -> dict[str, float]:
    """Seconds of each stage."""
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def mark(stage: str) -> None:
        nonlocal start
        now = time.perf_counter()
        seconds[stage] = now - start
        start = now

    x, y = T.vectors("x", "y")
    e = build(x, y, nodes)
    mark("build")
    T.grad(e.sum(), x)
    mark("gradient")
    fuse.simplify(e)
    mark("simplify")
    fuse.pp(e)
    fuse.debugprint(e, file="str")
    mark("print")
    pickle.loads(pickle.dumps(e))
    mark("pickle")
    values = np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.5, 0.25])
    (want,) = reference.evaluate([e], dict(zip((x, y), values, strict=True)))
    mark("interpret")
    f = fuse.function([x, y], e)
    mark("plan")
    got = f(*values)
    mark("compile and run")
    np.testing.assert_allclose(got, want, rtol=1e-9)
    return seconds


def main(sizes: list[int]) -> None:
    """Print one table for each kind of graph."""
    for build in (chain, wide):
        tables = {nodes: stages(build, nodes) for nodes in sizes}
        print(f"{build.__name__}, seconds".ljust(24) + "".join(f"{n:>12,}" for n in sizes))
        for stage in tables[sizes[0]]:
            print(stage.ljust(24) + "".join(f"{tables[n][stage]:12.2f}" for n in sizes))
        print("in all".ljust(24) + "".join(f"{sum(tables[n].values()):12.2f}" for n in sizes) + "\n")


if __name__ == "__main__":
    main([int(a.replace(",", "")) for a in sys.argv[1:]] or [12_500, 25_000, 50_000, 100_000])
