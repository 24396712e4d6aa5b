"""No gradient passes what moves in jumps: an error says so, where zeros would be taken for a derivative."""
import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import DisconnectedInputError, NullTypeGradError
from fuse.tensor.shared_randomstreams import RandomStreams

X, N = T.dscalar("x"), T.lscalar("n")
V, M = T.dvector("v"), T.dmatrix("m")
RNG = RandomStreams(1)
KEY = fuse.random.key(0)
GENERATOR = fuse.shared(np.random.default_rng(1))

DRAWS = {
    "binomial": (RNG.binomial((3,), p=X), X),
    "binomial, floats": (RNG.binomial((3,), p=X, dtype="float64"), X),
    "binomial of five": (RNG.binomial((3,), n=5, p=X), X),
    "binomial, its count": (RNG.binomial((3,), n=N, p=0.5), N),
    "poisson": (RNG.poisson((3,), lam=X), X),
    "random_integers": (RNG.random_integers((3,), low=0, high=N), N),
    "choice": (RNG.choice((3,), a=3, p=V), V),
    "choice, none twice": (RNG.choice(2, a=3, p=V, replace=False), V),
    "choice, which": (RNG.choice((3,), a=N), N),
    "multinomial": (RNG.multinomial(pvals=M), M),
    "multinomial, its count": (RNG.multinomial((2,), n=T.stack([N, N]), pvals=[0.5, 0.5]), N),
    "multinomial_wo_replacement": (RNG.multinomial_wo_replacement(pvals=M), M),
    "bernoulli": (fuse.random.bernoulli(KEY, X), X),
    "categorical": (fuse.random.categorical(KEY, V), V),
    "randint": (fuse.random.randint(KEY, (3,), 0, N), N),
    "of a generator": (T.random.binomial(1, X, size=(3,), rng=GENERATOR), X),
    "of a generator, normal": (T.random.normal(X, 1.0, size=(3,), rng=GENERATOR), X),
    "of a state": (T.raw_random.binomial(T.raw_random.random_state_type(), (3,), 1, X)[1], X),
    "nonzero": (T.nonzero(V)[0], V),
    "flatnonzero": (T.flatnonzero(M), M),
    "eye, its diagonal": (T.eye(3, 3, N), N),
    "tril, its diagonal": (T.tril(T.ones((3, 3)), N), N),
    "fill_diagonal_offset": (T.fill_diagonal_offset(T.ones((3, 3)), 2.0, N), N),
}


@pytest.mark.parametrize("name", DRAWS)
def test_what_moves_in_jumps_has_no_gradient(name):
    value, x = DRAWS[name]
    beside = T.cast(x, "float64").sum() ** 2
    floor = T.floor(T.cast(value, "float64") * 0.5)
    for cost in (T.cast(value, "float64").sum() + beside, floor.sum() + beside):
        with pytest.raises(NullTypeGradError, match="derivative"):
            fuse.grad(cost, x)
        assert fuse.grad(cost, x, consider_constant=[value]).type.ndim == x.ndim
    for around in (fuse.gradient.disconnected_grad, fuse.gradient.consider_constant, fuse.gradient.zero_grad):
        fuse.grad(T.cast(around(value), "float64").sum() + beside, x)
    assert fuse.grad(cost, x, null_gradients="return").type.why_null


def test_sizes_are_no_values():
    for value, size in ((T.arange(N), N), (T.eye(N), N), (T.ones(N), N), (T.arange(0.0, X), X)):
        with pytest.raises(DisconnectedInputError):
            fuse.grad(T.cast(value, "float64").sum(), size)


def test_masks_and_chains_that_are_taken_as_constant():
    """Dropout, and contrastive divergence with the end of the chain as a constant, as in Theano."""
    W = T.dmatrix("W")
    rate = T.dscalar("rate")
    mask = RNG.binomial((3,), p=rate, dtype="float64")
    g = fuse.function([V, W, rate], [fuse.grad((T.tanh(T.dot(V, W)) * mask).sum(), W), mask])
    v, w = np.array([0.5, -1.0, 2.0]), np.full((3, 3), 0.3)
    slope, drawn = g(v, w, 0.5)
    np.testing.assert_allclose(slope, np.outer(v, drawn / np.cosh(v @ w) ** 2))

    def step(x):
        p = T.nnet.sigmoid(T.dot(x, W))
        return RNG.binomial((3,), p=p, dtype="float64")

    chain, updates = fuse.scan(step, outputs_info=[V], n_steps=2)
    cost = T.dot(T.dot(V, W), V) - T.dot(T.dot(chain[-1], W), chain[-1])
    with pytest.raises(NullTypeGradError, match="score function"):
        fuse.grad(cost, W)
    train = fuse.function([V, W], [fuse.grad(cost, W, consider_constant=[chain[-1]]), chain[-1]], updates=updates)
    slope, end = train(v, w)
    np.testing.assert_allclose(slope, np.outer(v, v) - np.outer(end, end))


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_draws_in_loops(dtype):
    def step(a, s, w):
        p = T.nnet.sigmoid(a * w + s)
        return T.tanh(a * w), RNG.binomial((), p=p, dtype=dtype), p

    start = [T.constant(0.5), T.constant(0, dtype=dtype), None]
    (smooth, drawn, p), _ = fuse.scan(step, outputs_info=start, non_sequences=[X], n_steps=3)
    value = fuse.function([X], fuse.grad(smooth.sum(), X))(0.7)  # what nobody asks for does not matter
    a, d, total = 0.5, 0.0, 0.0
    for _ in range(3):
        d = (1 - np.tanh(a * 0.7) ** 2) * (a + 0.7 * d)
        a, total = np.tanh(a * 0.7), total + d
    np.testing.assert_allclose(value, total)
    for cost in (drawn.sum() * 1.0, p.sum(), T.cast(drawn[-1], "float64")):
        with pytest.raises(NullTypeGradError):
            fuse.grad(cost, X)


def test_tangents_take_draws_as_constants():
    """As Theano's Rop, and as jvp of JAX."""
    d = RNG.binomial((3,), p=X)
    assert float(fuse.Rop((d * X).sum(), X, T.constant(1.0)).eval({X: 1.0})) == 3.0
    places = fuse.Rop(V[T.nonzero(V)], V, V)
    np.testing.assert_array_equal(places.eval({V: [1.0, 0.0, 2.0]}), [1.0, 2.0])


def test_rounding_to_bfloat16_passes_gradients_on():
    x = T.fvector("x")
    rounded = T.from_bfloat16(T.to_bfloat16(x))
    value = np.array([0.1, 2.0, -3.0], "float32")
    near = T.from_bfloat16(T.to_bfloat16(value)).eval()
    np.testing.assert_array_equal(fuse.grad((rounded**2).sum(), x).eval({x: value}), 2 * near)
    np.testing.assert_array_equal(fuse.Rop(rounded**2, x, x).eval({x: value}), 2 * near * value)
    assert not fuse.grad(T.cast(rounded > 1, "float32").sum(), x).eval({x: value}).any()
    bits = T.TensorType("uint16", (False,))("bits")
    part = T.from_bfloat16(T.to_bfloat16(x)[1:])
    with pytest.raises(NullTypeGradError, match="bits are integers"):
        fuse.grad(T.from_bfloat16(bits).sum(), bits)
    with pytest.raises(NullTypeGradError, match="bits are integers"):
        fuse.grad(part.sum(), x)
    with pytest.raises(NullTypeGradError, match="bits are integers"):
        fuse.Rop(part, x, x)
