"""Derivatives of every op against finite differences, in reverse and forward mode, first and second order."""
from __future__ import annotations

import importlib
import pkgutil
import sys

import numpy as np
import pytest

import fuse
import fuse.frontend
import fuse.gradient as G
import fuse.tensor as T
from fuse.autodiff.batching import vectorize
from fuse.errors import (
    DisconnectedInputError,
    FuseError,
    FuseTypeError,
    FuseValueError,
    GradientError,
    NullTypeGradError,
    ShapeError,
)
from fuse.expr import Expr, toposort
from fuse.frontend.scans import recurrence
from fuse.ifelse import ifelse
from fuse.op import DISCONNECTED, OPS, ZERO, Op
from fuse.reference import evaluate
from fuse.types import DISCRETE, TensorType

for module in pkgutil.iter_modules(fuse.frontend.__path__):
    importlib.import_module(f"fuse.frontend.{module.name}")

D = "float64"


# ---------------------------------------------------------------- the oracle
def inputs_for(arrays):
    """Inputs of run-time sizes, but for sizes of 1, which are declared."""
    return [TensorType(a.dtype, [1 if n == 1 else None for n in a.shape])(f"x{i}") for i, a in enumerate(arrays)]


def numeric_jvp(output, inputs, arrays, tangents, eps=1e-6):
    """(f(x + eps t) - f(x - eps t)) / 2 eps, by the reference interpreter."""
    def at(sign):
        moved = [a + sign * eps * t if t is not None else a for a, t in zip(arrays, tangents, strict=True)]
        return evaluate([output], dict(zip(inputs, moved, strict=True)))[0]

    return (at(1) - at(-1)) / (2 * eps)


def check(build, *arrays, order=2, rtol=2e-6, forward=True, seed=0):
    """Reverse and forward derivatives of ``build`` at ``arrays`` against differences; then of its gradient."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(a) for a in arrays]
    inputs = inputs_for(arrays)
    values = dict(zip(inputs, arrays, strict=True))
    real = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    output = build(*inputs)
    tangents = [rng.normal(size=a.shape) if i in real else None for i, a in enumerate(arrays)]
    wanted = numeric_jvp(output, inputs, arrays, tangents)
    weights = rng.normal(size=wanted.shape)
    w = TensorType(D, output.type.shape)("w")
    wrt = [inputs[i] for i in real]
    gradients = G.Lop(output, wrt, w, disconnected_inputs="ignore")
    found = evaluate(gradients, {**values, w: weights})
    for i, g in zip(real, found, strict=True):
        assert g.shape == arrays[i].shape and g.dtype == arrays[i].dtype
    scale = np.abs(wanted * weights).sum() + np.abs(wanted).max(initial=0) + 1e-9
    pulled = sum(float((g * tangents[i]).sum()) for i, g in zip(real, found, strict=True))
    assert abs(pulled - float((wanted * weights).sum())) <= rtol * scale
    if forward:
        pushed = evaluate([G.Rop(output, wrt, [fuse.constant(tangents[i]) for i in real], "ignore")], values)[0]
        assert pushed.shape == wanted.shape
        np.testing.assert_allclose(pushed, wanted, rtol=rtol, atol=rtol * scale)
    if order > 1:
        for g in gradients:
            check(lambda *xs, g=g: fuse.clone(g, dict(zip([*inputs, w], xs, strict=True))), *arrays, weights,
                  order=order - 1, rtol=rtol * 20, forward=forward, seed=seed + 1)


# ---------------------------------------------------------------- elementwise ops, from their records
NOT_SMOOTH = {
    "switch": "its condition is no float: tested by hand",
    "fill": "takes shapes only from its first argument: by hand",
    "cast": "has a parameter: by hand",
    "conj": "complex",
    "imag": "complex",
    "angle": "complex",
    "complex": "complex",
    "real": "complex",
    "zero_grad": "its gradient is not its derivative",
    "grad_clip": "its gradient is not its derivative",
    "disconnected_grad": "its gradient is not its derivative",
    "consider_constant": "its gradient is not its derivative",
    "grad_scale": "its gradient is not its derivative",
    "undefined_grad": "its gradient is not its derivative",
    "drawn_by": "has none: tests/test_jumps.py",
    "placed_by": "has none: tests/test_jumps.py",
    "from_bfloat16": "takes bits: tests/test_jumps.py",
    "to_bfloat16": "gives bits: tests/test_jumps.py",
    "mod": "jumps: by hand",
    "polygamma": "its order is an integer: by hand",
    "hyp2f1": "of four arguments: by hand",
    **dict.fromkeys("jv yv iv ive kv kve".split(), "no derivative in their orders: by hand"),
    **dict.fromkeys("gammainc gammaincc gammaincinv gammainccinv gammainc_da betainc betaincinv betainc_da".split(),
                    "no second derivatives in their parameters: by hand"),
}
STEPS = ("floor", "ceil", "trunc", "round_half_to_even", "round_half_away_from_zero", "sgn", "int_div")


def elementwise_ops():
    for op in OPS.values():
        if op.kind == "elementwise" and op.name not in NOT_SMOOTH:
            dtypes = op.signature(*inputs_for([np.zeros(2)] * (op.nargs or 1))) if _takes_floats(op) else None
            if dtypes and dtypes[1] == D:
                yield op


def _takes_floats(op):
    try:
        op.signature(*inputs_for([np.zeros(2)] * (op.nargs or 1)))
    except (FuseError, TypeError):
        return False
    return True


ELEMENTWISE = list(elementwise_ops())


def points(op, shapes, seed=0):
    """Points inside the op's domain, away from zero, from each other and from whole and half numbers."""
    rng = np.random.default_rng(seed)
    low, high = op.domain or (-2.0, 2.0)
    high = min(high, low + 10)
    out = []
    for k, shape in enumerate(shapes):
        n = int(np.prod(shape))
        steps = (rng.permutation(max(n, 1)) + 0.33 + 0.07 * k)[:n] / max(n, 1)
        x = low + (high - low) * steps.reshape(shape)
        x = np.where(np.abs(x) < 0.05, 0.07, x)
        out.append(np.where(np.abs(x * 2 - np.round(x * 2)) < 1e-3, x + 0.01, x))
    return out


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_elementwise_derivatives(op):
    shapes = [(3, 2), (3, 1), (2,)][: op.nargs]
    order = 2 if op.name != "philox" else 1
    check(op, *points(op, shapes), order=order)


