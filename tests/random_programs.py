"""Random programs with values: everything that a user can write, from a seed. For the tests and tests/fuzz.py."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fuse
import fuse.frontend
import fuse.tensor as T
from fuse import reference
from fuse.errors import FuseError, FuseValueError
from fuse.expr import Expr, toposort
from fuse.frontend.loops import LOOP, stepwise
from fuse.op import OPS
from fuse.types import TensorType

Array = np.ndarray[Any, Any]

FLOATS = ("float64", "float32", "float16")
DTYPES = {
    "float64": 0.34, "float32": 0.2, "float16": 0.04, "int64": 0.1, "int32": 0.06, "int16": 0.03, "int8": 0.05,
    "uint8": 0.05, "uint32": 0.03, "uint64": 0.01, "bool": 0.05, "complex128": 0.025, "complex64": 0.015,
}
# Ops of the table that are no formula of a user, or whose value has no meaning of its own.
NOT_WRITTEN = {"broadcast_size", "philox", "fill", "polygamma", "overwriting"}
for module in pkgutil.iter_modules(fuse.frontend.__path__):  # a seed is one program, whatever else is loaded
    importlib.import_module(f"fuse.frontend.{module.name}")
ELEMENTWISE = [op for name, op in sorted(OPS.items()) if op.kind == "elementwise" and name not in NOT_WRITTEN]
COMMON = [OPS[name] for name in ("add", "sub", "mul", "true_div", "neg", "sqr", "maximum", "exp", "switch", "cast")]
SIZES = (0, 1, 1, 2, 3, 4, 5, 8, 17, 40, 300)
MAX_ELEMENTS = 40_000


@dataclass
class RandomProgram:
    """What ``fuse.function`` is given, and values of the inputs for each call."""

    inputs: list[Expr]
    outputs: list[Expr]
    values: list[Array]
    updates: list[tuple[Any, Expr]] = field(default_factory=list)
    givens: dict[Expr, Expr] = field(default_factory=dict)
    clean: bool = True  # no NaN, infinity or overflow anywhere
    others: list[Array] | None = None  # values for a further call: of other sizes, in other layouts


@dataclass
class Maker:
    """A program in the making: its expressions with their values."""

    rng: np.random.Generator
    clean: bool
    pool: list[Expr] = field(default_factory=list)
    values: dict[Expr, Array] = field(default_factory=dict)
    updates: list[tuple[Any, Expr]] = field(default_factory=list)  # of variables that loops update

    def pick(self, test: Callable[[Expr], bool] = lambda x: True) -> Expr | None:
        found = [x for x in self.pool if test(x)]
        if not found:
            return None
        # Later expressions more often: deep graphs rather than wide ones.
        return found[min(int(len(found) * self.rng.random() ** 0.7), len(found) - 1)]

    def choose(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def value(self, x: Expr) -> Array:
        """The value of a new expression; everything below it is kept."""
        with np.errstate(all="ignore"):
            for node in toposort([x], known=self.values):
                args = [self.values[a] for a in node.args]
                is_loop = node.op is LOOP
                self.values[node] = stepped(node, args, self._within) if is_loop else reference.apply(node, args)
        return self.values[x]

    def _within(self, node: Expr, args: Sequence[Any]) -> Any:
        """The value of a node in a step of a loop; FuseValueError where it is none that the program may have."""
        if node.op.name == "cast" and not can_be_cast(np.asarray(args[0]), node.params["dtype"]):
            raise FuseValueError("a cast without a value in a later step")
        value = reference.apply(node, args)
        if isinstance(value, np.ndarray) and (value.size > MAX_ELEMENTS or self.clean and not _is_clean(value)):
            raise FuseValueError("a value in a later step that is not clean, or too large")
        return value

    def shape(self, x: Expr) -> tuple[int, ...]:
        return self.values[x].shape

    def add(self, x: Expr | None) -> None:
        """Take ``x`` into the pool if it has a value, of a reasonable size, and is as clean as the program."""
        if x is None or x in self.pool or not isinstance(x.type, TensorType):
            return
        known = set(self.values)
        try:
            value = self.value(x)
        except (FuseError, MemoryError):
            value = None
        new = [v for k, v in self.values.items() if k not in known and isinstance(v, np.ndarray)]
        bad = value is None or any(v.size > MAX_ELEMENTS for v in new)
        if not bad and self.clean:
            bad = not all(_is_clean(v) for v in new)
        if bad:
            self.values = {k: v for k, v in self.values.items() if k in known}
        else:
            self.pool.append(x)


def stepped(node: Expr, args: Sequence[Any], visit: Callable[[Expr, Sequence[Any]], Any]) -> Any:
    """The results of ``node``, a loop, whose steps are walked with ``visit`` (a node and its arguments' values)."""
    body = node.params["body"]

    def step(*values: Any) -> list[Any]:
        memory: dict[Expr, Any] = dict(zip(body.inputs, values, strict=True))
        for inner in toposort(body.outputs, known=memory):
            args = [memory[a] for a in inner.args]
            memory[inner] = stepped(inner, args, visit) if inner.op is LOOP else visit(inner, args)
        return [memory[o] for o in body.outputs]

    try:
        return stepwise(step)(*args, **node.params)
    except (ValueError, IndexError) as error:
        raise error if isinstance(error, FuseError) else FuseValueError(str(error)) from error


def _is_clean(value: Array) -> bool:
    if value.dtype.kind not in "fc" or not value.size:
        return True
    return bool(np.isfinite(value).all() and np.abs(value).max() < np.finfo(value.dtype).max ** 0.5)


def make_program(seed: int, steps: int = 10, clean: bool | None = None) -> RandomProgram:
    """A program of about ``steps`` operations over run-time and static sizes, with values in random layouts.

    Even seeds have loops and the other steps of random_steps.py, and odder layouts of inputs; seeds 4k + 1 have those
    of random_more.py, other sizes, and integers at the ends of their ranges.
    """
    from random_more import MORE
    from random_more import SIZES as MORE_SIZES
    from random_steps import FURTHER

    rng = np.random.default_rng(seed)
    more = seed % 4 == 1
    further = seed % 2 == 0 or more
    own = MORE if more else FURTHER
    some = MORE_SIZES if more else SIZES
    maker = Maker(rng, bool(seed % 3) if clean is None else clean)
    sizes = {"n": int(rng.choice(some)), "m": int(rng.choice(some)), "k": int(rng.choice(SIZES[1:6])), "1": 1}
    shapes = ["", "n", "n", "m", "nm", "nm", "nm", "mn", "nn", "n1", "1m", "knm", "k1m"]
    inputs: list[Expr] = []
    shared: list[Any] = []
    written: list[tuple[str, str]] = []  # of each input: dtype, axes
    fixed = {"1"}  # axes whose sizes types or shared variables know
    for number in range(int(rng.integers(2, 5))):
        axes = str(rng.choice(shapes))
        dtype = str(rng.choice(list(DTYPES), p=np.array(list(DTYPES.values())) / sum(DTYPES.values())))
        clean = maker.clean and not (more and "int" in dtype)
        value = random_value(rng, dtype, tuple(sizes[a] for a in axes), clean, ODD if further else ())
        static = rng.random() < 0.15
        type_ = TensorType(dtype, tuple(1 if a == "1" else sizes[a] if static else None for a in axes))
        if rng.random() < 0.15:
            leaf: Any = fuse.shared(np.array(value), name=f"s{number}")
            shared.append(leaf)
            value = np.array(value)
            fixed.update(axes)
        else:
            leaf = type_(f"x{number}")
            inputs.append(leaf)
            written.append((dtype, axes))
            fixed.update(axes if static else "")
        maker.pool.append(leaf)
        maker.values[leaf] = value
    for name, low in (("i", -3), ("j", 0)):
        leaf = TensorType("int64", ())(name)
        maker.values[leaf] = np.asarray(rng.integers(low, 5))
        inputs.append(leaf)
        maker.pool.append(leaf)
    bounds = inputs[-2:]
    for _ in range(steps):
        if further and rng.random() < (0.45 if more else 0.25):
            step = maker.choose(*own)
        else:
            step = STEPS[int(rng.choice(len(STEPS), p=WEIGHTS))]
        try:
            made = step(maker, bounds)
        except FuseError:
            continue  # not for these dtypes or ranks
        for x in made if isinstance(made, (list, tuple)) else [made]:
            maker.add(x)
    if rng.random() < 0.35:
        _gradients(maker)
    case = _finished(maker, inputs, shared)
    again = np.random.default_rng(seed + 2**32)
    case.others = _other_values(again, written, sizes, fixed, maker.clean)
    return case


def _other_values(
    rng: np.random.Generator, written: Sequence[tuple[str, str]], sizes: dict[str, int], fixed: set[str], clean: bool
) -> list[Array]:
    """Values of the inputs for another call: sizes that no type knows are others, and so are the layouts."""
    new = {axis: n if axis in fixed or rng.random() < 0.3 else int(rng.choice(SIZES)) for axis, n in sizes.items()}
    odd = (*ODD, "swapped")
    values = [random_value(rng, dtype, tuple(new[a] for a in axes), clean, odd) for dtype, axes in written]
    return [*values, np.asarray(rng.integers(-3, 5)), np.asarray(rng.integers(0, 5))]


def _finished(maker: Maker, inputs: list[Expr], shared: list[Any]) -> RandomProgram:
    rng, pool = maker.rng, maker.pool
    count = min(int(rng.integers(1, 5)), len(pool))
    outputs = [pool[int(i)] for i in rng.choice(len(pool), size=count, replace=False)]
    outputs.append(pool[-1])
    updates = [(s, value) for s, value in maker.updates if value in pool]
    for target in shared:
        found = [x for x in pool if target.type.is_super(x.type) and maker.shape(x) == maker.shape(target)]
        if rng.random() < 0.8:
            updates.append((target, found[-1] if rng.random() < 0.7 else found[int(rng.integers(len(found)))]))
    givens: dict[Expr, Expr] = {}
    if rng.random() < 0.15:
        old = inputs[0]
        inputs[0] = old.type(old.name)
        givens[old] = inputs[0]
        maker.values[inputs[0]] = maker.values[old]
    values = [maker.values[x] for x in inputs]
    return RandomProgram(inputs, outputs, values, updates, givens, maker.clean)


ODD = ("turned", "repeated", "unaligned", "read-only")


def random_value(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], clean: bool = True, odd: tuple[str, ...] = ()
) -> Array:
    """Numbers of ``dtype`` in a random memory layout, with special values where the program is not clean."""
    layout = rng.choice(["C", "C", "F", "step", "reverse", "offset", *odd])
    big = tuple(2 * n for n in shape) if layout == "step" else shape
    kind = np.dtype(dtype).kind
    if kind in "fc":
        a = np.asarray(rng.normal(size=big) * 2)
        a = (a + 1j * rng.normal(size=big) if kind == "c" else a).astype(dtype)
        if a.size and rng.random() < 0.2:
            a = np.round(a)
        if a.size and not clean:
            for _ in range(int(rng.integers(1, 4))):
                a.flat[int(rng.integers(a.size))] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, 1e4])
    elif kind == "b":
        a = rng.random(size=big) < 0.5
    else:
        info = np.iinfo(dtype)
        a = np.asarray(rng.integers(max(info.min, -9), min(info.max, 10), size=big).astype(dtype))
        if a.size and not clean:
            a.flat[int(rng.integers(a.size))] = [info.min, info.max, info.min + 1, 0][int(rng.integers(4))]
    a = np.asarray(a)
    if layout == "F":
        a = np.array(a, order="F")
    elif layout == "step":
        a = a[tuple(slice(None, None, 2) for _ in shape)]
    elif layout == "reverse":
        a = a[tuple(slice(None, None, -1) for _ in shape)]
    elif layout == "offset" and a.ndim:
        whole = np.zeros((a.shape[0] + 1, *a.shape[1:]), a.dtype)
        whole[1:] = a
        a = whole[1:]
    elif layout == "turned" and a.ndim:
        order = rng.permutation(a.ndim)
        a = np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
    elif layout == "repeated" and a.ndim and a.size:
        a = np.broadcast_to(a[:1], a.shape)
    elif layout == "unaligned":
        raw = np.zeros(a.nbytes + 1, "uint8")
        raw[1:] = np.frombuffer(a.tobytes(), "uint8")
        a = np.ndarray(a.shape, a.dtype, raw.data, 1)
    elif layout == "swapped":
        a = a.astype(a.dtype.newbyteorder())
    elif layout == "read-only":
        a = np.array(a)
        a.flags.writeable = False
    return a


