"""Theano's ``scan_checkpoints``: ``scan`` that keeps some steps only, for outputs and for the gradient."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fuse.errors import FuseValueError
from fuse.expr import Expr
from fuse.frontend import elementwise as ew
from fuse.frontend.creation import arange
from fuse.scan_module.scan import scan

__all__ = ["scan_checkpoints"]


def scan_checkpoints(
    fn: Callable[..., Any], sequences: Any = (), outputs_info: Any = None, non_sequences: Any = (),
    name: str = "checkpointscan_fn", n_steps: Any = None, save_every_N: int = 10, padding: bool = True,
) -> tuple[Any, Any]:
    """``scan(..., checkpoint=save_every_N)``, whose outputs are those of each ``save_every_N``-th and the last step.

    The steps between are done again for the gradient. Earlier values other than the last one (taps) cannot be read.
    ``padding`` is accepted: no number of steps needs it.
    Raises FuseValueError for taps.

    >>> import fuse, fuse.tensor as T
    >>> a = T.dvector("a")
    >>> powers, _ = scan_checkpoints(lambda p, a: p * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=5,
    ...                              save_every_N=2)
    >>> powers.eval({a: [2.0]})
    array([[ 4.],
           [16.],
           [32.]])
    """
    for info in outputs_info if isinstance(outputs_info, (list, tuple)) else [outputs_info]:
        if isinstance(info, Mapping) and any(t != -1 for t in info.get("taps", [-1])):
            raise _TapsError("scan_checkpoints reads the last values only, no taps: use scan(checkpoint=...)")
    every = int(save_every_N)
    found, updates = scan(
        fn, list(sequences) if isinstance(sequences, (list, tuple)) else sequences, outputs_info,
        list(non_sequences) if isinstance(non_sequences, (list, tuple)) else non_sequences, n_steps, name=name,
        checkpoint=every,
    )

    def kept(x: Expr) -> Expr:
        count = ew.int_div(ew.add(x.shape[0], every - 1), every)
        return x[ew.sub(ew.minimum(ew.mul(ew.add(arange(count), 1), every), x.shape[0]), 1)]

    return [kept(x) for x in found] if isinstance(found, list) else kept(found), updates


class _TapsError(FuseValueError, RuntimeError):
    """Theano's error for taps."""
