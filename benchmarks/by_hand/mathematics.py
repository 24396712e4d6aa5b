"""Functions of one number, straight-line, for float64 and float32: LLVM widens the loops that use them.

The polynomials are those of Cephes (Moshier 1989), FDLIBM and SLEEF, and minimax fits; accurate to some ULP on the
domains of the workloads, and without the care for subnormals, huge arguments and signs that a library owes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

__all__ = ["ORDERED", "SUMS", "erf", "exp", "log", "maximum", "power", "sigmoid", "sin", "tanh"]

ORDERED = {"fastmath": {"contract", "nsz", "afn"}, "error_model": "numpy"}  # arithmetic stays as written
SUMS = {"fastmath": {"contract", "nsz", "reassoc", "nnan"}, "error_model": "numpy"}  # sums in any order

_inline = numba.njit(forceinline=True, **ORDERED)
_INTEGERS = {types.float64: types.int64, types.float32: types.int32}
_FLOATS = {integer: real for real, integer in _INTEGERS.items()}


@intrinsic
def _bits(typing: Any, x: Any) -> Any:
    result = _INTEGERS[x]
    return result(x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(result.bitwidth))


@intrinsic
def _from_bits(typing: Any, i: Any) -> Any:
    result = _FLOATS[i]

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(i), code


def _llvm(name: str, arguments: int) -> Any:
    """Return the LLVM intrinsic of this name as a function of so many numbers of one type."""

    def typed(typing: Any, *numbers: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_value_type(signature.return_type)
            function = builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind] * arguments))
            return builder.call(function, args)

        return numbers[0](*numbers), code

    one: Callable[..., Any] = lambda typing, x: typed(typing, x)  # noqa: E731
    two: Callable[..., Any] = lambda typing, x, y: typed(typing, x, y)  # noqa: E731
    three: Callable[..., Any] = lambda typing, x, y, z: typed(typing, x, y, z)  # noqa: E731
    return intrinsic({1: one, 2: two, 3: three}[arguments])


_rint, _copysign, _fma = _llvm("llvm.rint", 1), _llvm("llvm.copysign", 2), _llvm("llvm.fma", 3)
_maximum = _llvm("llvm.maximum", 2)

_EXP = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
_SIN = (
    -0.16666666666666666,
    0.008333333333333333,
    -0.00019841269841269806,
    2.7557319223971256e-06,
    -2.5052108382389887e-08,
    1.605904347927675e-10,
    -7.647139114646649e-13,
    2.810468581681568e-15,
    -8.006048703469621e-18,
)
_ERF = (
    1.1283791670955126,
    -0.3761263890318375,
    0.11283791670954879,
    -0.026866170645076792,
    0.0052239776248180145,
    -0.000854832698083379,
    0.0001205533111164271,
    -1.4925595266831182e-05,
    1.6461000484121368e-06,
    -1.6350312701054695e-07,
    1.4659775274047436e-08,
    -1.1372848856791674e-09,
    5.957176147748911e-11,
)
_ERFC = (
    1.2329951186255526,
    -0.13962111684056253,
    0.015379652102619597,
    0.0680970542546937,
    -0.1010390660362968,
    0.09373283499831267,
    -0.06633036581236375,
    0.03716751553807599,
    -0.01619773405644002,
    0.005031969972796012,
    -0.0007577732952568108,
    -0.0001992566670501857,
    0.00015062169378406569,
    -2.4399307369455275e-05,
    -1.1222059302484185e-05,
    5.709928255278233e-06,
    2.9385425601992844e-07,
    -8.256625187282693e-07,
    7.455868029297701e-08,
    1.1018756180763166e-07,
    -1.7835527002435904e-08,
    -1.4103503645230917e-08,
    1.8018631131624461e-09,
    1.2428778155837613e-09,
)
_LOG = (
    0.6666666666666735,
    0.3999999999940942,
    0.2857142874366239,
    0.22222198432149784,
    0.1818357216161805,
    0.15313837699209373,
    0.14798198605116586,
)
_TANH_ABOVE = (-1614.6876844170845, -99.28772310019185, -0.9643991794250523)
_TANH_BELOW = (4844.063053251255, 2235.4883906010045, 112.81167849163293, 1.0)
_EXP_SINGLE = (0.50000001201, 0.16666665459, 0.041665795894, 0.0083334519073, 0.0013981999507, 0.000198756915)
_LOG_SINGLE = (
    0.33333331174,
    -0.24999993993,
    0.20000714765,
    -0.16668057665,
    0.14249322787,
    -0.12420140846,
    0.1167699874,
    -0.1151461031,
    0.070376836292,
)
_SIN_SINGLE = (-0.16666659712791443, 0.00833307858556509, -0.00019810690719168633, 2.6083159809786594e-06)
_TANH_SINGLE = (-0.333332819422, 0.133314422036, -0.0537397155531, 0.0206390887954, -0.00570498872745)
_ERF_SINGLE = (
    1.12837916572671,
    -0.37612625824233,
    0.1128358514861418,
    -0.02685381193529856,
    0.005188327685732524,
    -0.0008010193625184903,
    7.853861353153693e-05,
)
_ERFC_SINGLE = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def _estrin(coefficients: Sequence[float], kind: Any) -> Any:
    """Return the polynomial with these coefficients, lowest first, in Estrin's scheme: few steps wait for others."""
    names = {f"c{i}": kind(c) for i, c in enumerate(coefficients)}
    terms, lines, power = list(names), ["def polynomial(x):"], "x"
    while len(terms) > 1:
        pairs = [terms[i : i + 2] for i in range(0, len(terms), 2)]
        terms = [f"fma({pair[1]}, {power}, {pair[0]})" if len(pair) == 2 else pair[0] for pair in pairs]
        if len(terms) > 1:
            lines.append(f"    {power}{power} = {power} * {power}")
            power += power
    scope: dict[str, Any] = names | {"fma": _fma}
    exec("\n".join([*lines, f"    return {terms[0]}"]), scope)
    return _inline(scope["polynomial"])


