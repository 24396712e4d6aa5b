"""Angles beyond the reach of straight-line code: one rare branch for a whole vector of them.

sin, cos and tan take the quarter turns off their argument with a few digits of pi; a long quotient needs hundreds of
them, by integer arithmetic (Payne and Hanek, SIGNUM Newsletter 18, 1983). A branch an element would keep LLVM from
widening the loop. So the kernel calls ``fuse_far_sin_f64(x, near)``, of which LLVM only knows that it has vector
variants (the "vector function ABI"); when the loops are vectors, the definitions below are linked in and inlined: a
comparison of the whole vector and a branch to code out of line, which computes anew every element beyond the limit.
"""
from __future__ import annotations

import re
from functools import cache

PREFIX = "fuse_far_"
WIDTHS = (2, 4, 8, 16, 32)
# Up to here n, the number of quarter turns, and r = x - n pi/2 are exact enough without.
LIMITS = {"f64": 2.0**40, "f32": 2.0**16}
_TYPES = {"f64": "double", "f32": "float"}
_CALL = re.compile(rf"call [^@\n]*@({PREFIX}\w+)\(")
_PURE = "nounwind willreturn nofree nosync memory(none)"


def symbol(function: str, kind: str) -> str:
    """The name under which kernels call a function of the C library for arguments that may be far: kind f64 or f32.

    >>> symbol("sin", "f64")
    'fuse_far_sin_f64'
    """
    return f"{PREFIX}{function}_{kind}"


def declarations(names: list[str]) -> str:
    """LLVM assembly that tells the vectoriser of the functions ``names``: they are pure, and have these variants."""
    lines, kept = [], []
    for name in names:
        kind = _TYPES[name[-3:]]
        variants = ",".join(f"_ZGV_LLVM_N{n}vv_{name}({name}_{n})" for n in WIDTHS)
        lines.append(f'declare {kind} @{name}({kind}, {kind}) {_PURE} "vector-function-abi-variant"="{variants}"')
        lines += [f"declare <{n} x {kind}> @{name}_{n}(<{n} x {kind}>, <{n} x {kind}>)" for n in WIDTHS]
        kept += [f"ptr @{name}", *(f"ptr @{name}_{n}" for n in WIDTHS)]
    return "\n".join([*lines, f'@llvm.compiler.used = appending global [{len(kept)} x ptr] [{", ".join(kept)}], '
                              'section "llvm.metadata"'])


def definitions(text: str) -> str:
    """LLVM assembly of the functions that the optimised module ``text`` calls."""
    parts: dict[str, None] = {}
    functions: dict[str, None] = {}
    for name in dict.fromkeys(_CALL.findall(text)):
        scalar, _, width = name.rpartition("_")
        if width.isdigit():
            parts[_of_vectors(scalar, int(width))] = None
        else:
            scalar = name
        parts[_of_numbers(scalar)] = None
        functions[_tangent() if scalar.startswith(f"{PREFIX}tan") else _wave(scalar[len(PREFIX):-4])] = None
    return "".join(parts) + "".join(functions) + _turns()


def _limit(name: str) -> str:
    return f"{LIMITS[name[-3:]]:.1f}"


def _of_numbers(name: str) -> str:
    kind, function = _TYPES[name[-3:]], name[len(PREFIX):-4]
    wide, narrow = ("fpext float {} to double", "fptrunc double {} to float") if kind == "float" else (
        "fadd double {}, -0.0",) * 2
    return f"""
define internal {kind} @{name}_slow({kind} %x) #2 {{
  %wide = {wide.format("%x")}
  %y = call double @{PREFIX}{function}(double %wide)
  %narrow = {narrow.format("%y")}
  ret {kind} %narrow
}}
define linkonce_odr {kind} @{name}({kind} %x, {kind} %near) #0 {{
  %size = call {kind} @llvm.fabs.{name[-3:]}({kind} %x)
  %far = fcmp ogt {kind} %size, {_limit(name)}
  br i1 %far, label %slow, label %done, !prof !0
slow:
  %y = call {kind} @{name}_slow({kind} %x)
  ret {kind} %y
done:
  ret {kind} %near
}}
"""


