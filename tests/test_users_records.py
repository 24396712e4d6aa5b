"""Ops of a user's own, made by the decorators: they fuse, and names that fuse's ops have too mean nothing."""
from __future__ import annotations

import math

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.op import OPS, by_name

SHAPES = [(2, 3), (0, 3), (3, 0), (1, 1), (1000, 10), (10, 1000), (7, 300_000), (300_000, 3)]


def third(x):
    return x / 3


@pytest.mark.parametrize("name", [*sorted(name for name, op in OPS.items() if op.kind != "leaf"), "j0"])
def test_an_elementwise_op_may_have_any_name(name):
    op = fuse.elementwise(name=name, grad=(lambda g, out, x: g / 3,))(third)
    x = T.vector("x")
    y = T.exp(op(T.log(op(x)))) + op(x).sum()
    value = np.array([1.0, 5.0, 0.25])
    want = np.exp(np.log(value / 3) / 3) + value.sum() / 3
    np.testing.assert_allclose(fuse.function([x], y, mode="FAST_COMPILE")(value), want)
    assert name in str(op(x)) and "user" not in str(op(x))
    if name in ("add", "cast", "dot", "exp", "log", "part", "sum", "switch"):  # names that much is known about
        f = fuse.function([x], [y, fuse.grad(op(x).sum(), x)])
        np.testing.assert_allclose(f(value)[0], want)
        np.testing.assert_allclose(f(value)[1], np.full(3, 1 / 3))


def test_a_class_of_ops_may_have_the_name_of_an_op():
    class exp(fuse.Op):
        __props__ = ()

        def make_node(self, x):
            x = T.as_tensor_variable(x)
            return fuse.gof.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, outputs):
            outputs[0][0] = inputs[0] + 1

    x = T.vector("x")
    f = fuse.function([x], T.log(exp()(x)))
    np.testing.assert_allclose(f([0.0, 1.5]), np.log([1.0, 2.5]))


@fuse.reduction(numpy=lambda x, axis, dtype: np.bitwise_xor.reduce(x, axis=axis), identity=lambda dtype: 0)
def sum(acc, x):
    return acc ^ x


@fuse.reduction(numpy=lambda x, axis, dtype: np.logaddexp.reduce(x, axis=axis), identity=lambda dtype: -math.inf)
def logadd(acc, x):
    larger = acc if acc > x else x
    return x if acc == -math.inf else larger + math.log(math.exp(acc - larger) + math.exp(x - larger))


@fuse.reduction(numpy=lambda x, axis, dtype: np.logical_xor.reduce(x, axis=axis), identity=lambda dtype: False)
def odd(acc, x):
    return acc ^ x


@pytest.mark.parametrize("axis", [(0,), (1,), (0, 1)])
def test_reductions_are_part_of_kernels(axis):
    m, d = T.lmatrix("m"), T.matrix("d")
    outputs = [sum(m * 2, axis=axis, dtype="int64"), odd(m > 0, axis=axis, dtype="bool")]
    outputs.append(logadd(d * 2, axis=axis, dtype="float64") + d.sum())
    f = fuse.function([m, d], outputs)
    assert "call" not in f.explain(), f.explain()
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        whole, real = rng.integers(-100, 100, shape), rng.normal(size=shape)
        one = axis[0] if len(axis) == 1 else None
        flat = (lambda x: x.ravel()) if one is None else lambda x: x
        got = f(whole, real)
        np.testing.assert_array_equal(got[0], np.bitwise_xor.reduce(flat(whole * 2), axis=one or 0))
        np.testing.assert_array_equal(got[1], np.logical_xor.reduce(flat(whole > 0), axis=one or 0))
        want = np.logaddexp.reduce(flat(real * 2), axis=one or 0) + real.sum()
        np.testing.assert_allclose(got[2], want, rtol=1e-9, err_msg=str(shape))


def test_names_of_ops_that_load_later_are_others_too():
    """Bessel's functions are registered when first asked for: after a user's op of that name as well."""
    j0 = fuse.elementwise(name="j0")(third)
    x = T.vector("x")
    got = fuse.function([x], j0(x) + T.j0(x))(np.array([1.0, 2.0]))
    from scipy.special import j0 as bessel

    np.testing.assert_allclose(got, np.array([1.0, 2.0]) / 3 + bessel([1.0, 2.0]))
    assert by_name("j0") is not j0
