"""Regions: nodes that become one kernel, and how a region sees its operands through views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fuse.codegen.inline import kernel_cost
from fuse.codegen.sizes import Size, Sizes
from fuse.expr import Constant, Expr

GENERATORS = frozenset(("iota", "linear_index"))
SCATTERS = frozenset(("inc_gather", "set_gather"))  # copies of an array with values stored at computed places
INDEXED = SCATTERS | {"gather"}  # their first operand is read at computed places, or copied: as a whole, before
SEEN_THROUGH = frozenset(("dimshuffle", "broadcast_to", "unbroadcast"))
MAX_BUFFERS = 40
# The operations of one kernel: compile time grows faster than linearly beyond about 1,000 statements, and with more
# than the square of the number of arrays. Where kernels would have many of these (a long formula and its gradient,
# which reads what it computed), they are planned again with fewer operations.
NODE_LIMITS = (500, 120, 60)
MAX_ARRAYS = 48
MAX_RESULTS = 128  # of a program, in one kernel, be it as long as it likes
MAX_OPERANDS = 128  # of a kernel that is made of several
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
    """An argument seen through views: ``base``, and for each dimension of the argument the one of the base or None.

    ``indexed``: it is the first one of INDEXED, which may be given as a value, too, and is something else then.
    """

    base: Expr
    pattern: Pattern
    indexed: bool = False


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
    turned: set[Expr] = field(default_factory=set)  # those that are read at several places, such as m + m.T
    spaces: dict[frozenset[int], None] = field(default_factory=dict)
    outputs: list[Expr] = field(default_factory=list)
    results: int = 0  # how many of its nodes are results of the program
    # Sums across the nest of loops (over rows, beside values per row): added up in their output, not read again here.
    across: set[Expr] = field(default_factory=set)
    whole: set[Expr] = field(default_factory=set)  # arrays that must be there before the kernel: indexed by value
    early: set[Expr] = field(default_factory=set)  # from which sizes and numbers are read that a call of it is given
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


def is_fusible(node: Expr, sizes: Sizes) -> bool:
    """Whether a kernel can compute ``node``."""
    op = node.op
    if op.name in SCATTERS:
        return can_scatter(node, sizes)
    return (
        op.kind == "elementwise"
        or op.kind == "reduction"
        or op.name == "gather"
        or op.name in GENERATORS
    )


def can_scatter(node: Expr, sizes: Sizes) -> bool:
    """Whether a kernel can store the values of an inc_gather or set_gather."""
    base, value, *indices = [see_through(a, sizes).base for a in node.args]
    aligned = index_rank(node) == len(sizes.domain[node])  # else an index used as the value stands at two places
    return node.type.dtype != "bool" and base.op.name not in GENERATORS and (aligned or value not in indices)


def operands_of(node: Expr, sizes: Sizes) -> tuple[Operand, ...]:
    """The arguments of a fused node, seen through views."""
    if node.op.name in GENERATORS:
        return ()
    found = [see_through(a, sizes) for a in node.args]
    if node.op.name in INDEXED:
        found[0] = replace(found[0], indexed=True)
    return tuple(found)


def domain_sizes(node: Expr, sizes: Sizes) -> tuple[Size, ...]:
    """The sizes of the loops that compute ``node``."""
    if node.op.name in SCATTERS:
        return sizes.domain[node]
    return sizes.of[node.args[0]] if node.op.kind == "reduction" else sizes.of[node]


def index_rank(node: Expr) -> int:
    """The rank of the index arrays of a node of INDEXED."""
    return max(a.type.ndim for a in node.args[1 + (node.op.name in SCATTERS) :])


def index_axes(node: Expr, axes: AxisMap) -> tuple[int, ...]:
    """The axes of the index arrays among those of the domain of a scatter, outermost first."""
    return tuple([a for a in axes[: index_rank(node)] if a is not None])


def places(node: Expr, axes: AxisMap, sizes: Sizes, new_sizes: list[Size]) -> AxisMap:
    """The axes of the result of a scatter over ``axes``: new ones for the indexed dimensions."""
    found: list[int | None] = []
    for size in sizes.of[node][: len(node.args) - 2]:
        size = sizes.find(size)
        found.append(None if size == 1 and isinstance(size, int) else len(new_sizes))
        new_sizes.extend([size] * (found[-1] is not None))
    return (*found, *axes[len(axes) - (node.type.ndim - len(found)) :])


def keeps_order(
    region: Region, spaces: Iterable[frozenset[int]], orders: Iterable[tuple[int, ...]]
) -> bool:
    """Whether loops over ``spaces`` can store the values of scatters in the order of their indices.

    ``orders`` are the index axes of scatters that are not in the region yet.
    """
    orders = {index_axes(n, region.domain[n]) for n in region.across if n.op.name in SCATTERS} | set(orders)
    orders = {o for o in orders if len(o) > 1}
    if not orders:
        return True
    return len(orders) == 1 and all(
        s.issuperset(order[: len(s.intersection(order))]) for order in orders for s in spaces
    )


def shift_of(node: Expr, operands: Sequence[Operand], operand: Operand, rank: int) -> int:
    """At which of the ``rank`` axes of the node's domain the operand's first dimension stands."""
    if node.op.name in INDEXED and operands.index(operand) > (node.op.name in SCATTERS):
        rank = index_rank(node)  # indices align with the leading dimensions
    return rank - len(operand.pattern)
def widens(spaces: Iterable[frozenset[int]], axes: AxisMap) -> bool:
    """Whether ``axes`` are those of all ``spaces``, the last one among them, and leading ones besides."""
    widest = max(spaces, key=len, default=frozenset[int]())
    last = next((a for a in reversed(axes) if a is not None), None)
    return last in widest and widest < frozenset(a for a in axes if a is not None)


def is_row(region: Region, axes: AxisMap) -> bool:
    """Whether values of the region have ``axes`` as their last ones, and leading ones besides."""
    own = frozenset(a for a in axes if a is not None)
    if not own or not any(own < space for space in region.spaces):
        return False
    wide = next((m for m in (*region.amap.values(), *region.domain.values()) if own < frozenset(m) - {None}), ())
    return next((a in own for a in reversed(wide) if a is not None), False)


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
                and not (node.op.name in INDEXED and i == 0)
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
    if operand.indexed:
        return tuple(out)  # by values
    operands = operands_of(node, sizes) if node.op.name in INDEXED else ()
    offset = shift_of(node, operands, operand, len(axes))
    for k, d in enumerate(operand.pattern):
        if d is not None:
            out[d] = axes[k + offset]
    return tuple(out)


def meets_itself(
    region: Region, repeated: Sequence[Operand], axes: AxisMap, node: Expr,
    operands: Mapping[Expr, tuple[Operand, ...]], sizes: Sizes,
) -> bool:
    """Whether a value that ``repeated``, operands of ``node``, would compute in place stands elsewhere already."""
    found: dict[Expr, AxisMap] = {}
    stack = [(o.base, operand_axes(o, axes, node, sizes)) for o in repeated]
    while stack:
        base, where = stack.pop()
        known = found.get(base, region.amap.get(base))
        if known is not None:
            if known != where:
                return True
            continue
        if base in region.turned or region.loads.get(base, where) != where:
            return True
        if base not in operands:
            continue  # read from memory, at any place
        found[base] = where
        stack += [
            (o.base, operand_axes(o, where, base, sizes)) for o in operands[base] if o.base.op.name not in GENERATORS
        ]
    return False
