"""Loops in carry style: a state in any tree of containers (`fuse.tree`) goes from step to step."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse import testvalues, tree
from fuse.config import config
from fuse.errors import FuseTypeError
from fuse.expr import Constant, Expr, as_expr, constant, leaves, substitute, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.loops import Body, foreign, loop_node, results
from fuse.frontend.shared import made_since, numbered
from fuse.frontend.sizes import as_size, as_size_expr
from fuse.frontend.weak import numpys
from fuse.scan_module.scan import number_of_steps
from fuse.scan_module.scan_utils import Info, State, settled
from fuse.trace import TRACE
from fuse.types import DISCRETE, TensorType, promote

LONGEST = 2**62  # steps of a loop that only its condition ends


@testvalues.after
def loop(
    step: Callable[..., Any], init: Any, xs: Any = None, n_steps: Any = None, checkpoint: int | None = None
) -> tuple[Any, Any]:
    """``carry, y = step(carry, x)`` for each ``x`` along the first axes of ``xs``: (last carry, all ``y``, stacked).

    ``init``, ``xs`` and ``y`` are expressions or trees of them (tuples, lists, dicts, dataclasses, ``None`` for
    nothing; see `fuse.tree`). Without ``xs`` there are ``n_steps`` steps, of ``step(carry, None)``; of sequences the
    shortest says how many there are. The carry keeps its structure, types and shapes. ``checkpoint``: for the gradient
    only the states after each so many steps are kept, and the steps between are done again; 0: about the root of all
    steps.

    Raises FuseTypeError where a step changes these, FuseValueError where nothing says how many steps there are.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> (total, count), means = fuse.loop(
    ...     lambda c, x_t: ((c[0] + x_t, c[1] + 1.0), (c[0] + x_t) / (c[1] + 1.0)), (0.0, 0.0), x)
    >>> means.eval({x: [2.0, 4.0, 9.0]})
    array([2., 3., 5.])
    """
    sequences, of_x = taken_apart(xs)
    starts, of_carry = taken_apart(init)
    steps = number_of_steps(n_steps, sequences)
    elements = [variable(TensorType(x.type.dtype, x.type.shape[1:])) for x in sequences]
    element = tree.unflatten(of_x, elements) if sequences else None

    def stepped(carry: list[Expr]) -> tuple[list[Expr], tuple[list[Expr], tree.Structure]]:
        returned = step(tree.unflatten(of_carry, carry), element)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise FuseTypeError(f"step of loop returns a pair (carry, y), not {type(returned).__name__}: y may be None")
        ys = tree.map(lambda y: numpys(y)[0], returned[1])
        return _same_structure(returned[0], of_carry), taken_apart(ys)

    states, (nexts, (ys, of_y)) = _begun(init, starts, stepped, lambda found: found[0])
    node = carried(steps, sequences, elements, states, nexts, ys, None, checkpoint)
    finals, kept, _ = results(node)
    return tree.unflatten(of_carry, finals), tree.unflatten(of_y, kept)


@testvalues.after
def while_loop(cond: Callable[..., Any], body: Callable[..., Any], init: Any, max_steps: Any = None) -> Any:
    """The carry after ``carry = body(carry)`` as long as ``cond(carry)`` is true, and at most ``max_steps`` times.

    The carry is an expression or a tree of them (tuples, lists, dicts, dataclasses), and keeps its structure, types
    and shapes. Gradients go through the steps that were done.

    >>> import fuse, fuse.tensor as T
    >>> a = T.dscalar("a")
    >>> root = fuse.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)
    >>> round(float(root.eval({a: 9.0})), 6), round(float(fuse.grad(root, a).eval({a: 9.0})), 6)
    (3.0, 0.166667)
    """
    starts, of_carry = taken_apart(init)

    def rebuild(values: Sequence[Any]) -> Any:
        return tree.unflatten(of_carry, values)

    states, nexts = _begun(init, starts, lambda carry: _same_structure(body(rebuild(carry)), of_carry))
    limit = as_size_expr(LONGEST if max_steps is None else as_size(max_steps, "max_steps"))
    nexts, known = settled(states, nexts), numbered()
    first = _condition(cond(rebuild([s.initial for s in states])))
    again = _condition(cond(rebuild(nexts)))
    _refuse_draws(known, [first, again])
    steps = ew.switch(first, limit, constant(0, dtype="int64"))
    node = carried(steps, [], [], states, nexts, [], ew.eq(again, constant(False)))
    return rebuild(results(node)[0])


def _begun(
    init: Any, starts: list[Expr], step: Callable[[list[Expr]], Any], nexts: Callable[[Any], list[Expr]] = lambda x: x
) -> tuple[list[State], Any]:
    """The states, and what ``step`` makes of them, in which ``nexts`` finds the next ones.

    As constants Python's numbers are of the narrowest dtype, in which counts would wrap and quotients be float32. Where
    no array gives a state that starts as one of them its dtype, it starts again with NumPy's.
    """
    states, known = [State(Info(x, (-1,))) for x in starts], numbered()
    found = step([s.leaves[0] for s in states])
    _refuse_draws(known, [x for x in tree.leaves(found) if isinstance(x, Expr)])
    values = tree.leaves(init)
    made = dict(zip([s.leaves[0] for s in states], nexts(found), strict=True))
    own = {leaf for leaf, value in zip(made, values, strict=True) if type(value) in (int, float)}
    typed = _with_arrays(made, own)
    wider = list(starts)
    for k, (value, (leaf, after)) in enumerate(zip(values, made.items(), strict=True)):
        if leaf in own and isinstance(after.type, TensorType):
            wider[k] = constant(value, dtype=_dtype_of_a_number(value, after, leaf in typed) or starts[k].type.dtype)
    if any(x is not y for x, y in zip(wider, starts, strict=True)):
        states = [State(Info(x, (-1,))) for x in wider]
        found = step([s.leaves[0] for s in states])
    return states, found


def _refuse_draws(known: int, values: list[Expr]) -> None:
    if made_since(known, values):
        raise FuseTypeError(
            "a step draws from a RandomStreams, which would be one draw for all steps: draw before the loop, a row for "
            "each step, and give the draws as xs; or use keys (fuse.random), or fuse.scan with its updates"
        )


def _with_arrays(made: dict[Expr, Expr], numbers: set[Expr]) -> set[Expr]:
    """Those of the states that start as Python's ``numbers`` in whose values floating-point arrays are soon."""
    reads = {leaf: [x for x in leaves([after]) if not (isinstance(x, Constant) and not x.type.ndim)]
             for leaf, after in made.items()}
    found = {
        x for read in reads.values() for x in read
        if x not in numbers and isinstance(x.type, TensorType) and x.type.dtype not in DISCRETE
    }
    while new := {leaf for leaf, read in reads.items() if leaf not in found and not found.isdisjoint(read)}:
        found |= new  # a state may hold what another one held a step before
    return found


