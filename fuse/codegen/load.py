"""Source text to callable kernels: deduplicated in memory, kept on disk, compiled by numba at most once."""
from __future__ import annotations

import hashlib
import importlib.util
import linecache
import pkgutil
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from fuse.codegen import native
from fuse.codegen.cache import Store, default_directory
from fuse.codegen.native import ArgType, Kernel

__all__ = ["ArgType", "Kernel", "cache_info", "clear_cache", "compile_kernel", "key_of", "stats", "stored_kernel"]

MEMORY_LIMIT = 4096             # kernels kept alive for being asked for again
# The modules that make code of source: what they are is part of the key of a kernel.
PARTS = ("blas direct entry far gemms intrinsics lower mathlib/scipys mathlib/specialise native often parts pool "
         "scalars scipys scopes shared_intrinsics steps streams strength structures syntax target turning unlike "
         "values walk")

_kernels: OrderedDict[str, Callable] = OrderedDict()
_stores: dict[Path, Store] = {}
_counts = {"compiles": 0, "disk_hits": 0, "memory_hits": 0, "planned": 0, "plan_hits": 0,
           "compile_seconds": 0.0, "load_seconds": 0.0}


def compile_kernel(source: str, entry: str, argtypes: tuple[ArgType, ...], helpers: Mapping[str, object] = {},
                   *, fastmath: bool | Collection[str] = False, block: bool = False) -> Callable[..., int]:
    """The function `entry` of `source`, compiled for `argtypes`: a builtin that returns the kernel's status.

    It raises TypeError for arguments of any other type, dtype, byte order, rank or writability, and never compiles
    again. `helpers` are further names of the source: numbers, plain functions, or functions numba compiled.
    Its ``__self__`` is the `Kernel` with source and assembly. Equal requests give the same object. With `block` it is
    an operation of a tape and the `Kernel` itself is returned: its ``address`` is for compiled code.
    """
    argtypes = tuple(argtypes)
    key, storable = _key(source, entry, argtypes, helpers, fastmath, block)
    if (found := _kernels.get(key)) is None:
        with native.lock:
            if (found := _kernels.get(key)) is None:
                found = _make(key, storable, source, entry, argtypes, helpers, fastmath, block)
                _remember(key, found)
                return found
    _counts["memory_hits"] += 1
    return found


def key_of(kernel: Callable[..., int]) -> str:
    """The key under which `stored_kernel` finds a compiled kernel in another process; empty where it cannot."""
    return getattr(kernel, "__self__").key  # noqa: B009 (a builtin's has the type of a module)


def stored_kernel(key: str, source: str, argtypes: tuple[ArgType, ...], block: bool = False) -> Any:
    """The kernel of this key from memory or disk; None where neither has it. `source` is only for people to read."""
    if (found := _kernels.get(key)) is not None:
        _counts["memory_hits"] += 1
        return found
    with native.lock:
        found = _kernels.get(key) or _from_disk(key, source, argtypes, None, block)
        if found is not None:
            _remember(key, found)
    return found


def _remember(key: str, kernel: Callable[..., int]) -> None:
    """Keep a kernel in memory, in the place of the oldest where there are too many; called with the lock held."""
    _kernels[key] = kernel
    if len(_kernels) > MEMORY_LIMIT:
        _kernels.popitem(last=False)


def _from_disk(key, source, argtypes, text, block) -> Callable[..., int] | None:
    """The kernel linked from stored object code, or None; `text` compiles it again, for its LLVM assembly."""
    start = time.perf_counter()
    if (stored := store().load(key)) is None:
        return None
    header, code = stored
    try:
        kernel = Kernel(f"fuse_{key[:24]}", source, argtypes, "disk", text, key=key, block=block)
        found = native.link(kernel, code, tuple(header["externals"]), _numba_address)
    except (RuntimeError, KeyError, TypeError):         # not linkable here: compile anew
        return None
    _counts["disk_hits"] += 1
    _counts["load_seconds"] += time.perf_counter() - start
    return found


def _make(key, storable, source, entry, argtypes, helpers, fastmath, block) -> Callable[..., int]:
    start = time.perf_counter()
    kept = store()
    name = f"fuse_{key[:24]}"
    filename = f"<{name}>" if kept.reason or not storable else str(kept.path(key, ".py"))

    def lowered():
        from fuse.codegen import lower
        return lower.object_code(source, entry, name, filename, argtypes, helpers, fastmath, block)

    def text():                 # made when somebody asks: printing a module takes a while
        return str(lowered()[2])

    if storable and (found := _from_disk(key, source, argtypes, text, block)) is not None:
        return found
    linecache.cache[filename] = len(source), None, source.splitlines(True), filename
    try:
        code, externals, _ = lowered()
    except Exception as error:
        raise RuntimeError(f"a generated kernel does not compile; this is a bug of fuse\n{source}\n{error}") from error
    if not filename.startswith("<"):
        kept.save(key, {"externals": externals}, code, source)
    kernel = Kernel(name, source, argtypes, "compiled", text, key=key if storable else "", block=block)
    found = native.link(kernel, code, externals, _numba_address)
    _counts["compiles"] += 1
    _counts["compile_seconds"] += time.perf_counter() - start
    return found


