"""part: one result of a node that has several (a user's op, svd, scan)."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr
from fuse.op import Op, op_record
from fuse.types import TensorType, TupleType

# A node of TupleType and its parts, as every pass sees them:
# * at run time the value of the node is a tuple or list of arrays, and a part is one of them (a view, no copy);
# * the sweep collects the cotangents of the parts and calls the node's rule once:
#   ``grad(g, out, *args, **params)`` with ``g`` a tuple of Expr | DISCONNECTED, one entry per part;
# * ``shape(node, *arg_shapes)`` of such an op returns one tuple of sizes per part.


def _infer(node: Expr, *, i: int) -> TensorType:
    if not isinstance(node.type, TupleType):
        raise FuseTypeError(f"part {i} of a {node.type.describe()}: only a node with several results has parts")
    return node.type.elements[i]


def _shape(node: Expr, shapes: Any) -> Any:
    return shapes[node.params["i"]]


@op_record("view", numpy=lambda value, i: value[i], infer=_infer, shape=_shape)
def part(op: Op, node: Expr, i: int) -> Expr:
    """Result number ``i`` of a node with several results."""
    return op(node, i=i)


def parts(node: Expr) -> list[Expr]:
    """Every result of ``node``, in order: its parts, or the node itself where it has one result."""
    if isinstance(node.type, TupleType):
        return [part(node, i) for i in range(len(node.type.elements))]
    return [node]
