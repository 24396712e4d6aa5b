"""The names generated kernels use: array access without shape or sign checks, and what combines values in any order.

Importing this module imports numba, so only `load` imports it, when the first kernel has to be compiled.
"""
from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, make_attribute_wrapper, register_model
from numba.np.numpy_support import from_dtype

from fuse.codegen import parts, scalars, steps, turning, unlike
from fuse.codegen.native import MANY_ARRAYS, PART
from fuse.codegen.shared_intrinsics import REORDER, call_llvm, float_kind, radd, rmul, vmax, vmin
from fuse.codegen.structures import elements, extracted, member, structure

GROUP = "fuse accesses"         # metadata that `lower` turns into LLVM's access group
GROUPED = "_fuse_grouped"         # set in modules that have it
I64 = ir.IntType(64)


class Buffer(types.Type):
    """Strided memory as kernels see it: data pointer, shape, and strides in bytes; it owns nothing."""

    def __init__(self, dtype, ndim, writable):
        self.dtype, self.ndim, self.writable = dtype, ndim, writable
        super().__init__(name=f"fuse.Buffer({dtype}, {ndim}, {writable})")

    @property
    def key(self):
        return self.dtype, self.ndim, self.writable

    @property
    def value(self):
        """The type of a loaded element: half floats are computed in single precision."""
        return types.float32 if self.dtype == types.float16 else self.dtype

    @property
    def itemsize(self):
        return np.dtype(str(self.dtype).replace("boolean", "bool")).itemsize


@register_model(Buffer)
class _BufferModel(models.StructModel):
    def __init__(self, manager, buffer):
        extents = types.UniTuple(types.int64, buffer.ndim)
        super().__init__(manager, buffer, [("data", types.voidptr), ("shape", extents), ("strides", extents)])


make_attribute_wrapper(Buffer, "shape", "shape")


def buffer_type(dtype: str, ndim: int | None, writable: bool):
    """The numba type of an argument; a scalar when `ndim` is None."""
    if dtype == PART:
        return parts.Part()
    if ndim is None:
        return types.float32 if dtype == "float16" else from_dtype(np.dtype(dtype))
    return Buffer(types.float16 if dtype == "float16" else from_dtype(np.dtype(dtype)), ndim, writable)


# -- access -----------------------------------------------------------------------------------------------------------

def _storage(context, dtype):
    """LLVM types an element is made of, in memory: one, or two for a complex number."""
    if dtype == types.float16:
        return [ir.HalfType()]
    if isinstance(dtype, types.Complex):
        return [context.get_value_type(dtype.underlying_float)] * 2
    return [ir.IntType(8)] if dtype == types.boolean else [context.get_value_type(dtype)]


def element_pointers(context, builder, buffer, value, k):
    """Pointers to the parts of element `k` and their alignment."""
    parts = _storage(context, buffer.dtype)
    data = member(context, builder, buffer, value, "data")
    base = builder.bitcast(data, parts[0].as_pointer())
    # inbounds: the offset does not wrap, which is what lets LLVM see consecutive addresses
    if len(parts) == 2:
        k = builder.mul(k, I64(2), flags=("nsw",))
    first = builder.gep(base, [k], inbounds=True)
    pointers = [first, builder.gep(first, [I64(1)], inbounds=True)][:len(parts)]
    return pointers, buffer.itemsize // len(parts)


def _grouped(builder, access):
    """Put a load or store into the module's access group, of which `independent` loops speak.

    Not in what Numba compiles by itself, helpers of its pipeline: it verifies before `lower` has made groups distinct.
    """
    if getattr(builder.module, GROUPED, False):
        access.set_metadata("llvm.access.group", access_group(builder.module))
    return access


def grouped(module):
    """Say that `lower` sees the text of ``module`` before LLVM does."""
    setattr(module, GROUPED, True)
    return module


def access_group(module):
    return module.add_metadata([ir.MetaDataString(module, GROUP)])


def _is_buffer(a):
    if not isinstance(a, Buffer):
        raise errors.TypingError(f"expected an array argument of the kernel, not {a}")
    return a


@intrinsic
def load(typingctx, a, k):
    """Element `k` counted in elements from the data pointer; any sign, no checks."""
    def build(context, builder, signature, args):
        pointers, align = element_pointers(context, builder, a, *args)
        parts = [_grouped(builder, builder.load(p, align=align)) for p in pointers]
        if isinstance(a.dtype, types.Complex):
            number = context.make_complex(builder, a.dtype)
            number.real, number.imag = parts
            return number._getvalue()
        if a.dtype == types.boolean:
            return builder.icmp_unsigned("!=", parts[0], parts[0].type(0))
        return builder.fpext(parts[0], ir.FloatType()) if a.dtype == types.float16 else parts[0]
    return _is_buffer(a).value(a, types.int64), build


