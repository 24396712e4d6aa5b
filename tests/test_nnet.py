"""Softmax, cross-entropies and their gradients: SciPy as oracle, extreme scores, mpmath's digits, NumPy's formulas."""
from __future__ import annotations

from functools import partial

import mpmath
import numpy as np
import pytest
import scipy.special as special
from op_checks import check_gradient, check_value

import fuse
import fuse.tensor as T
from fuse.errors import FuseIndexError, FuseTypeError, ShapeError
from fuse.expr import toposort
from fuse.reference import evaluate
from fuse.tensor.signal.pool import pool_2d

nnet = T.nnet
RNG = np.random.default_rng(11)
SCORES = RNG.normal(size=(3, 4)) * 3
EXTREME = np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -1001.0], [1e308, 1e308, 0.0], [0.0, -np.inf, 5.0]])


# ---------------------------------------------------------------- softmax, log_softmax
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("axis", [0, -1, None])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_is_scipys(shape, axis, name):
    a = RNG.normal(size=shape) * 5
    ours, scipys = getattr(nnet, name), getattr(special, name)
    for static in (shape, (None,) * len(shape)):
        x = T.tensor("float64", shape=static)
        check_value(ours(x, axis=axis), scipys(a, axis=axis), {x: a})
        check_gradient(lambda x: ours(x, axis=axis) ** 2, [x], [a])
    check_value(getattr(T.special, name)(x), scipys(a), {x: a})


def test_softmax_without_an_axis_is_theanos():
    """Of a vector it makes a matrix of one row (measured on Theano 1.0.5); functions that are traced are NumPy's."""
    v, m, a = T.dvector("v"), T.dmatrix("m"), np.array([1.0, 3.0, 2.0])
    for ours, scipys in ((nnet.softmax, special.softmax), (nnet.logsoftmax, special.log_softmax)):
        assert ours(v).broadcastable == (True, False)
        check_value(ours(v), scipys(a)[None], {v: a})
        check_value(ours(m), scipys(SCORES, axis=1), {m: SCORES})
        np.testing.assert_allclose(fuse.jit(lambda x, ours=ours: ours(x) * 2)(a), 2 * scipys(a), rtol=1e-14)
        np.testing.assert_allclose(T.grad(ours(v)[0, 1], v).eval({v: a}), fuse.grad(lambda x, f=ours: f(x)[1])(a))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_extreme_scores(name):
    x = T.dmatrix("x")
    ours, scipys = getattr(nnet, name), getattr(special, name)
    with np.errstate(all="ignore"):
        check_value(ours(x), scipys(EXTREME, axis=1), {x: EXTREME})


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_crossentropy"])
def test_definition_has_the_value_of_the_reference(name):
    """What the code generator expands the op to, evaluated by the interpreter."""
    x, y = T.dmatrix("x"), T.lvector("y")
    out = nnet.softmax_crossentropy(x, y) if name == "softmax_crossentropy" else getattr(nnet, name)(x)
    defined = out.op.define(*out.args, **out.params)
    for a in (SCORES, EXTREME):
        values = {x: a, y: np.array([0, 2, -1, 2][: len(a)])}
        with np.errstate(all="ignore"):
            want, got = evaluate([out, defined], values)
        np.testing.assert_allclose(got, want, rtol=1e-14)
    assert defined.type == out.type


def test_softmax_dtypes():
    assert nnet.softmax(T.fmatrix()).type.dtype == "float32"
    assert nnet.softmax(T.bmatrix()).type.dtype == "float32"
    assert nnet.softmax(T.lmatrix()).type.dtype == "float64"
    with pytest.raises(FuseTypeError, match="takes floats"):
        nnet.softmax(T.zmatrix())
    with pytest.raises(ShapeError, match="scalar"):
        nnet.softmax(T.dscalar())


def test_forward_and_second_derivatives_of_softmax():
    x, v = T.dmatrices("x", "v")
    along = RNG.normal(size=SCORES.shape)
    for ours in (nnet.softmax, nnet.log_softmax):
        step = 1e-6
        moved = [evaluate([ours(x)], {x: SCORES + s * along})[0] for s in (step, -step)]
        got, = evaluate([fuse.Rop(ours(x), x, v)], {x: SCORES, v: along})
        np.testing.assert_allclose(got, (moved[0] - moved[1]) / (2 * step), atol=1e-8)
        check_gradient(lambda x, ours=ours: fuse.grad((ours(x) ** 3).sum(), x), [x], [SCORES], tol=1e-5)


# ---------------------------------------------------------------- categorical cross-entropy
P = special.softmax(SCORES / 4, axis=1)
LABELS = np.array([3, 0, 1])
TRUE = special.softmax(RNG.normal(size=(3, 4)), axis=1)


