"""PyTensor's names beside Theano's: modules that resolve, functions that it adds, flags in its spelling."""
from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
import scipy.linalg

import fuse
import fuse.tensor as pt
from fuse.compile.function import types
from fuse.graph import traversal
from fuse.graph.basic import clone_get_equiv
from fuse.inside import HOMES
from fuse.raise_op import CheckAndRaise

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- modules
@pytest.mark.parametrize("name", sorted(HOMES))
def test_modules_of_the_inside_import_and_so_do_their_names(name):
    module = importlib.import_module(name)
    assert name.removeprefix("fuse.") in module.__doc__
    with pytest.raises(NotImplementedError, match="inside"):
        module.AnyNameAtAll()
    with pytest.raises(AttributeError):
        module.__nothing__


def test_modules_of_functions_are_those_functions_too():
    pad, einsum, reshape = [importlib.import_module(f"fuse.tensor.{name}") for name in ("pad", "einsum", "reshape")]
    assert pad.pad is not pad and pt.pad([1, 2], 1) is pad.pad([1, 2], 1) and pad.pad([1], 1).type.shape == (3,)
    assert float(pt.einsum("i,i->", [1.0, 2.0], [1.0, 2.0]).eval()) == 5.0 and einsum.einsum is not None
    assert not isinstance(pt.reshape, ModuleType) and not isinstance(pt.pad, ModuleType)
    assert pt.reshape([1, 2], (2, 1)).type.shape == (2, 1) and reshape.join_dims is pt.join_dims
    from fuse.tensor.linalg.decomposition.cholesky import cholesky
    from fuse.tensor.linalg.solvers.triangular import solve_triangular

    assert cholesky is pt.linalg.cholesky and solve_triangular is pt.linalg.solve_triangular


