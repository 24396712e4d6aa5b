"""Variables of types that are no arrays: a user's own types, any object, generators of NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.gof import Apply, Op, Type, Variable, generic
from fuse.tensor import raw_random
from fuse.tensor.raw_random import random_state_type


class Interval(Type):
    __props__ = ("closed",)

    def __init__(self, closed):
        self.closed = closed

    def filter(self, value, strict=False, allow_downcast=None):
        if not isinstance(value, tuple):
            raise TypeError("an interval is a pair of numbers")
        return value


class Hull(Op):
    """The smallest interval around two, and its width."""

    __props__ = ()

    def make_node(self, a, b):
        return Apply(self, [a, b], [a.type(), T.dscalar()])

    def perform(self, node, inputs, output_storage):
        (a, b), (c, d) = inputs
        output_storage[0][0] = min(a, c), max(b, d)
        output_storage[1][0] = np.asarray(float(max(b, d) - min(a, c)))


def test_ops_on_a_users_type():
    assert Interval(True) == Interval(True) != Interval(False)
    a, b = Interval(True)("a"), Variable(Interval(True), None, None, name="b")
    hull, width = Hull()(a, b)
    assert hull.type == Interval(True) and hull.owner is hull.owner and hull.owner.inputs == [a, b]
    s = fuse.shared(2.0)
    f = fuse.function([a, b], [hull, width * s], updates=[(s, width)])
    assert f((0, 1), (3, 4)) == [(0, 4), 8.0] and s.get_value() == 4
    assert f((0, 1), b=(0, 2)) == [(0, 2), 8.0]
    again, other = pickle.loads(pickle.dumps((hull, a)))
    assert again is hull and other is a
    with pytest.raises(TypeError, match="a pair of numbers"):
        f(1, 2)
    with pytest.raises(TypeError):
        fuse.function([a], T.exp(a))
    assert fuse.clone(hull, replace={a: b}) is Hull()(b, b)[0]


def test_a_state_and_a_default_of_a_users_type():
    a = Interval(False)("a")
    x = Interval(False)("x")
    f = fuse.function([x, fuse.In(a, value=(0, 0), update=Hull()(a, x)[0])], Hull()(a, x)[1])
    assert [float(f(i)) for i in ((1, 2), (-1, 0), (0, 5))] == [2, 3, 6]
    assert f[a] == (-1, 5)
    assert fuse.function([], fuse.gof.graph.Constant(Interval(False), (1, 1)))() == (1, 1)


def test_any_object_is_generic():
    x = generic("x")
    value = {"key": [1]}
    same = fuse.function([x], x)(value)
    assert same == value and same is not value


@pytest.mark.parametrize(
    ("draw", "by_numpy"),
    [
        (lambda r: raw_random.uniform(r, (4,), -2.0, 2.0), lambda g: g.uniform(-2.0, 2.0, size=4)),
        (lambda r: raw_random.normal(r, (-1, 3), [[1.0], [2.0]]), lambda g: g.normal([[1.0], [2.0]], 1.0, (2, 3))),
        (lambda r: raw_random.binomial(r, None, [5, 9], 0.8), lambda g: g.binomial([5, 9], 0.8)),
        (lambda r: raw_random.random_integers(r, (3, 2), -3, 16), lambda g: g.randint(-3, 17, (3, 2))),
        (lambda r: raw_random.poisson(r, (5,), 4.0), lambda g: g.poisson(4.0, 5)),
        (lambda r: raw_random.choice(r, (5,), 4), lambda g: g.choice(4, 5)),
        (lambda r: raw_random.permutation(r, (2,), 5), lambda g: np.array([g.permutation(5) for _ in range(2)])),
        (lambda r: raw_random.multinomial(r, (2,), 6, [0.2, 0.8]), lambda g: g.multinomial(6, [0.2, 0.8], 2)),
    ],
)
def test_draws_from_a_state_are_those_of_numpy(draw, by_numpy):
    state = random_state_type("state")
    after, sample = draw(state)
    f = fuse.function([fuse.In(state, value=np.random.RandomState(3), update=after, mutable=True)], sample)
    g = np.random.RandomState(3)
    for _ in range(2):
        have, want = f(), by_numpy(g)
        assert have.dtype == sample.dtype and have.shape == want.shape
        np.testing.assert_array_equal(have, want)


def test_a_draw_leaves_the_state_that_it_is_given():
    state = random_state_type()
    after, sample = raw_random.uniform(state, (2,))
    rng = np.random.RandomState(5)
    new, first = fuse.function([state], [after, sample])(rng)
    assert state.type.values_eq(rng, np.random.RandomState(5)) and not state.type.values_eq(rng, new)
    np.testing.assert_array_equal(first, rng.uniform(size=2))
    sizes = T.lvector()
    _, sized = raw_random.uniform(state, sizes, ndim=2)
    assert fuse.function([state, sizes], sized.sum(axis=1))(rng, [3, 4]).shape == (3,)
    with pytest.raises(ValueError, match="draws 1"):
        fuse.function([state, sizes], sized)(rng, [3])
    with pytest.raises(TypeError, match="needs a size"):
        raw_random.poisson(state, ndim=2)
