"""Sizes: the canonical run-time size of every axis of every node, and the equalities that a plan relies on.

A plan is made for the ordinary case: two run-time sizes that meet in an elementwise operation are equal. Each such
meeting becomes a guard, checked before anything is computed from it; a call that breaks a guard (a size 1 met at run
time broadcasts, as in NumPy) is served by another plan, or by the reference interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.expr import INPUT, Expr, constant, make, toposort
from fuse.frontend.signs import never_negative
from fuse.frozen import dataclass
from fuse.op import OPS
from fuse.types import TensorType

Size = int | Expr  # an Expr is 0-d and integer, a formula over shape_i of leaves and opaque results


@dataclass(frozen=True)
class Guard:
    """``left`` and ``right`` must be equal at run time; ``node`` is where they meet."""

    left: Size
    right: Size
    node: Expr


def in_ints(node: Expr) -> bool:
    """Whether Python's ints give what ``node`` gives: a 0-d formula of integers, in int64, or a test of some."""
    if node.op.host is None and node.op.name != "cast" or node.type.ndim:
        return False
    exact = node.type.dtype == "int64" or node.type.dtype == "bool" and "test" in node.op.traits
    return exact and all(a.type.ndim == 0 and a.type.dtype in _INTEGRAL for a in node.args)


