"""Theano's ``compile.profiling``: profiles of functions."""
from fuse.profiling import Profile as Profile
from fuse.profiling import ProfileStats as ProfileStats
from fuse.profiling import print_at_exit as print_at_exit