def test_paths_of_files_may_be_inputs(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    path = fuse.generic("path")
    f = fuse.function([path], pt.io.load(path, "int64", (None,), mmap_mode="c") * 2, mode="FAST_COMPILE")
    np.testing.assert_array_equal(f(str(tmp_path / "a.npy")), [0, 2, 4])
    with pytest.raises(ValueError, match="mmap_mode"):
        pt.io.load(path, "int64", (None,), mmap_mode="r+")


def test_types_compare_and_convert():
    wide, row, known = [fuse.TensorType("float64", shape) for shape in ((None, None), (1, None), (2, 3))]
    assert wide.in_same_class(known) and not wide.in_same_class(row)
    x = known("x")
    assert wide.convert_variable(x) is x and known.convert_variable(wide()) is None


def test_ops_beside_functions_around_them():
    from fuse.tensor.math import _conj, _sum
    from fuse.tensor.shape import _shape

    assert (_conj, _sum, _shape) == (pt.conj, pt.sum, fuse.tensor.shape)
    with pytest.raises(AttributeError):
        pt.math._nothing


def test_names_that_are_others_here():
    from fuse.graph.rewriting.basic import PatternNodeRewriter, node_rewriter
    from fuse.graph.rewriting.utils import is_same_graph, rewrite_graph

    x = pt.dvector("x")
    assert PatternNodeRewriter is fuse.gof.PatternSub and node_rewriter is fuse.gof.local_optimizer
    assert rewrite_graph(pt.log(1 + x)) is pt.log1p(x) and is_same_graph(x, x)
    assert rewrite_graph([pt.log(1 + x), x], include=("canonicalize", "specialize")) == [pt.log1p(x), x]
    given = fuse.FunctionGraph([x], [pt.log(1 + x)])
    copied = rewrite_graph(given, clone=True)
    assert given.outputs == [pt.log(1 + x)] and copied.outputs[0].op.name == "log1p"
    assert rewrite_graph(given) is given and given.outputs == [pt.log1p(x)]


def test_functions_that_are_modules_too():
    x = pt.dscalar("x")
    assert types.Function is fuse.Function and float(fuse.compile.function([x], x + 1)(1.0)) == 2.0
    basic = importlib.import_module("fuse.scan.basic")
    outs, _ = fuse.scan(lambda p: p * 2, outputs_info=x, n_steps=3)
    again, _ = basic.scan(lambda p: p * 2, outputs_info=x, n_steps=3)
    np.testing.assert_array_equal(fuse.function([x], outs)(1.0), fuse.function([x], again)(1.0))
    assert pt.shape(pt.dmatrix()).ndim == 1 and importlib.import_module("fuse.tensor.shape").Reshape is pt.Reshape


def test_flags_in_pytensors_spelling():
    assert fuse.config.unittests__rseed == fuse.config.unittests.rseed == "666"
    before = fuse.config.scan__debug
    with fuse.config.change_flags(scan__debug=True):
        assert fuse.config.scan.debug is True
    assert fuse.config.scan__debug is before


# ---------------------------------------------------------------- walks
def test_walks():
    x, y = pt.dvectors("x", "y")
    z = pt.exp(x) * y
    assert next(traversal.walk([z], lambda v: v.owner.inputs if v.owner else None)) is z
    assert [n for n, _ in traversal.walk([z], lambda v: v.owner and v.owner.inputs, return_children=True)][-1] in (x, y)
    assert traversal.variable_depends_on(z, [y]) and not traversal.variable_depends_on(pt.exp(x), y)
    assert traversal.get_var_by_name([z], "y") == (y,)
    assert set(traversal.truncated_graph_inputs([z])) == {x, y}
    new = clone_get_equiv([x, y], [z])
    assert new[z] is pt.exp(new[x]) * new[y] and new[x] is not x


def test_check_and_raise():
    x = pt.dscalar("x")
    op = CheckAndRaise(KeyError, "too large")
    out = op(x * 2, x < 2, x > -2)
    f = fuse.function([x], [out, fuse.grad(out, x)])
    assert list(map(float, f(1.0))) == [2.0, 2.0]
    with pytest.raises(KeyError, match="too large"):
        f(3.0)

    class Mine(ValueError):
        pass

    with pytest.raises(Mine, match=r"^mine$"):
        CheckAndRaise(Mine, "mine")(x, x < 2).eval({x: 3.0})
    with pytest.raises(ValueError, match="Exception subclass"):
        CheckAndRaise(int)
    assert op == CheckAndRaise(KeyError, "too large") != CheckAndRaise(ValueError, "too large")


# ---------------------------------------------------------------- functions
A, B, V, W = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 4)), RNG.normal(size=(2, 3))
FUNCTIONS = {
    "vecdot": (lambda: pt.vecdot(V, V[0]), lambda: np.vecdot(V, V[0])),
    "vecdot complex": (lambda: pt.vecdot(V * 1j, V + 1j), lambda: np.vecdot(V * 1j, V + 1j)),
    "matvec": (lambda: pt.matvec(A, V), lambda: np.einsum("bij,bj->bi", A, V)),
    "vecmat": (lambda: pt.vecmat(W, A), lambda: np.einsum("bi,bij->bj", W, A)),
    "geomspace": (lambda: pt.geomspace(2.0, 50.0, 5), lambda: np.geomspace(2.0, 50.0, 5)),
    "tril": (lambda: pt.tril_indices(3, 1, 4)[1], lambda: np.tril_indices(3, 1, 4)[1]),
    "triu": (lambda: pt.triu_indices(3, 1, 4)[1], lambda: np.triu_indices(3, 1, 4)[1]),
    "tril from": (lambda: pt.tril_indices_from(pt.as_tensor(A[0]))[0], lambda: np.tril_indices_from(A[0])[0]),
    "triu from": (lambda: pt.triu_indices_from(pt.as_tensor(A[0]))[0], lambda: np.triu_indices_from(A[0])[0]),
    "join_dims": (lambda: pt.join_dims(pt.as_tensor(A), 1), lambda: A.reshape(2, 12)),
    "join no dims": (lambda: pt.join_dims(pt.as_tensor(A), 1, 0), lambda: A.reshape(2, 1, 3, 4)),
    "split_dims": (lambda: pt.split_dims(pt.as_tensor(A), (2, -1), axis=-1), lambda: A.reshape(2, 3, 2, 2)),
    "concat_with_broadcast": (
        lambda: pt.concat_with_broadcast([A, W[0]], axis=-1),
        lambda: np.concatenate([A, np.broadcast_to(W[0], (2, 3, 3))], axis=-1),
    ),
    "cho_solve": (
        lambda: pt.linalg.cho_solve((np.linalg.cholesky(np.eye(3) * 2 + 1), True), W[0]),
        lambda: np.linalg.solve(np.eye(3) * 2 + 1, W[0]),
    ),
    "continuous lyapunov": (
        lambda: pt.linalg.solve_continuous_lyapunov(A[0, :, :3], B[0, :3]),
        lambda: scipy.linalg.solve_continuous_lyapunov(A[0, :, :3], B[0, :3]),
    ),
    "discrete lyapunov": (
        lambda: pt.linalg.solve_discrete_lyapunov(A[0, :, :3], B[0, :3]),
        lambda: scipy.linalg.solve_discrete_lyapunov(A[0, :, :3], B[0, :3]),
    ),
    "sylvester": (
        lambda: pt.linalg.solve_sylvester(A[0, :, :3], B[0, :2, :2], W.T),
        lambda: scipy.linalg.solve_sylvester(A[0, :, :3], B[0, :2, :2], W.T),
    ),
    "ix_": (lambda: pt.as_tensor(A)[pt.basic.ix_([1], [0, 2], [3])], lambda: A[np.ix_([1], [0, 2], [3])]),
    "convolve": (lambda: pt.convolve(V[0], W[0], "same"), lambda: np.convolve(V[0], W[0], "same")),
    "of integers": (lambda: pt.convolve([1, 2], [4, 5, 6], "valid"), lambda: np.convolve([4, 5, 6], [1, 2], "valid")),
    "interpolate1d": (
        lambda: pt.interpolate1d([0.0, 1.0, 3.0], [0.0, 1.0, -1.0], extrapolate=False)([-1.0, 0.5, 2.0, 9.0]),
        lambda: np.interp([-1.0, 0.5, 2.0, 9.0], [0.0, 1.0, 3.0], [0.0, 1.0, -1.0]),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_pytensor_adds(name):
    build, want = FUNCTIONS[name]
    np.testing.assert_allclose(build().eval(), want(), rtol=1e-10)


def test_packing_is_undone_by_unpacking():
    x, y = pt.dtensor3("x"), pt.dtensor4("y")
    packed, shapes = pt.pack(x, y, keep_axes=(0, -1))
    values = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 1, 2, 4))
    found = fuse.function([x, y], [packed, *pt.unpack(packed, shapes, keep_axes=(0, -1))])(*values)
    assert found[0].shape == (2, 5, 4)
    for have, want in zip(found[1:], values, strict=True):
        np.testing.assert_array_equal(have, want)
    with pytest.raises(ValueError, match="contiguous"):
        pt.pack(x, y, keep_axes=(1,))


