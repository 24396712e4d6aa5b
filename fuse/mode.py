"""Modes: which rewriting a function gets, and what runs it."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, replace
from typing import Any

from fuse.config import config
from fuse.devices import resolve
from fuse.errors import FuseTypeError, FuseValueError
from fuse.frozen import dataclass


class Rules(str):
    """The name of a choice of rules, which rewrites graphs too, as Theano's ``mode.optimizer`` does.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> get_mode("FAST_RUN").optimizer.optimize(fuse.FunctionGraph([x], [T.log(1 + x)])).outputs
    [log1p(x)]
    """

    __slots__ = ()

    def optimize(self, fgraph: Any) -> Any:
        """``fgraph`` with its outputs rewritten, as functions have them."""
        from fuse.codegen.interpreted import optimized

        fgraph.outputs = optimized(fgraph.outputs, _REWRITING[self.lower()])
        return fgraph

    apply = rewrite = optimize


@dataclass(frozen=True)
class Mode:
    """How a function is rewritten and run.

    ``optimizer`` chooses the rewriting: ``'strict'`` (the same bits as the formula as written), ``'default'`` (Theano's
    ``'fast_run'``: stable and fast forms, equal up to rounding), ``'fast'`` (also what presumes no NaN or infinity),
    ``'fast_compile'`` (little), None (none at all). ``linker`` chooses what runs it: compiled kernels, or with ``'py'``
    NumPy, one operation after the other. ``check`` adds tests while it runs (see DebugMode and NanGuardMode).
    ``device`` is "cpu" or "cuda" (``function(device=)`` sets it).
    A mode's tags choose among the rewrites that the user has registered in ``gof.optdb``; they change nothing else.
    An object with ``optimize(fgraph)`` as the optimizer is the only rewriting.

    >>> Mode("py", "fast_compile").rewriting, get_mode("FAST_RUN").rewriting, get_mode("fast").backend
    ('FAST_COMPILE', 'default', 'compiled')
    """

    linker: Any = "numba"
    optimizer: Any = "default"
    name: str | None = None
    check: Any = None
    tags: frozenset[str] = field(default=frozenset())
    device: str = "cpu"
    excluded: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        if type(self.optimizer) is str:
            object.__setattr__(self, "optimizer", Rules(self.optimizer))
        if self.optimizer is not None and not isinstance(self.optimizer, str):
            if not hasattr(self.optimizer, "optimize"):
                raise FuseTypeError(f"Mode(optimizer=...) is a name or None, not {type(self.optimizer).__name__}")
        elif self.optimizer is not None and self.optimizer.lower() not in _REWRITING:
            known = ", ".join(_REWRITING)
            raise FuseValueError(f"no optimizer is called {self.optimizer!r}: there are {known} and None")

    @property
    def rewriting(self) -> str:
        """The argument ``mode`` of ``fuse.rules.optimize``; ``'none'`` for no rewriting."""
        return "none" if not isinstance(self.optimizer, str) else _REWRITING[self.optimizer.lower()]

    @property
    def backend(self) -> str:
        """``'compiled'``, ``'interpreted'``, ``'debug'``, ``'guard'`` or ``'monitor'``."""
        if isinstance(self.check, (NanGuard, Monitor)):
            return "guard" if isinstance(self.check, NanGuard) else "monitor"
        if self.check == "debug":
            return "debug"
        interpreted = self.linker in ("py", "vm_py") or self.rewriting in ("none", "FAST_COMPILE")
        return "interpreted" if interpreted else "compiled"

    @property
    def wanted(self) -> frozenset[str]:
        """The tags of the rewrites in ``gof.optdb`` that functions of this mode get."""
        if not isinstance(self.optimizer, str):
            return self.tags
        base = "fast_compile" if self.rewriting == "FAST_COMPILE" else "fast_run"
        return self.tags | {base, *getattr(self.optimizer, "include", ())}

    def including(self, *tags: str) -> Mode:
        """The same mode with more tags."""
        return replace(self, tags=self.tags | set(tags), excluded=self.excluded - set(tags))

    def excluding(self, *tags: str) -> Mode:
        """The same mode with fewer tags."""
        return replace(self, tags=self.tags - set(tags), excluded=self.excluded | set(tags))

    def clone(self, **changes: Any) -> Mode:
        """The same mode with some fields changed."""
        return replace(self, **{k: v for k, v in changes.items() if k in self.__dataclass_fields__})


def _set_note(self: Mode, name: str, value: Any) -> None:
    """Theano's programs leave notes on modes (``mode.check_isfinite = False``): they are kept; fields stay as made."""
    if name in self.__dataclass_fields__:
        raise FrozenInstanceError(f"a Mode does not change: mode.clone({name}=...) makes another")
    object.__setattr__(self, name, value)


