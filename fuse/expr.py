"""Expr: the immutable, interned node of an expression graph, and iterative walks over graphs."""
from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import typebase
from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseError, FuseTypeError, Origin, user_line, with_context
from fuse.forks import lock_for_threads, new_identity
from fuse.trace import answered, by_untraced_user
from fuse.typebase import Type
from fuse.types import TensorType
from fuse.walks import leaves as leaves
from fuse.walks import toposort as toposort
from fuse.walks import transform as transform

if TYPE_CHECKING:
    from fuse.op import Op

_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
_LOCK = lock_for_threads()


class Expr:
    """A node: an op applied to argument nodes, with parameters; a leaf has no arguments.

    Nodes are interned, so two expressions of the same structure are the same object and ``==`` is identity
    (``eq`` compares elementwise). ``name``, ``tag`` and the user's own attributes are notes on a node, no part of
    its structure.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> x + 1 is x + 1
    True
    """

    __slots__ = ("op", "args", "params", "type", "name", "origin", "_tag", "_cache", "__weakref__", "__dict__")

    op: Op
    args: tuple[Expr, ...]
    params: Mapping[str, Any]
    type: TensorType
    name: str | None
    origin: Origin | None
    _tag: SimpleNamespace | None
    _cache: dict[str, Any] | None  # what passes remember about the node (fuse.notes); a constant's data

    # NumPy gives way to us in ndarray + Expr.
    __array_priority__ = 1000

    def __new__(cls, type: Any = None, owner: Any = None, index: Any = None, name: str | None = None) -> Any:
        """Theano's ``Variable(type, None, None, name)``: a new input; everything else is made by operations."""
        if cls is Constant and isinstance(type, Type):  # Theano's ``Constant(type, data, name)``
            return typed_constant(type, owner, index or name)
        if cls is not Expr or owner is not None or not isinstance(type, Type):
            raise FuseTypeError("expressions are made by operations and constructors such as fuse.tensor.vector('x')")
        return variable(type, name)  # type: ignore[arg-type]

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.ndim

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        return self.type.broadcastable

    @property
    def tag(self) -> SimpleNamespace:
        """A place for the user's own notes on this node (``x.tag.test_value = ...``)."""
        if self._tag is None:
            self._tag = SimpleNamespace()
        return self._tag

    @property
    def is_leaf(self) -> bool:
        return self.op.kind == "leaf"

    def __reduce__(self) -> Any:
        from fuse.flat import flattened, unflattened

        return unflattened, (flattened(self),)

    def _leaf_state(self) -> Any:
        """What, besides the name, finds or makes this leaf again after unpickling."""
        if not isinstance(self.type, TensorType):
            return self.type, None, self.params["uid"]
        return self.type.dtype, self.type.shape, self.params["uid"]

    @staticmethod
    def _from_leaf_state(state: Any, name: str | None) -> Expr:
        type_: Any = state[0] if isinstance(state[0], Type) else TensorType(state[0], state[1])
        return leaf(TensorVariable, INPUT, type_, name, uid=state[2])

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Expr:
        """The same expression on copies of its shared variables, which have values of their own from then on."""
        copies: dict[Expr, Expr] = {}
        for node in toposort([self]):
            new = node._own_copy(memo) if node.is_leaf else rebuild(node, [copies[a] for a in node.args])
            new.name = new.name or node.name
            copies[node] = new
        return copies[self]

    def _own_copy(self, memo: dict[int, Any]) -> Expr:
        """What a leaf is in a deep copy: the same leaf where it holds no value that can change."""
        return self

    def __bool__(self) -> bool:
        """True in a user's lines, so that ``mask or T.matrix()`` asks whether there is one, as in Theano.

        Raises FuseTypeError for ``a < b``, ``T.all(m)``, in traces of jit, and where fuse itself asks (a flag).
        """
        asks = getattr(self.type, "dtype", "") == "bool" and (not self.ndim or self.op.name in ("lt", "le", "gt", "ge"))
        if (self.op.name == "input" or not asks) and by_untraced_user():
            return True
        if (answer := answered(self, bool)) is not None:
            return bool(answer)
        raise FuseTypeError(
            f"the truth of an expression is not known while it is built ({self}): use switch(condition, a, b) for a "
            f"choice per element, ifelse for one of whole values, (a < b) & (b < c) for `and` and chains, | for `or`, "
            f"maximum and minimum for max() and min(), .eval(...) for a value, `is not None` to ask if there is one"
        )

    if TYPE_CHECKING:  # operators and methods are attached by fuse.frontend from the op table

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Expr: ...
        def __radd__(self, other: Any) -> Expr: ...
        def __sub__(self, other: Any) -> Expr: ...
        def __rsub__(self, other: Any) -> Expr: ...
        def __mul__(self, other: Any) -> Expr: ...
        def __rmul__(self, other: Any) -> Expr: ...
        def __truediv__(self, other: Any) -> Expr: ...
        def __rtruediv__(self, other: Any) -> Expr: ...
        def __floordiv__(self, other: Any) -> Expr: ...
        def __mod__(self, other: Any) -> Expr: ...
        def __pow__(self, other: Any) -> Expr: ...
        def __neg__(self) -> Expr: ...
        def __matmul__(self, other: Any) -> Expr: ...
        def __getitem__(self, item: Any) -> Expr: ...
        def __lt__(self, other: Any) -> Expr: ...
        def __le__(self, other: Any) -> Expr: ...
        def __gt__(self, other: Any) -> Expr: ...
        def __ge__(self, other: Any) -> Expr: ...


