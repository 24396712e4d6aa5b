"""The operators and methods of expressions, as tables of the functions they call."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import ModuleType
from typing import Any

import numpy as np

from fuse.errors import FuseAttributeError, FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, as_expr
from fuse.frontend import (
    axes,
    creation,
    elementwise,
    indexing,
    layout,
    linalg,
    nonzero,
    rearrange,
    reductions,
    scans,
    selecting,
    sizes,
    sorting,
    statistics,
)
from fuse.frontend.elementwise import cast
from fuse.frontend.numpy_protocol import array_function, refuse_complex
from fuse.frontend.weak import as_numpy_does
from fuse.trace import TRACE, answered, by_user
from fuse.types import DISCRETE, INTEGER

# Python's operators. Each also gets its reflected form where it has one: __radd__(x, y) is add(y, x).
BINARY: dict[str, Callable[..., Any]] = {
    "add": elementwise.add, "sub": elementwise.sub, "mul": elementwise.mul, "truediv": elementwise.true_div,
    "floordiv": elementwise.int_div, "mod": elementwise.mod, "divmod": elementwise.divmod, "and": elementwise.and_,
    "or": elementwise.or_, "xor": elementwise.xor, "lshift": elementwise.left_shift,
    "rshift": elementwise.right_shift, "matmul": linalg.matmul,
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": elementwise.neg, "abs": elementwise.abs, "invert": elementwise.invert, "floor": elementwise.floor,
    "ceil": elementwise.ceil, "trunc": elementwise.trunc,
}
COMPARISONS: dict[str, Callable[..., Any]] = {
    "lt": elementwise.lt, "le": elementwise.le, "gt": elementwise.gt, "ge": elementwise.ge,
}
TOLD = ("builtins", "decimal", "fractions", "numpy", "sympy")  # of whose numbers and arrays an error says more
TURNED = {"__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__"}

# Methods that are the function of the same name, with the expression as its first argument.
METHODS: dict[ModuleType, str] = {
    elementwise: """
        abs ceil clip conj conjugate cos cosh deg2rad exp exp2 expm1 floor log log10 log1p log2 rad2deg round sgn sin
        sinh sqrt sqr tan tanh trunc arccos arccosh arcsin arcsinh arctan arctanh isnan isinf isfinite fill""",
    reductions: "sum prod max min all any",
    statistics: "mean var std ptp norm",
    scans: "argmax argmin cumsum cumprod",
    layout: "dimshuffle reshape diagonal",
    axes: "transpose swapaxes moveaxis squeeze flatten ravel",
    creation: "zeros_like ones_like full_like",
    rearrange: "repeat",
    linalg: "dot trace",
    nonzero: "nonzero",
    sorting: "sort argsort",
    selecting: "take choose compress nonzero_values searchsorted",
}

# Methods that in a traced function are NumPy's function of that name, with its arguments and dtypes.
NUMPYS = frozenset(
    "sum prod max min all any mean var std cumsum cumprod clip round compress reshape ravel flatten diagonal trace "
    "argmax argmin searchsorted repeat take choose".split()
)


def _astype(x: Expr, dtype: Any) -> Expr:
    """``x`` converted to ``dtype``, as ``cast``."""
    return cast(x, dtype)


def _copy(x: Expr, name: str | None = None) -> Expr:
    """``x``: expressions do not change, so one is its own copy. A result without a name takes ``name``."""
    if name is not None and x.name is None and not x.is_leaf:
        x.name = name
    return x


def _pow(x: Expr, y: Any, modulus: Any = None) -> Expr:
    if modulus is not None:
        raise FuseTypeError("pow with a modulus is not defined for expressions: write (x ** y) % m")
    if TRACE.active and by_user():
        if type(y) is int and y < 0 and x.type.dtype in DISCRETE:
            raise FuseValueError(f"integers to negative integer powers are not allowed: write {_short(x)} ** {y}.0")
        x, y = as_numpy_does(x, y)
    return _left(elementwise.pow, x, y, "__rpow__")


def _rpow(x: Expr, y: Any) -> Expr:
    if TRACE.active and by_user():
        x, y = as_numpy_does(x, y)
    return elementwise.pow(y, x)


def _equal(x: Expr, y: Any) -> Any:
    """Whether both are the same expression; in a traced function elementwise, as in NumPy."""
    if TRACE.active and by_user() and y is not None and not isinstance(y, str):
        return elementwise.eq(*as_numpy_does(x, y, compared=True))
    return x is y


def _unequal(x: Expr, y: Any) -> Any:
    if TRACE.active and by_user() and y is not None and not isinstance(y, str):
        return elementwise.neq(*as_numpy_does(x, y, compared=True))
    return x is not y


def _dtype(x: Expr) -> Any:
    """The name of the dtype; in a traced function NumPy's object."""
    return np.dtype(x.type.dtype) if TRACE.active and by_user() else x.type.dtype


