"""Calls of a function: the same results, errors and forms from the first call to the thousandth."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import sys
import weakref

import numpy as np
import pytest
from in_threads import in_threads

import fuse
import fuse.tensor as T
from fuse import maker
from fuse.codegen import call_plan, memory, vectorcall
from fuse.errors import DTypeError, FuseTypeError, ShapeError


@pytest.fixture(autouse=True)
def at_hand():
    """What calls at C level need is there: else a function waits for more calls before it is worth compiling."""
    memory.addresses()


def settled(inputs, outputs, *args, **options):
    """A function after the calls that make it enter at C level."""
    f = fuse.function(inputs, outputs, **options)
    for _ in range(8):
        f(*args)
    assert is_native(f), "this function is called through Python"
    return f


def is_native(f):
    """Whether calls of a function enter at C level: by a pointer in it, or by a built-in method."""
    return getattr(f, "_plan", None) is not None or isinstance(type(f).__call__, type(len))


def everything(f):
    """The arrays of a result of any form."""
    return list(f.values()) if isinstance(f, dict) else f if isinstance(f, list) else [f]


@pytest.fixture
def vectors():
    return T.dvectors("x", "y")


A, B = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])


# ---------------------------------------------------------------- forms
def test_forms_of_results(vectors):
    x, y = vectors
    assert np.array_equal(settled([x, y], x + y, A, B)(A, B), A + B)
    assert [r.tolist() for r in settled([x, y], [x + y, x * y], A, B)(A, B)] == [(A + B).tolist(), (A * B).tolist()]
    named = settled([x, y], {"sum": x + y, "product": x * y}, A, B)(A, B)
    assert list(named) == ["product", "sum"] and np.array_equal(named["sum"], A + B)
    assert settled([x, y], [], A, B, on_unused_input="ignore")(A, B) == []
    assert settled([x, y], [x + y], A, B)(A, B)[0].flags.owndata


def test_results_are_new_arrays_each_time(vectors):
    x, y = vectors
    f = settled([x, y], [x + y, x, x + y], A, B)
    first, second = f(A, B), f(A, B)
    first[0][:] = 0
    assert np.array_equal(second[0], A + B) and np.array_equal(A, [1, 2, 3]) and np.array_equal(first[2], A + B)
    assert not any(np.shares_memory(r, A) for r in second)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (1, 2, 1, 2)], ids=str)
def test_shapes(shape):
    x = T.tensor("float64", shape=(None,) * len(shape))
    value = np.arange(float(np.prod(shape))).reshape(shape)
    f = settled([x], [x * 2 + 1, x.sum()], np.ones((2,) * len(shape)))
    double, total = f(value)
    assert np.array_equal(double, value * 2 + 1) and double.shape == shape and float(total) == value.sum()


# ---------------------------------------------------------------- inputs
SCALARS = [np.int64(-3), np.array(2**62), np.array(2**62, ">i8"), np.uint64(3), np.intc(4), np.array([5])[0],
           1.5, 2, True, np.float64(1.5), np.float32(1.5), np.int8(3), np.array(1.5), np.array(3), np.array(1.5, ">f8"),
           np.array([1.5])[0], -0.0, float("inf"), 10**400, "1.5", None, [1.5], np.array([1.5]), 1j]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "uint64", "bool"])
def test_numbers_are_taken_as_at_the_first_call(dtype):
    x = T.scalar("x", dtype=dtype)
    y = x | x if dtype == "bool" else x + x
    f = fuse.function([x], y)
    good = True if dtype == "bool" else 1
    for _ in range(8):
        f(np.array(good, dtype))
    for value in [*SCALARS, 127, 128, -1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]:
        outcomes = []
        for call in (fuse.function([x], y), f):
            try:
                outcome = call(value)
                outcomes.append((outcome.dtype, outcome.shape, outcome.tobytes()))
            except (TypeError, ValueError, OverflowError) as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1], value


ARRAYS = {
    "list": [1.0, 2.0, 3.0], "ints": np.arange(3), "float32": A.astype("f4"), "strided": np.arange(6.0)[::2],
    "reversed": A[::-1], "big-endian": A.astype(">f8"), "read-only": np.frombuffer(A.tobytes()), "matrix": np.eye(3),
    "number": 1.0, "empty": np.zeros(0), "one": np.ones(1), "longer": np.ones(4),
    "masked": np.ma.array(A, mask=[0, 1, 0]),
    "subclass": A.view(np.recarray), "unaligned": np.frombuffer(b"x" + A.tobytes(), "u1")[1:].view("f8"), "none": None,
    "tuple": (1, 2, 3), "complex": A * 1j, "broadcast": np.broadcast_to(2.0, 3), "text": np.array(["a", "b", "c"]),
}


@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_arrays_are_taken_as_at_the_first_call(value, vectors):
    x, y = vectors
    f = settled([x, y], [x + 2 * y, x.sum()], A, B)
    outcomes = []
    for call in (fuse.function([x, y], [x + 2 * y, x.sum()]), f):
        for args in ((value, B), (A, value), (value, value)):
            try:
                outcomes.append([r.tolist() for r in call(*args)])
            except (TypeError, ValueError) as error:
                outcomes.append((type(error), str(error)))
    assert outcomes[:3] == outcomes[3:]


def test_errors_name_the_input(vectors):
    x, y = vectors
    f = settled([x, y], x + y, A, B)
    with pytest.raises(DTypeError, match="input 1 \\(y\\)"):
        f(A, A * 1j)
    with pytest.raises(ShapeError, match="input 0 \\(x\\)"):
        f(np.eye(3), B)
    with pytest.raises(FuseTypeError, match="takes 2 inputs"):
        f(A, B, A)
    with pytest.raises(FuseTypeError, match="needs a value for input 1 \\(y\\)"):
        f(A)
    with pytest.raises(FuseTypeError, match="no input called 'z'"):
        f(A, z=B)
    assert np.array_equal(f(A, B), A + B)


def test_keywords_defaults_and_states(vectors):
    x, y = vectors
    f = settled([x, (y, B)], x + y, A, B)
    assert np.array_equal(f(A), A + B) and np.array_equal(f(A, y=A), 2 * A) and np.array_equal(f(y=A, x=B), A + B)
    f["y"] = A
    assert np.array_equal(f(A), 2 * A)
    step = T.dscalar("step")
    g = fuse.function([x, fuse.In(step, value=1.0, update=step * 2)], x * step)
    assert [float(g(A)[0]) for _ in range(12)] == [2.0**k for k in range(12)]


def test_static_sizes_and_broadcasting():
    x, row = T.tensor("float64", shape=(2, 3)), T.drow("row")
    value = np.arange(6.0).reshape(2, 3)
    f = settled([x, row], x * row, value, A[None])
    assert np.array_equal(f(value, A[None]), value * A)
    with pytest.raises(ShapeError):
        f(np.ones((3, 2)), A[None])
    with pytest.raises(ShapeError):
        f(value, np.ones((2, 3)))
    for of_row in (T.join(0, row, row), row.T, T.sort(row)):  # steps without a kernel, which would check sizes itself
        h = settled([row], of_row, A[None])
        with pytest.raises(ShapeError):
            h(np.ones((2, 3)))
    u, v = T.dmatrices("u", "v")
    g = settled([u, v], u + v, value, value)
    assert np.array_equal(g(value, A[None]), value + A)
    assert np.array_equal(g(np.ones((2, 1)), A[None]), np.ones((2, 3)) + A)
    with pytest.raises(ValueError):
        g(value, np.ones((3, 2)))
    assert np.array_equal(g(value, value), 2 * value)


def test_large_and_small_calls_of_one_function(vectors):
    x, y = vectors
    f = settled([x, y], [x + y, (x * y).sum()], A, B)
    for n in (3, 300_000, 0, 1, 300_000, 5):
        a, b = np.arange(float(n)), np.full(n, 2.0)
        total, product = f(a, b)
        assert np.array_equal(total, a + 2) and np.isclose(float(product), 2 * a.sum())


# ---------------------------------------------------------------- shared variables
def test_updates(vectors):
    x, _ = vectors
    state, count = fuse.shared(np.zeros(3), name="state"), fuse.shared(0)
    f = fuse.function([x], [state.sum(), count], updates=[(state, state + x), (count, count + 1)])
    for k in range(20):
        total, seen = f(A)
        assert (float(total), int(seen)) == (6.0 * k, k)
    assert np.array_equal(state.get_value(), 20 * A) and int(count.get_value()) == 20
    with pytest.raises(ValueError):
        f(np.ones(4))
    assert np.array_equal(state.get_value(), 20 * A) and int(count.get_value()) == 20
    state.set_value(np.ones(3))
    assert float(f(A)[0]) == 3.0


def test_borrowed_state_is_not_written_over(vectors):
    x, _ = vectors
    state = fuse.shared(np.zeros(3))
    f = fuse.function([x], [], updates=[(state, state * 0.5 + x)])
    for _ in range(10):
        f(A)
    mine = np.ones(3)
    state.set_value(mine, borrow=True)
    f(A)
    assert np.array_equal(mine, np.ones(3)) and np.array_equal(state.get_value(), 0.5 + A)
    f(A)
    assert np.array_equal(mine, np.ones(3)) and np.array_equal(state.get_value(), (0.5 + A) * 0.5 + A)


def test_calls_of_numpy_and_views_in_between():
    x, y = T.dmatrices("x", "y")
    a, b = np.random.default_rng(0).normal(size=(2, 4, 4))
    f = fuse.function([x, y], [T.tanh(T.dot(x.T, y)) + 1, T.dot(x, y[::-1]), T.sort(x, axis=0), T.slinalg.solve(x, y)])
    expected = [np.tanh(a.T @ b) + 1, a @ b[::-1], np.sort(a, axis=0), np.linalg.solve(a, b)]
    for _ in range(10):
        for got, want in zip(f(a, b), expected, strict=True):
            assert np.allclose(got, want)
    with pytest.raises(ValueError):
        f(a, b[:3])
    with pytest.raises(ValueError, match="Singular"):
        f(np.zeros((4, 4)), b)


def test_views_that_kernels_alone_read():
    """They are lent, not made; a kernel that refuses a call leaves it to its launcher, which gets arrays."""
    x, k = T.dmatrix("x"), T.lscalar("k")
    moved = T.exp(x[1:, 1:] - x[:-1, :-1]) * x[k:, :-1][: x.shape[0] - 1] + x[None, 1:, 1:][0]
    outputs = [moved, (x[1:] * x[:-1]).sum(), x[2], x[::2] * 1.5, T.dot(x[1:].T, x[1:])]
    a = np.random.default_rng(2).normal(size=(9, 7))
    f = settled([x, k], outputs, a, 1)
    assert call_plan._Translator(f.fn.wrapper_source, f.fn.scope, "list", None).lendable
    held = sys.getrefcount(a)
    wide, tall = np.zeros((9, 14))[:, ::2], np.zeros((700, 600))
    wide[:], tall[:] = a, np.random.default_rng(3).normal(size=tall.shape)
    odd = np.frombuffer(b"." + a.tobytes(), np.float64, a.size, 1).reshape(a.shape)  # not aligned
    for _ in range(3):
        for given in (a, a[::-1], wide, np.asfortranarray(a), tall, odd, a[:3, :1], tall.T):
            found = f(given, 1)
            parts = given[1:, 1:], given[:-1, :-1], given[1:, :-1]
            wanted = [
                np.exp(parts[0] - parts[1]) * parts[2] + parts[0], (given[1:] * given[:-1]).sum(), given[2],
                given[::2] * 1.5, given[1:].T @ given[1:],
            ]
            for got, want in zip(found, wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
                assert not np.shares_memory(got, given)
        with pytest.raises(IndexError):
            f(a[:2], 1)
    assert sys.getrefcount(a) == held
    wrong = []

    def often(_):
        for _ in range(200):
            if not np.allclose(f(a, 1)[1], (a[1:] * a[:-1]).sum()):
                wrong.append(1)

    in_threads(often, range(4))
    assert not wrong


def test_views_of_which_there_are_many():
    x = T.dvector("x")
    a = np.random.default_rng(4).normal(size=40)
    f = settled([x], sum((x[k : 20 + k] * float(k) for k in range(1, 13)), x[:20]), a)
    np.testing.assert_allclose(f(a), a[:20] + sum(k * a[k : 20 + k] for k in range(1, 13)), rtol=1e-13)
    y = T.tensor(dtype="float64", shape=(None,) * 9)
    g = settled([y], y[1:] + y[:-1], np.ones((3,) + (1,) * 8))
    assert g(np.ones((3, 2) + (1,) * 7)).tolist() == (2 * np.ones((2, 2) + (1,) * 7)).tolist()


def test_an_update_of_what_a_view_is_taken_of():
    x, s = T.dvector("x"), fuse.shared(np.zeros(3), "s")
    f = settled([x], (x[1:] * x[:-1]).sum(), A, updates=[(s, s * 0.5 + x[::-1])])
    s.set_value(np.zeros(3))
    for _ in range(3):
        assert float(f(A)) == 8.0
    np.testing.assert_allclose(s.get_value(), A[::-1] * 1.75)


# ---------------------------------------------------------------- small arrays between kernels
def test_arrays_that_calls_keep_for_one_another():
    """They are the next call's where they have its sizes and nobody else holds them; results never are."""
    x, w = T.dmatrices("x", "w")
    seen = []

    @fuse.as_op(itypes=[T.dmatrix], otypes=[T.dmatrix])
    def passed(array):
        seen.append((array, array.copy()))
        return array * 2.0

    hidden = T.tanh(T.dot(x, w))
    outputs = [T.dot(hidden, w.T) + 1, T.dot(hidden.T, passed(T.dot(hidden, w)))]

    def values(a, b):
        h = np.tanh(a @ b)
        return h @ b.T + 1, h.T @ (2 * h @ b)

    rng = np.random.default_rng(5)
    given = [(rng.normal(size=(m, n)), rng.normal(size=(n, n))) for m, n in ((3, 4), (5, 4), (3, 4), (0, 2), (40, 40))]
    f = settled([x, w], outputs, *given[0])
    assert call_plan._Translator(f.fn.wrapper_source, f.fn.scope, "list", None).keepable
    found = [f(*pair) for pair in given * 4]
    for got, pair in zip(found, given * 4, strict=True):
        for one, want in zip(got, values(*pair), strict=True):
            np.testing.assert_allclose(one, want, rtol=1e-12, atol=1e-12)
    assert all(np.array_equal(array, then) for array, then in seen)
    assert len({id(array) for array in [a for got in found for a in got]}) == 2 * len(found)
    with pytest.raises(ValueError):
        f(given[0][0], given[3][1])
    wrong = []

    def often(k):
        for _ in range(100):
            if not np.allclose(f(*given[k])[0], values(*given[k])[0]):
                wrong.append(k)

    in_threads(often, range(4))
    assert not wrong


