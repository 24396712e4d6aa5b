"""Plans of kernels: small values repeated along leading axes, beside sums over what they are repeated along."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.choosing import plan
from fuse.codegen.expand import expand, settle
from fuse.codegen.region import Region, widens
from fuse.rules import optimize


def _points(n: int, clusters: int, dimensions: int) -> list[np.ndarray]:
    rng = np.random.default_rng(n + clusters)
    return [
        rng.standard_normal((n, dimensions)),
        rng.standard_normal((clusters, dimensions)),
        rng.uniform(-0.5, 0.5, (clusters, dimensions)),
        rng.standard_normal(clusters),
    ]


def _likelihood(x, mu, ls, w):
    z = (x[:, None, :] - mu[None, :, :]) * T.exp(-ls)[None, :, :]
    each = T.nnet.log_softmax(w, axis=0) - ls.sum(axis=1) - (z * z).sum(axis=2) / 2
    return T.logsumexp(each, axis=1).mean()


def _weighted_distances(x, mu, ls, w):
    scale = T.nnet.softmax(w, axis=0)[:, None] * T.exp(ls)
    return T.sqrt((T.sqr(x[:, None, :] - mu[None, :, :]) * scale[None, :, :]).sum(axis=2)).sum()


def _attention(x, mu, ls, w):
    keys = mu / T.sqrt(T.sqr(mu).sum(axis=1, keepdims=True)) * T.exp(w)[:, None]
    scores = (x[:, None, :] * keys[None, :, :]).sum(axis=2)
    return (T.nnet.softmax(scores, axis=1)[:, :, None] * T.tanh(ls)[None, :, :]).sum(axis=1).std()


FORMULAS = [_likelihood, _weighted_distances, _attention]


def _variables():
    return T.dmatrix("x"), T.dmatrix("mu"), T.dmatrix("ls"), T.dvector("w")


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("shape", [(7, 5, 3), (40, 3, 17), (3, 20, 2), (1, 1, 1)])
def test_gradients_of_sums_over_pairs(formula, shape):
    variables, values = _variables(), _points(*shape)
    outputs = [formula(*variables)]
    outputs += T.grad(outputs[0], list(variables[1:]))
    found = fuse.function(variables, outputs)(*values)
    expected = fuse.function(variables, outputs, mode="FAST_COMPILE")(*values)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    # Against differences of the value too.
    value = fuse.function(variables, outputs[0])
    for k in (1, 2, 3):
        step = 1e-6
        shifted = [v.copy() for v in values]
        shifted[k].flat[0] += step
        up = value(*shifted)
        shifted[k].flat[0] -= 2 * step
        slope = (up - value(*shifted)) / (2 * step)
        np.testing.assert_allclose(found[k].flat[0], slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("formula", [_likelihood, _weighted_distances])
def test_pairs_are_not_stored(formula):
    """What has an entry for each pair and dimension is neither written nor read, value and gradient together."""
    variables = _variables()
    cost = formula(*variables)
    outputs, sizes = settle(expand(optimize([cost, *T.grad(cost, list(variables[1:]))])), [])
    found = plan(outputs, sizes)
    for region in found.units:
        if isinstance(region, Region):
            assert all(len(sizes.of[v]) < 3 for v in (*region.loads, *region.outputs))


def test_a_row_of_parameters_stays_in_the_kernel_that_uses_it():
    x, w = T.dmatrix("x"), T.dvector("w")
    outputs, sizes = settle(expand(optimize([x * T.exp(w)])), [])
    assert len(plan(outputs, sizes).units) == 1


def test_widening():
    columns, both = frozenset({1}), frozenset({0, 1})
    assert widens([frozenset(), columns], (0, 1))
    assert widens([columns, both], (2, 0, 1))
    assert not widens([columns], (1, 0))  # the new axis is inside
    assert not widens([both], (0, 1))
    assert not widens([frozenset()], (0, 1))


def test_a_matrix_is_read_once_beside_a_penalty_of_its_weights():
    """The sum over the weights alone does not keep products with them, and their gradient, from being one pass."""
    x, y, w = T.dmatrix("x"), T.dvector("y"), T.dvector("w")
    cost = T.nnet.softplus((x * w).sum(axis=1) * y).mean() + (w**2).sum()
    outputs, sizes = settle(expand(optimize([cost, T.grad(cost, w)])), [])
    readers = [u for u in plan(outputs, sizes).units if isinstance(u, Region) and x in u.loads]
    assert len(readers) == 1
    values = _points(30, 1, 7)[0], np.linspace(-1, 1, 30), np.linspace(0, 1, 7)
    found = fuse.function([x, y, w], [cost, T.grad(cost, w)])(*values)
    z = values[0] @ values[2] * values[1]
    slope = (values[1] / (1 + np.exp(-z)) / 30) @ values[0] + 2 * values[2]
    np.testing.assert_allclose(found[0], np.logaddexp(0, z).mean() + (values[2] ** 2).sum(), rtol=1e-12)
    np.testing.assert_allclose(found[1], slope, rtol=1e-11)


def test_statistics_of_a_row_are_computed_before_the_matrix_that_repeats_it():
    """The weights' largest one, and their sum of exponentials, do not join loops over rows: the pairs stay there."""
    x, mu, nu, w = T.dvectors("x", "mu", "nu", "w")
    each = -T.log1p(T.sqr(x[:, None] - mu) / T.exp(nu)) * T.exp(nu) - T.gammaln(nu) + w - T.logsumexp(w)
    cost = T.logsumexp(each, axis=1).mean()
    variables = [mu, nu, w]
    outputs, sizes = settle(expand(optimize([cost, *T.grad(cost, variables)])), [])
    regions = [u for u in plan(outputs, sizes).units if isinstance(u, Region)]
    assert all(len(sizes.of[v]) < 2 for r in regions for v in (*r.loads, *r.outputs))
    values = [np.linspace(-2, 2, 9), *np.random.default_rng(0).uniform(0.5, 2.0, (3, 3))]
    found = fuse.function([x, *variables], [cost, *T.grad(cost, variables)])(*values)
    expected = fuse.function([x, *variables], [cost, *T.grad(cost, variables)], mode="FAST_COMPILE")(*values)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    w_, step = values[3], 1e-6
    value = fuse.function([x, *variables], cost)
    slope = [(value(*values[:3], w_ + d) - value(*values[:3], w_ - d)) / (2 * step) for d in np.eye(3) * step]
    np.testing.assert_allclose(found[3], slope, rtol=1e-6, atol=1e-9)
