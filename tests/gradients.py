"""The matrix of gradients: every differentiable op, in every float dtype and broadcasting pattern, and its mutations.

    python -m tests.gradients                 # every cell, then every mutation
    python -m tests.gradients --only log

A cell is an op (elementwise ones and reductions from their records, the others from the cases of test_autodiff.py), a
dtype and shapes. It is right where reverse and forward derivatives agree with finite differences of the reference
(central ones of three steps, extrapolated: eight digits or more), with each other to 1e-12 (float64), and the second
derivatives with differences of the first ones, symmetric. A mutation is a gradient rule made wrong on purpose (sign,
1 %, a term left out, arguments exchanged): some cell of its op must fail.
"""
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import test_autodiff as autodiff

import fuse
import fuse.gradient as G
import fuse.tensor as T
from fuse.autodiff.absent import is_null
from fuse.errors import FuseError, NullTypeGradError
from fuse.expr import Expr, substitute, toposort
from fuse.op import OPS, Op
from fuse.reference import evaluate
from fuse.types import TensorType

Array = Any
PRECISION = {"float64": 2e-7, "float32": 2e-3, "complex128": 2e-7}
# By number of arguments; the shapes of the later arguments of ops with more than three are scalar.
PATTERNS = {
    1: {"vector": [(3,)], "matrix": [(2, 3)], "with a zero": [(4,)], "0-d": [()], "size-1 axes": [(1, 3)],
        "empty": [(0, 2)]},
    2: {"same": [(2, 3), (2, 3)], "with a zero": [(4,), (4,)], "scalar": [(2, 3), ()], "scalar first": [(), (3,)],
        "row": [(2, 3), (3,)],
        "row first": [(3,), (2, 3)], "column": [(2, 3), (2, 1)], "size-1 axes": [(1, 3), (2, 1)],
        "size-1 axes, ranks": [(2, 1, 2), (3, 1)], "0-d": [(), ()], "empty": [(0, 3), (3,)],
        "empty scalar": [(), (0,)]},
    3: {"same": [(2, 3)] * 3, "with a zero": [(4,)] * 3, "scalars": [(2, 3), (), ()], "rows": [(3,), (2, 1), (2, 3)],
        "size-1 axes": [(1, 3), (2, 1), (1, 1)], "0-d": [()] * 3, "empty": [(0, 3), (3,), ()]},
}
# Whose gradient is meant to be another than the derivative; test_gradient_identities has them.
IDENTITIES = {name for name, op in OPS.items() if op.meta.get("for_gradients")}
# At 0 the slope is not the mean of those around it.
AT_ZERO = {"elu": "the slope from below, as Theano has it", "poch": "NaN, for 0 times infinity"}
NOT_FORMULAS = {"philox": "random integers", "broadcast_size": "sizes", "from_bfloat16": "bits", "to_bfloat16": "bits"}


class Wrong(AssertionError):
    """A derivative that is not one."""


@dataclass(frozen=True)
class Cell:
    """One check: ``build`` of inputs like ``arrays``, of which those in ``wrt`` are differentiated."""

    name: str
    build: Callable[..., Expr]
    arrays: tuple[Array, ...]
    dtype: str
    order: int = 2
    wrt: tuple[int, ...] | None = None
    edge: bool = False  # counts only where the function has a derivative, or, as abs at 0, the mean of two


# ---------------------------------------------------------------- the check of one cell
def differences(f: Callable[[Sequence[Array]], Array], arrays: Sequence[Array], steps: dict[int, Array],
                h: float = 2e-3) -> Array:
    """The derivative of ``f`` at ``arrays`` along ``steps``: central differences of three widths, extrapolated."""
    def at(width: float) -> Array:
        ends = [f([a + s * width * steps[i] if i in steps else a for i, a in enumerate(arrays)]) for s in (1, -1)]
        return (ends[0] - ends[1]) / (2 * width)

    return (64 * at(h / 4) - 20 * at(h / 2) + at(h)) / 45