def test_old_values_of_shared_variables_are_memory_for_new_ones():
    """Unless somebody else has them."""
    x, b = T.dmatrix("x"), fuse.shared(np.zeros(3), "b")
    f = settled([x], b.sum(), np.ones((4, 3)), updates=[(b, b * 0.5 - (x + b).sum(axis=0))])
    rng = np.random.default_rng(7)
    held = []
    for n in (3, 5, 3):
        value = rng.normal(size=n)
        b.set_value(value)
        for k in range(12):
            a = rng.normal(size=(4, n))
            assert np.isclose(f(a), value.sum())
            value = value * 0.5 - (a + value).sum(axis=0)
            np.testing.assert_allclose(b.get_value(), value, rtol=1e-9)
            if k % 4 == 0:
                lent = b.get_value(borrow=True)
                held += [(lent, lent.copy()), (lent[1:], lent[1:].copy())]
            if k % 4 == 1:
                held.append((memoryview(b.get_value(borrow=True)), b.get_value()))
            b.get_value(borrow=True)  # which nobody keeps
    assert all(np.array_equal(array, then) for array, then in held)


def test_functions_of_many_steps():
    """Registers are used again, so that a deep network is entered at C level too."""
    x = T.dmatrix("x")
    rng = np.random.default_rng(6)
    weights = [fuse.shared(rng.normal(size=(2, 2))) for _ in range(60)]
    value = x
    for weight in weights:
        value = T.tanh(T.dot(value, weight))
    a, rate = rng.normal(size=(3, 2)), 0.1
    start = [w.get_value() for w in weights]
    updates = [(w, w - rate * g) for w, g in zip(weights, T.grad(value.sum(), weights), strict=True)]
    f = settled([x], value.sum(), a, updates=updates)
    for weight, old in zip(weights, start, strict=True):
        weight.set_value(old)
    layers = [a]
    for w in start:
        layers.append(np.tanh(layers[-1] @ w))
    np.testing.assert_allclose(f(a), layers[-1].sum(), rtol=1e-12)
    slope = np.ones_like(a)
    for k in reversed(range(len(start))):
        slope = slope * (1 - layers[k + 1] ** 2)
        np.testing.assert_allclose(weights[k].get_value(), start[k] - rate * layers[k].T @ slope, rtol=1e-9, atol=1e-13)
        slope = slope @ start[k].T


