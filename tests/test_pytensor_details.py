"""What PyTensor's programs rely on beside its names: gradients of own ops, searches as expressions, checks of sizes."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as pt
from fuse.errors import ShapeError
from fuse.gradient import DisconnectedType
from fuse.graph.replace import graph_replace, vectorize_graph, vectorize_node
from fuse.tensor.blockwise import Blockwise
from fuse.tensor.elemwise import CAReduce, CAReduceDtype
from fuse.tensor.extra_ops import broadcast_shape

PLAIN = "FAST_COMPILE"


# ---------------------------------------------------------------- derivatives of a user's own
class Cube(fuse.Op):
    """An op whose derivatives have PyTensor's names."""

    __props__ = ()
    itypes, otypes = (pt.dvector,), (pt.dvector, pt.dscalar)

    def perform(self, node, inputs, output_storage):
        output_storage[0][0], output_storage[1][0] = inputs[0] ** 3, np.asarray(inputs[0].sum())

    def pullback(self, inputs, outputs, cotangents):
        return [cotangents[0] * 3 * inputs[0] ** 2 + cotangents[1]]

    def pushforward(self, inputs, outputs, tangents):
        assert outputs[0].owner.inputs[0] is inputs[0] and not isinstance(tangents[0].type, DisconnectedType)
        return [tangents[0] * 3 * inputs[0] ** 2, DisconnectedType()()]


def test_own_ops_have_pullbacks_and_pushforwards():
    x, v = pt.dvector("x"), pt.dvector("v")
    cubes, total = Cube()(x)
    both = [fuse.grad(cubes.sum() + 2 * total, x), fuse.gradient.pushforward(cubes, x, v)]
    f = fuse.function([x, v], both, mode=PLAIN)
    slope, tangent = f([1.0, 2.0], [1.0, 10.0])
    assert slope.tolist() == [5.0, 14.0] and tangent.tolist() == [3.0, 120.0]
    assert Cube().L_op([x], [cubes, total], [v, total]) is not None and Cube().R_op([x], [v])[0] is not None


def test_own_ops_of_older_names_answer_to_the_newer_ones():
    class Twice(fuse.Op):
        __props__ = ()
        itypes, otypes = (pt.dscalar,), (pt.dscalar,)

        def grad(self, inputs, output_grads):
            return [2 * output_grads[0]]

        def R_op(self, inputs, eval_points):
            return [None if eval_points[0] is None else 2 * eval_points[0]]

    x = pt.dscalar("x")
    assert float(Twice().pullback([x], [x], [x])[0].eval({x: 3.0})) == 6.0
    assert Twice().pushforward([x], [x], [DisconnectedType()()]) == [None]


@pytest.mark.parametrize("name", ["pullback", "lop_overrides"])
def test_overridden_pullbacks_of_graphs(name):
    x, y = pt.dvector("x"), pt.dvector("y")
    op = fuse.OpFromGraph([x, y], [x * y], **{name: [lambda i, o, g: 100 * g[0], None]})
    a, b = pt.dvector("a"), pt.dvector("b")
    slopes = fuse.function([a, b], fuse.grad(op(a, b).sum(), [a, b]), mode=PLAIN)([1.0], [5.0])
    assert [s.tolist() for s in slopes] == [[100.0], [1.0]]


def test_overridden_pushforwards_of_graphs():
    x, v = pt.dvector("x"), pt.dvector("v")
    op = fuse.OpFromGraph([x], [x**2], pushforward=lambda inputs, tangents: [7 * tangents[0]])
    assert fuse.function([x, v], fuse.gradient.pushforward(op(x), x, v), mode=PLAIN)([2.0], [3.0]).tolist() == [21.0]
    with pytest.raises(ValueError, match="two ways"):
        fuse.OpFromGraph([x], [x], pullback=lambda i, o, g: g, lop_overrides=lambda i, o, g: g)
    with pytest.raises(ValueError, match=r"Expected 1 input\(s\)"):
        op.make_node()
    assert [type(o) for o in op.clone().fgraph.outputs] == [type(x**2)]


# ---------------------------------------------------------------- searches
CUBIC = {"secant": (False, False), "newton": (True, False), "halley": (True, True)}


