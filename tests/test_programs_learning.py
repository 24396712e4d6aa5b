"""Programs of machine-learning tutorials, as their authors write them; each is trained a second time in plain NumPy."""
# ruff: noqa: B905, E741, RUF005
# Programs as their authors write them.
from __future__ import annotations

import copy
import pickle
import timeit
from collections import OrderedDict

import numpy
import numpy as np
import pytest
from numeric_oracles import gradient_by_differences, logistic, one_hot, softmax

import fuse
import fuse.tensor as T
from fuse import config, function, shared
from fuse.sandbox.rng_mrg import MRG_RandomStreams
from fuse.tensor.shared_randomstreams import RandomStreams


def blobs(n=60, features=4, classes=3, seed=0):
    rng = np.random.RandomState(seed)
    y = rng.randint(0, classes, size=n)
    centers = rng.normal(size=(classes, features)) * 2
    return centers[y] + rng.normal(size=(n, features)), y.astype("int32")


# Softmax regression the way the deep-learning tutorials write it: data in shared variables, minibatches by givens.
class LogisticRegression:
    def __init__(self, input, n_in, n_out):
        self.W = fuse.shared(value=numpy.zeros((n_in, n_out), dtype=fuse.config.floatX), name="W", borrow=True)
        self.b = fuse.shared(value=numpy.zeros((n_out,), dtype=fuse.config.floatX), name="b", borrow=True)
        self.p_y_given_x = T.nnet.softmax(T.dot(input, self.W) + self.b)
        self.y_pred = T.argmax(self.p_y_given_x, axis=1)
        self.params = [self.W, self.b]
        self.input = input

    def negative_log_likelihood(self, y):
        return -T.mean(T.log(self.p_y_given_x)[T.arange(y.shape[0]), y])

    def errors(self, y):
        if y.ndim != self.y_pred.ndim:
            raise TypeError("y should have the same shape as self.y_pred", ("y", y.type, "y_pred", self.y_pred.type))
        if y.dtype.startswith("int"):
            return T.mean(T.neq(self.y_pred, y))
        raise NotImplementedError


def shared_dataset(x, y, borrow=True):
    shared_x = fuse.shared(numpy.asarray(x, dtype=fuse.config.floatX), borrow=borrow)
    shared_y = fuse.shared(numpy.asarray(y, dtype=fuse.config.floatX), borrow=borrow)
    return shared_x, T.cast(shared_y, "int32")


def test_softmax_regression_with_givens_and_early_stopping():
    data, labels = blobs(90)
    train_x, train_y = shared_dataset(data[:60], labels[:60])
    valid_x, valid_y = shared_dataset(data[60:], labels[60:])
    batch_size = 20
    n_train_batches = train_x.get_value(borrow=True).shape[0] // batch_size

    index = T.lscalar()
    x = T.matrix("x")
    y = T.ivector("y")
    classifier = LogisticRegression(input=x, n_in=4, n_out=3)
    cost = classifier.negative_log_likelihood(y)
    validate_model = fuse.function(
        inputs=[index], outputs=classifier.errors(y),
        givens={x: valid_x[index * 10: (index + 1) * 10], y: valid_y[index * 10: (index + 1) * 10]})
    g_W = T.grad(cost=cost, wrt=classifier.W)
    g_b = T.grad(cost=cost, wrt=classifier.b)
    updates = [(classifier.W, classifier.W - 0.13 * g_W), (classifier.b, classifier.b - 0.13 * g_b)]
    train_model = fuse.function(
        inputs=[index], outputs=cost, updates=updates,
        givens={x: train_x[index * batch_size: (index + 1) * batch_size],
                y: train_y[index * batch_size: (index + 1) * batch_size]})

    start_time = timeit.default_timer()
    patience, best, epoch, done = 40, np.inf, 0, False
    costs, W, b, want = [], np.zeros((4, 3)), np.zeros(3), []
    while epoch < 10 and not done:
        epoch += 1
        for minibatch_index in range(n_train_batches):
            costs.append(train_model(minibatch_index))
            rows = slice(minibatch_index * 20, minibatch_index * 20 + 20)
            p = softmax(data[:60][rows] @ W + b)
            target = one_hot(labels[:60][rows], 3)
            want.append(-np.log((p * target).sum(1)).mean())
            W, b = W - 0.13 * data[:60][rows].T @ (p - target) / 20, b - 0.13 * (p - target).mean(0)
            iteration = (epoch - 1) * n_train_batches + minibatch_index
            this = numpy.mean([validate_model(i) for i in range(3)])
            wrong = (data[60:] @ W + b).argmax(1) != labels[60:]
            assert this == pytest.approx(wrong.mean())
            if this < best:
                best, patience = this, max(patience, iteration * 2)
            done = patience <= iteration
    assert timeit.default_timer() > start_time
    np.testing.assert_allclose(costs, want, rtol=1e-10)
    np.testing.assert_allclose(classifier.W.get_value(), W, rtol=1e-9, atol=1e-12)

    # "saving the best model", then predicting with it
    restored = pickle.loads(pickle.dumps(classifier, protocol=pickle.HIGHEST_PROTOCOL))
    predict = fuse.function(inputs=[restored.input], outputs=restored.y_pred)
    np.testing.assert_array_equal(predict(data[60:70]), (data[60:70] @ W + b).argmax(1))


