"""Calls on small arrays of the host that are done as an earlier one was: the same results, errors and launches."""
from __future__ import annotations

import os

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import cuda_replay, device
from fuse.codegen.cuda_array import to_device
from fuse.errors import FuseError, FuseIndexError, FuseValueError, ShapeError
from fuse.frontend.random import RandomStreams

if not os.environ.get("FUSE_TEST_GPU"):  # tests/gpu runs this on a card
    device.simulate()
rng = np.random.default_rng(3)


@pytest.fixture
def replayed(monkeypatch):
    """How many calls were, so far."""
    calls, run = [], cuda_replay.Replay.__call__

    def call(self, *given):
        calls.append(run(self, *given))
        return calls[-1]

    monkeypatch.setattr(cuda_replay.Replay, "__call__", call)
    return lambda: len(calls)


def same(found, wanted):
    for have, want in zip(found, wanted, strict=True):
        assert have.dtype == want.dtype and have.shape == want.shape and have.flags.writeable
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_results_and_launches_are_those_of_other_calls(replayed):
    x, a, v = T.fmatrix("x"), T.fscalar("a"), T.dvector("v")
    outputs = [x * a + v, T.nnet.softmax(x).T, x[::-1], x.sum(0) * v * a, v, (x * v).max(1), T.constant(np.arange(3.0))]
    f, plain = [fuse.function([x, v, a], outputs, device=where) for where in ("cuda", "cpu")]
    kept = []
    for n in (4, 4, 4, 4, 5, 4, 5, 5, 0, 0, 0):
        values = rng.normal(size=(n, 6)).astype("f4"), rng.normal(size=6), np.float32(rng.normal())
        values = (np.asfortranarray(values[0]), values[1].repeat(2)[::2], values[2])
        with device.counted() as seen:
            found = f(*values)
        same(found, plain(*values))
        kept += [(n, found, [a.copy() for a in found], seen()["launches"])]
    assert replayed() == 5
    for _, found, copies, _ in kept:
        assert all(np.array_equal(a, b) for a, b in zip(found, copies, strict=True))  # nobody has written into them
    assert len({(n, launches) for n, _, _, launches in kept}) == 3
    assert "allocations" not in seen() and "compiled kernels" not in seen()
    f.free()
    assert not f.fn.replays.seen  # nor is memory kept by what was noted
    short = np.ones((4, 6), "f2")
    same(f(short, v=np.arange(6), a=1), plain(short, np.arange(6), 1))


def test_an_index_out_of_bounds_is_an_error_in_each_call(replayed):
    x, i = T.dvector("x"), T.lvector("i")
    f = fuse.function([x, i], [x[i] * 2, x.sum()], device="cuda")
    values = rng.normal(size=5)
    for at in ([0, 4], [1, -5], [3, 2], [3, 5], [-6, 0], [0, 1]):
        if max(at) > 4 or min(at) < -5:
            with pytest.raises(FuseIndexError):
                f(values, np.array(at))
        else:
            same(f(values, np.array(at)), [values[at] * 2, np.asarray(values.sum())])
    assert replayed() == 4


def test_other_errors_are_those_of_the_first_call(replayed):
    x, y = T.dvector("x"), T.dvector("y")
    f = fuse.function([x, y], x.max() + y, device="cuda")
    for _ in range(3):
        with pytest.raises(FuseValueError):
            f(np.ones(0), np.ones(2))
    g = fuse.function([x, y], x * y, device="cuda")
    for _ in range(3):
        with pytest.raises(ShapeError):
            g(np.ones(3), np.ones(2))
        np.testing.assert_array_equal(g(np.ones(1), np.arange(2.0)), np.arange(2.0))
    assert not replayed()


