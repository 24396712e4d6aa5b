"""Programs of calculus tutorials: gradients, Jacobians, Hessians, Newton steps, each against finite differences."""
from __future__ import annotations

import numpy as np
import pytest
from numeric_oracles import gradient_by_differences, jacobian_by_differences, logistic, softmax

import fuse
import fuse.tensor as T
from fuse import function, shared


def test_derivative_of_a_polynomial_and_its_printed_form():
    x = T.dscalar("x")
    y = x ** 2
    gy = T.grad(y, x)
    assert fuse.pp(gy).count("x") >= 2
    f = function([x], gy)
    assert f(4) == 8.0
    np.testing.assert_allclose(f(94.2), 188.4)
    assert function([x], T.grad(T.grad(x ** 3 + 2 * x, x), x))(5.0) == 30.0


def test_gradient_of_the_logistic_function_is_sigma_times_one_minus_sigma():
    x = T.dmatrix("x")
    s = T.sum(1 / (1 + T.exp(-x)))
    value = np.array([[0.0, 1.0], [-1.0, -2.0]])
    want = logistic(value) * (1 - logistic(value))
    np.testing.assert_allclose(function([x], T.grad(s, x))(value), want)


def test_every_elementary_function_against_differences():
    x = T.dvector("x")
    value = np.array([0.3, 0.55, 0.8])
    cases = [
        (T.exp, np.exp), (T.log, np.log), (T.log1p, np.log1p), (T.sqrt, np.sqrt), (T.sqr, np.square), (T.sin, np.sin),
        (T.cos, np.cos), (T.tan, np.tan), (T.arcsin, np.arcsin), (T.arccos, np.arccos), (T.arctan, np.arctan),
        (T.sinh, np.sinh), (T.cosh, np.cosh), (T.tanh, np.tanh), (T.inv, np.reciprocal), (abs, np.abs),
        (T.arctanh, np.arctanh), (T.arcsinh, np.arcsinh), (T.expm1, np.expm1), (T.log2, np.log2),
        (lambda v: v ** v, lambda v: v ** v), (lambda v: 2 ** v, lambda v: 2 ** v),
        (lambda v: v ** 2.5, lambda v: v ** 2.5),
        (lambda v: v ** -2, lambda v: v ** -2.0), (lambda v: 1 / v, lambda v: 1 / v),
        (lambda v: T.clip(v, 0.4, 0.7), lambda v: np.clip(v, 0.4, 0.7)),
        (lambda v: T.switch(v > 0.5, v ** 2, -v), lambda v: np.where(v > 0.5, v ** 2, -v)),
        (lambda v: T.arctan2(v, 2.0), lambda v: np.arctan2(v, 2.0)),
        (lambda v: v % 0.25, lambda v: v % 0.25), (lambda v: T.maximum(v, 0.5), lambda v: np.maximum(v, 0.5)),
    ]
    costs = [T.sum(symbolic(x) * [1.0, -2.0, 0.5]) for symbolic, _ in cases]
    results = function([x], costs + [T.grad(c, x) for c in costs])(value)
    for k, (_, plain) in enumerate(cases):
        def weighted(v, plain=plain):
            return float((plain(v) * [1.0, -2.0, 0.5]).sum())
        np.testing.assert_allclose(results[k], weighted(value), rtol=1e-12, err_msg=str(k))
        np.testing.assert_allclose(results[len(cases) + k], gradient_by_differences(weighted, value), rtol=1e-6,
                                   atol=1e-8, err_msg=str(k))


def test_jacobian_and_hessian():
    x = T.dvector("x")
    A = np.arange(6.0).reshape(2, 3) / 3
    y = T.tanh(T.dot(A, x)) * x[0]
    value = np.array([0.3, -0.2, 0.5])

    def plain(v):
        return np.tanh(A @ v) * v[0]

    np.testing.assert_allclose(function([x], T.jacobian(y, x))(value), jacobian_by_differences(plain, value),
     atol=1e-8)
    cost = T.sum(y ** 2)
    gradient = function([x], T.grad(cost, x))
    np.testing.assert_allclose(function([x], T.hessian(cost, x))(value), jacobian_by_differences(gradient, value),
                               atol=1e-7)
    w = T.dvector("w")
    two = T.jacobian(w * T.sum(x ** 2), [w, x])
    got = function([w, x], two)([1.0, 2.0], value)
    np.testing.assert_allclose(got[0], np.eye(2) * (value ** 2).sum())
    np.testing.assert_allclose(got[1], np.outer([1.0, 2.0], 2 * value))


