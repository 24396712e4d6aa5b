"""The loop: one node that repeats a closed graph, its body; carried states, sequences in, sequences out.

Everything that repeats (`scan`, `map`, `while_loop`, the backward pass of any of them) is this one op. A body is a
graph on leaves of its own: elements of sequences, states, and values that stay the same. Nothing outside stands in
it, so bodies of the same structure are equal, loops are interned like any node, and no walk over a graph enters one.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import (
    CONSTANT,
    INPUT,
    Constant,
    Expr,
    TensorVariable,
    as_expr,
    constant,
    leaf,
    leaves,
    make,
    substitute,
    toposort,
    variable,
)
from fuse.flat import pack, unpack
from fuse.frontend.parts import part
from fuse.frontend.sizes import shape_of
from fuse.op import Op, register
from fuse.reference import evaluate
from fuse.testvalues import after, without
from fuse.types import TensorType, TupleType

Array = Any


class Body:
    """What a loop does in each step; a value, equal to any other of the same structure.

    ``inputs``: elements of the sequences, then the states, then what stays the same (``sequences``, ``states`` and
    ``fixed`` are these by role). ``outputs``: the next states, then ``ys``, the values that are kept of each step, then
    ``until``, where there is one: after a step in which it is true the loop ends.
    """

    __slots__ = ("inputs", "outputs", "sequences", "states", "fixed", "nexts", "ys", "until", "_hash", "__weakref__")

    def __init__(
        self, sequences: Sequence[Expr], states: Sequence[Expr], fixed: Sequence[Expr], nexts: Sequence[Expr],
        ys: Sequence[Expr] = (), until: Expr | None = None,
    ) -> None:
        own = {x: _place(k, x.type) for k, x in enumerate([*sequences, *states, *fixed])}
        outputs = [*nexts, *ys, *([] if until is None else [until])]
        if any(x is not y for x, y in own.items()):
            outputs = substitute(outputs, own)
        self.inputs = tuple(own.values())
        strange = {n for n in leaves(outputs) if n.op is not CONSTANT}.difference(self.inputs)
        assert not strange, f"the body of a loop reads {strange}, which is not among its inputs"
        self.outputs = tuple(outputs)
        a, b = len(sequences), len(sequences) + len(states)
        self.sequences, self.states, self.fixed = self.inputs[:a], self.inputs[a:b], self.inputs[b:]
        c, d = len(nexts), len(nexts) + len(ys)
        self.nexts, self.ys = self.outputs[:c], self.outputs[c:d]
        self.until = None if until is None else self.outputs[-1]
        self._hash = hash((self.inputs, self.outputs, a, b, c, d))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or isinstance(other, Body) and (
            self.inputs == other.inputs and self.outputs == other.outputs and len(self.states) == len(other.states)
            and len(self.sequences) == len(other.sequences) and len(self.ys) == len(other.ys)
        )

    def __reduce__(self) -> Any:
        counts = len(self.sequences), len(self.states), len(self.ys), self.until is not None
        return _unpickled, (pack([*self.inputs, *self.outputs]), counts)

    def __repr__(self) -> str:
        count = sum(not n.is_leaf for n in toposort(self.outputs))
        return f"<body of {count} nodes>"

    def opened(self) -> Body:
        """The same body on fresh leaves, to build a larger one from; not a value of a loop."""
        fresh = {x: variable(x.type, x.name) for x in self.inputs}
        return _open(self, list(fresh.values()), substitute(self.outputs, fresh))

    def on(self, outputs: Sequence[Expr]) -> Body:
        """An opened body with other outputs, of the same roles."""
        return _open(self, self.inputs, outputs)


def _place(number: int, type_: TensorType) -> Expr:
    """The leaf of every body that stands for input ``number`` of this type."""
    kind = f"{type_.dtype} {type_.shape}" if is_array(type_) else f"{type(type_).__module__} {type_}"
    return leaf(TensorVariable, INPUT, type_, None, uid=f"loop input {number} {kind}")


def is_array(type_: Any) -> bool:
    """Whether values of this type are arrays, not objects of a user's own types, such as generators."""
    return isinstance(type_, TensorType)


