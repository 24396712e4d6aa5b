"""Minima, roots and least squares: SciPy's methods on compiled values and derivatives, and solutions as expressions."""
from fuse.optimize.implicit import argmin_of, root_of
from fuse.optimize.methods import least_squares, minimize, root

__all__ = ["argmin_of", "least_squares", "minimize", "root", "root_of"]
