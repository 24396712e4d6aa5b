"""Calls of loops that are compiled with the formulas around them: stored plans make them by name (no planning here)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.codegen import load
from fuse.codegen.calls import remembered
from fuse.codegen.loop_entry import LINE, LONGEST, aligned, contiguous, walkable
from fuse.codegen.native import ArgType
from fuse.codegen.runner import SizeMismatch

__all__ = ["LINE", "LONGEST", "aligned", "grouped", "resumed"]

Array = Any


class Grouped:
    """The compiled function of a group; what it returns is 0 where all went well."""

    def __init__(self, kernel: Callable[..., int]) -> None:
        self.kernel = kernel
        self.made_in: float | None = None  # seconds, where it was not stored

    def __call__(self, *values: Any) -> int:
        return self.kernel(*values)

    def compiled(self) -> Callable[..., int]:
        return self.kernel


def _kernel(key: str, text: str, argtypes: Sequence[tuple[Any, ...]]) -> Callable[..., int]:
    kernel: Callable[..., int] | None = load.stored_kernel(key, text, tuple([ArgType(*t) for t in argtypes]))
    if kernel is None:
        raise KeyError(key)
    return kernel


@remembered
def grouped(key: str, text: str, argtypes: Sequence[tuple[Any, ...]]) -> Grouped:
    """The function of a group: of sizes, values that are read, results and memory."""
    return Grouped(_kernel(key, text, argtypes))


@remembered
def resumed(
    key: str, text: str, argtypes: Sequence[tuple[Any, ...]], read: Sequence[tuple[int, bool]]
) -> Callable[..., None]:
    """What is called where the function refuses: with copies of the arrays at ``read`` that are laid out otherwise.

    With each place goes whether it is a sequence, whose elements alone must be in C order.
    """
    kernel = _kernel(key, text, argtypes)

    def run(*values: Any) -> None:
        given = list(values)
        for k, is_sequence in read:
            given[k] = walkable(given[k]) if is_sequence else contiguous(given[k])
        if kernel(*given):
            raise SizeMismatch

    return run
