"""Numba's part of loading: from the source of a kernel to object code that holds its C-level entry.

Importing this module imports numba, so only `load` imports it, when a kernel has to be compiled.
"""
from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite.ir import MetaDataString
from numba.core import cgutils, compiler, cpu, ir, types, typing
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    BaseNativeLowering,
    IRLegalization,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

from fuse.codegen import direct, far, intrinsics, native, often, streams, strength
from fuse.codegen import entry as entries
from fuse.codegen.native import ArgType
from fuse.codegen.syntax import parse
from fuse.collector import uncollected

LOOP = direct.LOOP
HELPER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "forceinline": True}


class _Lower(Lower):
    """Numba's lowering, with LLVM's mark of parallel accesses on loops that contain `independent()`."""

    def pre_lower(self):
        super().pre_lower()
        intrinsics.grouped(self.module)
        graph = compute_cfg_from_blocks(self.blocks)
        loops = [graph.in_loops(label)[:1] for label, block in self.blocks.items() if any(
            isinstance(assign.value, ir.Global) and assign.value.value is intrinsics.independent
            for assign in block.find_insts(ir.Assign))]
        self._headers = {loop.header: loop.body for found in loops for loop in found}
        self._labels = {id(block): label for label, block in self.blocks.items()}

    def lower_block(self, block):
        self._label = self._labels[id(block)]
        super().lower_block(block)

    def lower_inst(self, inst):
        super().lower_inst(inst)
        if isinstance(inst, ir.Jump) and self._label in self._headers.get(inst.target, ()):
            module = self.module
            accesses = module.add_metadata([MetaDataString(module, "llvm.loop.parallel_accesses"),
                                            intrinsics.access_group(module)])
            loop = module.add_metadata([MetaDataString(module, f"{LOOP} {self._label}"), accesses])
            self.builder.block.terminator.set_metadata("llvm.loop", loop)


    def lower_binop(self, resty, expr, op):
        function = self.context.typing_context.resolve_value_type(op)
        signature = self.fndesc.calltypes[expr]
        if op is operator.pow or (function, signature.args) not in _signatures:     # pow has forms for constants
            return super().lower_binop(resty, expr, op)
        operands = [self.context.cast(self.builder, self.loadvar(variable.name), self.typeof(variable.name), kind)
                    for variable, kind in zip((expr.lhs, expr.rhs), signature.args, strict=True)]
        result = self.context.get_function(function, signature)(self.builder, operands)
        return self.context.cast(self.builder, result, signature.return_type, resty)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(BaseNativeLowering):
    _name = "fuse_lowering"
    lowering_class = _Lower


def _distinct(text: str) -> str:
    """LLVM assembly with our metadata made distinct, which llvmlite has no words for."""
    text = re.sub(rf'^(!\d+) = !{{ !"{LOOP} \d+", ([!\d, ]+) }}', r"\1 = distinct !{ \1, \2 }", text, flags=re.M)
    return re.sub(rf'^(!\d+) = !{{ !"({intrinsics.GROUP}|{streams.GROUP})" }}', r"\1 = distinct !{}", text, flags=re.M)


class _Typing(typing.Context):
    """Numba's typing context, remembering what operators and casts of numbers give: a third of the compile time."""

    def resolve_function_type(self, function, arguments, keywords):
        if keywords or not (isinstance(function, types.NumberClass)
                        or getattr(getattr(function, "typing_key", None), "__module__", "") == "_operator"):
            return super().resolve_function_type(function, arguments, keywords)
        key = function, arguments
        if (found := _signatures.get(key)) is None:
            found = super().resolve_function_type(function, arguments, keywords)
            if found is not None and all(isinstance(a, (types.Number, types.Boolean)) for a in arguments):
                _signatures[key] = found
        return found


_signatures: dict[tuple, object] = {}


class _Pipeline(compiler.CompilerBase):
    """Numba's pipeline without what generated code never needs: closures, literal unrolling, array expressions."""

    PASSES = (TranslateByteCode, FixupArgs, IRProcessing, RewriteSemanticConstants, DeadBranchPrune, GenericRewrites,
              ReconstructSSA, NopythonTypeInference, PreLowerStripPhis, IRLegalization, _Lowering, NoPythonBackend)

    def define_pipelines(self):
        manager = PassManager("fuse")
        for each in self.PASSES:
            manager.add_pass(each, each.__name__)
        manager.finalize()
        return [manager]


