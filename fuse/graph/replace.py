"""PyTensor's ``graph.replace``: graphs with other inputs."""
from typing import Any

from fuse.errors import FuseValueError
from fuse.evaluation import clone as clone_replace
from fuse.expr import toposort, variable
from fuse.frontend.apply import Apply
from fuse.transforms.mapped import vectorize_graph as vectorize_graph

__all__ = ["clone_replace", "graph_replace", "vectorize_graph", "vectorize_node"]


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


def vectorize_node(node: Apply, *batched_inputs: Any) -> Apply:
    """The application that does for ``batched_inputs``, with further axes in front, what ``node`` does for its inputs.

    Where it takes several ops, it is the last of them. Raises FuseValueError where the number of inputs differs.

    >>> import fuse.tensor as T
    >>> rows = T.dmatrix("rows")
    >>> vectorize_node(T.sum(T.dvector("x")).owner, rows).outputs[0].eval({rows: [[1.0, 2.0], [3.0, 4.0]]})
    array([3., 7.])
    """
    if len(batched_inputs) != node.nin:
        raise FuseValueError(f"vectorize_node takes {node.nin} inputs for {node}, not {len(batched_inputs)}")
    # An input that stands twice may be replaced by two: each place has a variable of its own. What stays, stays.
    changed = {i: variable(old.type) for i, old in enumerate(node.inputs) if batched_inputs[i] is not old}
    apart = node.clone_with_new_inputs([changed.get(i, old) for i, old in enumerate(node.inputs)])
    found = vectorize_graph(apart.outputs, {x: batched_inputs[i] for i, x in changed.items()})
    made: Apply = found[0].owner
    return made