# ---------------------------------------------------------------- the object
def test_it_stays_a_function(vectors):
    x, y = vectors
    f = settled([x, (y, B)], x + y, A, B, name="total")
    assert isinstance(f, fuse.compile.Function) and type(f).__name__ == "Function" and callable(f)
    assert repr(f).startswith("<fuse.Function total (x: float64 vector") and f.__doc__
    assert list(inspect.signature(f).parameters) == ["x", "y"]
    for again in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f)), f.copy(name="other")):
        for _ in range(8):
            assert np.array_equal(again(A, B), A + B) and np.array_equal(again(A), A + B)
    assert "def program" in f.source and "kernel 0" in f.explain()


def test_functions_are_collected(vectors):
    x, y = vectors
    f = settled([x, y], {"sum": x + y}, A, B)
    watch, program = weakref.ref(f), weakref.ref(f.fn)
    result = f(A, B)
    del f
    gc.collect()
    assert watch() is None and program() is None and np.array_equal(result["sum"], A + B)


def test_references_are_counted_right(vectors):
    x, y = vectors
    z = T.dscalar("z")
    f = settled([x, y, z], [x + y * z, x.sum()], A, B, 2.0)
    a, b, c = A.copy(), B.copy(), np.array(1.5)
    watched = (a, b, c, a.dtype, f, type(f))
    before = [sys.getrefcount(v) for v in watched]
    for _ in range(1000):
        f(a, b, c)
        f(x=a, y=b, z=2)
        f(a.astype("f4"), b, c)
    after = [sys.getrefcount(v) for v in watched]
    assert all(abs(n - m) < 50 for n, m in zip(before, after, strict=True))
    for _ in range(1000):
        with pytest.raises(ValueError):
            f(a, np.ones(5), c)
    assert all(abs(sys.getrefcount(v) - n) < 50 for v, n in zip((a, b, c), after, strict=False))


