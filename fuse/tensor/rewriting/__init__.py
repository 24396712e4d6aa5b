"""PyTensor's ``tensor.rewriting``: rewrites by name, which are fuse's rules here."""
from fuse.inside import install as _install

_install()
