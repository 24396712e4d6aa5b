"""Sizes in the wrapper: Python ints with names, each computed once, and the guards that compare them."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fuse.codegen.region import SEEN_THROUGH, see_through
from fuse.codegen.sizes import Guard, Size, Sizes, in_ints
from fuse.expr import CONSTANT, Expr, toposort


class SizeNames(ABC):
    """The lines of a wrapper so far, and the names in it of arrays (``env``) and of ints (``host_names``).

    Each target says in ``compare`` what becomes of a call whose sizes break a guard.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.guards: list[Guard] = list(sizes.guards)
        self.lines: list[str] = []
        self.env: dict[Expr, str] = {}
        self.host_names: dict[Expr, str] = {}
        self.scope: dict[str, Any] = {}  # what the text reads besides its arguments
        self.arguments = ""
        self._counter = itertools.count()

    def line(self, text: str) -> None:
        self.lines.append("    " + text)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._counter)}"

    def give(self, prefix: str, value: Any) -> str:
        """A name in the wrapper's scope for ``value``."""
        name = self.fresh(prefix)
        self.scope[name] = value
        return name

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
            text = f"int({self.env[base]}{'.item()' if base.type.ndim else ''})"  # NumPy: int() is of 0-d arrays alone
        name = self.fresh("n")
        self.line(f"{name} = {text}")
        return name

    def is_ready(self, size: Size) -> bool:
        """Whether everything that ``size`` is computed from is there."""
        return self.is_known(self.sizes.find(size))

    def measure(self, names: Sequence[str]) -> None:
        """Write down what guards that wait ask about the shapes of arrays that go, by their names."""
        for size in [size for guard in self.guards for size in (guard.left, guard.right) if isinstance(size, Expr)]:
            for terminal in self.sizes.terminals(size):
                measured = terminal.op.name == "shape_i" and self.env.get(terminal.args[0]) in names
                if measured and terminal not in self.host_names:
                    self.host_names[terminal] = self.host_line(terminal)

    def check_guards(self) -> None:
        """Write each guard as soon as both its sides are known."""
        waiting = []
        for guard in self.guards:
            if self.is_known(guard.left) and self.is_known(guard.right):
                self.compare(self.raw_size(guard.left), self.raw_size(guard.right))
            else:
                waiting.append(guard)
        self.guards = waiting

    def check_remaining(self) -> None:
        """Write the guards that are left behind all units: of sizes that only shapes speak of.

        An assumption about sizes of values that nobody computes any more cannot be checked, so it does not hold.
        """
        for guard in self.guards:
            if self.is_ready(guard.left) and self.is_ready(guard.right):
                self.compare(self.size(guard.left), self.size(guard.right))
            else:
                self.compare("0", "1")

    @abstractmethod
    def compare(self, left: str, right: str) -> None:
        """A line that gives the call up where two sizes are not the same."""

    def scalar(self, source: Any) -> str:
        """The text of a number that a kernel takes: a value of no axes, or ``("size", size)``."""
        if isinstance(source, tuple):
            return self.size(source[1])
        if self.sizes.is_host(source):
            return self.size(self.sizes.host(source))
        return self.env[source]

    def without_views(self, node: Expr) -> tuple[Expr, list[Expr]]:
        """What ``node`` is a view of and has a name or is computed, and the views on top of that, innermost first."""
        chain = []
        while node not in self.env and node.op.name in SEEN_THROUGH:
            if not self.is_word(node):
                chain.append(node)
            node = node.args[0]
        return node, chain[::-1]

    def is_word(self, node: Expr) -> bool:
        """Whether ``node`` is its first argument in a word for another shape: sizes that are equal are guarded."""
        if node.op.name == "broadcast_to" and node.type.ndim == node.args[0].type.ndim:
            pairs = zip(self.sizes.of[node], self.sizes.of[node.args[0]], strict=True)
            return all(self.sizes.find(m) == self.sizes.find(n) for m, n in pairs)
        return node.op.name == "unbroadcast"

    def is_known(self, size: Size) -> bool:
        values = [t.args[0] if t.op.name == "shape_i" else t for t in self.sizes.terminals(size)]
        return all(v in self.env or v in self.sizes.of and see_through(v, self.sizes).base in self.env for v in values)

    def raw_size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        return self.host_name(size)
