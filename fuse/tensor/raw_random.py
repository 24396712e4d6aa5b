"""Theano's ``tensor.raw_random``: draws as functions of a generator's state."""
from fuse.frontend.random import RandomStreams as RandomStreams
from fuse.frontend.raw_random import RandomFunction as RandomFunction
from fuse.frontend.raw_random import RandomStateType as RandomStateType
from fuse.frontend.raw_random import binomial as binomial
from fuse.frontend.raw_random import choice as choice
from fuse.frontend.raw_random import choice_helper as choice_helper
from fuse.frontend.raw_random import infer_ndim_bcast as _infer_ndim_bcast
from fuse.frontend.raw_random import multinomial as multinomial
from fuse.frontend.raw_random import multinomial_helper as multinomial_helper
from fuse.frontend.raw_random import normal as normal
from fuse.frontend.raw_random import permutation as permutation
from fuse.frontend.raw_random import permutation_helper as permutation_helper
from fuse.frontend.raw_random import poisson as poisson
from fuse.frontend.raw_random import random_integers as random_integers
from fuse.frontend.raw_random import random_integers_helper as random_integers_helper
from fuse.frontend.raw_random import random_state_type as random_state_type
from fuse.frontend.raw_random import uniform as uniform
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
