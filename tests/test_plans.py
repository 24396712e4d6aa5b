"""Stored plans: a second process neither plans nor compiles, gives the same bits, and says so in `stats`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import load, plan_data, plans
from fuse.frontend.decompositions import cholesky, slogdet

# name -> (lines that make the outputs, the rest of function's arguments, the arguments of its calls)
PROGRAMS = {
    "scalars": ("x, y = T.dscalars('x', 'y')", "[x, y], x + y", "1.5, 2.0"),
    "arrays": ("x = T.matrix()", "[x], T.exp(x).sum(axis=0) / 3", "A,"),
    "gradient": ("x = T.vector()", "[x], T.grad(T.tanh(x).prod(), x)", "A[0],"),
    "products": ("x = T.matrix(); y = T.dot(x, x.T)", "[x], [y, T.tanh(y)]", "A,"),
    "folded": ("x = T.vector(); c = T.constant([1.0, 2, 3, 4]) + 1", "[x], T.sort(x * c)", "A[0],"),
    "shared": ("w = fuse.shared(A)", "[], T.exp(w), updates=[(w, w * 2)]", ""),
    "one cell": ("w = fuse.shared(A); v = w.clone()", "[], w + v, updates=[(w, w * v)]", ""),
    "state": ("x = T.vector()", "[fuse.In(x, value=A[0], update=x + 1)], x * 2", ""),
    "givens": ("x = T.vector(); w = fuse.shared(A[0])", "[], (x**2).sum(), givens={x: w}", ""),
    "random": ("s = T.shared_randomstreams.RandomStreams(5)", "[], s.normal((3, 2))", ""),
    "picked": (
        "x, y = T.matrix(), T.lvector(); p = T.log(T.nnet.softmax(x))",
        "[x, y], p[T.arange(y.shape[0]), y].mean()", "A, [0, 3, 1]",
    ),
    "written": ("x = T.vector()", "[x], T.set_subtensor(x[1:3], 7.0)", "A[0],"),
    "sliced": ("x, n = T.matrix(), T.lscalar()", "[x, n], x[n:, ::-1]", "A, 1"),
    "inverse": ("x = T.matrix()", "[x], T.nlinalg.matrix_inverse(x[:3, :3])", "A,"),
    "dict": ("x = T.vector()", "[x], {'a': x + 1, 'b': x.max()}", "A[0],"),
    "transposed": ("x = T.matrix()", "[x], T.exp(x)", "A.T,"),
    "no kernels": ("x = T.matrix()", "[x], x.T", "A,"),
    "broadcast": ("x, y = T.matrices('xy')", "[x, y], x * y", "A, A[:1]"),
    "narrow": ("x, w = T.matrix(), T.vector()", "[x, w], T.tanh(x + w) * x.var(0)", "np.tile(A, (2000, 1)), A[0]"),
    "long": (
        "x = y = T.vector()\nfor k in range(150): y = T.sin(y) * (1 + k / 64) + T.exp(-y * y)",
        "[x], [y, T.grad(y.sum(), x)]", "A[0],",
    ),
    "loop": (
        "x = T.vector(); y, _ = fuse.scan(lambda a, b: a * T.tanh(b) + 1, x, T.constant(1.0))",
        "[x], [y, T.grad(y.sum(), x)]", "A[0],",
    ),
    "step": (
        "x = T.matrix(); w = fuse.shared(np.eye(4))", "[x], w.sum(), updates=[(w, w - 0.1 * T.dot(x.T, x))]", "A,",
    ),
    "own op": ("x = T.vector(); twice = fuse.as_op([T.dvector], [T.dvector])(double)", "[x], twice(x) + 1", "A[0],"),
}
UNSTORED = {"own op"}

SCRIPT = """
import sys, json
import numpy as np
import fuse, fuse.tensor as T
import fuse.tensor.shared_randomstreams, fuse.tensor.nlinalg
A = np.random.default_rng(3).normal(size=(3, 4)) + 2.0
def double(a):
    return a * 2
def flat(r):
    return [np.asarray(a) for a in (r.values() if isinstance(r, dict) else r if isinstance(r, list) else [r])]
