"""jit: a Python function of arrays becomes a compiled function for each kind of arguments that it meets.

The function runs once on symbolic variables in place of its arrays (a trace); what it builds is compiled. Arrays are
told apart by dtype and rank, beside loops by short axes of the first call, too (`short.py`). Only where a trace fails
because a size is needed as a number (``range(x.shape[0])``) are all sizes told apart, and in a transform that is called
with arrays the answers to what it asks of values (`decisions`).
Called with expressions, in another trace, the function runs on these and stays symbolic.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import update_wrapper
from types import MethodType
from typing import Any

import numpy as np

from fuse import testvalues, tree
from fuse.compiled import Function, function
from fuse.errors import FuseError, FuseTypeError
from fuse.expr import INPUT, Expr, leaves, variable
from fuse.trace import TRACE, deciding, tracing
from fuse.transforms.calls import MISS, fast_call
from fuse.transforms.decisions import Decisions
from fuse.transforms.short import Shape, fits, short_axes
from fuse.types import TensorType, dtype_name

PYTHON = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}
RECENT = 8  # kinds of calls that are told apart without a look at the arguments' structure
WAYS = 64  # of one function that branches on values, the last ones compiled
Place = str | int


@dataclass(frozen=True)
class Leaf:
    """What a trace knows of one array: dtype, rank, sizes where they matter, and the Python type of a plain number."""

    dtype: str
    ndim: int
    number: type | None = None
    shape: Shape | None = None

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, (None,) * self.ndim if self.shape is None else self.shape)


class Static(tree.Fixed):
    """A value that is part of what is traced, not an argument of it."""

    __slots__ = ()


@dataclass(frozen=True)
class Key:
    """What calls of one compiled function have in common."""

    structure: tree.Structure  # of (positional arguments, keyword arguments) without the static ones
    leaves: tuple[Leaf | Static, ...]
    statics: tuple[tuple[Place, Static], ...]


@dataclass(frozen=True)
class Entry:
    """A compiled function with the structure of its result; ``constants`` are the leaves that are no expressions."""

    leaves: tuple[Leaf | Static, ...]
    compiled: Function | None
    structure: tree.Structure
    constants: tuple[tuple[int, Any], ...]
    call: Callable[..., Any]
    decisions: Decisions | None = None  # what must be answered alike for it to serve


class Jitted:
    """A function that is traced and compiled for the arguments it meets; made by ``fuse.jit`` and by transforms."""

    def __init__(
        self, function: Callable[..., Any], static_argnums: Any = (), static_argnames: Any = (), mode: Any = None,
        eager: bool = False, name: str | None = None,
    ) -> None:
        if not callable(function):
            raise FuseTypeError(f"a function is transformed, not {type(function).__name__} {function!r:.60}")
        self.function, self.mode, self.eager = function, mode, eager
        self.name = str(name or getattr(function, "__name__", type(function).__name__))
        self._positions, self._names = _statics(function, static_argnums, static_argnames)
        self._entries: dict[Key, Entry] = {}
        self._short: dict[Key, Entry | None] = {}  # what serves calls with the same short axes as the first one
        self._sized: set[Key] = set()  # what could be traced with known sizes only
        self._decided: dict[Key, list[Entry]] = {}  # what could be traced with known values only
        self._fast: Callable[..., Any] = lambda args, kwargs: MISS  # serves calls such as the last one
        self._recent: list[Callable[..., Any]] = []  # and such as those before it
        update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._fast(args, kwargs)
        return self._call(args, kwargs) if result is MISS else result

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<jitted {self.name}>"

    def compiled(self, *args: Any, **kwargs: Any) -> Function:
        """The ``fuse.Function`` that serves calls with such arguments: ``f.compiled(x).explain()``, ``.source``."""
        found = self._entry(args, kwargs)
        if found is None or found[0].compiled is None:
            raise FuseTypeError(f"{self.name} computes nothing for these arguments: no compiled function is needed")
        return found[0].compiled

    # ---------------------------------------------------------------- calls
    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for call in self._recent:
            result = call(args, kwargs)
            if result is not MISS:
                self._fast = call
                return result
        found = self._entry(args, kwargs)
        if found is None:
            with tracing():
                return self.function(*args, **kwargs)
        entry, values = found
        results = [] if entry.compiled is None else entry.compiled(*values)
        if isinstance(results, np.ndarray):
            results = [results]
        for place, value in entry.constants:
            results.insert(place, np.array(value))
        if entry.decisions is None:
            self._fast = entry.call
            self._recent = [entry.call, *[c for c in self._recent if c is not entry.call]][:RECENT]
        return tree.unflatten(entry.structure, results)

    def _entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, list[Any]] | None:
        """What serves the call, with the values it takes; None where the call is to stay symbolic."""
        statics: dict[Place, Any] = {i: args[i] for i in self._positions if i < len(args)}
        named: dict[Place, Any] = {k: v for k, v in kwargs.items() if k in self._names}
        rest = tuple([a for i, a in enumerate(args) if i not in statics])
        options = {k: v for k, v in kwargs.items() if k not in named}
        values, structure = tree.flatten((rest, options))
        if any(isinstance(v, Expr) for v in values):
            return None
        both: dict[Place, Any] = {**statics, **named}
        fixed = tuple([(k, _static(v, self.name, k)) for k, v in both.items()])
        found = tuple([self._leaf(v, i, structure, statics) for i, v in enumerate(values)])
        key = Key(structure, _weakly_typed(found), fixed)
        entry = self._known(key, values)
        if entry is None:
            return None
        return entry, [_value(v, k) for v, k in zip(values, entry.leaves, strict=True) if isinstance(k, Leaf)]

    def _leaf(self, value: Any, i: int, structure: tree.Structure, taken: Iterable[Place]) -> Leaf | Static:
        kind = type(value)
        if kind in PYTHON:
            return Leaf(PYTHON[kind], 0, kind)
        array = value if isinstance(value, (np.ndarray, np.generic)) else None
        if array is None and hasattr(value, "__array__"):
            array = np.asarray(value)
        if array is None and self.eager:
            return _static(value, self.name, self._labels(structure, taken)[i])
        if array is None or array.dtype.kind not in "biufc":
            raise FuseTypeError(
                f"{self._labels(structure, taken)[i]} of {self.name} is a {kind.__name__}: {value!r:.60}\n"
                f"  arguments are numbers, arrays, and dicts, lists, tuples and dataclasses of them; for anything else "
                f"write jit(f, static_argnames=...)"
            )
        return Leaf(dtype_name(array.dtype), array.ndim)

    # ---------------------------------------------------------------- traces
    def _known(self, key: Key, values: Sequence[Any]) -> Entry | None:
        try:
            entry, short = self._entries.get(key), self._short.get(key)
        except TypeError as error:
            raise FuseTypeError(f"{self.name}: static arguments must be hashable: {error}") from None
        if short is not None and fits(*_shapes(short.leaves, values)):
            return short
        if entry is not None:
            return entry
        narrow = _sized(key, values, self.eager)
        if key not in self._sized:
            try:
                return self._made(key, values=values)
            except Exception:  # NumPy turns what an expression says into errors of its own
                if narrow == key and not self.eager:
                    raise
        entry = self._entries.get(narrow)
        if entry is None:
            entry = self._sized_or_decided(narrow, values)
            self._sized.add(key)
        return entry

    def _sized_or_decided(self, key: Key, values: Sequence[Any]) -> Entry | None:
        """The function traced for ``key``, with all sizes; of a transform, with answers where it asks for values."""
        found: Exception | None = None
        if key not in self._decided:
            try:
                return self._made(key)
            except Exception as error:
                if not self.eager:
                    raise
                found = error
        given = [_value(v, k) for v, k in zip(values, key.leaves, strict=True) if isinstance(k, Leaf)]
        for entry in self._decided.get(key, ()):
            if entry.decisions is not None and entry.decisions.hold(given):
                return entry
        decisions = Decisions(given)
        try:
            return self._made(key, decisions)
        except Exception:
            if TRACE.decisions is not None:  # what is traced outside of this one may know the answer
                return None
            if found is not None and not decisions:  # it was about something else
                raise found from None
            raise

    def _made(
        self, key: Key, decisions: Decisions | None = None, values: Sequence[Any] | None = None
    ) -> Entry | None:
        """The function traced for ``key``, compiled; None where the result depends on variables from outside.

        With the ``values`` of the first call that ``key`` describes it may be traced for short axes of theirs instead.
        """
        names = self._labels(key.structure, [k for k, _ in key.statics])
        given = [
            variable(k.type, n) if isinstance(k, Leaf) else k.value for k, n in zip(key.leaves, names, strict=True)
        ]
        inputs = [v for v, k in zip(given, key.leaves, strict=True) if isinstance(k, Leaf)]
        args, kwargs = self._arguments(key, given)
        if decisions is not None:
            decisions.about(inputs)
        try:
            with testvalues.without(), deciding(decisions), tracing(single=_is_single(key.leaves)):
                result = self.function(*args, **kwargs)
        except (FuseError, TypeError) as error:
            described = ", ".join(f"{n}: {v.type.describe()}" for v, n in zip(given, names, strict=True)
                                  if isinstance(v, Expr))
            error.add_note(
                f"in a trace of {self.name}({described}): arguments have no values there; "
                f"what the function branches on or counts with is a static argument, jit(f, static_argnames=...)"
            )
            raise
        except ValueError as error:
            if "setting an array element" in str(error):  # NumPy's words for a[i] = x with an expression
                error.add_note(
                    f"in a trace of {self.name}: an array cannot hold what has no value yet; collect the parts in a "
                    f"list for np.stack, or write a = fuse.as_symbolic(a).at[i].set(x)"
                )
            raise
        found, structure = tree.flatten(result)
        outputs = [o for o in found if isinstance(o, Expr)]
        own = set(inputs)
        if any(n.op is INPUT and n not in own for n in leaves(outputs)):
            return None
        if values is not None and key not in self._short:
            self._short[key] = short = self._with_short_axes(key, inputs, outputs, values)
            if short is not None:
                return short
        constants = tuple([(i, _constant(o, self.name)) for i, o in enumerate(found) if not isinstance(o, Expr)])
        compiled = None
        if outputs:
            wanted = outputs if len(outputs) > 1 else outputs[0]
            compiled = function(inputs, wanted, mode=self.mode, on_unused_input="ignore", name=self.name)
        positions = [k for k, _ in key.statics if isinstance(k, int)]
        call = fast_call(key, compiled, structure, constants, positions)
        if decisions:
            decisions.forget()
            entry = Entry(key.leaves, compiled, structure, constants, call, decisions)
            self._decided[key] = [entry, *self._decided.get(key, ())][:WAYS]
        else:
            entry = self._entries[key] = Entry(key.leaves, compiled, structure, constants, call)
        return entry

    def _with_short_axes(
        self, key: Key, inputs: Sequence[Expr], outputs: Sequence[Expr], values: Sequence[Any]
    ) -> Entry | None:
        """The function traced with short axes of some values known; None where that is of no use, or cannot be."""
        arrays = [i for i, k in enumerate(key.leaves) if isinstance(k, Leaf)]
        known = dict(zip(arrays, short_axes(inputs, outputs, [np.shape(values[i]) for i in arrays]), strict=True))
        if all(n is None for shape in known.values() for n in shape):
            return None
        found = tuple([
            replace(k, shape=known[i]) if isinstance(k, Leaf) and set(known[i]) - {None} else k
            for i, k in enumerate(key.leaves)
        ])
        try:
            return self._made(Key(key.structure, found, key.statics))
        except Exception:  # with sizes that are known the function may go another way
            return None

    def _arguments(self, key: Key, given: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        args, kwargs = tree.unflatten(key.structure, given)
        args = list(args)
        for place, static in key.statics:  # positions come in order
            if isinstance(place, int):
                args.insert(place, static.value)
        return args, {**kwargs, **{k: s.value for k, s in key.statics if isinstance(k, str)}}

    def _labels(self, structure: tree.Structure, taken: Iterable[Place]) -> list[str]:
        """How each leaf is called: the parameter's name, and the way to the leaf in it."""
        positional, named = structure.children
        known = _parameters(self.function)
        static = {k for k in taken if isinstance(k, int)}
        free = [i for i in range(len(positional.children) + len(static)) if i not in static]
        found: list[str] = []
        for i, child in zip(free, positional.children, strict=True):
            found += tree.paths(child, known[i] if i < len(known) else f"arg{i}")
        for name, child in zip(named.data, named.children, strict=True):  # type: ignore[call-overload]
            found += tree.paths(child, str(name))
        return found


