"""Shape operations, joining and creation against NumPy: values, dtypes, static shapes, shape rules, gradients."""
from __future__ import annotations

import numpy as np
import pytest
from op_checks import check_gradient, check_value, inputs_like, random_array

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import toposort
from fuse.frontend.layout import iota, linear_index, unbroadcast_like
from fuse.frontend.sizes import as_sizes
from fuse.reference import evaluate

# name, ours, NumPy's, shapes of the inputs
CASES = [
    ("dimshuffle new axes", lambda x: T.dimshuffle(x, "x", 1, "x", 0), lambda x: x.T[None, :, None, :], [(2, 3)]),
    ("dimshuffle of 0-d", lambda x: x.dimshuffle("x", "x"), lambda x: x.reshape(1, 1), [()]),
    ("transpose", T.transpose, np.transpose, [(2, 3, 4)]),
    ("transpose axes", lambda x: T.transpose(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), [(2, 3, 4)]),
    ("transpose method", lambda x: x.transpose(1, 0), np.transpose, [(2, 3)]),
    ("T", lambda x: x.T, np.transpose, [(2, 3)]),
    ("T of a vector", lambda x: x.T, np.transpose, [(3,)]),
    ("mT", lambda x: x.mT, lambda x: np.swapaxes(x, -1, -2), [(2, 3, 4)]),
    ("swapaxes", lambda x: x.swapaxes(0, -1), lambda x: np.swapaxes(x, 0, -1), [(2, 3, 4)]),
    ("moveaxis", lambda x: T.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), [(2, 3, 4)]),
    ("moveaxis two", lambda x: T.moveaxis(x, [0, 2], [1, 0]), lambda x: np.moveaxis(x, [0, 2], [1, 0]), [(2, 3, 4)]),
    ("expand_dims", lambda x: T.expand_dims(x, 1), lambda x: np.expand_dims(x, 1), [(2, 3)]),
    ("expand_dims several", lambda x: T.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1)), [(2, 3)]),
    ("squeeze axis", lambda x: T.squeeze(x, 1), lambda x: np.squeeze(x, 1), [(2, 1, 3)]),
    ("shape_padleft", lambda x: T.shape_padleft(x, 2), lambda x: x[None, None], [(2, 3)]),
    ("shape_padright", lambda x: T.shape_padright(x), lambda x: x[..., None], [(2, 3)]),
    ("shape_padaxis", lambda x: T.shape_padaxis(x, 1), lambda x: x[:, None], [(2, 3)]),
    ("atleast_1d", T.atleast_1d, np.atleast_1d, [()]),
    ("atleast_2d", T.atleast_2d, np.atleast_2d, [(3,)]),
    ("atleast_3d vector", T.atleast_3d, np.atleast_3d, [(3,)]),
    ("atleast_3d matrix", T.atleast_3d, np.atleast_3d, [(3, 2)]),
    ("flatten", lambda x: x.flatten(), np.ravel, [(2, 3, 4)]),
    ("flatten 2", lambda x: x.flatten(2), lambda x: x.reshape(2, 12), [(2, 3, 4)]),
    ("flatten outdim", lambda x: T.flatten(x, outdim=2), lambda x: x.reshape(2, 12), [(2, 3, 4)]),
    ("flatten 0-d", lambda x: x.flatten(), np.ravel, [()]),
    ("ravel", lambda x: x.ravel(), np.ravel, [(2, 3)]),
    ("reshape", lambda x: x.reshape((3, 4)), lambda x: x.reshape(3, 4), [(2, 6)]),
    ("reshape arguments", lambda x: x.reshape(4, 3), lambda x: x.reshape(4, 3), [(2, 6)]),
    ("reshape -1", lambda x: T.reshape(x, (-1, 4)), lambda x: x.reshape(-1, 4), [(2, 6)]),
    ("reshape to 0-d", lambda x: x.reshape(()), lambda x: x.reshape(()), [(1, 1)]),
    ("reshape to a shape", lambda x, y: x.reshape(y.shape), lambda x, y: x.reshape(y.shape), [(2, 6), (4, 3)]),
    ("reshape to sizes", lambda x: x.reshape((x.shape[1], x.shape[0])), lambda x: x.reshape(3, 2), [(2, 3)]),
    ("reshape to arithmetic", lambda x: x.reshape((x.shape[0] * 3, -1)), lambda x: x.reshape(6, -1), [(2, 6)]),
    ("reshape ndim", lambda x: T.reshape(x, [6, 2], 2), lambda x: x.reshape(6, 2), [(2, 6)]),
    ("reshape zero size", lambda x: x.reshape((3, 0)), lambda x: x.reshape(3, 0), [(0, 2)]),
    ("broadcast_to", lambda x: T.broadcast_to(x, (2, 3)), lambda x: np.broadcast_to(x, (2, 3)), [(3,)]),
    ("broadcast_to 1", lambda x: T.broadcast_to(x, (2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    ("broadcast_to sizes", lambda x, y: T.broadcast_to(x, y.shape), lambda x, y: np.broadcast_to(x, y.shape),
     [(1, 3), (2, 3)]),
    ("broadcast_to none", lambda x: T.broadcast_to(x, (0, 3)), lambda x: np.broadcast_to(x, (0, 3)), [(3,)]),
    ("broadcast_arrays", lambda x, y: T.broadcast_arrays(x, y)[1], lambda x, y: np.broadcast_arrays(x, y)[1],
     [(2, 3), (3,)]),
    ("unbroadcast_like", unbroadcast_like, lambda x, y: x.sum(0, keepdims=True), [(2, 3), (1, 3)]),
    ("alloc", lambda x: T.alloc(x, 2, 3), lambda x: np.broadcast_to(x, (2, 3)), [()]),
    ("alloc vector", lambda x, y: T.alloc(x, y.shape[0], 3), lambda x, y: np.broadcast_to(x, (2, 3)), [(3,), (2,)]),
    ("fill", lambda x, y: x.fill(y), lambda x, y: np.broadcast_to(y, x.shape), [(2, 3), (3,)]),
    ("full", lambda x: T.full((2, 3), x), lambda x: np.full((2, 3), x), [()]),
    ("zeros_like", lambda x: x.zeros_like(), np.zeros_like, [(2, 3)]),
    ("ones_like", T.ones_like, np.ones_like, [(2, 3)]),
    ("full_like", lambda x: T.full_like(x, 2.5), lambda x: np.full_like(x, 2.5), [(2, 3)]),
    ("identity_like", T.identity_like, lambda x: np.eye(*x.shape), [(2, 3)]),
    ("specify_shape", lambda x: T.specify_shape(x, (None, 3)), lambda x: x, [(2, 3)]),
    ("specify_shape vector", lambda x, y: T.specify_shape(x, y.shape), lambda x, y: x, [(2, 3), (2, 3)]),
    ("addbroadcast", lambda x: T.addbroadcast(x, 0), lambda x: x, [(1, 3)]),
    ("unbroadcast", lambda x: T.unbroadcast(x, 0), lambda x: x, [(1, 3)]),
    ("patternbroadcast", lambda x: T.patternbroadcast(x, (True, False)), lambda x: x, [(1, 3)]),
    ("diagonal", lambda x: x.diagonal(), np.diagonal, [(3, 4)]),
    ("diagonal above", lambda x: T.diagonal(x, 1), lambda x: np.diagonal(x, 1), [(3, 4)]),
    ("diagonal far above", lambda x: T.diagonal(x, 3), lambda x: np.diagonal(x, 3), [(3, 4)]),
    ("diagonal outside", lambda x: T.diagonal(x, 7), lambda x: np.diagonal(x, 7), [(3, 4)]),
    ("diagonal below", lambda x: T.diagonal(x, -2), lambda x: np.diagonal(x, -2), [(3, 4)]),
    ("diagonal axes", lambda x: T.diagonal(x, 1, 2, 0), lambda x: np.diagonal(x, 1, 2, 0), [(3, 2, 4)]),
    ("diagonal axes below", lambda x: T.diagonal(x, -1, 0, 2), lambda x: np.diagonal(x, -1, 0, 2), [(3, 2, 4)]),
    ("diag of a matrix", lambda x: T.diag(x, 1), lambda x: np.diag(x, 1), [(3, 3)]),
    ("diag of a vector", T.diag, np.diag, [(3,)]),
    ("diag above", lambda x: T.diag(x, 2), lambda x: np.diag(x, 2), [(3,)]),
    ("diag below", lambda x: T.diag(x, -1), lambda x: np.diag(x, -1), [(3,)]),
    ("diag of nothing", lambda x: T.diag(x, 1), lambda x: np.diag(x, 1), [(0,)]),
    ("tril", T.tril, np.tril, [(3, 4)]),
    ("tril k", lambda x: T.tril(x, -1), lambda x: np.tril(x, -1), [(2, 3, 4)]),
    ("triu", T.triu, np.triu, [(3, 4)]),
    ("triu k", lambda x: T.triu(x, 1), lambda x: np.triu(x, 1), [(4, 3)]),
    ("tile", lambda x: T.tile(x, 3), lambda x: np.tile(x, 3), [(2,)]),
    ("tile axes", lambda x: T.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), [(2, 3)]),
    ("tile fewer", lambda x: T.tile(x, (2,)), lambda x: np.tile(x, (2,)), [(2, 3)]),
    ("tile none", lambda x: T.tile(x, (0, 2)), lambda x: np.tile(x, (0, 2)), [(2, 3)]),
    ("tile by a size", lambda x, y: T.tile(x, (y.shape[0], 1)), lambda x, y: np.tile(x, (2, 1)), [(2, 3), (2,)]),
    ("repeat", lambda x: x.repeat(2), lambda x: np.repeat(x, 2), [(2, 3)]),
    ("repeat axis", lambda x: T.repeat(x, 3, axis=1), lambda x: np.repeat(x, 3, axis=1), [(2, 3)]),
    ("repeat each", lambda x: T.repeat(x, [2, 0, 1], axis=1), lambda x: np.repeat(x, [2, 0, 1], axis=1), [(2, 3)]),
    ("roll", lambda x: T.roll(x, 2), lambda x: np.roll(x, 2), [(5,)]),
    ("roll back", lambda x: T.roll(x, -7), lambda x: np.roll(x, -7), [(5,)]),
    ("roll flat", lambda x: T.roll(x, 1), lambda x: np.roll(x, 1), [(2, 3)]),
    ("roll axis", lambda x: T.roll(x, 1, axis=1), lambda x: np.roll(x, 1, axis=1), [(2, 3)]),
    ("roll axes", lambda x: T.roll(x, (1, -1), axis=(0, 1)), lambda x: np.roll(x, (1, -1), axis=(0, 1)), [(2, 3)]),
    ("roll nothing", lambda x: T.roll(x, 1), lambda x: np.roll(x, 1), [(0,)]),
    ("flip", T.flip, np.flip, [(2, 3)]),
    ("flip axis", lambda x: T.flip(x, 1), lambda x: np.flip(x, 1), [(2, 3)]),
    ("fliplr", T.fliplr, np.fliplr, [(2, 3)]),
    ("flipud", T.flipud, np.flipud, [(2, 3)]),
    *[(f"rot90 {k}", lambda x, k=k: T.rot90(x, k), lambda x, k=k: np.rot90(x, k), [(2, 3)]) for k in range(-1, 4)],
    ("meshgrid", lambda x, y: T.meshgrid(x, y)[0], lambda x, y: np.meshgrid(x, y)[0], [(2,), (3,)]),
    ("meshgrid y", lambda x, y: T.meshgrid(x, y)[1], lambda x, y: np.meshgrid(x, y)[1], [(2,), (3,)]),
    ("meshgrid ij", lambda x, y, z: T.meshgrid(x, y, z, indexing="ij")[1],
     lambda x, y, z: np.meshgrid(x, y, z, indexing="ij")[1], [(2,), (3,), (4,)]),
    ("meshgrid sparse", lambda x, y: T.meshgrid(x, y, sparse=True)[0], lambda x, y: np.meshgrid(x, y, sparse=True)[0],
     [(2,), (3,)]),
    ("join", lambda x, y: T.join(1, x, y), lambda x, y: np.concatenate([x, y], 1), [(2, 3), (2, 1)]),
    ("join negative axis", lambda x, y: T.join(-1, x, y), lambda x, y: np.concatenate([x, y], -1), [(2, 3), (2, 1)]),
    ("join empty", lambda x, y: T.join(0, x, y), lambda x, y: np.concatenate([x, y]), [(0, 2), (3, 2)]),
    ("concatenate", lambda x, y, z: T.concatenate([x, y, z]), lambda x, y, z: np.concatenate([x, y, z]),
     [(2,), (3,), (1,)]),
    ("concatenate flat", lambda x, y: T.concatenate([x, y], axis=None),
     lambda x, y: np.concatenate([x, y], axis=None), [(2, 2), (3,)]),
    ("stack list", lambda x, y: T.stack([x, y], axis=1), lambda x, y: np.stack([x, y], axis=1), [(2, 3), (2, 3)]),
    ("stack arguments", lambda x, y: T.stack(x, y), lambda x, y: np.stack([x, y]), [(2, 3), (2, 3)]),
    ("stack last", lambda x, y: T.stack([x, y], axis=-1), lambda x, y: np.stack([x, y], axis=-1), [(2,), (2,)]),
    ("stack numbers", lambda x, y: T.stack([x, 2.0, y]), lambda x, y: np.stack([x, 2.0, y]), [(), ()]),
    ("make_vector", lambda x, y: T.make_vector(x, y), lambda x, y: np.stack([x, y]), [(), ()]),
    ("list of expressions", lambda x, y: T.as_tensor_variable([[x, y], [y, 1.0]]),
     lambda x, y: np.array([[x, y], [y, 1.0]]), [(), ()]),
    ("split", lambda x: T.split(x, [1, 3], 2)[1], lambda x: x[1:4], [(4, 2)]),
    ("split axis", lambda x: T.split(x, [1, 3], 2, axis=1)[0], lambda x: x[:, :1], [(2, 4)]),
    ("horizontal_stack", T.horizontal_stack, lambda x, y: np.hstack([x, y]), [(2, 3), (2, 1)]),
    ("vertical_stack", T.vertical_stack, lambda x, y: np.vstack([x, y]), [(2, 3), (1, 3)]),
    ("hstack vectors", lambda x, y: T.hstack([x, y]), lambda x, y: np.hstack([x, y]), [(2,), (3,)]),
    ("vstack vectors", lambda x, y: T.vstack([x, y]), lambda x, y: np.vstack([x, y]), [(3,), (3,)]),
    ("broadcast add", lambda x, y: x + y, lambda x, y: x + y, [(2, 1), (3,)]),
    ("shape", lambda x: x.shape, lambda x: np.array(x.shape), [(2, 3)]),
    ("size", lambda x: x.size, lambda x: np.array(x.size), [(2, 3)]),
    ("size zero", lambda x: x.size, lambda x: np.array(x.size), [(2, 0)]),
]
IDS = [case[0] for case in CASES]


@pytest.mark.parametrize("static", [True, False], ids=["static", "run time"])
@pytest.mark.parametrize(("name", "ours", "numpys", "shapes"), CASES, ids=IDS)
def test_value_type_and_shape(name, ours, numpys, shapes, static):
    rng = np.random.default_rng(len(name))
    arrays = [random_array(rng, s) for s in shapes]
    inputs = inputs_like(arrays, static)
    out = ours(*inputs)
    want = np.asarray(numpys(*arrays))
    check_value(out, want, dict(zip(inputs, arrays, strict=True)))
    if static and "repeat each" not in name:
        assert out.type.shape == want.shape or name in ("unbroadcast", "patternbroadcast")


@pytest.mark.parametrize("static", [True, False], ids=["static", "run time"])
@pytest.mark.parametrize(("name", "ours", "numpys", "shapes"), CASES, ids=IDS)
def test_gradient(name, ours, numpys, shapes, static):
    rng = np.random.default_rng(len(name))
    arrays = [random_array(rng, s) for s in shapes]
    check_gradient(ours, inputs_like(arrays, static), arrays)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "complex64"])
