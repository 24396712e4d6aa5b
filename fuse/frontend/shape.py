"""Shape operations, under one name: sizes, layout, axes, creation and rearrangement of arrays."""
# ruff: noqa: F403
from fuse.frontend.axes import *
from fuse.frontend.axes import __all__ as _axes
from fuse.frontend.creation import *
from fuse.frontend.creation import __all__ as _creation
from fuse.frontend.layout import *
from fuse.frontend.layout import __all__ as _layout
from fuse.frontend.rearrange import *
from fuse.frontend.rearrange import __all__ as _rearrange
from fuse.frontend.sizes import *
from fuse.frontend.sizes import __all__ as _sizes

__all__ = [*_axes, *_creation, *_layout, *_rearrange, *_sizes]
