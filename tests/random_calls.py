"""Further calls of a compiled random program: the same again, into given arrays, with other sizes and layouts."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from random_programs import Array, RandomProgram, can_be_cast, random_value, stepped

from fuse import reference
from fuse.errors import FuseError
from fuse.expr import Expr, toposort
from fuse.frontend.loops import LOOP

LARGEST = 200_000  # elements of a value
AGAIN = 5  # calls after which a function is entered at C level
Compare = Callable[[Sequence[Array]], None]


def same_again(function: Any, case: RandomProgram, got: Sequence[Array]) -> str | None:
    """What differs where the same call is made again and again: nothing may, to the last bit."""
    for number in range(AGAIN):
        for k, (a, b) in enumerate(zip(function(*case.values), got, strict=True)):
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                return f"output {k} of call {number + 2} is not that of the first call"
    return None


def into_arrays(function: Any, case: RandomProgram, got: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    """The results of a call that writes them into arrays in odd layouts, of which some overlap with its inputs."""
    values = [np.array(v) for v in case.values]
    outs: list[Array] = []
    taken: set[int] = set()
    for a in got:
        like = [k for k, v in enumerate(values) if k not in taken and (v.shape, v.dtype) == (a.shape, a.dtype)]
        roll = rng.random()
        if a.ndim and like and roll < 0.6:
            k = int(rng.choice(like))
            taken.add(k)
            whole = np.zeros((a.shape[0] + 1, *a.shape[1:]), a.dtype)  # of which input and output are parts
            whole[1:] = values[k]
            values[k] = whole[1:]
            outs.append(whole[1:] if roll < 0.25 else whole[:-1] if roll < 0.45 else whole[1:][::-1])
            continue
        out = random_value(rng, str(a.dtype), a.shape, odd=("turned", "unaligned"))
        outs.append(out if out.flags.writeable else np.array(out))
    results = function(*values, out=outs)
    if any(r is not o for r, o in zip(results, outs, strict=True)):
        raise AssertionError("a result is not the array that was given for it")
    return outs


PARTIAL = {"shape_i", "fill", "switch", "zeros_like", "ifelse", "unbroadcast", "argsort"}  # need not all they are given


def must_refuse(graph: Sequence[Expr], values: Mapping[Expr, Any]) -> list[bool]:
    """Which outputs have no value because all of what they are computed from is needed, and some has none."""
    memory: dict[Expr, Any] = dict(values)
    without: dict[Expr, bool] = {}  # nodes without value: whether that is sure to matter
    with np.errstate(all="ignore"):
        for node in toposort(graph, known=values):
            lost = [without[a] for a in node.args if a in without]
            if lost:
                without[node] = any(lost) and node.op.name not in PARTIAL and node.op is not LOOP
                continue
            try:
                memory[node] = reference.apply(node, [memory[a] for a in node.args])
            except FuseError:
                without[node] = node.op is not LOOP
    return [without.get(o, False) for o in graph]


class Unfit(Exception):
    """Values of which NumPy does not say what the program gives, or for which it is not clean."""


def expected(graph: Sequence[Expr], values: Mapping[Expr, Any], clean: bool) -> list[Array] | None:
    """What the reference gives, None where it refuses; raises Unfit."""
    memory: dict[Expr, Any] = dict(values)

    def visit(node: Expr, args: Sequence[Any]) -> Any:
        if node.op.name == "cast" and not can_be_cast(np.asarray(args[0]), node.params["dtype"]):
            raise Unfit
        out = reference.apply(node, args)
        if not isinstance(out, np.ndarray):
            return out
        if out.size > LARGEST or clean and out.dtype.kind in "fc" and not np.isfinite(out).all():
            raise Unfit
        return out

    with np.errstate(all="ignore"):
        try:
            for node in toposort(graph, known=values):
                args = [memory[a] for a in node.args]
                memory[node] = stepped(node, args, visit) if node.op is LOOP else visit(node, args)
        except FuseError:
            return None
        except MemoryError as error:
            raise Unfit from error
    return [memory[o] for o in graph]
