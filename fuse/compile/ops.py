"""Theano's ``compile.ops``: ops that concern the machinery more than mathematics."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.expr import Expr
from fuse.frontend.apply import Apply
from fuse.frontend.as_op import FromFunctionOp as FromFunctionOp
from fuse.frontend.as_op import as_op as as_op
from fuse.frontend.class_op import Op
from fuse.internals import lookup as _lookup


class ViewOp(Op):
    """The identity; a base for ops that change only the gradient.

    >>> import fuse, fuse.tensor as T
    >>> class Reverse(ViewOp):
    ...     def grad(self, inputs, output_grads):
    ...         return [-output_grads[0]]
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(3 * Reverse()(x), x).eval({x: 1.0}))
    -3.0
    """

    __props__ = ()
    view_map = {0: [0]}
    exact_types = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "perform" in cls.__dict__:  # which need not keep the sizes
            cls.exact_types = bool(cls.__dict__.get("exact_types", False))

    def _record(self) -> Any:
        record = super()._record()
        if type(self).perform is ViewOp.perform:  # in a function, where all gradients are taken, it says nothing
            record.meta["for_gradients"] = True
        return record

    def _node_of(self, args: tuple[Expr, ...], types: Sequence[Any]) -> Expr:
        same = self.exact_types and type(self).make_node is ViewOp.make_node
        return super()._node_of(args, [args[0].type] if same else types)

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        output_storage[0][0] = inputs[0]

    def infer_shape(self, node: Apply, shapes: list[Any]) -> list[Any]:
        return shapes

    def grad(self, inputs: list[Any], output_grads: list[Any]) -> list[Any]:
        return list(output_grads)

    def R_op(self, inputs: list[Any], eval_points: list[Any]) -> list[Any]:
        return list(eval_points)


view_op = ViewOp()


class DeepCopyOp(ViewOp):
    """The identity, with memory of its own.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> deep_copy_op(x).eval({x: [1.0, 2.0]})
    array([1., 2.])
    """

    view_map: dict[int, list[int]] = {}
    exact_types = True

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        output_storage[0][0] = inputs[0].copy()


deep_copy_op = DeepCopyOp()

__getattr__ = _lookup(__name__)
