"""Programs that show the library itself: functions, shared variables, printing, flags, and errors."""
from __future__ import annotations

import io
import pickle
import warnings

import numpy as np
import pytest

import fuse
import fuse.tensor as T
import fuse.tensor.nnet as nnet
from fuse import In, config, function, pp, shared
from fuse.compat.python2x import OrderedDict
from fuse.printing import Print, debugprint


def test_adding_two_numbers_and_two_matrices():
    x, y = T.dscalar("x"), T.dscalar("y")
    z = x + y
    f = function([x, y], z)
    result = f(2, 3)
    assert result == 5 and result.dtype == np.float64 and result.shape == ()
    assert np.allclose(z.eval({x: 16.3, y: 12.1}), 28.4)
    a, b = T.dmatrix("a"), T.dmatrix("b")
    g = function([a, b], a + b)
    assert g([[1, 2], [3, 4]], [[10, 20], [30, 40]]).tolist() == [[11, 22], [33, 44]]
    assert type(x).__name__ and x.type == T.dscalar and pp(z) == "(x + y)"
    vec_a, vec_b = T.vectors("a", "b")
    out = vec_a ** 2 + vec_b ** 2 + 2 * vec_a * vec_b
    assert function([vec_a, vec_b], out)([0, 1], [2, 1]).tolist() == [4, 4]


def test_several_results_and_default_arguments():
    a, b = T.dmatrices("a", "b")
    diff = a - b
    f = function([a, b], [diff, abs(diff), diff ** 2])
    one, two, three = f([[1, 1], [1, 1]], [[0, 1], [2, 3]])
    assert one.tolist() == [[1, 0], [-1, -2]] and two.tolist() == [[1, 0], [1, 2]]
    assert three.tolist() == [[1, 0], [1, 4]]
    x, y, w = T.dscalars("x", "y", "w")
    g = function([x, In(y, value=1), In(w, value=2, name="w_by_name")], (x + y) * w)
    assert g(33) == 68 and g(33, 2) == 70 and g(33, 0, 1) == 33
    assert g(33, w_by_name=1) == 34 and g(33, w_by_name=1, y=0) == 33 and g(x=1.0) == 4
    with pytest.raises(TypeError):
        g()
    h = function([x], {"twice": 2 * x, "square": x ** 2})
    assert h(3.0) == {"twice": 6.0, "square": 9.0}
    assert function([], T.constant(3) * 2)() == 6
    assert function([x, y], [x], on_unused_input="ignore")(1, 2) == [1]


def test_accumulator_with_its_relatives():
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    assert state.get_value() == 0
    assert accumulator(1) == 0 and state.get_value() == 1
    assert accumulator(300) == 1 and state.get_value() == 301
    state.set_value(-1)
    assert accumulator(3) == -1 and state.get_value() == 2
    decrementor = function([inc], state, updates=[(state, state - inc)])
    assert decrementor(2) == 2 and state.get_value() == 0
    fn_of_state = state * 2 + inc
    foo = T.scalar(dtype=state.dtype)
    skip_shared = function([inc, foo], fn_of_state, givens=[(state, foo)])
    assert skip_shared(1, 3) == 7 and state.get_value() == 0
    new_state = shared(10)
    other = accumulator.copy(swap={state: new_state})
    assert other(100) == 10 and new_state.get_value() == 110 and state.get_value() == 0
    silent = accumulator.copy(delete_updates=True)
    assert silent(9) == 0 and state.get_value() == 0
    only_updates = function([inc], updates=OrderedDict([(state, state + inc)]))
    assert only_updates(4) is None or only_updates(0) == []
    assert state.get_value() >= 4


