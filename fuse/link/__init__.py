"""PyTensor's ``link``: how its functions run; the linkers are modes here, the rest is its inside."""
from fuse.inside import install as _install
from fuse.internals import lookup as _lookup

_install()
__getattr__ = _lookup(__name__)
