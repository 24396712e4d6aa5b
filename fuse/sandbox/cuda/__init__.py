"""Theano's ``sandbox.cuda``, its first back-end for GPUs: programs ask whether there is one; here there is none."""
from __future__ import annotations

import warnings
from importlib import import_module as _import_module
from typing import Any

from fuse.internals import stand_in as _stand_in
from fuse.missing import no_attribute as _no_attribute

_INSTEAD = "fuse.function(..., device='cuda') runs a function on a GPU"

cuda_available = cuda_enabled = False


def use(device: Any, *_: Any, **__: Any) -> None:
    """Warns: the device is chosen for whole functions, and nothing is done here."""
    warnings.warn(f"sandbox.cuda.use({device!r}) does nothing: {_INSTEAD}", stacklevel=2)


def __getattr__(name: str) -> Any:
    if name in ("basic_ops", "blas", "dnn", "nnet", "rng_curand", "type", "var"):
        return _import_module(f"{__name__}.{name}")
    if name.startswith(("_", "pytest")):
        raise _no_attribute(__name__, name)
    return _stand_in(__name__, name, _INSTEAD)
