"""Threads: the same bits for any number of them, from any Python thread, after fork, and no error lost."""
from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from forcing import much_work
from random_programs import make_program

import fuse
import fuse.tensor as T
from fuse.codegen import emit_streams, pool, threads, tiles
from fuse.codegen.kernel import Loop
from fuse.codegen.program import compile_program
from fuse.codegen.wellformed import check
from fuse.config import config
from fuse.errors import FuseError

COUNTS = (1, 2, 3, 8)
RNG = np.random.default_rng(11)
LONG = 300_007


@pytest.fixture(autouse=True)
def any_number_of_threads():
    with config.change_flags(threads=4):
        threads.prepare()
        yield


@pytest.fixture(params=["ordinary", "streaming"])
def everything_is_much(request, monkeypatch):
    """Thresholds so low that the smallest arrays are shared: every path is met with sizes that are quick to check."""
    if request.param == "streaming":
        monkeypatch.setattr(emit_streams, "cache_bytes", lambda: 1)
        monkeypatch.setattr(emit_streams, "ROW", 1)
    thresholds = {
        "BLOCK_WORK": 1 << 6, "UNIT": 1, "FEW_ROWS": 8, "MANY_LANES": 50, "ROWS": 2, "TILE_BYTES": 1, "TILE_ROWS": 3,
        "LANE_UNIT": 16, "WIDE_LANE_UNIT": 16,
    }
    with much_work(monkeypatch, 4, **thresholds):
        yield


def bits(values):
    return [(np.asarray(v).dtype, np.asarray(v).shape, np.asarray(v).tobytes()) for v in values]


def same_bits(f, *args, counts=COUNTS):
    """The results of ``f``, which do not depend on the number of threads."""
    found = {}
    for count in counts:
        fuse.set_num_threads(count)
        found[count] = bits(f(*args))
        for _ in range(3):
            assert bits(f(*args)) == found[count]
    assert all(b == found[counts[0]] for b in found.values())
    return f(*args)


def programs():
    """Every kind of loop: (inputs, outputs, NumPy's answer where it is short)."""
    x, b, v, w, i = T.dmatrix("x"), T.dvector("b"), T.dvector("v"), T.fvector("w"), T.lvector("i")
    soft = T.nnet.softmax(x + b)
    mean = x.mean(axis=1, keepdims=True)
    norm = (x - mean) / T.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
    return {
        "elementwise": ([v], [T.exp(-v) * 2 + v], lambda v: [np.exp(-v) * 2 + v]),
        "float32": ([w], [T.tanh(w) + 1, w.sum()], lambda w: [np.tanh(w) + 1, np.sum(w, dtype="f8")]),
        "sums": ([v], [v.sum(), (v * v).mean(), v.var()], lambda v: [v.sum(), (v * v).mean(), v.var()]),
        "extremes": ([v], [v.max(), v.min(), T.argmax(v)], lambda v: [v.max(), v.min(), v.argmax()]),
        "logic": ([v], [(v > 0.5).any(), (v < 2).all(), (v > 0.3).sum()],
                  lambda v: [(v > 0.5).any(), (v < 2).all(), (v > 0.3).sum()]),
        "product": ([v], [(v * 1e-4 + 1).prod()], lambda v: [(v * 1e-4 + 1).prod()]),
        "integers": ([i], [i.sum(), (i % 7).max(), i * 3], lambda i: [i.sum(), (i % 7).max(), i * 3]),
        "rows": ([x], [(x * x).sum(axis=1), x.max(axis=1)], lambda x: [(x * x).sum(1), x.max(1)]),
        "columns": ([x], [(x * x).sum(axis=0), x.max(axis=0)], lambda x: [(x * x).sum(0), x.max(0)]),
        "tall": ([x], [T.exp(x).sum(axis=0), x.var(axis=0), x.min(axis=0) + x.prod(axis=0)], None),
        "bias": ([x, b], T.grad(T.log(1 + T.exp(x * 2 + b)).sum(axis=1).max(), [x, b]), None),
        "whole and rows": ([x], [x.max(), x.sum(axis=1)], lambda x: [x.max(), x.sum(1)]),
        "broadcast": ([x, b], [x * b + 1, x.T * 2], lambda x, b: [x * b + 1, x.T * 2]),
        "softmax": ([x, b], [soft], None),
        "gradient of softmax": ([x, b], T.grad((soft**3).sum(), [x, b]), None),
        "layer norm": ([x], [norm, T.grad((norm**3).sum(), x)], None),
        "column softmax": ([x], [T.nnet.softmax(x.T), x.var(axis=0)], None),
        "column gradients": ([x, b], columns_with_gradients(x, b), None),
        "gather": ([v, i], [v[i] * 2, v[i].sum()], lambda v, i: [v[i] * 2, v[i].sum()]),
        "weighted rows": ([x, b], [T.exp(-(x * b).sum(axis=1)), (x * T.exp(-(x * b).sum(axis=1))[:, None]).sum(axis=0)],
                          lambda x, b: [np.exp(-x @ b), np.exp(-x @ b) @ x]),
        "standardised": ([v], [(v - v.mean()) / v.std()], lambda v: [(v - v.mean()) / v.std()]),
    }


