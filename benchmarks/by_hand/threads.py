"""A serial kernel over the first axis of arrays, run in chunks by Numba's threads where there is enough to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["GRAIN", "chunked", "columned"]

GRAIN = 32_768  # elements from which threads are worth their launch


def chunked(serial: Callable[..., Any], arrays: int, align: int = 64) -> Callable[..., Any]:
    """Return ``parallel(*arrays)``: ``serial`` for chunks of the arrays along their first axis, aligned to ``align``.

    The chunks are slices, so that the loops of ``serial`` run from 0 to a length: other bounds do not widen.
    """
    names = [f"a{i}" for i in range(arrays)]
    return _parallel(serial, names, "a0.shape[0]", align, ", ".join(f"{name}[low:high]" for name in names))


def columned(serial: Callable[..., Any], arrays: int) -> Callable[..., Any]:
    """Return ``parallel(*arrays)``: ``serial(*arrays, low, high)`` for ranges of columns, a row of them at a time.

    A slice of columns would be of unknown stride to the compiler, a slice of one row is not.
    """
    names = [f"a{i}" for i in range(arrays)]
    return _parallel(serial, names, "a0.shape[1]", 64, ", ".join([*names, "low", "high"]))


def _parallel(serial: Callable[..., Any], names: list[str], length: str, align: int, call: str) -> Callable[..., Any]:
    text = f"""
def parallel({", ".join(names)}):
    n = {length}
    step = ((n + threads - 1) // threads + {align - 1}) // {align} * {align}
    for thread in prange(threads):
        low, high = min(n, thread * step), min(n, (thread + 1) * step)
        serial({call})
"""
    scope: dict[str, Any] = {"serial": serial, "prange": numba.prange, "threads": numba.get_num_threads()}
    exec(text, scope)
    return numba.njit(scope["parallel"], parallel=True, error_model="numpy")
