"""DLPack capsules of device arrays: how PyTorch, JAX and CuPy take them without a copy.

The structures are those of DLPack 0.8's ``dlpack.h`` (https://dmlc.github.io/dlpack): a managed tensor with a deleter,
in a capsule that its taker renames.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from fuse.errors import DTypeError

if TYPE_CHECKING:
    from fuse.codegen.cuda_array import DeviceArray

CPU, CUDA = 1, 2
BFLOAT = 4, 16  # code and bits of bfloat16
_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
_NAME = b"dltensor"


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("number", ctypes.c_int))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device", _Device), ("ndim", ctypes.c_int), ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )  # fmt: skip


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]
_alive: dict[int, Any] = {}  # what capsules stand for, by the address of their structure


@_Deleter
def _delete(managed: Any) -> None:
    _alive.pop(ctypes.addressof(managed.contents), None)


_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_valid = ctypes.pythonapi.PyCapsule_IsValid
_valid.restype, _valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, _Destructor]


@_Destructor
def _destroy(capsule: int) -> None:
    """A capsule that nobody took is gone."""
    if _valid(capsule, _NAME):
        _alive.pop(_pointer(capsule, _NAME), None)


def device_of(array: DeviceArray) -> tuple[int, int]:
    """DLPack's (kind, number) of the device; the simulator's memory is the host's."""
    return (CPU if array.memory.on.simulated else CUDA), 0


def capsule(
    array: DeviceArray, *, stream: Any = None, dl_device: Any = None, copy: bool | None = None, **_: Any
) -> Any:
    """A capsule of the array, or of a copy where one is asked for. Raises DTypeError for a dtype that has no code.

    Launches run on the default stream, which is waited for, so the taker may use any.
    """
    if dl_device is not None and tuple(dl_device) != device_of(array):
        raise BufferError(f"an array on {array.memory.on.name} is not given to another device: use numpy.asarray")
    array = array.copy() if copy else array
    if array.dtype.kind not in _CODES:
        raise DTypeError(f"DLPack has no code for {array.dtype}")
    array.memory.on.synchronize()
    ndim = array.ndim
    shape, strides = (ctypes.c_int64 * ndim)(*array.shape), (ctypes.c_int64 * ndim)(*array.steps)
    kind = _Type(_CODES[array.dtype.kind], 8 * array.itemsize, 1)
    tensor = _Tensor(array.address if array.size else None, _Device(*device_of(array)), ndim, kind, shape, strides, 0)
    managed = _Managed(tensor, None, _delete)
    address = ctypes.addressof(managed)
    _alive[address] = (managed, shape, strides, array)
    return _new(address, _NAME, _destroy)


def told(capsule: Any) -> tuple[int, int, tuple[int, int], tuple[int, ...], tuple[int, ...] | None]:
    """(kind of device, address, (code, bits) of the dtype, shape, strides in elements) of a capsule that is kept."""
    tensor = ctypes.cast(_pointer_of(capsule, _NAME), ctypes.POINTER(_Managed)).contents.tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    steps = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.offset
    return tensor.device.kind, address, (tensor.dtype.code, tensor.dtype.bits), shape, steps
