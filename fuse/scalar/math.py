"""PyTensor's ``scalar.math``: special functions of scalars, and their classes."""
from fuse.scalar.basic_scipy import *
