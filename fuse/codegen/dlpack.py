"""DLPack capsules of device arrays: how PyTorch, JAX and CuPy take them without a copy.

The structures are those of ``dlpack.h`` (https://dmlc.github.io/dlpack): a managed tensor with a deleter, in a capsule
that its taker renames; that of version 1 says whether the memory may be written too.
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
_NAME, _VERSIONED = b"dltensor", b"dltensor_versioned"
_READ_ONLY = 1  # of the flags


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


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint32), ("minor", ctypes.c_uint32))


class _ManagedVersioned(ctypes.Structure):
    pass


_DeleterVersioned = ctypes.CFUNCTYPE(None, ctypes.POINTER(_ManagedVersioned))
_ManagedVersioned._fields_ = [
    ("version", _Version), ("context", ctypes.c_void_p), ("deleter", _DeleterVersioned), ("flags", ctypes.c_uint64),
    ("tensor", _Tensor),
]  # fmt: skip
_alive: dict[int, Any] = {}  # what capsules stand for, by the address of their structure


@_Deleter
def _delete(managed: Any) -> None:
    _alive.pop(ctypes.addressof(managed.contents), None)


@_DeleterVersioned
def _delete_versioned(managed: Any) -> None:
    _alive.pop(ctypes.addressof(managed.contents), None)


_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _of_python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own; those that ``ctypes.pythonapi`` hands out other modules may change."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


# A destructor has the address of an object that nobody holds any more.
_valid = _of_python("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer = _of_python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_is_valid = _of_python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_pointer_of = _of_python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_new = _of_python("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)


@_Destructor
def _destroy(capsule: int) -> None:
    """A capsule that nobody took is gone."""
    for name in (_NAME, _VERSIONED):
        if _valid(capsule, name):
            _alive.pop(_pointer(capsule, name), None)


def device_of(array: DeviceArray) -> tuple[int, int]:
    """DLPack's (kind, number) of the device; the simulator's memory is the host's."""
    on = array.memory.on
    return (CPU if on.simulated else CUDA), on.index


def capsule(
    array: DeviceArray, *, stream: Any = None, dl_device: Any = None, copy: bool | None = None,
    max_version: tuple[int, int] | None = None, **_: Any,
) -> Any:
    """A capsule of the array, or of a copy where one is asked for. Raises DTypeError for a dtype that has no code.

    Launches run on the default stream, which is waited for, so the taker may use any. Memory that must not be written
    is given to takers that can be told so (``max_version`` 1 or later), others get a BufferError.
    """
    if dl_device is not None and tuple(dl_device) != device_of(array):
        raise BufferError(f"an array on {array.memory.on.name} is not given to another device: use numpy.asarray")
    array = array.copy() if copy else array
    if array.dtype.kind not in _CODES:
        raise DTypeError(f"DLPack has no code for {array.dtype}")
    versioned = max_version is not None and max_version[0] >= 1
    if array.memory.read_only and not versioned:
        raise BufferError("the array is read-only, which DLPack before version 1 cannot say: give a copy of it")
    array.memory.on.synchronize()
    ndim = array.ndim
    shape, strides = (ctypes.c_int64 * ndim)(*array.shape), (ctypes.c_int64 * ndim)(*array.steps)
    kind = _Type(_CODES[array.dtype.kind], 8 * array.itemsize, 1)
    tensor = _Tensor(array.address if array.size else None, _Device(*device_of(array)), ndim, kind, shape, strides, 0)
    managed: Any = _Managed(tensor, None, _delete)
    if versioned:
        flags = _READ_ONLY * array.memory.read_only
        managed = _ManagedVersioned(_Version(1, 0), None, _delete_versioned, flags, tensor)
    address = ctypes.addressof(managed)
    _alive[address] = (managed, shape, strides, array)
    return _new(address, _VERSIONED if versioned else _NAME, _destroy)


def capsule_of(array: Any, **options: Any) -> Any:
    """The capsule of another library's array, of DLPack's version 1 where it has that."""
    try:
        return array.__dlpack__(max_version=(1, 0), **options)
    except TypeError:  # of before version 1
        return array.__dlpack__(**options)


def is_read_only(capsule: Any) -> bool:
    """Whether memory must not be written: a capsule from before version 1 does not say, so it is taken to be so."""
    if not _is_valid(capsule, _VERSIONED):
        return True
    found = ctypes.cast(_pointer_of(capsule, _VERSIONED), ctypes.POINTER(_ManagedVersioned)).contents
    return bool(found.flags & _READ_ONLY)


def told(capsule: Any) -> tuple[int, int, tuple[int, int], tuple[int, ...], tuple[int, ...] | None]:
    """(kind of device, address, (code, bits) of the dtype, shape, strides in elements) of a capsule that is kept."""
    versioned = _is_valid(capsule, _VERSIONED)
    name, kind = (_VERSIONED, _ManagedVersioned) if versioned else (_NAME, _Managed)
    tensor = ctypes.cast(_pointer_of(capsule, name), ctypes.POINTER(kind)).contents.tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    steps = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.offset
    return tensor.device.kind, address, (tensor.dtype.code, tensor.dtype.bits), shape, steps