def test_sizes_and_choices_are_those_of_each_call(replayed):
    x, n, b = T.dvector("x"), T.lscalar("n"), T.TensorType("bool", ())("b")
    f = fuse.function([x, n, b], [x[:n] * n, T.switch(b, x, -x), x.sum() + n], device="cuda")
    values = rng.normal(size=5)
    for k, more in [(2, True), (3, False), (2, True), (2, False), (2, True), (3, False), (9, True), (3, False)]:
        same(f(values, k, more), [values[:k] * k, values if more else -values, np.asarray(values.sum() + k)])
    assert replayed() == 2
    g = fuse.function([x, n], [n, x.sum() + n], device="cuda")
    for k in (2, 3, 2, 2, 3, 3):
        same(g(np.ones(0), k), [np.asarray(k), np.asarray(float(k))])  # no array is sent, but the integer
    with device.counted() as seen:
        f.on_device(to_device(values), 2, True)
    assert not {"bytes to the host", "calls on the host"} & set(seen())  # an integer that is given is not fetched


def test_updates_are_those_of_other_calls(replayed):
    """One written in place, one that another value replaces, two that change places, a count; a value that is set."""
    x, a, i = T.dmatrix("x"), T.dscalar("a"), T.lvector("i")
    start = [rng.normal(size=6) for _ in range(4)] + [np.zeros(())]

    def made(where):
        w, v, p, q, n = [fuse.shared(value.copy()) for value in start]
        updates = [(w, w - a * x.sum(0)), (v, v[::-1] * 2 + x[-1]), (p, q), (q, p), (n, n + (w * v).sum())]
        f = fuse.function([x, a], [(x * w).sum(), w + v], updates=updates, device=where)
        return f, [w, v, p, q, n]

    (f, there), (plain, cells) = made("cuda"), made("cpu")
    for step in range(12):
        values = rng.normal(size=(3, 6)), step / 7
        given = (to_device(values[0]) if step % 4 == 3 else values[0], values[1])
        found = f(*given)
        same([np.asarray(value) for value in found], plain(*values))
        assert isinstance(found[0], np.ndarray) == (step % 4 != 3)
        same([s.get_value() for s in there], [s.get_value() for s in cells])
        if step == 6:
            for s in (there[0], cells[0]):
                s.set_value(start[1])
    assert replayed() == 8  # all but the first two of each kind
    total = fuse.shared(np.zeros(2))
    g = fuse.function([i], total[i].sum(), updates=[(total, total + 1)], device="cuda")
    for k in range(4):
        assert g(np.array([0, 1])) == 2 * k
    for _ in range(2):
        with pytest.raises(FuseIndexError):
            g(np.array([0, 2]))
    assert g(np.array([0, 1])) == 8 and replayed() == 8 + 5


def test_arrays_on_the_device_are_those_of_each_call(replayed):
    """Also parts of larger ones, one for two inputs, and another library's; results stay there, in memory of theirs."""
    class Foreign:
        def __init__(self, array):
            self.array, self.__cuda_array_interface__ = array, array.__cuda_array_interface__

    x, y = T.dmatrix("x"), T.dvector("y")
    outputs = [x.T * 2 + y[::-1][:, None], x[1:].sum(0), T.constant(np.arange(3.0)) * y[0]]
    f = fuse.function([x, y], outputs, device="cuda")
    numbers = rng.normal(size=(9, 3, 3))
    there, kept = to_device(numbers), []
    for k in (0, 1, 2, 2, 5, 7, 8):
        given = there[k], there[k][1] if k % 2 else numbers[k][1]
        kept.append((k, f(Foreign(given[0]) if k in (5, 8) else given[0], given[1])))
    columns, rows = there.transpose(0, 2, 1), there.reshape(27, 3)
    for k in (1, 1, 1):
        found = f(columns[k], numbers[k, 1].copy())
        np.testing.assert_allclose(found[1].get(), numbers[k].T[1:].sum(0))
    for k, found in kept:
        a = numbers[k]
        wanted = a.T * 2 + a[1][::-1][:, None], a[1:].sum(0), np.arange(3.0) * a[1, 0]
        for have, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(have.get(), want)
    assert replayed() == 2 + 1 + 1
    g = fuse.function([x, y], x.sum(0) - y, device="cuda")
    for a, b in ((2, 2), (2, 2), (2, 14), (4, 2)):
        np.testing.assert_allclose(g(rows[a : a + 1], rows[b]).get(), rows[a].get() - rows[b].get())
    assert replayed() == 4 + 2
    n = T.dscalar("n")
    h = fuse.function([y, n], y * n, device="cuda")
    for _ in range(4):  # results stay there
        np.testing.assert_allclose(h(np.ones(3), to_device(np.asarray(2.0))).get(), [2, 2, 2])


