"""The name with which generated kernels run a tape.

Importing this module imports numba.
"""
from __future__ import annotations

from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen.structures import member

I64 = ir.IntType(64)


@intrinsic
def run(typingctx, code, first, last, table, count):
    """Call the block operations of `code` from place `first` to `last`: function, number of operands, operands."""
    def build(context, builder, signature, args):
        code, first, last, table, count = args
        pointer = I64.as_pointer()
        code, table = (builder.bitcast(member(context, builder, type_, value, "data"), pointer)
                       for type_, value in ((signature.args[0], code), (signature.args[3], table)))
        function = ir.FunctionType(ir.VoidType(), [pointer, pointer, I64]).as_pointer()
        at = cgutils.alloca_once_value(builder, first)
        with _while(builder, at, last):
            place = builder.load(at)
            step = builder.inttoptr(builder.load(builder.gep(code, [place])), function)
            operands = builder.gep(code, [builder.add(place, I64(2))])
            builder.call(step, [table, operands, count])
            width = builder.load(builder.gep(code, [builder.add(place, I64(1))]))
            builder.store(builder.add(builder.add(place, I64(2)), width), at)
        return context.get_dummy_value()
    return types.none(code, types.int64, types.int64, table, types.int64), build


@contextmanager
def _while(builder, at, last):
    """The body of a loop that goes on while the number in memory at `at` is below `last`."""
    test, body, done = (builder.append_basic_block(name) for name in ("test", "body", "done"))
    builder.branch(test)
    builder.position_at_end(test)
    builder.cbranch(builder.icmp_signed("<", builder.load(at), last), body, done)
    builder.position_at_end(body)
    yield
    builder.branch(test)
    builder.position_at_end(done)