class TensorVariable(Expr):
    """Theano's class of inputs and of what is computed: neither constants nor shared variables are such.

    Libraries of layers tell by it whether they were given an expression or parameters of their own. Subclasses make
    inputs with attributes and methods of their own, as random variables of a model are; what is computed from them is
    of no subclass. ``Apply(view_op, [x], [own])`` says that ``own``, which nothing has used yet, is ``x``.

    >>> import fuse, fuse.tensor as T
    >>> x, w = T.vector("x"), fuse.shared([1.0, 2.0])
    >>> [isinstance(v, T.TensorVariable) for v in (x, x + w, w, T.constant(1.0), 1.0)]
    [True, True, False, False, False]
    >>> class Parameter(T.TensorVariable):
    ...     def __init__(self, name, width):
    ...         super().__init__(T.dscalar, name=name)
    ...         self.width = width
    >>> p = Parameter("p", 0.5)
    >>> p.width, isinstance(p * 2, Parameter), float((p * 2).eval({p: 3.0}))
    (0.5, False, 6.0)
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An input whose type ``__init__`` will tell."""
        made: Any = leaf(cls, INPUT, None, None)  # type: ignore[arg-type]
        del made.type
        return made

    def __init__(self, type: Any, owner: Any = None, index: Any = None, name: str | None = None) -> None:
        if owner is not None or not isinstance(type, Type):
            raise FuseTypeError(
                f"variables of a class of one's own are made of a type, TensorVariable(type, None, None, name), not of "
                f"{owner if owner is not None else type!r:.60}; Apply(op, inputs, [variable]) says what computes one"
            )
        self.type, self.name = type, None if name is None else str(name)  # type: ignore[assignment]


class Constant(Expr):
    """A leaf with a value known at build time; ``data`` is a read-only array.

    >>> import fuse.tensor as T
    >>> c = T.constant([1.0, 2.0])
    >>> isinstance(c, Constant), c.data
    (True, array([1., 2.]))
    """

    __slots__ = ()

    def __new__(cls, type: Any, data: Any, name: str | None = None) -> Any:
        """Theano's ``Constant(type, data)``."""
        return type.make_constant(data, name)

    @property
    def tag(self) -> SimpleNamespace:
        """As of other expressions, with the value as test value while these are computed: sizes may be constants."""
        if self._tag is None and attach_test_value is not None:
            self._tag = SimpleNamespace(test_value=self.data)
        return super().tag

    @property
    def data(self) -> np.ndarray[Any, Any]:
        return self._cache["data"]  # type: ignore[index]

    value = data

    def _leaf_state(self) -> Any:
        return self.data if isinstance(self.type, TensorType) else (self.type, self.data)

    @staticmethod
    def _from_leaf_state(state: Any, name: str | None) -> Expr:
        return typed_constant(state[0], state[1], name) if isinstance(state, tuple) else constant(state, name=name)


