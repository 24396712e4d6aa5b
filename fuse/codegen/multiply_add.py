"""Multiply-add: in the steps of loops ``a * b + c`` is one instruction, rounded once.

Each step of a loop waits for the one before, so what counts is how long the chain of its operations is, and this one
halves it: two operations of four cycles become one. Compilers of C and XLA do the same. It is written out, ``fma``,
and so the same in every form of a loop. A sum or difference of two products stays as it is: ``a * a - b * b`` with one
of them rounded and the other not would no longer be 0 where ``a`` is ``b``. Nor is it done in mode ``strict``.
Reductions have it where lanes of vectors add up products (``emit_sums``): half of their instructions.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

from fuse.codegen import mathlib
from fuse.codegen.kernel import Compute, Kernel, Loop, uses, walk
from fuse.op import OPS, Op

_FLOATS = ("float32", "float64")


def _kernel(x: Any, y: Any, z: Any) -> Any:
    return mathlib.multiply_add(x, y, z)  # type: ignore[attr-defined]


MULTIPLY_ADD = Op(name="multiply_add", kind="elementwise", numpy=lambda x, y, z: x * y + z, kernel=_kernel, nargs=3)


@cache
def has_multiply_add() -> bool:
    """Whether the machine has the instruction; without it, it would be a call of a slow function."""
    import llvmlite.binding as llvm

    return platform.machine().lower() in ("arm64", "aarch64") or bool(llvm.get_host_cpu_features().get("fma"))


def with_multiply_add(kernel: Kernel) -> Kernel:
    """``kernel`` with products that only one sum or difference reads as part of it."""
    count = Counter(name for s in walk(kernel.body) for name in uses(s))
    return replace(kernel, body=_contracted(kernel.body, count))


def _contracted(body: tuple[Any, ...], count: Counter[str]) -> tuple[Any, ...]:
    made = {s.name: s for s in body if isinstance(s, Compute)}
    found: dict[str, tuple[Any, ...]] = {}  # what stands in the place of a statement
    for s in body:
        if isinstance(s, Compute) and s.op.name in ("add", "sub") and s.dtype in _FLOATS:
            new = _of_sum(s, made, count)
            if new is not None:
                product, statements = new
                found[product], found[s.name] = (), statements
    return tuple([
        new
        for s in body
        for new in (
            (replace(s, body=_contracted(s.body, count)),)
            if isinstance(s, Loop)
            else found.get(s.name, (s,)) if isinstance(s, Compute) else (s,)
        )
    ])


def _of_sum(s: Compute, made: dict[str, Compute], count: Counter[str]) -> tuple[str, tuple[Compute, ...]] | None:
    """(the product that is taken in, the statements of the sum with it)."""
    if s.signature != (s.dtype,) * 2 or len(s.args) != 2:
        return None
    products = [made[a] if _is_product(a, made) else None for a in s.args]
    at = next((k for k, p in enumerate(products) if p is not None), None)
    if at is None or None not in products:
        return None
    product = products[at]
    assert product is not None
    if product.op.name not in ("mul", "sqr") or count[product.name] != 1:
        return None
    if product.dtype != s.dtype or s.arg_dtypes[at] != s.dtype or set(product.signature) != {s.dtype}:
        return None
    pair = list(zip(product.args, product.arg_dtypes, strict=True))
    factors = pair * 2 if product.op.name == "sqr" else pair
    other = s.args[1 - at], s.arg_dtypes[1 - at]
    statements: list[Compute] = []
    if s.op.name == "sub":  # of the factors the second is the one that may be a number known before
        turned = 2 if at == 0 else 0
        name, dtype = (*factors, other)[turned]
        minus = Compute(f"{s.name}_m", s.dtype, OPS["neg"], (name,), (dtype,), (s.dtype,))
        statements.append(minus)
        negative = minus.name, s.dtype
        factors, other = (factors, negative) if turned == 2 else ([negative, factors[1]], other)
    args = *factors, other
    names, dtypes = tuple([a for a, _ in args]), tuple([d for _, d in args])
    return product.name, (*statements, Compute(s.name, s.dtype, MULTIPLY_ADD, names, dtypes, (s.dtype,) * 3))


def _is_product(name: str, made: dict[str, Compute]) -> bool:
    """Whether a value is a product, or the negative of one."""
    s = made.get(name)
    while s is not None and s.op.name in ("neg", "cast"):
        s = made.get(s.args[0])
    return s is not None and s.op.name in ("mul", "sqr")
