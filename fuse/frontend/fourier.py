"""NumPy's discrete Fourier transforms, ``numpy.fft``, on expressions.

Three ops, not divided by anything: the sums over axes of complex numbers, the first half of these for real numbers
along the last axis, and the way back from such halves. What ``n``, ``s``, ``axes`` and ``norm`` mean is built around
them. A Fourier matrix is symmetric: the cotangent of a transform is the same transform of the cotangent.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import swapaxes
from fuse.frontend.creation import zeros
from fuse.frontend.join import join, slice_axis
from fuse.frontend.layout import iota
from fuse.frontend.logic import literal
from fuse.frontend.rearrange import roll
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    normalize_axis,
    size_add,
    size_floordiv,
    size_min,
    size_mul,
    size_product,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, TensorType, real_of


# ---------------------------------------------------------------- the three ops
def _complex_of(x: Expr) -> str:
    return "complex64" if real_of(x.type.dtype) in ("float16", "float32") else "complex128"


def _fourier_numpy(x: Any, axes: Sequence[int], inverse: bool) -> Any:
    found = np.fft.ifftn(x, axes=axes, norm="forward") if inverse else np.fft.fftn(x, axes=axes)
    return found.astype(x.dtype, copy=False)


@op_record(
    "opaque", name="fourier", numpy=_fourier_numpy, infer=lambda x, **_: TensorType(x.type.dtype, x.type.shape),
    shape=lambda node, x: x, grad=lambda g, out, x, **params: (_fourier(g, **params),), linear=True, traits="stacks",
)
def _fourier(op: Op, x: Expr, *, axes: tuple[int, ...], inverse: bool) -> Expr:
    """Sums of complex numbers times exp(-2 pi i j k / n), or exp(+...), over ``axes``, which count from the end."""
    return op(x, axes=axes, inverse=inverse)


def _half_type(x: Expr) -> TensorType:
    *lead, n = x.type.shape
    return TensorType(_complex_of(x), (*lead, None if n is None else n // 2 + 1))


def _half_grad(g: Expr, out: Expr, x: Expr) -> tuple[Any, ...]:
    whole = _resized(g, x.type.ndim - 1, sizes_of(x)[-1])
    return (ew.real(_fourier(whole, axes=(-1,), inverse=False)),)


@op_record(
    "opaque", name="fourier_half", infer=_half_type, grad=_half_grad, linear=True,
    numpy=lambda x: np.fft.rfft(x).astype(np.result_type(x.dtype, np.complex64), copy=False),
    shape=lambda node, x: (*x[:-1], size_add(size_floordiv(x[-1], 2), 1)), traits="stacks",
)
def _half(op: Op, x: Expr) -> Expr:
    """The transform of real numbers along the last axis: frequencies up to the middle one."""
    return op(x)


def _back_grad(g: Expr, out: Expr, y: Expr, n: Expr) -> tuple[Any, ...]:
    """All frequencies but the first, and the middle one of even ``n``, stand for two."""
    k = iota(sizes_of(y)[-1])
    single = ew.or_(ew.eq(k, 0), ew.eq(ew.mul(k, 2), n))
    weight = ew.switch(single, literal(1, g), literal(2, g))
    return ew.mul(weight, ew.conj(_half(g))), DISCONNECTED


@op_record(
    "opaque", name="fourier_back", grad=_back_grad, linear=True, shape=lambda node, y, n: (*y[:-1], node.args[1]),
    numpy=lambda y, n: np.fft.irfft(y, int(n), norm="forward").astype(y.real.dtype, copy=False),
    infer=lambda y, n: TensorType(real_of(y.type.dtype), (*y.type.shape[:-1], static_int(n))),
)
def _back(op: Op, y: Expr, n: Expr) -> Expr:
    """The ``n`` real numbers along the last axis with the transform ``y``, of n // 2 + 1 frequencies, times ``n``."""
    if (known := static_int(n)) is not None and known < 1:
        raise ShapeError(f"Invalid number of FFT data points ({known}) specified: real results have at least one")
    return op(y, n)


