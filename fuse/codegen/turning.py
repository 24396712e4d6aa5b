"""The name with which generated kernels copy a matrix to or from a tile that lies across it, in vectors.

Eight rows at a time are read along themselves, turned by interleaving vectors, and written along the tile; element by
element such a copy takes five times as long.

Importing this module imports numba.
"""
from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

I32, I64 = ir.IntType(32), ir.IntType(64)
ROWS = 8                            # that are turned at once
COLUMNS = (8, 4, 2, 1)              # of the blocks that they are taken apart into
ELEMENTS = {8: ir.IntType(8), 16: ir.IntType(16), 32: ir.FloatType(), 64: ir.DoubleType()}      # copied, by bits


@intrinsic
def turn(typingctx, source, at, step, target, to, across, rows, columns):
    """``target[to + c * across + r] = source[at + r * step + c]`` for rows r and columns c, elements as they are."""
    bits = 8 * source.itemsize
    def build(context, builder, signature, args):
        source, at, step, target, to, across, rows, columns = args
        element = ELEMENTS[bits].as_pointer()
        ends = []
        for type_, value, place in ((signature.args[0], source, at), (signature.args[3], target, to)):
            data = cgutils.create_struct_proxy(type_)(context, builder, value=value).data
            ends.append(builder.gep(builder.bitcast(data, element), [place], inbounds=True))
        builder.call(_turner(builder.module, bits), [*ends, step, across, rows, columns])
        return context.get_dummy_value()
    return types.none(source, *[types.int64] * 2, target, *[types.int64] * 4), build


def _turner(module, bits):
    """The function that turns matrices of elements of so many bits: one in each module."""
    name = f"fuse_turn_{bits}"
    if name in module.globals:
        return module.globals[name]
    pointer = ELEMENTS[bits].as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, *[I64] * 4]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    for argument in function.args[:2]:
        argument.add_attribute("noalias")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    source, target, step, across, rows, columns = function.args
    full, wide = (builder.and_(n, I64(-k)) for n, k in ((rows, ROWS), (columns, COLUMNS[0])))

    def block(row, column, width):
        read = builder.gep(source, [builder.add(builder.mul(row, step), column)], inbounds=True)
        write = builder.gep(target, [builder.add(builder.mul(column, across), row)], inbounds=True)
        vectors = [_vector(builder, builder.gep(read, [builder.mul(I64(r), step)], inbounds=True), width, bits)
                   for r in range(ROWS)]
        for c, vector in enumerate(_turned(builder, vectors)):
            place = builder.gep(write, [builder.mul(I64(c), across)], inbounds=True)
            builder.store(vector, builder.bitcast(place, vector.type.as_pointer()), align=_align(bits))

    with cgutils.for_range_slice(builder, I64(0), full, I64(ROWS), intp=I64) as (row, _):
        with cgutils.for_range_slice(builder, I64(0), wide, I64(COLUMNS[0]), intp=I64) as (column, _):
            block(row, column, COLUMNS[0])
        for width in COLUMNS[1:]:
            some = builder.icmp_unsigned("!=", builder.and_(columns, I64(width)), I64(0))
            with builder.if_then(some):
                block(row, builder.and_(columns, I64(-2 * width)), width)
    with (cgutils.for_range_slice(builder, full, rows, I64(1), intp=I64) as (row, _),
          cgutils.for_range_slice(builder, I64(0), columns, I64(1), intp=I64) as (column, _)):
        value = builder.load(builder.gep(source, [builder.add(builder.mul(row, step), column)], inbounds=True),
                             align=_align(bits))
        builder.store(value, builder.gep(target, [builder.add(builder.mul(column, across), row)], inbounds=True),
                      align=_align(bits))
    builder.ret_void()
    return function


def _align(bits):
    return min(bits // 8, 4)            # that of the halves of a complex number


def _vector(builder, place, width, bits):
    kind = ir.VectorType(ELEMENTS[bits], width)
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=_align(bits))


def _turned(builder, vectors):
    """The columns of a matrix of ROWS rows ``vectors``: all halves interleaved, again and again.

    No vector is longer than a column: LLVM makes arbitrary permutations of longer ones.
    """
    rows = [[v] for v in vectors]
    while len(rows) > 1:
        half = len(rows) // 2
        rows = [[v for a, b in zip(*pair, strict=True) for v in _interleaved(builder, a, b)]
                for pair in zip(rows[:half], rows[half:], strict=True)]
    return rows[0]


def _interleaved(builder, a, b):
    """The elements of two vectors in turn, as one vector or, where that would be too long, as two."""
    n = a.type.count
    mask = [k for pair in zip(range(n), range(n, 2 * n), strict=True) for k in pair]
    return [builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(some)), some))
            for some in ([mask] if n < ROWS else [mask[:n], mask[n:]])]
