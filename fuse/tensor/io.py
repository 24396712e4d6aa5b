"""Theano's ``tensor.io``: arrays of files."""
from fuse.tensor.smaller import LoadFromDisk as LoadFromDisk
from fuse.tensor.smaller import load as load
