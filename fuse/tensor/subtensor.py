"""Theano's deep path to indexing: ``tensor.subtensor``."""
from fuse.frontend.indexing import inc_subtensor, set_subtensor
from fuse.frontend.selecting import take

__all__ = ["inc_subtensor", "set_subtensor", "take"]
