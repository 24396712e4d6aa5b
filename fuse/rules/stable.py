"""Table: formulas that overflow or cancel, and the ops that compute the same accurately."""

from __future__ import annotations

import math

from fuse.expr import Expr, make
from fuse.op import OPS
from fuse.rewrite import Rule, heads, minus, wildcards
from fuse.rewrite.pattern import is_integral, is_positive
from fuse.rules.values import alike, has_simple_logarithm, is_even, is_nonnegative, is_odd_or_fractional

x, y, t, a, b = wildcards("x y t a b")
(q,) = wildcards("q", has_simple_logarithm)
(p,) = wildcards("p", is_positive)
i, j = wildcards("i j", is_integral)
(m,) = wildcards("m", is_nonnegative)
(even,) = wildcards("even", is_even)
(other,) = wildcards("other", is_odd_or_fractional)
exp, expm1, log, log1p, softplus, log1mexp, sigmoid = heads("exp expm1 log log1p softplus log1mexp sigmoid")
logaddexp, switch, eq, sqrt, sqr, abs_, pow_, prod = heads("logaddexp switch eq sqrt sqr abs pow prod")
erf, erfc, erfcx, gauss, sin, cos, sinh, cosh, tanh, sech2 = heads("erf erfc erfcx gauss sin cos sinh cosh tanh sech2")
maximum, minimum, gamma, gammaln, and_ = heads("maximum minimum gamma gammaln and_")
arcsinh, arccosh, arctanh, deg2rad, rad2deg = heads("arcsinh arccosh arctanh deg2rad rad2deg")
arcsin, arccos, arctan, log2, exp2, tan, xlogy = heads("arcsin arccos arctan log2 exp2 tan xlogy")

NAN, INF = float("nan"), float("inf")
CANCELS = "rounding signed-zero"  # more digits than the left side
OVERFLOWS = "rounding signed-zero overflow"  # and no infinity on the way


def crossentropy(x: Expr, t: Expr) -> Expr:
    """softplus(x) - t * x, of which the difference does not cancel where ``t`` is 1."""
    from fuse.frontend import nnet  # has the op; few programs need it

    return nnet.sigmoid_binary_crossentropy(x, t)


# Pairs of factors that belong together wherever they stand in a product (see products).
PAIRS = (
    Rule("11: exp(x) * sigmoid(-x)", exp(x) * sigmoid(minus(x)), sigmoid(x), OVERFLOWS),
    Rule("11: exp(-x) * sigmoid(x)", exp(minus(x)) * sigmoid(x), sigmoid(-x), OVERFLOWS),
    Rule("12: sigmoid(x) / sigmoid(-x)", sigmoid(x) / sigmoid(minus(x)), exp(x), OVERFLOWS),
    Rule("12: sigmoid(-x) / sigmoid(x)", sigmoid(-x) / sigmoid(x), exp(-x), OVERFLOWS),
    Rule("10: exp(x) / (1 + exp(x))", exp(x) / (1 + exp(x)), sigmoid(x), OVERFLOWS),
    Rule("10: exp(x) / expm1(x)", exp(x) / expm1(x), -1 / expm1(-x), OVERFLOWS),
    Rule("33: exp(-x**2) / erfc(x)", exp(-sqr(x)) / erfc(x), 1 / erfcx(x), OVERFLOWS),
    Rule("33: gauss(x) / erfc(x)", gauss(x) / erfc(x), 1 / erfcx(x), OVERFLOWS),
    Rule("33: exp(x**2) * erfc(x)", exp(sqr(x)) * erfc(x), erfcx(x), OVERFLOWS),
    Rule("37: expm1(x) / (1 + exp(x))", expm1(x) / (1 + exp(x)), tanh(0.5 * x), OVERFLOWS),
    Rule("37: sinh(x) / cosh(x)", sinh(x) / cosh(x), tanh(x), OVERFLOWS),
    # ---- 56: exponentials of the same shape (others are left, so that no more of them are computed)
    Rule("56: exp(a) * exp(b)", exp(a) * exp(b), exp(a + b), OVERFLOWS, when=alike),
    Rule("56: exp(a) / exp(b)", exp(a) / exp(b), exp(a - b), OVERFLOWS, when=alike),
)

