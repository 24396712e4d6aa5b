"""Functions that SciPy computes in kernels: their names, how many arguments each takes, and where they stand.

``scipy.special.cython_special`` gives in ``__pyx_capi__`` the addresses of its functions to compiled programs: they
take and return doubles (and a flag without meaning), need no lock, and are what the ufuncs of the same names call.
"""
from __future__ import annotations

import ctypes
import re
from typing import Any

SCIPY = "scipy_"  # before the name in generated source
PREFIX = "fuse_scipy_"  # before the name in object code

ARITIES = {
    **dict.fromkeys("exp1 expi j0 j1 y0 y1 i0 i1 k0 k1".split(), 1),
    **dict.fromkeys("jv yv iv kv ive kve gammainc gammaincc gammaincinv gammainccinv beta poch owens_t".split(), 2),
    **dict.fromkeys("betainc betaincinv".split(), 3),
    "hyp2f1": 4,
}
TABLE: dict[str, Any] = {name: SCIPY + name for name in ARITIES}


def address(symbol: str) -> int | None:
    """Where the function of SciPy stands that object code calls ``symbol``; None where this SciPy has none.

    >>> address("fuse_scipy_j0") is None, address("fuse_scipy_no_such_function") is None
    (False, True)
    """
    from scipy.special import cython_special

    name = symbol.removeprefix(PREFIX)
    # a function of several types has a number for each: that of doubles is told by its signature
    signature = f"double ({'double, ' * ARITIES.get(name, 0)}int __pyx_skip_dispatch)".encode()
    for found, capsule in cython_special.__pyx_capi__.items():
        if re.sub(r"^__pyx_fuse_\d+", "", found) == name and _called("Name", ctypes.c_char_p, capsule) == signature:
            return _called("Pointer", ctypes.c_void_p, capsule, signature)
    return None


def _called(what: str, result: Any, *arguments: Any) -> Any:
    """What ``PyCapsule_Get<what>`` of Python's C interface gives."""
    kinds: list[Any] = [ctypes.py_object, ctypes.c_char_p][: len(arguments)]
    return ctypes.PYFUNCTYPE(result, *kinds)((f"PyCapsule_Get{what}", ctypes.pythonapi))(*arguments)