def test_the_dtype_is_kept(dtype):
    x = np.array(random_array(np.random.default_rng(0), (2, 3), dtype))
    (v,) = inputs_like([x], False)
    for out, want in [
        (v.T, x.T), (v.reshape(3, 2), x.reshape(3, 2)), (T.tile(v, 2), np.tile(x, 2)), (v[::-1], x[::-1]),
        (T.concatenate([v, v]), np.concatenate([x, x])), (T.broadcast_to(v, (2, 2, 3)), np.broadcast_to(x, (2, 2, 3))),
        (v.zeros_like(), np.zeros_like(x)), (T.roll(v, 1), np.roll(x, 1)), (T.tril(v), np.tril(x)),
        (v.diagonal(), x.diagonal()),
    ]:
        check_value(out, want, {v: x}, dtype=dtype)


def test_all_cases_compile_to_what_numpy_computes():
    """Every case, with sizes known at run time, through function."""
    rng = np.random.default_rng(7)
    for group in range(0, len(CASES), 12):
        inputs, arrays, outputs, wanted = [], [], [], []
        for _, ours, numpys, shapes in CASES[group : group + 12]:
            values = [random_array(rng, s) for s in shapes]
            variables = inputs_like(values, False)
            inputs += variables
            arrays += values
            outputs.append(ours(*variables))
            wanted.append(np.asarray(numpys(*values)))
        f = fuse.function(inputs, outputs, on_unused_input="ignore")
        for case, got, want in zip(CASES[group:], f(*arrays), wanted, strict=False):
            assert got.shape == want.shape, case[0]
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=case[0])