def _of_vectors(name: str, width: int) -> str:
    kind, vector = _TYPES[name[-3:]], f"<{width} x {_TYPES[name[-3:]]}>"
    return f"""
define internal {vector} @{name}_{width}_slow({vector} %x, {vector} %near) #2 {{
start:
  br label %element
element:
  %i = phi i32 [ 0, %start ], [ %next, %element ]
  %all = phi {vector} [ %near, %start ], [ %more, %element ]
  %a = extractelement {vector} %x, i32 %i
  %b = extractelement {vector} %near, i32 %i
  %y = call {kind} @{name}({kind} %a, {kind} %b)
  %more = insertelement {vector} %all, {kind} %y, i32 %i
  %next = add i32 %i, 1
  %end = icmp eq i32 %next, {width}
  br i1 %end, label %done, label %element
done:
  ret {vector} %more
}}
define linkonce_odr {vector} @{name}_{width}({vector} %x, {vector} %near) #0 {{
  %size = call {vector} @llvm.fabs.v{width}{name[-3:]}({vector} %x)
  %far = fcmp ogt {vector} %size, splat ({kind} {_limit(name)})
  %any = call i1 @llvm.vector.reduce.or.v{width}i1(<{width} x i1> %far)
  br i1 %any, label %slow, label %done, !prof !0
slow:
  %y = call {vector} @{name}_{width}_slow({vector} %x, {vector} %near)
  ret {vector} %y
done:
  ret {vector} %near
}}
"""


@cache
def _turns() -> str:
    """Quarter turns and the rest, in two parts, of a double of 1 at least.

    x = m 2**e. Of the digits of 2/pi, those 256 bits that matter for x 2/pi modulo 4 are multiplied by m.
    """
    digits = _two_over_pi(1280).to_bytes(192, "little")
    table = "".join(f"\\{byte:02X}" for byte in digits)
    return f"""
@{PREFIX}digits = internal unnamed_addr constant [192 x i8] c"{table}"
declare double @sin(double) #1
declare double @cos(double) #1
define internal {{ double, double, i64 }} @{PREFIX}turns(double %x) #2 {{
  %size = call double @llvm.fabs.f64(double %x)
  %bits = bitcast double %size to i64
  %exponent = lshr i64 %bits, 52
  %fraction = and i64 %bits, {2**52 - 1}
  %m = or i64 %fraction, {2**52}
  %start = sub i64 {1026 + 1075}, %exponent
  %byte = lshr i64 %start, 3
  %bit = and i64 %start, 7
  %address = getelementptr i8, ptr @{PREFIX}digits, i64 %byte
  %loaded = load i320, ptr %address, align 1
  %bit_ = zext i64 %bit to i320
  %shifted = lshr i320 %loaded, %bit_
  %window = trunc i320 %shifted to i256
  %m_ = zext i64 %m to i256
  %product = mul i256 %m_, %window
  %half = add i256 %product, {2**253}
  %quarters = lshr i256 %half, 254
  %n = trunc i256 %quarters to i64
  %whole = shl i256 %quarters, 254
  %rest = sub i256 %product, %whole
  %sign = icmp slt i256 %rest, 0
  %positive = call i256 @llvm.abs.i256(i256 %rest, i1 false)
  %zeros = call i256 @llvm.ctlz.i256(i256 %positive, i1 false)
  %normal = shl i256 %positive, %zeros
  %first = lshr i256 %normal, 203
  %first_ = trunc i256 %first to i64
  %second = lshr i256 %normal, 139
  %second_ = trunc i256 %second to i64
  %high = uitofp i64 %first_ to double
  %low = uitofp i64 %second_ to double
  %low_ = fmul double %low, {2.0**-64!r}
  %r = fmul double %high, 1.5707963267948966
  %r_minus = fneg double %r
  %lost = call double @llvm.fma.f64(double %high, double 1.5707963267948966, double %r_minus)
  %lost_ = call double @llvm.fma.f64(double %high, double 6.123233995736766e-17, double %lost)
  %rest_ = call double @llvm.fma.f64(double %low_, double 1.5707963267948966, double %lost_)
  %zeros_ = trunc i256 %zeros to i64
  %power = sub i64 {1023 + 2 - 53}, %zeros_
  %power_ = shl i64 %power, 52
  %scale = bitcast i64 %power_ to double
  %scale_minus = fneg double %scale
  %signed = select i1 %sign, double %scale_minus, double %scale
  %r_ = fmul double %r, %signed
  %rest__ = fmul double %rest_, %signed
  %one = insertvalue {{ double, double, i64 }} poison, double %r_, 0
  %two = insertvalue {{ double, double, i64 }} %one, double %rest__, 1
  %three = insertvalue {{ double, double, i64 }} %two, i64 %n, 2
  ret {{ double, double, i64 }} %three
}}
attributes #0 = {{ alwaysinline {_PURE} }}
attributes #1 = {{ {_PURE} }}
attributes #2 = {{ noinline cold {_PURE} }}
!0 = !{{!"branch_weights", i32 1, i32 100000}}
"""