STABLE = (
    *PAIRS,
    # ---- 1-5: one plus or minus something
    Rule("1: log(1 + x)", log(1 + x), log1p(x), CANCELS),
    Rule("2: log(1 - x)", log(1 - x), log1p(-x), CANCELS),
    Rule("3: exp(x) - 1", exp(x) - 1, expm1(x), CANCELS),
    Rule("3: 1 - exp(x)", 1 - exp(x), -expm1(x), CANCELS),
    Rule("4: log1p(exp(x))", log1p(exp(x)), softplus(x), OVERFLOWS),
    Rule("4: log(p + exp(x))", log(p + exp(x)), logaddexp(x, log(p)), OVERFLOWS),
    Rule("5: log1p(-exp(x))", log1p(-exp(x)), log1mexp(x), CANCELS + " special"),
    Rule("5: log(-expm1(x))", log(-expm1(x)), log1mexp(x), CANCELS + " special"),
    Rule("5: log(expm1(x))", log(expm1(x)), x + log1mexp(-x), OVERFLOWS),
    # ---- 6-12: the logistic function
    Rule("9: 1 / (1 + exp(-x))", 1 / (1 + exp(minus(x))), sigmoid(x), CANCELS),
    Rule("10: y / (1 + exp(x))", y / (1 + exp(x)), y * sigmoid(-x), OVERFLOWS),
    Rule("6: log(sigmoid(x))", log(sigmoid(x)), -softplus(-x), OVERFLOWS),
    Rule("7: log1p(-sigmoid(x))", log1p(-sigmoid(x)), -softplus(x), OVERFLOWS),
    Rule("8: 1 - sigmoid(x)", 1 - sigmoid(x), sigmoid(-x), CANCELS),
    Rule("8: sigmoid(x) - 1", sigmoid(x) - 1, -sigmoid(-x), CANCELS),
    Rule("56: x / exp(y)", x / exp(y), x * exp(-y), OVERFLOWS),
    Rule("56: x**a * x**b", pow_(x, i) * pow_(x, j), pow_(x, i + j), OVERFLOWS + " special"),
    Rule("56: x**a / x**b", pow_(x, i) / pow_(x, j), pow_(x, i - j), OVERFLOWS + " special"),
    Rule("56: x**a * x**b, any a, b", pow_(x, a) * pow_(x, b), pow_(x, a + b), OVERFLOWS + " special domain"),
    Rule("56: x**a / x**b, any a, b", pow_(x, a) / pow_(x, b), pow_(x, a - b), OVERFLOWS + " special domain"),
    Rule("12: 1 / sigmoid(x)", 1 / sigmoid(x), 1 + exp(-x), "rounding"),
    Rule(
        "13: sigmoid(log(x / (1 - x)))",
        sigmoid(log(x / (1 - x))),
        switch(x >= 0, switch(1 - x >= 0, x, NAN), NAN),
        CANCELS,
    ),
    Rule("13: log(sigmoid(x) / sigmoid(-x))", log(sigmoid(x)) - log(sigmoid(minus(x))), x, OVERFLOWS),
    Rule("13: softplus(x) - softplus(-x)", softplus(x) - softplus(minus(x)), x, OVERFLOWS),
    # ---- 14-18: inverse functions
    Rule("14: log(exp(x))", log(exp(x)), x, OVERFLOWS),
    Rule("14: log(gauss(x))", log(gauss(x)), -sqr(x), OVERFLOWS),
    Rule("14: log2(exp2(x))", log2(exp2(x)), x, OVERFLOWS),
    Rule("15: log1p(expm1(x))", log1p(expm1(x)), x, OVERFLOWS),
    Rule("15: exp(softplus(x))", exp(softplus(x)), 1 + exp(x), CANCELS),
    Rule("15: expm1(softplus(x))", expm1(softplus(x)), exp(x), CANCELS),
    Rule("15: exp(-softplus(x))", exp(-softplus(x)), sigmoid(-x), CANCELS),
    # ---- 19, 20: logarithms of sums of two exponentials (longer ones: see rows)
    Rule(
        "19: log(exp(a) - exp(b))",
        log(exp(a) - exp(b)),
        switch(eq(b, -INF), a, a + log1mexp(b - a)),
        OVERFLOWS + " special",
    ),
    Rule("20: log(exp(a) + exp(b))", log(exp(a) + exp(b)), logaddexp(a, b), OVERFLOWS),
    Rule("20: logaddexp(x, 0)", logaddexp(x, 0), softplus(x), CANCELS),
    Rule("20: logaddexp(x, x)", logaddexp(x, x), x + math.log(2), CANCELS),
    # ---- 27: cross-entropy of a sigmoid
    Rule(
        "27: t * softplus(-x) + (1 - t) * softplus(x)",
        t * softplus(minus(x)) + (1 - t) * softplus(x),
        lambda t, x: crossentropy(x, t),
        OVERFLOWS + " special",
    ),
    Rule(
        "27: t * softplus(x) + (1 - t) * softplus(-x)",
        t * softplus(x) + (1 - t) * softplus(minus(x)),
        lambda t, x: crossentropy(make(OPS["neg"], (x,)), t),
        OVERFLOWS + " special",
    ),
    # ---- 29-31: logarithms of quotients, powers, products
    Rule("29: log(1 / x)", log(1 / x), -log(x), OVERFLOWS + " special"),
    Rule("30: log(sqrt(x))", log(sqrt(x)), 0.5 * log(x), "rounding signed-zero"),
    Rule("30: log(sqr(m)), m >= 0", log(sqr(m)), 2 * log(m), OVERFLOWS),
    Rule("30: log(sqr(x))", log(sqr(x)), 2 * log(abs_(x)), OVERFLOWS),
    Rule("30: log(x**c), c even", log(pow_(x, even)), even * log(abs_(x)), OVERFLOWS),
    Rule("30: log(x**c)", log(pow_(x, other)), other * log(x), OVERFLOWS + " special"),
    Rule("30: log(q**y)", log(pow_(q, y)), y * log(q), OVERFLOWS + " special"),
    Rule("30: log(m**y), m >= 0", log(pow_(m, y)), xlogy(y, m), OVERFLOWS + " special"),
    # q: an exponential, logistic, hyperbolic cosine or softmax: positive, and its logarithm simplifies
    Rule("29: log(q * y)", log(q * y), log(q) + log(y), OVERFLOWS + " special"),
    Rule("29: log(q / y)", log(q / y), log(q) - log(y), OVERFLOWS + " special"),
    Rule("29: log(y / q)", log(y / q), log(y) - log(q), OVERFLOWS + " special"),
    # ---- 32, 34: the error function
    Rule(
        "32: log(erfc(x))",
        log(erfc(x)),
        switch(x > 0, log(erfcx(maximum(x, 0))) - sqr(x), log1p(erf(-minimum(x, 0)))),
        OVERFLOWS,
    ),
    Rule("34: 1 - erf(x)", 1 - erf(x), erfc(x), CANCELS),
    Rule("34: 1 + erf(x)", 1 + erf(x), erfc(-x), CANCELS),
    Rule("34: erf(x) - 1", erf(x) - 1, -erfc(x), CANCELS),
    Rule("34: 1 - erfc(x)", 1 - erfc(x), erf(x), CANCELS),
    Rule("34: erfc(x) - 1", erfc(x) - 1, -erf(x), CANCELS),
    # ---- 36-38: hyperbolic and trigonometric functions
    Rule("37: exp(x) + exp(-x)", exp(x) + exp(minus(x)), 2 * cosh(x), "rounding"),
    Rule("37: exp(x) - exp(-x)", exp(x) - exp(minus(x)), 2 * sinh(x), CANCELS),
    Rule("37: 2 * sigmoid(x) - 1", 2 * sigmoid(x) - 1, tanh(0.5 * x), CANCELS),
    Rule(
        "36: log(cosh(x))",
        log(cosh(x)),
        switch(
            abs_(x) < 1, log1p(2 * sqr(sinh(0.5 * minimum(abs_(x), 1)))), abs_(x) + log1p(0.5 * expm1(-2 * abs_(x)))
        ),
        OVERFLOWS,
    ),
    Rule("36: log(sinh(x))", log(sinh(x)), x + (log1mexp(-2 * x) - math.log(2)), OVERFLOWS),
    Rule("38: 1 - cos(x)", 1 - cos(x), 2 * sqr(sin(0.5 * x)), CANCELS),
    Rule("38: cos(x) - 1", cos(x) - 1, -2 * sqr(sin(0.5 * x)), CANCELS),
    Rule("38: sqrt(1 + x) - 1", sqrt(1 + x) - 1, switch(eq(x, INF), x, x / (1 + sqrt(1 + x))), CANCELS),
    Rule("38: 1 - tanh(x)**2", 1 - sqr(tanh(x)), sech2(x), CANCELS),
    # ---- 68: the gamma function
    Rule("68: gamma(x + 1) / gamma(x)", gamma(x + 1) / gamma(x), x, OVERFLOWS + " special"),
    Rule("68: log(gamma(m)), m >= 0", log(gamma(m)), gammaln(m), OVERFLOWS),
    Rule("68: exp(gammaln(x + 1) - gammaln(x))", exp(gammaln(x + 1) - gammaln(x)), abs_(x), OVERFLOWS + " special"),
)

