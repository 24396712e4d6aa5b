"""Functions of generated source as LLVM assembly: the kernel by numba's convention, its helpers by a plain one."""
from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba.core import callconv, types

from fuse.codegen import intrinsics, often
from fuse.codegen.native import ArgType
from fuse.codegen.target import Unsupported, target
from fuse.codegen.values import I32, I64, Helper, Value
from fuse.codegen.walk import LOOP, Walk

__all__ = ["LOOP", "Unsupported", "module_texts"]

Names = Mapping[str, Any]


class KernelWalk(Walk):
    """The kernel itself: its results go where numba's calling convention wants them."""

    def __init__(self, module: Any, names: Names, definition: ast.FunctionDef) -> None:
        super().__init__(module, names, helper)
        called = [s.func.id for s in ast.walk(definition) if isinstance(s, ast.Call) and isinstance(s.func, ast.Name)]
        self.calls = Counter([id(names[name]) for name in called if name in names])
        self.often: dict[str, often.Often] = {}

    def helper(self, function: FunctionType, values: list[Value]) -> Value:
        if self.calls[id(function)] < often.OFTEN:
            return super().helper(function, values)
        argtypes = tuple([types.unliteral(v.type) for v in values])
        made = self.translate(function, argtypes)
        if set(argtypes) not in ({types.float64}, {types.float32}) or made.restype != argtypes[0] or (
                made.text.count("\n") < often.LARGE):
            return super().helper(function, values)
        kind = self.context.get_value_type(made.restype)
        symbol = often.PREFIX + made.symbol
        if symbol not in self.often:
            texts = tuple([h.text for h in _all([made])])
            self.often[symbol] = often.Often(symbol, made.symbol, str(kind), len(values), texts)
            ir.Function(self.module, ir.FunctionType(kind, [kind] * len(values)), symbol)
        return Value(self.builder.call(self.module.globals[symbol], [v.ir for v in values]), made.restype)

    def give(self, value: Value) -> None:
        self.builder.store(self.cast(value, types.int64), self.builder.function.args[0])
        self.builder.ret(I32(0))


_helpers: dict[tuple[Any, ...], Helper] = {}
_numbers = itertools.count()  # of helpers: one that is being translated has its own before those that it calls


def helper(function: FunctionType, argtypes: tuple[Any, ...]) -> Helper:
    """The plain Python function for these argument types; translated once in a process."""
    key = function, argtypes
    if key not in _helpers:
        definition = getattr(function, "definition", None)
        if definition is None:
            raise Unsupported(f"the source of {function.__name__}")
        with _unit(function.__name__) as module:
            names = {**intrinsics.namespace(), **function.__globals__}
            walk = Walk(module, names, helper)
            # the type of the result is known after the walk, so it is written into a function without one first
            symbol = f"fuse_{function.__name__}_{next(_numbers)}"
            kinds = [walk.context.get_value_type(t) for t in argtypes]
            made = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), symbol)
            walk.builder = _started(made)
            walk.body(definition, [Value(a, t) for a, t in zip(made.args, argtypes, strict=True)])
            made.ftype = ir.FunctionType(walk.context.get_value_type(walk.restype), kinds)
            made.return_value.type = made.ftype.return_type
            if not hasattr(function, "shared"):  # else LLVM decides
                made.attributes.add("noinline" if hasattr(function, "apart") else "alwaysinline")
            _helpers[key] = Helper(symbol, walk.restype, str(module), walk.needs)
    return _helpers[key]


@contextmanager
def _unit(name: str) -> Any:
    context = target()
    library = context.codegen().create_library(name)
    with context.push_code_library(library):
        yield intrinsics.grouped(context.create_module(name))


def _started(function: ir.Function) -> ir.IRBuilder:
    """A builder behind the block that memory on the stack is made in: in a long block its place would be looked for."""
    entry, start = function.append_basic_block("entry"), function.append_basic_block("start")
    ir.IRBuilder(entry).branch(start)
    return ir.IRBuilder(start)


def module_texts(
    definition: ast.FunctionDef, symbol: str, argtypes: Sequence[ArgType], names: Names
) -> tuple[str, list[str], list[often.Often]]:
    """LLVM assembly of the kernel, a function of numba's calling convention called ``symbol``, and of its helpers.

    With them the functions that are not to be inlined.

    Raises Unsupported where numba's pipeline is needed.
    """
    try:
        return _module_texts(definition, symbol, argtypes, names)
    except Unsupported:
        raise
    except Exception as error:  # whatever numba's parts raise for what they were not made for here
        raise Unsupported(f"{type(error).__name__}: {error}") from error


def _module_texts(definition: Any, symbol: str, argtypes: Sequence[ArgType], names: Names) -> Any:
    with _unit(symbol) as module:
        walk = KernelWalk(module, names, definition)
        context = walk.context
        kinds = [intrinsics.buffer_type(a.dtype, a.ndim, a.writable) for a in argtypes]
        packer = context.get_arg_packer(kinds)
        given = [I64.as_pointer(), callconv.excinfo_ptr_t.as_pointer(), *packer.argument_types]
        function = ir.Function(module, ir.FunctionType(I32, given), symbol)
        walk.builder = _started(function)
        values = packer.from_arguments(walk.builder, function.args[2:])
        walk.body(definition, [Value(v, kind) for v, kind in zip(values, kinds, strict=True)])
        # what numba compiled for itself on the way
        internal = [str(each._get_module_for_linking()) for each in context.active_code_library._linking_libraries]
        functions = list(walk.often.values())
        return often.declared(str(module), functions), [*[h.text for h in _all(walk.needs)], *internal], functions


def _all(needs: Sequence[Helper]) -> list[Helper]:
    found: list[Helper] = []
    pending = list(needs)
    while pending:
        each = pending.pop()
        if each not in found:
            found.append(each)
            pending.extend(each.needs)
    return found
