"""Theano's ``gof.toolbox``: what watches graphs while they change (``fgraph.attach_feature``)."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuse.frontend.fgraph import AlreadyThere as AlreadyThere
from fuse.frontend.fgraph import FunctionGraph as FunctionGraph
from fuse.frontend.fgraph import ReplacementDidntRemovedError as ReplacementDidntRemovedError
from fuse.internals import lookup as _lookup


class Feature:
    """What a graph tells while it changes: classes of one's own say what they do then.

    >>> import fuse, fuse.tensor as T
    >>> class Watch(Feature):
    ...     def on_change_input(self, fgraph, node, i, r, new_r, reason=None):
    ...         print(node, "reads", new_r, "instead of", r)
    >>> x = T.dvector("x")
    >>> graph = fuse.FunctionGraph([x], [T.exp(T.sin(x))], features=[Watch()])
    >>> graph.replace(T.sin(x), T.cos(x))
    exp(float64 vector) reads cos(x) instead of sin(x)
    """

    def on_attach(self, fgraph: Any) -> None:
        """The graph begins to tell; may raise AlreadyThere."""

    def on_detach(self, fgraph: Any) -> None:
        """The graph tells no more."""

    def on_import(self, fgraph: Any, node: Any, reason: Any) -> None:
        """An application came."""

    def on_change_input(self, fgraph: Any, node: Any, i: int, r: Any, new_r: Any, reason: Any = None) -> None:
        """Application ``node`` reads ``new_r`` as its input ``i`` from now on, not ``r``."""

    def on_prune(self, fgraph: Any, node: Any, reason: Any) -> None:
        """An application went."""

    def orderings(self, fgraph: Any) -> dict[Any, Any]:
        """What must come before applications beside what they read."""
        return {}


class Bookkeeper(Feature):
    """A feature that is told of every application when it is attached, and when it is detached."""

    def on_attach(self, fgraph: Any) -> None:
        for node in fgraph.toposort():
            self.on_import(fgraph, node, "on_attach")

    def on_detach(self, fgraph: Any) -> None:
        for node in fgraph.toposort():
            self.on_prune(fgraph, node, "Bookkeeper.detach")


class History(Feature):
    """Gives graphs ``checkpoint`` and ``revert``; here they have them."""


class Validator(Feature):
    """Gives graphs ``validate`` and ``consistent``; here they have them."""


class ReplaceValidate(History, Validator):
    """Gives graphs ``replace_validate`` and its kin; here they have them."""


class NodeFinder(Bookkeeper):
    """Gives a graph ``get_nodes(op)``: the applications of an op.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> graph = fuse.FunctionGraph([x], [T.exp(x)], features=[NodeFinder()])
    >>> graph.get_nodes(T.exp)
    [exp(x)]
    """

    def on_attach(self, fgraph: Any) -> None:
        if hasattr(fgraph, "get_nodes"):
            raise AlreadyThere("the graph has a NodeFinder")
        fgraph.get_nodes = partial(self.query, fgraph)

    def on_detach(self, fgraph: Any) -> None:
        del fgraph.get_nodes

    def query(self, fgraph: Any, op: Any) -> list[Any]:
        """The applications of ``op`` (an op, a function of fuse, or a class of ops) in ``fgraph``."""
        from fuse.rules.user import same_op

        return [node for node in fgraph.toposort() if same_op(node.op, op)]


class PrintListener(Feature):
    """Prints what a graph tells."""

    def __init__(self, active: bool = True) -> None:
        self.active = active

    def _say(self, *words: Any) -> None:
        if self.active:
            print("--", *words)

    def on_attach(self, fgraph: Any) -> None:
        self._say("attaching to:", fgraph)

    def on_detach(self, fgraph: Any) -> None:
        self._say("detaching from:", fgraph)

    def on_import(self, fgraph: Any, node: Any, reason: Any) -> None:
        self._say("importing:", f"{node}, reason: {reason}")

    def on_prune(self, fgraph: Any, node: Any, reason: Any) -> None:
        self._say("pruning:", f"{node}, reason: {reason}")

    def on_change_input(self, fgraph: Any, node: Any, i: int, r: Any, new_r: Any, reason: Any = None) -> None:
        self._say("changing", f"({node}.inputs[{i}]) from {r} to {new_r}")


class PreserveNames(Feature):
    """Lets what takes the place of a named variable have its name, unless it has one."""

    def on_change_input(self, fgraph: Any, node: Any, i: int, r: Any, new_r: Any, reason: Any = None) -> None:
        if r.name is not None and new_r.name is None:
            new_r.name = r.name


class PreserveVariableAttributes(PreserveNames):
    """PyTensor's PreserveNames, for notes (``tag``) too."""

    def on_change_input(self, fgraph: Any, node: Any, i: int, r: Any, new_r: Any, reason: Any = None) -> None:
        super().on_change_input(fgraph, node, i, r, new_r, reason)
        vars(new_r.tag).update({k: v for k, v in vars(r.tag).items() if k not in vars(new_r.tag)})


class FullHistory(Feature):
    """Keeps every state of a graph: ``rewind()``, ``next()``, ``prev()`` and ``goto(k)`` put it back to one.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> history = FullHistory()
    >>> graph = fuse.FunctionGraph([x], [T.sin(x)], features=[history])
    >>> graph.replace(T.sin(x), T.cos(x))
    >>> history.rewind()
    >>> graph.outputs
    [sin(x)]
    """

    def __init__(self, callback: Callable[..., Any] | None = None) -> None:
        self.callback = callback
        self.states: list[Any] = []
        self.pointer = 0
        self.fg: Any = None

    def on_attach(self, fgraph: Any) -> None:
        if self.fg is not None:
            raise ValueError("a FullHistory watches one graph")
        self.fg, self.states, self.pointer = fgraph, [fgraph.checkpoint()], 0

    def on_change_input(self, fgraph: Any, node: Any, i: int, r: Any, new_r: Any, reason: Any = None) -> None:
        state = fgraph.checkpoint()
        if state != self.states[-1]:
            self.states.append(state)
            self.pointer = len(self.states) - 1
        if self.callback is not None:
            self.callback()

    def goto(self, checkpoint: int) -> None:
        """The state after ``checkpoint`` changes; -1 the last."""
        self.pointer = range(len(self.states))[checkpoint]
        self.fg.revert(self.states[self.pointer])

    def rewind(self) -> None:
        """The first state."""
        self.goto(0)

    def prev(self) -> None:
        """The state before."""
        self.goto(max(self.pointer - 1, 0))

    def next(self) -> None:
        """The state after."""
        self.goto(min(self.pointer + 1, len(self.states) - 1))


__getattr__ = _lookup(__name__)
