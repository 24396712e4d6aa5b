"""Names and habits of Theano that its programs and tests rely on: classes of ops, linkers, modes, flags, types."""
from __future__ import annotations

import importlib

import numpy as np
import pytest

import fuse
import fuse.gof as gof
import fuse.tensor as T
from fuse import scalar
from fuse.compile.monitormode import MonitorMode, detect_nan
from fuse.tensor import op_classes
from fuse.tensor.subtensor import get_canonical_form_slice

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- classes of ops
def test_an_op_of_a_class_has_its_parameters_and_is_one_of_the_class():
    unique = T.extra_ops.Unique(True, False, True, axis=0)
    assert isinstance(unique, T.extra_ops.Unique) and type(unique) is T.extra_ops.Unique
    assert (unique.return_index, unique.return_inverse, unique.return_counts, unique.axis) == (True, False, True, 0)
    assert unique == T.extra_ops.Unique(True, False, True, axis=0) != T.extra_ops.Unique()
    assert not isinstance(unique, T.Join) and "Unique" in repr(unique)
    a, b = T.dmatrices("a", "b")
    join = T.Join()
    assert isinstance(join(0, a, b).owner.op, type(join)) and join.make_node(0, a, b).outputs[0] is join(0, a, b)
    assert join(0, a, b, return_list=True, name="both")[0].name == "both"
    with pytest.raises(ValueError, match="size 1"):
        op_classes.DimShuffle([False, True, False], (1,))


