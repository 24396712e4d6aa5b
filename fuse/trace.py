"""Whether this thread is tracing a Python function: its lines then mean what NumPy says, not what Theano says.

Three things differ between the two. ``x == y`` compares elements in NumPy and objects in Theano; ``x.shape`` is a tuple
and ``x.dtype`` an object; and Python's numbers have no dtype of their own beside an array (``x * 0.1`` stays float32).
Only lines outside fuse are meant: what fuse does on its own during a trace is what it does otherwise.
"""
from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fuse.errors import PACKAGE


class _Trace(threading.local):
    """``active``: the user's lines mean what NumPy says; ``single``: Python's floats are float32; ``decisions``: what
    answers for values (fuse.transforms.decisions), where they are at hand."""

    active = False
    single = False
    decisions: Any = None


TRACE = _Trace()


@contextmanager
def tracing(active: bool = True, single: bool | None = None) -> Iterator[None]:
    """A context in which the user's lines are traced, or with ``active=False`` in which fuse works on its own."""
    before = TRACE.active, TRACE.single
    TRACE.active = active
    TRACE.single = active and (TRACE.single if single is None else single)
    try:
        yield
    finally:
        TRACE.active, TRACE.single = before


@contextmanager
def deciding(decisions: Any) -> Iterator[None]:
    """A context in which ``decisions`` answers when the user's lines ask for a truth or a count; None: nothing does."""
    before = TRACE.decisions
    TRACE.decisions = decisions
    try:
        yield
    finally:
        TRACE.decisions = before


def answered(question: Any, convert: Callable[[Any], Any]) -> Any:
    """``convert`` of a value that a user's line asks for, where it is at hand; None where it is not."""
    return None if TRACE.decisions is None or not by_user(3) else TRACE.decisions.answer(question, convert)


def by_user(depth: int = 2) -> bool:
    """Whether the function ``depth`` calls up, the caller of the one that asks, is traced and not fuse's own."""
    return TRACE.active and not _ours(sys._getframe(depth))


def by_untraced_user(depth: int = 2) -> bool:
    """Whether nothing is traced and the function ``depth`` calls up, as in `by_user`, is not fuse's own."""
    return not TRACE.active and not _ours(sys._getframe(depth))


def _ours(frame: FrameType) -> bool:
    """Whether a line is fuse's own: in a file of it, or in what a dataclass generates for a module of it."""
    name = frame.f_code.co_filename
    return name.startswith(PACKAGE) or (name == "<string>" and frame.f_globals.get("__name__", "").startswith("fuse."))
