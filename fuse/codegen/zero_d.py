"""Arrays without dimensions, made field by field as NumPy makes them, in half the time: the results of small calls.

NumPy says in its headers which fields an array has, and its own arrays are asked whether that is so: where one has
anything else in it, and where somebody has told NumPy to take memory elsewhere, NumPy makes them.
"""

from __future__ import annotations

import ctypes

import numpy as np

from fuse.codegen.assembly import Assembly


class Allocator(ctypes.Structure):  # PyDataMemAllocator
    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


class Handler(ctypes.Structure):  # PyDataMem_Handler
    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", Allocator)]


SIZE = 96  # bytes of an array object
DATA, DTYPE, FLAGS, HANDLER = 16, 56, 64, 88  # fields of it; the others are 0 where there are no dimensions
OWN = 0x507  # flags: contiguous in both orders, it owns its data, aligned, writeable
TRACED = 389047  # NumPy's domain of memory that is traced
CPYTHON = ("PyObject_Malloc", "PyObject_Free", "PyObject_Init", "PyTraceMalloc_Track")
NONE = 1  # in the place of an allocator: no arrays are made here

DECLARATIONS = f"""
@usual = global ptr inttoptr (i64 {NONE} to ptr)
@allocate = global ptr null
@allocator = global ptr null
declare ptr @PyDataMem_GetHandler()
declare ptr @PyObject_Malloc(i64)
declare void @PyObject_Free(ptr)
declare ptr @PyObject_Init(ptr, ptr)
declare i32 @PyTraceMalloc_Track(i32, i64, i64)
"""
EXPORTS = ("usual", "allocate", "allocator")


def text() -> str:
    """The LLVM assembly of ``fuse_zero_d(dtype, bytes of an element)``, which gives a new array."""
    t = Assembly()
    other, lost = t.label(), t.label()
    handler = t("call ptr @PyDataMem_GetHandler()")
    t.require(t(f"icmp eq ptr {handler}, {t.load('ptr', '@usual')}"), other)
    array = t(f"call ptr @PyObject_Malloc(i64 {SIZE})")
    t.require(t(f"icmp ne ptr {array}, null"), other)
    allocate, allocator = t.load("ptr", "@allocate"), t.load("ptr", "@allocator")
    data = t(f"call ptr {allocate}(ptr {allocator}, i64 %bytes)")
    t.require(t(f"icmp ne ptr {data}, null"), lost)
    t(f"call i32 @PyTraceMalloc_Track(i32 {TRACED}, i64 {t(f'ptrtoint ptr {data} to i64')}, i64 %bytes)")
    t.do(f"call ptr @PyObject_Init(ptr {array}, ptr @PyArray_Type)")
    t.do("call void @Py_IncRef(ptr %dtype)")
    fields = {DATA: data, DTYPE: "%dtype", HANDLER: handler}
    for offset in range(DATA, SIZE, 8):
        if offset in fields:
            t.store("ptr", fields[offset], t.at(array, offset))
        else:
            t.store("i64", str(OWN if offset == FLAGS else 0), t.at(array, offset))
    t.do(f"ret ptr {array}")
    t.start(lost)
    t.do(f"call void @PyObject_Free(ptr {array})")
    t.jump(other)
    t.start(other)
    t.do(f"call void @Py_DecRef(ptr {handler})")
    t.do("call void @Py_IncRef(ptr %dtype)")
    made = t("call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %dtype, i32 0, ptr null, ptr null, ptr null, "
             "i32 0, ptr null)")
    t.do(f"ret ptr {made}")
    return t.function("internal ptr @fuse_zero_d(ptr %dtype, i64 %bytes)")


def prepare(places: dict[str, int], usual: int, allocator: Allocator) -> None:
    """Let arrays be made so where NumPy's own are; ``usual`` is the object that has the ``allocator`` of their memory.

    ``places`` are the addresses of `EXPORTS`.
    """
    probe = np.empty((), np.float64)
    fields = {DATA: probe.ctypes.data, DTYPE: id(probe.dtype), FLAGS: OWN, HANDLER: usual}
    if np.ndarray.__basicsize__ != SIZE or object.__basicsize__ != DATA:
        return
    if any(_word(id(probe) + offset) != fields.get(offset, 0) for offset in range(DATA, SIZE, 8)):
        return
    for name, value in (("allocate", allocator.malloc), ("allocator", allocator.context), ("usual", usual)):
        ctypes.c_void_p.from_address(places[name]).value = value


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
