"""Names that a module lacks: those that it takes from elsewhere when they are used, and what to say of the others."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
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
_ELSEWHERE = (
    "fuse.tensor", "fuse.tensor.nnet", "fuse.gradient", "fuse.printing", "fuse.tensor.nlinalg", "fuse.tensor.slinalg",
)


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for ``module.name``, with a hint where there is one.

    >>> no_attribute("fuse.tensor", "softmax")
    AttributeError("module 'fuse.tensor' has no attribute 'softmax'; there is fuse.tensor.nnet.softmax")
    """
    text = f"module {module!r} has no attribute {name!r}"
    if module == "fuse.tensor" and name in ABSENT:
        text += f": {ABSENT[name]}"
    elif module == "fuse.sparse":
        text += ": sparse matrices are not part of fuse"
    elif not name.startswith("_"):
        for other in _ELSEWHERE:
            if other != module and name in vars(importlib.import_module(other)):
                text += f"; there is {other}.{name}"
                break
    return AttributeError(text)


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
