"""Modes: which rewriting a function gets, and what runs it."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError


@dataclass(frozen=True)
class Mode:
    """How a function is rewritten and run.

    ``optimizer`` chooses the rewriting: ``'strict'`` (the same bits as the formula as written), ``'default'`` (Theano's
    ``'fast_run'``: stable and fast forms, equal up to rounding), ``'fast'`` (also what presumes no NaN or infinity),
    ``'fast_compile'`` (little), None (none at all). ``linker`` chooses what runs it: compiled kernels, or with ``'py'``
    NumPy, one operation after the other. ``check`` adds tests while it runs (see DebugMode and NanGuardMode).
    A mode's tags are kept for the sake of Theano programs; they change nothing.

    >>> Mode("py", "fast_compile").rewriting, get_mode("FAST_RUN").rewriting, get_mode("fast").backend
    ('FAST_COMPILE', 'default', 'compiled')
    """

    linker: Any = "numba"
    optimizer: Any = "default"
    name: str | None = None
    check: Any = None
    tags: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        if self.optimizer is not None and not isinstance(self.optimizer, str):
            raise FuseTypeError(f"Mode(optimizer=...) is a name or None, not {type(self.optimizer).__name__}")
        if self.optimizer is not None and self.optimizer.lower() not in _REWRITING:
            known = ", ".join(_REWRITING)
            raise FuseValueError(f"no optimizer is called {self.optimizer!r}: there are {known} and None")

    @property
    def rewriting(self) -> str:
        """The argument ``mode`` of ``fuse.rules.optimize``; ``'none'`` for no rewriting."""
        return "none" if self.optimizer is None else _REWRITING[self.optimizer.lower()]

    @property
    def backend(self) -> str:
        """``'compiled'``, ``'interpreted'``, ``'debug'`` or ``'guard'``."""
        if isinstance(self.check, NanGuard):
            return "guard"
        if self.check == "debug":
            return "debug"
        interpreted = self.linker in ("py", "vm_py") or self.rewriting in ("none", "FAST_COMPILE")
        return "interpreted" if interpreted else "compiled"

    def including(self, *tags: str) -> Mode:
        """The same mode with more tags."""
        return replace(self, tags=self.tags | set(tags))

    def excluding(self, *tags: str) -> Mode:
        """The same mode with fewer tags."""
        return replace(self, tags=self.tags - set(tags))

    def clone(self, **changes: Any) -> Mode:
        """The same mode with some fields changed."""
        return replace(self, **{k: v for k, v in changes.items() if k in self.__dataclass_fields__})


_REWRITING = {
    "default": "default", "fast_run": "default", "o4": "default", "o3": "default", "o2": "default", "merge": "default",
    "fast_run_stable": "default", "stabilize": "default", "unsafe": "default", "strict": "strict", "fast": "fast",
    "fast_compile": "FAST_COMPILE", "o1": "FAST_COMPILE", "none": "none",
}


@dataclass(frozen=True)
class NanGuard:
    """What NanGuardMode looks for in every intermediate result."""

    nan_is_error: bool = True
    inf_is_error: bool = True
    big_is_error: bool = True


def DebugMode(**_: Any) -> Mode:
    """A mode that computes every result twice, compiled and by the plain interpreter, and raises where they differ."""
    return Mode(name="DebugMode", check="debug")


def NanGuardMode(nan_is_error: bool = True, inf_is_error: bool = True, big_is_error: bool = True, **_: Any) -> Mode:
    """A mode that raises as soon as an operation makes NaN, infinity, or (floats) a number beyond 1e10."""
    return Mode("py", "fast_run", "NanGuardMode", NanGuard(nan_is_error, inf_is_error, big_is_error))


FAST_RUN = Mode(name="FAST_RUN")
FAST_COMPILE = Mode("py", "fast_compile", "FAST_COMPILE")

# Names are looked up in upper case.
predefined_modes: dict[str, Mode] = {
    "FAST_RUN": FAST_RUN,
    "FAST_COMPILE": FAST_COMPILE,
    "DEFAULT": Mode(name="default"),
    "MODE": Mode(name="Mode"),
    "STRICT": Mode(optimizer="strict", name="strict"),
    "FAST": Mode(optimizer="fast", name="fast"),
    "DEBUGMODE": DebugMode(),
    "DEBUG_MODE": DebugMode(),
    "NANGUARDMODE": NanGuardMode(),
    "NUMBA": Mode(name="NUMBA"),
}


def get_mode(mode: Any = None) -> Mode:
    """The mode of this name; a Mode itself; for None the one that ``config.mode`` names.

    >>> get_mode("fast_compile").name
    'FAST_COMPILE'
    """
    if mode is None:
        return get_default_mode()
    if isinstance(mode, Mode):
        return mode
    if not isinstance(mode, str):
        raise FuseTypeError(f"a mode is a name or a Mode, not {type(mode).__name__}")
    found = predefined_modes.get(mode.upper())
    if found is None:
        raise FuseValueError(f"no mode is called {mode!r}: there are {', '.join(known_names())}")
    return found


def known_names() -> list[str]:
    """The names of the modes, as one writes them."""
    return [m.name or name for name, m in predefined_modes.items() if name not in ("DEBUG_MODE", "MODE")]


def get_default_mode() -> Mode:
    """The mode of functions that name none: ``config.mode``, with ``config.optimizer`` where that was changed."""
    mode = get_mode(config.mode)
    if mode.optimizer == "default" and config.optimizer.lower() not in ("fast_run", "default"):
        return Mode(optimizer=None if config.optimizer == "None" else config.optimizer, name=mode.name)
    return mode


def register_mode(name: str, mode: Mode) -> None:
    """Give ``mode`` a name under which ``function(mode=name)`` finds it."""
    if name.upper() in predefined_modes:
        raise FuseValueError(f"the mode {name!r} exists")
    predefined_modes[name.upper()] = mode
