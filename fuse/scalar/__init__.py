"""Theano's ``scalar``: names that programs use from there; scalars are 0-d expressions here."""
from fuse.frontend.elementwise import cast as cast
from fuse.frontend.tensor import as_tensor_variable as as_scalar
from fuse.scalar import basic as basic
from fuse.scalar.basic import Scalar as Scalar
from fuse.scalar.basic import ScalarType as ScalarType
from fuse.scalar.basic import identity as identity
from fuse.scalar.basic import upcast as upcast
from fuse.types import CONTINUOUS as continuous_types
from fuse.types import DISCRETE as discrete_types

__all__ = [
    "Scalar", "ScalarType", "as_scalar", "basic", "cast", "continuous_types", "discrete_types", "identity", "upcast",
]
