"""Memory of large results: blocks that the user has dropped are given out again, as page faults cost more than sums.

NumPy lets every array name what allocates and frees its data (NEP 49). ``empty`` makes arrays whose data comes from a
few kept blocks and goes back there when the last reference to the array, or to a view of it, is gone: arrays are new
objects that own their data, and nothing is ever handed out that somebody still holds. Blocks are kept up to
``config.recycle`` bytes in the whole process, the last one freed is the first one used, the oldest is released first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import numpy as np

from fuse.codegen import assembly, zero_d
from fuse.codegen.assembly import Assembly
from fuse.codegen.zero_d import Allocator, Handler
from fuse.config import config
from fuse.forks import lock_for_threads

LARGE = 1 << 17  # bytes from which on memory is recycled: the C library asks the system for it anew each time
BLOCKS = 64  # kept at most
SPARE = 3  # a block serves for what is smaller by less than 1 / 2**SPARE of it
PAGE = 4096
PATIENCE = 8  # large arrays that a process makes before it compiles the allocator, where that is not on disk
HUGE = 1 << 22  # bytes from which on the system is asked for large pages, as NumPy asks it
MADV_HUGEPAGE = 14
PAD = PAGE + 16  # before a block: what the C library gave, and the block's capacity; room to place it in its page
# Arrays that begin at the same place of a page compete for the same lines of the first cache, and loads wait for stores
# that seem to be to their place, a little before them. NumPy's large arrays begin at byte 16: beside five of them, six
# results that all begin at byte 128 take twice the time of those that begin here.
PLACES, APART = 7, 512
SLOT = 24  # bytes of a slot: block, capacity, time of its return

# Places in NumPy's table of C functions (stable: numpy/core/code_generators/numpy_api.py).
NUMPY = {"PyArray_NewFromDescr": 94, "PyArray_SetBaseObject": 282, "PyDataMem_SetHandler": 304,
         "PyDataMem_GetHandler": 305}
USUAL_HANDLER = 306  # the place of a pointer to the object that has NumPy's own allocator

Array = Any


# ---------------------------------------------------------------- the allocator as LLVM assembly
def _slots(t: Assembly, wanted: str, better: Any) -> str:
    """A variable with the slot that is ``wanted`` and ``better`` than the others of that kind, or null."""
    found, best = t.slot("ptr", "null"), t.slot("i64", "0")
    with t.loop(BLOCKS) as i:
        slot = t.at("@slots", t(f"mul i64 {i}, {SLOT}"))
        capacity, time = t.field("i64", slot, 8), t.field("i64", slot, 16)
        with t.when(_fits(t, wanted, capacity)):
            have = t.load("ptr", found)
            first = t(f"icmp eq ptr {have}, null")
            known = t.load("i64", best)
            with t.when(t(f"or i1 {first}, {t(f'icmp {better} i64 {time}, {known}')}")):
                t.store("ptr", slot, found)
                t.store("i64", time, best)
    return t.load("ptr", found)


def _fits(t: Assembly, wanted: str, capacity: str) -> str:
    if wanted == "empty":
        return t(f"icmp eq i64 {capacity}, 0")
    if wanted == "full":
        return t(f"icmp ne i64 {capacity}, 0")
    enough = t(f"icmp uge i64 {capacity}, {wanted}")
    spare = t(f"icmp ule i64 {t(f'sub i64 {capacity}, {wanted}')}, {t(f'lshr i64 {capacity}, {SPARE}')}")
    return t(f"and i1 {enough}, {spare}")


def _emptied(t: Assembly, slot: str) -> str:
    """Take the block out of ``slot``; the lock is held."""
    block, capacity = t.load("ptr", slot), t.field("i64", slot, 8)
    t.store("i64", "0", t.at(slot, 8))
    t.store("i64", t(f"sub i64 {t.load('i64', '@kept')}, {capacity}"), "@kept")
    return block


def _lock() -> str:
    t = Assembly()
    again, done = t.label(), t.label()
    t.jump(again)
    t.start(again)
    old = t("atomicrmw xchg ptr @lock, i32 1 acquire")
    t.branch(t(f"icmp eq i32 {old}, 0"), done, again)
    t.start(done)
    t.do("ret void")
    return t.function("void @fuse_lock()")


def _unlock() -> str:
    t = Assembly()
    t.do("store atomic i32 0, ptr @lock release, align 4")
    t.do("ret void")
    return t.function("void @fuse_unlock()")


def _evict() -> str:
    """Release the oldest block; whether there was one. The lock is held."""
    t = Assembly()
    slot, none = _slots(t, "full", "slt"), t.label()
    t.require(t(f"icmp ne ptr {slot}, null"), none)
    block = _emptied(t, slot)
    t.do(f"call void @free(ptr {t.field('ptr', block, -16)})")
    t.do("ret i1 true")
    t.start(none)
    t.do("ret i1 false")
    return t.function("internal i1 @evict()")


def _take() -> str:
    """malloc: a kept block that is large enough and hardly larger, or a new one."""
    t = Assembly()
    fresh, none, made = t.label(), t.label(), t.label()
    size = t(f"and i64 {t(f'add i64 %size, {PAGE - 1}')}, {-PAGE}")
    t.do("call void @fuse_lock()")
    slot, here = _slots(t, size, "sgt"), t.label()
    t.branch(t(f"icmp ne ptr {slot}, null"), here, fresh)
    t.start(here)
    block = _emptied(t, slot)
    t.do("call void @fuse_unlock()")
    t.do(f"ret ptr {block}")
    t.start(fresh)
    made_before = t.load("i64", "@made")
    t.store("i64", t(f"add i64 {made_before}, 1"), "@made")
    t.do("call void @fuse_unlock()")
    turn = t(f"urem i64 {made_before}, {PLACES}")
    place = t(f"mul i64 {t(f'add i64 {turn}, 1')}, {APART}")
    total = t(f"add i64 {size}, {PAD}")
    raw = t.slot("ptr", t(f"call ptr @malloc(i64 {total})"))
    with t.when(t(f"icmp eq ptr {t.load('ptr', raw)}, null")):  # what is kept may be what is missing
        t.do("call i64 @fuse_limit(i64 0, i64 1)")
        t.store("ptr", t(f"call ptr @malloc(i64 {total})"), raw)
    start = t.load("ptr", raw)
    t.branch(t(f"icmp eq ptr {start}, null"), none, made)
    t.start(made)
    number = t(f"ptrtoint ptr {start} to i64")
    first = t(f"sub i64 {t(f'add i64 {number}, {PAD - 1}')}, {place}")
    aligned = t(f"add i64 {t(f'and i64 {first}, {-PAGE}')}, {place}")
    block = t(f"inttoptr i64 {aligned} to ptr")
    t.store("ptr", start, t.at(block, -16))
    t.store("i64", size, t.at(block, -8))
    with t.when(t(f"icmp uge i64 {size}, {HUGE}")):
        t.do(f"call void @advise(i64 {aligned}, i64 {size})")
    t.do(f"ret ptr {block}")
    t.start(none)
    t.do("ret ptr null")
    return t.function("ptr @fuse_take(ptr %self, i64 %size)")


def _advise(known: bool) -> str:
    """Ask for large pages where the system has the call (Linux)."""
    t = Assembly()
    if known:
        first = t(f"and i64 {t(f'add i64 %start, {PAGE - 1}')}, {-PAGE}")
        last = t(f"and i64 {t('add i64 %start, %size')}, {-PAGE}")
        t(f"call i32 @madvise(i64 {first}, i64 {t(f'sub i64 {last}, {first}')}, i32 {MADV_HUGEPAGE})")
    t.do("ret void")
    return t.function("internal void @advise(i64 %start, i64 %size)")


def _give() -> str:
    """free: the block is kept where the limit allows it, in place of the oldest ones."""
    t = Assembly()
    nothing, room, release, place, more, found = (t.label() for _ in range(6))
    t.require(t("icmp ne ptr %block, null"), nothing)
    capacity = t.field("i64", "%block", -8)
    t.do("call void @fuse_lock()")
    limit = t.load("i64", "@limit")
    t.branch(t(f"icmp ugt i64 {capacity}, {limit}"), release, room)
    t.start(room)
    kept = t(f"add i64 {t.load('i64', '@kept')}, {capacity}")
    t.branch(t(f"icmp ugt i64 {kept}, {limit}"), more, place)
    t.start(more)
    t("call i1 @evict()")
    t.jump(room)
    t.start(place)
    slot = _slots(t, "empty", "slt")
    t.branch(t(f"icmp eq ptr {slot}, null"), more, found)
    t.start(found)
    t.store("ptr", "%block", slot)
    t.store("i64", capacity, t.at(slot, 8))
    time = t(f"add i64 {t.load('i64', '@clock')}, 1")
    t.store("i64", time, "@clock")
    t.store("i64", time, t.at(slot, 16))
    t.store("i64", kept, "@kept")
    t.do("call void @fuse_unlock()")
    t.do("ret void")
    t.start(release)
    t.do("call void @fuse_unlock()")
    t.do(f"call void @free(ptr {t.field('ptr', '%block', -16)})")
    t.jump(nothing)
    t.start(nothing)
    t.do("ret void")
    return t.function("void @fuse_give(ptr %self, ptr %block, i64 %size)")


def _zeroed() -> str:
    t = Assembly()
    none = t.label()
    size = t("mul i64 %count, %each")
    block = t(f"call ptr @fuse_take(ptr %self, i64 {size})")
    t.require(t(f"icmp ne ptr {block}, null"), none)
    t.do(f"call void @llvm.memset.p0.i64(ptr {block}, i8 0, i64 {size}, i1 false)")
    t.jump(none)
    t.start(none)
    t.do(f"ret ptr {block}")
    return t.function("ptr @fuse_zeroed(ptr %self, i64 %count, i64 %each)")


def _resized() -> str:
    """realloc, for arrays that are resized in place."""
    t = Assembly()
    none, old = t.label(), t.label()
    block = t("call ptr @fuse_take(ptr %self, i64 %size)")
    t.require(t(f"icmp ne ptr {block}, null"), none)
    t.branch(t("icmp ne ptr %block, null"), old, none)
    t.start(old)
    capacity = t.field("i64", "%block", -8)
    count = t(f"select i1 {t(f'icmp ult i64 {capacity}, %size')}, i64 {capacity}, i64 %size")
    t.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {block}, ptr %block, i64 {count}, i1 false)")
    t.do("call void @fuse_give(ptr %self, ptr %block, i64 0)")
    t.jump(none)
    t.start(none)
    t.do(f"ret ptr {block}")
    return t.function("ptr @fuse_resized(ptr %self, ptr %block, i64 %size)")


def _limit() -> str:
    """Set the limit, or with ``once`` nothing but release what is above it; gives the bytes that are kept."""
    t = Assembly()
    more, evict, done = t.label(), t.label(), t.label()
    t.do("call void @fuse_lock()")
    with t.when(t("icmp eq i64 %once, 0")):
        t.store("i64", "%bytes", "@limit")
    t.jump(more)
    t.start(more)
    kept = t.load("i64", "@kept")
    t.branch(t(f"icmp ugt i64 {kept}, %bytes"), evict, done)
    t.start(evict)
    t("call i1 @evict()")
    t.jump(more)
    t.start(done)
    t.do("call void @fuse_unlock()")
    t.do(f"ret i64 {kept}")
    return t.function("i64 @fuse_limit(i64 %bytes, i64 %once)")


def _new() -> str:
    """PyArray_NewFromDescr with ``rank`` sizes, its data from this allocator."""
    t = Assembly()
    capsule = t.load("ptr", "@capsule")
    old = t(f"call ptr @PyDataMem_SetHandler(ptr {capsule})")
    t.do("call void @Py_IncRef(ptr %descr)")
    array = t("call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %descr, i32 %rank, ptr %sizes, ptr null, "
              "ptr null, i32 0, ptr null)")
    own = t(f"call ptr @PyDataMem_SetHandler(ptr {old})")
    t.do(f"call void @Py_DecRef(ptr {old})")
    t.do(f"call void @Py_DecRef(ptr {own})")
    t.do(f"ret ptr {array}")
    return t.function("ptr @fuse_new(ptr %descr, i32 %rank, ptr %sizes)")


def _empty() -> str:
    """The built-in function ``empty(shape, dtype)``, for a tuple of at most 64 ints and a dtype."""
    t = Assembly()
    wrong = t.label()
    shape, descr = t.load("ptr", "%args"), t.field("ptr", "%args", 8)
    count = t(f"call i64 @PyTuple_Size(ptr {shape})")
    t.require(t(f"icmp ult i64 {count}, 65"), wrong)
    sizes = t.slot("[64 x i64]")
    with t.loop(count) as i:
        number = t(f"call ptr @PyTuple_GetItem(ptr {shape}, i64 {i})")
        t.store("i64", t(f"call i64 @PyLong_AsSsize_t(ptr {number})"), t.item(sizes, i))
    raised = t("call ptr @PyErr_Occurred()")
    t.require(t(f"icmp eq ptr {raised}, null"), wrong)
    rank = t(f"trunc i64 {count} to i32")
    array = t(f"call ptr @fuse_new(ptr {descr}, i32 {rank}, ptr {sizes})")
    t.do(f"ret ptr {array}")
    t.start(wrong)
    t.do("ret ptr null")
    return t.function("ptr @fuse_empty(ptr %self, ptr %args, i64 %count)")


EXPORTS = ("fuse_lock", "fuse_unlock", "fuse_take", "fuse_give", "fuse_zeroed", "fuse_resized", "fuse_limit",
           "fuse_new", "fuse_empty", "capsule")
CPYTHON = ("Py_IncRef", "Py_DecRef", "PyTuple_Size", "PyTuple_GetItem", "PyLong_AsSsize_t", "PyErr_Occurred")


def text(advice: bool) -> str:
    """The LLVM assembly of the allocator."""
    return "\n".join([
        f"@slots = internal global [{BLOCKS * SLOT} x i8] zeroinitializer, align 8",
        "@lock = internal global i32 0",
        *(f"@{name} = internal global i64 0" for name in ("kept", "limit", "clock", "made")),
        "@capsule = global ptr null", "@PyArray_Type = external global i8",
        "declare ptr @malloc(i64)", "declare void @free(ptr)", "declare i32 @madvise(i64, i64, i32)",
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)", "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        "declare ptr @PyDataMem_SetHandler(ptr)", "declare void @Py_IncRef(ptr)", "declare void @Py_DecRef(ptr)",
        "declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)",
        "declare i32 @PyArray_SetBaseObject(ptr, ptr)",
        "declare i64 @PyTuple_Size(ptr)", "declare ptr @PyTuple_GetItem(ptr, i64)",
        "declare i64 @PyLong_AsSsize_t(ptr)", "declare ptr @PyErr_Occurred()",
        _lock(), _unlock(), _evict(), _take(), _advise(advice), _give(), _zeroed(), _resized(), _limit(), _new(),
        _empty(), ""])


# ---------------------------------------------------------------- in the process
_state: dict[str, Any] = {}


def _c_library() -> ctypes.CDLL:
    return ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)


def numpy_function(name: str) -> int:
    """The address of one of NumPy's C functions."""
    return _in_numpy(NUMPY[name])


