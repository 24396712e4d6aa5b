"""The reference interpreter: a plain NumPy walk over an expression graph, the oracle of everything else."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.config import config
from fuse.errors import FuseError, FuseIndexError, FuseValueError, MissingInputError, ShapeError, runtime_error
from fuse.expr import Expr, toposort
from fuse.types import TensorType

Array = Any


def evaluate(outputs: Sequence[Expr], values: Mapping[Expr, Any]) -> list[Array]:
    """The values of ``outputs`` for the given values of leaves (shared variables and constants have their own).

    Follows each op's stated dtypes: arguments are cast as its record says, the result too.
    """
    order = toposort(outputs, known=values)
    if any(node.op.name == "ifelse" for node in order):
        return on_demand(outputs, dict(values), apply)
    uses: dict[Expr, int] = {}
    for node in order:
        for arg in node.args:
            uses[arg] = uses.get(arg, 0) + 1
    for node in outputs:
        uses[node] = uses.get(node, 0) + 1
    memory: dict[Expr, Array] = dict(values)
    with np.errstate(all="ignore"):
        for node in order:
            memory[node] = apply(node, [memory[a] for a in node.args])
            for arg in node.args:
                uses[arg] -= 1
                if not uses[arg] and arg not in values:
                    memory.pop(arg, None)
    return [memory[o] for o in outputs]


def on_demand(
    outputs: Sequence[Expr], memory: dict[Expr, Any], step: Callable[[Expr, Sequence[Array]], Array]
) -> list[Array]:
    """The values of ``outputs``; of an ``ifelse`` only the branch that its condition chooses is computed.

    ``memory`` has the values of leaves, ``step`` gives the value of a node from those of its arguments.
    """
    with np.errstate(all="ignore"):
        for output in outputs:
            stack = [output]
            while stack:
                node = stack[-1]
                if node in memory:
                    stack.pop()
                    continue
                needed: Sequence[Expr] = node.args
                if node.op.name == "ifelse":
                    condition = memory.get(node.args[0])
                    needed = node.args[:1] if condition is None else (node.args[1 if condition else 2],)
                waiting = [a for a in needed if a not in memory]
                if waiting:
                    stack += waiting[::-1]
                elif node.op.name == "ifelse":
                    memory[node] = step(node, [memory[node.args[0]], *[memory[needed[0]]] * 2])
                else:
                    memory[node] = step(node, [memory[a] for a in node.args])
    return [memory[o] for o in outputs]


def apply(node: Expr, args: Sequence[Array]) -> Array:
    """The value of one node from those of its arguments."""
    op = node.op
    if op.kind == "leaf":
        return _leaf_value(node)
    if "nonempty" in op.meta and not args[0].size and _reduces_nothing(args[0].shape, node.params["axis"]):
        raise runtime_error(
            FuseValueError, f"{op} over an axis of size 0 has no value", str(op), [args[0].shape], node.origin
        )
    try:
        if op.kind == "elementwise":
            want, out = op.signature(*node.args, **node.params)
            cast = [np.asarray(a, dtype=d) for a, d in zip(args, want, strict=True)]
            return np.asarray(op.numpy(*cast, **node.params)).astype(out, copy=False)
        result = op.callable_for(node)(*args, **node.params)
    except (FuseError, ValueError, IndexError, ZeroDivisionError) as error:
        raise _told(error, node, args)  # noqa: B904 (its cause is set)
    if isinstance(result, (tuple, list)) or not isinstance(node.type, TensorType):
        return result
    return np.asarray(result).astype(node.type.dtype, copy=False)


def guarded(node: Expr, function: Any) -> Any:
    """``function`` with the node's parameters, whose ValueError or IndexError tells of the node and the user's line."""
    params = dict(node.params)

    def call(*args: Any) -> Any:
        try:
            return function(*args, **params)
        except (FuseError, ValueError, IndexError, ZeroDivisionError) as error:
            raise _told(error, node, args)  # noqa: B904 (its cause is set)

    return call


_KINDS = ((IndexError, FuseIndexError), (ZeroDivisionError, FuseValueError), (ValueError, ShapeError))


def _told(error: Exception, node: Expr, args: Sequence[Array]) -> Exception:
    """``error`` as one of fuse's that names the operation, the shapes and the user's line."""
    if isinstance(error, getattr(node.op.meta.get("instance"), "passed_on", ())):  # an op that raises for its user
        return error
    if getattr(error, "has_context", False):
        return error
    kind = type(error) if isinstance(error, FuseError) else next(new for old, new in _KINDS if isinstance(error, old))
    text = f"{error}{_at_length(node, args)}" if config.exception_verbosity == "high" else str(error)
    told = runtime_error(kind, text, str(node.op), [np.shape(a) for a in args], node.origin)
    told.__cause__ = error
    return told


def _at_length(node: Expr, args: Sequence[Array]) -> str:
    """What ``config.exception_verbosity = 'high'`` adds to an error: arguments with their values, and the formula."""
    from fuse.printing.debug import debugprint

    lines = []
    for k, (arg, value) in enumerate(zip(node.args, args, strict=True)):
        shown = " ".join(repr(value).split())
        strides = getattr(value, "strides", ())
        lines.append(f"  argument {k} ({arg.name or arg.op.name}, {arg.type}), strides {strides}: {shown:.200}")
    tree = debugprint(node, depth=6, print_type=True, file="str").splitlines()
    return "\n".join(["", *lines, "  the operation:", *[f"    {line}" for line in tree[:40]]])


def _reduces_nothing(shape: tuple[int, ...], axis: tuple[int, ...]) -> bool:
    """Whether a reduction has results, none of which has elements."""
    return 0 not in [n for d, n in enumerate(shape) if d not in axis] and 0 in [shape[d] for d in axis]


def _leaf_value(node: Expr) -> Array:
    if node.op.name == "constant":
        return node.data
    if node.op.name == "shared":
        return node.container.array
    raise MissingInputError(f"no value was given for the input {node.name or node}")
