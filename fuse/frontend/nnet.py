"""Losses and activations of neural networks, with Theano's names (``T.nnet``)."""
from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.axes import flatten
from fuse.frontend.elementwise import (
    elu,
    hard_sigmoid,
    leaky_relu,
    relu,
    selu,
    sigmoid,
    softplus,
    softsign,
    ultra_fast_sigmoid,
)
from fuse.frontend.layout import dimshuffle, iota, reshape
from fuse.frontend.linalg import batched_dot, dot, tensordot
from fuse.frontend.reductions import all as all_
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.scans import argmax
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sizes import as_size, size_mul
from fuse.frontend.softmax import check_labels, softmax_crossentropy
from fuse.frontend.softmax import log_softmax as log_softmax_along
from fuse.frontend.softmax import softmax as softmax_along
from fuse.frontend.subtensor import gather
from fuse.frontend.transcendental import inexact_real
from fuse.notes import given_with
from fuse.op import elementwise
from fuse.trace import by_user

if TYPE_CHECKING:
    from fuse.codegen import mathlib


# ---------------------------------------------------------------- softmax
def _rows(c: Any, axis: int | EllipsisType | None, user: bool) -> tuple[Expr, int | None]:
    """What to sum along which axis: a vector is one row, as in Theano, where no axis is given."""
    c = as_expr(c)
    if axis is not ...:
        return c, axis
    return (dimshuffle(c, "x", 0) if c.type.ndim == 1 and not user else c), -1


def softmax(c: Any, axis: int | EllipsisType | None = ...) -> Expr:
    """``exp(c) / sum(exp(c))`` along the last axis, or along ``axis`` (None: over all elements), without overflow.

    The result has the shape of ``c``. Only a vector without an axis gives a matrix of one row, as in Theano, where
    programs write ``softmax(v)[0]``; in traced functions and in ``fuse.tensor.special`` it stays a vector.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> softmax(v).eval({v: [1000.0, 1000.0]})
    array([[0.5, 0.5]])
    >>> softmax(v, axis=0).eval({v: [1000.0, 1000.0]})
    array([0.5, 0.5])
    """
    return softmax_along(*_rows(c, axis, by_user()))


def logsoftmax(c: Any, axis: int | EllipsisType | None = ...) -> Expr:
    """``log(softmax(c))``, exact also where the softmax underflows; of a vector a matrix of one row, as in Theano.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> logsoftmax(v).eval({v: [0.0, 1000.0]})
    array([[-1000.,     0.]])
    """
    return log_softmax_along(*_rows(c, axis, by_user()))


def log_softmax(c: Any, axis: int | None = -1) -> Expr:
    """``log(softmax(c))`` along ``axis`` (None: over all elements), exact also where the softmax underflows.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> log_softmax(v).eval({v: [0.0, 1000.0]})
    array([-1000.,     0.])
    """
    return log_softmax_along(c, axis)


# ---------------------------------------------------------------- cross-entropies of distributions
def categorical_crossentropy(coding_dist: Any, true_dist: Any) -> Expr:
    """``-sum(true * log(coding))`` over the last axis: one value per row, a scalar for two vectors.

    ``true_dist`` holds distributions (the rank of ``coding_dist``) or integer labels (one rank less). Terms with a true
    probability of 0 are 0. For ``coding_dist = softmax(x)`` the value is computed from ``x``, so that it neither
    overflows nor becomes infinite where the softmax underflows. Raises ShapeError for other ranks, FuseTypeError for
    labels that are no integers.

    >>> import fuse.tensor as T
    >>> p, y = T.matrix("p"), T.lvector("y")
    >>> categorical_crossentropy(p, y).eval({p: [[0.5, 0.5], [0.75, 0.25]], y: [0, 1]})
    array([0.69314718, 1.38629436])
    """
    coding, true = as_expr(coding_dist), as_expr(true_dist)
    if true.type.ndim == coding.type.ndim - 1:
        return crossentropy_categorical_1hot(coding, true)
    if true.type.ndim != coding.type.ndim or not true.type.ndim:
        raise ShapeError(
            f"categorical_crossentropy of a {coding.type.describe()} takes true distributions of the same rank or "
            f"labels of rank {coding.type.ndim - 1}, not a {true.type.describe()}"
        )
    return ew.neg(sum_(_weighted_log(true, coding), axis=true.type.ndim - 1))