def test_newton_method_finds_the_minimum_of_rosenbrock():
    x = T.dvector("x")
    cost = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    step = function([x], x - T.slinalg.solve(T.hessian(cost, x), T.grad(cost, x)))
    alternative = function([x], x - T.dot(T.nlinalg.matrix_inverse(T.hessian(cost, x)), T.grad(cost, x)))
    point = np.array([-1.2, 1.0])
    for _ in range(8):
        np.testing.assert_allclose(step(point), alternative(point), rtol=1e-6)
        point = step(point)
    np.testing.assert_allclose(point, [1.0, 1.0], rtol=1e-10)


def test_newton_root_of_a_scalar_equation():
    x = T.dscalar("x")
    y = x ** 3 - 2 * x - 5
    step = function([x], x - y / T.grad(y, x))
    root = 2.0
    for _ in range(6):
        root = step(root)
    assert root == pytest.approx(np.roots([1, 0, -2, -5]).real.max(), rel=1e-12)


def test_products_with_the_jacobian():
    W, V, x = T.dmatrix("W"), T.dmatrix("V"), T.dvector("x")
    y = T.dot(x, W)
    f = function([W, V, x], T.Rop(y, W, V))
    np.testing.assert_allclose(f([[1, 1], [1, 1]], [[2, 2], [2, 2]], [0, 1]), [2.0, 2.0])
    v = T.dvector("v")
    np.testing.assert_allclose(function([v, x], T.Lop(y, W, v), on_unused_input="ignore")([2, 2], [0, 1]),
                               [[0, 0], [2, 2]])


def test_hessian_times_vector_in_both_ways():
    x, v = T.dvector("x"), T.dvector("v")
    y = T.sum(x ** 2 * T.sin(x)) + x[0] * x[1]
    gy = T.grad(y, x)
    both = function([x, v], [T.grad(T.sum(gy * v), x), T.Rop(gy, x, v)])
    point, direction = np.array([0.4, 1.2, -0.7]), np.array([1.0, -2.0, 0.5])
    gradient = function([x], gy)
    want = jacobian_by_differences(gradient, point) @ direction
    for got in both(point, direction):
        np.testing.assert_allclose(got, want, rtol=1e-7)


def test_directional_derivative_through_a_network_agrees_with_reverse_mode():
    rng = np.random.RandomState(0)
    W, U, data = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(5, 3))
    w, u, x = T.dmatrix("w"), T.dmatrix("u"), T.dmatrix("x")
    p = T.nnet.softmax(T.tanh(T.dot(x, w)))
    forward = function([w, u, x], T.Rop(p, w, u))(W, U, data)
    want = (softmax(np.tanh(data @ (W + 1e-6 * U))) - softmax(np.tanh(data @ (W - 1e-6 * U)))) / 2e-6
    np.testing.assert_allclose(forward, want, atol=1e-8)


def test_known_gradients_join_two_halves_of_a_chain():
    x = T.dvector("x")
    hidden = T.tanh(x)
    cost = T.sum(hidden ** 3)
    gh = T.grad(cost, hidden)
    whole = T.grad(cost, x)
    halves = T.grad(cost=None, wrt=x, known_grads={hidden: gh})
    value = np.array([0.2, -1.0, 2.0])
    first, second = function([x], [whole, halves])(value)
    np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(first, gradient_by_differences(lambda v: (np.tanh(v) ** 3).sum(), value), rtol=1e-7)


def test_constants_of_the_gradient():
    x, y = T.dscalars("x", "y")
    target = x * y
    cost = (x - target) ** 2
    f = function([x, y], [T.grad(cost, x), T.grad(cost, x, consider_constant=[target]),
                          T.grad((x - fuse.gradient.zero_grad(target)) ** 2, x),
                          T.grad((x - fuse.gradient.disconnected_grad(target)) ** 2, x),
                          T.grad((x - fuse.gradient.consider_constant(target)) ** 2, x)])
    whole, *parts = f(3.0, 0.5)
    assert whole == pytest.approx(2 * (3 - 1.5) * 0.5)
    assert parts == pytest.approx([2 * (3 - 1.5)] * 4)


