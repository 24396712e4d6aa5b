"""The views of ``scan``: map, reduce, foldl and foldr."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.scan_module.scan import scan


def map(
    fn: Callable[..., Any], sequences: Any, non_sequences: Any = None, truncate_gradient: int = -1,
    go_backwards: bool = False, mode: Any = None, name: str | None = None, return_updates: bool = True,
) -> Any:
    """``fn`` of every element of the sequences: (outputs, updates).

    >>> import fuse, fuse.tensor as T
    >>> m = T.dmatrix("m")
    >>> norms, _ = fuse.map(lambda row: T.sqrt((row ** 2).sum()), m)
    >>> norms.eval({m: [[3.0, 4.0], [0.0, 2.0]]})
    array([5., 2.])
    """
    return scan(fn, sequences, None, non_sequences, None, truncate_gradient, go_backwards, mode, name,
                return_updates=return_updates)


def reduce(
    fn: Callable[..., Any], sequences: Any, outputs_info: Any, non_sequences: Any = None, go_backwards: bool = False,
    mode: Any = None, name: str | None = None, return_updates: bool = True,
) -> Any:
    """The last outputs of ``scan``: what is left when ``fn(element, ..., so far, ...)`` has met every element.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> largest, _ = fuse.reduce(lambda x_t, best: T.maximum(x_t, best), x, T.constant(0.0))
    >>> float(largest.eval({x: [1.0, 5.0, 2.0]}))
    5.0
    """
    found = scan(
        fn, sequences, outputs_info, non_sequences, None, -1, go_backwards, mode, name, return_updates=return_updates,
    )
    outputs = found[0] if return_updates else found
    last = [x[-1] for x in outputs] if isinstance(outputs, (list, tuple)) else outputs[-1]
    return (last, found[1]) if return_updates else last


def foldl(
    fn: Callable[..., Any], sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None,
    name: str | None = None, return_updates: bool = True,
) -> Any:
    """``reduce`` from the first element to the last.

    >>> import fuse, fuse.tensor as T
    >>> digits = T.lvector("digits")
    >>> number, _ = fuse.foldl(lambda d, so_far: so_far * 10 + d, digits, T.constant(0, dtype="int64"))
    >>> int(number.eval({digits: [1, 2, 3]}))
    123
    """
    return reduce(fn, sequences, outputs_info, non_sequences, False, mode, name, return_updates)


def foldr(
    fn: Callable[..., Any], sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None,
    name: str | None = None, return_updates: bool = True,
) -> Any:
    """``reduce`` from the last element to the first.

    >>> import fuse, fuse.tensor as T
    >>> digits = T.lvector("digits")
    >>> number, _ = fuse.foldr(lambda d, so_far: so_far * 10 + d, digits, T.constant(0, dtype="int64"))
    >>> int(number.eval({digits: [1, 2, 3]}))
    321
    """
    return reduce(fn, sequences, outputs_info, non_sequences, True, mode, name, return_updates)
