"""PyTensor's ``graph``: its names for graphs and own ops, which Theano has in ``gof``."""
from fuse.graph import basic as basic
from fuse.graph import fg as fg
from fuse.graph import op as op
from fuse.graph import replace as replace
from fuse.graph import traversal as traversal
from fuse.graph import type as type
from fuse.graph import utils as utils
from fuse.graph.basic import Apply as Apply
from fuse.graph.basic import Constant as Constant
from fuse.graph.basic import Variable as Variable
from fuse.graph.basic import ancestors as ancestors
from fuse.graph.basic import clone as clone
from fuse.graph.basic import graph_inputs as graph_inputs
from fuse.graph.fg import FunctionGraph as FunctionGraph
from fuse.graph.op import Op as Op
from fuse.graph.replace import clone_replace as clone_replace
from fuse.graph.replace import graph_replace as graph_replace
from fuse.graph.replace import vectorize_graph as vectorize_graph
from fuse.graph.traversal import explicit_graph_inputs as explicit_graph_inputs
from fuse.graph.type import Type as Type
from fuse.inside import install as _install

_install()