class Sizes:
    """The sizes of all nodes of a graph (``of``), and the guards they rest on."""

    def __init__(self, outputs: Sequence[Expr], equal: Sequence[tuple[Expr, Expr]] = ()) -> None:
        self.of: dict[Expr, tuple[Size, ...]] = {}
        self.domain: dict[Expr, tuple[Size, ...]] = {}  # of inc_gather and set_gather: the part that is stored to
        self.guards: list[Guard] = []
        self._parent: dict[Expr, Size] = {}
        self._host: dict[Expr, Size] = {}
        self._ranks: dict[Expr, int] = {}
        self._terminals: dict[Expr, tuple[Expr, ...]] = {}
        self._is_host: dict[Expr, bool] = {}
        self._place: dict[Expr, int] = {}
        for node in toposort(outputs):
            self._place[node] = len(self._place)
            if hasattr(node.type, "shape"):
                self.of[node] = self._sizes(node)
        for left, right in equal:  # those that no meeting of arrays in the graph stands for
            a, b = self.host(left), self.host(right)
            read = [t.args[0] if t.op.name == "shape_i" else t for n in (a, b) for t in self.terminals(n)]
            if all(x.op is INPUT or x in self.of for x in read):
                self.of |= {x: self._sizes(x) for x in read if x not in self.of}
                self.same(a, b, left)

    def find(self, size: Size) -> Size:
        """The canonical representative of ``size`` under the guards."""
        while isinstance(size, Expr) and size in self._parent:
            size = self._parent[size]
        return size

    def same(self, a: Size, b: Size, node: Expr) -> Size:
        """One size for two that must be equal; a guard where that is not certain."""
        a, b = self.find(a), self.find(b)
        if a == b if isinstance(a, int) and isinstance(b, int) else a is b:
            return a
        self.guards.append(Guard(a, b, node))
        if isinstance(a, int) and isinstance(b, int):
            return a
        if isinstance(a, int):
            self._parent[b] = a  # type: ignore[index]
            return a
        if not isinstance(b, int) and self._rank(a) < self._rank(b):
            a, b = b, a  # what is known first stands for both
        self._parent[a] = b
        return b

    def sizes_of(self, node: Expr) -> tuple[Size, ...]:
        """The sizes of a node, which need not be one of the graph."""
        return self.of[node] if node in self.of else self._sizes(node)

    def _rank(self, size: Expr) -> int:
        """Where in the order of the graph the last value stands that ``size`` is read from; leaves are at 0."""
        if size not in self._ranks:
            values = [t.args[0] if t.op.name == "shape_i" else t for t in self.terminals(size)]
            places = [0 if v.is_leaf else self._place.get(v, len(self._place)) for v in values]
            self._ranks[size] = max(places, default=0)
        return self._ranks[size]

    def terminals(self, size: Size) -> tuple[Expr, ...]:
        """What a size formula reads at run time: ``shape_i`` nodes, and 0-d integers computed from data."""
        if isinstance(size, int):
            return ()
        known = self._terminals.get(size)
        if known is not None:
            return known
        found: list[Expr] = []
        stack: list[Size] = [size]
        seen: set[Expr] = set()
        while stack:
            node = stack.pop()
            if isinstance(node, int) or node in seen or node.op.name == "constant":
                continue
            seen.add(node)
            if in_ints(node):
                stack.extend(node.args)
            else:
                found.append(node)
        known = self._terminals[size] = tuple(found)
        return known

    def sources(self, node: Expr) -> list[Expr]:
        """The values that the sizes of ``node`` are read from."""
        terms = [t for n in self.of.get(node, ()) for t in self.terminals(self.find(n))]
        return [t.args[0] if t.op.name == "shape_i" else t for t in terms]

    def is_host(self, node: Expr) -> bool:
        """Whether ``node`` is a size, or an integer formula over sizes, that the wrapper computes with Python's ints.

        Formulas over integer inputs count only where they are sizes themselves, so that other integer arithmetic
        keeps its width.
        """
        known = self._is_host.get(node)
        if known is None:
            known = self._is_host[node] = self._find_host(node)
        return known

    def _find_host(self, node: Expr) -> bool:
        if node.op.kind == "shape":
            return True
        if not isinstance(node.type, TensorType):
            return False
        if (
            node.is_leaf
            or node.type.ndim
            or node.type.dtype != "int64"
            or not (in_ints(node) or node.op.name == "broadcast_size")
        ):
            return False
        in_size = node in self._host
        terminals = self.terminals(self.host(node) if in_size else node)
        reads_size = any(t.op.name == "shape_i" for t in terminals)
        return (in_size or reads_size) and all(
            t.op.name == "shape_i" or t.op is INPUT and t.type.ndim == 0 and t.type.dtype in _INTEGRAL
            for t in terminals
        )

    def host(self, expr: Expr) -> Size:
        """A 0-d integer formula with the sizes of known nodes put in; an int where it is one."""
        for node in toposort([expr], known=self._host):
            self._host[node] = self._host_node(node)
        return self.find(self._host[expr])

    def _host_node(self, node: Expr) -> Size:
        if node.op.name == "constant":
            return int(node.data) if node.type.dtype in _INTEGRAL and node.type.ndim == 0 else node
        if node.op.name == "shape_i":
            source, axis = node.args[0], node.params["axis"]
            if source not in self.of:
                for inner in toposort([source], known=self.of):
                    if isinstance(inner.type, TensorType):
                        self.of[inner] = self._sizes(inner)
            return self.of[source][axis]
        if (
            node.op.name == "cast"
            and node.type.dtype in ("int64", "int32", "uint64")
            and node.args[0].type.dtype in _INTEGRAL
        ):
            value = self._host[node.args[0]]
            if isinstance(value, int):
                return value
            if node.args[0].type.ndim == 0 and value is not node.args[0]:
                return value if value.type.dtype != "bool" else make(node.op, (value,), node.params)
        args = [self._host.get(a, a) for a in node.args]
        if node.op.name == "broadcast_size":
            return self._broadcast_size([self.find(a) for a in args], node)
        if node.op.host is not None and in_ints(node):
            if all(isinstance(a, int) for a in args):
                return _fold(node.op.host, args)  # type: ignore[arg-type]
            return _simplified(node, args)
        return node

    def _broadcast_size(self, sizes: list[Size], node: Expr) -> Size:
        rest = [n for n in sizes if n != 1 or not isinstance(n, int)]
        if not rest:
            return 1
        size = rest[0]
        for other in rest[1:]:
            size = self.same(size, other, node)
        return size

    def _sizes(self, node: Expr) -> tuple[Size, ...]:
        static = node.type.shape
        if node.op.name == "dot":  # what a product runs over is checked before anything is written in place
            left, right = self.of[node.args[0]], self.of[node.args[1]]
            self.same(left[-1], right[0], node)
        if node.op.name == "add_product":
            old, left, right = [self.of[a] for a in node.args[:3]]
            for n, m in ((left[-1], right[0]), (old[0], left[0]), (old[1], right[1])):
                self.same(n, m, node)
        if node.op.name in ("inc_gather", "set_gather"):
            self._stored(node)
        if node.op.name == "join":  # parts are written next to one another, each with its own sizes
            for axis, first in enumerate(self.of[node.args[0]]):
                for arg in node.args[1:] if axis != node.params["axis"] else ():
                    self.same(first, self.of[arg][axis], node)
        if None not in static:
            guess: Sequence[Size] = static  # type: ignore[assignment]
            if node.op.kind == "elementwise":
                self._broadcast(node)
            elif node.op.name in _MEETING:
                _RULES[node.op.name](self, node)
            return tuple(guess)
        op = node.op
        if node.is_leaf:
            found: Sequence[Size] = [_shape_i(node, axis) for axis in range(len(static))]
        elif op.kind == "elementwise":
            found = self._broadcast(node)
        elif op.name in _RULES:
            found = _RULES[op.name](self, node)
        elif op.shape is not None:
            shapes = [self.of.get(a, ()) for a in node.args]
            sizes = enumerate(op.shape(node, *shapes))
            found = [n if isinstance(n, int) else _shape_i(node, d) if n is None else self.host(n) for d, n in sizes]
        else:
            found = [_shape_i(node, axis) for axis in range(len(static))]
        return tuple([s if s is not None else self.find(f) for s, f in zip(static, found, strict=True)])

    def _broadcast(self, node: Expr) -> list[Size]:
        ndim = node.type.ndim
        out: list[Size] = [1] * ndim
        for arg in node.args:
            sizes = self.of[arg]
            for axis, n in enumerate(sizes, ndim - len(sizes)):
                n = self.find(n)
                if isinstance(n, int) and n == 1:
                    continue
                have = out[axis]
                out[axis] = n if isinstance(have, int) and have == 1 else self.same(have, n, node)
        return out

    def _part(self, node: Expr) -> list[Size]:
        whole = node.args[0]
        if whole.op.shape is None:
            return [_shape_i(node, axis) for axis in range(node.type.ndim)]
        found = whole.op.shape(whole, *[self.of.get(a, ()) for a in whole.args])[node.params["i"]]
        return [
            _shape_i(node, axis) if n is None else n if isinstance(n, int) else self.host(n)
            for axis, n in enumerate(found)
        ]

    def _dimshuffle(self, node: Expr) -> list[Size]:
        source = self.of[node.args[0]]
        return [1 if d == "x" else source[d] for d in node.params["pattern"]]

    def _broadcast_to(self, node: Expr) -> list[Size]:
        sizes = [self.host(a) for a in node.args[1:]]
        source = self.of[node.args[0]]
        for axis, n in enumerate(source, len(sizes) - len(source)):
            n = self.find(n)
            if not (isinstance(n, int) and n == 1):
                sizes[axis] = self.same(n, sizes[axis], node)
        return sizes

    def _listed(self, node: Expr) -> list[Size]:
        return [self.host(a) for a in node.args]

    def _unbroadcast(self, node: Expr) -> list[Size]:
        value, like = self.of[node.args[0]], self.of[node.args[1]]
        out: list[Size] = []
        for n, m in zip(value, like, strict=True):
            n, m = self.find(n), self.find(m)
            out.append(1 if isinstance(m, int) and m == 1 else self.same(m, n, node))
        return out

    def _gather(self, node: Expr) -> list[Size]:
        return self._picked(node, node.args[1:])

    def _stored(self, node: Expr) -> None:
        """The sizes of the indexed part, which the stored value must have where it does not broadcast."""
        part = self._picked(node, node.args[2:])
        sizes = self.of[node.args[1]]
        for axis, n in enumerate(sizes, len(part) - len(sizes)):
            n = self.find(n)
            if not (isinstance(n, int) and n == 1):
                part[axis] = self.same(part[axis], n, node)
        self.domain[node] = tuple(part)

    def _picked(self, node: Expr, indices: Sequence[Expr]) -> list[Size]:
        ndim = max(a.type.ndim for a in indices)
        out: list[Size] = [1] * ndim
        for arg in indices:
            for axis, n in enumerate(self.of[arg], ndim - arg.type.ndim):
                n = self.find(n)
                if not (isinstance(n, int) and n == 1):
                    have = out[axis]
                    out[axis] = n if isinstance(have, int) and have == 1 else self.same(have, n, node)
        return out + list(self.of[node.args[0]][len(indices) :])

    def _reduced(self, node: Expr) -> list[Size]:
        return [n for axis, n in enumerate(self.of[node.args[0]]) if axis not in node.params["axis"]]