def _double() -> dict[str, Any]:
    """Return the functions for float64."""
    log2e, ln2_high, ln2_low = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
    exp_tail, sin_tail = _estrin(_EXP, float), _estrin(_SIN, float)
    log_even, log_odd = _estrin(_LOG[1::2], float), _estrin(_LOG[::2], float)
    erf_core, erfc_tail = _estrin(_ERF, float), _estrin(_ERFC, float)
    tanh_above, tanh_below = _estrin(_TANH_ABOVE, float), _estrin(_TANH_BELOW, float)

    @_inline
    def exp(x):
        x = min(max(x, -708.0), 709.0)
        n = _rint(x * log2e)
        r = _fma(-n, ln2_low, _fma(-n, ln2_high, x))
        q = _fma(exp_tail(r), r * r, r)
        half = _rint(n * 0.5)
        first = _from_bits((np.int64(half) + 1023) << 52)
        second = _from_bits((np.int64(n - half) + 1023) << 52)
        return _fma(q, first, first) * second

    @_inline
    def log(x):
        i = _bits(x)
        m = _from_bits((i & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000)
        large = m > 1.4142135623730951
        m = m * 0.5 if large else m
        k = float((i >> 52) - 1023) + (1.0 if large else 0.0)
        f = m - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        r = w * log_even(w) + z * log_odd(w)
        h = 0.5 * f * f
        return k * ln2_high - ((h - (s * (h + r) + k * ln2_low)) - f)

    @_inline
    def sin(x):
        n = _rint(x * 0.3183098861837907)
        r = _fma(-n, 1.2246467991473532e-16, _fma(-n, 3.141592653589793, x))
        z = r * r
        y = _fma(r * z, sin_tail(z), r)
        return _from_bits(_bits(y) ^ (np.int64(n) << 63))

    @_inline
    def tanh(x):
        magnitude = min(abs(x), 22.0)
        z = x * x
        small = magnitude < 0.625
        above = tanh_above(z) * z * x if small else -2.0
        below = tanh_below(z) if small else exp(2.0 * magnitude) + 1.0
        q = above / below
        return x + q if small else _copysign(1.0 + q, x)

    @_inline
    def erf(x):
        magnitude = min(abs(x), 6.0)
        z = x * x
        inverse = 1.0 / ((magnitude + 4.0) * (1.0 + 2.0 * magnitude))
        t = (magnitude - 4.0) * (1.0 + 2.0 * magnitude) * inverse
        far = 1.0 - erfc_tail(t) * exp(-magnitude * magnitude) * ((magnitude + 4.0) * inverse)
        return x * erf_core(z) if magnitude < 1.0 else _copysign(far, x)

    return {"exp": exp, "log": log, "sin": sin, "tanh": tanh, "erf": erf}


def _single() -> dict[str, Any]:
    """Return the functions for float32: every literal is one."""
    f = np.float32
    log2e, ln2_high, ln2_low = f(1.44269504), f(0.693359375), f(-2.12194440e-4)
    half, one, two, low, high = f(0.5), f(1), f(2), f(-87), f(88)
    root, pi_inverse, pi_high, pi_low = f(1.41421356), f(0.31830989), f(3.1415927), f(-8.742278e-8)
    small_tanh, far_tanh, minus_two, far_erf, p = f(0.625), f(10), f(-2), f(4), f(0.3275911)
    exp_tail, sin_tail, log_tail = _estrin(_EXP_SINGLE, f), _estrin(_SIN_SINGLE, f), _estrin(_LOG_SINGLE, f)
    tanh_core, erf_core, erfc_tail = _estrin(_TANH_SINGLE, f), _estrin(_ERF_SINGLE, f), _estrin(_ERFC_SINGLE, f)

    @_inline
    def exp(x):
        x = min(max(x, low), high)
        n = _rint(x * log2e)
        r = _fma(-n, ln2_low, _fma(-n, ln2_high, x))
        q = _fma(exp_tail(r), r * r, r) + one
        return q * _from_bits(np.int32((np.int32(n) + 127) << 23))

    @_inline
    def log(x):
        i = _bits(x)
        m = _from_bits(np.int32((i & 0x007FFFFF) | 0x3F800000))
        large = m > root
        m = m * half if large else m
        k = np.float32(np.int32((i >> 23) - 127)) + (one if large else one - one)
        t = m - one
        z = t * t
        y = _fma(log_tail(t) * z, t, k * ln2_low) - half * z
        return _fma(k, ln2_high, t + y)

    @_inline
    def sin(x):
        n = _rint(x * pi_inverse)
        r = _fma(-n, pi_low, _fma(-n, pi_high, x))
        z = r * r
        y = _fma(r * z, sin_tail(z), r)
        return _from_bits(np.int32(_bits(y) ^ np.int32(np.int32(n) << 31)))

    @_inline
    def tanh(x):
        magnitude = min(abs(x), far_tanh)
        z = x * x
        near = _fma(tanh_core(z) * z, x, x)
        far = one + minus_two / (exp(two * magnitude) + one)
        return near if magnitude < small_tanh else _copysign(far, x)

    @_inline
    def erf(x):
        magnitude = min(abs(x), far_erf)
        t = one / _fma(p, magnitude, one)
        far = one - t * erfc_tail(t) * exp(-magnitude * magnitude)
        return x * erf_core(x * x) if magnitude < one else _copysign(far, x)

    return {"exp": exp, "log": log, "sin": sin, "tanh": tanh, "erf": erf}


_DOUBLE, _SINGLE = _double(), _single()


def _by_type(name: str) -> Any:
    """Return the function of this name for kernels that serve both types."""

    def stub(x):  # Numba compares signatures: no annotations
        raise NotImplementedError("for compiled code")

    @overload(stub, jit_options=ORDERED)
    def choose(x):
        chosen = (_SINGLE if x == types.float32 else _DOUBLE)[name]
        return lambda x: chosen(x)

    return stub


exp, log, sin, tanh, erf = (_by_type(name) for name in ("exp", "log", "sin", "tanh", "erf"))
maximum = _maximum  # passes NaN on, and widens as a reduction


@_inline
def power(x, y):
    """Return ``x ** y`` for positive ``x``, good to some ULP where the result is not far from 1."""
    return exp(y * log(x))


@_inline
def sigmoid(x):
    return 1 / (1 + exp(-x))
