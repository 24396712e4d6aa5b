"""Theano's ``tensor.nnet``: losses and activations; convolutions and normalisations load when first used."""
import importlib as _importlib
from typing import Any as _Any

from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as _losses
from fuse.internals import lookup as _lookup
from fuse.tensor.nnet import nnet, sigm

_LAZY = {
    **dict.fromkeys(
        (
            "bilinear_upsampling", "causal_conv1d", "conv2d", "conv2d_grad_wrt_inputs", "conv2d_grad_wrt_weights",
            "conv2d_transpose", "conv3d", "conv3d_grad_wrt_inputs", "conv3d_grad_wrt_weights", "separable_conv2d",
            "separable_conv3d",
        ),
        "fuse.frontend.conv",
    ),
    **dict.fromkeys(
        ("batch_normalization", "batch_normalization_test", "batch_normalization_train"), "fuse.frontend.batch_norm"
    ),
}
_MODULES = ("abstract_conv", "blocksparse", "bn", "conv", "conv3d2d", "corr", "corr3d", "ctc", "neighbours")

__all__ = [*_losses, *_LAZY]


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _importlib.import_module(f"fuse.tensor.nnet.{name}")
    if name.endswith("_inplace"):
        return getattr(_importlib.import_module("fuse.tensor.inplace"), name)
    if name[:1].isupper():
        classes = _importlib.import_module("fuse.tensor.nnet.op_classes")
        if name in classes.__all__:
            return getattr(classes, name)
    if name in _LAZY:
        value = getattr(_importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    smaller = _importlib.import_module("fuse.tensor.nnet.smaller")
    return getattr(smaller, name) if name in smaller.__all__ else _lookup("fuse.tensor.nnet")(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