_RULES = {
    "dimshuffle": Sizes._dimshuffle,
    "broadcast_to": Sizes._broadcast_to,
    "iota": Sizes._listed,
    "linear_index": Sizes._listed,
    "unbroadcast": Sizes._unbroadcast,
    "gather": Sizes._gather,
    "part": Sizes._part,
    **dict.fromkeys(("sum", "prod", "max", "min", "all", "any"), Sizes._reduced),
}
_MEETING = ("broadcast_to", "unbroadcast", "gather")  # in which sizes meet, whatever is known of the result's
_INTEGRAL = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _shape_i(node: Expr, axis: int) -> Size:
    return make(OPS["shape_i"], (node,), {"axis": axis})


def _fold(text: str, args: list[int]) -> int:
    return int(eval(text.format(*args), {"__builtins__": {}, "max": max, "min": min, "abs": abs}))


def _shifted(size: Size, by: int) -> Size:
    """``size + by``, where constants are one."""
    size, inner = _taken_apart(size)
    by += inner
    if by == 0 or isinstance(size, int):
        return size + by if isinstance(size, int) else size
    return make(OPS["add"], (size, constant(by, dtype="int64")), {})


def _taken_apart(size: Size) -> tuple[Size, int]:
    if isinstance(size, Expr) and size.op.name == "add" and size.args[1].op.name == "constant":
        return size.args[0], int(size.args[1].data)
    return size, 0


