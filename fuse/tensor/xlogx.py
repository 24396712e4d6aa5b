"""Theano's ``tensor.xlogx``: x log x and x log y, 0 where x is 0."""
from fuse.frontend.elementwise import xlogx as xlogx
from fuse.frontend.elementwise import xlogy as xlogy
from fuse.frontend.elementwise import xlogy as xlogy0