def has_slope(f: Callable[[Sequence[Array]], Array], arrays: Sequence[Array], steps: dict[int, Array]) -> bool:
    """Whether central differences of two widths agree: not at jumps, poles and where there are no numbers."""
    with np.errstate(all="ignore"):
        found = [differences(f, arrays, steps, h) for h in (2e-3, 2e-4)]
        return bool(np.isfinite(f(arrays)).all() and (abs(found[0] - found[1]) <= 1e-3 * (1 + abs(found[1]))).all())


def near(have: Array, want: Array, scale: float, precision: float, what: str) -> None:
    if np.shape(have) != np.shape(want):
        raise Wrong(f"{what}: shape {np.shape(have)} instead of {np.shape(want)}")
    bad = ~(np.abs(have - want) <= precision * (np.abs(want) + scale))
    if np.any(bad):
        where = tuple(int(k[0]) for k in np.nonzero(np.atleast_1d(bad)))
        raise Wrong(f"{what}: {np.atleast_1d(have)[where]!r} instead of {np.atleast_1d(want)[where]!r}")


def check(cell: Cell, first_only: bool = False) -> None:
    """Raise Wrong where a derivative of the cell is wrong, or has the wrong dtype or shape."""
    rng = np.random.default_rng(7)
    real = [i for i, a in enumerate(cell.arrays) if a.dtype.kind == "f" and (cell.wrt is None or i in cell.wrt)]
    narrow = [a.astype("float32") if a.dtype.kind == "f" and cell.dtype == "float32" else a for a in cell.arrays]
    wide = [a.astype("float64") if a.dtype.kind == "f" else a for a in narrow]
    inputs, model = inputs_of(narrow), inputs_of(wide)
    out, out_model = cell.build(*inputs), cell.build(*model)
    values = dict(zip(inputs, narrow, strict=True))
    wrt = [inputs[i] for i in real]
    steps = {i: rng.normal(size=wide[i].shape).astype(narrow[i].dtype).astype("float64") for i in real}
    narrowest = "float32" if out.type.dtype == "float32" else cell.dtype
    precision = PRECISION[narrowest]

    def f(arrays: Sequence[Array]) -> Array:
        return evaluate([out_model], dict(zip(model, arrays, strict=True)))[0].astype("float64")

    value = f(wide)
    if cell.edge and not has_slope(f, wide, steps):
        return
    weights = rng.normal(size=value.shape).astype(out.type.dtype)
    w = out.type("w")
    values[w] = weights
    gradients = G.Lop(out, wrt, w, disconnected_inputs="ignore")
    found = evaluate(gradients, values)
    rounding = 0.1 if any(n.type.dtype == "float32" for n in toposort([out_model])
                          if isinstance(n.type, TensorType)) else 1e-6
    size = float(np.abs(value).max(initial=0.0)) * rounding + 1e-7
    pulled, pushed_all = 0.0, np.zeros(value.shape)
    for i, g in zip(real, found, strict=True):
        if g.dtype != narrow[i].dtype or g.shape != narrow[i].shape:
            raise Wrong(f"argument {i}: a gradient {g.dtype}{g.shape} for {narrow[i].dtype}{narrow[i].shape}")
        moved = differences(f, wide, {i: steps[i]})
        scale = float((np.abs(moved) * np.abs(weights)).sum()) + size
        near(float((g * steps[i]).sum()), float((moved * weights).sum()), scale, precision, f"argument {i}")
        pulled += float((g.astype("float64") * steps[i]).sum())
        pushed_all = pushed_all + moved
    pushed, = evaluate([G.Rop(out, wrt, [fuse.constant(steps[i].astype(narrow[i].dtype)) for i in real], "ignore")],
                       values)
    near(pushed, pushed_all, float(np.abs(pushed_all).max(initial=0.0)) + size, precision, "forward")
    if narrowest == "float64":
        terms = sum(float(np.abs(g * steps[i]).sum()) for i, g in zip(real, found, strict=True))
        terms += float(np.abs(pushed * weights).sum())
        near(pulled, float((pushed * weights).sum()), terms + 1e-30, 1e-12, "forward against reverse")
    if first_only or cell.edge or cell.order < 2 or narrowest == "float32":
        return
    second(cell, inputs, real, list(gradients), values, wide, steps, rng, precision)