# ---------------------------------------------------------------- arguments
def _statics(function: Callable[..., Any], numbers: Any, names: Any) -> tuple[tuple[int, ...], frozenset[str]]:
    """Static arguments by position and by name; one that is given by name counts by its position too."""
    positions = {numbers} if isinstance(numbers, int) else set(numbers or ())
    named = {names} if isinstance(names, str) else set(names or ())
    parameters = _parameters(function)
    if any(not isinstance(i, int) for i in positions) or any(not isinstance(n, str) for n in named):
        raise FuseTypeError("static_argnums are integers, static_argnames are strings")
    if any(i < 0 for i in positions):
        if not parameters:
            raise FuseTypeError("static_argnums count from 0 where the signature of the function is not known")
        positions = {i % len(parameters) if i < 0 else i for i in positions}
    both = named | {parameters[i] for i in positions if i < len(parameters)}
    positions |= {i for i, p in enumerate(parameters) if p in named}
    return tuple(sorted(positions)), frozenset(both)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """The names of positional parameters; none where Python does not know them."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _static(value: Any, name: str, place: Place) -> Static:
    if isinstance(value, Expr):
        raise FuseTypeError(f"the static argument {place!r} of {name} is an expression: it needs a value")
    try:
        hash(value)
    except TypeError:
        raise FuseTypeError(
            f"the static argument {place!r} of {name} must be hashable, which a {type(value).__name__} is not"
        ) from None
    return Static(value)


def _is_single(kinds: Iterable[Leaf | Static]) -> bool:
    """Whether all arrays of floats are float32 (or float16), and there is one: then numbers in the formula are too."""
    found = {k.dtype for k in kinds if isinstance(k, Leaf) and k.number is None and k.dtype[0] in "fc"}
    return bool(found) and not found & {"float64", "complex128"}


def _weakly_typed(kinds: tuple[Leaf | Static, ...]) -> tuple[Leaf | Static, ...]:
    """Python's floats beside arrays of float32 only are float32, as in NumPy; else they are float64."""
    if not _is_single(kinds):
        return kinds
    narrow = {float: "float32", complex: "complex64"}
    return tuple([
        Leaf(narrow[k.number], 0, k.number) if isinstance(k, Leaf) and k.number in narrow else k for k in kinds
    ])


