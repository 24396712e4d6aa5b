"""Theano's classes for a user's own op on scalars: with ``impl`` and ``grad``, element by element."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from fuse.autodiff.sweep import spread, unbroadcast
from fuse.errors import FuseTypeError, MethodNotDefined
from fuse.expr import Expr, as_expr, substitute, variable
from fuse.forks import cached_property
from fuse.frontend.apply import Apply
from fuse.frontend.class_op import Op
from fuse.frontend.elementwise import fill
from fuse.frontend.sizes import broadcast_sizes
from fuse.testvalues import without
from fuse.types import COMPLEX, FLOATING, TensorType, broadcast_static, dtype_name, promote

__all__ = [
    "BinaryBitOp", "BinaryScalarOp", "FixedLogicalComparison", "LogicalComparison", "ScalarOp", "UnaryBitOp",
    "UnaryScalarOp", "float_out", "float_out_nocomplex", "int_out", "same_out", "same_out_float_only", "same_out_min8",
    "same_out_nocomplex", "specific_out", "transfer_type", "unary_out_lookup", "upcast_out", "upcast_out_min8",
    "upcast_out_nobool", "upgrade_to_float", "upgrade_to_float64", "upgrade_to_float_no_complex",
]


# ---------------------------------------------------------------- the types of results, from those of the arguments
def _scalar(dtype: Any) -> TensorType:
    return TensorType(dtype_name(dtype), ())


def _upcast(types: Sequence[TensorType]) -> str:
    return promote(*[t.dtype for t in types])


def _real(types: Sequence[TensorType]) -> None:
    if any(t.dtype in COMPLEX for t in types):
        raise FuseTypeError("complex argument not supported: take its real part or its absolute value")


def upcast_out(*types: TensorType) -> tuple[TensorType, ...]:
    """One result, of the dtype that holds all arguments.

    >>> upcast_out(TensorType("int8", ()), TensorType("float32", ()))[0].dtype
    'float32'
    """
    return (_scalar(_upcast(types)),)


def upcast_out_nobool(*types: TensorType) -> tuple[TensorType, ...]:
    """As ``upcast_out``; FuseTypeError for bool."""
    if _upcast(types) == "bool":
        raise FuseTypeError("bool output not supported: cast an argument to an integer")
    return upcast_out(*types)


def upcast_out_min8(*types: TensorType) -> tuple[TensorType, ...]:
    """As ``upcast_out``; int8 in place of bool."""
    dtype = _upcast(types)
    return (_scalar("int8" if dtype == "bool" else dtype),)


def upgrade_to_float(*types: TensorType) -> tuple[TensorType, ...]:
    """One result, of a float dtype that holds all arguments: int8 and uint8 become float32, longer integers float64.

    >>> [upgrade_to_float(TensorType(d, ()))[0].dtype for d in ("int8", "int64", "float32")]
    ['float32', 'float64', 'float32']
    """
    short = {"bool": "float32", "int8": "float32", "uint8": "float32", "int16": "float32", "uint16": "float32"}
    floats = [t.dtype if t.dtype in FLOATING or t.dtype in COMPLEX else short.get(t.dtype, "float64") for t in types]
    return (_scalar(promote(*floats)),)


def upgrade_to_float_no_complex(*types: TensorType) -> tuple[TensorType, ...]:
    """As ``upgrade_to_float``; FuseTypeError for complex arguments."""
    _real(types)
    return upgrade_to_float(*types)


def upgrade_to_float64(*types: TensorType) -> tuple[TensorType, ...]:
    """One float64 result; FuseTypeError for complex arguments."""
    _real(types)
    return (_scalar("float64"),)


def same_out(type: TensorType) -> tuple[TensorType, ...]:
    """One result, of the argument's dtype."""
    return (_scalar(type.dtype),)


def same_out_nocomplex(type: TensorType) -> tuple[TensorType, ...]:
    """As ``same_out``; FuseTypeError for complex arguments."""
    _real([type])
    return same_out(type)


