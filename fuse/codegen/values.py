"""Values of generated source as LLVM: the expressions of the walk over a function's syntax tree (`walk.py`)."""
from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import _Intrinsic

from fuse.codegen.target import Unsupported, function_type, implementation, resolved, signatures, target

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
Names = Mapping[str, Any]

_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
# What may be computed though its result is not used: no memory is read, nothing traps or takes long.
_HARMLESS = (
    ast.Name, ast.Constant, ast.Compare, ast.UnaryOp, ast.BoolOp, ast.IfExp, ast.Attribute, ast.Load, ast.boolop,
    ast.unaryop, ast.cmpop, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift,
    ast.RShift, ast.BinOp,
)


class Value:
    """A value of the walk: LLVM value, numba type, and for constants the Python value."""

    __slots__ = ("constant", "ir", "type")

    def __init__(self, value: Any, type_: Any, constant: Any = None) -> None:
        self.ir, self.type, self.constant = value, type_, constant


class Helper:
    """A function that kernels call, as LLVM assembly of a module of its own."""

    def __init__(self, symbol: str, restype: Any, text: str, needs: list[Helper]) -> None:
        self.symbol, self.restype, self.text, self.needs = symbol, restype, text, needs


Translate = Callable[[FunctionType, tuple[Any, ...]], Helper]


