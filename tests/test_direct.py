"""The typed walk from source to LLVM: it serves what the emitter writes, and agrees with numba's own pipeline."""
import ast

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import load, lower, native, often, plans
from fuse.codegen.load import ArgType, compile_kernel
from fuse.codegen.scopes import in_memory


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path / "kernels"))
    forget()
    yield
    forget()


def forget():
    load._kernels.clear()
    load._stores.clear()
    plans._records.clear()
    lower.unsupported.clear()


def formulas():
    x, y = T.dvectors("x", "y")
    m, f, k = T.dmatrix("m"), T.fvector("f"), T.lvector("k")
    z, i, u = T.zvector("z"), T.lvector("i"), T.vector("u", "uint64")
    rng = np.random.default_rng(11)
    a, b, c = rng.uniform(0.1, 2.0, 37), rng.uniform(-2.0, 2.0, 37), rng.normal(size=(9, 13))
    p = T.nnet.softmax(m)
    return {
        "arithmetic": ([x, y], [x + y * 2 - x / y, T.sqr(x) - 1, abs(y), -x], (a, b)),
        "functions": ([x], [T.exp(x), T.log(x), T.tanh(x), T.sqrt(x), T.sigmoid(x), T.erf(x), T.sin(x)], (a,)),
        "rounding": ([y], [T.floor(y), T.ceil(y), T.round(y), T.trunc(y), T.sgn(y), y % 0.7, y // 0.3], (b,)),
        "choices": ([x, y], [T.switch(x > y, x, T.exp(y)), T.maximum(x, y), T.clip(y, -1, 1), T.isnan(x)], (a, b)),
        "singles": ([f], [T.exp(f) * 2, f.sum(), T.log1p(f), (f * f).mean()], (a.astype("f4"),)),
        "integers": ([k], [k * 3 // 7, k % 5, k >> 1, k & 6, k**2, k.sum(), k < 3], (np.arange(-9, 9),)),
        "unsigned": ([u, x], [T.sum(T.cast(u, "float64")), u % np.uint64(2**64 - 2), T.cast(x, "uint64")],
                     (np.arange(5, dtype="u8") * 2**62, a)),
        "narrow": ([T.bvector("n")], None, (np.arange(-100, 100, 7).astype("i1"),)),
        "complex": ([z], [z * z.conj(), z.real + z.imag, T.exp(z)], (a + 1j * b,)),
        "reductions": ([m], [m.sum(), m.sum(axis=0), m.max(axis=1), m.prod(axis=0), m.var(axis=1)], (c,)),
        "rows": ([m], [p, T.log(p), T.grad(T.log(p)[:, 0].sum(), m)], (c,)),
        "transposed": ([m], [T.exp(m) + 1], (c.T,)),
        "gathered": ([m, i], [T.exp(m[i]) * 2, m[T.arange(i.shape[0]), i]], (c, np.arange(9) - 4)),
    }


def results(name):
    inputs, outputs, values = formulas()[name]
    if outputs is None:
        outputs = [inputs[0] * 3, inputs[0] // 7, T.exp(inputs[0]), inputs[0] ^ 5]
    return fuse.function(inputs, outputs)(*values)


@pytest.mark.parametrize("name", formulas())
def test_the_walk_serves_it_and_numbas_pipeline_says_the_same(name, monkeypatch):
    ours = results(name)
    assert lower.unsupported == []
    load.clear_cache()
    forget()
    monkeypatch.setattr(lower, "_directly", lambda *args: None)
    before = load.stats()["compiles"]
    for got, want in zip(ours, results(name), strict=True):
        # the same bits but where LLVM reorders what may be reordered
        np.testing.assert_allclose(got, want, rtol=4e-16 if got.dtype.itemsize >= 8 else 3e-7, atol=0)
        assert got.dtype == want.dtype
    assert load.stats()["compiles"] > before


def test_columns_of_float32_that_threads_share_are_served_and_fill_vectors():
    m, w = T.fmatrices("m", "w")
    p = T.exp(m) / T.exp(m).sum(axis=0)
    f = fuse.function([m, w], [(p * w).sum(), p * (w - (w * p).sum(axis=0))])
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 5, 20_011)).astype("f4")
    total, slope = f(x, y)
    e = np.exp(x.astype("f8"))
    e /= e.sum(axis=0)
    np.testing.assert_allclose(total, (e * y).sum(), rtol=1e-5)
    np.testing.assert_allclose(slope, e * (y - (y * e).sum(axis=0)), rtol=2e-5, atol=1e-6)
    assert lower.unsupported == []
    text = "".join(kernel.__self__.llvm for each in f.fn.launchers for kernel in each.variants.values())
    wide = native.floats()
    assert f"<{wide} x float>" in text and f"<{wide} x double>" in text


@pytest.mark.parametrize("text, reason", [
    ("n = m = size(a, 0)\n    return n + m", "assignment"),
    ("return (1, 2)[0]", "Subscript"),
    ("b = 0\n    for i in range(3):\n        b = b + 0.5\n    return int64(b)", "type"),
    ("for i in range(0, 9, 2):\n        store(o, 0, 1.0)\n    return 0", "range"),
])
def test_what_the_walk_does_not_know_is_left_to_numba(text, reason):
    kernel = compile_kernel(f"def f(a, o):\n    {text}\n", "f", (ArgType("float64", 1), ArgType("float64", 1, True)))
    assert isinstance(kernel(np.ones(4), np.ones(4)), int)
    assert len(lower.unsupported) == 1 and reason in lower.unsupported[0]


def test_tuples():
    text = "def two(x):\n    return x + 1.0, 3\n"
    text += "def f(a, o):\n    x, n = two(load(a, 0))\n    store(o, 0, x)\n    return n\n"
    out = np.zeros(1)
    assert compile_kernel(text, "f", (ArgType("float64", 1), ArgType("float64", 1, True)))(np.ones(1), out) == 3
    assert out[0] == 2 and lower.unsupported == []


def test_divisions_by_numbers_round_down_without_branches(monkeypatch):
    divisors = (1, 2, 8, 64, 3, 10, 2**62, 2**63 - 1)
    text = "def f(a, o):\n    n = size(a, 0)\n    if 3 < 2:\n        return 9\n"
    text += "    if 6 % 3:\n        return 9\n    for i in range(3, 12 // 4):\n        return 9\n"
    text += "    for i in range(n):\n        x = load(a, i)\n"
    for k, c in enumerate(divisors):
        text += f"        store(o, {2 * k} * n + i, x // {c})\n        store(o, {2 * k + 1} * n + i, x % {c})\n"
    modules = []
    parts = lower.direct.module_texts
    monkeypatch.setattr(lower.direct, "module_texts", lambda *args: modules.append(parts(*args)) or modules[-1])
    kernel = compile_kernel(text + "    return 0\n", "f", (ArgType("int64", 1), ArgType("int64", 1, True)))
    numbers = [0, 1, -1, 2, 7, -7, 8, -8, 63, -64, 65, -65, 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1]
    out = np.zeros(2 * len(divisors) * len(numbers), "int64")
    assert kernel(np.array(numbers), out) == 0
    assert out.tolist() == [number for c in divisors for row in ([x // c for x in numbers], [x % c for x in numbers])
                            for number in row]
    [(assembly, *_)] = modules
    # nothing is put in memory that LLVM would have to take out again, and the only branches are the loop's
    assert "alloca" not in assembly and assembly.count("br i1") == 2 and lower.unsupported == []


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "complex64"])
def test_every_second_element(dtype):
    text = "def f(a, o):\n    every_second(a, 1, o, size(o, 0))\n    return 0\n"
    kernel = compile_kernel(text, "f", (ArgType(dtype, 1), ArgType(dtype, 1, True)))
    for n in (0, 1, 7, 8, 9, 16, 33, 200):
        x, out = np.arange(2 * n).astype(dtype), np.full(n, -1, dtype)
        assert kernel(x, out) == 0
        np.testing.assert_array_equal(out, x[1::2])
    m = T.matrix("m", dtype=dtype)
    f = fuse.function([m], [m[:, ::2].sum(axis=1), T.sqr(m[1:, 1::2]) * 3 + m[1:, 1::2].sum()])
    for columns in (1, 2, 31, 600, 1111):
        x = np.random.default_rng(columns).integers(-9, 9, (4, columns)).astype(dtype)
        rows, squares = f(x)
        np.testing.assert_array_equal(rows, x[:, ::2].sum(axis=1))
        np.testing.assert_array_equal(squares, x[1:, 1::2] ** 2 * 3 + x[1:, 1::2].sum())
    assert lower.unsupported == []


def meeting(text):
    definition = ast.parse(f"def f(a, n):\n{text}").body[0]
    return in_memory(definition)


def test_names_in_memory():
    loop = " for i in range(n):\n"
    assert meeting(f" x = 1\n{loop}  y = x + i\n  g(y)\n return 0") == set()
    assert meeting(f" s = 0\n{loop}  s = s + i\n return s") == {"s"}
    assert meeting(f"{loop}  v = i\n  g(v)\n{loop}  v = i + 1\n  g(v)\n return 0") == set()
    assert meeting(" x = 1\n if a:\n  x = 2\n return x") == {"x"}
    assert meeting(f" x = 1\n{loop}  g(x)\n  if i:\n   x = i\n return 0") == {"x"}
    assert meeting(f"{loop}  x = i\n  if i:\n   x = 0\n  g(x)\n return 0") == {"x"}
    assert meeting(" x = 1\n x = x + 1\n return x") == set()
    assert meeting(" while a > 0:\n  a = a - 1\n return a") == {"a"}
    assert meeting(f"{loop}  g(i)\n return i") == {"i"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["sin", "exp", "log", "tanh", "erf", "pow", "expm1", "arctan2", "lgamma"])
def test_functions_that_are_called_often_share_a_body_and_give_the_same_bits(name, dtype, monkeypatch):
    x, y = T.vector("x", dtype=dtype), T.scalar("y", dtype=dtype)
    function = {"pow": lambda a, b: a**b, "lgamma": lambda a, b: T.gammaln(a)}.get(name) or (
        lambda a, b: getattr(T, name)(*[a, b][: 2 if name == "arctan2" else 1]))
    monkeypatch.setattr(often, "OFTEN", 4)
    total = x
    for k in range(5):
        total = total + function(x * (k + 0.5), y + k)
    values = np.random.default_rng(3).uniform(0.01, 30.0, 61)
    values[[3, 40, 60]] = 1e17, np.inf, np.nan  # beyond what straight lines do, in a vector and at its end
    values = values.astype(dtype)

    def answers():
        f = fuse.function([x, y], [total, total[0] * y])
        return [f(values[:n], 1.25) for n in (1, 7, 8, 16, 61)], next(iter(f.fn.launchers))

    found, launcher = answers()
    text = next(iter(launcher.variants.values())).__self__.llvm
    assert often.PREFIX in text and lower.unsupported == []
    load.clear_cache()
    forget()
    monkeypatch.setattr(often, "OFTEN", 10**9)
    wanted, _ = answers()
    for got, want in zip(found, wanted, strict=True):
        for one, other in zip(got, want, strict=True):
            assert one.tobytes() == other.tobytes()