def test_categorical_crossentropy_of_all_ranks():
    p, t, y = T.dmatrix("p"), T.dmatrix("t"), T.ivector("y")
    loss = nnet.categorical_crossentropy
    check_value(loss(p, t), -(TRUE * np.log(P)).sum(1), {p: P, t: TRUE})
    check_value(loss(p, y), -np.log(P[np.arange(3), LABELS]), {p: P, y: LABELS.astype("int32")})
    u, v, k = T.dvector("u"), T.dvector("v"), T.lscalar("k")
    check_value(loss(u, v), -(TRUE[0] * np.log(P[0])).sum(), {u: P[0], v: TRUE[0]})
    check_value(loss(u, k), -np.log(P[0, 2]), {u: P[0], k: np.int64(2)})
    cube, labels = T.dtensor3("cube"), T.lmatrix("labels")
    batch, picked = np.stack([P, TRUE]), np.array([[0, 1, 2], [3, -1, 0]])
    want = -np.log(np.take_along_axis(batch, picked[..., None] % 4, -1)[..., 0])
    check_value(loss(cube, labels), want, {cube: batch, labels: picked})
    check_gradient(loss, [p, t], [P, TRUE])
    check_gradient(lambda p: loss(p, LABELS), [p], [P])
    check_gradient(lambda c: loss(c, picked), [cube], [batch])


def test_a_certain_prediction_costs_nothing_where_it_is_right():
    p, t = T.dmatrix("p"), T.dmatrix("t")
    one_hot = np.array([[0.0, 1.0], [1.0, 0.0]])
    got = evaluate([nnet.categorical_crossentropy(p, t), fuse.grad(nnet.categorical_crossentropy(p, t).sum(), p)],
                   {p: one_hot, t: one_hot})
    np.testing.assert_array_equal(got[0], [0.0, 0.0])
    np.testing.assert_array_equal(got[1], -one_hot)


@pytest.mark.parametrize("kind", ["labels", "distributions", "crossentropy_softmax_1hot", "with bias"])
def test_crossentropy_of_softmax_is_stable_and_so_is_its_gradient(kind):
    """Against mpmath at scores where the softmax underflows or the logarithm cancels."""
    scores = np.array([[0.0, 1000.0, -5.0], [40.0, 0.0, 1.0], [0.1, 0.2, -1e4], [3.0, 3.0, 3.0]])
    labels = np.array([0, 0, 2, 1])
    x, y = T.dmatrix("x"), T.lvector("y")
    losses = {
        "labels": lambda: nnet.categorical_crossentropy(nnet.softmax(x), y),
        "distributions": lambda: nnet.categorical_crossentropy(nnet.softmax(x), nnet.to_one_hot(y, 3)),
        "crossentropy_softmax_1hot": lambda: nnet.crossentropy_softmax_1hot(x, y)[0],
        "with bias": lambda: nnet.crossentropy_softmax_1hot_with_bias(x, np.zeros(3), y)[0],
    }
    loss = losses[kind]()
    value, slope = evaluate([loss, fuse.grad(loss.sum(), x)], {x: scores, y: labels})
    with mpmath.workdps(600):
        for i, row in enumerate(scores):
            e = [mpmath.e ** mpmath.mpf(s) for s in row]
            want = -mpmath.log(e[labels[i]] / sum(e))
            assert abs(value[i] - want) <= 4e-16 * max(abs(want), 1)
            for j in range(3):
                want = e[j] / sum(e) - (j == labels[i])
                assert abs(slope[i, j] - want) <= 4e-16


def test_masked_classes_have_no_influence():
    """A score of -inf excludes a class; a true probability of 0 there costs nothing."""
    x, t = T.dmatrix("x"), T.dmatrix("t")
    scores, true = np.array([[1.0, -np.inf, 2.0]]), np.array([[0.25, 0.0, 0.75]])
    loss = nnet.categorical_crossentropy(nnet.softmax(x), t)
    value, slope = evaluate([loss, fuse.grad(loss.sum(), x)], {x: scores, t: true})
    p = special.softmax(scores[0, [0, 2]])
    np.testing.assert_allclose(value, -(true[0, [0, 2]] * np.log(p)).sum())
    np.testing.assert_allclose(slope, [[p[0] - 0.25, 0.0, p[1] - 0.75]], atol=1e-15)


def test_crossentropy_second_derivative_and_forward_mode():
    x, v = T.dmatrices("x", "v")
    loss = nnet.categorical_crossentropy(nnet.softmax(x), LABELS)
    check_gradient(lambda x: fuse.grad(nnet.softmax_crossentropy(x, LABELS).sum(), x), [x], [SCORES])
    along = RNG.normal(size=SCORES.shape)
    moved = [evaluate([loss], {x: SCORES + s * along})[0] for s in (1e-6, -1e-6)]
    got, = evaluate([fuse.Rop(loss, x, v)], {x: SCORES, v: along})
    np.testing.assert_allclose(got, (moved[0] - moved[1]) / 2e-6, atol=1e-8)


