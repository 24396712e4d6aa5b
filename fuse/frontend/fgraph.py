"""FunctionGraph: inputs, outputs and the applications between them, as an object that can be changed and watched."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError, MissingInputError
from fuse.expr import INPUT, Constant, Expr, leaves, substitute
from fuse.expr import toposort as expr_toposort
from fuse.frontend.apply import Apply
from fuse.frontend.graph import applications, as_string, clone, fits
from fuse.frozen import dataclass


class AlreadyThere(Exception):
    """What a feature raises in ``on_attach`` where the graph has one of its kind: it is not attached then."""


class ReplacementDidntRemovedError(Exception):
    """A replacement left what it was to remove."""


@dataclass(frozen=True, repr=False)
class Output:
    """PyTensor's op of an output of a graph: output ``idx``.

    >>> Output(0) == Output(0), Output(0) == Output(1)
    (True, False)
    """

    idx: int

    def __repr__(self) -> str:
        return f"Output({self.idx})"


class OutputClient(str):
    """Who reads an output of a graph: ``'output'``, as in Theano, with the ``op`` and ``inputs`` of PyTensor's node.

    >>> import fuse.tensor as T
    >>> client = OutputClient(0, T.dvector("x"))
    >>> client == "output", client.op, client.inputs
    (True, Output(0), [x])
    """

    op: Output
    inputs: list[Expr]
    outputs: list[Expr]

    def __new__(cls, place: int, variable: Expr) -> OutputClient:
        self = super().__new__(cls, "output")
        self.op, self.inputs, self.outputs = Output(place), [variable], []
        return self


class Clients(dict[Expr, list[tuple[Any, int]]]):
    """Who reads each variable, as PyTensor's dict; called with a variable, as Theano's method."""

    def __call__(self, variable: Expr) -> list[tuple[Any, int]]:
        return self[variable]


class FunctionGraph:
    """Inputs, outputs and the applications between them. Formulas never change: ``replace`` gives it other outputs.

    ``clone=True`` puts new variables in the place of the inputs (``memo`` then tells what became of each variable).
    Without ``inputs`` they are all variables that the outputs read. ``features`` are watchers: objects with any of
    ``on_attach(graph)``, ``on_import(graph, node, reason)``, ``on_prune(graph, node, reason)``,
    ``on_change_input(graph, node, i, old, new, reason)``, ``validate(graph)`` and ``on_detach(graph)``.
    Raises FuseValueError for no outputs and for inputs that are formulas, MissingInputError for inputs that lack.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> graph = FunctionGraph([x], [T.exp(x) + 1])
    >>> graph.toposort(), graph.get_clients(x)
    ([exp(x), add(float64 vector, int8 scalar)], [(exp(x), 0)])
    """

    update_mapping: Any

    def __init__(
        self, inputs: Sequence[Expr] | None = None, outputs: Sequence[Expr] | None = None,
        features: Iterable[Any] | None = None, clone: bool = False, update_mapping: Any = None,
        memo: dict[Any, Any] | None = None, **_: Any,
    ) -> None:
        if outputs is None:
            raise FuseValueError("No outputs specified: FunctionGraph(inputs, outputs) takes lists of variables")
        outs = list(outputs)
        if inputs is None:
            inputs = [v for v in leaves(outs) if not isinstance(v, Constant)]
        made = [i for i in inputs if not i.is_leaf]
        if made and not clone:
            raise FuseValueError(
                f"One of the provided inputs is the output of an already existing node ({made[0]}): give the variables "
                f"that it is made of"
            )
        self._start(inputs, outs)
        known = set(self.inputs)
        for leaf in expr_toposort(outs, known=self.inputs):
            if leaf.op is INPUT and leaf not in known:
                raise MissingInputError(f"the graph reads {leaf}, which is none of its inputs {self.inputs}")
        if clone:
            equal = self._renewed()
            if memo is not None:
                memo.update(equal)
        self.update_mapping = update_mapping
        for feature in features or ():
            self.attach_feature(feature)

    @classmethod
    def of(cls, inputs: Sequence[Expr], outputs: Sequence[Expr]) -> FunctionGraph:
        """The graph of a function: whatever its inputs and outputs are."""
        self = object.__new__(cls)
        self._start(inputs, outputs)
        self.update_mapping = None
        return self

    def _start(self, inputs: Sequence[Expr], outputs: Sequence[Expr]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self._replaced: list[dict[Expr, Expr]] = []
        self._features: list[Any] = []
        self._beside: list[Expr] = []  # imported, but read by nothing yet

    def _renewed(self) -> dict[Any, Any]:
        """Put new variables in the place of the inputs; what becomes of each variable and application."""
        before = [*self.outputs, *self._beside]
        order = list(dict.fromkeys([*self.inputs, *expr_toposort(before, known=self.inputs)]))
        fresh, found = clone(self.inputs, order)
        equal: dict[Any, Any] = dict(zip(order, found, strict=True))
        equal.update({v.owner: equal[v].owner for v in order if not v.is_leaf and not equal[v].is_leaf})
        self.inputs = fresh
        self.outputs = [equal[o] for o in self.outputs]
        self._beside = [equal[o] for o in self._beside]
        return equal

    # ---------------------------------------------------------------- what it is made of
    def toposort(self) -> list[Apply]:
        """The applications, each after those it reads."""
        return applications([*self.outputs, *self._beside], self.inputs)

    @property
    def apply_nodes(self) -> set[Apply]:
        return set(self.toposort())

    @property
    def variables(self) -> set[Expr]:
        found = {*self.inputs, *expr_toposort([*self.outputs, *self._beside], known=self.inputs)}
        return found | {o for node in self.toposort() for o in node.outputs}

    @property
    def clients(self) -> Clients:
        """Who reads each variable: pairs of an application (or of 'output') and the number of its input (output)."""
        order = self.toposort()
        found = Clients({v: [] for v in self.inputs})
        for node in order:
            for k, v in enumerate(node.inputs):
                found.setdefault(v, []).append((node, k))
            for v in node.outputs:
                found.setdefault(v, [])
        for k, v in enumerate(self.outputs):
            found.setdefault(v, []).append((OutputClient(k, v), k))
        return found

    def get_clients(self, var: Expr) -> list[tuple[Any, int]]:
        """Who reads ``var``: pairs of an application (or of 'output') and the number of its input (output)."""
        return self.clients[var]

    def orderings(self) -> dict[Apply, list[Apply]]:
        """What comes before applications beside what they read: nothing."""
        return {}

    def check_integrity(self) -> None:
        """Theano's graphs can come apart; these are found from their outputs each time."""

    def __contains__(self, item: object) -> bool:
        return item in (self.apply_nodes if isinstance(item, Apply) else self.variables)

    def __str__(self) -> str:
        return f"[{', '.join(as_string(self.inputs, self.outputs))}]"

    def __repr__(self) -> str:
        return f"FunctionGraph({', '.join(as_string(self.inputs, self.outputs))})"

    def dprint(self, **options: Any) -> Any:
        """``debugprint`` of the outputs."""
        from fuse.printing.debug import debugprint

        return debugprint(self.outputs, **options)

    # ---------------------------------------------------------------- changes
    def replace(
        self, r: Expr, new_r: Expr, reason: Any = None, verbose: bool | None = None, import_missing: bool = False
    ) -> None:
        """Put ``new_r`` in the place of ``r``; nothing happens where the graph has no ``r``.

        Both may come from ``toposort`` of before earlier replacements. Raises FuseTypeError where dtype or rank differ
        and MissingInputError where ``new_r`` reads a variable that is no input (``import_missing`` makes it one).

        >>> import fuse.tensor as T
        >>> x = T.dvector("x")
        >>> graph = FunctionGraph([x], [T.exp(x) + 1])
        >>> graph.replace(T.exp(x), T.sin(x))
        >>> graph.outputs
        [sin(x) + 1]
        """
        for earlier in self._replaced:
            r, new_r = substitute([r, new_r], earlier)
        if not fits(r, new_r):
            raise FuseTypeError(f"a {r.type.describe()} cannot be replaced by a {new_r.type.describe()}")
        if verbose:
            print(f"rewriting: rewrite {reason} replaces {r} of {r.owner} with {new_r} of {new_r.owner}")
        if r is new_r or r not in self.variables:
            return
        self._need(new_r, import_missing)
        before, readers = self._watched(), self.clients[r] if self._features else []
        self._replaced.append({r: new_r})
        self.outputs = substitute(self.outputs, {r: new_r})
        self._beside = substitute(self._beside, {r: new_r})
        self._tell(before, reason, [(node, k, r, new_r) for node, k in readers])

    def replace_all(self, pairs: Iterable[tuple[Expr, Expr]], reason: Any = None, **options: Any) -> None:
        """Several replacements, one after the other."""
        for r, new_r in pairs:
            self.replace(r, new_r, reason, **options)

    def replace_validate(self, r: Expr, new_r: Expr, reason: Any = None, **options: Any) -> None:
        """``replace``, undone where the ``validate`` of a feature raises."""
        self.replace_all_validate([(r, new_r)], reason, **options)

    def replace_all_validate(self, pairs: Iterable[tuple[Expr, Expr]], reason: Any = None, **options: Any) -> None:
        """``replace_all``, undone as a whole where the ``validate`` of a feature raises, or a pair does not fit."""
        before = self.checkpoint()
        try:
            self.replace_all(pairs, reason, **options)
            self.validate()
        except Exception:
            self.revert(before)
            raise

    def replace_all_validate_remove(
        self, pairs: Iterable[tuple[Expr, Expr]], remove: Iterable[Expr], reason: Any = None, **options: Any
    ) -> None:
        """``replace_all_validate``, undone, with ReplacementDidntRemovedError, where it leaves some of ``remove``."""
        before = self.checkpoint()
        self.replace_all_validate(pairs, reason, **options)
        left = [v for v in remove if v in self.variables]
        if left:
            self.revert(before)
            raise ReplacementDidntRemovedError(f"after the replacement ({reason}) the graph still has {left[0]}")

    def change_node_input(
        self, node: Any, i: int, new_var: Expr, reason: Any = None, import_missing: bool = False, check: bool = True
    ) -> None:
        """Let application ``node`` read ``new_var`` as input ``i``: another takes the place of its outputs.

        'output', or a client that is one, stands for what reads the outputs: ``new_var`` becomes output ``i``.
        """
        if isinstance(node, str):
            place = node.op.idx if isinstance(node, OutputClient) else i
            if not fits(self.outputs[place], new_var):
                raise FuseTypeError(f"an output cannot become a {new_var.type.describe()}")
            self._need(new_var, import_missing)
            before, old = self._watched(), self.outputs[place]
            self.outputs[place] = new_var
            self._tell(before, reason, [(node, place, old, new_var)])
            return
        given = [new_var if k == i else v for k, v in enumerate(node.inputs)]
        if not fits(node.inputs[i], new_var):
            raise FuseTypeError(f"input {i} of {node} cannot become a {new_var.type.describe()}")
        changed = node.clone_with_new_inputs(given)
        self.replace_all(zip(node.outputs, changed.outputs, strict=True), reason, import_missing=import_missing)

    change_input = change_node_input

    def add_input(self, var: Expr, check: bool = True) -> None:
        """One more input."""
        if var not in self.inputs:
            self.inputs.append(var)

    def add_output(self, var: Expr, reason: Any = None, import_missing: bool = False) -> None:
        """One more output."""
        self._need(var, import_missing)
        before = self._watched()
        self.outputs.append(var)
        self._tell(before, reason)

    def remove_output(self, output_idx: int, reason: Any = None) -> None:
        """One output less, with what nothing else needs."""
        before = self._watched()
        self.outputs.pop(output_idx)
        self._tell(before, reason)

    def remove_input(self, input_idx: int, reason: Any = None) -> None:
        """One input less, with the outputs that read it."""
        before, gone = self._watched(), self.inputs[input_idx]
        self.outputs = [o for o in self.outputs if gone not in leaves([o])]
        self._beside = [o for o in self._beside if gone not in leaves([o])]
        self.inputs.pop(input_idx)
        self._tell(before, reason)

    def remove_node(self, node: Apply, reason: Any = None) -> None:
        """Without an application, and without the outputs that need it."""
        before, gone = self._watched(), set(node.outputs)
        self.outputs = [o for o in self.outputs if not gone.intersection(expr_toposort([o]))]
        self._beside = [o for o in self._beside if not gone.intersection(expr_toposort([o]))]
        self._tell(before, reason)

    def import_var(self, var: Expr, reason: Any = None, import_missing: bool = False) -> None:
        """Take a variable in, with what it is made of, before anything reads it."""
        self._need(var, import_missing)
        if var not in self.variables:
            before = self._watched()
            self._beside.append(var)
            self._tell(before, reason)

    def import_node(
        self, apply_node: Apply, check: bool = True, reason: Any = None, import_missing: bool = False
    ) -> None:
        """Take an application in, with what it reads, before anything reads it."""
        for var in apply_node.outputs:
            self.import_var(var, reason, import_missing)

    def _need(self, var: Expr, import_missing: bool) -> None:
        """Check that ``var`` reads inputs, or variables that the graph reads already, or take them as inputs."""
        known = {*self.inputs, *leaves(self.outputs)}
        lacking = [v for v in leaves([var]) if v.op is INPUT and v not in known]
        if lacking and not import_missing:
            raise MissingInputError(f"the graph would read {lacking[0]}, which is none of its inputs {self.inputs}")
        self.inputs += lacking

    def checkpoint(self) -> Any:
        """What ``revert`` needs."""
        return list(self.inputs), list(self.outputs), list(self._replaced), list(self._beside)

    def revert(self, checkpoint: Any) -> None:
        """The graph as it was."""
        before = self._watched()
        self.inputs, self.outputs, self._replaced, self._beside = map(list, checkpoint)
        self._tell(before, "revert")

    def validate(self) -> None:
        """Let every feature with a ``validate`` look at the graph; they raise."""
        self.execute_callbacks("validate")

    def consistent(self) -> bool:
        """Whether no feature's ``validate`` raises."""
        try:
            self.validate()
        except Exception:
            return False
        return True

    def clone(self, check_integrity: bool = True, attach_feature: bool = True) -> FunctionGraph:
        """Another graph of the same formulas, with the same features."""
        return self.clone_get_equiv(check_integrity, attach_feature)[0]

    def clone_get_equiv(
        self, check_integrity: bool = True, attach_feature: bool = True, **_: Any
    ) -> tuple[FunctionGraph, dict[Any, Any]]:
        """A copy on new inputs, and what became of each variable and application."""
        other = type(self).of(self.inputs, self.outputs)
        other._beside = list(self._beside)
        equal = other._renewed()
        for feature in self._features if attach_feature else ():
            other.attach_feature(feature)
        return other, equal

    copy = clone

    # ---------------------------------------------------------------- who watches
    def attach_feature(self, feature: Any) -> None:
        """Let ``feature`` watch the graph: its ``on_attach``, then its ``on_import`` for what is there."""
        if any(feature is f for f in self._features):
            return
        attach = getattr(feature, "on_attach", None)
        if attach is not None:
            try:
                attach(self)
            except AlreadyThere:
                return
        self._features.append(feature)

    def remove_feature(self, feature: Any) -> None:
        """Let ``feature`` watch no more."""
        kept = [f for f in self._features if f is not feature]
        if len(kept) < len(self._features):
            self._features = kept
            detach = getattr(feature, "on_detach", None)
            if detach is not None:
                detach(self)

    def execute_callbacks(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Call ``name(graph, ...)`` of every feature that has it."""
        self.collect_callbacks(name, *args, **kwargs)

    def collect_callbacks(self, name: str, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """What ``name(graph, ...)`` of every feature that has it returns."""
        found: dict[Any, Any] = {}
        for feature in self._features:
            call: Callable[..., Any] | None = getattr(feature, name, None)
            if call is not None:
                found[feature] = call(self, *args, **kwargs)
        return found

    def _watched(self) -> list[Apply]:
        return self.toposort() if self._features else []

    def _tell(self, before: list[Apply], reason: Any, changed: Sequence[tuple[Any, int, Expr, Expr]] = ()) -> None:
        """Tell the features what came, what reads something else, and what went."""
        if not self._features:
            return
        after = self.toposort()
        there, here = set(before), set(after)
        for node in after:
            if node not in there:
                self.execute_callbacks("on_import", node, reason)
        for node, k, old, new in changed:
            self.execute_callbacks("on_change_input", node, k, old, new, reason=reason)
        for node in reversed(before):
            if node not in here:
                self.execute_callbacks("on_prune", node, reason)
