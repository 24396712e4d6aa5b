"""One text for every precision: a function again, with its literals and the functions it calls typed for a dtype."""
from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.codegen.syntax import parse

_PACKAGE = __name__.rpartition(".")[0]


def polynomial(x: float, coefficients: tuple[float, ...]) -> float:
    """The polynomial in ``x`` with these coefficients, constant first; written out by ``specialise``, with fma.

    >>> polynomial(2.0, (1.0, 0.0, 3.0))
    13.0
    """
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def horner(x: float, coefficients: tuple[float, ...]) -> float:
    """``polynomial`` by Horner's rule, for large terms of alternating sign: even and odd sums of them would cancel."""
    return polynomial(x, coefficients)


def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function so long that a loop had better compute two vectors of it at once, each waiting for itself.

    What such a loop gains, by measurement: a fifth for pow and erfinv, a tenth for softplus; the kernel is longer.
    """
    function.side_by_side = True  # type: ignore[attr-defined]
    return function


def best_alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a short function of which a loop had better compute two vectors at once where it calls no other.

    What such a loop gains, by measurement: a twentieth for exp, expm1, log, tanh and sigmoid, a quarter where much
    arithmetic stands around them, but nothing for erf, log1p and sin.
    """
    function.best_alone = True  # type: ignore[attr-defined]
    return function


# Of so many polynomials one after another the processor sees too few at a time to have two going.
MANY = 4
_SHORT = ("real", "integers", "special", "complexes")


def two_at_once(functions: Sequence[Any], shared: bool, within: bool) -> bool:
    """Whether a loop that calls these ``functions`` is to compute two vectors at once; ``within``: in another loop.

    One long function gains by it, not two whose registers together are too many; many functions do again, by a tenth,
    and a short one that is alone (not in rows: more of each is left over). The last two are for kernels that threads
    share, for much work, since such a loop takes up to half as long again to compile.
    """
    own = [f for f in functions if isinstance(f, FunctionType) and f.__module__.startswith(_PACKAGE)]
    many = [f for f in own if f.__module__.rpartition(".")[2] not in _SHORT]
    alone = len(many) == 1 and hasattr(many[0], "best_alone") and not within
    return sum(hasattr(f, "side_by_side") for f in own) == 1 or shared and (alone or len(many) >= MANY)


