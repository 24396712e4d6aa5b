"""Theano's ``tensor.basic``: everything of ``tensor``, and the helpers that its programs take from here."""
from functools import partial as _partial
from importlib import import_module as _import_module

import numpy as _np

from fuse.frontend.elementwise import cast as _cast
from fuse.frontend.linalg import dot as _dot
from fuse.frontend.shared import shared as _shared
from fuse.tensor import *
from fuse.tensor.newer import __all__ as _newer
from fuse.types import DTYPES as _DTYPES


def _allclose(a, b, rtol=None, atol=None):
    """Whether two arrays agree, with the tolerance that fits the less accurate dtype."""
    a, b = _np.asarray(a), _np.asarray(b)
    bits = {_np.finfo(x.dtype).bits for x in (a, b) if x.dtype.kind in "fc"}
    rough, near = (5e-2, 5e-3) if 16 in bits else (1e-5, 1e-5) if 32 in bits else (1e-5, 1e-8)
    return _np.allclose(a, b, rtol=rough if rtol is None else rtol, atol=near if atol is None else atol)


# _convert_to_int8(x), ...: casts by name
globals().update({f"_convert_to_{_d}": _partial(_cast, dtype=_d) for _d in _DTYPES})

# Modules that Theano's programs take from here, by name or with a star.
_LENT = {"config": "fuse.config", "gof": "fuse.gof", "gradient": "fuse.gradient", "printing": "fuse.printing"}
__all__ = [*[_n for _n in globals() if not _n.startswith("_")], *_LENT, *_newer]


def __getattr__(name):
    if name in _LENT:
        module = _import_module(_LENT[name])
        return module.config if name == "config" else module
    return getattr(_import_module("fuse.tensor"), name)