def test_binary_logistic_regression_of_the_tutorial():
    rng = numpy.random.RandomState(7)
    N, feats = 40, 6
    D = (rng.randn(N, feats), rng.randint(size=N, low=0, high=2))
    x = T.dmatrix("x")
    y = T.dvector("y")
    w0 = rng.randn(feats)
    w = fuse.shared(w0.copy(), name="w")
    b = fuse.shared(0., name="b")
    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
    prediction = p_1 > 0.5
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
    cost = xent.mean() + 0.01 * (w ** 2).sum()
    gw, gb = T.grad(cost, [w, b])
    train = fuse.function(inputs=[x, y], outputs=[prediction, xent],
                          updates=((w, w - 0.1 * gw), (b, b - 0.1 * gb)))
    predict = fuse.function(inputs=[x], outputs=prediction)
    W, B = w0.copy(), 0.0
    for _ in range(30):
        pred, err = train(D[0], D[1])
        p = logistic(D[0] @ W + B)
        np.testing.assert_array_equal(pred, p > 0.5)
        np.testing.assert_allclose(err, -D[1] * np.log(p) - (1 - D[1]) * np.log(1 - p), rtol=1e-9)
        W, B = W - 0.1 * (D[0].T @ (p - D[1]) / N + 0.02 * W), B - 0.1 * (p - D[1]).mean()
    np.testing.assert_allclose(w.get_value(), W, rtol=1e-9)
    assert b.get_value() == pytest.approx(B, rel=1e-9)
    assert pred.dtype == bool and predict(D[0]).tolist() == (logistic(D[0] @ W + B) > 0.5).tolist()


class HiddenLayer:
    def __init__(self, rng, input, n_in, n_out, W=None, b=None, activation=T.tanh):
        self.input = input
        if W is None:
            W_values = numpy.asarray(
                rng.uniform(low=-numpy.sqrt(6. / (n_in + n_out)), high=numpy.sqrt(6. / (n_in + n_out)),
                            size=(n_in, n_out)), dtype=fuse.config.floatX)
            if activation == fuse.tensor.nnet.sigmoid:
                W_values *= 4
            W = fuse.shared(value=W_values, name="W", borrow=True)
        if b is None:
            b = fuse.shared(value=numpy.zeros((n_out,), dtype=fuse.config.floatX), name="b", borrow=True)
        self.W, self.b = W, b
        lin_output = T.dot(input, self.W) + self.b
        self.output = lin_output if activation is None else activation(lin_output)
        self.params = [self.W, self.b]


@pytest.mark.parametrize("activation, plain", [
    (T.tanh, np.tanh), (T.nnet.sigmoid, logistic), (T.nnet.relu, lambda a: np.maximum(a, 0)),
    (lambda a: T.maximum(0, a), lambda a: np.maximum(a, 0)), (lambda a: a * (a > 0), lambda a: a * (a > 0)),
    (lambda a: T.switch(a > 0, a, 0.1 * a), lambda a: np.where(a > 0, a, 0.1 * a)),
    (T.nnet.softplus, lambda a: np.log1p(np.exp(a))), (None, lambda a: a)],
    ids=["tanh", "sigmoid", "relu", "maximum", "mask", "leaky", "softplus", "linear"])
def test_multilayer_perceptron_with_both_penalties(activation, plain):
    data, labels = blobs(30, seed=3)
    rng = numpy.random.RandomState(1234)
    x, y = T.matrix("x"), T.ivector("y")
    hidden = HiddenLayer(rng, x, 4, 5, activation=activation)
    top = LogisticRegression(hidden.output, 5, 3)
    top.W.set_value(np.asarray(rng.normal(size=(5, 3)), config.floatX))
    L1 = abs(hidden.W).sum() + abs(top.W).sum()
    L2_sqr = (hidden.W ** 2).sum() + (top.W ** 2).sum()
    cost = top.negative_log_likelihood(y) + 0.001 * L1 + 0.0001 * L2_sqr
    params = hidden.params + top.params
    start = [p.get_value() for p in params]
    gparams = [T.grad(cost, param) for param in params]
    updates = [(param, param - 0.01 * gparam) for param, gparam in zip(params, gparams)]
    train = fuse.function([x, y], cost, updates=updates)

    def loss(values):
        W1, b1, W2, b2 = values
        p = softmax(plain(data @ W1 + b1) @ W2 + b2)
        return (-np.log(p[np.arange(30), labels]).mean() + 0.001 * (abs(W1).sum() + abs(W2).sum())
                + 0.0001 * ((W1 ** 2).sum() + (W2 ** 2).sum()))

    assert train(data, labels) == pytest.approx(loss(start), rel=1e-10)
    for k, parameter in enumerate(params):
        want = gradient_by_differences(lambda v, k=k: loss(start[:k] + [v] + start[k + 1:]), start[k])
        np.testing.assert_allclose((start[k] - parameter.get_value()) / 0.01, want, rtol=2e-5, atol=1e-7)


# The update rules as they stand in every collection of optimisers.
def sgd(cost, params, learning_rate):
    return OrderedDict((p, p - learning_rate * g) for p, g in zip(params, T.grad(cost, params)))


def momentum(cost, params, learning_rate, mu=0.9):
    updates = OrderedDict()
    for p, g in zip(params, T.grad(cost, params)):
        velocity = fuse.shared(p.get_value() * 0., broadcastable=p.broadcastable)
        updates[velocity] = mu * velocity - learning_rate * g
        updates[p] = p + updates[velocity]
    return updates


def nesterov(cost, params, learning_rate, mu=0.9):
    updates = sgd(cost, params, learning_rate)
    for p in params:
        value = p.get_value(borrow=True)
        velocity = fuse.shared(np.zeros(value.shape, dtype=value.dtype), broadcastable=p.broadcastable)
        x = mu * velocity + updates[p] - p
        updates[velocity] = x
        updates[p] = mu * x + updates[p]
    return updates