@pytest.mark.parametrize("method", CUBIC)
def test_roots_of_numbers_begin_at_the_variable(method):
    x, a = pt.dscalar("x"), pt.dscalar("a")
    jac, hess = CUBIC[method]
    at, found = pt.optimize.root_scalar(x**3 + x - a, x, method=method, jac=jac, hess=hess)
    value, told, slope = fuse.function([x, a], [at, found, fuse.grad(at, a)], mode=PLAIN)(1.0, 10.0)
    np.testing.assert_allclose([value, slope], [2.0, 1 / 13], rtol=1e-9)
    assert told and told.dtype == bool


def test_minima_of_several_arrays():
    x, y, a = pt.dvector("x"), pt.fmatrix("y"), pt.dscalar("a")
    cost = ((x - a) ** 2).sum() + ((y - 2 * a) ** 2).sum()
    (p, q), found = pt.optimize.minimize(cost, [x, y], hess=True, method="Newton-CG")
    f = fuse.function([x, y, a], [p, q, found, fuse.grad(p.sum() + q.sum(), a)], mode=PLAIN)
    left, right, told, slope = f([0.0, 5.0], np.ones((1, 2), "float32"), 1.5)
    np.testing.assert_allclose(left, 1.5)
    np.testing.assert_allclose(right, [[3.0, 3.0]])
    assert told and right.dtype == np.float32 and round(float(slope), 6) == 6.0


def test_searches_within_limits_stay_there_and_tell_failures():
    x = pt.dscalar("x")
    best, _ = pt.optimize.minimize_scalar((x - 5) ** 2, x, method="bounded", optimizer_kwargs={"bounds": (0.0, 1.0)})
    where, found = pt.optimize.root(x**2 + 1, x)
    limited, _, told = fuse.function([x], [best, where, found], mode=PLAIN)(0.3)
    assert abs(limited - 1.0) < 1e-4 and not told
    for wrong in (
        lambda: pt.optimize.minimize(pt.dvector() ** 2, pt.dvector()), lambda: pt.optimize.root_scalar(x, pt.dscalar()),
        lambda: pt.optimize.minimize_scalar(pt.dvector("v").sum(), pt.dvector()),
        lambda: pt.optimize.root_scalar(x, x, hess=True),
    ):
        with pytest.raises(ValueError):
            wrong()


# ---------------------------------------------------------------- sizes
@pytest.mark.parametrize("build", [
    lambda x, y: pt.tensordot(x, y, 2), lambda x, y: pt.einsum("ij,ij->", x, y),
    lambda x, y: pt.einsum("ijk,ijl->kl", x[:, :, None], y[:, :, None]),
    lambda x, y: pt.einsum("ijk,ijk->ij", x[:, :, None], y[:, :, None]),
    lambda x, y: pt.batched_tensordot(x[None], y[None], 2),
])
def test_axes_that_are_summed_together_have_equal_sizes_each(build):
    # 3 by 2 elements were paired with 2 by 3
    x, y = pt.dmatrix("x"), pt.dmatrix("y")
    f = fuse.function([x, y], build(x, y), mode=PLAIN)
    f(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError):
        f(np.ones((3, 2)), np.ones((2, 3)))


def test_a_shape_of_another_length_is_refused():
    x, shape = pt.dmatrix("x"), pt.lvector("shape")
    f = fuse.function([x, shape], x.reshape(shape, ndim=2), mode=PLAIN)
    assert f(np.ones((3, 4)), [2, 6]).shape == (2, 6)
    with pytest.raises(ValueError):
        f(np.ones((3, 4)), [3, 4, 1])


def test_known_sizes_that_do_not_broadcast():
    for function in (broadcast_shape, pt.broadcast_shape):
        with pytest.raises(ShapeError):
            function((4, 2), (3, 2), arrays_are_shapes=True)


def test_draws_know_their_sizes():
    x = pt.random.normal(np.zeros((2, 1)), 1.0, size=(4, 2, 3))
    assert x.type.shape == (4, 2, 3) and pt.random.dirichlet(np.ones((2, 3))).type.shape == (2, 3)

    class Short(pt.random.op.RandomVariable):
        name, signature, dtype = "short", "()->()", "floatX"

        @classmethod
        def rng_fn(cls, rng, a, size):
            return np.zeros(7)

    with pytest.raises(ValueError, match="was expected"):
        (Short()(1.0, size=(3,)) * 2).eval()


