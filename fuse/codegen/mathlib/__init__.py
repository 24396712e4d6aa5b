"""Scalar functions of kernels: ``resolve`` finds, for ``mathlib.NAME`` and a dtype, what a kernel is to call.

The functions are plain Python in the modules beside this one, a table per kind of dtype: booleans and integers in
``integers``, real floats in ``real``, ``special``, ``bessels`` and, as straight lines of arithmetic, the modules of
``vectorised``, complex numbers in ``complexes``. They call each other, ``math``, ``np`` and the intrinsics of
``fuse.codegen.intrinsics``, all known to the loader. One text serves every dtype of a kind: ``specialise`` types its
literals, so that nothing is widened by accident.
"""
from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

from fuse import types as ty
from fuse.codegen.mathlib import bessels, complexes, integers, real, scipys, special, stored, vectorised
from fuse.codegen.mathlib.specialise import specialise, through_float64
from fuse.errors import FuseTypeError

Resolved = str | FunctionType

_FLOATS: dict[str, Any] = {**real.TABLE, **special.TABLE}

# Accurate in single precision only when computed in double, or not worth a text of their own.
_WIDE = (special.TABLE.keys() - special.NATIVE - vectorised.TABLE.keys()) | bessels.TABLE.keys()


@cache
def resolve(name: str, dtype: str, target: str = "cpu") -> Resolved:
    """What ``mathlib.NAME`` is at ``dtype``: a name to write ("math.exp"), or a function to give the loader.

    ``target``: "cpu", or "cuda", where the vectorised texts give way to the device's own functions. float16 is
    computed in float32. Raises FuseTypeError where the function has no meaning, or no text yet, for the dtype.

    >>> resolve("sqrt", "float32"), resolve("maximum", "int8").__name__
    ('math.sqrt', 'maximum_int64')
    """
    dtype = "float32" if dtype == "float16" else dtype
    found = _table(dtype, target).get(name)
    if found is None:
        known = sorted(d for d in ty.DTYPES if d != "float16" and name in _table(d, target))
        meant = f"it has {', '.join(known)}" if known else f"the functions are {', '.join(sorted(_FLOATS))}"
        raise FuseTypeError(f"kernels have no function mathlib.{name} for {dtype}: {meant}")
    if isinstance(found, str):
        return found
    if dtype == "float32" and (name in _WIDE or getattr(found, "in_float64", False)):
        return through_float64(found, name, target)
    return specialise(found, dtype, target)


# Functions of real floats that are an operator: generated source then reads as the formula does.
_OPERATORS = {"divide": "/", "less": "<", "less_equal": "<="}


def operator(name: str, dtype: str) -> str | None:
    """The operator that ``mathlib.NAME`` of two arguments is at ``dtype``, if it is one.

    >>> operator("divide", "float32"), operator("divide", "int64")
    ('/', None)
    """
    return _OPERATORS.get(name) if dtype in ty.FLOATING else None


# About how many operations a call is: an instruction or two; of longer functions than most, by their time beside that
# of exp; every other one is a polynomial and more.
COSTS = {
    "divide": 2, "sqrt": 2,
    **dict.fromkeys(
        "absolute sign maximum minimum less less_equal isnan isinf isfinite signbit copysign floor ceil trunc rint "
        "invert left_shift right_shift deg2rad rad2deg real imag conjugate complex "
        "abs min max int float bool multiply_add".split(),
        1,
    ),
    "from_bfloat16": 1, "to_bfloat16": 6,
    **dict.fromkeys("arctan2 erf erfc erfcx softplus logaddexp log1mexp arcsinh arccosh".split(), 50),
    "power": 75, "erfinv": 150, "erfcinv": 150, "lgamma": 150, "digamma": 125, "gamma": 175,
    **dict.fromkeys("trigamma polygamma".split(), 500),
    **dict.fromkeys([*scipys.TABLE, "gammainc_da", "betainc_da"], 1500),
}
CALL = 20


@cache
def _table(dtype: str, target: str) -> dict[str, Any]:
    if dtype in ty.COMPLEX:
        return complexes.TABLE
    if dtype == "uint16":
        return {**_whole(dtype, target), "from_bfloat16": stored.from_bfloat16}
    if dtype in ty.FLOATING:
        single = {"to_bfloat16": stored.to_bfloat16} if dtype == "float32" else {}
        on_cpu = {**single, **scipys.TABLE, **bessels.TABLE, **_FLOATS, **vectorised.TABLE}
        return on_cpu if target == "cpu" else {**single, **vectorised.TABLE, **_FLOATS}
    if dtype == "bool":
        return integers.BOOL
    return _whole(dtype, target)


def _whole(dtype: str, target: str) -> dict[str, Any]:
    kind = ty.kind(dtype)
    table = integers.SIGNED if kind == "i" else integers.UNSIGNED
    return table | integers.QUICK[kind, dtype.endswith("64")] if target == "cpu" else table
