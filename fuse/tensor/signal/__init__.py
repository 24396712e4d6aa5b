"""Theano's ``tensor.signal``: pooling, and convolution of plain images."""
import importlib as _importlib
from typing import Any as _Any

from fuse.missing import no_attribute as _no_attribute

_MODULES = ("conv", "downsample", "pool")


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _importlib.import_module(f"fuse.tensor.signal.{name}")
    if name == "convolve2d":
        return _importlib.import_module("fuse.tensor.signal.conv").convolve2d
    if name in ("convolve1d",):
        return getattr(_importlib.import_module("fuse.tensor.newer"), name)
    raise _no_attribute("fuse.tensor.signal", name)
