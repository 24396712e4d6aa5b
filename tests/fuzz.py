"""The fuzzer: random programs, compiled, against the reference interpreter; failures come with a minimised program.

    python -m tests.fuzz --seeds 0:1000 --mode default
"""
from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from races import watched
from random_calls import Unfit, expected, into_arrays, must_refuse, same_again
from random_programs import Array, RandomProgram, make_program, stepped

import fuse
from fuse import reference, rules
from fuse.codegen import device, interpret
from fuse.codegen.launch import Launcher
from fuse.errors import FuseError
from fuse.expr import Expr, substitute, toposort
from fuse.frontend.loops import LOOP
from fuse.types import TensorType

# Elementwise ops whose result is the correctly rounded one: in strict mode these are the same bits.
EXACT = {
    "add", "sub", "mul", "true_div", "neg", "abs", "sgn", "maximum", "minimum", "clip", "cast", "switch", "floor",
    "ceil", "trunc", "round_half_to_even", "round_half_away_from_zero", "sqrt", "sqr", "reciprocal", "eq", "neq", "lt",
    "le", "gt", "ge", "isnan", "isinf", "isfinite", "signbit", "real", "imag", "conj", "complex", "relu", "fill",
    "zero_grad", "disconnected_grad", "consider_constant", "root",
}
# Ops that only move, select or compare values.
MOVING = {
    "neg", "abs", "maximum", "minimum", "clip", "switch", "real", "imag", "conj", "complex", "relu", "fill", "max",
    "min", "sgn", "floor", "ceil", "trunc", "round_half_to_even", "round_half_away_from_zero", "sort", "join",
    "make_vector", "set_subtensor", "set_gather", "zero_grad", "disconnected_grad", "consider_constant", "part", "cast",
}
# Whose zeros NumPy itself gives either sign, by the layout of the array; and ops that read the sign of a NaN.
SUMS = {"largest_in_windows", "max", "min", "sum", "dot", "matmul", "softmax", "log_softmax", "logsumexp"}
SIGNED = {"signbit", "copysign"}
REALS = ("float64", "float32", "float16")
NOISE = 4.0
RUNS, MORE_RUNS = 5, 40


class Mismatch(AssertionError):
    """A compiled result that is not the reference's."""