def test_many_threads(vectors):
    x, y = vectors
    f, wrong = settled([x, y], [x + y, x * y], A, B), []

    def work(k: float) -> None:
        a = np.full(7, k)
        wrong.extend(1 for _ in range(500) if f(a, a)[1][6] != k * k)

    in_threads(work, [float(k) for k in range(4)])
    assert not wrong


def test_options_that_need_python():
    x = T.dscalar("x")
    strict = fuse.function([fuse.In(x, strict=True)], x + 1)
    profiled = fuse.function([x], x + 1, profile=True)
    debug = fuse.function([x], x + 1, mode="DebugMode")
    for _ in range(10):
        assert float(strict(np.array(1.0))) == float(profiled(1.0)) == float(debug(1.0)) == 2.0
        with pytest.raises(DTypeError):
            strict(1.0)
    assert profiled.profile.fct_callcount == 10


def test_what_is_not_on_disk_is_compiled_for_many_calls_only(monkeypatch, vectors):
    x, y = vectors
    monkeypatch.setattr(memory, "is_at_hand", lambda: False)
    f = fuse.function([x, y], x + y)
    kinds = []
    for _ in range(maker.QUICKEN_AT + maker.QUICKEN_COLD):
        assert np.array_equal(f(A, B), A + B)
        kinds.append(is_native(f))
    assert kinds == [False] * (len(kinds) - 1) + [True]


