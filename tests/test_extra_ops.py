"""Sorting, ranks and small functions against NumPy, with gradients; compiled gradients of all array operations."""
from __future__ import annotations

import math

import numpy as np
import pytest
import test_reductions as reductions
import test_shape_ops as shape_ops
from op_checks import check_gradient, check_value, inputs_like, random_array

import fuse
import fuse.tensor as T
from fuse.errors import FuseError
from fuse.gof.graph import inputs as graph_inputs
from fuse.reference import evaluate

CASES = [
    *[(f"sort {a}", lambda x, a=a: T.sort(x, a), lambda x, a=a: np.sort(x, a), (3, 4)) for a in (-1, 0, 1, None)],
    *[(f"argsort {a}", lambda x, a=a: T.argsort(x, a), lambda x, a=a: np.argsort(x, a), (3, 4)) for a in (-1, 0, None)],
    ("sort method", lambda x: x.sort(), np.sort, (5,)),
    ("topk", lambda x: T.topk(x, 2), lambda x: np.sort(x)[..., -2:], (3, 4)),
    ("topk smallest", lambda x: T.topk(x, -2, axis=0), lambda x: np.sort(x, 0)[:2], (3, 4)),
    ("argtopk", lambda x: T.argtopk(x, 3), lambda x: np.argsort(x)[..., -3:], (3, 4)),
    *[
        (f"median {n} {a}", lambda x, a=a: T.median(x, a), lambda x, a=a: np.median(x, a), (n, 3))
        for n in (3, 4) for a in (None, 0, 1, (0, 1))
    ],
    ("median keepdims", lambda x: T.median(x, 0, keepdims=True), lambda x: np.median(x, 0, keepdims=True), (3, 4)),
    ("diff", T.diff, np.diff, (3, 4)),
    ("diff n axis", lambda x: T.diff(x, 2, 0), lambda x: np.diff(x, 2, 0), (4, 3)),
    ("diff of one", T.diff, np.diff, (1,)),
    ("fill_diagonal", lambda x: T.fill_diagonal(x, 7.0), lambda x: np.where(np.eye(3, 4) == 1, 7.0, x), (3, 4)),
    ("fill_diagonal offset", lambda x: T.fill_diagonal_offset(x, 7.0, -1), lambda x: np.where(np.eye(3, 4, -1), 7, x),
     (3, 4)),
    ("pad", lambda x: T.pad(x, 1), lambda x: np.pad(x, 1), (2, 3)),
    ("pad value", lambda x: T.pad(x, ((0, 2), (1, 0)), constant_values=2.5),
     lambda x: np.pad(x, ((0, 2), (1, 0)), constant_values=2.5), (2, 3)),
    *[
        (f"pad {mode}", lambda x, m=mode: T.pad(x, ((1, 2), (4, 5)), m), lambda x,
         m=mode: np.pad(x, ((1, 2), (4, 5)), m), (2, 3))
        for mode in ("edge", "wrap", "reflect", "symmetric", "linear_ramp", "maximum", "mean", "median", "minimum")
    ],
    ("pad reflect one", lambda x: T.pad(x, 2, "reflect"), lambda x: np.pad(x, 2, "reflect"), (1,)),
]
IDS = [case[0] for case in CASES]


@pytest.mark.parametrize("static", [True, False], ids=["static", "run time"])
@pytest.mark.parametrize(("name", "ours", "numpys", "shape"), CASES, ids=IDS)
def test_value_and_gradient(name, ours, numpys, shape, static):
    x = random_array(np.random.default_rng(len(name)), shape)
    inputs = inputs_like([x], static)
    check_value(ours(*inputs), numpys(x), {inputs[0]: x})
    check_gradient(ours, inputs, [x])


def test_equal_elements_keep_their_order_and_nan_comes_last():
    v = T.dvector()
    x = np.array([2.0, math.nan, 1.0, 2.0, 1.0, -math.inf])
    check_value(T.argsort(v), np.argsort(x, kind="stable"), {v: x})
    check_value(T.sort(v), np.sort(x), {v: x})
    check_value(T.median(v), np.median(x), {v: x})


