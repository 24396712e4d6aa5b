"""Regions: nodes that become one kernel, and how a region sees its operands through views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fuse.codegen.inline import kernel_cost
from fuse.codegen.sizes import Size, Sizes
from fuse.expr import Constant, Expr

REDUCTIONS = frozenset(("sum", "prod", "max", "min", "all", "any"))
GENERATORS = frozenset(("iota", "linear_index"))
SEEN_THROUGH = frozenset(("dimshuffle", "broadcast_to", "unbroadcast"))
MAX_BUFFERS = 40
# The operations of one kernel: compile time grows faster than linearly beyond about 1,000 statements, and with more
# than the square of the number of arrays. Where kernels would have many of these (a long formula and its gradient,
# which reads what it computed), they are planned again with fewer operations.
NODE_LIMITS = (500, 120, 60)
MAX_ARRAYS = 48
LIGHT = 2  # arithmetic on one array that is repeated in another kernel rather than written and read again
CHEAP = 6  # arithmetic on a smaller operand that is repeated rather than stored

AxisMap = tuple[int | None, ...]
Pattern = tuple[int | None, ...]

ACROSS = frozenset(("float64", "float32", "int64", "uint64", "complex64", "complex128"))  # dtypes added up in memory


def cost_of(node: Expr) -> int:
    """A rough count of arithmetic operations of one element; large for what must not be repeated."""
    if node.op.kind != "elementwise":
        return 1000
    return int(node.op.meta["cost"]) if "cost" in node.op.meta else kernel_cost(node.op)


@dataclass(frozen=True)
class Operand:
    """An argument seen through views: ``base``, and for each dimension of the argument the one of the base or None."""

    base: Expr
    pattern: Pattern


def see_through(arg: Expr, sizes: Sizes) -> Operand:
    """The operand that ``arg`` is once dimshuffles and broadcasts are looked through."""
    base = arg
    pattern: list[int | None] = list(range(arg.type.ndim))
    while base.op.name in SEEN_THROUGH:
        inner = base.args[0]
        if base.op.name == "dimshuffle":
            shuffle = base.params["pattern"]
            pattern = [None if d is None or shuffle[d] == "x" else shuffle[d] for d in pattern]
        elif base.op.name == "broadcast_to":
            offset = base.type.ndim - inner.type.ndim
            pattern = [None if d is None or d < offset else d - offset for d in pattern]
        base = inner
    own = sizes.of[base]
    return Operand(base, tuple([None if d is None or sizes.find(own[d]) == 1 else d for d in pattern]))


@dataclass(eq=False)
class Region:
    """Nodes computed in one kernel: ``amap`` maps each node's dimensions to axes, which have ``sizes``."""

    number: int
    sizes: list[Size] = field(default_factory=list)
    amap: dict[Expr, AxisMap] = field(default_factory=dict)
    domain: dict[Expr, AxisMap] = field(default_factory=dict)  # of reductions: axes of the argument's dimensions
    repeated: set[Expr] = field(default_factory=set)  # cheap values that belong to another region too
    loads: dict[Expr, AxisMap] = field(default_factory=dict)  # materialised operands, as first used
    spaces: dict[frozenset[int], None] = field(default_factory=dict)
    outputs: list[Expr] = field(default_factory=list)
    # Sums across the nest of loops (over rows, beside values per row): added up in their output, not read again here.
    across: set[Expr] = field(default_factory=set)
    # Whether one loop nest computes everything, and sums over all of it are not used again: such a region may be as
    # long as it likes, since a tape runs it.
    flat: bool = True

    def stays_flat(self, node: Expr, operands: Sequence[Operand], axes: AxisMap, count: int) -> bool:
        """Whether the region is flat with ``node``, over ``axes``, in it, and ``count`` axes then."""
        if not self.flat or count > len(self.sizes) and self.amap or any(o.base in self.domain for o in operands):
            return False
        if node.op.kind == "reduction":
            dtypes = {node.params["dtype"], node.args[0].type.dtype}
            if node.op.name != "sum" or node.type.ndim or len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
                return False
        elif node.op.kind != "elementwise":
            return False
        return sum(a is not None for a in axes) == count

    def span(self, node: Expr) -> frozenset[int]:
        """The axes that a value of the region varies over."""
        return frozenset(a for a in self.amap[node] if a is not None)


def is_literal(base: Expr) -> bool:
    """Whether ``base`` is written into the kernel as a number, so that it is no operand in memory."""
    return isinstance(base, Constant) and base.data.size == 1


def equal_sizes(a: Size, b: Size) -> bool:
    """Whether two canonical sizes are one."""
    return a is b or isinstance(a, int) and isinstance(b, int) and a == b


def computed_nodes(region: Region, operands: Mapping[Expr, tuple[Operand, ...]]) -> list[Expr]:
    """The nodes that a region's outputs need of it, operands first."""
    amap = region.amap
    done: set[Expr] = set()
    order: list[Expr] = []
    for output in region.outputs:
        stack = [output]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            missing = [
                o.base
                for i, o in enumerate(operands[node])
                if o.base in amap
                and o.base not in done
                and o.base.op.name not in GENERATORS
                and not (node.op.name == "gather" and i == 0)
            ]
            if missing:
                stack.extend(missing)
            else:
                done.add(node)
                order.append(node)
                stack.pop()
    return order


def operand_axes(operand: Operand, axes: AxisMap, node: Expr, sizes: Sizes) -> AxisMap:
    """The axis of each dimension of the operand's base, as ``node`` (with ``axes``) uses it."""
    out: list[int | None] = [None] * operand.base.type.ndim
    offset = len(axes) - len(operand.pattern)
    if node.op.name == "gather":
        # Index operands align with the leading dimensions of the result; the source is indexed by value.
        index_rank = max(a.type.ndim for a in node.args[1:])
        offset = index_rank - len(operand.pattern)
        if (
            operand.base is see_through(node.args[0], sizes).base
            and len(operand.pattern) == node.args[0].type.ndim
        ):
            return tuple(out)
    for k, d in enumerate(operand.pattern):
        if d is not None:
            out[d] = axes[k + offset]
    return tuple(out)
