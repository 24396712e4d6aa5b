"""Theano's ``sandbox.linalg``."""
from fuse.tensor.nlinalg import *  # noqa: F403
from fuse.tensor.nlinalg import __all__ as _of_numpy
from fuse.tensor.slinalg import *  # noqa: F403
from fuse.tensor.slinalg import __all__ as _of_scipy

__all__ = sorted({*_of_numpy, *_of_scipy})
__path__: list[str] = []  # programs take the same names from sandbox.linalg.ops