def in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function that others call: of float32 numbers, it computes in float64 (``through_float64``)."""
    function.in_float64 = True  # type: ignore[attr-defined]
    return function


@cache
def specialise(function: Callable[..., Any], dtype: str, target: str = "cpu") -> FunctionType:
    """``function`` for ``dtype``: its literals, and the numbers among its globals, become numbers of that dtype.

    In a float function only float literals are typed (integers count bits), in an integer one the integers, as int64
    or uint64: arithmetic is in 64 bits and the caller narrows the result. ``WIDTH`` is the dtype's number of bits; a
    module's table ``CONSTANTS[dtype]`` goes before its globals. A complex function computes with literals of its real
    part. Functions of this package that it calls are specialised too, and on the CPU so is the vectorised function
    that stands for ``math.exp`` and the like.
    """
    assert isinstance(function, FunctionType)
    scalar = _literal_dtype(dtype)
    tree = parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.name = f"{function.__name__.strip('_')}_{scalar}"
    definition.decorator_list = []
    if isinstance(definition.body[0], ast.Expr) and isinstance(definition.body[0].value, ast.Constant):
        definition.body = definition.body[1:]
    known = {**function.__globals__, "WIDTH": 8 * np.dtype(dtype).itemsize}
    known |= function.__globals__.get("CONSTANTS", {}).get(dtype, {})
    vectorised = _vectorised(dtype) if target == "cpu" else {}
    typed = ast.fix_missing_locations(_Literals(scalar, known, vectorised, function.__code__.co_varnames).visit(tree))
    names: dict[str, Any] = {"np": np, "__name__": function.__module__, "__builtins__": __builtins__}
    exec(compile(typed, function.__code__.co_filename, "exec"), names)
    for name in {node.id for node in ast.walk(typed) if isinstance(node, ast.Name)} - {definition.name}:
        used = vectorised.get(name, known.get(name))
        if isinstance(used, FunctionType) and used.__module__.startswith(_PACKAGE):
            # a complex function may call another one of its module, or a real one of another
            wide = getattr(used, "in_float64", False) and scalar == "float32"
            names[name] = through_float64(used, name, target) if wide else specialise(
                used, dtype if used.__module__ == function.__module__ else scalar, target)
        elif used is not None and name not in names:
            names[name] = used
    made: FunctionType = names[definition.name]
    made.definition = definition  # type: ignore[attr-defined]  # for who compiles it: there is no such source file
    vars(made).update(vars(function))
    return made


def _vectorised(dtype: str) -> dict[str, Any]:
    from fuse.codegen.mathlib.vectorised import TABLE

    # "arcsin" is math.asin
    names = {f"vector_{name.replace('arc', 'a')}": function for name, function in TABLE.items()}
    return names if ty.kind(dtype) in "fc" else {}


@cache
def through_float64(function: Callable[..., Any], name: str, target: str = "cpu") -> FunctionType:
    """``function`` of float32 arguments, computed in float64 and rounded once."""
    args = ["x", "y", "z"][:len(inspect.signature(function).parameters)]
    text = f"def {name}_float32({', '.join(args)}):\n"
    text += f"    return float32(wide({', '.join(f'float64({a})' for a in args)}))\n"
    names: dict[str, Any] = {"wide": specialise(function, "float64", target), "__name__": function.__module__}
    tree = parse(text)
    exec(compile(tree, f"<{name} through float64>", "exec"), names)
    made: FunctionType = names[f"{name}_float32"]
    made.definition = tree.body[0]  # type: ignore[attr-defined]
    vars(made).update(vars(function))
    return made


def _literal_dtype(dtype: str) -> str:
    kind = ty.kind(dtype)
    if kind in "iu":
        return "uint64" if kind == "u" else "int64"
    return ty.real_of(dtype)


class _Literals(ast.NodeTransformer):
    """Writes ``float32(0.5)`` for ``0.5``, and for the module's constants their values in the same way."""

    def __init__(
        self, scalar: str, constants: dict[str, Any], vectorised: dict[str, Any], variables: tuple[str, ...]
    ) -> None:
        self.scalar, self.constants, self.vectorised, self.variables = scalar, constants, vectorised, variables
        self.kinds: tuple[type, ...] = (int,) if "int" in scalar else (float,)
        self.powers: dict[str, ast.stmt] = {}

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self._typed(node.value) if type(node.value) in self.kinds else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = None if node.id in self.variables else self.constants.get(node.id)
        if type(value) in self.kinds:
            return self._typed(value)
        if isinstance(value, str) and not node.id.startswith("__"):
            return ast.Name(value, ast.Load())
        return ast.Constant(value) if type(value) is int else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        vector = f"vector_{node.attr}"
        if isinstance(node.value, ast.Name) and node.value.id == "math" and vector in self.vectorised:
            return ast.Name(vector, ast.Load())
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not (isinstance(node.func, ast.Name) and node.func.id in ("polynomial", "horner")):
            return self.generic_visit(node)
        variable, table = node.args
        assert isinstance(variable, ast.Name) and isinstance(table, ast.Name)
        return self._chains(variable.id, 1, self.constants[table.id], 6 if node.func.id == "polynomial" else 99)

    def _chains(self, x: str, step: int, coefficients: tuple[float, ...], longest: int) -> ast.expr:
        """The polynomial in ``x**step`` by Horner's rule; of long ones the even and odd terms side by side.

        What waits for what is then a short chain, at the price of a multiplication or two (Estrin's rule in full
        costs more of them, which shows where the processor is busy anyhow).
        """
        if len(coefficients) > longest:
            even, odd = (self._chains(x, 2 * step, coefficients[k::2], longest) for k in (0, 1))
            return ast.Call(ast.Name("fma", ast.Load()), [odd, self._power(x, step), even], [])
        value: ast.expr = self._typed(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            arguments = [value, self._power(x, step), self._typed(coefficient)]
            value = ast.Call(ast.Name("fma", ast.Load()), arguments, [])
        return value

    def _power(self, x: str, exponent: int) -> ast.expr:
        """The name of x to a power of 2, computed before the statement at hand."""
        if exponent == 1:
            return ast.Name(x, ast.Load())
        name = f"{x}__{exponent}"
        if name not in self.powers:
            root = self._power(x, exponent // 2)
            self.powers[name] = ast.Assign([ast.Name(name, ast.Store())], ast.BinOp(root, ast.Mult(), root))
        return ast.Name(name, ast.Load())

    def _statement(self, node: ast.stmt) -> list[ast.AST]:
        outer, self.powers = self.powers, {}
        visited = self.generic_visit(node)
        inner, self.powers = self.powers, outer
        return [*inner.values(), visited]

    visit_Assign = visit_Return = _statement

    def _typed(self, value: Any) -> ast.expr:
        if self.scalar == "float64" and np.isfinite(value):
            return ast.Constant(value)
        if not np.isfinite(value):
            number: ast.expr = ast.Attribute(ast.Name("np", ast.Load()), "inf" if value > 0 else "nan", ast.Load())
            if value == -np.inf:
                number = ast.UnaryOp(ast.USub(), ast.Attribute(ast.Name("np", ast.Load()), "inf", ast.Load()))
        else:
            number = ast.Constant(value)
        return ast.Call(ast.Name(self.scalar, ast.Load()), [number], [])
