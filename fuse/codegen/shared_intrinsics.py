"""Intrinsics of kernels in this process and in exported files, which have this text: sums in any order, fma, bits.

Therefore it imports nothing but NumPy and Numba (with its llvmlite), and no name of it begins another one of `prelude`.
"""
from llvmlite import ir
from numba.core.errors import TypingError
from numba.core.types import Complex, Float, Integer, boolean, float32, float64, int32, int64, unliteral
from numba.extending import intrinsic

REORDER = ("reassoc", "nsz")


def call_llvm(builder, name, *args, fastmath=()):
    """Call the overloaded LLVM intrinsic ``name`` on values of one type."""
    kind = ir.FunctionType(args[0].type, [a.type for a in args])
    function = builder.module.declare_intrinsic(name, [args[0].type], kind)
    return builder.call(function, args, fastmath=fastmath)


# ---------------------------------------------------------------- combining steps of reductions
def _combining(name, doc, real, integer, cplx=None):
    """An intrinsic ``(acc, v) -> acc``: the value is cast to the accumulator's type."""

    def typer(typingctx, acc, v):
        acc = unliteral(acc)

        def build(context, builder, signature, args):
            if isinstance(acc, Float):
                return real(builder, *args)
            if isinstance(acc, Complex):
                a, b = (context.make_complex(builder, acc, value=x) for x in args)
                number = context.make_complex(builder, acc)
                number.real, number.imag = cplx(builder, a, b)
                return number._getvalue()
            return integer(builder, *args, getattr(acc, "signed", False))

        if not isinstance(acc, (Float, Integer)) and not (cplx and isinstance(acc, Complex)):
            raise TypingError(f"{name} has no meaning for {acc}")
        return acc(acc, acc), build

    typer.__name__, typer.__doc__ = name, doc
    return intrinsic(typer)


def _sum_of_complex(builder, a, b):
    return builder.fadd(a.real, b.real, flags=REORDER), builder.fadd(a.imag, b.imag, flags=REORDER)


def _product_of_complex(builder, a, b):
    def times(x, y):
        return builder.fmul(x, y, flags=REORDER)

    real = builder.fsub(times(a.real, b.real), times(a.imag, b.imag), flags=REORDER)
    return real, builder.fadd(times(a.real, b.imag), times(a.imag, b.real), flags=REORDER)


def _extremum(name, sign):
    def real(builder, x, y):
        # Which zero is the larger one takes x86 as long as everything else; NumPy's maximum does not say either.
        return call_llvm(builder, name, x, y, fastmath=("nsz",))

    def integer(builder, a, b, signed):
        compare = builder.icmp_signed if signed else builder.icmp_unsigned
        return builder.select(compare(sign, a, b), a, b)

    return real, integer


radd = _combining(
    "radd", "``acc + v``, a sum LLVM may reorder.",
    lambda b, x, y: b.fadd(x, y, flags=REORDER), lambda b, x, y, signed: b.add(x, y), _sum_of_complex,
)
rmul = _combining(
    "rmul", "``acc * v``, a product LLVM may reorder.",
    lambda b, x, y: b.fmul(x, y, flags=REORDER), lambda b, x, y, signed: b.mul(x, y), _product_of_complex,
)
vmax = _combining("vmax", "The larger value; NaN where either is.", *_extremum("llvm.maximum", ">"))
vmin = _combining("vmin", "The smaller value; NaN where either is.", *_extremum("llvm.minimum", "<"))


# ---------------------------------------------------------------- scalar operations without a Python spelling
def float_kind(*values):
    """float32 of nothing but float32, else float64."""
    return float32 if {unliteral(v) for v in values} == {float32} else float64


def _floating(name, arity):
    """LLVM's function of so many floats, in their precision."""

    def typer(*values):
        kind = float_kind(*values)

        def build(context, builder, signature, args):
            return call_llvm(builder, f"llvm.{name}", *args)

        return kind(*[kind] * arity), build

    bodies = {
        1: lambda typingctx, x: typer(x), 2: lambda typingctx, x, y: typer(x, y),
        3: lambda typingctx, x, y, z: typer(x, y, z),
    }
    body = bodies[arity]
    body.__name__, body.__doc__ = name, f"LLVM's ``{name}`` in the precision of the arguments."
    return intrinsic(body)


def _bits(name, source, target):
    def typer(typingctx, x):
        def build(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), build

    typer.__name__, typer.__doc__ = name, f"The bits of a {source} as {target}."
    return intrinsic(typer)


@intrinsic
def is_constant(typingctx, x):
    """Whether LLVM knows the value of ``x`` by the time that loops become vectors."""

    def build(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(1), [args[0].type])
        return builder.call(builder.module.declare_intrinsic("llvm.is.constant", [args[0].type], kind), args)

    return boolean(unliteral(x)), build


fma, rint, fabs, copysign = _floating("fma", 3), _floating("rint", 1), _floating("fabs", 1), _floating("copysign", 2)
f2i, i2f = _bits("f2i", float64, int64), _bits("i2f", int64, float64)
f2i32, i2f32 = _bits("f2i32", float32, int32), _bits("i2f32", int32, float32)