# ---------------------------------------------------------------- what rounding alone may do
def perturbed(outputs: Sequence[Expr], values: dict[Expr, Array], mode: str, run: int) -> list[Array]:
    """The reference with every inexact result moved by a few units in the last place: how much rounding can matter."""
    rng = np.random.default_rng(run)
    memory: dict[Expr, Any] = dict(values)
    sign = (-1) ** run

    def moved(a: Any) -> Any:
        if not isinstance(a, np.ndarray) or a.dtype.kind not in "fc" or not a.size:
            return a
        size = {0: 1.0, 1: -1.0}.get(run)
        noise = rng.uniform(-1, 1, a.shape) if size is None else np.full(a.shape, size)
        factor = 1 + NOISE * np.finfo(a.dtype).eps * noise
        out = np.empty_like(a)
        out.real = a.real * factor  # parts by themselves: a product of complex numbers loses the signs of zeros
        if a.dtype.kind == "c":
            out.imag = a.imag * factor
        return out

    def visit(node: Expr, args: Sequence[Any]) -> Any:
        kind, name = node.op.kind, node.op.name
        exact = kind in ("leaf", "index", "view", "shape") and name != "unbroadcast" or name in MOVING
        dtype = getattr(node.type, "dtype", "")
        if mode == "strict" and dtype not in ("float16", "complex64", "complex128"):
            exact = exact or name in EXACT
        if name == "cast" and dtype == "float16":
            exact = False
        if not exact and kind != "elementwise":
            args = [moved(a) for a in args]
        if run > 1 and kind == "elementwise" and not exact:  # float16 is read as it was rounded, or as it was before
            args = [moved(a) if a.dtype == np.float16 else a for a in map(np.asarray, args)]
        if name in SIGNED:  # the sign of a NaN is anything
            args = [np.where(np.isnan(a), np.copysign(np.nan, sign), a).astype(a.dtype) for a in map(np.asarray, args)]
        if name == "sigmoid_binary_crossentropy":  # several roundings, and numbers of its arguments' size cancel
            args = [moved(np.asarray(a).astype(dtype)) for a in args]
        out = reference.apply(node, args)
        # Kernels add and multiply some elements in float64, and in another order: less, or other elements, overflow.
        if name in ("sum", "prod") and dtype in ("float32", "float64") and run == 2:
            wide = "float64" if dtype == "float32" else "longdouble"
            out = getattr(np, name)(args[0], node.params["axis"], wide).astype(dtype)
        if name in ("add", "sub") and run == 4 and not exact and np.asarray(out).dtype.kind in "fc":
            # What is left of numbers that cancel may as well be nothing: a test whether it is 0 has no answer.
            least = 64 * np.finfo(out.dtype).eps * np.maximum(*map(np.abs, args))
            out = np.where(np.abs(out) <= least, np.zeros((), out.dtype), out)
        if dtype == "float16" and run == 3:  # kernels compute in float32: what overflows is finite within them
            out = np.nan_to_num(out, nan=np.nan, posinf=np.finfo(dtype).max, neginf=np.finfo(dtype).min)
        if dtype == "float16" and run == 4 and not exact:  # and what falls below its range is not 0
            out = np.where(out == 0, np.copysign(np.finfo(dtype).smallest_subnormal, out), out)
        # Some BLAS leave out what is multiplied by 0, also nan.
        dot = name in ("dot", "matmul", "batched_dot") and dtype in REALS
        if dot and run in (1, 3) and not all(np.isfinite(a).all() for a in args):
            out = np.full_like(out, np.nan if run == 1 else 0)
        if (name in SUMS or not node.op.meta.get("zero_sign", True)) and getattr(out, "dtype", None) in REALS:
            signs = sign if run < 2 else rng.choice([-1.0, 1.0], out.shape)
            out = np.where(out == 0, np.copysign(np.zeros((), out.dtype), signs), out).astype(out.dtype)
        if name in SUMS and getattr(out, "dtype", None) in ("complex128", "complex64"):
            out = np.array(out)
            for part in (out.real, out.imag):
                part[part == 0] = np.copysign(0.0, sign)
        if name in ("log_softmax", "logsumexp") and not exact:  # near 0 they are differences of numbers near 1
            out = out - sign * np.finfo(out.dtype).eps
        if "reference_error" in node.op.meta:
            out = out + sign * max(node.op.meta["reference_error"], 4 * float(np.finfo(out.dtype).eps))
        return out if exact else moved(out)

    with np.errstate(all="ignore"):
        for node in toposort(outputs, known=values):
            args = [memory[a] for a in node.args]
            memory[node] = stepped(node, args, visit) if node.op is LOOP else visit(node, args)
    return [memory[o] for o in outputs]


