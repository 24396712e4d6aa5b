"""function, its inputs, outputs, updates, givens and modes; eval; clone; pickling."""
from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.interpreted import ReferenceProgram
from fuse.errors import (
    DebugModeError,
    DTypeError,
    FuseTypeError,
    FuseValueError,
    MissingInputError,
    NanGuardError,
    ShapeError,
    UnusedInputError,
)
from fuse.mode import Mode, get_mode
from fuse.updates import OrderedUpdates

MODES = ["FAST_RUN", "FAST_COMPILE", "strict", "fast", "DebugMode", Mode("py", None)]


def here(offset: int = 0) -> int:
    return inspect.currentframe().f_back.f_lineno + offset


# ---------------------------------------------------------------- inputs
def test_values_by_position_by_name_and_by_default():
    x, y, z = T.dscalars("x", "y", "z")
    f = fuse.function([x, fuse.In(y, value=10.0), (z, 100.0)], x + 2 * y + 3 * z, name="f")
    assert f(1.0) == 321
    assert f(1.0, 2.0) == 305
    assert f(1.0, z=1.0) == 24
    assert f(z=0.0, x=5.0, y=1.0) == 7
    f["y"] = 0.0
    assert f(1.0) == 301 and f["y"] == 0 and f[z] == 100
    assert "y" in f and "w" not in f
    assert str(inspect.signature(f)) == "(x, y=array(0.), z=array(100.))"


def test_wrong_calls_are_type_errors_that_name_the_input():
    x, y = T.dscalar("x"), T.dvector("y")
    f = fuse.function([x, y], x * y, name="scale")
    for call, message in [
        (lambda: f(1.0), "the function 'scale' needs a value for input 1 (y), a float64 vector"),
        (lambda: f(1.0, [1.0], 3.0), "the function 'scale' takes 2 inputs (x, y), not 3"),
        (lambda: f(1.0, z=3.0), "the function 'scale' has no input called 'z'; its named inputs are: x, y"),
        (lambda: f(1.0, x=3.0), "the function 'scale' got two values for the input 'x'"),
    ]:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == message


def test_two_inputs_of_one_name_are_given_by_position():
    a, b = T.dscalar("x"), T.dscalar("x")
    f = fuse.function([a, b], a - b)
    assert f(5.0, 3.0) == 2
    with pytest.raises(TypeError) as caught:
        f(1.0, x=2.0)
    assert str(caught.value) == "the function has several inputs called 'x': give them by position"


def test_a_value_that_does_not_fit_is_explained():
    x, n = T.fvector("x"), T.iscalar("n")
    f = fuse.function([x, n], x * n, name="g")
    with pytest.raises(DTypeError) as caught:
        f(np.array([0.1, 0.2]), 1)
    assert str(caught.value) == (
        "input 0 (x) of the function 'g': float64 values would lose precision as float32: convert them "
        "(value.astype('float32')), or pass allow_input_downcast=True to function (allow_downcast=True to shared)\n"
        "  got an array of float64 with shape (2,), wants a float32 vector"
    )
    with pytest.raises(ShapeError) as caught:
        f(np.zeros((2, 2), "float32"), 1)
    assert str(caught.value) == (
        "input 0 (x) of the function 'g': a float32 vector has 1 dimensions, the value has 2 (shape (2, 2))\n"
        "  got an array of float32 with shape (2, 2), wants a float32 vector"
    )
    with pytest.raises(TypeError, match=r"input 1 \(n\) of the function 'g': values of int64 do not fit into int32"):
        f(np.zeros(2, "float32"), 2**40)