@pytest.mark.parametrize("op", [o for o in ELEMENTWISE if o.nargs and o.nargs > 1], ids=lambda op: op.name)
@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((), (2,)), ((3,), ()), ((1, 3), (2, 1)), ((2, 1, 2), (3, 1))])
def test_broadcasting_patterns(op, shapes):
    third = [()] * (op.nargs - 2)
    check(op, *points(op, [*shapes, *third]), order=1)


def test_every_elementwise_op_is_tested_or_excused():
    tested = {op.name for op in ELEMENTWISE}
    for op in OPS.values():
        if op.kind == "elementwise" and op.name not in tested and op.name not in NOT_SMOOTH:
            assert not _takes_floats(op) or op.signature(*inputs_for([np.zeros(2)] * op.nargs))[1] in (
                *DISCRETE,
                "complex128",
            )


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_zero_gradients(name):
    x = T.dvector("x")
    out = OPS[name](*([x] * OPS[name].nargs))
    g = fuse.grad(out.sum(), x)
    np.testing.assert_array_equal(g.eval({x: [0.3, -1.7]}), [0, 0])


@pytest.mark.parametrize("shapes", [((3,), (1,)), ((1, 3), (2, 3)), ((2, 1), (1, 3)), ((1, 1), (2, 2)), ((1,), (1,))])
def test_sizes_of_one_met_at_run_time_broadcast_and_sum_back(shapes):
    """Nothing in the types says that these sizes are 1."""
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=s) for s in shapes]
    x, y = (TensorType(D, (None,) * a.ndim)(n) for n, a in zip("xy", arrays, strict=True))
    cost = (T.exp(x) * y + x / (1 + y * y)).sum()
    got = evaluate(fuse.grad(cost, [x, y]), {x: arrays[0], y: arrays[1]})
    for k, g in enumerate(got):
        assert g.shape == shapes[k]
        numeric = np.zeros(shapes[k])
        for index in np.ndindex(shapes[k]):
            t = np.zeros(shapes[k])
            t[index] = 1
            numeric[index] = numeric_jvp(cost, [x, y], arrays, [t, None] if k == 0 else [None, t])
        np.testing.assert_allclose(g, numeric, rtol=1e-6)
    pushed = evaluate([G.Rop(T.exp(x) * y, [x, y], [x, y])], {x: arrays[0], y: arrays[1]})[0]
    np.testing.assert_allclose(pushed, np.exp(arrays[0]) * arrays[1] * (arrays[0] + 1), rtol=1e-12)


# ---------------------------------------------------------------- everything else
R = np.random.default_rng(5)
V, W = R.normal(size=4), R.normal(size=4)
M, N = R.normal(size=(3, 4)), R.normal(size=(4, 2))
S3 = R.normal(size=(2, 3, 4))
SQUARE = R.normal(size=(3, 3)) + 3 * np.eye(3)
POSITIVE = SQUARE @ SQUARE.T + np.eye(3)
INDEX = np.array([2, 0, 2])
IMAGES = R.normal(size=(2, 2, 5, 4))

