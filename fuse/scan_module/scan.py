"""``scan``: Theano's loop over sequences; every form of its arguments brought to one node (fuse.frontend.loops)."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError, MissingInputError
from fuse.expr import SHARED, Constant, Expr, as_expr, leaves, substitute, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.loops import Body, foreign, loop_node, results
from fuse.frontend.sizes import as_size, as_size_expr, sizes_of
from fuse.scan_module.scan_utils import (
    Returned,
    State,
    read_outputs_info,
    read_returned,
    read_sequences,
    settled,
)
from fuse.types import TensorType, only_arrays
from fuse.updates import OrderedUpdates


def scan(
    fn: Callable[..., Any], sequences: Any = None, outputs_info: Any = None, non_sequences: Any = None,
    n_steps: Any = None, truncate_gradient: int = -1, go_backwards: bool = False, mode: Any = None,
    name: str | None = None, profile: Any = False, allow_gc: Any = None, strict: bool = False,
    return_list: bool = False, checkpoint: int | None = None, return_updates: bool = True,
) -> Any:
    """Call ``fn`` once, on symbols, and repeat what it wrote for every step: (outputs, updates), as Theano's scan.

    ``fn`` takes the elements of the sequences (one for each tap), then the earlier values of the outputs (one for each
    tap), then ``non_sequences``. It returns outputs, a dict of updates of shared variables, ``until(condition)``, or
    several of them as a tuple. What it reads besides its arguments is found (not with ``strict``).

    * ``sequences``: an expression, a dict(input=, taps=[...]), or a list of these; a tap k is the element at t + k;
    * ``outputs_info``: for each output None (it is not read again), its value before the first step, or a
      dict(initial=, taps=[-2, -1]), whose initial value has one row for each step back;
    * ``n_steps``: needed where there are no sequences; else the shortest sequence decides;
    * ``go_backwards``: from the last elements to the first; ``truncate_gradient``: gradients flow through the last so
      many steps only; ``return_list``: a list of outputs even where there is one;
    * ``checkpoint``: for the gradient only the states after each so many steps are kept, and the steps between done
      again; 0: about the root of all steps;
    * ``mode``, ``profile``, ``allow_gc``: accepted; the loop is part of the function it is used in.

    Every output has one row per step. ``updates`` belong into ``function(..., updates=updates)``; with
    ``return_updates=False`` the outputs are all that is returned (FuseValueError where there are updates).

    Raises FuseTypeError where a value that is carried on changes its type, FuseValueError for what makes no loop.

    >>> import fuse, fuse.tensor as T
    >>> x, c = T.dvector("x"), T.dscalar("c")
    >>> totals, updates = fuse.scan(lambda x_t, total, c: total * c + x_t, sequences=x,
    ...                             outputs_info=T.constant(0.0), non_sequences=c)
    >>> f = fuse.function([x, c], [totals, fuse.grad(totals[-1], c)])
    >>> f([1.0, 2.0, 3.0], 10.0)
    [array([  1.,  12., 123.]), array(22.)]
    """
    sequence_list = read_sequences(sequences)
    infos = read_outputs_info(outputs_info)
    given = [as_expr(x) for x in _listed(non_sequences)]
    cut = [x for s in sequence_list for x in s.slices()]
    if go_backwards:
        cut = [x[::-1] for x in cut]
    steps = number_of_steps(n_steps, cut)
    elements = [variable(TensorType(x.type.dtype, x.type.shape[1:]), n)
                for x, n in zip(cut, [n for s in sequence_list for n in s.names()], strict=True)]
    states = [State(info) if info is not None and info.initial is not None else None for info in infos or ()]
    # fn gets the expressions themselves, so that it may differentiate one by another: T.grad(y[i], x)
    own = [x for x in dict.fromkeys(given) if not isinstance(x, Constant) and x.op is not SHARED]
    known = {variable(x.type, x.name): x for x in own}
    taps = [v for s in states if s is not None for v in s.arguments()]
    if config.compute_test_value != "off":
        _lend_values(elements, cut, states)
    returned = read_returned(_step(fn, elements, taps, given))
    if infos is None:
        states = [None] * len(returned.outputs)
    if len(states) != len(returned.outputs):
        raise FuseValueError(
            f"outputs_info has {len(states)} entries and fn returns {len(returned.outputs)} outputs: one entry for "
            f"each is needed, None for an output that is not read again"
        )
    params = _parameters(name, truncate_gradient, checkpoint)
    with config.change_flags(compute_test_value="off"):
        node, order = _closed(steps, cut, elements, states, known, returned, given if strict else None, params)
        finals, kept, _ = results(node)
    updates = OrderedUpdates()
    for target, final in zip(order, finals[len(finals) - len(order):], strict=True):
        updates[target] = final
    outputs = _outputs(returned.outputs, kept, _first_finals(states, finals))
    found: Any = outputs if return_list or len(outputs) > 1 else outputs[0] if outputs else None
    if return_updates:
        return found, updates
    if updates:
        names = ", ".join([str(t.name or t) for t in updates])
        raise FuseValueError(f"with return_updates=False a loop has no updates, but it updates {names}")
    return found


def _lend_values(elements: Sequence[Expr], sequences: Sequence[Expr], states: Sequence[State | None]) -> None:
    """Give the symbols of the first step its test values."""
    from fuse.testvalues import lend

    for symbol, values in zip(elements, sequences, strict=True):
        lend(symbol, values, first=True)
    for state in states:
        for symbol, value in zip(state.leaves, state.initials(), strict=True) if state is not None else ():
            lend(symbol, value)


def _parameters(name: str | None, truncate_gradient: int | None, checkpoint: int | None) -> dict[str, Any]:
    """What the loop's node says besides its body."""
    params: dict[str, Any] = {"label": str(name)} if name else {}
    if truncate_gradient is not None and int(truncate_gradient) >= 0:
        params["truncate"] = int(truncate_gradient)
    if checkpoint is not None:
        params["checkpoint"] = int(checkpoint)
    return params


