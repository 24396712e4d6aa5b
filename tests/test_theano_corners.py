"""Corners of Theano's behaviour that its own unit tests look into: random sources, loops with test values, errors."""
from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

import fuse
import fuse.scalar as scalar
import fuse.tensor as T
from fuse import config
from fuse.compile import debugmode
from fuse.gof import InconsistencyError, graph
from fuse.tensor.elemwise import DimShuffle
from fuse.tensor.shared_randomstreams import RandomStreams
from fuse.tensor.sharedvar import TensorSharedVariable


def interpreted(inputs, outputs, **options):
    return fuse.function(inputs, outputs, mode="FAST_COMPILE", **options)


# ---------------------------------------------------------------- random sources
def test_multinomial_takes_a_number_of_trials_for_each_row():
    n, p = T.lvector("n"), T.dmatrix("p")
    rows = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]
    source = RandomStreams(3)
    plain = interpreted([n, p], source.multinomial(n=n, pvals=p))
    sized = interpreted([n, p], source.multinomial(n=n, pvals=p, size=(3,)))
    counts = plain([1, 0, 4000], rows)
    assert counts.sum(axis=1).tolist() == [1, 0, 4000]
    assert abs(counts[2, 0] / 4000 - 0.7) < 0.05
    assert plain([5, 4], rows[:2]).sum(axis=1).tolist() == [5, 4]
    assert sized([2, 0, 7], rows).sum(axis=1).tolist() == [2, 0, 7]
    with pytest.raises(ValueError):
        sized([2, 0], rows[:2])
    assert interpreted([], source.multinomial(n=[3, 4], pvals=[0.5, 0.5]))().sum(axis=1).tolist() == [3, 4]


def test_the_states_of_a_source_are_its_items():
    source, other = RandomStreams(7), RandomStreams(7)
    draw = source.uniform((2,))
    call = interpreted([], draw)
    before = source[draw.rng].get_state()
    first = call()
    assert not np.array_equal(call(), first)
    draw.rng.set_value(before)
    assert np.array_equal(call(), first)
    generator = np.random.RandomState(5)
    source[draw.rng] = generator
    seeded = call()
    source[draw.rng] = np.random.RandomState(5)  # the generator itself was only read
    assert np.array_equal(call(), seeded) and not np.array_equal(seeded, first)
    assert generator.uniform() == np.random.RandomState(5).uniform()
    with pytest.raises(KeyError):
        other[draw.rng]


def test_sizes_of_draws_and_ndim_agree():
    source = RandomStreams(1)
    assert source.uniform((2, 2), ndim=2).ndim == 2
    with pytest.raises(ValueError, match="ndim is 1"):
        source.uniform((2, 2), ndim=1)
    assert interpreted([], source.choice((11, 8), 10, 1, 0))().shape == (11, 8)  # a number as p is none


# ---------------------------------------------------------------- loops
def test_the_steps_of_a_loop_see_test_values():
    seen = []

    def step(x, back, before):
        seen.append([v.tag.test_value for v in (x, back, before)])
        return x * before + back

    values = np.arange(6.0).reshape(3, 2)
    with config.change_flags(compute_test_value="raise"):
        u, start = T.dmatrix("u"), T.dmatrix("start")
        u.tag.test_value, start.tag.test_value = values, np.ones((2, 2))
        out, _ = fuse.scan(
            step, sequences=[{"input": u, "taps": [0, -1]}], outputs_info=[{"initial": start, "taps": [-2]}]
        )
        slope = fuse.grad(out.sum(), u)
        with pytest.raises(fuse.errors.TestValueError, match="bias"):
            fuse.scan(lambda x: x + T.dscalar("bias"), sequences=[u])
    assert [v.tolist() for v in seen[0]] == [[2.0, 3.0], [0.0, 1.0], [1.0, 1.0]]
    want = np.array([values[1] + values[0], values[2] + values[1]])
    assert np.array_equal(out.tag.test_value, want)
    assert np.array_equal(slope.tag.test_value, [[1, 1], [2, 2], [1, 1]])


def test_sizes_within_a_loop_need_no_test_values():
    with config.change_flags(compute_test_value="raise"):
        u, w, factors = T.dmatrices("u", "w", "factors")
        for x, value in ((u, np.ones((4, 2))), (w, np.full((2, 2), 3.0)), (factors, np.arange(8.0).reshape(4, 2))):
            x.tag.test_value = value
        kept, _ = fuse.scan(lambda x, w: T.dot(x, w), sequences=[u], non_sequences=[w])
        slope = fuse.grad((kept * factors).sum(), w)  # whether one of the two broadcasts is asked of the step
    np.testing.assert_allclose(slope.tag.test_value, np.ones((2, 4)) @ np.arange(8.0).reshape(4, 2))


