"""Library calls of programs for GPUs, without a GPU: what CuPy is asked for, and what it is given."""
from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import cuda_calls, cuda_wrapper, device
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


class CuPy:
    """NumPy as CuPy: what cuSOLVER reports is an error only where CuPy is told to look, and is nonsense else."""

    def __init__(self):
        self.looks, self.asked = False, []
        self.cuda = SimpleNamespace(ExternalStream=lambda stream: nullcontext())
        self.linalg = SimpleNamespace(**{n: self.of_linalg(n) for n in (
            "det", "slogdet", "inv", "solve", "cholesky", "qr", "eigh", "eigvalsh", "svd")})

    def of_linalg(self, name):
        def call(*arrays, **options):
            self.asked.append((name, [a.dtype.name for a in arrays]))
            assert all(a.size and a.dtype.name in ("float32", "float64", "complex64", "complex128") for a in arrays)
            try:
                return getattr(np.linalg, name)(*arrays, **options)
            except np.linalg.LinAlgError:
                if self.looks:
                    raise
                return np.full_like(arrays[0], 7)

        return call

    def asarray(self, value, dtype=None):
        value = value.array.get() if isinstance(value, cuda_calls._Lent) else value
        made = np.asarray(value, dtype).view(Owned)
        made.data_of = made.__array_interface__["data"][0]
        return made

    def __getattr__(self, name):
        return getattr(np, name)

    @contextmanager
    def errstate(self, linalg):
        assert linalg == "raise"
        self.looks = True
        yield
        self.looks = False


class Owned(np.ndarray):
    """An array whose ``data.ptr`` is its address, as CuPy's."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


@pytest.fixture
def cupy(monkeypatch):
    device.simulate()
    made = CuPy()
    monkeypatch.setattr(cuda_calls, "_cupy", lambda: made)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(errstate=made.errstate))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int8"])
def test_matrices_are_factored_by_the_library(cupy, dtype):
    rng = np.random.default_rng(1)
    square = (rng.normal(size=(4, 4)) * 3).astype(dtype)
    positive = (square @ square.conj().T + 20 * np.eye(4)).astype(dtype) if dtype != "int8" else np.eye(4, dtype=dtype)
    x, y, b = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype), T.matrix("b", dtype=dtype)
    outputs = [
        T.linalg.det(x), *T.linalg.slogdet(x), T.linalg.matrix_inverse(x), T.linalg.solve(x, b),
        T.linalg.cholesky(y), T.linalg.cholesky(y, lower=False), *T.linalg.qr(x), T.linalg.qr(x, "r"),
        *T.linalg.eigh(y), T.linalg.eigvalsh(y), *T.linalg.svd(x), T.linalg.svd(x, compute_uv=False),
    ]
    values = [square, positive, square[:, :2].copy()]
    f = fuse.function([x, y, b], outputs, device="cuda")
    with device.counted() as seen:
        found = f(*values)
    assert not {"steps on the host", "calls on the host"} & set(seen())
    assert {name for name, _ in cupy.asked} == set(vars(cupy.linalg))
    for have, want in zip(found, fuse.function([x, y, b], outputs)(*values), strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def test_equations_of_stacks_broadcast(cupy):
    """A matrix beside a stack of as many matrices could be taken for a stack of vectors."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 3))
    x, y = T.dtensor3("x"), T.dmatrix("y")
    f = fuse.function([x, y], T.linalg.solve(x, y), device="cuda")
    np.testing.assert_allclose(f(a, b), np.linalg.solve(a, np.broadcast_to(b, (3, 3, 3))), rtol=1e-10)
    cupy.linalg.solve = lambda a, b: np.testing.assert_equal(a.shape, b.shape) or np.linalg.solve(a, b)
    np.testing.assert_allclose(f(a, b)[1], np.linalg.solve(a[1], b), rtol=1e-10)


def test_matrices_that_have_no_factors_are_told_by_the_host(cupy):
    """cuSOLVER itself gives some numbers for them, and no error."""
    x = T.dmatrix("x")
    zeros, nothing = np.zeros((2, 2)), np.zeros((0, 0))
    for made in (T.linalg.matrix_inverse(x), T.linalg.cholesky(x)):
        f = fuse.function([x], made, device="cuda")
        assert f(nothing).shape == (0, 0) and f(np.eye(2)).tolist() == np.eye(2).tolist()
        with pytest.raises(fuse.errors.MatrixError):
            f(zeros)
    f = fuse.function([x], T.linalg.cholesky(x, on_error="nan"), device="cuda")
    assert np.isnan(f(zeros - 1)).all()
    assert float(fuse.function([x], T.linalg.det(x), device="cuda")(zeros)) == 0.0


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_sorting_by_the_library(cupy, dtype):
    x = T.matrix("x", dtype=dtype)
    data = np.array([[3, 1, 2, 1], [0, -1, 5, -1]], dtype)
    if dtype == "float32":
        data[0, 2], data[1, 2] = np.nan, -np.nan
    f = fuse.function([x], [T.sort(x, 1), T.sort(x, 0), T.argsort(x, 1)], device="cuda")
    with device.counted() as seen:
        found = f(data)
    assert "steps on the host" not in seen()
    for have, want in zip(found, [np.sort(data), np.sort(data, 0), np.argsort(data, 1, kind="stable")], strict=True):
        np.testing.assert_array_equal(have, want)
    one = cuda_calls._with_one_nan(np, np.array([-np.nan, 1.0]))
    assert not np.signbit(one[0])