class _Library(CPUCodeLibrary):
    """LLVM code that is optimised once, as a whole, and never enters numba's own execution engine."""

    def add_ir_module(self, module):
        self.add_llvm_module(llvm.parse_assembly(_distinct(cgutils.normalize_ir_text(str(module)))))

    def add_llvm_module(self, module):
        self._final_module.link_in(module)

    def _finalize_specific(self):
        pass

    def module(self, entry: str, argtypes: tuple[ArgType, ...], block: bool):
        """Everything linked to one module around the C-level entry, optimised."""
        module = self._final_module
        helpers = [library._get_module_for_linking() for library in dict.fromkeys(self._linking_libraries)]
        return _optimised(module, helpers, entry, argtypes, block, self._codegen._data_layout)


def _optimised(module, helpers: list, entry: str, argtypes: tuple[ArgType, ...], block: bool, data_layout: str,
               called: Sequence[often.Often] = ()):
    """`module`, optimised as a whole, with the C-level entry around its function `entry`; everything else is internal.

    Of the functions `called` it has declarations; their definitions come after. So does the entry, which is written as
    it should be: LLVM's passes took as long for it as for a short loop, and found nothing.
    """
    module.data_layout = data_layout
    _link(module, helpers, entry)
    builder = _optimise(module)
    for bitcode in [_variant(f, width, module) for f, width in often.called(str(module), called)] if called else ():
        module.link_in(llvm.parse_bitcode(bitcode))
    for function in module.functions:
        if function.name.startswith(often.PREFIX) and not function.is_declaration:
            function.linkage = "internal"
    if any(function.name.startswith(far.PREFIX) for function in module.functions):
        _with_far(module, builder)
    module = streams.streaming(module)
    assembly = entries.block_assembly if block else entries.entry_assembly
    wrapper = llvm.parse_assembly(assembly(entry, argtypes))
    wrapper.triple, wrapper.data_layout = module.triple, data_layout
    module.link_in(wrapper)
    module.get_function(entry).linkage = "internal"
    module.verify()
    return module


def _link(module, helpers: list, entry: str) -> None:
    """Link the modules `helpers` to `module`, of which everything but `entry` is internal then."""
    beyond = sorted({f.name for each in (module, *helpers) for f in each.functions if f.name.startswith(far.PREFIX)})
    if beyond:
        module.link_in(llvm.parse_assembly(far.declarations(beyond)))       # first: those of helpers know nothing
    for helper in helpers:
        module.link_in(helper, preserve=True)
    for function in module.functions:
        if not function.is_declaration and function.name != entry:
            function.linkage = "internal"


def _optimise(module):
    """Run LLVM's passes over `module`; the builder they came from is returned."""
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization, tuning.slp_vectorization = True, False
    builder = llvm.create_pass_builder(native.machine(), tuning)
    builder.getModulePassManager().run(module, builder)
    return builder


_variants: dict[tuple[str, int], bytes] = {}


def _variant(function: often.Often, width: int, like) -> bytes:
    """The variant of `function` for vectors of this width as bitcode, optimised; made once in a process."""
    key = function.symbol, width
    if key not in _variants:
        module = llvm.parse_assembly(often.definition(function, width))
        module.triple, module.data_layout = like.triple, like.data_layout
        _link(module, [llvm.parse_assembly(_distinct(text)) for text in function.texts], often.variant(function, width))
        _optimise(module)
        _variants[key] = module.as_bitcode()
    return _variants[key]


def _with_far(module, builder) -> None:
    """Define, and inline, what the optimised `module` calls of `far`."""
    module.link_in(llvm.parse_assembly(far.definitions(str(module))))
    for function in module.functions:
        if function.name.startswith(far.PREFIX) and not function.is_declaration:
            function.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)


