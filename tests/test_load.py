"""Kernels: every dtype and layout, refusals, reductions, vectorisation, threads, fork, and start from disk."""
import gc
import os
import platform
import re
import subprocess
import sys
import threading
import timeit
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from in_threads import in_threads

from fuse.codegen import load, native
from fuse.codegen.load import ArgType, compile_kernel
from fuse.codegen.runner import layout_of
from fuse.collector import uncollected

DTYPES = ("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
          "float16 float32 float64 complex64 complex128").split()
COPY = """
def copy(a, o):
    s = stride(a, 0)
    t = stride(o, 0)
    if misaligned(a) or misaligned(o):
        return 1
    for i in range(size(a, 0)):
        store(o, i * t, load(a, i * s))
    return 0
"""
x86_64 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86-64 assembly")


@pytest.fixture(autouse=True)
def cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def arrays(dtype, inputs, outputs, ndim=1):
    return (ArgType(dtype, ndim),) * inputs + (ArgType(dtype, ndim, writable=True),) * outputs


def values(dtype, n=37):
    rng = np.random.default_rng(3)
    if dtype == "bool":
        return rng.random(n) < 0.5
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, n, dtype, endpoint=True)
    x = rng.standard_normal(n)
    x[:4] = np.nan, np.inf, -0.0, 1e-7
    if np.dtype(dtype).kind != "c":
        return x.astype(dtype)
    return np.stack([x, x[::-1]], -1).astype({"F": "f4", "D": "f8"}[np.dtype(dtype).char]).view(dtype)[:, 0]


def bits(array):
    return np.ascontiguousarray(array).view(np.uint8)


# -- arrays -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_keeps_every_bit_in_every_layout(dtype):
    f = compile_kernel(COPY, "copy", arrays(dtype, 1, 1))
    x = values(dtype)
    frozen = x.copy()
    frozen.flags.writeable = False
    for source in (x, x[::-1], x[::3], frozen, x[:0], x[5:6], np.broadcast_to(x[4:5], 9)):
        for backing in (np.zeros(len(source), dtype), np.zeros(2 * len(source), dtype)[::2],
                        np.zeros(len(source), dtype)[::-1]):
            assert f(source, backing) == 0
            assert (bits(backing) == bits(source)).all()


@pytest.mark.parametrize("source,target", [("float64", "float32"), ("int64", "int8"), ("int8", "float16"),
                                           ("bool", "int32"), ("float64", "complex64"), ("float16", "float64"),
                                           ("int64", "bool"), ("uint64", "float64"), ("float32", "bool")])
def test_store_casts_as_numpy_does(source, target):
    x = np.nan_to_num(values(source), nan=2.5, posinf=8.0) if source.startswith("f") else values(source)
    o = np.zeros(len(x), target)
    assert compile_kernel(COPY, "copy", (ArgType(source, 1), ArgType(target, 1, True)))(x, o) == 0
    np.testing.assert_array_equal(o, x.astype(target))


def test_strides_of_two_dimensions_and_negative_offsets():
    source = """
def transpose_negated(a, o):
    n, m = size(a, 0), size(a, 1)
    for i in range(n):
        for j in range(m):
            store(o, j * stride(o, 0) + i * stride(o, 1), -load(a, i * stride(a, 0) + j * stride(a, 1)))
    return n * m
"""
    f = compile_kernel(source, "transpose_negated", arrays("float64", 1, 1, ndim=2))
    x = np.arange(24.0).reshape(4, 6)
    for a in (x, x.T, x[::-1, ::-2], np.asfortranarray(x), x[1:3, ::2]):
        o = np.zeros(a.shape[::-1])
        assert f(a, o) == a.size
        np.testing.assert_array_equal(o, -a.T)


def test_zero_dimensions():
    f = compile_kernel("def f(a, o):\n    store(o, 0, load(a, 0) * 2)\n    return 0\n", "f", arrays("float32", 1, 1, 0))
    o = np.zeros((), "float32")
    assert f(np.array(4, "float32"), o) == 0 and o == 8