def _open(like: Body, inputs: Sequence[Expr], outputs: Sequence[Expr]) -> Body:
    new = object.__new__(Body)
    a, b = len(like.sequences), len(like.sequences) + len(like.states)
    c, d = len(like.states), len(like.states) + len(like.ys)
    new.inputs, new.outputs = tuple(inputs), tuple(outputs)
    new.sequences, new.states, new.fixed = new.inputs[:a], new.inputs[a:b], new.inputs[b:]
    new.nexts, new.ys = new.outputs[:c], new.outputs[c:d]
    new.until = None if like.until is None else new.outputs[-1]
    new._hash = 0
    return new


def _unpickled(packed: Any, counts: tuple[int, int, int, bool]) -> Body:
    nodes = unpack(packed)
    a, b, c, has_until = counts
    outputs = b + c + has_until
    ins, outs = nodes[: len(nodes) - outputs], nodes[len(nodes) - outputs:]
    return Body(ins[:a], ins[a:a + b], ins[a + b:], outs[:b], outs[b:b + c], outs[-1] if has_until else None)


# ---------------------------------------------------------------- the op
def _infer(steps: Expr, *args: Expr, body: Body, **_: Any) -> Any:
    if len(args) != len(body.inputs):
        raise FuseTypeError(f"a loop of {len(body.inputs)} inputs got {len(args)}")
    for k, (x, arg) in enumerate(zip(body.inputs, args, strict=True)):
        extra = k < len(body.sequences)
        if not is_array(x.type):
            if arg.type != x.type:
                raise FuseTypeError(f"a value of a loop is a {arg.type}, where the body has {x.type}")
            continue
        if arg.type.dtype != x.type.dtype or arg.type.ndim != x.type.ndim + extra:
            what = "sequence" if extra else "state" if k < len(body.sequences) + len(body.states) else "value"
            raise FuseTypeError(
                f"a {what} of a loop is a {arg.type.describe()}, where the body has {x.type.describe()}"
            )
    count = int(steps.data) if isinstance(steps, Constant) and body.until is None and int(steps.data) >= 0 else None
    kept = [TensorType(y.type.dtype, (count, *y.type.shape)) for y in body.ys]
    done = [TensorType("int64", ())] if body.until is not None else []
    return TupleType((*[x.type for x in body.states], *kept, *done))