def _weighted_log(weight: Expr, p: Expr) -> Expr:
    """``weight * log(p)``, 0 where ``weight`` is 0."""
    if p.op.name == "softmax" and p.params["axis"] == p.type.ndim - 1:
        logs = log_softmax(p.args[0])
        product = ew.mul(weight, logs)
        finite = ew.gt(logs, constant(-np.inf, dtype=logs.type.dtype))  # the derivative by a weight of 0 is one too
        counts = ew.or_(ew.neq(weight, 0), finite)
        return ew.switch(counts, product, constant(0, dtype=product.type.dtype))
    return ew.xlogy(weight, p)


def crossentropy_categorical_1hot(coding_dist: Any, true_one_of_n: Any) -> Expr:
    """``-log(coding_dist[i, true_one_of_n[i]])``: the cross-entropy with integer labels.

    One value per row, a scalar for a vector. Raises ShapeError for other ranks, FuseTypeError for labels that are no
    integers, FuseIndexError at run time for a label out of bounds.

    >>> crossentropy_categorical_1hot([[0.5, 0.5], [0.75, 0.25]], [0, 1]).eval()
    array([0.69314718, 1.38629436])
    """
    coding, labels = as_expr(coding_dist), as_expr(true_one_of_n)
    if not coding.type.ndim:
        raise ShapeError("a distribution is a vector or the rows of a matrix, not a scalar")
    check_labels(coding, labels)
    last = coding.type.ndim - 1
    if coding.op.name == "softmax" and coding.params["axis"] == last:
        return softmax_crossentropy(coding.args[0], labels)
    if not last:
        return ew.neg(ew.log(coding[labels]))
    if last == 1:
        return ew.neg(ew.log(gather(coding, iota(coding.shape[0]), labels)))
    places = dimshuffle(labels, [*range(last), "x"])
    return ew.neg(ew.log(take_along_axis(coding, places, axis=last)[..., 0]))


def crossentropy_softmax_1hot(x: Any, y_idx: Any, **kwargs: Any) -> tuple[Expr, Expr]:
    """(cross-entropy of ``softmax(x)`` with the labels ``y_idx``, one per row; ``softmax(x)``).

    Where the softmax of the right class underflows the cross-entropy is still finite. A negative label is an error of
    the call (FuseValueError), as in Theano: it does not count from the last class.

    >>> loss, p = crossentropy_softmax_1hot([[0.0, 1000.0], [0.0, 0.0]], [0, 1])
    >>> loss.eval()
    array([1.00000000e+03, 6.93147181e-01])
    >>> p.eval()
    array([[0. , 1. ],
           [0.5, 0.5]])
    """
    x = as_expr(x)
    x = ew.cast(x, ty.inexact(x.type.dtype))
    loss, p = softmax_crossentropy(x, _labels(y_idx)), softmax_along(x, -1)
    given_with([p], [y_idx])
    return loss, p


def _labels(y_idx: Any) -> Expr:
    """Labels that are checked not to be negative when they are used."""
    y = as_expr(y_idx)
    if ty.kind(y.type.dtype) != "i":
        return y
    return required(y, [all_(ew.ge(y, 0))], "y_i value out of bounds: labels count from 0", "FuseValueError")


def crossentropy_softmax_1hot_with_bias(x: Any, b: Any, y_idx: Any, **kwargs: Any) -> tuple[Expr, Expr]:
    """``crossentropy_softmax_1hot(x + b, y_idx)``.

    >>> loss, p = crossentropy_softmax_1hot_with_bias([[0.0, 0.0]], [0.0, 1000.0], [0])
    >>> loss.eval(), p.eval()
    (array([1000.]), array([[0., 1.]]))
    """
    return crossentropy_softmax_1hot(ew.add(x, b), y_idx)


def crossentropy_softmax_argmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> tuple[Expr, Expr, Expr]:
    """(cross-entropy, softmax, most likely class) of ``x + b`` with the labels ``y_idx``.

    >>> loss, p, label = crossentropy_softmax_argmax_1hot_with_bias([[0.0, 0.0]], [0.0, 1000.0], [0])
    >>> loss.eval(), label.eval()
    (array([1000.]), array([1]))
    """
    scores = ew.add(x, b)
    y_idx = as_expr(y_idx)
    return (*crossentropy_softmax_1hot(scores, y_idx), _likeliest(scores, y_idx))


