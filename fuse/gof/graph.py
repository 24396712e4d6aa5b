"""Theano's ``gof.graph``: walks over graphs."""
from fuse.expr import Constant as Constant
from fuse.expr import Expr
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.graph import ancestors as ancestors
from fuse.frontend.graph import clone as clone
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.frontend.graph import inputs as inputs
from fuse.frontend.graph import io_toposort as io_toposort
from fuse.frontend.graph import is_same_graph as is_same_graph
from fuse.frontend.graph import ops as ops
from fuse.frontend.graph import orphans as orphans
from fuse.frontend.graph import variables as variables

Variable = Expr
