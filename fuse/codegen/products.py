"""Products of small matrices and vectors, which a loop has done before NumPy's dot has looked at its arguments.

There is one kernel for each dtype and form, for contiguous arrays and any sizes. It refuses what is large enough for
BLAS to be faster, and whatever NumPy must judge; so which of the two serves depends on sizes and layouts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import blas, tiles, vectors
from fuse.codegen.calls import product_call, remembered
from fuse.codegen.native import ArgType
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Array = Any

# How many multiplications are done here at most, by the rank of the result: up to there the loop takes no longer than
# three quarters of what NumPy's dot takes, and mostly a quarter.
SMALL = (2048, 4096, 2048)
BOTH_TRANSPOSED = 512  # at most, where the sum steps through both operands
VECTOR, MATRIX, TRANSPOSED = range(3)
_NAMES = {VECTOR: ("n1",), MATRIX: ("n0", "n1"), TRANSPOSED: ("n1", "n0")}


def form_of(writer: Writer, arg: Expr) -> tuple[int, Expr]:
    """What an operand of a product is, and of which array: a transposed matrix is read from the matrix."""
    base, views = writer.without_views(arg)
    if base.type.ndim == 2 and [(v.op.name, v.params.get("pattern")) for v in views] == [("dimshuffle", (1, 0))]:
        return TRANSPOSED, base
    return (MATRIX if arg.type.ndim == 2 else VECTOR), arg


def is_product(node: Expr) -> bool:
    """Whether ``node`` is a product that BLAS computes."""
    if node.op.name != "dot":
        return False
    dtype = node.type.dtype
    return dtype in ("float32", "float64") and all(a.type.dtype == dtype for a in node.args)


def can_be_small(node: Expr) -> bool:
    """Whether a product's sizes, as far as they are known, are small ones."""
    left, right = node.args
    count = 1
    for n in (*left.type.shape, *right.type.shape[1:]):
        count *= 1 if n is None else n
    return count <= SMALL[node.type.ndim]


def limit(left: int, right: int) -> int:
    """How many multiplications a product of these forms has at most that is done here."""
    return BOTH_TRANSPOSED if left == right == TRANSPOSED else SMALL[(left != VECTOR) + (right != VECTOR)]


def source_of(dtype: str, left: int, right: int) -> str:
    """The kernel for these forms of the operands."""
    rows, columns = left != VECTOR, right != VECTOR
    lines = [f"n1 = size(a0, {0 if left in (VECTOR, TRANSPOSED) else 1})"]
    if rows:
        lines.append(f"n0 = size(a0, {1 if left == TRANSPOSED else 0})")
    if columns:
        lines.append(f"n2 = size(a1, {0 if right == TRANSPOSED else 1})")
    first = " ".join(_NAMES[left])
    second = {VECTOR: "n1", MATRIX: "n1 n2", TRANSPOSED: "n2 n1"}[right]
    out = " ".join(["n0"] * rows + ["n2"] * columns)
    sizes = ", ".join(dict.fromkeys([*first.split(), *second.split()]))  # in the order in which layouts name them
    layouts = "; ".join([f"C {first}", f"C {second}", f"C {out}".rstrip()])
    count = " * ".join(["n1"] + ["n0"] * rows + ["n2"] * columns)
    lines += [
        f"status = refused('{layouts}', a0, a1, a2, {sizes})",
        "if status != 0:",
        "    return status",
        f"if {count} > {limit(left, right)}:",
        *["    " + line for line in _by_blas(dtype, left, right, count)],
        "    return -1",
        *lines_of(dtype, left, right, "a0", "a1", "a2"),
        "return 0",
    ]
    return "def kernel(a0, a1, a2):\n" + "".join(f"    {line}\n" for line in lines)


def _by_blas(dtype: str, left: int, right: int, count: str) -> list[str]:
    """A product for which BLAS has no threads: called from here it is done before NumPy has begun.

    It is the call that NumPy makes, as the first calls of a function go there: so are those of one row or column, and
    the product of a matrix and itself, for which it has other calls.
    """
    operands = {
        (MATRIX, VECTOR): "0, n0, n1, a0, a1", (TRANSPOSED, VECTOR): "1, n1, n0, a0, a1",
        (VECTOR, MATRIX): "1, n1, n2, a1, a0", (VECTOR, TRANSPOSED): "0, n2, n1, a1, a0",
    }.get((left, right))
    several, most = "n1 > 1", vectors.LEAST[vectors.ROWS]
    several += " and n0 > 1" * (left != VECTOR) + " and n2 > 1" * (right != VECTOR)
    if VECTOR not in (left, right):
        one, zero = ("float32(1.0)", "float32(0.0)") if dtype == "float32" else ("1.0", "0.0")
        rows = "n0" if left == TRANSPOSED else "n1", "n1" if right == TRANSPOSED else "n2"
        turned = (left == TRANSPOSED) + 2 * (right == TRANSPOSED)
        operands = f"{turned}, n0, n2, n1, {one}, a0, 0, {rows[0]}, a1, 0, {rows[1]}, {zero}"
        several, most = f"{several} and address(a0, 0) != address(a1, 0)", tiles.LEAST // 2
    call, target = ("gemv", "a2") if VECTOR in (left, right) else ("gemm", "a2, 0, n2")
    if operands is None or blas.address(f"{blas.PREFIX}{blas.LETTERS[dtype]}{call}") is None:
        return []
    return [f"if {count} < {most} and {several}:", f"    {call}({operands}, {target})", "    return 0"]


