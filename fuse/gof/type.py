"""Theano's ``gof.type``: the base of types, and the type of any Python object."""
from __future__ import annotations

from fuse.internals import lookup as _lookup
from fuse.typebase import Generic as Generic
from fuse.typebase import SingletonType as SingletonType
from fuse.typebase import Type as Type
from fuse.typebase import generic as generic

__all__ = ["Generic", "PureType", "SingletonType", "Type", "generic"]

PureType = Type


__getattr__ = _lookup(__name__)
