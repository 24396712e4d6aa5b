"""Random keys: known answers by another program, laws of the distributions, keys of keys, batches, gradients."""
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fuse
import fuse.random as R
import fuse.tensor as T
from fuse.errors import FuseTypeError, FuseValueError
from fuse.frontend.philox import philox4x32

MANY = 4000
KEY = T.vector("key", dtype="uint64")
ONE = np.array([11, 22], "uint64")


def by_hand(position, key, domain=0):
    """Two words of 64 bits from Philox4x32-10 (whose known answers test_random.py has)."""
    count = int(key[1]) ^ domain
    words = [int(v) for part in (position, count, int(key[0])) for v in (part & 0xFFFFFFFF, part >> 32)]
    found = [int(w) for w in philox4x32(words[:4], words[4:])]
    return found[0] | found[1] << 32, found[2] | found[3] << 32


def test_keys_by_hand():
    seed = T.lscalar("seed")
    wanted = [R.key(seed), R.key(-1), R.split(KEY, 3), R.fold_in(KEY, seed)]
    of_seed, of_number, rows, folded = fuse.function([seed, KEY], wanted)(7, ONE)
    assert tuple(of_seed) == by_hand(7, (R._SEED, 0))
    assert tuple(of_number) == by_hand(2**64 - 1, (R._SEED, 0))
    assert [tuple(r) for r in rows] == [by_hand(k, ONE, R._SPLIT) for k in range(3)]
    assert tuple(folded) == by_hand(7, ONE, R._FOLD)


def test_draws_by_hand():
    bits, uniform = fuse.function([KEY], [R.bits(KEY, (2, 3)), R.uniform(KEY, (2, 3))])(ONE)
    want = np.array([by_hand(k, ONE)[0] for k in range(6)], dtype="uint64").reshape(2, 3)
    np.testing.assert_array_equal(bits, want)
    np.testing.assert_array_equal(uniform, ((want >> np.uint64(11)) | np.uint64(1)) * 2.0**-53)


def test_the_same_for_any_number_of_threads():
    f = fuse.function([KEY], R.normal(KEY, 300_000))
    before = fuse.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            fuse.set_num_threads(count)
            found.append(f(ONE))
    finally:
        fuse.set_num_threads(before)
    np.testing.assert_array_equal(*found)


THREE = stats.rv_discrete(values=(range(3), (0.2, 0.5, 0.3)))
LAWS = {
    "uniform": (lambda k: R.uniform(k, MANY, -1.0, 3.0), stats.uniform(-1, 4)),
    "normal": (lambda k: R.normal(k, MANY, 1.0, 2.0), stats.norm(1, 2)),
    "truncated": (lambda k: R.truncated_normal(k, MANY), stats.truncnorm(-2, 2)),
    "exponential": (lambda k: R.exponential(k, MANY, 3.0), stats.expon(scale=3)),
    "gumbel": (lambda k: R.gumbel(k, MANY, 1.0, 2.0), stats.gumbel_r(1, 2)),
    "logistic": (lambda k: R.logistic(k, MANY), stats.logistic()),
    "laplace": (lambda k: R.laplace(k, MANY, 1.0, 2.0), stats.laplace(1, 2)),
    "cauchy": (lambda k: R.cauchy(k, MANY), stats.cauchy()),
    "gamma": (lambda k: R.gamma(k, 0.7, MANY, 2.0), stats.gamma(0.7, scale=2)),
    "beta": (lambda k: R.beta(k, 2.0, 0.5, MANY), stats.beta(2, 0.5)),
    "t": (lambda k: R.t(k, 1.5, MANY), stats.t(1.5)),
}
COUNTS = {
    "bernoulli": (lambda k: R.bernoulli(k, 0.3, MANY), stats.bernoulli(0.3)),
    "randint": (lambda k: R.randint(k, MANY, 2, 7), stats.randint(2, 7)),
    "poisson": (lambda k: R.poisson(k, 3.0, MANY), stats.poisson(3.0)),
    "binomial": (lambda k: R.binomial(k, 5, 0.4, MANY), stats.binom(5, 0.4)),
    "choice": (lambda k: R.choice(k, 3, MANY, p=[0.2, 0.5, 0.3]), THREE),
    "categorical": (lambda k: R.categorical(k, np.log([0.2, 0.5, 0.3]), MANY), THREE),
}


