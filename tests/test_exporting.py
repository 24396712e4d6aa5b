"""Functions as files that need NumPy and Numba only, and as functions of Numba: beside the functions themselves."""
from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np
import pytest
import scipy.linalg

import fuse
import fuse.tensor as T
from fuse.errors import FuseTypeError
from fuse.ifelse import ifelse
from fuse.op import OPS

RNG = np.random.default_rng(8)
M, N, V, K = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=4), np.array([3, 0, 0, 2])


def formulas():
    """(inputs, outputs, values) by name: what kernels, views and products are made of."""
    m, n, v, k, s = T.dmatrix("m"), T.dmatrix("n"), T.dvector("v"), T.lvector("k"), T.dscalar("s")
    f, b = T.fmatrix("f"), T.vector("b", dtype="int8")
    hidden = T.tanh(T.dot(m, n) + s)
    yield "elementwise", [m, v], [T.exp(-m) * v + T.log1p(abs(v)) / T.erf(m), T.sin(1e9 * m)], [M, V]
    yield "float32", [f, s], [T.nnet.sigmoid(f) * 2, T.cast(s * f, "float32")], [M.astype("f"), 2.0]
    yield "integers", [b, k], [b // 3, k % 2 + b, T.cast(k, "uint8") ** 2], [np.array([-7, 5, 3, -1], "b"), K]
    yield "rows", [m], [T.nnet.softmax(m), m.var(axis=1), m.max(axis=0), T.any(m > 1, axis=1)], [M]
    yield "sums", [m], [m.sum(), m.mean(axis=0), (m > 0).sum(axis=1), abs(m).prod(), m.min()], [M]
    yield "network", [m, n, s], [(hidden**2).sum(), *T.grad((hidden**2).sum(), [m, n, s])], [M, N, 0.5]
    yield "products", [m, n, v], [T.dot(m, v), T.dot(v, n), T.dot(v, v), T.dot(n.T, m.T)], [M, N, V]
    yield "views", [m, k], [m[1:, ::-2].T, m.reshape((2, 10))[1], m.dimshuffle(1, "x", 0), m[k[0], 1] + m[2, 3]], [M, K]
    yield "indices", [m, v, k], [v[k], m[:, k], T.grad(T.sqr(v[k]).sum(), v), T.inc_subtensor(v[k], 1.0)], [M, V, K]
    yield "stores", [m, v], [
        T.set_subtensor(m[1:3, :2], 7.0), T.inc_subtensor(m[0], v), T.inc_subtensor(T.dot(m, m.T)[1, 1:], v), m * 1,
    ], [M, V]
    yield "joins", [m, v], [T.concatenate([m, m[:2] * 2]), T.stack([v[0], v[1] ** 2, 1.0]), T.arange(m.size)], [M, V]
    yield "complex", [v], [T.sqr(v + 1j).sum(), T.exp(v * 1j)], [V]
    yield "constants", [v], [v * np.arange(4.0), T.dot(np.arange(8.0).reshape(2, 4), v), v + np.nan], [V]
    yield "special", [v], [T.gammaln(abs(v)), T.psi(abs(v) + 0.5), T.erfinv(T.tanh(v) / 2), T.polygamma(1, abs(v))], [V]
    states, _ = fuse.scan(lambda u, h: T.tanh(T.dot(h, n) + u), sequences=T.specify_shape(m, (5, None))[:, :3],
                          outputs_info=v[:3], go_backwards=True)
    square = T.specify_shape(n[:3], (3, 3))
    states = fuse.clone(states, {n: square})
    yield "loops", [m, n, v], [states, *T.grad((states**2).sum(), [n, v])], [M, N, V]
    doubled, _ = fuse.scan(lambda x, end: (x * 2, fuse.scan_module.until(x > end)), outputs_info=s, non_sequences=v[0],
                           n_steps=40_000)
    yield "loops that end", [s, v], [doubled, fuse.while_loop(lambda z: z < 9, lambda z: z * z, s)], [1.5, V + 99]


FORMULAS = {name: rest for name, *rest in formulas()}


def linear():
    """What is called rather than computed in kernels: linear algebra, orders, choices."""
    m, n, v, s, p = T.dmatrix("m"), T.tensor3("n", dtype="float64"), T.dvector("v"), T.dscalar("s"), T.dmatrix("p")
    k = T.lmatrix("k")
    nan = np.array([1.0, np.nan, 0.5, 3.0, 1.0])
    stack, square, definite = RNG.normal(size=(3, 4, 4)), RNG.normal(size=(4, 4)), M[:4] @ M[:4].T + np.eye(4)
    whole = RNG.integers(-3, 3, size=(5, 7))
    choice = ifelse(s > 0, ifelse(s > 1, v[1:], T.sqr(v)), T.exp(v) * s)
    yield "systems", [m, v, p], [
        T.slinalg.solve(m, v), T.slinalg.cholesky(p, lower=False), T.slinalg.solve_triangular(p, v, lower=True),
        T.slinalg.solve_triangular(p, p, lower=False, unit_diagonal=True), T.nlinalg.det(m),
    ], [square, V, definite]
    yield "spectra", [p, n], [
        *T.nlinalg.eigh(p, "U"), T.nlinalg.eigh(n + n.transpose(0, 2, 1))[0], T.nlinalg.svd(n, compute_uv=False),
        *T.nlinalg.svd(p[:3], full_matrices=False), *T.nlinalg.qr(p[:3]), T.nlinalg.pinv(p[:2]), T.slinalg.expm(n),
    ], [definite, stack]
    yield "orders", [v, n, k], [
        T.sort(v), T.argsort(n, 1), T.sort(k, 0), T.cumsum(k, 0), T.cumprod(n, 1), T.argmax(v), T.argmin(n, 1),
        T.argmax(k), *T.nonzero(k), v[v > 0], T.unique(v), T.searchsorted(T.sort(v), v),
        T.grad(T.cumprod(n, 1).sum(), n),
    ], [nan, stack, whole]
    yield "choices", [s, v], [choice, *T.grad(ifelse(s > 0, T.exp(v).sum(), (v * s).sum()), [v, s])], [1.5, V]
    yield "other choices", [s, v, m], [choice, ifelse(T.lt(s, 0), m.sum(), v[0])], [-1.5, V, M]


LINEAR = {name: rest for name, *rest in linear()}


def images():
    """What files call NumPy for, and compiled code does not have."""
    x, w, g, k = T.dtensor4("x"), T.dtensor4("w"), T.dtensor4("g"), T.lvector("k")
    out = T.nnet.conv2d(x, w, subsample=(2, 1), border_mode=(1, 2), filter_dilation=(1, 2))
    yield "images", [x, w, g, k], [
        out, *T.grad((out**2).sum(), [x, w]), T.nnet.conv2d(x, g, num_groups=3),
        *T.grad((T.nnet.conv2d(x, g, num_groups=3, border_mode="half") ** 2).sum(), [x, g]),
        *T.unique(k, return_index=True, return_inverse=True, return_counts=True),
    ], [RNG.normal(size=(2, 3, 7, 8)), RNG.normal(size=(5, 3, 2, 3)), RNG.normal(size=(6, 1, 3, 3)), K]


EXPORTED = FORMULAS | LINEAR | {name: rest for name, *rest in images()}


def close(have, want):
    have = np.asarray(have)
    assert have.dtype == want.dtype and have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=1e-13 if want.dtype.char in "dD" else 1e-6, atol=1e-15)