def _at(x: Expr) -> Any:
    """Changed copies: ``x.at[index].set(y)``, ``.add(y)``, ..."""
    from fuse.frontend.at import At  # few programs use it

    return At(x)


def _shape(x: Expr) -> Any:
    """The sizes of the axes: an expression that is a vector; in a traced function a tuple, with known sizes as ints."""
    return sizes.sizes_of(x) if TRACE.active and by_user() else sizes.shape(x)


def _size(x: Expr) -> Any:
    """The number of elements."""
    if TRACE.active and by_user():
        return sizes.size_product(sizes.sizes_of(x))
    return sizes.size(x)


def _round(x: Expr, digits: int | None = None) -> Expr:
    if digits and TRACE.active and by_user():
        return array_function(x, np.round, (), (x, digits), {})
    if digits:
        raise FuseValueError(f"round to {digits} digits: write round(x * {10**digits}) / {10**digits}")
    return elementwise.round(x)


# ---------------------------------------------------------------- what Python asks of a container or a number
def _len(x: Expr) -> int:
    if x.type.ndim == 0:
        raise FuseTypeError("a 0-d expression has no length")
    n = x.type.shape[0]
    if n is None:
        raise FuseTypeError(f"{_called(x)} has a length only at run time: use {_short(x)}.shape[0]")
    return n


def _iter(x: Expr) -> Iterator[Expr]:
    if x.type.ndim == 0:
        raise FuseTypeError("a 0-d expression is not iterable")
    n = x.type.shape[0]
    if n is None:
        raise FuseTypeError(
            f"{_called(x)} has a length that is not known while the graph is built, so a Python loop cannot run over "
            f"it: use whole-array operations or scan, or declare the length with specify_shape"
        )
    return iter([x[i] for i in range(n)])


def _contains(x: Expr, item: Any) -> bool:
    raise FuseTypeError(
        f"whether an expression contains a value is not known while it is built: write any(eq({_short(x)}, value))"
    )


def _setitem(x: Expr, index: Any, value: Any) -> None:
    raise FuseTypeError(
        f"expressions do not change, so nothing can be stored in {_called(x)}: write {_short(x)} = "
        f"{_short(x)}.at[index].set(value), or .add(value) for += (fuse.tensor has set_subtensor({_short(x)}[index], "
        f"value) and inc_subtensor)"
    )


def _number(convert: type) -> Callable[[Expr], Any]:
    def method(x: Expr) -> Any:
        if isinstance(x, Constant) and x.type.ndim == 0:
            return convert(x.data[()])
        lossless = convert is int or convert is float and x.type.dtype in DISCRETE  # what has no derivative
        if lossless and (found := answered(x, convert)) is not None:
            return found
        hint = {int: f"cast({_short(x)}, 'int64')", float: f"cast({_short(x)}, 'float64')"}.get(convert, _short(x))
        raise FuseTypeError(
            f"{_called(x)} has no value while the graph is built, so {convert.__name__}() cannot give one: write "
            f"{hint} for an expression, or {_short(x)}.eval({{...}}) for a value"
        )

    return method


def _index(x: Expr) -> int:
    if isinstance(x, Constant) and x.type.ndim == 0 and x.data.dtype.kind in "iu":
        return int(x.data)
    if x.type.dtype in INTEGER and (found := answered(x, int)) is not None:
        return int(found)
    raise FuseTypeError(
        f"{_called(x)} has no value while the graph is built, so it cannot be a Python index, a count for range() or a "
        f"size for NumPy: index expressions with it (as_tensor_variable(a)[{_short(x)}]), use arange or scan, or "
        f"{_short(x)}.eval({{...}})"
    )


def _format(x: Expr, spec: str) -> str:
    if isinstance(x, Constant) and x.type.ndim == 0:
        return format(x.data[()], spec)
    if spec:
        raise FuseTypeError(
            f"{_called(x)} has no value while the graph is built that could be written as {spec!r}: write "
            f"{_short(x)}.eval({{...}}) for a value, or give none of it for the formula"
        )
    return _text(x)


