"""Products of small matrices and vectors, which a loop has done before NumPy's dot has looked at its arguments.

There is one kernel for each dtype and form, for contiguous arrays and any sizes. It refuses what is large enough for
BLAS to be faster, and whatever NumPy must judge; so which of the two serves depends on sizes and layouts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from fuse.codegen.calls import product_call, remembered
from fuse.codegen.native import ArgType
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Array = Any

# How many multiplications are done here at most, by the rank of the result: up to there the loop takes no longer than
# three quarters of what NumPy's dot takes, and mostly a quarter.
SMALL = (2048, 1024, 512)
VECTOR, MATRIX, TRANSPOSED = range(3)
_NAMES = {VECTOR: ("n1",), MATRIX: ("n0", "n1"), TRANSPOSED: ("n1", "n0")}


def form_of(arg: Expr) -> tuple[int, Expr]:
    """What an operand of a product is, and of which array: a transposed matrix is read from the matrix."""
    if arg.op.name == "dimshuffle" and arg.params["pattern"] == (1, 0) and arg.args[0].type.ndim == 2:
        return TRANSPOSED, arg.args[0]
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


def source_of(left: int, right: int) -> str:
    """The kernel for these forms of the operands."""
    a = {VECTOR: "k", MATRIX: "i * n1 + k", TRANSPOSED: "k * n0 + i"}[left]
    b = {VECTOR: "k", MATRIX: "k * n2 + j", TRANSPOSED: "j * n1 + k"}[right]
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
        f"if {count} > {SMALL[rows + columns]}:",
        "    return -1",
    ]
    indent = ""
    for name, size, wanted in (("i", "n0", rows), ("j", "n2", columns)):
        if wanted:
            lines.append(f"{indent}for {name} in range({size}):")
            indent += "    "
    at = "i * n2 + j" if rows and columns else "i" if rows else "j" if columns else "0"
    lines += [
        f"{indent}total = zero",
        f"{indent}for k in range(n1):",
        f"{indent}    total = radd(total, load(a0, {a}) * load(a1, {b}))",
        f"{indent}store(a2, {at}, total)",
        "return 0",
    ]
    return "def kernel(a0, a1, a2):\n" + "".join(f"    {line}\n" for line in lines)


class SmallProduct:
    """The kernel for one dtype and form; compiled when small operands come, or a function is called often."""

    def __init__(self, dtype: str, left: int, right: int) -> None:
        self.dtype, self.left, self.right = dtype, left, right
        self.kernel: Callable[..., int] | None = None
        self.rank = (left != VECTOR) + (right != VECTOR)

    def __call__(self, a: Array, b: Array, out: Array) -> int:
        if self.kernel is None and a.size * (b.shape[self.right == MATRIX] if b.ndim == 2 else 1) > SMALL[self.rank]:
            return 1
        return self.compiled()(a, b, out)

    def compiled(self) -> Callable[..., int]:
        if self.kernel is None:
            from fuse.codegen.load import compile_kernel

            types = [ArgType(self.dtype, 1 if form == VECTOR else 2) for form in (self.left, self.right)]
            zero = "float32(0.0)" if self.dtype == "float32" else "0.0"
            text = source_of(self.left, self.right).replace("total = zero", f"total = {zero}")
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
    """NumPy's dot into its third argument, whose errors tell of the node and the user's line."""
    product = product_call(node)
    if TRANSPOSED not in (left, right):
        return product

    def call(a: Array, b: Array, out: Array) -> Any:
        return product(a.T if left == TRANSPOSED else a, b.T if right == TRANSPOSED else b, out)

    return call


# ---------------------------------------------------------------- in the wrapper
def write_product(writer: Writer, node: Expr, name: str, arguments: list[str]) -> None:
    """NumPy's dot as a step of the wrapper."""
    call = writer.give("call", product_call(node))
    plain = f"{call}({', '.join(arguments)})"
    if node.type.ndim == 0:
        writer.line(f"{name} = asarray({plain})")
        return
    small = writer.is_small(node)
    fresh = f"recycled({writer.shape_text(node)}, {writer.dtype(node.type.dtype)})"
    into = f"{call}({', '.join([*arguments, fresh])})"
    made = plain if not small else f"{plain} if {small} else {into}"
    if node in writer.given:
        out = writer.given[node]
        straight = f"{call}({', '.join([*arguments, out])})"
        made = f"{straight} if {_fits(writer, node)} else {made}"
    writer.line(f"{name} = {made}")


def write_small_product(writer: Writer, node: Expr, name: str) -> None:
    """A product of operands that may be small: by a loop of ours, and by NumPy's dot where that refuses."""
    (left, a), (right, b) = map(form_of, node.args)
    made = writer.empty_text(node)
    if node in writer.given:
        made = f"{writer.given[node]} if {_fits(writer, node)} else {made}"
    arguments = ", ".join([writer.materialised(a), writer.materialised(b), name])
    writer.line(f"{name} = {made}")
    small = writer.give("small", small_product(node.type.dtype, left, right))
    call = writer.give("call", product_into(node, left, right))
    writer.line(f"if {small}({arguments}): {call}({arguments})")
    writer.owned.add(node)
    writer.env[node] = name


def _fits(writer: Writer, node: Expr) -> str:
    return f"fits_product({writer.given[node]}, {writer.shape_text(node)}, {writer.apart()})"
