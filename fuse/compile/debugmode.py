"""Theano's ``compile.debugmode``."""
from fuse.errors import DebugModeError as DebugModeError
from fuse.mode import DebugMode as DebugMode