def test_crossentropy_tuples_of_theano():
    x, b, y = T.dmatrix("x"), T.dvector("b"), T.lvector("y")
    bias = np.array([0.5, -1.0, 2.0, 0.0])
    scores = SCORES + bias
    p = special.softmax(scores, axis=1)
    loss = -np.log(p[np.arange(3), LABELS])
    values = {x: SCORES, b: bias, y: LABELS}
    for found, want in [
        (nnet.crossentropy_softmax_1hot_with_bias(x, b, y), (loss, p)),
        (nnet.crossentropy_softmax_argmax_1hot_with_bias(x, b, y), (loss, p, scores.argmax(1))),
        (nnet.crossentropy_softmax_max_and_argmax_1hot_with_bias(x, b, y), (loss, p, p.max(1), scores.argmax(1))),
        ((nnet.softmax_with_bias(x, b),), (p,)),
    ]:
        for got, expected in zip(found, want, strict=True):
            check_value(got, expected, values)


def test_labels_that_are_no_labels():
    x, y = T.dmatrix("x"), T.lvector("y")
    with pytest.raises(FuseTypeError, match=r"labels are integers, not a float64 vector: cast them with .astype"):
        nnet.categorical_crossentropy(x, T.dvector())
    with pytest.raises(ShapeError, match="same rank or labels of rank 1"):
        nnet.categorical_crossentropy(x, T.dtensor3())
    with pytest.raises(ShapeError, match=r"labels of shape \(2,\) for predictions of shape \(3, 4\)"):
        nnet.categorical_crossentropy(T.tensor("float64", shape=(3, 4)), np.array([0, 1]))
    for loss in (nnet.categorical_crossentropy(x, y), nnet.categorical_crossentropy(nnet.softmax(x), y)):
        defined = loss if loss.op.kind != "composite" else loss.op.define(*loss.args)
        for bad in ([0, 1, 4], [0, -5, 1]):
            with pytest.raises(FuseIndexError):
                evaluate([defined], {x: P, y: np.array(bad)})


# ---------------------------------------------------------------- binary cross-entropy
def test_binary_crossentropy():
    p, t = T.dvector("p"), T.dvector("t")
    at, true = np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.3, 1.0])
    want = -(true * np.log(at) + (1 - true) * np.log(1 - at))
    check_value(nnet.binary_crossentropy(p, t), want, {p: at, t: true})
    check_gradient(nnet.binary_crossentropy, [p, t], [at, true[[1, 1, 1]]])
    sure = np.array([0.0, 1.0])
    value, slope = evaluate(
        [nnet.binary_crossentropy(p, t), fuse.grad(nnet.binary_crossentropy(p, t).sum(), p)], {p: sure, t: sure}
    )
    np.testing.assert_array_equal(value, [0, 0])
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("spelled", ["binary_crossentropy(sigmoid(x), t)", "sigmoid_binary_crossentropy(x, t)"])
def test_binary_crossentropy_of_a_sigmoid_is_stable(spelled):
    x, t = T.dvector("x"), T.dvector("t")
    at = np.array([-1000.0, 1000.0, 40.0, -40.0, 0.0, 0.3, 1000.0])
    true = np.array([1.0, 0.0, 1.0, 0.0, 0.5, 0.7, 1.0])
    two_steps = spelled.startswith("binary")
    out = nnet.binary_crossentropy(nnet.sigmoid(x), t) if two_steps else nnet.sigmoid_binary_crossentropy(x, t)
    value, slope = evaluate([out, fuse.grad(out.sum(), x)], {x: at, t: true})
    with mpmath.workdps(900):
        for i in range(len(at)):
            p = 1 / (1 + mpmath.e ** -mpmath.mpf(at[i]))
            want = -sum(w * mpmath.log(q) for w, q in ((true[i], p), (1 - true[i], 1 - p)) if w)
            assert abs(value[i] - want) <= 4e-16 * abs(want) + 1e-300, at[i]
            assert abs(slope[i] - (p - true[i])) <= 2e-16
    check_gradient(lambda x, t: nnet.sigmoid_binary_crossentropy(x, t), [x, t], [at[4:6], true[4:6]])


