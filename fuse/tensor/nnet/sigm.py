"""Theano's deep path to the sigmoids: ``tensor.nnet.sigm``."""
from typing import Any

from fuse.frontend.nnet import hard_sigmoid, sigmoid, softplus, ultra_fast_sigmoid
from fuse.internals import lookup as _lookup

__all__ = ["hard_sigmoid", "sigmoid", "softplus", "ultra_fast_sigmoid"]

ultra_fast_scalar_sigmoid, scalar_sigmoid, scalar_softplus = ultra_fast_sigmoid, sigmoid, softplus
_IN_PLACE = {f"{f.__name__}_inplace": f for f in (sigmoid, softplus, ultra_fast_sigmoid)}
_inside = _lookup(__name__)


def __getattr__(name: str) -> Any:
    from fuse.frontend.overwriting import in_place

    return in_place(_IN_PLACE[name], name) if name in _IN_PLACE else _inside(name)
