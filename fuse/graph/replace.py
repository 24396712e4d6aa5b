"""PyTensor's ``graph.replace``: graphs with other inputs."""
from fuse.evaluation import clone as clone_replace
from fuse.transforms.mapped import vectorize_graph as vectorize_graph

__all__ = ["clone_replace", "graph_replace", "vectorize_graph"]


def graph_replace(outputs, replace=None, *, strict=True):
    """``outputs`` (an expression or several) with variables replaced, all at once.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> graph_replace(x + 1, {x: y}) is y + 1
    True
    """
    return clone_replace(outputs, replace, strict=strict)
