"""The SymPy face: methods of expressions as SymPy names them, the way to SymPy and back; sympy loads when needed."""

from __future__ import annotations

import importlib
from typing import Any

from fuse.expr import Expr

# Methods and properties of expressions: name -> (module, function). The modules load when a name is first used.
_METHODS = {
    **{
        name: ("fuse.symbolic.structure", name)
        for name in ("atoms", "diff", "has", "replace", "simplify", "subs", "xreplace")
    },
    "to_sympy": ("fuse.symbolic.outward", "to_sympy"),
    "_sympy_": ("fuse.symbolic.outward", "to_sympy"),
    "_repr_latex_": ("fuse.printing", "repr_latex"),
}
_PROPERTIES = {name: ("fuse.symbolic.structure", name) for name in ("func", "free_symbols")}
_FUNCTIONS = {"from_sympy": "inward", "lambdify": "lambdas", "to_sympy": "outward"}


def _find(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _lazy(module: str, name: str) -> Any:
    def method(self: Expr, *args: Any, **kwargs: Any) -> Any:
        return _find(module, name)(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"See ``{module}.{name}``."
    return method


for _name, _place in _METHODS.items():
    setattr(Expr, _name, _lazy(*_place))
for _name, _place in _PROPERTIES.items():
    setattr(Expr, _name, property(_lazy(*_place)))


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return _find(f"fuse.symbolic.{_FUNCTIONS[name]}", name)
    raise AttributeError(f"module 'fuse.symbolic' has no attribute {name!r}")


__all__ = [*_FUNCTIONS]