def test_misaligned_arrays_are_recognised():
    f = compile_kernel(COPY, "copy", arrays("float64", 1, 1))
    o = np.zeros(3)
    shifted = np.zeros(25, np.uint8)[1:].view("float64")
    record = np.zeros(3, [("small", "i4"), ("x", "f8")])["x"]
    assert f(shifted, o) == 1 and f(record, o) == 1 and f(record[:0], o[:0]) in (0, 1)
    assert f(np.ones(3), o) == 0
    c = compile_kernel(COPY, "copy", arrays("complex128", 1, 1))        # 8 bytes are aligned enough for 16
    assert c(np.ones(7)[1:].view("complex128"), np.zeros(3, "complex128")) == 0


def test_scratch_memory_and_functions_of_the_same_text():
    source = """
def double(x):
    return x * float64(2)

def f(a, o):
    row = scratch("float64", 16)
    for i in range(16):
        store(row, i, double(load(a, i)))
    for i in range(16):
        store(o, i, load(row, 15 - i))
    return 0
"""
    o = np.zeros(16)
    assert compile_kernel(source, "f", arrays("float64", 1, 1))(np.arange(16.0), o) == 0
    np.testing.assert_array_equal(o, 2 * np.arange(16.0)[::-1])


# -- refusals ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bad", [np.ones(3, "f4"), np.ones(3, "i8"), np.ones(3, ">f8"), np.ones((3, 1)), np.float64(1),
                                 [1.0], None, np.ones(3).view(np.recarray), np.ma.ones(3)], ids=repr)
def test_other_arrays_raise_type_error(bad):
    f = compile_kernel(COPY, "copy", arrays("float64", 1, 1))
    compiled = load.stats()["compiles"]
    with pytest.raises(TypeError, match="argument 1 of a kernel must be a float64 array of 1 dimensions"):
        f(bad, np.ones(3))
    assert load.stats()["compiles"] == compiled


def test_a_read_only_output_and_a_wrong_count_raise_type_error():
    f = compile_kernel(COPY, "copy", arrays("float64", 1, 1))
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="argument 2 of a kernel must be a writable float64 array"):
        f(np.ones(3), frozen)
    for wrong in ((), (np.ones(3),), (np.ones(3),) * 3):
        with pytest.raises(TypeError, match="takes 2 arguments"):
            f(*wrong)


def test_equal_dtypes_of_other_type_numbers_pass():
    f = compile_kernel(COPY, "copy", arrays("int64", 1, 1))
    for code in "lq":
        if np.dtype(code) == np.int64:
            o = np.zeros(3, code)
            assert f(np.arange(3).astype(code), o) == 0 and list(o) == [0, 1, 2]


# -- scalars ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
def test_scalars(dtype):
    f = compile_kernel("def f(x, o):\n    store(o, 0, x)\n    return 7\n", "f",
                       (ArgType(dtype), ArgType(dtype, 0, True)))
    o = np.zeros((), dtype)
    for x in values(dtype)[:8]:
        for given in (x, x.item()) if np.dtype(dtype).itemsize > 2 or np.dtype(dtype).kind != "f" else (x,):
            assert f(given, o) == 7
            np.testing.assert_array_equal(o, x)


def test_scalars_are_not_squeezed():
    f = compile_kernel("def f(x):\n    return int64(x)\n", "f", (ArgType("int8"),))
    assert f(-128) == -128 and f(True) == 1 and f(-1) == -1
    for bad, error in ((128, TypeError), (1 << 70, OverflowError), (1.5, TypeError), ("1", TypeError)):
        with pytest.raises(error):
            f(bad)
    g = compile_kernel("def f(x):\n    return int64(x)\n", "f", (ArgType("uint32"),))
    assert g(2**32 - 1) == 2**32 - 1
    for bad in (-1, 2**32):
        with pytest.raises((TypeError, OverflowError)):
            g(bad)
    with pytest.raises(TypeError):
        compile_kernel("def f(x):\n    return int64(x)\n", "f", (ArgType("float64"),))("1")


# -- combining steps --------------------------------------------------------------------------------------------------

