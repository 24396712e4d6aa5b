"""PyTensor's ``tensor.random``."""