def test_sizes_that_are_declared():
    m = pt.dmatrix("m")
    row = pt.specify_broadcastable(m, 0)
    assert row.type.broadcastable == (True, False)
    with pytest.raises(AssertionError):
        row.eval({m: np.ones((2, 3))})
    n = pt.lscalar("n")
    assert pt.basic.infer_static_shape((2, n))[1] == (2, None)
    with pytest.raises(TypeError, match="integers"):
        pt.basic.infer_static_shape((2.5,))
    assert pt.get_underlying_scalar_constant_value(n, raise_not_constant=False) is n


def test_ops_whose_infer_shape_takes_the_graph_first():
    class Twice(fuse.Op):
        __props__ = ()

        def make_node(self, x):
            return fuse.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = 2 * inputs[0]

        def infer_shape(self, fgraph, node, shapes):
            assert fgraph is None
            return shapes

    x = pt.dvector("x")
    out, shape = fuse.function([x], [Twice()(x), Twice()(x).shape])([1.0, 2.0])
    assert out.tolist() == [2.0, 4.0] and shape.tolist() == [2]


def test_constants_compare_by_value():
    nan = pt.constant([1.0, np.nan])
    assert nan.signature() == pt.constant([1.0, np.nan]).signature() != pt.constant([1.0, 2.0]).signature()
    assert pt.constant(2).equals(2) and not pt.constant(2).equals(3)
    assert fuse.Constant(pt.TensorType("int8", (None,)), [1, 2]).data.dtype == "int8"


