"""Memory on a GPU, in the simulator: updates in place and when not, ``out=``, the pool and its threads."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import numpy as np
import pytest
from in_threads import in_threads

import fuse
import fuse.tensor as T
from fuse.codegen import device
from fuse.codegen.cuda_array import empty

if not os.environ.get("FUSE_TEST_GPU"):  # tests/gpu runs some of this on a card
    device.simulate()
START = np.linspace(-1, 1, 12).reshape(3, 4)


def addresses(make, *values, calls=2):
    """Where the value of a shared variable is before and after calls of what ``make`` gives for it, and the value."""
    w = fuse.shared(START.copy(), "w")
    f = make(w)
    f(*values)  # the value moves to the device
    before = w.container.there.address
    for _ in range(calls - 1):
        f(*values)
    return before, w.container.there.address, w.get_value()


def updating(value, outputs=(), inputs=()):
    def make(w):
        return fuse.function(list(inputs), [o(w) for o in outputs], updates=[(w, value(w))], device="cuda")

    return make


def test_an_elementwise_update_is_written_over_the_old_value():
    x = T.dmatrix("x")
    before, after, value = addresses(updating(lambda w: w * 2 + x, inputs=[x]), START)
    assert before == after
    np.testing.assert_array_equal(value, 2 * (2 * START + START) + START)
    before, after, value = addresses(updating(lambda w: w - 0.5, [lambda w: T.exp(w)]), calls=3)
    assert before == after  # the kernel reads the old value for its other output too
    np.testing.assert_allclose(value, START - 1.5, rtol=1e-14)


@pytest.mark.parametrize(
    "value, outputs",
    [
        (lambda w: w + w[::-1], ()),  # read at two places
        (lambda w: w - w.mean(0), ()),  # a sum of all rows comes first
        (lambda w: w * 2, (lambda w: w,)),  # the old value is a result
        (lambda w: w * 2, (lambda w: w.T[1:],)),
        (lambda w: w * 2, (lambda w: w * 2,)),  # the new one is a result
        (lambda w: T.dot(w, w.T).sum() + w, ()),
        (lambda w: w * 2, (lambda w: T.exp(w * 2).sum(0),)),
        (lambda w: w * 2, (lambda w: (w * 2)[T.constant(np.array([2, 0]))],)),
        (lambda w: w + 1, (lambda w: T.nlinalg.matrix_inverse(T.dot(w, w.T) + np.eye(3)),)),
    ],
)
def test_every_update_is_that_of_the_cpu(value, outputs):
    w, plain = fuse.shared(START.copy()), fuse.shared(START.copy())
    f = updating(value, outputs)(w)
    g = fuse.function([], [o(plain) for o in outputs], updates=[(plain, value(plain))])
    for _ in range(2):
        kept = list(f.on_device())
        want = g()
        copies = [a.get() for a in kept]
        for a, b in zip(copies, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    f()
    for a, b in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(a.get(), b)  # results are nobody else's memory
    g()
    np.testing.assert_allclose(w.get_value(), plain.get_value(), rtol=1e-9)


def test_values_that_users_hold_are_not_written_over():
    w = fuse.shared(START.copy())
    f = fuse.function([], [], updates=[(w, w + 1)], device="cuda")
    f()
    held = w.get_value(borrow=True)
    copy = held.copy()
    f()
    np.testing.assert_array_equal(held, copy)
    np.testing.assert_array_equal(w.get_value(), START + 2)
    mine = START.copy()
    w.set_value(mine, borrow=True)
    f()
    np.testing.assert_array_equal(mine, START)


def test_two_variables_that_take_each_other_s_value():
    a, b = fuse.shared(START.copy()), fuse.shared(-START)
    f = fuse.function([], [], updates=[(a, b * 2), (b, a + b)], device="cuda")
    f()
    f()
    first, second = START, -START
    for _ in range(2):
        first, second = second * 2, first + second
    np.testing.assert_array_equal(a.get_value(), first)
    np.testing.assert_array_equal(b.get_value(), second)


def test_results_are_written_into_the_arrays_given_for_them():
    x = T.dmatrix("x")
    f = fuse.function([x], [x * 2, x.sum(0)], device="cuda")
    doubled, total = np.empty((4, 3)).T, np.empty(4)
    got = f(START, out=[doubled, total])
    assert got[0] is doubled and got[1] is total
    np.testing.assert_array_equal(doubled, START * 2)
    np.testing.assert_allclose(total, START.sum(0), atol=1e-15)
    alias = START.copy()
    assert f(alias, out=[alias, None])[0] is alias
    np.testing.assert_array_equal(alias, START * 2)
    with pytest.raises(ValueError):
        f(START, out=[np.empty((2, 2)), None])


def test_free_gives_what_no_array_uses_back():
    x = T.dmatrix("x")
    f = fuse.function([x], T.exp(x), device="cuda")
    held = f.on_device(START)[0]
    on = device.current()
    f(START)
    assert any(on.free.values())
    f.free()
    assert not any(on.free.values())
    np.testing.assert_allclose(held.get(), np.exp(START), rtol=1e-14)
    np.testing.assert_allclose(f(START), np.exp(START), rtol=1e-14)


def test_memory_of_garbage_in_a_cycle_is_not_freed_while_the_pool_has_it():
    """Numba frees a block when a weak reference to it is told so, which is before what has it may give it back."""
    freed = []

    class Block(np.ndarray):
        """An object that the collector looks at, as those of numba-cuda are."""

    class Finalized(device.SimulatedDevice):
        def allocate(self, size):
            block = super().allocate(size).view(Block)
            weakref.finalize(block, freed.append, size)
            return block

    with device.working_on(Finalized()) as on:
        cycle = [empty((100,), "float64")]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert not freed and len(on.free[1024]) == 1 and not on.lent
        on.drop()
        assert freed == [1024]


def test_threads_never_share_a_block():
    seen, wrong = threading.Barrier(4), []

    def work(number):
        seen.wait()
        for k in range(200):
            array = empty((16,), "int64")
            array.flat()[...] = number * 1000 + k
            other = empty((16,), "int64")
            other.flat()[...] = -1
            if not (array.get() == number * 1000 + k).all():
                wrong.append((number, k))
            if k % 50 == 0:
                device.current().drop()

    in_threads(work, range(4))
    assert not wrong


def test_a_clone_of_a_variable_keeps_the_old_value_until_all_have_read_it():
    w = fuse.shared(START.copy())
    f = fuse.function([], [], updates=[(w, w + w.clone()[::-1])], device="cuda")
    f()
    np.testing.assert_array_equal(w.get_value(), START + START[::-1])


def test_results_go_from_the_device_into_the_arrays_given_for_them(monkeypatch):
    x = T.dmatrix("x")
    f = fuse.function([x], [x + 1, x.sum(0)], device="cuda")
    targets = []
    download = type(device.current()).download
    monkeypatch.setattr(
        type(device.current()), "download", lambda self, s, t=None: (targets.append(t), download(self, s, t))[1]
    )
    a = np.arange(6.0).reshape(2, 3)
    out = [np.empty((2, 3)), np.empty(6)[::2]]
    found = f(a, out=out)
    assert found[0] is out[0] and targets[0] is not None and np.shares_memory(targets[0], out[0]) and targets[1] is None
    np.testing.assert_array_equal(out[0], a + 1)
    np.testing.assert_array_equal(out[1], a.sum(0))


def test_a_gradient_is_copied_only_where_others_have_its_memory():
    x, w, kept = T.dvector("x"), T.dvector("w"), fuse.shared(np.zeros(12))
    cost = T.log(1 + T.exp(-x * w))
    slope = T.grad(cost.sum(), w)
    assert slope.op.name == "unbroadcast"  # of what a kernel makes
    f = fuse.function([x, w], [cost, slope], device="cuda")
    assert ".copy()" not in f.fn.wrapper_source
    g = fuse.function([x, w], [slope, slope[::-1], slope], updates=[(kept, slope)], device="cuda")
    values = np.linspace(-1, 2, 12), np.linspace(3, 1, 12)
    want = -values[0] / (1 + np.exp(values[0] * values[1]))
    first, turned, second = g.on_device(*values)
    assert len({a.memory.pointer for a in (first, turned, second, kept.container.there)}) == 4
    for found in (f(*values)[1], first, np.asarray(turned)[::-1], second, kept.get_value()):
        np.testing.assert_allclose(found, want, rtol=1e-12)


def test_what_is_written_before_a_loop_is_written_where_that_has_no_iterations():
    """A single place, to which nothing is added: its 0 was left out with the launch."""
    x, y = T.TensorType("float64", (1,))("x"), T.dscalar("y")
    f = fuse.function([x, y], T.inc_subtensor(T.zeros_like(x)[T.constant(np.zeros(0, "int64"))], y), device="cuda")
    for _ in range(3):
        np.testing.assert_array_equal(f(np.ones(1), 2.0), [0.0])
