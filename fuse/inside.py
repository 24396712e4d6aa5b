"""Modules of Theano's and PyTensor's trees that are others here, or nothing but inside: they import, as names do."""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fuse.internals import Internal, internal, stand_in
from fuse.missing import no_attribute

# Modules and where their names are, the first of which has a name gives it. What none has is internal.
HOMES: dict[str, tuple[str, ...]] = {
    "fuse.graph.destroyhandler": ("fuse.gof.destroyhandler",),
    "fuse.graph.features": ("fuse.gof.toolbox", "fuse.graph.utils"),
    "fuse.graph.null_type": ("fuse.gof.null_type",),
    "fuse.graph.sched": ("fuse.gof.sched",),
    "fuse.graph.rewriting.basic": ("fuse.gof.opt",),
    "fuse.graph.rewriting.db": ("fuse.gof.optdb",),
    "fuse.graph.rewriting.kanren": (),
    "fuse.graph.rewriting.unify": (),
    "fuse.graph.rewriting.utils": ("fuse.gof.optdb", "fuse.gof.graph"),
    "fuse.link.basic": ("fuse.gof.link",),
    "fuse.link.c": (),
    "fuse.link.c.basic": ("fuse.gof.link",),
    "fuse.link.c.cmodule": (),
    "fuse.link.c.cvm": (),
    "fuse.link.c.op": ("fuse.graph.op",),
    "fuse.link.c.params_type": ("fuse.gof.params_type",),
    "fuse.link.c.type": ("fuse.gof.type",),
    "fuse.link.jax": (),
    "fuse.link.numba": ("fuse.gof.link",),
    "fuse.link.utils": ("fuse.gof.link",),
    "fuse.link.vm": ("fuse.gof.vm", "fuse.gof.link"),
    "fuse.scan.basic": ("fuse.scan_module.scan",),
    "fuse.scan.checkpoints": ("fuse.scan_module.scan_checkpoints",),
    "fuse.scan.op": ("fuse.scan_module.scan_op",),
    "fuse.scan.rewriting": ("fuse.scan_module.scan_opt",),
    "fuse.scan.utils": ("fuse.scan_module.scan_utils",),
    "fuse.scan.views": ("fuse.scan_module.scan_views",),
    **dict.fromkeys(
        ("fuse.tensor.linalg.constructors", "fuse.tensor.linalg.dtype_utils", "fuse.tensor.linalg.inverse",
         "fuse.tensor.linalg.products", "fuse.tensor.linalg.summary", "fuse.tensor.linalg.decomposition",
         *[f"fuse.tensor.linalg.decomposition.{name}" for name in ("cholesky", "eigen", "lu", "qr", "schur", "svd")],
         "fuse.tensor.linalg.solvers",
         *[f"fuse.tensor.linalg.solvers.{name}" for name in (
             "core", "general", "linear_control", "lstsq", "psd", "triangular", "tridiagonal")]),
        ("fuse.tensor.linalg", "fuse.tensor.linalg_classes"),
    ),
    "fuse.compile.aliasing": (),
    "fuse.compile.compiledir": (),
    "fuse.compile.compilelock": (),
    "fuse.compile.debug": (),
    **{f"fuse.compile.debug.{name}": (f"fuse.compile.{name}",) for name in (
        "debugmode", "monitormode", "nanguardmode", "profiling")},
    "fuse.sandbox.linalg.ops": ("fuse.sandbox.linalg",),
    **dict.fromkeys([f"fuse.sandbox.cuda.{n}" for n in ("basic_ops", "blas", "nnet", "rng_curand", "type", "var")], ()),
    "fuse.scalar.loop": (),
    "fuse.tensor.blas_headers": (),
    "fuse.tensor.einsum": ("fuse.frontend.einsum",),
    "fuse.tensor.elemwise_cgen": (),
    "fuse.tensor.functional": ("fuse.tensor.newer",),
    "fuse.tensor.interpolate": ("fuse.tensor.newer", "fuse.frontend.interpolation"),
    "fuse.tensor.nnet.basic": ("fuse.tensor.nnet.nnet",),
    "fuse.tensor.nnet.batchnorm": ("fuse.tensor.nnet.bn",),
    "fuse.tensor.optimize": ("fuse.optimize.started",),
    "fuse.tensor.pad": ("fuse.frontend.padding",),
    "fuse.tensor.random.variable": ("fuse.tensor.random",),
    "fuse.tensor.reshape": ("fuse.tensor.packs",),
    "fuse.tensor.symbolic": ("fuse.compile.builders",),
    **{f"fuse.tensor.rewriting.{name}": ("fuse.tensor.opt",) for name in (
        "basic", "blas", "blas_c", "blockwise", "einsum", "elemwise", "extra_ops", "jax", "linalg", "math", "numba",
        "ofg", "shape", "special", "subtensor", "subtensor_lift", "uncanonicalize",
    )},
}
# Names that have another one here.
RENAMED = {
    "CVM": "VM_Linker", "EquilibriumGraphRewriter": "EquilibriumOptimizer", "GraphRewriter": "EquilibriumOptimizer",
    "OpKeyGraphRewriter": "OpKeyOptimizer", "PatternNodeRewriter": "PatternSub", "RewriteDatabaseQuery": "Query",
    "SequentialGraphRewriter": "SeqOptimizer", "SubstitutionNodeRewriter": "OpSub", "VMLinker": "VM_Linker",
    "WalkingGraphRewriter": "TopoOptimizer", "node_rewriter": "local_optimizer",
    "walking_rewriter": "out2in",
}