found, functions = {}, {}
for name, (setting, made, args) in json.load(sys.stdin).items():
    scope = {"np": np, "fuse": fuse, "T": T, "A": A, "double": double}
    before = sys.modules["fuse.codegen.load"].stats() if "fuse.codegen.load" in sys.modules else {}
    exec(setting, scope)
    functions[name] = f = eval(f"fuse.function({made})", scope)
    results = [a for _ in range(3) for a in flat(f(*eval(f"({args})", scope)))]
    from fuse.codegen.load import stats
    counts = {k: v - before.get(k, 0) for k, v in stats().items()}
    counts["numba"] = "numba" in sys.modules
    planners = ["fuse.codegen." + m for m in ("kernel", "planning", "region", "loop_plan")]
    counts["planning"] = [m for m in planners if m in sys.modules]
    found[name] = [[a.tobytes().hex() for a in results], counts]
for name, f in functions.items():
    f.explain()
    found[name].append(f.source)
print(json.dumps(found))
"""


def run(names, directory):
    """What a process of its own says of programs, one after the other: results, counts, source."""
    environment = {**os.environ, "FUSE_CACHE_DIR": str(directory)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, text=True, capture_output=True, check=False,
                          input=json.dumps({name: PROGRAMS[name] for name in names}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


STORED = [name for name in PROGRAMS if name not in UNSTORED]


def test_a_second_process_neither_plans_nor_compiles(tmp_path):
    names = [*STORED, *UNSTORED]  # those that plan in any process are last: what they import stays
    directory = tmp_path / "cache"
    colds, warms = run(names, directory), run(names, directory)
    for name in names:
        cold, first, source = colds[name]
        warm, second, again = warms[name]
        assert warm == cold, name
        assert first["planned"] >= 1 and first["plan_hits"] == 0, name
        if name not in UNSTORED:
            assert second["planned"] == 0 and second["compiles"] == 0 and not second["numba"], name
            assert not second["planning"], name  # nor are the modules imported that would
            assert second["plan_hits"] == first["planned"], name
            assert again == source, name
        else:
            assert second["planned"] >= 1 and second["plan_hits"] == 0, name


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path / "plans"))
    forget()
    return tmp_path / "plans"


def forget():
    """As a fresh process: nothing in memory."""
    load._kernels.clear()
    load._stores.clear()
    plans._records.clear()


def planned(make):
    """(what ``make`` gives, how many plans were made for it)."""
    before = load.stats()["planned"]
    return make(), load.stats()["planned"] - before


def made(k=1.0, size=None):
    x = fuse.TensorType("float64", (size, None))("x")
    return fuse.function([x], T.exp(x * k).sum(axis=1))


def test_functions_of_one_structure_share_a_plan():
    f = made()
    value = np.arange(6.0).reshape(2, 3)
    want = f(value)
    for again in (made, f.copy, lambda: __import__("pickle").loads(__import__("pickle").dumps(f))):
        g, count = planned(again)
        assert count == 0 and np.array_equal(g(value), want)
    for other in (lambda: made(2.0), lambda: made(1), lambda: made(size=2)):
        assert planned(other)[1] == 1


def test_flags_and_modes_are_part_of_the_structure():
    made()(np.ones((2, 3)))
    with fuse.config.change_flags(floatX="float32"):
        assert planned(made)[1] == 1
    x = T.matrix()
    for mode in ("strict", "fast"):
        assert planned(lambda mode=mode: fuse.function([x], T.exp(x).sum(axis=1), mode=mode))[1] == 1


def test_values_of_shared_variables_are_no_part_of_it():
    def make(value):
        w = fuse.shared(value, name="w")
        return w, fuse.function([], T.tanh(w), updates=[(w, w + 1)])
    w, f = make(np.arange(3.0))
    np.testing.assert_allclose(f(), np.tanh(np.arange(3.0)), rtol=1e-14, atol=0)
    (v, g), count = planned(lambda: make(np.arange(4.0) * 2))
    assert count == 0
    np.testing.assert_allclose(g(), np.tanh(np.arange(4.0) * 2), rtol=1e-14)
    assert list(v.get_value()) == [1, 3, 5, 7] and w.get_value().shape == (3,)


def test_another_layout_of_a_stored_plan_is_planned_and_then_stored():
    value = np.arange(6.0).reshape(2, 3)
    want = made()(value)
    forget()
    f, count = planned(made)
    assert count == 0
    got, count = planned(lambda: f(np.asfortranarray(value)))
    assert count == 1 and np.array_equal(got, want)
    forget()
    f, _ = planned(made)
    got, count = planned(lambda: [f(np.asfortranarray(value)), f(value)])
    assert count == 0 and np.array_equal(got[0], want) and np.array_equal(got[1], want)


def test_a_structure_planned_in_two_ways_still_computes():
    x, y = T.matrix(), T.matrix()
    def make():
        return fuse.function([x, y], [T.exp(x) + y, (x * y).sum(axis=0)])
    a, b = np.arange(12.0).reshape(3, 4), np.ones((3, 4))
    want = make()(a, b)
    forget()
    f = make()
    for runner in f.fn.launchers:
        runner.text = "another wrapper"
    for u, v in ((np.asfortranarray(a), b), (a[::-1, ::-1][::-1, ::-1], np.asfortranarray(b)), (a.T.copy().T, b)):
        for got, wanted in zip(f(u, v), want, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_plan_whose_kernel_is_gone_is_made_again(directory):
    value = np.ones((2, 3))
    want = made()(value)
    key = plans.Origin(made().fn).key
    for file in directory.glob("*.bin"):
        if key not in file.name:
            file.unlink()
    forget()
    f, count = planned(made)
    assert count == 1 and np.array_equal(f(value), want)


@pytest.mark.parametrize("damage", ["kernels", "scope", "text", "shared"])
def test_a_plan_that_makes_no_sense_is_made_again(damage):
    value = np.ones((2, 3))
    want = made()(value)
    key = plans.Origin(made().fn).key
    header, code = load.store().load(key)
    del header["plan"][damage]
    load.store().save(key, header, code)
    forget()
    f, count = planned(made)
    assert count == 1 and np.array_equal(f(value), want)


def test_errors_tell_the_line_of_the_running_program(directory):
    def make():
        x = T.matrix("x")
        y = T.nlinalg.matrix_inverse(x) + 1  # the line
        return fuse.function([x], y)
    make()(np.eye(2))
    forget()
    f, count = planned(make)
    assert count == 0
    with pytest.raises(fuse.FuseError, match="# the line"):
        f(np.zeros((2, 2)))


def test_everything_in_a_scope_can_be_stored():
    """Every built-in kind of step: a new one has to say in ``made_by`` what made it."""
    x, y, n = T.dmatrix(), T.lvector(), T.lscalar()
    steps = [
        T.dot(x, x.T), T.sort(x), x[y], x[n:], T.set_subtensor(x[0], 1.0), T.inc_subtensor(x[y], 1.0),
        T.concatenate([x, x]), T.cumsum(x), x.T.flatten(), T.max(x, axis=0), T.argmax(x, axis=1), x.reshape((n, -1)),
        T.tile(x, (2, 1)), T.extra_ops.repeat(x, 2), T.alloc(x[0, 0], n), x.nonzero()[0], cholesky(x), slogdet(x)[1],
    ]
    for step in steps:
        program = fuse.function([x, y, n], step, on_unused_input="ignore").fn
        assert hasattr(plans.Origin(program), "order")
        describe = plan_data.Describer(program, plans.Origin(program).order)
        for name, value in program.planned.scope.items():
            if name != "__builtins__" and not name.startswith(("kernel", "launch", "serve", "program")):
                json.dumps(describe(value))


def test_files_in_an_archive_are_told_by_the_archive(monkeypatch, tmp_path):
    archive = tmp_path / "packages.zip"
    monkeypatch.setattr(plans, "__file__", str(archive / "fuse/codegen/plans.py"))
    told = set()
    for text in ("one", "three"):
        archive.write_text(text)
        told.add(plans._environment.__wrapped__())
    assert len(told) == 2


def test_plans_of_many_kernels_are_stored_now_and_then(monkeypatch):
    """Each kernel stored the whole plan anew: the first call took a time that grew as the square of the updates."""
    count = 3 * plans.MANY

    def many():
        cells = [fuse.shared(np.full(3, float(k))) for k in range(count)]
        x = T.dscalar("x")
        return fuse.function([x], updates=[(s, s + x) for s in cells]), cells

    stored = []
    save = plans.Origin.save
    monkeypatch.setattr(plans.Origin, "save", lambda self: (stored.append(self.kernels), save(self)))
    f, _ = many()
    f(1.0)
    assert stored[-1] == count and plans.MANY < len(stored) < plans.MANY + 12
    forget()
    (f, cells), plannings = planned(many)
    f(1.0)
    assert plannings == 0 and stored[-1] == count and len(stored) == stored.index(count) + 1
    assert all(np.array_equal(s.get_value(), np.full(3, k + 1.0)) for k, s in enumerate(cells))
