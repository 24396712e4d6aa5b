"""Theano's ``configparser``: ``change_flags``."""
from __future__ import annotations

from typing import Any

from fuse.config import config

__all__ = ["change_flags"]


def change_flags(*args: Any, **flags: Any) -> Any:
    """A context manager, and a decorator, under which the given flags hold: ``config.change_flags``.

    >>> import fuse
    >>> with change_flags(floatX="float32"):
    ...     fuse.config.floatX
    'float32'
    """
    return config.change_flags(*args, **flags)
