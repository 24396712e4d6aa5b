"""PyTensor's ``tensor.math`` and special functions of Theano's that few programs use."""
from fuse.frontend.bessel import *
from fuse.frontend.bessel import __all__ as _bessel
from fuse.frontend.incomplete import *
from fuse.frontend.incomplete import __all__ as _incomplete

__all__ = [*_bessel, *_incomplete]
