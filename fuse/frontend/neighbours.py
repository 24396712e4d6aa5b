"""Images as matrices of their patches, and back: Theano's ``images2neibs`` and ``neibs2images``."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.convolution import padded
from fuse.frontend.layout import dimshuffle, iota, reshape
from fuse.frontend.sizes import Size, as_size, size_add, size_floordiv, size_mul, size_product, size_sub, sizes_of
from fuse.frontend.subtensor import gather

__all__ = ["images2neibs", "neibs2images"]


def _pair(value: Any, what: str) -> tuple[Size, Size]:
    if isinstance(value, Expr):
        value = [value[0], value[1]]
    entries = list(value)
    if len(entries) != 2:
        raise FuseValueError(f"{what} has two entries (rows, columns), not {len(entries)}")
    rows, columns = [as_size(v, what) for v in entries]
    if any(isinstance(v, int) and v <= 0 for v in (rows, columns)):
        raise FuseValueError(f"{what} is positive, not {value!r}")
    return rows, columns


def _fitting(x: Expr, axis: int, window: Size, step: Size, mode: str) -> Expr:
    """``x``, whose size along ``axis`` patches cover exactly: an error now, or when the function runs."""
    size = sizes_of(x)[axis]
    if isinstance(size, int) and isinstance(window, int) and isinstance(step, int):
        if size >= window and (size - window) % step == 0:
            return x
        raise FuseTypeError(
            f"images2neibs: patches of {window} elements, {step} apart, do not cover {size} elements exactly "
            f"(mode {mode!r}); mode 'ignore_borders' leaves the rest out"
        )
    left = ew.mod(as_expr(size_sub(size, window)), as_expr(step))
    fits = ew.and_(ew.ge(as_expr(size), as_expr(window)), ew.eq(left, 0))
    message = f"images2neibs: the patches do not cover axis {axis} exactly (mode {mode!r}): there is 'ignore_borders'"
    return required(x, [fits], message, "FuseTypeError")


def images2neibs(ten4: Any, neib_shape: Any, neib_step: Any = None, mode: str = "valid") -> Expr:
    """The patches of images (images, channels, rows, columns) as rows of a matrix.

    Patches have ``neib_shape`` = (rows, columns) elements and are ``neib_step`` apart (their shape if None). ``mode``
    is 'valid' (the patches fit exactly), 'ignore_borders' (what is left over is left out), 'half' and 'full' (zeros
    around the images: half a patch, one less than a patch), or 'wrap_centered' (a patch around every step, images wrap
    around).
    Raises FuseTypeError for other ranks than 4 and for another mode.

    >>> import fuse.tensor as T
    >>> x = T.tensor4("x")
    >>> images2neibs(x, (1, 2)).eval({x: [[[[1.0, 2.0, 3.0, 4.0]]]]})
    array([[1., 2.],
           [3., 4.]])
    """
    x = as_expr(ten4)
    if x.type.ndim != 4:
        raise FuseTypeError(f"images2neibs takes images of rank 4, not a {x.type.describe()}")
    if mode not in ("valid", "half", "full", "ignore_borders", "wrap_centered"):
        raise FuseTypeError(f"mode is 'valid', 'half', 'full', 'ignore_borders' or 'wrap_centered', not {mode!r}")
    window = _pair(neib_shape, "neib_shape")
    steps = window if neib_step is None else _pair(neib_step, "neib_step")
    if mode in ("half", "full"):
        around = [size_floordiv(w, 2) if mode == "half" else size_sub(w, 1) for w in window]
        x = padded(x, [(n, n) for n in around])
    if mode not in ("ignore_borders", "wrap_centered"):
        for i, (w, step) in enumerate(zip(window, steps, strict=True)):
            x = _fitting(x, 2 + i, w, step, mode)
    indices, found = [], []
    for i, (size, w, step) in enumerate(zip(sizes_of(x)[2:], window, steps, strict=True)):
        if mode == "wrap_centered":
            if isinstance(w, int) and w % 2 == 0:
                raise FuseTypeError(f"images2neibs: mode 'wrap_centered' needs patches of odd sizes, not {window}")
            places = size_floordiv(size_add(size, size_sub(step, 1)), step)
        else:
            places = size_add(size_floordiv(size_sub(size, w), step), 1)
        at = ew.add(dimshuffle(ew.mul(iota(places), step), 0, "x"), iota(w))
        if mode == "wrap_centered":
            at = ew.mod(ew.sub(at, size_floordiv(w, 2)), size)
        indices.append(dimshuffle(at, [0, "x", 1, "x"] if i == 0 else ["x", 0, "x", 1]))
        found.append(places)
    patches = gather(dimshuffle(x, 2, 3, 0, 1), *indices)  # (down, across, rows, columns, images, channels)
    patches = dimshuffle(patches, 4, 5, 0, 1, 2, 3)
    rows = size_product([*sizes_of(x)[:2], *found])
    return reshape(patches, (rows, size_mul(*window)), ndim=2)


def neibs2images(neibs: Any, neib_shape: Any, original_shape: Any, mode: str = "valid") -> Expr:
    """The images of shape ``original_shape`` whose patches, side by side, are the rows of ``neibs``.

    ``mode`` is 'valid' or 'ignore_borders' (what the patches do not reach is 0).
    Raises ShapeError where ``neibs`` is no matrix, FuseValueError for another mode.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> neibs2images(m, (1, 2), (1, 1, 1, 4)).eval({m: [[1.0, 2.0], [3.0, 4.0]]})
    array([[[[1., 2., 3., 4.]]]])
    """
    x, window = as_expr(neibs), _pair(neib_shape, "neib_shape")
    if x.type.ndim != 2:
        raise ShapeError(f"neibs2images takes a matrix, not a {x.type.describe()}")
    if mode not in ("valid", "ignore_borders"):
        raise FuseValueError(f"mode is 'valid' or 'ignore_borders', not {mode!r}")
    shape = [original_shape[i] for i in range(4)] if isinstance(original_shape, Expr) else list(original_shape)
    sizes = [as_size(n, "original_shape") for n in shape]
    if len(sizes) != 4:
        raise ShapeError(f"original_shape has four entries, not {len(sizes)}")
    found = [size_floordiv(n, w) for n, w in zip(sizes[2:], window, strict=True)]
    patches = reshape(x, (*sizes[:2], *found, *window), ndim=6)
    covered = [size_mul(f, w) for f, w in zip(found, window, strict=True)]
    images = reshape(dimshuffle(patches, 0, 1, 2, 4, 3, 5), (*sizes[:2], *covered), ndim=4)
    if mode == "valid":
        return images
    return padded(images, [(0, size_sub(n, c)) for n, c in zip(sizes[2:], covered, strict=True)])
