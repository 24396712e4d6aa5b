"""Inputs, kernels and comparisons for the tests that tests/test_elementwise.py makes of every elementwise record."""
from __future__ import annotations

import itertools
from functools import cache

import numpy as np

import fuse.frontend.bessel
import fuse.frontend.bfloat16
import fuse.frontend.incomplete
import fuse.tensor  # noqa: F401  (enters every other op, and the operators of expressions)
from fuse import types as ty
from fuse.codegen import mathlib
from fuse.codegen.inline import compute_dtype, inline
from fuse.codegen.load import ArgType, compile_kernel
from fuse.errors import FuseTypeError
from fuse.expr import variable
from fuse.op import OPS, Op

# The op in place of an input is made where a program first asks for it, and both its operands have one shape.
ELEMENTWISE = [op for op in OPS.values() if op.kind == "elementwise" and op.name != "overwriting"]
# float16 is a storage format: kernels compute in float32
KERNEL_DTYPES = tuple(d for d in ty.DTYPES if d != "float16")


def examples(op: Op) -> list[dict]:
    """Parameters to try: those that the record gives, or none."""
    return list(op.meta.get("examples", ({},)))


def arity(op: Op) -> int:
    return op.nargs or 2


# ---------------------------------------------------------------- values
def special_values(dtype: str) -> np.ndarray:
    """Numbers of ``dtype`` at which implementations go wrong."""
    if dtype == "bool":
        return np.array([False, True])
    if ty.kind(dtype) in "iu":
        info = np.iinfo(dtype)
        width = info.bits
        wanted = [0, 1, -1, 2, -2, 3, -3, 7, -7, 10, 100, width - 1, width, width + 1, 64, -width,
                  info.min, info.min + 1, info.max, info.max - 1, info.max // 2]
        return np.array(sorted({n for n in wanted if info.min <= n <= info.max}), dtype)
    if dtype in ty.COMPLEX:
        parts = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan]
        return np.array([complex(a, b) for a, b in itertools.product(parts, parts)]).astype(dtype)
    info = np.finfo(dtype)
    positive = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 10.0, 20.0, 30.0, 88.0, 100.0, 1000.0, 1e10,
                1e-5, 1e-20, info.tiny, info.smallest_subnormal, info.max, info.eps, 1 + info.eps, np.inf, np.nan]
    with np.errstate(over="ignore"):
        return np.array([*positive, *np.negative(positive)]).astype(dtype)


