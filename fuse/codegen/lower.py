"""Numba's part of loading: from the source of a kernel to object code that holds its C-level entry.

Importing this module imports numba, so only `load` imports it, when a kernel has to be compiled.
"""
from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType

import llvmlite.binding as llvm
import numba
from numba.core import compiler, cpu, types
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (IRLegalization, NativeLowering, NoPythonBackend, NopythonTypeInference,
                                     PreLowerStripPhis)
from numba.core.untyped_passes import (DeadBranchPrune, FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA,
                                       RewriteSemanticConstants, TranslateByteCode)

from fuse.codegen import intrinsics, native
from fuse.codegen.native import ArgType

HELPER = dict(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", forceinline=True)


class _Pipeline(compiler.CompilerBase):
    """Numba's pipeline without what generated code never needs: closures, literal unrolling, array expressions."""

    PASSES = (TranslateByteCode, FixupArgs, IRProcessing, RewriteSemanticConstants, DeadBranchPrune, GenericRewrites,
              ReconstructSSA, NopythonTypeInference, PreLowerStripPhis, IRLegalization, NativeLowering, NoPythonBackend)

    def define_pipelines(self):
        manager = PassManager("fuse")
        for each in self.PASSES:
            manager.add_pass(each, each.__name__)
        manager.finalize()
        return [manager]


class _Library(CPUCodeLibrary):
    """LLVM code that is optimised once, as a whole, and never enters numba's own execution engine."""

    def add_llvm_module(self, module):
        self._final_module.link_in(module)

    def _finalize_specific(self):
        pass

    def module(self, entry: str, argtypes: tuple[ArgType, ...]):
        """Everything linked to one module around the C-level entry, optimised."""
        module = self._final_module
        wrapper = llvm.parse_assembly(native.entry_assembly(entry, argtypes))
        wrapper.triple, wrapper.data_layout = module.triple, self._codegen._data_layout
        module.data_layout = self._codegen._data_layout
        module.link_in(wrapper)
        for library in dict.fromkeys(self._linking_libraries):
            module.link_in(library._get_module_for_linking(), preserve=True)
        for function in module.functions:
            if not function.is_declaration and function.name != native.ENTRY:
                function.linkage = "internal"
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_vectorization, tuning.slp_vectorization = True, False
        builder = llvm.create_pass_builder(native.machine(), tuning)
        builder.getModulePassManager().run(module, builder)
        module.verify()
        return module


def _callable(function, names: dict[str, object]):
    """A helper as numba wants it: plain Python functions are compiled, with the kernel's names in reach."""
    if isinstance(function, FunctionType):
        merged = FunctionType(function.__code__, {**names, **function.__globals__}, function.__name__)
        return numba.njit(**HELPER)(merged)
    return function


def object_code(source: str, entry: str, name: str, filename: str, argtypes: tuple[ArgType, ...],
                helpers: Mapping[str, object], fastmath) -> tuple[bytes, tuple[str, ...], str]:
    """Object code, the external names it needs, and its LLVM assembly."""
    names = intrinsics.namespace()
    names.update({key: _callable(value, names) for key, value in helpers.items()})
    own: dict[str, object] = {}
    exec(compile(source, filename, "exec"), names, own)
    function = own.pop(entry)
    names.update({key: numba.njit(**HELPER)(value) if isinstance(value, FunctionType) else value
                  for key, value in own.items()})
    function.__name__ = function.__qualname__ = name
    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.enable_ssa = True
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions(set(fastmath) if not isinstance(fastmath, bool) else fastmath)
    with global_compiler_lock:
        typing, target = cpu_target.typing_context, cpu_target.target_context
        typing.refresh()
        target.refresh()
        library = _Library(target.codegen(), name)
        result = compiler.compile_extra(
            typing, target, function, tuple(intrinsics.buffer_type(a.dtype, a.ndim, a.writable) for a in argtypes),
            types.int64, flags, {}, library=library, pipeline_class=_Pipeline)
        module = library.module(result.fndesc.llvm_func_name, argtypes)
        return native.machine().emit_object(module), native.externals(module), str(module)


def address(name: str) -> int | None:
    """Address of a symbol that numba brings into the process."""
    cpu_target.target_context
    return llvm.address_of_symbol(name)
