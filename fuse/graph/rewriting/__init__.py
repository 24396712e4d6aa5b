"""PyTensor's ``graph.rewriting``: what Theano has in ``gof.opt``."""
from fuse.inside import install as _install

_install()
