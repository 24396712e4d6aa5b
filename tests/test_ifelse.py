"""ifelse: only the chosen branch is computed, in values and gradients, alone and within loops."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.expr import toposort
from fuse.ifelse import IfElse, ifelse

c, d = T.iscalar("c"), T.dscalar("d")
x, y, W = T.dvector("x"), T.dvector("y"), T.dmatrix("W")
RNG = np.random.default_rng(5)
X, Y, MATRIX = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=(3, 3))
MODES = ["FAST_RUN", "FAST_COMPILE", "DebugMode"]


class Counted(fuse.Op):
    """Twice the vector, and how often that was computed; the gradient counts as well."""

    __props__ = ("name",)
    itypes, otypes = [T.dvector], [T.dvector]

    def __init__(self, name):
        self.name = name

    def perform(self, node, inputs, outputs):
        CALLS.append(self.name)
        outputs[0][0] = 2 * inputs[0]

    def grad(self, inputs, grads):
        return [Counted(self.name + "'")(grads[0])]


CALLS: list[str] = []


def calls_of(function, *args):
    CALLS.clear()
    function(*args)
    return sorted(CALLS)


@pytest.mark.parametrize("mode", MODES)
def test_only_one_branch_is_computed(mode):
    a, b = Counted("a")(T.exp(x)), Counted("b")(y)
    f = fuse.function([c, x, y], [ifelse(c, a + 1, b), x + y], mode=mode)
    np.testing.assert_allclose(f(1, X, Y)[0], 2 * np.exp(X) + 1)
    np.testing.assert_allclose(f(0, X, Y)[0], 2 * Y)
    if mode != "DebugMode":
        assert (calls_of(f, 2, X, Y), calls_of(f, 0, X, Y)) == (["a"], ["b"])


@pytest.mark.parametrize("mode", MODES[:2])
def test_gradients_compute_one_branch_too(mode):
    out = ifelse(c, Counted("a")(W.dot(x)), T.tanh(Counted("b")(x * y)))
    f = fuse.function([c, W, x, y], fuse.grad((out**2).sum(), [W, x, y]), mode=mode)
    by_w, by_x, by_y = f(1, MATRIX, X, Y)
    g = 8 * MATRIX @ X
    np.testing.assert_allclose(by_w, np.outer(g, X))
    np.testing.assert_allclose(by_x, MATRIX.T @ g)
    np.testing.assert_allclose(by_y, 0 * Y)
    by_w, by_x, by_y = f(0, MATRIX, X, Y)
    t = np.tanh(2 * X * Y)
    np.testing.assert_allclose(by_w, 0 * MATRIX)
    np.testing.assert_allclose(by_x, 4 * t * (1 - t**2) * Y)
    np.testing.assert_allclose(by_y, 4 * t * (1 - t**2) * X)
    assert (calls_of(f, 1, MATRIX, X, Y), calls_of(f, 0, MATRIX, X, Y)) == (["a", "a'"], ["b", "b'"])


def test_gradients_of_the_branch_not_taken_are_no_nan():
    f = fuse.function([d], fuse.grad(ifelse(T.gt(d, 0), T.log(d), d**2), d))
    assert (f(2.0), f(0.0), f(-1.0)) == (0.5, 0.0, -2.0)


def test_second_derivatives_and_tangents():
    z = ifelse(T.gt(d, 0), d**3, T.sin(d))
    f = fuse.function([d], [T.grad(T.grad(z, d), d), T.Rop(z, d, T.constant(2.0))])
    np.testing.assert_allclose(f(2.0), [12.0, 24.0])
    np.testing.assert_allclose(f(-2.0), [-np.sin(-2), 2 * np.cos(-2)])
    hessian = fuse.hessian(ifelse(c, (x**3).sum(), (x[0] * x[1])), x)
    f = fuse.function([c, x], hessian)
    np.testing.assert_allclose(f(1, X), np.diag(6 * X))
    np.testing.assert_allclose(f(0, X), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_gradient_with_respect_to_a_value_within_a_branch():
    inner = x * 2
    f = fuse.function([c, x], T.grad(ifelse(c, (inner**2).sum(), x.sum()), inner))
    np.testing.assert_allclose(f(1, X), 4 * X)
    np.testing.assert_allclose(f(0, X), 0 * X)


def test_several_values_have_the_form_of_the_first_branch():
    as_list = ifelse(c, [x, x.sum()], [y, y.max()], name="chosen")
    as_tuple = ifelse(c, (x,), (y,))
    assert isinstance(as_list, list) and isinstance(as_tuple, tuple)
    assert as_list[1].name == "chosen_1"
    f = fuse.function([c, x, y], [*as_list, *as_tuple])
    for flag, value, number in ((3, X, X.sum()), (0, Y, Y.max())):
        got = f(flag, X, Y)
        np.testing.assert_allclose(got[0], value)
        np.testing.assert_allclose(got[1], number)
        got[0][:] = 0  # results are arrays of their own
        np.testing.assert_allclose(got[2], value)
    assert X.any() and Y.any()


def test_branches_may_have_other_sizes():
    f = fuse.function([c, x, y], ifelse(c, x, T.exp(y)).sum() + x.sum())
    np.testing.assert_allclose(f(1, X, Y[:1]), 2 * X.sum())
    np.testing.assert_allclose(f(0, X, Y[:1]), np.exp(Y[0]) + X.sum())
    g = fuse.function([c, x, y], fuse.grad(ifelse(c, x, y).sum(), [x, y]))
    assert [a.tolist() for a in g(0, X, Y[:2])] == [[0, 0, 0], [1, 1]]


def test_nested():
    p, q = T.bscalar("p"), T.bscalar("q")
    inner = ifelse(q, Counted("pq")(x), Counted("p~q")(x))
    out = ifelse(p, inner + Counted("p")(y), Counted("~p")(y))
    f = fuse.function([p, q, x, y], [out, *fuse.grad(out.sum(), [x, y])])
    want = {(1, 1): ["p", "pq"], (1, 0): ["p", "p~q"], (0, 1): ["~p"], (0, 0): ["~p"]}
    for flags, names in want.items():
        assert calls_of(f, *flags, X, Y) == sorted([*names, *[n + "'" for n in names]])
        value, by_x, by_y = f(*flags, X, Y)
        np.testing.assert_allclose(value, 2 * X + 2 * Y if flags[0] else 2 * Y)
        np.testing.assert_allclose(by_x, 2 * np.ones(3) if flags[0] else np.zeros(3))
        np.testing.assert_allclose(by_y, 2 * np.ones(3))


def test_what_both_branches_share_is_computed_once():
    shared = Counted("s")(x)
    f = fuse.function([c, x], ifelse(c, shared + 1, shared * 3))
    assert calls_of(f, 1, X) == ["s"]
    np.testing.assert_allclose(f(0, X), 6 * X)


@pytest.mark.parametrize("mode", MODES[:2])
def test_in_a_scan(mode):
    def step(s, h):
        return ifelse(s > 0, T.tanh(W.dot(h)) + s, h * 0.5)

    found, _ = fuse.scan(step, sequences=x, outputs_info=y)
    cost = (found**2).sum()
    f = fuse.function([x, y, W], [found, *fuse.grad(cost, [x, y, W])], mode=mode)
    h, want = Y, []
    for s in X:
        h = np.tanh(MATRIX @ h) + s if s > 0 else h * 0.5
        want.append(h)
    got = f(X, Y, MATRIX)
    np.testing.assert_allclose(got[0], want)

    def value(a, b, m):
        return (fuse.function([x, y, W], found)(a, b, m) ** 2).sum()

    if mode == "FAST_RUN":
        run = fuse.function([x, y, W], cost)
        for k, arg in enumerate((X, Y, MATRIX)):
            for index in np.ndindex(arg.shape):
                args = [X.copy(), Y.copy(), MATRIX.copy()]
                args[k][index] += 1e-6
                up = run(*args)
                args[k][index] -= 2e-6
                np.testing.assert_allclose(got[k + 1][index], (up - run(*args)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_a_compiled_loop_skips_the_other_branch():
    from fuse.codegen.loop_plan import compile_loop

    index = T.lvector("index")

    def step(i, total):
        return total + ifelse(i < x.shape[0], x[i], -x[0])

    found, _ = fuse.scan(step, sequences=index, outputs_info=T.constant(0.0))
    f = fuse.function([index, x], [found[-1], fuse.grad(found[-1], x)])
    value, slope = f([0, 7, 2, 99], X)  # the elements 7 and 99 are not there
    np.testing.assert_allclose(value, X[0] - X[0] + X[2] - X[0])
    np.testing.assert_allclose(slope, [-1, 0, 1])
    loops = [n for n in toposort(f.fn.planned.results) if n.op.name == "loop"]
    assert loops and all(compile_loop(n.params["body"], False).text for n in loops)


def test_sizes_that_differ_in_a_scan_are_left_to_the_interpreter():
    found, _ = fuse.scan(lambda s: ifelse(s > 0, x, x[:1]).sum(), sequences=y)
    f = fuse.function([x, y], found)
    np.testing.assert_allclose(f(X, [1.0, -1.0]), [X.sum(), X[0]])


def test_batches():
    each = fuse.vmap(lambda flag, row: ifelse(flag > 0, row.sum(), row[0]))
    np.testing.assert_allclose(each(np.array([1.0, -1.0, 1.0]), MATRIX),
                               [MATRIX[0].sum(), MATRIX[1, 0], MATRIX[2].sum()])


def test_updates_and_known_conditions():
    state = fuse.shared(X.copy())
    f = fuse.function([c], [], updates=[(state, ifelse(c, Counted("a")(state), state))])
    assert (calls_of(f, 0), calls_of(f, 1)) == ([], ["a"])
    np.testing.assert_allclose(state.get_value(), 2 * X)
    known = fuse.function([x, y], ifelse(T.constant(1), x, Counted("b")(y)))
    assert calls_of(known, X, Y) == []


def test_a_condition_that_is_a_branch_and_numbers():
    f = fuse.function([d], ifelse(d, d, 7))
    assert (f(2.0), f(0.0)) == (2.0, 7.0)
    assert np.isnan(f(np.nan))
    assert ifelse(d, d, 7.1).eval({d: 0.0}) == 7.1
    plain = fuse.function([d], ifelse(d, d, 7.1), mode="FAST_COMPILE")
    assert (plain(2.0), plain(0.0)) == (2.0, 7.1)


def test_inputs_of_results_that_are_not_asked_for():
    """Several results are those of one op, as in Theano: inputs that only the others need are no mistake."""
    labels, w, z = T.ivector("labels"), T.dmatrix("w"), T.dvector("z")
    second = ifelse(c, [x, 2 * y], [z, 2 * x])[1]
    assert fuse.function([c, x, y, z], second, mode="FAST_COMPILE")(0, X, Y, X).tolist() == (2 * X).tolist()
    _, p, label = T.nnet.crossentropy_softmax_argmax_1hot_with_bias(w, x, labels)
    scores = np.log([[1.0, 3.0], [1.0, 1.0]])
    for result, want in ((p, [[0.25, 0.75], [0.5, 0.5]]), (label, [1, 0])):
        f = fuse.function([w, x, labels], result, mode="FAST_COMPILE")
        np.testing.assert_allclose(f(scores, np.zeros(2), [0, 0]), want)
    with pytest.raises(fuse.compile.UnusedInputError):
        fuse.function([w, x, labels], 2 * w + x, mode="FAST_COMPILE")


def test_a_branch_of_one_element_beside_one_of_any_number():
    one, many = T.tensor("float64", shape=(1,)), T.tensor("float64", shape=(None,))
    z = ifelse(c, 2 * one, 3 * many)
    assert z.type.shape == (None,)
    f = fuse.function([c, one, many], [z + X, *T.grad((z**2).sum(), [one, many])])
    for condition, slopes in ((1, [[8 * 5.0], 0 * X]), (0, [[0.0], 18 * X])):
        got = f(condition, [5.0], X)
        for have, want in zip(got, [X + 10 if condition else 4 * X, *slopes], strict=True):
            np.testing.assert_allclose(have, want)


@pytest.mark.parametrize(("arguments", "error", "words"), [
    ((c, x, T.iscalar("i")), TypeError, "one dtype and rank, not float64 vector and int32 scalar"),
    ((c, x, T.cast(x, "int8")), TypeError, "one dtype"),
    ((x, x, y), TypeError, "The condition argument of ifelse is a scalar, not a float64 vector"),
    ((c, [x, y], [x]), ValueError, "there are 2 if the condition holds, and 1 if not"),
])
def test_errors(arguments, error, words):
    with pytest.raises(error, match=words):
        ifelse(*arguments)


def test_the_class_and_how_it_prints():
    made = IfElse(2)(c, x, y, y, x)
    assert isinstance(made[0].owner.op, IfElse)
    assert "ifelse" in fuse.debugprint(made[0], file="str")
    f = fuse.function([c, x, y], made[0])
    assert isinstance(f.maker.fgraph.outputs[0].owner.op, IfElse)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed):
    """Choices between random formulas, nested and shared, with gradients, against the interpreter."""
    rng = np.random.default_rng(seed)
    flags = [T.bscalar(f"f{k}") for k in range(3)]
    values = [x, y, x * y]
    for _ in range(14):
        a, b = [values[k] for k in rng.integers(len(values), size=2)]
        kind = rng.integers(5)
        values.append(
            ifelse(flags[rng.integers(3)], a, b) if kind < 2 else a * T.sin(b) if kind == 2 else
            a + b if kind == 3 else T.dot(W, a)
        )
    out = values[-1] + values[-2]
    wanted = [out, *fuse.grad(T.tanh(out).sum(), [x, y, W], disconnected_inputs="ignore")]
    f = fuse.function([*flags, x, y, W], wanted, on_unused_input="ignore")
    plain = fuse.function([*flags, x, y, W], wanted, mode="FAST_COMPILE", on_unused_input="ignore")
    for bits in range(8):
        args = [bits & 1, bits >> 1 & 1, bits >> 2, X, Y, MATRIX]
        for have, want in zip(f(*args), plain(*args), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [6, 60])
def test_chains_of_choices(count):
    """Else-ifs are choices within choices: few are programs of their own, many are left to the interpreter."""
    out = x * 0
    for k in range(count):
        out = ifelse(T.eq(c, k), T.sin(x) * k, out)
    f = fuse.function([c, x], [out, T.grad(out.sum(), x)] if count < 20 else [out])
    for k in (0, 2, count - 1, count):
        got = f(k, X)
        np.testing.assert_allclose(got[0], np.sin(X) * k * (k < count))
        np.testing.assert_allclose(got[-1], (np.cos(X) if count < 20 else np.sin(X)) * k * (k < count))