def _callable(function, names: dict[str, object], made: dict):
    """A helper as numba wants it: plain Python functions, and those that they call, compiled with `names` in reach."""
    if not isinstance(function, FunctionType):
        return function
    if function not in made:
        merged = {**names, **function.__globals__}
        made[function] = numba.njit(**HELPER)(FunctionType(function.__code__, merged, function.__name__))
        used = {name: merged[name] for name in function.__code__.co_names if name in function.__globals__}
        merged.update({name: _callable(value, names, made) for name, value in used.items()})
    return made[function]


# Those of mathlib are the same in every kernel: translated once in a process, which is half the time of a kernel.
_mathlib: dict[FunctionType, object] = {}


def _helper(value, names: dict[str, object]):
    own = isinstance(value, FunctionType) and value.__module__.startswith("fuse.codegen.mathlib")
    return _callable(value, names, _mathlib if own else {})


def object_code(source: str, entry: str, name: str, filename: str, argtypes: tuple[ArgType, ...],
                helpers: Mapping[str, object], fastmath, block: bool = False) -> tuple[bytes, tuple[str, ...], Any]:
    """Object code, the external names it needs, and the module it was made of: its text is LLVM assembly."""
    with global_compiler_lock, uncollected():
        tree = parse(source)
        module = None if fastmath else _directly(tree, entry, name, filename, argtypes, helpers, block)
        if module is None:
            module = _by_pipeline(source, entry, name, filename, argtypes, helpers, fastmath, block)
        variants = far.PREFIX, often.PREFIX  # those that no loop needed are declared still
        names = tuple([name for name in native.externals(module) if not name.startswith(variants)])
        return strength.emitted(native.machine().emit_object, module, tree), names, module


def _directly(tree, entry, name, filename, argtypes, helpers, block):
    """The optimised module by way of `direct`; None for what needs numba's pipeline."""
    definitions = {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef)}
    names = {**intrinsics.namespace(), **helpers}
    own: dict[str, Any] = {}
    others = ast.Module([s for s in tree.body if s is not definitions[entry]], [])
    exec(compile(others, filename, "exec"), names, own)
    for key, value in own.items():
        if isinstance(value, FunctionType):
            value.definition = definitions[key]
    try:
        text, others, called = direct.module_texts(definitions[entry], name, argtypes, {**names, **own})
        module = llvm.parse_assembly(_distinct(text))
        helpers_ = [llvm.parse_assembly(_distinct(other)) for other in others]
        data_layout = cpu_target.target_context.codegen()._data_layout
        return _optimised(module, helpers_, name, argtypes, block, data_layout, called)
    except (direct.Unsupported, RuntimeError) as error:         # RuntimeError: assembly that LLVM refuses
        unsupported.append(f"{error}")
        del unsupported[:-100]
        return None


unsupported: list[str] = []         # why the latest kernels were left to numba's pipeline


def _by_pipeline(source, entry, name, filename, argtypes, helpers, fastmath, block):
    """The optimised module by way of numba's own pipeline."""
    names = intrinsics.namespace()
    names.update({key: _helper(value, names) for key, value in helpers.items()})
    own: dict[str, object] = {}
    exec(compile(source, filename, "exec"), names, own)
    function: Any = own.pop(entry)
    names.update({key: numba.njit(**HELPER)(value) if isinstance(value, FunctionType) else value
                  for key, value in own.items()})
    function.__name__ = function.__qualname__ = name
    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.enable_ssa = True
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions(set(fastmath) if not isinstance(fastmath, bool) else fastmath)
    context, target = _Typing.__new__(_Typing), cpu_target.target_context
    context.__dict__ = cpu_target.typing_context.__dict__           # the same registries, not a copy
    context.refresh()
    target.refresh()
    library = _Library(target.codegen(), name)
    result = compiler.compile_extra(
        context, target, function, tuple(intrinsics.buffer_type(a.dtype, a.ndim, a.writable) for a in argtypes),
        types.int64, flags, {}, library=library, pipeline_class=_Pipeline)
    return library.module(result.fndesc.llvm_func_name, argtypes, block)


def address(name: str) -> int | None:
    """Address of a symbol that numba brings into the process."""
    cpu_target.target_context.refresh()         # brings them
    return llvm.address_of_symbol(name)
