"""Theano's ``sandbox.cuda``, its first back-end for GPUs: programs ask whether there is one; here there is none."""
from __future__ import annotations

import warnings
from typing import Any

from fuse.internals import stand_in as _stand_in
from fuse.missing import no_attribute as _no_attribute

_INSTEAD = "fuse.function(..., device='cuda') runs a function on a GPU"

cuda_available = cuda_enabled = False


def use(device: Any, *_: Any, **__: Any) -> None:
    """Warns: the device is chosen for whole functions, and nothing is done here."""
    warnings.warn(f"sandbox.cuda.use({device!r}) does nothing: {_INSTEAD}", stacklevel=2)


def __getattr__(name: str) -> Any:
    if name.startswith(("_", "pytest")) or name in ("basic_ops", "blas", "dnn", "nnet", "type", "var"):  # modules
        raise _no_attribute(__name__, name)
    return _stand_in(__name__, name, _INSTEAD)
