"""Theano's ``compile.nanguardmode``."""
from fuse.mode import NanGuardMode as NanGuardMode
