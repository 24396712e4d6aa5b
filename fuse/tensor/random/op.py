"""PyTensor's ``tensor.random.op``: RandomVariable, the op of a draw from a generator of NumPy's."""
from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np

from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError, MethodNotDefined, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend.apply import Apply
from fuse.frontend.class_op import Op
from fuse.frontend.layout import dimshuffle
from fuse.frontend.raw_random import random_generator_type, random_state_type
from fuse.frontend.shared import shared
from fuse.frontend.sizes import as_size_expr, as_sizes, broadcast_sizes, make_vector, sizes_of
from fuse.tensor.random.utils import supp_shape_from_ref_param_shape
from fuse.typebase import Type
from fuse.types import DISCRETE, TensorType, dtype_name, shape_text


def parsed_signature(signature: str) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The names of the core axes of a signature as ``"(n),(n,n)->(n)"``: of the parameters, and of the draw.

    Raises FuseValueError for what is no signature.

    >>> parsed_signature("(n),()->(n)")
    ([('n',), ()], ('n',))
    """
    given, _, made = signature.replace(" ", "").partition("->")
    groups = [[tuple(re.findall(r"\w+", part)) for part in re.findall(r"\(([^)]*)\)", side)] for side in (given, made)]
    if len(groups[1]) != 1:
        raise FuseValueError(f"{signature!r} is no signature such as '(),()->()'")
    return groups[0], groups[1][0]


class RandomVariable(Op):
    """A draw from a distribution: called with its parameters it gives the sample.

    ``signature`` says what the parameters and the draw are: ``"(),()->()"`` for two numbers and a number. ``size`` is
    the shape of independent draws, by default that of the broadcast parameters; ``rng`` an expression for a NumPy
    generator (``fuse.shared(np.random.default_rng(1))``). The application has two outputs: the generator after the
    draw, and the sample. A subclass has ``rng_fn(rng, *parameters, size)``, or its ``name`` is a method of generators.

    >>> import numpy as np, fuse
    >>> rng = fuse.shared(np.random.default_rng(1))
    >>> sample = RandomVariable("normal", signature="(),()->()", dtype="floatX")(0.0, 1.0, size=(2,), rng=rng)
    >>> draw = fuse.function([], sample, updates={rng: sample.owner.outputs[0]})
    >>> bool((np.concatenate([draw(), draw()]) == np.random.default_rng(1).normal(size=4)).all())
    True
    """

    __props__ = ("name", "signature", "ndim_supp", "ndims_params", "dtype", "inplace")
    default_output = 1
    exact_types = True
    name: Any = None
    signature: Any = None
    dtype: Any = None
    inplace: Any = False
    without_gradient = "draws of NumPy's generators have no derivative in their parameters"
    ndim_supp: Any = None
    ndims_params: Any = None

    def __init__(
        self, name: str | None = None, ndim_supp: int | None = None, ndims_params: Any = None, dtype: Any = None,
        inplace: bool | None = None, signature: str | None = None,
    ) -> None:
        self.name = name or self.name
        self.signature = signature or self.signature
        self.dtype = dtype if dtype is not None else self.dtype
        self.inplace = bool(self.inplace if inplace is None else inplace)
        supp = self.ndim_supp if ndim_supp is None else ndim_supp
        ranks = self.ndims_params if ndims_params is None else ndims_params
        if self.signature is not None:
            self.inputs_sig, self.output_sig = parsed_signature(self.signature)
            supp, ranks = len(self.output_sig), [len(s) for s in self.inputs_sig]
        if not isinstance(ranks, Sequence):
            raise FuseTypeError("Parameter ndims_params must be sequence type.")
        self.ndim_supp, self.ndims_params = supp, tuple(ranks)
        if self.inplace:
            self.destroy_map = {0: [0]}

    def __str__(self) -> str:
        sign = f'"{self.signature}"' if self.signature is not None else f"{self.ndim_supp}, {self.ndims_params}"
        return f"{self.name}_rv{{{sign}, {self.dtype}, {self.inplace}}}"

    def rng_fn(self, rng: Any, *args: Any) -> Any:
        """The sample, from NumPy's generator, the parameters as arrays, and last the size (a tuple or None)."""
        return getattr(rng, self.name)(*args)

    # ---------------------------------------------------------------- shapes
    def _supp_shape_from_params(self, dist_params: Sequence[Any], param_shapes: Any = None) -> tuple[Any, ...]:
        """The sizes of one draw."""
        if not self.ndim_supp:
            return ()
        if self.signature is None:
            raise MethodNotDefined(f"{self.name}: write _supp_shape_from_params, or give a signature")
        known: dict[str, Any] = {}
        for p, names in zip(dist_params, self.inputs_sig, strict=True):
            sizes = sizes_of(as_expr(p))
            known.update(zip(names, sizes[len(sizes) - len(names) :], strict=True))
        missing = [n for n in self.output_sig if n not in known]
        if missing:
            raise MethodNotDefined(
                f"{self.name}: no parameter has the axis {missing[0]!r} of the draw: write _supp_shape_from_params"
            )
        return tuple([known[n] for n in self.output_sig])

    def _batch_sizes(self, dist_params: Sequence[Expr]) -> tuple[Any, ...]:
        ranks = zip(dist_params, self.ndims_params, strict=True)
        return broadcast_sizes([sizes_of(p)[: max(p.type.ndim - n, 0)] for p, n in ranks])

    def _sizes(self, size: Any, dist_params: Sequence[Expr]) -> tuple[Any, ...]:
        batch = self._batch_sizes(dist_params) if _is_none(size) else as_sizes(size)
        if not _is_none(size):
            for p, n in zip(dist_params, self.ndims_params, strict=True):
                if p.type.ndim - n > len(batch):
                    raise FuseValueError(
                        f"Size length is incompatible with batched dimensions of parameter: size has {len(batch)} "
                        f"entries, the parameter {p} has {p.type.ndim - n} axes for several draws"
                    )
        return (*batch, *self._supp_shape_from_params(dist_params))

    def _infer_shape(self, size: Any, dist_params: Sequence[Any], param_shapes: Any = None) -> Any:
        """The shape of the sample, as a vector expression."""
        sizes = self._sizes(size, list(map(as_expr, dist_params)))
        return make_vector(*map(as_size_expr, sizes)) if sizes else constant(np.zeros(0, "int64"))

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Sequence[Any]) -> list[Any]:
        return [None, tuple(map(as_size_expr, self._sizes(node.inputs[1], node.inputs[2:])))]

    # ---------------------------------------------------------------- applications
    def __call__(
        self, *args: Any, size: Any = None, name: str | None = None, rng: Any = None, dtype: Any = None,
        return_next_rng: bool = False, return_list: bool = False, **_: Any,
    ) -> Any:
        op = self
        if dtype is not None and dtype_name(dtype) != self.dtype:
            op = copy(self)
            op.dtype = dtype_name(dtype)
        node = op.make_node(rng, size, *args)
        if name is not None:
            node.outputs[1].name = name
        if return_list:
            return list(node.outputs)
        return tuple(node.outputs) if return_next_rng else node.outputs[1]

    def make_node(self, rng: Any, size: Any, *dist_params: Any) -> Apply:
        if len(dist_params) != len(self.ndims_params):
            raise FuseTypeError(f"{self.name} takes {len(self.ndims_params)} parameters, not {len(dist_params)}")
        if rng is None:
            rng = shared(np.random.default_rng())
        elif isinstance(rng, (np.random.Generator, np.random.RandomState)):
            rng = shared(rng)
        elif not isinstance(getattr(rng, "type", None), (type(random_generator_type), type(random_state_type))):
            raise FuseTypeError(
                "The type of rng should be an instance of RandomGeneratorType or RandomStateType, such as "
                "fuse.shared(np.random.default_rng())"
            )
        params = list(map(as_expr, dist_params))
        sizes = size_param(size)
        dtype = self._dtype()
        static = [n if isinstance(n, int) else None for n in self._sizes(sizes, params)]
        return Apply(self, [rng, sizes, *params], [rng.type(), TensorType(dtype, static)()])

    def batched_node(self, args: Sequence[Expr], flags: Sequence[bool], n: Expr) -> Expr:
        """The node that draws ``n`` times, where ``flags`` say which arguments have an axis for that in front.

        One generator draws for all, also where draws of another batch came before: draws of the same parameters differ.
        Raises FuseValueError for a batch of sizes.
        """
        if flags[1]:
            raise FuseValueError(f"{self.name}: the draws of a batch have one size")
        rng, size, *params = args
        ranks = [p.type.ndim - f for p, f in zip(params, flags[2:], strict=True)]
        sizes = list(as_sizes(size)) if not _is_none(size) else [] if any(flags[2:]) else [*self._batch_sizes(params)]
        batch = max([len(sizes), *[r - k for r, k in zip(ranks, self.ndims_params, strict=True)]])
        wide = [
            dimshuffle(p, [0, *["x"] * (batch - (r - k)), *range(1, r + 1)]) if f else p
            for p, f, r, k in zip(params, flags[2:], ranks, self.ndims_params, strict=True)
        ]
        return self.make_node(rng, (n, *sizes) if sizes or not any(flags[2:]) else None, *wide).node

    def _dtype(self) -> str:
        if self.dtype is None:
            raise FuseTypeError("dtype is unspecified: give it to the class, or to the call (dtype='float64')")
        return config.floatX if self.dtype == "floatX" else dtype_name(self.dtype)

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        rng, size, *params = inputs
        rng = rng if self.inplace else deepcopy(rng)
        # numbers as written are float32 where that is exact; generators compute in double precision
        params = [p.astype("float64") if p.dtype.kind == "f" else p for p in params]
        drawn = np.asarray(self.rng_fn(rng, *params, tuple(map(int, size)) or None))
        type_ = node.outputs[1].type
        if drawn.ndim != type_.ndim or any(n not in (None, m) for n, m in zip(type_.shape, drawn.shape, strict=True)):
            raise ShapeError(f"{self} drew shape {drawn.shape}, where {shape_text(type_.shape)} was expected")
        output_storage[0][0], output_storage[1][0] = rng, drawn.astype(type_.dtype, copy=False)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i == 0, i > 1] for i in range(len(node.inputs))]

    def R_op(self, inputs: list[Expr], eval_points: list[Any]) -> list[Any]:
        return [None, None]

    def update(self, node: Apply) -> dict[Expr, Expr]:
        """Which generator the one after the draw takes the place of."""
        return {node.inputs[0]: node.outputs[0]}

    # what programs ask of an op and of an application
    def _props(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__props__])

    def _props_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__props__}

    def rng_param(self, node: Apply) -> Expr:
        return node.inputs[0]

    def size_param(self, node: Apply) -> Expr:
        return node.inputs[1]

    def dist_params(self, node: Apply) -> list[Expr]:
        return list(node.inputs[2:])

    def batch_ndim(self, node: Apply) -> int:
        return int(node.outputs[1].type.ndim - self.ndim_supp)