class Values:
    """Writes the values of one function; ``translate`` gives the functions that it calls, listed in ``needs``."""

    def __init__(self, module: Any, names: Names, translate: Translate) -> None:
        self.context = target()
        self.module, self.names, self.translate = module, names, translate
        self.needs: list[Helper] = []
        self.slots: dict[str, tuple[Any, Any]] = {}  # names in memory: where, and their type
        self.env: dict[str, Value] = {}
        self.memory: set[str] = set()  # names that several assignments meet in
        self.builder: Any

    def expr(self, node: ast.expr) -> Value:
        handler = getattr(self, f"of_{type(node).__name__}", None)
        if handler is None:
            raise Unsupported(type(node).__name__)
        value: Value = handler(node)
        return value

    def constant(self, value: Any) -> Value:
        if isinstance(value, bool):
            return Value(I1(int(value)), types.boolean, value)
        if isinstance(value, int):
            if not -(2**63) <= value < 2**64:
                raise Unsupported("a large integer")
            bits = value if value < 2**63 else value - 2**64
            return Value(I64(bits), types.literal(value), value)  # from 2**63 on a literal uint64
        if isinstance(value, float):
            return Value(self.context.get_constant(types.float64, value), types.float64, value)
        if isinstance(value, str):
            return Value(None, types.literal(value), value)
        raise Unsupported(f"a constant {type(value).__name__}")

    def of_Constant(self, node: ast.Constant) -> Value:
        return self.constant(node.value)

    def of_Tuple(self, node: ast.Tuple) -> Value:
        values = [self.expr(v) for v in node.elts]
        kind = types.BaseTuple.from_types([types.unliteral(v.type) for v in values])
        items = [self.cast(v, t) for v, t in zip(values, kind, strict=True)]
        return Value(self.context.make_tuple(self.builder, kind, items), kind)

    def of_Name(self, node: ast.Name) -> Value:
        return self.name(node.id)

    def name(self, name: str) -> Value:
        if name in self.slots:
            slot, type_ = self.slots[name]
            return Value(self.builder.load(slot), type_)
        if name in self.env:
            return self.env[name]
        return self.constant(self.python(name))

    def python(self, name: str) -> Any:
        """What a global name stands for."""
        if name in self.env or name in self.slots or name in self.memory:
            raise Unsupported(f"{name} is no global name")
        if name in self.names:
            return self.names[name]
        try:
            return getattr(builtins, name)
        except AttributeError:
            raise Unsupported(name) from None

    def of_Attribute(self, node: ast.Attribute) -> Value:
        if isinstance(node.value, ast.Name) and not self.is_local(node.value.id):
            found = self.python(node.value.id)
            if isinstance(found, ModuleType):
                return self.constant(getattr(found, node.attr))
        value = self.expr(node.value)
        type_ = types.unliteral(value.type)
        result = self.context.typing_context.resolve_getattr(type_, node.attr)
        if result is None:
            raise Unsupported(node.attr)
        made = self.context.get_getattr(type_, node.attr)
        return Value(made(self.context, self.builder, type_, self.cast(value, type_), node.attr), result)

    def is_local(self, name: str) -> bool:
        return name in self.env or name in self.slots or name in self.memory

    def of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.expr(node.operand)
        if value.constant is not None and not isinstance(value.constant, str):
            return self.constant(_OPERATORS[type(node.op)](value.constant))
        return self.operation(node.op, [value])

    def of_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.expr(node.left), self.expr(node.right)
        known = [v.constant for v in (left, right)]
        if all(type(k) in (int, float) for k in known):
            try:
                return self.constant(_OPERATORS[type(node.op)](*known))
            except (ArithmeticError, TypeError, ValueError):
                raise Unsupported("constants") from None
        if isinstance(node.op, ast.Pow) and right.constant is not None:
            raise Unsupported("numba has forms of its own for constant powers")
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and type(right.constant) is int and right.constant > 0 and (
                types.unliteral(left.type) == types.unliteral(right.type) == types.int64):
            return Value(self.parted(node.op, left.ir, right.constant), types.int64)
        return self.operation(node.op, [left, right])

    def parted(self, op: ast.operator, number: Any, by: int) -> Any:
        """``number // by`` or ``number % by`` of int64, rounded down; numba has branches for other divisors."""
        b = self.builder
        if by & (by - 1) == 0:
            return b.and_(number, I64(by - 1)) if isinstance(op, ast.Mod) else b.ashr(number, I64(by.bit_length() - 1))
        rest = b.srem(number, I64(by))
        below = b.icmp_signed("<", rest, I64(0))
        if isinstance(op, ast.Mod):
            return b.select(below, b.add(rest, I64(by)), rest)
        quotient = b.sdiv(number, I64(by))
        return b.select(below, b.sub(quotient, I64(1)), quotient)

    def of_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) != 1:
            raise Unsupported("a chain of comparisons")
        values = [self.expr(node.left), self.expr(node.comparators[0])]
        if all(type(v.constant) is int for v in values):
            return self.constant(_OPERATORS[type(node.ops[0])](*[v.constant for v in values]))
        return self.operation(node.ops[0], values)

    def operation(self, op: ast.AST, values: list[Value]) -> Value:
        if type(op) not in _OPERATORS:
            raise Unsupported(type(op).__name__)
        return self.apply(_OPERATORS[type(op)], values)

    def of_BoolOp(self, node: ast.BoolOp) -> Value:
        value = self.expr(node.values[0])
        for other in node.values[1:]:
            if value.type != types.boolean:
                raise Unsupported("and, or of numbers")
            short = value.ir if isinstance(node.op, ast.Or) else self.builder.not_(value.ir)
            value = self.choice(short, lambda value=value: value, lambda other=other: self.expr(other), other)
            if value.type != types.boolean:
                raise Unsupported("and, or of numbers")
        return value

    def of_IfExp(self, node: ast.IfExp) -> Value:
        test = self.truth(self.expr(node.test))
        both = ast.Tuple([node.body, node.orelse], ast.Load())
        return self.choice(test, lambda: self.expr(node.body), lambda: self.expr(node.orelse), both)

    def choice(self, test: Any, first: Any, second: Any, text: ast.AST) -> Value:
        """One of two values: both computed where that is harmless, else by a branch."""
        b = self.builder
        if all(isinstance(n, (_HARMLESS, ast.Tuple)) for n in ast.walk(text)):
            left, right = first(), second()
            type_ = self.unified(left.type, right.type)
            return Value(b.select(test, self.cast(left, type_), self.cast(right, type_)), type_)
        blocks = [b.append_basic_block(n) for n in ("yes", "no", "both")]
        b.cbranch(test, blocks[0], blocks[1])
        b.position_at_end(blocks[0])
        left = first()
        ends = [b.block]
        b.position_at_end(blocks[1])
        right = second()
        ends.append(b.block)
        type_ = self.unified(left.type, right.type)
        arrived = []
        for end, value in zip(ends, (left, right), strict=True):
            b.position_at_end(end)
            arrived.append(self.cast(value, type_))
            b.branch(blocks[2])
        b.position_at_end(blocks[2])
        phi = b.phi(self.context.get_value_type(type_))
        for end, value in zip(ends, arrived, strict=True):
            phi.add_incoming(value, end)
        return Value(phi, type_)

    def unified(self, left: Any, right: Any) -> Any:
        left, right = types.unliteral(left), types.unliteral(right)
        type_ = left if left == right else self.context.typing_context.unify_types(left, right)
        if not isinstance(type_, (types.Number, types.Boolean)):
            raise Unsupported(f"a choice of {left} and {right}")
        return type_

    def truth(self, value: Value) -> Any:
        return value.ir if value.type == types.boolean else self.apply(bool, [value]).ir

    def cast(self, value: Value, type_: Any) -> Any:
        if value.type == type_:
            return value.ir
        key = ("cast", value.type, type_)
        if key not in signatures:
            if self.context.typing_context.can_convert(value.type, type_) is None:
                raise Unsupported(f"{value.type} as {type_}")
            signatures[key] = True
        return self.context.cast(self.builder, value.ir, value.type, type_)

    # ------------------------------------------------------------ calls
    def of_Call(self, node: ast.Call) -> Value:
        if node.keywords:
            raise Unsupported("keywords")
        match node.func:
            case ast.Name(id=name):
                function = self.python(name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if isinstance(self.python(name), ModuleType):
                function = getattr(self.python(name), attribute)
            case _:
                raise Unsupported("a call")
        return self.apply(function, [self.expr(a) for a in node.args])

    def apply(self, function: Any, values: list[Value]) -> Value:
        if isinstance(function, FunctionType):
            return self.helper(function, values)
        if function in (min, max) and len(values) == 2:
            return self.extremum(function, *values)
        if isinstance(function, _Intrinsic):
            return self.intrinsic(function, values)
        kind = function_type(function)
        if isinstance(kind, types.Dispatcher):
            raise Unsupported("a function compiled by numba")
        signature = resolved(kind, tuple([v.type for v in values]))
        values = self.starred(signature, values)
        if len(signature.args) != len(values):
            raise Unsupported("arguments")
        arguments = [self.cast(v, t) for v, t in zip(values, signature.args, strict=True)]
        result = implementation(kind, signature)(self.builder, arguments)
        return Value(result, signature.return_type)

    def intrinsic(self, function: Any, values: list[Value]) -> Value:
        """One of fuse's own instructions: typed and written by its definition, past numba's tables."""
        argtypes = tuple([v.type if function._prefer_literal else types.unliteral(v.type) for v in values])
        key = function, argtypes
        if key not in signatures:
            signatures[key] = function._defn(self.context.typing_context, *argtypes)
        signature, build = signatures[key]
        arguments = [self.cast(v, t) for v, t in zip(self.starred(signature, values), signature.args, strict=True)]
        return Value(build(self.context, self.builder, signature, arguments), signature.return_type)

    def extremum(self, function: Any, left: Value, right: Value) -> Value:
        """Python's min or max of two integers of one type, for which numba would compile a function."""
        type_ = types.unliteral(left.type)
        if type_ != types.unliteral(right.type) or not isinstance(type_, types.Integer):
            raise Unsupported("min, max of several types")
        second = self.apply(operator.lt if function is min else operator.gt, [right, left]).ir
        return Value(self.builder.select(second, self.cast(right, type_), self.cast(left, type_)), type_)

    def starred(self, signature: Any, values: list[Value]) -> list[Value]:
        """The arguments with those of a ``*parameter`` in one tuple."""
        if not (signature.args and isinstance(signature.args[-1], (types.StarArgTuple, types.StarArgUniTuple))):
            return values
        fixed = len(signature.args) - 1
        kind = signature.args[-1]
        rest = [self.cast(v, t) for v, t in zip(values[fixed:], kind.types, strict=True)]
        return [*values[:fixed], Value(self.context.make_tuple(self.builder, kind, rest), kind)]

    def helper(self, function: FunctionType, values: list[Value]) -> Value:
        argtypes = tuple([types.unliteral(v.type) for v in values])
        made = self.translate(function, argtypes)
        if made not in self.needs:
            self.needs.append(made)
        callee = self.module.globals.get(made.symbol)
        if callee is None:
            kinds = [self.context.get_value_type(t) for t in argtypes]
            callee = ir.Function(
                self.module, ir.FunctionType(self.context.get_value_type(made.restype), kinds), made.symbol
            )
        arguments = [self.cast(v, t) for v, t in zip(values, argtypes, strict=True)]
        return Value(self.builder.call(callee, arguments), made.restype)


def called(node: ast.AST) -> str:
    """The name of the function that ``node`` calls; "" for anything else."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