def compare(
    got: Sequence[Array], want: Sequence[Array], others: Sequence[Sequence[Array]], mode: str, loops: bool = False
) -> None:
    """Raise Mismatch where ``got`` is further from ``want`` than rounding explains (``others``: perturbed runs).

    ``loops``: of values that no step has made, the reference does not know all sizes.
    """
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        b = np.asarray(b)
        near = [np.asarray(o[k]) for o in others]
        if loops and a.size == b.size == 0 and (a.dtype, a.ndim) == (b.dtype, b.ndim):
            continue
        if a.dtype != b.dtype or a.shape != b.shape:
            raise Mismatch(f"output {k}: {a.dtype}{a.shape} instead of {b.dtype}{b.shape}")
        if any(o.shape != b.shape for o in near):
            continue
        stable = np.ones(b.shape, bool)
        with np.errstate(all="ignore"):
            if b.dtype.kind in "fc":
                for o in near:
                    stable &= (np.isfinite(o) == np.isfinite(b)) & (np.isnan(o) == np.isnan(b))
                spread = np.max([np.where(np.isfinite(o), abs(o - b), 0) for o in near], axis=0, initial=0)
                finite = np.isfinite(b)
                info = np.finfo(b.dtype)
                limit = 25 * spread + 8 * info.eps * abs(b) + 4 * info.tiny
                wrong = np.where(finite, ~(abs(a - b) <= limit), ~((a == b) | (np.isnan(a) & np.isnan(b))))
                if b.dtype.kind == "c":
                    wrong = np.where(finite, wrong, np.isfinite(a))
                elif mode == "strict":
                    zero = (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
                    for o in near:
                        zero &= (o == 0) & (np.signbit(o) == np.signbit(b))
                    wrong = wrong | zero
            else:
                for o in near:
                    stable &= o == b
                wrong = a != b
        wrong = wrong & stable
        if wrong.any():
            where = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
            have, need = np.atleast_1d(a)[where], np.atleast_1d(b)[where]
            raise Mismatch(f"output {k}{list(where)} of {b.shape}: {have!r}, not {need!r} ({int(wrong.sum())} wrong)")


# ---------------------------------------------------------------- kernels against the kernel interpreter
@contextmanager
def kernels_checked(limit: int = 3000) -> Any:
    """Every kernel that runs is run by the kernel interpreter as well, on copies, and compared."""
    original = Launcher.compiled
    plain = Launcher.scheduled

    def compiled(self: Launcher, layouts: Any) -> Any:
        run = original(self, layouts)
        kernel, binding = plain(self, layouts)
        scratch = any(not isinstance(b, Expr) for b in binding.buffers)

        def both(*args: Any) -> int:
            count = len(self.bases)
            copies = [np.array(a) for a in args[:count]]
            status = run(*args)
            if status or scratch or sum(c.size for c in copies) > limit or any(a.size > limit for a in args[:count]):
                return int(status)
            interpret.run(kernel, copies, args[count:])
            for buffer, have, want in zip(kernel.buffers, args, copies, strict=False):
                if buffer.output:
                    _check_kernel(have, want, kernel)
            return int(status)

        self.install = lambda fast: None
        return both

    Launcher.compiled = compiled  # type: ignore[method-assign]
    try:
        yield
    finally:
        Launcher.compiled = original  # type: ignore[method-assign]


def _check_kernel(have: Array, want: Array, kernel: Any) -> None:
    # Only what no rounding explains: the values themselves are compared at the outputs.
    if have.dtype.kind in "fc":
        with np.errstate(all="ignore"):
            scale = np.nanmax(np.where(np.isfinite(want), abs(want), 0), initial=1e-3)
            bad = ~((abs(have - want) <= 1e-2 * scale) | (have == want) | ~np.isfinite(want) | ~np.isfinite(have))
    else:
        bad = have != want
    if np.count_nonzero(bad) > max(2, have.size // 8):
        raise Mismatch(f"a kernel and its interpretation differ in {np.count_nonzero(bad)} of {have.size}\n{kernel}")


# ---------------------------------------------------------------- one program
def check(case: RandomProgram, mode: str, kernels: bool = False, further: bool = False) -> bool:
    """Simplify and compile ``case`` and call it several times; raises Mismatch, or whatever the compiler raises.

    ``further``: also at C level, into given arrays, and with other sizes and layouts.
    Whether there was something to compare: not where the first call has values that mode ``default`` may change.
    """
    updates = [value for _, value in case.updates]
    graph = substitute([*case.outputs, *updates], case.givens) if case.givens else [*case.outputs, *updates]
    if mode == "default" and not case.clean:
        return False
    count = len(case.outputs)
    shared = {s: s.get_value() for s in toposort(graph) if s.op.name == "shared"} | {
        s: s.get_value() for s, _ in case.updates}
    keep = dict(shared)
    simple = rules.optimize(graph, mode)
    rng = np.random.default_rng(len(graph) + 1000 * len(case.inputs))
    loops = any(node.op is LOOP for node in toposort(graph))

    def called(inputs: Sequence[Array]) -> list[Array]:
        got = function(*inputs)
        return [*got, *[s.get_value() for s, _ in case.updates]]

    def compared(inputs: Sequence[Array], call: Any, first: bool = False) -> list[Array] | None:
        """The results of a call, compared; None where the reference refuses it, or the mode may change its values."""
        before = [v.copy() for v in inputs]
        native = [np.asarray(v, v.dtype.newbyteorder("=")) for v in inputs]
        values = {**dict(zip(case.inputs, native, strict=True)), **shared}
        want = reference.evaluate(graph, values) if first else expected(graph, values, case.clean)
        if want is None:
            refused(inputs, values)
            return None
        try:
            others = [perturbed(graph, values, mode, run) for run in range(RUNS)]
        except FuseError:
            return None  # how many elements there are hangs on a rounding, and an index reads past them
        if mode == "default" and not all(np.isfinite(w).all() for o in [want, *others] for w in o):
            return None
        simplified = [np.asarray(a) for a in reference.evaluate(simple, values)]
        if mode == "default" and not all(np.isfinite(a).all() for a in simplified) and empties(graph, values):
            return None  # 0/0 and the like, where a sum of nothing was 0: the mode may change isolated points
        try:
            compare(simplified, want, others, mode, loops)
        except Mismatch as error:
            raise Mismatch(f"the simplified graph, not compiled: {error}") from None
        got = call(inputs)
        try:
            compare(got, want, others, mode, loops)
        except Mismatch:  # few runs may miss that one result hangs on how another was rounded
            others += [perturbed(graph, values, mode, run) for run in range(RUNS, MORE_RUNS)]
            compare(got, want, others, mode, loops)
        check_ownership(got, case, inputs, before)
        if first and further and not case.updates:
            why = same_again(function, case, got)
            if why:
                raise Mismatch(why)
            compare(into_arrays(function, case, got, rng), want, others, mode, loops)
        return got

    def refused(inputs: Sequence[Array], values: dict[Expr, Any]) -> None:
        try:
            got = function(*inputs)
        except FuseError:
            for s, _ in case.updates:
                if not np.array_equal(s.get_value(), shared[s], equal_nan=shared[s].dtype.kind in "fc"):
                    raise Mismatch("a call that failed changed a shared variable") from None
        else:
            if any(a.size for a, sure in zip(got, must_refuse(simple, values), strict=False) if sure):
                raise Mismatch("a call that the reference refuses gave a result")

    try:
        function = fuse.function(case.inputs, case.outputs, updates=case.updates, givens=case.givens, mode=mode,
                                 on_unused_input="ignore")
        for number in range((5 if further else 3) if case.updates else 1):
            try:
                with kernels_checked() if kernels else nullcontext():
                    got = compared(case.values, called, first=not number)
            except Unfit:
                got = None
            if got is None:
                return bool(number)
            shared.update(zip([s for s, _ in case.updates], [np.array(g) for g in got[count:]], strict=True))
        if further and case.others is not None:
            try:
                compared(case.others, called)
            except Unfit:
                pass
            except Mismatch as error:
                raise Mismatch(f"in a call with other values: {error}") from None
    finally:
        for s, v in keep.items():
            s.set_value(v)
    return True


def empties(graph: Sequence[Expr], values: dict[Expr, Any]) -> bool:
    """Whether an array without elements is met on the way."""
    return any(np.size(a) == 0 for v in reference.evaluate([*toposort(graph, known=values)], values)
               for a in (v if isinstance(v, tuple) else [v]))  # fmt: skip


def check_ownership(
    got: Sequence[Array], case: RandomProgram, inputs: Sequence[Array], before: Sequence[Array]
) -> None:
    """Outputs share no memory with inputs, shared variables or each other, and inputs are as they were."""
    count = len(case.outputs)
    for k, a in enumerate(got[:count]):
        if not isinstance(a, np.ndarray) or not a.flags.writeable:
            raise Mismatch(f"output {k} is {type(a).__name__}, or cannot be written to")
        for other in [*got[:k], *inputs, *[s.get_value(borrow=True) for s, _ in case.updates]]:
            if np.may_share_memory(a, other) and np.shares_memory(a, other):
                raise Mismatch(f"output {k} shares memory with another output, an input or a shared variable")
    for value, old in zip(inputs, before, strict=True):
        if not np.array_equal(value, old, equal_nan=value.dtype.kind in "fc"):
            raise Mismatch("an input was changed")


def failure(
    case: RandomProgram, mode: str, kernels: bool = False, further: bool = False, count: list[int] | None = None
) -> str | None:
    """What is wrong with ``case``, or None; adds 1 to ``count`` where it was compared."""
    try:
        done = check(case, mode, kernels, further)
        if count is not None:
            count[0] += done
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:1500]} ({Path(last.filename).name}:{last.lineno})"
    return None