@intrinsic
def store(typingctx, a, k, v):
    """Write `v`, cast to the array's dtype, to element `k`."""
    if not _is_buffer(a).writable:
        raise errors.TypingError("store into a read-only argument")
    return types.none(a, types.int64, v), lambda *given: write(*given, _grouped)


def write(context, builder, signature, args, mark):
    """The instructions of a store, each given to `mark`."""
    a = signature.args[0]
    value = context.cast(builder, args[2], signature.args[2], a.value)
    pointers, align = element_pointers(context, builder, a, args[0], args[1])
    if isinstance(a.dtype, types.Complex):
        number = context.make_complex(builder, a.dtype, value=value)
        parts = [number.real, number.imag]
    elif a.dtype == types.boolean:
        parts = [builder.zext(value, ir.IntType(8))]
    else:
        if a.dtype == types.float16:  # else LLVM makes one rounding of two, from double: nobody has it
            value = builder.fptrunc(scalars.rounded_to_half(builder, value), ir.HalfType())
        parts = [value]
    for pointer, part in zip(pointers, parts, strict=True):
        mark(builder, builder.store(part, pointer, align=align))
    return context.get_dummy_value()


def _dimension(a, d):
    if not isinstance(d, types.IntegerLiteral) or not 0 <= d.literal_value < _is_buffer(a).ndim:
        raise errors.TypingError(f"dimension must be a literal below the array's rank, not {d}")
    return d.literal_value


def _extent(context, builder, buffer, value, field, d):
    return extracted(builder, member(context, builder, buffer, value, field), d)


def _parts(context, builder, buffer, value):
    """Data pointer, sizes and strides of an array."""
    data, shape, strides = (member(context, builder, buffer, value, name) for name in ("data", "shape", "strides"))
    return data, elements(builder, shape), elements(builder, strides)


def _vector(context, builder, buffer, data, length):
    """A contiguous array of one dimension."""
    extents = [cgutils.pack_array(builder, [n]) for n in (length, I64(buffer.itemsize))]
    return structure(context, builder, buffer, data=data, shape=extents[0], strides=extents[1])


@intrinsic(prefer_literal=True)
def size(typingctx, a, d):
    """Length of dimension `d` (a literal)."""
    axis = _dimension(a, d)
    def build(context, builder, signature, args):
        return _extent(context, builder, a, args[0], "shape", axis)
    return types.int64(a, d), build


@intrinsic(prefer_literal=True)
def stride(typingctx, a, d):
    """Stride of dimension `d` (a literal) in elements; of an array that is not `misaligned`."""
    axis = _dimension(a, d)
    def build(context, builder, signature, args):
        return builder.sdiv(_extent(context, builder, a, args[0], "strides", axis), I64(a.itemsize), flags=("exact",))
    return types.int64(a, d), build


def _alignment(context, buffer):
    return buffer.itemsize // len(_storage(context, buffer.dtype))


@intrinsic
def misaligned(typingctx, a):
    """Whether the data pointer, or a stride that is walked, does not fall on elements."""
    def build(context, builder, signature, args):
        return unlike.misaligned(builder, a.itemsize, _alignment(context, a), *_parts(context, builder, a, args[0]))
    return types.boolean(_is_buffer(a)), build


@intrinsic(prefer_literal=True)
def refused(typingctx, wanted, *values):
    """0 if all arrays are as `wanted` says, 1 if one has another layout, 2 if one has another size.

    `wanted` (a literal) has for each array its layout (``C``, or ``S<k>`` with unit stride along dimension k, k = -1
    for none) and the size of each dimension: a number, one of the names that follow the arrays, or ``?``.
    """
    if not isinstance(wanted, types.StringLiteral):
        raise errors.TypingError("refused takes a literal description")
    arrays = [text.split() for text in wanted.literal_value.split(";")]
    names = list(dict.fromkeys(n for _, *extents in arrays for n in extents if n.isidentifier()))
    if len(values) != len(arrays) + len(names):
        raise errors.TypingError(f"refused takes {len(arrays)} arrays and {len(names)} sizes")

    def build(context, builder, signature, args):
        given = elements(builder, args[1])
        sizes = {name: context.cast(builder, value, type_, types.int64)
                 for name, value, type_ in zip(names, given[len(arrays):], values[len(arrays):], strict=True)}
        wrong_size = wrong_layout = ir.IntType(1)(0)
        for (layout, *extents), buffer, value in zip(arrays, values, given, strict=False):
            wanted_sizes = [I64(int(n)) if n.isdigit() else sizes.get(n) for n in extents]
            check = unlike.inline if len(arrays) <= MANY_ARRAYS else unlike.by_call
            found = check(builder, layout, buffer.itemsize, _alignment(context, _is_buffer(buffer)),
                          *_parts(context, builder, buffer, value), wanted_sizes)
            wrong_layout, wrong_size = builder.or_(wrong_layout, found[0]), builder.or_(wrong_size, found[1])
        return builder.select(wrong_size, I64(2), builder.zext(wrong_layout, I64))
    return types.int64(wanted, types.StarArgTuple.from_types(values)), build


