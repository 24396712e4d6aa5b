"""Generated source straight to LLVM: a typed walk over the syntax tree that asks numba for every type and operation.

Numba's own pipeline finds the types of any Python; what the emitter writes is so plain that its types are known as one
reads it. This walk resolves each call through numba's typing context and lowers it with numba's target context, just
as numba does, in a tenth of the time. What it does not know raises Unsupported, and numba's pipeline takes over.
Statements are here, values in `values.py`.
"""
from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from fuse.codegen import intrinsics
from fuse.codegen.mathlib.specialise import two_at_once
from fuse.codegen.native import floats
from fuse.codegen.scopes import in_memory
from fuse.codegen.target import Unsupported
from fuse.codegen.values import I32, I64, Value, Values, called

LOOP = "fuse loop"
SHORT = 2  # statements of a loop that LLVM may write out several times: counting takes as long as they do


def narrow_work(blocks: Sequence[ir.Block]) -> bool:
    """Whether a loop of these blocks calls functions of float32 only, beside memory of wider numbers.

    LLVM takes as many elements at once as the widest number in memory allows; here that is half a vector's worth.
    """
    kinds, memory = set(), set()
    for instruction in [i for block in blocks for i in block.instructions]:
        match instruction:
            case ir.CallInstr() if not instruction.called_function.name.startswith("llvm."):
                kinds.add(str(instruction.type))
            case ir.LoadInstr():
                memory.add(str(instruction.type))
            case ir.StoreInstr():
                memory.add(str(instruction.operands[0].type))
    return kinds == {"float"} and bool(memory & {"double", "i64"})