def same_out_float_only(type: TensorType) -> tuple[TensorType, ...]:
    """As ``same_out``; FuseTypeError for what is no float."""
    if type.dtype not in FLOATING:
        raise FuseTypeError("only float type are supported: cast the argument")
    return same_out(type)


def same_out_min8(type: TensorType) -> tuple[TensorType, ...]:
    """As ``same_out``; int8 in place of bool."""
    return (_scalar("int8" if type.dtype == "bool" else type.dtype),)


def int_out(*types: TensorType) -> tuple[TensorType, ...]:
    """One int64 result."""
    return (_scalar("int64"),)


def float_out(*types: TensorType) -> tuple[TensorType, ...]:
    """One float64 result."""
    return (_scalar("float64"),)


def float_out_nocomplex(*types: TensorType) -> tuple[TensorType, ...]:
    """As ``float_out``; FuseTypeError for complex arguments."""
    _real(types)
    return float_out(*types)


class specific_out(tuple):
    """Results of these types, whatever the arguments are.

    >>> [t.dtype for t in specific_out(TensorType("int8", ()))(TensorType("float64", ()))]
    ['int8']
    """

    def __new__(cls, *spec: TensorType) -> specific_out:
        return super().__new__(cls, spec)

    def __call__(self, *types: TensorType) -> tuple[TensorType, ...]:
        return tuple([_scalar(t.dtype) for t in self])


class transfer_type(tuple):
    """Results of the types of these arguments (None: the dtype that holds all).

    >>> transfer_type(1)(TensorType("int8", ()), TensorType("float32", ()))[0].dtype
    'float32'
    """

    def __new__(cls, *transfer: int | None) -> transfer_type:
        if not all(i is None or isinstance(i, int) for i in transfer):
            raise FuseTypeError(f"transfer_type takes numbers of arguments, not {transfer}")
        return super().__new__(cls, transfer)

    def __call__(self, *types: TensorType) -> tuple[TensorType, ...]:
        return tuple([_scalar(_upcast(types) if i is None else types[i].dtype) for i in self])

    def __str__(self) -> str:
        return f"transfer_type{{{', '.join(map(str, self))}}}"


