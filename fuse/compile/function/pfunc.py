"""PyTensor's ``compile.function.pfunc``."""
from fuse.compile.pfunc import pfunc as pfunc
from fuse.compile.pfunc import rebuild_collect_shared as rebuild_collect_shared
