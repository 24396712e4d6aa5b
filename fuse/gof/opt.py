"""Theano's ``gof.opt``: rewrites of the user's own, on functions (``register_...``) and on graphs (``optimize``)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from types import FunctionType
from typing import Any

from fuse.config import config as config
from fuse.frontend.apply import Apply
from fuse.internals import lookup as _lookup
from fuse.rules.named import LocalOptimizer as LocalOptimizer
from fuse.rules.named import Optimizer as Optimizer
from fuse.rules.named import apply_to
from fuse.rules.user import Pattern, record_of, rewritten, same_op

__all__ = [
    "EquilibriumOptimizer", "LocalOptimizer", "MergeOptimizer", "OpKeyOptimizer", "OpRemove", "OpSub", "Optimizer",
    "PatternSub", "SeqOptimizer", "TopoOptimizer", "local_optimizer",
]

PatternSub = Pattern


def local_optimizer(tracks: Any = None, inplace: bool = False, requirements: Any = ()) -> Callable[..., Any]:
    """Make a rewrite of a function of one application; only applications of the ops in ``tracks`` are tried.

    The function returns a list of replacements for the outputs, or None (or False). ``tracks`` holds ops, functions
    such as ``T.add``, or classes of ops.

    >>> import fuse, fuse.tensor as T
    >>> @local_optimizer([T.exp])
    ... def exp_of_log(node):
    ...     inner = node.inputs[0].owner
    ...     if inner is not None and inner.op == T.log.op:
    ...         return inner.inputs
    >>> x = T.dvector("x")
    >>> TopoOptimizer(exp_of_log).optimize(fuse.FunctionGraph([x], [T.exp(T.log(x))])).outputs
    [x]
    """
    tracked = None if tracks is None else list(tracks)

    def decorate(function: Callable[[Apply], Any]) -> Callable[[Apply], Any]:
        @wraps(function)
        def rewrite(node: Apply) -> Any:
            if tracked is not None and not any(same_op(node.op, t) for t in tracked):
                return None
            return function(node)

        rewrite.transform = function  # type: ignore[attr-defined]
        return rewrite

    return decorate


def OpSub(op1: Any, op2: Any, transfer_tags: bool = True) -> Callable[[Apply], Any]:
    """The rewrite of applications of ``op1`` to those of ``op2`` to the same inputs."""
    def substitute_op(node: Apply) -> Any:
        if not same_op(node.op, op1):
            return None
        found = (op2 if callable(op2) else record_of(op2))(*node.inputs)
        return found if isinstance(found, (list, tuple)) else [found]

    return substitute_op


def OpRemove(op: Any) -> Callable[[Apply], Any]:
    """The rewrite of applications of ``op`` to their inputs."""
    def remove_op(node: Apply) -> Any:
        return list(node.inputs) if same_op(node.op, op) else None

    return remove_op


class EquilibriumOptimizer(Optimizer):
    """Several rewrites, applied to a graph until none of them fits."""

    def __init__(self, optimizers: Sequence[Any], *_: Any, **__: Any) -> None:
        self.rewrites = [r for o in optimizers for r in getattr(o, "rewrites", [o])]

    def apply(self, fgraph: Any) -> Any:
        fgraph.outputs = rewritten(fgraph.outputs, self.rewrites)


class TopoOptimizer(EquilibriumOptimizer):
    """One rewrite, applied to a graph until it fits nowhere."""

    def __init__(self, local_opt: Any, *_: Any, **__: Any) -> None:
        super().__init__([local_opt])


OpKeyOptimizer = TopoOptimizer


class SeqOptimizer(Optimizer):
    """Rewrites of graphs in the order given."""

    def __init__(self, *opts: Any, **_: Any) -> None:
        self.rewrites = list(opts[0] if len(opts) == 1 and isinstance(opts[0], (list, tuple)) else opts)

    def apply(self, fgraph: Any) -> Any:
        for rewrite in self.rewrites:
            apply_to(fgraph, rewrite)


def out2in(*local_opts: Any, **_: Any) -> EquilibriumOptimizer:
    """The rewrites of applications as one of graphs; here the order of the walk makes no difference.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> out2in(OpSub(T.sin, T.cos)).optimize(fuse.FunctionGraph([x], [T.sin(x)])).outputs
    [cos(x)]
    """
    return EquilibriumOptimizer(local_opts)


in2out = LocalOptGroup = out2in


class MergeOptimizer(EquilibriumOptimizer):
    """Equal expressions are one in fuse: nothing is left to merge."""

    def __init__(self) -> None:
        super().__init__([])


def check_stack_trace(f_or_fgraph: Any, ops_to_check: Any = "last", bug_print: str = "raise") -> bool:
    """Whether the applications of these ops in a function or graph know the user's line that made them.

    ``ops_to_check`` is 'last' (what makes the outputs), 'all', an op or class, several of them, or a function of an
    application.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> check_stack_trace(fuse.FunctionGraph([x], [T.exp(x)]), T.exp)
    True
    >>> check_stack_trace(fuse.FunctionGraph([x], [T.nnet.softmax(x)]), [T.nnet.softmax, lambda node: node.nin == 2])
    True
    """
    graph = f_or_fgraph.maker.fgraph if hasattr(f_or_fgraph, "maker") else f_or_fgraph
    nodes = graph.toposort()
    if isinstance(ops_to_check, str):
        if ops_to_check not in ("last", "all"):
            raise ValueError("The string ops_to_check is not recognised")
        last = {o.owner for o in graph.outputs}
        chosen = [n for n in nodes if ops_to_check == "all" or n in last]
    else:
        wanted = ops_to_check if isinstance(ops_to_check, (list, tuple)) else [ops_to_check]
        kinds = tuple([w for w in wanted if isinstance(w, type)])
        functions = [w for w in wanted if isinstance(w, FunctionType) and not hasattr(w, "op")]
        ours = {w.__name__ for w in functions if w.__module__.startswith("fuse.")}  # built around an op of that name
        tests = [w for w in functions if not w.__module__.startswith("fuse.")]
        chosen = [
            n for n in nodes
            if isinstance(n.op, kinds) or any(same_op(n.op, w) for w in wanted if not isinstance(w, type))
            or getattr(n.op, "name", None) in ours or any(test(n) for test in tests)
        ]
    return all(n.node.origin is not None for n in chosen)


__getattr__ = _lookup(__name__)