def test_downcast_and_strict():
    x = T.fvector("x")
    values = np.array([0.1, 0.2])
    assert fuse.function([x], x + 1, allow_input_downcast=True)(values).dtype == "float32"
    assert fuse.function([fuse.In(x, allow_downcast=True)], x * 1)(values)[0] == np.float32(0.1)
    strict = fuse.function([fuse.In(x, strict=True)], x + 1)
    assert strict(values.astype("float32")).dtype == "float32"
    with pytest.raises(TypeError, match="a strict input takes a NumPy array of float32, not list"):
        strict([1.0, 2.0])
    with pytest.raises(TypeError, match="lose precision"):
        fuse.function([x], x + 1, allow_input_downcast=False)(values)
    # whole values lose nothing
    i = T.ivector("i")
    assert fuse.function([i], i * 2)(np.array([1, 2])).tolist() == [2, 4]


def test_an_input_with_an_update_keeps_state():
    x, total = T.dscalars("x", "total")
    add = fuse.function([x, fuse.In(total, value=0.0, update=total + x)], total * 1)
    assert [float(add(v)) for v in (1.0, 2.0, 3.0)] == [0.0, 1.0, 3.0]
    assert add["total"] == 6
    add["total"] = 100.0
    assert add(1.0) == 100 and add["total"] == 101
    later = fuse.function([x, fuse.In(total, update=total + x)], total * 1)
    with pytest.raises(FuseTypeError, match="needs a value for input 1"):
        later(1.0)
    assert later(1.0, 5.0) == 5 and later(2.0) == 6
    up = fuse.function([x, fuse.In(total, value=10.0, update=total + x)], [])
    down = fuse.function([x, fuse.In(total, value=up.container[total], update=total - x)], [])
    for one, other in (pickle.loads(pickle.dumps((up, down))), copy.deepcopy((up, down))):  # one state in both
        one(5.0), other(1.0)
        assert one["total"] == other["total"] == 14 and up["total"] == 10
    with pytest.raises(FuseTypeError, match="the name of an input"):
        fuse.In(x, name=[])


def test_an_intermediate_expression_as_input_cuts_the_graph():
    x = T.dvector("x")
    y = T.exp(x)
    f = fuse.function([y], y.sum() + (y * 2).sum())
    assert f([1.0, 2.0]) == 9
    assert fuse.function([x, y], (x * y).sum())([1.0, 2.0], [3.0, 4.0]) == 11
    assert (y * y).eval({y: [2.0, 3.0]}).tolist() == [4, 9]


