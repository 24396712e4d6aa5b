"""Whole Python functions of arrays: compiled, differentiated and mapped, in terms of what they build when traced."""