def test_equal_numbers_are_told_apart(replayed):
    v, a, b = T.dvector("v"), T.dscalar("a"), T.dscalar("b")
    f = fuse.function([v, a, b], v * a - b, device="cuda")
    one, two = np.float64(1), np.float64(2)
    for given in ((one, one), (one, one), (one, two), (two, one)):
        np.testing.assert_array_equal(f(np.ones(2), *given), np.full(2, given[0] - given[1]))
    assert replayed() == 2


def test_loops_in_one_launch_are_replayed(replayed):
    x, h, i = T.dmatrix("x"), T.dvector("h"), T.lvector("i")
    start = rng.normal(size=4)

    def made(where):
        s = fuse.shared(start)
        states, _ = fuse.scan(lambda a, b: T.tanh(a + s * b), sequences=x, outputs_info=h)
        places, _ = fuse.scan(lambda k, b: T.tanh(b + h[k]), sequences=i, outputs_info=h[0])
        ends, _ = fuse.scan(lambda b: (b * 2, fuse.scan_module.until(b > 9)), outputs_info=h[1] ** 2 + 1, n_steps=50)
        cost = (states[-1] ** 2).sum()
        updates = [(s, s - 0.1 * T.grad(cost, s))]
        return s, fuse.function([x, h], [cost, states], updates=updates, device=where), [
            fuse.function([i, h], places, device=where), fuse.function([h], ends + h[0], device=where)]

    (s, f, others), (t, g, plain) = made("cuda"), made("cpu")
    for n in (5, 5, 5, 5, 3, 3, 3, 1, 1, 1, 5):
        values = rng.normal(size=(n, 4)), rng.normal(size=4)
        same(f(*values), g(*values))
        np.testing.assert_allclose(s.get_value(), t.get_value())
    assert replayed() == 2 + 1 + 1 + 1
    for at in ([0, 3, 1], [0, 0, 2], [1, 1, -1], [2, 3, 0]):
        same([others[0](np.array(at), start)], [plain[0](at, start)])
    assert replayed() == 7
    for _ in range(3):
        with pytest.raises(FuseIndexError):
            others[0](np.array([0, 4, 1]), start)
        same([others[1](start)], [plain[1](start)])
    assert replayed() == 10  # how many steps there are is read


def test_calls_that_do_more_are_done_as_ever(replayed):
    """Calls on the host, beside which loops are; draws are updates of their streams."""
    x, m = T.dvector("x"), T.dmatrix("m")
    states, _ = fuse.scan(lambda v, s: s + v, sequences=x, outputs_info=T.constant(0.0))
    drawn, plain = [
        fuse.function([x], x + RandomStreams(1).uniform(x.shape), device=where) for where in ("cuda", "cpu")
    ]
    solved = fuse.function([m, x], T.slinalg.solve(m, x) + states[-1], device="cuda")
    for _ in range(4):
        np.testing.assert_array_equal(drawn(np.zeros(3)), plain(np.zeros(3)))
    draws = replayed()
    for k in range(4):
        np.testing.assert_allclose(solved(2 * np.eye(3), np.arange(3.0) + k), (np.arange(3.0) + k) / 2 + 3 + 3 * k)
    assert replayed() == draws == 2


@pytest.mark.parametrize("floatX", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "complex64", "bool"])
def test_numbers_are_taken_as_the_type_of_the_input_takes_them(dtype, floatX):
    from fuse.codegen.cuda_wrapper import taking_number

    variable = T.TensorType(dtype, ())("a")
    values = [0.1, 1.0, np.inf, -3, 255, 2**24, 2**24 + 1, 2**31, -(2**63), 2**63 - 1, 2**53 + 1, 10**30, True]
    values += [np.float32(0.5), np.float64(0.1), np.int8(3), np.uint64(7), np.asarray(2.0)]
    with fuse.config.change_flags(floatX=floatX):
        for value in values:
            try:
                want = variable.type.filter(value)[()]
            except FuseError:
                with pytest.raises(FuseError):
                    taking_number(variable)(value)
                continue
            have = taking_number(variable)(value)
            assert type(have) is type(want) and have == want, value
