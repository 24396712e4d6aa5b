"""Products added to what is there: ``C + alpha * A @ B`` as one call of BLAS, which adds to the memory of ``C``.

As a product and a kernel that adds it, the same takes an array for the product and two more passes over memory. So it
is done where the sum is a result, or the first operand is a product too (``x @ W + h @ U``): where another kernel reads
the sum, adding it up there is free. The kernels of the step are in fuse.codegen.added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import blas
from fuse.codegen.added import added_product, sum_of_product
from fuse.codegen.expand import replaced, settle
from fuse.codegen.inplace import fails_later, old_value
from fuse.codegen.overwrite import changed_input
from fuse.codegen.products import form_of, is_product
from fuse.codegen.region import see_through
from fuse.codegen.sizes import Sizes
from fuse.codegen.written import readers_of
from fuse.expr import INPUT, SHARED, Constant, Expr, constant, toposort
from fuse.op import Op
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Array = Any


def _values(c: Array, a: Array, b: Array, alpha: Array, *, sign: int) -> Array:
    return c + sign * alpha * np.dot(a, b)


def _in_place(c: Array, a: Array, b: Array, alpha: Array, *, sign: int) -> None:
    c[...] = _values(c, a, b, alpha, sign=sign)


# ``c + sign * alpha * a @ b``, of matrices of one dtype: a step of plans, which no formula of users has.
ADD_PRODUCT = Op(
    name="add_product", kind="opaque", numpy=_values, infer=lambda c, a, b, alpha, **_: c.type,
    shape=lambda node, c, a, b, alpha: c, meta={"inplace": _in_place}, doc="A matrix plus a multiple of a product.",
)


# ---------------------------------------------------------------- which sums
def with_accumulation(
    outputs: Sequence[Expr], sizes: Sizes, equal: Sequence[tuple[Expr, Expr]]
) -> tuple[list[Expr], Sizes]:
    """``outputs`` with sums of matrices and products as single steps, and their sizes."""
    order = toposort(outputs)
    if sum(is_product(n) and n.type.ndim == 2 for n in order) == 0:
        return list(outputs), sizes
    readers, kept = readers_of(order), set(outputs)
    found: dict[Expr, tuple[Expr, Expr, Expr, int]] = {}
    for node in order:
        if node.op.name in ("add", "sub") and node.type.ndim == 2 and node.type.dtype in blas.LETTERS:
            parts = _parts(node, found, readers, kept, sizes)
            if parts is not None:
                found[node] = parts
    if not found or any(blas.address(f"{blas.PREFIX}{letter}gemm") is None for letter in "sd"):
        return list(outputs), sizes

    def step(node: Expr, new: dict[Expr, Expr]) -> Expr | None:
        if node not in found:
            return None
        c, product, alpha, sign = found[node]
        a, b = [new[arg] for arg in product.args]
        return ADD_PRODUCT(new[c], a, b, new.get(alpha, alpha), sign=sign)

    return settle(replaced(outputs, step), equal)


def _parts(
    node: Expr, found: dict[Expr, Any], readers: dict[Expr, list[Expr]], kept: set[Expr], sizes: Sizes
) -> tuple[Expr, Expr, Expr, int] | None:
    """(what is added to, the product, its factor, the factor's sign) of a sum that is a single step; else None."""
    pairs = [(node.args[0], node.args[1], 1 if node.op.name == "add" else -1)]
    if node.op.name == "add":
        pairs.append((node.args[1], node.args[0], 1))
    for c, term, sign in pairs:
        alone = [n for n in (term, c) if len(readers[n]) == 1 and n not in kept]
        scaled = _scaled(term, readers, kept) if term in alone else None
        if scaled is None or c.type.dtype != node.type.dtype or c.type.ndim != 2:
            continue
        if any(sizes.find(n) != sizes.find(m) for n, m in zip(sizes.of[c], sizes.of[node], strict=True)):
            continue
        sum_of_products = c in alone and (is_product(c) or c in found)
        read_as_whole = all(r.op.name == "dot" for r in readers[node]) and bool(readers[node] or node in kept)
        free = c.op in (INPUT, SHARED) or c in alone and c.op.kind == "elementwise"
        if sum_of_products or read_as_whole and free:
            product, alpha, minus = scaled
            return c, product, alpha, sign * minus
    return None


def _scaled(term: Expr, readers: dict[Expr, list[Expr]], kept: set[Expr]) -> tuple[Expr, Expr, int] | None:
    """(product, factor, sign) of a term ``factor * product`` of which nobody reads the product alone; else None."""
    dtype, sign = term.type.dtype, 1
    alpha: Expr = constant(1.0, dtype=dtype)
    if term.op.name == "neg":
        term, sign = term.args[0], -1
    if term.op.name == "mul":
        scalars = [a for a in map(_scalar, term.args) if a is not None]
        if len(scalars) != 1:
            return None
        (alpha,) = scalars
        (term,) = [a for a in term.args if _scalar(a) is None]
        if isinstance(alpha, Constant):
            alpha = constant(np.asarray(alpha.data, dtype), dtype=dtype)
    if not is_product(term) or term.type.ndim != 2 or alpha.type.dtype != dtype or term.type.dtype != dtype:
        return None
    return (term, alpha, sign) if len(readers[term]) == 1 and term not in kept else None


def _scalar(value: Expr) -> Expr | None:
    """The number that ``value`` repeats in all places; None for others."""
    while value.op.name == "dimshuffle":
        value = value.args[0]
    return value if isinstance(value.type, TensorType) and not value.type.ndim else None


# ---------------------------------------------------------------- the step
def write_sum(writer: Writer, node: Expr, position: int) -> None:
    """Emit the step."""
    c, a, b, alpha = node.args
    (left, first), (right, second) = [form_of(writer, v) for v in (a, b)]
    old, *rest = [writer.materialised(v) for v in (c, first, second, alpha)]
    name, made = writer.fresh("t"), writer.empty_text(node)
    free = {see_through(v, writer.sizes).base for v in (a, b)}
    target = _updated(writer, node, position)
    over = None
    if target is not None:
        made = old_value(writer, target, made)
        writer.in_place.add(node)
    elif node in writer.given:
        out = writer.given[node]
        made = f"{out} if fits_product({out}, {writer.shape_text(node)}, {writer.apart()}) else {made}"
    elif c in writer.owned and writer.last_use.get(c) == position and c not in writer.changed and c not in free:
        writer.changed.add(c)
        made = old
    elif c.is_leaf and c not in free:
        over = changed_input(writer, c, position, None)
    writer.line(f"{name} = {over or made}")
    dtype, sign = node.type.dtype, node.params["sign"]
    kernel = writer.give("small", added_product(dtype, left, right, sign))
    general = writer.give("call", sum_of_product(dtype, left, right, sign))
    arguments = ", ".join([old, *rest, name])
    writer.line(f"if {kernel}({arguments}): {general}({arguments})")
    writer.env[node] = name
    writer.owned.add(node)


def _updated(writer: Writer, node: Expr, position: int) -> Expr | None:
    """The shared variable that the step may change as it stands; else None."""
    target = node.args[0]
    if writer.updated.get(node) is not target or writer.program.takes_outputs or fails_later(writer, position):
        return None
    if writer.last_use.get(target) != position:
        return None
    return None if target in [see_through(v, writer.sizes).base for v in node.args[1:]] else target