def test_updates_happen_together_and_see_the_old_values():
    a, b = shared(1.0, "a"), shared(2.0, "b")
    swap = function([], [a, b], updates={a: b, b: a})
    assert [float(v) for v in swap()] == [1.0, 2.0]
    assert (a.get_value(), b.get_value()) == (2.0, 1.0)
    fibonacci = function([], b, updates=[(a, a + b), (b, a)])
    a.set_value(1.0), b.set_value(0.0)
    assert [float(fibonacci()) for _ in range(8)] == [0, 1, 1, 2, 3, 5, 8, 13]


def test_updates_may_read_what_they_replace_in_any_order():
    rng = np.random.RandomState(0)
    A, v = rng.normal(size=(4, 4)), rng.normal(size=6)

    def np_set(a):
        return np.concatenate([a[:1], a[:-1]])

    cases = [
        (v, lambda s: s[::-1], lambda a: a[::-1]), (v, lambda s: s + s[::-1], lambda a: a + a[::-1]),
        (A, lambda s: s.T, lambda a: a.T), (A, lambda s: (s + s.T) / 2 + 0.1 * s, lambda a: (a + a.T) / 2 + 0.1 * a),
        (v, lambda s: T.concatenate([s[1:], s[:1]]), lambda a: np.concatenate([a[1:], a[:1]])),
        (v, lambda s: T.set_subtensor(s[1:], s[:-1]), np_set),
        (v, lambda s: T.inc_subtensor(s[1:], s[:-1]), lambda a: a + np.concatenate([[0], a[:-1]])),
        (A, lambda s: s / T.sqrt((s ** 2).sum(axis=0)), lambda a: a / np.sqrt((a ** 2).sum(0))),
        (A, lambda s: s / abs(s).sum(axis=1, keepdims=True), lambda a: a / abs(a).sum(1, keepdims=True)),
        (A, nnet.softmax, lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True)),
        (v, T.cumsum, np.cumsum), (A / 4, lambda s: T.dot(s, s) + s, lambda a: a @ a + a),
        (v, lambda s: s[[5, 4, 3, 2, 1, 0]] * 1.5, lambda a: a[::-1] * 1.5),
        (A, lambda s: s - s[0], lambda a: a - a[0]),
        (A, lambda s: s - s[:, :1], lambda a: a - a[:, :1]), (A, lambda s: s - s.mean(axis=0), lambda a: a - a.mean(0)),
        (A, lambda s: T.roll(s, 1, axis=0) + s, lambda a: np.roll(a, 1, 0) + a),
    ]
    variables = [shared(start) for start, _, _ in cases]
    step = function([], [s.sum() for s in variables],
                    updates=[(s, new(s)) for s, (_, new, _) in zip(variables, cases, strict=True)])
    values = [start for start, _, _ in cases]
    for _ in range(3):
        np.testing.assert_allclose(step(), [a.sum() for a in values], rtol=1e-9, atol=1e-12)
        values = [plain(a) for a, (_, _, plain) in zip(values, cases, strict=True)]
        for k, (s, a) in enumerate(zip(variables, values, strict=True)):
            np.testing.assert_allclose(s.get_value(), a, rtol=1e-9, atol=1e-12, err_msg=str(k))


def test_borrowing():
    np_array = np.ones(2, dtype="float32")
    s_default, s_false, s_true = shared(np_array), shared(np_array, borrow=False), shared(np_array, borrow=True)
    np_array += 1
    assert s_default.get_value().tolist() == [1, 1] and s_false.get_value().tolist() == [1, 1]
    assert s_true.get_value().tolist() == [2, 2]
    s = shared(np_array)
    v_false, v_true = s.get_value(borrow=False), s.get_value(borrow=True)
    v_false += 5
    assert s.get_value().tolist() == [2, 2]
    s.set_value(v_true * 3, borrow=True)
    assert s.get_value().tolist() == [6, 6]
    x = T.vector()
    f = function([In(x, borrow=True)], fuse.Out(x * 2, borrow=True))
    first = f([1.0, 2.0])
    np.testing.assert_array_equal(f([5.0, 6.0]), [10, 12])
    assert first.shape == (2,)