def test_laws():
    """Kolmogorov and Smirnov's test of each continuous law, chi squared of each discrete one; the key is fixed."""
    found = fuse.function([KEY], [make(KEY) for make, _ in (LAWS | COUNTS).values()])(ONE)
    for (name, (_, law)), drawn in zip((LAWS | COUNTS).items(), found, strict=True):
        if name in LAWS:
            assert stats.kstest(drawn, law.cdf).pvalue > 1e-3, name
        else:
            values, have = np.unique(drawn.astype(int), return_counts=True)
            want = law.pmf(values)
            assert want.sum() > 0.99, name
            assert stats.chisquare(have, want / want.sum() * MANY).pvalue > 1e-3, name


def test_vectors_of_a_law():
    mean, cov, alpha = np.array([1.0, -2.0]), np.array([[2.0, 0.6], [0.6, 0.5]]), np.array([1.0, 2.0, 0.5])
    normal, parts, sides = fuse.function([KEY], [
        R.multivariate_normal(KEY, mean, cov, MANY), R.dirichlet(KEY, alpha, (MANY,)), R.rademacher(KEY, MANY)
    ])(ONE)
    direction = np.array([0.3, -1.2])
    along = stats.norm(mean @ direction, (direction @ cov @ direction) ** 0.5)
    assert stats.kstest(normal @ direction, along.cdf).pvalue > 1e-3
    np.testing.assert_allclose(parts.sum(-1), 1.0)
    for i in range(3):
        assert stats.kstest(parts[:, i], stats.beta(alpha[i], 3.5 - alpha[i]).cdf).pvalue > 1e-3
    assert sides.dtype == np.int64 and set(sides) == {-1, 1} and abs(sides.mean()) < 0.06
    with pytest.raises(FuseTypeError, match=r"fuse\.vmap"):
        R.multivariate_normal(KEY, np.zeros((3, 2)), cov)


def test_shapes_and_dtypes_of_draws():
    n, alpha = T.lscalar("n"), np.array([1e-3, 2e-3])
    f = fuse.function([KEY, n], R.dirichlet(KEY, alpha, n))
    assert f(ONE, 0).shape == (0, 2)
    parts = f(ONE, MANY)  # nearly all of them are 0 and 1, none is NaN
    np.testing.assert_allclose(parts.sum(-1), 1.0)
    assert abs(parts[:, 0].mean() - 1 / 3) < 0.03
    assert R.dirichlet(R.PRNGKey(1), alpha, 0).shape == (0, 2)
    assert R.dirichlet(KEY, np.ones((4, 2))).type.shape == (4, 2)
    with pytest.raises(FuseTypeError, match="last axis"):
        R.dirichlet(KEY, 1.0)
    mean, cov = np.zeros(2), np.eye(2)
    for drawn in (
        R.multivariate_normal(KEY, mean, cov, 3, "float32"), R.t(KEY, mean + 1, dtype="float32"),
        R.dirichlet(KEY, mean + 1, dtype="float32"), R.rademacher(KEY, 3, "float32"),
        R.cauchy(KEY, 3, mean[0], dtype="float32"),
    ):
        assert drawn.type.dtype == "float32"
    seeded = fuse.jit(lambda seed: R.normal(R.PRNGKey(seed), (2,)), mode="FAST_COMPILE")
    np.testing.assert_array_equal(seeded(3), R.normal(R.PRNGKey(3), (2,)))


