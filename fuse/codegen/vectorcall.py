"""Objects that Python calls by a pointer in themselves (PEP 590): it looks no method up and makes no tuple.

`Pointed` objects have room for the pointer and for the plan of their calls, which ``native_call`` reads there. They are
ordinary objects until `point` gives them both, and a class that says so.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from fuse.codegen import native
from fuse.codegen.call_words import Plan

POINTER = object.__basicsize__  # where an object has the pointer; its plan stands behind it
PLAN = POINTER + ctypes.sizeof(ctypes.c_void_p)
DEFAULT, BASE_TYPE, HAS_POINTER = 1 << 18, 1 << 10, 1 << 11  # flags of types, and what else C headers say of them
SLOT_CALL, SLOT_MEMBERS, SIZE_MEMBER, READ_ONLY = 50, 72, 19, 1


class _Member(ctypes.Structure):  # PyMemberDef
    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_int), ("offset", ctypes.c_ssize_t),
                ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


class _Slot(ctypes.Structure):  # PyType_Slot
    _fields_ = [("number", ctypes.c_int), ("value", ctypes.c_void_p)]


class _Spec(ctypes.Structure):  # PyType_Spec
    _fields_ = [("name", ctypes.c_char_p), ("size", ctypes.c_int), ("item", ctypes.c_int), ("flags", ctypes.c_uint),
                ("slots", ctypes.POINTER(_Slot))]


_kept: list[Any] = []  # texts and tables that types may go on reading


def _type(name: str, size: int, flags: int, base: type, slots: dict[int, Any]) -> Any:
    """A type as C extensions make them."""
    table = (_Slot * (len(slots) + 1))(*[_Slot(number, value) for number, value in slots.items()])
    spec = _Spec(name.encode(), size, 0, DEFAULT | BASE_TYPE | flags, table)
    _kept.append(spec)
    make = ctypes.pythonapi.PyType_FromSpecWithBases
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object]
    return make(ctypes.addressof(spec), (base,))


def _with_room() -> Any:
    """A type whose objects have room for a pointer to no object; `object` where this Python makes none."""
    if sys.implementation.name != "cpython" or PLAN != 24:
        return object
    return _type(f"{__name__}.Room", PLAN, 0, object, {})


if TYPE_CHECKING:
    Room = object
else:
    Room = _with_room()


class Pointed(Room):
    """An object with room for a pointer to what a call of it does, and for the plan of that."""

    __slots__ = ("_plan",)
    _plan: Plan


@cache
def _pointed(base: Any) -> Any:
    """A subclass of ``base`` whose objects Python calls by their pointers."""
    members = (_Member * 2)(_Member(b"__vectorcalloffset__", SIZE_MEMBER, POINTER, READ_ONLY, None))
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, ctypes.c_void_p).value  # for those who call without
    _kept.append(members)
    slots = {SLOT_CALL: call, SLOT_MEMBERS: ctypes.addressof(members)}
    found = _type(f"{base.__module__}.{base.__name__}", base.__basicsize__, HAS_POINTER, base, slots)
    found.__doc__ = base.__doc__
    return found


def point(function: Any, base: type, address: int, plan: Plan) -> bool:
    """Let calls of ``function``, a `Pointed` object of ``base``, run ``plan`` by the machine code at ``address``.

    False, and nothing done, where this Python has no such objects. A plan stays: calls under way in other threads do
    not hold theirs.
    """
    if Room is object or not address:
        return False
    with native.lock:
        if getattr(function, "_plan", None) is None:
            function._plan = plan
            if ctypes.c_void_p.from_address(id(function) + PLAN).value != id(plan):
                del function._plan
                return False
            ctypes.c_void_p.from_address(id(function) + POINTER).value = address
        function.__class__ = _pointed(base)
    return True