def _sized(key: Key, values: Sequence[Any], eager: bool) -> Key:
    """``key`` with all sizes; for a transform, which nobody has told what is static, also with counts and flags."""
    found: list[Leaf | Static] = []
    for kind, value in zip(key.leaves, values, strict=True):
        if isinstance(kind, Leaf) and eager and kind.number in (int, bool):
            found.append(Static(value))
        elif isinstance(kind, Leaf) and kind.ndim:
            found.append(Leaf(kind.dtype, kind.ndim, kind.number, np.shape(value)))
        else:
            found.append(kind)
    return Key(key.structure, tuple(found), key.statics)


def _shapes(kinds: Sequence[Leaf | Static], values: Sequence[Any]) -> tuple[list[Shape], list[Shape]]:
    """The sizes that ``kinds`` know, and those that values have."""
    pairs = [(k.shape, np.shape(v)) for k, v in zip(kinds, values, strict=True) if isinstance(k, Leaf) and k.shape]
    return [a for a, _ in pairs if a is not None], [b for _, b in pairs]


def _value(value: Any, kind: Leaf) -> Any:
    """``value`` as the compiled function takes it."""
    return value if kind.number is None or PYTHON[kind.number] == kind.dtype else np.asarray(value, kind.dtype)


def _constant(value: Any, name: str) -> np.ndarray[Any, Any]:
    array = np.array(value)  # as it is now: it may be an array of the function's surroundings
    if array.dtype.kind not in "biufc":
        raise FuseTypeError(
            f"{name} returns a {type(value).__name__}: {value!r:.60}\n  results are arrays, numbers, and dicts, "
            f"lists, tuples and dataclasses of them"
        )
    return array