@pytest.mark.parametrize("x", [[0, 2, 2, 5], [], [3]])
def test_bincount(x):
    v = T.lvector()
    x = np.array(x, dtype="int64")
    w = np.arange(1.0, 1 + x.size)
    check_value(T.bincount(v), np.bincount(x), {v: x}, dtype="int64")
    check_value(T.bincount(v, minlength=4), np.bincount(x, minlength=4), {v: x})
    check_value(T.bincount(v, weights=w), np.bincount(x, weights=w).astype(float), {v: x}, dtype="float64")


def test_positions_in_c_order():
    n, m = T.lvectors("n", "m")
    flat = np.array([0, 5, 23, 11])
    for part, want in zip(T.unravel_index(n, (2, 3, 4)), np.unravel_index(flat, (2, 3, 4)), strict=True):
        check_value(part, want, {n: flat})
    rows, columns = np.array([1, 0]), np.array([2, 3])
    check_value(T.ravel_multi_index((n, m), (2, 4)), np.ravel_multi_index((rows, columns), (2, 4)),
        {n: rows, m: columns})
    outside = np.array([7, -1])
    for mode in ("wrap", "clip"):
        check_value(
            T.ravel_multi_index((n, m), (2, 4), mode), np.ravel_multi_index((rows, outside), (2, 4), mode),
            {n: rows, m: outside},
        )


def test_pad_with_widths_of_run_time_and_of_integers():
    x, n, k = T.lmatrix("x"), T.lscalar("n"), T.lvector("k")
    value, given = np.arange(12).reshape(3, 4) ** 2 - 30, {n: 2, k: np.array([1, 3])}
    for mode in ("constant", "edge", "linear_ramp", "mean", "median", "maximum", "reflect", "wrap"):
        lengths = {"stat_length": ((1, 2), (3, 9))} if mode in ("mean", "median", "maximum") else {}
        lengths |= {"end_values": ((1, -5), (7, 3))} if mode == "linear_ramp" else {}
        for width, known in ((n, 2), (k, (1, 3)), (((0, n), (1, 0)), ((0, 2), (1, 0)))):
            build = T.pad(x, width, mode, **lengths)
            want = np.pad(value, known, mode, **lengths)
            check_value(build, want, {x: value} | {v: given[v] for v in (n, k) if v in graph_inputs([build])})
    with pytest.raises(FuseError, match="not negative"):
        T.pad(x, n).eval({x: value, n: -1}, mode="FAST_COMPILE")


def test_convolutions_of_integers_are_exact():
    a, b = np.array([[2**60, 1, -5], [3, 2**61, 7]]), np.array([[3, 1], [1, 1]])
    wide = np.pad(a, 1, "symmetric")
    convolve2d = T.signal.conv.convolve2d
    for x, got in ((np.pad(a, 1), convolve2d(a, b)), (wide, convolve2d(a, b, boundary="symm"))):
        flipped = b[::-1, ::-1]
        want = sum(flipped[i, j] * x[i : i + 3, j : j + 4] for i in (0, 1) for j in (0, 1))
        check_value(got, want, {})


def test_files_of_another_shape_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    for shape in ((3, 4), (None, 4), (False, False)):
        assert T.load(tmp_path / "x.npy", "float64", shape).eval(mode="FAST_COMPILE").shape == (3, 4)
    for shape in ((3, 5), (12,), (True, False)):
        with pytest.raises(FuseError, match=r"\(3, 4\)"):
            T.load(tmp_path / "x.npy", "float64", shape).eval(mode="FAST_COMPILE")


def test_elementwise_takes_a_function_at_once():
    @fuse.elementwise
    def cube(x):
        return x * x * x

    check_value(cube(T.constant([1.0, 2.0])), np.array([1.0, 8.0]), {})


@pytest.mark.parametrize("build", [
    lambda x: T.topk(x, 0), lambda x: T.diff(x, -1), lambda x: T.pad(x, -1), lambda x: T.pad(x, 1, "average"),
    lambda x: T.pad(x, ((1, 1, 1),)), lambda x: T.pad(x, 1, "reflect", reflect_type="odd"),
    lambda x: T.fill_diagonal(x, 1.0), lambda x: T.bincount(x), lambda x: T.sort(x, order="f"),
])
def test_errors(build):
    with pytest.raises(FuseError):
        build(T.dvector())


INF = np.inf