def near(have, want):
    """Of linear algebra: the same to what its conditions leave."""
    have = np.asarray(have)
    assert have.dtype == want.dtype and have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-11)


def small_loop():
    m, v = T.dmatrix("m"), T.dvector("v")
    states, _ = fuse.scan(lambda u, h: T.tanh(h * u) + m[0, 0], sequences=m[:, 0], outputs_info=v)
    return [m, v], [states, states[-1].sum()], [M, V]


def arrays():
    """Stores, joins and constants: Numba compiles what they have in common once."""
    (m, v), stores, values = FORMULAS["stores"]
    joined = fuse.clone(FORMULAS["joins"][1], replace=dict(zip(FORMULAS["joins"][0], (m, v), strict=True)))
    constants = fuse.clone(FORMULAS["constants"][1], replace={FORMULAS["constants"][0][0]: v})
    return [m, v], [*stores, *joined, *constants], values


BARE = {"arrays": arrays(), "a loop": small_loop(), "choices": LINEAR["choices"]}  # files hold the other functions, too


@pytest.mark.parametrize("name", BARE)
def test_the_bare_function_computes_the_same_in_compiled_code(name):
    inputs, outputs, values = BARE[name]
    f = fuse.function(inputs, outputs)
    bare = f.njit
    @numba.njit
    def caller(values):
        return bare(*values)

    for have, want in zip(caller(tuple(values)), f(*values), strict=True):
        (near if name in LINEAR else close)(have, want)


