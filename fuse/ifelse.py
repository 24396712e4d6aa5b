"""Theano's ``ifelse`` module: the lazy choice and its class of ops."""
from collections.abc import Callable
from typing import Any

from fuse.errors import FuseValueError
from fuse.frontend.lazy import ifelse
from fuse.tensor.op_classes import op_class as _op_class


def _build(n_outs: int, as_view: bool = False, gpu: bool = False, name: str | None = None) -> Callable[..., Any]:
    def choose(condition: Any, *values: Any) -> Any:
        if len(values) != 2 * n_outs:
            raise FuseValueError(f"Wrong number of arguments: IfElse({n_outs}) takes {2 * n_outs} values")
        if n_outs == 1:
            return ifelse(condition, values[0], values[1], name)
        return ifelse(condition, list(values[:n_outs]), list(values[n_outs:]), name)

    return choose


IfElse = _op_class("IfElse", "ifelse", _build, "The op that takes a scalar condition and the values of two branches.")

__all__ = ["IfElse", "ifelse"]
