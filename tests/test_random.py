"""Random streams: Philox's known answers, the laws of the distributions, reproducibility, state, gradients."""
from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import stats

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import make, toposort
from fuse.frontend.discrete_laws import scaled_bits
from fuse.frontend.philox import philox, philox4x32
from fuse.op import OPS
from fuse.reference import evaluate
from fuse.sandbox.rng_mrg import MRG_RandomStreams
from fuse.tensor.shared_randomstreams import RandomStreams

# Random123 1.14, tests/kat_vectors: philox4x32 10 -- counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(w, 16) for w in text.split()]


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_known_answers(counter, key, result):
    c, k, want = words(counter), words(key), words(result)
    assert [int(w) for w in philox4x32(c, k)] == want
    position, count, key64 = (np.array(low | high << 32, "uint64") for low, high in ((c[0], c[1]), (c[2], c[3]), k))
    for half, (low, high) in enumerate([want[:2], want[2:]]):
        out = philox(T.constant(position), T.constant(key64), T.constant(count), half=half)
        assert int(evaluate([out], {})[0]) == low | high << 32
        # The scalar kernel is written apart from the reference: uint64 scalars, as the generated code has them.
        scalars = [np.uint64(v) for v in (position, key64, count)]
        assert int(OPS["philox"].kernel(*scalars, half=half)) == low | high << 32


def test_compiled_bits_are_the_references():
    position, key, count = T.vector("position", dtype="uint64"), T.scalar(dtype="uint64"), T.scalar(dtype="uint64")
    outputs = [philox(position, key, count, half=half) for half in (0, 1)]
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 2**64, size=n, dtype="uint64") for n in (1001, (), ())]
    for got, want in zip(
        fuse.function([position, key, count], outputs)(*values),
        evaluate(outputs, dict(zip((position, key, count), values, strict=True))), strict=True,
    ):
        np.testing.assert_array_equal(got, want)


def draws(out, **values):
    return evaluate([out], values)[0]


N = 40_000
LAWS = [
    ("uniform", lambda r: r.uniform(size=(N,)), stats.uniform()),
    ("uniform float32", lambda r: r.uniform(size=(N,), dtype="float32"), stats.uniform()),
    ("uniform -2..3", lambda r: r.uniform(size=(N,), low=-2.0, high=3.0), stats.uniform(-2, 5)),
    ("normal", lambda r: r.normal(size=(N,)), stats.norm()),
    ("normal float32", lambda r: r.normal(size=(N,), dtype="float32"), stats.norm()),
    ("normal 5 +- 0.1", lambda r: r.normal(size=(N,), avg=5.0, std=0.1), stats.norm(5, 0.1)),
    ("truncated", lambda r: r.normal(size=(N,), truncate=True), stats.truncnorm(-2, 2)),
    ("truncated, of a given deviation", lambda r: r.truncated_normal(size=(N,), avg=1.0, std=3.0),
     stats.truncnorm(-2, 2, 1.0, 3.0 / stats.truncnorm.std(-2, 2))),
    ("later call", lambda r: advanced(r, r.normal(size=(N,)), 3), stats.norm()),
]
COUNTS = [
    ("binomial", lambda r: r.binomial(size=(N,), p=0.3), stats.bernoulli(0.3)),
    ("binomial 12", lambda r: r.binomial(size=(N,), n=12, p=0.3), stats.binom(12, 0.3)),
    ("poisson", lambda r: r.poisson(size=(N,), lam=2.5), stats.poisson(2.5)),
    ("random_integers", lambda r: r.random_integers(size=(N,), low=-3, high=6), stats.randint(-3, 7)),
    ("choice", lambda r: r.choice(size=(N,), a=5), stats.randint(0, 5)),
    ("choice p", lambda r: r.choice(size=(N,), a=3, p=np.array([0.5, 0.0, 0.5])),
     stats.rv_discrete(values=([0, 1, 2], [0.5, 0.0, 0.5]))),
    ("choice of values", lambda r: r.choice(size=(N,), a=np.array([7, 9])),
     stats.rv_discrete(values=([7, 9], [0.5, 0.5]))),
    ("permutation", lambda r: r.permutation(size=(N,), n=4)[:, 2], stats.randint(0, 4)),
    ("choice without replacement", lambda r: r.permutation(size=(N,), n=4)[:, 0], stats.randint(0, 4)),
    ("multinomial", lambda r: r.multinomial(n=6, pvals=np.tile([0.2, 0.5, 0.3], (N, 1)))[:, 1], stats.binom(6, 0.5)),
    ("shuffled rows", lambda r: r.shuffle_row_elements(np.tile(np.arange(5), (N, 1)))[:, 4], stats.randint(0, 5)),
]