def adagrad(cost, params, learning_rate, epsilon=1e-6):
    updates = OrderedDict()
    for p, g in zip(params, T.grad(cost, params)):
        value = p.get_value(borrow=True)
        accu = fuse.shared(np.zeros(value.shape, dtype=value.dtype), broadcastable=p.broadcastable)
        accu_new = accu + g ** 2
        updates[accu] = accu_new
        updates[p] = p - (learning_rate * g / T.sqrt(accu_new + epsilon))
    return updates


def rmsprop(cost, params, learning_rate, rho=0.9, epsilon=1e-6):
    updates = []
    one = T.constant(1)
    for p, g in zip(params, T.grad(cost=cost, wrt=params)):
        acc = fuse.shared(p.get_value() * 0.)
        acc_new = rho * acc + (one - rho) * T.sqr(g)
        updates.append((acc, acc_new))
        updates.append((p, p - learning_rate * g / T.sqrt(acc_new + epsilon)))
    return updates


def adadelta(cost, params, learning_rate, rho=0.95, epsilon=1e-6):
    updates = OrderedDict()
    for p, g in zip(params, fuse.grad(cost, params)):
        accu, delta = (fuse.shared(np.zeros_like(p.get_value())) for _ in range(2))
        accu_new = rho * accu + (1 - rho) * T.sqr(g)
        step = g * T.sqrt(delta + epsilon) / T.sqrt(accu_new + epsilon)
        updates[accu] = accu_new
        updates[p] = p - learning_rate * step
        updates[delta] = rho * delta + (1 - rho) * T.sqr(step)
    return updates


def adam(cost, params, learning_rate, b1=0.9, b2=0.999, epsilon=1e-8):
    updates = OrderedDict()
    t_prev = fuse.shared(np.asarray(0., dtype=fuse.config.floatX))
    t = t_prev + 1
    a_t = learning_rate * T.sqrt(1 - b2 ** t) / (1 - b1 ** t)
    for p, g in zip(params, T.grad(cost, params)):
        m_prev, v_prev = fuse.shared(p.get_value() * 0.), fuse.shared(p.get_value() * 0.)
        m_t = b1 * m_prev + (1 - b1) * g
        v_t = b2 * v_prev + (1 - b2) * g ** 2
        updates[m_prev], updates[v_prev] = m_t, v_t
        updates[p] = p - a_t * m_t / (T.sqrt(v_t) + epsilon)
    updates[t_prev] = t
    return updates


def plain_steps(rule, w, gradient, rate, steps):
    """The same rules in NumPy; returns w after each step."""
    a, d, m = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for k in range(1, steps + 1):
        g = gradient(w)
        if rule == "sgd":
            w = w - rate * g
        elif rule == "momentum":
            m = 0.9 * m - rate * g
            w = w + m
        elif rule == "nesterov":
            m = 0.9 * m - rate * g
            w = w + 0.9 * m - rate * g
        elif rule == "adagrad":
            a = a + g * g
            w = w - rate * g / np.sqrt(a + 1e-6)
        elif rule == "rmsprop":
            a = 0.9 * a + 0.1 * g * g
            w = w - rate * g / np.sqrt(a + 1e-6)
        elif rule == "adadelta":
            a = 0.95 * a + 0.05 * g * g
            s = g * np.sqrt(d + 1e-6) / np.sqrt(a + 1e-6)
            w, d = w - rate * s, 0.95 * d + 0.05 * s * s
        else:
            m, a = 0.9 * m + 0.1 * g, 0.999 * a + 0.001 * g * g
            w = w - rate * np.sqrt(1 - 0.999 ** k) / (1 - 0.9 ** k) * m / (np.sqrt(a) + 1e-8)
    return w


@pytest.mark.parametrize("rule", [sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam], ids=lambda r: r.__name__)
def test_optimiser(rule):
    rng = np.random.RandomState(2)
    A, target = rng.normal(size=(12, 3)), rng.normal(size=12)
    w = shared(np.ones(3), "w")
    cost = T.mean((T.dot(A, w) - target) ** 2)
    step = function([], cost, updates=rule(cost, [w], 0.05))
    for _ in range(15):
        step()
    want = plain_steps(rule.__name__, np.ones(3), lambda v: 2 * A.T @ (A @ v - target) / 12, 0.05, 15)
    np.testing.assert_allclose(w.get_value(), want, rtol=1e-9)


def test_gradient_clipping_by_global_norm_and_learning_rate_decay():
    w, v = shared(np.array([3.0, 4.0])), shared(np.array([[12.0]]))
    rate = shared(np.asarray(0.5, config.floatX), "learning_rate")
    cost = 0.5 * (T.sum(w ** 2) + T.sum(v ** 2))
    grads = T.grad(cost, [w, v])
    norm = T.sqrt(sum(T.sum(g ** 2) for g in grads))
    scaled = [T.switch(T.ge(norm, 5.0), g * 5.0 / norm, g) for g in grads]
    step = function([], norm, updates=[(p, p - rate * g) for p, g in zip([w, v], scaled)])
    decay = function([], rate, updates={rate: rate * 0.9})
    assert step() == pytest.approx(13.0)
    np.testing.assert_allclose(w.get_value(), np.array([3.0, 4.0]) * (1 - 0.5 * 5 / 13))
    np.testing.assert_allclose(v.get_value(), [[12.0 * (1 - 0.5 * 5 / 13)]])
    assert decay() == 0.5 and rate.get_value() == pytest.approx(0.45)