def second(
    cell: Cell, inputs: Sequence[Expr], real: Sequence[int], gradients: Sequence[Expr], values: dict[Expr, Array],
    wide: Sequence[Array], steps: dict[int, Array], rng: Any, precision: float
) -> None:
    """Hessian times vector, forward over reverse, against differences of the gradient; and its symmetry."""
    wrt = [inputs[i] for i in real]
    others = {i: rng.normal(size=wide[i].shape) for i in real}
    try:
        products = [G.Rop(list(gradients), wrt, [fuse.constant(s[i]) for i in real], "ignore") for s in (steps, others)]
    except NullTypeGradError:
        return  # a rule says that there is none
    first, again = (evaluate(p, values) for p in products)
    rest = {x: v for x, v in values.items() if x not in inputs}

    def slope(arrays: Sequence[Array], k: int) -> Array:
        return evaluate([gradients[k]], {**rest, **dict(zip(inputs, arrays, strict=True))})[0]

    left = right = size = 0.0
    for k, i in enumerate(real):
        want = differences(lambda arrays, k=k: slope(arrays, k), wide, steps)
        scale = float(np.abs(want).max(initial=0.0)) + float(np.abs(slope(wide, k)).max(initial=0.0)) * 1e-3 + 1e-9
        near(first[k], want, scale, 20 * precision, f"second derivative, argument {i}")
        left += float((first[k] * others[i]).sum())
        right += float((again[k] * steps[i]).sum())
        size += float(np.abs(first[k] * others[i]).sum() + np.abs(again[k] * steps[i]).sum())
    near(left, right, size + 1e-9, 1e-9, "symmetry of second derivatives")


def inputs_of(arrays: Sequence[Array]) -> list[Expr]:
    """Inputs of run-time sizes; where a size is 1, every other one is declared."""
    return [TensorType(a.dtype, [1 if n == 1 and i % 2 == 0 else None for n in a.shape])(f"x{i}")
            for i, a in enumerate(arrays)]


# ---------------------------------------------------------------- cells of elementwise ops and reductions, from records
def kernel_dtypes(op: Op, dtype: str, params: dict[str, Any]) -> tuple[tuple[str, ...], str] | None:
    """The dtypes that the op computes in for arguments of ``dtype``, and its result's; None where it refuses them."""
    try:
        return op.signature(*[TensorType(dtype, (None,))() for _ in range(op.nargs or 2)], **params)
    except (FuseError, TypeError, KeyError):
        return None


def differentiable(op: Op) -> tuple[int, ...]:
    """The arguments for which the record has a rule."""
    return tuple([i for i, rule in enumerate(op.grad or ()) if not isinstance(rule, str)])


def elementwise_cells(op: Op) -> Iterator[Cell]:
    """The cells of one record."""
    wrt = differentiable(op)
    if op.name in IDENTITIES or op.name in NOT_FORMULAS or not wrt:
        return
    count = op.nargs or 2
    for params in op.meta.get("examples", ({},)):
        for dtype in ("float64", "float32", "complex128"):
            known = kernel_dtypes(op, dtype, params)
            if known is None or set(known[0]) & {"complex128"} != set(known[0]) & {dtype} & {"complex128"}:
                continue
            if dtype == "complex128" and "complex128" not in known[0] or known[1] not in ("float64", "float32",
                                                                                         "complex128"):
                continue
            if dtype != "complex128" and known[1] == "complex128" and op.name != "complex":
                continue
            for label, shapes in PATTERNS[min(count, 3)].items():
                if label == "with a zero" and op.name in AT_ZERO:
                    continue
                shapes = [*shapes, *[()] * (count - 3)]
                arrays = arguments(op, shapes, known[0])
                name = f"{op.name}{params or ''} {dtype} {label}"
                if label == "with a zero":
                    arrays[0][0] = 0
                made = (_complex_cell if dtype == "complex128" else _real_cell)(op, params, name, arrays, dtype, wrt)
                yield replace(made, edge=label == "with a zero")