class unary_out_lookup(dict):
    """The dtype of the result by that of the argument.

    >>> table = unary_out_lookup({TensorType("int8", ()): TensorType("int64", ())})
    >>> table(TensorType("int8", ()))[0].dtype
    'int64'
    """

    def __init__(self, type_table: Any) -> None:
        super().__init__({k.dtype: v.dtype for k, v in dict(type_table).items()})

    def __call__(self, *types: TensorType) -> tuple[TensorType, ...]:
        if len(types) != 1 or types[0].dtype not in self:
            raise FuseTypeError(f"no result is stated for {', '.join(t.dtype for t in types)}")
        return (_scalar(self[types[0].dtype]),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


# ---------------------------------------------------------------- ops
class ScalarOp(Op):
    """Base of a user's own op on scalars, which works on arrays element by element.

    ``impl(*numbers)`` computes one element, ``grad(inputs, output_grads)`` (or ``L_op``) is written in terms of scalar
    expressions. ``output_types_preference`` gives the types of results from those of arguments: ``upgrade_to_float``,
    ``same_out``, ``specific_out(...)``, ``transfer_type(0)``, ...; or override ``output_types``. ``nfunc_spec =
    ("numpy.exp", 1, 1)`` names a ufunc that computes whole arrays; else Python's ``impl`` is called for each element:
    an op under ``@fuse.elementwise`` is compiled. Broadcasts as any elementwise op.

    >>> import fuse, fuse.tensor as T
    >>> class Cube(UnaryScalarOp):
    ...     def impl(self, x):
    ...         return x**3
    ...     def grad(self, inputs, output_grads):
    ...         return [output_grads[0] * 3 * inputs[0] ** 2]
    >>> cube = T.elemwise.Elemwise(Cube(upgrade_to_float, name="cube"))
    >>> v = T.dvector("v")
    >>> cube(v).eval({v: [1, 2]}), fuse.grad(cube(v).sum(), v).eval({v: [1, 2]})
    (array([1., 8.]), array([ 3., 12.]))
    """

    nin, nout = -1, 1
    nfunc_spec: tuple[str, int, int] | None = None
    commutative = associative = False

    def __init__(self, output_types_preference: Callable[..., Any] | None = None, name: str | None = None) -> None:
        self.name = name
        if output_types_preference is not None:
            if not callable(output_types_preference):
                raise FuseTypeError(
                    f"output_types_preference of {type(self).__name__} is a function of types, "
                    f"not {output_types_preference!r}"
                )
            self.output_types_preference = output_types_preference

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own_eq, own_hash = cls.__dict__.get("__eq__"), cls.__dict__.get("__hash__")
        super().__init_subclass__(**kwargs)
        if own_eq is None and cls.__eq__ is object.__eq__:  # what Op sets for an __init__ of its own
            cls.__eq__, cls.__hash__ = ScalarOp.__eq__, own_hash or ScalarOp.__hash__  # type: ignore[method-assign]

    @property
    def scalar_op(self) -> ScalarOp:
        """What is done per element: the op itself."""
        return self

    def impl(self, *numbers: Any) -> Any:
        """The result for these numbers; a tuple of several."""
        raise MethodNotDefined(f"{type(self).__name__} has no impl: write it, what the op computes of one element")

    def output_types(self, types: Sequence[TensorType]) -> Sequence[TensorType]:
        """The types of results, 0-d, from those of arguments."""
        if not hasattr(self, "output_types_preference"):
            raise MethodNotDefined(
                f"{type(self).__name__} does not say its types: give output_types_preference when it is made, or write "
                "output_types(types), which returns the types of the results"
            )
        found = self.output_types_preference(*types)
        if not isinstance(found, (list, tuple)) or not all(isinstance(t, TensorType) for t in found):
            raise FuseTypeError(f"output_types_preference of {self} returns a tuple of types, not {found!r}")
        return list(found)

    def make_node(self, *inputs: Any) -> Apply:
        if self.nin >= 0 and len(inputs) != self.nin:
            raise FuseTypeError(
                f"Wrong number of inputs for {self}.make_node (got {len(inputs)} ({inputs}), expected {self.nin})"
            )
        args = [as_expr(x) for x in inputs]
        shape = broadcast_static([a.type.shape for a in args])
        types = self.output_types([_scalar(a.type.dtype) for a in args])
        return Apply(self, args, [TensorType(t.dtype, shape)() for t in types])

    @cached_property
    def _function(self) -> Callable[..., Any]:
        if self.nfunc_spec is not None:
            found: Any = np
            for part in self.nfunc_spec[0].removeprefix("numpy.").split("."):
                if part == "scipy":
                    import scipy.special

                    found = scipy
                else:
                    found = getattr(found, part, None)
            if callable(found):
                return found
        return np.frompyfunc(self.impl, self.nin if self.nin >= 0 else 1, self.nout)

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        function = self._function
        if isinstance(function, np.ufunc) and function.nin != len(inputs):  # an op of any number of arguments
            function = np.frompyfunc(self.impl, len(inputs), self.nout)
        found = function(*inputs)
        results = found if isinstance(found, tuple) and self.nout > 1 else (found,)
        for cell, value, output in zip(output_storage, results, node.outputs, strict=True):
            cell[0] = np.asarray(value).astype(output.type.dtype)

    def infer_shape(self, node: Apply, shapes: list[Any]) -> list[Any]:
        return [broadcast_sizes(shapes)] * len(node.outputs)

    def _pullback(self, inputs: list[Expr], outputs: list[Expr], output_grads: list[Expr]) -> Any:
        found = _at_arrays(self, inputs, outputs, output_grads)
        node = outputs[0] if len(outputs) == 1 else reduce(fill, inputs)  # for its shape
        return found if not isinstance(found, list) else [
            unbroadcast(spread(f, outputs[0]), x, node) if isinstance(f, Expr) and isinstance(f.type, TensorType) else f
            for f, x in zip(found, inputs, strict=True)
        ]

    def R_op(self, inputs: list[Expr], eval_points: list[Expr | None]) -> list[Any]:
        node = self.make_node(*inputs)
        total: list[Any] = []
        for o, out in enumerate(node.outputs):
            terms = []
            for i, point in enumerate(eval_points):
                if point is not None:
                    given = [spread(as_expr(point), out) if k == o else out.zeros_like() for k in range(self.nout)]
                    terms.append(_at_arrays(self, inputs, node.outputs, given)[i])
            total.append(sum(terms[1:], terms[0]) if terms else None)
        return total

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        mine, theirs = dict(self.__dict__), dict(other.__dict__)
        for state in (mine, theirs):
            for derived in ("name", "_function"):
                state.pop(derived, None)
        return mine == theirs

    def __hash__(self) -> int:
        preference = getattr(self, "output_types_preference", 0)
        try:
            return hash((type(self), preference))
        except TypeError:
            return hash(type(self))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_function"}

    def __str__(self) -> str:
        if getattr(self, "name", None):
            return str(self.name)
        shown = {k: v for k, v in self.__dict__.items() if k not in ("name", "_function")}
        return f"{type(self).__name__}{{{', '.join(f'{k}={v}' for k, v in shown.items())}}}"


def _at_arrays(
    instance: ScalarOp, inputs: Sequence[Expr], outputs: Sequence[Expr], output_grads: Sequence[Expr]
) -> Any:
    """What the op's ``grad`` says of scalars, at arrays: one for each input, in the shape of the results."""
    arrays = [*inputs, *outputs, *output_grads]
    scalars = [variable(_scalar(a.type.dtype)) for a in arrays]
    n, m = len(inputs), len(inputs) + len(outputs)
    with without():
        found = instance.pullback(scalars[:n], scalars[n:m], scalars[m:])
    if not isinstance(found, (list, tuple)):
        return found
    plain = [as_expr(f) if isinstance(f, (int, float, complex, np.generic)) else f for f in found]
    placed = iter(substitute([f for f in plain if isinstance(f, Expr)], dict(zip(scalars, arrays, strict=True))))
    return [next(placed) if isinstance(f, Expr) else f for f in plain]


class UnaryScalarOp(ScalarOp):
    """A user's own op of one scalar."""

    nin = 1


class BinaryScalarOp(ScalarOp):
    """A user's own op of two scalars."""

    nin = 2


class LogicalComparison(BinaryScalarOp):
    """A comparison of two scalars; bool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def output_types(self, types: Sequence[TensorType]) -> Sequence[TensorType]:
        return [_scalar("bool")]

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        return [x.zeros_like() for x in inputs]


class FixedLogicalComparison(UnaryScalarOp):
    """A question about one scalar; bool."""

    def output_types(self, types: Sequence[TensorType]) -> Sequence[TensorType]:
        return [_scalar("bool")]

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        return [x.zeros_like() for x in inputs]


class UnaryBitOp(UnaryScalarOp):
    """An op on the bits of an integer."""

    def output_types(self, types: Sequence[TensorType]) -> Sequence[TensorType]:
        for t in types:
            if t.dtype in FLOATING or t.dtype in COMPLEX:
                raise FuseTypeError(f"an op on bits takes integers or bools, not {t.dtype}")
        return upcast_out(*types)

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        return [x.zeros_like() for x in inputs]


class BinaryBitOp(BinaryScalarOp):
    """An op on the bits of two integers."""

    output_types = UnaryBitOp.output_types
    grad = UnaryBitOp.grad
