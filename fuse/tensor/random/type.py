"""PyTensor's ``tensor.random.type``: the types of NumPy's generators of random numbers."""
from fuse.frontend.raw_random import RandomGeneratorType as RandomGeneratorType
from fuse.frontend.raw_random import RandomStateType as RandomStateType
from fuse.frontend.raw_random import generator_type as generator_type
from fuse.frontend.raw_random import random_generator_type as random_generator_type
from fuse.frontend.raw_random import random_state_type as random_state_type
from fuse.typebase import Type as RandomType
