"""PyTensor's ``tensor.random.utils``: RandomStream, and parameters broadcast against each other."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend.layout import broadcast_to
from fuse.frontend.shared import SharedVariable, shared
from fuse.frontend.sizes import broadcast_sizes, sizes_of


def params_broadcast_shapes(
    param_shapes: Sequence[Any], ndims_params: Sequence[int], **_: Any
) -> list[tuple[Any, ...]]:
    """The shapes of parameters whose leading axes, in front of the last ``ndims_params``, are broadcast.

    >>> params_broadcast_shapes([(3,), (2, 1, 4)], [0, 1])
    [(2, 3), (2, 3, 4)]
    """
    split = [(tuple(s)[: len(s) - n], tuple(s)[len(s) - n :]) for s, n in zip(param_shapes, ndims_params, strict=True)]
    batch = tuple(broadcast_sizes([b for b, _ in split]))
    return [(*batch, *core) for _, core in split]


def broadcast_params(params: Sequence[Any], ndims_params: Sequence[int]) -> list[Any]:
    """The parameters with their leading axes broadcast against each other; arrays stay arrays.

    >>> [p.shape for p in broadcast_params([np.zeros(3), np.zeros((2, 3, 3))], [1, 2])]
    [(2, 3), (2, 3, 3)]
    """
    if not any(isinstance(p, Expr) for p in params):
        shapes = params_broadcast_shapes([np.shape(p) for p in params], ndims_params)
        return [np.broadcast_to(p, s) for p, s in zip(params, shapes, strict=True)]
    exprs = list(map(as_expr, params))
    shapes = params_broadcast_shapes([sizes_of(p) for p in exprs], ndims_params)
    return [broadcast_to(p, s) for p, s in zip(exprs, shapes, strict=True)]


def normalize_size_param(size: Any) -> Expr:
    """``size`` as an integer vector."""
    from fuse.tensor.random.op import size_param

    return size_param(size)


def supp_shape_from_ref_param_shape(
    ndim_supp: int, dist_params: Sequence[Any], param_shapes: Sequence[Any] | None = None, ref_param_idx: int = 0
) -> tuple[Any, ...]:
    """The last ``ndim_supp`` sizes of the parameter at ``ref_param_idx``."""
    if param_shapes is not None:
        sizes = tuple(param_shapes[ref_param_idx])
    else:
        sizes = sizes_of(as_expr(dist_params[ref_param_idx]))
    if ndim_supp < 1 or len(sizes) < ndim_supp:
        raise FuseValueError(f"ndim_supp is {ndim_supp}: a parameter of {len(sizes)} axes has no draw of so many axes")
    return sizes[len(sizes) - ndim_supp :]


class RandomStream:
    """A source of draws, each with a NumPy generator of its own that a function which draws moves on.

    >>> import fuse
    >>> stream = RandomStream(seed=1)
    >>> draw = fuse.function([], stream.normal(0, 1, size=(2,)))
    >>> bool((draw() != draw()).all())
    True
    """

    def __init__(
        self, seed: int | None = None, namespace: ModuleType | None = None, rng_ctor: Callable[[Any], Any] | None = None
    ) -> None:
        if namespace is None:
            from fuse.tensor.random import basic as namespace

        self.namespace: Any = namespace
        self.default_instance_seed = seed
        self.state_updates: list[tuple[SharedVariable, Expr]] = []
        self.gen_seedgen = np.random.SeedSequence(seed)
        self.rng_ctor = rng_ctor or np.random.default_rng

    def __getattr__(self, name: str) -> Any:
        from fuse.tensor.random.op import RandomVariable

        found = None if name.startswith("__") else getattr(self.namespace, name, None)
        ours = self.namespace.__name__.startswith("fuse.") and name in self.namespace.__all__ and callable(found)
        if not ours and not isinstance(found, RandomVariable):
            raise AttributeError(f"No attribute {name}.")
        return lambda *args, **kwargs: self.gen(found, *args, **kwargs)

    def updates(self) -> list[tuple[SharedVariable, Expr]]:
        """The pairs (generator, generator after the draw) of all draws so far."""
        return list(self.state_updates)

    def _generators(self, count: int) -> list[Any]:
        if self.rng_ctor is np.random.RandomState:
            return [self.rng_ctor(np.random.MT19937(seed)) for seed in self.gen_seedgen.spawn(count)]
        return [self.rng_ctor(seed) for seed in self.gen_seedgen.spawn(count)]

    def seed(self, seed: int | None = None) -> None:
        """Start every generator again, from ``seed`` (None: from the seed of the stream)."""
        self.gen_seedgen = np.random.SeedSequence(self.default_instance_seed if seed is None else seed)
        for (rng, _), value in zip(self.state_updates, self._generators(len(self.state_updates)), strict=True):
            rng.set_value(value, borrow=True)

    def gen(self, op: Any, *args: Any, **kwargs: Any) -> Expr:
        """A draw by ``op`` from a new generator."""
        if "rng" in kwargs:
            raise FuseValueError("The `rng` option cannot be used with a variable in `RandomStream`")
        (value,) = self._generators(1)
        rng = shared(value, borrow=True)
        after, sample = op(*args, **kwargs, rng=rng, return_next_rng=True)
        rng.default_update = after
        self.state_updates.append((rng, after))
        sample.__dict__.update(rng=rng)
        return sample


__all__ = [
    "RandomStream", "broadcast_params", "normalize_size_param", "params_broadcast_shapes",
    "supp_shape_from_ref_param_shape",
]