CASES = {
    "scan": (lambda x, c: fuse.scan(lambda x_t, s: T.tanh(s * 0.5 + x_t), x, c)[0], N, N[0]),
    "sum": (lambda x: T.sum(x, axis=1), S3),
    "sum of all, keepdims": (lambda x: T.sum(x, keepdims=True) * x, M),
    "mean": (lambda x: T.mean(x, axis=(0, 2)), S3),
    "var": (lambda x: T.var(x, axis=1), M),
    "std": (lambda x: T.std(x, axis=0), M),
    "prod": (lambda x: T.prod(x, axis=1), M),
    "prod of all": (lambda x: T.prod(x), V),
    "max": (lambda x: T.max(x, axis=1), M),
    "min": (lambda x: T.min(x, axis=(0, 1)), S3),
    "logsumexp": (lambda x: T.logsumexp(x, axis=1), M),
    "softmax": (lambda x: OPS["softmax"](x, axis=1), M),
    "log_softmax": (lambda x: OPS["log_softmax"](x, axis=0), M),
    "norm": (lambda x: T.norm(x, axis=1), M),
    "root": (lambda x: T.sqrt(T.sum(x * x, axis=1)), M),
    "cumsum": (lambda x: T.cumsum(x, axis=1), M),
    "cumprod": (lambda x: T.cumprod(x, axis=1), M),
    "recurrence": (lambda a, b: recurrence(a, b, 1), M, M[::-1]),
    "recurrence from the end": (lambda a, b: recurrence(a, b, 0, reverse=True), M, M[::-1]),
    "cumprod of zeros": (lambda x: T.cumprod(x, axis=1), np.array([[0.7, 0.0, -1.2, 0.0], [0.0, 0.0, 0.4, 2.0]])),
    "argmax": (lambda x: x[T.argmax(x)] * x, V),
    "argmin": (lambda x: x[T.argmin(x)] * x, V),
    "dot vv": (lambda x, y: T.dot(x, y), V, W),
    "dot mv": (lambda x, y: T.dot(x, y), M, V),
    "dot vm": (lambda x, y: T.dot(x, y), V, N),
    "dot": (lambda x, y: T.dot(x, y), M, N),
    "matmul": (lambda x, y: x @ y, S3, N),
    "matmul batches": (lambda x, y: x @ y, S3, S3.swapaxes(1, 2)),
    "matmul broadcast": (lambda x, y: x @ y, S3[:, None], S3.swapaxes(1, 2)[None, :, :, :2]),
    "matmul vector": (lambda x, y: x @ y, V, S3.swapaxes(1, 2)),
    "batched_dot": (lambda x, y: T.batched_dot(x, y), S3, S3.swapaxes(1, 2)),
    "tensordot": (lambda x, y: T.tensordot(x, y, axes=[[2], [0]]), S3, N),
    "outer": (lambda x, y: T.outer(x, y), V, W),
    "dimshuffle": (lambda x: T.exp(x.dimshuffle(1, "x", 0)), M),
    "transpose": (lambda x, y: x.T * y, M, N[:, :1]),
    "reshape": (lambda x: T.exp(x.reshape((4, 3))), M),
    "flatten": (lambda x: x.flatten() ** 2, S3),
    "diagonal": (lambda x: T.diagonal(x, 1) ** 2, M),
    "diag": (lambda x: T.diag(x) * x, V),
    "trace": (lambda x: T.trace(x * x), SQUARE),
    "broadcast_to": (lambda x, y: T.broadcast_to(x, y.shape) * y, V[:1], M),
    "unbroadcast": (lambda x, y: OPS["unbroadcast"](x, y) ** 2, M, M[:1]),
    "iota": (lambda x: T.arange(x.shape[0]) * x, V),
    "linear_index": (lambda x: OPS["linear_index"](x.shape[0], x.shape[1]) * x, M),
    "shape_i": (lambda x: x * x.shape[0], V),
    "make_vector": (lambda x: T.stack([x[0], x[1] * x[2]]) ** 2, V),
    "join": (lambda x, y: T.concatenate([x, y, x * 2], axis=1) ** 2, M, M[:, :2]),
    "stack": (lambda x, y: T.stack([x, y], axis=1) ** 2, V, W),
    "subtensor": (lambda x: x[1:, ::-2] ** 2, M),
    "subtensor of an index": (lambda x, i: x[i, 1:] ** 2, M, np.array(1)),
    "gather": (lambda x, i: x[i] ** 2, M, INDEX),
    "gather two": (lambda x, i: x[i, i] ** 2, M, INDEX),
    "gather one of two": (lambda x, i: x[:, i] ** 2, M, INDEX),
    "mask": (lambda x: x[x > 0] ** 2, M),
    "nonzero": (lambda x: x[T.nonzero(x > 0)] ** 2, M),
    "set_subtensor": (lambda x, y: T.set_subtensor(x[1:3], y) ** 2, V, W[:2]),
    "inc_subtensor": (lambda x, y: T.inc_subtensor(x[:, 1], y) ** 2, M, W[:3]),
    "inc_subtensor broadcast": (lambda x, y: T.inc_subtensor(x[:, 1:3], y) ** 2, M, np.array(0.3)),
    "set_gather": (lambda x, y: T.set_subtensor(x[np.array([2, 0])], y) ** 2, M, M[:2] * 2),
    "inc_gather": (lambda x, y, i: T.inc_subtensor(x[i], y) ** 2, M, M * 2, INDEX),
    "repeat": (lambda x: T.repeat(x, 3, axis=0) ** 2, M),
    "tile": (lambda x: T.tile(x, (2, 2)) ** 2, M),
    "roll": (lambda x: T.roll(x, 1) * x, V),
    "matrix_inverse": (
        lambda x: T.nlinalg.matrix_inverse(x) if hasattr(T, "nlinalg") else OPS["matrix_inverse"](x),
        SQUARE,
    ),
    "det": (lambda x: OPS["det"](x), SQUARE),
    "slogdet": (lambda x: OPS["part"](OPS["slogdet"](x), i=1), SQUARE),
    "solve": (lambda a, b: OPS["solve"](a, b), SQUARE, SQUARE[0]),
    "solve_triangular": (lambda a, b: T.solve_triangular(a, b, lower=True), np.tril(SQUARE), SQUARE[0]),
    "cholesky": (lambda x: T.cholesky((x + x.T) / 2), POSITIVE),
    "solve of stacks": (lambda a, b: T.solve(a, b), SQUARE + 0 * S3[:, :1, :3], N[:3]),
    "solve_triangular of stacks": (
        lambda a, b: T.solve_triangular(a, b, b_ndim=1), np.triu(SQUARE), S3[:, :, 0]),
    "eigvalsh": (lambda x: T.linalg.eigvalsh((x + x.T) / 2) ** 2, SQUARE),
    "eigvalsh of two": (lambda x, y: T.linalg.eigvalsh((x + x.T) / 2, (y + y.T) / 2), SQUARE, POSITIVE),
    "eigh": (lambda x: T.linalg.eigh((x + x.T) / 2)[1] ** 2, SQUARE),
    "svd": (lambda x: sum(T.sum(p ** 3) for p in T.linalg.svd(x, full_matrices=False)), M),
    "svdvals": (lambda x: T.linalg.svd(x, compute_uv=False), M),
    "pinv": (lambda x: T.linalg.pinv(x), M),
    "qr": (lambda x: sum(T.sum(p ** 2 * 1.5) for p in T.linalg.qr(x)), M.T.copy()),
    "qr of wide": (lambda x: T.linalg.qr(x)[0] @ (T.linalg.qr(x)[1] ** 2), M),
    "qr, r": (lambda x: T.linalg.qr(x, "r"), M),
    "expm": (lambda x: T.linalg.expm(x / 3), SQUARE),
    "lu_factor": (lambda x: T.linalg.lu_factor(x)[0] ** 2, SQUARE),
    "riccati": (
        lambda a, b, q: T.linalg.solve_discrete_are(a / 3, b, (q + q.T) / 2, T.constant(np.eye(3)) + q @ q.T),
        SQUARE, SQUARE.T.copy(), POSITIVE),
    "fourier": (lambda x: abs(np.fft.fft2(x)) ** 2, M),
    "fourier_half": (lambda x: np.fft.rfft(x).imag * x[:, 1:], M),
    "fourier_back": (lambda x: np.fft.irfft(x, 5) ** 2, M),
    "lstsq": (lambda a, b: T.linalg.lstsq(a, b)[0], M.T.copy(), V),
    "lstsq, residuals": (lambda a, b: T.linalg.lstsq(a, b)[1] * T.linalg.lstsq(a, b)[3].sum(),
                         M.T.copy(), M.T[:, :2] ** 2),
    "einsum": (lambda x, y, z: T.einsum("bij,jk,k->bi", x, y, z), S3, N, N[0]),
    "switch": (lambda x: T.switch(x > 0, T.sqrt(T.switch(x > 0, x, 1)), x**2), M),
    "ifelse": (lambda x, y: ifelse(T.gt(x.sum(), 0), x * y, T.exp(x) + y), V, W),
    "fill": (lambda x, y: T.fill(x, y) * x, M, np.array(0.4)),
    "cast": (lambda x: T.cast(x, "float64") ** 2, V),
    "mod": (lambda x, y: x % y, V, np.abs(W) + 5),
    "polygamma": (lambda x: T.polygamma(2, x), np.abs(V) + 0.5),
    **{name: (lambda x, name=name: OPS[name](1.7, x), np.abs(V) + 0.5) for name in "jv yv iv ive kv kve".split()},
    "hyp2f1": (lambda x: T.hyp2f1(0.3, 1.2, 2.5, x), V / 5),
    **{name: (lambda k, x, name=name: OPS[name](k, x), np.abs(W) + 0.3, np.abs(V) + 0.5)
       for name in "gammainc gammaincc".split()},
    **{name: (lambda k, x, name=name: OPS[name](k, x), np.abs(W) + 0.3, np.abs(V) / 5 + 0.1)
       for name in "gammaincinv gammainccinv".split()},
    **{name: (lambda a, b, x, name=name: OPS[name](a, b, x), np.abs(W) + 0.3, np.abs(V) + 0.5, np.abs(V) / 5 + 0.1)
       for name in "betainc betaincinv".split()},
    "gammainc_da": (lambda x: T.gammainc_da(1.3, x), np.abs(V) + 0.5),
    "betainc_da": (lambda x: T.betainc_da(1.3, 0.7, x), np.abs(V) / 5 + 0.1),
    "specify_shape": (lambda x: T.specify_shape(x, (4,)) ** 2, V),
    "rebroadcast": (lambda x: T.addbroadcast(x[:1], 0) * x, V),
    "sort": (lambda x: T.sort(x, axis=1) * np.arange(4.0), M),
    "argsort": (lambda x: x[T.argsort(x)] * np.arange(4.0), V),
    "assert": (lambda x: fuse.Assert()(x, x.sum() < 1e9) ** 2, V),
    "print": (lambda x: fuse.printing.Print("x", global_fn=lambda op, value: None)(x) ** 2, V),
    "crossentropy": (lambda x: OPS["softmax_crossentropy"](x, T.constant(INDEX)), M),
    "convolution": (
        lambda x, w: T.nnet.conv2d(x, w, border_mode="half", subsample=(2, 1)), IMAGES, IMAGES[:1, :, :3, :2]
    ),
    "convolution, its filters": (lambda w, x: T.nnet.conv2d(x, w), IMAGES[:1, :, :3, :2], IMAGES),
    "pooling": (lambda x: T.signal.pool.pool_2d(x, (3, 2), ignore_border=True, stride=(1, 1)), IMAGES),
    "logistic regression": (lambda x, w, b: T.log1p(T.exp(-(T.dot(x, w) + b))).mean(), M, V, np.array(0.1)),
    "network": (lambda x, w, b: T.tanh(T.dot(x, w) + b).sum(axis=1), M, N, N[0]),
}
ONLY_FIRST = {
    "cholesky", "slogdet", "solve_triangular",
    "gammainc", "gammaincc", "gammaincinv", "gammainccinv", "betainc", "betaincinv",
    "solve_triangular of stacks", "eigvalsh", "eigvalsh of two", "eigh", "svd", "svdvals", "qr", "qr of wide", "qr, r",
    "lstsq", "lstsq, residuals", "riccati",
}
NO_CASE = {
    "part": "in every op with several results",
    **dict.fromkeys(["lu_solution", "lu_inverse"], "a step of plans, which no formula has"),
    "eig": "has none, and says so",
    "numpy_ufunc": "moves in jumps, and says so",
    "schur": "has none, and says so",
    "qz": "has none, and says so",
    "pivot_to_permutation": "integers",
    "all": "bool",
    "any": "bool",
    "each": "in the Jacobians of opaque ops",
    "repeat_indices": "integers",
    "searchsorted": "integers",
    "running_position": "integers",
    "unique": "integers",
    "philox": "random integers",
    "quantile": "random integers",
    "from_graph": "has the derivatives of its user",
    "chosen": "stands in plans only",
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    build, *arrays = CASES[name]
    check(build, *arrays, order=1 if name in ONLY_FIRST else 2)


def test_every_other_op_has_a_case():
    used = set()
    for build, *arrays in CASES.values():
        used |= {n.op.name for n in toposort([build(*inputs_for([np.asarray(a) for a in arrays]))])}
        used |= {
            n.op.name
            for n in toposort(
                [
                    fuse.gradient.grad(T.sum(build(*ins)), ins[0], disconnected_inputs="ignore")
                    for ins in [inputs_for([np.asarray(a) for a in arrays])]
                ]
            )
        }
    assert {o.name for o in OPS.values() if o.kind != "elementwise" and o.name not in NO_CASE} <= used


# ---------------------------------------------------------------- conventions at edges (section F of the feature table)
def gradient_at(build, *values):
    xs = [T.dscalar() if np.ndim(v) == 0 else T.dvector() for v in values]
    gs = fuse.grad(T.sum(build(*xs)), xs, disconnected_inputs="ignore")
    return [g.tolist() for g in evaluate(gs, {x: np.asarray(v, D) for x, v in zip(xs, values, strict=True)})]


EDGES = [
    ("maximum tie", lambda x, y: T.maximum(x, y), (1, 1), [1, 0]),
    ("max ties", lambda x: T.max(x), ([2, 2, 1],), [[1, 1, 0]]),
    ("abs 0", lambda x: abs(x), (0,), [0]),
    ("maximum(x, 0) at 0", lambda x: T.maximum(x, 0), (0,), [1]),
    ("switch at 0", lambda x: T.switch(x > 0, x, 0), (0,), [0]),
    ("clip at bounds", lambda x: T.clip(x, -1, 1), ([-1, 1, 2],), [[1, 1, 0]]),
    ("x ** 0 at 0", lambda x: x ** 0, (0,), [0]),
    ("sqrt 0", lambda x: T.sqrt(x), (0,), [np.inf]),
    ("log 0", lambda x: T.log(x), (0,), [np.inf]),
    ("x ** y at (0, 2)", lambda x, y: x ** y, (0, 2), [0, 0]),
    ("x ** y at (-2, 3)", lambda x, y: x ** y, (-2, 3), [12, np.nan]),
    ("prod with one zero", lambda x: T.prod(x), ([2, 0, 3],), [[0, 6, 0]]),
    ("prod with two zeros", lambda x: T.prod(x), ([2, 0, 0],), [[0, 0, 0]]),
    ("x % 2", lambda x: x % 2, (3.3,), [1]),
    ("x // 2", lambda x: x // 2, (3.3,), [0]),
    ("int cast", lambda x: T.cast(x, "int64") * x, (3.3,), [3]),
    ("comparison", lambda x: T.eq(x, 1) * x, (1,), [1]),
    ("argmax", lambda x: T.argmax(x) * x, ([1, 3],), [[1, 1]]),
    ("norm at 0", lambda x: T.norm(x), ([0, 0],), [[0, 0]]),
    ("sqrt of sum of squares at 0", lambda x: T.sqrt(T.sum(x ** 2)), ([0, 0],), [[0, 0]]),
    ("std of a constant", lambda x: T.std(x), ([2, 2],), [[0, 0]]),
    ("arctan2(0, 0)", lambda x, y: T.arctan2(x, y), (0, 0), [0, 0]),
    ("x / x at 0", lambda x: x / x, (0,), [np.nan]),
]


@pytest.mark.parametrize(("build", "values", "wanted"), [e[1:] for e in EDGES], ids=[e[0] for e in EDGES])
def test_edges(build, values, wanted):
    np.testing.assert_array_equal(gradient_at(build, *values)[0], wanted[0])
    np.testing.assert_array_equal(gradient_at(build, *values)[-1], wanted[-1])


def test_relu_at_zero_is_a_half():
    np.testing.assert_array_equal(gradient_at(lambda x: T.nnet.relu(x), 0), [0.5])


# ---------------------------------------------------------------- the interface of grad
def test_printed_form_is_that_of_theano():
    x = T.dscalar("x")
    assert fuse.pp(fuse.grad(x ** 2, x)) == (
        "((fill((x ** TensorConstant{2}), TensorConstant{1.0}) * TensorConstant{2}) * "
        "(x ** (TensorConstant{2} - TensorConstant{1})))"
    )


def test_structure_of_wrt_is_kept():
    x, y = T.dscalars("x", "y")
    assert isinstance(fuse.grad(x * y, x), Expr)
    assert isinstance(fuse.grad(x * y, [x, y]), list)
    assert isinstance(fuse.grad(x * y, (x, y)), tuple)
    assert fuse.grad(x * y, []) == []


def test_intermediate_nodes_and_known_gradients():
    x = T.dvector("x")
    h = T.exp(x)
    cost = (h ** 2).sum()
    at = {x: np.array([0.0, 1.0])}
    g_h, = evaluate([fuse.grad(cost, h)], at)
    np.testing.assert_allclose(g_h, 2 * np.exp(at[x]))
    given = T.dvector("given")
    g_x, = evaluate([fuse.grad(None, x, known_grads={h: given})], {**at, given: np.array([1.0, 10.0])})
    np.testing.assert_allclose(g_x, np.exp(at[x]) * [1, 10])
    replaced, = evaluate([fuse.grad(cost, x, known_grads={h: given})], {**at, given: np.array([1.0, 10.0])})
    np.testing.assert_allclose(replaced, g_x)
    added, = evaluate([fuse.grad((x ** 2).sum(), x, known_grads={h: given})], {**at, given: np.array([1.0, 10.0])})
    np.testing.assert_allclose(added, g_x + 2 * at[x])


def test_known_gradient_of_a_node_in_need_of_stabilising():
    x = T.dscalar("x")
    inner = 1 + T.exp(x)
    assert float(fuse.grad(T.log(inner), inner).eval({x: 0.0})) == 0.5
    assert float(fuse.grad(T.log(inner), x).eval({x: 1000.0})) == 1.0


def test_consider_constant():
    x = T.dscalar("x")
    h = T.exp(x)
    cost = h * x
    assert float(fuse.grad(cost, x, consider_constant=[h]).eval({x: 0.0})) == 1.0
    assert float(fuse.grad(cost, h, consider_constant=[h]).eval({x: 3.0})) == 3.0


def test_disconnected_inputs():
    x, y = T.dscalar("x"), T.dvector("y")
    with pytest.raises(DisconnectedInputError, match="does not depend on y"):
        fuse.grad(x ** 2, y)
    with pytest.raises(DisconnectedInputError):
        fuse.grad(x * y.shape[0], y)
    with pytest.warns(UserWarning, match="does not depend on y"):
        zeros = fuse.grad(x ** 2, y, disconnected_inputs="warn")
    np.testing.assert_array_equal(zeros.eval({y: [1.0, 2.0], }), [0, 0])
    assert fuse.grad(x ** 2, y, disconnected_inputs="ignore", return_disconnected="none") is None
    placeholder = fuse.grad(x ** 2, y, disconnected_inputs="ignore", return_disconnected="disconnected")
    assert isinstance(placeholder.type, G.DisconnectedType)
    with pytest.raises(FuseValueError, match="disconnected_inputs is one of 'raise', 'warn', 'ignore'"):
        fuse.grad(x ** 2, x, disconnected_inputs="maybe")


def test_integers_get_the_gradients_of_floats():
    n, x = T.lvector("n"), T.dvector("x")
    g = fuse.grad((n * x).sum(), n)
    assert g.dtype == "float64"
    np.testing.assert_array_equal(g.eval({n: [1, 2], x: [3.0, 4.0]}), [3, 4])
    np.testing.assert_array_equal(fuse.grad((n * x).sum(), x).eval({n: [1, 2], x: [1.0, 2.0]}), [1, 2])
    k = T.iscalar("k")
    assert float(fuse.grad(T.sin(k), k).eval({k: 3})) == np.cos(3.0)
    assert float(fuse.grad(k, k).eval({k: 3})) == 1.0


def test_what_is_computed_in_integers_has_gradient_zero():
    k = T.iscalar("k")
    assert fuse.grad(k ** 2, k).dtype == fuse.config.floatX
    assert float(fuse.grad(T.sqr(k) * 1.5, k).eval({k: 3})) == 0


def test_known_gradients_of_integers_are_given_back():
    k, g = T.iscalar("k"), T.dscalar("g")
    assert float(fuse.grad(None, k, known_grads={k: g}).eval({g: 0.6})) == 0.6


def test_float32_gradients_stay_float32():
    x, y = T.fvector("x"), T.dvector("y")
    gx, gy = fuse.grad((x * y).sum(), [x, y])
    assert (gx.dtype, gy.dtype) == ("float32", "float64")


@pytest.mark.parametrize(("cost", "message"), [
    (lambda: T.dvector("v") * 2, "grad needs a scalar cost, not a float64 vector: take cost.sum()"),
    (lambda: T.zscalar("z"), "grad needs a real cost, not complex128"),
    (lambda: 3.0, "the cost of grad is an expression, not float 3.0"),
])
def test_costs_that_are_refused(cost, message):
    with pytest.raises(FuseTypeError, match=message.replace("(", r"\(").replace(")", r"\)")):
        fuse.grad(cost(), T.dscalar("x"))


def test_wrt_must_be_symbolic():
    x = T.dscalar("x")
    with pytest.raises(FuseTypeError, match=r"grad differentiates with respect to symbolic variables, not float 1\.0"):
        fuse.grad(x, 1.0)
    with pytest.raises(FuseValueError, match="grad needs a cost, or known_grads"):
        fuse.grad(None, x)
    with pytest.raises(ShapeError, match="a gradient has the rank of its variable"):
        fuse.grad(None, x, known_grads={x * 2: T.dvector()})


def test_names():
    x, cost = T.dscalar("x"), None
    cost = T.exp(T.sin(x))
    cost.name = "cost"
    assert fuse.grad(cost, x).name == "(dcost/dx)"
    assert fuse.grad(T.exp(T.cos(x)), x).name is None


class NoGradient(fuse.Op):
    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return fuse.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, out):
        out[0][0] = inputs[0] * 2

    def grad(self, inputs, gz):
        return [G.grad_not_implemented(self, 0, inputs[0], "no gradient here")]


def test_null_gradients():
    x, y = T.dscalars("x", "y")
    cost = NoGradient()(x * y) + x
    with pytest.raises(NullTypeGradError, match="no gradient here"):
        fuse.grad(cost, x)
    g = fuse.grad(cost, x, null_gradients="return")
    assert isinstance(g.type, G.NullType) and "no gradient here" in g.type.why_null
    assert float(fuse.grad(cost, x, consider_constant=[NoGradient()(x * y)]).eval({x: 1.0, y: 2.0})) == 1.0
    assert isinstance(G.grad_undefined(NoGradient(), 0, x).type, G.NullType)


class SinCos(fuse.Op):
    """Two results, the second of which is disconnected from nothing and has its own gradient."""

    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return fuse.Apply(self, [x], [x.type(), x.type()])

    def perform(self, node, inputs, out):
        out[0][0], out[1][0] = np.sin(inputs[0]), np.cos(inputs[0])

    def L_op(self, inputs, outputs, gs):
        sin, cos = outputs
        total = 0
        for g, d in zip(gs, (cos, -sin), strict=True):
            if not isinstance(g.type, G.DisconnectedType):
                total = total + g * d
        return [total]


def test_ops_with_several_results():
    x = np.array([0.3, -1.0])
    check(lambda v: SinCos()(v)[0], x)
    check(lambda v: SinCos()(v)[1] * v, x)
    check(lambda v: SinCos()(v)[0] * SinCos()(v)[1], x)
    v = T.dvector("v")
    jacobian, = evaluate([G.jacobian(SinCos()(v)[0] * v, v)], {v: x})
    np.testing.assert_allclose(jacobian, np.diag(np.cos(x) * x + np.sin(x)))


def test_a_users_elementwise_op():
    @fuse.elementwise(grad=(lambda g, out, x: g * 3 * x * x,))
    def cube(x):
        """The third power."""
        return x * x * x

    check(cube, V)

    @fuse.elementwise()
    def opaque_cube(x):
        """A third power without a rule."""
        return x * x * x

    x = T.dscalar("x")
    with pytest.raises(NullTypeGradError, match="opaque_cube has no gradient rule"):
        fuse.grad(opaque_cube(x), x)


def test_markers_in_rules_of_other_ops():
    @fuse.elementwise(grad=(lambda g, out, x, y: g * y, DISCONNECTED), dtype=lambda a, b: ((a, b), a))
    def scaled(x, y):
        """``x`` times ``y``, where ``y`` is a setting."""
        return x * y

    x, y = T.dscalars("x", "y")
    with pytest.raises(DisconnectedInputError):
        fuse.grad(scaled(x, y), y)
    step = Op(name="step", kind="opaque", numpy=np.floor, infer=lambda x: x.type, grad=lambda g, out, x: (ZERO,))
    assert float(fuse.grad(step(x), x).eval({x: 1.5})) == 0.0
    assert float(G.Rop(step(x), x, T.constant(1.0)).eval({x: 1.5})) == 0.0


# ---------------------------------------------------------------- identities with their own gradient
def test_gradient_identities():
    x = T.dscalar("x")
    for identity in (G.zero_grad, G.disconnected_grad, G.stop_gradient, G.consider_constant):
        assert float(fuse.grad(x * identity(x), x).eval({x: 3.0})) == 3.0
        assert float(identity(x).eval({x: 3.0})) == 3.0
    assert float(fuse.grad(G.zero_grad(x) ** 2, x).eval({x: 3.0})) == 0.0
    with pytest.raises(DisconnectedInputError):
        fuse.grad(G.disconnected_grad(x) ** 2, x)
    assert float(G.undefined_grad(x).eval({x: 3.0})) == 3.0
    with pytest.raises(NullTypeGradError, match="undefined_grad"):
        fuse.grad(x * G.undefined_grad(x), x)
    assert float(fuse.grad(x * G.zero_grad(G.undefined_grad(x)), x).eval({x: 3.0})) == 3.0
    assert float(fuse.grad(G.grad_clip(x, -1, 1) ** 2, x).eval({x: 3.0})) == 1.0
    assert float(fuse.grad(G.grad_scale(x, -0.5) ** 2, x).eval({x: 3.0})) == -3.0
    with pytest.raises(ShapeError):
        G.grad_clip(x, T.dvector(), 1)


# ---------------------------------------------------------------- Lop, Rop, Jacobians, Hessians
def test_forward_and_reverse_agree_on_a_network():
    """<w, J t> = <J' w, t> for random w and t."""
    x, w1, w2 = T.dmatrix("x"), T.dmatrix("w1"), T.dmatrix("w2")
    out = OPS["softmax"](T.dot(T.tanh(T.dot(x, w1)), w2), axis=1)
    rng = np.random.default_rng(0)
    values = {x: rng.normal(size=(5, 3)), w1: rng.normal(size=(3, 4)), w2: rng.normal(size=(4, 2))}
    tangents = [rng.normal(size=values[v].shape) for v in (x, w1, w2)]
    weights = rng.normal(size=(5, 2))
    pushed, = evaluate([G.Rop(out, [x, w1, w2], [T.constant(t) for t in tangents])], values)
    pulled = evaluate(G.Lop(out, [x, w1, w2], T.constant(weights)), values)
    assert abs((pushed * weights).sum() - sum((p * t).sum() for p, t in zip(pulled, tangents, strict=True))) < 1e-12


def test_lop_adds_where_one_output_is_inside_another():
    x = T.dscalar("x")
    h = x ** 2
    g = G.Lop([h, h * 3], x, [T.constant(1.0), T.constant(10.0)])
    assert float(g.eval({x: 1.0})) == 62.0


def test_rop_and_lop_check_what_they_get():
    x, y = T.dvectors("x", "y")
    with pytest.raises(FuseValueError, match="one per input"):
        G.Rop(x * y, [x, y], [x])
    with pytest.raises(FuseValueError, match="one per output"):
        G.Lop([x, y], x, [x])
    with pytest.raises(ShapeError, match="rank of its input"):
        G.Rop(x * 2, x, T.dscalar())
    with pytest.raises(DisconnectedInputError, match="does not depend"):
        G.Rop(y * 2, x, x)
    assert G.Rop(y * 2, x, x, "ignore", "none") is None
    np.testing.assert_array_equal(G.Rop(y * x, [x, y], [x, None]).eval({x: [1.0, 2.0], y: [3.0, 4.0]}), [3, 8])


def numeric_jacobian(output, x, value):
    base = evaluate([output], {x: value})[0]
    out = np.zeros(base.shape + value.shape)
    for index in np.ndindex(value.shape):
        t = np.zeros(value.shape)
        t[index] = 1
        out[(..., *index)] = numeric_jvp(output, [x], [value], [t])
    return out


@pytest.mark.parametrize("name", [n for n, (_, *a) in CASES.items() if n not in ("mask", "nonzero")])
def test_jacobians(name):
    """Of every case, by the first argument, at shapes known only at run time."""
    build, first, *rest = CASES[name]
    first, rest = np.asarray(first), [np.asarray(a) for a in rest]
    x, = inputs_for([first])
    output = build(x, *[T.constant(a) for a in rest])
    found, = evaluate([G.jacobian(output, x, disconnected_inputs="ignore")], {x: first})
    np.testing.assert_allclose(found, numeric_jacobian(output, x, first), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("op", [o for o in ELEMENTWISE if o.nargs == 1 and o.name not in STEPS], ids=lambda op: op.name)
def test_jacobians_of_elementwise_ops_are_diagonal(op):
    value, = points(op, [(3,)])
    x = T.dvector("x")
    found, = evaluate([G.jacobian(op(x), x)], {x: value})
    np.testing.assert_allclose(found, numeric_jacobian(op(x), x, value), rtol=2e-6, atol=1e-6)


def test_jacobian_of_several_and_of_matrices():
    x, y = T.dvector("x"), T.dmatrix("y")
    values = {x: V[:3], y: M}
    jx, jy = G.jacobian(T.dot(x, y), [x, y])
    np.testing.assert_allclose(evaluate([jx], values)[0], M.T)
    np.testing.assert_allclose(evaluate([jy], values)[0], np.einsum("ki,j->kji", np.eye(4), V[:3]))
    assert isinstance(G.jacobian(x ** 2, (x,)), tuple)
    with pytest.raises(DisconnectedInputError):
        G.jacobian(x ** 2, y)
    zeros, = evaluate([G.jacobian(x ** 2, y, disconnected_inputs="ignore")], values)
    assert zeros.shape == (3, 3, 4) and not zeros.any()
    np.testing.assert_allclose(evaluate([G.jacobian(x.sum(), x)], values)[0], [1, 1, 1])


def test_hessian_and_its_product_with_vectors():
    x, p = T.dvectors("x", "p")
    cost = (T.exp(x) * x[::-1]).sum() + T.prod(x)
    values = {x: V[:3] + 2, p: W[:3]}
    hessian, product = evaluate([G.hessian(cost, x), G.hessian_vector_product(cost, x, p)], values)
    numeric = numeric_jacobian(fuse.grad(cost, x), x, values[x])
    np.testing.assert_allclose(hessian, numeric, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(product, numeric @ W[:3], rtol=1e-6, atol=1e-6)
    assert isinstance(G.hessian(cost, [x]), list)
    moving, = evaluate([G.hessian_vector_product((x ** 3).sum(), x, x)], values)
    np.testing.assert_allclose(moving, 6 * values[x] ** 2)


def test_jacobian_of_length_zero_and_one():
    x = T.dvector("x")
    for n in (0, 1):
        assert evaluate([G.jacobian(x ** 2, x)], {x: np.ones(n)})[0].shape == (n, n)


def test_vectorize_repeats_what_does_not_depend_on_the_batch():
    x, y, rows = T.dvector("x"), T.dvector("y"), T.dmatrix("rows")
    first, second = vectorize([T.exp(x) * y, y * 2], {x: rows}, rows.shape[0])
    a, b = evaluate([first, second], {rows: M, y: V})
    np.testing.assert_allclose(a, np.exp(M) * V)
    np.testing.assert_allclose(b, np.tile(V * 2, (3, 1)))


def test_subgraph_gradients_chain():
    x, w1, w2, t = T.dmatrix("x"), T.dmatrix("w1"), T.dmatrix("w2"), T.dmatrix("t")
    a1 = T.tanh(T.dot(x, w1))
    a2 = T.tanh(T.dot(a1, w2))
    cost2, cost1 = T.sqr(a2 - t).sum() + T.sqr(w2.sum()), T.sqr(w1.sum())
    [g_w2], next_grad = G.subgraph_grad([w2], [a1], cost=cost2)
    [g_w1], _ = G.subgraph_grad([w1], [x], start={a1: next_grad[0]}, cost=cost1)
    rng = np.random.default_rng(0)
    values = {
        x: rng.normal(size=(2, 3)),
        w1: rng.normal(size=(3, 4)),
        w2: rng.normal(size=(4, 2)),
        t: rng.normal(size=(2, 2)),
    }
    wanted = evaluate(fuse.grad(cost1 + cost2, [w1, w2]), values)
    for got, want in zip(evaluate([g_w1, g_w2], values), wanted, strict=True):
        np.testing.assert_allclose(got, want)
    assert len(G.subgraph_grad([w2], [a1], cost=cost2, details=True)) == 4


# ---------------------------------------------------------------- stability, size
@pytest.mark.parametrize("x", [-1000.0, -30.0, 0.0, 30.0, 1000.0])
def test_gradients_are_stable_where_values_are(x):
    """d log(1 + exp(x)) is the logistic function, everywhere."""
    v = T.dscalar("v")
    got = float(fuse.grad(T.log(1 + T.exp(v)), v).eval({v: x}))
    assert got == pytest.approx(1 / (1 + np.exp(-x)) if x > -700 else 0.0, rel=1e-12)


def test_switch_keeps_nan_out():
    x = T.dvector("x")
    cost = T.switch(x > 0, T.log(x), 0).sum()
    np.testing.assert_array_equal(fuse.grad(cost, x).eval({x: [0.0, -1.0, 2.0]}), [0, 0, 0.5])


def test_a_chain_of_15000_nodes():
    assert sys.getrecursionlimit() <= 10_000
    x = T.dscalar("x")
    y = x
    for _ in range(15_000):
        y = T.sin(y)
    g = fuse.grad(y, x)
    value, derivative = 0.5, 1.0
    for _ in range(15_000):
        value, derivative = np.sin(value), derivative * np.cos(value)
    assert float(evaluate([g], {x: np.array(0.5)})[0]) == pytest.approx(derivative, rel=1e-9)
    tangent = G.Rop(y, x, T.constant(1.0))
    assert float(evaluate([tangent], {x: np.array(0.5)})[0]) == pytest.approx(derivative, rel=1e-9)


def test_a_wide_sum_of_10000_uses():
    x = T.dscalar("x")
    terms = [x * float(i) for i in range(10_000)]
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)] if len(terms) % 2 == 0 else [
            terms[0] + terms[1], *terms[2:]]
    g = fuse.grad(terms[0], x)
    assert float(evaluate([g], {x: np.array(1.0)})[0]) == sum(range(10_000))


def test_any_order():
    x = T.dscalar("x")
    y = T.exp(2 * x)
    for _ in range(6):
        y = fuse.grad(y, x)
    assert float(y.eval({x: 0.25})) == pytest.approx(64 * np.exp(0.5), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_compiled_derivatives_of_scalars(dtype):
    """A 0-d argument reaches a kernel as a number, which must be one of its own dtype there."""
    v = T.scalar("v", dtype=dtype)
    at = np.asarray(0.28, dtype)
    g = fuse.function([v], fuse.grad(T.exp(T.tanh(v)), v))(at)
    assert g.dtype == dtype
    wanted = np.exp(np.tanh(0.28)) * (1 - np.tanh(0.28) ** 2)
    assert float(g) == pytest.approx(wanted, rel=20 * float(np.finfo(dtype).eps))


# ---------------------------------------------------------------- verify_grad and numeric_grad
@pytest.mark.parametrize("rng", [None, 3, np.random.RandomState(0), np.random.default_rng(0), np.random])
def test_verify_grad_accepts_every_source_of_randomness(rng):
    G.verify_grad(lambda x, y: T.exp(x) * y, [V, W], rng=rng)


def test_verify_grad_finds_wrong_gradients():
    @fuse.elementwise(grad=(lambda g, out, x: g * 2.01 * x,))
    def nearly_square(x):
        """A square with a wrong rule."""
        return x * x

    with pytest.raises(GradientError, match="disagrees with finite differences in test 0, argument 0"):
        G.verify_grad(nearly_square, [V])
    with pytest.raises(FuseTypeError, match=r"pt\[0\] is int64"):
        G.verify_grad(nearly_square, [np.arange(3)])
    G.verify_grad(nearly_square, [V], rel_tol=0.1)


def test_verify_grad_in_single_precision():
    G.verify_grad(lambda x: T.tanh(x).sum(axis=0), [M.astype("float32")])
    G.verify_grad(lambda x: T.tanh(x), [V], out_type="float32", cast_to_output_type=True)


def test_numeric_grad():
    numeric = G.numeric_grad(lambda x, y: (x ** 2 * y).sum(), [V, W])
    np.testing.assert_allclose(numeric.gf[0], 2 * V * W, rtol=1e-6)
    assert numeric.max_err([2 * V * W, V ** 2], 1e-4, 1e-4)[2] < 1e-6
    with pytest.raises(FuseValueError, match="has shape"):
        numeric.abs_rel_errors([V[:2], V])


@pytest.mark.parametrize("build", [T.argmax, T.argmin, T.argsort, lambda x: x.shape[0]])
def test_places_and_sizes_have_no_tangents(build):
    x, v = T.dvectors("x", "v")
    with pytest.raises(fuse.gradient.DisconnectedInputError):
        fuse.Rop(build(x), x, v)
    scaled = fuse.Rop(x * build(x), x, v)  # but are constants in what is differentiated
    assert scaled.eval({x: [1.0, 3.0, 2.0], v: [0.0, 1.0, 0.0]})[0] == 0
