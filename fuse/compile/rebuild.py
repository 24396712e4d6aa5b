"""PyTensor's ``compile.rebuild``."""
from fuse.compile.pfunc import rebuild_collect_shared as rebuild_collect_shared
