"""Tensor types: a dtype and a static shape, with promotion and broadcasting."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from fuse import typebase
from fuse.config import config
from fuse.errors import DTypeError, FuseError, MaskedArrayError, ShapeError
from fuse.frozen import dataclass
from fuse.trace import TRACE
from fuse.typebase import Type

Shape = tuple[int | None, ...]

DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)
# What to do with arrays of a dtype that NumPy does not have.
BFLOAT16 = (
    "give its bits, T.bfloat16_bits(array), to an input of uint16, which T.from_bfloat16 reads in the formula, "
    "or convert it to float32"
)
INTEGER = tuple(d for d in DTYPES if "int" in d)
FLOATING = tuple(d for d in DTYPES if "float" in d)
COMPLEX = ("complex64", "complex128")
DISCRETE = ("bool", *INTEGER)
CONTINUOUS = FLOATING + COMPLEX

_RANK_NAMES = {0: "scalar", 1: "vector", 2: "matrix"}
_PATTERN_NAMES: dict[tuple[bool, ...], str] = {(True, False): "row", (False, True): "col"}


# The dtypes that a Python float may take, in this order, while scalar.autocast_float_as says so.
AUTOCAST: tuple[str, ...] = ()


@cache
def _known_dtype(name: str) -> str:
    if name == "bfloat16":
        raise DTypeError(f"fuse has no dtype 'bfloat16', since NumPy has none: {BFLOAT16}")
    if name not in DTYPES:
        raise DTypeError(f"fuse has no dtype {name!r}; it has {', '.join(DTYPES)}")
    return name


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.name


def dtype_name(dtype: Any) -> str:
    """The canonical name of ``dtype``, given as a name, a NumPy dtype or a NumPy/Python type.

    >>> dtype_name(np.int32), dtype_name("f4"), dtype_name(float), dtype_name("floatX")
    ('int32', 'float32', 'float64', 'float64')
    >>> dtype_name(np.array(["float32"])[0])
    'float32'
    """
    dtype = str(dtype) if isinstance(dtype, np.str_) else dtype  # an element of an array of names
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    if isinstance(dtype, str) and dtype == "floatX":
        return config.floatX
    try:
        name = _name_of(dtype) if isinstance(dtype, np.dtype) else np.dtype(dtype).name
    except TypeError as error:
        if dtype == "bfloat16":
            return _known_dtype(dtype)
        raise DTypeError(f"{dtype!r} is not a dtype; fuse has {', '.join(DTYPES)}") from error
    return _known_dtype(name)


@cache
def promote(*dtypes: str) -> str:
    """The dtype that NumPy gives an operation on arrays of these dtypes.

    >>> promote("int8", "uint8"), promote("int32", "float32"), promote("bool", "bool")
    ('int16', 'float64', 'bool')
    """
    return np.result_type(*dtypes).name


@cache
def inexact(dtype: str) -> str:
    """The dtype of ``exp``, ``sin``, ... of ``dtype``: float32 for 8/16-bit integers, float64 for wider ones.

    >>> inexact("int8"), inexact("int64"), inexact("float16")
    ('float32', 'float64', 'float16')
    """
    if dtype in CONTINUOUS:
        return dtype
    return "float32" if np.dtype(dtype).itemsize <= 2 else "float64"


@cache
def real_of(dtype: str) -> str:
    """The dtype of the real part: complex64 -> float32, complex128 -> float64, others unchanged."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


@cache
def kind(dtype: str) -> str:
    """One letter: b(ool), i(nt), u(nsigned), f(loat), c(omplex)."""
    return np.dtype(dtype).kind


def constant_dtype(value: bool | int | float | complex) -> str:
    """The dtype of a Python number in an expression (Theano's autocast).

    An int takes the smallest signed type that holds it; a float is float32 where that is exact or where
    ``config.floatX`` is float32, else float64.

    >>> constant_dtype(1), constant_dtype(300), constant_dtype(0.5), constant_dtype(0.1)
    ('int8', 'int16', 'float32', 'float64')
    """
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        for name in ("int8", "int16", "int32", "int64", "uint64"):
            info = np.iinfo(name)
            if info.min <= value <= info.max:
                return name
        raise DTypeError(f"the integer {value} does not fit into 64 bits")
    if isinstance(value, complex):
        return "complex64" if TRACE.single else "complex128"
    if AUTOCAST:
        with np.errstate(over="ignore"):
            return next((d for d in AUTOCAST if float(np.dtype(d).type(value)) == value), AUTOCAST[-1])
    if config.floatX == "float32" or value != value or TRACE.single:
        return "float32"
    with np.errstate(over="ignore"):
        return "float32" if float(np.float32(value)) == value else "float64"


