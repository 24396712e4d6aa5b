"""Loops on a GPU as one launch, in the simulator: a thread or a block for each element, or step by step."""
from __future__ import annotations

import numpy as np
import pytest
from test_cuda import on_both

import fuse
import fuse.tensor as T
from fuse.codegen import device
from fuse.codegen.cuda_array import to_device
from fuse.codegen.expand import expand
from fuse.looping.peeling import peeled

rng = np.random.default_rng(6)
X, H, W = rng.normal(size=(5, 9)), rng.normal(size=9), rng.normal(size=(9, 9)) / 5
x, h, w, a, n = T.dmatrix("x"), T.dvector("h"), T.dmatrix("w"), T.dscalar("a"), T.lscalar("n")
x3, m = T.dtensor3("x3"), T.dmatrix("m")
THREAD, BLOCK, ONE_THREAD, ONE_BLOCK = (
    "a thread for each element", "a block for each element", "a thread for all of it", "a block for all of it"
)


def scanned(step, outputs_info, **options):
    return fuse.scan(step, outputs_info=outputs_info, **options)[0]


def elementwise():
    states = scanned(lambda v, h: T.tanh(v * a + h), h, sequences=x)
    return [x, h, a], [states, states[-1], *T.grad((states**2).sum(), [x, h])], [X, H, 0.7]


def counted_elements():
    """A number beside the elements, and arrays in other orders of axes."""
    states, count = scanned(lambda v, s, k: (T.exp(v + s) * 0.2, k + 1), [m, T.constant(0.0)], sequences=x3)
    turned = rng.normal(size=(4, 5, 3)).transpose(0, 2, 1)[::-1]
    return [x3, m], [states, count, states[-1].T], [turned, rng.normal(size=(5, 3)).T]


def batch():
    states = scanned(lambda v, s: T.tanh(v.sum(1, keepdims=True) + T.dot(s, w)), m, sequences=x3)
    values = [rng.normal(size=(4, 3, 5)), rng.normal(size=(3, 5)), rng.normal(size=(5, 5)) / 2]
    return [x3, m, w], [states, *T.grad((states**2).sum(), [x3, m, w])], values


def layer():
    states = scanned(lambda v, s: T.nnet.softmax(v + T.dot(s, w))[0], h, sequences=x)
    return [x, h, w], [states, *T.grad((states**2).sum(), [x, h, w])], [X[:3, :5], H[:5], W[:5, :5]]


def rows_and_columns():
    states = scanned(lambda v, s: T.tanh(s.T + v).max(1, keepdims=True) + s, m, sequences=x)
    return [x, m], [states, T.grad((states**2).sum(), m)], [X[:3, :4], W[:4, :4]]


def numbers():
    powers = scanned(lambda p: p * a + 1, T.constant(1.0), n_steps=n)
    return [a, n], [powers, T.grad(powers.sum(), a)], [0.5, 5]


def until():
    powers = scanned(lambda p: (p * a + 1, fuse.scan_module.until(p > 20)), T.constant(1.0), n_steps=50)
    return [a], [powers], [1.5]


def a_number_beside_rows():
    """A state that is a number, stored by a part of the step whose threads share rows: all of them need it."""
    def step(s, k):
        new, more = s[:, T.constant([-1, *range(8)])], k + 1
        return [new, more], fuse.scan_module.until(T.eq(T.and_(more < n, abs(new).sum() < 1e3), False))

    n = T.lscalar("n")
    states = scanned(step, [w, T.constant(0)], n_steps=8)
    return [w, n], states, [W, 5]


def products():
    states = scanned(lambda s: T.tanh(T.dot(w, s)) + T.dot(s, s), h, n_steps=4)
    return [h, w], [states, T.grad(states.sum(), h)], [H, W]


i = T.lvector("i")


def gathered():
    return [x, h, i], [scanned(lambda v, s: T.tanh(v[i] + s[i[::-1]]), h, sequences=x)], [X, H, rng.permutation(9)]


