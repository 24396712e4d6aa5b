"""Every differentiable op, compiled: value, reverse derivative and Jacobian against the reference interpreter."""
from __future__ import annotations

import numpy as np
import pytest
from test_autodiff import CASES

import fuse
import fuse.tensor as T
from fuse import reference
from fuse.types import TensorType


def case(name):
    build, *arrays = CASES[name]
    arrays = [np.asarray(a) for a in arrays]
    inputs = [TensorType(a.dtype, (None,) * a.ndim)(f"x{k}") for k, a in enumerate(arrays)]
    return inputs, build(*inputs), arrays


@pytest.mark.parametrize("name", CASES)
def test_compiled_value_and_derivatives_are_the_reference_s(name):
    inputs, out, arrays = case(name)
    floats = [x for x in inputs if x.dtype.startswith("float")]
    outputs = [out]
    if floats:
        (value,) = reference.evaluate([out], dict(zip(inputs, arrays, strict=True)))
        weights = np.random.default_rng(3).normal(size=value.shape)
        outputs += T.grad((out * weights).sum(), floats, disconnected_inputs="ignore")
        if name not in ("mask", "nonzero"):
            outputs.append(T.jacobian(out.flatten(), floats[0], disconnected_inputs="ignore"))
    want = reference.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    got = fuse.function(inputs, outputs, on_unused_input="ignore")(*arrays)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * max(1.0, float(np.abs(b).max(initial=0.0))))


@pytest.mark.parametrize("make", [
    lambda x: T.eq(T.arange(x.shape[0])[:, None], T.arange(x.shape[0])[None]),
    lambda x: T.outer(x, x + 1),
    lambda x: T.exp(x[:, None] * x[None]),
], ids=["generated", "outer", "exp"])
@pytest.mark.parametrize("use", [
    lambda e: e.dimshuffle(0, "x", 1) * e,
    lambda e: e.dimshuffle(1, 0) - 2 * e,
    lambda e: e.dimshuffle(0, 1, "x") + e.dimshuffle("x", 0, 1) * e.dimshuffle(0, "x", 1),
    lambda e: (e.dimshuffle(0, "x", 1) * e).sum(axis=0) + e,
    lambda e: T.exp(e.dimshuffle(0, "x", 1)) * (e + 1) + e.dimshuffle(1, "x", 0),
], ids=["rows and columns", "transposed", "three", "summed", "nested"])
def test_a_light_value_that_is_used_at_several_places(make, use):
    """What costs no more than a load is computed where it is used: at each place its own value."""
    x = T.dvector("x")
    out = use(T.cast(make(x), "float64"))
    value = np.array([0.3, -1.0, 2.0])
    want = fuse.function([x], out, mode="FAST_COMPILE")(value)
    np.testing.assert_allclose(fuse.function([x], out)(value), want, rtol=1e-12)
