"""PyTensor's ``tensor.random``: draws from NumPy's generators, and streams of such draws."""
import numpy as _np

from fuse.frontend.raw_random import random_generator_type as _random_generator_type
from fuse.frontend.shared import shared as _shared
from fuse.tensor.random import basic as basic
from fuse.tensor.random import op as op
from fuse.tensor.random import type as type
from fuse.tensor.random import utils as utils
from fuse.tensor.random.basic import *
from fuse.tensor.random.basic import __all__ as _distributions
from fuse.tensor.random.op import RandomState as RandomState
from fuse.tensor.random.op import RandomVariable as RandomVariable
from fuse.tensor.random.op import default_rng as default_rng
from fuse.tensor.random.utils import RandomStream as RandomStream

__all__ = ["RandomState", "RandomStream", "RandomVariable", "default_rng", "rng", "shared_rng", *_distributions]


def rng(name: str | None = None):
    """A new input that takes a generator of NumPy's.

    >>> rng("r").type
    RandomGeneratorType
    """
    return _random_generator_type(name)


def shared_rng(value=None, *, seed=None, name: str | None = None, borrow: bool = False):
    """A shared variable that holds a generator of NumPy's: ``value``, or a new one from ``seed``.

    >>> shared_rng(seed=1).get_value().integers(10)
    np.int64(4)
    """
    return _shared(_np.random.default_rng(seed) if value is None else value, name=name, borrow=borrow)
