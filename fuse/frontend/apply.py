"""Apply: Theano's view of a node, ``variable.owner`` with its ``op``, ``inputs`` and ``outputs``."""
from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from fuse.errors import FuseIndexError, FuseTypeError
from fuse.expr import INPUT, Constant, Expr, TensorVariable, as_expr, interned, make, rebuild, variable
from fuse.frontend.parts import parts
from fuse.notes import noted, notes
from fuse.typebase import Type


class Apply:
    """An op applied to inputs, with its outputs.

    A user's ``make_node`` makes one from its op, the inputs and one variable per output, of which only the type
    counts: ``Apply(self, [x], [x.type()])``; one of a subclass of TensorVariable becomes the output itself.
    ``variable.owner`` gives an Apply for every expression that is no leaf.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> node = T.exp(x).owner
    >>> node.op, node.inputs[0] is x, node.outputs[0] is T.exp(x)
    (exp, True, True)
    """

    __slots__ = ("node", "op", "inputs", "outputs", "is_new", "__weakref__")

    def __init__(self, op: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        args = tuple(map(as_expr, _listed(op, "inputs", inputs)))
        types = []
        for output in _listed(op, "outputs", outputs):
            type_ = getattr(output, "type", output)
            if not isinstance(type_, Type):
                raise FuseTypeError(f"the outputs of Apply({op}, ...) are variables (x.type()), not {output!r:.60}")
            types.append(type_)
        record = op._record() if hasattr(op, "_record") else op
        self.is_new = (record, args, ()) not in interned  # else its line is that of an earlier application
        node = op._node_of(args, types) if hasattr(op, "_node_of") else make(op, args)
        self.node, self.op, self.inputs, self.outputs = node, op, list(args), parts(node)
        for made, given in zip(self.outputs, outputs, strict=True):
            if isinstance(given, Expr) and given.op is INPUT and type(given) is not TensorVariable:
                self.outputs[self.outputs.index(made)] = _become(given, made)
            elif made.name is None:
                made.name = getattr(given, "name", None)
        if self.is_new:
            self._kept()

    @classmethod
    def _view(cls, node: Expr) -> Apply:
        self = object.__new__(cls)
        self.is_new = False
        self.node = node
        self.op = node.op.meta.get("instance", node.op)
        self.inputs = list(node.args)
        self.outputs = parts(node)
        return self

    def _kept(self) -> Apply:
        """This view, which ``owner`` gives again as long as somebody holds it."""
        notes(self.node)["owner"] = weakref.ref(self)
        return self

    @property
    def nin(self) -> int:
        return len(self.inputs)

    @property
    def nout(self) -> int:
        return len(self.outputs)

    @property
    def out(self) -> Expr:
        """The output that calling the op returns."""
        return self.default_output()

    @property
    def params(self) -> Any:
        """The parameters of the node (``axis=...``, ``dtype=...``)."""
        return self.node.params

    @property
    def tag(self) -> SimpleNamespace:
        return self.node.tag

    def default_output(self) -> Expr:
        """The op's ``default_output``, or the only output."""
        index, count = getattr(self.op, "default_output", None), len(self.outputs)
        if index is None and count != 1:
            raise FuseTypeError(f"{self.op}: Multi-output Op without default_output: take one of its {count} outputs")
        if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
            raise FuseTypeError(f"the default_output of {self.op} is an integer, not {index!r}")
        if not -count <= (index or 0) < count:
            raise FuseIndexError(f"{self.op} has {count} outputs, and default_output={index}")
        return self.outputs[index or 0]

    def clone_with_new_inputs(self, inputs: Sequence[Any], strict: bool = True) -> Apply:
        """The same op on other inputs."""
        return Apply._view(rebuild(self.node, list(map(as_expr, inputs))))

    def get_parents(self) -> list[Expr]:
        """The inputs: a step towards the leaves, as that of an expression is."""
        return list(self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Apply) and self.node is other.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(i.name or i.type.describe() for i in self.inputs)})"


def _become(own: Expr, made: Expr) -> Expr:
    """``own``, an input of a class of the user's, from now on computed as ``made`` is."""
    if any(own in node.args for node in tuple(interned.values())):
        raise FuseTypeError(f"{own} is part of other expressions already: what computes it is said before it is used")
    interned.pop((own.op, own.params["uid"]), None)
    own.op, own.args, own.params, own.type, own._cache = made.op, made.args, made.params, made.type, None
    return own


def _listed(op: Any, what: str, values: Any) -> Sequence[Any]:
    if not isinstance(values, (list, tuple)):
        raise FuseTypeError(f"the {what} of Apply({op}, ...) are a list, not {type(values).__name__}")
    return values


def owner(expr: Expr) -> Apply | None:
    """The application that made ``expr``; None for an input, a constant or a shared variable."""
    if expr.is_leaf:
        return None
    node = expr.args[0] if expr.op.name == "part" else expr
    known = noted(node, "owner")
    found: Apply | None = known() if known else None
    return found or Apply._view(node)._kept()


def get_parents(expr: Expr) -> list[Apply]:
    """The application that made ``expr``, in a list; an empty one for a leaf."""
    made = owner(expr)
    return [] if made is None else [made]


def output_index(expr: Expr) -> int | None:
    """Which of its owner's outputs ``expr`` is; None for a leaf."""
    if expr.is_leaf:
        return None
    return int(expr.params["i"]) if expr.op.name == "part" else 0


def clone_variable(expr: Expr, name: str | None = None) -> Expr:
    """A new input variable of the same type and name; a constant stays itself."""
    if isinstance(expr, Constant):
        return expr
    return variable(expr.type, name or expr.name)


def equals(expr: Expr, other: Any) -> bool:
    """Whether ``other``, a value or an expression, is the same formula; constants are by type and value."""
    return as_expr(other) is expr


def signature(constant: Constant) -> tuple[Any, ...]:
    """The type and the bytes of a constant: equal for equal ones, NaN included."""
    return constant.type, constant.data.tobytes()


for _name, _member in (
    ("owner", property(owner)), ("index", property(output_index)), ("clone", clone_variable), ("equals", equals),
    ("get_parents", get_parents),
):
    setattr(Expr, _name, _member)
Constant.signature = signature  # type: ignore[attr-defined]
