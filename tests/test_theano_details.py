"""Details that Theano programs rely on: bounds that cross, names of types, ops compared with functions, optdb."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import gof
from fuse.compile import optdb
from fuse.compile.mode import Mode, get_default_mode
from fuse.op import NAMED_REWRITES
from fuse.tests import unittest_tools as utt
from fuse.typed_list import TypedListType, append, count, extend, index_, insert, length, make_list, remove, reverse


def test_clip_with_crossed_bounds_is_theanos_and_numpys_own_function_is_numpys():
    """Theano 1.0.5 gives ``low`` where x < low, else ``high`` where x > high."""
    x, low, high = T.dvector("x"), T.dscalar("low"), T.dscalar("high")
    at = np.array([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 5.0, np.nan])
    y = T.clip(x, low, high)
    f = fuse.function([x, low, high], [y, *fuse.grad(y.sum(), [x, low, high]), np.clip(x, low, high)])
    value, *gradients, numpys = f(at, 1.0, -1.0)
    np.testing.assert_array_equal(value, [1, 1, 1, 1, -1, -1, -1, np.nan])
    assert gradients[0].tolist() == [0] * 8 and (float(gradients[1]), float(gradients[2])) == (4.0, 3.0)
    np.testing.assert_array_equal(numpys, np.clip(at, 1.0, -1.0))
    value, *_, numpys = f(at, -1.0, 1.0)
    np.testing.assert_array_equal(value, np.clip(at, -1, 1))
    np.testing.assert_array_equal(value, numpys)
    i = T.ivector("i")
    assert T.clip(i, 3, 1).eval({i: range(6)}).tolist() == [3, 3, 3, 1, 1, 1]
    np.testing.assert_array_equal(np.clip(x, 2, 1).eval({x: at}), np.clip(at, 2, 1))


def test_a_vector_of_split_sizes_has_no_negative_ones():
    x, sizes = T.dvector("x"), T.lvector("sizes")
    f = fuse.function([x, sizes], T.split(x, sizes, 2))
    assert [p.tolist() for p in f(np.arange(5.0), [2, 3])] == [[0, 1], [2, 3, 4]]
    assert [p.tolist() for p in f(np.arange(2.0), [0, 2])] == [[], [0, 1]]
    for wrong in ([6, -1], [-1, 6], [2, 2], [-1, -4]):
        with pytest.raises(ValueError):
            f(np.arange(5.0), wrong)


def test_parts_of_a_split_may_be_long():
    x, sizes = T.bvector("x"), T.lvector("sizes")
    f = fuse.function([x, sizes], [part.shape[0] for part in T.split(x, sizes, 2)])
    lengths = [12_000_001, 8_000_000]
    assert [int(n) for n in f(np.broadcast_to(np.int8(1), sum(lengths)), lengths)] == lengths


def test_types_have_theanos_names():
    x = T.dmatrix("x")
    found = [str(t) for t in (T.drow, T.dcol, T.ftensor3, T.dtensor4, x.dimshuffle("x", 0, 1).type, T.dvector)]
    assert found == [
        "TensorType(float64, row)", "TensorType(float64, col)", "TensorType(float32, 3D)", "TensorType(float64, 4D)",
        "TensorType(float64, (True, False, False))", "TensorType(float64, vector)",
    ]


def test_ops_are_compared_with_functions():
    x, y = T.dvectors("x", "y")
    node = (T.exp(x) + y).owner
    assert node.op == T.add and T.add == node.op and node.op != T.mul and node.inputs[0].owner.op in (T.log, T.exp)
    assert node.op == T.add(x, 1).owner.op and node.op.scalar_op == fuse.scalar.add and {node.op: 1}[node.op] == 1


class Simplify(gof.Optimizer):
    """``x * x`` as ``sqr(x)``, written as in Theano's documentation."""

    def add_requirements(self, fgraph):
        fgraph.attach_feature(gof.toolbox.ReplaceValidate())

    def apply(self, fgraph):
        for node in fgraph.toposort():
            if node.op == T.mul and node.inputs[0] is node.inputs[1]:
                fgraph.replace_validate(node.outputs[0], T.sqr(node.inputs[0]), reason="simplify")


def test_a_graph_is_rewritten_by_an_optimizer():
    x = T.dvector("x")
    inner = T.exp(x)
    graph = gof.FunctionGraph([x], [T.sin(inner * inner * (inner * inner))])
    assert Simplify().optimize(graph) is graph and str(graph.outputs[0]) == "sin(sqr(sqr(exp(x))))"
    with pytest.raises(TypeError, match="replaced"):
        graph.replace(graph.outputs[0], x.sum())
    ones = gof.SequenceDB()
    ones.register("one", Simplify(), 1.0, "fast_run")
    graph = gof.FunctionGraph([x], [x * x])
    assert str(ones.optimize(graph).outputs[0]) == "sqr(x)" and str(graph.clone().outputs[0]) == "sqr(x)"