def arguments(op: Op, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]) -> list[Array]:
    """Points in the op's domain, as `test_autodiff.points` has them; bools and integers where the op asks for them."""
    rng = np.random.default_rng(3)
    found = []
    for a, dtype in zip(autodiff.points(op, shapes), dtypes, strict=False):
        if dtype == "bool":
            found.append(rng.random(a.shape) < 0.5)
        elif np.dtype(dtype).kind in "iu":
            found.append(rng.integers(1, 4, a.shape).astype(dtype))
        else:
            found.append(np.asarray(a.astype("float32"), "float64"))
    return found


def _real_cell(op: Op, params: dict[str, Any], name: str, arrays: list[Array], dtype: str, wrt: Any) -> Cell:
    def build(*xs: Expr) -> Expr:
        out = op(*xs, **params)
        return T.real(out) + T.imag(out) * 0.7 if out.type.dtype.startswith("complex") else out

    return Cell(name, build, tuple(arrays), dtype, 2, wrt)


def _complex_cell(op: Op, params: dict[str, Any], name: str, arrays: list[Array], dtype: str, wrt: Any) -> Cell:
    return of_parts(Cell(name, lambda *zs: op(*zs, **params), tuple(arrays), dtype, 2, wrt))


def of_parts(cell: Cell) -> Cell:
    """The cell with complex arguments: their parts are its inputs, its output is made of the parts of the result."""
    rng = np.random.default_rng(4)
    places = [i for i, a in enumerate(cell.arrays) if a.dtype.kind == "f"]
    parts = [np.asarray(np.float32(rng.uniform(0.2, 0.6, cell.arrays[i].shape)), "float64") for i in places]
    count = len(cell.arrays)

    def build(*xs: Expr) -> Expr:
        zs = list(xs[:count])
        for i, part in zip(places, xs[count:], strict=True):
            zs[i] = T.complex(zs[i], part)
        out = cell.build(*zs)
        return T.real(out) + T.imag(out) * 0.7 if out.type.dtype.startswith("complex") else out

    wrt = cell.wrt and (*cell.wrt, *[count + k for k, i in enumerate(places) if i in cell.wrt])
    return replace(cell, build=build, arrays=(*cell.arrays, *parts), dtype="complex128", wrt=wrt)


def reduction_cells(op: Op) -> Iterator[Cell]:
    """Over each axis and all, of arrays with a size of 1 and of none, with a 0, and two for those without ties."""
    rng = np.random.default_rng(5)
    if op.grad is None or op.name in ("all", "any"):
        return
    for dtype in ("float64", "float32"):
        for shape in ((3,), (2, 3), (1, 3), (2, 3, 2), (0, 3)):
            for axis in ((0,), (len(shape) - 1,), tuple(range(len(shape)))):
                if 0 in [shape[a] for a in axis] and op.meta.get("nonempty"):
                    continue
                a = np.asarray((rng.permutation(int(np.prod(shape))) * 0.37).reshape(shape), "float32")  # with one 0

                def build(x: Expr, axis: tuple[int, ...] = axis, **_: Any) -> Expr:
                    return op(x, axis=axis, dtype=x.type.dtype)

                cell = Cell(f"{op.name} {dtype} {shape} over {axis}", build, (a.astype("float64"),), dtype)
                yield cell
                if op.meta.get("nonempty") or dtype != "float64" or a.size < 3:
                    continue
                two = a.astype("float64")
                two.flat[np.argmin(a) - 1] = 0
                yield replace(cell, name=f"{cell.name}, two zeros", arrays=(two,))
                yield of_parts(replace(cell, name=f"{op.name} complex128 {shape} over {axis}"))