# ---------------------------------------------------------------- arrays from nothing
CREATED = [
    ("zeros", lambda: T.zeros((2, 3)), np.zeros((2, 3))),
    ("zeros numbers", lambda: T.zeros(2, 3), np.zeros((2, 3))),
    ("zeros dtype", lambda: T.zeros((2, 3), "int8"), np.zeros((2, 3), "int8")),
    ("ones", lambda: T.ones(3, dtype="float32"), np.ones(3, "float32")),
    ("ones 0-d", lambda: T.ones(()), np.ones(())),
    ("full", lambda: T.full((2, 2), 7, "int64"), np.full((2, 2), 7)),
    ("empty", lambda: T.empty((0, 2)), np.zeros((0, 2))),
    ("eye", lambda: T.eye(3), np.eye(3)),
    ("eye k", lambda: T.eye(3, 4, 1, "int32"), np.eye(3, 4, 1, "int32")),
    ("eye below", lambda: T.eye(3, 4, -2), np.eye(3, 4, -2)),
    ("tri", lambda: T.tri(3, 4, 1), np.tri(3, 4, 1)),
    ("tri square", lambda: T.tri(3, dtype="bool"), np.tri(3, dtype="bool")),
    ("iota", lambda: iota(4), np.arange(4)),
    ("linear_index", lambda: linear_index(2, 3), np.arange(6).reshape(2, 3)),
    *[
        (f"arange{args}", lambda args=args: T.arange(*args), np.arange(*args))
        for args in [(5,), (2, 7), (2, 9, 3), (9, 2, -3), (5, 2), (0,), (1.5,), (0, 1, 0.1), (1, 2, 0.25), (3, 0, -0.7)]
    ],
    ("arange dtype", lambda: T.arange(3, dtype="float32"), np.arange(3, dtype="float32")),
    *[
        (f"linspace{args}", lambda args=args: T.linspace(*args), np.linspace(*args))
        for args in [(0, 1), (0, 1, 5), (2, -3, 4), (1, 1, 3), (0, 5, 1), (0, 5, 0), (0.1, 0.7, 7, False)]
    ],
    ("logspace", lambda: T.logspace(0, 2, 3), np.logspace(0, 2, 3)),
    ("mgrid", lambda: T.stack(T.mgrid[0:2, 1:4]), np.mgrid[0:2, 1:4]),
    ("mgrid step", lambda: T.mgrid[0:1:5j], np.mgrid[0:1:5j]),
    ("ogrid", lambda: T.ogrid[0:2, 1:7:2][1], np.ogrid[0:2, 1:7:2][1]),
]


