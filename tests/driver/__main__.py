"""The host's side of programs on a GPU, without one: ``python -m tests.driver [NAME ...]``.

numba-cuda and cuda.core compile, load, copy and launch as ever, by way of `driver.c`, which stands for NVIDIA's driver.
A launch there runs the simulator's kernel, with the arguments as the driver gets them, on the memory that they point
to. So names, types and orders of calls are checked that neither the simulator nor PTX shows.

It takes a C compiler and the packages of the ``cuda-compilers`` extra; where one is missing it says so, and ends well.
"""
from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

LIBRARY = "libcuda.so.1"
PER_THREAD = "CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM"
LEGACY = (1,) if os.environ.get(PER_THREAD) else (1, None)  # the legacy default stream, as launches name it
BLOCK = 8  # threads of a block, each a thread of Python's where they meet at barriers
rng = np.random.default_rng(0)


def main() -> int:
    if os.environ.get("FUSE_DRIVER"):
        return run(sys.argv[1:])
    from fuse.codegen.ptx import missing

    compiler = shutil.which("cc")
    lacking = missing() or (None if compiler and sys.platform == "linux" else "no C compiler, or not Linux")
    if lacking:
        print(f"skipped: {lacking}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(__file__).with_name("driver.c")
        subprocess.run([str(compiler), "-shared", "-fPIC", "-O1", "-o", f"{folder}/{LIBRARY}", str(source)], check=True)
        there = os.pathsep.join([folder, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
        given = {**os.environ, "LD_LIBRARY_PATH": there, "FUSE_DRIVER": "1"}
        command = [sys.executable, "-m", "tests.driver"]
        if sys.argv[1:]:
            return subprocess.run([*command, *sys.argv[1:]], env=given).returncode
        runs = [
            ([], {}), (["loop"], {PER_THREAD: "1"}),
            (["too_old"], {"DRIVER_CAPABILITY": "61"}), (["no_memory"], {"DRIVER_MOST_BYTES": "100000"}),
        ]
        return max([subprocess.run([*command, *names], env=given | more).returncode for names, more in runs])


# ---------------------------------------------------------------- launches
kernels: dict[str, tuple] = {}
errors: list[str] = []


def value_at(address: int, dtype: str):
    kind = np.dtype(dtype)
    return np.frombuffer((ctypes.c_uint8 * kind.itemsize).from_address(address), kind)[0]


def arguments_of(given, dtypes, arrays) -> list:
    """The arguments of a kernel from where the driver is told they are: an array is seven of them."""
    found, at = [], 0
    for dtype, is_array in zip(dtypes, arrays, strict=True):
        kind = np.dtype(dtype)
        if is_array:
            info, parent, count, width, address, *shape = [int(value_at(given[at + k], "int64")) for k in range(7)]
            assert (info, parent, width, *shape) == (0, 0, kind.itemsize, count, kind.itemsize)
            room = (ctypes.c_uint8 * (count * width)).from_address(address) if count else b""
            found.append(np.frombuffer(room, kind))
            at += 7
        elif kind.kind == "c":
            part = f"float{4 * kind.itemsize}"
            found.append(kind.type(complex(value_at(given[at], part), value_at(given[at + 1], part))))
            at += 2
        else:
            found.append(value_at(given[at], dtype))
            at += 1
    return found


def launched(name, sizes, stream, given) -> None:
    try:
        assert stream in LEGACY, f"a launch on stream {stream}, not on the legacy default stream"
        kernel, dtypes, arrays = kernels[name.decode()]
        kernel((sizes[0], sizes[1]), sizes[3], arguments_of(given, dtypes, arrays))
    except BaseException:  # there is nobody else to tell it to
        errors.append(traceback.format_exc())


CALLBACK = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
)


def prepare() -> CALLBACK:
    """Have launches run the simulator's kernels from now on; what is returned must be kept."""
    from fuse.codegen import device_numba
    from fuse.codegen.device_numba import NumbaDevice
    from fuse.codegen.simulated import kernel_of

    compiled = NumbaDevice.compile

    def compile_both(self, text, entry, helpers, dtypes, arrays, threads=0):
        found = compiled(self, text, entry, helpers, dtypes, arrays, threads)
        name = next(iter(found.kernel.overloads.values())).entry_name
        kernels[name] = kernel_of(text, entry, helpers, tuple(dtypes), tuple(arrays)), dtypes, arrays
        return found

    NumbaDevice.compile, NumbaDevice.block = compile_both, BLOCK
    device_numba.broad_on = lambda capability: 2 * BLOCK
    called = CALLBACK(launched)
    ctypes.CDLL(LIBRARY).set_callback(called)
    return called


# ---------------------------------------------------------------- what is checked
def same(inputs, outputs, values, **options) -> None:
    """A function gives on the device what it gives on the CPU, and none of it is done there."""
    import fuse
    from fuse.codegen import device
    from fuse.codegen.cuda_array import to_device

    f, plain = [fuse.function(inputs, outputs, device=where, **options) for where in ("cuda", "cpu")]
    for where in (lambda value: value, lambda value: to_device(value) if isinstance(value, np.ndarray) else value):
        for _ in range(3):  # as ever, noted down, and replayed
            with device.counted() as seen:
                found = f(*map(where, values))
            assert "calls on the host" not in seen() and seen()["launches"]
            for have, want in zip(found, plain(*values), strict=True):
                np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-6)


def loop() -> None:
    """First: what a provider knows after its first kernel it does not know before."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen.device_code import numba_cuda

    numba_cuda()
    assert "numba.cuda.np.arrayobj" in sys.modules  # which takes from NumPy what is there only meanwhile
    x, h = T.dmatrix(), T.dvector()
    states, _ = fuse.scan(lambda v, s: T.tanh(v + s), sequences=x, outputs_info=h)
    same([x, h], [states], [rng.normal(size=(3, 5)), rng.normal(size=5)])


def formulas() -> None:
    import fuse.tensor as T

    x, v, i = T.dmatrix(), T.dvector(), T.lvector()
    same([x], [T.exp(x) + 1, x.sum(), x.max(0), T.nnet.softmax(x)], [rng.normal(size=(5, 7))])
    same([x], [T.nnet.softmax(x)], [rng.normal(size=(40, 130))])  # in larger blocks
    same([v, i], [T.grad((v[i] ** 2).sum(), v), T.set_subtensor(v[i], 7.0)], [rng.normal(size=6), np.array([1, 3, 1])])


def numbers() -> None:
    """Numbers of every dtype, as arguments of a kernel."""
    import fuse.tensor as T

    names = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 bool complex64 complex128".split()
    v, given = T.dvector(), [T.TensorType(name, ())() for name in names]
    outputs = [(v + a).real if a.type.dtype.startswith("c") else v + a.astype("float64") for a in given]
    same([v, *given], outputs, [np.arange(4.0), *[np.dtype(name).type(1) for name in names]])
    half = T.TensorType("float16", (None,))()
    same([half], [half * 2, half.sum()], [np.arange(9).astype("f2")])


def replayed() -> None:
    """Calls like earlier ones, with arrays of the host and the device, and updates in place or not."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen.cuda_array import to_device

    x, a = T.dmatrix(), T.dscalar()
    functions, cells = [], []
    for where in ("cuda", "cpu"):
        w, v = fuse.shared(np.ones(5)), fuse.shared(np.zeros(5))
        updates = [(w, w - a * x.sum(0)), (v, v[::-1] + (x * w).max(0))]
        functions.append(fuse.function([x, a], [(x * w).sum(1), v], updates=updates, device=where))
        cells.append((w, v))
    rows = [rng.normal(size=(3, 5)) for _ in range(8)]
    there = to_device(np.stack(rows))
    for k, values in enumerate(rows):
        found, want = functions[0](there[k] if k % 2 else values, k / 7), functions[1](values, k / 7)
        for have, need in zip([*found, *cells[0]], [*want, *cells[1]], strict=True):
            have, need = (c.get_value() if hasattr(c, "get_value") else np.asarray(c) for c in (have, need))
            np.testing.assert_allclose(have, need, rtol=1e-6, atol=1e-6)
    known = functions[0].fn.replays.seen
    assert len(known) >= 2 and all(type(each).__name__ == "Replay" for each in known.values())


def dispatcher() -> None:
    """Launches by numba-cuda's own dispatcher, where its arguments are not as fuse knows them."""
    import fuse.tensor as T
    from fuse.codegen import device

    on, v = device.current(), T.dvector()
    same([v], [v + 1], [np.arange(6.0)])
    before, driver, on.direct = on.direct, on.driver, None
    assert before is not None, "launches do not go straight to cuda.core"
    assert driver is not None, "copies do not go straight to the driver"
    on._driver = None
    try:
        same([v], [v * 3 - 2, (v * v).sum(), v], [np.arange(6.0)])
        same([v], [v * 3 - 2, v], [np.arange(300_000.0)])
    finally:
        on.direct, on._driver = before, driver


def streams() -> None:
    """Large copies in pieces, on streams of their own, in several threads."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen import device
    from fuse.codegen.cuda_array import to_device

    v, wrong = T.dvector(), []
    f = fuse.function([v], v * 2, device="cuda")
    f(np.zeros(3))

    def work(number: int) -> None:
        try:
            for n in (3, 300_000):
                there = to_device(np.full(n, float(number)))
                assert (there.copy().get() == number).all()
            assert (f(np.full(5, float(number))) == 2 * number).all()
        except BaseException:
            wrong.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong, wrong[0]
    assert device.current().transfers is not None


def other_libraries() -> None:
    """Arrays whose owners have streams, and what is handed on to them."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen.cuda_array import to_device

    x, asked = T.dmatrix(), []
    f = fuse.function([x], x * 2, device="cuda")
    there = to_device(rng.normal(size=(3, 4)))

    class Foreign:
        def __init__(self, stream):
            self.__cuda_array_interface__ = {**there.__cuda_array_interface__, "stream": stream}

        def __dlpack__(self, stream=None):
            asked.append(stream)
            return there.__dlpack__(max_version=(1, 0))

        def __dlpack_device__(self):
            return 2, 0

    for stream in (None, 1, 2, 0x5550):
        np.testing.assert_array_equal(f(Foreign(stream)).get(), there.get() * 2)
    assert asked == [1]


def memory() -> None:
    """Blocks of garbage in cycles are the pool's, and given back to the driver when all is."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen import device
    from fuse.codegen.cuda_array import empty

    for _ in range(3):
        cycle = [empty((100,), "float64")]
        cycle.append(cycle)
        del cycle
        gc.collect()
    assert empty((100,), "float64").flat().shape == (100,)
    x = T.dmatrix()
    f = fuse.function([x], [x * 2, x.sum(0)], device="cuda", profile=True, name="memory")
    out = np.empty((3, 4))
    assert f(np.ones((3, 4)), out=[out, None])[0] is out and (out == 2).all()
    assert f.profile.records() and device.current().bandwidth
    f.free()


def times() -> None:
    """What a call of a small function costs the host, whose launches do nothing here; printed, not judged."""
    import fuse
    import fuse.tensor as T
    from fuse.codegen.cuda_array import to_device

    ctypes.CDLL(LIBRARY).set_callback(None)
    x, w = T.fvector(), T.fvector()
    cost = T.log(1 + T.exp(-x * w))
    a, there = np.ones(1000, "f4"), to_device(np.ones(1000, "f4"))
    for name, outputs in {"x + w": x + w, "a cost and its gradient": [cost, T.grad(cost.sum(), w)]}.items():
        f = fuse.function([x, w], outputs, device="cuda")
        for where, given in (("the device", there), ("the host", a)):
            seconds = []
            for _ in range(6):
                start = time.process_time()
                for _ in range(500):
                    f(given, given)
                seconds.append((time.process_time() - start) / 500)
            print(f"    {name}, arrays on {where}: {min(seconds) * 1e6:.0f} us")


def too_old() -> None:
    import fuse
    import fuse.tensor as T

    v = T.dvector()
    try:
        fuse.function([v], v + 1, device="cuda")
        raise AssertionError("a card that is too old was taken")
    except fuse.errors.DeviceError as error:
        assert "has compute capability 6.1" in str(error)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert fuse.function([v], v + 1, device="auto")([1.0]) == 2 and len(seen) == 1


def no_memory() -> None:
    import fuse
    from fuse.codegen.cuda_array import to_device

    try:
        to_device(np.zeros(10**6))
        raise AssertionError("there was memory")
    except fuse.errors.DeviceError as error:
        assert "no memory for 8,000,000 bytes" in str(error)


CHECKS = loop, formulas, numbers, replayed, dispatcher, streams, other_libraries, memory
APART = times, too_old, no_memory  # each in a process of its own


def run(names: list[str]) -> int:
    """Run the checks; return how many fail."""
    wanted = [c for c in (*CHECKS, *APART) if c.__name__ in names] if names else CHECKS
    kept, failed = prepare(), 0
    for check in wanted:
        errors.clear()
        try:
            check()
        except BaseException:
            errors.append(traceback.format_exc())
        failed += bool(errors)
        print(f"{'FAILED' if errors else 'ok'}  {check.__name__}", *errors[:1], sep="\n" if errors else "", flush=True)
    assert kept
    return failed


if __name__ == "__main__":
    sys.exit(main())
