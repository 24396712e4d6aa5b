"""Where the matrix product of NumPy's BLAS stands: compiled code calls the library that ``numpy.dot`` calls.

NumPy's own extension module is linked with that library, so its symbols are found through it (on Windows through the
library itself, which is in the process already): no second BLAS, with threads of its own, comes into the process. A
symbol counts once a small product through it is right; where there is none, NumPy's functions serve.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "fuse_blas_"  # before the name in object code
LETTERS = {"float32": "s", "float64": "d"}
NAMES = {np.dtype(name).char: name for name in LETTERS}  # a dtype's own name takes NumPy a microsecond
LONGEST = 2**31 - 1  # of a dimension: libraries with integers of 32 bits serve too
ROWS, PLAIN, TRANSPOSED = 101, 111, 112  # the words of CBLAS


@cache
def address(symbol: str) -> int | None:
    """The address of what object code calls ``symbol`` (``fuse_blas_dgemm``); None where NumPy's BLAS is not found.

    Its integers may be taken to have 64 bits: a function with shorter ones reads the lower halves.

    >>> address("fuse_blas_no_such_function") is None
    True
    """
    name = symbol.removeprefix(PREFIX)
    spellings = [f"scipy_cblas_{name}64_", f"cblas_{name}64_", f"cblas_{name}$NEWLAPACK$ILP64"]
    if sys.platform != "darwin":  # where arguments on the stack have the width of their type
        spellings.append(f"cblas_{name}")
    for library in _libraries():
        for spelling in spellings:
            try:
                function = getattr(library, spelling)
            except AttributeError:
                continue
            if _is_right(function, name):
                return ctypes.cast(function, ctypes.c_void_p).value
    return None


@cache
def processor() -> str:
    """OpenBLAS's name of the processor that its kernels are for; "" where NumPy's BLAS is another one."""
    for library in _libraries():
        for spelling in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            function = getattr(library, spelling, None)
            if function is not None:
                function.restype, function.argtypes = ctypes.c_char_p, []
                return (function() or b"").decode()
    return ""


def _libraries() -> list[Any]:
    core = getattr(np, "_core", None) or np.core
    paths = [Path(core._multiarray_umath.__file__)]
    if sys.platform == "win32":
        paths += sorted(Path(np.__file__).parent.with_name("numpy.libs").glob("*openblas*.dll"))
    found = []
    for path in paths:
        try:
            found.append(ctypes.CDLL(str(path)))
        except OSError:
            continue
    return found


def _is_right(function: Any, name: str) -> bool:
    """Whether ``c + 2 a.T b`` comes out right, for a matrix or a vector b, or ``2 a.T``."""
    dtype, number = (np.float32, ctypes.c_float) if name[0] == "s" else (np.float64, ctypes.c_double)
    word, size, memory = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    function.restype = None
    a, b, c = (np.arange(m * n).astype(dtype).reshape(m, n) for m, n in [(2, 3), (2, 4), (3, 4)])
    if name[1:] == "omatcopy":
        function.argtypes = [word] * 2 + [size] * 2 + [number, memory, size, memory, size]
        function(ROWS, TRANSPOSED, 2, 3, 2.0, a.ctypes.data, 3, c.ctypes.data, 4)
        return bool(np.array_equal(c[:, :2], 2 * a.T))
    if name[1:] == "gemv":
        function.argtypes = [word] * 2 + [size] * 2 + [number, memory, size, memory, size, number, memory, size]
        wanted = c[0, :3] + 2 * np.dot(a.T, b[:, 0])
        function(ROWS, TRANSPOSED, 2, 3, 2.0, a.ctypes.data, 3, b.ctypes.data, 4, 1.0, c.ctypes.data, 1)
        return bool(np.array_equal(c[0, :3], wanted))
    if name[1:] != "gemm":
        return False
    function.argtypes = [word] * 3 + [size] * 3 + [number, memory, size, memory, size, number, memory, size]
    wanted = c + 2 * np.dot(a.T, b)
    function(ROWS, TRANSPOSED, PLAIN, 3, 4, 2, 2.0, a.ctypes.data, 3, b.ctypes.data, 4, 1.0, c.ctypes.data, 4)
    return bool(np.array_equal(c, wanted))