def reduction(step, dtype, start):
    return compile_kernel(f"""
def reduce(a, o):
    acc = {start}
    for i in range(size(a, 0)):
        acc = {step}(acc, load(a, i))
    store(o, 0, acc)
    return 0
""", "reduce", (ArgType(dtype, 1), ArgType(dtype, 0, True)))


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "float64", "complex128"])
@pytest.mark.parametrize("step,numpy,start", [("radd", np.sum, "0"), ("rmul", np.prod, "1")])
def test_sums_and_products(step, numpy, start, dtype):
    x = (values(dtype) if np.dtype(dtype).kind in "iu" else 1 + 0.1 * np.random.default_rng(1).standard_normal(37)
         ).astype(dtype)
    o = np.zeros((), dtype)
    reduction(step, dtype, f"{dtype}({start})")(x, o)
    np.testing.assert_allclose(o, numpy(x, dtype=dtype), rtol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float32", "float64"])
@pytest.mark.parametrize("step,numpy", [("vmax", np.max), ("vmin", np.min)])
def test_extrema_and_their_nans(step, numpy, dtype):
    f, x, o = reduction(step, dtype, "load(a, 0)"), values(dtype, 100), np.zeros((), dtype)
    for given in (x, x[5:], x[::1][7:9]):
        f(given, o)
        np.testing.assert_array_equal(o, numpy(given))


def test_scalar_intrinsics():
    source = """
def f(x, y, o, k):
    store(o, 0, fma(x, y, float64(1)))
    store(o, 1, rint(x))
    store(o, 2, copysign(x, y))
    store(o, 3, fabs(y))
    store(o, 4, i2f(f2i(x) + int64(1)))
    store(k, 0, f2i(x))
    store(k, 1, f2i32(float32(x)))
    store(o, 5, i2f32(f2i32(float32(x))))
    return 0
"""
    f = compile_kernel(source, "f", (ArgType("float64"), ArgType("float64"), ArgType("float64", 1, True),
                                     ArgType("int64", 1, True)))
    o, k = np.zeros(6), np.zeros(2, "int64")
    f(2.5, -3.0, o, k)
    assert list(o) == [-6.5, 2.0, -2.5, 3.0, np.nextafter(2.5, 3), 2.5]
    assert list(k) == [np.float64(2.5).view(np.int64), np.float32(2.5).view(np.int32)]


def test_helpers_are_numbers_plain_functions_and_compiled_functions():
    import numba
    cube = numba.njit(lambda x: x * x * x)
    def shifted(x):
        return fabs(x) + float64(1)         # noqa: F821
    f = compile_kernel("def f(x, o):\n    store(o, 0, cube(shifted(x)) * scale)\n    return 0\n", "f",
                       (ArgType("float64"), ArgType("float64", 0, True)),
                       {"cube": cube, "shifted": shifted, "scale": 0.5})
    o = np.zeros(())
    assert f(-1.0, o) == 0 and o == 4


def test_arithmetic_is_strict_unless_asked():
    source = "def f(a, b, o):\n    store(o, 0, (a + b) - a)\n    return 0\n"
    types = (ArgType("float64"), ArgType("float64"), ArgType("float64", 0, True))
    o = np.zeros(())
    compile_kernel(source, "f", types)(1e16, 1.0, o)
    assert o == 0
    compile_kernel(source, "f", types, fastmath={"reassoc", "nsz"})(1e16, 1.0, o)
    assert o == 1


def test_division_by_zero_is_a_value():
    f = compile_kernel("def f(a, o):\n    store(o, 0, float64(1) / a)\n    return 0\n", "f",
                       (ArgType("float64"), ArgType("float64", 0, True)))
    o = np.zeros(())
    assert f(0.0, o) == 0 and o == np.inf


def test_broken_source_names_itself():
    with pytest.raises(RuntimeError, match=r"(?s)does not compile.*undefined_name"):
        compile_kernel("def f():\n    return undefined_name\n", "f", ())


# -- vectorisation ----------------------------------------------------------------------------------------------------

def packed(kernel, instruction):
    return re.findall(rf"\bv?{instruction}\s+.*[xyz]mm", kernel.__self__.assembly())


@x86_64
@pytest.mark.parametrize("source,types,instruction", [
    ("for i in range(size(a, 0)):\n        store(o, i, load(a, i) * load(b, i))", arrays("float64", 2, 1), "mulpd"),
    ("for i in range(size(a, 0)):\n        for j in range(size(a, 1)):\n"
     "            store(o, i * stride(o, 0) + j, load(a, i * stride(a, 0) + j) * load(b, i * stride(b, 0) + j))",
     arrays("float32", 2, 1, 2), "mulps"),
    ("acc = float64(0)\n    for i in range(size(a, 0)):\n        acc = radd(acc, load(a, i))\n    store(o, 0, acc)",
     arrays("float64", 2, 1), "addpd"),
    ("acc = load(a, 0)\n    for i in range(size(a, 0)):\n        acc = vmax(acc, load(a, i))\n    store(o, 0, acc)",
     arrays("float64", 2, 1), "maxpd"),
], ids=["product", "rows", "sum", "maximum"])
def test_inner_loops_are_vectorised(source, types, instruction):
    f = compile_kernel(f"def f(a, b, o):\n    {source}\n    return 0\n", "f", types)
    assert packed(f, instruction)


MANY = "def f(a, b, c, d, e, p, q, r, s, t, u):\n    for i in range(size(a, 0)):\n" + "".join(
    f"        {n} = load({n[0]}, i)\n" for n in ("a1", "b1", "c1", "d1", "e1")) + "".join(
    f"        store({o}, i, {x}1 * {y}1)\n" for o, x, y in "pab qbc rcd sde tea uac".split()) + "    return 0\n"


@x86_64
def test_a_kernel_of_five_inputs_and_six_outputs_is_vectorised():
    f = compile_kernel(MANY, "f", arrays("float64", 5, 6))
    assert packed(f, "mulpd")
    x = np.random.default_rng(0).standard_normal((5, 101))
    o = np.zeros((6, 101))
    f(*x, *o)
    np.testing.assert_array_equal(o[5], x[0] * x[2])


def vector_body_runs(f, arguments):
    """Time of a call by its fastest of many: the scalar loop is several times slower than the vector one."""
    return min(timeit.repeat(lambda: f(*arguments), number=200, repeat=20))


@x86_64
def test_independent_loops_test_no_overlap_and_may_work_in_place():
    text = MANY.replace("        a1 =", "        independent()\n        a1 =")
    f = compile_kernel(text, "f", arrays("float64", 5, 6))
    assert packed(f, "mulpd")
    assert len(f.__self__.assembly()) < len(compile_kernel(MANY, "f", arrays("float64", 5, 6)).__self__.assembly())
    x, o = np.random.default_rng(0).standard_normal((5, 1001)), np.zeros((6, 1001))
    f(*x, *o)
    y = x.copy()
    f(*y, y[0], y[1], *o[2:])
    np.testing.assert_array_equal(y[0], x[0] * x[1])
    np.testing.assert_array_equal(y[1], x[1] * x[2])
    np.testing.assert_array_equal(o[5], x[0] * x[2])
    apart, in_place = vector_body_runs(f, (*x, *o)), vector_body_runs(f, (*x, x[0], x[1], *o[2:]))
    assert in_place < 2 * apart


def test_a_recurrence_is_not_disturbed_by_an_independent_loop_around_it():
    source = """
def f(a, o):
    for i in range(size(a, 0)):
        independent()
        acc = load(a, i * size(a, 1))
        for j in range(1, size(a, 1)):
            acc = load(o, i * size(a, 1) + j - 1) + load(a, i * size(a, 1) + j)
            store(o, i * size(a, 1) + j, acc)
    return 0
"""
    x = np.random.default_rng(0).standard_normal((9, 33))
    o = np.zeros_like(x)
    o[:, 0] = x[:, 0]
    compile_kernel(source, "f", arrays("float64", 1, 1, 2))(x, o)
    np.testing.assert_array_equal(o, np.cumsum(x, 1))


# -- memory, threads, processes ---------------------------------------------------------------------------------------

def test_equal_requests_share_a_kernel():
    before = load.stats()
    f = compile_kernel(COPY + "# shared", "copy", arrays("float64", 1, 1))
    assert compile_kernel(COPY + "# shared", "copy", arrays("float64", 1, 1)) is f
    assert compile_kernel(COPY + "# shared", "copy", arrays("float32", 1, 1)) is not f
    after = load.stats()
    assert after["compiles"] - before["compiles"] == 2 and after["memory_hits"] - before["memory_hits"] == 1


def test_threads_compile_and_call_at_once():
    failures, found = [], []
    def work(i):
        try:
            f = compile_kernel(COPY + f"# thread {i % 3}", "copy", arrays("float64", 1, 1))
            x, o = np.arange(30000.0) + i, np.zeros(30000)
            for _ in range(20):
                f(x, o)
            found.append((i % 3, f))
            assert (x == o).all()
        except BaseException as error:
            failures.append(error)
    in_threads(work, range(9))
    assert not failures and len({f for _, f in found}) == 3


def test_kernels_outlive_the_table_and_are_freed_with_the_last_reference():
    f = compile_kernel(COPY + "# outlives", "copy", arrays("float64", 1, 1))
    load.clear_cache()
    o = np.zeros(3)
    assert f(np.ones(3), o) == 0 and o.sum() == 3
    before = sys.getrefcount(o)
    for _ in range(1000):
        f(o, o)
    assert sys.getrefcount(o) == before
    del f


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_compiles_while_another_thread_was_compiling():
    thread = threading.Thread(target=lambda: compile_kernel(COPY + "# parent", "copy", arrays("int8", 1, 1)))
    thread.start()
    child = os.fork()
    if child == 0:
        try:
            o = np.zeros(2)
            compile_kernel(COPY + "# child", "copy", arrays("float64", 1, 1))(np.ones(2), o)
            os._exit(0 if o.sum() == 2 else 1)
        except BaseException:
            os._exit(2)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_collects_garbage_while_another_thread_does_not():
    within, done = threading.Event(), threading.Event()

    def rest():
        with uncollected():
            within.set()
            done.wait()

    thread = threading.Thread(target=rest)
    thread.start()
    within.wait()
    resting = not gc.isenabled()
    child = os.fork()
    if child == 0:
        os._exit(0 if gc.isenabled() else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0 and resting and gc.isenabled()


SCRIPT = """
import sys
import numpy as np
from fuse.codegen import load
from fuse.codegen.load import ArgType, compile_kernel
from fuse.codegen.runner import layout_of
def gauss(x):
    return math.exp(-x * x)
f = compile_kernel("def f(a, o):\\n    for i in range(size(a, 0)):\\n        store(o, i, gauss(load(a, i)))\\n"
                   "    return 0\\n", "f", (ArgType("float64", 1), ArgType("float64", 1, True)), {"gauss": gauss})
x, o = np.linspace(-2, 2, 9), np.zeros(9)
assert f(x, o) == 0
np.testing.assert_allclose(o, np.exp(-x * x), rtol=1e-15)
print(f.__self__.origin, "numba" in sys.modules, load.stats()["compiles"])
"""


def run(script=SCRIPT, **environment):
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **environment}, text=True,
                          capture_output=True, timeout=120, cwd=os.path.dirname(os.path.dirname(__file__)))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()


