"""Circular and hyperbolic functions of kernels: against mpmath over all exponents, at special values, in every lane."""
from __future__ import annotations

import platform
import re

import mpmath
import numpy as np
import pytest

from fuse.codegen import far, mathlib
from fuse.codegen.load import ArgType, compile_kernel

# mpmath's function, the largest error seen and a bit (units in the last place), symmetry, and where it rises or falls
# (steeply enough for neighbours a few units apart to tell)
CASES = {
    "sin": (mpmath.sin, 1.2, "odd", (-1.5, 1.5, 1)),
    "cos": (mpmath.cos, 1.2, "even", (0.1, 3.1, -1)),
    "tan": (mpmath.tan, 3.0, "odd", (-1.57, 1.57, 1)),
    "arcsin": (mpmath.asin, 1.3, "odd", (-1.0, 1.0, 1)),
    "arccos": (mpmath.acos, 1.3, None, (-1.0, 1.0, -1)),
    "arctan": (mpmath.atan, 1.4, "odd", (-40.0, 40.0, 1)),
    "sinh": (mpmath.sinh, 1.9, "odd", (-80.0, 80.0, 1)),
    "cosh": (mpmath.cosh, 2.2, "even", (0.0, 80.0, 1)),
    "arcsinh": (mpmath.asinh, 1.8, "odd", (-40.0, 40.0, 1)),
    "arccosh": (mpmath.acosh, 2.4, None, (1.0, 40.0, 1)),
    "arctanh": (mpmath.atanh, 2.4, "odd", (-1.0, 1.0, 1)),
}
DTYPES = ("float64", "float32")
each = pytest.mark.parametrize("name", CASES)
both = pytest.mark.parametrize("dtype", DTYPES)


def loop(name, dtype):
    """The kernel that applies one function to an array, with the C-level call's own arguments."""
    count = 2 if name == "arctan2" else 1
    loads = ", ".join(f"load({a}, i * stride({a}, 0))" for a in "xy"[:count])
    source = (f"def f({', '.join('xy'[:count])}, out):\n    for i in range(size(x, 0)):\n        independent()\n"
              f"        store(out, i * stride(out, 0), g({loads}))\n    return 0\n")
    types = (ArgType(dtype, 1),) * count + (ArgType(dtype, 1, writable=True),)
    return compile_kernel(source, "f", types, {"g": mathlib.resolve(name, dtype)})


def apply(name, *arrays):
    out = np.empty_like(arrays[0])
    loop(name, str(out.dtype))(*arrays, out)
    return out


def numbers_of_all_sizes(dtype, count, seed=0):
    """Finite numbers with random bits: all exponents, subnormal numbers included, and both signs."""
    width = 8 * np.dtype(dtype).itemsize
    x = np.random.default_rng(seed).integers(0, 2**width, count, f"uint{width}").view(dtype)
    return x[np.isfinite(x)]


def inputs(name, dtype):
    """Where the function is defined: numbers of all sizes, ordinary ones, and those near its edges and folds."""
    rng = np.random.default_rng(1)
    x = numbers_of_all_sizes(dtype, 800)
    if name in ("arcsin", "arccos", "arctanh"):
        edges = (0.0, 0.2, 1 / 3, 0.5, 1.0)
        x[np.abs(x) > 1] = 1 / x[np.abs(x) > 1]
    elif name == "arccosh":
        edges = (1.0, 1.25, 2.0, 2.0**30, 2.0**60)
        x = np.abs(x[np.abs(x) > 1])
    elif name in ("sinh", "cosh"):
        highest = float(mpmath.log(2) + mpmath.log(mpmath.mpf(float(np.finfo(dtype).max))))
        edges = (0.0, 0.3466, 1.04, 40.0, highest)
        x = np.where(np.abs(x) > highest, np.fmod(x, highest), x)
    else:
        edges = (0.0, 0.4142, 1.0, *(k * np.pi / 4 for k in (1, 2, 3, 4, 6, 100, 4001)))
    at = [e * (1 + s * 2.0 ** rng.uniform(-np.finfo(dtype).nmant - 1, -1, 60)) for e in edges for s in (-1, 1)]
    x = np.concatenate([x, *at, rng.uniform(-3, 3, 400), -np.concatenate(at)]).astype(dtype)
    low, high = {"arcsin": (-1, 1), "arccos": (-1, 1), "arctanh": (-1, 1), "arccosh": (1, np.inf)}.get(
        name, (-np.inf, np.inf))
    return x[(x >= low) & (x <= high) & np.isfinite(x)]


