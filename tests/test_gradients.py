"""A sample of the matrix of gradients and its mutations (python -m tests.gradients has all), and edges, compiled."""
from __future__ import annotations

import gradients
import numpy as np
import pytest
import test_autodiff as autodiff

import fuse
import fuse.tensor as T
from fuse.op import OPS


@pytest.fixture(scope="module")
def matrix():
    return gradients.cells()


@pytest.mark.parametrize("part", range(4))
def test_a_sample_of_the_matrix(matrix, part):
    """Every 11th cell, which is each pattern for some ops, for 11 divides none of the numbers of patterns."""
    sample = matrix[11 * part :: 44]
    wrong = {cell.name: why for cell in sample for why in [gradients.failure(cell)] if why}
    assert not wrong and len(sample) > 40


@pytest.mark.parametrize("name", ["mul", "true_div", "tanh", "arctan2", "maximum", "sum", "abs"])
def test_wrong_gradients_are_caught(matrix, name):
    own = [c for c in matrix if c.name.startswith(f"{name} float64")]
    assert gradients.uncaught(OPS[name], own[:3]) == []
    assert gradients.failure(own[0]) is None  # the rules are back


def test_every_op_with_a_rule_is_in_the_matrix(matrix):
    few = [c for c in matrix if "size-1" not in c.name and "scalar" not in c.name and not c.edge]
    found = gradients.cells_by_op(few)
    left = set(gradients.IDENTITIES) | set(gradients.NOT_FORMULAS) | set(autodiff.NO_CASE)
    for name, op in OPS.items():
        rules = op.grad if isinstance(op.grad, tuple) else (op.grad,)
        assert name in found or name in left or not any(map(callable, rules)), name


@pytest.mark.parametrize("mode", ["strict", "default"])
def test_edges_compiled(mode):
    """The conventions at ties and edges hold for what a function computes too."""
    inputs, outputs, values, wanted = [], [], [], []
    for name, build, at, want in autodiff.EDGES:
        if mode == "default" and name == "x / x at 0":
            continue  # that is 1 there, as in Theano
        xs = [T.dscalar() if np.ndim(v) == 0 else T.dvector() for v in at]
        gs = fuse.grad(T.sum(build(*xs)), xs, disconnected_inputs="ignore")
        inputs += xs
        values += [np.asarray(v, "float64") for v in at]
        outputs += [gs[0], gs[-1]]
        wanted += [want[0], want[-1]]
    got = fuse.function(inputs, outputs, mode=mode)(*values)
    for have, want in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(have, want)


def test_tangents_of_complex_functions():
    """conj, abs, real, imag, angle, sgn and complex have no factor by which a tangent is scaled."""
    a, b, s, t = (T.dvector(n) for n in "abst")
    z = T.complex(a, b)
    for build, of in [(T.conj, np.conj), (abs, abs), (T.angle, np.angle), (T.sgn, lambda v: v / abs(v)),
                      (lambda v: v * T.conj(v) + T.exp(v), lambda v: v * v.conj() + np.exp(v))]:
        out = build(z)
        parts = [T.real(out), T.imag(out)] if out.dtype == "complex128" else [out]
        pushed = fuse.function([a, b, s, t], fuse.Rop(parts, [a, b], [s, t]))
        at, along = np.array([0.3 - 0.4j, -1 + 2j]), np.array([0.5 + 0.1j, 0.2 - 0.7j])
        want = (of(at + 1e-6 * along) - of(at - 1e-6 * along)) / 2e-6
        got = pushed(at.real, at.imag, along.real, along.imag)
        np.testing.assert_allclose(got[0], want.real, rtol=1e-7, atol=1e-9)
        if len(parts) > 1:
            np.testing.assert_allclose(got[1], want.imag, rtol=1e-7, atol=1e-9)