def test_the_second_process_starts_warm_and_without_numba(cache_directory):
    assert run() == ["compiled", "True", "1"]
    assert run() == ["disk", "False", "0"]
    assert run(SCRIPT + "assert 'define' in f.__self__.llvm\n")[0] == "disk"


def test_keys_of_kernels_have_all_that_makes_code_of_their_source():
    """Kept kernels are those of another version of fuse otherwise."""
    folder = Path(native.__file__).parent
    found, waiting = set(), ["lower"]
    while waiting:
        name = waiting.pop()
        if name in found or name in ("load", "threads", "assembly", "mathlib/vectorised"):  # with keys of their own
            continue
        found.add(name)
        for line in re.findall(r"^ *from fuse\.codegen(\S*) import (.+)", (folder / f"{name}.py").read_text(), re.M):
            inner = line[0].replace(".", "/").lstrip("/")
            names = [inner] if inner and (folder / f"{inner}.py").exists() else [
                f"{inner}/{n}".lstrip("/") for n in re.findall(r"\w+", line[1])]
            waiting += [n for n in names if (folder / f"{n}.py").exists()]
    assert found <= set(load.PARTS.split()), found - set(load.PARTS.split())


def test_processes_may_race(cache_directory):
    command = [sys.executable, "-c", SCRIPT]
    root = os.path.dirname(os.path.dirname(__file__))
    racing = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in racing] == [(b"", 0)] * 3
    assert run()[0] == "disk"