def stored():
    """A state of which a step changes an element, where others are read before and after."""
    def step(k, s):
        return T.set_subtensor(s[k], s[k - 1] * 0.5 + T.dot(s, s) + s[k])

    (last, _) = fuse.scan(step, sequences=T.arange(1, 9), outputs_info=h)
    return [h], [last[-1], *T.grad(last[-1].sum(), [h])], [H / 9]


def scattered():
    """An addition at a place that is a value."""
    states = scanned(lambda v, s: T.inc_subtensor((s * 0.5)[T.constant(np.array([3]))], v[:1]), h, sequences=x)
    return [x, h], [states], [X, H]


def best_ways():
    def step(v, s):
        both = s.dimshuffle(0, 1, "x") + w
        return both.max(1) + v, both.argmax(1)

    ends, ways = scanned(step, [m, None], sequences=x3)
    return [x3, m, w], [ends[-1], ways], [rng.normal(size=(4, 3, 9)), rng.normal(size=(3, 9)), W]


CASES = [
    (elementwise, THREAD), (counted_elements, THREAD), (batch, BLOCK), (layer, ONE_BLOCK),
    (rows_and_columns, ONE_BLOCK), (numbers, ONE_THREAD), (until, ONE_THREAD), (products, ONE_BLOCK),
    (gathered, ONE_BLOCK), (stored, ONE_BLOCK), (scattered, ONE_BLOCK), (best_ways, BLOCK),
    (a_number_beside_rows, ONE_BLOCK),
]  # fmt: skip


