"""The names with which generated kernels copy in vectors: a matrix to or from a tile, and every second element.

Eight rows at a time are read along themselves, turned by interleaving vectors, and written along the tile; element by
element such a copy takes five times as long.

Importing this module imports numba.
"""
from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen.structures import member

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
            data = member(context, builder, type_, value, "data")
            ends.append(builder.gep(builder.bitcast(data, element), [place], inbounds=True))
        builder.call(_turner(builder.module, bits), [*ends, step, across, rows, columns])
        return context.get_dummy_value()
    return types.none(source, *[types.int64] * 2, target, *[types.int64] * 4), build


def _function(module, name, pointer, numbers):
    """A function of a source, a target and so many integers, called where it is needed; and its first block."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, *[I64] * numbers]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    for argument in function.args[:2]:
        argument.add_attribute("noalias")
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _turner(module, bits):
    """The function that turns matrices of elements of so many bits: one in each module."""
    name = f"fuse_turn_{bits}"
    if name in module.globals:
        return module.globals[name]
    pointer = ELEMENTS[bits].as_pointer()
    function, builder = _function(module, name, pointer, 4)
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


@intrinsic
def every_second(typingctx, source, at, target, count):
    """``target[k] = source[at + 2 * k]`` for k below ``count``, elements as they are."""
    bits = 8 * source.itemsize
    def build(context, builder, signature, args):
        source, at, target, count = args
        element = ELEMENTS[bits].as_pointer()
        read, write = [
            builder.bitcast(member(context, builder, type_, value, "data"), element)
            for type_, value in ((signature.args[0], source), (signature.args[2], target))]
        builder.call(_picker(builder.module, bits), [builder.gep(read, [at], inbounds=True), write, count])
        return context.get_dummy_value()
    return types.none(source, types.int64, target, types.int64), build


@intrinsic
def copied(typingctx, source, at, target, to, count):
    """``target[to + k] = source[at + k]`` for k below ``count``, elements as they are, in memory of another array."""
    def build(context, builder, signature, args):
        source, at, target, to, count = args
        size = I64(signature.args[0].itemsize)
        read, write = [
            builder.gep(member(context, builder, type_, value, "data"), [builder.mul(place, size)], inbounds=True)
            for type_, value, place in ((signature.args[0], source, at), (signature.args[2], target, to))]
        cgutils.raw_memcpy(builder, write, read, count, size)
        return context.get_dummy_value()
    return types.none(source, types.int64, target, types.int64, types.int64), build


def _picker(module, bits):
    """The function that copies every second element: one in each module.

    LLVM by itself gathers them, which takes three times as long where memory is not in cache.
    """
    name = f"fuse_every_second_{bits}"
    if name in module.globals:
        return module.globals[name]
    pointer, width = ELEMENTS[bits].as_pointer(), 512 // bits
    function, builder = _function(module, name, pointer, 1)
    source, target, count = function.args
    full = builder.and_(count, I64(-width))

    def places(k):
        return builder.gep(source, [builder.mul(k, I64(2))], inbounds=True), builder.gep(target, [k], inbounds=True)

    # of two vectors, the second of which ends with the last element that is wanted: there may be none behind it
    mask = [*range(0, width, 2), *range(width + 1, 2 * width, 2)]
    with cgutils.for_range_slice(builder, I64(0), full, I64(width), intp=I64) as (k, _):
        read, write = places(k)
        both = [_vector(builder, builder.gep(read, [I64(n)], inbounds=True), width, bits) for n in (0, width - 1)]
        picked = builder.shuffle_vector(*both, ir.Constant(ir.VectorType(I32, width), mask))
        builder.store(picked, builder.bitcast(write, picked.type.as_pointer()), align=_align(bits))
    with cgutils.for_range_slice(builder, full, count, I64(1), intp=I64) as (k, _):
        read, write = places(k)
        builder.store(builder.load(read, align=_align(bits)), write, align=_align(bits))
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
