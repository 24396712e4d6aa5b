"""Machine code with or without LLVM's strength reduction of addresses, which takes longer than all else behind it.

That pass looks for fewer numbers to count up in a loop, in time that grows faster than the number of the loop's
arrays: a step of many arrays was half of its time in there. Processors of the x86 family add a scaled index to an
address in the load itself, so loops along contiguous memory are the same instructions without it. What it saves is a
multiplication in loops that walk memory in steps of a size known at run time only; kernels of few loops keep it there.
Importing this module imports numba.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import llvmlite.binding as llvm
from numba.core.compiler_lock import global_compiler_lock

from fuse.codegen import native

FEW = 8  # innermost loops of a kernel, up to which the pass is quick
TRIED = 22  # the latest LLVM whose option this is known to be: a process ends that names one that there is not

T = TypeVar("T")


def emitted(emit: Callable[[Any], T], module: Any, tree: ast.AST) -> T:
    """What ``emit`` makes of the optimised ``module`` of the kernel ``tree``.

    The option is the whole process's; numba's lock keeps it from all others who compile with numba.
    """
    if not native.machine().triple.startswith("x86_64") or llvm.llvm_version_info[0] > TRIED or in_steps(tree):
        return emit(module)
    with global_compiler_lock:
        llvm.set_option("fuse", "-disable-lsr=true")
        try:
            return emit(module)
        finally:
            llvm.set_option("fuse", "-disable-lsr=false")


def in_steps(tree: ast.AST) -> bool:
    """Whether a kernel has few innermost loops, one of which multiplies its index by what is no constant.

    >>> text = "for i in range(n):\\n for j in range(m):\\n  store(y, i * m + j, load(x, {}))"
    >>> [in_steps(ast.parse(text.format(place))) for place in ("j * n + i", "i * m + j", "i * m + j * -1")]
    [True, False, False]
    """
    loops = list(_innermost(tree))
    return len(loops) <= FEW and any(_multiplies(loop) for loop in loops)


def _innermost(tree: ast.AST) -> Iterator[ast.For]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and sum(isinstance(inner, ast.For) for inner in ast.walk(node)) == 1:
            yield node


def _multiplies(loop: ast.For) -> bool:
    products = [n for n in ast.walk(loop) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult)]
    factors = [pair for p in products for pair in ((p.left, p.right), (p.right, p.left))]
    return any(
        isinstance(index, ast.Name)
        and isinstance(loop.target, ast.Name)
        and index.id == loop.target.id
        and any(isinstance(part, ast.Name) for part in ast.walk(step))
        for index, step in factors
    )
