"""Symbolic arrays: formulas that simplify, differentiate and compile themselves to fast loops.

Public names, nothing else. What costs time to import (printing, SymPy, code generation) is loaded when first used.
"""
from __future__ import annotations

import importlib
import sys
from typing import Any

from fuse import errors as errors
from fuse import symbolic as symbolic  # attaches subs, diff, ... to expressions
from fuse import testvalues as _testvalues
from fuse.autodiff.reverse import Lop, grad, subgraph_grad
from fuse.compiled import Function, function
from fuse.config import config
from fuse.errors import FuseError
from fuse.evaluation import clone
from fuse.expr import Constant, Expr
from fuse.frontend.apply import Apply
from fuse.frontend.as_op import as_op
from fuse.frontend.asserting import Assert
from fuse.frontend.class_op import Op
from fuse.frontend.elementwise import cast
from fuse.frontend.linalg import dot
from fuse.frontend.shared import SharedVariable, shared
from fuse.frontend.tensor import as_tensor_variable, constant
from fuse.inside import install as _install
from fuse.missing import no_attribute
from fuse.mode import Mode
from fuse.op import elementwise, reduction
from fuse.signature import In, Out
from fuse.types import TensorType
from fuse.updates import OrderedUpdates

_install()
Variable = Expr
as_symbolic = as_tensor_variable
shared_constructor = shared
__version__ = "0.1.0"

# Names that are loaded when first used: name -> module, and where the module has another name for it, that name.
_LAZY = {
    **dict.fromkeys(("Print", "debugprint", "pp", "pprint", "pydotprint"), "fuse.printing"),
    "Param": "fuse.compile.pfunc",
    **dict.fromkeys(("Rop",), "fuse.autodiff.forward"),
    **dict.fromkeys(("hessian", "hessian_vector_product", "jacobian"), "fuse.autodiff.derived"),
    **dict.fromkeys(("numeric_grad", "verify_grad"), "fuse.autodiff.check"),
    **dict.fromkeys(("disconnected_grad", "stop_gradient", "zero_grad"), "fuse.autodiff.stop"),
    **dict.fromkeys(("grad_clip", "grad_scale"), "fuse.autodiff.stop"),
    **dict.fromkeys(("from_sympy", "lambdify", "to_sympy"), "fuse.symbolic"),
    **dict.fromkeys(("simplify",), "fuse.rules"),
    **dict.fromkeys(("get_num_threads", "set_num_threads"), "fuse.codegen.threads"),
    "FunctionGraph": "fuse.frontend.fgraph",
    "change_flags": "fuse.configparser",
    **dict.fromkeys(("clone_replace", "graph_replace"), "fuse.graph.replace"),
    "dprint": "fuse.printing",
    "get_mode": "fuse.mode",
    **dict.fromkeys(("pullback", "pushforward", "sparse_grad"), "fuse.gradient"),
    "wrap_py": "fuse.frontend.as_op",
    **dict.fromkeys(("Generic", "generic"), "fuse.gof.type"),
    "function_dump": "fuse.misc.pkl_utils",
    "scan_checkpoints": "fuse.scan_module.scan_checkpoints",
    "load": "fuse.saving",
    "theano_names": "fuse.theano_table",
    "jit": "fuse.transforms.tracing",
    **dict.fromkeys(("jacfwd", "jacrev", "jvp", "value_and_grad", "vjp"), "fuse.transforms.derivatives"),
    **dict.fromkeys(("vectorize", "vectorize_graph", "vmap"), "fuse.transforms.mapped"),
    "OpFromGraph": "fuse.autodiff.from_graph",
    **dict.fromkeys(("custom_jvp", "custom_vjp"), "fuse.autodiff.custom_rules"),
    **dict.fromkeys(("foldl", "foldr", "loop", "map", "reduce", "scan", "while_loop"), "fuse.scan_module"),
}
# Names that Theano has at its top too, where programs for Theano look for them.
_THEANO = {
    **dict.fromkeys((
        "CLinker", "Container", "DualLinker", "InconsistencyError", "Linker", "LocalLinker", "OpWiseCLinker",
        "OpenMPOp", "PerformLinker", "Type", "object2", "opt", "toolbox"), "fuse.gof"),
    **dict.fromkeys((
        "FunctionMaker", "ProfileStats", "SymbolicInput", "SymbolicOutput", "predefined_linkers", "predefined_modes",
        "predefined_optimizers"), "fuse.compile"),
    "get_scalar_constant_value": "fuse.tensor",
}
_MODULES = (
    "compat", "compile", "configdefaults", "configparser", "d3viz", "gof", "gpuarray", "gradient", "graph", "ifelse",
    "integrate", "lax", "link", "misc", "numpy", "optimize", "printing", "raise_op", "random", "sandbox", "scalar",
    "scan_module", "sparse", "tensor", "tests", "tree", "typed_list", "updates", "utils",
)

__all__ = [
    "Apply", "Assert", "Constant", "Expr", "Function", "FuseError", "In", "Lop", "Mode", "Op", "OrderedUpdates", "Out",
    "SharedVariable", "TensorType", "Variable", "as_op", "as_symbolic", "as_tensor_variable", "cast",
    "clone", "config", "constant", "dot", "elementwise", "errors", "function", "fuse", "grad", "reduction", "shared",
    "shared_constructor", "subgraph_grad", "theano", *_LAZY,
    *[name for name in _MODULES if name != "numpy"],  # which `from fuse import *` leaves as it is
]


def __getattr__(name: str) -> Any:
    if name in ("fuse", "theano"):  # `from fuse import *`, then fuse.function(...): as Theano's programs do
        return sys.modules[__name__]
    if name in _MODULES:
        return importlib.import_module(f"fuse.{name}")
    home = _LAZY.get(name) or _THEANO.get(name)
    if home is not None:
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
    if name == "_asarray":  # Theano's programs use it as if it were public
        return importlib.import_module("fuse.misc.safe_asarray")._asarray
    raise no_attribute("fuse", name)


def __dir__() -> list[str]:
    return sorted({*__all__, *[name for name in globals() if name.startswith("__")]})
