"""Theano's ``compile.mode``."""
from fuse.gof.optdb import optdb as optdb
from fuse.internals import lookup as _lookup
from fuse.mode import FAST_COMPILE as FAST_COMPILE
from fuse.mode import FAST_RUN as FAST_RUN
from fuse.mode import Mode as Mode
from fuse.mode import get_default_mode as get_default_mode
from fuse.mode import get_mode as get_mode
from fuse.mode import predefined_modes as predefined_modes
from fuse.mode import register_mode as register_mode

__getattr__ = _lookup(__name__)
