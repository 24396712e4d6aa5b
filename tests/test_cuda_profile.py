"""Profiles of functions on a GPU, in the simulator: launches, bytes, transfers and allocations of each step."""

from __future__ import annotations

import gc
import io
import os

import numpy as np

import fuse
import fuse.tensor as T
from fuse.codegen import device

if not os.environ.get("FUSE_TEST_GPU"):  # tests/gpu runs some of this on a card
    device.simulate()
X = np.linspace(-1, 1, 12).reshape(3, 4)


def test_each_step_shows_its_time_launches_transfers_and_allocations():
    x, s = T.dmatrix("x"), fuse.shared(np.zeros((3, 4)))
    states, _ = fuse.scan(lambda r, h: T.tanh(r + h), sequences=x, outputs_info=T.constant(np.zeros(4)))
    outputs = [T.exp(x).sum(0), T.nlinalg.matrix_inverse(T.dot(x, x.T) + np.eye(3)), states[-1]]
    f = fuse.function([x], outputs, updates=[(s, s + x)], device="cuda", profile=True, name="all")
    plain = fuse.function([x], outputs)
    gc.collect()
    f.free()  # other functions of the process may have left memory to take
    for _ in range(2):
        got = f(X)
    for a, b in zip(got, plain(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    rows = {r["step"].split(":")[0]: r for r in f.profile.records()}
    assert {"kernel 0", "loop", "on the host", "results to the host", "the rest"} <= set(rows)
    kernel, sent = rows["kernel 0"], rows["inputs, constants and shared variables to the device"]
    assert kernel["calls"] == 2 and kernel["launches"] >= 2 and kernel["seconds"] > 0 and kernel["compiles"] >= 1
    assert kernel["bandwidth_share"] is None and "test_cuda_profile.py:" in kernel["line"]  # the simulator is no card
    assert rows["loop"]["launches"] >= 2
    assert sent["bytes_to_device"] == sent["bytes"] >= 2 * X.nbytes + X.nbytes
    assert rows["results to the host"]["bytes_to_host"] == 2 * sum(a.nbytes for a in got)
    assert rows["on the host"]["bytes_to_host"] > 0 and sum(r.get("allocations", 0) for r in rows.values()) > 0
    shares = [r["share"] for r in f.profile.records()]
    assert sum(shares) <= 1 + 1e-9 and shares[0] == max(shares[:-1]) > 0
    text = io.StringIO()
    f.profile.summary(text, 2)
    assert "launches" in text.getvalue() and "MB back" in text.getvalue() and "further step" in text.getvalue()
    assert f.profile._repr_html_().count("<th>") == 13


def test_bytes_are_those_of_the_arrays_that_a_kernel_reads_and_writes():
    x, y = T.dmatrix("x"), T.dvector("y")
    f = fuse.function([x, y], x + y, device="cuda", profile=True)
    there = fuse.function([x], x * 1, device="cuda").on_device(X)[0]
    f(there, np.ones(4))  # an array that is on the device already is not copied
    rows = {r["step"].split(":")[0]: r for r in f.profile.records()}
    assert rows["kernel 0"]["bytes"] == 8 * (12 + 4 + 12)
    assert rows["inputs, constants and shared variables to the device"]["bytes"] == 8 * 4
    assert "results to the host" not in rows


def test_calls_that_the_host_serves_are_watched_too():
    x, y = T.dmatrices("x", "y")
    f = fuse.function([x, y], x + y, device="cuda", profile=True)
    np.testing.assert_array_equal(f(X, X[:1]), X + X[:1])
    assert any("(on the CPU)" in r["step"] for r in f.profile.records())
