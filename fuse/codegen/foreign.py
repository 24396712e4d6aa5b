"""Arrays of other libraries whose dtype NumPy does not have: bfloat16 as its bits, without a copy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fuse.codegen import dlpack
from fuse.errors import DTypeError

_HOST = (dlpack.CPU, 3)  # 3: of the host, for a GPU to read
_BITS = np.dtype(np.uint16)


def bits_of_bfloat16(array: Any) -> Any:
    """The elements of an array of bfloat16 as uint16, where they are. Raises DTypeError for arrays of other dtypes."""
    if isinstance(array, np.ndarray):
        if array.dtype.name != "bfloat16" and (array.dtype.str[1:] != "V2" or array.dtype.names):
            raise DTypeError(f"an array of bfloat16 is needed, not of {array.dtype}")
        return array.view(_BITS)
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is not None:
        from fuse.codegen.cuda_array import foreign

        if np.dtype(interface["typestr"]).str[1:] != "V2":
            raise DTypeError(f"an array of bfloat16 is needed, not of {interface['typestr']}")
        told = {**interface, "typestr": _BITS.str}
        # By these it is waited for, where it is computed on a stream that the interface does not tell.
        named = {name: getattr(array, name) for name in ("__dlpack__", "__dlpack_device__") if hasattr(array, name)}
        return foreign(SimpleNamespace(__cuda_array_interface__=told, owner=array, **named))
    if not hasattr(array, "__dlpack__"):
        raise DTypeError(f"an array of bfloat16 is needed, not {type(array).__name__}")
    number, _ = array.__dlpack_device__()
    capsule = dlpack.capsule_of(array, stream=1) if number == dlpack.CUDA else dlpack.capsule_of(array)
    kind, address, dtype, shape, steps = dlpack.told(capsule)
    if dtype != dlpack.BFLOAT or kind not in (*_HOST, dlpack.CUDA):
        raise DTypeError(f"an array of bfloat16 is needed, not of {getattr(array, 'dtype', dtype)}")
    strides = None if steps is None else tuple([s * _BITS.itemsize for s in steps])
    owner = (array, capsule)
    if kind == dlpack.CUDA:
        from fuse.codegen.cuda_array import placed

        return placed(address, _BITS, shape, strides, owner, dlpack.is_read_only(capsule))
    if 0 in shape:
        return np.empty(shape, _BITS)
    place = address, dlpack.is_read_only(capsule)
    told = {"data": place, "shape": shape, "strides": strides, "typestr": _BITS.str, "version": 3}
    return np.asarray(SimpleNamespace(__array_interface__=told, owner=owner))
