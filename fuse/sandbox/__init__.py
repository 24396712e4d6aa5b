"""Theano's ``sandbox``: old homes of names that programs still import."""
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType


def __getattr__(name: str) -> _ModuleType:
    if name in ("cuda", "linalg", "multinomial", "rng_mrg"):
        return _import_module(f"fuse.sandbox.{name}")
    raise AttributeError(f"module 'fuse.sandbox' has no attribute {name!r}")