def test_missing_and_unused_and_repeated_inputs():
    x = T.dvector("x")
    weight, line = T.dscalar("weight"), here()
    out, used = x * weight, here()
    with pytest.raises(MissingInputError) as caught:
        fuse.function([x], out)
    assert str(caught.value) == (
        "the function needs a value for weight (float64 scalar), which is not among its inputs\n"
        f"  made at test_function.py:{line}: weight, line = T.dscalar(\"weight\"), here()\n"
        f"  used by dimshuffle at test_function.py:{used}: out, used = x * weight, here()\n"
        "  add it to the inputs, or give it a value with givens={variable: value}"
    ).replace("dimshuffle", out.args[1].op.name if not out.args[1].is_leaf else out.op.name)
    with pytest.raises(UnusedInputError) as caught:
        fuse.function([x, weight], x * 2)
    message = (
        "input 1, weight, is not used: no output or update depends on it; leave it out, or pass "
        "on_unused_input='warn' or 'ignore'"
    )
    assert str(caught.value) == message
    with pytest.warns(UserWarning) as seen:
        f = fuse.function([x, weight], x * 2, on_unused_input="warn")
    assert str(seen[0].message) == message and f([1.0], 5.0).tolist() == [2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fuse.function([x, weight], x * 2, on_unused_input="ignore")([1.0], 5.0).tolist() == [2]
        with fuse.config.change_flags(on_unused_input="ignore"):
            fuse.function([x, weight], x * 2)
    with pytest.raises(UnusedInputError) as caught:
        fuse.function([x, weight, x], x * weight)
    assert str(caught.value) == (
        "the variable x is input 0 and input 2: the value of one of them would be ignored; give each variable once"
    )


@pytest.mark.parametrize(("inputs", "message"), [
    (lambda x: x, "the inputs of a function are a list, even where there is one: function([x], ...), not "
     "TensorVariable"),
    (lambda x: [3], "input 0 is a symbolic variable or In(...), not int 3"),
    (lambda x: [T.constant(3)], "input 0 is the constant 3: only variables can be inputs"),
    (lambda x: [(x, 1.0, 2.0)], "input 0 as a tuple is (variable, default), not (x, 1.0, 2.0)"),
    (lambda x: [fuse.shared(1.0, "s")],
     "the shared variable s cannot be an input: a function reads it anyway; to give it another value for one function "
     "use givens={shared: variable}"),
])
def test_what_is_no_input(inputs, message):
    x = T.dscalar("x")
    with pytest.raises(FuseTypeError) as caught:
        fuse.function(inputs(x), x + 1)
    assert str(caught.value) == message


# ---------------------------------------------------------------- outputs
def test_shapes_of_results():
    x = T.dscalar("x")
    assert fuse.function([x], x + 1)(1.0).shape == ()
    assert isinstance(fuse.function([x], x + 1)(1.0), np.ndarray)
    assert fuse.function([x], [x + 1])(1.0) == [2.0]
    assert fuse.function([x], (x + 1, x * 3))(1.0) == [2.0, 3.0]
    assert fuse.function([x], {"a": x + 1, "b": fuse.Out(x * 2, borrow=True)})(1.0) == {"a": 2.0, "b": 2.0}
    assert fuse.function([], [])() == []
    count = fuse.shared(0)
    assert fuse.function([], updates={count: count + 1})() == [] and count.get_value() == 1
    assert fuse.function([x], [x, 7, T.constant(2.5)])(1.0) == [1.0, 7, 2.5]
    assert fuse.function([x], [x + 1, x + 2, x + 3])(0.0, output_subset=[2, 0]) == [3.0, 1.0]
    with pytest.raises(FuseTypeError) as caught:
        fuse.function([x], [x, "y"])
    assert str(caught.value) == "output 1 is an expression or a number, not str 'y'"
    with pytest.raises(FuseTypeError) as caught:
        fuse.function([x], {1: x})
    assert str(caught.value) == "the keys of a dict of outputs are strings, not int 1"


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_outputs_are_fresh_arrays(mode):
    x = T.dmatrix("x")
    s = fuse.shared(np.arange(6.0).reshape(2, 3), "s")
    c = T.constant(np.arange(3.0))
    f = fuse.function([x], [x, x, x.T, s, s[0], c, x[0], T.exp(x), x + s], mode=mode)
    value = np.arange(6.0).reshape(2, 3)
    results = f(value)
    kept = [r.copy() for r in results]
    held = [value, s.container.value, c.data]
    for i, result in enumerate(results):
        for other in held + results[:i]:
            assert not np.shares_memory(result, other), i
    for result in results:
        result[...] = -1
    assert np.array_equal(value, np.arange(6.0).reshape(2, 3)) and s.get_value()[0, 1] == 1
    for again, first in zip(f(value), kept, strict=True):
        assert np.array_equal(again, first)


# ---------------------------------------------------------------- updates
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_updates_are_simultaneous_and_outputs_see_old_values(mode):
    a, b = fuse.shared(1.0, "a"), fuse.shared(2.0, "b")
    swap = fuse.function([], [a, b], updates=[(a, b), (b, a)], mode=mode)
    assert swap() == [1, 2] and (a.get_value(), b.get_value()) == (2, 1)
    assert swap() == [2, 1] and (a.get_value(), b.get_value()) == (1, 2)
    w = fuse.shared(np.zeros(3), "w")
    x = T.dvector("x")
    step = fuse.function([x], w.sum(), updates=OrderedUpdates([(w, w + x), (a, w.sum())]), mode=mode)
    value = np.array([1.0, 2.0, 3.0])
    assert step(value) == 0 and a.get_value() == 0
    assert step(value) == 6 and a.get_value() == 6
    set_to = fuse.function([x], None, updates={w: x}, mode=mode)
    set_to(value)
    value[0] = 99  # the shared variable holds a copy
    assert w.get_value().tolist() == [1, 2, 3]


def test_updates_are_checked():
    w, n = fuse.shared(np.zeros(3, "float32"), "w"), fuse.shared(0, "n")
    x = T.dvector("x")
    for updates, message in [
        ({w: x}, "the update of w is a float64 vector, the shared variable is a float32 vector: cast it "
                 "(fuse.tensor.cast(expression, 'float32')), or keep float64 out of it: float64 arrays, arrays of "
                 "integers and (unless config.floatX is 'float32') numbers such as 0.1 make float64 of float32"),
        ({n: n * 0.5}, "the update of n is a float64 scalar, the shared variable is a int64 scalar: cast it "
                       "(fuse.tensor.cast(expression, 'int64'))"),
        ({w: w.sum()}, "the update of w is a float32 scalar, the shared variable is a float32 vector"),
        ([(n, n + 1), (n, n + 2)], "the shared variable n has two updates: give it one"),
        ({x: x + 1}, "an update belongs to a shared variable (fuse.shared(value)), not to a float64 vector x"),
        ([n], "updates is a dict or a list of pairs, not [n]"),
    ]:
        with pytest.raises((TypeError, ValueError)) as caught:
            fuse.function([x], [], updates=updates, on_unused_input="ignore")
        assert str(caught.value) == message
    fixed = fuse.shared(np.zeros((1, 3)), "fixed", broadcastable=(True, False))
    m = T.dmatrix("m")
    with pytest.raises(ShapeError) as caught:
        fuse.function([m], [], updates={fixed: m})
    assert str(caught.value) == (
        "the update of fixed has a size known at run time along axis 0, the shared variable has size 1 there for good: "
        "make it with fuse.shared(value, shape=(None, None))"
    )
    # numbers take the variable's type; an int32 input does not widen int64 state
    i = T.iscalar("i")
    fuse.function([i], [], updates={n: n + i, w: [1, 2, 3]})(5)
    assert n.get_value() == 5 and w.get_value().dtype == "float32" and w.get_value().tolist() == [1, 2, 3]


def test_ordered_updates_refuse_a_second_update():
    a, b = fuse.shared(1.0, "a"), fuse.shared(1.0, "b")
    first = OrderedUpdates({a: a + 1})
    assert list(first + {b: b + 1}) == [a, b]
    with pytest.raises(ValueError) as caught:
        first + {a: a + 2}
    assert str(caught.value) == "two updates of the shared variable a: give it one"
    with pytest.raises(TypeError):
        first[T.dscalar("x")] = a


def test_default_updates():
    count = fuse.shared(0, "count")
    count.default_update = count + 1
    x = T.dscalar("x")
    f = fuse.function([x], x * count)
    assert [float(f(1.0)) for _ in range(3)] == [0, 1, 2]
    assert fuse.function([x], x * count, no_default_updates=True)(1.0) == 3 and count.get_value() == 3
    fuse.function([x], x * count, no_default_updates=[count])(1.0)
    assert count.get_value() == 3
    fuse.function([x], x * count, updates={count: count + 10})(1.0)
    assert count.get_value() == 13
    # a default update may bring in another variable with one
    other = fuse.shared(0, "other")
    other.default_update = other + count
    fuse.function([], other)()
    assert other.get_value() == 13 and count.get_value() == 14
    with pytest.raises(FuseTypeError) as caught:
        fuse.function([x], x * count, no_default_updates=count)
    assert str(caught.value) == "no_default_updates is True, False or a list of shared variables, not SharedVariable"


# ---------------------------------------------------------------- givens
def test_givens_replace_inputs_shared_variables_and_expressions():
    x, y, i = T.dvector("x"), T.dvector("y"), T.lscalar("i")
    data = fuse.shared(np.arange(10.0), "data")
    cost = (x ** 2).sum()
    batch = fuse.function([i], cost, givens={x: data[i * 2:(i + 1) * 2]})
    assert batch(1) == 4 + 9
    assert fuse.function([y], (data * 2).sum(), givens=[(data, y)])([1.0, 2.0]) == 6
    hidden = T.exp(x)
    assert fuse.function([y], hidden.sum(), givens={hidden: y + 1})([1.0, 2.0]) == 5
    with pytest.raises(RuntimeError, match="givens replaces x, an input"):
        fuse.function([x], x.sum(), givens={x: x * 2})
    assert fuse.function([], cost, givens={x: np.array([3, 4])})() == 25
    # in updates too, and all at once
    fuse.function([y], [], updates={data: data + x.sum()}, givens={x: y})([1.0, 1.0])
    assert data.get_value()[0] == 2


def test_givens_are_checked():
    x, y, v = T.dscalar("x"), T.fscalar("y"), T.dvector("v")
    for givens, message in [
        ({x: y * 2}, "the replacement in givens of x is a float32 scalar, a float64 scalar is needed: cast it "
                     "(expression.astype('float64'))"),
        ({x: v}, "the replacement in givens of x is a float64 vector, a float64 scalar is needed"),
        ({"x": 1.0}, "the keys of givens are expressions, not str 'x'"),
        ([(x, 1.0), (x, 2.0)], "givens replaces x twice"),
        ({x: v.sum(), v: v * 2}, "givens replaces x by an expression of v, which it replaces too: all replacements "
                                 "happen at once; substitute in the replacement first, with fuse.clone"),
        ({x: [1.0, 2.0]}, "the replacement in givens of x: a float64 scalar has 0 dimensions, the value has 1 "
                          "(shape (2,))"),
    ]:
        with pytest.raises((TypeError, ValueError)) as caught:
            fuse.function([v, y], x + 1, givens=givens, on_unused_input="ignore")
        assert str(caught.value) == message


# ---------------------------------------------------------------- modes
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_mode_gives_the_same_numbers(mode):
    x, w = T.dmatrix("x"), fuse.shared(np.linspace(-1, 1, 3), "w")
    p = 1 / (1 + T.exp(-T.dot(x, w)))
    cost = -T.log(p).mean()
    f = fuse.function([x], [cost, T.grad(cost, w)], mode=mode)
    value = np.random.default_rng(0).normal(size=(5, 3))
    z = value @ np.linspace(-1, 1, 3)
    s = 1 / (1 + np.exp(-z))
    got = f(value)
    np.testing.assert_allclose(got[0], -np.log(s).mean(), rtol=1e-13)
    np.testing.assert_allclose(got[1], -((1 - s)[:, None] * value).mean(0), rtol=1e-12)


def test_mode_names():
    assert get_mode("fast_compile").name == "FAST_COMPILE" and get_mode(None) is get_mode("FAST_RUN")
    assert get_mode("strict").rewriting == "strict" and get_mode("fast").rewriting == "fast"
    assert Mode("cvm", "fast_run").backend == "compiled" and Mode("py", "fast_run").backend == "interpreted"
    assert Mode(optimizer=None).rewriting == "none"
    mode = get_mode("FAST_RUN").excluding("fusion").including("local_remove_all_assert")
    assert mode.tags == {"local_remove_all_assert"} and mode.rewriting == "default"
    with fuse.config.change_flags(mode="FAST_COMPILE"):
        x = T.dscalar("x")
        assert isinstance(fuse.function([x], x + 1).fn, ReferenceProgram)
        assert fuse.compile.get_default_mode().name == "FAST_COMPILE"
    with fuse.config.change_flags(optimizer="None"):
        assert get_mode().rewriting == "none"
    with pytest.raises(FuseValueError) as caught:
        fuse.function([], [], mode="FASTRUN")
    assert str(caught.value) == (
        "no mode is called 'FASTRUN': there are FAST_RUN, FAST_COMPILE, default, strict, fast, DebugMode, "
        "NanGuardMode, NUMBA"
    )
    with pytest.raises(FuseTypeError):
        get_mode(3)
    with pytest.raises(FuseValueError):
        Mode(optimizer="quick")


def test_debug_mode_notices_wrong_numbers():
    x, w = T.dvector("x"), fuse.shared(1.0, "w")
    f = fuse.function([x], T.exp(x), updates={w: w * 2}, mode="DebugMode")
    np.testing.assert_allclose(f([0.0, 1.0]), np.exp([0.0, 1.0]), rtol=1e-15)
    assert w.get_value() == 2

    class Broken:
        kernels = ()

        def __call__(self, *values):
            return [np.array([1.0, 2.0])]

    f.fn.compiled = Broken()
    with pytest.raises(DebugModeError, match=r"output 0 differs in 1 of 2 places; at \(1,\) it is .*2\.0"):
        f([0.0, 1.0])
    f.fn.compiled = lambda *values: [np.exp(np.asarray(values[0]))]
    with pytest.raises(DebugModeError, match="the update of w differs in 1 of 1 places"):
        f([0.0, 1.0])


def test_nan_guard_mode_names_the_operation():
    x = T.dvector("x")
    y, line = T.log(x), here()
    f = fuse.function([x], y.sum(), mode=fuse.compile.NanGuardMode())
    assert f([1.0, np.e]) == 1
    with pytest.raises(NanGuardError) as caught:
        f([-1.0, 1.0])
    assert str(caught.value) == (
        "log made NaN\n  in log of operands with shapes (2,)\n"
        f"  built at test_function.py:{line}: y, line = T.log(x), here()"
    )
    with pytest.raises(NanGuardError, match="log made infinity"):
        f([0.0])
    with pytest.raises(NanGuardError, match="made a number beyond 1e10"):
        fuse.function([x], x * 1e8, mode=fuse.compile.NanGuardMode())([1e5])
    assert np.isnan(fuse.function([x], T.log(x), mode=fuse.compile.NanGuardMode(nan_is_error=False))([-1.0]))


# ---------------------------------------------------------------- looking inside
def test_what_a_function_shows():
    x, s = T.dvector("x"), fuse.shared(2.0, "s")
    f = fuse.function([x, (T.dscalar("k"), 1.0)], {"y": T.exp(x) * s}, updates={s: s + 1}, name="f",
                      on_unused_input="ignore", profile=True)
    assert repr(f) == "<fuse.Function f (x: float64 vector, k: float64 scalar) -> {y: float64 vector}>"
    assert f.get_shared() == [s] and f["s"] == 2
    assert [i.name for i in f.maker.inputs] == ["x", "k"] and f.maker.mode is get_mode("FAST_RUN")
    assert [c.value for c in f.input_storage] == [None, 1]
    names = [a.op.name for a in f.maker.fgraph.toposort()]
    assert "exp" in names and f.maker.fgraph.inputs[0] is x and len(f.maker.fgraph.outputs) == 2
    assert f.maker.fgraph.apply_nodes == set(f.maker.fgraph.toposort())
    f([1.0])
    f([1.0])
    assert f.profile.fct_callcount == 2 and f.profile.fct_call_time > 0 and ": 2 calls, " in str(f.profile)
    assert isinstance(f.source, str) and "exp" in f.source and f.explain()
    f.free()
    f["s"] = 7.0
    assert s.get_value() == 7
    with pytest.raises(KeyError):
        f["nothing"]


def test_interpreted_programs_show_their_steps():
    x = T.dvector("x")
    f = fuse.function([x], T.exp(x).sum(), mode="FAST_COMPILE")
    assert "v1 = exp(v0)" in f.source and "sum(v1, axis=(0,), dtype='float64')" in f.source
    assert "2 operations" in f.explain() and f.fn.kernels == ()


# ---------------------------------------------------------------- copies and pickles
def test_copy_swap_and_delete_updates():
    a, b = fuse.shared(1.0, "a"), fuse.shared(10.0, "b")
    x, n = T.dscalars("x", "n")
    f = fuse.function([x, fuse.In(n, value=0.0, update=n + 1)], a * x + n, updates={a: a + 1})
    g = f.copy(swap={a: b})
    assert g(2.0) == 20 and (a.get_value(), b.get_value()) == (1, 11)
    assert f(2.0) == 2 and f["n"] == 1 and g["n"] == 1
    h = f.copy(delete_updates=True, name="h")
    assert h(1.0) == 3 and a.get_value() == 2 and h.name == "h"
    assert copy.copy(f)(1.0) == 3 and a.get_value() == 3
    with pytest.raises(FuseValueError) as caught:
        f.copy(swap={b: a})
    assert str(caught.value) == "swap: the function has no shared variable b"
    with pytest.raises(FuseTypeError) as caught:
        f.copy(swap={a: fuse.shared(1, "i")})
    assert str(caught.value) == "swap: a takes a shared variable of the same type (TensorType(float64, scalar))"


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE", fuse.compile.NanGuardMode()], ids=str)
def test_a_function_is_pickled_with_its_state(mode):
    w = fuse.shared(np.arange(3.0), "w")
    x, n = T.dvector("x"), T.dscalar("n")
    f = fuse.function([x, fuse.In(n, value=1.0, update=n * 2, allow_downcast=True)], {"y": (x * w).sum() * n},
                      updates={w: w + 1}, name="f", mode=mode)
    f([1.0, 1.0, 1.0])
    saved = pickle.dumps(f)
    before = w.get_value()
    g = pickle.loads(saved)
    assert repr(g) == repr(f) and g["n"] == 2 and g.maker.mode == f.maker.mode
    assert g([1.0, 1.0, 1.0]) == {"y": 2 * before.sum()}


def test_a_pickled_function_runs_in_another_process(tmp_path):
    import subprocess
    import sys

    w = fuse.shared(np.array([1.0, 2.0]), "w")
    x = T.dvector("x")
    f = fuse.function([x], (x * w).sum(), updates={w: w + x}, mode="FAST_COMPILE")
    path = tmp_path / "f.pickle"
    path.write_bytes(pickle.dumps(f))
    code = (
        f"import pickle; f = pickle.load(open({str(path)!r}, 'rb')); "
        "print(float(f([1., 1.])), float(f([1., 1.])), f.get_shared()[0].get_value().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3.0 5.0 [3.0, 4.0]"


# ---------------------------------------------------------------- eval, clone
def test_eval():
    x, y = T.dvectors("x", "y")
    z = x * y
    assert z.eval({x: [1, 2], y: [3, 4]}).tolist() == [3, 8]
    assert z.eval({"x": [1, 2], y: [1, 1]}).tolist() == [1, 2]
    assert z.eval(x=[1, 2], y=[2, 2]).tolist() == [2, 4]
    assert z.eval({"x": [1, 2]}, y=[0, 1], mode="FAST_COMPILE").tolist() == [0, 2]
    assert len(z._cache["eval"]) == 2  # compiled once per set of variables and mode
    assert T.constant(3).eval() == 3 and fuse.shared(4.0).eval() == 4 and (x * 1).eval({x: [5.0]}).tolist() == [5]
    for call, message in [
        (lambda: z.eval({"x": [1], "w": [1]}), "the expression has no variable called 'w' (it has: x, y)"),
        (lambda: z.eval({x: [1]}, x=[1]), "eval got two values for x"),
        (lambda: z.eval([1, 2]), "eval takes a dict from variables to values, not list"),
        (lambda: z.eval({1: 2}), "eval takes values by variable or by name, not by int 1"),
    ]:
        with pytest.raises((ValueError, TypeError)) as caught:
            call()
        assert str(caught.value) == message
    with pytest.raises(MissingInputError, match="the function needs a value for y"):
        z.eval({x: [1]})


def test_clone():
    x, y = T.dvectors("x", "y")
    z = x * y + x
    assert fuse.clone(z) is z
    assert fuse.clone(z, replace={x: y}) is y * y + y
    assert fuse.clone([z, x], replace=[(x, y)]) == [y * y + y, y]
    assert fuse.clone({"z": z}, {x: y}) == {"z": y * y + y}
    swapped = fuse.clone(z, replace={x: y, y: y})
    assert swapped is y * y + y
    f = T.fvector("f")
    with pytest.raises(TypeError, match="in replace of x is a float32 vector, a float64 vector is needed"):
        fuse.clone(z, replace={x: f})
    assert fuse.clone(x * 2, replace={x: f}, strict=False).dtype == "float32"
    new = fuse.clone(z, share_inputs=False)
    assert new is not z and new.eval(x=[2.0], y=[3.0]).tolist() == [8]
    with pytest.raises(TypeError) as caught:
        fuse.clone(3)
    assert str(caught.value) == "clone takes expressions, not int 3"


def test_a_long_chain_compiles_pickles_and_runs_without_recursion():
    x = T.dscalar("x")
    y = x
    for _ in range(20_000):
        y = T.tanh(y) + x
    f = fuse.function([x], y, mode=Mode("py", None))
    want = value = 0.1
    for _ in range(20_000):
        want = np.tanh(want) + value
    assert abs(f(0.1) - want) < 1e-12
    assert abs(pickle.loads(pickle.dumps(f))(0.1) - want) < 1e-12


def test_debug_mode_says_which_stage_went_wrong():
    from fuse.rules.user import register, remove

    def wrong(node):
        return [T.sin(node.inputs[0])] if str(node.op) == "tanh" else None

    x = T.dvector("x")
    register(wrong, "wrong")
    try:
        f = fuse.function([x], T.tanh(x), mode="DebugMode")
        with pytest.raises(DebugModeError, match=r"output 0 differs .* after rewriting and .*"):
            f([1.0, 2.0])
    finally:
        remove("wrong")


def test_debug_mode_finds_ops_that_change_their_inputs():
    class Greedy(fuse.Op):
        __props__ = ()
        itypes, otypes = [T.dvector], [T.dvector]

        def perform(self, node, inputs, outputs):
            inputs[0][0] = 7.0
            outputs[0][0] = inputs[0] * 2

    x = T.dvector("x")
    f = fuse.function([x], Greedy()(x), mode="DebugMode")
    given = np.array([1.0, 2.0])
    with pytest.raises(DebugModeError, match=r"changed its input 0; .* destroy_map"):
        f(given)


def test_nan_guard_names_the_input_that_holds_it():
    x = T.dvector("x")
    f = fuse.function([x], T.exp(x), mode=fuse.compile.NanGuardMode())
    with pytest.raises(NanGuardError, match=r"the input x \(float64 vector\) holds NaN\n  made at .*test_function"):
        f([np.nan])


def test_errors_at_length_show_values_and_the_formula():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], x + T.exp(y))
    with fuse.config.change_flags(exception_verbosity="high"), pytest.raises(ValueError, match="argument 0") as caught:
        f([1.5, 2.5], [0.0, 0.0, 0.0])
    assert "array([1.5, 2.5])" in str(caught.value) and "|exp <TensorType(float64, vector)>" in str(caught.value)
    with fuse.config.change_flags(compute_test_value="raise"):
        x.tag.test_value = 1.0
        with pytest.raises(ValueError, match=r"the test_value of x \(made at .*test_function.*vector has 1 dim"):
            T.exp(x)
