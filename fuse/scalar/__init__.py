"""Theano's ``scalar``: names that programs use from there; scalars are 0-d expressions here."""
from fuse.scalar import basic as basic
from fuse.scalar.basic import *
from fuse.scalar.basic import __all__ as __all__


def __getattr__(name: str):
    if not name.startswith("__"):
        from importlib import import_module

        scipys = import_module("fuse.scalar.basic_scipy")
        if name == "basic_scipy" or name in scipys.__all__:
            return scipys if name == "basic_scipy" else getattr(scipys, name)
    from fuse.missing import no_attribute

    raise no_attribute("fuse.scalar", name)