def test_what_cannot_be_translated_stays_in_python(monkeypatch, vectors):
    x, y = vectors

    def refuse(*_):
        raise call_plan.Untranslatable

    monkeypatch.setattr(call_plan._Translator, "statement", refuse)
    f = fuse.function([x, y], x + y)
    for _ in range(10):
        assert np.array_equal(f(A, B), A + B)
    assert not is_native(f)


@pytest.mark.parametrize("room", [vectorcall.Room, object], ids=["pointer", "method"])
def test_a_pointer_or_a_method_of_a_class_of_its_own(monkeypatch, vectors, room):
    """Where objects have no room for a pointer, functions have classes with a built-in ``__call__``."""
    monkeypatch.setattr(vectorcall, "Room", room)
    x, y = vectors
    f = settled([x, y], [x + y, (x * y).sum()], A, B)
    assert (getattr(f, "_plan", None) is None) == (room is object)
    assert isinstance(f, fuse.Function) and type(f).__name__ == "Function" and callable(f)
    for found in (f(A, B), f(A, y=B), f(*(A, B)), f(x=A, y=B), f.__call__(A, B), *map(f, [A], [B])):
        assert np.array_equal(found[0], A + B) and found[1] == A @ B
    with pytest.raises(FuseTypeError, match="needs a value for input 1"):
        f(A)
    held = [sys.getrefcount(each) for each in (f, type(f), A)]
    for _ in range(100):
        f(A, B)
        with pytest.raises(DTypeError):
            f(A, "b")
    assert [sys.getrefcount(each) for each in (f, type(f), A)] == held
    plan = getattr(f, "_plan", None)
    assert maker.quicken(f, fuse.Function, True) == 0  # as a second thread does that met the same call
    assert getattr(f, "_plan", None) is plan and np.array_equal(f(A, B)[0], A + B)


