"""Names that a module lacks: those that it takes from elsewhere when they are used, and what to say of the others."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_NO_MPI = "messages between processes: use mpi4py around the compiled function"
_NO_C = "a detail of Theano's C code"
_VALUES = "symbolic None and slices are Python's own here"
# Names of theano.tensor that no formula needs here, and why, or what serves instead.
ABSENT = {
    **dict.fromkeys(
        ("MPIRecv", "MPIRecvWait", "MPISend", "MPISendWait", "mpi_cmps", "mpi_enabled", "mpi_keys", "mpi_send_wait_cmp",
         "mpi_send_wait_key", "mpi_tag_cmp", "mpi_tag_key"), _NO_MPI
    ),
    **dict.fromkeys(("send", "recv", "isend", "irecv"), _NO_MPI),
    **dict.fromkeys(("blas_c", "inc_code", "sparse_module_ref", "constant_cache", "key_to_cmp", "mod_check"), _NO_C),
    **dict.fromkeys(("NoneTypeT", "SliceConstant", "SliceType", "none_type_t"), _VALUES),
    "ParamsType": _NO_C,
    "SubtensorPrinter": "printing is by table: fuse.printing",
    "Default": "a default value is the input's: In(x, value=...)",
    "TensorConstantSignature": "equal constants are one object: a is b",
    "adv_index_broadcastable_pattern": "x[index].broadcastable says it",
    "alloc_validate_shape": "alloc checks its sizes itself",
    "check_advanced_indexing_dimensions": "indexing checks its indices itself",
    "check_and_reject_bool": "indexing checks its indices itself",
    "check_equal_numpy": "numpy.array_equal",
    "constructor": "shared takes values of every kind by itself",
    "get_scalar_constant_value_elemwises": "get_scalar_constant_value looks through every op",
    "int32_t": "TensorType('int32', ())", "make_constant": "constant",
    "register_transfer": "the device is chosen for whole functions",
}
_AT_ONCE = "results are there when a call returns"
_CHECKPOINT = "fuse.loop(..., checkpoint=n) keeps few states for the gradient, and does steps again"
_WHOLE = "the device is chosen for whole functions: fuse.function(..., device='cuda')"
_TREES = "fuse.tree has map, flatten, unflatten and leaves"
# Names of jax that fuse has not, and what serves instead.
_OF_JAX = {
    **dict.fromkeys(("checkpoint", "remat", "ad_checkpoint"), _CHECKPOINT),
    **dict.fromkeys(("tree_map", "tree_util", "tree_leaves", "tree_flatten", "tree_unflatten"), _TREES),
    **dict.fromkeys(("device_put", "device_get", "default_device", "device_count", "local_device_count"), _WHOLE),
    **dict.fromkeys(("block_until_ready", "effects_barrier"), _AT_ONCE),
    **dict.fromkeys(("pure_callback", "io_callback"), "fuse.as_op makes ops of functions of arrays"),
    "custom_gradient": "fuse.custom_vjp(f) takes a gradient of its own",
    "disable_jit": "Mode 'FAST_COMPILE' interprets: fuse.config.change_flags(mode='FAST_COMPILE')",
    "eval_shape": "fuse.jit(f).compiled(...) has the types of the results in its outputs",
    "linear_transpose": "fuse.vjp(f, x)[1] is the transpose of a linear f",
    "linearize": "fuse.jvp(f, primals, tangents) is the value and the product for one tangent",
    "make_jaxpr": "fuse.printing.debugprint(fuse.jit(f).compiled(...)) shows what is computed",
    "named_call": "name expressions: x.name = 'x'", "named_scope": "name expressions: x.name = 'x'",
    "nn": "activations are in fuse.tensor.nnet, and SciPy's functions take expressions",
    "pmap": "fuse.vmap(f) maps over an axis; kernels share their work among threads",
    "xmap": "fuse.vmap(f) maps over an axis",
}
_ELSEWHERE = (
    "fuse.tensor", "fuse.tensor.nnet", "fuse.gradient", "fuse.printing", "fuse.tensor.nlinalg", "fuse.tensor.slinalg",
)


# What people ask of expressions who know arrays of NumPy, PyTorch or JAX, or Theano's variables, and what to write.
_NO_VALUE = "it has no value yet: write x.eval({variable: value, ...}), or compile fuse.function([variable, ...], x)"
_GRADIENT = "gradients are expressions: write fuse.grad(cost, x)"
_DEVICE = "the device is chosen for whole functions: fuse.function(..., device='cuda')"
_HINTS = {
    **dict.fromkeys(("item", "numpy", "tolist", "value", "data", "evalf", "get_value", "block_until_ready"), _NO_VALUE),
    **dict.fromkeys(("backward", "grad", "requires_grad", "requires_grad_", "gradient"), _GRADIENT),
    **dict.fromkeys(("to", "cpu", "cuda", "device"), _DEVICE),
    "detach": "write fuse.stop_gradient(x)", "set_value": "fuse.shared(value) makes variables that hold values",
    "view": "write x.reshape(shape)", "permute": "write x.dimshuffle(axes) or x.transpose(axes)",
    "unsqueeze": "write x.dimshuffle(0, 'x') or fuse.tensor.expand_dims(x, axis)",
    "expand": "write fuse.tensor.broadcast_to(x, shape)", "append": "write fuse.tensor.concatenate([x, y])",
    **{name: f"write x.astype({dtype!r})" for name, dtype in
       (("float", "float32"), ("double", "float64"), ("int", "int32"), ("long", "int64"), ("half", "float16"))},
}


def no_expression_attribute(name: str) -> str:
    """What to say of ``x.name`` where expressions have no such attribute.

    >>> no_expression_attribute("softmax")
    "an expression has no attribute 'softmax'; there is fuse.tensor.nnet.softmax(x)"
    """
    text = f"an expression has no attribute {name!r}"
    if name in _HINTS:
        return f"{text}: {_HINTS[name]}"
    if name.startswith("_"):
        return text
    for module in _ELSEWHERE:
        if callable(vars(importlib.import_module(module)).get(name)):
            return f"{text}; there is {module}.{name}(x)"
    near = _nearest(name, dir(importlib.import_module("fuse").Expr))
    return f"{text}; did you mean {near!r}?" if near else text


def _nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    from difflib import get_close_matches  # only where there is an error to tell

    return next(iter(get_close_matches(name, [n for n in names if not n.startswith("_")], 1, 0.75)), None)


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for ``module.name``, with a hint where there is one.

    >>> no_attribute("fuse.tensor", "softmax")
    AttributeError("module 'fuse.tensor' has no attribute 'softmax'; there is fuse.tensor.nnet.softmax")
    >>> no_attribute("fuse.tensor", "dmatix")
    AttributeError("module 'fuse.tensor' has no attribute 'dmatix'; did you mean 'dmatrix'?")
    """
    text = f"module {module!r} has no attribute {name!r}"
    if module == "fuse.tensor" and name in ABSENT:
        text += f": {ABSENT[name]}"
    elif module == "fuse" and name in _OF_JAX:
        text += f": {_OF_JAX[name]}"
    elif module == "fuse.sparse":
        text += ": sparse matrices are not part of fuse"
    elif not name.startswith("_"):
        for other in _ELSEWHERE:
            if other != module and name in vars(importlib.import_module(other)):
                text += f"; there is {other}.{name}"
                break
        else:
            for other in (module, *_ELSEWHERE):
                near = _nearest(name, dir(importlib.import_module(other)))
                if near:
                    text += f"; did you mean {near!r}?" if other == module else f"; did you mean {other}.{near}?"
                    break
    return AttributeError(text, name=name, obj=None)  # without obj Python adds no guess of its own


def borrowed(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that takes these names from other modules, imported when one is first used.

    >>> borrowed("fuse.tensor.sort", {"SortOp": "fuse.tensor.op_classes"})("SortOp").__name__
    'SortOp'
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise no_attribute(module, name)
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return find
