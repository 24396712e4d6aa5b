"""What rules may ask about while a graph is rewritten, and the trace of what fired."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fuse.expr import Expr, constant, make, toposort
from fuse.frozen import dataclass
from fuse.op import OPS
from fuse.rewrite.chains import FAMILY, Chain
from fuse.rewrite.match import cast
from fuse.rewrite.pattern import Procedure, Rule
from fuse.rewrite.sizes import same_size

ShapeOf = Callable[[Expr], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Fired:
    """One firing of a rule, for ``explain``; prints itself only when asked.

    >>> import fuse.tensor as T
    >>> from fuse.rules import simplify
    >>> x = T.scalar("x")
    >>> trace = []
    >>> simplified = simplify(T.log(1 + x), trace=trace)
    >>> trace[0].rule.name
    '1: log(1 + x)'
    """

    rule: Rule | Procedure
    before: Expr
    after: Expr

    @property
    def name(self) -> str:
        return self.rule.name

    def __str__(self) -> str:
        return f"{self.name}\n    {self.before}\n    -> {self.after}"


class Context:
    """What rules may ask about: shapes, frozen nodes, and which nodes only continue a chain of their one reader."""

    def __init__(self, shape_of: ShapeOf, frozen: Collection[Expr] = (), trace: list[Fired] | None = None) -> None:
        self.shape_of, self.frozen, self.trace = shape_of, frozenset(frozen), trace
        self.inner: set[Expr] = set()
        self.uses: dict[Expr, int] = {}
        self.opened: dict[str, tuple[Expr, tuple[Chain, Chain]]] = {}  # the last one of each family, see chains

    def read(self, outputs: Sequence[Expr]) -> list[Expr]:
        """Every node in order; count readers, and find the add/mul nodes whose one reader is of the same family."""
        order = toposort(outputs)
        uses: dict[Expr, int] = dict.fromkeys(outputs, 1)
        reader: dict[Expr, Expr] = {}
        for node in order:
            for arg in node.args[1:] if node.op.name == "fill" else node.args:  # models lend their shape alone
                uses[arg] = uses.get(arg, 0) + 1
                reader[arg] = node
        for node, parent in reader.items():
            if uses[node] > 1:
                continue
            family = FAMILY.get(node.op.name)
            if (
                family is not None
                and FAMILY.get(parent.op.name) == family
                and node.type.dtype == parent.type.dtype
            ):
                self.inner.add(node)
        self.uses = uses
        return order

    def same_shape(self, a: Expr, b: Expr) -> bool:
        """Whether ``a`` and ``b`` surely have the same shape at run time."""
        if a is b:
            return True
        sa, sb = a.type.shape, b.type.shape
        if len(sa) != len(sb):
            return False
        if None not in sa and None not in sb:
            return sa == sb
        if sa != sb:
            for m, n in zip(sa, sb, strict=True):
                if m is not None and n is not None and m != n:
                    return False
        sizes, others = self.shape_of(a), self.shape_of(b)
        if sizes is others:
            return True
        return all(m is n or same_size(m, n) for m, n in zip(sizes, others, strict=True))

    def conform(self, new: Expr, old: Expr, check: bool) -> Expr | None:
        """``new`` in the dtype and shape of ``old``, or None where that cannot be."""
        if new.type.dtype != old.type.dtype:
            new = cast(new, old.type.dtype)
        if (
            not check
            and new.type.ndim == old.type.ndim
            or new.type.shape == old.type.shape
            and None not in new.type.shape
        ):
            return new
        if new.type.ndim > old.type.ndim:
            return None
        if self.same_shape(new, old):
            return new
        for model in old.args if old.op.kind == "elementwise" else ():
            if model is not new and self.same_shape(model, old):
                return make(OPS["fill"], (shape_model(model, self), new))
        sizes = tuple([n if isinstance(n, Expr) else constant(n, dtype="int64") for n in self.shape_of(old)])
        return make(OPS["broadcast_to"], (new, *sizes))


def shape_model(model: Expr, context: Context) -> Expr:
    """A leaf-ward operand of the same shape as ``model``, so that its value need not be computed."""
    for _ in range(8):
        if model.op.kind != "elementwise":
            break
        smaller = next((a for a in model.args if context.same_shape(a, model)), None)
        if smaller is None:
            break
        model = smaller
    return model