def _likeliest(scores: Expr, y_idx: Expr) -> Expr:
    """The most likely classes, beside a loss of ``y_idx``."""
    label = ew.cast(argmax(scores, axis=-1), y_idx.type.dtype)
    given_with([label], [y_idx])
    return label


def crossentropy_softmax_max_and_argmax_1hot(x: Any, y_idx: Any, **kwargs: Any) -> tuple[Expr, Expr, Expr, Expr]:
    """(cross-entropy, softmax, largest probability, most likely class) of the scores ``x``.

    >>> loss, p, largest, label = crossentropy_softmax_max_and_argmax_1hot([[0.0, 1000.0]], [0])
    >>> loss.eval(), largest.eval(), label.eval()
    (array([1000.]), array([1.]), array([1]))
    """
    loss, p = crossentropy_softmax_1hot(x, y_idx)
    return loss, p, max_(p, axis=-1), _likeliest(as_expr(x), as_expr(y_idx))


def crossentropy_softmax_max_and_argmax_1hot_with_bias(
    x: Any, b: Any, y_idx: Any, **kwargs: Any
) -> tuple[Expr, Expr, Expr, Expr]:
    """``crossentropy_softmax_max_and_argmax_1hot(x + b, y_idx)``.

    >>> x, b = [[0.0, 0.0]], [0.0, 1000.0]
    >>> loss, p, largest, label = crossentropy_softmax_max_and_argmax_1hot_with_bias(x, b, [0])
    >>> loss.eval(), largest.eval(), label.eval()
    (array([1000.]), array([1.]), array([1]))
    """
    return crossentropy_softmax_max_and_argmax_1hot(ew.add(x, b), y_idx)


def softmax_with_bias(x: Any, b: Any) -> Expr:
    """``softmax(x + b)`` along the last axis.

    >>> softmax_with_bias([[0.0, 0.0], [5.0, 5.0]], [0.0, 1000.0]).eval()
    array([[0., 1.],
           [0., 1.]])
    """
    return softmax_along(ew.add(x, b), -1)


# ---------------------------------------------------------------- binary cross-entropies
def _bce_numpy(x: Any, t: Any) -> Any:
    return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))


@elementwise(
    name="sigmoid_binary_crossentropy", dtype=inexact_real, numpy=_bce_numpy, domain=(-5.0, 5.0), builtin=True,
    sympy="log(1 + exp(x)) - x*y", meta={"ulps": 1000},  # the difference cancels where the target is no probability
    traits="finite-slopes",
    grad=(lambda g, out, x, t: ew.mul(g, ew.sub(ew.sigmoid(x), t)), lambda g, out, x, t: ew.neg(ew.mul(g, x))),
)
def _sigmoid_binary_crossentropy(x, t):
    """The binary cross-entropy of ``sigmoid(x)`` with the target ``t``: ``softplus(x) - t * x``, accurate for all x."""
    return (x if x > 0 else 0) - x * t + mathlib.softplus(-abs(x))


def sigmoid_binary_crossentropy(output: Any, target: Any) -> Expr:
    """``binary_crossentropy(sigmoid(output), target)``, computed from ``output``: no overflow, no infinity.

    >>> sigmoid_binary_crossentropy([0.0, 1000.0, -1000.0], [1.0, 1.0, 1.0]).eval()
    array([6.93147181e-01, 0.00000000e+00, 1.00000000e+03])
    """
    return _sigmoid_binary_crossentropy(as_expr(output), as_expr(target))


def binary_crossentropy(output: Any, target: Any) -> Expr:
    """``-(target * log(output) + (1 - target) * log(1 - output))``, elementwise; a term with the factor 0 is 0.

    For ``output = sigmoid(x)`` it is computed from ``x`` (``sigmoid_binary_crossentropy``).

    >>> binary_crossentropy([0.5, 0.25], [0.0, 1.0]).eval()
    array([0.69314718, 1.38629436])
    """
    p, t = as_expr(output), as_expr(target)
    if p.op.name == "sigmoid":
        return _sigmoid_binary_crossentropy(p.args[0], t)
    return ew.neg(ew.add(ew.xlogy(t, p), ew.xlog1py(ew.sub(1, t), ew.neg(p))))


