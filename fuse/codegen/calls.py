"""Calls: what the wrapper calls besides kernels, and views as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from fuse import reference
from fuse.codegen import threads, tiles
from fuse.errors import FuseError
from fuse.expr import Expr
from fuse.op import OPS

Array = Any
INTEGER = re.compile(r"-?\d+|n\d+")  # how a wrapper writes numbers, and what it calls Python's ints


def remembered(factory: Callable[..., Any]) -> Callable[..., Any]:
    """``factory`` whose results say in ``made_by`` what made them, so that a stored plan makes them again."""

    @wraps(factory)
    def make(*args: Any) -> Any:
        made = factory(*args)
        made.made_by = (make, *args)
        return made

    return make


@remembered
def input_filter(variable: Expr) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        try:
            return variable.type.filter(value)
        except FuseError as error:
            raise about_input(error, variable, value) from None

    return convert


@remembered
def scalar_filter(variable: Expr) -> Callable[[Any], Any]:
    """What turns any value that the 0-d input ``variable`` takes into a Python number."""
    dtype = variable.type.numpy_dtype
    plain = (np.ndarray, dtype.type)

    def convert(value: Any) -> Any:
        if type(value) in plain and value.dtype is dtype and value.shape == ():    # a masked array is neither
            return value.item()
        try:
            return variable.type.filter(value).item()
        except FuseError as error:
            raise about_input(error, variable, value) from None

    return convert


def about_input(error: FuseError, variable: Expr, value: Any) -> FuseError:
    """``error`` saying which input it is about."""
    got = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    return type(error)(f"input {variable.name or 'without a name'} ({variable.type.describe()}) got {got}: {error}")


def is_integer(node: Expr, k: int) -> bool:
    """Whether argument ``k`` is an index or a size of no axes, which the wrapper computes as one of Python's ints."""
    first = node.op.integers_from
    return first is not None and k >= first and node.args[k].type.ndim == 0


def is_constant_view(node: Expr) -> bool:
    """Whether a subtensor takes slices, and integers that are known."""
    return all(entry[0] == "slice" or isinstance(entry[1], int) for entry in node.params["spec"])


def is_view(node: Expr, bounds: list[str]) -> bool:
    """Whether a subtensor takes slices, and integers that are known, or that the wrapper has as Python's."""
    wanted = [e[1] for e in node.params["spec"] if e[0] == "int"]
    return all(isinstance(v, int) or INTEGER.fullmatch(bounds[v[1]]) for v in wanted)


def is_checked(node: Expr) -> bool:
    """Whether a subtensor may be out of bounds: integers, unlike slices, are."""
    return any(entry[0] == "int" for entry in node.params["spec"])


def slice_text(node: Expr, bounds: list[str]) -> str:
    """The slices and known integers of a subtensor, or a store into one, as text: an array, never a NumPy scalar."""

    def part(value: Any) -> str:
        if value is None:
            return ""
        return bounds[value[1]] if isinstance(value, tuple) else str(value)

    entries = [part(e[1]) if e[0] == "int" else ":".join(map(part, e[1:])) for e in node.params["spec"]]
    whole = [e[0] for e in node.params["spec"]].count("int") == node.args[0].type.ndim
    return ", ".join(entries + ["..."] * (not entries or whole))


def shuffle_text(view: Expr) -> str:
    """A dimshuffle as NumPy text: drop dimensions of size 1, transpose, insert dimensions."""
    pattern = view.params["pattern"]
    kept = [d for d in pattern if d != "x"]
    dropped = [d for d in range(view.args[0].type.ndim) if d not in kept]
    text = ""
    if dropped:
        text += "[" + ", ".join("0" if d in dropped else ":" for d in range(view.args[0].type.ndim)) + "]"
        kept = [d - sum(e < d for e in dropped) for d in kept]
    if kept != sorted(kept):
        text += f".transpose({tuple(kept)})"
    if "x" in pattern:
        text += "[" + ", ".join("None" if d == "x" else ":" for d in pattern) + "]"
    return text


@remembered
def view_call(node: Expr) -> Callable[..., Array]:
    """The NumPy function of a view; numbers are repeated, the usual start of a loop, without NumPy's detours."""

    def call(*args: Any) -> Array:
        return node.op.numpy(*args, **node.params)

    def repeated(x: Array, *sizes: Any) -> Array:
        if type(x) is not np.ndarray or x.ndim or sizes and min(sizes) < 0:
            return call(x, *sizes)
        found = np.ndarray(sizes, x.dtype, x, 0, (0,) * len(sizes))
        found.setflags(write=False)
        return found

    return repeated if OPS.get("broadcast_to") is node.op else call


@remembered
def opaque_call(node: Expr) -> Callable[..., Any]:
    built_in = OPS.get(node.op.name) is node.op
    if built_in and node.op.name.startswith("correlate"):
        from fuse.codegen.convolving import call_of

        return call_of(node)
    if built_in and node.op.name == "matmul":
        return _stacks_call(node)

    def call(*args: Any) -> Any:
        result = reference.apply(node, args)
        if (
            isinstance(result, np.ndarray)
            and node.op.kind != "view"
            and any(result is a or not built_in and np.may_share_memory(result, a) for a in args)
        ):
            return result.copy()
        return result

    def reshaped(x: Array, *sizes: Any) -> Array:
        if type(x) is np.ndarray:
            try:
                return x.reshape(sizes)
            except (TypeError, ValueError):
                pass
        return call(x, *sizes)  # which tells the user's line

    return reshaped if OPS.get("reshape") is node.op else call


def _stacks_call(node: Expr) -> Callable[..., Any]:
    """Products of stacks of matrices, in tiles or by NumPy's matmul."""

    def call(a: Array, b: Array) -> Array:
        found = tiles.multiplied(a, b)
        if found is not None:
            return found
        if a.size * b.shape[-1] >= tiles.LEAST:
            threads.hush()
        return reference.apply(node, (a, b))

    return call


@remembered
def product_call(node: Expr) -> Callable[..., Any]:
    """NumPy's dot, whose errors tell of the node and the user's line."""
    call = reference.guarded(node, np.dot)
    call.plain = np.dot  # for a caller that goes another way where it raises
    return call


def increase(part: Array, value: Array, out: Array) -> None:
    """Add ``value`` to a view, which is given as ``out`` too."""
    np.add(part, value, out)


increase.plain = np.add  # type: ignore[attr-defined]


@remembered
def in_place_call(node: Expr) -> Callable[..., Any]:
    """The op's own way to work on its first argument."""
    return reference.guarded(node, node.op.meta["inplace"])