class dA:
    """Denoising autoencoder with tied weights."""

    def __init__(self, numpy_rng, theano_rng=None, input=None, n_visible=8, n_hidden=5):
        if not theano_rng:
            theano_rng = RandomStreams(numpy_rng.randint(2 ** 30))
        initial_W = numpy.asarray(numpy_rng.uniform(-0.5, 0.5, size=(n_visible, n_hidden)), dtype=config.floatX)
        self.W = shared(value=initial_W, name="W", borrow=True)
        self.b = shared(value=numpy.zeros(n_hidden, dtype=config.floatX), name="b", borrow=True)
        self.b_prime = shared(value=numpy.zeros(n_visible, dtype=config.floatX), borrow=True)
        self.W_prime = self.W.T
        self.theano_rng = theano_rng
        self.x = T.dmatrix(name="input") if input is None else input
        self.params = [self.W, self.b, self.b_prime]

    def get_corrupted_input(self, input, corruption_level):
        return self.theano_rng.binomial(size=input.shape, n=1, p=1 - corruption_level, dtype=config.floatX) * input

    def get_cost_updates(self, corruption_level, learning_rate):
        tilde_x = self.get_corrupted_input(self.x, corruption_level)
        y = T.nnet.sigmoid(T.dot(tilde_x, self.W) + self.b)
        z = T.nnet.sigmoid(T.dot(y, self.W_prime) + self.b_prime)
        L = - T.sum(self.x * T.log(z) + (1 - self.x) * T.log(1 - z), axis=1)
        cost = T.mean(L)
        gparams = T.grad(cost, self.params)
        return cost, [(param, param - learning_rate * gparam) for param, gparam in zip(self.params, gparams)]


def test_autoencoder_with_tied_weights():
    rng = numpy.random.RandomState(123)
    data = (rng.uniform(size=(20, 8)) > 0.5).astype(config.floatX)
    model = dA(rng)
    start = [p.get_value() for p in model.params]
    cost, updates = model.get_cost_updates(corruption_level=0., learning_rate=0.1)
    train = function([model.x], cost, updates=updates)

    def loss(values):
        W, b, c = values
        z = logistic(logistic(data @ W + b) @ W.T + c)
        return -(data * np.log(z) + (1 - data) * np.log(1 - z)).sum(1).mean()

    assert train(data) == pytest.approx(loss(start), rel=1e-9)
    for k, parameter in enumerate(model.params):
        want = gradient_by_differences(lambda v, k=k: loss(start[:k] + [v] + start[k + 1:]), start[k])
        np.testing.assert_allclose((start[k] - parameter.get_value()) / 0.1, want, rtol=1e-5, atol=1e-8)
    first = train(data)
    for _ in range(50):
        last = train(data)
    assert last < first


def test_corruption_keeps_the_share_of_inputs_that_was_asked_for():
    model = dA(numpy.random.RandomState(5), n_visible=50)
    corrupt = function([model.x], model.get_corrupted_input(model.x, 0.3))
    ones = np.ones((400, 50))
    first, second = corrupt(ones), corrupt(ones)
    assert set(np.unique(first)) == {0.0, 1.0} and first.dtype == config.floatX
    assert first.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 20000))
    assert (first != second).mean() == pytest.approx(0.42, abs=0.02)


@pytest.mark.parametrize("streams", [MRG_RandomStreams, RandomStreams])
def test_dropout_uses_one_mask_for_value_and_gradient(streams):
    srng = streams(seed=234)
    x = T.matrix("x")
    retain = 0.8
    mask = srng.binomial(x.shape, p=retain, dtype=config.floatX)
    dropped = x * mask / retain
    f = function([x], [dropped, T.grad(T.sum(dropped ** 2), x)])
    value = np.random.RandomState(0).normal(size=(50, 40))
    out, gradient = f(value)
    kept = out != 0
    np.testing.assert_allclose(out[kept], value[kept] / 0.8)
    np.testing.assert_allclose(gradient, 2 * out / 0.8)
    assert kept.mean() == pytest.approx(0.8, abs=0.04)
    assert not np.array_equal(f(value)[0], out)


def test_dropout_from_uniform_numbers_with_a_training_switch():
    srng = MRG_RandomStreams(1)
    x, is_train = T.matrix("x"), T.iscalar("is_train")
    drop = T.cast(srng.uniform(size=x.shape) < 0.5, config.floatX)
    f = function([x, is_train], T.switch(T.neq(is_train, 0), x * drop * 2, x))
    value = np.ones((30, 30))
    assert set(np.unique(f(value, 1))) == {0.0, 2.0}
    np.testing.assert_array_equal(f(value, 0), value)


