"""Theano's ``compile.sharedvalue``."""
from fuse.frontend.shared import SharedVariable as SharedVariable
from fuse.frontend.shared import shared as shared
from fuse.gof.type import generic as generic