def _numba_address(name: str) -> int | None:
    """Address of a function of SciPy, of BLAS, or of numba's C helpers: all that a stored kernel may import."""
    if name.startswith("fuse_blas_"):
        from fuse.codegen import blas
        return blas.address(name)
    if name.startswith("fuse_scipy_"):
        from fuse.codegen.mathlib.scipys import address
        return address(name)
    if not name.startswith(("numba", "NRT")):
        return None
    from fuse.codegen import lower
    return lower.address(name)


# -- keys -------------------------------------------------------------------------------------------------------------

def _key(source, entry, argtypes, helpers, fastmath, block) -> tuple[str, bool]:
    """Content hash of a request, and whether another process would compute the same."""
    identities = {name: _identity(value, ()) for name, value in sorted(helpers.items())}
    storable = None not in identities.values()
    if not storable:
        identities = {name: known or f"object at {id(helpers[name])}" for name, known in identities.items()}
    flags = fastmath if isinstance(fastmath, bool) else sorted(fastmath)
    text = repr((source, entry, argtypes, sorted(identities.items()), flags, block, surroundings()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), storable


def _identity(value, seen: tuple) -> str | None:
    """Text that tells helper `value` from every other, in every process; None where there is none."""
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, (type, ModuleType, BuiltinFunctionType)):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    if type(value).__module__ == "numpy":
        return f"{type(value).__name__} {value!r}"
    function = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    if not isinstance(function, FunctionType):
        return None
    if function in seen:
        return function.__qualname__
    parts = [repr(sorted(getattr(value, "targetoptions", {}).items(), key=str)), _code(function.__code__)]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    used = [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    for each in (*cells, *used, *(function.__defaults__ or ())):
        if type(each).__module__.startswith("numba.core.types") or type(each).__module__ == "numba":
            parts.append(str(each))
            continue
        if (identity := _identity(each, (*seen, function))) is None:
            return None
        parts.append(identity)
    return f"{function.__module__}.{function.__qualname__} " + hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return hashlib.sha256(repr((code.co_code, constants, code.co_names, code.co_varnames)).encode()).hexdigest()


def _names(code: CodeType) -> list[str]:
    inner = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c)]
    return [*code.co_names, *inner]


@lru_cache(maxsize=1)
def surroundings() -> tuple:
    """What compiled code depends on besides its source: versions, this package's loader, and the processor."""
    import llvmlite
    import llvmlite.binding as llvm
    import numpy
    loader = hashlib.sha256()
    for module in PARTS.split():
        try:
            loader.update(pkgutil.get_data("fuse.codegen", f"{module}.py") or b"unreadable")    # also of an archive
        except OSError:
            loader.update(b"unreadable")
    return (sys.version, sys.platform, object.__basicsize__, numpy.__version__, llvmlite.__version__,
            _numba_version(), loader.hexdigest(), llvm.get_process_triple(), llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten())


def _numba_version() -> str:
    """numba's version, read without importing it."""
    spec = importlib.util.find_spec("numba")
    try:
        return (Path(spec.origin).parent / "_version.py").read_text()       # type: ignore[union-attr, arg-type]
    except (AttributeError, TypeError, OSError):
        from importlib import metadata
        return metadata.version("numba")


# -- the state of the loader ------------------------------------------------------------------------------------------

def store() -> Store:
    """The store on disk of the directory that is now the cache's."""
    directory = default_directory()
    found = _stores.get(directory)
    return _stores.setdefault(directory, Store(directory)) if found is None else found  # one for all threads


def stats() -> dict[str, float]:
    """Kernels compiled, found on disk and found in memory by this process, functions planned or found as plans, and
    the seconds spent on kernels."""
    return dict(_counts)


def count(name: str) -> None:
    """Add one to a number of `stats`."""
    _counts[name] += 1


def cache_info() -> dict[str, object]:
    """Directory of the cache, its state (or why only memory is used), number of kernels and bytes on disk."""
    kept = store()
    files = [] if kept.reason else kept.files()
    return {"directory": str(kept.directory), "state": f"memory only: {kept.reason}" if kept.reason else "disk",
            "files": sum(path.endswith(".bin") for *_, path in files), "bytes": sum(size for _, size, _ in files),
            "in_memory": len(_kernels)}


def clear_cache() -> None:
    """Forget every kernel, in memory and on disk; callables in use go on working."""
    with native.lock:
        _kernels.clear()
        kept = _stores.pop(default_directory(), None) or Store(default_directory())
        if not kept.reason:
            kept.evict(0)