def lines_of(dtype: str, left: int, right: int, a: str, b: str, out: str) -> list[str]:
    """The lines of a product of these arrays.

    Where rows of an operand are contiguous they are added up, four in one pass; else each element is a sum along both.
    """
    zero = "float32(0.0)" if dtype == "float32" else "0.0"
    rows, columns = left != VECTOR, right != VECTOR
    first = {VECTOR: "{k}", MATRIX: "i * n1 + {k}", TRANSPOSED: "({k}) * n0 + i"}[left]
    second = {VECTOR: "{k}", MATRIX: "({k}) * n2 + j", TRANSPOSED: "j * n1 + {k}"}[right]
    if right == MATRIX:
        at = f"{out}, {'i * n2 + ' * rows}j"
        added = vectors.rows_added(zero, f"load({a}, {first})", f"load({b}, {second})", "j", "n2", at)
        return [f"for {i} in range(n0):" for i in "i" * rows] + ["    " * rows + line for line in added]
    if (left, right) == (TRANSPOSED, VECTOR):
        return vectors.rows_added(zero, f"load({b}, {second})", f"load({a}, {first})", "i", "n0", f"{out}, i")
    indent, lines = "", []
    for name, size, wanted in (("i", "n0", rows), ("j", "n2", columns)):
        if wanted:
            lines.append(f"{indent}for {name} in range({size}):")
            indent += "    "
    at = "i * n2 + j" if rows and columns else "i" if rows else "j" if columns else "0"
    product = f"load({a}, {first}) * load({b}, {second})".format(k="k")
    return [
        *lines, f"{indent}total = {zero}", f"{indent}for k in range(n1):",
        f"{indent}    total = radd(total, {product})", f"{indent}store({out}, {at}, total)",
    ]


class SmallProduct:
    """The kernel for one dtype and form; compiled when small operands come, or a function is called often."""

    def __init__(self, dtype: str, left: int, right: int) -> None:
        self.dtype, self.left, self.right = dtype, left, right
        self.kernel: Callable[..., int] | None = None
        self.rank = (left != VECTOR) + (right != VECTOR)

    def __call__(self, a: Array, b: Array, out: Array) -> int:
        count = a.size * (b.shape[self.right == MATRIX] if b.ndim == 2 else 1)
        if self.kernel is None and count > limit(self.left, self.right):
            return 1
        return self.compiled()(a, b, out)

    def compiled(self) -> Callable[..., int]:
        if self.kernel is None:
            from fuse.codegen.load import compile_kernel

            types = [ArgType(self.dtype, 1 if form == VECTOR else 2) for form in (self.left, self.right)]
            text = source_of(self.dtype, self.left, self.right)
            self.kernel = compile_kernel(text, "kernel", (*types, ArgType(self.dtype, self.rank, True)))
        return self.kernel


@cache
def _product(dtype: str, left: int, right: int) -> SmallProduct:
    return SmallProduct(dtype, left, right)


@remembered
def small_product(dtype: str, left: int, right: int) -> SmallProduct:
    """The kernel of products of this dtype, of operands of these forms."""
    return _product(dtype, left, right)


@remembered
def product_into(node: Expr, left: int, right: int) -> Callable[..., Any]:
    """The product into its third argument, by threads of ours or by NumPy's dot, whose errors tell of the node."""
    turned = (left == TRANSPOSED) + 2 * (right == TRANSPOSED)
    by_left, by_right = [vectors.ROWS if f == straight else vectors.COLUMNS
                         for f, straight in ((left, MATRIX), (right, TRANSPOSED))]

    def served(a: Array, b: Array, out: Array) -> bool:
        if left == right == VECTOR:
            return vectors.multiply(a, b, out, vectors.DOT)
        if VECTOR in (left, right) or 1 in out.shape and out.flags.c_contiguous:  # a row or a column is as a vector
            if left == VECTOR or right != VECTOR and out.shape[0] == 1:
                return vectors.multiply(b, a.reshape(-1), out.reshape(-1), by_right)
            return vectors.multiply(a, b.reshape(-1), out.reshape(-1), by_left)
        return tiles.multiply(a, b, out, turned)

    def by(dot: Callable[..., Any]) -> Callable[..., Any]:
        def call(a: Array, b: Array, out: Array) -> None:
            if not served(a, b, out):
                dot(a.T if left == TRANSPOSED else a, b.T if right == TRANSPOSED else b, out)

        return call

    made = by(product_call(node))
    made.plain = by(np.dot)  # type: ignore[attr-defined]
    return made


# ---------------------------------------------------------------- in the wrapper
def write_product(writer: Writer, node: Expr, name: str) -> None:
    """A product as a step of the wrapper: by a loop of ours where it may be small, or by `product_into`."""
    (left, a), (right, b) = [form_of(writer, arg) for arg in node.args]
    made = writer.empty_text(node)
    if node in writer.given:
        made = f"{writer.given[node]} if {_fits(writer, node)} else {made}"
    arguments = ", ".join([writer.materialised(a), writer.materialised(b), name])
    writer.line(f"{name} = {made}")
    call = f"{writer.give('call', product_into(node, left, right))}({arguments})"
    if can_be_small(node):
        small = writer.give("small", small_product(node.type.dtype, left, right))
        call = f"if {small}({arguments}): {call}"
    writer.line(call)
    writer.owned.add(node)
    writer.env[node] = name


def _fits(writer: Writer, node: Expr) -> str:
    return f"fits_product({writer.given[node]}, {writer.shape_text(node)}, {writer.apart()})"