@pytest.mark.parametrize(("name", "ours", "want"), CREATED, ids=[c[0] for c in CREATED])
def test_created_arrays(name, ours, want):
    out = ours()
    rtol = 1e-6 if out.type.dtype == "float32" else 1e-13
    check_value(out, want, {}, rtol=rtol, dtype=want.dtype.name)
    assert out.type.shape == want.shape


def test_arange_has_numpys_bits():
    for args in [(0, 1, 0.1), (0.3, 2.9, 0.7), (1, 2, 0.125), (-1e3, 1e3, 33.3)]:
        (got,) = evaluate([T.arange(*args)], {})
        assert np.array_equal(got, np.arange(*args))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_repeats_at_run_time(axis):
    x, counts = T.dmatrix("x"), T.lvector("counts")
    f = fuse.function([x, counts], T.repeat(x, counts, axis))
    value = np.arange(6.0).reshape(2, 3)
    each = np.arange(6 if axis is None else value.shape[axis])
    for given in (each, np.array([3]), np.array([0])):  # one count is for all elements
        np.testing.assert_array_equal(f(value, given), np.repeat(value, given, axis))
    with pytest.raises(ValueError):
        f(value, [1, 2, 3, 4])
    one = T.TensorType("int64", (1,))("one")
    twice = fuse.function([x, one], T.repeat(x, one, axis))
    np.testing.assert_array_equal(twice(value, [2]), np.repeat(value, 2, axis))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arange_at_run_time_has_numpys_bits(dtype):
    bounds = [T.scalar(dtype=dtype) for _ in range(3)]
    f = fuse.function(bounds, T.arange(*bounds))
    rng = np.random.default_rng(7)
    for _ in range(60):
        low, high, step = rng.uniform(-10, 10), rng.uniform(-10, 30), rng.uniform(0.1, 2) * rng.choice([-1, 1])
        args = [np.dtype(dtype).type(v) for v in (low, high, step)]
        np.testing.assert_array_equal(f(*args), np.arange(*map(float, args), dtype=dtype))