@pytest.mark.parametrize(("case", "how"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_loops_in_one_launch(case, how):
    inputs, outputs, values = case()
    f = on_both(inputs, outputs, values)
    assert f.fn.loops and all(loop.described.endswith(how) for loop in f.fn.loops)
    assert "def loop(" in f.source and how in f.explain()


def test_a_loop_is_one_launch_and_waits_for_nothing():
    f = fuse.function([x, h], scanned(lambda v, s: T.tanh(v + s), h, sequences=x), device="cuda")
    given = to_device(X), to_device(H)
    f(*given)
    with device.counted() as seen:
        f(*given)
    assert seen()["launches"] == 1 and "bytes to the host" not in seen()


def test_arguments_of_a_loop_are_made_once_it_is_compiled():
    """How a provider takes them it knows from the first kernel that it compiles, which may be that of a loop."""
    class Asking(device.SimulatedDevice):
        known = False

        def compile(self, *what):
            self.known = True
            return super().compile(*what)

        def argument(self, *place):
            assert self.known
            return super().argument(*place)

        def number(self, value, dtype):
            assert self.known
            return super().number(value, dtype)

    with device.working_on(Asking()):
        f = fuse.function([x, h], scanned(lambda v, s: T.tanh(v + s), h, sequences=x), device="cuda")
        assert f(X[:2], H).shape == (2, 9)


def test_what_one_launch_does_not_serve_is_done_step_by_step(monkeypatch):
    from fuse.codegen import cuda_loop_run

    sums = scanned(lambda v, s: T.cumsum(T.tanh(v + s)), h, sequences=x)
    f = on_both([x, h], [sums], [X, H])
    assert not f.fn.loops and "step by step (cumsum" in f.explain()
    inputs, outputs, values = layer()
    values = [values[0][:2], *values[1:]]
    f = fuse.function(inputs, outputs[0], device="cuda")
    with device.counted() as seen:
        f(*values)
    alone = seen()["launches"]
    monkeypatch.setattr(cuda_loop_run, "MOST_WORK", 10)  # larger steps are worth all blocks
    with device.counted() as seen:
        f(*values)
    assert seen()["launches"] > alone
    on_both(inputs, outputs[:1], values)
    inputs, outputs, values = until()
    monkeypatch.setattr(cuda_loop_run, "MOST_BYTES", 10)
    on_both(inputs, outputs, values)


def test_sizes_that_differ_and_indices_out_of_bounds_are_errors():
    f = fuse.function([x, h], scanned(lambda v, s: T.tanh(v + s), h, sequences=x), device="cuda")
    with pytest.raises(ValueError):
        f(X, H[:4])
    inputs, outputs, values = gathered()
    f = fuse.function(inputs, outputs, device="cuda")
    with pytest.raises(IndexError):
        f(*values[:2], values[2] + 5)


def test_axes_along_which_elements_have_loops_of_their_own():
    from fuse.expr import toposort
    from fuse.frontend.loops import LOOP

    def axes(outputs):
        outputs = outputs if isinstance(outputs, list) else [outputs]
        [loop] = [node for node in toposort(outputs) if node.op is LOOP]
        found = peeled(loop.params["body"], expand(list(loop.params["body"].outputs)))
        return found and found.axes

    assert axes(scanned(lambda v, s: v + s, m, sequences=x3)) == 2
    assert axes(scanned(lambda v, s: v + T.nnet.softmax(s), m, sequences=x3)) == 1
    assert axes(scanned(lambda v, s: v + s.max(0), m, sequences=x3)) == 1
    assert axes(scanned(lambda v, s: v + s.T, m, sequences=x3)) is None
    assert axes(scanned(lambda v, s: v[::-1] + s, h, sequences=x)) is None
    assert axes(scanned(lambda v, s, k: (v + s, k + s.sum()), [h, T.constant(0.0)], sequences=x)) is None
    assert axes(scanned(lambda v, s, k: (v + s + k, k + 1), [h, T.constant(0.0)], sequences=x)) == 1
    assert axes(scanned(lambda v, s, z: (v + s, T.tanh(z)), [h, T.dvector("z")], sequences=x)) is None


def test_loops_over_no_elements_stay_on_the_device():
    states = scanned(lambda v, s: v * s + 1, h, sequences=x)
    outputs = [states, T.grad((states**2).sum(), h)]
    on_both([x, h], outputs, [np.ones((4, 0)), np.ones(0)])
    f = on_both([x, h], outputs, [np.ones((4, 3)), np.ones(3)])
    assert f"one launch for all steps, {THREAD}" in f.explain()


def test_what_a_scatter_s_step_computes_beside_it_every_thread_has():
    """The scatter is one thread's, the condition to stop is that of all."""
    at = T.constant(np.array([-1, 0, -1]))

    def step(v, s):
        return T.set_subtensor(s[at], v * 2), fuse.scan_module.until(abs(v) * 3 > 4)

    states = scanned(step, T.constant(np.zeros(2)), sequences=h)
    f = on_both([h], [states], [np.array([0.5, -1.0, 1.5, 0.0])])
    assert f(np.array([0.5, -1.0, 1.5, 0.0]))[0].shape == (3, 2) and ONE_BLOCK in f.explain()


def test_positions_of_several_elements_in_a_step():
    states = scanned(lambda v, s: s + v[T.nonzero(v > 0)[0]].sum() + T.argsort(v), h, sequences=x)
    on_both([x, h], [states], [X, H])


def test_a_column_repeated_along_the_axis_that_each_element_has_a_loop_of():
    """Every element reads the one number of its row; rows, whose sizes are compared, stay in the body."""
    def step(s, k, column):
        new = T.fill(s, column)
        return [new, k + 1], fuse.scan_module.until(T.or_(k >= n, abs(new).sum() > 30))

    column = T.col("column", dtype="float64")
    values = fuse.scan(step, outputs_info=[m, T.constant(0.0)], non_sequences=column, n_steps=9)[0]
    f = on_both([m, column, n], values, [np.ones((3, 5)), np.arange(3.0)[:, None], 4])
    assert len(f(np.ones((3, 5)), np.arange(3.0)[:, None], 4)[0]) == 5
