"""Theano's ``tensor.utils``: hashes of arrays, shapes of variables."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fuse.expr import Expr
from fuse.expr import toposort as _toposort
from fuse.frontend.sizes import shape_of as _shape_of

__all__ = ["hash_from_ndarray", "shape_of_variables"]


def hash_from_ndarray(data: Any) -> str:
    """A digest of an array's dtype, shape and elements, however they lie in memory.

    >>> import numpy as np
    >>> hash_from_ndarray(np.zeros(3)) == hash_from_ndarray(np.zeros(6)[::2]) != hash_from_ndarray(np.zeros((3, 1)))
    True
    """
    data = np.asarray(data)
    about = f"{data.dtype}{data.shape}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(data).tobytes()).hexdigest()


def shape_of_variables(fgraph: Any, input_shapes: Mapping[Expr, Any]) -> dict[Expr, tuple[int, ...]]:
    """The shape of every tensor of a graph, for given shapes of its inputs.

    >>> import fuse.tensor as T
    >>> from fuse.gof import FunctionGraph
    >>> x = T.matrix("x")
    >>> y = x[:2].T
    >>> shape_of_variables(FunctionGraph([x], [y]), {x: (10, 5)})[y]
    (5, 2)
    """
    from fuse.compiled import function

    inputs = list(fgraph.inputs)
    nodes = [n for n in _toposort(fgraph.outputs) if hasattr(n.type, "ndim")]
    flat = [size for node in nodes for size in _shape_of(node)]
    dummies = [np.zeros(input_shapes[x], dtype=x.type.dtype) for x in inputs]
    symbolic = [size for size in flat if isinstance(size, Expr)]
    values = iter(function(inputs, symbolic, on_unused_input="ignore")(*dummies))
    found = [int(next(values)) if isinstance(size, Expr) else size for size in flat]
    shapes: dict[Expr, tuple[int, ...]] = {}
    for node in nodes:
        shapes[node], found = tuple(found[: node.type.ndim]), found[node.type.ndim :]
    return shapes