def test_a_loop_ends_where_a_number_is_not_zero():
    out, _ = fuse.scan(lambda p: (p + 1.0, fuse.scan_module.until(p // 3.0)), outputs_info=T.constant(0.0), n_steps=9)
    assert interpreted([], out)().tolist() == [1.0, 2.0, 3.0, 4.0]


# ---------------------------------------------------------------- ops and errors
def test_scalar_ops_say_which_gradient_is_missing():
    class Times(scalar.ScalarOp):
        def impl(self, n, x):
            return x * n

        def grad(self, inputs, output_grads):
            n, _ = inputs
            return [fuse.gradient.grad_not_implemented(self, 0, n), output_grads[0] * n]

    times, x = T.elemwise.Elemwise(Times(scalar.upgrade_to_float)), T.dscalar("x")
    assert float(fuse.grad(times(2, x), x).eval({x: 5.0})) == 2.0
    with pytest.raises(fuse.gradient.NullTypeGradError, match="not implemented"):
        fuse.grad(times(x, 2), x)


def test_names_of_errors_catch_what_is_raised():
    class Changes(fuse.Op):
        def make_node(self, x):
            return fuse.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, output_storage):
            inputs[0] += 1
            output_storage[0][0] = inputs[0]

    x = T.dvector("x")
    call = fuse.function([x], Changes()(x), mode="DebugMode")
    with pytest.raises(debugmode.BadDestroyMap):
        call([1.0])
    with pytest.raises(InconsistencyError):  # features of programs raise it
        raise InconsistencyError("no")
    with pytest.raises(ValueError):
        DimShuffle([False, True, False], (0, 1, 2, 0))


def test_databases_of_rewrites_are_asked_by_tags():
    from fuse.gof import EquilibriumDB, OpSub, TopoOptimizer

    x = T.dvector("x")
    known = EquilibriumDB()
    known.register("to_cos", TopoOptimizer(OpSub(T.sin, T.cos)), "all", "first")
    known.register("to_tan", TopoOptimizer(OpSub(T.cos, T.tan)), "all", position=60)

    def result(*tags):
        return known.query(*tags).optimize(fuse.FunctionGraph([x], [T.sin(x)])).outputs

    assert result("+all") == [T.tan(x)]
    assert result("+first") == result("+all", "-to_tan") == [T.cos(x)]
    assert result("+other") == [T.sin(x)]


def test_sigmoids_are_where_programs_for_theano_look_for_them():
    from fuse.tensor.nnet import sigm

    assert sigm.scalar_sigmoid is T.nnet.sigmoid and sigm.ultra_fast_scalar_sigmoid is T.nnet.ultra_fast_sigmoid
    x = np.array([0.0, 1.0])
    v = T.dvector("v")
    f = fuse.function([fuse.In(v, mutable=True)], sigm.sigmoid_inplace(v), accept_inplace=True, mode="FAST_COMPILE")
    assert np.array_equal(f(x), x) and x[0] == 0.5
    with pytest.raises(AttributeError):
        sigm.nothing


def test_modes_are_made_of_linkers_and_choices():
    from fuse.link.numba import NumbaLinker

    from fuse.compile.mode import OPT_FAST_COMPILE, OPT_FAST_RUN, OPT_NONE

    x = T.dvector("x")
    for choice, rewriting, backend, ops in (
        (OPT_NONE, "none", "interpreted", ["add", "log"]), (OPT_FAST_COMPILE, "FAST_COMPILE", "interpreted", ["log1p"]),
        (OPT_FAST_RUN.excluding("inplace"), "default", "compiled", ["log1p"]),
    ):
        mode = fuse.Mode(NumbaLinker(), choice)
        assert (mode.rewriting, mode.backend) == (rewriting, backend)
        f = fuse.function([x], T.log(1 + x), mode=mode)
        assert [n.op.name for n in f.maker.fgraph.toposort()] == ops and f([0.0]) == 0.0
    assert fuse.compile.OPT_NONE is OPT_NONE


def test_systems_of_half_precision_are_solved_in_single():
    a, b = T.matrix(dtype="float16"), T.matrix(dtype="float16")
    found = T.slinalg.solve(a, b)
    value = found.eval({a: 2 * np.eye(2, dtype="float16"), b: np.ones((2, 1), "float16")})
    assert found.dtype == value.dtype == "float32" and value.tolist() == [[0.5], [0.5]]


# ---------------------------------------------------------------- ops in place, ops in classes
@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_ops_in_place_leave_their_value_in_the_argument(mode):
    x, y = T.dmatrices("x", "y")
    made = fuse.function([x, y], [T.inplace.add_inplace(x, y), x * 1, 2 * y], mode=mode, accept_inplace=True)
    for call in (made, pickle.loads(pickle.dumps(made)), made.copy()):
        for _ in range(5):  # later calls go another way
            a, b = np.ones((2, 2)), np.full((2, 2), 3.0)
            total, before, twice = call(a, b)
            assert total is a and (a == 4).all() and (before == 1).all() and (twice == 6).all() and (b == 3).all()
    fixed = np.ones((2, 2))
    fixed.flags.writeable = False
    assert (made(fixed, [[1.0, 1.0]] * 2)[0] == 2).all() and (fixed == 1).all()
    assert made([[1.0]], [[2.0]])[0] == 3


def test_ops_in_place_are_plain_where_that_is_not_accepted():
    x, y = T.dmatrices("x", "y")
    a = np.ones((2, 2))
    assert (interpreted([x, y], T.inplace.mul_inplace(x, y))(a, 3 * a) == 3).all() and (a == 1).all()
    outs = interpreted([fuse.In(x, mutable=True), y], [x + 1, T.inplace.mul_inplace(x, y)])(a, 3 * a)
    assert (outs[0] == 2).all() and outs[1] is a and (a == 3).all()
    assert fuse.grad(T.inplace.sqr_inplace(x).sum(), x).eval({x: [[3.0]]}) == 6
    whole = T.lvector()
    with pytest.raises(TypeError, match="dtypes differ"):
        T.inplace.true_div_inplace(whole, 2)
    both = interpreted([x], T.inplace.neg_inplace(T.inplace.sqr_inplace(x)), accept_inplace=True)
    b = np.array([[2.0]])
    assert both(b) is b and b == -4
    with pytest.raises(ValueError, match="two ops in place"):
        interpreted([x], [T.inplace.sqr_inplace(x), T.inplace.neg_inplace(x)], accept_inplace=True)
    with pytest.raises(TypeError, match="cannot be saved"):
        both.save(io.BytesIO())
    assert interpreted([whole], T.inplace.add_inplace(whole, 1.6))([1, 2]).tolist() == [2, 3]
    with pytest.raises(TypeError, match="does not fit in its first argument"):
        T.inplace.add_inplace(T.drow(), y)


def test_an_op_in_a_class_is_no_method_of_its_objects():
    class Layer:
        activation = T.tanh

    x = T.dvector("x")
    assert Layer().activation(x) is T.tanh(x) is x.tanh()


def test_shared_variables_hold_any_object_for_ops_of_the_users_own():
    class Length(fuse.Op):
        def make_node(self, text):
            return fuse.Apply(self, [text], [T.lscalar()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = np.array(len(inputs[0]))

    words = {"a": 1}
    held = fuse.shared(words, name="words")
    assert held.type == fuse.gof.generic and held.get_value() == words and held.get_value() is not words
    length = interpreted([], Length()(held) + 1)
    assert length() == 2
    held.set_value("four")
    assert length() == 5
    assert fuse.OrderedUpdates({held: 3})[held] == 3
    with pytest.raises(TypeError, match="no array"):
        held + 1
    for numbers in (np.array(["a"]), [object()]):
        with pytest.raises(TypeError, match="holds numbers"):
            fuse.shared(numbers)


def test_keys_of_outputs_that_are_no_texts():
    x = T.dscalar("x")
    for error in (AssertionError, TypeError):
        with pytest.raises(error, match="keys of a dict of outputs are strings"):
            fuse.function([x], {1.0: x})


def test_debug_mode_runs_without_rewrites():
    x = T.dvector("x")
    assert fuse.function([x], x + 1, mode=debugmode.DebugMode(optimizer=None))([1.0]).tolist() == [2.0]


def test_linear_algebra_is_where_programs_for_early_theano_look_for_it():
    from fuse.sandbox.linalg.ops import Hint, cholesky, det, matrix_inverse

    assert det is T.nlinalg.det and matrix_inverse is T.nlinalg.matrix_inverse and cholesky is T.slinalg.cholesky
    with pytest.raises(NotImplementedError, match=r"sandbox\.linalg\.ops\.Hint, which is part of Theano's inside"):
        Hint(psd=True)


# ---------------------------------------------------------------- what libraries built on Theano rely on
def test_objects_of_other_classes_answer_operators_that_expressions_do_not_know():
    """As the covariance functions of PyMC3: a matrix on the left, a function on the right."""

    class Function:
        def __radd__(self, other):
            return "added", other

        __rpow__ = __rmatmul__ = __gt__ = __radd__

    x, f = T.dmatrix("x"), Function()
    assert x + f == x**f == x @ f == (x < f) == ("added", x)
    with pytest.raises(TypeError, match="Function is neither a number"):
        x * f


def test_variables_lead_to_what_they_were_made_from():
    x, y = T.dvectors("x", "y")
    z = x * y
    assert z.get_parents() == [z.owner] and z.owner.get_parents() == [x, y] and x.get_parents() == []


def test_patterns_of_axes_that_broadcast_may_be_zeros_and_ones():
    value = np.ones((3, 1))
    for type_ in (T.TensorType("float64", broadcastable=[0, 1]), T.tensor("float64", broadcastable=(0, 1)).type,
                  fuse.shared(value, broadcastable=np.array([0, 1])).type):
        assert type_ == T.dcol and type_.filter(value) is value


def test_parameters_of_layers_are_told_from_expressions():
    shared, x = fuse.shared(np.ones((1, 3))), T.dmatrix("x")
    assert [isinstance(v, T.TensorVariable) for v in (x, x + shared, shared, T.constant(2))] == [1, 1, 0, 0]


class Bounded(T.TensorVariable):
    """As PyMC3's random variables are: a variable with attributes, the view of an input that has no bounds."""

    def __init__(self, type=None, owner=None, index=None, name=None, inner=None):
        super().__init__(T.dvector if type is None else type, owner, index, name)
        self.inner = inner
        if inner is not None:
            fuse.Apply(fuse.compile.view_op, [T.exp(inner)], [self])
            self.tag.test_value = T.exp(inner).eval({inner: np.zeros(2)})

    def doubled(self):
        return self * 2


def test_subclasses_of_variables_are_inputs_or_views_of_other_variables():
    free, x = Bounded(name="free"), T.dvector("x")
    bounded = Bounded(name="bounded", inner=free)
    assert [isinstance(v, Bounded) for v in (free, bounded, x, bounded * 2)] == [True, True, False, False]
    assert (free.owner, bounded.owner.inputs, bounded.name, free.name) == (None, [T.exp(free)], "bounded", "free")
    cost = T.sum(bounded.doubled() * x)
    f = fuse.function([free, x], [cost, *fuse.grad(cost, [free, bounded])])
    value, by_free, by_bounded = f([0.0, 1.0], [3.0, 4.0])
    np.testing.assert_allclose((value, *by_free, *by_bounded), (6 + 8 * np.e, 6, 8 * np.e, 6, 8))
    assert "ViewOp" not in fuse.printing.debugprint(f, file="str")
    again = pickle.loads(pickle.dumps(f))
    np.testing.assert_allclose(again([0.0, 1.0], [3.0, 4.0])[0], value)
    np.testing.assert_allclose(fuse.function([bounded, x], cost)([1.0, 2.0], [3.0, 4.0]), 22)  # values of their own
    np.testing.assert_allclose(fuse.clone(bounded, {free: x}).eval({x: [0.0, 0.0]}), 1)
    used = Bounded(name="used")
    after = used + 1
    with pytest.raises(TypeError, match="used is part of other expressions already"):
        fuse.Apply(fuse.compile.view_op, [x], [used])
    assert after.args[0] is used and used.is_leaf
    with pytest.raises(TypeError, match=r"Apply\(op, inputs, \[variable\]\) says what computes one"):
        Bounded(x.type, T.exp(x).owner)

    class Empty(T.TensorVariable):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match="type"):
        Empty().ndim


def test_subclasses_of_shared_variables_are_parameters_with_notes():
    class Weight(TensorSharedVariable):
        """As ELEKTRONN2's parameters are."""

        def __init__(self, value, name, trained=True):
            self.trained = trained
            value = np.asarray(value, "float64")
            super().__init__(type=T.TensorType(value.dtype, (False,) * value.ndim), value=value, name=name, strict=None)

        def set_value(self, new_value, borrow=False):
            super().set_value(np.multiply(new_value, 2.0), borrow)

    w, x = Weight([1.0, 2.0], "w", trained=False), T.dvector("x")
    assert isinstance(w, TensorSharedVariable) and (w.trained, w.name, w.type) == (False, "w", T.dvector)
    cost = T.sum((w - x) ** 2)
    step = fuse.function([x], cost, updates=[(w, w - 0.5 * fuse.grad(cost, w))])
    assert step([0.0, 0.0]) == 5 and step([0.0, 0.0]) == 0
    w.set_value([3.0, 4.0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(w)).get_value(), [6, 8])
    alias = TensorSharedVariable(name="alias", type=w.type, value=None, strict=None, container=w.container)
    np.testing.assert_array_equal((alias + w).eval(), [12, 16])


def test_expressions_are_no_values_of_inputs():
    x, y = T.dvectors("x", "y")
    for inputs in ([[x, y]], [(x, y * 2)]):  # a list within the list, which PyManopt tries first: not a default value
        with pytest.raises(TypeError, match="is an array or a shared variable, not the expression y"):
            fuse.function(inputs, x + y)


def test_searches_of_graphs_stop_at_blockers_which_are_found_themselves():
    x, y = T.dvectors("x", "y")
    inner = T.exp(x)
    out = inner * y + x
    assert set(graph.ancestors([out], blockers=[inner, y])) == {x, y, inner, inner * y, out}
    assert graph.ancestors([inner * y], blockers=[inner]) == [inner, y, inner * y]
    assert graph.inputs([inner * y], blockers=[inner]) == [y] and graph.inputs([inner * y], blockers=[x]) == [x, y]
    assert graph.ancestors([x], blockers=[x]) == [x] == graph.inputs([x], [x])


def test_test_values_of_clones_and_of_gradients_of_ops_of_scalars():
    class Cube(scalar.UnaryScalarOp):
        def impl(self, x):
            return x**3

        def grad(self, inputs, output_grads):
            (x,), (g,) = inputs, output_grads
            return (g * 3 * x * x,)

    with config.change_flags(compute_test_value="raise"):
        x, y = T.dvectors("x", "y")
        x.tag.test_value = np.array([1.0, 2.0])
        slope = fuse.grad(T.Elemwise(Cube(scalar.upgrade_to_float))(x).sum(), x)
        np.testing.assert_array_equal(slope.tag.test_value, [3, 12])
        assert T.shape(T.constant(np.ones((2, 3))))[-1].tag.test_value == 3  # also where it is known and so a constant
        other = fuse.clone(slope, {x: y})  # y has no test value: the clone keeps that of what it was made of
        np.testing.assert_array_equal((other + 1).tag.test_value, [4, 13])
    assert super(T.TensorVariable, x).__str__() == "x"


def test_a_change_of_flags_may_be_left_twice():
    before = fuse.config.compute_test_value
    change = fuse.config.change_flags(compute_test_value="raise")
    with change:
        change.__exit__(None, None, None)
        assert fuse.config.compute_test_value == before
    assert fuse.config.compute_test_value == before


def test_random_integers_up_to_a_count_that_is_a_float():
    x = T.dmatrix("x")
    n = T.cast(x.shape[0], "float64")
    draws = RandomStreams(2).random_integers((500,), 0, n - 1)
    assert set(fuse.function([x], draws)(np.ones((4, 2)))) == {0, 1, 2, 3}
    assert set(RandomStreams(2).random_integers((500,), 0.0, 2.9).eval()) == {0, 1, 2}
    with pytest.raises(ValueError, match="fit into int64"):
        RandomStreams(2).random_integers((5,), 0.0, np.nan)


def test_programs_that_ask_for_theanos_first_gpu_back_end_hear_that_there_is_none():
    from fuse.sandbox.cuda.basic_ops import gpu_contiguous

    from fuse.sandbox.cuda import cuda_enabled, dnn

    assert not (cuda_enabled or dnn.dnn_available() or fuse.gpuarray.pygpu_activated)
    assert fuse.sandbox.cuda.rng_curand.__name__ == "fuse.sandbox.cuda.rng_curand"  # modules without an import, too
    assert not isinstance(T.dmatrix().type, fuse.sandbox.cuda.CudaNdarrayType)
    with pytest.warns(UserWarning, match="does nothing"):
        fuse.sandbox.cuda.use("gpu0")
    for name in (gpu_contiguous, dnn.dnn_conv):
        with pytest.raises(NotImplementedError, match=r"fuse has no sandbox\.cuda"):
            name(1)