def test_products_without_zeros():
    x, value = T.dmatrix("x"), np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    for axis, want in ((None, 6.0), (0, [1.0, 2.0, 3.0]), (1, [2.0, 3.0])):
        np.testing.assert_array_equal(T.elemwise.ProdWithoutZeros(axis)(x).eval({x: value}), want)


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("flags", [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
def test_unique_along_an_axis(axis, flags):
    x, value = T.dmatrix("x"), np.array([[2.0, 1.0, 2.0], [3.0, 2.0, 3.0], [2.0, 1.0, 2.0]])
    found = T.extra_ops.Unique(*map(bool, flags), axis=axis)(x, return_list=True)
    want = np.unique(value, *map(bool, flags), axis=axis)
    want = list(want) if isinstance(want, tuple) else [want]
    for have, expected in zip(fuse.function([x], found)(value), want, strict=True):
        np.testing.assert_array_equal(have, expected.ravel() if have.ndim == 1 else expected)


# ---------------------------------------------------------------- scalars
def test_scalar_types_print_as_dtypes_and_make_0d_variables():
    assert list(map(str, scalar.all_types)) == T.all_dtypes
    x = scalar.float32("x")
    assert x.type == T.fscalar("y").type == scalar.float32 and hash(scalar.float32) == hash(x.type)
    assert scalar.upcast(*map(str, (scalar.int8, scalar.float16))) == "float16"


def test_autocast_of_floats():
    known = scalar.autocast_float.dtypes
    with scalar.autocast_float_as("float32"):
        assert (T.fvector() + 1.1).dtype == "float32" and (T.dvector() + 1.1).dtype == "float64"
        with scalar.autocast_float_as("float64"):
            assert scalar.autocast_float.dtypes == ("float64",) and (T.fvector() + 1.0).dtype == "float64"
        assert scalar.autocast_float.dtypes == ("float32",)
    with scalar.autocast_float_as("float32", "float64"):
        assert (T.fvector() + 1.0).dtype == "float32" and (T.fvector() + 1.1).dtype == "float64"
    assert scalar.autocast_float.dtypes == known and (T.fvector() + 1.1).dtype == "float64"


def test_quotients_and_ranges_of_scalars():
    assert int(scalar.div_proxy(-7, 2).eval()) == -4 and float(scalar.div_proxy(7.0, 2).eval()) == 3.5
    for low, high in ((True, True), (True, False), (False, True), (False, False)):
        for x in (0, 1, 2, 3, 4):
            want = (x > 1 if low else x >= 1) and (x < 3 if high else x <= 3)
            assert bool(scalar.InRange(low, high)(x, 1, 3).eval()) == want


# ---------------------------------------------------------------- linkers and modes
@pytest.mark.parametrize("linker", [gof.PerformLinker, gof.OpWiseCLinker, gof.CLinker, gof.DualLinker])
def test_linkers_make_functions_of_graphs(linker):
    x, y = T.dvectors("x", "y")
    graph = fuse.FunctionGraph([x, y], [x * y, x.sum()])
    product, total = linker().accept(graph).make_function()([1.0, 2.0], [3.0, 4.0])
    np.testing.assert_array_equal(product, [3.0, 8.0])
    assert total == 3.0
    own = [[np.ones(2)], [None]]
    thunk, given, found = linker().accept(graph).make_thunk(input_storage=own)
    given[1].data = np.array([3.0, 4.0])
    thunk()
    assert own[1][0] is given[1].data and found[0].data.tolist() == [3.0, 4.0] and found[1].value == 2.0
    with pytest.raises(ValueError):
        linker().make_function()


def test_monitor_mode_calls_functions_around_each_operation(capsys):
    calls = []
    before = lambda i, node, fn: calls.append(("before", i, str(node.op), [c[0] for c in fn.outputs]))  # noqa: E731
    after = lambda i, node, fn: calls.append(("after", i, str(node.op), float(fn.outputs[0][0])))  # noqa: E731
    x = T.dscalar("x")
    f = fuse.function([x], T.exp(x) * 2, mode=MonitorMode(before, after).excluding("fusion"))
    assert float(f(0.0)) == 2.0
    assert calls == [("before", 0, "exp", [None]), ("after", 0, "exp", 1.0),
                     ("before", 1, "mul", [None]), ("after", 1, "mul", 2.0)]
    fuse.function([x], T.log(x) * x, mode=MonitorMode(post_func=detect_nan))(0.0)
    assert capsys.readouterr().out.startswith("*** NaN detected ***")


def test_monitored_operations_with_several_results():
    seen = []
    x = T.dvector("x")
    values, counts = T.unique(x, return_counts=True)
    mode = MonitorMode(post_func=lambda i, node, fn: seen.append((str(node.op), len(fn.outputs))))
    assert float(fuse.function([x], values.sum() + counts.sum(), mode=mode)([1.0, 2.0, 1.0])) == 6.0
    assert [n for name, n in seen if name == "unique"] == [2] and "part" not in dict(seen)


def test_modes_are_classes_and_carry_notes():
    for kind in (fuse.compile.DebugMode, fuse.compile.NanGuardMode, fuse.compile.MonitorMode):
        mode = kind()
        assert isinstance(mode, kind) and isinstance(mode.including("x"), kind) and mode.including("x").tags == {"x"}
        assert mode.including("x").check == mode.check
    mode = fuse.compile.get_default_mode().excluding("fusion")
    mode.check_isfinite = False
    assert mode.check_isfinite is False
    with pytest.raises(AttributeError):
        mode.linker = "py"


def test_flags_of_theano_have_their_defaults():
    assert fuse.config.openmp_elemwise_minsize == 200000 and fuse.config.cycle_detection == "regular"
    assert fuse.config.profiling.n_apply == 20 and fuse.config.vm.lazy is None
    assert fuse.configdefaults.python_int_bitwidth() == 64 and not fuse.sparse.enable_sparse
    with pytest.raises(AttributeError, match="not part of fuse"):
        fuse.sparse.csc_matrix("x")


# ---------------------------------------------------------------- types
def test_types_compare_values():
    type_ = T.dvector().type
    a = np.array([1.0, np.nan])
    assert type_.values_eq(a, a.copy()) and not type_.values_eq(a, a[:1])
    assert type_.values_eq_approx(a, a * (1 + 1e-7)) and not type_.values_eq_approx(a, a * 1.1)
    assert type_.is_valid_value(a) and not type_.is_valid_value([1.0]) and not type_.is_valid_value(a.astype("f4"))


def test_patterns_of_zeros_and_ones_are_broadcast_patterns():
    x = T.TensorType("float64", broadcastable=[1, 0, 0])()
    assert x.type.broadcastable == (True, False, False) and x.type.shape == (1, None, None)
    assert T.TensorType("float32", (0,) * 3)("x").type.shape == (None, None, None)


def test_the_shape_that_types_tell_uses_its_input():
    x, s = T.drow("x"), T.dscalar("s")
    assert int(fuse.function([x], x.shape[0])(np.ones((1, 3)))) == 1
    assert fuse.function([s], s.shape)(2.0).shape == (0,)
    with pytest.raises(fuse.errors.UnusedInputError):
        fuse.function([s], T.constant(2.0))


def test_errors_of_ranks_are_type_errors_too():
    x = T.dvector("x")
    with pytest.raises(TypeError):
        T.join(0, x, T.dmatrix())
    with pytest.raises(TypeError):
        fuse.function([x], x)(np.ones((2, 2)))
    with pytest.raises(TypeError):
        T.inc_subtensor(x[[0, 1]], T.dmatrix())


@pytest.mark.parametrize("step", [-3, -1, 1, 2])
@pytest.mark.parametrize("start", [None, -9, -2, 0, 1, 4, 9])
def test_canonical_slices_hold_the_same_elements(start, step):
    s, e, k, n = T.lscalars("s", "e", "k", "n")
    for length in (0, 1, 5):
        x = np.arange(length)
        for stop in (None, -9, -1, 0, 3, 9):
            wanted = slice(start, stop, step)
            for place, count in ((wanted, length), (slice(*[None if v is None else w for v, w in zip(
                    (start, stop, step), (s, e, k), strict=True)]), n)):
                found, direction = get_canonical_form_slice(place, count)
                parts = [T.as_tensor_variable(v) for v in (found.start, found.stop, found.step, direction)]
                given = {s: start or 0, e: stop or 0, k: step, n: length}
                f = fuse.function([s, e, k, n], parts, on_unused_input="ignore", mode="FAST_COMPILE")
                a, b, c, d = [int(v) for v in f(*given.values())]
                assert 0 <= a <= b <= length or a == b, (wanted, length)
                np.testing.assert_array_equal(x[a:b:c][::d], x[wanted])


# ---------------------------------------------------------------- derivatives and functions
def test_the_derivative_of_a_linear_formula_along_its_variable_is_zero():
    v = fuse.shared(np.ones(3))
    x = T.dvector("x")
    for wrt in (v, x):
        slope = fuse.grad((x * v).sum(), wrt)
        np.testing.assert_array_equal(fuse.function([x], fuse.Rop(slope, wrt, wrt))(np.ones(3)), np.zeros(3))
    with pytest.raises(fuse.errors.DisconnectedInputError):
        fuse.Rop(v * 2, x, x)


def test_givens_of_another_rank_where_that_is_asked_for():
    x, y, m = T.ivector("x"), T.ivector("y"), T.imatrix("m")
    with pytest.raises(TypeError):
        fuse.function([m, y], x * y, givens={x: m})
    f = fuse.function([m, y], x * y, givens={x: m}, rebuild_strict=False)
    np.testing.assert_array_equal(f([[1, 2], [3, 4]], [5, 6]), [[5, 12], [15, 24]])


def test_copies_and_older_names():
    x = T.dvector("x")
    value = np.arange(6.0)[::2]
    assert not np.shares_memory(fuse.function([x], fuse.compile.deep_copy_op(x))(value), value)
    assert fuse.function([x], T.extra_ops.cpu_contiguous(x[::-1]))(value).flags.c_contiguous
    assert float(fuse.compile.pfunc([fuse.In(x, value=[1.0])], x.sum())()) == 1.0
    assert T.theano is fuse and T.basic.config is fuse.config and T.scal is scalar
    assert [len(T.bartlett(n).eval()) for n in (-1, 0, 1, 4)] == [0, 0, 1, 4]
    assert x[[slice(1, None)]] is x[1:]
    assert fuse.printing.min_informative_str(np.ones(2)) == "A. <ndarray>"


def test_identities_of_gradients_cost_nothing_once_gradients_are_taken():
    w, x = T.dmatrix("w"), T.dvector("x")
    G = fuse.gradient
    fixed = G.disconnected_grad(w)
    f = fuse.function([w, x], [T.dot(fixed, G.grad_scale(x, 2.0)), fuse.grad(T.dot(fixed, G.zero_grad(x)).sum(), x)])
    names = {node.op.name for node in f.maker.fgraph.toposort()}
    assert not names & {"disconnected_grad", "grad_scale", "zero_grad"} and "elementwise" not in f.source
    value, at = RNG.normal(size=(3, 2)), RNG.normal(size=2)
    product, slope = f(value, at)
    np.testing.assert_allclose(product, value @ at)
    np.testing.assert_array_equal(slope, np.zeros(2))
    same = fuse.function([x], G.grad_clip(x, -1, 1))(at)
    assert same is not at and not np.shares_memory(same, at)
    wide = fuse.function([x], G.grad_scale(x, T.constant([1.0, 2.0])))(at)
    np.testing.assert_array_equal(wide, at)
    assert isinstance(G.grad_clip(x, -1, 1).owner.op, G.GradClip) and isinstance(fixed.owner.op, G.DisconnectedGrad)


def test_numbers_known_while_the_graph_is_built():
    known = T.get_scalar_constant_value
    c, n = T.constant([[1.5, 2.0], [3.0, 4.0]]), T.lscalar("n")
    assert float(known(c[1, 0])) == 3.0 and float(known(T.constant(1.5) * 2 + 1)) == 4.0
    assert int(known(T.row("r").shape[0])) == 1 and int(known(T.opt.make_vector(1, 2)[1])) == 2
    assert float(known(T.second(T.dvector("v"), 0.5))) == 0.5
    assert int(known(T.opt.Assert()(T.constant(2), c[0, 0] > 1))) == 2
    first = known(T.constant(3))
    first += 1
    assert int(known(T.constant(3))) == 3
    for unknown in (n, c, c[n, 0], T.opt.Assert()(T.constant(2), n > 1), T.opt.Assert()(T.constant(2), c[0, 0] > 2)):
        with pytest.raises(T.NotScalarConstantError):
            known(unknown)
    with pytest.raises(ValueError):
        known(np.array([]))


@pytest.mark.parametrize("offset, axis1, axis2", [(0, 0, 1), (2, 0, 1), (-1, 1, 2), (1, 2, 0), (0, -1, 0)])
def test_values_on_a_diagonal(offset, axis1, axis2):
    x, value = T.dmatrix("x"), RNG.normal(size=(2, 3))
    full = T.AllocDiag(offset, axis1, axis2)(x).eval({x: value})
    np.testing.assert_array_equal(np.diagonal(full, offset, axis1, axis2), value)
    assert np.count_nonzero(full) == 6


def test_rounding_of_quotients_away_from_the_sign():
    a, b = np.array([7, 7, -7, -7, 6]), np.array([2, -2, 2, -2, 3])
    x, y = T.lvectors("x", "y")
    np.testing.assert_array_equal(T.ceil_intdiv(x, y).eval({x: a, y: b}), np.ceil(a / b))
    u, v = T.dvectors("u", "v")
    p, q = RNG.normal(size=9), RNG.normal(size=9)
    np.testing.assert_array_equal(T.ceil_intdiv(u, v).eval({u: p, v: q}), np.ceil(p / q))


def test_applications_and_leaves_between_inputs_and_outputs():
    x, y = T.dvectors("x", "y")
    out = T.exp(x + y) * 2.0
    assert {str(node.op) for node in gof.graph.ops([x, y], [out])} == {"add", "exp", "mul"}
    assert [v for v in gof.graph.orphans([x], [out]) if v.owner is None and v.name] == [y]
    assert {str(node.op) for node in gof.graph.ops([x + y], [out])} == {"exp", "mul"}
    assert T.hashtype(x) == gof.hashtype(y) and fuse.config.gcc__cxxflags == ""


def test_kinds_of_errors():
    x = T.dvector("x")
    f = fuse.function([x], T.specify_shape(x, (2,)))
    with pytest.raises(AssertionError):
        f(np.ones(3))
    with pytest.raises(IndexError):
        T.swapaxes(x, 0, 1)
    with pytest.raises(ValueError):
        T.swapaxes(x, 0, 1)
    with pytest.raises(ValueError):
        T.tensordot(T.dmatrix(), T.dmatrix(), (0, 1, 2))
    with pytest.raises(TypeError):
        T.clip(T.zvector(), 0, 1)
    with pytest.raises(ValueError):
        T.flatnonzero(T.dscalar())
    with fuse.config.change_flags(compute_test_value="raise"), pytest.raises(ValueError):
        x + 1
    assert T.inverse_permutation(T.ivector()).dtype == "int32" and T.dvector().mean(dtype="int32").dtype == "float64"
    assert T.dvector().type.value_zeros((2,)).shape == (2,)


# ---------------------------------------------------------------- what programs do with variables
def test_programs_ask_whether_a_shared_variable_was_given():
    class Layer:
        def __init__(self, bias=None):
            if not bias:
                bias = fuse.shared(np.ones(2))
            self.bias = bias

    given = fuse.shared(0.0)
    assert Layer(given).bias is given
    assert Layer().bias.get_value().tolist() == [1, 1]
    with pytest.raises(TypeError, match="is not None"):
        bool(T.scalar() > 1)

    m = T.matrix("m")
    assert all([m, T.neq(m, 0), T.isnan(m), T.eq(m, m.T)])  # masks, as any other variable
    for value in (m > 0, m <= m, T.all(m), T.any(T.neq(m, 0))):
        with pytest.raises(TypeError, match="is not None"):
            bool(value)


def test_a_transpose_has_its_name_from_what_is_transposed():
    m, b = T.matrix("m"), T.tensor3("b")
    assert (m.T.name, b.transpose(2, 1, 0).name) == ("m.T", "b.T")
    assert b.transpose(0, 2, 1).name is (m + 1).T.name is None
    named = T.matrix("n").transpose()
    named.name = "mine"
    assert named.owner.inputs[0].T.name == "mine"


def test_variables_carry_notes_of_the_users_own():
    x = T.matrix("x")
    x._shape_hint = (None, 3)
    assert x._shape_hint == (None, 3)
    with pytest.raises(AttributeError):
        x.dtype = "float32"
    with pytest.raises(AttributeError):
        x._another


def test_xlogx_is_a_function_and_a_module():
    x = T.dvector("x")
    want = [0, 2 * np.log(3)]
    np.testing.assert_allclose(T.xlogx.xlogy0(x, x + 1).eval({x: [0.0, 2.0]}), want)
    module = importlib.import_module("fuse.tensor.xlogx")
    for function in (T.xlogx, module, T.xlogx.xlogx, module.xlogx):
        np.testing.assert_allclose(function(x).eval({x: [0.0, 2.0]}), [0, 2 * np.log(2)])


def test_scans_are_found_in_a_graph():
    from fuse.gof.graph import io_toposort
    from fuse.scan_module.scan_op import Scan

    x = T.dvector("x")
    sums, _ = fuse.scan(lambda e, total: total + e, sequences=x, outputs_info=T.constant(0.0, dtype="float64"))
    nodes = io_toposort([x], [T.exp(sums)])
    assert sum(isinstance(node.op, Scan) for node in nodes) == 1
    assert not isinstance(T.exp(x).owner.op, Scan)


def test_clone_replaces_at_once():
    """A replacement keeps what it says: of a variable that is replaced elsewhere, of another, of itself."""
    x, w = T.dscalars("x", "w")
    h = x * w
    for pairs in ([(h, h + 10), (w, w + 1)], [(w, w + 1), (h, h + 10)]):
        assert fuse.clone(h - w, replace=pairs).eval({x: 2.0, w: 3.0}) == (2 * 3 + 10) - (3 + 1)
    assert fuse.clone(x - 2 * w, {x: w, w: x}).eval({x: 2.0, w: 3.0}) == 3 - 2 * 2


def test_gradient_of_what_is_no_scalar_is_a_type_error():
    x = T.dvector("x")
    with pytest.raises(TypeError, match="scalar"):
        T.grad(T.exp(x), x)


def test_a_copy_of_a_shared_variable_has_an_update_of_its_own():
    """As batch normalisation in Lasagne has it: running means move where the copy is used, not where they are read."""
    x, mean = T.dvector("x"), fuse.shared(0.0, name="mean")
    running = fuse.clone(mean, share_inputs=False)
    assert running is not mean and running.container is mean.container
    running.default_update = 0.5 * running + 0.5 * x.mean()
    learn = fuse.function([x], (x - x.mean()).sum() + 0 * running)
    read = fuse.function([x], x - mean)
    learn([2.0, 4.0])
    assert mean.get_value() == 1.5
    assert read([1.5, 2.5]).tolist() == [0, 1]
    assert mean.get_value() == 1.5


def test_ops_say_which_inputs_a_gradient_reaches():
    x = T.dmatrix("x")
    cut = fuse.gradient.disconnected_grad(x)
    assert cut.owner.op.connection_pattern(cut.owner) == [[False]]
    assert (cut + x).owner.op.connection_pattern((cut + x).owner) == [[True], [True]]
    outputs = [cut, x.shape[0], cut * x, T.dot(x, cut)]
    assert fuse.gof.graph.io_connection_pattern([x], outputs) == [[False, False, True, True]]


def test_the_module_of_fourier_transforms():
    from fuse.tensor import fourier

    x, a = T.fmatrix("x"), np.random.default_rng(5).random((4, 3), dtype="float32")
    outputs = [fourier.fft(x, 5, 0), fourier.fft(x), fourier.Fourier()(x, 2, 1)]
    found = fuse.function([x], outputs, mode="FAST_COMPILE")(a)
    for value, want in zip(found, [np.fft.fft(a, 5, 0), np.fft.fft(a), np.fft.fft(a, 2, 1)], strict=True):
        assert value.dtype == "complex128"
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)
    k = T.lscalar("k")
    along = fuse.function([x, k], fourier.fft(x, None, k), mode="FAST_COMPILE")
    np.testing.assert_allclose(along(a, 0), np.fft.fft(a, axis=0), rtol=1e-5, atol=1e-6)


def test_choices_among_values_that_are_no_arrays():
    c, a, b = T.iscalar("c"), fuse.generic(), fuse.generic()
    f = fuse.function([c, a, b], fuse.ifelse.ifelse(c, a, b))
    given = ["one"], {"two": 2}
    assert f(1, *given) == given[0] and f(0, *given) == given[1]


def test_errors_and_outputs_that_programs_ask_for():
    x, y, a = T.dvector("x"), T.dscalar("y"), fuse.shared(1.0, "a")
    with pytest.raises(KeyError, match="two updates of the shared variable a: give it one") as caught:
        fuse.updates.OrderedUpdates({a: a + 1}) + fuse.updates.OrderedUpdates({a: a + 2})
    assert isinstance(caught.value, ValueError) and str(caught.value).startswith("two updates")
    for sorter, error in ((T.imatrix(), ValueError), (T.fvector(), TypeError)):
        with pytest.raises(error, match="the sorter is an integer vector"):
            T.searchsorted(x, y, sorter=sorter)
    f = fuse.function([y, x], {"y": y, "b": x}, mode="FAST_COMPILE")
    assert [o.variable for o in f.outputs] == [x, y]
    none = fuse.Mode(optimizer="none").optimizer.optimize(fuse.FunctionGraph([x], [T.log(1 + x)]))
    assert none.outputs[0].op.name == "log" and fuse.Mode().optimizer.optimize(none).outputs[0].op.name == "log1p"


def test_gradients_of_products_update_columns_and_vectors_of_one():
    x, m = T.dvector("x"), T.dmatrix("m")
    one = fuse.shared(np.ones(1), "one", broadcastable=(True,))
    column = fuse.shared(np.ones((2, 1)), "column", broadcastable=(False, True))
    cost = T.dot(one, x) + T.dot(column, m).sum()
    steps = [(w, w - fuse.grad(cost, w)) for w in (one, column)]
    fuse.function([x, m], cost, updates=steps, mode="FAST_COMPILE")([3.0], [[1.0, 2.0, 4.0]])
    assert one.get_value().tolist() == [-2.0] and column.get_value().tolist() == [[-6.0], [-6.0]]


def test_names_at_the_top_and_in_compile_are_those_of_their_modules():
    for name in ("Type", "Linker", "PerformLinker", "opt", "toolbox"):
        assert getattr(fuse, name) is getattr(fuse.gof, name)
    for name in ("ProfileStats", "SymbolicInput", "predefined_modes"):
        assert getattr(fuse, name) is getattr(fuse.compile, name)
    assert isinstance(fuse.In(T.scalar()), fuse.compile.SymbolicInput)
    assert fuse.compile.SpecifyShape is T.SpecifyShape and fuse.compile.shape is T.shape
    with pytest.raises(NotImplementedError, match=r"compile\.FunctionMaker, which is part of Theano's inside"):
        fuse.FunctionMaker()