@pytest.fixture
def registry():
    before = dict(NAMED_REWRITES)
    yield optdb
    NAMED_REWRITES.clear()
    NAMED_REWRITES.update(before)


def test_rewrites_are_registered_and_chosen_by_tags(registry):
    """As in Theano: what a function gets depends on the tags of its mode."""
    x, total = T.dvector("x"), fuse.shared(0.0)

    def f(mode=None):
        return fuse.function([x], T.exp(x), mode=mode, updates=[(total, T.exp(x).sum())])([0.0])[0]

    to_cos = gof.TopoOptimizer(gof.OpSub(T.exp, T.sin))
    registry.register("exp_to_sin", to_cos, 2.0, "exp_to_sin_tag")
    assert registry["exp_to_sin"] is to_cos and "exp_to_sin" in registry
    with pytest.raises(ValueError, match="taken"):
        registry.register("exp_to_sin", to_cos, 2.0)
    mode = get_default_mode()
    assert (f(), f(mode.including("exp_to_sin")), f(mode.including("exp_to_sin_tag"))) == (1.0, 0.0, 0.0)
    assert float(total.get_value()) == 0.0
    registry.add_tags("exp_to_sin", "fast_run")
    assert (f(), f(mode.excluding("exp_to_sin")), f("FAST_COMPILE")) == (0.0, 1.0, 1.0)
    registry.remove_tags("exp_to_sin", "fast_run")

    @gof.local_optimizer([T.exp])
    def exp_to_tanh(node):
        return [T.tanh(node.inputs[0])]

    registry["specialize"].register("exp_to_tanh", exp_to_tanh, "fast_run")
    assert f() == 0.0
    assert f(Mode("py", optimizer=gof.EquilibriumOptimizer([gof.PatternSub((T.exp, "z"), (T.cosh, "z"))]))) == 1.0
    with pytest.raises(TypeError, match="optimizer"):
        Mode(optimizer=3)


def test_a_function_without_outputs_gives_an_empty_list():
    x, total = T.dvector("x"), fuse.shared(0.0)
    assert fuse.function([x], updates=[(total, x.sum())])([1.0, 2.0]) == [] and float(total.get_value()) == 3.0


def test_typed_lists():
    """Values recorded from Theano 1.0.5."""
    kind = TypedListType(T.fvector)
    a, b, v, i = kind("a"), kind("b"), T.fvector("v"), T.lscalar("i")
    assert str(kind) == "TypedList <TensorType(float32, vector)>" and kind == TypedListType(T.fvector) != kind.ttype
    assert a.append(v) is append(a, v) and a.reverse() is reverse(a) and not hasattr(v, "append")
    results = [
        append(a, v), extend(a, b), insert(a, i, v), remove(a, v), reverse(a), a[i], a[:1], length(a), count(a, v),
        index_(a, v), make_list([v, v + 1]),
    ]
    f = fuse.function([a, b, v, i], results)
    found = f([[1, 2], [3]], [[4]], [3], 1)
    plain = [[e.tolist() for e in r] if isinstance(r, list) else r.tolist() for r in found]
    assert plain == [
        [[1, 2], [3], [3]], [[1, 2], [3], [4]], [[1, 2], [3], [3]], [[1, 2]], [[3], [1, 2]], [3], [[1, 2]], 2, 1, 1,
        [[3], [4]],
    ]
    assert found[0][0].dtype == "float32" and found[7].dtype == "int64" and found[8].dtype == fuse.config.floatX
    from fuse.typed_list.basic import Append, GetItem, Reverse

    assert Append(True)(a, v) is append(a, v) and Reverse(inplace=True)(a) is reverse(a)
    assert GetItem()(a, slice(None, 1)) is a[:1]
    sums, _ = fuse.scan(lambda k, entries: entries[k].sum(), sequences=T.arange(2), non_sequences=a)
    assert fuse.function([a], sums)([[1, 2], [3]]).tolist() == [3, 3]
    deep = TypedListType(T.fvector, 1)("deep")
    assert deep.type.get_depth() == 1 and fuse.function([deep], deep[0][0])([[[7]]]).tolist() == [7]
    with pytest.raises(ValueError, match="not in the list"):
        f([[1, 2]], [[4]], [3], 0)
    with pytest.raises(TypeError, match="list"):
        f(3, [[4]], [3], 0)
    for build, args in ((append, (a, T.dvector())), (length, (v,)), (make_list, ([],)), (extend, (a, deep))):
        with pytest.raises(TypeError):
            build(*args)
    for index in ("x", slice(i, None)):
        with pytest.raises(TypeError):
            a[index]


