"""PyTensor's ``tensor.exceptions``."""
from fuse.errors import FuseIndexError as AdvancedIndexingError
from fuse.errors import ShapeError as ShapeError
from fuse.frontend.tensor import NotScalarConstantError as NotScalarConstantError
