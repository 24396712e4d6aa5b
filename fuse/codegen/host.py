"""Sizes in the wrapper: Python ints with names, each computed once, and the guards that compare them."""

from __future__ import annotations

import itertools

from fuse.codegen.region import see_through
from fuse.codegen.sizes import Guard, Size, Sizes, in_ints
from fuse.expr import CONSTANT, Expr, toposort


class SizeNames:
    """The lines of a wrapper so far, and the names in it of arrays (``env``) and of ints (``host_names``)."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.guards: list[Guard] = list(sizes.guards)
        self.lines: list[str] = []
        self.env: dict[Expr, str] = {}
        self.host_names: dict[Expr, str] = {}
        self.arguments = ""
        self._counter = itertools.count()

    def line(self, text: str) -> None:
        self.lines.append("    " + text)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._counter)}"

    def size(self, size: Size) -> str:
        """A number, or the name of an int, for a size whose sources are computed already."""
        size = self.sizes.find(size)
        if isinstance(size, int):
            return str(size)
        return self.host_name(size)

    def host_name(self, size: Expr) -> str:
        """The name of an int for the formula ``size``; what it reads exists already."""
        for terminal in self.sizes.terminals(size):
            if terminal not in self.host_names:
                self.host_names[terminal] = self.host_line(terminal)
        for node in toposort([size], known=self.host_names):
            self.host_names[node] = self.host_line(node)
        return self.host_names[size]

    def host_line(self, node: Expr) -> str:
        if node.op is CONSTANT:
            return str(int(node.data))
        if node.op.name == "shape_i" and node.args[0] in self.env:
            text = f"{self.env[node.args[0]]}.shape[{node.params['axis']}]"
        elif in_ints(node) and all(a in self.host_names for a in node.args):
            text = (node.op.host or "int({0})").format(*[self.host_names[a] for a in node.args])
        else:
            if node.type.ndim:
                return "None"
            base = see_through(node, self.sizes).base
            if base not in self.env:
                return "None"
            text = f"int({self.env[base]})"
        name = self.fresh("n")
        self.line(f"{name} = {text}")
        return name

    def is_ready(self, size: Size) -> bool:
        """Whether everything that ``size`` is computed from is there."""
        return self.is_known(self.sizes.find(size))

    def check_guards(self) -> None:
        """Emit each guard as soon as both its sides are known."""
        waiting = []
        for guard in self.guards:
            left, right = guard.left, guard.right
            if self.is_known(left) and self.is_known(right):
                self.line(f"if {self.raw_size(left)} != {self.raw_size(right)}: return serve(({self.arguments}))")
            else:
                waiting.append(guard)
        self.guards = waiting

    def is_known(self, size: Size) -> bool:
        values = [t.args[0] if t.op.name == "shape_i" else t for t in self.sizes.terminals(size)]
        return all(v in self.env or v in self.sizes.of and see_through(v, self.sizes).base in self.env for v in values)

    def raw_size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        return self.host_name(size)