interned: weakref.WeakValueDictionary[Any, Expr] = weakref.WeakValueDictionary()


class _Place(threading.local):
    """The user's line that new nodes stand for, while a pass makes them; None: the line that runs."""

    origin: Origin | None = None


PLACE = _Place()


def _new(cls: type[Expr], op: Op, args: tuple[Expr, ...], params: Mapping[str, Any], type_: TensorType) -> Expr:
    node = object.__new__(cls)
    node.op = op
    node.args = args
    node.params = params
    node.type = type_
    node.name = None
    node.origin = PLACE.origin or user_line(3)
    node._tag = None
    node._cache = None
    return node


# Computes the test value of a node; set by fuse.testvalues while config.compute_test_value asks for it.
attach_test_value: Callable[[Expr], None] | None = None


def make(op: Op, args: tuple[Expr, ...], params: Mapping[str, Any] = _NO_PARAMS) -> Expr:
    """The node of ``op`` on ``args``: the existing one of the same structure, or a new one with its type inferred."""
    key = (op, args, tuple(sorted(params.items())) if params else ())
    node = interned.get(key)
    if node is None:
        try:
            type_ = op.infer_type(*args, **params)
        except FuseError as error:
            raise with_context(error, op.name, args) from None
        with _LOCK:
            frozen = MappingProxyType(dict(params)) if params else _NO_PARAMS
            node = interned.setdefault(key, _new(TensorVariable, op, args, frozen, type_))
    if (attach := attach_test_value) is not None:  # read once: another thread may switch it off
        attach(node)
    return node


def rebuild(node: Expr, args: Sequence[Expr]) -> Expr:
    """``node`` with other arguments (of possibly other types); ``node`` itself where they are the same."""
    args = tuple(args)
    if args == node.args:
        return node
    new = make(node.op, args, node.params)
    if new.origin is None or node.origin is not None:
        new.origin = node.origin or new.origin
    return new


# ---------------------------------------------------------------- leaves
class LeafOp:
    """The op of a leaf: it has a name and a kind, and its type is given, never inferred."""

    kind = "leaf"
    numpy = kernel = grad = define = shape = sympy = latex = symbol = jvp = host = integers_from = None
    stateful = linear = False
    doc = ""
    traits: frozenset[str] = frozenset()
    precedence = 0
    nargs = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.meta: dict[str, Any] = {}

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _leaf_op, (self.name,)


INPUT: Any = LeafOp("input")
CONSTANT: Any = LeafOp("constant")
SHARED: Any = LeafOp("shared")


def _leaf_op(name: str) -> Any:
    return {"input": INPUT, "constant": CONSTANT, "shared": SHARED}[name]


def leaf(cls: type[Expr], op: Any, type_: TensorType, name: str | None, uid: str | None = None) -> Expr:
    """A leaf with its own identity; ``uid`` finds it again after unpickling."""
    uid = uid or new_identity()
    key = (op, uid)
    with _LOCK:
        node = interned.get(key)
        if node is None:
            node = _new(cls, op, (), MappingProxyType({"uid": uid}), type_)
            node.name = None if name is None else str(name)
            interned[key] = node
    return node


def variable(type_: TensorType, name: str | None = None) -> Expr:
    """A new input variable of ``type_``."""
    return leaf(TensorVariable, INPUT, type_, name)


typebase.input_maker = variable


