"""Theano's ``tensor.opt``: registration of rewrites of the user's own."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.frontend.asserting import Assert as Assert
from fuse.gof.opt import in2out as in2out
from fuse.gof.opt import out2in as out2in
from fuse.internals import lookup as _lookup
from fuse.rules.user import register as _register
from fuse.tensor.op_classes import MakeVector as MakeVector
from fuse.tensor.op_classes import Shape_i as Shape_i

__all__ = [
    "Assert", "assert_", "assert_op", "register_canonicalize", "register_specialize", "register_specialize_device",
    "register_stabilize", "register_uncanonicalize", "register_useless",
]


def register_canonicalize(lopt: Any, *tags: str, **kwargs: Any) -> Any:
    """Apply the rewrite ``lopt`` when functions are made from now on; also a decorator, alone or with tags.

    Tags and the phase that the name of the function speaks of have no effect: a user's rewrites come first.

    >>> import fuse, fuse.tensor as T
    >>> from fuse.gof import local_optimizer
    >>> from fuse.rules.user import remove
    >>> @register_canonicalize
    ... @local_optimizer([T.sin])
    ... def sin_to_cos(node):
    ...     return [T.cos(node.inputs[0])]
    >>> x = T.dscalar("x")
    >>> float(fuse.function([x], T.sin(x))(0.0))
    1.0
    >>> remove("sin_to_cos")
    """
    if isinstance(lopt, str):
        decorator: Callable[[Any], Any] = lambda f: register_canonicalize(f, lopt, *tags, **kwargs)  # noqa: E731
        return decorator
    return _register(lopt, kwargs.get("name"))


register_specialize = register_stabilize = register_uncanonicalize = register_canonicalize
register_specialize_device = register_useless = register_canonicalize
assert_ = assert_op = Assert()
make_vector = MakeVector()

__getattr__ = _lookup(__name__)
