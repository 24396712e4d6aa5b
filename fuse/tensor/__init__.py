"""Theano's ``tensor``: every name for building expressions, gathered from the modules that define them."""
# ruff: noqa: F405
from importlib import import_module as _import_module
from typing import Any as _Any

# First the modules whose names are also functions (T.var, T.sort): a module loaded later would take the name.
from fuse.tensor import shape as _shape, sort as _sort, var as _var  # isort: skip

from fuse.autodiff.check import numeric_grad, verify_grad
from fuse.autodiff.derived import hessian, hessian_vector_product, jacobian
from fuse.autodiff.forward import Rop
from fuse.autodiff.reverse import Lop, grad, subgraph_grad
from fuse.autodiff.stop import consider_constant, disconnected_grad, grad_clip, grad_scale, stop_gradient, zero_grad
from fuse.expr import Constant, Expr
from fuse.frontend.axes import *
from fuse.frontend.creation import *
from fuse.frontend.decompositions import *
from fuse.frontend.elementwise import *
from fuse.frontend.extra_ops import *
from fuse.frontend.indexing import inc_subtensor, set_subtensor
from fuse.frontend.join import *
from fuse.frontend.layout import broadcast_to, diagonal, dimshuffle, reshape
from fuse.frontend.linalg import *
from fuse.frontend.nonzero import *
from fuse.frontend.permutations import *
from fuse.frontend.ranking import *
from fuse.frontend.rearrange import *
from fuse.frontend.reductions import all, any, max, min, prod, sum
from fuse.frontend.scans import *
from fuse.frontend.selecting import *
from fuse.frontend.shared import SharedVariable, shared
from fuse.frontend.signal_windows import *
from fuse.frontend.sizes import make_vector, shape, shape_i, size
from fuse.frontend.sorting import *
from fuse.frontend.statistics import allclose, logsumexp, mean, norm, ptp, std, var
from fuse.frontend.systems import *
from fuse.frontend.tensor import *
from fuse.missing import no_attribute as _no_attribute
from fuse.tensor import nlinalg, nnet, shared_randomstreams, slinalg
from fuse.tensor.var import TensorVariable
from fuse.types import COMPLEX, CONTINUOUS, DISCRETE, FLOATING, INTEGER

amax, amin, concat, batched_transpose = max, min, concatenate, matrix_transpose
extract_constant, as_tensor, astensor = get_scalar_constant_value, as_tensor_variable, as_tensor_variable
Tensor, tensor_type = TensorType, TensorType
Variable = _Variable = Expr
TensorConstant, TensorSharedVariable = Constant, SharedVariable

_shared = shared
scalar_from_tensor = tensor_from_scalar = as_tensor_variable

xlogx.xlogx, xlogx.xlogy0 = xlogx, xlogy  # type: ignore[attr-defined]  # a module in Theano

# Theano's lists of dtypes.
float_types, complex_types, int_types = [
    [TensorType(d, ()) for d in group] for group in (FLOATING, COMPLEX, [d for d in INTEGER if d[0] == "i"])
]
float_dtypes, complex_dtypes, int_dtypes = list(FLOATING), list(COMPLEX), [d for d in INTEGER if d[0] == "i"]
uint_dtypes, integer_dtypes = [d for d in INTEGER if d[0] == "u"], list(INTEGER)
discrete_dtypes, continuous_dtypes = list(DISCRETE), list(CONTINUOUS)
all_dtypes = discrete_dtypes + continuous_dtypes

# Theano's programs use these modules as attributes, without importing them.
_MODULES = (
    "basic", "blas", "blas_c", "blas_scipy", "elemwise", "extra_ops", "fft", "fourier", "inplace", "io", "linalg",
    "math", "opt", "opt_uncanonicalize", "optimize", "random", "raw_random", "rewriting", "sharedvar", "signal",
    "special", "subtensor", "type", "type_other", "utils", "variable", "xlogx",
)

# Modules that Theano's own tests and older programs take from here with a star.
_LENT = {
    "basic": "fuse.tensor.basic", "compile": "fuse.compile", "np": "numpy", "scal": "fuse.scalar", "theano": "fuse",
}

# Names that Theano has here too, and where they are.
_HOMES = {
    "Generic": "fuse.gof.type", "div_proxy": "fuse.scalar", "generic": "fuse.gof.type", "hashtype": "fuse.gof.utils",
    "int32": "fuse.scalar", "interp": "fuse.frontend.interpolation", "to_one_hot": "fuse.frontend.nnet",
    "min_informative_str": "fuse.printing", "pprint": "fuse.printing",
    "slicetype": "fuse.tensor.type_other",
}

# Modules of names that few programs use, loaded when one of them is asked for.
_SELDOM = ("math", "linalg", "op_classes", "smaller", "subtensor", "type_other", "newer", "bfloat16")


def __getattr__(name: str) -> _Any:
    return found(name)


def found(name: str, but: str = "") -> _Any:
    """What is called ``name`` here, wherever it stands; not in the module ``but``, which asks."""
    if but and name in globals():
        return globals()[name]
    if name in _MODULES:
        return _import_module(f"fuse.tensor.{name}")
    if name in _LENT:
        return _import_module(_LENT[name])
    if name in _HOMES:
        return getattr(_import_module(_HOMES[name]), name)
    if not name.startswith("__"):
        for module in [m for m in _SELDOM if m != but]:
            home = _import_module(f"fuse.tensor.{module}")
            if name in home.__all__:
                globals()[name] = value = getattr(home, name)
                return value
    raise _no_attribute("fuse.tensor", name)


__all__ = [*[n for n in globals() if not n.startswith("_") and n not in ("annotations", "found")], *_LENT]


def __dir__() -> list[str]:
    seldom = [name for module in _SELDOM for name in _import_module(f"fuse.tensor.{module}").__all__]
    return sorted({*globals(), *_HOMES, *_MODULES, *seldom})
