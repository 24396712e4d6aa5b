"""The exception tree, and the one place that words a message with operands, shapes and the user's line."""
from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BETWEEN = (functools.__file__, contextlib.__file__)  # which call us, and which we call
_USER_CODE_INSIDE = (os.path.join(PACKAGE, "demo.py"),)

Origin = tuple[str, int]


class FuseError(Exception):
    """Base of every error that fuse raises on purpose.

    Each of its kinds is also the Python error that one would expect: a ShapeError is a ValueError, a FuseTypeError a
    TypeError, a FuseIndexError an IndexError.

    >>> import fuse, fuse.tensor as T
    >>> try:
    ...     T.matrix("m") + [[1.0, 2.0], [3.0]]
    ... except FuseError as error:
    ...     print(type(error).__name__, isinstance(error, TypeError))
    FuseTypeError True
    >>> issubclass(ShapeError, ValueError), issubclass(FuseIndexError, IndexError)
    (True, True)
    """

    told = False  # whether the message says which input of a function it is about


class FuseTypeError(FuseError, TypeError):
    """An operand of a kind or dtype that the operation does not take."""


class DTypeError(FuseTypeError):
    """A dtype that does not exist, does not fit, or would lose precision."""


class MaskedArrayError(DTypeError, NotImplementedError):
    """A masked array: what it stands for is not known, and NotImplementedError for Theano's programs.

    >>> import fuse, numpy as np
    >>> fuse.tensor.constant(np.ma.masked_less([1.0, 2.0], 2.0))
    Traceback (most recent call last):
        ...
    fuse.errors.MaskedArrayError: MaskedArrays are not supported: pass value.filled(...)
    """

    def __init__(self, message: str = "MaskedArrays are not supported: pass value.filled(...)") -> None:
        super().__init__(message)


class OutputKeyError(FuseTypeError, AssertionError):
    """A key of a dict of outputs is no string: an AssertionError for Theano's programs."""


class ShapeError(FuseError, ValueError, TypeError):
    """Ranks or sizes that do not go together: a ValueError, and for Theano's programs a TypeError."""


class FuseValueError(FuseError, ValueError):
    """A parameter outside what the operation allows."""


class GivenInputError(FuseValueError, RuntimeError):
    """A replacement for a variable that the function takes as an input."""


class DoubleUpdateError(FuseValueError, KeyError):
    """Two updates of one variable: a KeyError for Theano's programs."""

    __str__ = Exception.__str__


class AxisError(FuseValueError, np.exceptions.AxisError):
    """An axis that an expression has not: NumPy's error for it, and so a ValueError and an IndexError."""

    __str__ = Exception.__str__


class SpecifiedShapeError(ShapeError, AssertionError):
    """A value of another shape than specify_shape said."""


class MatrixError(FuseValueError, np.linalg.LinAlgError):
    """A matrix without what was asked of it: singular, not positive definite, or an iteration that did not end.

    >>> issubclass(MatrixError, ValueError)
    True
    """


class FuseIndexError(FuseError, IndexError):
    """An index out of bounds, at build time or at run time."""


class MissingInputError(FuseError, ValueError):
    """A graph needs a variable that is not among the inputs and has no value."""


class TestValueError(FuseError, AttributeError, ValueError):
    """A test value was asked for where an input has none."""

    __test__ = False  # pytest collects classes called Test...


