"""PyTensor's ``tensor.shape``: the function, and as a module everything that has to do with shapes."""
from fuse.frontend.axes import shape_padaxis as shape_padaxis
from fuse.frontend.axes import shape_padleft as shape_padleft
from fuse.frontend.axes import shape_padright as shape_padright
from fuse.frontend.axes import specify_shape as specify_shape
from fuse.frontend.axes import unbroadcast as unbroadcast
from fuse.frontend.layout import reshape as reshape
from fuse.frontend.sizes import shape as shape
from fuse.frontend.sizes import shape_i as shape_i

_shape, _specify_shape = shape, specify_shape


def __getattr__(name):
    if not name.startswith("__"):
        from importlib import import_module

        for module in ("op_classes", "newer"):
            found = import_module(f"fuse.tensor.{module}")
            if name in found.__all__:
                return getattr(found, name)
    raise AttributeError(f"module 'fuse.tensor.shape' has no attribute {name!r}")