def _outputs(written: Sequence[Expr], kept: Sequence[Expr], lasts: Sequence[Any]) -> list[Any]:
    """The rows of each output that ``fn`` wrote, or where they are no arrays its last value: with its name."""
    rows = iter(kept)
    outputs = [next(rows) if only_arrays(o.type) else last for o, last in zip(written, lasts, strict=True)]
    for output, expr in zip(outputs, written, strict=True):
        if config.compute_test_value != "off":
            from fuse.testvalues import attach

            attach(output)
        if expr.name and output.name is None:
            output.name = expr.name
    return outputs


def _step(fn: Callable[..., Any], elements: Sequence[Expr], taps: Sequence[Expr], given: Sequence[Expr]) -> Any:
    """What ``fn`` returns for its symbols; a FuseTypeError that lists them where it takes others."""
    try:
        return fn(*elements, *taps, *given)
    except TypeError:
        import inspect

        try:
            signature = inspect.signature(fn)
        except (TypeError, ValueError):  # not every callable tells
            signature = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])
        try:
            signature.bind(*elements, *taps, *given)
        except TypeError as error:
            raise FuseTypeError(
                f"scan calls its step function with {len(elements)} elements of sequences, {len(taps)} earlier values "
                f"of outputs (outputs_info) and {len(given)} non_sequences, in this order; the function takes "
                f"{signature}: {error}"
            ) from None
        raise

def _first_finals(states: Sequence[State | None], finals: Sequence[Expr]) -> list[Any]:
    """For each output its state after the last step, where it is one."""
    rest = iter(finals)
    found: list[Any] = []
    for state in states:
        mine = [next(rest) for _ in state.leaves] if state is not None else [None]
        found.append(mine[0])
    return found


def _closed(
    steps: Expr, cut: Sequence[Expr], elements: Sequence[Expr], states: Sequence[State | None],
    known: Mapping[Expr, Expr], returned: Returned, strict: Sequence[Expr] | None, params: Mapping[str, Any],
) -> tuple[Expr, list[Any]]:
    """The loop's node, and the shared variables whose new values are its last states."""
    ends = [] if returned.until is None else [returned.until]
    updates = returned.with_defaults([*returned.outputs, *ends])
    cells = {t: variable(t.type, t.name) for t in updates}
    inside = {**cells, **{x: v for v, x in known.items()}}
    written = substitute([*returned.outputs, *updates.values(), *ends], inside)
    written = settled(states, written)
    count = len(returned.outputs)
    outputs, rest = written[:count], written[count:]
    carried, inits, nexts = [], [], []
    for state, value in zip(states, outputs, strict=True):
        if state is not None:
            carried += state.leaves
            inits += state.initials()
            nexts += state.shifted(value)
    nexts += [_fitted(t, v) for t, v in zip(cells, rest, strict=False)]
    own = [*elements, *carried, *cells.values(), *known]
    roots = [*nexts, *outputs, *rest[len(cells):]]
    outside = foreign(roots, own)
    if strict is not None:
        _check_strict(outside, strict)
    replaced = {x: variable(x.type, x.name) for x in outside}
    roots = substitute(roots, replaced)
    kept = [y for y in roots[len(nexts) : len(nexts) + count] if only_arrays(y.type)]
    body = Body(
        elements, [*carried, *cells.values()], [*known, *replaced.values()], roots[: len(nexts)], kept,
        roots[-1] if ends else None,
    )
    return loop_node(steps, cut, [*inits, *cells], [*known.values(), *outside], body, **params), list(cells)


class _NotAmongArguments(FuseValueError, MissingInputError):
    """Theano's class of error, and a ValueError as every other about a loop's arguments."""


def _check_strict(outside: Sequence[Expr], given: Sequence[Expr]) -> None:
    names = [n.name or str(n) for n in leaves(outside) if n.op.name in ("input", "shared") and n not in given]
    if names:
        raise _NotAmongArguments(
            f"with strict=True everything that fn reads is among its arguments, but it reads {', '.join(names)} too: "
            f"add it to non_sequences"
        )


def _fitted(target: Any, value: Expr) -> Expr:
    """The new value of a shared variable in a step, in its type."""
    if value.type == target.type:
        return value
    if value.type.dtype != target.type.dtype or value.type.ndim != target.type.ndim:
        raise FuseTypeError(
            f"fn updates the shared variable {target.name or target} ({target.type.describe()}) with a "
            f"{value.type.describe()}: cast it"
        )
    return value


def number_of_steps(n_steps: Any, cut: Sequence[Expr]) -> Expr:
    """``n_steps``, or the length of the shortest sequence."""
    if n_steps is None or isinstance(n_steps, float) and n_steps != n_steps:
        if not cut:
            raise FuseValueError("scan needs sequences or n_steps to know how many steps there are")
        sizes = list(dict.fromkeys([sizes_of(x)[0] for x in cut]))
        known = [n for n in sizes if isinstance(n, int)]
        unknown = [n for n in sizes if not isinstance(n, int)]
        total: Any = min(known) if known else None
        for n in unknown:
            total = n if total is None else ew.minimum(as_size_expr(total), n)
        return as_size_expr(total)
    size = as_size(n_steps, "n_steps")
    if isinstance(size, int) and size < 0:
        raise FuseValueError(f"n_steps is not negative, as {size} is: go_backwards=True walks sequences from their end")
    return as_size_expr(size)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