def callable_module(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``: PyTensor has both under one name."""
    _become(sys.modules[name], __call__=staticmethod(function))


def _become(module: ModuleType, **attributes: Any) -> None:
    """Give a module's class these ``attributes``, beside those that it has."""
    module.__class__ = type("_Module", (type(module),), attributes)


def _keep(parent: ModuleType, name: str) -> None:
    """Let ``parent.name`` stay the function that it is, as in PyTensor, when a module of this name is imported."""
    inherited = type(parent).__setattr__

    def keeping(self: ModuleType, changed: str, value: Any) -> None:
        if changed != name or not isinstance(value, ModuleType):
            inherited(self, changed, value)

    _become(parent, __setattr__=keeping)


class _Maker:  # a Loader and a MetaPathFinder, whose module takes longer to import than all of this
    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        homes = HOMES[name]
        parent, _, last = name.rpartition(".")
        function = getattr(sys.modules[parent], last, None)
        if callable(function) and not isinstance(function, Internal):  # not what stands in for an unknown name
            _keep(sys.modules[parent], last)
        module.__doc__ = f"The place of ``{name.removeprefix('fuse.')}``" + (f": see {homes[0]}." if homes else ".")

        def find(wanted: str) -> Any:
            if not wanted.startswith("__"):
                for home in map(import_module, homes):
                    for spelling in (wanted, RENAMED.get(wanted, wanted)):
                        if spelling in vars(home):
                            return vars(home)[spelling]
                for place in homes:
                    found = internal(place, wanted)
                    if found is not None:
                        return found
                if not wanted.startswith("pytest"):
                    return stand_in(name, wanted)
            raise no_attribute(name, wanted)

        module.__getattr__ = find  # type: ignore[method-assign]


class _Finder:
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname not in HOMES:
            return None
        packages = {name.rpartition(".")[0] for name in HOMES}
        return ModuleSpec(fullname, _Maker(), is_package=fullname in packages)  # type: ignore[arg-type]


_FINDER = _Finder()


def install() -> None:
    """Let the modules of HOMES be found, by whatever is asked last; done by the package.

    >>> install()
    >>> from fuse.link.c.op import COp
    >>> from fuse.graph.rewriting.basic import PatternNodeRewriter
    >>> PatternNodeRewriter.__name__
    'Pattern'
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