@pytest.mark.parametrize("bounds", [(0, 5, 1), (3, 3, 1), (4, 1, 1), (0, 10, 3), (10, 0, -4), (0, 10, -1)])
def test_arange_of_run_time_integers(bounds):
    start, stop, step = T.iscalars("start", "stop", "step")
    values = dict(zip((start, stop, step), (np.int32(b) for b in bounds), strict=True))
    check_value(T.arange(start, stop, step), np.arange(*bounds), values, dtype="int64")


@pytest.mark.parametrize("bounds", [(0.0, 1.0, 0.25), (0.0, 0.95, 0.1), (5.0, 1.0, -0.5), (1.0, 0.0, 0.5)])
def test_arange_of_run_time_floats(bounds):
    start, stop, step = T.dscalars("start", "stop", "step")
    values = dict(zip((start, stop, step), map(np.float64, bounds), strict=True))
    check_value(T.arange(start, stop, step), np.arange(*bounds), values, dtype="float64")


def test_creation_from_run_time_sizes():
    n = T.iscalar("n")
    values = {n: np.int32(3)}
    for out, want in [
        (T.zeros((n, 2)), np.zeros((3, 2))), (T.eye(n), np.eye(3)), (T.arange(n), np.arange(3)), (T.tri(n), np.tri(3)),
        (T.linspace(0, 1, n), np.linspace(0, 1, 3)),
        (T.linspace(0, 1, n + 1, endpoint=False), np.linspace(0, 1, 4, False)),
        (T.alloc(2.0, n, n + 1), np.full((3, 4), 2.0)), (T.ones(n), np.ones(3)),
    ]:
        check_value(out, want, values, rtol=1e-7)


