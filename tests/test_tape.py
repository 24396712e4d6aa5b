"""Long formulas: run from a tape of block operations, equal to the interpreter, in any size, dtype and layout."""
from __future__ import annotations

import random

import numpy as np
import pytest
from forcing import much_work
from fuzz import described, failure
from random_programs import make_program

import fuse
import fuse.tensor as T
from fuse import reference
from fuse.codegen import tape
from fuse.codegen.program import compile_program
from fuse.codegen.tape import LONG, NARROWEST, WIDEST

UNARY = (T.tanh, T.sin, T.sigmoid, T.arctan, lambda a: T.exp(-a * a), lambda a: T.switch(a > 0, a, -0.5 * a), abs)


def mixed(inputs, count, seed=0):
    """A random formula of ``count`` operations over ``inputs``, each on what was made shortly before."""
    r = random.Random(seed)
    values = list(inputs)
    while len(values) < count + len(inputs):
        a, b = (values[-r.randint(1, min(len(values), 40))] for _ in range(2))
        k = r.randrange(10)
        values.append(r.choice(UNARY)(a) if k < 3 else (a + b) * 0.5 if k < 6 else (a - b) * 0.4 if k < 8 else a * b)
    return sum(values[-40:]) / 40


def compared(inputs, outputs, arrays, rtol=1e-9):
    program = compile_program(inputs, outputs)
    got = program(*arrays)
    want = reference.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype and g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)
    return program


def test_value_and_gradient_of_a_long_formula_are_one_kernel():
    x, y = T.dvectors("x", "y")
    total = mixed([x, y], 2 * LONG).sum()
    outputs = [total, *T.grad(total, [x, y])]
    program = compile_program([x, y], outputs)
    for n in (0, 1, NARROWEST - 1, NARROWEST + 1, WIDEST + 3, 5 * WIDEST):
        rng = np.random.default_rng(3)
        arrays = [rng.normal(size=n) * 0.5 for _ in range(2)]
        want = reference.evaluate(outputs, dict(zip([x, y], arrays, strict=True)))
        for g, w in zip(program(*arrays), want, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-9)
    assert len(program.kernels) <= 2
    assert program.planned.launchers[0].source().tape is not None
    assert "a tape of block operations" in program.explain()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex128"])
def test_dtypes_and_scalars(dtype):
    x, s = T.TensorType(dtype, (None,))("x"), T.TensorType(dtype, ())("s")
    e = x
    for k in range(LONG + 20):
        e = (e + s * k) if k % 3 else e - x
    values = np.arange(700).astype(dtype), np.asarray(2, dtype)
    compared([x, s], [e], values, rtol=1e-4 if dtype == "float32" else 1e-9)


def test_numbers_alone_run_once():
    x, y = T.dscalars("x", "y")
    e = mixed([x, y], LONG * 2)
    program = compared([x, y], [e, *T.grad(e, [x, y])], [np.asarray(0.3), np.asarray(-0.7)])
    assert len(program.kernels) == 1