class Walk(Values):
    """Writes one function into an LLVM module."""

    restype: Any = None
    loops = 0
    around = 0  # loops around the statement at hand

    # ------------------------------------------------------------ whole functions
    def body(self, definition: ast.FunctionDef, arguments: Sequence[Value]) -> None:
        self.memory = in_memory(definition)
        formal = definition.args
        if formal.vararg or formal.kwonlyargs or formal.kwarg or len(formal.args) != len(arguments):
            raise Unsupported("arguments")
        for argument, value in zip(formal.args, arguments, strict=True):
            self.assign(argument.arg, value)
        if not self.statements(definition.body):
            raise Unsupported("a path without return")

    def statements(self, body: Sequence[ast.stmt]) -> bool:
        """Write the statements; True where all paths return."""
        for s in body:
            handler = getattr(self, f"do_{type(s).__name__}", None)
            if handler is None:
                raise Unsupported(type(s).__name__)
            if handler(s):
                return True
        return False

    def assign(self, name: str, value: Value) -> None:
        if name not in self.memory:
            self.env[name] = value
            return
        type_ = types.unliteral(value.type)
        if name not in self.slots:
            self.slots[name] = cgutils.alloca_once(self.builder, self.context.get_value_type(type_), name=name), type_
        slot, known = self.slots[name]
        if known != type_:
            raise Unsupported(f"{name} changes its type")
        self.builder.store(self.cast(value, type_), slot)

    # ------------------------------------------------------------ statements
    def do_Assign(self, s: ast.Assign) -> None:
        match s.targets:
            case [ast.Name(id=name)]:
                self.assign(name, self.expr(s.value))
            case [ast.Tuple(elts=targets)] if all(isinstance(t, ast.Name) for t in targets):
                value = self.expr(s.value)
                if not isinstance(value.type, types.BaseTuple) or len(value.type) != len(targets):
                    raise Unsupported("assignment")
                for k, (target, kind) in enumerate(zip(targets, value.type, strict=True)):
                    assert isinstance(target, ast.Name)
                    self.assign(target.id, Value(self.builder.extract_value(value.ir, k), kind))
            case _:
                raise Unsupported("assignment")

    def do_AugAssign(self, s: ast.AugAssign) -> None:
        if not isinstance(s.target, ast.Name):
            raise Unsupported("assignment")
        left = self.name(s.target.id)
        self.assign(s.target.id, self.operation(s.op, [left, self.expr(s.value)]))

    def do_Expr(self, s: ast.Expr) -> None:
        if not (isinstance(s.value, ast.Constant) or called(s.value) == "independent"):
            self.expr(s.value)

    def do_Pass(self, s: ast.Pass) -> None:
        pass

    def do_Return(self, s: ast.Return) -> bool:
        if s.value is None:
            raise Unsupported("return without a value")
        self.give(self.expr(s.value))
        return True

    def give(self, value: Value) -> None:
        """Write the return of ``value``."""
        type_ = types.unliteral(value.type)
        if self.restype not in (None, type_):
            raise Unsupported("results of several types")
        self.restype = type_
        self.builder.ret(self.cast(value, type_))

    def do_If(self, s: ast.If) -> bool:
        b = self.builder
        value = self.expr(s.test)
        if isinstance(value.constant, (bool, int)):
            return self.statements(s.body if value.constant else s.orelse)
        test = self.truth(value)
        then, other, end = [b.append_basic_block(n) for n in ("then", "else", "end")]
        b.cbranch(test, then, other)
        done = []
        for block, body in ((then, s.body), (other, s.orelse)):
            b.position_at_end(block)
            returned = self.statements(body)
            done.append(returned)
            if not returned:
                b.branch(end)
        b.position_at_end(end)
        if all(done):
            b.unreachable()
        return all(done)

    def do_While(self, s: ast.While) -> None:
        b = self.builder
        head, body, end = [b.append_basic_block(n) for n in ("while", "body", "end")]
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(self.truth(self.expr(s.test)), body, end)
        b.position_at_end(body)
        if s.orelse or self.statements(s.body):
            raise Unsupported("while")
        b.branch(head)
        b.position_at_end(end)

    def do_For(self, s: ast.For) -> None:
        call = s.iter
        if called(call) != "range" or "range" in self.names or s.orelse or not isinstance(s.target, ast.Name):
            raise Unsupported("for")
        assert isinstance(call, ast.Call)
        bounds = [self.expr(a) for a in call.args]
        if not 1 <= len(bounds) <= 2 or any(types.unliteral(v.type) != types.int64 for v in bounds):
            raise Unsupported("range")
        known = [0, *[v.constant for v in bounds]][-2:]
        if all(type(k) is int for k in known) and known[0] >= known[1]:
            return  # what is left over of a known size, say
        start, stop = [I64(0), *[self.cast(v, types.int64) for v in bounds]][-2:]
        b = self.builder
        before = b.block
        body, end = b.append_basic_block("for"), b.append_basic_block("end")
        b.cbranch(b.icmp_signed("<", start, stop), body, end)
        b.position_at_end(body)
        index = b.phi(I64)
        index.add_incoming(start, before)
        self.assign(s.target.id, Value(index, types.int64))
        self.around += 1
        if self.statements(s.body):
            raise Unsupported("a loop that returns")
        self.around -= 1
        following = b.add(index, I64(1), flags=("nsw",))
        index.add_incoming(following, b.block)
        latch = b.cbranch(b.icmp_signed("<", following, stop), body, end)
        m = self.module
        self.loops += 1
        if hints := self.hints(s, b.function.blocks.index(body)):
            latch.set_metadata("llvm.loop", m.add_metadata([ir.MetaDataString(m, f"{LOOP} {self.loops}"), *hints]))
        b.position_at_end(end)

    def hints(self, s: ast.For, first: int) -> list[Any]:
        """What LLVM is told of the loop ``s``, whose blocks begin with the function's block number ``first``."""
        m = self.module

        def hint(name: str, *values: ir.Constant) -> Any:
            return m.add_metadata([ir.MetaDataString(m, f"llvm.loop.{name}"), *values])

        if not any(isinstance(x, ast.Expr) and called(x.value) == "independent" for x in s.body):
            # Its steps wait for one another, or it is around a loop: copies of it would mostly be compiled longer.
            short = len(s.body) <= SHORT and not any(isinstance(x, (ast.For, ast.While, ast.If)) for x in s.body)
            return [] if short else [hint("unroll.runtime.disable")]
        found = [hint("parallel_accesses", intrinsics.access_group(m))]
        functions = [self.names.get(called(x)) for x in ast.walk(s) if isinstance(x, ast.Call)]
        if two_at_once(functions, "part" in self.env, self.around > 0):
            found.append(hint("interleave.count", I32(2)))
        # A loop that is left half-way is not vectorised; told to be, LLVM prints that it is not.
        leaves = any(isinstance(x, (ast.Return, ast.Break)) for x in ast.walk(s))
        if not leaves and narrow_work(self.builder.function.blocks[first:]):
            found.append(hint("vectorize.width", I32(floats())))
        return found
