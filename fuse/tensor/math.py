"""PyTensor's ``tensor.math`` and special functions of Theano's that few programs use."""
from fuse.frontend.bessel import *
from fuse.frontend.bessel import __all__ as _bessel
from fuse.frontend.incomplete import *
from fuse.frontend.incomplete import __all__ as _incomplete

__all__ = [*_bessel, *_incomplete]


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    import fuse.tensor

    if name == "_allclose":
        from fuse.tensor.basic import _allclose

        return _allclose
    if name == "Convolve":
        from fuse.internals import stand_in

        return stand_in(__name__, name, "use convolve")
    if name == "_dot":
        return fuse.tensor.Dot()

    return getattr(fuse.tensor, name)
