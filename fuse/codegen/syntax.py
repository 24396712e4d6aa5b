"""Parsing of Python source by several threads."""
from __future__ import annotations

import ast
from typing import Any

from fuse.forks import lock_for_threads

_lock = lock_for_threads()


def parse(source: str, mode: str = "exec") -> Any:
    """The syntax tree of ``source``, as ``ast.parse`` gives it, one thread at a time.

    CPython's own counts how deep it is in a place that all threads share (SystemError «recursion depth mismatch»).

    >>> parse("x + 1", mode="eval").body.op.__class__.__name__
    'Add'
    """
    with _lock:
        return ast.parse(source, mode=mode)