def _two_over_pi(bits: int) -> int:
    """The first ``bits`` binary digits of 2/pi, by Machin's formula: pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    one = 1 << (bits + 64)

    def arctan_of_inverse(k: int) -> int:
        total, power, n = 0, one // k, 1
        while power:
            total += power // n if n % 4 == 1 else -(power // n)
            power //= k * k
            n += 2
        return total

    pi = 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)
    return (2 * one << bits) // pi


# Sine and cosine of the rest, for which the C library's are good enough.
_TURNED = f"""  %turns = call {{ double, double, i64 }} @{PREFIX}turns(double %x)
  %r = extractvalue {{ double, double, i64 }} %turns, 0
  %low = extractvalue {{ double, double, i64 }} %turns, 1
  %n = extractvalue {{ double, double, i64 }} %turns, 2
  %sine = call double @sin(double %r)
  %cosine = call double @cos(double %r)
  %low_minus = fneg double %low
  %sin = call double @llvm.fma.f64(double %low, double %cosine, double %sine)
  %cos = call double @llvm.fma.f64(double %low_minus, double %sine, double %cosine)
"""


def _wave(name: str) -> str:
    """sin, or cos, which is a quarter turn ahead; infinity less itself is NaN."""
    ahead, odd = (0, "%left") if name == "sin" else (1, "false")
    return f"""define internal double @{PREFIX}{name}(double %x) #2 {{
{_TURNED}  %at = add i64 %n, {ahead}
  %odd = trunc i64 %at to i1
  %one = select i1 %odd, double %cos, double %sin
  %second = and i64 %at, 2
  %turned = icmp ne i64 %second, 0
  %left = fcmp olt double %x, 0.0
  %negative = xor i1 %turned, {odd}
  %minus = fneg double %one
  %y = select i1 %negative, double %minus, double %one
  %none = fsub double %x, %x
  %all = fadd double %y, %none
  ret double %all
}}
"""


def _tangent() -> str:
    return f"""define internal double @{PREFIX}tan(double %x) #2 {{
{_TURNED}  %odd = trunc i64 %n to i1
  %cos_minus = fneg double %cos
  %above = select i1 %odd, double %cos_minus, double %sin
  %below = select i1 %odd, double %sin, double %cos
  %one = fdiv double %above, %below
  %left = fcmp olt double %x, 0.0
  %minus = fneg double %one
  %y = select i1 %left, double %minus, double %one
  %none = fsub double %x, %x
  %all = fadd double %y, %none
  ret double %all
}}
"""
