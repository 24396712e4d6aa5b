"""Deep and wide graphs: seconds per stage at growing sizes, to see that time grows linearly.

``python -m benchmarks.deep [nodes ...]`` (default 2,000 to 20,000) builds a chain, a sum and a random graph of so many
nodes, differentiates, simplifies, prints, pickles, compiles and evaluates them, alone and with their gradient, under
Python's default recursion limit. With an empty kernel cache the first size also pays for the block operations.
"""

from __future__ import annotations

import pickle
import random
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


def mixed(x: Expr, y: Expr, nodes: int) -> Expr:
    """A random graph of ``nodes`` operations, each of what was made shortly before; values stay below 1 in size."""
    draw = random.Random(nodes)
    unary = (T.tanh, T.sin, T.cos, T.sigmoid)
    values = [T.sin(x), T.cos(y)]
    while len(values) < nodes:
        a, b = (values[-draw.randint(1, min(len(values), 50))] for _ in range(2))
        kind = draw.randrange(3)
        values.append(a * b if kind == 0 else (a - b) * 0.5 if kind == 1 else draw.choice(unary)(a))
    return sum(values[-50:], values[0])


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
    gradient = T.grad(e.sum(), [x, y])
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
    f = fuse.function([x, y], [e, *gradient])
    mark("plan with gradient")
    f(*values)
    mark("compile and run it")
    return seconds


def main(sizes: list[int]) -> None:
    """Print one table for each kind of graph."""
    for build in (chain, wide, mixed):
        tables = {nodes: stages(build, nodes) for nodes in sizes}
        print(f"{build.__name__}, seconds".ljust(24) + "".join(f"{n:>12,}" for n in sizes))
        for stage in tables[sizes[0]]:
            print(stage.ljust(24) + "".join(f"{tables[n][stage]:12.2f}" for n in sizes))
        print("in all".ljust(24) + "".join(f"{sum(tables[n].values()):12.2f}" for n in sizes) + "\n")


if __name__ == "__main__":
    main([int(a.replace(",", "")) for a in sys.argv[1:]] or [2_000, 6_000, 20_000])