def test_a_function_that_the_garbage_collector_takes_apart(vectors):
    """A cycle's finalizer still calls it; once it is taken apart, calls say so."""
    x, y = vectors
    f = settled([x, y], x + y, A, B)
    found = []

    class Last:
        def __init__(self):
            self.function, f.last = f, self

        def __del__(self):
            found.append(self.function(A, B))

    Last()
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None and np.array_equal(found[0], A + B)
    f = settled([x, y], x * y, A, B)
    if hasattr(f, "_plan"):
        del f._plan
        with pytest.raises(ValueError, match="this function is no more"):
            f(A, B)


def test_a_function_that_calls_itself_too_often():
    """It ends in one error: made again at each depth in turn, the calls had no end."""
    x, calls = T.dscalar("x"), []

    @fuse.as_op(itypes=[T.dscalar], otypes=[T.dscalar])
    def again(number):
        calls.append(float(number))
        return f(number - 1.0) if number > 0 else np.array(7.0)

    f = settled([x], again(x), 0.0)
    assert f(3.0) == 7.0
    calls.clear()
    with pytest.raises(RecursionError, match="maximum recursion depth"):
        f(1e9)
    assert len(calls) == len(set(calls))


def test_functions_of_a_subclass_stay_that(vectors):
    class Counted(fuse.Function):
        count = 0

        def __call__(self, *args):
            self.count += 1
            return super().__call__(*args)

    x, y = vectors
    f = fuse.function([x, y], x + y)
    f.__class__ = Counted
    for _ in range(10):
        assert np.array_equal(f(A, B), A + B)
    assert f.count == 10


def test_calls_at_c_level_follow_the_kernel_that_serves(monkeypatch):
    """Where little and much work have a kernel each, calls that are alike run the one of the last call."""
    x = T.dmatrix()
    f = fuse.function([x], (x**2).sum(axis=1) * 3)
    much, little = np.random.default_rng(1).normal(size=(2000, 10)), np.ones((7, 10))
    for _ in range(maker.QUICKEN_AT + 3):
        f(much)
    runner, = f.fn.launchers
    calls = []
    general = type(runner).__call__
    monkeypatch.setattr(type(runner), "__call__", lambda self, *args: calls.append(1) or general(self, *args))
    for given, known in ((little, 0), (much, 1), (little, 2)):
        for _ in range(5):
            np.testing.assert_allclose(f(given), 3 * (given**2).sum(axis=1), rtol=1e-14)
        assert len(calls) == known + 1