def advanced(stream, out, count):
    state, _ = stream.state_updates[-1]
    state.set_value(state.get_value() + np.array([0, count], "uint64"))
    return out


@pytest.mark.parametrize("name, build, law", LAWS, ids=[law[0] for law in LAWS])
def test_continuous_laws(name, build, law):
    for seed in (1, 2**40 + 5):
        sample = draws(build(RandomStreams(seed)))
        assert sample.shape == (N,) and sample.dtype == ("float32" if "float32" in name else "float64")
        assert stats.kstest(sample.astype("float64"), law.cdf).pvalue > 1e-4
        pairs = sample[: N // 2 * 2].astype("float64").reshape(-1, 2)
        assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(N / 2)


@pytest.mark.parametrize("name, build, law", COUNTS, ids=[law[0] for law in COUNTS])
def test_discrete_laws(name, build, law):
    sample = draws(build(MRG_RandomStreams(3)))
    assert sample.shape == (N,) and sample.dtype == "int64"
    values = np.arange(sample.min(), sample.max() + 1)
    expected = law.pmf(values) * N
    observed = np.array([(sample == v).sum() for v in values])
    assert observed[expected == 0].sum() == 0
    common = expected >= 5
    statistic = ((observed - expected)[common] ** 2 / expected[common]).sum()
    rest = N - expected[common].sum()  # all rare values as one class
    if rest >= 5:
        statistic += (observed[~common].sum() - rest) ** 2 / rest
    assert stats.chi2.sf(statistic, max(common.sum() - (rest < 5), 1)) > 1e-4


def test_uniform_stays_below_one_and_uses_all_bits():
    top = make(OPS["philox"], tuple(map(T.constant, np.zeros((3,), "uint64"))), {"half": 0})
    from fuse.frontend.random import RADIUS
    from fuse.frontend.unit_interval import MANTISSA, unit_interval

    ones = T.constant(np.array(2**64 - 1, "uint64"))
    for dtype, bits in MANTISSA.items():
        largest = evaluate([unit_interval(ones, dtype, bits)], {})[0]
        assert largest.dtype == dtype and largest == np.array(1, dtype) - np.array(2.0**-bits, dtype) < 1
    for dtype, bits in RADIUS.items():
        assert 0 < evaluate([unit_interval(ones, dtype, bits)], {})[0] <= 1
    assert top.type.dtype == "uint64"


def test_uniform_numbers_are_never_zero_or_one():
    """Programs write -log(-log(u)): in half precision 1 of 2048 draws was 0, in float32 1 of 2**24."""
    from fuse.frontend.unit_interval import open_interval

    for dtype, half in (("float16", 2.0**-11), ("float32", 2.0**-24), ("float64", 2.0**-53)):
        for bits, want in ((0, half), (2**64 - 1, 1 - half)):
            found = evaluate([open_interval(T.constant(np.array(bits, "uint64")), dtype)], {})[0]
            assert found.dtype == dtype and found == want and 0 < found < 1
        u = MRG_RandomStreams(3).uniform(size=(400_000,), dtype=dtype)
        low, high, mean, noise = fuse.function([], [u.min(), u.max(), u.mean(), abs(T.log(-T.log(u))).max()])()
        assert 0 < low < 1e-3 and 0.999 < high < 1 and np.isfinite(noise)
        assert abs(float(mean) - 0.5) < 5 * np.sqrt(1 / 12 / 400_000) + (5e-4 if dtype == "float16" else 0)


def test_states_are_copied_from_one_source_to_another():
    """The recipe of Theano's tutorial."""
    one, other = MRG_RandomStreams(123), MRG_RandomStreams(987)
    f, g = fuse.function([], one.uniform(size=(2,))), fuse.function([], other.uniform(size=(2,)))
    f()
    assert (f() != g()).all()
    other.rstate = one.rstate
    assert (f() == g()).all() and (f() == g()).all()


def test_choice_without_replacement_is_distinct_and_fair():
    r = RandomStreams(9)
    out = r.choice(size=3, a=10, replace=False)
    f = fuse.function([], out)
    found = np.array([f() for _ in range(300)])
    assert all(len(set(row)) == 3 for row in found.tolist()) and found.min() == 0 and found.max() == 9
    weights = np.array([[0.0, 1.0, 1.0, 2.0], [1.0, 1.0, 0.0, 0.0]])
    picked = draws(r.choice(size=2, a=None, replace=False, p=weights))
    rows = draws(r.multinomial_wo_replacement(pvals=weights, n=2))
    for found in (picked, rows):
        assert found.shape == (2, 2) and 0 not in found[0] and len(set(found[0])) == 2 and sorted(found[1]) == [0, 1]
    with pytest.raises(FuseValueError, match="cannot choose 5 of 3"):
        r.choice(size=5, a=3, replace=False)


# ---------------------------------------------------------------- reproducibility
def test_same_seed_same_draws_and_calls_advance():
    def build(seed):
        r = MRG_RandomStreams(seed=seed)
        return fuse.function([], [r.uniform(size=(5, 5)), r.normal(size=(3,)), r.uniform(size=(5, 5))])

    one, two, other = build(42), build(42), build(43)
    history = [one() for _ in range(3)]
    for draw in history:
        for a, b in zip(draw, two(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert (draw[0] != draw[2]).all(), "two variables of one stream differ"
    assert (history[0][0] != history[1][0]).all()
    assert (history[0][0] != other()[0]).all()


def test_draws_do_not_depend_on_the_rest_of_the_graph():
    """The first 10 of 1000 draws are the 10 draws; a compiled function and the interpreter agree."""
    short, long = (draws(RandomStreams(5).uniform(size=(n,))) for n in (10, 1000))
    np.testing.assert_array_equal(short, long[:10])
    r = RandomStreams(5)
    u, z = r.uniform(size=(1000,)), r.normal(size=(77,), dtype="float32")
    want = evaluate([u, z], {})
    got = fuse.function([], [u, z])()
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-6)


def test_reseeding_and_state():
    r = RandomStreams(8)
    u = r.uniform(size=(4,))
    f = fuse.function([], u)
    first, second = f(), f()
    r.seed(8)
    np.testing.assert_array_equal(f(), first)
    kept = r.rstate
    np.testing.assert_array_equal(f(), second)
    r.set_rstate(kept)
    np.testing.assert_array_equal(f(), second)
    r.seed(9)
    assert (f() != first).all()
    r.seed()
    np.testing.assert_array_equal(f(), first)
    assert [state for state, _ in r.updates()] == [state for state, _ in r.state_updates]
    for seed in ("seed", 1.5):
        with pytest.raises(FuseTypeError, match="a seed is an integer"):
            RandomStreams(seed)
    drawn = [float(draws(RandomStreams().uniform())) for _ in range(2)]
    assert drawn[0] != drawn[1], "without a seed each stream is its own"


def value(draw):
    return fuse.function([], draw, mode="FAST_COMPILE")()


@pytest.mark.parametrize(("draw", "words"), [
    (lambda r: r.random_integers((3,), 5, 3), "from the lower bound to the higher"),
    (lambda r: r.random_integers((3,), 0, fuse.shared(-2)), "out of bounds"),
    (lambda r: r.random_integers((3,), 0, np.uint64(2**63)), "fit into int64"),
    (lambda r: r.binomial((3,), 4, fuse.shared(1.5)), "0 <= p <= 1"), (lambda r: r.binomial((3,), 1, 2.0), "from 0 to"),
    (lambda r: r.binomial((3,), 4, np.nan), "0 <= p <= 1"), (lambda r: r.poisson((3,), -1.0), "0 <= lam"),
    (lambda r: r.choice((3,), 3, p=[0.5, 0.5]), "axis 0 has size 2, not 3"),
    (lambda r: r.choice((3,), 2, p=[-0.5, 1.5]), "not negative"),
    (lambda r: r.choice((3,), 2, p=[0.0, 0.0]), "positive"),
    (lambda r: r.choice((3,), 2, p=fuse.shared([np.nan, 0.5])), "not negative"),
    (lambda r: r.choice((3,), 0), "something to choose from"), (lambda r: r.choice((3,), fuse.shared(0)), "bounds"),
    (lambda r: r.choice((3,), 4, False, [0.0, 0.0, 0.5, 0.5]), "3 of them"),
    (lambda r: r.choice((fuse.shared(5),), 4, False), "fewer elements than"),
    (lambda r: r.multinomial(n=3, pvals=[[-1.0, 2.0]]), "not negative"),
    (lambda r: r.uniform((1,), fuse.shared([0.0, 1.0])), "broadcast"),
    (lambda r: r.normal((1,), [0.0, 1.0]), "does not broadcast"),
    (lambda r: r.uniform((fuse.shared(-3),)), "a size is not negative: -3"),
])
def test_draws_that_no_law_has_are_refused(draw, words):
    """These gave numbers: the least integer, elements of probability 0, arrays larger than was asked for."""
    with pytest.raises(FuseError, match=words):
        value(draw(RandomStreams(3)))


def test_integers_of_wide_ranges_and_large_means():
    r = RandomStreams(4)
    wide = value(r.random_integers((4000,), -(2**63), 2**63 - 1))
    assert abs(wide.astype(float).mean()) < 2.0**63 / 20 and 0.45 < (wide & 1).mean() < 0.55
    for low, high in ((0, 2**62), (-5, 2**63 - 1)):
        far = value(r.random_integers((4000,), low, fuse.shared(high)))
        assert far.min() >= low and 0.95 < far.astype(float).mean() / ((low + high) / 2) < 1.05
    bits, span = np.random.default_rng(1).integers(0, 2**64, (2, 100), dtype="u8")
    want = [(int(b) * int(s) >> 64) - (2**64 if int(b) * int(s) >> 127 else 0) for b, s in zip(bits, span, strict=True)]
    np.testing.assert_array_equal(value(scaled_bits(T.constant(bits), T.constant(span))), want)
    counts = value(r.poisson((4000,), 1e12))
    assert abs(counts.mean() - 1e12) < 1e5 and 0.9 < counts.std() / 1e6 < 1.1


def test_no_default_updates_repeats_the_draw():
    u = RandomStreams(1).uniform(size=(2,))
    f = fuse.function([], u, no_default_updates=True)
    np.testing.assert_array_equal(f(), f())


def test_one_variable_used_twice_is_one_draw():
    u = RandomStreams(1).uniform(size=(3,))
    np.testing.assert_array_equal(fuse.function([], u - u)(), np.zeros(3))
    r = RandomStreams(1)
    assert (fuse.function([], r.uniform(size=(3,)) - r.uniform(size=(3,)))() != 0).all()


def test_a_function_that_draws_pickles_with_its_state():
    f = fuse.function([], RandomStreams(4).normal(size=(3,)))
    f()
    stored = pickle.dumps(f)
    second = f()
    np.testing.assert_array_equal(pickle.loads(stored)(), second)


# ---------------------------------------------------------------- sizes, dtypes, gradients
def test_sizes():
    r = RandomStreams(0)
    x = T.dmatrix("x")
    a = np.zeros((2, 3))
    for size, want in [((2, 3), (2, 3)), (4, (4,)), ((), ()), (x.shape, (2, 3)), ((x.shape[1], 2), (3, 2)),
                       (np.array([1, 2]), (1, 2))]:
        assert evaluate([r.uniform(size=size), r.normal(size=size)], {x: a})[1].shape == want
    n = T.lvector("n")
    assert evaluate([r.uniform(size=n, ndim=2)], {n: np.array([2, 5])})[0].shape == (2, 5)
    with pytest.raises(ShapeError, match="ndim"):
        r.uniform(size=n)
    assert evaluate([r.normal(avg=x, std=T.constant([1.0, 2.0, 3.0]))], {x: a})[0].shape == (2, 3)
    assert evaluate([r.binomial(p=x)], {x: a})[0].tolist() == np.zeros((2, 3)).tolist()
    with pytest.raises(ShapeError, match="does not broadcast"):
        r.uniform(size=(3,), low=x)


def test_dtypes():
    r = RandomStreams(0)
    assert r.uniform(size=(2,)).type.dtype == "float64"
    with fuse.config.change_flags(floatX="float32"):
        assert r.uniform(size=(2,)).type.dtype == r.normal(size=(2,), avg=0.1).type.dtype == "float32"
    half = draws(r.normal(size=(1000,), dtype="float16"))
    assert half.dtype == "float16" and np.isfinite(half).all()
    assert r.binomial(size=(2,), dtype="float32").type.dtype == "float32"
    with pytest.raises(FuseTypeError, match="float dtype"):
        r.normal(size=(2,), dtype="int32")


def test_gradients_with_respect_to_the_parameters():
    """The reparametrised derivatives: of avg + std z and low + (high - low) u, with the noise held fixed."""
    avg, std, low, high = T.dvectors("avg", "std", "low", "high")
    r = RandomStreams(2)
    z, u = r.normal(avg=avg, std=std), r.uniform(low=low, high=high)
    grads = fuse.grad((z * 3).sum() + (u * 2).sum(), [avg, std, low, high])
    at = {avg: np.zeros(3), std: np.ones(3), low: np.zeros(3), high: np.ones(3)}
    noise, unit, *found = evaluate([z, u, *grads], at)
    for got, want in zip(found, [np.full(3, 3.0), 3 * noise, 2 - 2 * unit, 2 * unit], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_a_random_mask_trains_through_dropout():
    x = T.dvector("x")
    mask = RandomStreams(6).binomial(size=x.shape, p=0.5, dtype="float64")
    kept, slope = evaluate([mask, fuse.grad((x * mask).sum(), x)], {x: np.arange(50.0)})
    np.testing.assert_array_equal(kept, slope)
    assert 10 < kept.sum() < 40


def test_draws_fuse_into_one_kernel():
    """No generator state is carried along: the draw is part of the loop that uses it."""
    x = T.dmatrix("x")
    out = x + RandomStreams(7).normal(size=x.shape)
    assert not [n for n in toposort([out]) if n.op.kind == "opaque" and n.type.ndim]
    f = fuse.function([x], out)
    np.testing.assert_allclose(f(np.zeros((2, 3))).shape, (2, 3))


def test_the_state_of_a_draw_is_reached_through_it():
    """As programs of Theano do: seed one variable, keep its state, put it back."""
    stream = RandomStreams(seed=234)
    u, n = stream.uniform((3,)), stream.normal((3,), avg=1.0)
    f, g = fuse.function([], u), fuse.function([], n)
    assert u.rng is stream.state_updates[0][0] and n.update == stream.state_updates[1]

    state = u.rng.get_value(borrow=True)
    state.seed(89234)
    u.rng.set_value(state, borrow=True)
    first, normal = f(), g()
    again = u.rng.get_value()
    again.seed(89234)
    u.rng.set_value(again)
    np.testing.assert_array_equal(f(), first)

    kept = n.rng.get_value().get_state()
    second = g()
    assert (second != normal).all()
    state = n.rng.get_value(borrow=True)
    state.set_state(kept)
    n.rng.set_value(state, borrow=True)
    np.testing.assert_array_equal(g(), second)
    assert (f() != first).all()  # the other variable went on


def test_a_draw_within_the_step_of_a_loop_is_refused_and_one_before_it_is_kept():
    streams, zero = RandomStreams(3), T.constant(0.0)
    with pytest.raises(FuseTypeError, match="one draw for all steps"):
        fuse.loop(lambda c, x: (c + streams.uniform(()), None), zero, n_steps=4)
    with pytest.raises(FuseTypeError, match="one draw for all steps"):
        fuse.while_loop(lambda c: c < 4, lambda c: c + streams.uniform(()), zero)
    with pytest.raises(FuseTypeError, match="one draw for all steps"):
        fuse.while_loop(lambda c: c < 4 * streams.uniform(()), lambda c: c + 1, zero)
    draws, noise = streams.uniform((4,)), streams.uniform(())
    _, (kept, same) = fuse.loop(lambda c, x: (c, (x, noise)), zero, draws)
    kept, same, all_, one = fuse.function([], [kept, same, draws, noise])()
    np.testing.assert_array_equal(kept, all_)
    assert (same == one).all() and len(set(kept.tolist())) == 4