def broadcast_static(shapes: Sequence[Shape]) -> Shape:
    """The static shape of an elementwise operation on operands of these static shapes.

    A run-time size (None) meeting a known size other than 1 takes the known size only as far as it is sure:
    at run time the unknown one is either equal or 1.

    >>> broadcast_static([(None, 3), (1, 3)])
    (None, 3)
    """
    ndim = max(map(len, shapes), default=0)
    out: list[int | None] = []
    for axis in range(-ndim, 0):
        sizes = [s[axis] for s in shapes if -axis <= len(s)]
        known = {n for n in sizes if n is not None and n != 1}
        if len(known) > 1:
            raise ShapeError(
                f"shapes {', '.join(map(shape_text, shapes))} do not broadcast: axis {axis} has sizes "
                f"{' and '.join(map(str, sorted(known)))}"
            )
        out.append(known.pop() if known else None if None in sizes else 1)
    return tuple(out)


def shape_text(shape: Shape) -> str:
    """``(None, 3)`` as ``(?, 3)``."""
    inner = ", ".join("?" if n is None else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


@dataclass(frozen=True, init=False, repr=False)
class TensorType(Type):
    """The type of an expression: ``dtype`` and static ``shape`` (None: known at run time; 1: broadcasts).

    Made from a shape or, as in Theano, from a broadcast pattern; calling it makes an input variable.

    >>> TensorType("float64", (None, 3))
    TensorType(float64, (?, 3))
    >>> TensorType("float32", (True, False)).broadcastable
    (True, False)
    >>> TensorType("int8", ())("n").name
    'n'
    """

    dtype: str
    shape: Shape

    def __init__(
        self,
        dtype: Any,
        shape: Iterable[int | bool | None] | None = None,
        name: str | None = None,
        *,
        broadcastable: Iterable[bool] | None = None,
    ) -> None:
        if shape is None:
            shape = () if broadcastable is None else map(bool, broadcastable)
        entries = tuple(shape)
        if len(entries) > 64:  # as many as NumPy has
            raise ShapeError(f"an array has 64 dimensions at most, not {len(entries)}")
        for n in entries:
            if n is not None and int(n) < 0:
                raise ShapeError(f"a static shape has sizes or None, not {n}: write None for a run-time size")
        sizes = [None if n is None or isinstance(n, (bool, np.bool_)) and not n else int(n) for n in entries]
        object.__setattr__(self, "dtype", dtype_name(dtype))
        object.__setattr__(self, "shape", tuple(sizes))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        return tuple(n == 1 for n in self.shape)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    def clone(self, dtype: Any = None, shape: Any = None, broadcastable: Any = None) -> TensorType:
        """The same type with another dtype or shape."""
        entries = shape if shape is not None else broadcastable
        return TensorType(dtype or self.dtype, self.shape if entries is None else entries)

    def __call__(self, name: str | None = None, *, shape: Any = None) -> Any:
        if shape is not None:
            return self.clone(shape=_refined(self, tuple(shape)))(name)
        if 0 in self.shape:  # a broadcast pattern written with 0 and 1; no input is always empty
            return typebase.input_maker(TensorType(self.dtype, [n or None for n in self.shape]), name)
        return typebase.input_maker(self, name)

    make_variable = __call__

    def is_super(self, other: TensorType) -> bool:
        """Whether every value of ``other`` is also one of this type."""
        return (
            self.dtype == other.dtype
            and self.ndim == other.ndim
            and all(m is None or m == n for m, n in zip(self.shape, other.shape, strict=True))
        )

    def in_same_class(self, other: Any) -> bool:
        """Whether ``other`` has the same dtype and the same axes of size 1."""
        return isinstance(other, TensorType) and (self.dtype, self.broadcastable) == (other.dtype, other.broadcastable)

    def convert_variable(self, var: Any) -> Any:
        """``var`` where its type is this one, or says more of the shape; else None.

        >>> TensorType("float64", (None,)).convert_variable(TensorType("float64", (3,))("x"))
        x
        """
        return var if isinstance(var.type, TensorType) and self.is_super(var.type) else None

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> np.ndarray[Any, Any]:
        """``value`` as a NumPy array of this type, or an error that says why not.

        Casts that lose nothing are made: of dtypes, of integers that fit, of numbers and lists (no arrays of floats).
        Others only where ``allow_downcast`` is true, or where a Python float goes into floatX.
        """
        return _filter(self, value, strict, allow_downcast)

    @staticmethod
    def values_eq(a: Any, b: Any, force_same_dtype: bool = True) -> bool:
        """Whether two arrays are equal in shape, dtype and every element; NaN equals NaN.

        >>> TensorType("float64", (None,)).values_eq(np.array([1.0, np.nan]), np.array([1.0, np.nan]))
        True
        """
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or force_same_dtype and a.dtype != b.dtype:
            return False
        return bool(np.array_equal(a, b, equal_nan="c" in (a.dtype.kind, b.dtype.kind) or a.dtype.kind == "f"))

    @staticmethod
    def values_eq_approx(
        a: Any, b: Any, allow_remove_inf: bool = False, allow_remove_nan: bool = False, rtol: float | None = None,
        atol: float | None = None,
    ) -> bool:
        """Whether two arrays are equal up to rounding, as Theano compares results.

        >>> TensorType("float64", (None,)).values_eq_approx(np.array([1.0]), np.array([1.0 + 1e-9]))
        True
        """
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype.kind not in "fc":
            return bool((a == b).all())
        bits = np.finfo(a.dtype).bits
        bound = 1e-3 if bits == 16 else 1e-5
        near = np.isclose(a, b, bound if rtol is None else rtol, 1e-8 if atol is None else atol, equal_nan=True)
        if allow_remove_inf:
            near |= np.isinf(a)
        if allow_remove_nan:
            near |= np.isnan(a)
        return bool(near.all())

    def value_zeros(self, shape: Any) -> np.ndarray[Any, Any]:
        """An array of zeros of this dtype.

        >>> TensorType("int8", (None,)).value_zeros(2)
        array([0, 0], dtype=int8)
        """
        return np.zeros(shape, dtype=self.dtype)

    def is_valid_value(self, value: Any, strict: bool = True) -> bool:
        """Whether ``value`` is an array of exactly this type; with ``strict=False`` whether it can be made one."""
        try:
            return self.filter(value, strict=strict) is value or not strict
        except FuseError:
            return False

    def __str__(self) -> str:
        known = _RANK_NAMES.get(self.ndim, f"{self.ndim}D")
        if all(n is None for n in self.shape):
            return f"TensorType({self.dtype}, {known})"
        if all(n in (None, 1) for n in self.shape):  # as Theano's
            pattern = tuple([n == 1 for n in self.shape])
            return f"TensorType({self.dtype}, {_PATTERN_NAMES.get(pattern, pattern)})"
        return f"TensorType({self.dtype}, {shape_text(self.shape)})"

    __repr__ = __str__

    def copied(self, value: Any) -> Any:
        return value.copy()

    def describe(self) -> str:
        """In words, for messages: ``float64 vector``, ``int32 (?, 3)``."""
        known = _RANK_NAMES.get(self.ndim, f"{self.ndim}-d tensor")
        if self.ndim and any(n is not None for n in self.shape):
            return f"{self.dtype} {shape_text(self.shape)}"
        return f"{self.dtype} {known}"


@dataclass(frozen=True, repr=False)
class TupleType:
    """The type of a node with several results; each one is reached by ``part(node, i=...)``.

    >>> TupleType((TensorType("float64", (None,)), TensorType("int64", ())))
    TupleType(float64 vector, int64 scalar)
    """

    elements: tuple[TensorType, ...]  # or types of other objects

    def describe(self) -> str:
        """In words, for messages: ``(float64 vector, int64 scalar)``."""
        return f"({', '.join(t.describe() for t in self.elements)})"

    def __str__(self) -> str:
        return f"TupleType{self.describe()}"

    __repr__ = __str__


def _refined(type_: TensorType, shape: Shape) -> Shape:
    if len(shape) != type_.ndim:
        raise ShapeError(f"a {type_.describe()} has {type_.ndim} dimensions, not {len(shape)}")
    return shape


def only_arrays(type_: Any) -> bool:
    """Whether a node of this type has arrays for values, not objects of a user's own types."""
    return isinstance(type_, TensorType) or isinstance(type_, TupleType) and all(map(only_arrays, type_.elements))


def refuse_masked(value: Any) -> None:
    """MaskedArrayError for a masked array; NumPy's module of them is imported only when somebody made one."""
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise MaskedArrayError


def is_on_gpu_only(value: Any) -> bool:
    """Whether ``value`` tells where it is in a GPU's memory, and has no way to the host that NumPy knows."""
    return hasattr(value, "__cuda_array_interface__") and not hasattr(value, "__array__")


def _filter(
    type_: TensorType, value: Any, strict: bool, allow_downcast: bool | None
) -> np.ndarray[Any, Any]:
    want = type_.numpy_dtype
    refuse_masked(value)
    if strict and not (isinstance(value, np.ndarray) and value.dtype == want):
        raise DTypeError(f"a strict input takes a NumPy array of {want.name}, not {type(value).__name__}")
    if not isinstance(value, np.ndarray) and hasattr(value, "type") and hasattr(value, "args"):
        raise DTypeError("a compiled function takes values, not symbolic expressions; see fuse.clone or givens")
    if not isinstance(value, np.ndarray) and is_on_gpu_only(value):
        raise DTypeError(
            f"{type(value).__name__} is an array on a GPU, and the function runs on the CPU: make it with "
            f"device='cuda', or copy the array to the host"
        )
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever the value's own __array__ raises
        hint = f"; {BFLOAT16}" if "bfloat16" in str(getattr(value, "dtype", "")) else ""
        raise DTypeError(f"cannot make an array of {type(value).__name__}: {error}{hint}") from error
    if array.dtype.name == "bfloat16":
        raise DTypeError(f"an array of bfloat16, and {want.name} is needed: {BFLOAT16}")
    if array.dtype.kind not in "biufc":
        if array.dtype.kind == "V" and array.dtype.type is not np.void:  # of another library, such as float8_e5m2
            raise DTypeError(f"fuse has no dtype {array.dtype}: convert the array to {want.name}")
        raise DTypeError(f"an array of {array.dtype} is no number array; {want.name} is needed")
    if array.dtype != want:
        array = _cast_input(array, want, value, allow_downcast)
    if not array.dtype.isnative or not array.flags.aligned:
        array = array.astype(want)
    if array.ndim != type_.ndim:
        raise ShapeError(
            f"a {type_.describe()} has {type_.ndim} dimensions, the value has {array.ndim} (shape {array.shape})"
        )
    for axis, (n, have) in enumerate(zip(type_.shape, array.shape, strict=True)):
        if n is not None and n != have:
            raise ShapeError(f"axis {axis} of a {type_.describe()} has size {n}, the value has shape {array.shape}")
    return array


def _cast_input(
    array: np.ndarray[Any, Any], want: np.dtype[Any], value: Any, allow_downcast: bool | None
) -> np.ndarray[Any, Any]:
    """``array``, made of ``value``, as ``want``: where that is safe, allowed, or loses nothing.

    The latter is asked of integers, and of everything that is no array: numbers and lists (Theano's rule).
    """
    have = array.dtype
    loose, python_data = not isinstance(value, np.ndarray), not isinstance(value, (np.ndarray, np.generic))
    if np.can_cast(have, want, "safe") or allow_downcast or python_data and not array.size:
        return array.astype(want)
    numbers = have.kind in "biu" and want.kind in "iufc" or loose and (want.kind in "bfc" or _whole(array, want))
    asked = allow_downcast is None
    if (asked or loose) and numbers and not (have.kind == "c" and want.kind in "bf"):
        if asked and python_data and array.ndim == 0 and have.kind == "f" and want.name == config.floatX:
            return array.astype(want)
        with np.errstate(all="ignore"):
            cast = array.astype(want)
            back = (cast if have.kind == "c" else cast.real).astype(have)
            lossless = np.array_equal(back, array, equal_nan=have.kind in "fc")
        if lossless and not (have.kind != want.kind and ((cast.real < 0) != (array.real < 0)).any()):
            return cast
        if have.kind in "iu":
            raise DTypeError(f"values of {have.name} do not fit into {want.name} without loss ({_range(array)})")
    raise DTypeError(
        f"{have.name} values would lose precision as {want.name}: convert them (value.astype('{want.name}')), "
        f"or pass allow_input_downcast=True to function (allow_downcast=True to shared)"
    )


def _whole(array: np.ndarray[Any, Any], want: np.dtype[Any]) -> bool:
    """Whether floats are integers that each float tells from the next, so that a cast to ``want`` can be compared."""
    return array.dtype.kind == "f" and want.kind in "iu" and bool((np.abs(array.astype(np.float64)) <= 2.0**53).all())


def _range(array: np.ndarray[Any, Any]) -> str:
    return f"{array.min()} .. {array.max()}" if array.size else "empty"