# Inverse pairs with the domain of the inner function kept by a choice; after everything else.
INVERSES = (
    Rule("16: exp(log(x))", exp(log(x)), switch(x >= 0, x, NAN), CANCELS),
    Rule("16: exp2(log2(x))", exp2(log2(x)), switch(x >= 0, x, NAN), CANCELS),
    Rule("16: exp(log1p(x))", exp(log1p(x)), switch(x >= -1, 1 + x, NAN), CANCELS),
    Rule("16: expm1(log(x))", expm1(log(x)), switch(x >= 0, x - 1, NAN), CANCELS),
    Rule("16: expm1(log1p(x))", expm1(log1p(x)), switch(x >= -1, x, NAN), CANCELS),
    Rule("17: exp(log1mexp(x))", exp(log1mexp(x)), switch(x <= 0, -expm1(x), NAN), CANCELS),
    Rule("17: expm1(log1mexp(x))", expm1(log1mexp(x)), switch(x <= 0, -exp(x), NAN), CANCELS),
    Rule("17: log1mexp(log1mexp(x))", log1mexp(log1mexp(x)), switch(x <= 0, x, NAN), OVERFLOWS),
    Rule("18: softplus(log(x))", softplus(log(x)), switch(x >= 0, log1p(x), NAN), CANCELS),
    Rule("18: log1mexp(log(x))", log1mexp(log(x)), switch(x >= 0, log1p(-x), NAN), CANCELS),
    Rule("59: cosh(arccosh(x))", cosh(arccosh(x)), switch(x >= 1, x, NAN), OVERFLOWS),
    Rule("59: arccosh(cosh(x))", arccosh(cosh(x)), abs_(x), OVERFLOWS),
    Rule("59: tanh(arctanh(x))", tanh(arctanh(x)), switch(abs_(x) <= 1, x, NAN), CANCELS),
    Rule("59: arctanh(tanh(x))", arctanh(tanh(x)), x, OVERFLOWS),
    Rule("59: sinh(arcsinh(x))", sinh(arcsinh(x)), x, OVERFLOWS),
    Rule("59: arcsinh(sinh(x))", arcsinh(sinh(x)), x, OVERFLOWS),
    Rule("59: deg2rad(rad2deg(x))", deg2rad(rad2deg(x)), x, OVERFLOWS),
    Rule("59: rad2deg(deg2rad(x))", rad2deg(deg2rad(x)), x, OVERFLOWS),
    Rule("59: sin(arcsin(x))", sin(arcsin(x)), switch(abs_(x) <= 1, x, NAN), CANCELS),
    Rule("59: cos(arccos(x))", cos(arccos(x)), switch(abs_(x) <= 1, x, NAN), CANCELS),
    Rule("59: tan(arctan(x))", tan(arctan(x)), x, OVERFLOWS),
)