# ---------------------------------------------------------------- minimising
def minimised(
    case: RandomProgram, mode: str, kernels: bool = False, seconds: float = 60, further: bool = False
) -> RandomProgram:
    """A smaller program that fails too: fewer outputs, subexpressions, and values in the place of subexpressions."""
    limit = time.time() + seconds

    def fails(candidate: RandomProgram) -> bool:
        return time.time() < limit and failure(candidate, mode, kernels, further) is not None

    if case.others is not None:
        tries = [replace(case, others=None), replace(case, values=case.others, others=None)]
        case = next((c for c in tries if fails(c)), case)
    if case.givens:
        plain = replace(case, outputs=substitute(case.outputs, case.givens), givens={}, updates=[
            (s, v) for (s, _), v in zip(case.updates, substitute([v for _, v in case.updates], case.givens),
                                        strict=True)])
        case = plain if fails(plain) else case
    for fewer in ([], case.updates[:1], case.updates[1:]):
        smaller = replace(case, updates=fewer)
        if len(fewer) < len(case.updates) and fails(smaller):
            case = smaller
            break
    while (less := next(filter(fails, _with_less(case)), None)) is not None:
        case = less
    if case.updates or case.givens or case.others is not None:
        return case
    for _ in range(40):
        inner = [n for n in toposort(case.outputs) if _is_inner(n) and n not in case.outputs]
        cut = next((s for n in inner[::-1] if (s := _cut(case, n, fails)) is not None), None)
        if cut is None:
            break
        case = cut
    used = set(toposort(case.outputs))
    kept = [(x, v) for x, v in zip(case.inputs, case.values, strict=True) if x in used]
    return RandomProgram([x for x, _ in kept], case.outputs, [v for _, v in kept], [], {}, case.clean)


