"""What kernels ask of their arrays, as LLVM instructions: whether layout and sizes are those they were made for."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

I1, I64 = ir.IntType(1), ir.IntType(64)


def misaligned(builder: Any, itemsize: int, align: int, data: Any, shape: Sequence[Any], strides: Sequence[Any]) -> Any:
    """Whether the data pointer, or a stride that is walked, does not fall on elements."""
    wrong = builder.and_(builder.ptrtoint(data, I64), I64(align - 1))
    for n, step in zip(shape, strides, strict=True):
        walked = builder.icmp_signed(">", n, I64(1))
        wrong = builder.or_(wrong, builder.select(walked, builder.and_(step, I64(itemsize - 1)), I64(0)))
    return builder.icmp_unsigned("!=", wrong, I64(0))


def inline(
    builder: Any, layout: str, itemsize: int, align: int, data: Any, shape: Sequence[Any], strides: Sequence[Any],
    wanted: Sequence[Any],
) -> tuple[Any, Any]:
    """Whether an array has another layout, and whether it has other sizes than those of ``wanted`` that are not None.

    ``layout`` is C, or S<k> with unit stride along dimension k, k = -1 for none. With a mark behind it, S<k>! is no
    layout of arrays that the kernel for another one is for (`runner.layout_of`), but of those of at most one element.
    """
    layout, exact = layout.removesuffix("!"), layout.endswith("!")
    wrong_layout, wrong_size = misaligned(builder, itemsize, align, data, shape, strides), I1(0)
    shape = list(shape)
    for d, want in enumerate(wanted):
        if want is not None:
            wrong_size = builder.or_(wrong_size, builder.icmp_signed("!=", shape[d], want))
            shape[d] = want
    axes = [d for d, n in enumerate(wanted) if not (isinstance(n, ir.Constant) and n.constant == 1)]
    walked = {d: builder.icmp_signed(">", shape[d], I64(1)) for d in axes}
    first = -1 if layout == "C" else int(layout[1:])

    def jumps(along: Sequence[int]) -> Any:
        step, jumping = I64(itemsize), I1(0)
        for d in reversed(along):
            jumping = builder.or_(jumping, builder.and_(walked[d], builder.icmp_signed("!=", strides[d], step)))
            step = builder.mul(step, shape[d])
        return jumping

    wrong = jumps(axes if layout == "C" else [d for d in axes if d == first])
    if exact:
        other, several = builder.not_(jumps(axes)), I1(0)
        if first in walked:
            other = builder.or_(other, builder.not_(walked[first]))
        for d in axes:
            several = builder.or_(several, walked[d])
            if d > first:
                unit = builder.icmp_signed("==", strides[d], I64(itemsize))
                other = builder.or_(other, builder.and_(walked[d], unit))
        wrong = builder.or_(wrong, builder.and_(several, other))
    for n in shape[1:] and shape:  # the strides of an array without elements may be anything
        wrong = builder.and_(wrong, builder.icmp_signed("!=", n, I64(0)))
    return builder.or_(wrong_layout, wrong), wrong_size


def by_call(
    builder: Any, layout: str, itemsize: int, align: int, data: Any, shape: Sequence[Any], strides: Sequence[Any],
    wanted: Sequence[Any],
) -> tuple[Any, Any]:
    """The same by one function for all arrays of a kind: LLVM takes long over kernels with very many arrays."""
    known = ["x" if n is None else str(n.constant) if isinstance(n, ir.Constant) else "n" for n in wanted]
    name = f"fuse_unlike_{layout.replace('-', '_').replace('!', 'x')}_{itemsize}_{align}_{'_'.join(known)}"
    given = [data, *shape, *strides, *[n for n, k in zip(wanted, known, strict=True) if k == "n"]]
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(I64, [v.type for v in given]), name)
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        own = iter(function.args)
        data, shape, strides = next(own), [next(own) for _ in shape], [next(own) for _ in strides]
        wanted = [next(own) if k == "n" else n for n, k in zip(wanted, known, strict=True)]
        has_layout, has_size = inline(inner, layout, itemsize, align, data, shape, strides, wanted)
        inner.ret(inner.or_(inner.zext(has_layout, I64), inner.shl(inner.zext(has_size, I64), I64(1))))
    found = builder.call(function, given)
    return builder.trunc(found, I1), builder.icmp_unsigned(">=", found, I64(2))