Mode.__setattr__ = _set_note  # type: ignore[assignment,method-assign]

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


@dataclass(frozen=True)
class Monitor:
    """What MonitorMode calls around every operation: ``function(index, apply, thunk)``."""

    before: Callable[[int, Any, Any], Any] | None = None
    after: Callable[[int, Any, Any], Any] | None = None


class _Checking(Mode):
    """A mode with a ``check`` and its own way to say what is checked; the other fields are as in Mode."""

    def _set(self, check: Any, given: Any, **default: Any) -> None:
        chosen = {**default, **{k: v for k, v in given.items() if k in ("optimizer", "tags") and v is not None}}
        Mode.__init__(self, name=type(self).__name__, check=given.get("check") or check, **chosen)


class DebugMode(_Checking):
    """A mode that computes results as written, as rewritten (both interpreted) and compiled, and compares them."""

    def __init__(self, **given: Any) -> None:
        self._set("debug", given)


class NanGuardMode(_Checking):
    """A mode that raises as soon as an operation makes NaN, infinity, or (floats) a number beyond 1e10.

    ``config.NanGuardMode.nan_is_error`` and its kin are the defaults.
    """

    def __init__(
        self, nan_is_error: bool | None = None, inf_is_error: bool | None = None, big_is_error: bool | None = None,
        **given: Any,
    ) -> None:
        flags = config.NanGuardMode
        nan = flags.nan_is_error if nan_is_error is None else nan_is_error
        inf = flags.inf_is_error if inf_is_error is None else inf_is_error
        big = flags.big_is_error if big_is_error is None else big_is_error
        self._set(NanGuard(nan, inf, big), given, linker="py", optimizer="fast_run")


class MonitorMode(_Checking):
    """A mode that calls ``pre_func`` before and ``post_func`` after every operation: ``func(index, apply, thunk)``.

    ``apply`` is the operation (``apply.op``, ``apply.inputs``), ``thunk`` what computes it: ``thunk.inputs`` and
    ``thunk.outputs`` are lists of cells, ``thunk.outputs[0][0]`` is the first result. Nothing is fused. A function of
    four arguments gets the graph of the operation's outputs first, as in PyTensor.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> seen = lambda index, apply, thunk: print(apply.op, float(thunk.outputs[0][0]))
    >>> float(fuse.function([x], T.exp(x) * 2, mode=MonitorMode(post_func=seen))(0.0))
    exp 1.0
    mul 2.0
    2.0
    """

    def __init__(self, pre_func: Any = None, post_func: Any = None, **given: Any) -> None:
        self._set(Monitor(pre_func, post_func), given, linker="py", optimizer="fast_run")

    @property
    def pre_func(self) -> Any:
        return self.check.before

    @property
    def post_func(self) -> Any:
        return self.check.after


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


def on_device(mode: Mode, device: str) -> Mode:
    """``mode`` on a device by name ("cpu", "cuda", "auto"); raises DeviceError where there is none."""
    found = resolve(device)
    return mode if found == mode.device else mode.clone(device=found)