def test_rows_columns_and_layouts():
    rng = np.random.default_rng(4)
    x, row, column = T.dmatrix("x"), T.drow("row"), T.dcol("column")
    e = mixed([x, x + row, x * column], LONG + 100)
    program = compile_program([x, row, column], [e, e.T.sum()])
    value = rng.normal(size=(40, 30))
    for a in (value, value.T.copy().T, np.asfortranarray(value)[::-1], value[:, ::2], value[:0], value[3:4, 5:6]):
        args = a, rng.normal(size=(1, a.shape[1])), rng.normal(size=(a.shape[0], 1))
        want = reference.evaluate([e, e.T.sum()], dict(zip((x, row, column), args, strict=True)))
        for g, w in zip(program(*args), want, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_threads_share_a_tape(seed, monkeypatch):
    """Each part of the work has a table and registers of its own; what is copied in and out of rows has, too.

    What is summed is summed in blocks, so that any number of threads gives the same bits.
    """
    rng = np.random.default_rng(seed)
    x, row, n = T.dmatrix("x"), T.drow("row"), T.dscalar("n")
    e = mixed([x, x + row, x * n, x + T.arange(x.shape[1]) * 1e-3], 2 * LONG, seed)
    value, others = rng.normal(size=(41, 2 * WIDEST + 9)), (rng.normal(size=(1, 2 * WIDEST + 9)), np.asarray(0.3))
    found = []
    total = (e * e).sum()
    outputs = [e, e.T * 2.0, T.cast(e, "float32"), total, e.sum(axis=1), *T.grad(total, [x, row, n])]
    for count in (1, 2, 3):
        with much_work(monkeypatch, count):
            program = compile_program([x, row, n], outputs)
            found.append(program(value, *others) + program(value[::-1], *others))
            launchers = program.planned.launchers
            assert any(each.is_tape and "threads" in form for each in launchers for form in each.variants)
            split = [s for each in launchers if each.is_tape for s in each.default.body if getattr(s, "split", None)]
            assert any(s.split.accs for s in split)
    for a, b, c in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    want = reference.evaluate(outputs, dict(zip([x, row, n], [value, *others], strict=True)))
    for got, w in zip(found[0], want, strict=False):
        np.testing.assert_allclose(got, w, rtol=1e-9 if w.dtype == "float64" else 1e-5, atol=1e-7)


def test_transposed_operands_and_positions():
    rng = np.random.default_rng(5)
    x = T.dmatrix("x")
    e = mixed([x, x.T, x + T.arange(x.shape[1])], LONG + 100)
    compared([x], [e, e * 2], [rng.normal(size=(33, 33))])


def test_an_update_over_its_own_old_value():
    rng = np.random.default_rng(6)
    start = rng.normal(size=900)
    w = fuse.shared(start, "w")
    step = w - 0.1 * mixed([w, w * 0.5], LONG * 2) + w * 0.25
    (want,) = reference.evaluate([step], {})
    fuse.function([], [], updates=[(w, step)])()
    np.testing.assert_allclose(w.get_value(), want, rtol=1e-9)


def test_many_sums_of_one_loop():
    rng = np.random.default_rng(7)
    x, a = T.dvector("x"), T.dscalar("a")
    h = x
    for _ in range(60):
        h = T.tanh(a * h + x) * 0.9
    total = (h * h).sum()
    compared([x, a], [total, *T.grad(total, [x, a])], [rng.normal(size=1500), np.asarray(0.8)])


def test_sums_keep_what_rounding_loses():
    x = T.dvector("x")
    e = x
    for k in range(LONG + 10):
        e = e + 0.0 * T.abs(x) * (k + 1)
    f = fuse.function([x], [e.sum(), e])
    value = np.full(1_000_001, 0.1)
    total, _ = f(value)
    assert abs(total - 100_000.1) <= 2e-11
    assert f(value)[0] == total


def test_results_do_not_depend_on_where_blocks_begin():
    rng = np.random.default_rng(8)
    x = T.dvector("x")
    f = fuse.function([x], mixed([x, x * 2], LONG * 2))
    value = rng.normal(size=2000)
    whole = f(value)
    for start in (1, 7, 100, 513):
        np.testing.assert_array_equal(f(value[start:]), whole[start:])


def test_numbers_of_other_widths_do_not_share_a_block(monkeypatch):
    monkeypatch.setattr(tape, "LONG", 3)
    x = T.dvector("x")
    small = T.cast(x * 3, "int8")
    e = T.switch((x > 0.2) & (small >= 1), x, 0.5) + T.cast(small, "int8") * (T.sin(x) < 0.4)
    compared([x], [e, T.cast(e, "float32")], [np.linspace(-2, 2, 700)])


@pytest.mark.parametrize("first", range(7000, 7018, 3))
def test_random_programs_on_tapes(first, monkeypatch):
    monkeypatch.setattr(tape, "LONG", 1)
    for seed in range(first, first + 3):
        case = make_program(seed)
        why = failure(case, "strict", True)
        assert why is None, f"seed {seed}: {why}\n{described(case)}"
