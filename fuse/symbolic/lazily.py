"""SymPy for the modules of this package: loaded when an attribute of it is first read, which takes half a second."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["sympy"]


class _Module:
    """Stands for the module sympy."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module("sympy"), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import sympy as sympy
else:
    sympy = _Module()
