"""What ops say of themselves in ``traits`` holds: on ordinary and special values, by the NumPy reference."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import fuse.tensor as T
from fuse import reference
from fuse.op import OPS, TRAITS, elementwise

VALUES = np.array([-np.inf, -1e300, -745.5, -88.0, -3.5, -1.0, -0.75, -1e-8, -0.0, 0.0, 1e-300, 0.25, 0.5, 1.0, 2.0,
                   7.0, 40.0, 709.9, 1e5, 1e300, np.inf])


def having(trait, kind="elementwise"):
    return [op for _, op in sorted(OPS.items()) if trait in op.traits and op.kind == kind]


def numbers_for(op):
    """All combinations of values for its operands, bools where they are conditions."""
    few = VALUES if op.nargs == 1 else VALUES[[0, 4, 7, 8, 9, 12, 14, 19, 20]]
    first = (False, True) if op.name == "switch" else few
    columns = zip(*itertools.product(first, *[few] * (op.nargs - 1)), strict=True)
    return [np.array(c) for c in columns]


def applied(op, *variables):
    params = {"dtype": "float64"} if op.name == "cast" else {}
    return op(*variables, **params)


def test_every_trait_is_one_of_the_table():
    assert {t for op in OPS.values() for t in op.traits} == set(TRAITS)
    with pytest.raises(ValueError, match=r"an op has the traits commutative, .*, not heavy"):
        elementwise(traits="light heavy")(lambda x: x)


@pytest.mark.parametrize("op", having("increasing"), ids=str)
def test_increasing(op):
    with np.errstate(all="ignore"):
        found = op.numpy(VALUES)
    assert (found[1:] >= found[:-1]).all()


@pytest.mark.parametrize("op", having("commutative"), ids=str)
def test_commutative(op):
    a, b = (np.clip(v, -99, 99).astype("int64") if _takes_bools_alone(op) else v for v in numbers_for(op))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(op.numpy(a, b), op.numpy(b, a))


@pytest.mark.parametrize("op", having("nonnegative"), ids=str)
def test_nonnegative(op):
    with np.errstate(all="ignore"):
        found = op.numpy(VALUES)
    assert ((found >= 0) | np.isnan(found)).all()


def _takes_bools_alone(op):
    return op.name in ("and_", "or_", "xor", "invert")


@pytest.mark.parametrize("op", [op for op in having("finite-slopes") if not _takes_bools_alone(op)], ids=str)
def test_slopes_are_finite_where_values_are(op):
    arrays = numbers_for(op)
    variables = [T.TensorType(a.dtype.name, (None,))() for a in arrays]
    out = applied(op, *variables)
    floats = [v for v in variables if v.dtype == "float64"]
    slopes = T.grad(T.cast(out, "float64").sum(), floats, disconnected_inputs="ignore")
    with np.errstate(all="ignore"):
        value, *slopes = reference.evaluate([out, *slopes], dict(zip(variables, arrays, strict=True)))
    usual = np.all([np.abs(a) < 1e100 for a in (value, *arrays)], axis=0)  # nothing overflows
    for slope in slopes:
        assert np.isfinite(slope[usual]).all()


@pytest.mark.parametrize("op", having("test"), ids=str)
def test_bools_stay_bools_in_python(op):
    for operands in itertools.product((False, True), repeat=op.nargs):
        have = eval(op.host.format(*operands))
        assert type(have) is bool and have == bool(op.numpy(*map(np.bool_, operands)))


def test_counts_are_not_below_zero():
    x, n = T.dmatrix("x"), T.lscalar("n")
    given = {x: np.ones((2, 3)), n: np.array(4)}
    counts = [OPS["shape_i"](x, axis=0), OPS["iota"](n), OPS["linear_index"](n, n), OPS["broadcast_size"](n, 1)]
    assert {c.op for c in counts} == {op for op in OPS.values() if "count" in op.traits}
    for count in reference.evaluate(counts, given):
        assert (np.asarray(count) >= 0).all()