def _in_numpy(place: int) -> int:
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(_multiarray_umath._ARRAY_API, None)
    return int((ctypes.c_void_p * (place + 1)).from_address(table)[place] or 0)


def addresses() -> dict[str, int]:
    """Addresses of the allocator's functions, loading it if need be; empty where this Python cannot have it."""
    with _lock_of_state:
        if "addresses" not in _state:
            try:
                _state["addresses"] = _loaded()
            except Exception:  # another layout of NumPy's table, no LLVM, no C library: NumPy's own allocator serves
                _state["addresses"] = {}
    return _state["addresses"]


def is_at_hand() -> bool:
    """Whether ``addresses`` takes no compiling."""
    if "addresses" not in _state and "stored" not in _state:
        _state["stored"] = assembly.is_stored(_module(), _exports())
    return "addresses" in _state or _state["stored"]


def _module() -> str:
    """The text of both the allocator and the calls at C level, which make arrays in this memory."""
    from fuse.codegen import native_call

    return text(sys.platform == "linux") + zero_d.DECLARATIONS + zero_d.text() + native_call.text()


def _exports() -> tuple[str, ...]:
    return (*EXPORTS, *zero_d.EXPORTS, "fuse_call", "fuse_pointed")


def _loaded() -> dict[str, int]:
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.implementation.name != "cpython":
        return {}
    from fuse.codegen import native_call, threads
    from fuse.codegen.pool import QUIET

    library = _c_library()
    imports = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in ("malloc", "free")}
    names = {*CPYTHON, *zero_d.CPYTHON, *native_call.CPYTHON}
    imports |= {n: ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value or 0 for n in names}
    imports |= {name: numpy_function(name) for name in NUMPY} | {"PyArray_Type": id(np.ndarray)}
    imports |= {name: id(value) for name, value in native_call.OBJECTS.items()}
    imports["fuse_quiet"] = threads.address + QUIET
    if sys.platform == "linux":
        imports["madvise"] = ctypes.cast(library.madvise, ctypes.c_void_p).value or 0
    found = assembly.load("fuse_runtime", _module(), imports, _exports())
    own = Allocator(None, *(found[f"fuse_{name}"] for name in ("take", "zeroed", "resized", "give")))
    handler = Handler(b"fuse", 1, own)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = new(ctypes.addressof(handler), b"mem_handler", None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(capsule))
    ctypes.c_void_p.from_address(found["capsule"]).value = id(capsule)
    _state["keep"] = handler, capsule
    _prepare_zero_d(found)
    _state["limit"] = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(found["fuse_limit"])
    _state["limit"](config.recycle, 0)
    config.watch("recycle", lambda bytes_: _state["limit"](bytes_, 0))
    if hasattr(os, "register_at_fork"):  # a child never inherits a lock that nobody will open
        # Not taken before: another thread could then wait for it, holding Python's lock, which the fork waits for.
        os.register_at_fork(after_in_child=ctypes.CFUNCTYPE(None)(found["fuse_unlock"]))
    _state["empty"] = assembly.builtin("empty", found["fuse_empty"], assembly.POSITIONAL, None)
    return found