def _is_none(size: Any) -> bool:
    if isinstance(size, Constant):
        return size.data.ndim == 1 and not size.data.size
    return size is None or isinstance(size, (tuple, list)) and not size


def size_param(size: Any) -> Expr:
    """``size`` as an integer vector; an empty one for None.

    Raises FuseTypeError for what is no integer, FuseValueError for a vector of unknown length.

    >>> size_param((2, 3)).data, size_param(4).data
    (array([2, 3]), array([4]))
    """
    if size is None:
        return constant(np.zeros(0, "int64"))
    if isinstance(size, (set, dict, str)):
        raise FuseTypeError("Parameter size must be None, an integer, or a sequence with integers.")
    if isinstance(size, Expr) and size.type.ndim == 1:
        if size.type.dtype not in DISCRETE:
            raise FuseTypeError("Parameter size must be an integer vector.")
        if size.type.shape[0] is not None:
            return size
        raise FuseValueError("Length of size is not known: give a tuple, or declare it with specify_shape")
    sizes = as_sizes(size)
    if all(isinstance(n, int) for n in sizes):
        return constant(np.array(sizes, "int64"))
    return make_vector(*map(as_size_expr, sizes))


class _Maker(Op):
    """A new generator from a seed; one from the operating system without."""

    __props__ = ("random_type",)

    def __init__(self, random_type: Type, make: Any) -> None:
        self.random_type, self.make = random_type, make

    def make_node(self, seed: Any = None) -> Apply:
        return Apply(self, [constant(np.zeros(0, "int64")) if seed is None else as_expr(seed)], [self.random_type()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        (seed,) = inputs
        output_storage[0][0] = self.make() if not seed.size else self.make(int(seed) if not seed.ndim else seed)


default_supp_shape_from_params = supp_shape_from_ref_param_shape
RandomState = _Maker(random_state_type, np.random.RandomState)
default_rng = _Maker(random_generator_type, np.random.default_rng)

__all__ = ["RandomState", "RandomVariable", "default_rng", "parsed_signature", "size_param"]