# ---------------------------------------------------------------- broadcasting that is decided at run time
@pytest.mark.parametrize("shapes", [((1, 3), (2, 3)), ((2, 1), (2, 3)), ((2, 3), (1, 1)), ((1, 1), (1, 1))])
def test_run_time_sizes_of_1_broadcast(shapes):
    rng = np.random.default_rng(0)
    arrays = [random_array(rng, s) for s in shapes]
    inputs = inputs_like(arrays, False)
    check_value(inputs[0] * inputs[1], arrays[0] * arrays[1], dict(zip(inputs, arrays, strict=True)))
    check_gradient(lambda x, y: x * y, inputs, arrays)


def test_negative_sizes_are_refused_though_nothing_needs_the_array():
    """What is left of ``ones((n, m)).sum()`` is ``n * m``, a number where both are negative."""
    n, m, x, w = T.iscalar("n"), T.iscalar("m"), T.dvector("x"), fuse.shared(np.zeros(2))
    made = T.alloc(2.0, n, m)
    outs = [made.sum(), made.mean(), T.prod(made), made.max(), T.zeros((n, m)).sum(), made.size]
    for out in outs:
        f = fuse.function([n, m], out, updates=[(w, w + out)])
        for _ in range(6):  # the calls in Python, then those at C level
            np.testing.assert_allclose(f(3, 2), out.eval({n: 3, m: 2}))
        kept = w.get_value()
        for sizes in ((-3, -2), (-3, 2)):
            with pytest.raises(ShapeError, match="a size is not negative"):
                f(*sizes)
        np.testing.assert_array_equal(w.get_value(), kept)
    rest = fuse.function([x], T.ones(x.shape[0] - 3).sum())
    assert rest(np.zeros(5)) == 2
    with pytest.raises(ShapeError, match=r"shape \(-2,\)"):
        rest(np.zeros(1))