@pytest.mark.parametrize(("x", "xp", "fp"), [
    ([0, 50, -90], np.array([-100, 100], "i1"), [0.0, 1.0]), ([0.5, 0.2], [0.0, 1.0], np.array([-100, 100], "i1")),
    (np.array([1, 2], "u1"), np.array([0, 200], "u1"), np.array([200, 0], "u1")),
    ([0, 0.5, 1, 1.5, 2, 3, INF, -INF, np.nan], [0.0, 1.0, 2.0], [0.0, INF, 1.0]),
    ([-1, 0, 0.5, 1.5, INF, -INF, np.nan], [-INF, 0.0, 1.0, INF], [0.0, 1.0, 2.0, 3.0]),
])
def test_interp_of_small_integers_and_infinite_points(x, xp, fp):
    args = [np.asarray(a, getattr(a, "dtype", "f8")) for a in (x, xp, fp)]
    xs = [T.TensorType(a.dtype, (None,))() for a in args]
    check_value(T.interp(*xs), np.interp(*args), dict(zip(xs, args, strict=True)))


def test_values_that_do_not_belong_together_are_refused():
    """Positions outside of the array, diagonals of unequal sides, more points than values: there were results."""
    i, v, w, t = T.lvector(), T.dvector(), T.dvector(), T.dtensor3()
    refused = [
        (T.unravel_index(i, (2, 3))[0], {i: [6]}), (T.unravel_index(i, (2, 3))[1], {i: [-1]}),
        (T.fill_diagonal(t, 0.0), {t: np.ones((2, 3, 2))}), (T.einsum("iji->ij", t), {t: np.ones((2, 3, 4))}),
        (T.bincount(i, v), {i: [0, 1], v: [2.0]}), (T.interp([0.0], v, w), {v: [0.0, 1.0], w: [0.0, 1.0, 2.0]}),
    ]
    for formula, values in refused:
        with pytest.raises(FuseError, match=r"out of bounds|specify_shape"):
            formula.eval(values, mode="FAST_COMPILE")
    f = fuse.function([i], T.unravel_index(i, (2, 3)))
    np.testing.assert_array_equal(f([5, 0]), [[1, 0], [2, 0]])
    with pytest.raises(FuseError, match="index 7 is out of bounds for axis 0 with size 6"):
        f([7])


@pytest.mark.parametrize("order", [None, 1, -1, INF, -INF, 3])
def test_norms_of_integers_do_not_wrap(order):
    x, v = T.bmatrix(), T.bvector()
    of = np.array([[-128, 1], [3, 100]], "i1")
    if order != 3:
        check_value(T.nlinalg.norm(x, order), np.linalg.norm(of, order), {x: of})
    check_value(v.norm(order), np.linalg.norm(of[0], order), {v: of[0]})


def compiled_cases():
    """Every case of the tables of shape operations, reductions and this page, ten to a function."""
    found = [(name, ours, shapes) for name, ours, _, shapes in shape_ops.CASES]
    found += [(name, ours, [shape]) for name, ours, _, shape in CASES]
    for k, name in enumerate(reductions.SMOOTH):
        for axis in (None, 0, (0, 2))[k % 2 : k % 2 + 2]:
            ours = reductions.REDUCTIONS[name][0]
            found.append((f"{name} {axis}", lambda v, f=ours, a=axis: f(v, axis=a, keepdims=False), [(2, 3, 2)]))
    return [found[i : i + 10] for i in range(0, len(found), 10)]


@pytest.mark.parametrize("cases", compiled_cases(), ids=lambda cases: cases[0][0])
def test_compiled_gradients_and_tangents(cases):
    """Reverse and forward mode through function give what the reference gives."""
    rng = np.random.default_rng(9)
    inputs, arrays, outputs, names = [], [], [], []
    for name, ours, shapes in cases:
        values = [random_array(rng, s) for s in shapes]
        variables = inputs_like(values, False)
        out = ours(*variables)
        if out.dtype != "float64":
            continue
        made = fuse.grad((out * out).sum(), variables, disconnected_inputs="ignore")
        tangents = [T.constant(random_array(rng, s)) for s in shapes]
        made.append(T.Rop(out, variables, tangents, disconnected_outputs="ignore"))
        inputs, arrays, outputs = inputs + variables, arrays + values, outputs + made
        names += [name] * len(made)
    f = fuse.function(inputs, outputs, on_unused_input="ignore")
    wanted = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for name, got, want in zip(names, f(*arrays), wanted, strict=True):
        assert got.shape == want.shape, name
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12, err_msg=name)
