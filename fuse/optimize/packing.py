"""Variables of any shapes as one vector of floats, which is what SciPy's methods work on."""
from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse import tree
from fuse.autodiff.derived import jacobian
from fuse.autodiff.reverse import grad
from fuse.compiled import function
from fuse.config import config
from fuse.errors import DisconnectedInputError, DTypeError, FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import INPUT, Constant, Expr, TensorVariable, as_expr, leaf, leaves, substitute, toposort
from fuse.forks import lock_for_threads
from fuse.frontend.elementwise import cast
from fuse.frontend.join import concatenate
from fuse.frontend.layout import reshape
from fuse.signature import read_pairs
from fuse.trace import tracing
from fuse.types import TensorType

Array = Any
KEPT = 16  # functions of problems that may come again
LARGE = 1 << 20  # bytes of a constant that is not kept for that


def arguments(args: Any) -> Sequence[Any]:
    """``args`` as SciPy takes it: what is no sequence is the only argument."""
    return args if isinstance(args, (tuple, list)) else (args,)


def _leaves(x0: Any) -> tuple[list[Any], tree.Structure | None]:
    """(the arrays of a start, its structure): lists of numbers are one array, as for SciPy, ragged ones a tree."""
    if type(x0) in (list, tuple):
        try:
            return [np.asarray(x0)], None
        except ValueError:
            return tree.flatten(x0)
    found, structure = tree.flatten(x0)
    return (found, None) if structure.kind is None else (found, structure)