# ---------------------------------------------------------------- labels
def test_to_one_hot_and_confusion_matrix():
    y = T.lvector("y")
    check_value(nnet.to_one_hot(y, 4), np.eye(4)[LABELS], {y: LABELS}, dtype="float64")
    check_value(nnet.to_one_hot(y, 4, dtype="int32"), np.eye(4)[LABELS], {y: LABELS}, dtype="int32")
    check_value(nnet.to_one_hot(T.constant(2), 3), [0.0, 0.0, 1.0], {})
    with pytest.raises(FuseIndexError):
        evaluate([nnet.to_one_hot(y, 3)], {y: LABELS})
    a, p = T.lvector("a"), T.lvector("p")
    matrix, order = nnet.confusion_matrix(a, p)
    actual, predicted = np.array([1, 5, 5, 7, 1]), np.array([1, 5, 7, 7, 5])
    values = {a: actual, p: predicted}
    check_value(order, [1, 5, 7], values)
    check_value(matrix, [[1, 1, 0], [0, 1, 1], [0, 0, 1]], values)


# ---------------------------------------------------------------- the loss of a network, compiled
@pytest.mark.parametrize("labels", [True, False])
def test_training_cost_of_a_network_compiled(labels):
    X, y, t = T.dmatrix("X"), T.lvector("y"), T.dmatrix("t")
    W, b = fuse.shared(RNG.normal(size=(5, 4)), "W"), fuse.shared(RNG.normal(size=4), "b")
    cost = nnet.categorical_crossentropy(nnet.softmax(T.dot(X, W) + b), y if labels else t).mean()
    outputs = [cost, *fuse.grad(cost, [W, b])]
    data = RNG.normal(size=(3, 5))
    true = np.eye(4)[LABELS]
    f = fuse.function([X, y if labels else t], outputs)
    p = special.softmax(data @ W.get_value() + b.get_value(), axis=1)
    delta = (p - true) / 3
    want = [-np.log(p[np.arange(3), LABELS]).mean(), data.T @ delta, delta.sum(0)]
    for got, expected in zip(f(data, LABELS if labels else true), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    if labels:
        with pytest.raises(FuseIndexError):
            f(data, np.array([0, 1, 4]))


def test_crossentropy_of_softmax_is_recognised_while_it_is_written():
    x, y = T.dmatrix("x"), T.lvector("y")
    names = {n.op.name for n in toposort([nnet.categorical_crossentropy(nnet.softmax(x), y)])}
    assert "softmax_crossentropy" in names and "softmax" not in names


@pytest.mark.parametrize(("mode", "border"), [("max", True), ("sum", False), ("average_exc_pad", False)])
def test_pooling_over_windows_that_a_call_gives(mode, border):
    x, ws, stride = T.tensor3("x"), T.lvector("ws"), T.lvector("stride")
    pooled = partial(pool_2d, x, mode=mode, ignore_border=border)
    out = pooled(ws=ws, stride=stride)
    f = fuse.function([x, ws, stride], [out, T.grad((out**2).sum(), x)], mode="FAST_COMPILE")
    image = np.arange(60.0).reshape(2, 5, 6) % 7
    for w, s in (((2, 3), (1, 2)), ((2, 2), (3, 2)), ((6, 2), (1, 1))):
        known = pooled(ws=w, stride=s)
        want = fuse.function([x], [known, T.grad((known**2).sum(), x)], mode="FAST_COMPILE")(image)
        for a, b in zip(f(image, list(w), list(s)), want, strict=True):
            np.testing.assert_allclose(a, b)
    assert f(image[:, :0], [2, 2], [3, 2])[0].shape == (2, 0, 3)


def test_pooling_with_a_padding_that_a_call_gives():
    x, pad = T.tensor3("x"), T.lvector("pad")
    modes = ("max", "average_inc_pad", "average_exc_pad")
    out = [pool_2d(x, (3, 2), True, pad=pad, mode=mode) for mode in modes]
    f = fuse.function([x, pad], [*out, T.grad(sum((o**2).sum() for o in out), x)], mode="FAST_COMPILE")
    image = np.arange(60.0).reshape(2, 5, 6) % 7
    known = [pool_2d(x, (3, 2), True, pad=(2, 1), mode=mode) for mode in modes]
    want = fuse.function([x], [*known, T.grad(sum((o**2).sum() for o in known), x)], mode="FAST_COMPILE")(image)
    for a, b in zip(f(image, [2, 1]), want, strict=True):
        np.testing.assert_allclose(a, b)
    with pytest.raises(ValueError, match="smaller than the windows"):
        f(image, [1, 2])
    cut = pool_2d(x, (3, 2), False, pad=pad)
    f = fuse.function([x, pad], cut, mode="FAST_COMPILE")
    np.testing.assert_array_equal(f(image, [0, 0]), pool_2d(x, (3, 2), False).eval({x: image}))
    with pytest.raises(ValueError, match="ignore_border=True only"):
        f(image, [1, 0])