@also(x="value")
def constant(value: Any, name: str | None = None, dtype: Any = None, ndim: int | None = None) -> Constant:
    """A constant from a number (dtype as small as it can be), an array or a nested list.

    >>> constant(1).dtype, constant(0.1).dtype, constant(np.arange(3.0)).type
    ('int8', 'float64', TensorType(float64, (3,)))
    """
    if isinstance(value, Constant) and dtype is None and ndim in (None, value.type.ndim):
        return value
    value = value.data if isinstance(value, Constant) else value
    if dtype is None and isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        dtype = ty.constant_dtype(value)
    ty.refuse_masked(value)
    try:
        data = np.array(value, dtype=None if dtype is None else ty.dtype_name(dtype))
    except (ValueError, TypeError) as error:
        raise FuseTypeError(f"cannot make a constant of {type(value).__name__}: {error}") from None
    if data.dtype.kind not in "biufc":
        kind, text = type(value).__name__, f"{value!r:.80}"
        if type(value).__module__.startswith("sympy"):
            text += "; from_sympy(expression, {symbol: variable}) makes one of SymPy's"
        if data.dtype.name == "bfloat16":
            text += f"; {ty.BFLOAT16}"
        raise FuseTypeError(f"{kind} is neither a number, an array of numbers nor an expression: {text}")
    data = np.ascontiguousarray(data, data.dtype.newbyteorder("=")).reshape(data.shape)
    if dtype is None and data.ndim and not isinstance(value, np.ndarray) and (data.dtype.kind == "i" or not data.size):
        data = data.astype({"i": "int64", "f": ty.dtype_name("floatX")}.get(data.dtype.kind, data.dtype))
    if ndim is not None and ndim != data.ndim:  # axes of size 1 come or go in front
        data = data.reshape((1,) * (ndim - data.ndim) + data.shape[max(data.ndim - ndim, 0) :])
    data.flags.writeable = False
    type_ = TensorType(data.dtype, data.shape)
    key = (CONSTANT, type_, data.tobytes(), name)
    node = interned.get(key)
    if node is None:
        with _LOCK:
            node = _new(Constant, CONSTANT, (), _NO_PARAMS, type_)
            node._cache = {"data": data}
            node.name = name
            node = interned.setdefault(key, node)
    return node  # type: ignore[return-value]


def typed_constant(type_: Any, value: Any, name: str | None = None) -> Expr:
    """A constant of this type, of any object where it is no type of arrays."""
    data = type_.filter(value)
    if isinstance(type_, TensorType):
        return constant(data, name=name)
    node = leaf(Constant, CONSTANT, type_, name)
    node._cache = {"data": data}
    return node


typebase.constant_maker = typed_constant


# Lists that hold expressions become a stack; set by fuse.frontend.shape, which comes later in the order of imports.
stack_of_list: Callable[[Any], Expr] | None = None


def as_expr(value: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Expr:
    """``value`` as an expression: itself, a constant, or a stack of a list that holds expressions."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, (list, tuple)) and holds_expr(value):
        assert stack_of_list is not None
        return stack_of_list(value)
    converted = getattr(value, "_as_expr_", None) or getattr(value, "_as_TensorVariable", None)
    if converted is not None:
        return converted()
    return constant(value, name=name, ndim=ndim, dtype=dtype)


def holds_expr(value: Any) -> bool:
    """Whether a value, or a list or tuple of any depth, has an expression in it."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Expr):
            return True
        if isinstance(item, (list, tuple)):
            stack.extend(item)
    return False


def substitute(outputs: Sequence[Expr], replacements: Mapping[Expr, Expr]) -> list[Expr]:
    """``outputs`` with each key of ``replacements`` replaced by its value; replacements are not searched again."""
    if not replacements:
        return list(outputs)
    new: dict[Expr, Expr] = dict(replacements)
    for node in toposort(outputs, known=replacements):
        new[node] = rebuild(node, [new[a] for a in node.args]) if node.args else node
    return [new.get(o, o) for o in outputs]
