"""Theano's ``compile``: functions, modes, and what belongs to them."""
from typing import Any

from fuse.autodiff.from_graph import OpFromGraph as OpFromGraph
from fuse.compile import builders as builders
from fuse.compile import debugmode as debugmode
from fuse.compile import function_module as function_module
from fuse.compile import io as io
from fuse.compile import mode as mode
from fuse.compile import monitormode as monitormode
from fuse.compile import nanguardmode as nanguardmode
from fuse.compile import ops as ops
from fuse.compile import profiling as profiling
from fuse.compile import sharedvalue as sharedvalue
from fuse.compile.io import SymbolicInput as SymbolicInput
from fuse.compile.io import SymbolicOutput as SymbolicOutput
from fuse.compile.ops import DeepCopyOp as DeepCopyOp
from fuse.compile.ops import FromFunctionOp as FromFunctionOp
from fuse.compile.ops import ViewOp as ViewOp
from fuse.compile.ops import as_op as as_op
from fuse.compile.ops import deep_copy_op as deep_copy_op
from fuse.compile.ops import view_op as view_op
from fuse.compile.pfunc import pfunc as pfunc
from fuse.compile.pfunc import rebuild_collect_shared as rebuild_collect_shared
from fuse.compile.profiling import ProfileStats as ProfileStats
from fuse.compile.sharedvalue import SharedVariable as SharedVariable
from fuse.compile.sharedvalue import generic as generic
from fuse.compile.sharedvalue import shared as shared
from fuse.compiled import Function as Function
from fuse.compiled import function as function
from fuse.config import config as config
from fuse.errors import UnusedInputError as UnusedInputError
from fuse.gof.optdb import optdb as optdb
from fuse.internals import lookup as _lookup
from fuse.missing import borrowed as _borrowed
from fuse.mode import FAST_COMPILE as FAST_COMPILE
from fuse.mode import FAST_RUN as FAST_RUN
from fuse.mode import DebugMode as DebugMode
from fuse.mode import Mode as Mode
from fuse.mode import MonitorMode as MonitorMode
from fuse.mode import NanGuardMode as NanGuardMode
from fuse.mode import get_default_mode as get_default_mode
from fuse.mode import get_mode as get_mode
from fuse.mode import predefined_modes as predefined_modes
from fuse.mode import register_mode as register_mode
from fuse.signature import In as In
from fuse.signature import Out as Out

shared_constructor = shared

_HOMES = {
    **dict.fromkeys(("Rebroadcast", "Shape", "SpecifyShape"), "fuse.tensor"), "shape": "fuse.tensor",
    "function_dump": "fuse.misc.pkl_utils",
    **dict.fromkeys([name for name in vars(mode) if name.startswith("OPT_")], "fuse.compile.mode"),
}
_elsewhere, _inside = _borrowed(__name__, _HOMES), _lookup(__name__)


def __getattr__(name: str) -> Any:
    return _elsewhere(name) if name in _HOMES else _inside(name)