def test_layouts_and_sizes_are_told_in_one_status():
    source = "def f(a, b, n):\n    return refused('C n 3; S0 3 ?', a, b, n)\n"
    f = compile_kernel(source, "f", (ArgType("float64", 2), ArgType("float32", 2), ArgType("int64")))
    fine, turned = np.zeros((5, 3)), np.zeros((4, 3), "f4").T
    assert f(fine, turned, 5) == 0 and f(fine[:0], turned[:, :0], 0) == 0
    assert f(fine, turned, 4) == 2 and f(fine[:, :2], turned, 5) == 2 and f(fine, turned[:2], 5) == 2
    assert f(np.zeros((3, 5)).T, turned, 5) == 1 and f(fine[::-1], turned, 5) == 1
    assert f(fine, np.zeros((3, 4), "f4"), 5) == 1 and f(fine, turned[:, :1], 5) == 0
    assert f(fine[:1, ::-1], turned, 1) == 1 and f(fine[:1], turned[:, ::2], 1) == 0
    shifted = np.zeros(121, np.uint8)[1:].view("float64").reshape(5, 3)
    assert f(shifted, turned, 5) == 1


def test_layouts_with_a_mark_are_those_that_runners_choose():
    kinds = ["C", "S0!", "S1!", "S2!", "S-1!"]
    told = " + ".join(f"{2**k} * refused('{x} ? ? ?', a)" for k, x in enumerate(kinds))
    f = compile_kernel(f"def f(a):\n    return {told}\n", "f", (ArgType("float64", 3),))
    base = np.zeros((6, 6, 6))
    for order in permutations(range(3)):
        for sizes in product((1, 3, 6), repeat=3):
            for steps in product((1, 2), repeat=3):
                a = base[tuple(map(slice, sizes))][tuple([slice(None, None, k) for k in steps])].transpose(order)
                taken = [x for k, x in enumerate(kinds) if not f(a) >> k & 1]
                assert f"{layout_of(a)}!".replace("C!", "C") in taken and (len(taken) == 1 or a.size == 1)
    assert not f(np.zeros((3, 0, 2)).T)