def test_disconnected_inputs():
    x, y = T.dvector("x"), T.dvector("y")
    cost = T.sum(x ** 2)
    with pytest.raises(fuse.gradient.DisconnectedInputError, match="does not depend on y"):
        T.grad(cost, [x, y])
    gx, gy = T.grad(cost, [x, y], disconnected_inputs="ignore")
    got = function([x, y], [gx, gy])([1.0, 2.0], [3.0, 4.0, 5.0])
    assert got[0].tolist() == [2, 4] and got[1].tolist() == [0, 0, 0]
    with pytest.warns(UserWarning):
        T.grad(cost, y, disconnected_inputs="warn")
    assert T.grad(cost, [y], disconnected_inputs="ignore", return_disconnected="None") == [None]


def test_a_cost_has_to_be_a_scalar():
    x = T.dvector("x")
    with pytest.raises(TypeError, match="scalar cost"):
        T.grad(x ** 2, x)


def test_verify_grad_accepts_right_and_refuses_wrong_gradients():
    rng = np.random.RandomState(42)
    T.verify_grad(lambda a, b: T.tanh(T.dot(a, b)).sum(axis=0), [rng.normal(size=(2, 3)), rng.normal(size=(3, 2))],
                  rng=rng)
    fuse.gradient.verify_grad(T.nnet.softmax, [rng.normal(size=(3, 4))], rng=rng)

    def wrong(a):
        return T.sum(a ** 2 + fuse.gradient.disconnected_grad(a) ** 3)
    with pytest.raises(fuse.errors.GradientError):
        T.verify_grad(wrong, [rng.normal(size=3)], rng=rng)


def test_gradient_of_norms_and_distances():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    euclid = T.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2) + 1e-8)
    dots = T.sqrt(T.maximum((x ** 2).sum(1)[:, None] + (y ** 2).sum(1)[None, :] - 2 * T.dot(x, y.T), 0) + 1e-8)
    rng = np.random.RandomState(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))

    def plain(v):
        return np.sqrt(((v[:, None] - b[None]) ** 2).sum(2) + 1e-8)

    d1, d2, g1, g2 = function([x, y], [euclid, dots, T.grad(euclid.sum(), x), T.grad(dots.sum(), x)])(a, b)
    want = gradient_by_differences(lambda v: plain(v).sum(), a)
    for d, g in ((d1, g1), (d2, g2)):
        np.testing.assert_allclose(d, plain(a), rtol=1e-9)
        np.testing.assert_allclose(g, want, rtol=1e-6, atol=1e-9)
    norm = x.norm(2, axis=1)
    np.testing.assert_allclose(function([x], norm)(a), np.linalg.norm(a, axis=1))
    np.testing.assert_allclose(function([x], T.grad(norm.sum(), x))(a), a / np.linalg.norm(a, axis=1)[:, None])


