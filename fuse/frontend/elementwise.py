"""Every elementwise function, under its own name and under those that Theano, NumPy and SciPy give it."""
# ruff: noqa: F401
from __future__ import annotations

from fuse.frontend.activations import (
    elu,
    hard_sigmoid,
    leaky_relu,
    relu,
    selu,
    sigmoid,
    softplus,
    softsign,
    ultra_fast_sigmoid,
)
from fuse.frontend.arithmetic import (
    abs,
    add,
    broadcast_size,
    cast,
    ceil_intdiv,
    clip,
    divmod,
    fill,
    int_div,
    maximum,
    minimum,
    mod,
    mul,
    neg,
    pow,
    reciprocal,
    sgn,
    sqr,
    sub,
    true_div,
)
from fuse.frontend.complexes import angle, complex, complex_from_polar, conj, imag, real
from fuse.frontend.composed import (
    betaln,
    isclose,
    isneginf,
    isposinf,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    logit,
    nan_to_num,
)
from fuse.frontend.logic import (
    and_,
    eq,
    ge,
    gt,
    invert,
    isfinite,
    isinf,
    isnan,
    le,
    left_shift,
    lt,
    neq,
    or_,
    right_shift,
    signbit,
    switch,
    xor,
)
from fuse.frontend.rounding import ceil, floor, iround, round, round_half_away_from_zero, round_half_to_even, trunc
from fuse.frontend.special import (
    erf,
    erfc,
    erfcinv,
    erfcx,
    erfinv,
    gamma,
    gammaln,
    gauss,
    log1mexp,
    logaddexp,
    polygamma,
    psi,
    tri_gamma,
    xlog1py,
    xlogx,
    xlogy,
)
from fuse.frontend.transcendental import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cbrt,
    cos,
    cosh,
    deg2rad,
    exp,
    exp2,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    rad2deg,
    sech2,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

# Other names of the same functions: Theano's, PyTensor's, NumPy's, SciPy's.
abs_, absolute, inv, sign, square, second = abs, abs, reciprocal, sgn, sqr, fill
negative, subtract, multiply, divide, true_divide = neg, sub, mul, true_div, true_div
floor_div, floor_divide, remainder, power = int_div, int_div, mod, pow
equal, not_equal, ne, less, less_equal, greater, greater_equal = eq, neq, neq, lt, le, gt, ge
bitwise_and, bitwise_or, bitwise_xor, bitwise_not, bitwise_invert = and_, or_, xor, invert, invert
xlogy0, expit, digamma, trigamma, conjugate = xlogy, sigmoid, psi, tri_gamma, conj
