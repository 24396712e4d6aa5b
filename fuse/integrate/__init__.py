"""Ordinary differential equations as compiled loops with gradients: Runge-Kutta methods of fixed and adaptive steps."""
from fuse.integrate.equations import odeint

__all__ = ["odeint"]