def units(have, exact, dtype):
    """The errors of ``have`` in units in the last place of the exact values; 0 where both overflow."""
    info = np.finfo(dtype)
    precision, lowest, largest = info.nmant + 1, info.minexp - info.nmant, mpmath.mpf(float(info.max))
    errors = []
    for value, true in zip(have.tolist(), exact, strict=True):
        if np.isinf(value):
            over = abs(true) > largest * (1 - mpmath.mpf(2) ** -precision)
            errors.append(0.0 if over and (value > 0) == (true > 0) else np.inf)
        else:
            unit = mpmath.mpf(2) ** max(mpmath.frexp(true)[1] - precision, lowest)
            errors.append(float(abs(mpmath.mpf(value) - true) / unit))
    return np.array(errors)


def worst(name, function, dtype, *arrays):
    with mpmath.workprec(160):
        exact = [mpmath.re(function(*map(mpmath.mpf, row))) for row in zip(*(a.tolist() for a in arrays), strict=True)]
        errors = units(apply(name, *arrays), exact, dtype)
    k = int(np.argmax(errors))
    return errors[k], [a[k] for a in arrays]


@each
@both
def test_results_are_within_a_unit_or_two_of_mpmath(name, dtype):
    function, bound, *_ = CASES[name]
    error, at = worst(name, function, dtype, inputs(name, dtype))
    assert error <= bound, (error, at)


@both
def test_arctan2_is_within_two_units_of_mpmath(dtype):
    rng = np.random.default_rng(2)
    y, x = numbers_of_all_sizes(dtype, 700, 3)[:690], numbers_of_all_sizes(dtype, 700, 4)[:690]
    largest = np.finfo(dtype).max
    with np.errstate(over="ignore"):
        x[:300] = np.clip(y[:300] * (2.0 ** rng.uniform(-4, 4, 300)).astype(dtype), -largest, largest)
    x[300:350] = y[300:350]
    error, at = worst("arctan2", mpmath.atan2, dtype, y, x)
    assert error <= 1.6, (error, at)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@both
def test_angles_next_to_multiples_of_a_quarter_turn_of_any_size_are_reduced_exactly(name, dtype):
    rng = np.random.default_rng(5)
    top = float(np.log2(np.finfo(dtype).max))
    with mpmath.workprec(1200):
        whole = [int(k) for k in 2.0 ** rng.uniform(0, 60, 500)]
        whole += [mpmath.mpf(2) ** k for k in range(0, int(top) - 1, 3)]
        x = np.array([float(k * mpmath.pi / 2) for k in whole])
    limit = far.LIMITS["f64" if dtype == "float64" else "f32"]
    # the double nearest to a multiple (Muller, "Elementary Functions"), and both sides of the C library's limit
    x = np.concatenate([x, [6381956970095103 * 2.0**797], limit * (1 + 1e-3 * rng.uniform(-1, 1, 100))])
    x = x[x <= np.finfo(dtype).max].astype(dtype)
    x = np.concatenate([x, -x, [np.finfo(dtype).max]]).astype(dtype)
    with mpmath.workprec(1400):
        exact = [CASES[name][0](mpmath.mpf(v)) for v in x.tolist()]
        errors = units(apply(name, x), exact, dtype)
    assert errors.max() <= CASES[name][1], (errors.max(), x[np.argmax(errors)])


# ---------------------------------------------------------------- special values
def special(dtype):
    info = np.finfo(dtype)
    x = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, 1.0 + float(info.eps), 2.0, 1e30, info.max,
         np.inf, np.nan]
    return np.array([*x, *np.negative(x)], dtype)


