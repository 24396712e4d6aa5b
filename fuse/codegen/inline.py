"""Inlining: the body of an op's scalar kernel as source text for given operand names and dtypes.

The decorated function is parsed once; its arguments, locals, parameters, literals and ``mathlib`` names are
substituted as AST nodes, so ``ast.unparse`` sets the parentheses.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.codegen import mathlib
from fuse.codegen.syntax import parse
from fuse.errors import CompileError
from fuse.op import Op

Resolve = Callable[[str, str], "tuple[str, Any]"]  # (mathlib name, dtype) -> (name to call, helper to provide or None)


@cache
def _definition(op: Op) -> ast.FunctionDef:
    assert op.kernel is not None
    try:
        tree = parse(textwrap.dedent(inspect.getsource(op.kernel)))
    except (OSError, TypeError, SyntaxError) as error:
        raise CompileError(
            f"the source of the kernel of {op} cannot be read ({error}): define it with `def` in a file or a cell"
        ) from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise CompileError(f"the kernel of {op} must be a `def`, not a lambda")
    return definition


def is_straight(op: Op) -> bool:
    """Whether the kernel is assignments and one final return, so that its body can be inlined."""
    body = _statements(op)
    return (
        bool(body)
        and isinstance(body[-1], ast.Return)
        and all(isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) for s in body[:-1])
    )


def _statements(op: Op) -> list[ast.stmt]:
    body = _definition(op).body
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        body = body[1:]
    return body


@cache
def kernel_cost(op: Op) -> int:
    """A rough count of the arithmetic operations of one evaluation, read off the kernel's text.

    A function that is neither an instruction nor a few counts as ``mathlib.CALL``, be it of mathlib or a user's own.
    """
    total = 0
    for node in [n for statement in _statements(op) for n in ast.walk(statement)]:
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            total += mathlib.COSTS.get(name, mathlib.CALL)
        elif isinstance(node, (ast.BinOp, ast.Compare)):
            total += mathlib.COSTS["divide"] if isinstance(getattr(node, "op", None), ast.Div) else 1
    return max(total, 1)


class _Substitute(ast.NodeTransformer):
    def __init__(
        self, op: Op, names: dict[str, ast.expr], dtype: str, resolve: Resolve, helpers: dict[str, Any], prefix: str
    ) -> None:
        self.op, self.names, self.dtype, self.resolve = op, names, dtype, resolve
        self.helpers, self.prefix = helpers, prefix

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Store):
            local = f"{self.prefix}_{len(self.names)}"
            known = self.names.get(node.id)
            if isinstance(known, ast.Name) and known.id.startswith(self.prefix):
                local = known.id
            else:
                self.names[node.id] = ast.Name(local, ast.Load())
            return ast.Name(local, ast.Store())
        if node.id in self.names:
            return self.names[node.id]
        return self.global_name(node)

    def global_name(self, node: ast.Name) -> ast.expr:
        kernel = self.op.kernel
        assert kernel is not None
        scope = dict(inspect.getclosurevars(kernel).nonlocals)
        known = kernel.__globals__ if node.id not in scope else scope
        if node.id not in known:
            if node.id in ("abs", "min", "max", "int", "float", "bool", "round", "pow", "True", "False"):
                return node
            raise CompileError(f"the kernel of {self.op} uses {node.id}, which is not defined")
        value = known[node.id]
        if isinstance(value, (bool, int, float)):
            return parse(constant_text(value, self.dtype), mode="eval").body
        if node.id in ("math", "np", "numpy"):
            return ast.Name("math" if node.id == "math" else "np", ast.Load())
        name = f"h{abs(hash((id(value), node.id))) % 10**10}"
        self.helpers[name] = value
        return ast.Name(name, ast.Load())

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        value = self.visit(node.value)  # before the target is renamed: x = x + 1
        return ast.Assign([self.visit(t) for t in node.targets], value, lineno=0)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node.func:
            case ast.Attribute(value=ast.Name(id="mathlib"), attr=name):
                symbol = mathlib.operator(name, self.dtype)
            case _:
                symbol = None
        if symbol is not None:
            left, right = [ast.unparse(ast.fix_missing_locations(self.visit(a))) for a in node.args]
            return parse(f"({left}) {symbol} ({right})", mode="eval").body
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == "mathlib":
            name, helper = self.resolve(node.attr, self.dtype)
            if helper is not None:
                self.helpers[name] = helper
            return parse(name, mode="eval").body
        return ast.Attribute(self.visit(node.value), node.attr, ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return parse(constant_text(node.value, self.dtype), mode="eval").body
        return node


def constant_text(value: Any, dtype: str) -> str:
    """Source text of ``value`` as a constant of ``dtype``, typed so that Numba does not promote what it meets."""
    if dtype == "bool":
        return repr(bool(value)) if isinstance(value, (bool, np.bool_)) else repr(value)
    if dtype in ty.COMPLEX:
        value = complex(value)
        real = ty.real_of(dtype)
        return f"{dtype}(complex({_float_text(value.real, real)}, {_float_text(value.imag, real)}))"
    if dtype in ty.FLOATING:
        return _float_text(float(value), dtype)
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    value = int(value)
    if dtype == "int64":
        return str(value) if value > -(2**63) else f"(-{2**63 - 1} - 1)"
    return f"{dtype}({value})"


def _float_text(value: float, dtype: str) -> str:
    if value != value:
        text = "np.nan"
    elif value in (float("inf"), float("-inf")):
        text = "np.inf" if value > 0 else "-np.inf"
    else:
        text = repr(value)
    return f"float32({text})" if dtype in ("float32", "float16") else text if not text.startswith("-") else f"({text})"


def compute_dtype(signature: Sequence[str]) -> str:
    """The dtype of the kernel's literals and of its mathlib calls."""
    numbers = [d for d in signature if d != "bool"]
    return ty.promote(*numbers) if numbers else "bool"


def inline(
    op: Op, args: Sequence[str], params: dict[str, Any], dtype: str, resolve: Resolve, prefix: str
) -> tuple[list[str], str, dict[str, Any]]:
    """(statements, result expression, helpers) of ``op``'s kernel applied to the named operands."""
    helpers: dict[str, Any] = {}
    definition = _definition(op)
    names: dict[str, ast.expr] = {}
    formal = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)]
    if len(formal) < len(args):
        raise CompileError(f"the kernel of {op} takes {len(formal)} arguments, not {len(args)}")
    for name, actual in zip(formal, args, strict=False):
        names[name] = ast.Name(actual, ast.Load())
    for name in (*formal[len(args) :], *(a.arg for a in definition.args.kwonlyargs)):
        if name in params:
            value = params[name]
            text = constant_text(value, dtype) if isinstance(value, (bool, int, float, complex)) else repr(value)
            names[name] = parse(text, mode="eval").body
    if not is_straight(op):
        name = f"k_{abs(hash(op)) % 10**10}"
        return [], f"{name}({', '.join(args)})", {name: op.kernel}
    substitute = _Substitute(op, names, dtype, resolve, helpers, prefix)
    lines: list[str] = []
    result = ""
    for statement in _statements(op):
        copied = parse(ast.unparse(statement)).body[0]
        if isinstance(copied, ast.Return):
            assert copied.value is not None
            result = ast.unparse(ast.fix_missing_locations(substitute.visit(copied.value)))
        else:
            lines.append(ast.unparse(ast.fix_missing_locations(substitute.visit(copied))))
    return lines, result, helpers