def _dtype_of_a_number(value: Any, made: Expr, with_arrays: bool) -> str | None:
    """The dtype of a state that starts as a Python number and goes on as ``made``; None for the constant's."""
    dtype = made.type.dtype
    if dtype in DISCRETE:
        return "int64" if type(value) is int else None
    if TRACE.single or with_arrays:
        return None
    return promote(dtype, "float64" if TRACE.active else config.floatX)


def _condition(value: Any) -> Expr:
    found = as_expr(value)
    if found.type.ndim or found.type.dtype not in DISCRETE:
        raise FuseTypeError(f"cond of while_loop gives one truth value, not a {found.type.describe()}")
    return found if found.type.dtype == "bool" else ew.neq(found, 0)


def carried(
    steps: Expr, sequences: list[Expr], elements: list[Expr], states: list[State], nexts: list[Expr], ys: list[Expr],
    until: Expr | None, checkpoint: int | None = None, ragged: bool = False,
) -> Expr:
    """The loop of a step that was written in terms of leaves: what it reads besides stays the same."""
    ends = [] if until is None else [until]
    count = len(states)
    roots = settled(states, [*nexts, *ys, *ends])
    own = [s.leaves[0] for s in states]
    outside = foreign(roots, [*elements, *own])
    replaced: dict[Expr, Expr] = {x: variable(x.type, x.name) for x in outside}
    roots = substitute(roots, replaced)
    body = Body(
        elements, own, list(replaced.values()), roots[:count], roots[count : count + len(ys)],
        roots[-1] if ends else None,
    )
    params: dict[str, Any] = {} if checkpoint is None else {"checkpoint": int(checkpoint)}
    if ragged:
        params["ragged"] = True
    return loop_node(steps, sequences, [s.initial for s in states], outside, body, **params)


def taken_apart(value: Any) -> tuple[list[Expr], tree.Structure]:
    """The expressions in a tree, and its structure."""
    leaves, structure = tree.flatten(value)
    return [as_expr(x) for x in leaves], structure


def _same_structure(value: Any, like: tree.Structure) -> list[Expr]:
    found, structure = taken_apart(value)
    if structure != like:
        raise FuseTypeError(f"a carry keeps its structure: it starts as {like} and a step made {structure}")
    return found
