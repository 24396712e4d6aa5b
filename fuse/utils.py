"""PyTensor's ``utils``: how wide integers are, and small helpers."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.configdefaults import local_bitwidth, python_int_bitwidth
from fuse.gof.utils import difference as difference
from fuse.gof.utils import flatten as flatten
from fuse.gof.utils import hashtype as hashtype
from fuse.gof.utils import uniq as uniq

LOCAL_BITWIDTH, PYTHON_INT_BITWIDTH = local_bitwidth(), python_int_bitwidth()


def cmp(x: Any, y: Any) -> int:
    """1, 0 or -1 as ``x`` is greater than, equal to or less than ``y``.

    >>> cmp(1, 2), cmp("b", "a")
    (-1, 1)
    """
    return (x > y) - (x < y)


def exc_message(e: BaseException) -> Any:
    """What an exception says: its only argument, or all of them."""
    return e.args[0] if len(e.args) == 1 else e.args


def apply_across_args(*fns: Callable[..., Any]) -> Any:
    """The functions, each applied to several arguments in turn."""
    made = [lambda *args, f=f: list(map(f, args)) for f in fns]
    return made[0] if len(made) == 1 else made


def to_return_values(values: list[Any]) -> Any:
    """The only value, or the list of them."""
    return values[0] if len(values) == 1 else values


def from_return_values(values: Any) -> list[Any]:
    """The values as a list."""
    return list(values) if isinstance(values, (list, tuple)) else [values]
