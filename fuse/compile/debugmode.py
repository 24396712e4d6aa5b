"""Theano's ``compile.debugmode``."""
from fuse.errors import DebugModeError as DebugModeError
from fuse.internals import lookup as _lookup
from fuse.mode import DebugMode as DebugMode

__getattr__ = _lookup(__name__)
