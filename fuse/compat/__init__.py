"""Theano's ``compat``: what its programs import from there is in Python itself."""
from fuse.compat import python2x as python2x
