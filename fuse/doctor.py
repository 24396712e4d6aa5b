"""What ``fuse info`` and ``fuse doctor`` report: the installation, and whether it works."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from fuse.devices import gpu

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "sympy")
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bf16", "neon", "sve")


def info() -> Iterator[tuple[str, str]]:
    """Yield (name, text) pairs that describe this installation and machine."""
    yield "fuse", f"{_version('fuse')}, {os.path.dirname(os.path.abspath(__file__))}"
    yield "python", f"{platform.python_version()} {platform.python_implementation()}, {platform.platform()}"
    for name in PACKAGES:
        yield name, _version(name)
    yield "cpu", _cpu()
    yield "threads", _threads()
    yield "cache", _cache()
    usable, text = gpu()
    yield "gpu", text if usable else f"not used: {text}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            models = (line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("model name"))
            name = next(models, name)
    except OSError:
        pass  # not Linux
    try:
        from llvmlite import binding

        has = binding.get_host_cpu_features()
        features = " ".join(f for f in FEATURES if has.get(f))
        return f"{name} ({binding.get_host_cpu_name()}; {features})"
    except Exception as error:
        return f"{name} (llvmlite does not say more: {error})"


def _threads() -> str:
    from fuse.codegen.threads import get_num_threads

    return f"{get_num_threads()} of {os.cpu_count()} cores"


def _cache() -> str:
    try:
        from fuse.codegen.load import cache_info

        cache = cache_info()
    except Exception as error:
        return f"unknown: {error}"
    return "{directory}: {state}, {files} kernels, {bytes:,} bytes".format(**cache)


class Check(NamedTuple):
    """One line of ``fuse doctor``: ``test`` returns a remark, or raises; then ``remedy`` is printed."""

    name: str
    test: Callable[[], str]
    remedy: str
    optional: bool = False


def examine() -> int:
    """Run every check, print a line for each, and return 0 if all that is not optional works."""
    failed = 0
    for check in CHECKS:
        try:
            state, remark = "ok", check.test()
        except Exception as error:
            state = "absent" if check.optional else "FAILED"
            remark = f"{type(error).__name__}: {error}".splitlines()[0]
            failed += not check.optional
        print(f"{state:<8}{check.name:<18}{remark}")
        if state != "ok":
            print(f"{'':<8}{'':<18}-> {check.remedy}")
    print(f"{failed} of {len(CHECKS)} checks failed" if failed else "everything that fuse needs works")
    return 1 if failed else 0


def _imports() -> str:
    for name in PACKAGES:
        importlib.import_module(name)
    return ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


# Run here, and once more in a second process, which must find its kernel in the cache.
SMALL_PROGRAM = """
import numpy as np, fuse, fuse.tensor as T
x = T.dvector("x")
f = fuse.function([x], T.sum(x * T.exp(-x)))
value = np.linspace(0.0, 3.0, 1000)
np.testing.assert_allclose(f(value), np.sum(value * np.exp(-value)), rtol=1e-12)
"""


def _compile() -> str:
    from time import perf_counter

    start = perf_counter()
    exec(SMALL_PROGRAM, {})
    return f"sum(x exp(-x)) agrees with NumPy, {perf_counter() - start:.2f} s"


def _gradient() -> str:
    import numpy as np

    import fuse.tensor as T

    T.verify_grad(lambda w: T.sum(T.nnet.softplus(w) ** 2), [np.linspace(-2.0, 2.0, 5)], rng=np.random.default_rng(0))
    return "agrees with finite differences"


def _deep_graph() -> str:
    import numpy as np

    import fuse
    import fuse.tensor as T

    x = T.dscalar("x")
    y, depth = x, 20_000
    for _ in range(depth):
        y = T.sin(y)
    slope = fuse.function([x], T.grad(y, x), mode="FAST_COMPILE")(1.0)
    expected, value = 1.0, 1.0
    for _ in range(depth):
        expected, value = expected * np.cos(value), np.sin(value)
    np.testing.assert_allclose(slope, expected, rtol=1e-9)
    return f"{depth:,} nodes differentiated and evaluated"


def _cache_works() -> str:
    from fuse.codegen.load import cache_info

    exec(SMALL_PROGRAM, {})
    cache = cache_info()
    if not cache["files"]:
        raise OSError("no kernel is kept in {directory}: {state}".format(**cache))
    program = f"{SMALL_PROGRAM}\nfrom fuse.codegen.load import stats; print(stats()['compiles'])"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    if child.returncode:
        raise RuntimeError(f"the second process died: {child.stderr.strip().splitlines()[-1]}")
    if child.stdout.split()[-1] != "0":
        raise OSError(f"a second process compiled the same kernel again, in spite of {cache['directory']}")
    return f"a second process starts warm from {cache['directory']}"


def _drawing() -> str:
    import pygraphviz

    return f"pygraphviz {pygraphviz.__version__}"


def _cuda() -> str:
    usable, text = gpu()
    if not usable:
        raise OSError(text)
    return text


_GPU_NEEDS = "for kernels on an NVIDIA GPU: a driver, and pip install 'fuse[cuda]'"
CHECKS = (
    Check("packages", _imports, "install again: pip install --force-reinstall fuse"),
    Check("compile and run", _compile, "report this with the output of fuse info"),
    Check("gradient", _gradient, "report this with the output of fuse info"),
    Check("deep graph", _deep_graph, "report this with the output of fuse info"),
    Check("kernel cache", _cache_works, "make it yours and writable; until then each process compiles anew"),
    Check("drawing", _drawing, "for pydotprint: pip install 'fuse[viz]'", optional=True),
    Check("gpu", _cuda, _GPU_NEEDS, optional=True),
)
