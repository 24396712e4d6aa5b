"""Names of generated kernels that threads share: which part of the work is wanted, and what passes between parts.

Importing this module imports numba.
"""
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, make_attribute_wrapper, register_model
from numba.np.numpy_support import from_dtype

from fuse.codegen.native import PLAN, SHARED_SLOT
from fuse.codegen.structures import member

I64 = ir.IntType(64)


class Part(types.Type):
    """Which part of a kernel's work to do: the segment of its body, and the items of it from `low` to below `high`."""

    def __init__(self):
        super().__init__(name="fuse.Part")


@register_model(Part)
class _PartModel(models.StructModel):
    def __init__(self, manager, part):
        super().__init__(manager, part, [("segment", types.int64), ("low", types.int64), ("high", types.int64),
                                         ("shared", types.voidptr)])


for _field in ("segment", "low", "high"):
    make_attribute_wrapper(Part, _field, _field)


def _slot(context, builder, part, k, dtype):
    """Pointer to slot `k` of the memory that the parts of one call share, for a value of `dtype`."""
    shared = member(context, builder, Part(), part, "shared")
    place = builder.gep(shared, [builder.mul(k, I64(SHARED_SLOT))])
    return builder.bitcast(place, context.get_value_type(dtype).as_pointer())


@intrinsic
def wanted(typingctx, part, segment):
    """Whether this part of the work is the segment of that number, or everything."""
    def build(context, builder, signature, args):
        chosen = member(context, builder, Part(), args[0], "segment")
        return builder.or_(builder.icmp_signed("<=", chosen, I64(0)), builder.icmp_signed("==", chosen, args[1]))
    return types.boolean(part, types.int64), build


@intrinsic
def reach(typingctx, part, n):
    """The item before which this part of the work ends: at most `n`."""
    def build(context, builder, signature, args):
        high = member(context, builder, Part(), args[0], "high")
        return builder.select(builder.icmp_signed("<", high, args[1]), high, args[1])
    return types.int64(part, types.int64), build


@intrinsic
def smaller(typingctx, a, b):
    """The smaller of two sizes (Python's `min` costs a compilation of its own)."""
    def build(context, builder, signature, args):
        return builder.select(builder.icmp_signed("<", *args), *args)
    return types.int64(types.int64, types.int64), build


@intrinsic
def larger(typingctx, a, b):
    """The larger of two sizes."""
    def build(context, builder, signature, args):
        return builder.select(builder.icmp_signed(">", *args), *args)
    return types.int64(types.int64, types.int64), build


@intrinsic
def put(typingctx, part, k, v):
    """Leave the number `v` in slot `k` for other parts."""
    v = types.unliteral(v)
    def build(context, builder, signature, args):
        builder.store(args[2], _slot(context, builder, args[0], args[1], v), align=1)
        return context.get_dummy_value()
    return types.none(part, types.int64, v), build


@intrinsic
def tell(typingctx, part, segment, items, work, unit, pieces):
    """Plan of the segment numbered `segment`: its items, units of work, items that stay together, pieces per thread."""
    def build(context, builder, signature, args):
        first = builder.mul(builder.sub(args[1], I64(1)), I64(PLAN))
        for k, value in enumerate(args[2:]):
            slot = builder.add(first, I64(1 + k))
            builder.store(value, _slot(context, builder, args[0], slot, types.int64), align=1)
        return context.get_dummy_value()
    return types.none(part, *[types.int64] * 5), build


@intrinsic(prefer_literal=True)
def get(typingctx, part, k, dtype):
    """The number of literal dtype name that `put` left in slot `k`."""
    kind = types.boolean if dtype.literal_value == "bool" else from_dtype(np.dtype(dtype.literal_value))
    def build(context, builder, signature, args):
        return builder.load(_slot(context, builder, args[0], args[1], kind), align=1)
    return kind(part, types.int64, dtype), build


def room_pointer(builder, context, part):
    """Pointer to what the plan says of memory: its bytes, and once there is some, where it is."""
    shared = member(context, builder, Part(), part, "shared")
    return builder.bitcast(builder.gep(shared, [I64(SHARED_SLOT // 2)]), I64.as_pointer())


@intrinsic
def ask(typingctx, part, n):
    """Plan `n` bytes of memory that all parts of this call share."""
    def build(context, builder, signature, args):
        builder.store(args[1], room_pointer(builder, context, args[0]))
        return context.get_dummy_value()
    return types.none(part, types.int64), build


INTRINSICS = (ask, wanted, reach, smaller, larger, put, tell, get)
