"""What has to be thought of where processes fork: locks that other threads hold, and names that are given once."""
from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


def lock_for_threads() -> threading.RLock:
    """A lock that the thread which holds it may take again, as signal handlers and finalisers do in its midst.

    A forked child finds it open: the thread of the parent that may have held it is not there to open it.

    >>> lock = lock_for_threads()
    >>> with lock, lock:
    ...     pass
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]
    return lock


_process = [os.urandom(6).hex()]
_count = itertools.count()


def new_identity() -> str:
    """A name that nothing else has, in this process or another.

    >>> new_identity() == new_identity()
    False
    """
    return f"{_process[0]}{next(_count):x}"


def _in_child() -> None:
    _process[0] = os.urandom(6).hex()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class cached_property(Generic[Value]):
    """`functools.cached_property` without the lock that Python 3.11 has in it.

    That lock is one for all instances, so a child that is forked while some thread computes such a value waits for ever
    (cpython#87634). Two threads may compute a value; both get the one that was there first.

    >>> class Circle:
    ...     radius = 2
    ...     @cached_property
    ...     def area(self):
    ...         return 3.14 * self.radius**2
    >>> Circle().area
    12.56
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_property[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Value: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.setdefault(self.name, self.compute(instance))
