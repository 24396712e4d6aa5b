"""Theano's ``sparse``: not part of fuse; ``enable_sparse`` says so to programs that ask."""
from typing import NoReturn

enable_sparse = False


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"module 'fuse.sparse' has no attribute {name!r}: sparse matrices are not part of fuse")