def agree(have, want):
    """Equal with the same signs of zeros; NaN where NaN; elsewhere to a few units."""
    np.testing.assert_array_equal(np.isnan(have), np.isnan(want))
    exact = ~np.isnan(want) & ((want == 0) | np.isinf(want))
    np.testing.assert_array_equal(have[exact], want[exact])
    np.testing.assert_array_equal(np.signbit(have[exact]), np.signbit(want[exact]))
    rest = np.isfinite(want)
    np.testing.assert_array_max_ulp(have[rest], want[rest], 4)


@each
@both
def test_special_values_are_those_of_numpy(name, dtype):
    x = special(dtype)
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x.astype("float64")).astype(dtype)
    agree(apply(name, x), want)


@both
def test_arctan2_of_special_values_is_that_of_numpy(dtype):
    y, x = (a.ravel() for a in np.meshgrid(special(dtype), special(dtype)))
    with np.errstate(all="ignore"):
        want = np.arctan2(y.astype("float64"), x.astype("float64")).astype(dtype)
    agree(apply("arctan2", y, x), want)


# ---------------------------------------------------------------- symmetry, order, lanes
@each
@both
def test_symmetric_functions_are_symmetric_to_the_last_bit(name, dtype):
    symmetry = CASES[name][2]
    x = inputs(name, dtype)
    if symmetry:
        of_minus = apply(name, -x)
        np.testing.assert_array_equal(of_minus, -apply(name, x) if symmetry == "odd" else apply(name, x))


@each
@both
def test_monotone_functions_step_back_by_no_more_than_a_unit_or_two(name, dtype):
    low, high, direction = CASES[name][3]
    x = np.random.default_rng(6).uniform(low, high, 3000).astype(dtype)
    x = np.unique(np.concatenate([x, np.nextafter(x, np.dtype(dtype).type(high)), x * (1 + 8 * np.finfo(dtype).eps)]))
    y = apply(name, x[(x >= low) & (x <= high)].astype(dtype))
    back = np.diff(y) * direction
    assert (back >= -2 * np.spacing(np.abs(y[1:]))).all()


@pytest.mark.parametrize("name", [*CASES, "arctan2"])
@both
def test_every_position_and_length_gives_the_same_bits(name, dtype):
    x = inputs(name if name != "arctan2" else "arctan", dtype)[-67:]
    x[::9] = np.finfo(dtype).max if name in ("sin", "cos", "tan") else x[::9]
    arrays = (x, x[::-1].copy()) if name == "arctan2" else (x,)
    whole = apply(name, *arrays)
    for start, stop in [(0, n) for n in range(1, 67)] + [(n, 67) for n in range(1, 66, 5)]:
        part = apply(name, *(a[start:stop].copy() for a in arrays))
        np.testing.assert_array_equal(part, whole[start:stop])
    strided = tuple(np.repeat(a, 2)[::2] for a in arrays)
    np.testing.assert_array_equal(apply(name, *strided), whole)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86-64 assembly")
@pytest.mark.parametrize("name", [*CASES, "arctan2"])
@both
def test_loops_are_vectors_and_call_nothing_but_for_far_angles(name, dtype):
    count = 2 if name == "arctan2" else 1
    source = ("def f(x, out):\n    for i in range(size(x, 0)):\n        independent()\n"
              f"        store(out, i, g({', '.join(['load(x, i)'] * count)}))\n    return 0\n")
    types = (ArgType(dtype, 1), ArgType(dtype, 1, writable=True))
    kernel = compile_kernel(source, "f", types, {"g": mathlib.resolve(name, dtype)}).__self__
    assert re.search(rf"\bvf\w+{'pd' if dtype == 'float64' else 'ps'}\s+.*[yz]mm", kernel.assembly()) or (
        "fma" not in kernel.assembly())
    called = set(re.findall(r"call [^@\n]*@([\w.]+)\(", kernel.llvm))
    library = {n for n in called if not n.startswith(("llvm.", "Py", "_Z", "fuse_"))}
    # sqrt, of the elements left over, is one instruction
    assert library <= ({"sin", "cos"} if name in ("sin", "cos", "tan") else {"sqrt", "sqrtf"})
    assert not re.search(r"@llvm\.(sin|cos|tan|a?sinh?|a?cosh?|a?tanh?|atan2|pow|exp|log)\.", kernel.llvm)