def case_cells() -> Iterator[Cell]:
    """The cases of ops that are neither."""
    for name, (build, *given) in autodiff.CASES.items():
        arrays = tuple([np.asarray(a) for a in given])
        arrays = tuple([np.asarray(a.astype("float32"), "float64") if a.dtype.kind == "f" else a for a in arrays])
        for dtype in ("float64", "float32"):
            yield Cell(f"{name} {dtype}", build, arrays, dtype, 1 if name in autodiff.ONLY_FIRST else 2)
        if takes_complex(build, arrays):
            yield of_parts(Cell(f"{name} complex128", build, arrays, "float64", 1))


def takes_complex(build: Callable[..., Expr], arrays: Sequence[Array]) -> bool:
    """Whether ``build`` makes something complex of complex arguments, with gradients that no rule refuses."""
    xs = [TensorType("complex128" if a.dtype.kind == "f" else a.dtype, (None,) * a.ndim)() for a in arrays]
    zs = [x for x in xs if x.dtype == "complex128"]
    try:
        out = build(*xs)
        G.Lop(out, zs, out.type(), disconnected_inputs="ignore")
    except (FuseError, TypeError):
        return False
    return out.type.dtype == "complex128"


def cells() -> list[Cell]:
    """The matrix."""
    found: list[Cell] = []
    for op in OPS.values():
        if op.kind == "elementwise":
            found += elementwise_cells(op)
        elif op.kind == "reduction":
            found += reduction_cells(op)
    return [*found, *case_cells()]


def failure(cell: Cell, first_only: bool = False) -> str | None:
    """What is wrong with a cell, or None."""
    try:
        check(cell, first_only)
    except Wrong as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None


# ---------------------------------------------------------------- mutations
@dataclass(frozen=True)
class Mutation:
    """A wrong rule for an op: what it does to the list of the cotangents of the arguments."""

    op: Op
    name: str
    change: Callable[[list[Any], Sequence[Expr]], list[Any]]


def mutations(op: Op) -> Iterator[Mutation]:
    """The wrong rules of one op."""
    count = len(op.grad) if op.kind == "elementwise" else 4
    for i in range(count):
        if op.kind == "elementwise" and not callable(op.grad[i]):
            continue
        yield Mutation(op, f"sign of argument {i}", lambda hs, known, i=i: _at(hs, i, lambda h: -h))
        yield Mutation(op, f"1 % of argument {i}", lambda hs, known, i=i: _at(hs, i, lambda h: h * 1.01))
        yield Mutation(op, f"a term of argument {i}",
                       lambda hs, known, i=i: _at(hs, i, lambda h: _without_a_term(h, known)))
        for j in range(i + 1, count):
            yield Mutation(op, f"arguments {i} and {j} exchanged", lambda hs, known, i=i, j=j: _exchanged(hs, i, j))


def _at(hs: list[Any], i: int, change: Callable[[Expr], Expr]) -> list[Any]:
    if i >= len(hs) or not _is_float(hs[i]):
        return hs
    return [change(h) if k == i else h for k, h in enumerate(hs)]


def _is_float(h: Any) -> bool:
    return isinstance(h, Expr) and not is_null(h) and getattr(h.type, "dtype", "")[:5] in ("float", "compl")


def _without_a_term(h: Expr, known: Sequence[Expr]) -> Expr:
    """``h`` with the last sum or difference of floats in it cut down to one term."""
    inner = [(n, a) for n in toposort([h], known=dict.fromkeys(known)) if n.op.name in ("add", "sub") and _is_float(n)
             and n not in known for a in n.args if a.type.ndim == n.type.ndim]
    return substitute([h], {inner[-1][0]: T.cast(inner[-1][1], inner[-1][0].type.dtype)})[0] if inner else h


def _exchanged(hs: list[Any], i: int, j: int) -> list[Any]:
    if j >= len(hs) or not (_is_float(hs[i]) and _is_float(hs[j])) or hs[i].type.ndim != hs[j].type.ndim:
        return hs
    return [hs[j] if k == i else hs[i] if k == j else h for k, h in enumerate(hs)]