def _with_less(case: RandomProgram) -> Iterator[RandomProgram]:
    """``case`` without one of several outputs, then with something that an output is made of instead of it."""
    outputs = case.outputs
    for k in range(len(outputs)):
        if len(outputs) > 1:
            yield replace(case, outputs=outputs[:k] + outputs[k + 1:])
    for k, out in enumerate(outputs):
        for part in toposort([out]):
            if part is not out and _is_inner(part):
                yield replace(case, outputs=[*outputs[:k], part, *outputs[k + 1:]])


def _is_inner(node: Expr) -> bool:
    return not node.is_leaf and isinstance(node.type, TensorType)


def _cut(case: RandomProgram, node: Expr, fails: Any) -> RandomProgram | None:
    """``case`` with an input in the place of ``node``, if it still fails."""
    value = np.array(reference.evaluate([node], dict(zip(case.inputs, case.values, strict=True)))[0])
    leaf = node.type(f"y{len(case.inputs)}")
    outputs = substitute(case.outputs, {node: leaf})
    used = set(toposort(outputs))
    kept = [(x, v) for x, v in [*zip(case.inputs, case.values, strict=True), (leaf, value)] if x in used]
    smaller = RandomProgram([x for x, _ in kept], outputs, [v for _, v in kept], [], {}, case.clean)
    return smaller if fails(smaller) else None


