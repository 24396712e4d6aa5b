"""Theano's ``tensor.fft``: real Fourier transforms of stacks, complex numbers as pairs in a last axis of size 2."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, MethodNotDefined, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.apply import Apply
from fuse.frontend.axes import shape_padright
from fuse.frontend.class_op import Op
from fuse.frontend.creation import ones
from fuse.frontend.indexing import set_subtensor
from fuse.frontend.reductions import prod
from fuse.frontend.sizes import make_vector, size_add, size_mul, size_sub, sizes_of
from fuse.op import DISCONNECTED
from fuse.types import DISCRETE, TensorType

__all__ = ["IRFFTOp", "RFFTOp", "irfft", "rfft"]


class _Transform(Op):
    """What both directions share: arguments, and a gradient that is the other direction, weighted."""

    __props__ = ()
    least = 2  # axes of an argument
    step = 0  # axes that the result has more

    def make_node(self, a: Any, s: Any = None) -> Apply:
        a = as_expr(a)
        if a.type.ndim < self.least:
            raise FuseTypeError(
                f"{type(self).__name__}: input must have dimension >= {self.least}, with first dimension batches"
            )
        s = as_expr(self._sizes(a) if s is None else s)
        if s.type.ndim != 1 or s.type.dtype not in DISCRETE:
            raise FuseTypeError(f"{type(self).__name__}: the sizes are a vector of integers, not {s.type.describe()}")
        return Apply(self, [a, s], [TensorType(a.type.dtype, (None,) * (a.type.ndim + self.step))()])

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[True], [False]]

    def _sizes(self, a: Expr) -> Expr:
        """The sizes of the real arrays, where none are given."""
        raise MethodNotDefined(f"{type(self).__name__} needs _sizes, the sizes of its arrays where none are given")


def _lengths(x: Expr, odd: int) -> Expr:
    """The sizes of the real arrays with these spectra."""
    *outer, last = sizes_of(x)[1:-1]
    return make_vector(*outer, size_add(size_mul(size_sub(last, 1), 2), odd))


def _weighted(x: Expr, s: Expr, weight: float) -> Expr:
    """``x``, a spectrum, with the frequencies that stand for two multiplied by ``weight``."""
    last = s[-1]
    until = ew.add(ew.int_div(last, 2), ew.mod(last, 2))
    factors = set_subtensor(ones((x.shape[-2],), dtype=x.type.dtype)[1:until], weight)
    return ew.mul(x, shape_padright(factors))


class RFFTOp(_Transform):
    """The transform of real numbers: (m, ..., n) to (m, ..., n // 2 + 1, 2)."""

    step = 1

    def _sizes(self, a: Expr) -> Expr:
        return a.shape[1:]

    @np.errstate(all="ignore")
    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        a, s = inputs
        axes = tuple(range(1, a.ndim))
        found = np.fft.rfftn(a, s=tuple(map(int, s)), axes=axes)
        output_storage[0][0] = np.stack([found.real, found.imag], axis=-1).astype(a.dtype)

    def infer_shape(self, node: Any, shapes: list[Any]) -> list[Any]:
        s = node.inputs[1]
        count = node.inputs[0].type.ndim - 1
        inner = [s[i] for i in range(count - 1)]
        return [(shapes[0][0], *inner, ew.add(ew.int_div(s[count - 1], 2), 1), 2)]

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        return [irfft_op(_weighted(output_grads[0], inputs[1], 0.5), inputs[1]), DISCONNECTED]


class IRFFTOp(_Transform):
    """The sums over all frequencies: (m, ..., n // 2 + 1, 2) to (m, ..., n), not divided by their number."""

    least, step = 3, -1

    def _sizes(self, a: Expr) -> Expr:
        return _lengths(a, 0)

    @np.errstate(all="ignore")
    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        a, s = inputs
        sizes = tuple(map(int, s))
        found = np.fft.irfftn(a[..., 0] + 1j * a[..., 1], s=sizes, axes=tuple(range(1, a.ndim - 1)), norm="forward")
        output_storage[0][0] = found.astype(a.dtype)

    def infer_shape(self, node: Any, shapes: list[Any]) -> list[Any]:
        s = node.inputs[1]
        return [(shapes[0][0], *[s[i] for i in range(node.inputs[0].type.ndim - 2)])]

    def grad(self, inputs: list[Expr], output_grads: list[Expr]) -> list[Any]:
        return [_weighted(rfft_op(output_grads[0], inputs[1]), inputs[1], 2.0), DISCONNECTED]


rfft_op, irfft_op = RFFTOp(), IRFFTOp()


def _count(s: Expr, like: Expr) -> Expr:
    return ew.cast(prod(s), like.type.dtype)


def _norm(norm: str | None) -> str | None:
    if norm not in (None, "ortho", "no_norm"):
        raise FuseValueError(f"Invalid value {norm} for norm, must be None, 'ortho' or 'no_norm'")
    return norm


def rfft(inp: Any, norm: str | None = None) -> Expr:
    """The Fourier transforms of real arrays (m, ..., n) over all axes but the first: (m, ..., n // 2 + 1, 2).

    The last axis holds real and imaginary parts. ``norm='ortho'`` divides by the root of the number of elements.

    >>> rfft([[1.0, 0.0, 0.0, 0.0]]).eval()[0, :, 0]
    array([1., 1., 1.])
    """
    x = as_expr(inp)
    s = x.shape[1:]
    found = rfft_op(x, s)
    return ew.true_div(found, ew.sqrt(_count(s, x))) if _norm(norm) == "ortho" else found


def irfft(inp: Any, norm: str | None = None, is_odd: bool = False) -> Expr:
    """The real arrays (m, ..., n) with these transforms, as ``rfft`` gives them; ``is_odd`` says that n is odd.

    Divided by the number of elements (None), by its root ('ortho') or not at all ('no_norm').
    Raises ShapeError where the last axis is no pair of parts, FuseValueError for another ``is_odd``.

    >>> irfft(rfft([[1.0, 2.0, 3.0, 4.0]])).eval().round(12)
    array([[1., 2., 3., 4.]])
    """
    if is_odd not in (True, False):
        raise FuseValueError(f"Invalid value {is_odd} for id_odd, must be True or False")
    x = as_expr(inp)
    if x.type.ndim < 3:
        raise ShapeError("irfft takes arrays (m, ..., frequencies, 2)")
    s = _lengths(x, int(is_odd))
    found = irfft_op(x, s)
    if _norm(norm) is None:
        return ew.true_div(found, _count(s, x))
    return ew.true_div(found, ew.sqrt(_count(s, x))) if norm == "ortho" else found
