"""Theano's ``sandbox.cuda.dnn``: NVIDIA's library of convolutions, which is not there; its names import."""
from __future__ import annotations

from typing import Any

from fuse.internals import stand_in as _stand_in
from fuse.missing import no_attribute as _no_attribute


def dnn_available() -> bool:
    """No."""
    return False


def __getattr__(name: str) -> Any:
    if name.startswith(("_", "pytest")):
        raise _no_attribute(__name__, name)
    return _stand_in(__name__, name, "use fuse.tensor.nnet.conv2d and fuse.tensor.signal.pool.pool_2d")