def described(case: RandomProgram) -> str:
    """The program as text: inputs with layouts, nodes, outputs."""
    lines = []
    names: dict[Expr, str] = {}
    for x, v in zip(case.inputs, case.values, strict=True):
        text = np.array2string(v, threshold=12, edgeitems=3).replace("\n", "") if v.size < 200 else "..."
        lines.append(f"  {x.name}: {x.type}  shape {v.shape} strides {v.strides} = {text}")
        names[x] = str(x.name)
    def written(nodes: Sequence[Expr], indent: str) -> None:
        for node in nodes:
            if node in names:
                continue
            if node.op.name == "constant":
                names[node] = f"{np.array2string(node.data, threshold=8)}:{node.type.dtype}"  # type: ignore[attr-defined]
                continue
            names[node] = node.name if node.op.name == "shared" and node.name else f"v{len(names)}"
            if node.op is LOOP:
                body = node.params["body"]
                for x, role in zip(body.inputs, ["element"] * len(body.sequences) + ["state"] * len(body.states)
                                   + ["fixed"] * len(body.fixed), strict=True):
                    names[x] = f"{role}{len(names)}"
                outer = dict(names)
                written(toposort(body.outputs), indent + "  | ")
                inner = ", ".join(f"{names[o]}" for o in body.outputs)
                lines.append(f"{indent}  | next, kept: {inner}; inputs {', '.join(names[x] for x in body.inputs)}")
                names.clear()
                names.update(outer)
            params = "".join(f", {k}={v}" for k, v in node.params.items()) if node.params else ""
            call = f"{node.op.name}({', '.join(names[a] for a in node.args)}{params})"
            lines.append(f"{indent}{names[node]} = {call}  # {node.type}")

    written(toposort([*case.outputs, *[v for _, v in case.updates]]), "  ")
    lines.append("  outputs " + ", ".join(names[o] for o in case.outputs))
    for s, v in case.updates:
        lines.append(f"  update {names.get(s, s.name)} <- {names[v]}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:100", help="A:B, from A up to B")
    parser.add_argument("--mode", default="default", choices=["default", "strict", "fast"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--kernels", action="store_true", help="also check every kernel against the kernel interpreter")
    parser.add_argument("--no-minimise", action="store_true")
    parser.add_argument("--device", default="cpu", help="cuda: on a GPU; simulator: in the simulator, slowly")
    parser.add_argument("--races", action="store_true", help="in the simulator: also what threads do at the same time")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    options = parser.parse_args()
    if options.device == "simulator":
        device.simulate()
    fuse.config.device = "cpu" if options.device == "cpu" else "cuda"
    further = options.device == "cpu"
    first, _, last = options.seeds.partition(":")
    failed, done, start, seed = [], [0], time.time(), int(first)
    for seed in range(int(first), int(last or int(first) + 1)):
        if time.time() - start > options.seconds:
            break
        try:
            case = make_program(seed, options.steps, True if options.mode == "default" else None)
        except Exception:
            failed.append(seed)
            print(f"seed {seed} cannot be built:\n{traceback.format_exc()}", flush=True)
            continue
        with watched() if options.races else nullcontext({}) as races:
            why = failure(case, options.mode, options.kernels, further, done)
        for race, text in races.items():
            print(f"seed {seed}: {race}\n{text}", flush=True)
        if why is not None or races:
            failed.append(seed)
        if why is None:
            continue
        print(f"seed {seed}, mode {options.mode}: {why}", flush=True)
        if not options.no_minimise:
            small = minimised(case, options.mode, options.kernels, further=further)
            why = failure(small, options.mode, options.kernels, further)
            print(f"minimised: {why}\n{described(small)}", flush=True)
    taken = f"({time.time() - start:.0f} s)"
    print(f"{done[0]} programs compared, {len(failed)} failures up to seed {seed}: {failed} {taken}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
