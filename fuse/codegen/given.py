"""Arrays given for results (``out=``): which may be written directly, and what happens to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.errors import DTypeError, FuseTypeError, FuseValueError, ShapeError
from fuse.types import TensorType, shape_text

Array = Any


def fits(out: Array | None, shape: tuple[int, ...], apart: tuple[Any, ...], alike: tuple[Any, ...]) -> bool:
    """Whether a kernel may write a result of this shape into ``out``.

    That needs memory of its own: nothing of the arrays ``apart``; an array of ``alike`` may also be ``out`` itself.
    """
    if type(out) is not np.ndarray or out.shape != shape or not _is_plain(out):
        return False
    if any(np.may_share_memory(out, array) for array in apart):
        return False
    return not any(np.may_share_memory(out, array) and not _is_same(out, array) for array in alike)


def _is_plain(array: Array) -> bool:
    """Whether each element has a place of its own, on a whole multiple of its size."""
    return array.flags.aligned and (
        array.flags.c_contiguous
        or all(n < 2 or s and s % array.itemsize == 0 for n, s in zip(array.shape, array.strides, strict=True))
    )


def fits_product(out: Array | None, shape: tuple[int, ...], apart: tuple[Any, ...]) -> bool:
    """The same for NumPy's dot, which writes contiguous arrays only."""
    return fits(out, shape, apart, ()) and out.flags.c_contiguous  # type: ignore[union-attr]


def _is_same(a: Array, b: Any) -> bool:
    """Whether two arrays have the same elements in the same places."""
    return (
        isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )


def agree(out: Array | None, result: Array) -> None:
    """Raise ShapeError where ``out`` is not of the result's shape."""
    if out is not None and out.shape != result.shape:
        raise ShapeError(f"out has the shape {shape_text(out.shape)}, the result {shape_text(result.shape)}")


def listed(
    out: Any, form: str, keys: Sequence[str] | None, types: Sequence[TensorType], title: str
) -> list[Array | None]:
    """What was given as ``out``, one array or None for each output, checked but for its shape.

    Raises FuseTypeError, DTypeError, ShapeError or FuseValueError.
    """
    if form == "dict":
        if not isinstance(out, dict) or not set(out) <= set(keys or ()):
            raise FuseTypeError(f"{title} takes as out a dict with keys among {', '.join(keys or ())}, not {out!r:.60}")
        found = [out.get(key) for key in keys or ()]
        names = [f"out[{key!r}]" for key in keys or ()]
    elif form == "single":
        if isinstance(out, (tuple, list)) and len(out) == 1:
            out = out[0]
        found, names = [out], ["out"]
    else:
        if not isinstance(out, (tuple, list)) or len(out) != len(types):
            raise FuseTypeError(f"{title} takes as out a list of {len(types)} arrays, not {out!r:.60}")
        found, names = list(out), [f"out[{k}]" for k in range(len(types))]
    for array, name, type_ in zip(found, names, types, strict=True):
        if array is not None:
            _check(array, name, type_)
    arrays = [a for a in found if a is not None]
    for k, array in enumerate(arrays):
        if any(np.may_share_memory(array, other) for other in arrays[:k]):
            raise FuseValueError(f"{title} cannot write two results into the same memory")
    return found


def _check(array: Any, name: str, type_: TensorType) -> None:
    want = type_.describe()
    if not isinstance(array, np.ndarray):
        raise FuseTypeError(f"{name} is a NumPy array for a {want}, not {type(array).__name__}")
    if array.dtype != type_.numpy_dtype:
        raise DTypeError(f"{name} is an array of {array.dtype}, the result is a {want}")
    if array.ndim != type_.ndim or any(n not in (None, m) for n, m in zip(type_.shape, array.shape, strict=True)):
        raise ShapeError(f"{name} has the shape {shape_text(array.shape)}, the result is a {want}")
    if not array.flags.writeable:
        raise FuseValueError(f"{name} is read-only")


def into(program: Any, outs: Sequence[Array | None]) -> Callable[..., list[Array]]:
    """A call of ``program`` whose results stand in ``outs``, and are new arrays where those are None."""

    targets = list(getattr(program, "targets", []))
    if not hasattr(program, "launched"):  # not from a GPU's memory
        targets += [target for target, _ in getattr(program, "updates", [])]

    def call(*values: Any) -> list[Array]:
        before = [target.container.array for target in targets]
        results = program.into(values, outs) if hasattr(program, "into") else program(*values)
        try:
            for out, result in zip(outs, results, strict=False):
                agree(out, result)
        except ShapeError:  # nothing of a call that fails is stored
            for target, value in zip(targets, before, strict=True):
                target.container.array = value
            raise
        for k, out in enumerate(outs):
            if out is not None and out is not results[k]:
                np.copyto(out, results[k])
                results[k] = out
        return results

    return call
