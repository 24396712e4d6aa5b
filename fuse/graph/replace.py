"""PyTensor's ``graph.replace``: graphs with other inputs."""
from fuse.errors import FuseValueError
from fuse.evaluation import clone as clone_replace
from fuse.expr import toposort
from fuse.transforms.mapped import vectorize_graph as vectorize_graph

__all__ = ["clone_replace", "graph_replace", "vectorize_graph"]


def graph_replace(outputs, replace=None, *, strict=True):
    """``outputs`` (an expression or several) with variables replaced, all at once.

    Raises FuseValueError where an output does not depend on one of them, unless ``strict`` is false.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> graph_replace(x + 1, {x: y}) is y + 1
    True
    """
    pairs = dict(replace or {})
    if strict:
        reached = set(toposort(list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]))
        unused = [old for old in pairs if old not in reached]
        if unused:
            raise FuseValueError(f"Some replacements were not used: {', '.join(map(str, unused))}")
    return clone_replace(outputs, pairs)
