"""Theano's ``tensor.sharedvar``: shared variables."""
from fuse.frontend.shared import SharedVariable as ScalarSharedVariable
from fuse.frontend.shared import SharedVariable as SharedVariable
from fuse.frontend.shared import SharedVariable as TensorSharedVariable
from fuse.frontend.shared import shared as shared

__all__ = ["ScalarSharedVariable", "SharedVariable", "TensorSharedVariable", "shared"]
