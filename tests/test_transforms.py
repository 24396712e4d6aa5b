"""jit, derivatives and maps of Python functions, against the same functions run by NumPy and finite differences."""
from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from in_threads import in_threads

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.tensor.shared_randomstreams import RandomStreams
from fuse.transforms import tracing

RNG = np.random.default_rng(5)
X = RNG.normal(size=4)
W = RNG.normal(size=(3, 4))
ROWS = RNG.normal(size=(5, 4))
PARAMS = {"w": W, "b": RNG.normal(size=3)}

Point = namedtuple("Point", "x y")


@dataclass
class Layer:
    w: Any
    b: Any
    name: str = field(default="", metadata={"static": True})


def same(got: Any, want: Any, rtol: float = 1e-12) -> None:
    """Equal trees of equal dtypes and shapes."""
    assert fuse.tree.structure(got) == fuse.tree.structure(want)
    for a, b in zip(fuse.tree.leaves(got), fuse.tree.leaves(want), strict=True):
        b = np.asarray(b)
        assert isinstance(a, (np.ndarray, np.generic)) and (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-5 if b.dtype in ("f4", "c8") else rtol, atol=1e-14)


def slopes(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """The Jacobian by central differences: of shape ``f(x).shape + x.shape``."""
    columns = [(np.asarray(f(x + h * e)) - np.asarray(f(x - h * e))) / (2 * h) for e in _units(x)]
    return np.moveaxis(np.stack(columns), 0, -1).reshape(np.shape(columns[0]) + x.shape)


def _units(x: np.ndarray) -> list[np.ndarray]:
    return list(np.eye(x.size).reshape(x.size, *x.shape))


def net(p: Any, x: Any) -> Any:
    return np.tanh(p["w"] @ x + p["b"])


def loss(p: Any, x: Any, y: Any) -> Any:
    return np.mean((net(p, x) - y) ** 2)


def bowl(x: Any) -> Any:
    return np.sum(np.sin(x) ** 2 * np.exp(-x[::-1]))


# ---------------------------------------------------------------- lines that mean what they mean in NumPy
M = np.arange(12.0).reshape(3, 4) - 5
M4 = M.astype("f4")
LINES = {
    "equal": (lambda x: np.where(x == 0, 5.0, x), M),
    "unequal": (lambda x: np.where(x != 0, 5.0, x), M4),
    "shape decides": (lambda x: x if x.shape == (3, 4) else -x, M),
    "size decides": (lambda x: x if x.shape[0] in (1, 3) else -x, M),
    "other sizes": (lambda x: x if x.shape[0] == x.shape[1] else -x, M),
    "dtype decides": (lambda x: x * 2 if x.dtype == np.float32 else x * 3, M4),
    "float32 with numbers": (lambda x: x * 100000 + 0.1 - np.pi, M4),
    "float32 with sizes": (lambda x: x.sum() / x.size + x.mean(axis=0, keepdims=True) * x.shape[1], M4),
    "float32 with roots of sizes": (lambda x: x @ x.T / x.shape[1] ** 0.5 * (1 / x.size - 2), M4),
    "float64 beside float32": (lambda x: x * np.sqrt(x.shape[0]) + x * ((x > 0).sum() / 2.0), M4),
    "numbers of NumPy with sizes": (lambda x: x * (x.shape[0] * np.sqrt(2)) - np.float64(0.1) / x.size * x, M4),
    "complex numbers with sizes": (lambda x: x * (-2j * np.pi / x.shape[0]), M4),
    "float32 powers": (lambda x: abs(x) ** 0.3 + 2**x + x**2, M4),
    "float32 choice": (lambda x: np.where(x > 0.1, x, 0.1), M4),
    "float32 clip": (lambda x: np.clip(x, 0, 100000) + np.clip(x, None, 0.7), M4),
    "float32 ufunc": (lambda x: np.maximum(x, 0.1) + np.arctan2(x, 3), M4),
    "bools count": (lambda x: (x > 0) * 100 + (x > 0) * 100, M),
    "int8 stays": (lambda x: x * 3 + 1, np.arange(5, dtype="i1")),
    "uint8 wraps": (lambda x: x + 250, np.arange(10, dtype="u1")),
    "integers divide": (lambda x: x / 2 + x // 2 + x % 3, np.arange(5)),
    "complex": (lambda x: (x * 1j + 1).real, M),
    "sizes make arrays": (lambda x: np.arange(x.shape[0] * 2) + np.zeros(x.shape).sum() + x.sum(), M),
    "sizes multiply": (lambda x: np.prod(x.shape) * x + max(x.shape) + len(x), M),
    "reshape": (lambda x: x.reshape((x.shape[1], -1)).T.reshape(-1, 2), M),
    "unpacked shape": (lambda x: (lambda n, m: x.reshape(m, n))(*x.shape), M),
    "rows in a loop": (lambda x: sum(row * k for k, row in enumerate(x)), M),
    "indices": (lambda x: x[1:, ::-1] + x[np.array([0, 2])] * x[-1, 2], M),
    "masks": (lambda x: x[x[:, 0] < 0], M),
    "new axes": (lambda x: x[:, None] * x[None] + x[..., None, :], M),
    "numpy constants": (lambda x: np.sqrt(2) * x + np.float64(0.1), M),
    "results of all kinds": (lambda x: {"a": (x, [x.sum()]), "b": None, "c": 1.5, "n": x.shape[0]}, M),
    "no axis": (lambda x: x * 2, np.float32(3)),
    "empty": (lambda x: x.sum(axis=0) + 1, np.zeros((0, 3))),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_means_in_a_trace_what_it_means_in_numpy(name):
    f, x = LINES[name]
    jitted = fuse.jit(f)
    for _ in range(3):  # the way of the first call, then the short one
        same(jitted(x), f(x))


def test_outside_a_trace_lines_mean_what_they_mean_in_theano():
    x, y = T.fvector("x"), T.fvector("y")
    fuse.jit(lambda a: a == 1)(np.ones(2))
    assert (x == y) is False and x != y and x.dtype == "float32" and not isinstance(x.shape, tuple)
    assert (x * 0.1).dtype == "float64" and (T.lscalar("n") * x).dtype == "float64"


def test_float32_arrays_leave_python_numbers_narrow():
    for args in ((np.float32([1, 2]), 0.1, 3), (np.float32([1, 2]), np.float32(0.1), True)):
        assert fuse.jit(lambda x, a, n: x * a + n)(*args).dtype == np.float32
    assert fuse.jit(lambda x, a: x * a)(np.arange(3), 0.1).dtype == np.float64
    assert fuse.jit(lambda n: n // 2)(7).dtype == np.int64
    same(fuse.jit(lambda b, n: (b, n + b))(True, 2), (True, np.int64(3)))


def test_functions_are_traced_once_per_dtypes_and_ranks():
    seen = []

    @fuse.jit
    def f(x, y=1.0, *, z=2.0):
        seen.append((x.dtype.name, x.ndim))
        return x + y * z

    for n in (1, 2, 3):
        same(f(np.ones(n)), np.full(n, 3.0))
    same(f(np.ones((2, 2), "f4"), 1.0, z=np.float32(1)), np.full((2, 2), 2, "f4"))
    same(f(np.ones(2)), np.full(2, 3.0))
    assert seen == [("float64", 1), ("float32", 2)]


def test_short_axes_beside_loops_are_known():
    """Those of the first call, not the number of steps; other calls have one function for any sizes."""
    seen = []

    @fuse.jit
    def f(a, m, xs):
        seen.append((a.type.shape, m.type.shape, xs.type.shape))
        last, ys = fuse.lax.scan(lambda s, x: (np.tanh(m @ s + x), s.sum()), a, xs[1:])
        return last, ys, m.sum(axis=0) * m.shape[0]

    def expected(a, m, xs):
        ys = []
        for x in xs[1:]:
            ys.append(a.sum())
            a = np.tanh(m @ a + x)
        return a, np.array(ys), m.sum(axis=0) * len(m)

    rng = np.random.default_rng(0)
    for size, steps in ((3, 5), (3, 7), (1, 4), (9, 3), (3, 2), (2, 4), (9, 2)):
        args = rng.standard_normal(size), rng.standard_normal((size, size)), rng.standard_normal((steps, size))
        for found, wanted in zip(f(*args), expected(*args), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-13)
        slopes = fuse.grad(lambda a, m, xs: f(a, m, xs)[0].sum(), argnums=1)
        if size == 3 and steps == 5:
            step = 1e-6 * np.eye(9)[4].reshape(3, 3)
            up, down = [expected(args[0], args[1] + d, args[2])[0].sum() for d in (step, -step)]
            np.testing.assert_allclose(slopes(*args)[1, 1], (up - down) / 2e-6, 1e-7)
            seen[:] = seen[:2]  # those of the gradient are its own
    anything = (None,), (None, None), (None, None)
    assert seen == [anything, ((3,), (3, 3), (None, 3)), anything]


def test_sizes_that_count_are_told_apart():
    seen = []

    @fuse.jit
    def f(x):
        seen.append(x.shape)
        total = 0.0
        for i in range(x.shape[0]):
            total = total + i * x[i]
        return total

    for n in (3, 5, 3, 5, 4):
        same(f(np.ones(n)), float(sum(range(n))))
    assert [s for s in seen if isinstance(s[0], int)] == [(3,), (5,), (4,)]


def test_static_arguments():
    seen = []

    def f(x, n, kind="sum"):
        seen.append((n, kind))
        for _ in range(n):
            x = x * 2
        return x.sum() if kind == "sum" else x

    g = fuse.jit(f, static_argnums=1, static_argnames="kind")
    for _ in range(3):
        same(g(np.ones(2), 3), 16.0)
        same(g(np.ones(2), n=1, kind="all"), np.full(2, 2.0))
        same(g(np.ones(2), 1, "all"), np.full(2, 2.0))
    assert seen == [(3, "sum"), (1, "all"), (1, "all")]
    with pytest.raises(FuseTypeError, match="static argument 1 of f must be hashable, which a list is not"):
        g(np.ones(2), [1])


@dataclass
class Scaled:
    value: object
    factor: object = field(metadata={"static": True})


def test_static_values_that_are_equal_are_told_apart():
    """1, 1.0 and True within a tuple or a field shared a trace, as did 0.0 and -0.0."""
    x, factors = np.ones(2, "int32"), (2, 2.0, True, 2, 0.0, -0.0, 0.0)
    in_tuple = fuse.jit(lambda x, n: x * n[0], static_argnames="n", mode="FAST_COMPILE")
    in_field = fuse.jit(lambda s: s.value * s.factor, mode="FAST_COMPILE")
    for n in factors:
        for got in (in_tuple(x, (n,)), in_field(Scaled(x, n))):
            same(got, x * n)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(x * n))


def test_an_array_that_a_function_returns_is_as_it_was_in_the_trace():
    kept = np.arange(2.0)
    f = fuse.jit(lambda x: (x + kept, kept), mode="FAST_COMPILE")
    f(1.0)
    kept[:] = 9.0
    for got, want in zip(f(1.0), ([1.0, 2.0], [0.0, 1.0]), strict=True):
        np.testing.assert_array_equal(got, want)


def test_containers_go_in_and_come_out():
    @fuse.jit
    def f(tree):
        return fuse.tree.map(lambda v: v * 2, tree)

    trees = [
        {"b": X, "a": (W, None)}, [X, [W]], Point(X, 1.5), Layer(W, X, "first"), OrderedDict(z=X, a=W),
        defaultdict(list, {1: X}), (), {"x": {}}, X, Layer(W, {"deep": [X]}, "second"),
    ]
    for tree in [*trees, *trees, *[t for t in trees for _ in range(3)]]:
        same(f(tree), fuse.tree.map(lambda v: np.asarray(v) * 2, tree))
    assert f(Layer(W, X, "first")).name == "first"


def test_the_short_way_refuses_what_it_was_not_made_for():
    f = fuse.jit(lambda x: x * 2)
    odd = [
        np.ones(3), np.ones(3, "f4"), np.ones((2, 2)), 1.0, 1, True, np.float32(2), np.ones(6)[::-2], np.ones(3, ">f8"),
        np.asarray(2.0), [1.0, np.ones(2)][1:], {"a": np.ones(2)}["a"], np.ones(3).astype("f2"),
    ]
    for x in odd:
        for other in odd:
            want = fuse.tree.map(lambda v: np.asarray(v) * (1 if isinstance(v, bool) else 2), other)
            try:
                f(x)
                got = f(other)
            except FuseError:
                continue
            if not isinstance(other, (list, bool)):
                same(got, np.multiply(other, 2) if np.asarray(other).dtype != bool else want)


def test_results_are_new_arrays():
    x = np.ones(3)
    f = fuse.jit(lambda a: (a, np.arange(3)))
    for _ in range(6):
        first, second = f(x)
        assert not np.shares_memory(first, x)
        first[:] = second[:] = 7
        same(f(x)[1], np.arange(3))
    assert (x == 1).all()


def test_a_branch_on_a_value_says_what_to_do():
    @fuse.jit
    def f(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(FuseTypeError, match="use switch") as raised:
        f(np.ones(3))
    assert raised.value.__notes__ == [
        "in a trace of f(x: float64 (3,)): arguments have no values there; what the function branches on or counts "
        "with is a static argument, jit(f, static_argnames=...)"
    ]


@pytest.mark.parametrize("f, hint", [
    (lambda x: np.put(x, 0, 1), "set_subtensor"),
    (lambda x: np.histogram2d(x, x), "as_op"),
    (lambda x: np.array([x[0], x[1]]), "stack"),
    (lambda x: np.add(x, 1, out=np.ones(4)), "use the result"),
    (lambda x: x.__setitem__(0, 1.0), "set_subtensor"),
    (lambda x: float(x[0]), "cast"),
])
def test_what_cannot_be_traced_names_what_can(f, hint):
    with pytest.raises(FuseTypeError, match=hint):
        fuse.jit(f)(X)


def test_arguments_that_are_no_arrays():
    f = fuse.jit(lambda p, x: x)
    with pytest.raises(FuseTypeError, match=r"p\['kind'\] of <lambda> is a str: 'relu'"):
        f({"kind": "relu"}, X)
    with pytest.raises(FuseTypeError, match="is a ndarray"):
        f(np.array(["a"]), X)
    with pytest.raises(FuseTypeError, match="returns a str"):
        fuse.jit(lambda x: "no")(X)
    with pytest.raises(FuseError, match="MaskedArrays"):
        f(1.0, np.ma.masked_array([1.0, 2.0], [True, False]))


def test_methods_shared_variables_and_the_function_behind():
    @dataclass
    class Model:
        w: Any

        @fuse.jit
        def __call__(self, x):
            return self.w @ x

    same(Model(W)(X), W @ X)
    count = fuse.shared(2.0)
    f = fuse.jit(lambda x: x * count)
    same(f(X), X * 2)
    count.set_value(3.0)
    same(f(X), X * 3)
    assert "kernel" in f.compiled(X).source


def test_test_values_are_not_asked_for_in_a_trace():
    with fuse.config.change_flags(compute_test_value="raise"):
        same(fuse.grad(lambda x: np.sum(x**2))(X), 2 * X)


def test_threads_trace_each_for_themselves():
    results: dict[int, Any] = {}

    def work(i):
        f = fuse.jit(lambda x: np.where(x == 0, i, x * 0.1))
        results[i] = [f(np.arange(3, dtype=d)) for d in ("f4", "f8")]

    in_threads(work, range(4))
    for i in range(4):
        same(results[i][1], np.where(np.arange(3.0) == 0, float(i), np.arange(3.0) * 0.1))
        assert results[i][0].dtype == np.float32


def test_an_array_that_takes_no_expression_says_what_to_do():
    def f(x):
        out = np.zeros(2)
        out[0] = x[0]
        return out

    with pytest.raises(ValueError, match="array element") as raised:
        fuse.jit(f)(X)
    assert "np.stack" in raised.value.__notes__[0]


# ---------------------------------------------------------------- derivatives
def test_gradients_follow_finite_differences():
    np.testing.assert_allclose(fuse.grad(bowl)(X), slopes(bowl, X), rtol=1e-7)
    value, g = fuse.value_and_grad(loss)(PARAMS, X, 0.5)
    np.testing.assert_allclose(value, loss(PARAMS, X, 0.5), rtol=1e-12)
    for k in PARAMS:
        want = slopes(lambda v, k=k: loss({**PARAMS, k: v}, X, 0.5), PARAMS[k])
        np.testing.assert_allclose(g[k], want, rtol=1e-6, atol=1e-9)
    gp, gy = fuse.grad(loss, argnums=(0, 2))(PARAMS, X, 0.5)
    same(gp, g)
    np.testing.assert_allclose(gy, np.mean(2 * (0.5 - net(PARAMS, X))), rtol=1e-12)


def test_derivatives_nest_in_each_other_and_in_jit():
    def third(t):
        return 24 * t * np.sin(t) + 36 * t**2 * np.cos(t) - 12 * t**3 * np.sin(t) - t**4 * np.cos(t)

    f = fuse.grad(fuse.grad(fuse.grad(lambda t: np.sin(t) * t**4)))
    for g in (f, fuse.jit(f), fuse.jit(fuse.jit(f))):
        np.testing.assert_allclose(g(1.3), third(1.3), rtol=1e-12)
    nested = fuse.jit(lambda w: fuse.grad(lambda q: np.sum(q * w * w))(np.ones(4)))
    same(nested(X), X * X)
    same(fuse.grad(lambda a: a * fuse.grad(lambda b: a * b * b)(3.0))(2.0), np.float64(24.0))
    hvp = fuse.grad(lambda z: np.vdot(fuse.grad(bowl)(z), X))(X)
    np.testing.assert_allclose(hvp, fuse.hessian(bowl)(X) @ X, rtol=1e-10)


def test_what_else_gradients_are_asked_for():
    same(fuse.grad(lambda x: x**3)(2), np.float64(12.0))  # as at 2.0
    same(fuse.grad(lambda x, n: np.sum(x) if n else x[0] * 2)(X, True), np.ones(4))
    same(fuse.grad(lambda x, n: sum(x[i] for i in range(n)))(X, 2), np.array([1.0, 1, 0, 0]))
    same(fuse.grad(lambda x, how: np.sum(x) * (2 if how == "two" else 1))(X, "two"), np.full(4, 2.0))
    same(fuse.grad(lambda x: 3.0)(X), np.zeros(4))
    same(fuse.grad(lambda x: np.sum(x))(np.float32([1, 2])), np.float32([1, 1]))
    g, aux = fuse.grad(lambda x: (np.sum(x * x), {"x": x, "k": 3}), has_aux=True)(X)
    same((g, aux), (2 * X, {"x": X, "k": 3}))
    with pytest.raises(FuseTypeError, match="scalar"):
        fuse.grad(lambda x: x)(X)
    with pytest.raises(FuseTypeError, match="returns a scalar, not a tuple"):
        fuse.grad(lambda x: (np.sum(x), x))(X)
    with pytest.raises(FuseTypeError, match="the place of an argument, or a tuple of places, not 'x'"):
        fuse.grad(bowl, argnums="x")(X)
    with pytest.raises(FuseValueError, match="argnums=2 with 1 positional"):
        fuse.grad(bowl, argnums=2)(X)


def test_of_expressions_they_are_expressions():
    x = T.dvector("x")
    cost = T.sum(x**2)
    assert fuse.grad(cost, x).eval({x: [3.0]}) == 6
    made = fuse.grad(lambda v: np.sum(v**2))(x)
    assert isinstance(made, fuse.Expr)
    same(made.eval({x: X}), 2 * X)
    same(fuse.hessian(cost, x).eval({x: X}), np.eye(4) * 2)
    # what the function reads besides its argument is not differentiated, be it the same expression
    same(fuse.grad(lambda v: np.sum(v * x))(x).eval({x: X}), X)
    same(fuse.vmap(lambda v: v * x[0])(x).eval({x: X}), X * X[0])


JACOBIANS = {
    "vector": (lambda x: np.tanh(W @ x) * x[:3], X),
    "matrix": (lambda x: np.outer(x, x) @ W.T, X),
    "of a matrix": (lambda w: w.T @ w, W),
    "scalar": (bowl, X),
    "at a number": (lambda t: np.stack([np.cos(t), t * t]), np.array(0.3)),
    "sorted": (lambda x: np.sort(x)[1:] * np.cumsum(x)[:-1], X),
    "constant": (lambda x: np.ones(2) + 0 * x[:2], X),
    "solve": (lambda x: np.linalg.solve(np.eye(4) * 3 + np.outer(x, x), x), X),
    "softmax": (lambda x: T.nnet.softmax(x) if isinstance(x, fuse.Expr) else np.exp(x) / np.exp(x).sum(), X),
}


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians_forward_and_reverse(name):
    f, x = JACOBIANS[name]
    want = slopes(f, x)
    for jacobian in (fuse.jacfwd, fuse.jacrev, fuse.jacobian):
        np.testing.assert_allclose(jacobian(f)(x), want, rtol=1e-6, atol=1e-8)
    second = [outer(inner(f))(x) for outer in (fuse.jacfwd, fuse.jacrev) for inner in (fuse.jacfwd, fuse.jacrev)]
    for other in second[1:]:
        np.testing.assert_allclose(other, second[0], rtol=1e-9, atol=1e-12)


def test_jacobians_of_trees():
    for jacobian in (fuse.jacfwd, fuse.jacrev):
        rows = jacobian(lambda p: {"h": net(p, X), "n": np.sum(p["b"])})(PARAMS)
        assert {k: {j: v.shape for j, v in row.items()} for k, row in rows.items()} == {
            "h": {"w": (3, 3, 4), "b": (3, 3)}, "n": {"w": (3, 4), "b": (3,)},
        }
        np.testing.assert_allclose(rows["h"]["w"], slopes(lambda w: net({**PARAMS, "w": w}, X), W), rtol=1e-6,
                                   atol=1e-9)
    blocks = fuse.hessian(loss)(PARAMS, X, 0.5)
    one = fuse.hessian(lambda w: loss({"w": w, "b": PARAMS["b"]}, X, 0.5))(W)
    np.testing.assert_allclose(blocks["w"]["w"], one, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(blocks["w"]["b"], np.moveaxis(blocks["b"]["w"], 0, -1), rtol=1e-10, atol=1e-14)


def test_products_with_jacobians():
    v, u = RNG.normal(size=4), RNG.normal(size=3)

    def f(x):
        return np.tanh(W @ x)

    value, pushed = fuse.jvp(f, (X,), (v,))
    same(value, f(X))
    np.testing.assert_allclose(pushed, slopes(f, X) @ v, rtol=1e-7)
    value, back = fuse.vjp(f, X)
    (pulled,) = back(u)
    np.testing.assert_allclose(pulled, u @ slopes(f, X), rtol=1e-7)
    np.testing.assert_allclose(u @ pushed, pulled @ v, rtol=1e-12)
    out, back, aux = fuse.vjp(lambda p: ({"o": net(p, X)}, p["b"]), PARAMS, has_aux=True)
    same((out, aux), ({"o": net(PARAMS, X)}, PARAMS["b"]))
    assert back({"o": u})[0]["w"].shape == (3, 4)
    with pytest.raises(FuseTypeError, match="two tuples"):
        fuse.jvp(f, X, v)
    for bad in (v[:2], v[:1], np.ones(5)):  # they gave results of their own shape
        with pytest.raises(ShapeError):
            fuse.jvp(np.sin, (X,), (bad,))
        with pytest.raises(ShapeError):
            fuse.vjp(np.sin, X)[1](bad)
    with pytest.raises(FuseTypeError, match="a tangent has the rank of its argument"):
        fuse.jvp(f, (X,), (1.0,))


# ---------------------------------------------------------------- maps
def mapped(f: Any, in_axes: Any, args: Any, count: int) -> np.ndarray:
    """vmap by a Python loop."""
    rows = [[a if k is None else np.take(a, i, axis=k) for a, k in zip(args, in_axes, strict=True)]
            for i in range(count)]
    return np.stack([np.asarray(fuse.jit(f)(*row)) for row in rows])


I5 = np.array([0, 3, -1, 2, 2])
J5 = np.array([1, 0, 2, 1, 0])
V5 = RNG.normal(size=5)
MAPS = {
    "net": (lambda x: net(PARAMS, x), (0,), (ROWS,)),
    "columns": (lambda x: np.sum(x) * x, (1,), (ROWS.T,)),
    "both": (np.dot, (0, 0), (ROWS, ROWS * 2)),
    "one": (np.dot, (None, 0), (W, ROWS)),
    "element": (lambda x, i: x[i], (None, 0), (X, I5)),
    "own element": (lambda x, i: x[i], (0, 0), (ROWS, I5)),
    "two indices": (lambda m, j, i: m[j, i], (None, 0, 0), (W, J5, I5)),
    "column": (lambda m, i: m[1:, i] * 2, (None, 0), (W, I5)),
    "row part": (lambda m, j: m[j, 1:], (0, 0), (np.stack([W] * 5) * V5[:, None, None], J5)),
    "set": (lambda x, i, v: x.at[i].set(v), (None, 0, 0), (X, I5, V5)),
    "add": (lambda x, i: x.at[i].add(1), (0, 0), (ROWS, I5)),
    "set a row": (lambda m, j, v: m.at[j].set(v), (None, 0, 0), (W, J5, V5)),
    "set a column": (lambda m, i, v: m.at[:, i].set(v), (None, 0, 0), (W, I5, V5)),
    "add at many": (lambda x, i, v: x.at[np.array([0, 1]) + i % 2].add(v), (0, 0, 0), (ROWS, I5, V5)),
    "solve": (lambda a: np.linalg.solve(np.eye(4) * 3 + np.outer(a, a), a), (0,), (ROWS,)),
    "softmax": (lambda x: T.nnet.softmax(x), (0,), (ROWS,)),
    "reductions": (lambda x: x.max() + x.std() - np.median(x), (0,), (ROWS,)),
    "gradient": (fuse.grad(lambda x: np.sum(np.sin(x) * x)), (0,), (ROWS,)),
    "hessian": (fuse.hessian(bowl), (0,), (ROWS,)),
    "of a map": (fuse.vmap(lambda a, b: a * b + a, (None, 0)), (0, None), (V5, X)),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_a_loop(name):
    f, in_axes, args = MAPS[name]
    want = mapped(f, in_axes, args, 5)
    np.testing.assert_allclose(fuse.vmap(f, in_axes)(*args), want, rtol=1e-10)
    np.testing.assert_allclose(fuse.jit(fuse.vmap(f, in_axes, out_axes=-1))(*args), np.moveaxis(want, 0, -1),
                               rtol=1e-10)


def test_gradients_through_maps():
    for name in ("net", "element", "own element", "set", "set a row", "set a column", "solve", "both", "column"):
        f, in_axes, args = MAPS[name]
        at = next(k for k, a in enumerate(args) if a.dtype.kind == "f")

        def total(v, f=f, in_axes=in_axes, args=args, at=at):
            given = [v if k == at else a for k, a in enumerate(args)]
            return np.sum(fuse.vmap(f, in_axes)(*given) ** 2)

        np.testing.assert_allclose(fuse.grad(total)(args[at]), slopes(total, args[at]), rtol=1e-5, atol=1e-7)


def test_maps_of_gradients_of_ops_that_are_called_for_each_entry_keep_sizes_of_1():
    pairs = np.stack([X, X[::-1], X**2, 1 - X]).reshape(2, 2, 4)

    def cost(pair):
        both = np.convolve(pair[0], pair[1])
        return sum(both[i] ** 2 for i in range(both.shape[0]))  # which asks for sizes that are known

    found = fuse.vmap(fuse.grad(cost))(pairs)
    for got, pair in zip(found, pairs, strict=True):
        both = np.convolve(*pair)
        same(got[0], 2 * np.correlate(both, pair[1], "valid"))
        same(got[1], 2 * np.correlate(both, pair[0], "valid"))


def test_maps_keep_derivatives_of_the_users_own():
    @fuse.custom_vjp
    def steep(x, w):
        return T.dot(x, w), x * 2

    steep.defvjp(lambda x, w: (steep(x, w), (x, w)), lambda kept, g: (g[0] * kept[1] * 10, g[0] * kept[0] * 100))

    def total(rows, w):
        return np.sum(fuse.vmap(lambda x: steep(x, w)[0])(rows))

    g_rows, g_w = fuse.grad(total, argnums=(0, 1))(ROWS, X)
    np.testing.assert_allclose(g_rows, np.stack([10 * X] * 5), rtol=1e-12)
    np.testing.assert_allclose(g_w, 100 * ROWS.sum(axis=0), rtol=1e-12)

    @fuse.custom_jvp
    def bent(x):
        return T.sin(x)

    bent.defjvp(lambda args, tangents: (T.sin(args[0]), 10 * tangents[0]))
    same(fuse.jvp(fuse.vmap(bent), (V5,), (V5,))[1], 10 * V5)
    same(fuse.grad(lambda v: np.sum(fuse.vmap(bent)(v)))(V5), np.full(5, 10.0))


def test_axes_of_maps():
    f = fuse.vmap(lambda d, c: {"s": d["a"] * d["b"], "c": c}, in_axes=({"a": 0, "b": None}, None),
                  out_axes={"s": 0, "c": None})
    same(f({"a": V5, "b": 2.0}, 7.0), {"s": V5 * 2, "c": np.float64(7)})
    same(fuse.vmap(lambda: 1.0, axis_size=3)(), np.ones(3))
    for bad in ((np.ones(1), np.ones(3)), (np.ones(2), np.ones(3))):
        with pytest.raises(ShapeError):
            fuse.vmap(lambda a, b: a * b)(*bad)
    with pytest.raises(FuseValueError, match="has no axis 1"):
        fuse.vmap(lambda a: a, in_axes=1)(V5)
    with pytest.raises(FuseValueError, match="out_axes=None"):
        fuse.vmap(lambda a: a, out_axes=None)(V5)
    with pytest.raises(FuseValueError, match="2 entries for 1"):
        fuse.vmap(lambda a: a, in_axes=(0, 0))(V5)


SIGNATURES = {
    "(n),(n)->()": (lambda a, b: np.sum(a * b), ((3, 1, 4), (2, 4))),
    "(n,m),(m)->(n)": (lambda a, b: a @ b, ((5, 2, 3), (1, 3))),
    "(n,m),(m,k)->(n,k)": (lambda a, b: a @ b, ((4, 2, 3), (3, 5))),
    "(n)->(n),()": (lambda a: (a * 2, np.sum(a)), ((2, 3, 4),)),
    "(),(3)->(3)": (lambda a, b: a * b, ((2, 1), (2, 3))),
    "->()": (lambda: np.float64(2.0), ()),
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_vectorize_is_numpys(signature):
    f, shapes = SIGNATURES[signature]
    args = [RNG.normal(size=s) for s in shapes]
    want = np.vectorize(f, signature=signature.replace("3", "n"))(*args) if args else np.float64(2.0)
    same(fuse.vectorize(f, signature=signature)(*args), want)
    same(fuse.jit(fuse.vectorize(f, signature=signature))(*args), want)


def test_vectorize_checks_core_axes():
    dot = fuse.vectorize(lambda a, b: np.sum(a * b), signature="(n),(n)->()")
    for a, b in (((1,), (3,)), ((2,), (3,))):
        with pytest.raises(ShapeError):
            dot(np.ones(a), np.ones(b))
    with pytest.raises(ShapeError, match="Number of inputs is 1, 2 in"):
        dot(X)
    with pytest.raises(ShapeError, match="less dimensions"):
        dot(1.0, X)
    with pytest.raises(ShapeError, match="says"):
        fuse.vectorize(lambda a: a, signature="(n)->()")(X)
    with pytest.raises(FuseValueError, match="written as in NumPy"):
        fuse.vectorize(bowl, signature="n->()")(X)
    add = fuse.vectorize(lambda a, b, c=0: a + b + c)
    same(add(ROWS, X, c=1.0), ROWS + X + 1)
    same(fuse.vectorize(lambda p, x: p[0] + x, excluded={0})(X, ROWS), X[0] + ROWS)


def test_vectorize_graph():
    x, m, y = T.dvector("x"), T.dmatrix("m"), T.dvector("y")
    stacks, rows = T.dtensor4("stacks"), T.dmatrix("rows")
    out, total, other = fuse.vectorize_graph([m @ x, x.sum(), y * 2], {x: rows, m: stacks})
    assert other is y * 2 and total.ndim == 1 and out.ndim == 3
    a, b = RNG.normal(size=(2, 5, 3, 4)), ROWS
    np.testing.assert_allclose(out.eval({stacks: a, rows: b}), np.einsum("abij,bj->abi", a, b), rtol=1e-12)
    np.testing.assert_allclose(total.eval({rows: b}), b.sum(axis=1), rtol=1e-12)
    same(fuse.vectorize_graph(T.exp(x) * 2, {T.exp(x): y}).eval({y: X}), X * 2)


# ---------------------------------------------------------------- with loops
def recurrent(w: Any, xs: Any) -> Any:
    h = np.zeros(3)
    if isinstance(xs, fuse.Expr):
        h, _ = fuse.loop(lambda c, x: (np.tanh(w @ c + x), None), h, xs)
    else:
        for x in xs:
            h = np.tanh(w @ h + x)
    return np.sum(h * h)


def test_loops_inside_of_functions():
    w, xs = RNG.normal(size=(3, 3)), RNG.normal(size=(6, 3))
    same(fuse.jit(recurrent)(w, xs), recurrent(w, xs), rtol=1e-12)
    want = slopes(lambda v: recurrent(v, xs), w)
    for derivative in (fuse.grad, fuse.jacfwd, fuse.jacrev):
        np.testing.assert_allclose(derivative(recurrent)(w, xs), want, rtol=1e-6, atol=1e-9)
    many = np.stack([xs, xs * 2])
    same(fuse.vmap(recurrent, (None, 0))(w, many), np.stack([recurrent(w, m) for m in many]))
    doubled = fuse.jit(lambda a: fuse.while_loop(lambda s: s < 100, lambda s: s * 2, a))
    assert doubled(np.float32(3)) == 192 and doubled(np.float32(3)).dtype == np.float32


def root_of(a: Any) -> Any:
    return fuse.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)


def test_counts_of_loops_that_start_as_numbers_do_not_wrap():
    """The constant 0 is an int8: 200 steps of ``count + 1`` ended at -56, and ``count < 300`` never did."""
    def count(n, x):
        steps, kept = fuse.loop(lambda c, _: ((c[0] + 1, 2 * c[1]), c[0]), (0, 1), n_steps=200)
        return steps[0], steps[1], kept, fuse.while_loop(lambda c: c < n, lambda c: c + 1, 0), fuse.loop(
            lambda c, x_t: (c + x_t, None), 0, x)[0]

    steps, doubled, kept, ended, total = fuse.jit(count, mode="FAST_COMPILE")(300, np.ones(3, "f4"))
    assert (steps, doubled, ended, total) == (200, 0, 300, 3.0) and total.dtype == np.float32  # 2**200 in int64
    np.testing.assert_array_equal(kept, np.arange(200))


def test_states_and_results_that_are_numbers_have_the_dtype_that_numpy_gives_them():
    def f(x):
        thirds = fuse.loop(lambda c, _: ((c[0] / 3, c[1] + 0.5), (100, 0.5)), (1.0, 0), n_steps=2)
        nested = fuse.loop(lambda c, _: (fuse.loop(lambda d, _: (d + 100, None), c, n_steps=2)[0], None), 0, n_steps=3)
        fallen = fuse.while_loop(lambda c: c > 0.1, lambda c: c / 3, 1.0)
        chosen = fuse.ifelse.ifelse(x[0] > 0, 100, 2) * 100
        return thirds, nested[0], fallen, chosen, fuse.loop(lambda c, x_t: (c + x_t, c), 0.0, x)[0]

    (states, kept), nested, fallen, chosen, total = fuse.jit(f, mode="FAST_COMPILE")(np.ones(3))
    assert states == (1 / 9, 1.0) and fallen == 1 / 27 and (kept[0] * 100).tolist() == [10000, 10000]
    assert (nested, chosen, total) == (600, 10000, 3.0)
    assert {v.dtype.name for v in (*states, kept[1], fallen, total)} == {"float64"}
    single = fuse.jit(lambda x: fuse.loop(lambda c, x_t: (c / 3 + x_t, None), 0.0, x)[0], mode="FAST_COMPILE")
    assert single(np.ones(3, "f4")).dtype == np.float32


def test_entries_of_a_map_end_by_themselves():
    a = np.array([2.0, 9.0, 1.0, 1e4])  # of which 1 takes no step
    np.testing.assert_allclose(fuse.vmap(root_of)(a), np.sqrt(a), rtol=1e-12)
    assert fuse.vmap(root_of)(a[:0]).shape == (0,)
    half = 0.5 / np.sqrt(a[:2])
    np.testing.assert_allclose(fuse.grad(lambda v: np.sum(fuse.vmap(root_of)(v)))(a[:2]), half, rtol=1e-9)
    np.testing.assert_allclose(fuse.vmap(fuse.grad(root_of))(a[:2]), half, rtol=1e-9)
    x = np.array([0, 0, 0, 7.0, 0, 5])
    first = fuse.vmap(lambda k: fuse.while_loop(lambda i: fuse.as_symbolic(x)[i] == 0, lambda i: i + 1, k))
    np.testing.assert_array_equal(first(np.array([0, 4, 2, 5])), [3, 5, 3, 5])  # no entry reads behind its own end


def test_entries_of_a_map_have_sizes_of_their_own():
    n = np.array([1, 3, 0])
    part = fuse.vmap(lambda x, n: np.sum(x[:n] ** 2), in_axes=(None, 0))
    np.testing.assert_allclose(part(X, n), [np.sum(X[:k] ** 2) for k in n], rtol=1e-12)
    rows = np.array([[1.0, -1], [2, 3]])
    chosen = fuse.vmap(fuse.value_and_grad(lambda x: np.sum(x[x > 0] ** 2)))
    same(chosen(rows), (np.array([1.0, 13]), 2 * np.maximum(rows, 0)))
    slopes = fuse.grad(lambda x: np.sum(part(x, n)))(X)
    np.testing.assert_allclose(slopes, 2 * X * [(n > k).sum() for k in range(4)], rtol=1e-12)


def test_transforms_of_functions_that_branch_on_values():
    seen = []

    def f(x):
        seen.append(0)
        if np.all(x > 0):
            return np.sum(np.log(x))
        return x[0] * 3 if x[0] > 1 else np.sum(x**2)

    wants = (([1.0, 2], [1, 0.5]), ([2.0, -1], [3, 0]), ([-1.0, 1], [-2, 2]))
    for x, want in wants:
        np.testing.assert_allclose(fuse.jit(lambda v: v * 1)(fuse.grad(f)(np.array(x))), want)
    g, count = fuse.grad(f), len(seen)
    for x, want in wants * 3:
        same(g(np.array(x)), np.array(want, float))
    assert len(seen) - count < 14  # for each way it goes, not for each call
    same(fuse.hessian(f)(np.array([1.0, 2])), np.diag([-1, -0.25]))
    same(fuse.jvp(f, (np.array([2.0, -1]),), (np.ones(2),))[1], np.float64(3))

    def newton(a):
        x = a
        while abs(x * x - a) > 1e-10:
            x = (x + a / x) / 2
        return x

    slope = fuse.grad(newton)
    for a in (9.0, 2.0, 9.5):
        np.testing.assert_allclose(slope(a), 0.5 / np.sqrt(a), rtol=1e-6)
    power = fuse.grad(lambda x, n: sum((x**i for i in range(int(n))), 0.0))
    assert [float(power(2.0, n)) for n in (3.0, np.float64(4), np.array(4))] == [5, 17, 17]
    with pytest.raises(FuseTypeError, match="use switch"):  # of many entries there is no one way to go
        fuse.vmap(lambda x: x if x > 0 else -x)(X)
    with pytest.raises(FuseTypeError, match="cannot give one"):  # whose derivative would be lost
        fuse.grad(lambda x: float(x) * x if x > 0 else x)(2.0)
    inner = fuse.grad(lambda x: fuse.grad(lambda y: y * y * x if y * x > 0 else 5 * y * x)(2.0))
    assert [float(inner(x)) for x in (3.0, -3.0)] == [4, 5]  # only the outer one knows x
    u = RandomStreams(3).uniform()
    with pytest.raises(FuseTypeError, match="use switch"):  # the answer and the value would be two draws
        fuse.grad(lambda x: x * u if u > 0.5 else 3 * x)(2.0)


def test_of_many_ways_to_go_the_last_are_kept(monkeypatch):
    monkeypatch.setattr(tracing, "WAYS", 2)
    seen = []
    power = fuse.grad(lambda x: seen.append(0) or sum((x**i for i in range(int(x))), 0.0))
    assert [float(power(x)) for x in (1.0, 2.0, 3.0)] == [0, 1, 7]
    count = len(seen)
    assert [float(power(x)) for x in (2.0, 3.0, 1.0)] == [1, 7, 0]
    assert len(seen) == count + 1


# ---------------------------------------------------------------- x.at
def numpy_at(x: np.ndarray, index: Any, how: str, y: Any) -> np.ndarray:
    out = x.copy()
    if how == "add":
        np.add.at(out, index, y)
    elif how == "subtract":
        np.subtract.at(out, index, y)
    else:
        ways = {"multiply": np.multiply, "divide": np.divide, "min": np.minimum, "max": np.maximum, "power": np.power}
        out[index] = y if how == "set" else ways[how](out[index], y)
    return out


@pytest.mark.parametrize("how", ["set", "add", "subtract", "multiply", "divide", "power", "min", "max"])
@pytest.mark.parametrize("index", [0, slice(1, None), (slice(None), 2), M > 0, (Ellipsis, -1)], ids=str)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_changed_copies(how, index, dtype):
    x = (M + 0.5).astype(dtype)
    same(fuse.jit(lambda a: getattr(a.at[index], how)(2.5))(abs(x)), numpy_at(abs(x), index, how, 2.5))


def test_changed_copies_at_equal_places():
    i = np.array([0, 0, 2])
    same(fuse.jit(lambda a: a.at[i].add(1))(X), numpy_at(X, i, "add", 1))
    with pytest.raises(FuseTypeError, match="name an element twice"):
        fuse.jit(lambda a: a.at[i].multiply(2))(X)


def test_second_derivatives_of_results_that_are_no_scalars():
    x = np.array([0.5, 2.0])
    both, aux = fuse.hessian(lambda x: ({"cube": x**3, "dot": x @ x}, x[0]), has_aux=True)(x)
    cube = np.zeros((2, 2, 2))
    cube[[0, 1], [0, 1], [0, 1]] = 6 * x
    same(both["cube"], cube)
    same(both["dot"], 2 * np.eye(2))
    assert aux == 0.5
    mixed = fuse.hessian(lambda a, b: np.stack([a * b, a**2]), (0, 1))(2.0, 3.0)
    same(mixed[0][0], np.array([0.0, 2.0]))
    same(mixed[1][0], np.array([1.0, 0.0]))


def test_gradients_stop_at_the_leaves_of_trees():
    stopped = fuse.grad(lambda p: p["a"] * fuse.stop_gradient(p)["b"][0] + fuse.stop_gradient(p["a"]))
    found = stopped({"a": 2.0, "b": [3.0]})
    assert found["a"] == 3.0 and found["b"][0] == 0.0


# ---------------------------------------------------------------- trees
def test_trees_there_and_back():
    tree = {"b": [1, (2, None)], "a": Point(3, Layer(4, 5, "n"))}
    leaves, structure = fuse.tree.flatten(tree)
    assert leaves == [3, 4, 5, 1, 2] and fuse.tree.unflatten(structure, leaves) == tree
    assert fuse.tree.paths(structure, "t") == ["t['a'].x", "t['a'].y.w", "t['a'].y.b", "t['b'][0]", "t['b'][1][0]"]
    assert fuse.tree.structure({1: 0, "a": 0}) != fuse.tree.structure({1: 0})
    assert fuse.tree.structure(Layer(1, 2, "a")) != fuse.tree.structure(Layer(1, 2, "b"))
    with pytest.raises(FuseTypeError, match="different structure"):
        fuse.tree.map(lambda a, b: a, [1, 2], [1, 2, 3])
    with pytest.raises(FuseValueError):
        fuse.tree.unflatten(structure, leaves[:-1])
    with pytest.raises(FuseValueError):
        fuse.tree.unflatten(structure, [*leaves, 1])
    rows = {"x": (1, [2, 3]), "y": (4, [5, 6])}
    outer, inner = fuse.tree.structure({"x": 0, "y": 0}), fuse.tree.structure((0, [0, 0]))
    columns = fuse.tree.transpose(outer, inner, rows)
    assert columns == ({"x": 1, "y": 4}, [{"x": 2, "y": 5}, {"x": 3, "y": 6}])
    assert fuse.tree.transpose(inner, outer, columns) == rows
    assert fuse.tree.reduce(lambda a, b: a + b, rows) == 21 and fuse.tree.reduce(max, None, initializer=7) == 7
    with pytest.raises(FuseTypeError, match="different structure"):
        fuse.tree.transpose(outer, inner, {"x": (1, [2, 3]), "y": (4, 5)})