def _never_negative(size: Expr) -> Size:
    """``max(size, 0)``; what slices, and slices of slices, leave of a size has one spelling."""
    whole, by = _taken_apart(size)
    if size.op.name == "sub" and size.args[1].op.name == "minimum":  # x[b:-a]: max(n - a, 0) - min(b, n)
        bound, n = sorted(size.args[1].args, key=lambda e: e.op.name != "constant")
        (left, taken), (right, own) = [_taken_apart(e.args[0] if _is_cut(e) else e) for e in (size.args[0], n)]
        if bound.op.name == "constant" and int(bound.data) >= 0 and left is right and taken <= own:
            whole, by = size.args[0], -int(bound.data)
    if isinstance(whole, Expr) and by <= 0 and _is_cut(whole):
        whole = whole.args[0]
    cut = _shifted(whole, by)
    if isinstance(cut, Expr) and cut.op.name == "shape_i":
        return cut
    return max(cut, 0) if isinstance(cut, int) else make(OPS["maximum"], (cut, constant(0, dtype="int64")), {})


def _is_cut(size: Expr) -> bool:
    """Whether ``size`` is max(n, 0)."""
    return size.op.name == "maximum" and size.args[1].op.name == "constant" and int(size.args[1].data) == 0


def _simplified(node: Expr, args: list[Size]) -> Size:
    if node.op.name == "mul" and 1 in [a for a in args if isinstance(a, int)]:
        return args[1] if args[0] == 1 else args[0]
    if node.op.name in ("add", "sub") and isinstance(args[1], int):
        return _shifted(args[0], args[1] if node.op.name == "add" else -args[1])
    if node.op.name == "maximum" and isinstance(args[0], Expr) and args[1] == 0 and isinstance(args[1], int):
        return _never_negative(args[0])
    if node.op.name == "int_div" and isinstance(args[1], int) and args[1] == 1:
        return args[0]
    if node.op.name == "lt" and isinstance(args[0], Expr) and args[1] == 0 and never_negative(args[0]):
        return 0
    if node.op.name == "switch" and isinstance(args[0], int):
        return args[1] if args[0] else args[2]
    if node.op.name == "minimum" and isinstance(args[0], Expr) and _is_cut(args[0]):  # max(n - a, 0) is below n
        whole, by = _taken_apart(args[0].args[0])
        if isinstance(whole, Expr) and whole is args[1] and by <= 0 and never_negative(whole):
            return args[0]
    exprs = tuple([constant(a, dtype="int64") if isinstance(a, int) else a for a in args])
    return make(node.op, exprs, dict(node.params))
