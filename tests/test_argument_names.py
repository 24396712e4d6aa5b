"""Arguments by the names that Theano and PyTensor have for them give the same expressions."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.argnames import also
from fuse.graph.basic import ancestors, clone, clone_get_equiv, equal_computations, graph_inputs
from fuse.graph.replace import clone_replace

X, Y, V = T.dmatrix("x"), T.dmatrix("y"), T.dvector("v")
# (by name, by place)
SAME = [
    *[(lambda f=f: f(input=X, axis=0), lambda f=f: f(X, 0)) for f in (T.sum, T.prod, T.mean, T.var, T.std)],
    *[(lambda f=f: f(a=X), lambda f=f: f(X)) for f in (
        T.ptp, T.isnan, T.isinf, T.isfinite, T.round, T.iround, T.sgn, T.diagonal, T.sort, T.argsort, T.transpose,
    )],
    *[(lambda f=f, k=k: f(t=V, **k), lambda f=f: f(V, 1)) for f, k in (
        (T.shape_padleft, {"n_ones": 1}), (T.shape_padright, {"n_ones": 1}), (T.shape_padaxis, {"axis": 1}),
    )],
    (lambda: T.dot(l=X, r=Y), lambda: T.dot(X, Y)), (lambda: X.dot(right=Y), lambda: T.dot(X, Y)),
    (lambda: T.matmul(x1=X, x2=Y), lambda: T.matmul(X, Y)),
    (lambda: T.switch(cond=X > 0, ift=X, iff=Y), lambda: T.switch(X > 0, X, Y)),
    (lambda: T.where(X > 0, iff=Y, ift=X), lambda: T.switch(X > 0, X, Y)),
    (lambda: T.where(X)[1], lambda: T.nonzero(X)[1]),
    (lambda: T.clip(X, min=0, max=Y), lambda: T.clip(X, 0, Y)),
    (lambda: X.clip(a_max=1, a_min=0), lambda: X.clip(0, 1)),
    (lambda: T.isclose(a=X, b=Y), lambda: T.isclose(X, Y)),
    (lambda: T.ceil_intdiv(a=7, b=V), lambda: T.ceil_intdiv(7, V)),
    (lambda: T.expand_dims(a=X, axis=1), lambda: T.expand_dims(X, 1)),
    (lambda: T.swapaxes(y=X, axis1=0, axis2=1), lambda: X.T),
    (lambda: T.moveaxis(a=X, source=0, destination=1), lambda: X.T),
    (lambda: T.transpose(X, axes=(1, 0)), lambda: X.T),
    (lambda: T.repeat(a=X, repeats=2, axis=0), lambda: T.repeat(X, 2, 0)),
    (lambda: T.tile(A=X, reps=2), lambda: T.tile(X, 2)),
    (lambda: T.flip(arr=V), lambda: T.flip(V)), (lambda: T.sort(X, stable=True), lambda: T.sort(X)),
    (lambda: T.stack(tensors=[X, Y], axis=1), lambda: T.stack([X, Y], 1)),
    (lambda: T.constant(x=3), lambda: T.constant(3)),
    (lambda: T.reshape(X, newshape=(2, -1)), lambda: X.reshape((2, -1))),
    (lambda: T.broadcast_to(V, shape=(2, 3)), lambda: T.broadcast_to(V, (2, 3))),
    (lambda: T.linspace(0, end=4.0, steps=3), lambda: T.linspace(0, 4.0, 3)),
    (lambda: T.full_like(a=X, fill_value=2), lambda: T.full_like(X, 2)),
    (lambda: T.empty_like(prototype=X), lambda: T.empty_like(X)),
    (lambda: fuse.gradient.pullback(X**2, X, cotangents=Y), lambda: fuse.Lop(X**2, X, Y)),
    (lambda: fuse.gradient.pushforward(X**2, X, tangents=Y, use_op_pushforward=True), lambda: fuse.Rop(X**2, X, Y)),
    (lambda: clone_replace(X + Y, {Y: X}, rebuild_strict=True, copy_inputs_over=True), lambda: X + X),
]


@pytest.mark.parametrize("k", range(len(SAME)))
def test_by_name_as_by_place(k):
    by_name, by_place = SAME[k]
    assert by_name() is by_place()


def test_logspace_along_another_axis():
    np.testing.assert_allclose(
        T.logspace(np.array([0.0, 1.0]), 2.0, steps=3, axis=1).eval(), np.logspace([0.0, 1.0], 2.0, 3, axis=1)
    )


def test_an_argument_is_given_once_and_names_exist():
    for wrong in (lambda: T.sum(X, input=X), lambda: T.dot(X, Y, r=Y), lambda: T.sum(X, inputs=X)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="both"):
        T.where(X, X)

    @also(data="rest")
    def count(first, *rest):
        return first, rest

    assert count(1, 2, 3) == (1, (2, 3)) and count(data=2, first=1) == (1, (2,))


def test_walks_by_pytensors_names():
    z = T.exp(X) + 1
    assert set(graph_inputs(graphs=[z])) == {X, T.constant(1)} and ancestors(graphs=[z])[-1] is z
    [x], [new] = clone(inputs=[X], outputs=[z], clone_inner_graphs=True)
    assert new is T.exp(x) + 1 and x is not X and clone_get_equiv(inputs=[X], outputs=[z])[z] is not z
    one = T.constant(1.5)
    assert clone([one], [one])[1][0] is one
    assert equal_computations([z], [T.exp(Y) + 1], in_xs=[X], in_ys=[Y])
    with pytest.raises(ValueError):
        equal_computations([X], [X, X])
    apart = fuse.gradient.Lop(X, [X, Y], Y, disconnected_inputs="ignore", return_disconnected="none")
    assert apart[1] is None