class FuseAttributeError(FuseError, AttributeError):
    """An attribute that expressions have not. What was meant is looked for when somebody reads the message.

    >>> import fuse, fuse.tensor as T
    >>> x = T.vector("x")
    >>> x.summ
    Traceback (most recent call last):
        ...
    fuse.errors.FuseAttributeError: an expression has no attribute 'summ'; did you mean 'sum'?
    >>> x.detach()
    Traceback (most recent call last):
        ...
    fuse.errors.FuseAttributeError: an expression has no attribute 'detach': write fuse.stop_gradient(x)
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name, self.obj = name, None  # or Python would add a guess of its own

    def __str__(self) -> str:
        from fuse.missing import no_expression_attribute

        return no_expression_attribute(self.args[0])


class UnusedInputError(FuseError, ValueError):
    """An input that no output depends on."""


class DisconnectedInputError(FuseError, ValueError):
    """A gradient with respect to something the cost does not depend on.

    ``grad(..., disconnected_inputs="ignore")`` gives zeros instead.

    >>> import fuse, fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> fuse.grad(x**2, y)
    Traceback (most recent call last):
        ...
    fuse.errors.DisconnectedInputError: the cost does not depend on y (or only on its shape or...
    >>> float(fuse.grad(x**2, y, disconnected_inputs="ignore").eval({y: 3.0}))
    0.0
    """


class NullTypeGradError(FuseError, TypeError):
    """A gradient that passes through an op with an undefined or missing gradient.

    >>> import fuse, fuse.tensor as T
    >>> @fuse.as_op([T.dvector], [T.dvector])
    ... def smooth(values):
    ...     return values.cumsum()
    >>> x = T.dvector("x")
    >>> fuse.grad(smooth(x).sum(), x)
    Traceback (most recent call last):
        ...
    fuse.errors.NullTypeGradError: the gradient with respect to x passes through an op without...
    """


class GradientError(FuseError, ValueError):
    """verify_grad found a symbolic gradient that disagrees with finite differences.

    >>> import fuse, fuse.tensor as T
    >>> @fuse.elementwise(grad=(lambda g, out, x: g * x,))
    ... def square(x):
    ...     return x * x
    >>> try:
    ...     fuse.gradient.verify_grad(square, [3.0])
    ... except GradientError as error:
    ...     print(str(error).splitlines()[0])
    the gradient disagrees with finite differences in test 0, argument 0 (shape ()), ... where the argument is 3.0: ...
    """


class MethodNotDefined(FuseError, NotImplementedError):
    """A class of the user's, of an op or a rewrite, lacks a method that was needed."""


class CompileError(FuseError, RuntimeError):
    """Generated code that Numba refused: a fault of fuse, or of a user's own kernel."""


class DeviceError(FuseError, RuntimeError):
    """There is no GPU to use, or it has no memory left."""


class DebugModeError(FuseError, AssertionError):
    """DebugMode: compiled code and the interpreter disagree."""


class NanGuardError(FuseError, AssertionError):
    """NanGuardMode: an operation made NaN, infinity or a huge number."""


class FuseAssertionError(FuseError, AssertionError):
    """The condition of an Assert was false."""


class IntegrationError(FuseError, ArithmeticError):
    """A differential equation was not solved: steps ran out or became too small, or its times are in no order."""


def brief(error: FuseError) -> FuseError:
    """``error`` without the frames of its traceback, where these are fuse's own; its message says what there is."""
    from fuse.config import config

    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith((PACKAGE, "<fuse")) or config.exception_verbosity == "high":
            return error
        trace = trace.tb_next
    return error.with_traceback(None)


def namesake(variable: Any, others: Iterable[Any]) -> str:
    """A line about another variable of the same name: in notebooks, the cell that makes it was run again."""
    for other in others:
        if variable.name and other.name == variable.name and other is not variable:
            return (
                f"\n  another variable called {variable.name!r} was made at {origin_text(other.origin)}: was the line "
                f"that makes it run twice?"
            )
    return ""


def user_line(depth: int = 1) -> Origin | None:
    """(file, line) of the nearest caller outside fuse, or None."""
    frame = sys._getframe(depth)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and name not in _BETWEEN or name in _USER_CODE_INSIDE:
            return name, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def origin_text(origin: Origin | None) -> str:
    """``file.py:12``, with the source line where it can be read."""
    if origin is None:
        return "an unknown line"
    import linecache

    file, line = origin
    text = linecache.getline(file, line).strip()
    place = f"{os.path.basename(file) if not file.startswith('<') else file}:{line}"
    return f"{place}: {text}" if text else place


# What the user wrote, for ops that have other names inside.
_WORDS = {
    "subtensor": "indexing", "gather": "indexing with integer arrays", "broadcast_to": "broadcasting",
    "set_gather": "set_subtensor with integer arrays", "inc_gather": "inc_subtensor with integer arrays",
    "make_vector": "stacking scalars", "iota": "arange", "rebroadcast": "addbroadcast",
}


def operand_text(operands: Iterable[Any]) -> str:
    """``x: float64 vector, (no name): int32 (?, 3)``."""
    parts = []
    for operand in operands:
        type_ = getattr(operand, "type", None)
        described = type_.describe() if type_ is not None and hasattr(type_, "describe") else type(operand).__name__
        name = getattr(operand, "name", None)
        parts.append(f"{name}: {described}" if name else described)
    return ", ".join(parts)


def with_context(error: FuseError, op_name: str, operands: Iterable[Any]) -> FuseError:
    """``error`` again, its message followed by the operation, its operands and the user's line."""
    if getattr(error, "has_context", False):
        return error
    text = f"{error}\n  in {_WORDS.get(op_name, op_name)}({operand_text(operands)})\n  at {origin_text(user_line(2))}"
    again = type(error)(text)
    again.has_context = True  # type: ignore[attr-defined]
    return again


def runtime_error(
    kind: type[FuseError], message: str, op_name: str, shapes: Iterable[Any], origin: Origin | None
) -> FuseError:
    """An error met while a compiled function ran, told in terms of the line that built the node."""
    listed = ", ".join(str(tuple(s)) for s in shapes)
    words = _WORDS.get(op_name, op_name)
    where = f"\n  in {words} of operands with shapes {listed}" if listed else f"\n  in {words}"
    error = kind(f"{message}{where}\n  built at {origin_text(origin)}")
    error.has_context = True  # type: ignore[attr-defined]
    return error
