"""Derivatives as formulas: reverse and forward sweeps, Jacobians and Hessians, checks against finite differences."""
