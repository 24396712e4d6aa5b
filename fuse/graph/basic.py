"""PyTensor's ``graph.basic``: nodes, and walks over graphs."""
from fuse.expr import Constant as Constant
from fuse.expr import Expr as Variable
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.graph import clone as clone
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.gof.graph import as_string as as_string
from fuse.graph.traversal import *  # noqa: F403
from fuse.graph.traversal import __all__ as _walks
from fuse.graph.traversal import ancestors, apply_depends_on, applys_between
from fuse.internals import lookup as _lookup

__all__ = ["Apply", "Constant", "Variable", "as_string", "clone", "clone_get_equiv", "equal_computations", *_walks]


def clone_get_equiv(inputs, outputs, copy_inputs=True, copy_orphans=True, memo=None, **_):
    """The graph on new inputs, as a dict from its variables to those of the copy.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> new = clone_get_equiv([x], [T.exp(x)])
    >>> new[T.exp(x)] is T.exp(new[x]), new[x] is x
    (True, False)
    """
    from fuse.expr import substitute
    from fuse.frontend.apply import clone_variable

    known = dict(memo or {})
    known.update({x: clone_variable(x) if copy_inputs else x for x in inputs if x not in known})
    inner = [v for v in ancestors(list(outputs), list(inputs)) if v not in known]
    return {**dict(zip(inner, substitute(inner, known), strict=True)), **known}


def list_of_nodes(inputs, outputs):
    """The applications between ``inputs`` and ``outputs``."""
    return list(applys_between(inputs, outputs))


def is_in_ancestors(l_apply, f_node):
    """Whether ``f_node`` is among what the application ``l_apply`` is computed from."""
    return apply_depends_on(l_apply, f_node)


_inside = _lookup(__name__)


def __getattr__(name):
    if name in ("clone_replace", "graph_replace"):
        from fuse.graph import replace

        return getattr(replace, name)
    return _inside(name)