# ---------------------------------------------------------------- sizes, axes, norms
def _resized(x: Expr, axis: int, n: Size) -> Expr:
    """``x`` cut, or continued by zeros, to ``n`` along ``axis``."""
    sizes = list(sizes_of(x))
    if sizes[axis] is n or isinstance(n, int) and sizes[axis] == n:
        return x
    kept = size_min(sizes[axis], n)
    cut = slice_axis(x, axis, None, n)
    if isinstance(kept, int) and isinstance(n, int) and kept == n:
        return cut
    sizes[axis] = size_sub(n, kept)
    return join(axis, cut, zeros(sizes, dtype=x.type.dtype))


def _axes(x: Expr, s: Any, axes: Any, what: str) -> list[int]:
    if axes is None:
        count = x.type.ndim if s is None else len(s)
        if count > x.type.ndim:
            raise ShapeError(f"{what}: {count} sizes for a {x.type.describe()}")
        return list(range(x.type.ndim - count, x.type.ndim))
    found = [normalize_axis(a, x.type.ndim) for a in axes]
    if len(set(found)) < len(found) or s is not None and len(s) != len(found):
        raise FuseValueError(f"{what} takes different axes, and one size for each: not axes={axes}, s={s}")
    return found


def _scaled(x: Expr, count: Size, norm: str | None, inverse: bool) -> Expr:
    norm = "backward" if norm is None else norm
    if norm not in ("backward", "ortho", "forward"):
        raise FuseValueError(f"norm is 'backward', 'ortho' or 'forward', not {norm!r}")
    if norm == ("forward" if inverse else "backward"):
        return x
    n = ew.cast(as_size_expr(count), real_of(x.type.dtype))
    return ew.true_div(x, ew.sqrt(n) if norm == "ortho" else n)


def _transform(a: Any, s: Any, axes: Any, norm: str | None, inverse: bool, what: str) -> Expr:
    x = as_expr(a)
    x = ew.cast(x, _complex_of(x))
    places = _axes(x, s, axes, what)
    for k, axis in enumerate(places):
        if s is not None and s[k] is not None:
            x = _resized(x, axis, as_size(s[k]))
    if not places:
        return x
    count = size_product([sizes_of(x)[axis] for axis in places])
    found = _fourier(x, axes=tuple([axis - x.type.ndim for axis in places]), inverse=inverse)
    return _scaled(found, count, norm, inverse)


# ---------------------------------------------------------------- numpy.fft
def fft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """The transform along ``axis``, of ``n`` elements: cut, or continued by zeros; complex.

    >>> fft([1.0, 0.0, 0.0, 1.0]).eval()
    array([2.+0.j, 1.+1.j, 0.+0.j, 1.-1.j])
    """
    return _transform(a, None if n is None else [n], [axis], norm, False, "fft")


def ifft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """What has the transform ``a`` along ``axis``.

    >>> ifft(fft([1.0, 2.0, 3.0])).eval().real.round(12)
    array([1., 2., 3.])
    """
    return _transform(a, None if n is None else [n], [axis], norm, True, "ifft")


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Expr:
    """The transform along several axes; without ``axes`` along all, or along the last ``len(s)``.

    >>> fftn([[1.0, 1.0], [1.0, 1.0]]).eval().real
    array([[4., 0.],
           [0., 0.]])
    """
    return _transform(a, s, axes, norm, False, "fftn")


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Expr:
    """What has the transform ``a`` along several axes.

    >>> ifftn([[4.0, 0.0], [0.0, 0.0]]).eval().real
    array([[1., 1.],
           [1., 1.]])
    """
    return _transform(a, s, axes, norm, True, "ifftn")


def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Expr:
    """``fftn`` along the last two axes."""
    return _transform(a, s, axes, norm, False, "fft2")


def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Expr:
    """``ifftn`` along the last two axes."""
    return _transform(a, s, axes, norm, True, "ifft2")


def _real_numbers(a: Any, what: str) -> Expr:
    x = as_expr(a)
    if x.type.dtype in COMPLEX:
        raise FuseTypeError(f"{what} transforms real numbers: for complex ones take {what[1:]}")
    return ew.cast(x, real_of(_complex_of(x)))


def rfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """The transform of real numbers along ``axis``: its first n // 2 + 1 frequencies.

    >>> rfft([1.0, 0.0, 0.0, 1.0]).eval()
    array([2.+0.j, 1.+1.j, 0.+0.j])
    """
    return rfftn(a, None if n is None else [n], [axis], norm)


def irfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """The ``n`` real numbers with the transform ``a`` along ``axis``; without ``n``, twice the frequencies less two.

    >>> irfft(rfft([1.0, 2.0, 3.0, 4.0])).eval().round(12)
    array([1., 2., 3., 4.])
    """
    return irfftn(a, None if n is None else [n], [axis], norm)


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Expr:
    """``rfft`` along the last of the axes, and ``fft`` along the others.

    Raises FuseValueError for no axes.
    """
    x = _real_numbers(a, "rfftn")
    places = _axes(x, s, axes, "rfftn")
    if not places:
        raise FuseValueError("rfftn takes at least one axis")
    for k, axis in enumerate(places):
        if s is not None and s[k] is not None:
            x = _resized(x, axis, as_size(s[k]))
    *others, last = places
    count = size_product([sizes_of(x)[axis] for axis in places])
    found = swapaxes(_half(swapaxes(x, last, -1)), last, -1)
    if others:
        found = _fourier(found, axes=tuple([axis - x.type.ndim for axis in others]), inverse=False)
    return _scaled(found, count, norm, False)


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Expr:
    """``ifft`` along all but the last of the axes, and ``irfft`` along that.

    Raises FuseValueError for no axes.
    """
    x = as_expr(a)
    x = ew.cast(x, _complex_of(x))
    places = _axes(x, s, axes, "irfftn")
    if not places:
        raise FuseValueError("irfftn takes at least one axis")
    *others, last = places
    wanted: list[Any] = [None] * len(places) if s is None else list(s)
    n = size_mul(size_sub(sizes_of(x)[last], 1), 2) if wanted[-1] is None else as_size(wanted[-1])
    for axis, size in zip(others, wanted, strict=False):
        if size is not None:
            x = _resized(x, axis, as_size(size))
    x = _resized(x, last, size_add(size_floordiv(n, 2), 1))
    if others:
        x = _fourier(x, axes=tuple([axis - x.type.ndim for axis in others]), inverse=True)
    count = size_mul(size_product([sizes_of(x)[axis] for axis in others]), n)
    found = swapaxes(_back(swapaxes(x, last, -1), as_size_expr(n)), last, -1)
    return _scaled(found, count, norm, True)


def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Expr:
    """``rfftn`` along the last two axes."""
    return rfftn(a, s, axes, norm)


def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Expr:
    """``irfftn`` along the last two axes."""
    return irfftn(a, s, axes, norm)


_OTHER = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def hfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """The transform, which is real, of numbers that are conjugate to those before 0: ``a`` is from 0 on."""
    return irfft(ew.conj(as_expr(a)), n, axis, _OTHER.get(norm, norm))


def ihfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Expr:
    """What has the real transform ``a``, from 0 on."""
    return ew.conj(rfft(a, n, axis, _OTHER.get(norm, norm)))


def _shifted(x: Any, axes: Any, sign: int) -> Expr:
    x = as_expr(x)
    places = range(x.type.ndim) if axes is None else [axes] if isinstance(axes, (int, np.integer)) else axes
    for axis in places:
        n = sizes_of(x)[normalize_axis(axis, x.type.ndim)]
        half = size_floordiv(n, 2)
        x = roll(x, half if sign > 0 else size_sub(n, half), axis)
    return x


def fftshift(x: Any, axes: Any = None) -> Expr:
    """``x`` with the frequency 0 in the middle of its axes.

    >>> fftshift([0.0, 1.0, -1.0]).eval()
    array([-1.,  0.,  1.])
    """
    return _shifted(x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Expr:
    """``x`` before ``fftshift``."""
    return _shifted(x, axes, -1)


__all__ = [
    "fft", "fft2", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft", "irfft2",
    "irfftn", "rfft", "rfft2", "rfftn",
]