def random_values(dtype: str, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if ty.kind(dtype) in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
    values = rng.normal(0.0, 3.0, (2, count))
    return (values[0] + 1j * values[1] if dtype in ty.COMPLEX else values[0]).astype(dtype)


@cache
def operands(dtypes: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Every combination of special values (every third of them for three operands), then random ones."""
    lists = [special_values(d) for d in dtypes]
    if len(dtypes) > 2 or any(len(v) > 60 for v in lists) and len(dtypes) > 1:
        lists = [v[:: max(1, len(v) // 14)] for v in lists]
    combined = list(zip(*itertools.product(*[range(len(v)) for v in lists]), strict=True))
    count = 64
    columns = [v[np.array(k)] for v, k in zip(lists, combined, strict=True)]
    return tuple(np.concatenate([c, random_values(d, count, 7 + n)])
                 for n, (c, d) in enumerate(zip(columns, dtypes, strict=True)))


# ---------------------------------------------------------------- kernels
def resolve(name: str, dtype: str):
    found = mathlib.resolve(name, dtype)
    return (found, None) if isinstance(found, str) else (f"{name}_{dtype}", found)


def node_of(op: Op, dtypes, params):
    """The record applied to vectors of these dtypes; None where it refuses them."""
    try:
        return op(*[variable(ty.TensorType(d, (None,))) for d in dtypes], **params)
    except FuseTypeError:
        return None


@cache
def cases(dtype: str, count: int) -> dict[tuple, list[tuple]]:
    """(signature of the kernel) -> [(op, params, dtype of the result)], for ``count`` operands of ``dtype``."""
    grouped: dict[tuple, list[tuple]] = {}
    for op in ELEMENTWISE:
        for params in examples(op) if arity(op) == count else ():
            node = node_of(op, [dtype] * count, params)
            if node is not None:
                want, out = op.signature(*node.args, **params)
                if want == (dtype,) * count or "bool" in want:
                    grouped.setdefault(want, []).append((op, params, out))
    return grouped


def run_kernels(ops: list[tuple], want: tuple[str, ...], arrays) -> list[np.ndarray | str]:
    """Each op's kernel, inlined as the code generator does it, all in one loop: the results, or why there is none."""
    lines, helpers, outputs, results, types = [], {}, [], [], []
    for k, (op, params, out) in enumerate(ops):
        try:
            before, text, used = inline(op, [f"x{n}" for n in range(len(want))], params, compute_dtype(want),
                                        resolve, f"t{k}")
        except FuseTypeError as error:
            results.append(str(error))
            continue
        helpers |= used
        outputs.append(np.empty(len(arrays[0]), out))
        results.append(outputs[-1])
        types.append(ArgType("bool" if out == "bool" else out, 1, True))
        value = f"bool_({text})" if out == "bool" else text
        lines += [f"        {line}" for line in (*before, f"store(o{len(outputs) - 1}, i, {value})")]
    names = [f"a{n}" for n in range(len(want))]
    loads = [f"        x{n} = load(a{n}, i)" for n in range(len(want))]
    arguments = ", ".join([*names, *(f"o{k}" for k in range(len(outputs)))])
    head = [f"def kernel({arguments}):", "    for i in range(size(a0, 0)):"]
    source = "\n".join([*head, *loads, *lines, "    return 0"])
    inputs = [np.ascontiguousarray(a) for a in arrays]
    if outputs:
        run = compile_kernel(source + "\n", "kernel", (*(ArgType(d, 1, False) for d in want), *types), helpers)
        assert run(*inputs, *outputs) == 0
    return results


# ---------------------------------------------------------------- comparison
def wrong_places(op: Op, params: dict, out: str, arrays, have: np.ndarray) -> np.ndarray:
    """Where ``have`` is not what NumPy or SciPy give for ``arrays``, which have the dtypes of the kernel's operands."""
    with np.errstate(all="ignore"):
        references = [np.asarray(op.numpy(*arrays, **params)).astype(out)]
        if out in ("float32", "complex64"):  # SciPy and NumPy lose more in single precision than they need
            double = {"float32": "float64", "complex64": "complex128"}
            wide = [a.astype(double.get(a.dtype.name, a.dtype)) for a in arrays]
            references.append(np.asarray(op.numpy(*wide, **params)).astype(out))
        ulps = op.meta.get("ulps", 4)
        bad = np.logical_and.reduce([disagreement(have, r, ulps, op.meta.get("zero_sign", True)) for r in references])
        if "reference_error" in op.meta:
            error = max(op.meta["reference_error"], 4 * np.finfo(out).eps)
            bad &= ~np.isclose(have, references[-1], rtol=error, atol=error)
        if "defined" in op.meta:
            bad &= op.meta["defined"](*np.broadcast_arrays(*arrays), **params)
    return bad


def disagreement(have: np.ndarray, want: np.ndarray, ulps: float, signed_zero: bool = True) -> np.ndarray:
    """Where two arrays differ by more than ``ulps`` units in the last place (of the modulus, for complex numbers)."""
    assert have.dtype == want.dtype and have.shape == want.shape
    if want.dtype.kind not in "fc":
        return have != want
    if want.dtype.kind == "c":
        finite = np.isfinite(have) & np.isfinite(want)
        with np.errstate(all="ignore"):
            far = np.abs(have - want) > ulps * np.finfo(want.dtype).eps * np.abs(want) + np.finfo(want.dtype).tiny
        same = [_same_special(getattr(have, p), getattr(want, p)) for p in ("real", "imag")]
        return np.where(finite, far, ~(same[0] & same[1]))
    finite = np.isfinite(have) & np.isfinite(want)
    with np.errstate(all="ignore"):
        far = np.abs(have - want) > ulps * np.spacing(np.abs(np.where(finite, want, 0)))
    wrong = np.where(finite, far, ~_same_special(have, want))
    if signed_zero:
        wrong |= (have == 0) & (want == 0) & (np.signbit(have) != np.signbit(want))
    return wrong


def _same_special(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b) | (np.isnan(a) & np.isnan(b)) | (np.isfinite(a) & np.isfinite(b))
