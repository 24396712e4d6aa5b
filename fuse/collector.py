"""The collector of cyclic garbage, which rests while graphs and code are made: it would walk all of them often."""
from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_resting: set[object] = set()  # a token for each thread that has stopped the collector


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected within; afterwards it is as before.

    >>> with uncollected(), uncollected():
    ...     gc.isenabled()
    False
    """
    collecting, token = gc.isenabled(), object()
    try:
        if collecting:
            _resting.add(token)
        gc.disable()  # here: an interrupt may come right after it
        yield
    finally:
        if collecting:
            gc.enable()
        _resting.discard(token)


def _in_child() -> None:
    """The threads that stopped the collector, and would start it again, are not in a process that is forked off."""
    if _resting:
        _resting.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
