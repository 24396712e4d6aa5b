"""Theano's ``gof.toolbox``: notes that graphs kept while they were changed; here nothing needs them."""
from fuse.internals import lookup as _lookup


class Feature:
    """What a graph notes while it changes; ``fgraph.attach_feature`` accepts it, and nobody asks it anything."""


class ReplaceValidate(Feature):
    """Gives graphs ``replace_validate``; here they have it."""


__getattr__ = _lookup(__name__)
