"""The sum of a row that a long loop body has written: one function that a kernel calls for each of its sums.

Written out for each sum, its two loops and all that LLVM makes of them took a third of such a kernel's compile time.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from fuse.codegen.syntax import parse

# Elements before ``even`` in any order, the rest one after another, in float64.
TEXT = """
def row_sum(row, even, count, total):
    for k in range(even):
        total = radd(total, load(row, k))
    rest = float64(total)
    for k in range(even, count):
        rest = rest + float64(load(row, k))
    return rest
"""


def _function() -> FunctionType:
    tree = parse(TEXT)
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(tree, __file__, "exec"), names)
    made: FunctionType = names["row_sum"]
    made.definition = tree.body[0]  # type: ignore[attr-defined]  # for who compiles it
    made.apart = True  # type: ignore[attr-defined]  # called, not inlined
    return made


row_sum = _function()