def test_constant_masks_are_measured_when_they_are_used():
    x = pt.dmatrix("x")
    rows = fuse.function([x], x[np.array([True, False])])
    np.testing.assert_array_equal(rows([[1.0], [2.0]]), [[1.0]])
    for wrong in ([[1.0]], [[1.0], [2.0], [3.0]]):
        with pytest.raises(IndexError, match="does not match"):
            rows(wrong)


def test_duplicates_may_be_ignored():
    x = pt.dvector("x")
    at = np.array([0, 0, 1])
    add, once = pt.inc_subtensor(x[at], 1.0), pt.inc_subtensor(x[at], 1.0, ignore_duplicates=True)
    found = fuse.function([x], [add, once])([0.0, 0.0])
    assert found[0].tolist() == [2.0, 1.0] and found[1].tolist() == [1.0, 1.0]


def test_ranges_between_arrays():
    low, high = np.array([0.0, 1.0]), np.array([4.0, -3.0])
    found, step = pt.linspace(low, high, 5, retstep=True, axis=-1)
    want, gap = np.linspace(low, high, 5, retstep=True, axis=-1)
    np.testing.assert_allclose(found.eval(), want)
    np.testing.assert_allclose(step.eval(), gap)


def test_options_that_pytensors_functions_take():
    x = pt.dmatrix("x", shape=(2, None))
    assert x.type.shape == (2, None)
    with pytest.raises(ValueError, match="2 dimensions"):
        pt.dmatrix("x", shape=(2,))
    assert pt.exp(x, name="e").name == "e" and pt.add(x, 1, return_list=True)[0] is pt.add(x, 1)
    assert pt.matmul(x, x.T, dtype="float32").dtype == "float32"
    a = np.array([[2.0, 0.5], [0.5, 1.0]])
    found = pt.linalg.solve(a, a, check_finite=False, overwrite_b=True).eval()
    np.testing.assert_allclose(found, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(pt.linalg.cholesky(a, check_finite=False).eval(), np.linalg.cholesky(a))
    v = pt.dvector("v")
    slopes = fuse.gradient.jacobian(v**2, v, vectorize=True)
    np.testing.assert_array_equal(slopes.eval({v: [1.0, 2.0]}), [[2, 0], [0, 4]])


def test_loops_may_return_outputs_alone():
    x = pt.dvector("x")
    start = pt.constant(0.0, dtype="float64")
    sums = fuse.scan(lambda v, s: s + v, sequences=x, outputs_info=start, return_updates=False)
    last = fuse.reduce(lambda v, s: s + v, x, start, return_updates=False)
    assert fuse.function([x], [sums, last])([1.0, 2.0])[0].tolist() == [1.0, 3.0]
    count = fuse.shared(0)
    with pytest.raises(ValueError, match="return_updates"):
        fuse.scan(lambda v: (v, {count: count + 1}), sequences=x, return_updates=False)


def test_the_graph_inside_an_op():
    x, s = pt.dscalar("x"), fuse.shared(2.0)
    op = fuse.OpFromGraph([x], [x * s])
    assert op.inner_inputs == [x, s] and op.inner_outputs == [x * s] and op.shared_inputs == [s]
