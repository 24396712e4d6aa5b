"""Ops as classes, Theano's way: Op, as_op, and the adapter from an instance to the op record."""
from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from fuse.errors import (
    DTypeError,
    FuseError,
    FuseTypeError,
    FuseValueError,
    MethodNotDefined,
    ShapeError,
    runtime_error,
    user_line,
)
from fuse.expr import Constant, Expr, as_expr, constant, make, variable
from fuse.frontend.apply import Apply
from fuse.frontend.sizes import constant_value
from fuse.op import DISCONNECTED, OPS, USERS
from fuse.op import Op as OpRecord
from fuse.typebase import Type, equal_props, props
from fuse.types import TensorType, TupleType, shape_text


class Op:
    """Base of a user's own op: ``make_node`` says the types, ``perform`` computes with NumPy.

    ``__props__`` names the attributes that tell instances apart: it makes ``==``, ``hash`` and ``str``, and equal ops
    on equal inputs are computed once. ``grad`` (or ``L_op``), ``R_op`` and ``infer_shape`` are optional. An op that
    works element by element is shorter, and fast, as a function under ``@fuse.elementwise``.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> class Scale(fuse.Op):
    ...     __props__ = ("factor",)
    ...     def __init__(self, factor):
    ...         self.factor = factor
    ...     def make_node(self, x):
    ...         x = T.as_tensor_variable(x)
    ...         return fuse.Apply(self, [x], [x.type()])
    ...     def perform(self, node, inputs, output_storage):
    ...         output_storage[0][0] = self.factor * inputs[0]
    ...     def grad(self, inputs, output_grads):
    ...         return [self.factor * output_grads[0]]
    >>> print(Scale(3))
    Scale{factor=3}
    >>> x = T.dvector("x")
    >>> Scale(3)(x) is Scale(3)(x)
    True
    >>> Scale(3)(x).eval({x: [1, 2]})
    array([3., 6.])
    """

    __props__: tuple[str, ...]
    itypes: Sequence[Type] | None = None
    otypes: Sequence[Type] | None = None
    default_output: int | None = None
    view_map: dict[int, list[int]] = {}
    destroy_map: dict[int, list[int]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "__props__" not in own:
            if "__init__" in own and "__eq__" not in own and cls.__eq__ is equal_props:
                # The inherited __props__ do not know what this __init__ sets: equality by them merges different ops.
                cls.__eq__, cls.__hash__ = object.__eq__, object.__hash__  # type: ignore[method-assign]
            return
        if not isinstance(own["__props__"], tuple) or not all(isinstance(p, str) for p in own["__props__"]):
            raise FuseTypeError(f"{cls.__name__}.__props__ is a tuple of attribute names, not {own['__props__']!r}")
        for name, method in (("__eq__", equal_props), ("__hash__", _hash), ("__str__", _text)):
            other_equality = "__eq__" in own and own["__eq__"] is not equal_props
            if own.get(name) is None and not (name == "__hash__" and other_equality):
                setattr(cls, name, method)

    def make_node(self, *inputs: Any) -> Apply:
        """The application to these inputs; by default from ``itypes`` and ``otypes``."""
        if self.itypes is None or self.otypes is None:
            raise MethodNotDefined(f"{type(self).__name__} needs make_node, or both itypes and otypes")
        if len(inputs) != len(self.itypes):
            raise FuseTypeError(f"{self} takes {len(self.itypes)} inputs, not {len(inputs)}")
        args = [_as_type(self, i, x, t) for i, (x, t) in enumerate(zip(inputs, self.itypes, strict=True))]
        return Apply(self, args, [t() for t in self.otypes])

    def __call__(self, *inputs: Any, return_list: bool = False, name: str | None = None, **kwargs: Any) -> Any:
        """The op's output on these inputs: one expression, or a list where it has several."""
        node = self.make_node(*inputs, **kwargs)
        if not isinstance(node, Apply):
            raise FuseTypeError(f"{type(self).__name__}.make_node returned {type(node).__name__}; it returns an Apply")
        if node.is_new:  # the line that applied the op, not the one in make_node
            for made in (node.node, *node.outputs):
                made.origin = user_line(2)
        if name is not None:
            (node.out if self.default_output is not None else node.outputs[0]).name = name
        if return_list or self.default_output is None and len(node.outputs) != 1:
            return list(node.outputs)
        return node.default_output()

    # Text that says why no gradient passes, for an op whose results move in jumps: also where they are integers.
    without_gradient: str | None = None
    # Whether ``perform`` sees to it that its results have the sizes that ``make_node`` states.
    exact_types = False

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute: read the arrays ``inputs``, put the results into ``output_storage[i][0]``."""
        raise MethodNotDefined(
            f"{type(self).__name__} has no perform(node, inputs, output_storage): write it with NumPy, or write the op "
            f"as a function under @fuse.elementwise (C code is not used)"
        )

    def numba_perform(self, node: Apply) -> Callable[..., None] | None:
        """A function for Numba to compile, so that loops with this op are compiled; None, the default: there is none.

        It takes the inputs, numbers for 0-d ones and read-only arrays for others, and then an array for each output,
        of the shape that ``infer_shape`` tells, and writes the results there (``out[...] = ...``, or ``out[()] = ...``
        where it is 0-d). Outside of loops `perform` is called; both must mean the same.
        """
        return None

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        """The gradients with respect to ``inputs``, from those with respect to the outputs."""
        raise MethodNotDefined(
            f"{type(self).__name__} has no grad(inputs, output_grads): write it, or use disconnected_grad"
        )

    def L_op(self, inputs: list[Expr], outputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        """As ``grad``, with the op's outputs at hand."""
        if type(self).pullback is not Op.pullback:
            return self.pullback(inputs, outputs, output_grads)
        return self.grad(inputs, output_grads)

    def pullback(self, inputs: list[Expr], outputs: list[Expr], cotangents: list[Expr]) -> list[Any]:
        """What PyTensor calls ``L_op``: an op writes one of them, or ``grad``."""
        return self.L_op(inputs, outputs, cotangents)

    def pushforward(self, inputs: list[Expr], outputs: list[Expr], tangents: list[Expr]) -> list[Any]:
        """The tangents of the outputs, in PyTensor's way: where there is none it is a variable of DisconnectedType."""
        return self.R_op(inputs, [None if _is_absent(t) else t for t in tangents])

    def _pullback(self, inputs: list[Expr], outputs: list[Expr], output_grads: list[Expr]) -> Any:
        return self.L_op(inputs, outputs, output_grads)

    def R_op(self, inputs: list[Expr], eval_points: list[Expr | None]) -> list[Any]:
        """The tangents of the outputs, from those of the inputs (None: no tangent)."""
        if type(self).pushforward is not Op.pushforward:
            return self._pushed(inputs, self.make_node(*inputs).outputs, eval_points)
        raise MethodNotDefined(
            f"{type(self).__name__} has no R_op(inputs, eval_points): write it, or take the gradient, which needs grad"
        )

    def _pushed(self, inputs: list[Expr], outputs: Sequence[Expr], tangents: Sequence[Expr | None]) -> list[Any]:
        """The tangents of ``outputs`` by the method that the op has written."""
        if type(self).pushforward is Op.pushforward:
            return self.R_op(inputs, list(tangents))
        given = [import_module(_ABSENT).DisconnectedType()() if t is None else t for t in tangents]
        return self.pushforward(inputs, list(outputs), given)

    def _record(self) -> ClassRecord:
        return record_of(self)

    def _node_of(self, args: tuple[Expr, ...], types: Sequence[TensorType]) -> Expr:
        """The node of this op on ``args``, with outputs of ``types`` as ``make_node`` stated them."""
        record = record_of(self)
        # Theano's types know size 1 and no other: a size taken over from an input says nothing about perform.
        loose = tuple(types if self.exact_types else map(_loose, types))
        record.meta["types"][_type_key(args)] = loose[0] if len(loose) == 1 else TupleType(loose)
        return make(record, args)


_ABSENT = "fuse.autodiff.absent"


def _is_absent(gradient: Any) -> bool:
    return bool(import_module(_ABSENT).is_disconnected(gradient))


def _loose(type_: Any) -> Any:
    return TensorType(type_.dtype, [1 if n == 1 else None for n in type_.shape]) if _is_array(type_) else type_


def _is_array(type_: Any) -> bool:
    return isinstance(type_, TensorType)


def _hash(self: Op) -> int:
    try:
        return hash(props(self))
    except TypeError as error:
        text = f"the __props__ of {_text(self)} must be hashable (tuples, not lists or arrays): {error}"
        raise FuseTypeError(text) from None


def _text(self: Op) -> str:
    listed = ", ".join(f"{name}={getattr(self, name, '?')!r}" for name in self.__props__)
    return f"{type(self).__name__}{{{listed}}}" if listed else type(self).__name__


def _as_type(op: Op, index: int, value: Any, want: Any) -> Expr:
    x = as_expr(value)
    if x.type == want or _is_array(want) and _is_array(x.type) and want.is_super(x.type):
        return x
    if isinstance(x, Constant):
        try:
            return constant(want.filter(x.data))
        except FuseError:
            pass
    raise FuseTypeError(f"input {index} of {op} is a {want.describe()}, not a {x.type.describe()}")


# ---------------------------------------------------------------- from an instance to the record of fuse.op
class ClassRecord(OpRecord):
    """The record of a user's op; ``meta["instance"]`` is the op itself."""

    def __reduce__(self) -> Any:
        return record_of, (self.meta["instance"],)


def _numba_function(node: Expr) -> Callable[..., None] | None:
    view = Apply._view(node)
    return view.op.numba_perform(view)


_NUMBA: dict[str, Any] = {"numba": _numba_function}
_records: weakref.WeakValueDictionary[Op, ClassRecord] = weakref.WeakValueDictionary()


def record_of(instance: Op) -> ClassRecord:
    """The op record of a class op: one for all equal instances, so that equal applications are one node."""
    record = _records.get(instance)
    if record is None:
        cls = type(instance)
        has_grad = any(getattr(cls, name) is not getattr(Op, name) for name in ("grad", "L_op", "pullback"))
        has_tangents = any(getattr(cls, name) is not getattr(Op, name) for name in ("R_op", "pushforward"))
        record = ClassRecord(
            name=USERS + (str(instance) if cls.__str__ is not object.__str__ else cls.__name__),
            kind="opaque",
            numpy=_unbound(instance),
            bind=_bind,
            infer=lambda *args: _infer(instance, args),
            shape=_shape if hasattr(instance, "infer_shape") else None,
            grad=_grad if has_grad else None,
            jvp=_jvp if has_tangents else None,
            doc=inspect.cleandoc(cls.__doc__ or ""),
            meta={"instance": instance, "types": {}} | ({} if cls.numba_perform is Op.numba_perform else _NUMBA),
        )
        if instance.without_gradient is not None:
            record.meta["undefined"] = instance.without_gradient
        record = _records.setdefault(instance, record)
    return record


def _type_key(args: Sequence[Expr]) -> tuple[Any, ...]:
    return tuple(a if isinstance(a, Constant) else a.type for a in args)


def _infer(instance: Op, args: tuple[Expr, ...]) -> Any:
    types = record_of(instance).meta["types"]
    key = _type_key(args)
    if key not in types:  # arguments of new types, from a substitution
        node = instance.make_node(*args)
        if tuple(node.inputs) != args:
            raise FuseTypeError(f"{instance} converts inputs of these types: apply it anew, not by replacement")
    return types[key]


def _bind(node: Expr) -> Callable[..., Any]:
    """``perform`` as a function of arrays, with the node's types at hand and results of its own memory."""
    view = Apply._view(node)
    instance = view.op
    types = [o.type for o in view.outputs]
    destroyed = {i for inputs in instance.destroy_map.values() for i in inputs}

    own_perform = type(instance).perform is not Op.perform or not hasattr(instance, "make_thunk")
    run = instance.perform if own_perform else partial(_thunk, instance)

    def call(*arrays: Any) -> Any:
        inputs: list[Any] = []
        for i, (a, arg) in enumerate(zip(arrays, node.args, strict=True)):
            value = np.asarray(a) if _is_array(arg.type) else a
            inputs.append(arg.type.copied(value) if i in destroyed else value)
        storage: list[list[Any]] = [[None] for _ in types]
        try:
            run(view, inputs, storage)
        except (FuseError, *getattr(instance, "passed_on", ())):  # raised for the user of the function
            raise
        except Exception as error:
            text = f"{type(instance).__name__}.perform raised {type(error).__name__}: {error}"
            shapes = [np.shape(a) for a in arrays]
            kind = _perform_error(type(error))  # type: ignore[arg-type]
            raise runtime_error(kind, text, str(node.op), shapes, node.origin) from error
        results = [_result(node, i, cell[0], t, inputs) for i, (cell, t) in enumerate(zip(storage, types, strict=True))]
        return results[0] if not isinstance(node.type, TupleType) else results

    return call


def _thunk(instance: Any, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
    """Compute with Theano's ``make_thunk``, for ops that have it in place of ``perform``."""
    cells: dict[Expr, list[Any]] = dict(zip(node.inputs, [[value] for value in inputs], strict=True))
    cells.update(zip(node.outputs, output_storage, strict=True))
    instance.make_thunk(node, cells, {v: [v not in node.outputs] for v in cells}, [])()


def _result(node: Expr, index: int, value: Any, want: TensorType, inputs: Sequence[Any]) -> Any:
    """What ``perform`` stored, as a fresh array of the stated type."""
    where = f"output {index} of {node.op}"

    def wrong(kind: type[FuseError], text: str) -> FuseError:
        return runtime_error(kind, text, str(node.op), [np.shape(a) for a in inputs], node.origin)

    if value is None:
        raise wrong(FuseValueError, f"perform left {where} empty: store the result in output_storage[{index}][0]")
    if not _is_array(want):
        return want.filter(value)
    array = np.asarray(value)
    if array.dtype != want.numpy_dtype:
        if not np.can_cast(array.dtype, want.numpy_dtype, "same_kind"):
            raise wrong(DTypeError, f"{where} is {array.dtype}, make_node said {want.dtype}")
        array = array.astype(want.dtype)
    if array.ndim != want.ndim:
        raise wrong(ShapeError, f"{where} has shape {array.shape}, make_node said a {want.describe()}")
    if any(n is not None and have != n for n, have in zip(want.shape, array.shape, strict=True)):
        raise wrong(ShapeError, f"{where} has shape {array.shape}, make_node said {shape_text(want.shape)}")
    given = [a for a in inputs if isinstance(a, np.ndarray)]
    if any(np.may_share_memory(array, a) for a in given):  # a view_map, or an input handed back
        array = array.copy()
    return array


def _unbound(instance: Op) -> Callable[..., Any]:
    """``perform`` where only arrays are known: the types are read from them."""

    def call(*arrays: Any) -> Any:
        shapes = [[1 if n == 1 else None for n in np.shape(a)] for a in arrays]
        types = [TensorType(np.asarray(a).dtype, s) for a, s in zip(arrays, shapes, strict=True)]
        return _bind(instance.make_node(*map(variable, types)).node)(*arrays)

    return call


class PerformError(FuseError):
    """A user's op failed while it ran; also of the class of the original error, which is its ``__cause__``."""

    def __str__(self) -> str:  # KeyError would show the message quoted
        return str(self.args[0])


_CATCHABLE = (
    ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, FloatingPointError, ArithmeticError,
    NotImplementedError, AssertionError, AttributeError, np.linalg.LinAlgError, MemoryError, LookupError,
    RecursionError, RuntimeError,
)


@cache
def _perform_error(kind: type[Exception]) -> type[FuseError]:
    known = next((k for k in kind.__mro__ if k in _CATCHABLE), None)
    return PerformError if known is None else type("PerformError", (PerformError, known), {"__module__": __name__})


def _grad(g: Any, out: Expr, *args: Expr) -> tuple[Any, ...]:
    """The record's gradient rule, from ``L_op`` or ``grad``; ``g`` is a tuple where the op has several outputs."""
    view = Apply._view(out)
    instance = view.op
    cotangents = list(g) if isinstance(out.type, TupleType) else [g]
    pattern = instance.connection_pattern(view) if hasattr(instance, "connection_pattern") else None
    given = [c is not DISCONNECTED for c in cotangents]
    filled = [c if has else _zeros(o) for c, o, has in zip(cotangents, view.outputs, given, strict=True)]
    found = instance._pullback(list(args), list(view.outputs), filled)
    method = f"{type(instance).__name__}.grad"
    if found is None:
        raise FuseTypeError(f"{method} returned None: it returns a list with one gradient for each input")
    if not isinstance(found, (list, tuple)) or len(found) != len(args):
        count = f"{len(found)} gradients" if isinstance(found, (list, tuple)) else type(found).__name__
        raise FuseValueError(f"{method} returned {count} for {len(args)} inputs: it returns a list with one for each")
    result: list[Any] = []
    for i, term in enumerate(found):
        if pattern is not None and not any(c and has for c, has in zip(pattern[i], given, strict=True)):
            result.append(DISCONNECTED)
        elif term is None:
            raise FuseTypeError(
                f"{method} returned None for input {i}: return zeros_like(input), DisconnectedType()() where the "
                f"output does not depend on it, or grad_undefined(self, {i}, input) where there is no gradient"
            )
        else:
            result.append(constant(term) if isinstance(term, (int, float, complex, np.ndarray, np.generic)) else term)
    return tuple(result)


def _zeros(like: Expr) -> Any:
    if not _is_array(like.type):
        return DISCONNECTED
    dtype = like.dtype if like.dtype in ("float16", "float32", "float64", "complex64", "complex128") else "float64"
    return OPS["fill"](like, constant(0, dtype=dtype))


def _jvp(tangents: Sequence[Expr | None], out: Expr, *args: Expr) -> Any:
    """The record's forward rule, from ``R_op``: one tangent, or a tuple where the op has several outputs."""
    view = Apply._view(out)
    found = view.op._pushed(list(args), view.outputs, tangents)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    if len(found) != len(view.outputs):
        method = f"{type(view.op).__name__}.R_op"
        raise FuseValueError(f"{method} returned {len(found)} tangents for {len(view.outputs)} outputs")
    return tuple(found) if isinstance(out.type, TupleType) else found[0]


def _shape(node: Expr, *arg_shapes: tuple[Any, ...]) -> Any:
    """The record's shape rule, from ``infer_shape``."""
    view = Apply._view(node)
    instance = view.op
    given = [s and tuple(as_expr(np.int64(n)) if isinstance(n, int) else n for n in s) for s in arg_shapes]
    # PyTensor passes the graph first
    found = instance.infer_shape(*([None] if _takes_graph(instance.infer_shape) else []), view, given)
    if len(found) != len(view.outputs):
        method = f"{type(instance).__name__}.infer_shape"
        raise FuseValueError(f"{method} gave {len(found)} shapes for {len(view.outputs)} outputs")
    shapes = [s and tuple(_size(n) for n in s) for s in found]
    return tuple(shapes) if isinstance(node.type, TupleType) else shapes[0]


def _takes_graph(infer_shape: Callable[..., Any]) -> bool:
    """Whether it is infer_shape(fgraph, node, shapes), not infer_shape(node, shapes)."""
    given = inspect.signature(infer_shape).parameters.values()
    return sum(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in given) > 2


def _size(n: Any) -> Any:
    if isinstance(n, Expr):
        known = constant_value(n)
        if known is not None:
            return int(known)
        return n if n.dtype == "int64" else OPS["cast"](n, dtype="int64")
    return int(n)