# ---------------------------------------------------------------- labels
def to_one_hot(y: Any, nb_class: Any, dtype: Any = None) -> Expr:
    """A last axis of length ``nb_class`` with 1 at the label ``y``, else 0 (dtype floatX where none is given).

    A label out of bounds is a FuseIndexError at run time.

    >>> to_one_hot([2, 0], 3, dtype="int8").eval()
    array([[0, 0, 1],
           [1, 0, 0]], dtype=int8)
    """
    labels = as_expr(y)
    if labels.type.dtype not in ty.INTEGER:
        raise FuseTypeError(f"labels are integers, not a {labels.type.describe()}: cast them with .astype('int64')")
    classes = iota(as_size(nb_class, "the number of classes"))
    checked = gather(classes, labels) if labels.type.ndim else classes[labels]
    hot = ew.eq(classes, dimshuffle(checked, [*range(labels.type.ndim), "x"]))
    return ew.cast(hot, ty.dtype_name("floatX" if dtype is None else dtype))


def h_softmax(
    x: Any, batch_size: Any, n_outputs: Any, n_classes: Any, n_outputs_per_class: Any, W1: Any, b1: Any, W2: Any,
    b2: Any, target: Any = None,
) -> Expr:
    """Softmax in two steps: the probability of a class times that of an output within it.

    ``x`` is (batch, features); ``W1`` (features, classes) and ``b1`` give the classes, ``W2`` (classes, features,
    outputs per class) and ``b2`` (classes, outputs per class) the outputs of each class. The result is (batch,
    outputs), or with ``target`` (batch,) or (batch, 1) a vector of the probabilities of the targets, for which only
    their classes are computed. J. Goodman, "Classes for fast maximum entropy training", 2001.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> h_softmax(x, 1, 4, 2, 2, np.zeros((3, 2)), np.zeros(2), np.zeros((2, 3, 2)), np.zeros((2, 2))).eval(
    ...     {x: [[1.0, 2.0, 3.0]]})
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    x, W2, b2 = as_expr(x), as_expr(W2), as_expr(b2)
    classes = softmax_along(ew.add(dot(x, W1), as_expr(b1)), -1)
    if target is None:
        inside = softmax_along(ew.add(tensordot(x, W2, axes=(1, 1)), b2), axis=-1)
        joint = ew.mul(dimshuffle(classes, 0, 1, "x"), inside)
        flat = reshape(joint, (as_size(batch_size), size_mul(as_size(n_classes), as_size(n_outputs_per_class))), ndim=2)
        return flat[:, : as_size(n_outputs)]
    target = flatten(as_expr(target))
    of_class, place = ew.int_div(target, n_outputs_per_class), ew.mod(target, n_outputs_per_class)
    scores = ew.add(batched_dot(x, W2[of_class]), b2[of_class])
    row = iota(as_size(batch_size))
    return ew.mul(gather(classes, row, of_class), gather(softmax_along(scores, -1), row, place))


def confusion_matrix(actual: Any, pred: Any) -> list[Expr]:
    """[matrix, order]: how often label ``order[i]`` was predicted as ``order[j]``; ``order`` is sorted.

    Raises ShapeError where the labels are no vectors.

    >>> import fuse.tensor as T
    >>> a, p = T.lvector("a"), T.lvector("p")
    >>> confusion_matrix(a, p)[0].eval({a: [2, 0, 2], p: [0, 0, 2]})
    array([[1, 0],
           [1, 1]])
    """
    from fuse.frontend.join import concatenate
    from fuse.frontend.selecting import unique

    actual, pred = as_expr(actual), as_expr(pred)
    for labels in (actual, pred):
        if labels.type.ndim != 1:
            raise ShapeError(f"labels for a confusion matrix are vectors, not a {labels.type.describe()}")
    order = unique(concatenate([actual, pred]))
    hot = [ew.cast(ew.eq(dimshuffle(v, 0, "x"), order), "int64") for v in (actual, pred)]
    return [dot(dimshuffle(hot[0], 1, 0), hot[1]), order]


__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "confusion_matrix", "crossentropy_categorical_1hot",
    "crossentropy_softmax_1hot", "crossentropy_softmax_1hot_with_bias", "crossentropy_softmax_argmax_1hot_with_bias",
    "crossentropy_softmax_max_and_argmax_1hot", "crossentropy_softmax_max_and_argmax_1hot_with_bias", "elu",
    "h_softmax", "hard_sigmoid", "leaky_relu", "log_softmax", "logsoftmax", "relu", "selu", "sigmoid",
    "sigmoid_binary_crossentropy", "softmax", "softmax_crossentropy", "softmax_with_bias", "softplus", "softsign",
    "to_one_hot", "ultra_fast_sigmoid",
]