def test_results_belong_to_the_caller():
    w = shared(np.zeros(3), "w")
    x = T.dvector("x")
    f = function([x], [w, x, x.reshape((3, 1)), w + 0], updates=[(w, w + x)])
    given = np.ones(3)
    kept = f(given)
    for result in kept:
        result += 100.0
    f(np.full(3, 2.0))
    assert given.tolist() == [1, 1, 1] and w.get_value().tolist() == [3, 3, 3]
    assert [float(r.sum()) for r in kept] == [300, 303, 303, 300]


def test_random_streams_of_the_tutorial():
    from fuse.tensor.shared_randomstreams import RandomStreams
    srng = RandomStreams(seed=234)
    rv_u, rv_n = srng.uniform((2, 2)), srng.normal((2, 2))
    f = function([], rv_u)
    g = function([], rv_n, no_default_updates=True)
    nearly_zeros = function([], rv_u + rv_u - 2 * rv_u)
    assert not np.array_equal(f(), f()) and np.array_equal(g(), g())
    np.testing.assert_allclose(nearly_zeros(), np.zeros((2, 2)), atol=1e-12)
    state = srng.state_updates if hasattr(srng, "state_updates") else []
    assert isinstance(state, list)
    first = f()
    srng.seed(234)
    again = [f(), f(), f(), f()]
    assert first.shape == (2, 2) and len({a.tobytes() for a in again}) == 4
    other = RandomStreams(seed=234)
    np.testing.assert_array_equal(function([], other.uniform((2, 2)))(), again[0])


def test_functions_and_shared_variables_in_pickles():
    w = shared(np.arange(3.0), "w")
    x = T.dvector("x")
    step = function([x], (w * x).sum(), updates=[(w, w + x)])
    step([1.0, 1.0, 1.0])
    stored = pickle.dumps([step, w], protocol=2)
    step([5.0, 5.0, 5.0])
    restored, v = pickle.loads(stored)
    assert restored([1.0, 0.0, 0.0]) == 1.0 and v.get_value().tolist() == [2, 2, 3]
    assert w.get_value().tolist() == [6, 7, 8]
    file = io.BytesIO()
    for value in [w.get_value(borrow=True), x]:
        pickle.dump(value, file, -1)
    file.seek(0)
    np.testing.assert_array_equal(pickle.load(file), [6, 7, 8])
    assert pickle.load(file) is x


def test_clone_with_replacements():
    x, y = T.dscalars("x", "y")
    w = shared(3.0, "w")
    cost = x * w
    other = fuse.clone(cost, replace={x: y ** 2})
    assert function([y], other)(2.0) == 12.0
    assert function([x], fuse.clone(cost, replace={w: T.constant(10.0, dtype="float64")}))(2.0) == 20.0
    z = T.dvector("z")
    target = fuse.clone([z.sum(), z.max()], replace=[(z, z * 2)])
    assert [float(v) for v in function([z], target)([1.0, 4.0])] == [10, 8]


def test_looking_at_graphs():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    z = x + y
    assert z.owner.op.name == "Elemwise{add,no_inplace}" or "add" in str(z.owner.op)
    assert z.owner.inputs[0] is x and z.owner.inputs[1] is y and z.owner.outputs[0] is z and len(z.owner.inputs) == 2
    assert x.owner is None and z.type.ndim == 2
    n = x * 2
    assert "mul" in str(n.owner.op) and n.owner.inputs[0] is x and n.owner.inputs[1].eval() == 2
    f = function([x], T.nnet.sigmoid(x) * 2)
    nodes = f.maker.fgraph.toposort()
    assert nodes and all(node.op is not None for node in nodes)
    assert len(f.maker.fgraph.inputs) == 1 and len(f.maker.fgraph.outputs) == 1
    text = debugprint(z, file="str")
    assert text.splitlines()[0].startswith("add [id A]") and "|x" in text and "|y" in text
    assert "sigm" in debugprint(f, file="str").lower()
    assert set(fuse.gof.graph.inputs([z])) == {x, y}
    assert fuse.printing.pprint(T.exp(x)) == pp(T.exp(x)) == "exp(x)"