# ---------------------------------------------------------------- the decorator
def jit(
    function: Callable[..., Any] | None = None, *, static_argnums: Any = (), static_argnames: Any = (),
    mode: Any = None,
) -> Any:
    """A Python function of arrays, written as for NumPy, compiled for the dtypes and ranks that it is called with.

    Arguments and results are numbers, arrays, and dicts, lists, tuples, named tuples and dataclasses of them
    (``fuse.tree``). ``static_argnums`` and ``static_argnames`` name arguments that stay Python values: the function is
    traced anew for each. NumPy's functions, operators, indexing and those of ``fuse.tensor`` work on what the function
    gets; a branch on a value is a FuseTypeError (``fuse.tensor.switch`` chooses). Where a size is used as a number, as
    in ``range(x.shape[0])``, the function is traced for each shape. ``f.compiled(*args)`` is the ``fuse.Function``.

    Where all arrays of floats are float32, Python's floats are as well, and so are results.

    >>> import fuse, numpy as np
    >>> @fuse.jit
    ... def predict(params, x):
    ...     return np.tanh(x @ params["w"] + params["b"])
    >>> predict({"w": np.eye(2), "b": 0.0}, np.zeros(2))
    array([0., 0.])
    >>> @fuse.jit(static_argnames="n")
    ... def power(x, n):
    ...     return x if n == 1 else x * power(x, n - 1)
    >>> power(np.float32(2.0), n=10)
    array(1024., dtype=float32)
    """
    def decorate(f: Callable[..., Any]) -> Jitted:
        return Jitted(f, static_argnums, static_argnames, mode)

    return decorate if function is None else decorate(function)


__all__ = ["Jitted", "jit"]
