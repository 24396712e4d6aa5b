"""PyTensor's ``link``: how its functions run; the linkers are modes here, the rest is its inside."""
from importlib import import_module as _import_module

from fuse.missing import no_attribute as _no_attribute


def __getattr__(name):
    if name in ("basic", "c", "utils", "vm"):
        return _import_module(f"fuse.link.{name}")
    raise _no_attribute(__name__, name)