# ---------------------------------------------------------------- steps: each makes one expression, or several
def _compatible(maker: Maker, x: Expr) -> Callable[[Expr], bool]:
    def test(y: Expr) -> bool:
        try:
            return len(np.broadcast_shapes(maker.shape(x), maker.shape(y))) <= 3
        except ValueError:
            return False

    return test


def _elementwise(maker: Maker, bounds: Any) -> Expr | None:
    op = maker.choose(*COMMON) if maker.rng.random() < 0.45 else maker.choose(*ELEMENTWISE)
    params = maker.choose(*op.meta.get("examples", ({},)))
    if op.name == "cast":
        dtypes = [d for d in DTYPES if not d.startswith("complex")]
        params = {"dtype": maker.choose(*dtypes)}
    args: list[Expr] = []
    for _ in range(op.nargs or 2):
        x = maker.pick(_compatible(maker, args[-1]) if args else lambda x: True)
        if x is None:
            return None
        if op.domain is not None and x.type.dtype in FLOATS and maker.rng.random() < 0.7:
            low, high = op.domain
            x = T.clip(x, *(np.dtype(x.type.dtype).type(b) for b in (max(low, -20.0), min(high, 20.0))))
            maker.value(x)
        args.append(x)
    if maker.rng.random() < 0.15:
        args[-1] = T.constant(maker.choose(0, 1, 2, -1, 0.5, 3))
    if op.name == "cast" and not can_be_cast(maker.value(args[0]), params["dtype"]):
        return None
    if op.name == "switch" and maker.rng.random() < 0.7:
        args[0] = T.gt(T.real(args[0]), 0)
    if op.name == "pow" and args[1].type.dtype not in FLOATS:
        args[1] = T.constant(maker.choose(2, 3, 0, 1))
    return op(*args, **params)