def test_of_a_key_that_is_an_array_draws_are_arrays():
    first, second = R.split(R.PRNGKey(3))
    symbolic = R.split(R.key(3))
    a = np.array([1.0, 2.0])
    pairs = [
        (R.normal(second, (2, 3)), R.normal(symbolic[1], (2, 3))),
        (R.randint(first, (4,), 0, 9), R.randint(symbolic[0], 4, 0, 9)),
        (R.fold_in(first, 5), R.fold_in(symbolic[0], 5)), (R.dirichlet(first, a), R.dirichlet(symbolic[0], a)),
        (R.t(second, a), R.t(symbolic[1], a)), (R.permutation(first, 7), R.permutation(symbolic[0], 7)),
    ]
    for (drawn, _), want in zip(pairs, fuse.function([], [e for _, e in pairs], mode="FAST_COMPILE")(), strict=True):
        assert isinstance(drawn, np.ndarray) and drawn.dtype == want.dtype
        np.testing.assert_array_equal(drawn, want)
    assert R.normal(first, (2,)).at[0].set(1.0)[0] == 1.0
    assert isinstance(R.normal(first, (2,), T.dscalar()), fuse.Expr)  # the mean is not known
    found = fuse.jit(lambda k, x: R.normal(k, (2,)) + R.normal(second, (2,)) * x, mode="FAST_COMPILE")(first, 2.0)
    np.testing.assert_allclose(found, R.normal(first, (2,)) + 2 * R.normal(second, (2,)))


def test_keys_of_keys_are_independent():
    keys = R.split(R.key(3), 50)
    drawn = fuse.vmap(lambda k: R.normal(k, (200,)))(keys.eval())
    assert drawn.shape == (50, 200)
    assert stats.kstest(drawn.ravel(), stats.norm.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn) - np.eye(50)).max() < 0.35
    one = fuse.function([KEY], R.normal(KEY, (200,)))
    np.testing.assert_array_equal(drawn[7], one(keys.eval()[7]))


def test_in_jit_and_loops():
    @fuse.jit
    def walk(key, start):
        def step(x, k):
            x = x + R.normal(k)
            return x, x

        return fuse.loop(step, start, R.split(key, 5))[1]

    steps = [R.normal(k).eval() for k in R.split(R.key(1), 5).eval()]
    np.testing.assert_allclose(walk(R.key(1).eval(), 0.0), np.cumsum(steps))


def test_permutations():
    order, rows = fuse.function([KEY], [R.permutation(KEY, 20), R.permutation(KEY, T.arange(40).reshape((20, 2)))])(ONE)
    assert sorted(order) == list(range(20)) and list(order) != list(range(20))
    np.testing.assert_array_equal(rows, np.arange(40).reshape(20, 2)[order])
    chosen = R.choice(R.key(1), np.arange(9.0), 9, replace=False).eval()
    assert sorted(chosen) == list(range(9))


@pytest.mark.parametrize(("low", "end"), [
    (-130, -128), (0, np.int8(-128)), (-3, np.uint8(0)), (2**31 - 2, np.int32(2**31 - 1)),
])
def test_bounds_of_narrow_integers(low, end):
    """The end less 1 was computed in its own dtype."""
    if int(end) <= low:
        with pytest.raises(FuseValueError, match="from the lower bound"):
            R.randint(R.key(0), 50, low, end)
    else:
        drawn = R.randint(R.key(0), 50, low, end).eval(mode="FAST_COMPILE")
        assert (drawn.min(), drawn.max()) == (low, int(end) - 1)


def test_gradients_of_draws():
    a = T.dscalar("a")
    draw = R.gamma(R.key(1), a, 3) + R.normal(R.key(2), 3, a, a)
    f = fuse.function([a], [draw.sum(), fuse.grad(draw.sum(), a)])
    np.testing.assert_allclose(f(2.0)[1], (f(2.0 + 1e-5)[0] - f(2.0 - 1e-5)[0]) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize("call", [lambda: R.uniform(3), lambda: R.split(T.dvector()), lambda: R.key(1.5),
                                  lambda: R.fold_in(R.key(1), 0.5)])
def test_errors(call):
    with pytest.raises(FuseTypeError, match=r"key|seed|integer"):
        call()
