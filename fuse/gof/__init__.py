"""Theano's ``gof``: names for graphs and a user's own ops."""
from fuse.errors import MissingInputError as MissingInputError
from fuse.expr import Constant as Constant
from fuse.expr import Expr as Variable
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.class_op import Op as Op
from fuse.frontend.fgraph import FunctionGraph as FunctionGraph
from fuse.gof import fg as fg
from fuse.gof import graph as graph
from fuse.gof import link as link
from fuse.gof import null_type as null_type
from fuse.gof import op as op
from fuse.gof import opt as opt
from fuse.gof import toolbox as toolbox
from fuse.gof import type as type
from fuse.gof import utils as utils
from fuse.gof.graph import ancestors as ancestors
from fuse.gof.graph import clone as clone
from fuse.gof.graph import inputs as inputs
from fuse.gof.graph import is_same_graph as is_same_graph
from fuse.gof.link import CLinker as CLinker
from fuse.gof.link import DualLinker as DualLinker
from fuse.gof.link import Linker as Linker
from fuse.gof.link import OpWiseCLinker as OpWiseCLinker
from fuse.gof.link import PerformLinker as PerformLinker
from fuse.gof.opt import EquilibriumOptimizer as EquilibriumOptimizer
from fuse.gof.opt import LocalOptGroup as LocalOptGroup
from fuse.gof.opt import LocalOptimizer as LocalOptimizer
from fuse.gof.opt import MergeOptimizer as MergeOptimizer
from fuse.gof.opt import OpKeyOptimizer as OpKeyOptimizer
from fuse.gof.opt import OpRemove as OpRemove
from fuse.gof.opt import OpSub as OpSub
from fuse.gof.opt import Optimizer as Optimizer
from fuse.gof.opt import PatternSub as PatternSub
from fuse.gof.opt import SeqOptimizer as SeqOptimizer
from fuse.gof.opt import TopoOptimizer as TopoOptimizer
from fuse.gof.opt import local_optimizer as local_optimizer
from fuse.gof.optdb import DB as DB
from fuse.gof.optdb import EquilibriumDB as EquilibriumDB
from fuse.gof.optdb import Query as Query
from fuse.gof.optdb import SequenceDB as SequenceDB
from fuse.gof.optdb import optdb as optdb
from fuse.gof.type import Generic as Generic
from fuse.gof.type import generic as generic
from fuse.gof.utils import hashtype as hashtype
from fuse.internals import lookup as _lookup
from fuse.typebase import Type as Type

Env = FunctionGraph

__getattr__ = _lookup(__name__)
