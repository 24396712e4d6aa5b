"""Names of Theano that speak of its own inside: they import, so that modules load, and say so when they are used."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fuse.errors import FuseError
from fuse.missing import no_attribute

# By module: patterns of names, and what to use instead.
INTERNALS: dict[str, tuple[str, str]] = {
    "fuse.compile": (
        "AddDestroyHandler FunctionMaker JITFunc OutputGuard PrintCurrentFunctionGraph Shape_i Supervisor "
        "add_supervisor_to_fgraph alias_root convert_function_input fgraph_updated_vars infer_reuse_pattern "
        "insert_deepcopy orig_function predefined_linkers predefined_optimizers register_* shape_i std_fgraph "
        "view_tree_set",
        "use fuse.function",
    ),
    "fuse.compile.debugmode": (
        "optimizer_from_any",
        "mode='DebugMode' raises DebugModeError",
    ),
    "fuse.breakpoint": ("PdbBreakpoint", "fuse.Print shows values while a function runs"),
    "fuse.compile.function.types": ("Supervisor FunctionMaker", "use fuse.function"),
    "fuse.compile.ops": ("update_placeholder TypeCastingOp load_back register_*", "own ops are written in Python"),
    "fuse.compile.maker": ("FunctionMaker", "use fuse.function"),
    "fuse.compile.function_module": ("_pickle_Function convert_function_input FunctionMaker", "use fuse.function"),
    "fuse.compile.mode": (
        "AddDestroyHandler AddFeatureOptimizer OPT_MINIMUM PrintCurrentFunctionGraph predefined_linkers "
        "predefined_optimizers register_linker register_optimizer",
        "fuse.Mode says which rewrites run",
    ),
    "fuse.gof": (
        "CachedConstantError COp EnumList EnumType CEnumType Params ParamsType "
        "Container InconsistencyError LocalLinker NavigatorOptimizer object2 "
        "vm sched destroyhandler compiledir cc cmodule lazylinker_c ExternalCOp OpenMPOp",
        "own ops are written in Python, and fuse.Mode says which rewrites run",
    ),
    "fuse.gof.destroyhandler": ("*", "results never overwrite what is read"),
    "fuse.gof.fg": ("CachedConstantError InconsistencyError", "graphs are immutable"),
    "fuse.gof.op": (
        "COp ExternalCOp OpenMPOp apply_meth ops_with_inner_function", "own ops are written in Python",
    ),
    "fuse.gof.opt": (
        "NavigatorOptimizer FromFunctionOptimizer LocalMetaOptimizer "
        "SeqOptimizer pre_constant_merge pre_greedy_local_optimizer inplace_optimizer warn_inplace "
        "MetaNodeRewriter optimizer apply_local_dependent_updates InplaceOptimizer Updater NavigatorOptimizer "
        "*_optimizer", "EquilibriumOptimizer and TopoOptimizer rewrite graphs",
    ),
    "fuse.gof.optdb": ("ProxyDB", "fuse.Mode says which rewrites run"),
    "fuse.graph.basic": (
        "NominalVariable Node AtomicVariable FrozenApply AbstractApply OpType", "there are Expr and Apply",
    ),
    "fuse.graph.fg": ("AbstractFunctionGraph FrozenFunctionGraph", "graphs are immutable"),
    "fuse.graph.op": ("COp HasInnerGraph ThunkType", "own ops are written in Python"),
    "fuse.graph.type": ("HasDataType HasShape", "the type of tensors is TensorType"),
    "fuse.graph.utils": (
        "InconsistencyError MetaObject MetaType Scratchpad AssocList ValidatingScratchpad", "graphs are immutable",
    ),
    "fuse.gpuarray": ("Gpu* gpu* gpuarray_shared_constructor get_context type", "arrays are in the main memory"),
    "fuse.gof.params_type": ("*", "own ops are written in Python"),
    "fuse.gof.sched": ("*", "toposort of a FunctionGraph orders applications"),
    "fuse.gof.toolbox": ("*", "there are Feature, ReplaceValidate, NodeFinder, PrintListener and FullHistory"),
    "fuse.gof.type": ("C*Type Enum*", "own ops are written in Python"),
    "fuse.gof.vm": ("*", "functions are compiled as a whole"),
    "fuse.gof.link": ("Container LocalLinker WrapLinker* gc_helper streamline", "fuse.function makes functions"),
    "fuse.scalar.sharedvar": ("shared ScalarSharedVariable", "fuse.shared holds scalars too"),
    "fuse.scan_module.scan_op": ("*", "fuse.scan makes loops"),
    "fuse.scan_module.scan_opt": ("*", "fuse.scan makes loops"),
    "fuse.sparse": ("as_sparse* matrix Sparse*", "sparse matrices are not part of fuse"),
    "fuse.tensor.blas": (
        "*_inplace *_no_inplace *Optimizer _* local_* InconsistencyError Ger ger* Gemv* gemv* Gemm gemm* Dot22* dot22 "
        "_dot22 ldflags res_is_a", "products and sums of matrices are written as formulas",
    ),
    "fuse.tensor.blas_c": ("*", "products go through NumPy's BLAS"),
    "fuse.tensor.blas_scipy": ("*", "products go through NumPy's BLAS"),
    "fuse.tensor.nnet.abstract_conv": (
        "BaseAbstractConv assert_conv_shape assert_shape check_conv_gradinputs_shape border_mode_to_pad",
        "the convolutions check what they are given",
    ),
    "fuse.tensor.nnet.ctc": ("*", "losses are written as formulas"),
    "fuse.tensor.nnet.blocksparse": ("*", "select rows with indices and multiply them with batched_dot"),
    "fuse.tensor.nnet.bn": ("Abstract*", "use batch_normalization_train and batch_normalization_test"),
    "fuse.tensor.nnet.conv": ("ConvOp", "use conv2d"),
    "fuse.tensor.nnet.conv3d2d": ("DiagonalSubtensor IncDiagonalSubtensor get_diagonal_subtensor_view", "use conv3d"),
    "fuse.tensor.nnet.corr": ("*", "use conv2d"),
    "fuse.tensor.nnet.corr3d": ("*", "use conv3d"),
    "fuse.tensor.nnet.sigm": (
        "ScalarSigmoid ScalarSoftplus UltraFastScalarSigmoid compute_mul is_* parse_mul_tree perform_sigm_times_exp "
        "register_local_* simplify_mul local_*", "formulas are stabilised by rules of their own",
    ),
    "fuse.tensor.nnet.nnet": (
        "CrossentropySoftmax* local_*", "use softmax, logsoftmax and the crossentropies",
    ),
    "fuse.tensor.nnet": (
        "CrossentropySoftmax* local_*",
        "use softmax, logsoftmax and the crossentropies",
    ),
    "fuse.tensor.opt": (
        "local_* _local_* *_canonizer Canonizer ShapeFeature MergeTypes ShapeOptimizer UnShapeOptimizer "
        "FusionOptimizer InplaceElemwiseOptimizer excluding including ALL_REDUCE apply_rebroadcast_opt "
        "broadcast_like constant_folding elemwise_inplace_optimizer inplace_elemwise_optimizer get_clients* "
        "mul_calculate register_infer_shape encompasses_broadcastable is_inverse_pair check_for_x_over_absX",
        "a user's rewrites are registered with register_canonicalize",
    ),
    "fuse.tensor.opt_uncanonicalize": ("*", "a user's rewrites are registered with register_canonicalize"),
    "fuse.tensor.shared_randomstreams": ("RandomStateSharedVariable", "use RandomStreams"),
    "fuse.tensor.subtensor": ("index_vars_to_types *Printer", "indices are part of the node"),
    "fuse.tensor.type_other": ("NoneTypeT SliceType SliceConstant slicetype", "None and slices are Python's own"),
    "fuse.tensor.signal.pool": ("*Grad *GradGrad *GradGradGrad *Rop", "use pool_2d and fuse.grad"),
    "fuse.sandbox.multinomial": ("*", "use the multinomial of MRG_RandomStreams"),
    "fuse.sandbox.rng_mrg": (
        "DotModulo ff_2p* guess_n_streams matVecModM matMatModM mrg_* mulMatVect multMatVect A1p* A2p* M1 M2 "
        "mrg_uniform* GPUA_mrg_uniform MASK* NORM MULT2 np_int32_vals _i*", "use MRG_RandomStreams",
    ),
}


class InternalError(FuseError, NotImplementedError):
    """A name of Theano's own inside was used."""


