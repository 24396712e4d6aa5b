"""Which names of a generated function need a place in memory, because assignments on several paths meet in them."""
from __future__ import annotations

import ast
from collections.abc import Sequence


class Suite:
    """A body of statements: ``parent`` is the one it stands in; a loop's may run again."""

    def __init__(self, parent: Suite | None, is_loop: bool) -> None:
        self.parent, self.is_loop = parent, is_loop

    def chain(self) -> list[Suite]:
        """The suite and all that it stands in, innermost first."""
        found: list[Suite] = []
        suite: Suite | None = self
        while suite is not None:
            found.append(suite)
            suite = suite.parent
        return found


class Uses:
    """Where each name is stored and loaded, in program order."""

    def __init__(self, definition: ast.FunctionDef) -> None:
        self.stores: dict[str, list[tuple[int, Suite]]] = {}
        self.loads: dict[str, list[tuple[int, Suite]]] = {}
        self.position = 0
        outer = Suite(None, False)
        for argument in definition.args.args:
            self.note(self.stores, argument.arg, outer)
        self.statements(definition.body, outer)

    def note(self, table: dict[str, list[tuple[int, Suite]]], name: str, suite: Suite) -> None:
        self.position += 1
        table.setdefault(name, []).append((self.position, suite))

    def expression(self, node: ast.AST | None, suite: Suite) -> None:
        for inner in ast.walk(node) if node is not None else ():
            if isinstance(inner, ast.Name):
                self.note(self.loads, inner.id, suite)

    def statements(self, body: Sequence[ast.stmt], suite: Suite) -> None:
        for s in body:
            if isinstance(s, ast.Assign):
                self.expression(s.value, suite)
                for target in s.targets:
                    for inner in ast.walk(target):
                        if isinstance(inner, ast.Name):
                            self.note(self.stores, inner.id, suite)
            elif isinstance(s, ast.AugAssign):
                self.expression(s.value, suite)
                self.expression(s.target, suite)
                if isinstance(s.target, ast.Name):
                    self.note(self.stores, s.target.id, suite)
            elif isinstance(s, ast.For):
                self.expression(s.iter, suite)
                loop = Suite(suite, True)
                if isinstance(s.target, ast.Name):
                    self.note(self.stores, s.target.id, loop)
                self.statements(s.body, loop)
            elif isinstance(s, ast.While):
                loop = Suite(suite, True)
                self.expression(s.test, loop)
                self.statements(s.body, loop)
            elif isinstance(s, ast.If):
                self.expression(s.test, suite)
                self.statements(s.body, Suite(suite, False))
                self.statements(s.orelse, Suite(suite, False))
            elif isinstance(s, (ast.Return, ast.Expr)):
                self.expression(s.value, suite)

    def meets(self, name: str) -> bool:
        """Whether more than one assignment may reach some use of ``name``."""
        stores = self.stores[name]
        for at, suite in self.loads.get(name, ()):
            chain = suite.chain()
            before = [(p, s) for p, s in stores if p < at and s in chain]
            if not before:
                return True
            start, home = before[-1]
            for p, s in stores:
                if start < p < at:
                    return True
                if p > at:
                    again = [x for x in s.chain() if x.is_loop and x in chain]
                    if any(x not in home.chain() for x in again):
                        return True
        return False


def in_memory(definition: ast.FunctionDef) -> set[str]:
    """The names that need a place in memory; each other use has one assignment that it reads."""
    uses = Uses(definition)
    return {name for name in uses.stores if uses.meets(name)}