class Problem:
    """What a method works on: formulas of one vector ``z``, whose parts are the variables.

    ``start`` is the vector to begin at, ``data`` the variables (with values) that the formulas read besides.
    """

    def __init__(self, formula: Any, wrt: Any, x0: Any, givens: Any, args: Sequence[Any], what: str) -> None:
        self.what = what
        self.single = not isinstance(wrt, (list, tuple))
        self.data: dict[Expr, Array] = {}
        self.replaced: dict[Expr, Expr] = {}
        self.structure: tree.Structure | None = None  # of a start that is a tree
        if isinstance(formula, Expr):
            if len(arguments(args)):
                raise FuseTypeError(f"{what}: args belong to a Python function; an expression has givens={{...}}")
            self._from_expression(formula, wrt, x0, givens)
        elif callable(formula):
            if givens is not None:
                raise FuseTypeError(f"{what}: givens belong to an expression; a Python function has args=(...)")
            self._from_function(formula, wrt if x0 is None else x0, args)
        else:
            kind = type(formula).__name__
            raise FuseTypeError(f"{what} takes an expression or a function of one array, not {kind} {formula!r:.60}")

    # ------------------------------------------------------------ from what the user gives
    def _from_function(self, formula: Callable[..., Any], x0: Any, args: Sequence[Any]) -> None:
        values, self.structure = _leaves(x0)
        self.single = self.structure is None
        starts = [np.asarray(v) for v in values]
        for start in starts:
            if start.dtype.kind not in "biuf":
                raise FuseTypeError(
                    f"{self.what}: the start is an array of real numbers, or a tree of such, not {start.dtype}: "
                    f"{x0!r:.60}"
                )
        starts = [s if s.dtype.kind == "f" else s.astype(np.float64) for s in starts]
        self.variables = [_standing(f"x{k or ''}", TensorType(s.dtype, s.shape)) for k, s in enumerate(starts)]
        x = self.variables[0] if self.structure is None else tree.unflatten(self.structure, self.variables)
        with tracing(single=all(s.dtype.itemsize < 8 for s in starts)):  # its lines mean what NumPy says
            found = formula(x, *tree.map(self._argument, arguments(args)))
        try:
            self.formula = found if isinstance(found, Expr) else as_expr(found)
        except (FuseError, TypeError, ValueError):
            raise FuseTypeError(f"{self.what}: the function returned {found!r:.60}, not an expression") from None
        self._pack(starts)

    def _argument(self, value: Any) -> Any:
        """A variable for an array or number among the arguments; anything else stays what it is."""
        array = value if callable(value) else np.asarray(value)
        if callable(value) or array.dtype.kind not in "biufc":
            return value
        standing = _standing(f"argument {len(self.data)}", TensorType(array.dtype, array.shape))
        self.data[standing] = array
        return standing

    def _from_expression(self, formula: Expr, wrt: Any, x0: Any, givens: Any) -> None:
        if wrt is None:
            raise FuseTypeError(f"{self.what} of an expression needs wrt: the variable to find, or a list of them")
        self.variables = [wrt] if self.single else list(wrt)
        if not self.variables:
            raise FuseTypeError(f"{self.what}: wrt is an empty list")
        for v in self.variables:
            if not isinstance(v, Expr) or v.op is not INPUT and v.op.name != "shared":
                raise FuseTypeError(f"{self.what}: wrt holds inputs or shared variables, not {v!r:.60}")
            if v.type.dtype not in ("float32", "float64"):
                raise DTypeError(
                    f"{self.what}: {_name(v)} is a {v.type.describe()}; only float32 and float64 variables can be found"
                )
        if len(set(self.variables)) < len(self.variables):
            raise FuseValueError(f"{self.what}: wrt names a variable twice")
        values: dict[Expr, Expr] = {}
        for key, value in read_pairs(givens, "givens"):
            if not isinstance(key, Expr):
                raise FuseTypeError(f"{self.what}: the keys of givens are expressions, not {key!r:.60}")
            if isinstance(value, Expr):
                self.replaced[key] = value
            else:
                array = key.type.filter(value)
                if key.op is not INPUT:
                    values[key] = _standing(f"given {len(self.data)}", key.type)
                self.data[values.get(key, key)] = array
        found = substitute(list(self.replaced.values()), values)  # which may need values that are given beside them
        self.replaced = {**values, **dict(zip(self.replaced, found, strict=True))}
        [self.formula] = substitute([formula], self.replaced)
        reached = set(toposort([self.formula]))
        for v in self.variables:
            if v not in reached:
                raise DisconnectedInputError(f"{self.what}: the formula does not depend on {_name(v)}")
        known = {*self.variables, *self.data}
        missing = next((n for n in reached if n.op is INPUT and n not in known), None)
        if missing is not None:
            raise FuseValueError(f"{self.what} needs a value for {_name(missing)}: givens={{variable: value}}")
        self._pack(self._starts(x0))

    def _starts(self, x0: Any) -> list[Array]:
        if isinstance(x0, Mapping):
            values = [x0.get(v) for v in self.variables]
            unknown = [k for k in x0 if k not in self.variables]
            if unknown:
                raise FuseValueError(f"{self.what}: x0 has a value for {unknown[0]}, which is not among wrt")
        elif x0 is None:
            values = [None] * len(self.variables)
        elif self.single:
            values = [x0]
        else:
            values = list(x0)
            if len(values) != len(self.variables):
                raise ShapeError(f"{self.what}: x0 has {len(values)} entries for {len(self.variables)} variables")
        starts = []
        for v, value in zip(self.variables, values, strict=True):
            if value is None and v.op.name != "shared":
                raise FuseValueError(f"{self.what} needs a start for {_name(v)}: x0=...")
            try:
                starts.append(v.type.filter(v.get_value() if value is None else value, allow_downcast=True))
            except FuseError as error:
                raise type(error)(f"{self.what}: the start of {_name(v)}: {error}") from None
        return starts

    # ------------------------------------------------------------ one vector
    def _pack(self, starts: Sequence[Array]) -> None:
        self.shapes = [s.shape for s in starts]
        self.dtypes = [s.dtype for s in starts]
        self.bounds = np.cumsum([0, *[s.size for s in starts]]).tolist()
        self.start = self.join(starts)
        only = self.variables[0] if len(starts) == 1 else None
        if only is not None and only.op is INPUT and only.type.ndim == 1 and only.type.dtype == "float64":
            self.z, self.parts = only, [only]
            return
        self.z = _standing("z", TensorType("float64", (self.start.size,)))
        self.parts = []
        for v, shape, begin, end in zip(self.variables, self.shapes, self.bounds, self.bounds[1:], strict=False):
            part = reshape(self.z[begin:end], shape) if len(shape) != 1 else self.z[begin:end]
            self.parts.append(part if v.type.dtype == "float64" else cast(part, v.type.dtype))
        [self.formula] = substitute([self.formula], dict(zip(self.variables, self.parts, strict=True)))

    def of_vector(self, formula: Expr) -> Expr:
        """Another formula of the variables and the data, as one vector of float64."""
        [given] = substitute([formula], self.replaced)
        [found] = substitute([given], dict(zip(self.variables, self.parts, strict=True)))
        return reshape(cast(found, "float64"), (-1,))

    def join(self, arrays: Sequence[Array]) -> Array:
        """The vector of float64 with these values."""
        return np.concatenate([np.ravel(a).astype(np.float64) for a in arrays])

    def split(self, z: Array) -> Any:
        """The values in the shapes of the variables: one array, or a list of them."""
        pairs = zip(self.bounds, self.bounds[1:], strict=False)
        pieces = [np.asarray(z)[begin:end] for begin, end in pairs]
        kinds = zip(pieces, self.shapes, self.dtypes, strict=True)
        found = [np.array(p, dtype).reshape(shape) for p, shape, dtype in kinds]
        if self.structure is not None:
            return tree.unflatten(self.structure, found)
        return found[0] if self.single else found

    # ------------------------------------------------------------ formulas of the vector
    def gradient(self, scalar: Expr) -> Expr:
        """The gradient of ``scalar`` as one vector of float64."""
        found = grad(scalar, self.parts, disconnected_inputs="ignore", add_names=False)
        pieces = [reshape(cast(g, "float64"), (-1,)) for g in found]
        return pieces[0] if len(pieces) == 1 else concatenate(pieces)

    def jacobian(self, vector: Expr) -> Expr:
        """The matrix of first derivatives of ``vector``."""
        return jacobian(vector, self.z, disconnected_inputs="ignore")

    def flat(self) -> Expr:
        """The formula as one vector of float64."""
        return reshape(cast(self.formula, "float64"), (-1,))

    def compile(self, outputs: Any, *further: Expr) -> Callable[..., Any]:
        """A function of the vector (and of ``further``) alone: the data are at hand."""
        fn = _compiled([self.z, *further, *self.data], outputs)
        data = tuple(self.data.values())
        return (lambda *values: fn(*values, *data)) if data else fn

    def multiplier(self) -> Expr:
        """A variable in the shape of the vector."""
        return _standing("multiplier", self.z.type)

    def finish(self, result: Any) -> Any:
        """SciPy's result with values in the shapes of the variables; shared variables get theirs."""
        result.x = self.split(result.x)
        if self.structure is not None:
            return result
        values = [result.x] if self.single else result.x
        for v, value in zip(self.variables, values, strict=True):
            if v.op.name == "shared":
                v.set_value(value)
        return result

    def limits(self, bounds: Any) -> Any:
        """Bounds as SciPy wants them: a dict from variables to (low, high) becomes arrays over the vector."""
        if not isinstance(bounds, Mapping):
            return bounds
        from scipy.optimize import Bounds

        unknown = [k for k in bounds if k not in self.variables]
        if unknown:
            raise FuseValueError(f"{self.what}: bounds has an entry for {unknown[0]}, which is not among wrt")
        lows: list[Array] = []
        highs: list[Array] = []
        for v, shape in zip(self.variables, self.shapes, strict=True):
            low, high = bounds.get(v, (None, None))
            for side, value, none in ((lows, low, -math.inf), (highs, high, math.inf)):
                try:
                    side.append(np.broadcast_to(np.asarray(none if value is None else value, np.float64), shape))
                except ValueError:
                    text = f"{self.what}: a bound of {_name(v)} has shape {np.shape(value)}, the variable {shape}"
                    raise ShapeError(text) from None
        return Bounds(self.join(lows), self.join(highs))


# Problems of one structure stand on the same leaves, so their formulas are the same nodes, and so are their functions.
def _standing(what: str, type_: TensorType) -> Expr:
    return leaf(TensorVariable, INPUT, type_, None, uid=f"optimize {what} {type_.dtype} {type_.shape}")


_functions: OrderedDict[Any, Any] = OrderedDict()
_lock = lock_for_threads()


def _compiled(inputs: list[Expr], outputs: Any) -> Any:
    """The function, made once for the latest problems, but where it would keep large constants alive."""
    roots = outputs if isinstance(outputs, list) else [outputs]
    key = tuple(inputs), tuple(roots), isinstance(outputs, list), config.mode, config.optimizer
    found = _functions.get(key)
    if found is None:
        found = function(inputs, outputs, no_default_updates=True, on_unused_input="ignore")
    if not any(isinstance(n, Constant) and n.data.nbytes > LARGE for n in leaves(roots)):
        with _lock:
            _functions[key] = found
            _functions.move_to_end(key)
            while len(_functions) > KEPT:
                _functions.popitem(last=False)
    return found


def _name(v: Expr) -> str:
    return v.name or f"a variable without a name ({v.type.describe()})"
