"""Class ops with a Numba implementation: called inside compiled loops, with the results and errors of `perform`."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.loop_plan import compile_loop
from fuse.expr import toposort


class Smoothed(fuse.Op):
    """Running means of a vector, and their largest."""

    __props__ = ("width",)
    performed = 0

    def __init__(self, width):
        self.width = width

    def make_node(self, x, weight):
        x, weight = T.as_tensor_variable(x), T.as_tensor_variable(weight)
        return fuse.Apply(self, [x, weight], [x.type(), T.dscalar()])

    def perform(self, node, inputs, outputs):
        type(self).performed += 1
        x, weight = inputs
        if weight < 0:
            raise ValueError("a weight is not negative")
        out = np.array([x[max(0, k - self.width): k + 1].mean() for k in range(len(x))]) * weight
        outputs[0][0], outputs[1][0] = out, np.asarray(out.max())

    def numba_perform(self, node):
        width = self.width

        def smooth(x, weight, out, largest):
            if weight < 0:
                raise ValueError("a weight is not negative")
            for k in range(len(x)):
                out[k] = x[max(0, k - width): k + 1].mean() * weight
            largest[()] = out.max()

        return smooth

    def infer_shape(self, node, shapes):
        return [shapes[0], ()]


def steps(x0, weight, turned=False):
    def step(x):
        out, largest = Smoothed(2)(x[::-1] if turned else x, weight)
        return out + 1, largest

    (xs, tops), _ = fuse.scan(step, outputs_info=[x0, None], n_steps=6)
    return [xs, tops]


def reference(x, weight, turned=False):
    xs, tops = [], []
    for _ in range(6):
        x = x[::-1] if turned else x
        out = np.array([x[max(0, k - 2): k + 1].mean() for k in range(len(x))]) * weight
        tops.append(out.max())
        xs.append(x := out + 1)
    return np.array(xs), np.array(tops)


@pytest.mark.parametrize("turned", [False, True])
def test_a_loop_with_it_is_compiled(turned):
    x0, weight = T.vector("x0"), T.scalar("weight")
    outputs = steps(x0, weight, turned)
    f = fuse.function([x0, weight], outputs)
    loops = [n for n in toposort(outputs) if n.op.name == "loop"]
    assert "own" in compile_loop(loops[0].params["body"], False).text
    value = np.random.default_rng(0).normal(size=7)
    Smoothed.performed = 0
    for got, want in zip(f(value, 0.5), reference(value, 0.5, turned), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)
    assert Smoothed.performed == 0 and value.flags.writeable


def test_an_error_of_it_is_told_as_the_error_of_perform():
    x0, weight = T.vector("x0"), T.scalar("weight")
    f = fuse.function([x0, weight], steps(x0, weight))
    with pytest.raises(ValueError, match="a weight is not negative"):
        f(np.ones(3), -1.0)
    np.testing.assert_allclose(f(np.ones(3), 1.0)[0][0], np.full(3, 2.0))


def test_without_it_the_loop_runs_step_by_step():
    class Plain(Smoothed):
        def numba_perform(self, node):
            return None

    x0 = T.vector("x0")
    xs, _ = fuse.scan(lambda x: Plain(2)(x, 0.5)[0] + 1, outputs_info=x0, n_steps=6)
    value = np.random.default_rng(1).normal(size=5)
    np.testing.assert_allclose(fuse.function([x0], xs)(value), reference(value, 0.5)[0])


def test_one_that_numba_cannot_compile_is_told_of():
    class Wrong(Smoothed):
        def numba_perform(self, node):
            def smooth(x, weight, out, largest):
                out[...] = not_known(x)  # noqa: F821

            return smooth

    x0 = T.vector("x0")
    xs, _ = fuse.scan(lambda x: Wrong(2)(x, 0.5)[0] + 1, outputs_info=x0, n_steps=6)
    value = np.random.default_rng(1).normal(size=5)
    with pytest.warns(UserWarning, match="numba_perform of Wrong.* does not compile"):
        f = fuse.function([x0], xs)
    np.testing.assert_allclose(f(value), reference(value, 0.5)[0])