def _prepare_zero_d(found: dict[str, int]) -> None:
    """Tell ``zero_d`` which memory NumPy's arrays have, where that is as its headers say."""
    usual = ctypes.c_void_p.from_address(_in_numpy(USUAL_HANDLER)).value or 0
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = ctypes.cast(usual, ctypes.py_object).value
    handler = Handler.from_address(pointer(capsule, b"mem_handler"))
    if handler.version == 1:
        zero_d.prepare(found, usual, handler.allocator)


_lock_of_state = lock_for_threads()


def recycled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """``np.empty(shape, dtype)`` for large arrays, in memory that was used before where there is some.

    >>> recycled((1000, 1000), np.dtype("float64")).shape
    (1000, 1000)
    """
    make = _state.get("empty")
    if make is None:
        _state["met"] = _state.get("met", 0) + 1
        if _state["met"] < PATIENCE and not is_at_hand():
            return np.empty(shape, dtype)
        make = _state["empty"] if addresses() else _state.setdefault("empty", np.empty)
    return make(shape, dtype)


def copied(array: Array) -> Array:
    """A new array with the values of ``array``.

    >>> copied(np.arange(3.0))
    array([0., 1., 2.])
    """
    if array.nbytes < LARGE or not array.flags.c_contiguous:
        return np.array(array)
    new = recycled(array.shape, array.dtype)
    np.copyto(new, array)
    return new


def free() -> None:
    """Give every block that is kept back to the system."""
    if "limit" in _state:
        _state["limit"](0, 1)


def kept() -> int:
    """How many bytes are kept for large results to come."""
    return int(_state["limit"](sys.maxsize, 1)) if "limit" in _state else 0
