"""Text of casts and typed constants in generated source."""

from __future__ import annotations

from fuse.codegen.kernel import Loop
from fuse.types import CONTINUOUS


def is_innermost(s: Loop) -> bool:
    return not any(isinstance(c, Loop) for c in s.body)


def typed(text: str, dtype: str) -> str:
    return text if text.startswith(dtype) or dtype == "float64" else f"{scalar_type(dtype)}({text})"


def scalar_type(dtype: str) -> str:
    return {"bool": "bool_", "float16": "float32"}.get(dtype, dtype)


def numpy_dtype(dtype: str) -> str:
    """The text of a dtype where ``np`` is NumPy."""
    return f"np.{'bool_' if dtype == 'bool' else dtype}"


def as_dtype(text: str, dtype: str) -> str:
    """``text``, whatever type Numba gives it, as ``dtype``: a sum of bools, which Numba adds as numbers, as one."""
    return f"{scalar_type(dtype)}({text})"


def cast(text: str, have: str, want: str) -> str:
    if have == want:
        return text
    if want == "bool":
        return f"({text} != 0)"
    if have in ("complex64", "complex128") and want not in ("complex64", "complex128"):
        text = f"{text}.real"
    if have in CONTINUOUS and want in _VIA:
        return f"{want}({_VIA[want]}({text}))"
    if have in CONTINUOUS and want == "uint64":
        high = repr(2.0**63) if have in ("float64", "complex128") else f"float32({2.0**63!r})"
        return f"(uint64(int64({text})) if not {text} >= {high} else uint64(int64({text} - {high})) ^ uint64({2**63}))"
    return f"{scalar_type(want)}({text})"


# From float to integer as C compilers do it on x86, and so NumPy: through a wider signed integer, then wrapped around.
_VIA = {"int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "uint32": "int64"}


def parameter_dtype(dtype: str) -> str:
    return {"float16": "float32"}.get(dtype, dtype)  # half floats are computed as single ones


# Comparisons of int64 with uint64, which Numba would make in float64: {0} is the signed number, {1} the other.
_MIXED = {
    "eq": "({0} >= 0) & (uint64({0}) == {1})",
    "neq": "({0} < 0) | (uint64({0}) != {1})",
    "lt": "({0} < 0) | (uint64({0}) < {1})",
    "le": "({0} < 0) | (uint64({0}) <= {1})",
    "gt": "({0} >= 0) & (uint64({0}) > {1})",
    "ge": "({0} >= 0) & (uint64({0}) >= {1})",
}
_TURNED = {"eq": "eq", "neq": "neq", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def comparison(name: str, signature: tuple[str, ...], args: list[str]) -> str | None:
    """The text of a comparison of int64 with uint64; None for anything else."""
    if name not in _MIXED or set(signature) != {"int64", "uint64"}:
        return None
    if signature[0] == "int64":
        return _MIXED[name].format(*args)
    return _MIXED[_TURNED[name]].format(*reversed(args))


# Numba tells LLVM that int64 does not overflow, which then takes (x + 1 > x) for true; of uint64 it says nothing.
_WRAPPING = {
    "add": "int64(uint64({0}) + uint64({1}))", "sub": "int64(uint64({0}) - uint64({1}))",
    "mul": "int64(uint64({0}) * uint64({1}))", "sqr": "int64(uint64({0}) * uint64({0}))",
}


def wrapping(name: str, signature: tuple[str, ...], args: list[str]) -> str | None:
    """The text of arithmetic in int64 that wraps around, as NumPy's; None for anything else."""
    return _WRAPPING[name].format(*args) if name in _WRAPPING and set(signature) == {"int64"} else None