def test_pydotprint_writes_a_picture(tmp_path):
    x = T.dmatrix("x")
    f = function([x], T.sum(x ** 2))
    for target, name in ((f, "f.png"), (T.sum(x ** 2), "e.svg")):
        try:
            fuse.printing.pydotprint(target, outfile=str(tmp_path / name), var_with_name_simple=True)
        except ImportError as error:
            assert "pip install" in str(error)
        else:
            assert (tmp_path / name).stat().st_size > 100


def test_print_op_shows_values_at_run_time(capsys):
    x = T.dvector("x")
    hello_world_op = Print("hello world")
    printed_x = hello_world_op(x)
    f = function([x], printed_x * 5)
    np.testing.assert_array_equal(f([1, 2, 3]), [5, 10, 15])
    assert capsys.readouterr().out == "hello world __str__ = [1. 2. 3.]\n"
    function([x], Print("shape", attrs=["shape", "min"])(x) + 1)([4.0, 5.0])
    assert capsys.readouterr().out.splitlines() == ["shape shape = (2,)", "shape min = 4.0"]


def test_test_values_find_the_faulty_line():
    with config.change_flags(compute_test_value="raise"):
        W1 = shared(np.random.RandomState(0).normal(size=(10, 5)), "W1")
        x = T.matrix("x")
        x.tag.test_value = np.ones((4, 10), dtype=config.floatX)
        hidden = T.dot(x, W1)
        np.testing.assert_allclose(hidden.tag.test_value, np.ones((4, 10)) @ W1.get_value())
        activated = T.nnet.sigmoid(hidden + 1).mean(axis=0)
        assert activated.tag.test_value.shape == (5,)
        with pytest.raises(ValueError, match="test_programs_language"):
            T.dot(hidden, W1)
        y = T.vector("y")
        with pytest.raises(AttributeError, match=r"y .*test_value"):
            hidden + y
    with config.change_flags(compute_test_value="warn"), pytest.warns(UserWarning, match="test_value"):
        T.exp(T.vector("no value"))
    with config.change_flags(compute_test_value="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        T.exp(T.vector("no value"))
    f = function([x], activated)
    assert f(np.zeros((1, 10))).tolist() == [1 / (1 + np.exp(-1.0))] * 5


def test_flags():
    assert config.floatX == "float64" and config.device == "cpu"
    with config.change_flags(floatX="float32"):
        assert T.matrix().dtype == "float32" and (T.ivector() / 2).dtype in ("float32", "float64")
    with pytest.warns(UserWarning, match="subtensor_merge_bug"):
        config.warn.subtensor_merge_bug = False
    assert config.warn.subtensor_merge_bug is False
    config.exception_verbosity = "high"
    try:
        assert config.exception_verbosity == "high"
    finally:
        config.exception_verbosity = "low"
    with pytest.raises(ValueError, match="floatX"):
        config.floatX = "float63"
    with pytest.raises(AttributeError, match="flags are"):
        config.flotX


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "FAST_RUN", None, fuse.Mode(optimizer="fast_compile"),
                                  fuse.Mode(linker="py", optimizer="fast_run"), "DebugMode"], ids=str)
def test_modes_agree(mode):
    x = T.dmatrix("x")
    p = nnet.softmax(T.dot(x, x.T) / x.shape[0])
    value = np.random.RandomState(0).normal(size=(4, 3))
    e = np.exp(value @ value.T / 4)
    np.testing.assert_allclose(function([x], p, mode=mode)(value), e / e.sum(1, keepdims=True), rtol=1e-12)


