"""Sizes in call plans: the arithmetic of a wrapper with them, as instructions."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fuse.codegen.call_words import Words

ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "divide"}
# Comparisons of sizes: the instruction, whether its operands change places, and whether its answer is turned round.
COMPARISONS: dict[type[ast.cmpop], tuple[str, bool, bool]] = {
    ast.Lt: ("less", False, False),
    ast.Gt: ("less", True, False),
    ast.GtE: ("less", False, True),
    ast.LtE: ("less", True, True),
    ast.Eq: ("equal", False, False),
    ast.NotEq: ("equal", False, True),
}


class Untranslatable(Exception):
    """The plan of a call has no word for something in a wrapper."""


class SizeWords:
    """Writes sizes, which have numbers by their names in the wrapper."""

    words: Words

    def __init__(self) -> None:
        self.sizes: dict[str | int, int] = {}
        self.numbers: dict[int, int] = {}
        self.integers: set[str] = set()  # inputs that are Python ints once they are checked
        self.registers: dict[str, int] = {}  # of values, by their names

    def dimension(self, register: int, axis: int) -> int:
        return self.fresh("dimension", register, axis)

    def fresh(self, operation: str, *operands: int) -> int:
        number = len(self.sizes)
        self.sizes[-1 - number] = number  # a name that no size has
        self.words(operation, number, *operands)
        return number

    def number(self, value: int) -> int:
        if value not in self.numbers:
            self.numbers[value] = self.fresh("number", value)
        return self.numbers[value]

    def all_of(self, tests: Sequence[ast.expr]) -> int:
        """1 where all comparisons of sizes hold, else 0: their product."""
        found = one = self.number(1)
        for test in tests:
            match test:
                case ast.Compare(left=left, ops=[ast.Gt()], comparators=[right]):
                    more = self.fresh("sub", self.size(left), self.size(right))
                case ast.Compare(left=left, ops=[ast.GtE()], comparators=[right]):
                    more = self.fresh("sub", self.fresh("add", self.size(left), one), self.size(right))
                case ast.Compare(left=left, ops=[ast.LtE()], comparators=[right]):
                    more = self.fresh("sub", self.fresh("add", self.size(right), one), self.size(left))
                case _:
                    raise Untranslatable(ast.unparse(test))
            found = self.fresh("mul", found, self.fresh("min", self.fresh("max", more, self.number(0)), one))
        return found

    def size(self, node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(value)):
                return self.number(value)
            case ast.Name(id=name) if name in self.sizes:
                return self.sizes[name]
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in ARITHMETIC:
                return self.fresh(ARITHMETIC[type(operation)], self.size(left), self.size(right))
            case ast.Call(func=ast.Name(id="max" | "min" as name), args=[left, right]):
                return self.fresh(name, self.size(left), self.size(right))
            case ast.Call(func=ast.Name(id="int"), args=[ast.Name(id=name)]) if name in self.integers:
                return self.fresh("unbox", self.registers[name])
            case ast.Call(func=ast.Name(id="abs"), args=[value]):
                found = self.size(value)
                return self.fresh("max", found, self.fresh("sub", self.number(0), found))
            case ast.UnaryOp(op=ast.USub(), operand=value):
                return self.fresh("sub", self.number(0), self.size(value))
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.fresh("select", self.size(test), self.size(body), self.size(other))
            case ast.Compare(left=left, ops=[operation], comparators=[right]) if type(operation) in COMPARISONS:
                name, swapped, negated = COMPARISONS[type(operation)]
                pair = self.size(left), self.size(right)
                found = self.fresh(name, *(pair[::-1] if swapped else pair))
                return self.fresh("sub", self.number(1), found) if negated else found
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                whole, part = self.size(left), self.size(right)
                quotient = self.fresh("divide", whole, part)
                return self.fresh("sub", whole, self.fresh("mul", quotient, part))
        raise Untranslatable(ast.unparse(node))