def _shape(node: Expr, *shapes: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """The sizes of each part; None where only running the loop can tell."""
    body: Body = node.params["body"]
    a = len(body.sequences)
    outer = {x: s[1:] if k < a else s for k, (x, s) in enumerate(zip(body.inputs, shapes[1:], strict=True))}
    finals = [tuple([m if m is not None else n for m, n in zip(x.type.shape, outer[x], strict=True)])
              if is_array(x.type) else () for x in body.states]
    branch = node.params.get("branch")
    if branch == "lazy":  # sizes of what may not be computed
        return tuple([(None,) * (1 + y.type.ndim) for y in body.ys])
    lead = 1 if branch else None if body.until is not None else _static(node.args[0])
    fixed = dict(zip(body.fixed, node.args[1 + a + len(body.states):], strict=True))
    kept = [(lead, *[_outer_size(n, outer, fixed) for n in _sizes_within(y)]) for y in body.ys]
    return (*finals, *kept, *([()] if body.until is not None else []))


def _sizes_within(y: Expr) -> tuple[Any, ...]:
    """The sizes of a node of a body, whose leaves have no test values."""
    with without():
        return shape_of(y)


def _static(steps: Expr) -> Any:
    return int(steps.data) if isinstance(steps, Constant) else steps


def _outer_size(size: Any, outer: Mapping[Expr, tuple[Any, ...]], values: Mapping[Expr, Expr]) -> Any:
    """A size of the body in terms of the loop's arguments; None where it depends on values."""
    if isinstance(size, int):
        return size
    known: dict[Expr, Expr] = {}
    for node in toposort([size]):
        if node.op.name == "shape_i" and node.args[0] in outer:
            found = outer[node.args[0]][node.params["axis"]]
            known[node] = as_expr(np.int64(found)) if isinstance(found, int) else found
        elif node in values and node.type.ndim == 0:
            known[node] = values[node]
        elif node.op.name == "shape_i" or node.op is INPUT and not _only_measured(size, node):
            return None
    return substitute([size], known)[0] if size not in known else known[size]


def _only_measured(size: Expr, x: Expr) -> bool:
    """Whether ``size`` reads nothing of ``x`` but its sizes."""
    return size is not x and all(n.op.name == "shape_i" for n in toposort([size]) if x in n.args)


def _run(steps: Any, *arrays: Array, body: Body, **params: Any) -> list[Array]:
    """Step after step on the reference interpreter: what every compiled loop is compared with."""
    return stepwise(lambda *values: evaluate(body.outputs, dict(zip(body.inputs, values, strict=True))))(
        steps, *arrays, body=body, **params
    )


def checked(steps: Any, arrays: Sequence[Array], body: Body, nonempty: bool = False) -> int:
    """The number of steps, of arrays that can be looped over; FuseValueError or ShapeError where they cannot."""
    count = int(steps)
    if count < 0:
        raise FuseValueError(f"a loop has a number of steps that is not negative, not {count}")
    if nonempty and not count:
        raise FuseValueError("the last of no steps was asked for: the loop has n_steps = 0")
    for k, (x, value) in enumerate(zip(body.inputs, arrays, strict=True)):
        if not is_array(x.type):
            continue
        shape = np.shape(value)
        if k < len(body.sequences):
            if shape[0] < count:
                raise ShapeError(
                    f"sequence {k} of a loop has {shape[0]} elements, which is less than its {count} steps"
                )
            shape = shape[1:]
        if any(m is not None and m != n for m, n in zip(x.type.shape, shape, strict=True)):
            raise ShapeError(f"input {k} of a loop has elements of shape {shape}, its body has {x.type.describe()}")
    return count


def stepwise(step: Callable[..., Sequence[Array]]) -> Callable[..., list[Array]]:
    """A loop whose body is the function ``step`` of arrays: called for each step."""

    def run(steps: Any, *arrays: Array, body: Body, nonempty: bool = False, **_: Any) -> list[Array]:
        count = checked(steps, arrays, body, nonempty)
        a, b = len(body.sequences), len(body.sequences) + len(body.states)
        sequences, fixed = [np.asarray(x) for x in arrays[:a]], arrays[b:]
        own = [is_array(x.type) for x in body.states]
        states = [np.array(x) if yes else x for x, yes in zip(arrays[a:b], own, strict=True)]
        kept: list[Any] = [None] * len(body.ys)
        done = 0
        while done < count:
            found = step(*[np.asarray(s[done]) for s in sequences], *states, *fixed)
            states = [
                _same(new, old, k) if own[k] else new for k, (new, old) in enumerate(zip(found, states, strict=False))
            ]
            for k, value in enumerate(found[len(states):len(states) + len(kept)]):
                if kept[k] is None:
                    room = count if body.until is None else min(count, 64)
                    kept[k] = np.empty((room, *np.shape(value)), body.ys[k].type.dtype)
                elif done == len(kept[k]):
                    kept[k] = np.concatenate([kept[k], np.empty_like(kept[k])])
                if np.shape(value) != kept[k].shape[1:]:
                    have = np.shape(value)
                    raise ShapeError(
                        f"output {k} of a loop has shape {have} in step {done} and {kept[k].shape[1:]} before"
                    )
                kept[k][done] = value
            done += 1
            if body.until is not None and found[-1]:
                break
        if count and body.ys and kept[0] is not None:
            kept = [x[:done] for x in kept]
        else:
            shapes = _empty_shapes(arrays, body)
            kept = [np.empty((0, *s), y.type.dtype) for s, y in zip(shapes, body.ys, strict=True)]
        finals = [np.array(x) if yes else x for x, yes in zip(states, own, strict=True)]
        return [*finals, *kept, *([np.asarray(done, "int64")] if body.until is not None else [])]

    return run


def _same(new: Array, old: Array, k: int) -> Array:
    if np.shape(new) != np.shape(old):
        raise ShapeError(
            f"state {k} of a loop has shape {np.shape(old)} before and {np.shape(new)} after a step: it must keep it"
        )
    return new


def _empty_shapes(arrays: Sequence[Array], body: Body) -> list[tuple[int, ...]]:
    """The shapes that values of a step would have had; 0 for what only the step knows."""
    a = len(body.sequences)
    outer = {
        x: np.shape(v)[1:] if k < a else np.shape(v) for k, (x, v) in enumerate(zip(body.inputs, arrays, strict=True))
    }
    shapes: list[Any] = []
    fixed = {
        x: constant(v) for x, v in zip(body.inputs, arrays, strict=True)
        if x in body.fixed and is_array(x.type) and not x.type.ndim
    }
    for y in body.ys:
        sizes = [_outer_size(n, outer, fixed) for n in _sizes_within(y)]
        read = [n for n in sizes if isinstance(n, Expr)]
        values = dict(zip(read, [int(v) for v in evaluate(read, {})], strict=True)) if read else {}
        shapes.append(tuple([values.get(n, n) if isinstance(n, Expr) else n or 0 for n in sizes]))
    return shapes


# Gradient rules, set by fuse.autodiff.loops: they need what comes later in the order of imports.
DERIVATIVES: dict[str, Callable[..., Any]] = {}

LOOP = register(Op(
    name="loop", kind="opaque", numpy=_run, infer=_infer, shape=_shape, doc=(__doc__ or "").partition("\n")[0],
    grad=after(lambda g, out, *args, **params: DERIVATIVES["reverse"](g, out, *args, **params)),
    jvp=after(lambda tangents, out, *args, **params: DERIVATIVES["forward"](tangents, out, *args, **params)),
))


def loop_node(
    steps: Expr, sequences: Sequence[Expr], inits: Sequence[Expr], fixed: Sequence[Expr], body: Body, **params: Any
) -> Expr:
    """The node of a loop. Parameters, where not as usual: ``truncate`` (the last steps, through which gradients flow),
    ``checkpoint`` (how many steps are done again for the gradient, see fuse.autodiff.checkpoints), ``nonempty`` (no
    steps are an error), ``ragged`` (what is kept of steps is read up to the number of steps done: entries of a batch
    may do different ones), ``branch`` ("lazy" or "sized": one step or none, see fuse.looping.branches), ``label``."""
    return make(LOOP, (steps, *sequences, *inits, *fixed), {"body": body, **params})


def results(node: Expr) -> tuple[list[Expr], list[Expr], Expr | None]:
    """(final states, kept values, number of steps done where the loop may end early) of a loop."""
    body: Body = node.params["body"]
    found = [part(node, i) for i in range(len(node.type.elements))]  # type: ignore[attr-defined]
    n = len(body.states)
    return found[:n], found[n:n + len(body.ys)], found[-1] if body.until is not None else None


def arguments(node: Expr) -> tuple[list[Expr], list[Expr], list[Expr]]:
    """(sequences, initial states, fixed values) of a loop, without its number of steps."""
    body: Body = node.params["body"]
    a, b = 1 + len(body.sequences), 1 + len(body.sequences) + len(body.states)
    return list(node.args[1:a]), list(node.args[a:b]), list(node.args[b:])


def foreign(outputs: Sequence[Expr], own: Sequence[Expr]) -> list[Expr]:
    """The largest parts of ``outputs`` that depend on none of ``own`` and are no constants, each once."""
    inner = set(own)
    order = toposort(outputs, known=inner)
    for node in order:
        if not inner.isdisjoint(node.args):
            inner.add(node)
    edge: dict[Expr, None] = {}
    for node in order:
        if node in inner:
            edge.update(dict.fromkeys(a for a in node.args if a not in inner))
    edge.update(dict.fromkeys(o for o in outputs if o not in inner))
    return [e for e in edge if not isinstance(e, Constant)]
