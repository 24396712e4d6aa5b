"""Theano's ``compile.mode``."""
from fuse.gof.optdb import Query as _Query
from fuse.gof.optdb import optdb as optdb
from fuse.internals import lookup as _lookup
from fuse.mode import FAST_COMPILE as FAST_COMPILE
from fuse.mode import FAST_RUN as FAST_RUN
from fuse.mode import Mode as Mode
from fuse.mode import get_default_mode as get_default_mode
from fuse.mode import get_mode as get_mode
from fuse.mode import predefined_modes as predefined_modes
from fuse.mode import register_mode as register_mode

# What Theano's modes choose: ``Mode("py", OPT_NONE)``.
OPT_NONE, OPT_FAST_COMPILE = _Query(), _Query(["fast_compile"])
OPT_FAST_RUN = OPT_FAST_RUN_STABLE = OPT_O3 = OPT_O2 = _Query(["fast_run"])
OPT_MERGE, OPT_STABILIZE = _Query(["merge"]), _Query(["fast_run", "stabilize"])
OPT_UNSAFE = _Query(["fast_run", "unsafe"])

__getattr__ = _lookup(__name__)
