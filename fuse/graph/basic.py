"""PyTensor's ``graph.basic``: nodes, and walks over graphs."""
from fuse.expr import Constant as Constant
from fuse.expr import Expr as Variable
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.graph import ancestors as ancestors
from fuse.frontend.graph import clone as clone
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.frontend.graph import inputs as graph_inputs
from fuse.frontend.graph import io_toposort as io_toposort
from fuse.frontend.graph import ops as applys_between
from fuse.frontend.graph import orphans as orphans_between
from fuse.frontend.graph import variables as vars_between

__all__ = [
    "Apply", "Constant", "Variable", "ancestors", "applys_between", "clone", "equal_computations",
    "explicit_graph_inputs", "graph_inputs", "io_toposort", "orphans_between", "vars_between",
]


def explicit_graph_inputs(graph):
    """The inputs that a graph (an expression, or several) needs: no constants, no shared variables.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> explicit_graph_inputs(x * fuse.shared(2.0) + 1)
    [x]
    """
    roots = [graph] if isinstance(graph, Variable) else list(graph)
    return [v for v in graph_inputs(roots) if v.op.name == "input"]