def test_matrix_factorisation_with_index_pairs():
    rng = np.random.RandomState(0)
    users, items, ratings = rng.randint(0, 5, 20), rng.randint(0, 7, 20), rng.normal(size=20)
    U0, V0 = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    U, V = fuse.shared(U0, "U"), fuse.shared(V0, "V")
    u, i, r = T.ivector("u"), T.ivector("i"), T.vector("r")
    prediction = (U[u] * V[i]).sum(axis=1)
    cost = T.sum((prediction - r) ** 2) + 0.1 * (T.sum(U ** 2) + T.sum(V ** 2))
    gU, gV = T.grad(cost, [U, V])
    step = fuse.function([u, i, r], cost, updates=[(U, U - 0.01 * gU), (V, V - 0.01 * gV)])

    def loss(a, b):
        return (((a[users] * b[items]).sum(1) - ratings) ** 2).sum() + 0.1 * ((a ** 2).sum() + (b ** 2).sum())

    got = step(users.astype("int32"), items.astype("int32"), ratings)
    assert got == pytest.approx(loss(U0, V0))
    np.testing.assert_allclose((U0 - U.get_value()) / 0.01, gradient_by_differences(lambda a: loss(a, V0), U0),
                               rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((V0 - V.get_value()) / 0.01, gradient_by_differences(lambda b: loss(U0, b), V0),
                               rtol=1e-5, atol=1e-6)


def test_word_embeddings_are_updated_in_the_rows_of_the_sentence_alone():
    rng = np.random.RandomState(0)
    table = rng.normal(size=(10, 4))
    embeddings = shared(table, name="embeddings")
    idx, y = T.imatrix("idx"), T.ivector("y")
    w_out = rng.normal(size=(12, 3))
    x = embeddings[idx].reshape((idx.shape[0], 4 * 3))
    p = T.nnet.softmax(T.dot(x, w_out))
    nll = T.mean(T.nnet.categorical_crossentropy(p, y))
    g = T.grad(nll, embeddings)
    train = function([idx, y], nll, updates={embeddings: embeddings - 0.5 * g})
    length = T.sqrt((embeddings ** 2).sum(axis=1)).dimshuffle(0, "x")
    normalize = function([], updates={embeddings: embeddings / length})
    sentence, labels = np.array([[1, 2, 1], [7, 2, 3]], "int32"), np.array([0, 2], "int32")

    def loss(t):
        q = softmax(t[sentence].reshape(2, 12) @ w_out)
        return -np.log(q[[0, 1], labels]).mean()

    assert train(sentence, labels) == pytest.approx(loss(table))
    want = table - 0.5 * gradient_by_differences(loss, table)
    np.testing.assert_allclose(embeddings.get_value(), want, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(embeddings.get_value()[[0, 4, 5, 6, 8, 9]], table[[0, 4, 5, 6, 8, 9]])
    normalize()
    np.testing.assert_allclose(np.linalg.norm(embeddings.get_value(), axis=1), 1.0)


def test_lookup_gradient_by_inc_subtensor_of_the_selected_rows():
    rng = np.random.RandomState(1)
    table = rng.normal(size=(6, 3))
    E = shared(table, "E")
    idx = T.lvector("idx")
    rows = E[idx]
    cost = T.sum(T.tanh(rows.sum(axis=0)))
    g_rows = T.grad(cost, rows)
    step = function([idx], cost, updates=[(E, T.inc_subtensor(rows, -0.1 * g_rows))])
    bag = [2, 2, 5]
    assert step(bag) == pytest.approx(np.tanh(table[bag].sum(0)).sum())
    want = table.copy()
    np.add.at(want, bag, np.repeat([-0.1 / np.cosh(table[bag].sum(0)) ** 2], 3, axis=0))
    np.testing.assert_allclose(E.get_value(), want, rtol=1e-12)


def test_gaussian_mixture_likelihood_and_its_gradients():
    rng = np.random.RandomState(0)
    data = rng.normal(size=(25, 2))
    means, log_sigma, logits = rng.normal(size=(3, 2)), rng.normal(size=3) * 0.1, rng.normal(size=3)
    X, mu, ls, a = T.matrix("X"), T.matrix("mu"), T.vector("log_sigma"), T.vector("a")
    mixing = T.nnet.softmax(a)
    sigma = T.exp(ls)
    delta = X.dimshuffle(0, "x", 1) - mu.dimshuffle("x", 0, 1)
    exponent = -0.5 * T.sum(delta ** 2, axis=2) / sigma ** 2 - X.shape[1] * T.log(sigma) - np.log(2 * np.pi)
    weighted = exponent + T.log(mixing)
    biggest = T.max(weighted, axis=1, keepdims=True)
    log_likelihood = T.sum(biggest.flatten() + T.log(T.sum(T.exp(weighted - biggest), axis=1)))
    f = function([X, mu, ls, a], [log_likelihood] + T.grad(log_likelihood, [mu, ls, a]))

    def plain(m, s, l):
        p = softmax(l)
        sd = np.exp(s)
        dens = np.exp(-0.5 * ((data[:, None] - m[None]) ** 2).sum(2) / sd ** 2) / (2 * np.pi * sd ** 2)
        return np.log((dens * p).sum(1)).sum()

    value, g_mu, g_ls, g_a = f(data, means, log_sigma, logits)
    assert value == pytest.approx(plain(means, log_sigma, logits), rel=1e-10)
    for got, by in ((g_mu, gradient_by_differences(lambda v: plain(v, log_sigma, logits), means)),
                    (g_ls, gradient_by_differences(lambda v: plain(means, v, logits), log_sigma)),
                    (g_a, gradient_by_differences(lambda v: plain(means, log_sigma, v), logits))):
        np.testing.assert_allclose(got, by, rtol=1e-5, atol=1e-6)


def test_k_means():
    rng = np.random.RandomState(3)
    data = np.concatenate([rng.normal(size=(20, 2)) + c for c in ([0, 0], [8, 0], [0, 8])])
    start = data[[0, 20, 40]]
    X = T.matrix("X")
    C = shared(start, name="centroids")
    distances = (X ** 2).sum(1).dimshuffle(0, "x") - 2 * T.dot(X, C.T) + (C ** 2).sum(1).dimshuffle("x", 0)
    assignment = T.argmin(distances, axis=1)
    member = T.eq(assignment.dimshuffle(0, "x"), T.arange(3).dimshuffle("x", 0)).astype(config.floatX)
    new_C = T.dot(member.T, X) / member.sum(axis=0).dimshuffle(0, "x")
    step = function([X], [assignment, T.min(distances, axis=1).mean()], updates=[(C, new_C)])
    want = start
    for _ in range(4):
        labels, inertia = step(data)
        d = ((data[:, None] - want[None]) ** 2).sum(2)
        np.testing.assert_array_equal(labels, d.argmin(1))
        assert inertia == pytest.approx(d.min(1).mean())
        want = np.stack([data[d.argmin(1) == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(C.get_value(), want)


def test_principal_component_by_power_iteration_and_by_gradient_ascent():
    rng = np.random.RandomState(5)
    data = rng.normal(size=(50, 4)) * [3, 1, 0.5, 0.1]
    X = T.matrix("X")
    centered = X - X.mean(axis=0)
    covariance = T.dot(centered.T, centered) / (X.shape[0] - 1)
    v = shared(np.ones(4) / 2, "v")
    new = T.dot(covariance, v)
    step = function([X], updates=[(v, new / T.sqrt(T.sum(new ** 2)))])
    for _ in range(60):
        step(data)
    values, vectors = np.linalg.eigh(np.cov(data.T))
    np.testing.assert_allclose(abs(v.get_value() @ vectors[:, -1]), 1.0, rtol=1e-9)
    rayleigh = T.dot(v, T.dot(covariance, v)) / T.dot(v, v)
    f = function([X], [rayleigh, T.grad(rayleigh, v)])
    value, gradient = f(data)
    assert value == pytest.approx(values[-1])
    np.testing.assert_allclose(gradient, np.zeros(4), atol=1e-6)


def test_ridge_regression_closed_form_against_gradient_descent():
    rng = np.random.RandomState(0)
    A, b = rng.normal(size=(20, 3)), rng.normal(size=20)
    X, y, lam = T.matrix("X"), T.vector("y"), T.scalar("lam")
    closed = T.dot(T.nlinalg.matrix_inverse(T.dot(X.T, X) + lam * T.eye(X.shape[1])), T.dot(X.T, y))
    solved = T.slinalg.solve(T.dot(X.T, X) + lam * T.eye(3), T.dot(X.T, y))
    exact = np.linalg.solve(A.T @ A + 0.5 * np.eye(3), A.T @ b)
    for got in function([X, y, lam], [closed, solved])(A, b, 0.5):
        np.testing.assert_allclose(got, exact, rtol=1e-10)
    w = shared(np.zeros(3))
    cost = T.sum((T.dot(X, w) - y) ** 2) + lam * T.sum(w ** 2)
    descend = function([X, y, lam], cost, updates=[(w, w - 0.01 * T.grad(cost, w))])
    for _ in range(300):
        descend(A, b, 0.5)
    np.testing.assert_allclose(w.get_value(), exact, rtol=1e-6)


def test_perceptron_and_hinge_loss_with_labels_plus_and_minus_one():
    rng = np.random.RandomState(0)
    data, sign = rng.normal(size=(15, 3)), np.where(rng.uniform(size=15) > 0.5, 1.0, -1.0)
    w0 = rng.normal(size=3)
    X, y, w = T.matrix("X"), T.vector("y"), T.vector("w")
    hinge = T.maximum(0., 1. - y * T.dot(X, w)).mean()
    squared = T.mean(T.sqr(T.nnet.relu(1 - y * T.dot(X, w))))
    f = function([X, y, w], [hinge, T.grad(hinge, w), T.grad(squared, w)])
    value, g1, g2 = f(data, sign, w0)
    assert value == pytest.approx(np.maximum(0, 1 - sign * (data @ w0)).mean())
    np.testing.assert_allclose(g1, gradient_by_differences(
        lambda v: np.maximum(0, 1 - sign * (data @ v)).mean(), w0), atol=1e-8)
    np.testing.assert_allclose(g2, gradient_by_differences(
        lambda v: (np.maximum(0, 1 - sign * (data @ v)) ** 2).mean(), w0), atol=1e-7)


def test_layer_classes_in_the_style_of_keras():
    """A container with layers, a loss by name and theano.function(..., allow_input_downcast=True, mode=None)."""
    class Dense:
        def __init__(self, n_in, n_out, activation, seed):
            rng = np.random.RandomState(seed)
            self.W = shared(rng.uniform(-0.3, 0.3, (n_in, n_out)).astype("float32"))
            self.b = shared(np.zeros(n_out, "float32"))
            self.activation, self.params = activation, [self.W, self.b]

        def __call__(self, x):
            return self.activation(T.dot(x, self.W) + self.b)

    class Sequential:
        def __init__(self, *layers):
            self.layers, self.params = layers, [p for layer in layers for p in layer.params]

        def compile(self, rate):
            self.X, self.y = T.fmatrix(), T.fmatrix()
            h = self.X
            for layer in self.layers:
                h = layer(h)
            h = T.clip(h, np.float32(1e-7), np.float32(1.0 - 1e-7))
            loss = T.nnet.categorical_crossentropy(h, self.y).mean()
            rate = np.float32(rate)
            updates = [(p, T.cast(p - rate * g, "float32")) for p, g in zip(self.params, T.grad(loss, self.params))]
            self._train = function([self.X, self.y], loss, updates=updates, allow_input_downcast=True, mode=None)
            self._predict = function([self.X], h, allow_input_downcast=True)

    data, labels = blobs(60, seed=11)
    model = Sequential(Dense(4, 8, T.tanh, 0), Dense(8, 3, T.nnet.softmax, 1))
    model.compile(0.5)
    W1, W2 = (layer.W.get_value().astype(float) for layer in model.layers)
    p = softmax(np.tanh(data @ W1) @ W2)
    first = model._train(data, one_hot(labels, 3))
    assert first == pytest.approx(-np.log(p[np.arange(60), labels]).mean(), rel=1e-5)
    for _ in range(200):
        model._train(data, one_hot(labels, 3))
    probabilities = model._predict(data)
    assert probabilities.dtype == np.float32 and probabilities.shape == (60, 3)
    assert (probabilities.argmax(1) == labels).mean() > 0.9
    for layer in model.layers:
        assert layer.W.get_value().dtype == np.float32 and layer.W.dtype == "float32"


def test_batch_normalisation_layer_with_running_averages():
    rng = np.random.RandomState(0)
    data = rng.normal(size=(16, 5)) * 3 + 1
    x = T.matrix("x")
    gamma, beta = shared(np.full(5, 1.5), "gamma"), shared(np.full(5, 0.2), "beta")
    mean, inv_std = shared(np.zeros(5), "mean"), shared(np.ones(5), "inv_std")
    m, i = x.mean(axis=0), T.inv(T.sqrt(x.var(axis=0) + 1e-4))
    out = (x - m.dimshuffle("x", 0)) * (gamma * i) + beta
    train = function([x], [out, *T.grad(T.sum(out ** 3), [x, gamma, beta])],
                     updates=[(mean, 0.9 * mean + 0.1 * m), (inv_std, 0.9 * inv_std + 0.1 * i)])

    def plain(v, g, b):
        return (v - v.mean(0)) / np.sqrt(v.var(0) + 1e-4) * g + b

    value, gx, gg, gb = train(data)
    ones = np.full(5, 1.5), np.full(5, 0.2)
    np.testing.assert_allclose(value, plain(data, *ones), rtol=1e-10)
    np.testing.assert_allclose(gx, gradient_by_differences(lambda v: (plain(v, *ones) ** 3).sum(), data), atol=1e-5)
    np.testing.assert_allclose(gg, gradient_by_differences(lambda v: (plain(data, v, ones[1]) ** 3).sum(), ones[0]),
                               rtol=1e-6)
    np.testing.assert_allclose(gb, gradient_by_differences(lambda v: (plain(data, ones[0], v) ** 3).sum(), ones[1]),
                               rtol=1e-6)
    np.testing.assert_allclose(mean.get_value(), 0.1 * data.mean(0))
    np.testing.assert_allclose(inv_std.get_value(), 0.9 + 0.1 / np.sqrt(data.var(0) + 1e-4))


def test_maxout_and_weight_constraint():
    rng = np.random.RandomState(0)
    data, w0 = rng.normal(size=(7, 4)), rng.normal(size=(4, 6)) * 3
    x, W = T.matrix("x"), shared(w0, "W")
    z = T.dot(x, W)
    maxout = T.max(z.reshape((z.shape[0], z.shape[1] // 2, 2)), axis=2)
    cost = T.sum(maxout ** 2)
    stepped = W - 0.01 * T.grad(cost, W)
    col_norms = T.sqrt(T.sum(T.sqr(stepped), axis=0))
    desired = T.clip(col_norms, 0, 2.0)
    f = function([x], maxout, updates={W: stepped * (desired / (1e-7 + col_norms))})
    np.testing.assert_allclose(f(data), (data @ w0).reshape(7, 3, 2).max(2))
    g = gradient_by_differences(lambda v: ((data @ v).reshape(7, 3, 2).max(2) ** 2).sum(), w0)
    s = w0 - 0.01 * g
    n = np.linalg.norm(s, axis=0)
    np.testing.assert_allclose(W.get_value(), s * np.clip(n, 0, 2) / (1e-7 + n), rtol=1e-6)


def test_free_energy_of_a_restricted_boltzmann_machine():
    rng = np.random.RandomState(0)
    v0, v1 = (rng.uniform(size=(6, 5)) > 0.5).astype(float), (rng.uniform(size=(6, 5)) > 0.5).astype(float)
    w0, hb, vb = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=5)
    W, hbias, vbias = shared(w0), shared(hb), shared(vb)

    def free_energy(v_sample):
        wx_b = T.dot(v_sample, W) + hbias
        return -T.sum(T.log(1 + T.exp(wx_b)), axis=1) - T.dot(v_sample, vbias)

    data, chain = T.matrix(), T.matrix()
    cost = T.mean(free_energy(data)) - T.mean(free_energy(chain))
    grads = T.grad(cost, [W, hbias, vbias], consider_constant=[chain])
    f = function([data, chain], [cost, *grads])

    def plain(w, h, v):
        def energy(s):
            return -np.logaddexp(0, s @ w + h).sum(1) - s @ v
        return energy(v0).mean() - energy(v1).mean()

    value, gw, gh, gv = f(v0, v1)
    assert value == pytest.approx(plain(w0, hb, vb))
    np.testing.assert_allclose(gw, gradient_by_differences(lambda v: plain(v, hb, vb), w0), atol=1e-7)
    np.testing.assert_allclose(gh, gradient_by_differences(lambda v: plain(w0, v, vb), hb), atol=1e-7)
    np.testing.assert_allclose(gv, v1.mean(0) - v0.mean(0), atol=1e-12)


def test_xor_network_learns():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], config.floatX)
    Y = np.array([0, 1, 1, 0], config.floatX)
    rng = np.random.RandomState(4)
    x, y = T.matrix("x"), T.vector("y")
    w1, b1 = shared(rng.normal(size=(2, 4))), shared(np.zeros(4))
    w2, b2 = shared(rng.normal(size=4)), shared(0.0)
    out = T.nnet.sigmoid(T.dot(T.tanh(T.dot(x, w1) + b1), w2) + b2)
    cost = T.nnet.binary_crossentropy(out, y).mean()
    params = [w1, b1, w2, b2]
    train = function([x, y], cost, updates=[(p, p - 0.5 * g) for p, g in zip(params, T.grad(cost, params))])
    h = np.tanh(X @ w1.get_value()) @ w2.get_value()
    p = logistic(h)
    assert train(X, Y) == pytest.approx(-(Y * np.log(p) + (1 - Y) * np.log(1 - p)).mean())
    for _ in range(1500):
        final = train(X, Y)
    assert final < 0.05
    assert function([x], T.round(out))(X).tolist() == Y.tolist()


def test_policy_gradient_and_value_targets_with_disconnected_parts():
    rng = np.random.RandomState(0)
    s, w0, v0 = rng.normal(size=(6, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    actions, returns = np.array([0, 1, 1, 0, 1, 0]), rng.normal(size=6)
    S, A, R = T.matrix("S"), T.lvector("A"), T.vector("R")
    W, V = shared(w0), shared(v0)
    value = T.dot(S, V)
    advantage = fuse.gradient.disconnected_grad(R - value)
    log_p = T.log(T.nnet.softmax(T.dot(S, W)))[T.arange(A.shape[0]), A]
    loss = -T.mean(log_p * advantage) + 0.5 * T.mean((R - value) ** 2)
    f = function([S, A, R], T.grad(loss, [W, V]))
    fixed = returns - s @ v0
    gW, gV = f(s, actions, returns)
    np.testing.assert_allclose(gW, gradient_by_differences(
        lambda w: -(np.log(softmax(s @ w))[np.arange(6), actions] * fixed).mean(), w0), atol=1e-8)
    np.testing.assert_allclose(gV, gradient_by_differences(lambda v: 0.5 * ((returns - s @ v) ** 2).mean(), v0),
                               atol=1e-8)


def test_variational_autoencoder_bound_with_given_noise():
    rng = np.random.RandomState(0)
    data, noise = (rng.uniform(size=(5, 4)) > 0.5) * 1.0, rng.normal(size=(5, 2))
    a0, b0, c0 = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) * 0.1, rng.normal(size=(2, 4))
    x, eps = T.matrix("x"), T.matrix("eps")
    a, b, c = shared(a0), shared(b0), shared(c0)
    mu, log_sigma = T.dot(x, a), T.dot(x, b)
    z = mu + T.exp(log_sigma) * eps
    y = T.nnet.sigmoid(T.dot(z, c))
    logpx = -T.nnet.binary_crossentropy(y, x).sum(axis=1)
    kl = 0.5 * T.sum(1 + 2 * log_sigma - mu ** 2 - T.exp(2 * log_sigma), axis=1)
    bound = T.mean(logpx + kl)
    f = function([x, eps], [bound, *T.grad(bound, [a, b, c])])

    def plain(p, q, r):
        m, l = data @ p, data @ q
        o = logistic((m + np.exp(l) * noise) @ r)
        return ((data * np.log(o) + (1 - data) * np.log(1 - o)).sum(1)
                + 0.5 * (1 + 2 * l - m ** 2 - np.exp(2 * l)).sum(1)).mean()

    value, ga, gb, gc = f(data, noise)
    assert value == pytest.approx(plain(a0, b0, c0))
    np.testing.assert_allclose(ga, gradient_by_differences(lambda v: plain(v, b0, c0), a0), atol=1e-7)
    np.testing.assert_allclose(gb, gradient_by_differences(lambda v: plain(a0, v, c0), b0), atol=1e-7)
    np.testing.assert_allclose(gc, gradient_by_differences(lambda v: plain(a0, b0, v), c0), atol=1e-7)


def test_single_precision_throughout():
    with config.change_flags(floatX="float32"):
        x, y = T.matrix("x"), T.ivector("y")
        W = shared(np.zeros((4, 3), config.floatX), name="W")
        b = shared(np.zeros(3, config.floatX), name="b")
        p = T.nnet.softmax(T.dot(x, W) + b)
        cost = -T.mean(T.log(p)[T.arange(y.shape[0]), y]) + 0.01 * T.sum(W ** 2) + 1e-3 * abs(W).sum() / 2
        updates = [(q, q - 0.1 * g) for q, g in zip([W, b], T.grad(cost, [W, b]))]
        assert x.dtype == p.dtype == cost.dtype == "float32"
        assert [new.dtype for _, new in updates] == ["float32"] * 2
        train = function([x, y], [cost, T.mean(T.neq(T.argmax(p, axis=1), y))], updates=updates)
        data, labels = blobs(40)
        first, _ = train(data.astype("float32"), labels)
        assert first.dtype == np.float32 and first == pytest.approx(np.log(3), rel=1e-6)
        for _ in range(100):
            last, wrong = train(data.astype("float32"), labels)
        assert last < 0.5 and wrong < 0.2 and W.get_value().dtype == np.float32


def test_deep_copies_of_a_model_are_independent():
    x = T.matrix("x")
    model = LogisticRegression(x, 4, 3)
    model.W.set_value(np.ones((4, 3)))
    twin = copy.deepcopy(model)
    twin.W.set_value(np.zeros((4, 3)))
    assert model.W.get_value().sum() == 12 and twin.W.get_value().sum() == 0
    assert function([twin.input], twin.p_y_given_x)(np.eye(4)).tolist() == np.full((4, 3), 1 / 3).tolist()