def test_an_array_of_an_array_has_its_size():
    x, n, m, k = T.dscalar("x"), *T.iscalars("n", "m", "k")
    for out, want in [
        (T.alloc(T.alloc(x, n), m, k), lambda x, n, m, k: np.broadcast_to(np.full(n, x), (m, k))),
        (T.alloc(T.alloc(x, n, 1), m, k, 2).sum(axis=2), lambda x, n, m, k: np.full((m, k), 2 * x)),
    ]:
        f = fuse.function([x, n, m, k], out)
        for _ in range(6):
            np.testing.assert_array_equal(f(1.5, 3, 2, 3), want(1.5, 3, 2, 3))
        np.testing.assert_array_equal(f(1.5, 1, 2, 3), want(1.5, 1, 2, 3))  # one, repeated
        with pytest.raises(ShapeError, match="could not be broadcast"):
            f(1.5, 4, 2, 3)


def test_unbroadcast_like_decides_at_run_time():
    g, like = T.dmatrices("g", "like")
    out = unbroadcast_like(g, like)
    full = np.arange(6.0).reshape(2, 3)
    for shape in [(2, 3), (1, 3), (2, 1), (1, 1)]:
        axes = tuple(a for a, n in enumerate(shape) if n == 1)
        check_value(out, full.sum(axes, keepdims=True), {g: full, like: np.zeros(shape)})
    with pytest.raises(ShapeError):
        evaluate([out], {g: full, like: np.zeros((2, 2))})


def test_sizes_stay_right_when_an_intermediate_is_replaced():
    """The mean of an expression divides by the size of what stands there, also after ``givens``."""
    x, z = T.dvectors("x", "z")
    y = x * 2
    f = fuse.function([z], y.mean() + y.shape[0], givens={y: z})
    assert f([1.0, 2.0, 6.0]) == 3.0 + 3


def test_shape_of_needs_no_values():
    x, y = T.matrix("x"), T.matrix("y")
    out = T.exp(T.concatenate([x.T, y], axis=1)).sum(axis=0)
    (n,) = fuse.frontend.shape.shape_of(out)
    assert {node.op.name for node in toposort([n])} <= {"shape_i", "add", "input"}


def test_shape_of_a_long_chain():
    x = T.vector("x")
    y = x
    for _ in range(30_000):
        y = y + x
    assert fuse.frontend.shape.shape_of(y) == (fuse.frontend.shape.shape_i(x, 0),)


def test_iterating_and_unpacking_a_shape():
    x = T.tensor3("x")
    a, b, c = x.shape
    assert b is x.shape[1]
    assert len(x.shape) == 3
    assert evaluate([a * c], {x: np.zeros((2, 3, 4))})[0] == 8


def test_a_shape_is_given_in_many_ways():
    x, v = T.vector("x"), T.lvector("v")
    assert as_sizes(np.array([2, 3])) == as_sizes([np.int8(2), 3]) == as_sizes(T.constant([2, 3])) == (2, 3)
    check_value(x.reshape(v, ndim=2), np.arange(6.0).reshape(2, 3), {x: np.arange(6.0), v: np.array([2, 3])})
    check_value(x.reshape(v, ndim=2), np.arange(6.0).reshape(2, 3), {x: np.arange(6.0), v: np.array([2, -1])})