def test_nan_guard_mode_names_the_operation():
    from fuse.compile.nanguardmode import NanGuardMode
    x = T.matrix("x")
    f = function([x], T.log(x) * 0.5, mode=NanGuardMode(nan_is_error=True, inf_is_error=True, big_is_error=True))
    assert f(np.ones((1, 2))).tolist() == [[0, 0]]
    with pytest.raises(AssertionError, match="log"):
        f(-np.ones((1, 2)))


def test_profile_is_accepted(capsys):
    x = T.dvector("x")
    f = function([x], T.exp(x).sum(), profile=True, name="summed")
    assert f([0.0, 0.0]) == 2.0
    f.profile.summary()
    assert "summed" in "".join(capsys.readouterr())


# ---------------------------------------------------------------- the errors that tutorials show
x, y, m, s, k = T.dvector("x"), T.dvector("y"), T.dmatrix("m"), T.dscalar("s"), T.ivector("k")
n = T.iscalar("n")
w32 = shared(np.float32(1.0))


@pytest.mark.parametrize("kind, words, program", [
    (fuse.compile.UnusedInputError, "input 1, s, is not used", lambda: function([x, s], x)),
    (fuse.gof.MissingInputError, r"needs a value for s \(float64 scalar\)", lambda: function([x], x * s)),
    (TypeError, "needs a scalar cost", lambda: T.grad(x ** 2, x)),
    (fuse.gradient.DisconnectedInputError, "does not depend on s", lambda: T.grad(x.sum(), s)),
    (ValueError, r"add of operands with shapes \(3,\), \(2,\)", lambda: function([x, y], x + y)([1, 2, 3], [1, 2])),
    (ValueError, r"dot of operands with shapes \(2, 3\), \(2,\)",
     lambda: function([m, x], T.dot(m, x))(np.ones((2, 3)), [1, 2])),
    (ValueError, r"has 2 dimensions, the value has 1", lambda: function([m], m * 2)([1.0, 2.0])),
    (TypeError, "would lose precision", lambda: function([k], k * 2)([1.5])),
    (TypeError, "allow_downcast", lambda: shared(np.zeros(2, "float32")).set_value(np.array([0.1, 0.2]))),
    (TypeError, "needs a value for input 1", lambda: function([x, s], x * s)([1.0])),
    (TypeError, "takes 1 inputs", lambda: function([x], x)([1.0], 2.0)),
    (TypeError, "no input called 'z'", lambda: function([x], x)(z=1)),
    (TypeError, "switch", lambda: bool(s > 0)),
    (TypeError, "x.shape", lambda: len(x)),
    (TypeError, "set_subtensor", lambda: x.__setitem__(0, 1.0)),
    (TypeError, "cast it", lambda: function([], updates=[(w32, w32 + np.float64(0.1))])),
    (TypeError, "without a name", lambda: function([], updates=[(w32, w32 + np.float64(0.1))])),
    (ValueError, "two updates", lambda: function([], updates=[(w32, w32), (w32, w32 * 2)])),
    (IndexError, "index 5 is out of bounds", lambda: function([x], x[5])([1, 2, 3])),
    (IndexError, "index 7 is out of bounds for axis 0 with size 3\n  in indexing with integer arrays",
     lambda: function([x, k], x[k])([1, 2, 3], [7])),
    (ValueError, r"shape \(-1,\) was asked for", lambda: function([n], T.zeros((n,)))(-1)),
    (IndexError, "too many indices", lambda: x[0, 0]),
    (ValueError, "axis 1 is out of bounds", lambda: x.sum(axis=1)),
    (ValueError, "reshape", lambda: function([x], x.reshape((2, 2)))([1, 2, 3])),
    (ValueError, "drops axis 1", lambda: m.dimshuffle(0)),
    (AttributeError, r"T\.nnet\.softmax|fuse\.tensor\.nnet\.softmax", lambda: T.softmax),
    (AttributeError, "no attribute 'sigmoidd'", lambda: T.nnet.sigmoidd),
])
def test_error(kind, words, program):
    with pytest.raises(kind, match=words):
        program()