@contextmanager
def mutated(mutation: Mutation) -> Iterator[list[bool]]:
    """The op with a wrong rule; the list says whether that was ever another one."""
    op, rules = mutation.op, mutation.op.grad
    changed: list[bool] = []

    def change(hs: list[Any], known: Sequence[Expr]) -> list[Any]:
        new = mutation.change(hs, known)
        if any(a is not b for a, b in zip(hs, new, strict=True)):
            changed.append(True)
        return new

    def whole(g: Any, node: Expr, *args: Expr, **params: Any) -> list[Any]:
        return change(list(rules(g, node, *args, **params)), [node, *args, *(g if isinstance(g, tuple) else [g])])

    def single(i: int) -> Any:
        def rule(g: Expr, out: Expr, *args: Expr, **params: Any) -> Any:
            hs = [r(g, out, *args, **params) if callable(r) else r for r in rules]
            return change(hs, [out, *args, g])[i]

        return rule if callable(rules[i]) else rules[i]

    wrong = tuple([single(i) for i in range(len(rules))]) if op.kind == "elementwise" else whole
    object.__setattr__(op, "grad", wrong)
    try:
        yield changed
    finally:
        object.__setattr__(op, "grad", rules)


def cells_by_op(matrix: Sequence[Cell]) -> dict[str, list[Cell]]:
    """For each op the cells in whose formulas, or gradients, it stands: those of its own first."""
    found: dict[str, list[Cell]] = {}
    later: dict[str, list[Cell]] = {}
    for cell in matrix:
        if cell.dtype == "float32" or any(0 in a.shape for a in cell.arrays):
            continue
        xs = inputs_of(cell.arrays)
        out = cell.build(*xs)
        formula = {n.op.name for n in toposort([out])}
        for name in formula:
            found.setdefault(name, []).append(cell)
        if cell.order > 1 and cell.name.split()[0] not in OPS:
            gs = G.Lop(out, [x for x in xs if x.dtype == "float64"], out, disconnected_inputs="ignore")
            for name in {n.op.name for n in toposort(gs)} - formula:
                later.setdefault(name, []).append(cell)
    for name, more in later.items():
        found[name] = [*found.get(name, []), *more]
    return {name: sorted(some, key=lambda c: c.name.split()[0].split("{")[0] != name) for name, some in found.items()}


def uncaught(op: Op, found: Sequence[Cell]) -> list[str]:
    """The mutations of ``op`` that change a rule and fail no cell."""
    missed = []
    for mutation in mutations(op):
        first = op.kind == "elementwise"  # these stand in their formulas themselves
        with mutated(mutation) as changed:
            caught = next((True for cell in found[:20] if failure(cell, first_only=first)), False)
        if changed and not caught:
            missed.append(mutation.name)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--no-mutations", action="store_true")
    options = parser.parse_args()
    start, matrix = time.time(), cells()
    wrong = 0
    chosen = [c for c in matrix if options.only in c.name]
    for cell in chosen:
        why = failure(cell)
        if why is not None:
            wrong += 1
            print(f"{cell.name}: {why}", flush=True)
    print(f"{wrong} of {len(chosen)} cells are wrong ({time.time() - start:.0f} s)", flush=True)
    if options.no_mutations:
        return bool(wrong)
    missed = checked = 0
    by_op = cells_by_op(matrix)
    for name, op in list(OPS.items()):
        rules = op.grad if isinstance(op.grad, tuple) else (op.grad,)
        if not any(map(callable, rules)) or name in IDENTITIES or options.only not in name:
            continue
        if name not in by_op:
            if name not in autodiff.NO_CASE and name not in NOT_FORMULAS:
                missed += 1
                print(f"{name}: in no cell")
            continue
        checked += 1
        for what in uncaught(op, by_op[name]):
            missed += 1
            print(f"{name}: a wrong gradient is not caught: {what}", flush=True)
    print(f"{missed} wrong gradients of {checked} ops are not caught ({time.time() - start:.0f} s)")
    return bool(wrong or missed)


if __name__ == "__main__":
    sys.exit(main())