@intrinsic(prefer_literal=True)
def scratch(typingctx, dtype, n):
    """An uninitialised one-dimensional array of literal dtype name and length, on the stack of the kernel."""
    if not isinstance(dtype, types.StringLiteral) or not isinstance(n, types.IntegerLiteral):
        raise errors.TypingError("scratch takes a literal dtype name and a literal length")
    buffer, length = buffer_type(dtype.literal_value, 1, True), n.literal_value
    def build(context, builder, signature, args):
        block = ir.ArrayType(ir.IntType(8), length * buffer.itemsize)
        with builder.goto_entry_block():
            memory = builder.alloca(block)
        memory.align = 64
        return _vector(context, builder, buffer, builder.bitcast(memory, cgutils.voidptr_t), I64(length))
    return buffer(dtype, n), build


# -- memory that one thread has for itself ----------------------------------------------------------------------------

def _raw(builder, name, result, argument):
    kind = ir.FunctionType(result, [argument.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [argument])


@intrinsic(prefer_literal=True)
def heap(typingctx, dtype, n):
    """An uninitialised one-dimensional array of literal dtype name and run-time length, to be given to `release`."""
    buffer = buffer_type(dtype.literal_value, 1, True)
    def build(context, builder, signature, args):
        length = args[1]
        data = _raw(builder, "PyMem_RawMalloc", cgutils.voidptr_t, builder.mul(length, I64(buffer.itemsize)))
        return _vector(context, builder, buffer, data, length)
    return buffer(dtype, types.int64), build


@intrinsic(prefer_literal=True)
def lent(typingctx, part, dtype, start):
    """An array of literal dtype name, `start` bytes into the memory that all parts of one call share."""
    buffer = buffer_type(dtype.literal_value, 1, True)
    def build(context, builder, signature, args):
        base = builder.inttoptr(builder.load(parts.room_pointer(builder, context, args[0])), cgutils.voidptr_t)
        return _vector(context, builder, buffer, builder.gep(base, [args[2]]), I64(0))
    return buffer(part, dtype, types.int64), build


@intrinsic
def missing(typingctx, a):
    """Whether there was no memory for what `heap` made."""
    def build(context, builder, signature, args):
        return cgutils.is_null(builder, member(context, builder, a, args[0], "data"))
    return types.boolean(_is_buffer(a)), build


@intrinsic
def release(typingctx, a):
    """Give the memory of `heap` back."""
    def build(context, builder, signature, args):
        _raw(builder, "PyMem_RawFree", ir.VoidType(), member(context, builder, a, args[0], "data"))
        return context.get_dummy_value()
    return types.none(_is_buffer(a)), build


@intrinsic
def address(typingctx, a, k):
    """The address of element `k`, counted in elements from the data pointer."""
    def build(context, builder, signature, args):
        return builder.ptrtoint(element_pointers(context, builder, a, *args)[0][0], I64)
    return types.int64(_is_buffer(a), types.int64), build


@intrinsic
def radd_product(typingctx, acc, x, y):
    """``acc + x * y`` of floats, rounded once: a step of a sum that LLVM may reorder."""

    def build(context, builder, signature, args):
        return call_llvm(builder, "llvm.fmuladd", args[1], args[2], args[0], fastmath=REORDER)

    kind = float_kind(acc, x, y)
    return kind(kind, kind, kind), build


@intrinsic
def independent(typingctx):
    """A promise about the innermost loop this stands in: no iteration stores what another one loads or stores.

    Arrays may then be the same (an output in place of an input) without costing the loop its vectorisation, and no
    overlap is tested at run time. The loop itself is marked by `lower`.
    """
    return types.none(), lambda context, builder, signature, args: context.get_dummy_value()


def shared(function):
    """A function of generated source that is called several times, or so long that LLVM decides what is inlined."""
    function.shared = True
    return function


SCALARS = ("bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128 "
           "intp uintp").split()
INTRINSICS = (load, store, size, stride, misaligned, refused, scratch, heap, lent, missing, release, address,
              independent, radd, radd_product, rmul, vmax, vmin, *scalars.INTRINSICS, *parts.INTRINSICS, steps.run,
              turning.turn, turning.every_second, turning.copied)


def namespace() -> dict[str, object]:
    """Free names of generated source: modules, numba's scalar types as casts, and the intrinsics."""
    names = {"math": math, "np": np, "shared": shared, **{name: getattr(types, name) for name in SCALARS}}
    from fuse.codegen import gemms, scipys, streams

    further = (*streams.INTRINSICS, *scipys.INTRINSICS, *gemms.INTRINSICS)
    return names | {function._name: function for function in (*INTRINSICS, *further)}
