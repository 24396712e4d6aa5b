"""Functions of NumPy that kernels for GPUs call: those that numba-cuda has no text for.

Of real numbers they are CUDA's libdevice, in the precision of their argument; of complex ones what Numba makes of
``cmath``, in float64 for the most part, or formulas. Part of the provider (`device.py`), which alone uses it: kernels
find them in a module that stands for NumPy.
"""

from __future__ import annotations

import cmath
import math
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

# Function of NumPy -> those of libdevice for float32 and float64.
_LIBDEVICE = {
    "floor": ("floorf", "floor"), "ceil": ("ceilf", "ceil"), "trunc": ("truncf", "trunc"), "rint": ("rintf", "rint"),
    "cbrt": ("cbrtf", "cbrt"), "exp": ("expf", "exp"), "exp2": ("exp2f", "exp2"), "expm1": ("expm1f", "expm1"),
    "log2": ("log2f", "log2"), "log1p": ("log1pf", "log1p"), "sqrt": ("sqrtf", "sqrt"), "fmod": ("fmodf", "fmod"),
}  # fmt: skip
_LN2 = math.log(2.0)


# Numba compares the signatures of an overload and of what it chooses, annotations included: they have none.
def _exp2(x):
    return cmath.exp(complex(x.real * _LN2, x.imag * _LN2))


def _log2(x):
    found = cmath.log(x)
    return complex(found.real / _LN2, found.imag / _LN2)


def _expm1(x):
    sine = math.sin(x.imag * 0.5)
    return complex(
        math.expm1(x.real) * math.cos(x.imag) - 2.0 * sine * sine, math.exp(x.real) * math.sin(x.imag)
    )


def _log1p(x):
    return complex(math.log(math.hypot(x.real + 1.0, x.imag)), math.atan2(x.imag, x.real + 1.0))


_COMPLEX: dict[str, Any] = {
    "exp": lambda x: cmath.exp(x), "sqrt": lambda x: cmath.sqrt(x),
    "exp2": _exp2, "log2": _log2, "expm1": _expm1, "log1p": _log1p,
}  # fmt: skip


@cache
def numpy_of_device() -> ModuleType:
    """What kernels know as ``np``."""
    from numba.core import types
    from numba.cuda import libdevice

    try:
        from numba.cuda.extending import overload
    except ImportError:
        from numba.extending import overload
    made = ModuleType("numpy_of_device")
    vars(made).update({name: value for name, value in vars(np).items() if not name.startswith("__")})
    for name, (single, double) in _LIBDEVICE.items():
        stub, choose = _choices(name, getattr(libdevice, single), getattr(libdevice, double), types)
        overload(stub, target="cuda")(choose)
        setattr(made, name, stub)
    return made


def _choices(name: str, single: Any, double: Any, types: Any) -> tuple[Any, Any]:
    """A function for kernels to name, and what chooses its implementation by the types of its arguments."""

    def of_one(x):
        raise NotImplementedError(f"{name} is for kernels on a GPU: on the host there is NumPy's")

    def of_two(x, y):
        raise NotImplementedError(f"{name} is for kernels on a GPU: on the host there is NumPy's")

    def choose_of_one(x):
        if isinstance(x, types.Complex):
            return _COMPLEX.get(name)
        return (lambda x: single(x)) if x == types.float32 else (lambda x: double(x))

    def choose_of_two(x, y):
        return (lambda x, y: single(x, y)) if x == y == types.float32 else (lambda x, y: double(x, y))

    return (of_two, choose_of_two) if name == "fmod" else (of_one, choose_of_one)
