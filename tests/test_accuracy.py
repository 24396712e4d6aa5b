"""Every vectorised function against mpmath, to four units in the last place; the same bits wherever a number stands."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from benchmarks.accuracy import DTYPES, arity, cases, kernel, measure, samples
from fuse.codegen.mathlib import resolve, vectorised
from fuse.codegen.mathlib.specialise import two_at_once

UNITS = 4.0


def computed(dtype, arrays):
    """All functions in one kernel, each over its own arrays."""
    outputs = {name: np.empty(len(group[0]), dtype) for name, group in arrays.items()}
    assert kernel(list(arrays), dtype)(*[a for name in arrays for a in (*arrays[name], outputs[name])]) == 0
    return outputs


def test_every_vectorised_function_is_measured():
    assert set(cases()) == set(vectorised.TABLE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_accurate_over_all_exponents(dtype):
    arrays = {name: samples(name, dtype, 70) for name in cases()}
    results = [measure(name, dtype, arrays[name], have) for name, have in computed(dtype, arrays).items()]
    assert not [result for result in results if not result.ulps <= UNITS]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_has_the_same_result_in_every_lane_and_in_the_rest_of_a_loop(dtype):
    whole = {name: samples(name, dtype, 90, seed=1) for name in cases()}
    want = computed(dtype, whole)
    for start, stop in ((0, 1), (1, 9), (3, 34), (5, 70)):
        part = {name: [np.ascontiguousarray(a[start:stop]) for a in group] for name, group in whole.items()}
        for name, have in computed(dtype, part).items():
            bits = f"u{have.itemsize}"
            same = (have.view(bits) == want[name][start:stop].view(bits)) | np.isnan(have)
            assert same.all(), (name, [a[~same] for a in part[name]])


def test_loops_compute_two_vectors_at_once_around_one_long_function_or_where_there_is_much_work():
    exp, log, power, plain = (resolve(name, "float64") for name in ("exp", "log", "power", "sign"))
    assert two_at_once([power], shared=False, within=True)
    assert two_at_once([exp, plain], shared=True, within=False)
    assert two_at_once([exp, log, exp, log], shared=True, within=True)
    assert not two_at_once([exp], shared=False, within=False)
    assert not two_at_once([exp], shared=True, within=True)
    assert not two_at_once([exp, log], shared=True, within=False)


@pytest.mark.parametrize("dtype", DTYPES)
def test_much_work_has_the_bits_of_little(dtype):
    """The one loop computes two vectors at once, the other one a vector."""
    x = T.vector(dtype=dtype)
    much, little = (fuse.function([x], T.exp(x) * x - 1) for _ in range(2))
    (data,) = samples("exp", dtype, 20_000)
    parts = [little(data[k : k + 999]) for k in range(0, len(data), 999)]
    np.testing.assert_array_equal(much(data), np.concatenate(parts))


EVEN = ("cos", "cosh")
ODD = ("tanh", "cbrt", "erf", "erfinv", "sin", "tan", "arcsin", "arctan", "sinh", "arcsinh", "arctanh")
RISING = ("exp", "exp2", "expm1", "tanh", "sigmoid", "log", "log2", "log10", "log1p", "cbrt", "erf", "arctan", "sinh")


@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_functions_are_odd_and_even_ones_even_to_the_last_bit(dtype):
    chosen = (*EVEN, *ODD)
    arrays = {name: samples(name, dtype, 300) for name in chosen}
    right, left = computed(dtype, arrays), computed(dtype, {name: [-a[0]] for name, a in arrays.items()})
    for name in chosen:
        np.testing.assert_array_equal(left[name], right[name] if name in EVEN else -right[name], err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_that_rise_do_so_over_all_exponents(dtype):
    arrays = {name: [np.unique(samples(name, dtype, 3000)[0])] for name in RISING}
    for name, have in computed(dtype, arrays).items():
        assert arity(name) == 1
        numbers = have[~np.isnan(have)]
        assert (np.diff(numbers[np.isfinite(numbers)]) >= 0).all(), name


POWERS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e20, -1e20, 2.5, -2.5,
          4503599627370497.0, -4503599627370497.0, 8388609.0, 16777217.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_cases_of_pow_are_those_of_the_c_standard(dtype):
    """C99, annex F.9.4.4, as NumPy has it: zeros, infinities, NaN, ones, and odd and even whole exponents."""
    kind = np.finfo(dtype)
    edges = (kind.max, kind.tiny, kind.smallest_subnormal, 1 + kind.eps, 1 - kind.epsneg)
    numbers = np.array([*POWERS, *edges, *(-e for e in edges)], dtype)
    x, y = (a.ravel().copy() for a in np.meshgrid(numbers, numbers))
    have = computed(dtype, {"power": [x, y]})["power"]
    with np.errstate(all="ignore"):
        want = np.power(x, y)
        near = np.abs(have - want) <= 2 * np.spacing(np.abs(want))
    same = (have == want) & (np.signbit(have) == np.signbit(want)) | np.isnan(have) & np.isnan(want)
    assert (same | near).all(), [(x[k], y[k], have[k], want[k]) for k in np.flatnonzero(~(same | near))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_whole_powers_of_whole_numbers_are_exact(dtype):
    bases, exponents = (a.ravel() for a in np.meshgrid(np.arange(-40.0, 41.0), np.arange(0.0, 12.0)))
    exact = np.abs(bases) ** exponents <= 2.0**20
    x, y = bases[exact].astype(dtype), exponents[exact].astype(dtype)
    np.testing.assert_array_equal(computed(dtype, {"power": [x, y]})["power"], x.astype(int) ** y.astype(int))
