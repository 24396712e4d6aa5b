"""Orders of memory: results stand in memory as the arrays do that they are computed from (NumPy's order "K").

Wrappers make results in C order. Where the arrays come in another one, all in the same, whoever runs the kernel takes
views of the new results instead, so that loops walk all memory in one direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuse.codegen.kernel import Kernel
    from fuse.codegen.region import Region
    from fuse.expr import Expr

Array = Any
# Of a result: its place among the arrays of a kernel, and the places of those that have all its axes, with the
# dimensions that these are there.
Order = tuple[int, tuple[tuple[int, tuple[int, ...]], ...]]


def orders(region: Region, bases: Sequence[Expr], made: Sequence[Expr]) -> tuple[Order, ...]:
    """What the memory of the results ``made`` may follow."""
    found: list[Order] = []
    for node in made:
        axes = region.amap[node]
        if len(axes) < 2 or None in axes:
            continue
        places = tuple([
            (k, tuple([region.loads[base].index(a) for a in axes]))
            for k, base in enumerate(bases)
            if base in region.loads and base is not node and set(axes) <= set(region.loads[base])
        ])
        if places:
            found.append((bases.index(node), places))
    return tuple(found)


def walks_alike(kernel: Kernel) -> bool:
    """Whether a kernel for C order is one for any order that all its arrays share, as it walks each from end to end."""
    from fuse.codegen.kernel import Load, Loop, Position, Store, walk  # not needed where a plan was kept

    if len({b.ndim for b in kernel.buffers}) != 1 or any(source[0] != "buffer" for source in kernel.sizes):
        return False
    loops = [s for s in walk(kernel.body) if isinstance(s, Loop)]
    if len(loops) != 1 or not loops[0].axis.parts or any(isinstance(s, Position) for s in walk(kernel.body)):
        return False
    return all(s.index == (loops[0].axis,) for s in walk(kernel.body) if isinstance(s, (Load, Store)))


def order_of(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The dimensions by falling stride; those that are as they would be in C order keep their places.

    >>> order_of((2, 3), (8, 16)), order_of((2, 1), (8, 16))
    ((1, 0), (0, 1))
    """
    if 1 in shape:
        last = 0  # a dimension of one element goes along with the next
        known = list(strides)
        for d in range(len(shape) - 1, -1, -1):
            known[d] = last = known[d] if shape[d] != 1 else last
        strides = known
    return tuple(sorted(range(len(shape)), key=lambda d: -abs(strides[d])))


def followed(args: Sequence[Any], order: Order) -> tuple[int, ...] | None:
    """The dimensions of a new result in the order its operands share; None where that is C order or there is none."""
    place, sources = order
    shape = args[place].shape
    found = {order_of(shape, [args[k].strides[d] for d in dims]) for k, dims in sources}
    if len(found) != 1 or not args[place].flags.c_contiguous:
        return None
    (perm,) = found
    return None if perm == tuple(range(len(shape))) else perm


def reordered(new: Array, perm: tuple[int, ...]) -> Array:
    """A view of the memory of ``new``, which is in C order, whose dimensions ``perm`` are in that order.

    >>> import numpy as np
    >>> reordered(np.empty((2, 3)), (1, 0)).strides
    (8, 16)
    """
    shape = new.shape
    return new.reshape([shape[d] for d in perm]).transpose(sorted(range(len(perm)), key=perm.__getitem__))


def shared_order(arrays: Sequence[Array]) -> tuple[int, ...] | None:
    """The order of dimensions in which arrays of one shape are contiguous; None where there is none."""
    perm = order_of(arrays[0].shape, arrays[0].strides)
    return perm if all(a.transpose(perm).flags.c_contiguous for a in arrays) else None
