"""What ops say of themselves in ``traits`` holds: on ordinary and special values, by the NumPy reference."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import fuse.tensor as T
from fuse import reference
from fuse.expr import toposort
from fuse.frontend.signs import element_givers
from fuse.op import OPS, elementwise
from fuse.rules import simplify
from fuse.traits import TRAITS

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
    with pytest.raises(ValueError, match=r"an op has the traits along, .*, not heavy"):
        elementwise(traits="light heavy")(lambda x: x)


@pytest.mark.parametrize("op", having("increasing"), ids=str)
def test_increasing(op):
    with np.errstate(all="ignore"):
        found = op.numpy(VALUES)
    assert (found[1:] >= found[:-1]).all()


@pytest.mark.parametrize("op", having("odd"), ids=str)
def test_odd(op):
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(op.numpy(-VALUES), -op.numpy(VALUES))


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


def nodes_having(trait):
    """A node of each op, of floats, and of what else it takes."""
    m, n = T.dmatrix(), T.lscalar()
    others = {
        "dimshuffle": m.T, "broadcast_to": T.broadcast_to(m, (2, 3, 4)), "reshape": m.reshape((-1,)),
        "subtensor": m[1:, n], "gather": m[T.arange(2)], "unbroadcast": OPS["unbroadcast"](m, m[:1]),
    }
    for _, op in sorted(OPS.items()):
        if trait not in op.traits:
            continue
        if op.kind == "elementwise":
            yield applied(op, *[T.dvector() for _ in range(op.nargs)])
        elif op.kind == "reduction":
            yield op(m, axis=(1,), dtype="float64")
        else:
            yield others[op.name]


@pytest.mark.parametrize("trait", ["chooses", "keeps-sign"])
def test_elements_come_from_those_that_give_them(trait):
    rng = np.random.default_rng(0)
    for node in nodes_having(trait):
        givers = element_givers(node)
        values = {}
        for leaf in toposort([node]):
            if leaf.is_leaf and leaf.op.name == "input":
                shape = (3, 4)[: leaf.type.ndim]
                value = rng.uniform(0, 3, shape) if leaf in givers else rng.integers(-1, 1, shape)
                values[leaf] = np.asarray(value, leaf.dtype)
        found = reference.evaluate([node], values)[0]
        if trait == "chooses":
            assert np.isin(found, np.concatenate([values[g].ravel() for g in givers])).all(), node.op
        assert (found >= 0).all(), node.op


@pytest.mark.parametrize("op", having("dear"), ids=str)
def test_dear_functions_are_of_one_number_and_leave_choices(op):
    x, c = T.dvector(), T.vector(dtype="bool")
    assert op.nargs == 1 and simplify(op(T.switch(c, 0.5, x))).op.name == "switch"


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


MATRICES = np.array([[[4.0, 1.0], [1.0, 3.0]], [[2.0, 0.5], [0.5, 1.0]]])
PARAMETERS = {
    "cholesky": {"lower": True, "on_error": "raise"}, "eigh": {"lower": True}, "eigvalsh": {"lower": True},
    "eigh_pair": {"lower": True}, "svd": {"full_matrices": False}, "pinv": {"rcond": 1e-15, "hermitian": False},
    "qr": {"mode": "reduced"}, "fourier": {"axes": (-1,), "inverse": False},
}


@pytest.mark.parametrize("op", having("stacks", "opaque"), ids=str)
def test_stacks_are_done_entry_by_entry(op):
    params = PARAMETERS.get(op.name, {})
    dtype = "complex128" if op.name == "fourier" else "float64"
    arrays = [MATRICES.astype(dtype), MATRICES[::-1].astype(dtype)][: 2 if op.name == "eigh_pair" else 1]
    node = op(*[T.TensorType(dtype, (None,) * 3)() for _ in arrays], **params)
    together = reference.apply(node, arrays)
    for k in range(len(MATRICES)):
        alone = reference.apply(node, [a[k] for a in arrays])
        for whole, part in zip(*[x if isinstance(x, (list, tuple)) else [x] for x in (together, alone)], strict=True):
            np.testing.assert_allclose(whole[k], part, rtol=1e-13, atol=1e-13)


ALONG = [op for kind in ("opaque", "view", "composite") for op in having("along", kind)]


@pytest.mark.parametrize("op", ALONG, ids=str)
def test_along_an_axis_the_others_are_repeated(op):
    few = np.random.default_rng(0).uniform(size=(3, 2, 4))
    first, second = ({"offset": 0, "axis1": k, "axis2": k + 1} if op.name == "diagonal" else
                     {"axis": (k,) if op.name == "logsumexp" else k} for k in (0, 1))
    further = {"recurrence": "reverse", "running_position": "largest"}.get(op.name)
    if further is not None:
        first[further] = second[further] = True
    whole = op(*[T.dtensor3()] * (2 if op.name in ("join", "recurrence") else 1), **second)
    one = op(*[T.dmatrix()] * len(whole.args), **first)
    together = reference.apply(whole, [few] * len(whole.args))
    for k, entry in enumerate(few):
        np.testing.assert_allclose(together[k], reference.apply(one, [entry] * len(one.args)), rtol=1e-14)


def test_a_simple_logarithm_is_that_of_what_is_positive():
    for op in [op for op in OPS.values() if "simple-logarithm" in op.traits]:
        x = T.dvector()
        node = op(x, axis=0) if op.kind == "composite" else op(x)
        assert (reference.apply(node, [np.linspace(-3, 3, 7)]) > 0).all()
        assert simplify(T.log(node)) is not T.log(node)
