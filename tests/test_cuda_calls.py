"""Library calls of programs for GPUs, without a GPU: what CuPy is asked for, and what it is given."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import cuda_wrapper, device
from fuse.codegen.cuda_array import DeviceArray, to_device
from fuse.frontend import correlate

# The functions of NumPy that convolutions use, with no more arguments than CuPy's have.
XP = SimpleNamespace(
    ascontiguousarray=lambda a: np.ascontiguousarray(a), empty=lambda shape, dtype: np.empty(shape, dtype),
    zeros=lambda shape, dtype: np.zeros(shape, dtype), copyto=lambda target, source: np.copyto(target, source),
    matmul=lambda a, b, out=None: np.matmul(a, b, out=out),
    lib=SimpleNamespace(stride_tricks=SimpleNamespace(
        as_strided=lambda x, shape, strides: np.lib.stride_tricks.as_strided(x, shape, strides))),
)


@pytest.mark.parametrize("room", [1, 1 << 20])
@pytest.mark.parametrize("strides, dilation, groups", [((1, 1), (1, 1), 1), ((2, 1), (1, 2), 2)])
def test_convolutions_are_the_same_in_any_number_of_parts(strides, dilation, groups, room):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 9, 7)), rng.normal(size=(2, 4 // groups, 3, 2))
    how = {"strides": strides, "dilation": dilation, "groups": groups}
    y = correlate.correlated(x, w, **how)
    pairs = [(correlate.correlated, (x, w)), (correlate.correlated_wrt_input, (w, y, 9, 7)),
             (correlate.correlated_wrt_filters, (x, y, 3, 2))]
    for function, args in pairs:
        np.testing.assert_allclose(function(*args, **how, xp=XP, room=room), function(*args, **how), rtol=1e-12)
    # transposes of one another: <y, x * w> is <x, y and w> is <w, x and y>
    whole = (y * y).sum()
    for (function, args), other in zip(pairs[1:], (x, w), strict=True):
        np.testing.assert_allclose((function(*args, **how, xp=XP, room=room) * other).sum(), whole, rtol=1e-12)


def test_calls_get_arrays_and_sizes_as_numbers(monkeypatch):
    device.simulate()
    asked = []

    def call_of(node):
        def run(*given):
            asked.append((node.op.name, [type(a) for a in given]))
            values = [a if isinstance(a, int) else np.asarray(a) for a in given]
            return to_device(node.op.numpy(*values, **node.params))

        return run

    monkeypatch.setattr(cuda_wrapper, "call_of", call_of)
    x, w = T.ftensor4("x"), T.ftensor4("w")
    y = T.nnet.conv2d(x, w)
    outputs = [y, *T.grad((y * y).sum(), [x, w])]
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s).astype("float32") for s in ((1, 2, 4, 3), (2, 2, 2, 2))]
    found = fuse.function([x, w], outputs, device="cuda")(*values)
    for have, want in zip(found, fuse.function([x, w], outputs, mode="FAST_COMPILE")(*values), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)
    given = {name: kinds for name, kinds in asked if name.startswith("correlate")}
    assert given == {
        "correlate": [DeviceArray] * 2, "correlate_wrt_input": [DeviceArray] * 2 + [int] * 2,
        "correlate_wrt_filters": [DeviceArray] * 2 + [int] * 2,
    }
