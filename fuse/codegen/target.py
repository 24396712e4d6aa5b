"""Numba's typing and target for scalar code: what generated source needs of them, and what they answered before."""
from __future__ import annotations

from typing import Any

from numba.core import callconv, cpu
from numba.core.imputils import builtin_registry
from numba.core.registry import cpu_target


class Unsupported(Exception):
    """Source that needs numba's own pipeline."""


class _Target(cpu.CPUContext):
    """Numba's CPU target with what scalar code needs: without arrays, strings, random numbers and SciPy's functions."""

    def load_additional_registries(self) -> None:
        from numba.cpython import builtins, cmathimpl, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401

        self.install_registry(cmathimpl.registry)
        self.install_registry(mathimpl.registry)

    def refresh(self) -> None:
        self.load_additional_registries()
        self.install_registry(builtin_registry)

    def with_numpy(self) -> None:
        """The functions of NumPy on scalars too."""
        from numba.np import npyimpl

        self.install_registry(npyimpl.registry)
        self.install_registry(builtin_registry)


_state: dict[str, Any] = {}
_types: dict[int, tuple[Any, Any]] = {}             # of functions, by identity (kept alive beside)
signatures: dict[tuple[Any, ...], Any] = {}


def target() -> Any:
    if "target" not in _state:
        cpu_target.typing_context.refresh()
        made = _Target(cpu_target.typing_context)
        made.refresh()
        _state["target"] = made.subtarget(error_model=callconv.create_error_model("numpy", made))
        _state["owner"] = made
    return _state["target"]


def function_type(function: Any) -> Any:
    found = _types.get(id(function))
    if found is None:
        found = _types[id(function)] = function, target().typing_context.resolve_value_type(function)
    return found[1]


def resolved(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Numba's signature of a function type for these argument types."""
    key = function, arguments
    found = signatures.get(key)
    if found is None:
        found = target().typing_context.resolve_function_type(function, arguments, {})
        if found is None:
            raise Unsupported(f"{function} of {arguments}")
        signatures[key] = found
    return found


def implementation(kind: Any, signature: Any) -> Any:
    key = ("lower", kind, signature)
    found = signatures.get(key)
    if found is None:
        try:
            found = target().get_function(kind, signature)
        except NotImplementedError:
            if "numpy" in _state:
                raise Unsupported(f"{kind}{signature}") from None
            _state["numpy"] = True
            _state["owner"].with_numpy()
            return implementation(kind, signature)
        signatures[key] = found
    return found