def _no_attribute(x: Expr, name: str) -> Any:
    if name in (methods := object.__getattribute__(x, "type").methods):
        return partial(methods[name], x)
    if hasattr(type(x), name):  # a property that raises: in its own words
        return object.__getattribute__(x, name)
    raise FuseAttributeError(name)


def _short(x: Expr) -> str:
    return x.name or "x"


def _called(x: Expr) -> str:
    return f"the expression {x.name}" if x.name else f"an expression ({x.type.describe()})"


def _text(x: Expr) -> str:
    from fuse.printing import short_text  # loaded when something is first printed

    return short_text(x)


def _answers(other: Any, name: str) -> bool:
    """Whether an object of a class of the user's own defines the operator ``name``: then it is asked next."""
    kind = type(other)
    if isinstance(other, Expr) or kind.__module__.partition(".")[0] in TOLD:
        return False
    return getattr(kind, name, None) is not getattr(object, name, None)


def _left(function: Callable[..., Any], x: Expr, y: Any, other: str) -> Any:
    """``function`` of an operator's operands; NotImplemented leaves it to ``other`` of the right one, which has it."""
    try:
        return function(x, y)
    except FuseTypeError:
        if _answers(y, other):
            return NotImplemented
        raise


PROPERTIES: dict[str, Callable[[Expr], Any]] = {
    "shape": _shape, "size": _size, "T": axes.transpose, "mT": axes.matrix_transpose,
    "real": elementwise.real, "imag": elementwise.imag, "at": _at, "dtype": _dtype,
}
OTHERS: dict[str, Any] = {
    "__repr__": _text, "__str__": _text, "__getitem__": indexing.getitem, "set": indexing.set_method,
    "inc": indexing.inc_method, "astype": _astype,
    "copy": _copy, "__pow__": _pow, "__rpow__": _rpow, "__pos__": as_expr, "__round__": _round,
    "__len__": _len, "__eq__": _equal, "__ne__": _unequal, "__format__": _format, "__getattr__": _no_attribute,
    "__iter__": _iter, "__contains__": _contains, "__int__": _number(int), "__float__": _number(float),
    "__complex__": _number(complex), "__index__": _index, "__setitem__": _setitem,
}


def _numpys(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    called = getattr(np, {"flatten": "ravel"}.get(name, name))

    @wraps(function)
    def method(self: Expr, *args: Any, **options: Any) -> Any:
        if not (TRACE.active and by_user()):
            return function(self, *args, **options)
        if name == "compress":  # the condition comes first there
            return array_function(self, called, (), (*args[:1], self, *args[1:]), options)
        if name == "reshape" and len(args) > 1:
            args = (args,)
        return array_function(self, called, (), (self, *args), options)

    return method


def _operator(function: Callable[..., Any], name: str, reflected: bool) -> Callable[..., Any]:
    real = name.strip("_") in ("floordiv", "rfloordiv", "mod", "rmod", "divmod", "rdivmod")
    compares = name.strip("_") in COMPARISONS
    others = TURNED.get(name) or f"__r{name.strip('_')}__"

    def plain(self: Expr, other: Any) -> Any:
        if TRACE.active and by_user():
            if real:
                refuse_complex(name, (self, other))
            self, other = as_numpy_does(self, other, compared=compares)
        return _left(function, self, other, others)

    def swapped(self: Expr, other: Any) -> Any:
        if TRACE.active and by_user():
            if real:
                refuse_complex(name, (self, other))
            self, other = as_numpy_does(self, other, compared=compares)
        return function(other, self)

    method = swapped if reflected else plain
    method.__name__ = name
    return method


def table() -> dict[str, Any]:
    """Every attribute that expressions get, by name."""
    found: dict[str, Any] = {}
    for name, function in BINARY.items():
        found[f"__{name}__"] = _operator(function, f"__{name}__", reflected=False)
        found[f"__r{name}__"] = _operator(function, f"__r{name}__", reflected=True)
    for name, function in COMPARISONS.items():
        found[f"__{name}__"] = _operator(function, f"__{name}__", reflected=False)
    for name, function in UNARY.items():
        found[f"__{name}__"] = function
    for module, names in METHODS.items():
        own = {name: getattr(module, name) for name in names.split()}
        found.update({name: _numpys(f, name) if name in NUMPYS else f for name, f in own.items()})
    # only the first line of their documentation: its examples are run where the functions are
    found.update({name: property(f, doc=(f.__doc__ or "").split("\n")[0]) for name, f in PROPERTIES.items()})
    return found | OTHERS


def attach(cls: type[Expr]) -> None:
    """Give ``cls`` its operators and methods."""
    for name, value in table().items():
        setattr(cls, name, value)
