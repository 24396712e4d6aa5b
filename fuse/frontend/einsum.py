"""einsum: sums of products over named axes, taken apart into diagonals, sums and products of matrices.

Operands are contracted two at a time in the order that ``numpy.einsum_path`` finds for the sizes known at build time
(others count as 32). Gradients are those of what it is made of.
"""
from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import specify_shape
from fuse.frontend.layout import diagonal, dimshuffle
from fuse.frontend.linalg import agreeing, dot, fold_axes, matmul, unfold_axes
from fuse.frontend.reductions import any as any_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import sizes_of
from fuse.types import promote, shape_text

_SIZE = 32  # of an axis known at run time only, for the choice of an order


# ---------------------------------------------------------------- what is asked for
def _interleaved(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """``einsum(x, [0, 1], y, [1, 2], [0, 2])`` as subscripts and operands."""
    *pairs, last = operands if len(operands) % 2 else (*operands, None)

    def letters(axes: Any) -> str:
        try:
            return "".join("..." if a is Ellipsis else string.ascii_letters[a] for a in axes)
        except (TypeError, IndexError):
            raise FuseTypeError(f"the axes of einsum are lists of integers from 0 to 51, not {axes!r}") from None

    text = ",".join(letters(axes) for axes in pairs[1::2])
    return text if last is None else f"{text}->{letters(last)}", list(pairs[::2])


def _parsed(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """A letter for each axis of each operand, and those of the result; an ellipsis becomes letters of its own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise FuseValueError(f"einsum {subscripts!r} names {len(terms)} operands and got {len(ranks)}")
    for term in [*terms, right]:
        plain = term.replace("...", "", 1)
        if any(c not in string.ascii_letters for c in plain):
            raise FuseValueError(f"einsum takes letters, commas, one '->' and '...', not {subscripts!r}")
    hidden = [r - len(t.replace("...", "")) if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
    for term, rank, more in zip(terms, ranks, hidden, strict=True):
        if more < 0 or "..." not in term and len(term) != rank:
            raise ShapeError(f"einsum {subscripts!r} names the axes {term!r} of an operand of {rank} dimensions")
    free = [c for c in string.ascii_letters if c not in text][: max(hidden, default=0)]
    if len(free) < max(hidden, default=0):
        raise FuseValueError("einsum has 52 letters for the axes of all operands: these are more")
    ellipsis = "".join(free)
    terms = [t.replace("...", ellipsis[len(ellipsis) - n:]) for t, n in zip(terms, hidden, strict=True)]
    if arrow:
        out = right.replace("...", ellipsis)
    else:
        counts = Counter("".join(terms))
        out = ellipsis + "".join(sorted(c for c, n in counts.items() if n == 1 and c not in ellipsis))
    if any(n > 1 for n in Counter(out).values()) or not set(out) <= set("".join(terms)):
        raise FuseValueError(f"einsum {subscripts!r}: each axis of the result stands there once, and in an operand")
    return terms, out


# ---------------------------------------------------------------- one operand
def _diagonals(x: Expr, names: str) -> tuple[Expr, str]:
    """``x`` with axes of one name replaced by their diagonal."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            x = specify_shape(x, [sizes_of(x)[first] if k == second else n for k, n in enumerate(sizes_of(x))])
            x = diagonal(x, 0, first, second)
            names = names[:first] + names[first + 1:second] + names[second + 1:] + name
    return x, names


def _summed(x: Expr, names: str, keep: set[str]) -> tuple[Expr, str]:
    """``x`` summed over the axes that nobody else needs, in its own dtype, as NumPy does it here."""
    axes = tuple([k for k, name in enumerate(names) if name not in keep])
    if not axes:
        return x, names
    total = any_(x, axis=axes) if x.type.dtype == "bool" else sum_(x, axis=axes, dtype=x.type.dtype)
    return total, "".join(name for name in names if name in keep)


def _ordered(x: Expr, names: str, wanted: str) -> Expr:
    """``x`` with its axes in the order ``wanted``, which may have more: axes of size 1 then."""
    return dimshuffle(x, [names.index(name) if name in names else "x" for name in wanted])


# ---------------------------------------------------------------- two operands
def _without_ones(x: Expr, names: str, sizes: dict[str, Any]) -> tuple[Expr, str]:
    """``x`` without axes of size 1 whose name means a larger one elsewhere: they broadcast."""
    ones = [k for k, n in enumerate(x.type.shape) if n == 1 and sizes[names[k]] != 1]
    kept = [k for k in range(len(names)) if k not in ones]
    return (dimshuffle(x, kept), "".join(names[k] for k in kept)) if ones else (x, names)


def _pair(x: Expr, a: str, y: Expr, b: str, keep: set[str]) -> tuple[Expr, str]:
    """The product of ``x`` and ``y``, summed over axes of both that are not in ``keep``, and the names of its axes."""
    x, a = _summed(x, a, keep | set(b))
    y, b = _summed(y, b, keep | set(a))
    inner = "".join(c for c in a if c in b and c not in keep)
    batch = "".join(c for c in a if c in b and c in keep)
    rows, columns = "".join(c for c in a if c not in b), "".join(c for c in b if c not in a)
    names = batch + rows + columns
    if not inner:
        return ew.mul(_ordered(x, a, names), _ordered(y, b, names)), names
    sizes_x = dict(zip(a, sizes_of(x), strict=True))
    for group in (inner, batch):
        y = agreeing(y, [b.index(c) for c in group], [sizes_x[c] for c in group])
    sizes = dict(zip(b, sizes_of(y), strict=True)) | sizes_x

    def folded(z: Expr, have: str, *groups: str) -> Expr:
        """``z`` as a stack of matrices or of vectors: an axis for each group."""
        kept = [g for g in groups if g]
        return fold_axes(_ordered(z, have, "".join(kept)), [[sizes[c] for c in g] for g in kept])

    if not batch:
        out = dot(folded(x, a, rows, inner), folded(y, b, inner, columns))
    else:
        left, right = folded(x, a, batch, rows, inner), folded(y, b, batch, inner, columns)
        left = left if rows else dimshuffle(left, 0, "x", 1)
        right = right if columns else dimshuffle(right, 0, 1, "x")
        out = matmul(left, right)
        out = dimshuffle(out, [0, *[1] * bool(rows), *[2] * bool(columns)])
    return unfold_axes(out, [sizes[c] for c in names]), names


# ---------------------------------------------------------------- all of it
def _path(terms: Sequence[str], out: str, sizes: dict[str, Any], optimize: Any) -> list[tuple[int, ...]]:
    """Which operands to contract, step after step; results go to the end of the list."""
    if isinstance(optimize, (list, tuple)) and optimize and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    if len(terms) < 3 or optimize is False:
        return [(0, 1)] * (len(terms) - 1)
    known = {c: n if isinstance(n, int) else _SIZE for c, n in sizes.items()}
    shapes = [np.broadcast_to(np.float64(0), [known[c] for c in t]) for t in terms]
    how = "optimal" if len(terms) <= 6 else "greedy"
    return np.einsum_path(f"{','.join(terms)}->{out}", *shapes, optimize=how)[0][1:]


def einsum(subscripts: Any, *operands: Any, optimize: Any = True, **_: Any) -> Expr:
    """``numpy.einsum``: products of the operands, summed over the axes that the result does not name.

    ``subscripts`` such as "ij,jk->ik", with a letter for each axis, "..." for those that broadcast, letters twice in
    one operand for a diagonal, and without "->" the letters that stand once in alphabetical order; or operands and
    lists of axes in turn. ``optimize``: a path of ``numpy.einsum_path``, or False for the order given.

    Raises FuseValueError and ShapeError where subscripts, ranks and known sizes do not fit.

    >>> import fuse.tensor as T
    >>> x, y = T.matrices("x", "y")
    >>> einsum("ij,kj->ik", x, y).eval({x: [[1.0, 2.0]], y: [[3.0, 4.0], [5.0, 6.0]]})
    array([[11., 17.]])
    >>> einsum("ii", [[1, 2], [3, 4]]).eval()
    array(5)
    """
    given = list(operands)
    if not isinstance(subscripts, str):
        subscripts, given = _interleaved([subscripts, *given])
    xs = [as_expr(x) for x in given]
    terms, out = _parsed(subscripts, [x.type.ndim for x in xs])
    dtype = promote(*[x.type.dtype for x in xs])
    sizes = _sizes(subscripts, terms, xs)
    pairs = []
    for x, term in zip(xs, terms, strict=True):
        x, names = _diagonals(ew.cast(x, dtype), term)
        pairs.append(_without_ones(x, names, sizes))
    for step in _path([names for _, names in pairs], out, sizes, optimize):
        chosen = [pairs[k] for k in step]
        pairs = [pair for k, pair in enumerate(pairs) if k not in step]
        x, names = chosen[0]
        for k, (y, more) in enumerate(chosen[1:], 2):
            later = "".join(n for _, n in [*pairs, *chosen[k:]])
            x, names = _pair(x, names, y, more, set(out) | set(later))
        pairs.append((x, names))
    (x, names), = pairs
    x, names = _summed(x, names, set(out))
    return _ordered(x, names, out)


def _sizes(subscripts: str, terms: Sequence[str], xs: Sequence[Expr]) -> dict[str, Any]:
    """The size that each letter means: known ones first, then run-time ones, then 1."""
    sizes: dict[str, Any] = {}
    for term, x in zip(terms, xs, strict=True):
        for name, n in zip(term, x.type.shape, strict=True):
            known = sizes.setdefault(name, n)
            if known == 1 or known is None and n not in (None, 1):
                sizes[name] = n
            elif known is not None and n not in (None, 1, known):
                shapes = ", ".join(shape_text(z.type.shape) for z in xs)
                raise ShapeError(f"einsum {subscripts!r}: axis {name!r} has sizes {known} and {n} (shapes {shapes})")
    return sizes


__all__ = ["einsum"]
