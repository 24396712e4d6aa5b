"""Theano's ``configparser``: ``change_flags``, and flags of a program's own."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.config import config

__all__ = ["AddConfigVar", "ConfigParam", "THEANO_FLAGS_DICT", "change_flags"]

THEANO_FLAGS_DICT: dict[str, str] = {}


def change_flags(*args: Any, **flags: Any) -> Any:
    """A context manager, and a decorator, under which the given flags hold: ``config.change_flags``.

    >>> import fuse
    >>> with change_flags(floatX="float32"):
    ...     fuse.config.floatX
    'float32'
    """
    return config.change_flags(*args, **flags)


class ConfigParam:
    """A flag of the program's own: its default, and what checks and converts its values."""

    def __init__(self, default: Any, filter: Callable[[Any], Any] | None = None, allow_override: bool = True) -> None:
        self.default, self.filter, self.allow_override = default, filter, allow_override


def AddConfigVar(name: str, doc: str, configparam: ConfigParam, root: Any = None, in_c_key: bool = True) -> None:
    """Add a flag of the program's own, ``config.name``: its value is that in THEANO_FLAGS_DICT, or the default.

    >>> import fuse
    >>> AddConfigVar("mine.depth", "How deep.", ConfigParam("3", filter=int))
    >>> fuse.config.mine.depth
    3
    """
    value = THEANO_FLAGS_DICT.pop(name, configparam.default)
    if callable(value):
        value = value()
    config._foreign[name] = configparam.filter(value) if configparam.filter is not None else value