def test_files_compute_the_same_in_a_process_without_fuse(tmp_path):
    """All at once: one process compiles them."""
    wanted, calls = {}, []
    for name, (inputs, outputs, values) in EXPORTED.items():
        f = fuse.function(inputs, outputs)
        text = f.export_source(tmp_path / f"exported_{name}.py")
        assert (tmp_path / f"exported_{name}.py").read_text(encoding="utf-8") == text and "fuse." not in text
        np.savez(tmp_path / f"{name}.npz", *values)
        wanted[name] = f(*values)
        calls.append(name)
    w, rate = fuse.shared(np.ones((1, 3)), name="w"), T.dscalar("rate")
    f = fuse.function([fuse.In(rate, value=0.5)], {"loss": (w**2).sum(), "w": w}, updates={w: w * rate})
    f.export_source(tmp_path / "stateful.py")
    (tmp_path / "run.py").write_text(f"""
import sys
sys.modules["fuse"] = None
import importlib
import numpy as np
for name in {calls!r}:
    module = importlib.import_module("exported_" + name)
    with np.load(name + ".npz") as given:
        found = module.function(*[given[k] for k in given.files])
    np.savez(name + "_out.npz", *found)
import stateful
first, second = stateful.function(), stateful.function(rate=2.0)
assert first["loss"] == 3.0 and second["loss"] == 0.75 and list(second) == ["loss", "w"], second
assert stateful.shared["w"].tolist() == [[1.0] * 3]
stateful.shared["w"] = np.arange(6, dtype="i4").reshape(3, 2).T
assert stateful.function()["w"].tolist() == [[0, 2, 4], [1, 3, 5]]
assert stateful.shared["w"].tolist() == [[0, 1, 2], [0.5, 1.5, 2.5]]
for wrong in [(), (1, 2)], [("text",), {{}}], [(np.ones(2),), {{}}], [(), {{"speed": 1}}]:
    try:
        stateful.function(*wrong[0], **(wrong[1] if isinstance(wrong[1], dict) else {{"rate": wrong[1]}}))
    except (TypeError, ValueError):
        continue
    assert wrong == ((), (1, 2)) or False, wrong
""")
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={"PATH": "", "SYSTEMROOT": "", "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    for name, want in wanted.items():
        with np.load(tmp_path / f"{name}_out.npz") as found:
            for k, array in enumerate(want):
                (close if name in FORMULAS else near)(found[f"arr_{k}"], array)


def test_what_compiled_code_calls():
    """The functions themselves, as Python: Numba takes seconds for each."""
    from fuse.codegen import alone_support as a

    x = RNG.normal(size=(3, 4, 4)) + 1j * RNG.normal(size=(3, 4, 4))
    p, real = x @ x.conj().swapaxes(1, 2) + np.eye(4), x.real.copy()
    rows = np.array([[2.0, np.nan, -0.0, 0.0, 2.0], [1.0, 3.0, 3.0, -1.0, np.nan]])
    upper = np.linalg.cholesky(p.swapaxes(1, 2).conj()).swapaxes(1, 2).conj()
    solved = a.triangular_solution(upper[0], x[0], False, False)
    pairs = [
        (a.inverses(x), np.linalg.inv(x)), (a.determinants(x), np.linalg.det(x)), (upper[0] @ solved, x[0]),
        *zip(a.log_determinants(x, np.float64), np.linalg.slogdet(x), strict=True),
        (a.lower_factors(p, True), np.linalg.cholesky(p)), (a.lower_factors(p, False), upper),
        (a.factors_or_nan(-p, True), np.full_like(p, np.nan)),
        *zip(a.eigensystems(p, True, np.float64), np.linalg.eigh(p), strict=True),
        (a.eigenvalues(p, False, np.float64), np.linalg.eigvalsh(p, "U")),
        *zip(a.singular_systems(x[:, :3], False, np.float64), np.linalg.svd(x[:, :3], False), strict=True),
        (a.singular_values(x[:, :3], np.float64), np.linalg.svd(x[:, :3], compute_uv=False)),
        *zip(a.orthogonal_factors(real[:, :3]), np.linalg.qr(real[:, :3]), strict=True),
        (a.pseudo_inverses(real[:, :3], 1e-12), np.linalg.pinv(real[:, :3])),
        (a.exponentials(5 * x, np.complex128), scipy.linalg.expm(5 * x)), (a.products(x, p), x @ p),
        (a.ordered_rows(rows), np.argsort(rows, kind="stable")), (a.sorted_rows(rows), np.sort(rows)),
        (a.running_sums(rows), np.cumsum(rows, 1)), (a.running_products(rows), np.cumprod(rows, 1)),
        *[(a.recurrences(rows, x, way), OPS["recurrence"].numpy(rows, x, 1, way)) for x in [-rows] for way in (0, 1)],
        (a.extreme_places(rows, True), rows.argmax(1)), (a.extreme_places(rows[:, 2:4], False), rows[:, 2:4].argmin(1)),
        (a.distinct(rows[:1]), np.unique(rows[0])),
    ]
    for have, want in pairs:
        near(have, want)
    singular = 0 * p[0]
    for wrong in (lambda: a.extreme_places(rows[:, :0], True), lambda: a.triangular_solution(singular, x[0], 1, 0)):
        with pytest.raises(ValueError, match=r"nothing to take|0 on the diagonal"):
            wrong()


def test_arguments_of_compiled_code_are_checked():
    x, s = T.fvector("x"), T.iscalar("s")
    g = fuse.function([x, s], x * s).njit
    close(g(np.ones(6, "f")[::2], 3), np.full(3, 3.0))  # an int32 times a float32 is float64
    with pytest.raises(ValueError, match="does not fit into the dtype"):
        g(np.ones(3, "f"), 2**40)
    for values in ((np.ones(3), 1), (np.ones((1, 1), "f"), 1), (np.ones(3, "f"), 1.5), (1.0, 1)):
        with pytest.raises(numba.core.errors.TypingError):
            g(*values)
    two = fuse.function([x, T.fvector("y")], x + 1, on_unused_input="ignore").njit
    close(two(np.ones(2, "f"), np.ones(3, "f")), np.full(2, 2, "f"))
    y = T.fvector("y")
    with pytest.raises(ValueError, match="sizes do not fit"):
        fuse.function([x, y], x + y).njit(np.ones(2, "f"), np.ones(3, "f"))
    v, k = T.dvector("v"), T.lvector("k")
    with pytest.raises(ValueError, match="indices"):
        fuse.function([v, k], v[k]).njit(np.ones(2), np.array([2]))
    n = T.lscalar("n")
    with pytest.raises((IndexError, ValueError)):
        fuse.function([v, n], v[n] * 2).njit(np.ones(2), 5)


def test_the_prelude_has_what_scalar_functions_use():
    """Only what the loader knows of layouts, threads, streams, tapes, turned tiles and BLAS is not in it.

    Nor is what tells whether the processor has multiply-add, with which the loader's sums take products in.
    """
    from fuse.codegen import bare, intrinsics

    assert set(intrinsics.namespace()) - bare.NAMES == {
        "address", "aligned", "ask", "copied", "drain", "every_second", "gemm", "gemv", "get", "half", "heap", "intp",
        "lent", "misaligned", "missing", "put", "radd_product", "reach", "refused", "release", "reorder", "run",
        "scratch", "shared", "stream", "tell", "turn", "uintp", "wanted",
    }


def test_functions_of_scipy_run_inside_numbas_code():
    v, x = T.dvectors("v", "x")
    f = fuse.function([v, x], T.jv(v, x) + T.kve(v, x))
    values = np.array([0, 1, 2.5]), np.array([0.5, 3, 1e12])
    close(f.njit(*values), f(*values))


def test_sizes_of_1_between_dimensions_that_become_one_loop():
    x = T.TensorType("float64", (None, 1, None))("x")
    f = fuse.function([x], [T.sqrt(x).sum(), x.sum(axis=(0, 2))])
    value = RNG.random((4, 1, 17))
    for have, want in zip(f.njit(value), f(value), strict=True):
        close(have, want)


def test_shared_variables_are_arguments_of_the_bare_function():
    x, w = T.dvector("x"), fuse.shared(np.array([1.0, 2.0]), name="w")
    g = fuse.function([x], (x * w).sum()).njit
    assert g(np.array([3.0, 4.0]), w.get_value()) == 11.0


def test_results_never_share_memory_with_arguments():
    x = T.dvector("x")
    g = fuse.function([x], [x, x[1:], x]).njit
    given = np.arange(3.0)
    a, b, c = g(given)
    assert not any(np.shares_memory(p, q) for p, q in ((a, given), (b, given), (a, c), (b, a)))


def test_what_cannot_stand_alone_says_so():
    x = T.dvector("x")
    w = fuse.shared(1.0)

    @fuse.as_op(itypes=[T.dvector], otypes=[T.dvector])
    def mine(x):
        return x

    with pytest.raises(FuseTypeError, match=r"unique, used at .*test_exporting.*no form that runs inside Numba's code"):
        fuse.function([x], T.unique(x, return_counts=True)).njit
    with pytest.raises(FuseTypeError, match=r"j0 of scipy.special.*no form that runs in a file of its own"):
        fuse.function([x], T.j0(x)).export_source()
    with pytest.raises(FuseTypeError, match=r"mine.*no form that runs in a file of its own"):
        fuse.function([x], mine(x)).export_source()
    with pytest.raises(FuseTypeError, match="cannot update shared variables"):
        fuse.function([], w, updates={w: w + 1}).njit
    with pytest.raises(FuseTypeError, match="inputs with an update"):
        fuse.function([fuse.In(T.dscalar("s"), value=1.0, update=w + 1)], w).export_source()
    h = T.vector("h", dtype="float16")
    with pytest.raises(FuseTypeError, match="float16"):
        fuse.function([h], h + h).export_source()


def test_ops_of_the_user_s_own_are_written_out():
    @fuse.elementwise(grad=None)
    def bump(x):
        y = x * x
        return 1.0 / (1.0 + y) if y < 4.0 else 0.0

    x = T.dvector("x")
    f = fuse.function([x], bump(x))
    scope: dict = {"__name__": "exported"}
    exec(compile(f.export_source(), "exported.py", "exec"), scope)
    close(scope["function"]([0.0, 1.0, 3.0]), f([0.0, 1.0, 3.0]))


def test_half_floats_within_a_formula_cannot_stand_alone():
    v = T.dvector("v")
    with pytest.raises(FuseTypeError, match="float16 vector cannot stand alone"):
        fuse.function([v], T.cast(T.cast(v, "float16"), "float64") * 2).export_source()
