"""Theano's ``tensor.type``: the type of tensors, and comparisons of results."""
from __future__ import annotations

from typing import Any

from fuse.frontend.tensor import CONSTRUCTORS
from fuse.frontend.tensor import tensor as tensor
from fuse.types import TensorType as DenseTensorType
from fuse.types import TensorType as TensorType

__all__ = [
    "DenseTensorType", "TensorType", "tensor", "values_eq_approx_always_true", *CONSTRUCTORS,
]


def values_eq_approx_remove_inf(a: Any, b: Any) -> bool:
    """Whether two arrays are equal up to rounding, but where the first is infinite.

    >>> import numpy as np
    >>> values_eq_approx_remove_inf(np.array([1.0, np.inf]), np.array([1.0, 2.0]))
    True
    """
    return TensorType.values_eq_approx(a, b, allow_remove_inf=True)


def values_eq_approx_remove_nan(a: Any, b: Any) -> bool:
    """Whether two arrays are equal up to rounding, but where the first is NaN.

    >>> import numpy as np
    >>> values_eq_approx_remove_nan(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    True
    """
    return TensorType.values_eq_approx(a, b, allow_remove_nan=True)


def values_eq_approx_remove_inf_nan(a: Any, b: Any) -> bool:
    """Whether two arrays are equal up to rounding, but where the first is infinite or NaN."""
    return TensorType.values_eq_approx(a, b, allow_remove_inf=True, allow_remove_nan=True)


def values_eq_approx_always_true(a: Any, b: Any) -> bool:
    """True: for results that cannot be compared."""
    return True


def __getattr__(name: str) -> Any:
    """The constructors and the lists of dtypes."""
    if name.startswith("__"):
        raise AttributeError(name)
    import fuse.tensor

    return getattr(fuse.tensor, name)