class Internal(type):
    """The metaclass of what such names stand for: a class without instances, so that isinstance says no."""

    why: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise InternalError(cls.why)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(cls.why)


@cache
def internal(module: str, name: str) -> Any:
    """What ``module.name`` stands for, where Theano has it for its own use; else None.

    >>> found = internal("fuse.gof.opt", "NavigatorOptimizer")
    >>> isinstance(1, found)
    False
    >>> found()
    Traceback (most recent call last):
    ...
    fuse.internals.InternalError: fuse has no gof.opt.NavigatorOptimizer, ...
    """
    from fnmatch import fnmatchcase  # few programs ask

    patterns, instead = INTERNALS.get(module, ("", ""))
    if name.startswith(("__", "pytest")) or not any(fnmatchcase(name, p) for p in patterns.split()):
        return None
    return stand_in(module, name, instead)


@cache
def stand_in(module: str, name: str, instead: str = "fuse.function does it by itself") -> Any:
    """The class that stands for ``module.name``, a part of the inside of Theano or PyTensor."""
    if name.endswith("Error"):  # fuse has no reason to raise it, but programs catch it, and raise it themselves
        return type(name, (Exception,), {"__module__": module, "__doc__": instead})
    why = f"fuse has no {module.removeprefix('fuse.')}.{name}, which is part of Theano's inside: {instead}"
    return Internal(name, (), {"why": why, "__doc__": why, "__module__": module})


def lookup(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module with such names."""
    def find(name: str) -> Any:
        found = internal(module, name)
        if found is None:
            raise no_attribute(module, name)
        return found

    return find