class Doubled(fuse.Op):
    """Written with ``make_thunk`` in place of ``perform``."""

    __props__ = ()

    def make_node(self, x):
        return fuse.Apply(self, [x], [x.type()])

    def make_thunk(self, node, storage_map, compute_map, no_recycling, impl=None):
        def thunk():
            storage_map[node.outputs[0]][0] = storage_map[node.inputs[0]][0] * 2
            compute_map[node.outputs[0]][0] = True

        return thunk

    def infer_shape(self, fgraph, node, shapes):
        return shapes

    def grad(self, inputs, output_grads):
        return [output_grads[0] * 2]


class TestDoubled(utt.InferShapeTester, utt.OptimizationTestMixin, utt.T_OpContractMixin):
    def setUp(self):
        super().setUp()
        self.op_class = Doubled
        self.ops, self.other_op = [Doubled()], gof.Op()

    def test_values_and_gradient(self):
        x = T.dvector("x")
        f = fuse.function([x], Doubled()(x))
        assert f([1.0, 2.0]).tolist() == [2.0, 4.0]
        self.assertFunctionContains1(f, Doubled())
        self.assertFunctionContains0(f, T.exp)
        utt.verify_grad(Doubled(), [np.random.rand(3)])

    def test_infer_shape(self):
        x = T.dmatrix("x")
        self._compile_and_check([x], [Doubled()(x)], [np.random.rand(2, 3)], Doubled)


def test_the_tools_for_tests_say_what_differs():
    assert utt.fetch_seed(4) == 4 and utt.seed_rng() == utt.fetch_seed()
    utt.assert_allclose(np.ones(2), np.ones(2) + 1e-9)
    utt.assert_allclose([np.ones(3)], np.ones(3))  # as Theano's own tests compare lists of results
    with pytest.raises(utt.WrongValue):
        utt.assert_allclose(np.ones(3), np.ones(2))
    with pytest.raises(utt.WrongValue, match="Not equal to tolerance"):
        utt.assert_allclose([1.0, 2.0], [1.0, 3.0])
    with pytest.raises(utt.verify_grad.E_grad):
        utt.verify_grad(lambda x: fuse.gradient.disconnected_grad(x) * x, [np.ones(2)])


def test_an_empty_list_is_floatx():
    with fuse.config.change_flags(floatX="float32"):
        assert {T.as_tensor_variable(x).dtype for x in ([], (), [[]])} == {"float32"}
        assert [T.as_tensor_variable(x).dtype for x in ([1.5], [1])] == ["float64", "int64"]
        assert T.concatenate([[], T.fvector()]).dtype == "float32"
    assert T.as_tensor_variable(np.zeros(0, "int8")).dtype == "int8"


def test_small_functions():
    m = T.dmatrix("m")
    assert T.nnet.prepend_scalar_to_each_row(5.0, m).eval({m: [[1.0]]}).tolist() == [[5.0, 1.0]]
    assert T.nnet.prepend_1_to_each_row(m).eval({m: [[2.0]]}).tolist() == [[1.0, 2.0]]
    assert gof.utils.flatten([1, [2, (3,)]]) == [1, 2, 3] and gof.utils.uniq([2, 1, 2]) == [2, 1]
    assert fuse.sparse_grad(m) is m and fuse.gradient.format_as(True, False, m) == [m]


def test_negative_labels_are_refused_by_the_crossentropies_of_one_op():
    x, b, y = T.dmatrix("x"), T.dvector("b"), T.ivector("y")
    outs = T.nnet.crossentropy_softmax_argmax_1hot_with_bias(x, b, y)
    f = fuse.function([x, b, y], [*outs, T.grad(outs[0].sum(), x)])
    scores, none = np.array([[1.0, 3.0], [0.5, 0.0]]), np.zeros(2)
    found = f(scores, none, np.array([0, 1], "int32"))
    assert (found[2].tolist(), found[2].dtype) == ([1, 0], np.int32)
    with pytest.raises(ValueError, match="y_i value out of bounds"):
        f(scores, none, np.array([0, -1], "int32"))