def test_gradients_stay_finite_where_a_branch_is_not_taken():
    x = T.dvector("x")
    y = T.switch(x > 0, T.log(x), 0.0) + T.switch(T.eq(x, 0), 0.0, T.sin(x) / x)
    value, gradient = function([x], [y, T.grad(y.sum(), x)])([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(value, [np.sin(1.0), 0.0, np.log(2) + np.sin(2) / 2], rtol=1e-12)
    np.testing.assert_allclose(gradient, [-(np.cos(1) - np.sin(1)), 0.0, 0.5 + np.cos(2) / 2 - np.sin(2) / 4],
                               rtol=1e-12)


def test_softplus_and_log_sigmoid_do_not_overflow():
    x = T.dvector("x")
    cost = T.sum(T.log(1 + T.exp(x))) - T.sum(T.log(T.nnet.sigmoid(x)))
    value = np.array([-800.0, -1.0, 0.0, 1.0, 800.0])
    got, gradient = function([x], [cost, T.grad(cost, x)])(value)
    assert got == pytest.approx((np.logaddexp(0, value) + np.logaddexp(0, -value)).sum())
    np.testing.assert_allclose(gradient, 2 / (1 + np.exp(-np.clip(value, -700, 700))) - 1, atol=1e-15)


def test_gradient_of_sorted_cumulated_and_repeated_values():
    x = T.dvector("x")
    w = np.array([1.0, -2.0, 3.0, 0.5])
    value = np.array([0.3, -0.1, 0.9, 0.4])
    pairs = [
        (T.dot(T.sort(x), w), lambda v: np.sort(v) @ w),
        (T.dot(T.cumsum(x) ** 2, w), lambda v: np.cumsum(v) ** 2 @ w),
        (T.dot(T.cumprod(x), w), lambda v: np.cumprod(v) @ w),
        (T.sum(T.repeat(x, 2) * np.arange(8.0)), lambda v: (np.repeat(v, 2) * np.arange(8)).sum()),
        (T.sum(T.tile(x, 3) * np.arange(12.0) ** 2), lambda v: (np.tile(v, 3) * np.arange(12) ** 2).sum()),
        (T.sum(x[::-1] * w + x[::2].sum()), lambda v: (v[::-1] * w + v[::2].sum()).sum()),
        (T.prod(x) + T.max(x) - T.min(x), lambda v: v.prod() + v.max() - v.min()),
        (T.var(x) + T.std(x) + T.mean(x ** 3), lambda v: v.var() + v.std() + (v ** 3).mean()),
        (T.sum(T.outer(x, x) * np.arange(16.0).reshape(4, 4)), lambda v: v @ np.arange(16.0).reshape(4, 4) @ v),
        (T.sum(T.diag(x) ** 2) + T.nlinalg.trace(T.outer(x, x)), lambda v: 2 * (v ** 2).sum()),
        (T.sum(T.roll(x, 1) * x), lambda v: (np.roll(v, 1) * v).sum()),
        (T.sum(T.extra_ops.diff(x) ** 2), lambda v: (np.diff(v) ** 2).sum()),
        (T.concatenate([x, x ** 2])[2:6].sum(), lambda v: np.concatenate([v, v ** 2])[2:6].sum()),
        (T.stack([x, x ** 3]).T[1].sum(), lambda v: v[1] + v[1] ** 3),
        (T.sum(T.set_subtensor(x[1:3], 7 * x[:2]) ** 2),
         lambda v: (np.concatenate([v[:1], 7 * v[:2], v[3:]]) ** 2).sum()),
        (T.sum(T.inc_subtensor(x[T.constant([0, 0, 2])], x[1]) ** 2),
         lambda v: ((v + np.array([2, 0, 1, 0]) * v[1]) ** 2).sum()),
    ]
    results = function([x], [c for c, _ in pairs] + [T.grad(c, x) for c, _ in pairs])(value)
    for k, (_, plain) in enumerate(pairs):
        np.testing.assert_allclose(results[k], plain(value), rtol=1e-12, err_msg=str(k))
        np.testing.assert_allclose(results[len(pairs) + k], gradient_by_differences(plain, value), rtol=1e-6,
         atol=1e-8,
                                   err_msg=str(k))


def test_gradient_of_determinant_inverse_and_cholesky():
    x = T.dmatrix("x")
    rng = np.random.RandomState(0)
    root = rng.normal(size=(3, 3))
    value = root @ root.T + 3 * np.eye(3)
    w = rng.normal(size=(3, 3))
    pairs = [(T.log(T.nlinalg.det(x)), lambda v: np.linalg.slogdet(v)[1]),
             (T.sum(T.nlinalg.matrix_inverse(x) * w), lambda v: (np.linalg.inv(v) * w).sum()),
             (T.sum(T.slinalg.solve(x, w) ** 2), lambda v: (np.linalg.solve(v, w) ** 2).sum())]
    for symbolic, plain in pairs:
        got, gradient = function([x], [symbolic, T.grad(symbolic, x)])(value)
        assert got == pytest.approx(plain(value))
        np.testing.assert_allclose(gradient, gradient_by_differences(plain, value), rtol=1e-5, atol=1e-8)
    half_logdet = T.sum(T.log(T.diag(T.slinalg.cholesky(x))))
    gradient = function([x], T.grad(half_logdet, x))(value)
    np.testing.assert_allclose((gradient + gradient.T) / 2, np.linalg.inv(value) / 2, rtol=1e-9)


def test_gaussian_process_marginal_likelihood():
    rng = np.random.RandomState(3)
    points, targets = np.sort(rng.uniform(0, 5, 8)), rng.normal(size=8)
    X, y = T.dvector("X"), T.dvector("y")
    log_length, log_noise = T.dscalars("log_length", "log_noise")
    K = T.exp(-0.5 * (X.dimshuffle(0, "x") - X.dimshuffle("x", 0)) ** 2 / T.exp(2 * log_length))
    K = K + T.exp(2 * log_noise) * T.identity_like(K)
    nll = 0.5 * T.dot(y, T.dot(T.nlinalg.matrix_inverse(K), y)) + 0.5 * T.log(T.nlinalg.det(K))
    f = function([X, y, log_length, log_noise], [nll, *T.grad(nll, [log_length, log_noise])])

    def plain(t):
        k = np.exp(-0.5 * (points[:, None] - points) ** 2 / np.exp(2 * t[0])) + np.exp(2 * t[1]) * np.eye(8)
        return 0.5 * targets @ np.linalg.solve(k, targets) + 0.5 * np.linalg.slogdet(k)[1]

    value, *gradient = f(points, targets, 0.1, -0.5)
    assert value == pytest.approx(plain([0.1, -0.5]))
    np.testing.assert_allclose(gradient, gradient_by_differences(plain, np.array([0.1, -0.5])), rtol=1e-6)


def test_physics_by_differentiating_the_lagrangian():
    """The forces of a pendulum, and energy that leapfrog steps nearly keep."""
    q, p = shared(1.0, "q"), shared(0.0, "p")
    h = 0.5 * p ** 2 - T.cos(q)
    dt = T.dscalar("dt")
    half = p - 0.5 * dt * T.grad(h, q)
    moved = q + dt * half
    after = half - 0.5 * dt * fuse.clone(T.grad(h, q), replace={q: moved})
    step = function([dt], h, updates=[(q, moved), (p, after)])
    a, b = 1.0, 0.0
    for _ in range(20):
        step(0.05)
        b -= 0.025 * np.sin(a)
        a += 0.05 * b
        b -= 0.025 * np.sin(a)
    assert q.get_value() == pytest.approx(a, rel=1e-12) and p.get_value() == pytest.approx(b, rel=1e-12)
    assert step(0.0) == pytest.approx(-np.cos(1.0), abs=1e-3)


def test_a_class_op_with_a_gradient_takes_part_in_the_chain():
    class Cube(fuse.Op):
        __props__ = ()
        itypes, otypes = [T.dvector], [T.dvector]

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = inputs[0] ** 3

        def grad(self, inputs, output_grads):
            return [3 * inputs[0] ** 2 * output_grads[0]]

        def infer_shape(self, node, shapes):
            return shapes

    x = T.dvector("x")
    y = T.sum(T.exp(Cube()(x)))
    value = np.array([0.5, -0.2])
    np.testing.assert_allclose(function([x], T.grad(y, x))(value), 3 * value ** 2 * np.exp(value ** 3))
    T.verify_grad(Cube(), [value], rng=np.random.RandomState(1))


def test_as_op_wraps_a_numpy_function_without_a_gradient():
    from fuse.compile.ops import as_op

    def infer_shape_numpy_dot(node, input_shapes):
        ashp, bshp = input_shapes
        return [ashp[:-1] + bshp[-1:]]

    @as_op(itypes=[T.dmatrix, T.dmatrix], otypes=[T.dmatrix], infer_shape=infer_shape_numpy_dot)
    def numpy_dot(a, b):
        return np.dot(a, b)

    a, b = T.dmatrix("a"), T.dmatrix("b")
    f = function([a, b], numpy_dot(a, b) * 2)
    np.testing.assert_allclose(f(np.eye(2) * 3, [[1.0, 2.0], [3.0, 4.0]]), [[6, 12], [18, 24]])
    with pytest.raises((NotImplementedError, TypeError, AttributeError)) as caught:
        T.grad(numpy_dot(a, b).sum(), a)
    assert "numpy_dot" in str(caught.value)
