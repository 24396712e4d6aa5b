"""PyTensor's ``tensor.random``: NumPy's numbers from generators that are shared variables or inputs."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

import fuse
import fuse.tensor as pt
from fuse.tensor.random.basic import DISTRIBUTIONS
from fuse.tensor.random.op import RandomVariable
from fuse.tensor.random.utils import RandomStream, broadcast_params

# Parameters of each distribution, and what NumPy and SciPy draw with them where that is no method of generators.
PARAMS = {
    "wald": (1.0, 2.0),
    "triangular": (0.0, 1.0, 3.0), "beta": (1.0, 2.0), "weibull": (2.0,), "vonmises": (0.5, 2.0), "chisquare": (3.0,),
    "power": (2.0,), "f": (2.0, 3.0), "zipf": (3.0,), "geometric": (0.3,), "hypergeometric": (5, 6, 4),
    "binomial": (7, 0.3), "standard_gamma": (2.0,), "standard_t": (4.0,), "integers": (2, 9), "invgamma": (2.0, 3.0),
    "pareto": (3.0, 2.0), "gumbel": (1.0, 2.0), "truncexpon": (2.0, 1.0, 3.0), "t": (4.0, 1.0, 2.0),
    "bernoulli": (0.4,), "negative_binomial": (4, 0.3), "betabinom": (5, 1.0, 2.0), "gengamma": (2.0, 3.0, 1.5),
    "dirichlet": ([1.0, 2.0, 3.0],), "multinomial": (6, [0.2, 0.3, 0.5]), "categorical": ([0.2, 0.3, 0.5],),
    "multivariate_normal": ([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]]), "gamma": (2.0, None, 3.0),
}
OTHERWISE = {
    "random": lambda rng, size: rng.uniform(size=size),
    "invgamma": lambda rng, a, b, size: 1 / rng.gamma(a, 1 / b, size),
    "gamma": lambda rng, a, _, scale, size: rng.gamma(a, scale, size),
    "categorical": lambda rng, p, size: np.searchsorted(np.cumsum(p), rng.uniform(size=size), side="right"),
    "multivariate_normal": lambda rng, m, c, size: (
        np.array(m) + rng.normal(size=(*size, 2)) @ np.linalg.cholesky(c).T
    ),
    **{name: lambda rng, *a, size, law=law: getattr(stats, law).rvs(*a, size=size, random_state=rng) for name, law in (
        ("halfnormal", "halfnorm"), ("gumbel", "gumbel_r"), ("cauchy", "cauchy"), ("halfcauchy", "halfcauchy"),
        ("truncexpon", "truncexpon"), ("t", "t"), ("bernoulli", "bernoulli"), ("negative_binomial", "nbinom"),
        ("betabinom", "betabinom"),
    )},
    "pareto": lambda rng, b, scale, size: stats.pareto.rvs(b, scale=scale, size=size, random_state=rng),
    "gengamma": lambda rng, a, p, s, size: stats.gengamma.rvs(a / p, p, scale=s, size=size, random_state=rng),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_are_those_of_numpy_and_scipy(name):
    rng = fuse.shared(np.random.default_rng(3))
    params = PARAMS.get(name, ())
    sample = getattr(pt.random, name)(*params, size=(3, 2), rng=rng)
    draw = fuse.function([], sample, updates={rng: sample.owner.outputs[0]})
    own = np.random.default_rng(3)
    for _ in range(2):
        want = OTHERWISE.get(name, lambda r, *a, size: getattr(r, name)(*a, size=size))(own, *params, size=(3, 2))
        have = draw()
        assert have.dtype == sample.dtype and have.flags.writeable
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_parameters_may_be_arrays_and_sizes_symbolic():
    n, mean = pt.lscalar("n"), pt.dvector("mean")
    rng = fuse.shared(np.random.default_rng(3))
    sample = pt.random.normal(mean, 2.0, size=(n, mean.shape[0]), rng=rng)
    value = np.array([1.0, 100.0])
    f = fuse.function([n, mean], [sample, sample.shape, (sample + 1).sum()])
    found, shape, total = f(3, value)
    want = np.random.default_rng(3).normal(value, 2.0, (3, 2))
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(shape, (3, 2))
    assert float(total) == (want + 1).sum()
    np.testing.assert_array_equal(f(3, value)[0], want)  # nothing moves the generator on
    with pytest.raises(ValueError, match="incompatible"):
        pt.random.normal(pt.dmatrix(), size=(3,))


def test_a_generator_is_an_input_too():
    rng = pt.random.rng("rng")
    after, sample = pt.random.uniform(size=2, rng=rng, return_next_rng=True)
    again = pt.random.uniform(size=2, rng=after)
    own = np.random.default_rng(1)
    first, second, moved = fuse.function([rng], [sample, again, after])(own)
    want = np.random.default_rng(1).uniform(size=(2, 2))
    np.testing.assert_array_equal([first, second], want)
    np.testing.assert_array_equal(moved.uniform(size=2), want[1])
    np.testing.assert_array_equal(own.uniform(size=2), want[0])  # the caller's generator has not moved


def test_shared_generators():
    rng = pt.random.shared_rng(seed=5)
    value = rng.get_value()
    value.normal()
    assert rng.get_value().normal() == np.random.default_rng(5).normal()
    rng.set_value(value)
    assert rng.get_value().normal() == value.normal()
    other = pickle.loads(pickle.dumps(rng))
    assert other.type == rng.type and other.get_value().normal() == rng.get_value().normal()
    assert copy.deepcopy(rng).get_value() is not rng.get_value(borrow=True)
    with pytest.raises(TypeError, match="Generator"):
        rng.set_value(3)


def test_permutations_and_choices():
    rng = fuse.shared(np.random.default_rng(2))
    own = lambda: np.random.default_rng(2)  # noqa: E731
    rows = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(pt.random.permutation(5, rng=rng).eval(), own().permutation(5))
    np.testing.assert_array_equal(pt.random.permutation(rows, rng=rng).eval(), own().permutation(rows))
    np.testing.assert_array_equal(pt.random.choice(5, size=(2, 3), rng=rng).eval(), own().choice(5, (2, 3)))
    found = pt.random.choice(rows, size=2, replace=False, rng=rng)
    np.testing.assert_array_equal(found.eval(), own().choice(rows, 2, replace=False))
    p = [0.1, 0.9, 0.0]
    assert pt.random.choice(rows, size=(4,), p=p, rng=rng).eval().max() <= 3
    np.testing.assert_array_equal(pt.random.integers(7, size=3, rng=rng).eval(), own().integers(0, 7, 3))
    with pytest.raises(ValueError, match="rate and scale"):
        pt.random.gamma(1.0, 2.0, 3.0)


def test_streams():
    stream = RandomStream(seed=7)
    a, b = stream.normal(0, 1, size=3), stream.uniform(size=2)
    f = fuse.function([], [a, b])
    seeds = np.random.SeedSequence(7).spawn(1)
    own = np.random.default_rng(seeds[0])
    first = f()
    np.testing.assert_array_equal(first[0], own.normal(size=3))
    np.testing.assert_array_equal(f()[0], own.normal(size=3))
    stream.seed(7)
    np.testing.assert_array_equal(f()[0], first[0])
    still = fuse.function([], b, no_default_updates=True)
    np.testing.assert_array_equal(still(), still())
    assert len(stream.updates()) == 2 and a.rng is stream.updates()[0][0]
    with pytest.raises(ValueError, match="rng"):
        stream.normal(rng=a.rng)
    with pytest.raises(AttributeError):
        stream.nothing


def test_gradients_do_not_pass_through_parameters():
    mean = pt.dscalar("mean")
    sample = pt.random.normal(mean, 1.0)
    with pytest.raises(fuse.errors.NullTypeGradError):
        fuse.grad(sample, mean)
    scale = pt.dscalar("scale")
    rng = fuse.shared(np.random.default_rng(1))
    reparametrised = mean + scale * pt.random.normal(rng=rng)
    assert float(fuse.grad(reparametrised, scale).eval({scale: 2.0, mean: 1.0})) == np.random.default_rng(1).normal()


def test_a_users_own_distribution():
    class Shifted(RandomVariable):
        name, signature, dtype = "shifted", "(),(k)->(k)", "floatX"

        def rng_fn(self, rng, by, scale, size):
            return by + scale * rng.normal(size=(*(size or ()), scale.shape[-1]))

    rng = fuse.shared(np.random.default_rng(1))
    sample = Shifted()(10.0, [1.0, 2.0], size=(3,), rng=rng)
    assert sample.type.ndim == 2 and str(sample.owner.op).startswith("shifted_rv")
    np.testing.assert_array_equal(
        sample.eval(), 10 + np.array([1.0, 2.0]) * np.random.default_rng(1).normal(size=(3, 2))
    )
    a, b = broadcast_params([pt.dvector("a"), pt.dtensor3("b")], [1, 2])
    assert a.type.ndim == 2 and b.type.ndim == 3


def test_the_default_mode_may_be_a_mode():
    with fuse.config.change_flags(mode=fuse.Mode("py", None)):
        assert int(fuse.function([], pt.constant(1) + 1)()) == 2


# ---------------------------------------------------------------- loops
def test_streams_within_loops():
    stream = RandomStream(seed=1)
    start = pt.constant(0.0, dtype="float64")
    out, updates = fuse.scan(lambda x: x + stream.normal(), outputs_info=start, n_steps=4)
    f = fuse.function([], out, updates=updates)
    own = np.random.default_rng(np.random.SeedSequence(1).spawn(1)[0])
    np.testing.assert_allclose(f(), np.cumsum(own.normal(size=4)))
    np.testing.assert_allclose(f(), np.cumsum(own.normal(size=4)))


def test_gradients_of_loops_with_draws():
    stream, w = RandomStream(seed=1), pt.dscalar("w")
    out, _ = fuse.scan(lambda x: x * w * stream.normal(), outputs_info=pt.constant(1.0, dtype="float64"), n_steps=4)
    value, slope = fuse.function([w], [out[-1], fuse.grad(out[-1], w)], no_default_updates=True)(0.5)
    assert float(slope) == pytest.approx(4 * float(value) / 0.5)


def test_a_generator_is_carried_through_a_loop():
    rng = fuse.shared(np.random.default_rng(3))

    def step(x, generator):
        after, draw = pt.random.normal(rng=generator, return_next_rng=True)
        return x + draw, after

    (xs, last), _ = fuse.scan(step, outputs_info=[pt.constant(0.0, dtype="float64"), rng], n_steps=3)
    f = fuse.function([], xs, updates={rng: last})
    own = np.random.default_rng(3)
    for _ in range(2):
        np.testing.assert_allclose(f(), np.cumsum(own.normal(size=3)))
