"""PyTensor's ``compile.function.pfunc``."""
from fuse.compile.pfunc import pfunc as pfunc
from fuse.compile.pfunc import rebuild_collect_shared as rebuild_collect_shared
from fuse.inside import callable_module as _callable_module

_callable_module(__name__, pfunc)