# ---------------------------------------------------------------- smaller things
def test_slope_of_log1mexp_at_zero():
    x = pt.dscalar("x")
    f = fuse.function([x], fuse.grad(pt.log1mexp(x), x), mode=PLAIN)
    assert f(0.0) == f(-0.0) == -np.inf and f(-0.5) == pytest.approx(-1 / np.expm1(0.5))


def test_replacements_have_to_be_used():
    x, y = pt.dvectors("x", "y")
    with pytest.raises(ValueError, match="not used"):
        graph_replace([x + 1], {pt.exp(y): x})
    assert graph_replace(x + 1, {pt.exp(y): x}, strict=False) is x + 1


def test_ops_of_few_axes_over_many():
    class Total(fuse.Op):
        __props__ = ()
        gufunc_signature = "(n)->()"

        def make_node(self, x):
            return fuse.Apply(self, [x], [pt.dscalar()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = np.asarray(inputs[0].sum())

    x = pt.dmatrix("x")
    assert Blockwise(Total())(x).eval({x: [[1.0, 2.0], [3.0, 4.0]]}, mode=PLAIN).tolist() == [3.0, 7.0]
    with pytest.raises(ValueError, match="Signature"):
        Blockwise(pt.exp)


def test_constants_take_and_lose_axes():
    c = pt.constant([1.0])
    assert pt.constant(c, ndim=2).type.shape == (1, 1) and pt.constant(c, ndim=0).ndim == 0 and pt.constant(c) is c
    with pytest.raises(NotImplementedError, match="MaskedArrays"):
        pt.constant(np.ma.masked_less([1.0, 2.0], 2.0))


def test_modules_lend_their_names_to_stars():
    names: dict[str, object] = {}
    for module in ("type", "math", "basic"):
        exec(f"from fuse.tensor.{module} import *", names)
    assert all(name in names for name in ("vector", "exp", "logsumexp", "tril_indices", "expit", "sqr"))


def test_sorts_are_of_known_kinds():
    x = pt.dvector("x")
    for wrong, text in (({"kind": "hanoi"}, "one of"), ({"kind": "stable", "stable": True}, "same time")):
        with pytest.raises(ValueError, match=text):
            pt.sort(x, **wrong)


def test_blocks_of_stacks():
    a, b = np.arange(4.0).reshape(2, 1, 2), np.ones((3, 1))
    found = pt.linalg.block_diag(a, b).eval(mode=PLAIN)
    assert found.shape == (2, 4, 3) and found[1].tolist() == [[2, 3, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_draws_of_each_row():
    """A draw of a row, vectorised, is a draw for each: by one generator, so that equal rows differ."""
    rng, mu = fuse.shared(np.random.default_rng(5)), pt.dscalar("mu")
    draws = pt.random.normal(mu, 1.0, size=(3,), rng=rng)
    rows = pt.dmatrix("rows")
    found = vectorize_graph(draws, {mu: rows[:, 0]}).eval({rows: np.zeros((2, 3))}, mode=PLAIN)
    assert np.array_equal(found, np.random.default_rng(5).normal(size=(2, 3)))
    then, again = pt.random.normal(mu, 1.0, rng=rng, return_next_rng=True)
    later = vectorize_graph(pt.random.normal(0.0, 1.0, rng=then) + again, {mu: rows[:, 0]})
    want = np.random.default_rng(5)
    first, second = want.normal(size=2), want.normal(size=2)
    assert np.array_equal(later.eval({rows: np.zeros((2, 3))}, mode=PLAIN), first + second)


def test_tiles_of_few_repetitions():
    x, reps = pt.dmatrix("x"), pt.lvector("reps")
    a = np.arange(6.0).reshape(2, 3)
    f = fuse.function([x, reps], pt.tile(x, reps, ndim=3), mode=PLAIN)
    for few in ([2], [2, 1], [1, 2, 2]):
        assert np.array_equal(f(a, few), np.tile(a[None], few))
    for wrong, ndim in ((2.5, None), ((1, 2, 2), 2)):
        with pytest.raises(ValueError):
            pt.tile(x, wrong, ndim)


def test_applications_are_made_for_batches():
    x, rows, more = pt.dvector("x"), pt.dmatrix("rows"), pt.dmatrix("more")
    given = np.arange(6.0).reshape(2, 3)
    pair, part = (x + x).owner, x[1:].owner
    made = [vectorize_node(pair, rows, more), vectorize_node(pair, rows, x), vectorize_node(part, rows)]
    f = fuse.function([rows, more, x], [n.outputs[0] for n in made], mode=PLAIN)
    both, one, sliced = f(given, 10 * given, np.ones(3))
    assert both.tolist() == (11 * given).tolist() and one.tolist() == (given + 1).tolist()
    assert sliced.tolist() == given[:, 1:].tolist()
    several = vectorize_node(pt.linalg.svd(rows)[0].owner, pt.dtensor3("t"))
    assert [out.ndim for out in several.outputs] == [3, 2, 3]
    with pytest.raises(ValueError, match="takes 2 inputs"):
        vectorize_node(pair, rows)


def test_gradients_in_loops_whose_draws_stay_outside_of_them():
    """A generator is a state of both loops; no gradient arrives at it, and what arrives at the rest is right."""
    x, stream = pt.dmatrix("x"), pt.random.utils.RandomStream(3)

    def inner(i, given):
        return given + stream.multinomial(1, fuse.gradient.disconnected_grad(given / given.sum(axis=1, keepdims=True)))

    def outer(i, given):
        pooled, updates = fuse.scan(inner, sequences=[pt.arange(2)], non_sequences=[given])
        return pooled * stream.binomial(1, 1.0), updates

    found, updates = fuse.scan(outer, sequences=[pt.arange(3)], non_sequences=[x])
    slope = fuse.grad(found.sum(), x)
    assert fuse.function([x], slope, updates=updates, mode=PLAIN)(np.ones((2, 2))).tolist() == [[6.0, 6.0]] * 2


def test_scalars_have_an_axis_for_reductions():
    """NumPy takes axis 0 and -1 of a scalar where they go away, and no other one."""
    x = pt.dscalar("x")
    found = [reduce(x, axis=axis) for reduce, axis in (
        (pt.sum, 0), (pt.max, (-1,)), (pt.argmin, 0), (pt.var, -1), (pt.logsumexp, 0), (pt.squeeze, (0,)),
    )]
    assert [float(v) for v in fuse.function([x], found, mode=PLAIN)(5.0)] == [5, 5, 0, 0, 5, 5]
    for axis in (1, (0, -1)):
        with pytest.raises(ValueError, match="out of bounds for 0 dimensions"):
            pt.sum(x, axis=axis)


def test_reductions_by_class_keep_the_dtype():
    x, b = pt.bmatrix("x"), pt.matrix("b", dtype="bool")
    given = np.array([[100, 100, 7], [100, 3, 5]], "int8")
    made = [CAReduce(fuse.scalar.add, axis=0)(x), CAReduce(fuse.scalar.mul)(x), CAReduce(fuse.scalar.add, axis=1)(b)]
    sums, product, either = fuse.function([x, b], made, mode=PLAIN)(given, given == 7)
    assert sums.dtype == product.dtype == "int8" and sums.tolist() == [-56, 103, 12]
    assert either.tolist() == [True, False]
    assert product == given.prod(dtype="int8")
    wide = CAReduceDtype(fuse.scalar.add, axis=0, dtype="int32")(x)
    assert wide.dtype == "int32" and CAReduceDtype(fuse.scalar.add, axis=0)(x).dtype == "int64"


def test_shared_vectors_have_a_length():
    sizes = fuse.shared(np.array([2, 3]))
    f = fuse.function([], [pt.zeros(sizes).shape, *pt.unravel_index(np.array([1, 5]), sizes)], mode=PLAIN)
    assert [part.tolist() for part in f()] == [[2, 3], [0, 1], [1, 2]] and pt.get_vector_length(sizes) == 2
    sizes.set_value([2, 4])
    assert [part.tolist() for part in f()] == [[2, 4], [0, 1], [1, 1]]
    sizes.set_value([2, 3, 4])
    with pytest.raises(ValueError, match="shape"):
        f()


def test_values_that_nothing_needs():
    x = pt.dmatrix("x")
    assert pt.constant(3.0).eval({x: np.ones((1, 1))}) == 3
    with pytest.raises(fuse.FuseError):
        pt.constant(3.0).eval({x: np.ones((1, 1))}, on_unused_input="raise")
