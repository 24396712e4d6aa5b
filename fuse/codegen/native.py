"""From object code to a callable: kernels are linked through llvmlite and entered at C level (no numba in here)."""
from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.codegen import threads
from fuse.forks import cached_property
from fuse.frozen import dataclass

ENTRY = "fuse_entry"
RELEASE_AT = 1 << 14            # elements in all arrays together; less is done sooner than the lock changes hands
CPYTHON = ("PyErr_SetString PyErr_Occurred PyFloat_AsDouble PyLong_AsLongLong PyLong_AsUnsignedLongLong PyNumber_Index "
           "PyLong_FromLongLong PyObject_IsTrue PyComplex_AsCComplex PyEval_SaveThread PyEval_RestoreThread "
           "Py_DecRef PyObject_CallNoArgs PyMem_RawMalloc PyMem_RawFree").split()
WRITEABLE_FLAG = 0x400                              # NPY_ARRAY_WRITEABLE
PART = "part"                   # the "dtype" of a kernel's last parameter where its work can be shared among threads
RAISED = 1 << 32                # status of a part: the kernel raised, which it must not
PLAN = 4                        # slots of the plan for each segment, after one for their number
SHARED_SLOT = 16                # bytes of a slot of the memory that the parts of one call share
NO_MEMORY = 5                   # status of a kernel
MANY_ARRAYS = 8                 # of a kernel; more are checked by functions, not line by line


@dataclass(frozen=True)
class ArgType:
    """Type of one kernel argument: a scalar of `dtype`, or an array of rank `ndim` with any strides.

    The last one may be `PART`, which no caller gives: which segment of the kernel, which items of it, and `ndim` slots
    of memory that all parts of one call share.
    """
    dtype: str
    ndim: int | None = None
    writable: bool = False

    def __str__(self) -> str:
        if self.ndim is None:
            return self.dtype
        return f"{'writable ' if self.writable else ''}{self.dtype} array of {self.ndim} dimensions"


class MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p)]


@dataclass(eq=False)
class Kernel:
    """What a compiled kernel is made of: the ``__self__`` of the callable, which keeps its machine code alive."""
    name: str
    source: str
    argtypes: tuple[ArgType, ...]
    origin: str                                 # "compiled" or "disk"
    _llvm: Callable[[], str] | None
    _keep: object = None
    key: str = ""                               # in the loader's cache; empty where no other process would find it
    block: bool = False                         # an operation of a tape, which only compiled code calls
    address: int = 0                            # of the entry

    @cached_property
    def llvm(self) -> str:
        """LLVM assembly, optimised; of a kernel that came from disk it is made anew."""
        if self._llvm is None:
            raise RuntimeError("the kernel came from disk with its plan; its LLVM assembly was not kept")
        return self._llvm()

    def assembly(self) -> str:
        """The machine code as LLVM prints it."""
        import llvmlite.binding as llvm

        from fuse.codegen import strength
        from fuse.codegen.syntax import parse
        return strength.emitted(machine().emit_assembly, llvm.parse_assembly(self.llvm), parse(self.source))


lock = threading.RLock()         # of everything that compiles or links
_serial = itertools.count()
_state: dict[str, Any] = {}


def machine():
    """LLVM's target machine of this computer, with all its instructions."""
    with lock:
        return _machine()


def _machine():
    if "machine" not in _state:
        import llvmlite.binding as llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        reloc = "static" if target.name.startswith("x86") else "default"
        _state["machine"] = target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc=reloc,
            codemodel="jitdefault", jit=True)
    return _state["machine"]


def floats() -> int:
    """How many numbers of float32 the processor's widest vectors have.

    >>> floats() in (4, 8, 16)
    True
    """
    import llvmlite.binding as llvm
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


def _imports() -> dict[str, int]:
    """Addresses of what every entry calls in the interpreter."""
    if "imports" not in _state:
        api = ctypes.pythonapi
        addresses = {name: ctypes.cast(getattr(api, name), ctypes.c_void_p).value for name in CPYTHON}
        addresses["PyExc_TypeError"] = ctypes.addressof(ctypes.c_void_p.in_dll(api, "PyExc_TypeError"))
        addresses["fuse_ndarray"] = id(np.ndarray)
        addresses["fuse_pool"], addresses["fuse_prepare"] = threads.address, id(threads.prepare)
        _state["imports"] = addresses
    return _state["imports"]


def link(kernel: Kernel, code: bytes, externals: tuple[str, ...],
         resolve: Callable[[str], int | None] = lambda name: None) -> Any:
    """The callable of `kernel` from object code; `resolve` finds externals that are not in the process.

    Of a block operation the kernel itself, with its address.

    Raises RuntimeError when the object code is unusable.
    """
    import llvmlite.binding as llvm
    with lock:
        if "jit" not in _state:
            _machine()
            _state["jit"] = llvm.create_lljit_compiler(suppress_errors=True)
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        addresses = _imports()
        for name, address in addresses.items():
            builder.import_symbol(name, address)
        for name in externals:
            if name not in addresses:
                found = llvm.address_of_symbol(name) or resolve(name)
                if found:
                    builder.import_symbol(name, found)
        tracker = builder.export_symbol(ENTRY).link(_state["jit"], f"{kernel.name}_{next(_serial)}")
    kernel.address = tracker[ENTRY]
    if kernel.block:
        kernel._keep = tracker
        return kernel
    definition = MethodDef(kernel.name.encode(), kernel.address, 0x80, None)          # METH_FASTCALL
    kernel._keep = (tracker, definition)
    return python_function(definition, kernel, __name__)


def python_function(definition: MethodDef, owner: object, module: str) -> Any:
    """The built-in function of Python that ``definition`` tells of, bound to ``owner``; both must stay alive."""
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    return new(ctypes.addressof(definition), owner, module)


def externals(module) -> tuple[str, ...]:
    """Names an LLVM module declares without defining them."""
    values = itertools.chain(module.functions, module.global_variables)
    return tuple(sorted(v.name for v in values if v.is_declaration and not v.name.startswith("llvm.")))


if hasattr(os, "register_at_fork"):     # a child never inherits a compilation in progress
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