@pytest.mark.parametrize("times", [1, 3])
def test_kernels_of_many_arrays_check_them_as_those_of_few_do(times):
    given = ", ".join(f"a{k}" for k in range(4 * times))
    wanted = "; ".join(["C n m", "S0 n ?", "S-1 n m", "C 3 m"] * times)
    text = f"def f({given}, n, m):\n    return refused('{wanted}', {given}, n, m)\n"
    kinds = ["float64", "float32", "complex128", "int8"] * times
    argtypes = [ArgType(k, 2, i == 1) for i, k in enumerate(kinds)]
    kernel = compile_kernel(text, "f", (*argtypes, ArgType("int64"), ArgType("int64")))
    good = [np.ones((3, 4), kinds[0]), np.ones((3, 4), kinds[1], order="F"), np.ones((6, 8), kinds[2])[::2, ::2],
            np.ones((3, 4), kinds[3])] * times
    assert kernel(*good, 3, 4) == 0
    for place, array in enumerate(good):
        def status(other, place=place):
            return kernel(*good[:place], other, *good[place + 1:], 3, 4)

        swapped = np.asarray(array, array.dtype, order="C" if place % 4 == 1 else "F")
        assert status(swapped) == (0 if place % 4 == 2 else 1)
        assert status(np.resize(array, (2, 4))) == 2
        assert status(np.asfortranarray(np.resize(array, (3, 5)))) == (0 if place % 4 == 1 else 2)
        if array.itemsize > 1:
            memory = np.zeros(12 * array.itemsize + 1, "u1")[1:].view(array.dtype).reshape(array.shape)
            assert status(memory) == 1
        for wrong in (array[0], array.real.astype("int16"), 1.0, None, np.ones((3, 4), array.dtype.newbyteorder())):
            if isinstance(wrong, np.ndarray) and (wrong.dtype, wrong.ndim) == (array.dtype, 2):
                continue                                # one byte has no order
            with pytest.raises(TypeError, match=f"argument {place + 1} of a kernel must be a"):
                status(wrong)
    locked = good[1].copy()
    locked.setflags(write=False)
    with pytest.raises(TypeError, match="argument 2 of a kernel must be a writable"):
        kernel(good[0], locked, *good[2:], 3, 4)