def test_debug_mode_names_a_wrong_rewrite():
    from fuse.rules import user

    x = T.dvector("x")
    wrong = fuse.compile.DebugMode(optimizer=gof.TopoOptimizer(gof.OpSub(T.sin, T.cos)))
    f = fuse.function([x], T.exp(T.sin(x)) * 2, mode=wrong)
    with pytest.raises(fuse.compile.debugmode.BadOptimization, match=r"output 0 differs .* after the rewrite"):
        f([1.0])
    user.register(lambda node: [T.cos(node.inputs[0])] if node.op == T.sin else None, "to_cos")
    try:
        f = fuse.function([x], T.exp(T.sin(x)) * 2, mode="DebugMode")
        with pytest.raises(fuse.compile.debugmode.BadOptimization, match="by the rewrite to_cos: "):
            f([1.0])
    finally:
        user.remove("to_cos")


def test_monitors_of_pytensor_get_the_graph_first():
    x, seen = T.dscalar("x"), []

    def see(fgraph, i, node, fn):
        seen.append((fgraph.outputs, fn.outputs[0][0]))

    fuse.function([x], T.exp(x), mode=fuse.compile.MonitorMode(post_func=see))(0.0)
    assert seen == [([T.exp(x)], 1.0)]


def test_modules_below_those_that_stand_in_for_names():
    import fuse.compile.debug.monitormode as monitor
    import fuse.link.c.op as c_op

    assert monitor.MonitorMode is fuse.compile.MonitorMode
    assert isinstance(c_op.COp, type)


def test_symbolic_ops_build_their_graph_for_the_types_they_get():
    from fuse.compile.builders import SymbolicOp

    class Scaled(SymbolicOp):
        __props__ = ("by",)

        def build_inner_graph(self, x):
            return [x * self.by]

    op = Scaled(by=3)
    for x in (T.dscalar("x"), T.dvector("x")):
        assert op(x) is x * 3
    x = T.dvector("x")
    node = Scaled([x.type], by=2).make_node(x)
    np.testing.assert_array_equal(fuse.function([x], node.outputs[0], mode="FAST_COMPILE")([1.0, 2.0]), [2.0, 4.0])
    assert op == Scaled(by=3) != Scaled(by=2)


def test_shared_variables_are_made_of_a_type_and_a_value_too():
    values = np.arange(3.0)
    w = fuse.compile.SharedVariable(name="w", type=T.dvector, value=values, strict=False)
    other = T.sharedvar.TensorSharedVariable("v", T.dvector, None, False, container=w.container)
    fuse.function([], [], updates=[(w, w * 2)])()
    assert other.get_value().tolist() == [0, 2, 4] and values.tolist() == [0, 1, 2] and w.name == "w"
    with pytest.raises(TypeError, match="float64 vector"):
        fuse.compile.SharedVariable("m", T.dvector, np.ones((2, 2)), False)
    with pytest.raises(TypeError, match="shared"):
        fuse.compile.SharedVariable(np.ones(2))


def test_pieces_along_an_axis_given_at_run_time():
    m, axis = T.dmatrix("m"), T.iscalar("axis")
    a, b = T.Split(2)(m, axis, [1, 2])
    f = fuse.function([m, axis], [a, b, T.grad((a * 2).sum() + b.sum(), m)])
    values = np.arange(9.0).reshape(3, 3)
    for k in (0, 1, -1):
        first, rest, slope = f(values, k)
        one, two = np.split(values, [1], axis=k)
        np.testing.assert_array_equal(first, one)
        np.testing.assert_array_equal(rest, two)
        np.testing.assert_array_equal(slope, np.concatenate([one * 0 + 2, two * 0 + 1], axis=k))
    with pytest.raises(IndexError, match="axis of split"):
        f(values, 2)


def test_a_copy_names_what_has_no_name():
    x = T.dvector("x")
    assert (x * 2).copy(name="double").name == "double" and x.copy(name="other").name == "x"


def test_sizes_computed_from_data_are_not_negative():
    v, x = T.ivector("v"), T.dvector("x")
    n = v.sum()
    out = [T.ones((n, v[0])).sum(), T.alloc(2.0, n).shape[0], T.alloc(x[0], n + 1)[v].sum()]
    f = fuse.function([v, x], out)
    assert [float(o) for o in f([2, 1], [3.0])] == [6, 3, 6]
    scope: dict = {}
    exec(f.export_source(), scope)
    assert [float(o) for o in scope["function"](np.array([2, 1], "int32"), np.array([3.0]))] == [6, 3, 6]
    with pytest.raises(ValueError, match=r"negative(.|\n)*test_theano_details.py"):
        f([-3, 1], [3.0])
    with pytest.raises(ValueError, match="negative"):
        scope["function"](np.array([-3, 1], "int32"), np.array([3.0]))