def can_be_cast(value: Array, dtype: str) -> bool:
    """Whether NumPy says what the cast gives: not for complex to real, nor for floats far outside of the integers."""
    if value.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
        return bool(np.isfinite(value).all() and (not value.size or float(np.abs(value).max()) < 2.0**31))
    return value.dtype.kind != "c"


def _reduce(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0 and maker.shape(x) != ())
    if x is None:
        return None
    ndim = x.type.ndim
    axis: Any = maker.choose(None, *range(-1, ndim), *([(0, ndim - 1)] if ndim > 1 else [(0,)]))
    reduce = maker.choose(T.sum, T.sum, T.prod, T.max, T.min, T.mean, T.any, T.all, T.var, T.std, T.logsumexp)
    if reduce is T.logsumexp and x.type.dtype not in FLOATS:
        return None
    return reduce(x, axis=axis, keepdims=bool(maker.rng.random() < 0.4))


def _position(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    return maker.choose(T.argmax, T.argmin)(x, axis=maker.choose(None, x.type.ndim - 1, 0))


def _shuffle(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick()
    if x is None:
        return None
    pattern: list[Any] = list(maker.rng.permutation(x.type.ndim).tolist())
    for _ in range(int(maker.rng.integers(0, 2))):
        if len(pattern) < 3:
            pattern.insert(int(maker.rng.integers(len(pattern) + 1)), "x")
    return x.dimshuffle(*[d for d in pattern if d == "x" or x.type.shape[d] != 1 or maker.rng.random() < 0.6])


def _reshape(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    kind = maker.choose("flatten", "swap", "split", "merge", "ravel1", "broadcast", "fill", "squeeze")
    if kind == "flatten":
        return x.flatten()
    if kind == "swap" and x.type.ndim == 2:
        return x.reshape((x.shape[1], x.shape[0]))
    if kind == "split" and x.type.ndim == 1 and maker.shape(x)[0] % 2 == 0:
        return x.reshape((-1, 2)) if maker.rng.random() < 0.5 else x.reshape((2, x.shape[0] // 2))
    if kind == "merge" and x.type.ndim > 1:
        return x.reshape((x.shape[0], -1)) if maker.shape(x)[0] else x.flatten(2)
    if kind == "broadcast" and x.type.ndim < 3:
        y = maker.pick(lambda y: y.type.ndim > 0)
        return T.broadcast_to(x, (y.shape[0] if y is not None else 2, *[x.shape[d] for d in range(x.type.ndim)]))
    if kind == "fill":
        y = maker.pick(_compatible(maker, x))
        return T.fill(x, y)
    return x.ravel()


def _bound(maker: Maker, bounds: Any, n: int) -> Any:
    roll = maker.rng.random()
    if roll < 0.3:
        return None
    if roll < 0.55:
        return bounds[int(maker.rng.integers(2))]
    return int(maker.rng.integers(-n - 1, n + 2))


def _slices(maker: Maker, x: Expr, bounds: Any) -> tuple[Any, ...]:
    out: list[Any] = []
    for n in maker.shape(x)[: int(maker.rng.integers(1, x.type.ndim + 1))]:
        roll = maker.rng.random()
        if roll < 0.2 and n:
            out.append(int(maker.rng.integers(-n, n)))
        elif roll < 0.3 and n > 4:
            out.append(bounds[1])
        else:
            step = maker.choose(None, None, None, 1, 2, -1, -2, 3)
            out.append(slice(_bound(maker, bounds, n), _bound(maker, bounds, n), step))
    return tuple(out)


def _indices(maker: Maker, n: int, shape: tuple[int, ...]) -> Any:
    """Integers that index an axis of size ``n``: a constant, or an expression of the pool brought into range."""
    if maker.rng.random() < 0.5:
        x = maker.pick(lambda x: np.dtype(x.type.dtype).kind == "i" and x.type.ndim == len(shape))
        if x is not None:
            return x % n
    return maker.rng.integers(-n, n, size=shape)


def _subtensor(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    return None if x is None else x[_slices(maker, x, bounds)]


def _advanced(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    return x[_advanced_index(maker, x, bounds)]


def _advanced_index(maker: Maker, x: Expr, bounds: Any) -> Any:
    shape = maker.shape(x)
    kind = maker.choose("rows", "matrix", "pairs", "picks", "columns", "mask", "mixed")
    if kind == "mask":
        return T.gt(T.real(x), 0) if maker.rng.random() < 0.5 or x.type.ndim < 2 else T.gt(T.real(x[:, 0]), 0)
    if 0 in shape:
        return slice(None)
    if kind == "pairs" and len(shape) > 1:
        return maker.rng.integers(0, shape[0], 4), maker.rng.integers(-shape[1], shape[1], 4)
    if kind == "picks" and len(shape) > 1:
        return T.arange(x.shape[0]), T.cast(T.argmax(T.real(x), axis=1), "int64") if len(shape) == 2 else 0
    if kind == "columns" and len(shape) > 1:
        return slice(None), _indices(maker, shape[1], (3,))
    if kind == "mixed" and len(shape) > 1:
        return _indices(maker, shape[0], (2,)), slice(None, None, maker.choose(1, -1, 2))
    if kind == "matrix":
        return maker.rng.integers(-shape[0], shape[0], (2, 3))
    return _indices(maker, shape[0], (int(maker.rng.integers(1, 6)),))


def _store(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    where = _slices(maker, x, bounds) if maker.rng.random() < 0.6 else _advanced_index(maker, x, bounds)
    target = x[where]
    shape = maker.value(target).shape
    y = maker.pick(
        lambda y: np.can_cast(y.type.dtype, x.type.dtype, "same_kind") and _fits(maker.shape(y), shape)
    )
    return maker.choose(T.set_subtensor, T.inc_subtensor)(target, T.constant(1) if y is None else y)


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _join(maker: Maker, bounds: Any) -> Any:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    axis = int(maker.rng.integers(x.type.ndim))
    rest = tuple(n for d, n in enumerate(maker.shape(x)) if d != axis)
    others = [y for y in maker.pool if y.type.ndim == x.type.ndim
              and tuple(n for d, n in enumerate(maker.shape(y)) if d != axis) == rest]
    y = others[int(maker.rng.integers(len(others)))]
    kind = maker.choose("join", "join3", "stack", "split", "scalars")
    if kind == "stack" and maker.shape(x) == maker.shape(y) and x.type.ndim < 3:
        return T.stack([x, y], axis=axis)
    if kind == "split" and maker.shape(x)[axis] > 1:
        return T.split(x, [1, maker.shape(x)[axis] - 1], 2, axis=axis)
    if kind == "scalars":
        scalars = [z for z in maker.pool if z.type.ndim == 0 and z.type.dtype in FLOATS]
        return T.stack(scalars[:3]) if len(scalars) > 1 else None
    return T.concatenate([x, y, x] if kind == "join3" else [x, y], axis=axis)


def _product(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: 0 < x.type.ndim < 3 and np.dtype(x.type.dtype).kind in "fiu")
    if x is None:
        return None
    last = maker.shape(x)[-1]
    kind = maker.choose("dot", "matmul", "tensordot", "outer", "self")
    if kind == "self":
        return T.dot(x, x.T)
    if kind == "outer":
        return T.outer(x.flatten()[:20], x.flatten()[:10])
    y = maker.pick(lambda y: 0 < y.type.ndim < 3 and maker.shape(y)[0] == last and np.dtype(y.type.dtype).kind in "fiu")
    if y is None:
        return None
    return T.tensordot(x, y, axes=1) if kind == "tensordot" else T.dot(x, y) if kind == "dot" else T.matmul(x, y)


def _soft(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0 and x.type.dtype in FLOATS and 0 not in maker.shape(x))
    if x is None:
        return None
    axis = int(maker.rng.integers(x.type.ndim))
    return maker.choose(T.nnet.softmax, T.nnet.logsoftmax, T.logsumexp)(x, axis=axis)


def _normalised(maker: Maker, bounds: Any) -> Expr | None:
    """What is made of a row and its reductions: layer-norm, centred values, shares."""
    x = maker.pick(lambda x: x.type.ndim > 0 and x.type.dtype in FLOATS and 0 not in maker.shape(x))
    if x is None:
        return None
    axis = int(maker.rng.integers(x.type.ndim))
    centred = x - x.mean(axis=axis, keepdims=True)
    kind = maker.choose("norm", "centred", "max", "share")
    if kind == "norm":
        return centred / T.sqrt(x.var(axis=axis, keepdims=True) + np.asarray(0.5, x.type.dtype))
    if kind == "max":
        return T.exp(x - x.max(axis=axis, keepdims=True))
    return centred if kind == "centred" else x / (1 + T.sum(abs(x), axis=axis, keepdims=True))


def _scan(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    axis = maker.choose(None, 0, x.type.ndim - 1)
    if maker.rng.random() < 0.3 and np.dtype(x.type.dtype).kind != "c":
        return T.sort(x, axis=axis)
    return maker.choose(T.cumsum, T.cumprod)(x, axis=axis)


def _created(maker: Maker, bounds: Any) -> Expr | None:
    x = maker.pick(lambda x: x.type.ndim > 0)
    if x is None:
        return None
    kind = maker.choose("arange", "eye", "zeros", "diag", "tri", "range", "one hot", "tile", "roll", "repeat", "diff")
    size = x.shape[0]
    if kind == "arange":
        y = T.arange(size)
        return y * x if x.type.ndim == 1 and np.dtype(x.type.dtype).kind in "fiu" else y
    if kind == "eye":
        return T.eye(size, size + 1, int(maker.rng.integers(-1, 2)), dtype=maker.choose("float64", "int8", "float32"))
    if kind == "zeros":
        return T.zeros_like(x) if maker.rng.random() < 0.5 else T.alloc(maker.choose(2, 0.5), size, 2)
    if kind == "diag":
        return T.diagonal(x) if x.type.ndim == 2 else T.diag(x[:20]) if x.type.ndim == 1 else None
    if kind == "tri":
        return maker.choose(T.tril, T.triu)(x, int(maker.rng.integers(-1, 2))) if x.type.ndim == 2 else None
    if kind == "range":
        return T.arange(bounds[0], size, maker.choose(1, 2, -1))
    if kind == "one hot":
        return T.eq(T.arange(size).dimshuffle(0, "x"), T.arange(3))
    if kind == "tile":
        return T.tile(x, (2,) * x.type.ndim)
    if kind == "roll":
        axis = int(maker.rng.integers(x.type.ndim))
        shift = bounds[0] if maker.rng.random() < 0.5 else int(maker.rng.integers(-2, 3))
        around = (T.arange(x.shape[axis]) + shift) % x.shape[axis]
        rolled = T.roll(x, shift, axis=axis) if maker.rng.random() < 0.6 else x[(slice(None),) * axis + (around,)]
        return rolled if maker.rng.random() < 0.3 or x.type.dtype == "bool" else rolled * x - T.roll(x, 1, axis=axis)
    if kind == "repeat":
        return T.repeat(x, 2, axis=0)
    return T.diff(x, axis=0) if x.type.dtype != "bool" else None


def _gradients(maker: Maker) -> None:
    """Gradients of a scalar made of the program with respect to the float leaves it depends on."""
    outs = [x for x in maker.pool if x.type.dtype in ("float64", "float32") and not x.is_leaf]
    leaves = [x for x in maker.pool if x.is_leaf and x.type.dtype in ("float64", "float32")]
    if not outs or not leaves:
        return
    out = outs[-1] if maker.rng.random() < 0.7 else outs[int(maker.rng.integers(len(outs)))]
    cost = maker.choose(lambda x: x.sum(), lambda x: T.sum(T.sqr(x)), lambda x: T.mean(x * 3))(out)
    try:
        found = T.grad(cost, leaves, disconnected_inputs="ignore")
    except FuseError:
        return
    maker.add(cost)
    for g in found:
        maker.add(g)


STEPS = (_elementwise, _reduce, _position, _shuffle, _reshape, _subtensor, _advanced, _store, _join, _product, _soft,
         _normalised, _scan, _created)
WEIGHTS = np.array([34, 12, 2, 8, 6, 7, 4, 5, 5, 4, 3, 4, 2, 4]) / 100
