"""Theano's ``compat.python2x``: names of the standard library."""
from collections import OrderedDict as OrderedDict
from functools import partial as partial
from itertools import product as product