def columns_with_gradients(x, b):
    """Costs over everything beside statistics of columns: one number from all lanes and rows."""
    weight = T.cos(x * 7)
    soft, scaled = T.nnet.softmax(x, axis=0), (x - x.mean(axis=0)) / T.sqrt(x.var(axis=0) + 1e-6) * b
    cost, spread = (soft * weight).sum(), (scaled * weight).sum()
    return [cost, T.grad(cost, x), spread, *T.grad(spread, [x, b])]


def values_for(inputs, shape):
    n, m = shape
    out = []
    for variable in inputs:
        size = (n, m) if variable.ndim == 2 else (m,) if variable.name == "b" else (n * m,)
        if variable.dtype == "int64":
            out.append(RNG.integers(0, max(n * m, 1), size))
        else:
            out.append(RNG.random(size).astype(variable.dtype))
    return out


def close_to(numpy, args, got):
    """Where there is a formula in NumPy, the results are near those of it."""
    for a, want in zip(got, numpy(*args), strict=True) if numpy is not None else ():
        np.testing.assert_allclose(a, want, rtol=2e-6 if a.dtype == np.float32 else 1e-10, atol=1e-9)


@pytest.mark.parametrize("name", list(programs()))
def test_same_bits_for_any_number_of_threads(name):
    inputs, outputs, numpy = programs()[name]
    f = fuse.function(inputs, outputs)
    for shape in ((3, 2), (7, 73), (511, 211), (3, LONG // 3), (LONG // 3, 3)):
        args = values_for(inputs, shape)
        got = same_bits(f, *args)
        close_to(numpy, args, got)
    assert ", part):" in f.source


# Programs with results as large as what they read: others have nothing to stream.
STREAMED = ("elementwise", "float32", "integers", "broadcast", "softmax", "gradient of softmax", "layer norm",
            "column softmax", "gather", "standardised")


@pytest.mark.parametrize(("everything_is_much", "name"), [
    *[("ordinary", name) for name in programs()], *[("streaming", name) for name in STREAMED],
], indirect=["everything_is_much"])
def test_same_bits_in_small_pieces(name, everything_is_much):
    inputs, outputs, numpy = programs()[name]
    program = compile_program(inputs, outputs)
    for shape in ((3, 2), (2, 5), (5, 2), (9, 64), (33, 40), (700, 3)):
        args = values_for(inputs, shape)
        got = same_bits(program, *args)
        close_to(numpy, args, got)


@pytest.mark.parametrize("name", ["elementwise", "sums", "rows", "columns", "gradient of softmax"])
def test_empty_arrays(name, everything_is_much):
    inputs, outputs, _ = programs()[name]
    outputs = [o for o in outputs if o.owner is None or o.op.name not in ("max", "min")]
    f = fuse.function(inputs, outputs)
    for shape in ((0, 4), (4, 0), (0, 0)):
        try:
            same_bits(f, *values_for(inputs, shape))
        except (FuseError, ValueError):
            assert 0 in shape  # a maximum over nothing


@pytest.mark.parametrize(("everything_is_much", "seed"), [
    *[("ordinary", seed) for seed in range(8)], *[("streaming", seed) for seed in range(0, 8, 3)],
], indirect=["everything_is_much"])
def test_random_programs_in_small_pieces(seed, everything_is_much):
    case = make_program(seed)
    if case.updates:
        case.updates.clear()  # the second call would see other values
    try:
        f = fuse.function(case.inputs, case.outputs, givens=case.givens, on_unused_input="ignore")
        want = f(*case.values)
    except (FuseError, ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
        return  # what it says is for tests of errors
    plain = [np.asarray(a) for a in want]
    for a, b in zip(same_bits(f, *case.values), plain, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


def test_nan_passes_the_largest_of_many_blocks():
    v = T.dvector("v")
    f = fuse.function([v], [v.max(), v.min(), v.sum(), (v > 2).any()])
    a = RNG.random(LONG)
    a[LONG // 2] = np.nan
    assert np.isnan(same_bits(f, a)[:3]).all()
    a[LONG // 2], a[5] = np.inf, -np.inf
    top, bottom, total, found = same_bits(f, a)
    assert (top, bottom, found) == (np.inf, -np.inf, True) and np.isnan(total)


def test_sums_stay_exact_across_blocks():
    v = T.dvector("v")
    f = fuse.function([v], v.sum())
    a = np.tile([1e16, 1.0, -1e16, 1.0], LONG // 4)
    a = np.concatenate([a[0::4], a[1::4], a[2::4], a[3::4]])
    assert abs(float(same_bits(lambda a: [f(a)], a)[0]) - 2 * (LONG // 4)) <= LONG // 4  # one large sum cancels another


def test_an_index_out_of_bounds_in_one_piece_is_told():
    v, i = T.dvector("v"), T.lvector("i")
    f = fuse.function([v, i], T.exp(v[i]))
    a, k = RNG.random(1000), RNG.integers(0, 1000, LONG)
    np.testing.assert_allclose(f(a, k), np.exp(a[k]), rtol=1e-14)
    for place in (0, LONG // 2, LONG - 1):
        wrong = k.copy()
        wrong[place] = 1000
        for count in COUNTS:
            fuse.set_num_threads(count)
            with pytest.raises(fuse.errors.FuseIndexError, match="out of bounds"):
                f(a, wrong)
    np.testing.assert_allclose(f(a, k), np.exp(a[k]), rtol=1e-14)  # and the pool works on


def test_updates_in_place_of_shared_variables():
    w = fuse.shared(np.ones(LONG), name="w")
    g = T.dvector("g")
    f = fuse.function([g], [], updates=[(w, w - 0.5 * g)])
    for _ in range(5):
        f(np.ones(LONG))
    np.testing.assert_array_equal(w.get_value(), np.full(LONG, -1.5))


# -- who calls ---------------------------------------------------------------------------------------------------------

def job(count=20):
    """Many large calls of several functions; whether each gave what it must."""
    v = T.dvector("v")
    f, g = fuse.function([v], T.exp(v) + v), fuse.function([v], (v * v).sum())
    a = np.linspace(0, 1, 200_003)
    want, total = f(a), g(a)
    return all((f(a) == want).all() and g(a) == total for _ in range(count)) and np.allclose(want, np.exp(a) + a)


def test_many_python_threads_at_once():
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        assert all(f.result() for f in [executor.submit(job) for _ in range(16)])


def test_numbers_of_threads_change_while_others_compute():
    stop, failures = threading.Event(), []

    def work():
        while not stop.is_set():
            if not job(3):
                failures.append("wrong")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for each in workers:
        each.start()
    for k in range(60):
        fuse.set_num_threads(1 + k % 8)
    stop.set()
    for each in workers:
        each.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_have_a_pool_of_their_own():
    assert job(2)
    stop = threading.Event()
    other = threading.Thread(target=lambda: [job(1) for _ in iter(stop.is_set, True)])
    other.start()  # so that a job may be in progress at the time of the fork
    try:
        for _ in range(3):
            child = os.fork()
            if child == 0:
                try:
                    assert threads._get(pool.WORKERS) == 0
                    os._exit(0 if job(5) and threads._get(pool.WORKERS) == 3 else 1)
                except BaseException:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        other.join()
    assert job(2)


@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_worker_processes(method):
    assert job(1)
    with multiprocessing.get_context(method).Pool(2) as processes:
        assert processes.map(job, [2, 2, 2]) == [True] * 3


def run(script, **environment):
    root = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **environment}, text=True,
                          capture_output=True, timeout=120, cwd=root)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


SCRIPT = """
import numpy as np
import fuse, fuse.tensor as T
v = T.dvector("v")
f = fuse.function([v], T.exp(v))
a = np.ones(400_000)
for _ in range(20):
    f(a)
print(fuse.get_num_threads())
"""


def test_interpreter_ends_while_workers_wait():
    for _ in range(5):
        assert run(SCRIPT, FUSE_FLAGS="threads=4") == ["4"]


def test_environment_of_a_worker_limits_threads():
    clean = {"FUSE_FLAGS": ""}
    assert run(SCRIPT, OMP_NUM_THREADS="1", **clean) == ["1"]
    assert run(SCRIPT, NUMBA_NUM_THREADS="1", OMP_NUM_THREADS="4,2", **clean) == ["1"]
    assert run(SCRIPT, OMP_NUM_THREADS="1", FUSE_FLAGS="threads=3") == ["3"]  # said to fuse itself


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not interrupt processes by signals")
def test_an_interrupt_comes_through_between_calls():
    script = """
import os, signal, threading, numpy as np
import fuse, fuse.tensor as T
v = T.dvector("v")
f = fuse.function([v], T.exp(v) * T.sin(v))
a = np.ones(500_000)
want = f(a)
signal.signal(signal.SIGINT, signal.default_int_handler)  # Python has none where the tests run in the background
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        f(a)
except KeyboardInterrupt:
    print((f(a) == want).all())
"""
    assert run(script, FUSE_FLAGS="threads=4") == ["True"]


# -- configuration -----------------------------------------------------------------------------------------------------

def test_set_num_threads():
    fuse.set_num_threads(3)
    assert fuse.get_num_threads() == config.threads == 3 and threads._get(pool.THREADS) == 3
    with config.change_flags(threads=2):
        assert fuse.get_num_threads() == 2 and threads._get(pool.THREADS) == 2
    assert threads._get(pool.THREADS) == 3
    fuse.set_num_threads(0)
    assert 1 <= fuse.get_num_threads() == threads.available() <= (os.cpu_count() or 1)
    fuse.set_num_threads(100_000)
    assert fuse.get_num_threads() == pool.MAX_WORKERS + 1
    with pytest.raises(ValueError, match="number of threads"):
        fuse.set_num_threads(-1)


def test_what_a_thread_is_worth_is_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(threads, "_grain", [])
    value = threads.grain()
    assert threads.SMALLEST_GRAIN <= value <= threads.LARGEST_GRAIN
    monkeypatch.setattr(threads, "_grain", [])
    monkeypatch.setattr(threads, "_measured", lambda: 1 / 0)
    assert threads.grain() == value  # from the cache
    (tmp_path / "none").touch()
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(threads, "_grain", [])
    assert threads.grain() == pool.GRAIN  # where nothing can be kept
    threads._set(pool.GRAIN_AT, pool.GRAIN)


def test_quotas_of_control_groups(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("0::/jobs/mine\n")
    (tmp_path / "jobs" / "mine").mkdir(parents=True)
    (tmp_path / "jobs" / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "jobs" / "mine" / "cpu.max").write_text("max 100000\n")
    assert threads._quotas(str(tmp_path), str(own)) == [3]
    own.write_text("4:memory:/m\n3:cpu,cpuacct:/old\n")
    (tmp_path / "cpu" / "old").mkdir(parents=True)
    (tmp_path / "cpu" / "old" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "old" / "cpu.cfs_period_us").write_text("100000\n")
    assert threads._quotas(str(tmp_path), str(own)) == [2]
    assert threads._quotas(str(tmp_path / "none"), str(tmp_path / "nothing")) == []


# -- the kernels -------------------------------------------------------------------------------------------------------

def test_little_work_has_the_short_kernel_and_much_the_shared_one():
    v = T.dvector("v")
    program = compile_program([v], [T.exp(v).sum()])
    program(np.ones(10))
    assert ", part):" not in program.source
    program(np.ones(LONG))
    assert ", part):" in program.source
    assert program(np.ones(10))[0] == pytest.approx(10 * np.e)


def test_bits_do_not_tell_of_large_arrays_met_before():
    """Where rows are summed beside columns, LLVM takes other lanes in the kernel that threads share."""
    m, w, calls = T.dmatrix("m"), T.dmatrix("w"), fuse.shared(np.zeros(3), borrow=True)
    product = m * w
    outputs = [product.sum(axis=1), product.sum(axis=0), T.grad((T.tanh(m) * w).sum(), m), T.tanh(m).sum(axis=0)]
    f = fuse.function([m, w], outputs, updates={calls: calls + 1})
    small = [RNG.normal(size=(2, *shape)) for shape in ((3, 50), (40, 33), (2, 600), (1200, 3))]
    before = [f(*given) for given in small]
    large = [RNG.normal(size=(2, *shape)) for shape in ((300, 400), (9000, 20))]
    for given in large:  # in turns with small ones, each in its own form
        f(*given)
        for known, again in zip(before, small, strict=True):
            for have, want in zip(f(*again), known, strict=True):
                np.testing.assert_array_equal(have, want)
    assert calls.get_value().tolist() == [14.0] * 3
    np.testing.assert_allclose(f(*large[1])[1], (large[1][0] * large[1][1]).sum(axis=0), atol=1e-10)


def test_bits_do_not_tell_of_arrays_of_another_layout_met_before():
    """Kernels for arrays with gaps could take contiguous ones, and add their numbers up in another order."""
    x = T.dmatrix("x")
    f = fuse.function([x], [x.sum(axis=1), x.sum()])
    a = RNG.normal(size=(30, 500))
    gaps = np.zeros((30, 510))[:, :500]
    gaps[...] = a
    known = f(a)
    for other in (np.repeat(a, 2, axis=1)[:, ::2], gaps, np.asfortranarray(a), a[:, ::-1]):
        first = f(other)
        for given, wanted in ((a, known), (other, first), (a, known)):
            for have, want in zip(f(given), wanted, strict=True):
                np.testing.assert_array_equal(have, want)


def test_tall_arrays_are_reduced_by_rows():
    x = T.fmatrix("x")
    f = fuse.function([x], [x.sum(axis=0), x.max(axis=0)])
    for shape in ((100_003, 5), (20, 30_000), (5, 4), (4000, 100)):
        a = RNG.normal(size=shape).astype("float32")
        total, top = same_bits(f, a)
        close = 1e-7 * np.abs(a).sum(axis=0).max()  # rows are added in pairs in their own dtype
        np.testing.assert_allclose(total, a.sum(axis=0, dtype="float64"), rtol=1e-6, atol=close)
        np.testing.assert_array_equal(top, a.max(axis=0))
    assert ", rows)" in f.source


def test_a_loop_whose_iterations_meet_is_not_shared():
    x = T.dmatrix("x")
    kernel, = compile_program([x], [T.exp(x).sum(axis=1)]).kernels
    loop = next(s for s in kernel.body if isinstance(s, Loop))
    assert loop.split is not None and check(kernel) is kernel
    from dataclasses import replace
    wrong = replace(loop, body=tuple([replace(s, index=(0,)) if hasattr(s, "buffer") and hasattr(s, "value") else s
                                      for s in loop.body]))
    with pytest.raises(AssertionError, match="shared among threads"):
        check(replace(kernel, body=tuple([wrong if s is loop else s for s in kernel.body])))


@pytest.mark.parametrize(("shape", "axis"), [((1000,), None), ((4000, 40), 0), ((40, 300), 0), ((300, 400), 1)])
def test_the_first_call_makes_the_one_kernel_that_serves_it(shape, axis):
    x = T.matrix() if len(shape) == 2 else T.vector()
    e = x
    for k in range(20):
        e = T.sin(e) + x / (k + 2.25)
    f = fuse.function([x], e if axis is None else e.sum(axis=axis))
    f(np.ones(shape))
    made = [form for runner in f.fn.launchers for form in runner.variants]
    assert {"threads", "rows"} & set(made[-1]) and ("C", "C") not in made, made


def test_a_call_to_blas_sends_spinning_workers_to_sleep(monkeypatch):
    monkeypatch.setattr(tiles, "serves", lambda dtype: False)  # as where products go to it whole
    m, v = T.dmatrix("m"), T.dvector("v")
    f, g = fuse.function([m], T.tanh(T.dot(m, m))), fuse.function([v], T.exp(v))
    a, b = RNG.random((300, 300)), RNG.random(2_000_000)
    for _ in range(8):  # from the fourth call on at C level
        want = g(b)
        assert threads._get(pool.QUIET) == 0
        np.testing.assert_allclose(f(a), np.tanh(a @ a))
    assert threads._get(pool.QUIET) == 1 or type(f) is fuse.compiled.Function  # which has no calls at C level
    np.testing.assert_array_equal(g(b), want)
    assert threads._get(pool.QUIET) == 0
    few, h = RNG.random(10), fuse.function([v], T.sort(v))
    for values in [few] * 6 + [b, few, b]:  # what a small kernel refuses, and other calls, are no products
        np.testing.assert_allclose(g(values)[:10], np.exp(values)[:10], rtol=1e-14)
        h(values)
        assert threads._get(pool.QUIET) == 0
