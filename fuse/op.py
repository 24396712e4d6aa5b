"""What an op is: one record per op, and the decorators that make records.

Everything about an op that another module needs is a field here; the public function, the method on
expressions, the kernel, the reference, the gradient, the tests and the documentation are all read from it.
"""
from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import zip_longest
from types import FunctionType, MappingProxyType, MethodType
from typing import Any

from fuse import types as ty
from fuse.argnames import placed
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr, make
from fuse.frozen import dataclass
from fuse.traits import traits_of
from fuse.types import TensorType


class Marker:
    """A named constant of the gradient rules."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ZERO = Marker("ZERO")  # connected, but the derivative is 0 everywhere (floor, comparisons)
DISCONNECTED = Marker("DISCONNECTED")  # only the argument's shape or an index is used

# Types of results, and dtypes, of elementwise ops without parameters, by op and types (dtypes) of operands.
_KNOWN_SIGNATURES: dict[Any, tuple[tuple[str, ...], str]] = {}
_KNOWN_TYPES: dict[Any, TensorType] = {}
_MANY_TYPES = 5000
# Before the names of ops that are not fuse's own, since rules and the code generator know fuse's by name: a user's
# "log" is none of theirs. `str(op)` leaves it out.
USERS = "user:"
USER_REWRITES: dict[str, Callable[..., Any]] = {}  # by name; see fuse.rules.user
NAMED_REWRITES: dict[str, Any] = {}  # see fuse.rules.named; here, so that programs without any need not load rules
DtypeRule = Callable[..., tuple[tuple[str, ...], str]]


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """One operation. ``kind`` says how the code generator treats it:

    * ``leaf``: input, constant, shared variable;
    * ``elementwise``: ``kernel`` is a scalar function, inlined into a loop; ``dtypes(*dtypes, **params)`` gives the
      dtypes to which the arguments are cast before the kernel and the dtype of the result;
    * ``reduction``: ``kernel(acc, x)`` combines, from ``identity(dtype)``; params ``axis`` (sorted tuple of ints >= 0),
      ``dtype`` (of result and accumulator); reduced axes are dropped from the result;
    * ``index``: the result is its first argument read at computed places (dimshuffle, broadcast_to, iota, ...):
      the code generator knows these by name;
    * ``view``: ``numpy`` returns a view of (or the same as) its first argument: a step without a kernel;
    * ``composite``: ``define(*args, **params)`` gives its meaning in other ops; it is expanded before fusion;
    * ``opaque``: ``numpy`` is called at run time (BLAS, LAPACK, sort, a user's own perform).
    """

    name: str
    kind: str
    numpy: Callable[..., Any]
    infer: Callable[..., TensorType] | None = None
    dtypes: DtypeRule | None = None
    kernel: Callable[..., Any] | None = None
    identity: Callable[[str], Any] | None = None
    define: Callable[..., Expr] | None = None
    shape: Callable[..., tuple[Any, ...]] | None = None
    grad: Any = None
    jvp: Callable[..., Any] | None = None
    nargs: int | None = None
    sympy: str | None = None
    latex: str | None = None
    symbol: str | None = None
    precedence: int = 0
    domain: tuple[float, float] | None = None
    ufunc: Any = None
    linear: bool = False
    stateful: bool = False
    bind: Callable[[Expr], Callable[..., Any]] | None = None  # opaque ops whose call depends on the node's types
    host: str | None = None  # Python text over those of the arguments ({0}, {1}, ...), for sizes: Python's ints
    integers_from: int | None = None  # the first argument of a view or store that is an index or a size
    doc: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()  # see fuse.traits

    def __repr__(self) -> str:
        return self.name.removeprefix(USERS)

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:  # as Theano's programs ask: node.op == T.exp
        return self is other or isinstance(other, (_Public, FunctionType)) and getattr(other, "op", None) is self

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        if OPS.get(self.name) is self:
            return by_name, (self.name,)
        return super().__reduce__()

    def infer_type(self, *args: Expr, **params: Any) -> TensorType:
        """The type of the node; raises a FuseError that says what does not fit."""
        if self.infer is not None:
            return self.infer(*args, **params)
        if self.kind == "elementwise":
            key = self, *[a.type for a in args]
            known = _KNOWN_TYPES.get(key) if not params else None
            if known is None:
                shape = ty.broadcast_static([a.type.shape for a in args])
                known = TensorType(self.result_dtype(*args, **params), shape)
                if not params:
                    if len(_KNOWN_TYPES) >= _MANY_TYPES:
                        _KNOWN_TYPES.clear()
                    _KNOWN_TYPES[key] = known
            return known
        raise TypeError(f"op {self} has no type rule: give it infer=, a function from operands to a TensorType")

    def result_dtype(self, *args: Expr, **params: Any) -> str:
        return self.signature(*args, **params)[1]

    def signature(self, *args: Expr, **params: Any) -> tuple[tuple[str, ...], str]:
        """(dtypes the kernel sees, dtype of its result) for these arguments."""
        assert self.dtypes is not None
        if params:
            return self.dtypes(*[a.type.dtype for a in args], **params)
        key = self, *[a.type.dtype for a in args]
        known = _KNOWN_SIGNATURES.get(key)
        if known is None:
            if len(_KNOWN_SIGNATURES) >= _MANY_TYPES:
                _KNOWN_SIGNATURES.clear()
            known = _KNOWN_SIGNATURES[key] = self.dtypes(*key[1:])
        return known

    def __call__(self, *args: Any, **params: Any) -> Expr:
        """A node of this op; arguments are converted to expressions, parameters must be hashable."""
        if self.nargs is not None and len(args) != self.nargs:
            raise FuseTypeError(f"{self.name} takes {self.nargs} operands, not {len(args)}")
        return make(self, tuple(map(as_expr, args)), params)

    def callable_for(self, node: Expr) -> Callable[..., Any]:
        """What computes ``node`` from its arguments' arrays and its parameters: ``numpy``, or what ``bind`` makes."""
        return self.numpy if self.bind is None else self.bind(node)

    @property
    def view_map(self) -> dict[int, list[int]]:
        """Theano's note of outputs that are views of inputs."""
        return {0: [0]} if self.kind == "view" else {}

    @property
    def destroy_map(self) -> dict[int, list[int]]:
        """Theano's note of inputs that are overwritten: the plan decides that, never an op."""
        return {}

    @property
    def scalar_op(self) -> Op:
        """Theano's name for what an elementwise op does per element: the record itself."""
        if self.kind != "elementwise":
            raise AttributeError(f"{self.name} is no elementwise op")
        return self

    def make_node(self, *args: Any) -> Any:
        """Theano's way to apply an op: an object with ``outputs``."""
        return self(*args).owner

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """For each input of the application ``node`` and each output, whether gradients come back that way."""
        rules = self.grad if isinstance(self.grad, tuple) else ()
        cut = [self.kind == "shape" or r is DISCONNECTED for r, _ in zip_longest(rules, node.inputs)]
        return [[not c] * len(node.outputs) for c in cut]


OPS: dict[str, Op] = {}

# Modules with ops, besides those of fuse.frontend, that are imported when something first needs them.
_ELSEWHERE = ("fuse.autodiff.custom", "fuse.autodiff.stop", "fuse.looping.branches", "fuse.printing.show")


def by_name(name: str) -> Op:
    """The record that a pickle or a file names: its module may not have been imported yet. KeyError for no op.

    >>> by_name("correlate")
    correlate
    """
    if name not in OPS:
        import pkgutil

        found = pkgutil.iter_modules(importlib.import_module("fuse.frontend").__path__, "fuse.frontend.")
        for module in (*[m.name for m in found], *_ELSEWHERE):
            importlib.import_module(module)
    return OPS[name]


def register(op: Op) -> Op:
    """Enter ``op`` into the table OPS under its name (built-in ops only: a user's op needs no table)."""
    if op.name in OPS:
        raise ValueError(f"op {op} exists")
    OPS[op.name] = op
    return op


# ---------------------------------------------------------------- dtype rules of elementwise ops
def same(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """All arguments promoted to one dtype, which is also the result's (add, mul, maximum)."""
    out = ty.promote(*dtypes)
    return (out,) * len(dtypes), out


def inexact(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same`` after integers became floats (exp, sin, log)."""
    out = ty.promote(*[ty.inexact(d) for d in dtypes])
    return (out,) * len(dtypes), out


def comparison(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """Compared in the promoted dtype; bool."""
    return (ty.promote(*dtypes),) * len(dtypes), "bool"


def numeric(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same``; a bool alone has no such operation."""
    out = ty.promote(*dtypes)
    if out == "bool":
        raise FuseTypeError("not defined for bool: use ^, ~ or & for logic, or cast to an integer first")
    return (out,) * len(dtypes), out


def predicate(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """One test per element; bool."""
    return tuple(dtypes), "bool"


# ---------------------------------------------------------------- decorators
class _Public:
    """The public function of an elementwise op, which prints as in Theano (programs read names from there)."""

    def __init__(self, op: Op, fn: Callable[..., Any], call: Callable[..., Expr] | None = None) -> None:
        functools.update_wrapper(self, fn)
        self.op = op
        self._call: Callable[..., Expr] = call or op
        self.also: dict[str, str] | None = None  # further names of operands, see argnames

    def __call__(self, *args: Any, **params: Any) -> Any:
        if params and self.op.kind == "elementwise":  # Theano's ops take these
            name, listed = params.pop("name", None), params.pop("return_list", False)
            if params and self.also is not None:
                args, params = placed(self.__wrapped__, self.also, args, params)
            if self._call is self.op and (unknown := params.keys() - {*self.op.meta.get("params", ())}):
                raise TypeError(f"{self.__name__}() got an unexpected keyword argument {min(unknown)!r}")
            found = self._call(*args, **params)
            if name is not None:
                found.name = name
            return [found] if listed else found
        return self._call(*args, **params)

    def __get__(self, owner: Any, cls: Any = None) -> Any:
        # A method of expressions; in other classes an op is what it is, as in Theano: `act = T.tanh`, `self.act(x)`.
        return MethodType(self, owner) if isinstance(owner, Expr) else self

    def __getattr__(self, name: str) -> Any:  # what programs ask of Theano's ops: scalar_op, make_node
        if name in ("scalar_op", "make_node"):
            return getattr(self.op, name)
        raise AttributeError(f"the function {self.__name__} has no attribute {name!r}")

    def __reduce__(self) -> str:  # a builder around a private one has its name
        name = self.__qualname__
        return name if getattr(sys.modules.get(self.__module__), name, None) is self else name.lstrip("_")

    def __copy__(self) -> _Public:
        return self

    def __deepcopy__(self, memo: Any) -> _Public:
        return self

    def __repr__(self) -> str:
        return f"Elemwise{{{_THEANO.get(self.op.name, self.op.name)},no_inplace}}"


def public(builder: Callable[..., Expr]) -> Callable[..., Expr]:
    """``builder``, which prepares the arguments of an elementwise op, as that op's public function."""
    return _Public(builder.op, builder, builder)  # type: ignore[attr-defined]


# What Theano calls an op that has another name here.
_THEANO = {"reciprocal": "inv", "fill": "second"}


def _clean_doc(fn: Callable[..., Any]) -> str:
    return inspect.cleandoc(fn.__doc__ or "")


def _named(name: str, builtin: bool) -> str:
    return name if builtin else USERS + name


def elementwise(
    function: Callable[..., Any] | None = None,
    /,
    *,
    numpy: Callable[..., Any] | None = None,
    dtype: DtypeRule = inexact,
    grad: Sequence[Any] | None = None,
    name: str | None = None,
    builtin: bool = False,
    traits: str = "",
    **fields: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    """Make an elementwise op of the decorated scalar function: ``@elementwise`` or ``@elementwise(grad=...)``.

    ``grad`` has one entry per argument: ``lambda g, out, *args: ...`` in expressions, ZERO, or text that says why
    there is none; ``traits`` are words of ``fuse.traits``. The body may call
    ``mathlib.NAME`` (see fuse.codegen.mathlib), use ``a if c else b``, locals and arithmetic. A user's own op is the
    same with nothing to register; without ``numpy`` the function itself, vectorised, is the reference.
    Raises ValueError for a trait that is none.

    >>> import fuse, fuse.tensor as T
    >>> @fuse.elementwise(grad=(lambda g, out, x: g * 3 * x * x,))
    ... def cube(x):
    ...     '''The third power of ``x``.'''
    ...     return x * x * x
    >>> v = T.vector("v")
    >>> cube(v).eval({v: [1.0, 2.0]})
    array([1., 8.])
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Expr]:
        arity = len(inspect.signature(fn).parameters) - len(fields.get("meta", {}).get("params", ()))
        op = Op(
            name=_named(name or fn.__name__, builtin), kind="elementwise", kernel=fn, dtypes=dtype, nargs=arity,
            numpy=numpy or _vectorised(fn), grad=tuple(grad) if grad is not None else None,
            doc=_clean_doc(fn), traits=traits_of(traits), **fields,
        )
        if builtin:
            register(op)

        return _Public(op, fn)

    return decorate if function is None else decorate(function)  # type: ignore[return-value]


def _vectorised(fn: Callable[..., Any]) -> Callable[..., Any]:
    import numpy as np

    def reference(*arrays: Any, **params: Any) -> Any:
        return np.vectorize(functools.partial(fn, **params))(*arrays)

    return reference


def reduction(
    *,
    numpy: Callable[..., Any],
    identity: Callable[[str], Any],
    grad: Callable[..., Any] | None = None,
    name: str | None = None,
    builtin: bool = False,
    traits: str = "",
    **fields: Any,
) -> Callable[[Callable[..., Any]], Op]:
    """Make a reduction op of the decorated ``(acc, x)`` function; returns the record itself.

    ``numpy(array, axis=..., dtype=...)`` is the reference, ``identity(dtype)`` the result of no elements. The order of
    combination is the schedule's choice. The record is called with the axes, a sorted tuple, and the dtype in which it
    computes, which is that of the result.

    >>> import fuse, numpy as np, fuse.tensor as T
    >>> @fuse.reduction(numpy=lambda x, axis, dtype: np.bitwise_xor.reduce(x, axis=axis), identity=lambda dtype: 0)
    ... def parity(acc, x):
    ...     return acc ^ x
    >>> m = T.lmatrix("m")
    >>> parity(m, axis=(1,), dtype="int64").eval({m: [[1, 2, 4], [7, 7, 5]]})
    array([7, 5])
    """

    def decorate(fn: Callable[..., Any]) -> Op:
        op = Op(
            name=_named(name or fn.__name__, builtin), kind="reduction", kernel=fn, identity=identity, nargs=1,
            numpy=numpy, infer=_reduced_type, shape=_reduced_shape, grad=grad, doc=_clean_doc(fn),
            traits=traits_of(traits), **fields,
        )
        return register(op) if builtin else op

    return decorate


def _reduced_type(x: Expr, *, axis: tuple[int, ...], dtype: str) -> TensorType:
    return TensorType(dtype, [n for a, n in enumerate(x.type.shape) if a not in axis])


def _reduced_shape(node: Expr, shape: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(n for a, n in enumerate(shape) if a not in node.params["axis"])


def op_record(
    kind: str, numpy: Callable[..., Any], infer: Callable[..., TensorType], **fields: Any
) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    """Make a view, index, composite or opaque op; the decorated function is its public builder.

    The builder turns the user's arguments into ``op(*expressions, **parameters)``; it receives the record as its
    first argument.
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Expr]:
        name = fields.pop("name", fn.__name__)
        traits = traits_of(fields.pop("traits", ""))
        op = register(Op(name=name, kind=kind, numpy=numpy, infer=infer, doc=_clean_doc(fn), traits=traits, **fields))

        @functools.wraps(fn)
        def builder(*args: Any, **kwargs: Any) -> Expr:
            return fn(op, *args, **kwargs)

        builder.op = op  # type: ignore[attr-defined]
        builder.__signature__ = _WithoutRecord(fn)  # type: ignore[attr-defined]
        return builder

    return decorate


class _WithoutRecord(inspect.Signature):
    """The signature of a builder for its users, who do not give the record; read off when somebody asks."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self._fn = fn

    @property
    def parameters(self) -> Any:
        found = inspect.signature(self._fn).parameters
        return MappingProxyType(dict(list(found.items())[1:]))

    @property
    def return_annotation(self) -> Any:
        return self._fn.__annotations__.get("return", inspect.Signature.empty)

    def replace(self, **new: Any) -> inspect.Signature:  # type: ignore[override]
        return inspect.Signature([*self.parameters.values()], return_annotation=self.return_annotation).replace(**new)