# ---------------------------------------------------------------- errors
x, v, m = T.scalar("s"), T.vector("v"), T.matrix("m")
STATIC = T.tensor("float64", shape=(2, 3), name="fixed")
WRONG = [
    (lambda: m.dimshuffle(0), ShapeError, "drops axis 1"),
    (lambda: m.dimshuffle(0, 0, 1), FuseValueError, "names an axis twice"),
    (lambda: m.dimshuffle(0, 2), FuseValueError, "out of bounds for 2 dimensions"),
    (lambda: m.dimshuffle(0, "y"), FuseValueError, "'x'"),
    (lambda: STATIC.reshape(4, 2), ShapeError, "incompatible with new shape.* 6 elements"),
    (lambda: STATIC.reshape(-1, 4), ShapeError, "incompatible with new shape.* 6 elements"),
    (lambda: m.reshape(-1, -1), FuseValueError, "only one size"),
    (lambda: m.reshape(2.0, 3), FuseTypeError, "write 2"),
    (lambda: m.reshape(T.ivector("shape")), ShapeError, "ndim="),
    (lambda: m.reshape((2, 3), ndim=3), ShapeError, "not ndim=3"),
    (lambda: T.broadcast_to(STATIC, (2, 4)), ShapeError, "does not broadcast"),
    (lambda: T.broadcast_to(m, (3,)), ShapeError, "2 dimensions does not broadcast to 1"),
    (lambda: T.zeros((2, -1)), FuseValueError, "not negative"),
    (lambda: T.join(0, m, v), ShapeError, "same number of dimensions"),
    (lambda: T.join(1, STATIC, T.tensor("float64", shape=(3, 3))), ShapeError, "along axis 0 sizes differ"),
    (lambda: T.join(2, m, m), FuseValueError, "out of bounds"),
    (lambda: T.join(0, x, x), ShapeError, "use stack"),
    (lambda: T.concatenate(m), FuseTypeError, "takes a list"),
    (lambda: T.stack([m, v]), ShapeError, "one rank"),
    (lambda: T.stack(), FuseValueError, "at least one"),
    (lambda: T.split(STATIC, [1, 2], 2), ShapeError, "do not add up"),
    (lambda: T.diagonal(v), ShapeError, "two dimensions"),
    (lambda: T.diag(T.tensor3()), ShapeError, "vector or a matrix"),
    (lambda: T.tril(v), ShapeError, "at least a matrix"),
    (lambda: T.arange(0, 1, 0), FuseValueError, "step of arange is 0"),
    (lambda: T.arange(v), ShapeError, "0-d"),
    (lambda: T.specify_shape(STATIC, (2, 4)), ShapeError, "has size 3, not 4"),
    (lambda: T.addbroadcast(STATIC, 0), ShapeError, "cannot be made to broadcast"),
    (lambda: T.transpose(m, (0, 0)), FuseValueError, "each axis once"),
    (lambda: m.flatten(3), FuseValueError, "flatten to 3"),
]


@pytest.mark.parametrize(("build", "kind", "text"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_errors_say_what_is_wrong(build, kind, text):
    with pytest.raises(kind) as caught:
        build()
    assert text in str(caught.value)
    assert isinstance(caught.value, FuseError)


@pytest.mark.parametrize(("build", "shape", "text"), [
    (lambda m: m.reshape(4, 2), (2, 3), "reshape"),
    (lambda m: T.squeeze(m, 0), (2, 3), "size 1"),
    (lambda m: T.specify_shape(m, (None, 4)), (2, 3), "not (2, 4)"),
    (lambda m: T.concatenate([m, m.T]), (2, 3), "concatenat"),
    (lambda m: T.broadcast_to(m, (4, 3)), (2, 3), "broadcast"),
])
def test_run_time_errors_name_the_line(build, shape, text):
    m = T.dmatrix("m")
    out = build(m)
    with pytest.raises(ShapeError) as caught:
        evaluate([out], {m: np.zeros(shape)})
    assert text in str(caught.value)
    assert "test_shape_ops.py" in str(caught.value)
